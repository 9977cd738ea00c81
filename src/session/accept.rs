//! Listeners: accepting, limits, handing new connections to less loaded workers, draining.

use std::time::Duration;

use nix::errno::Errno;

use super::{CLIENT, Due, ErrorKind, Sessions};
use crate::mem::Key;
use crate::net::{NetworkError, Operation};
use crate::ring::{Completion, Driver, Fd, Op, Outcome, SocketAddress, Token, Verb};
use crate::runtime::Budget;
use crate::service::CloseReason;

/// How long an acceptor rests after descriptors or memory ran out. Trying again at once would
/// only fail again; connections wait in the kernel's queue meanwhile.
const REST: Duration = Duration::from_millis(100);
/// Connections that a drain takes from one queue at most: beyond the largest backlog.
const DRAIN_MAX: usize = 65_536;

/// One listening socket of this worker.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: usize,
    socket: Fd,
    state: AcceptState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AcceptState {
    /// Not accepting, and nothing in flight.
    Idle,
    /// The accept is in flight.
    Armed,
    /// The accept is being cancelled; then the queue is emptied and the socket closed.
    Stopping,
    /// Closed.
    Closed,
}

impl Acceptor {
    pub(super) const fn new(listener: usize, socket: Fd) -> Self {
        Self {
            listener,
            socket,
            state: AcceptState::Idle,
        }
    }
}

impl<D: Driver> Sessions<D> {
    /// Begins to accept, and to take connections that other workers hand over to `ring`.
    pub fn start(&mut self, ring: Option<Fd>) {
        self.context.cell().open(ring);
        for index in 0..self.acceptors.len() {
            self.arm_accept(index);
        }
    }

    /// Stops to accept, for good: cancels, empties the queues, closes the sockets.
    pub fn drain(&mut self) {
        self.draining = true;
        for index in 0..self.acceptors.len() {
            match self.acceptors[index].state {
                AcceptState::Armed => {
                    self.acceptors[index].state = AcceptState::Stopping;
                    let target = accept_token(index, Verb::Accept);
                    let cancel = accept_token(index, Verb::Close);
                    self.context.reactor.submit(cancel, Op::Cancel { target });
                }
                AcceptState::Idle => self.close_acceptor(index),
                AcceptState::Stopping | AcceptState::Closed => {}
            }
        }
        self.leave_fleet_if_drained();
    }

    /// Whether no connection can come any more, from a listener or by the hand of this worker.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let closed = |acceptor: &Acceptor| acceptor.state == AcceptState::Closed;
        self.draining && self.context.hand_offs == 0 && self.acceptors.iter().all(closed)
    }

    pub(super) fn handle_accept(&mut self, completion: Completion) {
        let index = completion.token.key.index as usize;
        match completion.outcome {
            Outcome::Accepted(socket) => self.admit(index, socket),
            Outcome::Failed(errno) => self.accept_failed(index, errno),
            _ => {}
        }
        if completion.more {
            return;
        }
        match self.acceptors[index].state {
            AcceptState::Stopping => self.close_acceptor(index),
            AcceptState::Armed => {
                self.acceptors[index].state = AcceptState::Idle;
                self.arm_accept(index);
            }
            AcceptState::Idle | AcceptState::Closed => {}
        }
        self.leave_fleet_if_drained();
    }

    /// A connection that another worker accepted.
    pub(super) fn handle_arrival(&mut self, completion: Completion) {
        let Outcome::Accepted(socket) = completion.outcome else {
            return;
        };
        self.context.stats().taken_over.add(1);
        self.open(completion.token.key.index as usize, socket);
    }

    /// A connection was handed over, or stays.
    pub(super) fn handle_hand_off(&mut self, completion: Completion) {
        self.context.hand_offs -= 1;
        let Key { index, generation } = completion.token.key;
        match completion.outcome {
            Outcome::Done => self.context.stats().handed_over.add(1),
            _ => {
                self.context.stats().error(ErrorKind::HandOver);
                let socket = Fd(i32::try_from(index).unwrap_or(-1));
                self.open(usize::from(generation), socket);
            }
        }
        self.leave_fleet_if_drained();
    }

    /// An acceptor has rested.
    pub(super) fn retry_accept(&mut self, index: u32) {
        self.arm_accept(index as usize);
    }

    fn arm_accept(&mut self, index: usize) {
        let acceptor = &mut self.acceptors[index];
        if acceptor.state == AcceptState::Idle && !self.draining {
            acceptor.state = AcceptState::Armed;
            let op = Op::Accept {
                listener: acceptor.socket,
            };
            self.context
                .reactor
                .submit(accept_token(index, Verb::Accept), op);
        }
    }

    fn accept_failed(&mut self, index: usize, errno: Errno) {
        match errno {
            Errno::ECANCELED => return,
            // The connection was gone before it was accepted.
            Errno::ECONNABORTED | Errno::EINTR | Errno::EAGAIN => return,
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::ENOBUFS => {
                self.context.stats().error(ErrorKind::AcceptDescriptors);
            }
            _ => self.context.stats().error(ErrorKind::Accept),
        }
        if self.acceptors[index].state == AcceptState::Armed {
            self.acceptors[index].state = AcceptState::Idle;
            let deadline = self.context.now() + REST;
            let due = Due::Acceptor(u32::try_from(index).unwrap_or(u32::MAX));
            self.context.reactor.arm(deadline, due);
        }
        let now = self.context.now();
        if let Some(others) = self.context.notices.accept.due(now) {
            let acceptor = &self.acceptors[index];
            let peer = self.context.reactor.driver().local_address(acceptor.socket);
            let peer = peer.unwrap_or_else(|_| SocketAddress::unnamed());
            let error = NetworkError {
                op: Operation::Accept,
                peer,
                source: errno,
            };
            let name = &self.context.options.listeners[acceptor.listener].name;
            tracing::warn!(
                listener = %name,
                others,
                "{error}; connections wait in the kernel's queue: raise the limit of open files \
                 (`ulimit -n`, LimitNOFILE=)"
            );
        }
    }

    /// A connection was accepted: refuse it, hand it over, or serve it.
    fn admit(&mut self, index: usize, socket: Fd) {
        let listener = self.acceptors[index].listener;
        let context = &mut self.context;
        context.listener_stats(listener).accepted.add(1);
        let most = context.options.listeners[listener].connections_max;
        if context.options.fleet.listener_active(listener) >= most {
            context.refuse(listener, socket, CloseReason::TooManyConnections);
            return;
        }
        let worker = context.options.worker;
        let relief = match context.options.hand_off_ratio {
            Some(ratio) if !self.draining => context.options.fleet.relief(worker, ratio),
            Some(_) | None => None,
        };
        match relief {
            Some(ring) => self.hand_over(listener, socket, ring),
            None => self.open(listener, socket),
        }
    }

    fn hand_over(&mut self, listener: usize, socket: Fd, ring: Fd) {
        // The token carries what is needed to keep the connection if it can not be given away.
        let number = u16::try_from(listener).unwrap_or(u16::MAX);
        let key = Key::new(socket.0.cast_unsigned(), number);
        let token = Token::new(key, CLIENT, Verb::HandOff);
        let arrival = Token::new(Key::new(u32::from(number), 0), CLIENT, Verb::Arrival);
        self.context.hand_offs += 1;
        self.context.reactor.submit(
            token,
            Op::HandOff {
                ring,
                arrival,
                socket,
            },
        );
    }

    /// Takes what waits in the queue, then closes the socket.
    fn close_acceptor(&mut self, index: usize) {
        let Acceptor {
            listener, socket, ..
        } = self.acceptors[index];
        let mut budget = Budget::new(DRAIN_MAX);
        while !budget.is_spent() {
            match self.context.reactor.driver().accept(socket) {
                Ok(accepted) => {
                    self.context.listener_stats(listener).accepted.add(1);
                    self.open(listener, accepted);
                }
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(_) => break,
            }
            budget.spend(1);
        }
        self.context.reactor.driver().close(socket);
        self.acceptors[index].state = AcceptState::Closed;
    }

    fn leave_fleet_if_drained(&mut self) {
        if self.is_drained() {
            self.context.cell().close();
        }
    }
}

fn accept_token(index: usize, verb: Verb) -> Token {
    Token::new(
        Key::new(u32::try_from(index).unwrap_or(u32::MAX), 0),
        CLIENT,
        verb,
    )
}
