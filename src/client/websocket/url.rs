//! The URLs of WebSockets (RFC 6455, section 3) and of proxies.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::http::HttpUrl;
use crate::client::{ClientError, Target};

/// A URL: `ws://` or `wss://`, perhaps `USER:PASSWORD@`, a host, perhaps a port, a path and a
/// query. It is shown without the user and the password.
#[derive(Clone, PartialEq, Eq)]
pub struct WebSocketUrl {
    /// As HTTP has it.
    pub(super) http: HttpUrl,
    /// User and password, as the field `Authorization` has them.
    pub(super) basic: Option<String>,
}

impl WebSocketUrl {
    /// Whether it is opened by TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.http.is_secure()
    }

    /// Host and port to connect to.
    #[must_use]
    pub const fn target(&self) -> &Target {
        self.http.target()
    }

    /// Where a redirect (RFC 9110, section 10.2.2) leads. Credentials stay with the authority.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, ClientError> {
        let scheme = if self.is_secure() { "wss" } else { "ws" };
        let authority = &self.http.authority;
        let location = location.split('#').next().unwrap_or_default();
        let text = match location.split_once("://") {
            Some((name, rest)) => {
                let name = match &*name.to_ascii_lowercase() {
                    "http" => "ws".to_owned(),
                    "https" => "wss".to_owned(),
                    other => other.to_owned(),
                };
                format!("{name}://{rest}")
            }
            None if location.starts_with("//") => format!("{scheme}:{location}"),
            None if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
            None => {
                let folder = self.http.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{scheme}://{authority}{folder}/{location}")
            }
        };
        let next: Self = text.parse()?;
        if self.is_secure() && !next.is_secure() {
            return Err(wrong(&text, "a redirect from wss:// to ws:// is not followed"));
        }
        let is_same = next.target() == self.target() && next.is_secure() == self.is_secure();
        let basic = next.basic.or_else(|| self.basic.clone().filter(|_| is_same));
        Ok(Self { basic, ..next })
    }
}

impl FromStr for WebSocketUrl {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let (name, rest) = text.split_once("://").unwrap_or_default();
        let scheme = match &*name.to_ascii_lowercase() {
            "ws" => "http",
            "wss" => "https",
            _ => return Err(wrong(text, "it begins with ws:// or wss://")),
        };
        if rest.contains('#') {
            return Err(wrong(text, "a WebSocket has no fragment: write # as %23"));
        }
        let (http, basic) = with_user(scheme, rest).map_err(|reason| wrong(text, &reason))?;
        Ok(Self { http, basic })
    }
}

impl fmt::Display for WebSocketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure() { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.http.authority, self.http.path)?;
        self.http.query().map_or(Ok(()), |query| write!(f, "?{query}"))
    }
}

impl fmt::Debug for WebSocketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebSocketUrl({self})")
    }
}

/// A proxy of HTTP: `http://`, perhaps `USER:PASSWORD@`, a host and perhaps a port (80). It is
/// shown without the user and the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    pub(super) http: HttpUrl,
    /// User and password, as the field `Proxy-Authorization` has them.
    pub(super) basic: Option<String>,
}

impl FromStr for ProxyUrl {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let (name, rest) = text.split_once("://").unwrap_or_default();
        if !name.eq_ignore_ascii_case("http") {
            return Err(wrong(text, "a proxy begins with http://"));
        }
        let (http, basic) = with_user("http", rest).map_err(|reason| wrong(text, &reason))?;
        if http.path != "/" || http.query.is_some() {
            return Err(wrong(text, "a proxy has no path"));
        }
        Ok(Self { http, basic })
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.http.authority)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

/// A URL of HTTP, and the user and password that stood in it.
fn with_user(scheme: &str, rest: &str) -> Result<(HttpUrl, Option<String>), String> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let (user, authority) = match authority.rsplit_once('@') {
        Some((user, authority)) => (Some(user), authority),
        None => (None, authority),
    };
    let url = format!("{scheme}://{authority}{behind}");
    let url = url.parse().map_err(ClientError::into_url_reason)?;
    let Some(user) = user else { return Ok((url, None)) };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |part| percent_decoded(part).ok_or("user and password have a wrong % escape");
    let (user, password) = (decoded(user)?, decoded(password)?);
    if user.contains(&b':') {
        // The first colon ends the user (RFC 7617, section 2).
        return Err("the user has a colon".to_owned());
    }
    let basic = STANDARD.encode([&user[..], b":", &password[..]].concat());
    Ok((url, Some(format!("Basic {basic}"))))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut rest = text.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let [first, behind @ ..] = rest {
        if *first == b'%' {
            let [high, low, behind @ ..] = behind else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16);
            out.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
            rest = behind;
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    Some(out)
}

/// An error that does not show user and password.
fn wrong(text: &str, reason: &str) -> ClientError {
    let shown = match text.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, behind) = rest.split_at(end);
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{behind}")
        }
        None => text.to_owned(),
    };
    ClientError::Url { text: shown.escape_debug().to_string(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_shown_without_secrets() {
        for (text, target, basic, shown) in [
            ("ws://a.example", "a.example:80", None, "ws://a.example/"),
            ("WSS://a.example/b?c=d", "a.example:443", None, "wss://a.example/b?c=d"),
            ("ws://[::1]:81/x", "[::1]:81", None, "ws://[::1]:81/x"),
            ("wss://u:p@a/", "a:443", Some("u:p"), "wss://a/"),
            ("wss://u@a", "a:443", Some("u:"), "wss://a/"),
            ("ws://u%40b:p%3a%2F@a:1", "a:1", Some("u@b:p:/"), "ws://a:1/"),
        ] {
            let url: WebSocketUrl = text.parse().unwrap();
            assert_eq!(url.target().to_string(), target, "{text}");
            let basic = basic.map(|basic| format!("Basic {}", STANDARD.encode(basic)));
            assert_eq!(url.basic, basic, "{text}");
            assert_eq!(url.to_string(), shown);
            assert_eq!(format!("{url:?}"), format!("WebSocketUrl({shown})"));
        }
    }

    #[test]
    fn what_is_no_url_says_why_and_no_secret() {
        for (text, word) in [
            ("a.example", "begins with ws://"),
            ("http://a.example", "begins with ws://"),
            ("ws://", "host is a name"),
            ("ws://u:secret@/", "host is a name"),
            ("ws://u:secret%2@a/", "wrong % escape"),
            ("ws://u:secret%zz@a/", "wrong % escape"),
            ("ws://u%3a:secret@a/", "has a colon"),
            ("ws://a/b#c", "no fragment"),
            ("ws://a/b c", "escaped"),
        ] {
            let error = text.parse::<WebSocketUrl>().unwrap_err().to_string();
            assert!(error.contains(word), "{text:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        for (text, word) in [
            ("a:8080", "begins with http://"),
            ("https://a", "begins with http://"),
            ("http://a/b", "no path"),
            ("http://u:secret@a/b", "no path"),
        ] {
            let error = text.parse::<ProxyUrl>().unwrap_err().to_string();
            assert!(error.contains(word), "{text:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let proxy: ProxyUrl = "http://u:secret@a:3128".parse().unwrap();
        assert_eq!(
            (proxy.http.target.to_string(), proxy.to_string()),
            ("a:3128".into(), "http://a:3128".into())
        );
        assert!(proxy.basic.is_some());
    }

    #[test]
    fn redirects_lead_elsewhere_and_leave_credentials_behind() {
        let basic = |text: &str| text.parse::<WebSocketUrl>().unwrap().basic;
        for (location, shown, keeps) in [
            ("/c", "wss://a/c", true),
            ("c?d", "wss://a/x/c?d", true),
            ("https://a/c", "wss://a/c", true),
            ("wss://a:443/c", "wss://a:443/c", true),
            ("wss://a:444/c", "wss://a:444/c", false),
            ("https://b/c#d", "wss://b/c", false),
            ("//b/c", "wss://b/c", false),
        ] {
            let url: WebSocketUrl = "wss://u:p@a/x/y".parse().unwrap();
            let next = url.redirected(location).unwrap();
            assert_eq!(next.to_string(), shown, "{location}");
            assert_eq!(next.basic, basic("wss://u:p@a").filter(|_| keeps), "{location}");
        }
        let url: WebSocketUrl = "wss://a/".parse().unwrap();
        let error = url.redirected("http://a/").unwrap_err().to_string();
        assert!(error.contains("wss:// to ws://"), "{error}");
        assert!(url.redirected("ftp://a/").is_err());
    }
}
