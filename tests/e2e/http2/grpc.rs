//! Calls of gRPC through the proxy; the servers are of the `h2` crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};

use tokio::sync::Notify;

use super::peer::{Answer, Peer, run};
use crate::support::*;

/// A server of gRPC: what it does is said by the method that is called.
#[derive(Clone, Default)]
pub(super) struct Server {
    calls: Arc<AtomicUsize>,
    /// What it says of its health.
    health: Arc<AtomicUsize>,
    /// An answer that has begun is to be cut.
    cut: Arc<Notify>,
}

impl Server {
    pub(super) fn start(&self) -> SocketAddr {
        let this = self.clone();
        serve_async(move |stream| this.clone().serve(stream))
    }

    async fn serve(self, stream: tokio::net::TcpStream) {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let this = self.clone();
            tokio::spawn(async move { this.answer(request, respond).await });
        }
    }

    async fn answer(&self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        let (head, mut body) = request.into_parts();
        let mut asked = Vec::new();
        let method = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        while method != "Hang"
            && let Some(Ok(part)) = body.data().await
        {
            let _released = body.flow_control().release_capacity(part.len());
            asked.extend_from_slice(&part);
        }
        let response = Response::builder().header("content-type", "application/grpc");
        let only = |code: usize| {
            let response = Response::builder().header("content-type", "application/grpc");
            response.header("grpc-status", code).body(()).unwrap()
        };
        let (message, code) = match method.as_str() {
            "Hang" => return std::future::pending().await,
            "Busy" if before == 0 => {
                let _sent = respond.send_response(only(14), true);
                return;
            }
            "Unknown" => {
                let _sent = respond.send_response(only(12), true);
                return;
            }
            "Timeout" => {
                let told = head.headers.get("grpc-timeout").map(|value| value.to_str().unwrap());
                (told.unwrap_or("none").as_bytes().to_vec(), "0")
            }
            "Check" => {
                let status = u8::try_from(self.health.load(Ordering::Relaxed)).unwrap();
                (vec![0, 0, 0, 0, 2, 8, status], "0")
            }
            "Fails" => (asked, "9"),
            _ => (asked, "0"),
        };
        let Ok(mut stream) = respond.send_response(response.body(()).unwrap(), false) else {
            return;
        };
        let _sent = stream.send_data(message.into(), false);
        match method.as_str() {
            "Cut" => {
                self.cut.notified().await;
                stream.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            "Stalls" => std::future::pending().await,
            _ => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", code.parse().unwrap());
                let _sent = stream.send_trailers(trailers);
            }
        }
    }
}

pub(super) fn served(servers: &[SocketAddr], route: &str, keys: &str) -> Served {
    let listener = "[admin]\nlisten = \"127.0.0.1:0\"\n[[listener]]\nname = \"web\"\n\
                    listen = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let route = format!("[[listener.route]]\npath_prefix = \"/t.S/\"\nproxy = \"u\"\n{route}\n");
    let upstream = upstream(servers, &format!("protocol = \"http2\"\n{keys}"));
    Served::new(&[runtime(1), listener.to_owned(), route, upstream].concat())
}

const CALL: (&str, &str) = ("content-type", "application/grpc");

async fn call(peer: &mut Peer, path: &str, fields: &[(&str, &str)]) -> Answer {
    let fields = [&[CALL, ("te", "trailers")], fields].concat();
    peer.ask("POST", path, &fields, b"\0\0\0\0\x02hi".to_vec()).await.whole().await.unwrap()
}

fn text<'a>(fields: &'a HeaderMap, name: &str) -> &'a str {
    fields.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The status of an answer that has nothing else.
fn only_status(answer: &Answer) -> &str {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(text(&answer.fields, "content-type"), "application/grpc");
    assert!(answer.body.is_empty() && answer.trailers.is_none(), "{answer:?}");
    text(&answer.fields, "grpc-status")
}

/// The status in the trailers of an answer.
fn status(answer: &Answer) -> &str {
    text(answer.trailers.as_ref().expect("trailers"), "grpc-status")
}

#[test]
fn calls_and_their_statuses_pass() {
    let server = Server::default();
    let served = served(&[server.start()], "", "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let answer = call(&mut peer, "/t.S/Echo", &[]).await;
        assert_eq!((status(&answer), answer.body.as_slice()), ("0", &b"\0\0\0\0\x02hi"[..]));
        assert_eq!(status(&call(&mut peer, "/t.S/Fails", &[]).await), "9");
        assert_eq!(only_status(&call(&mut peer, "/t.S/Unknown", &[]).await), "12");
    });
    let admin = served.running().admin().unwrap();
    let metrics = || crate::admin::get(admin, "GET /metrics");
    let expected = [
        "ringway_grpc_calls_total{method=\"/t.S/Echo\",grpc_status=\"ok\"} 1",
        "ringway_grpc_calls_total{method=\"other\",grpc_status=\"failed_precondition\"} 1",
        "ringway_grpc_calls_total{method=\"other\",grpc_status=\"unimplemented\"} 1",
        "ringway_grpc_call_duration_seconds_count{method=\"/t.S/Echo\"} 1",
    ];
    wait_until("all are counted", || {
        let text = metrics();
        expected.iter().all(|line| text.contains(line))
    });
}

#[test]
fn what_we_answer_ourselves_is_a_status_and_no_page() {
    let keys = "connect_timeout = \"1s\"\n";
    let served = served(&[nobody()], "body_max = \"4B\"\n", keys);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        // No route takes it.
        assert_eq!(only_status(&call(&mut peer, "/other.S/Echo", &[]).await), "12");
        // Its body is larger than it may be.
        let fields = [CALL, ("content-length", "7")];
        let body = b"\0\0\0\0\x02hi".to_vec();
        let large = peer.ask("POST", "/t.S/Echo", &fields, body).await.whole().await.unwrap();
        assert_eq!(only_status(&large), "8");
        // No server is there.
        let answer = peer.ask("POST", "/t.S/Echo", &[CALL], Vec::new()).await;
        let answer = answer.whole().await.unwrap();
        assert_eq!(only_status(&answer), "14");
        assert!(!text(&answer.fields, "grpc-message").is_empty());
        // Others get their page.
        let page = peer.get("/other").await.unwrap();
        assert_eq!((page.status, page.body.is_empty()), (404, false));
    });
}

#[test]
fn a_call_ends_at_its_deadline() {
    let server = Server::default();
    let served = served(&[server.start()], "", "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let late = call(&mut peer, "/t.S/Hang", &[("grpc-timeout", "100m")]).await;
        assert_eq!(only_status(&late), "4");
        // Its answer has begun: the rest of it is a status.
        let late = call(&mut peer, "/t.S/Stalls", &[("grpc-timeout", "300m")]).await;
        assert_eq!((status(&late), late.body.len()), ("4", 7));
    });
}

#[test]
fn a_server_is_told_what_is_left_of_the_time() {
    let server = Server::default();
    let address = server.start();
    let micros = |answer: &Answer| -> u64 {
        let text = std::str::from_utf8(&answer.body).unwrap();
        text.strip_suffix('u').unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    };
    let limited = served(&[address], "total_timeout = \"10s\"\n", "");
    run(async {
        let mut peer = Peer::new(limited.address()).await;
        let told = call(&mut peer, "/t.S/Timeout", &[("grpc-timeout", "1M")]).await;
        assert!((1..=10_000_000).contains(&micros(&told)), "the route's time is shorter");
        let told = call(&mut peer, "/t.S/Timeout", &[("grpc-timeout", "8S")]).await;
        assert!((1..=8_000_000).contains(&micros(&told)));
        let told = call(&mut peer, "/t.S/Timeout", &[]).await;
        assert!((1..=10_000_000).contains(&micros(&told)));
    });
    let free = served(&[address], "", "");
    run(async {
        let mut peer = Peer::new(free.address()).await;
        assert_eq!(call(&mut peer, "/t.S/Timeout", &[]).await.body, b"none");
        let odd = call(&mut peer, "/t.S/Timeout", &[("grpc-timeout", "soon")]).await;
        assert_eq!(odd.body, b"soon", "what is no time is the server's to judge");
    });
}

#[test]
fn a_call_that_failed_before_its_first_message_is_tried_again_where_that_is_wanted() {
    let server = Server::default();
    let retried = served(&[server.start()], "", "retry_on = [\"grpc:unavailable\"]\n");
    run(async {
        let mut peer = Peer::new(retried.address()).await;
        let answer = call(&mut peer, "/t.S/Busy", &[]).await;
        assert_eq!((status(&answer), answer.body.as_slice()), ("0", &b"\0\0\0\0\x02hi"[..]));
    });
    assert_eq!(server.calls.load(Ordering::Relaxed), 2);
    let server = Server::default();
    let plain = served(&[server.start()], "", "");
    run(async {
        let mut peer = Peer::new(plain.address()).await;
        assert_eq!(only_status(&call(&mut peer, "/t.S/Busy", &[]).await), "14");
    });
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_call_whose_server_fails_in_the_middle_ends_with_a_status() {
    let server = Server::default();
    let served = served(&[server.start()], "", "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let message = b"\0\0\0\0\x02hi".to_vec();
        let answer = peer.ask("POST", "/t.S/Cut", &[CALL], message.clone()).await;
        let mut answer = answer.head().await.unwrap();
        assert_eq!(answer.part().await.unwrap().unwrap(), message);
        server.cut.notify_one();
        let answer = answer.whole().await.unwrap();
        assert_eq!((status(&answer), answer.body.len()), ("14", 0));
        assert_eq!(status(&call(&mut peer, "/t.S/Echo", &[]).await), "0", "others go on");
    });
}

#[test]
fn servers_are_asked_for_their_health_by_a_call() {
    let server = Server::default();
    server.health.store(1, Ordering::Relaxed);
    let health = "[upstream.u.health]\nkind = \"grpc\"\nservice = \"t.S\"\ninterval = \"20ms\"\n\
                  timeout = \"20ms\"\nfall = 1\nrise = 1\n";
    let served = served(&[server.start()], "", health);
    let admin = served.running().admin().unwrap();
    let is = |state: &str| {
        let metrics = crate::admin::get(admin, "GET /metrics");
        let line = metrics.lines().find(|line| line.starts_with("ringway_server_healthy{"));
        line.is_some_and(|line| line.ends_with(state))
    };
    let succeeded = || {
        let metrics = crate::admin::get(admin, "GET /metrics");
        metrics.lines().any(|line| {
            line.starts_with("ringway_health_checks_total{")
                && line.contains("success")
                && !line.ends_with(" 0")
        })
    };
    wait_until("it was found to serve", succeeded);
    server.health.store(2, Ordering::Relaxed);
    wait_until("it is found not to serve", || is(" 0"));
    server.health.store(1, Ordering::Relaxed);
    wait_until("it is found to serve", || is(" 1"));
}

#[test]
fn a_call_that_a_server_is_slow_to_answer_is_asked_of_another_where_that_does_no_harm() {
    // It takes calls, and answers none.
    let slow = serve_async(|stream| async {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let mut held = Vec::new();
        while let Some(Ok(call)) = connection.accept().await {
            held.push(call);
        }
    });
    let server = Server::default();
    let servers = [slow, server.start()];
    let keys = "hedge_after = \"50ms\"\nhedge_calls = true\nretry_budget = 1.0\n";
    let served = self::served(&servers, "total_timeout = \"20s\"\n", keys);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        for _ in 0..4 {
            let answer = call(&mut peer, "/t.S/Echo", &[]).await;
            assert_eq!((status(&answer), answer.body.as_slice()), ("0", &b"\0\0\0\0\x02hi"[..]));
        }
    });
    // Without a word, no call is carried out twice.
    let keys = "hedge_after = \"50ms\"\nbalance = \"round_robin\"\n";
    let served = self::served(&servers, "total_timeout = \"300ms\"\n", keys);
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let mut late = 0;
        for _ in 0..2 {
            let answer = call(&mut peer, "/t.S/Echo", &[]).await;
            late += usize::from(answer.trailers.is_none() && only_status(&answer) == "4");
        }
        assert_eq!(late, 1);
    });
}
