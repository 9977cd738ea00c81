//! Standard output for answers that come in parts: on a terminal, their last line is ended.

use std::io::{self, IsTerminal, StdoutLock, Write};

/// What an answer is written to. The end of the last line is written when it is dropped.
pub(super) struct Output<W: Write> {
    out: W,
    is_terminal: bool,
    /// Whether something was written, and no end of the line behind it.
    is_open: bool,
}

impl Output<StdoutLock<'static>> {
    pub(super) fn new() -> Self {
        let out = io::stdout().lock();
        Self { is_terminal: out.is_terminal(), out, is_open: false }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        if let Some(last) = bytes.get(..count).and_then(<[u8]>::last) {
            self.is_open = *last != b'\n';
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Drop for Output<W> {
    fn drop(&mut self) {
        if self.is_terminal && self.is_open {
            // Best effort: the terminal may have gone.
            let _gone = self.out.write_all(b"\n").and_then(|()| self.out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_ends_on_a_terminal_only() {
        for (parts, is_terminal, expected) in [
            (&["hello"][..], true, "hello\n"),
            (&["hello\n"], true, "hello\n"),
            (&["a\n", "b"], true, "a\nb\n"),
            (&["a", "\n"], true, "a\n"),
            (&[], true, ""),
            (&["", ""], true, ""),
            (&["hello"], false, "hello"),
        ] {
            let mut written = Vec::new();
            let mut out = Output { out: &mut written, is_terminal, is_open: false };
            parts.iter().for_each(|part| out.write_all(part.as_bytes()).unwrap());
            drop(out);
            assert_eq!(written, expected.as_bytes(), "{parts:?} {is_terminal}");
        }
    }
}
