//! For tests: servers that do as a script says, frame by frame.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::proto::http2::frame::{self, FrameHead, flag, kind};
use crate::proto::http2::{ErrorCode, PREFACE};

pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) type Script = Box<dyn FnOnce(&mut Peer) + Send>;

/// A server that follows one script for each connection.
pub(super) struct Server {
    pub(super) authority: String,
    accepted: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Server {
    pub(super) fn new(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let thread = std::thread::spawn(move || {
            let mut talks = Vec::new();
            for script in scripts {
                let (stream, _) = listener.accept().unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.set_nodelay(true).unwrap();
                talks.push(std::thread::spawn(move || script(&mut Peer { stream })));
            }
            drop(listener);
            talks.into_iter().for_each(|talk| talk.join().unwrap());
        });
        Self { authority, accepted, thread }
    }

    pub(super) fn one(script: impl FnOnce(&mut Peer) + Send + 'static) -> Self {
        Self::new(vec![Box::new(script)])
    }

    pub(super) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/a?b", self.authority)
    }

    /// Waits for the ends of all scripts. Returns how many connections there were.
    pub(super) fn end(self) -> usize {
        self.thread.join().unwrap();
        self.accepted.load(Ordering::SeqCst)
    }
}

/// The server's end of a connection.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
}

impl Peer {
    /// The head of a request of HTTP/1.1.
    pub(super) fn head(&mut self) -> String {
        self.until(b"\r\n\r\n")
    }

    pub(super) fn until(&mut self, end: &[u8]) -> String {
        let mut head = Vec::new();
        while !head.ends_with(end) {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads until the client has ended.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _reset = self.stream.read_to_end(&mut rest);
        rest
    }

    /// The beginning of a connection of HTTP/2, with settings of ours.
    pub(super) fn greet(&mut self, settings: &[(u16, u32)]) {
        let mut preface = vec![0; PREFACE.len()];
        self.stream.read_exact(&mut preface).unwrap();
        assert_eq!(preface, PREFACE);
        let mut out = Vec::new();
        frame::write_settings(settings, &mut out);
        self.say(&out);
    }

    /// The next frame of HTTP/2.
    pub(super) fn frame(&mut self) -> (FrameHead, Vec<u8>) {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).unwrap();
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; len];
        self.stream.read_exact(&mut payload).unwrap();
        (FrameHead { len, kind: head[3], flags: head[4], stream }, payload)
    }

    /// The next frame of a kind; others are passed over.
    pub(super) fn frame_of(&mut self, kind: u8) -> (FrameHead, Vec<u8>) {
        loop {
            let (head, payload) = self.frame();
            if head.kind == kind {
                return (head, payload);
            }
        }
    }

    /// The stream of the next request.
    pub(super) fn request(&mut self) -> u32 {
        self.frame_of(kind::HEADERS).0.stream
    }

    pub(super) fn send_frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut out = Vec::new();
        FrameHead { len: payload.len(), kind, flags, stream }.write(&mut out);
        out.extend_from_slice(payload);
        self.say(&out);
    }

    /// The head of an answer with status 200.
    pub(super) fn answer(&mut self, stream: u32, flags: u8) {
        self.send_frame(kind::HEADERS, flag::END_HEADERS | flags, stream, &[0x88]);
    }

    pub(super) fn data(&mut self, stream: u32, flags: u8, payload: &[u8]) {
        self.send_frame(kind::DATA, flags, stream, payload);
    }

    pub(super) fn reset(&mut self, stream: u32, code: ErrorCode) {
        self.send_frame(kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
    }

    pub(super) fn go_away(&mut self, last: u32) {
        let payload = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
        self.send_frame(kind::GOAWAY, 0, 0, &payload);
    }
}

/// A field block of fields that are not in any table.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
