//! How long a client waits for an answer that may be as long as it likes.

use std::time::{Duration, Instant};

use super::ClientError;
use crate::runtime::clock;
use crate::service::pace::earned;

/// Bytes a second, after a first timeout, that are more than dripping.
const RATE_MIN: u32 = 1024;

/// Limits each wait to the timeout, and the total to the timeout plus one second for each KiB that
/// came: a peer that is silent, or brings less than 1 KiB a second, is given up.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    timeout: Duration,
    begun: Instant,
    bytes: u64,
}

impl Patience {
    /// Waiting begins now.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, begun: clock::now(), bytes: 0 }
    }

    /// So many bytes came.
    pub const fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// A wait that was too long, told as the timeout.
    #[must_use]
    pub fn explain(&self, error: ClientError) -> ClientError {
        error.told_as(self.timeout)
    }

    /// How long may be waited for the next ones.
    #[must_use]
    pub fn rest(&self) -> Duration {
        let most = self.timeout.saturating_add(earned(self.bytes, RATE_MIN));
        most.saturating_sub(clock::now().saturating_duration_since(self.begun)).min(self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_earn_time_up_to_the_timeout() {
        let timeout = Duration::from_secs(5);
        let mut patience = Patience::new(timeout);
        assert!(patience.rest() <= timeout);
        patience.begun -= Duration::from_secs(6);
        assert_eq!(patience.rest(), Duration::ZERO, "it dripped");
        patience.count(2 * RATE_MIN as usize);
        assert!(patience.rest() <= Duration::from_secs(1));
        patience.count(usize::MAX);
        assert_eq!(patience.rest(), timeout);
        assert!(Patience::new(Duration::MAX).rest() > timeout);
    }
}
