//! Close codes, and what a peer can do wrong.

use std::fmt;

/// Why a connection is closed, on the wire (RFC 6455, section 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// What the connection was for is done.
    pub const NORMAL: Self = Self(1000);
    /// An end goes away: a server that ends, a page that is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer has broken the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// Data of a kind that is not taken, such as binary where only text is.
    pub const UNSUPPORTED: Self = Self(1003);
    /// The peer's close frame had no code. Never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// There was no close frame. Never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// A message that is not what its kind says: text that is no UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// A message breaks a rule of the endpoint.
    pub const POLICY: Self = Self(1008);
    /// A message is longer than is taken.
    pub const TOO_BIG: Self = Self(1009);
    /// The server cannot go on.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts: its client may come again.
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded: its client may come again later.
    pub const TRY_AGAIN: Self = Self(1013);
    /// The server cannot reach the one behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether it may stand in a close frame (RFC 6455, section 7.4; the registry of IANA).
    #[must_use]
    pub const fn is_valid(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// How metrics tell codes apart: those of the protocol each by itself, those of libraries and
    /// those of applications together.
    pub const CLASSES: [&'static str; 17] = [
        "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011",
        "1012", "1013", "1014", "3xxx", "4xxx", "other",
    ];

    /// Its place among [`CloseCode::CLASSES`].
    #[must_use]
    pub const fn class(self) -> usize {
        match self.0 {
            // There is no 1004.
            1000..=1003 => (self.0 - 1000) as usize,
            1005..=1014 => (self.0 - 1001) as usize,
            3000..=3999 => 14,
            4000..=4999 => 15,
            _ => 16,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A rule that a peer has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// RFC 6455, section 5.2: a reserved bit without an extension that gives it a meaning.
    #[error("a reserved bit is set")]
    ReservedBit,
    /// RFC 7692, section 6: RSV1 on a control frame, or on a fragment that is not the first.
    #[error("a frame that is not the first of a message is marked as compressed")]
    CompressedFragment,
    /// RFC 6455, section 5.2: an opcode without a meaning.
    #[error("the opcode is reserved")]
    ReservedOpcode,
    /// RFC 6455, section 5.1: a client masks its frames.
    #[error("a client's frame is not masked")]
    Unmasked,
    /// RFC 6455, section 5.1: a server does not.
    #[error("a server's frame is masked")]
    Masked,
    /// RFC 6455, section 5.2: the shortest form of a length is to be used, and its first bit is 0.
    #[error("a length is not in its shortest form")]
    Length,
    /// RFC 6455, section 5.5: a control frame is not fragmented.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// RFC 6455, section 5.5: a control frame has at most 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    LongControl,
    /// RFC 6455, section 5.4: a fragment that continues nothing.
    #[error("a continuation frame without a message that it continues")]
    NoMessage,
    /// RFC 6455, section 5.4: a message within another.
    #[error("a message begins within another")]
    MessageWithin,
    /// RFC 6455, section 5.5.1: a close frame with one byte.
    #[error("a close frame has one byte")]
    CloseLength,
    /// RFC 6455, section 7.4: a code that may not be sent.
    #[error("a close frame has a code that may not be sent")]
    CloseCode,
    /// RFC 6455, section 8.1: text is UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// RFC 6455, section 8.1: so is the reason of a close frame.
    #[error("the reason of a close frame is not UTF-8")]
    CloseReason,
    /// RFC 7692, section 7.2.2: what is compressed cannot be inflated.
    #[error("a compressed message is corrupt")]
    Deflate,
    /// A frame is longer than the limit.
    #[error("a frame is longer than the limit")]
    FrameTooBig,
    /// A message is longer than the limit, when it is inflated.
    #[error("a message is longer than the limit")]
    MessageTooBig,
    /// More messages have come than the rate allows.
    #[error("messages come faster than the limit")]
    Rate,
}

impl Violation {
    /// Every rule, in order.
    pub const ALL: [Self; 18] = [
        Self::ReservedBit,
        Self::CompressedFragment,
        Self::ReservedOpcode,
        Self::Unmasked,
        Self::Masked,
        Self::Length,
        Self::FragmentedControl,
        Self::LongControl,
        Self::NoMessage,
        Self::MessageWithin,
        Self::CloseLength,
        Self::CloseCode,
        Self::Utf8,
        Self::CloseReason,
        Self::Deflate,
        Self::FrameTooBig,
        Self::MessageTooBig,
        Self::Rate,
    ];

    /// Its place in [`Violation::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReservedBit => "reserved_bit",
            Self::CompressedFragment => "compressed_fragment",
            Self::ReservedOpcode => "reserved_opcode",
            Self::Unmasked => "unmasked",
            Self::Masked => "masked",
            Self::Length => "length",
            Self::FragmentedControl => "fragmented_control",
            Self::LongControl => "long_control",
            Self::NoMessage => "no_message",
            Self::MessageWithin => "message_within",
            Self::CloseLength => "close_length",
            Self::CloseCode => "close_code",
            Self::Utf8 => "utf8",
            Self::CloseReason => "close_reason",
            Self::Deflate => "deflate",
            Self::FrameTooBig => "frame_too_big",
            Self::MessageTooBig => "message_too_big",
            Self::Rate => "rate",
        }
    }

    /// The code that the connection is closed with.
    #[must_use]
    pub const fn code(self) -> CloseCode {
        match self {
            Self::ReservedBit
            | Self::CompressedFragment
            | Self::ReservedOpcode
            | Self::Unmasked
            | Self::Masked
            | Self::Length
            | Self::FragmentedControl
            | Self::LongControl
            | Self::NoMessage
            | Self::MessageWithin
            | Self::CloseLength
            | Self::CloseCode => CloseCode::PROTOCOL_ERROR,
            Self::Utf8 | Self::CloseReason | Self::Deflate => CloseCode::INVALID_DATA,
            Self::FrameTooBig | Self::MessageTooBig => CloseCode::TOO_BIG,
            Self::Rate => CloseCode::POLICY,
        }
    }
}
