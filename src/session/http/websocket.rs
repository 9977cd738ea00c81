//! How endpoints of WebSockets are set up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::proto::websocket::{CloseCode, Limits};
use crate::session::topic_set::TopicSet;

/// An endpoint: what answers the sockets of a route.
#[derive(Debug)]
pub struct WebSocketOptions {
    /// Who answers.
    pub service: SocketService,
    /// Bytes of a frame and of a message, at most.
    pub limits: Limits,
    /// Subprotocols. Without any, none is chosen.
    pub subprotocols: BTreeSet<Box<str>>,
    /// Pages of which sites may open a socket.
    pub origins: Origins,
    /// Whether messages are compressed, and how; `None` to offer no compression.
    pub deflate: Option<DeflateOptions>,
    /// How long nothing may come before a ping is sent.
    pub ping_interval: Option<Duration>,
    /// How long nothing may come before the socket is closed.
    pub idle_timeout: Option<Duration>,
    /// How long the close handshake may take.
    pub close_timeout: Duration,
    /// Messages a second of one socket, and at once after a pause.
    pub message_rate: Option<(u32, u32)>,
    /// The code that sockets are closed with when the server drains.
    pub drain_code: CloseCode,
    /// The time over which they are closed then.
    pub drain_window: Duration,
}

/// Who answers the sockets of a route.
#[derive(Debug, Clone)]
pub enum SocketService {
    /// Each message comes back.
    Echo,
    /// Messages are published and subscribed to.
    Topics {
        /// The topics.
        set: Arc<TopicSet>,
        /// Whether clients may publish.
        publish: bool,
        /// Whether clients may subscribe.
        subscribe: bool,
    },
    /// Messages go to a server and come from it.
    Relay {
        /// The upstream's number.
        upstream: usize,
        /// How messages are told apart on the way.
        format: RelayFormat,
    },
    /// The program's handler at this place.
    Handler(usize),
}

impl SocketService {
    /// Its topics, if it has any.
    #[must_use]
    pub const fn topics(&self) -> Option<&Arc<TopicSet>> {
        let Self::Topics { set, .. } = self else { return None };
        Some(set)
    }
}

/// How messages are told apart on a connection to a server.
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
    /// Any.
    Any,
    /// These, as browsers send them, in lower case; with `same`, those of the host that was asked.
    Listed {
        /// Pages of the same host and port.
        same: bool,
        /// Others, as in `https://example.com`.
        others: Box<[Box<str>]>,
    },
}

/// How messages are compressed (RFC 7692).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeflateOptions {
    /// Messages of fewer bytes are not compressed.
    pub min: usize,
    /// 1 to 9.
    pub level: u32,
    /// Whether a connection may keep its window between messages, as long as the worker's budget
    /// for that lasts.
    pub context_takeover: bool,
    /// Bits of the window, 9 to 15.
    pub window_bits: u8,
}
