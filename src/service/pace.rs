//! Whether a peer takes what it is sent.
//!
//! That a socket has taken bytes says little: it may have megabytes of room, and may report room
//! again only when a third of it is free. What counts is what the peer's system has acknowledged.

use std::time::{Duration, Instant};

/// Looks within a timeout: a peer is cut at most a part of it too late.
const LOOKS: u32 = 4;

/// How a peer takes bytes, from the moment on at which it has some to take.
///
/// Calling order: [`Pace::begin`] when bytes wait for the peer, [`Pace::observe`] at
/// [`Pace::next_look`], [`Pace::end`] when nothing waits any longer.
#[derive(Debug, Default)]
pub struct Pace(Option<Box<Watch>>);

/// Boxed, for most connections never have one.
#[derive(Debug, Clone, Copy)]
struct Watch {
    began: Instant,
    /// Bytes that had been taken then, and have been by now.
    first: u64,
    taken: u64,
    /// When bytes were last seen to be taken.
    last: Instant,
    /// When it was last looked.
    looked: Instant,
}

impl Pace {
    /// Bytes wait. `taken` is how many the peer has acknowledged of all that it was ever sent.
    pub fn begin(&mut self, now: Instant, taken: u64) {
        if self.0.is_none() {
            let watch = Watch { began: now, first: taken, taken, last: now, looked: now };
            self.0 = Some(Box::new(watch));
        }
    }

    /// Nothing waits for the peer.
    pub fn end(&mut self) {
        self.0 = None;
    }

    /// Whether anything is measured.
    #[must_use]
    pub const fn is_measured(&self) -> bool {
        self.0.is_some()
    }

    /// So many bytes have been acknowledged by now: whether more than at the last look.
    pub fn observe(&mut self, now: Instant, taken: u64) -> bool {
        let Some(watch) = &mut self.0 else { return false };
        watch.looked = now;
        let has_moved = taken > watch.taken;
        if has_moved {
            (watch.taken, watch.last) = (taken, now);
        }
        has_moved
    }

    /// When the peer must have taken more: `timeout` after it last did, and, after a first
    /// `timeout`, no more slowly than `rate_min` bytes a second. None when nothing is measured.
    #[must_use]
    pub fn deadline(&self, timeout: Duration, rate_min: Option<u32>) -> Option<Instant> {
        let watch = self.0.as_ref()?;
        let bytes = watch.taken.saturating_sub(watch.first);
        Some(due(watch.began, watch.last, bytes, timeout, rate_min))
    }

    /// When to look next: at the deadline, and some times before.
    #[must_use]
    pub fn next_look(&self, timeout: Duration, rate_min: Option<u32>) -> Option<Instant> {
        let watch = self.0.as_ref()?;
        let deadline = self.deadline(timeout, rate_min)?;
        Some(deadline.min(watch.looked + timeout / LOOKS))
    }
}

/// When more must have come of what began at `began`: `timeout` after the `last` bytes, and, after
/// a first `timeout`, no more slowly than `rate_min` bytes a second.
#[must_use]
pub fn due(
    began: Instant,
    last: Instant,
    bytes: u64,
    timeout: Duration,
    rate_min: Option<u32>,
) -> Instant {
    let idle = last + timeout;
    let Some(rate) = rate_min else { return idle };
    let slow = began.checked_add(timeout.saturating_add(earned(bytes, rate)));
    slow.map_or(idle, |slow| slow.min(idle))
}

/// The time that so many bytes may take at a rate in bytes a second.
#[must_use]
pub fn earned(bytes: u64, rate: u32) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_takes_something_has_time_and_one_that_takes_too_little_has_not() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let timeout = Duration::from_secs(5);
        let mut pace = Pace::default();
        assert_eq!(pace.deadline(timeout, None), None);
        pace.begin(begin, 1_000);
        pace.begin(at(3), 5_000);
        assert_eq!(pace.deadline(timeout, Some(10)), Some(at(5)), "the first one counts");
        pace.observe(at(4), 1_000);
        assert_eq!(pace.deadline(timeout, None), Some(at(5)), "nothing was taken");
        pace.observe(at(4), 1_010);
        assert_eq!(pace.deadline(timeout, None), Some(at(9)));
        assert_eq!(pace.deadline(timeout, Some(10)), Some(at(6)), "a second was earned");
        pace.observe(at(5), 1_100);
        assert_eq!(pace.deadline(timeout, Some(10)), Some(at(10)), "no more than the timeout");
        assert!(!pace.observe(at(9), 500));
        assert_eq!(pace.deadline(timeout, None), Some(at(10)), "nothing was taken");
        assert_eq!(pace.next_look(timeout, None), Some(at(10)));
        assert!(pace.observe(at(9), u64::MAX));
        assert_eq!(pace.deadline(timeout, Some(1)), Some(at(14)));
        let look = at(9) + Duration::from_millis(1_250);
        assert_eq!(pace.next_look(timeout, None), Some(look), "a quarter of the timeout");
        pace.end();
        assert!(!pace.is_measured() && !pace.observe(at(10), 1));
        assert_eq!((pace.deadline(timeout, None), pace.next_look(timeout, None)), (None, None));
    }
    #[test]
    fn what_is_earned_has_no_end() {
        assert_eq!(earned(10 << 30, 1 << 20), Duration::from_secs(10 << 10));
        assert_eq!(earned(5, 0), Duration::from_secs(5));
        assert_eq!(earned(u64::MAX, 1), Duration::from_nanos(u64::MAX));
    }
}
