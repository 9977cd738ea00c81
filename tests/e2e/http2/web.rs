//! gRPC-Web: calls of browsers by HTTP/1.1 and HTTP/2, to a server and to services of our own, and
//! limits of messages.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway::proto::grpc::MessageHead;

use super::grpc::{Server, served};
use super::peer::{Peer, run};
use super::services::words_with;
use crate::support::*;

/// Frames of messages.
fn frames(messages: &[&[u8]]) -> Vec<u8> {
    let framed = messages.iter().map(|message| {
        let len = u32::try_from(message.len()).unwrap();
        [&MessageHead { is_compressed: false, len }.write()[..], message].concat()
    });
    framed.collect::<Vec<_>>().concat()
}

/// A body of an answer: its messages, and the trailers behind them.
fn parse(mut body: &[u8]) -> (Vec<Vec<u8>>, String) {
    let mut messages = Vec::new();
    while !body.is_empty() {
        let (head, rest) = body.split_at(5);
        let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let (frame, behind) = rest.split_at(len);
        if head[0] == 0x80 {
            assert!(behind.is_empty(), "the trailers are last");
            return (messages, String::from_utf8(frame.to_vec()).unwrap());
        }
        messages.push(frame.to_vec());
        body = behind;
    }
    (messages, String::new())
}

/// One call by HTTP/1.1: the head and the body of the answer.
fn call(served: &Served, path: &str, kind: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = served.connect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nX-Grpc-Web: 1\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let at = all.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(all[..at].to_vec()).unwrap().to_lowercase();
    let body = &all[at + 4..];
    let is_chunked = head.contains("transfer-encoding: chunked");
    (head, if is_chunked { chunks(body) } else { body.to_vec() })
}

fn chunks(mut body: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    loop {
        let end = body.windows(2).position(|end| end == b"\r\n").unwrap();
        let size = std::str::from_utf8(&body[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            // Trailers may follow.
            assert!(body.ends_with(b"\r\n\r\n"));
            return found;
        }
        found.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
}

/// A proxy to a server of gRPC, and one with services of its own: both answer alike.
fn both(keys: &str) -> [(Served, &'static str, &'static str); 2] {
    let server = Server::default().start();
    let proxy = self::served(&[server], keys, "");
    [(proxy, "/t.S/Echo", "/t.S/Fails"), (words_with(keys), "/test.Words/Same", "/test.Words/Fail")]
}

#[test]
fn browsers_call_a_server_or_a_service_in_binary_and_in_text() {
    for (served, echo, _) in both("grpc_web = true") {
        let sent = frames(&[b"\x0a\x03abc"]);
        let (head, body) = call(&served, echo, "application/grpc-web+proto", &sent);
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(head.contains("content-type: application/grpc-web+proto"), "{head}");
        let (messages, trailers) = parse(&body);
        assert_eq!(messages, [b"\x0a\x03abc"]);
        assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
        // In text, padded in its middle.
        let text = [STANDARD.encode(&sent[..4]), STANDARD.encode(&sent[4..])].concat();
        let kind = "application/grpc-web-text";
        let (head, body) = call(&served, echo, kind, text.as_bytes());
        assert!(head.contains("content-type: application/grpc-web-text+proto"), "{head}");
        // Each part is padded by itself.
        let mut decoded = Vec::new();
        for quantum in body.chunks(4) {
            decoded.extend(STANDARD.decode(quantum).unwrap());
        }
        let (messages, trailers) = parse(&decoded);
        assert_eq!(messages, [b"\x0a\x03abc"]);
        assert!(trailers.contains("grpc-status: 0\r\n"), "{trailers}");
        // What is no base64.
        let (head, _) = call(&served, echo, kind, b"????");
        assert!(head.contains("grpc-status: 3"), "{head}");
        // Other calls are as ever.
        run(async {
            let mut peer = Peer::new(served.address()).await;
            let fields = [("content-type", "application/grpc"), ("te", "trailers")];
            let answer = peer.ask("POST", echo, &fields, sent.clone()).await.whole().await.unwrap();
            assert_eq!(answer.fields["content-type"], "application/grpc");
            assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
            // And browsers may speak HTTP/2.
            let fields = [("content-type", "application/grpc-web")];
            let answer = peer.ask("POST", echo, &fields, sent).await.whole().await.unwrap();
            assert!(answer.trailers.is_none());
            assert!(parse(&answer.body).1.contains("grpc-status: 0"));
        });
    }
}

#[test]
fn a_status_alone_comes_in_the_head_and_other_answers_are_left_alone() {
    for (served, _, fails) in both("grpc_web = true") {
        let (head, body) = call(&served, fails, "application/grpc-web", &frames(&[b""]));
        let trailers = parse(&body).1;
        let told = [head.as_str(), trailers.as_str()].concat();
        assert!(told.contains("grpc-status: 9") || told.contains("grpc-status: 5"), "{told}");
    }
    // Where it is off, it is a request like others.
    for (served, echo, _) in both("") {
        let (head, _) = call(&served, echo, "application/grpc-web", &frames(&[b""]));
        assert!(!head.contains("grpc-web+proto"), "{head}");
    }
}

#[test]
fn messages_that_are_too_long_end_their_call() {
    let server = Server::default().start();
    let served = self::served(&[server], "grpc_message_max = 100", "");
    run(async {
        let mut peer = Peer::new(served.address()).await;
        let fields = [("content-type", "application/grpc"), ("te", "trailers")];
        let other = peer.ask("POST", "/t.S/Echo", &fields, frames(&[&[1; 100], &[2; 100]])).await;
        assert_eq!(other.whole().await.unwrap().trailers.unwrap()["grpc-status"], "0");
        for sent in [frames(&[&[1; 101]]), frames(&[&[1; 10], &[2; 101]])] {
            let answer = peer.ask("POST", "/t.S/Echo", &fields, sent).await;
            let answer = answer.whole().await.unwrap();
            let told = answer.trailers.as_ref().unwrap_or(&answer.fields);
            assert_eq!(told["grpc-status"], "8");
            assert_eq!(told["grpc-message"], "grpc_message_too_large");
        }
    });
}
