//! Exchanges of the framed protocol: one at a time, or many that overtake each other.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::connect::{self, Kind};
use super::error::{Waiting, code_name};
use super::line::Line;
use super::patience::Patience;
use super::pending::{PendingRequests, Sink};
use super::{ClientError, ConnectOptions, Target};
use crate::mem::Key;
use crate::proto::frame::{
    Client, ClientEvent, ClientOptions, Command, Features, NAME_MAX, Ready, Version,
    message as message_payload, parse_message,
};
use crate::ring::SocketAddress;

/// Requests that are open at a time, unless the caller says otherwise.
const WINDOW: u16 = 256;
/// The most bytes that are collected, unless the caller says otherwise.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// How a client of the framed protocol is made.
#[derive(Debug, Clone)]
pub struct FrameOptions {
    /// How to connect; its deadline covers the agreement on a version, too.
    pub connect: ConnectOptions,
    /// The highest version to offer.
    pub highest: Version,
    /// Exchanges that may be open; the server may allow fewer.
    pub window: u16,
    /// The most bytes of answers in DATA frames that are collected and not taken, of all exchanges
    /// together. What is given out as it comes ([`Frame::get`]) does not count.
    pub answer_max: usize,
}

impl Default for FrameOptions {
    fn default() -> Self {
        Self {
            connect: ConnectOptions::default(),
            highest: Version::HIGHEST,
            window: WINDOW,
            answer_max: ANSWER_MAX,
        }
    }
}

/// An exchange that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExchangeId(Key);

/// A connection of the framed protocol. Dropping it closes it.
///
/// Calling order of many exchanges at once: [`Frame::begin`] each, then [`Frame::finish`] for a
/// certain one or [`Frame::next_answer`] for whichever is answered next. Requests leave together,
/// with the next of those waits or with [`Frame::flush`]. An exchange whose deadline has passed is
/// given up alone: its late answer is passed over, and the connection goes on. (Its place in the
/// window is free when that answer has come.)
#[derive(Debug)]
pub struct Frame {
    line: Line,
    machine: Client<Key>,
    ready: Option<Ready>,
    book: PendingRequests,
    /// Requests that have not left.
    out: Vec<u8>,
    lost: Vec<Key>,
    /// Why no exchange can begin any more.
    over: Option<ClientError>,
    /// Nothing that comes can be read any more.
    dead: bool,
}

impl Frame {
    /// Connects, and agrees on a version.
    ///
    /// # Errors
    /// As of [`Tcp::connect`](super::Tcp::connect), and when the server does not agree.
    pub fn connect(target: &Target, options: &FrameOptions) -> Result<Self, ClientError> {
        let mut line = connect::connect(target, Kind::Stream, &options.connect)?;
        let patience = options.connect.deadline;
        let until = line.until(patience);
        let mut machine = Client::new(ClientOptions {
            highest: options.highest,
            window: options.window,
            features: Features::REQUESTS,
            ..ClientOptions::default()
        });
        let mut out = Vec::new();
        machine.hello(&mut out);
        let book = PendingRequests::new(line.peer(), options.window, options.answer_max);
        let mut this = Self {
            line,
            machine,
            ready: None,
            book,
            out,
            lost: Vec::new(),
            over: None,
            dead: false,
        };
        while this.ready.is_none() {
            if let Some(error) = this.over {
                return Err(error);
            }
            if this.line.is_over(until) {
                return Err(this.line.late(Waiting::Hello, patience));
            }
            this.wait(until, &mut None)?;
        }
        Ok(this)
    }

    /// The address at the other end.
    #[must_use]
    pub const fn peer(&self) -> SocketAddress {
        self.line.peer()
    }

    /// What was agreed on.
    ///
    /// # Panics
    /// Never: a client that has not agreed is not given out.
    #[must_use]
    pub const fn ready(&self) -> Ready {
        self.ready.expect("agreed while connecting")
    }

    /// One exchange: the answer's payload, or those of its DATA frames joined.
    ///
    /// # Errors
    /// What the peer refused, the network, or that the time is over.
    pub fn call(
        &mut self,
        command: Command,
        payload: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        let exchange = self.begin(command, payload)?;
        self.finish(exchange, deadline)
    }

    /// Asks for a sign of life; how long that took.
    ///
    /// # Errors
    /// As of [`Frame::call`].
    pub fn ping(&mut self, deadline: Duration) -> Result<Duration, ClientError> {
        let start = self.line.now();
        let answer = self.call(Command::PING, b"", deadline)?;
        self.check_same(b"", &answer)?;
        Ok(self.line.now() - start)
    }

    /// The same, unless `wake` can be read before: nothing then.
    ///
    /// # Errors
    /// As of [`Frame::call`].
    pub fn ping_unless(
        &mut self,
        wake: &impl AsFd,
        deadline: Duration,
    ) -> Result<Option<Duration>, ClientError> {
        let start = self.line.now();
        let until = self.line.until(deadline);
        let ExchangeId(key) = self.begin(Command::PING, b"")?;
        loop {
            if let Some(result) = self.book.take(key) {
                self.check_same(b"", &result?)?;
                return Ok(Some(self.line.now() - start));
            }
            if self.line.take_input() {
                self.give_up(key, deadline);
                return Ok(None);
            }
            if self.line.is_over(until) {
                return Err(self.give_up(key, deadline));
            }
            self.line.watch(wake);
            self.wait(until, &mut None)?;
        }
    }

    /// Has the peer send `payload` back.
    ///
    /// # Errors
    /// As of [`Frame::call`].
    pub fn echo(&mut self, payload: &[u8], deadline: Duration) -> Result<Vec<u8>, ClientError> {
        let answer = self.call(Command::ECHO, payload, deadline)?;
        self.check_same(payload, &answer)?;
        Ok(answer)
    }

    /// Whether the answer is what was sent, as it must be.
    fn check_same(&self, sent: &[u8], answer: &[u8]) -> Result<(), ClientError> {
        if sent == answer {
            return Ok(());
        }
        let (sent, answer) = (sent.len(), answer.len());
        let reason = format!("{answer} bytes that are not the {sent} which were to be sent back");
        Err(ClientError::Message { peer: self.line.peer().to_string(), reason })
    }

    /// Sends a message of a type: what the answering message carries.
    ///
    /// # Errors
    /// As of [`Frame::call`].
    pub fn message(
        &mut self,
        kind: &str,
        payload: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        check_name(kind)?;
        let answer = self.call(Command::MESSAGE, &message_payload(kind, payload), deadline)?;
        match parse_message(&answer) {
            Ok((_, carried)) => Ok(carried.to_vec()),
            Err(error) => {
                let peer = self.line.peer().to_string();
                Err(ClientError::Message { peer, reason: error.to_string() })
            }
        }
    }

    /// The server's counters, as it writes them.
    ///
    /// # Errors
    /// As of [`Frame::call`].
    pub fn stats(&mut self, deadline: Duration) -> Result<Vec<u8>, ClientError> {
        self.call(Command::STATS, b"", deadline)
    }

    /// Has the peer send what it has under `name`, and gives it to `take` in parts, as they come;
    /// how many bytes it was. Only after this has returned without an error are the parts known to
    /// be whole. The peer may be silent for `silence`, and must bring 1 KiB a second after a first
    /// `silence`, whatever the whole takes.
    ///
    /// # Errors
    /// As of [`Frame::call`], and [`ClientError::Transfer`] when what came is not what was sent.
    pub fn get(
        &mut self,
        name: &str,
        silence: Duration,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<u64, ClientError> {
        check_name(name)?;
        let exchange = self.begin(Command::GET, name.as_bytes())?;
        let mut sink = Some(Sink { key: exchange.0, take, total: 0 });
        let (mut patience, mut seen, mut until) =
            (Patience::new(silence), 0, self.line.until(silence));
        loop {
            if let Some(result) = self.book.take(exchange.0) {
                return result.map(|_| sink.map_or(0, |sink| sink.total));
            }
            let total = sink.as_ref().map_or(0, |sink| sink.total);
            if total > seen {
                patience.count(usize::try_from(total - seen).unwrap_or(usize::MAX));
                (seen, until) = (total, self.line.until(patience.rest()));
            }
            if self.line.is_over(until) {
                return Err(self.give_up(exchange.0, silence));
            }
            self.wait(until, &mut sink)?;
        }
    }

    /// Begins an exchange. Nothing is waited for.
    ///
    /// # Errors
    /// When so many are open that the peer takes no more ([`ClientError::Busy`]), the payload is
    /// too large, or the connection has ended.
    pub fn begin(&mut self, command: Command, payload: &[u8]) -> Result<ExchangeId, ClientError> {
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        let peer = self.line.peer();
        let max = self.machine.max_payload();
        if payload.len() > usize::from(max) {
            let reason = format!("{} bytes, and {peer} takes {max}", payload.len());
            return Err(ClientError::Request { reason });
        }
        let window = self.machine.window();
        let busy = || ClientError::Busy { peer: peer.to_string(), window };
        if !self.machine.can_begin() {
            return Err(busy());
        }
        let Some(key) = self.book.open(command) else {
            return Err(busy());
        };
        let idempotent = command.is_idempotent();
        match self.machine.begin(command, idempotent, payload, key, &mut self.out) {
            Some(stream) => {
                self.book.begun(key, stream);
                Ok(ExchangeId(key))
            }
            None => {
                self.book.close(key);
                Err(busy())
            }
        }
    }

    /// Sends the requests that were begun, as far as the socket takes them now.
    ///
    /// # Errors
    /// When the loop cannot go on.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        let now = self.line.until(Duration::ZERO);
        self.wait(now, &mut None)
    }

    /// Waits for the answer of one exchange.
    ///
    /// # Errors
    /// As of [`Frame::call`].
    pub fn finish(
        &mut self,
        exchange: ExchangeId,
        deadline: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        let ExchangeId(key) = exchange;
        let until = self.line.until(deadline);
        loop {
            if let Some(result) = self.book.take(key) {
                return result;
            }
            if !self.book.has(key) {
                return Err(ClientError::Finished);
            }
            if self.line.is_over(until) {
                return Err(self.give_up(key, deadline));
            }
            self.wait(until, &mut None)?;
        }
    }

    /// Waits for the answer of whichever exchange is answered next. With the exchange comes what
    /// became of it.
    ///
    /// # Errors
    /// When none is open ([`ClientError::Finished`]), or the time is over: all stay open then.
    pub fn next_answer(
        &mut self,
        deadline: Duration,
    ) -> Result<(ExchangeId, Result<Vec<u8>, ClientError>), ClientError> {
        let until = self.line.until(deadline);
        loop {
            if let Some((key, result)) = self.book.take_any() {
                return Ok((ExchangeId(key), result));
            }
            if self.book.is_empty() {
                return Err(ClientError::Finished);
            }
            if self.line.is_over(until) {
                return Err(self.line.late(Waiting::Any, deadline));
            }
            self.wait(until, &mut None)?;
        }
    }

    /// Does nothing for a time but to take what comes; false when `wake` could be read before.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn rest_unless(&mut self, wake: &impl AsFd, time: Duration) -> Result<bool, ClientError> {
        let until = self.line.until(time);
        while !self.line.is_over(until) {
            if let Some(over) = &self.over {
                return Err(over.clone());
            }
            if self.line.take_input() {
                return Ok(false);
            }
            self.line.watch(wake);
            self.wait(until, &mut None)?;
        }
        Ok(true)
    }

    /// Nobody waits for this exchange any more.
    fn give_up(&mut self, key: Key, after: Duration) -> ClientError {
        let Some((stream, command)) = self.book.close(key) else {
            return ClientError::Finished;
        };
        self.machine.give_up(stream);
        self.line.late(Waiting::Exchange(command), after)
    }

    /// One turn: sends what is queued, and takes what came.
    fn wait(
        &mut self,
        until: Option<Instant>,
        sink: &mut Option<Sink<'_>>,
    ) -> Result<(), ClientError> {
        if !self.out.is_empty() {
            self.line.queue(&self.out);
            self.out.clear();
        }
        if !self.dead {
            self.line.receive();
        }
        if !self.line.has_bytes() {
            self.line.turn(until)?;
        }
        if !self.dead {
            self.absorb(sink);
        }
        Ok(())
    }

    /// Takes what came apart.
    fn absorb(&mut self, sink: &mut Option<Sink<'_>>) {
        let peer = self.line.peer();
        while let Some(bytes) = self.line.take().filter(|_| !self.dead) {
            let mut input: &[u8] = &bytes;
            loop {
                match self.machine.next(&mut input) {
                    Ok(Some(ClientEvent::Ready(ready))) => self.ready = Some(ready),
                    Ok(Some(ClientEvent::Answer(answer))) => self.book.part(&answer, sink),
                    Ok(Some(ClientEvent::GoAway(going))) => {
                        let (last, code) = (going.last, code_name(going.code));
                        let (peer, text) = (peer.to_string(), going.text.into_owned());
                        self.go(last, ClientError::NotDone { peer, code, text });
                    }
                    Ok(None) => break,
                    Err(source) => {
                        let peer = peer.to_string();
                        return self.end(ClientError::Frame { peer, source });
                    }
                }
            }
        }
        if self.line.is_ended() {
            let (cut, peer) = (self.machine.at_end().err(), peer.to_string());
            self.end(match cut {
                Some(source) => ClientError::Frame { peer, source },
                None => ClientError::Closed { peer },
            });
        } else if let Err(error) = self.line.check_receive() {
            self.end(error);
        }
    }

    /// The peer goes away: what it will not carry out has failed, the rest is waited for.
    fn go(&mut self, last: u64, error: ClientError) {
        self.machine.take_after(last, &mut self.lost);
        for key in self.lost.drain(..) {
            self.book.fail(key, error.clone());
        }
        self.over = Some(error);
    }

    /// The connection is over: nothing is answered any more.
    fn end(&mut self, error: ClientError) {
        self.machine.take_open(&mut self.lost);
        for key in self.lost.drain(..) {
            self.book.fail(key, error.clone());
        }
        self.dead = true;
        self.over.get_or_insert(error);
    }
}

fn check_name(name: &str) -> Result<(), ClientError> {
    if name.is_empty() || name.len() > NAME_MAX {
        let reason = format!("a name has 1 to {NAME_MAX} bytes");
        return Err(ClientError::Request { reason });
    }
    Ok(())
}
