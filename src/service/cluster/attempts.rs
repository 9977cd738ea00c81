//! Whether and when an exchange is tried again, and on which server.

use std::time::{Duration, Instant};

use super::breaker::Breaker;
use super::failure::{Failure, FailureKind, TryProgress};
use super::random::Random;
use super::servers::Servers;
use crate::service::grpc::{Code, CodeSet};
use crate::service::retry::{GiveUp, Retry, RetryBudget, RetryPolicy, Safety, Verdict};

/// The most times that an exchange is tried again, whatever is asked for.
pub const RETRIES_MAX: u32 = 16;
/// For how long after its beginning an exchange goes on to the next server when no connection to
/// one can be made. A client that has waited for so long has mostly given up.
pub const FAILOVER_MAX: Duration = Duration::from_secs(10);
/// The most tries of an exchange.
pub const TRIES_MAX: usize = 17;

/// Which failures are tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection stood.
    pub connect: bool,
    /// The connection was lost before any byte of the answer.
    pub reset: bool,
    /// The answer did not come in time.
    pub timeout: bool,
}

impl RetryOn {
    /// A kept connection that was gone is no fault, and always tried again.
    const fn wants(self, kind: FailureKind) -> bool {
        match kind {
            FailureKind::Connect => self.connect,
            FailureKind::Stale | FailureKind::Unprocessed => true,
            FailureKind::Reset => self.reset,
            FailureKind::Timeout => self.timeout,
            FailureKind::Final => false,
        }
    }
}

/// A set of the statuses 500 to 599.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusSet(u128);

impl StatusSet {
    /// Adds a status; `false` for one that no set has.
    pub const fn insert(&mut self, status: u16) -> bool {
        let bit = Self::bit(status);
        self.0 |= bit;
        bit != 0
    }

    /// Whether it has this status.
    #[must_use]
    pub const fn contains(self, status: u16) -> bool {
        self.0 & Self::bit(status) != 0
    }

    const fn bit(status: u16) -> u128 {
        match status {
            500..=599 => 1 << (status - 500),
            _ => 0,
        }
    }
}

/// How exchanges are tried again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttemptOptions {
    /// Tries after the first one; at most [`RETRIES_MAX`] count.
    pub retries_max: u32,
    /// Which failures.
    pub on: RetryOn,
    /// Which statuses.
    pub statuses: StatusSet,
    /// Which statuses of calls of gRPC.
    pub codes: CodeSet,
    /// The longest rest before the second try; doubled for each further one. What rests is any part
    /// of it ("full jitter").
    pub backoff: Duration,
    /// The longest rest of all.
    pub backoff_max: Duration,
    /// The time for all tries together.
    pub deadline: Option<Duration>,
    /// Retries for each request that are allowed over time, 0 to 1; 0 forbids them all.
    pub budget: f64,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try again.
    Retry {
        /// After this rest.
        after: Duration,
    },
    /// The failure, or the status, is the client's.
    Fail(Stop),
}

/// Why an exchange is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nobody asked for it.
    NotWanted,
    /// It may have been carried out, and is not idempotent, or its answer has begun.
    Unsafe,
    /// Its body is not there any more.
    Body,
    /// There were as many tries as there may be.
    Tries,
    /// There is no time left.
    Deadline,
    /// Too many of the upstream's exchanges were tried again of late.
    Budget,
    /// Too many are being tried again at the moment.
    Limit,
}

impl Stop {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::NotWanted,
        Self::Unsafe,
        Self::Body,
        Self::Tries,
        Self::Deadline,
        Self::Budget,
        Self::Limit,
    ];

    /// The reason's place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The label of logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotWanted => "not_wanted",
            Self::Unsafe => "unsafe",
            Self::Body => "body",
            Self::Tries => "tries",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
            Self::Limit => "limit",
        }
    }
}

impl From<GiveUp> for Stop {
    fn from(reason: GiveUp) -> Self {
        match reason {
            GiveUp::Unsafe => Self::Unsafe,
            GiveUp::Tries => Self::Tries,
            GiveUp::Deadline => Self::Deadline,
            GiveUp::Budget => Self::Budget,
        }
    }
}

/// What was counted of an upstream's retries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryCounters {
    /// Exchanges that were tried again.
    pub retried: u64,
    /// Those that were not, in the order of [`Stop::ALL`].
    pub stopped: [u64; Stop::ALL.len()],
}

/// What the exchanges of one worker with one upstream share.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    on: RetryOn,
    statuses: StatusSet,
    codes: CodeSet,
    budget: RetryBudget,
    random: Random,
    counters: RetryCounters,
}

impl Retries {
    /// Nothing was tried again yet.
    #[must_use]
    pub fn new(options: AttemptOptions, seed: u64, now: Instant) -> Self {
        Self {
            policy: RetryPolicy {
                tries_max: options.retries_max.min(RETRIES_MAX) + 1,
                backoff: options.backoff,
                backoff_max: options.backoff_max,
                deadline: options.deadline.unwrap_or(Duration::MAX),
            },
            on: options.on,
            statuses: options.statuses,
            codes: options.codes,
            budget: RetryBudget::new(options.budget, now),
            random: Random::new(seed),
            counters: RetryCounters::default(),
        }
    }

    /// An exchange begins, whose deadline counts from now.
    pub fn begin(&mut self, now: Instant) -> Attempts {
        self.budget.deposit();
        Attempts {
            retry: Retry::new(now),
            since: now,
            deadline: now.checked_add(self.policy.deadline),
            tried: [0; TRIES_MAX],
            tried_count: 0,
            retrying: false,
            hedging: false,
            replaced: false,
            fails_over: false,
        }
    }

    /// Whether answers with this status are not passed on while there may be another.
    #[must_use]
    pub const fn wants_status(&self, status: u16) -> bool {
        self.statuses.contains(status)
    }

    /// Whether calls of gRPC that end with this status are not answered while there may be
    /// another try.
    #[must_use]
    pub const fn wants_code(&self, code: Code) -> bool {
        self.codes.contains(code)
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> RetryCounters {
        self.counters
    }
}

/// The tries of one exchange.
///
/// Calling order: for each try [`Attempts::pick`]; when it went wrong [`Attempts::on_failure`] or
/// [`Attempts::on_status`]; once at the end, however it came, [`Attempts::finish`].
#[derive(Debug)]
pub struct Attempts {
    retry: Retry,
    since: Instant,
    deadline: Option<Instant>,
    tried: [usize; TRIES_MAX],
    tried_count: usize,
    /// It counts as being tried again.
    retrying: bool,
    /// So does its second try beside the first.
    hedging: bool,
    /// A kept connection that was gone has been made up for.
    replaced: bool,
    /// The next try is for a connect that failed.
    fails_over: bool,
}

impl Attempts {
    /// A server that was not tried. When all were, any but the last, and the last if it is the only
    /// one.
    pub fn pick(
        &mut self,
        servers: &mut Servers,
        hash: Option<u64>,
        now: Instant,
    ) -> Option<usize> {
        let mut picked = servers.pick(hash, self.tried(), now);
        if picked.is_none() && self.fails_over {
            picked = servers.pick_unreachable(self.tried());
        }
        if let (None, Some(last)) = (picked, self.tried().last().copied()) {
            self.tried_count = 0;
            picked = servers.pick(hash, &[last], now).or_else(|| servers.pick(hash, &[], now));
        }
        let picked = picked?;
        if let Some(place) = self.tried.get_mut(self.tried_count) {
            *place = picked;
            self.tried_count += 1;
        }
        Some(picked)
    }

    /// A server for a second try beside the first, if there is another, and if the budget and the
    /// limit of retries allow it. [`Attempts::end_hedge`] follows.
    pub fn pick_hedge(
        &mut self,
        (retries, breaker, servers): (&mut Retries, &mut Breaker, &mut Servers),
        hash: Option<u64>,
        now: Instant,
    ) -> Option<usize> {
        let place = self.tried.get(self.tried_count).is_some();
        if !place || self.hedging || breaker.try_retry().is_err() {
            return None;
        }
        self.hedging = true;
        let is_allowed = retries.budget.withdraw(now);
        let picked = if is_allowed { servers.pick(hash, self.tried(), now) } else { None };
        match (picked, self.tried.get_mut(self.tried_count)) {
            (Some(server), Some(place)) => {
                *place = server;
                self.tried_count += 1;
            }
            _ => self.end_hedge(breaker),
        }
        picked
    }

    /// There are not two tries any more.
    pub const fn end_hedge(&mut self, breaker: &mut Breaker) {
        if self.hedging {
            self.hedging = false;
            breaker.leave_retry();
        }
    }

    /// The servers that were tried since all were, the last one last.
    #[must_use]
    pub fn tried(&self) -> &[usize] {
        self.tried.get(..self.tried_count).unwrap_or_default()
    }

    /// Tries that went wrong and could have been repeated.
    #[must_use]
    pub const fn failed(&self) -> u32 {
        self.retry.tries()
    }

    /// When the exchange fails with [`Failure::TotalTimeout`].
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// A try has failed; `has_other` says whether there is a server that was not tried, and is
    /// usable or, where a connect failed, not known to be dead.
    ///
    /// When no connection could be made, nothing was sent: the next server is asked at once, up to
    /// [`TRIES_MAX`] of them once each, whatever budgets and limits say, as that adds no load. Only
    /// [`FAILOVER_MAX`] ends it, and `retries_max = 0`, by which nothing is tried again.
    pub fn on_failure(
        &mut self,
        retries: &mut Retries,
        breaker: &mut Breaker,
        (failure, has_other): (Failure, bool),
        progress: TryProgress,
        now: Instant,
    ) -> Decision {
        let kind = failure.kind();
        let is_free = kind == FailureKind::Connect && retries.on.connect && !progress.answered;
        let is_early = now.saturating_duration_since(self.since) < FAILOVER_MAX;
        // Beyond that, it is not known any more which ones were tried.
        let is_new = has_other && self.tried_count < TRIES_MAX;
        self.fails_over = is_free;
        if is_free && is_new && is_early && retries.policy.tries_max > 1 {
            retries.counters.retried += 1;
            return Decision::Retry { after: Duration::ZERO };
        }
        let verdict = if !retries.on.wants(kind) {
            Err(Stop::NotWanted)
        } else if failure.may_be_retried(progress) {
            // A server may close a connection that it keeps: there is nothing to rest for, and the
            // first time it is no try at all.
            let stale = kind == FailureKind::Stale;
            if stale && !std::mem::replace(&mut self.replaced, true) {
                return Decision::Retry { after: Duration::ZERO };
            }
            Ok(if stale { Safety::NotSent } else { failure.safety(progress) })
        } else if failure.safety(progress) == Safety::Unsafe {
            Err(Stop::Unsafe)
        } else {
            Err(Stop::Body)
        };
        self.decide(retries, breaker, verdict, now)
    }

    /// A try has brought an answer with this status. It is tried again if that is one of those that
    /// are, the exchange is idempotent and its body is there; that some of the answer was seen does
    /// not matter, as the client was told nothing of it.
    pub fn on_status(
        &mut self,
        retries: &mut Retries,
        breaker: &mut Breaker,
        status: u16,
        progress: TryProgress,
        now: Instant,
    ) -> Decision {
        self.fails_over = false;
        let verdict = if !retries.statuses.contains(status) {
            Err(Stop::NotWanted)
        } else if !progress.idempotent {
            Err(Stop::Unsafe)
        } else if !progress.body_repeatable {
            Err(Stop::Body)
        } else {
            Ok(Safety::Idempotent)
        };
        self.decide(retries, breaker, verdict, now)
    }

    /// A try of a call of gRPC has brought a status that is tried again ([`Retries::wants_code`])
    /// and nothing else. Calls are never idempotent by their method: who names a status in the
    /// configuration says that its calls can be repeated.
    pub fn on_code(
        &mut self,
        retries: &mut Retries,
        breaker: &mut Breaker,
        progress: TryProgress,
        now: Instant,
    ) -> Decision {
        self.fails_over = false;
        let verdict =
            if progress.body_repeatable { Ok(Safety::Idempotent) } else { Err(Stop::Body) };
        self.decide(retries, breaker, verdict, now)
    }

    /// The exchange is over.
    pub const fn finish(&mut self, breaker: &mut Breaker) {
        self.end_hedge(breaker);
        if self.retrying {
            self.retrying = false;
            breaker.leave_retry();
        }
    }

    fn decide(
        &mut self,
        retries: &mut Retries,
        breaker: &mut Breaker,
        verdict: Result<Safety, Stop>,
        now: Instant,
    ) -> Decision {
        self.finish(breaker);
        let rest = verdict.and_then(|safety| self.again(retries, breaker, safety, now));
        match rest {
            Ok(after) => {
                self.retrying = true;
                retries.counters.retried += 1;
                Decision::Retry { after }
            }
            Err(stop) => {
                retries.counters.stopped[stop.index()] += 1;
                Decision::Fail(stop)
            }
        }
    }

    /// The rest before the next try, which is then counted by the breaker and the budget.
    fn again(
        &mut self,
        retries: &mut Retries,
        breaker: &mut Breaker,
        safety: Safety,
        now: Instant,
    ) -> Result<Duration, Stop> {
        let at_once = safety == Safety::NotSent && self.retry.tries() == 0;
        let random = if at_once { 0 } else { retries.random.bits() };
        let elapsed = now.saturating_duration_since(self.since);
        // Asked first, so that what has no try left is not counted as refused for another reason.
        retries.policy.rest(self.retry.tries() + 1, elapsed, random)?;
        breaker.try_retry().map_err(|_| Stop::Limit)?;
        let Retries { policy, budget, .. } = retries;
        match self.retry.after_failure(policy, now, safety, budget, random) {
            Verdict::Again { at } => Ok(at.saturating_duration_since(now)),
            Verdict::GiveUp(reason) => {
                breaker.leave_retry();
                Err(reason.into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
