//! A client of HTTP/2 that sends what it likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringway::proto::http2::frame::{FrameHead, HEAD_LEN, PREFACE, flag, kind, read_go_away};
use ringway::proto::http2::hpack::{Encoder, Keep, Name};

use crate::support::connect;

/// An attacker's connection, with the tables of its own.
pub(super) struct Attacker {
    pub(super) stream: TcpStream,
    encoder: Encoder,
    /// Bytes that were sent.
    pub(super) sent: usize,
    /// The next stream.
    pub(super) next: u32,
}

impl Attacker {
    pub(super) fn new(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut greeting = PREFACE.to_vec();
        ringway::proto::http2::frame::write_settings(settings, &mut greeting);
        let stream = connect(address);
        let mut this = Self { stream, encoder: Encoder::default(), sent: 0, next: 1 };
        assert!(this.send(&greeting));
        this
    }

    /// Sends bytes; false when the server takes no more.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        self.sent += bytes.len();
        self.stream.write_all(bytes).is_ok()
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.send(&frame(kind, flags, stream, payload))
    }

    /// The block of a request with more fields.
    pub(super) fn block(&mut self, more: &[(&str, &str)]) -> Vec<u8> {
        let path = more.iter().find(|(name, _)| *name == ":path").map_or("/", |(_, path)| path);
        let more: Vec<_> = more.iter().filter(|(name, _)| *name != ":path").collect();
        let line = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a")];
        let mut out = Vec::new();
        self.encoder.begin(&mut out);
        for (name, value) in line.iter().chain(more) {
            let of = (Name::of(name.as_bytes()), name.as_bytes());
            self.encoder.field(of, value.as_bytes(), Keep::Table, &mut out);
        }
        out
    }

    /// A request; returns its stream.
    pub(super) fn request(&mut self, more: &[(&str, &str)]) -> Option<u32> {
        let (block, id) = (self.block(more), self.next);
        self.next += 2;
        self.frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, id, &block).then_some(id)
    }

    /// Reads up to the GOAWAY that ends the connection: its code.
    pub(super) fn farewell(mut self) -> Option<u32> {
        let mut code = None;
        let mut head = [0; HEAD_LEN];
        while self.stream.read_exact(&mut head).is_ok() {
            let head = FrameHead::read(head);
            let mut payload = vec![0; head.len];
            if self.stream.read_exact(&mut payload).is_err() {
                break;
            }
            if head.kind == kind::GOAWAY {
                code = read_go_away(&payload).map(|(_, code)| code.0);
            }
        }
        code
    }
}

/// A frame of its own making.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHead { len: payload.len(), kind, flags, stream }.write(&mut out);
    out.extend_from_slice(payload);
    out
}
