//! The heads of responses, as a client reads them (RFC 9112, section 4).

use std::mem::MaybeUninit;

use super::framing::{Declared, trim};
use super::lines::HeadScanner;
use super::request::drop_of_connection;
use super::{FIELDS_MAX, Framing, HeadLimits, Refusal};
use crate::proto::http::{Known, Method, ResponseHead, Version};

/// What a response's head says about its connection and its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseMeta {
    /// Bytes of the head.
    pub len: usize,
    /// How the body is delimited.
    pub framing: Framing,
    /// The length that is declared, also where no body follows, as for `HEAD`.
    pub length: Option<u64>,
    /// Whether the connection may go on behind it.
    pub keep_alive: bool,
}

/// Reads the head of one response after the other.
///
/// Calling order as of [`RequestReader`](super::RequestReader).
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseReader {
    scanner: HeadScanner,
}

impl ResponseReader {
    /// Reads the head of the answer to a request with `method` into `head`; `None` as long as it is
    /// not all there.
    ///
    /// # Errors
    /// What is wrong with it. The connection is of no further use then.
    pub fn read(
        &mut self,
        input: &[u8],
        method: Method,
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Result<Option<ResponseMeta>, Refusal> {
        let Some(len) = self.scanner.find(input)? else {
            return if input.len() > limits.size { Err(Refusal::HeadTooLarge) } else { Ok(None) };
        };
        if len > limits.size {
            return Err(Refusal::HeadTooLarge);
        }
        *self = Self::default();
        head.clear();
        parse(input.get(..len).unwrap_or_default(), method, limits, head).map(Some)
    }
}

fn parse(
    input: &[u8],
    method: Method,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<ResponseMeta, Refusal> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let fields = fields.get_mut(..limits.fields.min(FIELDS_MAX)).unwrap_or_default();
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, input, fields) {
        Ok(httparse::Status::Complete(len)) if len == input.len() => {}
        Ok(_) => return Err(Refusal::StatusLine),
        Err(httparse::Error::Version) => {
            let later = as_minor_one(input).ok_or(Refusal::Version)?;
            return parse(&later, method, limits, head);
        }
        Err(error) => return Err(of_error(error)),
    }
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(Refusal::StatusLine);
    };
    if !(100..=999).contains(&status) {
        return Err(Refusal::StatusLine);
    }
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    head.status = status;
    let mut declared = Declared::default();
    let (mut close, mut keep_alive) = (false, head.version == Version::Http11);
    let mut has_nominated = false;
    for field in response.headers.iter() {
        if field.name.is_empty() {
            return Err(Refusal::FieldName);
        }
        let value = trim(field.value);
        head.fields.push(field.name.as_bytes(), value);
        let known = head.fields.last_known();
        if known == Known::ContentLength {
            declared.note_length(value)?;
        } else if known == Known::TransferEncoding {
            declared.note_codings(value);
        } else if known == Known::Connection {
            for option in value.split(|byte| *byte == b',').map(trim) {
                if option.eq_ignore_ascii_case(b"close") {
                    close = true;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    keep_alive = true;
                } else {
                    has_nominated |= !option.is_empty();
                }
            }
            continue;
        } else if known == Known::Upgrade || !known.is_hop_by_hop() {
            continue;
        }
        head.fields.pop();
    }
    // What a 426 asks for stands in that field (RFC 9110, section 15.5.22).
    drop_of_connection(has_nominated, matches!(status, 101 | 426), &mut head.fields);
    let framing = framing(&declared, method, head)?;
    Ok(ResponseMeta {
        len: input.len(),
        framing,
        length: declared.length,
        keep_alive: keep_alive && !close && framing != Framing::UntilClose,
    })
}

/// A head of HTTP/1.2 or later as one of HTTP/1.1, which it is treated as (RFC 9110, section 6.2).
fn as_minor_one(input: &[u8]) -> Option<Vec<u8>> {
    let rest = input.strip_prefix(b"HTTP/1.")?;
    matches!(rest, [b'2'..=b'9', b' ', ..]).then(|| [b"HTTP/1.1", &rest[1..]].concat())
}

fn of_error(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::HeaderName => Refusal::FieldName,
        httparse::Error::HeaderValue => Refusal::FieldValue,
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version => Refusal::Version,
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => {
            Refusal::StatusLine
        }
    }
}

/// How long the body is (RFC 9112, section 6.3).
fn framing(declared: &Declared, method: Method, head: &ResponseHead) -> Result<Framing, Refusal> {
    let chunked = declared.is_chunked(head.version)?;
    let is_empty = head.status < 200 || matches!(head.status, 204 | 304) || method == Method::Head;
    // What a tunnel answers after 2xx is no body (rule 2), and no tunnel is asked for here.
    Ok(match declared.length {
        _ if is_empty => Framing::None,
        _ if chunked => Framing::Chunked,
        Some(0) => Framing::None,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    })
}
