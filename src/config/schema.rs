//! What a file may say: the keys of each table, the protocols that have them, and the words of
//! choices. Ranges and defaults stand with the keys, in the tables.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::http::schema::{
    ACCESS_LOG, AUTH, CLIENT_CERTIFICATE, EJECT, HEALTH, RATE_LIMIT, REQUEST_HEADERS,
    RESPONSE_HEADERS, ROUTE, SERVER,
};
use super::http::websocket::{WEBSOCKET, WEBSOCKET_INSPECT};
use super::inherit::{DEFAULTS, HEADERS};
use super::tls::{ADMIN_TLS, LISTENER_TLS, UPSTREAM_TLS};
use super::topics::TOPICS;
use super::{
    AccessLists, Admin, Balance, ExchangeOptions, FlowOptions, FrameOptions, Http2Options,
    HttpOptions, HttpUpstream, KernelTls, LineOptions, Listener, ListenerService, Log, LogFormat,
    LogLevel, PoolOptions, Runtime, SendProxyProtocol, SniOptions, SocketOptions, SpliceMode,
    SpliceOptions, Steering, UdpOptions, Upstream,
};

/// The keys of one table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableKeys {
    /// The table as the file writes it, such as `[runtime]` or `[[listener]]`.
    pub table: &'static str,
    /// Its keys, in the order of `docs/ringway.toml`.
    pub keys: &'static [&'static str],
}

/// Every key of every table.
pub const KEYS: &[TableKeys] = &[
    RUNTIME,
    ADMIN,
    ADMIN_TLS,
    LOG,
    DEFAULTS,
    LISTENER,
    ACCESS_LOG,
    ROUTE,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    RATE_LIMIT,
    AUTH,
    WEBSOCKET_INSPECT,
    WEBSOCKET,
    LISTENER_TLS,
    CLIENT_CERTIFICATE,
    UPSTREAM,
    HEALTH,
    EJECT,
    SERVER,
    UPSTREAM_TLS,
    TOPICS,
];

/// The tables of a file.
pub(super) const ROOT: TableKeys = TableKeys {
    table: "the file",
    keys: &[
        "include", "runtime", "admin", "log", "defaults", "hosts", "networks", "listener",
        "upstream", "topics",
    ],
};

/// All keys of some groups, one after the other.
pub(super) const fn join<const N: usize>(groups: &[&'static [&'static str]]) -> [&'static str; N] {
    let mut all = [""; N];
    let (mut group, mut at) = (0, 0);
    while group < groups.len() {
        let mut key = 0;
        while key < groups[group].len() {
            all[at] = groups[group][key];
            (at, key) = (at + 1, key + 1);
        }
        group += 1;
    }
    all
}

/// The keys of a table, which are those of some groups.
macro_rules! keys {
    ($($group:expr),+ $(,)?) => {{
        const ALL: [&str; 0 $( + $group.len() )+] = $crate::config::schema::join(&[$($group),+]);
        &ALL
    }};
}

pub(super) use keys;

pub(super) const RUNTIME: TableKeys =
    TableKeys { table: "[runtime]", keys: keys![Runtime::KEYS, SpliceOptions::KEYS] };

pub(super) const ADMIN: TableKeys =
    TableKeys { table: "[admin]", keys: keys![Admin::KEYS, &["tls"]] };

pub(super) const LOG: TableKeys = TableKeys { table: "[log]", keys: Log::KEYS };

/// Keys of SNI proxies.
const SNI_KEYS: &[&str] = keys![&["names"], SniOptions::KEYS];
/// The keys of a frame listener without an upstream.
pub(super) const FRAME_SERVER_KEYS: &[&str] = &["values", "files", "topics"];

pub(super) const LISTENER: TableKeys = TableKeys {
    table: "[[listener]]",
    keys: keys![
        &["name", "listen", "protocol", "upstream"],
        Listener::KEYS,
        SocketOptions::KEYS,
        FrameOptions::KEYS,
        FRAME_SERVER_KEYS,
        LineOptions::KEYS,
        UdpOptions::KEYS,
        FlowOptions::KEYS,
        SNI_KEYS,
        HttpOptions::KEYS,
        Http2Options::KEYS,
        AccessLists::KEYS,
        &HEADERS,
        &["access_log", "route", "tls"],
    ],
};

/// The keys of a listener that only some protocols have, each group with those.
const KEYS_OF_PROTOCOLS: &[(&[&str], &[Protocol])] = &[
    (
        &[
            "max_connections",
            "accept_proxy_protocol",
            "proxy_header_timeout",
            "nodelay",
            "keepalive",
            "backlog",
            "unix_mode",
        ],
        &[
            Protocol::Tcp,
            Protocol::Echo,
            Protocol::Frame,
            Protocol::Messages,
            Protocol::Sni,
            Protocol::Http,
        ],
    ),
    (
        &["tls"],
        &[Protocol::Tcp, Protocol::Echo, Protocol::Frame, Protocol::Messages, Protocol::Http],
    ),
    (
        &["idle_timeout"],
        &[Protocol::Tcp, Protocol::Echo, Protocol::Frame, Protocol::Messages, Protocol::Sni],
    ),
    (SNI_KEYS, &[Protocol::Sni]),
    (keys![FrameOptions::KEYS, FRAME_SERVER_KEYS], &[Protocol::Frame]),
    (LineOptions::KEYS, &[Protocol::Messages]),
    (UdpOptions::KEYS, &[Protocol::Udp, Protocol::UdpEcho]),
    (FlowOptions::KEYS, &[Protocol::Udp]),
    (
        keys![
            HttpOptions::KEYS,
            Http2Options::KEYS,
            AccessLists::KEYS,
            &HEADERS,
            &["access_log", "route"],
        ],
        &[Protocol::Http],
    ),
];

pub(super) const UPSTREAM: TableKeys = TableKeys {
    table: "[upstream.NAME]",
    keys: keys![
        &["servers"],
        Upstream::KEYS,
        SocketOptions::KEYS,
        PoolOptions::KEYS,
        ExchangeOptions::KEYS,
        HttpUpstream::KEYS,
        &["health", "eject", "hash_on", "tls"],
    ],
};

/// The keys of an upstream that only some proxies use, each group with their protocols. How servers
/// are chosen, checked, ejected and limited is the same for all. `send_proxy_protocol` is not among
/// them either: to say that it is off is right for all.
const KEYS_OF_PROXIES: &[(&[&str], &[Protocol])] = &[
    (
        &["connect_timeout", "retries", "nodelay", "keepalive"],
        &[Protocol::Tcp, Protocol::Frame, Protocol::Sni, Protocol::Http],
    ),
    (&["tls"], &[Protocol::Tcp, Protocol::Frame, Protocol::Http]),
    (&["request_timeout"], &[Protocol::Frame]),
    (keys![PoolOptions::KEYS, ExchangeOptions::KEYS], &[Protocol::Frame, Protocol::Http]),
    (
        &[
            "retry_on",
            "retry_body_max",
            "try_timeout",
            "hedge_after",
            "hedge_calls",
            "first_byte_timeout",
            "response_idle_timeout",
            "retries_max",
            "protocol",
            "host_header",
        ],
        &[Protocol::Http],
    ),
    (&["hash_on"], &[Protocol::Tcp, Protocol::Udp, Protocol::Sni, Protocol::Http]),
];

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Echo,
    Udp,
    UdpEcho,
    Frame,
    Messages,
    Sni,
    Http,
}

impl Protocol {
    /// For each of so many upstreams, the protocols of the listeners that use it.
    pub(super) fn users<'s>(
        services: impl Iterator<Item = &'s ListenerService>,
        upstreams: usize,
    ) -> Vec<Vec<Self>> {
        let mut users: Vec<Vec<Self>> = vec![Vec::new(); upstreams];
        let mut note = |index: usize, own: Self| {
            if let Some(users) = users.get_mut(index).filter(|users| !users.contains(&own)) {
                users.push(own);
            }
        };
        for service in services {
            match service.http() {
                Some(http) => {
                    http.origins().for_each(|index| note(index, Self::Http));
                    // To its servers, a relay of WebSockets is a TCP proxy.
                    http.relayed().for_each(|index| note(index, Self::Tcp));
                }
                None => service.upstreams().for_each(|index| note(index, Self::of(service))),
            }
        }
        users
    }

    pub(super) const fn of(service: &ListenerService) -> Self {
        match service {
            ListenerService::Tcp { .. } => Self::Tcp,
            ListenerService::Echo => Self::Echo,
            ListenerService::Udp { .. } => Self::Udp,
            ListenerService::UdpEcho { .. } => Self::UdpEcho,
            ListenerService::Frame { .. } => Self::Frame,
            ListenerService::Messages(_) => Self::Messages,
            ListenerService::Sni { .. } => Self::Sni,
            ListenerService::Http(_) => Self::Http,
        }
    }

    pub(super) const fn is_udp(self) -> bool {
        match self {
            Self::Udp | Self::UdpEcho => true,
            Self::Tcp | Self::Echo | Self::Frame | Self::Messages | Self::Sni | Self::Http => false,
        }
    }

    /// Whether its listeners cannot do without the key `upstream`.
    pub(super) const fn needs_upstream(self) -> bool {
        match self {
            Self::Tcp | Self::Udp => true,
            Self::Echo | Self::UdpEcho | Self::Frame | Self::Messages | Self::Sni | Self::Http => {
                false
            }
        }
    }

    /// Its word in the file.
    pub(super) fn word(self) -> &'static str {
        word(PROTOCOL_WORDS, self)
    }

    /// Whether its listeners have a key.
    pub(super) fn has(self, key: &str) -> bool {
        protocols_of(key).is_none_or(|protocols| protocols.contains(&self))
    }
}

/// The protocols that a key of a listener is for. `None`: all.
pub(super) fn protocols_of(key: &str) -> Option<&'static [Protocol]> {
    let found = KEYS_OF_PROTOCOLS.iter().find(|(keys, _)| keys.contains(&key));
    found.map(|(_, protocols)| *protocols)
}

/// The protocols of the proxies that use a key of an upstream. `None`: all.
pub(super) fn proxies_of(key: &str) -> Option<&'static [Protocol]> {
    let found = KEYS_OF_PROXIES.iter().find(|(keys, _)| keys.contains(&key));
    found.map(|(_, protocols)| *protocols)
}

/// The words of a choice, each with what it means.
pub(super) type Words<T> = &'static [(&'static str, T)];

/// The word that means a choice.
pub(super) fn word<T: PartialEq>(words: Words<T>, meaning: T) -> &'static str {
    let found = words.iter().find(|(_, other)| *other == meaning);
    found.map_or("", |(word, _)| word)
}

pub(super) const SPLICE_WORDS: Words<SpliceMode> =
    &[("auto", SpliceMode::Auto), ("off", SpliceMode::Off)];
pub(super) const KERNEL_TLS_WORDS: Words<KernelTls> =
    &[("auto", KernelTls::Auto), ("both", KernelTls::Both), ("off", KernelTls::Off)];
pub(super) const LOG_FORMAT_WORDS: Words<LogFormat> =
    &[("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
pub(super) const LOG_LEVEL_WORDS: Words<LogLevel> = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
pub(super) const PROTOCOL_WORDS: Words<Protocol> = &[
    ("tcp", Protocol::Tcp),
    ("echo", Protocol::Echo),
    ("udp", Protocol::Udp),
    ("udp_echo", Protocol::UdpEcho),
    ("frame", Protocol::Frame),
    ("messages", Protocol::Messages),
    ("sni", Protocol::Sni),
    ("http", Protocol::Http),
];
pub(super) const STEERING_WORDS: Words<Steering> =
    &[("flow", Steering::Flow), ("cpu", Steering::Cpu)];
pub(super) const BALANCE_WORDS: Words<Balance> = &[
    ("round_robin", Balance::RoundRobin),
    ("least_connections", Balance::LeastConnections),
    ("least_requests", Balance::LeastRequests),
    ("source_hash", Balance::SourceHash),
    ("consistent_hash", Balance::ConsistentHash),
    ("ewma", Balance::Ewma),
    ("hash", Balance::Hash),
];
pub(super) const SEND_PROXY_PROTOCOL_WORDS: Words<SendProxyProtocol> = &[
    ("off", SendProxyProtocol::Off),
    ("v1", SendProxyProtocol::V1),
    ("v2", SendProxyProtocol::V2),
];

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) const WORKERS_RANGE: RangeInclusive<u16> = 1..=1024;
/// Completion entries for one submission entry, at least: as the kernel has it unless told.
pub(super) const COMPLETIONS_PER_SUBMISSION: u32 = 2;
pub(super) const HANDOFF_RATIO_RANGE: RangeInclusive<f64> = 1.0..=100.0;
/// Entries of `values`.
pub(super) const VALUES_MAX: usize = 1024;
/// Bytes of a name in `values`: what one byte can count.
pub(super) const VALUE_NAME_RANGE: RangeInclusive<usize> = 1..=255;
/// Bytes of a value in `values`.
pub(super) const VALUE_MAX: usize = 64 << 10;
/// Bytes of a path: the kernel's `PATH_MAX`, without the zero at its end.
pub(super) const PATH_LENGTH_MAX: usize = 4095;
/// The highest permissions of a file: all for everybody, without the special bits.
pub(super) const UNIX_MODE_MAX: u32 = 0o777;
/// Addresses of one listener.
pub(super) const ADDRESSES_MAX: usize = 1024;
/// Servers of one upstream.
pub(super) const SERVERS_MAX: usize = 10_000;
/// Bytes of a name: those of a DNS label, as names become labels of metrics.
pub(super) const NAME_MAX: usize = 63;
