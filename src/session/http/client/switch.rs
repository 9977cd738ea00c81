//! A client's connection changes to another protocol: what is left of HTTP on it. And tunnels,
//! whose bytes go through an exchange.

use std::net::{IpAddr, SocketAddr};

use super::request::Request;
use super::wire::Wire;
use super::{Http, Phase};
use crate::mem::{Buf, Key};
use crate::net::Stream;
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::session::common::Common;
use crate::session::context::Context;
use crate::session::http::state::HttpState;
use crate::session::stats_websocket::SocketStats;

/// What a connection of HTTP leaves to what follows on it.
#[derive(Debug)]
pub(in crate::session) struct Switched {
    /// Where the client comes from, if that is known.
    pub(in crate::session) client: Option<SocketAddr>,
    /// The source that it counts among, if it does.
    pub(in crate::session) source: Option<IpAddr>,
    /// What it has sent ahead.
    pub(in crate::session) ahead: Option<Buf>,
}

impl Http {
    /// Tells the client that the other protocol is spoken from now on, and ends the request.
    /// [`Http::into_parts`] follows.
    pub(in crate::session) fn switch<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        exchange: Key,
    ) -> Switched {
        self.write_switch(context, exchange);
        if let Some((head, told)) = context.end_exchange(exchange) {
            self.finish_request(context, head, &told);
        }
        self.drop_request(context);
        self.forget_waiting(context);
        self.phase = Phase::Head;
        self.io.buffer.finish(&mut context.pages, &mut self.io.stream);
        let ahead = match &mut self.wire {
            Wire::Http1(wire) => wire.take_rest(),
            // Its connection carries other requests.
            Wire::Http2(_) => Vec::new(),
        };
        let peer = self.client.take();
        self.stop_deadline(context);
        Switched {
            source: peer.as_ref().filter(|peer| peer.is_counted).and_then(|peer| peer.ip()),
            client: peer.and_then(|peer| peer.address),
            ahead: (!ahead.is_empty()).then(|| Buf::copy_of(&ahead)),
        }
    }

    /// A server has agreed to a tunnel, whose first bytes may be there; true when it is over.
    pub(super) fn begin_tunnel<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        exchange: Key,
    ) -> bool {
        self.open_tunnel(context, exchange);
        self.proceed(context, key, request, exchange)
    }

    /// Tells the client that a server has agreed to a tunnel, which goes through the exchange. That
    /// is all that is told of the request.
    fn open_tunnel<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let Context { http, pages, .. } = context;
        let Some(exchange) = http.proxy.get_mut(key) else { return };
        let Some(mut answer) = exchange.answer.head.take() else { return };
        let record = &mut exchange.record;
        record.status = answer.status;
        let route = record.route;
        let mut out = self.io.writer(pages);
        record.sent += self.wire.send_tunnel_head(&mut answer, &mut out) as u64;
        let told = record.clone();
        record.is_told = true;
        let spare = http.spare_heads.take();
        let head = std::mem::replace(&mut exchange.request.head, spare);
        http.spare_answers.give(answer);
        self.tell_request(context, &head, &told);
        let now = context.now();
        let HttpState { proxy, spare_heads, .. } = &mut context.http;
        if let Some(exchange) = proxy.get_mut(key) {
            spare_heads.give(std::mem::replace(&mut exchange.request.head, head));
        }
        proxy.tunnel_opened(key, now);
        if let Some(stats) = self.inspected_stats(route, context.options.worker) {
            stats.opened.add(1);
            stats.active.increment();
        }
    }

    /// What is counted of the WebSockets of a proxy that inspects them.
    pub(super) fn inspected_stats(
        &self,
        route: Option<usize>,
        worker: usize,
    ) -> Option<&SocketStats> {
        let route = self.options.routes.get(route?)?;
        route.action.inspects().then(|| route.sockets(worker)).flatten()
    }

    /// Counts what was seen of an inspected WebSocket since the last time.
    pub(super) fn count_inspected<D: Driver>(&self, context: &mut Context<D>, exchange: Key) {
        let Some(one) = context.http.proxy.get_mut(exchange) else { return };
        let route = one.record.route;
        if let Some(inspected) = one.take_inspected()
            && let Some(stats) = self.inspected_stats(route, context.options.worker)
        {
            stats.note_inspected(&inspected);
        }
    }

    /// A tunnel of which the server has ended its side: the client is told, and may send on.
    pub(super) fn say_tunnel_end<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        exchange: Key,
    ) {
        let one = context.http.proxy.get(exchange);
        let ends = one.is_some_and(|one| one.is_tunnel() && one.answer.body.is_done());
        if !ends || request.has_said_end {
            return;
        }
        if self.wire.is_http2() {
            self.write_end(context, None);
            request.has_said_end = true;
        } else if self.io.buffer.waiting() == 0 && self.io.stream.is_drained() {
            match self.io.stream.shutdown_write(&mut context.reactor, key) {
                Ok(is_said) => request.has_said_end = is_said,
                Err(_) => self.close(context, key, CloseReason::ClientReset),
            }
        }
    }

    /// The connection without HTTP, and whether its client sends no more.
    pub(in crate::session) fn into_parts(self) -> (Common, Stream, bool) {
        (self.io.common, self.io.stream, self.wire.has_ended())
    }

    /// Writes the head that tells the client that its protocol is spoken from now on.
    fn write_switch<D: Driver>(&mut self, context: &mut Context<D>, exchange: Key) {
        self.write_interim(context, exchange);
        let Context { http, pages, .. } = context;
        let Some(exchange) = http.proxy.get_mut(exchange) else { return };
        let Some(answer) = exchange.answer.head.take() else { return };
        exchange.record.status = answer.status;
        let mut out = self.io.writer(pages);
        if let Wire::Http1(wire) = &mut self.wire {
            exchange.record.sent += wire.send_switch(&answer, &mut out) as u64;
        }
        http.spare_answers.give(answer);
    }
}
