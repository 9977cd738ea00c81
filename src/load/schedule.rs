//! When requests are due: pure, and the same for the same seed.
//!
//! An open loop asks at times that do not depend on the answers, so that a server which stalls is
//! measured as its users would see it. Nothing is queued for requests that are late: the schedule
//! itself is behind, and gives the oldest time first. So a rate that cannot be met takes no memory.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::service::cluster::random::next_random;

/// Nanoseconds in a second.
const SECOND: f64 = 1e9;

/// How requests of an open loop come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Arrivals {
    /// At equal distances, so many a second.
    Constant {
        /// Requests a second.
        rate: f64,
    },
    /// At random, independent of each other, so many a second in the mean.
    Poisson {
        /// Requests a second.
        rate: f64,
    },
    /// At a rate that grows (or falls) linearly.
    Ramp {
        /// Requests a second at first.
        from: f64,
        /// Requests a second at the end.
        to: f64,
        /// How long that takes; behind it the rate stays.
        over: Duration,
    },
}

impl Arrivals {
    /// Requests a second so long after the beginning.
    #[must_use]
    pub fn rate_at(&self, at: Duration) -> f64 {
        match *self {
            Self::Constant { rate } | Self::Poisson { rate } => rate,
            Self::Ramp { from, to, over } => {
                let part = (at.as_secs_f64() / over.as_secs_f64().max(1e-9)).min(1.0);
                from + (to - from) * part
            }
        }
    }

    /// One of `count` equal shares.
    #[must_use]
    pub fn share(self, count: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "there are few threads")]
        let part = 1.0 / count.max(1) as f64;
        match self {
            Self::Constant { rate } => Self::Constant { rate: rate * part },
            Self::Poisson { rate } => Self::Poisson { rate: rate * part },
            Self::Ramp { from, to, over } => Self::Ramp { from: from * part, to: to * part, over },
        }
    }
}

/// The times at which the requests of one thread are due, one after the other, as nanoseconds from
/// the beginning.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    /// The number of the next request.
    number: u64,
    /// A part of the distance between two requests by which all are moved, so that threads do not
    /// ask at the same times.
    phase: f64,
    /// When the next request is due.
    next: f64,
    random: u64,
}

impl Schedule {
    /// The schedule of thread `place` of `count`, which has the share of that thread.
    #[must_use]
    pub fn new(arrivals: Arrivals, (place, count): (usize, usize), seed: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "there are few threads")]
        let phase = place as f64 / count.max(1) as f64;
        let random = seed ^ (place as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut schedule =
            Self { arrivals: arrivals.share(count), number: 0, phase, next: 0.0, random };
        schedule.next = match schedule.arrivals {
            Arrivals::Poisson { rate } => schedule.gap(rate),
            Arrivals::Constant { .. } | Arrivals::Ramp { .. } => schedule.time_of(0),
        };
        schedule
    }

    /// When the next request is due.
    #[must_use]
    pub fn peek(&self) -> Duration {
        nanos(self.next)
    }

    /// The same, and goes on to the one behind it.
    pub fn take(&mut self) -> Duration {
        let due = self.peek();
        self.number += 1;
        self.next = match self.arrivals {
            Arrivals::Poisson { rate } => self.next + self.gap(rate),
            Arrivals::Constant { .. } | Arrivals::Ramp { .. } => self.time_of(self.number),
        };
        due
    }

    /// Requests that are due up to a time and were not taken, about.
    #[must_use]
    pub fn behind(&self, until: Duration) -> u64 {
        let mut count = 0.0;
        let (from, to) = (self.next / SECOND, until.as_secs_f64());
        if to > from {
            count = self.total(to) - self.total(from);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
        let count = count.max(0.0) as u64;
        count
    }

    /// Requests that are due within so many seconds.
    fn total(&self, seconds: f64) -> f64 {
        match self.arrivals {
            Arrivals::Constant { rate } | Arrivals::Poisson { rate } => rate * seconds,
            Arrivals::Ramp { from, to, over } => {
                let over = over.as_secs_f64().max(1e-9);
                let within = seconds.min(over);
                let slope = (to - from) / over;
                from * within + slope * within * within / 2.0 + to * (seconds - within).max(0.0)
            }
        }
    }

    /// When a request is due, in nanoseconds: no error adds up, as none rests on the one before.
    fn time_of(&self, number: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 requests")]
        let number = number as f64 + self.phase;
        let seconds = match self.arrivals {
            Arrivals::Constant { rate } | Arrivals::Poisson { rate } => number / rate,
            Arrivals::Ramp { from, to, over } => ramp_time(number, (from, to), over.as_secs_f64()),
        };
        seconds * SECOND
    }

    /// A distance of independent arrivals, in nanoseconds.
    fn gap(&mut self, rate: f64) -> f64 {
        -(self.uniform().ln()) / rate * SECOND
    }

    /// A random number above 0, up to 1.
    fn uniform(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let part = (next_random(&mut self.random) >> 11) as f64;
        (part + 1.0) / (1_u64 << 53) as f64
    }
}

/// The time in seconds by which a ramp has brought so many requests: the root of
/// `from t + slope t^2 / 2 = number`.
fn ramp_time(number: f64, (from, to): (f64, f64), over: f64) -> f64 {
    let over = over.max(1e-9);
    let within = (from + to) / 2.0 * over;
    if number >= within {
        return over + (number - within) / to;
    }
    let slope = (to - from) / over;
    if slope.abs() < 1e-9 {
        return number / from;
    }
    // The form that does not subtract two large numbers of about the same size.
    2.0 * number / (from + (from * from + 2.0 * slope * number).max(0.0).sqrt())
}

fn nanos(value: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
    Duration::from_nanos(value.max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_until(schedule: &mut Schedule, end: Duration) -> usize {
        let mut count = 0;
        while schedule.peek() < end {
            schedule.take();
            count += 1;
        }
        count
    }

    #[test]
    fn a_constant_rate_is_kept_exactly_over_all_threads() {
        for (rate, threads) in [(10.0, 1), (1000.0, 4), (333.3, 7), (250_000.0, 3)] {
            let end = Duration::from_secs(4);
            let arrivals = Arrivals::Constant { rate };
            let total: usize = (0..threads)
                .map(|place| count_until(&mut Schedule::new(arrivals, (place, threads), 1), end))
                .sum();
            let expected = rate * 4.0;
            assert!((total as f64 - expected).abs() <= 1.5, "{rate} {threads}: {total}");
        }
    }

    #[test]
    fn threads_take_turns_at_equal_distances() {
        let arrivals = Arrivals::Constant { rate: 1000.0 };
        let mut all: Vec<_> = (0..4)
            .flat_map(|place| {
                let mut schedule = Schedule::new(arrivals, (place, 4), 1);
                (0..100).map(move |_| schedule.take())
            })
            .collect();
        all.sort();
        for pair in all.windows(2) {
            let gap = pair[1].checked_sub(pair[0]).unwrap().as_nanos();
            assert!((999_000..=1_001_000).contains(&gap), "{gap}");
        }
    }

    #[test]
    fn independent_arrivals_have_the_mean_and_the_spread_that_they_must_have() {
        let mut schedule = Schedule::new(Arrivals::Poisson { rate: 1000.0 }, (0, 1), 7);
        let mut times = vec![Duration::ZERO];
        times.extend((0..20_000).map(|_| schedule.take()));
        let gaps: Vec<_> = times
            .windows(2)
            .map(|pair| (pair[1].as_secs_f64() - pair[0].as_secs_f64()) * 1e3)
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance =
            gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn a_ramp_brings_what_its_area_says_and_then_stays() {
        for (from, to) in [(100.0, 900.0), (900.0, 100.0), (500.0, 500.0), (0.0, 1000.0)] {
            let over = Duration::from_secs(10);
            let arrivals = Arrivals::Ramp { from, to, over };
            let mut schedule = Schedule::new(arrivals, (0, 1), 1);
            let half = count_until(&mut schedule, over / 2);
            let expected = (from + (from + to) / 2.0) / 2.0 * 5.0;
            assert!((half as f64 - expected).abs() <= 2.0, "{from} {to}: {half} {expected}");
            let rest = count_until(&mut schedule, over);
            let expected = (from + to) / 2.0 * 10.0 - expected;
            assert!((rest as f64 - expected).abs() <= 2.0, "{from} {to}: {rest} {expected}");
            let behind = count_until(&mut schedule, over + Duration::from_secs(2));
            assert!((behind as f64 - to * 2.0).abs() <= 2.0, "{from} {to}: {behind}");
        }
    }

    #[test]
    fn what_was_not_taken_is_known_without_a_step_for_each() {
        for arrivals in [
            Arrivals::Constant { rate: 5000.0 },
            Arrivals::Poisson { rate: 5000.0 },
            Arrivals::Ramp { from: 0.0, to: 10_000.0, over: Duration::from_secs(3) },
        ] {
            let mut schedule = Schedule::new(arrivals, (0, 1), 3);
            count_until(&mut schedule, Duration::from_secs(1));
            let end = Duration::from_secs(4);
            let told = schedule.behind(end) as f64;
            let counted = count_until(&mut schedule, end) as f64;
            assert!((told / counted - 1.0).abs() < 0.05, "{arrivals:?} {told} {counted}");
            assert_eq!(schedule.behind(end), 0);
        }
    }
}
