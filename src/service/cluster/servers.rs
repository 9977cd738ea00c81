//! The servers of an upstream: which one an exchange goes to.

mod memory;

use std::time::{Duration, Instant};

pub use self::memory::ServerMemory;
use super::eject::{EjectCounters, EjectOptions, Ejector, Event, Sample};
use super::failure::{Failure, FailureKind};
use super::hashed::RAMP_FULL;
use super::level::Level;
use super::order::{IndexSet, IndexedHeap};
use super::random::Random;
use super::server::Server;
pub use super::view::{Change, ServerCounters, ServerView, Standing};

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// In turn, by weight, evenly spread.
    RoundRobin,
    /// The one with the fewest requests, connections or flows of this worker for its weight; equals
    /// take turns by weight.
    LeastRequests,
    /// Of two at random, the one with the lower latency times requests for its weight.
    Ewma,
    /// The one that the exchange's hash gives (Maglev): when a server goes, few other exchanges
    /// change theirs. Exchanges without a hash take turns.
    Hash,
    /// The one that the exchange's hash gives, modulo their number: a change of the list moves most
    /// of them. Exchanges without a hash take turns.
    SourceHash,
}

impl Policy {
    /// Whether it goes by a hash of the exchange.
    #[must_use]
    pub const fn is_hashed(self) -> bool {
        match self {
            Self::Hash | Self::SourceHash => true,
            Self::RoundRobin | Self::LeastRequests | Self::Ewma => false,
        }
    }
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
    /// A connection stands, of which no answer is read: that is all that is asked of the server.
    Stood,
    /// With a failure, which may speak against the server ([`Failure::blames_server`]).
    Failed(Failure),
}

/// What is known of an exchange that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOutcome {
    /// How.
    pub ended: Ended,
    /// From the request to the head of the answer, or to the failure.
    pub latency: Option<Duration>,
}

/// The servers of one upstream, as one worker sees them.
///
/// Calling order: [`Servers::pick`], then [`Servers::done`] for each server that was picked, once;
/// [`Servers::set_health`] when active checks say so; [`Servers::advance`] at
/// [`Servers::next_deadline`], which the others do as well when they are late.
///
/// The servers that may be chosen are kept in the order of the policy, which changes when a server
/// does: no choice takes a step for each server.
#[derive(Debug)]
pub struct Servers {
    panic_ratio: f64,
    servers: Vec<Server>,
    levels: Vec<Level>,
    usable: usize,
    ejector: Option<Ejector>,
    /// Servers that start slowly, by the time of their next step.
    ramping: IndexedHeap<Instant>,
    random: Random,
    /// Servers whose ejection has changed, while that is looked at.
    changed: Vec<usize>,
    /// Changes of health, and by hand, so far.
    changes: u64,
    /// Servers of which more is to be known than of one that was never used.
    remarkable: IndexSet,
    /// The policy goes by latencies.
    goes_by_latency: bool,
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
        order.sort_by_key(|server| servers[*server].priority);
        let states = servers.iter().map(|server| Server::new(*server, options.slow_start));
        let mut states: Vec<Server> = states.collect();
        let mut levels = Vec::new();
        for same in order.chunk_by(|a, b| servers[*a].priority == servers[*b].priority) {
            same.iter().for_each(|number| states[*number].level = levels.len());
            levels.push(Level::new(options.policy, same.to_vec(), &states));
        }
        let mut this = Self {
            panic_ratio: options.panic_ratio,
            servers: states,
            levels,
            usable: 0,
            ejector: options.eject.map(|eject| Ejector::new(eject, servers.len())),
            ramping: IndexedHeap::default(),
            random: Random::new(seed),
            changed: Vec::new(),
            changes: 0,
            remarkable: IndexSet::default(),
            goes_by_latency: options.policy == Policy::Ewma,
        };
        order.iter().for_each(|number| this.reseat(*number));
        for level in &mut this.levels {
            (0..first % level.members.len()).for_each(|_| level.skip_turn());
        }
        this
    }

    /// Chooses a server that is not in `tried`, which is short, and counts the request to it: of
    /// the lowest priority that has a usable one. `None` when there is none.
    pub fn pick(&mut self, hash: Option<u64>, tried: &[usize], now: Instant) -> Option<usize> {
        self.advance(now);
        let Self { servers, levels, usable, random, .. } = self;
        // When nothing is usable at all, priorities panic one after the other, or none does.
        let skip_dead = *usable > 0;
        let alive = levels.iter_mut().filter(|level| !skip_dead || level.usable.len() > 0);
        let mut found = alive.map(|level| level.next(servers, hash, tried, (random, now)));
        let number = found.find_map(|found| found)?;
        self.take(number)
    }

    /// Counts a request to a server.
    fn take(&mut self, number: usize) -> Option<usize> {
        self.hold(number);
        self.servers.get_mut(number)?.counters.picked += 1;
        Some(number)
    }

    /// A server that was chosen before carries what goes on beyond that request.
    pub fn hold(&mut self, number: usize) {
        let Some(server) = self.servers.get_mut(number) else { return };
        server.active = server.active.saturating_add(1);
        self.levels[server.level].note_load(number, server.active);
    }

    /// As [`Servers::pick`], and when nothing else is left, one that is ejected for failed
    /// connects.
    pub fn pick_any(&mut self, hash: Option<u64>, tried: &[usize], now: Instant) -> Option<usize> {
        self.pick(hash, tried, now).or_else(|| self.pick_unreachable(tried))
    }

    /// A request to a server is over, of which nothing more is to be learnt.
    pub fn leave(&mut self, number: usize) {
        let Some(server) = self.servers.get_mut(number) else { return };
        server.active = server.active.saturating_sub(1);
        self.levels[server.level].note_load(number, server.active);
    }

    /// A server has changed: it is chosen, or not, as it is now.
    fn reseat(&mut self, number: usize) {
        let Self { servers, levels, panic_ratio, usable, ejector, remarkable, .. } = self;
        let server = &servers[number];
        remarkable.put(number, server.is_remarkable());
        let level = &mut levels[server.level];
        let before = level.usable.len();
        level.usable.put(number, server.is_usable());
        *usable = *usable + level.usable.len() - before;
        let is_out = ejector.as_ref().is_some_and(|ejector| ejector.is_unreachable(number));
        level.unreachable.put(number, is_out && server.healthy && !server.drained);
        let panics = level.is_short(*panic_ratio);
        if std::mem::replace(&mut level.panics, panics) == panics {
            level.seat(number, server);
            return;
        }
        for number in 0..level.members.len() {
            let number = level.members[number];
            level.seat(number, &servers[number]);
        }
    }

    /// A server is back: it starts slowly, if that is asked for.
    fn bring_back(&mut self, number: usize, now: Instant) {
        self.servers[number].comes_back(now);
        self.step(number, now);
    }

    /// Takes the next step of a slow start.
    fn step(&mut self, number: usize, now: Instant) {
        match self.servers[number].step(now) {
            Some(next) => self.ramping.set(number, next),
            None => {
                self.ramping.remove(number);
            }
        }
    }

    /// The exchange with a server is over.
    pub fn done(&mut self, number: usize, outcome: ServerOutcome, now: Instant) {
        self.advance(now);
        self.leave(number);
        self.judge(number, outcome, now);
    }

    /// What an exchange has shown of a server, which may go on.
    pub fn judge(&mut self, number: usize, outcome: ServerOutcome, now: Instant) {
        let Some(server) = self.servers.get_mut(number) else { return };
        let sample = match outcome.ended {
            Ended::Status(500..) => {
                server.counters.errors += 1;
                Sample::Failure
            }
            Ended::Status(_) | Ended::Stood => {
                server.counters.answered += 1;
                Sample::Success
            }
            Ended::Failed(failure) if failure.blames_server() => {
                server.counters.failures += 1;
                match failure.kind() {
                    FailureKind::Connect => Sample::ConnectFailure,
                    FailureKind::Stale
                    | FailureKind::Unprocessed
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
        if let Some(ejector) = &mut self.ejector {
            ejector.record(number, sample, latency, now);
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
        let random = self.random.bits();
        let number = self.unreachable(tried, random)?;
        self.take(number)
    }

    /// Whether [`Servers::pick_unreachable`] has one.
    #[must_use]
    pub fn has_unreachable(&self, tried: &[usize]) -> bool {
        self.unreachable(tried, 0).is_some()
    }

    /// One of the unreachable servers of the lowest priority, not always the same.
    fn unreachable(&self, tried: &[usize], random: u64) -> Option<usize> {
        self.levels.iter().find_map(|level| {
            let count = level.unreachable.len();
            let first = usize::try_from(random % (count.max(1) as u64)).unwrap_or(0);
            // No more of them than these can have been tried.
            let looks = (0..count.min(tried.len() + 1)).map(|look| (first + look) % count);
            let mut found = looks.filter_map(|at| level.unreachable.get(at));
            found.find(|number| !tried.contains(number))
        })
    }

    /// Whether a server may carry new exchanges, on whatever connection: neither did checks find
    /// it dead, nor was it drained by hand.
    #[must_use]
    pub fn takes_more(&self, number: usize) -> bool {
        self.servers.get(number).is_some_and(|server| server.healthy && !server.drained)
    }

    /// How often that has changed for any server.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether there is a usable server that is not in `tried`.
    #[must_use]
    pub fn has_other(&self, tried: &[usize]) -> bool {
        let mut usable = self.levels.iter().flat_map(|level| level.usable.iter());
        usable.any(|number| !tried.contains(&number))
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
        server.since = Some(now);
        self.changes += 1;
        if healthy {
            self.bring_back(number, now);
        }
        if let Some(ejector) = &mut self.ejector {
            ejector.set_healthy(number, healthy);
        }
        self.reseat(number);
        self.follow_ejections(now);
        self.pardon_if_none(now);
    }

    /// When no server is usable, those that only did badly are used again.
    fn pardon_if_none(&mut self, now: Instant) {
        if self.usable == 0
            && let Some(ejector) = &mut self.ejector
        {
            ejector.pardon(now);
            self.follow_ejections(now);
        }
    }

    /// Gives a server another weight, by hand; 0 counts as 1. False when there is no such server.
    pub fn set_weight(&mut self, number: usize, weight: u32) -> bool {
        if let Some(level) = self.change_weight(number, weight) {
            self.levels[level].reweigh(&self.servers);
        }
        number < self.servers.len()
    }

    /// Gives a server another weight. Returns the level whose weights must be summed again.
    fn change_weight(&mut self, number: usize, weight: u32) -> Option<usize> {
        let server = self.servers.get_mut(number)?;
        let (level, weight) = (server.level, weight.max(1));
        if std::mem::replace(&mut server.options.weight, weight) == weight {
            return None;
        }
        self.reseat(number);
        Some(level)
    }

    /// A server takes no new exchange, by hand: not even when too few others are usable. What is
    /// under way goes on. False when there is no such server.
    pub fn drain(&mut self, number: usize, now: Instant) -> bool {
        self.advance(now);
        let Some(server) = self.servers.get_mut(number) else { return false };
        if !std::mem::replace(&mut server.drained, true) {
            server.since = Some(now);
            self.changes += 1;
            let level = server.level;
            self.levels[level].in_service -= 1;
            if let Some(ejector) = &mut self.ejector {
                ejector.set_drained(number, true);
            }
            self.reseat(number);
            self.follow_ejections(now);
            self.pardon_if_none(now);
        }
        true
    }

    /// A server takes exchanges again that was drained, or is ejected, by hand. False when there is
    /// no such server.
    pub fn lift(&mut self, number: usize, now: Instant) -> bool {
        self.advance(now);
        let Some(server) = self.servers.get_mut(number) else { return false };
        if std::mem::take(&mut server.drained) {
            server.since = Some(now);
            self.changes += 1;
            let level = server.level;
            self.levels[level].in_service += 1;
            self.bring_back(number, now);
        }
        if let Some(ejector) = &mut self.ejector {
            ejector.set_drained(number, false);
        }
        self.reseat(number);
        self.follow_ejections(now);
        true
    }

    /// Brings servers back whose time is over, takes those out that did badly, and lets weights
    /// grow.
    pub fn advance(&mut self, now: Instant) {
        while let Some((_, number)) = self.ramping.first().filter(|(due, _)| *due <= now) {
            self.step(number, now);
            self.reseat(number);
        }
        if self.ejector.as_mut().is_some_and(|ejector| ejector.advance(now)) {
            self.follow_ejections(now);
        }
    }

    /// When [`Servers::advance`] has something to do that nobody else sees to.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.ejector.as_ref().and_then(Ejector::next_deadline)
    }

    /// The next event that was not taken yet, for the log.
    pub fn next_event(&mut self) -> Option<Event> {
        self.ejector.as_mut().and_then(Ejector::next_event)
    }

    /// Whether there is an event that was not taken.
    #[must_use]
    pub fn has_events(&self) -> bool {
        self.ejector.as_ref().is_some_and(Ejector::has_events)
    }

    fn follow_ejections(&mut self, now: Instant) {
        let Some(ejector) = &mut self.ejector else { return };
        ejector.take_changed(&mut self.changed);
        while let Some(number) = self.changed.pop() {
            let is_ejected = self.ejector.as_ref().is_some_and(|one| one.is_ejected(number));
            let server = &mut self.servers[number];
            if std::mem::replace(&mut server.ejected, is_ejected) != is_ejected {
                server.since = Some(now);
                if !is_ejected {
                    self.bring_back(number, now);
                }
            }
            self.reseat(number);
        }
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
            weight: server.options.weight,
            priority: server.options.priority,
            standing: self.standing(number, server),
            since: server.since,
            active: server.active,
            healthy: server.healthy,
            ejected: server.ejected,
            ramp: server.ramp_at(now) as f64 / RAMP_FULL as f64,
            latency: server.latency.estimate(now),
            counters: server.counters,
        })
    }

    fn standing(&self, number: usize, server: &Server) -> Standing {
        let why = self.ejector.as_ref().and_then(|ejector| ejector.why(number));
        match why {
            _ if server.drained => Standing::Drained,
            _ if !server.healthy => Standing::Down,
            Some((reason, until)) => Standing::Ejected(reason, until),
            None if server.ramp < RAMP_FULL => Standing::SlowStart,
            None => Standing::Up,
        }
    }

    /// What was counted of ejections.
    #[must_use]
    pub fn eject_counters(&self) -> EjectCounters {
        self.ejector.as_ref().map_or_else(EjectCounters::default, Ejector::counters)
    }
}

#[cfg(test)]
mod tests;
