//! What a server's latency is remembered as.

use std::time::{Duration, Instant};

/// After so long a sample counts for a third of what it did.
const FADES_IN: Duration = Duration::from_secs(10);
/// A failure counts as so many times the estimate, which is avoided for seconds after one failure
/// and for about a minute after many: a server that fails quickly is not quick.
const FAILURE_FACTOR: f64 = 4.0;
/// Failures alone do not lift the estimate above this, in seconds.
const FAILURE_MAX: f64 = 1.0;
/// What a failure counts as when nothing is known yet, in seconds.
const FAILURE_FIRST: f64 = 0.1;
/// No server is taken to be quicker than this, in seconds: one that nothing was heard of for long
/// would else be given everything at once.
const FLOOR: f64 = 0.000_010;

/// A moving average, weighted by age, that a slower sample lifts to itself at once and quicker ones
/// lower bit by bit ("peak EWMA"). It fades while nothing comes, so that a server that was slow is
/// tried again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Latency {
    seconds: f64,
    at: Option<Instant>,
}

impl Latency {
    /// An answer took so long.
    pub(super) fn observe(&mut self, sample: Duration, now: Instant) {
        self.add(sample.as_secs_f64(), now);
    }

    /// An answer did not come within this time, and was not waited for any longer.
    pub(super) fn observe_at_least(&mut self, sample: Duration, now: Instant) {
        let sample = sample.as_secs_f64();
        if self.estimate(now).is_none_or(|estimate| estimate < sample) {
            self.add(sample, now);
        }
    }

    /// The server failed, after so long if that is known.
    pub(super) fn penalise(&mut self, sample: Option<Duration>, now: Instant) {
        let lifted = self.estimate(now).map_or(FAILURE_FIRST, |estimate| {
            (estimate * FAILURE_FACTOR).min(FAILURE_MAX).max(estimate)
        });
        self.add(sample.map_or(lifted, |sample| sample.as_secs_f64().max(lifted)), now);
    }

    fn add(&mut self, sample: f64, now: Instant) {
        self.seconds = match self.at {
            Some(at) if sample < self.seconds => {
                let kept = fade(at, now);
                self.seconds * kept + sample * (1.0 - kept)
            }
            Some(_) | None => sample,
        };
        self.at = Some(now);
    }

    /// Whether there was a sample.
    pub(super) const fn is_known(&self) -> bool {
        self.at.is_some()
    }

    /// The estimate in seconds; `None` before the first sample.
    pub(super) fn estimate(&self, now: Instant) -> Option<f64> {
        self.at.map(|at| (self.seconds * fade(at, now)).max(FLOOR))
    }
}

/// What is left of a sample.
fn fade(at: Instant, now: Instant) -> f64 {
    let age = now.saturating_duration_since(at);
    (-age.as_secs_f64() / FADES_IN.as_secs_f64()).exp()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let mut latency = Latency::default();
        assert_eq!(latency.estimate(begin), None);
        latency.observe(Duration::from_millis(10), begin);
        assert_eq!(latency.estimate(begin), Some(0.010));
        latency.observe(Duration::from_millis(500), after(1));
        assert_eq!(latency.estimate(after(1)), Some(0.5));
        latency.observe(Duration::from_millis(10), after(11));
        let lower = latency.estimate(after(11)).unwrap();
        assert!((0.18..0.20).contains(&lower), "{lower}");
        assert!(latency.estimate(after(21)).unwrap() < lower / 2.0);
        assert_eq!(latency.estimate(after(100_000)), Some(FLOOR));
    }

    #[test]
    fn a_failure_is_slow_however_quick_it_was_and_many_are_slower() {
        let begin = Instant::now();
        let millis = Duration::from_millis;
        // What was known, what the failure took, and the estimate after each failure.
        let cases: [(Option<u64>, Option<u64>, [f64; 3]); 5] = [
            (None, None, [0.1, 0.4, 1.0]),
            (Some(5), Some(1), [0.02, 0.08, 0.32]),
            (Some(500), None, [1.0, 1.0, 1.0]),
            (Some(3_000), Some(1), [3.0, 3.0, 3.0]),
            (Some(5), Some(7_000), [7.0, 7.0, 7.0]),
        ];
        for (known, sample, expected) in cases {
            let mut latency = Latency::default();
            known.into_iter().for_each(|known| latency.observe(millis(known), begin));
            for expected in expected {
                latency.penalise(sample.map(millis), begin);
                let found = latency.estimate(begin).unwrap();
                assert!((found - expected).abs() < 1e-9, "{known:?} {sample:?}: {found}");
            }
        }
    }
}
