//! Content codings: which one a client takes, and which answers are worth one (RFC 9110, sections
//! 8.4 and 12.5.3).

use super::is_kind;
use crate::proto::http::{Fields, Known, ResponseHead};

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

/// Which answers are compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionRules {
    /// Types, as patterns.
    pub types: Vec<Box<str>>,
    /// Bytes of a body at least.
    pub min: u64,
}

impl CompressionRules {
    /// The coding that an answer gets, if any. `length` is that of its body, if it is known.
    #[must_use]
    pub fn choose(
        &self,
        request: &Fields,
        answer: &ResponseHead,
        length: Option<u64>,
    ) -> Option<Coding> {
        self.suits(answer, length).then(|| negotiate(request, &Coding::ALL)).flatten()
    }

    /// Whether an answer would be compressed for a client that likes it: then it varies.
    #[must_use]
    pub fn suits(&self, answer: &ResponseHead, length: Option<u64>) -> bool {
        let fields = &answer.fields;
        let kind = fields.get(Known::ContentType).unwrap_or_default();
        let kind = std::str::from_utf8(kind).unwrap_or_default();
        let may_change =
            !fields.list(Known::CacheControl).any(|one| one.eq_ignore_ascii_case(b"no-transform"));
        !matches!(answer.status, 101 | 204 | 206 | 304)
            && !fields.has(Known::ContentEncoding)
            && !fields.has(Known::ContentRange)
            && may_change
            && length.is_none_or(|length| length >= self.min)
            && self.types.iter().any(|pattern| is_kind(kind, pattern))
    }
}

/// Says that the answer varies with what codings a client takes.
pub fn add_vary(fields: &mut Fields) {
    let is_there =
        |member: &[u8]| member == b"*" || member.eq_ignore_ascii_case(b"accept-encoding");
    if !fields.list(Known::Vary).any(is_there) {
        fields.push(b"vary", b"accept-encoding");
    }
}

/// The fields of an answer that is compressed from now on: its tag no longer stands for its bytes
/// (RFC 9110, section 8.8.1).
pub fn mark(fields: &mut Fields, coding: Coding) {
    fields.push(b"content-encoding", coding.name().as_bytes());
    fields.remove(b"accept-ranges");
    if let Some(tag) = fields.get(Known::Etag).filter(|tag| !tag.starts_with(b"W/")) {
        let weak = [b"W/", tag].concat();
        fields.set(b"etag", &weak);
    }
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
    fn only_what_is_worth_it_is_compressed() {
        let rules = CompressionRules { types: vec!["text/*".into()], min: 100 };
        let accepts = with("accept-encoding", "gzip");
        let answer = |status, pairs: &[(&str, &str)]| {
            let mut head = ResponseHead { status, ..ResponseHead::default() };
            for (name, value) in pairs {
                head.fields.push(name.as_bytes(), value.as_bytes());
            }
            head
        };
        let html = ("content-type", "text/html; charset=utf-8");
        let table = [
            (answer(200, &[html]), Some(100), true),
            (answer(200, &[html]), None, true),
            (answer(200, &[html]), Some(99), false),
            (answer(206, &[html]), Some(100), false),
            (answer(304, &[html]), None, false),
            (answer(200, &[html, ("content-encoding", "br")]), Some(100), false),
            (answer(200, &[html, ("cache-control", "a, no-transform")]), Some(100), false),
            (answer(200, &[("content-type", "image/png")]), Some(100), false),
            (answer(200, &[]), Some(100), false),
        ];
        for (head, length, expected) in table {
            let chosen = rules.choose(&accepts, &head, length);
            assert_eq!(chosen, expected.then_some(Coding::Gzip), "{head:?}");
        }
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
}
