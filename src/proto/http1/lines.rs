//! Where a head ends.

use super::Refusal;
use crate::proto::http::scan;

/// Finds the end of a head without looking at a byte twice, however its bytes come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeadScanner {
    /// Bytes that were looked at.
    scanned: usize,
    /// Where the present line begins.
    line: usize,
}

impl HeadScanner {
    /// How long the head at the start of `input` is, its empty line among it; `None` as long as
    /// the end has not come. `input` is that of the last call and what has come since.
    ///
    /// # Errors
    /// A line ends with LF alone.
    pub(super) fn find(&mut self, input: &[u8]) -> Result<Option<usize>, Refusal> {
        let mut from = self.scanned;
        while let Some(at) = scan::find(b'\n', input.get(from..).unwrap_or_default()) {
            let at = from + at;
            from = at + 1;
            if at == 0 || input.get(at - 1) != Some(&b'\r') {
                return Err(Refusal::BareLineFeed);
            }
            if at - 1 == self.line {
                return Ok(Some(at + 1));
            }
            self.line = at + 1;
        }
        self.scanned = input.len();
        Ok(None)
    }

    /// Whether the first line has not ended.
    pub(super) const fn is_in_first_line(&self) -> bool {
        self.line == 0
    }
}
