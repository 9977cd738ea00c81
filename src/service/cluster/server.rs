//! One server, as far as choosing goes.

use std::time::{Duration, Instant};

use super::hashed::RAMP_FULL;
use super::latency::Latency;
use super::servers::{ServerCounters, ServerOptions};

/// Parts of its weight that a server has when its slow start begins.
const RAMP_FIRST: u64 = 100;
/// Steps in which a weight grows during a slow start.
const STEPS: u32 = 50;

/// Its state.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) options: ServerOptions,
    /// The weight that it was made with: another one was set by hand.
    configured_weight: u32,
    /// Which level it belongs to.
    pub(super) level: usize,
    /// What active checks say.
    pub(super) healthy: bool,
    pub(super) ejected: bool,
    /// It takes no new exchange, by hand.
    pub(super) drained: bool,
    /// Requests under way.
    pub(super) active: u32,
    pub(super) latency: Latency,
    pub(super) counters: ServerCounters,
    /// Which of a thousand parts of its weight it has: all, or less while it starts slowly. Grows
    /// in steps.
    pub(super) ramp: u64,
    /// Since when its state is what it is; `None` since the start.
    pub(super) since: Option<Instant>,
    slow_start: Option<Duration>,
    /// When it was back at last.
    pub(super) slow_since: Option<Instant>,
}

impl Server {
    pub(super) fn new(options: ServerOptions, slow_start: Option<Duration>) -> Self {
        let options = ServerOptions { weight: options.weight.max(1), ..options };
        Self {
            options,
            configured_weight: options.weight,
            level: 0,
            healthy: true,
            ejected: false,
            drained: false,
            active: 0,
            latency: Latency::default(),
            counters: ServerCounters::default(),
            ramp: RAMP_FULL,
            since: None,
            slow_start: slow_start.filter(|time| !time.is_zero()),
            slow_since: None,
        }
    }

    /// Whether it is used, unless too few are.
    pub(super) const fn is_usable(&self) -> bool {
        self.healthy && !self.ejected && !self.drained
    }

    /// The weight that was set by hand, if one was.
    pub(super) fn weight_by_hand(&self) -> Option<u32> {
        Some(self.options.weight).filter(|weight| *weight != self.configured_weight)
    }

    /// Whether more is to be known of it than of one that was never used, but for its latency.
    pub(super) fn is_remarkable(&self) -> bool {
        !self.is_usable() || self.ramp < RAMP_FULL || self.weight_by_hand().is_some()
    }

    /// Its weight at this step, in parts.
    pub(super) fn weight(&self) -> u64 {
        u64::from(self.options.weight) * self.ramp
    }

    /// Which of a thousand parts of its weight it is to have.
    pub(super) fn ramp_at(&self, now: Instant) -> u64 {
        let (Some(time), Some(since)) = (self.slow_start, self.slow_since) else {
            return RAMP_FULL;
        };
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= time {
            return RAMP_FULL;
        }
        let more = u128::from(RAMP_FULL - RAMP_FIRST) * elapsed.as_nanos() / time.as_nanos();
        RAMP_FIRST + u64::try_from(more).unwrap_or(0)
    }

    /// It is back, and starts slowly. What was known of it is of another time.
    pub(super) fn comes_back(&mut self, now: Instant) {
        self.slow_since = Some(now);
        self.latency = Latency::default();
    }

    /// Takes the next step of a slow start. Returns when the one after it is due, if there is one.
    pub(super) fn step(&mut self, now: Instant) -> Option<Instant> {
        self.ramp = self.ramp_at(now);
        let step = self.slow_start.filter(|_| self.ramp < RAMP_FULL)? / STEPS;
        Some(now + step.max(Duration::from_millis(1)))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn a_weight_ramps_from_a_tenth_to_all_of_it() {
        let begin = Instant::now();
        let options = ServerOptions { weight: 3, priority: 0, id: 0 };
        let mut server = Server::new(options, Some(Duration::from_secs(9)));
        assert_eq!(server.step(begin), None);
        assert_eq!(server.weight(), 3_000, "the first start is not slow");
        server.comes_back(begin);
        let cases = [(0, 300), (1, 600), (3, 1_200), (6, 2_100), (9, 3_000), (100, 3_000)];
        for (seconds, weight) in cases {
            let now = begin + Duration::from_secs(seconds);
            let next = server.step(now);
            assert_eq!(server.weight(), weight);
            let step = Duration::from_millis(180);
            assert_eq!(next, (weight < 3_000).then(|| now + step));
        }
        for none in [None, Some(Duration::ZERO)] {
            let mut server = Server::new(options, none);
            server.comes_back(begin);
            assert_eq!((server.step(begin), server.weight()), (None, 3_000));
        }
    }
}
