//! How a cluster is set up.

use std::time::Duration;

use super::attempts::{AttemptOptions, RetryOn, StatusSet};
use super::breaker::Limits;
use super::eject::EjectOptions;
use super::pool::PoolOptions;
use super::servers::{Policy, ServerOptions, ServersOptions};
use super::stable_hash;
use crate::service::grpc::CodeSet;

/// How the servers of an upstream are used.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How servers are chosen, and which are left out.
    pub policy: ServersOptions,
    /// Their weights and priorities.
    pub servers: Vec<ServerOptions>,
    /// What a hash goes by.
    pub hash_on: Option<HashOn>,
    /// How connections are kept; for one server.
    pub pool: PoolOptions,
    /// Connections at most, in the whole process.
    pub connections_max: u32,
    /// When an exchange is tried again.
    pub attempts: AttemptOptions,
    /// Bytes of a request's body that are kept to be sent again.
    pub retry_body_max: usize,
    /// What there may be at a time.
    pub breaker: Limits,
    /// How long one try may take up to its answer's head.
    pub try_timeout: Option<Duration>,
    /// After what time without an answer another server is asked, too.
    pub hedge_after: Option<Duration>,
    /// Whether calls of gRPC are, too: all of them may be carried out twice.
    pub hedge_calls: bool,
    /// How long the head of an answer may take.
    pub first_byte_timeout: Duration,
    /// How long no byte of an answer may come.
    pub idle_timeout: Duration,
    /// Which version of HTTP its servers are spoken to in.
    pub protocol: ServerProtocol,
    /// Exchanges that a connection carries at a time, where it carries many.
    pub streams_max: u32,
    /// The `host` field of requests.
    pub host: HostHeader,
    /// The servers as they are named in the configuration, for `host` and logs.
    pub names: Vec<Box<str>>,
}

impl ClusterOptions {
    /// Servers of these names that differ in nothing, with what holds where nobody says otherwise.
    #[must_use]
    pub fn plain(policy: Policy, names: impl IntoIterator<Item = String>) -> Self {
        let names: Vec<Box<str>> = names.into_iter().map(String::into_boxed_str).collect();
        let ids = names.iter().map(|name| stable_hash(name.as_bytes()));
        let servers = ids.map(|id| ServerOptions { weight: 1, priority: 0, id }).collect();
        Self {
            policy: ServersOptions {
                policy,
                slow_start: None,
                panic_ratio: 0.0,
                eject: Some(EjectOptions::CONNECTS),
            },
            servers,
            hash_on: None,
            pool: PoolOptions {
                min_idle: 0,
                capacity: 1,
                spread_at: u32::MAX,
                idle_timeout: Duration::from_secs(60),
                max_age: None,
                queue_max: 1024,
                queue_timeout: Duration::from_secs(1),
            },
            connections_max: 4_096,
            attempts: AttemptOptions {
                retries_max: 1,
                on: RetryOn { connect: true, ..RetryOn::default() },
                statuses: StatusSet::default(),
                codes: CodeSet::default(),
                backoff: Duration::from_millis(25),
                backoff_max: Duration::from_secs(1),
                deadline: None,
                budget: 0.2,
            },
            retry_body_max: 0,
            breaker: Limits::default(),
            try_timeout: None,
            hedge_after: None,
            hedge_calls: false,
            first_byte_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            protocol: ServerProtocol::Auto,
            streams_max: 128,
            host: HostHeader::Pass,
            names,
        }
    }
}

/// The version of HTTP for the connections to servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerProtocol {
    /// By TLS, the one that the server prefers; in clear text HTTP/1.1.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, in clear text by prior knowledge.
    Http2,
}

/// What a hash goes by.
#[derive(Debug, Clone)]
pub enum HashOn {
    /// The client's address.
    Source,
    /// The path.
    Path,
    /// A field of the request, by its name in lower case.
    Header(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
}

/// The `host` field of requests to servers.
#[derive(Debug, Clone)]
pub enum HostHeader {
    /// The client's.
    Pass,
    /// The server's name.
    Server,
    /// Always this.
    Literal(Box<str>),
}
