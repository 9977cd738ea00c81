//! What a connection of HTTP/2 to a server carries, and what of that is to be worked on: a turn
//! costs by the exchanges that something has come for.

use std::time::Instant;

use crate::mem::Key;
use crate::proto::http2::{Client, Limits, StreamId};
use crate::service::cluster::clock::ServerClock;
use crate::service::cluster::failure::Failure;

/// What a connection of HTTP/2 carries.
#[derive(Debug)]
pub(super) struct Many {
    pub(super) wire: Client,
    pub(super) limits: Limits,
    pub(super) carried: Vec<Carried>,
    /// When something that is waited for may be late: then, or earlier.
    pub(super) due_from: Option<Instant>,
    /// Exchanges at a time that its pool was told of.
    pub(super) capacity: u32,
    /// It has carried an exchange to its end.
    pub(super) is_used: bool,
    /// The server takes no further requests, and the pool knows.
    pub(super) is_retired: bool,
    /// Tunnels of which nothing is left but what has to go out.
    ending: Vec<StreamId>,
}

/// One exchange that is carried.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) exchange: Key,
    /// Its stream, once its head was sent.
    pub(super) stream: Option<StreamId>,
    pub(super) clock: ServerClock,
    /// The server has said something of it.
    pub(super) is_seen: bool,
    /// Bytes of it that waited for the server at the last look.
    pub(super) queued: usize,
    /// Bytes of the connection up to the end of the request, once that is known.
    pub(super) whole_at: Option<u64>,
    /// It is a tunnel.
    pub(super) is_tunnel: bool,
    /// All that its server has sent into that was passed on.
    pub(super) is_answer_over: bool,
    /// It failed before it was worked on.
    pub(super) failed: Option<Failure>,
    /// Something has come for it, or it was stopped by what no event tells the end of: it is worked
    /// on in the next turn.
    pub(super) is_due: bool,
    /// What is waited for may not be what it was.
    pub(super) is_changed: bool,
}

impl Carried {
    pub(super) fn new(exchange: Key, now: Instant) -> Self {
        let mut clock = ServerClock::new(now);
        clock.assign(now);
        Self {
            exchange,
            stream: None,
            clock,
            is_seen: false,
            queued: 0,
            whole_at: None,
            is_tunnel: false,
            is_answer_over: false,
            failed: None,
            is_due: true,
            is_changed: true,
        }
    }
}

impl Many {
    /// A connection that carries nothing yet.
    pub(super) fn new() -> Self {
        let limits = Limits::default();
        Self {
            wire: Client::new(&limits),
            limits,
            carried: Vec::new(),
            due_from: None,
            capacity: 0,
            is_used: false,
            is_retired: false,
            ending: Vec::new(),
        }
    }

    /// Whether it carries nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.carried.is_empty()
    }

    /// Whether a completed send leaves nothing to be done.
    pub(super) fn is_calm(&self) -> bool {
        self.wire.queued() == 0 && self.wire.is_read() && !self.wire.has_ended()
    }

    /// Something has come for an exchange.
    pub(super) fn mark(&mut self, exchange: Key) {
        if let Some(one) = self.carried.iter_mut().find(|one| one.exchange == exchange) {
            one.is_due = true;
        }
    }

    /// Both sides of a tunnel have ended, and what its client has sent has to go out.
    pub(super) fn note_ending(&mut self, stream: StreamId) {
        if !self.ending.contains(&stream) {
            self.ending.push(stream);
        }
    }

    /// Marks those of which all is out; whether there are any.
    pub(super) fn mark_ended(&mut self) -> bool {
        let Self { ending, wire, carried, .. } = self;
        let before = ending.len();
        ending.retain(|stream| {
            let is_sent = wire.is_sent(*stream);
            let one = carried.iter_mut().find(|one| one.stream == Some(*stream) && is_sent);
            one.into_iter().for_each(|one| one.is_due = true);
            !is_sent
        });
        ending.len() < before
    }

    pub(super) fn place(&self, stream: StreamId) -> Option<usize> {
        self.carried.iter().position(|one| one.stream == Some(stream))
    }
}
