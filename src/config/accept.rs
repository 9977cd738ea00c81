//! From one TOML value to one typed value, or to what was expected instead of it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;

use super::schema::{
    HANDOFF_RATIO_RANGE, NAME_MAX, PATH_LENGTH_MAX, UNIX_MODE_MAX, WORKERS_RANGE, Words,
};
use super::units::{Period, Size, UnitError};
use super::{AddressError, ListenAddress, WorkerCount};
use crate::ring::{ConnectTarget, NotATarget};

/// Why a value is not accepted.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) expected: String,
    pub(super) got: String,
    pub(super) help: String,
}

impl Fault {
    /// The value is of another type.
    pub(super) fn of_type(
        value: &DeValue<'_>,
        expected: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { expected: expected.into(), got: kind(value).to_owned(), help: help.into() }
    }
}

/// What a value is, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Fault> {
    value.as_bool().ok_or_else(|| {
        let help = match value.as_str() {
            Some("true" | "false") => "leave out the quotes",
            Some(_) | None => "write true or false",
        };
        Fault::of_type(value, "true or false", help)
    })
}

/// A whole number of a range.
pub(super) fn whole<T>(value: &DeValue<'_>, range: &RangeInclusive<T>) -> Result<T, Fault>
where
    T: Copy + Display + PartialOrd + TryFrom<i128>,
{
    let expected = format!("an integer from {} to {}", range.start(), range.end());
    let Some(integer) = value.as_integer() else {
        let is_quoted = value.as_str().is_some_and(|text| text.parse::<i128>().is_ok());
        let help = if is_quoted { "leave out the quotes" } else { "write a number, as in 64" };
        return Err(Fault::of_type(value, expected, help));
    };
    let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
    let number = number.and_then(|number| T::try_from(number).ok());
    number.filter(|number| range.contains(number)).ok_or_else(|| Fault {
        help: limits(range.start(), range.end()),
        expected,
        got: shown(&integer.to_string()),
    })
}

/// A power of two of a range whose ends are powers of two.
pub(super) fn power_of_two(value: &DeValue<'_>, range: &RangeInclusive<u32>) -> Result<u32, Fault> {
    let number = whole(value, range).map_err(|fault| Fault {
        expected: format!("a power of two from {} to {}", range.start(), range.end()),
        ..fault
    })?;
    if number.is_power_of_two() {
        return Ok(number);
    }
    let above = number.checked_next_power_of_two().unwrap_or(number);
    Err(Fault {
        expected: format!("a power of two from {} to {}", range.start(), range.end()),
        got: number.to_string(),
        help: format!("the nearest are {} and {above}", above / 2),
    })
}

/// A size of a range: a string with a unit, or a number of bytes.
pub(super) fn size<T>(value: &DeValue<'_>, range: &RangeInclusive<T>) -> Result<T, Fault>
where
    T: Copy + Into<u64> + PartialOrd + TryFrom<u64>,
{
    let [least, most] = [*range.start(), *range.end()].map(|end| Size(end.into()));
    let fault = |got: String, help: String| Fault {
        expected: format!("a size from {least} to {most}, such as \"64KiB\""),
        got,
        help,
    };
    let (bytes, got) = if let Some(text) = value.as_str() {
        (text.parse::<Size>(), quoted(text))
    } else if let Some(integer) = value.as_integer() {
        let bytes = u64::from_str_radix(integer.as_str(), integer.radix());
        let bytes = bytes.map(Size).map_err(|_| UnitError::TooLarge);
        (bytes, shown(&integer.to_string()))
    } else {
        let help = "write a number and one of B, KiB, MiB and GiB".to_owned();
        return Err(fault(kind(value).to_owned(), help));
    };
    let bytes = match bytes {
        Ok(Size(bytes)) => T::try_from(bytes).ok(),
        Err(UnitError::TooLarge) => None,
        Err(error) => {
            let help = format!("{error}; the units are B, KiB, MiB and GiB");
            return Err(fault(got, help));
        }
    };
    let bytes = bytes.filter(|bytes| range.contains(bytes));
    bytes.ok_or_else(|| fault(got, limits(least, most)))
}

/// A duration of a range.
pub(super) fn duration(
    value: &DeValue<'_>,
    range: &RangeInclusive<Duration>,
) -> Result<Duration, Fault> {
    let [least, most] = [Period(*range.start()), Period(*range.end())];
    let Some(text) = value.as_str() else {
        let help = match value.as_integer() {
            Some(integer) => {
                let number = shown(integer.as_str());
                format!(
                    "add a unit and quotes: \"{number}s\" or \"{number}ms\"; from {least} to {most}"
                )
            }
            None => format!("write a number and one of ms, s, m, h and d; from {least} to {most}"),
        };
        return Err(Fault::of_type(value, "a duration such as \"5s\"", help));
    };
    match text.parse() {
        Ok(Period(duration)) if range.contains(&duration) => Ok(duration),
        Ok(Period(_)) | Err(UnitError::TooLarge) => Err(Fault {
            expected: format!("a duration from {least} to {most}"),
            got: quoted(text),
            help: limits(least, most),
        }),
        Err(error) => Err(Fault {
            expected: "a duration such as \"5s\"".to_owned(),
            got: quoted(text),
            help: format!("{error}; the units are ms, s, m, h and d"),
        }),
    }
}

fn limits(least: impl Display, most: impl Display) -> String {
    format!("the least is {least}, the most {most}")
}

/// A word that stands for `None`, or what `accept` takes.
pub(super) fn unless<T>(
    value: &DeValue<'_>,
    word: &str,
    accept: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    if value.as_str() == Some(word) {
        return Ok(None);
    }
    accept(value)
        .map(Some)
        .map_err(|fault| Fault { expected: format!("\"{word}\" or {}", fault.expected), ..fault })
}

/// One of a few words.
pub(super) fn choice<T: Copy>(value: &DeValue<'_>, words: Words<T>) -> Result<T, Fault> {
    let list: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let expected = match list.as_slice() {
        [] | [_] => list.concat(),
        [first, last] => format!("{first} or {last}"),
        [..] => format!("one of {}", list.join(", ")),
    };
    let Some(text) = value.as_str() else {
        let help = format!("write {} in its quotes", list.first().map_or("a word", |word| word));
        return Err(Fault::of_type(value, expected, help));
    };
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let likely = nearest(text, words.iter().map(|(word, _)| *word));
        Fault {
            help: likely.map_or_else(
                || format!("write {}", list.join(" or ")),
                |word| format!("did you mean \"{word}\"?"),
            ),
            expected,
            got: quoted(text),
        }
    })
}

/// `runtime.workers`.
pub(super) fn workers(value: &DeValue<'_>) -> Result<WorkerCount, Fault> {
    let number = unless(value, "auto", |value| whole(value, &WORKERS_RANGE))?;
    Ok(number.and_then(NonZeroU16::new).map_or(WorkerCount::Auto, WorkerCount::Fixed))
}

/// `runtime.handoff_ratio`.
pub(super) fn handoff_ratio(value: &DeValue<'_>) -> Result<Option<f64>, Fault> {
    if value.as_bool() == Some(false) || value.as_str() == Some("off") {
        return Ok(None);
    }
    number(value, &HANDOFF_RATIO_RANGE).map(Some).map_err(|fault| Fault {
        expected: format!("{}, \"off\" or false", fault.expected),
        got: fault.got,
        help: "1.5 hands over from a worker with half more connections than the mean".to_owned(),
    })
}

/// A number of a range, with a fraction or without.
pub(super) fn number(value: &DeValue<'_>, range: &RangeInclusive<f64>) -> Result<f64, Fault> {
    let (least, most) = (range.start(), range.end());
    let (written, got) = match value {
        DeValue::Float(float) => (float.as_str().to_owned(), shown(&float.to_string())),
        DeValue::Integer(integer) if integer.radix() == 10 => {
            (integer.as_str().to_owned(), shown(&integer.to_string()))
        }
        DeValue::String(text) => (String::new(), quoted(text)),
        DeValue::Integer(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => (String::new(), kind(value).to_owned()),
    };
    let number = written.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| Fault {
        expected: format!("a number from {least:?} to {most:?}"),
        got,
        help: limits(format_args!("{least:?}"), format_args!("{most:?}")),
    })
}

/// A text that `parse` takes, or it says what would be right.
pub(super) fn parsed<T>(
    value: &DeValue<'_>,
    expected: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Fault> {
    let Some(text) = value.as_str() else {
        return Err(Fault::of_type(value, expected, "write it as a text in quotes"));
    };
    let fault = |help| Fault { expected: expected.to_owned(), got: quoted(text), help };
    parse(text).map_err(fault)
}

/// Where connections may go.
pub(super) fn connect_target(value: &DeValue<'_>) -> Result<ConnectTarget, Fault> {
    parsed(value, "a network such as \"10.0.0.0/8\"", |text| {
        text.parse().map_err(|error: NotATarget| error.to_string())
    })
}

/// Any text of at most so many bytes.
pub(super) fn text(value: &DeValue<'_>, most: usize) -> Result<String, Fault> {
    let expected = "a text";
    match value.as_str() {
        Some(text) if text.len() <= most => Ok(text.to_owned()),
        Some(text) => Err(Fault {
            expected: expected.to_owned(),
            got: format!("{} bytes", text.len()),
            help: format!("write {most} bytes at most"),
        }),
        None => Err(Fault::of_type(value, expected, "write it as a text in quotes")),
    }
}

/// The path of a directory.
pub(super) fn directory(value: &DeValue<'_>) -> Result<PathBuf, Fault> {
    path(value, "the path of a directory")
}

/// A path. A relative one is taken from the folder of the file.
pub(super) fn path(value: &DeValue<'_>, expected: &str) -> Result<PathBuf, Fault> {
    let Some(text) = value.as_str() else {
        return Err(Fault::of_type(value, expected, "write the path in quotes"));
    };
    let help = if text.is_empty() {
        "an empty path leads nowhere; the folder of this file is \".\""
    } else if text.starts_with("~/") {
        "`~` is not replaced here: give the whole path"
    } else if text.contains('\0') {
        "a path has no zero byte"
    } else if text.len() > PATH_LENGTH_MAX {
        "the system takes no path this long"
    } else {
        return Ok(PathBuf::from(text));
    };
    Err(Fault { expected: expected.to_owned(), got: quoted(text), help: help.to_owned() })
}

/// A path, unless it is a word. What looks like a misspelling of the word is an error.
pub(super) fn path_unless(
    value: &DeValue<'_>,
    word: &str,
    accept: impl FnOnce(&DeValue<'_>) -> Result<PathBuf, Fault>,
) -> Result<Option<PathBuf>, Fault> {
    let found = unless(value, word, accept)?;
    let text = value.as_str().unwrap_or_default();
    if found.is_some() && !text.contains(['/', '.']) && nearest(text, [word]).is_some() {
        return Err(Fault {
            expected: format!("\"{word}\" or a path"),
            got: quoted(text),
            help: format!("did you mean \"{word}\"? A file of this name is \"./{}\"", shown(text)),
        });
    }
    Ok(found)
}

/// The permissions of a file, in octal.
pub(super) fn mode(value: &DeValue<'_>) -> Result<u32, Fault> {
    let expected = "permissions in octal such as \"0660\"";
    let Some(text) = value.as_str() else {
        return Err(Fault::of_type(value, expected, "put the octal digits in quotes: \"0660\""));
    };
    let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= UNIX_MODE_MAX);
    mode.filter(|_| digits && (3..=4).contains(&text.len())).ok_or_else(|| Fault {
        expected: expected.to_owned(),
        got: quoted(text),
        help: "write three octal digits, with or without a 0 before them, up to \"0777\"".into(),
    })
}

/// The name of a listener or an upstream.
pub(super) fn name(value: &DeValue<'_>) -> Result<String, Fault> {
    let Some(text) = value.as_str() else {
        return Err(Fault::of_type(value, "a name", "write a name in quotes, as in \"web\""));
    };
    is_name(text).then(|| text.to_owned()).ok_or_else(|| bad_name(text))
}

/// Whether a text can be a name.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= NAME_MAX
        && text.bytes().all(allowed)
}

/// What is to be said of a text that is no name.
pub(super) fn bad_name(text: &str) -> Fault {
    Fault {
        expected: "a name".to_owned(),
        got: quoted(text),
        help: format!(
            "a name is a letter a-z, then letters a-z, digits, `_` and `-`, up to {NAME_MAX}"
        ),
    }
}

/// An address that parses by itself.
pub(super) fn address<T>(value: &DeValue<'_>, forms: &str) -> Result<T, Fault>
where
    T: FromStr<Err = AddressError>,
{
    let expected = format!("an address ({forms})");
    let Some(text) = value.as_str() else {
        return Err(Fault::of_type(value, expected, "write the address in quotes"));
    };
    text.parse().map_err(|error: AddressError| Fault {
        expected,
        got: quoted(text),
        help: error.to_string(),
    })
}

/// An IP address and port, where no Unix socket will do.
pub(super) fn ip_address(value: &DeValue<'_>) -> Result<SocketAddr, Fault> {
    const FORMS: &str = "IP:PORT or [IPV6]:PORT";
    match address(value, FORMS)? {
        ListenAddress::Ip(address) => Ok(address),
        ListenAddress::Unix(_) => Err(Fault {
            expected: format!("an address ({FORMS})"),
            got: value.as_str().map_or_else(String::new, quoted),
            help: "a Unix socket is not possible here".to_owned(),
        }),
    }
}

/// A text in quotes, without characters that a terminal would obey, and not too long.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// A key or a number as it is repeated in a message: like [`quoted`], without the quotes. The
/// digits of a number may have control characters among them.
pub(super) fn shown(key: &str) -> String {
    shortened(key).escape_debug().to_string()
}

/// So many characters of a text are repeated in a message.
const REPEATED_MAX: usize = 64;

/// Items as a choice: `a`, `a or b`, `a, b or c`.
pub(super) fn either(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(REPEATED_MAX).collect();
    if short.len() < text.len() {
        short.push_str("...");
    }
    short
}

/// The word that was likely meant by a misspelt one: not more than a third of it is different. Two
/// letters in the wrong order are one difference.
pub(super) fn nearest<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let text = text.to_ascii_lowercase().replace('-', "_");
    if text.len() > 2 * NAME_MAX {
        return None;
    }
    let distances = words.into_iter().map(|word| (strsim::osa_distance(&text, word), word));
    let (distance, word) = distances.min_by_key(|(distance, _)| *distance)?;
    let most = (word.len().max(text.len()) / 3).max(1);
    (distance <= most).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let words = ["listen", "idle_timeout", "max_connections"];
        assert_eq!(nearest("lisen", words), Some("listen"));
        assert_eq!(nearest("bakclog", ["backlog", "backup"]), Some("backlog"));
        assert_eq!(nearest("max-connections", words), Some("max_connections"));
        assert_eq!(nearest("idleTimeout", words), Some("idle_timeout"));
        assert_eq!(nearest("address", words), None);
        assert_eq!(nearest(&"x".repeat(1000), words), None);
    }
}
