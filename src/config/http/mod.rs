//! HTTP: what a listener with `protocol = "http"` does, with its routes, and what its proxies need
//! of their upstreams. The types are here and in `route` and `origin`, what a file may say in
//! `schema`; the other files read, check and write them.
//!
//! Names of fields are in lower case, and methods and paths as they are compared. Templates and
//! regular expressions are what sessions use.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;
use toml::Value;

use self::schema::{FORWARDED_WORDS, HALF_CLOSE_WORDS, NETWORKS_MAX, UNDERSCORE_WORDS};
use super::kinds::{Bool, Bytes, Choice, Custom, List, Text, Time, Unless, Whole};
use super::schema::{DAY, HOUR, MILLISECOND};
use super::table::table;
use crate::service::http::template::Template;

pub use self::http2::Http2Options;
pub use self::origin::{
    EjectOptions, GrpcCheck, HashOn, HealthKind, HealthOptions, HostHeader, HttpCheck,
    HttpUpstream, RetryOn, ServerProtocol, ServerShare,
};
pub use self::route::{
    Action, Auth, CertificateCondition, Coding, Compression, FilesOptions, HeaderCondition,
    HeaderEdits, HostPattern, PathPattern, RateKey, RateLimit, Route, Secret, Symlinks, Users,
};
pub use self::websocket::{Origins, RelayFormat, SocketLimits, WebSocketOptions, WebSocketService};

pub(super) mod accept;
pub(super) mod check;
pub(super) mod effective;
mod endpoint;
mod files;
mod http2;
pub(super) mod listener;
mod origin;
mod route;
mod route_parts;
pub(super) mod routes;
pub(super) mod schema;
pub(super) mod shadow;
pub(super) mod upstream;
pub(super) mod websocket;

table! {
    /// What only a listener with `protocol = "http"` has. The default one has no route.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct HttpOptions {
        /// Bytes of the head of a request, at most; the answer beyond it is 431.
        "head_size_max" head_size_max: u32 = 64 << 10, Bytes(1 << 10..=1 << 20);
        /// Fields of a head, at most; the answer beyond it is 431.
        "fields_max" fields_max: u16 = 100, Whole(8..=1000);
        /// Bytes of a request target, at most; the answer beyond it is 414. By default what RFC
        /// 9112, section 3, asks for.
        "target_size_max" target_size_max: u32 = 8 << 10, Bytes(256..=64 << 10);
        /// Bytes of the body of a request, at most; the answer beyond it is 413. A route may have
        /// its own. "off": any number.
        "body_max" body_max: Option<u64> = Some(16 << 20), BODY_MAX;
        /// How long the head of a request may take, from its first byte on.
        "head_timeout" head_timeout: Duration = Duration::from_secs(10), TIMEOUT;
        /// How long no byte of the body of a request may come.
        "body_timeout" body_timeout: Duration = Duration::from_secs(30), TIMEOUT;
        /// Bytes per second that a body has to average once it has taken `body_timeout`. By default
        /// slower than any modem, so likely on purpose. "off": any rate will do.
        "body_rate_min" body_rate_min: Option<u32> = Some(256), RATE_MIN;
        /// How long a client may take no byte of an answer, by what its system acknowledges.
        "write_timeout" write_timeout: Duration = Duration::from_secs(30), TIMEOUT;
        /// Bytes per second that a client has to take while some of an answer waits for it, once
        /// that has lasted for `write_timeout`. "off": any rate will do.
        "write_rate_min" write_rate_min: Option<u32> = Some(256), RATE_MIN;
        /// How long a connection may be idle between requests. By default what browsers expect.
        "keepalive_timeout" keepalive_timeout: Duration = Duration::from_secs(75),
            Time(MILLISECOND..=DAY);
        /// Requests of one connection, so that clients are spread again from time to time. "off":
        /// any number.
        "keepalive_requests" keepalive_requests: Option<u32> = Some(10_000),
            Unless("off", Whole(1..=u32::MAX));
        /// How old a connection may be to get further requests, a tenth more or less. "off": any
        /// age.
        "keepalive_max_age" keepalive_max_age: Option<Duration> = Some(HOUR),
            Unless("off", Time(MILLISECOND..=DAY.saturating_mul(7)));
        /// How long nothing may move on a connection that was upgraded.
        "tunnel_timeout" tunnel_timeout: Duration = Duration::from_secs(600),
            Time(MILLISECOND..=DAY.saturating_mul(7));
        /// A client that ends its side of the connection while a server is answering it may still
        /// read, or have gone: "auto" goes on for those who said `connection: close` or speak
        /// HTTP/1.0, "allow" for all, "refuse" for none.
        "half_close" half_close: HalfClose = HalfClose::Auto, Choice(HALF_CLOSE_WORDS);
        /// The field `server` of answers: a text, or "off" to add none.
        "server_header" server_header: Option<String> = Some("ringway".to_owned()),
            Unless("off", Text { accept: accept::value_of_field });
        /// Whether the field `x-ringway-reason` says which failure a 502, 503 or 504 is.
        "reason_header" reason_header: bool = true, Bool;
        /// What servers are told about the client, in `forwarded` and `x-forwarded-*`: "append"
        /// adds it to what the client sent there, "replace" drops what the client sent there, and
        /// "off" passes that as it is.
        "forwarded" forwarded: Forwarded = Forwarded::Append, Choice(FORWARDED_WORDS);
        /// Peers whose word on the client is believed, such as the proxies of a CDN: networks, and
        /// "unix" for those that come by a Unix socket, up to 10000. The client is then the first
        /// address from the right of `x-forwarded-for` that is not one of them.
        "trusted_proxies" trusted_proxies: Vec<Option<IpNet>> = Vec::new(),
            List { counts: 0..=NETWORKS_MAX, each: Unless("unix", NETWORK) };
        /// Fields of requests with a `_` in their names, which many programs take for the same name
        /// with a `-`.
        "underscore_headers" underscore_headers: UnderscoreHeaders = UnderscoreHeaders::Drop,
            Choice(UNDERSCORE_WORDS);
        /// The field that carries the identity of a request, to servers and back: a name, or "off".
        "request_id_header" request_id_header: Option<String> = Some("x-request-id".to_owned()),
            Unless("off", Text { accept: accept::name_of_field });
        /// Connections at a time from one source address, which many clients may share, in the
        /// whole process. "off": any number.
        "source_connections_max" source_connections_max: Option<u32> = None,
            Unless("off", Whole(1..=1_000_000));
        .. {
            /// `http2` and the keys that begin so.
            http2: Http2Options = Http2Options::default();
            /// `allow` and `deny`: who may connect.
            access: AccessLists = AccessLists::default();
            /// `[listener.access_log]`: a line for each request. `None`: none is written.
            access_log: Option<AccessLog> = None;
            /// `[[listener.route]]`: what is done with a request. The first that matches holds. A
            /// parsed file has at least one.
            routes: Vec<Route> = Vec::new();
        }
    }
}

/// `body_max`, of a listener or a route.
pub(super) const BODY_MAX: Unless<Bytes<u64>> = Unless("off", Bytes(0..=1 << 40));
/// Of timeouts that a connection waits for.
const TIMEOUT: Time = Time(MILLISECOND..=HOUR);
/// Bytes per second.
const RATE_MIN: Unless<Bytes<u32>> = Unless("off", Bytes(1..=1 << 30));
/// An IP network.
const NETWORK: Custom<IpNet> = Custom {
    accept: accept::network,
    write: |network| Value::from(network.to_string()),
    schema: || json!({ "type": "string" }),
};
/// Networks that may, or may not.
const NETWORKS: List<Custom<IpNet>> = List { counts: 0..=NETWORKS_MAX, each: NETWORK };

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

table! {
    /// Who may use a listener or a route, by the address. `deny` wins; with `allow`, everything
    /// else is denied. A single address is a network of its whole length.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AccessLists {
        /// Networks that may connect, or use the route, up to 10000, as in ["10.0.0.0/8",
        /// "192.0.2.1", "fd00::/8"]. With one, everybody else may not.
        "allow" allow: Vec<IpNet> = Vec::new(), NETWORKS;
        /// Networks that may not, up to 10000. They win over `allow`.
        "deny" deny: Vec<IpNet> = Vec::new(), NETWORKS;
    }
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
    Template(Template),
}

/// Where lines of an access log go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// The standard output.
    Stdout,
    /// The end of this file.
    File(PathBuf),
}
