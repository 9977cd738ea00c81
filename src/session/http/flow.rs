//! One direction of an exchange: parts of a body on their way from one connection to the other.

use crate::mem::{Backlog, Buf};
use crate::proto::http::Fields;

/// Bytes of memory that parts may take while they wait, before their source is read no further.
pub(super) const WAITING_MAX: usize = 256 * 1024;

/// Parts of a body that have come and are not passed on.
#[derive(Debug, Default)]
pub(super) struct Flow {
    parts: Backlog,
    /// Bytes that came in all.
    pub(super) total: u64,
    /// All of the body has come.
    pub(super) ended: bool,
    /// What came behind it.
    pub(super) trailers: Option<Box<Fields>>,
}

impl Flow {
    /// A part has come.
    pub(super) fn push(&mut self, part: Buf) {
        self.total += part.len() as u64;
        self.parts.push(part);
    }

    /// The next part that waits.
    pub(super) fn pop(&mut self) -> Option<Buf> {
        self.parts.pop()
    }

    /// Bytes that wait.
    pub(super) const fn waiting(&self) -> usize {
        self.parts.len()
    }

    /// Whether the source must not be read for now.
    pub(super) fn is_full(&self) -> bool {
        self.parts.cost() >= WAITING_MAX
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        self.parts.hold();
    }

    /// The body begins again with `sent`, which was passed on already.
    pub(super) fn rewind(&mut self, sent: Vec<u8>) {
        let rest = std::mem::take(&mut self.parts);
        self.total = 0;
        self.push(Buf::from(sent));
        self.append(rest);
    }

    fn append(&mut self, mut rest: Backlog) {
        while let Some(part) = rest.pop() {
            self.push(part);
        }
    }
}
