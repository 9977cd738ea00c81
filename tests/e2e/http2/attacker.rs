//! A client of HTTP/2 that sends what it likes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use ringway::proto::http2::frame::{
    FrameHead, HEAD_LEN, PREFACE, flag, kind, read_go_away, write_settings,
};
use ringway::proto::http2::hpack::{Encoder, Keep, Name};

use crate::support::connect;

/// What is sent on a connection, from its first byte on.
pub(super) struct Script {
    pub(super) bytes: Vec<u8>,
    /// The next stream.
    pub(super) next: u32,
    encoder: Encoder,
}

impl Script {
    pub(super) fn new(settings: &[(u16, u32)]) -> Self {
        let mut bytes = PREFACE.to_vec();
        write_settings(settings, &mut bytes);
        Self { bytes, next: 1, encoder: Encoder::default() }
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        FrameHead { len: payload.len(), kind, flags, stream }.write(&mut self.bytes);
        self.bytes.extend_from_slice(payload);
    }

    /// The block of a request with more fields. What is sent for the second time is a reference to
    /// the first.
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

    /// A request, which ends or whose body follows; returns its stream.
    pub(super) fn request(&mut self, more: &[(&str, &str)], ends: bool) -> u32 {
        let (block, id) = (self.block(more), self.next);
        self.next += 2;
        let end = if ends { flag::END_STREAM } else { 0 };
        self.frame(kind::HEADERS, flag::END_HEADERS | end, id, &block);
        id
    }

    /// The same so many times.
    pub(super) fn requests(&mut self, count: usize, more: &[(&str, &str)], ends: bool) {
        for _ in 0..count {
            self.request(more, ends);
        }
    }
}

/// An attacker's connection.
pub(super) struct Attacker {
    pub(super) stream: TcpStream,
    /// What is not sent yet.
    pub(super) script: Script,
    /// Bytes that were sent.
    pub(super) sent: usize,
}

impl Attacker {
    pub(super) fn new(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut this = Self { stream: connect(address), script: Script::new(settings), sent: 0 };
        assert!(this.send());
        this
    }

    /// Sends what was written; false when the server takes no more.
    pub(super) fn send(&mut self) -> bool {
        self.sent += self.script.bytes.len();
        let is_sent = self.stream.write_all(&self.script.bytes).is_ok();
        self.script.bytes.clear();
        is_sent
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.script.frame(kind, flags, stream, payload);
        self.send()
    }

    /// A request; returns its stream.
    pub(super) fn request(&mut self, more: &[(&str, &str)]) -> Option<u32> {
        let id = self.script.request(more, true);
        self.send().then_some(id)
    }

    /// The next frame that the server sends; `None` at the end.
    pub(super) fn next_frame(&mut self) -> Option<(FrameHead, Vec<u8>)> {
        let mut head = [0; HEAD_LEN];
        self.stream.read_exact(&mut head).ok()?;
        let head = FrameHead::read(head);
        let mut payload = vec![0; head.len];
        self.stream.read_exact(&mut payload).ok()?;
        Some((head, payload))
    }

    /// Reads up to the GOAWAY that ends the connection: its code.
    pub(super) fn farewell(mut self) -> Option<u32> {
        let mut code = None;
        while let Some((head, payload)) = self.next_frame() {
            if head.kind == kind::GOAWAY {
                code = read_go_away(&payload).map(|(_, code)| code.0);
            }
        }
        code
    }
}
