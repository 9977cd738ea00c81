//! The drivers against the real kernel: io_uring on every rung of the ladder of ring flags, and
//! epoll.

mod datagrams;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;

use super::uring::{RingFlags, RingOptions};
use super::*;
use crate::mem::{Buf, Key, Outgoing};

fn options(best_flags: RingFlags) -> RingOptions {
    RingOptions {
        entries: 64,
        completions: 256,
        buffers: 8,
        buffer_size: 1024,
        datagram_buffers: 8,
        in_flight_max: 1024,
        zero_copy_send: ZeroCopySend::Off,
        best_flags,
    }
}

/// Every driver, with the same options but for the flags of rings.
fn every(options: &RingOptions) -> impl Iterator<Item = KernelDriver> {
    let make = |kind, options: &RingOptions| KernelDriver::new(kind, options).unwrap();
    let rings = RingFlags::LADDER
        .map(|best_flags| make(DriverKind::Uring, &RingOptions { best_flags, ..options.clone() }));
    rings.into_iter().chain([make(DriverKind::Epoll, options)])
}

fn on_every_driver(test: impl Fn(KernelDriver)) {
    every(&options(RingFlags::NoSqArray)).for_each(test);
}

fn token(index: u32, verb: Verb) -> Token {
    Token::new(Key::new(index, 0), Lane::Client, verb)
}

/// Waits until `count` completions have come.
fn complete(ring: &mut KernelDriver, count: usize) -> Vec<Completion> {
    let deadline = ring.now() + Duration::from_secs(10);
    let mut completions = Vec::new();
    while completions.len() < count {
        assert!(ring.now() < deadline, "{count} completions, got {completions:?}");
        ring.wait(Some(deadline)).unwrap();
        ring.reap(&mut completions);
    }
    completions
}

fn pair() -> (Fd, UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Fd(ours.as_raw_fd()), ours, theirs)
}

#[test]
fn accept_connect_send_receive_and_eof() {
    on_every_driver(|mut ring| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = SocketAddress::inet(listener.local_addr().unwrap());
        let accept = token(0, Verb::Accept);
        ring.push(accept, Op::Accept { listener: Fd(listener.as_raw_fd()) }).unwrap();
        let client = ring.socket(&address).unwrap();
        let connect = token(1, Verb::Connect);
        ring.push(connect, Op::Connect { socket: client, address: Box::new(address) }).unwrap();
        let mut accepted = None;
        for completion in complete(&mut ring, 2) {
            match completion.outcome {
                Outcome::Accepted(fd) => {
                    assert!(completion.more, "the accept lives on");
                    accepted = Some(fd);
                }
                Outcome::Connected => assert_eq!(completion.token, connect),
                other => panic!("{other:?}"),
            }
        }
        let accepted = accepted.unwrap();
        assert_eq!(ring.peer_address(accepted), ring.local_address(client));
        let receive = token(2, Verb::Receive);
        ring.push(receive, Op::Receive { socket: accepted, once: false }).unwrap();
        let data = Outgoing::One(Buf::copy_of(b"he")).append(Buf::copy_of(b"llo"));
        ring.push(token(1, Verb::Send), Op::Send { socket: client, data }).unwrap();
        let mut got = Vec::new();
        for completion in complete(&mut ring, 2) {
            if completion.token == receive && !completion.more {
                // The kernel may end a multishot at any time.
                ring.push(receive, Op::Receive { socket: accepted, once: false }).unwrap();
            }
            match completion.outcome {
                Outcome::Received(buf) => got.extend_from_slice(&buf),
                Outcome::Sent { result, data } => {
                    assert_eq!((result, data.len()), (Ok(5), 5));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(got, b"hello");
        assert_eq!(ring.buffers(), (8, 8), "all buffers are back");
        ring.shutdown_write(client).unwrap();
        let last = complete(&mut ring, 1);
        assert!(matches!(last[0].outcome, Outcome::Eof), "{last:?}");
        ring.push(token(3, Verb::Close), Op::Close { fd: client }).unwrap();
        assert!(matches!(complete(&mut ring, 1)[0].outcome, Outcome::Done));
        ring.close(accepted);
        assert_eq!(ring.in_flight(), 1, "the accept");
    });
}

#[test]
fn a_full_socket_gives_the_rest_back_at_once() {
    on_every_driver(|mut ring| {
        let (fd, _ours, mut theirs) = pair();
        let send = token(0, Verb::Send);
        let mut taken = 0;
        let left = loop {
            let data = Outgoing::One(Buf::copy_of(&[7; 100_000]));
            ring.push(send, Op::Send { socket: fd, data }).unwrap();
            let Outcome::Sent { result, data } = complete(&mut ring, 1).remove(0).outcome else {
                panic!("a send completes as sent")
            };
            match result {
                Ok(100_000) => taken += 100_000,
                Ok(count) => {
                    taken += count;
                    break data.after(count).map_or(0, |left| left.len());
                }
                Err(errno) => {
                    assert_eq!(errno, Errno::EAGAIN);
                    break data.len();
                }
            }
        };
        assert!(left > 0);
        ring.push(token(0, Verb::PollOut), Op::PollOut { fd }).unwrap();
        let mut sink = vec![0; taken];
        theirs.read_exact(&mut sink).unwrap();
        assert!(matches!(complete(&mut ring, 1)[0].outcome, Outcome::Ready));
    });
}

#[test]
fn an_exhausted_pool_starves_and_recovers() {
    on_every_driver(|mut ring| {
        let (fd, _ours, mut theirs) = pair();
        let receive = token(0, Verb::Receive);
        ring.push(receive, Op::Receive { socket: fd, once: false }).unwrap();
        theirs.write_all(&[1; 20_000]).unwrap();
        let mut held = Vec::new();
        let mut got = 0;
        while got < 20_000 {
            for completion in complete(&mut ring, 1) {
                match completion.outcome {
                    Outcome::Received(buf) => {
                        got += buf.len();
                        held.push(buf);
                    }
                    Outcome::Starved => {
                        assert!(!completion.more);
                        assert_eq!(ring.buffers(), (0, 8), "all are held");
                        held.clear();
                    }
                    other => panic!("{other:?}"),
                }
                if !completion.more {
                    ring.push(receive, Op::Receive { socket: fd, once: false }).unwrap();
                }
            }
        }
        assert!(ring.counters().starved > 0);
        held.clear();
        assert_eq!(ring.buffers(), (8, 8));
    });
}

#[test]
fn cancel_ends_the_target_and_completes_itself() {
    on_every_driver(|mut ring| {
        let (fd, _ours, _theirs) = pair();
        let receive = token(0, Verb::Receive);
        ring.push(receive, Op::Receive { socket: fd, once: false }).unwrap();
        ring.push(token(0, Verb::PollIn), Op::PollIn { fd }).unwrap();
        ring.push(token(0, Verb::Cancel), Op::Cancel { target: receive }).unwrap();
        let ended = complete(&mut ring, 2);
        assert!(ended.iter().any(|c| c.token == receive
            && !c.more
            && matches!(c.outcome, Outcome::Failed(Errno::ECANCELED))));
        ring.push(token(0, Verb::Cancel), Op::CancelAll { fd }).unwrap();
        let ended = complete(&mut ring, 2);
        assert!(ended.iter().any(|c| c.token.verb == Verb::PollIn));
        assert_eq!(ring.in_flight(), 0);
    });
}

#[test]
fn operations_in_flight_are_bounded_and_come_back() {
    let bounded = RingOptions { in_flight_max: 2, ..options(RingFlags::NoSqArray) };
    for mut ring in every(&bounded) {
        let (fd, _ours, mut theirs) = pair();
        ring.push(token(0, Verb::PollIn), Op::PollIn { fd }).unwrap();
        ring.push(token(1, Verb::PollIn), Op::PollIn { fd }).unwrap();
        let data = Outgoing::One(Buf::copy_of(b"kept"));
        let refused = ring.push(token(2, Verb::Send), Op::Send { socket: fd, data });
        let Err(Op::Send { data, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(&*data.segments()[0], b"kept");
        theirs.write_all(b"x").unwrap();
        complete(&mut ring, 2);
        ring.push(token(2, Verb::Send), Op::Send { socket: fd, data }).unwrap();
        complete(&mut ring, 1);
    }
}

#[test]
fn more_operations_than_entries_are_submitted_on_the_way() {
    on_every_driver(|mut ring| {
        let (fd, _ours, mut theirs) = pair();
        for index in 0..200 {
            ring.push(token(index, Verb::PollIn), Op::PollIn { fd }).unwrap();
        }
        theirs.write_all(b"x").unwrap();
        assert_eq!(complete(&mut ring, 200).len(), 200);
    });
}

#[test]
fn an_overflown_completion_queue_loses_nothing_but_the_multishot() {
    let small = RingOptions {
        entries: 4,
        completions: 8,
        buffers: 64,
        buffer_size: 16,
        ..options(RingFlags::NoSqArray)
    };
    for mut ring in every(&small) {
        let (fd, _ours, mut theirs) = pair();
        let receive = token(0, Verb::Receive);
        ring.push(receive, Op::Receive { socket: fd, once: false }).unwrap();
        let sent: Vec<u8> = (0..=255).cycle().take(2_000).collect();
        theirs.write_all(&sent).unwrap();
        let mut got = Vec::new();
        while got.len() < sent.len() {
            for completion in complete(&mut ring, 1) {
                if let Outcome::Received(buf) = completion.outcome {
                    got.extend_from_slice(&buf);
                }
                if !completion.more {
                    ring.push(receive, Op::Receive { socket: fd, once: false }).unwrap();
                }
            }
        }
        assert_eq!(got, sent);
    }
}

#[test]
fn a_connection_arrives_on_another_ring() {
    for mut ring in every(&options(RingFlags::NoSqArray)) {
        let arrival = token(3, Verb::Arrival);
        let (fd, _ours, _theirs) = pair();
        let hand_off = Op::HandOff { ring: ring.door().unwrap(), arrival, socket: fd };
        ring.push(token(0, Verb::HandOff), hand_off).unwrap();
        let both = complete(&mut ring, 2);
        assert!(both.iter().any(
            |c| c.token == arrival && matches!(c.outcome, Outcome::Accepted(got) if got == fd)
        ));
        assert_eq!(ring.in_flight(), 0);
    }
}

#[test]
fn a_ring_dropped_with_receives_in_flight_waits_for_its_buffers() {
    on_every_driver(|mut ring| {
        let (fd, _ours, _theirs) = pair();
        ring.push(token(0, Verb::Receive), Op::Receive { socket: fd, once: false }).unwrap();
        ring.push(token(0, Verb::PollIn), Op::PollIn { fd }).unwrap();
        ring.wait(Some(ring.now())).unwrap();
        assert!(format!("{ring:?}").contains("in_flight: 2"));
        drop(ring);
    });
}

#[test]
fn a_pipe_moves_bytes_and_knows_its_size() {
    for mut ring in every(&options(RingFlags::NoSqArray)) {
        let (fd, _ours, mut theirs) = pair();
        let pipe = ring.pipe(128 * 1024).unwrap();
        assert!(pipe.capacity >= 64 * 1024);
        assert_eq!(ring.splice(fd, pipe.writer, 1000), Err(Errno::EAGAIN));
        theirs.write_all(b"spliced").unwrap();
        assert_eq!(ring.splice(fd, pipe.writer, 1000), Ok(7));
        assert_eq!(ring.splice(pipe.reader, fd, 7), Ok(7));
        let mut back = [0; 7];
        theirs.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"spliced");
        ring.close(pipe.reader);
        ring.close(pipe.writer);
    }
}

#[test]
fn reset_on_close_is_seen_as_a_reset() {
    for mut ring in every(&options(RingFlags::NoSqArray)) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let server = Fd(server.into_raw_fd());
        ring.reset_on_close(server);
        ring.close(server);
        let error = client.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_close_that_was_pushed_is_done_by_a_driver_that_ends() {
    on_every_driver(|mut ring| {
        let (fd, ours, mut theirs) = pair();
        let _closed_by_the_driver = ours.into_raw_fd();
        ring.push(token(0, Verb::Close), Op::Close { fd }).unwrap();
        drop(ring);
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    });
}

/// A pair of TCP sockets, the first of which does not wait.
fn tcp_pair() -> (Fd, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Fd(ours.as_raw_fd()), ours, theirs)
}

fn without_copies() -> Option<KernelDriver> {
    let wanted = ZeroCopySend::From(1);
    let options = RingOptions { zero_copy_send: wanted, ..options(RingFlags::NoSqArray) };
    let ring = KernelDriver::new(DriverKind::Uring, &options).unwrap();
    let features = uring::probe().unwrap();
    let is_there = |one: &uring::Feature| one.name == "send without a copy";
    let found = features.iter().find(|one| is_there(one)).unwrap().presence;
    (found == uring::Presence::Present).then_some(ring)
}

/// Takes what comes until the kernel holds nothing.
fn until_released(ring: &mut KernelDriver) -> Vec<Completion> {
    let deadline = ring.now() + Duration::from_secs(10);
    let mut completions = Vec::new();
    while ring.counters().zero_copy_held > 0 {
        assert!(ring.now() < deadline, "{:?}", ring.counters());
        ring.wait(Some(deadline)).unwrap();
        ring.reap(&mut completions);
    }
    completions
}

#[test]
fn bytes_that_are_sent_without_a_copy_stay_until_the_kernel_lets_go_of_them() {
    let Some(mut ring) = without_copies() else { return };
    let (fd, _ours, mut theirs) = tcp_pair();
    let send = token(0, Verb::Send);
    for round in 0..50_u8 {
        let one = Outgoing::One(Buf::copy_of(&[round; 20_000]));
        let data = if round % 2 == 0 { one } else { one.append(Buf::copy_of(&[round; 9])) };
        let len = data.len();
        ring.push(send, Op::Send { socket: fd, data }).unwrap();
        let mut sent = complete(&mut ring, 1);
        let Completion { outcome, more, token } = sent.remove(0);
        let Outcome::Sent { result, mut data } = outcome else { panic!("{outcome:?}") };
        assert_eq!((result, data.len(), more, token), (Ok(len), len, false, send));
        // While the kernel holds it, nobody can change it.
        if let (Outgoing::One(buf), true) = (&mut data, ring.counters().zero_copy_held > 0) {
            assert!(buf.alone().is_none());
        }
        drop(data);
        let mut got = vec![0; len];
        theirs.read_exact(&mut got).unwrap();
        assert!(got.iter().all(|byte| *byte == round), "round {round}");
    }
    assert!(until_released(&mut ring).is_empty(), "a notification is no completion");
    assert_eq!((ring.counters().zero_copy_sends, ring.in_flight()), (50, 0));
}

#[test]
fn a_send_without_a_copy_that_fails_gives_its_bytes_back() {
    let Some(mut ring) = without_copies() else { return };
    // A kind of socket that cannot: it is tried again, and copied.
    let (fd, _ours, mut theirs) = pair();
    for _ in 0..2 {
        let data = Outgoing::One(Buf::copy_of(b"hello"));
        ring.push(token(0, Verb::Send), Op::Send { socket: fd, data }).unwrap();
        let Outcome::Sent { result, data } = complete(&mut ring, 1).remove(0).outcome else {
            panic!("a send completes as sent")
        };
        assert!(matches!(result, Ok(5) | Err(Errno::EAGAIN)), "{result:?}");
        assert_eq!(data.len(), 5);
        if result == Ok(5) {
            break;
        }
    }
    let mut got = [0; 5];
    theirs.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"hello");
    // A connection that is gone.
    let (fd, ours, theirs) = tcp_pair();
    drop(theirs);
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let data = Outgoing::One(Buf::copy_of(&[1; 50_000]));
    ring.push(token(1, Verb::Send), Op::Send { socket: fd, data }).unwrap();
    let ended = complete(&mut ring, 1).remove(0);
    let Outcome::Sent { result: Err(_), data } = ended.outcome else { panic!("{ended:?}") };
    assert_eq!(data.len(), 50_000);
    until_released(&mut ring);
}

#[test]
fn what_a_peer_does_not_take_is_held_and_a_driver_ends_all_the_same() {
    let Some(mut ring) = without_copies() else { return };
    let (fd, _ours, _theirs) = tcp_pair();
    loop {
        let data = Outgoing::One(Buf::copy_of(&[7; 100_000]));
        ring.push(token(0, Verb::Send), Op::Send { socket: fd, data }).unwrap();
        let Outcome::Sent { result, .. } = complete(&mut ring, 1).remove(0).outcome else {
            panic!("a send completes as sent")
        };
        if result != Ok(100_000) {
            break;
        }
    }
    drop(ring);
}

#[test]
fn nobody_gets_what_is_handed_to_a_driver_that_is_gone() {
    for kind in [DriverKind::Uring, DriverKind::Epoll] {
        let options = options(RingFlags::NoSqArray);
        let mut gone = KernelDriver::new(kind, &options).unwrap();
        let door = gone.door().unwrap();
        drop(gone);
        // What has the number of the door now, if it is free.
        let (fd, _ours, _theirs) = pair();
        let mut ring = KernelDriver::new(kind, &options).unwrap();
        let arrival = token(3, Verb::Arrival);
        let hand_off = Op::HandOff { ring: door, arrival, socket: fd };
        ring.push(token(0, Verb::HandOff), hand_off).unwrap();
        let failed = complete(&mut ring, 1).remove(0);
        assert!(matches!(failed.outcome, Outcome::Failed(_)), "{kind}: {failed:?}");
    }
}

#[test]
fn a_file_is_read_to_its_end() {
    on_every_driver(|mut ring| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let (file, bytes) = (std::fs::File::open(path).unwrap(), std::fs::read(path).unwrap());
        assert!(bytes.len() > 1024, "more than a buffer");
        let (read, fd) = (token(0, Verb::Read), Fd(file.as_raw_fd()));
        let mut got = Vec::new();
        loop {
            ring.push(read, Op::Read { file: fd, offset: got.len() as u64 }).unwrap();
            match complete(&mut ring, 1).remove(0).outcome {
                Outcome::Received(buf) => got.extend_from_slice(&buf),
                Outcome::Eof => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(got, bytes);
    });
}

/// Peers that always have more to send do not keep buffers from one with a little.
#[test]
fn who_sends_without_end_leaves_buffers_to_others() {
    // With io_uring it is the kernel that chooses.
    let mut ring = KernelDriver::new(DriverKind::Epoll, &options(RingFlags::Plain)).unwrap();
    let floods: Vec<_> = (1..=8).map(|index| (index, tcp_pair())).collect();
    let (quiet, _ours, mut theirs) = tcp_pair();
    let arm = |ring: &mut KernelDriver, index: u32, socket: Fd| {
        ring.push(token(index, Verb::Receive), Op::Receive { socket, once: false }).unwrap();
    };
    for (index, (fd, _, theirs)) in &floods {
        theirs.set_nonblocking(true).unwrap();
        arm(&mut ring, *index, *fd);
    }
    arm(&mut ring, 0, quiet);
    theirs.write_all(b"a little").unwrap();
    let mut completions = Vec::new();
    for _ in 0..100 {
        for (_, (_, _, theirs)) in &floods {
            // Until it takes no more.
            while (&mut &*theirs).write(&[7; 65_536]).is_ok() {}
        }
        ring.wait(Some(ring.now() + Duration::from_millis(100))).unwrap();
        ring.reap(&mut completions);
        for Completion { token, outcome, more } in completions.drain(..) {
            if token.key.index == 0 && matches!(outcome, Outcome::Received(_)) {
                return;
            }
            if !more {
                let flood = floods.iter().find(|(index, _)| *index == token.key.index);
                arm(&mut ring, token.key.index, flood.map_or(quiet, |(_, (fd, ..))| *fd));
            }
        }
    }
    panic!("the quiet one was not served in 100 turns");
}

/// Bytes behind urgent data are not forgotten.
#[test]
fn urgent_data_stops_no_connection() {
    on_every_driver(|mut ring| {
        let (fd, _ours, mut theirs) = tcp_pair();
        theirs.write_all(b"abc").unwrap();
        let flags = nix::sys::socket::MsgFlags::MSG_OOB;
        nix::sys::socket::send(theirs.as_raw_fd(), b"!", flags).unwrap();
        theirs.write_all(b"def").unwrap();
        ring.push(token(0, Verb::Receive), Op::Receive { socket: fd, once: false }).unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"def") {
            for completion in complete(&mut ring, 1) {
                match completion.outcome {
                    Outcome::Received(buf) => got.extend_from_slice(&buf),
                    other => panic!("{other:?}"),
                }
                if !completion.more {
                    let receive = Op::Receive { socket: fd, once: false };
                    ring.push(token(0, Verb::Receive), receive).unwrap();
                }
            }
        }
    });
}
