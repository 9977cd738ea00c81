//! A glance at a path that rules most routes out.

use super::condition::{PathMatch, RouteMatch};

/// Bytes of a word.
const WORD: usize = 8;

/// What a path has in common with all that a route takes: some lengths, and the last eight bytes of
/// the text that it begins with, as these differ where the first ones, such as `/api/v1/`, do not.
/// Sieves lie beside each other, so that a thousand of them cost a few cache lines each and no look
/// at their routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sieve {
    len_min: usize,
    len_max: usize,
    /// Where the word lies in the path.
    at: usize,
    word: u64,
    /// Bits of it that count.
    mask: u64,
}

/// A path with its first word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path<'a> {
    bytes: &'a [u8],
    first: u64,
}

impl<'a> Path<'a> {
    pub(super) fn new(path: &'a str) -> Self {
        let bytes = path.as_bytes();
        Self { bytes, first: padded(bytes) }
    }
}

impl Sieve {
    pub(super) fn new(route: &RouteMatch) -> Self {
        let (text, len_max) = match &route.path {
            PathMatch::Any | PathMatch::Regex(_) => (&[][..], usize::MAX),
            PathMatch::Exact(exact) => (exact.as_bytes(), exact.len()),
            PathMatch::Prefix(prefix) => (prefix.as_bytes(), usize::MAX),
        };
        let at = text.len().saturating_sub(WORD);
        let tail = text.get(at..).unwrap_or_default();
        let mask = padded(&[u8::MAX; WORD][..tail.len()]);
        Self { len_min: text.len(), len_max, at, word: padded(tail), mask }
    }

    /// Whether the route may take the path; never wrong when it says no.
    pub(super) fn lets_through(&self, path: Path<'_>) -> bool {
        let len = path.bytes.len();
        if len < self.len_min || len > self.len_max {
            return false;
        }
        let word = match self.at {
            0 => path.first,
            at => match path.bytes.get(at..).and_then(<[u8]>::first_chunk) {
                Some(word) => u64::from_le_bytes(*word),
                None => return false,
            },
        };
        word & self.mask == self.word
    }
}

/// The first eight bytes, with zeros behind those that there are.
fn padded(bytes: &[u8]) -> u64 {
    let mut word = [0; WORD];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sieve_rules_out_what_ends_otherwise_and_nothing_that_matches() {
        let exact = |text: &str| PathMatch::Exact(text.into());
        let prefix = |text: &str| PathMatch::Prefix(text.into());
        let table = [
            (PathMatch::Any, "", true),
            (PathMatch::Any, "/x", true),
            (exact("/x"), "/x", true),
            (exact("/x"), "/y", false),
            (exact("/x"), "/x/", false),
            (exact("/1234567"), "/1234567", true),
            (exact("/1234567"), "/123456", false),
            (exact("/api/v1/services/7"), "/api/v1/services/7", true),
            (exact("/api/v1/services/7"), "/api/v1/services/8", false),
            (prefix("/"), "/", true),
            (prefix("/"), "*", false),
            (prefix("/"), "", false),
            (prefix("/ab"), "/abc", true),
            (prefix("/ab"), "/ac", false),
            (prefix("/1234567"), "/1234567/x", true),
            (prefix("/1234567"), "/1234568/x", false),
            (prefix("/api/v1/services/7"), "/api/v1/services/7/x", true),
            (prefix("/api/v1/services/7"), "/api/v1/services/8/x", false),
            (prefix("/api/v1/services/7"), "/api/v1/services/", false),
        ];
        for (condition, path, through) in table {
            let shown = format!("{condition:?} {path}");
            let route = RouteMatch { path: condition, ..RouteMatch::default() };
            assert_eq!(Sieve::new(&route).lets_through(Path::new(path)), through, "{shown}");
        }
    }
}
