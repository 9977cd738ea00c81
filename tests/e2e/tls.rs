//! TLS on real sockets, with rustls' own buffered connections as the foreign peers.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use ringway::net::tls::{Certificate, Fault};
use ringway::service::CloseReason;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version};

use crate::pki::*;
use crate::support::*;

#[test]
fn what_is_echoed_over_tls_comes_back_whole() {
    let pki = Pki::new();
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls("");
    let served = Served::new(&[&runtime(2), NO_ADMIN, &echo].concat());
    let mut stream = pki.connect(served.address());
    let text: Vec<u8> = (0..2_000_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let mut back = Vec::new();
    for part in text.chunks(100_000) {
        stream.write_all(part).unwrap();
        let start = back.len();
        back.resize(start + part.len(), 0);
        stream.read_exact(&mut back[start..]).unwrap();
    }
    assert_eq!(back, text);
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the end is said");
    assert_eq!(served.sum(|cell| cell.stats.listeners[0].tls.done[1].get()), 1);
}

#[test]
fn files_and_answers_go_by_https_on_kept_connections() {
    let pki = Pki::new();
    let files = Folder::new();
    let large = "0123456789abcdef".repeat(100_000);
    files.file("large", &large);
    files.file("small", "small");
    let routes = format!(
        "protocol = \"http\"\n[[listener.route]]\npath = \"/fixed\"\nrespond = \"hello\"\n\
         [[listener.route]]\nfiles = \"{}\"\n",
        files.path().display()
    );
    let web = listener("web", &routes) + &pki.listener_tls("");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &web].concat());
    let mut stream = pki.connect(served.address());
    for _ in 0..3 {
        assert_eq!(get(&mut stream, "/fixed").1, b"hello");
        assert_eq!(get(&mut stream, "/small").1, b"small");
        assert!(get(&mut stream, "/large").1 == large.as_bytes());
    }
    let mut last = pki.connect(served.address());
    write!(last, "GET /fixed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut all = String::new();
    last.read_to_string(&mut all).expect("it ends with close_notify");
    assert!(all.ends_with("hello"), "{all}");
}

#[test]
fn http_without_tls_is_told_so_in_clear_text() {
    let pki = Pki::new();
    let web = listener("web", "protocol = \"http\"\n[[listener.route]]\nrespond = \"hello\"\n");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &web, &pki.listener_tls("")].concat());
    let mut stream = connect(served.address());
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    let plain = Fault::PlainHttp.index();
    assert_eq!(served.sum(|cell| cell.stats.listeners[0].tls.failed[plain].get()), 1);
}

#[test]
fn a_handshake_that_stops_ends_in_time_and_many_are_refused() {
    let pki = Pki::new();
    let keys = "handshake_timeout = \"300ms\"\nhandshakes_max = 3";
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls(keys);
    let served = Served::new(&[&runtime(1), NO_ADMIN, &echo].concat());
    let mut silent: Vec<_> = (0..10).map(|_| connect(served.address())).collect();
    for stream in &mut silent {
        let _may_be_closed = stream.write_all(&[0x16, 3, 1]);
    }
    for stream in &mut silent {
        assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)));
    }
    assert_eq!(served.closed(CloseReason::TlsTimeout), 3);
    assert_eq!(served.closed(CloseReason::TooManyHandshakes), 7);
    let mut stream = pki.connect(served.address());
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn random_bytes_do_no_harm_to_others() {
    let pki = Pki::new();
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls("");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &echo].concat());
    let mut steady = pki.connect(served.address());
    let mut state = 1_u64;
    for round in 0..200 {
        let mut bytes = vec![0x16, 3, 1, 0, 200];
        for _ in 0..300 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round);
            bytes.push(state.to_be_bytes()[0]);
        }
        let mut stream = connect(served.address());
        let _may_be_closed = stream.write_all(&bytes);
        stream.shutdown(std::net::Shutdown::Write).ok();
        let _answer = stream.read_to_end(&mut Vec::new());
        steady.write_all(b"x").unwrap();
        steady.read_exact(&mut [0]).unwrap();
    }
    wait_until("all are gone", || served.sum(|cell| cell.active.get()) == 1);
    assert_eq!(served.sum(|cell| cell.stats.stale.get()), 0);
}

#[test]
fn a_tcp_proxy_speaks_tls_on_either_side() {
    let pki = Pki::new();
    let server = pki.shouter();
    let upstream = format!("[upstream.u]\nservers = [\"{server}\"]\n");
    for with_client in [false, true] {
        let tls = if with_client { pki.listener_tls("") } else { String::new() };
        let proxy = listener("t", "protocol = \"tcp\"\nupstream = \"u\"") + &tls;
        let config =
            [&runtime(1), NO_ADMIN, &proxy, &*upstream, &pki.upstream_tls("u", "")].concat();
        let served = Served::new(&config);
        let text = "hello, ".repeat(50_000);
        let mut back = vec![0; text.len()];
        if with_client {
            let mut stream = pki.connect(served.address());
            for (part, place) in text.as_bytes().chunks(9_999).zip(back.chunks_mut(9_999)) {
                stream.write_all(part).unwrap();
                stream.read_exact(place).unwrap();
            }
        } else {
            let mut stream = connect(served.address());
            for (part, place) in text.as_bytes().chunks(9_999).zip(back.chunks_mut(9_999)) {
                stream.write_all(part).unwrap();
                stream.read_exact(place).unwrap();
            }
        }
        assert!(back == text.to_uppercase().as_bytes());
    }
}

#[test]
fn a_reverse_proxy_asks_servers_by_tls_and_refuses_wrong_ones() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let inner = listener("inner", "protocol = \"http\"\n[[listener.route]]\nrespond = \"inner\"\n")
        + &pki.listener_tls("");
    let inner = Served::new(&[&runtime(1), NO_ADMIN, &inner].concat());
    let pem = std::fs::read(pki.path("server.pem")).unwrap();
    let key = std::fs::read(pki.path("server.key")).unwrap();
    let summary = Certificate::from_pem(&pem, &key, None).unwrap().summary().clone();
    let right: String = summary.key_fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    let wrong = "00".repeat(32);
    let table = [
        (pki.upstream_tls("u", ""), true),
        (pki.upstream_tls("u", "server_name = \"localhost\""), true),
        (pki.upstream_tls("u", "server_name = \"other.example\""), false),
        (stranger.upstream_tls("u", ""), false),
        (stranger.upstream_tls("u", "verify = false"), true),
        (pki.upstream_tls("u", &format!("pins = [\"spki:{wrong}\", \"spki:{right}\"]")), true),
        (pki.upstream_tls("u", &format!("pins = [\"spki:{wrong}\"]")), false),
        (stranger.upstream_tls("u", &format!("verify = false\npins = [\"spki:{right}\"]")), true),
        (stranger.upstream_tls("u", &format!("verify = false\npins = [\"spki:{wrong}\"]")), false),
    ];
    for (tls, is_good) in table {
        let outer = listener("outer", "protocol = \"http\"\n[[listener.route]]\nproxy = \"u\"\n");
        let upstream = format!("[upstream.u]\nservers = [\"{}\"]\n", inner.address());
        let served = Served::new(&[&runtime(1), NO_ADMIN, &outer, &*upstream, &tls].concat());
        let mut stream = connect(served.address());
        for _ in 0..2 {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut buffer = vec![0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            let answer = String::from_utf8_lossy(&buffer[..count]);
            assert_eq!(answer.starts_with("HTTP/1.1 200"), is_good, "{tls}{answer}");
            assert_eq!(answer.starts_with("HTTP/1.1 502"), !is_good, "{tls}{answer}");
        }
    }
}

#[test]
fn servers_are_told_that_a_client_came_by_tls() {
    let pki = Pki::new();
    let inner = listener("inner", "protocol = \"http\"\n[[listener.route]]\necho = true\n");
    let inner = Served::new(&[&runtime(1), NO_ADMIN, &*inner].concat());
    let outer = listener("outer", "protocol = \"http\"\n[[listener.route]]\nproxy = \"u\"\n")
        + &pki.listener_tls("");
    let upstream = format!("[upstream.u]\nservers = [\"{}\"]\n", inner.address());
    let served = Served::new(&[&runtime(1), NO_ADMIN, &outer, &*upstream].concat());
    let mut stream = pki.connect(served.address());
    let (_, body) = get(&mut stream, "/");
    let head = String::from_utf8(body).unwrap().to_lowercase();
    assert!(head.contains("x-forwarded-proto: https"), "{head}");
    assert!(head.contains(";proto=https"), "{head}");
}

#[test]
fn health_checks_ask_by_tls() {
    let pki = Pki::new();
    let inner = listener("inner", "protocol = \"http\"\n[[listener.route]]\nrespond = \"inner\"\n")
        + &pki.listener_tls("");
    let inner = Served::new(&[&runtime(1), NO_ADMIN, &inner].concat());
    let outer = listener("outer", "protocol = \"http\"\n[[listener.route]]\nproxy = \"u\"\n");
    let upstream = format!("[upstream.u]\nservers = [\"{}\"]\n", inner.address());
    let health = "[upstream.u.health]\nkind = \"http\"\ninterval = \"20ms\"\ntimeout = \"20ms\"\n";
    let tls = pki.upstream_tls("u", "");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &outer, &*upstream, health, &tls].concat());
    let answered = |cell: &ringway::session::WorkerCell| {
        let stats = &cell.stats.listeners[0].http;
        stats.route(Some(0)).map_or(0, |route| route.answers[2].get())
    };
    wait_until("checks are answered", || inner.sum(answered) >= 3);
    drop(served);
}

/// Keeps the answer that is stapled to a certificate.
#[derive(Debug)]
struct Stapled {
    inner: Arc<WebPkiServerVerifier>,
    answer: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.answer.lock().unwrap() = ocsp.to_vec();
        self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[test]
fn an_ocsp_answer_from_a_file_is_stapled_in_either_version() {
    let (pki, folder) = (Pki::new(), Folder::new());
    let answer = folder.path().join("answer.der");
    let text = bytes(4, 700);
    std::fs::write(&answer, &text).unwrap();
    let keys = format!("ocsp = [\"{}\"]", answer.display());
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls(&keys);
    let served = Served::new(&[&runtime(1), NO_ADMIN, &echo].concat());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let stapled =
        Arc::new(Stapled { inner: inner.build().unwrap(), answer: Mutex::new(Vec::new()) });
    for version in [&version::TLS12, &version::TLS13] {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[version]).unwrap().dangerous();
        let verifier = Arc::clone(&stapled) as Arc<dyn ServerCertVerifier>;
        let config = builder.with_custom_certificate_verifier(verifier).with_no_client_auth();
        let mut stream = pki.connect_with(&Arc::new(config), served.address());
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        assert_eq!(std::mem::take(&mut *stapled.answer.lock().unwrap()), text);
    }
}

#[test]
fn sessions_are_resumed_on_every_worker() {
    let pki = Pki::new();
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls("");
    let served = Served::new(&[&runtime(2), NO_ADMIN, &echo].concat());
    let config = pki.client();
    for _ in 0..10 {
        let mut stream = pki.connect_with(&config, served.address());
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(served.sum(|cell| cell.stats.listeners[0].tls.resumed.get()), 9);
}
