//! What is in the payloads of the protocol's own commands.

use super::{Code, Version};

/// Bytes of a HELLO's payload; more may follow in later versions, and are passed over.
pub const HELLO_LEN: usize = 12;
/// Bytes of the payload of a HELLO with [`Features::FLOW`].
pub const HELLO_FLOW_LEN: usize = 16;
/// Bytes of a CREDIT's payload.
pub const CREDIT_LEN: usize = 4;
/// The most credit that a stream may have, in bytes.
pub const CREDIT_MAX: u32 = i32::MAX.cast_unsigned();
/// Bytes of an END's payload.
pub const END_LEN: usize = 12;
/// Longest name of a GET, and longest type of a MESSAGE, in bytes.
pub const NAME_MAX: usize = 255;
/// The least that a largest payload may be: room for every payload of a fixed size.
pub const MAX_PAYLOAD_LEAST: u16 = 64;
/// Longest text of an ERROR or GOAWAY that we send, in bytes.
const TEXT_MAX: usize = 1024;
/// Bytes of a GOAWAY's payload before its text.
const GOAWAY_FIXED: usize = 10;

/// A payload that is not what its command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Too few bytes.
    #[error("the payload has {found} bytes, fewer than {least}")]
    Short {
        /// How many it has.
        found: usize,
        /// How many it must have.
        least: usize,
    },
    /// A name or type that is empty or too long.
    #[error("a name has 1 to 255 bytes")]
    NameLength,
    /// A name or type that is not UTF-8.
    #[error("a name is UTF-8 text")]
    NameText,
    /// A HELLO whose lowest version is above its highest, or 0.
    #[error("no range of versions")]
    Range,
    /// A HELLO with no window, or with too little room for a payload.
    #[error("a window of 0, or a largest payload below 64")]
    Small,
    /// More credit than a stream may have, or a CREDIT of nothing.
    #[error("credit of {0} bytes, which is 0 or above 2147483647")]
    Credit(u32),
}

/// What a peer can do, beside PING and ECHO: bits of a HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Features(pub u32);

impl Features {
    /// MESSAGE.
    pub const MESSAGE: Self = Self(1);
    /// GET.
    pub const GET: Self = Self(1 << 1);
    /// STATS.
    pub const STATS: Self = Self(1 << 2);
    /// Commands of programs.
    pub const CUSTOM: Self = Self(1 << 3);
    /// CREDIT and RESET: flow control of each stream. Only in version 2.
    pub const FLOW: Self = Self(1 << 4);
    /// Every kind of request, without flow control.
    pub const REQUESTS: Self = Self(0xf);
    /// All that we know.
    pub const ALL: Self = Self(0x1f);

    /// What both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What this has and `other` has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Versions, limits and features: offered by a client, chosen by a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The lowest version that the sender speaks.
    pub lowest: u8,
    /// The highest version that the sender speaks.
    pub highest: u8,
    /// In an answer: the version of all frames that follow; 0 when there is none in common. In an
    /// offer: 0.
    pub chosen: u8,
    /// Requests that may be open on the connection.
    pub window: u16,
    /// The largest payload of a frame.
    pub max_payload: u16,
    /// What can be asked.
    pub features: Features,
    /// With [`Features::FLOW`]: bytes of DATA that each stream may carry before the client gives
    /// it more credit. 0 without.
    pub credit: u32,
}

impl Hello {
    /// Reads a HELLO's payload.
    ///
    /// # Errors
    /// What it must not be.
    pub fn parse(payload: &[u8]) -> Result<Self, PayloadError> {
        let Some([lowest, highest, chosen, _, w1, w0, p1, p0, f3, f2, f1, f0]) =
            payload.first_chunk::<HELLO_LEN>().copied()
        else {
            return Err(PayloadError::Short { found: payload.len(), least: HELLO_LEN });
        };
        let hello = Self {
            lowest,
            highest,
            chosen,
            window: u16::from_be_bytes([w1, w0]),
            max_payload: u16::from_be_bytes([p1, p0]),
            features: Features(u32::from_be_bytes([f3, f2, f1, f0])),
            credit: 0,
        };
        if lowest == 0 || lowest > highest {
            return Err(PayloadError::Range);
        }
        if hello.window == 0 || hello.max_payload < MAX_PAYLOAD_LEAST {
            return Err(PayloadError::Small);
        }
        if !hello.features.has(Features::FLOW) {
            return Ok(hello);
        }
        let Some(credit) = payload.get(HELLO_LEN..).and_then(<[u8]>::first_chunk::<4>) else {
            return Err(PayloadError::Short { found: payload.len(), least: HELLO_FLOW_LEN });
        };
        let credit = u32::from_be_bytes(*credit);
        if credit > CREDIT_MAX {
            return Err(PayloadError::Credit(credit));
        }
        Ok(Self { credit, ..hello })
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let [w1, w0] = self.window.to_be_bytes();
        let [p1, p0] = self.max_payload.to_be_bytes();
        let [f3, f2, f1, f0] = self.features.0.to_be_bytes();
        let (lowest, highest, chosen) = (self.lowest, self.highest, self.chosen);
        let mut bytes = vec![lowest, highest, chosen, 0, w1, w0, p1, p0, f3, f2, f1, f0];
        if self.features.has(Features::FLOW) {
            bytes.extend_from_slice(&self.credit.to_be_bytes());
        }
        bytes
    }

    /// The highest version that both the sender and we speak.
    #[must_use]
    pub fn common_version(&self) -> Option<Version> {
        let highest = self.highest.min(Version::HIGHEST.number());
        Version::from_number(highest).filter(|version| version.number() >= self.lowest)
    }
}

/// Reads a CREDIT's payload: bytes that the stream may carry beyond those allowed before.
///
/// # Errors
/// When it is too short, 0, or more than a stream may have.
pub fn parse_credit(payload: &[u8]) -> Result<u32, PayloadError> {
    let Some(bytes) = payload.first_chunk::<CREDIT_LEN>() else {
        return Err(PayloadError::Short { found: payload.len(), least: CREDIT_LEN });
    };
    match u32::from_be_bytes(*bytes) {
        credit @ 1..=CREDIT_MAX => Ok(credit),
        credit => Err(PayloadError::Credit(credit)),
    }
}

/// The end of an answer that came in DATA frames: what the receiver holds its sum against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Bytes in all DATA payloads.
    pub total: u64,
    /// CRC-32 over all DATA payloads.
    pub checksum: u32,
}

impl End {
    /// Reads an END's payload.
    ///
    /// # Errors
    /// When it is too short.
    pub fn parse(payload: &[u8]) -> Result<Self, PayloadError> {
        let Some([a, b, c, d, e, f, g, h, c3, c2, c1, c0]) = payload.first_chunk::<END_LEN>()
        else {
            return Err(PayloadError::Short { found: payload.len(), least: END_LEN });
        };
        Ok(Self {
            total: u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            checksum: u32::from_be_bytes([*c3, *c2, *c1, *c0]),
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; END_LEN] {
        let [a, b, c, d, e, f, g, h] = self.total.to_be_bytes();
        let [c3, c2, c1, c0] = self.checksum.to_be_bytes();
        [a, b, c, d, e, f, g, h, c3, c2, c1, c0]
    }
}

/// The sender takes no new request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoAway<'a> {
    /// The last request that will be answered: its stream, or in version 1 its number, counted
    /// from 1. Later ones were not carried out.
    pub last: u64,
    /// Why.
    pub code: u16,
    /// Why, for people.
    pub text: std::borrow::Cow<'a, str>,
}

impl<'a> GoAway<'a> {
    /// Reads a GOAWAY's payload.
    ///
    /// # Errors
    /// When it is too short.
    pub fn parse(payload: &'a [u8]) -> Result<Self, PayloadError> {
        let Some((fixed, text)) = payload.split_first_chunk::<GOAWAY_FIXED>() else {
            return Err(PayloadError::Short { found: payload.len(), least: GOAWAY_FIXED });
        };
        let [a, b, c, d, e, f, g, h, c1, c0] = *fixed;
        Ok(Self {
            last: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            code: u16::from_be_bytes([c1, c0]),
            text: String::from_utf8_lossy(text),
        })
    }

    /// Writes its payload, of at most `max` bytes.
    pub fn write(last: u64, code: Code, text: &str, max: u16, out: &mut Vec<u8>) {
        out.extend_from_slice(&last.to_be_bytes());
        out.extend_from_slice(&code.number().to_be_bytes());
        let room = usize::from(max).saturating_sub(GOAWAY_FIXED);
        out.extend_from_slice(shortened(text, room).as_bytes());
    }
}

/// Reads an ERROR's payload: the code, and a text for people.
///
/// # Errors
/// When it is too short.
pub fn parse_error(payload: &[u8]) -> Result<(u16, std::borrow::Cow<'_, str>), PayloadError> {
    match payload.split_first_chunk::<2>() {
        Some((code, text)) => Ok((u16::from_be_bytes(*code), String::from_utf8_lossy(text))),
        None => Err(PayloadError::Short { found: payload.len(), least: 2 }),
    }
}

/// Writes an ERROR's payload, of at most `max` bytes.
pub fn write_error_payload(code: Code, text: &str, max: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&code.number().to_be_bytes());
    let room = usize::from(max).saturating_sub(2);
    out.extend_from_slice(shortened(text, room).as_bytes());
}

/// Reads a MESSAGE's payload: its type, and what it carries.
///
/// # Errors
/// When the type is no name, or the payload ends within it.
pub fn parse_message(payload: &[u8]) -> Result<(&str, &[u8]), PayloadError> {
    let Some((&len, rest)) = payload.split_first() else {
        return Err(PayloadError::Short { found: 0, least: 2 });
    };
    let len = usize::from(len);
    let Some((kind, rest)) = rest.split_at_checked(len) else {
        return Err(PayloadError::Short { found: payload.len(), least: 1 + len });
    };
    parse_name(kind).map(|kind| (kind, rest))
}

/// Writes what stands before the carried bytes in a MESSAGE's payload; nothing, when the type is
/// no name.
pub fn write_message_head(kind: &str, out: &mut Vec<u8>) {
    if let (Ok(len), false) = (u8::try_from(kind.len()), kind.is_empty()) {
        out.push(len);
        out.extend_from_slice(kind.as_bytes());
    }
}

/// A MESSAGE's payload.
#[must_use]
pub fn message(kind: &str, carried: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(1 + kind.len() + carried.len());
    write_message_head(kind, &mut payload);
    payload.extend_from_slice(carried);
    payload
}

/// Reads a GET's payload, a name.
///
/// # Errors
/// When it is none.
pub fn parse_name(payload: &[u8]) -> Result<&str, PayloadError> {
    if payload.is_empty() || payload.len() > NAME_MAX {
        return Err(PayloadError::NameLength);
    }
    std::str::from_utf8(payload).map_err(|_| PayloadError::NameText)
}

/// As much of a text as a payload takes.
fn shortened(text: &str, room: usize) -> &str {
    let mut end = text.len().min(TEXT_MAX).min(room);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
