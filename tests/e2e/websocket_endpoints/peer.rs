//! A client of WebSockets on a real socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use ringway::proto::websocket::deflate::Codec;
use ringway::proto::websocket::{CloseCode, Item, Kind, Limits, Opcode, Reader, Role, write};

use crate::support::*;

const LIMITS: Limits = Limits { frame: 1 << 30, message: 1 << 30, deflate: true };
/// The key of the client's frames.
pub(super) const MASK: Option<[u8; 4]> = Some([7, 11, 13, 17]);

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The connection has ended.
    End,
}

impl Came {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn close(code: u16) -> Self {
        Self::Close(code, String::new())
    }
}

/// Takes frames out of bytes, as a client does.
pub(super) struct Frames {
    reader: Reader,
    message: Vec<u8>,
    codec: Codec,
    /// Messages that came compressed.
    pub(super) compressed: usize,
}

impl Frames {
    pub(super) fn new() -> Self {
        let reader = Reader::new(Role::Client);
        Self { reader, message: Vec::new(), codec: Codec::new(), compressed: 0 }
    }

    /// What comes next in `input`, out of which it is taken.
    pub(super) fn next(&mut self, input: &mut Vec<u8>) -> Option<Came> {
        loop {
            let (count, item) = self.reader.read(input, &LIMITS).unwrap();
            let taken: Vec<u8> = input.drain(..count).collect();
            let part = match item? {
                Item::Ping(payload) => return Some(Came::Ping(payload.bytes().to_vec())),
                Item::Pong(payload) => return Some(Came::Pong(payload.bytes().to_vec())),
                Item::Close(code, payload) => {
                    let reason = payload.bytes().get(2..).unwrap_or_default();
                    let reason = String::from_utf8(reason.to_vec()).unwrap();
                    return Some(Came::Close(code.0, reason));
                }
                Item::Part(part) => part,
            };
            self.message.extend_from_slice(&taken[part.payload]);
            if !part.last {
                continue;
            }
            let mut message = std::mem::take(&mut self.message);
            if part.compressed {
                self.compressed += 1;
                let mut inflated = Vec::new();
                self.codec.inflate([&*message], 1 << 30, &mut inflated).unwrap();
                message = inflated;
            }
            return Some(match part.kind {
                Kind::Text => Came::Text(String::from_utf8(message).unwrap()),
                Kind::Binary => Came::Binary(message),
            });
        }
    }
}

/// A frame of a client.
pub(super) fn frame(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write::frame(opcode, (fin, false), payload, MASK, &mut frame);
    frame
}

/// A client's request for a WebSocket, with further fields.
pub(super) fn handshake(target: &str, fields: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

/// The head of what is answered to a request.
pub(super) fn head_of_answer(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A connection.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    pub(super) frames: Frames,
    input: Vec<u8>,
    /// The head of the answer to its handshake.
    pub(super) head: String,
}

impl Peer {
    pub(super) fn try_open(served: &Served, target: &str, fields: &str) -> Self {
        let mut stream = served.connect();
        stream.set_nodelay(true).unwrap();
        stream.write_all(handshake(target, fields).as_bytes()).unwrap();
        let head = head_of_answer(&mut stream);
        Self { stream, frames: Frames::new(), input: Vec::new(), head }
    }

    pub(super) fn open_with(served: &Served, target: &str, fields: &str) -> Self {
        let peer = Self::try_open(served, target, fields);
        assert_eq!(peer.status(), 101, "{}", peer.head);
        peer
    }

    pub(super) fn open(served: &Served, target: &str) -> Self {
        Self::open_with(served, target, "")
    }

    pub(super) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    /// A field of the answer to its handshake.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(super) fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        self.write(&frame(opcode, true, payload));
    }

    pub(super) fn text(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes());
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        let mut frame = Vec::new();
        write::close(CloseCode(code), reason, MASK, &mut frame);
        self.write(&frame);
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Came {
        loop {
            if let Some(came) = self.frames.next(&mut self.input) {
                return came;
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes).unwrap() {
                0 => return Came::End,
                count => self.input.extend_from_slice(&bytes[..count]),
            }
        }
    }

    /// What comes next, beside pings.
    pub(super) fn next_but_pings(&mut self) -> Came {
        loop {
            let came = self.next();
            if !matches!(came, Came::Ping(_)) {
                return came;
            }
        }
    }

    pub(super) fn next_text(&mut self) -> String {
        let came = self.next();
        let Came::Text(text) = came else { panic!("{came:?}") };
        text
    }

    /// A message goes there and comes back: all that was sent before was read.
    pub(super) fn round_trip(&mut self) {
        self.text("round trip");
        assert_eq!(self.next(), Came::text("round trip"));
    }

    /// It closes in order.
    pub(super) fn finish(mut self) {
        self.close(1000, "");
        assert_eq!(self.next(), Came::close(1000));
        assert_eq!(self.next(), Came::End);
    }
}
