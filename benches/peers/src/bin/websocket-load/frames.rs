//! Frames: those of a client are made before the load begins, those of a server are only counted.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
/// What ends a block that a compressor has flushed (RFC 7692, section 7.2.1).
const FLUSHED: [u8; 4] = [0, 0, 0xff, 0xff];

/// Numbers that look random, and are the same in each run (xorshift).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Appends a text message of a client, masked, in one frame.
pub fn append(out: &mut Vec<u8>, payload: &[u8], is_deflated: bool, mask: [u8; 4]) {
    out.push(FIN | TEXT | if is_deflated { RSV1 } else { 0 });
    match payload.len() {
        length @ 0..126 => out.push(0x80 | length as u8),
        length @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A message as permessage-deflate sends it, without a context that has been taken over.
pub fn deflate(message: &[u8]) -> Vec<u8> {
    let mut compressor = Compress::new(Compression::new(6), false);
    let mut out = Vec::with_capacity(message.len() + 64);
    compressor.compress_vec(message, &mut out, FlushCompress::Sync).expect("compressed");
    assert!(out.ends_with(&FLUSHED));
    out.truncate(out.len() - FLUSHED.len());
    out
}

/// The message that permessage-deflate has sent.
pub fn inflate(message: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(size + 64);
    let mut message = message.to_vec();
    message.extend_from_slice(&FLUSHED);
    let mut inflater = Decompress::new(false);
    inflater.decompress_vec(&message, &mut out, FlushDecompress::Sync).expect("inflated");
    out
}

/// What a server's frame tells.
#[derive(Clone, Copy, Default)]
pub struct Head {
    pub opcode: u8,
    pub is_last: bool,
    pub is_deflated: bool,
    pub length: usize,
}

impl Head {
    fn is_data(self) -> bool {
        self.opcode < CLOSE
    }
}

/// Reads a head, and gives its length, or None if the bytes do not hold all of it.
pub fn head(bytes: &[u8]) -> Option<(Head, usize)> {
    let [first, second, ..] = *bytes else { return None };
    assert!(second & 0x80 == 0, "a server's frame is masked");
    assert!(first & 0x30 == 0, "reserved bits are set");
    let (length, size) = match second {
        126 => (u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?) as usize, 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        length => (length as usize, 2),
    };
    let (opcode, is_last, is_deflated) = (first & 0xf, first & FIN != 0, first & RSV1 != 0);
    assert!(opcode != CLOSE, "the server closes a connection");
    Some((Head { opcode, is_last, is_deflated, length }, size))
}

/// Counts the messages in what a server sends, in whatever parts it comes.
#[derive(Default)]
pub struct Counter {
    /// The start of a head whose rest is still to come.
    partial: [u8; 10],
    partial_length: u8,
    /// Whether the frame that is coming ends a message.
    is_end: bool,
    /// Bytes of the frame's payload that are still to come.
    rest: usize,
    /// Bytes of the message so far.
    message: usize,
}

impl Counter {
    /// Calls `ended` with the bytes of each message's payload that has come in whole.
    #[inline]
    pub fn feed(&mut self, mut bytes: &[u8], mut ended: impl FnMut(usize)) {
        loop {
            if self.rest > 0 {
                let part = self.rest.min(bytes.len());
                self.rest -= part;
                bytes = &bytes[part..];
                if self.rest > 0 {
                    return;
                }
                self.end_of_frame(&mut ended);
            }
            let partial = usize::from(self.partial_length);
            let read = if partial == 0 {
                head(bytes)
            } else {
                let more = bytes.len().min(self.partial.len() - partial);
                self.partial[partial..partial + more].copy_from_slice(&bytes[..more]);
                head(&self.partial[..partial + more])
            };
            let Some((head, size)) = read else {
                let more = bytes.len();
                self.partial[partial..partial + more].copy_from_slice(bytes);
                self.partial_length += more as u8;
                return;
            };
            self.partial_length = 0;
            bytes = &bytes[size - partial..];
            self.is_end = head.is_last && head.is_data();
            self.rest = head.length;
            if head.is_data() {
                self.message += head.length;
            }
            if head.length == 0 {
                self.end_of_frame(&mut ended);
            }
        }
    }

    #[inline]
    fn end_of_frame(&mut self, ended: &mut impl FnMut(usize)) {
        if self.is_end {
            self.is_end = false;
            ended(std::mem::take(&mut self.message));
        }
    }
}
