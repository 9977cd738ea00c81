//! Small values: names, times, sizes and paths in the forms that Ringway has.

use std::collections::{HashMap, HashSet};

/// Bytes of a name of Ringway.
const NAME_MAX: usize = 63;
/// Bytes of a path in a configuration of Ringway.
const PATH_MAX: usize = 4 << 10;

/// Names that were given, so that each is given once.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// For each base, the last number that was put behind it.
    numbers: HashMap<String, usize>,
}

impl Names {
    /// A name like a text, which nothing else has; like `fallback` if nothing is left of the text.
    pub(super) fn unique(&mut self, text: &str, fallback: &str) -> String {
        let base = name(text).unwrap_or_else(|| fallback.to_owned());
        if self.taken.insert(base.clone()) {
            return base;
        }
        let short: String = base.chars().take(NAME_MAX - 8).collect();
        let number = self.numbers.entry(short.clone()).or_insert(1);
        loop {
            *number += 1;
            let numbered = format!("{short}-{number}");
            if self.taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}

/// A text as a name: a letter, then letters, digits, `_` and `-`. `None`: nothing is left of it.
pub(super) fn name(text: &str) -> Option<String> {
    let mut name = String::new();
    for character in text.chars() {
        match character.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '_') => name.push(c),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
        if name.len() == NAME_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-').trim_start_matches('_');
    let first = name.chars().next()?;
    let prefix = if first.is_ascii_lowercase() { "" } else { "u" };
    Some(format!("{prefix}{name}").chars().take(NAME_MAX).collect())
}

/// A time of nginx in milliseconds: `30`, `30s`, `1h 30m`, `500ms`.
pub(super) fn nginx_time(text: &str) -> Option<u64> {
    const UNITS: &[(&str, u64)] = &[
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("w", 604_800_000),
        ("M", 2_592_000_000),
        ("y", 31_536_000_000),
    ];
    time(text, UNITS, 1_000)
}

/// A time of HAProxy in milliseconds, which is its unit, too: `5000`, `5s`, `1m`.
pub(super) fn haproxy_time(text: &str) -> Option<u64> {
    const UNITS: &[(&str, u64)] =
        &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    if let Some(micros) = text.strip_suffix("us") {
        return digits(micros).map(|micros| micros.div_ceil(1_000));
    }
    time(text, UNITS, 1)
}

fn time(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum: u64 = 0;
    while !rest.is_empty() {
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at_checked(length)?;
        let number = digits(number)?;
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at_checked(letters)?;
        let factor = match unit {
            "" => bare,
            _ => units.iter().find(|(own, _)| *own == unit)?.1,
        };
        sum = sum.checked_add(number.checked_mul(factor)?)?;
        rest = after.trim_start();
    }
    Some(sum)
}

/// A number without a sign.
pub(super) fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// A time of Ringway, in the largest unit that a person would take.
pub(super) fn duration(millis: u64) -> String {
    const UNITS: &[(u64, u64, &str)] = &[
        (86_400_000, 86_400_000, "d"),
        (3_600_000, 3_600_000, "h"),
        (60_000, 120_000, "m"),
        (1_000, 1_000, "s"),
    ];
    let fits =
        |(unit, from, _): &&(u64, u64, &str)| millis >= *from && millis.is_multiple_of(*unit);
    match UNITS.iter().find(fits) {
        Some((unit, _, word)) => format!("{}{word}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// A size of nginx in bytes: `512`, `8k`, `10m`, `1g`.
pub(super) fn nginx_size(text: &str) -> Option<u64> {
    let (number, factor) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (text.get(..at)?, 1 << 10),
        (at, 'm' | 'M') => (text.get(..at)?, 1 << 20),
        (at, 'g' | 'G') => (text.get(..at)?, 1 << 30),
        _ => (text, 1),
    };
    digits(number)?.checked_mul(factor)
}

/// A size of Ringway.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: &[(u64, &str)] = &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((unit, word)) => format!("{}{word}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

/// A path in the normal form in which Ringway compares it, or why it has none.
pub(super) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path starts with `/` in Ringway".to_owned());
    }
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => escaped.push(char::from(byte)),
            _ if b"-._~!$&'()*+,;=:@/".contains(&byte) => escaped.push(char::from(byte)),
            0 => return Err("no path has a zero byte".to_owned()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    if escaped.len() > PATH_MAX {
        return Err("the path is longer than 4 KiB".to_owned());
    }
    match escaped.split('/').any(|segment| matches!(segment, "." | "..")) {
        true => Err("no request has `.` or `..` as a part of its path".to_owned()),
        false => Ok(escaped),
    }
}

/// Whether a text is a host that a route may have, in lower case and without a port.
pub(super) fn is_host(text: &str) -> bool {
    let bare = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    bare.len() <= 253 && bare.split('.').all(is_label)
}

/// The address of a server in Ringway's form.
pub(super) fn address(text: &str, port: u16) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.starts_with('/') && path.len() <= 107 {
            true => Ok(text.to_owned()),
            false => Err(format!("`{}` is no path of a Unix socket", shown(text))),
        };
    }
    let wrong = || format!("`{}` is no address of a server", shown(text));
    if text.contains('$') {
        return Err(format!("`{}` has variables; name an upstream", shown(text)));
    }
    let (host, own_port) = match text.rsplit_once(':') {
        Some((host, own)) if !own.ends_with(']') => (host, Some(own)),
        Some(_) | None => (text, None),
    };
    let port = match own_port {
        None => u64::from(port),
        Some(own) => digits(own).filter(|own| (1..=65_535).contains(own)).ok_or_else(wrong)?,
    };
    // HAProxy writes IPv6 without brackets.
    let bracketed = format!("[{host}]");
    let host = match host.contains(':') && !host.starts_with('[') {
        true => bracketed.as_str(),
        false => host,
    };
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_v6 = inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    let is_v4 = host.parse::<std::net::Ipv4Addr>().is_ok();
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_name =
        is_host(host) && !host.starts_with("*.") && !last.bytes().all(|b| b.is_ascii_digit());
    match is_v4 || is_v6 || is_name {
        true => Ok(format!("{}:{port}", host.to_ascii_lowercase())),
        false => Err(wrong()),
    }
}

/// Whether a text is a name that a client of TLS can ask for: a host, and no address.
pub(super) fn is_tls_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    is_host(text) && !text.contains('_') && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text is the name of a header field.
pub(super) fn is_field(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 256 && text.bytes().all(allowed)
}

/// Fields of one connection, which no edit may touch.
pub(super) fn is_framing(name: &str) -> bool {
    const FRAMING: &[&str] = &[
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    FRAMING.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// What a route answers with a status and no text of its own.
pub(super) const fn reason(status: u16) -> &'static str {
    match status {
        200 | 204 => "",
        400 => "Bad Request\n",
        401 => "Unauthorized\n",
        403 => "Forbidden\n",
        404 => "Not Found\n",
        405 => "Method Not Allowed\n",
        410 => "Gone\n",
        429 => "Too Many Requests\n",
        500 => "Internal Server Error\n",
        501 => "Not Implemented\n",
        502 => "Bad Gateway\n",
        503 => "Service Unavailable\n",
        _ => "",
    }
}

/// A text for a message: one line, not too long.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut shown: String = text.chars().take(SHOWN_MAX).map(clean).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_dashes() {
        let table = [
            ("backend", Some("backend")),
            ("Backend_1", Some("backend_1")),
            ("app.example.com:80", Some("app-example-com-80")),
            ("127.0.0.1", Some("u127-0-0-1")),
            ("__x", Some("x")),
            ("--", None),
            ("", None),
            ("ü", None),
        ];
        for (text, expected) in table {
            assert_eq!(name(text).as_deref(), expected, "{text}");
        }
        let mut names = Names::default();
        let given: Vec<_> = ["a", "a", "a-2", "a", "!"].map(|n| names.unique(n, "up")).to_vec();
        assert_eq!(given, ["a", "a-2", "a-2-2", "a-3", "up"]);
        assert!(names.unique(&"x".repeat(100), "up").len() == NAME_MAX);
        assert!(names.unique(&"x".repeat(100), "up").len() <= NAME_MAX);
    }

    #[test]
    fn times_and_sizes_are_read_and_written() {
        let table = [
            ("30", Some(30_000)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("500ms", Some(500)),
            ("", None),
            ("s", None),
            ("1x", None),
            ("-1", None),
            ("99999999999999999999", None),
        ];
        for (text, expected) in table {
            assert_eq!(nginx_time(text), expected, "{text}");
        }
        for (text, expected) in [("5000", 5_000), ("5s", 5_000), ("10us", 1), ("1m", 60_000)] {
            assert_eq!(haproxy_time(text), Some(expected), "{text}");
        }
        for (millis, expected) in
            [(0, "0ms"), (500, "500ms"), (60_000, "60s"), (300_000, "5m"), (3_600_000, "1h")]
        {
            assert_eq!(duration(millis), expected);
        }
        for (text, expected) in [("512", "512B"), ("8k", "8KiB"), ("10m", "10MiB"), ("0", "0B")] {
            assert_eq!(nginx_size(text).map(size).as_deref(), Some(expected));
        }
        assert_eq!(nginx_size("m"), None);
        assert_eq!(nginx_size("99999999999999999999g"), None);
    }

    #[test]
    fn addresses_of_servers_are_those_of_ringway() {
        let table = [
            ("10.0.0.1", Ok("10.0.0.1:80")),
            ("10.0.0.1:8080", Ok("10.0.0.1:8080")),
            ("Example.com", Ok("example.com:80")),
            ("[::1]:81", Ok("[::1]:81")),
            ("[::1]", Ok("[::1]:80")),
            ("::1:81", Ok("[::1]:81")),
            ("unix:/run/x", Ok("unix:/run/x")),
            ("unix:x", Err("no path of a Unix socket")),
            ("$host:80", Err("has variables")),
            ("a:0", Err("no address")),
            ("a:b", Err("no address")),
            ("1.2.3:80", Err("no address")),
        ];
        for (text, expected) in table {
            match (address(text, 80), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn paths_are_escaped() {
        assert_eq!(path("/a b/ü").as_deref(), Ok("/a%20b/%C3%BC"));
        assert_eq!(path("/a-b_c.d~").as_deref(), Ok("/a-b_c.d~"));
        for bad in ["", "a", "/../x", "/a/.", "/\0"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
