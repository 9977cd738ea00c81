//! One datagram socket: whether a receive is armed, how much may be joined, what it sends.

use nix::errno::Errno;

use crate::mem::Key;
use crate::ring::{
    Completion, Datagram, Driver, Fd, Lane, Op, Outbox, Outcome, SendReport, SocketError, Token,
    Verb,
};
use crate::runtime::Reactor;

/// A datagram socket and its receive.
///
/// Calling order: arm, and send as needed; give every completion to [`DatagramSocket::handle`] and
/// arm again when it says so; at the end [`DatagramSocket::stop`], wait until
/// [`DatagramSocket::is_quiet`], then [`DatagramSocket::close`].
#[derive(Debug)]
pub struct DatagramSocket {
    fd: Option<Fd>,
    key: Key,
    lane: Lane,
    state: State,
    /// Cancels that have not ended.
    cancels: u8,
    /// Datagrams up to this size may be joined; 0: none.
    segment_max: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No receive is armed.
    Idle,
    /// One is.
    Armed,
    /// It found no buffer and waits for one, unarmed.
    Starved,
    /// None is to be armed any more. Whether one has not ended yet.
    Stopping { armed: bool },
}

/// What a completion meant.
#[derive(Debug)]
pub enum DatagramEvent {
    /// A datagram came.
    Data(Datagram),
    /// No buffer was free: [`DatagramSocket::feed`] when there are some.
    Starved,
    /// The socket has failed, perhaps for one receiver only; it is to be armed again.
    Failed(Errno),
    /// An operation has ended.
    Quiet,
}

impl DatagramSocket {
    /// A socket whose completions carry `key` and `lane`. Whether datagrams may be joined.
    #[must_use]
    pub const fn new(fd: Fd, key: Key, lane: Lane, join: bool) -> Self {
        let segment_max = if join { u16::MAX } else { 0 };
        Self { fd: Some(fd), key, lane, state: State::Idle, cancels: 0, segment_max }
    }

    /// The socket, until it is closed.
    #[must_use]
    pub const fn fd(&self) -> Option<Fd> {
        self.fd
    }

    /// Datagrams up to this size may be joined.
    #[must_use]
    pub const fn segment_max(&self) -> u16 {
        self.segment_max
    }

    /// Begins to receive, unless that is under way or over.
    pub fn arm<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        if let (State::Idle, Some(socket)) = (self.state, self.fd) {
            self.state = State::Armed;
            reactor.submit(self.token(Verb::ReceiveFrom), Op::ReceiveFrom { socket });
        }
    }

    /// Whether nothing is armed, though it might be.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// There are free buffers again.
    pub fn feed<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        if self.state == State::Starved {
            self.state = State::Idle;
            self.arm(reactor);
        }
    }

    /// Ends the receive, for good. Some datagrams may still come.
    pub fn stop<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        match self.state {
            State::Armed => {
                self.state = State::Stopping { armed: true };
                self.cancels += 1;
                let target = self.token(Verb::ReceiveFrom);
                reactor.submit(self.token(Verb::CancelFrom), Op::Cancel { target });
            }
            State::Idle | State::Starved => self.state = State::Stopping { armed: false },
            State::Stopping { .. } => {}
        }
    }

    /// Whether the receive was told to end.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        matches!(self.state, State::Stopping { .. })
    }

    /// Whether it was stopped and no operation is in flight.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.state == State::Stopping { armed: false } && self.cancels == 0
    }

    /// Takes a completion of this socket.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other outcomes belong to other verbs")]
    pub fn handle(&mut self, completion: Completion) -> DatagramEvent {
        let Completion { token, outcome, more } = completion;
        if token.verb == Verb::CancelFrom {
            self.cancels -= 1;
            return DatagramEvent::Quiet;
        }
        if !more {
            self.state = match self.state {
                State::Stopping { .. } => State::Stopping { armed: false },
                State::Idle | State::Armed | State::Starved => State::Idle,
            };
        }
        match outcome {
            Outcome::Datagram(datagram) => DatagramEvent::Data(datagram),
            Outcome::Starved if self.state == State::Idle => {
                self.state = State::Starved;
                DatagramEvent::Starved
            }
            Outcome::Failed(Errno::ECANCELED) => DatagramEvent::Quiet,
            Outcome::Failed(errno) => DatagramEvent::Failed(errno),
            _ => DatagramEvent::Quiet,
        }
    }

    /// Sends all of `outbox`, which is empty then.
    pub fn send<D: Driver, T: Copy>(
        &mut self,
        reactor: &mut Reactor<D, T>,
        outbox: &mut Outbox,
    ) -> SendReport {
        let report = match self.fd {
            Some(fd) => reactor.driver().send_datagrams(fd, outbox, self.segment_max),
            None => SendReport { refused: outbox.datagrams() as u64, ..SendReport::default() },
        };
        if let Some(less) = report.segment_max {
            self.segment_max = less;
        }
        outbox.clear();
        report
    }

    /// Takes the oldest ICMP error.
    pub fn take_error<D: Driver, T: Copy>(
        &self,
        reactor: &mut Reactor<D, T>,
    ) -> Option<SocketError> {
        reactor.driver().take_socket_error(self.fd?)
    }

    /// Closes the socket, on which no operation may be in flight.
    pub fn close<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        debug_assert!(self.is_quiet(), "a socket that is closed has nothing in flight");
        if let Some(fd) = self.fd.take() {
            reactor.driver().close(fd);
        }
    }

    const fn token(&self, verb: Verb) -> Token {
        Token::new(self.key, self.lane, verb)
    }
}
