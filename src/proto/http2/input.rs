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
            let Some(mut first) = self.waiting.pop() else {
                self.is_stuck = len > 0;
                return (len == 0).then(|| Buf::copy_of(&[]));
            };
            if first.len() >= len {
                let whole = first.slice(0, len);
                first.advance(len);
                self.waiting.put_back(first);
                return Some(whole);
            }
            self.partial.extend_from_slice(&first);
        }
        if self.fill(len) { Some(Buf::from(std::mem::take(&mut self.partial))) } else { None }
    }

    /// The head of a frame, as soon as all of it is there.
    pub(super) fn take_head(&mut self) -> Option<FrameHead> {
        if self.partial.is_empty() {
            let mut first = self.waiting.pop()?;
            if let Some(head) = first.first_chunk::<HEAD_LEN>() {
                let head = FrameHead::read(*head);
                first.advance(HEAD_LEN);
                self.waiting.put_back(first);
                return Some(head);
            }
            self.partial.extend_from_slice(&first);
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
        let Some(mut first) = self.waiting.pop() else {
            self.is_stuck = true;
            return None;
        };
        if first.len() <= most {
            return Some(first);
        }
        let part = first.slice(0, most);
        first.advance(most);
        self.waiting.put_back(first);
        Some(part)
    }

    /// Puts what waits behind what has come before, up to so many bytes; false when there are
    /// fewer.
    fn fill(&mut self, len: usize) -> bool {
        while self.partial.len() < len {
            let Some(mut next) = self.waiting.pop() else {
                self.is_stuck = true;
                return false;
            };
            let count = next.len().min(len - self.partial.len());
            self.partial.extend_from_slice(next.get(..count).unwrap_or_default());
            next.advance(count);
            self.waiting.put_back(next);
        }
        true
    }
}
