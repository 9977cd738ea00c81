//! The streams of a connection (RFC 9113, section 5.1).
//!
//! ```text
//!             its side                          our side
//!   HEADERS ─> Open ─ END_STREAM ─> Ended       Head ─ head ─> Body ─ END_STREAM ─> Ended
//!                └──── a reset of either side, or both have ended: it is removed ────┘
//! ```

use std::time::Instant;

use super::request::Priority;
use super::workspace::Workspace;
use crate::mem::{Backlog, Buf};
use crate::proto::http::Fields;

/// What comes on a stream.
#[derive(Debug)]
pub(super) struct Receiving {
    /// The peer has ended its side.
    pub(super) ended: bool,
    /// Received DATA is dropped: the request was answered without its body.
    pub(super) unwanted: bool,
    /// Bytes that the peer may still send.
    pub(super) window: i64,
    /// Bytes of the window that is given.
    pub(super) size: u32,
    /// Bytes that were taken and not given back to the window.
    pub(super) credit: u32,
    /// When something was given back last.
    pub(super) given: Option<Instant>,
    /// What has come and was not taken.
    pub(super) body: Backlog,
    /// Bytes of the body that have come.
    pub(super) came: u64,
    /// Bytes of the body that were announced.
    pub(super) expected: Option<u64>,
    /// Bytes that may still be taken.
    pub(super) allowed: u64,
    /// The client waits to be told to send its body.
    pub(super) awaits_continue: bool,
    /// What came behind the body.
    pub(super) trailers: Option<Box<Fields>>,
    /// The head of the answer has come.
    pub(super) has_head: bool,
    /// The answer has no body, whatever its head says.
    pub(super) is_bodiless: bool,
    /// Bytes of interim answers.
    pub(super) interim: usize,
}

/// What goes out on a stream.
#[derive(Debug)]
pub(super) struct Sending {
    /// How far it has come.
    pub(super) state: SendState,
    /// Bytes that the peer takes.
    pub(super) window: i64,
    /// What waits for the window, and for its turn.
    pub(super) body: Backlog,
    /// Nothing more is added.
    pub(super) closed: bool,
    /// What goes behind the body.
    pub(super) trailers: Option<Box<Fields>>,
    /// When it was served last.
    pub(super) served: u64,
    /// Since when something waits for the peer's windows, and how many bytes went since.
    pub(super) waits: Option<(Instant, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendState {
    /// The head has not gone out.
    Head,
    /// The body goes out.
    Body,
    /// All is out.
    Ended,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) receiving: Receiving,
    pub(super) sending: Sending,
    pub(super) priority: Priority,
    /// Bytes of its head in memory.
    pub(super) head_size: usize,
    /// The answer is complete: the session has forgotten the stream.
    pub(super) answered: bool,
}

impl Stream {
    pub(super) fn new(id: u32, (receive, send): (u32, i64)) -> Self {
        Self {
            id,
            receiving: Receiving {
                ended: false,
                unwanted: false,
                window: receive.into(),
                size: receive,
                credit: 0,
                given: None,
                body: Backlog::default(),
                came: 0,
                expected: None,
                allowed: u64::MAX,
                awaits_continue: false,
                trailers: None,
                has_head: false,
                is_bodiless: false,
                interim: 0,
            },
            sending: Sending {
                state: SendState::Head,
                window: send,
                body: Backlog::default(),
                closed: false,
                trailers: None,
                served: 0,
                waits: None,
            },
            priority: Priority::default(),
            head_size: 0,
            answered: false,
        }
    }

    /// Frees what it holds.
    pub(super) fn forget(&mut self) {
        self.receiving.body.clear();
        self.receiving.trailers = None;
        self.sending.body.clear();
        self.sending.trailers = None;
    }

    /// Whether something is to be sent.
    pub(super) const fn has_output(&self) -> bool {
        matches!(self.sending.state, SendState::Body)
            && (self.sending.closed || !self.sending.body.is_empty())
    }

    /// Whether its window, or that of the connection, is shut while its answer is under way.
    pub(super) const fn wants_window(&self, is_shut: bool) -> bool {
        matches!(self.sending.state, SendState::Body) && (is_shut || self.sending.window <= 0)
    }

    /// Bytes that can be sent, as far as this stream goes.
    pub(super) fn sendable(&self) -> usize {
        let window = usize::try_from(self.sending.window).unwrap_or(0);
        window.min(self.sending.body.len())
    }

    /// Whether something of it can be sent while the connection takes `window` bytes.
    pub(super) fn can_send(&self, window: i64) -> bool {
        if !self.has_output() {
            return false;
        }
        // The end needs no window.
        self.sending.body.is_empty() || self.sending.window > 0 && window > 0
    }

    /// Takes the next bytes that are to be sent.
    pub(super) fn take_output(&mut self, most: usize) -> Option<Buf> {
        let mut next = self.sending.body.pop()?;
        if next.len() <= most {
            return Some(next);
        }
        let part = next.slice(0, most);
        next.advance(most);
        self.sending.body.put_back(next);
        Some(part)
    }

    /// Bytes of memory that what waits takes.
    pub(super) fn cost(&self) -> usize {
        self.receiving.body.cost() + self.sending.body.cost()
    }
}

/// The open streams of a connection. Without any, they take no memory; what they take comes from
/// the worker's [`Workspace`], so that a request costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// In the order of their numbers.
    open: List,
}

/// Streams are large, and one is often removed before others: they are not moved.
pub(super) type List = Vec<Box<Stream>>;

impl Streams {
    pub(super) const fn len(&self) -> usize {
        self.open.len()
    }

    fn place(&self, id: u32) -> Result<usize, usize> {
        // Mostly the one that came last.
        match self.open.last() {
            Some(last) if last.id == id => Ok(self.open.len() - 1),
            Some(last) if last.id < id => Err(self.open.len()),
            Some(_) | None => self.open.binary_search_by_key(&id, |stream| stream.id),
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        let place = self.place(id).ok()?;
        self.open.get(place).map(|stream| &**stream)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let place = self.place(id).ok()?;
        self.open.get_mut(place).map(|stream| &mut **stream)
    }

    /// Adds a stream, whose number is the highest.
    pub(super) fn insert(&mut self, stream: Stream, space: &mut Workspace) {
        debug_assert!(self.open.last().is_none_or(|last| last.id < stream.id), "numbers go up");
        if self.open.capacity() == 0 {
            self.open = space.take_list();
        }
        self.open.push(space.take_box(stream));
    }

    pub(super) fn remove(&mut self, id: u32, space: &mut Workspace) {
        let Ok(place) = self.place(id) else { return };
        space.give_box(self.open.remove(place));
        if self.open.is_empty() {
            space.give_list(std::mem::take(&mut self.open));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> + '_ {
        self.open.iter().map(|stream| &**stream)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> + '_ {
        self.open.iter_mut().map(|stream| &mut **stream)
    }

    pub(super) fn clear(&mut self) {
        self.open = List::new();
    }
}
