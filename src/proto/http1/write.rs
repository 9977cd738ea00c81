//! Messages on their way out, written anew from their parsed form: no byte of a head is passed on
//! that was not understood.

use super::Framing;
use crate::proto::http::{Digits, Fields, Known, RequestHead, ResponseHead, Version};

/// The end of a body in chunks, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// What tells a client to send its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How a message is delimited, and what becomes of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimit {
    /// The body's framing.
    pub framing: Framing,
    /// The `content-length` to say, also where no body follows (`HEAD`, 304); with
    /// [`Framing::Length`] the same.
    pub length: Option<u64>,
    /// What the `connection` field says.
    pub connection: Connection,
}

/// What a `connection` field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: it goes on, as HTTP/1.1 has it.
    Persist,
    /// It goes on, which an HTTP/1.0 peer has to be told.
    KeepAlive,
    /// It ends behind this message.
    Close,
    /// It changes to the protocol of the `upgrade` field, or may.
    Upgrade,
    /// It ends behind this message, and another may change to the protocol of `upgrade`.
    CloseUpgrade,
}

impl Connection {
    /// The same with an `upgrade` field in the message, which has to be named as one of the
    /// connection (RFC 9110, section 7.8).
    #[must_use]
    pub const fn with_upgrade(self) -> Self {
        match self {
            Self::Persist | Self::KeepAlive | Self::Upgrade => Self::Upgrade,
            Self::Close | Self::CloseUpgrade => Self::CloseUpgrade,
        }
    }
}

/// Writes the head of a request for `path` to a server, with a field that it does not have, if
/// there is one. `authority` is its `host` field.
pub fn request(
    head: &RequestHead,
    (path, authority): (&str, &[u8]),
    more: Option<(&[u8], &[u8])>,
    delimit: Delimit,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(head.method_name().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_bytes());
    if let Some(query) = head.query() {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(authority);
    out.extend_from_slice(b"\r\n");
    fields(&head.fields, out);
    if let Some((name, value)) = more {
        field(name, value, out);
    }
    end_of_head(delimit, out);
}

/// Writes the head of a response.
pub fn response(head: &ResponseHead, reason: &str, delimit: Delimit, out: &mut Vec<u8>) {
    status_line(head.status, reason, out);
    fields(&head.fields, out);
    end_of_head(delimit, out);
}

/// Writes a status line.
pub fn status_line(status: u16, reason: &str, out: &mut Vec<u8>) {
    let digit = |of: u16| b'0' + u8::try_from(of % 10).unwrap_or(0);
    let mut line = *b"HTTP/1.1 000 ";
    [line[9], line[10], line[11]] = [status / 100, status / 10, status].map(digit);
    out.extend_from_slice(&line);
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes fields, one a line.
pub fn fields(fields: &Fields, out: &mut Vec<u8>) {
    out.reserve(fields.text_len() + 64);
    fields.write_lines(out);
}

/// Writes one field.
pub fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes what delimits the message, and the empty line.
pub fn end_of_head(delimit: Delimit, out: &mut Vec<u8>) {
    match delimit.framing {
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::Length(_) | Framing::UntilClose => {
            if let Some(length) = delimit.framing_length() {
                self::length(length, out);
            }
        }
    }
    end_with(delimit.connection, out);
}

/// Writes how long a body is.
pub fn length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    number(length, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes what becomes of the connection, and the empty line.
pub fn end_with(connection: Connection, out: &mut Vec<u8>) {
    out.extend_from_slice(match connection {
        Connection::Persist => b"\r\n",
        Connection::KeepAlive => b"connection: keep-alive\r\n\r\n",
        Connection::Close => b"connection: close\r\n\r\n",
        Connection::Upgrade => b"connection: upgrade\r\n\r\n",
        Connection::CloseUpgrade => b"connection: close, upgrade\r\n\r\n",
    });
}

impl Delimit {
    const fn framing_length(self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::UntilClose => self.length,
        }
    }
}

/// Writes the head of a chunk.
pub fn chunk_head(len: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut shift = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1) * 4;
    while shift > 0 {
        shift -= 4;
        if let Some(digit) = DIGITS.get(len >> shift & 0xf) {
            out.push(*digit);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a body in chunks, with its trailers.
pub fn last_chunk(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    let Some(trailers) = trailers else {
        out.extend_from_slice(LAST_CHUNK);
        return;
    };
    out.extend_from_slice(b"0\r\n");
    fields(trailers, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal.
pub fn number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(Digits::of(number).text());
}

/// How a body of unknown length goes to a client: in chunks, or up to the end of the connection
/// where the client does not know chunks.
#[must_use]
pub const fn framing_for(version: Version, length: Option<u64>) -> Framing {
    match (length, version) {
        (Some(0), _) => Framing::None,
        (Some(length), _) => Framing::Length(length),
        (None, Version::Http11 | Version::Http2) => Framing::Chunked,
        (None, Version::Http10) => Framing::UntilClose,
    }
}

/// Whether a field that somebody configures would break the framing of a message.
#[must_use]
pub const fn is_of_framing(known: Known) -> bool {
    known.is_hop_by_hop() || matches!(known, Known::ContentLength | Known::Host)
}
