//! Before bytes are relayed: the client's PROXY protocol header, the connection to a server.

use nix::errno::Errno;

use super::*;
use crate::net::{NetworkError, Operation};
use crate::proto::proxy_protocol::Version;
use crate::session::failure::failure_of;

impl Relay {
    /// Waits for the client's PROXY protocol header.
    pub(super) fn read_header<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let wait = context.options.listeners[self.common.listener].header_timeout;
        self.common.arm(context, key, wait);
        self.client().receive(&mut context.reactor, key, true);
    }

    /// Connects to a server. What fails at once is the next event.
    pub(super) fn connect<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        server: usize,
    ) -> Option<Event> {
        self.server().close(&mut context.reactor, key);
        self.connect_expired = false;
        let options = &context.options.upstreams[self.upstream];
        let address = options.servers[server];
        let (stream, timeout) = (options.stream, options.connect_timeout);
        if self.exchange.failures() > 0 {
            context.stats().upstreams[self.upstream].retries.add(1);
        }
        let secured = options.secure(&mut self.streams[Lane::Upstream.index()], server);
        let socket = secured.and_then(|()| context.reactor.driver().socket(&address));
        let socket = match socket {
            Ok(socket) => socket,
            Err(source) => {
                let error = NetworkError { op: Operation::Socket, peer: address, source };
                return Some(self.connect_failed(context, error));
            }
        };
        context.reactor.driver().configure(socket, &stream);
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
        event: StreamEvent,
    ) {
        match event {
            StreamEvent::Data(buf) if !self.streams[CLIENT.index()].is_plain() => {
                self.extra.get_or_insert_default().early.push(buf.into_heap());
            }
            StreamEvent::End if !self.streams[CLIENT.index()].is_plain() => {
                self.directions[CLIENT.index()].note_end();
            }
            StreamEvent::Data(buf) => self.take_header(context, key, &buf),
            StreamEvent::End => self.advance(context, key, Event::HeaderInvalid),
            StreamEvent::Starved => context.starved.push_back((key, CLIENT)),
            StreamEvent::Broken(_) => self.advance(context, key, Event::ClientReset),
            StreamEvent::Connected => {
                let took = context.now().saturating_duration_since(self.connecting_since);
                context.histograms.connect.record(took);
                context.stats().upstreams[self.upstream].connected.add(1);
                self.advance(context, key, Event::Connected);
                self.take_held(context, key);
            }
            StreamEvent::ConnectFailed(errno) => {
                let expired = self.connect_expired && errno == Errno::ECANCELED;
                let source = if expired { Errno::ETIMEDOUT } else { errno };
                let server = self.exchange.server().unwrap_or(0);
                let peer = context.options.upstreams[self.upstream].servers[server];
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
        let idle = context.options.listeners[self.common.listener].idle_timeout;
        self.common.arm(context, key, idle);
        if let Some(version) = context.options.upstreams[self.upstream].send_header {
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

    /// Goes on with a starved receive of the header.
    pub(super) fn resume_header<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.exchange.server().is_none() {
            self.client().receive(&mut context.reactor, key, true);
        }
    }

    fn take_header<D: Driver>(&mut self, context: &mut Context<D>, key: Key, bytes: &[u8]) {
        let Some(extra) = &mut self.extra else { return };
        extra.header.extend_from_slice(bytes);
        let event = match proxy_protocol::parse(&extra.header) {
            Ok(Parsed::Incomplete { .. }) => {
                self.client().receive(&mut context.reactor, key, true);
                return;
            }
            Ok(Parsed::Complete { header, consumed }) => {
                if let Source::Inet { source, destination } = header.source {
                    extra.client = Some(SocketAddress::inet(source));
                    extra.destination = Some(SocketAddress::inet(destination));
                }
                let header = std::mem::take(&mut extra.header);
                let early = &header[consumed..];
                extra.early.extend((!early.is_empty()).then(|| Buf::copy_of(early)));
                let client = extra.client;
                self.note_client(client);
                Event::HeaderComplete
            }
            Err(error) => {
                tracing::debug!(id = self.common.id(), %error, "PROXY protocol header refused");
                Event::HeaderInvalid
            }
        };
        self.advance(context, key, event);
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
        let client = client.or_else(|| fd.and_then(|fd| driver.peer_address(fd).ok()));
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
        let failure = failure_of(error.source);
        context.stats().upstreams[self.upstream].failed[failure as usize].add(1);
        let now = context.now();
        if let Some(others) = context.notices.connect.due(now) {
            let upstream = &context.options.upstreams[self.upstream].name;
            tracing::warn!(id = self.common.id(), %upstream, others, "{error}");
        }
        Event::ConnectFailed(failure)
    }
}
