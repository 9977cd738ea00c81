//! How connections by TLS end: alerts that arrive, and streams that were cut and do not look whole.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};

use ringway::service::CloseReason;
use rustls::{ServerConnection, StreamOwned, version};

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

/// All that a stream brings, and how it ends: in order, or as what.
type Brought = (Vec<u8>, Option<ErrorKind>);

fn brought(stream: &mut impl Read) -> Brought {
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all);
    (all, ended.err().map(|error| error.kind()))
}

/// Whether the stream was cut, with which nothing is lost.
const CUT_PLAIN: Option<ErrorKind> = Some(ErrorKind::ConnectionReset);
const CUT_TLS: Option<ErrorKind> = Some(ErrorKind::UnexpectedEof);

/// Servers, without TLS and with it, that tell what each connection has brought, and then answer
/// and end in order if they are still connected.
fn tellers(pki: &Pki) -> ([SocketAddr; 2], mpsc::Receiver<Brought>) {
    let (sender, receiver) = mpsc::channel();
    let (secured, config) = (sender.clone(), pki.server("server"));
    let plain = serve(move |mut stream| {
        sender.send(brought(&mut stream)).unwrap();
        let _gone = stream.write_all(b"answer");
    });
    let with_tls = serve(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        secured.send(brought(&mut stream)).unwrap();
        let _gone = stream.write_all(b"answer");
        stream.conn.send_close_notify();
        let _gone = stream.flush();
    });
    ([plain, with_tls], receiver)
}

/// A proxy that speaks TLS to clients, and to the server as `to_server` has it.
fn relay_to(pki: &Pki, server: SocketAddr, to_server: bool, keys: &str) -> Served {
    let tls = if to_server { pki.upstream_tls("u", "") } else { String::new() };
    let proxy = proxy(keys) + &pki.listener_tls("");
    Served::new(&[&runtime(1), NO_ADMIN, &proxy, &upstream(&[server], ""), &tls].concat())
}

#[test]
fn a_client_that_was_cut_does_not_look_whole_to_the_server() {
    let pki = Pki::new();
    let (servers, told) = tellers(&pki);
    let sent = bytes(3, 300_000);
    for (server, to_server) in servers.into_iter().zip([false, true]) {
        let served = relay_to(&pki, server, to_server, "");
        for is_whole in [true, false] {
            let mut stream = pki.connect(served.address());
            stream.write_all(&sent).unwrap();
            if is_whole {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
            stream.sock.shutdown(Shutdown::Write).unwrap();
            let (all, ended) = told.recv_timeout(PATIENCE).unwrap();
            assert!(all == sent, "{to_server} {is_whole}: {} bytes", all.len());
            let cut = if to_server { CUT_TLS } else { CUT_PLAIN };
            assert_eq!(ended, cut.filter(|_| !is_whole), "{to_server}");
            if is_whole || to_server {
                // Half of the connection still goes on.
                assert_eq!(brought(&mut stream), (b"answer".to_vec(), None), "{to_server}");
            }
        }
        wait_until("both have ended", || served.sum(|cell| cell.active.get()) == 0);
    }
}

#[test]
fn a_server_that_was_cut_does_not_look_whole_to_the_client() {
    let pki = Pki::new();
    let config = pki.server("server");
    let sent = bytes(4, 300_000);
    let server = |is_whole: bool| {
        let (config, sent) = (Arc::clone(&config), sent.clone());
        serve(move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            stream.write_all(&sent).unwrap();
            if is_whole {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            }
            stream.sock.shutdown(Shutdown::Write).unwrap();
            let _rest = stream.sock.read_to_end(&mut Vec::new());
        })
    };
    for is_whole in [true, false] {
        let served = relay_to(&pki, server(is_whole), true, "");
        let mut stream = pki.connect(served.address());
        stream.flush().unwrap();
        assert!(brought(&mut stream) == (sent.clone(), CUT_TLS.filter(|_| !is_whole)));
        let tls = pki.upstream_tls("u", "");
        let to = upstream(&[server(is_whole)], "");
        let served = Served::new(&[&runtime(1), NO_ADMIN, &proxy(""), &to, &tls].concat());
        let mut stream = served.connect();
        assert!(brought(&mut stream) == (sent.clone(), CUT_PLAIN.filter(|_| !is_whole)));
        drop(stream);
        wait_until("it has ended", || served.sum(|cell| cell.active.get()) == 0);
        assert_eq!(served.closed(CloseReason::UpstreamReset), u64::from(!is_whole));
    }
}

#[test]
fn what_a_time_limit_ends_is_cut_on_both_sides() {
    let pki = Pki::new();
    let (servers, told) = tellers(&pki);
    let timeout = "idle_timeout = \"300ms\"";
    let shutdown = runtime(1).replace("\"20s\"", "\"300ms\"");
    for (server, to_server) in servers.into_iter().zip([false, true]) {
        let to = upstream(&[server], "")
            + &if to_server { pki.upstream_tls("u", "") } else { "".into() };
        for keys in [timeout, ""] {
            for from_tls in [false, true] {
                let tls = if from_tls { pki.listener_tls("") } else { String::new() };
                let text = [&*shutdown, NO_ADMIN, &proxy(keys), &tls, &to].concat();
                let served = Served::new(&text);
                let socket = served.connect();
                let mut plain = socket.try_clone().unwrap();
                let mut secured = secure(&pki.client(), "localhost", socket);
                let what = format!("{keys} {from_tls} {to_server}");
                if from_tls {
                    secured.write_all(b"hello").unwrap();
                } else {
                    plain.write_all(b"hello").unwrap();
                }
                wait_until("it is passed on", || {
                    served.sum(|cell| cell.stats.listeners.get(0).received.get()) == 5
                });
                if keys.is_empty() {
                    served.drain();
                }
                let heard = told.recv_timeout(PATIENCE).unwrap();
                assert_eq!(heard, (b"hello".to_vec(), CUT_PLAIN), "{what}");
                let ended = if from_tls { brought(&mut secured) } else { brought(&mut plain) };
                // A reset is one with TLS as well.
                assert_eq!(ended, (Vec::new(), CUT_PLAIN), "{what}");
            }
        }
    }
}

#[test]
fn a_client_that_sends_and_closes_at_once_loses_nothing() {
    let pki = Pki::new();
    let (servers, told) = tellers(&pki);
    // The first server refuses, so that the client may have closed before there is another.
    let gone = nobody();
    let sent = bytes(5, 200_000);
    for tickets in ["", "tickets = 8", "tickets = \"off\""] {
        let tls = pki.listener_tls(tickets);
        let to = upstream(&[gone, servers[0]], "");
        let served = Served::new(&[&runtime(1), NO_ADMIN, &proxy(""), &tls, &to].concat());
        for round in 0..20 {
            for version in [&version::TLS12, &version::TLS13] {
                let client = client_of(&pki, version);
                let mut stream = StreamOwned::new(client, served.connect());
                stream.write_all(&sent).unwrap();
                if round % 2 == 0 {
                    stream.conn.send_close_notify();
                    stream.flush().unwrap();
                }
                drop(stream);
                let (all, ended) = told.recv_timeout(PATIENCE).unwrap();
                assert!(all == sent, "{tickets} {round} {version:?}: {} bytes", all.len());
                assert_eq!(ended, CUT_PLAIN.filter(|_| round % 2 == 1), "{tickets} {round}");
            }
        }
    }
}
