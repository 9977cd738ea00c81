use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use rustls::Connection;

use super::*;
use crate::net::tls::Session;
use crate::net::tls::peers::{Ours, Pair, combinations, give, heard, pair, said, session, take};
use crate::ring::Direct;

/// A record's type, none at the end, and its payload.
type Arrival = Result<(Option<u8>, Vec<u8>), Errno>;

/// A kernel that does as it is told and writes down what it was asked for.
#[derive(Debug, Default)]
struct Scripted {
    ulp: Option<Errno>,
    key: Option<Errno>,
    second_key: Option<Errno>,
    record: Option<Errno>,
    keys: Vec<Vec<u8>>,
    records: Vec<(u8, Vec<u8>)>,
    receive_key: Option<Errno>,
    receive_keys: Vec<Vec<u8>>,
    /// What is received, one after the other; then nothing.
    arrivals: VecDeque<Arrival>,
}

impl TlsCalls for Scripted {
    fn enable_tls(&mut self, _socket: Fd) -> Result<(), Errno> {
        self.keys.clear();
        self.ulp.map_or(Ok(()), Err)
    }

    fn set_tls_transmit(&mut self, _socket: Fd, info: &[u8]) -> Result<(), Errno> {
        let refused = if self.keys.is_empty() { self.key } else { self.second_key };
        self.keys.push(info.to_vec());
        refused.map_or(Ok(()), Err)
    }

    fn tls_transmit(&mut self, _socket: Fd, info: &mut [u8]) -> Result<(), Errno> {
        let last = self.keys.last().ok_or(Errno::EBUSY)?;
        info.copy_from_slice(last);
        Ok(())
    }

    fn send_tls_record(&mut self, _socket: Fd, kind: u8, payload: &[u8]) -> Result<usize, Errno> {
        if let Some(errno) = self.record {
            return Err(errno);
        }
        self.records.push((kind, payload.to_vec()));
        Ok(payload.len())
    }

    fn set_tls_receive(&mut self, _socket: Fd, info: &[u8]) -> Result<(), Errno> {
        self.receive_keys.push(info.to_vec());
        self.receive_key.map_or(Ok(()), Err)
    }

    fn receive_tls_record(
        &mut self,
        _socket: Fd,
        into: &mut [u8],
    ) -> Result<(Option<u8>, usize), Errno> {
        let (kind, payload) = self.arrivals.pop_front().unwrap_or(Err(Errno::EAGAIN))?;
        into[..payload.len()].copy_from_slice(&payload);
        Ok((kind, payload.len()))
    }

    fn receive_now(&mut self, _socket: Fd, _into: &mut [u8]) -> Result<usize, Errno> {
        panic!("data is received elsewhere")
    }

    fn fill_pipe(&mut self, _writer: Fd, _bytes: &[u8]) -> Result<usize, Errno> {
        panic!("there is no pipe")
    }
}

const SOCKET: Fd = Fd(-1);

/// A server's session that rustls has given away, and the client at its other end.
fn given_away(version: Version, aead: Aead) -> (Session, Connection) {
    let (mut session, peer) = session(version, aead);
    let _transmit = session.give_away().unwrap();
    (session, peer)
}

fn receive(session: &mut Session, bytes: &[u8], plain: &mut Vec<u8>) {
    session.receive(bytes, &mut Vec::new(), plain, &mut Vec::new()).unwrap();
}

#[test]
fn the_probe_says_what_is_missing_and_what_to_do() {
    let with = |ulp, key, second_key| {
        let mut kernel = Scripted { ulp, key, second_key, ..Scripted::default() };
        let report = probe(&mut kernel);
        assert_eq!(report.combinations().len(), 6);
        let first = report.verdict(Version::Tls13, Aead::Aes128Gcm);
        assert!(report.combinations().iter().all(|row| row.verdict == first));
        (first.to_string(), report.key_update().to_string())
    };
    let cases = [
        (None, None, None, "works", "works"),
        (None, None, Some(Errno::EBUSY), "works", "6.14"),
        (None, None, Some(Errno::EPERM), "works", "another key"),
        (Some(Errno::ENOENT), None, None, "modprobe tls", "modprobe tls"),
        (Some(Errno::ENOPROTOOPT), None, None, "4.13", "4.13"),
        (Some(Errno::EPERM), None, None, "no TLS", "no TLS"),
        (None, Some(Errno::ENOENT), None, "modprobe gcm", "modprobe gcm"),
        (None, Some(Errno::EINVAL), None, "too old", "too old"),
        (None, Some(Errno::EPERM), None, "refuses the key", "refuses the key"),
    ];
    for (ulp, key, second_key, first, update) in cases {
        let (found, found_update) = with(ulp, key, second_key);
        assert!(found.contains(first), "{found}");
        assert!(found_update.contains(update), "{found_update}");
    }
}

#[test]
fn a_refusal_leaves_the_connection_in_user_space() {
    let Pair { transmit, .. } = pair(Ours::Server, Version::Tls13, Aead::Aes128Gcm);
    let report = probe(&mut Scripted::default());
    for (ulp, key) in [(Some(Errno::ENOENT), None), (None, Some(Errno::EINVAL))] {
        let mut kernel = Scripted { ulp, key, ..Scripted::default() };
        let refused = KernelSender::enable(&mut kernel, SOCKET, &transmit, &report).unwrap_err();
        assert_eq!(refused, KernelError::Refused(ulp.or(key).unwrap()));
    }
    let mut kernel = Scripted { ulp: Some(Errno::EEXIST), ..Scripted::default() };
    assert!(KernelSender::enable(&mut kernel, SOCKET, &transmit, &report).is_ok());
    let used_up = Aead::Aes128Gcm.records_max();
    let used_up =
        TrafficKey::new(Version::Tls13, Aead::Aes128Gcm, &[1; 16], [1; 12], used_up).unwrap();
    assert!(KernelSender::enable(&mut kernel, SOCKET, &used_up, &report).is_err());
}

#[test]
fn the_peer_is_told_before_the_key_changes() {
    let Pair { transmit, mut source, .. } = pair(Ours::Server, Version::Tls13, Aead::Aes128Gcm);
    let report = probe(&mut Scripted::default());
    let mut kernel = Scripted::default();
    let mut sender = KernelSender::enable(&mut kernel, SOCKET, &transmit, &report).unwrap();
    kernel.record = Some(Errno::EAGAIN);
    let full = sender.update_key(&mut kernel, SOCKET, &mut source, true);
    assert_eq!((full, kernel.keys.len()), (Err(KernelError::Full), 1));
    kernel.record = None;
    sender.update_key(&mut kernel, SOCKET, &mut source, true).unwrap();
    assert_eq!(kernel.records, [(22, vec![24, 0, 0, 1, 1])]);
    assert_eq!(kernel.keys.len(), 2);
    assert_ne!(kernel.keys[0], kernel.keys[1]);
    assert_eq!(kernel.keys[1][32..40], [0; 8], "numbers begin again");
    sender.alert(&mut kernel, SOCKET, 0).unwrap();
    sender.alert(&mut kernel, SOCKET, 20).unwrap();
    assert_eq!(kernel.records[1..], [(21, vec![1, 0]), (21, vec![2, 20])]);
    let left = sender.records_left(&mut kernel, SOCKET);
    assert_eq!(left, Ok(Aead::Aes128Gcm.records_max()));
    kernel.record = Some(Errno::EPIPE);
    let broken = sender.alert(&mut kernel, SOCKET, 0);
    assert_eq!(broken, Err(KernelError::Broken(Errno::EPIPE)));
}

#[test]
fn where_keys_can_not_change_nothing_is_announced() {
    let old = probe(&mut Scripted { second_key: Some(Errno::EBUSY), ..Scripted::default() });
    let new = probe(&mut Scripted::default());
    for (version, report) in [(Version::Tls13, old), (Version::Tls12, new)] {
        let Pair { transmit, mut source, .. } = pair(Ours::Server, version, Aead::Aes256Gcm);
        let mut kernel = Scripted::default();
        let mut sender = KernelSender::enable(&mut kernel, SOCKET, &transmit, &report).unwrap();
        let refused = sender.update_key(&mut kernel, SOCKET, &mut source, false);
        assert_eq!(refused, Err(KernelError::NoKeyUpdate));
        assert!(kernel.records.is_empty());
    }
}

#[test]
fn decrypting_is_asked_for_and_goes_on_when_keys_change() {
    let able = probe(&mut Scripted::default());
    let old = probe(&mut Scripted { second_key: Some(Errno::EBUSY), ..Scripted::default() });
    let unable = probe(&mut Scripted { receive_key: Some(Errno::EINVAL), ..Scripted::default() });
    let aead = Aead::Aes128Gcm;
    for (report, is_asked) in [
        (able, false),
        (able.with_receive(), true),
        (old.with_receive(), false),
        (unable.with_receive(), false),
    ] {
        let decrypts = |version| report.decrypts(version, aead);
        assert_eq!([Version::Tls13, Version::Tls12].map(decrypts), [is_asked; 2]);
        assert_eq!(report.verdict(Version::Tls13, aead), Verdict::Works);
    }
}

#[test]
fn what_stands_where_data_was_expected_is_taken() {
    let found = |arrival: Option<Arrival>| {
        let arrivals = arrival.into_iter().collect();
        let mut kernel = Scripted { arrivals, ..Scripted::default() };
        let found = control_record(&mut kernel, SOCKET, &mut [0; 10]);
        assert!(kernel.arrivals.is_empty(), "nothing is looked at and left");
        found
    };
    assert_eq!(found(Some(Ok((Some(21), vec![1, 0])))), Ok(Found::Record(21, 2)));
    assert_eq!(found(Some(Ok((Some(23), vec![1, 2, 3])))), Ok(Found::Data(3)));
    assert_eq!(found(Some(Ok((Some(23), Vec::new())))), Ok(Found::Data(0)));
    assert_eq!(found(Some(Ok((None, Vec::new())))), Ok(Found::End));
    assert_eq!(found(None), Ok(Found::Nothing));
    for errno in [Errno::EBADMSG, Errno::ECONNRESET] {
        assert_eq!(found(Some(Err(errno))), Err(KernelError::Broken(errno)));
    }
}

#[test]
fn a_session_gives_its_receiving_key_at_a_record_s_boundary_only() {
    for (version, aead) in combinations() {
        let (mut session, mut peer) = given_away(version, aead);
        let mut wire = said(&mut peer, b"hello");
        let last = wire.split_off(wire.len() - 3);
        let mut plain = Vec::new();
        receive(&mut session, &wire[..2], &mut plain);
        assert_eq!(session.missing(), 3, "of the head");
        receive(&mut session, &wire[2..], &mut plain);
        assert_eq!((session.missing(), plain.len()), (3, 0), "{version:?} {aead:?}");
        assert!(session.receive_key().is_none());
        receive(&mut session, &last, &mut plain);
        assert_eq!((session.missing(), &*plain), (0, &b"hello"[..]));
        let key = session.receive_key().unwrap();
        // TLS 1.2 has counted the handshake's last message.
        let before = u64::from(version == Version::Tls12);
        assert_eq!((key.version(), key.aead(), key.sequence()), (version, aead, 1 + before));
        let closed = session.receive_opened((21, &[1, 0]), true).unwrap();
        assert!(closed.0.closed && closed.1.is_none() && session.is_closed());
    }
}

#[test]
fn what_rustls_holds_is_sent_before_a_session_is_given_away() {
    for (version, aead) in combinations() {
        let (mut session, mut peer) = session(version, aead);
        let is_new = version == Version::Tls13;
        for round in 0..2 {
            assert_eq!(session.owes_answer(), is_new, "{version:?}, round {round}");
            assert_eq!(session.can_be_given_away(), !is_new);
            if is_new {
                let mut wire = Vec::new();
                session.answer(&mut wire).unwrap();
                give(&mut peer, &wire).unwrap();
                assert!(heard(&mut peer).is_empty(), "it says nothing");
                assert!(session.can_be_given_away() && !session.owes_answer());
                peer.refresh_traffic_keys().unwrap();
            }
            let wire = said(&mut peer, b"hello");
            let mut plain = Vec::new();
            receive(&mut session, &wire, &mut plain);
            assert_eq!(plain, b"hello");
        }
        let mut wire = Vec::new();
        session.send(b"bye", crate::runtime::clock::now(), &mut wire).unwrap();
        give(&mut peer, &wire).unwrap();
        assert_eq!(heard(&mut peer), b"bye");
        session.give_away().unwrap();
    }
}

#[test]
fn a_new_key_of_the_peer_is_given_to_who_opens_and_a_flood_of_them_refused() {
    let (mut session, _peer) = given_away(Version::Tls13, Aead::Aes256Gcm);
    let mut update =
        |reply, after_data| session.receive_opened((22, &[24, 0, 0, 1, reply]), after_data);
    let (received, key) = update(1, true).unwrap();
    assert!(received.key_update && key.unwrap().sequence() == 0);
    let (received, key) = update(0, true).unwrap();
    assert!(!received.key_update && key.is_some());
    let mut in_a_row = (0..40).map(|_| update(0, false));
    assert!(in_a_row.any(|result| result.is_err()), "each costs us the making of a key");
    assert!((0..100).all(|_| update(0, true).is_ok()), "with data between them they are welcome");
    assert!(session.receive_opened((99, b"what is this"), true).is_err());
    assert_eq!(session.take_alert_code(), Some(10));
    let error = session.fail_opened();
    assert_eq!(session.take_alert_code(), Some(20), "{error}");
}

#[test]
fn the_probe_runs_on_any_kernel() {
    let report = probe(&mut Direct);
    for row in report.combinations() {
        assert!(!matches!(row.verdict, Verdict::NotTried(_)), "{row:?}");
    }
}

/// What a peer has received until the end: bytes, and whether `close_notify` came.
fn listen(mut peer: Connection, mut stream: TcpStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    loop {
        let len = peer.read_tls(&mut stream).unwrap();
        let state = peer.process_new_packets().unwrap();
        all.extend(heard(&mut peer));
        if state.peer_has_closed() || len == 0 {
            return (all, state.peer_has_closed());
        }
    }
}

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_every_combination_works() {
    let report = probe(&mut Direct);
    for row in report.combinations() {
        println!("{:?} {}: {}", row.version, row.aead.name(), row.verdict);
        assert_eq!(row.verdict, Verdict::Works);
    }
    println!("key update: {}", report.key_update());
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_rustls_reads_writes_files_and_the_end() {
    let report = probe(&mut Direct);
    let path = std::env::temp_dir().join(format!("ringway-kernel-tls-{}", std::process::id()));
    let file_bytes: Vec<u8> = (0..249).cycle().take(1 << 20).collect();
    std::fs::write(&path, &file_bytes).unwrap();
    for (version, aead) in combinations() {
        for ours in [Ours::Server, Ours::Client] {
            let Pair { transmit, mut peer, .. } = pair(ours, version, aead);
            // What rustls has not sent is none of this connection's.
            drop(take(&mut peer));
            let (mut stream, theirs) = connection();
            let peer = thread::spawn(move || listen(peer, theirs));
            let socket = Fd(stream.as_raw_fd());
            let mut sender = KernelSender::enable(&mut Direct, socket, &transmit, &report).unwrap();
            stream.write_all(b"head").unwrap();
            let file = std::fs::File::open(&path).unwrap();
            let mut offset = 0;
            while offset < 1 << 20 {
                let at = Some(&mut offset);
                nix::sys::sendfile::sendfile(&stream, &file, at, 1 << 20).unwrap();
            }
            stream.write_all(b"tail").unwrap();
            let left = sender.records_left(&mut Direct, socket).unwrap();
            let used = aead.records_max() - left - transmit.sequence();
            assert!((66..=400).contains(&used), "{used} records for 1 MiB");
            sender.alert(&mut Direct, socket, 0).unwrap();
            let (all, closed) = peer.join().unwrap();
            assert_eq!(all.len(), file_bytes.len() + 8);
            assert!(all.starts_with(b"head") && all.ends_with(b"tail"));
            assert_eq!(all[4..][..file_bytes.len()], file_bytes);
            assert!(closed, "{version:?} {aead:?} {ours:?}: close_notify");
        }
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_data_is_received_plain_and_all_else_is_told() {
    let report = probe(&mut Direct).with_receive();
    for (version, aead) in combinations() {
        let is_able = report.decrypts(version, aead);
        println!("{version:?} {}: decrypts: {is_able}", aead.name());
        if !is_able {
            continue;
        }
        let (session, mut peer) = given_away(version, aead);
        let (ours, mut theirs) = connection();
        ours.set_nonblocking(true).unwrap();
        let socket = Fd(ours.as_raw_fd());
        // What waits in the socket already is decrypted as well.
        theirs.write_all(&said(&mut peer, b"before")).unwrap();
        decrypt(&mut Direct, socket, &session.receive_key().unwrap()).unwrap();
        let text: Vec<u8> = (0..251).cycle().take(100_000).collect();
        theirs.write_all(&said(&mut peer, &text)).unwrap();
        peer.send_close_notify();
        theirs.write_all(&take(&mut peer)).unwrap();
        drop(theirs);
        let mut all = Vec::new();
        let mut room = [0; 20_000];
        loop {
            match Direct.receive_now(socket, &mut room) {
                Ok(len) => all.extend_from_slice(&room[..len]),
                Err(Errno::EAGAIN) => thread::yield_now(),
                Err(errno) => {
                    assert_eq!(errno, Errno::EIO);
                    break;
                }
            }
        }
        assert!(all.starts_with(b"before") && all[6..] == text, "{} bytes", all.len());
        let found = control_record(&mut Direct, socket, &mut room).unwrap();
        assert_eq!((found, &room[..2]), (Found::Record(21, 2), &[1, 0][..]));
        assert_eq!(control_record(&mut Direct, socket, &mut room), Ok(Found::End));
    }
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_keys_change_or_are_known_not_to() {
    let report = probe(&mut Direct);
    for aead in Aead::ALL {
        let Pair { transmit, mut source, peer, .. } = pair(Ours::Server, Version::Tls13, aead);
        let (mut stream, theirs) = connection();
        let peer = thread::spawn(move || listen(peer, theirs));
        let socket = Fd(stream.as_raw_fd());
        let mut sender = KernelSender::enable(&mut Direct, socket, &transmit, &report).unwrap();
        stream.write_all(b"before").unwrap();
        let updated = sender.update_key(&mut Direct, socket, &mut source, false);
        if report.key_update() == Verdict::Works {
            assert_eq!(updated, Ok(()));
            let left = sender.records_left(&mut Direct, socket).unwrap();
            assert_eq!(left, aead.records_max());
        } else {
            assert_eq!(report.key_update(), Verdict::UpdateRefused(Errno::EBUSY));
            assert_eq!(updated, Err(KernelError::NoKeyUpdate));
        }
        stream.write_all(b", after").unwrap();
        sender.alert(&mut Direct, socket, 0).unwrap();
        assert_eq!(peer.join().unwrap(), (b"before, after".to_vec(), true));
    }
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_a_socket_without_a_key_stays_plain() {
    let (mut stream, mut theirs) = connection();
    let socket = Fd(stream.as_raw_fd());
    Direct.enable_tls(socket).unwrap();
    assert_eq!(Direct.set_tls_transmit(socket, &[0; 7]), Err(Errno::EINVAL));
    stream.write_all(b"plain").unwrap();
    let mut bytes = [0; 5];
    theirs.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"plain");
}

#[test]
#[ignore = "needs a kernel with CONFIG_TLS: scripts/vm.sh"]
fn on_a_kernel_with_tls_a_full_socket_takes_the_end_later() {
    let report = probe(&mut Direct);
    for (version, aead) in combinations() {
        let Pair { transmit, peer, .. } = pair(Ours::Server, version, aead);
        let (mut stream, theirs) = connection();
        let socket = Fd(stream.as_raw_fd());
        let mut sender = KernelSender::enable(&mut Direct, socket, &transmit, &report).unwrap();
        stream.set_nonblocking(true).unwrap();
        let block: Vec<u8> = (0..247).cycle().take(100_000).collect();
        let mut sent = 0;
        while let Ok(len) = stream.write(&block[sent % block.len()..]) {
            sent += len;
        }
        assert_eq!(sender.alert(&mut Direct, socket, 0), Err(KernelError::Full));
        let peer = thread::spawn(move || listen(peer, theirs));
        while sender.alert(&mut Direct, socket, 0) == Err(KernelError::Full) {
            thread::yield_now();
        }
        let (all, closed) = peer.join().unwrap();
        assert!(closed && all.len() == sent, "{} of {sent} bytes", all.len());
        assert!(all.chunks(block.len()).all(|part| block.starts_with(part)));
    }
}
