//! A connection to a server: one exchange after the other, or, by HTTP/2 (`many`), side by side.
//! The wire's machine reads and writes, the proxy decides, and this carries out.

mod answer;
mod carried;
mod connect;
mod many;
mod many_timing;
mod timing;
mod tunnel;
mod waiting;

use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::answer::Stopped;
use self::carried::Many;
use self::tunnel::Tunnel;
use crate::mem::Key;
use crate::net::{Operation, Stream, StreamEvent};
use crate::proto::http1::{Client, RequestLine};
use crate::ring::{Completion, Driver, Lane};
use crate::service::cluster::HostHeader;
use crate::service::cluster::clock::ServerClock;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::CloseCause;
use crate::service::proxy::http::Exchange;
use crate::session::Due;
use crate::session::context::Context;
use crate::session::deadline::Deadline;
use crate::session::http::state::HttpState;
use crate::session::options::Speaks;
use crate::session::plan::UpstreamPlan;
use crate::session::write_buffer::WriteBuffer;

/// One connection.
#[derive(Debug)]
pub(in crate::session) struct UpstreamConnection {
    cluster: usize,
    server: usize,
    /// The upstream, as the plan had it: it stays until the last operation has ended.
    plan: Rc<UpstreamPlan>,
    stream: Stream,
    buffer: WriteBuffer,
    wire: Client,
    /// What it carries instead, once it speaks HTTP/2.
    many: Option<Box<Many>>,
    phase: Phase,
    /// The exchange that it is made for, if it is for no other: by HTTP/1.1.
    alone: Option<Key>,
    /// It carries a tunnel, and how far that is.
    tunnel: Tunnel,
    /// The server ends: the connection carries no further exchange.
    draining: bool,
    /// It is to be worked on in this turn.
    dirty: bool,
    /// How long the connect took.
    connect: Duration,
    clock: ServerClock,
    deadline: Deadline,
    /// What the worker's budget of waiting bytes counts of it.
    counted: usize,
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
    /// It speaks HTTP/2; what the server takes has to come, since the connect began then.
    Greeting(Instant),
    /// It speaks HTTP/2, and carries any number.
    Shared,
    /// It leaves its socket to a tunnel, once nothing is in flight on it.
    Leaving(Key),
    /// Nothing more is wanted of it.
    Closing,
}

impl UpstreamConnection {
    pub(in crate::session) fn new(
        (cluster, server): (usize, usize),
        plan: Rc<UpstreamPlan>,
        now: Instant,
    ) -> Self {
        Self {
            cluster,
            server,
            plan,
            stream: Stream::new(Lane::Upstream, None),
            buffer: WriteBuffer::default(),
            wire: Client::default(),
            many: None,
            phase: Phase::Connecting(now),
            alone: None,
            tunnel: Tunnel::No,
            draining: false,
            dirty: false,
            connect: Duration::ZERO,
            clock: ServerClock::new(now),
            deadline: Deadline::default(),
            counted: 0,
        }
    }

    /// Connects.
    pub(in crate::session) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let upstream = &context.plan.upstreams[self.cluster];
        let (address, timeout) = (upstream.servers[self.server], upstream.connect_timeout);
        let speaks = if self.alone.is_some() { Speaks::Http1 } else { Speaks::Any };
        match context.open_socket(&mut self.stream, (self.cluster, self.server), speaks) {
            Ok(socket) => {
                self.stream.connect(&mut context.reactor, key, socket, address);
                let at = context.now() + timeout;
                self.deadline.set(&mut context.reactor, Due::Session(key), at);
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
                return self.connect_failed_as(context, key, errno);
            }
            StreamEvent::Data(buf) => match &mut self.many {
                Some(many) => many.wire.receive(buf),
                None => {
                    // A head has its time as a whole, however its bytes come.
                    if self.wire.is_in_body() {
                        self.clock.note_progress(context.now());
                    }
                    self.wire.receive(buf);
                }
            },
            StreamEvent::End => match &mut self.many {
                Some(many) => many.wire.receive_end(),
                None => {
                    // An end that TLS has not said may be anybody's (RFC 9112, section 9.8).
                    let is_cut = self.stream.tls().is_some_and(|tls| !tls.is_closed());
                    self.wire.receive_end(is_cut);
                }
            },
            StreamEvent::Starved => {
                context.starved.push_back((key, Lane::Upstream));
                return;
            }
            StreamEvent::Sent(bytes) => {
                self.buffer.sent(bytes);
                self.clock.note_progress(context.now());
                let is_calm = match &self.many {
                    Some(many) => many.is_calm(),
                    None => {
                        let is_waiting = !self.wire.is_sending() && self.stream.is_receiving();
                        is_waiting
                            && self.tunnel == Tunnel::No
                            && !self.wire.has_ended()
                            && self.wire.is_read()
                    }
                };
                if is_calm && self.stream.is_drained() && self.counted == 0 {
                    return;
                }
            }
            StreamEvent::Broken(_) => match &mut self.many {
                Some(many) => many.wire.receive_end(),
                None => self.wire.receive_reset(),
            },
            StreamEvent::Secured
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Quiet => {}
        }
        self.mark_dirty(context, key);
    }

    /// A client's side has something for an exchange, or takes more of its answer.
    pub(in crate::session) fn wake<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) {
        if let Some(many) = &mut self.many {
            many.mark(exchange);
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
        if self.many.is_some() {
            return self.assign_to_many(context, key, exchange);
        }
        if let Phase::Busy(_) = self.phase {
            // It carries one at a time, and its pool thought otherwise.
            context.connection_lost((exchange, key), Failure::StaleConnection, true);
            let (now, place) = (context.now(), (self.cluster, self.server));
            let HttpState { proxy, clusters, .. } = &mut context.http;
            let _stays = proxy.connection_released(place, key, clusters, now);
            return;
        }
        if self.phase != Phase::Idle || !self.wire.is_ready() {
            // It died before it was used.
            context.connection_lost((exchange, key), Failure::StaleConnection, true);
            self.close(context, key, CloseCause::Stale);
            return;
        }
        self.phase = Phase::Busy(exchange);
        self.clock.assign(context.now());
        let proxy = &mut context.http.proxy;
        if let Some(one) = proxy.get(exchange) {
            self.wire.begin(one.method());
        }
        if !self.wire.is_used() {
            proxy.was_connected(exchange, self.connect);
        }
        self.mark_dirty(context, key);
    }

    /// Takes what there is to be sent, and reads what has come.
    pub(in crate::session) fn work<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.dirty = false;
        match self.phase {
            Phase::Busy(exchange) => self.carry(context, key, exchange),
            Phase::Greeting(_) => self.await_greeting(context, key),
            Phase::Shared => self.work_many(context, key),
            Phase::Idle if !self.wire.is_ready() => self.close(context, key, CloseCause::Stale),
            Phase::Leaving(exchange) => self.leave(context, key, exchange),
            Phase::Idle | Phase::Connecting(_) | Phase::Expired | Phase::Closing => {}
        }
    }

    /// Sends what the turn has written, and decides whether to read on.
    pub(in crate::session) fn transmit<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self.phase {
            Phase::Busy(exchange) => {
                self.buffer.finish(&mut context.pages, &mut self.stream);
                self.stream.flush(&mut context.reactor, key);
                self.say_tunnel_end(context, key);
                if !self.wire.is_read() {
                    self.hold();
                }
                self.count_waiting(context, Some(exchange));
                self.read_on(context, key, exchange);
            }
            Phase::Idle => {
                self.count_waiting(context, None);
                self.receive(context, key);
            }
            Phase::Greeting(_) | Phase::Shared => self.transmit_many(context, key),
            Phase::Connecting(_) | Phase::Expired | Phase::Leaving(_) | Phase::Closing => {}
        }
    }

    fn carry<D: Driver>(&mut self, context: &mut Context<D>, key: Key, exchange: Key) {
        let one = context.http.proxy.get(exchange);
        if !one.is_some_and(|one| one.is_carried_by(key)) {
            self.close(context, key, CloseCause::Failed);
            return;
        }
        self.clock.excuse_wait_for_client(context.now());
        self.send(context, key, exchange);
        match self.read(context, key, exchange) {
            Stopped::Waiting => self.go_on_with_tunnel(context, key, exchange),
            Stopped::Answered => self.release(context, key),
            Stopped::Dropped => {
                self.phase = Phase::Idle;
                self.close(context, key, CloseCause::Failed);
            }
            Stopped::Switched => {
                self.phase = Phase::Leaving(exchange);
                self.leave(context, key, exchange);
            }
            Stopped::Failed(failure) => self.fail(context, key, exchange, failure),
        }
    }

    /// Writes what there is of the request.
    fn send<D: Driver>(&mut self, context: &mut Context<D>, own: Key, key: Key) {
        if !self.wire.is_sending() {
            return;
        }
        let Context { http: HttpState { proxy, clusters, .. }, pages, .. } = context;
        let options = &clusters.get(self.cluster).options;
        let (allowed, is_short) = (proxy.budget().allowance(), proxy.budget().is_short());
        let has_room = !self.stream.is_blocked() && self.buffer.waiting() < allowed;
        // Copies for another try grow by doubling: only in the first half of the budget.
        let kept_max = if is_short { 0 } else { options.retry_body_max };
        let Some(exchange) = proxy.get_mut(key) else { return };
        let mut out = self.buffer.writer(pages, &mut self.stream);
        if self.wire.wants_head() {
            exchange.prepare_head(context.reactor.now());
            let names = (&options.host, &*options.names[self.server]);
            self.wire.send_head(request_line(exchange, names), &mut out);
            exchange.note_sent();
        }
        if !has_room {
            return;
        }
        let mut has_taken = false;
        while let Some(part) = exchange.take_request_part(own, kept_max) {
            self.wire.send_body(part, &mut out);
            has_taken = true;
        }
        let has_ended = exchange.request.body.has_ended();
        if has_ended {
            self.wire.send_end(exchange.request.body.trailers(), &mut out);
        }
        if has_taken || !has_ended {
            proxy.request_taken(key);
        }
        self.count_waiting(context, Some(key));
    }

    /// The answer is all there: the connection is free for the next exchange.
    fn release<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.phase = Phase::Idle;
        self.deadline.clear();
        if self.buffer.waiting() > 0 {
            self.buffer.finish(&mut context.pages, &mut self.stream);
            self.stream.flush(&mut context.reactor, key);
        }
        let is_wanted = !self.draining && self.alone.is_none();
        if !self.wire.is_reusable() || !self.stream.is_drained() || !is_wanted {
            let is_retired = self.wire.has_ended();
            let cause = if is_retired { CloseCause::Retired } else { CloseCause::Failed };
            return self.close(context, key, cause);
        }
        let now = context.now();
        let HttpState { proxy, clusters, .. } = &mut context.http;
        let place = (self.cluster, self.server);
        if proxy.connection_released(place, key, clusters, now) {
            self.receive(context, key);
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
        let is_stale = self.wire.is_used() && !self.wire.is_seen();
        self.phase = Phase::Idle;
        self.close(context, key, CloseCause::Failed);
        context.connection_lost((exchange, key), failure, is_stale);
    }

    fn read_on<D: Driver>(&mut self, context: &mut Context<D>, key: Key, exchange: Key) {
        let Some(one) = context.http.proxy.get(exchange) else { return };
        let is_full = !context.http.proxy.takes_answer(exchange);
        let (carried, until) = (one.carried_by(key), one.until());
        // The exchange has a time in which something has to move, and no other runs.
        let is_tunnel = self.tunnel != Tunnel::No;
        // What the server has not taken is its own affair; else the client has to send more.
        let is_asked_of_client = self.wire.is_sending() && !self.stream.is_blocked();
        let waits_for_client =
            is_tunnel || is_full || is_asked_of_client && one.request.body.waiting() == 0;
        if is_full {
            if context.http.proxy.is_answer_limited(exchange) {
                context.http.proxy.budget_mut().note_limited();
            }
            self.pause(context, key);
        } else if !self.wire.has_ended() {
            self.receive(context, key);
        }
        if waits_for_client {
            self.clock.wait_for_client();
            match until {
                None => self.deadline.clear(),
                Some(until) => self.deadline.set(&mut context.reactor, Due::Session(key), until),
            }
            return;
        }
        self.wait_for_server(context, key, carried, until);
    }

    pub(in crate::session) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed(&mut context.reactor, key);
        self.mark_dirty(context, key);
    }

    /// What the connection carries is not wanted any more.
    pub(in crate::session) fn cancel<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) {
        if self.phase == Phase::Shared {
            return self.cancel_one(context, key, exchange);
        }
        let carried = match self.phase {
            Phase::Busy(carried) | Phase::Leaving(carried) => carried,
            Phase::Connecting(_)
            | Phase::Expired
            | Phase::Idle
            | Phase::Greeting(_)
            | Phase::Shared
            | Phase::Closing => exchange,
        };
        if carried == exchange {
            self.close(context, key, CloseCause::Retired);
        }
    }

    /// The connection ends, and its pool knows.
    pub(in crate::session) fn close<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        cause: CloseCause,
    ) {
        if self.phase == Phase::Shared {
            return self.close_many(context, key, cause);
        }
        let (now, place) = (context.now(), (self.cluster, self.server));
        match self.phase {
            Phase::Closing | Phase::Shared => return,
            Phase::Connecting(_) | Phase::Expired | Phase::Greeting(_) => {
                // It was us who gave it up, and not the server.
                self.tell_failed(context, Failure::Resources);
            }
            Phase::Idle | Phase::Busy(_) | Phase::Leaving(_) => {
                let HttpState { proxy, clusters, .. } = &mut context.http;
                proxy.connection_closed(place, key, cause, clusters, now);
            }
        }
        self.give_up(context, key);
        // A client that has gone in the middle has not said all.
        let is_cut = matches!(self.tunnel, Tunnel::Open | Tunnel::Ending);
        if self.wire.may_have_switched() || is_cut {
            // In another protocol the end of the connection may be one in order.
            self.stream.reset_on_close(&mut context.reactor);
        }
    }

    /// The connection ends, which its pool knows already.
    fn give_up<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.phase = Phase::Closing;
        self.deadline.disarm(&mut context.reactor);
        self.forget_waiting(context);
        self.wire.clear();
        self.many.iter_mut().for_each(|many| many.wire.clear());
        self.stream.abandon(&mut context.reactor, key);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(in crate::session) fn hold(&mut self) {
        self.wire.hold();
        self.many.iter_mut().for_each(|many| many.wire.hold());
    }

    /// The server ends: nothing more will be asked.
    pub(in crate::session) fn drain<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.draining = true;
        let carries_none = self.many.as_ref().is_some_and(|many| many.is_empty());
        if self.phase == Phase::Idle || self.phase == Phase::Shared && carries_none {
            self.close(context, key, CloseCause::Shutdown);
        }
    }

    pub(in crate::session) fn is_finished(&self) -> bool {
        self.phase == Phase::Closing && self.stream.is_quiet()
    }

    pub(in crate::session) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        context.close_stream(key, self.stream);
        self.plan.stats().active.decrement();
    }

    /// It is to be worked on in this turn.
    pub(in crate::session) fn mark_dirty<D>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.dirty {
            self.dirty = true;
            context.dirty.push(key);
        }
    }

    /// It is to be worked on in the next turn.
    fn postpone<D>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.dirty {
            self.dirty = true;
            context.postponed.push(key);
        }
    }
}

/// What is asked of a server, before the body.
fn request_line<'a>(exchange: &'a Exchange, names: (&'a HostHeader, &'a str)) -> RequestLine<'a> {
    let (path, authority) = request_parts(exchange, names);
    let request = &exchange.request;
    let (size, upgrade) = (request.size, request.upgrade);
    RequestLine { head: &request.head, path, authority, size, upgrade, key: exchange.tunnel_key() }
}

/// The path that is asked for, and whom it is for.
fn request_parts<'a>(
    exchange: &'a Exchange,
    (host, server): (&'a HostHeader, &'a str),
) -> (&'a str, &'a str) {
    let request = &exchange.request;
    let head = &*request.head;
    let authority = match host {
        HostHeader::Pass if !head.authority().is_empty() => head.authority(),
        HostHeader::Pass | HostHeader::Server => server,
        HostHeader::Literal(name) => name,
    };
    let path = request.path.as_deref().unwrap_or_else(|| head.path());
    (path, authority)
}
