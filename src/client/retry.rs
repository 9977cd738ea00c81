//! Again, with a growing pause: for what may be carried out more than once.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use super::ClientError;
use crate::runtime::clock;

/// How often, and with which pauses, something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Tries in all, the first among them; at least one.
    pub tries: u32,
    /// The longest pause after the first try; it doubles with each.
    pub base: Duration,
    /// The longest pause of all.
    pub cap: Duration,
    /// No try begins later than this after the first.
    pub total: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tries: 3,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(5),
            total: Duration::from_secs(30),
        }
    }
}

impl Policy {
    /// The pause after so many failed tries, of which `random` chooses any part ("full jitter":
    /// clients that failed together do not come back together). `None` when there is no next try.
    #[must_use]
    pub fn pause(&self, failed: u32, elapsed: Duration, random: u64) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.base.saturating_mul(doubled).min(self.cap);
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
        let pause = Duration::from_nanos(random % nanos.saturating_add(1).max(1));
        elapsed.checked_add(pause).filter(|start| *start <= self.total).map(|_| pause)
    }
}

/// Does something until it succeeds, fails for good ([`ClientError::is_transient`]) or the policy
/// says that it is enough. What it does is to be safe to do twice: connecting, and exchanges that
/// only read. A policy of one try gives its error as it is.
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{Frame, FrameOptions, Policy, Target, retry};
///
/// let target: Target = "localhost:7100".parse()?;
/// let stats = retry(&Policy::default(), || {
///     Frame::connect(&target, &FrameOptions::default())?.stats(Duration::from_secs(5))
/// })?;
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
///
/// # Errors
/// [`ClientError::RetriesExhausted`], or the error that no other try would mend.
pub fn retry<T>(
    policy: &Policy,
    mut attempt: impl FnMut() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    let start = clock::now();
    let mut tries = 0;
    loop {
        let error = match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if !error.is_transient() || policy.tries <= 1 => return Err(error),
            Err(error) => error,
        };
        tries += 1;
        let elapsed = clock::now().saturating_duration_since(start);
        let Some(pause) = policy.pause(tries, elapsed, random()) else {
            return Err(ClientError::RetriesExhausted { tries, last: Box::new(error) });
        };
        rest(pause);
    }
}

/// Bits that nobody can foretell: the keys of a new hasher.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Parks for a time; others' wake-ups do not shorten it.
fn rest(pause: Duration) {
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

    const POLICY: Policy = Policy {
        tries: 4,
        base: Duration::from_millis(100),
        cap: Duration::from_millis(250),
        total: Duration::from_secs(1),
    };

    #[test]
    fn pauses_double_up_to_the_cap_and_end() {
        let longest = |failed| {
            let pauses = (0..2000).map(|n| POLICY.pause(failed, Duration::ZERO, n * 500_009));
            pauses.map(|pause| pause.unwrap().as_millis()).max().unwrap()
        };
        assert_eq!([longest(1), longest(2), longest(3)], [99, 199, 249]);
        assert_eq!(POLICY.pause(4, Duration::ZERO, 0), None, "four tries");
        assert_eq!(POLICY.pause(1, Duration::from_millis(1001), 0), None, "too late");
        assert_eq!(POLICY.pause(1, Duration::ZERO, 0), Some(Duration::ZERO));
    }

    #[test]
    fn only_what_may_get_better_is_tried_again() {
        let peer = || "10.0.0.5:1".to_owned();
        let policy = Policy { base: Duration::ZERO, ..POLICY };
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
        let second = retry(&Policy { base: Duration::ZERO, ..POLICY }, || {
            tries += 1;
            if tries == 2 { Ok(tries) } else { Err(ClientError::Closed { peer: peer() }) }
        });
        assert_eq!(second, Ok(2));
        let once = Policy { tries: 1, ..POLICY };
        let error = retry(&once, || -> Result<(), _> { Err(ClientError::Closed { peer: peer() }) });
        assert_eq!(error, Err(ClientError::Closed { peer: peer() }));
    }
}
