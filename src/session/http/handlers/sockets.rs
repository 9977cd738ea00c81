//! The handlers of WebSockets of a worker.

use std::sync::Arc;

use super::Handlers;
use crate::handler::{
    Host, HttpRequest, Opening, Panicked, SocketExchange, WebSocketHandler, WebSocketHandlers,
    contain,
};
use crate::mem::Key;

/// See above. Each is made when its first socket comes.
#[derive(Default)]
pub(super) struct Sockets {
    factories: WebSocketHandlers,
    /// By their places.
    made: Vec<Option<Box<dyn WebSocketHandler>>>,
}

impl Sockets {
    pub(super) const fn new(factories: WebSocketHandlers) -> Self {
        Self { factories, made: Vec::new() }
    }
}

impl Handlers {
    /// Asks the handler at a place whether a socket opens. One that panics is made again.
    pub(in crate::session::http) fn open_socket(
        &mut self,
        place: usize,
        request: &HttpRequest<'_>,
        key: Key,
        limit: usize,
    ) -> Result<Opening, Panicked> {
        let Sockets { factories, made } = &mut self.sockets;
        if place >= made.len() {
            made.resize_with(place + 1, || None);
        }
        let host = Arc::clone(&self.worker) as Arc<dyn Host>;
        let made = &mut made[place];
        let opened =
            contain(|| made.is_none().then(|| factories.make(place)).flatten()).and_then(|new| {
                *made = made.take().or(new);
                let missing = || Panicked("there is no such handler".to_owned());
                let handler = made.as_deref_mut().ok_or_else(missing)?;
                SocketExchange::open(handler, request, (host, key, limit))
            });
        opened.inspect_err(|panicked| self.socket_failed(place, panicked))
    }

    /// The handler at a place has panicked, or a receiver of its. It is made again for the next
    /// socket. The other sockets that it has opened go on.
    pub(in crate::session::http) fn socket_failed(
        &mut self,
        place: usize,
        Panicked(text): &Panicked,
    ) {
        let half_done = self.sockets.made.get_mut(place).and_then(Option::take);
        let _panicked = contain(|| drop(half_done));
        self.note_panic(text, "WebSocket");
    }
}
