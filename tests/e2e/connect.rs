//! The verb `connect`: every scheme against peers made by hand, in pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ringway::proto::frame::{self, End};

use crate::client::{Silent, frame_server};
use crate::support::*;

fn good(args: &[&str], input: &[u8]) -> String {
    let output = run_connect(args, input);
    assert!(output.status.success(), "{args:?}: {}", errors(&output));
    assert_eq!(errors(&output), "", "{args:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails with this message, and this status.
fn bad(args: &[&str], status: i32, message: &str) {
    let output = run_connect(args, b"");
    assert_eq!(errors(&output), format!("ringway: {message}\n"), "{args:?}");
    assert_eq!(output.status.code(), Some(status), "{args:?}");
}

fn udp_echo() -> SocketAddr {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut datagram = [0; 65_535];
        while let Ok((len, from)) = peer.recv_from(&mut datagram) {
            peer.send_to(&datagram[..len], from).unwrap();
        }
    });
    address
}

#[test]
fn bytes_are_piped_to_the_end() {
    let url = format!("tcp://{}", echo_server());
    let sent = bytes(5, 3_000_000);
    let output = run_connect(&[&url], &sent);
    assert!(output.status.success(), "{}", errors(&output));
    assert!(output.stdout == sent);
    assert_eq!(good(&[&url], b""), "");
}

#[test]
fn the_end_of_the_input_is_a_half_close() {
    let address = serve(|mut stream| {
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        request.reverse();
        stream.write_all(&request).unwrap();
    });
    assert_eq!(good(&[&format!("tcp://{address}")], b"abc"), "cba");
}

#[test]
fn it_ends_when_the_peer_does() {
    let address = serve(|mut stream| stream.write_all(b"bye").unwrap());
    let mut child = spawn_connect(&[&format!("tcp://{address}")]);
    let stdin = child.stdin.take().unwrap();
    assert!(child.wait().unwrap().success());
    drop(stdin);
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "bye");
}

#[test]
fn a_file_is_an_input_as_any_other() {
    let folder = Folder::new();
    let path = folder.file("input", "from a file");
    let output = Command::new(BINARY)
        .args(["connect", &format!("tcp://{}", echo_server())])
        .stdin(std::fs::File::open(path).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"from a file");
}

#[test]
fn unix_sockets_are_spoken_to() {
    let folder = Folder::new();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = stream.try_clone().unwrap();
            let _gone = std::io::copy(&mut reader, &mut stream);
        }
    });
    for url in [format!("unix:{}", path.display()), format!("tcp://unix:{}", path.display())] {
        assert_eq!(good(&[&url], b"hello"), "hello");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let address = serve(|mut stream| while stream.write_all(&[0; 65_536]).is_ok() {});
    let mut child = spawn_connect(&[&format!("tcp://{address}")]);
    let mut first = [0; 100];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), errors(&output)), (Some(0), String::new()));
}

#[test]
fn a_reset_is_a_failure() {
    let address = serve(|mut stream| {
        stream.read_exact(&mut [0; 5]).unwrap();
        nix::sys::socket::setsockopt(
            &stream,
            nix::sys::socket::sockopt::Linger,
            &nix::libc::linger { l_onoff: 1, l_linger: 0 },
        )
        .unwrap();
    });
    let message = format!("receive from {address}: connection reset by peer");
    let mut child = spawn_connect(&[&format!("tcp://{address}")]);
    child.stdin.as_mut().unwrap().write_all(b"hello").unwrap();
    let stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(errors(&output), format!("ringway: {message}\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn each_read_is_a_datagram() {
    let mut child = spawn_connect(&[&format!("udp://{}", udp_echo()), "--wait", "50ms"]);
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in ["one", "two"] {
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), line);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    assert!(answers.next().is_none());
}

#[test]
fn what_can_not_be_reached_is_named() {
    let address = nobody();
    bad(&[&format!("tcp://{address}")], 1, &format!("connect {address}: connection refused"));
    bad(
        &[&format!("frame://{address}"), "stats", "--retries", "1"],
        1,
        &format!("gave up after 2 tries: connect {address}: connection refused"),
    );
    let silent = Silent::new();
    bad(
        &[&format!("tcp://{}", silent.address()), "--timeout", "100ms"],
        1,
        &format!("connect {}: not done within 100ms", silent.address()),
    );
    let nobody = nobody_by_udp();
    let output = run_connect(&[&format!("udp://{nobody}")], b"x");
    assert_eq!(errors(&output), format!("ringway: receive from {nobody}: connection refused\n"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn wrong_usage_of_connect_is_status_2() {
    for args in [
        &["connect"][..],
        &["connect", "127.0.0.1:1"],
        &["connect", "ftp://127.0.0.1:1"],
        &["connect", "http://127.0.0.1:1", "echo"],
        &["connect", "frame://127.0.0.1:1", "stats", "--insecure"],
        &["connect", "tls://127.0.0.1:1", "--verbose"],
        &["connect", "tcp://127.0.0.1"],
        &["connect", "tcp://127.0.0.1:1", "echo"],
        &["connect", "tcp://127.0.0.1:1", "--wait", "1s"],
        &["connect", "tcp://127.0.0.1:1", "--timeout", "1"],
        &["connect", "frame://127.0.0.1:1", "stats", "-c", "1"],
        &["connect", "frame://127.0.0.1:1", "ping", "-c", "0"],
        &["connect", "frame://127.0.0.1:1", "nonsense"],
        &["connect", "frame://127.0.0.1:1", "echo"],
        &["connect", "messages://127.0.0.1:1", "a", "b", "c"],
    ] {
        let output = Command::new(BINARY).args(args).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", errors(&output));
        assert!(!output.stderr.is_empty());
    }
    let output = Command::new(BINARY).args(["connect", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["Examples:", "frame://", "--retries", "ping -c 3", "Exit status"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn fields_of_the_command_replace_those_of_its_own() {
    let server = serve(|mut stream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let said = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", head.len());
        stream.write_all(said.as_bytes()).unwrap();
        stream.write_all(&head).unwrap();
    });
    let url = format!("http://{server}/");
    let accepts = |args: &[&str]| {
        let head = good(&[&[&*url], args].concat(), b"").to_ascii_lowercase();
        let fields = head.lines().filter_map(|line| line.strip_prefix("accept: "));
        fields.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(accepts(&[]), ["*/*"]);
    assert_eq!(accepts(&["-H", "Accept: text/html", "-H", "accept: a/b"]), ["text/html", "a/b"]);
    for field in ["Content-Length: 5", "host: a", "transfer-encoding: chunked", "a b: c"] {
        let output = run_connect(&[&url, "-H", field], b"");
        assert!(errors(&output).starts_with("ringway: --header: "), "{}", errors(&output));
        assert_eq!(output.status.code(), Some(2), "{field}");
    }
}

#[test]
fn the_time_is_for_each_try_of_a_get() {
    // The first connection is never answered.
    let asked = Arc::new(AtomicUsize::new(0));
    let server = serve(move |mut stream| {
        if asked.fetch_add(1, Ordering::SeqCst) > 0 {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        }
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
    });
    let url = format!("http://{server}/");
    assert_eq!(good(&[&url, "--timeout", "500ms", "--retries", "9"], b""), "hi");
}

#[test]
fn frames_are_asked_for_by_command() {
    let url = format!("frame://{}", frame_server(crate::client::Peer::serve));
    assert_eq!(good(&[&url, "echo", "hello"], b""), "hello\n");
    assert_eq!(good(&[&url, "get", "motd"], b""), "hello");
    assert_eq!(good(&[&url, "stats"], b""), "frames 1\n");
    assert_eq!(good(&[&url, "message", "chat", "hi"], b""), "hi");
    assert_eq!(good(&[&url, "message", "chat"], b""), "");
    assert_eq!(good(&[&url], b"one\n\ntwo"), "one\n\ntwo\n");
    let address = url.strip_prefix("frame://").unwrap();
    bad(&[&url, "get", "nothing"], 1, &format!("{address} refused: not_found: no such name"));
}

#[test]
fn a_wrong_checksum_is_a_failure() {
    let address = frame_server(|peer| {
        while let Some((stream, ..)) = peer.next() {
            peer.give(stream, &[b"hello"], End { total: 5, checksum: 1 });
        }
    });
    let computed = crc32fast::hash(b"hello");
    bad(
        &[&format!("frame://{address}"), "get", "motd", "--retries", "3"],
        1,
        &format!("GET from {address}: checksum {computed:#010x} instead of 0x00000001"),
    );
}

#[test]
fn pings_are_counted_and_timed() {
    let address = frame_server(crate::client::Peer::serve);
    let url = format!("frame://{address}");
    let text = good(&[&url, "ping", "-c", "3", "-i", "1ms"], b"");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[2].starts_with(&format!("answer from {address}: seq=3 time=")), "{text}");
    assert_eq!(lines[3], format!("{address}: 3 sent, 3 received, 0% loss"));
    for word in ["min ", "avg ", "p50 ", "p99 ", "max "] {
        assert!(lines[4].contains(word), "{text}");
    }
    let silent = frame_server(|peer| while peer.next().is_some() {});
    let url = format!("frame://{silent}");
    let output = run_connect(&[&url, "ping", "-c", "1", "--timeout", "3s"], b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with(&format!("no answer from {silent}: seq=1 within 3s\n")), "{text}");
    assert!(text.ends_with("1 sent, 0 received, 100% loss\n"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_interrupt_ends_pings_with_their_summary() {
    let address = frame_server(crate::client::Peer::serve);
    let mut child = spawn_connect(&[&format!("frame://{address}"), "ping", "-i", "1h"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("seq=1"));
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    assert!(lines.next().unwrap().unwrap().ends_with("1 sent, 1 received, 0% loss"));
    assert!(lines.next().unwrap().unwrap().starts_with("min "));
    assert!(child.wait().unwrap().success());
}

#[test]
fn messages_are_lines() {
    // Gives each line back, but refuses the type "none".
    let address = serve(|stream| {
        let mut writer = stream.try_clone().unwrap();
        for line in BufReader::new(stream).lines() {
            let mut line = line.unwrap();
            if line.contains("none") {
                line = r#"{"type":"error","code":"not_found","message":"no such"}"#.to_owned();
            }
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
        let _gone = writer.shutdown(Shutdown::Write);
    });
    let url = format!("messages://{address}");
    assert_eq!(good(&[&url, "chat", "hello"], b""), "hello");
    assert_eq!(good(&[&url, "chat"], b""), "");
    let text = good(&[&url], b"{\"type\":\"x\"}\n\nhello\n");
    assert_eq!(text, "{\"type\":\"x\"}\n{\"payload\":\"aGVsbG8=\",\"type\":\"echo\"}\n");
    bad(&[&url, "none"], 1, &format!("{address} refused: not_found: no such"));
}

#[test]
fn a_peer_that_goes_away_is_no_hang() {
    let address = frame_server(|peer| {
        let (stream, ..) = peer.next().unwrap();
        peer.refuse(stream, frame::Code::Overloaded, "later");
    });
    let url = format!("frame://{address}");
    bad(&[&url, "echo", "x"], 1, &format!("{address} refused: overloaded: later"));
    bad(
        &[&url, "echo", "x", "--retries", "1"],
        1,
        &format!("gave up after 2 tries: {address} refused: overloaded: later"),
    );
}
