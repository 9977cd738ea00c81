//! Files that change while the server runs: each is read again, and one that is broken changes
//! nothing.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::SerialNumber;

use crate::pki::*;
use crate::support::*;

const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

/// Waits until files of an owner were read again as often as is said, with this result.
fn wait_for(served: &Served, owner: &str, files: &str, result: &str, count: u64) {
    let admin = served.running().admin().unwrap();
    let labels = format!("owner=\"{owner}\",files=\"{files}\",result=\"{result}\"");
    let line = format!("ringway_file_reloads_total{{{labels}}} {count}\n");
    wait_until(&line, || crate::admin::get(admin, "GET /metrics").contains(&line));
}

/// Puts a file in the place of another one at once.
fn replace(path: &Path, text: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn issuers_of_clients_and_lists_of_revoked_ones_are_read_again() {
    let (pki, other) = (Pki::new(), Pki::named("another issuer"));
    for (name, serial) in [("alice", 7), ("bob", 8)] {
        pki.write_with(name, &["client.example"], |params| {
            params.serial_number = Some(SerialNumber::from(serial));
        });
    }
    other.write("carol", &["client.example"]);
    let issuers = pki.path("issuers.pem");
    std::fs::write(&issuers, &pki.ca).unwrap();
    let list = pki.revoke(99);
    let keys = format!(
        "client_auth = \"required\"\nclient_ca = \"{}\"\nclient_crl = \"{}\"",
        issuers.display(),
        list.display()
    );
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls(&keys);
    let served = Served::new(&[&runtime(2), ADMIN, &echo].concat());
    let is_accepted = |by: &Pki, name: &str| {
        let mut stream = pki.connect_with(&by.client_trusting(&pki.ca, name), served.address());
        stream.write_all(b"x").and_then(|()| stream.read_exact(&mut [0])).is_ok()
    };
    let assert_accepted = |alice: bool, bob: bool, carol: bool| {
        let found = [(&pki, "alice"), (&pki, "bob"), (&other, "carol")]
            .map(|(by, name)| is_accepted(by, name));
        assert_eq!(found, [alice, bob, carol]);
    };
    assert_accepted(true, true, false);
    // A connection that stands stays.
    let mut stays = pki.connect_with(&pki.client_with("alice"), served.address());
    stays.write_all(b"x").unwrap();
    stays.read_exact(&mut [0]).unwrap();
    assert_eq!(pki.revoke(7), list);
    wait_for(&served, "listener echo", "client_ca", "ok", 1);
    assert_accepted(false, true, false);
    stays.write_all(b"x").unwrap();
    stays.read_exact(&mut [0]).unwrap();
    replace(&list, b"-----BEGIN X509 CRL-----\nbroken");
    wait_for(&served, "listener echo", "client_ca", "failed", 1);
    assert_accepted(false, true, false);
    pki.revoke(8);
    replace(&issuers, [&*pki.ca, &*other.ca].concat().as_bytes());
    wait_for(&served, "listener echo", "client_ca", "ok", 2);
    assert_accepted(true, false, true);
}

#[test]
fn issuers_of_servers_are_read_again() {
    let (pki, other) = (Pki::new(), Pki::new());
    let inner = listener("inner", "protocol = \"http\"\n[[listener.route]]\nrespond = \"inner\"\n")
        + &pki.listener_tls("");
    let inner = Served::new(&[&runtime(1), NO_ADMIN, &inner].concat());
    let issuers = pki.path("issuers.pem");
    std::fs::write(&issuers, &other.ca).unwrap();
    let outer = listener("outer", "protocol = \"http\"\n[[listener.route]]\nproxy = \"u\"\n");
    let to = format!(
        "[upstream.u]\nservers = [\"{}\"]\n[upstream.u.tls]\nca = \"{}\"\n",
        inner.address(),
        issuers.display()
    );
    let served = Served::new(&[&runtime(1), ADMIN, &outer, &*to].concat());
    let is_trusted = || ask(served.address(), "").starts_with("HTTP/1.1 200");
    assert!(!is_trusted());
    replace(&issuers, pki.ca.as_bytes());
    wait_for(&served, "upstream u", "ca", "ok", 1);
    wait_until("the server is tried again", is_trusted);
    replace(&issuers, b"-----BEGIN CERTIFICATE-----\nbroken");
    wait_for(&served, "upstream u", "ca", "failed", 1);
    assert!(is_trusted());
}

/// The answer to a request on a connection of its own.
fn ask(address: SocketAddr, fields: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn users_and_certificates_are_read_again() {
    let (pki, folder) = (Pki::new(), Folder::new());
    let hash = |password: &str| bcrypt::hash(password, 4).unwrap();
    let users = folder.file("users", &format!("ann:{}\n", hash("a")));
    let route = format!(
        "protocol = \"http\"\n[[listener.route]]\nrespond = \"in\"\n\
         [listener.route.auth]\nusers_file = \"{}\"\n",
        users.display()
    );
    let web = listener("web", &route);
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls("");
    let served = Served::new(&[&runtime(2), ADMIN, &web, &*echo].concat());
    let address = |name: &str| served.running().address(name).unwrap().ip().unwrap();
    let may = |credentials: &str| {
        let basic = STANDARD.encode(credentials);
        let answer = ask(address("web"), &format!("Authorization: Basic {basic}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 401"));
        answer.starts_with("HTTP/1.1 200")
    };
    let shown = || {
        let mut stream = pki.connect(address("echo"));
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    };
    let before = shown();
    assert_eq!([may("ann:a"), may("ann:b"), may("bob:b")], [true, false, false]);
    // A password that was right is remembered, but not beyond its hash.
    replace(&users, format!("ann:{}\nbob:{}\n", hash("b"), hash("b")).as_bytes());
    pki.write("server", &["localhost"]);
    wait_for(&served, "listener web", "users", "ok", 1);
    wait_for(&served, "listener echo", "certificates", "ok", 1);
    assert_eq!([may("ann:a"), may("ann:b"), may("bob:b")], [false, true, true]);
    let after = shown();
    assert_ne!(before, after);
    replace(&users, b"ann:secret\n");
    std::fs::remove_file(pki.path("server.key")).unwrap();
    wait_for(&served, "listener web", "users", "failed", 1);
    wait_for(&served, "listener echo", "certificates", "failed", 1);
    assert_eq!([may("ann:a"), may("ann:b"), may("bob:b")], [false, true, true]);
    assert_eq!(shown(), after);
}
