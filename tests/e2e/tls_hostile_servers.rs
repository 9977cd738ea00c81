//! Servers that break TLS, or have a wrong certificate, towards our proxies.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::date_time_ymd;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::pki::*;
use crate::support::*;

type Answering = StreamOwned<ServerConnection, TcpStream>;

/// A server that does as `answer` says with each connection, once a request has come.
fn answering(
    config: Arc<ServerConfig>,
    answer: impl Fn(&mut Answering) + Send + Sync + Clone + 'static,
) -> SocketAddr {
    serve(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
            answer(&mut stream);
        }
    })
}

/// What a client gets that asks a proxy of this server, and what the proxy's log says.
fn ask(server: SocketAddr, tls: &str) -> (String, String) {
    let outer = listener("outer", "protocol = \"http\"\n[[listener.route]]\nproxy = \"u\"\n");
    let upstream = upstream(&[server], "connect_timeout = \"3s\"");
    let program = Program::serve(&[&runtime(1), NO_ADMIN, &outer, &upstream, tls].concat());
    let mut stream = connect(program.addresses[0]);
    write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    let mut answer = String::from_utf8_lossy(&answer).into_owned();
    answer += if end.is_err() { "[cut]" } else { "[end]" };
    program.signal(nix::sys::signal::Signal::SIGTERM);
    (answer, program.wait().1)
}

#[test]
fn a_server_with_a_wrong_certificate_is_refused_for_its_own_reason() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    pki.write_with("expired", &["127.0.0.1"], |params| {
        params.not_after = date_time_ymd(2020, 1, 1)
    });
    pki.write_with("early", &["127.0.0.1"], |params| params.not_before = date_time_ymd(2400, 1, 1));
    pki.write("other", &["other.example"]);
    pki.write_with("revoked", &["127.0.0.1"], |params| params.serial_number = Some(77.into()));
    pki.write_alone("alone", "127.0.0.1");
    let crl = pki.revoke(77);
    let crl = format!("crl = \"{}\"", crl.display());
    let table = [
        ("server", "", ""),
        ("server", &*crl, ""),
        ("expired", "", "has expired"),
        ("early", "", "is not valid yet"),
        ("other", "", "is for other names"),
        ("alone", "", "nobody who is trusted has issued"),
        ("revoked", "", ""),
        ("revoked", &*crl, "is revoked"),
    ];
    for (name, keys, why) in table {
        let server = answering(pki.server(name), move |stream| {
            let _gone = stream.write_all(good.as_bytes());
        });
        let (answer, log) = ask(server, &pki.upstream_tls("u", keys));
        let is_refused = answer.contains("HTTP/1.1 502 ") && answer.contains("reason: connect_tls");
        assert_eq!(is_refused, !why.is_empty(), "{name} {keys}: {answer}");
        assert!(log.contains(why), "{name} {keys}: {log}");
    }
    let server = answering(stranger.server("server"), |_| ());
    let (answer, log) = ask(server, &pki.upstream_tls("u", ""));
    assert!(answer.contains("reason: connect_tls"), "{answer}");
    assert!(log.contains("the peer's certificate"), "{log}");
}

#[test]
fn a_server_that_breaks_tls_is_told_by_its_reason() {
    let pki = Pki::new();
    let tls = pki.upstream_tls("u", "");
    let raw = |bytes: &'static [u8]| {
        serve(move |mut stream| {
            let _broken = stream.write_all(bytes);
            let _broken = std::io::copy(&mut stream, &mut std::io::sink());
        })
    };
    let endless = serve(|mut stream| {
        // Part of a record, and never the rest.
        while stream.write_all(&[0x16, 3, 3, 0x40, 0]).is_ok() && stream.read(&mut [0; 999]).is_ok()
        {
            std::thread::park();
        }
    });
    let silent = serve(|mut stream| drop(stream.read(&mut [0; 4096])));
    let table = [
        (raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "502", "connect_tls", "speaks HTTP without TLS"),
        (raw(b"220 smtp.example ESMTP\r\n"), "502", "connect_tls", "is no TLS"),
        (raw(b"\x15\x03\x03\x00\x02\x02\x28"), "502", "connect_tls", "HandshakeFailure"),
        (raw(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"), "502", "connect_tls", "breaks the protocol"),
        (silent, "502", "connect_tls", "ended the connection within the handshake"),
        (endless, "504", "connect_timeout", "timed out"),
    ];
    for (server, status, reason, why) in table {
        let (answer, log) = ask(server, &tls);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{why}: {answer}");
        assert!(answer.contains(&format!("reason: {reason}")), "{why}: {answer}");
        assert!(log.contains(why), "{why}: {log}");
    }
}

#[test]
fn an_answer_that_is_cut_is_not_passed_off_as_whole() {
    let pki = Pki::new();
    let tls = pki.upstream_tls("u", "");
    // By its length, by chunks, and by the end, which then must be said (RFC 9112, section 9.8).
    let heads =
        ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n"];
    for head in heads {
        for is_said in [false, true] {
            let server = answering(pki.server("server"), move |stream| {
                let is_chunked = head.contains("chunked");
                let body = if is_chunked { "5\r\nhello\r\n" } else { "hello" };
                let _gone = write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n{body}");
                if is_said {
                    stream.conn.send_close_notify();
                }
                let _gone = stream.flush();
            });
            let (answer, _) = ask(server, &tls);
            let is_whole = is_said && head.contains("close");
            let is_cut = answer.ends_with("[cut]") || !answer.ends_with("0\r\n\r\n[end]");
            assert_eq!(is_cut, !is_whole, "{head} {is_said}: {answer}");
        }
    }
    let garbage = answering(pki.server("server"), |stream| {
        let _gone = stream.sock.write_all(b"\x17\x03\x03\x00\x20no record that anybody has sealed");
        let _gone = stream.sock.read(&mut [0; 99]);
    });
    let (answer, _) = ask(garbage, &tls);
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("reason: reset_before_head"), "{answer}");
}
