//! Frames (RFC 9113, section 4).

use super::error::ErrorCode;

/// What a client sends before its first frame (section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub const HEAD_LEN: usize = 9;
/// Bytes of a frame's payload that everybody takes, and that we take (section 4.2).
pub const FRAME_MAX: usize = 16 * 1024;
/// Most bytes that a peer may say it takes.
pub const FRAME_LIMIT: usize = (1 << 24) - 1;
/// Most bytes of a window (section 6.9.1).
pub const WINDOW_MAX: i64 = (1 << 31) - 1;
/// Bytes of a window to begin with (section 6.9.2).
pub const WINDOW_INITIAL: u32 = 65_535;
/// The largest number of a stream.
pub const STREAM_MAX: u32 = (1 << 31) - 1;

/// Kinds of frames (section 6; RFC 9218, section 7.1).
pub mod kind {
    /// Bytes of a body.
    pub const DATA: u8 = 0x0;
    /// The beginning of a field block.
    pub const HEADERS: u8 = 0x1;
    /// A priority of the scheme that is not used any more.
    pub const PRIORITY: u8 = 0x2;
    /// The end of a stream.
    pub const RST_STREAM: u8 = 0x3;
    /// What the sender takes.
    pub const SETTINGS: u8 = 0x4;
    /// A request that a server makes up.
    pub const PUSH_PROMISE: u8 = 0x5;
    /// A question whether the peer is there, and its answer.
    pub const PING: u8 = 0x6;
    /// No further streams.
    pub const GOAWAY: u8 = 0x7;
    /// More may be sent.
    pub const WINDOW_UPDATE: u8 = 0x8;
    /// More of a field block.
    pub const CONTINUATION: u8 = 0x9;
    /// Another priority of a stream.
    pub const PRIORITY_UPDATE: u8 = 0x10;

    /// Whether it is one of these.
    #[must_use]
    pub const fn is_known(kind: u8) -> bool {
        matches!(kind, DATA..=CONTINUATION | PRIORITY_UPDATE)
    }
}

/// Flags of frames.
pub mod flag {
    /// The sender ends the stream: DATA, HEADERS.
    pub const END_STREAM: u8 = 0x1;
    /// It is an answer: SETTINGS, PING.
    pub const ACK: u8 = 0x1;
    /// The field block ends: HEADERS, CONTINUATION.
    pub const END_HEADERS: u8 = 0x4;
    /// There is padding: DATA, HEADERS.
    pub const PADDED: u8 = 0x8;
    /// There is a priority: HEADERS.
    pub const PRIORITY: u8 = 0x20;
}

/// Settings (section 6.5.2; RFC 8441, section 3; RFC 9218, section 2.1).
pub mod setting {
    /// Bytes of the dynamic table that the sender decodes with.
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    /// Whether a server may push.
    pub const ENABLE_PUSH: u16 = 0x2;
    /// Streams that the peer may have open.
    pub const MAX_CONCURRENT_STREAMS: u16 = 0x3;
    /// Bytes of a new stream's window.
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    /// Bytes of a frame's payload.
    pub const MAX_FRAME_SIZE: u16 = 0x5;
    /// Bytes of a list of fields.
    pub const MAX_HEADER_LIST_SIZE: u16 = 0x6;
    /// Whether CONNECT may name a protocol.
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 0x8;
    /// Whether the old scheme of priorities is not used.
    pub const NO_RFC7540_PRIORITIES: u16 = 0x9;
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of the payload.
    pub len: usize,
    /// What it is.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
}

impl FrameHead {
    /// Reads the head of a frame.
    #[must_use]
    pub const fn read(bytes: [u8; HEAD_LEN]) -> Self {
        let [a, b, c, kind, flags, e, f, g, h] = bytes;
        Self {
            len: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([e, f, g, h]) & STREAM_MAX,
        }
    }

    /// Whether it has a flag.
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Writes the head of a frame.
    pub fn write(&self, out: &mut Vec<u8>) {
        debug_assert!(self.len <= FRAME_LIMIT, "no frame is longer");
        out.extend_from_slice(&self.bytes());
    }

    const fn bytes(&self) -> [u8; HEAD_LEN] {
        let [.., a, b, c] = self.len.to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }
}

/// The four bytes of a number.
fn number(payload: &[u8]) -> Option<u32> {
    let bytes: [u8; 4] = payload.get(..4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// The number of a payload that has nothing else, as of RST_STREAM and WINDOW_UPDATE.
#[must_use]
pub fn only_number(payload: &[u8]) -> Option<u32> {
    if payload.len() == 4 { number(payload) } else { None }
}

/// Bytes of a GOAWAY before its text.
pub const GO_AWAY_SIZE: usize = 8;

/// What a GOAWAY says: the last stream that was looked at, and why.
#[must_use]
pub fn read_go_away(payload: &[u8]) -> Option<(u32, ErrorCode)> {
    let last = number(payload)? & STREAM_MAX;
    Some((last, ErrorCode(number(payload.get(4..)?)?)))
}

/// The settings of a payload.
pub fn read_settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> + '_ {
    payload.chunks_exact(6).filter_map(|one| {
        let (id, value) = one.split_first_chunk::<2>()?;
        Some((u16::from_be_bytes(*id), number(value)?))
    })
}

/// Writes SETTINGS.
pub fn write_settings(settings: &[(u16, u32)], out: &mut Vec<u8>) {
    let len = settings.len() * 6;
    FrameHead { len, kind: kind::SETTINGS, flags: 0, stream: 0 }.write(out);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Writes the answer to SETTINGS.
pub fn write_settings_ack(out: &mut Vec<u8>) {
    FrameHead { len: 0, kind: kind::SETTINGS, flags: flag::ACK, stream: 0 }.write(out);
}

/// Writes PING, or its answer.
pub fn write_ping(payload: [u8; 8], flags: u8, out: &mut Vec<u8>) {
    FrameHead { len: 8, kind: kind::PING, flags, stream: 0 }.write(out);
    out.extend_from_slice(&payload);
}

/// Writes RST_STREAM.
pub fn write_reset(stream: u32, code: ErrorCode, out: &mut Vec<u8>) {
    FrameHead { len: 4, kind: kind::RST_STREAM, flags: 0, stream }.write(out);
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Writes WINDOW_UPDATE.
pub fn write_window_update(stream: u32, bytes: u32, out: &mut Vec<u8>) {
    FrameHead { len: 4, kind: kind::WINDOW_UPDATE, flags: 0, stream }.write(out);
    out.extend_from_slice(&bytes.to_be_bytes());
}

/// Writes GOAWAY, with a word for people.
pub fn write_go_away(last: u32, code: ErrorCode, why: &str, out: &mut Vec<u8>) {
    FrameHead { len: 8 + why.len(), kind: kind::GOAWAY, flags: 0, stream: 0 }.write(out);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(why.as_bytes());
}

/// Writes a field block that stands at `from` in `out`, behind room for the head of its frame, as
/// HEADERS and as many CONTINUATION as it needs.
pub fn finish_block(from: usize, stream: u32, flags: u8, most: usize, out: &mut Vec<u8>) {
    let len = out.len() - from - HEAD_LEN;
    if len <= most {
        let flags = flags | flag::END_HEADERS;
        return patch(from, FrameHead { len, kind: kind::HEADERS, flags, stream }, out);
    }
    let block = out.split_off(from + HEAD_LEN);
    out.truncate(from);
    let last = len.div_ceil(most) - 1;
    for (at, part) in block.chunks(most).enumerate() {
        let end = if at == last { flag::END_HEADERS } else { 0 };
        let head = match at {
            0 => FrameHead { len: part.len(), kind: kind::HEADERS, flags: flags | end, stream },
            _ => FrameHead { len: part.len(), kind: kind::CONTINUATION, flags: end, stream },
        };
        head.write(out);
        out.extend_from_slice(part);
    }
}

/// Leaves room for the head of a frame.
pub fn begin_block(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; HEAD_LEN]);
    out.len() - HEAD_LEN
}

fn patch(at: usize, head: FrameHead, out: &mut [u8]) {
    if let Some(room) = out.get_mut(at..at + HEAD_LEN) {
        room.copy_from_slice(&head.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut bytes: &[u8]) -> Vec<(FrameHead, Vec<u8>)> {
        let mut all = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_LEN>() {
            let head = FrameHead::read(*head);
            all.push((head, rest[..head.len].to_vec()));
            bytes = &rest[head.len..];
        }
        assert!(bytes.is_empty());
        all
    }

    #[test]
    fn a_head_comes_back_and_the_reserved_bit_is_ignored() {
        let head = FrameHead { len: 0x01_02_03, kind: 9, flags: 5, stream: STREAM_MAX };
        let mut out = Vec::new();
        head.write(&mut out);
        let mut bytes: [u8; 9] = out.try_into().unwrap();
        assert_eq!(FrameHead::read(bytes), head);
        bytes[5] |= 0x80;
        assert_eq!(FrameHead::read(bytes), head);
    }

    #[test]
    fn a_long_block_is_cut_into_frames_of_the_size_that_the_peer_takes() {
        for len in [0, 1, 9, 10, 11, 20, 25] {
            let mut out = b"before".to_vec();
            let at = begin_block(&mut out);
            let bytes: Vec<u8> = (0..=255).take(len).collect();
            out.extend_from_slice(&bytes);
            finish_block(at, 5, flag::END_STREAM, 10, &mut out);
            let all = frames(out.strip_prefix(b"before").unwrap());
            assert_eq!(all.len(), usize::max(1, usize::div_ceil(len, 10)));
            let text: Vec<u8> = all.iter().flat_map(|(_, part)| part.clone()).collect();
            assert_eq!(text, bytes);
            for (at, (head, _)) in all.iter().enumerate() {
                let kind = if at == 0 { kind::HEADERS } else { kind::CONTINUATION };
                assert_eq!((head.kind, head.stream), (kind, 5));
                assert_eq!(head.has(flag::END_HEADERS), at + 1 == all.len());
                assert_eq!(head.has(flag::END_STREAM), at == 0);
            }
        }
    }

    #[test]
    fn control_frames_are_what_the_rfc_says() {
        let mut out = Vec::new();
        write_settings(&[(3, 100), (4, 65_535)], &mut out);
        write_settings_ack(&mut out);
        write_ping([1, 2, 3, 4, 5, 6, 7, 8], flag::ACK, &mut out);
        write_reset(7, ErrorCode::CANCEL, &mut out);
        write_window_update(0, 1000, &mut out);
        write_go_away(9, ErrorCode::ENHANCE_YOUR_CALM, "why", &mut out);
        let all = frames(&out);
        let kinds: Vec<u8> = all.iter().map(|(head, _)| head.kind).collect();
        assert_eq!(kinds, [4, 4, 6, 3, 8, 7]);
        assert_eq!(read_settings(&all[0].1).collect::<Vec<_>>(), [(3, 100), (4, 65_535)]);
        assert_eq!(only_number(&all[3].1), Some(8));
        assert_eq!(only_number(&all[4].1), Some(1000));
        assert_eq!(read_go_away(&all[5].1), Some((9, ErrorCode::ENHANCE_YOUR_CALM)));
        assert_eq!(read_go_away(&[0; 7]), None);
    }
}
