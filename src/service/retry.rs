//! Whether, and when, something that failed is tried again.

use std::time::{Duration, Instant};

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first among them; at least 1.
    pub tries_max: u32,
    /// The longest rest before the second try; doubled for each further one.
    pub backoff: Duration,
    /// The longest rest of all.
    pub backoff_max: Duration,
    /// The time for all tries together.
    pub deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            tries_max: 3,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            deadline: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// The rest after so many failed tries.
    ///
    /// # Errors
    /// Why there is no next try.
    pub fn rest(&self, failed: u32, elapsed: Duration, random: u64) -> Result<Duration, GiveUp> {
        if failed >= self.tries_max {
            return Err(GiveUp::Tries);
        }
        let backoff = (self.backoff, self.backoff_max);
        let rest = full_jitter(backoff, failed.saturating_sub(1), random);
        let start = elapsed.checked_add(rest).filter(|start| *start < self.deadline);
        start.map(|_| rest).ok_or(GiveUp::Deadline)
    }
}

/// A rest of which `random` chooses any part ("full jitter"), so that many who fail together do not
/// come back together: of `backoff`, doubled so often, and of its maximum at most.
pub(super) fn full_jitter(
    (backoff, most): (Duration, Duration),
    doublings: u32,
    random: u64,
) -> Duration {
    let doubled = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let most = backoff.saturating_mul(doubled).min(most);
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random % nanos.saturating_add(1).max(1))
}

/// Whether a failed try may be repeated without harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// It was certainly not carried out.
    NotSent,
    /// It may have been carried out, which does no harm a second time.
    Idempotent,
    /// It may have been carried out.
    Unsafe,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Try again, not before this time.
    Again {
        /// The end of the rest.
        at: Instant,
    },
    /// Give up.
    GiveUp(GiveUp),
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// It may have been carried out.
    Unsafe,
    /// There were as many tries as there may be.
    Tries,
    /// The time is over, or would be after the rest.
    Deadline,
    /// Too many others are tried again.
    Budget,
}

impl GiveUp {
    /// In words, for an error that a client is told.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unsafe => "the connection was lost, and the request may have been carried out",
            Self::Tries => "the connection was lost at every try",
            Self::Deadline => "the connection was lost, and there is no time to try again",
            Self::Budget => "the connection was lost, as many others were: not tried again",
        }
    }
}

/// The tries of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    since: Instant,
    tries: u32,
}

impl Retry {
    /// Before the first try has failed.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { since: now, tries: 0 }
    }

    /// Tries that have failed.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// A try has failed. `random` is any number. What was not sent is sent again at once, the first
    /// time.
    pub fn after_failure(
        &mut self,
        policy: &RetryPolicy,
        now: Instant,
        safety: Safety,
        budget: &mut RetryBudget,
        random: u64,
    ) -> Verdict {
        self.tries += 1;
        if safety == Safety::Unsafe {
            return Verdict::GiveUp(GiveUp::Unsafe);
        }
        let at_once = safety == Safety::NotSent && self.tries == 1;
        let elapsed = now.saturating_duration_since(self.since);
        match policy.rest(self.tries, elapsed, if at_once { 0 } else { random }) {
            Err(reason) => Verdict::GiveUp(reason),
            Ok(_) if !budget.withdraw(now) => Verdict::GiveUp(GiveUp::Budget),
            Ok(rest) => Verdict::Again { at: now + rest },
        }
    }
}

/// Parts of a retry that the budget counts in.
const PARTS: u64 = 1_000;
/// Retries a second that are always allowed: a share of few requests would be none.
const PER_SECOND_MIN: u64 = 3;
/// Retries that can be saved up.
const SAVED_MAX: u64 = 100;

/// At most a share of the requests is tried again, so that a server which fails is not given more
/// to do than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Parts that each request adds.
    share: u64,
    saved: u64,
    /// When the seconds were last counted.
    counted: Instant,
}

impl RetryBudget {
    /// A budget of `share` retries for each request, 0 to 1. 0 forbids them all.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "0 to 1,000 after the clamp")]
    #[expect(clippy::cast_sign_loss, reason = "0 to 1,000 after the clamp")]
    pub fn new(share: f64, now: Instant) -> Self {
        let share = (share.clamp(0.0, 1.0) * 1_000.0).round() as u64;
        let saved = if share == 0 { 0 } else { PER_SECOND_MIN * PARTS };
        Self { share, saved, counted: now }
    }

    /// A request was made.
    pub fn deposit(&mut self) {
        self.saved = (self.saved + self.share).min(SAVED_MAX * PARTS);
    }

    /// Takes one retry, if there is one.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        if self.share == 0 {
            return false;
        }
        let millis = now.saturating_duration_since(self.counted).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        if millis > 0 {
            self.counted = now;
            let earned = millis.saturating_mul(PER_SECOND_MIN * PARTS / 1_000);
            self.saved = self.saved.saturating_add(earned).min(SAVED_MAX * PARTS);
        }
        let enough = self.saved >= PARTS;
        if enough {
            self.saved -= PARTS;
        }
        enough
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        tries_max: 4,
        backoff: Duration::from_millis(25),
        backoff_max: Duration::from_millis(60),
        deadline: Duration::from_secs(1),
    };

    #[test]
    fn the_rest_doubles_up_to_its_maximum_and_is_anything_below() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(1.0, now);
        (0..9).for_each(|_| budget.deposit());
        for (random, expected) in [(0, [0, 0, 0]), (u64::MAX / 2, [1, 1, 1])] {
            let mut retry = Retry::new(now);
            for (most, some) in [25, 50, 60].into_iter().zip(expected) {
                let verdict =
                    retry.after_failure(&POLICY, now, Safety::Idempotent, &mut budget, random);
                let Verdict::Again { at } = verdict else { panic!("{verdict:?}") };
                assert!(at <= now + Duration::from_millis(most));
                assert_eq!(at > now, some == 1);
            }
            let last = retry.after_failure(&POLICY, now, Safety::Idempotent, &mut budget, random);
            assert_eq!((last, retry.tries()), (Verdict::GiveUp(GiveUp::Tries), 4));
        }
    }

    #[test]
    fn only_what_is_safe_is_tried_again() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(0.2, now);
        let mut verdict = |safety, since: Duration| {
            Retry::new(now - since).after_failure(&POLICY, now, safety, &mut budget, 77)
        };
        assert_eq!(verdict(Safety::Unsafe, Duration::ZERO), Verdict::GiveUp(GiveUp::Unsafe));
        assert_eq!(verdict(Safety::NotSent, Duration::ZERO), Verdict::Again { at: now });
        let late = verdict(Safety::NotSent, Duration::from_secs(1));
        assert_eq!(late, Verdict::GiveUp(GiveUp::Deadline));
    }

    #[test]
    fn retries_are_a_share_of_the_requests_and_a_few_a_second() {
        let start = Instant::now();
        let mut budget = RetryBudget::new(0.1, start);
        let drain =
            |budget: &mut RetryBudget, now| (0..1_000).filter(|_| budget.withdraw(now)).count();
        assert_eq!(drain(&mut budget, start), 3);
        (0..200).for_each(|_| budget.deposit());
        assert_eq!(drain(&mut budget, start), 20);
        assert_eq!(drain(&mut budget, start + Duration::from_secs(2)), 6);
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!(drain(&mut budget, start + Duration::from_secs(2)), 100, "no more is saved up");
        let mut none = RetryBudget::new(0.0, start);
        (0..9).for_each(|_| none.deposit());
        assert!(!none.withdraw(start + Duration::from_secs(9)));
    }

    #[test]
    fn giving_up_says_why_and_a_policy_may_have_no_end() {
        let reasons = [GiveUp::Unsafe, GiveUp::Tries, GiveUp::Deadline, GiveUp::Budget];
        assert!(reasons.iter().all(|reason| !reason.text().is_empty()));
        let endless = RetryPolicy { deadline: Duration::MAX, tries_max: u32::MAX, ..POLICY };
        let late = Duration::from_secs(1 << 40);
        assert!(endless.rest(u32::MAX - 1, late, u64::MAX).is_ok());
        let once = RetryPolicy { tries_max: 1, ..POLICY };
        assert_eq!(once.rest(1, Duration::ZERO, 0), Err(GiveUp::Tries));
        let at_once = RetryPolicy { backoff: Duration::ZERO, ..POLICY };
        assert_eq!(at_once.rest(1, Duration::ZERO, 7), Ok(Duration::ZERO));
    }
}
