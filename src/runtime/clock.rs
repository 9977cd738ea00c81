//! The only place, beside the drivers, that asks what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The present time, for the control plane. Workers ask their driver.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The present date, for logs and reports.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn date() -> SystemTime {
    SystemTime::now()
}

/// The present time since 1970-01-01 UTC, for those who ask us what time it is; zero before then.
#[must_use]
pub fn unix_time() -> Duration {
    date().duration_since(UNIX_EPOCH).unwrap_or_default()
}
