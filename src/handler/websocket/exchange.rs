//! A socket that a program answers, as its worker has it.

use std::sync::Arc;

use super::sender::{SocketLook, WebSocketSender};
use super::{Answered, Message, Opened, WebSocketHandler, WebSocketReceiver};
use crate::handler::http::HttpRequest;
use crate::handler::shared::Host;
use crate::mem::Key;
use crate::service::handler::{Panicked, contain};

/// What a program has answered to a handshake.
#[derive(Debug)]
pub(crate) enum Opening {
    /// The socket opens.
    Accepted(Accepted),
    /// It does not: the status.
    Refused(u16),
}

/// A socket that opens.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) exchange: SocketExchange,
    /// The subprotocol that the program has chosen.
    pub(crate) subprotocol: Option<Box<str>>,
}

/// See above. Dropping it tells the program that the socket is over.
pub(crate) struct SocketExchange {
    sender: WebSocketSender,
    /// Whoever takes messages, until it was told of the end.
    receiver: Option<Box<dyn WebSocketReceiver>>,
    /// Bytes that waited at the last look.
    queued: usize,
    /// What was in the close frame.
    reason: String,
}

impl SocketExchange {
    /// Asks a handler whether a socket opens. Up to `limit` bytes may wait for it.
    pub(crate) fn open(
        handler: &mut dyn WebSocketHandler,
        request: &HttpRequest<'_>,
        (host, key, limit): (Arc<dyn Host>, Key, usize),
    ) -> Result<Opening, Panicked> {
        let sender = WebSocketSender::new(host, key, limit);
        let opened = contain(|| handler.open(request, &sender));
        match opened {
            Ok(Opened(Answered::Accepted { receiver, subprotocol })) => {
                let exchange =
                    Self { sender, receiver: Some(receiver), queued: 0, reason: String::new() };
                let is_offered = |name: &str| request.subprotocols().any(|one| one == name);
                if let Some(name) = subprotocol.as_deref().filter(|name| !is_offered(name)) {
                    let route = request.route;
                    tracing::error!(route, "the handler chose a subprotocol not offered: {name}");
                    return Ok(Opening::Refused(500));
                }
                Ok(Opening::Accepted(Accepted { exchange, subprotocol }))
            }
            Ok(Opened(Answered::Refused(status))) => {
                sender.shared().shut();
                Ok(Opening::Refused(status))
            }
            Err(panicked) => {
                sender.shared().shut();
                Err(panicked)
            }
        }
    }

    /// A message has come.
    pub(crate) fn message(&mut self, message: Message<'_>) -> Result<(), Panicked> {
        self.call(|receiver| receiver.message(message))
    }

    /// A message was refused, and there is room.
    pub(crate) fn give_room(&mut self) -> Result<(), Panicked> {
        self.call(|receiver| receiver.room())
    }

    fn call(&mut self, call: impl FnOnce(&mut dyn WebSocketReceiver)) -> Result<(), Panicked> {
        let Some(receiver) = self.receiver.as_deref_mut() else { return Ok(()) };
        self.sender.shared().expect();
        contain(|| call(receiver))
    }

    /// What the program has said next, and how many messages of groups it has missed since the last
    /// look. After [`SocketLook::Nothing`] and [`SocketLook::Blocked`], the worker is woken when
    /// there is more. Up to `limit` bytes may wait from now on.
    pub(crate) fn look(&mut self, limit: usize, takes: bool) -> (SocketLook, u32) {
        let (look, queued, dropped) = self.sender.shared().look(limit, takes);
        self.queued = queued;
        (look, dropped)
    }

    /// What waited at the last look, in bytes of memory.
    pub(crate) const fn cost(&self) -> usize {
        self.queued
    }

    /// The socket is being closed: the program's messages are not taken any more.
    pub(crate) fn shut(&mut self, reason: &str) {
        self.sender.shared().shut();
        self.queued = 0;
        reason.clone_into(&mut self.reason);
    }

    /// The socket is over: tells the program, once.
    pub(crate) fn end(&mut self, code: u16) -> Result<(), Panicked> {
        self.sender.shared().shut();
        let Some(mut receiver) = self.receiver.take() else { return Ok(()) };
        let told = contain(|| receiver.close(code, &self.reason));
        let dropped = contain(|| drop(receiver));
        told.and(dropped)
    }
}

impl Drop for SocketExchange {
    fn drop(&mut self) {
        // The worker ends before the socket does.
        if let Err(Panicked(text)) = self.end(1006) {
            tracing::error!("the program's handler panicked as its WebSocket ended: {text}");
        }
    }
}

impl std::fmt::Debug for SocketExchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketExchange").field("sender", &self.sender).finish_non_exhaustive()
    }
}
