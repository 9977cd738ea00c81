//! Handlers of HTTP requests: what a program writes.

use std::net::SocketAddr;
use std::time::Duration;

use super::Answer;
use crate::proto::http::{Fields, RequestHead};
use crate::proto::websocket::handshake;

/// Answers the requests of HTTP routes with `handler = "NAME"`.
///
/// Each worker has its own value, made by the program's factory. It is called on the worker's loop,
/// which waits for it, so it must not block: what takes its time is done by a thread
/// ([`Answer::spawn_blocking`]), or by whoever holds the [`Answer`] until there is one. A panic
/// costs the request, and the handler is made again.
///
/// A closure of the same shape is a handler, too.
pub trait HttpHandler {
    /// A request has come: its head. The answer may be given at once, or later, and from any
    /// thread. Returned is who takes the request's body; without one, the body is dropped.
    fn handle(
        &mut self,
        request: &HttpRequest<'_>,
        answer: Answer,
    ) -> Option<Box<dyn BodyReceiver>>;
}

impl<F> HttpHandler for F
where
    F: FnMut(&HttpRequest<'_>, Answer) -> Option<Box<dyn BodyReceiver>>,
{
    fn handle(
        &mut self,
        request: &HttpRequest<'_>,
        answer: Answer,
    ) -> Option<Box<dyn BodyReceiver>> {
        self(request, answer)
    }
}

/// Takes the body of one request, on the worker's loop. It is dropped when the request is over,
/// whether that was answered or its client has gone: its `Drop` is where work is cancelled.
pub trait BodyReceiver {
    /// A part of the body has come, of at least one byte.
    fn part(&mut self, part: &[u8]) -> Reading;

    /// The body is over. `trailers` are fields that came behind it.
    fn end(&mut self, trailers: Option<&Fields>);

    /// [`Answer::resume`] was called after a pause. What the receiver has put aside is its own to
    /// go on with; then more comes, unless it pauses again.
    fn resumed(&mut self) -> Reading {
        Reading::On
    }

    /// Bytes of the request that it holds, for the worker's budget of waiting bytes.
    fn held(&self) -> usize {
        0
    }

    /// Parts of the answer were refused because too much of it waited: there is room again.
    fn room(&mut self) {}
}

/// Whether more of a body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Yes, as it comes.
    On,
    /// Not until [`Answer::resume`]: the client is slowed down.
    Paused,
}

/// A request, without its body.
#[derive(Debug)]
pub struct HttpRequest<'a> {
    /// Its method, target and fields. Framing and what is said of the connection are not among
    /// those.
    pub head: &'a RequestHead,
    /// The name of its route.
    pub route: &'a str,
    /// Its client, where that is known: behind trusted proxies, the one that they tell.
    pub client: Option<SocketAddr>,
    /// The user, on routes that ask for a password.
    pub user: Option<&'a str>,
    /// Bytes of its body: 0 without one, `None` when nobody knows before it has come.
    pub length: Option<u64>,
    /// How long it may take: `total_timeout` of its route, or less if a call of gRPC says so.
    pub timeout: Option<Duration>,
}

impl HttpRequest<'_> {
    /// Its method, such as `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.head.method_name()
    }

    /// Its path, percent-encoded, without a query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// The query behind the path, without its `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.head.query()
    }

    /// The subprotocols that a client offers in the handshake of a WebSocket, the best first (RFC
    /// 6455, section 4.1).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        // A token is ASCII.
        handshake::subprotocols(&self.head.fields).filter_map(|one| std::str::from_utf8(one).ok())
    }

    /// The first value of a field, whose name is in lower case.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.head.fields.get_named(name.as_bytes())
    }
}
