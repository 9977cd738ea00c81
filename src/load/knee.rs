//! Where a server no longer keeps up with a rate that grows: pure.

use super::result::{Interval, Knee};

/// Answers in relation to what was due, from which on it keeps up.
const KEPT: f64 = 0.95;
/// How much longer the median of an interval is than that of the first ones.
const SLOWER: f64 = 10.0;
/// Intervals one behind the other that have to say so.
const IN_A_ROW: usize = 2;
/// Intervals at the beginning that others are held against.
const FIRST: usize = 3;

/// The first of several intervals in a row in which answers fell behind, or took ten times as long
/// as at the beginning.
#[must_use]
pub fn knee(intervals: &[Interval]) -> Option<Knee> {
    let mut first: Vec<f64> =
        intervals.iter().take(FIRST).map(|one| one.histogram.summary().p50).collect();
    first.sort_by(f64::total_cmp);
    let usual = first.get(first.len() / 2).copied().unwrap_or_default();
    let says = |one: &Interval| -> Option<String> {
        let wanted = one.wanted_rate?;
        if one.rate() < wanted * KEPT {
            return Some(format!(
                "{:.0} answers a second, and {wanted:.0} requests were due",
                one.rate()
            ));
        }
        let median = one.histogram.summary().p50;
        (usual > 0.0 && median > usual * SLOWER).then(|| {
            format!("the median is {:.1} ms, and was {:.1} ms at first", median / 1e3, usual / 1e3)
        })
    };
    // The last interval may be cut, and what it did not finish says nothing.
    let whole = intervals.get(..intervals.len().saturating_sub(1)).unwrap_or_default();
    let place = whole.windows(IN_A_ROW).position(|some| some.iter().all(|one| says(one).is_some()));
    let found = whole.get(place?)?;
    Some(Knee { rate: found.wanted_rate?, at: found.start, why: says(found)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::histogram::LatencyHistogram;

    fn interval(number: u32, wanted: f64, answered: f64, median_us: u64) -> Interval {
        let mut histogram = LatencyHistogram::new();
        histogram.record_many_ns(median_us * 1000, 100);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test")]
        let completed = answered as u64;
        Interval {
            start: f64::from(number),
            seconds: 1.0,
            sent: completed,
            completed,
            errors: 0,
            wanted_rate: Some(wanted),
            bytes_received: 0,
            histogram: histogram.pack(),
            lateness_p99_us: None,
        }
    }

    #[test]
    fn it_is_where_answers_fall_behind_or_become_slow() {
        let ramp = |number: u32| f64::from(number + 1) * 1000.0;
        let steady: Vec<_> = (0..20).map(|n| interval(n, ramp(n), ramp(n), 100)).collect();
        assert_eq!(knee(&steady), None);
        assert_eq!(knee(&[]), None);
        let behind: Vec<_> =
            (0..20).map(|n| interval(n, ramp(n), ramp(n).min(8000.0), 100)).collect();
        assert_eq!(knee(&behind).map(|knee| knee.rate), Some(9000.0));
        let slow: Vec<_> = (0..20)
            .map(|n| interval(n, ramp(n), ramp(n), if n >= 12 { 5000 } else { 100 }))
            .collect();
        let found = knee(&slow).unwrap();
        assert_eq!((found.at, found.rate), (12.0, 13_000.0));
        // One interval alone says nothing.
        let hiccup: Vec<_> = (0..20)
            .map(|n| interval(n, ramp(n), ramp(n), if n == 12 { 5000 } else { 100 }))
            .collect();
        assert_eq!(knee(&hiccup), None);
    }
}
