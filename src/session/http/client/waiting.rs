//! What waits on a client's connection, and how much of that there may be.

use super::Http;
use super::request::Request;
use super::wire::{StoppedBy, Wire};
use crate::mem::Key;
use crate::ring::Driver;
use crate::session::context::Context;

/// Bytes that a client may send ahead of its answers.
const AHEAD_MAX: usize = 64 * 1024;

impl Http {
    /// Whether the client takes what it is answered.
    pub(in crate::session::http) fn has_room<D>(&mut self, context: &Context<D>) -> bool {
        self.wire.room() > 0 && self.takes_heads(context)
    }

    /// Whether the connection takes heads of answers, which no window of HTTP/2 holds back.
    pub(super) fn takes_heads<D>(&mut self, context: &Context<D>) -> bool {
        let takes = self.takes_more(context);
        if !takes {
            self.wire.note_stopped(StoppedBy::Connection);
        }
        takes
    }

    /// The same, asked for no request.
    pub(super) fn takes_more<D>(&mut self, context: &Context<D>) -> bool {
        let waiting = self.io.buffer.waiting() + self.wire.queued();
        !self.io.stream.is_blocked() && waiting < context.http.proxy.budget().allowance()
    }

    /// Whether the client has sent too much ahead.
    pub(super) fn is_ahead<D>(&self, context: &Context<D>) -> bool {
        self.wire.cost() > AHEAD_MAX.min(context.http.proxy.budget().allowance())
    }

    /// The end of a turn: what is left counts from now on.
    pub(super) fn count_waiting<D>(&mut self, context: &mut Context<D>) {
        if !self.wire.is_read() || self.wire.is_http2() {
            self.wire.hold();
        }
        let encoding = match &self.wire {
            Wire::Http1(_) => self.request.as_ref().map_or(0, Request::encoding_cost),
            Wire::Http2(many) => many.requests.cost(),
        };
        let exchange = self.exchange();
        self.count_written(context, exchange, encoding);
    }

    /// What was written counts from now on, and what waits to be compressed.
    pub(in crate::session::http) fn count_written<D>(
        &mut self,
        context: &mut Context<D>,
        exchange: Option<Key>,
        encoding: usize,
    ) {
        let unsent = self.io.buffer.unsent(&self.io.stream) + encoding;
        let waiting = unsent + self.wire.cost();
        if waiting == self.counted || self.io.is_closing() {
            return;
        }
        let proxy = &mut context.http.proxy;
        proxy.budget_mut().recount(&mut self.counted, waiting);
        if let Some(exchange) = exchange {
            proxy.note_on_client(exchange, self.wire.queued_of().unwrap_or(unsent));
        }
    }

    /// Nothing waits on this connection any more.
    pub(in crate::session::http) fn forget_waiting<D>(&mut self, context: &mut Context<D>) {
        context.http.proxy.budget_mut().recount(&mut self.counted, 0);
    }

    /// Reads on: a buffer at a time when the worker's budget of waiting bytes is short, because all
    /// that comes at once would wait.
    pub(super) fn receive<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let once = context.http.proxy.budget().is_short();
        self.io.stream.receive(&mut context.reactor, key, once);
    }

    /// Reads no further.
    pub(super) fn pause<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let proxy = &mut context.http.proxy;
        if proxy.budget().is_short()
            && let Some(exchange) = self.exchange()
            && proxy.is_body_limited(exchange)
        {
            proxy.budget_mut().note_limited();
        }
        self.io.pause(context, key);
    }
}
