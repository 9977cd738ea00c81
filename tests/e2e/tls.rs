//! TLS on real sockets, with rustls' own buffered connections as the foreign peers.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use ringway::net::tls::{Certificate, Fault};
use ringway::server::StartOptions;
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
    assert_eq!(served.sum(|cell| cell.stats.listeners.get(0).tls.done[1].get()), 1);
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
fn a_client_that_speaks_http_1_0_only_says_so_by_alpn() {
    let pki = Pki::new();
    let web = listener("web", "protocol = \"http\"\n[[listener.route]]\nrespond = \"hello\"\n")
        + &pki.listener_tls("");
    let files = pki.listener_tls("").replace("listener.tls", "admin.tls");
    let admin = format!("[admin]\nlisten = \"127.0.0.1:0\"\n{files}");
    let served = Served::new(&[&runtime(1), &*admin, &web].concat());
    let ask = |address, protocols: &[&str]| {
        let mut config = ClientConfig::clone(&pki.client());
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut stream = secure(&Arc::new(config), "localhost", connect(address));
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.contains(" 200 "), "{answer}");
        std::io::Result::Ok(stream.conn.alpn_protocol().map(<[u8]>::to_vec))
    };
    for address in [served.address(), served.running().admin().unwrap()] {
        let agreed = |protocols: &[&str]| ask(address, protocols).unwrap();
        assert_eq!(agreed(&[]), None);
        assert_eq!(agreed(&["http/1.0"]).as_deref(), Some(&b"http/1.0"[..]));
        assert_eq!(agreed(&["http/1.0", "http/1.1"]).as_deref(), Some(&b"http/1.1"[..]));
        assert!(ask(address, &["spdy/3"]).is_err());
    }
}

#[test]
fn a_slow_client_that_has_said_all_gets_all_and_the_end() {
    let pki = Pki::new();
    let files = Folder::new();
    let large = "0123456789abcdef".repeat(500_000);
    files.file("large", &large);
    let folder = files.path().display();
    let routes = format!("protocol = \"http\"\n[[listener.route]]\nfiles = \"{folder}\"\n");
    let web = listener("web", &routes) + &pki.listener_tls("");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &web].concat());
    for shuts in [false, true] {
        let mut stream = pki.connect(served.address());
        write!(stream, "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        if shuts {
            stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut all = Vec::new();
        let mut part = [0; 777];
        while let count @ 1.. = stream.read(&mut part).expect("it ends with close_notify") {
            all.extend_from_slice(&part[..count]);
        }
        assert!(all.ends_with(large.as_bytes()), "{shuts}: {} bytes", all.len());
    }
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
    assert_eq!(served.sum(|cell| cell.stats.listeners.get(0).tls.failed[plain].get()), 1);
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
fn who_is_denied_costs_no_handshake_and_holds_no_place_of_others() {
    let pki = Pki::new();
    let few = pki.listener_tls("handshakes_max = 2");
    let many = pki.listener_tls("");
    let http = |name: &str, keys: &str, tls: &str| {
        let keys = format!("protocol = \"http\"\n{keys}[[listener.route]]\nrespond = \"x\"\n");
        listener(name, &keys) + tls
    };
    let text = [
        &runtime(1),
        NO_ADMIN,
        &http("open", "", &few),
        &http("denied", "deny = [\"127.0.0.0/8\"]\n", &many),
        &http("limited", "source_connections_max = 3\n", &many),
        &http("busy", "", &many),
    ];
    let served = Served::new(&text.concat());
    let address = |name: &str| served.running().address(name).unwrap().ip().unwrap();
    // Without a byte of a handshake.
    for _ in 0..5 {
        assert!(matches!(connect(address("denied")).read(&mut [0]), Ok(0) | Err(_)));
    }
    let idle: Vec<_> = (0..3).map(|_| connect(address("limited"))).collect();
    assert!(matches!(connect(address("limited")).read(&mut [0]), Ok(0) | Err(_)));
    let active = || served.sum(|cell| cell.active.get());
    drop(idle);
    wait_until("they have gone", || active() == 0);
    // What fails in its handshake no longer counts.
    let mut stream = pki.connect(address("limited"));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let _busy: Vec<_> = (0..10).map(|_| connect(address("busy"))).collect();
    wait_until("they are within their handshakes", || active() == 11);
    let mut stream = pki.connect(address("open"));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    for (listener, reason, count) in [
        (0, CloseReason::TooManyHandshakes, 0),
        (1, CloseReason::Denied, 5),
        (2, CloseReason::TooManyOfSource, 1),
    ] {
        let closed =
            served.sum(|cell| cell.stats.listeners.get(listener).closed[reason.index()].get());
        assert_eq!(closed, count, "{reason:?}");
    }
}

#[test]
fn a_client_that_reads_steadily_by_tls_is_not_cut() {
    let pki = Pki::new();
    let folder = Folder::new();
    let file = std::fs::File::create(folder.path().join("large")).unwrap();
    file.set_len(32 << 20).unwrap();
    let keys = format!(
        "protocol = \"http\"\nwrite_timeout = \"3s\"\n[[listener.route]]\nfiles = \"{}\"\n",
        folder.path().display()
    );
    let tls = pki.listener_tls("");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &listener("web", &keys), &tls].concat());
    let socket = connect(served.address());
    // Room for what comes is told again when a part of this is free.
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::RcvBuf, &65_536).unwrap();
    let mut stream = secure(&pki.client(), "localhost", socket);
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut part = [0; 512];
    for _ in 0..650 {
        std::thread::park_timeout(std::time::Duration::from_millis(10));
        stream.read_exact(&mut part).unwrap();
    }
    assert_eq!(served.closed(CloseReason::SlowReader), 0);
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
fn the_admin_interface_speaks_tls_and_asks_for_certificates() {
    let pki = Pki::new();
    let files = |name: &str| {
        let (chain, key) = (pki.path(&format!("{name}.pem")), pki.path(&format!("{name}.key")));
        format!("certificate = \"{}\"\nkey = \"{}\"\n", chain.display(), key.display())
    };
    let auth =
        format!("client_auth = \"required\"\nclient_ca = \"{}\"\n", pki.path("ca.pem").display());
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls("");
    for auth in ["", &auth] {
        let admin =
            format!("[admin]\nlisten = \"127.0.0.1:0\"\n[admin.tls]\n{}{auth}", files("server"));
        let served = Served::new(&[&runtime(1), &admin, &*echo].concat());
        let address = served.running().admin().unwrap();
        let plain = crate::admin::get(address, "GET /healthz");
        assert!(plain.starts_with("HTTP/1.1 400") && plain.contains("HTTPS"), "{plain}");
        let ask = |config: &Arc<ClientConfig>| {
            let mut stream = secure(config, "localhost", connect(address));
            let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let mut answer = String::new();
            stream.write_all(request).and_then(|()| stream.read_to_string(&mut answer))?;
            std::io::Result::Ok(answer)
        };
        let without = ask(&pki.client());
        if auth.is_empty() {
            let text = without.unwrap();
            assert!(text.contains("suite=\"TLS_AES_256_GCM_SHA384\"} 0"), "{text}");
            for listener in ["echo", "admin"] {
                let labels = format!(
                    "{{listener=\"{listener}\",certificate=\"{}\"}} ",
                    pki.path("server.pem").display()
                );
                let metric = format!("ringway_tls_certificate_not_after_seconds{labels}");
                assert!(text.lines().any(|line| line.starts_with(&metric)), "{metric}{text}");
            }
        } else {
            let error = without.unwrap_err();
            assert!(error.to_string().contains("CertificateRequired"), "{error}");
            pki.write("operator", &["operator.example"]);
            assert!(ask(&pki.client_with("operator")).unwrap().contains("ringway_build_info"));
        }
    }
}

#[test]
fn routes_servers_and_logs_are_told_who_a_client_is() {
    let pki = Pki::new();
    pki.write("alice", &["a.ops.example"]);
    pki.write("bob", &["b.dev.example"]);
    let log = pki.path("access.log");
    let ca = pki.path("ca.pem").display().to_string();
    let auth = format!("client_auth = \"optional\"\nclient_ca = \"{ca}\"");
    let inner = listener("inner", "protocol = \"http\"\n[[listener.route]]\necho = true\n");
    let inner = Served::new(&[&runtime(1), NO_ADMIN, &*inner].concat());
    let routes = format!(
        "protocol = \"http\"\naccess_log = {{ format = \"json\", path = \"{}\" }}\n\
         [[listener.route]]\nproxy = \"u\"\n\
         [listener.route.client_certificate]\nname = \"DNS:*.ops.example\"\n\
         [listener.route.request_headers]\nset = {{ x-names = \"$tls_client_names\", \
         x-print = \"$tls_client_fingerprint\", x-subject = \"$tls_client_subject\", \
         x-tls = \"$tls_version $tls_cipher\" }}\n\
         [[listener.route]]\nrespond = \"somebody\"\n[listener.route.client_certificate]\n\
         [[listener.route]]\nrespond = \"nobody\"\n",
        log.display()
    );
    let upstream = format!("[upstream.u]\nservers = [\"{}\"]\n", inner.address());
    let web = listener("web", &routes) + &pki.listener_tls(&auth);
    let served = Served::new(&[&runtime(1), NO_ADMIN, &web, &*upstream].concat());
    let mut nobody = pki.connect(served.address());
    assert_eq!(get(&mut nobody, "/").1, b"nobody");
    let mut bob = pki.connect_with(&pki.client_with("bob"), served.address());
    assert_eq!(get(&mut bob, "/").1, b"somebody");
    let config = pki.client_with("alice");
    // The second one resumes, and is the same client still.
    for _ in 0..2 {
        let mut alice = pki.connect_with(&config, served.address());
        // What a client says of itself is not believed.
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Names: DNS:root\r\n\
            Connection: close\r\n\r\n";
        alice.write_all(request.as_bytes()).unwrap();
        let mut told = String::new();
        alice.read_to_string(&mut told).unwrap();
        let told = told.to_lowercase();
        let fields: Vec<&str> = told.lines().filter(|line| line.starts_with("x-")).collect();
        assert!(fields.contains(&"x-names: dns:a.ops.example"), "{told}");
        assert!(!told.contains("dns:root") && told.contains("x-tls: tlsv1.3 tls"), "{told}");
        let print = fields.iter().find_map(|line| line.strip_prefix("x-print: ")).unwrap();
        assert!(print.len() == 64 && print.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(told.contains("x-subject: cn="), "{told}");
    }
    assert_eq!(served.sum(|cell| cell.stats.listeners.get(0).tls.resumed.get()), 1);
    served.drain();
    let lines = std::fs::read_to_string(&log).unwrap();
    assert_eq!(lines.matches("\"tls_client_names\":\"DNS:a.ops.example\"").count(), 2, "{lines}");
    assert_eq!(lines.matches("\"tls_client_fingerprint\"").count(), 3, "{lines}");
    assert_eq!(lines.matches("\"tls_version\":\"TLSv1.3\"").count(), 4, "{lines}");
}

#[test]
fn secrets_are_written_only_where_they_are_asked_for() {
    let pki = Pki::new();
    let log = pki.path("keys.log");
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls("");
    let config = [&runtime(1), NO_ADMIN, &echo].concat();
    for tls_key_log in [None, Some(log.clone())] {
        let is_asked = tls_key_log.is_some();
        let options = StartOptions { tls_key_log, ..StartOptions::default() };
        let served = Served::with_options(&config, options);
        let mut stream = pki.connect(served.address());
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        assert_eq!(log.exists(), is_asked);
    }
    let text = std::fs::read_to_string(&log).unwrap();
    for label in ["CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_TRAFFIC_SECRET_0 "] {
        let line = text.lines().find_map(|line| line.strip_prefix(label)).unwrap();
        let (random, secret) = line.split_once(' ').unwrap();
        assert_eq!(random.len(), 64);
        assert!(secret.len() >= 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    let mode = std::fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "its owner alone reads it");
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
        // The connection of an answered check ends in order; any other is cut.
        cell.stats.listeners.get(0).closed[CloseReason::Finished.index()].get()
    };
    let sent = |cell: &ringway::session::WorkerCell| cell.stats.listeners.get(0).sent.get();
    wait_until("checks are answered", || inner.sum(answered) >= 3 && inner.sum(sent) > 0);
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
    assert_eq!(served.sum(|cell| cell.stats.listeners.get(0).tls.resumed.get()), 9);
}

#[test]
fn the_tickets_of_a_listener_can_be_several_or_none() {
    let pki = Pki::new();
    for (keys, each) in [("tickets = 3", 3), ("tickets = \"off\"", 0)] {
        let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls(keys);
        let served = Served::new(&[&runtime(1), NO_ADMIN, &echo].concat());
        for version in [&version::TLS12, &version::TLS13] {
            let provider = Arc::clone(pki.client().crypto_provider());
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pki.ca.as_bytes()).unwrap()).unwrap();
            let builder = ClientConfig::builder_with_provider(provider);
            let builder = builder.with_protocol_versions(&[version]).unwrap();
            let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
            for _ in 0..3 {
                let mut stream = pki.connect_with(&config, served.address());
                stream.write_all(b"x").unwrap();
                stream.read_exact(&mut [0]).unwrap();
                let is_new = *version == version::TLS13;
                assert_eq!(stream.conn.tls13_tickets_received(), if is_new { each } else { 0 });
            }
        }
        let resumed = served.sum(|cell| cell.stats.listeners.get(0).tls.resumed.get());
        assert_eq!(resumed, if each == 0 { 0 } else { 4 }, "{keys}");
    }
}
