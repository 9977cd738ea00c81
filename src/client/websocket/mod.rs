//! A client of WebSocket (RFC 6455), over HTTP/1.1.
//!
//! | file | job |
//! |---|---|
//! | `url`, `options`, `message` | address, options, and messages |
//! | `handshake` | the request and its answer, pure |
//! | `dial` | opens a connection: proxy, TLS, handshake, redirects |
//! | `connection` | frames on a connected socket |
//! | `compression` | compressed messages |
//! | `reconnecting` | reconnects when a connection is lost |
//! | `mask` | masking keys |
//! | `vigil` | timing of pings and timeouts, pure |

mod compression;
mod connection;
mod dial;
mod handshake;
mod mask;
mod message;
mod options;
mod reconnecting;
#[cfg(test)]
mod tests;
mod url;
mod vigil;

use std::os::fd::AsFd;
use std::time::Duration;

pub use self::message::{WebSocketClose, WebSocketEvent, WebSocketMessage};
pub use self::options::WebSocketOptions;
pub use self::reconnecting::Reconnecting;
pub use self::url::{ProxyUrl, WebSocketUrl};

use self::connection::{Connection, NO_INPUT};
use super::ClientError;
use super::deadline::Deadline;
use super::error::Waiting;
use crate::net::tls::Info;
use crate::proto::http::ResponseHead;
use crate::proto::websocket::extension::Parameters;
use crate::proto::websocket::{CloseCode, Closing, Opcode};

/// An open WebSocket. Dropping it closes it with code 1001, without waiting for an answer.
///
/// It belongs to the thread that opened it. It reads, answers pings of the server and sends its own
/// only while a method waits. To send on behalf of another thread while waiting for messages, use
/// [`WebSocket::receive_or_input`] with a descriptor that the other thread makes readable (a pipe,
/// an eventfd).
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{WebSocket, WebSocketEvent, WebSocketOptions};
///
/// let patience = Duration::from_secs(5);
/// let mut socket = WebSocket::connect("wss://example.com/echo", &WebSocketOptions::default())?;
/// socket.send_text("hello", patience)?;
/// while let WebSocketEvent::Message(message) = socket.receive(patience)? {
///     println!("{message:?}");
///     socket.start_close(1000, "done")?;
/// }
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct WebSocket {
    connection: Connection,
    head: Box<ResponseHead>,
    subprotocol: Option<String>,
    deflate: Option<Parameters>,
    url: WebSocketUrl,
    close_timeout: Duration,
}

impl WebSocket {
    /// Opens a WebSocket at a URL, such as `wss://example.com/chat`.
    ///
    /// # Errors
    /// When the URL or the options are invalid, the connection fails, the server does not accept
    /// the handshake ([`ClientError::Handshake`]), or a proxy refuses the tunnel
    /// ([`ClientError::Tunnel`]).
    pub fn connect(url: &str, options: &WebSocketOptions) -> Result<Self, ClientError> {
        Self::open(&url.parse()?, options)
    }

    /// The same with a parsed URL.
    ///
    /// # Errors
    /// As of [`WebSocket::connect`].
    pub fn open(url: &WebSocketUrl, options: &WebSocketOptions) -> Result<Self, ClientError> {
        handshake::check_options(options)?;
        let dial::Dialed { line, head, agreed, rest, url } = dial::dial(url, options)?;
        let connection = Connection::new(line, rest, agreed.deflate, options);
        let close_timeout = options.close_timeout;
        let handshake::Agreed { subprotocol, deflate } = agreed;
        Ok(Self { connection, head, subprotocol, deflate, url, close_timeout })
    }

    /// The address of the peer: of the proxy, if there is one.
    #[must_use]
    pub fn peer(&self) -> String {
        self.connection.peer()
    }

    /// The URL that was opened, after redirects.
    #[must_use]
    pub const fn url(&self) -> &WebSocketUrl {
        &self.url
    }

    /// The subprotocol that the server has chosen of those offered.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// How messages are compressed, if compression was negotiated.
    #[must_use]
    pub const fn deflate(&self) -> Option<&Parameters> {
        self.deflate.as_ref()
    }

    /// The head of the server's answer to the handshake.
    #[must_use]
    pub fn response(&self) -> &ResponseHead {
        &self.head
    }

    /// The parameters of TLS, if it is used.
    #[must_use]
    pub fn tls(&self) -> Option<Info> {
        self.connection.tls()
    }

    /// Sends a text message, and waits until the socket has accepted it. Messages received
    /// meanwhile are kept, up to `message_max` bytes; beyond that, the server has to wait.
    ///
    /// # Errors
    /// When the WebSocket is closed or fails, or the time is over: later calls send the rest of the
    /// message before anything else.
    pub fn send_text(&mut self, text: &str, patience: Duration) -> Result<(), ClientError> {
        self.connection.queue(Opcode::Text, text.as_bytes())?;
        self.connection.drain(Deadline::new(patience))
    }

    /// Sends a binary message: see [`WebSocket::send_text`].
    ///
    /// # Errors
    /// As of [`WebSocket::send_text`].
    pub fn send_binary(&mut self, bytes: &[u8], patience: Duration) -> Result<(), ClientError> {
        self.connection.queue(Opcode::Binary, bytes)?;
        self.connection.drain(Deadline::new(patience))
    }

    /// Sends a message: see [`WebSocket::send_text`].
    ///
    /// # Errors
    /// As of [`WebSocket::send_text`].
    pub fn send(
        &mut self,
        message: &WebSocketMessage,
        patience: Duration,
    ) -> Result<(), ClientError> {
        self.queue(message)?;
        self.connection.drain(Deadline::new(patience))
    }

    /// Queues a message without waiting. Queued messages are sent while another method waits.
    ///
    /// # Errors
    /// When the WebSocket is closed, or has failed.
    pub fn queue(&mut self, message: &WebSocketMessage) -> Result<(), ClientError> {
        self.connection.queue(message.kind().opcode(), message.bytes())
    }

    /// Waits for the next event from the server. Pings are answered meanwhile.
    ///
    /// # Errors
    /// When the connection fails or the server violates the protocol, which is final; or when the
    /// time is over, after which it may be called again.
    pub fn receive(&mut self, patience: Duration) -> Result<WebSocketEvent, ClientError> {
        self.connection.wait(NO_INPUT, patience)
    }

    /// Waits for the next message; `None` once the WebSocket is closed.
    ///
    /// # Errors
    /// As of [`WebSocket::receive`].
    pub fn receive_message(
        &mut self,
        patience: Duration,
    ) -> Result<Option<WebSocketMessage>, ClientError> {
        let deadline = Deadline::new(patience);
        loop {
            let event = self.connection.wait(NO_INPUT, deadline.rest());
            match event.map_err(|error| error.told_as(patience))? {
                WebSocketEvent::Message(message) => return Ok(Some(message)),
                WebSocketEvent::Closed(_) => return Ok(None),
                WebSocketEvent::Ping(_)
                | WebSocketEvent::Pong { .. }
                | WebSocketEvent::Input
                | WebSocketEvent::Lost { .. }
                | WebSocketEvent::Reconnected => {}
            }
        }
    }

    /// Waits for the next event from the server, or until a descriptor is readable. The descriptor
    /// is watched only while nothing is queued to be sent. One descriptor is watched at a time:
    /// call [`WebSocket::unwatch`] before another.
    ///
    /// # Errors
    /// As of [`WebSocket::receive`].
    pub fn receive_or_input(
        &mut self,
        input: &impl AsFd,
        patience: Duration,
    ) -> Result<WebSocketEvent, ClientError> {
        self.connection.wait(Some(input), patience)
    }

    fn wait(
        &mut self,
        input: Option<&impl AsFd>,
        patience: Duration,
    ) -> Result<WebSocketEvent, ClientError> {
        self.connection.wait(input, patience)
    }

    /// Stops watching the descriptor of [`WebSocket::receive_or_input`].
    ///
    /// # Errors
    /// When the event loop fails.
    pub fn unwatch(&mut self) -> Result<(), ClientError> {
        self.connection.unwatch()
    }

    /// Sends a ping with a payload of at most 125 bytes, without waiting. Its pong is reported as
    /// [`WebSocketEvent::Pong`], with the round-trip time.
    ///
    /// # Errors
    /// When the payload is too long, or the WebSocket is closed or has failed.
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), ClientError> {
        self.connection.ping(payload, true)
    }

    /// Sends a close frame, without waiting. Nothing can be sent after it. Messages that the server
    /// sends before its answer can still be received, up to [`WebSocketEvent::Closed`].
    ///
    /// # Errors
    /// When the code may not be sent (RFC 6455, section 7.4), the reason is longer than 123 bytes,
    /// or the WebSocket has failed. Closing it again does nothing.
    pub fn start_close(&mut self, code: u16, reason: &str) -> Result<(), ClientError> {
        self.connection.close(CloseCode(code), reason)
    }

    /// Closes the WebSocket, and waits up to `close_timeout` for the answer of the server. Messages
    /// received before it are dropped.
    ///
    /// # Errors
    /// As of [`WebSocket::start_close`], or when there is no answer.
    pub fn close(&mut self, code: u16, reason: &str) -> Result<WebSocketClose, ClientError> {
        self.start_close(code, reason)?;
        let deadline = Deadline::new(self.close_timeout);
        loop {
            match self.connection.wait(NO_INPUT, deadline.rest()) {
                Ok(WebSocketEvent::Closed(close)) => return Ok(close),
                Ok(_) if deadline.is_over() => {
                    return Err(self.connection.late(Waiting::Close, self.close_timeout));
                }
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether it has failed: an error was final.
    const fn has_failed(&self) -> bool {
        self.connection.has_failed()
    }

    /// Whether neither side has closed it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.connection.closing(), Closing::Open)
    }
}
