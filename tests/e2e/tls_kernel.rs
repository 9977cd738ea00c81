//! TLS that the kernel encrypts. `scripts/vm.sh` runs these on a kernel that can.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use ringway::net::tls::Aead;
use ringway::net::tls::kernel::{Verdict, probe};
use ringway::proto::tls::Version;
use ringway::ring::Direct;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ClientConfig, RootCertStore};

use crate::pki::*;
use crate::support::*;

const SUITES: [CipherSuite; 6] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// A client that knows one cipher suite.
fn client(pki: &Pki, suite: CipherSuite) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca.as_bytes()).unwrap()).unwrap();
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|known| known.suite() == suite);
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn offloaded(served: &Served) -> u64 {
    served.sum(|cell| cell.stats.listeners.get(0).tls.offloaded.get())
}

fn files(pki: &Pki, folder: &Folder) -> Served {
    let routes = format!(
        "protocol = \"http\"\n[[listener.route]]\npath = \"/fixed\"\nrespond = \"hello\"\n\
         [[listener.route]]\nfiles = \"{}\"\n",
        folder.path().display()
    );
    let web = listener("web", &routes) + &pki.listener_tls("");
    Served::new(&[&runtime(1), NO_ADMIN, &web].concat())
}

/// A server that says so many bytes and is done.
fn source(text: Vec<u8>) -> SocketAddr {
    serve(move |mut stream| {
        let _gone = stream.write_all(&text);
    })
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_files_go_out_by_sendfile() {
    let (pki, folder) = (Pki::new(), Folder::new());
    let large = "0123456789abcdef".repeat(200_000);
    folder.file("large", &large);
    folder.file("small", "small");
    let served = files(&pki, &folder);
    for (round, suite) in (1..).zip(SUITES) {
        let mut stream = pki.connect_with(&client(&pki, suite), served.address());
        assert_eq!(get(&mut stream, "/small").1, b"small");
        assert_eq!(offloaded(&served), round - 1, "{suite:?}: small answers need no kernel");
        for _ in 0..2 {
            assert!(get(&mut stream, "/large").1 == large.as_bytes(), "{suite:?}");
            assert_eq!(get(&mut stream, "/fixed").1, b"hello");
        }
        assert_eq!(offloaded(&served), round, "{suite:?}");
        write!(stream, "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).expect("it ends with close_notify");
        assert!(all.ends_with(&large), "{suite:?}");
    }
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_bulk_is_spliced_to_clients() {
    let pki = Pki::new();
    let text = bytes(3, 8_000_000);
    let server = source(text.clone());
    let proxy = listener("t", "protocol = \"tcp\"\nupstream = \"u\"") + &pki.listener_tls("");
    let upstream = format!("[upstream.u]\nservers = [\"{server}\"]\n");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &proxy, &*upstream].concat());
    for suite in SUITES {
        let mut stream = pki.connect_with(&client(&pki, suite), served.address());
        let mut all = Vec::new();
        // A client says nothing until it writes.
        stream.flush().unwrap();
        stream.read_to_end(&mut all).expect("it ends with close_notify");
        assert!(all == text, "{suite:?}: {} bytes", all.len());
    }
    assert_eq!(offloaded(&served), SUITES.len() as u64);
    assert!(served.sum(|cell| cell.stats.relay.spliced.get()) > 0);
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_bulk_is_spliced_to_servers() {
    let pki = Pki::new();
    let server = pki.shouter();
    let proxy = listener("t", "protocol = \"tcp\"\nupstream = \"u\"");
    let upstream = format!("[upstream.u]\nservers = [\"{server}\"]\n");
    let config = [&runtime(1), NO_ADMIN, &proxy, &*upstream, &pki.upstream_tls("u", "")].concat();
    let served = Served::new(&config);
    let text = "abcdefgh".repeat(1_000_000);
    let stream = connect(served.address());
    let back = exchange(stream, text.clone().into_bytes());
    assert!(back == text.to_uppercase().as_bytes(), "{} bytes", back.len());
    assert!(served.sum(|cell| cell.stats.relay.spliced.get()) > 0);
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_a_client_s_new_key_is_answered_by_ours_or_by_the_end() {
    let (pki, folder) = (Pki::new(), Folder::new());
    let large = "0123456789abcdef".repeat(100_000);
    folder.file("large", &large);
    folder.file("small", "small");
    let served = files(&pki, &folder);
    let can_update = probe(&mut Direct).key_update() == Verdict::Works;
    let mut stream = pki.connect(served.address());
    assert!(get(&mut stream, "/large").1 == large.as_bytes());
    assert_eq!(offloaded(&served), 1);
    for _ in 0..5 {
        stream.conn.refresh_traffic_keys().unwrap();
        if can_update {
            assert!(get(&mut stream, "/large").1 == large.as_bytes());
        } else {
            stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert!(matches!(stream.read(&mut [0; 100]), Ok(0) | Err(_)));
            break;
        }
    }
    // One that was wanted before the kernel had a key is answered by us.
    let mut other = pki.connect(served.address());
    assert_eq!(get(&mut other, "/small").1, b"small");
    for _ in 0..3 {
        other.conn.refresh_traffic_keys().unwrap();
        assert!(get(&mut other, "/large").1 == large.as_bytes());
        if !can_update {
            break;
        }
    }
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_a_changed_record_is_refused_by_its_alert() {
    let (pki, folder) = (Pki::new(), Folder::new());
    let large = "0123456789abcdef".repeat(100_000);
    folder.file("large", &large);
    let served = files(&pki, &folder);
    let mut stream = pki.connect(served.address());
    assert!(get(&mut stream, "/large").1 == large.as_bytes());
    stream.conn.writer().write_all(b"GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut wire = Vec::new();
    stream.conn.write_tls(&mut wire).unwrap();
    *wire.last_mut().unwrap() ^= 1;
    stream.sock.write_all(&wire).unwrap();
    let error = stream.read(&mut [0; 100]).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_a_slow_reader_gets_all_and_the_end() {
    let (pki, folder) = (Pki::new(), Folder::new());
    let large = "0123456789abcdef".repeat(500_000);
    folder.file("large", &large);
    let served = files(&pki, &folder);
    let mut stream = pki.connect(served.address());
    write!(stream, "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    wait_until("the kernel encrypts", || offloaded(&served) == 1);
    let mut all = String::new();
    let mut part = [0; 777];
    loop {
        match stream.read(&mut part).expect("it ends with close_notify") {
            0 => break,
            count => all.push_str(std::str::from_utf8(&part[..count]).unwrap()),
        }
        std::thread::yield_now();
    }
    assert!(all.ends_with(&large));
}

/// A relay that asks the kernel to decrypt, too.
fn both_ways(rest: &str) -> Served {
    let runtime = runtime(1) + "kernel_tls = \"both\"\n";
    Served::new(&[&*runtime, NO_ADMIN, rest].concat())
}

fn decrypted(served: &Served) -> u64 {
    served.sum(|cell| cell.stats.listeners.get(0).tls.decrypted.get())
}

/// A server that tells what each connection brought, and whether it ended in order.
fn sink() -> (SocketAddr, Receiver<(Vec<u8>, bool)>) {
    let (sender, received) = channel();
    let address = serve(move |mut stream| {
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all).is_ok();
        let _nobody = sender.send((all, ended));
    });
    (address, received)
}

fn to_sink(pki: &Pki) -> (Served, Receiver<(Vec<u8>, bool)>) {
    let (server, received) = sink();
    let proxy = listener("t", "protocol = \"tcp\"\nupstream = \"u\"") + &pki.listener_tls("");
    (both_ways(&format!("{proxy}[upstream.u]\nservers = [\"{server}\"]\n")), received)
}

fn decrypts(suite: CipherSuite) -> bool {
    let report = probe(&mut Direct).with_receive();
    let name = format!("{suite:?}");
    let version = if name.starts_with("TLS13") { Version::Tls13 } else { Version::Tls12 };
    let aead = match () {
        () if name.contains("AES_128") => Aead::Aes128Gcm,
        () if name.contains("AES_256") => Aead::Aes256Gcm,
        () => Aead::ChaCha20Poly1305,
    };
    report.decrypts(version, aead)
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_bulk_of_clients_is_spliced_to_servers() {
    let pki = Pki::new();
    let (served, received) = to_sink(&pki);
    let text = bytes(5, 8_000_000);
    let mut able = 0;
    for suite in SUITES {
        let mut stream = pki.connect_with(&client(&pki, suite), served.address());
        stream.write_all(&text).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let (all, ended) = received.recv_timeout(PATIENCE).unwrap();
        assert!(all == text && ended, "{suite:?}: {} bytes", all.len());
        able += u64::from(decrypts(suite));
        assert_eq!(decrypted(&served), able, "{suite:?}");
    }
    println!("{able} of {} combinations are decrypted by the kernel", SUITES.len());
    let spliced = served.sum(|cell| cell.stats.relay.spliced.get());
    assert!(spliced >= able * text.len() as u64 / 2, "{spliced}");
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_bulk_is_spliced_from_tls_to_tls_while_keys_change() {
    let pki = Pki::new();
    let server = pki.shouter();
    let proxy = listener("t", "protocol = \"tcp\"\nupstream = \"u\"") + &pki.listener_tls("");
    let upstream = format!("[upstream.u]\nservers = [\"{server}\"]\n");
    let served = both_ways(&(proxy + &upstream + &pki.upstream_tls("u", "")));
    let text = "abcdefgh".repeat(40_000);
    let can_update = probe(&mut Direct).key_update() == Verdict::Works;
    for suite in SUITES {
        let mut stream = pki.connect_with(&client(&pki, suite), served.address());
        for round in 0..12 {
            stream.write_all(text.as_bytes()).unwrap();
            let mut back = vec![0; text.len()];
            stream.read_exact(&mut back).unwrap();
            assert!(back == text.to_uppercase().as_bytes(), "{suite:?}, round {round}");
            let is_new = format!("{suite:?}").starts_with("TLS13");
            if can_update && is_new && round > 3 {
                stream.conn.refresh_traffic_keys().unwrap();
            }
        }
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0, "it ends with close_notify");
    }
    // It may not come to it: where the other direction is just sending, bytes are copied on.
    let able = SUITES.into_iter().filter(|suite| decrypts(*suite)).count() as u64;
    let count = decrypted(&served);
    assert!(count <= able && (count > 0 || able == 0), "{count} of {able}");
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_a_cut_and_a_changed_record_are_no_end() {
    let pki = Pki::new();
    let (served, received) = to_sink(&pki);
    let text = bytes(9, 3_000_000);
    let suite = SUITES[3];
    for is_changed in [false, true] {
        let mut stream = pki.connect_with(&client(&pki, suite), served.address());
        stream.write_all(&text).unwrap();
        let before = decrypted(&served);
        if is_changed {
            stream.conn.writer().write_all(b"the end").unwrap();
            let mut wire = Vec::new();
            stream.conn.write_tls(&mut wire).unwrap();
            *wire.last_mut().unwrap() ^= 1;
            stream.sock.write_all(&wire).unwrap();
            let told = stream.read(&mut [0; 100]);
            println!("a changed record was answered by {told:?}");
            assert!(!matches!(told, Ok(1..)));
        }
        drop(stream);
        let (all, ended) = received.recv_timeout(PATIENCE).unwrap();
        assert!(text.starts_with(&all), "{} bytes", all.len());
        assert!(!ended, "a server must not take it for an end (changed: {is_changed})");
        assert!(decrypted(&served) >= before);
    }
    assert_eq!(decrypted(&served), 2 * u64::from(decrypts(suite)));
}
