//! Before messages go: the connection to a server.

use nix::errno::Errno;

use super::*;
use crate::net::{NetworkError, Operation};
use crate::proto::proxy_protocol::{self, Version};
use crate::session::failure::{failure_of, tls_error};
use crate::session::options::Speaks;

impl SocketRelay {
    /// Connects to a server. What fails at once is the next event.
    pub(super) fn connect<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        server: usize,
    ) -> Option<Event> {
        self.stream.close(&mut context.reactor, key);
        self.connect_expired = false;
        let upstream = self.target.upstream;
        let options = &context.plan.upstreams[upstream];
        let (address, timeout) = (options.servers[server], options.connect_timeout);
        let send_header = options.send_header;
        if self.exchange.failures() > 0 {
            self.plan.stats().retries.add(1);
        }
        let socket = match context.open_socket(&mut self.stream, (upstream, server), Speaks::Any) {
            Ok(socket) => socket,
            Err(source) => {
                let error = NetworkError { op: Operation::Socket, peer: address, source };
                return Some(self.connect_failed(context, error));
            }
        };
        if let (Some(version), false) = (send_header, self.stream.is_plain()) {
            // It is no part of the conversation by TLS, which begins behind it.
            self.stream.queue_preface(self.header(version));
        }
        self.connecting_since = context.now();
        self.stream.connect(&mut context.reactor, key, socket, address);
        let at = context.now() + timeout;
        self.deadline.set(&mut context.reactor, Due::Session(key), at);
        None
    }

    /// The connection stands.
    pub(super) fn connected<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let took = context.now().saturating_duration_since(self.connecting_since);
        context.histograms.connect.record(took);
        self.plan.stats().connected.add(1);
        self.advance(context, key, Event::Connected);
        // What the server has sent with the end of its handshake.
        if let Some(held) = self.stream.take_held().filter(|_| self.exchange.is_relaying()) {
            self.take_data(context, key, held);
        }
    }

    /// It does not stand.
    pub(super) fn refused<D: Driver>(&mut self, context: &mut Context<D>, key: Key, errno: Errno) {
        let expired = self.connect_expired && errno == Errno::ECANCELED;
        let source = if expired { Errno::ETIMEDOUT } else { errno };
        let server = self.exchange.server().unwrap_or(0);
        let peer = context.plan.upstreams[self.target.upstream].servers[server];
        let error = NetworkError { op: Operation::Connect, peer, source };
        let event = self.connect_failed(context, error);
        self.advance(context, key, event);
    }

    /// From now on messages go.
    pub(super) fn begin<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.deadline.clear();
        let header = context.plan.upstreams[self.target.upstream].send_header;
        if let (Some(version), true) = (header, self.stream.is_plain()) {
            let header = self.header(version);
            self.buffer.slice(&mut self.stream, header);
        }
        self.mark_dirty(context, key);
    }

    /// The PROXY protocol header that tells the server whom it serves.
    fn header(&self, version: Version) -> Buf {
        let pair = self.target.client.zip(self.target.destination);
        let mut header = Vec::new();
        match version {
            Version::V1 => proxy_protocol::write_v1(&pair, &mut header),
            Version::V2 => proxy_protocol::write_v2(&pair, &mut header),
        }
        Buf::from(header)
    }

    fn connect_failed<D: Driver>(&self, context: &mut Context<D>, error: NetworkError) -> Event {
        let failure = failure_of(error.source, &error.peer);
        self.plan.stats().failed[failure as usize].add(1);
        let now = context.now();
        if let Some(others) = context.notices.connect.due(now) {
            let upstream = &context.plan.upstreams[self.target.upstream].name;
            let tls = tls_error(&self.stream);
            tracing::warn!(id = self.target.id, %upstream, others, "{error}{tls}");
        }
        Event::ConnectFailed(failure)
    }
}
