//! The connections of a generator: how they are made, what is on them, and how they end.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt,
};

use super::{CONNECTS_MAX, Generator, REST, Stage};
use crate::load::recorder::Failure;
use crate::load::wire::{RequestNumber, Wire};
use crate::mem::Key;
use crate::net::Stream;
use crate::ring::{Driver, Fd, Lane, SocketAddress, StreamOptions};
use crate::session::WriteBuffer;

/// Bytes that wait for a server, beyond which it is not read.
const WAITING_MAX: usize = 1024 * 1024;

/// A request that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) number: RequestNumber,
    /// When it was to be sent.
    pub(super) due: Instant,
    /// When it could be sent, in an open loop: from then on a connection was free for it. `None`
    /// where a connection is made for it.
    pub(super) could: Option<Instant>,
    /// When it was; while it waits for its connection, when that was begun.
    pub(super) sent: Instant,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The connect is under way, since then.
    Connecting(Instant),
    /// The handshake of TLS is.
    Securing(Instant),
    /// It stands.
    Open,
    /// Nothing more is wanted of it.
    Closing,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) buffer: WriteBuffer,
    pub(super) wire: Box<dyn Wire>,
    pub(super) phase: Phase,
    /// When it stood.
    pub(super) opened: Instant,
    /// What is under way on it, the oldest first.
    pub(super) requests: VecDeque<Request>,
    /// The request that it is made for, where each has its own.
    pub(super) waiting: Option<Request>,
    /// Requests may begin, or could.
    pub(super) is_greeted: bool,
    /// The server sends no more.
    pub(super) has_ended: bool,
}

impl Connection {
    /// A request that is under way.
    pub(super) fn find(&self, number: RequestNumber) -> Option<&Request> {
        self.requests.iter().find(|request| request.number == number)
    }

    /// The same, which is over.
    pub(super) fn take(&mut self, number: RequestNumber) -> Option<Request> {
        let place = self.requests.iter().position(|request| request.number == number)?;
        self.requests.remove(place)
    }

    /// Whether another request may be written. Datagrams that were written together would go out as
    /// one.
    pub(super) fn takes_requests(&self, thinking: usize) -> bool {
        self.phase == Phase::Open
            && self.wire.room() > thinking
            && (!self.wire.is_datagram() || self.stream.is_drained())
    }
}

impl<D: Driver> Generator<D> {
    /// Connects those whose turn it is.
    pub(super) fn connect_more(&mut self) {
        if matches!(self.stage, Stage::Draining(_)) {
            return;
        }
        while self.connecting < CONNECTS_MAX
            && let Some(slot) = self.to_connect.pop_front()
        {
            if self.slots[slot as usize].connection.is_none() {
                self.connect(slot as usize, None);
            }
        }
    }

    /// Connects a slot, perhaps for one request.
    pub(super) fn connect(&mut self, place: usize, waiting: Option<Request>) {
        let now = self.reactor.driver().now();
        let Some(address) = self.address(place) else { return };
        let socket = match self.socket(&address) {
            Ok(socket) => socket,
            Err(errno) => return self.resources(place, errno, waiting),
        };
        if !self.setup.is_datagram() {
            let options = StreamOptions { nodelay: true, ..StreamOptions::default() };
            self.reactor.driver().configure(socket, &options);
        }
        let key = self.slots[place].key;
        let mut stream = Stream::new(Lane::Client, None);
        stream.connect(&mut self.reactor, key, socket, address);
        self.connecting += 1;
        let wire = self.setup.wire(&mut self.random);
        self.slots[place].connection = Some(Box::new(Connection {
            stream,
            buffer: WriteBuffer::default(),
            wire,
            phase: Phase::Connecting(now),
            opened: now,
            requests: VecDeque::new(),
            waiting,
            is_greeted: false,
            has_ended: false,
        }));
    }

    /// Where a slot connects to.
    fn address(&self, place: usize) -> Option<SocketAddress> {
        let addresses = &self.setup.addresses;
        addresses.get(place % addresses.len().max(1)).copied()
    }

    /// A socket, at the next address of ours where there are any.
    fn socket(&mut self, to: &SocketAddress) -> Result<Fd, Errno> {
        let sources = &self.setup.sources;
        if sources.is_empty() && !self.setup.is_datagram() {
            return self.reactor.driver().socket(to);
        }
        let family = match to.ip() {
            Some(SocketAddr::V6(_)) => AddressFamily::Inet6,
            Some(SocketAddr::V4(_)) => AddressFamily::Inet,
            None => AddressFamily::Unix,
        };
        let kind = if self.setup.is_datagram() { SockType::Datagram } else { SockType::Stream };
        let made = socket(family, kind, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
        if let Some(source) = sources.get(self.next_source % sources.len().max(1)) {
            self.next_source += 1;
            if !self.setup.is_datagram() {
                // The port is chosen at connect(2), where only the pair of addresses must be new.
                setsockopt(&made, sockopt::IpBindAddressNoPort, &true)?;
            }
            bind(made.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(*source, 0)))?;
        }
        Ok(Fd(made.into_raw_fd()))
    }

    /// A connection stands, or its handshake of TLS is done.
    pub(super) fn connected(&mut self, place: usize) {
        let now = self.reactor.now();
        let key = self.slots[place].key;
        let Some(connection) = &mut self.slots[place].connection else { return };
        let tls = match connection.phase {
            Phase::Connecting(since) => {
                self.slice.connect.record(now.saturating_duration_since(since));
                self.setup.tls.as_ref()
            }
            Phase::Securing(since) => {
                self.slice.tls.record(now.saturating_duration_since(since));
                None
            }
            Phase::Open | Phase::Closing => return,
        };
        match tls.map(|tls| tls.session()) {
            Some(Ok(session)) => {
                connection.phase = Phase::Securing(now);
                connection.stream.secure_connected(&mut self.reactor, key, session);
                return;
            }
            Some(Err(error)) => {
                self.connecting -= 1;
                return self.broken(place, Failure::Tls, &error.to_string());
            }
            None => {}
        }
        (connection.phase, connection.opened) = (Phase::Open, now);
        self.connecting -= 1;
        self.slice.tally.connects += 1;
        let mut out = connection.buffer.writer(&mut self.pages, &mut connection.stream);
        connection.wire.greet(&mut self.memory, &mut out);
        if let Some(early) = connection.stream.take_held() {
            connection.wire.receive(early);
        }
        connection.stream.receive(&mut self.reactor, key, false);
        self.mark(place);
    }

    /// A connection does not stand.
    pub(super) fn connect_failed(&mut self, place: usize, errno: Errno) {
        let Some(connection) = &self.slots[place].connection else { return };
        let tls = connection.stream.tls_error().map(|error| format!("TLS: {error}"));
        let to = self.address(place).map_or_else(String::new, |address| format!(" to {address}"));
        let (failure, reason) = match (tls, errno) {
            (Some(reason), _) => (Failure::Tls, reason),
            (None, Errno::EADDRNOTAVAIL | Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS) => {
                (Failure::Resources, format!("connect{to}: {}", errno.desc()))
            }
            (None, Errno::ETIMEDOUT) => {
                (Failure::ConnectTimeout, format!("connect{to}: {}", errno.desc()))
            }
            (None, _) => (Failure::Connect, format!("connect{to}: {}", errno.desc())),
        };
        self.connecting -= 1;
        self.broken(place, failure, &reason);
    }

    /// Ends a connection. Its slot is free when the kernel has given all back.
    pub(super) fn close(&mut self, place: usize) {
        let key = self.slots[place].key;
        if let Some(connection) = &mut self.slots[place].connection
            && connection.phase != Phase::Closing
        {
            connection.phase = Phase::Closing;
            connection.stream.abandon(&mut self.reactor, key);
        }
        self.mark(place);
    }

    /// A slot connects again, at once or after a rest.
    pub(super) fn reconnect_later(&mut self, place: usize) {
        if matches!(self.stage, Stage::Draining(_)) {
            return;
        }
        let slot = &mut self.slots[place];
        let (first, longest) = REST;
        if slot.failed > 0 {
            let rest = first.saturating_mul(1 << slot.failed.min(10)).min(longest);
            slot.is_resting = true;
            let at = self.reactor.now() + rest;
            self.wakes.push(Reverse((at, slot.key.index, false)));
        } else if self.setup.keepalive {
            self.to_connect.push_back(slot.key.index);
        } else {
            self.offer(place);
        }
    }

    /// Sends what was written, and frees the slots of connections that have ended.
    pub(super) fn transmit(&mut self) {
        let now = self.reactor.now();
        for slot in std::mem::take(&mut self.dirty) {
            let place = slot as usize;
            let key = self.slots[place].key;
            self.slots[place].is_dirty = false;
            let Some(connection) = &mut self.slots[place].connection else { continue };
            match connection.phase {
                Phase::Open => self.send(place, key, now),
                Phase::Closing if connection.stream.is_quiet() => self.free(place),
                Phase::Closing | Phase::Connecting(_) | Phase::Securing(_) => {}
            }
        }
    }

    fn send(&mut self, place: usize, key: Key, now: Instant) {
        let Some(connection) = &mut self.slots[place].connection else { return };
        let Connection { stream, buffer, wire, has_ended, .. } = &mut **connection;
        wire.finish(now, &mut self.memory, &mut buffer.writer(&mut self.pages, stream));
        buffer.finish(&mut self.pages, stream);
        stream.flush(&mut self.reactor, key);
        // A server that takes nothing is not read: what it asks for would be kept.
        if buffer.waiting() > WAITING_MAX {
            stream.pause(&mut self.reactor, key);
        } else if !stream.is_receiving() && !*has_ended {
            stream.receive(&mut self.reactor, key, false);
        }
    }

    fn free(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        let key = slot.key;
        if let Some(mut connection) = slot.connection.take() {
            connection.stream.close(&mut self.reactor, key);
        }
        slot.key = Key::new(key.index, key.generation.wrapping_add(1));
        self.reconnect_later(place);
    }
}
