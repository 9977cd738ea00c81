//! `grpc-timeout`: how long a client waits for a call, as up to eight digits and a unit.

use std::time::Duration;

use crate::proto::http::{Digits, Fields};

const NAME: &[u8] = b"grpc-timeout";
/// The most digits that there may be.
const DIGITS_MAX: usize = 8;

/// The time that a call has, if its fields say so. What is no time is left to the server, which has
/// an answer to it.
#[must_use]
pub fn timeout_of(fields: &Fields) -> Option<Duration> {
    fields.get_named(NAME).and_then(parse_timeout)
}

/// Reads a value of `grpc-timeout`.
#[must_use]
pub fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = digits.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(count * 3600)),
        b'M' => Some(Duration::from_secs(count * 60)),
        b'S' => Some(Duration::from_secs(count)),
        b'm' => Some(Duration::from_millis(count)),
        b'u' => Some(Duration::from_micros(count)),
        b'n' => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Sets `grpc-timeout` to the remaining time, rounded down, so that the server stops working when
/// the client has given up.
pub fn set_timeout(fields: &mut Fields, left: Duration) {
    /// The largest count of eight digits.
    const MOST: u64 = 99_999_999;
    let units = [(left.as_micros(), b'u'), (left.as_millis(), b'm')];
    let fitting = units.into_iter().find_map(|(count, unit)| {
        let count = u64::try_from(count).ok().filter(|count| *count <= MOST)?;
        Some((count, unit))
    });
    let (count, unit) = fitting.unwrap_or_else(|| (left.as_secs().min(MOST), b'S'));
    fields.remove(NAME);
    fields.push_with(NAME, |out| {
        out.extend_from_slice(Digits::of(count).text());
        out.push(unit);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let cases: [(&str, Option<Duration>); 15] = [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("100m", Some(Duration::from_millis(100))),
            ("5u", Some(Duration::from_micros(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("0m", Some(Duration::ZERO)),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("100000000n", None),
            ("", None),
            ("S", None),
            ("10", None),
            ("-1S", None),
            ("1 S", None),
            ("1s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_never_longer_than_what_is_left() {
        let cases = [
            (Duration::ZERO, "0u"),
            (Duration::from_nanos(1_999), "1u"),
            (Duration::from_millis(250), "250000u"),
            (Duration::from_micros(99_999_999), "99999999u"),
            (Duration::from_micros(100_000_000), "100000m"),
            (Duration::from_secs(200_000), "200000S"),
            (Duration::from_secs(u64::MAX), "99999999S"),
        ];
        for (left, expected) in cases {
            let mut fields = Fields::default();
            set_timeout(&mut fields, left);
            set_timeout(&mut fields, left);
            assert_eq!(fields.get_named(NAME), Some(expected.as_bytes()));
            assert!(timeout_of(&fields).is_some_and(|time| time <= left));
            assert_eq!(fields.iter().count(), 1);
        }
    }
}
