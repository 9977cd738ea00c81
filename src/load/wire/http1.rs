//! HTTP/1.1: one request after the other.

use std::sync::Arc;
use std::time::Instant;

use super::raw::write_text;
use super::{End, RequestNumber, Wire, WireEvent, WireMemory, answered};
use crate::load::recorder::Failure;
use crate::mem::{Buf, Text};
use crate::proto::http::Method;
use crate::proto::http1::{Client, ClientError, ClientEvent};
use crate::session::Writer;

/// A request as it goes out, head and body.
#[derive(Debug, Clone)]
pub(in crate::load) struct Prepared {
    pub(in crate::load) method: Method,
    pub(in crate::load) bytes: Text,
}

#[derive(Debug)]
pub(in crate::load) struct Http1 {
    targets: Arc<[Prepared]>,
    machine: Client,
    /// The connection carries one request alone.
    is_single: bool,
    state: State,
    status: u16,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was said of the connection.
    New,
    Idle,
    Asked(RequestNumber),
    /// It carries no further request, which is to be told.
    Ending,
    /// That was told.
    Over,
}

impl Http1 {
    pub(in crate::load) fn new(targets: Arc<[Prepared]>, is_single: bool) -> Self {
        let machine = Client::default();
        Self { targets, machine, is_single, state: State::New, status: 0, end: None }
    }

    fn broken(&mut self, error: ClientError) -> WireEvent {
        self.state = State::Over;
        let (failure, reason) = match error {
            ClientError::LostBeforeHead => self.end.unwrap_or(End::Orderly).failure(),
            ClientError::LostInBody => {
                let (failure, _) = self.end.unwrap_or(End::Orderly).failure();
                (failure, "the connection ended within an answer".to_owned())
            }
            ClientError::Flooded => {
                (Failure::Protocol, "too many interim answers before one answer".to_owned())
            }
            ClientError::Refused(refusal) => {
                (Failure::Protocol, format!("the answer breaks a rule: {}", refusal.name()))
            }
        };
        WireEvent::Broken(failure, reason)
    }
}

impl Wire for Http1 {
    fn room(&self) -> usize {
        usize::from(self.state == State::Idle)
    }

    fn begin(
        &mut self,
        number: RequestNumber,
        target: usize,
        _memory: &mut WireMemory,
        out: &mut Writer<'_>,
    ) {
        let Some(prepared) = self.targets.get(target) else { return };
        self.state = State::Asked(number);
        self.machine.begin(prepared.method);
        self.machine.note_sent();
        write_text(&prepared.bytes, out);
    }

    fn receive(&mut self, buf: Buf) {
        self.machine.receive(buf);
    }

    fn end(&mut self, end: End) {
        self.end = Some(end);
        match end {
            End::Orderly => self.machine.receive_end(false),
            End::Cut => self.machine.receive_end(true),
            End::Reset => self.machine.receive_reset(),
        }
    }

    fn poll(
        &mut self,
        _now: Instant,
        memory: &mut WireMemory,
        _out: &mut Writer<'_>,
    ) -> Option<WireEvent> {
        let number = match self.state {
            State::New => {
                self.state = State::Idle;
                return Some(WireEvent::Open);
            }
            State::Idle if !self.machine.is_ready() => {
                self.state = State::Over;
                return Some(match self.end {
                    Some(end) => end.broken(),
                    None => {
                        let reason = "bytes came that nobody had asked for".to_owned();
                        WireEvent::Broken(Failure::Protocol, reason)
                    }
                });
            }
            State::Ending => {
                self.state = State::Over;
                return Some(WireEvent::Ended);
            }
            State::Idle | State::Over => return None,
            State::Asked(number) => number,
        };
        loop {
            match self.machine.poll_event(true, &mut memory.heads) {
                Ok(None) => return None,
                Ok(Some(ClientEvent::Interim(head))) => memory.heads.give(head),
                Ok(Some(ClientEvent::Head(head, _))) => {
                    self.status = head.status;
                    memory.heads.give(head);
                    return Some(WireEvent::FirstByte(number));
                }
                Ok(Some(ClientEvent::Body(_))) => {}
                Ok(Some(ClientEvent::Switched)) => {
                    self.state = State::Over;
                    let reason = "the server switched to another protocol".to_owned();
                    return Some(WireEvent::Broken(Failure::Protocol, reason));
                }
                Ok(Some(ClientEvent::End(_))) => {
                    let goes_on = self.machine.is_reusable() && !self.is_single;
                    self.state = if goes_on { State::Idle } else { State::Ending };
                    return Some(WireEvent::Done(number, answered(self.status)));
                }
                Err(error) => return Some(self.broken(error)),
            }
        }
    }
}
