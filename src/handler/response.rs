//! The head of an answer that a program gives.

use crate::proto::http::{Fields, Known, ResponseHead, is_token};

/// The head of an answer: its status and its fields.
///
/// ```
/// use ringway::handler::Response;
///
/// let response = Response::new(200).with("content-type", "text/plain")?.with("etag", "\"1\"")?;
/// assert_eq!(response.status(), 200);
/// assert!(Response::new(200).with("x", "a\r\nset-cookie: b").is_err());
/// # Ok::<(), ringway::handler::InvalidField>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Response {
    pub(super) head: ResponseHead,
    pub(super) length: Option<u64>,
}

/// Bytes of all fields of a head, or of trailers: no window holds them back.
const FIELDS_SIZE_MAX: usize = 64 * 1024;

/// A field that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidField {
    /// Its name is no token (RFC 9110, section 5.6.2).
    #[error("{0:?} cannot be the name of a field")]
    Name(String),
    /// Its value has bytes that no value may have (RFC 9110, section 5.5).
    #[error("the value of the field {0} has a control character, or begins or ends with a space")]
    Value(String),
    /// There are too many already.
    #[error("fields have at most {FIELDS_SIZE_MAX} bytes together")]
    TooMuch,
    /// It is about the connection, or about how bodies are framed: the server writes it.
    #[error("the field {0} is written by the server")]
    Reserved(String),
}

impl Response {
    /// An answer with a status: 200 to 599, or for [`Answer::interim`](super::Answer::interim) 102
    /// to
    /// 199. Any other becomes 500.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let status = if matches!(status, 102..=599) { status } else { 500 };
        Self { head: ResponseHead { status, ..ResponseHead::default() }, length: None }
    }

    /// A status with a content type.
    #[must_use]
    pub(crate) fn typed(status: u16, content_type: &str) -> Self {
        let mut response = Self::new(status);
        response.head.fields.push_known(Known::ContentType, content_type.as_bytes());
        response
    }

    /// A text in UTF-8 follows.
    #[must_use]
    pub fn text(status: u16) -> Self {
        Self::typed(status, "text/plain; charset=utf-8")
    }

    /// JSON follows.
    #[must_use]
    pub fn json(status: u16) -> Self {
        Self::typed(status, "application/json")
    }

    /// Adds a field.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InvalidField> {
        push_field(&mut self.head.fields, name, value.as_ref())?;
        Ok(self)
    }

    /// The body that follows in parts has so many bytes. The answer fails if it has others.
    #[must_use]
    pub const fn with_length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.head.status
    }

    /// Its fields.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.head.fields
    }
}

/// Adds a field to fields that are to be sent.
///
/// # Errors
/// Why it cannot be sent.
pub(super) fn push_field(
    fields: &mut Fields,
    name: &str,
    value: &[u8],
) -> Result<(), InvalidField> {
    if !is_token(name.as_bytes()) {
        return Err(InvalidField::Name(name.to_owned()));
    }
    let known = Known::of(name.to_ascii_lowercase().as_bytes());
    if known.is_hop_by_hop() || matches!(known, Known::ContentLength | Known::Host | Known::Trailer)
    {
        return Err(InvalidField::Reserved(name.to_owned()));
    }
    let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
    if !is_text || value.trim_ascii() != value {
        return Err(InvalidField::Value(name.to_owned()));
    }
    if fields.size() + name.len() + value.len() > FIELDS_SIZE_MAX {
        return Err(InvalidField::TooMuch);
    }
    fields.push(name.as_bytes(), value);
    Ok(())
}

/// Fields behind the body of an answer.
#[derive(Debug, Clone, Default)]
pub struct Trailers {
    pub(super) fields: Fields,
}

impl Trailers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InvalidField> {
        push_field(&mut self.fields, name, value.as_ref())?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_a_size_together() {
        let long = "x".repeat(FIELDS_SIZE_MAX / 2);
        let response = Response::new(200).with("a", &long).unwrap();
        assert_eq!(response.with("b", &long).unwrap_err(), InvalidField::TooMuch);
        assert!(Trailers::new().with("x", "a\r\nb: c").is_err());
        assert!(Trailers::new().with("content-length", "1").is_err());
    }

    #[test]
    fn fields_that_nobody_may_send_are_refused() {
        let cases: [(&str, &str, bool); 14] = [
            ("x-a", "b", true),
            ("X-A", "", true),
            ("etag", "\"ü\"", true),
            ("x a", "b", false),
            ("", "b", false),
            (":status", "200", false),
            ("x", "a\r\nb: c", false),
            ("x", "a\0", false),
            ("x", " a", false),
            ("x", "a\t", false),
            ("Content-Length", "1", false),
            ("transfer-encoding", "chunked", false),
            ("connection", "close", false),
            ("trailer", "x", false),
        ];
        for (name, value, is_fine) in cases {
            assert_eq!(Response::new(200).with(name, value).is_ok(), is_fine, "{name}: {value:?}");
        }
    }

    #[test]
    fn a_status_that_is_none_becomes_500() {
        for (status, expected) in
            [(200, 200), (599, 599), (103, 103), (0, 500), (101, 500), (600, 500)]
        {
            assert_eq!(Response::new(status).status(), expected);
        }
    }
}
