//! A connection to a server: one exchange after the other.

mod answer;
mod timing;

use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::answer::{INTERIM_BYTES_MAX, Progress};
use super::exchange::State;
use super::forward;
use super::input::Input;
use super::part::write_part;
use crate::mem::Key;
use crate::net::{NetworkError, Operation, Stream, StreamEvent};
use crate::proto::http1::{BodyReader, Framing, ResponseReader, write};
use crate::ring::{Completion, Driver, Lane};
use crate::service::origin::clock::ServerClock;
use crate::service::origin::failure::Failure;
use crate::service::origin::servers::{Ended, Outcome};
use crate::service::pool::CloseCause;
use crate::service::proxy::ConnectFailure;
use crate::session::Due;
use crate::session::context::Context;
use crate::session::deadline::Deadline;
use crate::session::failure::{failure_of, tls_error};
use crate::session::outlet::Outlet;

/// One connection.
#[derive(Debug)]
pub(in crate::session) struct Origin {
    upstream: usize,
    server: usize,
    stream: Stream,
    outlet: Outlet,
    input: Input,
    reader: ResponseReader,
    phase: Phase,
    /// How the request's body goes out; `None` before the request's head.
    framing: Option<Framing>,
    /// All of the request was written.
    is_sent: bool,
    /// What is left of the answer's body, once its head is read.
    body: Option<BodyReader>,
    /// Whether the connection may carry another exchange behind this one.
    keep_alive: bool,
    /// It has carried an exchange before.
    is_used: bool,
    /// The server sends no more.
    ended: bool,
    /// It was reset.
    broken: bool,
    /// The server was asked for another protocol, and has not given an answer of HTTP.
    asks_upgrade: bool,
    /// Bytes of interim answers that came for the present exchange.
    interim: usize,
    /// The server ends: the connection carries no further exchange.
    draining: bool,
    dirty: bool,
    connect: Duration,
    clock: ServerClock,
    deadline: Deadline,
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The connect is under way, since then.
    Connecting(Instant),
    /// The same, and its time is over.
    Expired,
    /// It carries nothing.
    Idle,
    /// It carries this exchange.
    Busy(Key),
    /// It leaves its socket to a relay, once nothing is in flight on it.
    Leaving(Key),
    /// Nothing more is wanted of it.
    Closing,
}

impl Origin {
    pub(in crate::session) fn new(upstream: usize, server: usize, now: Instant) -> Self {
        Self {
            upstream,
            server,
            stream: Stream::new(Lane::Upstream, None),
            outlet: Outlet::default(),
            input: Input::default(),
            reader: ResponseReader::default(),
            phase: Phase::Connecting(now),
            framing: None,
            is_sent: false,
            body: None,
            keep_alive: true,
            is_used: false,
            ended: false,
            broken: false,
            asks_upgrade: false,
            interim: 0,
            draining: false,
            dirty: false,
            connect: Duration::ZERO,
            clock: ServerClock::new(now),
            deadline: Deadline::default(),
        }
    }

    /// Connects.
    pub(in crate::session) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let upstream = &context.options.upstreams[self.upstream];
        let (address, options) = (upstream.servers[self.server], upstream.stream);
        let timeout = upstream.connect_timeout;
        let secured = upstream.secure(&mut self.stream, self.server);
        let socket = secured.and_then(|()| context.reactor.driver().socket(&address));
        match socket {
            Ok(socket) => {
                context.reactor.driver().configure(socket, &options);
                self.stream.connect(&mut context.reactor, key, socket, address);
                let at = context.now() + timeout;
                self.deadline.set(context, Due::Session(key), at);
            }
            Err(source) => {
                self.connect_failed(context, Operation::Socket, source);
                self.give_up(context, key);
            }
        }
    }

    pub(in crate::session) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let event = self.stream.handle(&mut context.reactor, key, completion);
        if self.phase == Phase::Closing {
            return;
        }
        match event {
            StreamEvent::Connected => self.connected(context, key),
            StreamEvent::ConnectFailed(errno) => {
                let expired = self.phase == Phase::Expired && errno == Errno::ECANCELED;
                let errno = if expired { Errno::ETIMEDOUT } else { errno };
                self.connect_failed(context, Operation::Connect, errno);
                self.give_up(context, key);
                return;
            }
            StreamEvent::Data(buf) => {
                // A head has its time as a whole, however its bytes come.
                if self.body.is_some() {
                    self.clock.note_progress(context.now());
                }
                self.input.push(buf);
            }
            StreamEvent::End => {
                self.ended = true;
                // An end that TLS has not said may be anybody's (RFC 9112, section 9.8).
                self.broken = self.stream.tls().is_some_and(|tls| !tls.is_closed());
            }
            StreamEvent::Starved => {
                context.starved.push_back((key, Lane::Upstream));
                return;
            }
            StreamEvent::Sent(bytes) => {
                self.outlet.sent(bytes);
                self.clock.note_progress(context.now());
                let waits = self.stream.is_drained() && self.is_sent && self.stream.is_receiving();
                if waits && !self.ended && self.input.is_empty() {
                    return;
                }
            }
            StreamEvent::Broken(_) => {
                // What came before the reset may be a whole answer.
                self.ended = true;
                self.broken = true;
                self.keep_alive = false;
                if !self.is_sent {
                    self.is_sent = true;
                }
            }
            StreamEvent::Secured
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Quiet => {}
        }
        self.mark_dirty(context, key);
    }

    /// An exchange is carried from now on.
    pub(in crate::session) fn assign<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) {
        if self.phase != Phase::Idle || self.ended || !self.input.is_empty() {
            // It died before it was used.
            context.fail_linked(exchange, key, Failure::StaleConnection, true);
            self.close(context, key, CloseCause::Stale);
            return;
        }
        self.phase = Phase::Busy(exchange);
        self.framing = None;
        self.is_sent = false;
        self.body = None;
        self.keep_alive = true;
        self.interim = 0;
        self.clock.assign(context.now());
        if let (false, Some(exchange)) = (self.is_used, context.http.exchanges.get_mut(exchange)) {
            exchange.told.connect = Some(self.connect);
        }
        self.flush(context, key);
    }

    /// Sends the request, reads the answer, and decides whether to read on.
    pub(in crate::session) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.dirty = false;
        match self.phase {
            Phase::Busy(exchange) => self.carry(context, key, exchange),
            Phase::Idle if self.ended || !self.input.is_empty() => {
                self.close(context, key, CloseCause::Stale);
            }
            Phase::Leaving(exchange) => self.leave(context, key, exchange),
            Phase::Idle | Phase::Connecting(_) | Phase::Expired | Phase::Closing => {}
        }
        if self.phase == Phase::Idle {
            self.stream.receive(&mut context.reactor, key, false);
        }
    }

    fn carry<D: Driver>(&mut self, context: &mut Context<D>, key: Key, exchange: Key) {
        let one = context.http.exchanges.get(exchange);
        if one.is_none_or(|one| one.server_of(key).is_none()) {
            self.close(context, key, CloseCause::Failed);
            return;
        }
        self.clock.excuse_wait_for_client(context.now());
        self.send(context, exchange);
        self.outlet.finish(&mut context.pages, &mut self.stream);
        self.stream.flush(&mut context.reactor, key);
        match self.read(context, key, exchange) {
            // What has come goes first; a client that is slow keeps some of it waiting.
            Ok(Progress::Waiting) if self.ended && self.input.has_nothing_new() => {
                let failure = self.failure_at_end();
                self.fail(context, key, exchange, failure);
            }
            Ok(Progress::Waiting) => self.read_on(context, key, exchange),
            Ok(Progress::Answered) => self.release(context, key, exchange),
            Ok(Progress::Dropped) => {
                self.phase = Phase::Idle;
                self.close(context, key, CloseCause::Failed);
            }
            Ok(Progress::Flooded) => {
                let now = context.now();
                if let Some(others) = context.notices.protocol.due(now) {
                    let upstream = &context.options.upstreams[self.upstream];
                    let (name, server) = (&upstream.name, upstream.servers[self.server]);
                    let (most, text) = (INTERIM_BYTES_MAX, "too many interim answers");
                    tracing::warn!(upstream = %name, %server, most, others, "{text}");
                }
                self.fail(context, key, exchange, Failure::ResponseTooLarge);
            }
            Ok(Progress::Switched) => {
                self.phase = Phase::Leaving(exchange);
                self.leave(context, key, exchange);
            }
            Err(refusal) => {
                let now = context.now();
                if let Some(others) = context.notices.protocol.due(now) {
                    let upstream = &context.options.upstreams[self.upstream];
                    let (name, server) = (&upstream.name, upstream.servers[self.server]);
                    let reason = refusal.name();
                    let text = "the server's answer is refused";
                    tracing::warn!(upstream = %name, %server, reason, others, "{text}");
                }
                self.fail(context, key, exchange, Failure::BadResponse);
            }
        }
    }

    /// What the end of the connection means for the exchange.
    fn failure_at_end(&self) -> Failure {
        if self.body.is_some() { Failure::ResetInBody } else { Failure::ResetBeforeHead }
    }

    /// Writes what there is of the request.
    fn send<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.is_sent {
            return;
        }
        let Context { http, pages, .. } = context;
        let Some(origins) = http.origins.get(self.upstream).and_then(Option::as_ref) else {
            return;
        };
        let Some(exchange) = http.exchanges.get_mut(key) else { return };
        if self.framing.is_none() {
            let names = (&origins.options.host, &*origins.options.names[self.server]);
            forward::write_request(exchange, names, self.outlet.bytes(pages));
            self.framing = Some(exchange.asked.framing);
            self.asks_upgrade = exchange.asked.upgrade;
            exchange.is_sent = true;
        }
        if self.stream.is_blocked() {
            return;
        }
        let is_chunked = self.framing == Some(Framing::Chunked);
        while let Some(part) = exchange.request.pop() {
            exchange.keep(&part, origins.options.retry_body_max);
            write_part(&mut self.outlet, pages, &mut self.stream, part, is_chunked);
        }
        if exchange.request.ended {
            if is_chunked {
                let out = self.outlet.bytes(pages);
                write::last_chunk(exchange.request.trailers.as_deref(), out);
            }
            self.is_sent = true;
        }
        http.actions.push(super::state::HttpAction::Wake { connection: exchange.asked.client });
    }

    /// The answer is all there: the connection is free for the next exchange.
    fn release<D: Driver>(&mut self, context: &mut Context<D>, key: Key, exchange: Key) {
        let now = context.now();
        if let Some(one) = context.http.exchanges.get_mut(exchange) {
            one.state = State::Done;
            one.told.answered = Some(now.saturating_duration_since(one.told.began));
            let latency = one.told.first_byte;
            let status = one.answer.as_ref().map_or(one.told.status, |answer| answer.status);
            let servers = &mut context.http.origins(self.upstream).servers;
            servers.done(self.server, Outcome { ended: Ended::Status(status), latency }, now);
        }
        context.cell().stats.upstreams[self.upstream].http.answered.add(1);
        self.phase = Phase::Idle;
        self.is_used = true;
        self.asks_upgrade = false;
        self.body = None;
        self.deadline.clear();
        let whole = self.is_sent && self.stream.is_drained() && self.input.is_empty();
        if !self.keep_alive || !whole || self.ended || self.draining {
            let cause = if self.ended { CloseCause::Retired } else { CloseCause::Failed };
            self.close(context, key, cause);
        } else if context.origin_released(self.upstream, self.server, key) {
            self.stream.receive(&mut context.reactor, key, false);
        } else {
            self.give_up(context, key);
        }
    }

    fn fail<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
        failure: Failure,
    ) {
        // A server that has sent an interim answer had the request.
        let is_unseen = self.interim == 0 && failure == Failure::ResetBeforeHead;
        let stale = self.is_used && is_unseen;
        self.phase = Phase::Idle;
        self.close(context, key, CloseCause::Failed);
        context.fail_linked(exchange, key, failure, stale);
    }

    fn read_on<D: Driver>(&mut self, context: &mut Context<D>, key: Key, exchange: Key) {
        let Some(one) = context.http.exchanges.get(exchange) else { return };
        let is_full = one.response.is_full();
        let (carried, until) = (one.carried_by(key), one.until);
        // What the server has not taken is its own affair; else the client has to send more.
        let is_asked_of_client = !self.is_sent && !self.stream.is_blocked();
        let waits_for_client = is_full || is_asked_of_client && one.request.waiting() == 0;
        if is_full {
            if self.stream.is_receiving() {
                context.stats().relay.pauses.add(1);
                self.stream.pause(&mut context.reactor, key);
            }
        } else {
            self.stream.receive(&mut context.reactor, key, false);
        }
        if waits_for_client {
            self.clock.wait_for_client();
            match until {
                None => self.deadline.clear(),
                Some(until) => self.deadline.set(context, Due::Session(key), until),
            }
            return;
        }
        self.wait_for_server(context, key, carried, until);
    }

    pub(in crate::session) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed(&mut context.reactor, key);
        self.mark_dirty(context, key);
    }

    /// The connection ends, and its pool knows.
    pub(in crate::session) fn close<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        cause: CloseCause,
    ) {
        match self.phase {
            Phase::Closing => return,
            Phase::Connecting(_) | Phase::Expired => {
                // It was us who gave it up, and not the server.
                context.origin_failed(self.upstream, self.server, Failure::Resources);
            }
            Phase::Idle | Phase::Busy(_) | Phase::Leaving(_) => {
                context.origin_closed(self.upstream, self.server, key, cause);
            }
        }
        self.give_up(context, key);
        if self.asks_upgrade {
            // The server may speak the other protocol already, in which a FIN is an orderly end.
            self.stream.reset_on_close(&mut context.reactor);
        }
    }

    /// The connection ends, which its pool knows already.
    fn give_up<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.phase = Phase::Closing;
        self.deadline.disarm(context);
        self.input.clear();
        self.stream.abandon(&mut context.reactor, key);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(in crate::session) fn hold(&mut self) {
        self.input.hold();
    }

    /// The server ends: nothing more will be asked.
    pub(in crate::session) fn drain<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.keep_alive = false;
        self.draining = true;
        if self.phase == Phase::Idle {
            self.close(context, key, CloseCause::Shutdown);
        }
    }

    pub(in crate::session) fn is_finished(&self) -> bool {
        self.phase == Phase::Closing && self.stream.is_quiet()
    }

    pub(in crate::session) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        context.close_stream(key, self.stream);
        context.stats().upstreams[self.upstream].active.decrement();
    }

    /// The socket goes to a relay as soon as nothing is in flight on it.
    fn leave<D: Driver>(&mut self, context: &mut Context<D>, key: Key, exchange: Key) {
        self.deadline.clear();
        if self.broken {
            self.fail(context, key, exchange, Failure::ResetInBody);
        } else if self.stream.is_receiving() {
            self.stream.pause(&mut context.reactor, key);
        } else if self.stream.is_quiet() {
            context.http.actions.push(super::state::HttpAction::Join { exchange, origin: key });
        }
    }

    /// The stream, and what came behind the answer's head; the connection itself ends.
    pub(in crate::session) fn give_stream<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
    ) -> (Stream, Vec<u8>) {
        debug_assert!(self.stream.is_quiet(), "an operation knows the socket");
        let stream = std::mem::replace(&mut self.stream, Stream::new(Lane::Upstream, None));
        let early = self.input.take_all();
        context.origin_closed(self.upstream, self.server, key, CloseCause::Retired);
        self.phase = Phase::Closing;
        self.deadline.disarm(context);
        (stream, early)
    }

    fn connected<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if let Phase::Connecting(since) = self.phase {
            self.connect = context.now().saturating_duration_since(since);
            context.histograms.connect.record(self.connect);
        }
        self.deadline.clear();
        context.stats().upstreams[self.upstream].connected.add(1);
        self.phase = Phase::Idle;
        self.stream.receive(&mut context.reactor, key, false);
        context.origin_opened(self.upstream, self.server, key);
    }

    fn connect_failed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        op: Operation,
        source: Errno,
    ) {
        let peer = context.options.upstreams[self.upstream].servers[self.server];
        let error = NetworkError { op, peer, source };
        let kind = failure_of(source, &peer);
        context.stats().upstreams[self.upstream].failed[kind as usize].add(1);
        let now = context.now();
        if let Some(others) = context.notices.connect.due(now) {
            let upstream = &context.options.upstreams[self.upstream].name;
            let tls = tls_error(&self.stream);
            tracing::warn!(%upstream, others, "{error}{tls}");
        }
        let failure = match kind {
            ConnectFailure::Refused => Failure::ConnectRefused,
            ConnectFailure::Unreachable => Failure::ConnectUnreachable,
            ConnectFailure::TimedOut => Failure::ConnectTimeout,
            ConnectFailure::Tls => Failure::ConnectTls,
            ConnectFailure::Resources => Failure::Resources,
            ConnectFailure::NoAddress => Failure::ConnectNoAddress,
            ConnectFailure::Other => Failure::ConnectOther,
        };
        self.phase = Phase::Closing;
        context.origin_failed(self.upstream, self.server, failure);
    }

    fn mark_dirty<D>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.dirty {
            self.dirty = true;
            context.dirty.push(key);
        }
    }
}
