//! The page that tries WebSockets, and the endpoints that it finds, in the built-in configuration.

use std::io::{Read, Write};
use std::net::SocketAddr;

use base64::Engine;
use sha2::{Digest, Sha256};

use super::{Answer, Client};
use crate::support::*;

/// The built-in configuration on ports that are free. Its proxies find no server.
fn built_in(workers: usize) -> Served {
    let free = |line: &str| match line.starts_with("listen = ") {
        true => "listen = \"127.0.0.1:0\"".to_owned(),
        false => line.to_owned(),
    };
    let embedded = include_str!("../../../src/config/embedded.toml");
    let lines: Vec<String> = embedded.lines().map(free).collect();
    Served::new(&[&runtime(workers), &*lines.join("\n")].concat())
}

fn ask(address: SocketAddr, method: &str, path: &str, fields: &str) -> (Client, Answer) {
    let mut client = Client::new(address);
    client.send(&format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n"));
    let answer = match method {
        "HEAD" => client.head(),
        _ => client.answer(),
    };
    (client, answer)
}

/// A handshake as a browser makes it, of a page of `origin`.
fn open(address: SocketAddr, path: &str, origin: &str, subprotocol: &str) -> (Client, Answer) {
    let fields = format!(
        "Origin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}"
    );
    ask(address, "GET", path, &fields)
}

/// Sends a text of less than 126 bytes; its mask is zero.
fn send(client: &mut Client, text: &str) {
    let length = 0x80 | u8::try_from(text.len()).unwrap();
    let frame = [&[0x81, length, 0, 0, 0, 0], text.as_bytes()].concat();
    client.0.get_mut().write_all(&frame).unwrap();
}

/// Receives a text of less than 126 bytes.
fn receive(client: &mut Client) -> String {
    let mut start = [0; 2];
    client.0.read_exact(&mut start).unwrap();
    assert_eq!(start[0], 0x81);
    let mut text = vec![0; start[1].into()];
    client.0.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn the_page_is_all_that_its_policy_allows() {
    let served = built_in(1);
    let address = served.at("web");
    let (_, answer) = ask(address, "GET", "/ws", "");
    assert_eq!(answer.status, 200);
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.field(name), Some(value), "{name}");
    }
    let policy = answer.field("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(policy.ends_with(&format!("; connect-src 'self' ws://{address}")), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for (name, count) in [("style", 2), ("script", 1)] {
        let start = format!("<{name}>");
        let contents = answer.text().split(&start).skip(1);
        let hashes: Vec<String> = contents
            .map(|text| {
                let (text, _) = text.split_once(&format!("</{name}>")).unwrap();
                let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text));
                format!("'sha256-{hash}'")
            })
            .collect();
        assert_eq!(hashes.len(), count);
        let directive = format!("; {name}-src {};", hashes.join(" "));
        assert!(policy.contains(&directive), "{directive} is not in {policy}");
    }
    assert!(!answer.text().contains("://"), "it names no other address");

    let (_, head) = ask(address, "HEAD", "/ws", "");
    assert_eq!(head.status, 200);
    assert_eq!(head.field("content-length"), answer.field("content-length"));
    let (_, refused) = ask(address, "POST", "/ws", "Content-Length: 0\r\n");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")));
    let (_, status) = ask(address, "GET", "/", "");
    let link = format!("<a href=\"http://{address}/ws\">");
    assert!(status.text().contains(&link), "{}", status.text());
}

#[test]
fn the_page_finds_its_endpoints() {
    let served = built_in(1);
    let address = served.at("web");
    let own = format!("http://{address}");
    let (mut echo, answer) = open(address, "/ws/echo", &own, "");
    assert_eq!((answer.status, answer.field("sec-websocket-protocol")), (101, None));
    send(&mut echo, "hello");
    assert_eq!(receive(&mut echo), "hello");

    let format = "Sec-WebSocket-Protocol: ringway.topics.v1.json\r\n";
    let (mut topics, answer) = open(address, "/ws/topics", &own, format);
    assert_eq!(answer.status, 101);
    assert_eq!(answer.field("sec-websocket-protocol"), Some("ringway.topics.v1.json"));
    // What the script sends, byte for byte.
    send(&mut topics, r#"{"op":"subscribe","topic":"chat/#","id":1}"#);
    assert_eq!(receive(&mut topics), r#"{"op":"ok","id":1}"#);
    send(&mut topics, r#"{"op":"publish","topic":"chat/a","id":2,"data":[1.50]}"#);
    let mut both = [receive(&mut topics), receive(&mut topics)];
    both.sort();
    let message = r#"{"op":"message","topic":"chat/a","data":[1.50]}"#;
    assert_eq!(both, [message, r#"{"op":"ok","id":2}"#]);

    for path in ["/ws/echo", "/ws/topics"] {
        let (_, answer) = open(address, path, "https://elsewhere.example", "");
        assert_eq!(answer.status, 403, "{path}");
        let (_, answer) = ask(address, "GET", path, "");
        assert_eq!(answer.status, 426, "{path}");
    }
}

#[test]
fn what_is_published_reaches_subscribers_of_all_workers() {
    let served = built_in(4);
    let address = served.at("web");
    let own = format!("http://{address}");
    let mut clients: Vec<Client> = (0..16)
        .map(|_| {
            let (mut client, answer) = open(address, "/ws/topics", &own, "");
            assert_eq!(answer.status, 101);
            send(&mut client, r#"{"op":"subscribe","topic":"chat/#","id":1}"#);
            assert_eq!(receive(&mut client), r#"{"op":"ok","id":1}"#);
            client
        })
        .collect();
    // One after the other, and fewer than a queue has room for: workers are told while they take.
    for turn in 0..30 {
        let numbers = turn * 50..(turn + 1) * 50;
        for number in numbers.clone() {
            let text = format!(r#"{{"op":"publish","topic":"chat/a","data":{number}}}"#);
            send(&mut clients[0], &text);
        }
        for client in &mut clients {
            for number in numbers.clone() {
                let message = format!(r#"{{"op":"message","topic":"chat/a","data":{number}}}"#);
                assert_eq!(receive(client), message);
            }
        }
    }
}
