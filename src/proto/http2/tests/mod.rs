//! The machine of a server with clients that send frames of their own making.

mod answers;
mod floods;
mod flow;
mod rules;
mod talk;

use std::time::Instant;

use super::error::ErrorCode;
use super::frame::{self, FrameHead, HEAD_LEN, PREFACE, flag, kind};
use super::hpack::{BlockCursor, Decoder, Encoder, Keep, Name};
use super::{Growth, Limits, Server, ServerEvent, StreamId, Whole, Workspace};
use crate::mem::{Buf, FreeList};
use crate::proto::http::{RequestHead, ResponseHead};

/// What a request's answer is made of.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answers {
    /// `200` with a word, at once.
    Word,
    /// The request's body, or its head where it has none.
    Echo,
    /// So many bytes.
    Bytes(usize),
    /// None: the test gives it.
    Nothing,
}

/// A server, and what it was told and has sent.
pub(super) struct Peer {
    pub(super) server: Server,
    pub(super) limits: Limits,
    pub(super) now: Instant,
    pub(super) space: Workspace,
    pub(super) spare: FreeList<RequestHead>,
    pub(super) answers: Answers,
    /// What has come, a word for each.
    pub(super) events: Vec<String>,
    pub(super) out: Vec<u8>,
    echoes: Vec<StreamId>,
    decoder: Decoder,
    /// Bytes of bodies that go out in a turn.
    pub(super) room: usize,
}

impl Peer {
    pub(super) fn new(answers: Answers) -> Self {
        Self::limited(answers, Limits::default())
    }

    #[expect(clippy::disallowed_methods, reason = "a time to count from")]
    pub(super) fn limited(answers: Answers, limits: Limits) -> Self {
        Self {
            server: Server::new(&limits),
            limits,
            now: Instant::now(),
            space: Workspace::default(),
            spare: FreeList::new(8, 65_536),
            answers,
            events: Vec::new(),
            out: Vec::new(),
            echoes: Vec::new(),
            decoder: Decoder::default(),
            room: 1 << 20,
        }
    }

    /// One that has seen the preface and empty settings.
    pub(super) fn greeted(answers: Answers) -> Self {
        let mut peer = Self::new(answers);
        peer.send(&hello(&[]));
        peer.out.clear();
        peer
    }

    /// Bytes come: a turn of the loop.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.server.receive(Buf::copy_of(bytes));
        self.turn();
    }

    pub(super) fn turn(&mut self) {
        loop {
            let Self { server, limits, now, space, spare, .. } = self;
            match server.poll(*now, limits, space, spare) {
                Ok(Some(event)) => self.take(event),
                Ok(None) => break,
                Err(violation) => {
                    self.events.push(format!("fails: {}", violation.name()));
                    self.server.fail(violation);
                }
            }
        }
        for id in std::mem::take(&mut self.echoes) {
            self.echo(id);
        }
        let growth = Growth { most: self.limits.window, is_allowed: true };
        let Self { server, now, space, out, room, .. } = self;
        server.transmit(*room, (*now, growth), space, out);
        server.hold();
    }

    fn take(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Request(id, head, meta) => {
                let body =
                    meta.framing.length().map_or_else(|| "?".to_owned(), |len| len.to_string());
                let target = [head.authority(), head.path(), head.query().unwrap_or("")].concat();
                self.events.push(format!("{id} {} {target} {body}", head.method_name()));
                let fields = head.fields.iter().map(|field| {
                    format!("{}={}", field.name.escape_ascii(), field.value.escape_ascii())
                });
                self.events.extend(fields.map(|field| format!("{id} {field}")));
                let limit = 1 << 20;
                if self.server.begin_body(id, &meta, limit).is_err() {
                    self.events.push(format!("{id} too large"));
                }
                self.spare.give(head);
                self.answer(id);
            }
            ServerEvent::Body(id) => self.echo(id),
            ServerEvent::Refused(id, refusal, _) => {
                self.events.push(format!("{id} refused: {}", refusal.name()));
                self.respond(id, refusal.status(), b"no");
            }
            ServerEvent::Reset(id, code) => {
                self.events.push(format!("{id} reset: {}", code.name()));
            }
            ServerEvent::Violated(id, violation) => {
                self.events.push(format!("{id} violates: {}", violation.name()));
            }
            ServerEvent::TooMany(id) => self.events.push(format!("{id} too many")),
            ServerEvent::Opened(_) => {}
        }
    }

    fn answer(&mut self, id: StreamId) {
        match self.answers {
            Answers::Word => self.respond(id, 200, b"word"),
            Answers::Bytes(len) => self.respond(id, 200, &vec![b'x'; len]),
            Answers::Echo => {
                self.head(id, 200, None);
                self.server.send_continue(id, &mut self.out);
                self.echoes.push(id);
            }
            Answers::Nothing => {}
        }
    }

    pub(super) fn head(&mut self, id: StreamId, status: u16, length: Option<u64>) {
        let head = ResponseHead { status, ..ResponseHead::default() };
        self.server.send_head(id, &head, length, length != Some(0), &mut self.out);
    }

    pub(super) fn respond(&mut self, id: StreamId, status: u16, body: &[u8]) {
        self.head(id, status, Some(body.len() as u64));
        self.server.send_whole(id, Whole::Bytes(body), &mut self.out);
        self.server.end_answer(id, &mut self.space);
    }

    fn echo(&mut self, id: StreamId) {
        if !matches!(self.answers, Answers::Echo) {
            return;
        }
        loop {
            match self.server.next_of_body(id) {
                Ok(Some(part)) => self.server.send_part(id, part),
                Ok(None) => break,
                Err(refusal) => {
                    self.events.push(format!("{id} refused: {}", refusal.name()));
                    self.server.reset(id, ErrorCode::NO_ERROR, &mut self.space);
                    return;
                }
            }
        }
        if self.server.is_body_read(id) {
            let trailers = self.server.take_trailers_of(id);
            self.server.send_end(id, trailers.as_deref());
            self.server.end_answer(id, &mut self.space);
        }
    }

    /// The frames that were sent, in words.
    pub(super) fn said(&mut self) -> Vec<String> {
        let out = std::mem::take(&mut self.out);
        let mut words = Vec::new();
        for (head, payload) in frames(&out) {
            words.push(self.word(head, payload));
        }
        words
    }

    fn word(&mut self, head: FrameHead, payload: &[u8]) -> String {
        let FrameHead { stream, .. } = head;
        let end = if head.has(flag::END_STREAM) { " end" } else { "" };
        match head.kind {
            kind::DATA if payload.len() > 40 => format!("{stream} data of {}{end}", payload.len()),
            kind::DATA => format!("{stream} data {}{end}", payload.escape_ascii()),
            kind::HEADERS => {
                let (mut cursor, mut text) = (BlockCursor::default(), Vec::new());
                let mut fields = Vec::new();
                while let Some(field) = self.decoder.next(payload, &mut cursor, &mut text).unwrap()
                {
                    let (name, value) = (field.name.escape_ascii(), field.value.escape_ascii());
                    fields.push(format!("{name}={value}"));
                }
                format!("{stream} head {}{end}", fields.join(" "))
            }
            kind::RST_STREAM => {
                let code = ErrorCode(frame::only_number(payload).unwrap());
                format!("{stream} reset {}", code.name())
            }
            kind::SETTINGS if head.has(flag::ACK) => "settings ack".to_owned(),
            kind::SETTINGS => "settings".to_owned(),
            kind::PING => format!("ping {} {}", head.flags, payload.escape_ascii()),
            kind::GOAWAY => {
                let (last, code) = frame::read_go_away(payload).unwrap();
                let last = if last == frame::STREAM_MAX { "all".into() } else { last.to_string() };
                format!("goaway {last} {}", code.name())
            }
            kind::WINDOW_UPDATE => {
                format!("{stream} window {}", frame::only_number(payload).unwrap())
            }
            other => format!("{stream} kind {other}"),
        }
    }
}

/// The frames of a stretch of bytes.
pub(super) fn frames(mut bytes: &[u8]) -> Vec<(FrameHead, &[u8])> {
    let mut all = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() {
        let head = FrameHead::read(*head);
        let (payload, rest) = rest.split_at(head.len);
        all.push((head, payload));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "frames are whole");
    all
}

/// A frame.
pub(super) fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHead { len: payload.len(), kind, flags, stream }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

/// What a client begins with.
pub(super) fn hello(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    frame::write_settings(settings, &mut out);
    out
}

/// A block of fields that no table is needed for.
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::default();
    for (name, value) in fields {
        let of = (Name::of(name.as_bytes()), name.as_bytes());
        encoder.field(of, value.as_bytes(), Keep::No, &mut out);
    }
    out
}

/// The pseudo-header fields of a request.
pub(super) fn request_line<'a>(method: &'a str, path: &'a str) -> [(&'a str, &'a str); 4] {
    [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")]
}

pub(super) const END: u8 = flag::END_STREAM | flag::END_HEADERS;

/// A request without a body.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    framed(kind::HEADERS, END, stream, &block(&request_line("GET", path)))
}

/// The head of a request with a body.
pub(super) fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [&request_line("POST", "/p")[..], more].concat();
    framed(kind::HEADERS, flag::END_HEADERS, stream, &block(&fields))
}

/// A part of a body.
pub(super) fn data(stream: u32, bytes: &[u8], ends: bool) -> Vec<u8> {
    framed(kind::DATA, if ends { flag::END_STREAM } else { 0 }, stream, bytes)
}
