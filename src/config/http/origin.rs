//! What HTTP proxies need of an upstream: its servers, when a try is repeated, and which servers
//! are left out.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::defaults;

/// How the servers of an upstream are weighted, chosen, checked, ejected and limited, whatever
/// proxies use them, and what only HTTP proxies use of it, which is at its default for others.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpUpstream {
    /// What each of [`Upstream::servers`](super::super::Upstream::servers) gets, in their order;
    /// one for each server.
    pub shares: Vec<ServerShare>,
    /// `hash_on`: what is hashed. Field if, and only if, the balance is
    /// [`Balance::Hash`](super::super::Balance::Hash).
    pub hash_on: Option<HashOn>,
    /// `slow_start`: how long the share of a server grows after it became healthy. `None`: it
    /// gets all of it at once.
    pub slow_start: Option<Duration>,
    /// `retry_on`: the failures after which a request is tried again.
    pub retry_on: RetryOn,
    /// `retry_body_max`: bytes of a body, at most, that is kept to be sent again.
    pub retry_body_max: u32,
    /// `try_timeout`: how long one try may take, to the end of the head of its answer. `None`: any
    /// time.
    pub try_timeout: Option<Duration>,
    /// `hedge_after`: after what time without an answer another server is asked, too. `None`: none
    /// is.
    pub hedge_after: Option<Duration>,
    /// `hedge_calls`: whether calls of gRPC are, too.
    pub hedge_calls: bool,
    /// `first_byte_timeout`: how long the first byte of an answer may take.
    pub first_byte_timeout: Duration,
    /// `response_idle_timeout`: how long no byte of an answer may come.
    pub response_idle_timeout: Duration,
    /// `requests_max`: requests, connections and flows in flight, in the whole process. `None`: any
    /// number.
    pub requests_max: Option<u32>,
    /// `retries_max`: retries in flight, in the whole process.
    pub retries_max: u32,
    /// `protocol`: which version of HTTP servers are spoken to in.
    pub protocol: ServerProtocol,
    /// `host_header`: what servers get as `host`.
    pub host_header: HostHeader,
    /// `panic_ratio`: below this share of healthy servers, all are used. 0.0: never.
    pub panic_ratio: f64,
    /// `[upstream.NAME.health]`: active checks. `None`: none are made.
    pub health: Option<HealthOptions>,
    /// `[upstream.NAME.eject]`: which servers are ejected for a time. `None`: those to which
    /// connects fail.
    pub eject: Option<EjectOptions>,
}

impl Default for HttpUpstream {
    fn default() -> Self {
        Self {
            shares: Vec::new(),
            hash_on: None,
            slow_start: defaults::SLOW_START,
            retry_on: RetryOn::default(),
            retry_body_max: defaults::RETRY_BODY_MAX,
            try_timeout: defaults::TRY_TIMEOUT,
            hedge_after: defaults::HEDGE_AFTER,
            hedge_calls: defaults::HEDGE_CALLS,
            first_byte_timeout: defaults::FIRST_BYTE_TIMEOUT,
            response_idle_timeout: defaults::RESPONSE_IDLE_TIMEOUT,
            requests_max: defaults::REQUESTS_MAX,
            retries_max: defaults::RETRIES_MAX,
            protocol: defaults::SERVER_PROTOCOL,
            host_header: HostHeader::Pass,
            panic_ratio: defaults::PANIC_RATIO,
            health: None,
            eject: None,
        }
    }
}

/// Which version of HTTP servers are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProtocol {
    /// By TLS, the one that a server prefers of both; in clear text HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in clear text, servers are known to speak it.
    Http2,
}

/// What a server gets of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerShare {
    /// `weight`: its share, in proportion to those of the others.
    pub weight: u32,
    /// `priority`: servers of a lower number are used first.
    pub priority: u8,
}

impl Default for ServerShare {
    fn default() -> Self {
        Self { weight: defaults::WEIGHT, priority: defaults::PRIORITY }
    }
}

/// What is hashed to choose a server. Names are in lower case, but for those of cookies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// `"source"`: the address of the client.
    Source,
    /// `"path"`: the path of the request.
    Path,
    /// `"header:NAME"`: the value of a field.
    Header(String),
    /// `"cookie:NAME"`: the value of a cookie.
    Cookie(String),
}

/// The failures after which a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// `"connect"`: no connection could be made.
    pub connect: bool,
    /// `"reset"`: the connection was lost before any byte of the answer.
    pub reset: bool,
    /// `"timeout"`: a try took too long.
    pub timeout: bool,
    /// Statuses, 500 to 599, sorted.
    pub statuses: Vec<u16>,
    /// `"grpc:NAME"`: the names of statuses of calls of gRPC, sorted.
    pub codes: Vec<&'static str>,
}

impl Default for RetryOn {
    fn default() -> Self {
        Self {
            connect: true,
            reset: false,
            timeout: false,
            statuses: Vec::new(),
            codes: Vec::new(),
        }
    }
}

/// What servers get as `host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostHeader {
    /// `"pass"`: what the client sent.
    Pass,
    /// `"server"`: the address of the server, as the file has it.
    Server,
    /// This text.
    Name(String),
}

/// `[upstream.NAME.health]`: active checks of each server.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthOptions {
    /// What is asked, and what has to come.
    pub kind: HealthKind,
    /// `interval`: the time from one check to the next.
    pub interval: Duration,
    /// `timeout`: how long a check may take, not longer than `interval`.
    pub timeout: Duration,
    /// `jitter`: by which share of it the interval varies.
    pub jitter: f64,
    /// `rise`: good checks in a row that make a server healthy.
    pub rise: u32,
    /// `fall`: bad checks in a row after which it is not.
    pub fall: u32,
}

/// The kind of an active check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthKind {
    /// `"tcp"`: a connection can be made.
    Tcp,
    /// `"tls"`: a TLS handshake can be done, as `[upstream.NAME.tls]` has it.
    Tls,
    /// `"frame"`: a PING of the framed protocol is answered.
    Frame,
    /// `"http"`: a GET is answered as expected.
    Http(HttpCheck),
    /// `"grpc"`: `grpc.health.v1.Health/Check` says that a service is served.
    Grpc(GrpcCheck),
}

/// A check by a call of gRPC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GrpcCheck {
    /// `service`: the service that is asked for. Empty: the server as a whole.
    pub service: String,
    /// `host`: the value of `:authority`. `None`: the address of the server.
    pub host: Option<String>,
}

/// A check by a GET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// `path`: the target, with a query or without.
    pub path: String,
    /// `status`: the statuses of a good answer.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// `body`: what the start of the body contains. `None`: anything.
    pub body: Option<String>,
    /// `host`: the value of `host`. `None`: the address of the server.
    pub host: Option<String>,
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            path: defaults::HEALTH_PATH.to_owned(),
            statuses: vec![defaults::HEALTH_STATUS..=defaults::HEALTH_STATUS],
            body: None,
            host: None,
        }
    }
}

/// `[upstream.NAME.eject]`: when a server is left out for a time, by what requests find.
#[derive(Debug, Clone, PartialEq)]
pub struct EjectOptions {
    /// `consecutive_failures`: failures in a row. 0: not by them.
    pub consecutive_failures: u32,
    /// `consecutive_connect_failures`: connections in a row that could not be made. 0: not by them.
    pub consecutive_connect_failures: u32,
    /// `error_rate`: the share of failures within an interval. 0.0: not by it.
    pub error_rate: f64,
    /// `latency_factor`: how many times slower than the median of the servers. 0.0: not by it.
    pub latency_factor: f64,
    /// `min_requests`: requests of a server within an interval, without which a rate says nothing.
    pub min_requests: u32,
    /// `interval`: how long requests are counted together.
    pub interval: Duration,
    /// `time`: how long a server is left out the first time.
    pub time: Duration,
    /// `share_max`: the share of the servers that may be left out.
    pub share_max: f64,
}

impl Default for EjectOptions {
    fn default() -> Self {
        Self {
            consecutive_failures: defaults::EJECT_CONSECUTIVE_FAILURES,
            consecutive_connect_failures: defaults::EJECT_CONSECUTIVE_CONNECT_FAILURES,
            error_rate: defaults::EJECT_ERROR_RATE,
            latency_factor: defaults::EJECT_LATENCY_FACTOR,
            min_requests: defaults::EJECT_MIN_REQUESTS,
            interval: defaults::EJECT_INTERVAL,
            time: defaults::EJECT_TIME,
            share_max: defaults::EJECT_SHARE_MAX,
        }
    }
}
