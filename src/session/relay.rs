//! The TCP proxy's connections: two streams, two directions, one exchange that decides.

mod connect;
mod transfer;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::CLIENT;
use super::arrival::Arrival;
use super::common::{Common, Onward};
use super::context::Context;
use crate::mem::{Buf, Key};
use crate::net::{Broken, Direction, Stream, StreamEvent};
use crate::proto::proxy_protocol;
use crate::ring::{Completion, Driver, LANES, Lane, SocketAddress};
use crate::service::CloseReason;
use crate::service::flows::client_hash;
use crate::service::proxy::{Action, Event, Meter, TcpExchange, is_cut};

/// One proxied connection. Directions and meters are indexed by the lane that bytes come from.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) common: Common,
    streams: [Stream; LANES],
    directions: [Direction; LANES],
    /// When to check next whether a peer that will be reset has acknowledged everything, and what
    /// was unacknowledged at the last check.
    cut_look: (Duration, usize),
    meters: [Meter; LANES],
    exchange: TcpExchange,
    upstream: usize,
    /// The server that it goes to, or that was tried last.
    server: Option<usize>,
    connecting_since: Instant,
    /// The connect is being cancelled because its time was over.
    connect_expired: bool,
    /// What is kept of few connections only.
    extra: Option<Box<Extra>>,
}

/// What only some connections need.
#[derive(Debug, Default)]
struct Extra {
    /// Bytes that came before there was a server to take them.
    early: Vec<Buf>,
    client: Option<SocketAddress>,
    /// The address that the client connected to, if a header said so.
    destination: Option<SocketAddress>,
    /// It counts among the connections of this source.
    counted: Option<IpAddr>,
    /// The name that it asked for by TLS.
    name: Option<Box<str>>,
}

/// A connection to a server that a relay takes over.
#[derive(Debug)]
pub(super) struct Adopted {
    /// The connection to the server.
    pub(super) stream: Stream,
    pub(super) upstream: usize,
    pub(super) server: usize,
    /// Who the client is, if that is known.
    pub(super) client: Option<SocketAddress>,
    /// It counts among the connections of this source.
    pub(super) source: Option<IpAddr>,
    /// What has come already, for either side.
    pub(super) to_server: Option<Buf>,
    pub(super) to_client: Option<Buf>,
}

impl Relay {
    /// A relay between two connections that stand. [`Relay::resume`] follows, once it has its slot.
    pub(super) fn adopt<D: Driver>(
        context: &mut Context<D>,
        (common, client, ended): (Common, Stream, bool),
        adopted: Adopted,
    ) -> Self {
        let Adopted { upstream, server, source, to_server, to_client, .. } = adopted;
        let mut streams = [client, adopted.stream];
        let early = to_client.into_iter().map(|buf| (0, buf));
        for (lane, buf) in early.chain(to_server.into_iter().map(|buf| (1, buf))) {
            streams[lane].queue(buf);
        }
        let is_known = source.is_some() || adopted.client.is_some();
        let mut directions = [Direction::default(), Direction::default()];
        if ended {
            note_end(&mut directions[CLIENT.index()], &streams[CLIENT.index()]);
        }
        Self {
            common,
            streams,
            directions,
            cut_look: (Duration::ZERO, 0),
            meters: [Meter::default(); LANES],
            exchange: TcpExchange::relaying(server, context.cluster(upstream)),
            upstream,
            server: Some(server),
            connecting_since: context.now(),
            connect_expired: false,
            extra: is_known.then(|| {
                let (client, counted) = (adopted.client, source);
                Box::new(Extra { client, counted, ..Extra::default() })
            }),
        }
    }

    /// Begins to relay between connections that were taken over.
    pub(super) fn resume<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let idle = self.common.listener.options.idle_timeout;
        self.common.clear_dirty();
        self.common.arm(context, key, idle);
        self.common.mark_dirty(context, key);
    }

    pub(super) fn new<D: Driver>(
        context: &Context<D>,
        common: Common,
        stream: Stream,
        (upstream, arrival): (usize, &Arrival),
    ) -> Self {
        let Arrival { client, destination, ref name, .. } = *arrival;
        let is_known = client.is_some() || name.is_some();
        let retries = context.plan.upstreams[upstream].retries;
        Self {
            common,
            streams: [stream, Stream::new(Lane::Upstream, None)],
            directions: [Direction::default(), Direction::default()],
            cut_look: (Duration::ZERO, 0),
            meters: [Meter::default(); LANES],
            exchange: TcpExchange::new(retries),
            upstream,
            server: None,
            connecting_since: context.now(),
            connect_expired: false,
            extra: is_known.then(|| {
                let name = name.clone();
                Box::new(Extra { client, destination, name, ..Extra::default() })
            }),
        }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.note_client(self.extra.as_ref().and_then(|extra| extra.client));
        self.advance(context, key, Event::Accepted);
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let lane = completion.token.lane;
        let event = self.streams[lane.index()].handle(&mut context.reactor, key, completion);
        self.handle_event(context, key, lane, event);
    }

    pub(super) fn handle_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        lane: Lane,
        event: StreamEvent,
    ) {
        if self.common.closing().is_some() {
            return;
        }
        if !self.exchange.is_relaying() {
            self.handle_before(context, key, lane, event);
            return;
        }
        match event {
            StreamEvent::Data(buf) => self.take_data(context, lane, buf),
            StreamEvent::Sent(bytes) => {
                if !self.take_sent(context, lane, bytes) {
                    return;
                }
            }
            StreamEvent::End => {
                note_end(&mut self.directions[lane.index()], &self.streams[lane.index()]);
            }
            StreamEvent::Starved => {
                context.starved.push_back((key, lane));
                return;
            }
            StreamEvent::Broken(_) => {
                self.break_off(context, key, lane);
                return;
            }
            StreamEvent::Readable
            | StreamEvent::Writable
            | StreamEvent::Quiet
            | StreamEvent::Connected
            | StreamEvent::Secured
            | StreamEvent::ConnectFailed(_) => {}
        }
        self.common.mark_dirty(context, key);
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.timer_fired();
        let limit = self.common.listener.options.idle_timeout;
        if self.exchange.is_relaying() {
            if self.common.is_idle(context, key, limit, &self.streams) {
                self.advance(context, key, Event::Deadline);
            } else {
                self.pass_cuts(context, key);
            }
        } else if self.exchange.server().is_some() {
            // The connect completes as cancelled, or has won the race.
            self.connect_expired = true;
            self.streams[Lane::Upstream.index()].cancel_connect(&mut context.reactor, key);
        } else {
            self.advance(context, key, Event::Deadline);
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key, lane: Lane) {
        self.streams[lane.index()].feed(&mut context.reactor, key);
        self.common.mark_dirty(context, key);
    }

    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.common.closing().is_some() {
            // What it has sent in order is not destroyed.
            return;
        }
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.common.closing().is_some() && self.streams.iter().all(Stream::is_quiet)
    }

    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        for stream in self.streams {
            context.close_stream(key, stream);
        }
        if let Some(source) = self.extra.as_ref().and_then(|extra| extra.counted) {
            context.leave_source(self.common.listener.number(), source);
        }
        let Extra { client, name, .. } = self.extra.map(|extra| *extra).unwrap_or_default();
        let onward = Onward { upstream: Some(self.upstream), server: self.server, name };
        self.common.record_end(context, client, &onward);
    }

    /// The upstream may go by the client's address.
    fn note_client(&mut self, client: Option<SocketAddress>) {
        if let Some(ip) = client.and_then(|client| client.ip()) {
            self.exchange.set_client(client_hash(ip));
        }
    }

    /// Gives the exchange an event and carries out what it decides, until there is nothing more.
    fn advance<D: Driver>(&mut self, context: &mut Context<D>, key: Key, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let had_server = self.exchange.server().is_some();
            let now = context.now();
            let action = self.exchange.handle(event, context.cluster(self.upstream), now);
            self.count_server(context, had_server);
            context.tell_ejections(self.upstream);
            match action {
                Action::Connect { server } => next = self.connect(context, key, server),
                Action::Relay => self.begin_relay(context, key),
                Action::Close(reason) => self.close(context, key, reason),
                Action::Wait => {}
            }
        }
    }

    /// Keeps the gauge of the upstream's connections, as the exchange goes to a server or leaves.
    fn count_server<D: Driver>(&self, context: &Context<D>, had_server: bool) {
        let active = &context.upstream_stats(self.upstream).active;
        match (had_server, self.exchange.server().is_some()) {
            (false, true) => active.increment(),
            (true, false) => active.decrement(),
            (true, true) | (false, false) => {}
        }
    }

    fn break_off<D: Driver>(&mut self, context: &mut Context<D>, key: Key, lane: Lane) {
        let event = match lane {
            Lane::Client => {
                let reason = self.common.broken(&self.streams[CLIENT.index()]);
                if reason == CloseReason::TlsFailed {
                    self.close(context, key, reason);
                    return;
                }
                Event::ClientReset
            }
            Lane::Upstream => Event::UpstreamReset,
        };
        self.advance(context, key, event);
    }

    /// Ends the connection: nothing new is armed, what is armed is ended, pipes are given back.
    fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        let had_server = self.exchange.server().is_some();
        self.exchange.handle_close(context.cluster(self.upstream));
        self.count_server(context, had_server);
        self.common.begin_close(context, reason);
        let mut lost = is_cut(reason);
        for direction in &mut self.directions {
            lost |= direction.release(&mut context.reactor, &mut context.pipes);
        }
        context.stats().relay.pipes.set(context.pipes.open() as u64);
        for stream in &mut self.streams {
            lost |= stream.abandon(&mut context.reactor, key);
        }
        if lost {
            // Both sides must see a cut stream as cut: an orderly end would pass it off as whole.
            for stream in &self.streams {
                stream.reset_on_close(&mut context.reactor);
            }
        }
    }

    fn client(&mut self) -> &mut Stream {
        &mut self.streams[CLIENT.index()]
    }

    fn server(&mut self) -> &mut Stream {
        &mut self.streams[Lane::Upstream.index()]
    }
}

/// The source of a direction sends no more.
fn note_end(direction: &mut Direction, source: &Stream) {
    if source.was_cut() {
        direction.note_cut();
    } else {
        direction.note_end();
    }
}
