//! Messages and events, as a program sees them.

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

    /// Its opcode.
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

/// The close frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketClose {
    /// Its code, [`CloseCode::NO_STATUS`] if it had none.
    pub code: CloseCode,
    /// Its reason, which may be empty.
    pub reason: String,
}

/// An event of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketEvent {
    /// A message.
    Message(WebSocketMessage),
    /// The server sent a ping, which is answered. Reported only with `tell_control`.
    Ping(Vec<u8>),
    /// The server answered a ping. Reported for pings of the program; for others only with
    /// `tell_control`.
    Pong {
        /// The payload.
        payload: Vec<u8>,
        /// The time since its ping; `None` if it is unsolicited.
        round_trip: Option<Duration>,
    },
    /// The descriptor is readable.
    Input,
    /// The connection was lost, and is opened again after a delay. Reported only by
    /// [`Reconnecting`](super::Reconnecting), as is the next one.
    Lost {
        /// Why it was lost or not opened.
        why: String,
        /// The delay.
        rest: Duration,
    },
    /// The connection was opened again. Messages sent before may not have arrived, and messages
    /// that the server sent meanwhile are lost. Messages are not sent again automatically.
    Reconnected,
    /// The WebSocket is closed. This is the last event.
    Closed(WebSocketClose),
}

impl WebSocketEvent {
    /// The least memory that it takes while it waits, in bytes.
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
