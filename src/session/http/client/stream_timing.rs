//! What is waited for on a connection of HTTP/2, beside what every connection waits for.

use std::time::{Duration, Instant};

use super::Http;
use super::answer::has_replied;
use super::handled::Handled;
use super::request::{Request, Responder};
use super::requests::StreamRequest;
use super::streams::GOODBYE;
use super::wire::Wire;
use crate::mem::Key;
use crate::proto::http2::{ErrorCode, StreamId};
use crate::ring::Driver;
use crate::service::cluster::failure::Failure;
use crate::service::{CloseReason, pace};
use crate::session::context::Context;

/// How long nothing may come of a call of gRPC in either direction while its client could send
/// more: calls of streams are silent for long, and nothing else ends those of clients that have
/// gone.
const CALL_IDLE_MAX: Duration = Duration::from_secs(300);

/// How often it is looked whether requests can begin for which there was no memory.
const PARKED_LOOK: Duration = Duration::from_millis(100);

impl Http {
    /// When something must have come, or is to be done: then, or earlier.
    pub(super) fn streams_due_at(&self) -> Option<Instant> {
        let Wire::Http2(many) = &self.wire else { return None };
        let idle = self.has_no_streams().then(|| self.idle_due_at());
        let goodbye = many.leaving.filter(|_| !many.server.is_final()).map(|at| at + GOODBYE);
        let bodies = many.requests.bodies_from;
        let stalled = many.server.stalls_at(self.options.write_timeout);
        let head = many.server.partial_since().map(|since| since + self.options.head_timeout);
        let parked = many.requests.parked_at.map(|at| at + PARKED_LOOK);
        [idle, goodbye, bodies, stalled, head, parked].into_iter().flatten().min()
    }

    fn idle_due_at(&self) -> Instant {
        self.waits.progress + self.options.keepalive_timeout
    }

    /// While bodies wait for their servers, a client may not be able to send others: no time of a
    /// body runs.
    pub(super) fn excuse_bodies<D: Driver>(&mut self, context: &Context<D>) {
        let now = context.now();
        let Some(many) = self.wire.multiplexed().filter(|many| many.server.holds_up()) else {
            return;
        };
        for one in many.requests.iter_mut() {
            (one.body_progress, one.body_began) = (now, Some(now));
        }
    }

    /// Notes what is waited for with a request that was looked at, and what waits of its answer.
    pub(super) fn watch_request<D: Driver>(&mut self, context: &Context<D>, stream: StreamId) {
        let now = context.now();
        let Some(many) = self.wire.multiplexed() else { return };
        let has_body = many.server.has_body(stream);
        let is_read = many.server.is_body_read(stream);
        let Some(one) = many.requests.get_mut(stream) else { return };
        let Some(request) = &one.request else { return };
        if !is_read {
            let proxy = &context.http.proxy;
            let (is_full, answered) = match &request.responder {
                Responder::Proxy(key) => {
                    let call = proxy.get(*key).filter(|found| found.record.is_call());
                    (!proxy.takes_body(*key), call.map(|found| found.record.sent))
                }
                Responder::Handler(handled) => {
                    (!handled.takes_body(), handled.is_call().then(|| handled.sent()))
                }
                // It has times of its own.
                Responder::Socket(_) => (true, None),
                Responder::Verify(_)
                | Responder::Listing(_)
                | Responder::Encoding(_)
                | Responder::File(_)
                | Responder::Echo(_)
                | Responder::Publish(_)
                | Responder::Done => (false, None),
            };
            // Where an answer of a call goes on, so does the call.
            if answered.is_some_and(|sent| std::mem::replace(&mut one.answered, sent) != sent) {
                one.body_progress = now;
            }
            // It is not the client that the body waits for, or was not until now.
            let is_excused = is_full || has_body;
            if std::mem::replace(&mut one.is_excused, is_excused) || is_excused {
                (one.body_progress, one.body_began) = (now, Some(now));
            }
        }
        let (cost, until) = (request.encoding_cost(), request.handled_until());
        let body = self.body_due_at(context, stream);
        if let Some(many) = self.wire.multiplexed() {
            many.requests.note(stream, cost, (body, until));
        }
    }

    /// Looks at all that is waited for: what is late is looked at in this turn.
    pub(super) fn watch_all<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.end_stalled_streams(context, key);
        if let Some(many) = self.wire.multiplexed()
            && many.requests.parked_at.is_some()
        {
            many.requests.parked_at = Some(context.now());
            self.io.mark_dirty(context, key);
        }
        self.excuse_bodies(context);
        let Wire::Http2(many) = &self.wire else { return };
        let all = || many.requests.iter();
        let bodies = all().filter_map(|one| self.body_due_of(context, one)).min();
        let until = |one: &StreamRequest| one.request.as_ref()?.handled_until();
        let answers = all().filter_map(until).min();
        let is_late = answers.is_some_and(|at| at <= context.now());
        if let Wire::Http2(many) = &mut self.wire {
            (many.requests.bodies_from, many.requests.answers_from) = (bodies, answers);
            if is_late {
                many.requests.mark_all();
            }
        }
    }

    /// Whether no body and no answer may be late earlier than is thought.
    pub(super) fn is_watched<D: Driver>(&self, context: &Context<D>) -> bool {
        let Wire::Http2(many) = &self.wire else { return true };
        let is_later = |first: Option<Instant>, at| first.is_some_and(|first| first <= at);
        many.requests.iter().filter(|one| !one.is_due()).all(|one| {
            let until = one.request.as_ref().and_then(Request::handled_until);
            let body = self.body_due_of(context, one);
            body.is_none_or(|at| is_later(many.requests.bodies_from, at))
                && until.is_none_or(|at| is_later(many.requests.answers_from, at))
        })
    }

    fn body_due_at<D: Driver>(&self, context: &Context<D>, stream: StreamId) -> Option<Instant> {
        let Wire::Http2(many) = &self.wire else { return None };
        self.body_due_of(context, many.requests.get(stream)?)
    }

    /// When the next bytes of a request's body must have come.
    fn body_due_of<D: Driver>(&self, context: &Context<D>, one: &StreamRequest) -> Option<Instant> {
        let Wire::Http2(many) = &self.wire else { return None };
        let request = one.request.as_ref()?;
        // Once it is not excused any more, it is looked at, and its time begins again.
        if one.is_excused || many.server.is_body_read(one.stream) {
            return None;
        }
        if Self::asks_for_tunnel(context, request) {
            return None;
        }
        let is_wanted = match &request.responder {
            Responder::Proxy(exchange) => context.http.proxy.takes_body(*exchange),
            Responder::Echo(_) | Responder::Publish(_) => true,
            Responder::Handler(handled) => handled.takes_body(),
            Responder::File(_)
            | Responder::Verify(_)
            | Responder::Encoding(_)
            | Responder::Listing(_)
            | Responder::Socket(_)
            | Responder::Done => false,
        };
        if !is_wanted {
            return None;
        }
        let (timeout, rate) = (self.options.body_timeout, self.options.body_rate_min);
        if self.is_call(context, request) {
            return Some(one.body_progress + timeout.max(CALL_IDLE_MAX));
        }
        let began = one.body_began.unwrap_or(one.body_progress);
        let came = many.server.body_came(one.stream);
        Some(pace::due(began, one.body_progress, came, timeout, rate))
    }

    /// Whether a request is one for a tunnel, on which nothing is waited for that could be late:
    /// its exchange has a time of its own.
    fn asks_for_tunnel<D>(context: &Context<D>, request: &Request) -> bool {
        let exchange = request.exchange().and_then(|key| context.http.proxy.get(key));
        exchange.is_some_and(|exchange| exchange.is_tunnel() || exchange.holds_body())
    }

    fn is_call<D: Driver>(&self, context: &Context<D>, request: &Request) -> bool {
        let exchange = request.exchange().and_then(|key| context.http.proxy.get(key));
        let is_handled = request.handled().is_some_and(Handled::is_call);
        is_handled || exchange.is_some_and(|exchange| exchange.record.is_call())
    }

    /// Answers that their clients do not take are given up.
    fn end_stalled_streams<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let (now, timeout) = (context.now(), self.options.write_timeout);
        while let Wire::Http2(many) = &mut self.wire
            && let Some(stream) = many.server.stalled(now, timeout)
        {
            many.server.reset(stream, ErrorCode::CANCEL, &mut context.http.workspace);
            self.io.common.listener.stats.http.http2.stalled.add(1);
            self.give_stream_up(context, stream, CloseReason::SlowReader);
            // The next turn sends the reset, and counts again what waits.
            self.io.mark_dirty(context, key);
        }
    }

    /// The time of something is over.
    pub(super) fn streams_due<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let now = context.now();
        let Wire::Http2(many) = &self.wire else { return };
        if many.server.partial_since().is_some_and(|at| at + self.options.head_timeout <= now) {
            return self.close(context, key, CloseReason::HeadTimeout);
        }
        let has_left = many.leaving.is_some_and(|at| at + GOODBYE <= now);
        let is_due =
            |one: &&StreamRequest| self.body_due_of(context, one).is_some_and(|at| at <= now);
        let due = many.requests.iter().filter(is_due);
        let due: Vec<StreamId> = due.map(|one| one.stream).collect();
        if has_left && let Wire::Http2(many) = &mut self.wire {
            many.server.finish();
        }
        for stream in due {
            self.body_timed_out(context, stream);
        }
        self.watch_all(context, key);
        if self.has_no_streams() && self.idle_due_at() <= now {
            // The client is told, so that it knows that no request of it was lost.
            if let Wire::Http2(many) = &mut self.wire {
                many.server.finish();
            }
            self.end(CloseReason::IdleTimeout);
        }
        self.io.mark_dirty(context, key);
    }

    /// The body of a request has not come in time.
    fn body_timed_out<D: Driver>(&mut self, context: &mut Context<D>, stream: StreamId) {
        let reason = CloseReason::BodyTimeout;
        self.with_stream_of(context, stream, |this, context| {
            if let Some(exchange) = this.exchange()
                && context.http.proxy.get(exchange).is_some_and(|one| one.record.is_call())
            {
                // It is told like all that goes wrong with a call.
                return context.fail_exchange(exchange, Failure::ClientTimeout);
            }
            if this.handled_body_timed_out(context) {
                return;
            }
            let unanswered = this.exchange().filter(|exchange| !has_replied(context, *exchange));
            let ended = unanswered.and_then(|exchange| context.end_exchange(exchange));
            if let Some((head, mut told)) = ended {
                this.wire.refuse_body();
                this.drop_request(context);
                told.reason = Some(reason.name());
                this.answer_status(context, head, told, 408, None);
            } else {
                this.give_request_up(context, reason);
                this.reset_stream(context, ErrorCode::CANCEL);
            }
        });
    }
}
