//! Requests that a handler of the program answers: what it says goes out, and the request's body
//! goes to it.

mod failure;

use std::time::Instant;

use self::failure::Flaw;

use super::Http;
use super::forward::time_of;
use super::request::{Request, Responder};
use super::wire::{StoppedBy, Wire};
use crate::handler::{Ending, HandlerExchange, HttpRequest, Look, Panicked, Said, Takes};
use crate::mem::{Buf, Key};
use crate::proto::http::{Fields, Known, RequestHead, ResponseHead, Version};
use crate::proto::http1::RequestMeta;
use crate::ring::Driver;
use crate::service::grpc;
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

/// What is known of a request while it is worked on.
#[derive(Debug, Default)]
struct Visit {
    /// Whether the connection takes heads, once that was asked.
    takes_heads: Option<bool>,
    /// Nothing that has come of the body can be given to the handler.
    has_given_all: bool,
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
        let Some(waiter) = context.http.waiting.enter((key, self.wire.stream())) else {
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
        if request.handled_until().is_some_and(|until| until <= context.now()) {
            return matches!(self.end_late(context, (key, request)), Progress::Over);
        }
        let mut visit = Visit::default();
        for _ in 0..MOVES_PER_TURN {
            match self.move_handled(context, (key, request), &mut visit) {
                Progress::Waits => return false,
                Progress::Moved => {}
                Progress::Over => return true,
            }
        }
        // Others have their turn.
        self.wire.note_stopped(StoppedBy::Turn);
        self.io.common.postpone(context, key, true);
        false
    }

    fn move_handled<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        visit: &mut Visit,
    ) -> Progress {
        let Responder::Handler(handled) = &mut request.responder else { return Progress::Waits };
        // It changes only with what is written.
        let heads = visit.takes_heads.unwrap_or_else(|| self.takes_heads(context));
        visit.takes_heads = Some(heads);
        let takes = Takes { parts: heads && self.wire.room() > 0, heads };
        // What is asked is answered: while answers wait for the client, no more is asked.
        let gives = takes.heads && !visit.has_given_all;
        let given = if gives { self.give_body(handled) } else { Ok(false) };
        visit.has_given_all |= gives && matches!(given, Ok(false));
        let moved = match given {
            Ok(false) => {
                match handled.exchange.look(context.http.proxy.budget().allowance(), takes) {
                    Look::Said(said) => {
                        visit.takes_heads = None;
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
            Ok(true) => {
                // The program may take more of the body now.
                visit.has_given_all = false;
                Progress::Moved
            }
            Ok(false) => Progress::Waits,
            Err(flaw) => self.end_flawed(context, (key, request), flaw),
        }
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

    /// When the first of the requests is due that handlers answer; with HTTP/2 perhaps earlier.
    pub(super) fn handled_until(&self) -> Option<Instant> {
        match &self.wire {
            Wire::Http1(_) => self.request.as_ref().and_then(Request::handled_until),
            Wire::Http2(many) => many.requests.answers_from,
        }
    }
}

/// A call of gRPC ends with the status that the program gives it.
fn note_status(fields: &Fields, record: &mut RequestRecord) {
    if record.is_call()
        && let Some(code) = grpc::status_of(fields)
    {
        record.end_call(code);
    }
}
