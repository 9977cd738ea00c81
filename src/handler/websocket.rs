//! WebSockets that a program answers: what it writes.
//!
//! | file | job |
//! |---|---|
//! | `sender` | what program and worker share of a socket |
//! | `prepared` | a message for many sockets |
//! | `group` | sockets that get the same messages |
//! | `exchange` | the worker's side of a socket |

mod exchange;
mod group;
mod prepared;
mod sender;

pub(crate) use self::exchange::{Accepted, Opening, SocketExchange};
pub use self::group::{SlowMembers, WebSocketGroup};
pub(crate) use self::prepared::Frame;
pub use self::prepared::Prepared;
pub use self::sender::{SendError, WebSocketSender};
pub(crate) use self::sender::{SocketLook, SocketSaid};
use super::http::HttpRequest;

/// Answers the WebSockets of routes with `websocket = { service = "handler", handler = "NAME" }`.
///
/// Each worker has its own value, made by the program's factory. It is called on the worker's loop,
/// which waits for it, so it must not block. A panic costs the request, which is answered with 500,
/// and the handler is made again.
///
/// A closure of the same shape is a handler, too.
pub trait WebSocketHandler {
    /// A client asks for a WebSocket. Origins, users and limits of the route were checked. What is
    /// sent to `socket` goes out behind the answer to the handshake. The sender may be kept and
    /// given to other threads; the program's share in the socket ends with the call of
    /// [`WebSocketReceiver::close`], not with its senders.
    fn open(&mut self, request: &HttpRequest<'_>, socket: &WebSocketSender) -> Opened;
}

impl<F> WebSocketHandler for F
where
    F: FnMut(&HttpRequest<'_>, &WebSocketSender) -> Opened,
{
    fn open(&mut self, request: &HttpRequest<'_>, socket: &WebSocketSender) -> Opened {
        self(request, socket)
    }
}

/// Takes the messages of one socket, on the worker's loop. It must not block.
///
/// Calling order: [`message`](Self::message) and [`room`](Self::room) any number of times, then
/// [`close`](Self::close) once, then it is dropped. A panic costs the socket, which is closed with
/// 1011.
///
/// A closure that takes a [`Message`] is a receiver, too.
pub trait WebSocketReceiver {
    /// A message has come, whole and inflated: at most `message_max` of the route.
    fn message(&mut self, message: Message<'_>);

    /// The socket is over. `code` is that of the close frame that was sent or came first, whoever
    /// sent it, and `reason` what was in it: 1005 for a close frame without a code, and 1006 where
    /// there was no close frame (RFC 6455, section 7.1.5).
    fn close(&mut self, code: u16, reason: &str) {
        let _unused = (code, reason);
    }

    /// A message was refused with [`SendError::Full`]: all that waited was passed on.
    fn room(&mut self) {}
}

impl<F: FnMut(Message<'_>)> WebSocketReceiver for F {
    fn message(&mut self, message: Message<'_>) {
        self(message);
    }
}

/// A message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The text, if it is one.
    #[must_use]
    pub const fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Its bytes, of either kind.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// What a handler answers to a handshake.
pub struct Opened(Answered);

enum Answered {
    Accepted { receiver: Box<dyn WebSocketReceiver>, subprotocol: Option<Box<str>> },
    Refused(u16),
}

impl Opened {
    /// The socket opens; its messages go to `receiver`. Without
    /// [`with_subprotocol`](Self::with_subprotocol), the subprotocol is the client's first one that
    /// is among the route's `subprotocols`, if there is one.
    #[must_use]
    pub fn accept(receiver: impl WebSocketReceiver + 'static) -> Self {
        Self(Answered::Accepted { receiver: Box::new(receiver), subprotocol: None })
    }

    /// The same with a subprotocol: one of [`HttpRequest::subprotocols`]. With any other, the
    /// handshake is answered with 500 (RFC 6455, section 4.2.2).
    #[must_use]
    pub fn with_subprotocol(mut self, name: &str) -> Self {
        if let Answered::Accepted { subprotocol, .. } = &mut self.0 {
            *subprotocol = Some(name.into());
        }
        self
    }

    /// The handshake is answered with this status, 400 to 599, and there is no socket. Any other
    /// status is sent as 500.
    #[must_use]
    pub const fn refuse(status: u16) -> Self {
        let is_error = status >= 400 && status <= 599;
        Self(Answered::Refused(if is_error { status } else { 500 }))
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Answered::Accepted { subprotocol, .. } => {
                f.debug_tuple("Accepted").field(subprotocol).finish()
            }
            Answered::Refused(status) => f.debug_tuple("Refused").field(status).finish(),
        }
    }
}
