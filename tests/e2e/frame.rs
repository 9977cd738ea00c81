//! The framed protocol's own service on real sockets.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use nix::sys::stat::Mode;
use ringway::proto::frame::{
    ClientOptions, Code, Command, Features, Header, Hello, PAYLOAD_MAX, Reader, Version, message,
    parse_error, write_frame,
};
use ringway::service::CloseReason;
use ringway::service::handler::{Handler, Kind, Refusal, Request};
use ringway::session::HandlerFactory;

use crate::frame_peer::{GREETINGS, Greeting, Heard, Peer};
use crate::support::*;

const V1: Greeting = Greeting::Offer(Version::V1);
const V2: Greeting = Greeting::Offer(Version::V2);
const MANY: u32 = 10_000;
const AT_A_TIME: usize = 100;

/// Requests of a program's own.
#[derive(Debug)]
struct Program;

impl Handler for Program {
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        let why = || "the test says so".to_owned();
        match request.kind {
            Kind::Command(0x40) => answer.extend(request.payload.iter().rev()),
            Kind::Command(0x41) => return Err(Refusal::Unavailable(why())),
            Kind::Command(0x42) => return Err(Refusal::Internal(why())),
            Kind::Command(0x43) => return Err(Refusal::BadPayload(why())),
            Kind::Command(0x7f) => answer.resize(100_000, 1),
            Kind::Message("shout") => answer.extend(request.payload.to_ascii_uppercase()),
            Kind::Command(_) | Kind::Message(_) => return Err(Refusal::Unknown),
        }
        Ok(())
    }
}

fn listener(listen: &str, extra: &str) -> String {
    format!("[[listener]]\nname = \"f\"\nlisten = {listen}\nprotocol = \"frame\"\n{extra}\n")
}

/// A frame server with a program's own requests; `extra` are keys of its listener.
fn served(workers: usize, extra: &str) -> Served {
    let listener = listener("\"127.0.0.1:0\"", extra);
    let text = [&runtime(workers), NO_ADMIN, &listener].concat();
    Served::with_handler(&text, HandlerFactory::new(|_| Box::new(Program)))
}

fn wire_error(code: Code) -> Result<Vec<u8>, u16> {
    Err(code.number())
}

#[test]
fn every_command_is_answered_over_tcp_and_unix_sockets() {
    let folder = Folder::new();
    let path = folder.path().join("s");
    let listen = format!("[\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let values = format!("values = {{ motd = \"hello\", long = \"{}\" }}", "x".repeat(60_000));
    let text = [&runtime(2), NO_ADMIN, &listener(&listen, &values)].concat();
    let served = Served::with_handler(&text, HandlerFactory::new(|_| Box::new(Program)));
    for greeting in GREETINGS {
        for mut peer in [Peer::new(served.address(), greeting), Peer::unix(&path, greeting)] {
            let long = bytes(1, usize::from(PAYLOAD_MAX));
            for payload in [&b""[..], b"x", &long] {
                assert_eq!(peer.answer(Command::PING, payload).as_deref(), Ok(payload));
                assert_eq!(peer.answer(Command::ECHO, payload).as_deref(), Ok(payload));
                let backwards: Vec<u8> = payload.iter().rev().copied().collect();
                assert_eq!(peer.answer(Command(0x40), payload), Ok(backwards));
            }
            let echo = message("echo", b"carried");
            assert_eq!(peer.answer(Command::MESSAGE, &echo), Ok(echo));
            let (shout, shouted) = (message("shout", b"hey"), message("shout", b"HEY"));
            assert_eq!(peer.answer(Command::MESSAGE, &shout), Ok(shouted));
            assert_eq!(peer.answer(Command::GET, b"motd").as_deref(), Ok(&b"hello"[..]));
            assert_eq!(peer.answer(Command::GET, b"long"), Ok(vec![b'x'; 60_000]));
            let stats = peer.answer(Command::STATS, b"").unwrap();
            let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
            for member in [
                "workers",
                "connections_active",
                "connections_accepted",
                "received_bytes",
                "sent_bytes",
                "frame_requests",
            ] {
                assert!(stats[member].is_u64(), "{member} in {stats}");
            }
            assert!(stats["version"].is_string() && stats["workers"] == 2, "{stats}");
            peer.finish();
            assert_eq!(peer.hear(), None);
        }
    }
    assert_eq!(served.drain().cut, 0);
}

#[test]
fn ten_thousand_requests_are_written_before_the_last_answer_is_awaited() {
    let served = served(1, "window = 65535");
    for greeting in GREETINGS {
        let mut peer = Peer::new(served.address(), greeting);
        let mut all = Vec::new();
        for number in 1..=MANY {
            peer.write(Command::ECHO, false, &number.to_be_bytes(), &mut all);
        }
        let mut writer = peer.stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || writer.write_all(&all).unwrap());
        for number in 1..=MANY {
            let answer = Heard::Answer(number, Command::ECHO, number.to_be_bytes().to_vec());
            assert_eq!(peer.hear(), Some(answer));
        }
        writing.join().unwrap();
    }
}

#[test]
fn files_are_given_and_nothing_beside_them() {
    let outside = Folder::new();
    let folder = Folder::new();
    let secret = outside.file("secret", "secret");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("a/b")).unwrap();
    let nested = bytes(1, 100_000);
    std::fs::write(at("a/b/nested"), &nested).unwrap();
    folder.file("empty", "");
    folder.file(".hidden", "hidden");
    folder.file("a/.hidden", "hidden");
    std::os::unix::fs::symlink(&secret, at("link")).unwrap();
    std::os::unix::fs::symlink(outside.path(), at("away")).unwrap();
    std::os::unix::fs::symlink("empty", at("inner-link")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let extra =
        format!("files = \"{}\"\nvalues = {{ a = \"goes first\" }}", folder.path().display());
    let served = served(1, &extra);
    for greeting in GREETINGS {
        let mut peer = Peer::new(served.address(), greeting);
        let mut get = |name: &str| peer.answer(Command::GET, name.as_bytes());
        assert_eq!(get("a/b/nested"), Ok(nested.clone()));
        assert_eq!(get("empty"), Ok(Vec::new()));
        assert_eq!(get("a").as_deref(), Ok(&b"goes first"[..]));
        let above = format!("../{}/secret", outside.path().file_name().unwrap().display());
        let absolute = secret.display().to_string();
        let long = "x".repeat(255);
        for name in [
            ".hidden",
            "a/.hidden",
            "..",
            ".",
            "../x",
            &above,
            &absolute,
            "a/../empty",
            "a/../../x",
            "link",
            "away/secret",
            "inner-link",
            "a/b",
            "a/b/",
            "/empty",
            "a//b",
            "fifo",
            "socket",
            "nothing",
            "empty/x",
            "\0",
            "empty\0",
            &long,
        ] {
            assert_eq!(get(name), wire_error(Code::NotFound), "{name:?}");
        }
        peer.assert_goes_on();
    }
    assert_eq!(served.drain().cut, 0);
}

#[test]
fn a_large_file_that_changes_while_it_is_read_has_the_end_of_what_was_sent() {
    const LEN: usize = 5 << 20;
    let folder = Folder::new();
    let whole = bytes(9, LEN);
    let path = folder.path().join("large");
    let served = served(1, &format!("files = \"{}\"", folder.path().display()));
    for greeting in GREETINGS {
        std::fs::write(&path, &whole).unwrap();
        let mut peer = Peer::new(served.address(), greeting);
        assert!(peer.answer(Command::GET, b"large").as_deref() == Ok(&whole[..]));
        // Cut, then grown: `answer` holds END against what came.
        for len in [LEN as u64 / 2, LEN as u64 * 2] {
            std::fs::write(&path, &whole).unwrap();
            let number = peer.ask(Command::GET, b"large");
            let first = peer.hear().unwrap();
            assert!(matches!(first, Heard::Answer(of, Command::DATA, _) if of == number));
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(len).unwrap();
            let Heard::Answer(_, _, mut all) = first else { panic!() };
            let end = loop {
                match peer.hear() {
                    Some(Heard::Answer(_, Command::DATA, part)) => all.extend_from_slice(&part),
                    Some(Heard::Answer(_, Command::END, end)) => break end,
                    other => panic!("{other:?}"),
                }
            };
            let end = ringway::proto::frame::End::parse(&end).unwrap();
            assert_eq!((end.total, end.checksum), (all.len() as u64, crc32fast::hash(&all)));
            let same = all.len().min(LEN / 2);
            assert!(all[..same] == whole[..same] && all.len() <= 2 * LEN);
        }
        peer.assert_goes_on();
    }
}

#[test]
fn what_concerns_one_request_leaves_the_connection_open() {
    let served = served(1, "values = { motd = \"hello\" }");
    let cases: [(Command, &[u8], Code); 20] = [
        (Command(0x33), b"", Code::UnknownCommand),
        (Command(0x00), b"", Code::UnknownCommand),
        (Command(0xff), b"x", Code::UnknownCommand),
        (Command(0x55), b"x", Code::UnknownCommand),
        (Command::MESSAGE, b"\x06nobody", Code::UnknownCommand),
        (Command::HELLO, b"", Code::WrongState),
        (Command::PONG, b"", Code::WrongState),
        (Command::DATA, b"x", Code::WrongState),
        (Command::END, b"", Code::WrongState),
        (Command::ERROR, b"\0\x02", Code::WrongState),
        (Command::GOAWAY, b"", Code::WrongState),
        (Command::GET, b"", Code::BadPayload),
        (Command::GET, b"\xff", Code::BadPayload),
        (Command::GET, &[b'x'; 256], Code::BadPayload),
        (Command::MESSAGE, b"", Code::BadPayload),
        (Command::MESSAGE, b"\x05abc", Code::BadPayload),
        (Command(0x43), b"", Code::BadPayload),
        (Command::GET, b"nothing", Code::NotFound),
        (Command(0x41), b"", Code::Unavailable),
        (Command(0x42), b"", Code::Internal),
    ];
    let mut told = 0;
    for greeting in GREETINGS {
        let mut peer = Peer::new(served.address(), greeting);
        // The first frame of all may be HELLO.
        peer.assert_goes_on();
        for (command, payload, code) in cases {
            assert_eq!(peer.answer(command, payload), wire_error(code), "{command} {payload:?}");
            peer.assert_goes_on();
            told += 1;
        }
        assert_eq!(peer.answer(Command(0x7f), b""), wire_error(Code::AnswerTooLarge));
        peer.assert_goes_on();
        peer.finish();
        assert_eq!(peer.hear(), None);
    }
    let small = ClientOptions { max_payload: 64, ..ClientOptions::default() };
    let mut peer = Peer::on(served.connect(), V2, small);
    assert_eq!(peer.answer(Command::STATS, b""), wire_error(Code::AnswerTooLarge));
    // A HELLO that is none.
    let mut peer = Peer::new(served.address(), Greeting::None);
    assert_eq!(peer.answer(Command::HELLO, b"short"), wire_error(Code::BadPayload));
    peer.assert_goes_on();
    let errors = |served: &Served| {
        served.sum(|cell| {
            cell.stats.listeners.get(0).frames.errors.iter().map(|code| code.get()).sum()
        })
    };
    wait_until("all are counted", || errors(&served) == told + 3 + 2);
    assert_eq!(served.closed(CloseReason::ProtocolError), 0);
}

/// The bytes of a frame.
fn frame(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(header, payload, &mut out);
    out
}

fn v2_echo(stream: u32) -> Vec<u8> {
    frame(&Header { stream, flags: 1, ..Header::new(Version::V2, Command::ECHO) }, b"x")
}

#[test]
fn what_concerns_the_connection_ends_it_after_all_answers() {
    let served = served(1, "max_payload = 1000");
    let echo = frame(&Header::new(Version::V1, Command::ECHO), b"x");
    let mut broken = echo.clone();
    *broken.last_mut().unwrap() ^= 1;
    let cut = &echo[..echo.len() - 1];
    let large = frame(&Header::new(Version::V1, Command::ECHO), &[0; 1001]);
    let v2 = v2_echo(9);
    let cases: [(&[Greeting], &[u8], bool, Code); 9] = [
        (&[V1], &broken, false, Code::BadChecksum),
        (&[V1], &large, false, Code::PayloadTooLarge),
        (&[V1], cut, true, Code::Truncated),
        (&[V1], &echo[..1], true, Code::Truncated),
        (&[V1], &v2, false, Code::UnsupportedVersion),
        (&[V2], &echo, false, Code::UnsupportedVersion),
        (&[V2], &v2_echo(0), false, Code::BadStream),
        (&[V2], &v2_echo(1), false, Code::BadStream),
        (&[V2], &v2[..12], true, Code::Truncated),
    ];
    for (greetings, bytes, ends, code) in cases {
        let plain = greetings.contains(&V1).then_some(Greeting::None);
        for &greeting in greetings.iter().chain(&plain) {
            let mut peer = Peer::new(served.address(), greeting);
            for number in 1..=3 {
                assert_eq!(peer.ask(Command::PING, b"before"), number);
            }
            peer.send(bytes);
            if ends {
                peer.finish();
            } else {
                // What stands behind it is not read.
                peer.send(&echo);
            }
            for number in 1..=3 {
                let answer = Heard::Answer(number, Command::PONG, b"before".to_vec());
                assert_eq!(peer.hear(), Some(answer), "{code:?}");
            }
            if code == Code::UnsupportedVersion {
                // HELLO with what is spoken goes first.
                assert_told_versions(peer);
                continue;
            }
            assert_eq!(peer.hear(), Some(Heard::Failed(code.number())));
            assert_eq!(peer.hear(), None);
        }
    }
    wait_until("all ended so", || served.closed(CloseReason::ProtocolError) == 14);
    assert_eq!(served.drain().cut, 0);
}

/// What follows is HELLO with no version chosen, ERROR, and the end.
fn assert_told_versions(mut peer: Peer) {
    let told = peer.rest();
    let mut reader = Reader::new(Version::V1, PAYLOAD_MAX);
    let mut rest = &told[..];
    let hello = reader.next(&mut rest).unwrap().unwrap();
    assert_eq!(hello.header.command, Command::HELLO);
    let hello = Hello::parse(hello.payload).unwrap();
    assert_eq!((hello.lowest, hello.highest, hello.chosen), (1, 2, 0));
    let error = reader.next(&mut rest).unwrap().unwrap();
    assert_eq!(error.header.command, Command::ERROR);
    let code = parse_error(error.payload).unwrap().0;
    assert_eq!(code, Code::UnsupportedVersion.number());
    assert!(rest.is_empty());
}

#[test]
fn a_client_of_no_known_version_is_told_which_there_are() {
    let served = served(1, "");
    let future = Hello {
        lowest: 3,
        highest: 9,
        chosen: 0,
        window: 9,
        max_payload: 100,
        features: Features::REQUESTS,
        credit: 0,
    };
    let offer = frame(&Header::new(Version::V1, Command::HELLO), &future.to_bytes());
    for bytes in [&offer[..], b"\x03", b"GET / HTTP/1.1\r\n\r\n", b"\0"] {
        let mut peer = Peer::new(served.address(), Greeting::None);
        peer.send(bytes);
        assert_told_versions(peer);
    }
    assert_eq!(served.drain().cut, 0);
}

#[test]
fn a_client_that_never_reads_is_held_back_alone() {
    let served = served(1, "send_buffer = \"64KiB\"\nreceive_buffer = \"64KiB\"");
    let mut deaf = served.connect();
    deaf.set_nonblocking(true).unwrap();
    let echo = frame(&Header::new(Version::V1, Command::ECHO), &[7; 10_000]);
    let held = |served: &Served| {
        let stats = |read: fn(&ringway::session::ListenerStats) -> u64| {
            served.sum(|cell| read(&cell.stats.listeners.get(0)))
        };
        // What came goes out again: the difference is what the server holds.
        stats(|l| l.received.get()).saturating_sub(stats(|l| l.sent.get()))
    };
    let mut other = Peer::new(served.address(), V2);
    let mut full = 0;
    while full < 50 {
        match deaf.write(&echo) {
            Ok(_) => full = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => full += 1,
            Err(error) => panic!("{error}"),
        }
        // It is served between any two looks.
        other.assert_goes_on();
        assert!(held(&served) < 1 << 20, "{} bytes", held(&served));
    }
    for _ in 0..1_000 {
        other.assert_goes_on();
    }
    drop(deaf);
    wait_until("it is gone", || served.sum(|cell| cell.active.get()) == 1);
}

#[test]
fn a_drain_under_load_answers_all_that_it_says_it_will() {
    for workers in [1, 2] {
        let served = served(workers, "");
        let (sender, begun) = std::sync::mpsc::channel();
        let clients: Vec<_> = (0..9)
            .map(|number| {
                let greeting = GREETINGS[number % 3];
                let (peer, sender) = (Peer::new(served.address(), greeting), sender.clone());
                std::thread::spawn(move || ask_until_go_away(peer, &sender))
            })
            .collect();
        for _ in &clients {
            begun.recv_timeout(PATIENCE).unwrap();
        }
        let outcome = served.drain();
        for client in clients {
            client.join().unwrap();
        }
        assert_eq!(outcome.cut, 0);
    }
}

/// Asks without a pause until the server goes away, and holds it to what it says.
fn ask_until_go_away(mut peer: Peer, begun: &std::sync::mpsc::Sender<()>) {
    let mut writer = peer.stream.try_clone().unwrap();
    let (mut answered, mut last) = (BTreeSet::new(), None);
    let mut out = Vec::new();
    let mut hear = |peer: &mut Peer, last: &mut Option<u64>| match peer.hear() {
        Some(Heard::Answer(number, Command::ECHO, payload)) => {
            assert_eq!(payload, b"load");
            assert!(answered.insert(u64::from(number)), "one answer each");
            true
        }
        Some(Heard::GoAway(number, code)) => {
            assert_eq!(code, Code::ShuttingDown.number());
            *last = Some(number);
            true
        }
        Some(other) => panic!("{other:?}"),
        None => false,
    };
    loop {
        out.clear();
        for _ in 0..AT_A_TIME {
            peer.write(Command::ECHO, false, b"load", &mut out);
        }
        // The server may have closed.
        let sent = writer.write_all(&out).is_ok();
        let heard = (0..AT_A_TIME).all(|_| last.is_none() && hear(&mut peer, &mut last));
        let _gone = begun.send(());
        if last.is_some() || !sent || !heard {
            break;
        }
    }
    while hear(&mut peer, &mut last) {}
    let last = last.expect("GOAWAY came");
    // Without a gap, up to the last one.
    assert_eq!(answered.len() as u64, last);
    assert_eq!(answered.last().copied().unwrap_or(0), last);
}

#[test]
fn who_asks_nothing_for_long_is_sent_away() {
    let served = served(1, "idle_timeout = \"300ms\"");
    for greeting in GREETINGS {
        for asked in [0, 2] {
            let mut peer = Peer::new(served.address(), greeting);
            (0..asked).for_each(|_| peer.assert_goes_on());
            let began = ringway::runtime::clock::now();
            assert_eq!(peer.hear(), Some(Heard::GoAway(asked, Code::Idle.number())));
            assert!(began.elapsed() > Duration::from_millis(200));
            assert_eq!(peer.hear(), None);
        }
    }
    wait_until("all ended so", || served.closed(CloseReason::IdleTimeout) == 6);
}
