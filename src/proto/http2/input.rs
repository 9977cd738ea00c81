//! What was received and is not read, taken frame by frame.

use super::frame::{FrameHead, HEAD_LEN};
use crate::mem::{Backlog, Buf};

/// Received bytes in their order. They are read where they lie; only what comes in pieces, and is
/// no body, is copied together.
#[derive(Debug, Default)]
pub(super) struct FrameInput {
    waiting: Backlog,
    /// The beginning of what is wanted whole, before all else.
    partial: Vec<u8>,
    /// Nothing new has come since something was found incomplete.
    is_stuck: bool,
}

impl FrameInput {
    /// Bytes have come.
    pub(super) fn push(&mut self, buf: Buf) {
        self.is_stuck = false;
        self.waiting.push(buf);
    }

    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.partial.is_empty()
    }

    /// Whether nothing can be read before more has come.
    pub(super) const fn is_stuck(&self) -> bool {
        self.is_stuck || self.waiting.is_empty()
    }

    /// Bytes of memory that what waits takes.
    pub(super) fn cost(&self) -> usize {
        // Room for the head of a frame stays, and is no more than that.
        let partial = if self.partial.is_empty() { 0 } else { self.partial.capacity() };
        self.waiting.cost() + partial
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        self.waiting.hold();
    }

    /// Forgets all, with its memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// So many bytes, as soon as all of them are there.
    pub(super) fn take(&mut self, len: usize) -> Option<Buf> {
        if self.partial.is_empty() {
            if len == 0 {
                return Some(Buf::copy_of(&[]));
            }
            let Some(first) = self.waiting.take(len) else {
                self.is_stuck = true;
                return None;
            };
            if first.len() == len {
                return Some(first);
            }
            self.partial.extend_from_slice(&first);
        }
        if self.fill(len) { Some(Buf::from(std::mem::take(&mut self.partial))) } else { None }
    }

    /// The head of a frame, as soon as all of it is there.
    pub(super) fn take_head(&mut self) -> Option<FrameHead> {
        if self.partial.is_empty()
            && let Some(head) = self.waiting.front()?.first_chunk::<HEAD_LEN>()
        {
            let head = FrameHead::read(*head);
            self.waiting.skip(HEAD_LEN);
            return Some(head);
        }
        if !self.fill(HEAD_LEN) {
            return None;
        }
        let head = self.partial.first_chunk::<HEAD_LEN>().map(|head| FrameHead::read(*head));
        self.partial.clear();
        head
    }

    /// At most so many bytes, as they lie together.
    pub(super) fn take_some(&mut self, most: usize) -> Option<Buf> {
        debug_assert!(self.partial.is_empty(), "bodies are not put together");
        let part = self.waiting.take(most);
        self.is_stuck |= part.is_none();
        part
    }

    /// Puts what waits behind what has come before, up to so many bytes; false when there are
    /// fewer.
    fn fill(&mut self, len: usize) -> bool {
        while self.partial.len() < len {
            let Some(next) = self.waiting.take(len - self.partial.len()) else {
                self.is_stuck = true;
                return false;
            };
            self.partial.extend_from_slice(&next);
        }
        true
    }
}
