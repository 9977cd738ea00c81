use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use rustls::Connection;

use super::*;
use crate::net::tls::peers::{Ours, Pair, combinations, heard, pair};
use crate::ring::Direct;

/// A kernel that does as it is told and writes down what it was asked for.
#[derive(Debug, Default)]
struct Scripted {
    ulp: Option<Errno>,
    key: Option<Errno>,
    second_key: Option<Errno>,
    record: Option<Errno>,
    keys: Vec<Vec<u8>>,
    records: Vec<(u8, Vec<u8>)>,
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
}

const SOCKET: Fd = Fd(-1);

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
            drop(crate::net::tls::peers::take(&mut peer));
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
