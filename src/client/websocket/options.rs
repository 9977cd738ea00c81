//! How a WebSocket is opened and kept.

use std::time::Duration;

use super::url::ProxyUrl;
use crate::client::ConnectOptions;
use crate::proto::websocket::extension::Policy;

/// How a WebSocket is opened, and what is taken of its server.
#[derive(Debug, Clone)]
pub struct WebSocketOptions {
    /// How to connect. Its `tls` is for `wss://`: whom to trust and what to show; without it, whom
    /// the system trusts. Its protocols (ALPN) are set: `http/1.1`.
    pub connect: ConnectOptions,
    /// How long the handshake may take once there is a connection, and that of a proxy before it.
    pub handshake_timeout: Duration,
    /// Fields that the request has besides. Those of the connection and of the handshake are the
    /// client's own.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The `Origin` that the server is told: that of a page, for a server that checks it.
    pub origin: Option<String>,
    /// The subprotocols that are offered, the best first. Without any, the server may choose none.
    pub subprotocols: Vec<String>,
    /// What is offered of permessage-deflate (RFC 7692): compressed messages, if the server agrees.
    /// `None` offers nothing.
    pub deflate: Option<Policy>,
    /// A proxy of HTTP that is asked for a tunnel (CONNECT).
    pub proxy: Option<ProxyUrl>,
    /// How many redirects are followed, one after the other: 0 to 5. Never from `wss://` to
    /// `ws://`. Credentials (of the URL, `Authorization`, `Cookie`) stay with the first authority.
    pub redirects_max: u8,
    /// Pings are sent so often while something is waited for.
    pub ping_interval: Option<Duration>,
    /// How long a server that was pinged may be silent until it counts as lost.
    pub pong_timeout: Duration,
    /// How long the server may be silent in any case.
    pub idle_timeout: Option<Duration>,
    /// How long a message that has begun may take, to which a second is added for each KiB of it
    /// that came.
    pub message_timeout: Duration,
    /// How long the server may take to answer a close frame.
    pub close_timeout: Duration,
    /// Bytes of a message, inflated, at most; and bytes of messages that came and were not taken:
    /// beyond them, nothing is read while it sends.
    pub message_max: usize,
    /// Bytes of a frame, at most.
    pub frame_max: usize,
    /// Bytes of the head of the server's answer, at most.
    pub head_max: usize,
    /// Tells of pings of the server, and of all pongs.
    pub tell_control: bool,
}

impl Default for WebSocketOptions {
    fn default() -> Self {
        Self {
            connect: ConnectOptions::default(),
            handshake_timeout: Duration::from_secs(10),
            fields: Vec::new(),
            origin: None,
            subprotocols: Vec::new(),
            deflate: Some(Policy { context_takeover: true, ..Policy::default() }),
            proxy: None,
            redirects_max: 0,
            ping_interval: None,
            pong_timeout: Duration::from_secs(10),
            idle_timeout: None,
            message_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            message_max: 16 * 1024 * 1024,
            frame_max: 16 * 1024 * 1024,
            head_max: 64 * 1024,
            tell_control: false,
        }
    }
}
