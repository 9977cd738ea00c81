//! A server's side of one connection (RFC 9112): one request after the other.
//!
//! ```text
//!   request:  Head ──read_head──> Body ──next_of_body: its end──> read
//!               ^                  │ the answer is out first: discard
//!               │                  v
//!   answer:     └── Next <── send_head, send_part, send_end ──> Close
//! ```

use super::output::{Output, write_part};
use super::write::{self, Connection, Delimit};
use super::{
    BodyPart, BodyReader, Framing, HeadLimits, Input, Refusal, RequestMeta, RequestReader,
};
use crate::mem::{Buf, FreeList};
use crate::proto::http::{Fields, Known, Method, RequestHead, ResponseHead, Version, status};

/// Bytes of a request's body that are read and dropped, so that its connection can go on.
pub const DISCARD_MAX: u64 = 1024 * 1024;

/// What follows an answer on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next request.
    Request,
    /// The rest of the request's body, which is dropped: [`Server::discard`].
    Discard,
    /// Its end.
    Close,
}

/// How far a body is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discarded {
    /// More has to come.
    More,
    /// All of it: the next request follows.
    All,
    /// It is longer than [`DISCARD_MAX`]: the connection is to be ended.
    TooMuch,
}

/// The machine of one connection.
///
/// Calling order: received bytes go to [`Server::receive`] and [`Server::receive_end`]. For each
/// request [`Server::read_head`] until there is one, [`Server::begin_body`], and
/// [`Server::next_of_body`] as long as the body is wanted; for its answer [`Server::send_head`],
/// [`Server::send_part`] for each part and [`Server::send_end`], then [`Server::end_answer`].
#[derive(Debug)]
pub struct Server {
    input: Input,
    reader: RequestReader,
    /// The version of the present request.
    version: Version,
    /// What is left of its body.
    body: Option<BodyReader>,
    /// Bytes of its body that have come.
    came: u64,
    /// What came behind its body.
    trailers: Option<Box<Fields>>,
    /// The client waits to be told to send its body.
    awaits_continue: bool,
    /// How the body of the present answer goes out.
    framing: Framing,
    /// Whether the connection goes on behind the present answer.
    keep_alive: bool,
    /// The client sends no more.
    has_ended: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            input: Input::default(),
            reader: RequestReader::default(),
            version: Version::default(),
            body: None,
            came: 0,
            trailers: None,
            awaits_continue: false,
            framing: Framing::None,
            keep_alive: true,
            has_ended: false,
        }
    }
}

impl Server {
    /// Bytes have come.
    pub fn receive(&mut self, buf: Buf) {
        self.input.push(buf);
    }

    /// The client sends no more.
    pub const fn receive_end(&mut self) {
        self.has_ended = true;
    }

    /// Whether the client sends no more.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether nothing that came waits to be read.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.input.is_empty()
    }

    /// Whether nothing has come since a head was found incomplete.
    #[must_use]
    pub const fn has_nothing_new(&self) -> bool {
        self.input.has_nothing_new()
    }

    /// Bytes that wait to be read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.input.len()
    }

    /// Bytes of memory that what waits to be read takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.input.cost()
    }

    /// The beginning of a head that has not come whole.
    #[must_use]
    pub fn partial(&self) -> &[u8] {
        self.input.partial()
    }

    /// Reads the head of a request; `None` as long as it is not all there. `refused` is given what
    /// came of one that is refused. Heads are taken from `spare`.
    ///
    /// # Errors
    /// What is wrong with it. Nobody knows where the next request would begin.
    pub fn read_head(
        &mut self,
        limits: &HeadLimits,
        spare: &mut FreeList<RequestHead>,
        mut refused: impl FnMut(&[u8], Refusal),
    ) -> Result<Option<(Box<RequestHead>, RequestMeta)>, Refusal> {
        let mut head = spare.take();
        let Self { input, reader, .. } = self;
        let found = input.read_head(|bytes| {
            let meta = reader.read(bytes, limits, &mut head);
            let meta = meta.inspect_err(|refusal| refused(bytes, *refusal))?;
            Ok(meta.map(|meta| (meta.len, meta)))
        });
        self.version = Version::default();
        let found = match found {
            Ok(Some(meta)) => meta,
            Ok(None) => {
                spare.give(head);
                return Ok(None);
            }
            Err(refusal) => {
                spare.give(head);
                return Err(refusal);
            }
        };
        self.version = head.version;
        // What follows a refused CONNECT is meant for its tunnel (RFC 9112, section 3.2.3).
        self.keep_alive = found.keep_alive && head.method != Method::Connect;
        (self.body, self.came) = (None, 0);
        Ok(Some((head, found)))
    }

    /// The connection ends behind the present answer.
    pub const fn close_after(&mut self) {
        self.keep_alive = false;
    }

    /// Prepares to read the request's body of at most `max` bytes.
    ///
    /// # Errors
    /// It is known to be longer than that: the connection ends behind the answer.
    pub fn begin_body(&mut self, meta: &RequestMeta, max: u64) -> Result<(), Refusal> {
        match BodyReader::new(meta.framing, max) {
            Ok(body) => {
                self.body = Some(body);
                self.awaits_continue = meta.expects_continue;
                Ok(())
            }
            Err(too_large) => {
                self.keep_alive = false;
                self.body = BodyReader::new(meta.framing, u64::MAX).ok();
                Err(too_large)
            }
        }
    }

    /// Whether all of the request's body was read.
    #[must_use]
    pub fn is_body_read(&self) -> bool {
        let is_over = self.has_ended && self.input.is_empty();
        self.body.as_ref().is_none_or(|body| body.is_done() || is_over && body.at_end())
    }

    /// Bytes of the request's body that have come.
    #[must_use]
    pub const fn body_came(&self) -> u64 {
        self.came
    }

    /// The next part of the request's body; `None` when more has to come, or when it is over.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn next_of_body(&mut self) -> Result<Option<Buf>, Refusal> {
        let Some(body) = &mut self.body else { return Ok(None) };
        loop {
            if body.is_done() {
                return Ok(None);
            }
            let Some(mut buf) = self.input.pop() else { return Ok(None) };
            match body.next(&buf)? {
                BodyPart::Data(range) => {
                    let part = buf.slice(range.start, range.len());
                    buf.advance(range.end);
                    self.input.put_back(buf);
                    self.came += part.len() as u64;
                    return Ok(Some(part));
                }
                BodyPart::More => {}
                BodyPart::End(len) => {
                    buf.advance(len);
                    self.input.put_back(buf);
                    self.trailers = body.take_trailers()?.map(Box::new);
                }
            }
        }
    }

    /// What came behind the request's body.
    pub const fn take_trailers(&mut self) -> Option<Box<Fields>> {
        self.trailers.take()
    }

    /// The request's body is wanted: a client that waits to be told so is told.
    pub fn send_continue(&mut self, out: &mut impl Output) {
        if std::mem::take(&mut self.awaits_continue) {
            out.bytes().extend_from_slice(write::CONTINUE);
        }
    }

    /// The answer does not wait for the request's body. One that the client sends only when it is
    /// told to, and is not, or that is long, ends the connection.
    pub fn forgo_body(&mut self) {
        let awaits = std::mem::take(&mut self.awaits_continue);
        let is_long = self.body.as_ref().is_some_and(|body| body.least_left() > DISCARD_MAX);
        self.keep_alive &= !awaits && !is_long;
    }

    /// The request is refused while it comes: the connection ends behind the answer.
    pub const fn refuse_body(&mut self) {
        self.keep_alive = false;
        self.awaits_continue = false;
    }

    /// What the `connection` field of the present answer says.
    #[must_use]
    pub const fn connection(&self) -> Connection {
        match (self.keep_alive, self.version) {
            (true, Version::Http11 | Version::Http2) => Connection::Persist,
            (true, Version::Http10) => Connection::KeepAlive,
            (false, _) => Connection::Close,
        }
    }

    /// Sends an interim answer. Returns how many bytes it has.
    pub fn send_interim(&self, head: &ResponseHead, out: &mut impl Output) -> usize {
        let (framing, length, connection) = (Framing::None, None, Connection::Persist);
        let delimit = Delimit { framing, length, connection };
        write_head(head, status::reason(head.status), delimit, out)
    }

    /// Sends the head that changes the protocol. Returns how many bytes it has.
    pub fn send_switch(&self, head: &ResponseHead, out: &mut impl Output) -> usize {
        let (framing, length, connection) = (Framing::None, None, Connection::Upgrade);
        let delimit = Delimit { framing, length, connection };
        write_head(head, "Switching Protocols", delimit, out)
    }

    /// The connection carries another protocol from now on: its bytes are those of one body each
    /// way, until it ends.
    pub fn begin_tunnel(&mut self) {
        self.body = BodyReader::new(Framing::UntilClose, u64::MAX).ok();
        (self.framing, self.keep_alive, self.came) = (Framing::UntilClose, false, 0);
    }

    /// Sends the head of the answer. Its body, if it `has_body`, has `length` bytes, if that is
    /// known; without one, that is what its head says. Returns how many bytes the head has.
    pub fn send_head(
        &mut self,
        head: &mut ResponseHead,
        length: Option<u64>,
        has_body: bool,
        out: &mut impl Output,
    ) -> usize {
        self.framing =
            if has_body { write::framing_for(self.version, length) } else { Framing::None };
        self.keep_alive &= self.framing != Framing::UntilClose;
        let mut connection = self.connection();
        if head.status == 426 && head.fields.has(Known::Upgrade) {
            // HTTP/1.0 cannot change to another protocol.
            match self.version {
                Version::Http11 | Version::Http2 => connection = connection.with_upgrade(),
                Version::Http10 => head.fields.remove_known(Known::Upgrade),
            }
        }
        let length = length.filter(|_| head.status != 204);
        let delimit = Delimit { framing: self.framing, length, connection };
        write_head(head, status::reason(head.status), delimit, out)
    }

    /// Whether the answer's body goes out in chunks.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    /// Sends a part of the answer's body.
    pub fn send_part(&self, part: Buf, out: &mut impl Output) {
        write_part(out, part, self.is_chunked());
    }

    /// The same for bytes that are copied.
    pub fn send_bytes(&self, bytes: &[u8], out: &mut impl Output) {
        let out = out.bytes();
        if self.is_chunked() {
            write::chunk_head(bytes.len(), out);
        }
        out.extend_from_slice(bytes);
        if self.is_chunked() {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Sends the end of the answer's body.
    pub fn send_end(&self, trailers: Option<&Fields>, out: &mut impl Output) {
        if self.is_chunked() {
            write::last_chunk(trailers, out.bytes());
        }
    }

    /// The answer is written: what follows on the connection.
    pub fn end_answer(&mut self) -> Next {
        let is_read = self.is_body_read();
        if is_read {
            self.body = None;
        }
        match (self.keep_alive, is_read) {
            (false, _) => Next::Close,
            (true, true) => Next::Request,
            (true, false) => Next::Discard,
        }
    }

    /// Reads the rest of the request's body and drops it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn discard(&mut self) -> Result<Discarded, Refusal> {
        while self.next_of_body()?.is_some() {
            if self.came > DISCARD_MAX {
                return Ok(Discarded::TooMuch);
            }
        }
        if !self.is_body_read() {
            return Ok(Discarded::More);
        }
        (self.body, self.trailers) = (None, None);
        Ok(Discarded::All)
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub fn hold(&mut self) {
        self.input.hold();
    }

    /// Forgets what came, with its memory.
    pub fn clear(&mut self) {
        self.input.clear();
    }

    /// Takes what came behind the request, once its connection has changed to another protocol.
    #[must_use]
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.input.take_all()
    }
}

fn write_head(head: &ResponseHead, reason: &str, delimit: Delimit, out: &mut impl Output) -> usize {
    let out = out.bytes();
    let before = out.len();
    write::response(head, reason, delimit, out);
    out.len() - before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare() -> FreeList<RequestHead> {
        FreeList::new(4, 4096)
    }

    /// Answers each request with `200` and an empty body, and writes the events to `words`.
    fn serve(server: &mut Server, words: &mut String, out: &mut Vec<u8>, phase: &mut u8) {
        loop {
            match phase {
                0 => match server.read_head(&HeadLimits::default(), &mut spare(), |_, _| ()) {
                    Ok(Some((head, meta))) => {
                        *words += &format!("{} {} ", head.method_name(), head.path());
                        if server.begin_body(&meta, 100).is_err() {
                            *words += "too large ";
                        }
                        server.send_continue(out);
                        *phase = 1;
                    }
                    Ok(None) => return,
                    Err(refusal) => {
                        *words += refusal.name();
                        *phase = 3;
                    }
                },
                1 => {
                    match server.next_of_body() {
                        Ok(Some(part)) => *words += &String::from_utf8_lossy(&part),
                        Ok(None) if server.is_body_read() => {
                            let trailers = server.take_trailers().map_or(0, |all| all.len());
                            *words += &format!("+{trailers} ");
                            let mut head = ResponseHead { status: 200, ..ResponseHead::default() };
                            server.send_head(&mut head, Some(0), true, out);
                            server.send_end(None, out);
                            *phase = match server.end_answer() {
                                Next::Request => 0,
                                Next::Discard => 2,
                                Next::Close => 3,
                            };
                        }
                        Ok(None) => return,
                        Err(refusal) => {
                            *words += refusal.name();
                            *phase = 3;
                        }
                    };
                }
                _ => return,
            }
        }
    }

    #[test]
    fn requests_are_told_the_same_however_they_come() {
        let cases = [
            (
                "GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b HTTP/1.1\r\nhost: x\r\n\r\n",
                "GET /a +0 GET /b +0 ",
                0,
            ),
            (
                "PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcGET / HTTP/1.0\r\n\r\n",
                "PUT / abc+0 GET / +0 ",
                3,
            ),
            (
                "PUT / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
                 1\r\na\r\n0\r\nt: v\r\n\r\n",
                "PUT / a+1 ",
                0,
            ),
            ("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "GET / +0 ", 3),
            ("GET / HTTP/1.0\r\n\r\n", "GET / +0 ", 3),
            ("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", "GET / +0 ", 0),
            (
                "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nz\r\n",
                "POST / chunk_size",
                3,
            ),
            ("nonsense\r\n\r\n", "request_line", 3),
            ("CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n", "CONNECT  +0 ", 3),
        ];
        for (text, expected, end) in cases {
            for at in 0..=text.len() {
                let mut server = Server::default();
                let (mut words, mut out, mut phase) = (String::new(), Vec::new(), 0);
                for part in [&text[..at], &text[at..]] {
                    if !part.is_empty() {
                        server.receive(Buf::copy_of(part.as_bytes()));
                        server.hold();
                    }
                    serve(&mut server, &mut words, &mut out, &mut phase);
                }
                assert_eq!((words.as_str(), phase), (expected, end), "{text:?} at {at}");
            }
        }
    }

    /// A machine that has read this request.
    fn asked(text: &str) -> (Server, RequestMeta) {
        let mut server = Server::default();
        server.receive(Buf::copy_of(text.as_bytes()));
        let found = server.read_head(&HeadLimits::default(), &mut spare(), |_, _| ());
        let (_, meta) = found.unwrap().unwrap();
        (server, meta)
    }

    #[test]
    fn an_answer_is_delimited_by_its_length_and_the_clients_version() {
        const ONE: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        const ZERO: &str = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
        let cases = [
            (ONE, 200, Some(3), true, "content-length: 3\r\n\r\nabc", Next::Request),
            (ONE, 200, Some(3), false, "content-length: 3\r\n\r\n", Next::Request),
            (
                ONE,
                200,
                None,
                true,
                "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                Next::Request,
            ),
            (ONE, 204, Some(0), false, "\r\n", Next::Request),
            (ZERO, 200, None, true, "connection: close\r\n\r\nabc", Next::Close),
            (
                ZERO,
                200,
                Some(3),
                true,
                "content-length: 3\r\nconnection: keep-alive\r\n\r\nabc",
                Next::Request,
            ),
        ];
        for (request, status, length, has_body, expected, next) in cases {
            let (mut server, meta) = asked(request);
            server.begin_body(&meta, 0).unwrap();
            let mut out = Vec::new();
            let mut head = ResponseHead { status, ..ResponseHead::default() };
            let sent = server.send_head(&mut head, length, has_body, &mut out);
            assert_eq!(sent, out.len());
            if has_body {
                server.send_part(Buf::copy_of(b"abc"), &mut out);
                server.send_end(None, &mut out);
            }
            let text = String::from_utf8(out).unwrap();
            let rest = text.split_once("\r\n").unwrap().1;
            assert_eq!((rest, server.end_answer()), (expected, next), "{request} {status}");
        }
    }

    #[test]
    fn a_body_that_nobody_wants_is_dropped_or_ends_the_connection() {
        let post = |length: u64, more: &str| {
            format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{more}\r\n")
        };
        let cases = [
            (post(5, ""), Next::Discard),
            (post(DISCARD_MAX + 1, ""), Next::Close),
            (post(5, "expect: 100-continue\r\n"), Next::Close),
        ];
        for (request, next) in cases {
            let (mut server, meta) = asked(&request);
            server.begin_body(&meta, u64::MAX).unwrap();
            server.forgo_body();
            let mut head = ResponseHead { status: 403, ..ResponseHead::default() };
            server.send_head(&mut head, Some(0), true, &mut Vec::new());
            assert_eq!(server.end_answer(), next, "{request}");
            if next == Next::Discard {
                assert_eq!(server.discard(), Ok(Discarded::More));
                server.receive(Buf::copy_of(b"12345GET"));
                assert_eq!(server.discard(), Ok(Discarded::All));
                assert_eq!(server.take_rest(), b"GET");
            }
        }
        let (mut server, meta) =
            asked("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        server.begin_body(&meta, u64::MAX).unwrap();
        let chunk = [&b"100000\r\n"[..], &vec![b'x'; 1 << 20], b"\r\n1\r\nx\r\n"].concat();
        server.receive(Buf::copy_of(&chunk));
        assert_eq!(server.discard(), Ok(Discarded::TooMuch));
    }

    #[test]
    fn a_client_is_told_to_go_on_only_if_it_waits_and_once() {
        let (mut server, meta) = asked(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n",
        );
        server.begin_body(&meta, 10).unwrap();
        let mut out = Vec::new();
        server.send_continue(&mut out);
        server.send_continue(&mut out);
        assert_eq!(out, write::CONTINUE);
        server.forgo_body();
        assert_eq!(server.connection(), Connection::Persist);
        assert!(server.begin_body(&meta, 0).is_err(), "it is longer than that");
        assert_eq!(server.connection(), Connection::Close);
    }
}
