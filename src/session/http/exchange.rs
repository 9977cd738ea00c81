//! One request and its answer, between a client and a server.
//!
//! An exchange is a slot of its own, because a connection of either side may carry many of them one
//! after the other, and with later versions at once. It knows its two connections by their keys;
//! each of them takes from it what the other has put there.
//!
//! ```text
//!   Waiting ──a connection is free──> Linked ──answer's head──> Replying ──all of it──> Replied
//!      ^  └──time is over──> Failed      │ failed, and may be tried again
//!      └─────────────────────────────────┘
//! ```
//!
//! While it waits for an answer there may be a second try beside the first: see `hedge`.

use std::time::Instant;

use super::flow::Flow;
use super::state::Told;
use crate::mem::{Buf, Key};
use crate::proto::http::{Fields, RequestHead, ResponseHead};
use crate::proto::http1::Framing;
use crate::service::cluster::attempts::Attempts;
use crate::service::cluster::clock::Carried;
use crate::service::cluster::failure::{Failure, Progress};
use crate::session::deadline::Deadline;

use super::state::HttpState;

/// What a client asks for, beside the head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    /// The client's connection.
    pub(super) client: Key,
    /// Its listener's place among all.
    pub(super) listener: usize,
    /// How the body is delimited.
    pub(super) framing: Framing,
    /// Whether it asks for another protocol.
    pub(super) upgrade: bool,
    /// Whether the client has said that its connection ends behind the answer.
    pub(super) closes: bool,
}

/// One exchange.
#[derive(Debug)]
pub(in crate::session) struct Exchange {
    pub(super) asked: Asked,
    pub(super) upstream: usize,
    pub(super) head: Box<RequestHead>,
    pub(super) told: Told,
    pub(super) request: Flow,
    pub(super) response: Flow,
    /// Interim answers as the client gets them, until it has taken them.
    pub(super) interim: Vec<u8>,
    /// The answer's head, until the client has taken it.
    pub(super) answer: Option<Box<ResponseHead>>,
    /// The length of the answer's body, if it was declared.
    pub(super) length: Option<u64>,
    /// The client gets the answer in another coding than the server's.
    pub(super) recoded: bool,
    pub(super) state: State,
    pub(super) failed: Option<Failure>,
    /// What the balancer goes by.
    pub(super) hash: Option<u64>,
    pub(super) attempts: Attempts,
    /// What was sent of the request's body, as long as it may have to be sent again.
    pub(super) kept: Vec<u8>,
    /// It was too much to be kept: the exchange cannot be repeated.
    pub(super) kept_too_much: bool,
    /// While no server's connection keeps the time.
    pub(super) deadline: Deadline,
    /// The path that the server is asked for, if it is not the client's.
    pub(super) path: Option<String>,
    /// Something of the request was written to a server.
    pub(super) is_sent: bool,
    /// It counts among those that are under way.
    pub(super) has_entered: bool,
    /// When the present try began.
    pub(super) tried: Instant,
    /// When all must be over.
    pub(super) until: Option<Instant>,
    /// A second try beside the first: it waits, or is linked.
    pub(super) hedge: Option<State>,
    /// When the second try is made, or, once there is none to be made, when it was.
    pub(super) hedged: Hedged,
}

/// Whether a second try is made beside the first. There is one at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hedged {
    /// Not now.
    No,
    /// Then, unless an answer has come.
    Due(Instant),
    /// It was, then.
    Since(Instant),
}

/// How far an exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for a connection to this server.
    Waiting { server: usize },
    /// It waits to be tried again.
    Resting,
    /// This connection carries it.
    Linked { origin: Key, server: usize },
    /// The answer is all there, or there will be none.
    Done,
}

impl State {
    /// The server that it waits for, or that carries it.
    pub(super) const fn server(self) -> Option<usize> {
        match self {
            Self::Waiting { server } | Self::Linked { server, .. } => Some(server),
            Self::Resting | Self::Done => None,
        }
    }
}

/// What a client gets next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing new at the head of the answer.
    Nothing,
    /// There will be no answer, or no more of it.
    Failed(Failure),
    /// The head of the answer.
    Head,
    /// The connection changes to another protocol.
    Upgrade,
}

impl Exchange {
    /// Whose fault it is when the time of all its tries is over.
    pub(super) fn total_failure(&self) -> Failure {
        let is_slow = !self.request.ended && self.request.waiting() == 0;
        let is_asked = matches!(self.state, State::Linked { .. });
        if is_slow && is_asked { Failure::ClientTimeout } else { Failure::TotalTimeout }
    }

    /// The server of the connection, if that carries it.
    pub(super) fn server_of(&self, key: Key) -> Option<usize> {
        [Some(self.state), self.hedge].into_iter().flatten().find_map(|state| match state {
            State::Linked { origin, server } if origin == key => Some(server),
            State::Linked { .. } | State::Waiting { .. } | State::Resting | State::Done => None,
        })
    }

    /// When the try began that the connection carries.
    pub(super) fn tried_by(&self, key: Key) -> Instant {
        match (self.hedge, self.hedged) {
            (Some(State::Linked { origin, .. }), Hedged::Since(then)) if origin == key => then,
            _ => self.tried,
        }
    }

    /// What the clocks of the connection go by that carries it.
    pub(super) fn carried_by(&self, key: Key) -> Carried {
        Carried { tried: self.tried_by(key), has_head: self.has_head() }
    }

    /// Whether the head of an answer has come.
    pub(super) fn has_head(&self) -> bool {
        self.told.status != 0 || self.answer.is_some()
    }

    /// How far it has come, as far as trying again goes.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            idempotent: self.head.method.is_idempotent(),
            body_repeatable: self.is_repeatable(),
            sent: self.is_sent,
            answered: self.has_head(),
        }
    }
}

impl HttpState {
    /// What is next for the client of an exchange.
    pub(super) fn take_reply(&mut self, exchange: Key) -> Reply {
        let Some(exchange) = self.exchanges.get_mut(exchange) else { return Reply::Nothing };
        if let Some(failure) = exchange.failed.take() {
            return Reply::Failed(failure);
        }
        match &exchange.answer {
            Some(answer) if answer.status == 101 => Reply::Upgrade,
            Some(_) => Reply::Head,
            None => Reply::Nothing,
        }
    }

    /// Whether the client has said that its connection ends behind the answer.
    pub(super) fn closes(&self, exchange: Key) -> bool {
        self.exchanges.get(exchange).is_some_and(|exchange| exchange.asked.closes)
    }

    /// Whether the head of the answer went to the client.
    pub(super) fn has_replied(&self, exchange: Key) -> bool {
        self.exchanges.get(exchange).is_some_and(|exchange| exchange.told.status != 0)
    }

    /// Whether all of the answer was taken.
    pub(super) fn is_replied(&self, exchange: Key) -> bool {
        let exchange = self.exchanges.get(exchange);
        exchange.is_some_and(|one| one.response.ended && one.response.waiting() == 0)
    }

    /// The next part of the answer's body.
    pub(super) fn take_part(&mut self, exchange: Key) -> Option<Buf> {
        let exchange = self.exchanges.get_mut(exchange)?;
        let part = exchange.response.pop()?;
        exchange.told.sent += part.len() as u64;
        Some(part)
    }

    pub(super) fn take_trailers(&mut self, exchange: Key) -> Option<Box<Fields>> {
        self.exchanges.get_mut(exchange)?.response.trailers.take()
    }

    /// Whether more of the request's body may be read.
    pub(super) fn takes_body(&self, exchange: Key) -> bool {
        let exchange = self.exchanges.get(exchange);
        exchange.is_some_and(|exchange| !exchange.request.is_full())
    }

    /// A part of the request's body has come.
    pub(super) fn push_body(&mut self, key: Key, part: Buf) {
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.told.received += part.len() as u64;
            exchange.request.push(part);
            self.filled.push(key);
        }
    }

    /// The end of a turn: what waits in exchanges holds nothing of the pool.
    pub(in crate::session) fn hold(&mut self) {
        for key in self.filled.drain(..) {
            if let Some(exchange) = self.exchanges.get_mut(key) {
                exchange.request.hold();
                exchange.response.hold();
            }
        }
    }

    /// All of the request's body has come.
    pub(super) fn end_body(&mut self, exchange: Key, trailers: Option<Box<Fields>>) {
        if let Some(exchange) = self.exchanges.get_mut(exchange) {
            exchange.request.ended = true;
            exchange.request.trailers = trailers;
        }
    }
}
