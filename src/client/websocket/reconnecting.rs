//! A WebSocket that reconnects when its connection is lost.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::connection::NO_INPUT;
use super::{WebSocket, WebSocketClose, WebSocketEvent, WebSocketMessage};
use super::{WebSocketOptions, WebSocketUrl};
use crate::client::ClientError;
use crate::client::deadline::Deadline;
use crate::client::error::Waiting;
use crate::client::retry::{random, rest};
use crate::runtime::clock;
use crate::service::reconnect::{Ending, Reconnect, ReconnectPolicy};

/// A WebSocket that is opened again, after a delay, when the connection was lost, when the server
/// closed it with 1001, 1011, 1012 or 1013, or when the server answered an attempt with 429 or 5xx.
/// Messages are not sent again automatically: the program repeats what a new connection needs on
/// [`WebSocketEvent::Reconnected`].
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{ReconnectPolicy, Reconnecting, WebSocketEvent, WebSocketOptions};
///
/// let patience = Duration::from_secs(5);
/// let keep_alive = Some(Duration::from_secs(20));
/// let options = WebSocketOptions { ping_interval: keep_alive, ..WebSocketOptions::default() };
/// let policy = ReconnectPolicy::default();
/// let mut socket = Reconnecting::connect("wss://example.com/feed", options, policy)?;
/// socket.send(&"subscribe".into(), patience)?;
/// loop {
///     match socket.receive(Duration::MAX)? {
///         WebSocketEvent::Message(message) => println!("{message:?}"),
///         WebSocketEvent::Reconnected => socket.send(&"subscribe".into(), patience)?,
///         WebSocketEvent::Closed(_) => break,
///         _ => {}
///     }
/// }
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct Reconnecting {
    url: WebSocketUrl,
    options: WebSocketOptions,
    policy: ReconnectPolicy,
    attempts: Reconnect,
    state: State,
    /// The program has closed it: there are no more attempts.
    is_closing: bool,
}

#[derive(Debug)]
enum State {
    Open {
        socket: Box<WebSocket>,
        since: Instant,
    },
    /// It is opened again at a time (never, if that is too far ahead).
    Resting {
        until: Option<Instant>,
    },
    /// It is over.
    Closed(WebSocketClose),
    Failed(ClientError),
}

/// How a connection has ended.
enum Over {
    Closed(WebSocketClose),
    Failed(ClientError),
}

impl Reconnecting {
    /// Opens a WebSocket. The first attempt is not retried.
    ///
    /// # Errors
    /// As of [`WebSocket::connect`].
    pub fn connect(
        url: &str,
        options: WebSocketOptions,
        policy: ReconnectPolicy,
    ) -> Result<Self, ClientError> {
        let socket = WebSocket::connect(url, &options)?;
        Ok(Self::of(socket, url.parse()?, options, policy))
    }

    /// The same for a WebSocket that was opened at `url` with these options.
    #[must_use]
    pub fn of(
        socket: WebSocket,
        url: WebSocketUrl,
        options: WebSocketOptions,
        policy: ReconnectPolicy,
    ) -> Self {
        let state = State::Open { socket: Box::new(socket), since: clock::now() };
        let (attempts, is_closing) = (Reconnect::default(), false);
        Self { url, options, policy, attempts, state, is_closing }
    }

    /// The current connection, if there is one.
    pub const fn socket(&mut self) -> Option<&mut WebSocket> {
        match &mut self.state {
            State::Open { socket, .. } => Some(socket),
            State::Resting { .. } | State::Closed(_) | State::Failed(_) => None,
        }
    }

    /// Sends a message on the current connection. If that fails, it is not sent on the next one.
    ///
    /// # Errors
    /// As of [`WebSocket::send`]; [`ClientError::Unclosed`] while there is no connection.
    pub fn send(
        &mut self,
        message: &WebSocketMessage,
        patience: Duration,
    ) -> Result<(), ClientError> {
        let peer = self.url.to_string();
        match self.socket() {
            Some(socket) => socket.send(message, patience),
            None => Err(ClientError::Unclosed { peer }),
        }
    }

    /// Waits for the next event from the server. A lost connection is reported, and the next call
    /// waits for the delay and reconnects. The delay is bounded by `patience`, an attempt by the
    /// timeouts of the options.
    ///
    /// # Errors
    /// As of [`WebSocket::receive`]; an error is final if no further attempt is made.
    pub fn receive(&mut self, patience: Duration) -> Result<WebSocketEvent, ClientError> {
        self.wait(NO_INPUT, patience)
    }

    /// Waits for the next event from the server, or until a descriptor is readable: see
    /// [`WebSocket::receive_or_input`]. It is not watched while disconnected.
    ///
    /// # Errors
    /// As of [`Reconnecting::receive`].
    pub fn receive_or_input(
        &mut self,
        input: &impl AsFd,
        patience: Duration,
    ) -> Result<WebSocketEvent, ClientError> {
        self.wait(Some(input), patience)
    }

    fn wait(
        &mut self,
        input: Option<&impl AsFd>,
        patience: Duration,
    ) -> Result<WebSocketEvent, ClientError> {
        let over = match &mut self.state {
            State::Closed(close) => return Ok(WebSocketEvent::Closed(close.clone())),
            State::Failed(error) => return Err(error.clone()),
            State::Resting { until } => {
                let until = *until;
                self.rest(until, Deadline::new(patience))?;
                match WebSocket::open(&self.url, &self.options) {
                    Ok(socket) => {
                        let (socket, since) = (Box::new(socket), clock::now());
                        self.state = State::Open { socket, since };
                        return Ok(WebSocketEvent::Reconnected);
                    }
                    Err(error) => Over::Failed(error),
                }
            }
            State::Open { socket, .. } => match socket.wait(input, patience) {
                Ok(WebSocketEvent::Closed(close)) => Over::Closed(close),
                Err(error) if socket.has_failed() => Over::Failed(error),
                Ok(event) => return Ok(event),
                Err(error) => return Err(error),
            },
        };
        self.end(over)
    }

    /// Rests until a time, as far as there is patience for it.
    fn rest(&self, until: Option<Instant>, deadline: Deadline) -> Result<(), ClientError> {
        let left = until.map_or(Duration::MAX, |at| at.saturating_duration_since(clock::now()));
        rest(left.min(deadline.rest()));
        if until.is_some_and(|until| clock::now() >= until) {
            return Ok(());
        }
        let (op, peer, after) = (Waiting::Connect, self.url.to_string(), deadline.patience);
        Err(ClientError::Deadline { op, peer, after })
    }

    /// A connection has ended, or was not made: whether another attempt follows.
    fn end(&mut self, over: Over) -> Result<WebSocketEvent, ClientError> {
        let lasted = match &self.state {
            State::Open { since, .. } => clock::now().saturating_duration_since(*since),
            State::Resting { .. } | State::Closed(_) | State::Failed(_) => Duration::ZERO,
        };
        let ending = match &over {
            Over::Closed(_) | Over::Failed(_) if self.is_closing => Ending::Fault,
            Over::Closed(close) => Ending::Closed(close.code.0),
            Over::Failed(error) => ending_of(error),
        };
        if let Some(rest) = self.attempts.after(&self.policy, ending, lasted, random()) {
            self.state = State::Resting { until: clock::now().checked_add(rest) };
            let why = match over {
                Over::Closed(close) => format!("{} closed with {}", self.url, close.code),
                Over::Failed(error) => error.to_string(),
            };
            return Ok(WebSocketEvent::Lost { why, rest });
        }
        match over {
            Over::Closed(close) => {
                self.state = State::Closed(close.clone());
                Ok(WebSocketEvent::Closed(close))
            }
            Over::Failed(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    /// Closes it permanently: see [`WebSocket::start_close`]. Without a connection it is closed
    /// immediately.
    ///
    /// # Errors
    /// As of [`WebSocket::start_close`].
    pub fn start_close(&mut self, code: u16, reason: &str) -> Result<(), ClientError> {
        match self.socket() {
            Some(socket) => socket.start_close(code, reason)?,
            None => self.state = State::Failed(ClientError::Finished),
        }
        self.is_closing = true;
        Ok(())
    }
}

/// Whether an error permits another attempt.
fn ending_of(error: &ClientError) -> Ending {
    if let ClientError::Handshake { status, retry_after, .. } = error {
        Ending::Refused(*status, *retry_after)
    } else if let ClientError::Tunnel { status, .. } = error {
        Ending::Refused(*status, None)
    } else if error.is_loss() || error.is_transient() {
        Ending::Lost
    } else {
        Ending::Fault
    }
}
