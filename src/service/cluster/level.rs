//! The servers of one priority: which of them may be chosen, and how one of them is.

use std::time::Instant;

use super::hashed::Hashed;
use super::loads::Loads;
use super::maglev::Member;
use super::order::IndexSet;
use super::random::Random;
use super::server::Server;
use super::servers::Policy;
use super::turns::Turns;

/// Draws at random of which each may meet a server that is not to be chosen, before all are looked
/// through: with twice as many servers as are not to be chosen, so many in vain do not happen.
const DRAWS_MAX: usize = 64;

/// The servers of one priority.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) members: Vec<usize>,
    /// Those that are usable.
    pub(super) usable: IndexSet,
    /// Those that were not drained by hand.
    pub(super) in_service: usize,
    /// So few are usable that all are used.
    pub(super) panics: bool,
    /// Those that are out for failed connects alone.
    pub(super) unreachable: IndexSet,
    candidates: Candidates,
}

/// The servers that may be chosen, in the order of a policy. Each change of a server takes a
/// logarithmic number of steps, and so does each choice.
#[derive(Debug)]
enum Candidates {
    Turns(Turns),
    Loads(Loads),
    Pairs(IndexSet),
    /// Exchanges without a hash take turns.
    Hashed(Box<Hashed>, Turns),
}

/// A server as hashing sees it.
pub(super) const fn member(number: usize, server: &Server) -> Member {
    Member { server: number, id: server.options.id, weight: server.options.weight }
}

impl Level {
    pub(super) fn new(policy: Policy, members: Vec<usize>, servers: &[Server]) -> Self {
        let listed: Vec<Member> = members.iter().map(|at| member(*at, &servers[*at])).collect();
        let candidates = match policy {
            Policy::RoundRobin => Candidates::Turns(Turns::default()),
            Policy::LeastRequests => Candidates::Loads(Loads::default()),
            Policy::Ewma => Candidates::Pairs(IndexSet::default()),
            Policy::Hash => {
                Candidates::Hashed(Box::new(Hashed::by_address(&listed)), Turns::default())
            }
            Policy::SourceHash => {
                Candidates::Hashed(Box::new(Hashed::by_place(&listed)), Turns::default())
            }
        };
        Self {
            in_service: members.len(),
            members,
            usable: IndexSet::default(),
            panics: false,
            unreachable: IndexSet::default(),
            candidates,
        }
    }

    /// Whether too few servers are usable.
    pub(super) fn is_short(&self, panic_ratio: f64) -> bool {
        (self.usable.len() as f64) < panic_ratio * self.in_service as f64
    }

    /// Lets a server be chosen as it is now, or not at all.
    pub(super) fn seat(&mut self, number: usize, server: &Server) {
        let is_in = if self.panics { !server.drained } else { server.is_usable() };
        let weight = server.weight();
        match &mut self.candidates {
            Candidates::Turns(turns) if is_in => turns.set(number, weight),
            Candidates::Turns(turns) => turns.remove(number),
            Candidates::Loads(loads) if is_in => loads.set(number, weight, server.active),
            Candidates::Loads(loads) => loads.remove(number),
            Candidates::Pairs(set) => set.put(number, is_in),
            Candidates::Hashed(hashed, turns) => {
                hashed.put(&member(number, server), is_in);
                if is_in {
                    turns.set(number, weight);
                } else {
                    turns.remove(number);
                }
            }
        }
    }

    /// The weight of a server is another one from now on, by hand.
    pub(super) fn reweigh(&mut self, servers: &[Server]) {
        if let Candidates::Hashed(hashed, _) = &mut self.candidates {
            let listed = self.members.iter().map(|at| member(*at, &servers[*at]));
            hashed.rebuild(&listed.collect::<Vec<_>>());
        }
    }

    /// The exchanges of a server have become more or fewer.
    pub(super) fn note_load(&mut self, number: usize, active: u32) {
        match &mut self.candidates {
            Candidates::Loads(loads) => loads.note(number, active),
            Candidates::Turns(_) | Candidates::Pairs(_) | Candidates::Hashed(..) => {}
        }
    }

    /// Lets a turn of those that begin with the first server go by.
    pub(super) fn skip_turn(&mut self) {
        match &mut self.candidates {
            Candidates::Turns(turns) | Candidates::Hashed(_, turns) => {
                turns.next(&[]);
            }
            Candidates::Loads(loads) => {
                loads.next(&[]);
            }
            Candidates::Pairs(_) => {}
        }
    }

    /// Chooses a server.
    pub(super) fn next(
        &mut self,
        servers: &[Server],
        hash: Option<u64>,
        tried: &[usize],
        (random, now): (&mut Random, Instant),
    ) -> Option<usize> {
        match (&mut self.candidates, hash) {
            (Candidates::Turns(turns), _) | (Candidates::Hashed(_, turns), None) => {
                turns.next(tried)
            }
            (Candidates::Loads(loads), _) => loads.next(tried),
            (Candidates::Pairs(set), _) => {
                let first = draw(set, None, tried, random)?;
                let Some(second) = draw(set, Some(first), tried, random) else {
                    return Some(first);
                };
                Some(quicker(servers, (first, second), now))
            }
            (Candidates::Hashed(hashed, _), Some(hash)) => hashed.find(hash, tried, |number| {
                let server = &servers[number];
                (server.ramp, server.options.id)
            }),
        }
    }
}

/// One of them at random, which is not to be another one or one that was tried.
fn draw(
    set: &IndexSet,
    other: Option<usize>,
    tried: &[usize],
    random: &mut Random,
) -> Option<usize> {
    let suits = |number: &usize| Some(*number) != other && !tried.contains(number);
    let barred = tried.len() + usize::from(other.is_some());
    if set.len() > 2 * barred {
        let drawn = (0..DRAWS_MAX).filter_map(|_| set.get(random.below(set.len()))).find(suits);
        if drawn.is_some() {
            return drawn;
        }
    }
    let left = set.iter().filter(suits).count();
    if left == 0 { None } else { set.iter().filter(suits).nth(random.below(left)) }
}

/// Of two, the one with the lower latency times requests under way and this one, for its weight. As
/// long as nothing is known of one of them, latency is left out.
fn quicker(servers: &[Server], pair: (usize, usize), now: Instant) -> usize {
    let (one, other) = (&servers[pair.0], &servers[pair.1]);
    let load = |server: &Server| (f64::from(server.active) + 1.0) / server.weight() as f64;
    let known = one.latency.estimate(now).zip(other.latency.estimate(now));
    let (latency, other_latency) = known.unwrap_or((1.0, 1.0));
    if latency * load(one) <= other_latency * load(other) { pair.0 } else { pair.1 }
}
