//! What is waited for on a connection of HTTP/2, beside what every connection waits for.

use std::time::{Duration, Instant};

use super::Http;
use super::answer::has_replied;
use super::handled::Handled;
use super::request::{Request, Responder};
use super::streams::GOODBYE;
use super::wire::{StreamRequest, Wire};
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

impl Http {
    /// When something must have come, or is to be done.
    pub(super) fn streams_due_at<D: Driver>(&self, context: &Context<D>) -> Option<Instant> {
        let Wire::Http2(many) = &self.wire else { return None };
        let idle = self.has_no_streams().then(|| self.idle_due_at());
        let goodbye = many.leaving.filter(|_| !many.server.is_final()).map(|at| at + GOODBYE);
        let bodies = many.requests.iter().filter_map(|one| self.body_due_at(context, one)).min();
        let stalled = many.server.stalls_at(self.options.write_timeout);
        let head = many.server.partial_since().map(|since| since + self.options.head_timeout);
        [idle, goodbye, bodies, stalled, head].into_iter().flatten().min()
    }

    fn idle_due_at(&self) -> Instant {
        self.waits.progress + self.options.keepalive_timeout
    }

    /// Where it is not the client that a request's body waits for, its time begins anew; where an
    /// answer of a call goes on, so does the call.
    pub(super) fn excuse_bodies<D: Driver>(&mut self, context: &Context<D>) {
        let now = context.now();
        let Wire::Http2(many) = &mut self.wire else { return };
        let holds_up = many.server.holds_up();
        for one in &mut many.requests {
            if many.server.is_body_read(one.stream) {
                continue;
            }
            let exchange = one.request.as_ref().and_then(|request| request.exchange());
            let exchange = exchange.map(|key| (key, context.http.proxy.get(key)));
            let is_full = exchange.is_some_and(|(key, _)| !context.http.proxy.takes_body(key));
            let handled = one.request.as_ref().and_then(Request::handled);
            let is_full = is_full || handled.is_some_and(|handled| !handled.takes_body());
            if let Some(handled) = handled.filter(|handled| handled.is_call())
                && std::mem::replace(&mut one.answered, handled.sent()) != handled.sent()
            {
                one.body_progress = now;
            }
            if let Some((_, Some(found))) = exchange
                && std::mem::replace(&mut one.answered, found.record.sent) != found.record.sent
                && found.record.is_call()
            {
                one.body_progress = now;
            }
            if is_full || holds_up || many.server.has_body(one.stream) {
                one.body_progress = now;
                one.body_began = Some(now);
            }
        }
    }

    /// When the next bytes of a request's body must have come.
    fn body_due_at<D: Driver>(&self, context: &Context<D>, one: &StreamRequest) -> Option<Instant> {
        let Wire::Http2(many) = &self.wire else { return None };
        let request = one.request.as_ref()?;
        if many.server.is_body_read(one.stream) || many.server.has_body(one.stream) {
            return None;
        }
        let is_wanted = match &request.responder {
            Responder::Proxy(exchange) => context.http.proxy.takes_body(*exchange),
            Responder::Echo(_) => true,
            Responder::Handler(handled) => handled.takes_body(),
            Responder::File(_)
            | Responder::Verify(_)
            | Responder::Encoding(_)
            | Responder::Listing(_)
            | Responder::Done => false,
        };
        // While others of its bodies wait for their servers, it may not be able to send this one.
        if !is_wanted || many.server.holds_up() {
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

    fn is_call<D: Driver>(&self, context: &Context<D>, request: &Request) -> bool {
        let exchange = request.exchange().and_then(|key| context.http.proxy.get(key));
        let is_handled = request.handled().is_some_and(Handled::is_call);
        is_handled || exchange.is_some_and(|exchange| exchange.record.is_call())
    }

    /// Answers that their clients do not take are given up.
    pub(super) fn end_stalled_streams<D: Driver>(&mut self, context: &mut Context<D>) {
        let (now, timeout) = (context.now(), self.options.write_timeout);
        while let Wire::Http2(many) = &mut self.wire
            && let Some(stream) = many.server.stalled(now, timeout)
        {
            many.server.reset(stream, ErrorCode::CANCEL, &mut context.http.workspace);
            self.io.common.listener.stats.http.http2.stalled.add(1);
            self.give_stream_up(context, stream, CloseReason::SlowReader);
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
        let due: Vec<StreamId> = many
            .requests
            .iter()
            .filter(|one| self.body_due_at(context, one).is_some_and(|at| at <= now))
            .map(|one| one.stream)
            .collect();
        if has_left && let Wire::Http2(many) = &mut self.wire {
            many.server.finish();
        }
        for stream in due {
            self.body_timed_out(context, stream);
        }
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
