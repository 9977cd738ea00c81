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

    /// A name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BareLineFeed => "bare_line_feed",
            Self::EmptyLines => "empty_lines",
            Self::RequestLine => "request_line",
            Self::StatusLine => "status_line",
            Self::Version => "version",
            Self::VersionUnsupported => "version_unsupported",
            Self::TargetForm => "target_form",
            Self::Target(_) => "target",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::TooManyFields => "too_many_fields",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::Host(_) => "host",
            Self::LengthInvalid => "length_invalid",
            Self::LengthRepeated => "length_repeated",
            Self::LengthWithCoding => "length_with_coding",
            Self::CodingInHttp10 => "coding_in_http10",
            Self::CodingUnknown => "coding_unknown",
            Self::CodingOrder => "coding_order",
            Self::Expectation => "expectation",
            Self::BodyTooLarge => "body_too_large",
            Self::ChunkSize => "chunk_size",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkEnd => "chunk_end",
            Self::Trailers => "trailers",
        }
    }
}
