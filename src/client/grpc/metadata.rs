//! What goes with a call beside its messages, both ways.

use std::borrow::Cow;

use base64::Engine as _;

use crate::client::ClientError;
use crate::client::http::push_field;
use crate::proto::http::{Fields, Known};
use crate::service::grpc::{BASE64, decode_binary};

/// The end of the names of binary values.
const BINARY: &str = "-bin";

/// Names and values that go with a call: text, or, under names that end in `-bin`, any bytes. A
/// name may come several times.
///
/// ```
/// use ringway::client::Metadata;
///
/// let mut metadata = Metadata::default();
/// metadata.push("x-trace", "4711")?;
/// metadata.push_binary("x-context-bin", &[0, 255])?;
/// assert_eq!(metadata.get("x-trace"), Some("4711"));
/// assert_eq!(metadata.get_binary("x-context-bin"), Some(vec![0, 255]));
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// Binary values are encoded.
    pub(super) fields: Fields,
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        let of = |fields: &Fields| {
            let pairs = fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec()));
            pairs.collect::<Vec<_>>()
        };
        of(&self.fields) == of(&other.fields)
    }
}

impl Eq for Metadata {}

impl Metadata {
    /// Adds a text of printable ASCII.
    ///
    /// # Errors
    /// When name or value cannot be sent.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), ClientError> {
        if is_binary(name) {
            let reason = format!("{name} is the name of a binary value");
            return Err(ClientError::Request { reason });
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let reason = format!("the value of {name} is no printable ASCII: use a name with -bin");
            return Err(ClientError::Request { reason });
        }
        self.add(name, value.as_bytes())
    }

    /// Adds bytes, under a name that ends in `-bin`.
    ///
    /// # Errors
    /// When the name cannot be sent.
    pub fn push_binary(&mut self, name: &str, value: &[u8]) -> Result<(), ClientError> {
        if !is_binary(name) {
            let reason = format!("{name} is no name of a binary value: it has to end in -bin");
            return Err(ClientError::Request { reason });
        }
        self.add(name, BASE64.encode(value).as_bytes())
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), ClientError> {
        if is_of_protocol(name.to_ascii_lowercase().as_bytes()) {
            let reason = format!("{name} is gRPC's own");
            return Err(ClientError::Request { reason });
        }
        push_field(&mut self.fields, name, value)
    }

    /// The first text of a name, which is in lower case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.fields.get_named(name.as_bytes()).filter(|_| !is_binary(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The first bytes of a name, which is in lower case and ends in `-bin`.
    #[must_use]
    pub fn get_binary(&self, name: &str) -> Option<Vec<u8>> {
        let value = self.fields.get_named(name.as_bytes()).filter(|_| is_binary(name))?;
        decode_binary(value)
    }

    /// All of them, in their order. Binary values are decoded, unless they are none.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cow<'_, [u8]>)> + '_ {
        self.fields.iter().map(|field| {
            let name = std::str::from_utf8(field.name).unwrap_or_default();
            let decoded = if is_binary(name) { decode_binary(field.value) } else { None };
            (name, decoded.map_or(Cow::Borrowed(field.value), Cow::Owned))
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// What fields of HTTP have of it.
    pub(super) fn of_fields(fields: &Fields) -> Self {
        let mut own = fields.clone();
        own.retain(|field| !is_of_protocol(field.name));
        Self { fields: own }
    }
}

fn is_binary(name: &str) -> bool {
    name.ends_with(BINARY)
}

/// Whether a field is the protocol's own.
fn is_of_protocol(name: &[u8]) -> bool {
    name.starts_with(b"grpc-")
        || matches!(Known::of(name), Known::ContentType | Known::UserAgent)
        || Known::of(name).is_hop_by_hop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_checked() {
        let mut metadata = Metadata::default();
        for (name, value) in [
            ("a b", "x"),
            ("x", "gr\u{fc}n"),
            ("x", "a\r\nb"),
            ("x-bin", "x"),
            ("grpc-timeout", "1S"),
            ("Grpc-Status", "0"),
            ("content-type", "x"),
            ("te", "trailers"),
            ("host", "x"),
        ] {
            assert!(metadata.push(name, value).is_err(), "{name}: {value}");
        }
        assert!(metadata.push_binary("x", b"x").is_err());
        assert!(metadata.push_binary("grpc-x-bin", b"x").is_err());
        assert!(metadata.is_empty());
    }

    #[test]
    fn bytes_are_taken_with_and_without_padding() {
        let mut fields = Fields::default();
        fields.push(b"a-bin", b"AP8=");
        fields.push(b"b-bin", b"AP8,AAA");
        fields.push(b"c-bin", b"?");
        fields.push(b"d", b"text");
        fields.push(b"grpc-status", b"0");
        fields.push(b"content-type", b"application/grpc");
        let metadata = Metadata::of_fields(&fields);
        assert_eq!(metadata.get_binary("a-bin"), Some(vec![0, 255]));
        assert_eq!(metadata.get_binary("b-bin"), Some(vec![0, 255]));
        assert_eq!(metadata.get_binary("c-bin"), None);
        assert_eq!((metadata.get("d"), metadata.get("a-bin")), (Some("text"), None));
        assert_eq!(metadata.get_binary("d"), None);
        let all: Vec<_> = metadata.iter().map(|(name, _)| name).collect();
        assert_eq!(all, ["a-bin", "b-bin", "c-bin", "d"]);
        let mut own = Metadata::default();
        own.push_binary("a-bin", &[0, 255]).unwrap();
        assert_eq!(own.fields.get_named(b"a-bin"), Some(&b"AP8"[..]));
        assert_ne!(own, metadata);
        assert_eq!(own, own.clone());
    }
}
