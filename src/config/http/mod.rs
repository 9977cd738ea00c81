//! HTTP: what a listener with `protocol = "http"` does, with its routes, and what its proxies need
//! of their upstreams. The types are here and in `route` and `origin`, what a file may say in
//! `schema`; the other files read, check and write them.
//!
//! Names of fields are in lower case, and methods and paths as they are compared. Templates are
//! texts that were found to be right: their variables are known.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::defaults;

pub use self::files::TryFile;
pub use self::http2::Http2Options;
pub use self::origin::{
    EjectOptions, GrpcCheck, HashOn, HealthKind, HealthOptions, HostHeader, HttpCheck,
    HttpUpstream, RetryOn, ServerProtocol, ServerShare,
};
pub use self::route::{
    Action, Auth, CertificateCondition, Coding, Compression, FilesOptions, HeaderCondition,
    HeaderEdits, HostPattern, PathPattern, RateKey, RateLimit, Route, Symlinks, Users,
};
pub use self::websocket::{Origins, RelayFormat, SocketLimits, WebSocketOptions, WebSocketService};

mod accept;
pub(super) mod check;
pub(super) mod effective;
mod endpoint;
mod files;
mod http2;
pub(super) mod listener;
mod origin;
mod route;
mod route_parts;
mod routes;
pub(super) mod schema;
pub(super) mod shadow;
mod template;
pub(super) mod upstream;
pub(super) mod websocket;

/// What only a listener with `protocol = "http"` has. The default one has no route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// `head_size_max`: bytes of the head of a request, at most.
    pub head_size_max: u32,
    /// `fields_max`: fields of a head, at most.
    pub fields_max: u16,
    /// `target_size_max`: bytes of a request target, at most.
    pub target_size_max: u32,
    /// `body_max`: bytes of the body of a request, at most; a route may have its own. `None`: any
    /// number.
    pub body_max: Option<u64>,
    /// `head_timeout`: how long a head may take, from its first byte on.
    pub head_timeout: Duration,
    /// `body_timeout`: how long no byte of a body may come.
    pub body_timeout: Duration,
    /// `body_rate_min`: bytes per second that a body has to average once it has taken
    /// `body_timeout`. `None`: any rate will do.
    pub body_rate_min: Option<u32>,
    /// `write_timeout`: how long a client may take no byte of an answer.
    pub write_timeout: Duration,
    /// `write_rate_min`: bytes per second that a client has to take once it has been slow for
    /// `write_timeout`. `None`: any rate will do.
    pub write_rate_min: Option<u32>,
    /// `keepalive_timeout`: how long a connection may be idle between requests.
    pub keepalive_timeout: Duration,
    /// `keepalive_requests`: requests of one connection. `None`: any number.
    pub keepalive_requests: Option<u32>,
    /// `keepalive_max_age`: how old a connection may be to get further requests, a tenth more or
    /// less. `None`: any age.
    pub keepalive_max_age: Option<Duration>,
    /// `tunnel_timeout`: how long nothing may move on a connection that was upgraded.
    pub tunnel_timeout: Duration,
    /// `half_close`: what becomes of an exchange with a server whose client ends its side.
    pub half_close: HalfClose,
    /// `server_header`: the value of `server` in answers. `None`: no such field is added.
    pub server_header: Option<String>,
    /// `reason_header`: whether the field `x-ringway-reason` says which failure a 502, 503 or 504
    /// is.
    pub reason_header: bool,
    /// `forwarded`: what is said to servers about the client.
    pub forwarded: Forwarded,
    /// `trusted_proxies`: peers whose word on the client is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether `trusted_proxies` has `"unix"`: those that come by a Unix socket are, too.
    pub trusts_unix: bool,
    /// `underscore_headers`: what becomes of fields of requests with a `_` in their names.
    pub underscore_headers: UnderscoreHeaders,
    /// `request_id_header`: the field that carries the identity of a request. `None`: none does.
    pub request_id_header: Option<String>,
    /// `http2` and the keys that begin so.
    pub http2: Http2Options,
    /// `source_connections_max`: connections at a time from one source address. `None`: any
    /// number.
    pub source_connections_max: Option<u32>,
    /// `allow` and `deny`: who may connect.
    pub access: AccessLists,
    /// `[listener.access_log]`: a line for each request. `None`: none is written.
    pub access_log: Option<AccessLog>,
    /// `[[listener.route]]`: what is done with a request. The first that matches holds. A parsed
    /// file has at least one.
    pub routes: Vec<Route>,
}

impl HttpOptions {
    /// The indexes of the upstreams of its routes in
    /// [`Config::upstreams`](super::Config::upstreams), in the order of the routes.
    pub fn upstreams(&self) -> impl Iterator<Item = usize> + '_ {
        self.routes.iter().filter_map(|route| route.action.upstream())
    }

    /// Those of them with whose servers HTTP is spoken: of proxies.
    pub fn origins(&self) -> impl Iterator<Item = usize> + '_ {
        self.routes.iter().filter_map(|route| route.action.origin())
    }

    /// Those of them whose servers get connections as from a TCP proxy: of relays of WebSockets.
    pub fn relayed(&self) -> impl Iterator<Item = usize> + '_ {
        let sockets = self.routes.iter().filter_map(|route| route.action.websocket());
        sockets.filter_map(WebSocketOptions::upstream)
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            head_size_max: defaults::HEAD_SIZE_MAX,
            fields_max: defaults::FIELDS_MAX,
            target_size_max: defaults::TARGET_SIZE_MAX,
            body_max: defaults::BODY_MAX,
            head_timeout: defaults::HEAD_TIMEOUT,
            body_timeout: defaults::BODY_TIMEOUT,
            body_rate_min: defaults::BODY_RATE_MIN,
            write_timeout: defaults::WRITE_TIMEOUT,
            write_rate_min: defaults::WRITE_RATE_MIN,
            keepalive_timeout: defaults::KEEPALIVE_TIMEOUT,
            keepalive_requests: defaults::KEEPALIVE_REQUESTS,
            keepalive_max_age: defaults::KEEPALIVE_MAX_AGE,
            tunnel_timeout: defaults::TUNNEL_TIMEOUT,
            half_close: defaults::HALF_CLOSE,
            server_header: defaults::SERVER_HEADER.map(str::to_owned),
            reason_header: defaults::REASON_HEADER,
            forwarded: defaults::FORWARDED,
            trusted_proxies: Vec::new(),
            trusts_unix: false,
            underscore_headers: defaults::UNDERSCORE_HEADERS,
            request_id_header: defaults::REQUEST_ID_HEADER.map(str::to_owned),
            http2: Http2Options::default(),
            source_connections_max: defaults::SOURCE_CONNECTIONS_MAX,
            access: AccessLists::default(),
            access_log: None,
            routes: Vec::new(),
        }
    }
}

/// What is said to servers about the client, in `forwarded` (RFC 7239) and `x-forwarded-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// The client is added to what it sent in these fields.
    Append,
    /// What the client sent in these fields is dropped, and the client is named.
    Replace,
    /// Nothing is said, and what the client sent passes.
    Off,
}

/// What becomes of an exchange with a server whose client ends its side of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfClose {
    /// It goes on if the client said `connection: close`, or speaks HTTP/1.0.
    Auto,
    /// It goes on.
    Allow,
    /// It ends.
    Refuse,
}

/// What becomes of fields of requests with an underscore in their names, which many programs take
/// for the same name with a dash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderscoreHeaders {
    /// They are passed on.
    Pass,
    /// They are dropped.
    Drop,
}

/// Who may use a listener or a route, by the address. `deny` wins; with `allow`, everything else is
/// denied. A single address is a network of its whole length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessLists {
    /// Networks that may. Empty: all.
    pub allow: Vec<IpNet>,
    /// Networks that may not.
    pub deny: Vec<IpNet>,
}

/// `[listener.access_log]`: one line for each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// The form of a line.
    pub format: AccessLogFormat,
    /// Where lines go.
    pub target: AccessLogTarget,
}

/// The form of a line of an access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// The Common Log Format.
    Common,
    /// The Common Log Format with the referrer and the user agent.
    Combined,
    /// One JSON object.
    Json,
    /// A template, with the variables of access logs.
    Template(String),
}

/// Where lines of an access log go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// The standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}
