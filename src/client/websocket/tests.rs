//! The client against servers that do as a script says.

use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::*;
use crate::client::ReconnectPolicy;
use crate::client::scripted::{PATIENCE, Peer, Server};
use crate::proto::websocket::deflate::{Codec, Context, Direction, Level};
use crate::proto::websocket::handshake::accept;
use crate::proto::websocket::{FrameHead, Violation, mask, write};

fn options() -> WebSocketOptions {
    WebSocketOptions { close_timeout: PATIENCE, deflate: None, ..WebSocketOptions::default() }
}

impl Peer {
    /// Reads a handshake. Returns its head and the answer to its key.
    fn read_handshake(&mut self) -> (String, String) {
        let head = self.head();
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accept = String::from_utf8(accept(key.as_bytes()).to_vec()).unwrap();
        (head, accept)
    }

    /// Opens a WebSocket, with these fields besides.
    fn open(&mut self, fields: &str) -> String {
        let (head, accept) = self.read_handshake();
        self.say(opening(&accept, fields).as_bytes());
        head
    }

    fn send(&mut self, opcode: Opcode, fin: bool, payload: &[u8]) {
        self.say(&frame(opcode, fin, payload));
    }

    /// The next frame of the client, unmasked.
    fn next(&mut self) -> (Opcode, Vec<u8>) {
        let (head, payload) = self.next_whole();
        assert!(head.fin);
        (head.opcode, payload)
    }

    fn next_whole(&mut self) -> (FrameHead, Vec<u8>) {
        let mut bytes = Vec::new();
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            bytes.push(byte[0]);
            if let Some((head, _)) = FrameHead::read(&bytes).unwrap() {
                let mut payload = vec![0; usize::try_from(head.len).unwrap()];
                self.stream.read_exact(&mut payload).unwrap();
                mask::apply(&mut payload, head.mask.expect("a client masks"));
                return (head, payload);
            }
        }
    }

    /// Expects a close frame of this code, and answers it.
    fn close(&mut self, code: u16) {
        let (opcode, payload) = self.next();
        assert_eq!((opcode, &payload[..2]), (Opcode::Close, &code.to_be_bytes()[..]));
        self.send(Opcode::Close, true, &payload[..2]);
    }
}

fn opening(accept: &str, fields: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{fields}\r\n"
    )
}

fn frame(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::frame(opcode, (fin, false), payload, None, &mut out);
    out
}

fn text(text: &str) -> WebSocketEvent {
    WebSocketEvent::Message(WebSocketMessage::Text(text.to_owned()))
}

fn closed(code: u16, reason: &str) -> WebSocketEvent {
    WebSocketEvent::Closed(WebSocketClose { code: CloseCode(code), reason: reason.to_owned() })
}

fn connect(server: &Server, options: &WebSocketOptions) -> Result<WebSocket, ClientError> {
    WebSocket::connect(&server.url("ws"), options)
}

#[test]
fn messages_go_both_ways_and_both_ends_close() {
    let server = Server::one(|peer| {
        let head = peer.open("Sec-WebSocket-Protocol: chat\r\nX-A: b\r\n");
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\nhost: 127.0.0.1:"), "{head}");
        assert_eq!(peer.next(), (Opcode::Text, "h\u{e9}llo".as_bytes().to_vec()));
        assert_eq!(peer.next(), (Opcode::Binary, vec![0; 70_000]));
        assert_eq!(peer.next(), (Opcode::Text, Vec::new()));
        peer.send(Opcode::Text, false, b"he");
        peer.send(Opcode::Ping, true, b"alive");
        peer.send(Opcode::Continuation, false, b"");
        peer.send(Opcode::Continuation, true, b"llo");
        peer.send(Opcode::Binary, true, &[7; 3]);
        assert_eq!(peer.next(), (Opcode::Pong, b"alive".to_vec()));
        peer.close(4000);
        assert_eq!(peer.rest(), b"");
    });
    let subprotocols = vec!["chat".to_owned()];
    let mut socket = connect(&server, &WebSocketOptions { subprotocols, ..options() }).unwrap();
    assert_eq!(socket.subprotocol(), Some("chat"));
    assert_eq!(socket.response().fields.get_named(b"x-a"), Some(&b"b"[..]));
    assert_eq!((socket.peer(), socket.is_open()), (server.authority.clone(), true));
    socket.send_text("h\u{e9}llo", PATIENCE).unwrap();
    socket.send_binary(&[0; 70_000], PATIENCE).unwrap();
    socket.send(&"".into(), PATIENCE).unwrap();
    assert_eq!(socket.receive(PATIENCE), Ok(text("hello")));
    let binary = WebSocketMessage::Binary(vec![7; 3]);
    assert_eq!(socket.receive_message(PATIENCE), Ok(Some(binary)));
    let close = socket.close(4000, "done").unwrap();
    assert_eq!((close.code, &*close.reason), (CloseCode(4000), ""));
    assert_eq!(socket.receive(PATIENCE), Ok(closed(4000, "")), "nothing follows");
    assert_eq!(socket.receive_message(PATIENCE), Ok(None));
    let error = socket.send_text("late", PATIENCE).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the WebSocket with {} is closed with 4000: nothing can be sent", server.authority)
    );
    drop(socket);
    server.end();
}

#[test]
fn a_conversation_is_heard_alike_however_it_is_cut() {
    let mut wire = frame(Opcode::Text, false, "h\u{e9}".as_bytes());
    wire.extend(frame(Opcode::Pong, true, b"unasked"));
    wire.extend(frame(Opcode::Continuation, true, b"llo"));
    wire.extend(frame(Opcode::Text, true, &[b'x'; 200]));
    let mut end = Vec::new();
    write::close(CloseCode(3001), "bye", None, &mut end);
    wire.extend(end);
    let script = wire.clone();
    let server = Server::one(move |peer| {
        // The head and the first frames come together.
        let (_, accept) = peer.read_handshake();
        let all = [opening(&accept, "").as_bytes(), &script[..7]].concat();
        peer.say(&all);
        for byte in &script[7..] {
            peer.say(&[*byte]);
        }
        peer.close(3001);
    });
    let mut socket = connect(&server, &options()).unwrap();
    assert_eq!(socket.receive(PATIENCE), Ok(text("h\u{e9}llo")));
    assert_eq!(socket.receive(PATIENCE), Ok(text(&"x".repeat(200))));
    assert_eq!(socket.receive(PATIENCE), Ok(closed(3001, "bye")));
    drop(socket);
    server.end();
}

#[test]
fn a_handshake_that_fails_says_what_and_why() {
    let cases: [(&str, &str, bool); 11] = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404 instead of 101", false),
        ("HTTP/1.1 200 OK\r\n\r\n", "is this the path of a WebSocket?", false),
        ("HTTP/1.1 401 No\r\n\r\n", "give a user and a password", false),
        ("HTTP/1.1 503 Busy\r\nRetry-After: 3\r\n\r\n", "try again later", true),
        ("HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n", "redirect to /b", false),
        ("HTTP/1.1 101 Go\r\n\r\n", "its Upgrade is not websocket", false),
        (
            "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
             Sec-WebSocket-Accept: AAAA\r\n\r\n",
            "does not fit the key",
            false,
        ),
        ("\x15\x03\x03\0\x02\x02\x28", "it speaks TLS: connect to wss:// instead", false),
        ("\x01\x05hello\r\n\r\n", "no HTTP/1.1", false),
        ("HTTP/1.1 101 Go\r\nUpg", "closed the connection before it answered", true),
        ("", "closed the connection before it answered", true),
    ];
    for (answer, word, is_transient) in cases {
        let server = Server::one(move |peer| {
            peer.head();
            peer.say(answer.as_bytes());
            peer.stream.shutdown(Shutdown::Write).unwrap();
            peer.rest();
        });
        let error = connect(&server, &options()).unwrap_err();
        assert!(error.to_string().contains(word), "{answer:?}: {error}");
        assert!(error.to_string().contains(&server.authority), "{error}");
        assert_eq!(error.is_transient(), is_transient, "{error}");
        assert!(!error.is_not_done());
        if let ClientError::Handshake { status: 503, retry_after, .. } = error {
            assert_eq!(retry_after, Some(Duration::from_secs(3)));
        }
        server.end();
    }
}

#[test]
fn a_hostile_head_ends_within_limits() {
    let endless = |peer: &mut Peer| {
        peer.head();
        peer.say(b"HTTP/1.1 101 Go\r\n");
        while peer.stream.write_all(b"X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n").is_ok() {}
    };
    let server = Server::one(endless);
    let error = connect(&server, &options()).unwrap_err();
    assert!(error.to_string().contains("no HTTP/1.1"), "{error}");
    server.end();
    let server = Server::one(|peer| {
        peer.head();
        while peer.stream.write_all(b"HTTP/1.1 103 Wait\r\nX-A: b\r\n\r\n").is_ok() {}
    });
    let error = connect(&server, &options()).unwrap_err();
    assert!(error.to_string().contains("too many interim answers"), "{error}");
    server.end();
    // One that says nothing.
    let server = Server::one(|peer| {
        peer.head();
        peer.rest();
    });
    let handshake_timeout = Duration::from_millis(20);
    let error = connect(&server, &WebSocketOptions { handshake_timeout, ..options() }).unwrap_err();
    let expected = format!("handshake with {}: not done within 20ms", server.authority);
    assert_eq!(error.to_string(), expected);
    server.end();
}

#[test]
fn redirects_are_followed_where_that_is_asked_for() {
    let target = Server::one(|peer| {
        let head = peer.open("");
        assert!(head.starts_with("GET /there HTTP/1.1\r\n"), "{head}");
        assert!(!head.contains("authorization") && !head.contains("cookie"), "{head}");
        peer.close(1000);
    });
    let there = format!("http://{}/there", target.authority);
    let first = Server::new(vec![
        Box::new(|peer| {
            assert!(peer.head().contains("\r\nauthorization: Basic dTpw\r\n"));
            peer.say(b"HTTP/1.1 301 Moved\r\nLocation: /second\r\n\r\n");
        }),
        Box::new(move |peer| {
            let head = peer.head();
            assert!(head.starts_with("GET /second HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("\r\ncookie: c\r\n") && head.contains("Basic"), "{head}");
            peer.say(format!("HTTP/1.1 307 Moved\r\nLocation: {there}\r\n\r\n").as_bytes());
        }),
    ]);
    let fields = vec![("Cookie".to_owned(), b"c".to_vec())];
    let followed = WebSocketOptions { redirects_max: 2, fields, ..options() };
    let url = format!("ws://u:p@{}/first", first.authority);
    let mut socket = WebSocket::connect(&url, &followed).unwrap();
    assert_eq!(socket.url().to_string(), format!("ws://{}/there", target.authority));
    socket.close(1000, "").unwrap();
    assert_eq!(first.end(), 2);
    target.end();
    // Around and around.
    let again = |peer: &mut Peer| {
        peer.head();
        peer.say(b"HTTP/1.1 302 Found\r\nLocation: ?x\r\n\r\n");
    };
    let circle = Server::new(vec![Box::new(again), Box::new(again), Box::new(again)]);
    let error = connect(&circle, &followed).unwrap_err();
    assert!(error.to_string().contains("2 redirects were followed"), "{error}");
    assert_eq!(circle.end(), 3);
}

#[test]
fn what_breaks_a_rule_is_named_and_the_server_is_told() {
    let masked = |payload: &[u8]| {
        let mut out = Vec::new();
        write::frame(Opcode::Text, (true, false), payload, Some([1, 2, 3, 4]), &mut out);
        out
    };
    let cases = [
        (masked(b"x"), Violation::Masked),
        (frame(Opcode::Continuation, true, b"x"), Violation::NoMessage),
        (frame(Opcode::Text, true, b"\xff"), Violation::Utf8),
        (frame(Opcode::Binary, true, &[0; 200]), Violation::FrameTooBig),
        (
            [frame(Opcode::Binary, false, &[0; 90]), frame(Opcode::Continuation, true, &[0; 90])]
                .concat(),
            Violation::MessageTooBig,
        ),
        (vec![0xc1, 0], Violation::ReservedBit),
        (vec![0x8b, 0], Violation::ReservedOpcode),
        (frame(Opcode::Close, true, &1005_u16.to_be_bytes()), Violation::CloseCode),
    ];
    for (wire, violation) in cases {
        let server = Server::one(move |peer| {
            peer.open("");
            peer.say(&wire);
            let (opcode, payload) = peer.next();
            assert_eq!(opcode, Opcode::Close);
            assert_eq!(payload[..2], violation.code().0.to_be_bytes());
            assert_eq!(payload[2..], *violation.to_string().as_bytes());
            assert_eq!(peer.rest(), b"");
        });
        let small = WebSocketOptions { frame_max: 100, message_max: 150, ..options() };
        let mut socket = connect(&server, &small).unwrap();
        let error = socket.receive(PATIENCE).unwrap_err();
        let (peer, code) = (&server.authority, violation.code());
        assert_eq!(
            error.to_string(),
            format!("{peer} broke a rule of WebSocket: {violation}; closed with {code}")
        );
        assert_eq!(socket.receive(PATIENCE), Err(error.clone()), "it is final");
        assert_eq!(socket.send_text("x", PATIENCE), Err(error));
        drop(socket);
        server.end();
    }
}

#[test]
fn a_connection_that_ends_without_a_close_frame_is_a_loss() {
    for within in [&b""[..], &b"\x01\x05hel"[..], &b"\x81"[..]] {
        let server = Server::one(move |peer| {
            peer.open("");
            peer.send(Opcode::Text, true, b"last");
            peer.say(within);
        });
        let mut socket = connect(&server, &options()).unwrap();
        assert_eq!(socket.receive(PATIENCE), Ok(text("last")));
        let error = socket.receive(PATIENCE).unwrap_err();
        let expected = format!("{} ended the WebSocket without a close frame", server.authority);
        assert_eq!(error.to_string(), expected);
        assert!(error.is_loss() && error.is_transient());
        drop(socket);
        server.end();
    }
}

#[test]
fn both_may_close_at_once_and_messages_come_until_the_answer() {
    let (tell, told) = channel::<()>();
    let server = Server::one(move |peer| {
        peer.open("");
        // Ours is on its way before that of the client is read.
        told.recv().unwrap();
        peer.send(Opcode::Text, true, b"last");
        peer.send(Opcode::Close, true, &[&1001_u16.to_be_bytes()[..], b"away"].concat());
        let (opcode, payload) = peer.next();
        assert_eq!((opcode, &payload[..2]), (Opcode::Close, &1000_u16.to_be_bytes()[..]));
        assert_eq!(peer.rest(), b"", "there is one close frame");
    });
    let mut socket = connect(&server, &options()).unwrap();
    socket.start_close(1000, "bye").unwrap();
    socket.start_close(4000, "again").unwrap();
    assert!(!socket.is_open());
    assert!(matches!(socket.ping(b""), Err(ClientError::AfterClose { .. })));
    tell.send(()).unwrap();
    assert_eq!(socket.receive(PATIENCE), Ok(text("last")));
    assert_eq!(socket.receive(PATIENCE), Ok(closed(1001, "away")));
    drop(socket);
    server.end();
}

#[test]
fn a_server_that_does_not_answer_a_close_is_not_waited_for_longer() {
    let server = Server::one(|peer| {
        peer.open("");
        peer.rest();
    });
    let close_timeout = Duration::from_millis(20);
    let mut socket = connect(&server, &WebSocketOptions { close_timeout, ..options() }).unwrap();
    for (code, reason, word) in [
        (999, "", "999 is no close code"),
        (1005, "", "1005 is no close code"),
        (1000, &*"x".repeat(124), "124 bytes"),
    ] {
        let error = socket.start_close(code, reason).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert!(socket.is_open());
    let error = socket.close(1000, "").unwrap_err().to_string();
    assert_eq!(error, format!("close frame from {}: not done within 20ms", server.authority));
    drop(socket);
    server.end();
}

#[test]
fn pings_are_answered_and_timed() {
    let ping_interval = Some(Duration::from_millis(5));
    let kept = WebSocketOptions { ping_interval, ..options() };
    let server = Server::one(|peer| {
        peer.open("");
        let mut answered = 0;
        while answered < 3 {
            let (opcode, payload) = peer.next();
            assert_eq!(opcode, Opcode::Ping);
            answered += usize::from(payload.len() == 8);
            peer.send(Opcode::Pong, true, b"other");
            peer.send(Opcode::Pong, true, &payload);
        }
        peer.send(Opcode::Text, true, b"done");
        peer.rest();
    });
    let mut socket = connect(&server, &kept).unwrap();
    assert!(socket.ping(&[0; 126]).is_err());
    socket.ping(b"mine").unwrap();
    let event = socket.receive(PATIENCE).unwrap();
    let WebSocketEvent::Pong { payload, round_trip } = event else { panic!("{event:?}") };
    assert_eq!((&*payload, round_trip.is_some()), (&b"mine"[..], true));
    assert_eq!(socket.receive(PATIENCE), Ok(text("done")), "other pongs are not told");
    drop(socket);
    server.end();
}

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_server_that_is_silent_or_drips_is_given_up() {
    let short = Duration::from_millis(20);
    let silent = |peer: &mut Peer| {
        peer.open("");
        peer.rest();
    };
    let drips = |peer: &mut Peer| {
        peer.open("");
        peer.say(b"\x82\x7e\xff\xff");
        while peer.stream.write_all(b"x").is_ok() {
            // A byte now and then: nobody waits for anything here.
            let _nothing = std::sync::mpsc::channel::<()>().1.recv_timeout(SOON);
        }
    };
    let pinging = WebSocketOptions {
        ping_interval: Some(Duration::from_millis(1)),
        pong_timeout: short,
        ..options()
    };
    let idle = WebSocketOptions { idle_timeout: Some(short), ..options() };
    let slow = WebSocketOptions { message_timeout: short, ..options() };
    let servers = [Server::one(silent), Server::one(silent), Server::one(drips)];
    let kinds = [(pinging, "pong from"), (idle, "any answer from"), (slow, "message from")];
    for (server, (options, what)) in servers.into_iter().zip(kinds) {
        let mut socket = connect(&server, &options).unwrap();
        let error = socket.receive(PATIENCE).unwrap_err();
        let expected = format!("{what} {}: not done within 20ms", server.authority);
        assert_eq!(error.to_string(), expected);
        assert_eq!(socket.receive(PATIENCE), Err(error), "it is final");
        drop(socket);
        server.end();
    }
}

#[test]
fn a_time_that_is_over_ends_nothing() {
    let (tell, told) = channel::<()>();
    let server = Server::one(move |peer| {
        peer.open("");
        peer.send(Opcode::Text, false, b"be");
        told.recv().unwrap();
        peer.send(Opcode::Continuation, true, b"gun");
        peer.close(1001);
    });
    let mut socket = connect(&server, &options()).unwrap();
    let error = socket.receive(Duration::from_millis(5)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("message from {}: not done within 5ms", server.authority)
    );
    tell.send(()).unwrap();
    assert_eq!(socket.receive(PATIENCE), Ok(text("begun")));
    // It goes away, and says so.
    drop(socket);
    server.end();
}

#[test]
fn pings_that_come_together_are_all_answered_in_order() {
    let server = Server::one(|peer| {
        peer.open("");
        let numbers = |count: u8| (0..count).map(|number| [number]).collect::<Vec<_>>();
        for count in [10, 64] {
            let all = numbers(count);
            let pings = all.iter().flat_map(|payload| frame(Opcode::Ping, true, payload));
            peer.say(&pings.collect::<Vec<u8>>());
            for payload in all {
                assert_eq!(peer.next(), (Opcode::Pong, payload.to_vec()));
            }
        }
        // Beyond the limit, the newest takes the place of the latest that waits.
        let pings = numbers(200).into_iter().flat_map(|one| frame(Opcode::Ping, true, &one));
        peer.say(&pings.collect::<Vec<u8>>());
        let mut pongs = Vec::new();
        while pongs.last() != Some(&199) {
            let (opcode, payload) = peer.next();
            assert_eq!(opcode, Opcode::Pong);
            pongs.extend(payload);
        }
        assert!(pongs.is_sorted() && pongs.len() >= 64, "{pongs:?}");
        assert_eq!(pongs[..63], (0..63).collect::<Vec<u8>>());
        peer.send(Opcode::Text, true, b"done");
        peer.rest();
    });
    let mut socket = connect(&server, &options()).unwrap();
    assert_eq!(socket.receive(PATIENCE), Ok(text("done")));
    drop(socket);
    server.end();
}

#[test]
fn a_flood_of_pings_keeps_few_and_costs_no_more_than_the_time() {
    let server = Server::one(|peer| {
        peer.open("");
        let flood = frame(Opcode::Ping, true, &[b'p'; 125]).repeat(500);
        // Without reading a single pong.
        while peer.stream.write_all(&flood).is_ok() {}
    });
    let mut socket = connect(&server, &options()).unwrap();
    let error = socket.receive(Duration::from_millis(300)).unwrap_err();
    assert!(error.to_string().starts_with("message from"), "{error}");
    assert_eq!(socket.connection.kept(), 0);
    assert_eq!(socket.connection.owed(), 64);
    drop(socket);
    server.end();
}

#[test]
fn what_comes_while_it_sends_is_kept_and_bounded() {
    let (tell, told) = channel::<()>();
    let server = Server::one(move |peer| {
        peer.open("");
        // More than sockets hold, before anything is read.
        for _ in 0..64 {
            peer.send(Opcode::Binary, true, &[b'x'; 64 * 1024]);
        }
        told.recv().unwrap();
        let mut total = 0;
        while total < 8 * 1024 * 1024 {
            total += peer.next().1.len();
        }
        peer.close(1000);
    });
    let mut socket = connect(&server, &options()).unwrap();
    // It would wait for ever if nothing were read meanwhile.
    let sent = socket.send_binary(&vec![0; 8 * 1024 * 1024], Duration::from_millis(100));
    tell.send(()).unwrap();
    if let Err(error) = sent {
        assert!(error.to_string().starts_with("send to"), "{error}");
    }
    for _ in 0..64 {
        let message = socket.receive_message(PATIENCE).unwrap().unwrap();
        assert_eq!(message.bytes().len(), 64 * 1024);
    }
    socket.close(1000, "").unwrap();
    drop(socket);
    server.end();
}

#[test]
fn a_proxy_is_asked_for_a_tunnel() {
    let server = Server::one(|peer| {
        let head = peer.head();
        assert!(head.starts_with("CONNECT a.invalid:80 HTTP/1.1\r\nhost: a.invalid:80\r\n"));
        assert!(head.contains("\r\nproxy-authorization: Basic dTpw\r\n"), "{head}");
        peer.say(b"HTTP/1.1 200 Connection established\r\n\r\n");
        let head = peer.open("");
        assert!(head.starts_with("GET /x HTTP/1.1\r\nhost: a.invalid\r\n"), "{head}");
        assert!(!head.contains("proxy-"), "{head}");
        peer.close(1000);
    });
    let proxy = |server: &Server| {
        let url = format!("http://u:p@{}", server.authority);
        WebSocketOptions { proxy: Some(url.parse().unwrap()), ..options() }
    };
    let mut socket = WebSocket::connect("ws://a.invalid/x", &proxy(&server)).unwrap();
    socket.close(1000, "").unwrap();
    server.end();
    for (answer, word) in [
        ("HTTP/1.1 407 No\r\n\r\n", "status 407: give a user"),
        ("HTTP/1.1 502 Bad\r\n\r\n", "status 502"),
        ("HTTP/1.1 200 OK\r\n\r\nmore", "bytes came before"),
        ("SSH-2.0-x\r\n\r\n", "no HTTP/1.1"),
    ] {
        let server = Server::one(move |peer| {
            peer.head();
            peer.say(answer.as_bytes());
            peer.rest();
        });
        let error = WebSocket::connect("ws://a.invalid/x", &proxy(&server)).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        server.end();
    }
}

#[test]
fn input_is_waited_for_beside_messages() {
    let server = Server::one(|peer| {
        peer.open("");
        assert_eq!(peer.next(), (Opcode::Text, b"typed".to_vec()));
        peer.send(Opcode::Text, true, b"heard");
        peer.close(1000);
    });
    let mut socket = connect(&server, &options()).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"typed").unwrap();
    assert_eq!(socket.receive_or_input(&reader, PATIENCE), Ok(WebSocketEvent::Input));
    socket.queue(&"typed".into()).unwrap();
    let mut typed = [0; 5];
    (&reader).read_exact(&mut typed).unwrap();
    assert_eq!(socket.receive_or_input(&reader, PATIENCE), Ok(text("heard")));
    socket.unwatch().unwrap();
    socket.close(1000, "").unwrap();
    server.end();
}

#[test]
fn wrong_urls_and_options_are_refused_before_anybody_is_asked() {
    let error = WebSocket::connect("http://a/", &options()).unwrap_err();
    assert!(error.to_string().contains("begins with ws://"), "{error}");
    let fields = vec![("host".to_owned(), b"x".to_vec())];
    let error = WebSocket::connect("ws://a/", &WebSocketOptions { fields, ..options() });
    assert!(error.unwrap_err().to_string().contains("client's own"));
}

fn policy() -> ReconnectPolicy {
    let (backoff, backoff_max) = (Duration::from_millis(1), Duration::from_millis(1));
    let overload = Duration::from_millis(1);
    ReconnectPolicy {
        backoff,
        backoff_max,
        overload,
        attempts_max: 2,
        ..ReconnectPolicy::default()
    }
}

fn reconnecting(server: &Server, policy: ReconnectPolicy) -> Reconnecting {
    Reconnecting::connect(&server.url("ws"), options(), policy).unwrap()
}

/// What a connection that ended is told with.
fn lost(socket: &mut Reconnecting) -> String {
    match socket.receive(PATIENCE) {
        Ok(WebSocketEvent::Lost { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_connection_is_made_again_and_nothing_is_sent_again() {
    let server = Server::new(vec![
        Box::new(|peer| {
            peer.open("");
            assert_eq!(peer.next(), (Opcode::Text, b"one".to_vec()));
        }),
        Box::new(|peer| {
            peer.head();
            peer.say(b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\n\r\n");
        }),
        Box::new(|peer| {
            peer.open("");
            assert_eq!(peer.next(), (Opcode::Text, b"two".to_vec()));
            peer.send(Opcode::Close, true, &1012_u16.to_be_bytes());
            peer.next();
        }),
        Box::new(|peer| {
            peer.open("");
            peer.send(Opcode::Close, true, &1008_u16.to_be_bytes());
            peer.next();
        }),
    ]);
    let mut socket = reconnecting(&server, ReconnectPolicy { attempts_max: 9, ..policy() });
    socket.send(&"one".into(), PATIENCE).unwrap();
    assert!(lost(&mut socket).contains("without a close frame"));
    assert!(matches!(socket.send(&"lost".into(), PATIENCE), Err(ClientError::Unclosed { .. })));
    assert!(lost(&mut socket).contains("status 503"));
    assert_eq!(socket.receive(PATIENCE), Ok(WebSocketEvent::Reconnected));
    socket.send(&"two".into(), PATIENCE).unwrap();
    assert!(lost(&mut socket).contains("closed with 1012"));
    assert_eq!(socket.receive(PATIENCE), Ok(WebSocketEvent::Reconnected));
    // What the program must not do is not done again.
    assert_eq!(socket.receive(PATIENCE), Ok(closed(1008, "")));
    assert_eq!(socket.receive(PATIENCE), Ok(closed(1008, "")));
    assert_eq!(server.end(), 4);
}

#[test]
fn attempts_have_an_end_and_a_rest_is_bounded_by_patience() {
    let server = Server::one(|peer| {
        peer.open("");
    });
    let mut socket = reconnecting(&server, policy());
    lost(&mut socket);
    server.end();
    assert!(lost(&mut socket).contains("connection refused"));
    let error = socket.receive(PATIENCE).unwrap_err();
    assert!(error.to_string().contains("connection refused"), "{error}");
    assert_eq!(socket.receive(PATIENCE), Err(error), "it is final");
    let server = Server::one(|peer| {
        peer.open("");
        peer.send(Opcode::Close, true, &1013_u16.to_be_bytes());
        peer.next();
    });
    let mut socket = reconnecting(&server, ReconnectPolicy::default());
    let event = socket.receive(PATIENCE).unwrap();
    let WebSocketEvent::Lost { rest, .. } = event else { panic!("{event:?}") };
    assert!(rest >= Duration::from_secs(10), "it asked to come later");
    let error = socket.receive(Duration::from_millis(5)).unwrap_err();
    let url = server.url("ws");
    assert_eq!(error.to_string(), format!("connect {url}: not done within 5ms"));
    server.end();
}

#[test]
fn what_the_program_closes_stays_closed() {
    let server = Server::one(|peer| {
        peer.open("");
        peer.next();
        peer.send(Opcode::Close, true, &1001_u16.to_be_bytes());
    });
    let mut socket = reconnecting(&server, policy());
    socket.start_close(1000, "").unwrap();
    assert_eq!(socket.receive(PATIENCE), Ok(closed(1001, "")));
    server.end();
}

#[test]
fn messages_are_compressed_where_both_want_that() {
    let long = "a text that says the same again and again, ".repeat(20);
    let expected = long.clone();
    let server = Server::one(move |peer| {
        let head = peer.open("Sec-WebSocket-Extensions: permessage-deflate\r\n");
        assert!(head.contains("permessage-deflate; client_max_window_bits"), "{head}");
        let mut codec = Codec::new();
        let directions = Direction { context_takeover: true, window_bits: 15 };
        let mut context = Context::new(directions, directions).unwrap();
        let mut lens = Vec::new();
        for _ in 0..2 {
            let (head, payload) = peer.next_whole();
            assert!(head.compressed && head.opcode == Opcode::Text);
            let mut text = Vec::new();
            context.inflate(&mut codec, [&payload[..]], 10_000, &mut text).unwrap();
            assert_eq!(text, expected.as_bytes());
            lens.push(payload.len());
        }
        assert!(lens[1] < lens[0] && lens[0] < 100, "the window lives on: {lens:?}");
        let (head, payload) = peer.next_whole();
        assert!(!head.compressed && payload == b"short");
        let mut out = Vec::new();
        context.deflate(&mut codec, expected.as_bytes(), Level::Default, &mut out);
        let (first, second) = out.split_at(out.len() / 2);
        let mut frames = Vec::new();
        write::frame(Opcode::Text, (false, true), first, None, &mut frames);
        peer.say(&frames);
        peer.send(Opcode::Continuation, true, second);
        peer.send(Opcode::Text, true, b"plain");
        // A bomb.
        out.clear();
        context.deflate(&mut codec, &[0; 20_000], Level::Default, &mut out);
        frames.clear();
        write::frame(Opcode::Binary, (true, true), &out, None, &mut frames);
        peer.say(&frames);
        assert_eq!(peer.next().1[..2], 1009_u16.to_be_bytes());
    });
    let deflate = WebSocketOptions::default().deflate;
    let options = WebSocketOptions { deflate, message_max: 10_000, ..options() };
    let mut socket = connect(&server, &options).unwrap();
    assert!(socket.deflate().is_some());
    socket.send_text(&long, PATIENCE).unwrap();
    socket.send_text(&long, PATIENCE).unwrap();
    socket.send_text("short", PATIENCE).unwrap();
    assert_eq!(socket.receive(PATIENCE), Ok(text(&long)));
    assert_eq!(socket.receive(PATIENCE), Ok(text("plain")));
    let error = socket.receive(PATIENCE).unwrap_err();
    assert!(error.to_string().contains("longer than the limit"), "{error}");
    drop(socket);
    server.end();
}

#[test]
fn what_is_compressed_wrongly_is_refused() {
    for (payload, violation) in
        [(&b"\xff\xff\xff"[..], Violation::Deflate), (b"\xfa\x07\0", Violation::Utf8)]
    {
        let server = Server::one(move |peer| {
            peer.open("Sec-WebSocket-Extensions: permessage-deflate\r\n");
            let mut frames = Vec::new();
            write::frame(Opcode::Text, (true, true), payload, None, &mut frames);
            peer.say(&frames);
            assert_eq!(peer.next().1[..2], violation.code().0.to_be_bytes());
        });
        let deflate = WebSocketOptions::default().deflate;
        let mut socket = connect(&server, &WebSocketOptions { deflate, ..options() }).unwrap();
        let error = socket.receive(PATIENCE).unwrap_err();
        assert!(error.to_string().contains(&violation.to_string()), "{error}");
        drop(socket);
        server.end();
    }
}
