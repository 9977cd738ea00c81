//! One exchange: a request on its way to a server, and the answer on its way back.
//!
//! ```text
//!   Waiting ──a connection is free──> Linked ──the answer is all there──> Done
//!      ^  │                              │
//!      │  └──time is over──┐             │ failed
//!      │                   v             v
//!   Resting <──────── tried again, if that is safe and allowed; else failed: Done
//! ```
//!
//! While it waits for an answer there may be a second try beside the first: see `hedge`.

use std::time::{Duration, Instant};

use super::ProxyAction;
use super::clients::ClientSums;
use super::tunnel::WebSocket;
use crate::mem::{Buf, Key};
use crate::proto::http::{BodySize, Method, RequestHead, ResponseHead};
use crate::service::cluster::attempts::Attempts;
use crate::service::cluster::clock::Carried;
use crate::service::cluster::failure::{Failure, TryProgress};
use crate::service::grpc;
use crate::service::http::body::Body;
use crate::service::http::budget::WaitingBudget;
use crate::service::http::record::RequestRecord;

/// A request that is passed on.
#[derive(Debug)]
pub struct ForwardedRequest {
    /// Its head.
    pub head: Box<RequestHead>,
    /// The path that the server is asked for, if it is not the client's.
    pub path: Option<String>,
    /// How long its body is.
    pub size: BodySize,
    /// Whether it asks for another protocol.
    pub upgrade: bool,
    /// What there is of it where that is a WebSocket.
    pub websocket: Option<Box<WebSocket>>,
    /// Whether the client has said that its connection ends behind the answer.
    pub closes: bool,
    /// What has come of its body, and was not passed on.
    pub body: Body,
}

/// What there is of an answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its head, until the client has taken it.
    pub head: Option<Box<ResponseHead>>,
    /// The interim answers before it, until the client has taken them.
    pub interim: Vec<Box<ResponseHead>>,
    /// The length of its body, if it was declared.
    pub length: Option<u64>,
    /// What has come of its body, and was not passed on.
    pub body: Body,
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    /// The client's connection.
    pub client: Key,
    /// The stream of the request there; 0 where there are no streams.
    pub stream: u32,
    /// The cluster whose servers are asked.
    pub cluster: usize,
    /// What is asked.
    pub request: ForwardedRequest,
    /// What is answered.
    pub answer: Answer,
    /// What is recorded of it.
    pub record: RequestRecord,
    pub(super) tries: Tries,
    pub(super) waiting: Waiting,
    /// What was sent of the request's body.
    pub(super) kept: Kept,
    /// Why there will be no answer, or no more of it, until the client has been told.
    pub(super) failed: Option<Failure>,
    /// When all must be over.
    pub(super) until: Option<Instant>,
}

/// What waits of an exchange, in bytes of memory.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// What the worker's budget counts of its bodies.
    pub(super) counted: usize,
    /// What is counted of the answer's for the client.
    pub(super) answer: usize,
    /// What waits on the client's connection, which its session counts.
    pub(super) on_client: usize,
    /// What waits on the server's connection.
    pub(super) on_server: usize,
}

/// The tries of an exchange.
#[derive(Debug)]
pub(super) struct Tries {
    pub(super) state: State,
    /// When the present try began.
    pub(super) began: Instant,
    /// A second try beside the first: it waits, or is linked.
    pub(super) second: Option<State>,
    /// The body of the request was written on the connection of the second try.
    pub(super) second_has_body: bool,
    /// When the second try is made, or, once there is none to be made, when it was.
    pub(super) hedged: Hedged,
    pub(super) attempts: Attempts,
    /// What the balancer goes by.
    pub(super) hash: Option<u64>,
    /// Something of the request was written to a server.
    pub(super) is_sent: bool,
    /// It counts among those that are under way.
    pub(super) has_entered: bool,
}

/// What was sent of a request's body, as long as it may have to be sent again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// It was too much to be kept: the exchange cannot be repeated.
    is_too_much: bool,
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

/// How far a try has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for a connection to this server.
    Waiting { server: usize },
    /// It waits to be tried again.
    Resting,
    /// This connection carries it.
    Linked { connection: Key, server: usize },
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
pub enum Reply {
    /// Nothing new at the head of the answer.
    Nothing,
    /// There will be no answer, or no more of it.
    Failed(Failure),
    /// The head of the answer.
    Head,
    /// The connection changes to another protocol.
    Upgrade,
    /// The head of the answer, behind which a tunnel follows: [`HttpProxy::tunnel_opened`].
    ///
    /// [`HttpProxy::tunnel_opened`]: super::HttpProxy::tunnel_opened
    Tunnel,
}

impl Kept {
    /// Keeps a part that is sent, as long as there are no more than `most` bytes.
    fn keep(&mut self, part: &[u8], most: usize) {
        if self.is_too_much {
            return;
        }
        if self.bytes.len() + part.len() > most {
            self.is_too_much = true;
            self.bytes = Vec::new();
            return;
        }
        self.bytes.extend_from_slice(part);
    }
}

impl Exchange {
    /// Whether the connection carries it.
    #[must_use]
    pub fn is_carried_by(&self, connection: Key) -> bool {
        self.server_of(connection).is_some()
    }

    /// The server of the connection, if that carries it.
    pub(super) fn server_of(&self, key: Key) -> Option<usize> {
        let states = [Some(self.tries.state), self.tries.second];
        states.into_iter().flatten().find_map(|state| match state {
            State::Linked { connection, server } if connection == key => Some(server),
            State::Linked { .. } | State::Waiting { .. } | State::Resting | State::Done => None,
        })
    }

    /// When the try began that the connection carries.
    pub(super) fn tried_by(&self, key: Key) -> Instant {
        match (self.tries.second, self.tries.hedged) {
            (Some(State::Linked { connection, .. }), Hedged::Since(then)) if connection == key => {
                then
            }
            _ => self.tries.began,
        }
    }

    /// What the clocks of the connection go by that carries it.
    #[must_use]
    pub fn carried_by(&self, key: Key) -> Carried {
        Carried { tried: self.tried_by(key), has_head: self.has_head() }
    }

    /// When all must be over.
    #[must_use]
    pub const fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether the head of an answer has come.
    #[must_use]
    pub const fn has_head(&self) -> bool {
        self.record.status != 0 || self.answer.head.is_some()
    }

    /// Whether the head of the answer went to the client.
    #[must_use]
    pub const fn has_replied(&self) -> bool {
        self.record.status != 0
    }

    /// Whose fault it is when the time of all its tries is over.
    #[must_use]
    pub fn total_failure(&self) -> Failure {
        let is_waiting = self.request.body.waiting() > 0 || self.holds_body();
        let is_slow = !self.request.body.has_ended() && !is_waiting;
        let is_asked = matches!(self.tries.state, State::Linked { .. });
        if is_slow && is_asked { Failure::ClientTimeout } else { Failure::TotalTimeout }
    }

    /// How far it has come, as far as trying again goes.
    pub(super) fn progress(&self) -> TryProgress {
        TryProgress {
            idempotent: self.request.head.method.is_idempotent(),
            body_repeatable: self.is_repeatable(),
            sent: self.tries.is_sent,
            answered: self.has_head(),
        }
    }

    /// Bytes of memory that its bodies take.
    pub(super) fn cost(&self) -> usize {
        self.request.body.cost() + self.answer.body.cost() + self.kept.bytes.capacity()
    }

    /// The bodies have changed: the budget follows.
    pub(super) fn recount(&mut self, budget: &mut WaitingBudget, clients: &mut ClientSums) {
        let cost = self.cost();
        budget.recount(&mut self.waiting.counted, cost);
        self.recount_answer(self.answer.body.cost(), clients);
    }

    /// What waits for the client has changed.
    pub(super) fn recount_answer(&mut self, cost: usize, clients: &mut ClientSums) {
        let before = std::mem::replace(&mut self.waiting.answer, cost);
        clients.change(self, before);
    }

    /// What the budget counts of its bodies.
    pub(super) const fn counted(&self) -> usize {
        self.waiting.counted
    }

    /// What is counted of the answer's body for the client.
    pub(super) const fn counted_for_client(&self) -> usize {
        self.waiting.answer
    }

    /// The slot of its client's connection, if that may have other exchanges.
    pub(super) fn slot(&self) -> Option<usize> {
        (self.stream != 0).then_some(self.client.index as usize)
    }

    /// Whether more of the request's body may be read, when so much may wait for one peer.
    pub(super) fn takes_body(&self, allowed: usize) -> bool {
        self.request.body.has_room(allowed, self.waiting.on_server)
    }

    /// Whether more of the answer's body may be read, when so much may wait for one peer.
    pub(super) fn takes_answer(&self, allowed: usize) -> bool {
        self.answer.body.has_room(allowed, self.waiting.on_client)
    }

    /// Whether all of the request's body that came is still there.
    fn is_repeatable(&self) -> bool {
        let there = (self.kept.bytes.len() + self.request.body.waiting()) as u64;
        !self.kept.is_too_much && there == self.request.body.total()
    }

    /// The request goes out again from its beginning.
    pub(super) fn rewind(&mut self) {
        // Nothing of one answer is taken for a part of the next.
        self.answer.head = None;
        self.answer.length = None;
        self.answer.body = Body::default();
        self.waiting.on_server = 0;
        self.rewind_body();
    }

    /// The request's body goes out again from its beginning.
    pub(super) fn rewind_body(&mut self) {
        if !self.kept.bytes.is_empty() {
            self.request.body.rewind(std::mem::take(&mut self.kept.bytes));
        }
    }

    /// The head of the request is about to be written to a server: one of a call of gRPC tells it
    /// how much time is left.
    pub fn prepare_head(&mut self, now: Instant) {
        if let Some(until) = self.until.filter(|_| self.record.is_call()) {
            grpc::set_timeout(&mut self.request.head.fields, until.saturating_duration_since(now));
        }
    }

    /// The head of the request is written to a server.
    pub const fn note_sent(&mut self) {
        self.tries.is_sent = true;
    }

    /// The next part of the request's body; [`HttpProxy::request_taken`] follows. Up to `most`
    /// bytes of it are kept for another try.
    ///
    /// [`HttpProxy::request_taken`]: super::HttpProxy::request_taken
    pub fn take_request_part(&mut self, connection: Key, most: usize) -> Option<Buf> {
        if self.is_second(connection) {
            // The first try has sent all of it: a copy is there.
            let has_body = std::mem::replace(&mut self.tries.second_has_body, true);
            let rest = if has_body { &[][..] } else { &self.kept.bytes };
            return (!rest.is_empty()).then(|| Buf::copy_of(rest));
        }
        if self.holds_body() && self.is_of_http2() {
            return None;
        }
        let part = self.request.body.pop()?;
        if !self.is_tunnel() {
            self.kept.keep(&part, most);
        }
        Some(part)
    }

    /// Whether all of the request's body was taken for the connection.
    #[must_use]
    pub fn is_request_taken(&self, connection: Key) -> bool {
        let has_body =
            !self.is_second(connection) || self.tries.second_has_body || self.kept.bytes.is_empty();
        self.request.body.is_done() && has_body && !self.holds_body()
    }

    /// Whether the connection carries the second try.
    fn is_second(&self, key: Key) -> bool {
        matches!(self.tries.second, Some(State::Linked { connection, .. }) if connection == key)
    }

    /// Whether all of the request's body was sent, and is still there to be sent once more.
    pub(super) fn has_copy(&self) -> bool {
        self.request.body.is_done() && self.is_repeatable()
    }

    /// The method, by which the length of the answer's body is known.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.request.head.method
    }

    /// What is next for the client.
    pub fn take_reply(&mut self) -> Reply {
        if let Some(failure) = self.failed.take() {
            return Reply::Failed(failure);
        }
        match &self.answer.head {
            Some(_) if self.has_agreed() => Reply::Tunnel,
            Some(head) if head.status == 101 => Reply::Upgrade,
            Some(_) => Reply::Head,
            None => Reply::Nothing,
        }
    }

    /// The next part of the answer's body; [`HttpProxy::answer_taken`] follows.
    ///
    /// [`HttpProxy::answer_taken`]: super::HttpProxy::answer_taken
    pub fn take_answer_part(&mut self) -> Option<Buf> {
        let part = self.answer.body.pop()?;
        self.record.sent += part.len() as u64;
        Some(part)
    }

    /// The connection that carries it, if one does.
    #[must_use]
    pub const fn connection(&self) -> Option<Key> {
        match self.tries.state {
            State::Linked { connection, .. } => Some(connection),
            State::Waiting { .. } | State::Resting | State::Done => None,
        }
    }

    /// The client's side has something to do.
    pub(super) fn wake_client(&self, actions: &mut Vec<ProxyAction>) {
        let (connection, stream) = (self.client, self.stream);
        actions.push(ProxyAction::WakeClient { connection, stream });
    }

    /// The server's side has something to do.
    pub(super) fn wake_server(&self, exchange: Key, actions: &mut Vec<ProxyAction>) {
        let wake = |connection| ProxyAction::WakeServer { connection, exchange };
        actions.extend(self.connection().map(wake));
    }

    /// How long the present try has taken.
    pub(super) fn tried_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.tries.began)
    }
}
