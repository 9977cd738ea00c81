//! The names that a client may ask for (RFC 6066, section 3).

use super::hello::Rule;

/// Bytes of a name: what DNS can carry, written with dots (RFC 1035, section 2.3.4).
const NAME_MAX: usize = 253;
/// Bytes of a label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// A name of letters, digits and hyphens, in lower case.
pub(super) fn read(bytes: &[u8]) -> Result<String, Rule> {
    let text = str::from_utf8(bytes).map_err(|_| Rule::ServerName)?;
    if is_address(text) {
        return Err(Rule::ServerNameAddress);
    }
    if bytes.len() > NAME_MAX || !bytes.split(|&byte| byte == b'.').all(is_label) {
        return Err(Rule::ServerName);
    }
    Ok(text.to_ascii_lowercase())
}

/// One label (RFC 5890, section 2.3.1); an empty one would be a dot at an end, or two in a row.
fn is_label(label: &[u8]) -> bool {
    let is_in_place = label.first() != Some(&b'-') && label.last() != Some(&b'-');
    let is_ldh = label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    !label.is_empty() && label.len() <= LABEL_MAX && is_in_place && is_ldh
}

/// An address, which is no name (RFC 6066, section 3). No top-level domain is a number, so what
/// ends with one is meant to be an address, in whatever form some library would accept.
fn is_address(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_hex = is_hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_number || is_hex || text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_in_lower_case() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        let good = [
            ("a", "a"),
            ("Example.COM", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("1.2.3.4.example", "1.2.3.4.example"),
            ("0x7f.example", "0x7f.example"),
            (&longest, &longest),
        ];
        for (text, expected) in good {
            assert_eq!(read(text.as_bytes()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = ["a".repeat(63), "a".repeat(63), "a".repeat(63), "a".repeat(62)].join(".");
        let bad: [&[u8]; 15] = [
            b"",
            b".",
            b"a.",
            b".a",
            b"a..b",
            b"-a.example",
            b"a-.example",
            b"a b",
            b"a_b",
            b"*.example",
            b"a\0.example",
            b"b\xc3\xbccher.example",
            b"\xff",
            long_label.as_bytes(),
            long_name.as_bytes(),
        ];
        for name in bad {
            assert_eq!(read(name), Err(Rule::ServerName), "{:?}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn addresses_are_no_names() {
        let addresses =
            ["127.0.0.1", "::1", "[::1]", "1", "0x7f000001", "127.1", "10.0.0.0x1", "1.2.3.4.5"];
        for name in addresses {
            assert_eq!(read(name.as_bytes()), Err(Rule::ServerNameAddress), "{name}");
        }
    }
}
