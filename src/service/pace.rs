//! Whether a peer takes what it is sent.
//!
//! That a socket has taken bytes says little: it may have megabytes of room, and may report room
//! again only when a third of it is free. What counts is what the peer's system has acknowledged.

use std::time::{Duration, Instant};

/// How a peer takes bytes, from the moment on at which its socket was full.
///
/// Calling order: [`Pace::begin`] when the socket takes no more, [`Pace::note`] and
/// [`Pace::observe`] meanwhile, [`Pace::end`] when nothing waits for the peer any longer.
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
}

impl Pace {
    /// The socket is full. `taken` is what the peer has acknowledged of all that it was ever sent.
    pub fn begin(&mut self, now: Instant, taken: u64) {
        if self.0.is_none() {
            self.0 = Some(Box::new(Watch { began: now, first: taken, taken, last: now }));
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

    /// The socket took bytes again: its peer must have taken some.
    pub fn note(&mut self, now: Instant) {
        if let Some(watch) = &mut self.0 {
            watch.last = now;
        }
    }

    /// So much has been acknowledged by now.
    pub fn observe(&mut self, now: Instant, taken: u64) {
        if let Some(watch) = &mut self.0
            && taken > watch.taken
        {
            (watch.taken, watch.last) = (taken, now);
        }
    }

    /// When the peer must have taken more: `timeout` after it last did, and, after a first
    /// `timeout`, no more slowly than `rate_min` bytes a second. None when nothing is measured.
    #[must_use]
    pub fn deadline(&self, timeout: Duration, rate_min: Option<u32>) -> Option<Instant> {
        let watch = self.0.as_ref()?;
        let idle = watch.last + timeout;
        let Some(rate) = rate_min else { return Some(idle) };
        let bytes = u32::try_from(watch.taken.saturating_sub(watch.first)).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(1).saturating_mul(bytes) / rate.max(1);
        let slow = watch.began.checked_add(timeout.saturating_add(earned));
        Some(slow.map_or(idle, |slow| slow.min(idle)))
    }
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
        pace.note(at(8));
        assert_eq!(pace.deadline(timeout, None), Some(at(13)));
        assert_eq!(pace.deadline(timeout, Some(10)), Some(at(15).min(at(13))));
        pace.observe(at(9), 500);
        assert_eq!(pace.deadline(timeout, None), Some(at(13)), "a socket that was counted late");
        pace.observe(at(9), u64::MAX);
        assert_eq!(pace.deadline(timeout, Some(1)), Some(at(14)));
        pace.end();
        assert!(!pace.is_measured());
        assert_eq!(pace.deadline(timeout, None), None);
    }
}
