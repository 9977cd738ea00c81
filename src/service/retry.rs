//! Whether and when a failed exchange is tried again.
//!
//! Three limits hold at once: how often and how long one exchange is tried ([`RetryPolicy`]), what
//! may be repeated at all ([`Safety`]), and how much all exchanges of an upstream together may add
//! to its load ([`RetryBudget`]), so that retries can not drown a server that is just recovering.

use std::error::Error;
use std::time::{Duration, Instant};

/// One token. A token's fractions are nanoseconds' worth of one token a second, so that the reserve
/// grows by whole numbers, whatever the steps of time are.
const TOKEN: u64 = 1_000_000_000;
/// So many tokens are saved up at most: what a burst of failures may spend at once.
pub const BUDGET_TOKENS_MAX: u32 = 100;
/// Retries a second that are always allowed, for an upstream with few requests, unless said
/// otherwise.
pub const RESERVE_PER_SECOND: u32 = 3;
/// The greatest share of requests that may be retries: more than a few per request is no limit.
const SHARE_MAX: f64 = 10.0;

/// How one exchange is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, with the first one.
    pub tries_max: u32,
    /// The longest wait before the second try; twice as long before each further one.
    pub backoff: Duration,
    /// The longest wait before any try.
    pub backoff_max: Duration,
    /// No try begins when so long has passed since the exchange began.
    pub deadline: Duration,
}

impl RetryPolicy {
    /// The longest wait after `tries` failed tries, in nanoseconds.
    fn ceiling(&self, tries: u32) -> u64 {
        let factor = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
        let ceiling = self.backoff.saturating_mul(factor).min(self.backoff_max);
        u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What is known about an exchange that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// The server may have acted on it, and may do so twice.
    Idempotent,
    /// It never left: it can be repeated at once, whatever it is.
    NotSent,
    /// The server may have acted on it, and must not do so twice.
    Unsafe,
}

/// Why an exchange is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUpReason {
    /// It must not be repeated.
    Unsafe,
    /// It was tried as often as allowed.
    TriesExhausted,
    /// The next try would begin too late.
    DeadlineOver,
    /// The upstream's budget for retries is spent.
    BudgetEmpty,
}

impl GiveUpReason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 4] =
        [Self::Unsafe, Self::TriesExhausted, Self::DeadlineOver, Self::BudgetEmpty];

    /// The reason's place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The label of the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsafe => "unsafe",
            Self::TriesExhausted => "tries_exhausted",
            Self::DeadlineOver => "deadline_over",
            Self::BudgetEmpty => "budget_empty",
        }
    }
}

/// What follows a failed try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another one at this time, which may be now.
    Again {
        /// When.
        at: Instant,
    },
    /// None.
    GiveUp(GiveUpReason),
}

/// The tries of one exchange.
///
/// Calling order: [`RetryBudget::deposit`] and [`Self::new`] when the exchange begins; then, after
/// each try that failed, [`Self::after_failure`], until it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    tries: u32,
    /// `None` where the clock can not count so far.
    deadline: Option<Instant>,
}

impl Retry {
    /// An exchange whose first try begins now.
    #[must_use]
    pub fn new(policy: &RetryPolicy, now: Instant) -> Self {
        Self { tries: 1, deadline: now.checked_add(policy.deadline) }
    }

    /// Tries that have begun or were announced.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// When the exchange's time is over.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What follows the failure of the present try. The wait is spread evenly from none to the
    /// longest one by `random`, any number that differs from core to core and call to call, so that
    /// exchanges that failed together do not come back together.
    pub fn after_failure(
        &mut self,
        policy: &RetryPolicy,
        now: Instant,
        safety: Safety,
        budget: &mut RetryBudget,
        random: u64,
    ) -> Verdict {
        let verdict = self.judge(policy, now, safety, budget, random);
        match verdict {
            Verdict::Again { .. } => {
                self.tries += 1;
                budget.counters.retries += 1;
            }
            Verdict::GiveUp(reason) => budget.counters.gave_up[reason.index()] += 1,
        }
        verdict
    }

    fn judge(
        &self,
        policy: &RetryPolicy,
        now: Instant,
        safety: Safety,
        budget: &mut RetryBudget,
        random: u64,
    ) -> Verdict {
        if self.tries >= policy.tries_max {
            return Verdict::GiveUp(GiveUpReason::TriesExhausted);
        }
        let wait = match safety {
            Safety::Unsafe => return Verdict::GiveUp(GiveUpReason::Unsafe),
            Safety::NotSent => Duration::ZERO,
            Safety::Idempotent => jitter(policy.ceiling(self.tries), random),
        };
        let at = now.checked_add(wait);
        let Some(at) = at.filter(|&at| self.deadline.is_none_or(|deadline| at < deadline)) else {
            return Verdict::GiveUp(GiveUpReason::DeadlineOver);
        };
        if budget.take(now) {
            Verdict::Again { at }
        } else {
            Verdict::GiveUp(GiveUpReason::BudgetEmpty)
        }
    }
}

/// A time from none to `ceiling` nanoseconds, both included, each as likely as the others.
fn jitter(ceiling: u64, random: u64) -> Duration {
    let scaled = (u128::from(random) * (u128::from(ceiling) + 1)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(ceiling))
}

/// What happened to the exchanges of one upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryCounters {
    /// Exchanges that began.
    pub requests: u64,
    /// Tries after the first one.
    pub retries: u64,
    /// Exchanges given up, by [`GiveUpReason::index`].
    pub gave_up: [u64; GiveUpReason::ALL.len()],
}

/// How many retries an upstream is given by one core, as a share of its requests.
///
/// Calling order: [`Self::deposit`] once for each exchange, before its [`Retry`] is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryBudget {
    /// What a request brings, in parts of [`TOKEN`].
    deposit: u64,
    saved: u64,
    per_second: u32,
    reserve: u64,
    /// Up to when the reserve has grown.
    grown: Option<Instant>,
    counters: RetryCounters,
}

impl RetryBudget {
    /// A budget of `share` retries per request (0.2: one for five) and, beside them, a reserve of
    /// `per_second_min` a second, [`RESERVE_PER_SECOND`] by default, that lasts for one second.
    #[must_use]
    pub fn new(share: f64, per_second_min: u32) -> Self {
        // Not a number is taken as 0.
        let share = Duration::try_from_secs_f64(share.clamp(0.0, SHARE_MAX)).unwrap_or_default();
        Self {
            deposit: u64::try_from(share.as_nanos()).unwrap_or(u64::MAX),
            saved: 0,
            per_second: per_second_min,
            reserve: u64::from(per_second_min) * TOKEN,
            grown: None,
            counters: RetryCounters::default(),
        }
    }

    /// An exchange begins.
    pub fn deposit(&mut self) {
        self.counters.requests += 1;
        self.saved = (self.saved + self.deposit).min(u64::from(BUDGET_TOKENS_MAX) * TOKEN);
    }

    /// Retries that can be had now, were the time that of the last one.
    #[must_use]
    pub const fn balance(&self) -> u64 {
        self.saved / TOKEN + self.reserve / TOKEN
    }

    /// What happened so far.
    #[must_use]
    pub const fn retry_counters(&self) -> &RetryCounters {
        &self.counters
    }

    /// Takes a token. The reserve goes first, because it comes back by itself.
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.grown.unwrap_or(now)).as_nanos();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let reserve_max = u64::from(self.per_second) * TOKEN;
        let grown = passed.saturating_mul(u64::from(self.per_second));
        self.reserve = self.reserve.saturating_add(grown).min(reserve_max);
        self.grown = self.grown.max(Some(now));
        let purse = if self.reserve >= TOKEN { &mut self.reserve } else { &mut self.saved };
        let left = purse.checked_sub(TOKEN);
        *purse = left.unwrap_or(*purse);
        left.is_some()
    }
}

/// An exchange failed in every try.
#[derive(Debug, thiserror::Error)]
#[error("gave up after {tries} {}: {last}", if *.tries == 1 { "try" } else { "tries" })]
pub struct RetriesExhausted<E: Error + 'static> {
    /// How often it was tried.
    pub tries: u32,
    /// Why the last try failed.
    #[source]
    pub last: E,
}

#[cfg(test)]
mod tests;
