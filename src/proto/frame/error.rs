//! What a peer can do wrong, and the codes on the wire.

use super::{Command, PayloadError};

/// A code of an ERROR or GOAWAY frame. Those below 0x10 are about the connection, which then
/// closes; the others are the answer to one request, and the connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Nothing went wrong (GOAWAY only).
    None = 0x00,
    /// No version in common, or a frame of a version that was not agreed on.
    UnsupportedVersion = 0x01,
    /// The checksum does not fit the frame.
    BadChecksum = 0x02,
    /// The payload is longer than agreed.
    PayloadTooLarge = 0x03,
    /// The stream of bytes ended within a frame.
    Truncated = 0x04,
    /// A request on stream 0, or on one that was used before.
    BadStream = 0x05,
    /// An answer that nobody asked for.
    UnexpectedAnswer = 0x06,
    /// No frame came for long (GOAWAY only).
    Idle = 0x07,
    /// The server ends. As an answer: the request was not carried out.
    ShuttingDown = 0x08,
    /// DATA beyond the credit of its stream, or an invalid CREDIT.
    BadCredit = 0x09,
    /// The command is not known.
    UnknownCommand = 0x10,
    /// The command is known, but not for a request, or not now.
    WrongState = 0x11,
    /// The payload is not what the command takes.
    BadPayload = 0x12,
    /// There is nothing of that name.
    NotFound = 0x13,
    /// The answer is too large for a frame.
    AnswerTooLarge = 0x14,
    /// Too many requests wait: this one was not carried out.
    Overloaded = 0x20,
    /// No server could be reached: the request was not carried out.
    Unavailable = 0x21,
    /// The server was lost before it answered: it may have carried the request out.
    UpstreamLost = 0x22,
    /// No answer came in time: the request may have been carried out.
    Deadline = 0x23,
    /// The client reset the stream: the request may have been carried out.
    Cancelled = 0x24,
    /// The server failed at it.
    Internal = 0x2f,
}

impl Code {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::None,
        Self::UnsupportedVersion,
        Self::BadChecksum,
        Self::PayloadTooLarge,
        Self::Truncated,
        Self::BadStream,
        Self::UnexpectedAnswer,
        Self::Idle,
        Self::ShuttingDown,
        Self::BadCredit,
        Self::UnknownCommand,
        Self::WrongState,
        Self::BadPayload,
        Self::NotFound,
        Self::AnswerTooLarge,
        Self::Overloaded,
        Self::Unavailable,
        Self::UpstreamLost,
        Self::Deadline,
        Self::Cancelled,
        Self::Internal,
    ];

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The code of this number, if it is one of ours.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.number() == number)
    }

    /// Its name in the specification, the metrics and the logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::UnsupportedVersion => "unsupported_version",
            Self::BadChecksum => "bad_checksum",
            Self::PayloadTooLarge => "payload_too_large",
            Self::Truncated => "truncated",
            Self::BadStream => "bad_stream",
            Self::UnexpectedAnswer => "unexpected_answer",
            Self::Idle => "idle",
            Self::ShuttingDown => "shutting_down",
            Self::BadCredit => "bad_credit",
            Self::UnknownCommand => "unknown_command",
            Self::WrongState => "wrong_state",
            Self::BadPayload => "bad_payload",
            Self::NotFound => "not_found",
            Self::AnswerTooLarge => "answer_too_large",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::UpstreamLost => "upstream_lost",
            Self::Deadline => "deadline",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        }
    }

    /// The code's place in [`Self::ALL`], for counters.
    #[must_use]
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|code| *code == self).unwrap_or(0)
    }

    /// Whether an ERROR with this number ends the connection; unknown ones of its range do, too.
    #[must_use]
    pub const fn ends_connection(number: u16) -> bool {
        number < Self::UnknownCommand.number()
    }

    /// Whether a request that was answered so was certainly not carried out.
    #[must_use]
    pub const fn is_not_done(self) -> bool {
        matches!(self, Self::Overloaded | Self::Unavailable | Self::ShuttingDown)
    }
}

/// What the peer did that ends the connection: one variant a fact, each a section of
/// `docs/protocol.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Section 2: the first byte is no version that was agreed on.
    #[error("version {found} instead of {expected}")]
    Version {
        /// What the frame begins with.
        found: u8,
        /// What was agreed on.
        expected: u8,
    },
    /// Section 4: the peer speaks no version that we speak.
    #[error("versions {lowest} to {highest} are not spoken here, only 1 to 2")]
    NoCommonVersion {
        /// The lowest that the peer speaks.
        lowest: u8,
        /// The highest that the peer speaks.
        highest: u8,
    },
    /// Section 2: the checksum does not fit.
    #[error("checksum {found:#010x} on {command}, whose bytes give {computed:#010x}")]
    Checksum {
        /// The command that the frame seems to have.
        command: Command,
        /// What the frame ends with.
        found: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// Section 2: the payload is longer than agreed.
    #[error("a payload of {len} bytes; at most {max} were agreed on")]
    TooLarge {
        /// Its length.
        len: u16,
        /// What was agreed on.
        max: u16,
    },
    /// Section 7: the bytes ended within a frame.
    #[error("the bytes end within a frame, after {held} of it")]
    Truncated {
        /// Bytes of the frame that came.
        held: usize,
    },
    /// Section 5: a request on a stream that cannot be.
    #[error("a request on stream {stream}, after one on {last}")]
    Stream {
        /// The stream.
        stream: u32,
        /// The highest that was used.
        last: u32,
    },
    /// Section 5: a CREDIT of nothing or of too much.
    #[error("CREDIT on stream {stream}: {source}")]
    Credit {
        /// Its stream.
        stream: u32,
        /// What is wrong with it.
        source: PayloadError,
    },
    /// Section 5: DATA that its stream had no credit for.
    #[error("{len} bytes of DATA on stream {stream}, which may carry {credit} more")]
    CreditExceeded {
        /// Its stream.
        stream: u32,
        /// Bytes of its payload.
        len: usize,
        /// Bytes that the stream might carry.
        credit: u32,
    },
    /// Section 6: an answer that nobody asked for.
    #[error("{command} on stream {stream}, which answers no open request")]
    UnexpectedAnswer {
        /// What came.
        command: Command,
        /// Its stream; 0 in version 1.
        stream: u32,
    },
    /// Section 4: what should be the answer to HELLO is none.
    #[error("{command} where the answer to HELLO should be")]
    NoHello {
        /// What came.
        command: Command,
    },
    /// The peer said that the connection is over.
    #[error("the peer ended the connection: error {code:#06x}")]
    PeerError {
        /// The code of its ERROR frame.
        code: u16,
    },
}

impl FrameError {
    /// The code that tells the peer; `None` when the peer knows.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self {
            Self::Version { .. } | Self::NoCommonVersion { .. } => Some(Code::UnsupportedVersion),
            Self::Checksum { .. } => Some(Code::BadChecksum),
            Self::TooLarge { .. } => Some(Code::PayloadTooLarge),
            Self::Truncated { .. } => Some(Code::Truncated),
            Self::Stream { .. } => Some(Code::BadStream),
            Self::UnexpectedAnswer { .. } | Self::NoHello { .. } => Some(Code::UnexpectedAnswer),
            Self::Credit { .. } | Self::CreditExceeded { .. } => Some(Code::BadCredit),
            Self::PeerError { .. } => None,
        }
    }
}
