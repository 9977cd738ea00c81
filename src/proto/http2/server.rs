//! A server's side of one connection (RFC 9113): many requests at a time.

use std::time::{Duration, Instant};

use super::connection::{Connection, Frame, Role};
use super::control::STREAMS_PER_STEP;
use super::error::{ErrorCode, Violation};
use super::frame::{self, STREAM_MAX, WINDOW_INITIAL, setting};
use super::hpack::HpackError;
use super::limits::{Limits, Offence};
use super::request::{HeadFault, HeadInfo, read_request};
use super::send::Growth;
use super::stream::Stream;
use super::workspace::Workspace;
use crate::mem::{Buf, FreeList};
use crate::proto::http::{Fields, RequestHead};
use crate::proto::http1::{Output, Refusal, RequestMeta};

/// The number of a stream.
pub type StreamId = u32;

/// A request takes so many steps, and more by the bytes of its block and of its head.
const REQUEST_STEPS: usize = 4;
const BLOCK_PER_STEP: usize = 8;
const HEAD_PER_STEP: usize = 512;

/// What has come.
#[derive(Debug)]
pub enum ServerEvent {
    /// A request; [`Server::begin_body`] follows.
    Request(StreamId, Box<RequestHead>, RequestMeta),
    /// A request that is to be answered with the status of its refusal; so many bytes came.
    Refused(StreamId, Refusal, usize),
    /// Something of a request's body, or its end.
    Body(StreamId),
    /// The client gives a request up.
    Reset(StreamId, ErrorCode),
    /// The client has broken a rule on a stream, which was reset.
    Violated(StreamId, Violation),
    /// A request was refused before anything was done for it: there are too many.
    TooMany(StreamId),
    /// More may be sent than before, on one stream or on all.
    Opened(Option<StreamId>),
}

/// How the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client was told that no more requests are wanted; those on their way are answered.
    Announced,
    /// Requests behind this one are not looked at.
    Final(StreamId),
    /// Nothing is read any more.
    Broken,
}

/// The machine of one connection.
///
/// Calling order: received bytes go to [`Server::receive`] and [`Server::receive_end`]; then
/// [`Server::poll`] until there is nothing more. For each request [`Server::begin_body`], and
/// [`Server::next_of_body`] as long as its body is wanted; for its answer [`Server::send_head`],
/// [`Server::send_part`] for each part and [`Server::send_end`], then [`Server::end_answer`]. At
/// the end of a turn [`Server::transmit`].
#[derive(Debug)]
pub struct Server {
    pub(super) connection: Connection,
    leaving: Leaving,
    /// Which one it is among those of the worker, once it has asked.
    number: u64,
}

/// CONNECT may name a protocol (RFC 8441, section 3).
const EXTENDED_CONNECT: (u16, u32) = (setting::ENABLE_CONNECT_PROTOCOL, 1);

impl Server {
    /// The machine of a new connection.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let list = u32::try_from(limits.request.head.size).unwrap_or(u32::MAX);
        let settings = [
            (setting::MAX_CONCURRENT_STREAMS, limits.streams),
            (setting::MAX_HEADER_LIST_SIZE, list),
            (setting::NO_RFC7540_PRIORITIES, 1),
        ];
        let with_connect = [settings[0], settings[1], settings[2], EXTENDED_CONNECT];
        let settings = if limits.extended_connect { &with_connect[..] } else { &settings };
        Self {
            connection: Connection::new(Role::Server, settings),
            leaving: Leaving::No,
            number: 0,
        }
    }

    /// Bytes have come.
    pub fn receive(&mut self, buf: Buf) {
        if self.leaving != Leaving::Broken {
            self.connection.receive(buf);
        }
    }

    /// The client sends no more.
    pub const fn receive_end(&mut self) {
        self.connection.has_ended = true;
    }

    /// Whether the client sends no more.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.connection.has_ended
    }

    /// Whether nothing that came waits to be read.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        self.connection.is_read()
    }

    /// Whether nothing can be read before more has come.
    #[must_use]
    pub const fn has_nothing_new(&self) -> bool {
        self.connection.is_stuck()
    }

    /// Bytes of memory that what waits takes, in both directions.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.connection.cost()
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub fn hold(&mut self) {
        self.connection.hold();
    }

    /// Forgets what came and what waits, with its memory.
    pub fn clear(&mut self) {
        self.connection.clear();
    }

    /// Streams that are open.
    #[must_use]
    pub const fn streams(&self) -> usize {
        self.connection.streams.len()
    }

    /// Bytes of bodies, at most, that may wait for those who take them before the client is held
    /// up, on all of its streams; none to begin with.
    pub fn set_waiting_max(&mut self, most: usize) {
        let windows = &mut self.connection.windows;
        windows.waiting_max = most;
        self.connection.has_credit |= windows.settle();
    }

    /// Whether so much waits of bodies that the client may have to wait until that is taken.
    #[must_use]
    pub const fn holds_up(&self) -> bool {
        self.connection.windows.is_shut()
    }

    /// Bytes that have come and were not looked at.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.connection.input.cost()
    }

    /// Bytes of answers that wait for windows or for their turn.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.connection.queued()
    }

    /// The same of one answer.
    #[must_use]
    pub fn queued_of(&self, id: StreamId) -> usize {
        self.connection.queued_of(id)
    }

    /// Whether requests that come are not looked at any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self.leaving, Leaving::Final(_) | Leaving::Broken)
    }

    /// Bytes of the heads of requests under way.
    #[cfg(test)]
    pub(super) const fn heads(&self) -> usize {
        self.connection.heads
    }

    /// Whether windows are about to be given back that may grow: [`Self::set_round_trip`] follows.
    #[must_use]
    pub const fn wants_round_trip(&self, growth: Growth) -> bool {
        self.connection.wants_round_trip(growth)
    }

    /// The time that the peer's answers take, once it is measured.
    pub const fn set_round_trip(&mut self, time: Duration) {
        self.connection.set_round_trip(time);
    }

    /// A turn begins, in which so many steps may be taken: each frame is one, and what costs more
    /// than a frame is several. When none is left, [`Server::poll`] gives nothing more, although
    /// [`Server::has_nothing_new`] is false: others have their turn. Without this, there is no
    /// limit.
    pub const fn begin_turn(&mut self, steps: u32) {
        self.connection.steps = steps;
    }

    /// The next thing that has come; `None` when more has to come first, or no step is left. Heads
    /// are taken from `spare`.
    ///
    /// # Errors
    /// The client has broken a rule that costs the connection: [`Server::fail`] follows.
    pub fn poll(
        &mut self,
        now: Instant,
        limits: &Limits,
        space: &mut Workspace,
        spare: &mut FreeList<RequestHead>,
    ) -> Result<Option<ServerEvent>, Violation> {
        if self.leaving == Leaving::Broken {
            return Ok(None);
        }
        while let Some(frame) = self.connection.next_frame(now, limits, space)? {
            let event = match frame {
                Frame::Head { stream, block, ends } => {
                    self.take_head(stream, (&block, ends), (now, limits), space, spare)?
                }
                Frame::Data { stream } => Some(ServerEvent::Body(stream)),
                Frame::Reset { stream, code } => Some(ServerEvent::Reset(stream, code)),
                Frame::Violated { stream, violation } => {
                    Some(ServerEvent::Violated(stream, violation))
                }
                Frame::Opened(stream) => Some(ServerEvent::Opened(stream)),
                Frame::GoAway { .. } => {
                    // It begins no more requests, and waits for its answers.
                    self.go_away();
                    None
                }
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// A field block has come: a request, or the trailers of one.
    fn take_head(
        &mut self,
        id: StreamId,
        (block, ends): (&Buf, bool),
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
        spare: &mut FreeList<RequestHead>,
    ) -> Result<Option<ServerEvent>, Violation> {
        if id.is_multiple_of(2) {
            return Err(Violation::StreamParity);
        }
        if id <= self.connection.last_remote {
            let taken = self.connection.take_trailers(id, (block, ends), (now, limits), space)?;
            let violated = |violation| ServerEvent::Violated(id, violation);
            return Ok(taken.map(|taken| taken.map_or_else(violated, |()| ServerEvent::Body(id))));
        }
        self.connection.last_remote = id;
        self.connection.note_stream();
        let mut head = spare.take();
        self.connection.spend(REQUEST_STEPS + block.len() / BLOCK_PER_STEP);
        let read = match self.read_head(block, limits, space, &mut head) {
            Ok(read) => read,
            Err(error) => {
                spare.give(head);
                return Err(Violation::Compression(error));
            }
        };
        if matches!(self.leaving, Leaving::Final(last) if id > last) {
            // The client knows that it is not looked at.
            spare.give(head);
            self.connection.refuse(id, (now, limits), space)?;
            return Ok(None);
        }
        let info = match read {
            Ok(info) => info,
            Err(HeadFault::Malformed(violation)) => {
                spare.give(head);
                let _reset = self.connection.violate(id, violation, (now, limits), space)?;
                return Ok(Some(ServerEvent::Violated(id, violation)));
            }
            Err(HeadFault::Refused(refusal)) => {
                spare.give(head);
                if self.is_full(limits) {
                    self.connection.refuse(id, (now, limits), space)?;
                    return Ok(Some(ServerEvent::TooMany(id)));
                }
                // Each such request costs us an answer: the rate is limited.
                self.connection.offences.note(Offence::ForcedReset, now, limits)?;
                self.open(id, ends, None, space);
                return Ok(Some(ServerEvent::Refused(id, refusal, block.len())));
            }
        };
        let size = head.size();
        self.connection.spend(size / HEAD_PER_STEP);
        let is_over = self.is_full(limits)
            || self.connection.heads + size > self.connection.heads_allowed(limits);
        if is_over {
            spare.give(head);
            self.connection.refuse(id, (now, limits), space)?;
            return Ok(Some(ServerEvent::TooMany(id)));
        }
        if ends && info.length.is_some_and(|length| length > 0) {
            spare.give(head);
            let violation = Violation::LengthDiffers;
            let _reset = self.connection.violate(id, violation, (now, limits), space)?;
            return Ok(Some(ServerEvent::Violated(id, violation)));
        }
        self.open(id, ends, Some((&info, size)), space);
        Ok(Some(ServerEvent::Request(id, head, info.meta(block.len(), ends))))
    }

    /// Reads the head of a request, unless it is the same as the last one.
    fn read_head(
        &mut self,
        block: &Buf,
        limits: &Limits,
        space: &mut Workspace,
        head: &mut RequestHead,
    ) -> Result<Result<HeadInfo, HeadFault>, HpackError> {
        if self.number == 0 {
            self.number = space.number();
        }
        let decoder = &mut self.connection.decoder;
        let owner = (self.number, decoder.changes());
        if let Some(info) = space.recall(owner, block, head) {
            return Ok(Ok(info));
        }
        let read = read_request(block, decoder, space, &limits.request, head)?;
        if let Ok(info) = read
            && decoder.changes() == owner.1
        {
            space.remember(owner, block, (head, info));
        }
        Ok(read)
    }

    /// A stream begins.
    fn open(
        &mut self,
        id: StreamId,
        ends: bool,
        head: Option<(&HeadInfo, usize)>,
        space: &mut Workspace,
    ) {
        let window = self.connection.peer.initial_window_size;
        let mut stream = Stream::new(id, (WINDOW_INITIAL, window.into()));
        stream.receiving.ended = ends;
        if let Some((info, size)) = head {
            stream.receiving.expected = info.length;
            stream.priority = info.priority;
            stream.head_size = size;
            self.connection.heads += size;
        }
        self.connection.streams.insert(stream, space);
    }

    /// Prepares to read a request's body of at most `max` bytes.
    ///
    /// # Errors
    /// It is known to be longer than that: what comes is dropped.
    pub fn begin_body(
        &mut self,
        id: StreamId,
        meta: &RequestMeta,
        max: u64,
    ) -> Result<(), Refusal> {
        let Some(stream) = self.connection.streams.get_mut(id) else { return Ok(()) };
        stream.receiving.allowed = max;
        stream.receiving.awaits_continue = meta.expects_continue;
        if meta.framing.length().is_some_and(|length| length > max) {
            self.connection.refuse_body(id);
            return Err(Refusal::BodyTooLarge);
        }
        Ok(())
    }

    /// Whether no further stream may be open. One that both sides have ended is not, though what
    /// came on it may not be passed on yet: of these there are as many at most.
    fn is_full(&mut self, limits: &Limits) -> bool {
        let (most, streams) = (limits.streams as usize, &self.connection.streams);
        let len = streams.len();
        if len < most || len >= most.saturating_mul(2) {
            return len >= most;
        }
        let open = streams.iter().filter(|stream| !stream.is_closed()).count();
        self.connection.spend(len / STREAMS_PER_STEP);
        open >= most
    }

    /// A stream carries another protocol: what comes on it has no length.
    pub fn begin_tunnel(&mut self, id: StreamId) {
        if let Some(stream) = self.connection.streams.get_mut(id) {
            stream.receiving.allowed = u64::MAX;
        }
    }

    /// Whether all of a request's body was read.
    #[must_use]
    pub fn is_body_read(&self, id: StreamId) -> bool {
        let stream = self.connection.streams.get(id);
        stream.is_none_or(|stream| stream.receiving.ended && stream.receiving.body.is_empty())
    }

    /// Bytes of a request's body that have come.
    #[must_use]
    pub fn body_came(&self, id: StreamId) -> u64 {
        self.connection.streams.get(id).map_or(0, |stream| stream.receiving.came)
    }

    /// The next part of a request's body; `None` when more has to come, or when it is over.
    ///
    /// # Errors
    /// It is longer than it may be.
    pub fn next_of_body(&mut self, id: StreamId) -> Result<Option<Buf>, Refusal> {
        let streams = &mut self.connection.streams;
        let Some(stream) = streams.touch_if(id, Stream::has_body) else { return Ok(None) };
        let Some(part) = stream.receiving.body.pop() else { return Ok(None) };
        let left = stream.receiving.allowed.checked_sub(part.len() as u64);
        stream.receiving.allowed = left.unwrap_or(0);
        self.connection.taken(id, part.len());
        if left.is_none() {
            self.connection.refuse_body(id);
            return Err(Refusal::BodyTooLarge);
        }
        Ok(Some(part))
    }

    /// What came behind a request's body.
    pub fn take_trailers_of(&mut self, id: StreamId) -> Option<Box<Fields>> {
        self.connection.streams.get_mut(id)?.receiving.trailers.take()
    }

    /// The answer cannot be ended in order, or is not given.
    pub fn reset(&mut self, id: StreamId, code: ErrorCode, space: &mut Workspace) {
        if self.connection.streams.get(id).is_some() {
            self.connection.reset(id, code, space);
        }
    }

    /// No further requests are wanted: the client is told so, and what it has sent meanwhile is
    /// answered. [`Server::finish`] follows when it has had the time to learn that.
    pub fn go_away(&mut self) {
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Announced;
            let control = &mut self.connection.control;
            frame::write_go_away(STREAM_MAX, ErrorCode::NO_ERROR, "", control);
        }
    }

    /// Requests that have not come are not looked at any more.
    pub fn finish(&mut self) {
        if matches!(self.leaving, Leaving::No | Leaving::Announced) {
            let last = self.connection.last_remote;
            self.leaving = Leaving::Final(last);
            frame::write_go_away(last, ErrorCode::NO_ERROR, "", &mut self.connection.control);
        }
    }

    /// Tells the client what is wrong, and reads no more.
    pub fn fail(&mut self, violation: Violation) {
        let last = self.connection.last_remote;
        let (code, why) = (violation.code(), violation.name());
        frame::write_go_away(last, code, why, &mut self.connection.control);
        self.leaving = Leaving::Broken;
        self.connection.clear();
    }

    /// Writes what may go out: at most about `room` bytes of bodies. Returns how many bytes of
    /// bodies went.
    pub fn transmit(
        &mut self,
        room: usize,
        at: (Instant, Growth),
        space: &mut Workspace,
        out: &mut impl Output,
    ) -> usize {
        self.connection.transmit(room, at, space, out)
    }

    /// When the first of the answers may have waited for so long that its client does not take it:
    /// that, or an earlier time, at which [`Server::stalled`] is asked.
    #[must_use]
    pub fn stalls_at(&self, timeout: Duration) -> Option<Instant> {
        let from = self.connection.stalls_from.filter(|_| self.streams() > 0);
        from.map(|from| from + timeout)
    }

    /// An answer that its client does not take: less of it than 16 KiB went within the time.
    pub fn stalled(&mut self, now: Instant, timeout: Duration) -> Option<StreamId> {
        self.connection.stalled(now, timeout)
    }

    /// Whether something of a request's body has come that was not taken.
    #[must_use]
    pub fn has_body(&self, id: StreamId) -> bool {
        self.connection.streams.get(id).is_some_and(Stream::has_body)
    }

    /// Since when a frame or a field block is not all there.
    #[must_use]
    pub fn partial_since(&self) -> Option<Instant> {
        self.connection.partial_since
    }

    /// Whether something waits to be sent that windows hold up.
    #[cfg(test)]
    pub(super) fn is_held_up(&self) -> bool {
        self.connection.streams.iter().any(Stream::has_output)
    }
}

impl Connection {
    /// Nothing more of a stream's body is wanted: what waits is dropped, as what comes will be.
    pub(super) fn refuse_body(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.receiving.unwanted = true;
        stream.receiving.trailers = None;
        if let Some(stream) = self.streams.touch_if(id, Stream::has_body) {
            let left = stream.receiving.body.len();
            stream.receiving.body.clear();
            self.taken(id, left);
        }
    }
}
