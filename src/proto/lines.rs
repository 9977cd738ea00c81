//! Lines of bytes out of a stream that is cut anywhere.
//!
//! A line ends with LF; one CR before it belongs to the end. Empty lines are skipped. A line that
//! lies within one input is given as a slice of it; only one that crosses inputs is put together
//! in memory of the reader's own, which never holds more than the limit and one byte.

use thiserror::Error;

/// Bytes of memory that a reader keeps while it holds no part of a line: enough that short lines
/// which happen to cross inputs do not allocate each time, and little for a connection that idles.
const KEPT: usize = 512;

/// What is wrong with a line. The lines behind it can be read all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum LineError {
    /// Told once, as soon as it is known; the rest of the line is discarded.
    #[error("the line is longer than {limit} bytes")]
    TooLong {
        /// Bytes that a line may have, its end not counted.
        limit: usize,
    },
    /// The input ended within a line.
    #[error("the last line has no end")]
    Unfinished,
}

/// Takes a stream apart into lines.
///
/// Calling order: for each input, [`LineReader::next`] until it gives `None`, by which the input
/// was used up; after the last input [`LineReader::at_end`].
#[derive(Debug)]
pub struct LineReader {
    limit: usize,
    /// The beginning of a line that crosses inputs.
    held: Vec<u8>,
    /// What is held was given away as a line and goes with the next call.
    given: bool,
    /// The line under way was too long: nothing of it is kept.
    discarding: bool,
}

impl LineReader {
    /// A reader of lines of at most `limit` bytes, their ends not counted.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), given: false, discarding: false }
    }

    /// The next line, or what is wrong with it; `input` then starts behind it. `None` when `input`
    /// was used up without the end of a line.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        input: &mut &'i [u8],
    ) -> Option<Result<&'a [u8], LineError>> {
        if self.given {
            self.given = false;
            self.held.clear();
        }
        loop {
            let Some((part, rest)) = split_line(input) else {
                return self.hold(std::mem::take(input)).err().map(Err);
            };
            *input = rest;
            if std::mem::take(&mut self.discarding) {
                continue;
            }
            if self.held.is_empty() {
                match self.checked(without_cr(part)) {
                    Ok([]) => {}
                    line => return Some(line),
                }
            } else if let Err(error) = self.complete(part) {
                return Some(Err(error));
            } else if !self.held.is_empty() {
                self.given = true;
                return Some(Ok(&self.held));
            }
        }
    }

    /// The stream has ended: whether that cut a line. The reader can then be used for another.
    pub fn at_end(&mut self) -> Option<LineError> {
        let unfinished = !self.given && !self.held.is_empty();
        *self = Self::new(self.limit);
        unfinished.then_some(LineError::Unfinished)
    }

    /// Bytes of memory that the reader has at present.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.held.capacity()
    }

    fn checked<'a>(&self, line: &'a [u8]) -> Result<&'a [u8], LineError> {
        if line.len() > self.limit { Err(self.too_long()) } else { Ok(line) }
    }

    const fn too_long(&self) -> LineError {
        LineError::TooLong { limit: self.limit }
    }

    /// Puts the last part behind what is held, which becomes the line.
    fn complete(&mut self, part: &[u8]) -> Result<(), LineError> {
        // A CR at the end of what is held is the line's end only if nothing else follows.
        if self.held.len() + part.len() <= self.limit + 1 {
            self.held.extend_from_slice(part);
            let len = without_cr(&self.held).len();
            if len <= self.limit {
                self.held.truncate(len);
                return Ok(());
            }
        }
        self.held.clear();
        self.held.shrink_to(KEPT);
        Err(self.too_long())
    }

    /// Keeps a part without an end for the next input, unless the line is too long already.
    fn hold(&mut self, part: &[u8]) -> Result<(), LineError> {
        if self.discarding {
            return Ok(());
        }
        let len = self.held.len() + part.len();
        let last = part.last().or_else(|| self.held.last());
        let may_end = usize::from(last == Some(&b'\r'));
        if len > self.limit + may_end {
            self.held = Vec::new();
            self.discarding = true;
            return Err(self.too_long());
        }
        self.held.extend_from_slice(part);
        if self.held.is_empty() {
            self.held.shrink_to(KEPT);
        }
        Ok(())
    }
}

/// What stands before the first LF, and what behind it.
fn split_line<'a>(input: &&'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let end = input.iter().position(|&byte| byte == b'\n')?;
    let (line, rest) = input.split_at_checked(end)?;
    Some((line, rest.get(1..).unwrap_or_default()))
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 8;
    const TOO_LONG: LineError = LineError::TooLong { limit: LIMIT };

    type Line = Result<Vec<u8>, LineError>;

    /// All that a reader gives for these inputs, the end included.
    fn read(inputs: &[&[u8]]) -> Vec<Line> {
        let mut reader = LineReader::new(LIMIT);
        let mut lines = Vec::new();
        for input in inputs {
            let mut input = *input;
            while let Some(line) = reader.next(&mut input) {
                lines.push(line.map(<[u8]>::to_vec));
            }
            assert!(input.is_empty());
            assert!(reader.held.len() <= LIMIT + 1, "no more is held than may be needed");
        }
        lines.extend(reader.at_end().map(Err));
        lines
    }

    fn line(text: &str) -> Line {
        Ok(text.as_bytes().to_vec())
    }

    fn table() -> Vec<(&'static str, Vec<Line>)> {
        let long = || Err(TOO_LONG);
        let unfinished = || Err(LineError::Unfinished);
        vec![
            ("", vec![]),
            ("\n", vec![]),
            ("\r\n\n\r\n", vec![]),
            ("a\n", vec![line("a")]),
            ("a\r\n", vec![line("a")]),
            ("a\r\r\n", vec![line("a\r")]),
            ("\r\r\n", vec![line("\r")]),
            ("a\rb\n", vec![line("a\rb")]),
            ("\ra\n", vec![line("\ra")]),
            ("a\nb\r\n\nc\n", vec![line("a"), line("b"), line("c")]),
            ("a", vec![unfinished()]),
            ("a\nb", vec![line("a"), unfinished()]),
            ("a\n\r", vec![line("a"), unfinished()]),
            ("12345678\n", vec![line("12345678")]),
            ("12345678\r\n", vec![line("12345678")]),
            ("12345678", vec![unfinished()]),
            ("12345678\r", vec![unfinished()]),
            ("1234567\r\r\n", vec![line("1234567\r")]),
            ("12345678\r\r\nb\n", vec![long(), line("b")]),
            ("12345678\rx\nb\n", vec![long(), line("b")]),
            ("123456789\nb\n", vec![long(), line("b")]),
            ("123456789\r\n\nb\r\n", vec![long(), line("b")]),
            ("a\n123456789012345678901234567890\nb\n", vec![line("a"), long(), line("b")]),
            ("123456789\n123456789\n", vec![long(), long()]),
            ("123456789", vec![long()]),
            ("123456789\nb", vec![long(), unfinished()]),
        ]
    }

    #[test]
    fn lines_come_out_as_the_table_says() {
        for (input, expected) in table() {
            assert_eq!(read(&[input.as_bytes()]), expected, "{input:?}");
        }
    }

    #[test]
    fn where_the_input_is_cut_makes_no_difference() {
        for (input, expected) in table() {
            let bytes = input.as_bytes();
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let parts = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    assert_eq!(read(&parts), expected, "{input:?} cut at {first}, {second}");
                }
            }
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(&single), expected, "{input:?} byte by byte");
        }
    }

    #[test]
    fn a_line_too_long_is_told_before_its_end() {
        let mut reader = LineReader::new(LIMIT);
        let mut input = &b"12345678"[..];
        assert_eq!(reader.next(&mut input), None);
        input = b"\r";
        assert_eq!(reader.next(&mut input), None, "it may end here");
        input = b"9";
        assert_eq!(reader.next(&mut input), Some(Err(TOO_LONG)));
        input = b"0123456789\na\n";
        assert_eq!(reader.next(&mut input), Some(Ok(&b"a"[..])));
        assert_eq!(reader.at_end(), None);
    }

    #[test]
    fn a_line_within_an_input_is_not_copied() {
        let mut reader = LineReader::new(LIMIT);
        let input = &b"abc\nde\n"[..];
        let mut rest = input;
        let first = reader.next(&mut rest).unwrap().unwrap();
        assert_eq!(first.as_ptr(), input.as_ptr());
        let second = reader.next(&mut rest).unwrap().unwrap();
        assert_eq!(second.as_ptr(), input[4..].as_ptr());
        assert_eq!(reader.memory(), 0);
    }

    #[test]
    fn memory_is_bounded_and_given_back() {
        let mut reader = LineReader::new(100_000);
        let part = [b'x'; 1_000];
        for round in 0..1_000 {
            let mut input = &part[..];
            let line = reader.next(&mut input);
            assert_eq!(line.is_some(), round == 100, "told once");
            assert!(reader.memory() <= 2 * 100_001);
        }
        assert_eq!(reader.memory(), 0, "nothing is kept of a line too long");
        let (mut start, mut end) = (&part[..], &b"\n"[..]);
        assert_eq!(reader.next(&mut end), None, "the end of the long one");
        assert_eq!(reader.next(&mut start), None);
        end = b"y\n";
        assert_eq!(reader.next(&mut end).unwrap().unwrap().len(), 1_001);
        assert_eq!(reader.next(&mut end), None);
        assert!(reader.memory() <= KEPT);
        assert_eq!(reader.at_end(), None, "a line that was given is no part of one");
    }
}
