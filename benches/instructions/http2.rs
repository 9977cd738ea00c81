//! The requests of a client of HTTP/2, and how many answers have ended.

use ringway::proto::http2::frame::{
    self, FrameHead, HEAD_LEN, PREFACE, flag, kind, setting, write_settings, write_window_update,
};
use ringway::proto::http2::hpack::{Encoder, Keep, Name};

/// What a client sends on one connection.
pub(crate) struct Requests {
    encoder: Encoder,
    next: u32,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self { encoder: Encoder::default(), next: 1 }
    }

    /// The next so many requests, with the greeting before the first. All but the first of a
    /// connection refer to the tables.
    pub(crate) fn next(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        if self.next == 1 {
            out.extend_from_slice(PREFACE);
            let most = u32::try_from(frame::WINDOW_MAX / 2).unwrap_or(0);
            write_settings(&[(setting::INITIAL_WINDOW_SIZE, most)], &mut out);
            write_window_update(0, most, &mut out);
        }
        let fields = [
            (":method", "GET"),
            (":path", "/"),
            (":scheme", "http"),
            (":authority", "www.example.com"),
            ("user-agent", "h2load"),
        ];
        for _ in 0..count {
            let mut block = Vec::new();
            for (name, value) in fields {
                let of = (Name::of(name.as_bytes()), name.as_bytes());
                self.encoder.field(of, value.as_bytes(), Keep::Table, &mut block);
            }
            let flags = flag::END_HEADERS | flag::END_STREAM;
            let head =
                FrameHead { len: block.len(), kind: kind::HEADERS, flags, stream: self.next };
            head.write(&mut out);
            out.extend_from_slice(&block);
            self.next += 2;
        }
        out
    }
}

/// How many answers end in these frames.
pub(crate) fn ends(mut frames: &[u8]) -> usize {
    let mut ends = 0;
    while let Some((head, rest)) = frames.split_first_chunk::<HEAD_LEN>() {
        let head = FrameHead::read(*head);
        let is_end = matches!(head.kind, kind::DATA | kind::HEADERS) && head.has(flag::END_STREAM);
        ends += usize::from(is_end);
        frames = rest.get(head.len..).unwrap_or_default();
    }
    ends
}
