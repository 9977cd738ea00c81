//! A connection whose handshake is done: a socket, and the frames on it.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::compression::Compression;
use super::mask::Masks;
use super::message::{WebSocketClose, WebSocketEvent, WebSocketMessage};
use super::options::WebSocketOptions;
use super::vigil::{Due, Vigil};
use crate::client::ClientError;
use crate::client::deadline::Deadline;
use crate::client::error::Waiting;
use crate::client::line::Line;
use crate::net::tls::{Info, Session};
use crate::proto::websocket::extension::Parameters;
use crate::proto::websocket::{
    CONTROL_MAX, CloseCode, Closing, Control, Endpoint, Item, Kind, Limits, Opcode, Part, Role,
    Violation, write,
};

/// How long the end of a connection is waited for that is closed.
const END_MAX: Duration = Duration::from_secs(1);
/// Pings whose pongs are told from others; older ones are forgotten.
const PINGS_MAX: usize = 16;

/// Pings of the server that wait for their pongs, at most 8 KiB of payloads. Beyond that a new one
/// replaces the latest: only the most recent ping has to be answered (RFC 6455, section 5.5.3).
const OWED_MAX: usize = 64;

/// No descriptor is watched.
pub(super) const NO_INPUT: Option<&std::fs::File> = None;

/// A connection, and what has come of it.
#[derive(Debug)]
pub(super) struct Connection {
    line: Line,
    endpoint: Endpoint,
    limits: Limits,
    masks: Masks,
    compression: Option<Compression>,
    vigil: Vigil,
    /// What has come; the bytes before `at` are read.
    input: Vec<u8>,
    at: usize,
    /// A message of which more has to come.
    message: Vec<u8>,
    /// What has come and was not taken, and what that costs.
    events: VecDeque<WebSocketEvent>,
    kept: usize,
    kept_max: usize,
    /// Pings of the server that are not answered yet, at most [`OWED_MAX`] of them.
    owed: VecDeque<Control>,
    pings: VecDeque<Ping>,
    /// Keep-alive pings so far.
    ping_count: u64,
    tell_control: bool,
    close_timeout: Duration,
    /// Until when the server may answer our close frame.
    close_until: Option<Deadline>,
    closed: Option<WebSocketClose>,
    failed: Option<ClientError>,
}

#[derive(Debug)]
struct Ping {
    payload: Vec<u8>,
    sent: Instant,
    is_own: bool,
}

impl Connection {
    pub(super) fn new(
        line: Line,
        rest: Vec<u8>,
        deflate: Option<Parameters>,
        options: &WebSocketOptions,
    ) -> Self {
        let limits = Limits {
            frame: options.frame_max as u64,
            message: options.message_max as u64,
            deflate: deflate.is_some(),
        };
        Self {
            line,
            endpoint: Endpoint::new(Role::Client),
            limits,
            masks: Masks::new(),
            compression: deflate.map(Compression::new),
            vigil: Vigil::new(options),
            input: rest,
            at: 0,
            message: Vec::new(),
            events: VecDeque::new(),
            kept: 0,
            kept_max: options.message_max,
            owed: VecDeque::new(),
            pings: VecDeque::new(),
            ping_count: 0,
            tell_control: options.tell_control,
            close_timeout: options.close_timeout,
            close_until: None,
            closed: None,
            failed: None,
        }
    }

    pub(super) fn peer(&self) -> String {
        self.line.peer().to_string()
    }

    pub(super) fn tls(&self) -> Option<Info> {
        self.line.tls().and_then(Session::info)
    }

    pub(super) const fn closing(&self) -> Closing {
        self.endpoint.closing()
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    pub(super) fn late(&self, op: Waiting, after: Duration) -> ClientError {
        self.line.late(op, after)
    }

    pub(super) fn unwatch(&mut self) -> Result<(), ClientError> {
        self.line.unwatch()
    }

    /// Bytes of what has come and was not taken.
    #[cfg(test)]
    pub(super) const fn kept(&self) -> usize {
        self.kept
    }

    /// Pings that were not answered yet.
    #[cfg(test)]
    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// Refuses what cannot be sent any more.
    fn check_open(&self) -> Result<(), ClientError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.closing() == Closing::Open {
            return self.line.check_send();
        }
        let code = self.endpoint.code().unwrap_or(CloseCode::NO_STATUS);
        Err(ClientError::AfterClose { peer: self.peer(), code })
    }

    /// Queues a message as one frame.
    pub(super) fn queue(&mut self, opcode: Opcode, payload: &[u8]) -> Result<(), ClientError> {
        self.check_open()?;
        let mask = Some(self.masks.next()?);
        let deflated = self.compression.as_mut().and_then(|one| one.deflate(payload));
        let (bytes, is_compressed) = (deflated.as_deref().unwrap_or(payload), deflated.is_some());
        let mut out = Vec::new();
        write::frame(opcode, (true, is_compressed), bytes, mask, &mut out);
        self.line.queue(&out);
        Ok(())
    }

    /// Queues a ping. Its pong is told to the program if it `is_own`.
    pub(super) fn ping(&mut self, payload: &[u8], is_own: bool) -> Result<(), ClientError> {
        self.check_open()?;
        if payload.len() > CONTROL_MAX {
            let reason = format!("a ping has {} bytes, and at most {CONTROL_MAX}", payload.len());
            return Err(ClientError::Request { reason });
        }
        let mut out = Vec::new();
        write::control(Opcode::Ping, payload, Some(self.masks.next()?), &mut out);
        self.line.queue(&out);
        if self.pings.len() >= PINGS_MAX {
            self.pings.pop_front();
        }
        let (payload, sent) = (payload.to_vec(), self.line.now());
        self.pings.push_back(Ping { payload, sent, is_own });
        self.vigil.has_pinged();
        Ok(())
    }

    /// Queues a close frame.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), ClientError> {
        let wrong = |reason| Err(ClientError::Request { reason });
        if !code.is_valid() {
            return wrong(format!("{code} is no close code that can be sent"));
        }
        if reason.len() > CONTROL_MAX - 2 {
            let len = reason.len();
            return wrong(format!("the reason of a close has {len} bytes, and at most 123"));
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.closing() == Closing::Open {
            self.answer(true)?;
            self.say_close(code, reason)?;
            self.close_until = Some(Deadline::new(self.close_timeout));
        }
        Ok(())
    }

    fn say_close(&mut self, code: CloseCode, reason: &str) -> Result<(), ClientError> {
        let mut out = Vec::new();
        self.endpoint.close(code, reason, Some(self.masks.next()?), &mut out);
        self.line.queue(&out);
        Ok(())
    }

    /// Sends what is queued. What comes meanwhile is kept, as far as there is room for it.
    pub(super) fn drain(&mut self, deadline: Deadline) -> Result<(), ClientError> {
        loop {
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            self.line.check_send()?;
            if self.line.is_drained() {
                return Ok(());
            }
            let has_room = self.kept < self.kept_max && self.closed.is_none();
            if !(has_room && self.step()?) {
                if deadline.is_over() {
                    return Err(self.line.late(Waiting::Send, deadline.patience));
                }
                self.turn(NO_INPUT, deadline)?;
            }
        }
    }

    /// Waits for an event.
    pub(super) fn wait(
        &mut self,
        input: Option<&impl AsFd>,
        patience: Duration,
    ) -> Result<WebSocketEvent, ClientError> {
        let deadline = Deadline::new(patience);
        let mut has_looked = false;
        loop {
            if let Some(event) = self.events.pop_front() {
                self.kept = self.kept.saturating_sub(event.cost());
                return Ok(event);
            }
            if let Some(close) = &self.closed {
                return Ok(WebSocketEvent::Closed(close.clone()));
            }
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            if input.is_some() && self.line.take_input() {
                return Ok(WebSocketEvent::Input);
            }
            if self.step()? {
                continue;
            }
            if let Some(close) = self.close_until.filter(|close| close.is_over() && has_looked) {
                let error = self.line.late(Waiting::Close, close.patience);
                return Err(self.fail(error));
            }
            if deadline.is_over() && has_looked {
                return Err(self.line.late(Waiting::Message, patience));
            }
            let deadline = self.close_until.map_or(deadline, |close| close.min(deadline));
            // What has come in time is taken, once.
            has_looked = deadline.is_over();
            self.turn(input, deadline)?;
        }
    }

    /// Waits until something happens, and does what is due.
    fn turn(&mut self, input: Option<&impl AsFd>, deadline: Deadline) -> Result<(), ClientError> {
        self.vigil.set_within_message(self.endpoint.is_within_message());
        let begun = self.line.now();
        let due_at = self.vigil.next().and_then(|(time, _)| begun.checked_add(time));
        let until = [deadline.until, due_at].into_iter().flatten().min();
        self.line.receive();
        if let Some(input) = input.filter(|_| self.line.is_drained()) {
            self.line.watch(input);
        }
        self.line.turn(until)?;
        let waited = self.line.now().saturating_duration_since(begun);
        self.vigil.waited(waited);
        let has_news =
            self.line.has_bytes() || self.line.is_ended() || self.line.check_receive().is_err();
        match self.vigil.next() {
            Some((Duration::ZERO, Due::Pong | Due::Idle)) if has_news => Ok(()),
            Some((Duration::ZERO, due)) => self.work(due),
            Some(_) | None => Ok(()),
        }
    }

    /// Does what is due.
    fn work(&mut self, due: Due) -> Result<(), ClientError> {
        let (op, after) = match due {
            Due::Ping if self.check_open().is_ok() => {
                self.ping_count += 1;
                return self.ping(&self.ping_count.to_be_bytes(), false);
            }
            Due::Ping => {
                self.vigil.skip_ping();
                return Ok(());
            }
            Due::Pong => (Waiting::Pong, self.vigil.pong_timeout()),
            Due::Idle => (Waiting::Any, self.vigil.idle_timeout()),
            Due::Message => (Waiting::Message, self.vigil.message_timeout()),
        };
        let error = self.line.late(op, after);
        Err(self.fail(error))
    }

    /// The connection is of no more use.
    fn fail(&mut self, error: ClientError) -> ClientError {
        self.failed.get_or_insert(error).clone()
    }

    /// Reads one thing that has come; false when more has to come first.
    fn step(&mut self) -> Result<bool, ClientError> {
        if self.at >= self.input.len() && !self.refill()? {
            self.answer(false)?;
            return Ok(false);
        }
        let unread = self.input.get_mut(self.at..).unwrap_or_default();
        let (count, item) = match self.endpoint.read(unread, &self.limits) {
            Ok(read) => read,
            Err(violation) => return Err(self.refuse(violation)),
        };
        let from = self.at;
        self.at += count;
        match item {
            None => {}
            Some(Item::Part(part)) => self.take_part(&part, from)?,
            Some(Item::Ping(payload)) => {
                if self.tell_control {
                    self.push(WebSocketEvent::Ping(payload.bytes().to_vec()));
                }
                if self.owed.len() >= OWED_MAX {
                    self.owed.pop_back();
                }
                self.owed.push_back(payload);
                self.answer(false)?;
            }
            Some(Item::Pong(payload)) => self.take_pong(payload.bytes()),
            Some(item @ Item::Close(..)) => self.take_close(&item)?,
        }
        Ok(true)
    }

    /// Takes the next bytes from the socket; false when there are none.
    fn refill(&mut self) -> Result<bool, ClientError> {
        if let Some(bytes) = self.line.take() {
            self.vigil.received(bytes.len());
            self.input.clear();
            self.input.extend_from_slice(&bytes);
            self.at = 0;
            return Ok(true);
        }
        let error = if let Err(error) = self.line.check_receive() {
            error
        } else if self.line.is_cut() {
            ClientError::Cut { peer: self.peer() }
        } else if self.line.is_ended() {
            ClientError::Unclosed { peer: self.peer() }
        } else {
            return Ok(false);
        };
        Err(self.fail(error))
    }

    fn push(&mut self, event: WebSocketEvent) {
        self.kept += event.cost();
        self.events.push_back(event);
    }

    /// Answers the pings, once what was queued before is sent, or before nothing can be sent any
    /// more.
    fn answer(&mut self, is_last: bool) -> Result<(), ClientError> {
        let can_send = self.line.check_send().is_ok() && (is_last || self.line.is_drained());
        if self.owed.is_empty() || !can_send {
            return Ok(());
        }
        let mut out = Vec::new();
        for ping in std::mem::take(&mut self.owed) {
            self.endpoint.answer(&Item::Ping(ping), Some(self.masks.next()?), &mut out);
        }
        self.line.queue(&out);
        Ok(())
    }

    fn take_part(&mut self, part: &Part, from: usize) -> Result<(), ClientError> {
        let payload = part.payload.start + from..part.payload.end + from;
        self.message.extend_from_slice(self.input.get(payload).unwrap_or_default());
        if !part.last {
            return Ok(());
        }
        let mut bytes = std::mem::take(&mut self.message);
        if let Some(compression) = self.compression.as_mut().filter(|_| part.compressed) {
            bytes = match compression.inflate(&bytes, self.kept_max) {
                Ok(bytes) => bytes,
                Err(violation) => return Err(self.refuse(violation)),
            };
        }
        let message = match part.kind {
            Kind::Binary => WebSocketMessage::Binary(bytes),
            Kind::Text => match String::from_utf8(bytes) {
                Ok(text) => WebSocketMessage::Text(text),
                Err(_) => return Err(self.refuse(Violation::Utf8)),
            },
        };
        self.push(WebSocketEvent::Message(message));
        Ok(())
    }

    fn take_pong(&mut self, payload: &[u8]) {
        let place = self.pings.iter().position(|ping| ping.payload == payload);
        let ping = place.and_then(|place| self.pings.drain(..=place).next_back());
        if ping.is_some() {
            self.vigil.has_answer();
        }
        let is_own = ping.as_ref().is_some_and(|ping| ping.is_own);
        if is_own || self.tell_control {
            let now = self.line.now();
            let round_trip = ping.map(|ping| now.saturating_duration_since(ping.sent));
            self.push(WebSocketEvent::Pong { payload: payload.to_vec(), round_trip });
        }
    }

    /// The server has closed: it is answered, and the end of the connection waited for.
    fn take_close(&mut self, item: &Item) -> Result<(), ClientError> {
        let Item::Close(code, payload) = item else { return Ok(()) };
        let mut out = Vec::new();
        self.endpoint.answer(item, Some(self.masks.next()?), &mut out);
        self.line.queue(&out);
        let reason = payload.bytes().get(2..).unwrap_or_default();
        let reason = String::from_utf8_lossy(reason).into_owned();
        self.closed = Some(WebSocketClose { code: *code, reason });
        self.close_until = None;
        self.end();
        Ok(())
    }

    /// The server has broken a rule: it is told.
    fn refuse(&mut self, violation: Violation) -> ClientError {
        let error = ClientError::WebSocket { peer: self.peer(), violation };
        // Best effort: the end of the connection says that it is over.
        let _unsaid = self.say_close(violation.code(), &violation.to_string());
        let until = Deadline::new(END_MAX.min(self.close_timeout));
        if self.line.drain(until.until, until.patience).is_ok() {
            let _gone = self.line.shutdown();
            self.end();
        }
        self.fail(error)
    }

    /// Sends what is queued, and waits for the server to end the connection, as it has to (RFC
    /// 6455, section 7.1.1): for a second at most. A socket that is closed with unread bytes would
    /// be reset, and the close frame perhaps lost.
    fn end(&mut self) {
        let until = Deadline::new(END_MAX.min(self.close_timeout)).until;
        while !self.line.is_ended() && self.line.check_receive().is_ok() {
            while self.line.take().is_some() {}
            self.line.receive();
            if self.line.is_over(until) || self.line.turn(until).is_err() {
                return;
            }
        }
    }
}

impl Drop for Connection {
    /// Says that it goes away, as far as the socket takes that at once.
    fn drop(&mut self) {
        if self.failed.is_none() && self.closing() == Closing::Open {
            let _unsaid = self.say_close(CloseCode::GOING_AWAY, "");
            let now = self.line.now();
            let _failed = self.line.turn(Some(now));
        }
    }
}
