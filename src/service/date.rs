//! Dates for people and programs: RFC 3339.

use std::fmt;
use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;
/// The last second of the year 9999: the format has four digits for the year.
pub(in crate::service) const LAST: u64 = 253_402_300_799;
/// Days from the first of March of the year 0 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;
const DAYS_PER_ERA: u64 = 146_097;

/// Shows a time since 1970-01-01 UTC as `2026-11-23T10:00:00.123456789Z`, or with `{:.0}` without
/// the fraction. What lies beyond the year 9999 is shown as its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rfc3339(pub Duration);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = match self.0.as_secs() {
            seconds if seconds > LAST => (LAST, 999_999_999),
            seconds => (seconds, self.0.subsec_nanos()),
        };
        let (year, month, day) = civil(seconds / DAY);
        let (hour, minute) = (seconds % DAY / 3600, seconds % 3600 / 60);
        let second = seconds % 60;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match f.precision() {
            Some(0) => f.write_str("Z"),
            _ => write!(f, ".{nanos:09}Z"),
        }
    }
}

/// Year, month and day so many days after 1970-01-01.
///
/// Counted from the first of March of the year 0, the leap day is the last of its year, and the
/// calendar repeats every 400 years.
const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // March is 0. The months' lengths from there follow 30.6 days, rounded.
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = 400 * era + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_table() {
        let cases = [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (1, 1, "1970-01-01T00:00:01.000000001Z"),
            (DAY - 1, 999_999_999, "1970-01-01T23:59:59.999999999Z"),
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

    #[test]
    fn every_day_follows_the_one_before() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..=LAST / DAY {
            assert_eq!(civil(days), (year, month, day));
            let length = match month {
                2 => 28 + u64::from(leap(year)),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }
}
