//! The framed protocol: ECHO requests, many at a time.

use std::time::Instant;

use super::{Answered, End, RequestNumber, Wire, WireEvent, WireMemory};
use crate::load::recorder::Failure;
use crate::mem::{Buf, Text};
use crate::proto::frame::{Client, ClientEvent, ClientOptions, Command, parse_error};
use crate::proto::http1::Output;
use crate::session::Writer;

#[derive(Debug)]
pub(in crate::load) struct Frames {
    payload: Text,
    machine: Client<RequestNumber>,
    streams: usize,
    input: Vec<Buf>,
    /// What was read and not told.
    events: Vec<WireEvent>,
    end: Option<End>,
    is_over: bool,
}

impl Frames {
    pub(in crate::load) fn new(payload: Text, streams: usize) -> Self {
        let window = u16::try_from(streams).unwrap_or(u16::MAX).max(1);
        let machine = Client::new(ClientOptions { window, ..ClientOptions::default() });
        let (input, events) = (Vec::new(), Vec::new());
        Self { payload, machine, streams, input, events, end: None, is_over: false }
    }

    /// Reads all of what has come; what is told of it comes in reverse.
    fn read(&mut self) {
        for buf in std::mem::take(&mut self.input) {
            let mut rest = &buf[..];
            loop {
                match self.machine.next(&mut rest) {
                    Ok(None) => break,
                    Ok(Some(ClientEvent::Ready(_))) => self.events.push(WireEvent::Open),
                    Ok(Some(ClientEvent::Answer(answer))) => {
                        let Some(number) = answer.who.filter(|_| answer.last) else { continue };
                        let failure = (answer.command == Command::ERROR).then(|| {
                            let told = parse_error(answer.payload);
                            let reason = told.map_or_else(
                                |error| error.to_string(),
                                |(code, text)| format!("error {code:#04x}: {text}"),
                            );
                            (Failure::Status, reason)
                        });
                        let answered = Answered { status: None, failure };
                        self.events.push(WireEvent::FirstByte(number));
                        self.events.push(WireEvent::Done(number, answered));
                    }
                    Ok(Some(ClientEvent::GoAway(_))) => {
                        self.is_over = true;
                        let reason = "the server takes no further requests (GOAWAY)".to_owned();
                        self.events.push(WireEvent::Broken(Failure::Closed, reason));
                        break;
                    }
                    Err(error) => {
                        self.is_over = true;
                        self.events.push(WireEvent::Broken(Failure::Protocol, error.to_string()));
                        break;
                    }
                }
            }
        }
        self.events.reverse();
    }
}

impl Wire for Frames {
    fn greet(&mut self, _memory: &mut WireMemory, out: &mut Writer<'_>) {
        self.machine.hello(out.bytes());
    }

    fn room(&self) -> usize {
        let may = self.machine.can_begin() && self.end.is_none() && !self.is_over;
        if may { self.streams.saturating_sub(self.machine.open()) } else { 0 }
    }

    fn begin(
        &mut self,
        number: RequestNumber,
        _target: usize,
        _memory: &mut WireMemory,
        out: &mut Writer<'_>,
    ) {
        let begun = self.machine.begin(Command::ECHO, true, &self.payload, number, out.bytes());
        debug_assert!(begun.is_some(), "there was room");
    }

    fn receive(&mut self, buf: Buf) {
        self.input.push(buf);
    }

    fn end(&mut self, end: End) {
        self.end = Some(end);
    }

    fn poll(
        &mut self,
        _now: Instant,
        _memory: &mut WireMemory,
        _out: &mut Writer<'_>,
    ) -> Option<WireEvent> {
        if self.events.is_empty() && !self.input.is_empty() && !self.is_over {
            self.read();
        }
        if let Some(event) = self.events.pop() {
            return Some(event);
        }
        let end = self.end.filter(|_| !self.is_over)?;
        self.is_over = true;
        Some(end.broken())
    }
}
