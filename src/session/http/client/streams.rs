//! Connections of HTTP/2: requests that are answered side by side. Each is worked on as the only
//! request of HTTP/1.1 is, when something has come for it: it is taken out of those that wait, and
//! put back when it has to wait again.

use std::time::{Duration, Instant};

use super::answer::Came;
use super::request::Responder;
use super::requests::{Parked, StreamRequest};
use super::wire::{StoppedBy, Wire};
use super::{Http, Phase};
use crate::mem::Key;
use crate::proto::http1::Refusal;
use crate::proto::http2::{ErrorCode, Growth, Limits, ServerEvent, StreamId, Violation};
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::session::context::Context;
use crate::session::http::state::HttpState;

/// Steps of work on what has come on one connection in one turn: about as many frames, fewer
/// requests. What one client sends others wait for no longer than this takes.
const STEPS_PER_TURN: u32 = 256;
/// Requests of one connection that are looked at in one turn.
const LOOKS_PER_TURN: usize = 32;
/// How long a client has to learn that no further requests are wanted, before those that come are
/// not looked at.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);
/// Bytes of bodies that may wait on one connection for those who take them. Beyond it, the client's
/// window of the connection shuts. Its frames are read all the same.
const INBOUND_MAX: usize = 1024 * 1024;
/// Bytes that may wait on one connection to be looked at. Beyond it, nothing more is received.
const UNREAD_MAX: usize = 64 * 1024;

impl Http {
    /// What a connection may have.
    pub(super) fn http2_limits(&self) -> Limits {
        self.options.http2.unwrap_or_default()
    }

    /// Whether nothing is under way on a connection of HTTP/2.
    pub(super) fn has_no_streams(&self) -> bool {
        match &self.wire {
            Wire::Http1(_) => self.request.is_none(),
            Wire::Http2(many) => many.requests.is_empty() && many.server.streams() == 0,
        }
    }

    /// Takes what has come, and goes on with the requests that wait.
    pub(super) fn work_streams<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.read_streams(context, key);
        if self.is_open() && !self.io.is_closing() {
            self.go_on_with_streams(context, key);
        }
    }

    fn read_streams<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if let Some(many) = self.wire.multiplexed() {
            many.server.begin_turn(STEPS_PER_TURN);
        }
        loop {
            let allowed = context.http.proxy.budget().allowance();
            let is_behind = self.io.stream.is_blocked() && self.io.buffer.waiting() >= allowed;
            if !self.is_open() || self.io.is_closing() || is_behind {
                return;
            }
            if self.wire.has_nothing_new() {
                return;
            }
            if self.has_no_streams() && !self.draining {
                self.take_newest(context, key);
                if self.io.is_closing() {
                    return;
                }
            }
            let (now, limits) = (context.now(), self.http2_limits());
            let Wire::Http2(many) = &mut self.wire else { return };
            let HttpState { workspace, spare_heads, .. } = &mut context.http;
            match many.server.poll(now, &limits, workspace, spare_heads) {
                // Others have their turn.
                Ok(None) if !many.server.has_nothing_new() => {
                    return self.io.common.postpone(context, key, true);
                }
                Ok(None) => return,
                Ok(Some(event)) => self.take_stream_event(context, key, event),
                Err(violation) => return self.fail_connection(context, violation),
            }
        }
    }

    fn take_stream_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        event: ServerEvent,
    ) {
        let now = context.now();
        match event {
            ServerEvent::Request(stream, head, meta) => {
                self.waits.progress = now;
                self.select(stream);
                if self.is_beyond_budget(context) {
                    return self.park(context, stream, Box::new((head, meta)));
                }
                self.begin(context, key, head, &meta);
                self.stow(now);
            }
            ServerEvent::Refused(stream, refusal, received) => {
                self.waits.progress = now;
                self.select(stream);
                self.refuse_stream(context, refusal, received);
                self.stow(now);
            }
            ServerEvent::Body(stream) => {
                let Some(many) = self.wire.multiplexed() else { return };
                if let Some(one) = many.requests.get_mut(stream) {
                    one.body_progress = now;
                    many.requests.mark(stream);
                }
            }
            ServerEvent::Reset(stream, code) => {
                self.io.common.listener.stats.http.http2.resets.add(1);
                tracing::debug!(id = self.io.common.id(), stream, code = code.name(), "reset");
                self.give_stream_up(context, stream, CloseReason::ClientReset);
            }
            ServerEvent::Violated(stream, violation) => {
                self.count_violation(violation);
                self.give_stream_up(context, stream, CloseReason::ProtocolError);
            }
            ServerEvent::TooMany(_) => self.io.common.listener.stats.http.http2.refused.add(1),
            ServerEvent::Opened(Some(stream)) => self.mark(stream),
            ServerEvent::Opened(None) => self.mark_all(),
        }
    }

    /// Whether no further request begins on this connection, as all memory for what waits is used:
    /// each client has one request at a time then, as with HTTP/1.1, and no client waits for
    /// another.
    fn is_beyond_budget<D>(&mut self, context: &Context<D>) -> bool {
        context.http.proxy.budget().is_exhausted()
            && self.wire.multiplexed().is_some_and(|many| many.requests.begun() > 0)
    }

    fn park<D: Driver>(&mut self, context: &mut Context<D>, stream: StreamId, parked: Parked) {
        let now = context.now();
        if let Some(many) = self.wire.multiplexed() {
            if many.requests.parked_at.is_none() {
                context.http.proxy.budget_mut().note_limited();
            }
            many.requests.park(stream, parked, now);
        }
    }

    /// Begins a request that was parked, if that is possible now.
    fn begin_parked<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (stream, parked): (StreamId, Parked),
    ) {
        if self.is_beyond_budget(context) {
            return self.park(context, stream, parked);
        }
        self.select(stream);
        let (head, meta) = *parked;
        self.begin(context, key, head, &meta);
        self.stow(context.now());
    }

    /// What follows is about this stream.
    fn select(&mut self, stream: StreamId) {
        if let Wire::Http2(many) = &mut self.wire {
            many.at = stream;
        }
    }

    /// Something has come for the request of a stream.
    fn mark(&mut self, stream: StreamId) {
        if let Some(many) = self.wire.multiplexed() {
            many.requests.mark(stream);
        }
    }

    /// Something has come that may be for any request.
    pub(super) fn mark_all(&mut self) {
        if let Some(many) = self.wire.multiplexed() {
            many.requests.mark_all();
        }
    }

    /// Somebody has something for the request of a stream.
    pub(in crate::session) fn wake<D>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        stream: StreamId,
    ) {
        self.mark(stream);
        self.io.mark_dirty(context, key);
    }

    /// Puts the request that was worked on to those that wait, if it does.
    fn stow(&mut self, now: Instant) {
        let body_began = self.waits.body_began.take();
        let Wire::Http2(many) = &mut self.wire else { return };
        let stream = many.at;
        if let Some(request) = self.request.take() {
            let one = many.requests.get_or_add(stream, now);
            (one.request, one.body_began, one.body_progress) = (Some(request), body_began, now);
            many.requests.mark(stream);
        } else {
            many.requests.remove(stream);
        }
        if matches!(self.phase, Phase::Answering | Phase::Discard) {
            self.phase = Phase::Head;
        }
    }

    /// Looks at the requests for which something has come.
    fn go_on_with_streams<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let has_parked = self.mark_released(context);
        let Some(many) = self.wire.multiplexed() else { return };
        let due = many.requests.take_due(LOOKS_PER_TURN);
        if many.requests.has_due() {
            // Others have their turn.
            self.io.common.postpone(context, key, true);
        }
        let mut is_one_over = false;
        for stream in &due {
            is_one_over |= self.go_on_with_stream(context, key, *stream);
            if self.io.is_closing() || !self.is_open() {
                return;
            }
        }
        if let Some(many) = self.wire.multiplexed() {
            many.requests.give_back(due);
            if is_one_over {
                many.requests.remove_taken();
            }
            if has_parked && (many.requests.has_due() || many.requests.begun() == 0) {
                // Those that have begun are looked at, or one begins.
                self.io.common.postpone(context, key, true);
            }
        }
    }

    /// Marks the requests that the connection or the budget has stopped and does no longer. Returns
    /// whether any was parked.
    fn mark_released<D>(&mut self, context: &Context<D>) -> bool {
        let (takes_more, is_beyond) = (self.takes_more(context), self.is_beyond_budget(context));
        let Some(many) = self.wire.multiplexed() else { return false };
        if takes_more && many.requests.has_stopped() {
            many.requests.mark_all_stopped();
        }
        let has_parked = many.requests.parked_at.is_some();
        if has_parked && !is_beyond {
            let is_exhausted = context.http.proxy.budget().is_exhausted();
            many.requests.mark_parked(if is_exhausted { 1 } else { usize::MAX });
        }
        has_parked
    }

    /// Works on the request of a stream, unless its client has given it up; true when it is over.
    fn go_on_with_stream<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        stream: StreamId,
    ) -> bool {
        let Some(many) = self.wire.multiplexed() else { return false };
        if let Some(parked) = many.requests.unpark(stream) {
            many.requests.look_at(stream);
            self.begin_parked(context, key, (stream, parked));
            return false;
        }
        let one = many.requests.look_at(stream);
        let request = one.and_then(|one| one.request.take_if(|request| !request.is_given_up()));
        if request.is_none() {
            return false;
        }
        (many.at, many.stopped) = (stream, None);
        self.request = request;
        self.phase = Phase::Answering;
        self.go_on(context, key);
        if self.io.is_closing() || !self.is_open() {
            return false;
        }
        self.phase = Phase::Head;
        let request = self.request.take();
        let Some(many) = self.wire.multiplexed() else { return false };
        let is_over = request.is_none();
        if let Some(one) = many.requests.get_mut(stream) {
            one.request = request;
        }
        match many.stopped {
            Some(StoppedBy::Turn) => many.requests.mark(stream),
            Some(StoppedBy::Connection) => many.requests.mark_stopped(stream),
            None => {}
        }
        self.watch_request(context, stream);
        is_over
    }

    /// Works on the request of a stream, as if it were the only one.
    pub(super) fn with_stream_of<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        stream: StreamId,
        work: impl FnOnce(&mut Self, &mut Context<D>),
    ) {
        let Some(many) = self.wire.multiplexed() else { return work(self, context) };
        let Some(one) = many.requests.get_mut(stream) else { return };
        self.waits.body_began = one.body_began;
        self.request = one.request.take();
        many.at = stream;
        let is_given_up = self.request.as_ref().is_some_and(|request| request.is_given_up());
        if self.is_open() {
            self.phase = Phase::Answering;
        }
        work(self, context);
        if is_given_up && self.request.as_ref().is_some_and(|request| request.is_quiet()) {
            self.drop_request(context);
        }
        self.stow(context.now());
    }

    /// Works on the request of which a file is being read, as if it were the only one; by HTTP/1.1
    /// it is.
    pub(super) fn with_reading_request<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        work: impl FnOnce(&mut Self, &mut Context<D>),
    ) {
        let Some(many) = self.wire.multiplexed() else { return work(self, context) };
        let is_reading =
            |one: &&StreamRequest| one.request.as_ref().is_some_and(|request| !request.is_quiet());
        let stream = many.requests.iter().find(is_reading).map(|one| one.stream);
        if let Some(stream) = stream {
            self.with_stream_of(context, stream, work);
            // Others may have waited for this read.
            self.mark_all();
        }
    }

    /// A request is over before its answer is: its client or a rule wants it so.
    pub(super) fn give_stream_up<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        stream: StreamId,
        reason: CloseReason,
    ) {
        let Some(many) = self.wire.multiplexed() else { return };
        let Some(one) = many.requests.get_mut(stream) else { return };
        self.request = one.request.take();
        many.at = stream;
        self.give_request_up(context, reason);
        // A file that is being read stays until it was.
        self.stow(context.now());
    }

    /// All requests are over before their answers are.
    pub(super) fn give_streams_up<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        reason: CloseReason,
    ) {
        let Some(many) = self.wire.multiplexed() else { return };
        let streams: Vec<_> = many.requests.iter().map(|one| one.stream).collect();
        for stream in streams {
            self.give_stream_up(context, stream, reason);
        }
    }

    /// The client has broken a rule that costs the connection.
    fn fail_connection<D: Driver>(&mut self, context: &mut Context<D>, violation: Violation) {
        tracing::debug!(
            id = self.io.common.id(),
            violation = violation.name(),
            "HTTP/2 connection refused"
        );
        self.count_violation(violation);
        self.give_streams_up(context, CloseReason::ProtocolError);
        if let Wire::Http2(many) = &mut self.wire {
            many.server.fail(violation);
        }
        self.end(CloseReason::ProtocolError);
    }

    fn count_violation(&self, violation: Violation) {
        let counters = &self.io.common.listener.stats.http.http2.violations;
        if let Some(counter) = counters.get(violation.index()) {
            counter.add(1);
        }
    }

    /// A request whose head breaks a rule is answered with a status; others go on.
    fn refuse_stream<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        refusal: Refusal,
        received: usize,
    ) {
        tracing::debug!(id = self.io.common.id(), refusal = refusal.name(), "request refused");
        self.io.common.listener.stats.http.refuse(refusal);
        let came = Came::of_length(received);
        self.say(context, (refusal.status(), refusal.name()), came);
    }

    /// The answer on the present stream cannot be ended in order: only a reset tells the client
    /// that it is not whole.
    pub(super) fn reset_stream<D>(&mut self, context: &mut Context<D>, code: ErrorCode) {
        if let Wire::Http2(many) = &mut self.wire {
            many.reset(code, &mut context.http.workspace);
            self.phase = Phase::Head;
        }
    }

    /// Writes what may go out of the answers that wait.
    pub(super) fn transmit_streams<D: Driver>(&mut self, context: &mut Context<D>) {
        let Wire::Http2(many) = &mut self.wire else { return };
        let window = self.options.http2.unwrap_or_default().window;
        let now = context.now();
        let Context { http, pages, .. } = context;
        let budget = http.proxy.budget();
        let waiting = self.io.buffer.waiting();
        let room = match self.io.stream.is_blocked() {
            true => 0,
            false => budget.allowance().saturating_sub(waiting),
        };
        many.server.set_waiting_max(INBOUND_MAX.min(budget.allowance().saturating_mul(4)));
        let growth = Growth { most: window, is_allowed: !budget.is_short() };
        if many.server.wants_round_trip(growth)
            && let Some(time) = self.io.stream.round_trip(&mut context.reactor)
        {
            many.server.set_round_trip(time);
        }
        let mut out = self.io.buffer.writer(pages, &mut self.io.stream);
        let sent = many.server.transmit(room, (now, growth), &mut http.workspace, &mut out);
        if sent > 0 {
            self.waits.progress = now;
        }
    }

    /// Decides whether to read on, and whether the connection is over.
    pub(super) fn read_on_streams<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let is_over = match &self.wire {
            Wire::Http2(many) => many.server.has_ended() || many.server.is_final(),
            Wire::Http1(_) => false,
        };
        if is_over && self.has_no_streams() && self.wire.has_nothing_new() {
            self.end(CloseReason::Finished);
            self.say_end(context, key, CloseReason::Finished);
            return;
        }
        if self.wire.has_ended() {
            if self.wire.has_nothing_new() && !self.has_only_ended_tunnels(context) {
                // The client has closed: answers cannot be delivered.
                self.close(context, key, CloseReason::ClientGone);
            }
            return;
        }
        let unread = self.wire.multiplexed().map_or(0, |many| many.server.unread());
        if unread > UNREAD_MAX {
            self.pause(context, key);
        } else {
            self.receive(context, key);
        }
    }

    /// Whether all that is under way are tunnels that both sides have ended, of which servers have
    /// to take the last bytes.
    fn has_only_ended_tunnels<D: Driver>(&self, context: &Context<D>) -> bool {
        let Wire::Http2(many) = &self.wire else { return false };
        let mut all = many.requests.iter();
        !many.requests.is_empty()
            && all.all(|one| {
                let request = one.request.as_ref().filter(|request| request.has_said_end);
                let exchange = request.and_then(|request| request.exchange());
                let exchange = exchange.and_then(|key| context.http.proxy.get(key));
                exchange.is_some_and(|one| one.is_tunnel() && one.request.body.has_ended())
            })
    }

    /// Whether a file is being read for any request.
    pub(super) fn is_reading_file(&self) -> bool {
        let is_reading =
            |one: &StreamRequest| one.request.as_ref().is_some_and(|request| !request.is_quiet());
        match &self.wire {
            Wire::Http1(_) => false,
            Wire::Http2(many) => many.requests.iter().any(is_reading),
        }
    }

    /// Reads of files that found no buffer may go on.
    pub(super) fn feed_streams(&mut self) {
        let Some(many) = self.wire.multiplexed() else { return };
        for one in many.requests.iter_mut() {
            if let Some(request) = &mut one.request
                && let Responder::File(transfer) = &mut request.responder
            {
                transfer.feed();
            }
        }
        many.requests.mark_all();
    }
}
