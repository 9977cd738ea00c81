//! Durations and sizes as a configuration file writes them: one whole number and one unit, such
//! as `300ms` or `64KiB`. What is displayed is parsed back to the same value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// The units of a duration, in nanoseconds, largest first.
const PERIOD_UNITS: [(&str, u128); 7] = [
    ("d", 86_400 * NANOS_PER_SECOND),
    ("h", 3_600 * NANOS_PER_SECOND),
    ("m", 60 * NANOS_PER_SECOND),
    ("s", NANOS_PER_SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// The units of a size, in bytes, largest first.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// A duration in its written form: `5s`, `300ms`, `10m`, `1h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(
    /// The duration.
    pub Duration,
);

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        if unit.is_empty() {
            return Err(UnitError::NoUnit);
        }
        let scale = PERIOD_UNITS.iter().find(|(name, _)| *name == unit);
        let (_, scale) = scale.ok_or(UnitError::UnknownUnit)?;
        let nanos = u128::from(number) * scale;
        let seconds = u64::try_from(nanos / NANOS_PER_SECOND).map_err(|_| UnitError::TooLarge)?;
        let rest = u32::try_from(nanos % NANOS_PER_SECOND).map_err(|_| UnitError::TooLarge)?;
        Ok(Self(Duration::new(seconds, rest)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        let exact = PERIOD_UNITS.iter().find(|(_, scale)| nanos.is_multiple_of(*scale));
        let (unit, scale) = exact.unwrap_or(&("ns", 1));
        write!(f, "{}{unit}", nanos / scale)
    }
}

/// A number of bytes in its written form: `512B`, `64KiB`, `1MiB`, `2GiB`; without a unit, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(
    /// The number of bytes.
    pub u64,
);

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        if unit.is_empty() {
            return Ok(Self(number));
        }
        let scale = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
        let (_, scale) = scale.ok_or(UnitError::UnknownUnit)?;
        number.checked_mul(*scale).map(Self).ok_or(UnitError::TooLarge)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let exact = SIZE_UNITS.iter().find(|(_, scale)| self.0.is_multiple_of(*scale));
        let (unit, scale) = exact.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

/// Why a text is no duration or no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitError {
    /// It does not start with a digit.
    NoNumber,
    /// The number has a fraction.
    Fraction,
    /// A duration of which the unit is missing.
    NoUnit,
    /// The number is followed by something that is no unit.
    UnknownUnit,
    /// The value is beyond what the program can count.
    TooLarge,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNumber => "start with a whole number",
            Self::Fraction => "write a whole number of a smaller unit",
            Self::NoUnit => "add a unit",
            Self::UnknownUnit => "write one number and one unit, without a space",
            Self::TooLarge => "write a smaller number",
        })
    }
}

impl std::error::Error for UnitError {}

/// The number at the start of a text, and what follows it.
fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    if unit.starts_with(['.', ',']) {
        return Err(UnitError::Fraction);
    }
    let number = number.parse().map_err(|_| UnitError::TooLarge)?;
    Ok((number, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_displayed() {
        let table = [
            ("0s", Duration::ZERO, "0s"),
            ("0d", Duration::ZERO, "0s"),
            ("5s", Duration::from_secs(5), "5s"),
            ("300ms", Duration::from_millis(300), "300ms"),
            ("1500ms", Duration::from_millis(1500), "1500ms"),
            ("2000ms", Duration::from_secs(2), "2s"),
            ("10m", Duration::from_secs(600), "10m"),
            ("60m", Duration::from_secs(3600), "1h"),
            ("90m", Duration::from_secs(5400), "90m"),
            ("24h", Duration::from_secs(86_400), "1d"),
            ("7d", Duration::from_secs(7 * 86_400), "7d"),
            ("250us", Duration::from_micros(250), "250us"),
            ("007ns", Duration::from_nanos(7), "7ns"),
        ];
        for (text, duration, displayed) in table {
            assert_eq!(text.parse(), Ok(Period(duration)), "{text}");
            assert_eq!(Period(duration).to_string(), displayed);
            assert_eq!(displayed.parse(), Ok(Period(duration)));
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        let table = [
            ("", UnitError::NoNumber),
            ("s", UnitError::NoNumber),
            ("-5s", UnitError::NoNumber),
            (" 5s", UnitError::NoNumber),
            ("٣s", UnitError::NoNumber),
            ("5", UnitError::NoUnit),
            ("0", UnitError::NoUnit),
            ("1.5s", UnitError::Fraction),
            ("1,5s", UnitError::Fraction),
            ("5 s", UnitError::UnknownUnit),
            ("5S", UnitError::UnknownUnit),
            ("5µs", UnitError::UnknownUnit),
            ("1h30m", UnitError::UnknownUnit),
            ("5KiB", UnitError::UnknownUnit),
            ("18446744073709551616s", UnitError::TooLarge),
            ("18446744073709551615d", UnitError::TooLarge),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Period>(), Err(error), "{text}");
        }
    }

    #[test]
    fn sizes_are_parsed_and_displayed() {
        let table = [
            ("0", 0, "0B"),
            ("512B", 512, "512B"),
            ("4096", 4096, "4KiB"),
            ("4097", 4097, "4097B"),
            ("64KiB", 65_536, "64KiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("1536KiB", 1536 << 10, "1536KiB"),
            ("2GiB", 2 << 30, "2GiB"),
            ("18446744073709551615", u64::MAX, "18446744073709551615B"),
        ];
        for (text, bytes, displayed) in table {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), displayed);
            assert_eq!(displayed.parse(), Ok(Size(bytes)));
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_its_reason() {
        let table = [
            ("", UnitError::NoNumber),
            ("KiB", UnitError::NoNumber),
            ("1.5MiB", UnitError::Fraction),
            ("64KB", UnitError::UnknownUnit),
            ("64kib", UnitError::UnknownUnit),
            ("64 KiB", UnitError::UnknownUnit),
            ("1_000", UnitError::UnknownUnit),
            ("17179869184GiB", UnitError::TooLarge),
            ("99999999999999999999", UnitError::TooLarge),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Size>(), Err(error), "{text}");
        }
    }
}
