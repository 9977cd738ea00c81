//! `hyper` as client and as server of HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::peer::run;
use super::{proxied, web};
use crate::support::*;

type AnyBody = BoxBody<Bytes, Infallible>;

async fn client(address: SocketAddr) -> SendRequest<AnyBody> {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (send, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

/// A server that gives back each request's body with its trailers.
fn start_server() -> SocketAddr {
    let echo = |request: Request<Incoming>| async move {
        Ok::<_, Infallible>(Response::new(request.into_body()))
    };
    serve_async(move |stream| async move {
        let builder = Builder::new(TokioExecutor::new());
        let _ended = builder.serve_connection(TokioIo::new(stream), service_fn(echo)).await;
    })
}

/// Many requests at a time: without a body, with one, and with one in parts that has trailers.
async fn ask_in_every_way(address: SocketAddr) {
    let send = client(address).await;
    let mut asked = JoinSet::new();
    for number in 0..200_u64 {
        let mut send = send.clone();
        let size = [1, 3_000, 100_000][asked.len() % 3];
        asked.spawn(async move {
            let sent = bytes(number, size);
            let body = if number % 2 == 0 {
                Full::new(Bytes::from(sent.clone())).boxed()
            } else {
                in_parts(&sent)
            };
            let uri = format!("http://a.example/echo/{number}");
            let request = Request::builder().method("POST").uri(uri).body(body).unwrap();
            send.ready().await.unwrap();
            let answer = send.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            let collected = answer.into_body().collect().await.unwrap();
            let trailers = collected.trailers().cloned();
            assert!(collected.to_bytes() == sent, "{number}");
            trailers.is_some_and(|trailers| trailers["x-sum"] == "7")
        });
    }
    let mut with_trailers = 0;
    while let Some(has_trailers) = asked.join_next().await {
        with_trailers += usize::from(has_trailers.unwrap());
    }
    assert!(with_trailers == 100 || with_trailers == 0, "{with_trailers}");
}

/// A body whose parts come one after the other, and trailers.
fn in_parts(whole: &[u8]) -> AnyBody {
    let (parts, more) = mpsc::unbounded_channel();
    for part in whole.chunks(7_000) {
        parts.send(Frame::data(Bytes::copy_from_slice(part))).unwrap();
    }
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
    parts.send(Frame::trailers(trailers)).unwrap();
    Parts(more).boxed()
}

struct Parts(mpsc::UnboundedReceiver<Frame<Bytes>>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

#[test]
fn hyper_asks_and_answers() {
    let own = web("", "[[listener.route]]\necho = true\n");
    let proxied = proxied(start_server(), "");
    run(async {
        ask_in_every_way(own.address()).await;
        ask_in_every_way(proxied.address()).await;
    });
    for served in [own, proxied] {
        wait_until("all is at rest", || served.sum(|cell| cell.stats.waiting.bytes.get()) == 0);
    }
}
