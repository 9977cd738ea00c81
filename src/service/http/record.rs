//! What is recorded of a request, for counters, distributions and the line of the access log.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::proto::http1::Offence;
use crate::proto::websocket::{CloseCode, Counts, Violation};
use crate::service::CloseReason;
use crate::service::grpc::{CallMessages, Code};

/// The record of one request.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// When its head had come.
    pub began: Instant,
    /// Who it is from, if that is known; the port is 0 where only the address is.
    pub source: Option<SocketAddr>,
    /// Its route's place among those of the listener.
    pub route: Option<usize>,
    /// The number of the request, if it has one.
    pub request_id: u64,
    /// The user that it was allowed for.
    pub user: Option<Box<str>>,
    /// What came, if it was refused before it was understood.
    pub offence: Option<Box<Offence>>,
    /// All was told that is told of it: it was answered by a tunnel.
    pub is_told: bool,
    /// Bytes that came.
    pub received: u64,
    /// Bytes of the answer.
    pub sent: u64,
    /// The answer's status; 0 until there is one.
    pub status: u16,
    /// What went wrong, if anything did.
    pub reason: Option<&'static str>,
    /// Whether it is a call of gRPC, and how that ended.
    pub call: Call,
    /// What is done with the messages of a call on their way, if anything is.
    pub messages: Option<Box<CallMessages>>,
    /// What is left to be told of an inspected WebSocket, once it is over.
    pub inspected: Option<Box<Inspected>>,
    /// How a server answered it, if one was to.
    pub upstream: UpstreamRecord,
}

/// What a request is to gRPC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Call {
    /// Something else.
    #[default]
    No,
    /// A call that has not ended.
    Open,
    /// A call, and its status.
    Ended(Code),
}

/// How a server answered a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpstreamRecord {
    /// The cluster and its server that answered, or were to.
    pub server: Option<(usize, Option<usize>)>,
    /// How long the request waited for a connection.
    pub queued: Option<Duration>,
    /// How long the connection took that it waited for.
    pub connect: Option<Duration>,
    /// How long the head of the answer took.
    pub first_byte: Option<Duration>,
    /// How long it took until the server had answered.
    pub answered: Option<Duration>,
    /// Tries of servers.
    pub tries: u32,
}

/// What was seen of an inspected WebSocket since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Messages and bytes of the client.
    pub from_client: Counts,
    /// Messages and bytes of the server.
    pub from_server: Counts,
    /// Pings of ours that the client has answered.
    pub pongs: u64,
    /// The time that those answers took, together.
    pub pong_time: Duration,
    /// The code by which the client was told that the WebSocket is closed.
    pub closed: Option<CloseCode>,
    /// The rule that the client has broken.
    pub violation: Option<Violation>,
}

impl RequestRecord {
    /// A request whose head of `received` bytes has come.
    #[must_use]
    pub fn new(
        began: Instant,
        source: Option<SocketAddr>,
        route: Option<usize>,
        received: usize,
    ) -> Self {
        Self {
            began,
            source,
            route,
            request_id: 0,
            user: None,
            offence: None,
            is_told: false,
            received: received as u64,
            sent: 0,
            status: 0,
            reason: None,
            call: Call::No,
            messages: None,
            inspected: None,
            upstream: UpstreamRecord::default(),
        }
    }

    /// Whether it is a call of gRPC.
    #[must_use]
    pub fn is_call(&self) -> bool {
        self.call != Call::No
    }

    /// A call has ended with this status, unless it had ended before.
    pub fn end_call(&mut self, code: Code) {
        if self.call == Call::Open {
            self.call = Call::Ended(code);
        }
    }

    /// How a call ended, once the request is over: one without a status by that of HTTP, and one
    /// that was cut by whoever has cut it.
    #[must_use]
    pub fn call_status(&self) -> Option<Code> {
        match (self.call, self.status) {
            (Call::No, _) => None,
            (Call::Ended(code), _) => Some(code),
            (Call::Open, 0) => Some(Code::Cancelled),
            (Call::Open, 200) if self.was_given_up() => Some(Code::Cancelled),
            (Call::Open, 200) => Some(Code::Unknown),
            (Call::Open, status) => Some(Code::of_status(status)),
        }
    }

    /// Whether the client has gone, or wants it no more.
    fn was_given_up(&self) -> bool {
        let reasons = [CloseReason::ClientGone, CloseReason::ClientReset, CloseReason::SlowReader];
        reasons.into_iter().any(|reason| self.reason == Some(reason.name()))
    }

    /// The address that it is from.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.source.map(|source| source.ip().to_canonical())
    }
}
