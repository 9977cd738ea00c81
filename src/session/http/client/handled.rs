//! Requests that a handler of the program answers: what it says goes out, and the request's body
//! goes to it.

use std::time::Instant;

use super::Http;
use super::forward::time_of;
use super::request::{Request, Responder};
use super::wire::Wire;
use crate::handler::{Ending, HandlerExchange, HttpRequest, Look, Panicked, Said, Takes};
use crate::mem::{Buf, Key};
use crate::proto::http::{Fields, Known, RequestHead, ResponseHead, Version};
use crate::proto::http1::{Refusal, RequestMeta};
use crate::proto::http2::ErrorCode;
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::service::cluster::failure::Failure;
use crate::service::grpc::{self, BadMessages, Code};
use crate::service::http::compression::has_body;
use crate::service::http::interim;
use crate::service::http::record::RequestRecord;
use crate::session::context::Context;
use crate::session::http::options::{RouteAction, RouteOptions};
use crate::session::http::state::{HttpState, Output};

/// Why a handler's answer is not whole, in logs.
const FAILED: &str = "handler_failed";

/// Parts that go one way or the other for one request in one turn.
const MOVES_PER_TURN: usize = 1024;

/// A request that a handler answers.
#[derive(Debug)]
pub(in crate::session::http) struct Handled {
    head: Box<RequestHead>,
    record: RequestRecord,
    exchange: HandlerExchange,
    /// Which handler.
    place: usize,
    /// When its time is over.
    pub(super) until: Option<Instant>,
    /// The client wants nothing after this answer: the end of its sending is not that of its
    /// interest.
    pub(super) closes: bool,
    /// All of its body was given to the handler.
    is_body_given: bool,
    /// What its answer may still have.
    body: AnswerBody,
}

/// What of an answer's body may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerBody {
    /// Parts, and so many bytes if the head has said how many.
    Some(Option<u64>),
    /// Nothing: the method or the status has none.
    None,
}

/// How far a request has come.
enum Progress {
    /// Something else has to happen first.
    Waits,
    /// There may be more to do.
    Moved,
    /// The request is over.
    Over,
}

impl Handled {
    /// Whether more of the request's body is wanted.
    pub(super) const fn takes_body(&self) -> bool {
        self.exchange.takes_body()
    }

    /// What waits of it, in bytes of memory.
    pub(super) fn cost(&self) -> usize {
        self.exchange.cost()
    }

    /// Whether it is a call of gRPC.
    pub(super) fn is_call(&self) -> bool {
        self.record.is_call()
    }

    /// Bytes of its answer that have gone out.
    pub(super) const fn sent(&self) -> u64 {
        self.record.sent
    }

    /// Whether the head of its answer has gone out.
    const fn has_replied(&self) -> bool {
        self.record.status != 0
    }

    /// What is told of it, at its end. Its handler learns that it is over when this is dropped.
    pub(super) fn take_request(&mut self) -> (Box<RequestHead>, RequestRecord) {
        (std::mem::take(&mut self.head), self.record.clone())
    }
}

impl Http {
    /// Hands a request to a handler of the program.
    pub(super) fn begin_handled<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (mut head, mut told): (Box<RequestHead>, RequestRecord),
        (route, place, meta): (&RouteOptions, usize, &RequestMeta),
    ) {
        let Some(waiter) = context.http.waiting.enter(key) else {
            return self.answer_status(context, head, told, 503, None);
        };
        self.add_request_id(context, &mut head, &mut told);
        let now = context.now();
        let timeout = time_of(route, &told, &head);
        let request = HttpRequest {
            head: &head,
            route: &route.name,
            client: told.source,
            user: told.user.as_deref(),
            // A browser tells that of its own text.
            length: meta.framing.length().filter(|_| {
                !told.messages.as_ref().is_some_and(|messages| messages.changes_length())
            }),
            timeout,
        };
        let limit = context.http.proxy.budget().allowance();
        let begun = context.http.handlers.begin(place, &request, waiter, limit);
        let exchange = match begun {
            Ok(exchange) => exchange,
            Err(Panicked(_)) => {
                context.http.waiting.leave(waiter);
                told.reason = Some(FAILED);
                return self.answer_status(context, head, told, 500, None);
            }
        };
        if exchange.has_receiver() {
            let mut out = self.io.writer(&mut context.pages);
            self.wire.send_continue(&mut out);
        } else {
            self.wire.forgo_body();
        }
        let handled = Handled {
            until: timeout.and_then(|most| now.checked_add(most)),
            closes: !meta.keep_alive || head.version == Version::Http10,
            is_body_given: !exchange.has_receiver(),
            body: AnswerBody::Some(None),
            place,
            head,
            record: told,
            exchange,
        };
        let request = Request::new(Responder::Handler(Box::new(handled))).known_by(waiter);
        self.begin_answer(request);
    }

    /// Moves what can be moved between a handler and its client; true when the request is over.
    pub(super) fn proceed_handled<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
    ) -> bool {
        let until = request.handled().and_then(|handled| handled.until);
        if until.is_some_and(|until| until <= context.now()) {
            return matches!(self.end_late(context, (key, request)), Progress::Over);
        }
        let mut heads = None;
        for _ in 0..MOVES_PER_TURN {
            match self.move_handled(context, (key, request), &mut heads) {
                Progress::Waits => return false,
                Progress::Moved => {}
                Progress::Over => return true,
            }
        }
        // Others have their turn.
        self.io.common.postpone(context, key, true);
        false
    }

    fn move_handled<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        takes_heads: &mut Option<bool>,
    ) -> Progress {
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Waits };
        // It is summed over all streams, and changes only with what is written.
        let heads = takes_heads.unwrap_or_else(|| self.takes_heads(context));
        *takes_heads = Some(heads);
        let takes = Takes { parts: heads && self.wire.room() > 0, heads };
        // What is asked is answered: while answers wait for the client, no more is asked.
        let given = if takes.heads { self.give_body(handled) } else { Ok(false) };
        let moved = match given {
            Ok(false) => {
                match handled.exchange.look(context.http.proxy.budget().allowance(), takes) {
                    Look::Said(said) => {
                        *takes_heads = None;
                        return self.write_said(context, (key, request), said);
                    }
                    Look::Room => handled.exchange.give_room().map(|()| true),
                    Look::Nothing | Look::Blocked => handled.exchange.resume(),
                }
                .map_err(Flaw::Panicked)
            }
            given => given,
        };
        match moved {
            Ok(true) => Progress::Moved,
            Ok(false) => Progress::Waits,
            Err(flaw) => self.end_flawed(context, (key, request), flaw),
        }
    }

    /// The request cannot go on.
    fn end_flawed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        flaw: Flaw,
    ) -> Progress {
        match flaw {
            Flaw::Panicked(panicked) => {
                if let Responder::Handler(handled) = &request.responder {
                    context.http.handlers.failed(handled.place, &panicked);
                }
                self.fail_handled(context, (key, request), 500)
            }
            Flaw::Messages(bad) => self.end_bad_messages(context, (key, request), bad),
            Flaw::Body(refusal) => {
                tracing::debug!(id = self.io.common.id(), refusal = refusal.name(), "body refused");
                self.io.common.listener.stats.http.refuse(refusal);
                self.wire.refuse_body();
                let cut = Cut {
                    reason: refusal.name(),
                    code: Code::of_status(refusal.status()),
                    reset: ErrorCode::PROTOCOL_ERROR,
                };
                let progress = self.break_off(context, (key, request), refusal.status(), cut);
                if !self.wire.is_http2() && !self.io.is_closing() {
                    self.end(CloseReason::ProtocolError);
                }
                progress
            }
        }
    }

    /// A call cannot go on because of its messages.
    fn end_bad_messages<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        bad: BadMessages,
    ) -> Progress {
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Over };
        self.wire.refuse_body();
        handled.record.reason = Some(bad.name());
        if !handled.has_replied() {
            let (head, record) = handled.take_request();
            request.responder = Responder::Done;
            self.answer_call(context, (head, record), bad.code(), None);
            return Progress::Over;
        }
        let cut = Cut { reason: bad.name(), code: bad.code(), reset: ErrorCode::CANCEL };
        self.break_off(context, (key, request), 500, cut)
    }

    /// Gives the handler what came of the request's body: true when there was something.
    fn give_body(&mut self, handled: &mut Handled) -> Result<bool, Flaw> {
        if !handled.exchange.has_receiver() && self.wire.is_http2() {
            // Nobody takes it: it is dropped as it comes.
            while let Some(part) = self.wire.next_of_body().map_err(Flaw::Body)? {
                handled.record.received += part.len() as u64;
            }
        }
        if handled.is_body_given || !handled.takes_body() {
            return Ok(false);
        }
        if let Some(part) = self.wire.next_of_body().map_err(Flaw::Body)? {
            handled.record.received += part.len() as u64;
            let part = match &mut handled.record.messages {
                Some(messages) => messages.asked(part).map_err(Flaw::Messages)?,
                None => Some(part),
            };
            if let Some(part) = part {
                handled.exchange.receive(&part).map_err(Flaw::Panicked)?;
            }
            return Ok(true);
        }
        if !self.wire.is_body_read() {
            return Ok(false);
        }
        if let Some(messages) = &handled.record.messages {
            messages.end_asked().map_err(Flaw::Messages)?;
        }
        handled.is_body_given = true;
        let trailers = self.wire.take_trailers();
        handled.exchange.receive_end(trailers.as_deref()).map_err(Flaw::Panicked)?;
        Ok(true)
    }

    fn write_said<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        said: Said,
    ) -> Progress {
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Waits };
        match said {
            Said::Interim(head) if !interim::passes(head.status, handled.head.version) => {
                Progress::Moved
            }
            Said::Interim(mut head) => {
                let route = handled.record.route.and_then(|route| self.options.routes.get(route));
                let edits = route.map(|route| &route.response_edits);
                edits.into_iter().for_each(|edits| interim::filter(&mut head.fields, edits));
                let mut out = self.io.writer(&mut context.pages);
                handled.record.sent += self.wire.send_interim(&head, &mut out) as u64;
                Progress::Moved
            }
            Said::Whole(response, body) => {
                let responder = std::mem::replace(&mut request.responder, Responder::Done);
                let Responder::Handler(handled) = responder else { return Progress::Over };
                let Handled { head, mut record, exchange, .. } = *handled;
                context.http.handlers.recycle(exchange);
                note_status(&response.fields, &mut record);
                self.answer(context, head, record, Box::new(response), &body);
                Progress::Over
            }
            Said::CallHead => {
                self.write_call_head(context, handled);
                Progress::Moved
            }
            Said::Head(mut response, length) => {
                self.write_handled_head(context, handled, &mut response, length);
                self.end_if_whole(context, request)
            }
            Said::Part(part) => self.write_said_part(context, (key, request), part),
            Said::End(_) if matches!(handled.body, AnswerBody::Some(Some(1..))) => {
                self.fail_handled(context, (key, request), 500)
            }
            Said::End(ending) => {
                match ending {
                    Ending::None => self.end_handled(context, request, None),
                    Ending::Fields(fields) => self.end_handled(context, request, Some(&fields)),
                    Ending::CallOk => {
                        let fields = context.http.handlers.take_call_ok();
                        self.end_handled(context, request, Some(&fields));
                        context.http.handlers.give_call_ok(fields);
                    }
                }
                Progress::Over
            }
            Said::Failed { status, why } => {
                let (id, route) = (self.io.common.id(), handled.record.route);
                let route = route.and_then(|route| self.options.routes.get(route));
                let route = route.map(|route| &*route.name).unwrap_or_default();
                tracing::warn!(id, route, status, "the handler gave no answer: {why}");
                self.fail_handled(context, (key, request), status)
            }
        }
    }

    fn write_said_part<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        part: Vec<u8>,
    ) -> Progress {
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Waits };
        let left = match &mut handled.body {
            AnswerBody::None => return Progress::Moved,
            AnswerBody::Some(left) => left.as_mut(),
        };
        let len = part.len() as u64;
        if left.as_ref().is_some_and(|left| **left < len) {
            return self.fail_handled(context, (key, request), 500);
        }
        left.into_iter().for_each(|left| *left -= len);
        handled.record.sent += len;
        let part = Buf::from(part);
        let part = match &mut handled.record.messages {
            Some(messages) => messages.answered(part),
            None => Ok(part),
        };
        match part {
            Ok(part) => self.write_part(context, part),
            Err(bad) => return self.end_flawed(context, (key, request), Flaw::Messages(bad)),
        }
        self.end_if_whole(context, request)
    }

    /// Nothing follows an answer without a body, and by HTTP/1 one of known length: its client may
    /// be gone before the handler says that it was all.
    fn end_if_whole<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
    ) -> Progress {
        let Responder::Handler(handled) = &request.responder else { return Progress::Over };
        let is_whole = match handled.body {
            AnswerBody::None => true,
            AnswerBody::Some(left) => left == Some(0) && !self.wire.is_http2(),
        };
        if !is_whole {
            return Progress::Moved;
        }
        self.end_handled(context, request, None);
        Progress::Over
    }

    /// The head of an answer to a call that says nothing else: it is ready, unless more is added to
    /// it.
    fn write_call_head<D: Driver>(&mut self, context: &mut Context<D>, handled: &mut Handled) {
        let route = handled.record.route.and_then(|route| self.options.routes.get(route));
        if let Some(RouteOptions { action: RouteAction::Handler(own), response_edits, .. }) = route
            && response_edits.is_empty()
            && handled.record.messages.is_none()
        {
            context.refresh_date();
            let Context { http: HttpState { date, .. }, pages, .. } = &mut *context;
            let mut out = self.io.buffer.writer(pages, &mut self.io.stream);
            if let Some(sent) = self.wire.send_ready_head(&own.call_head, date, &mut out) {
                handled.record.status = 200;
                handled.record.sent += sent as u64;
                return;
            }
        }
        let mut response = context.http.spare_answers.take();
        response.status = 200;
        response.fields.push_known(Known::ContentType, grpc::CONTENT_TYPE);
        self.write_handled_head(context, handled, &mut response, None);
        context.http.spare_answers.give(response);
    }

    fn write_handled_head<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        handled: &mut Handled,
        response: &mut ResponseHead,
        length: Option<u64>,
    ) {
        context.refresh_date();
        let Context { http: HttpState { date, .. }, pages, .. } = context;
        let Handled { head, record, body, .. } = handled;
        let has_body = has_body(head.method, response.status);
        *body = if has_body { AnswerBody::Some(length) } else { AnswerBody::None };
        record.status = response.status;
        let output = Output { pages, date: date.text() };
        self.write_head(output, head, record, response, (length, has_body));
    }

    /// All of the handler's answer has gone out.
    fn end_handled<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
        trailers: Option<&Fields>,
    ) {
        let responder = std::mem::replace(&mut request.responder, Responder::Done);
        let Responder::Handler(handled) = responder else { return };
        let Handled { head, mut record, exchange, body, .. } = *handled;
        let has_body = body != AnswerBody::None;
        context.http.handlers.recycle(exchange);
        trailers.into_iter().for_each(|fields| note_status(fields, &mut record));
        if has_body {
            let is_told = self.wire.takes_trailers() || self.tells_status(&record);
            self.write_call_end(context, &record, trailers.filter(|_| is_told));
        }
        self.finish_request(context, head, &record);
        self.after_answer(context);
    }

    /// The handler has failed.
    fn fail_handled<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        of: (Key, &mut Request),
        status: u16,
    ) -> Progress {
        let (code, reset) = (Code::Internal, ErrorCode::INTERNAL_ERROR);
        self.break_off(context, of, status, Cut { reason: FAILED, code, reset })
    }

    /// There will be no whole answer: a status says so where nothing was said yet or something may
    /// follow, a cut otherwise.
    fn break_off<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        status: u16,
        Cut { reason, code, reset }: Cut,
    ) -> Progress {
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Over };
        handled.record.reason = Some(reason);
        if !handled.has_replied() {
            let (head, record) = handled.take_request();
            request.responder = Responder::Done;
            self.answer_status(context, head, record, status, None);
            return Progress::Over;
        }
        if self.tells_status(&handled.record) {
            let mut trailers = Fields::default();
            grpc::write_status(code, reason, &mut trailers);
            self.end_handled(context, request, Some(&trailers));
            return Progress::Over;
        }
        if !self.wire.is_http2() {
            // What is under way on a connection that closes is given up, and cut if it has begun.
            self.close(context, key, CloseReason::HandlerFailed);
            return Progress::Waits;
        }
        let (head, record) = handled.take_request();
        request.responder = Responder::Done;
        self.finish_request(context, head, &record);
        self.reset_stream(context, reset);
        Progress::Over
    }

    /// The time of the request is over.
    fn end_late<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
    ) -> Progress {
        let failure = Failure::TotalTimeout;
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Over };
        if !handled.has_replied() {
            let (head, record) = handled.take_request();
            request.responder = Responder::Done;
            self.answer_failure(context, head, record, failure);
            return Progress::Over;
        }
        let cut = Cut {
            reason: failure.name(),
            code: Code::of_failure(failure),
            reset: ErrorCode::CANCEL,
        };
        self.break_off(context, (key, request), failure.status(), cut)
    }

    /// The body of the request did not come in time; true when a handler waits for it, and has not
    /// said anything.
    pub(super) fn handled_body_timed_out<D: Driver>(&mut self, context: &mut Context<D>) -> bool {
        let waits = |request: &mut Request| request.handled().is_some_and(|one| !one.has_replied());
        let Some(mut request) = self.request.take_if(waits) else { return false };
        self.wire.refuse_body();
        request.forget(&mut context.http.waiting);
        let Responder::Handler(handled) = &mut request.responder else { return false };
        let (head, mut record) = handled.take_request();
        record.reason = Some(CloseReason::BodyTimeout.name());
        self.answer_status(context, head, record, 408, None);
        true
    }

    /// When the first of the requests is due that handlers answer.
    pub(super) fn handled_until(&self) -> Option<Instant> {
        let until = |request: &Request| request.handled()?.until;
        match &self.wire {
            Wire::Http1(_) => self.request.as_ref().and_then(until),
            Wire::Http2(many) => {
                let all = many.requests.iter().filter_map(|one| one.request.as_ref());
                all.filter_map(until).min()
            }
        }
    }
}

/// How an answer that has begun ends.
struct Cut {
    /// What logs say, and the client of a call.
    reason: &'static str,
    /// The status of a call.
    code: Code,
    /// What the stream of another request is reset with.
    reset: ErrorCode,
}

/// What went wrong with a request's body, or with messages.
enum Flaw {
    Body(Refusal),
    Messages(BadMessages),
    Panicked(Panicked),
}

/// A call of gRPC ends with the status that the program gives it.
fn note_status(fields: &Fields, record: &mut RequestRecord) {
    if record.is_call()
        && let Some(code) = grpc::status_of(fields)
    {
        record.end_call(code);
    }
}
