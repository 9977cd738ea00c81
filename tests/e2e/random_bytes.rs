//! Random bytes against every server, while well-behaved clients go on being served.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ringway::proto::frame::Version;
use ringway::ring::sim::Random;

use crate::frame_peer::{Greeting, Peer};
use crate::support::*;

const SENDERS: u64 = 4;

fn config() -> String {
    let mut text = [&runtime(2), NO_ADMIN].concat();
    for (protocol, extra) in [
        ("frame", "values = { motd = \"hello\" }"),
        ("messages", "line_limit = \"1KiB\""),
        ("echo", ""),
        ("udp_echo", ""),
    ] {
        let name = protocol.replace('_', "-");
        text += &format!(
            "[[listener]]\nname = \"{name}\"\nlisten = \"127.0.0.1:0\"\n\
             protocol = \"{protocol}\"\n{extra}\n"
        );
    }
    text
}

/// The frames of `tests/vectors/frame.txt`, and messages.
fn valid() -> Vec<Vec<u8>> {
    let digit = |hex: &str, at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    let frames = include_str!("../vectors/frame.txt").lines().filter(|line| !line.starts_with('#'));
    let frames = frames.map(|line| {
        let hex = line.split(' ').nth(2).unwrap();
        (0..hex.len()).step_by(2).map(|at| digit(hex, at)).collect()
    });
    let messages = [
        r#"{"type":"echo","payload":"aGVsbG8=","id":1}"#,
        r#"{"type":"time","id":"now"}"#,
        r#"{"type":"stats"}"#,
        r#"{"type":"nobody","id":[[[[{}]]]]}"#,
    ];
    frames.chain(messages.map(|line| format!("{line}\n").into_bytes())).collect()
}

/// Bytes at random: any, or valid ones in a row, of which some are changed, left out or cut.
fn string(random: &mut Random, valid: &[Vec<u8>]) -> Vec<u8> {
    let most = [8, 100, 5_000][random.below(3)];
    let mut string = Vec::new();
    if random.chance(300) {
        let len = 1 + random.below(most);
        string.extend(std::iter::repeat_with(|| (random.bits() & 0xff) as u8).take(len));
        return string;
    }
    for _ in 0..=random.below(6) {
        string.extend_from_slice(&valid[random.below(valid.len())]);
    }
    for _ in 0..random.below(4) {
        let at = random.below(string.len());
        match random.below(4) {
            0 => string[at] ^= 1 << random.below(8),
            1 => string[at] = (random.bits() & 0xff) as u8,
            2 => drop(string.drain(at..(at + 1 + random.below(9)).min(string.len()))),
            _ => string.insert(at, (random.bits() & 0xff) as u8),
        }
        if string.is_empty() {
            string.push(0);
        }
    }
    string.truncate(1 + random.below(string.len() * 2));
    string
}

/// Sends a string and reads up to the end, whichever that is; what came.
fn send_all(address: SocketAddr, string: &[u8], finish: bool) -> Vec<u8> {
    let mut stream = connect(address);
    // A server that has heard enough closes.
    let sent = stream.write_all(string);
    if !finish {
        return Vec::new();
    }
    let _closed = sent.and_then(|()| stream.shutdown(Shutdown::Write));
    let mut received = Vec::new();
    if let Err(error) = stream.read_to_end(&mut received) {
        let kind = error.kind();
        assert!(kind == ErrorKind::ConnectionReset, "{kind:?} after {}", string.escape_ascii());
    }
    received
}

/// Asks every server in turn until it is told to end; counts the turns.
fn behave(addresses: &[SocketAddr], over: &AtomicBool, rounds: &AtomicU64) {
    let mut frames = Peer::new(addresses[0], Greeting::Offer(Version::V2));
    let mut messages = BufReader::new(connect(addresses[1]));
    let mut echo = connect(addresses[2]);
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    udp.connect(addresses[3]).unwrap();
    while !over.load(Ordering::Relaxed) {
        frames.assert_goes_on();
        let line = "{\"type\":\"echo\",\"payload\":\"aGVsbG8=\"}\n";
        messages.get_mut().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        messages.read_line(&mut answer).unwrap();
        assert_eq!(answer, line);
        let mut back = [0; 64];
        echo.write_all(&[5; 64]).unwrap();
        echo.read_exact(&mut back).unwrap();
        assert_eq!(back, [5; 64]);
        udp.send(b"datagram").unwrap();
        assert_eq!(udp.recv(&mut back).unwrap(), 8);
        rounds.fetch_add(1, Ordering::Relaxed);
    }
}

/// `RINGWAY_RANDOM_STRINGS=1000000 cargo test --release --test e2e random_bytes` is the long run.
#[test]
fn random_bytes_harm_nobody_and_leave_nothing_behind() {
    let many = std::env::var("RINGWAY_RANDOM_STRINGS").ok();
    let many = many.and_then(|text| text.parse().ok()).unwrap_or(5_000_u64);
    let program = Program::serve(&config());
    let addresses = Arc::new(program.addresses.clone());
    assert_eq!(addresses.len(), 4);
    let (over, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let good = {
        let (addresses, over, rounds) =
            (Arc::clone(&addresses), Arc::clone(&over), Arc::clone(&rounds));
        std::thread::spawn(move || behave(&addresses, &over, &rounds))
    };
    wait_until("the good client is served", || rounds.load(Ordering::Relaxed) > 0);
    // The first half brings the heap to where it settles.
    flood(&addresses, many / 2, 0);
    // The connections of the good client stay.
    wait_until("the first are closed", || program.descriptors() < 60);
    let (fds, kib) = (program.descriptors(), program.resident_kib());
    let before = rounds.load(Ordering::Relaxed);
    flood(&addresses, many - many / 2, 1);
    wait_until("no descriptor is left", || program.descriptors() <= fds);
    let grown = program.resident_kib().saturating_sub(kib);
    // In a short run beside other tests, the second half may have more open at once than the first.
    let most = if many > 50_000 { 1024 } else { 4096 };
    assert!(grown < most, "{grown} KiB more in the second half of {many} strings");
    let served = rounds.load(Ordering::Relaxed) - before;
    assert!(served > 10, "the good client was served {served} times");
    over.store(true, Ordering::Relaxed);
    good.join().unwrap();
    program.signal(nix::sys::signal::Signal::SIGTERM);
    let (status, errors) = program.wait();
    assert!(status.success(), "{errors}");
}

/// Sends `many` strings to every server.
fn flood(addresses: &Arc<Vec<SocketAddr>>, many: u64, seed: u64) {
    let valid = Arc::new(valid());
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (addresses, valid) = (Arc::clone(addresses), Arc::clone(&valid));
            let many = many / SENDERS;
            std::thread::spawn(move || {
                let mut random = Random::new(seed << 32 | sender);
                let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
                for _ in 0..many {
                    let string = string(&mut random, &valid);
                    for (number, address) in addresses[..3].iter().enumerate() {
                        let finish = random.chance(900);
                        let received = send_all(*address, &string, finish);
                        assert!(number < 2 || !finish || received == string, "it is echoed");
                    }
                    let _full = udp.send_to(&string, addresses[3]);
                }
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}
