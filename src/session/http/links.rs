//! What is between WebSockets and their connections to servers: each side finds it by its key, and
//! wakes the other one by a wish, as neither can reach the other's session.

use std::net::SocketAddr;
use std::time::Duration;

use super::websocket::RelayFormat;
use crate::mem::{Buf, Key, Pages, Slab};
use crate::proto::http2::StreamId;
use crate::service::http::budget::WaitingBudget;
use crate::service::proxy::{LineFault, ServerEnd, SocketLink};

/// Links of a worker, at most: more than there are connections.
const LINKS_MAX: u32 = 1 << 20;

/// What a connection to a server is made for.
#[derive(Debug, Clone)]
pub(in crate::session) struct LinkTarget {
    pub(in crate::session) upstream: usize,
    pub(in crate::session) format: RelayFormat,
    /// The number of the client's connection, for logs.
    pub(in crate::session) id: u64,
    pub(in crate::session) client: Option<SocketAddr>,
    /// The address that the client connected to, where servers are told.
    pub(in crate::session) destination: Option<SocketAddr>,
    /// How long the connection may go on without its client while nothing moves.
    pub(in crate::session) idle_timeout: Duration,
}

/// A link, and whose it is.
#[derive(Debug)]
struct Entry {
    target: LinkTarget,
    link: SocketLink,
    /// Connection and stream of the socket.
    client: (Key, StreamId),
    /// The session of the connection to the server, while there is one.
    server: Option<Key>,
    is_client_told: bool,
    is_server_told: bool,
    /// It is looked at when the turn ends.
    is_touched: bool,
    /// What the worker's budget counts of it.
    counted: usize,
}

/// What is to be done for a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) enum LinkWish {
    /// A connection to a server is to be made.
    Connect(Key),
    /// The socket that a stream carries has something to do.
    WakeClient(Key, StreamId),
    /// The connection to the server has.
    WakeServer(Key),
}

/// Who has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    Connect,
    Client,
    Server,
}

/// The links of a worker.
#[derive(Debug)]
pub(in crate::session) struct Links {
    all: Slab<Entry>,
    wishes: Vec<(Wake, Key)>,
    touched: Vec<Key>,
}

impl Default for Links {
    fn default() -> Self {
        Self { all: Slab::with_limit(LINKS_MAX), wishes: Vec::new(), touched: Vec::new() }
    }
}

impl Links {
    /// A socket wants a connection to a server; `None` when there are too many.
    pub(super) fn open(&mut self, target: LinkTarget, client: (Key, StreamId)) -> Option<Key> {
        let entry = Entry {
            target,
            link: SocketLink::default(),
            client,
            server: None,
            is_client_told: false,
            is_server_told: false,
            is_touched: false,
            counted: 0,
        };
        let key = self.all.insert(entry).ok()?;
        self.wishes.push((Wake::Connect, key));
        Some(key)
    }

    /// Whether there is none.
    pub(in crate::session) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether something is to be done for any.
    pub(in crate::session) const fn has_wishes(&self) -> bool {
        !self.wishes.is_empty()
    }

    /// The next thing to be done.
    pub(in crate::session) fn next_wish(&mut self) -> Option<LinkWish> {
        while let Some((wake, key)) = self.wishes.pop() {
            let Some(entry) = self.all.get_mut(key) else { continue };
            match wake {
                Wake::Connect => return Some(LinkWish::Connect(key)),
                Wake::Client => {
                    entry.is_client_told = false;
                    if !entry.link.is_client_gone() {
                        let (connection, stream) = entry.client;
                        return Some(LinkWish::WakeClient(connection, stream));
                    }
                }
                Wake::Server => {
                    entry.is_server_told = false;
                    if let Some(server) = entry.server {
                        return Some(LinkWish::WakeServer(server));
                    }
                }
            }
        }
        None
    }

    /// A link, which is looked at when the turn ends.
    fn touch(&mut self, key: Key) -> Option<&mut Entry> {
        let entry = self.all.get_mut(key)?;
        if !std::mem::replace(&mut entry.is_touched, true) {
            self.touched.push(key);
        }
        Some(entry)
    }

    fn wake_client(&mut self, key: Key) {
        if let Some(entry) = self.all.get_mut(key)
            && !entry.link.is_client_gone()
            && !std::mem::replace(&mut entry.is_client_told, true)
        {
            self.wishes.push((Wake::Client, key));
        }
    }

    fn wake_server(&mut self, key: Key) {
        if let Some(entry) = self.all.get_mut(key)
            && entry.server.is_some()
            && !std::mem::replace(&mut entry.is_server_told, true)
        {
            self.wishes.push((Wake::Server, key));
        }
    }

    /// The end of a turn: what waits holds nothing of the pool, and counts.
    pub(in crate::session) fn hold(&mut self, budget: &mut WaitingBudget) {
        for key in self.touched.drain(..) {
            if let Some(entry) = self.all.get_mut(key) {
                entry.is_touched = false;
                entry.link.hold();
                budget.recount(&mut entry.counted, entry.link.cost());
            }
        }
    }

    fn remove_if_over(&mut self, key: Key, budget: &mut WaitingBudget) {
        if let Some(entry) = self.all.get_mut(key)
            && entry.link.is_client_gone()
            && entry.server.is_none()
        {
            budget.recount(&mut entry.counted, 0);
            self.all.remove(key);
        }
    }
}

/// What sockets ask.
impl Links {
    /// Whether more of the client is read.
    pub(super) fn takes_from_client(&mut self, key: Key, allowance: usize) -> bool {
        self.all.get_mut(key).is_none_or(|entry| entry.link.takes_from_client(allowance))
    }

    /// Bytes of a message have come.
    pub(super) fn push(&mut self, key: Key, bytes: &[u8], pages: &mut Pages) {
        if let Some(entry) = self.touch(key) {
            entry.link.push(bytes, pages);
            self.wake_server(key);
        }
    }

    /// A message has come whole, as the link's format has it.
    ///
    /// # Errors
    /// It cannot be passed on.
    pub(super) fn push_message(
        &mut self,
        key: Key,
        message: &[u8],
        pages: &mut Pages,
    ) -> Result<(), LineFault> {
        let Some(entry) = self.touch(key) else { return Ok(()) };
        match entry.target.format {
            RelayFormat::Bytes => entry.link.push(message, pages),
            RelayFormat::Lines => entry.link.push_line(message, pages)?,
        }
        self.wake_server(key);
        Ok(())
    }

    /// The next bytes of the server.
    pub(super) fn next(&mut self, key: Key) -> Option<Buf> {
        self.touch(key)?.link.take_for_client()
    }

    /// What is left of those that were taken last.
    pub(super) fn put_back(&mut self, key: Key, buf: Buf) {
        if let Some(entry) = self.touch(key) {
            entry.link.put_back(buf);
        }
    }

    /// Whether there is something for the socket.
    pub(super) fn has_more(&self, key: Key) -> bool {
        self.all.get(key).is_some_and(|entry| entry.link.has_more())
    }

    /// How the server has ended, once all that it sent was taken.
    pub(super) fn server_end(&self, key: Key) -> Option<ServerEnd> {
        self.all.get(key)?.link.server_end()
    }

    /// The socket has taken something.
    pub(super) fn note_taken(&mut self, key: Key, allowance: usize) {
        if self.all.get_mut(key).is_some_and(|entry| entry.link.note_taken(allowance)) {
            self.wake_server(key);
        }
    }

    /// The socket is over.
    pub(super) fn leave(&mut self, key: Key, budget: &mut WaitingBudget) {
        if let Some(entry) = self.touch(key) {
            entry.link.end_client();
            self.wake_server(key);
            self.remove_if_over(key, budget);
        }
    }
}

/// What connections to servers ask.
impl Links {
    /// What the connection is made for; `None` when its socket is over already.
    pub(in crate::session) fn target(&self, key: Key) -> Option<&LinkTarget> {
        Some(&self.all.get(key)?.target)
    }

    /// The connection to the server has this session.
    pub(in crate::session) fn set_server(&mut self, key: Key, server: Key) {
        if let Some(entry) = self.all.get_mut(key) {
            entry.server = Some(server);
        }
    }

    /// The link itself.
    pub(in crate::session) fn get(&mut self, key: Key) -> Option<&mut SocketLink> {
        Some(&mut self.touch(key)?.link)
    }

    /// Bytes of the server have come. False when nobody takes them.
    pub(in crate::session) fn receive(&mut self, key: Key, buf: Buf) -> bool {
        let is_taken = self.touch(key).is_some_and(|entry| entry.link.receive(buf));
        if is_taken {
            self.wake_client(key);
        }
        is_taken
    }

    /// So many bytes are on their way to the server.
    pub(in crate::session) fn note_sending(&mut self, key: Key, bytes: usize, allowance: usize) {
        if self.touch(key).is_some_and(|entry| entry.link.note_sending(bytes, allowance)) {
            self.wake_client(key);
        }
    }

    /// The server sends no more.
    pub(in crate::session) fn end_server(&mut self, key: Key, end: ServerEnd) {
        if let Some(entry) = self.touch(key) {
            entry.link.end_server(end);
            self.wake_client(key);
        }
    }

    /// The connection to the server is over.
    pub(in crate::session) fn close_server(&mut self, key: Key, end: ServerEnd) {
        if let Some(entry) = self.touch(key) {
            entry.link.close_server(end);
            self.wake_client(key);
        }
    }

    /// The session of the connection to the server has ended.
    pub(in crate::session) fn leave_server(&mut self, key: Key, budget: &mut WaitingBudget) {
        if let Some(entry) = self.touch(key) {
            entry.server = None;
            self.remove_if_over(key, budget);
        }
    }
}
