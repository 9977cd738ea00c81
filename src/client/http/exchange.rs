//! One exchange on a connection, which it may share with others.

use std::cell::RefCell;
use std::os::fd::AsFd;
use std::rc::Rc;

use super::connection::{AnswerHead, Connection, Part};
use super::pool::{Pool, PoolKey};
use super::request::Prepared;
use crate::client::ClientError;
use crate::client::deadline::Deadline;
use crate::client::error::Waiting;
use crate::mem::Buf;
use crate::net::tls::Info;
use crate::proto::http::{Fields, Version};
use crate::proto::http2::{ErrorCode, StreamId};

/// A connection that several may hold.
pub(super) type SharedConnection = Rc<RefCell<Connection>>;

/// A request that was begun, and its answer. Dropped before its end, it is given up: by HTTP/1.1
/// the connection is closed, by HTTP/2 the stream is reset.
#[derive(Debug)]
pub(in crate::client) struct Exchange {
    connection: SharedConnection,
    pool: Rc<RefCell<Pool>>,
    key: PoolKey,
    stream: StreamId,
    /// The connection had carried another one before.
    is_on_used: bool,
    has_head: bool,
    is_over: bool,
}

impl Exchange {
    /// Sends the head of a request; all of the request, if it `ends` with that.
    pub(super) fn begin(
        connection: SharedConnection,
        pool: &Rc<RefCell<Pool>>,
        key: PoolKey,
        request: &Prepared,
        ends: bool,
    ) -> Self {
        let (is_on_used, stream) = {
            let mut connection = connection.borrow_mut();
            (connection.is_used(), connection.begin(request, ends))
        };
        let (has_head, is_over) = (false, false);
        Self { connection, pool: Rc::clone(pool), key, stream, is_on_used, has_head, is_over }
    }

    pub(in crate::client) fn peer(&self) -> String {
        self.connection.borrow().peer()
    }

    pub(in crate::client) fn tls(&self) -> Option<Info> {
        self.connection.borrow().tls().and_then(crate::net::tls::Session::info)
    }

    pub(in crate::client) fn version(&self) -> Version {
        self.connection.borrow().version()
    }

    /// Whether the server had no chance to say anything of it: the connection may have ended before
    /// the request came.
    pub(in crate::client) fn may_be_stale(&self) -> bool {
        self.is_on_used && !self.has_head && !self.connection.borrow().is_seen(self.stream)
    }

    /// Whether the body of the request is still wanted.
    pub(in crate::client) fn is_sending(&self) -> bool {
        !self.is_over && self.connection.borrow().is_sending(self.stream)
    }

    /// Bytes that can be taken of the request's body now.
    pub(in crate::client) fn room(&self) -> usize {
        self.connection.borrow().room(self.stream)
    }

    pub(in crate::client) fn send_part(&mut self, part: Buf) {
        self.connection.borrow_mut().send_part(self.stream, part);
    }

    pub(in crate::client) fn send_end(&mut self, trailers: Option<&Fields>) {
        self.connection.borrow_mut().send_end(self.stream, trailers);
    }

    /// The head of the answer, once it has come.
    pub(in crate::client) fn poll_head(&mut self) -> Result<Option<AnswerHead>, ClientError> {
        let head = self.connection.borrow_mut().poll_head(self.stream)?;
        self.has_head |= head.is_some();
        Ok(head)
    }

    /// More of the answer. Its end gives the connection back.
    pub(in crate::client) fn poll_part(&mut self) -> Result<Option<Part>, ClientError> {
        let part = self.connection.borrow_mut().poll_part(self.stream)?;
        if matches!(part, Some(Part::End(_))) {
            self.is_over = true;
            let is_reusable = self.connection.borrow_mut().finish(self.stream);
            if is_reusable {
                Pool::give(&self.pool, &self.key, &self.connection);
            }
        }
        Ok(part)
    }

    /// Waits until something happens.
    pub(in crate::client) fn turn(
        &mut self,
        deadline: Deadline,
        op: Waiting,
    ) -> Result<(), ClientError> {
        self.connection.borrow_mut().turn(deadline, op)
    }

    /// Does what can be done without waiting.
    pub(in crate::client) fn look(&mut self) -> Result<(), ClientError> {
        self.connection.borrow_mut().look()
    }

    /// Watches for a descriptor to be readable, in the turns to come.
    pub(in crate::client) fn watch(&mut self, input: &impl AsFd) {
        self.connection.borrow_mut().watch(input);
    }

    /// Whether the watched descriptor can be read; says so once.
    pub(in crate::client) fn take_input(&mut self) -> bool {
        self.connection.borrow_mut().take_input()
    }

    /// Watches no more.
    pub(in crate::client) fn unwatch(&mut self) -> Result<(), ClientError> {
        self.connection.borrow_mut().unwatch()
    }

    /// Gives it up for a reason that the server is told, where HTTP has a word for it.
    pub(in crate::client) fn give_up(&mut self, code: ErrorCode) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.connection.borrow_mut().give_up(self.stream, code);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.give_up(ErrorCode::CANCEL);
    }
}
