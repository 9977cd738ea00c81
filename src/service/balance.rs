//! Which server a connection goes to. Each worker balances what it serves itself.

use std::time::Instant;

use super::cluster::eject::{EjectOptions, Ejector, Event, Sample};
use super::cluster::maglev::{Maglev, Member};

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest connections of this worker; among equals, one after the other.
    LeastConnections,
    /// The one that the client's address gives, modulo their number: a change of the list moves
    /// most clients.
    SourceHash,
    /// The one that the client's address and the servers' give (Maglev): when one comes or goes,
    /// few clients move beside its own, and the order of the list means nothing.
    ConsistentHash,
}

impl Policy {
    /// Whether it goes by the client's address.
    #[must_use]
    pub const fn is_hashed(self) -> bool {
        match self {
            Self::SourceHash | Self::ConsistentHash => true,
            Self::RoundRobin | Self::LeastConnections => false,
        }
    }
}

/// Chooses servers and remembers how many connections each has.
#[derive(Debug)]
pub struct Balancer {
    policy: Policy,
    active: Vec<u32>,
    next: usize,
    maglev: Option<Maglev>,
    /// Passes over the servers that could not be connected to of late.
    ejector: Ejector,
}

impl Balancer {
    /// A balancer over these servers that starts with number `first` (modulo their number), so that
    /// the workers do not all start with the same one. The number of each is its place in the list.
    ///
    /// # Panics
    /// When there is no server.
    #[must_use]
    pub fn new(policy: Policy, servers: &[Member], first: usize) -> Self {
        let count = servers.len();
        assert!(count > 0, "an upstream has a server");
        let ejector = Ejector::new(EjectOptions::CONNECTS, count);
        let maglev = (policy == Policy::ConsistentHash).then(|| Maglev::new(servers));
        Self { policy, active: vec![0; count], next: first % count, maglev, ejector }
    }

    /// Chooses a server that is not in `tried` and counts the connection to it; `None` when all
    /// were tried. One that is passed over for now is chosen when no other is left.
    pub fn pick(&mut self, tried: &[usize], now: Instant) -> Option<usize> {
        self.ejector.advance(now);
        let server = self.choose(tried, true).or_else(|| self.choose(tried, false))?;
        self.next = (server + 1) % self.active.len();
        self.take(server);
        Some(server)
    }

    fn choose(&self, tried: &[usize], skip_ejected: bool) -> Option<usize> {
        let count = self.active.len();
        let in_turn = (0..count).map(|n| (self.next + n) % count);
        let mut candidates =
            in_turn.filter(|server| self.is_candidate(*server, tried, skip_ejected));
        match self.policy {
            // Without a client's address to go by, the hashed ones take turns too.
            Policy::RoundRobin | Policy::SourceHash | Policy::ConsistentHash => candidates.next(),
            Policy::LeastConnections => {
                candidates.min_by_key(|&server| self.active.get(server).copied())
            }
        }
    }

    /// The same for a client whose address has this hash, which the hashed policies go by.
    pub fn pick_hashed(&mut self, hash: u64, tried: &[usize], now: Instant) -> Option<usize> {
        if !self.policy.is_hashed() {
            return self.pick(tried, now);
        }
        self.ejector.advance(now);
        let chosen = self.choose_hashed(hash, tried, true);
        let server = chosen.or_else(|| self.choose_hashed(hash, tried, false))?;
        self.take(server);
        Some(server)
    }

    fn choose_hashed(&self, hash: u64, tried: &[usize], skip_ejected: bool) -> Option<usize> {
        let count = self.active.len();
        let suits = |server: &usize| self.is_candidate(*server, tried, skip_ejected);
        if !(0..count).any(|server| suits(&server)) {
            // The table has many slots for each server: do not search all of them when no server is
            // suitable.
            return None;
        }
        if let Some(maglev) = &self.maglev {
            return maglev.servers(hash).find(suits);
        }
        let first = usize::try_from(hash % count as u64).unwrap_or(0);
        (0..count).map(|n| (first + n) % count).find(suits)
    }

    fn is_candidate(&self, server: usize, tried: &[usize], skip_ejected: bool) -> bool {
        let is_passed_over = skip_ejected && self.ejector.is_ejected(server);
        !is_passed_over && !tried.contains(&server)
    }

    /// Whether there is a server that is not in `tried`.
    #[must_use]
    pub const fn has_other(&self, tried: &[usize]) -> bool {
        tried.len() < self.active.len()
    }

    /// No connection to a server could be made, and that is its fault.
    pub fn connect_failed(&mut self, server: usize, now: Instant) {
        self.ejector.record(server, Sample::ConnectFailure, None, now);
    }

    /// A connection to a server stands.
    pub fn connected(&mut self, server: usize, now: Instant) {
        self.ejector.record(server, Sample::Connected, None, now);
    }

    /// Which server is passed over from now on, or no longer, for the log.
    pub fn next_event(&mut self) -> Option<Event> {
        self.ejector.next_event()
    }

    /// Counts a connection to `server` that was chosen elsewhere.
    pub fn take(&mut self, server: usize) {
        if let Some(active) = self.active.get_mut(server) {
            *active += 1;
        }
    }

    /// A connection to `server` has ended, or never stood.
    pub fn release(&mut self, server: usize) {
        if let Some(active) = self.active.get_mut(server) {
            *active = active.saturating_sub(1);
        }
    }

    /// Connections to each server.
    #[must_use]
    pub fn active(&self) -> &[u32] {
        &self.active
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::cluster::mix;

    fn members(count: usize) -> Vec<Member> {
        (0..count).map(|server| Member { server, id: mix(server as u64), weight: 1 }).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "an origin to count from")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_server_that_refuses_is_passed_over_for_a_while() {
        let policies = [
            Policy::RoundRobin,
            Policy::LeastConnections,
            Policy::SourceHash,
            Policy::ConsistentHash,
        ];
        for policy in policies {
            let mut balancer = Balancer::new(policy, &members(3), 0);
            let begin = now();
            (0..3).for_each(|_| balancer.connect_failed(1, begin));
            let ejected = matches!(balancer.next_event(), Some(Event::Ejected { server: 1, .. }));
            assert!(ejected, "{policy:?}");
            for hash in 0..100 {
                assert_ne!(balancer.pick_hashed(hash, &[], begin), Some(1), "{policy:?}");
                assert_eq!(balancer.pick_hashed(hash, &[0, 2], begin), Some(1), "the last one");
            }
            let later = begin + EjectOptions::CONNECTS.time;
            let chosen = (0..100).filter(|hash| {
                balancer.release(1);
                balancer.pick_hashed(*hash, &[], later) == Some(1)
            });
            assert!(chosen.count() > 0, "{policy:?}: it is tried again");
            balancer.connected(1, later);
            balancer.connect_failed(1, later);
            assert!(matches!(balancer.next_event(), Some(Event::Returned { server: 1 })));
            assert_eq!(balancer.next_event(), None, "it stood meanwhile");
        }
    }

    #[test]
    fn round_robin_goes_around() {
        let mut balancer = Balancer::new(Policy::RoundRobin, &members(3), 4);
        let picked: Vec<_> = (0..6).map(|_| balancer.pick(&[], now()).unwrap()).collect();
        assert_eq!(picked, [1, 2, 0, 1, 2, 0]);
        assert_eq!(balancer.active(), [2, 2, 2]);
    }

    #[test]
    fn a_tried_server_is_passed_over() {
        let mut balancer = Balancer::new(Policy::RoundRobin, &members(3), 0);
        assert_eq!(balancer.pick(&[0], now()), Some(1));
        assert_eq!(balancer.pick(&[2, 1], now()), Some(0));
        assert_eq!(balancer.pick(&[0, 1, 2], now()), None);
    }

    #[test]
    fn least_connections_prefers_the_idle_one_and_turns_among_equals() {
        let mut balancer = Balancer::new(Policy::LeastConnections, &members(3), 0);
        let first: Vec<_> = (0..3).map(|_| balancer.pick(&[], now()).unwrap()).collect();
        assert_eq!(first, [0, 1, 2]);
        balancer.release(1);
        assert_eq!(balancer.pick(&[], now()), Some(1));
        balancer.release(2);
        balancer.release(0);
        assert_eq!(balancer.pick(&[2], now()), Some(0));
        assert_eq!(balancer.active(), [1, 1, 0]);
        balancer.release(2);
        assert_eq!(balancer.active(), [1, 1, 0], "never below zero");
    }

    #[test]
    fn a_hash_gives_the_same_server_again_and_another_when_that_was_tried() {
        for policy in [Policy::SourceHash, Policy::ConsistentHash] {
            let mut balancer = Balancer::new(policy, &members(3), 1);
            let mut counts = [0; 3];
            for client in 0..900_u64 {
                let hash = mix(client);
                let first = balancer.pick_hashed(hash, &[], now()).unwrap();
                assert_eq!(balancer.pick_hashed(hash, &[], now()), Some(first));
                assert_ne!(balancer.pick_hashed(hash, &[first], now()), Some(first));
                counts[first] += 1;
            }
            assert!(counts.iter().all(|count| (240..360).contains(count)), "{counts:?}");
            assert_eq!(balancer.pick_hashed(1, &[0, 1, 2], now()), None);
            assert_eq!(balancer.active().iter().sum::<u32>(), 2_700);
        }
        let mut balancer = Balancer::new(Policy::RoundRobin, &members(2), 0);
        assert_eq!([0; 3].map(|hash| balancer.pick_hashed(hash, &[], now()).unwrap()), [0, 1, 0]);
    }

    #[test]
    fn a_server_that_goes_moves_its_own_clients_only() {
        let mut balancer = Balancer::new(Policy::ConsistentHash, &members(4), 0);
        for client in 0..1_000_u64 {
            let hash = mix(client ^ 3);
            let before = balancer.pick_hashed(hash, &[], now()).unwrap();
            let after = balancer.pick_hashed(hash, &[2], now()).unwrap();
            assert!(before == 2 || after == before);
        }
    }
}
