//! What is known of a call beside its messages.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::handler::HttpRequest;
use crate::proto::http::Fields;

/// With padding or without: both are sent.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What is known of a call beside its messages.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// The fields of its head.
    pub fields: Fields,
    /// Its client, where that is known.
    pub client: Option<SocketAddr>,
    /// The user, on routes that ask for a password.
    pub user: Option<Box<str>>,
    /// How long it may take from its beginning on: its client says so, or its route.
    pub timeout: Option<Duration>,
}

impl CallContext {
    pub(super) fn of(request: &HttpRequest<'_>) -> Self {
        Self {
            fields: request.head.fields.clone(),
            client: request.client,
            user: request.user.map(Into::into),
            timeout: request.timeout,
        }
    }

    /// The first value of a field of metadata, whose name is in lower case; decoded if its name
    /// ends with `-bin`. `None` if there is none, or none that can be decoded.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = self.fields.get_named(name.as_bytes())?;
        if !name.ends_with("-bin") {
            return Some(Cow::Borrowed(value));
        }
        // Several values of one name may have been joined by a comma.
        let first = value.split(|byte| *byte == b',').next().unwrap_or_default();
        LENIENT.decode(first.trim_ascii()).ok().map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_decoded() {
        let mut fields = Fields::default();
        fields.push(b"x-text", b"a");
        fields.push(b"x-bin", b"AQID");
        fields.push(b"y-bin", b"AQ==,Ag");
        fields.push(b"z-bin", b"?");
        let context = CallContext { fields, client: None, user: None, timeout: None };
        let found = |name: &str| context.metadata(name).map(Cow::into_owned);
        assert_eq!(found("x-text"), Some(b"a".to_vec()));
        assert_eq!(found("x-bin"), Some(vec![1, 2, 3]));
        assert_eq!(found("y-bin"), Some(vec![1]));
        assert_eq!(found("z-bin"), None);
        assert_eq!(found("other"), None);
    }
}
