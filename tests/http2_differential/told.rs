//! What an end tells its application and what it sends, in words that are the same for each end.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ringway::proto::http::RequestHead;
use ringway::proto::http2::PREFACE;
use ringway::proto::http2::frame::{FrameHead, HEAD_LEN, flag, kind, only_number, read_go_away};
use ringway::proto::http2::hpack::{BlockCursor, Decoder};

/// Something that came of a frame: about a stream, or about the connection, which is 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    pub(crate) stream: u32,
    pub(crate) text: String,
}

/// All that came of a frame.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) events: Vec<Event>,
    /// The rule that ours found broken.
    pub(crate) why: Option<&'static str>,
    /// Bodies, by stream.
    bodies: BTreeMap<u32, Vec<u8>>,
}

impl Step {
    pub(crate) fn tell(&mut self, stream: u32, text: impl Into<String>) {
        self.events.push(Event { stream, text: text.into() });
    }

    /// Something of a body has come: parts are put together.
    pub(crate) fn body(&mut self, stream: u32, part: &[u8]) {
        if !part.is_empty() {
            self.bodies.entry(stream).or_default().extend_from_slice(part);
        }
    }

    /// The same in an order that no end decides.
    pub(crate) fn sorted(mut self) -> Self {
        for (stream, body) in std::mem::take(&mut self.bodies) {
            let text = match body.len() {
                0..=40 => escape(&body),
                len => format!("{len} bytes, CRC-32 {:08x}", crc32fast::hash(&body)),
            };
            self.tell(stream, format!("body {text}"));
        }
        self.events.sort();
        self
    }
}

/// Text in which every byte can be seen.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b' '..=b'~' if *byte != b'\\' => text.push(char::from(*byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a String takes it"),
        }
    }
    text
}

/// Fields in an order that does not depend on the order of different names.
pub(crate) fn fields_text<'a>(fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> String {
    let mut all: BTreeMap<&[u8], Vec<Vec<u8>>> = BTreeMap::new();
    // An empty cookie is none (RFC 6265, section 4.2.1).
    for (name, value) in fields.filter(|field| *field != (b"cookie", b"")) {
        let values = all.entry(name).or_default();
        match values.last_mut() {
            // Its parts are one field (RFC 9113, section 8.2.3).
            Some(cookie) if name == b"cookie" => {
                cookie.extend_from_slice(b"; ");
                cookie.extend_from_slice(value);
            }
            Some(_) | None => values.push(value.to_vec()),
        }
    }
    let lines = all.iter().flat_map(|(name, values)| {
        values.iter().map(|value| format!(" [{}: {}]", escape(name), escape(value)))
    });
    lines.collect()
}

/// A target in normal form (RFC 3986, section 6.2.2), as our heads have it.
pub(crate) fn normal_target(target: &str) -> String {
    if target.is_empty() {
        // CONNECT has none.
        return String::new();
    }
    let mut head = RequestHead::default();
    match head.set_target(target) {
        Ok(()) => match head.query() {
            Some(query) => format!("{}?{query}", head.path()),
            None => head.path().to_owned(),
        },
        Err(_) => target.to_owned(),
    }
}

/// What an end sends, frame by frame.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    bytes: Vec<u8>,
    decoder: Decoder,
    block: Vec<u8>,
    /// Streams that it has reset, and those that it has ended.
    pub(crate) reset: Vec<u32>,
    pub(crate) ended: Vec<u32>,
    has_preface: bool,
}

impl Wire {
    /// Frames that an end has sent since.
    pub(crate) fn read(&mut self, bytes: &[u8], step: &mut Step) {
        self.bytes.extend_from_slice(bytes);
        let all = std::mem::take(&mut self.bytes);
        let mut left = &*all;
        if !self.has_preface && left.starts_with(PREFACE) {
            left = &left[PREFACE.len()..];
        }
        self.has_preface |= !left.is_empty();
        let mut answers: BTreeMap<u32, usize> = BTreeMap::new();
        while let Some((head, rest)) = left.split_first_chunk::<HEAD_LEN>() {
            let head = FrameHead::read(*head);
            let Some((payload, rest)) = rest.split_at_checked(head.len) else { break };
            left = rest;
            if head.kind == kind::DATA {
                *answers.entry(head.stream).or_default() += payload.len();
            } else {
                self.take(head, payload, step);
            }
            let ends =
                matches!(head.kind, kind::DATA | kind::HEADERS) && head.has(flag::END_STREAM);
            if ends {
                self.ended.push(head.stream);
                step.tell(head.stream, "sends the end");
            }
        }
        for (stream, len) in answers {
            if len > 0 {
                step.tell(stream, format!("sends {len} bytes"));
            }
        }
        self.bytes = left.to_vec();
    }

    fn take(&mut self, head: FrameHead, payload: &[u8], step: &mut Step) {
        let stream = head.stream;
        match head.kind {
            kind::HEADERS | kind::CONTINUATION => {
                self.block.extend_from_slice(payload);
                if head.has(flag::END_HEADERS) {
                    let block = std::mem::take(&mut self.block);
                    step.tell(stream, format!("sends{}", self.status(&block)));
                }
            }
            kind::RST_STREAM => {
                self.reset.push(stream);
                let code = only_number(payload).expect("four bytes");
                step.tell(stream, format!("resets {code}"));
            }
            kind::SETTINGS if head.has(flag::ACK) => step.tell(0, "acknowledges"),
            kind::PING if head.has(flag::ACK) => {
                step.tell(0, format!("pongs {}", escape(payload)));
            }
            kind::GOAWAY => {
                let (_, code) = read_go_away(payload).expect("eight bytes");
                step.tell(0, format!("leaves {}", code.0));
            }
            _ => {}
        }
    }

    /// The status of an answer's head; nothing of other blocks, which are read all the same.
    fn status(&mut self, block: &[u8]) -> String {
        let (mut cursor, mut text, mut found) = (BlockCursor::default(), Vec::new(), String::new());
        while let Some(field) = self.decoder.next(block, &mut cursor, &mut text).expect("valid") {
            if field.name == b":status" {
                found = format!(" {}", escape(field.value));
            }
        }
        found
    }
}
