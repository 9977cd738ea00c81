//! A client's side of one connection (RFC 9112): one exchange after the other.
//!
//! ```text
//!              begin                 send_head            send_end
//!   request:   ─────> (Begun) ─────────────> Body ──────────────────> Sent
//!
//!              begin           head                     end, or the connection's
//!   answer:    ─────> Head ───────────> Body ──────────────────────────────────> Idle
//!                     ^  │ interim        101              open_tunnel
//!                     └──┘           ──────────> Tunnel ─────────────────> Body
//! ```
//!
//! A connection that changes to another protocol ([`ClientEvent::Switched`]) leaves its bytes to
//! others, or carries them as bodies without length: [`Client::open_tunnel`].

use super::output::{Output, write_part};
use super::write::{self, Connection, Delimit};
use super::{BodyPart, BodyReader, Framing, HeadLimits, Input, Refusal, ResponseReader};
use crate::mem::{Buf, FreeList};
use crate::proto::http::{BodySize, Fields, Method, RequestHead, ResponseHead};

/// Bytes of the interim answers that may go before one answer.
pub const INTERIM_BYTES_MAX: usize = 64 * 1024;
/// The field that has the key of a WebSocket's handshake (RFC 6455, section 11.3.1).
const KEY: &[u8] = b"sec-websocket-key";

/// What is sent of a request before its body.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// The path that is asked for.
    pub path: &'a str,
    /// The `host` field.
    pub authority: &'a str,
    /// How long its body is.
    pub size: BodySize,
    /// Whether it asks for another protocol.
    pub upgrade: bool,
    /// It asks for a WebSocket with this key, which its head does not have, and its body are the
    /// bytes of that: nothing of it is sent before [`Client::open_tunnel`].
    pub key: Option<&'a str>,
}

/// What a server has said.
#[derive(Debug)]
pub enum ClientEvent {
    /// An interim answer.
    Interim(Box<ResponseHead>),
    /// The head of the answer, and the length of its body, if that is declared.
    Head(Box<ResponseHead>, Option<u64>),
    /// The connection has changed to the protocol that was asked for: what follows is not HTTP.
    Switched,
    /// A part of the body.
    Body(Buf),
    /// The end of the answer, and the fields behind it.
    End(Option<Box<Fields>>),
}

/// Why the response is missing or cut. The connection cannot be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientError {
    /// What came breaks a rule.
    Refused(Refusal),
    /// There are more than [`INTERIM_BYTES_MAX`] of interim answers.
    Flooded,
    /// The connection has ended before the answer's head.
    LostBeforeHead,
    /// The connection has ended within the answer's body.
    LostInBody,
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// How far the request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// Its head is to be sent.
    Head,
    /// Its body is.
    Body { is_chunked: bool },
    /// Its body is, once the server has agreed to another protocol.
    Agreement,
    /// All of it was, or no more of it will be.
    Sent,
}

/// How far the answer is.
#[derive(Debug)]
enum Receiving {
    /// None is waited for.
    Idle,
    /// Its head is.
    Head,
    /// Its body is.
    Body(BodyReader),
    /// The connection has changed to another protocol.
    Tunnel,
}

/// How the server has ended its side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In order: what came is whole as far as the connection goes.
    Orderly,
    /// It was cut: a body that the end of the connection delimits is not whole.
    Cut,
}

/// The machine of one connection.
///
/// Calling order: for each exchange [`Client::begin`], [`Client::send_head`], [`Client::send_body`]
/// for each part, [`Client::send_end`]; received bytes go to [`Client::receive`] and
/// [`Client::receive_end`], and after each of these, and whenever there is room again,
/// [`Client::poll_event`] until it says `None`. After [`ClientEvent::End`], [`Client::is_reusable`]
/// says whether another exchange may begin.
#[derive(Debug)]
pub struct Client {
    input: Input,
    reader: ResponseReader,
    method: Method,
    sending: Sending,
    receiving: Receiving,
    /// Whether the connection may carry another exchange behind this one.
    keep_alive: bool,
    /// It has carried an exchange.
    is_used: bool,
    end: Option<End>,
    /// Bytes of interim answers that came for the present exchange.
    interim: usize,
    /// The server was asked for another protocol, and has not given an answer of HTTP.
    asks_upgrade: bool,
    /// What heads of answers may have.
    limits: HeadLimits,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            input: Input::default(),
            reader: ResponseReader::default(),
            method: Method::default(),
            sending: Sending::Sent,
            receiving: Receiving::Idle,
            keep_alive: true,
            is_used: false,
            end: None,
            interim: 0,
            asks_upgrade: false,
            limits: HeadLimits::default(),
        }
    }
}

impl Client {
    /// A machine that takes heads of answers within these limits.
    #[must_use]
    pub fn with_limits(limits: HeadLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether an exchange may begin: the server has neither ended the connection nor sent
    /// bytes without a request.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.end.is_none() && self.input.is_empty() && matches!(self.receiving, Receiving::Idle)
    }

    /// Whether it has carried an exchange.
    #[must_use]
    pub const fn is_used(&self) -> bool {
        self.is_used
    }

    /// An exchange begins, with a request of this method.
    pub fn begin(&mut self, method: Method) {
        debug_assert!(self.is_ready(), "one exchange after the other");
        self.method = method;
        self.sending = Sending::Head;
        self.receiving = Receiving::Head;
        self.keep_alive = true;
        self.interim = 0;
    }

    /// Whether the head of the request is still to be sent.
    #[must_use]
    pub fn wants_head(&self) -> bool {
        self.sending == Sending::Head
    }

    /// Whether more of the request is to be sent.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        matches!(self.sending, Sending::Head | Sending::Body { .. })
    }

    /// Sends the head of the request.
    pub fn send_head(&mut self, request: RequestLine<'_>, out: &mut impl Output) {
        debug_assert_eq!(self.sending, Sending::Head, "the head goes first, and once");
        let RequestLine { head, path, authority, size, upgrade, key } = request;
        let framing = match size {
            _ if key.is_some() => Framing::None,
            BodySize::None => Framing::None,
            BodySize::Known(length) => Framing::Length(length),
            BodySize::Unknown => Framing::Chunked,
        };
        // A method that has a body says that there is none (RFC 9110, section 8.6).
        let has_body = matches!(head.method, Method::Post | Method::Put | Method::Patch);
        let length = (has_body && framing == Framing::None).then_some(0);
        let connection = if upgrade { Connection::Upgrade } else { Connection::Persist };
        let delimit = Delimit { framing, length, connection };
        let line = (path, authority.as_bytes());
        write::request(head, line, key.map(|key| (KEY, key.as_bytes())), delimit, out.bytes());
        self.sending = match key {
            Some(_) => Sending::Agreement,
            None => Sending::Body { is_chunked: framing == Framing::Chunked },
        };
        self.asks_upgrade = upgrade;
    }

    /// A request was sent whole by the caller, head and body, in place of [`Client::send_head`].
    pub fn note_sent(&mut self) {
        debug_assert_eq!(self.sending, Sending::Head, "the head goes first, and once");
        self.sending = Sending::Sent;
    }

    /// The server has agreed to the protocol that was asked for: its bytes are from now on those of
    /// the request's body and of the answer's, each until its end.
    pub fn open_tunnel(&mut self) {
        if let Ok(body) = BodyReader::new(Framing::UntilClose, u64::MAX) {
            self.receiving = Receiving::Body(body);
        }
        self.keep_alive = false;
        self.sending = match self.end {
            Some(End::Cut) => Sending::Sent,
            Some(End::Orderly) | None => Sending::Body { is_chunked: false },
        };
    }

    /// Whether all that came into a tunnel was read, and no more comes.
    #[must_use]
    pub fn is_tunnel_read(&self) -> bool {
        self.has_ended() && matches!(self.receiving, Receiving::Idle)
    }

    /// Sends a part of the request's body.
    pub fn send_body(&mut self, part: Buf, out: &mut impl Output) {
        if let Sending::Body { is_chunked } = self.sending {
            write_part(out, part, is_chunked);
        }
    }

    /// Sends the end of the request.
    pub fn send_end(&mut self, trailers: Option<&Fields>, out: &mut impl Output) {
        if let Sending::Body { is_chunked: true } = self.sending {
            write::last_chunk(trailers, out.bytes());
        }
        self.sending = Sending::Sent;
    }

    /// Bytes have come.
    pub fn receive(&mut self, buf: Buf) {
        self.input.push(buf);
    }

    /// The server has ended its side; `is_cut` when it may have had more to say.
    pub fn receive_end(&mut self, is_cut: bool) {
        self.end = Some(if is_cut { End::Cut } else { End::Orderly });
        if is_cut {
            self.sending = Sending::Sent;
        }
    }

    /// The server has reset the connection: nothing more can be sent. What came before may be a
    /// whole answer.
    pub const fn receive_reset(&mut self) {
        self.end = Some(End::Cut);
        self.keep_alive = false;
        self.sending = Sending::Sent;
    }

    /// Whether the server has ended its side.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the connection was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.end == Some(End::Cut)
    }

    /// Whether nothing that came waits to be read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.input.is_empty()
    }

    /// Bytes of memory that what was received and is not read takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.input.cost()
    }

    /// Whether the body of an answer is being received.
    #[must_use]
    pub const fn is_in_body(&self) -> bool {
        matches!(self.receiving, Receiving::Body(_))
    }

    /// Whether the server has shown that it has the request: there was an interim answer.
    #[must_use]
    pub const fn is_seen(&self) -> bool {
        self.interim > 0
    }

    /// Whether the server may speak another protocol already.
    #[must_use]
    pub const fn may_have_switched(&self) -> bool {
        self.asks_upgrade
    }

    /// The connection carries no further exchange.
    pub const fn close_after(&mut self) {
        self.keep_alive = false;
    }

    /// The connection may carry another exchange: the last one was carried whole, both ways.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.keep_alive && self.sending == Sending::Sent && self.is_ready()
    }

    /// What the server has said; `None` when more has to come. Without `has_room`, no part of a
    /// body is read. Heads are taken from `spare`.
    ///
    /// # Errors
    /// Why the response is missing or cut.
    pub fn poll_event(
        &mut self,
        has_room: bool,
        spare: &mut FreeList<ResponseHead>,
    ) -> Result<Option<ClientEvent>, ClientError> {
        match &mut self.receiving {
            Receiving::Idle => Ok(None),
            Receiving::Tunnel => Ok(Some(ClientEvent::Switched)),
            Receiving::Head => self.read_head(spare),
            Receiving::Body(body) if body.is_done() => Ok(Some(self.finish(None))),
            Receiving::Body(_) => self.read_body(has_room),
        }
    }

    fn read_head(
        &mut self,
        spare: &mut FreeList<ResponseHead>,
    ) -> Result<Option<ClientEvent>, ClientError> {
        if self.input.has_nothing_new() {
            return match self.end {
                Some(_) => Err(ClientError::LostBeforeHead),
                None => Ok(None),
            };
        }
        let mut head = spare.take();
        let Self { input, reader, method, limits, .. } = self;
        let found = input.read_head(|bytes| {
            let meta = reader.read(bytes, *method, limits, &mut head)?;
            Ok(meta.map(|meta| (meta.len, meta)))
        });
        let Some(meta) = found.map_err(ClientError::Refused)? else {
            spare.give(head);
            return self.read_head(spare);
        };
        if head.is_interim() {
            self.interim += meta.len;
            if self.interim > INTERIM_BYTES_MAX {
                return Err(ClientError::Flooded);
            }
            return Ok(Some(ClientEvent::Interim(head)));
        }
        self.keep_alive &= meta.keep_alive;
        let length = match meta.framing {
            // Of what would be there, or is elsewhere, only the server can say the length.
            Framing::None if self.method == Method::Head || head.status == 304 => meta.length,
            Framing::None => meta.length.or(Some(0)),
            Framing::Length(_) | Framing::Chunked | Framing::UntilClose => meta.framing.length(),
        };
        if head.status == 101 {
            self.receiving = Receiving::Tunnel;
        } else {
            if self.sending == Sending::Agreement {
                // An answer of HTTP: the body is not wanted.
                self.sending = Sending::Sent;
            }
            self.receiving = Receiving::Body(BodyReader::new(meta.framing, u64::MAX)?);
        }
        Ok(Some(ClientEvent::Head(head, length)))
    }

    fn read_body(&mut self, has_room: bool) -> Result<Option<ClientEvent>, ClientError> {
        let Receiving::Body(body) = &mut self.receiving else { return Ok(None) };
        while has_room || self.input.is_empty() {
            let Some(mut buf) = self.input.pop() else {
                return match self.end {
                    Some(End::Orderly) if body.at_end() => Ok(Some(self.finish(None))),
                    Some(_) => Err(ClientError::LostInBody),
                    None => Ok(None),
                };
            };
            match body.next(&buf)? {
                BodyPart::Data(range) => {
                    let part = buf.slice(range.start, range.len());
                    buf.advance(range.end);
                    self.input.put_back(buf);
                    return Ok(Some(ClientEvent::Body(part)));
                }
                BodyPart::More => {}
                BodyPart::End(len) => {
                    buf.advance(len);
                    self.input.put_back(buf);
                    let trailers = body.take_trailers()?.map(Box::new);
                    return Ok(Some(self.finish(trailers)));
                }
            }
        }
        Ok(None)
    }

    fn finish(&mut self, trailers: Option<Box<Fields>>) -> ClientEvent {
        self.receiving = Receiving::Idle;
        self.is_used = true;
        self.asks_upgrade = false;
        ClientEvent::End(trailers)
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub fn hold(&mut self) {
        self.input.hold();
    }

    /// Forgets what came, with its memory.
    pub fn clear(&mut self) {
        self.input.clear();
    }

    /// Takes what came behind an answer that changed the protocol.
    #[must_use]
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.input.take_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare() -> FreeList<ResponseHead> {
        FreeList::new(4, 4096)
    }

    /// A machine that has sent a request of this method.
    fn sent(method: Method) -> Client {
        let mut client = Client::default();
        client.begin(method);
        let mut head = RequestHead::default();
        head.set_method(method.name().as_bytes());
        head.set_path("/");
        let (path, authority, size, upgrade) = ("/", "a", BodySize::None, false);
        let mut out = Vec::new();
        client.send_head(
            RequestLine { head: &head, path, authority, size, upgrade, key: None },
            &mut out,
        );
        client.send_end(None, &mut out);
        client
    }

    /// All that the machine tells, in words.
    fn told(client: &mut Client, has_room: bool, out: &mut String) {
        let mut spare = spare();
        loop {
            let word = match client.poll_event(has_room, &mut spare) {
                Ok(None) => return,
                Ok(Some(ClientEvent::Interim(head))) => format!("interim {} ", head.status),
                Ok(Some(ClientEvent::Head(head, length))) => {
                    format!("head {} {length:?} ", head.status)
                }
                Ok(Some(ClientEvent::Switched)) => {
                    *out += "switched ";
                    return;
                }
                Ok(Some(ClientEvent::Body(part))) => String::from_utf8_lossy(&part).into_owned(),
                Ok(Some(ClientEvent::End(trailers))) => {
                    let count = trailers.map_or(0, |fields| fields.len());
                    format!(" end {count}")
                }
                Err(error) => {
                    *out += &format!("{error:?}");
                    return;
                }
            };
            *out += &word;
        }
    }

    /// An answer, how the connection ends behind it, what is told, and whether it may go on.
    const TABLE: [(Method, &str, Option<bool>, &str, bool); 17] = [
        (
            Method::Get,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            None,
            "head 200 Some(5) hello end 0",
            true,
        ),
        (Method::Get, "HTTP/1.1 204 No\r\n\r\n", None, "head 204 Some(0)  end 0", true),
        (
            Method::Head,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
            None,
            "head 200 Some(5)  end 0",
            true,
        ),
        (
            Method::Get,
            "HTTP/1.1 304 No\r\ncontent-length: 5\r\n\r\n",
            None,
            "head 304 Some(5)  end 0",
            true,
        ),
        (
            Method::Get,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\na: b\r\n\r\n",
            None,
            "head 200 None abc end 1",
            true,
        ),
        (
            Method::Get,
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx",
            None,
            "head 200 Some(1) x end 0",
            false,
        ),
        (
            Method::Get,
            "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
            None,
            "head 200 Some(1) x end 0",
            false,
        ),
        (Method::Get, "HTTP/1.1 200 OK\r\n\r\nabc", Some(false), "head 200 None abc end 0", false),
        (
            Method::Get,
            "HTTP/1.1 200 OK\r\n\r\nabc",
            Some(true),
            "head 200 None abcLostInBody",
            false,
        ),
        (
            Method::Get,
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
            Some(false),
            "head 200 Some(5) abcLostInBody",
            false,
        ),
        (Method::Get, "HTTP/1.1 200 OK\r\ncontent-", Some(false), "LostBeforeHead", false),
        (Method::Get, "", Some(true), "LostBeforeHead", false),
        (
            Method::Get,
            "HTTP/1.1 103 E\r\n\r\nHTTP/1.1 102 P\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            None,
            "interim 103 interim 102 head 204 Some(0)  end 0",
            true,
        ),
        (
            Method::Get,
            "HTTP/1.1 101 S\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nrest",
            None,
            "head 101 Some(0) switched ",
            false,
        ),
        (
            Method::Get,
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxmore",
            None,
            "head 200 Some(1) x end 0",
            false,
        ),
        (Method::Get, "nonsense\r\n\r\n", None, "Refused(Version)", false),
        (
            Method::Get,
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            None,
            "Refused(LengthWithCoding)",
            false,
        ),
    ];

    #[test]
    fn an_answer_is_told_the_same_however_it_comes() {
        for (method, answer, end, expected, reusable) in TABLE {
            for first in 0..=answer.len() {
                for second in [first, (first + 1).min(answer.len()), answer.len()] {
                    let mut client = sent(method);
                    let mut words = String::new();
                    for part in [&answer[..first], &answer[first..second], &answer[second..]] {
                        if !part.is_empty() {
                            client.receive(Buf::copy_of(part.as_bytes()));
                            client.hold();
                        }
                        if words.ends_with(')') || words.contains("end") {
                            continue;
                        }
                        told(&mut client, true, &mut words);
                    }
                    if let Some(is_cut) = end {
                        client.receive_end(is_cut);
                        told(&mut client, true, &mut words);
                    }
                    let shown = format!("{answer:?} at {first} and {second}");
                    assert_eq!(
                        words
                            .replace("switched switched ", "switched ")
                            .replace("switched switched ", "switched "),
                        expected,
                        "{shown}"
                    );
                    assert_eq!(client.is_reusable(), reusable, "{shown}");
                }
            }
        }
    }

    #[test]
    fn without_room_no_part_of_a_body_is_read_and_its_end_is_seen_later() {
        let mut client = sent(Method::Get);
        client.receive(Buf::copy_of(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"));
        client.receive_end(false);
        let mut words = String::new();
        told(&mut client, false, &mut words);
        assert_eq!(words, "head 200 Some(2) ");
        assert!(!client.is_read());
        told(&mut client, true, &mut words);
        assert_eq!(words, "head 200 Some(2) ab end 0");
        assert!(client.is_used() && !client.is_reusable(), "the server has ended it");
    }

    #[test]
    fn interim_answers_without_end_are_too_many() {
        let mut client = sent(Method::Get);
        let hint = format!("HTTP/1.1 103 E\r\nlink: {}\r\n\r\n", "x".repeat(1000));
        let mut words = String::new();
        for _ in 0..INTERIM_BYTES_MAX / hint.len() + 1 {
            client.receive(Buf::copy_of(hint.as_bytes()));
            told(&mut client, true, &mut words);
        }
        assert!(client.is_seen() && words.ends_with("Flooded"), "{words}");
    }

    #[test]
    fn what_nobody_asked_for_makes_a_connection_unready() {
        let mut client = Client::default();
        assert!(client.is_ready() && !client.is_used());
        client.receive(Buf::copy_of(b"HTTP/1.1 408 T\r\n\r\n"));
        assert!(!client.is_ready());
        assert!(matches!(client.poll_event(true, &mut spare()), Ok(None)));
        let mut client = Client::default();
        client.receive_end(false);
        assert!(!client.is_ready() && client.has_ended() && !client.is_cut());
    }

    #[test]
    fn a_request_is_delimited_by_what_its_size_is() {
        let cases = [
            (Method::Get, BodySize::None, "", "", ""),
            (Method::Post, BodySize::None, "content-length: 0\r\n", "", ""),
            (Method::Post, BodySize::Known(3), "content-length: 3\r\n", "abc", ""),
            (
                Method::Get,
                BodySize::Unknown,
                "transfer-encoding: chunked\r\n",
                "3\r\nabc\r\n",
                "0\r\n\r\n",
            ),
        ];
        for (method, size, field, body, end) in cases {
            let mut client = Client::default();
            client.begin(method);
            let mut head = RequestHead::default();
            head.set_method(method.name().as_bytes());
            head.set_path("/");
            let mut out = Vec::new();
            let (path, authority, upgrade) = ("/p", "host", false);
            assert!(client.wants_head() && client.is_sending());
            client.send_head(
                RequestLine { head: &head, path, authority, size, upgrade, key: None },
                &mut out,
            );
            if !body.is_empty() {
                client.send_body(Buf::copy_of(b"abc"), &mut out);
            }
            client.send_end(None, &mut out);
            assert!(!client.is_sending());
            let expected =
                format!("{} /p HTTP/1.1\r\nhost: host\r\n{field}\r\n{body}{end}", method.name());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_reset_ends_the_request_but_not_what_has_come_of_the_answer() {
        let mut client = Client::default();
        client.begin(Method::Post);
        client.receive(Buf::copy_of(b"HTTP/1.1 413 L\r\ncontent-length: 2\r\n\r\nno"));
        client.receive_reset();
        assert!(!client.is_sending());
        let mut words = String::new();
        told(&mut client, true, &mut words);
        assert_eq!(words, "head 413 Some(2) no end 0");
        assert!(!client.is_reusable());
    }

    /// A machine that has asked for a WebSocket whose bytes are those of the request's body.
    fn asked_for_websocket(out: &mut Vec<u8>) -> Client {
        let mut client = Client::default();
        client.begin(Method::Get);
        let mut head = RequestHead::default();
        head.set_method(b"GET");
        head.set_path("/");
        let (path, authority, size, upgrade) = ("/", "a", BodySize::Unknown, true);
        let line = RequestLine { head: &head, path, authority, size, upgrade, key: Some("k") };
        client.send_head(line, out);
        client
    }

    #[test]
    fn nothing_goes_into_a_tunnel_before_it_is_open() {
        let mut out = Vec::new();
        let mut client = asked_for_websocket(&mut out);
        let text = "GET / HTTP/1.1\r\nhost: a\r\nsec-websocket-key: k\r\n\
                    connection: upgrade\r\n\r\n";
        assert_eq!(String::from_utf8(std::mem::take(&mut out)).unwrap(), text);
        assert!(!client.is_sending(), "the server has its turn");
        client.send_body(Buf::copy_of(b"early"), &mut out);
        assert!(out.is_empty());
        let answer = b"HTTP/1.1 101 Go\r\ncontent-length: 3\r\n\r\nhello";
        client.receive(Buf::copy_of(answer));
        let head = client.poll_event(true, &mut spare()).unwrap();
        assert!(matches!(head, Some(ClientEvent::Head(..))));
        client.open_tunnel();
        assert!(client.is_sending() && client.may_have_switched());
        let part = client.poll_event(true, &mut spare()).unwrap();
        assert!(matches!(part, Some(ClientEvent::Body(part)) if &*part == b"hello"));
        client.send_body(Buf::copy_of(b"raw"), &mut out);
        assert_eq!(out, b"raw");
        client.receive_end(false);
        let end = client.poll_event(true, &mut spare()).unwrap();
        assert!(matches!(end, Some(ClientEvent::End(None))));
        assert!(client.is_tunnel_read() && client.is_sending(), "our side may go on");
        client.send_end(None, &mut out);
        assert!(!client.is_sending() && !client.is_reusable() && out == b"raw");
    }

    #[test]
    fn another_answer_than_a_tunnel_is_one_to_a_request_without_a_body() {
        let mut out = Vec::new();
        let mut client = asked_for_websocket(&mut out);
        client.receive(Buf::copy_of(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno"));
        for _ in 0..3 {
            assert!(client.poll_event(true, &mut spare()).unwrap().is_some());
        }
        assert!(client.is_reusable());
    }
}
