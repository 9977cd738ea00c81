//! How long a body is (RFC 9112, section 6).

use super::Refusal;
use crate::proto::http::{BodySize, Version, read_length};

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// In chunks.
    Chunked,
    /// It ends with the connection: responses only.
    UntilClose,
}

impl Framing {
    /// The number of bytes, if it is known.
    #[must_use]
    pub const fn length(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(length) => Some(length),
            Self::Chunked | Self::UntilClose => None,
        }
    }

    /// How long the body is, whatever delimits it.
    #[must_use]
    pub const fn size(self) -> BodySize {
        match self {
            Self::None => BodySize::None,
            Self::Length(length) => BodySize::Known(length),
            Self::Chunked | Self::UntilClose => BodySize::Unknown,
        }
    }
}

/// What a head says about its body.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Declared {
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    codings: u32,
    chunked: u32,
    last_is_chunked: bool,
    has_coding_field: bool,
    has_empty: bool,
}

impl Declared {
    /// A `Content-Length` field (RFC 9112, section 6.3, rule 5). A second one is refused even when
    /// it says the same: whoever sends it is confused, or wants somebody else to be.
    pub(super) fn note_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Refusal::LengthRepeated);
        }
        self.length = Some(read_length(value).ok_or(Refusal::LengthInvalid)?);
        Ok(())
    }

    /// A `Transfer-Encoding` field.
    pub(super) fn note_codings(&mut self, value: &[u8]) {
        self.has_coding_field = true;
        for coding in value.split(|byte| *byte == b',').map(trim) {
            self.has_empty |= coding.is_empty();
            self.codings += 1;
            self.last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.chunked += u32::from(self.last_is_chunked);
        }
    }

    /// Whether the body is in chunks.
    ///
    /// # Errors
    /// What is ambiguous about it (RFC 9112, section 6.1).
    pub(super) fn is_chunked(&self, version: Version) -> Result<bool, Refusal> {
        if !self.has_coding_field {
            return Ok(false);
        }
        if self.length.is_some() {
            return Err(Refusal::LengthWithCoding);
        }
        if version == Version::Http10 {
            return Err(Refusal::CodingInHttp10);
        }
        match (self.codings, self.chunked, self.last_is_chunked) {
            _ if self.has_empty => Err(Refusal::CodingOrder),
            (1, 1, _) => Ok(true),
            (_, 0, _) | (_, 1, true) => Err(Refusal::CodingUnknown),
            (_, _, _) => Err(Refusal::CodingOrder),
        }
    }
}

/// Without the white space of HTTP around it; a vertical tab is none, and makes a coding unknown.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
