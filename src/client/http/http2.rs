//! HTTP/2: many exchanges side by side.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::connection::{AnswerHead, Part, WAITING_MAX};
use super::request::Prepared;
use crate::client::ClientError;
use crate::mem::{Buf, FreeList};
use crate::proto::http::{Fields, ResponseHead};
use crate::proto::http1::{HeadLimits, Output};
use crate::proto::http2::{
    Client, ClientEvent, ErrorCode, Growth, Limits, RequestLimits, RequestLine, StreamId,
    Violation, Workspace,
};
use crate::ring::SocketAddress;

/// Bytes of what a server says of its going away that are kept.
const TEXT_MAX: usize = 512;

/// The machine of one connection, and what has come on each of its streams.
#[derive(Debug)]
pub(super) struct Http2 {
    machine: Client,
    limits: Limits,
    space: Workspace,
    streams: BTreeMap<StreamId, ResponseState>,
    /// It has broken a rule, or has ended.
    is_over: bool,
    /// Why the server goes away, once it has said so.
    leaving: Option<Leaving>,
}

/// Why a server goes away.
#[derive(Debug)]
struct Leaving {
    code: ErrorCode,
    text: String,
}

impl Leaving {
    fn new(code: ErrorCode, text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text.get(..TEXT_MAX).unwrap_or(text)).into_owned();
        // It is to stay in its line.
        Self { code, text: text.escape_debug().to_string() }
    }

    /// How an exchange fails that is on the connection when it ends, if there is more to be said
    /// than that it has ended.
    fn error(&self, peer: SocketAddress) -> Option<ClientError> {
        let (code, text) = (code_name(self.code), self.text.clone());
        let is_said = self.code != ErrorCode::NO_ERROR || !self.text.is_empty();
        is_said.then(|| ClientError::Left { peer: peer.to_string(), code, text })
    }
}

/// What has come of one answer.
#[derive(Debug, Default)]
struct ResponseState {
    head: Option<AnswerHead>,
    /// The server has said something of it.
    is_seen: bool,
    /// Its head has come, taken or not.
    has_head: bool,
    failed: Option<ClientError>,
}

impl Http2 {
    pub(super) fn new(head_max: usize) -> Self {
        let head = HeadLimits { size: head_max, ..HeadLimits::default() };
        let request = RequestLimits { head, ..RequestLimits::default() };
        let limits = Limits { request, ..Limits::default() };
        Self {
            machine: Client::new(&limits),
            limits,
            space: Workspace::default(),
            streams: BTreeMap::new(),
            is_over: false,
            leaving: None,
        }
    }

    pub(super) fn can_begin(&self) -> bool {
        !self.is_over && self.machine.can_open()
    }

    pub(super) fn is_spent(&self) -> bool {
        self.is_over || self.machine.is_spent()
    }

    pub(super) fn begin(
        &mut self,
        request: &Prepared,
        ends: bool,
        out: &mut impl Output,
    ) -> StreamId {
        let Prepared { head, authority, url, .. } = request;
        let line = RequestLine {
            head,
            path: &url.path,
            authority,
            scheme: url.scheme.on_the_wire(),
            length: request.length(),
            websocket: false,
        };
        let stream = self.machine.open(&line, ends, &mut self.space, out);
        self.streams.insert(stream, ResponseState::default());
        stream
    }

    /// Whether the rest of a request is wanted: a server whose answer is whole has said all that it
    /// has to say.
    pub(super) fn is_sending(&self, stream: StreamId) -> bool {
        let is_open = |state: &ResponseState| state.failed.is_none();
        !self.is_over
            && !self.machine.has_come(stream)
            && self.streams.get(&stream).is_some_and(is_open)
            && self.machine.is_sending(stream)
    }

    pub(super) fn room(&self, stream: StreamId) -> usize {
        let left = WAITING_MAX.saturating_sub(self.machine.queued_of(stream));
        self.machine.room(stream).min(left)
    }

    pub(super) fn send_part(&mut self, stream: StreamId, part: Buf) {
        self.machine.send_part(stream, part);
    }

    pub(super) fn send_end(&mut self, stream: StreamId, trailers: Option<&Fields>) {
        self.machine.send_end(stream, trailers);
    }

    pub(super) fn poll_head(
        &mut self,
        stream: StreamId,
    ) -> Result<Option<AnswerHead>, ClientError> {
        let Some(state) = self.streams.get_mut(&stream) else { return Ok(None) };
        match (state.head.take(), &state.failed) {
            (Some(head), _) => Ok(Some(head)),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn poll_part(&mut self, stream: StreamId) -> Result<Option<Part>, ClientError> {
        if let Some(part) = self.machine.next_of_body(stream) {
            return Ok(Some(Part::Data(part)));
        }
        if self.machine.is_body_read(stream) {
            return Ok(Some(Part::End(self.machine.take_trailers_of(stream))));
        }
        match self.streams.get(&stream).and_then(|state| state.failed.clone()) {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }

    pub(super) fn is_seen(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|state| state.is_seen)
    }

    /// An answer was taken whole.
    pub(super) fn finish(&mut self, stream: StreamId) {
        self.machine.end(stream, &mut self.space);
        self.streams.remove(&stream);
    }

    /// An exchange is not wanted any more.
    pub(super) fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        self.machine.reset(stream, code, &mut self.space);
        self.streams.remove(&stream);
    }

    pub(super) fn receive(&mut self, buf: Buf) {
        self.machine.receive(buf);
    }

    /// Reads what has come. When the connection `has_ended`, what was not answered is lost.
    pub(super) fn work(
        &mut self,
        now: Instant,
        (has_ended, lost): (bool, Option<&ClientError>),
        spare: &mut FreeList<ResponseHead>,
        peer: SocketAddress,
    ) {
        if has_ended {
            self.machine.receive_end();
        }
        loop {
            match self.machine.poll(now, &self.limits, &mut self.space, spare) {
                Ok(None) => break,
                Ok(Some(event)) => self.take_event(event, spare, peer),
                Err(violation) => {
                    self.machine.fail(violation);
                    self.is_over = true;
                    let error = match self.machine.is_greeted() {
                        true => broken(peer, violation),
                        false => foreign(peer),
                    };
                    self.streams.values_mut().for_each(|state| {
                        state.failed.get_or_insert_with(|| error.clone());
                    });
                    break;
                }
            }
        }
        if has_ended && !self.is_over {
            self.is_over = true;
            let Self { machine, streams, leaving, .. } = self;
            // Something came that was not even a frame.
            let is_foreign = !machine.is_greeted() && !machine.is_read();
            let told = match is_foreign {
                true => Some(foreign(peer)),
                false => leaving.as_ref().and_then(|leaving| leaving.error(peer)),
            };
            for (stream, state) in streams {
                if !machine.has_come(*stream) {
                    let peer = peer.to_string();
                    let own = match state.is_seen {
                        true => ClientError::Cut { peer },
                        false => ClientError::Closed { peer },
                    };
                    let known = told.clone().or_else(|| lost.cloned());
                    state.failed.get_or_insert_with(|| known.unwrap_or(own));
                }
            }
        }
        self.machine.hold();
    }

    fn take_event(
        &mut self,
        event: ClientEvent,
        spare: &mut FreeList<ResponseHead>,
        peer: SocketAddress,
    ) {
        match event {
            ClientEvent::Interim(stream, head) => {
                spare.give(head);
                if let Some(state) = self.streams.get_mut(&stream) {
                    state.is_seen = true;
                }
            }
            ClientEvent::Head(stream, head, length) => {
                if let Some(state) = self.streams.get_mut(&stream) {
                    (state.is_seen, state.has_head) = (true, true);
                    state.head = Some((head, length));
                }
            }
            ClientEvent::Body(_) | ClientEvent::Opened(_) => {}
            ClientEvent::Reset(stream, code) => {
                let has_head = self.streams.get(&stream).is_some_and(|state| state.has_head);
                let error = if has_head && code == ErrorCode::REFUSED_STREAM {
                    half_answered(peer)
                } else {
                    ClientError::Reset { peer: peer.to_string(), code: code_name(code) }
                };
                self.fail(stream, error);
            }
            ClientEvent::Violated(stream, violation) => self.fail(stream, broken(peer, violation)),
            ClientEvent::GoAway(last, code, text) => {
                self.go_away(last, Leaving::new(code, &text), peer);
            }
        }
    }

    /// The server takes no further requests, and answers none of those on streams above one, but
    /// for those that it has answered already.
    fn go_away(&mut self, last: StreamId, leaving: Leaving, peer: SocketAddress) {
        let Self { machine, streams, .. } = self;
        let beyond = streams.range_mut(last.saturating_add(1)..);
        for (_, state) in beyond.filter(|(stream, _)| !machine.has_come(**stream)) {
            let error = match state.has_head {
                true => half_answered(peer),
                false => ClientError::NotDone {
                    peer: peer.to_string(),
                    code: code_name(leaving.code),
                    text: match leaving.text.as_str() {
                        "" => "it takes no further requests".to_owned(),
                        text => text.to_owned(),
                    },
                },
            };
            state.failed.get_or_insert(error);
        }
        self.leaving = Some(leaving);
    }

    fn fail(&mut self, stream: StreamId, error: ClientError) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.failed.get_or_insert(error);
        }
    }

    /// Says that the connection is over.
    pub(super) fn leave(&mut self) {
        if !self.is_over {
            self.machine.leave();
        }
    }

    fn growth(&self) -> Growth {
        Growth { most: self.limits.window, is_allowed: true }
    }

    pub(super) fn wants_round_trip(&self) -> bool {
        self.machine.wants_round_trip(self.growth())
    }

    pub(super) const fn set_round_trip(&mut self, time: Duration) {
        self.machine.set_round_trip(time);
    }

    /// Writes what may go out.
    pub(super) fn transmit(&mut self, now: Instant, room: usize, out: &mut impl Output) {
        let growth = self.growth();
        self.machine.transmit(room, (now, growth), &mut self.space, out);
    }
}

/// The server does not begin as one of HTTP/2 does.
fn foreign(peer: SocketAddress) -> ClientError {
    let reason = "it does not begin with SETTINGS".to_owned();
    ClientError::Http { peer: peer.to_string(), version: "HTTP/2", reason }
}

fn broken(peer: SocketAddress, violation: Violation) -> ClientError {
    let (peer, reason) = (peer.to_string(), violation.name().to_owned());
    ClientError::Http { peer, version: "HTTP/2", reason }
}

/// The server says that it has done nothing for a request that it has begun to answer: whether it
/// was carried out, nobody knows.
fn half_answered(peer: SocketAddress) -> ClientError {
    let reason = "it refused a request that it had begun to answer".to_owned();
    ClientError::Http { peer: peer.to_string(), version: "HTTP/2", reason }
}

/// The name of a code on the wire, or its number.
fn code_name(code: ErrorCode) -> String {
    match code.name() {
        "unknown" => format!("{:#x}", code.0),
        name => name.to_owned(),
    }
}
