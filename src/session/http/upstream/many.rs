//! A connection to a server by HTTP/2: many exchanges side by side. What fails on one stream is
//! held against its exchange alone; what the connection can carry, its pool is told.

use super::answer::{Stopped, pass_interim};
use super::carried::{Carried, Many};
use super::tunnel::handshake_failure;
use super::{Phase, UpstreamConnection, request_parts};
use crate::mem::Key;
use crate::proto::http::{BodySize, Known, ResponseHead};
use crate::proto::http2::{ClientEvent, ErrorCode, Growth, RequestLine, StreamId, Violation};
use crate::ring::Driver;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::CloseCause;
use crate::service::http::forwarded;
use crate::service::proxy::http::{Exchange, HeadVerdict};
use crate::session::context::Context;
use crate::session::http::state::HttpState;

/// Steps of work on what has come on one connection in one turn: about as many frames.
const STEPS_PER_TURN: u32 = 512;
/// Unparsed bytes of a connection, beyond which it is not read. Bodies that clients do not take
/// are limited by the windows of their streams instead, so that one does not stall the others.
const UNREAD_MAX: usize = 256 * 1024;

/// How an exchange fails whose stream is lost.
fn loss_of<D>(context: &Context<D>, exchange: Key) -> Failure {
    let has_head = context.http.proxy.get(exchange).is_some_and(Exchange::has_head);
    if has_head { Failure::ResetInBody } else { Failure::ResetBeforeHead }
}

impl UpstreamConnection {
    /// An exchange is carried, too.
    pub(super) fn assign_to_many<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) {
        let now = context.now();
        let Some(many) = &mut self.many else { return };
        if many.wire.is_spent() || many.wire.has_ended() || self.phase != Phase::Shared {
            // It died before it was used: retire it, so that no other exchange gets it.
            self.retire_many(context, key);
            context.connection_lost((exchange, key), Failure::StaleConnection, true);
            self.release_one(context, key);
            return;
        }
        if !many.is_used && many.carried.is_empty() {
            context.http.proxy.was_connected(exchange, self.connect);
        }
        many.carried.push(Carried::new(exchange, now));
        self.mark_dirty(context, key);
    }

    /// Reads what has come, and goes on with the exchanges that something has come for.
    pub(super) fn work_many<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.read_events(context, key) {
            return;
        }
        let mut at = 0;
        while let Some(many) = &self.many
            && let Some(one) = many.carried.get(at)
            && self.phase == Phase::Shared
        {
            if !one.is_due {
                at += 1;
                continue;
            }
            match self.carry_one(context, key, at) {
                Stopped::Waiting | Stopped::Switched => at += 1,
                Stopped::Answered => self.end_one(context, key, at),
                Stopped::Dropped => self.drop_one(context, key, at),
                Stopped::Failed(failure) => self.fail_one(context, key, at, failure),
            }
        }
        let Some(many) = &self.many else { return };
        if self.phase != Phase::Shared {
            return;
        }
        if many.wire.has_ended() && many.wire.has_nothing_new() {
            self.fail_unanswered(context, key);
        } else if many.carried.is_empty() && (many.is_retired || self.draining) {
            self.leave_many(context, key, CloseCause::Retired);
        }
    }

    /// Takes what has come; false when the connection is over.
    fn read_events<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        if let Some(many) = &mut self.many {
            many.wire.begin_turn(STEPS_PER_TURN);
        }
        loop {
            let now = context.now();
            let Some(many) = &mut self.many else { return false };
            let HttpState { workspace, spare_answers, .. } = &mut context.http;
            match many.wire.poll(now, &many.limits, workspace, spare_answers) {
                Ok(None) => {
                    if !many.wire.has_nothing_new() {
                        // Others have their turn.
                        self.postpone(context, key);
                    }
                    return true;
                }
                Ok(Some(event)) => self.take_event(context, key, event),
                Err(violation) => {
                    many.wire.fail(violation);
                    self.tell_violation(context, violation);
                    self.fail_many(context, key, Some(Failure::BadResponse));
                    return false;
                }
            }
            if self.phase != Phase::Shared {
                return false;
            }
        }
    }

    fn take_event<D: Driver>(&mut self, context: &mut Context<D>, key: Key, event: ClientEvent) {
        let now = context.now();
        match event {
            ClientEvent::Interim(stream, head) => {
                self.note_said(context, stream);
                if let Some(exchange) = self.carried_on(stream).map(|one| one.exchange) {
                    pass_interim(context, exchange, head);
                }
            }
            ClientEvent::Head(stream, head, length) => {
                self.note_said(context, stream);
                self.take_head_of(context, key, stream, head, length);
            }
            ClientEvent::Body(stream) => {
                if let Some(one) = self.carried_on(stream) {
                    one.clock.note_progress(now);
                }
            }
            ClientEvent::Reset(stream, code) => {
                let is_refused = code == ErrorCode::REFUSED_STREAM;
                let failure = is_refused.then_some(Failure::RefusedStream);
                self.lose_stream(context, stream, failure);
            }
            ClientEvent::Violated(stream, violation) => {
                self.tell_violation(context, violation);
                let is_size =
                    matches!(violation, Violation::InterimFlood | Violation::HeadTooLarge);
                let failure =
                    if is_size { Failure::ResponseTooLarge } else { Failure::BadResponse };
                self.lose_stream(context, stream, Some(failure));
            }
            ClientEvent::GoAway(last, ..) => self.take_go_away(context, key, last),
            ClientEvent::Opened(Some(stream)) => drop(self.carried_on(stream)),
            ClientEvent::Opened(None) => {
                let carried = self.many.iter_mut().flat_map(|many| &mut many.carried);
                carried.for_each(|one| one.is_due = true);
                self.tell_capacity(context, key);
            }
        }
    }

    /// The exchange that something has come for.
    fn carried_on(&mut self, stream: StreamId) -> Option<&mut Carried> {
        let many = self.many.as_mut()?;
        let at = many.place(stream)?;
        let one = many.carried.get_mut(at)?;
        one.is_due = true;
        Some(one)
    }

    /// The server is at work on a request.
    fn note_said<D: Driver>(&mut self, context: &mut Context<D>, stream: StreamId) {
        let (now, patience) = (context.now(), self.patience(context));
        if let Some(one) = self.carried_on(stream) {
            one.is_seen = true;
            one.clock.note_interim(now, &patience);
        }
    }

    fn take_head_of<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        stream: StreamId,
        mut head: Box<ResponseHead>,
        length: Option<u64>,
    ) {
        let now = context.now();
        let Some(exchange) = self.carried_on(stream).map(|one| one.exchange) else { return };
        head.fields.push_known(Known::Via, forwarded::via(head.version));
        let HttpState { proxy, clusters, spare_answers, .. } = &mut context.http;
        let failure = match proxy.head_came((exchange, key), head, length, clusters, now) {
            // Which client a connection is for is nothing that HTTP/2 has.
            HeadVerdict::Taken | HeadVerdict::Personal => return,
            HeadVerdict::Tunnel => {
                if let Some(one) = self.carried_on(stream) {
                    one.is_tunnel = true;
                }
                return;
            }
            HeadVerdict::Dropped(head) => {
                spare_answers.give(head);
                let Some(at) = self.many.as_ref().and_then(|many| many.place(stream)) else {
                    return;
                };
                return self.drop_one(context, key, at);
            }
            HeadVerdict::Refused(head, failure) => {
                spare_answers.give(head);
                failure
            }
        };
        self.lose_stream(context, stream, Some(failure));
    }

    /// A stream is gone: its exchange fails when it is worked on.
    fn lose_stream<D>(&mut self, context: &Context<D>, stream: StreamId, failure: Option<Failure>) {
        let Some(one) = self.carried_on(stream) else { return };
        one.failed = Some(failure.unwrap_or_else(|| loss_of(context, one.exchange)));
    }

    /// The server takes no further requests: those that it has not looked at go elsewhere. An
    /// answer that has come whole is passed on.
    fn take_go_away<D: Driver>(&mut self, context: &mut Context<D>, key: Key, last: StreamId) {
        let Some(many) = &mut self.many else { return };
        let Many { carried, wire, .. } = &mut **many;
        for one in carried {
            let is_lost = |stream| stream > last && !wire.has_come(stream);
            if one.stream.is_none_or(is_lost) {
                (one.failed, one.is_due) = (Some(Failure::RefusedStream), true);
            }
        }
        self.retire_many(context, key);
    }

    /// The connection takes no further exchange.
    fn retire_many<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let (now, place) = (context.now(), (self.cluster, self.server));
        let Some(many) = self.many.as_mut().filter(|_| self.phase == Phase::Shared) else { return };
        if !std::mem::replace(&mut many.is_retired, true) {
            let HttpState { proxy, clusters, .. } = &mut context.http;
            if !proxy.connection_retired(place, key, clusters, now) {
                self.finish_many(context, key);
            }
        }
    }

    /// The server sends no more: what has come whole is passed on, and all else fails.
    fn fail_unanswered<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let Some(many) = &mut self.many else { return };
        let wire = &many.wire;
        let has_come = |one: &Carried| one.stream.is_some_and(|stream| wire.has_come(stream));
        if !many.carried.iter().any(has_come) {
            return self.fail_many(context, key, None);
        }
        self.retire_many(context, key);
        let mut at = 0;
        while let Some(many) = &self.many
            && let Some(one) = many.carried.get(at)
        {
            if one.stream.is_some_and(|stream| many.wire.has_come(stream)) {
                at += 1;
                continue;
            }
            let failure = one.failed.unwrap_or_else(|| loss_of(context, one.exchange));
            let (exchange, is_stale) = (one.exchange, many.is_used && !one.is_seen);
            self.drop_one(context, key, at);
            context.connection_lost((exchange, key), failure, is_stale);
        }
    }

    /// How many exchanges the server takes, as far as that is news.
    fn tell_capacity<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let now = context.now();
        let Some(many) = &mut self.many else { return };
        let HttpState { proxy, clusters, .. } = &mut context.http;
        let most = clusters.get(self.cluster).options.streams_max;
        let capacity = many.wire.capacity().min(most);
        if std::mem::replace(&mut many.capacity, capacity) != capacity {
            if capacity == 0 {
                // The connection is retired: requests go to others at once.
                return self.retire_many(context, key);
            }
            let place = (self.cluster, self.server);
            proxy.connection_capacity(place, key, capacity, clusters, now);
        }
    }

    /// Sends what there is of one request, and passes on what has come of its answer.
    fn carry_one<D: Driver>(&mut self, context: &mut Context<D>, key: Key, at: usize) -> Stopped {
        let now = context.now();
        let Some(many) = &mut self.many else { return Stopped::Waiting };
        let one = &mut many.carried[at];
        (one.is_due, one.is_changed) = (false, true);
        if let Some(failure) = one.failed {
            return Stopped::Failed(failure);
        }
        let exchange = one.exchange;
        let is_carried =
            context.http.proxy.get(exchange).is_some_and(|found| found.is_carried_by(key));
        if !is_carried {
            return Stopped::Dropped;
        }
        one.clock.excuse_wait_for_client(now);
        self.send_one(context, key, at);
        let Some(many) = &mut self.many else { return Stopped::Waiting };
        if let Some(failure) = many.carried[at].failed {
            return Stopped::Failed(failure);
        }
        let Some(stream) = many.carried[at].stream else { return Stopped::Waiting };
        let HttpState { proxy, clusters, .. } = &mut context.http;
        while proxy.takes_answer(exchange)
            && let Some(part) = many.wire.next_of_body(stream)
        {
            proxy.answer_came(exchange, part, now);
        }
        let one = &mut many.carried[at];
        // A stream that both sides have ended is gone.
        if !one.is_answer_over && !many.wire.is_body_read(stream) {
            return Stopped::Waiting;
        }
        if one.is_tunnel {
            one.is_answer_over = true;
            proxy.tunnel_ended(exchange);
            if many.wire.is_sending(stream) {
                return Stopped::Waiting;
            }
            if !many.wire.is_sent(stream) {
                many.note_ending(stream);
                return Stopped::Waiting;
            }
        }
        let trailers = many.wire.take_trailers_of(stream);
        proxy.answer_ended(exchange, trailers, clusters, now);
        Stopped::Answered
    }

    fn send_one<D: Driver>(&mut self, context: &mut Context<D>, own: Key, at: usize) {
        let Some(many) = &mut self.many else { return };
        let one = &mut many.carried[at];
        if one.stream.is_some_and(|stream| !many.wire.is_sending(stream)) {
            return;
        }
        let scheme = if self.plan.is_secured() { "https" } else { "http" };
        let Context { http: HttpState { proxy, clusters, workspace, .. }, pages, .. } = context;
        let options = &clusters.get(self.cluster).options;
        let kept_max = if proxy.budget().is_short() { 0 } else { options.retry_body_max };
        let allowed = proxy.budget().allowance();
        let Some(exchange) = proxy.get_mut(one.exchange) else { return };
        let websocket = exchange.request.websocket.is_some();
        if one.stream.is_none()
            && let Some(failure) = handshake_failure(exchange, &many.wire)
        {
            one.failed = Some(failure);
            return self.tell_no_websocket(context, failure);
        }
        let mut out = self.buffer.writer(pages, &mut self.stream);
        let stream = match one.stream {
            Some(stream) => stream,
            None if many.wire.is_spent() => {
                (one.failed, one.is_due) = (Some(Failure::RefusedStream), true);
                return;
            }
            // The server takes fewer than were thought of: it waits for the end of another one.
            None if !many.wire.can_open() => {
                one.is_due = true;
                return;
            }
            None => {
                exchange.prepare_head(context.reactor.now());
                let names = (&options.host, &*options.names[self.server]);
                let (path, authority) = request_parts(exchange, names);
                let request = &exchange.request;
                let length = match request.size {
                    BodySize::Known(length) => Some(length),
                    BodySize::None | BodySize::Unknown => None,
                };
                let head = &*request.head;
                let line = RequestLine { head, path, authority, scheme, length, websocket };
                let ends = exchange.is_request_taken(own) && request.body.trailers().is_none();
                let stream = many.wire.open(&line, ends, workspace, &mut out);
                one.stream = Some(stream);
                exchange.note_sent();
                stream
            }
        };
        let mut has_taken = false;
        while many.wire.room(stream) > 0
            && many.wire.queued_of(stream) < allowed
            && let Some(part) = exchange.take_request_part(own, kept_max)
        {
            many.wire.send_part(stream, part);
            has_taken = true;
        }
        let is_done = exchange.is_request_taken(own);
        // What is queued goes out in later turns: there is room then.
        one.is_due |= !is_done && many.wire.queued_of(stream) >= allowed;
        if is_done {
            many.wire.send_end(stream, exchange.request.body.trailers());
        }
        let key = one.exchange;
        if has_taken || !is_done {
            proxy.note_on_server(key, many.wire.queued_of(stream));
            proxy.request_taken(key);
        }
    }

    /// An answer has come whole.
    fn end_one<D: Driver>(&mut self, context: &mut Context<D>, key: Key, at: usize) {
        let Some(many) = &mut self.many else { return };
        let one = many.carried.swap_remove(at);
        many.is_used = true;
        if let Some(stream) = one.stream {
            many.wire.end(stream, &mut context.http.workspace);
        }
        self.release_one(context, key);
    }

    /// An exchange is tried again elsewhere.
    fn drop_one<D: Driver>(&mut self, context: &mut Context<D>, key: Key, at: usize) {
        let Some(many) = &mut self.many else { return };
        let one = many.carried.swap_remove(at);
        if let Some(stream) = one.stream {
            many.wire.reset(stream, ErrorCode::CANCEL, &mut context.http.workspace);
        }
        self.release_one(context, key);
    }

    fn fail_one<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        at: usize,
        failure: Failure,
    ) {
        let Some(many) = &self.many else { return };
        let exchange = many.carried[at].exchange;
        self.drop_one(context, key, at);
        context.connection_lost((exchange, key), failure, false);
    }

    /// One exchange less is carried.
    fn release_one<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let (now, place) = (context.now(), (self.cluster, self.server));
        let HttpState { proxy, clusters, .. } = &mut context.http;
        if !proxy.connection_released(place, key, clusters, now) {
            return self.finish_many(context, key);
        }
        // One that found no room for its stream may find it now.
        let waits = |many: &Many| many.carried.iter().any(|one| one.stream.is_none());
        if self.many.as_deref().is_some_and(waits) {
            self.mark_dirty(context, key);
        }
    }

    /// An exchange is not wanted any more.
    pub(super) fn cancel_one<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) {
        let Some(many) = &self.many else { return };
        if let Some(at) = many.carried.iter().position(|one| one.exchange == exchange) {
            self.drop_one(context, key, at);
            self.mark_dirty(context, key);
        }
    }

    /// The connection is lost, with all that it carries.
    fn fail_many<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        failure: Option<Failure>,
    ) {
        let Some(many) = &mut self.many else { return };
        let is_used = many.is_used;
        let carried = std::mem::take(&mut many.carried);
        self.leave_many(context, key, CloseCause::Failed);
        for one in carried {
            let failure = one.failed.or(failure).unwrap_or_else(|| loss_of(context, one.exchange));
            let is_stale = is_used && !one.is_seen;
            context.connection_lost((one.exchange, key), failure, is_stale);
        }
    }

    /// The connection ends, and its pool learns it.
    fn leave_many<D: Driver>(&mut self, context: &mut Context<D>, key: Key, cause: CloseCause) {
        let (now, place) = (context.now(), (self.cluster, self.server));
        let HttpState { proxy, clusters, .. } = &mut context.http;
        proxy.connection_closed(place, key, cause, clusters, now);
        self.finish_many(context, key);
    }

    /// The connection ends, which its pool knows: the server is told.
    fn finish_many<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.phase == Phase::Closing {
            return;
        }
        if let Some(many) = &mut self.many {
            many.wire.leave();
        }
        self.write_many(context, key);
        self.give_up(context, key);
    }

    /// The connection is to end for a reason of its pool's or of the shutdown's.
    pub(super) fn close_many<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        cause: CloseCause,
    ) {
        let Some(many) = &mut self.many else { return };
        let carried = std::mem::take(&mut many.carried);
        self.leave_many(context, key, cause);
        for one in carried {
            context.connection_lost((one.exchange, key), Failure::Resources, false);
        }
    }

    /// Sends what the turn has written, and what windows allow.
    fn write_many<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let now = context.now();
        let Context { http, pages, .. } = context;
        let budget = http.proxy.budget();
        let room = match self.stream.is_blocked() {
            true => 0,
            false => budget.allowance().saturating_sub(self.buffer.waiting()),
        };
        let Some(many) = &mut self.many else { return };
        let growth = Growth { most: many.limits.window, is_allowed: !budget.is_short() };
        if many.wire.wants_round_trip(growth)
            && let Some(time) = self.stream.round_trip(&mut context.reactor)
        {
            many.wire.set_round_trip(time);
        }
        let mut out = self.buffer.writer(pages, &mut self.stream);
        many.wire.transmit(room, (now, growth), &mut http.workspace, &mut out);
        self.buffer.finish(&mut context.pages, &mut self.stream);
        self.stream.flush(&mut context.reactor, key);
    }

    /// Sends, and decides whether to read on.
    pub(super) fn transmit_many<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.write_many(context, key);
        if self.many.as_deref_mut().is_some_and(Many::mark_ended) {
            self.postpone(context, key);
        }
        let Some(many) = &mut self.many else { return };
        many.wire.hold();
        let waiting = self.buffer.unsent(&self.stream) + many.wire.cost();
        let budget = context.http.proxy.budget_mut();
        budget.recount(&mut self.counted, waiting);
        if many.wire.unread() > UNREAD_MAX {
            self.pause(context, key);
        } else if !many.wire.has_ended() {
            self.receive(context, key);
        }
        if self.phase == Phase::Shared {
            self.watch_many(context, key);
        }
    }

    pub(super) fn tell_violation<D: Driver>(&self, context: &mut Context<D>, violation: Violation) {
        let now = context.now();
        let upstream = &context.plan.upstreams[self.cluster];
        if let Some(others) = context.notices.protocol.due(now) {
            let (name, server) = (&upstream.name, upstream.servers[self.server]);
            let reason = violation.name();
            tracing::warn!(upstream = %name, %server, reason, others, "the server breaks HTTP/2");
        }
    }
}
