//! From the fields of a block to the head of a request (RFC 9113, section 8.3.1).

use super::error::Violation;
use super::hpack::{
    BlockCursor, DecodedField, Decoder, Encoder, Flaw, HpackError, Keep, Name, Pseudo,
};
use super::response::{write_fields, write_length};
use super::workspace::Workspace;
use crate::proto::http::{Fields, Known, Method, RequestHead, Version, read_length, scan, target};
use crate::proto::http1::{Framing, HeadLimits, Refusal, RequestMeta};
use crate::proto::websocket::handshake;

/// Bytes that each field counts beside its text (RFC 9113, section 6.5.2).
pub(super) const FIELD_OVERHEAD: usize = 32;

/// Why a head is no request that can be answered in the ordinary way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeadFault {
    /// It is malformed: its stream is reset.
    Malformed(Violation),
    /// It is a request that is refused with a status.
    Refused(Refusal),
}

/// What a head says beside what [`RequestHead`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HeadInfo {
    /// Bytes of the body, if that is said.
    pub(super) length: Option<u64>,
    /// The client waits to be told to send its body.
    pub(super) expects_continue: bool,
    /// The protocol that is asked for (RFC 8441): the request is an extended CONNECT.
    pub(super) protocol: Protocol,
    /// The priority (RFC 9218).
    pub(super) priority: Priority,
}

/// What an extended CONNECT asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Protocol {
    /// The request is none.
    #[default]
    None,
    /// A WebSocket: its head is made that of an upgrade of HTTP/1.1, so that nobody behind has to
    /// know two.
    WebSocket,
    /// Something else, which nobody answers.
    Other,
}

impl HeadInfo {
    /// The same as HTTP/1.1 tells it of its requests.
    #[must_use]
    pub(super) fn meta(&self, len: usize, ends: bool) -> RequestMeta {
        let framing = match (ends, self.length) {
            (true, _) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Chunked,
        };
        RequestMeta {
            len,
            framing,
            keep_alive: true,
            expects_continue: self.expects_continue && !ends,
            upgrade: self.protocol == Protocol::WebSocket,
        }
    }
}

/// How urgent an answer is (RFC 9218, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// 0 to 7; 0 is the most urgent.
    pub urgency: u8,
    /// Whether parts of it are of use, so that it shares with others.
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads a priority; what is not understood is left out (RFC 9218, section 4; the syntax is
    /// that of RFC 9651, of which it needs numbers and booleans).
    pub(super) fn read(&mut self, text: &[u8]) {
        for member in text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let member = member.split(|byte| *byte == b';').next().unwrap_or_default();
            match member {
                [b'u', b'=', digit @ b'0'..=b'7'] => self.urgency = digit - b'0',
                b"i" | b"i=?1" => self.incremental = true,
                b"i=?0" => self.incremental = false,
                _ => {}
            }
        }
    }
}

/// What has been seen of a head.
struct Assembler<'a> {
    head: &'a mut RequestHead,
    space: &'a mut Workspace,
    limits: &'a RequestLimits,
    info: HeadInfo,
    /// A bit for each pseudo-header field.
    seen: u8,
    has_field: bool,
    fields: usize,
    crumbs: usize,
    size: usize,
    has_host: bool,
    fault: Option<HeadFault>,
}

/// What a request's head may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// As of every version.
    pub head: HeadLimits,
    /// Fields that are parts of the cookie, beside all others.
    pub crumbs: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { head: HeadLimits::default(), crumbs: 256 }
    }
}

/// The protocol of an extended CONNECT that is understood.
const WEBSOCKET: &[u8] = b"websocket";

const AUTHORITY: u8 = 1;
const METHOD: u8 = 1 << 1;
const PATH: u8 = 1 << 2;
const SCHEME: u8 = 1 << 3;
const PROTOCOL: u8 = 1 << 4;

/// Reads a block into `head`. A head with a fault is read to its end, too, as the tables of header
/// compression go on.
///
/// # Errors
/// It cannot be decoded.
pub(super) fn read_request(
    block: &[u8],
    decoder: &mut Decoder,
    space: &mut Workspace,
    limits: &RequestLimits,
    head: &mut RequestHead,
) -> Result<Result<HeadInfo, HeadFault>, HpackError> {
    head.clear();
    space.clear();
    let mut text = std::mem::take(&mut space.text);
    let mut cursor = BlockCursor::default();
    let mut assembler = Assembler {
        head,
        space,
        limits,
        info: HeadInfo::default(),
        seen: 0,
        has_field: false,
        fields: 0,
        crumbs: 0,
        size: 0,
        has_host: false,
        fault: None,
    };
    let read = loop {
        match decoder.next(block, &mut cursor, &mut text) {
            Ok(Some(field)) if assembler.fault.is_none() => {
                assembler.fault = assembler.take(&field).err();
            }
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let found = match assembler.fault {
        Some(fault) => Err(fault),
        None => assembler.finish(),
    };
    space.text = text;
    read.map(|()| found)
}

const fn malformed<T>(violation: Violation) -> Result<T, HeadFault> {
    Err(HeadFault::Malformed(violation))
}

impl Assembler<'_> {
    fn take(&mut self, field: &DecodedField<'_>) -> Result<(), HeadFault> {
        self.size += field.name.len() + field.value.len() + FIELD_OVERHEAD;
        if self.size > self.limits.head.size {
            return Err(HeadFault::Refused(Refusal::HeadTooLarge));
        }
        match field.flaw {
            Some(Flaw::Name) => return malformed(Violation::FieldName),
            Some(Flaw::Value) => return malformed(Violation::FieldValue),
            None => {}
        }
        match field.kind {
            Name::Pseudo(pseudo) => self.take_pseudo(pseudo, field.value),
            Name::Field(known) => self.take_field(known, field),
        }
    }

    fn take_pseudo(&mut self, pseudo: Pseudo, value: &[u8]) -> Result<(), HeadFault> {
        let bit = match pseudo {
            Pseudo::Authority => AUTHORITY,
            Pseudo::Method => METHOD,
            Pseudo::Path => PATH,
            Pseudo::Scheme => SCHEME,
            Pseudo::Protocol => PROTOCOL,
            Pseudo::Status | Pseudo::Unknown => return malformed(Violation::PseudoUnknown),
        };
        if self.has_field {
            return malformed(Violation::PseudoMisplaced);
        }
        if self.seen & bit != 0 {
            return malformed(Violation::PseudoRepeated);
        }
        self.seen |= bit;
        match pseudo {
            Pseudo::Method if crate::proto::http::is_token(value) => self.head.set_method(value),
            Pseudo::Scheme if value == b"http" || value == b"https" => {}
            Pseudo::Method | Pseudo::Scheme => return malformed(Violation::PseudoValue),
            Pseudo::Path if value.is_empty() => return malformed(Violation::PseudoValue),
            Pseudo::Path if value.len() > self.limits.head.target => {
                return Err(HeadFault::Refused(Refusal::TargetTooLong));
            }
            Pseudo::Path => self.space.path.extend_from_slice(value),
            Pseudo::Authority => {
                target::check_authority(value)
                    .map_err(|error| HeadFault::Refused(Refusal::Host(error)))?;
                self.head.set_authority(value);
            }
            Pseudo::Protocol if value.eq_ignore_ascii_case(WEBSOCKET) => {
                self.info.protocol = Protocol::WebSocket;
            }
            Pseudo::Protocol => self.info.protocol = Protocol::Other,
            Pseudo::Status | Pseudo::Unknown => {}
        }
        Ok(())
    }

    fn take_field(&mut self, known: Known, field: &DecodedField<'_>) -> Result<(), HeadFault> {
        self.has_field = true;
        if known == Known::Cookie {
            return self.take_crumb(field);
        }
        self.fields += 1;
        if self.fields > self.limits.head.fields {
            return Err(HeadFault::Refused(Refusal::TooManyFields));
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are ordinary")]
        match known {
            Known::Other => {
                if !self.limits.head.underscores && scan::find(b'_', field.name).is_some() {
                    self.head.dropped += 1;
                    return Ok(());
                }
                if field.name == b"priority" {
                    self.info.priority.read(field.value);
                }
                self.head.fields.push(field.name, field.value);
                self.note_never_indexed(field);
                return Ok(());
            }
            Known::Host => return self.take_host(field.value),
            Known::ContentLength => return self.take_length(field.value),
            Known::Expect => {
                if !field.value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(HeadFault::Refused(Refusal::Expectation));
                }
                self.info.expects_continue = true;
                return Ok(());
            }
            // The only field of the connection that may be there, with this value only.
            Known::Te if field.value.eq_ignore_ascii_case(b"trailers") => {
                self.head.takes_trailers = true;
                return Ok(());
            }
            _ if known.is_hop_by_hop() || known == Known::Te => {
                return malformed(Violation::ConnectionField);
            }
            _ => {}
        }
        self.head.fields.push_known(known, field.value);
        self.note_never_indexed(field);
        Ok(())
    }

    fn note_never_indexed(&mut self, field: &DecodedField<'_>) {
        if field.never_indexed {
            self.head.fields.mark_last_never_indexed();
        }
    }

    /// The parts of a cookie are put together (RFC 9113, section 8.2.3).
    fn take_crumb(&mut self, field: &DecodedField<'_>) -> Result<(), HeadFault> {
        self.crumbs += 1;
        if self.crumbs > self.limits.crumbs {
            return Err(HeadFault::Refused(Refusal::TooManyFields));
        }
        let cookie = &mut self.space.cookie;
        if !cookie.is_empty() {
            cookie.extend_from_slice(b"; ");
        }
        cookie.extend_from_slice(field.value);
        Ok(())
    }

    fn take_host(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        if std::mem::replace(&mut self.has_host, true) {
            return Err(HeadFault::Refused(Refusal::HostRepeated));
        }
        target::check_authority(value).map_err(|error| HeadFault::Refused(Refusal::Host(error)))?;
        if self.seen & AUTHORITY == 0 {
            self.head.set_authority(value);
            return Ok(());
        }
        let is_same = *target::normalize_authority(value) == *self.head.authority().as_bytes();
        if is_same { Ok(()) } else { malformed(Violation::HostDiffers) }
    }

    fn take_length(&mut self, value: &[u8]) -> Result<(), HeadFault> {
        let length = read_length(value).filter(|_| self.info.length.is_none());
        self.info.length = Some(length.ok_or(HeadFault::Malformed(Violation::LengthInvalid))?);
        Ok(())
    }

    /// All fields have come.
    fn finish(self) -> Result<HeadInfo, HeadFault> {
        let Self { head, space, mut info, seen, has_host, .. } = self;
        head.version = Version::Http2;
        let is_connect = head.method == Method::Connect;
        let needed = match (is_connect, info.protocol != Protocol::None) {
            // RFC 9113, section 8.5.
            (true, false) => METHOD | AUTHORITY,
            (true, true) => METHOD | SCHEME | PATH | AUTHORITY | PROTOCOL,
            (false, _) => METHOD | SCHEME | PATH,
        };
        if seen & needed != needed {
            return malformed(Violation::PseudoMissing);
        }
        let allowed = needed | if is_connect { 0 } else { AUTHORITY };
        if seen & !allowed != 0 {
            return malformed(Violation::PseudoUnknown);
        }
        if seen & AUTHORITY == 0 && !has_host {
            return Err(HeadFault::Refused(Refusal::HostMissing));
        }
        if !space.cookie.is_empty() {
            head.fields.push_known(Known::Cookie, &space.cookie);
        }
        if seen & PATH != 0 {
            set_path(&space.path, head)?;
        }
        if info.length == Some(0) {
            info.expects_continue = false;
        }
        if info.protocol == Protocol::WebSocket {
            if info.length.is_some() {
                // What follows is no body (RFC 9110, section 9.3.6).
                return malformed(Violation::LengthInvalid);
            }
            info.expects_continue = false;
            head.set_method(b"GET");
            head.fields.push_known(Known::Upgrade, WEBSOCKET);
        }
        Ok(info)
    }
}

fn set_path(path: &[u8], head: &mut RequestHead) -> Result<(), HeadFault> {
    if path == b"*" && head.method == Method::Options {
        head.set_path("*");
        return Ok(());
    }
    let text = std::str::from_utf8(path).unwrap_or_default();
    if !text.starts_with('/') {
        return malformed(Violation::PseudoValue);
    }
    let set = head.set_target(text);
    set.map_err(|error| HeadFault::Refused(Refusal::Target(error)))
}

/// Reads the block of trailers.
///
/// # Errors
/// It cannot be decoded.
pub(super) fn read_trailers(
    block: &[u8],
    decoder: &mut Decoder,
    space: &mut Workspace,
    limits: &HeadLimits,
    trailers: &mut Fields,
) -> Result<Result<(), HeadFault>, HpackError> {
    space.clear();
    let mut cursor = BlockCursor::default();
    let (mut size, mut fault) = (0, None);
    while let Some(field) = decoder.next(block, &mut cursor, &mut space.text)? {
        size += field.name.len() + field.value.len() + FIELD_OVERHEAD;
        if fault.is_some() {
            continue;
        }
        fault = match (field.flaw, field.kind) {
            (Some(Flaw::Name), _) => Some(HeadFault::Malformed(Violation::FieldName)),
            (Some(Flaw::Value), _) => Some(HeadFault::Malformed(Violation::FieldValue)),
            (None, Name::Pseudo(_)) => Some(HeadFault::Malformed(Violation::PseudoUnknown)),
            (None, Name::Field(known)) if known.is_hop_by_hop() => {
                Some(HeadFault::Malformed(Violation::ConnectionField))
            }
            (None, Name::Field(_)) if size > limits.size || trailers.len() >= limits.fields => {
                Some(HeadFault::Refused(Refusal::Trailers))
            }
            (None, Name::Field(_)) => {
                trailers.push(field.name, field.value);
                None
            }
        };
    }
    Ok(fault.map_or(Ok(()), Err))
}

/// What is sent of a request before its body.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// The path that is asked for.
    pub path: &'a str,
    /// Whom it is for.
    pub authority: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Bytes of its body, if that is known and there is one.
    pub length: Option<u64>,
    /// It asks for a WebSocket, as HTTP/1.1's `upgrade` does: what goes out is an extended CONNECT
    /// (RFC 8441), and its body are the bytes of that.
    pub websocket: bool,
}

/// Writes the block of a request's head.
pub(super) fn write_request(request: &RequestLine<'_>, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let RequestLine { head, path, authority, scheme, length, websocket } = *request;
    encoder.begin(out);
    let mut pseudo = |pseudo, name: &'static [u8], value: &[u8], out: &mut Vec<u8>| {
        let name = (Name::Pseudo(pseudo), name);
        encoder.field(name, value, Keep::of(name.0, name.1), out);
    };
    let method = if websocket { "CONNECT" } else { head.method_name() };
    pseudo(Pseudo::Method, b":method", method.as_bytes(), out);
    if websocket {
        pseudo(Pseudo::Protocol, b":protocol", WEBSOCKET, out);
    }
    if head.method != Method::Connect {
        pseudo(Pseudo::Scheme, b":scheme", scheme.as_bytes(), out);
        match head.query() {
            None => pseudo(Pseudo::Path, b":path", path.as_bytes(), out),
            Some(query) => {
                let whole = [path, "?", query].concat();
                pseudo(Pseudo::Path, b":path", whole.as_bytes(), out);
            }
        }
    }
    pseudo(Pseudo::Authority, b":authority", authority.as_bytes(), out);
    // A key is HTTP/1.1's (RFC 8441, section 5).
    let without = websocket.then_some(handshake::KEY);
    write_fields(&head.fields, without, encoder, out);
    if head.takes_trailers {
        encoder.field((Name::Field(Known::Te), b"te"), b"trailers", Keep::Table, out);
    }
    write_length(length, encoder, out);
}
