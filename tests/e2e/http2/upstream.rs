//! Servers that are asked by HTTP/2: they are of the `h2` crate.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};

use ringway::proto::http2::frame::{self, FrameHead, HEAD_LEN, PREFACE, flag, kind};
use tokio::sync::Notify;

use super::peer::{Peer, run};
use super::{proxied, web};
use crate::support::*;

/// What a server does.
#[derive(Debug, Clone, Copy, Default)]
struct Manners {
    /// Requests of a connection, after which it says GOAWAY.
    requests: Option<usize>,
    /// Requests at a time.
    streams: Option<u32>,
    /// It refuses each first request of a connection.
    refuses_first: bool,
}

/// A server and how many connections it had.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// An answer to `/cut` that has begun is reset.
    cut: Arc<Notify>,
}

impl Server {
    /// It answers each request with its method, path, some of its fields and its body; `/trailers`
    /// with trailers, `/hang` never, `/cut` with a part and a reset.
    fn new(manners: Manners) -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let cut = Arc::new(Notify::new());
        let (count, told) = (Arc::clone(&connections), Arc::clone(&cut));
        let address = serve_async(move |stream| {
            count.fetch_add(1, Ordering::Relaxed);
            talk(stream, manners, Arc::clone(&told))
        });
        Self { address, connections, cut }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The address of one that knows nothing but requests.
pub(super) fn plain_server() -> SocketAddr {
    Server::new(Manners::default()).address
}

async fn talk(stream: tokio::net::TcpStream, manners: Manners, cut: Arc<Notify>) {
    let mut builder = h2::server::Builder::new();
    if let Some(streams) = manners.streams {
        builder.max_concurrent_streams(streams);
    }
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    let mut served = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        served += 1;
        if manners.refuses_first && served == 1 {
            let mut respond = respond;
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            continue;
        }
        tokio::spawn(answer(request, respond, Arc::clone(&cut)));
        if manners.requests.is_some_and(|most| served == most) {
            connection.graceful_shutdown();
        }
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, cut: Arc<Notify>) {
    let (head, mut body) = request.into_parts();
    let path = head.uri.path().to_owned();
    if path == "/hang" {
        std::future::pending::<()>().await;
    }
    let mut text = format!("{} {}", head.method, head.uri).into_bytes();
    for name in ["cookie", "te", "via"] {
        if let Some(value) = head.headers.get(name) {
            text.extend_from_slice(format!("|{name}: {}", value.to_str().unwrap()).as_bytes());
        }
    }
    text.push(b'|');
    while let Some(Ok(part)) = body.data().await {
        let _released = body.flow_control().release_capacity(part.len());
        text.extend_from_slice(&part);
    }
    if let Ok(Some(trailers)) = body.trailers().await {
        let sum = trailers.get("x-sum").map(|value| value.to_str().unwrap().to_owned());
        text.extend_from_slice(format!("|{}", sum.unwrap_or_default()).as_bytes());
    }
    let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
    let _sent = stream.send_data(text.into(), path != "/trailers" && path != "/cut");
    if path == "/trailers" {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let _sent = stream.send_trailers(trailers);
    } else if path == "/cut" {
        cut.notified().await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    }
}

#[test]
fn many_requests_share_a_connection_to_the_server() {
    let server = Server::new(Manners::default());
    let served = proxied(server.address, "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        for round in 0..3 {
            let mut waiting = Vec::new();
            for at in 0..50_u64 {
                let body = bytes(at, [0, 2_000, 4_000, 6_000][waiting.len() % 4]);
                waiting.push((body.clone(), peer.ask("POST", "/x", &[], body).await));
            }
            for (body, answer) in waiting {
                let answer = answer.whole().await.unwrap();
                let head = b"POST http://a.example/x|via: 2.0 ringway|";
                assert_eq!(answer.status, 200);
                assert!(answer.body == [&head[..], &body].concat(), "{round}");
                assert_eq!(answer.fields.get("via").unwrap(), "2.0 ringway");
            }
        }
    });
    assert_eq!(server.connections(), 1);
    let stats = |read: fn(&ringway::session::WorkerCell) -> u64| served.sum(read);
    wait_until("nothing is carried", || {
        stats(|cell| cell.stats.upstreams.get(0).http.active.get()) == 0
            && stats(|cell| cell.stats.waiting.bytes.get()) == 0
    });
}

#[test]
fn large_bodies_and_trailers_pass_both_ways() {
    let server = Server::new(Manners::default());
    let served = proxied(server.address, "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let body = bytes(5, 3_000_000);
        let fields = [("te", "trailers"), ("cookie", "a=1"), ("cookie", "b=2")];
        let answer =
            peer.ask("POST", "/trailers", &fields, body.clone()).await.whole().await.unwrap();
        let head =
            b"POST http://a.example/trailers|cookie: a=1; b=2|te: trailers|via: 2.0 ringway|";
        assert!(answer.body == [&head[..], &body].concat(), "{}", answer.body.len());
        assert_eq!(answer.trailers.unwrap().get("grpc-status").unwrap(), "0");
        let answer = peer.ask("HEAD", "/", &[], Vec::new()).await.whole().await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
    });
}

#[test]
fn a_client_of_http_1_is_served_by_http_2() {
    let server = Server::new(Manners::default());
    let served = proxied(server.address, "");
    let mut client = connect(served.address());
    client
        .write_all(
            b"POST /old HTTP/1.1\r\nHost: b.example\r\nTransfer-Encoding: chunked\r\n\r\n\
              4\r\nbody\r\n0\r\nx-sum: 4\r\n\r\n\
              GET /trailers HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut client, &mut text).unwrap();
    assert!(text.contains("POST http://b.example/old|via: 1.1 ringway|body|4"), "{text}");
    assert!(text.contains("grpc-status: 0\r\n"), "{text}");
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{text}");
}

#[test]
fn what_a_server_refuses_before_it_looks_is_tried_again() {
    let server = Server::new(Manners { refuses_first: true, ..Manners::default() });
    let served = proxied(server.address, "retries = 2");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        // Neither is idempotent: it is known that nothing was done.
        for _ in 0..5 {
            let answer = peer.ask("POST", "/x", &[], b"body".to_vec()).await.whole().await.unwrap();
            assert_eq!(answer.status, 200);
        }
    });
}

#[test]
fn a_server_that_says_goodbye_costs_no_request() {
    let server = Server::new(Manners { requests: Some(10), ..Manners::default() });
    let served = proxied(server.address, "retries = 3");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        for _ in 0..10 {
            let mut waiting = Vec::new();
            for _ in 0..20 {
                waiting.push(peer.ask("POST", "/x", &[], b"body".to_vec()).await);
            }
            for answer in waiting {
                assert_eq!(answer.whole().await.unwrap().status, 200);
            }
        }
    });
    assert!(server.connections() >= 10, "{}", server.connections());
}

#[test]
fn the_number_of_streams_that_a_server_takes_is_kept() {
    let server = Server::new(Manners { streams: Some(4), ..Manners::default() });
    let served = proxied(server.address, "pool_max = 2");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let mut waiting = Vec::new();
        for _ in 0..60 {
            waiting.push(peer.ask("GET", "/x", &[], Vec::new()).await);
        }
        for answer in waiting {
            assert_eq!(answer.whole().await.unwrap().status, 200);
        }
    });
    assert!(server.connections() <= 2);
}

#[test]
fn a_reset_or_a_timeout_of_one_costs_no_other() {
    let server = Server::new(Manners::default());
    let served = proxied(server.address, "retries = 0\nfirst_byte_timeout = \"300ms\"");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let hangs = peer.ask("GET", "/hang", &[], Vec::new()).await;
        let cut = peer.ask("GET", "/cut", &[], Vec::new()).await;
        for _ in 0..20 {
            assert_eq!(peer.get("/x").await.unwrap().status, 200);
        }
        let mut cut = cut.head().await.unwrap();
        assert!(cut.part().await.unwrap().is_ok(), "it begins in order");
        server.cut.notify_one();
        let error = cut.whole().await.unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
        assert_eq!(hangs.whole().await.unwrap().status, 504);
        // One that its client gives up is reset, and the connection goes on.
        drop(peer.ask("GET", "/hang", &[], Vec::new()).await);
        assert_eq!(peer.get("/x").await.unwrap().status, 200);
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn health_checks_ask_by_http_2_too() {
    let server = Server::new(Manners::default());
    let health = "\n[upstream.u.health]\nkind = \"http\"\npath = \"/healthy\"\n\
        interval = \"50ms\"\ntimeout = \"50ms\"\nbody = \"GET http\"\n";
    let served = proxied(server.address, health);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        peer.settle(|| server.connections() >= 3).await;
        assert_eq!(peer.get("/x").await.unwrap().status, 200);
    });
}

#[test]
fn a_server_that_speaks_another_version_has_failed_to_connect() {
    let server = super::origin(|_, _| b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec());
    let routes = "[[listener.route]]\nproxy = \"u\"\n";
    let served =
        web("", &[routes, &upstream(&[server], "protocol = \"http2\"\nretries = 0")].concat());
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let answer = peer.get("/").await.unwrap();
        assert_eq!(answer.status, 502);
        assert!(answer.fields.get("x-ringway-reason").unwrap().to_str().unwrap().contains("conn"));
    });
}

#[test]
fn an_answer_that_is_whole_outlives_the_goaway_behind_it() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = crate::support::serve(move |mut stream| {
        let mut greeting = Vec::new();
        frame::write_settings(&[], &mut greeting);
        stream.write_all(&greeting).unwrap();
        if stream.read_exact(&mut [0; PREFACE.len()]).is_err() {
            return;
        }
        let mut head = [0; HEAD_LEN];
        while stream.read_exact(&mut head).is_ok() {
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            std::io::copy(&mut (&stream).take(len.into()), &mut std::io::sink()).unwrap();
            if head[3] != kind::HEADERS {
                continue;
            }
            count.fetch_add(1, Ordering::Relaxed);
            let stream_id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut said = Vec::new();
            let mut add = |kind, flags, stream, payload: &[u8]| {
                FrameHead { len: payload.len(), kind, flags, stream }.write(&mut said);
                said.extend_from_slice(payload);
            };
            // Status 200, the body, and that nothing was done for any request.
            add(kind::HEADERS, flag::END_HEADERS, stream_id, &[0x88]);
            add(kind::DATA, flag::END_STREAM, stream_id, b"whole");
            add(kind::GOAWAY, 0, 0, &[0; 8]);
            stream.write_all(&said).unwrap();
        }
    });
    let served = proxied(server, "retries = 0");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        for _ in 0..3 {
            let answer = peer.ask("POST", "/x", &[], b"body".to_vec()).await.whole().await.unwrap();
            assert_eq!((answer.status, &*answer.body), (200, &b"whole"[..]));
        }
    });
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}
