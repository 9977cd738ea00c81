//! What is wrong with what a peer sent, and what it is told of that.

use super::hpack::HpackError;

/// The codes of RST_STREAM and GOAWAY (RFC 9113, section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0x0);
    /// A rule was broken that has no code of its own.
    pub const PROTOCOL_ERROR: Self = Self(0x1);
    /// A fault of the sender of this code.
    pub const INTERNAL_ERROR: Self = Self(0x2);
    /// More was sent than the window allowed.
    pub const FLOW_CONTROL_ERROR: Self = Self(0x3);
    /// The settings were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(0x4);
    /// A frame came on a stream that its sender had ended.
    pub const STREAM_CLOSED: Self = Self(0x5);
    /// A frame had a size that its kind does not have.
    pub const FRAME_SIZE_ERROR: Self = Self(0x6);
    /// Nothing was done for the stream: it may be tried again.
    pub const REFUSED_STREAM: Self = Self(0x7);
    /// The stream is not wanted any more.
    pub const CANCEL: Self = Self(0x8);
    /// The tables of header compression are lost.
    pub const COMPRESSION_ERROR: Self = Self(0x9);
    /// The connection of a CONNECT request was reset.
    pub const CONNECT_ERROR: Self = Self(0xa);
    /// The peer does too much of something.
    pub const ENHANCE_YOUR_CALM: Self = Self(0xb);
    /// TLS is not good enough.
    pub const INADEQUATE_SECURITY: Self = Self(0xc);
    /// HTTP/1.1 is to be used.
    pub const HTTP_1_1_REQUIRED: Self = Self(0xd);

    /// A name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x0 => "no_error",
            0x1 => "protocol_error",
            0x2 => "internal_error",
            0x3 => "flow_control_error",
            0x4 => "settings_timeout",
            0x5 => "stream_closed",
            0x6 => "frame_size_error",
            0x7 => "refused_stream",
            0x8 => "cancel",
            0x9 => "compression_error",
            0xa => "connect_error",
            0xb => "enhance_your_calm",
            0xc => "inadequate_security",
            0xd => "http_1_1_required",
            _ => "unknown",
        }
    }
}

/// A rule of HTTP/2 that a peer broke, or a limit that it exceeded. Sections are those of RFC 9113
/// where no other RFC is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// The connection does not begin as one of HTTP/2 (3.4).
    Preface,
    /// The first frame is no SETTINGS (3.4).
    SettingsMissing,
    /// A frame is larger than was allowed (4.2).
    FrameTooLarge,
    /// A frame has not the size of its kind (6.3, 6.4, 6.5, 6.7, 6.8, 6.9).
    FrameSize,
    /// A frame of streams is on none, or one of connections is on a stream (6.1 to 6.9).
    FrameStream,
    /// Padding is longer than its frame (6.1, 6.2).
    Padding,
    /// Something comes between the parts of a field block (6.2).
    BlockInterrupted,
    /// A part of a field block that none has begun (6.10).
    ContinuationUnexpected,
    /// A field block cannot be decoded (4.3).
    Compression(HpackError),
    /// A setting has a value that it cannot have (6.5.2; RFC 8441, section 3).
    SettingValue,
    /// PUSH_PROMISE, although push is disabled (8.4).
    PushPromise,
    /// A stream has the number of the other side (5.1.1).
    StreamParity,
    /// A stream was begun that is not the next (5.1.1).
    StreamReused,
    /// A frame is on a stream that has not begun (5.1).
    StreamIdle,
    /// A frame follows the end of its stream (5.1).
    StreamEnded,
    /// A window grows by nothing (6.9).
    WindowIncrement,
    /// A window grows beyond 2^31 - 1 bytes (6.9.1).
    WindowOverflow,
    /// More was sent than the window allowed (6.9).
    WindowExceeded,
    /// More than the limit of CONTINUATION frames (10.5).
    ContinuationFlood,
    /// More than the limit of resets (10.5).
    ResetFlood,
    /// We had to reset more streams than the limit (10.5).
    ForcedResetFlood,
    /// More than the limit of frames that need an answer, or say nothing (10.5).
    ControlFlood,
    /// More than the limit of DATA frames that carry nothing (10.5).
    EmptyFlood,
    /// A name has a byte that no name has, or is not in lower case (8.2.1).
    FieldName,
    /// A value has a byte that no value has (8.2.1).
    FieldValue,
    /// A field is about the connection (8.2.2).
    ConnectionField,
    /// A pseudo-header field that there is none of, or that does not belong there (8.3).
    PseudoUnknown,
    /// A pseudo-header field is repeated (8.3).
    PseudoRepeated,
    /// A pseudo-header field comes behind a field (8.3).
    PseudoMisplaced,
    /// A pseudo-header field is missing (8.3.1, 8.3.2).
    PseudoMissing,
    /// The value of a pseudo-header field is none (8.3.1, 8.3.2).
    PseudoValue,
    /// The host differs from the authority (8.3.1).
    HostDiffers,
    /// `content-length` is no number, or repeated (8.1.1).
    LengthInvalid,
    /// The body has another length than was said (8.1.1).
    LengthDiffers,
    /// Trailers do not end their stream (8.1).
    TrailersUnended,
    /// The head of an answer is larger than is taken.
    HeadTooLarge,
    /// There are more interim answers than are taken.
    InterimFlood,
    /// A part of an answer's body comes before its head (8.1).
    BodyBeforeHead,
}

impl Violation {
    /// Names of all of them, for metrics.
    pub const NAMES: [&'static str; 38] = [
        "preface",
        "settings_missing",
        "frame_too_large",
        "frame_size",
        "frame_stream",
        "padding",
        "block_interrupted",
        "continuation_unexpected",
        "compression",
        "setting_value",
        "push_promise",
        "stream_parity",
        "stream_reused",
        "stream_idle",
        "stream_ended",
        "window_increment",
        "window_overflow",
        "window_exceeded",
        "continuation_flood",
        "reset_flood",
        "forced_reset_flood",
        "control_flood",
        "empty_flood",
        "h2_field_name",
        "h2_field_value",
        "connection_field",
        "pseudo_unknown",
        "pseudo_repeated",
        "pseudo_misplaced",
        "pseudo_missing",
        "pseudo_value",
        "host_differs",
        "h2_length_invalid",
        "length_differs",
        "trailers_unended",
        "h2_head_too_large",
        "interim_flood",
        "body_before_head",
    ];

    /// Its place among [`Self::NAMES`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Preface => 0,
            Self::SettingsMissing => 1,
            Self::FrameTooLarge => 2,
            Self::FrameSize => 3,
            Self::FrameStream => 4,
            Self::Padding => 5,
            Self::BlockInterrupted => 6,
            Self::ContinuationUnexpected => 7,
            Self::Compression(_) => 8,
            Self::SettingValue => 9,
            Self::PushPromise => 10,
            Self::StreamParity => 11,
            Self::StreamReused => 12,
            Self::StreamIdle => 13,
            Self::StreamEnded => 14,
            Self::WindowIncrement => 15,
            Self::WindowOverflow => 16,
            Self::WindowExceeded => 17,
            Self::ContinuationFlood => 18,
            Self::ResetFlood => 19,
            Self::ForcedResetFlood => 20,
            Self::ControlFlood => 21,
            Self::EmptyFlood => 22,
            Self::FieldName => 23,
            Self::FieldValue => 24,
            Self::ConnectionField => 25,
            Self::PseudoUnknown => 26,
            Self::PseudoRepeated => 27,
            Self::PseudoMisplaced => 28,
            Self::PseudoMissing => 29,
            Self::PseudoValue => 30,
            Self::HostDiffers => 31,
            Self::LengthInvalid => 32,
            Self::LengthDiffers => 33,
            Self::TrailersUnended => 34,
            Self::HeadTooLarge => 35,
            Self::InterimFlood => 36,
            Self::BodyBeforeHead => 37,
        }
    }

    /// A name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// What the peer is told.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::FrameTooLarge | Self::FrameSize => ErrorCode::FRAME_SIZE_ERROR,
            Self::Compression(_) => ErrorCode::COMPRESSION_ERROR,
            Self::WindowOverflow | Self::WindowExceeded => ErrorCode::FLOW_CONTROL_ERROR,
            Self::StreamEnded => ErrorCode::STREAM_CLOSED,
            Self::ContinuationFlood
            | Self::ResetFlood
            | Self::ForcedResetFlood
            | Self::ControlFlood
            | Self::EmptyFlood
            | Self::InterimFlood => ErrorCode::ENHANCE_YOUR_CALM,
            Self::Preface
            | Self::SettingsMissing
            | Self::FrameStream
            | Self::Padding
            | Self::BlockInterrupted
            | Self::ContinuationUnexpected
            | Self::SettingValue
            | Self::PushPromise
            | Self::StreamParity
            | Self::StreamReused
            | Self::StreamIdle
            | Self::WindowIncrement
            | Self::FieldName
            | Self::FieldValue
            | Self::ConnectionField
            | Self::PseudoUnknown
            | Self::PseudoRepeated
            | Self::PseudoMisplaced
            | Self::PseudoMissing
            | Self::PseudoValue
            | Self::HostDiffers
            | Self::LengthInvalid
            | Self::LengthDiffers
            | Self::TrailersUnended
            | Self::HeadTooLarge
            | Self::BodyBeforeHead => ErrorCode::PROTOCOL_ERROR,
        }
    }
}
