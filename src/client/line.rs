//! One connected socket on a ring of its own: what all clients are made of.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::deadline::Deadline;
use super::error::Waiting;
use super::{ClientError, Tls, tls};
use crate::mem::{Buf, Key};
use crate::net::tls::Session;
use crate::net::{NetworkError, Operation, Stream, StreamEvent};
use crate::ring::uring::RingOptions;
use crate::ring::{Completion, Driver, Fd, Lane, Op, SocketAddress, Syscalls, Token, Verb};
use crate::ring::{DriverChoice, KernelDriver};
use crate::runtime::{LoopStats, Reactor};

/// Bytes that one receive brings at most: every datagram fits.
pub(super) const BUFFER_SIZE: u32 = 64 * 1024;
/// Bytes that are copied for one send.
const CHUNK: usize = 256 * 1024;
/// How long the end of a connection waits for the kernel to give back what it uses.
pub(super) const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A small loop: a ring, and one deadline at a time.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) reactor: Reactor<KernelDriver, ()>,
    batch: Vec<Completion>,
}

impl Engine {
    /// A loop with a ring that is large enough for one connection and its attempts.
    pub(super) fn new() -> Result<Self, ClientError> {
        let options = RingOptions { buffer_size: BUFFER_SIZE, ..RingOptions::small() };
        let driver = DriverChoice::Auto.or_environment()?.driver(&options)?;
        let reactor = Reactor::new(driver, Arc::new(LoopStats::default()));
        Ok(Self { reactor, batch: Vec::new() })
    }

    /// The present time.
    pub(super) fn now(&mut self) -> Instant {
        self.reactor.driver().now()
    }

    /// Waits for completions, or until a time. They are taken one by one with
    /// [`Engine::completion`].
    pub(super) fn turn(&mut self, until: Option<Instant>) -> Result<(), ClientError> {
        let now = self.now();
        // A timer is due at the next tick, and not at once.
        let busy = until.is_some_and(|until| until <= now);
        let timer = until.filter(|_| !busy).map(|until| self.reactor.arm(until, ()));
        let turned = self.reactor.turn(busy, &mut self.batch);
        // The last is taken first.
        self.batch.reverse();
        self.reactor.expire();
        if let (Some(timer), None) = (timer, self.reactor.take_due()) {
            self.reactor.disarm(timer);
        }
        turned.map_err(ClientError::from)
    }

    /// The next completion of the last turn.
    pub(super) fn completion(&mut self) -> Option<Completion> {
        self.batch.pop()
    }
}

/// A connected socket and its loop. What comes is held in one buffer, which must be taken before
/// more is received: who does not take, does not receive, and the peer is slowed down.
#[derive(Debug)]
pub(super) struct Line {
    engine: Engine,
    stream: Stream,
    key: Key,
    peer: SocketAddress,
    received: VecDeque<Buf>,
    ended: bool,
    /// The peer is to be told the end when the socket takes that.
    ending: bool,
    send_error: Option<Errno>,
    receive_error: Option<Errno>,
    input: Input,
    /// What came of a handshake of TLS on the connection.
    secured: Option<Result<(), Errno>>,
}

/// What is known of a second descriptor, which the line does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Unknown,
    /// A poll is armed.
    Watched,
    /// The poll is being taken back: what it still says is of no descriptor that anybody watches.
    Cancelling,
    Ready,
}

impl Line {
    pub(super) fn new(
        mut engine: Engine,
        mut stream: Stream,
        key: Key,
        peer: SocketAddress,
    ) -> Self {
        // After a handshake, more may come than was asked for.
        let received = stream.take_held().into_iter().collect();
        stream.pause(&mut engine.reactor, key);
        Self {
            engine,
            stream,
            key,
            peer,
            received,
            ended: false,
            ending: false,
            send_error: None,
            receive_error: None,
            input: Input::Unknown,
            secured: None,
        }
    }

    /// Speaks TLS from now on, with the server behind a proxy: what was sent and received before
    /// was not TLS, and all of it was taken.
    pub(super) fn secure(&mut self, tls: &Tls, deadline: Deadline) -> Result<(), ClientError> {
        let session = tls.session()?;
        self.drain(deadline.until, deadline.patience)?;
        self.stream.secure_connected(&mut self.engine.reactor, self.key, session);
        let done = loop {
            if let Some(done) = self.secured.take() {
                break done;
            }
            if deadline.is_over() {
                return Err(self.late(Waiting::Connect, deadline.patience));
            }
            self.stream.feed(&mut self.engine.reactor, self.key);
            self.turn(deadline.until)?;
        };
        self.failed(Operation::Connect, done.err())?;
        // As of a connection that began with TLS.
        self.received.extend(self.stream.take_held());
        self.stream.pause(&mut self.engine.reactor, self.key);
        Ok(())
    }

    pub(super) const fn peer(&self) -> SocketAddress {
        self.peer
    }

    /// The address at our end.
    pub(super) fn local(&mut self) -> Option<SocketAddress> {
        let fd = self.stream.fd()?;
        self.engine.reactor.driver().local_address(fd).ok()
    }

    /// The round trip that the kernel has measured.
    pub(super) fn round_trip(&mut self) -> Option<Duration> {
        self.stream.round_trip(&mut self.engine.reactor)
    }

    /// The present time.
    pub(super) fn now(&mut self) -> Instant {
        self.engine.now()
    }

    /// The time at which `patience` will be over.
    pub(super) fn until(&mut self, patience: Duration) -> Option<Instant> {
        // So far ahead that it cannot be said is never.
        self.engine.now().checked_add(patience)
    }

    /// Whether a time has come.
    pub(super) fn is_over(&mut self, until: Option<Instant>) -> bool {
        until.is_some_and(|until| self.engine.now() >= until)
    }

    /// The error of something that has not been done in time.
    pub(super) fn late(&self, op: Waiting, after: Duration) -> ClientError {
        ClientError::Deadline { op, peer: self.peer.to_string(), after }
    }

    /// Queues bytes, and sends as much of what is queued as the socket takes in the turns to come.
    pub(super) fn queue(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK) {
            self.stream.queue(Buf::copy_of(chunk));
        }
        self.stream.flush(&mut self.engine.reactor, self.key);
    }

    /// Queues one datagram; before, all must have been sent.
    pub(super) fn queue_datagram(&mut self, bytes: &[u8]) {
        debug_assert!(self.stream.is_drained(), "two datagrams would become one");
        self.stream.queue(Buf::copy_of(bytes));
        self.stream.flush(&mut self.engine.reactor, self.key);
    }

    /// Whether all that was queued was sent, or will never be.
    pub(super) fn is_drained(&self) -> bool {
        self.stream.is_drained() || self.send_error.is_some()
    }

    /// Sends what is queued. After a failure nothing can be sent any more: nobody could tell how
    /// much of it was.
    pub(super) fn drain(
        &mut self,
        until: Option<Instant>,
        patience: Duration,
    ) -> Result<(), ClientError> {
        loop {
            self.check_send()?;
            if self.stream.is_drained() {
                return Ok(());
            }
            if self.is_over(until) {
                self.send_error = Some(Errno::ETIMEDOUT);
                return Err(self.late(Waiting::Send, patience));
            }
            self.turn(until)?;
        }
    }

    /// Whether sending has failed.
    pub(super) fn check_send(&self) -> Result<(), ClientError> {
        self.failed(Operation::Send, self.send_error)
    }

    /// Whether receiving has failed.
    pub(super) fn check_receive(&self) -> Result<(), ClientError> {
        self.failed(Operation::Receive, self.receive_error)
    }

    fn failed(&self, op: Operation, error: Option<Errno>) -> Result<(), ClientError> {
        match (error, self.stream.tls_error()) {
            (Some(_), Some(error)) => Err(tls::failure(self.peer, error)),
            (Some(source), None) => Err(NetworkError { op, peer: self.peer, source }.into()),
            (None, _) => Ok(()),
        }
    }

    /// Forgets a failure to send: that of a datagram says nothing of the next one.
    pub(super) const fn forgive_send(&mut self) {
        self.send_error = None;
    }

    /// Forgets a failure to receive.
    pub(super) const fn forgive_receive(&mut self) {
        self.receive_error = None;
    }

    /// Tells the peer that nothing more will be sent.
    pub(super) fn shutdown(&mut self) -> Result<(), ClientError> {
        self.ending = false;
        match self.stream.shutdown_write(&mut self.engine.reactor, self.key) {
            // The peer has gone: what it sent before is still there.
            Ok(true) | Err(Errno::ENOTCONN) => Ok(()),
            // The socket is full: it is said in one of the next turns.
            Ok(false) => {
                self.ending = true;
                Ok(())
            }
            Err(source) => self.failed(Operation::Send, Some(source)),
        }
    }

    /// What was received and not taken.
    pub(super) fn take(&mut self) -> Option<Buf> {
        self.received.pop_front()
    }

    /// Whether something was received and not taken.
    pub(super) fn has_bytes(&self) -> bool {
        !self.received.is_empty()
    }

    /// Whether an empty datagram came; says so once.
    pub(super) const fn take_end(&mut self) -> bool {
        std::mem::replace(&mut self.ended, false)
    }

    /// The connection by TLS, if that is spoken.
    pub(super) fn tls(&self) -> Option<&Session> {
        self.stream.tls()
    }

    /// Whether the peer has ended a connection by TLS without saying so.
    pub(super) fn is_cut(&self) -> bool {
        self.ended && self.stream.tls().is_some_and(|session| !session.is_closed())
    }

    /// Whether the peer sends no more.
    pub(super) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// Receives in the turns to come, unless something waits to be taken.
    pub(super) fn receive(&mut self) {
        let over = self.ended || self.receive_error.is_some();
        if self.received.is_empty() && !over {
            self.stream.feed(&mut self.engine.reactor, self.key);
            self.stream.receive(&mut self.engine.reactor, self.key, true);
        }
    }

    /// Watches for `fd` to be readable, in the turns to come, until [`Line::take_input`] says that
    /// it is, or [`Line::unwatch`]: the next descriptor may be another one. While a former poll is
    /// being taken back, nothing is watched yet: it is to be called again after each turn.
    pub(super) fn watch(&mut self, fd: &impl AsFd) {
        if self.input == Input::Unknown {
            self.input = Input::Watched;
            let fd = Fd(fd.as_fd().as_raw_fd());
            self.engine.reactor.submit(self.input_token(Verb::PollIn), Op::PollIn { fd });
        }
    }

    /// Whether the watched descriptor can be read; says so once.
    pub(super) fn take_input(&mut self) -> bool {
        let ready = self.input == Input::Ready;
        if ready {
            self.input = Input::Unknown;
        }
        ready
    }

    /// Watches no more, and waits until the kernel does not, either, for a second at most.
    pub(super) fn unwatch(&mut self) -> Result<(), ClientError> {
        if self.input == Input::Ready {
            self.input = Input::Unknown;
        }
        if self.input == Input::Watched {
            self.input = Input::Cancelling;
            let target = self.input_token(Verb::PollIn);
            let cancel = self.input_token(Verb::Cancel);
            self.engine.reactor.submit(cancel, Op::Cancel { target });
            let until = self.until(CLOSE_MAX);
            while self.input == Input::Cancelling && !self.is_over(until) {
                self.turn(until)?;
            }
        }
        Ok(())
    }

    const fn input_token(&self, verb: Verb) -> Token {
        Token::new(self.key, Lane::Upstream, verb)
    }

    /// Waits until something happens, or until a time.
    pub(super) fn turn(&mut self, until: Option<Instant>) -> Result<(), ClientError> {
        self.engine.turn(until)?;
        while let Some(completion) = self.engine.completion() {
            match (completion.token.lane, completion.token.verb) {
                (Lane::Client, verb) => self.handle(verb, completion),
                (Lane::Upstream, Verb::PollIn) if self.input == Input::Watched => {
                    self.input = Input::Ready;
                }
                (Lane::Upstream, Verb::PollIn) => self.input = Input::Unknown,
                (Lane::Upstream, _) => {}
            }
        }
        // What a full socket has left over goes out when it takes bytes again.
        self.stream.flush(&mut self.engine.reactor, self.key);
        if self.ending && self.stream.is_drained() && !self.stream.is_blocked() {
            self.shutdown()?;
        }
        Ok(())
    }

    fn handle(&mut self, verb: Verb, completion: Completion) {
        match self.stream.handle(&mut self.engine.reactor, self.key, completion) {
            StreamEvent::Data(buf) => self.received.push_back(buf),
            StreamEvent::End => self.ended = true,
            StreamEvent::Broken(errno) if verb == Verb::Send => self.send_error = Some(errno),
            StreamEvent::Broken(errno) => self.receive_error = Some(errno),
            StreamEvent::Connected => self.secured = Some(Ok(())),
            StreamEvent::ConnectFailed(errno) => self.secured = Some(Err(errno)),
            StreamEvent::Starved
            | StreamEvent::Sent(_)
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Secured
            | StreamEvent::Quiet => {}
        }
    }
}

impl Drop for Line {
    /// Ends all operations, then closes the socket: a descriptor with operations in flight would
    /// stay open until they end.
    fn drop(&mut self) {
        let until = self.until(CLOSE_MAX);
        if self.stream.is_drained() && self.send_error.is_none() {
            // A peer that does not take it does not need it.
            self.stream.say_end(&mut self.engine.reactor, self.key);
        }
        self.stream.abandon(&mut self.engine.reactor, self.key);
        while !self.stream.is_quiet() && !self.is_over(until) && self.turn(until).is_ok() {}
        if let Some(fd) = self.stream.fd() {
            self.engine.reactor.driver().close(fd);
        }
    }
}
