//! Before bytes are relayed: the connection to a server.

use nix::errno::Errno;

use super::*;
use crate::net::{NetworkError, Operation};
use crate::proto::proxy_protocol::Version;
use crate::session::failure::{failure_of, tls_error};
use crate::session::options::Speaks;

impl Relay {
    /// Connects to a server. What fails at once is the next event.
    pub(super) fn connect<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        server: usize,
    ) -> Option<Event> {
        self.server().close(&mut context.reactor, key);
        self.connect_expired = false;
        self.server = Some(server);
        let options = &context.plan.upstreams[self.upstream];
        let address = options.servers[server];
        let timeout = options.connect_timeout;
        let send_header = options.send_header;
        if self.exchange.failures() > 0 {
            context.upstream_stats(self.upstream).retries.add(1);
        }
        let stream = &mut self.streams[Lane::Upstream.index()];
        let socket = match context.open_socket(stream, (self.upstream, server), Speaks::Any) {
            Ok(socket) => socket,
            Err(source) => {
                let error = NetworkError { op: Operation::Socket, peer: address, source };
                return Some(self.connect_failed(context, error));
            }
        };
        if let (Some(version), false) = (send_header, self.server().is_plain()) {
            // It is no part of the conversation by TLS, which begins behind it.
            let header = self.header_for_server(context, version);
            self.server().queue_preface(Buf::copy_of(&header));
        }
        self.connecting_since = context.now();
        self.server().connect(&mut context.reactor, key, socket, address);
        self.common.arm(context, key, timeout);
        None
    }

    /// What a server sent with the end of its handshake goes on its way.
    fn take_held<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let held = self.server().take_held();
        if let Some(held) = held.filter(|_| self.exchange.is_relaying()) {
            self.take_data(context, Lane::Upstream, held);
            self.common.mark_dirty(context, key);
        }
    }

    /// An event of either stream before bytes are relayed.
    pub(super) fn handle_before<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        lane: Lane,
        event: StreamEvent,
    ) {
        match event {
            StreamEvent::Data(buf) => {
                self.extra.get_or_insert_default().early.push(buf.into_heap());
                // A client that goes on fills its socket, and not our memory.
                self.client().pause(&mut context.reactor, key);
            }
            StreamEvent::End => {
                note_end(&mut self.directions[CLIENT.index()], &self.streams[CLIENT.index()]);
            }
            StreamEvent::Starved => context.starved.push_back((key, lane)),
            StreamEvent::Broken(_) => self.break_off(context, key, CLIENT),
            StreamEvent::Connected => {
                let took = context.now().saturating_duration_since(self.connecting_since);
                context.histograms.connect.record(took);
                context.upstream_stats(self.upstream).connected.add(1);
                self.advance(context, key, Event::Connected);
                self.take_held(context, key);
            }
            StreamEvent::ConnectFailed(errno) => {
                let expired = self.connect_expired && errno == Errno::ECANCELED;
                let source = if expired { Errno::ETIMEDOUT } else { errno };
                let server = self.exchange.server().unwrap_or(0);
                let peer = context.plan.upstreams[self.upstream].servers[server];
                let error = NetworkError { op: Operation::Connect, peer, source };
                let event = self.connect_failed(context, error);
                self.advance(context, key, event);
            }
            StreamEvent::Sent(_)
            | StreamEvent::Secured
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Quiet => {}
        }
    }

    /// The connection to the server stands: from now on bytes are relayed.
    pub(super) fn begin_relay<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let idle = self.common.listener.options.idle_timeout;
        self.common.arm(context, key, idle);
        let header = context.plan.upstreams[self.upstream].send_header;
        if let (Some(version), true) = (header, self.server().is_plain()) {
            let header = self.header_for_server(context, version);
            self.server().queue(Buf::copy_of(&header));
        }
        let early = self.extra.as_mut().map(|extra| std::mem::take(&mut extra.early));
        for early in early.unwrap_or_default() {
            self.common.count_received(context, early.len());
            self.server().queue(early);
        }
        self.common.mark_dirty(context, key);
    }

    /// The PROXY protocol header that tells the server whom it serves.
    fn header_for_server<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        version: Version,
    ) -> Vec<u8> {
        let known = self.extra.as_ref().map(|extra| (extra.client, extra.destination));
        let (client, destination) = known.unwrap_or_default();
        let driver = context.reactor.driver();
        let fd = self.streams[CLIENT.index()].fd();
        let destination = destination.or_else(|| fd.and_then(|fd| driver.local_address(fd).ok()));
        let pair = client.and_then(|client| client.ip()).zip(destination.and_then(|to| to.ip()));
        let mut header = Vec::new();
        match version {
            Version::V1 => proxy_protocol::write_v1(&pair, &mut header),
            Version::V2 => proxy_protocol::write_v2(&pair, &mut header),
        }
        header
    }

    fn connect_failed<D: Driver>(&self, context: &mut Context<D>, error: NetworkError) -> Event {
        let failure = failure_of(error.source, &error.peer);
        context.upstream_stats(self.upstream).failed[failure as usize].add(1);
        let now = context.now();
        if let Some(others) = context.notices.connect.due(now) {
            let upstream = &context.plan.upstreams[self.upstream].name;
            let tls = tls_error(&self.streams[Lane::Upstream.index()]);
            tracing::warn!(id = self.common.id(), %upstream, others, "{error}{tls}");
        }
        Event::ConnectFailed(failure)
    }
}
