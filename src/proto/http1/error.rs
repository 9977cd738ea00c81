//! Why a message is refused: one name for each fact.

use crate::proto::http::target::TargetError;

/// A rule that a message breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A line ends with LF alone (RFC 9112, section 2.2).
    BareLineFeed,
    /// More empty lines before a request than are skipped (RFC 9112, section 2.2).
    EmptyLines,
    /// No request line (RFC 9112, section 3).
    RequestLine,
    /// No status line (RFC 9112, section 4).
    StatusLine,
    /// No version (RFC 9112, section 2.3).
    Version,
    /// A version that is not spoken (RFC 9110, section 15.6.6).
    VersionUnsupported,
    /// A target of a form that does not go with the method (RFC 9112, section 3.2).
    TargetForm,
    /// A target with something wrong in it (RFC 3986).
    Target(TargetError),
    /// A target beyond the limit (RFC 9110, section 15.5.15).
    TargetTooLong,
    /// A head beyond the limit (RFC 6585, section 5).
    HeadTooLarge,
    /// More fields than the limit (RFC 6585, section 5).
    TooManyFields,
    /// A name of a field that is none: white space, a control character, a fold (RFC 9112,
    /// sections 5.1 and 5.2).
    FieldName,
    /// A value with a control character (RFC 9110, section 5.5).
    FieldValue,
    /// HTTP/1.1 without `Host` (RFC 9112, section 3.2).
    HostMissing,
    /// More than one `Host` (RFC 9112, section 3.2).
    HostRepeated,
    /// A `Host` that is none (RFC 9112, section 3.2).
    Host(TargetError),
    /// A `Content-Length` that is no number (RFC 9112, section 6.3).
    LengthInvalid,
    /// More than one `Content-Length` (RFC 9112, section 6.3).
    LengthRepeated,
    /// `Content-Length` beside `Transfer-Encoding` (RFC 9112, section 6.1).
    LengthWithCoding,
    /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112, section 6.1).
    CodingInHttp10,
    /// A transfer coding that is not `chunked` (RFC 9112, section 6.1).
    CodingUnknown,
    /// `chunked` that is repeated or not the last coding (RFC 9112, section 6.1).
    CodingOrder,
    /// `Expect` of something else than `100-continue` (RFC 9110, section 10.1.1).
    Expectation,
    /// A body beyond the limit (RFC 9110, section 15.5.14).
    BodyTooLarge,
    /// The size of a chunk is no hexadecimal number (RFC 9112, section 7.1).
    ChunkSize,
    /// A chunk's extensions are too long or have a control character (RFC 9112, section 7.1.1).
    ChunkExtension,
    /// A chunk does not end where its size says (RFC 9112, section 7.1).
    ChunkEnd,
    /// Trailers that are no fields, or too many (RFC 9112, section 7.1.2).
    Trailers,
}

impl Refusal {
    /// The status of the answer to a request.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::CodingUnknown => 501,
            Self::VersionUnsupported => 505,
            Self::BareLineFeed
            | Self::EmptyLines
            | Self::RequestLine
            | Self::StatusLine
            | Self::Version
            | Self::TargetForm
            | Self::Target(_)
            | Self::FieldName
            | Self::FieldValue
            | Self::HostMissing
            | Self::HostRepeated
            | Self::Host(_)
            | Self::LengthInvalid
            | Self::LengthRepeated
            | Self::LengthWithCoding
            | Self::CodingInHttp10
            | Self::CodingOrder
            | Self::ChunkSize
            | Self::ChunkExtension
            | Self::ChunkEnd
            | Self::Trailers => 400,
        }
    }

    /// The names of all rules.
    pub const NAMES: [&'static str; 28] = [
        "bare_line_feed",
        "empty_lines",
        "request_line",
        "status_line",
        "version",
        "version_unsupported",
        "target_form",
        "target",
        "target_too_long",
        "head_too_large",
        "too_many_fields",
        "field_name",
        "field_value",
        "host_missing",
        "host_repeated",
        "host",
        "length_invalid",
        "length_repeated",
        "length_with_coding",
        "coding_in_http10",
        "coding_unknown",
        "coding_order",
        "expectation",
        "body_too_large",
        "chunk_size",
        "chunk_extension",
        "chunk_end",
        "trailers",
    ];

    /// The rule's place among [`Self::NAMES`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::BareLineFeed => 0,
            Self::EmptyLines => 1,
            Self::RequestLine => 2,
            Self::StatusLine => 3,
            Self::Version => 4,
            Self::VersionUnsupported => 5,
            Self::TargetForm => 6,
            Self::Target(_) => 7,
            Self::TargetTooLong => 8,
            Self::HeadTooLarge => 9,
            Self::TooManyFields => 10,
            Self::FieldName => 11,
            Self::FieldValue => 12,
            Self::HostMissing => 13,
            Self::HostRepeated => 14,
            Self::Host(_) => 15,
            Self::LengthInvalid => 16,
            Self::LengthRepeated => 17,
            Self::LengthWithCoding => 18,
            Self::CodingInHttp10 => 19,
            Self::CodingUnknown => 20,
            Self::CodingOrder => 21,
            Self::Expectation => 22,
            Self::BodyTooLarge => 23,
            Self::ChunkSize => 24,
            Self::ChunkExtension => 25,
            Self::ChunkEnd => 26,
            Self::Trailers => 27,
        }
    }

    /// A name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.index()]
    }
}
