//! The frame proxy on real sockets, between clients and servers that fail.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use ringway::proto::frame::{
    Code, Command, FLAG_LAST, Features, Header, Hello, PAYLOAD_MAX, Reader, Version, parse_error,
    write_error_payload, write_frame,
};
use ringway::runtime::clock;

use crate::frame_peer::{GREETINGS, Greeting, Heard, Peer};
use crate::support::*;

const CUSTOM: Command = Command(0x40);

/// A frame proxy; `extra` are keys of its upstream.
pub(crate) fn proxy_of(workers: usize, servers: &[SocketAddr], extra: &str) -> Served {
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let proxy = "[[listener]]\nname = \"t\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"frame\"\n\
                 upstream = \"u\"\n";
    Served::new(&[&runtime(workers), admin, proxy, &upstream(servers, extra)].concat())
}

/// A server that answers by itself.
fn frame_server() -> Served {
    let listener = "[[listener]]\nname = \"s\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"frame\"\n\
                    values = { motd = \"hello\" }\n";
    Served::new(&[&runtime(1), NO_ADMIN, listener].concat())
}

/// A request, as a server of the test's own sees it.
struct Seen<'a> {
    /// Of which connection of the server, from 0 on.
    connection: usize,
    /// Which one of the connection, from 0 on.
    number: usize,
    command: Command,
    payload: &'a [u8],
}

/// What such a server does.
enum Act {
    Answer,
    Refuse(Code),
    Nothing,
    /// The answer, once another request has come.
    Later,
    /// The connection is closed, with whatever has come.
    Close,
}

/// A server that speaks up to `highest`, whose requests are given to `act`.
fn hand_made(
    highest: Version,
    act: impl Fn(&Seen<'_>) -> Act + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let connections = Arc::new(AtomicUsize::new(0));
    serve(move |stream| {
        let connection = connections.fetch_add(1, Ordering::Relaxed);
        // A proxy that has closed is no failure.
        let _gone = converse(stream, highest, connection, &act);
    })
}

fn converse(
    mut stream: TcpStream,
    highest: Version,
    connection: usize,
    act: &dyn Fn(&Seen<'_>) -> Act,
) -> std::io::Result<()> {
    let mut reader = Reader::new(Version::V1, PAYLOAD_MAX);
    let mut buffer = vec![0; 64 * 1024];
    let (mut number, mut greeted, mut later) = (0, false, Vec::new());
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        let (mut rest, mut out) = (&buffer[..count], Vec::new());
        while let Some(frame) = reader.next(&mut rest).expect("a proxy that keeps the rules") {
            let Header { command, stream: of, .. } = frame.header;
            if !greeted {
                assert_eq!(command, Command::HELLO);
                let offer = Hello::parse(frame.payload).unwrap();
                let chosen = highest.number().min(offer.highest);
                let answer = Hello { lowest: 1, highest: highest.number(), chosen, ..offer };
                let header = Header::new(Version::V1, Command::HELLO);
                write_frame(&header, &answer.to_bytes(), &mut out);
                reader.agree(highest, PAYLOAD_MAX);
                greeted = true;
                assert_eq!(offer.features.and(Features::ALL), Features::ALL);
                continue;
            }
            out.append(&mut later);
            let seen = Seen { connection, number, command, payload: frame.payload };
            number += 1;
            match act(&seen) {
                Act::Answer => write_answer(highest, of, command, frame.payload, &mut out),
                Act::Refuse(code) => {
                    let mut payload = Vec::new();
                    write_error_payload(code, "so it is", PAYLOAD_MAX, &mut payload);
                    write_answer(highest, of, Command::ERROR, &payload, &mut out);
                }
                Act::Nothing => {}
                Act::Later => write_answer(highest, of, command, frame.payload, &mut later),
                Act::Close => {
                    stream.write_all(&out)?;
                    return Ok(());
                }
            }
        }
        stream.write_all(&out)?;
    }
}

fn write_answer(
    version: Version,
    stream: u32,
    command: Command,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let header = match version {
        Version::V1 => Header::new(version, command),
        Version::V2 => Header { stream, flags: FLAG_LAST, ..Header::new(version, command) },
    };
    write_frame(&header, payload, out);
}

/// What became of one request: the payload that it was answered with, or an error's code.
type End = Result<Vec<u8>, u16>;

/// Asks `count` requests made by `make`, at most `open` at a time; how each one ended. `report` is
/// told of each end.
fn ask_many(
    peer: &mut Peer,
    count: u32,
    open: usize,
    make: impl Fn(u32) -> (Command, Vec<u8>),
    report: &mpsc::Sender<()>,
) -> BTreeMap<u32, End> {
    let mut ends = BTreeMap::new();
    let mut asked = 0;
    while ends.len() < count as usize {
        let mut out = Vec::new();
        while asked < count && (asked as usize) < ends.len() + open {
            let (command, payload) = make(asked + 1);
            asked = peer.write(command, false, &payload, &mut out);
        }
        peer.send(&out);
        match peer.hear() {
            Some(Heard::Answer(number, Command::ERROR, payload)) => {
                let code = parse_error(&payload).unwrap().0;
                assert_eq!(ends.insert(number, Err(code)), None, "one answer each");
            }
            Some(Heard::Answer(number, _, payload)) => {
                assert_eq!(ends.insert(number, Ok(payload)), None, "one answer each");
            }
            other => panic!("{other:?} after {} ends", ends.len()),
        }
        let _nobody_counts = report.send(());
    }
    ends
}

fn payload_of(client: usize, number: u32) -> Vec<u8> {
    format!("client {client} request {number}").into_bytes()
}

fn metrics(served: &Served) -> String {
    crate::admin::get(served.running().admin().unwrap(), "GET /metrics")
}

/// The sum over all workers of the errors with this code.
fn errors(served: &Served, code: Code) -> u64 {
    served.sum(|cell| cell.stats.upstreams.get(0).pool.errors[code.index()].get())
}

#[test]
fn what_is_safe_to_repeat_survives_the_loss_of_a_server() {
    let (first, second) = (frame_server(), frame_server());
    let servers = [first.address(), second.address()];
    let extra = "retries = 5\nretry_budget = 1.0\nretry_backoff = \"1ms\"\n\
                 streams_max = 16\npool_max = 6";
    let served = proxy_of(2, &servers, extra);
    let (report, ended) = mpsc::channel();
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (mut peer, report) =
                (Peer::new(served.address(), GREETINGS[client % 3]), report.clone());
            std::thread::spawn(move || {
                let make = |number| {
                    let command = if number % 2 == 0 { Command::ECHO } else { Command::PING };
                    (command, payload_of(client, number))
                };
                for (number, end) in ask_many(&mut peer, 1_000, 50, make, &report) {
                    assert_eq!(end, Ok(payload_of(client, number)));
                }
                peer.finish();
                assert_eq!(peer.hear(), None);
            })
        })
        .collect();
    for _ in 0..1_500 {
        ended.recv_timeout(PATIENCE).unwrap();
    }
    drop(first);
    clients.into_iter().for_each(|client| client.join().unwrap());
    let text = metrics(&served);
    for line in [
        "ringway_exchanges_total{upstream=\"u\",outcome=\"begun\"} 6000",
        "ringway_exchanges_total{upstream=\"u\",outcome=\"answered\"} 6000",
        "ringway_exchanges_total{upstream=\"u\",outcome=\"upstream_lost\"} 0",
        "ringway_pool_waiting{upstream=\"u\"} 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(served.drain().cut, 0);
}

#[test]
fn what_is_not_safe_to_repeat_is_carried_out_once_at_most() {
    for highest in [Version::V1, Version::V2] {
        let done = Arc::new(Mutex::new(BTreeMap::<Vec<u8>, usize>::new()));
        // One closes each connection in the middle of what came; one refuses some.
        let make = |fails: bool| {
            let done = Arc::clone(&done);
            hand_made(highest, move |seen| {
                if !fails && seen.number % 7 == 3 {
                    return Act::Refuse(Code::Overloaded);
                }
                *done.lock().unwrap().entry(seen.payload.to_vec()).or_default() += 1;
                if fails && seen.number == 20 + 5 * (seen.connection % 3) {
                    return Act::Close;
                }
                if seen.number.is_multiple_of(5) { Act::Later } else { Act::Answer }
            })
        };
        let servers = [make(true), make(false)];
        let extra = "retries = 9\nretry_budget = 1.0\nretry_backoff = \"1ms\"\npool_max = 4\n\
                     request_timeout = \"5s\"";
        let served = proxy_of(2, &servers, extra);
        let (report, _ended) = mpsc::channel();
        let clients: Vec<_> = (0..6)
            .map(|client| {
                let (mut peer, report) =
                    (Peer::new(served.address(), GREETINGS[client % 3]), report.clone());
                std::thread::spawn(move || {
                    let make = |number| (CUSTOM, payload_of(client, number));
                    ask_many(&mut peer, 300, 20, make, &report)
                })
            })
            .collect();
        let ends: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let done = done.lock().unwrap();
        let (mut lost, mut answered) = (0, 0);
        for (client, ends) in ends.iter().enumerate() {
            assert_eq!(ends.len(), 300);
            for (number, end) in ends {
                let payload = payload_of(client, *number);
                let times = done.get(&payload).copied().unwrap_or(0);
                match end {
                    Ok(answer) => {
                        assert_eq!((answer, times), (&payload, 1));
                        answered += 1;
                    }
                    Err(code) if *code == Code::UpstreamLost.number() => {
                        assert!(times <= 1, "{times} times");
                        lost += 1;
                    }
                    // An answer that was held back when its connection fell silent.
                    Err(code) if *code == Code::Deadline.number() => assert!(times <= 1),
                    Err(code) => panic!("{code:#x}"),
                }
            }
        }
        assert!(lost > 0 && answered > 900, "{lost} lost, {answered} answered");
        assert_eq!(errors(&served, Code::UpstreamLost), lost);
    }
}

#[test]
fn with_no_server_left_clients_are_told_so_soon() {
    let served = proxy_of(2, &[nobody(), nobody()], "");
    for greeting in GREETINGS {
        let mut peer = Peer::new(served.address(), greeting);
        let began = clock::now();
        for command in [Command::ECHO, CUSTOM, Command::GET] {
            assert_eq!(peer.answer(command, b"x"), Err(Code::Unavailable.number()));
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    wait_until("all are counted", || errors(&served, Code::Unavailable) == 9);
    let line = "ringway_exchanges_total{upstream=\"u\",outcome=\"unavailable\"} 9";
    assert!(metrics(&served).contains(line));
    assert_eq!(served.drain().cut, 0);
}

/// A server that accepts and says nothing; it is told of each connection.
fn mute() -> (SocketAddr, mpsc::Receiver<()>) {
    let (sender, accepted) = mpsc::channel();
    let sender = Mutex::new(sender);
    let sender = Arc::new(sender);
    let address = serve(move |mut stream| {
        let _nobody_counts = sender.lock().unwrap().send(());
        let _gone = std::io::copy(&mut stream, &mut std::io::sink());
    });
    (address, accepted)
}

#[test]
fn a_server_that_never_says_hello_is_given_up_after_the_connect_timeout() {
    let (server, _accepted) = mute();
    let served = proxy_of(1, &[server], "connect_timeout = \"300ms\"\npool_queue_timeout = \"9s\"");
    let mut peer = Peer::new(served.address(), Greeting::Offer(Version::V2));
    let began = clock::now();
    assert_eq!(peer.answer(Command::ECHO, b"x"), Err(Code::Unavailable.number()));
    let took = began.elapsed();
    assert!((Duration::from_millis(300)..Duration::from_secs(3)).contains(&took), "{took:?}");
    // What speaks is used at once, though the other one is tried, too.
    let (server, _accepted) = mute();
    let good = frame_server();
    let servers = [server, good.address()];
    let served = proxy_of(1, &servers, "connect_timeout = \"200ms\"\npool_queue_timeout = \"9s\"");
    for greeting in GREETINGS {
        Peer::new(served.address(), greeting).assert_goes_on();
    }
}

#[test]
fn a_full_queue_refuses_and_a_long_wait_ends() {
    let (server, accepted) = mute();
    let extra = "connect_timeout = \"20s\"\npool_queue = 5\npool_queue_timeout = \"500ms\"";
    let served = proxy_of(1, &[server], extra);
    let (report, _ended) = mpsc::channel();
    let mut peer = Peer::new(served.address(), Greeting::Offer(Version::V2));
    let ends = ask_many(&mut peer, 8, 8, |_| (Command::ECHO, b"x".to_vec()), &report);
    assert!(ends.values().all(|end| *end == Err(Code::Overloaded.number())), "{ends:?}");
    accepted.recv_timeout(PATIENCE).unwrap();
    let pool = |read: fn(&ringway::session::PoolStats) -> u64| {
        served.sum(|cell| read(&cell.stats.upstreams.get(0).pool))
    };
    wait_until("three found no place, five waited in vain", || {
        (pool(|pool| pool.refused.get()), pool(|pool| pool.timed_out.get())) == (3, 5)
    });
    let text = metrics(&served);
    for line in [
        "ringway_exchanges_total{upstream=\"u\",outcome=\"overloaded\"} 8",
        "ringway_pool_refused_total{upstream=\"u\"} 3",
        "ringway_pool_timed_out_total{upstream=\"u\"} 5",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn an_answer_that_does_not_come_is_a_deadline_for_its_request_alone() {
    for highest in [Version::V1, Version::V2] {
        let silent = |seen: &Seen<'_>| {
            if seen.payload == b"never" { Act::Nothing } else { Act::Answer }
        };
        let served = proxy_of(
            1,
            &[hand_made(highest, silent)],
            "request_timeout = \"400ms\"\nretry_budget = 1.0\nstreams_max = 8\npool_max = 2",
        );
        for greeting in GREETINGS {
            let mut peer = Peer::new(served.address(), greeting);
            let began = clock::now();
            assert_eq!(peer.answer(CUSTOM, b"never"), Err(Code::Deadline.number()));
            let took = began.elapsed();
            let most = Duration::from_secs(5);
            assert!((Duration::from_millis(350)..most).contains(&took), "{took:?}");
            peer.assert_goes_on();
        }
        assert_eq!(errors(&served, Code::Deadline), 3);
        let line = "ringway_exchanges_total{upstream=\"u\",outcome=\"deadline\"} 3";
        assert!(metrics(&served).contains(line));
        assert_eq!(served.drain().cut, 0);
    }
}

#[test]
fn a_slow_answer_does_not_fail_those_that_overtake_it() {
    // With few streams on one connection, so that many pass while one waits.
    let silent = |seen: &Seen<'_>| {
        if seen.payload == b"never" { Act::Nothing } else { Act::Answer }
    };
    let server = hand_made(Version::V2, silent);
    let extra = "request_timeout = \"20s\"\nstreams_max = 2\npool_max = 1\nretries = 0";
    let served = proxy_of(1, &[server], extra);
    let mut slow = Peer::new(served.address(), Greeting::Offer(Version::V2));
    slow.ask(CUSTOM, b"never");
    let began = |count| {
        let begun = || served.sum(|cell| cell.stats.upstreams.get(0).pool.in_use.get());
        wait_until("it is under way", || begun() == count);
    };
    began(1);
    let mut peer = Peer::new(served.address(), Greeting::Offer(Version::V2));
    for _ in 0..200 {
        peer.assert_goes_on();
    }
}

#[test]
fn a_server_of_version_1_serves_clients_of_each() {
    let server = hand_made(Version::V1, |seen| match seen.command {
        Command::GET => Act::Refuse(Code::NotFound),
        _ => Act::Answer,
    });
    let extra = "streams_max = 8\npool_max = 2";
    let served = proxy_of(1, &[server], extra);
    let (report, _ended) = mpsc::channel();
    let clients: Vec<_> = (0..6)
        .map(|client| {
            let (mut peer, report) =
                (Peer::new(served.address(), GREETINGS[client % 3]), report.clone());
            std::thread::spawn(move || {
                let make = |number| {
                    let command = if number % 10 == 0 { Command::GET } else { CUSTOM };
                    (command, payload_of(client, number))
                };
                for (number, end) in ask_many(&mut peer, 500, 30, make, &report) {
                    let expected = match make(number) {
                        (Command::GET, _) => Err(Code::NotFound.number()),
                        (_, payload) => Ok(payload),
                    };
                    assert_eq!(end, expected);
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_worker_without_a_place_for_a_connection_borrows_one() {
    let server = frame_server();
    let extra = "pool_max = 1\npool_queue_timeout = \"10s\"";
    let served = proxy_of(2, &[server.address()], extra);
    let mut peers: Vec<Peer> =
        (0..30).map(|number| Peer::new(served.address(), GREETINGS[number % 3])).collect();
    let workers = served.running().workers().cells().len();
    let load = |worker: usize| served.running().workers().cells()[worker].active.get();
    assert!((0..workers).all(|worker| load(worker) > 0), "{} {}", load(0), load(1));
    for _ in 0..3 {
        peers.iter_mut().for_each(Peer::assert_goes_on);
    }
    let pool = |read: fn(&ringway::session::PoolStats) -> u64| {
        served.sum(|cell| read(&cell.stats.upstreams.get(0).pool))
    };
    wait_until("all are counted", || pool(|pool| pool.answered.get()) == 90);
    assert!(pool(|pool| pool.created.get()) >= 2, "both workers had a connection");
    // What one worker has given is told by it and by the other, not at the same moment.
    wait_until("the shares are told", || pool(|pool| pool.share.get()) <= 1);
    // All at once: who waits gives nothing away, until its own are answered.
    let numbers: Vec<u32> = peers.iter_mut().map(|peer| peer.ask(Command::ECHO, b"all")).collect();
    for (peer, number) in peers.iter_mut().zip(numbers) {
        let answer = Heard::Answer(number, Command::ECHO, b"all".to_vec());
        assert_eq!(peer.hear(), Some(answer));
    }
    drop(peers);
    assert_eq!(served.drain().cut, 0);
}
