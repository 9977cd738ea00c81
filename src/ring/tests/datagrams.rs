//! Datagrams against the real kernel, with multishot receives and without, and by epoll.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::*;
use crate::mem::Buf;
use crate::ring::kernel::set;
use crate::ring::uring::{Capabilities, Uring};

const RECEIVE: Token = Token::new(Key::new(0, 0), Lane::Client, Verb::ReceiveFrom);
const ANY: u16 = u16::MAX;

fn options(datagram_buffers: u16) -> RingOptions {
    RingOptions {
        entries: 64,
        completions: 256,
        buffers: 8,
        buffer_size: 1024,
        datagram_buffers,
        ..RingOptions::default()
    }
}

fn with_and_without_multishot(datagram_buffers: u16, test: impl Fn(KernelDriver)) {
    let options = options(datagram_buffers);
    for datagram_multishot in [true, false] {
        let without = |found| Capabilities { datagram_multishot, ..found };
        test(KernelDriver::Uring(Uring::with(&options, without).unwrap()));
    }
    test(KernelDriver::new(DriverKind::Epoll, &options).unwrap());
}

fn socket(address: &str) -> (UdpSocket, Fd, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let (fd, local) = (Fd(socket.as_raw_fd()), socket.local_addr().unwrap());
    (socket, fd, local)
}

fn complete(ring: &mut KernelDriver) -> Vec<Completion> {
    let deadline = ring.now() + Duration::from_secs(10);
    let mut completions = Vec::new();
    while completions.is_empty() {
        assert!(ring.now() < deadline, "a completion comes");
        ring.wait(Some(deadline)).unwrap();
        ring.reap(&mut completions);
    }
    completions
}

/// Receives `count` datagrams (or batches of them) on `fd`, armed again as often as needed.
fn receive(ring: &mut KernelDriver, fd: Fd, armed: &mut bool, count: usize) -> Vec<Datagram> {
    let mut got = Vec::new();
    while got.len() < count {
        if !std::mem::replace(armed, true) {
            ring.push(RECEIVE, Op::ReceiveFrom { socket: fd }).unwrap();
        }
        for completion in complete(ring) {
            *armed = completion.more;
            match completion.outcome {
                Outcome::Datagram(datagram) => got.push(datagram),
                Outcome::Starved => panic!("{count} datagrams are more than buffers"),
                other => panic!("{other:?}"),
            }
        }
    }
    got
}

fn outbox(to: Option<SocketAddr>, from: Option<IpAddr>, parts: &[&[u8]], most: u16) -> Outbox {
    let mut outbox = Outbox::new();
    for part in parts {
        let segment = u16::try_from(part.len()).unwrap();
        outbox.push(to, from, Buf::copy_of(part), segment, most);
    }
    outbox
}

#[test]
fn datagrams_come_with_their_sender_empty_and_large_ones_too() {
    with_and_without_multishot(8, |mut ring| {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (_ours, fd, local) = socket(address);
            let (theirs, _, from) = socket(address);
            let mut armed = false;
            let large = vec![7; 65_507];
            for text in [&b"hello"[..], b"", &large] {
                theirs.send_to(text, local).unwrap();
                let datagram = receive(&mut ring, fd, &mut armed, 1).remove(0);
                let head = datagram.head();
                assert_eq!((head.from, head.local, head.truncated), (Some(from), None, false));
                assert_eq!(usize::from(head.segment), text.len());
                assert!(*datagram.into_data() == *text);
            }
            if armed {
                let cancel = Token::new(RECEIVE.key, RECEIVE.lane, Verb::CancelFrom);
                ring.push(cancel, Op::Cancel { target: RECEIVE }).unwrap();
                while ring.in_flight() > 0 {
                    complete(&mut ring);
                }
            }
        }
        assert_eq!(ring.datagram_buffers(), (8, 8), "all buffers are back");
    });
}

#[test]
fn exhausted_datagram_buffers_starve_and_nothing_is_lost() {
    with_and_without_multishot(4, |mut ring| {
        let (_ours, fd, local) = socket("127.0.0.1:0");
        let (theirs, ..) = socket("127.0.0.1:0");
        for number in 0..20_u8 {
            theirs.send_to(&[number], local).unwrap();
        }
        let mut held = Vec::new();
        let mut got = Vec::new();
        let mut starved = 0;
        ring.push(RECEIVE, Op::ReceiveFrom { socket: fd }).unwrap();
        while got.len() < 20 {
            for completion in complete(&mut ring) {
                match completion.outcome {
                    Outcome::Datagram(datagram) => {
                        let data = datagram.into_data();
                        got.push(data[0]);
                        held.push(data);
                    }
                    Outcome::Starved => {
                        starved += 1;
                        assert_eq!(ring.datagram_buffers(), (0, 4));
                        held.clear();
                    }
                    other => panic!("{other:?}"),
                }
                if !completion.more {
                    ring.push(RECEIVE, Op::ReceiveFrom { socket: fd }).unwrap();
                }
            }
        }
        assert_eq!(got, (0..20).collect::<Vec<u8>>());
        assert!(starved > 0);
    });
}

#[test]
fn a_batch_arrives_joined_and_leaves_joined() {
    with_and_without_multishot(8, |mut ring| {
        let (ours, fd, local) = socket("127.0.0.1:0");
        let (theirs, their_fd, from) = socket("127.0.0.1:0");
        setsockopt(&ours, sockopt::UdpGroSegment, &true).unwrap();
        let parts: Vec<Vec<u8>> =
            (0..40_u8).map(|n| vec![n; if n < 39 { 1_200 } else { 10 }]).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let batch = outbox(Some(local), None, &parts, ANY);
        let report = ring.send_datagrams(their_fd, &batch, ANY);
        assert_eq!((report.datagrams, report.joined), (40, 1));
        assert_eq!(report.bytes, 39 * 1_200 + 10);
        let datagram = receive(&mut ring, fd, &mut false, 1).remove(0);
        let head = datagram.head();
        assert_eq!((head.from, head.segment), (Some(from), 1_200));
        let data = datagram.into_data();
        assert!(*data == *parts.concat());
        // Back, to a receiver that wants them one by one.
        let mut back = Outbox::new();
        back.push(Some(from), None, data, head.segment, ANY);
        let report = ring.send_datagrams(fd, &back, ANY);
        assert_eq!((report.datagrams, report.joined), (40, 1));
        let mut buffer = [0; 2_000];
        for part in parts {
            let (len, sender) = theirs.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..len], sender), (part, local));
        }
    });
}

#[test]
fn without_joining_every_datagram_is_a_message() {
    for mut ring in super::every(&options(8)) {
        let (theirs, _, to) = socket("127.0.0.1:0");
        let (_ours, fd, _) = socket("127.0.0.1:0");
        let mut batch = Outbox::new();
        batch.push(Some(to), None, Buf::copy_of(b"aabbc"), 2, 0);
        batch.push(Some(to), None, Buf::copy_of(b""), 0, 0);
        batch.push(Some(to), None, Buf::copy_of(b"dd"), 2, 0);
        let report = ring.send_datagrams(fd, &batch, 0);
        assert_eq!((report.datagrams, report.bytes, report.joined), (5, 7, 0));
        let mut buffer = [0; 8];
        let got: Vec<Vec<u8>> = (0..5)
            .map(|_| {
                let len = theirs.recv(&mut buffer).unwrap();
                buffer[..len].to_vec()
            })
            .collect();
        assert_eq!(got, [&b"aa"[..], b"bb", b"c", b"", b"dd"]);
    }
}

#[test]
fn a_refusal_to_join_is_no_loss_and_the_datagrams_go_one_by_one() {
    for mut ring in super::every(&options(8)) {
        let (theirs, _, to) = socket("127.0.0.1:0");
        let (_ours, fd, _) = socket("127.0.0.1:0");
        // Without a checksum the kernel cannot split.
        set(fd, libc::SOL_SOCKET, libc::SO_NO_CHECK, &1i32);
        let (first, second) = (vec![1; 100], vec![2; 100]);
        let batch = outbox(Some(to), None, &[&first, &first, &second], ANY);
        let report = ring.send_datagrams(fd, &batch, ANY);
        assert_eq!((report.datagrams, report.joined, report.segment_max), (3, 0, None));
        assert_eq!((report.full, report.refused, report.error), (0, 0, None));
        let mut buffer = [0; 200];
        for part in [&first, &first, &second] {
            assert_eq!(theirs.recv(&mut buffer).unwrap(), 100);
            assert_eq!(buffer[..100], part[..]);
        }
    }
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    for mut ring in super::every(&options(8)) {
        let (ours, fd, local) = socket("0.0.0.0:0");
        setsockopt(&ours, sockopt::Ipv4PacketInfo, &true).unwrap();
        let (theirs, _, from) = socket("127.0.0.1:0");
        let asked: SocketAddr = ([127, 0, 0, 2], local.port()).into();
        theirs.send_to(b"x", asked).unwrap();
        let head = receive(&mut ring, fd, &mut false, 1)[0].head();
        assert_eq!((head.from, head.local), (Some(from), Some(asked.ip())));
        let batch = outbox(head.from, head.local, &[b"y", b"z"], ANY);
        let report = ring.send_datagrams(fd, &batch, ANY);
        assert_eq!((report.datagrams, report.joined), (2, 1));
        for _ in 0..2 {
            assert_eq!(theirs.recv_from(&mut [0; 8]).unwrap(), (1, asked));
        }
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_an_error_of_the_connected_socket() {
    for mut ring in super::every(&options(8)) {
        let (gone, _, address) = socket("127.0.0.1:0");
        drop(gone);
        let server = SocketAddress::inet(address);
        let fd = ring.datagram_socket(&server, &DatagramSocketOptions::default()).unwrap();
        ring.push(RECEIVE, Op::ReceiveFrom { socket: fd }).unwrap();
        let batch = outbox(None, None, &[b"x"], ANY);
        assert_eq!(ring.send_datagrams(fd, &batch, ANY).datagrams, 1);
        let failed = complete(&mut ring).remove(0);
        assert!(!failed.more);
        assert!(matches!(failed.outcome, Outcome::Failed(Errno::ECONNREFUSED)), "{failed:?}");
        ring.close(fd);
        let unix = SocketAddress::unnamed();
        let refused = ring.datagram_socket(&unix, &DatagramSocketOptions::default());
        assert_eq!(refused, Err(Errno::EAFNOSUPPORT));
    }
}

#[test]
fn an_unconnected_socket_tells_whose_host_refused() {
    for (wildcard, host) in [("0.0.0.0:0", "127.0.0.2:0"), ("[::]:0", "[::1]:0")] {
        let mut ring = Uring::new(&options(8)).unwrap();
        let (ours, fd, _) = socket(wildcard);
        let (gone, _, gone_address) = socket(host);
        if gone_address.is_ipv4() {
            setsockopt(&ours, sockopt::Ipv4RecvErr, &true).unwrap();
            setsockopt(&ours, sockopt::Ipv4PacketInfo, &true).unwrap();
        } else {
            setsockopt(&ours, sockopt::Ipv6RecvErr, &true).unwrap();
            setsockopt(&ours, sockopt::Ipv6RecvPacketInfo, &true).unwrap();
        }
        drop(gone);
        let (there, _, there_address) = socket(host);
        assert_eq!(ring.take_socket_error(fd), None);
        let from = Some(gone_address.ip());
        let mut batch = Outbox::new();
        batch.push(Some(gone_address), from, Buf::copy_of(b"1"), 1, 0);
        // The error of the first one is reported to the second, which is sent all the same.
        batch.push(Some(there_address), from, Buf::copy_of(b"2"), 1, 0);
        let report = ring.send_datagrams(fd, &batch, ANY);
        assert_eq!((report.datagrams, report.refused), (2, 0));
        assert!(report.interrupted);
        let expected = SocketError { peer: gone_address, local: from, errno: Errno::ECONNREFUSED };
        assert_eq!(ring.take_socket_error(fd), Some(expected));
        assert_eq!(ring.take_socket_error(fd), None);
        assert_eq!(there.recv(&mut [0; 8]).unwrap(), 1);
    }
}

#[test]
fn a_full_socket_drops_the_rest_and_counts_it() {
    for mut ring in super::every(&options(8)) {
        let (theirs, _, to) = socket("127.0.0.1:0");
        let (ours, fd, _) = socket("127.0.0.1:0");
        setsockopt(&ours, sockopt::SndBuf, &4_608).unwrap();
        // Whom they are for does not read: its queue holds the bytes against our socket's limit.
        let mut sent = 0;
        let mut full = 0;
        for _ in 0..50 {
            let mut batch = Outbox::new();
            for _ in 0..100 {
                batch.push(Some(to), None, Buf::copy_of(&[0; 1_000]), 1_000, 0);
            }
            let report = ring.send_datagrams(fd, &batch, 0);
            assert_eq!(report.datagrams + report.full + report.refused, 100);
            assert_eq!(report.refused, 0, "{report:?}");
            sent += report.datagrams;
            full += report.full;
        }
        assert_eq!(sent + full, 5_000);
        drop(theirs);
    }
}

#[test]
fn more_messages_than_one_call_takes_are_sent_in_several() {
    for mut ring in super::every(&options(8)) {
        let (_theirs, _, to) = socket("127.0.0.1:0");
        let (_ours, fd, _) = socket("127.0.0.1:0");
        let mut batch = Outbox::new();
        for _ in 0..40 {
            batch.push(Some(to), None, Buf::copy_of(&[0; SEGMENTS_SENT_MAX]), 1, 0);
        }
        let report = ring.send_datagrams(fd, &batch, 0);
        assert_eq!(report.datagrams, 40 * SEGMENTS_SENT_MAX as u64);
    }
}

#[test]
fn a_ring_dropped_with_receives_in_flight_waits_for_its_buffers() {
    with_and_without_multishot(8, |mut ring| {
        let (_ours, fd, _) = socket("127.0.0.1:0");
        ring.push(RECEIVE, Op::ReceiveFrom { socket: fd }).unwrap();
        ring.wait(Some(ring.now())).unwrap();
        assert_eq!(ring.in_flight(), 1);
        drop(ring);
    });
}
