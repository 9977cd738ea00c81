//! An endpoint that echoes, and frames as a client writes and reads them, by code of the tests' own.

use ringway::proto::websocket::{Closing, Endpoint, Item, Kind, Limits, Role, write};

/// Bytes of a frame and of a message, at most.
pub(crate) const MAX: u64 = 16 << 20;

/// One conversation.
pub(crate) struct Case {
    pub(crate) name: String,
    /// All that the client sends.
    pub(crate) sent: Vec<u8>,
    pub(crate) expected: Vec<Out>,
    /// Bytes of each read; all at once if there are none.
    pub(crate) chop: usize,
}

/// A frame of the endpoint.
#[derive(PartialEq, Eq, Clone)]
pub(crate) enum Out {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A code, if there is one.
    Close(Option<u16>),
}

impl std::fmt::Debug for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, payload) = match self {
            Self::Text(payload) => ("text", payload),
            Self::Binary(payload) => ("binary", payload),
            Self::Ping(payload) => ("ping", payload),
            Self::Pong(payload) => ("pong", payload),
            Self::Close(code) => return write!(f, "close {code:?}"),
        };
        let start = &payload[..payload.len().min(20)];
        write!(f, "{name} of {}: {:?}", payload.len(), String::from_utf8_lossy(start))
    }
}

/// A frame of a client.
#[derive(Clone)]
pub(crate) struct Frame {
    /// FIN, reserved bits and opcode.
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, payload: impl AsRef<[u8]>) -> Self {
        Self { first: 0x80 | opcode, payload: payload.as_ref().to_vec() }
    }

    /// More of its message follows.
    pub(crate) const fn more(mut self) -> Self {
        self.first &= 0x7f;
        self
    }

    /// With reserved bits: 4 is RSV1.
    pub(crate) const fn reserved(mut self, bits: u8) -> Self {
        self.first |= bits << 4;
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        let len = self.payload.len();
        out.push(self.first);
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(len @ 0..=125), _) => out.push(0x80 | len),
            (_, Ok(len)) => {
                out.push(0x80 | 126);
                out.extend_from_slice(&len.to_be_bytes());
            }
            _ => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        let key = [0x37, 0xfa, 0x21, u8::try_from(len % 251).expect("it is small")];
        out.extend_from_slice(&key);
        out.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
}

pub(crate) fn text(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(1, payload)
}

pub(crate) fn binary(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(2, payload)
}

pub(crate) fn next(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(0, payload)
}

pub(crate) fn ping(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(9, payload)
}

pub(crate) fn pong(payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(10, payload)
}

pub(crate) fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    Frame::new(8, [&code.to_be_bytes(), reason.as_ref()].concat())
}

pub(crate) fn bytes(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    frames.iter().for_each(|frame| frame.write(&mut out));
    out
}

pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(pair).collect()
}

/// A case that is echoed, and closed by the client then.
pub(crate) fn echo(name: impl Into<String>, frames: &[Frame], out: Vec<Out>) -> Case {
    let sent = [bytes(frames), bytes(&[close(1000, "")])].concat();
    let mut expected = out;
    expected.push(Out::Close(Some(1000)));
    Case { name: name.into(), sent, expected, chop: 0 }
}

/// A case that the endpoint fails with a code, behind what it sends before.
pub(crate) fn fail(name: impl Into<String>, frames: &[Frame], out: Vec<Out>, code: u16) -> Case {
    let mut expected = out;
    expected.push(Out::Close(Some(code)));
    Case { name: name.into(), sent: bytes(frames), expected, chop: 0 }
}

/// What an endpoint answers to `sent`, which comes in pieces of these sizes, the last one again and
/// again.
pub(crate) fn hear(sent: &[u8], sizes: &[usize]) -> Vec<Out> {
    read(&answer(sent, sizes, &Limits { frame: MAX, message: MAX, deflate: false }))
}

/// The bytes that it answers.
pub(crate) fn answer(sent: &[u8], sizes: &[usize], limits: &Limits) -> Vec<u8> {
    let mut endpoint = Endpoint::new(Role::Server);
    let (mut message, mut out) = (Vec::new(), Vec::new());
    let (mut rest, mut turn) = (sent, 0);
    while !rest.is_empty() {
        let size = sizes[turn.min(sizes.len() - 1)].clamp(1, rest.len());
        turn += 1;
        let (piece, later) = rest.split_at(size);
        rest = later;
        let mut piece = piece.to_vec();
        let mut at = 0;
        while at < piece.len() {
            match endpoint.read(&mut piece[at..], limits) {
                Err(violation) => {
                    endpoint.close(violation.code(), &violation.to_string(), None, &mut out);
                    return out;
                }
                Ok((count, item)) => {
                    match item {
                        Some(Item::Part(part)) if endpoint.closing() == Closing::Open => {
                            message.extend_from_slice(&piece[at..at + count][part.payload]);
                            if part.last {
                                let opcode = part.kind.opcode();
                                write::frame(opcode, (true, false), &message, None, &mut out);
                                message.clear();
                            }
                        }
                        Some(item) => endpoint.answer(&item, None, &mut out),
                        None => {}
                    }
                    at += count;
                }
            }
        }
    }
    out
}

/// Reads frames that are not masked and not fragmented.
pub(crate) fn read(mut bytes: &[u8]) -> Vec<Out> {
    let mut out = Vec::new();
    while let [first, short, rest @ ..] = bytes {
        let (len, rest) = match short {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            127 => {
                let (len, rest) = rest.split_first_chunk().expect("a length");
                (usize::try_from(u64::from_be_bytes(*len)).expect("it fits"), rest)
            }
            short => (usize::from(*short), rest),
        };
        let (payload, rest) = rest.split_at(len);
        let payload = payload.to_vec();
        out.push(match first {
            0x81 => Out::Text(payload),
            0x82 => Out::Binary(payload),
            0x88 => Out::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            0x89 => Out::Ping(payload),
            0x8a => Out::Pong(payload),
            other => panic!("a frame that begins with {other:x}"),
        });
        bytes = rest;
    }
    assert!(bytes.is_empty());
    out
}

/// What a message is when it comes back.
pub(crate) fn back(kind: Kind, payload: &[u8]) -> Out {
    match kind {
        Kind::Text => Out::Text(payload.to_vec()),
        Kind::Binary => Out::Binary(payload.to_vec()),
    }
}
