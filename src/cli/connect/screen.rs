//! Standard output: as it is for programs, without control characters for a terminal.

use std::io::{self, IsTerminal, StdoutLock, Write};

/// What is left of a character whose rest has not come, at most.
const TAIL_MAX: usize = 3;

/// Standard output. On a terminal, control characters and bytes that are not UTF-8 are escaped, so
/// that a server cannot move the cursor, change colours or type into the terminal.
pub(super) fn output() -> Screen<StdoutLock<'static>> {
    let out = io::stdout().lock();
    let is_terminal = out.is_terminal();
    Screen { out, is_terminal, tail: Vec::new(), is_line_open: false }
}

/// Where answers are written to.
pub(super) struct Screen<W: Write> {
    out: W,
    is_terminal: bool,
    /// The beginning of a character.
    tail: Vec<u8>,
    /// On a terminal, the last line has no end yet.
    is_line_open: bool,
}

impl<W: Write> Screen<W> {
    /// Ends the last line, where people read it.
    pub(super) fn end_line(&mut self) -> io::Result<()> {
        let tail = std::mem::take(&mut self.tail);
        if !tail.is_empty() {
            write!(self.out, "{}", tail.escape_ascii())?;
        }
        if self.is_terminal && (self.is_line_open || !tail.is_empty()) {
            self.is_line_open = false;
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }

    fn show(&mut self, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) = rest.find(is_harmful) {
            let (before, harmful) = rest.split_at(at);
            self.out.write_all(before.as_bytes())?;
            let mut chars = harmful.chars();
            if let Some(control) = chars.next() {
                write!(self.out, "{}", control.escape_default())?;
            }
            rest = chars.as_str();
        }
        self.out.write_all(rest.as_bytes())
    }
}

impl<W: Write> Write for Screen<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_terminal {
            return self.out.write(bytes);
        }
        let mut whole = std::mem::take(&mut self.tail);
        whole.extend_from_slice(bytes);
        let mut chunks = whole.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.show(chunk.valid())?;
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && invalid.len() <= TAIL_MAX && may_go_on(invalid) {
                self.tail = invalid.to_vec();
            } else {
                write!(self.out, "{}", invalid.escape_ascii())?;
            }
        }
        self.is_line_open = whole.last().is_some_and(|last| *last != b'\n');
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<W> {
    fn drop(&mut self) {
        // Best effort: the terminal may have gone.
        let _gone = self.end_line();
    }
}

/// Whether these bytes begin a character whose rest may come.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Whether a terminal may do something else than show this character: control characters, and
/// those that turn the direction of the text.
pub(in crate::cli) fn is_harmful(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (character.is_control() && character != '\n' && character != '\t')
}

/// A character, escaped where a terminal may obey it.
pub(in crate::cli) fn shown(character: char) -> String {
    if is_harmful(character) { character.escape_default().to_string() } else { character.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(is_terminal: bool, parts: &[&[u8]]) -> String {
        let (tail, is_line_open) = (Vec::new(), false);
        let mut screen = Screen { out: Vec::new(), is_terminal, tail, is_line_open };
        for part in parts {
            screen.write_all(part).unwrap();
        }
        screen.end_line().unwrap();
        String::from_utf8_lossy(&screen.out).into_owned()
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_escaped() {
        for (sent, expected) in [
            (&b"plain\ttext\n"[..], "plain\ttext\n"),
            (b"no end", "no end\n"),
            (b"", ""),
            (b"\x1b[2J\x07", "\\u{1b}[2J\\u{7}\n"),
            (b"a\rb\n", "a\\rb\n"),
            ("gr\u{fc}n \u{1f600}\n".as_bytes(), "gr\u{fc}n \u{1f600}\n"),
            ("\u{9b}31m\n".as_bytes(), "\\u{9b}31m\n"),
            ("\u{202e}txt\n".as_bytes(), "\\u{202e}txt\n"),
            (b"\x9b31m\xff\n", "\\x9b31m\\xff\n"),
            (b"cut \xf0\x9f", "cut \\xf0\\x9f\n"),
        ] {
            assert_eq!(shown(true, &[sent]), expected);
            let single: Vec<&[u8]> = sent.chunks(1).collect();
            assert_eq!(shown(true, &single), expected, "byte by byte");
        }
    }

    #[test]
    fn a_program_gets_the_bytes_as_they_are() {
        assert_eq!(shown(false, &[b"\x1b[2J", b"x"]), "\u{1b}[2Jx");
    }
}
