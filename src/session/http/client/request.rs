//! A request that is being answered, apart from the connection that it came on: who answers it, and
//! what is kept for that. What others do for it is addressed to its key: a result that comes when
//! the request is over finds nothing.

use std::time::Instant;

use super::encode::Encoding;
use super::file::Transfer;
use super::handled::Handled;
use super::publish::Publishing;
use super::socket::Socket;
use super::verify::Pending;
use crate::mem::Key;
use crate::proto::http::RequestHead;
use crate::proto::http2::StreamId;
use crate::service::http::record::RequestRecord;
use crate::session::http::waiting::Waiting;

/// A request's head, and what is recorded of it.
pub(in crate::session::http) type Asked = Box<(Box<RequestHead>, RequestRecord)>;

/// One request.
#[derive(Debug)]
pub(in crate::session::http) struct Request {
    /// Who answers it.
    pub(in crate::session::http) responder: Responder,
    /// How its answer is compressed, if it is.
    pub(in crate::session::http) encoding: Option<Box<Encoding>>,
    /// Bytes that compression has made of the answer, less those that were counted before.
    pub(in crate::session::http) recoded: i64,
    /// The answer goes out in another coding than the server's.
    pub(in crate::session::http) is_recoded: bool,
    /// The client of a tunnel was told that nothing more comes.
    pub(super) has_said_end: bool,
    /// What those know it by who do something for it.
    key: Option<Key>,
}

/// Who answers a request.
#[derive(Debug)]
pub(in crate::session::http) enum Responder {
    /// A server; the exchange has the rest.
    Proxy(Key),
    /// Nobody yet: its password is being checked.
    Verify(Box<Pending>),
    /// A folder, which is being read.
    Listing(Asked),
    /// An answer that is there, while it is compressed.
    Encoding(Asked),
    /// A file.
    File(Box<Transfer>),
    /// The request's own body.
    Echo(Asked),
    /// A handler of the program.
    Handler(Box<Handled>),
    /// An endpoint of WebSockets.
    Socket(Box<Socket>),
    /// Topics, to which its body is published.
    Publish(Box<Publishing>),
    /// Nobody any more: what was answered is written.
    Done,
}

impl Request {
    /// A request that is answered so.
    pub(in crate::session::http) const fn new(responder: Responder) -> Self {
        Self {
            responder,
            encoding: None,
            recoded: 0,
            is_recoded: false,
            has_said_end: false,
            key: None,
        }
    }

    /// The same, which others know by this key already.
    pub(in crate::session::http) const fn known_by(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Bytes of memory that what waits to be compressed takes, or what a handler has said.
    pub(super) fn encoding_cost(&self) -> usize {
        let said = match &self.responder {
            Responder::Handler(handled) => handled.cost(),
            Responder::Socket(socket) => socket.cost(),
            Responder::Publish(publishing) => publishing.cost(),
            Responder::Proxy(_)
            | Responder::Verify(_)
            | Responder::Listing(_)
            | Responder::Encoding(_)
            | Responder::File(_)
            | Responder::Echo(_)
            | Responder::Done => 0,
        };
        self.encoding.as_deref().map_or(said, Encoding::waiting)
    }

    /// What a handler of the program has of it, if one answers it.
    pub(super) const fn handled(&self) -> Option<&Handled> {
        let Responder::Handler(handled) = &self.responder else { return None };
        Some(handled)
    }

    /// The WebSocket that it has become, if it has.
    pub(super) const fn socket(&self) -> Option<&Socket> {
        let Responder::Socket(socket) = &self.responder else { return None };
        Some(socket)
    }

    /// When the time is over that a handler of the program has for it, or there is something to do
    /// for a socket.
    pub(super) fn handled_until(&self) -> Option<Instant> {
        self.handled().and_then(|handled| handled.until).or_else(|| self.socket()?.due())
    }

    /// Whether a handler of the program answers it.
    pub(super) const fn is_handled(&self) -> bool {
        self.handled().is_some()
    }

    /// The key by which others know it; `None` when there are too many that wait.
    pub(in crate::session::http) fn key(
        &mut self,
        waiting: &mut Waiting,
        of: (Key, StreamId),
    ) -> Option<Key> {
        if self.key.is_none() {
            self.key = waiting.enter(of);
        }
        self.key
    }

    /// Whether no read of a file is in flight for it.
    pub(in crate::session::http) fn is_quiet(&self) -> bool {
        let Responder::File(transfer) = &self.responder else { return true };
        transfer.is_quiet()
    }

    /// Whether its client has given it up, and only a read of a file has to end.
    pub(in crate::session::http) fn is_given_up(&self) -> bool {
        matches!(&self.responder, Responder::File(transfer) if transfer.is_given_up())
    }

    /// Whether others know it by this key.
    pub(in crate::session::http) fn is(&self, key: Key) -> bool {
        self.key == Some(key)
    }

    /// It is over: what others still do for it is not wanted any more.
    pub(in crate::session::http) fn forget(&mut self, waiting: &mut Waiting) {
        if let Some(key) = self.key.take() {
            waiting.leave(key);
        }
    }

    /// The exchange that answers it, if a server does.
    pub(in crate::session::http) const fn exchange(&self) -> Option<Key> {
        let Responder::Proxy(exchange) = &self.responder else { return None };
        Some(*exchange)
    }

    /// The record, with the bytes of the answer that compression has made.
    pub(in crate::session::http) fn settled(&self, mut record: RequestRecord) -> RequestRecord {
        record.sent = record.sent.saturating_add_signed(self.recoded);
        record
    }
}
