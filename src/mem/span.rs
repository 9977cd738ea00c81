//! Where something lies in a buffer, without borrowing it.

use std::ops::Range;

/// The bytes `start..end` of some buffer. Parsers give spans instead of slices, so that what they
/// found can be kept beside the buffer. Which buffer it is, its owner knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The bytes from `start` up to, and not with, `end`; nothing, at `start`, when `end` lies
    /// before it.
    #[must_use]
    pub const fn new(start: u32, end: u32) -> Self {
        let end = if end < start { start } else { end };
        Self { start, end }
    }

    /// The same from a range of indexes; `None` when it is reversed or beyond 4 GiB.
    #[must_use]
    pub fn from_range(range: Range<usize>) -> Option<Self> {
        let start = u32::try_from(range.start).ok()?;
        let end = u32::try_from(range.end).ok()?;
        (start <= end).then_some(Self { start, end })
    }

    /// The index of the first byte.
    #[must_use]
    pub const fn start(self) -> u32 {
        self.start
    }

    /// The index behind the last byte.
    #[must_use]
    pub const fn end(self) -> u32 {
        self.end
    }

    /// How many bytes it covers.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.end - self.start
    }

    /// Whether it covers no byte.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The same of a text; `None` also when it cuts a character.
    #[must_use]
    pub fn of_text(self, text: &str) -> Option<&str> {
        let start = usize::try_from(self.start).ok()?;
        let end = usize::try_from(self.end).ok()?;
        text.get(start..end)
    }

    /// Its bytes in `buffer`; `None` when it reaches beyond the end of the buffer.
    #[must_use]
    pub fn of(self, buffer: &[u8]) -> Option<&[u8]> {
        let start = usize::try_from(self.start).ok()?;
        let end = usize::try_from(self.end).ok()?;
        buffer.get(start..end)
    }

    /// The bytes `from..to`, counted from its own start; `None` when they are not all within it.
    #[must_use]
    pub const fn slice(self, from: u32, to: u32) -> Option<Self> {
        if from > to || to > self.len() {
            return None;
        }
        Some(Self { start: self.start + from, end: self.start + to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_finds_its_bytes_again() {
        let buffer = b"GET /index HTTP/1.1";
        let path = Span::new(4, 10);
        assert_eq!((path.start(), path.end(), path.len()), (4, 10, 6));
        assert_eq!(path.of(buffer), Some(&b"/index"[..]));
        assert_eq!(Span::from_range(4..10), Some(path));
        assert!(!path.is_empty());
        assert!(Span::default().is_empty());
    }

    #[test]
    fn a_span_beyond_the_buffer_has_no_bytes() {
        let cases =
            [(0, 3, true), (3, 3, true), (0, 4, false), (4, 4, false), (1, u32::MAX, false)];
        for (start, end, found) in cases {
            assert_eq!(Span::new(start, end).of(b"abc").is_some(), found, "{start}..{end}");
        }
    }

    #[test]
    fn a_reversed_span_is_empty() {
        let span = Span::new(5, 2);
        assert_eq!((span.start(), span.end(), span.len()), (5, 5, 0));
        assert!(span.is_empty());
        let (start, end) = (5, 2);
        assert_eq!(Span::from_range(start..end), None);
        #[cfg(target_pointer_width = "64")]
        assert_eq!(Span::from_range(0..1 << 32), None);
    }

    #[test]
    fn a_slice_stays_within_its_span() {
        let span = Span::new(2, 6);
        let cases = [
            (0, 4, Some(span)),
            (1, 3, Some(Span::new(3, 5))),
            (4, 4, Some(Span::new(6, 6))),
            (0, 5, None),
            (3, 2, None),
            (u32::MAX, u32::MAX, None),
        ];
        for (from, to, expected) in cases {
            assert_eq!(span.slice(from, to), expected, "{from}..{to}");
        }
        let last = Span::new(u32::MAX - 1, u32::MAX);
        assert_eq!(last.slice(1, 1), Some(Span::new(u32::MAX, u32::MAX)));
    }
}
