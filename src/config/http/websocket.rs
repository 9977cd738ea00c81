//! `[listener.route.websocket]`: an endpoint of WebSockets (RFC 6455), and
//! `[listener.route.websocket_inspect]`: a proxy that looks at their frames.

use std::time::Duration;

use super::super::defaults;
use super::super::schema::{TableKeys, Words, word};

/// An endpoint of WebSockets: the table `websocket` of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// `service`, and the keys that only it has.
    pub service: WebSocketService,
    /// `subprotocols`: those that are spoken, the best first. Empty: none is chosen.
    pub subprotocols: Vec<String>,
    /// `origins`: pages of which sites may open a socket.
    pub origins: Origins,
    /// Sizes, rates and times.
    pub limits: SocketLimits,
    /// `deflate`: whether messages are compressed if the client takes it (RFC 7692).
    pub deflate: bool,
    /// `deflate_min`: bytes of a message, at least, that is compressed.
    pub deflate_min: u32,
    /// `deflate_level`: how hard the compressor tries, 1 to 9.
    pub deflate_level: u8,
    /// `deflate_takeover`: whether a socket may keep its window between messages.
    pub deflate_takeover: bool,
    /// `deflate_window_bits`: bits of the window, 9 to 15.
    pub deflate_window_bits: u8,
    /// `drain_code`: the code that sockets are closed with when the server drains.
    pub drain_code: u16,
    /// `drain_window`: the time over which they are closed then.
    pub drain_window: Duration,
}

/// Sizes, rates and times of WebSockets that an endpoint answers, or that a proxy inspects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketLimits {
    /// `message_max`: bytes of a message, at most: inflated at an endpoint, on the wire in a proxy.
    pub message_max: u32,
    /// `frame_max`: bytes of the payload of a frame, at most; not above `message_max`.
    pub frame_max: u32,
    /// `message_rate` and `message_burst`: messages a second of one side, and at once after a
    /// pause. `None`: any number.
    pub message_rate: Option<(u32, u32)>,
    /// `ping_interval`: how long nothing may come before a ping is sent. `None`: none is.
    pub ping_interval: Option<Duration>,
    /// `idle_timeout`: how long nothing may come before the socket is closed; above
    /// `ping_interval`. `None`: any time.
    pub idle_timeout: Option<Duration>,
    /// `close_timeout`: how long the close handshake may take.
    pub close_timeout: Duration,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            message_max: defaults::WEBSOCKET_MESSAGE_MAX,
            frame_max: defaults::WEBSOCKET_MESSAGE_MAX,
            message_rate: defaults::WEBSOCKET_MESSAGE_RATE,
            ping_interval: defaults::WEBSOCKET_PING_INTERVAL,
            idle_timeout: defaults::WEBSOCKET_IDLE_TIMEOUT,
            close_timeout: defaults::WEBSOCKET_CLOSE_TIMEOUT,
        }
    }
}

impl WebSocketOptions {
    /// An endpoint of this service, with defaults.
    #[must_use]
    pub fn new(service: WebSocketService) -> Self {
        Self {
            service,
            subprotocols: Vec::new(),
            origins: Origins::Listed { same: true, others: Vec::new() },
            limits: SocketLimits::default(),
            deflate: defaults::DEFLATE,
            deflate_min: defaults::DEFLATE_MIN,
            deflate_level: defaults::DEFLATE_LEVEL,
            deflate_takeover: defaults::DEFLATE_TAKEOVER,
            deflate_window_bits: defaults::DEFLATE_WINDOW_BITS,
            drain_code: defaults::DRAIN_CODE,
            drain_window: defaults::DRAIN_WINDOW,
        }
    }

    /// The index of the upstream in [`Config::upstreams`](super::super::Config::upstreams), of a
    /// relay.
    #[must_use]
    pub const fn upstream(&self) -> Option<usize> {
        match &self.service {
            WebSocketService::Relay { upstream, .. } => Some(*upstream),
            WebSocketService::Echo
            | WebSocketService::Topics { .. }
            | WebSocketService::Handler(_) => None,
        }
    }

    /// The index of the topics in [`Config::topics`](super::super::Config::topics), if it has any.
    #[must_use]
    pub const fn topics(&self) -> Option<usize> {
        match &self.service {
            WebSocketService::Topics { topics, .. } => Some(*topics),
            WebSocketService::Echo
            | WebSocketService::Relay { .. }
            | WebSocketService::Handler(_) => None,
        }
    }
}

/// Who answers the sockets of a route: the key `service`, and those that only it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebSocketService {
    /// `"echo"`: each message comes back.
    Echo,
    /// `"topics"`: messages are published and subscribed to.
    Topics {
        /// The index of the table `[topics.NAME]` in
        /// [`Config::topics`](super::super::Config::topics).
        topics: usize,
        /// `publish`: whether clients may publish.
        publish: bool,
        /// `subscribe`: whether clients may subscribe.
        subscribe: bool,
    },
    /// `"relay"`: messages go to a server and come from it.
    Relay {
        /// The index of the upstream in
        /// [`Config::upstreams`](super::super::Config::upstreams).
        upstream: usize,
        /// `relay_format`: how messages are told apart on the way.
        format: RelayFormat,
    },
    /// `"handler"`: the program's WebSocket handler of this name.
    Handler(String),
}

/// How messages are told apart on a relay's connection to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayFormat {
    /// Not at all: bytes go both ways.
    Bytes,
    /// Each is a line.
    Lines,
}

/// Pages of which sites may open a socket (RFC 6455, section 10.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// `"*"`: any.
    Any,
    /// Those that are listed. With none, only clients that are no browsers.
    Listed {
        /// `"same"`: pages of the host that was asked.
        same: bool,
        /// Origins as browsers send them (RFC 6454, section 6.2), in lower case and without the
        /// port that is their scheme's own.
        others: Vec<String>,
    },
}

/// A word of `service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceWord {
    Echo,
    Topics,
    Relay,
    Handler,
}

pub(super) const SERVICE_WORDS: Words<ServiceWord> = &[
    ("echo", ServiceWord::Echo),
    ("topics", ServiceWord::Topics),
    ("relay", ServiceWord::Relay),
    ("handler", ServiceWord::Handler),
];
pub(super) const RELAY_FORMAT_WORDS: Words<RelayFormat> =
    &[("bytes", RelayFormat::Bytes), ("lines", RelayFormat::Lines)];

pub(in super::super) const WEBSOCKET_INSPECT: TableKeys = TableKeys {
    table: "[listener.route.websocket_inspect]",
    keys: &[
        "message_max",
        "frame_max",
        "message_rate",
        "message_burst",
        "ping_interval",
        "idle_timeout",
        "close_timeout",
    ],
};

pub(in super::super) const WEBSOCKET: TableKeys = TableKeys {
    table: "[listener.route.websocket]",
    keys: &[
        "service",
        "topics",
        "publish",
        "subscribe",
        "upstream",
        "relay_format",
        "handler",
        "subprotocols",
        "origins",
        "message_max",
        "frame_max",
        "message_rate",
        "message_burst",
        "ping_interval",
        "idle_timeout",
        "close_timeout",
        "deflate",
        "deflate_min",
        "deflate_level",
        "deflate_takeover",
        "deflate_window_bits",
        "drain_code",
        "drain_window",
    ],
};

/// The keys that only some services have, each group with those. Topics have subprotocols of their
/// own.
const KEYS_OF_SERVICES: &[(&[&str], &[ServiceWord])] = &[
    (&["topics", "publish", "subscribe"], &[ServiceWord::Topics]),
    (&["upstream", "relay_format"], &[ServiceWord::Relay]),
    (&["handler"], &[ServiceWord::Handler]),
    (&["subprotocols"], &[ServiceWord::Echo, ServiceWord::Relay, ServiceWord::Handler]),
];

/// The services that a key is for. `None`: all.
pub(super) fn services_of(key: &str) -> Option<&'static [ServiceWord]> {
    let found = KEYS_OF_SERVICES.iter().find(|(keys, _)| keys.contains(&key));
    found.map(|(_, services)| *services)
}

impl WebSocketService {
    /// Whether its endpoints have a key.
    pub(super) fn has(&self, key: &str) -> bool {
        services_of(key).is_none_or(|services| services.contains(&self.kind()))
    }

    /// Its word in the file.
    pub(super) fn word(&self) -> &'static str {
        word(SERVICE_WORDS, self.kind())
    }

    const fn kind(&self) -> ServiceWord {
        match self {
            Self::Echo => ServiceWord::Echo,
            Self::Topics { .. } => ServiceWord::Topics,
            Self::Relay { .. } => ServiceWord::Relay,
            Self::Handler(_) => ServiceWord::Handler,
        }
    }
}
