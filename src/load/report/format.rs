//! Numbers and strings for people.

/// A latency in microseconds, with three digits: `512 us`, `1.23 ms`.
#[must_use]
pub fn latency(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1_000.0 => (us, "us"),
        us if us < 1e6 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    // 999.96 would be 1000 us.
    if three(value) == "1000" && unit != "s" {
        return latency(us * 1.0005);
    }
    format!("{} {unit}", three(value))
}

/// A number with three digits, and no more decimals than it needs: `0.05`, `12.5`, `1234`.
#[must_use]
pub fn short(number: f64) -> String {
    let text =
        if number != 0.0 && number.abs() < 0.1 { format!("{number:.4}") } else { three(number) };
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn three(number: f64) -> String {
    let decimals = match number.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{number:.decimals$}")
}

/// A count with separators: `1,234,567`.
#[must_use]
pub fn count(count: u64) -> String {
    grouped(&count.to_string())
}

/// A rate, with separators and without decimals where it is large: `19,998`, `12.5`.
#[must_use]
pub fn rate(rate: f64) -> String {
    if rate >= 99.95 && rate.is_finite() { grouped(&format!("{rate:.0}")) } else { short(rate) }
}

/// A number for an axis, as short as can be: `20k`, `1.5M`.
#[must_use]
pub fn compact(number: f64) -> String {
    match number {
        number if number >= 999_500.0 => format!("{}M", short(number / 1e6)),
        number if number >= 999.5 => format!("{}k", short(number / 1e3)),
        number => short(number),
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes: `512 B`, `1.23 MB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB", "PB"] {
        if value < 999.5 {
            let value = if unit == "B" { bytes.to_string() } else { three(value) };
            return format!("{value} {unit}");
        }
        value /= 1_000.0;
    }
    format!("{} EB", three(value))
}

/// Seconds: `30 s`, `2 min 5 s`, `3 h 0 min`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    if seconds < 119.95 {
        return format!("{} s", short(seconds));
    }
    let (minutes, rest) = ((seconds / 60.0).floor(), seconds % 60.0);
    if minutes < 120.0 {
        return format!("{minutes:.0} min {:.0} s", rest.floor());
    }
    format!("{:.0} h {:.0} min", (minutes / 60.0).floor(), minutes % 60.0)
}

/// A share of 1 as a percentage that never hides a failure: `0 %`, `<0.0001 %`, `2.5 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.0001 => "<0.0001 %".to_owned(),
        percent => format!("{} %", short(percent)),
    }
}

/// Text of somebody else for a terminal: what could move its cursor or change the order of letters
/// is escaped, and of what is too long the beginning is shown.
#[must_use]
pub fn plain(text: &str, characters_max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(4 * characters_max));
    for (at, c) in text.chars().enumerate() {
        if at == characters_max {
            shown.push_str("...");
            break;
        }
        let reorders = is_direction(c);
        if c.is_control() || reorders {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a character changes the order of those beside it.
pub(super) const fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Arguments as a shell takes them.
#[must_use]
pub fn command(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        if !argument.is_empty() && argument.chars().all(is_bare) {
            argument.clone()
        } else {
            format!("'{}'", argument.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let latencies = [
            (0.0, "0.00 us"),
            (0.1, "0.10 us"),
            (51.24, "51.2 us"),
            (512.4, "512 us"),
            (999.6, "1.00 ms"),
            (1_234.0, "1.23 ms"),
            (999_700.0, "1.00 s"),
            (3.6e9, "3600 s"),
        ];
        for (us, text) in latencies {
            assert_eq!(latency(us), text);
        }
        for (number, text) in
            [(0.0, "0"), (0.05, "0.05"), (12.5, "12.5"), (1_234.4, "1234"), (0.1, "0.1")]
        {
            assert_eq!(short(number), text);
        }
        assert_eq!(
            (count(0), count(999), count(1_234_567)),
            ("0".into(), "999".into(), "1,234,567".into())
        );
        assert_eq!(
            (rate(0.5), rate(99.96), rate(19_998.4)),
            ("0.5".into(), "100".into(), "19,998".into())
        );
        assert_eq!(
            (bytes(999), bytes(1_000), bytes(u64::MAX)),
            ("999 B".into(), "1.00 kB".into(), "18.4 EB".into())
        );
        assert_eq!(
            (seconds(30.0), seconds(125.0), seconds(10_800.0)),
            ("30 s".into(), "2 min 5 s".into(), "3 h 0 min".into())
        );
        assert_eq!(
            (percent(0.0), percent(1e-9), percent(0.025)),
            ("0 %".into(), "<0.0001 %".into(), "2.5 %".into())
        );
        for odd in [f64::NAN, f64::INFINITY, f64::MAX, -1.0] {
            let _never_panics = (latency(odd), short(odd), rate(odd), seconds(odd), percent(odd));
        }
    }

    #[test]
    fn strings_of_others_are_harmless() {
        assert_eq!(plain("a\x1b[2J\u{202e}b", 100), "a\\u{1b}[2J\\u{202e}b");
        assert_eq!(plain("abcdef", 3), "abc...");
        let arguments = ["a", "", "p99<5ms", "it's"].map(str::to_owned);
        assert_eq!(command(&arguments), r"a '' 'p99<5ms' 'it'\''s'");
    }
}
