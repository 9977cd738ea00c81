//! What may be wrong with a message. Each is an answer; the connection goes on.

use thiserror::Error;

/// Characters of what a client sent that are told back to it.
const EXCERPT_CHARS: usize = 64;

/// What is wrong with a message. The text says it to a person, [`MessageError::code`] to a
/// program.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MessageError {
    /// The line is not JSON, or not UTF-8. Where and why.
    #[error("{0}")]
    BadJson(String),
    /// The line is JSON, but no object.
    #[error("a message is a JSON object")]
    NotAnObject,
    /// There is no member `type`.
    #[error("the member \"type\" is missing")]
    MissingType,
    /// The type is none. What it should be.
    #[error("{0}")]
    BadType(&'static str),
    /// The payload is not base64, or not what this type needs. Why.
    #[error("{0}")]
    BadPayload(String),
    /// The id is none. What it should be.
    #[error("{0}")]
    BadId(&'static str),
    /// A member that messages do not have. Its name.
    #[error("unknown member \"{0}\"; there are \"type\", \"payload\" and \"id\"")]
    UnknownMember(String),
    /// Nobody answers this type. Its name.
    #[error("unknown type \"{0}\"")]
    UnknownType(String),
    /// The line is longer than so many bytes.
    #[error("the line is longer than {0} bytes; it was discarded")]
    LineTooLong(usize),
    /// The connection's last line has no end.
    #[error("the last line does not end with a line feed; it was discarded")]
    UnfinishedLine,
    /// Who answers this type cannot do so now. Why.
    #[error("{0}")]
    Unavailable(String),
    /// Who answers this type failed. Why.
    #[error("{0}")]
    Internal(String),
}

impl MessageError {
    /// Every code, in the order of [`MessageError::index`].
    pub const CODES: [&'static str; 12] = [
        "bad_json",
        "not_an_object",
        "missing_type",
        "bad_type",
        "bad_payload",
        "bad_id",
        "unknown_member",
        "unknown_type",
        "line_too_long",
        "unfinished_line",
        "unavailable",
        "internal",
    ];

    /// The code's place in [`MessageError::CODES`].
    #[must_use]
    pub const fn index(&self) -> usize {
        match self {
            Self::BadJson(_) => 0,
            Self::NotAnObject => 1,
            Self::MissingType => 2,
            Self::BadType(_) => 3,
            Self::BadPayload(_) => 4,
            Self::BadId(_) => 5,
            Self::UnknownMember(_) => 6,
            Self::UnknownType(_) => 7,
            Self::LineTooLong(_) => 8,
            Self::UnfinishedLine => 9,
            Self::Unavailable(_) => 10,
            Self::Internal(_) => 11,
        }
    }

    /// What programs, and the metrics, know the error by.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        Self::CODES[self.index()]
    }
}

/// The beginning of what a client sent, to be told back to it.
pub(super) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_code_of_its_own() {
        let text = String::new;
        let all = [
            MessageError::BadJson(text()),
            MessageError::NotAnObject,
            MessageError::MissingType,
            MessageError::BadType(""),
            MessageError::BadPayload(text()),
            MessageError::BadId(""),
            MessageError::UnknownMember(text()),
            MessageError::UnknownType(text()),
            MessageError::LineTooLong(1),
            MessageError::UnfinishedLine,
            MessageError::Unavailable(text()),
            MessageError::Internal(text()),
        ];
        let codes: Vec<&str> = all.iter().map(MessageError::code).collect();
        assert_eq!(codes, MessageError::CODES);
    }

    #[test]
    fn what_is_told_back_is_short() {
        assert_eq!(excerpt("short"), "short");
        assert_eq!(excerpt(&"\u{e9}".repeat(64)), "\u{e9}".repeat(64));
        assert_eq!(excerpt(&"\u{e9}".repeat(65)), format!("{}...", "\u{e9}".repeat(64)));
    }
}
