//! What a handshake is answered.

use std::io::Write;

use super::peer::head_of_answer;
use super::*;

/// The status and the head of the answer to a request.
fn ask(served: &Served, request: &str) -> (u16, String) {
    let mut stream = served.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let head = head_of_answer(&mut stream);
    (head[9..12].parse().unwrap(), head.to_ascii_lowercase())
}

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n";

fn request(method: &str, fields: &[&str]) -> String {
    format!("{method} /echo HTTP/1.1\r\nHost: a.example\r\n{}\r\n", fields.concat())
}

#[test]
fn a_handshake_is_answered_by_the_rules() {
    let served = served(1, "", "");
    let other_key = "Sec-WebSocket-Key: c2hvcnQ=\r\n";
    let twice = "Sec-WebSocket-Protocol: a, a\r\n";
    let extension = "Sec-WebSocket-Extensions: permessage-deflate; =\r\n";
    let old = "Sec-WebSocket-Version: 8\r\n";
    let cases: [(&str, &[&str], u16, &str); 18] = [
        ("GET", &[UPGRADE, KEY, VERSION], 101, "\r\nupgrade: websocket\r\n"),
        ("GET", &[UPGRADE, KEY, VERSION], 101, ": s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
        ("GET", &["UPGRADE: WebSocket\r\nconnection: upgrade\r\n", KEY, VERSION], 101, ""),
        ("GET", &["Upgrade: foo, websocket\r\nConnection: upgrade\r\n", KEY, VERSION], 101, ""),
        ("GET", &[], 426, "\r\nupgrade: websocket\r\n"),
        ("HEAD", &[], 426, "\r\nupgrade: websocket\r\n"),
        ("GET", &["Upgrade: websocket\r\n", KEY, VERSION], 426, ""),
        ("GET", &["Connection: upgrade\r\n", KEY, VERSION], 426, ""),
        ("GET", &["Upgrade: h2c\r\nConnection: upgrade\r\n", KEY, VERSION], 426, ""),
        ("POST", &["Content-Length: 0\r\n"], 405, "\r\nallow: get\r\n"),
        ("DELETE", &[], 405, "\r\nallow: get\r\n"),
        ("PUT", &[UPGRADE, KEY, VERSION, "Content-Length: 0\r\n"], 405, ""),
        ("GET", &[UPGRADE, KEY], 426, "\r\nsec-websocket-version: 13\r\n"),
        ("GET", &[UPGRADE, KEY, old], 426, "\r\nsec-websocket-version: 13\r\n"),
        ("GET", &[UPGRADE, VERSION], 400, ""),
        ("GET", &[UPGRADE, VERSION, other_key], 400, ""),
        ("GET", &[UPGRADE, VERSION, KEY, twice], 400, ""),
        ("GET", &[UPGRADE, VERSION, KEY, extension], 400, ""),
    ];
    for (method, fields, status, part) in cases {
        let (answered, head) = ask(&served, &request(method, fields));
        assert_eq!(answered, status, "{method} {fields:?}");
        assert!(head.contains(part), "{method} {fields:?}: {head}");
    }
    let (status, _) = ask(&served, &request("GET", &[UPGRADE, VERSION, KEY, KEY]));
    assert_eq!(status, 400, "two keys");
    let old = format!("GET /echo HTTP/1.0\r\nHost: a\r\n{UPGRADE}{KEY}{VERSION}\r\n");
    assert_eq!(ask(&served, &old).0, 426, "HTTP/1.0 has no upgrades");
}

#[test]
fn a_refused_handshake_leaves_the_connection_to_further_requests() {
    let served = served(1, "", "");
    let mut stream = served.connect();
    for _ in 0..3 {
        stream.write_all(request("HEAD", &[]).as_bytes()).unwrap();
        assert!(head_of_answer(&mut stream).starts_with("HTTP/1.1 426 "));
    }
    stream.write_all(request("GET", &[UPGRADE, KEY, VERSION]).as_bytes()).unwrap();
    assert!(head_of_answer(&mut stream).starts_with("HTTP/1.1 101 "));
}

#[test]
fn the_clients_first_subprotocol_that_is_known_is_chosen() {
    let served = served_echo("subprotocols = [\"one\", \"two\"]");
    let chosen = |offered: &str| {
        let field = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let peer = Peer::open_with(&served, "/echo", &field);
        peer.field("sec-websocket-protocol").map(str::to_owned)
    };
    assert_eq!(chosen("two, one").as_deref(), Some("two"));
    assert_eq!(chosen("three\r\nSec-WebSocket-Protocol: one").as_deref(), Some("one"));
    assert_eq!(chosen("three"), None);
    assert_eq!(chosen("One"), None, "they are compared byte for byte");
}

/// A server with one endpoint.
fn served_echo(keys: &str) -> Served {
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let route = format!(
        "[[listener.route]]\npath = \"/echo\"\n[listener.route.websocket]\nservice = \"echo\"\n\
         {keys}\n"
    );
    Served::new(&[&runtime(1), NO_ADMIN, listener, &route].concat())
}

#[test]
fn topics_have_subprotocols_of_their_own() {
    let served = served(1, "", "");
    let chosen = |offered: &str| {
        let field = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let peer = Peer::try_open(&served, "/topics", &field);
        (peer.status(), peer.field("sec-websocket-protocol").map(str::to_owned))
    };
    let (json, binary) = ("ringway.topics.v1.json", "ringway.topics.v1.binary");
    assert_eq!(chosen(json), (101, Some(json.into())));
    assert_eq!(chosen(&format!("x, {binary}, {json}")), (101, Some(binary.into())));
    assert_eq!(chosen("x").0, 400, "it would not be understood");
    assert_eq!(Peer::open(&served, "/topics").field("sec-websocket-protocol"), None);
}

#[test]
fn pages_of_other_sites_open_no_socket() {
    type Asked<'a> = &'a [(Option<&'a str>, u16)];
    let cases: [(&str, Asked<'_>); 4] = [
        (
            "",
            &[
                (None, 101),
                (Some("http://a.example"), 101),
                (Some("http://A.example:80"), 101),
                // Before a server without TLS there may be a proxy that has it.
                (Some("https://a.example"), 101),
                (Some("http://a.example:81"), 403),
                (Some("http://a.example.evil"), 403),
                (Some("null"), 403),
            ],
        ),
        (
            "origins = [\"https://b.example\"]",
            &[
                (None, 101),
                (Some("https://b.example"), 101),
                (Some("http://a.example"), 403),
                (Some("http://b.example"), 403),
            ],
        ),
        ("origins = [\"*\"]", &[(Some("null"), 101), (Some("http://b.example"), 101)]),
        ("origins = []", &[(None, 101), (Some("http://a.example"), 403)]),
    ];
    for (keys, asked) in cases {
        let served = served_echo(keys);
        for (origin, status) in asked {
            let field = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
            let peer = Peer::try_open(&served, "/echo", &field);
            assert_eq!(peer.status(), *status, "{keys}: {origin:?}");
        }
        let two = "Origin: http://a.example\r\nOrigin: http://a.example\r\n";
        if keys != "origins = [\"*\"]" {
            assert_ne!(Peer::try_open(&served, "/echo", two).status(), 101, "{keys}");
        }
    }
}

#[test]
fn a_password_is_asked_for_before_the_handshake_is_looked_at() {
    // SHA-512-crypt of "secret".
    let hash = "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vw\
                PZN.Pq.H91p5hVO1";
    let listener = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n";
    let route = format!(
        "[[listener.route]]\nwebsocket = {{ service = \"echo\" }}\n[listener.route.auth]\n\
         users = {{ u = \"{hash}\" }}\n"
    );
    let served = Served::new(&[&runtime(1), NO_ADMIN, listener, &route].concat());
    assert_eq!(Peer::try_open(&served, "/echo", "").status(), 401);
    assert_eq!(ask(&served, &request("GET", &[])).0, 401, "not 426");
    let wrong = "Authorization: Basic dTp3cm9uZw==\r\n";
    assert_eq!(Peer::try_open(&served, "/echo", wrong).status(), 401);
    let right = "Authorization: Basic dTpzZWNyZXQ=\r\n";
    Peer::open_with(&served, "/echo", right).round_trip();
}
