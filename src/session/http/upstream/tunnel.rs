//! Connections to servers that change to another protocol: their sockets go to a relay, or what
//! they carry are the bytes of a tunnel.

use super::{Phase, UpstreamConnection};
use crate::mem::Key;
use crate::net::Stream;
use crate::proto::http2::Client;
use crate::ring::{Driver, Lane};
use crate::service::cluster::ServerProtocol;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::CloseCause;
use crate::service::proxy::http::Exchange;
use crate::session::context::Context;
use crate::session::http::state::HttpState;

/// How far a tunnel is that a connection of HTTP/1.1 carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tunnel {
    /// It carries none.
    No,
    /// Its client may send more.
    Open,
    /// It has sent all.
    Ending,
    /// The server was told so.
    Said,
}

impl UpstreamConnection {
    /// The connection is for one exchange alone, and speaks HTTP/1.1.
    pub(in crate::session) const fn for_one(mut self, exchange: Key) -> Self {
        self.alone = Some(exchange);
        self
    }

    /// The connection could not be made.
    pub(super) fn tell_failed<D: Driver>(&self, context: &mut Context<D>, failure: Failure) {
        let (now, place) = (context.now(), (self.cluster, self.server));
        let HttpState { proxy, clusters, .. } = &mut context.http;
        match self.alone {
            Some(exchange) => {
                // The server chooses HTTP/2, or nothing.
                let is_choice = failure == Failure::ConnectTls;
                let failure = if is_choice { Failure::NoWebSocket } else { failure };
                proxy.connection_failed_alone(place, exchange, failure, clusters, now);
            }
            None => proxy.connection_failed(place, failure, clusters, now),
        }
    }

    /// The socket goes to a relay as soon as nothing is in flight on it.
    pub(super) fn leave<D: Driver>(&mut self, context: &mut Context<D>, key: Key, exchange: Key) {
        self.deadline.clear();
        self.buffer.finish(&mut context.pages, &mut self.stream);
        self.stream.flush(&mut context.reactor, key);
        if self.wire.is_cut() {
            self.fail(context, key, exchange, Failure::ResetInBody);
        } else if self.stream.is_receiving() {
            self.stream.pause(&mut context.reactor, key);
        } else if self.stream.is_quiet() {
            context.http.tunnels.push((exchange, key));
        }
    }

    /// The stream, and what came behind the answer's head; the connection itself ends.
    pub(in crate::session) fn give_stream<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
    ) -> (Stream, Vec<u8>) {
        debug_assert!(self.stream.is_quiet(), "an operation knows the socket");
        let now = context.now();
        let stream = std::mem::replace(&mut self.stream, Stream::new(Lane::Upstream, None));
        let early = self.wire.take_rest();
        let HttpState { proxy, clusters, .. } = &mut context.http;
        let (place, cause) = ((self.cluster, self.server), CloseCause::Retired);
        proxy.connection_closed(place, key, cause, clusters, now);
        self.phase = Phase::Closing;
        self.forget_waiting(context);
        self.deadline.disarm(&mut context.reactor);
        (stream, early)
    }

    /// What is read and written are the bytes of a tunnel from now on.
    pub(super) fn open_tunnel(&mut self) {
        self.tunnel = Tunnel::Open;
        self.wire.open_tunnel();
    }

    /// Looks how far a tunnel is: each side ends on its own.
    pub(super) fn go_on_with_tunnel<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) {
        if self.tunnel == Tunnel::No {
            return;
        }
        let is_said = self.tunnel == Tunnel::Said;
        let has_ended = self.wire.is_tunnel_read();
        if has_ended && self.wire.is_cut() && !is_said {
            // What its client sends on goes nowhere.
            return self.fail(context, key, exchange, Failure::ResetInBody);
        }
        if self.tunnel == Tunnel::Open && !self.wire.is_sending() {
            self.tunnel = Tunnel::Ending;
        }
        if has_ended && is_said {
            let now = context.now();
            let HttpState { proxy, clusters, .. } = &mut context.http;
            proxy.answer_ended(exchange, None, clusters, now);
            self.release(context, key);
        }
    }

    /// All that the client has sent is out: the server is told that no more comes.
    pub(super) fn say_tunnel_end<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.tunnel != Tunnel::Ending || !self.stream.is_drained() || self.stream.is_blocked() {
            return;
        }
        match self.stream.shutdown_write(&mut context.reactor, key) {
            Ok(false) => return,
            Ok(true) => {}
            // It has gone: what it has sent is all that there is.
            Err(_) => self.wire.receive_reset(),
        }
        self.tunnel = Tunnel::Said;
        if self.wire.is_tunnel_read() || self.wire.is_cut() {
            self.postpone(context, key);
        }
    }

    /// A request for a WebSocket cannot be passed on by HTTP/2.
    pub(super) fn tell_no_websocket<D: Driver>(&self, context: &mut Context<D>, failure: Failure) {
        let now = context.now();
        let protocol = context.http.clusters.get(self.cluster).options.protocol;
        if failure != Failure::NoWebSocket || protocol != ServerProtocol::Http2 {
            return;
        }
        let upstream = &context.plan.upstreams[self.cluster];
        if let Some(others) = context.notices.protocol.due(now) {
            let (name, server) = (&upstream.name, upstream.servers[self.server]);
            tracing::warn!(
                upstream = %name, %server, others,
                "the server knows no WebSocket by HTTP/2 (RFC 8441), and the upstream allows \
                 nothing else: let the server announce SETTINGS_ENABLE_CONNECT_PROTOCOL, or set \
                 `protocol` to \"auto\" or \"http1\""
            );
        }
    }
}

/// Why a request for a WebSocket cannot go out by HTTP/2, if that is what it is.
pub(super) fn handshake_failure(exchange: &Exchange, wire: &Client) -> Option<Failure> {
    let asked = exchange.request.websocket.as_ref()?;
    if !wire.takes_websockets() {
        return Some(Failure::NoWebSocket);
    }
    (!asked.is_valid()).then_some(Failure::ClientHandshake)
}
