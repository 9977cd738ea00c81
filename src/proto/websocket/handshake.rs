//! The handshake (RFC 6455, section 4; over HTTP/2: RFC 8441).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::proto::http::{Fields, Known, Method, RequestHead, Version, is_token};

/// What a server adds to a client's key (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The version that there is.
const VERSION: &[u8] = b"13";
/// Subprotocols that a client may offer.
const SUBPROTOCOLS_MAX: usize = 64;

/// The field that has the client's key.
pub const KEY: &[u8] = b"sec-websocket-key";
/// The field that has the server's answer to it.
pub const ACCEPT: &[u8] = b"sec-websocket-accept";
/// The field that has the version.
pub const VERSION_FIELD: &[u8] = b"sec-websocket-version";
/// The field that has subprotocols.
pub const PROTOCOL: &[u8] = b"sec-websocket-protocol";
/// The field that has extensions.
pub const EXTENSIONS: &[u8] = b"sec-websocket-extensions";

/// Why a request is no handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// It asks for no WebSocket at all.
    #[error("the request does not ask for a WebSocket")]
    NoUpgrade,
    /// RFC 6455, section 4.1: it is a GET.
    #[error("the method is not GET")]
    Method,
    /// RFC 6455, section 4.4: another version than 13.
    #[error("the version is not 13")]
    Version,
    /// RFC 6455, section 4.2.1: one key, of 16 bytes in base64.
    #[error("Sec-WebSocket-Key is not 16 bytes in base64")]
    Key,
    /// RFC 6455, section 4.1: subprotocols are tokens, each of them once.
    #[error("Sec-WebSocket-Protocol is invalid")]
    Protocol,
}

impl HandshakeError {
    /// The status that a server answers with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::NoUpgrade | Self::Version => 426,
            Self::Method => 405,
            Self::Key | Self::Protocol => 400,
        }
    }

    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoUpgrade => "not_a_websocket",
            Self::Method => "websocket_method",
            Self::Version => "websocket_version",
            Self::Key => "websocket_key",
            Self::Protocol => "websocket_protocol",
        }
    }
}

/// Whether a head of HTTP/1.1 asks for a WebSocket, or one of HTTP/2.
#[must_use]
pub fn asks(head: &RequestHead, upgrade: bool, protocol: bool) -> bool {
    if head.version == Version::Http2 {
        return protocol;
    }
    upgrade && head.fields.list(Known::Upgrade).any(|one| one.eq_ignore_ascii_case(b"websocket"))
}

/// Checks a handshake. By HTTP/2 there is no key: the stream says who is meant.
///
/// # Errors
/// What is wrong with it.
pub fn check(head: &RequestHead) -> Result<(), HandshakeError> {
    let fields = &head.fields;
    if only(fields, VERSION_FIELD) != Some(VERSION) {
        return Err(HandshakeError::Version);
    }
    if head.version != Version::Http2 {
        if head.method != Method::Get {
            return Err(HandshakeError::Method);
        }
        let is_key = |key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16);
        if !only(fields, KEY).is_some_and(is_key) {
            return Err(HandshakeError::Key);
        }
    }
    // One more than may be offered is enough to refuse them.
    let mut offered: Vec<&[u8]> = subprotocols(fields).take(SUBPROTOCOLS_MAX + 1).collect();
    offered.sort_unstable();
    let is_repeated = offered.windows(2).any(|two| two[0] == two[1]);
    if offered.len() > SUBPROTOCOLS_MAX || is_repeated || !offered.iter().all(|one| is_token(one)) {
        return Err(HandshakeError::Protocol);
    }
    Ok(())
}

/// The subprotocols that a client offers, the one that it likes best first.
pub fn subprotocols(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    let split = fields.all_named(PROTOCOL).flat_map(|line| line.split(|byte| *byte == b','));
    split.map(<[u8]>::trim_ascii).filter(|one| !one.is_empty())
}

/// What a server answers to a key.
#[must_use]
pub fn accept(key: &[u8]) -> [u8; 28] {
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    let mut text = [0; 28];
    // 20 bytes are 28 characters.
    let _written = STANDARD.encode_slice(sum, &mut text);
    text
}

/// The key of a client, made of 16 random bytes.
#[must_use]
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// The value of a field that stands there once.
#[must_use]
pub fn only<'a>(fields: &'a Fields, name: &'a [u8]) -> Option<&'a [u8]> {
    let mut all = fields.all_named(name);
    let first = all.next()?;
    if all.next().is_some() { None } else { Some(first.trim_ascii()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_method(b"GET");
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    #[test]
    fn the_key_of_the_rfc_is_answered_as_it_says() {
        assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn a_handshake_is_checked() {
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let version = ("sec-websocket-version", "13");
        type Case<'a> = (&'a [(&'a str, &'a str)], Result<(), HandshakeError>);
        let cases: [Case<'_>; 10] = [
            (&[key, version], Ok(())),
            (&[key, version, ("sec-websocket-protocol", "a, b")], Ok(())),
            (&[key], Err(HandshakeError::Version)),
            (&[key, ("sec-websocket-version", "8")], Err(HandshakeError::Version)),
            (&[version], Err(HandshakeError::Key)),
            (&[version, key, key], Err(HandshakeError::Key)),
            (&[version, ("sec-websocket-key", "c2hvcnQ=")], Err(HandshakeError::Key)),
            (&[version, ("sec-websocket-key", "!")], Err(HandshakeError::Key)),
            (&[key, version, ("sec-websocket-protocol", "a, a")], Err(HandshakeError::Protocol)),
            (&[key, version, ("sec-websocket-protocol", "a b")], Err(HandshakeError::Protocol)),
        ];
        for (fields, expected) in cases {
            assert_eq!(check(&head(fields)), expected, "{fields:?}");
        }
        // As many subprotocols as may be offered, in two fields, and one more. What is not looked
        // at behind that may be of any length.
        let names = |count: usize| (0..count).map(|n| format!("p{n}")).collect::<Vec<_>>();
        let half = names(SUBPROTOCOLS_MAX / 2).join(",");
        let (rest, again) = (half.replace('p', "q"), half.replace("p31", "p0"));
        let [half, rest, again] =
            [&half, &rest, &again].map(|value| ("sec-websocket-protocol", &**value));
        assert_eq!(check(&head(&[key, version, half, rest])), Ok(()));
        assert_eq!(check(&head(&[key, version, again])), Err(HandshakeError::Protocol));
        let many = [names(SUBPROTOCOLS_MAX + 1).join(","), ",x".repeat(30_000)].concat();
        let many = ("sec-websocket-protocol", &*many);
        assert_eq!(check(&head(&[key, version, many])), Err(HandshakeError::Protocol));
        let mut post = head(&[key, version]);
        post.set_method(b"POST");
        assert_eq!(check(&post), Err(HandshakeError::Method));
        let mut second = head(&[version]);
        second.version = Version::Http2;
        assert_eq!(check(&second), Ok(()), "HTTP/2 has no key");
    }

    #[test]
    fn who_asks_for_a_websocket_says_so() {
        let asking = head(&[("upgrade", "foo, WebSocket")]);
        assert!(asks(&asking, true, false));
        assert!(!asks(&asking, false, false), "no `connection: upgrade`");
        assert!(!asks(&head(&[("upgrade", "foo")]), true, false));
        let mut second = head(&[]);
        second.version = Version::Http2;
        assert!(asks(&second, false, true));
        assert!(!asks(&second, false, false));
    }
}
