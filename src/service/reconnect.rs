//! Whether, and when, a connection that has ended is made again. Pure.

use std::time::Duration;

use super::retry::full_jitter;

/// How connections are made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconnectPolicy {
    /// The longest rest before the first attempt; doubled for each one that fails.
    pub backoff: Duration,
    /// The longest rest of all, unless the server asks for a longer one.
    pub backoff_max: Duration,
    /// How long a connection has to last so that the next loss begins with `backoff` again.
    pub stable: Duration,
    /// The shortest rest after close code 1013 (try again later), to which the usual one is added.
    pub overload: Duration,
    /// The longest rest that a server's `Retry-After` is obeyed with.
    pub retry_after_max: Duration,
    /// Attempts that may fail one after the other before it is given up.
    pub attempts_max: u32,
}

impl Default for ReconnectPolicy {
    fn default() -> Self {
        Self {
            backoff: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            stable: Duration::from_secs(60),
            overload: Duration::from_secs(10),
            retry_after_max: Duration::from_secs(600),
            attempts_max: u32::MAX,
        }
    }
}

/// How a connection has ended, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was lost, or the server did not answer in time.
    Lost,
    /// The server closed it with this code (RFC 6455, section 7.4).
    Closed(u16),
    /// The server did not open it: the status of its answer, and how long it asks to wait.
    Refused(u16, Option<Duration>),
    /// Another attempt would end in the same way: a rule was broken, or what is asked for is wrong.
    Fault,
}

impl Ending {
    /// Whether another connection may be made, and the shortest rest before it.
    fn rest_min(self, policy: &ReconnectPolicy) -> Option<Duration> {
        match self {
            // Going away, no close frame, internal error, restart.
            Self::Lost | Self::Closed(1001 | 1006 | 1011 | 1012) => Some(Duration::ZERO),
            Self::Closed(1013) => Some(policy.overload),
            // Too many requests, unavailable.
            Self::Refused(429 | 503, after) => {
                Some(after.unwrap_or(Duration::ZERO).min(policy.retry_after_max))
            }
            Self::Refused(500..=599, _) => Some(Duration::ZERO),
            Self::Closed(_) | Self::Refused(..) | Self::Fault => None,
        }
    }
}

/// The attempts to make a connection again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconnect {
    /// Ends one after the other, without a stable connection between them.
    failed: u32,
}

impl Reconnect {
    /// A connection has ended that has `lasted` so long, or an attempt to make one has failed,
    /// which lasts no time. Returns the rest before the next attempt, a part of which is chosen by
    /// `random` so that many clients do not come back together; `None` if there is to be none.
    pub fn after(
        &mut self,
        policy: &ReconnectPolicy,
        ending: Ending,
        lasted: Duration,
        random: u64,
    ) -> Option<Duration> {
        if !lasted.is_zero() && lasted >= policy.stable {
            self.failed = 0;
        }
        let least = ending.rest_min(policy)?;
        if self.failed >= policy.attempts_max {
            return None;
        }
        let rest = full_jitter((policy.backoff, policy.backoff_max), self.failed, random);
        self.failed += 1;
        Some(least.saturating_add(rest))
    }

    /// Attempts that have failed one after the other.
    #[must_use]
    pub const fn failed(&self) -> u32 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ReconnectPolicy = ReconnectPolicy {
        backoff: Duration::from_millis(100),
        backoff_max: Duration::from_millis(350),
        stable: Duration::from_secs(60),
        overload: Duration::from_secs(10),
        retry_after_max: Duration::from_secs(100),
        attempts_max: 5,
    };

    #[test]
    fn only_what_may_get_better_is_tried_again() {
        let after = |seconds| Some(Duration::from_secs(seconds));
        for (ending, least) in [
            (Ending::Lost, after(0)),
            (Ending::Closed(1000), None),
            (Ending::Closed(1001), after(0)),
            (Ending::Closed(1002), None),
            (Ending::Closed(1003), None),
            (Ending::Closed(1005), None),
            (Ending::Closed(1006), after(0)),
            (Ending::Closed(1007), None),
            (Ending::Closed(1008), None),
            (Ending::Closed(1009), None),
            (Ending::Closed(1010), None),
            (Ending::Closed(1011), after(0)),
            (Ending::Closed(1012), after(0)),
            (Ending::Closed(1013), after(10)),
            (Ending::Closed(1014), None),
            (Ending::Closed(3000), None),
            (Ending::Closed(4999), None),
            (Ending::Refused(200, None), None),
            (Ending::Refused(302, after(1)), None),
            (Ending::Refused(400, None), None),
            (Ending::Refused(401, after(1)), None),
            (Ending::Refused(404, None), None),
            (Ending::Refused(426, None), None),
            (Ending::Refused(429, None), after(0)),
            (Ending::Refused(429, after(7)), after(7)),
            (Ending::Refused(500, after(7)), after(0)),
            (Ending::Refused(503, after(7)), after(7)),
            (Ending::Refused(503, Some(Duration::MAX)), after(100)),
            (Ending::Fault, None),
        ] {
            let mut reconnect = Reconnect::default();
            assert_eq!(reconnect.after(&POLICY, ending, Duration::ZERO, 0), least, "{ending:?}");
            let most = least.map(|least| least + POLICY.backoff);
            let nanos = u64::try_from(POLICY.backoff.as_nanos()).unwrap();
            let mut reconnect = Reconnect::default();
            let rest = reconnect.after(&POLICY, ending, Duration::ZERO, nanos);
            assert_eq!(rest, most, "{ending:?}");
        }
    }

    #[test]
    fn rests_grow_up_to_a_cap_and_begin_again_after_a_stable_connection() {
        let mut reconnect = Reconnect::default();
        let mut rest = |lasted, most| {
            let nanos = u64::try_from(Duration::from_millis(most).as_nanos()).unwrap();
            let full = reconnect.after(&POLICY, Ending::Lost, Duration::from_secs(lasted), nanos);
            full.map(|rest| rest.as_millis())
        };
        // One that stood for a while, which is no stable one, begins as the first failure does.
        assert_eq!(rest(59, 100), Some(100));
        assert_eq!(rest(59, 200), Some(200));
        assert_eq!(rest(0, 350), Some(350), "the cap, and not 400");
        assert_eq!(rest(0, 350), Some(350));
        assert_eq!(rest(0, 350), Some(350));
        assert_eq!(rest(0, 350), None, "five attempts have failed");
        assert_eq!(rest(60, 100), Some(100), "a stable one");
        assert_eq!(reconnect.failed(), 1);
    }

    #[test]
    fn any_number_is_a_random_part_of_the_rest() {
        for random in [0, 1, 7, 12_345_678_901, u64::MAX] {
            let mut reconnect = Reconnect::default();
            for _ in 0..5 {
                let rest = reconnect.after(&POLICY, Ending::Lost, Duration::ZERO, random);
                assert!(rest.is_some_and(|rest| rest <= POLICY.backoff_max), "{random}");
            }
        }
        let endless = ReconnectPolicy {
            backoff: Duration::MAX,
            backoff_max: Duration::MAX,
            attempts_max: u32::MAX,
            ..POLICY
        };
        let mut reconnect = Reconnect { failed: u32::MAX - 1 };
        assert!(reconnect.after(&endless, Ending::Closed(1013), Duration::ZERO, 9).is_some());
    }
}
