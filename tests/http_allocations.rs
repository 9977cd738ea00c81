//! Fixed answers, cached files and echoes of WebSockets cost no allocation once the server has warmed
//! up, nor does a message of a topic for each one of its subscribers. A program of its own, because the allocations of all threads are counted.
#![expect(unsafe_code, reason = "a global allocator is unsafe to implement; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};

use ringway::proto::http2::frame::{self, FrameHead, flag, kind};
use ringway::proto::websocket::{Opcode, write};

/// The system's allocator, counting what all threads ask of it.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Requests that are counted.
const REQUESTS: u64 = 2_000;
/// What may happen beside: a date every second, a page of a file that is looked at again.
const BESIDE: u64 = 100;

/// Allocations of all threads while `request` is answered many times on one connection.
fn allocations(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8], len: usize) -> u64 {
    let mut ask = || {
        stream.write_all(request).expect("it is connected");
        stream.read_exact(&mut buffer[..len]).expect("an answer");
    };
    (0..500).for_each(|_| ask());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..REQUESTS).for_each(|_| ask());
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// Bytes of the answer to a request.
fn answer_len(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> usize {
    stream.write_all(request).expect("it is connected");
    let mut len = 0;
    loop {
        len += stream.read(&mut buffer[len..]).expect("an answer");
        let text = String::from_utf8_lossy(&buffer[..len]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|length| length.parse::<usize>().ok());
        if body.len() == length.expect("a length") {
            return len;
        }
    }
}

/// A client of HTTP/2 that allocates nothing while it asks.
struct Streams {
    stream: TcpStream,
    /// The last stream.
    last: u32,
    /// Requests of one write: their heads differ in the streams' numbers.
    requests: Vec<u8>,
    block: Vec<u8>,
    input: Vec<u8>,
}

/// Requests side by side.
const BATCH: u32 = 8;

impl Streams {
    fn new(address: std::net::SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let mut greeting = frame::PREFACE.to_vec();
        frame::write_settings(&[], &mut greeting);
        // The answers of all rounds fit into it.
        frame::write_window_update(0, 1 << 30, &mut greeting);
        stream.write_all(&greeting).expect("it is connected");
        // GET and http of the static table; path and authority as literals that no table keeps.
        let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).expect("a short path")];
        block.extend_from_slice(path.as_bytes());
        block.extend_from_slice(b"\x01\x09a.example");
        let (requests, input) = (Vec::with_capacity(4096), Vec::with_capacity(256 * 1024));
        // Odd numbers from 1 on.
        Self { stream, last: u32::MAX, requests, block, input }
    }

    /// Sends a batch, and waits for all answers.
    fn ask(&mut self) {
        self.requests.clear();
        for _ in 0..BATCH {
            self.last = self.last.wrapping_add(2);
            let flags = flag::END_STREAM | flag::END_HEADERS;
            let (len, stream) = (self.block.len(), self.last);
            FrameHead { len, kind: kind::HEADERS, flags, stream }.write(&mut self.requests);
            self.requests.extend_from_slice(&self.block);
        }
        self.stream.write_all(&self.requests).expect("it is connected");
        let (mut ended, mut part) = (0, [0; 16 * 1024]);
        while ended < BATCH {
            let count = self.stream.read(&mut part).expect("answers");
            assert!(count > 0, "the connection goes on");
            self.input.extend_from_slice(&part[..count]);
            let mut at = 0;
            while let Some(head) = self.input[at..].first_chunk::<{ frame::HEAD_LEN }>() {
                let head = FrameHead::read(*head);
                if self.input.len() - at < frame::HEAD_LEN + head.len {
                    break;
                }
                let carries = matches!(head.kind, kind::HEADERS | kind::DATA);
                ended += u32::from(carries && head.has(flag::END_STREAM));
                at += frame::HEAD_LEN + head.len;
            }
            self.input.drain(..at);
        }
    }

    /// Allocations of all threads while many requests are answered.
    fn allocations(&mut self) -> u64 {
        (0..100).for_each(|_| self.ask());
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..REQUESTS / u64::from(BATCH)).for_each(|_| self.ask());
        ALLOCATIONS.load(Ordering::Relaxed) - before
    }
}

/// A WebSocket whose handshake is done.
fn open_socket(address: std::net::SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it is connected");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// A client's frame.
fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write::frame(opcode, (true, false), payload, Some([1, 2, 3, 4]), &mut frame);
    frame
}

/// Echoes of messages that fit into a buffer of what is received cost nothing. A longer one comes in
/// parts, and costs the list of these and the place where they are gathered.
fn check_echoes(address: std::net::SocketAddr, buffer: &mut [u8]) {
    for (size, most) in [(0, 0), (64, 0), (1000, 0), (16_000, 0), (16 * 1024, 3)] {
        let mut stream = open_socket(address, "/echo");
        let sent = masked(Opcode::Binary, &vec![7; size]);
        let count = allocations(&mut stream, &sent, buffer, sent.len() - 4);
        let most = most * REQUESTS + BESIDE;
        assert!(count <= most, "{size} bytes: {count} allocations in {REQUESTS} echoes");
        if size <= 1000 {
            let many = sent.repeat(4);
            let count = allocations(&mut stream, &many, buffer, many.len() - 16);
            assert!(count <= BESIDE, "{size} bytes: {count} allocations in {REQUESTS} batches");
        }
    }
}

/// Allocations while messages are published to so many subscribers.
fn published(address: std::net::SocketAddr, subscribers: usize) -> u64 {
    let mut buffer = vec![0; 4096];
    let topic = format!("to/{subscribers}");
    let subscribe = format!("{{\"op\":\"subscribe\",\"topic\":\"{topic}\"}}");
    let mut peers: Vec<TcpStream> = (0..subscribers)
        .map(|_| {
            let mut peer = open_socket(address, "/topics");
            peer.write_all(&masked(Opcode::Text, subscribe.as_bytes())).expect("connected");
            peer.read_exact(&mut buffer[..2 + 11]).expect("ok");
            peer
        })
        .collect();
    let mut publisher = open_socket(address, "/topics");
    let text = "x".repeat(64);
    let publish = format!("{{\"op\":\"publish\",\"topic\":\"{topic}\",\"data\":\"{text}\"}}");
    let message = format!("{{\"op\":\"message\",\"topic\":\"{topic}\",\"data\":\"{text}\"}}");
    let sent = masked(Opcode::Text, publish.as_bytes());
    let len = if message.len() > 125 { 4 } else { 2 } + message.len();
    let mut round = || {
        publisher.write_all(&sent).expect("it is connected");
        for peer in &mut peers {
            peer.read_exact(&mut buffer[..len]).expect("a message");
        }
    };
    (0..200).for_each(|_| round());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    (0..REQUESTS).for_each(|_| round());
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// What is published is made once, whatever the number of its subscribers.
fn check_topics(address: std::net::SocketAddr) {
    let few = published(address, 1);
    let many = published(address, 40);
    assert!(few <= 8 * REQUESTS, "{few} allocations in {REQUESTS} messages");
    assert!(many <= few + BESIDE, "one subscriber: {few}, 40 of them: {many}");
}

#[test]
fn fixed_answers_files_and_sockets_cost_no_allocation() {
    let folder = std::env::temp_dir().join(format!("ringway-allocations-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.txt"), "a".repeat(1024)).unwrap();
    let text = format!(
        "[runtime]\nworkers = 1\npin = false\n[admin]\nenabled = false\n[[listener]]\n\
         name = \"web\"\nlisten = \"127.0.0.1:0\"\nprotocol = \"http\"\n\
         keepalive_requests = \"off\"\n\
         [[listener.route]]\npath = \"/fixed\"\nrespond = \"hello\"\n\
         [[listener.route]]\npath = \"/echo\"\nwebsocket = {{ service = \"echo\" }}\n\
         [[listener.route]]\npath = \"/topics\"\n\
         websocket = {{ service = \"topics\", topics = \"t\" }}\n\
         [[listener.route]]\nfiles = \"{}\"\nfile_cache_ttl = \"60s\"\n[topics.t]\n",
        folder.display()
    );
    let config = ringway::config::parse("test", &text).unwrap_or_else(|report| panic!("{report}"));
    let server = ringway::server::Server::start(config).unwrap();
    let address = server.address("web").unwrap().ip().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut buffer = vec![0; 64 * 1024];
    for path in ["/fixed", "/a.txt"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n");
        let len = answer_len(&mut stream, request.as_bytes(), &mut buffer);
        let count = allocations(&mut stream, request.as_bytes(), &mut buffer, len);
        assert!(count <= BESIDE, "{path}: {count} allocations in {REQUESTS} requests");
    }
    drop(stream);
    let count = Streams::new(address, "/fixed").allocations();
    assert!(count <= BESIDE, "HTTP/2: {count} allocations in {REQUESTS} requests");
    check_echoes(address, &mut buffer);
    check_topics(address);
    server.stop();
    let _outcome = server.wait();
    std::fs::remove_dir_all(&folder).unwrap();
}
