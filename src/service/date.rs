//! Dates for people and programs: RFC 3339.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// The last second of the year 9999: the format has four digits for the year.
pub(in crate::service) const LAST: u64 = 253_402_300_799;

/// Shows a time since 1970-01-01 UTC as `2026-11-23T10:00:00.123456789Z`, or with `{:.0}` without
/// the fraction. What lies beyond the year 9999 is shown as its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub Duration);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = UNIX_EPOCH + self.0.min(Duration::new(LAST, 999_999_999));
        match f.precision() {
            Some(0) => humantime::format_rfc3339_seconds(time).fmt(f),
            _ => humantime::format_rfc3339_nanos(time).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_table() {
        let cases = [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (1, 1, "1970-01-01T00:00:01.000000001Z"),
            (86_399, 999_999_999, "1970-01-01T23:59:59.999999999Z"),
            (68_169_600, 0, "1972-02-29T00:00:00.000000000Z"),
            (68_256_000, 0, "1972-03-01T00:00:00.000000000Z"),
            (94_694_399, 0, "1972-12-31T23:59:59.000000000Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000000Z"),
            (951_868_800, 0, "2000-03-01T00:00:00.000000000Z"),
            (978_307_199, 0, "2000-12-31T23:59:59.000000000Z"),
            (1_709_210_096, 5, "2024-02-29T12:34:56.000000005Z"),
            (1_795_428_000, 123_456_789, "2026-11-23T10:00:00.123456789Z"),
            (4_107_542_399, 0, "2100-02-28T23:59:59.000000000Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
            (LAST, 0, "9999-12-31T23:59:59.000000000Z"),
            (LAST + 1, 0, "9999-12-31T23:59:59.999999999Z"),
            (u64::MAX, 0, "9999-12-31T23:59:59.999999999Z"),
        ];
        for (seconds, nanos, text) in cases {
            let date = Rfc3339(Duration::new(seconds, nanos));
            assert_eq!(date.to_string(), text);
            assert_eq!(format!("{date:.0}"), format!("{}Z", &text[..19]));
        }
    }
}
