//! What is asked of a server.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;

use super::url::HttpUrl;
use crate::client::ClientError;
use crate::proto::http::target::check_authority;
use crate::proto::http::{BodySize, Fields, Known, Method, RequestHead, is_token};
use crate::proto::http1::write::is_of_framing;

pub(in crate::client) const USER_AGENT: &str = concat!("ringway/", env!("CARGO_PKG_VERSION"));

/// A request. Names and values are checked when it is sent.
///
/// ```
/// use ringway::client::Request;
///
/// let request = Request::new("PUT", "http://127.0.0.1:7001/notes/1")
///     .field("content-type", "text/plain")
///     .body("a note");
/// ```
#[derive(Debug)]
pub struct Request<'b> {
    method: String,
    url: Result<HttpUrl, ClientError>,
    authority: Option<String>,
    fields: Vec<(String, Vec<u8>)>,
    pub(super) body: Body<'b>,
    pub(super) trailers: Option<Fields>,
    trailer_fields: Vec<(String, Vec<u8>)>,
}

/// The body of a request.
#[derive(Default)]
pub(super) enum Body<'b> {
    #[default]
    None,
    Bytes(Cow<'b, [u8]>),
    Reader {
        read: Box<dyn Read + 'b>,
        len: Option<u64>,
    },
}

impl Body<'_> {
    /// Its length in bytes, if that is known.
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Reader { len, .. } => *len,
        }
    }
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Reader { len, .. } => write!(f, "Reader({len:?})"),
        }
    }
}

impl Request<'static> {
    /// A request of any method, such as `GET`.
    #[must_use]
    pub fn new(method: &str, url: &str) -> Self {
        Self::of(method, url.parse())
    }

    /// A GET.
    #[must_use]
    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    /// A request for a URL that was read before.
    #[must_use]
    pub fn to(method: &str, url: HttpUrl) -> Self {
        Self::of(method, Ok(url))
    }

    fn of(method: &str, url: Result<HttpUrl, ClientError>) -> Self {
        Self {
            method: method.to_owned(),
            url,
            authority: None,
            fields: Vec::new(),
            body: Body::None,
            trailers: None,
            trailer_fields: Vec::new(),
        }
    }
}

impl<'b> Request<'b> {
    /// Adds a field behind those that there are. Fields of the connection and of the framing
    /// (`connection`, `content-length`, `host`, `te`, ...) are the client's own.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Names another authority to the server (`host`, `:authority`) than that of the URL.
    #[must_use]
    pub fn authority(mut self, authority: &str) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    /// Its body. Such a request can be sent again when that does no harm.
    #[must_use]
    pub fn body<B: AsRef<[u8]> + ?Sized>(mut self, body: &'b B) -> Self {
        self.body = Body::Bytes(Cow::Borrowed(body.as_ref()));
        self
    }

    /// Its body, which is read as far as the server takes it, until it ends. Reading may block, and
    /// the answer is not read meanwhile. The request is sent once, unless it certainly was not
    /// carried out and nothing of the body was read.
    #[must_use]
    pub fn body_from(mut self, read: impl Read + 'b) -> Self {
        self.body = Body::Reader { read: Box::new(read), len: None };
        self
    }

    /// The same with a length that is known: the server is told, and it must bring as much.
    #[must_use]
    pub fn body_of_length(mut self, read: impl Read + 'b, len: u64) -> Self {
        self.body = Body::Reader { read: Box::new(read), len: Some(len) };
        self
    }

    /// Adds a field behind the body.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.trailer_fields.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Its head, checked.
    pub(crate) fn prepare(&mut self) -> Result<Prepared, ClientError> {
        let url = self.url.clone()?;
        let mut head = RequestHead::default();
        if !is_token(self.method.as_bytes()) || self.method == "CONNECT" {
            return Err(wrong(format!("{:?} is no method that can be sent", self.method)));
        }
        head.set_method(self.method.as_bytes());
        for (name, value) in &self.fields {
            push_field(&mut head.fields, name, value)?;
        }
        if !head.fields.has(Known::UserAgent) {
            head.fields.push_known(Known::UserAgent, USER_AGENT.as_bytes());
        }
        if !self.trailer_fields.is_empty() {
            let mut trailers = Fields::default();
            for (name, value) in &self.trailer_fields {
                push_field(&mut trailers, name, value)?;
            }
            self.trailers = Some(trailers);
        }
        let authority = match &self.authority {
            Some(authority) if check_authority(authority.as_bytes()).is_err() => {
                return Err(wrong(format!("{authority:?} is no authority")));
            }
            Some(authority) => authority.clone(),
            None => url.authority.clone(),
        };
        head.set_query(url.query.as_deref());
        let size = match self.body.length() {
            // In HTTP/1.1 only chunks have trailers behind them.
            _ if self.trailers.is_some() => BodySize::Unknown,
            Some(0) => BodySize::None,
            Some(length) => BodySize::Known(length),
            None => BodySize::Unknown,
        };
        Ok(Prepared { head, authority, size, url })
    }
}

/// A request whose head was checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) head: RequestHead,
    pub(crate) authority: String,
    pub(crate) size: BodySize,
    pub(crate) url: HttpUrl,
}

impl Prepared {
    /// Bytes that the server is told of, where HTTP/2 tells them at all.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.size {
            BodySize::Known(length) => Some(length),
            // A method that has a body says that there is none (RFC 9110, section 8.6).
            BodySize::None => {
                let method = self.head.method;
                matches!(method, Method::Post | Method::Put | Method::Patch).then_some(0)
            }
            BodySize::Unknown => None,
        }
    }
}

fn wrong(reason: String) -> ClientError {
    ClientError::Request { reason }
}

/// Adds a field if it is one: what would break the framing, or begin another line, is refused.
pub(in crate::client) fn push_field(
    fields: &mut Fields,
    name: &str,
    value: &[u8],
) -> Result<(), ClientError> {
    let known = Known::of(name.to_ascii_lowercase().as_bytes());
    if !is_token(name.as_bytes()) {
        return Err(wrong(format!("{name:?} is no name of a field")));
    }
    if is_of_framing(known) {
        return Err(wrong(format!("the field {name} is the client's own")));
    }
    if value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
        return Err(wrong(format!("the field {name} has a control character in its value")));
    }
    fields.push(name.as_bytes(), value.trim_ascii());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(mut request: Request<'_>) -> String {
        request.prepare().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_anybody_is_asked() {
        let get = || Request::get("http://a.example/");
        for (request, word) in [
            (Request::new("GE T", "http://a/"), "no method"),
            (Request::new("", "http://a/"), "no method"),
            (Request::new("CONNECT", "http://a/"), "no method"),
            (Request::get("a"), "no URL"),
            (get().field("a b", "c"), "no name of a field"),
            (get().field("", "c"), "no name of a field"),
            (get().field("Content-Length", "5"), "client's own"),
            (get().field("host", "b"), "client's own"),
            (get().field("x", "a\r\nb: c"), "control character"),
            (get().field("x", b"\0"), "control character"),
            (get().trailer("te", "x"), "client's own"),
            (get().authority("a b"), "no authority"),
        ] {
            let error = refused(request);
            assert!(error.contains(word), "{error}");
            assert!(!error.contains('\r'), "{error}");
        }
    }

    #[test]
    fn the_size_of_the_body_is_known_where_it_can_be() {
        let put = || Request::new("PUT", "http://a.example/b?c");
        let empty: &[u8] = b"";
        for (mut request, size, length) in [
            (put(), BodySize::None, Some(0)),
            (Request::get("http://a/"), BodySize::None, None),
            (put().body("abc"), BodySize::Known(3), Some(3)),
            (put().body_of_length(empty, 7), BodySize::Known(7), Some(7)),
            (put().body_from(empty), BodySize::Unknown, None),
            (put().body("abc").trailer("x", "y"), BodySize::Unknown, None),
        ] {
            let prepared = request.prepare().unwrap();
            assert_eq!((prepared.size, prepared.length()), (size, length), "{request:?}");
        }
        let prepared = put().field("A", " b ").authority("c.example").prepare().unwrap();
        assert_eq!(prepared.head.fields.get_named(b"a"), Some(&b"b"[..]));
        assert_eq!(prepared.authority, "c.example");
        assert_eq!(prepared.head.query(), Some("c"));
    }
}
