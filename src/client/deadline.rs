//! Until when something may take.

use std::time::{Duration, Instant};

use crate::runtime::clock;

/// A point in time, with the patience that it was made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// The point in time; none if it is too far ahead to be expressed.
    pub(super) until: Option<Instant>,
    /// How long was to be waited in all.
    pub(super) patience: Duration,
}

impl Deadline {
    /// The time that begins now.
    pub(super) fn new(patience: Duration) -> Self {
        Self { until: clock::now().checked_add(patience), patience }
    }

    /// Whether the time is over.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| clock::now() >= until)
    }

    /// What is left of it.
    pub(super) fn rest(&self) -> Duration {
        let rest = |until: Instant| until.saturating_duration_since(clock::now());
        self.until.map_or(Duration::MAX, rest)
    }

    /// The earlier one of two.
    pub(super) fn min(self, other: Self) -> Self {
        match (self.until, other.until) {
            (Some(own), Some(until)) if until < own => other,
            (None, Some(_)) => other,
            (_, _) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_one_holds() {
        let (soon, late) = (Deadline::new(Duration::ZERO), Deadline::new(Duration::from_secs(60)));
        let never = Deadline::new(Duration::MAX);
        assert!(soon.is_over() && !late.is_over() && !never.is_over());
        assert_eq!(soon.rest(), Duration::ZERO);
        assert_eq!(never.rest(), Duration::MAX);
        for (one, other, expected) in [(soon, late, soon), (never, late, late)] {
            assert_eq!(one.min(other).until, expected.until);
            assert_eq!(other.min(one).until, expected.until);
        }
    }
}
