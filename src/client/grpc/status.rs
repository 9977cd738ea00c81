//! How a call has ended.

use std::fmt;

use percent_encoding::percent_decode;

use super::Metadata;
use crate::proto::http::Fields;
use crate::service::grpc::{self, Code, DETAILS, decode_binary};

/// The status of a call, and what the server says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallStatus {
    /// The status.
    pub code: Code,
    /// What is said of it, for people.
    pub message: String,
    /// Details, for programs: a `google.rpc.Status`, most often; empty if there are none.
    pub details: Vec<u8>,
    /// What came behind the messages.
    pub metadata: Metadata,
}

impl CallStatus {
    /// A status of our own making.
    pub(super) fn local(code: Code, message: impl Into<String>) -> Self {
        let (details, metadata) = (Vec::new(), Metadata::default());
        Self { code, message: message.into(), details, metadata }
    }

    /// What fields say, if they say a status.
    pub(super) fn of_fields(fields: &Fields) -> Option<Self> {
        let code = grpc::status_of(fields)?;
        let message = fields.get_named(grpc::MESSAGE).map(text_of).unwrap_or_default();
        let details = fields.get_named(DETAILS).and_then(decode_binary).unwrap_or_default();
        Some(Self { code, message, details, metadata: Metadata::of_fields(fields) })
    }
}

impl fmt::Display for CallStatus {
    /// As `status NOT_FOUND (5): no such note`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {} ({})", self.code.name().to_uppercase(), self.code.number())?;
        if self.message.is_empty() {
            return Ok(());
        }
        f.write_str(": ")?;
        // What a server says does not begin a line of its own.
        self.message.chars().try_for_each(|character| match character.is_control() {
            true => write!(f, "{}", character.escape_default()),
            false => write!(f, "{character}"),
        })
    }
}

/// The text of `grpc-message`. What is no escape stands for itself.
fn text_of(value: &[u8]) -> String {
    percent_decode(value).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_decoded() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("100%25", "100%"),
            ("gr%C3%BCn", "gr\u{fc}n"),
            ("%", "%"),
            ("%4", "%4"),
            ("%+1x", "%+1x"),
            ("%zz", "%zz"),
            ("%ff", "\u{fffd}"),
        ] {
            assert_eq!(text_of(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_status_is_read_from_fields_and_told() {
        let mut fields = Fields::default();
        assert_eq!(CallStatus::of_fields(&fields), None);
        fields.push(b"grpc-status", b"5");
        let status = CallStatus::of_fields(&fields).unwrap();
        assert_eq!(status.to_string(), "status NOT_FOUND (5)");
        fields.push(b"grpc-message", b"no%0Anote");
        fields.push(DETAILS, b"AAE");
        fields.push(b"x", b"y");
        let status = CallStatus::of_fields(&fields).unwrap();
        assert_eq!(status.to_string(), "status NOT_FOUND (5): no\\nnote");
        assert_eq!((status.message.as_str(), &*status.details), ("no\nnote", &[0, 1][..]));
        assert_eq!((status.metadata.get("x"), status.metadata.len()), (Some("y"), 1));
    }
}
