//! The static table (RFC 7541, appendix A).

use super::name::{Name, Pseudo};
use crate::proto::http::Known;

/// A field of the table.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) value: &'static str,
    pub(super) kind: Name,
}

/// How many fields there are; the first has the index 1.
pub(super) const LEN: usize = 61;

const fn field(known: Known, value: &'static str) -> Entry {
    Entry { name: known.name(), value, kind: Name::Field(known) }
}

const fn other(name: &'static str) -> Entry {
    Entry { name, value: "", kind: Name::Field(Known::Other) }
}

const fn pseudo(pseudo: Pseudo, name: &'static str, value: &'static str) -> Entry {
    Entry { name, value, kind: Name::Pseudo(pseudo) }
}

const fn status(code: &'static str) -> Entry {
    pseudo(Pseudo::Status, ":status", code)
}

static TABLE: [Entry; LEN] = [
    pseudo(Pseudo::Authority, ":authority", ""),
    pseudo(Pseudo::Method, ":method", "GET"),
    pseudo(Pseudo::Method, ":method", "POST"),
    pseudo(Pseudo::Path, ":path", "/"),
    pseudo(Pseudo::Path, ":path", "/index.html"),
    pseudo(Pseudo::Scheme, ":scheme", "http"),
    pseudo(Pseudo::Scheme, ":scheme", "https"),
    status("200"),
    status("204"),
    status("206"),
    status("304"),
    status("400"),
    status("404"),
    status("500"),
    other("accept-charset"),
    field(Known::AcceptEncoding, "gzip, deflate"),
    other("accept-language"),
    other("accept-ranges"),
    other("accept"),
    other("access-control-allow-origin"),
    other("age"),
    other("allow"),
    field(Known::Authorization, ""),
    field(Known::CacheControl, ""),
    other("content-disposition"),
    field(Known::ContentEncoding, ""),
    other("content-language"),
    field(Known::ContentLength, ""),
    other("content-location"),
    field(Known::ContentRange, ""),
    field(Known::ContentType, ""),
    field(Known::Cookie, ""),
    field(Known::Date, ""),
    field(Known::Etag, ""),
    field(Known::Expect, ""),
    other("expires"),
    other("from"),
    field(Known::Host, ""),
    field(Known::IfMatch, ""),
    field(Known::IfModifiedSince, ""),
    field(Known::IfNoneMatch, ""),
    field(Known::IfRange, ""),
    field(Known::IfUnmodifiedSince, ""),
    field(Known::LastModified, ""),
    other("link"),
    field(Known::Location, ""),
    other("max-forwards"),
    field(Known::ProxyAuthenticate, ""),
    field(Known::ProxyAuthorization, ""),
    field(Known::Range, ""),
    field(Known::Referer, ""),
    other("refresh"),
    other("retry-after"),
    field(Known::Server, ""),
    other("set-cookie"),
    other("strict-transport-security"),
    field(Known::TransferEncoding, ""),
    field(Known::UserAgent, ""),
    field(Known::Vary, ""),
    field(Known::Via, ""),
    field(Known::WwwAuthenticate, ""),
];

/// The field of an index.
pub(super) fn get(index: usize) -> Option<&'static Entry> {
    TABLE.get(index.checked_sub(1)?)
}

/// The index of a field with that name and value, if there is one.
pub(super) fn find(name: Name, value: &[u8]) -> Option<usize> {
    let Name::Pseudo(pseudo) = name else {
        let is_it = name == Name::Field(Known::AcceptEncoding) && value == b"gzip, deflate";
        return is_it.then_some(16);
    };
    let places = match pseudo {
        Pseudo::Method => 2..4,
        Pseudo::Path => 4..6,
        Pseudo::Scheme => 6..8,
        Pseudo::Status => 8..15,
        Pseudo::Authority | Pseudo::Protocol | Pseudo::Unknown => return None,
    };
    let has_value =
        |index: &usize| TABLE.get(*index - 1).is_some_and(|entry| entry.value.as_bytes() == value);
    places.into_iter().find(has_value)
}

/// The index of a field with that name, if there is one. `text` is the name.
pub(super) fn find_name(name: Name, text: &[u8]) -> Option<usize> {
    let known = match name {
        Name::Pseudo(Pseudo::Authority) => return Some(1),
        Name::Pseudo(Pseudo::Method) => return Some(2),
        Name::Pseudo(Pseudo::Path) => return Some(4),
        Name::Pseudo(Pseudo::Scheme) => return Some(6),
        Name::Pseudo(Pseudo::Status) => return Some(8),
        Name::Pseudo(Pseudo::Protocol | Pseudo::Unknown) => return None,
        Name::Field(Known::Other) => return find_other(text),
        Name::Field(known) => known,
    };
    let at = INDEXES[known as usize];
    (at > 0).then_some(at.into())
}

/// The index of each name that is known; 0 where there is none.
const INDEXES: [u8; 64] = {
    let mut indexes = [0; 64];
    let mut at = 0_u8;
    while (at as usize) < LEN {
        if let Name::Field(known) = TABLE[at as usize].kind
            && !matches!(known, Known::Other)
        {
            indexes[known as usize] = at + 1;
        }
        at += 1;
    }
    indexes
};

const fn find_other(name: &[u8]) -> Option<usize> {
    Some(match name {
        b"accept-charset" => 15,
        b"accept-language" => 17,
        b"accept-ranges" => 18,
        b"accept" => 19,
        b"access-control-allow-origin" => 20,
        b"age" => 21,
        b"allow" => 22,
        b"content-disposition" => 25,
        b"content-language" => 27,
        b"content-location" => 29,
        b"expires" => 36,
        b"from" => 37,
        b"link" => 45,
        b"max-forwards" => 47,
        b"refresh" => 52,
        b"retry-after" => 53,
        b"set-cookie" => 55,
        b"strict-transport-security" => 56,
        [..] => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_found_by_its_name_and_its_value() {
        for index in 1..=LEN {
            let entry = get(index).unwrap();
            assert_eq!(Name::of(entry.name.as_bytes()), entry.kind, "{index}");
            let by_name = find_name(entry.kind, entry.name.as_bytes()).unwrap();
            assert_eq!(get(by_name).unwrap().name, entry.name, "{index}");
            let by_value = find(entry.kind, entry.value.as_bytes());
            assert_eq!(by_value, (!entry.value.is_empty()).then_some(index));
        }
        assert!(get(0).is_none() && get(LEN + 1).is_none());
        assert_eq!(find(Name::Pseudo(Pseudo::Status), b"201"), None);
        assert_eq!(find_name(Name::Field(Known::Other), b"x-y"), None);
        assert_eq!(find_name(Name::Field(Known::Te), b"te"), None);
    }
}
