//! The relay of one WebSocket to a TCP server: what waits between the two, who is read, and how the
//! socket is closed when the server ends.
//!
//! ```text
//!   socket ── push, push_line ──> page ── take_for_server ──> connection to the server
//!   socket <──── next ──── backlog <──── receive ──────────── connection to the server
//! ```
//!
//! Either source is read only while its sink takes: [`SocketLink::takes_from_client`] and
//! [`SocketLink::takes_from_server`] say so, and remember that they have said no. The sink's
//! [`SocketLink::note_sending`] and [`SocketLink::note_taken`] then say when the source is to be
//! woken. So a slow client stops its own server, and a slow server its own client.

use crate::mem::{Backlog, Buf, Page, Pages};
use crate::proto::lines::{LineError, LineReader};
use crate::proto::websocket::{CloseCode, Utf8Check};
use crate::service::CloseReason;

/// Bytes of a server that wait for their socket, at most: what its connection takes is written
/// there, so this is only what that has no room for.
const TO_CLIENT_MAX: usize = 64 * 1024;

/// How the connection to a server has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEnd {
    /// The server has said that it sends no more.
    Finished,
    /// It broke off.
    Reset,
    /// None could be connected to.
    Unreachable,
    /// The upstream has as many connections as it may have, or this machine is short of something:
    /// the client may come again later.
    Overloaded,
    /// The connection was ended by us.
    Cut,
}

impl ServerEnd {
    /// What the end of a connection for this reason is.
    #[must_use]
    pub const fn of(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Finished => Self::Finished,
            CloseReason::ConnectFailed | CloseReason::ConnectTimeout => Self::Unreachable,
            CloseReason::UpstreamOverloaded | CloseReason::Resources => Self::Overloaded,
            CloseReason::UpstreamReset => Self::Reset,
            CloseReason::ClientReset
            | CloseReason::ClientGone
            | CloseReason::IdleTimeout
            | CloseReason::ProxyHeaderTimeout
            | CloseReason::ProxyHeaderInvalid
            | CloseReason::ProtocolError
            | CloseReason::HeadTimeout
            | CloseReason::BodyTimeout
            | CloseReason::Denied
            | CloseReason::TooManyOfSource
            | CloseReason::FileCut
            | CloseReason::HandlerFailed
            | CloseReason::SlowReader
            | CloseReason::TooManyConnections
            | CloseReason::TlsTimeout
            | CloseReason::TlsFailed
            | CloseReason::TooManyHandshakes
            | CloseReason::ShutdownTimeout => Self::Cut,
        }
    }

    /// The code and the reason that the socket is closed with.
    #[must_use]
    pub const fn close(self) -> (CloseCode, &'static str) {
        match self {
            Self::Finished => (CloseCode::NORMAL, "the server has ended"),
            Self::Reset => (CloseCode::INTERNAL, "the server broke off"),
            Self::Unreachable => (CloseCode::BAD_GATEWAY, "no server can be reached"),
            Self::Overloaded => (CloseCode::TRY_AGAIN, "overloaded"),
            Self::Cut => (CloseCode::GOING_AWAY, "the connection to the server was ended"),
        }
    }
}

/// What cannot be passed on as a line, or as a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFault {
    /// A message has a line feed in it: the server would take it for several.
    LineFeed,
    /// A line of the server is no text.
    Utf8,
    /// A line of the server is longer than a message may be.
    TooLong,
    /// The server has ended within a line.
    Unfinished,
}

impl LineFault {
    /// The code and the reason that the socket is closed with.
    #[must_use]
    pub const fn close(self) -> (CloseCode, &'static str) {
        match self {
            Self::LineFeed => (CloseCode::INVALID_DATA, "a line feed within a message"),
            Self::Utf8 => (CloseCode::INVALID_DATA, "a line of the server is not UTF-8"),
            Self::TooLong => (CloseCode::TOO_BIG, "a line of the server is too long"),
            Self::Unfinished => (CloseCode::INTERNAL, "the server has ended within a line"),
        }
    }
}

/// The next line of a server, as the text of a message; see [`LineReader::next`].
pub fn next_line<'a, 'i: 'a>(
    reader: &'a mut LineReader,
    input: &mut &'i [u8],
) -> Option<Result<&'a [u8], LineFault>> {
    Some(match reader.next(input)? {
        Ok(line) if Utf8Check::is_text(line) => Ok(line),
        Ok(_) => Err(LineFault::Utf8),
        Err(LineError::TooLong { .. }) => Err(LineFault::TooLong),
        Err(LineError::Unfinished) => Err(LineFault::Unfinished),
    })
}

/// What is between a socket and its connection to a server.
#[derive(Debug, Default)]
pub struct SocketLink {
    /// Payloads that the connection to the server has not taken.
    to_server: Option<Page>,
    to_server_len: usize,
    /// Bytes that it has taken and not sent.
    sending: usize,
    /// Bytes that the socket has not taken.
    to_client: Backlog,
    /// The client is not read until the server takes more.
    client_waits: bool,
    /// The server is not read until the client takes more.
    server_waits: bool,
    /// The socket is over: nobody takes what the server sends.
    is_client_gone: bool,
    /// The connection to the server is over: nobody takes what the client sends.
    is_server_gone: bool,
    server_end: Option<ServerEnd>,
}

impl SocketLink {
    /// Whether more of the client's messages is taken, where so many bytes may wait for one peer.
    /// If not, [`SocketLink::note_sending`] tells when.
    pub const fn takes_from_client(&mut self, allowance: usize) -> bool {
        self.client_waits = self.waiting_for_server() >= allowance;
        !self.client_waits
    }

    const fn waiting_for_server(&self) -> usize {
        self.to_server_len + self.sending
    }

    /// Bytes of a message are for the server.
    pub fn push(&mut self, bytes: &[u8], pages: &mut Pages) {
        if !self.is_server_gone {
            let page = self.to_server.get_or_insert_with(|| pages.take());
            page.bytes().extend_from_slice(bytes);
            self.to_server_len += bytes.len();
        }
    }

    /// A message is a line for the server.
    ///
    /// # Errors
    /// It would be several: nothing of it is passed on.
    pub fn push_line(&mut self, message: &[u8], pages: &mut Pages) -> Result<(), LineFault> {
        if message.contains(&b'\n') {
            return Err(LineFault::LineFeed);
        }
        self.push(message, pages);
        self.push(b"\n", pages);
        Ok(())
    }

    /// What there is for the server. It counts as being sent: [`SocketLink::note_sending`] follows.
    pub const fn take_for_server(&mut self) -> Option<Page> {
        self.sending += self.to_server_len;
        self.to_server_len = 0;
        self.to_server.take()
    }

    /// So many bytes are on their way to the server. Whether the client waits for that and is to
    /// be woken.
    pub const fn note_sending(&mut self, bytes: usize, allowance: usize) -> bool {
        self.sending = bytes;
        self.client_waits && self.waiting_for_server() < allowance
    }

    /// Whether the client waits for the server to take something.
    #[must_use]
    pub const fn client_waits(&self) -> bool {
        self.client_waits
    }

    /// Whether the socket is over and the server's connection has taken all that was for it.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.is_client_gone && self.to_server_len == 0
    }

    /// The socket is over: what it has sent still goes out.
    pub fn end_client(&mut self) {
        self.is_client_gone = true;
        self.to_client.clear();
    }

    /// Whether it is.
    #[must_use]
    pub const fn is_client_gone(&self) -> bool {
        self.is_client_gone
    }

    /// Bytes of the server have come. False when nobody takes them: they are dropped.
    pub fn receive(&mut self, buf: Buf) -> bool {
        if !self.is_client_gone {
            self.to_client.push(buf);
        }
        !self.is_client_gone
    }

    /// Whether the server is read, where so many bytes may wait for one peer. If not,
    /// [`SocketLink::note_taken`] tells when.
    pub fn takes_from_server(&mut self, allowance: usize) -> bool {
        self.server_waits = !self.has_room_for_client(allowance);
        !self.server_waits
    }

    fn has_room_for_client(&self, allowance: usize) -> bool {
        self.to_client.len() < allowance.min(TO_CLIENT_MAX)
    }

    /// The next bytes for the socket.
    pub fn take_for_client(&mut self) -> Option<Buf> {
        self.to_client.pop()
    }

    /// What is left of the bytes that were taken last.
    pub fn put_back(&mut self, buf: Buf) {
        self.to_client.put_back(buf);
    }

    /// The socket has taken something. Whether the server waits for that and is to be woken.
    pub fn note_taken(&mut self, allowance: usize) -> bool {
        self.server_waits && self.has_room_for_client(allowance)
    }

    /// Whether there is something for the socket: bytes, or that the server has ended.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        !self.to_client.is_empty() || self.server_end.is_some()
    }

    /// The server sends no more. The first end stays.
    pub fn end_server(&mut self, end: ServerEnd) {
        self.server_end.get_or_insert(end);
    }

    /// The connection to the server is over: what was for it is dropped from now on.
    pub fn close_server(&mut self, end: ServerEnd) {
        self.end_server(end);
        self.is_server_gone = true;
        (self.to_server, self.to_server_len, self.sending) = (None, 0, 0);
    }

    /// How the server has ended, once all that it sent was taken.
    #[must_use]
    pub const fn server_end(&self) -> Option<ServerEnd> {
        if self.to_client.is_empty() { self.server_end } else { None }
    }

    /// Bytes of memory that what waits takes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.waiting_for_server() + self.to_client.cost()
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub fn hold(&mut self) {
        self.to_client.hold();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: Option<Page>) -> Vec<u8> {
        page.map(|mut page| std::mem::take(page.bytes())).unwrap_or_default()
    }

    #[test]
    fn a_client_is_read_only_while_its_server_takes() {
        let (mut link, mut pages) = (SocketLink::default(), Pages::default());
        assert!(link.takes_from_client(10));
        link.push(b"0123456789", &mut pages);
        assert!(!link.takes_from_client(10) && link.client_waits());
        assert_eq!(text(link.take_for_server()), b"0123456789");
        assert!(!link.takes_from_client(10), "it is not sent");
        assert!(!link.note_sending(10, 10));
        assert!(link.note_sending(9, 10), "the client is woken");
        assert!(link.takes_from_client(10));
        assert!(!link.note_sending(0, 10), "it does not wait");
        assert!(link.takes_from_client(1), "what is empty takes something");
        assert_eq!(link.cost(), 0);
    }

    #[test]
    fn a_server_is_read_only_while_its_client_takes() {
        let mut link = SocketLink::default();
        assert!(link.takes_from_server(usize::MAX));
        assert!(link.receive(Buf::copy_of(&vec![b'x'; TO_CLIENT_MAX])));
        assert!(!link.takes_from_server(usize::MAX));
        assert!(!link.note_taken(usize::MAX));
        let mut buf = link.take_for_client().unwrap();
        buf.advance(1);
        link.put_back(buf);
        assert!(link.note_taken(usize::MAX) && !link.note_taken(1));
        assert!(link.has_more());
        assert_eq!(link.take_for_client().map(|buf| buf.len()), Some(TO_CLIENT_MAX - 1));
        assert!(link.note_taken(1) && !link.has_more());
    }

    #[test]
    fn what_was_sent_before_an_end_is_taken_before_it() {
        let mut link = SocketLink::default();
        link.receive(Buf::copy_of(b"last"));
        link.end_server(ServerEnd::Reset);
        assert_eq!(link.server_end(), None);
        assert!(link.has_more() && link.take_for_client().is_some() && link.has_more());
        link.close_server(ServerEnd::Finished);
        assert_eq!(link.server_end(), Some(ServerEnd::Reset), "the first stays");
    }

    #[test]
    fn what_is_for_nobody_is_dropped() {
        let (mut link, mut pages) = (SocketLink::default(), Pages::default());
        link.end_server(ServerEnd::Finished);
        link.push(b"it still reads", &mut pages);
        assert!(link.cost() > 0 && !link.takes_from_client(1));
        link.close_server(ServerEnd::Finished);
        link.push(b"no more", &mut pages);
        assert!(link.cost() == 0 && link.takes_from_client(1));
        let mut link = SocketLink::default();
        link.push(b"first", &mut pages);
        link.receive(Buf::copy_of(b"dropped"));
        link.end_client();
        assert!(link.is_client_gone() && !link.receive(Buf::copy_of(b"this, too")));
        assert!(link.take_for_client().is_none() && !link.is_at_end());
        assert_eq!(text(link.take_for_server()), b"first");
        assert!(link.is_at_end());
    }

    #[test]
    fn a_message_is_one_line() {
        let (mut link, mut pages) = (SocketLink::default(), Pages::default());
        for message in [&b"one"[..], b"", "zw\u{f6}lf\r".as_bytes()] {
            link.push_line(message, &mut pages).unwrap();
        }
        for message in [&b"\n"[..], b"a\nb", b"a\n", b"a\r\n"] {
            assert_eq!(link.push_line(message, &mut pages), Err(LineFault::LineFeed));
        }
        assert_eq!(text(link.take_for_server()), "one\n\nzw\u{f6}lf\r\n".as_bytes());
        assert_eq!(LineFault::LineFeed.close().0, CloseCode(1007));
    }

    #[test]
    fn lines_of_a_server_are_text_of_some_length() {
        let mut reader = LineReader::new(4);
        let mut input = &b"ab\r\n\ncd\xff\n12345\n1234\nrest"[..];
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut reader, &mut input) {
            lines.push(line.map(<[u8]>::to_vec));
        }
        let expected = [
            Ok(b"ab".to_vec()),
            Err(LineFault::Utf8),
            Err(LineFault::TooLong),
            Ok(b"1234".to_vec()),
        ];
        assert_eq!(lines, expected);
        assert!(reader.at_end().is_some());
        assert_eq!(LineFault::Utf8.close().0, CloseCode(1007));
        assert_eq!(LineFault::TooLong.close().0, CloseCode(1009));
    }

    #[test]
    fn every_end_of_a_server_has_a_code_that_may_be_sent() {
        for reason in CloseReason::ALL {
            let (code, text) = ServerEnd::of(reason).close();
            assert!(code.is_valid() && text.len() <= 123, "{reason:?}");
        }
        let of = |reason| ServerEnd::of(reason).close().0.0;
        assert_eq!(of(CloseReason::Finished), 1000);
        assert_eq!(of(CloseReason::UpstreamReset), 1011);
        assert_eq!(of(CloseReason::ConnectTimeout), 1014);
        assert_eq!(of(CloseReason::UpstreamOverloaded), 1013);
    }
}
