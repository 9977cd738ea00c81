//! How long requests took: by route, and by upstream and phase.

use std::time::Duration;

use super::Distribution;
use super::calls::Calls;

/// A part of the time that an exchange with a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatencyPhase {
    /// Waiting for a connection.
    Queue,
    /// Connecting.
    Connect,
    /// From the beginning of the last try to the head of the answer.
    FirstByte,
    /// From the head of the request to the end of the answer.
    Total,
}

impl LatencyPhase {
    /// Every phase, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Queue, Self::Connect, Self::FirstByte, Self::Total];

    /// The label of the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::FirstByte => "first_byte",
            Self::Total => "total",
        }
    }
}

/// A worker's distributions. One that nothing was recorded in takes no memory. Numbers of routes
/// and upstreams may come later, and be used again.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    routes: Vec<Option<Box<Distribution>>>,
    upstreams: Vec<Phases>,
    /// Calls of gRPC, by method.
    pub calls: Calls,
}

/// The distributions of an upstream, in the order of [`LatencyPhase::ALL`].
type Phases = [Option<Box<Distribution>>; LatencyPhase::ALL.len()];

const NONE: Phases = [const { None }; LatencyPhase::ALL.len()];

impl Latencies {
    /// Nothing yet, of so many routes and upstreams.
    #[must_use]
    pub fn new(routes: usize, upstreams: usize) -> Self {
        Self {
            routes: vec![None; routes],
            upstreams: (0..upstreams).map(|_| NONE).collect(),
            calls: Calls::default(),
        }
    }

    /// A request of a route is over.
    pub(super) fn record_route(&mut self, route: usize, total: Duration) {
        if route >= self.routes.len() {
            self.routes.resize(route + 1, None);
        }
        self.routes[route].get_or_insert_default().record(total);
    }

    /// An exchange with a server is over. Phases that it had no need of are not recorded.
    pub(super) fn record_upstream(
        &mut self,
        upstream: usize,
        phases: [Option<Duration>; LatencyPhase::ALL.len()],
    ) {
        for (one, time) in self.phases(upstream).iter_mut().zip(phases) {
            if let Some(time) = time {
                one.get_or_insert_default().record(time);
            }
        }
    }

    fn phases(&mut self, upstream: usize) -> &mut Phases {
        if upstream >= self.upstreams.len() {
            self.upstreams.resize(upstream + 1, NONE);
        }
        &mut self.upstreams[upstream]
    }

    /// The number of a route is that of another one from now on: nothing was recorded of it.
    pub fn reset_route(&mut self, route: usize) {
        self.routes.get_mut(route).into_iter().for_each(|one| *one = None);
    }

    /// The same for the number of an upstream.
    pub fn reset_upstream(&mut self, upstream: usize) {
        self.upstreams.get_mut(upstream).into_iter().for_each(|all| *all = NONE);
    }

    /// An upstream has another number from now on: what was recorded of it goes along, to what the
    /// new number has already.
    pub fn move_upstream(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let Some(all) = self.upstreams.get_mut(from) else { return };
        let moved = std::mem::replace(all, NONE);
        for (one, moved) in self.phases(to).iter_mut().zip(moved) {
            match (one, moved) {
                (Some(one), Some(moved)) => one.merge(&moved),
                (one @ None, moved) => *one = moved,
                (Some(_), None) => {}
            }
        }
    }

    /// Adds another worker's.
    pub fn merge(&mut self, other: &Self) {
        self.calls.merge(&other.calls);
        self.routes.resize(self.routes.len().max(other.routes.len()), None);
        let most = self.upstreams.len().max(other.upstreams.len());
        self.upstreams.resize(most, NONE);
        let routes = self.routes.iter_mut().zip(&other.routes);
        let upstreams = self.upstreams.iter_mut().flatten().zip(other.upstreams.iter().flatten());
        for (one, other) in routes.chain(upstreams) {
            if let Some(other) = other {
                one.get_or_insert_default().merge(other);
            }
        }
    }

    /// Of a route, if any of its requests is over.
    #[must_use]
    pub fn route(&self, route: usize) -> Option<&Distribution> {
        self.routes.get(route)?.as_deref()
    }

    /// Of an upstream and a phase, if there was any.
    #[must_use]
    pub fn upstream(&self, upstream: usize, phase: LatencyPhase) -> Option<&Distribution> {
        self.upstreams.get(upstream)?.get(phase as usize)?.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_all_workers_are_found_by_route_and_by_phase() {
        let mut one = Latencies::new(2, 1);
        let mut other = Latencies::new(2, 1);
        let ms = Duration::from_millis;
        one.record_route(1, ms(5));
        other.record_route(1, ms(7));
        other.record_upstream(0, [None, Some(ms(1)), Some(ms(2)), Some(ms(3))]);
        other.record_route(9, ms(1));
        let mut all = Latencies::default();
        all.merge(&one);
        all.merge(&other);
        assert_eq!(all.route(1).map(Distribution::count), Some(2));
        assert!(all.route(0).is_none());
        assert_eq!(all.upstream(0, LatencyPhase::Total).map(Distribution::sum), Some(ms(3)));
        assert!(all.upstream(0, LatencyPhase::Queue).is_none());
        assert_eq!(all.route(9).map(Distribution::count), Some(1), "a number that came later");
    }

    #[test]
    fn numbers_come_later_are_moved_and_used_again() {
        let mut all = Latencies::new(1, 1);
        let ms = Duration::from_millis;
        let total = |time| [None, None, None, Some(time)];
        let sums = |all: &Latencies| {
            [0, 1, 3]
                .map(|upstream| all.upstream(upstream, LatencyPhase::Total).map(Distribution::sum))
        };
        all.record_route(2, ms(1));
        all.reset_route(2);
        all.reset_route(7);
        assert!(all.route(2).is_none() && all.route(7).is_none());
        all.record_route(2, ms(1));
        assert_eq!(all.route(2).map(Distribution::count), Some(1));
        all.record_upstream(0, total(ms(2)));
        all.record_upstream(3, [Some(ms(1)), None, None, Some(ms(5))]);
        all.move_upstream(3, 3);
        assert_eq!(sums(&all), [Some(ms(2)), None, Some(ms(5))]);
        all.move_upstream(3, 0);
        assert_eq!(sums(&all), [Some(ms(7)), None, None]);
        assert_eq!(all.upstream(0, LatencyPhase::Queue).map(Distribution::count), Some(1));
        all.move_upstream(0, 1);
        all.move_upstream(9, 1);
        all.move_upstream(3, 1);
        assert_eq!(sums(&all), [None, Some(ms(7)), None]);
        all.record_upstream(0, total(ms(1)));
        assert_eq!(sums(&all), [Some(ms(1)), Some(ms(7)), None]);
        all.reset_upstream(1);
        all.reset_upstream(9);
        assert_eq!(sums(&all), [Some(ms(1)), None, None]);
    }
}
