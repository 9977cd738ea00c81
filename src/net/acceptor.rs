//! One listening socket of one worker, and the handing of connections to another worker's ring.

use nix::errno::Errno;

use crate::mem::Key;
use crate::ring::{Driver, Fd, Lane, Op, Token, Verb};
use crate::runtime::Reactor;

/// A listening socket and its accept operation.
#[derive(Debug)]
pub struct Acceptor {
    number: u32,
    socket: Fd,
    state: AcceptState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AcceptState {
    /// Nothing is in flight.
    Idle,
    /// The accept is in flight.
    Armed,
    /// The accept is being cancelled, to be armed again later.
    Pausing,
    /// The accept is being cancelled.
    Stopping,
    /// The socket is closed.
    Closed,
}

impl Acceptor {
    /// An acceptor on `socket` whose completions carry `number` as their slot.
    #[must_use]
    pub const fn new(number: u32, socket: Fd) -> Self {
        Self { number, socket, state: AcceptState::Idle }
    }

    /// The listening socket.
    #[must_use]
    pub const fn socket(&self) -> Fd {
        self.socket
    }

    /// Begins to accept, unless that is under way or over.
    pub fn arm<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        if self.state == AcceptState::Idle {
            self.state = AcceptState::Armed;
            reactor.submit(self.token(Verb::Accept), Op::Accept { listener: self.socket });
        }
    }

    /// The accept has ended by itself.
    pub fn rest(&mut self) {
        if matches!(self.state, AcceptState::Armed | AcceptState::Pausing) {
            self.state = AcceptState::Idle;
        }
    }

    /// Ends the accept for a while: [`Acceptor::rest`] when its last completion has come, then
    /// [`Acceptor::arm`].
    pub fn pause<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        if self.state == AcceptState::Armed {
            self.state = AcceptState::Pausing;
            let target = self.token(Verb::Accept);
            reactor.submit(self.token(Verb::Close), Op::Cancel { target });
        }
    }

    /// Whether the accept is being ended for a while.
    #[must_use]
    pub fn is_pausing(&self) -> bool {
        self.state == AcceptState::Pausing
    }

    /// Ends the accept; false when none is in flight and the socket can be closed at once.
    pub fn stop<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) -> bool {
        if self.state == AcceptState::Armed {
            self.state = AcceptState::Stopping;
            let target = self.token(Verb::Accept);
            // Nobody waits for the cancel's own completion, as for that of a close.
            reactor.submit(self.token(Verb::Close), Op::Cancel { target });
        } else if self.state == AcceptState::Pausing {
            self.state = AcceptState::Stopping;
        }
        self.state == AcceptState::Stopping
    }

    /// Whether the accept is in flight and not being ended.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.state == AcceptState::Armed
    }

    /// Whether the accept is being ended.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.state == AcceptState::Stopping
    }

    /// Whether the socket is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == AcceptState::Closed
    }

    /// Takes a connection that waits in the kernel's queue.
    ///
    /// # Errors
    /// As `accept4(2)`; `EAGAIN` when none waits.
    pub fn take_waiting<D: Driver, T: Copy>(
        &self,
        reactor: &mut Reactor<D, T>,
    ) -> Result<Fd, Errno> {
        reactor.driver().accept(self.socket)
    }

    /// Closes the socket, on which no accept is in flight.
    pub fn close<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>) {
        if self.state != AcceptState::Closed {
            self.state = AcceptState::Closed;
            reactor.driver().close(self.socket);
        }
    }

    fn token(&self, verb: Verb) -> Token {
        Token::new(Key::new(self.number, 0), Lane::Client, verb)
    }
}

/// A connection on its way to another worker's ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandOver {
    /// The connection.
    pub socket: Fd,
    /// The number of the listener that it belongs to, the same in all workers.
    pub listener: u16,
}

impl HandOver {
    /// Sends it to `ring`. It stays ours until that has succeeded.
    pub fn submit<D: Driver, T: Copy>(self, reactor: &mut Reactor<D, T>, ring: Fd) {
        // The token carries what is needed to keep the connection if it cannot be given away.
        let key = Key::new(self.socket.0.cast_unsigned(), self.listener);
        let token = Token::new(key, Lane::Client, Verb::HandOff);
        let there = Key::new(u32::from(self.listener), 0);
        let arrival = Token::new(there, Lane::Client, Verb::Arrival);
        reactor.submit(token, Op::HandOff { ring, arrival, socket: self.socket });
    }

    /// The connection that the completion with `token` is about.
    #[must_use]
    pub fn of(token: Token) -> Self {
        Self { socket: Fd(token.key.index.cast_signed()), listener: token.key.generation }
    }
}
