//! What a connection speaks: HTTP/1.1, one request after the other, or HTTP/2, many at a time. The
//! verbs are the same; with HTTP/2 they are about the stream that is worked on (see
//! [`Multiplexed::at`]).

use std::time::Instant;

use super::requests::StreamRequests;
use crate::mem::Buf;
use crate::proto::http::{Fields, ResponseHead};
use crate::proto::http1::{Next, Output, Refusal, RequestMeta, Server as Server1, write};
use crate::proto::http2::{ErrorCode, Limits, Server as Server2, StreamId, Whole, Workspace};
use crate::session::http::options::FixedAnswer;
use crate::session::http::state::DateText;

/// The machine of a connection.
#[derive(Debug)]
pub(in crate::session::http) enum Wire {
    /// HTTP/1.0 or HTTP/1.1.
    Http1(Server1),
    /// HTTP/2.
    Http2(Box<Multiplexed>),
}

/// What stops a request that could go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoppedBy {
    /// The connection takes no more: it is looked at when that takes more.
    Connection,
    /// Its share of the turn is spent: it is looked at in the next one, which was asked for.
    Turn,
}

/// A connection of HTTP/2 and the requests on it.
#[derive(Debug)]
pub(in crate::session::http) struct Multiplexed {
    pub(super) server: Server2,
    /// The stream that is worked on.
    pub(super) at: StreamId,
    /// Requests that are being answered.
    pub(super) requests: StreamRequests,
    /// The request that is worked on was stopped: it could go on.
    pub(super) stopped: Option<StoppedBy>,
    /// When the client was told that no further requests are wanted.
    pub(super) leaving: Option<Instant>,
}

impl Default for Wire {
    fn default() -> Self {
        Self::Http1(Server1::default())
    }
}

impl Wire {
    /// The same connection speaks HTTP/2 from its first byte on.
    pub(super) fn http2(limits: &Limits) -> Self {
        let (server, requests) = (Server2::new(limits), StreamRequests::default());
        let (at, stopped, leaving) = (0, None, None);
        Self::Http2(Box::new(Multiplexed { server, at, requests, stopped, leaving }))
    }

    /// The machine of HTTP/2, if that is spoken.
    pub(super) const fn multiplexed(&mut self) -> Option<&mut Multiplexed> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(many) => Some(many),
        }
    }

    /// The stream that is worked on; none by HTTP/1.
    pub(super) const fn stream(&self) -> StreamId {
        match self {
            Self::Http1(_) => 0,
            Self::Http2(many) => many.at,
        }
    }

    /// The present request could go on, but for the connection or the turn.
    pub(super) const fn note_stopped(&mut self, by: StoppedBy) {
        if let Self::Http2(many) = self
            && !matches!(many.stopped, Some(StoppedBy::Turn))
        {
            many.stopped = Some(by);
        }
    }

    /// Whether HTTP/2 is spoken.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Bytes have come.
    pub(super) fn receive(&mut self, buf: Buf) {
        match self {
            Self::Http1(one) => one.receive(buf),
            Self::Http2(many) => many.server.receive(buf),
        }
    }

    /// The client sends no more.
    pub(super) const fn receive_end(&mut self) {
        match self {
            Self::Http1(one) => one.receive_end(),
            Self::Http2(many) => many.server.receive_end(),
        }
    }

    /// Whether the client sends no more.
    pub(super) const fn has_ended(&self) -> bool {
        match self {
            Self::Http1(one) => one.has_ended(),
            Self::Http2(many) => many.server.has_ended(),
        }
    }

    /// Whether nothing that came waits to be read.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Self::Http1(one) => one.is_read(),
            Self::Http2(many) => many.server.is_read(),
        }
    }

    /// Whether nothing has come that could be read.
    pub(super) const fn has_nothing_new(&self) -> bool {
        match self {
            Self::Http1(one) => one.has_nothing_new(),
            Self::Http2(many) => many.server.has_nothing_new(),
        }
    }

    /// Bytes of memory that what waits takes.
    pub(super) fn cost(&self) -> usize {
        match self {
            Self::Http1(one) => one.cost(),
            Self::Http2(many) => many.server.cost(),
        }
    }

    /// The beginning of a head that has not come whole.
    pub(super) fn partial(&self) -> &[u8] {
        match self {
            Self::Http1(one) => one.partial(),
            Self::Http2(_) => &[],
        }
    }

    /// No further request is answered on this connection.
    pub(super) fn close_after(&mut self, now: Instant) {
        match self {
            Self::Http1(one) => one.close_after(),
            Self::Http2(many) => {
                many.server.go_away();
                many.leaving.get_or_insert(now);
            }
        }
    }

    /// Prepares to read a request's body of at most `max` bytes.
    ///
    /// # Errors
    /// It is known to be longer than that.
    pub(super) fn begin_body(&mut self, meta: &RequestMeta, max: u64) -> Result<(), Refusal> {
        match self {
            Self::Http1(one) => one.begin_body(meta, max),
            Self::Http2(many) => many.server.begin_body(many.at, meta, max),
        }
    }

    /// Whether all of the request's body was read.
    pub(super) fn is_body_read(&self) -> bool {
        match self {
            Self::Http1(one) => one.is_body_read(),
            Self::Http2(many) => many.server.is_body_read(many.at),
        }
    }

    /// Bytes of the request's body that have come.
    pub(super) fn body_came(&self) -> u64 {
        match self {
            Self::Http1(one) => one.body_came(),
            Self::Http2(many) => many.server.body_came(many.at),
        }
    }

    /// The next part of the request's body; `None` when more has to come, or when it is over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn next_of_body(&mut self) -> Result<Option<Buf>, Refusal> {
        match self {
            Self::Http1(one) => one.next_of_body(),
            Self::Http2(many) => many.server.next_of_body(many.at),
        }
    }

    /// What came behind the request's body.
    pub(super) fn take_trailers(&mut self) -> Option<Box<Fields>> {
        match self {
            Self::Http1(one) => one.take_trailers(),
            Self::Http2(many) => many.server.take_trailers_of(many.at),
        }
    }

    /// The request's body is wanted: a client that waits to be told so is told.
    pub(super) fn send_continue(&mut self, out: &mut impl Output) {
        match self {
            Self::Http1(one) => one.send_continue(out),
            Self::Http2(many) => many.server.send_continue(many.at, out),
        }
    }

    /// The answer does not wait for the request's body.
    pub(super) fn forgo_body(&mut self) {
        match self {
            Self::Http1(one) => one.forgo_body(),
            Self::Http2(many) => many.server.forgo_body(many.at),
        }
    }

    /// The request is refused while it comes.
    pub(super) fn refuse_body(&mut self) {
        match self {
            Self::Http1(one) => one.refuse_body(),
            Self::Http2(many) => many.server.refuse_body(many.at),
        }
    }

    /// Sends an interim answer. Returns how many bytes it has.
    pub(super) fn send_interim(&mut self, head: &ResponseHead, out: &mut impl Output) -> usize {
        match self {
            Self::Http1(one) => one.send_interim(head, out),
            Self::Http2(many) => many.server.send_interim(many.at, head, out),
        }
    }

    /// Sends the head of the answer: see [`Server1::send_head`]. Returns how many bytes it has.
    pub(super) fn send_head(
        &mut self,
        head: &mut ResponseHead,
        length: Option<u64>,
        has_body: bool,
        out: &mut impl Output,
    ) -> usize {
        match self {
            Self::Http1(one) => one.send_head(head, length, has_body, out),
            Self::Http2(many) => many.server.send_head(many.at, head, length, has_body, out),
        }
    }

    /// Sends the head after which the connection, or the stream, carries a WebSocket. Returns how
    /// many bytes it has.
    pub(super) fn send_tunnel_head(
        &mut self,
        head: &mut ResponseHead,
        out: &mut impl Output,
    ) -> usize {
        match self {
            Self::Http1(one) => {
                one.begin_tunnel();
                one.send_switch(head, out)
            }
            Self::Http2(many) => {
                // What is to come is bounded by who reads it.
                many.server.begin_tunnel(many.at);
                many.server.send_head(many.at, head, None, true, out)
            }
        }
    }

    /// Whether fields may follow the answer's body.
    pub(super) fn takes_trailers(&self) -> bool {
        match self {
            Self::Http1(one) => one.is_chunked(),
            Self::Http2(_) => true,
        }
    }

    /// Sends a part of the answer's body.
    pub(super) fn send_part(&mut self, part: Buf, out: &mut impl Output) {
        match self {
            Self::Http1(one) => one.send_part(part, out),
            Self::Http2(many) => many.server.send_part(many.at, part),
        }
    }

    /// The same for bytes that are copied.
    pub(super) fn send_bytes(&mut self, bytes: &[u8], out: &mut impl Output) {
        match self {
            Self::Http1(one) => one.send_bytes(bytes, out),
            Self::Http2(many) => many.server.send_part(many.at, Buf::copy_of(bytes)),
        }
    }

    /// Sends all of the answer's body, whose length its head has told.
    pub(super) fn send_whole(&mut self, body: Whole<'_>, out: &mut impl Output) {
        match self {
            Self::Http1(_) => out.bytes().extend_from_slice(body.bytes()),
            Self::Http2(many) => many.server.send_whole(many.at, body, out),
        }
    }

    /// Sends an answer that is always the same. Returns how many bytes it has.
    pub(super) fn send_ready(
        &mut self,
        answer: &FixedAnswer,
        date: &DateText,
        has_body: bool,
        out: &mut impl Output,
    ) -> usize {
        let has_body = has_body && !answer.body.is_empty();
        match self {
            Self::Http1(one) => {
                one.forgo_body();
                let out = out.bytes();
                let before = out.len();
                out.extend_from_slice(answer.head());
                out.extend_from_slice(date.line());
                write::end_with(one.connection(), out);
                if has_body {
                    out.extend_from_slice(&answer.body);
                }
                out.len() - before
            }
            Self::Http2(many) => {
                let (at, parts) = (many.at, (answer.block(), &*date.block));
                let whole = has_body.then_some(Whole::Text(&answer.body));
                let head = many.server.send_ready(at, parts, whole, out);
                head + if has_body { answer.body.len() } else { 0 }
            }
        }
    }

    /// Sends the head of an answer whose block of HTTP/2 is ready, and whose body follows. Returns
    /// how many bytes it has; `None`, and nothing is sent, by HTTP/1.
    pub(super) fn send_ready_head(
        &mut self,
        block: &[u8],
        date: &DateText,
        out: &mut impl Output,
    ) -> Option<usize> {
        let many = self.multiplexed()?;
        Some(many.server.send_block(many.at, (block, &*date.block), false, out))
    }

    /// Bytes of answers that wait within the machine.
    pub(super) fn queued(&self) -> usize {
        match self {
            Self::Http1(_) => 0,
            Self::Http2(many) => many.server.queued(),
        }
    }

    /// Those of the present answer, where each has its own.
    pub(super) fn queued_of(&self) -> Option<usize> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(many) => Some(many.server.queued_of(many.at)),
        }
    }

    /// Sends the end of the answer's body.
    pub(super) fn send_end(&mut self, trailers: Option<&Fields>, out: &mut impl Output) {
        match self {
            Self::Http1(one) => one.send_end(trailers, out),
            Self::Http2(many) => many.server.send_end(many.at, trailers),
        }
    }

    /// The answer is given: what follows on the connection.
    pub(super) fn end_answer(&mut self, space: &mut Workspace) -> Next {
        match self {
            Self::Http1(one) => one.end_answer(),
            Self::Http2(many) => {
                many.server.send_end(many.at, None);
                many.server.end_answer(many.at, space);
                Next::Request
            }
        }
    }

    /// Bytes of the answer that wait within the machine, and more that it can take now; HTTP/1.1
    /// keeps none, and takes what the connection takes.
    pub(super) fn room(&self) -> usize {
        match self {
            Self::Http1(_) => usize::MAX,
            Self::Http2(many) => many.server.room(many.at),
        }
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        match self {
            Self::Http1(one) => one.hold(),
            Self::Http2(many) => many.server.hold(),
        }
    }

    /// Forgets what came, with its memory.
    pub(super) fn clear(&mut self) {
        match self {
            Self::Http1(one) => one.clear(),
            Self::Http2(many) => many.server.clear(),
        }
    }
}

impl Multiplexed {
    /// The present stream cannot be ended in order.
    pub(super) fn reset(&mut self, code: ErrorCode, space: &mut Workspace) {
        self.server.reset(self.at, code, space);
    }
}
