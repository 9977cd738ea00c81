//! A request that is being answered, apart from the connection that it came on: who answers it, and
//! what is kept for that. What others do for it is addressed to its key: a result that comes when
//! the request is over finds nothing.

use super::encode::Encoding;
use super::file::Transfer;
use super::verify::Pending;
use crate::mem::{Key, Slab};
use crate::proto::http::RequestHead;
use crate::service::http::record::RequestRecord;

/// Requests that wait for others at a time: more than there are connections.
const WAITING_MAX: u32 = 1 << 20;

/// A request's head, and what is recorded of it.
pub(super) type Asked = Box<(Box<RequestHead>, RequestRecord)>;

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    /// Who answers it.
    pub(super) responder: Responder,
    /// How its answer is compressed, if it is.
    pub(super) encoding: Option<Box<Encoding>>,
    /// Bytes that compression has made of the answer, less those that were counted before.
    pub(super) recoded: i64,
    /// The answer goes out in another coding than the server's.
    pub(super) is_recoded: bool,
    /// What those know it by who do something for it.
    key: Option<Key>,
}

/// Who answers a request.
#[derive(Debug)]
pub(super) enum Responder {
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
    /// Nobody any more: what was answered is written.
    Done,
}

/// Which connections the requests are on that others do something for.
#[derive(Debug)]
pub(in crate::session) struct Waiting(Slab<Key>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Slab::with_limit(WAITING_MAX))
    }
}

impl Waiting {
    /// A key for a request on a connection; `None` when there are too many.
    pub(super) fn enter(&mut self, connection: Key) -> Option<Key> {
        self.0.insert(connection).ok()
    }

    /// The connection of a request that still waits.
    pub(in crate::session) fn connection(&self, request: Key) -> Option<Key> {
        self.0.get(request).copied()
    }

    /// A request is over.
    pub(super) fn leave(&mut self, request: Key) {
        self.0.remove(request);
    }

    /// Whether nobody waits.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Request {
    /// A request that is answered so.
    pub(super) const fn new(responder: Responder) -> Self {
        Self { responder, encoding: None, recoded: 0, is_recoded: false, key: None }
    }

    /// The same, which others know by this key already.
    pub(super) const fn known_by(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Bytes of memory that what waits to be compressed takes.
    pub(super) fn encoding_cost(&self) -> usize {
        self.encoding.as_deref().map_or(0, Encoding::waiting)
    }

    /// The key by which others know it; `None` when there are too many that wait.
    pub(super) fn key(&mut self, waiting: &mut Waiting, connection: Key) -> Option<Key> {
        if self.key.is_none() {
            self.key = waiting.enter(connection);
        }
        self.key
    }

    /// Whether others know it by this key.
    pub(super) fn is(&self, key: Key) -> bool {
        self.key == Some(key)
    }

    /// It is over: what others still do for it is not wanted any more.
    pub(super) fn forget(&mut self, waiting: &mut Waiting) {
        if let Some(key) = self.key.take() {
            waiting.leave(key);
        }
    }

    /// The record, with the bytes of the answer that compression has made.
    pub(super) fn settled(&self, mut record: RequestRecord) -> RequestRecord {
        record.sent = record.sent.saturating_add_signed(self.recoded);
        record
    }
}
