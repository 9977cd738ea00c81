//! Names of fields (RFC 9110, section 5.1), in lower case.

/// A field that this program looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    /// `accept-encoding`.
    AcceptEncoding,
    /// `authorization`.
    Authorization,
    /// `cache-control`.
    CacheControl,
    /// `connection`.
    Connection,
    /// `content-encoding`.
    ContentEncoding,
    /// `content-length`.
    ContentLength,
    /// `content-range`.
    ContentRange,
    /// `content-type`.
    ContentType,
    /// `cookie`.
    Cookie,
    /// `date`.
    Date,
    /// `etag`.
    Etag,
    /// `expect`.
    Expect,
    /// `forwarded`.
    Forwarded,
    /// `host`.
    Host,
    /// `if-match`.
    IfMatch,
    /// `if-modified-since`.
    IfModifiedSince,
    /// `if-none-match`.
    IfNoneMatch,
    /// `if-range`.
    IfRange,
    /// `if-unmodified-since`.
    IfUnmodifiedSince,
    /// `keep-alive`.
    KeepAlive,
    /// `last-modified`.
    LastModified,
    /// `location`.
    Location,
    /// `proxy-authenticate`.
    ProxyAuthenticate,
    /// `proxy-authorization`.
    ProxyAuthorization,
    /// `proxy-connection`.
    ProxyConnection,
    /// `range`.
    Range,
    /// `referer`.
    Referer,
    /// `server`.
    Server,
    /// `te`.
    Te,
    /// `trailer`.
    Trailer,
    /// `transfer-encoding`.
    TransferEncoding,
    /// `upgrade`.
    Upgrade,
    /// `user-agent`.
    UserAgent,
    /// `vary`.
    Vary,
    /// `via`.
    Via,
    /// `www-authenticate`.
    WwwAuthenticate,
    /// `x-forwarded-for`.
    XForwardedFor,
    /// `x-forwarded-host`.
    XForwardedHost,
    /// `x-forwarded-proto`.
    XForwardedProto,
    /// Any other.
    Other,
}

/// Bytes of the longest name that is known.
const LONGEST: usize = 19;

impl Known {
    /// The field of this name, however it is written.
    #[must_use]
    pub fn of_any_case(name: &[u8]) -> Self {
        let mut lower = [0; LONGEST];
        let Some(own) = lower.get_mut(..name.len()) else { return Self::Other };
        own.copy_from_slice(name);
        own.make_ascii_lowercase();
        Self::of(own)
    }

    /// The field of this name, which is in lower case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"accept-encoding" => Self::AcceptEncoding,
            b"authorization" => Self::Authorization,
            b"cache-control" => Self::CacheControl,
            b"connection" => Self::Connection,
            b"content-encoding" => Self::ContentEncoding,
            b"content-length" => Self::ContentLength,
            b"content-range" => Self::ContentRange,
            b"content-type" => Self::ContentType,
            b"cookie" => Self::Cookie,
            b"date" => Self::Date,
            b"etag" => Self::Etag,
            b"expect" => Self::Expect,
            b"forwarded" => Self::Forwarded,
            b"host" => Self::Host,
            b"if-match" => Self::IfMatch,
            b"if-modified-since" => Self::IfModifiedSince,
            b"if-none-match" => Self::IfNoneMatch,
            b"if-range" => Self::IfRange,
            b"if-unmodified-since" => Self::IfUnmodifiedSince,
            b"keep-alive" => Self::KeepAlive,
            b"last-modified" => Self::LastModified,
            b"location" => Self::Location,
            b"proxy-authenticate" => Self::ProxyAuthenticate,
            b"proxy-authorization" => Self::ProxyAuthorization,
            b"proxy-connection" => Self::ProxyConnection,
            b"range" => Self::Range,
            b"referer" => Self::Referer,
            b"server" => Self::Server,
            b"te" => Self::Te,
            b"trailer" => Self::Trailer,
            b"transfer-encoding" => Self::TransferEncoding,
            b"upgrade" => Self::Upgrade,
            b"user-agent" => Self::UserAgent,
            b"vary" => Self::Vary,
            b"via" => Self::Via,
            b"www-authenticate" => Self::WwwAuthenticate,
            b"x-forwarded-for" => Self::XForwardedFor,
            b"x-forwarded-host" => Self::XForwardedHost,
            b"x-forwarded-proto" => Self::XForwardedProto,
            _ => Self::Other,
        }
    }

    /// Its name, in lower case; nothing of another one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcceptEncoding => "accept-encoding",
            Self::Authorization => "authorization",
            Self::CacheControl => "cache-control",
            Self::Connection => "connection",
            Self::ContentEncoding => "content-encoding",
            Self::ContentLength => "content-length",
            Self::ContentRange => "content-range",
            Self::ContentType => "content-type",
            Self::Cookie => "cookie",
            Self::Date => "date",
            Self::Etag => "etag",
            Self::Expect => "expect",
            Self::Forwarded => "forwarded",
            Self::Host => "host",
            Self::IfMatch => "if-match",
            Self::IfModifiedSince => "if-modified-since",
            Self::IfNoneMatch => "if-none-match",
            Self::IfRange => "if-range",
            Self::IfUnmodifiedSince => "if-unmodified-since",
            Self::KeepAlive => "keep-alive",
            Self::LastModified => "last-modified",
            Self::Location => "location",
            Self::ProxyAuthenticate => "proxy-authenticate",
            Self::ProxyAuthorization => "proxy-authorization",
            Self::ProxyConnection => "proxy-connection",
            Self::Range => "range",
            Self::Referer => "referer",
            Self::Server => "server",
            Self::Te => "te",
            Self::Trailer => "trailer",
            Self::TransferEncoding => "transfer-encoding",
            Self::Upgrade => "upgrade",
            Self::UserAgent => "user-agent",
            Self::Vary => "vary",
            Self::Via => "via",
            Self::WwwAuthenticate => "www-authenticate",
            Self::XForwardedFor => "x-forwarded-for",
            Self::XForwardedHost => "x-forwarded-host",
            Self::XForwardedProto => "x-forwarded-proto",
            Self::Other => "",
        }
    }

    /// Its place in a set of names.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u32
    }

    /// Whether it is about one connection, and never passed on (RFC 9110, section 7.6.1).
    #[must_use]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

/// Whether a byte may stand in a token (RFC 9110, section 5.6.2).
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    matches!(byte,
        b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`'
        | b'|' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
}

/// Whether this is a token, as names of fields and methods are.
#[must_use]
pub fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| is_token_byte(*byte))
}

/// Whether the value of a field is a secret, which no log and no other client may see. The name may
/// be in any case.
#[must_use]
pub fn is_secret(name: &[u8]) -> bool {
    const SECRET: [&[u8]; 3] = [b"authorization", b"cookie", b"proxy-authorization"];
    SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_lower_case() {
        assert_eq!(Known::of(b"host"), Known::Host);
        assert_eq!(Known::of(b"Host"), Known::Other);
        assert_eq!(Known::of_any_case(b"HoSt"), Known::Host);
        assert_eq!(Known::of_any_case(b"Hos"), Known::Other);
        assert_eq!(Known::of_any_case(b"If-Unmodified-Since"), Known::IfUnmodifiedSince);
        assert_eq!(Known::of_any_case(&[b'x'; 100]), Known::Other);
        assert!(Known::TransferEncoding.is_hop_by_hop());
        assert!(!Known::Trailer.is_hop_by_hop());
    }

    #[test]
    fn a_token_has_no_separator_and_no_control_character() {
        assert!(is_token(b"X-A_b.1!"));
        for bad in ["", "a b", "a:", "a\t", "a\"", "a(", "a\u{e9}"] {
            assert!(!is_token(bad.as_bytes()), "{bad:?}");
        }
    }
}
