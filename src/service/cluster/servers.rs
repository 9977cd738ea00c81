//! The servers of an upstream: which one an exchange goes to.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::choose::{self, Eligible};
use super::eject::{EjectCounters, EjectOptions, Ejector, Event, Sample};
use super::failure::{Failure, FailureKind};
use super::random::Random;
use super::server::Server;
use crate::service::cluster::maglev::{Maglev, Member};

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// In turn, by weight, evenly spread.
    RoundRobin,
    /// The one with the fewest requests of this worker for its weight.
    LeastRequests,
    /// Of two at random, the one with the lower latency times requests for its weight.
    Ewma,
    /// The one that the exchange's hash gives (Maglev): when a server goes, few other exchanges
    /// change theirs. Exchanges without a hash take turns.
    Hash,
}

/// One server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOptions {
    /// Its share of the requests, to the weights of the others; 0 counts as 1.
    pub weight: u32,
    /// It is used when no server of a lower number is usable.
    pub priority: u8,
    /// What [`Policy::Hash`] knows it by: [`super::stable_hash`] of its address, so that its
    /// exchanges stay with it on every worker and after a reload.
    pub id: u64,
}

/// How servers are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServersOptions {
    /// By what.
    pub policy: Policy,
    /// For how long the weight of a server that is usable again grows, from a tenth to all of it.
    pub slow_start: Option<Duration>,
    /// When less than this share of a priority's servers is usable, all of them are used; 0 is
    /// never.
    pub panic_ratio: f64,
    /// When servers are taken out that do badly.
    pub eject: Option<EjectOptions>,
}

/// How an exchange with a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an answer of this status; 500 to 599 speaks against the server.
    Status(u16),
    /// With a failure, which may speak against the server ([`Failure::blames_server`]).
    Failed(Failure),
}

/// What is known of an exchange that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How.
    pub ended: Ended,
    /// From the request to the head of the answer, or to the failure.
    pub latency: Option<Duration>,
}

/// What was counted of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// Exchanges that went to it.
    pub picked: u64,
    /// Answers with a status below 500.
    pub answered: u64,
    /// Answers with a status of 500 or more.
    pub errors: u64,
    /// Failures that speak against it.
    pub failures: u64,
}

/// What is known of a server now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerView {
    /// Requests under way.
    pub active: u32,
    /// What active checks say; true without any.
    pub healthy: bool,
    /// It is out because it did badly.
    pub ejected: bool,
    /// Which part of its weight it has, 0.1 to 1: less than 1 while it starts slowly.
    pub ramp: f64,
    /// The latency it is taken to have, in seconds.
    pub latency: Option<f64>,
    /// What was counted.
    pub counters: ServerCounters,
}

/// The servers of one priority.
#[derive(Debug)]
struct Level {
    /// Their places in the order of priorities.
    members: Range<usize>,
    usable: usize,
    panics: bool,
    maglev: Option<Maglev>,
}

/// The servers of one upstream, as one worker sees them.
///
/// Calling order: [`Servers::pick`], then [`Servers::done`] for each server that was picked, once;
/// [`Servers::set_health`] when active checks say so; [`Servers::advance`] at
/// [`Servers::next_deadline`], which the others do as well when they are late.
#[derive(Debug)]
pub struct Servers {
    policy: Policy,
    panic_ratio: f64,
    servers: Vec<Server>,
    /// The servers by priority.
    order: Vec<usize>,
    levels: Vec<Level>,
    usable: usize,
    ejector: Option<Ejector>,
    random: Random,
}

impl Servers {
    /// Every server is usable. `seed` is for what is chosen at random; the turns begin with server
    /// `first` (modulo their number) of each priority, so that the workers do not all begin with
    /// the same one.
    #[must_use]
    pub fn new(
        options: ServersOptions,
        servers: &[ServerOptions],
        seed: u64,
        first: usize,
    ) -> Self {
        let mut order: Vec<usize> = (0..servers.len()).collect();
        order.sort_by_key(|server| servers.get(*server).map(|server| server.priority));
        let states = servers.iter().map(|server| Server::new(*server, options.slow_start));
        let mut this = Self {
            policy: options.policy,
            panic_ratio: options.panic_ratio,
            servers: states.collect(),
            order,
            levels: Vec::new(),
            usable: 0,
            ejector: options.eject.map(|eject| Ejector::new(eject, servers.len())),
            random: Random::new(seed),
        };
        this.make_levels();
        this.skip_turns(first);
        this.refresh();
        this
    }

    fn make_levels(&mut self) {
        let Self { servers, order, .. } = &*self;
        let priority = |number: &usize| servers.get(*number).map(|server| server.options.priority);
        let mut begin = 0;
        let mut levels = Vec::new();
        for same in order.chunk_by(|a, b| priority(a) == priority(b)) {
            let members = begin..begin + same.len();
            begin = members.end;
            let maglev = (self.policy == Policy::Hash).then(|| {
                let member = |number: &usize| {
                    let options = servers.get(*number)?.options;
                    Some(Member { server: *number, id: options.id, weight: options.weight })
                };
                Maglev::new(&same.iter().filter_map(member).collect::<Vec<_>>())
            });
            levels.push(Level { members, usable: 0, panics: false, maglev });
        }
        self.levels = levels;
    }

    /// Lets the turns that other workers begin with go by.
    fn skip_turns(&mut self, first: usize) {
        let Self { servers, order, levels, .. } = self;
        for level in levels {
            let members = order.get(level.members.clone()).unwrap_or_default();
            let eligible = Eligible { members, all: true, tried: &[] };
            for _ in 0..first % members.len().max(1) {
                choose::in_turn(servers, eligible, Server::weight, |_| true);
            }
        }
    }

    /// Chooses a server that is not in `tried`, which is short, and counts the request to it: of
    /// the lowest priority that has a usable one. `None` when there is none.
    pub fn pick(&mut self, hash: Option<u64>, tried: &[usize], now: Instant) -> Option<usize> {
        self.advance(now);
        let number = self.choose(hash, tried, now)?;
        self.take(number)
    }

    /// Counts a request to a server.
    fn take(&mut self, number: usize) -> Option<usize> {
        let server = self.servers.get_mut(number)?;
        server.active = server.active.saturating_add(1);
        server.counters.picked += 1;
        Some(number)
    }

    fn choose(&mut self, hash: Option<u64>, tried: &[usize], now: Instant) -> Option<usize> {
        let Self { policy, servers, order, levels, usable, random, .. } = self;
        // When nothing is usable at all, priorities panic one after the other, or none does.
        let skip_dead = *usable > 0;
        for level in levels.iter().filter(|level| !skip_dead || level.usable > 0) {
            let members = order.get(level.members.clone()).unwrap_or_default();
            let eligible = Eligible { members, all: level.panics, tried };
            let picked = match (*policy, level.maglev.as_ref().zip(hash)) {
                (Policy::LeastRequests, _) => choose::least_requests(servers, eligible, now),
                (Policy::Ewma, _) => choose::quicker_of_two(servers, eligible, random, now),
                (Policy::Hash, Some((maglev, hash))) => {
                    choose::by_hash(maglev, servers, eligible, hash, now)
                }
                (Policy::RoundRobin, _) | (Policy::Hash, None) => {
                    choose::in_turn(servers, eligible, |server| server.weight_at(now), |_| true)
                }
            };
            if picked.is_some() {
                return picked;
            }
        }
        None
    }

    /// The exchange with a server is over.
    pub fn done(&mut self, number: usize, outcome: Outcome, now: Instant) {
        self.advance(now);
        let Some(server) = self.servers.get_mut(number) else { return };
        server.active = server.active.saturating_sub(1);
        let sample = match outcome.ended {
            Ended::Status(status) if status < 500 => {
                server.counters.answered += 1;
                Sample::Success
            }
            Ended::Status(_) => {
                server.counters.errors += 1;
                Sample::Failure
            }
            Ended::Failed(failure) if failure.blames_server() => {
                server.counters.failures += 1;
                match failure.kind() {
                    FailureKind::Connect => Sample::ConnectFailure,
                    FailureKind::Stale
                    | FailureKind::Reset
                    | FailureKind::Timeout
                    | FailureKind::Final => Sample::Failure,
                }
            }
            Ended::Failed(_) => return,
        };
        if sample == Sample::Success {
            if let Some(latency) = outcome.latency {
                server.latency.observe(latency, now);
            }
        } else {
            server.latency.penalise(outcome.latency, now);
        }
        self.record(number, sample, outcome.latency, now);
    }

    /// A connection to a server stands.
    pub fn connected(&mut self, number: usize, now: Instant) {
        self.record(number, Sample::Connected, None, now);
    }

    fn record(&mut self, number: usize, sample: Sample, latency: Option<Duration>, now: Instant) {
        let ejector = self.ejector.as_mut();
        if ejector.is_some_and(|ejector| ejector.record(number, sample, latency, now)) {
            self.follow_ejections(now);
        }
    }

    /// A server was not waited for any longer after this time, as another one has answered.
    pub fn outrun(&mut self, number: usize, after: Duration, now: Instant) {
        if let Some(server) = self.servers.get_mut(number) {
            server.latency.observe_at_least(after, now);
        }
    }

    /// Chooses a server that is ejected for failed connects, and counts the request to it: for when
    /// connects to the usable ones fail, too.
    pub fn pick_unreachable(&mut self, tried: &[usize]) -> Option<usize> {
        let number = self.unreachable(tried).next()?;
        self.take(number)
    }

    /// Whether [`Servers::pick_unreachable`] has one.
    #[must_use]
    pub fn has_unreachable(&self, tried: &[usize]) -> bool {
        self.unreachable(tried).next().is_some()
    }

    fn unreachable<'a>(&'a self, tried: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let is_healthy = |number: &usize| self.servers.get(*number).is_some_and(|one| one.healthy);
        let ejector = self.ejector.as_ref();
        self.order.iter().copied().filter(is_healthy).filter(move |number| {
            let is_out = ejector.is_some_and(|ejector| ejector.is_unreachable(*number));
            is_out && !tried.contains(number)
        })
    }

    /// Active checks say that a server is usable, or is not. When that leaves none that is, those
    /// that only did badly are used again.
    pub fn set_health(&mut self, number: usize, healthy: bool, now: Instant) {
        self.advance(now);
        let Some(server) = self.servers.get_mut(number) else { return };
        if server.healthy == healthy {
            return;
        }
        server.healthy = healthy;
        if healthy {
            server.comes_back(now);
        }
        if let Some(ejector) = &mut self.ejector {
            ejector.set_healthy(number, healthy);
        }
        self.follow_ejections(now);
        if self.usable == 0 && self.ejector.as_mut().is_some_and(|ejector| ejector.pardon(now)) {
            self.follow_ejections(now);
        }
    }

    /// Brings servers back whose time is over, and takes those out that did badly.
    pub fn advance(&mut self, now: Instant) {
        if self.ejector.as_mut().is_some_and(|ejector| ejector.advance(now)) {
            self.follow_ejections(now);
        }
    }

    /// When [`Servers::advance`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.ejector.as_ref().and_then(Ejector::next_deadline)
    }

    /// The next event that was not taken yet, for the log.
    pub fn next_event(&mut self) -> Option<Event> {
        self.ejector.as_mut().and_then(Ejector::next_event)
    }

    fn follow_ejections(&mut self, now: Instant) {
        if let Some(ejector) = &self.ejector {
            for (number, server) in self.servers.iter_mut().enumerate() {
                let ejected = ejector.is_ejected(number);
                if server.ejected && !ejected {
                    server.comes_back(now);
                }
                server.ejected = ejected;
            }
        }
        self.refresh();
    }

    /// Counts the usable servers again, after any of them has changed.
    fn refresh(&mut self) {
        let Self { servers, order, levels, panic_ratio, .. } = self;
        self.usable = 0;
        for level in levels {
            let members = order.get(level.members.clone()).unwrap_or_default();
            let states = members.iter().filter_map(|number| servers.get(*number));
            level.usable = states.filter(|server| server.is_usable()).count();
            level.panics = (level.usable as f64) < *panic_ratio * members.len() as f64;
            self.usable += level.usable;
        }
    }

    /// Whether there is a usable server that is not in `tried`.
    #[must_use]
    pub fn has_other(&self, tried: &[usize]) -> bool {
        let all = self.servers.iter().enumerate();
        all.filter(|(_, server)| server.is_usable()).any(|(number, _)| !tried.contains(&number))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// How many are usable.
    #[must_use]
    pub const fn usable(&self) -> usize {
        self.usable
    }

    /// What is known of one.
    #[must_use]
    pub fn view(&self, number: usize, now: Instant) -> Option<ServerView> {
        self.servers.get(number).map(|server| ServerView {
            active: server.active,
            healthy: server.healthy,
            ejected: server.ejected,
            ramp: server.ramp(now) as f64 / 1_000.0,
            latency: server.latency.estimate(now),
            counters: server.counters,
        })
    }

    /// What was counted of ejections.
    #[must_use]
    pub fn eject_counters(&self) -> EjectCounters {
        self.ejector.as_ref().map_or_else(EjectCounters::default, Ejector::counters)
    }
}

#[cfg(test)]
mod tests;
