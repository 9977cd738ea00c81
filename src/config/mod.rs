//! The configuration: TOML text in, a checked [`Config`] out.
//!
//! [`parse`] goes through three steps. `parse` reads the text into typed values that still know
//! where they stood, `check` holds them against each other, and `report` shows every mistake that
//! both found, with its place in the text. [`Config::to_toml`] goes the other way and writes out
//! every value in effect. `docs/ringway.toml` shows all keys with their defaults.
//!
//! Sizes are in bytes. The types here have next to no behaviour: each layer's constructor takes
//! what it needs from them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use self::kinds::{Bool, Bytes, Choice, IpAddress, PathUnless, Permissions, Time, Unless, Whole};
use self::schema::{
    BALANCE_WORDS, DAY, HOUR, LOG_FORMAT_WORDS, LOG_LEVEL_WORDS, MILLISECOND, MINUTE, SECOND,
    SEND_PROXY_PROTOCOL_WORDS,
};
use self::table::table;
use crate::service::http::template::Template;

pub use self::address::AddressError;
pub use self::difference::{Change, ChangeKind, Difference, Effect, Subject};
pub use self::environment::Variables;
pub use self::http::{
    AccessLists, AccessLog, AccessLogFormat, AccessLogTarget, Action, Auth, CertificateCondition,
    Coding, Compression, EjectOptions, FilesOptions, Forwarded, GrpcCheck, HalfClose, HashOn,
    HeaderCondition, HeaderEdits, HealthKind, HealthOptions, HostHeader, HostPattern, Http2Options,
    HttpCheck, HttpOptions, HttpUpstream, Origins, PathPattern, RateKey, RateLimit, RelayFormat,
    RetryOn, Route, Secret, ServerProtocol, ServerShare, SocketLimits, Symlinks, UnderscoreHeaders,
    Users, WebSocketOptions, WebSocketService,
};
pub use self::include::{included_files, with_includes};
pub use self::json_schema::json_schema;
pub use self::place::{Finding, Place, report, report_of};
pub use self::reference::reference;
pub use self::report::{Diagnostic, Report, Severity};
pub use self::runtime::{KernelTls, Runtime, SpliceMode, SpliceOptions, WorkerCount};
pub use self::schema::{KEYS, TableKeys};
pub use self::services::{
    ExchangeOptions, FlowOptions, FrameOptions, LineOptions, ListenerService, PoolOptions,
    Steering, UdpOptions,
};
pub use self::sni::SniOptions;
pub use self::text::ConfigText;
pub use self::tls::{
    CertificateFiles, ClientAuth, ListenerTls, SELF_SIGNED, TlsPolicy, UpstreamTls,
};
pub use self::topics::{QueuePolicy, Topics};

mod accept;
mod address;
mod check;
mod difference;
mod effective;
mod environment;
mod http;
mod include;
mod inherit;
mod json_schema;
mod kinds;
mod lint;
mod listener;
mod parse;
mod paths;
mod place;
mod reference;
mod references;
mod report;
mod restart;
mod runtime;
mod schema;
mod section;
mod services;
mod sets;
mod sni;
mod table;
mod text;
mod tls;
mod topics;
pub mod units;
mod upstream;

/// What serves when no file is given: each server, and proxies in front of them.
const EMBEDDED: &str = include_str!("embedded.toml");

/// Reads a configuration. `file_name` is what the report calls the text.
///
/// # Errors
///
/// All mistakes of the text at once; after a mistake of syntax, those of syntax only.
pub fn parse(file_name: &str, text: &str) -> Result<Config, Report> {
    parse_whole(&ConfigText::new(file_name, text), None)
}

/// Reads a configuration of one file or several ([`with_includes`]). Variables such as `${NAME}`
/// are replaced in its texts, if `variables` gives their values; without it, texts stay.
///
/// # Errors
///
/// As of [`parse`](parse()).
pub fn parse_whole(text: &ConfigText, variables: Option<&Variables<'_>>) -> Result<Config, Report> {
    let mut mistakes = Vec::new();
    let raw = parse::read(text.text(), variables, &mut mistakes);
    let config = raw.and_then(|raw| check::check(raw, &mut mistakes));
    config.filter(|_| mistakes.is_empty()).ok_or_else(|| Report::new(text, mistakes))
}

/// The built-in configuration, on 127.0.0.1: a page on port 8080, echo servers for TCP and UDP on
/// port 7000, proxies to them on 7001, a frame server on 7002, a proxy to it on 7003, and messages
/// on 7004.
#[must_use]
pub fn embedded() -> Config {
    parse("embedded.toml", EMBEDDED).expect("the embedded text has no mistake: a test reads it")
}

/// A whole configuration. The default one has no listener, and so would do nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// WorkerCount, rings and buffers.
    pub runtime: Runtime,
    /// The administration endpoint.
    pub admin: Admin,
    /// The log.
    pub log: Log,
    /// What accepts connections, in the order of the file. A parsed file has at least one.
    pub listeners: Vec<Listener>,
    /// Where connections go, in the order of the file.
    pub upstreams: Vec<Upstream>,
    /// What is published and subscribed to, in the order of the file.
    pub topics: Vec<Topics>,
}

table! {
    /// `[admin]`: the HTTP endpoint for metrics and health.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Admin {
        /// Whether the administration endpoint (metrics and health, over HTTP) is served.
        "enabled" enabled: bool = cfg!(feature = "admin"), Bool;
        /// The address that it listens on. Whoever can reach it may read all that it shows, unless
        /// `client_auth` asks for certificates. By default on this machine only.
        "listen" listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901),
            IpAddress;
        /// The path of a file with tokens, one a line: requests that change something (such as POST
        /// /log) are answered only with one of them, in the field `Authorization: Bearer TOKEN`. A
        /// token has 16 to 256 visible characters; empty lines and those that begin with # are left
        /// out. The file is read again when it changes. "off": nothing can be changed.
        "token_file" token_file: Option<PathBuf> = None, PathUnless("off", "the path of a file");
        .. {
            /// How it speaks TLS, if it does.
            tls: Option<Box<ListenerTls>> = None;
        }
    }
}

table! {
    /// `[log]`: what is logged, and how.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Log {
        /// The form of a line: "auto" (text on a terminal, JSON elsewhere), "text" or "json".
        "format" format: LogFormat = LogFormat::Auto, Choice(LOG_FORMAT_WORDS);
        /// The least severe level that is written.
        "level" level: LogLevel = LogLevel::Info, Choice(LOG_LEVEL_WORDS);
        /// Whether each connection writes one line when it ends. It has the client, and for proxies
        /// the upstream, the server that was used or tried last, and the name asked for by TLS. Off
        /// by default because of its cost.
        "access" access: bool = false, Bool;
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// What needs somebody to act.
    Error,
    /// What is not as it should be, but goes on.
    Warn,
    /// The life of the process.
    Info,
    /// The life of connections.
    Debug,
    /// Each event.
    Trace,
}

/// In the place of the hash of a password that is not shown: a hash that no password has.
pub const HIDDEN_HASH: &str = "$2y$05$notshown.notshown.not.notshown.notshown.notshown.not.";

/// In the place of the value of a header field that is likely a secret.
pub const HIDDEN_VALUE: &str = "not shown";

/// Whether a header field of this name likely has a secret.
fn tells_a_secret(name: &str) -> bool {
    const PARTS: [&str; 6] = ["auth", "cookie", "key", "password", "secret", "token"];
    let lower = name.to_ascii_lowercase();
    PARTS.iter().any(|part| lower.contains(part))
}

impl Config {
    /// The same without what is likely a secret: the hashes of passwords, which allow guessing of
    /// passwords, and what fields of requests are set to that authorize. It can still be read back.
    /// Files with secrets are named.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut config = self.clone();
        for listener in &mut config.listeners {
            let ListenerService::Http(http) = &mut listener.service else { continue };
            for route in &mut http.routes {
                if let Some(Auth { users: Users::Listed(users), .. }) = &mut route.auth {
                    users.iter_mut().for_each(|(_, hash)| hash.hide(HIDDEN_HASH.to_owned()));
                }
                let edits = &mut route.request_headers;
                for (name, value) in edits.set.iter_mut().chain(&mut edits.add) {
                    if tells_a_secret(name) {
                        value.hide(Template::literal(HIDDEN_VALUE));
                    }
                }
                for condition in &mut route.headers {
                    if tells_a_secret(&condition.name) {
                        let value = condition.value.as_mut();
                        value.into_iter().for_each(|value| HIDDEN_VALUE.clone_into(value));
                    }
                }
            }
        }
        config
    }
}

impl LogLevel {
    /// Every level, the most severe first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word for it in a file.
    #[must_use]
    pub fn word(self) -> &'static str {
        schema::word(schema::LOG_LEVEL_WORDS, self)
    }
}

table! {
    /// `[[listener]]`: what accepts connections, and what is done with them.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Listener {
        /// Connections at a time, in the whole process.
        "max_connections" max_connections: u32 = 10_000, Whole(1..=10_000_000);
        /// How long nothing may move on a connection before it is closed.
        "idle_timeout" idle_timeout: Duration = Duration::from_secs(600),
            Time(MILLISECOND..=DAY.saturating_mul(7));
        /// Whether every client must start with a PROXY protocol header, version 1 or 2. It is
        /// before TLS, where that is spoken. Off by default: any client could forge its address.
        "accept_proxy_protocol" accept_proxy_protocol: bool = false, Bool;
        /// How long a PROXY protocol header may take.
        "proxy_header_timeout" proxy_header_timeout: Duration = Duration::from_secs(10),
            Time(MILLISECOND..=HOUR);
        /// Connections that may wait to be accepted, per listening socket. The kernel cuts it to
        /// net.core.somaxconn. By default what that usually is.
        "backlog" backlog: u32 = 4096, Whole(1..=65_535);
        /// The permissions of the file of a Unix socket. By default owner and group may connect.
        "unix_mode" unix_mode: u32 = 0o660, Permissions;
        .. {
            /// Its name in logs and metrics, unique among listeners.
            name: String = String::new();
            /// Where it listens: one address or more.
            listen: Vec<ListenAddress> = Vec::new();
            /// What is done with a connection or a datagram: the key `protocol`, and those of its
            /// own.
            service: ListenerService = ListenerService::Echo;
            /// Options of the accepted sockets; of those that listen, for UDP.
            socket: SocketOptions = SocketOptions::default();
            /// How its connections speak TLS, if they do.
            tls: Option<Box<ListenerTls>> = None;
        }
    }
}

impl Listener {
    /// Whether it takes datagrams, and not connections.
    #[must_use]
    pub const fn is_udp(&self) -> bool {
        self.service.is_udp()
    }
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IP address and port. Port 0 lets the kernel choose one.
    Ip(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

table! {
    /// `[upstream.NAME]`: a group of servers, one of which gets each connection, flow or request.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Upstream {
        /// How a server is chosen: "round_robin" (by weight, evenly spread); "least_requests", the
        /// same as "least_connections" (the fewest requests, connections or flows for its weight);
        /// "ewma" (of two at random, the one that answered faster of late; for TCP, SNI and frame
        /// proxies, that could be connected to faster; not for UDP); by the address of the client
        /// "source_hash" (its place in the list) or "consistent_hash" (Maglev: few clients move
        /// when servers come or go, and none when their order changes), or "hash", the same by
        /// `hash_on`. Frame proxies have none of these three.
        "balance" balance: Balance = Balance::RoundRobin, Choice(BALANCE_WORDS);
        /// How long one try to connect may take. By default room for one lost SYN and its second
        /// try.
        "connect_timeout" connect_timeout: Duration = Duration::from_secs(3),
            Time(MILLISECOND..=MINUTE.saturating_mul(10));
        /// Further tries, when a connect to a server fails, or a request in frames, or one of HTTP
        /// as `retry_on` has it. A failed connect also goes on to every other server once without
        /// counting here, but for TCP and SNI if it took all of `connect_timeout`. 0: a single try.
        "retries" retries: u32 = 1, Whole(0..=16);
        /// The PROXY protocol header that a server gets first: "off", "v1" (text) or "v2" (binary).
        "send_proxy_protocol" send_proxy_protocol: SendProxyProtocol = SendProxyProtocol::Off,
            Choice(SEND_PROXY_PROTOCOL_WORDS);
        .. {
            /// Its name in logs and metrics, unique among upstreams.
            name: String = String::new();
            /// Its servers: one or more, all different.
            servers: Vec<ServerAddress> = Vec::new();
            /// Options of the sockets to the servers.
            socket: SocketOptions = SocketOptions::default();
            /// The connections that frame and HTTP proxies keep.
            pool: PoolOptions = PoolOptions::default();
            /// One request of a frame or HTTP proxy with its answer.
            exchange: ExchangeOptions = ExchangeOptions::default();
            /// How servers are chosen, checked and ejected, and what only HTTP proxies use.
            http: HttpUpstream = HttpUpstream::default();
            /// How its servers are spoken to by TLS, if they are.
            tls: Option<Box<UpstreamTls>> = None;
        }
    }
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An IP address and port.
    Ip(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
    /// A name, which is resolved once at the start, in lower case.
    Name {
        /// The host name.
        host: String,
        /// The port, not 0.
        port: u16,
    },
}

/// How an upstream chooses a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    RoundRobin,
    /// The one with the fewest connections, flows or requests in flight for its weight.
    LeastConnections,
    /// The same.
    LeastRequests,
    /// By a hash of the client's address, modulo the number of servers: not for frame proxies.
    SourceHash,
    /// By a hash of the client's address that moves few clients when the servers change: not for
    /// frame proxies.
    ConsistentHash,
    /// The one of two, taken at random, that has answered faster of late, or could be connected to
    /// faster: not for UDP proxies.
    Ewma,
    /// By a hash of [`HttpUpstream::hash_on`] that moves few requests when the servers change: not
    /// for frame proxies.
    Hash,
}

/// The PROXY protocol header that a server gets before the client's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendProxyProtocol {
    /// None.
    Off,
    /// Version 1: text.
    V1,
    /// Version 2: binary.
    V2,
}

table! {
    /// Options of connected sockets, on either side.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SocketOptions {
        /// Whether small segments go out at once (TCP_NODELAY). A proxy must not add delay.
        "nodelay" nodelay: bool = true, Bool;
        /// The idle time before the first keepalive probe. "off": no probes.
        "keepalive" keepalive: Option<Duration> = Some(MINUTE), Unless("off", Time(SECOND..=DAY));
        /// Bytes of the kernel's receive buffer of a socket; for UDP, of the listening one. "auto":
        /// the kernel tunes it.
        "receive_buffer" receive_buffer: Option<u32> = None, SOCKET_BUFFER;
        /// Bytes of the kernel's send buffer of the same socket. "auto": the kernel tunes it.
        "send_buffer" send_buffer: Option<u32> = None, SOCKET_BUFFER;
    }
}

const SOCKET_BUFFER: Unless<Bytes<u32>> = Unless("auto", Bytes(4 << 10..=256 << 20));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_configuration_proxies_to_its_own_servers() {
        let config = embedded();
        assert_eq!(config.runtime, Runtime::default());
        assert_eq!(config.admin, Admin::default());
        assert_eq!(config.log, Log::default());
        let names: Vec<_> = config.listeners.iter().map(|one| one.name.as_str()).collect();
        let expected = [
            "web",
            "web-tls",
            "echo",
            "udp-echo",
            "proxy",
            "udp-proxy",
            "frame",
            "frame-proxy",
            "messages",
        ];
        assert_eq!(names, expected);
        for (server, proxy) in [(2, 4), (3, 5), (6, 7)] {
            let [server, proxy] = [server, proxy].map(|index: usize| &config.listeners[index]);
            let upstream = &config.upstreams[proxy.service.upstream().expect("a proxy")];
            assert_eq!(upstream.servers[0].to_string(), server.listen[0].to_string());
            assert_eq!(server.service.upstream(), None);
            assert_eq!(server.is_udp(), proxy.is_udp());
        }
        // A browser finds the same by HTTP and by HTTPS.
        for listener in &config.listeners[..2] {
            let routes = &listener.service.http().expect("HTTP").routes;
            let action_of = |path: &str| {
                let path = PathPattern::Exact(path.to_owned());
                let found = routes.iter().find(|route| route.path == path);
                &found.expect("there is one").action
            };
            assert_eq!(*action_of("/ws"), Action::WebSocketPage);
            let service = |path| &action_of(path).websocket().expect("an endpoint").service;
            assert_eq!(*service("/ws/echo"), WebSocketService::Echo);
            let both = WebSocketService::Topics { topics: 0, publish: true, subscribe: true };
            assert_eq!(*service("/ws/topics"), both);
        }
        let ListenerService::Frame { upstream: None, options } = &config.listeners[6].service
        else {
            panic!("a frame server")
        };
        let motd = ("motd".to_owned(), "Ringway carries frames".to_owned());
        assert_eq!(options.values, [motd]);
        assert_eq!(config.upstreams[2].balance, Balance::LeastRequests);
    }
}
