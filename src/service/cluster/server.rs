//! One server, as far as choosing goes.

use std::time::{Duration, Instant};

use super::latency::Latency;
use super::servers::{ServerCounters, ServerOptions};

/// Parts of a weight that it is counted in, so that small weights can ramp too.
const PARTS: u64 = 1_000;
/// Parts of its weight that a server has when its slow start begins.
const PARTS_FIRST: u64 = 100;

/// Its state.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) options: ServerOptions,
    /// What active checks say.
    pub(super) healthy: bool,
    pub(super) ejected: bool,
    /// Requests under way.
    pub(super) active: u32,
    /// What it has saved up for its next turn (smooth weighted round robin).
    pub(super) turn: i128,
    pub(super) latency: Latency,
    pub(super) counters: ServerCounters,
    slow_start: Option<Duration>,
    slow_since: Option<Instant>,
}

impl Server {
    pub(super) fn new(options: ServerOptions, slow_start: Option<Duration>) -> Self {
        let options = ServerOptions { weight: options.weight.max(1), ..options };
        Self {
            options,
            healthy: true,
            ejected: false,
            active: 0,
            turn: 0,
            latency: Latency::default(),
            counters: ServerCounters::default(),
            slow_start: slow_start.filter(|time| !time.is_zero()),
            slow_since: None,
        }
    }

    /// Whether it is used, unless too few are.
    pub(super) const fn is_usable(&self) -> bool {
        self.healthy && !self.ejected
    }

    /// Its weight when nothing holds it down, in parts.
    pub(super) fn weight(&self) -> u64 {
        u64::from(self.options.weight) * PARTS
    }

    /// Its weight now, in parts.
    pub(super) fn weight_at(&self, now: Instant) -> u64 {
        u64::from(self.options.weight) * self.ramp(now)
    }

    /// Which of a thousand parts of its weight it has: all, or less while it starts slowly.
    pub(super) fn ramp(&self, now: Instant) -> u64 {
        let (Some(time), Some(since)) = (self.slow_start, self.slow_since) else { return PARTS };
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= time {
            return PARTS;
        }
        let more = u128::from(PARTS - PARTS_FIRST) * elapsed.as_nanos() / time.as_nanos();
        PARTS_FIRST + u64::try_from(more).unwrap_or(0)
    }

    /// It is back, and starts slowly. What was known of it is of another time.
    pub(super) fn comes_back(&mut self, now: Instant) {
        self.slow_since = Some(now);
        self.latency = Latency::default();
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
        assert_eq!(server.weight_at(begin), 3_000, "the first start is not slow");
        server.comes_back(begin);
        let cases = [(0, 300), (1, 600), (3, 1_200), (6, 2_100), (9, 3_000), (100, 3_000)];
        for (seconds, weight) in cases {
            assert_eq!(server.weight_at(begin + Duration::from_secs(seconds)), weight);
        }
        assert_eq!(server.weight(), 3_000);
        for none in [None, Some(Duration::ZERO)] {
            let mut server = Server::new(options, none);
            server.comes_back(begin);
            assert_eq!(server.weight_at(begin), 3_000);
        }
    }
}
