//! What the bytes of attackers cost in memory while what they have sent is held: the resident
//! memory of a process of its own, and our own count of what waits.

use std::net::SocketAddr;

use ringway::proto::http2::frame::{FRAME_MAX, flag, kind};

use super::attacker::Attacker;
use super::peer::{Peer, run, send_all};
use crate::support::*;

/// Bytes of memory that a byte from an attacker may cost.
const PER_BYTE: u64 = 10;
/// What a connection may take whatever is sent on it: 16 KiB of heads, two header tables of 4 KiB
/// that take up to twice as much, and the frames that wait to be sent.
const PER_CONNECTION: u64 = 32 * 1024;
/// What a request under way takes beside its head: its stream, its record, and the exchange with a
/// server. `http2_streams_max` bounds how many there are.
const PER_REQUEST: u64 = 3 * 1024;
/// What the process takes once, for maps and free lists that grow.
const PER_PROCESS: u64 = 2 * 1024 * 1024;

/// SETTINGS_INITIAL_WINDOW_SIZE.
const WINDOW: u16 = 4;
const STREAMS: usize = 100;

/// A value of the metrics, summed up over its labels.
fn metric(admin: SocketAddr, name: &str) -> u64 {
    let text = crate::admin::get(admin, "GET /metrics");
    let is_it = |line: &&str| line.split(['{', ' ']).next() == Some(name);
    let values = text.lines().filter(is_it).map(|line| line.rsplit(' ').next().unwrap());
    values.map(|value| value.parse::<u64>().unwrap()).sum()
}

fn start(folder: &Folder, server: SocketAddr) -> Program {
    let text = format!(
        "{}[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\npath = \"/echo\"\necho = true\n\
         [[listener.route]]\npath = \"/fixed\"\nrespond = \"{}\"\n\
         [[listener.route]]\npath = \"/large\"\nfiles = \"{}\"\n\
         [[listener.route]]\nproxy = \"u\"\n{}",
        runtime(1),
        "x".repeat(20_000),
        folder.path().display(),
        upstream(&[server], "protocol = \"http2\"\n")
    );
    Program::serve(&text)
}

/// A server that answers `/proxied` with 1 MiB, and nothing else at all.
fn start_server() -> SocketAddr {
    serve_async(|stream| async move {
        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
        let mut held = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            if request.uri().path() == "/proxied" {
                let answer = respond.send_response(http::Response::new(()), false);
                let Ok(answer) = answer else { return };
                tokio::spawn(send_all(answer, vec![b'm'; 1 << 20]));
            }
            held.push((request, respond));
        }
    })
}

/// A server of HTTP/1.1 that answers with 1 MiB.
fn start_old_server() -> SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    serve_async(|mut stream| async move {
        let mut buffer = [0; 4096];
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n";
            let answer = [head.as_bytes(), &vec![b'o'; 1 << 20]].concat();
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    })
}

/// What each of some connections does.
struct Attack {
    name: &'static str,
    connections: usize,
    /// Requests that it holds on a connection.
    requests: u64,
    settings: &'static [(u16, u32)],
    send: fn(&mut Attacker),
}

impl Attack {
    const fn new(name: &'static str, send: fn(&mut Attacker)) -> Self {
        Self { name, connections: 100, requests: 0, settings: &[], send }
    }
}

/// Requests whose bodies do not come, with a field that is in the table after the first one.
fn requests(attacker: &mut Attacker, path: &str, (name, value): (&str, &str), count: usize) {
    let mut fields = vec![(":path", path)];
    fields.extend(std::iter::repeat_n((name, value), count));
    attacker.script.requests(STREAMS, &fields, false);
    assert!(attacker.send());
}

/// Requests that are whole.
fn gets(attacker: &mut Attacker, path: &str) {
    attacker.script.requests(STREAMS, &[(":path", path)], true);
    assert!(attacker.send());
}

fn frames(attacker: &mut Attacker, kind: u8, payload: &[u8]) {
    (0..900).for_each(|_| attacker.script.frame(kind, 0, 0, payload));
    assert!(attacker.send());
}

/// Waits until a value does not change any more.
fn rests(value: impl Fn() -> u64) {
    let last = std::cell::Cell::new((0, u64::MAX));
    wait_until("no more comes", || {
        let (same, value) = (last.get(), value());
        last.set(if same.1 == value { (same.0 + 1, value) } else { (0, value) });
        same.0 == 5
    });
}

/// Carries the attack out on a server of its own, and holds it while memory is measured.
fn assert_cheap(attack: &Attack, server: SocketAddr) {
    let folder = Folder::new();
    folder.file("large", &"l".repeat(1 << 20));
    let program = start(&folder, server);
    let [web, admin] = program.addresses[..] else { panic!("{:?}", program.addresses) };
    run(async {
        let mut peer = Peer::new(web).await;
        for path in ["/fixed", "/large", "/proxied"] {
            assert_eq!(peer.get(path).await.unwrap().status, 200, "{path}");
        }
    });
    let name = attack.name;
    wait_until("it is at rest", || metric(admin, "ringway_connections_active") == 0);
    let received = metric(admin, "ringway_received_bytes_total");
    let before = program.resident_kib();
    let mut attackers = Vec::new();
    for _ in 0..attack.connections {
        let mut attacker = Attacker::new(web, attack.settings);
        (attack.send)(&mut attacker);
        attackers.push(attacker);
    }
    let sent: usize = attackers.iter().map(|attacker| attacker.sent).sum();
    let sent = sent as u64;
    wait_until(name, || metric(admin, "ringway_received_bytes_total") - received >= sent);
    // What servers answer may still be on its way.
    let waiting = || metric(admin, "ringway_http_waiting_bytes");
    rests(waiting);
    assert_eq!(metric(admin, "ringway_connections_active"), attack.connections as u64, "{name}");
    let grown = (program.resident_kib().saturating_sub(before) * 1024) as u64;
    let waiting = waiting();
    let of_connection = PER_CONNECTION + attack.requests * PER_REQUEST;
    let free = PER_PROCESS + attack.connections as u64 * of_connection;
    let told = format!(
        "{name}: {sent} bytes on {} connections: {grown} bytes of memory, {waiting} wait",
        attack.connections
    );
    assert!(grown <= free + PER_BYTE * sent, "{told}");
    assert!(waiting <= free + PER_BYTE * sent, "{told}");
    // All others are served.
    run(async {
        let mut peer = Peer::new(web).await;
        assert_eq!(peer.get("/fixed").await.unwrap().status, 200, "{name}");
    });
}

const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

#[test]
fn a_byte_of_a_bomb_costs_at_most_ten() {
    let server = start_server();
    for attack in [
        Attack::new("references to a large field", |attacker| {
            requests(attacker, "/echo", ("x-large", &B.repeat(15)), 50);
        }),
        Attack::new("references to a small field", |attacker| {
            requests(attacker, "/echo", ("x-small", B), 90);
        }),
        Attack::new("parts of a cookie", |attacker| {
            requests(attacker, "/echo", ("cookie", B), 250);
        }),
        Attack::new("small parts of a cookie", |attacker| {
            requests(attacker, "/echo", ("cookie", "a=b"), 250);
        }),
        Attack::new("references that a server is told", |attacker| {
            requests(attacker, "/held", ("x-large", &B.repeat(15)), 50);
        }),
        Attack {
            connections: 20,
            requests: 100,
            ..Attack::new("parts of a cookie that a server is told", |attacker| {
                requests(attacker, "/held", ("cookie", B), 250);
            })
        },
        Attack::new("a head that does not end", |attacker| {
            let part = vec![0x82; FRAME_MAX];
            attacker.script.frame(kind::HEADERS, 0, 1, &part);
            (0..3).for_each(|_| attacker.script.frame(kind::CONTINUATION, 0, 1, &part));
            assert!(attacker.send());
        }),
        Attack::new("PINGs whose answers are not read", |attacker| {
            frames(attacker, kind::PING, &[0; 8]);
        }),
        Attack::new("SETTINGS whose answers are not read", |attacker| {
            frames(attacker, kind::SETTINGS, &[0, 3, 0, 0, 0, 100]);
        }),
    ] {
        assert_cheap(&attack, server);
    }
}

#[test]
fn a_request_that_is_held_costs_little() {
    let server = start_server();
    let held = |name, send| Attack { requests: 100, ..Attack::new(name, send) };
    let shut = |name, settings, send| Attack { settings, ..held(name, send) };
    for attack in [
        held("requests whose bodies do not come", |attacker| {
            requests(attacker, "/echo", ("x-none", ""), 0);
        }),
        Attack {
            connections: 20,
            ..held("requests that no server answers", |attacker| {
                requests(attacker, "/held", ("x-none", ""), 0);
            })
        },
        shut("files with a window of nothing", &[(WINDOW, 0)], |attacker| gets(attacker, "/large")),
        shut("files with a window of a byte", &[(WINDOW, 1)], |attacker| gets(attacker, "/large")),
        shut("echoes with a window of nothing", &[(WINDOW, 0)], |attacker| gets(attacker, "/echo")),
        shut("echoes of bodies with a window of nothing", &[(WINDOW, 0)], |attacker| {
            for _ in 0..60 {
                let id = attacker.script.request(&[(":path", "/echo")], false);
                assert!(attacker.frame(kind::DATA, flag::END_STREAM, id, &[b'e'; 1000]));
            }
        }),
    ] {
        assert_cheap(&attack, server);
    }
}

#[test]
fn an_answer_that_is_not_taken_waits_where_it_is() {
    let server = start_server();
    let shut = |name, settings, send| {
        let connections = 50;
        Attack { connections, requests: 100, settings, ..Attack::new(name, send) }
    };
    for attack in [
        shut("texts with a window of nothing", &[(WINDOW, 0)], |attacker| gets(attacker, "/fixed")),
        shut("texts with a window of a byte", &[(WINDOW, 1)], |attacker| gets(attacker, "/fixed")),
        shut("answers of a server with a window of nothing", &[(WINDOW, 0)], |attacker| {
            gets(attacker, "/proxied");
        }),
        shut("answers of a server with a window of a byte", &[(WINDOW, 1)], |attacker| {
            gets(attacker, "/proxied");
        }),
    ] {
        assert_cheap(&attack, server);
    }
}

#[test]
fn what_waits_for_clients_that_take_nothing_is_within_the_budget() {
    const BUDGET: u64 = 16 << 20;
    let text = format!(
        "[runtime]\nworkers = 1\npin = false\nwaiting_memory = \"16MiB\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         [[listener.route]]\npath = \"/fixed\"\nrespond = \"x\"\n\
         [[listener.route]]\nproxy = \"u\"\n{}",
        upstream(&[start_old_server()], "protocol = \"http1\"\n")
    );
    let program = Program::serve(&text);
    let [web, admin] = program.addresses[..] else { panic!("{:?}", program.addresses) };
    let mut attackers = Vec::new();
    let waiting = || metric(admin, "ringway_http_waiting_bytes");
    for _ in 0..20 {
        let mut attacker = Attacker::new(web, &[(WINDOW, 0)]);
        let enough = BUDGET.min(waiting() + (1 << 20));
        gets(&mut attacker, "/");
        attackers.push(attacker);
        wait_until("answers come, or do not begin", || waiting() >= enough);
        rests(waiting);
    }
    // What the sockets of servers hold of the requests of one client may come at once, before it is
    // known that nobody takes it. On a slow machine, those of a few clients may: those of all 20
    // would be more.
    let waiting = waiting();
    assert!(waiting >= BUDGET, "{waiting} bytes wait");
    assert!(waiting <= 8 * BUDGET, "{waiting} bytes wait for {} clients", attackers.len());
    // Requests that have not begun are answered when there is memory for them.
    let mut last = attackers.pop().unwrap();
    drop(attackers);
    let streams = (1..last.script.next).step_by(2);
    for id in streams.clone().chain([0]) {
        last.script.frame(kind::WINDOW_UPDATE, 0, id, &(1_u32 << 30).to_be_bytes());
    }
    assert!(last.send());
    let mut bytes = 0;
    while bytes < streams.clone().count() << 20 {
        let (head, _) = last.next_frame().expect("all are answered");
        assert_ne!(head.kind, kind::RST_STREAM);
        bytes += if head.kind == kind::DATA { head.len } else { 0 };
    }
    // Others are served, each with one request at a time.
    run(async {
        let mut peer = Peer::new(web).await;
        for _ in 0..10 {
            assert_eq!(peer.get("/fixed").await.unwrap().status, 200);
        }
    });
}
