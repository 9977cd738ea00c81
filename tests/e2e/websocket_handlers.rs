//! WebSockets that code of the program answers.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use ringway::handler::{
    HttpRequest, Message, Opened, Prepared, SendError, SlowMembers, WebSocketGroup,
    WebSocketHandler, WebSocketHandlers, WebSocketReceiver, WebSocketSender,
};
use ringway::proto::websocket::deflate::Codec;
use ringway::proto::websocket::{CloseCode, Item, Kind, Limits, Opcode, Reader, Role, write};
use ringway::server::{Server, StartError, StartOptions};
use ringway::session::ErrorKind;

use crate::support::*;

const LIMITS: Limits = Limits { frame: 1 << 30, message: 1 << 30, deflate: true };
/// The key of the client's frames.
const MASK: Option<[u8; 4]> = Some([7, 11, 13, 17]);
/// Messages of `/many`.
const MANY: usize = 400;

/// What has come.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Text(String),
    Binary(Vec<u8>),
    Close(u16, String),
    /// The connection has ended.
    End,
}

/// A client on a real socket.
struct Peer {
    stream: TcpStream,
    reader: Reader,
    input: Vec<u8>,
    /// The head of the answer to its handshake.
    head: String,
    /// Messages that came compressed.
    compressed: usize,
}

impl Peer {
    fn try_open(served: &Served, target: &str, fields: &str) -> Self {
        let mut stream = served.connect();
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {fields}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let reader = Reader::new(Role::Client);
        Self { stream, reader, input: Vec::new(), head, compressed: 0 }
    }

    fn open(served: &Served, target: &str) -> Self {
        let peer = Self::try_open(served, target, "");
        assert_eq!(peer.status(), 101, "{}", peer.head);
        peer
    }

    fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        write::frame(opcode, (true, false), payload, MASK, &mut frame);
        self.stream.write_all(&frame).unwrap();
    }

    fn text(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes());
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        let mut frame = Vec::new();
        write::close(code, reason, MASK, &mut frame);
        self.stream.write_all(&frame).unwrap();
    }

    /// What comes next, beside pings.
    fn next(&mut self) -> Came {
        let mut message = Vec::new();
        loop {
            let (count, item) = self.reader.read(&mut self.input, &LIMITS).unwrap();
            let taken: Vec<u8> = self.input.drain(..count).collect();
            match item {
                Some(Item::Part(part)) => {
                    message.extend_from_slice(&taken[part.payload]);
                    if !part.last {
                        continue;
                    }
                    if part.compressed {
                        self.compressed += 1;
                        let mut inflated = Vec::new();
                        Codec::new().inflate([&*message], 1 << 30, &mut inflated).unwrap();
                        message = inflated;
                    }
                    return match part.kind {
                        Kind::Text => Came::Text(String::from_utf8(message).unwrap()),
                        Kind::Binary => Came::Binary(message),
                    };
                }
                Some(Item::Close(code, payload)) => {
                    let reason = payload.bytes().get(2..).unwrap_or_default();
                    return Came::Close(code.0, String::from_utf8(reason.to_vec()).unwrap());
                }
                Some(Item::Ping(_) | Item::Pong(_)) => {}
                None => {
                    let mut bytes = [0; 16 * 1024];
                    match self.stream.read(&mut bytes).unwrap() {
                        0 => return Came::End,
                        count => self.input.extend_from_slice(&bytes[..count]),
                    }
                }
            }
        }
    }

    fn next_text(&mut self) -> String {
        match self.next() {
            Came::Text(text) => text,
            other @ (Came::Binary(_) | Came::Close(..) | Came::End) => panic!("{other:?}"),
        }
    }
}

/// What tests see of the program.
#[derive(Clone)]
struct Seen {
    closed: Arc<Mutex<Receiver<(u16, String)>>>,
    tell_closed: Sender<(u16, String)>,
    /// Sockets of `/give`.
    given: Arc<Mutex<Receiver<WebSocketSender>>>,
    give: Sender<WebSocketSender>,
    room: Arc<Mutex<Receiver<()>>>,
    tell_room: Sender<()>,
    /// Handlers that were made.
    made: Arc<AtomicUsize>,
    group: WebSocketGroup,
}

impl Seen {
    fn new() -> Self {
        let (tell_closed, closed) = channel();
        let (give, given) = channel();
        let (tell_room, room) = channel();
        Self {
            closed: Arc::new(Mutex::new(closed)),
            tell_closed,
            given: Arc::new(Mutex::new(given)),
            give,
            room: Arc::new(Mutex::new(room)),
            tell_room,
            made: Arc::default(),
            group: WebSocketGroup::new(),
        }
    }

    fn handlers(&self) -> WebSocketHandlers {
        let this = self.clone();
        WebSocketHandlers::new().with("test", move || {
            this.made.fetch_add(1, Ordering::Relaxed);
            Program { seen: this.clone() }
        })
    }

    fn serve(&self, workers: usize, keys: &str) -> Served {
        let text = format!(
            "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
             [[listener.route]]\n[listener.route.websocket]\nservice = \"handler\"\n\
             handler = \"test\"\nsubprotocols = [\"of-route\"]\n{keys}\n"
        );
        let websocket_handlers = self.handlers();
        let options = StartOptions { websocket_handlers, ..StartOptions::default() };
        Served::with_options(&[&runtime(workers), NO_ADMIN, &text].concat(), options)
    }

    fn next_closed(&self) -> (u16, String) {
        self.closed.lock().unwrap().recv_timeout(PATIENCE).unwrap()
    }

    fn next_given(&self) -> WebSocketSender {
        self.given.lock().unwrap().recv_timeout(PATIENCE).unwrap()
    }
}

struct Program {
    seen: Seen,
}

impl WebSocketHandler for Program {
    fn open(&mut self, request: &HttpRequest<'_>, socket: &WebSocketSender) -> Opened {
        match request.path() {
            "/refuse" => return Opened::refuse(request.query().unwrap().parse().unwrap()),
            "/panic" => panic!("at the opening"),
            "/give" => self.seen.give.send(socket.clone()).unwrap(),
            "/group" => {
                let worker = std::thread::current().name().unwrap().to_owned();
                socket.send_text(&worker).unwrap();
                self.seen.group.join(socket);
            }
            _ => {}
        }
        let opened = Opened::accept(Socket {
            seen: self.seen.clone(),
            path: request.path().to_owned(),
            sender: socket.clone(),
            left: 0,
        });
        match (request.path(), request.query()) {
            ("/protocol", Some(name)) => opened.with_subprotocol(name),
            ("/protocol", None) => {
                let last = request.subprotocols().last().unwrap();
                opened.with_subprotocol(last)
            }
            _ => opened,
        }
    }
}

struct Socket {
    seen: Seen,
    path: String,
    sender: WebSocketSender,
    /// Messages of `/many` that are still to be sent.
    left: usize,
}

impl Socket {
    fn send_many(&mut self) {
        while self.left > 0 {
            let mut message = vec![0; 16 * 1024];
            message[..8].copy_from_slice(&(MANY - self.left).to_le_bytes());
            match self.sender.send_binary(&message) {
                Ok(()) => self.left -= 1,
                Err(error) => return assert_eq!(error, SendError::Full),
            }
        }
    }
}

impl WebSocketReceiver for Socket {
    fn message(&mut self, message: Message<'_>) {
        match (self.path.as_str(), message) {
            (_, Message::Text("panic")) => panic!("at a message"),
            (_, Message::Text("close")) => {
                self.sender.send_text("the last one").unwrap();
                self.sender.close(4001, "as it was asked to");
                assert_eq!(self.sender.send_text("too late"), Err(SendError::Closed));
            }
            ("/many", _) => {
                self.left = MANY;
                self.send_many();
                assert!(self.left > 0, "what waits is bounded");
            }
            (_, Message::Text(text)) => self.sender.send_text(text).unwrap(),
            (_, Message::Binary(bytes)) => self.sender.send_binary(bytes).unwrap(),
        }
    }

    fn close(&mut self, code: u16, reason: &str) {
        assert!(!self.sender.is_open());
        self.seen.tell_closed.send((code, reason.to_owned())).unwrap();
    }

    fn room(&mut self) {
        // A test may not wait for it.
        let _untold = self.seen.tell_room.send(());
        self.send_many();
    }
}

#[test]
fn messages_go_both_ways() {
    let served = Seen::new().serve(1, "");
    let mut peer = Peer::open(&served, "/");
    peer.text("grüß dich");
    assert_eq!(peer.next(), Came::Text("grüß dich".into()));
    let long = bytes(1, 300_000);
    peer.send(Opcode::Binary, &long);
    assert_eq!(peer.next(), Came::Binary(long));
    peer.text("");
    assert_eq!(peer.next(), Came::Text(String::new()));
    // In fragments, with a ping between them.
    let mut frames = Vec::new();
    write::frame(Opcode::Text, (false, false), b"one ", MASK, &mut frames);
    write::control(Opcode::Ping, b"", MASK, &mut frames);
    write::frame(Opcode::Continuation, (true, false), b"message", MASK, &mut frames);
    peer.stream.write_all(&frames).unwrap();
    assert_eq!(peer.next(), Came::Text("one message".into()));
    // Many at once.
    let mut frames = Vec::new();
    for n in 0..5_000_u32 {
        write::frame(Opcode::Binary, (true, false), &n.to_le_bytes(), MASK, &mut frames);
    }
    let mut writer = peer.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&frames).unwrap());
    for n in 0..5_000_u32 {
        assert_eq!(peer.next(), Came::Binary(n.to_le_bytes().to_vec()));
    }
    sender.join().unwrap();
}

#[test]
fn compressed_messages_go_both_ways() {
    let seen = Seen::new();
    for (keys, kept) in [("deflate_takeover = false", false), ("deflate_takeover = true", true)] {
        let served = seen.serve(1, keys);
        let field = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
        let field = if kept { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { field };
        let mut peer = Peer::try_open(&served, "/give", field);
        assert!(peer.head.contains("permessage-deflate"), "{}", peer.head);
        let text = "so it goes on and on, ".repeat(200);
        let mut deflated = Vec::new();
        Codec::new().deflate(text.as_bytes(), 15, Default::default(), &mut deflated);
        let mut frame = Vec::new();
        write::frame(Opcode::Text, (true, true), &deflated, MASK, &mut frame);
        peer.stream.write_all(&frame).unwrap();
        assert_eq!(peer.next(), Came::Text(text.clone()));
        assert_eq!(peer.compressed, 1);
        if !kept {
            // Where the client keeps no window, this one is compressed by itself as well.
            let prepared = Prepared::text(&text);
            let sender = seen.next_given();
            sender.send(&prepared).unwrap();
            sender.send(&Prepared::binary(b"short")).unwrap();
            assert_eq!(peer.next(), Came::Text(text));
            assert_eq!(peer.next(), Came::Binary(b"short".to_vec()));
            assert_eq!(peer.compressed, 2);
        }
    }
}

#[test]
fn handshakes_are_refused_as_the_program_says() {
    let seen = Seen::new();
    let served = seen.serve(1, "");
    for (said, status) in [(403, 403), (404, 404), (503, 503), (200, 500), (101, 500)] {
        let peer = Peer::try_open(&served, &format!("/refuse?{said}"), "");
        assert_eq!(peer.status(), status);
    }
    assert!(seen.closed.lock().unwrap().try_recv().is_err(), "there was no socket");
}

#[test]
fn the_subprotocol_is_the_programs_or_the_routes() {
    let served = Seen::new().serve(1, "");
    let chosen = |target: &str, offered: &str| {
        let field = format!("Sec-WebSocket-Protocol: {offered}\r\n");
        let peer = Peer::try_open(&served, target, &field);
        let field = peer.head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("sec-websocket-protocol").then(|| value.to_owned())
        });
        (peer.status(), field)
    };
    let is = |name: &str| (101, Some(name.to_owned()));
    assert_eq!(chosen("/protocol", "a, b"), is("b"));
    assert_eq!(chosen("/protocol?a", "a, b"), is("a"));
    assert_eq!(chosen("/protocol?c", "a, b"), (500, None), "it was not offered");
    assert_eq!(chosen("/", "a, of-route"), is("of-route"));
    assert_eq!(chosen("/", "a"), (101, None));
}

#[test]
fn the_program_is_told_once_how_a_socket_has_ended() {
    let seen = Seen::new();
    let served = seen.serve(1, "message_max = 1000\nframe_max = 1000");
    // The client closes.
    let mut peer = Peer::open(&served, "/");
    peer.close(CloseCode(4000), "for now");
    assert_eq!(peer.next(), Came::Close(4000, String::new()));
    assert_eq!(peer.next(), Came::End);
    assert_eq!(seen.next_closed(), (4000, "for now".into()));
    // Without a code.
    let mut peer = Peer::open(&served, "/");
    peer.close(CloseCode::NO_STATUS, "");
    assert_eq!(peer.next(), Came::Close(1005, String::new()));
    assert_eq!(seen.next_closed(), (1005, String::new()));
    // Without a close frame.
    drop(Peer::open(&served, "/"));
    assert_eq!(seen.next_closed(), (1006, String::new()));
    // The program closes, and the client answers.
    let mut peer = Peer::open(&served, "/");
    peer.text("close");
    assert_eq!(peer.next_text(), "the last one");
    assert_eq!(peer.next(), Came::Close(4001, "as it was asked to".into()));
    peer.text("not given to the program");
    peer.close(CloseCode(4001), "");
    assert_eq!(peer.next(), Came::End);
    assert_eq!(seen.next_closed(), (4001, "as it was asked to".into()));
    // A rule is broken.
    let mut peer = Peer::open(&served, "/");
    peer.send(Opcode::Binary, &[0; 1001]);
    let Came::Close(1009, reason) = peer.next() else { panic!("it is too long") };
    assert_eq!(seen.next_closed(), (1009, reason));
    assert!(seen.closed.lock().unwrap().try_recv().is_err());
}

#[test]
fn the_program_closes_from_a_thread_and_a_silent_client_is_cut() {
    let seen = Seen::new();
    let served = seen.serve(1, "close_timeout = \"100ms\"");
    let mut peer = Peer::open(&served, "/give");
    let sender = seen.next_given();
    sender.close(1000, "done");
    assert!(!sender.is_open());
    assert_eq!(peer.next(), Came::Close(1000, "done".into()));
    assert_eq!(peer.next(), Came::End, "it does not answer in time");
    assert_eq!(seen.next_closed(), (1000, "done".into()));
    assert_eq!(sender.send_text("x"), Err(SendError::Closed));
}

#[test]
fn what_waits_is_bounded_and_there_is_room_again() {
    let seen = Seen::new();
    let served = seen.serve(1, "");
    let mut peer = Peer::open(&served, "/many");
    peer.text("go");
    for n in 0..MANY {
        let Came::Binary(message) = peer.next() else { panic!("message {n}") };
        assert_eq!((message.len(), &message[..8]), (16 * 1024, &n.to_le_bytes()[..]));
    }
    assert!(seen.room.lock().unwrap().try_iter().count() > 1);
}

#[test]
fn threads_send_as_much_as_the_client_takes() {
    let seen = Seen::new();
    let served = seen.serve(1, "");
    let mut peer = Peer::open(&served, "/give");
    let sender = seen.next_given();
    let room = Arc::clone(&seen.room);
    let thread = std::thread::spawn(move || {
        let room = room.lock().unwrap();
        for n in 0..20_000 {
            while let Err(error) = sender.send_text(&format!("{n} {}", "-".repeat(n % 1000))) {
                assert_eq!(error, SendError::Full);
                room.recv_timeout(PATIENCE).unwrap();
            }
        }
    });
    for n in 0..20_000 {
        assert_eq!(peer.next_text(), format!("{n} {}", "-".repeat(n % 1000)));
    }
    thread.join().unwrap();
}

#[test]
fn a_client_that_takes_nothing_does_not_make_memory_grow() {
    let seen = Seen::new();
    let served = seen.serve(1, "");
    let peer = Peer::open(&served, "/give");
    let sender = seen.next_given();
    let message = vec![0; 64 * 1024];
    // The buffers of the kernel take some, too.
    let mut sent = 0_usize;
    loop {
        match sender.send_binary(&message) {
            Ok(()) => sent += message.len(),
            Err(_full) => {
                let room = seen.room.lock().unwrap();
                if room.recv_timeout(std::time::Duration::from_millis(500)).is_err() {
                    break;
                }
            }
        }
        assert!(sent < 64 << 20, "it is bounded");
    }
    drop(peer);
    assert_eq!(seen.next_closed().0, 1006);
    assert_eq!(sender.send_binary(&message), Err(SendError::Closed));
}

#[test]
fn a_panic_costs_one_socket() {
    let seen = Seen::new();
    let served = seen.serve(1, "");
    let panics = || served.sum(|cell| cell.stats.errors[ErrorKind::Handler as usize].get());
    let mut other = Peer::open(&served, "/");
    assert_eq!(Peer::try_open(&served, "/panic", "").status(), 500);
    assert_eq!((seen.made.load(Ordering::Relaxed), panics()), (1, 1));
    let mut peer = Peer::open(&served, "/");
    assert_eq!(seen.made.load(Ordering::Relaxed), 2, "it was made again");
    peer.text("panic");
    assert_eq!(peer.next(), Came::Close(1011, "the handler failed".into()));
    peer.close(CloseCode(1011), "");
    assert_eq!(peer.next(), Came::End);
    assert_eq!(seen.next_closed(), (1011, "the handler failed".into()));
    assert_eq!(panics(), 2);
    other.text("goes on");
    assert_eq!(other.next_text(), "goes on");
    Peer::open(&served, "/");
    assert_eq!(seen.made.load(Ordering::Relaxed), 3);
}

#[test]
fn a_group_spans_workers_and_all_members_get_the_same_order() {
    let seen = Seen::new();
    let served = seen.serve(2, "");
    let (mut peers, mut workers) = (Vec::new(), BTreeSet::new());
    while workers.len() < 2 {
        assert!(peers.len() < 200, "connections go to both workers");
        let field = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let field = if peers.len() % 2 == 0 { field } else { "" };
        let mut peer = Peer::try_open(&served, "/group", field);
        workers.insert(peer.next_text());
        peers.push(peer);
    }
    let count = peers.len();
    assert_eq!(seen.group.len(), count);
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let group = seen.group.clone();
            std::thread::spawn(move || {
                for n in 0..20 {
                    let text = format!("{thread} {n} {}", "text ".repeat(400));
                    assert_eq!(group.broadcast_text(&text), count);
                }
            })
        })
        .collect();
    let orders: BTreeSet<Vec<String>> =
        peers.iter_mut().map(|peer| (0..40).map(|_| peer.next_text()).collect()).collect();
    assert_eq!(orders.len(), 1);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(peers[0].compressed, 40);
    peers.truncate(1);
    wait_until("the others have gone", || seen.group.len() == 1);
    assert_eq!(seen.group.broadcast_binary(b"you alone"), 1);
    assert_eq!(peers[0].next(), Came::Binary(b"you alone".to_vec()));
}

#[test]
fn a_slow_member_is_closed() {
    let seen = Seen::new();
    let served = seen.serve(1, "close_timeout = \"100ms\"");
    let _peer = Peer::open(&served, "/give");
    let sender = seen.next_given();
    let group = WebSocketGroup::with_slow(SlowMembers::Close);
    group.join(&sender);
    let message = Prepared::binary(&vec![0; 1 << 20]);
    let taken = (0..10_000).take_while(|_| group.broadcast(&message) == 1).count();
    assert!(taken < 10_000 && group.is_empty() && !sender.is_open());
    assert_eq!(seen.next_closed(), (1013, "too slow".into()));
}

#[test]
fn sockets_are_closed_when_the_server_drains() {
    let seen = Seen::new();
    let served = seen.serve(1, "drain_window = \"0s\"");
    let mut peer = Peer::open(&served, "/give");
    let sender = seen.next_given();
    served.running().drain();
    assert_eq!(peer.next(), Came::Close(1012, "the server restarts".into()));
    assert!(!sender.is_open());
    peer.close(CloseCode(1012), "");
    assert_eq!(served.drain().cut, 0);
    assert_eq!(seen.next_closed(), (1012, "the server restarts".into()));
}

#[test]
fn the_program_is_told_when_the_server_ends_by_force() {
    let seen = Seen::new();
    let served = seen.serve(1, "");
    let _peer = Peer::open(&served, "/");
    drop(served);
    assert_eq!(seen.next_closed(), (1006, String::new()));
}

#[test]
fn a_stream_of_http2_is_a_socket_like_others() {
    let seen = Seen::new();
    let served = seen.serve(1, "origins = [\"*\"]");
    let address = served.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (send, mut connection) = h2::client::handshake(stream).await.unwrap();
        let mut ping = connection.ping_pong().unwrap();
        let _end = tokio::spawn(connection);
        // Its settings have come then.
        ping.ping(h2::Ping::opaque()).await.unwrap();
        let mut send = send.ready().await.unwrap();
        let request = http::Request::connect("http://a/give")
            .extension(h2::ext::Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
            .body(())
            .unwrap();
        let (answer, mut body) = send.send_request(request, false).unwrap();
        let mut incoming = answer.await.unwrap().into_body();
        let sender = seen.next_given();
        let mut frame = Vec::new();
        write::frame(Opcode::Text, (true, false), b"by HTTP/2", MASK, &mut frame);
        body.send_data(frame.into(), false).unwrap();
        assert_eq!(&incoming.data().await.unwrap().unwrap()[..], b"\x81\x09by HTTP/2");
        sender.send(&Prepared::binary(b"later")).unwrap();
        assert_eq!(&incoming.data().await.unwrap().unwrap()[..], b"\x82\x05later");
        body.send_reset(h2::Reason::CANCEL);
        let closed = tokio::task::spawn_blocking(move || seen.next_closed()).await;
        assert_eq!(closed.unwrap(), (1006, String::new()));
    });
}

#[test]
fn a_name_that_the_program_does_not_have_is_refused() {
    let text = "[[listener]]\nname = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
                [[listener.route]]\nname = \"own\"\n\
                websocket = { service = \"handler\", handler = \"other\" }\n";
    let start = |websocket_handlers| {
        let options = StartOptions { websocket_handlers, ..StartOptions::default() };
        let config = ringway::config::parse("test", &[NO_ADMIN, text].concat()).unwrap();
        match Server::start_with(config, options) {
            Err(error @ StartError::WebSocketHandler { .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let expected = "listener web: route own: there is no WebSocket handler \"other\": this program \
                    has ";
    assert_eq!(start(WebSocketHandlers::new()), format!("{expected}none"));
    assert_eq!(start(Seen::new().handlers()), format!("{expected}test"));
}
