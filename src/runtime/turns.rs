//! How long the turns of a loop take, readable from other threads.

use std::time::Duration;

use super::Counter;

/// Upper bounds of the buckets, in microseconds: 1-2.5-5 from 10 us to 1 s.
const BOUNDS_MICROS: [u64; 16] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    500_000, 1_000_000,
];

/// The times of turns: from the end of a wait to the next wait. What the kernel does while
/// operations are submitted is part of the wait.
#[derive(Debug, Default)]
pub struct TurnStats {
    /// By bucket, those above the last bound at the end.
    buckets: [Counter; BOUNDS_MICROS.len() + 1],
    /// The sum, in nanoseconds.
    busy: Counter,
    /// The longest, in nanoseconds.
    longest: Counter,
}

impl TurnStats {
    /// A turn is over. Only the loop's own thread may tell.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs().saturating_mul(1_000_000_000);
        let nanos = seconds.saturating_add(took.subsec_nanos().into());
        // From the shortest on: most turns are short.
        let bucket = BOUNDS_MICROS.iter().position(|bound| nanos <= bound * 1_000);
        self.buckets[bucket.unwrap_or(BOUNDS_MICROS.len())].add(1);
        self.busy.add(nanos);
        if nanos > self.longest.get() {
            self.longest.set(nanos);
        }
    }

    /// How much time all turns have taken.
    #[must_use]
    pub fn busy(&self) -> Duration {
        Duration::from_nanos(self.busy.get())
    }

    /// How long the longest turn was.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest.get())
    }

    /// Bounds, in their order, and how many turns took at most so long; then the number of all.
    #[must_use]
    pub fn cumulative(&self) -> (Vec<(Duration, u64)>, u64) {
        let mut sum = 0;
        let bounds = BOUNDS_MICROS.iter().zip(&self.buckets).map(|(bound, bucket)| {
            sum += bucket.get();
            (Duration::from_micros(*bound), sum)
        });
        let bounds = bounds.collect();
        (bounds, sum + self.buckets[BOUNDS_MICROS.len()].get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted_by_their_time_and_the_longest_is_kept() {
        let turns = TurnStats::default();
        let us = Duration::from_micros;
        for took in [us(0), us(10), Duration::from_nanos(10_001), us(900), us(2_000_000), us(30)] {
            turns.record(took);
        }
        let (bounds, all) = turns.cumulative();
        assert_eq!(all, 6);
        let at = |bound| bounds.iter().find(|(one, _)| *one == bound).map(|(_, count)| *count);
        assert_eq!(bounds.len(), BOUNDS_MICROS.len());
        assert_eq!(at(us(10)), Some(2), "a bound is part of its bucket");
        assert_eq!([at(us(25)), at(us(50)), at(us(500))], [Some(3), Some(4), Some(4)]);
        assert_eq!([at(us(1_000)), at(us(1_000_000))], [Some(5), Some(5)]);
        assert_eq!(turns.longest(), us(2_000_000));
        assert_eq!(turns.busy(), us(2_000_000 + 900 + 30 + 10 + 10) + Duration::from_nanos(1));
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS_MICROS.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
