//! One connected socket: what is armed on it, what waits to be sent.

mod farewell;
mod secured;

use std::time::Duration;

use nix::errno::Errno;

use super::secure::Secure;
use crate::mem::{Buf, Key, Outgoing};
use crate::ring::{Completion, Driver, Fd, Lane, Op, Outcome, SocketAddress, Token, Verb};
use crate::runtime::Reactor;

/// After a receiver was slow, its sender is read one buffer at a time until so many sends in a
/// row went through at once.
const CALM_SENDS: u8 = 16;

/// A stream socket and the operations on it.
///
/// Calling order: arm, queue and flush as needed; give every completion of the lane to
/// [`Stream::handle`]; at the end [`Stream::abandon`], wait until [`Stream::is_quiet`], then
/// [`Stream::close`]. Pool buffers are held only while a send is in flight, which ends at once:
/// what the socket does not take moves to the heap, so that a slow peer keeps no buffer.
#[derive(Debug)]
pub struct Stream {
    fd: Option<Fd>,
    lane: Lane,
    receiving: Receiving,
    sending: bool,
    /// A `PollOut` is armed: the socket took no more.
    blocked: bool,
    /// A `PollIn` is armed.
    watching: bool,
    /// Sends that must go through at once until the peer counts as fast again.
    congestion: u8,
    /// Operations that have not ended.
    pending: u8,
    outbox: Option<Outgoing>,
    tls: Option<Box<Secure>>,
    connecting: Connecting,
    farewell: Farewell,
    /// Its operations are being ended: no other is begun.
    abandoned: bool,
    /// Bytes that the socket has taken, with what TLS adds.
    written: u64,
}

/// How far a stream with TLS is in connecting; others need no such state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Connecting {
    /// It is not, or without TLS.
    No,
    /// The socket or the handshake is under way.
    Yes,
    /// It has failed, and its operations are being ended.
    Failing(Errno),
}

/// Whether the peer was told why the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    /// There is nothing to tell.
    No,
    /// It follows the send that is in flight.
    Due,
    /// It was told.
    Said,
}

/// The state of the receive operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiving {
    /// None is armed.
    Idle,
    /// One is armed.
    Armed,
    /// One is armed and being cancelled.
    Pausing,
    /// It found no buffer and waits for one, unarmed.
    Starved,
}

/// What a completion meant.
#[derive(Debug)]
pub enum StreamEvent {
    /// Bytes came.
    Data(Buf),
    /// The peer will send no more.
    End,
    /// No buffer was free; [`Stream::feed`] when there are some.
    Starved,
    /// So many bytes were sent; the rest waits.
    Sent(usize),
    /// The socket takes bytes again.
    Writable,
    /// The socket has bytes, or has failed.
    Readable,
    /// The connection stands; with TLS, its handshake is done.
    Connected,
    /// The handshake with a client is done; [`Stream::take_held`] has what came with it.
    Secured,
    /// The connection does not stand.
    ConnectFailed(Errno),
    /// The connection is broken.
    Broken(Errno),
    /// An operation ended that nobody waits for, or one was cancelled.
    Quiet,
}

impl Stream {
    /// A stream on `fd`, or without one until [`Stream::connect`].
    #[must_use]
    pub const fn new(lane: Lane, fd: Option<Fd>) -> Self {
        Self {
            fd,
            lane,
            receiving: Receiving::Idle,
            sending: false,
            blocked: false,
            watching: false,
            congestion: 0,
            pending: 0,
            outbox: None,
            tls: None,
            connecting: Connecting::No,
            farewell: Farewell::No,
            abandoned: false,
            written: 0,
        }
    }

    /// The socket, while there is one.
    #[must_use]
    pub const fn fd(&self) -> Option<Fd> {
        self.fd
    }

    /// Takes the socket away, on which no operation is in flight.
    pub fn take_socket(&mut self) -> Option<Fd> {
        debug_assert!(self.is_quiet(), "an operation knows the socket");
        self.fd.take()
    }

    /// Takes over a socket that is connected. There was none before.
    pub fn adopt(&mut self, socket: Fd) {
        debug_assert!(self.fd.is_none(), "the former socket was closed");
        self.fd = Some(socket);
        self.abandoned = false;
        self.farewell = Farewell::No;
    }

    /// Connects a fresh socket.
    pub fn connect<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        socket: Fd,
        address: SocketAddress,
    ) {
        self.adopt(socket);
        let address = Box::new(address);
        self.submit(reactor, key, Verb::Connect, Op::Connect { socket, address });
    }

    /// Gives up a connect that has not ended; it completes as [`StreamEvent::ConnectFailed`].
    pub fn cancel_connect<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        if self.receiving == Receiving::Idle && !self.sending {
            let target = Token::new(key, self.lane, Verb::Connect);
            self.submit(reactor, key, Verb::Cancel, Op::Cancel { target });
        } else {
            self.fail_connect(reactor, key, Errno::ECANCELED);
            if self.pending == 0 {
                // It waited for a buffer: no completion would tell of the end.
                let target = Token::new(key, self.lane, Verb::Receive);
                self.submit(reactor, key, Verb::Cancel, Op::Cancel { target });
            }
        }
    }

    /// Starts to receive, if that is not under way.
    pub fn receive<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        once: bool,
    ) {
        if let (Receiving::Idle, Some(socket)) = (self.receiving, self.usable_fd()) {
            self.receiving = Receiving::Armed;
            self.submit(reactor, key, Verb::Receive, Op::Receive { socket, once });
        }
    }

    /// Stops to receive. Some bytes may come until [`Stream::is_receiving`] says no.
    pub fn pause<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        match self.receiving {
            Receiving::Armed => {
                self.receiving = Receiving::Pausing;
                let target = Token::new(key, self.lane, Verb::Receive);
                self.submit(reactor, key, Verb::Cancel, Op::Cancel { target });
            }
            Receiving::Starved => self.receiving = Receiving::Idle,
            Receiving::Idle | Receiving::Pausing => {}
        }
    }

    /// There are free buffers again: a starved receive may be armed again. While a connection is
    /// made, that is the stream's own affair.
    pub fn feed<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        if self.receiving == Receiving::Starved {
            self.receiving = Receiving::Idle;
            if self.connecting == Connecting::Yes {
                self.receive(reactor, key, false);
            }
        }
    }

    /// Whether a receive is armed or waits for a buffer.
    #[must_use]
    pub fn is_receiving(&self) -> bool {
        self.receiving != Receiving::Idle
    }

    /// Queues bytes to be sent by the next [`Stream::flush`].
    pub fn queue(&mut self, buf: Buf) {
        let buf = if self.blocked { buf.into_heap() } else { buf };
        self.outbox = Some(match self.outbox.take() {
            None => Outgoing::One(buf),
            Some(queued) => queued.append(buf),
        });
    }

    /// Sends what is queued, unless a send is in flight or the socket takes no more. What has to
    /// wait holds nothing of the pool.
    pub fn flush<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        self.send_queued(reactor, key);
        if self.outbox.as_ref().is_some_and(Outgoing::is_pooled) {
            self.outbox = self.outbox.take().map(Outgoing::into_heap);
        }
    }

    fn send_queued<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        if self.sending || self.blocked || self.abandoned {
            return;
        }
        if self.tls.is_some() && !self.prepare_send(reactor, key) {
            return;
        }
        let queue = match &mut self.tls {
            Some(tls) if !tls.is_offloaded() => &mut tls.wire,
            Some(_) | None => &mut self.outbox,
        };
        if let (Some(mut data), Some(socket)) = (queue.take(), self.fd) {
            *queue = data.split_excess();
            self.sending = true;
            self.submit(reactor, key, Verb::Send, Op::Send { socket, data });
        }
    }

    /// Sends what is queued at once, if it is little, so that it goes in one packet with what the
    /// kernel is about to be given. What does not go waits for [`Stream::flush`]. Returns how many
    /// bytes went.
    pub fn send_ahead<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) -> usize {
        let is_ready = !self.sending && !self.blocked && self.tls.is_none();
        let (true, Some(socket), Some(Outgoing::One(buf))) = (is_ready, self.fd, &mut self.outbox)
        else {
            return 0;
        };
        // An error is told by the send that follows.
        let sent = reactor.driver().send_now(socket, buf, true).unwrap_or(0);
        self.written += sent as u64;
        if sent < buf.len() {
            buf.advance(sent);
        } else {
            self.outbox = None;
        }
        sent
    }

    /// Whether nothing waits to be sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let is_sealed = self.tls.as_ref().is_some_and(|tls| tls.wire.is_some());
        self.outbox.is_none() && !self.sending && !is_sealed
    }

    /// Bytes that the socket has taken and its peer has not: see [`Syscalls::unacknowledged`].
    ///
    /// [`Syscalls::unacknowledged`]: crate::ring::Syscalls::unacknowledged
    pub fn unacknowledged<D: Driver, T: Copy>(&self, reactor: &mut Reactor<D, T>) -> usize {
        self.fd.map_or(0, |fd| reactor.driver().unacknowledged(fd))
    }

    /// Bytes that the socket has taken so far, with what TLS adds.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// The kernel has moved so many bytes to the socket by itself (`sendfile(2)`).
    pub const fn note_written(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    /// The time that the peer takes to acknowledge: see [`Syscalls::round_trip`].
    ///
    /// [`Syscalls::round_trip`]: crate::ring::Syscalls::round_trip
    pub fn round_trip<D: Driver, T: Copy>(&self, reactor: &mut Reactor<D, T>) -> Option<Duration> {
        self.fd.and_then(|fd| reactor.driver().round_trip(fd))
    }

    /// Bytes that the peer's system has acknowledged of all that the socket has taken. Where the
    /// kernel encrypts, it is a little less, and grows with each byte all the same.
    pub fn acknowledged<D: Driver, T: Copy>(&self, reactor: &mut Reactor<D, T>) -> u64 {
        self.written.saturating_sub(self.unacknowledged(reactor) as u64)
    }

    /// Whether the socket takes no more for now.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether the peer was slow of late: read its sender one buffer at a time.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.congestion > 0
    }

    /// Asks to be told when the socket has bytes, once.
    pub fn watch_readable<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        if let (false, Some(fd)) = (self.watching, self.usable_fd()) {
            self.watching = true;
            self.submit(reactor, key, Verb::PollIn, Op::PollIn { fd });
        }
    }

    /// Whether [`StreamEvent::Readable`] is waited for.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.watching
    }

    /// Asks to be told when the socket takes bytes, once; until then it counts as blocked.
    pub fn watch_writable<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        if let (false, Some(fd)) = (self.blocked, self.usable_fd()) {
            self.blocked = true;
            self.submit(reactor, key, Verb::PollOut, Op::PollOut { fd });
        }
    }

    /// Tells the peer that nothing more comes. All is sent. False when the socket takes nothing
    /// now: then it is to be repeated once it does.
    ///
    /// # Errors
    /// As `shutdown(2)`; `ENOTCONN` when there is no connection any more.
    pub fn shutdown_write<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
    ) -> Result<bool, Errno> {
        let socket = self.fd.ok_or(Errno::ENOTCONN)?;
        if !self.say_end(reactor, key) {
            return Ok(false);
        }
        if self.receives_plain() {
            // It was said by TLS. After FIN the kernel would tell of a record in part as if it were
            // whole: that follows when the connection is closed.
            return Ok(true);
        }
        reactor.driver().shutdown_write(socket).map(|()| true)
    }

    /// Ends what is sent without a word of TLS on it: what was sent was cut off. All is sent.
    ///
    /// # Errors
    /// As [`Stream::shutdown_write`].
    pub fn shutdown_unsaid<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
    ) -> Result<(), Errno> {
        let socket = self.fd.ok_or(Errno::ENOTCONN)?;
        reactor.driver().shutdown_write(socket)
    }

    /// Takes a completion of this lane.
    pub fn handle<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        completion: Completion,
    ) -> StreamEvent {
        let verb = completion.token.verb;
        let event = self.handle_plain(reactor, key, completion);
        if self.tls.is_none() {
            return event;
        }
        if self.receives_plain() {
            return if verb == Verb::Receive {
                self.handle_decrypted(reactor, event)
            } else {
                event
            };
        }
        match self.connecting {
            Connecting::No => self.handle_secured(reactor, key, event),
            Connecting::Yes => self.handle_connecting(reactor, key, event),
            Connecting::Failing(errno) if self.pending == 0 => StreamEvent::ConnectFailed(errno),
            Connecting::Failing(_) => StreamEvent::Quiet,
        }
    }

    fn handle_plain<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        completion: Completion,
    ) -> StreamEvent {
        let Completion { token, outcome, more } = completion;
        if !more {
            self.pending -= 1;
        }
        match token.verb {
            Verb::Receive => self.handle_receive(outcome, more),
            Verb::Send => self.handle_send(reactor, key, outcome),
            Verb::PollIn => {
                self.watching = false;
                polled(&outcome, StreamEvent::Readable)
            }
            Verb::PollOut => {
                self.blocked = false;
                polled(&outcome, StreamEvent::Writable)
            }
            Verb::Connect => {
                if let Outcome::Failed(errno) = outcome {
                    StreamEvent::ConnectFailed(errno)
                } else {
                    StreamEvent::Connected
                }
            }
            Verb::Accept
            | Verb::Cancel
            | Verb::Close
            | Verb::HandOff
            | Verb::Wake
            | Verb::Arrival
            | Verb::Read
            | Verb::ReceiveFrom
            | Verb::CancelFrom => StreamEvent::Quiet,
        }
    }

    /// The socket, unless the stream was abandoned: the cancel that ends its operations comes
    /// before whatever would be armed now, and nothing would end that.
    fn usable_fd(&self) -> Option<Fd> {
        self.fd.filter(|_| !self.abandoned)
    }

    /// Drops what is queued and ends all operations; bytes that were queued are lost, which the
    /// return value tells. From now on none is begun, whatever those that end bring.
    pub fn abandon<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) -> bool {
        self.abandoned = true;
        let is_due = self.farewell == Farewell::Due;
        let sealed = self.tls.as_mut().filter(|_| !is_due).and_then(|tls| tls.wire.take());
        let sealed = sealed.is_some();
        let lost = self.outbox.take().is_some() || self.sending || sealed;
        if let (true, Some(fd)) = (self.pending > 0, self.fd) {
            self.submit(reactor, key, Verb::Cancel, Op::CancelAll { fd });
        }
        lost
    }

    /// Whether no operation is in flight.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.pending == 0
    }

    /// Closes the socket, on which no operation may be in flight but the cancelling of one that
    /// has ended. Nobody waits for the close.
    pub fn close<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        if let Some(fd) = self.fd.take() {
            reactor.submit(Token::new(key, self.lane, Verb::Close), Op::Close { fd });
        }
    }

    fn submit<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        verb: Verb,
        op: Op,
    ) {
        self.pending += 1;
        reactor.submit(Token::new(key, self.lane, verb), op);
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other outcomes belong to other verbs")]
    fn handle_receive(&mut self, outcome: Outcome, more: bool) -> StreamEvent {
        if !more {
            self.receiving = Receiving::Idle;
        }
        match outcome {
            Outcome::Received(buf) => StreamEvent::Data(buf),
            Outcome::Eof => StreamEvent::End,
            Outcome::Starved => {
                self.receiving = Receiving::Starved;
                StreamEvent::Starved
            }
            Outcome::Failed(Errno::ECANCELED) => StreamEvent::Quiet,
            Outcome::Failed(errno) => StreamEvent::Broken(errno),
            _ => StreamEvent::Quiet,
        }
    }

    fn handle_send<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        key: Key,
        outcome: Outcome,
    ) -> StreamEvent {
        let Outcome::Sent { result, data } = outcome else {
            return StreamEvent::Quiet;
        };
        self.sending = false;
        let sent = match result {
            Ok(sent) => sent,
            Err(Errno::EAGAIN) => 0,
            Err(errno) => {
                // What would follow is of no use without these bytes.
                self.farewell = Farewell::No;
                let is_cancelled = errno == Errno::ECANCELED;
                return if is_cancelled { StreamEvent::Quiet } else { StreamEvent::Broken(errno) };
            }
        };
        self.note_written(sent);
        if let Some(rest) = data.after(sent) {
            self.congestion = CALM_SENDS;
            let queue = match &mut self.tls {
                Some(tls) if !tls.is_offloaded() => &mut tls.wire,
                Some(_) | None => &mut self.outbox,
            };
            let rest = match queue.take() {
                None => rest,
                Some(queued) => rest.join(queued),
            };
            *queue = Some(rest.into_heap());
            self.watch_writable(reactor, key);
        } else {
            self.congestion = self.congestion.saturating_sub(1);
        }
        match &mut self.tls {
            // It is bytes of the application that are counted.
            Some(tls) if tls.wire.is_some() => StreamEvent::Sent(0),
            Some(tls) if !tls.is_offloaded() => StreamEvent::Sent(tls.take_sent()),
            Some(_) | None => StreamEvent::Sent(sent),
        }
    }
}
/// A poll that could not be made is not repeated for ever. One that was cancelled tells nothing.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other outcomes belong to other verbs")]
fn polled(outcome: &Outcome, event: StreamEvent) -> StreamEvent {
    match outcome {
        Outcome::Failed(errno) if *errno != Errno::ECANCELED => StreamEvent::Broken(*errno),
        _ => event,
    }
}
