//! What the WebSocket servers of Tokio share. They run on one thread, and differ in their library.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Poll, ready};

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// A message of a library, of which a server has to know little.
pub trait Message: Clone + Send + 'static {
    /// Whether it is a text or binary message, and no control frame.
    fn is_data(&self) -> bool;
    /// The bytes of a text message.
    fn as_text(&self) -> Option<&[u8]>;
    /// A text message.
    fn text(text: String) -> Self;
}

impl Message for tokio_tungstenite::tungstenite::Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }

    fn as_text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    fn text(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl Message for sockudo_ws::Message {
    fn is_data(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }

    fn as_text(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn text(text: String) -> Self {
        Self::text(text)
    }
}

impl Message for yawc::Frame {
    fn is_data(&self) -> bool {
        matches!(self.opcode(), yawc::OpCode::Text | yawc::OpCode::Binary)
    }

    fn as_text(&self) -> Option<&[u8]> {
        (self.opcode() == yawc::OpCode::Text).then(|| &self.payload()[..])
    }

    fn text(text: String) -> Self {
        Self::text(text)
    }
}

/// The argument at this place: what it is, for the message if it is missing.
pub fn argument(place: usize, what: &str) -> String {
    std::env::args().nth(place).unwrap_or_else(|| panic!("missing argument: {what}"))
}

/// Runs a server on a runtime of one thread. Each connection gets a task.
pub fn serve<F>(address: &str, connection: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind(address).await.expect("an address to listen on");
        loop {
            let (socket, _) = listener.accept().await.expect("a connection");
            socket.set_nodelay(true).expect("no delay");
            tokio::spawn(connection(socket));
        }
    });
}

/// Gives back each message. What has been written is flushed once no further message is there, as
/// `StreamExt::forward` does it, but without the lock that halves of a socket have.
pub async fn echo<S, M, E>(mut socket: S)
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
{
    let mut next: Option<M> = None;
    let mut is_flushed = true;
    let ended: Result<(), E> = poll_fn(|context| {
        loop {
            if next.is_some() {
                ready!(Pin::new(&mut socket).poll_ready(context))?;
                let message = next.take().expect("it is some");
                Pin::new(&mut socket).start_send(message)?;
                is_flushed = false;
            }
            match Pin::new(&mut socket).poll_next(context) {
                Poll::Ready(Some(message)) => next = Some(message?).filter(Message::is_data),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if is_flushed => return Poll::Pending,
                Poll::Pending => {
                    ready!(Pin::new(&mut socket).poll_flush(context))?;
                    is_flushed = true;
                    return Poll::Pending;
                }
            }
        }
    })
    .await;
    // A client that goes away is no failure.
    drop(ended);
}

const SUBSCRIBE: &[u8] = b"{\"op\":\"subscribe\"";
const PUBLISH: &[u8] = b"{\"op\":\"publish\"";

/// Serves a client of one topic. It speaks so much of the protocol as the load does: a client
/// subscribes and gets an answer; what a client publishes, goes to all that have subscribed.
pub async fn fanout<S, M, E>(mut socket: S, topic: broadcast::Sender<M>)
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    M: Message,
{
    let mut subscribed: Option<broadcast::Receiver<M>> = None;
    loop {
        let published = async {
            match &mut subscribed {
                Some(topic) => topic.recv().await,
                None => pending().await,
            }
        };
        let sent = tokio::select! {
            message = published => match message {
                Ok(message) => {
                    let is_last = subscribed.as_ref().is_none_or(broadcast::Receiver::is_empty);
                    if is_last { socket.send(message).await } else { socket.feed(message).await }
                }
                // It has lost messages, which the load finds out.
                Err(_) => return,
            },
            message = socket.next() => match message {
                Some(Ok(message)) => match message.as_text() {
                    Some(text) if text.starts_with(SUBSCRIBE) => {
                        subscribed = Some(topic.subscribe());
                        socket.send(M::text(r#"{"op":"ok","id":1}"#.to_owned())).await
                    }
                    Some(text) if text.starts_with(PUBLISH) => {
                        let rest = String::from_utf8_lossy(&text[PUBLISH.len()..]);
                        let _ = topic.send(M::text(format!(r#"{{"op":"message"{rest}"#)));
                        Ok(())
                    }
                    _ => Ok(()),
                },
                Some(Err(_)) | None => return,
            },
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Servers of sockudo-ws.
pub mod sockudo {
    use bytes::BytesMut;
    use sockudo_ws::deflate::{DeflateConfig, negotiate_server_deflate};
    use sockudo_ws::handshake::{build_response, generate_accept_key, parse_request};
    use sockudo_ws::{CompressedWebSocketStream, Config, WebSocketStream};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    /// A socket after the handshake.
    pub enum Socket {
        Plain(WebSocketStream<TcpStream>),
        Deflate(CompressedWebSocketStream<TcpStream>),
    }

    /// The handshake, as the server that the library is tested with does it; compression is agreed
    /// on if the client offers it. All settings are the library's defaults.
    pub async fn accept(mut socket: TcpStream) -> Option<Socket> {
        let mut buffer = BytesMut::with_capacity(4096);
        let (deflate, consumed) = loop {
            if socket.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
            if let Some((request, consumed)) = parse_request(&buffer).ok()? {
                let deflate = request
                    .extensions
                    .and_then(|offers| negotiate_server_deflate(offers, &DeflateConfig::default()));
                let header = deflate.as_ref().map(|agreed| agreed.to_response_header());
                let key = generate_accept_key(request.key);
                let response = build_response(&key, None, header.as_deref());
                socket.write_all(&response).await.ok()?;
                break (deflate, consumed);
            }
        };
        let rest = (buffer.len() > consumed).then(|| buffer.split_off(consumed).freeze());
        let config = Config::default();
        Some(match deflate {
            Some(agreed) => Socket::Deflate(CompressedWebSocketStream::server_with_leftover(
                socket,
                config,
                agreed.config,
                rest,
            )),
            None => Socket::Plain(WebSocketStream::from_raw_with_leftover(
                socket,
                sockudo_ws::Role::Server,
                config,
                rest,
            )),
        })
    }
}

/// Servers of yawc.
pub mod yawc_server {
    use std::convert::Infallible;

    use http_body_util::Empty;
    use hyper::body::{Bytes, Incoming};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpStream;
    use yawc::{DeflatePool, HttpWebSocket, Options, WebSocket};

    /// Compression for clients that offer it, with contexts that all connections share where they
    /// are not taken over, as the library advises for many connections; else its defaults.
    pub fn options() -> Options {
        Options::default().with_utf8().with_deflate_pool(DeflatePool::new(64))
    }

    /// The handshake, and what becomes of the socket after it.
    pub async fn accept<F>(
        socket: TcpStream,
        options: Options,
        handle: impl FnOnce(HttpWebSocket) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let handshake = service_fn(move |mut request: Request<Incoming>| {
            let (options, handle) = (options.clone(), handle.clone());
            async move {
                let answer = WebSocket::upgrade_with_options(&mut request, options);
                let Ok((answer, upgraded)) = answer else {
                    let mut refused = Response::new(Empty::<Bytes>::new());
                    *refused.status_mut() = http::StatusCode::BAD_REQUEST;
                    return Ok::<_, Infallible>(refused);
                };
                tokio::spawn(async move {
                    if let Ok(socket) = upgraded.await {
                        handle(socket).await;
                    }
                });
                Ok(answer)
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), handshake);
        // A client that goes away is no failure.
        let _ = connection.with_upgrades().await;
    }
}
