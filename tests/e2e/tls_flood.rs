//! Clients that break TLS once their handshake is done, and those that never end one, by the
//! thousand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringway::service::CloseReason;
use rustls::version;

use crate::forger::Forger;
use crate::pki::*;
use crate::support::*;
use crate::tls_hostile::*;

fn flood(forger: &mut Forger, count: usize, kind: u8, payload: &[u8]) -> Vec<u8> {
    (0..count).flat_map(|_| forger.record(kind, payload)).collect()
}

/// Which versions an attack is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Both,
    Old,
    New,
}

/// What is sent behind a handshake.
type Attack = fn(&mut Forger) -> Vec<u8>;

/// What ends the connection, without the client's having to.
const ATTACKS: [(&str, On, Attack); 32] = [
    ("a fatal alert", On::Both, |on| on.record(ALERT, &[2, 40])),
    ("warnings", On::Both, |on| flood(on, 1_000, ALERT, &[1, 90])),
    ("other warnings", On::Both, |on| flood(on, 1_000, ALERT, &[1, 41])),
    ("an alert of an unknown level", On::Both, |on| on.record(ALERT, &[9, 40])),
    ("an alert of one byte", On::Both, |on| on.record(ALERT, &[1])),
    ("an alert of three bytes", On::Both, |on| on.record(ALERT, &[2, 40, 0])),
    ("an alert of no byte", On::Both, |on| on.record(ALERT, &[])),
    ("empty records of data", On::Both, |on| flood(on, 1_000, DATA, &[])),
    ("empty records of messages", On::Both, |on| flood(on, 1_000, HANDSHAKE, &[])),
    ("a type that is unknown", On::Both, |on| on.record(99, b"hello")),
    ("nothing but padding", On::New, |on| on.record(0, &[0; 99])),
    ("a change of keys", On::Both, |on| on.record(CHANGE_CIPHER_SPEC, &[1])),
    ("changes of keys in clear text", On::Both, |_| record(CHANGE_CIPHER_SPEC, &[1]).repeat(99)),
    ("data in clear text", On::Both, |_| record(DATA, b"hello")),
    ("a hello in clear text", On::Both, |_| Hello::new().bytes()),
    ("a payload of 2^14 + 1 bytes", On::Both, |on| on.record(DATA, &[0; 16_385])),
    ("a record that is left out", On::Both, |on| {
        on.record(DATA, b"one");
        on.record(DATA, b"two")
    }),
    ("a record twice", On::Both, |on| on.record(DATA, b"hello").repeat(2)),
    ("two records in the wrong order", On::Both, |on| {
        let first = on.record(DATA, b"one");
        [on.record(DATA, b"two"), first].concat()
    }),
    ("data within a message", On::Both, |on| {
        let parts = [on.record(DATA, b"x"), on.record(HANDSHAKE, &[24, 0]), on.record(DATA, b"x")];
        parts.concat()
    }),
    ("a message in very many records", On::Both, |on| {
        let first = on.record(HANDSHAKE, &[20, 0, 0xff, 0xff]);
        [first, flood(on, 20_000, HANDSHAKE, &[0])].concat()
    }),
    ("a message of 16 MiB", On::Both, |on| on.record(HANDSHAKE, &[20, 0xff, 0xff, 0xff, 0])),
    ("a key update that is none", On::New, |on| on.record(HANDSHAKE, &[24, 0, 0, 1, 7])),
    ("a key update of two bytes", On::New, |on| on.record(HANDSHAKE, &[24, 0, 0, 2, 0, 0])),
    ("two key updates at once", On::New, |on| on.record(HANDSHAKE, &[24, 0, 0, 1, 1].repeat(2))),
    ("a key update in TLS 1.2", On::Old, |on| on.record(HANDSHAKE, &[24, 0, 0, 1, 0])),
    ("tickets", On::Both, |on| {
        let ticket = [&[4, 0, 0, 19, 0, 0, 9, 9, 1, 1, 1, 1, 1, 7, 0, 3][..], &[5; 7]].concat();
        flood(on, 1_000, HANDSHAKE, &ticket)
    }),
    ("a certificate that nobody asked for", On::Both, |on| {
        on.record(HANDSHAKE, &[11, 0, 0, 4, 0, 0, 0, 0])
    }),
    ("a request for a certificate", On::Both, |on| on.record(HANDSHAKE, &[13, 0, 0, 3, 0, 0, 0])),
    ("a retry of a hello", On::Both, |on| on.record(HANDSHAKE, &[2, 0, 0, 4, 3, 3, 0, 0])),
    ("hellos by which to renegotiate", On::Both, |on| {
        let hello = &Hello::new().bytes()[5..];
        flood(on, 1_000, HANDSHAKE, hello)
    }),
    ("requests to renegotiate", On::Both, |on| flood(on, 99, HANDSHAKE, &[0, 0, 0, 0])),
];

#[test]
fn what_breaks_tls_behind_the_handshake_ends_the_connection() {
    let mut besieged = Besieged::new("");
    for (what, on, attack) in ATTACKS {
        for is_old in [false, true] {
            if on == On::Both || (on == On::Old) == is_old {
                let (mut stream, mut forger) = forged(&besieged.pki, besieged.address(), is_old);
                let before = besieged.served.closed(CloseReason::TlsFailed);
                let _may_be_closed = stream.write_all(&attack(&mut forger));
                // It is the server that ends it.
                rest_of(&mut stream);
                let is_counted = || besieged.served.closed(CloseReason::TlsFailed) == before + 1;
                wait_until(what, is_counted);
                besieged.assert_serves();
            }
        }
    }
    besieged.assert_unharmed();
}

#[test]
fn key_updates_are_taken_beside_data_and_a_flood_of_them_is_not() {
    let besieged = Besieged::new("");
    let (mut stream, mut client) =
        (connect(besieged.address()), client_of(&besieged.pki, &version::TLS13));
    let mut stream = rustls::Stream::new(&mut client, &mut stream);
    stream.flush().unwrap();
    for _ in 0..100 {
        stream.conn.refresh_traffic_keys().unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    for _ in 0..1_000 {
        stream.conn.refresh_traffic_keys().unwrap();
        if stream.flush().is_err() {
            break;
        }
    }
    assert!(stream.read(&mut [0]).is_err(), "it is no orderly end");
    wait_until("it is counted", || besieged.served.closed(CloseReason::TlsFailed) == 1);
    besieged.assert_unharmed();
}

#[test]
fn one_attempt_to_renegotiate_is_declined_and_the_connection_goes_on() {
    let besieged = Besieged::new("");
    let (mut stream, mut forger) = forged(&besieged.pki, besieged.address(), true);
    let hello = Hello::new().bytes();
    stream.write_all(&forger.record(HANDSHAKE, &hello[5..])).unwrap();
    let mut head = [0; 5];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0], ALERT);
    stream.read_exact(&mut vec![0; usize::from(head[4])]).unwrap();
    stream.write_all(&forger.record(DATA, b"hello")).unwrap();
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0], DATA);
    drop(stream);
    besieged.assert_unharmed();
}

/// A server that takes all and says nothing, ever.
fn silent() -> SocketAddr {
    serve(|mut stream| {
        let _broken = std::io::copy(&mut stream, &mut std::io::sink());
        std::thread::park();
    })
}

#[test]
fn what_follows_the_end_is_not_kept() {
    let pki = Pki::new();
    let proxy = proxy("") + &pki.listener_tls("");
    let to = upstream(&[silent()], "");
    let program = Program::serve(&[&runtime(1), NO_ADMIN, &proxy, &to].concat());
    let kib = program.resident_kib();
    for is_old in [false, true] {
        let (mut stream, mut forger) = forged(&pki, program.addresses[0], is_old);
        stream.write_all(&forger.record(ALERT, &[1, 0])).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        // Until it is cut off, or nobody reads any more.
        for _ in 0..512 {
            if stream.write_all(&[0x17; 64 * 1024]).is_err() {
                break;
            }
        }
        let grown = program.resident_kib().saturating_sub(kib);
        assert!(grown < 8 * 1024, "{grown} KiB more");
    }
}

/// Clients that stop at some point of their handshakes, and wait for the server to end them.
fn stop(pki: &Pki, address: SocketAddr, count: usize, meanwhile: impl FnOnce()) {
    let hello = Hello::new().bytes();
    let mut post_quantum = Vec::new();
    secure(&pki.client(), "localhost", connect(address)).conn.write_tls(&mut post_quantum).unwrap();
    let retry = Hello::new().with(KEY_SHARE, Some(vec![0, 0])).bytes();
    let beginnings = [
        Vec::new(),
        hello[..1].to_vec(),
        hello[..100].to_vec(),
        post_quantum,
        retry,
        [&hello[..], &record(CHANGE_CIPHER_SPEC, &[1])].concat(),
        hello,
    ];
    let mut streams: Vec<TcpStream> = Vec::new();
    for number in 0..count {
        let mut stream = connect(address);
        // Beyond `handshakes_max` it is closed.
        let _may_be_closed = stream.write_all(&beginnings[number % beginnings.len()]);
        streams.push(stream);
    }
    meanwhile();
    for mut stream in streams {
        rest_of(&mut stream);
    }
}

#[test]
fn handshakes_that_stop_by_the_thousand_starve_nobody_and_leave_nothing() {
    let pki = Pki::new();
    let keys = "handshake_timeout = \"2s\"\nhandshakes_max = 2000";
    let echo = listener("echo", "protocol = \"echo\"") + &pki.listener_tls(keys);
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let program = Program::serve(&[&runtime(1), admin, &echo].concat());
    let [address, admin] = *program.addresses else { panic!("{:?}", program.addresses) };
    let mut steady = pki.connect(address);
    let mut serve = || {
        for _ in 0..50 {
            steady.write_all(b"x").unwrap();
            steady.read_exact(&mut [0]).unwrap();
        }
    };
    stop(&pki, address, 3_000, &mut serve);
    let (descriptors, kib) = (program.descriptors(), program.resident_kib());
    stop(&pki, address, 3_000, &mut serve);
    serve();
    let most = descriptors + 2;
    wait_until("no descriptor is left", || program.descriptors() <= most);
    let grown = program.resident_kib().saturating_sub(kib);
    assert!(grown < 2 * 1024, "{grown} KiB more");
    let counted = |name: &str| {
        let text = crate::admin::get(admin, "GET /metrics");
        let is_counter = |line: &&str| line.contains(name) && !line.starts_with('#');
        let lines = text.lines().filter(is_counter);
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    wait_until("all are counted", || {
        counted("reason=\"tls_timeout\"") + counted("reason=\"too_many_handshakes\"") == 6_000
    });
    assert!(counted("reason=\"tls_timeout\"") > 3_900);
    assert_eq!(counted("reason=\"internal\""), 0);
    assert_eq!(counted("ringway_connections_active"), 1);
    pki.connect(address).write_all(b"x").unwrap();
}
