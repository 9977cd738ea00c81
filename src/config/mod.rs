//! The configuration: TOML text in, a checked [`Config`] out.
//!
//! [`parse`] goes through three steps. `parse` reads the text into typed values that still know
//! where they stood, `check` holds them against each other, and `report` shows every mistake that
//! both found, with its place in the text. [`Config::to_toml`] goes the other way and writes out
//! every value in effect. `docs/ringway.toml` shows all keys with their defaults.
//!
//! Sizes are in bytes. The types here have next to no behaviour: each layer's constructor takes
//! what it needs from them.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

pub use self::address::AddressError;
pub use self::difference::{Change, ChangeKind, Difference, Effect, Subject};
pub use self::http::{
    AccessLists, AccessLog, AccessLogFormat, AccessLogTarget, Action, Auth, CertificateCondition,
    Coding, Compression, EjectOptions, FilesOptions, Forwarded, GrpcCheck, HalfClose, HashOn,
    HeaderCondition, HeaderEdits, HealthKind, HealthOptions, HostHeader, HostPattern, Http2Options,
    HttpCheck, HttpOptions, HttpUpstream, Origins, PathPattern, RateKey, RateLimit, RelayFormat,
    RetryOn, Route, ServerProtocol, ServerShare, SocketLimits, Symlinks, TryFile,
    UnderscoreHeaders, Users, WebSocketOptions, WebSocketService,
};
pub use self::place::{Finding, Place, report};
pub use self::report::{Diagnostic, Report, Severity};
pub use self::schema::{KEYS, TableKeys};
pub use self::services::{
    ExchangeOptions, FrameOptions, ListenerService, PoolOptions, Steering, UdpOptions,
};
pub use self::sni::SniOptions;
pub use self::tls::{
    CertificateFiles, ClientAuth, ListenerTls, SELF_SIGNED, TlsPolicy, TlsVersion, UpstreamTls,
};
pub use self::topics::{QueuePolicy, Topics};

mod accept;
mod address;
mod check;
pub mod defaults;
mod difference;
mod effective;
mod http;
mod lint;
mod listener;
mod parse;
mod paths;
mod place;
mod references;
mod report;
mod restart;
mod schema;
mod section;
mod services;
mod sni;
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
    let mut mistakes = Vec::new();
    let raw = parse::read(text, &mut mistakes);
    let config = raw.and_then(|raw| check::check(raw, &mut mistakes));
    config.filter(|_| mistakes.is_empty()).ok_or_else(|| Report::new(file_name, text, mistakes))
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

/// `[runtime]`: workers, rings and buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Runtime {
    /// How many workers run, each with its own ring.
    pub workers: WorkerCount,
    /// Whether each worker is pinned to its CPU.
    pub pin: bool,
    /// Submission entries of a ring: a power of two.
    pub ring_entries: u32,
    /// Completion entries of a ring: a power of two, at least twice `ring_entries`.
    pub completion_entries: u32,
    /// Receive buffers of a worker: a power of two.
    pub buffers: u32,
    /// Bytes of a receive buffer.
    pub buffer_size: u32,
    /// Bytes that one direction of a connection may move in one turn of its worker.
    pub turn_budget: u32,
    /// Bytes of memory that the compressors of a worker may take.
    pub compression_memory: u64,
    /// Bytes of memory that may wait for the slow peers of a worker's HTTP connections.
    pub waiting_memory: u64,
    /// Bytes of memory that the windows of a worker's WebSockets may take between messages.
    pub websocket_takeover_memory: u64,
    /// How long a shutdown waits for connections to end by themselves.
    pub shutdown_timeout: Duration,
    /// A worker with more than this times the mean of active connections hands new ones over to
    /// others. `None`: never.
    pub handoff_ratio: Option<f64>,
    /// When bytes go through a pipe within the kernel instead of a buffer.
    pub splice: SpliceOptions,
    /// Whether the kernel encrypts.
    pub kernel_tls: KernelTls,
    /// Whether the configuration file is read again when it changes.
    pub watch: bool,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            workers: WorkerCount::Auto,
            pin: defaults::PIN,
            ring_entries: defaults::RING_ENTRIES,
            completion_entries: defaults::COMPLETION_ENTRIES,
            buffers: defaults::BUFFERS,
            buffer_size: defaults::BUFFER_SIZE,
            turn_budget: defaults::TURN_BUDGET,
            compression_memory: defaults::COMPRESSION_MEMORY,
            waiting_memory: defaults::WAITING_MEMORY,
            websocket_takeover_memory: defaults::WEBSOCKET_TAKEOVER_MEMORY,
            shutdown_timeout: defaults::SHUTDOWN_TIMEOUT,
            handoff_ratio: defaults::HANDOFF_RATIO,
            splice: SpliceOptions::default(),
            kernel_tls: defaults::KERNEL_TLS,
            watch: defaults::WATCH,
        }
    }
}

/// The number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerCount {
    /// One for each CPU that this process may use.
    Auto,
    /// So many.
    Fixed(NonZeroU16),
}

/// When a connection's bytes are moved with `splice`: the keys `splice*`, `pipe_size` and `pipes`
/// of `[runtime]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpliceOptions {
    /// `splice`: whether it is used at all.
    pub mode: SpliceMode,
    /// `splice_after`: bytes that one direction has moved before it may be promoted.
    pub after: u64,
    /// `splice_min_read`: bytes of a mean receive from which on a flow counts as bulk.
    pub min_read: u32,
    /// `pipe_size`: bytes that a pipe holds.
    pub pipe_size: u32,
    /// `pipes`: empty pipes that a worker keeps.
    pub pipes: u32,
}

impl Default for SpliceOptions {
    fn default() -> Self {
        Self {
            mode: defaults::SPLICE,
            after: defaults::SPLICE_AFTER,
            min_read: defaults::SPLICE_MIN_READ,
            pipe_size: defaults::PIPE_SIZE,
            pipes: defaults::PIPES,
        }
    }
}

/// Whether `splice` is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpliceMode {
    /// For flows that are found to be bulk.
    Auto,
    /// Never: bytes are always copied through a buffer.
    Off,
}

/// Whether the kernel encrypts what connections of TLS send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelTls {
    /// Where it can, so that files and bulk flows need not be copied to be sealed.
    Auto,
    /// Never.
    Off,
}

/// `[admin]`: the HTTP endpoint for metrics and health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Whether it is served.
    pub enabled: bool,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The file with the tokens that requests need which change something. `None`: nothing can be
    /// changed.
    pub token_file: Option<PathBuf>,
    /// How it speaks TLS, if it does.
    pub tls: Option<Box<ListenerTls>>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            enabled: defaults::ADMIN_ENABLED,
            listen: defaults::ADMIN_LISTEN,
            token_file: defaults::ADMIN_TOKEN_FILE,
            tls: None,
        }
    }
}

/// `[log]`: what is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Whether each connection writes one line when it ends.
    pub access: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: defaults::LOG_FORMAT,
            level: defaults::LOG_LEVEL,
            access: defaults::LOG_ACCESS,
        }
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

impl Config {
    /// The same without the hashes of passwords: whoever sees them can try passwords at home. It
    /// can still be read back.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut config = self.clone();
        for listener in &mut config.listeners {
            let ListenerService::Http(http) = &mut listener.service else { continue };
            for auth in http.routes.iter_mut().filter_map(|route| route.auth.as_mut()) {
                if let Users::Listed(users) = &mut auth.users {
                    users.iter_mut().for_each(|(_, hash)| HIDDEN_HASH.clone_into(hash));
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

/// `[[listener]]`: what accepts connections, and what is done with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Its name in logs and metrics, unique among listeners.
    pub name: String,
    /// Where it listens: one address or more.
    pub listen: Vec<ListenAddress>,
    /// What is done with a connection or a datagram: the key `protocol`, and those of its own.
    pub service: ListenerService,
    /// Connections at a time, in the whole process. This and what only connections have is at its
    /// default for UDP.
    pub max_connections: u32,
    /// How long nothing may move on a connection before it is closed. At its default for HTTP,
    /// which has timeouts of its own.
    pub idle_timeout: Duration,
    /// Whether a client must start with a PROXY protocol header, version 1 or 2.
    pub accept_proxy_protocol: bool,
    /// How long that header may take.
    pub proxy_header_timeout: Duration,
    /// Options of the accepted sockets; of those that listen, for UDP.
    pub socket: SocketOptions,
    /// Connections that may wait to be accepted, per listening socket.
    pub backlog: u32,
    /// The permissions of the files of Unix sockets.
    pub unix_mode: u32,
    /// How its connections speak TLS, if they do.
    pub tls: Option<Box<ListenerTls>>,
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

/// `[upstream.NAME]`: a group of servers, one of which gets each connection, flow or request.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its name in logs and metrics, unique among upstreams.
    pub name: String,
    /// Its servers: one or more, all different.
    pub servers: Vec<ServerAddress>,
    /// How a server is chosen.
    pub balance: Balance,
    /// How long one try to connect may take.
    pub connect_timeout: Duration,
    /// Further tries: of other servers when a connect fails, and of a request in frames or of
    /// HTTP.
    pub retries: u32,
    /// The header that a server gets first.
    pub send_proxy_protocol: SendProxyProtocol,
    /// Options of the sockets to the servers.
    pub socket: SocketOptions,
    /// The connections that frame and HTTP proxies keep.
    pub pool: PoolOptions,
    /// One request of a frame or HTTP proxy with its answer.
    pub exchange: ExchangeOptions,
    /// How servers are chosen, checked and ejected, and what only HTTP proxies use.
    pub http: HttpUpstream,
    /// How its servers are spoken to by TLS, if they are.
    pub tls: Option<Box<UpstreamTls>>,
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

/// Options of connected sockets, on either side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// `TCP_NODELAY`: whether small segments go out at once.
    pub nodelay: bool,
    /// The idle time before the first keepalive probe. `None`: no probes.
    pub keepalive: Option<Duration>,
    /// Bytes of the kernel's receive buffer. `None`: the kernel tunes it.
    pub receive_buffer: Option<u32>,
    /// Bytes of the kernel's send buffer. `None`: the kernel tunes it.
    pub send_buffer: Option<u32>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            nodelay: defaults::NODELAY,
            keepalive: defaults::KEEPALIVE,
            receive_buffer: defaults::SOCKET_BUFFER,
            send_buffer: defaults::SOCKET_BUFFER,
        }
    }
}

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
