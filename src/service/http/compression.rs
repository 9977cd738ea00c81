//! Which answers are compressed on their way, what that means for their fields, and how much
//! memory it may take.

use super::files::coding::{Coding, add_vary, mark, negotiate, remove_of_bytes, weaken};
use super::files::is_kind;
use crate::proto::http::{Fields, Known, Method, RequestHead, ResponseHead};

/// Which answers are compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressionRules {
    /// Types, as patterns.
    pub types: Vec<Box<str>>,
    /// Bytes of a body at least.
    pub min: u64,
}

/// Type and length of the full representation: for HEAD, 304 and 206, those of the corresponding
/// 200.
#[derive(Debug, Clone, Copy)]
pub struct Whole<'a> {
    /// Its content type; `None` when the answer does not tell.
    pub kind: Option<&'a [u8]>,
    /// Bytes, if known.
    pub len: Option<u64>,
}

/// What compression makes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Stays,
    /// It goes as it is, but for another client it might not.
    Varies,
    /// It is without the whole body, and the answer with it would be compressed: its tag is that
    /// of the other one (RFC 9110, sections 15.3.7 and 15.4.5).
    Weakens,
    /// It is compressed, or describes one that is.
    Encodes(Coding),
}

impl CompressionRules {
    /// What becomes of an answer. An answer to HEAD has the fields of that to GET (RFC 9110,
    /// section 9.3.2).
    #[must_use]
    pub fn decide(&self, request: &RequestHead, answer: &ResponseHead, whole: Whole<'_>) -> Fate {
        if !self.suits(answer, whole) {
            return Fate::Stays;
        }
        let is_forbidden = forbids_change(&request.fields);
        let coding = negotiate(&request.fields, &Coding::ALL).filter(|_| !is_forbidden);
        let is_whole = !matches!(answer.status, 206 | 304);
        match coding {
            None => Fate::Varies,
            Some(coding) if is_whole => Fate::Encodes(coding),
            Some(_) if is_of_plain(&request.fields, answer, whole) => Fate::Varies,
            Some(_) => Fate::Weakens,
        }
    }

    /// Whether an answer would be compressed for a client that likes it.
    fn suits(&self, answer: &ResponseHead, whole: Whole<'_>) -> bool {
        let fields = &answer.fields;
        let is_listed = |kind| {
            let kind = std::str::from_utf8(kind).unwrap_or_default();
            self.types.iter().any(|pattern| is_kind(kind, pattern))
        };
        // Only answers without the whole body may leave the type open.
        let is_open = matches!(answer.status, 206 | 304);
        !matches!(answer.status, 100..=199 | 204 | 205)
            && !fields.has(Known::ContentEncoding)
            && !forbids_change(fields)
            && whole.len.is_none_or(|len| len > 0 && len >= self.min)
            && whole.kind.map_or(is_open, is_listed)
    }
}

/// Whether whoever sent this wants its content to arrive as it is (RFC 9111, sections 5.2.1.6 and
/// 5.2.2.6).
fn forbids_change(fields: &Fields) -> bool {
    fields.list(Known::CacheControl).any(|one| one.eq_ignore_ascii_case(b"no-transform"))
}

/// Whether an answer without the whole body describes the uncompressed representation: the request
/// names the strong tag, or the type is unknown and the request has no tag.
fn is_of_plain(request: &Fields, answer: &ResponseHead, whole: Whole<'_>) -> bool {
    let tag = answer.fields.get(Known::Etag);
    let names = |known| request.list(known).any(|one| Some(one) == tag);
    match answer.status {
        206 => names(Known::IfRange),
        _ if whole.kind.is_none() => names(Known::IfNoneMatch) || !request.has(Known::IfNoneMatch),
        _ => false,
    }
}

impl Fate {
    /// Writes it to the fields of the answer.
    pub fn apply(self, answer: &mut ResponseHead) {
        let fields = &mut answer.fields;
        match self {
            Self::Stays => {}
            Self::Varies => add_vary(fields),
            Self::Weakens => {
                add_vary(fields);
                weaken(fields);
                // A part is sent as it is, and what stands for its bytes is true.
                if answer.status == 304 {
                    remove_of_bytes(fields);
                }
            }
            Self::Encodes(coding) => {
                add_vary(fields);
                mark(fields, coding);
            }
        }
    }

    /// The length that the answer tells, of one that is `length` bytes long as it is. 304 tells
    /// that of the answer with the body, or none (RFC 9110, section 8.6).
    #[must_use]
    pub const fn length(self, status: u16, length: Option<u64>) -> Option<u64> {
        match self {
            Self::Encodes(_) => None,
            Self::Varies | Self::Weakens if status == 304 => None,
            Self::Stays | Self::Varies | Self::Weakens => length,
        }
    }

    /// The same, when there is no memory to compress the answer.
    #[must_use]
    pub const fn refused(self) -> Self {
        match self {
            Self::Stays => Self::Stays,
            Self::Varies | Self::Weakens | Self::Encodes(_) => Self::Varies,
        }
    }
}

/// The whole of a proxied answer; `length` is that of its body, or of the body that an answer to
/// GET would have.
#[must_use]
pub fn whole_of(answer: &ResponseHead, length: Option<u64>) -> Whole<'_> {
    let kind = answer.fields.get(Known::ContentType);
    if answer.status != 206 {
        return Whole { kind, len: length };
    }
    // Several parts have their types within.
    let is_multipart = |kind: &&[u8]| {
        kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
    };
    let range = answer.fields.get(Known::ContentRange);
    let total = range.and_then(|range| range.rsplit(|byte| *byte == b'/').next());
    let total = total.and_then(|total| std::str::from_utf8(total).ok()?.parse().ok());
    Whole { kind: kind.filter(|kind| !is_multipart(kind)), len: total }
}

/// Whether an answer is one of which a method has the body.
#[must_use]
pub const fn has_body(method: Method, status: u16) -> bool {
    !matches!(method, Method::Head) && !matches!(status, 204 | 304)
}

/// How far back a compressor looks: what it costs in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// As far as pays for most texts.
    Full,
    /// 64 KiB.
    Small,
}

impl Window {
    /// Bytes of memory that a compressor takes at most, measured.
    #[must_use]
    pub const fn memory(self, coding: Coding) -> u64 {
        let kibibytes = match (coding, self) {
            // A window of 32 KiB, always.
            (Coding::Gzip, Self::Full | Self::Small) => 352,
            (Coding::Brotli, Self::Full) => 1856,
            (Coding::Brotli, Self::Small) => 656,
            (Coding::Zstd, Self::Full) => 2080,
            (Coding::Zstd, Self::Small) => 624,
        };
        kibibytes * 1024
    }

    /// What an answer of `length` bytes gets while `used` of `most` bytes are in use. The second
    /// half of them is for small windows, so that compression gets worse before it is given up;
    /// `None`: the answer goes as it is.
    #[must_use]
    pub fn choose(coding: Coding, length: Option<u64>, used: u64, most: u64) -> Option<Self> {
        /// Bytes that the small window has in view.
        const SMALL: u64 = 64 * 1024;
        let fits = |window: Self, most| used.saturating_add(window.memory(coding)) <= most;
        let is_short = length.is_some_and(|length| length <= SMALL);
        if !is_short && fits(Self::Full, most / 2) {
            return Some(Self::Full);
        }
        fits(Self::Small, most).then_some(Self::Small)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> RequestHead {
        let mut request = RequestHead::default();
        for (name, value) in pairs {
            request.fields.push(name.as_bytes(), value.as_bytes());
        }
        request
    }

    fn answer(status: u16, pairs: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead { status, ..ResponseHead::default() };
        for (name, value) in pairs {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
    const TAG: (&str, &str) = ("etag", "\"a\"");

    fn decide(request: &RequestHead, answer: &ResponseHead, length: Option<u64>) -> Fate {
        let rules = CompressionRules { types: vec!["text/*".into()], min: 100 };
        rules.decide(request, answer, whole_of(answer, length))
    }

    #[test]
    fn only_what_is_worth_it_is_compressed() {
        let accepts = request(&[("accept-encoding", "gzip")]);
        let gzip = Fate::Encodes(Coding::Gzip);
        let table = [
            (answer(200, &[HTML]), Some(100), gzip),
            (answer(200, &[HTML]), None, gzip),
            (answer(404, &[HTML]), Some(100), gzip),
            (answer(200, &[HTML]), Some(99), Fate::Stays),
            (answer(204, &[HTML]), None, Fate::Stays),
            (answer(205, &[HTML]), None, Fate::Stays),
            (answer(101, &[HTML]), None, Fate::Stays),
            (answer(200, &[HTML, ("content-encoding", "br")]), Some(100), Fate::Stays),
            (answer(200, &[HTML, ("cache-control", "a, no-transform")]), Some(100), Fate::Stays),
            (answer(200, &[("content-type", "image/png")]), Some(100), Fate::Stays),
            (answer(200, &[]), Some(100), Fate::Stays),
        ];
        for (head, length, expected) in table {
            assert_eq!(decide(&accepts, &head, length), expected, "{head:?}");
        }
        let html = answer(200, &[HTML]);
        for pairs in [
            &[][..],
            &[("accept-encoding", "identity")],
            &[("accept-encoding", "gzip"), ("cache-control", "no-transform")],
        ] {
            assert_eq!(decide(&request(pairs), &html, Some(100)), Fate::Varies, "{pairs:?}");
        }
        assert_eq!((gzip.refused(), Fate::Stays.refused()), (Fate::Varies, Fate::Stays));
        let all = CompressionRules { types: vec!["*".into()], min: 0 };
        let empty = Whole { kind: Some(b"text/html"), len: Some(0) };
        assert_eq!(all.decide(&accepts, &html, empty), Fate::Stays, "there is nothing in it");
    }

    #[test]
    fn what_is_without_the_whole_body_has_the_tag_of_what_is_with_it() {
        let pairs = [("accept-encoding", "gzip"), ("if-none-match", "W/\"a\"")];
        let weak = request(&pairs);
        let strong = request(&[("accept-encoding", "gzip"), ("if-none-match", "\"b\", \"a\"")]);
        let range = |range| ("content-range", range);
        let multipart = ("content-type", "Multipart/byteranges; boundary=a");
        let table = [
            (&weak, answer(304, &[TAG]), None, Fate::Weakens),
            (&strong, answer(304, &[TAG]), None, Fate::Varies),
            (&strong, answer(304, &[TAG, HTML]), None, Fate::Weakens),
            (&weak, answer(304, &[TAG]), Some(99), Fate::Stays),
            (&weak, answer(304, &[TAG, ("content-type", "image/png")]), None, Fate::Stays),
            (&weak, answer(304, &[TAG, ("content-encoding", "br")]), None, Fate::Stays),
            (&weak, answer(206, &[HTML, range("bytes 0-9/100")]), Some(10), Fate::Weakens),
            (&weak, answer(206, &[HTML, range("bytes 0-9/99")]), Some(10), Fate::Stays),
            (&weak, answer(206, &[HTML, range("bytes 0-9/*")]), Some(10), Fate::Weakens),
            (&weak, answer(206, &[multipart]), Some(10), Fate::Weakens),
            (&request(&pairs[1..]), answer(206, &[multipart]), Some(10), Fate::Varies),
        ];
        for (request, head, length, expected) in table {
            assert_eq!(decide(request, &head, length), expected, "{head:?}");
        }
        for (status, kept, length) in [(304, 0, None), (206, 1, Some(9))] {
            let mut answer = answer(status, &[TAG, ("repr-digest", "sha-256=:AA==:")]);
            Fate::Weakens.apply(&mut answer);
            let fields = &answer.fields;
            assert_eq!(fields.get(Known::Etag), Some(&b"W/\"a\""[..]));
            assert_eq!(fields.get(Known::Vary), Some(&b"accept-encoding"[..]));
            assert!(!fields.has(Known::ContentEncoding));
            assert_eq!(fields.len(), 2 + kept, "{status}");
            assert_eq!(Fate::Weakens.length(status, Some(9)), length);
        }
    }

    #[test]
    fn the_memory_of_all_answers_has_a_limit() {
        let most = 16 << 20;
        for coding in Coding::ALL {
            let (mut used, mut windows) = (0, Vec::new());
            while let Some(window) = Window::choose(coding, None, used, most) {
                used += window.memory(coding);
                windows.push(window);
            }
            assert!(used <= most && used + Window::Small.memory(coding) > most, "{coding:?}");
            assert_eq!(windows.first(), Some(&Window::Full));
            assert_eq!(windows.last(), Some(&Window::Small));
            assert!(windows.is_sorted_by_key(|window| *window == Window::Small));
            let short = Window::choose(coding, Some(64 << 10), 0, most);
            assert_eq!(short, Some(Window::Small), "it has all of it in view");
            let long = Window::choose(coding, Some((64 << 10) + 1), 0, most);
            assert_eq!(long, Some(Window::Full));
            assert_eq!(Window::choose(coding, None, 0, 0), None);
            assert_eq!(Window::choose(coding, None, u64::MAX, most), None);
        }
    }
}
