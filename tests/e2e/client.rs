//! The client library against peers made by hand.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::sync::mpsc;
use std::time::Duration;

use nix::errno::Errno;
use ringway::client::{
    ClientError, ConnectOptions, Frame, FrameOptions, Messages, MessagesOptions, Received,
    RetryPolicy, Target, Tcp, Tls, TransferError, Udp, Waiting, retry,
};
use ringway::net::tls::ClientOptions;
use ringway::net::{NetworkError, Operation};
use ringway::proto::frame::{
    Code, Command, End, Features, PAYLOAD_MAX, Server, ServerEvent, ServerOptions, Version,
};
use ringway::ring::SocketAddress;

use crate::support::*;

/// A deadline that is to pass.
const SOON: Duration = Duration::from_millis(100);

fn target(address: SocketAddr) -> Target {
    Target::address(SocketAddress::inet(address))
}

/// The framed protocol's other end, scripted.
pub(crate) struct Peer {
    stream: TcpStream,
    server: Server,
    requests: VecDeque<(u32, Command, Vec<u8>)>,
}

impl Peer {
    /// The next request; `None` when the client has gone.
    pub(crate) fn next(&mut self) -> Option<(u32, Command, Vec<u8>)> {
        let mut piece = [0; 4096];
        while self.requests.is_empty() {
            let count = self.stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            let (mut input, mut out) = (&piece[..count], Vec::new());
            while let Some(event) = self.server.next(&mut input, &mut out).unwrap() {
                if let ServerEvent::Request(request) = event {
                    let payload = request.payload.to_vec();
                    self.requests.push_back((request.stream, request.command, payload));
                }
            }
            self.stream.write_all(&out).unwrap();
        }
        self.requests.pop_front()
    }

    pub(crate) fn answer(&mut self, stream: u32, command: Command, payload: &[u8]) {
        let mut out = Vec::new();
        self.server.answer(stream, command, payload, &mut out);
        let _gone = self.stream.write_all(&out);
    }

    pub(crate) fn refuse(&mut self, stream: u32, code: Code, text: &str) {
        let mut out = Vec::new();
        self.server.refuse(stream, code, text, &mut out);
        self.stream.write_all(&out).unwrap();
    }

    /// A GET's answer, and its end.
    pub(crate) fn give(&mut self, stream: u32, parts: &[&[u8]], end: End) {
        for part in parts {
            self.answer(stream, Command::DATA, part);
        }
        self.answer(stream, Command::END, &end.to_bytes());
    }

    /// Answers as a server would, until the client has gone.
    pub(crate) fn serve(&mut self) {
        while let Some((stream, command, payload)) = self.next() {
            match command {
                Command::PING => self.answer(stream, Command::PONG, &payload),
                Command::GET if payload == b"motd" => {
                    let end = End { total: 5, checksum: crc32fast::hash(b"hello") };
                    self.give(stream, &[b"he", b"", b"llo"], end);
                }
                Command::GET => self.refuse(stream, Code::NotFound, "no such name"),
                Command::STATS => self.answer(stream, command, b"frames 1"),
                _ => self.answer(stream, command, &payload),
            }
        }
    }
}

/// A server of the framed protocol whose connections each follow a script.
pub(crate) fn frame_server(
    script: impl Fn(&mut Peer) + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let options = ServerOptions { window: 16, max_payload: PAYLOAD_MAX, features: Features::ALL };
    serve(move |stream| {
        let server = Server::new(options);
        script(&mut Peer { stream, server, requests: VecDeque::new() });
    })
}

fn frame_client(address: SocketAddr) -> Frame {
    Frame::connect(&target(address), &FrameOptions::default()).unwrap()
}

/// A listener whose queue is full: it answers no further connect.
pub(crate) struct Silent {
    address: SocketAddr,
    _held: (std::os::fd::OwnedFd, Vec<TcpStream>),
}

impl Silent {
    pub(crate) fn new() -> Self {
        use nix::sys::socket as s;
        let flags = s::SockFlag::SOCK_CLOEXEC;
        let socket = s::socket(s::AddressFamily::Inet, s::SockType::Stream, flags, None).unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&socket);
        s::bind(fd, &s::SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        s::listen(&socket, s::Backlog::new(0).unwrap()).unwrap();
        let address: s::SockaddrIn = s::getsockname(fd).unwrap();
        let address = SocketAddr::V4(address.into());
        // One fits the queue; the next one's handshake stays open.
        let mut held = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, SOON) {
            held.push(stream);
        }
        Self { address, _held: (socket, held) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

#[test]
fn bytes_go_both_ways_and_ends_are_told() {
    let mut client = Tcp::connect(&target(echo_server()), &ConnectOptions::default()).unwrap();
    let sent = bytes(1, 3_000_000);
    let mut received = Vec::new();
    for piece in sent.chunks(700_000) {
        client.send(&piece[..1], PATIENCE).unwrap();
        client.send(&piece[1..100_000], PATIENCE).unwrap();
        let so_far = received.len() + 100_000;
        while received.len() < so_far {
            assert_ne!(client.receive(&mut received, PATIENCE).unwrap(), Received::End);
        }
    }
    client.finish_sending().unwrap();
    assert_eq!(client.receive(&mut received, PATIENCE).unwrap(), Received::End);
    let expected: Vec<u8> =
        sent.chunks(700_000).flat_map(|piece| &piece[..100_000]).copied().collect();
    assert!(received == expected);
    assert_eq!(client.receive(&mut received, PATIENCE).unwrap(), Received::End);
    assert!(client.local().is_some());
}

#[test]
fn a_silent_peer_costs_a_deadline_and_not_the_connection() {
    let address = serve(|mut stream| {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(b"late").unwrap();
    });
    let mut client = Tcp::connect(&target(address), &ConnectOptions::default()).unwrap();
    let mut received = Vec::new();
    let error = client.receive(&mut received, SOON).unwrap_err();
    assert_eq!(error.to_string(), format!("receive from {address}: not done within 100ms"));
    client.send(b"x", PATIENCE).unwrap();
    assert_eq!(client.receive(&mut received, PATIENCE).unwrap(), Received::Bytes(4));
}

#[test]
fn a_send_that_nobody_takes_ends_at_its_deadline_for_good() {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(receiver));
    let address = serve(move |_stream| {
        let _dropped = receiver.lock().unwrap().recv();
    });
    let mut client = Tcp::connect(&target(address), &ConnectOptions::default()).unwrap();
    let error = client.send(&vec![0; 64 << 20], SOON).unwrap_err();
    assert!(matches!(error, ClientError::Deadline { op: Waiting::Send, .. }), "{error}");
    let error = client.send(b"x", SOON).unwrap_err();
    assert!(error.to_string().starts_with(&format!("send to {address}: ")), "{error}");
    drop(sender);
}

#[test]
fn unix_sockets_are_connected_to() {
    let folder = Folder::new();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
    });
    let target: Target = format!("unix:{}", path.display()).parse().unwrap();
    let mut client = Tcp::connect(&target, &ConnectOptions::default()).unwrap();
    let mut received = Vec::new();
    while client.receive(&mut received, PATIENCE).unwrap() != Received::End {}
    assert_eq!(received, b"hello");
    peer.join().unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = Tcp::connect(&target, &ConnectOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("connect {target}: no such file")), "{error}");
}

#[test]
fn a_connect_ends_at_its_deadline() {
    let silent = Silent::new();
    let options = ConnectOptions { deadline: SOON * 2, ..ConnectOptions::default() };
    let start = ringway::runtime::clock::now();
    let error = Tcp::connect(&target(silent.address()), &options).unwrap_err();
    let peer = silent.address().to_string();
    assert_eq!(error, ClientError::Deadline { op: Waiting::Connect, peer, after: SOON * 2 });
    assert!(start.elapsed() >= SOON * 2 && start.elapsed() < PATIENCE);
    assert!(error.is_not_done());
}

/// The connect was complete, and its completion not yet taken, when the deadline passed: the
/// handshake then armed a receive behind the cancel, and nothing ended that.
#[test]
fn a_deadline_may_pass_at_any_moment_of_a_connect_by_tls() {
    // It accepts, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target(silent.local_addr().unwrap());
    let tls = Tls::new(ClientOptions::default()).unwrap();
    let (told, tells) = mpsc::channel();
    let clients = std::thread::spawn(move || {
        let short = (0..200).map(|step| Duration::from_micros(step * 20));
        for deadline in short.chain((4..=50).map(Duration::from_millis)) {
            for tls in [Some(tls.clone()), None] {
                let secure = tls.is_some();
                let options = ConnectOptions { deadline, tls, ..ConnectOptions::default() };
                let error = Tcp::connect(&address, &options).err();
                told.send((deadline, secure, error)).unwrap();
            }
        }
    });
    for _ in 0..2 * 247 {
        let (deadline, secure, error) = tells.recv_timeout(PATIENCE).expect("it ends");
        let late = matches!(error, Some(ClientError::Deadline { .. }));
        assert!(late || !secure && error.is_none(), "{deadline:?}, {secure}: {error:?}");
    }
    clients.join().unwrap();
}

#[test]
fn a_refused_connect_says_so() {
    let address = nobody();
    let error = Tcp::connect(&target(address), &ConnectOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("connect {address}: connection refused"));
    let expected = NetworkError {
        op: Operation::Connect,
        peer: SocketAddress::inet(address),
        source: Errno::ECONNREFUSED,
    };
    assert_eq!(error, ClientError::Network(expected));
}

#[test]
fn the_next_address_takes_over_from_one_that_is_refused() {
    let port = echo_server().port();
    // Nobody listens on the first ones; the family that comes first is tried first.
    let addresses: Vec<SocketAddress> = ["[::1]", "127.0.0.2", "127.0.0.1"]
        .iter()
        .map(|host| SocketAddress::inet(format!("{host}:{port}").parse().unwrap()))
        .collect();
    let options = ConnectOptions { stagger: PATIENCE, ..ConnectOptions::default() };
    let client = Tcp::connect_any(&addresses, &options).unwrap();
    assert_eq!(client.peer(), addresses[2]);
    let nobody = [SocketAddress::inet(nobody()), SocketAddress::inet(nobody())];
    let error = Tcp::connect_any(&nobody, &options).unwrap_err();
    assert_eq!(error.to_string(), format!("connect {}: connection refused", nobody[1]));
}

#[test]
fn the_next_address_begins_beside_one_that_is_silent() {
    let silent = Silent::new();
    let addresses = [silent.address(), echo_server()].map(SocketAddress::inet);
    let options = ConnectOptions { stagger: SOON, ..ConnectOptions::default() };
    let mut client = Tcp::connect_any(&addresses, &options).unwrap();
    assert_eq!(client.peer(), addresses[1]);
    client.send(b"x", PATIENCE).unwrap();
    assert_eq!(client.receive(&mut Vec::new(), PATIENCE).unwrap(), Received::Bytes(1));
}

#[test]
fn datagrams_are_answered_and_empty_ones_are_no_end() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut datagram = [0; 65_535];
        while let Ok((len, from)) = peer.recv_from(&mut datagram) {
            peer.send_to(&datagram[..len], from).unwrap();
        }
    });
    let mut client = Udp::connect(&target(address), &ConnectOptions::default()).unwrap();
    let large = bytes(2, 65_507);
    for datagram in [&b"hello"[..], b"", b"", &large, b"again"] {
        client.send(datagram).unwrap();
        let mut received = Vec::new();
        assert_eq!(client.receive(&mut received, PATIENCE).unwrap(), datagram.len());
        assert!(received == datagram);
    }
    let error = client.receive(&mut Vec::new(), SOON).unwrap_err();
    assert!(matches!(error, ClientError::Deadline { .. }), "{error}");
    let error = client.send(&[0; 65_508]).unwrap_err();
    assert_eq!(error.to_string(), format!("send to {address}: message too long"));
    client.send(b"x").unwrap();
    assert_eq!(client.receive(&mut Vec::new(), PATIENCE).unwrap(), 1);
}

#[test]
fn a_datagram_that_nobody_takes_is_an_error_of_the_next_call() {
    let address = nobody_by_udp();
    let mut client = Udp::connect(&target(address), &ConnectOptions::default()).unwrap();
    client.send(b"x").unwrap();
    let error = client.receive(&mut Vec::new(), PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), format!("receive from {address}: connection refused"));
}

#[test]
fn frames_are_exchanged_in_both_versions() {
    let address = frame_server(Peer::serve);
    for highest in [Version::V1, Version::V2] {
        let options = FrameOptions { highest, ..FrameOptions::default() };
        let mut client = Frame::connect(&target(address), &options).unwrap();
        assert_eq!((client.ready().version, client.ready().window), (highest, 16));
        assert!(client.ping(PATIENCE).unwrap() < PATIENCE);
        let large = bytes(3, 65_535);
        assert!(client.echo(&large, PATIENCE).unwrap() == large);
        assert_eq!(client.message("chat", b"hi", PATIENCE).unwrap(), b"hi");
        assert_eq!(client.stats(PATIENCE).unwrap(), b"frames 1");
        assert_eq!(client.call(Command::GET, b"motd", PATIENCE).unwrap(), b"hello");
        let mut got = Vec::new();
        let total = client.get("motd", PATIENCE, &mut |part| got.extend_from_slice(part)).unwrap();
        assert_eq!((total, got.as_slice()), (5, &b"hello"[..]));
        let error = client.get("nothing", PATIENCE, &mut |_| ()).unwrap_err();
        assert_eq!(error.to_string(), format!("{address} refused: not_found: no such name"));
        assert!(matches!(client.get("", PATIENCE, &mut |_| ()), Err(ClientError::Request { .. })));
        let error = client.begin(Command::ECHO, &[0; 65_536]).unwrap_err();
        assert!(matches!(error, ClientError::Request { .. }), "{error}");
    }
}

#[test]
fn answers_may_overtake_each_other() {
    let address = frame_server(|peer| {
        let requests: Vec<_> = (0..16).filter_map(|_| peer.next()).collect();
        for (stream, command, payload) in requests.into_iter().rev() {
            peer.answer(stream, command, &payload);
        }
        peer.serve();
    });
    let mut client = frame_client(address);
    let exchanges: Vec<_> = (0..16).map(|n| client.begin(Command::ECHO, &[n]).unwrap()).collect();
    let error = client.begin(Command::ECHO, b"").unwrap_err();
    assert_eq!(error, ClientError::Busy { peer: address.to_string(), window: 16 });
    assert_eq!(client.finish(exchanges[3], PATIENCE).unwrap(), [3]);
    assert_eq!(client.finish(exchanges[3], PATIENCE), Err(ClientError::Finished));
    for n in (0..16).rev().filter(|n| *n != 3) {
        let (exchange, answer) = client.next_answer(PATIENCE).unwrap();
        assert_eq!((exchange, answer), (exchanges[n], Ok(vec![u8::try_from(n).unwrap()])));
    }
    assert_eq!(client.next_answer(PATIENCE), Err(ClientError::Finished));
    assert_eq!(client.echo(b"again", PATIENCE).unwrap(), b"again");
}

#[test]
fn a_deadline_gives_up_one_exchange_alone() {
    for highest in [Version::V1, Version::V2] {
        let address = frame_server(|peer| {
            let (first, command, payload) = peer.next().unwrap();
            let (second, ..) = peer.next().unwrap();
            peer.answer(first, command, &payload);
            peer.answer(second, command, b"second");
            peer.serve();
        });
        let options = FrameOptions { highest, ..FrameOptions::default() };
        let mut client = Frame::connect(&target(address), &options).unwrap();
        let error = client.echo(b"first", SOON).unwrap_err();
        assert_eq!(error.to_string(), format!("ECHO to {address}: not done within 100ms"));
        assert_eq!(client.call(Command::ECHO, b"x", PATIENCE).unwrap(), b"second");
        assert_eq!(client.echo(b"third", PATIENCE).unwrap(), b"third");
    }
}

#[test]
fn a_transfer_that_is_not_what_was_sent_fails_alone() {
    let address = frame_server(|peer| {
        let checksum = crc32fast::hash(b"hello");
        for end in [End { total: 5, checksum: !checksum }, End { total: 6, checksum }] {
            let (stream, ..) = peer.next().unwrap();
            peer.give(stream, &[b"hel", b"lo"], end);
        }
        let (stream, ..) = peer.next().unwrap();
        peer.answer(stream, Command::END, b"short");
        let (stream, ..) = peer.next().unwrap();
        peer.give(stream, &[&[0; 100], &[0; 100]], End { total: 200, checksum: 0 });
        peer.serve();
    });
    let options = FrameOptions { answer_max: 150, ..FrameOptions::default() };
    let mut client = Frame::connect(&target(address), &options).unwrap();
    let computed = crc32fast::hash(b"hello");
    let reasons = [
        TransferError::Checksum { announced: !computed, computed },
        TransferError::Length { announced: 6, came: 5 },
        TransferError::End,
    ];
    for reason in reasons {
        let error = client.get("motd", PATIENCE, &mut |_| ()).unwrap_err();
        let peer = address.to_string();
        assert_eq!(error, ClientError::Transfer { peer, what: "GET".to_owned(), reason });
    }
    let error = client.call(Command::GET, b"motd", PATIENCE).unwrap_err();
    assert!(matches!(error, ClientError::Transfer { .. }), "{error}");
    assert_eq!(client.echo(b"on", PATIENCE).unwrap(), b"on");
}

#[test]
fn after_a_goaway_only_what_came_before_is_answered() {
    let address = frame_server(|peer| {
        let (first, command, payload) = peer.next().unwrap();
        // The second one is on its way, and is not counted.
        let second = peer.next();
        assert!(second.is_some());
        let mut out = Vec::new();
        let mut going = Vec::new();
        ringway::proto::frame::GoAway::write(
            first.into(),
            Code::ShuttingDown,
            "bye",
            1024,
            &mut going,
        );
        peer.server.answer(0, Command::GOAWAY, &going, &mut out);
        peer.stream.write_all(&out).unwrap();
        peer.answer(first, command, &payload);
        let _gone = peer.next();
    });
    let mut client = frame_client(address);
    let first = client.begin(Command::ECHO, b"1").unwrap();
    let second = client.begin(Command::ECHO, b"2").unwrap();
    let error = client.finish(second, PATIENCE).unwrap_err();
    let (code, text) = ("shutting_down".to_owned(), "bye".to_owned());
    assert_eq!(error, ClientError::NotDone { peer: address.to_string(), code, text });
    assert!(error.is_not_done());
    assert_eq!(client.finish(first, PATIENCE).unwrap(), b"1");
    assert_eq!(client.begin(Command::ECHO, b"3").unwrap_err(), error);
}

#[test]
fn a_connection_that_closes_fails_all_that_are_open() {
    let address = frame_server(|peer| {
        for _ in 0..2 {
            let (stream, command, payload) = peer.next().unwrap();
            peer.answer(stream, command, &payload);
        }
        let _third = peer.next();
        peer.stream.shutdown(Shutdown::Write).unwrap();
    });
    let mut client = frame_client(address);
    let exchanges: Vec<_> = (0..5).map(|n| client.begin(Command::ECHO, &[n]).unwrap()).collect();
    for (n, exchange) in (0..).zip(exchanges) {
        let result = client.finish(exchange, PATIENCE);
        let closed = Err(ClientError::Closed { peer: address.to_string() });
        assert_eq!(result, if n < 2 { Ok(vec![n]) } else { closed });
    }
    let error = client.begin(Command::PING, b"").unwrap_err();
    assert_eq!(error.to_string(), format!("{address} closed the connection before it answered"));
}

#[test]
fn a_peer_that_does_not_keep_to_the_protocol_is_named() {
    let cases: [(&'static [u8], &str); 2] =
        [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "version 72 instead of 1"), (b"", "closed")];
    for (answer, word) in cases {
        let address = serve(move |mut stream| {
            stream.write_all(answer).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let _end = stream.read_to_end(&mut Vec::new());
        });
        let error = Frame::connect(&target(address), &FrameOptions::default()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
    let silent = serve(|mut stream| {
        let _end = stream.read_to_end(&mut Vec::new());
    });
    let connect = ConnectOptions { deadline: SOON, ..ConnectOptions::default() };
    let options = FrameOptions { connect, ..FrameOptions::default() };
    let error = Frame::connect(&target(silent), &options).unwrap_err();
    assert_eq!(error.to_string(), format!("HELLO to {silent}: not done within 100ms"));
}

#[test]
fn messages_find_their_answers() {
    let address = serve(|stream| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let mut stream = stream;
        let mut next = || lines.next().unwrap().unwrap();
        assert_eq!(next(), r#"{"id":1,"payload":"aGVsbG8=","type":"echo"}"#);
        let late = r#"{"id":1,"type":"echo","payload":"aGVsbG8="}"#;
        next();
        let refused = r#"{"type":"error","code":"not_found","message":"no such type","id":2}"#;
        stream.write_all(format!("{late}\r\n\n{refused}\n").as_bytes()).unwrap();
        next();
        let good = r#"{"id":3,"type":"echo","payload":"AAEC"}"#;
        for piece in format!("{good}\nnonsense\n").as_bytes().chunks(5) {
            stream.write_all(piece).unwrap();
        }
        next();
    });
    let mut client = Messages::connect(&target(address), &MessagesOptions::default()).unwrap();
    let error = client.call("echo", b"hello", SOON).unwrap_err();
    assert_eq!(error.to_string(), format!("message from {address}: not done within 100ms"));
    let error = client.call("none", b"", PATIENCE).unwrap_err();
    assert_eq!(error.to_string(), format!("{address} refused: not_found: no such type"));
    assert_eq!(client.call("echo", b"\0\x01\x02", PATIENCE).unwrap(), [0, 1, 2]);
    let error = client.call("echo", b"", PATIENCE).unwrap_err();
    assert!(error.to_string().starts_with(&format!("messages from {address}: no JSON")), "{error}");
    let error = client.call("echo", b"", PATIENCE).unwrap_err();
    assert!(matches!(error, ClientError::Closed { .. } | ClientError::Network(_)), "{error}");
}

#[test]
fn a_line_without_end_is_bounded() {
    let address = serve(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
    let options = MessagesOptions { line_max: 10_000, ..MessagesOptions::default() };
    let mut client = Messages::connect(&target(address), &options).unwrap();
    let error = client.next(PATIENCE).unwrap_err();
    assert!(error.to_string().ends_with("a line of more than 10000 bytes"), "{error}");
}

#[test]
fn what_fails_is_tried_again_and_given_up() {
    let address = nobody();
    let policy = RetryPolicy { backoff: Duration::from_millis(1), ..RetryPolicy::default() };
    let connect = || Tcp::connect(&target(address), &ConnectOptions::default());
    let error = retry(&policy, connect).unwrap_err();
    let expected = format!("gave up after 3 tries: connect {address}: connection refused");
    assert_eq!(error.to_string(), expected);
    // The first two connections are closed before they answer.
    let count = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let address = frame_server(move |peer| {
        if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 2 {
            peer.serve();
        }
    });
    let echo = || {
        let mut client = Frame::connect(&target(address), &FrameOptions::default())?;
        client.echo(b"third", PATIENCE)
    };
    assert_eq!(retry(&policy, echo).unwrap(), b"third");
}
