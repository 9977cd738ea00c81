//! What logs tell of connections that ended, and of requests that were refused.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};

use serde_json::Value;

use crate::pki::{Pki, listener};
use crate::support::*;

const LOG: &str = "[log]\naccess = true\nformat = \"json\"\n";

/// The line of the one connection of a listener.
fn line_of(errors: &str, listener: &str) -> Value {
    let lines = errors.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let mut lines = lines.filter(|line| line["message"] == "connection");
    lines.find(|line| line["listener"] == listener).unwrap_or_else(|| panic!("{errors}"))
}

/// A server that resets its connection after the first bytes.
fn resetting() -> SocketAddr {
    serve(|mut stream| {
        let _taken = stream.read(&mut [0; 1]).unwrap();
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
    })
}

#[test]
fn the_line_of_a_connection_names_where_it_went_however_it_ended() {
    let pki = Pki::new();
    pki.write("a", &["a.example"]);
    let servers =
        [("echo", echo_server()), ("reset", resetting()), ("none", nobody()), ("a", echo_server())];
    let tcp = |name: &str| listener(name, &format!("protocol = \"tcp\"\nupstream = \"{name}\"\n"));
    let sni =
        |name: &str| listener(name, "protocol = \"sni\"\nnames = { \"a.example\" = \"a\" }\n");
    let upstreams =
        servers.map(|(name, server)| format!("[upstream.{name}]\nservers = [\"{server}\"]\n"));
    let program = Program::serve(
        &[
            &runtime(1),
            NO_ADMIN,
            LOG,
            &tcp("echo"),
            &tcp("reset"),
            &tcp("none"),
            &sni("known"),
            &sni("unknown"),
            &upstreams.concat(),
        ]
        .concat(),
    );
    // The client ends first.
    let mut client = connect(program.addresses[0]);
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0]).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    // The server resets, and no server is there.
    for address in &program.addresses[1..3] {
        let mut client = connect(*address);
        let _gone = client.write_all(b"x");
        assert!(!matches!(client.read(&mut [0]), Ok(1..)));
    }
    // A hello alone is enough to be passed on, or refused.
    for (at, name) in [(3, "a.example"), (4, "b.example")] {
        let mut client = connect(program.addresses[at]);
        client.write_all(&hello(&pki, name)).unwrap();
        let _alert_or_echo = client.read(&mut [0; 64]);
    }
    program.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, errors) = program.wait();
    assert!(status.success(), "{errors}");
    for (listener, upstream, server, name, reason) in [
        ("echo", "echo", Some(servers[0].1), None, "finished"),
        ("reset", "reset", Some(servers[1].1), None, "upstream_reset"),
        ("none", "none", Some(servers[2].1), None, "connect_failed"),
        ("known", "a", Some(servers[3].1), Some("a.example"), "finished"),
        ("unknown", "", None, Some("b.example"), "tls_failed"),
    ] {
        let line = line_of(&errors, listener);
        assert_eq!(line["upstream"].as_str().unwrap_or_default(), upstream, "{line}");
        let server = server.map_or_else(|| "-".to_owned(), |server| server.to_string());
        assert_eq!(line["server"], server, "{line}");
        assert_eq!(line["name"].as_str(), name, "{line}");
        if listener != "known" {
            assert_eq!(line["reason"], reason, "{line}");
        }
        assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    }
}

/// The first message of a client of TLS that asks for a name.
fn hello(pki: &Pki, name: &str) -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(pki.client(), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_refused_request_leaves_its_line_its_host_its_rule_and_a_number() {
    let folder = Folder::new();
    let path = folder.path().join("access.log");
    let keys = format!(
        "protocol = \"http\"\nhead_timeout = \"100ms\"\n\
         access_log = {{ format = \"json\", path = \"{}\" }}\n\
         [[listener.route]]\nrespond = \"x\"\n",
        path.display()
    );
    let served = Served::new(&[&runtime(1), NO_ADMIN, &listener("web", &keys)].concat());
    let long = "a".repeat(1000);
    let cases = [
        (
            "GET /a  b HTTP/1.1\r\nHost: h.example\r\n\r\n",
            400,
            "request_line",
            "GET /a  b HTTP/1.1",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: h.example\r\nBad Name: x\r\n\r\n",
            400,
            "field_name",
            "Bad Name: x",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: h.example\r\nCookie: s3cret\x01\r\n\r\n",
            400,
            "field_value",
            "Cookie: (not shown)",
        ),
        (
            &format!("GET /a HTTP/1.1\r\nHost: h.example\r\nExpect: {long}\r\n\r\n"),
            417,
            "expectation",
            &format!("Expect: {}", &long[..248]),
        ),
        ("GET /a HTTP/1.1\r\nHost: h.example\r\nAccept: ", 408, "head_timeout", "GET /a HTTP/1.1"),
    ];
    let mut ids = Vec::new();
    for (input, status, ..) in &cases {
        let mut client = served.connect();
        client.write_all(input.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        ids.push(id.unwrap_or_else(|| panic!("{answer}")).to_owned());
    }
    served.drain();
    let log = std::fs::read_to_string(&path).unwrap();
    assert!(!log.contains("s3cret"), "{log}");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), cases.len(), "{log}");
    for ((line, (input, status, rule, refused)), id) in lines.iter().zip(&cases).zip(&ids) {
        assert_eq!(line["status"], *status, "{line}");
        assert_eq!(line["reason"], *rule, "{line}");
        assert_eq!(line["refused_line"], *refused, "{line}");
        assert_eq!(line["request_line"], *input.lines().next().unwrap(), "{line}");
        assert_eq!(line["host"], "h.example", "{line}");
        assert_eq!(line["request_id"], *id, "{line}");
        assert_eq!(line["bytes_received"], input.len(), "{line}");
        assert!(line["method"].is_null() && line["version"].is_null(), "{line}");
    }
}
