//! The streams of a connection (RFC 9113, section 5.1).
//!
//! ```text
//!             its side                          our side
//!   HEADERS ─> Open ─ END_STREAM ─> Ended       Head ─ head ─> Body ─ END_STREAM ─> Ended
//!                └──── a reset of either side, or both have ended: it is removed ────┘
//! ```

use std::collections::VecDeque;
use std::time::Instant;

use super::place::LastPlace;
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
    /// The request asks for a WebSocket: an answer of 2xx opens a tunnel.
    pub(super) is_tunnel: bool,
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
    /// It is a text that takes no memory.
    is_text: bool,
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

/// The order in which streams send (RFC 9218, section 10): the most urgent first; of these the ones
/// whose bodies are of no use in parts, one after the other, and then the others in turn.
pub(super) type Turn = (u8, bool, u64);

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
    marks: Marks,
}

/// Where a stream stands in the lists of its connection.
#[derive(Debug, Default)]
struct Marks {
    /// It is among those that were touched: it is not known whether it waits for its peer.
    is_unwatched: bool,
    /// The same: what waits may hold buffers of the pool.
    is_unheld: bool,
    /// It is among those that have output.
    is_outgoing: bool,
    /// Bytes of memory that are counted beside those that wait.
    spare: usize,
}

impl Receiving {
    /// On a stream that begins, whose window has `size` bytes.
    const fn new(size: u32) -> Self {
        Self {
            ended: false,
            unwanted: false,
            window: size as i64,
            size,
            credit: 0,
            given: None,
            body: Backlog::new(),
            came: 0,
            expected: None,
            allowed: u64::MAX,
            awaits_continue: false,
            trailers: None,
            has_head: false,
            is_bodiless: false,
            is_tunnel: false,
            interim: 0,
        }
    }
}

impl Receiving {
    /// The head of an answer has come, or all of it: the length of its body, if that is known.
    ///
    /// `content-length` describes what a GET would return. DATA on a stream whose answer has no
    /// body is dropped, so that it cannot be taken for the beginning of the next answer.
    pub(super) fn begin_answer(
        &mut self,
        status: u16,
        length: Option<u64>,
        ends: bool,
    ) -> Option<u64> {
        let opens = self.is_tunnel && (200..300).contains(&status);
        // A tunnel has no length, whatever is said of it (RFC 9110, section 9.3.6).
        let length = if opens { None } else { length };
        self.has_head = true;
        self.is_bodiless |= matches!(status, 204 | 304) && !opens;
        self.expected = if self.is_bodiless { None } else { length };
        self.ended = ends;
        length
    }
}

impl Sending {
    /// On a stream that begins, of which the peer takes `window` bytes.
    const fn new(window: i64) -> Self {
        Self {
            state: SendState::Head,
            window,
            body: Backlog::new(),
            is_text: false,
            closed: false,
            trailers: None,
            served: 0,
            waits: None,
        }
    }
}

impl Stream {
    pub(super) fn new(id: u32, (receive, send): (u32, i64)) -> Self {
        Self {
            id,
            receiving: Receiving::new(receive),
            sending: Sending::new(send),
            priority: Priority::default(),
            head_size: 0,
            answered: false,
            marks: Marks::default(),
        }
    }

    /// Frees what it holds.
    pub(super) fn forget(&mut self) {
        self.receiving.body.clear();
        self.receiving.trailers = None;
        self.sending.body.clear();
        self.sending.trailers = None;
    }

    /// Whether something of its body has come that was not taken.
    pub(super) const fn has_body(&self) -> bool {
        !self.receiving.body.is_empty()
    }

    /// Whether both sides have ended it.
    pub(super) const fn is_closed(&self) -> bool {
        self.receiving.ended && matches!(self.sending.state, SendState::Ended)
    }

    /// Bytes of memory that wait to be sent.
    const fn queued(&self) -> usize {
        if self.sending.is_text { 0 } else { self.sending.body.len() }
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

    /// Whose turn it is before others'.
    pub(super) const fn turn(&self) -> Turn {
        let incremental = self.priority.incremental;
        (self.priority.urgency, incremental, if incremental { self.sending.served } else { 0 })
    }

    /// Whether nothing that waits holds anything of the pool.
    fn is_held(&self) -> bool {
        self.receiving.body.is_held() && self.sending.body.is_held()
    }

    /// What waits holds nothing of the pool from now on. Returns how many bytes of memory it takes
    /// beside those that wait.
    fn hold(&mut self) -> usize {
        let bodies = [&mut self.receiving.body, &mut self.sending.body];
        let held = bodies.into_iter().map(|body| {
            body.hold();
            body.cost() - body.len()
        });
        held.sum()
    }
}

/// The open streams of a connection. Without any, they take no memory; what they take comes from
/// the worker's [`Workspace`], so that a request costs no allocation.
///
/// A turn costs by the streams that something happened to, and not by those that are open: a
/// connection of a thousand calls that wait is not looked at a thousand times for one message.
#[derive(Debug, Default)]
pub(super) struct Streams {
    lists: Lists,
    /// Bytes of bodies that wait to be sent, but for texts.
    queued: usize,
    /// Bytes of memory that bodies take beside those that wait.
    spare: usize,
    last: LastPlace,
}

/// What is kept of streams.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// All, in the order of their numbers. Streams are large, and one is often removed before
    /// others: they are not moved.
    #[expect(clippy::vec_box, reason = "as it says")]
    open: Vec<Box<Stream>>,
    /// Those that something happened to since the last turn. Some may be gone.
    touched: Vec<u32>,
    /// Those that have something to send, once each. Some may be gone.
    outgoing: Vec<u32>,
}

impl Lists {
    /// Whether nothing is in them.
    pub(super) const fn is_empty(&self) -> bool {
        self.open.is_empty() && self.touched.is_empty() && self.outgoing.is_empty()
    }

    /// How many streams there is memory for.
    pub(super) fn capacity(&self) -> usize {
        self.open.capacity().max(self.touched.capacity()).max(self.outgoing.capacity())
    }
}

impl Streams {
    pub(super) const fn len(&self) -> usize {
        self.lists.open.len()
    }

    /// Bytes of bodies that wait to be sent, but for texts.
    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes of memory that bodies take beside those that wait.
    pub(super) const fn spare(&self) -> usize {
        self.spare
    }

    fn place(&self, id: u32) -> Result<usize, usize> {
        self.last.find(&self.lists.open, id, |stream| stream.id)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        let place = self.place(id).ok()?;
        self.lists.open.get(place).map(|stream| &**stream)
    }

    /// A stream, of which neither bodies nor states nor windows are changed.
    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let place = self.place(id).ok()?;
        self.lists.open.get_mut(place).map(|stream| &mut **stream)
    }

    /// A stream that something happens to.
    pub(super) fn touch(&mut self, id: u32) -> Option<&mut Stream> {
        self.touch_if(id, |_| true)
    }

    /// The same for one of which something is true.
    pub(super) fn touch_if(
        &mut self,
        id: u32,
        is_true: impl FnOnce(&Stream) -> bool,
    ) -> Option<&mut Stream> {
        let place = self.place(id).ok()?;
        let Lists { open, touched, .. } = &mut self.lists;
        let stream = &mut **open.get_mut(place)?;
        if !is_true(stream) {
            return None;
        }
        let marks = &mut stream.marks;
        if !marks.is_unwatched && !marks.is_unheld {
            touched.push(id);
        }
        (marks.is_unwatched, marks.is_unheld) = (true, true);
        Some(stream)
    }

    /// All that is said on a stream was its head.
    pub(super) fn note_ended(&mut self, id: u32) {
        if let Some(stream) = self.get_mut(id) {
            (stream.sending.state, stream.sending.closed) = (SendState::Ended, true);
        }
    }

    /// A part of a body is to be sent.
    pub(super) fn push_output(&mut self, id: u32, part: Buf) {
        let len = part.len();
        if let Some(stream) = self.touch(id) {
            stream.sending.body.push(part);
            self.queued += len;
            self.note_output(id);
        }
    }

    /// A text is to be sent, which is all of a body.
    pub(super) fn push_text(&mut self, id: u32, text: Buf) {
        if let Some(stream) = self.touch(id) {
            debug_assert!(stream.sending.body.is_empty(), "it is all of the body");
            stream.sending.is_text = true;
            stream.sending.body.push(text);
            self.note_output(id);
        }
    }

    /// Nothing of a body is sent any more.
    pub(super) fn drop_output(&mut self, id: u32) {
        if let Some(stream) = self.touch(id) {
            let left = stream.queued();
            stream.sending.body.clear();
            self.queued -= left;
        }
    }

    /// So many bytes of the body of a stream were sent.
    pub(super) fn sent(&mut self, id: u32, bytes: usize) {
        if self.get(id).is_some_and(|stream| !stream.sending.is_text) {
            self.queued -= bytes;
        }
    }

    /// A stream may have something to send.
    pub(super) fn note_output(&mut self, id: u32) {
        let Ok(place) = self.place(id) else { return };
        let Lists { open, outgoing, .. } = &mut self.lists;
        let Some(stream) = open.get_mut(place) else { return };
        if stream.has_output() && !std::mem::replace(&mut stream.marks.is_outgoing, true) {
            outgoing.push(id);
        }
    }

    /// Puts those that can send while the connection takes `window` bytes into a list.
    pub(super) fn list_ready(&mut self, window: i64, ready: &mut VecDeque<(Turn, u32)>) {
        let mut at = 0;
        while let Some(id) = self.lists.outgoing.get(at).copied() {
            match self.get_mut(id) {
                Some(stream) if stream.has_output() => {
                    if stream.can_send(window) {
                        ready.push_back((stream.turn(), id));
                    }
                    at += 1;
                }
                found => {
                    if let Some(stream) = found {
                        stream.marks.is_outgoing = false;
                    }
                    self.lists.outgoing.swap_remove(at);
                }
            }
        }
    }

    /// Looks at those that were touched since the last time, or at all.
    pub(super) fn watch(&mut self, all: bool, mut look: impl FnMut(&mut Stream)) {
        if all {
            self.iter_mut().for_each(&mut look);
        }
        self.settle(|stream, _| {
            if std::mem::take(&mut stream.marks.is_unwatched) && !all {
                look(stream);
            }
        });
    }

    /// What waits holds nothing of the pool from now on.
    pub(super) fn hold(&mut self) {
        let queued = || self.iter().map(Stream::queued).sum::<usize>();
        debug_assert_eq!(self.queued, queued(), "what is queued is counted where it changes");
        self.settle(|stream, spare| {
            if std::mem::take(&mut stream.marks.is_unheld) {
                let now = stream.hold();
                *spare = *spare + now - std::mem::replace(&mut stream.marks.spare, now);
            }
        });
        debug_assert!(self.iter().all(Stream::is_held), "what changes a body touches its stream");
    }

    /// Does something with those that were touched, and forgets those that all was done with.
    fn settle(&mut self, mut work: impl FnMut(&mut Stream, &mut usize)) {
        let mut touched = std::mem::take(&mut self.lists.touched);
        let mut spare = self.spare;
        touched.retain(|id| {
            self.get_mut(*id).is_some_and(|stream| {
                work(stream, &mut spare);
                stream.marks.is_unwatched || stream.marks.is_unheld
            })
        });
        (self.lists.touched, self.spare) = (touched, spare);
    }

    /// Adds a stream, whose number is the highest.
    pub(super) fn insert(&mut self, stream: Stream, space: &mut Workspace) {
        let last = self.lists.open.last();
        debug_assert!(last.is_none_or(|last| last.id < stream.id), "numbers go up");
        if self.lists.open.capacity() == 0 {
            self.lists = space.take_lists();
        }
        self.lists.open.push(space.take_box(stream));
    }

    pub(super) fn remove(&mut self, id: u32, space: &mut Workspace) {
        let Ok(place) = self.place(id) else { return };
        let stream = self.lists.open.remove(place);
        self.queued -= stream.queued();
        self.spare -= stream.marks.spare;
        space.give_box(stream);
        if self.lists.open.is_empty() {
            self.lists.touched.clear();
            self.lists.outgoing.clear();
            space.give_lists(std::mem::take(&mut self.lists));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> + '_ {
        self.lists.open.iter().map(|stream| &**stream)
    }

    /// All of them, as something happens to all.
    pub(super) fn touch_all(&mut self) -> impl Iterator<Item = &mut Stream> + '_ {
        let Lists { open, touched, .. } = &mut self.lists;
        touched.clear();
        touched.extend(open.iter().map(|stream| stream.id));
        open.iter_mut().map(|stream| {
            (stream.marks.is_unwatched, stream.marks.is_unheld) = (true, true);
            &mut **stream
        })
    }

    /// All of them; neither bodies nor states nor windows for output are changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> + '_ {
        self.lists.open.iter_mut().map(|stream| &mut **stream)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
