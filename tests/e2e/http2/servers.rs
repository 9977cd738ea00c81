//! Servers of HTTP/2 that fail at bad moments: nobody else is touched by it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use ringway::proto::http2::frame::{FrameHead, HEAD_LEN, PREFACE, flag, kind};

use super::peer::{Peer, run};
use super::proxied;
use crate::support::*;

/// What was seen by a server of the `h2` crate.
#[derive(Clone, Default)]
struct Seen {
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Seen {
    /// Requests for `/refuse` are refused once 100,000 bytes of their bodies have come; others get
    /// as many bytes as their path says, and `/last/N` is the last one of its connection.
    fn start(&self) -> SocketAddr {
        let this = self.clone();
        serve_async(move |stream| {
            this.connections.fetch_add(1, Ordering::Relaxed);
            this.clone().talk(stream)
        })
    }

    async fn talk(self, stream: tokio::net::TcpStream) {
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 20);
        let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            self.requests.fetch_add(1, Ordering::Relaxed);
            let is_last = request.uri().path().starts_with("/last/");
            tokio::spawn(answer(request, respond));
            if is_last {
                connection.graceful_shutdown();
            }
        }
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let mut came = 0;
    while let Some(Ok(part)) = body.data().await {
        let _released = body.flow_control().release_capacity(part.len());
        came += part.len();
        if head.uri.path() == "/refuse" && came > 100_000 {
            return respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    }
    let size = head.uri.path().rsplit('/').next().and_then(|size| size.parse().ok()).unwrap_or(0);
    let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
    let mut rest = Bytes::from(bytes(7, size));
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len().min(16_384));
        let Some(Ok(room)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await
        else {
            return;
        };
        if stream.send_data(rest.split_to(room.min(rest.len())), false).is_err() {
            return;
        }
    }
    let _sent = stream.send_data(Bytes::new(), true);
}

#[test]
fn a_body_whose_beginning_is_gone_is_not_sent_again() {
    let seen = Seen::default();
    let served = proxied(seen.start(), "retries = 3\nretry_body_max = \"1KiB\"\n");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let answer = peer.ask("POST", "/refuse", &[], bytes(1, 400_000)).await.whole().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, 503, "{:?}", answer.fields);
        assert_eq!(peer.get("/5").await.unwrap().body.len(), 5);
    });
    assert_eq!(seen.requests.load(Ordering::Relaxed), 2, "one of them is the other request");
}

#[test]
fn a_client_that_takes_nothing_holds_no_other_one_up() {
    let seen = Seen::default();
    let served = proxied(seen.start(), "");
    run(async {
        let mut slow = Peer::new(served.address()).await;
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(slow.ask("GET", "/4000000", &[], Vec::new()).await.head().await.unwrap());
        }
        let mut peer = Peer::new(served.address()).await;
        for _ in 0..20 {
            assert_eq!(peer.get("/500000").await.unwrap().body.len(), 500_000);
        }
        for answer in held {
            assert_eq!(answer.whole().await.unwrap().body.len(), 4_000_000);
        }
    });
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1);
}

#[test]
fn answers_that_came_whole_outlive_their_server() {
    let seen = Seen::default();
    let served = proxied(seen.start(), "");
    // More than client and exchange hold: some of it waits on the connection to the server.
    let size = 360_000;
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let path = format!("/last/{size}");
        let answer = peer.ask("GET", &path, &[], Vec::new()).await.head().await.unwrap();
        // The server ends with its last answer.
        let gone = || seen.requests.load(Ordering::Relaxed) == 1;
        peer.settle(gone).await;
        // Others are served by another connection.
        let mut other = Peer::new(served.address()).await;
        assert_eq!(other.get("/5").await.unwrap().body.len(), 5);
        assert_eq!(answer.whole().await.unwrap().body, bytes(7, size));
    });
}

/// Serves one request of a connection by frames of its own making, then a part of a frame, and the
/// end.
fn ends_within_a_frame(mut stream: TcpStream) {
    let mut preface = [0; PREFACE.len()];
    if stream.read_exact(&mut preface).is_err() {
        return;
    }
    let settings = FrameHead { len: 0, kind: kind::SETTINGS, flags: 0, stream: 0 };
    let mut out = Vec::new();
    settings.write(&mut out);
    stream.write_all(&out).unwrap();
    loop {
        let mut head = [0; HEAD_LEN];
        if stream.read_exact(&mut head).is_err() {
            return;
        }
        let head = FrameHead::read(head);
        let mut payload = vec![0; head.len];
        stream.read_exact(&mut payload).unwrap();
        if head.kind == kind::HEADERS {
            let flags = flag::END_STREAM | flag::END_HEADERS;
            let answer = FrameHead { len: 1, kind: kind::HEADERS, flags, stream: head.stream };
            let mut out = Vec::new();
            answer.write(&mut out);
            // `:status: 200`, of the static table.
            out.push(0x88);
            out.extend_from_slice(&[0, 0, 8, kind::PING, 0]);
            let _gone = stream.write_all(&out);
            return;
        }
    }
}

#[test]
fn a_connection_that_ended_within_a_frame_gets_no_further_request() {
    let server = crate::support::serve(ends_within_a_frame);
    let served = proxied(server, "retries = 0\n");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        for _ in 0..10 {
            assert_eq!(peer.get("/").await.unwrap().status, 200);
            // The end may come a little later than the answer.
            peer.settle(|| served.sum(|cell| cell.stats.upstreams.get(0).http.idle.get()) == 0)
                .await;
        }
    });
}
