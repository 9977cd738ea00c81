//! A client's side of one connection (RFC 9113): many exchanges at a time.

use std::time::{Duration, Instant};

use super::connection::{Connection, Frame, Role};
use super::error::{ErrorCode, Violation};
use super::frame::{STREAM_MAX, WINDOW_INITIAL, flag, setting, write_go_away};
use super::limits::Limits;
use super::request::{HeadFault, RequestLine, write_request};
use super::response::{ResponseInfo, read_response};
use super::send::Growth;
use super::server::StreamId;
use super::stream::{SendState, Stream};
use super::workspace::Workspace;
use crate::mem::{Buf, FreeList};
use crate::proto::http::{Fields, Method, ResponseHead};
use crate::proto::http1::{INTERIM_BYTES_MAX, Output};

/// What has come.
#[derive(Debug)]
pub enum ClientEvent {
    /// An interim answer.
    Interim(StreamId, Box<ResponseHead>),
    /// The head of an answer, and the length of its body, if that is declared.
    Head(StreamId, Box<ResponseHead>, Option<u64>),
    /// Something of an answer's body, or its end.
    Body(StreamId),
    /// The server gives an answer up; its stream is gone.
    Reset(StreamId, ErrorCode),
    /// The server has broken a rule on a stream, which was reset and is gone.
    Violated(StreamId, Violation),
    /// The server takes no further requests, and has done nothing for those on streams above this
    /// one, which are gone, but for those whose answers have come whole ([`Client::has_come`]);
    /// with what it says of it, as it came.
    GoAway(StreamId, ErrorCode, Buf),
    /// More may be sent than before, or more streams may be opened.
    Opened(Option<StreamId>),
}

/// The machine of one connection.
///
/// Calling order: [`Client::open`] for each request while [`Client::can_open`], then
/// [`Client::send_part`] for each part of its body and [`Client::send_end`]; received bytes go to
/// [`Client::receive`] and [`Client::receive_end`], then [`Client::poll`] until there is nothing
/// more, and [`Client::next_of_body`] while the body is wanted; [`Client::end`] when an answer was
/// taken whole. At the end of a turn [`Client::transmit`].
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    /// The server takes no further requests.
    is_leaving: bool,
    /// It has broken a rule: nothing is read any more.
    is_broken: bool,
}

impl Client {
    /// The machine of a new connection.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let list = u32::try_from(limits.request.head.size).unwrap_or(u32::MAX);
        let settings = [(setting::ENABLE_PUSH, 0), (setting::MAX_HEADER_LIST_SIZE, list)];
        let connection = Connection::new(Role::Client, &settings);
        Self { connection, is_leaving: false, is_broken: false }
    }

    /// Bytes have come.
    pub fn receive(&mut self, buf: Buf) {
        if !self.is_broken {
            self.connection.receive(buf);
        }
    }

    /// The server sends no more.
    pub const fn receive_end(&mut self) {
        self.connection.has_ended = true;
    }

    /// Whether the server sends no more.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.connection.has_ended
    }

    /// Whether nothing that came waits to be read.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        self.connection.is_read()
    }

    /// Bytes of memory that what waits takes, in both directions.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.connection.cost()
    }

    /// Bytes that have come and were not looked at.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.connection.input.cost()
    }

    /// Whether nothing can be read before more has come.
    #[must_use]
    pub const fn has_nothing_new(&self) -> bool {
        self.connection.is_stuck()
    }

    /// Whether all of an answer has come, taken or not.
    #[must_use]
    pub fn has_come(&self, id: StreamId) -> bool {
        self.connection.streams.get(id).is_some_and(|stream| stream.receiving.ended)
    }

    /// Bytes of requests that wait for windows or for their turn.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.connection.queued()
    }

    /// The same of one request.
    #[must_use]
    pub fn queued_of(&self, id: StreamId) -> usize {
        self.connection.queued_of(id)
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub fn hold(&mut self) {
        self.connection.hold();
    }

    /// Forgets what came and what waits, with its memory.
    pub fn clear(&mut self) {
        self.connection.clear();
    }

    /// Whether windows are about to be given back that may grow: [`Self::set_round_trip`] follows.
    #[must_use]
    pub const fn wants_round_trip(&self, growth: Growth) -> bool {
        self.connection.wants_round_trip(growth)
    }

    /// The time that the server's answers take, once it is measured.
    pub const fn set_round_trip(&mut self, time: Duration) {
        self.connection.set_round_trip(time);
    }

    /// Whether the server's SETTINGS have arrived. Requests may be sent earlier, but the limit of
    /// streams, and whether the server speaks HTTP/2 at all, are unknown until then.
    #[must_use]
    pub const fn is_greeted(&self) -> bool {
        self.connection.has_peer_settings
    }

    /// Requests that the server takes at a time.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.connection.peer.max_concurrent_streams
    }

    /// Whether the server has said that it knows extended CONNECT (RFC 8441, section 3).
    #[must_use]
    pub const fn takes_websockets(&self) -> bool {
        self.connection.peer.enable_connect_protocol
    }

    /// Whether all of a request was sent, or it is gone.
    #[must_use]
    pub fn is_sent(&self, id: StreamId) -> bool {
        let stream = self.connection.streams.get(id);
        stream.is_none_or(|stream| stream.sending.state == SendState::Ended)
    }

    /// Whether no further request may begin, as numbers are used up or the server takes none.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.is_leaving || self.is_broken || self.connection.next_local > STREAM_MAX
    }

    /// Whether a request may begin.
    #[must_use]
    pub fn can_open(&self) -> bool {
        let open = u32::try_from(self.connection.streams.len()).unwrap_or(u32::MAX);
        !self.is_spent() && !self.connection.has_ended && open < self.capacity()
    }

    /// Begins a request: sends its head. Its body follows unless it `ends` with it.
    pub fn open(
        &mut self,
        request: &RequestLine<'_>,
        ends: bool,
        space: &mut Workspace,
        out: &mut impl Output,
    ) -> StreamId {
        debug_assert!(self.can_open(), "there is a limit of open streams");
        self.connection.flush_control(out);
        let id = self.connection.next_local;
        self.connection.next_local += 2;
        let window = self.connection.peer.initial_window_size;
        let mut stream = Stream::new(id, (WINDOW_INITIAL, window.into()));
        stream.sending.state = if ends { SendState::Ended } else { SendState::Body };
        stream.sending.closed = ends;
        stream.receiving.is_bodiless = request.head.method == Method::Head;
        stream.receiving.is_tunnel = request.websocket;
        self.connection.streams.insert(stream, space);
        let flags = if ends { flag::END_STREAM } else { 0 };
        self.connection.write_block(id, flags, out.bytes(), |encoder, out| {
            write_request(request, encoder, out);
        });
        id
    }

    /// Bytes that can be taken of a request's body, beside those that wait: none while its window
    /// is shut.
    #[must_use]
    pub fn room(&self, id: StreamId) -> usize {
        self.connection.room(id).unwrap_or(0)
    }

    /// A part of a request's body: it waits for [`Client::transmit`].
    pub fn send_part(&mut self, id: StreamId, part: Buf) {
        self.connection.send_part(id, part);
    }

    /// The end of a request's body.
    pub fn send_end(&mut self, id: StreamId, trailers: Option<&Fields>) {
        self.connection.send_end(id, trailers);
    }

    /// Whether the end of a request's body is still to be given.
    #[must_use]
    pub fn is_sending(&self, id: StreamId) -> bool {
        self.connection.streams.get(id).is_some_and(|stream| !stream.sending.closed)
    }

    /// A turn begins: as [`super::Server::begin_turn`].
    pub const fn begin_turn(&mut self, steps: u32) {
        self.connection.steps = steps;
    }

    /// The next thing that has come; `None` when more has to come first, or no step is left. Heads
    /// are taken from `spare`.
    ///
    /// # Errors
    /// The server has broken a rule that costs the connection: [`Client::fail`] follows.
    pub fn poll(
        &mut self,
        now: Instant,
        limits: &Limits,
        space: &mut Workspace,
        spare: &mut FreeList<ResponseHead>,
    ) -> Result<Option<ClientEvent>, Violation> {
        if self.is_broken {
            return Ok(None);
        }
        while let Some(frame) = self.connection.next_frame(now, limits, space)? {
            let event = match frame {
                Frame::Head { stream, block, ends } => {
                    self.take_head(stream, (&block, ends), (now, limits), space, spare)?
                }
                Frame::Data { stream } => Some(ClientEvent::Body(stream)),
                Frame::Reset { stream, code } => Some(ClientEvent::Reset(stream, code)),
                Frame::Violated { stream, violation } => {
                    Some(ClientEvent::Violated(stream, violation))
                }
                Frame::GoAway { last, code, text } => {
                    self.is_leaving = true;
                    self.remove_unanswered(last, space);
                    Some(ClientEvent::GoAway(last, code, text))
                }
                Frame::Opened(stream) => Some(ClientEvent::Opened(stream)),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// The server will not answer what is on streams above one. An answer that has come whole is
    /// one, whatever the server says afterwards.
    fn remove_unanswered(&mut self, last: StreamId, space: &mut Workspace) {
        let streams = self.connection.streams.iter();
        let is_lost = |stream: &&Stream| stream.id > last && !stream.receiving.ended;
        let lost: Vec<StreamId> = streams.filter(is_lost).map(|stream| stream.id).collect();
        lost.into_iter().for_each(|id| self.connection.remove(id, space));
    }

    /// A field block has come: an interim answer, the head of an answer, or its trailers.
    fn take_head(
        &mut self,
        id: StreamId,
        (block, ends): (&Buf, bool),
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
        spare: &mut FreeList<ResponseHead>,
    ) -> Result<Option<ClientEvent>, Violation> {
        if id.is_multiple_of(2) {
            return Err(Violation::StreamParity);
        }
        if id >= self.connection.next_local {
            return Err(Violation::StreamIdle);
        }
        let has_head =
            self.connection.streams.get(id).is_some_and(|stream| stream.receiving.has_head);
        if has_head {
            let taken = self.connection.take_trailers(id, (block, ends), (now, limits), space)?;
            let violated = |violation| ClientEvent::Violated(id, violation);
            return Ok(taken.map(|taken| taken.map_or_else(violated, |()| ClientEvent::Body(id))));
        }
        let mut head = spare.take();
        let decoder = &mut self.connection.decoder;
        let read = read_response(block, decoder, space, &limits.request.head, &mut head);
        let read = read.map_err(Violation::Compression)?;
        let Some(stream) = self.connection.streams.get_mut(id) else {
            spare.give(head);
            let was_reset = self.connection.was_reset(id);
            return if was_reset { Ok(None) } else { Err(Violation::StreamEnded) };
        };
        let receiving = &mut stream.receiving;
        let info = match read {
            _ if receiving.ended => Err(Violation::StreamEnded),
            // An interim answer is not the last word (section 8.1).
            Ok(_) if head.is_interim() && ends => Err(Violation::PseudoValue),
            Ok(ResponseInfo { length, .. }) => Ok(length),
            Err(HeadFault::Malformed(violation)) => Err(violation),
            // An answer with such a head cannot be forwarded.
            Err(HeadFault::Refused(_)) => Err(Violation::HeadTooLarge),
        };
        let length = match info {
            Ok(length) => length,
            Err(violation) => {
                spare.give(head);
                return self.violated(id, violation, (now, limits), space);
            }
        };
        if head.is_interim() {
            receiving.interim += block.len();
            if receiving.interim <= INTERIM_BYTES_MAX {
                return Ok(Some(ClientEvent::Interim(id, head)));
            }
            spare.give(head);
            return self.violated(id, Violation::InterimFlood, (now, limits), space);
        }
        let length = receiving.begin_answer(head.status, length, ends);
        if ends && receiving.expected.is_some_and(|length| length > 0) {
            spare.give(head);
            return self.violated(id, Violation::LengthDiffers, (now, limits), space);
        }
        let length = if ends && !receiving.is_bodiless { Some(0) } else { length };
        self.connection.note_stream();
        Ok(Some(ClientEvent::Head(id, head, length)))
    }

    /// The server has broken a rule on a stream.
    fn violated(
        &mut self,
        id: StreamId,
        violation: Violation,
        at: (Instant, &Limits),
        space: &mut Workspace,
    ) -> Result<Option<ClientEvent>, Violation> {
        let _reset = self.connection.violate(id, violation, at, space)?;
        Ok(Some(ClientEvent::Violated(id, violation)))
    }

    /// The next part of an answer's body; `None` when more has to come, or when it is over.
    pub fn next_of_body(&mut self, id: StreamId) -> Option<Buf> {
        let stream = self.connection.streams.touch_if(id, Stream::has_body)?;
        let part = stream.receiving.body.pop()?;
        self.connection.taken(id, part.len());
        Some(part)
    }

    /// Whether all of an answer's body was taken.
    #[must_use]
    pub fn is_body_read(&self, id: StreamId) -> bool {
        let stream = self.connection.streams.get(id);
        stream.is_some_and(|stream| stream.receiving.ended && stream.receiving.body.is_empty())
    }

    /// What came behind an answer's body.
    pub fn take_trailers_of(&mut self, id: StreamId) -> Option<Box<Fields>> {
        self.connection.streams.get_mut(id)?.receiving.trailers.take()
    }

    /// An answer was taken whole. What is left of its request is not sent: the server has said all
    /// that it has to say.
    pub fn end(&mut self, id: StreamId, space: &mut Workspace) {
        let Some(stream) = self.connection.streams.get(id) else { return };
        if stream.sending.state == SendState::Ended {
            self.connection.remove(id, space);
        } else {
            self.connection.reset(id, ErrorCode::NO_ERROR, space);
        }
    }

    /// An exchange is not wanted any more.
    pub fn reset(&mut self, id: StreamId, code: ErrorCode, space: &mut Workspace) {
        let Some(stream) = self.connection.streams.get(id) else { return };
        if stream.receiving.ended && stream.sending.state == SendState::Ended {
            // Nothing more may be said of it.
            self.connection.remove(id, space);
        } else {
            self.connection.reset(id, code, space);
        }
    }

    /// Tells the server what is wrong, and reads no more.
    pub fn fail(&mut self, violation: Violation) {
        let (code, why) = (violation.code(), violation.name());
        write_go_away(0, code, why, &mut self.connection.control);
        self.is_broken = true;
        self.connection.clear();
    }

    /// Tells the server that the connection is given up.
    pub fn leave(&mut self) {
        write_go_away(0, ErrorCode::NO_ERROR, "", &mut self.connection.control);
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
}
