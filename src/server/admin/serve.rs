//! The connections of the admin interface: hyper, by HTTP/1.1 and HTTP/2, plain or over TLS.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Pages, RequestBody};
use crate::runtime::Current;
use crate::session::TlsOptions;

/// Requests at a time on a connection of HTTP/2.
const STREAMS_MAX: u32 = 16;
/// How long a client may take for the head of a request.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long one connection may last, requests and all.
const CONNECTION_MAX: Duration = Duration::from_secs(300);
/// Connections at a time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// Rest after a failed accept (descriptors ran out).
const REST: Duration = Duration::from_millis(100);

impl RequestBody for Incoming {
    async fn read(self, most: usize) -> Result<Bytes, String> {
        let body = Limited::new(self, most).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| error.to_string())
    }
}

/// What a client is told that speaks HTTP where TLS is spoken.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    connection: close\r\n\r\nThis port speaks HTTPS only. Use https:// to ask again.\n";

/// Serves the pages until the runtime ends.
pub(in crate::server) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<TlsOptions>>,
    pages: Arc<Current<Pages>>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the admin interface cannot be served");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accept on the admin interface failed");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let pages = Arc::clone(&pages);
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => {
                    // Who says nothing has no place for long.
                    if let Ok(Ok(is_http2)) = timeout(HEAD_MAX, prefers_http2(&stream)).await {
                        serve_one(stream, is_http2, peer, pages).await;
                    }
                }
                Some(tls) => {
                    let secured = timeout(tls.handshake_timeout, secure(stream, &tls)).await;
                    if let Ok(Some(stream)) = secured {
                        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        serve_one(stream, is_http2, peer, pages).await;
                    }
                }
            }
            drop(place);
        });
    }
}

/// Whether a client begins with HTTP/2's preface; no method begins so.
async fn prefers_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; 3];
    let count = stream.peek(&mut first).await?;
    Ok(first[..count] == *b"PRI")
}

/// The handshake with a client; none of one that fails.
async fn secure(mut stream: TcpStream, tls: &TlsOptions) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    let count = stream.peek(&mut first).await.ok()?;
    if count == 1 && first[0].is_ascii_uppercase() {
        // Who does not take it has asked for nothing.
        let _gone = stream.write_all(PLAIN_HTTP).await;
        let _gone = stream.shutdown().await;
        return None;
    }
    match TlsAcceptor::from(tls.config.get()).accept(stream).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "the TLS handshake on the admin interface failed");
            None
        }
    }
}

async fn serve_one<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    is_http2: bool,
    peer: SocketAddr,
    pages: Arc<Current<Pages>>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let newest = pages.get();
        async move {
            let (head, body) = request.into_parts();
            let answer = newest.answer(peer, (&head, body)).await;
            Ok::<_, Infallible>(answer.map(Full::new))
        }
    });
    // What goes wrong here is the client's: it sees it itself.
    if is_http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(HEAD_MAX)
            .keep_alive_timeout(HEAD_MAX)
            .max_concurrent_streams(STREAMS_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let _ended = timeout(CONNECTION_MAX, connection).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let _ended = timeout(CONNECTION_MAX, connection).await;
    }
}
