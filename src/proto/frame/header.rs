//! One frame: its fields, reading and writing it.

use std::fmt;

use super::Features;

/// Largest payload: what 16 bits can say.
pub const PAYLOAD_MAX: u16 = u16::MAX;
/// Bytes of the checksum that ends a frame.
pub const CHECKSUM_LEN: usize = 4;
/// The frame is the last one of its request or answer (version 2).
pub const FLAG_LAST: u8 = 0x01;
/// The request may be carried out more than once without harm (version 2).
pub const FLAG_IDEMPOTENT: u8 = 0x02;

/// Bytes that mean the same in all versions: version, command, length of the payload.
const COMMON_LEN: usize = 4;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Answers come in the order of the requests.
    V1 = 1,
    /// Each frame names its stream: answers may overtake each other.
    V2 = 2,
}

impl Version {
    /// The lowest that we speak.
    pub const LOWEST: Self = Self::V1;
    /// The highest that we speak.
    pub const HIGHEST: Self = Self::V2;

    /// The version of this number, if we speak it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Bytes before the payload.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::V1 => COMMON_LEN,
            Self::V2 => COMMON_LEN + 5,
        }
    }

    /// Bytes of a frame with a payload of `payload` bytes.
    #[must_use]
    pub const fn frame_len(self, payload: usize) -> usize {
        self.header_len() + payload + CHECKSUM_LEN
    }
}

/// What a frame asks or answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

impl Command {
    /// Versions, limits and features, offered and chosen.
    pub const HELLO: Self = Self(0x01);
    /// Asks for [`Self::PONG`].
    pub const PING: Self = Self(0x02);
    /// Answers a [`Self::PING`] with its payload.
    pub const PONG: Self = Self(0x03);
    /// Asks for its own payload, and is answered by itself.
    pub const ECHO: Self = Self(0x04);
    /// A type and a payload, answered by the same.
    pub const MESSAGE: Self = Self(0x05);
    /// Asks for a named file or value.
    pub const GET: Self = Self(0x06);
    /// A part of an answer; more follows.
    pub const DATA: Self = Self(0x07);
    /// The end of an answer that came in parts.
    pub const END: Self = Self(0x08);
    /// Asks for the server's counters, and is answered by itself.
    pub const STATS: Self = Self(0x09);
    /// An answer that says what went wrong.
    pub const ERROR: Self = Self(0x0a);
    /// The sender takes no new request.
    pub const GOAWAY: Self = Self(0x0b);
    /// Allows a stream to carry more DATA. From clients, with [`Features::FLOW`](super::Features).
    pub const CREDIT: Self = Self(0x0c);
    /// The client waits for a stream no longer. From clients, with flow control.
    pub const RESET: Self = Self(0x0d);
    /// The first of the commands that programs may define; they end at 0x7f.
    pub const CUSTOM_FIRST: Self = Self(0x40);
    /// The last of the commands that programs may define.
    pub const CUSTOM_LAST: Self = Self(0x7f);

    const NAMES: [&'static str; 13] = [
        "HELLO", "PING", "PONG", "ECHO", "MESSAGE", "GET", "DATA", "END", "STATS", "ERROR",
        "GOAWAY", "CREDIT", "RESET",
    ];

    /// Whether programs may define it.
    #[must_use]
    pub const fn is_custom(self) -> bool {
        self.0 >= Self::CUSTOM_FIRST.0 && self.0 <= Self::CUSTOM_LAST.0
    }

    /// Whether a client may ask it, once the connection is open.
    #[must_use]
    pub const fn is_request(self) -> bool {
        matches!(self, Self::PING | Self::ECHO | Self::MESSAGE | Self::GET | Self::STATS)
            || self.is_custom()
    }

    /// Whether the protocol knows it, in whatever direction.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self.0, 0x01..=0x0d) || self.is_custom()
    }

    /// The feature that has to be agreed on for it; nothing for PING, ECHO and the rest.
    #[must_use]
    pub const fn feature(self) -> Features {
        match self {
            Self::MESSAGE => Features::MESSAGE,
            Self::GET => Features::GET,
            Self::STATS => Features::STATS,
            Self::CREDIT | Self::RESET => Features::FLOW,
            command if command.is_custom() => Features::CUSTOM,
            _ => Features(0),
        }
    }

    /// Whether carrying it out twice does no harm: it only reads.
    #[must_use]
    pub const fn is_idempotent(self) -> bool {
        matches!(self, Self::PING | Self::ECHO | Self::GET | Self::STATS)
    }

    /// Whether `answer` may answer it.
    #[must_use]
    pub const fn takes(self, answer: Self) -> bool {
        match answer {
            Self::ERROR => true,
            Self::PONG => self.0 == Self::PING.0,
            Self::DATA | Self::END => self.0 == Self::GET.0 || self.is_custom(),
            _ => answer.0 == self.0 && self.0 != Self::PING.0 && self.0 != Self::GET.0,
        }
    }

    /// Its name in the specification, if it has one.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.get(usize::from(self.0).checked_sub(1)?).copied()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "command {:#04x}", self.0),
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What stands before the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whose layout the frame has.
    pub version: Version,
    /// What it asks or answers.
    pub command: Command,
    /// Bytes of payload.
    pub payload_len: u16,
    /// Which exchange it belongs to; 0 in version 1.
    pub stream: u32,
    /// [`FLAG_LAST`] and [`FLAG_IDEMPOTENT`]; 0 in version 1.
    pub flags: u8,
}

impl Header {
    /// A header without stream and flags: all of one in version 1.
    #[must_use]
    pub const fn new(version: Version, command: Command) -> Self {
        Self { version, command, payload_len: 0, stream: 0, flags: 0 }
    }

    /// The header of an answer on `stream`; its flags say whether it is the last frame.
    #[must_use]
    pub const fn answer(version: Version, command: Command, stream: u32) -> Self {
        let flags = match (version, command) {
            (Version::V1, _) | (Version::V2, Command::DATA) => 0,
            (Version::V2, _) => FLAG_LAST,
        };
        Self { version, command, payload_len: 0, stream, flags }
    }

    /// Reads the header of a frame that begins with `bytes`; `None` when those are too few.
    #[must_use]
    pub(super) fn read(version: Version, bytes: &[u8]) -> Option<Self> {
        let (common, rest) = bytes.split_first_chunk::<COMMON_LEN>()?;
        let [_, command, high, low] = *common;
        let (stream, flags) = match version {
            Version::V1 => (0, 0),
            Version::V2 => {
                let [a, b, c, d, flags] = *rest.first_chunk::<5>()?;
                (u32::from_be_bytes([a, b, c, d]), flags)
            }
        };
        let payload_len = u16::from_be_bytes([high, low]);
        Some(Self { version, command: Command(command), payload_len, stream, flags })
    }

    /// Writes it, with the length of the payload to come.
    #[inline]
    fn write(&self, payload_len: u16, out: &mut Vec<u8>) {
        let (version, command) = (self.version.number(), self.command.0);
        let [high, low] = payload_len.to_be_bytes();
        match self.version {
            Version::V1 => out.extend_from_slice(&[version, command, high, low]),
            Version::V2 => {
                let [a, b, c, d] = self.stream.to_be_bytes();
                let bytes = [version, command, high, low, a, b, c, d, self.flags];
                out.extend_from_slice(&bytes);
            }
        }
    }
}

/// Writes one frame; its length is that of the payload, whatever the header says.
///
/// # Panics
/// When the payload is longer than [`PAYLOAD_MAX`].
#[inline]
pub fn write(header: &Header, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(header.version.frame_len(payload.len()));
    let payload_len = u16::try_from(payload.len()).expect("a payload fits its frame");
    header.write(payload_len, out);
    out.extend_from_slice(payload);
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// Writes what stands before and behind a payload that is sent from where it lies: the header to
/// `before`, the checksum as the result.
///
/// # Panics
/// When the payload is longer than [`PAYLOAD_MAX`].
pub fn write_around(header: &Header, payload: &[u8], before: &mut Vec<u8>) -> [u8; CHECKSUM_LEN] {
    let start = before.len();
    let payload_len = u16::try_from(payload.len()).expect("a payload fits its frame");
    header.write(payload_len, before);
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(before.get(start..).unwrap_or_default());
    hasher.update(payload);
    hasher.finalize().to_be_bytes()
}
