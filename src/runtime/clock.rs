//! The only place, beside the drivers, that asks what time it is.

use std::time::{Instant, SystemTime};

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
