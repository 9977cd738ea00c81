//! What one end says: frames in their order, valid ones to begin with.

use std::fmt::Write as _;

use ringway::proto::http2::PREFACE;
use ringway::proto::http2::frame::{FRAME_MAX, FrameHead, HEAD_LEN, flag, kind, setting};
use ringway::ring::sim::Random;

use super::block::{BlockWriter, Field};
use super::ours::HEAD_STREAM;

/// A stream that no conversation has, on which others depend.
const ELSEWHERE: u32 = 100_001;

/// A frame. Its length may be another one than its payload has.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) head: FrameHead,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        let head = FrameHead { len: payload.len(), kind, flags, stream };
        Self { head, payload: payload.to_vec() }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.head.write(out);
        out.extend_from_slice(&self.payload);
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        const KINDS: [&str; 10] = [
            "DATA",
            "HEADERS",
            "PRIORITY",
            "RST_STREAM",
            "SETTINGS",
            "PUSH_PROMISE",
            "PING",
            "GOAWAY",
            "WINDOW_UPDATE",
            "CONTINUATION",
        ];
        let FrameHead { len, kind, flags, stream } = self.head;
        let name = KINDS.get(usize::from(kind)).copied().unwrap_or("kind");
        let mut text = format!("{name} ({kind:#x}) flags {flags:#x} stream {stream} len {len}:");
        for byte in self.payload.iter().take(100) {
            write!(text, " {byte:02x}").expect("a String takes it");
        }
        text
    }
}

/// The frames of bytes, as any reader cuts them. A last one that is not whole is left out: it says
/// nothing, unless it is too long.
pub(crate) fn reframe(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() {
        let head = FrameHead::read(*head);
        let (payload, rest) = rest.split_at(head.len.min(rest.len()));
        if payload.len() == head.len || head.len > FRAME_MAX {
            frames.push(Frame { head, payload: payload.to_vec() });
        }
        bytes = rest;
    }
    frames
}

/// The bytes of each frame; in front of the first one what a client begins with.
pub(crate) fn steps(frames: &[Frame], is_client: bool) -> Vec<Vec<u8>> {
    let mut steps = Vec::new();
    for frame in frames {
        let mut bytes = Vec::new();
        if steps.is_empty() && is_client {
            bytes.extend_from_slice(PREFACE);
        }
        frame.write(&mut bytes);
        steps.push(bytes);
    }
    steps
}

/// Something of a message that is under way.
#[derive(Debug)]
struct Open {
    stream: u32,
    /// The parts of its body that are still to come.
    parts: Vec<Vec<u8>>,
    has_trailers: bool,
    /// Its head is still to come: an answer that has not begun.
    head: Option<Vec<Field>>,
}

/// Makes up conversations.
pub(crate) struct Speaker {
    pub(crate) random: Random,
    pub(crate) block: BlockWriter,
    pub(crate) frames: Vec<Frame>,
    open: Vec<Open>,
    /// Streams that were opened.
    begun: Vec<u32>,
    next: u32,
    connects: bool,
}

/// What a client says that follows all rules.
pub(crate) fn client(seed: u64) -> Speaker {
    let mut speaker = Speaker::new(seed);
    speaker.settings();
    speaker.push(kind::SETTINGS, flag::ACK, 0, &[]);
    for _ in 0..8 + speaker.random.below(40) {
        match speaker.random.below(20) {
            0..6 if speaker.open.len() < 20 => speaker.request(),
            0..14 => speaker.go_on(),
            _ => speaker.aside(true),
        }
    }
    while !speaker.open.is_empty() && !speaker.random.chance(20) {
        speaker.go_on();
    }
    speaker
}

/// What a server says to a client that has begun so many requests, which follows all rules.
pub(crate) fn server(seed: u64, asked: u32) -> Speaker {
    let mut speaker = Speaker::new(seed);
    speaker.settings();
    speaker.push(kind::SETTINGS, flag::ACK, 0, &[]);
    for number in 0..asked {
        let stream = number * 2 + 1;
        speaker.begun.push(stream);
        let (head, mut parts, mut has_trailers) = speaker.answer();
        if stream == HEAD_STREAM {
            (parts, has_trailers) = (Vec::new(), false);
        }
        speaker.open.push(Open { stream, parts, has_trailers, head: Some(head) });
    }
    for _ in 0..8 + speaker.random.below(40) {
        match speaker.random.below(20) {
            0..14 => speaker.go_on(),
            _ => speaker.aside(false),
        }
    }
    while !speaker.open.is_empty() && !speaker.random.chance(20) {
        speaker.go_on();
    }
    speaker
}

fn field(name: &str, value: &str) -> Field {
    (name.to_owned(), value.to_owned())
}

impl Speaker {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            block: BlockWriter::default(),
            frames: Vec::new(),
            open: Vec::new(),
            begun: Vec::new(),
            next: 1,
            connects: false,
        }
    }

    pub(crate) fn push(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.frames.push(Frame::new(kind, flags, stream, payload));
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.below(all.len())]
    }

    /// Settings with values that they may have; the ones of a connection never go beyond windows.
    fn settings(&mut self) {
        let mut payload = Vec::new();
        for _ in 0..self.random.below(6) {
            let (id, value) = match self.random.below(9) {
                0 => (setting::HEADER_TABLE_SIZE, self.pick(&[0, 1, 100, 4096, 65_536, u32::MAX])),
                1 => (setting::ENABLE_PUSH, 0),
                2 => (setting::MAX_CONCURRENT_STREAMS, self.pick(&[20, 100, u32::MAX])),
                3 | 4 => {
                    let sizes = [0, 1, 7, 20, 100, 65_535, 1 << 20, 0x3fff_ffff];
                    (setting::INITIAL_WINDOW_SIZE, self.pick(&sizes))
                }
                5 => (setting::MAX_FRAME_SIZE, self.pick(&[16_384, 20_000, 0x00ff_ffff])),
                6 => (setting::MAX_HEADER_LIST_SIZE, self.pick(&[1000, 65_536, u32::MAX])),
                7 => {
                    self.connects |= self.random.below(2) == 0;
                    (setting::ENABLE_CONNECT_PROTOCOL, u32::from(self.connects))
                }
                _ => (self.pick(&[0, 7, 0x0a, 0xf0f0]), self.pick(&[0, 1, u32::MAX])),
            };
            payload.extend_from_slice(&id.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.push(kind::SETTINGS, 0, 0, &payload);
    }

    fn text(&mut self, most: usize) -> String {
        let letters = b"abcdefghijklmnopqrstuvwxyz0123456789-._~ABCXYZ";
        let len = self.random.below(most + 1);
        (0..len).map(|_| char::from(self.pick(letters))).collect()
    }

    /// Ordinary fields, the same ones now and then.
    fn fields(&mut self, fields: &mut Vec<Field>) {
        let names = ["x-a", "x-bcd", "accept", "user-agent", "x-request-id", "authorization"];
        for _ in 0..self.random.below(6) {
            let name = self.pick(&names);
            let value = match self.random.below(6) {
                0 => String::new(),
                1 => format!("{} {}", self.text(20), self.text(20)),
                2 => self.text(300),
                _ => self.pick(&["one", "another one", "a value that is longer", "*/*"]).to_owned(),
            };
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        if self.random.below(6) == 0 {
            for crumb in ["a=1", "bc=23", "session=0123456789"] {
                fields.push(field("cookie", crumb));
            }
        }
    }

    fn parts(&mut self) -> Vec<Vec<u8>> {
        let count = self.random.below(5);
        let mut parts = Vec::new();
        for _ in 0..count {
            let len = match self.random.below(12) {
                0 => 0,
                1 => 1000 + self.random.below(8000),
                _ => 1 + self.random.below(60),
            };
            parts.push((0..len).map(|_| self.pick(b"0123456789abcdef")).collect());
        }
        parts
    }

    /// The head of a request, what follows it, and whether that are trailers, too.
    fn head(&mut self) -> (Vec<Field>, Vec<Vec<u8>>, bool) {
        let mut parts = self.parts();
        let has_trailers = self.random.below(5) == 0;
        let authority =
            self.pick(&["a", "example.org", "www.example.org:8080", "127.0.0.1", "[::1]:1"]);
        let mut method = self.pick(&["GET", "GET", "POST", "PUT", "HEAD", "OPTIONS", "X-OTHER"]);
        if self.random.below(16) == 0 {
            method = "CONNECT";
        }
        let mut fields = vec![field(":method", method)];
        if method != "CONNECT" {
            fields.push(field(":scheme", self.pick(&["http", "https"])));
            let mut path = format!("/{}", self.text(30).replace('.', "-"));
            if self.random.below(3) == 0 {
                path = format!("{path}?{}=/?:@", self.text(20));
            }
            fields.push(field(":path", if self.random.below(3) == 0 { "/" } else { &path }));
        }
        let by_host = method != "CONNECT" && self.random.below(8) == 0;
        if !by_host {
            fields.push(field(":authority", authority));
        }
        self.random.shuffle(&mut fields);
        if by_host || self.random.below(8) == 0 {
            fields.push(field("host", authority));
        }
        self.fields(&mut fields);
        if self.random.below(8) == 0 {
            fields.push(field("te", "trailers"));
        }
        if method == "CONNECT" && parts.is_empty() {
            parts.push(Vec::new());
        }
        let len: usize = parts.iter().map(Vec::len).sum();
        if method != "CONNECT" && self.random.below(3) == 0 && !(parts.is_empty() && has_trailers) {
            fields.push(field("content-length", &len.to_string()));
        }
        (fields, parts, has_trailers)
    }

    /// The head of an answer, what follows it, and whether that are trailers, too.
    fn answer(&mut self) -> (Vec<Field>, Vec<Vec<u8>>, bool) {
        let mut parts = self.parts();
        let mut has_trailers = self.random.below(5) == 0;
        let status = self.pick(&["200", "200", "204", "304", "404", "500", "999"]);
        if matches!(status, "204" | "304") {
            parts.clear();
            has_trailers = false;
        }
        let mut fields = vec![field(":status", status)];
        self.fields(&mut fields);
        let len: usize = parts.iter().map(Vec::len).sum();
        let has_length = !parts.is_empty() && self.random.below(3) == 0;
        if has_length {
            fields.push(field("content-length", &len.to_string()));
        } else if status == "304" && self.random.below(4) == 0 {
            fields.push(field("content-length", "1234"));
        }
        (fields, parts, has_trailers)
    }

    /// Begins a request.
    fn request(&mut self) {
        let (fields, parts, has_trailers) = self.head();
        let stream = self.next;
        self.next += if self.random.below(8) == 0 { 6 } else { 2 };
        self.begun.push(stream);
        let ends = parts.is_empty() && !has_trailers;
        self.block(stream, &fields, ends);
        if !ends {
            self.open.push(Open { stream, parts, has_trailers, head: None });
        }
    }

    /// A message goes on.
    fn go_on(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let at = self.random.below(self.open.len());
        if let Some(head) = self.open[at].head.clone() {
            let stream = self.open[at].stream;
            if self.random.below(6) == 0 {
                let interim = self.pick(&["100", "103"]);
                return self.block(
                    stream,
                    &[field(":status", interim), field("x-a", "one")],
                    false,
                );
            }
            let ends = self.open[at].parts.is_empty() && !self.open[at].has_trailers;
            self.block(stream, &head, ends);
            match ends {
                true => drop(self.open.remove(at)),
                false => self.open[at].head = None,
            }
            return;
        }
        let Open { stream, parts, has_trailers, .. } = &mut self.open[at];
        let (stream, has_trailers) = (*stream, *has_trailers);
        if parts.is_empty() {
            self.open.remove(at);
            if has_trailers {
                let mut fields = vec![field("x-trailer", "t")];
                self.fields(&mut fields);
                self.block(stream, &fields, true);
            } else {
                self.data(stream, &[], true);
            }
            return;
        }
        let part = parts.remove(0);
        let ends = parts.is_empty() && !has_trailers && self.random.below(3) > 0;
        self.data(stream, &part, ends);
        if ends {
            self.open.remove(at);
        }
    }

    /// DATA, perhaps with padding.
    fn data(&mut self, stream: u32, part: &[u8], ends: bool) {
        let end = if ends { flag::END_STREAM } else { 0 };
        if self.random.below(4) > 0 {
            return self.push(kind::DATA, end, stream, part);
        }
        let padding = self.random.below(256);
        let mut payload = vec![u8::try_from(padding).expect("a byte")];
        payload.extend_from_slice(part);
        payload.resize(payload.len() + padding, 0);
        self.push(kind::DATA, end | flag::PADDED, stream, &payload);
    }

    /// A block of fields, perhaps with padding and priority, in one frame or in several.
    pub(crate) fn block(&mut self, stream: u32, fields: &[Field], ends: bool) {
        let block = self.block.write(fields, &mut self.random);
        self.block_of(stream, &block, ends);
    }

    /// The same with a block that is there.
    pub(crate) fn block_of(&mut self, stream: u32, block: &[u8], ends: bool) {
        let mut flags = if ends { flag::END_STREAM } else { 0 };
        let mut cuts: Vec<usize> = Vec::new();
        if self.random.below(4) == 0 {
            cuts = (0..=self.random.below(4)).map(|_| self.random.below(block.len() + 1)).collect();
            cuts.sort_unstable();
        }
        cuts.push(block.len());
        let (mut payload, mut padding) = (Vec::new(), 0);
        if self.random.below(6) == 0 {
            flags |= flag::PADDED;
            padding = self.random.below(256);
            payload.push(u8::try_from(padding).expect("a byte"));
        }
        if self.random.below(6) == 0 {
            flags |= flag::PRIORITY;
            let on = ELSEWHERE;
            let exclusive = u32::from(self.random.below(2) == 0) << 31;
            payload.extend_from_slice(&(on | exclusive).to_be_bytes());
            payload.push(self.pick(&[0, 15, 255]));
        }
        let mut from = 0;
        for (at, to) in cuts.iter().enumerate() {
            let end = if at + 1 == cuts.len() { flag::END_HEADERS } else { 0 };
            let part = &block[from..*to];
            from = *to;
            if at > 0 {
                self.push(kind::CONTINUATION, end, stream, part);
                continue;
            }
            payload.extend_from_slice(part);
            payload.resize(payload.len() + padding, 0);
            let whole = std::mem::take(&mut payload);
            self.push(kind::HEADERS, flags | end, stream, &whole);
        }
    }

    /// A stream that was opened, or the connection.
    fn any_begun(&mut self) -> u32 {
        match self.begun.len() {
            0 => 0,
            len => self.begun[self.random.below(len)],
        }
    }

    /// What is about no message, or about one that is given up.
    fn aside(&mut self, is_client: bool) {
        let stream = self.any_begun();
        match self.random.below(10) {
            0 => self.settings(),
            1 => {
                let payload = self.random.bits().to_be_bytes();
                let flags = self.pick(&[0, 0, 0, flag::ACK, 0xfe]);
                self.push(kind::PING, flags, 0, &payload);
            }
            2 if stream > 0 => {
                let code = self.pick(&[0_u32, 2, 5, 7, 8, 0xb, 0xffff]);
                self.open.retain(|open| open.stream != stream);
                self.push(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
            }
            3 if is_client => {
                let mut payload = ELSEWHERE.to_be_bytes().to_vec();
                payload.push(7);
                let on = if stream == 0 { 3 } else { stream };
                self.push(kind::PRIORITY, 0, on, &payload);
            }
            4 if is_client => {
                let on = if stream == 0 { 1 } else { stream };
                let mut payload = on.to_be_bytes().to_vec();
                payload.extend_from_slice(self.pick(&["u=1", "u=7, i", "", "u=9;x"]).as_bytes());
                self.push(kind::PRIORITY_UPDATE, 0, 0, &payload);
            }
            5 => {
                let len = self.random.below(30);
                let payload: Vec<u8> = (0..len).map(|_| self.pick(&[0, 1, 0x80, 0xff])).collect();
                let (kind, flags) =
                    (self.pick(&[0x0b, 0x20, 0xbb, 0xff]), self.pick(&[0, 1, 0xff]));
                self.push(kind, flags, stream, &payload);
            }
            _ => {
                let on = if self.random.below(3) == 0 { 0 } else { stream };
                let bytes = self.pick(&[1_u32, 3, 50, 65_535, 1 << 20]);
                self.push(kind::WINDOW_UPDATE, 0, on, &bytes.to_be_bytes());
            }
        }
    }
}
