//! The names that a client may ask for (RFC 6066, section 3).

/// Bytes of a name: what DNS can carry, written with dots (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 253;
/// Bytes of a label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// The host name in lower case, without the dot at its end that makes it absolute. `None` for an
/// address and for an invalid host name: no route can match it, and the server decides whether to
/// accept it.
pub(super) fn read(bytes: &[u8]) -> Option<String> {
    let text = str::from_utf8(bytes).ok()?;
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name = name.len() <= NAME_MAX && name.split('.').all(is_label) && !is_address(name);
    is_name.then(|| name.to_ascii_lowercase())
}

/// One label. An empty one would be two dots in a row. Host names have no underscore (RFC 952), but
/// names in DNS do, and wildcards are for those as well.
fn is_label(label: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.len() <= LABEL_MAX && label.bytes().all(is_known)
}

/// An address, which is no name (RFC 6066, section 3). No top-level domain is a number, so what
/// ends with one is meant to be an address, in whatever form some library would accept.
fn is_address(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    is_number || is_hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_in_lower_case() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        let absolute = format!("{longest}.");
        let good = [
            ("a", "a"),
            ("Example.COM", "example.com"),
            ("Example.COM.", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.2.3.4.example", "1.2.3.4.example"),
            ("0x7f.example", "0x7f.example"),
            ("_dmarc.a_b.example", "_dmarc.a_b.example"),
            ("-a-.example", "-a-.example"),
            (&longest, &longest),
            (&absolute, &longest),
        ];
        for (text, expected) in good {
            assert_eq!(read(text.as_bytes()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_is_no_host_name_is_none() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["a".repeat(63), "a".repeat(63), "a".repeat(63), "a".repeat(62)].join(".");
        let bad: [&[u8]; 13] = [
            b"",
            b".",
            b"a..",
            b".a",
            b"a..b",
            b"a b",
            b"*.example",
            b"a\0.example",
            b"a/b",
            b"b\xc3\xbccher.example",
            b"\xff",
            long_label.as_bytes(),
            long_name.as_bytes(),
        ];
        let addresses =
            ["127.0.0.1", "127.0.0.1.", "::1", "[::1]", "1", "0x7f000001", "127.1", "10.0.0.0x1"];
        for name in bad.into_iter().chain(addresses.map(str::as_bytes)) {
            assert_eq!(read(name), None, "{:?}", String::from_utf8_lossy(name));
        }
    }
}
