//! Why a record, or what is in it, is refused.

use std::fmt;

use rustls::Error;

/// A rule that the peer breaks, or a limit that is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordError {
    /// It cannot be decrypted: changed, repeated, out of order, or of another key (RFC 8446,
    /// section 5.2).
    Decrypt,
    /// It is too long (RFC 8446, sections 5.1 and 5.2).
    TooLong,
    /// It is of a type that may not come here (RFC 8446, section 5).
    Type(u8),
    /// It is of another version (RFC 8446, section 5.1).
    Version,
    /// An alert or a handshake record without a byte (RFC 8446, section 5.1).
    Empty,
    /// It has no type but padding (RFC 8446, section 5.4).
    Padding,
    /// An alert that is none (RFC 8446, section 6).
    AlertLength,
    /// The peer gave up, with this code (RFC 8446, section 6.2).
    Alert(u8),
    /// More warnings than make sense.
    Warnings,
    /// A message of the handshake that may not come here (RFC 8446, section 4.6).
    Message(u8),
    /// A message of the handshake beyond the limit.
    MessageTooLarge,
    /// A message that is cut by another type of record, or a key update that is not the last of
    /// its record (RFC 8446, section 5.1).
    MessageBoundary,
    /// A key update that is none (RFC 8446, section 4.6.3).
    KeyUpdate,
    /// More key updates without data than make sense.
    KeyUpdates,
    /// A new handshake within a connection (RFC 5246, section 7.4.1.1).
    Renegotiation,
    /// A session's ticket that cannot be read, or a key that cannot be made.
    Rustls(Error),
    /// The numbers of records are used up (RFC 8446, section 5.3).
    Sequence,
    /// The key has encrypted what it may (RFC 8446, section 5.5).
    KeyUsedUp,
    /// The key cannot be used.
    Key,
}

impl RecordError {
    /// The code of the alert that the peer should get (RFC 8446, section 6); none after its own.
    #[must_use]
    pub const fn alert(&self) -> Option<u8> {
        Some(match self {
            Self::Alert(_) => return None,
            Self::Type(_)
            | Self::Empty
            | Self::Padding
            | Self::Warnings
            | Self::Message(_)
            | Self::MessageBoundary
            | Self::KeyUpdates => 10,
            Self::Decrypt => 20,
            Self::TooLong => 22,
            Self::KeyUpdate => 47,
            Self::AlertLength | Self::MessageTooLarge => 50,
            Self::Version => 70,
            Self::Rustls(_) | Self::Sequence | Self::KeyUsedUp | Self::Key => 80,
            Self::Renegotiation => 100,
        })
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Decrypt => "a record that cannot be decrypted",
            Self::TooLong => "a record that is too long",
            Self::Type(number) => return write!(f, "an unexpected record of type {number}"),
            Self::Version => "a record of another version",
            Self::Empty => "an empty record",
            Self::Padding => "a record of padding alone",
            Self::AlertLength => "an alert of the wrong length",
            Self::Alert(code) => return write!(f, "the peer sent alert {code}"),
            Self::Warnings => "too many warnings",
            Self::Message(number) => {
                return write!(f, "an unexpected handshake message of type {number}");
            }
            Self::MessageTooLarge => "a handshake message that is too large",
            Self::MessageBoundary => "a handshake message across a boundary",
            Self::KeyUpdate => "a malformed key update",
            Self::KeyUpdates => "too many key updates",
            Self::Renegotiation => "an attempt to renegotiate",
            Self::Rustls(error) => return write!(f, "{error}"),
            Self::Sequence => "all record numbers are used up",
            Self::KeyUsedUp => "the key has encrypted what it may",
            Self::Key => "the key cannot be used",
        })
    }
}

impl std::error::Error for RecordError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Rustls(error) = self { Some(error) } else { None }
    }
}
