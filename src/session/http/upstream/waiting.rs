//! What waits on a connection to a server counts to the worker's budget.

use super::UpstreamConnection;
use crate::mem::Key;
use crate::ring::Driver;
use crate::session::context::Context;

impl UpstreamConnection {
    /// What was written and what was not read counts from now on.
    pub(super) fn count_waiting<D>(&mut self, context: &mut Context<D>, exchange: Option<Key>) {
        let unsent = self.buffer.unsent(&self.stream);
        let waiting = unsent + self.wire.cost();
        if waiting == self.counted {
            return;
        }
        let proxy = &mut context.http.proxy;
        proxy.budget_mut().recount(&mut self.counted, waiting);
        if let Some(exchange) = exchange {
            proxy.note_on_server(exchange, unsent);
        }
    }

    /// Nothing waits on this connection any more.
    pub(super) fn forget_waiting<D>(&mut self, context: &mut Context<D>) {
        context.http.proxy.budget_mut().recount(&mut self.counted, 0);
    }

    /// Reads nothing until [`UpstreamConnection::receive`].
    pub(super) fn pause<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.stream.is_receiving() {
            context.stats().relay.pauses.add(1);
            self.stream.pause(&mut context.reactor, key);
        }
    }

    /// Reads on: a buffer at a time when the worker's budget of waiting bytes is short, because all
    /// that comes at once would wait.
    pub(super) fn receive<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let once = context.http.proxy.budget().is_short();
        self.stream.receive(&mut context.reactor, key, once);
    }
}
