//! Bytes through the proxy and the echo service: half-close, resets, retries, slow receivers.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use ringway::service::CloseReason;

use crate::support::*;

/// Both numbers of workers that every test of the data path runs with.
const WORKERS: [usize; 2] = [1, 2];

fn reset(stream: TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
}

#[test]
fn echo_on_ipv4_ipv6_and_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.path().join("echo.sock");
    for workers in WORKERS {
        let listener = format!(
            "[[listener]]\nname = \"e\"\nprotocol = \"echo\"\n\
             listen = [\"127.0.0.1:0\", \"[::1]:0\", \"unix:{}\"]\n",
            path.display()
        );
        let served = Served::new(&[&runtime(workers), NO_ADMIN, &listener].concat());
        let sent = bytes(1, 300_000);
        for (_, address) in served.running().addresses().iter() {
            if let Some(address) = address.ip() {
                assert!(exchange(connect(address), sent.clone()) == sent, "{address}");
            }
        }
        let mut stream = UnixStream::connect(&path).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let text = sent.clone();
        let sender = std::thread::spawn(move || {
            writer.write_all(&text).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        assert!(received == sent);
        served.drain();
    }
}

#[test]
fn a_proxy_carries_all_sizes_both_ways() {
    for workers in WORKERS {
        let text = [
            &runtime(workers),
            "splice_min_read = \"1KiB\"\n",
            NO_ADMIN,
            &proxy(""),
            &upstream(&[echo_server()], ""),
        ];
        let served = Served::new(&text.concat());
        for len in [0, 1, 4_095, 4_096, 100_000, 20_000_000] {
            let sent = bytes(len as u64, len);
            assert!(exchange(served.connect(), sent.clone()) == sent, "{len} bytes");
        }
        let spliced = served.sum(|cell| cell.stats.relay.spliced.get());
        assert!(spliced > 5_000_000, "bulk is spliced: {spliced}");
        wait_until("all are closed", || served.closed(CloseReason::Finished) == 6);
    }
}

#[test]
fn a_client_that_has_ended_still_gets_the_answer() {
    for workers in WORKERS {
        let server = serve(|mut stream| {
            let mut question = Vec::new();
            stream.read_to_end(&mut question).unwrap();
            stream.write_all(&bytes(question.len() as u64, 3_000_000)).unwrap();
        });
        let served = Served::proxy(workers, &[server]);
        assert!(exchange(served.connect(), b"question".to_vec()) == bytes(8, 3_000_000));
    }
}

#[test]
fn a_server_that_has_ended_still_gets_the_rest() {
    for workers in WORKERS {
        let (sender, receiver) = mpsc::channel();
        let server = serve(move |mut stream| {
            stream.write_all(b"greeting").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            sender.send(rest).unwrap();
        });
        let served = Served::proxy(workers, &[server]);
        let mut client = served.connect();
        let mut greeting = Vec::new();
        client.read_to_end(&mut greeting).unwrap();
        assert_eq!(greeting, b"greeting");
        let sent = bytes(3, 3_000_000);
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert!(receiver.recv_timeout(PATIENCE).unwrap() == sent);
    }
}

#[test]
fn a_reset_of_the_client_in_mid_transfer_resets_the_server() {
    for workers in WORKERS {
        let (sender, receiver) = mpsc::channel();
        let server = serve(move |mut stream| {
            let error = loop {
                match stream.read(&mut [0; 65_536]) {
                    Ok(0) => break None,
                    Ok(_) => {}
                    Err(error) => break Some(error.kind()),
                }
            };
            sender.send(error).unwrap();
        });
        let served = Served::proxy(workers, &[server]);
        for len in [100, 2_000_000] {
            let mut client = served.connect();
            client.write_all(&bytes(1, len)).unwrap();
            reset(client);
            let end = receiver.recv_timeout(PATIENCE).unwrap();
            assert_eq!(end, Some(ErrorKind::ConnectionReset), "after {len} bytes");
        }
        wait_until("both are counted", || served.closed(CloseReason::ClientReset) == 2);
    }
}

#[test]
fn a_reset_of_the_server_in_mid_transfer_resets_the_client() {
    for workers in WORKERS {
        let server = serve(|mut stream| {
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(&bytes(1, 500_000)).unwrap();
            reset(stream);
        });
        let served = Served::proxy(workers, &[server]);
        let mut client = served.connect();
        client.write_all(b"question").unwrap();
        let error = client.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        wait_until("it is counted", || served.closed(CloseReason::UpstreamReset) == 1);
    }
}

#[test]
fn a_server_that_refuses_is_passed_over() {
    for workers in WORKERS {
        let served = Served::proxy(workers, &[nobody(), echo_server()]);
        for _ in 0..6 {
            assert_eq!(exchange(served.connect(), b"hello".to_vec()), b"hello");
        }
        assert!(served.sum(|cell| cell.stats.upstreams.get(0).retries.get()) > 0);
    }
}

#[test]
fn when_all_servers_refuse_the_client_is_closed_at_once() {
    let served = Served::proxy(1, &[nobody(), nobody(), nobody()]);
    assert_eq!(served.connect().read(&mut [0; 8]).unwrap_or(0), 0);
    wait_until("it is counted", || served.closed(CloseReason::ConnectFailed) == 1);
    let retries = served.sum(|cell| cell.stats.upstreams.get(0).retries.get());
    assert_eq!(retries, 2, "each other server, once");
}

#[test]
fn a_silent_server_times_out_and_the_next_one_serves() {
    // A listener whose queue is full drops what comes: nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    nix::sys::socket::listen(&silent, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
    let _fill: Vec<_> =
        (0..2).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200))).collect();
    let text = [
        &runtime(1),
        NO_ADMIN,
        &proxy(""),
        &upstream(&[address, echo_server()], "connect_timeout = \"100ms\""),
    ]
    .concat();
    let served = Served::new(&text);
    for _ in 0..2 {
        assert_eq!(exchange(served.connect(), b"hello".to_vec()), b"hello");
    }
    let timed_out =
        |cell: &ringway::session::WorkerCell| cell.stats.upstreams.get(0).failed[2].get();
    assert!(served.sum(timed_out) >= 1);
}

#[test]
fn an_unreachable_server_ends_the_connection_with_a_reason() {
    // TCP reaches no broadcast address; the kernel says so without sending anything.
    let nowhere: SocketAddr = "255.255.255.255:9".parse().unwrap();
    let short = upstream(&[nowhere], "connect_timeout = \"200ms\"\nretries = 0");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &proxy(""), &short].concat());
    assert_eq!(served.connect().read(&mut [0; 8]).unwrap_or(0), 0);
    wait_until("it is counted", || served.closed(CloseReason::ConnectFailed) == 1);
    let unreachable =
        |cell: &ringway::session::WorkerCell| cell.stats.upstreams.get(0).failed[1].get();
    assert_eq!(served.sum(unreachable), 1);
}

#[test]
fn a_receiver_that_stops_reading_stops_its_sender_and_nobody_else() {
    for workers in WORKERS {
        let served = Served::proxy(workers, &[echo_server()]);
        // More stalled receivers than the pool has buffers: none may hold one.
        let stalled: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = served.connect();
                stream.set_nonblocking(true).unwrap();
                let part = bytes(9, 65_536);
                let mut taken = 0;
                // Until neither the proxy nor the server takes more, or plenty has been sent.
                while taken < 4_000_000 {
                    match stream.write(&part) {
                        Ok(count) => taken += count,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::WouldBlock);
                            break;
                        }
                    }
                }
                stream
            })
            .collect();
        for round in 0..20 {
            let sent = bytes(round, 1_000_000);
            assert!(exchange(served.connect(), sent.clone()) == sent, "round {round}");
        }
        // A stalled one that reads again gets what it was owed, in order.
        let mut resumed = stalled.into_iter().next().unwrap();
        resumed.set_nonblocking(false).unwrap();
        let mut got = vec![0; 65_536];
        resumed.read_exact(&mut got).unwrap();
        assert!(got == bytes(9, 65_536));
    }
}

#[test]
fn a_small_pool_of_buffers_serves_many_connections() {
    for workers in WORKERS {
        let small = runtime(workers).replace("buffers = 64", "buffers = 16");
        let small = format!("{}splice = \"off\"\n", small.replace("4KiB", "1KiB"));
        let server = echo_server();
        let served =
            Served::new(&[&small, NO_ADMIN, &proxy(""), &upstream(&[server], "")].concat());
        let all: Vec<_> = (0..40)
            .map(|number| {
                let stream = served.connect();
                std::thread::spawn(move || {
                    let sent = bytes(number, 400_000);
                    assert!(exchange(stream, sent.clone()) == sent, "connection {number}");
                })
            })
            .collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(served.sum(|cell| cell.stats.relay.spliced.get()), 0, "switched off");
        let starved = served.sum(|cell| cell.loops.starved.get());
        assert!(starved > 0, "the pool was exhausted");
    }
}

#[test]
fn two_thousand_connections_at_once() {
    for workers in WORKERS {
        let served = Served::proxy(workers, &[fast_echo()]);
        let mut streams: Vec<TcpStream> = (0..2_000).map(|_| served.connect()).collect();
        for round in 0..3u64 {
            for (number, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&bytes(round * 10_000 + number as u64, 100)).unwrap();
            }
            for (number, stream) in streams.iter_mut().enumerate() {
                let mut got = [0; 100];
                stream.read_exact(&mut got).unwrap();
                assert!(got[..] == bytes(round * 10_000 + number as u64, 100)[..], "{number}");
            }
        }
        drop(streams);
        wait_until("all are closed", || served.sum(|cell| cell.active.get()) == 0);
    }
}

/// An echo server for thousands of connections: Ringway's own, left running.
fn fast_echo() -> SocketAddr {
    let listener = "[[listener]]\nname = \"e\"\nprotocol = \"echo\"\nlisten = \"127.0.0.1:0\"\n";
    let served = Served::new(&[&runtime(1), NO_ADMIN, listener].concat());
    let address = served.address();
    std::mem::forget(served);
    address
}

#[test]
fn the_server_is_told_the_client_s_address_and_a_client_may_tell_it() {
    for version in ["v1", "v2"] {
        // Ringway tells Ringway: what the first sends is what the second must understand.
        let (sender, receiver) = mpsc::channel();
        let server = serve(move |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            sender.send(all).unwrap();
        });
        let inner = Served::new(
            &[
                &runtime(1),
                NO_ADMIN,
                &proxy("accept_proxy_protocol = true"),
                &upstream(&[server], "send_proxy_protocol = \"v1\""),
            ]
            .concat(),
        );
        let send = format!("send_proxy_protocol = \"{version}\"");
        let outer = Served::new(
            &[&runtime(1), NO_ADMIN, &proxy(""), &upstream(&[inner.address()], &send)].concat(),
        );
        let mut client = outer.connect();
        let own = client.local_addr().unwrap();
        client.write_all(b"payload").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let got = String::from_utf8(receiver.recv_timeout(PATIENCE).unwrap()).unwrap();
        let to = outer.address().port();
        let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {to}\r\npayload", own.port());
        assert_eq!(got, expected, "{version}");
    }
}

#[test]
fn a_proxy_header_may_come_in_pieces_and_must_be_one() {
    let server = echo_server();
    let accept = proxy("accept_proxy_protocol = true\nproxy_header_timeout = \"300ms\"");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &accept, &upstream(&[server], "")].concat());
    let mut client = served.connect();
    client.set_nodelay(true).unwrap();
    for byte in b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nearly" {
        client.write_all(&[*byte]).unwrap();
    }
    let mut early = [0; 5];
    client.read_exact(&mut early).unwrap();
    assert_eq!(&early, b"early");
    let mut wrong = served.connect();
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(wrong.read(&mut [0; 8]).unwrap_or(0), 0);
    wait_until("refused", || served.closed(CloseReason::ProxyHeaderInvalid) == 1);
    let mut late = served.connect();
    late.write_all(b"PROXY TCP4 ").unwrap();
    assert_eq!(late.read(&mut [0; 8]).unwrap_or(0), 0);
    wait_until("timed out", || served.closed(CloseReason::ProxyHeaderTimeout) == 1);
}

#[test]
fn no_server_is_told_of_a_client_that_nobody_knows() {
    for version in ["v1", "v2"] {
        let (told, tells) = std::sync::mpsc::channel();
        let server = serve(move |mut stream| {
            let mut head = Vec::new();
            let _reset = stream.read_to_end(&mut head);
            told.send(head).unwrap();
        });
        let send = format!("send_proxy_protocol = \"{version}\"");
        let config = [&runtime(1), NO_ADMIN, &proxy(""), &upstream(&[server], &send)].concat();
        let served = Served::new(&config);
        let reset = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        for _ in 0..200 {
            let mut stream = served.connect();
            setsockopt(&stream, sockopt::Linger, &reset).unwrap();
            let _gone = stream.write_all(b"hello");
            let _gone = stream.shutdown(Shutdown::Write);
        }
        let mut stream = served.connect();
        stream.write_all(b"last").unwrap();
        drop(stream);
        while let Ok(head) = tells.recv_timeout(PATIENCE) {
            assert!(!head.starts_with(b"PROXY UNKNOWN"), "{version}");
            // The 14th byte of version 2 says the family: 0x11 is TCP over IPv4.
            assert!(version == "v1" || head.get(13).is_none_or(|family| *family == 0x11));
            if head.ends_with(b"last") {
                break;
            }
        }
    }
}

#[test]
fn least_connections_prefers_the_server_that_is_free() {
    let [one, two] = [b'1', b'2'].map(|name| {
        serve(move |mut stream| {
            let _gone = stream.write_all(&[name]);
            let _end = stream.read(&mut [0; 8]);
        })
    });
    let least = upstream(&[one, two], "balance = \"least_connections\"");
    let served = Served::new(&[&runtime(1), NO_ADMIN, &proxy(""), &least].concat());
    let open = || {
        let mut stream = served.connect();
        let mut name = [0];
        stream.read_exact(&mut name).unwrap();
        (stream, name[0])
    };
    let (first, name) = open();
    let (_second, other) = open();
    assert_ne!(name, other);
    drop(first);
    wait_until("the first is gone", || served.sum(|cell| cell.active.get()) == 1);
    let (_third, again) = open();
    assert_eq!(again, name, "the server of the one that is gone");
}

#[test]
fn a_client_that_reads_steadily_is_not_idle() {
    // The server says all it has at once; the client takes it from the sockets for long after.
    let len = 2_000_000;
    let server = serve(move |mut stream| {
        stream.write_all(&vec![7; len]).unwrap();
        let _until_the_client_ends = stream.read(&mut [0]);
    });
    let text = [&runtime(1), NO_ADMIN, &proxy("idle_timeout = \"2s\""), &upstream(&[server], "")];
    let served = Served::new(&text.concat());
    let mut client = served.connect();
    let (mut left, mut part) = (len, [0; 4_096]);
    for _ in 0..250 {
        std::thread::park_timeout(Duration::from_millis(10));
        left -= client.read(&mut part).unwrap();
    }
    assert!(left > 0);
    assert_eq!(served.closed(CloseReason::IdleTimeout), 0);
    while left > 0 {
        left -= client.read(&mut part).unwrap();
    }
    wait_until("now it is idle", || served.closed(CloseReason::IdleTimeout) == 1);
}

#[test]
fn a_client_that_reads_in_steps_is_not_idle() {
    // More than the kernel keeps for a connection, so that some of it always waits.
    let len = 64 << 20;
    let server = serve(move |mut stream| {
        stream.write_all(&vec![7; len]).unwrap();
        let _until_the_client_ends = stream.read(&mut [0]);
    });
    let text = [&runtime(1), NO_ADMIN, &proxy("idle_timeout = \"4s\""), &upstream(&[server], "")];
    let served = Served::new(&text.concat());
    let mut client = served.connect();
    let mut part = vec![0; 512 << 10];
    for _ in 0..5 {
        std::thread::park_timeout(Duration::from_millis(1_500));
        client.read_exact(&mut part).unwrap();
    }
    assert_eq!(served.closed(CloseReason::IdleTimeout), 0);
}

#[test]
fn a_client_that_takes_nothing_is_idle_though_bytes_wait_for_it() {
    let server = serve(move |mut stream| {
        let _cut = stream.write_all(&vec![7; 64 << 20]);
    });
    let text =
        [&runtime(1), NO_ADMIN, &proxy("idle_timeout = \"300ms\""), &upstream(&[server], "")];
    let served = Served::new(&text.concat());
    let client = served.connect();
    wait_until("it is idle", || served.closed(CloseReason::IdleTimeout) == 1);
    drop(client);
}
