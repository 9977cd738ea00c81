//! The verb `connect` by TLS and HTTP, against our own server and foreign ones.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use ringway::net::tls::Certificate;
use ringway::proto::tls::Pin;
use rustls::{ServerConnection, StreamOwned};

use crate::pki::*;
use crate::support::*;

fn good(args: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run_connect(args, input);
    assert!(output.status.success(), "{args:?}: {}", errors(&output));
    assert_eq!(errors(&output), "", "{args:?}");
    output.stdout
}

/// Fails with this status, and says this.
fn bad(args: &[&str], status: i32, part: &str) {
    let output = run_connect(args, b"");
    assert!(errors(&output).contains(part), "{args:?}: {}", errors(&output));
    assert_eq!(output.status.code(), Some(status), "{args:?}");
}

/// A server that has all services by TLS: their addresses by name.
fn services(pki: &Pki) -> Served {
    let tls = pki.listener_tls("");
    let all = [
        listener("echo", "protocol = \"echo\"") + &tls,
        listener("messages", "protocol = \"messages\"") + &tls,
        listener("frames", "protocol = \"frame\"\nvalues = { motd = \"hello\" }") + &tls,
        listener("web", "protocol = \"http\"\n[[listener.route]]\npath = \"/\"\nrespond = \"hi\"")
            + &tls,
    ];
    Served::new(&[&runtime(1), NO_ADMIN, &*all.concat()].concat())
}

fn port(served: &Served, name: &str) -> u16 {
    served.running().address(name).unwrap().ip().unwrap().port()
}

#[test]
fn every_scheme_goes_by_tls() {
    let pki = Pki::new();
    let served = services(&pki);
    let ca = pki.path("ca.pem").display().to_string();
    let url = |scheme: &str, name: &str| format!("{scheme}://localhost:{}", port(&served, name));
    let with =
        |url: &str, more: &[&str]| -> Vec<u8> { good(&[&[url, "--ca", &ca], more].concat(), b"") };
    let sent = bytes(9, 3_000_000);
    assert!(good(&[&url("tls", "echo"), "--ca", &ca], &sent) == sent);
    assert_eq!(with(&url("messages+tls", "messages"), &["echo", "hello"]), b"hello");
    assert_eq!(with(&url("frame+tls", "frames"), &["get", "motd"]), b"hello");
    assert_eq!(with(&url("frame+tls", "frames"), &["echo", "hello"]), b"hello\n");
    let pinged = with(&url("frame+tls", "frames"), &["ping", "-c", "2", "-i", "1ms"]);
    assert!(String::from_utf8_lossy(&pinged).contains("2 sent, 2 received"));
    assert_eq!(with(&url("https", "web"), &[]), b"hi");
    bad(&[&(url("https", "web") + "/nothing"), "--ca", &ca], 1, "status 404 Not Found");
    let told = run_connect(&[&url("https", "web"), "--ca", &ca, "-v", "--tls-min", "1.3"], b"");
    assert!(errors(&told).contains("* TLSv1.3 ") && errors(&told).contains("< HTTP/2 200 OK"));
    let key_log = pki.path("client-keys.log");
    let shown = key_log.display().to_string();
    assert_eq!(with(&url("https", "web"), &["--tls-key-log", &shown]), b"hi");
    assert!(std::fs::read_to_string(&key_log).unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
}

#[test]
fn wrong_servers_are_refused_by_what_is_wrong_with_them() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let served = services(&pki);
    let url = format!("https://localhost:{}/", port(&served, "web"));
    let ca = pki.path("ca.pem").display().to_string();
    let other = stranger.path("ca.pem").display().to_string();
    let read = |name: &str| std::fs::read(pki.path(name)).unwrap();
    let certificate = Certificate::from_pem(&read("server.pem"), &read("server.key"), None);
    let summary = certificate.unwrap().summary().clone();
    let right = Pin::Key(summary.key_fingerprint).to_string();
    let exact = Pin::Certificate(summary.fingerprint).to_string();
    let wrong = format!("spki:{}", "00".repeat(32));
    for (args, expected) in [
        (&["--ca", &*other][..], "nobody who is trusted"),
        (&["--ca", &*ca, "--server-name", "other.example"], "for other names"),
        (&["--ca", &*ca, "--pin", &*wrong], &*right),
        (&["--insecure", "--pin", &*wrong], &*exact),
        (&["--ca", "/nonexistent"], "No such file"),
        (&["--ca", &*ca, "--server-name", "a b"], "no host name"),
    ] {
        bad(&[&[&*url], args].concat(), 1, expected);
    }
    for args in [
        &["--ca", &*ca, "--pin", &*wrong, "--pin", &*right][..],
        &["--insecure", "--pin", &*exact],
        &["--ca", &*ca, "--server-name", "127.0.0.1"],
    ] {
        assert_eq!(good(&[&[&*url], args].concat(), b""), b"hi");
    }
    let warned = run_connect(&[&url, "--insecure"], b"");
    assert!(warned.status.success() && errors(&warned).contains("not verified"));
    let tcp = format!("tcp://{}", served.address());
    bad(&[&tcp, "--insecure"], 2, "the switches of TLS are for");
    bad(&[&url, "--pin", "md5:00"], 2, "pin");
    bad(&[&url, "--cert", &ca], 2, "--key");
    // Who speaks no TLS there.
    let plain = format!("tls://{}", echo_server());
    bad(&[&plain, "--insecure"], 1, "TLS with");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("tls://{}", silent.local_addr().unwrap());
    bad(&[&silent, "--insecure", "--timeout", "300ms"], 1, "not done within 300ms");
}

#[test]
fn a_client_shows_its_certificate_where_it_is_asked_for() {
    let pki = Pki::new();
    pki.write("client", &["client.example"]);
    let path = |name: &str| pki.path(name).display().to_string();
    let (ca, cert, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let auth = format!("client_auth = \"required\"\nclient_ca = \"{ca}\"");
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls(&auth);
    let served = Served::new(&[&runtime(1), NO_ADMIN, &echo].concat());
    let url = format!("tls://localhost:{}", port(&served, "echo"));
    let shown = ["--ca", &*ca, "--cert", &*cert, "--key", &*key];
    assert_eq!(good(&[&[&*url], &shown[..]].concat(), b"hello"), b"hello");
    bad(&[&url, "--ca", &ca], 1, "CertificateRequired");
}

/// A foreign server that says something, and then ends the connection, with a word or without.
fn abrupt(pki: &Pki, says: &'static [u8], with_word: bool) -> SocketAddr {
    let config = pki.server("server");
    serve(move |stream| {
        let connection = ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let _request = stream.read(&mut [0; 4096]);
        let _gone = stream.write_all(says);
        if with_word {
            stream.conn.send_close_notify();
            let _gone = stream.flush();
        }
        let _gone = stream.sock.shutdown(std::net::Shutdown::Write);
        let _end = stream.sock.read(&mut [0; 4096]);
    })
}

#[test]
fn what_is_cut_is_told_after_all_that_came() {
    let pki = Pki::new();
    let ca = pki.path("ca.pem").display().to_string();
    let ask = |says, with_word, scheme: &str| {
        let address = abrupt(&pki, says, with_word);
        run_connect(&[&format!("{scheme}://{address}"), "--ca", &ca], b"hello\n")
    };
    for (says, scheme) in [
        (&b"some bytes"[..], "tls"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nsome bytes", "https"),
    ] {
        let whole = ask(says, true, scheme);
        assert!(whole.status.success(), "{}", errors(&whole));
        assert_eq!(whole.stdout, b"some bytes");
        let cut = ask(says, false, scheme);
        assert_eq!(cut.status.code(), Some(1));
        assert!(errors(&cut).contains("cut the connection"), "{}", errors(&cut));
        assert_eq!(cut.stdout, b"some bytes");
    }
    // Where the length is known, nobody needs the word.
    let known = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome", false, "https");
    assert!(known.status.success(), "{}", errors(&known));
    let short = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", true, "https");
    assert_eq!(short.status.code(), Some(1));
}

#[test]
fn plain_http_is_got_in_any_form() {
    let answers: [(&'static [u8], &[u8]); 3] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nhello", b"hello"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            b"hello",
        ),
    ];
    for (answer, body) in answers {
        let address = serve(move |mut stream| {
            let _request = stream.read(&mut [0; 4096]);
            let _gone = stream.write_all(answer);
        });
        assert_eq!(good(&[&format!("http://{address}/a?b")], b""), body);
    }
    let nonsense = serve(|mut stream| {
        let _gone = stream.write_all(b"220 smtp ready\r\n\r\n");
        let _end = stream.read(&mut [0; 4096]);
    });
    bad(&[&format!("http://{nonsense}/")], 1, "no HTTP/1.1");
}
