//! How a cluster is set up.

use std::time::Duration;

use super::attempts::AttemptOptions;
use super::breaker::Limits;
use super::pool::PoolOptions;
use super::servers::{ServerOptions, ServersOptions};

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
    /// How long the head of an answer may take.
    pub first_byte_timeout: Duration,
    /// How long no byte of an answer may come.
    pub idle_timeout: Duration,
    /// The `host` field of requests.
    pub host: HostHeader,
    /// The servers as they are named in the configuration, for `host` and logs.
    pub names: Vec<Box<str>>,
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
