//! What goes over a WebSocket, as a program sees it.

use std::time::Duration;

use crate::proto::websocket::{CloseCode, Kind};

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebSocketMessage {
    /// UTF-8.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl WebSocketMessage {
    /// Its payload.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// What it is on the wire.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }
}

impl From<&str> for WebSocketMessage {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[u8]> for WebSocketMessage {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(bytes.to_vec())
    }
}

/// What the server closed a WebSocket with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketClose {
    /// The code of its close frame, [`CloseCode::NO_STATUS`] if that had none.
    pub code: CloseCode,
    /// What it says of it; empty if it says nothing.
    pub reason: String,
}

/// What was waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketEvent {
    /// A message.
    Message(WebSocketMessage),
    /// The server sent a ping, which is answered. Told with `tell_control` only.
    Ping(Vec<u8>),
    /// The server answered a ping. Told of pings of the program; of others with `tell_control`.
    Pong {
        /// The payload.
        payload: Vec<u8>,
        /// The time since its ping; `None` if it answers none.
        round_trip: Option<Duration>,
    },
    /// The descriptor can be read.
    Input,
    /// The connection has ended, and is made again after a rest. Told by
    /// [`Reconnecting`](super::Reconnecting) only, as is the next one.
    Lost {
        /// How it has ended, or why it was not made.
        why: String,
        /// The rest.
        rest: Duration,
    },
    /// The connection was made again: what was sent before may not have come, and what the server
    /// sent meanwhile is lost. Nothing is sent again that the program does not send again.
    Reconnected,
    /// The WebSocket is closed. Nothing follows.
    Closed(WebSocketClose),
}

impl WebSocketEvent {
    /// Bytes that it takes while it waits to be taken, at least.
    pub(super) fn cost(&self) -> usize {
        let payload = match self {
            Self::Message(message) => message.bytes().len(),
            Self::Ping(payload) | Self::Pong { payload, .. } => payload.len(),
            Self::Closed(close) => close.reason.len(),
            Self::Lost { why, .. } => why.len(),
            Self::Input | Self::Reconnected => 0,
        };
        payload + size_of::<Self>()
    }
}
