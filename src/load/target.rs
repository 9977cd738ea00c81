//! What is loaded: URLs, and what protocol they stand for.

use std::fmt;
use std::str::FromStr;

use crate::client::{ClientError, HttpUrl, Target};

/// What is spoken with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// So many bytes for so many, on TCP.
    Tcp,
    /// The same by UDP.
    Udp,
    /// The framed protocol.
    Frame,
    /// HTTP, of the version that is asked for or agreed on.
    Http,
    /// HTTP/2 in clear.
    Http2,
    /// gRPC.
    Grpc,
    /// WebSocket.
    WebSocket,
}

impl Scheme {
    /// Names, and whether they stand for TLS.
    const NAMES: [(&'static str, Self, bool); 12] = [
        ("tcp", Self::Tcp, false),
        ("tls", Self::Tcp, true),
        ("udp", Self::Udp, false),
        ("frame", Self::Frame, false),
        ("frame+tls", Self::Frame, true),
        ("http", Self::Http, false),
        ("https", Self::Http, true),
        ("h2", Self::Http2, false),
        ("grpc", Self::Grpc, false),
        ("grpcs", Self::Grpc, true),
        ("ws", Self::WebSocket, false),
        ("wss", Self::WebSocket, true),
    ];

    /// Whether URLs have a path.
    #[must_use]
    pub const fn has_path(self) -> bool {
        match self {
            Self::Http | Self::Http2 | Self::Grpc | Self::WebSocket => true,
            Self::Tcp | Self::Udp | Self::Frame => false,
        }
    }
}

/// A URL that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadUrl {
    /// What is spoken.
    pub scheme: Scheme,
    /// By TLS.
    pub is_secure: bool,
    /// Where.
    pub target: Target,
    /// The same as a URL of HTTP, where it has a path.
    pub http: Option<HttpUrl>,
    text: String,
}

/// A text that is not a URL to load.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoadUrlError(String);

impl FromStr for LoadUrl {
    type Err = LoadUrlError;

    fn from_str(text: &str) -> Result<Self, LoadUrlError> {
        let known = text.split_once("://").and_then(|(name, rest)| {
            let is_it = |one: &&(&str, Scheme, bool)| one.0.eq_ignore_ascii_case(name);
            Scheme::NAMES.iter().find(is_it).map(|one| (*one, rest))
        });
        let Some(((_, scheme, is_secure), rest)) = known else {
            let names: Vec<_> = Scheme::NAMES.iter().map(|one| format!("{}://", one.0)).collect();
            return Err(LoadUrlError(format!("begin with one of {}", names.join(", "))));
        };
        let text = text.to_owned();
        if scheme.has_path() {
            let http = if is_secure { "https" } else { "http" };
            let http: HttpUrl = format!("{http}://{rest}")
                .parse()
                .map_err(|error: ClientError| LoadUrlError(error.into_url_reason()))?;
            let target = http.target().clone();
            return Ok(Self { scheme, is_secure, target, http: Some(http), text });
        }
        let place = rest.strip_suffix('/').filter(|rest| !rest.starts_with("unix:"));
        let place = place.unwrap_or(rest);
        if scheme == Scheme::Udp && place.starts_with("unix:") {
            return Err(LoadUrlError("UDP has no unix sockets here".to_owned()));
        }
        let target: Target = place
            .parse()
            .map_err(|error: crate::client::TargetError| LoadUrlError(error.to_string()))?;
        Ok(Self { scheme, is_secure, target, http: None, text })
    }
}

impl fmt::Display for LoadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_what_is_spoken() {
        for (text, scheme, is_secure) in [
            ("tcp://127.0.0.1:7000", Scheme::Tcp, false),
            ("tls://a.example:7000/", Scheme::Tcp, true),
            ("udp://[::1]:7000", Scheme::Udp, false),
            ("frame+tls://a.example:7", Scheme::Frame, true),
            ("http://a.example/x?y=1", Scheme::Http, false),
            ("HTTPS://a.example", Scheme::Http, true),
            ("h2://127.0.0.1:8080/", Scheme::Http2, false),
            ("grpc://a.example:1/p.S/M", Scheme::Grpc, false),
            ("wss://a.example/chat", Scheme::WebSocket, true),
            ("tcp://unix:/run/a.sock", Scheme::Tcp, false),
        ] {
            let url: LoadUrl = text.parse().unwrap();
            assert_eq!((url.scheme, url.is_secure), (scheme, is_secure), "{text}");
            assert_eq!(url.http.is_some(), scheme.has_path());
            assert_eq!(url.to_string(), text);
        }
        for (text, word) in [
            ("127.0.0.1:80", "begin with one of tcp://"),
            ("ftp://a/", "begin with"),
            ("tcp://a.example", "port"),
            ("udp://unix:/x", "unix"),
            ("http://", "host"),
        ] {
            let error = text.parse::<LoadUrl>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
