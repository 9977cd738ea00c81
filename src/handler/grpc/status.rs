//! How a call ends.

use base64::Engine;

use crate::handler::response::{InvalidField, push_field};
use crate::proto::http::Fields;
use crate::service::grpc::{BASE64, Code, DETAILS, write_status};

/// How a call ends: a code, a text for people, and what else trailers may say.
#[derive(Debug, Clone)]
pub struct Status {
    code: Code,
    message: String,
    details: Vec<u8>,
    trailers: Fields,
}

impl Status {
    /// A status.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new(), trailers: Fields::default() }
    }

    /// All went well.
    #[must_use]
    pub fn ok() -> Self {
        Self::new(Code::Ok, "")
    }

    /// With details: an encoded `google.rpc.Status`.
    #[must_use]
    pub fn with_details(self, details: impl Into<Vec<u8>>) -> Self {
        Self { details: details.into(), ..self }
    }

    /// With a field of metadata behind the answer. The value of one whose name ends with `-bin` may
    /// be any bytes.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InvalidField> {
        push_metadata(&mut self.trailers, name, value.as_ref())?;
        Ok(self)
    }

    /// Whether it says nothing else but that all went well.
    pub(super) fn is_plain_ok(&self) -> bool {
        self.code == Code::Ok
            && self.message.is_empty()
            && self.details.is_empty()
            && self.trailers.is_empty()
    }

    /// Its code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What is said for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Writes it into fields.
    pub(super) fn write(self, fields: &mut Fields) {
        write_status(self.code, &self.message, fields);
        if !self.details.is_empty() {
            fields.push(DETAILS, BASE64.encode(&self.details).as_bytes());
        }
        for field in self.trailers.iter() {
            fields.push(field.name, field.value);
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code.name())?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl std::error::Error for Status {}

/// Adds a field of metadata. Those of the protocol are not for programs.
pub(super) fn push_metadata(
    fields: &mut Fields,
    name: &str,
    value: &[u8],
) -> Result<(), InvalidField> {
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("grpc-") || lower == "content-type" || lower == "te" {
        return Err(InvalidField::Reserved(name.to_owned()));
    }
    if lower.ends_with("-bin") {
        return push_field(fields, name, BASE64.encode(value).as_bytes());
    }
    push_field(fields, name, value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_written_with_all_that_it_has() {
        let status = Status::new(Code::NotFound, "no such thing").with_details([0, 255]);
        let status = status.with("x-bin", [1, 2, 3]).unwrap().with("x-text", "text").unwrap();
        let mut fields = Fields::default();
        assert_eq!(status.to_string(), "not_found: no such thing");
        status.write(&mut fields);
        let value = |name: &str| fields.get_named(name.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(value("grpc-status").as_deref(), Some(&b"5"[..]));
        assert_eq!(value("grpc-message").as_deref(), Some(&b"no such thing"[..]));
        assert_eq!(value("grpc-status-details-bin").as_deref(), Some(&b"AP8"[..]));
        assert_eq!(value("x-bin").as_deref(), Some(&b"AQID"[..]));
        assert_eq!(value("x-text").as_deref(), Some(&b"text"[..]));
    }

    #[test]
    fn fields_of_the_protocol_are_not_for_programs() {
        for name in ["grpc-status", "Grpc-Message", "content-type", "te", "connection", "a b"] {
            assert!(Status::ok().with(name, "x").is_err(), "{name}");
        }
        assert!(Status::ok().with("x", "a\nb").is_err());
        assert!(Status::ok().with("x-bin", b"a\nb").is_ok());
    }
}
