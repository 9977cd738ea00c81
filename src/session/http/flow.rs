//! One direction of an exchange: parts of a body on their way from one connection to the other.

use crate::mem::{Buf, Outgoing};
use crate::proto::http::Fields;

/// Bytes that may wait before their source is read no further.
pub(super) const WAITING_MAX: usize = 256 * 1024;

/// Parts of a body that have come and are not passed on.
#[derive(Debug, Default)]
pub(super) struct Flow {
    parts: Option<Outgoing>,
    waiting: usize,
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
        if part.is_empty() {
            return;
        }
        self.waiting += part.len();
        self.total += part.len() as u64;
        self.parts = Some(match self.parts.take() {
            None => Outgoing::One(part),
            Some(parts) => parts.append(part),
        });
    }

    /// All parts that wait.
    pub(super) fn take(&mut self) -> Option<Outgoing> {
        self.waiting = 0;
        self.parts.take()
    }

    /// Bytes that wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether the source must not be read for now.
    pub(super) const fn is_full(&self) -> bool {
        self.waiting >= WAITING_MAX
    }
}
