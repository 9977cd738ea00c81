//! What servers say: interim answers, the head of the answer, its body, its end, or that there will
//! be none.

use std::time::{Duration, Instant};

use super::HttpProxy;
use super::exchange::{Exchange, State};
use super::tunnel::Handshake;
use crate::mem::{Buf, Key};
use crate::proto::http::{Fields, ResponseHead};
use crate::proto::websocket::Sender;
use crate::service::cluster::Clusters;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::identity::authenticates_connection;
use crate::service::cluster::servers::{Ended, ServerOutcome};
use crate::service::grpc::{self, Code};
use crate::service::http::interim;
use crate::service::http::record::Call;

/// What becomes of the head of an answer.
#[derive(Debug)]
pub enum HeadVerdict {
    /// It goes to the client, and the connection may carry another exchange behind this one if it
    /// says so itself.
    Taken,
    /// It goes to the client, and the connection carries the client's identity: it must carry no
    /// exchange of another one.
    Personal,
    /// It goes to the client, and all that follows on the connection, or the stream, are the bytes
    /// of a tunnel, each way until its end.
    Tunnel,
    /// The exchange is tried again: the answer is not wanted.
    Dropped(Box<ResponseHead>),
    /// Nobody waits for it, or nobody asked for such an answer, which is a failure of this kind.
    Refused(Box<ResponseHead>, Failure),
}

/// What becomes of an interim answer.
#[derive(Debug)]
pub enum InterimVerdict {
    /// It goes to the client.
    Passed,
    /// It does not.
    Dropped(Box<ResponseHead>),
}

impl HttpProxy {
    /// An interim answer has come. The exchange may still be tried again, and the second try may
    /// answer it.
    #[must_use]
    pub fn interim_came(&mut self, key: Key, head: Box<ResponseHead>) -> InterimVerdict {
        let Self { exchanges, watched, counted, actions, .. } = self;
        let Some(exchange) = exchanges.get_mut(key) else { return InterimVerdict::Dropped(head) };
        let version = exchange.request.head.version;
        if exchange.has_head() || !interim::passes(head.status, version) {
            return InterimVerdict::Dropped(head);
        }
        exchange.answer.interim.push(head);
        watched[exchange.cluster].count(counted, exchange.cluster).interim += 1;
        exchange.wake_client(actions);
        InterimVerdict::Passed
    }

    /// The head of an answer has come on a connection; `length` is that of its body, if it is
    /// declared.
    #[must_use]
    pub fn head_came(
        &mut self,
        (key, connection): (Key, Key),
        mut head: Box<ResponseHead>,
        length: Option<u64>,
        clusters: &mut Clusters,
        now: Instant,
    ) -> HeadVerdict {
        let Some((exchange, mut around)) = self.split(key, clusters, now) else {
            return HeadVerdict::Refused(head, Failure::BadResponse);
        };
        let Some(server) = exchange.server_of(connection) else {
            return HeadVerdict::Refused(head, Failure::BadResponse);
        };
        if head.status == 101 && !exchange.request.upgrade {
            return HeadVerdict::Refused(head, Failure::BadResponse);
        }
        let handshake = exchange.shake_hands(&mut head);
        if handshake == Handshake::Wrong {
            return HeadVerdict::Refused(head, Failure::BadHandshake);
        }
        let took = now.saturating_duration_since(exchange.tried_by(connection));
        exchange.record.upstream.first_byte = Some(took);
        if head.status >= 500 && exchange.retries_status(key, server, head.status, &mut around) {
            return HeadVerdict::Dropped(head);
        }
        // A call that has failed before its first message: there is only a status.
        let code = if length == Some(0) { exchange.call_ended(&head.fields) } else { None };
        if let Some(code) = code
            && exchange.retries_code(key, server, code, &mut around)
        {
            return HeadVerdict::Dropped(head);
        }
        exchange.settle_hedge(key, connection, &mut around);
        let request = &exchange.request.head.fields;
        let is_personal = authenticates_connection(request, head.status, &head.fields);
        if let Some(code) = code {
            exchange.record.end_call(code);
        }
        exchange.answer.length = length;
        exchange.answer.head = Some(head);
        exchange.wake_client(around.actions);
        if handshake == Handshake::Agreed {
            exchange.agree(key, server, &mut around);
            return HeadVerdict::Tunnel;
        }
        if is_personal { HeadVerdict::Personal } else { HeadVerdict::Taken }
    }

    /// Whether more of the answer's body may be read.
    #[must_use]
    pub fn takes_answer(&self, key: Key) -> bool {
        let allowed = self.budget.allowance();
        self.exchanges.get(key).is_some_and(|one| one.takes_answer(self.allowed_of(one, allowed)))
    }

    /// A part of the answer's body has come.
    pub fn answer_came(&mut self, key: Key, part: Buf, now: Instant) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        exchange.waiting.counted += part.len();
        self.budget.add(part.len());
        exchange.recount_answer(exchange.waiting.answer + part.len(), &mut self.clients);
        exchange.push_inspected(Sender::Server, part, now);
        exchange.wake_client(&mut self.actions);
        self.filled.push(key);
        if exchange.is_inspected() {
            self.check_inspected(key, now);
        }
    }

    /// All of the answer has come: no connection carries the exchange any more.
    pub fn answer_ended(
        &mut self,
        key: Key,
        trailers: Option<Box<Fields>>,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some((exchange, mut around)) = self.split(key, clusters, now) else { return };
        if let Some(trailers) = &trailers
            && let Some(code) = exchange.call_ended(trailers)
        {
            exchange.record.end_call(code);
        }
        exchange.answer.body.end(trailers);
        let answered = now.saturating_duration_since(exchange.record.began);
        exchange.record.upstream.answered = Some(answered);
        let status = exchange.answer.head.as_ref().map(|head| head.status);
        let status = status.unwrap_or(exchange.record.status);
        // A server that says so in a call's status speaks against itself all the same.
        let status = match exchange.record.call {
            Call::Ended(code) => code.for_server().unwrap_or(status),
            Call::No | Call::Open => status,
        };
        exchange.done(status, &mut around);
        if !exchange.is_tunnel() {
            around.tally(exchange.cluster).answered += 1;
        }
        exchange.wake_client(around.actions);
    }

    /// The connections of the exchange change to another protocol: the server that they go to.
    pub fn switched(&mut self, key: Key, clusters: &mut Clusters, now: Instant) -> Option<usize> {
        let (exchange, mut around) = self.split(key, clusters, now)?;
        let State::Linked { server, .. } = exchange.tries.state else { return None };
        exchange.done(101, &mut around);
        around.tally(exchange.cluster).answered += 1;
        Some(server)
    }

    /// The connection that carries an exchange was made for it, and took so long.
    pub fn was_connected(&mut self, key: Key, took: Duration) {
        if let Some(exchange) = self.exchanges.get_mut(key) {
            exchange.record.upstream.connect = Some(took);
        }
    }

    /// The connection that carries an exchange has failed, or what came on it is refused; `is_kept`
    /// when it had carried others, and the server may not have seen this one.
    pub fn connection_lost(
        &mut self,
        (key, connection): (Key, Key),
        failure: Failure,
        is_kept: bool,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some((exchange, mut around)) = self.split(key, clusters, now) else { return };
        let Some(server) = exchange.server_of(connection) else { return };
        let is_stale = is_kept && failure == Failure::ResetBeforeHead;
        let failure = if is_stale { Failure::StaleConnection } else { failure };
        exchange.fail_try(key, server, failure, &mut around);
    }
}

impl Exchange {
    /// The status of a call of gRPC, if these fields of its answer have it.
    fn call_ended(&self, fields: &Fields) -> Option<Code> {
        if self.record.is_call() { grpc::status_of(fields) } else { None }
    }

    /// A server has answered.
    fn done(&mut self, status: u16, around: &mut super::Surroundings<'_>) {
        if let Some(server) = self.tries.state.server() {
            let latency = self.record.upstream.first_byte;
            let outcome = ServerOutcome { ended: Ended::Status(status), latency };
            self.leave_server(server, outcome, around);
        }
        self.tries.state = State::Done;
    }
}
