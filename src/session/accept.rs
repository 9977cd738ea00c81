//! Listeners: accepting, limits, handing new connections to less loaded workers, draining.

use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;

use super::kind::Session;
use super::plan::ListenerPlan;
use super::{Due, ErrorKind, Sessions};
use crate::mem::Key;
use crate::net::{Acceptor, HandOver, NetworkError, Operation};
use crate::ring::{Completion, Driver, Fd, Outcome, SocketAddress};
use crate::runtime::Budget;
use crate::service::CloseReason;

/// How long an acceptor rests after descriptors or memory ran out. Trying again at once would
/// only fail again; connections wait in the kernel's queue meanwhile.
const REST: Duration = Duration::from_millis(100);
/// Connections that a drain takes from one queue at most: beyond the largest backlog.
const DRAIN_MAX: usize = 65_536;

/// A listening socket of this worker, and the listener that it belongs to.
#[derive(Debug)]
pub(super) struct Listener {
    /// None when the socket is closed: what is not in use keeps nothing of an earlier plan.
    pub(super) listener: Option<Rc<ListenerPlan>>,
    pub(super) acceptor: Acceptor,
}

impl Listener {
    pub(super) const fn new(number: u32, listener: Rc<ListenerPlan>, socket: Fd) -> Self {
        Self { listener: Some(listener), acceptor: Acceptor::new(number, socket) }
    }
}

impl<D: Driver> Sessions<D> {
    /// Begins to accept, and to take connections that other workers hand over to `ring`.
    pub fn start(&mut self, ring: Option<Fd>) {
        self.started = true;
        self.context.cell().open(ring);
        for entrance in &mut self.listeners {
            entrance.acceptor.arm(&mut self.context.reactor);
        }
        self.datagrams.start(&mut self.context);
    }

    /// Stops to accept, for good: cancels, empties the queues, closes the sockets.
    pub fn drain(&mut self) {
        self.draining = true;
        for index in 0..self.listeners.len() {
            if !self.listeners[index].acceptor.stop(&mut self.context.reactor) {
                self.close_entrance(index);
            }
        }
        self.drain_sessions();
        self.datagrams.drain(&mut self.context);
        self.stop_accepting_if_drained();
    }

    /// Whether no connection can come any more, from a listener or by the hand of this worker.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let closed = self.listeners.iter().all(|entrance| entrance.acceptor.is_closed());
        let quiet = closed && self.datagrams.is_drained();
        self.draining && self.context.hand_offs == 0 && quiet
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the other outcomes belong to other verbs")]
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
        let acceptor = &mut self.listeners[index].acceptor;
        if acceptor.is_stopping() {
            self.close_entrance(index);
        } else if acceptor.is_pausing() {
            acceptor.rest();
            self.rest(index);
        } else if acceptor.is_armed() {
            acceptor.rest();
            acceptor.arm(&mut self.context.reactor);
        }
        self.stop_accepting_if_drained();
    }

    /// A connection that another worker accepted.
    pub(super) fn handle_arrival(&mut self, completion: Completion) {
        let Outcome::Accepted(socket) = completion.outcome else {
            return;
        };
        self.context.stats().taken_over.add(1);
        self.open_arrived(completion.token.key.index as usize, socket);
    }

    /// A connection was handed over, or stays.
    pub(super) fn handle_hand_off(&mut self, completion: Completion) {
        self.context.hand_offs -= 1;
        let HandOver { socket, listener } = HandOver::of(completion.token);
        if matches!(completion.outcome, Outcome::Done) {
            self.context.stats().handed_over.add(1);
        } else {
            self.context.stats().error(ErrorKind::HandOver);
            self.open_arrived(usize::from(listener), socket);
        }
        self.stop_accepting_if_drained();
    }

    /// Serves a connection that was handed over. Its listener may have been removed meanwhile.
    fn open_arrived(&mut self, listener: usize, socket: Fd) {
        match self.context.plan.listener(listener).cloned() {
            Some(listener) => self.open(&listener, socket),
            None => {
                let stats = self.context.stats().listeners.find(listener);
                if let Some(stats) = stats {
                    stats.closed[CloseReason::ShutdownTimeout.index()].add(1);
                }
                self.context.reactor.driver().close(socket);
            }
        }
    }

    /// An acceptor has rested.
    pub(super) fn retry_accept(&mut self, index: u32) {
        if !self.draining
            && let Some(Listener { acceptor, .. }) = self.listeners.get_mut(index as usize)
        {
            acceptor.arm(&mut self.context.reactor);
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has too many error numbers")]
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
        if self.listeners[index].acceptor.is_armed() {
            self.listeners[index].acceptor.rest();
            self.rest(index);
        }
        self.tell_accept(index, errno);
    }

    /// Accepts again after a while.
    fn rest(&mut self, index: usize) {
        let deadline = self.context.now() + REST;
        let due = Due::Acceptor(u32::try_from(index).unwrap_or(u32::MAX));
        self.context.reactor.arm(deadline, due);
    }

    fn tell_accept(&mut self, index: usize, errno: Errno) {
        let now = self.context.now();
        if let Some(others) = self.context.notices.accept.due(now) {
            let Listener { listener, acceptor } = &self.listeners[index];
            let peer = self.context.reactor.driver().local_address(acceptor.socket());
            let peer = peer.unwrap_or_else(|_| SocketAddress::unnamed());
            let error = NetworkError { op: Operation::Accept, peer, source: errno };
            let name = listener.as_ref().map(|listener| listener.options.name.as_str());
            tracing::warn!(
                listener = name,
                others,
                "{error}; connections wait in the kernel's queue, or are refused: raise the limit \
                 of open files (`ulimit -n`, LimitNOFILE=)"
            );
        }
    }

    /// A connection was accepted: refuse it, hand it over, or serve it.
    fn admit(&mut self, index: usize, socket: Fd) {
        let Some(listener) = self.listeners[index].listener.clone() else {
            debug_assert!(false, "a connection was accepted on a socket that is closed");
            return self.context.reactor.driver().close(socket);
        };
        let context = &mut self.context;
        listener.stats.accepted.add(1);
        let door = context.options.descriptors;
        if socket.0 >= door.pause && self.listeners[index].acceptor.is_armed() {
            context.stats().error(ErrorKind::AcceptDescriptors);
            self.listeners[index].acceptor.pause(&mut context.reactor);
            // Files that are only kept for the next request give way to connections.
            let super::context::Context { http, reactor, .. } = context;
            http.shed_files(reactor);
            self.tell_accept(index, Errno::EMFILE);
        }
        let context = &mut self.context;
        if socket.0 >= door.refuse {
            context.refuse(&listener, socket, CloseReason::Resources);
            return;
        }
        if listener.active() >= listener.options.connections_max {
            context.refuse(&listener, socket, CloseReason::TooManyConnections);
            return;
        }
        let worker = context.options.worker;
        let relief = match context.options.hand_off_ratio {
            // The other worker may know a listener no more that is being closed.
            Some(ratio) if !self.draining && !self.listeners[index].acceptor.is_stopping() => {
                context.options.workers.relief(worker, ratio)
            }
            Some(_) | None => None,
        };
        match (relief, u16::try_from(listener.number())) {
            (Some(ring), Ok(listener)) => {
                context.hand_offs += 1;
                HandOver { socket, listener }.submit(&mut context.reactor, ring);
            }
            (Some(_), Err(_)) | (None, _) => self.open(&listener, socket),
        }
    }

    /// Takes what waits in the queue, then closes the socket.
    pub(super) fn close_entrance(&mut self, index: usize) {
        let mut budget = Budget::new(DRAIN_MAX);
        while !budget.is_spent() && !self.listeners[index].acceptor.is_closed() {
            match self.listeners[index].acceptor.take_waiting(&mut self.context.reactor) {
                Ok(accepted) => self.admit(index, accepted),
                Err(Errno::EINTR | Errno::ECONNABORTED) => {}
                Err(_) => break,
            }
            budget.spend(1);
        }
        let entrance = &mut self.listeners[index];
        entrance.acceptor.close(&mut self.context.reactor);
        entrance.listener = None;
    }

    pub(super) fn stop_accepting_if_drained(&mut self) {
        if self.is_drained() {
            self.context.cell().close();
        }
    }
}

impl<D: Driver> Sessions<D> {
    /// A connection is open: it becomes the session that its listener is for.
    pub(super) fn serve_opened(&mut self, key: Key) {
        let context = &mut self.context;
        let mut early = None;
        self.slab.replace(key, |session| {
            let Session::Handshake(opening) = session else { return session };
            let (common, stream, arrival, seen) = opening.into_parts();
            early = seen;
            Session::serve(context, common, stream, &arrival)
        });
        let Some(session) = self.slab.get_mut(key) else { return };
        session.start(&mut self.context, key);
        if let Some(early) = early {
            session.take_early(&mut self.context, key, early);
        }
        let number = session.listener().map(|listener| listener.number());
        if self.draining {
            session.drain(&mut self.context, key);
        } else if number.is_some_and(|number| self.context.plan.listener(number).is_none()) {
            session.depart(&mut self.context, key);
        }
    }
}
