//! WebSocket over HTTP/1.1: messages that come back, many at a time.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Answered, End, RequestNumber, Wire, WireEvent, WireMemory};
use crate::load::recorder::Failure;
use crate::mem::{Buf, Text};
use crate::proto::http::{Method, ResponseHead};
use crate::proto::http1::{HeadLimits, Output, ResponseReader};
use crate::proto::websocket::{
    CloseCode, Closing, Endpoint, Item, Limits, Opcode, Role, handshake, write,
};
use crate::service::cluster::random::next_random;
use crate::session::Writer;

/// Bytes of a message that is taken, at most.
const MESSAGE_MAX: u64 = 1 << 30;

/// What is sent on each connection.
#[derive(Debug, Clone)]
pub(in crate::load) struct Prepared {
    /// The request of the handshake, up to the value of `sec-websocket-key`, and what follows it.
    pub(in crate::load) before_key: Text,
    pub(in crate::load) behind_key: Text,
    pub(in crate::load) opcode: Opcode,
    pub(in crate::load) message: Text,
}

#[derive(Debug)]
pub(in crate::load) struct WebSocket {
    prepared: Prepared,
    streams: usize,
    state: State,
    endpoint: Endpoint,
    waiting: VecDeque<RequestNumber>,
    /// The first byte of the oldest one's answer has come.
    has_first: bool,
    input: VecDeque<Buf>,
    events: VecDeque<WireEvent>,
    random: u64,
    end: Option<End>,
}

#[derive(Debug)]
enum State {
    /// The handshake was sent with this key; what has come of its answer.
    Asked {
        key: String,
        head: Vec<u8>,
    },
    Open,
    Over,
}

impl WebSocket {
    pub(in crate::load) fn new(prepared: Prepared, streams: usize, random: u64) -> Self {
        Self {
            prepared,
            streams,
            state: State::Over,
            endpoint: Endpoint::new(Role::Client),
            waiting: VecDeque::new(),
            has_first: false,
            input: VecDeque::new(),
            events: VecDeque::new(),
            random,
            end: None,
        }
    }

    fn mask(&mut self) -> Option<[u8; 4]> {
        let [a, b, c, d, ..] = next_random(&mut self.random).to_be_bytes();
        Some([a, b, c, d])
    }

    fn break_with(&mut self, failure: Failure, reason: String) {
        self.state = State::Over;
        self.events.push_back(WireEvent::Broken(failure, reason));
    }

    /// Looks at the answer to the handshake.
    fn shake_hands(&mut self) {
        let State::Asked { key, head } = &mut self.state else { return };
        while let Some(buf) = self.input.pop_front() {
            head.extend_from_slice(&buf);
        }
        let mut response = ResponseHead::default();
        let limits = HeadLimits::default();
        let read = ResponseReader::default().read(head, Method::Get, &limits, &mut response);
        let meta = match read {
            Ok(Some(meta)) => meta,
            Ok(None) => return,
            Err(refusal) => {
                let reason = format!("the answer breaks a rule: {}", refusal.name());
                return self.break_with(Failure::Protocol, reason);
            }
        };
        if response.status != 101 {
            let reason = format!("the handshake was answered with status {}", response.status);
            return self.break_with(Failure::Status, reason);
        }
        let accept = handshake::only(&response.fields, handshake::ACCEPT);
        if accept != Some(&handshake::accept(key.as_bytes())) {
            let reason = "the handshake's sec-websocket-accept is wrong".to_owned();
            return self.break_with(Failure::Protocol, reason);
        }
        let rest = head.split_off(meta.len);
        self.state = State::Open;
        self.events.push_back(WireEvent::Open);
        if !rest.is_empty() {
            self.input.push_front(Buf::from(rest));
        }
    }

    /// Reads the frames that have come.
    fn read(&mut self, out: &mut Writer<'_>) {
        let limits = Limits { frame: MESSAGE_MAX, message: MESSAGE_MAX, deflate: false };
        while let (State::Open, Some(mut buf)) = (&self.state, self.input.pop_front()) {
            while !buf.is_empty() {
                let mask = self.mask();
                let read = match buf.alone() {
                    Some(bytes) => self.endpoint.read(bytes, &limits),
                    None => {
                        buf = Buf::from(buf.to_vec());
                        continue;
                    }
                };
                let (count, item) = match read {
                    Ok(read) => read,
                    Err(violation) => {
                        let reason = format!("the server breaks a rule: {violation}");
                        return self.break_with(Failure::Protocol, reason);
                    }
                };
                buf.advance(count);
                let Some(item) = item else { break };
                self.endpoint.answer(&item, mask, out.bytes());
                self.take(&item);
            }
            if self.endpoint.closing() == Closing::Done {
                let code = self.endpoint.code().unwrap_or(CloseCode::NO_STATUS);
                return self.break_with(Failure::Closed, format!("the server closed with {code}"));
            }
        }
    }

    fn take(&mut self, item: &Item) {
        let Item::Part(part) = item else { return };
        let Some(number) = self.waiting.front().copied() else { return };
        if !std::mem::replace(&mut self.has_first, true) {
            self.events.push_back(WireEvent::FirstByte(number));
        }
        if part.last && part.left == 0 {
            self.has_first = false;
            self.waiting.pop_front();
            self.events.push_back(WireEvent::Done(number, Answered::default()));
        }
    }
}

impl Wire for WebSocket {
    fn greet(&mut self, _memory: &mut WireMemory, out: &mut Writer<'_>) {
        let [a, b] = [(); 2].map(|()| next_random(&mut self.random));
        let key = handshake::key((u128::from(a) << 64 | u128::from(b)).to_be_bytes());
        let bytes = out.bytes();
        bytes.extend_from_slice(&self.prepared.before_key);
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(&self.prepared.behind_key);
        self.state = State::Asked { key, head: Vec::new() };
    }

    fn room(&self) -> usize {
        let is_open = matches!(self.state, State::Open) && self.end.is_none();
        if is_open { self.streams.saturating_sub(self.waiting.len()) } else { 0 }
    }

    fn begin(
        &mut self,
        number: RequestNumber,
        _target: usize,
        _memory: &mut WireMemory,
        out: &mut Writer<'_>,
    ) {
        let mask = self.mask();
        let Prepared { opcode, message, .. } = &self.prepared;
        write::frame(*opcode, (true, false), message, mask, out.bytes());
        self.waiting.push_back(number);
    }

    fn receive(&mut self, buf: Buf) {
        self.input.push_back(buf);
    }

    fn end(&mut self, end: End) {
        self.end = Some(end);
    }

    fn poll(
        &mut self,
        _now: Instant,
        _memory: &mut WireMemory,
        out: &mut Writer<'_>,
    ) -> Option<WireEvent> {
        if self.events.is_empty() {
            if !self.input.is_empty() {
                self.shake_hands();
            }
            self.read(out);
        }
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let end = self.end.filter(|_| !matches!(self.state, State::Over))?;
        self.state = State::Over;
        Some(end.broken())
    }
}
