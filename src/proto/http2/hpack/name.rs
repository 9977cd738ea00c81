//! What the name of a field is.

use crate::proto::http::Known;

/// A pseudo-header field (RFC 9113, section 8.3; RFC 8441, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pseudo {
    /// `:authority`.
    Authority,
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:protocol`.
    Protocol,
    /// `:scheme`.
    Scheme,
    /// `:status`.
    Status,
    /// Any other name with a colon at its beginning.
    Unknown,
}

/// Which field a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// A part of the first line of HTTP/1.1.
    Pseudo(Pseudo),
    /// A field.
    Field(Known),
}

impl Name {
    /// The field of this name.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        if name.first() != Some(&b':') {
            return Self::Field(Known::of(name));
        }
        Self::Pseudo(match name {
            b":authority" => Pseudo::Authority,
            b":method" => Pseudo::Method,
            b":path" => Pseudo::Path,
            b":protocol" => Pseudo::Protocol,
            b":scheme" => Pseudo::Scheme,
            b":status" => Pseudo::Status,
            _ => Pseudo::Unknown,
        })
    }
}

/// What is wrong with a field by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The name has a byte that no name has, or is not in lower case (RFC 9113, section 8.2.1).
    Name,
    /// The value has a byte that no value has, or white space around it (RFC 9113, section 8.2.1).
    Value,
}

impl Flaw {
    /// What is wrong with this field, if anything is.
    #[must_use]
    pub fn of(name: &[u8], value: &[u8]) -> Option<Self> {
        let token = match name {
            [b':', rest @ ..] => rest,
            [..] => name,
        };
        if token.is_empty() || !token.iter().all(|byte| IS_NAME[usize::from(*byte)]) {
            return Some(Self::Name);
        }
        Self::of_value(value)
    }

    /// What is wrong with this value, if anything is.
    #[must_use]
    pub fn of_value(value: &[u8]) -> Option<Self> {
        let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        let is_flawed = is_blank(value.first())
            || is_blank(value.last())
            || !value.iter().all(|byte| IS_VALUE[usize::from(*byte)]);
        is_flawed.then_some(Self::Value)
    }
}

/// Bytes of names: tokens without upper case.
const IS_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0_u8;
    while at < 0x80 {
        table[at as usize] = crate::proto::http::is_token_byte(at) && !at.is_ascii_uppercase();
        at += 1;
    }
    table
};

/// Bytes of values: visible ones, white space, and those of other alphabets.
const IS_VALUE: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = at == b'\t' as usize || at >= 0x20 && at != 0x7f;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_with_bytes_that_none_has_are_flawed() {
        let cases: [(&str, &str, Option<Flaw>); 12] = [
            ("accept", "a, b", None),
            (":path", "/", None),
            ("x", "", None),
            ("x", "\u{e4}\tb", None),
            ("", "x", Some(Flaw::Name)),
            (":", "x", Some(Flaw::Name)),
            ("Accept", "x", Some(Flaw::Name)),
            ("a:b", "x", Some(Flaw::Name)),
            ("a b", "x", Some(Flaw::Name)),
            ("a", " x", Some(Flaw::Value)),
            ("a", "x\t", Some(Flaw::Value)),
            ("a", "x\r\ny", Some(Flaw::Value)),
        ];
        for (name, value, flaw) in cases {
            assert_eq!(Flaw::of(name.as_bytes(), value.as_bytes()), flaw, "{name:?} {value:?}");
        }
        assert_eq!(Flaw::of(b"a", b"\0"), Some(Flaw::Value));
        assert_eq!(Flaw::of(b"a\xff", b""), Some(Flaw::Name));
    }
}
