//! Content codings: which one a client takes, and what an answer in one says (RFC 9110, sections
//! 8.4 and 12.5.3).

use crate::proto::http::{Fields, Known};

/// A coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `zstd` (RFC 8878).
    Zstd,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Coding {
    /// All, in the order of preference where the client has none: by what is saved for the work.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// As the `content-encoding` field has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The end of the name of a file in this coding.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// The coding that a client likes best of those that are offered; `None`: the bytes as they are.
#[must_use]
pub fn negotiate(fields: &Fields, offered: &[Coding]) -> Option<Coding> {
    let mut best: Option<(Coding, u32)> = None;
    for &coding in offered {
        let weight = weight(fields, coding.name().as_bytes());
        if weight > 0 && best.is_none_or(|(_, most)| weight > most) {
            best = Some((coding, weight));
        }
    }
    best.map(|(coding, _)| coding)
}

/// How much a coding is liked, in thousandths; 0: not at all.
fn weight(fields: &Fields, name: &[u8]) -> u32 {
    let mut any = None;
    for member in fields.list(Known::AcceptEncoding) {
        let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let quality = parts.find_map(|one| {
            let value = one.strip_prefix(b"q=").or_else(|| one.strip_prefix(b"Q="))?;
            Some(thousandths(value))
        });
        let quality = quality.unwrap_or(1000);
        if coding.eq_ignore_ascii_case(name)
            || (name == b"gzip" && coding.eq_ignore_ascii_case(b"x-gzip"))
        {
            return quality;
        }
        if coding == b"*" {
            any = Some(quality);
        }
    }
    any.unwrap_or(0)
}

/// A weight (RFC 9110, section 12.4.2); one that is none is 0.
fn thousandths(value: &[u8]) -> u32 {
    let (whole, rest) = match value {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', rest @ ..] if rest.len() <= 3 => (*whole, rest),
        [..] => return 0,
    };
    let mut sum = u32::from(whole - b'0') * 1000;
    let mut place = 100;
    for digit in rest {
        if !digit.is_ascii_digit() {
            return 0;
        }
        sum += u32::from(digit - b'0') * place;
        place /= 10;
    }
    sum.min(1000)
}

/// Says that the answer varies with what codings a client takes.
pub fn add_vary(fields: &mut Fields) {
    let is_there =
        |member: &[u8]| member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding");
    if !fields.list(Known::Vary).any(is_there) {
        fields.push_known(Known::Vary, b"accept-encoding");
    }
}

/// Fields that stand for the bytes of a body, or for which of them can be had: of a body in another
/// coding they are not true (RFC 9110, section 14.3; RFC 9530, sections 2 and 3; RFC 1864;
/// RFC 3230).
const OF_BYTES: [&[u8]; 5] =
    [b"accept-ranges", b"content-digest", b"content-md5", b"digest", b"repr-digest"];

/// The fields of an answer that is compressed from now on.
pub fn mark(fields: &mut Fields, coding: Coding) {
    fields.push_known(Known::ContentEncoding, coding.name().as_bytes());
    remove_of_bytes(fields);
    weaken(fields);
}

/// Drops what stands for bytes that the client does not get.
pub fn remove_of_bytes(fields: &mut Fields) {
    OF_BYTES.iter().for_each(|name| fields.remove(name));
}

/// The tag no longer stands for the bytes (RFC 9110, section 8.8.1).
pub fn weaken(fields: &mut Fields) {
    if let Some(tag) = fields.get(Known::Etag).filter(|tag| !tag.starts_with(b"W/")) {
        let weak = [b"W/", tag].concat();
        fields.set(b"etag", &weak);
    }
}

/// Drops the trailers that are not true of a body that was compressed.
pub fn mark_trailers(trailers: &mut Fields) {
    remove_of_bytes(trailers);
    weaken(trailers);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Fields {
        let mut fields = Fields::default();
        fields.push(name.as_bytes(), value.as_bytes());
        fields
    }

    #[test]
    fn the_coding_that_the_client_likes_best_is_taken() {
        let table = [
            ("gzip", Some(Coding::Gzip)),
            ("gzip, br, zstd", Some(Coding::Zstd)),
            ("gzip, deflate, br", Some(Coding::Brotli)),
            ("gzip;q=1.0, br;q=0.5", Some(Coding::Gzip)),
            ("GZIP", Some(Coding::Gzip)),
            ("x-gzip", Some(Coding::Gzip)),
            ("*", Some(Coding::Zstd)),
            ("*;q=0", None),
            ("gzip;q=0", None),
            ("gzip;q=0, *", Some(Coding::Zstd)),
            ("identity", None),
            ("", None),
            ("gzip;q=1.5", Some(Coding::Gzip)),
            ("gzip;q=x", None),
            ("gzip;q=0.001", Some(Coding::Gzip)),
        ];
        for (value, expected) in table {
            assert_eq!(
                negotiate(&with("accept-encoding", value), &Coding::ALL),
                expected,
                "{value}"
            );
        }
        assert_eq!(negotiate(&with("accept-encoding", "br"), &[Coding::Gzip]), None);
    }

    #[test]
    fn a_compressed_answer_says_so_and_varies() {
        let mut fields = with("etag", "\"a\"");
        mark(&mut fields, Coding::Gzip);
        add_vary(&mut fields);
        add_vary(&mut fields);
        assert_eq!(fields.get(Known::Etag), Some(&b"W/\"a\""[..]));
        assert_eq!(fields.all(Known::Vary).count(), 1);
        assert_eq!(fields.get(Known::ContentEncoding), Some(&b"gzip"[..]));
    }

    #[test]
    fn what_stands_for_the_bytes_goes_when_they_change() {
        let mut fields = with("etag", "\"a\"");
        for name in ["Content-MD5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges"] {
            fields.push(name.as_bytes(), b"sha-256=:AA==:");
        }
        fields.push(b"unencoded-digest", b"sha-256=:AA==:");
        let mut trailers = fields.clone();
        mark(&mut fields, Coding::Gzip);
        let left: Vec<_> = fields.iter().map(|field| field.name.to_vec()).collect();
        assert_eq!(left, [&b"unencoded-digest"[..], b"content-encoding", b"etag"]);
        mark_trailers(&mut trailers);
        assert_eq!(trailers.get(Known::Etag), Some(&b"W/\"a\""[..]));
        assert_eq!(trailers.len(), 2);
    }
}
