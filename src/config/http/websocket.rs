//! `[listener.route.websocket]`: an endpoint of WebSockets (RFC 6455), and
//! `[listener.route.websocket_inspect]`: a proxy that looks at their frames.

use std::time::Duration;

use serde_json::json;
use toml::Value;

use super::super::kinds::{Bool, Bytes, Custom, Time, Unless, Whole};
use super::super::schema::{DAY, HOUR, MINUTE, SECOND, TableKeys, Words, keys, word};
use super::super::table::table;
use super::endpoint::drain_code;

table! {
    /// An endpoint of WebSockets: the table `websocket` of a route.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct WebSocketOptions {
        /// Whether messages are compressed, if the client takes it.
        "deflate" deflate: bool = true, Bool;
        /// Bytes of the least message that is compressed. By default, shorter ones are one segment
        /// anyway.
        "deflate_min" deflate_min: u32 = 1 << 10, Bytes(0..=1 << 20);
        /// How hard the compressor tries; 1 is fast.
        "deflate_level" deflate_level: u8 = 1, Whole(1..=9);
        /// Whether a socket may keep its window between messages, which then need fewer bytes, as
        /// long as `websocket_takeover_memory` lasts.
        "deflate_takeover" deflate_takeover: bool = false, Bool;
        /// The window, in bits; 9 are 512 bytes, 15 are 32 KiB. RFC 7692, section 7.1.2.1, allows
        /// 8, too, which zlib does not do.
        "deflate_window_bits" deflate_window_bits: u8 = 15, Whole(9..=15);
        /// The code that sockets are closed with when the server drains: 1000, 1001, 1012, 1013, or
        /// one of your own from 3000 to 4999.
        "drain_code" drain_code: u16 = 1012, DRAIN_CODE;
        /// The time over which they are closed then, one after the other.
        "drain_window" drain_window: Duration = Duration::from_secs(10),
            Time(Duration::ZERO..=MINUTE.saturating_mul(10));
        .. {
            /// `service`, and the keys that only it has.
            service: WebSocketService = WebSocketService::Echo;
            /// `subprotocols`: those that are spoken, the best first. Empty: none is chosen.
            subprotocols: Vec<String> = Vec::new();
            /// `origins`: pages of which sites may open a socket.
            origins: Origins = Origins::Listed { same: true, others: Vec::new() };
            /// Sizes, rates and times.
            limits: SocketLimits = SocketLimits::default();
        }
    }
}

const DRAIN_CODE: Custom<u16> = Custom {
    accept: drain_code,
    write: |code| Value::from(u32::from(*code)),
    schema: || {
        json!({ "anyOf": [
            { "enum": [1000, 1001, 1012, 1013] },
            { "type": "integer", "minimum": 3000, "maximum": 4999 },
        ] })
    },
};

table! {
    /// Sizes, rates and times of WebSockets that an endpoint answers, or that a proxy inspects.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SocketLimits {
        /// How long a side may be silent before it is pinged. By default what keeps most middle
        /// boxes from forgetting a connection. "off": it is not.
        "ping_interval" ping_interval: Option<Duration> = Some(Duration::from_secs(30)),
            Unless("off", Time(SECOND..=HOUR));
        /// How long a side may be silent, without a pong, before the WebSocket is closed, above
        /// `ping_interval`, so that a single lost ping does not end it. "off": any time.
        "idle_timeout" idle_timeout: Option<Duration> = Some(Duration::from_secs(75)),
            Unless("off", Time(SECOND..=DAY));
        /// How long both sides may take to end a WebSocket that was closed.
        "close_timeout" close_timeout: Duration = Duration::from_secs(5),
            Time(Duration::from_millis(100)..=MINUTE);
        .. {
            /// `message_max`: bytes of a message, at most: inflated at an endpoint, on the wire in
            /// a proxy.
            message_max: u32 = 1 << 20;
            /// `frame_max`: bytes of the payload of a frame, at most; not above `message_max`.
            frame_max: u32 = 1 << 20;
            /// `message_rate` and `message_burst`: messages a second of one side, and at once after
            /// a pause. `None`: any number.
            message_rate: Option<(u32, u32)> = None;
        }
    }
}

impl WebSocketOptions {
    /// An endpoint of this service, with defaults.
    #[must_use]
    pub fn new(service: WebSocketService) -> Self {
        Self { service, ..Self::default() }
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
pub(in super::super) enum ServiceWord {
    Echo,
    Topics,
    Relay,
    Handler,
}

pub(in super::super) const SERVICE_WORDS: Words<ServiceWord> = &[
    ("echo", ServiceWord::Echo),
    ("topics", ServiceWord::Topics),
    ("relay", ServiceWord::Relay),
    ("handler", ServiceWord::Handler),
];
pub(in super::super) const RELAY_FORMAT_WORDS: Words<RelayFormat> =
    &[("bytes", RelayFormat::Bytes), ("lines", RelayFormat::Lines)];

/// Sizes and rates of messages.
const MESSAGE_KEYS: &[&str] = &["message_max", "frame_max", "message_rate", "message_burst"];

pub(in super::super) const WEBSOCKET_INSPECT: TableKeys = TableKeys {
    table: "[listener.route.websocket_inspect]",
    keys: keys![MESSAGE_KEYS, SocketLimits::KEYS],
};

pub(in super::super) const WEBSOCKET: TableKeys = TableKeys {
    table: "[listener.route.websocket]",
    keys: keys![
        &[
            "service",
            "topics",
            "publish",
            "subscribe",
            "upstream",
            "relay_format",
            "handler",
            "subprotocols",
            "origins",
        ],
        MESSAGE_KEYS,
        SocketLimits::KEYS,
        WebSocketOptions::KEYS,
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
