//! Again, with a growing pause: for what may be carried out more than once.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use super::ClientError;
use super::deadline::Deadline;
use crate::runtime::clock;
use crate::service::retry::RetryPolicy;

/// Does something until it succeeds, fails for good ([`ClientError::is_transient`]) or the policy
/// says that it is enough. What it does is to be safe to do twice: connecting, and exchanges that
/// only read. A policy of one try gives its error as it is.
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{Frame, FrameOptions, RetryPolicy, Target, retry};
///
/// let target: Target = "localhost:7100".parse()?;
/// let stats = retry(&RetryPolicy::default(), || {
///     Frame::connect(&target, &FrameOptions::default())?.stats(Duration::from_secs(5))
/// })?;
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
///
/// # Errors
/// [`ClientError::RetriesExhausted`], or the error that no other try would mend.
pub fn retry<T>(
    policy: &RetryPolicy,
    mut attempt: impl FnMut() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let mut tries = Tries::new(*policy);
    let never = Deadline::new(Duration::MAX);
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if !error.is_transient() => return Err(error),
            Err(error) => tries.rest(error, never)?,
        }
    }
}

/// The tries of one exchange.
#[derive(Debug)]
pub(super) struct Tries {
    policy: RetryPolicy,
    begun: Instant,
    /// How many have failed.
    failed: u32,
}

impl Tries {
    /// Before the first one.
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self { policy, begun: clock::now(), failed: 0 }
    }

    /// One has failed by what may get better: rests until the next one, if there is to be one.
    pub(super) fn rest(&mut self, error: ClientError, until: Deadline) -> Result<(), ClientError> {
        self.failed += 1;
        let elapsed = clock::now().saturating_duration_since(self.begun);
        match self.policy.rest(self.failed, elapsed, random()) {
            Ok(pause) if pause < until.rest() => {
                rest(pause);
                Ok(())
            }
            // One that was not repeated is told as it is.
            Ok(_) | Err(_) if self.failed <= 1 => Err(error),
            Ok(_) | Err(_) => {
                let (tries, last) = (self.failed, Box::new(error));
                Err(ClientError::RetriesExhausted { tries, last })
            }
        }
    }
}

/// Bits that nobody can foretell: the keys of a new hasher.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Parks for a time; others' wake-ups do not shorten it.
pub(super) fn rest(pause: Duration) {
    let start = clock::now();
    loop {
        let elapsed = clock::now().saturating_duration_since(start);
        match pause.checked_sub(elapsed) {
            Some(left) if !left.is_zero() => std::thread::park_timeout(left),
            Some(_) | None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        tries_max: 4,
        backoff: Duration::from_millis(100),
        backoff_max: Duration::from_millis(250),
        deadline: Duration::from_secs(1),
    };

    #[test]
    fn only_what_may_get_better_is_tried_again() {
        let peer = || "10.0.0.5:1".to_owned();
        let policy = RetryPolicy { backoff: Duration::ZERO, ..POLICY };
        let mut tries = 0;
        let closed = retry(&policy, || -> Result<(), _> {
            tries += 1;
            Err(ClientError::Closed { peer: peer() })
        });
        let last = Box::new(ClientError::Closed { peer: peer() });
        assert_eq!(closed, Err(ClientError::RetriesExhausted { tries: 4, last }));
        assert_eq!(tries, 4);
        for (code, expected) in [("not_found", 1), ("overloaded", 4)] {
            let mut tries = 0;
            let refused = retry(&policy, || -> Result<(), _> {
                tries += 1;
                let (code, text) = (code.to_owned(), String::new());
                Err(ClientError::Refused { peer: peer(), code, text })
            });
            assert!(refused.is_err());
            assert_eq!(tries, expected, "{code}");
        }
    }

    #[test]
    fn a_success_ends_it_and_one_try_gives_its_own_error() {
        let peer = || "10.0.0.5:1".to_owned();
        let mut tries = 0;
        let second = retry(&RetryPolicy { backoff: Duration::ZERO, ..POLICY }, || {
            tries += 1;
            if tries == 2 { Ok(tries) } else { Err(ClientError::Closed { peer: peer() }) }
        });
        assert_eq!(second, Ok(2));
        let once = RetryPolicy { tries_max: 1, ..POLICY };
        let error = retry(&once, || -> Result<(), _> { Err(ClientError::Closed { peer: peer() }) });
        assert_eq!(error, Err(ClientError::Closed { peer: peer() }));
    }
}
