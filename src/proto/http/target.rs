//! Targets of requests: authority and path, checked and in normal form (RFC 3986).

use std::borrow::Cow;

use super::scan;

/// Why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetError {
    /// A byte that may not stand there (RFC 3986, sections 3.3 and 3.4).
    Byte,
    /// A `%` without two hexadecimal digits (RFC 3986, section 2.1).
    Escape,
    /// `%00`: no name has a zero byte.
    Nul,
    /// `..` leads above the root.
    AboveRoot,
    /// The host is empty or has a byte that no host has (RFC 3986, section 3.2.2).
    Host,
    /// The port is no number up to 65535.
    Port,
}

/// How many bytes of an authority are its host.
#[must_use]
pub fn host_len(authority: &[u8]) -> usize {
    if authority.first() == Some(&b'[') {
        return authority.iter().position(|byte| *byte == b']').map_or(0, |at| at + 1);
    }
    scan::find(b':', authority).unwrap_or(authority.len())
}

/// Checks an authority of the `http` scheme: a host and perhaps a port; no user (RFC 9110, section
/// 4.2.4).
///
/// # Errors
/// What is wrong with it.
pub fn check_authority(authority: &[u8]) -> Result<(), TargetError> {
    let len = host_len(authority);
    let (host, port) = authority.split_at_checked(len).unwrap_or_default();
    if host.first() == Some(&b'[') {
        let inner = host.get(1..host.len() - 1).unwrap_or_default();
        let inner = std::str::from_utf8(inner).map_err(|_| TargetError::Host)?;
        inner.parse::<std::net::Ipv6Addr>().map_err(|_| TargetError::Host)?;
    } else {
        check_name(host)?;
    }
    match port {
        [] => Ok(()),
        [b':', digits @ ..] => {
            let is_number = digits.iter().all(u8::is_ascii_digit);
            let value = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u16>().ok());
            // An empty port is the scheme's own (RFC 3986, section 3.2.3).
            let fits = digits.is_empty() || value.is_some();
            if is_number && fits { Ok(()) } else { Err(TargetError::Port) }
        }
        [_, ..] => Err(TargetError::Host),
    }
}

/// Whether a registered name is one: unreserved characters, sub-delimiters and escapes (RFC 3986,
/// section 3.2.2).
fn check_name(name: &[u8]) -> Result<(), TargetError> {
    if name.is_empty() {
        return Err(TargetError::Host);
    }
    let kinds = kinds_of(name);
    if kinds & kind::NO_NAME != 0 {
        return Err(TargetError::Host);
    }
    if kinds & kind::ESCAPE == 0 {
        return Ok(());
    }
    let mut rest = name;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = if byte == b'%' {
            escape(rest)?;
            rest.get(3..).unwrap_or_default()
        } else {
            tail
        };
    }
    Ok(())
}

/// What bytes are, each kind a bit: so that a text is looked at in one pass.
mod kind {
    /// `%`, which begins an escape.
    pub(super) const ESCAPE: u8 = 1;
    /// It may not stand in a path.
    pub(super) const NO_PATH: u8 = 1 << 1;
    /// It may not stand in a registered name.
    pub(super) const NO_NAME: u8 = 1 << 2;
    /// It may not stand in a query.
    pub(super) const NO_QUERY: u8 = 1 << 3;
    /// A dot, which may be a segment.
    pub(super) const DOT: u8 = 1 << 4;
    /// A letter in upper case.
    pub(super) const UPPER: u8 = 1 << 5;
}

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut at = 0_u8;
    loop {
        let mut one = 0;
        if at == b'%' {
            one |= kind::ESCAPE;
        }
        if !is_path_byte(at) {
            one |= kind::NO_PATH;
        }
        if !is_name_byte(at) {
            one |= kind::NO_NAME;
        }
        if !at.is_ascii_graphic() || at == b'#' {
            one |= kind::NO_QUERY;
        }
        if at == b'.' {
            one |= kind::DOT;
        }
        if at.is_ascii_uppercase() {
            one |= kind::UPPER;
        }
        kinds[at as usize] = one;
        if at == u8::MAX {
            break;
        }
        at += 1;
    }
    kinds
};

/// The kinds of all bytes of a text.
fn kinds_of(text: &[u8]) -> u8 {
    text.iter().fold(0, |kinds, byte| kinds | KINDS[usize::from(*byte)])
}

/// Whether a byte may stand in a registered name, or is the `%` of an escape.
const fn is_name_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// An authority that [`check_authority`] has let pass, in normal form: in lower case, and without
/// escapes of unreserved characters (RFC 3986, section 6.2.2). So a name has one spelling, whoever
/// compares it.
#[must_use]
pub fn normalize_authority(authority: &[u8]) -> Cow<'_, [u8]> {
    if kinds_of(authority) & (kind::ESCAPE | kind::UPPER) == 0 {
        return Cow::Borrowed(authority);
    }
    let mut normal = normalize_escapes(authority).unwrap_or_else(|_| authority.to_vec());
    normal.make_ascii_lowercase();
    Cow::Owned(normal)
}

/// Whether a byte may stand in a path as it is (`pchar` and `/`, RFC 3986, section 3.3), or is the
/// `%` of an escape. A few more that no parser takes for something else, and that browsers send.
const fn is_path_byte(byte: u8) -> bool {
    matches!(byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'
        | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/' | b'%'
        | b'[' | b']' | b'|')
}

const fn is_unreserved(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
}

/// Checks a query. It stays as it is: what it means is between the client and the application, and
/// browsers send `%` without digits. So it is visible ASCII, without the `#` of a fragment, which
/// no request has.
///
/// # Errors
/// What is wrong with it.
pub fn check_query(query: &[u8]) -> Result<(), TargetError> {
    if kinds_of(query) & kind::NO_QUERY == 0 { Ok(()) } else { Err(TargetError::Byte) }
}

/// The byte that an escape at the start of `text` stands for.
fn escape(text: &[u8]) -> Result<u8, TargetError> {
    let digit = |at: usize| {
        let digit = text.get(at).copied().map(char::from).and_then(|digit| digit.to_digit(16));
        digit.and_then(|digit| u8::try_from(digit).ok())
    };
    let (Some(high), Some(low)) = (digit(1), digit(2)) else {
        return Err(TargetError::Escape);
    };
    match high * 16 + low {
        0 => Err(TargetError::Nul),
        byte => Ok(byte),
    }
}

/// A path, which begins with `/`, in normal form (RFC 3986, section 6.2.2): unreserved characters
/// are not escaped, escapes are in upper case, `.` and `..` are resolved. What `%2F` stands for
/// stays different from `/`.
///
/// # Errors
/// What is wrong with it.
pub fn normalize(path: &[u8]) -> Result<Cow<'_, [u8]>, TargetError> {
    let kinds = kinds_of(path);
    if kinds & kind::NO_PATH != 0 {
        return Err(TargetError::Byte);
    }
    let has_dots = || kinds & kind::DOT != 0 && path.windows(2).any(|two| two == b"/.");
    if kinds & kind::ESCAPE == 0 && !has_dots() {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = normalize_escapes(path)?;
    Ok(Cow::Owned(remove_dots(&decoded)?))
}

fn normalize_escapes(path: &[u8]) -> Result<Vec<u8>, TargetError> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = tail;
            continue;
        }
        let value = escape(rest)?;
        if is_unreserved(value) {
            decoded.push(value);
        } else {
            decoded.push(b'%');
            let digits = rest.get(1..3).unwrap_or_default();
            decoded.extend(digits.iter().map(u8::to_ascii_uppercase));
        }
        rest = rest.get(3..).unwrap_or_default();
    }
    Ok(decoded)
}

fn remove_dots(path: &[u8]) -> Result<Vec<u8>, TargetError> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." => {}
            b".." => {
                let Some(at) = out.iter().rposition(|byte| *byte == b'/') else {
                    return Err(TargetError::AboveRoot);
                };
                out.truncate(at);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
                continue;
            }
        }
        if is_last {
            out.push(b'/');
        }
    }
    if out.is_empty() {
        out.push(b'/');
    }
    Ok(out)
}

/// The bytes that a path in normal form stands for.
///
/// # Errors
/// What is wrong with it; never for a path that [`normalize`] gave.
pub fn decode(path: &[u8], out: &mut Vec<u8>) -> Result<(), TargetError> {
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            out.push(escape(rest)?);
            rest = rest.get(3..).unwrap_or_default();
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_normal_form() {
        let table = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a//b", "/a//b"),
            ("/%7Euser", "/~user"),
            ("/%7euser/%2f", "/~user/%2F"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/.", "/"),
            ("/a/..", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/...", "/..."),
            ("/.well-known", "/.well-known"),
            ("/a%20b", "/a%20b"),
            ("/%C3%A9", "/%C3%A9"),
        ];
        for (path, normal) in table {
            let found = normalize(path.as_bytes()).unwrap();
            assert_eq!(std::str::from_utf8(&found).unwrap(), normal, "{path}");
            let again = normalize(&found).unwrap();
            assert_eq!(again, found, "{path}: normal forms stay");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_its_reason() {
        let table = [
            ("/..", TargetError::AboveRoot),
            ("/a/../../b", TargetError::AboveRoot),
            ("/%2e%2e/b", TargetError::AboveRoot),
            ("/%", TargetError::Escape),
            ("/%4", TargetError::Escape),
            ("/%zz", TargetError::Escape),
            ("/%00", TargetError::Nul),
            ("/a b", TargetError::Byte),
            ("/a\u{7f}", TargetError::Byte),
            ("/a#b", TargetError::Byte),
            ("/\\", TargetError::Byte),
            ("/\u{e9}", TargetError::Byte),
        ];
        for (path, error) in table {
            assert_eq!(normalize(path.as_bytes()), Err(error), "{path}");
        }
    }

    #[test]
    fn queries_are_checked_and_stay() {
        let good = [
            "",
            "a=b&c=%20",
            "?",
            "x={1}",
            "a/b?c",
            "%41",
            "q=100%",
            "a=%u0041",
            "a=%00",
            "%4",
            "a=<b>&c=\"d\\|^`\"",
            "%%",
        ];
        for good in good {
            assert_eq!(check_query(good.as_bytes()), Ok(()), "{good}");
        }
        for bad in ["a b", "a#", "a\u{7f}", "a\tb", "\u{e9}", "a\0"] {
            assert_eq!(check_query(bad.as_bytes()), Err(TargetError::Byte), "{bad}");
        }
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        let good = [
            "a",
            "a:80",
            "a:",
            "EXAMPLE.com",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:443",
            "a_b",
            "a,b",
            "a~b",
            "a%20b:1",
            "a!$&'()*+;=b",
            "%C3%A9.example",
            "a.",
        ];
        for good in good {
            assert_eq!(check_authority(good.as_bytes()), Ok(()), "{good}");
        }
        for (authority, normal) in
            [("a", "a"), ("A%2d%41:80", "a-a:80"), ("a%2Fb", "a%2fb"), ("[::A]:1", "[::a]:1")]
        {
            let found = normalize_authority(authority.as_bytes());
            assert_eq!(std::str::from_utf8(&found).unwrap(), normal);
            assert_eq!(normalize_authority(&found), found, "{authority}");
        }
        let bad = [
            ("", TargetError::Host),
            (":80", TargetError::Host),
            ("a:b", TargetError::Port),
            ("a:65536", TargetError::Port),
            ("a:+1", TargetError::Port),
            ("u@a", TargetError::Host),
            ("a b", TargetError::Host),
            ("[::1", TargetError::Host),
            ("[x]", TargetError::Host),
            ("[::1]x", TargetError::Host),
            ("a/b", TargetError::Host),
            ("a%", TargetError::Escape),
            ("a%4", TargetError::Escape),
            ("a%00", TargetError::Nul),
            ("a\"b", TargetError::Host),
            ("a\\b", TargetError::Host),
            ("a?b", TargetError::Host),
            ("<a>", TargetError::Host),
            ("\u{e9}", TargetError::Host),
            ("a:1:2", TargetError::Port),
        ];
        for (authority, error) in bad {
            assert_eq!(check_authority(authority.as_bytes()), Err(error), "{authority}");
        }
    }

    #[test]
    fn decoding_gives_the_bytes_of_a_name() {
        let mut out = Vec::new();
        decode(b"/a%20%C3%A9", &mut out).unwrap();
        assert_eq!(out, "/a é".as_bytes());
        assert_eq!(decode(b"%0", &mut out), Err(TargetError::Escape));
    }
}
