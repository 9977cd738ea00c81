//! Durations by how long they were, in little memory.

use std::time::Duration;

/// Largest duration that is told apart, in microseconds: a day.
const MICROS_MAX: u64 = 24 * 60 * 60 * 1_000_000;
/// Steps for each power of two, so that a step is less than one percent.
const STEPS: u64 = 128;
/// Steps whose counts lie in one piece of memory.
const CHUNK: usize = 32;

/// Durations, in microseconds, within one percent; their sum exactly.
///
/// Up to 256 each microsecond is told apart, beyond that 128 steps between two powers of two. Only
/// those parts have memory in which there are durations: some hundred bytes for a route that is
/// seldom used, and 30 KiB for all.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    /// Counts by the number of their chunk, in order.
    chunks: Vec<(u16, Box<[u64; CHUNK]>)>,
    count: u64,
    sum: Duration,
}

impl Distribution {
    /// Durations that differ by less may count as the same.
    pub const RESOLUTION: Duration = Duration::from_micros(1);
    /// Beyond 256 microseconds: so large a part of them.
    pub const ERROR: f64 = 1.0 / STEPS as f64;

    /// Adds a duration.
    pub fn record(&mut self, time: Duration) {
        let (number, within) = step_of(time);
        self.chunk(number)[within] += 1;
        self.count += 1;
        self.sum += time;
    }

    /// How many durations there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// How many durations are at most `bound`.
    #[must_use]
    pub fn count_up_to(&self, bound: Duration) -> u64 {
        let (number, within) = step_of(bound);
        let parts = self.chunks.iter().take_while(|(own, _)| *own <= number);
        let counts = parts.map(|(own, counts)| {
            let most = if *own < number { CHUNK } else { within + 1 };
            counts.iter().take(most).sum::<u64>()
        });
        counts.sum()
    }

    /// The duration that so large a share of all is at most, 0 to 1; the longest for 1.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count that is far below 2^53"
        )]
        let wanted = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (number, counts) in &self.chunks {
            for (within, count) in counts.iter().enumerate() {
                seen += count;
                if seen >= wanted {
                    return Duration::from_micros(most_of(*number, within));
                }
            }
        }
        Duration::ZERO
    }

    /// The steps that have durations, in order: the longest of each, in microseconds, and how many
    /// durations are in it.
    pub fn steps(&self) -> impl Iterator<Item = (u64, u64)> {
        self.chunks.iter().flat_map(|(number, counts)| {
            let all = counts.iter().enumerate().filter(|(_, count)| **count > 0);
            all.map(|(within, count)| (most_of(*number, within), *count))
        })
    }

    /// The sum of all durations.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (number, counts) in &other.chunks {
            for (own, more) in self.chunk(*number).iter_mut().zip(&**counts) {
                *own += more;
            }
        }
        self.count += other.count;
        self.sum += other.sum;
    }

    fn chunk(&mut self, number: u16) -> &mut [u64; CHUNK] {
        let at = match self.chunks.binary_search_by_key(&number, |(own, _)| *own) {
            Ok(at) => at,
            Err(at) => {
                self.chunks.insert(at, (number, Box::new([0; CHUNK])));
                at
            }
        };
        &mut self.chunks[at].1
    }
}

/// The chunk of a duration, and its step in there.
fn step_of(time: Duration) -> (u16, usize) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX).min(MICROS_MAX);
    // Up to twice the steps, each microsecond has one; beyond, one bit less counts for each power.
    let dropped = u64::from((micros | STEPS).ilog2() - STEPS.ilog2());
    let step = dropped * STEPS + (micros >> dropped);
    let chunk = u16::try_from(step / CHUNK as u64).expect("a day has fewer steps than 2^16");
    (chunk, usize::try_from(step % CHUNK as u64).unwrap_or_default())
}

/// The most microseconds of a step.
fn most_of(chunk: u16, within: usize) -> u64 {
    let step = u64::from(chunk) * CHUNK as u64 + within as u64;
    let dropped = (step / STEPS).saturating_sub(1);
    ((step - dropped * STEPS + 1) << dropped) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(value: u64) -> Duration {
        Duration::from_micros(value)
    }

    #[test]
    fn a_step_is_less_than_one_percent_and_they_are_in_order() {
        let mut before = (0, 0);
        for value in (0..100_000).chain((100_000..MICROS_MAX).step_by(999_983)) {
            let (chunk, within) = step_of(micros(value));
            assert!((chunk, within) >= before, "{value}");
            before = (chunk, within);
            let most = most_of(chunk, within);
            assert!(value <= most && most - value <= value / 100, "{value} {most}");
            assert_eq!(step_of(micros(most)), (chunk, within), "{value}");
            // Beyond a day, all counts as that.
            let next = step_of(micros(most + 1));
            assert!(next > (chunk, within) || most >= MICROS_MAX, "{value}");
        }
        assert_eq!(step_of(Duration::MAX), step_of(micros(MICROS_MAX)));
    }

    #[test]
    fn counts_and_quantiles_are_those_of_the_sorted_durations() {
        let mut state = 0x5eed_u64;
        let mut one = Distribution::default();
        let mut other = Distribution::default();
        let mut all: Vec<u64> = Vec::new();
        for n in 0..10_000 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let value = (state >> 33) >> (state >> 60);
            if n % 2 == 0 { &mut one } else { &mut other }.record(micros(value));
            all.push(value);
        }
        let counts = one.steps().map(|(_, count)| count).sum::<u64>();
        assert!(counts == one.count() && one.steps().is_sorted());
        one.merge(&other);
        all.sort_unstable();
        assert_eq!((one.count(), one.sum()), (10_000, micros(all.iter().sum())));
        for (share, at) in
            [(0.0, 0), (0.1, 999), (0.5, 4_999), (0.9, 8_999), (0.999, 9_989), (1.0, 9_999)]
        {
            let found = u64::try_from(one.quantile(share).as_micros()).unwrap();
            assert!(found >= all[at] && found - all[at] <= all[at] / 100, "{share}");
        }
        for bound in [0, 1, 255, 256, 10_000, 1 << 30] {
            let most = most_of(step_of(micros(bound)).0, step_of(micros(bound)).1);
            let expected = all.iter().filter(|value| **value <= most).count();
            assert_eq!(one.count_up_to(micros(bound)), expected as u64, "{bound}");
        }
        assert_eq!(Distribution::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn what_is_seldom_used_takes_little_memory() {
        let mut one = Distribution::default();
        assert_eq!(size_of_val(one.chunks.as_slice()), 0);
        for n in 0..1_000 {
            one.record(micros(100 + n % 20));
        }
        assert_eq!(one.chunks.len(), 1);
    }
}
