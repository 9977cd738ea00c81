//! The heads of requests and responses.

use std::borrow::Cow;

use super::target::{self, TargetError};
use super::{Fields, Method, scan};
use crate::mem::{Reuse, Span};

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// As in logs, such as `HTTP/1.1`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}

/// How long a body is, as its head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodySize {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Known(u64),
    /// It ends where it ends.
    Unknown,
}

/// The head of a request, with its target in normal form: one spelling for each target, by which
/// routes are found, files opened and requests passed on, so that no two parties understand it
/// differently.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The version that it came in.
    pub version: Version,
    /// All fields but `host`, which is [`RequestHead::authority`].
    pub fields: Fields,
    /// Fields that were left out for the underscores in their names.
    pub dropped: u16,
    /// The client accepts trailers: its `te` field has `trailers` (RFC 9110, section 10.1.4). `te`
    /// itself is hop-by-hop and is not kept in `fields`.
    pub takes_trailers: bool,
    text: String,
    method_name: Span,
    authority: Span,
    host: Span,
    path: Span,
    query: Option<Span>,
}

impl Clone for RequestHead {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.clone_from(self);
        copy
    }

    /// Takes no new memory if there is enough.
    fn clone_from(&mut self, other: &Self) {
        // All of them: a field that comes later must not be forgotten here.
        let Self {
            method,
            version,
            fields,
            dropped,
            takes_trailers,
            text,
            method_name,
            authority,
            host,
            path,
            query,
        } = other;
        self.fields.clone_from(fields);
        self.text.clone_from(text);
        (self.method, self.version, self.dropped) = (*method, *version, *dropped);
        self.takes_trailers = *takes_trailers;
        (self.method_name, self.authority, self.host) = (*method_name, *authority, *host);
        (self.path, self.query) = (*path, *query);
    }
}

impl RequestHead {
    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.text.clear();
        let none = Span::default();
        (self.method_name, self.authority, self.host, self.path) = (none, none, none, none);
        self.query = None;
        self.method = Method::default();
        self.version = Version::default();
        self.dropped = 0;
        self.takes_trailers = false;
    }

    /// Bytes of memory that are held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.text.capacity() + self.fields.capacity()
    }

    /// Sets the method by its name.
    pub fn set_method(&mut self, name: &[u8]) {
        self.method = Method::of(name);
        if self.method == Method::Other {
            self.method_name = self.keep(name);
        }
    }

    /// Sets the authority: the host, put into lower case, and perhaps `:` and a port.
    pub fn set_authority(&mut self, authority: &[u8]) {
        let authority = &*target::normalize_authority(authority);
        self.authority = self.keep(authority);
        let host = target::host_len(authority);
        let host = u32::try_from(host).unwrap_or(0);
        self.host = Span::new(self.authority.start(), self.authority.start() + host);
    }

    /// Sets the path, which is in normal form.
    pub fn set_path(&mut self, path: &str) {
        self.path = self.keep_text(path);
    }

    /// Sets the query, which is what follows the `?`.
    pub fn set_query(&mut self, query: Option<&str>) {
        self.query = query.map(|query| self.keep_text(query));
    }

    /// Sets path and query of a target that begins with its path, in normal form; an empty path is
    /// that of the root.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn set_target(&mut self, text: &str) -> Result<(), TargetError> {
        let end = scan::find(b'?', text.as_bytes());
        let (path, query) = match end.and_then(|at| text.split_at_checked(at)) {
            Some((path, query)) => (path, query.get(1..)),
            None => (text, None),
        };
        let path = if path.is_empty() { "/" } else { path };
        if !path.starts_with('/') {
            return Err(TargetError::Byte);
        }
        match target::normalize(path.as_bytes())? {
            Cow::Borrowed(_) => self.set_path(path),
            // It has visible ASCII only.
            Cow::Owned(normal) => self.set_path(std::str::from_utf8(&normal).unwrap_or_default()),
        }
        target::check_query(query.unwrap_or_default().as_bytes())?;
        self.set_query(query);
        Ok(())
    }

    /// Bytes of all that it says.
    #[must_use]
    pub fn size(&self) -> usize {
        self.text.len() + self.fields.size()
    }

    fn keep(&mut self, text: &[u8]) -> Span {
        // All of it was checked to be visible ASCII.
        self.keep_text(std::str::from_utf8(text).unwrap_or_default())
    }

    fn keep_text(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        Span::from_range(start..self.text.len()).unwrap_or_default()
    }

    fn text(&self, span: Span) -> &str {
        span.of_text(&self.text).unwrap_or_default()
    }

    /// The method's name.
    #[must_use]
    pub fn method_name(&self) -> &str {
        match self.method {
            Method::Other => self.text(self.method_name),
            Method::Get
            | Method::Head
            | Method::Post
            | Method::Put
            | Method::Delete
            | Method::Connect
            | Method::Options
            | Method::Trace
            | Method::Query
            | Method::Patch => self.method.name(),
        }
    }

    /// The authority: `host` or `host:port`, in lower case; nothing when HTTP/1.0 gave none.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text(self.authority)
    }

    /// The authority, and the fields to be changed.
    pub fn authority_and_fields(&mut self) -> (&str, &mut Fields) {
        let authority = self.authority.of_text(&self.text).unwrap_or_default();
        (authority, &mut self.fields)
    }

    /// The host without the port, in lower case; an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.text(self.host)
    }

    /// The path in normal form: it begins with `/`, has no dot segments, and escapes only what must
    /// be. `*` for `OPTIONS *`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.text(self.path)
    }

    /// The query, without the `?`.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.map(|query| self.text(query))
    }
}

/// The head of a response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The version that it came in.
    pub version: Version,
    /// All fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// Forgets all, and keeps the memory.
    pub fn clear(&mut self) {
        self.status = 0;
        self.version = Version::default();
        self.fields.clear();
    }

    /// Whether it is one of those that go before the answer (RFC 9110, section 15.2).
    #[must_use]
    pub const fn is_interim(&self) -> bool {
        self.status >= 100 && self.status < 200 && self.status != 101
    }
}

impl Reuse for RequestHead {
    fn clear(&mut self) {
        Self::clear(self);
    }

    fn capacity(&self) -> usize {
        Self::capacity(self)
    }
}

impl Reuse for ResponseHead {
    fn clear(&mut self) {
        Self::clear(self);
    }

    fn capacity(&self) -> usize {
        self.fields.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cleared_head_is_as_a_new_one() {
        let mut head = RequestHead::default();
        head.set_method(b"PROPFIND");
        head.version = Version::Http10;
        head.set_authority(b"a:1");
        head.set_path("/secret");
        head.set_query(Some("x"));
        head.fields.push(b"cookie", b"secret");
        head.dropped = 3;
        head.takes_trailers = true;
        Reuse::clear(&mut head);
        assert_eq!(format!("{head:?}"), format!("{:?}", RequestHead::default()));
        let mut answer = ResponseHead { status: 200, ..ResponseHead::default() };
        answer.version = Version::Http10;
        answer.fields.push(b"set-cookie", b"secret");
        Reuse::clear(&mut answer);
        assert_eq!(format!("{answer:?}"), format!("{:?}", ResponseHead::default()));
    }

    #[test]
    fn a_head_gives_back_its_parts_and_is_used_again() {
        let mut head = RequestHead::default();
        for _ in 0..2 {
            head.clear();
            head.set_method(b"PROPFIND");
            head.set_authority(b"Example.COM:8080");
            head.set_path("/a/b");
            head.set_query(Some("x=1"));
            assert_eq!((head.method_name(), head.path()), ("PROPFIND", "/a/b"));
            assert_eq!((head.authority(), head.host()), ("example.com:8080", "example.com"));
            assert_eq!(head.query(), Some("x=1"));
        }
        head.set_method(b"GET");
        assert_eq!(head.method_name(), "GET");
        head.set_authority(b"[::1]:80");
        assert_eq!(head.host(), "[::1]");
        head.clear();
        assert_eq!((head.path(), head.query(), head.authority()), ("", None, ""));
    }
}
