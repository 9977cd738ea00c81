//! The body of a request or of an answer, on its way from one connection to another.

use crate::mem::{Backlog, Buf};
use crate::proto::http::Fields;

/// The parts of a body that have come and are not passed on.
///
/// Calling order: [`Body::push`] for each part and [`Body::end`] behind the last one;
/// [`Body::pop`] takes them in their order. Unless [`Body::has_room`], its source is not read.
#[derive(Debug, Default)]
pub struct Body {
    parts: Backlog,
    /// Bytes that came in all.
    total: u64,
    /// All of the body has come.
    ended: bool,
    /// What came behind it.
    trailers: Option<Box<Fields>>,
}

impl Body {
    /// A part has come.
    pub fn push(&mut self, part: Buf) {
        self.total += part.len() as u64;
        self.parts.push(part);
    }

    /// All of it has come, with these fields behind it.
    pub fn end(&mut self, trailers: Option<Box<Fields>>) {
        debug_assert!(!self.ended || trailers.is_none(), "a body has one end");
        self.ended = true;
        self.trailers = trailers;
    }

    /// Whether all of it has come.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether all of it has come and was taken.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.ended && self.waiting() == 0
    }

    /// What came behind it.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_deref()
    }

    /// Takes what came behind it.
    pub const fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.trailers.take()
    }

    /// Bytes that came in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The next part that waits.
    pub fn pop(&mut self) -> Option<Buf> {
        self.parts.pop()
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.parts.len()
    }

    /// Bytes of memory that what waits takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.parts.cost()
    }

    /// Whether the source may be read: `allowed` bytes may wait for the peer that takes the body,
    /// of which `behind` wait on its connection already. What is empty always takes a part.
    #[must_use]
    pub fn has_room(&self, allowed: usize, behind: usize) -> bool {
        self.parts.is_empty() || self.parts.cost() + behind < allowed
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub fn hold(&mut self) {
        self.parts.hold();
    }

    /// The body begins again with `sent`, which was passed on already.
    pub fn rewind(&mut self, sent: Vec<u8>) {
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
