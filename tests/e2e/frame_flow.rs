//! Large answers of the framed protocol: in fair turns, no further than clients take them, and
//! cancelled when no client waits.

use ringway::proto::frame::{ClientOptions, Code, Command, Features, Version, parse_error};

use crate::frame_peer::{GREETINGS, Greeting, Heard, Peer};
use crate::support::*;

const LARGE: usize = 24 << 20;

/// A server with a large file, and what is in it.
fn file_server() -> (Served, Folder, Vec<u8>) {
    let (folder, whole) = (Folder::new(), bytes(5, LARGE));
    std::fs::write(folder.path().join("large"), &whole).unwrap();
    folder.file("small", "small");
    let listener = format!(
        "[[listener]]\nname = \"s\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"frame\"\n\
         files = \"{}\"\nvalues = {{ value = \"{}\" }}\n",
        folder.path().display(),
        "v".repeat(5_000)
    );
    (Served::new(&[&runtime(1), NO_ADMIN, &listener].concat()), folder, whole)
}

/// A proxy that has one server.
fn proxy_of(server: &Served, extra: &str) -> Served {
    crate::frame_proxy::proxy_of(1, &[server.address()], extra)
}

/// A client of version 2 with flow control, whose answers may carry `credit` bytes.
fn with_credit(served: &Served, credit: u32) -> Peer {
    let options = ClientOptions { features: Features::ALL, credit, ..ClientOptions::default() };
    Peer::on(served.connect(), Greeting::Offer(Version::V2), options)
}

/// The rest of an answer after what was heard of it; others meanwhile are an error.
fn rest_of(peer: &mut Peer, number: u32) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match peer.hear() {
            Some(Heard::Answer(of, Command::DATA, part)) if of == number => all.extend(part),
            Some(Heard::Answer(of, Command::END, _)) if of == number => return all,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_client_that_takes_nothing_for_a_while_delays_nobody_and_loses_nothing() {
    let (server, _folder, whole) = file_server();
    let served = proxy_of(&server, "pool_max = 1");
    for greeting in GREETINGS {
        let mut slow = Peer::new(served.address(), greeting);
        let number = slow.ask(Command::GET, b"large");
        let first = slow.hear();
        assert!(matches!(first, Some(Heard::Answer(1, Command::DATA, _))), "{first:?}");
        let mut quick = Peer::new(served.address(), greeting);
        for _ in 0..50 {
            quick.assert_goes_on();
            assert_eq!(quick.answer(Command::GET, b"small").as_deref(), Ok(&b"small"[..]));
        }
        let Some(Heard::Answer(_, _, mut all)) = first else { unreachable!() };
        all.extend(rest_of(&mut slow, number));
        assert!(all == whole, "{} of {} bytes", all.len(), whole.len());
        slow.assert_goes_on();
    }
}

#[test]
fn answers_overtake_a_file_and_files_take_turns() {
    let (server, _folder, whole) = file_server();
    let proxied = proxy_of(&server, "pool_max = 1");
    for served in [&server, &proxied] {
        let mut peer = Peer::new(served.address(), Greeting::Offer(Version::V2));
        let (first, second) = (peer.ask(Command::GET, b"large"), peer.ask(Command::GET, b"large"));
        let ping = peer.ask(Command::PING, b"overtakes");
        let mut parts = [Vec::new(), Vec::new()];
        let (mut turns, mut last, mut at_ping) = (0, 0, None);
        let mut ends = 0;
        while ends < 2 {
            match peer.hear() {
                Some(Heard::Answer(of, Command::PONG, _)) if of == ping => {
                    at_ping = Some(parts[0].len() + parts[1].len());
                }
                Some(Heard::Answer(of, Command::DATA, part)) => {
                    turns += u32::from(of != last);
                    last = of;
                    parts[usize::from(of == second)].extend_from_slice(&part);
                }
                Some(Heard::Answer(of, Command::END, _)) if of == first || of == second => {
                    ends += 1
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(at_ping.is_some_and(|bytes| bytes < LARGE), "PONG after {at_ping:?} bytes");
        assert!(turns > 20, "{turns} turns");
        assert!(parts.iter().all(|part| *part == whole));
    }
}

#[test]
fn no_more_comes_than_there_is_credit_for() {
    let (server, _folder, whole) = file_server();
    let proxied = proxy_of(&server, "pool_max = 1");
    for served in [&server, &proxied] {
        let mut peer = with_credit(served, 1_000);
        for name in ["large", "value"] {
            let number = peer.ask(Command::GET, name.as_bytes());
            let mut got = Vec::new();
            for credit in [0, 1, 1_000, 1_999] {
                peer.credit(number, credit);
                let allowed = got.len() + if got.is_empty() { 1_000 } else { credit as usize };
                while got.len() < allowed {
                    match peer.hear() {
                        Some(Heard::Answer(of, Command::DATA, part)) if of == number => {
                            got.extend_from_slice(&part);
                        }
                        other => panic!("{other:?} after {} of {allowed}", got.len()),
                    }
                }
                assert_eq!(got.len(), allowed);
                // What would have come meanwhile would have come before the answer.
                peer.assert_goes_on();
            }
            let expected = if name == "large" { &whole[..4_000] } else { &[b'v'; 4_000][..] };
            assert!(got == expected);
            peer.reset(number);
            assert_eq!(peer.hear_error(number), Code::Cancelled.number());
        }
        // Neither credit nor a reset of what is over is an error.
        peer.credit(1, 5);
        peer.reset(1);
        peer.assert_goes_on();
    }
}

#[test]
fn a_client_that_ends_its_direction_gets_the_rest_without_credit() {
    let (server, _folder, whole) = file_server();
    let proxied = proxy_of(&server, "");
    for served in [&server, &proxied] {
        let mut peer = with_credit(served, 1);
        let number = peer.ask(Command::GET, b"large");
        peer.finish();
        assert!(rest_of(&mut peer, number) == whole);
        assert_eq!(peer.hear(), None);
    }
}

#[test]
fn credit_and_resets_that_can_not_be_end_the_connection() {
    let (server, _folder, _) = file_server();
    let proxied = proxy_of(&server, "");
    for served in [&server, &proxied] {
        for (command, stream, payload, code) in [
            (Command::CREDIT, 0, &[0, 0, 0, 1][..], Code::BadStream),
            (Command::RESET, 9, &[], Code::BadStream),
            (Command::CREDIT, 1, &[0, 0, 0, 0], Code::BadCredit),
            (Command::CREDIT, 1, &[0x80, 0, 0, 0], Code::BadCredit),
            (Command::CREDIT, 1, &[1], Code::BadCredit),
        ] {
            let mut peer = with_credit(served, 0);
            peer.ask(Command::GET, b"large");
            peer.write_raw(command, stream, payload);
            assert_eq!(peer.hear_end(), Some(code.number()), "{command} {stream} {payload:?}");
        }
    }
}

#[test]
fn requests_beyond_the_window_are_refused_and_go_on() {
    let (server, _folder, _) = file_server();
    let proxied = proxy_of(&server, "");
    for served in [&server, &proxied] {
        let options =
            ClientOptions { features: Features::ALL, window: 2, ..ClientOptions::default() };
        let mut peer = Peer::on(served.connect(), Greeting::Offer(Version::V2), options);
        peer.write_raw(Command::GET, 1, b"large");
        peer.write_raw(Command::GET, 2, b"large");
        peer.write_raw(Command::GET, 3, b"large");
        let error = peer.read_raw();
        assert_eq!((error.0, error.1), (3, Command::ERROR));
        assert_eq!(parse_error(&error.2).unwrap().0, Code::Overloaded.number());
    }
}

#[test]
fn what_was_asked_by_clients_that_have_gone_is_not_fetched() {
    let (server, _folder, _) = file_server();
    for extra in ["", "pool_max = 1"] {
        let served = proxy_of(&server, extra);
        let before = server.sum(|cell| cell.stats.listeners.get(0).sent.get());
        for greeting in GREETINGS {
            let mut peer = Peer::new(served.address(), greeting);
            (0..20).for_each(|_| assert!(peer.ask(Command::GET, b"large") > 0));
            assert!(matches!(peer.hear(), Some(Heard::Answer(1, Command::DATA, _))));
            drop(peer);
        }
        wait_until("nothing is asked for", || {
            served.sum(|cell| cell.stats.upstreams.get(0).pool.in_use.get()) == 0
        });
        let mut other = Peer::new(served.address(), Greeting::Offer(Version::V2));
        other.assert_goes_on();
        let sent = server.sum(|cell| cell.stats.listeners.get(0).sent.get()) - before;
        assert!(sent < LARGE as u64 * 3, "{sent} bytes for nobody");
    }
}

#[test]
fn a_drain_lets_clients_allow_the_rest() {
    let (server, _folder, whole) = file_server();
    let mut peer = with_credit(&server, 10);
    let number = peer.ask(Command::GET, b"large");
    assert!(matches!(peer.hear(), Some(Heard::Answer(1, Command::DATA, _))));
    let draining = std::thread::spawn(move || server.drain());
    let mut all = whole[..10].to_vec();
    let going = peer.hear();
    assert_eq!(going, Some(Heard::GoAway(1, Code::ShuttingDown.number())));
    // Nothing answers what is asked behind it, by a client that does not heed it.
    peer.write_raw(Command::PING, 2, b"late");
    peer.credit(number, u32::try_from(LARGE).unwrap());
    all.extend(rest_of(&mut peer, number));
    assert!(all == whole);
    assert_eq!(draining.join().unwrap().cut, 0);
}
