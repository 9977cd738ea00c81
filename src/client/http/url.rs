//! Whom a request is for, and what it asks for there: the URLs of HTTP.

use std::fmt;
use std::str::FromStr;

use crate::client::{ClientError, Target};
use crate::proto::http::target::check_authority;

/// What a URL begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::client) enum Scheme {
    /// In clear.
    Http,
    /// By TLS.
    Https,
    /// In clear, by HTTP/2 with prior knowledge.
    H2,
}

impl Scheme {
    const NAMES: [(&str, Self); 3] =
        [("http", Self::Http), ("https", Self::Https), ("h2", Self::H2)];

    /// What the server is told.
    pub(in crate::client) const fn on_the_wire(self) -> &'static str {
        match self {
            Self::Http | Self::H2 => "http",
            Self::Https => "https",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http | Self::H2 => 80,
            Self::Https => 443,
        }
    }
}

/// A URL: `http://`, `https://` or `h2://` (HTTP/2 with prior knowledge, in clear), a host,
/// perhaps a port, a path and a query. What follows a `#` is not sent. A user in it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    pub(in crate::client) scheme: Scheme,
    pub(in crate::client) authority: String,
    pub(in crate::client) target: Target,
    pub(in crate::client) path: String,
    pub(in crate::client) query: Option<String>,
}

impl HttpUrl {
    /// Host and port, as they were written.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Host and port to connect to.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// The path, which begins with `/`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What follows the `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// Whether it is asked for by TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }
}

impl FromStr for HttpUrl {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let wrong = |reason: &str| ClientError::Url {
            text: text.escape_debug().to_string(),
            reason: reason.to_owned(),
        };
        let (name, rest) = text.split_once("://").unwrap_or_default();
        let known = Scheme::NAMES.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, scheme) =
            known.ok_or_else(|| wrong("it begins with http://, https:// or h2://"))?;
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(at).unwrap_or_default();
        check_authority(authority.as_bytes())
            .map_err(|_| wrong("the host is a name or an address, with a port perhaps"))?;
        // A colon within brackets is none of a port, and an empty port is the usual one.
        let end = authority.rsplit(']').next().unwrap_or_default();
        let target = match end.split_once(':') {
            Some((_, "")) => format!("{authority}{}", scheme.port()),
            Some(_) => authority.to_owned(),
            None => format!("{authority}:{}", scheme.port()),
        };
        let target: Target = target.parse().map_err(|error: crate::client::TargetError| {
            let reason = error.reason;
            wrong(reason)
        })?;
        let rest = rest.split('#').next().unwrap_or_default();
        if rest.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(wrong("the path has a byte that must be escaped, as in %20"));
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (rest, None),
        };
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        let authority = authority.strip_suffix(':').unwrap_or(authority).to_owned();
        Ok(Self { scheme, authority, target, path, query })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Scheme::NAMES.iter().find(|(_, scheme)| *scheme == self.scheme);
        let name = name.map_or("", |(name, _)| name);
        write!(f, "{name}://{}{}", self.authority, self.path)?;
        match &self.query {
            Some(query) => write!(f, "?{query}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, target, path, query, shown) in [
            ("http://a.example", "a.example:80", "/", None, "http://a.example/"),
            ("HTTPS://a.example/b", "a.example:443", "/b", None, "https://a.example/b"),
            ("h2://[::1]:81?c=d#e", "[::1]:81", "/", Some("c=d"), "h2://[::1]:81/?c=d"),
            ("http://[::1]/%2e?", "[::1]:80", "/%2e", Some(""), "http://[::1]/%2e?"),
            ("https://127.0.0.1:/x", "127.0.0.1:443", "/x", None, "https://127.0.0.1/x"),
        ] {
            let url: HttpUrl = text.parse().unwrap();
            assert_eq!(url.target.to_string(), target, "{text}");
            assert_eq!((url.path(), url.query()), (path, query), "{text}");
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.is_secure(), target.ends_with("443"));
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, word) in [
            ("a.example", "begins with"),
            ("ftp://a.example", "begins with"),
            ("http://", "host is a name"),
            ("http:///path", "host is a name"),
            ("http://user@host/", "host is a name"),
            ("http://host:99999/", "host is a name"),
            ("http://host:0/", "port 0"),
            ("http://host/a b", "escaped"),
            ("http://host/gr\u{fc}n", "escaped"),
            ("http://host/\r\nx", "escaped"),
        ] {
            let error = text.parse::<HttpUrl>().unwrap_err().to_string();
            assert!(error.contains(word), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
