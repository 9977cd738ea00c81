//! HTTP/2: many requests side by side; and the calls of gRPC on it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{Answered, End, RequestNumber, Wire, WireEvent, WireMemory, answered};
use crate::load::recorder::Failure;
use crate::mem::{Buf, Text};
use crate::proto::http::{Fields, RequestHead};
use crate::proto::http2::{Client, ClientEvent, ErrorCode, Growth, Limits, RequestLine, StreamId};
use crate::service::grpc::{self, Code};
use crate::session::Writer;

/// Bytes of bodies that are written in one turn.
const TURN_MAX: usize = 256 * 1024;
/// Bytes of an answer that the server may send before it is told that they were read.
const WINDOW: u32 = 1 << 20;

/// A request, as each connection sends it.
#[derive(Debug, Clone)]
pub(in crate::load) struct Prepared {
    pub(in crate::load) head: Arc<RequestHead>,
    pub(in crate::load) path: String,
    pub(in crate::load) authority: String,
    pub(in crate::load) scheme: &'static str,
    pub(in crate::load) body: Option<Text>,
    /// It is a call of gRPC, whose status comes behind the answer.
    pub(in crate::load) is_call: bool,
}

#[derive(Debug)]
pub(in crate::load) struct Http2 {
    targets: Arc<[Prepared]>,
    machine: Client,
    limits: Limits,
    streams: usize,
    asked: VecDeque<Asked>,
    events: VecDeque<WireEvent>,
    is_open: bool,
    end: Option<End>,
    is_over: bool,
}

/// A request that waits.
#[derive(Debug)]
struct Asked {
    stream: StreamId,
    number: RequestNumber,
    status: u16,
    /// The status of a call, if its head has it: there is nothing else.
    code: Option<Code>,
    is_call: bool,
}

impl Http2 {
    pub(in crate::load) fn new(targets: Arc<[Prepared]>, streams: usize) -> Self {
        let limits = Limits { window: WINDOW, ..Limits::default() };
        Self {
            targets,
            machine: Client::new(&limits),
            limits,
            streams,
            asked: VecDeque::new(),
            events: VecDeque::new(),
            is_open: false,
            end: None,
            is_over: false,
        }
    }

    const fn growth(&self) -> Growth {
        Growth { most: self.limits.window, is_allowed: true }
    }

    fn place(&self, stream: StreamId) -> Option<usize> {
        self.asked.iter().position(|asked| asked.stream == stream)
    }

    fn break_with(&mut self, failure: Failure, reason: String) {
        self.is_over = true;
        self.events.push_back(WireEvent::Broken(failure, reason));
    }

    fn take_event(&mut self, event: ClientEvent, memory: &mut WireMemory) {
        match event {
            ClientEvent::Interim(_, head) => memory.heads.give(head),
            ClientEvent::Head(stream, head, _) => {
                let (status, fields) = (head.status, &head.fields);
                if let Some(asked) = self.asked.iter_mut().find(|asked| asked.stream == stream) {
                    asked.status = status;
                    asked.code = if asked.is_call { grpc::status_of(fields) } else { None };
                    self.events.push_back(WireEvent::FirstByte(asked.number));
                }
                memory.heads.give(head);
                self.read_body(stream, memory);
            }
            ClientEvent::Body(stream) => self.read_body(stream, memory),
            ClientEvent::Reset(stream, code) => {
                let reason = format!("the server reset the stream ({})", code.name());
                self.fail(stream, Failure::Reset, reason);
            }
            ClientEvent::Violated(stream, violation) => {
                let reason = format!("the answer breaks a rule: {}", violation.name());
                self.fail(stream, Failure::Protocol, reason);
            }
            ClientEvent::GoAway(last, code, text) => {
                let text = String::from_utf8_lossy(&text).escape_debug().to_string();
                let lost: Vec<_> =
                    self.asked.iter().map(|one| one.stream).filter(|one| *one > last).collect();
                for stream in lost {
                    let reason = format!("the server goes away ({} {text})", code.name());
                    self.fail(stream, Failure::Closed, reason);
                }
                if self.asked.is_empty() {
                    let reason = format!("the server goes away ({} {text})", code.name());
                    self.break_with(Failure::Closed, reason);
                }
            }
            ClientEvent::Opened(_) => {}
        }
    }

    fn fail(&mut self, stream: StreamId, failure: Failure, reason: String) {
        let Some(asked) = self.place(stream).and_then(|place| self.asked.remove(place)) else {
            return;
        };
        let answered = Answered { status: None, failure: Some((failure, reason)) };
        self.events.push_back(WireEvent::Done(asked.number, answered));
    }

    /// Drops what has come of a body; the answer may be whole with it.
    fn read_body(&mut self, stream: StreamId, memory: &mut WireMemory) {
        while self.machine.next_of_body(stream).is_some() {}
        if !self.machine.is_body_read(stream) {
            return;
        }
        let trailers = self.machine.take_trailers_of(stream);
        self.machine.end(stream, &mut memory.space);
        if let Some(asked) = self.place(stream).and_then(|place| self.asked.remove(place)) {
            let answered = asked.answered(trailers.as_deref());
            self.events.push_back(WireEvent::Done(asked.number, answered));
        }
        if self.asked.is_empty() && self.machine.is_spent() && !self.is_over {
            self.break_with(Failure::Closed, "the server goes away".to_owned());
        }
    }
}

impl Asked {
    fn answered(&self, trailers: Option<&Fields>) -> Answered {
        if !self.is_call || self.status != 200 {
            return answered(self.status);
        }
        let code = self.code.or_else(|| trailers.and_then(grpc::status_of));
        let failure = match code {
            Some(Code::Ok) => None,
            Some(code) => Some(format!("the call ended with {}", code.name())),
            None => Some("the call ended without a status".to_owned()),
        };
        let failure = failure.map(|reason| (Failure::Status, reason));
        Answered { status: Some(self.status), failure }
    }
}

impl Wire for Http2 {
    fn room(&self) -> usize {
        let may = self.is_open && !self.is_over && self.end.is_none() && self.machine.can_open();
        if may { self.streams.saturating_sub(self.asked.len()) } else { 0 }
    }

    fn begin(
        &mut self,
        number: RequestNumber,
        target: usize,
        memory: &mut WireMemory,
        out: &mut Writer<'_>,
    ) {
        let Some(prepared) = self.targets.get(target) else { return };
        let line = RequestLine {
            head: &prepared.head,
            path: &prepared.path,
            authority: &prepared.authority,
            scheme: prepared.scheme,
            length: prepared
                .body
                .as_ref()
                .filter(|_| !prepared.is_call)
                .map(|body| body.len() as u64),
            websocket: false,
        };
        let stream = self.machine.open(&line, prepared.body.is_none(), &mut memory.space, out);
        if let Some(body) = &prepared.body {
            self.machine.send_part(stream, Buf::text(body));
            self.machine.send_end(stream, None);
        }
        let is_call = prepared.is_call;
        self.asked.push_back(Asked { stream, number, status: 0, code: None, is_call });
    }

    fn receive(&mut self, buf: Buf) {
        self.machine.receive(buf);
    }

    fn end(&mut self, end: End) {
        self.end = Some(end);
        self.machine.receive_end();
    }

    fn poll(
        &mut self,
        now: Instant,
        memory: &mut WireMemory,
        _out: &mut Writer<'_>,
    ) -> Option<WireEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            let polled = self.machine.poll(now, &self.limits, &mut memory.space, &mut memory.heads);
            if self.machine.is_greeted() && !std::mem::replace(&mut self.is_open, true) {
                self.events.push_back(WireEvent::Open);
            }
            match polled {
                Ok(Some(event)) => self.take_event(event, memory),
                Ok(None) if !self.events.is_empty() => {}
                Ok(None) => {
                    let (failure, reason) = self.end?.failure();
                    self.break_with(failure, reason);
                }
                Err(violation) => {
                    self.machine.fail(violation);
                    let reason = if self.is_open {
                        format!("the server breaks a rule of HTTP/2: {}", violation.name())
                    } else {
                        "what answers does not speak HTTP/2".to_owned()
                    };
                    self.break_with(Failure::Protocol, reason);
                }
            }
        }
    }

    fn give_up(&mut self, number: RequestNumber, memory: &mut WireMemory) -> bool {
        if let Some(place) = self.asked.iter().position(|asked| asked.number == number)
            && let Some(asked) = self.asked.remove(place)
        {
            self.machine.reset(asked.stream, ErrorCode::CANCEL, &mut memory.space);
        }
        true
    }

    fn finish(&mut self, now: Instant, memory: &mut WireMemory, out: &mut Writer<'_>) {
        let at = (now, self.growth());
        let _sent = self.machine.transmit(TURN_MAX, at, &mut memory.space, out);
        self.machine.hold();
    }
}
