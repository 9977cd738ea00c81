//! Requests of HTTP/2 that the program's own handlers answer.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use ringway::handler::Response;

use super::peer::{self, Peer, run};
use crate::http::handlers::{MANY, Seen};
use crate::support::*;

#[test]
fn handlers_answer_side_by_side_whatever_the_version() {
    let seen = Seen::new();
    let served = seen.serve("", "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let later = peer.ask("GET", "/later", &[], Vec::new()).await;
        let upper = peer.ask("POST", "/upper", &[], b"abc".to_vec()).await;
        assert_eq!(upper.whole().await.unwrap().body, b"ABC");
        let many = peer.get("/many").await.unwrap();
        assert_eq!((many.status, many.body.len()), (200, MANY));
        assert_eq!(peer.get("/hints").await.unwrap().body, b"page");
        assert_eq!(peer.get("/empty").await.unwrap().status, 204);
        assert_eq!(peer.get("/count").await.unwrap().body, b"6");
        let answer = tokio::task::spawn_blocking({
            let seen = seen.clone();
            move || seen.next()
        });
        answer.await.unwrap().send(Response::text(200), "at last");
        assert_eq!(later.whole().await.unwrap().body, b"at last");
    });
}

#[test]
fn bodies_go_both_ways_with_their_trailers() {
    let served = Seen::new().serve("", "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let body = bytes(1, 3_000_000);
        let answer = peer.ask("POST", "/echo", &[], body.clone()).await.whole().await.unwrap();
        assert!(answer.body == body);
        assert_eq!(answer.trailers.unwrap()["x-length"], "3000000");
        // What comes is answered before more of it comes.
        let (answer, mut stream) = peer.open("POST", "/echo").await;
        let mut answer = answer.head().await.unwrap();
        for text in ["one", "two", "three"] {
            stream.send_data(Bytes::from(text), false).unwrap();
            assert_eq!(answer.part().await.unwrap().unwrap(), text.as_bytes());
        }
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-sum", "11".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
        let trailers = answer.whole().await.unwrap().trailers.unwrap();
        assert_eq!(trailers["x-sum"], "11");
        assert_eq!(trailers["x-length"], "11");
    });
}

#[test]
fn a_failure_costs_one_stream_and_a_reset_tells_its_handler() {
    let seen = Seen::new();
    let served = seen.serve("", "total_timeout = \"20s\"");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let other = peer.ask("GET", "/later", &[], Vec::new()).await;
        for path in ["/panic", "/drop", "/panic-thread"] {
            assert_eq!(peer.get(path).await.unwrap().status, 500, "{path}");
        }
        for path in ["/fail", "/short", "/long"] {
            let error = peer.get(path).await.unwrap_err();
            assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}");
        }
        let (answer, mut stream) = peer.open("POST", "/hang").await;
        stream.send_data(Bytes::from_static(b"x"), false).unwrap();
        stream.send_reset(h2::Reason::CANCEL);
        peer.settle(|| seen.cancelled.load(Ordering::Relaxed) == 1).await;
        drop(answer);
        let answer = tokio::task::spawn_blocking({
            let seen = seen.clone();
            move || seen.next()
        });
        answer.await.unwrap().send(Response::text(200), "unhurt");
        assert_eq!(other.whole().await.unwrap().body, b"unhurt");
    });
}

#[test]
fn a_stream_of_a_handler_has_its_time() {
    let seen = Seen::new();
    let served = seen.serve("body_timeout = \"200ms\"", "total_timeout = \"400ms\"");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        assert_eq!(peer.get("/hang").await.unwrap().status, 504);
        let (answer, mut stream) = peer.open("POST", "/upper").await;
        stream.send_data(Bytes::from_static(b"x"), false).unwrap();
        assert_eq!(answer.whole().await.unwrap().status, 408);
        assert_eq!(peer.get("/what").await.unwrap().status, 200);
    });
}

#[test]
fn what_no_window_holds_back_does_not_wait_for_one() {
    let seen = Seen::new();
    let served = seen.serve("", "");
    let give = |seen: &Seen| seen.next();
    run(async {
        let mut peer = Peer::with_window(served.address(), 0).await;
        assert_eq!(peer.get("/empty").await.unwrap().status, 204);
        let asked = peer.ask("HEAD", "/many", &[], Vec::new()).await;
        assert_eq!(asked.whole().await.unwrap().status, 200);
        // The head of an answer comes, and its end if that is all.
        let later = peer.ask("GET", "/later", &[], Vec::new()).await;
        let seen = seen.clone();
        let mut answer = tokio::task::spawn_blocking(move || give(&seen)).await.unwrap();
        answer.begin(Response::text(200)).unwrap();
        let head = later.head().await.unwrap();
        answer.end();
        assert_eq!(head.whole().await.unwrap().body, b"");
    });
}

#[test]
fn a_body_that_nobody_takes_is_dropped_as_it_comes() {
    let seen = Seen::new();
    let served = seen.serve("", "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let (answer, stream) = peer.open("POST", "/later").await;
        let sent = tokio::spawn(peer::send_all(stream, bytes(5, 500_000)));
        let seen = seen.clone();
        let given = tokio::task::spawn_blocking(move || seen.next()).await.unwrap();
        sent.await.unwrap();
        given.send(Response::text(200), "all was sent");
        assert_eq!(answer.whole().await.unwrap().body, b"all was sent");
    });
}
