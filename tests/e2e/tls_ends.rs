//! How connections by TLS end: alerts that arrive, and streams that were cut and do not look whole.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::version;

use crate::pki::*;
use crate::support::*;
use crate::tls_hostile::*;

/// Listeners of all kinds of services that speak TLS, and one that passes TLS on by its name.
fn services(pki: &Pki, keys: &str) -> Served {
    let tls = pki.listener_tls(keys);
    let all: String = [
        ("echo", "protocol = \"echo\""),
        ("tcp", "protocol = \"tcp\"\nupstream = \"u\""),
        ("messages", "protocol = \"messages\""),
        ("frame", "protocol = \"frame\""),
        ("http", "protocol = \"http\"\n[[listener.route]]\nrespond = \"x\"\n"),
    ]
    .map(|(name, service)| listener(name, service) + &tls)
    .concat();
    let names = listener("sni", "protocol = \"sni\"\nnames = { \"a.example\" = \"u\" }");
    let upstream = format!("[upstream.u]\nservers = [\"{}\"]\n", echo_server());
    Served::new(&[&runtime(1), NO_ADMIN, &all, &*names, &*upstream].concat())
}

const WITH_TLS: [&str; 5] = ["echo", "tcp", "messages", "frame", "http"];

fn connect_to(served: &Served, name: &str) -> TcpStream {
    connect(served.running().address(name).unwrap().ip().unwrap())
}

/// All that comes, up to an orderly end. A reset would have destroyed some of it.
fn all_of(what: &str, stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap_or_else(|error| panic!("{what}: {error}, after {all:?}"));
    all
}

/// Far more than is read before what stands before it is refused.
fn much() -> Vec<u8> {
    vec![0; 100_000]
}

#[test]
fn an_alert_within_the_handshake_arrives_whatever_the_client_sends_on() {
    let pki = Pki::new();
    let served = services(&pki, "strict_sni = true\nhandshake_max = \"8KiB\"");
    let large = Hello::new().with(PADDING, Some(vec![0; 20_000])).bytes();
    let unknown = Hello::new().with_names(&[b"unknown.example"]).bytes();
    let suites = Hello::new().with_suites(&[0x0035]).bytes();
    for name in WITH_TLS {
        for (hello, alert) in [(&large, 50), (&unknown, 112), (&suites, 40)] {
            let mut stream = connect_to(&served, name);
            stream.write_all(&[&hello[..], &much()].concat()).unwrap();
            assert_eq!(all_of(name, &mut stream), [21, 3, 3, 0, 2, 2, alert], "{name}");
        }
        let mut stream = connect_to(&served, name);
        stream.write_all(&[&b"POST / HTTP/1.1\r\n\r\n"[..], &much()].concat()).unwrap();
        assert!(all_of(name, &mut stream).starts_with(b"HTTP/1.1 400 "));
    }
    let mut stream = connect_to(&served, "sni");
    stream.write_all(&[unknown, much()].concat()).unwrap();
    assert_eq!(all_of("sni", &mut stream), [21, 3, 3, 0, 2, 2, 112]);
    wait_until("all are counted", || served.sum(|cell| cell.active.get()) == 0);
}

#[test]
fn an_alert_for_a_hello_that_comes_slowly_and_is_too_large_arrives() {
    let pki = Pki::new();
    let served = services(&pki, "handshake_max = \"4KiB\"");
    let mut stream = connect_to(&served, "echo");
    stream.set_nodelay(true).unwrap();
    for part in Hello::new().with(PADDING, Some(vec![0; 8_000])).bytes().chunks(100) {
        stream.write_all(part).unwrap();
    }
    assert_eq!(all_of("slow", &mut stream), [21, 3, 3, 0, 2, 2, 50]);
}

#[test]
fn an_alert_behind_the_handshake_arrives_and_is_followed_by_the_end() {
    let pki = Pki::new();
    let served = services(&pki, "");
    for name in WITH_TLS {
        for version in [&version::TLS12, &version::TLS13] {
            let client = client_of(&pki, version);
            let mut stream = rustls::StreamOwned::new(client, connect_to(&served, name));
            stream.flush().unwrap();
            stream.sock.write_all(&[record(DATA, &[7; 99]), much()].concat()).unwrap();
            let error = stream.read(&mut [0]).unwrap_err();
            assert!(error.to_string().contains("BadRecordMac"), "{name}: {error}");
            all_of(name, &mut stream.sock);
        }
    }
    wait_until("all are counted", || served.sum(|cell| cell.active.get()) == 0);
}

#[test]
fn a_client_that_was_told_is_not_read_for_ever() {
    let pki = Pki::new();
    let served = services(&pki, "");
    let told = || {
        let mut stream = connect_to(&served, "echo");
        stream.write_all(&record(HANDSHAKE, &[2, 0, 0, 4, 3, 3, 0, 0])).unwrap();
        assert_eq!(all_of("told", &mut stream)[..5], [21, 3, 3, 0, 2]);
        stream
    };
    // One that sends without an end, and one that sends next to nothing.
    let mut busy = told();
    while busy.write_all(&much()).is_ok() {}
    let idle = told();
    wait_until("it is closed", || (&idle).write_all(b"x").is_err());
    // The end of the server does not wait for those that stay.
    let _stays = told();
    served.drain();
}
