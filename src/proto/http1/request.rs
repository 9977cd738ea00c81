//! The heads of requests, as a server reads them (RFC 9112, section 3).

use std::mem::MaybeUninit;

use super::framing::{Declared, trim};
use super::lines::HeadScanner;
use super::{FIELDS_MAX, Framing, HeadLimits, Refusal};
use crate::proto::http::target;
use crate::proto::http::{Known, Method, RequestHead, Version, is_token, scan};

/// Empty lines that are skipped before a request (RFC 9112, section 2.2).
const EMPTY_LINES_MAX: usize = 2;
/// So many first bytes are looked at whenever some of them come.
const GREETING_MAX: usize = 32;
/// Beside the target, a request line has a method and a version of about so many bytes.
const LINE_SPARE: usize = 64;

/// What a request's head says about its connection and its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestMeta {
    /// Bytes of the head.
    pub len: usize,
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the connection may go on behind it.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Whether it asks for another protocol; then the head has its `upgrade` field.
    pub upgrade: bool,
}

/// Reads the head of one request after the other.
///
/// Calling order: [`RequestReader::read`] with the bytes from the end of the last message on, and
/// again with more, until it gives a head; then the body's bytes, elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestReader {
    scanner: HeadScanner,
    /// Bytes of empty lines before the head.
    skipped: usize,
    /// The request line is all there, and is one.
    has_line: bool,
}

impl RequestReader {
    /// Reads a head into `head`; `None` as long as it is not all there. `input` is that of the last
    /// call and what has come since.
    ///
    /// # Errors
    /// What is wrong with it. The connection is of no further use then, because nobody knows where
    /// the next message would begin.
    pub fn read(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<Option<RequestMeta>, Refusal> {
        let input = self.skip_empty_lines(input)?;
        let Some(len) = self.scanner.find(input)? else {
            if self.scanner.is_in_first_line() && input.len() > limits.target + LINE_SPARE {
                return Err(Refusal::TargetTooLong);
            }
            self.check_line(input)?;
            return if input.len() > limits.size { Err(Refusal::HeadTooLarge) } else { Ok(None) };
        };
        if len > limits.size {
            let line = scan::find(b'\r', input).unwrap_or(len);
            let is_target = line > limits.target + LINE_SPARE;
            return Err(if is_target { Refusal::TargetTooLong } else { Refusal::HeadTooLarge });
        }
        let skipped = self.skipped;
        *self = Self::default();
        head.clear();
        let mut meta = parse(input.get(..len).unwrap_or_default(), limits, head)?;
        meta.len += skipped;
        Ok(Some(meta))
    }

    /// Whether a head has begun.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.skipped > 0 || !self.scanner.is_in_first_line()
    }

    /// Checks the request line before the rest of the head is there, so that another protocol, such
    /// as TLS or SSH, is refused as soon as that is certain, and not when the head times out.
    fn check_line(&mut self, input: &[u8]) -> Result<(), Refusal> {
        let is_all_there = !self.scanner.is_in_first_line();
        if self.has_line || input.is_empty() || !is_all_there && input.len() > GREETING_MAX {
            return Ok(());
        }
        self.has_line = is_all_there;
        let line = scan::find(b'\n', input).map_or(input, |end| &input[..=end]);
        match httparse::Request::new(&mut []).parse(line) {
            Err(error) if is_later_minor(error, line) => Ok(()),
            // Which version it is not is known at the end of the line.
            Err(httparse::Error::Version) if !is_all_there => Ok(()),
            Err(error) => Err(of_error(error, line)),
            Ok(_) => Ok(()),
        }
    }

    fn skip_empty_lines<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let mut rest = input.get(self.skipped..).unwrap_or_default();
        while let [b'\r', b'\n', tail @ ..] = rest {
            if self.skipped == 2 * EMPTY_LINES_MAX {
                return Err(Refusal::EmptyLines);
            }
            self.skipped += 2;
            // It has scanned bytes that were now skipped.
            self.scanner = HeadScanner::default();
            rest = tail;
        }
        Ok(rest)
    }
}

/// Parses a head that is all there.
fn parse(
    input: &[u8],
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<RequestMeta, Refusal> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let fields = fields.get_mut(..limits.fields.min(FIELDS_MAX)).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(input, fields) {
        Ok(httparse::Status::Complete(len)) if len == input.len() => {}
        Ok(_) => return Err(Refusal::RequestLine),
        Err(error) if is_later_minor(error, input) => {
            return parse(&as_minor_one(input), limits, head);
        }
        Err(error) => return Err(of_error(error, input)),
    }
    let (Some(method), Some(text), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Refusal::RequestLine);
    };
    if !is_token(method.as_bytes()) {
        return Err(Refusal::RequestLine);
    }
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    head.set_method(method.as_bytes());
    if text.len() > limits.target {
        return Err(Refusal::TargetTooLong);
    }
    let mut connection = Connection::new(head.version);
    for field in request.headers.iter() {
        // No field that affects framing or the connection has an underscore in its name.
        if !limits.underscores && scan::find(b'_', field.name.as_bytes()).is_some() {
            head.dropped += 1;
            continue;
        }
        connection.note(field.name.as_bytes(), trim(field.value), head)?;
    }
    set_target(text, connection.host, head)?;
    connection.finish(input.len(), head)
}

/// Which rule a head breaks that cannot be parsed.
fn of_error(error: httparse::Error, input: &[u8]) -> Refusal {
    match error {
        httparse::Error::HeaderName => Refusal::FieldName,
        httparse::Error::HeaderValue => Refusal::FieldValue,
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version => of_version(input),
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => {
            Refusal::RequestLine
        }
    }
}

/// The version of a request line; `None` when there is a word behind it.
fn version_of(input: &[u8]) -> Option<&[u8]> {
    let line = input.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let version = words.nth(2).unwrap_or_default();
    words.next().is_none().then_some(version)
}

/// Whether all that is wrong is a minor version above 1, which is treated as 1 (RFC 9110, section
/// 6.2).
fn is_later_minor(error: httparse::Error, input: &[u8]) -> bool {
    error == httparse::Error::Version
        && matches!(
            version_of(input),
            Some([b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'])
        )
}

/// A head of HTTP/1.2 or later as one of HTTP/1.1.
fn as_minor_one(input: &[u8]) -> Vec<u8> {
    let mut head = input.to_vec();
    let end = scan::find(b'\r', &head).unwrap_or(0);
    if let Some(minor) = end.checked_sub(1).and_then(|at| head.get_mut(at)) {
        *minor = b'1';
    }
    head
}

/// A version that is not spoken, or no version at all.
fn of_version(input: &[u8]) -> Refusal {
    let Some(version) = version_of(input) else { return Refusal::RequestLine };
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Refusal::VersionUnsupported
        }
        [..] => Refusal::Version,
    }
}

/// What the fields of a head say about the connection and the body.
struct Connection<'a> {
    declared: Declared,
    host: Option<&'a [u8]>,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    has_nominated: bool,
    expects_continue: bool,
}

impl<'a> Connection<'a> {
    fn new(version: Version) -> Self {
        Self {
            declared: Declared::default(),
            host: None,
            close: false,
            keep_alive: version == Version::Http11,
            upgrade: false,
            has_nominated: false,
            expects_continue: false,
        }
    }

    /// Takes a field: those of the connection are kept here, all others go to the head.
    fn note(
        &mut self,
        name: &[u8],
        value: &'a [u8],
        head: &mut RequestHead,
    ) -> Result<(), Refusal> {
        if name.is_empty() {
            return Err(Refusal::FieldName);
        }
        let known = Known::of_any_case(name);
        if known == Known::Host {
            if self.host.replace(value).is_some() {
                return Err(Refusal::HostRepeated);
            }
        } else if known == Known::ContentLength {
            self.declared.note_length(value)?;
        } else if known == Known::TransferEncoding {
            self.declared.note_codings(value);
        } else if known == Known::Expect {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(Refusal::Expectation);
            }
            self.expects_continue = head.version == Version::Http11;
        } else {
            if known == Known::Connection {
                self.note_options(value);
            }
            // Which fields it names, and what is asked for, is looked at once all are there.
            let is_kept = matches!(known, Known::Connection | Known::Upgrade);
            if is_kept || !known.is_hop_by_hop() {
                head.fields.push_as(known, name, value);
            }
        }
        Ok(())
    }

    /// The options of a `Connection` field (RFC 9110, section 7.6.1).
    fn note_options(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(trim) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.has_nominated |= !option.is_empty();
            }
        }
    }

    fn finish(&self, len: usize, head: &mut RequestHead) -> Result<RequestMeta, Refusal> {
        let framing = if self.declared.is_chunked(head.version)? {
            Framing::Chunked
        } else {
            match self.declared.length {
                None | Some(0) => Framing::None,
                Some(length) => Framing::Length(length),
            }
        };
        let upgrade = self.upgrade && head.version == Version::Http11;
        // HTTP/2 over an upgrade is obsolete (RFC 9113, section 3.1), and would pass all routes by.
        let is_h2c = head.fields.list(Known::Upgrade).any(|one| one.eq_ignore_ascii_case(b"h2c"));
        let upgrade = upgrade && head.fields.has(Known::Upgrade) && framing == Framing::None;
        let upgrade = upgrade && !is_h2c;
        drop_of_connection(self.has_nominated, upgrade, &mut head.fields);
        Ok(RequestMeta {
            len,
            framing,
            keep_alive: self.keep_alive && !self.close,
            expects_continue: self.expects_continue && framing != Framing::None,
            upgrade,
        })
    }
}

/// Removes the fields that are about the connection, and those that it names as such.
pub(super) fn drop_of_connection(
    has_nominated: bool,
    upgrade: bool,
    fields: &mut crate::proto::http::Fields,
) {
    if has_nominated {
        fields.remove_nominated();
    }
    if !upgrade {
        fields.remove_known(Known::Upgrade);
    }
    fields.remove_known(Known::Connection);
}

/// Takes a target apart (RFC 9112, section 3.2).
fn set_target(text: &str, host: Option<&[u8]>, head: &mut RequestHead) -> Result<(), Refusal> {
    if let (None, Version::Http11) = (host, head.version) {
        return Err(Refusal::HostMissing);
    }
    if let Some(host) = host {
        target::check_authority(host).map_err(Refusal::Host)?;
    }
    match text.as_bytes() {
        bytes if head.method == Method::Connect => {
            let port = bytes.get(target::host_len(bytes)..).unwrap_or_default();
            if port.len() < 2 {
                return Err(Refusal::TargetForm);
            }
            target::check_authority(bytes).map_err(Refusal::Target)?;
            head.set_authority(bytes);
            return Ok(());
        }
        [b'/', ..] => {
            head.set_authority(host.unwrap_or_default());
            return head.set_target(text).map_err(Refusal::Target);
        }
        b"*" if head.method == Method::Options => {
            head.set_authority(host.unwrap_or_default());
            head.set_path(text);
            return Ok(());
        }
        _ => {}
    }
    // The authority of an absolute form goes before `Host` (RFC 9112, section 3.2.2).
    let rest = after_scheme(text).ok_or(Refusal::TargetForm)?;
    let end = rest.find(['/', '?', '#']);
    let (authority, path) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or_default();
    target::check_authority(authority.as_bytes()).map_err(Refusal::Target)?;
    head.set_authority(authority.as_bytes());
    // The server as a whole (RFC 9112, section 3.2.4).
    if head.method == Method::Options && path.is_empty() {
        head.set_path("*");
        return Ok(());
    }
    head.set_target(path).map_err(Refusal::Target)
}

/// What follows the scheme of an absolute form.
fn after_scheme(text: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}
