//! The two formats of messages between clients and the server. `docs/websocket.md` describes them.

use std::borrow::Cow;

use super::fault::Fault;
use super::publication::Publication;
use super::{binary, json};

/// Bytes of a message's id at most, if it is a string.
pub const ID_BYTES_MAX: usize = 64;
/// The largest id that is a number: the largest integer below which JavaScript has all.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// A format of messages, which a WebSocket subprotocol names (RFC 6455, section 1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `ringway.topics.v1.json`: text messages, a JSON object each. Also of clients that ask for
    /// no subprotocol.
    #[default]
    Json,
    /// `ringway.topics.v1.binary`: binary messages.
    Binary,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Json, Self::Binary];

    /// The name of its subprotocol.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "ringway.topics.v1.json",
            Self::Binary => "ringway.topics.v1.binary",
        }
    }

    /// The format of a subprotocol. Names are compared as they are (RFC 6455, section 11.5).
    #[must_use]
    pub fn of(subprotocol: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.subprotocol() == subprotocol)
    }

    /// Whether its messages are text, and no binary messages.
    #[must_use]
    pub const fn is_text(self) -> bool {
        match self {
            Self::Json => true,
            Self::Binary => false,
        }
    }

    /// Reads a client's message.
    #[must_use]
    pub fn read(self, message: &[u8]) -> ClientMessage<'_> {
        match self {
            Self::Json => json::read(message),
            Self::Binary => binary::read(message),
        }
    }

    /// Appends an answer to a client.
    pub fn write(self, id: &Id<'_>, reply: Reply<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write(id, reply, out),
            Self::Binary => binary::write(id, reply, out),
        }
    }

    /// Appends the notice that so many messages were dropped.
    pub fn write_dropped(self, count: u32, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_dropped(count, out),
            Self::Binary => binary::write_dropped(count, out),
        }
    }
}

/// Appends a publication as a message to subscribers of a format. `retained` says that it was
/// published before the subscription was made.
pub fn encode(publication: &Publication, format: Format, retained: bool, out: &mut Vec<u8>) {
    match format {
        Format::Json => json::encode(publication, retained, out),
        Format::Binary => binary::encode(publication, retained, out),
    }
}

/// What a client knows its message by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Id<'a> {
    /// There is none: a publication and the end of a subscription are not answered when they are
    /// done. In the binary format, 0.
    #[default]
    None,
    /// A number of at most [`ID_MAX`].
    Number(u64),
    /// A string of at most [`ID_BYTES_MAX`] bytes.
    Text(Cow<'a, str>),
}

/// A message of a client.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientMessage<'a> {
    /// Its id, also where the rest is invalid, if the id can be read.
    pub id: Id<'a>,
    /// What is to be done.
    pub command: Result<Command<'a>, Fault>,
}

/// What a client wants done. Names are not checked yet.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Subscribe to the topics that a filter matches.
    Subscribe(Cow<'a, [u8]>),
    /// End a subscription.
    Unsubscribe(Cow<'a, [u8]>),
    /// Publish.
    Publish {
        /// To which topic.
        topic: Cow<'a, [u8]>,
        /// What.
        payload: Cow<'a, [u8]>,
        /// Whether the payload is known to be JSON, so that it need not be looked at.
        is_json: bool,
        /// Whether it is kept for subscribers to come.
        retain: bool,
    },
    /// Say something, so that the client knows that the server is there.
    Ping,
}

/// What a client is answered.
#[derive(Debug, Clone, Copy)]
pub enum Reply<'a> {
    /// It was done.
    Ok,
    /// It was not done.
    Error(&'a Fault),
    /// The answer to a ping.
    Pong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_subprotocols() {
        for format in Format::ALL {
            assert_eq!(Format::of(format.subprotocol()), Some(format));
        }
        assert_eq!(Format::of("ringway.topics.v1.JSON"), None);
        assert_eq!(Format::of(""), None);
        assert!(Format::default().is_text() && !Format::Binary.is_text());
    }
}
