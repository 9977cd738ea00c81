//! What is before a session: names that TLS clients ask for, PROXY protocol headers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};

use ringway::net::tls::Fault;
use ringway::service::CloseReason;
use rustls::{ServerConnection, StreamOwned};

use crate::pki::*;
use crate::support::*;
use crate::tls_hostile::{Hello, rest_of};

/// A foreign server that says its name first, and then sends back what comes.
fn named(pki: &Pki, name: &'static str, names: &[&str]) -> SocketAddr {
    pki.write(name, names);
    let config = pki.server(name);
    serve(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let _gone = stream.write_all(&[name.as_bytes(), b"\n"].concat());
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    })
}

fn line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != [b'\n'] {
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// A proxy by name: `a.example` to `a`, `*.b.example` to `b`, others as `rest` has it.
fn by_name(servers: [(&str, SocketAddr); 3], rest: &str) -> String {
    let names = "protocol = \"sni\"\n\
        names = { \"a.example\" = \"a\", \"*.b.example\" = \"b\", \"c.example\" = \"c\" }\n";
    let upstreams: String = servers
        .iter()
        .map(|(name, server)| format!("[upstream.{name}]\nservers = [\"{server}\"]\n"))
        .collect();
    [&runtime(1), NO_ADMIN, &listener("names", &format!("{names}{rest}")), &upstreams].concat()
}

fn failed(served: &Served, fault: Fault) -> u64 {
    served.sum(|cell| cell.stats.listeners.get(0).tls.failed[fault.index()].get())
}

#[test]
fn tls_goes_to_the_server_of_its_name_as_it_is() {
    let pki = Pki::new();
    let servers = [
        ("a", named(&pki, "a", &["a.example"])),
        ("b", named(&pki, "b", &["x.b.example", "Y.b.example"])),
        ("c", named(&pki, "c", &["c.example", "other.example", "127.0.0.1"])),
    ];
    let served = Served::new(&by_name(servers, "upstream = \"c\""));
    let table = [
        ("a.example", "a"),
        ("A.Example", "a"),
        ("x.b.example", "b"),
        ("y.b.example", "b"),
        ("other.example", "c"),
        // An address is no name: the client asks for none.
        ("127.0.0.1", "c"),
    ];
    for (name, expected) in table {
        assert_eq!(line(&mut pki.ask_for(name, served.address())), expected, "{name}");
    }
    // Large enough that the kernel moves it.
    let mut stream = pki.ask_for("x.b.example", served.address());
    assert_eq!(line(&mut stream), "b");
    let sent = bytes(7, 3_000_000);
    let mut back = vec![0; sent.len()];
    for (part, place) in sent.chunks(50_000).zip(back.chunks_mut(50_000)) {
        stream.write_all(part).unwrap();
        stream.read_exact(place).unwrap();
    }
    assert!(back == sent);
}

#[test]
fn an_unknown_name_is_refused_by_its_alert() {
    let pki = Pki::new();
    let servers = ["a", "b", "c"].map(|name| (name, named(&pki, name, &["a.example"])));
    let served = Served::new(&by_name(servers, ""));
    for name in ["b.example", "x.y.b.example", "other.example", "127.0.0.1"] {
        let mut stream = pki.ask_for(name, served.address());
        let error = stream.write_all(b"x").and_then(|()| stream.read(&mut [0])).unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{name}: {error}");
    }
    wait_until("they are counted", || failed(&served, Fault::UnknownName) == 4);

    // The same where TLS ends here and unknown names are refused.
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls("strict_sni = true");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &echo].concat());
    let mut stream = pki.ask_for("other.example", served.address());
    let error = stream.write_all(b"x").and_then(|()| stream.read(&mut [0])).unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    for name in ["localhost", "127.0.0.1"] {
        let mut stream = pki.ask_for(name, served.address());
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(failed(&served, Fault::UnknownName), 1);
}

/// A server that says its name to whoever connects, and ends.
fn caller(name: &'static str) -> SocketAddr {
    serve(move |mut stream| {
        let _gone = stream.write_all(name.as_bytes());
        let _end = stream.shutdown(Shutdown::Write);
        let _rest = stream.read_to_end(&mut Vec::new());
    })
}

#[test]
fn names_that_are_none_are_passed_on_for_the_server_to_judge() {
    let servers = ["a", "b", "c"].map(|name| (name, caller(name)));
    let ask = |served: &Served, hello: &Hello| {
        let mut stream = served.connect();
        stream.write_all(&hello.bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        rest_of(&mut stream)
    };
    let named = |name: &[u8]| Hello::new().with_names(&[name]);
    let table: [(&[u8], &[u8]); 13] = [
        // The dot says that the name is absolute: it is the same host.
        (b"A.example.", b"a"),
        (b"x.b.example.", b"b"),
        (b"x_y.b.example", b"b"),
        (b"other.example.", b"c"),
        (b"x_y.example", b"c"),
        (b".b.example", b"c"),
        (b"a..example", b"c"),
        (b"192.0.2.1", b"c"),
        (b"2001:db8::1", b"c"),
        (b"", b"c"),
        (b"a b", b"c"),
        (b"\xff\0", b"c"),
        (&[b'a'; 300], b"c"),
    ];
    let served = Served::new(&by_name(servers, "upstream = \"c\""));
    for (name, expected) in table {
        assert_eq!(ask(&served, &named(name)), expected, "{}", name.escape_ascii());
    }
    assert_eq!(ask(&served, &Hello::new().with(0, None)), b"c", "no name at all");
    // A list that cannot be read could be read in another way by the server.
    assert_eq!(ask(&served, &Hello::new().with_names(&[b"a.example", b"b"]))[5..], [2, 50]);

    // Without an upstream for them, they are unknown names.
    let served = Served::new(&by_name(servers, ""));
    for (name, _) in table.into_iter().filter(|(_, expected)| *expected == b"c") {
        assert_eq!(ask(&served, &named(name))[5..], [2, 112], "{}", name.escape_ascii());
    }
    assert_eq!(ask(&served, &Hello::new().with(0, None))[5..], [2, 112]);
}

#[test]
fn a_dot_at_the_end_of_a_name_makes_it_no_other() {
    let pki = Pki::new();
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls("strict_sni = true");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &echo].concat());
    let ask = |name: &[u8]| {
        let mut stream = served.connect();
        stream.write_all(&Hello::new().with_names(&[name]).bytes()).unwrap();
        let mut head = [0; 7];
        stream.read_exact(&mut head).unwrap();
        head
    };
    for name in ["localhost", "localhost.", "LocalHost."] {
        assert_eq!(ask(name.as_bytes())[0], 22, "{name}: the server's hello");
    }
    assert_eq!(ask(b"localhost.example."), [21, 3, 3, 0, 2, 2, 112]);
}

#[test]
fn what_is_no_tls_is_told_so_and_counted() {
    let pki = Pki::new();
    let server = pki.shouter();
    let served = Served::new(&by_name(["a", "b", "c"].map(|name| (name, server)), ""));
    let ask = |bytes: &[u8]| {
        let mut stream = served.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _may_be_reset = stream.read_to_end(&mut answer);
        answer
    };
    assert!(ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with(b"HTTP/1.1 400 "));
    assert_eq!(ask(b"SSH-2.0-x\r\n"), b"");
    // A record that is empty: decode_error.
    assert_eq!(ask(&[0x16, 3, 1, 0, 0]), [0x15, 3, 3, 0, 2, 2, 22]);
    // A hello that does not end.
    assert_eq!(ask(&[0x16, 3, 1, 0, 100, 1, 0]), b"");
    let faults = [Fault::PlainHttp, Fault::NotTls, Fault::Protocol, Fault::Truncated];
    wait_until("they are counted", || faults.iter().all(|fault| failed(&served, *fault) == 1));
    wait_until("all are gone", || served.sum(|cell| cell.active.get()) == 0);
}

#[test]
fn a_hello_may_come_byte_by_byte_and_must_come_in_time() {
    let pki = Pki::new();
    let servers = ["a", "b", "c"].map(|name| (name, named(&pki, name, &["a.example"])));
    let served = Served::new(&by_name(servers, "hello_timeout = \"500ms\"\nhellos_max = 3"));
    let socket = connect(served.address());
    socket.set_nodelay(true).unwrap();
    let mut stream = secure(&pki.client(), "a.example", socket);
    let mut hello = Vec::new();
    stream.conn.write_tls(&mut hello).unwrap();
    for byte in hello {
        stream.sock.write_all(&[byte]).unwrap();
    }
    assert_eq!(line(&mut stream), "a");
    let mut silent: Vec<TcpStream> = (0..5).map(|_| served.connect()).collect();
    for stream in &mut silent {
        let _may_be_closed = stream.write_all(&[0x16, 3, 1]);
    }
    for stream in &mut silent {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    wait_until("the first are ended", || served.closed(CloseReason::TlsTimeout) == 3);
    assert_eq!(served.closed(CloseReason::TooManyHandshakes), 2);
    stream.write_all(b"still there\n").unwrap();
    assert_eq!(line(&mut stream), "still there");
}

#[test]
fn a_proxy_header_comes_before_tls_and_goes_before_it() {
    let pki = Pki::new();
    // Ringway tells Ringway by a header in front of TLS, and that one passes TLS on by its name, the
    // header in front, to a third one where it ends.
    let route = "protocol = \"http\"\naccept_proxy_protocol = true\n[[listener.route]]\n\
        respond = \"hello\"\n\
        [listener.route.response_headers]\nset = { x-source = \"$source\" }\n";
    let web = listener("web", route) + &pki.listener_tls("");
    let web = Served::new(&[&runtime(1), NO_ADMIN, &web].concat());
    let names = "protocol = \"sni\"\naccept_proxy_protocol = true\n\
        names = { localhost = \"web\" }\n[upstream.web]\nsend_proxy_protocol = \"v2\"\n";
    let names = listener("names", names) + &format!("servers = [\"{}\"]\n", web.address());
    let names = Served::new(&[&runtime(1), NO_ADMIN, &names].concat());
    for version in ["v1", "v2"] {
        let tcp = "protocol = \"tcp\"\naccept_proxy_protocol = true\nupstream = \"names\"\n";
        let to = format!(
            "[upstream.names]\nservers = [\"{}\"]\nsend_proxy_protocol = \"{version}\"\n",
            names.address()
        );
        let tls = pki.upstream_tls("names", "server_name = \"localhost\"");
        let config = [&runtime(1), NO_ADMIN, &listener("tcp", tcp), &*to, &tls].concat();
        let served = Served::new(&config);
        let mut stream = served.connect();
        stream.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n").unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("x-source: 192.0.2.7\r\n"), "{answer}");
    }
}

#[test]
fn every_service_takes_a_proxy_header_before_tls() {
    let pki = Pki::new();
    let echo = echo_server();
    let upstream = format!("[upstream.u]\nservers = [\"{echo}\"]\n");
    let services = [
        ("protocol = \"echo\"", "", "hello\n", "hello\n"),
        ("protocol = \"tcp\"\nupstream = \"u\"", &*upstream, "hello\n", "hello\n"),
        ("protocol = \"messages\"", "", "{\"type\":\"echo\"}\n", "{\"type\":\"echo\""),
    ];
    for (service, upstream, sent, expected) in services {
        let accept = format!("{service}\naccept_proxy_protocol = true");
        let with_tls = listener("l", &accept) + &pki.listener_tls("");
        let served = Served::new(&[&runtime(1), NO_ADMIN, &with_tls, upstream].concat());
        let mut socket = connect(served.address());
        socket.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").unwrap();
        let mut stream = secure(&pki.client(), "localhost", socket);
        stream.write_all(sent.as_bytes()).unwrap();
        assert!((line(&mut stream) + "\n").starts_with(expected), "{service}");
        // Without a header, nothing is spoken.
        let mut stream = pki.connect(served.address());
        let error = stream.write_all(b"x").and_then(|()| stream.read(&mut [0])).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset));
        wait_until("refused", || served.closed(CloseReason::ProxyHeaderInvalid) == 1);
    }
}

#[test]
fn what_comes_while_a_server_is_connected_to_is_kept_and_bounded() {
    let pki = Pki::new();
    let (sender, receiver) = mpsc::channel();
    // The first server refuses, so that the second is connected to while bytes come already.
    let gone = nobody();
    let server = serve(move |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        sender.send(all).unwrap();
    });
    let tcp = listener("t", "protocol = \"tcp\"\nupstream = \"u\"") + &pki.listener_tls("");
    let to = format!("[upstream.u]\nservers = [\"{gone}\", \"{server}\"]\n");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &tcp, &*to].concat());
    for round in 0..4 {
        let mut stream = pki.connect(served.address());
        let sent = bytes(round, 2_000_000);
        stream.write_all(&sent).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        assert!(receiver.recv_timeout(PATIENCE).unwrap() == sent, "{round}");
    }
}
