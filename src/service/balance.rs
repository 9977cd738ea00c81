//! Which server a connection goes to. Each worker balances what it serves itself.

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
    /// The one that scores highest with the client's address: when one goes, only its clients move.
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
}

impl Balancer {
    /// A balancer over `servers` servers that starts with number `first` (modulo their number), so
    /// that the workers do not all start with the same one.
    ///
    /// # Panics
    /// When there is no server.
    #[must_use]
    pub fn new(policy: Policy, servers: usize, first: usize) -> Self {
        assert!(servers > 0, "an upstream has a server");
        Self { policy, active: vec![0; servers], next: first % servers }
    }

    /// Chooses a server that is not in `tried` and counts the connection to it; `None` when all
    /// were tried.
    pub fn pick(&mut self, tried: &[usize]) -> Option<usize> {
        let count = self.active.len();
        let candidates =
            (0..count).map(|n| (self.next + n) % count).filter(|server| !tried.contains(server));
        let server = match self.policy {
            // Without a client's address to go by, the hashed ones take turns too.
            Policy::RoundRobin | Policy::SourceHash | Policy::ConsistentHash => {
                candidates.into_iter().next()?
            }
            Policy::LeastConnections => {
                candidates.min_by_key(|&server| self.active.get(server).copied())?
            }
        };
        self.next = (server + 1) % count;
        self.take(server);
        Some(server)
    }

    /// The same for a client whose address has this hash, which the hashed policies go by.
    pub fn pick_hashed(&mut self, hash: u64, tried: &[usize]) -> Option<usize> {
        let count = self.active.len();
        let server = match self.policy {
            Policy::RoundRobin | Policy::LeastConnections => return self.pick(tried),
            Policy::SourceHash => {
                let first = usize::try_from(hash % count as u64).unwrap_or(0);
                let mut following = (0..count).map(|n| (first + n) % count);
                following.find(|server| !tried.contains(server))?
            }
            Policy::ConsistentHash => {
                let left = (0..count).filter(|server| !tried.contains(server));
                left.max_by_key(|server| score(hash, *server as u64))?
            }
        };
        self.take(server);
        Some(server)
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

/// How well a server suits a client (rendezvous hashing): the same at any time and place.
const fn score(hash: u64, server: u64) -> u64 {
    let mut mixed = hash ^ (server + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_robin_goes_around() {
        let mut balancer = Balancer::new(Policy::RoundRobin, 3, 4);
        let picked: Vec<_> = (0..6).map(|_| balancer.pick(&[]).unwrap()).collect();
        assert_eq!(picked, [1, 2, 0, 1, 2, 0]);
        assert_eq!(balancer.active(), [2, 2, 2]);
    }

    #[test]
    fn a_tried_server_is_passed_over() {
        let mut balancer = Balancer::new(Policy::RoundRobin, 3, 0);
        assert_eq!(balancer.pick(&[0]), Some(1));
        assert_eq!(balancer.pick(&[2, 1]), Some(0));
        assert_eq!(balancer.pick(&[0, 1, 2]), None);
    }

    #[test]
    fn least_connections_prefers_the_idle_one_and_turns_among_equals() {
        let mut balancer = Balancer::new(Policy::LeastConnections, 3, 0);
        let first: Vec<_> = (0..3).map(|_| balancer.pick(&[]).unwrap()).collect();
        assert_eq!(first, [0, 1, 2]);
        balancer.release(1);
        assert_eq!(balancer.pick(&[]), Some(1));
        balancer.release(2);
        balancer.release(0);
        assert_eq!(balancer.pick(&[2]), Some(0));
        assert_eq!(balancer.active(), [1, 1, 0]);
        balancer.release(2);
        assert_eq!(balancer.active(), [1, 1, 0], "never below zero");
    }

    #[test]
    fn a_hash_gives_the_same_server_again_and_another_when_that_was_tried() {
        for policy in [Policy::SourceHash, Policy::ConsistentHash] {
            let mut balancer = Balancer::new(policy, 3, 1);
            let mut counts = [0; 3];
            for client in 0..900_u64 {
                let hash = score(client, 7);
                let first = balancer.pick_hashed(hash, &[]).unwrap();
                assert_eq!(balancer.pick_hashed(hash, &[]), Some(first));
                assert_ne!(balancer.pick_hashed(hash, &[first]), Some(first));
                counts[first] += 1;
            }
            assert!(counts.iter().all(|count| (240..360).contains(count)), "{counts:?}");
            assert_eq!(balancer.pick_hashed(1, &[0, 1, 2]), None);
            assert_eq!(balancer.active().iter().sum::<u32>(), 2_700);
        }
        let mut balancer = Balancer::new(Policy::RoundRobin, 2, 0);
        assert_eq!([0; 3].map(|hash| balancer.pick_hashed(hash, &[]).unwrap()), [0, 1, 0]);
    }

    #[test]
    fn a_server_that_goes_moves_its_own_clients_only() {
        let mut balancer = Balancer::new(Policy::ConsistentHash, 4, 0);
        for client in 0..1_000_u64 {
            let hash = score(client, 3);
            let before = balancer.pick_hashed(hash, &[]).unwrap();
            let after = balancer.pick_hashed(hash, &[2]).unwrap();
            assert!(before == 2 || after == before);
        }
    }
}
