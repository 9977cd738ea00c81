//! Options of a WebSocket client.

use std::time::Duration;

use super::url::ProxyUrl;
use crate::client::ConnectOptions;
use crate::proto::websocket::extension::Policy;

/// How a WebSocket is opened, and limits on its server.
#[derive(Debug, Clone)]
pub struct WebSocketOptions {
    /// How to connect. Its `tls` is for `wss://`: trust anchors and the client's certificate;
    /// without it, the system's trust anchors are used. Its protocols (ALPN) are set to `http/1.1`.
    pub connect: ConnectOptions,
    /// How long the handshake may take on an established connection, and how long that of a proxy.
    pub handshake_timeout: Duration,
    /// Additional fields of the request. Fields of the connection and of the handshake are
    /// reserved.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The `Origin` of the request, for servers that check it.
    pub origin: Option<String>,
    /// The subprotocols that are offered, in order of preference. If it is empty, the server must
    /// not choose one.
    pub subprotocols: Vec<String>,
    /// The offer of permessage-deflate (RFC 7692): messages are compressed if the server accepts
    /// it. `None` offers no compression.
    pub deflate: Option<Policy>,
    /// An HTTP proxy to tunnel through (CONNECT).
    pub proxy: Option<ProxyUrl>,
    /// How many redirects are followed: 0 to 5, and never from `wss://` to `ws://`. Credentials (of
    /// the URL, `Authorization`, `Cookie`) are sent only to the first authority.
    pub redirects_max: u8,
    /// The interval of pings while a method waits.
    pub ping_interval: Option<Duration>,
    /// How long the server may be silent after a ping before the connection counts as lost.
    pub pong_timeout: Duration,
    /// How long the server may be silent.
    pub idle_timeout: Option<Duration>,
    /// How long a message may take from its first byte, plus a second for each KiB received.
    pub message_timeout: Duration,
    /// How long the server may take to answer a close frame.
    pub close_timeout: Duration,
    /// The most bytes of a decompressed message, and of received messages that the program has not
    /// taken: beyond that, nothing is read while sending.
    pub message_max: usize,
    /// The most bytes of a frame.
    pub frame_max: usize,
    /// The most bytes of the head of the server's answer.
    pub head_max: usize,
    /// Reports pings of the server, and all pongs.
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
