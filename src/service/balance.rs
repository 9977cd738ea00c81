//! Which server a connection goes to. Each worker balances what it serves itself.

/// How a server is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest connections of this worker; among equals, one after the other.
    LeastConnections,
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
            Policy::RoundRobin => candidates.into_iter().next()?,
            Policy::LeastConnections => {
                candidates.min_by_key(|&server| self.active.get(server).copied())?
            }
        };
        self.next = (server + 1) % count;
        if let Some(active) = self.active.get_mut(server) {
            *active += 1;
        }
        Some(server)
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
}
