//! How old connections become.

use std::time::{Duration, Instant};

/// When a connection has had its time that was opened then and has this number: after `age`, up to
/// a tenth earlier or later, so that connections that came together do not end together.
#[must_use]
pub fn ends_at(opened: Instant, age: Duration, number: u64) -> Instant {
    // Numbers that follow each other are spread evenly (Fibonacci hashing).
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    let share = u32::try_from(spread).unwrap_or(0);
    opened + age / 10 * 9 + age / 5 / 1023 * share
}

/// Where in a window something with this number has its place, so that many are spread evenly.
#[must_use]
pub fn part_of(window: Duration, number: u64) -> Duration {
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
    window / 1024 * u32::try_from(spread).unwrap_or(0)
}

/// Whether that is over by now.
#[must_use]
pub fn is_over(opened: Instant, age: Duration, number: u64, now: Instant) -> bool {
    // Mostly it is far from over, which costs less to tell.
    let lived = now.saturating_duration_since(opened);
    lived.as_secs() >= age.as_secs() / 2 && ends_at(opened, age, number) <= now
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn connections_that_came_together_end_one_after_the_other() {
        let (opened, age) = (Instant::now(), Duration::from_secs(1000));
        let ends = (0..1000).map(|number| ends_at(opened, age, 77 + number) - opened);
        let mut ends: Vec<_> = ends.map(|end| end.as_secs_f64()).collect();
        ends.sort_unstable_by(f64::total_cmp);
        assert!(ends[0] >= 900.0 && ends[0] < 902.0, "{}", ends[0]);
        assert!(ends[999] <= 1100.0 && ends[999] > 1098.0, "{}", ends[999]);
        let gaps = ends.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.fold(0.0, f64::max) < 2.0, "no two seconds without one");
        assert_eq!(ends_at(opened, Duration::ZERO, u64::MAX), opened);
        for age in [0, 1, 500, 1_000, 1_999, 2_000, 60_000, 3_600_000].map(Duration::from_millis) {
            let end = ends_at(opened, age, 5);
            let before = end.checked_sub(Duration::from_nanos(1)).unwrap();
            assert!(is_over(opened, age, 5, end), "{age:?}");
            assert!(age.is_zero() || !is_over(opened, age, 5, before), "{age:?}");
            assert!(age.is_zero() || !is_over(opened, age, 5, opened), "{age:?}");
        }
    }
}
