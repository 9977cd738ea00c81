//! The answers of servers on their way to a client, and bodies on their way to servers.

use super::Http;
use super::answer::has_replied;
use super::encode::{Encoding, begin_encoding, signed};
use super::request::{Request, Responder};
use crate::mem::{Buf, Key};
use crate::proto::http::{Fields, Known, RequestHead, ResponseHead};
use crate::proto::http1::Refusal;
use crate::proto::http2::ErrorCode;
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::service::cluster::failure::Failure;
use crate::service::grpc::{self, BadMessages, Code};
use crate::service::http::compression::{Fate, has_body, whole_of};
use crate::service::http::files::coding::mark_trailers;
use crate::service::http::forwarded::VIA;
use crate::service::http::interim;
use crate::service::http::record::RequestRecord;
use crate::service::http::trailers::{self, TrailerRules};
use crate::service::proxy::http::{Exchange, Reply};
use crate::session::context::Context;
use crate::session::http::options::RouteOptions;
use crate::session::http::state::{HttpState, Output};

/// Why a request's body cannot be passed on.
enum BadBody {
    Refused(Refusal),
    Messages(BadMessages),
}

impl Http {
    /// A part of an answer's body, framed as the present answer is.
    pub(in crate::session::http) fn write_part<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        part: Buf,
    ) {
        let mut out = self.io.writer(&mut context.pages);
        self.wire.send_part(part, &mut out);
    }

    /// The end of an answer's body.
    pub(in crate::session::http) fn write_end<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        trailers: Option<&Fields>,
    ) {
        let mut out = self.io.writer(&mut context.pages);
        self.wire.send_end(trailers, &mut out);
    }

    /// Moves what can be moved of an exchange; true when it is over.
    pub(in crate::session::http) fn proceed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        exchange: Key,
    ) -> bool {
        if let Err(bad) = self.pass_body(context, exchange) {
            return self.end_bad_body(context, (key, request), exchange, bad);
        }
        self.write_interim(context, exchange);
        let reply = context.http.proxy.get_mut(exchange).map(Exchange::take_reply);
        match reply.unwrap_or(Reply::Nothing) {
            Reply::Nothing => {}
            Reply::Failed(failure) => {
                return self.fail_reply(context, key, request, (exchange, failure));
            }
            Reply::Head => self.write_reply(context, request, exchange),
            Reply::Upgrade => return false,
            Reply::Tunnel => return self.begin_tunnel(context, key, request, exchange),
        }
        if !has_replied(context, exchange) {
            return false;
        }
        // What came while a thread had the compressor is compressed first: where it is as much as
        // may wait, nothing else would go on.
        self.pump_encoding(context, key, request);
        let allowed = context.http.proxy.budget().allowance();
        let is_behind = |encoding: &Encoding| encoding.waiting() >= allowed;
        let mut has_taken = false;
        while self.has_room(context)
            && !request.encoding.as_deref().is_some_and(is_behind)
            && let Some(part) =
                context.http.proxy.get_mut(exchange).and_then(Exchange::take_answer_part)
        {
            if request.encoding.is_some() {
                request.recoded -= signed(part.len());
                self.encode(context, key, request, part);
            } else {
                let part = match self.translated(context, exchange, part) {
                    Ok(part) => part,
                    Err(bad) => {
                        return self.refuse_messages(context, (key, request), exchange, bad);
                    }
                };
                self.write_part(context, part);
            }
            has_taken = true;
        }
        if has_taken {
            context.http.proxy.answer_taken(exchange);
            self.count_written(context, Some(exchange), request.encoding_cost());
        }
        self.end_if_over(context, key, request, exchange)
    }

    /// Ends an exchange of which all is passed on; true when it is over.
    fn end_if_over<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        exchange: Key,
    ) -> bool {
        match context.http.proxy.get(exchange) {
            Some(one) if one.is_over() => {}
            one => {
                if one.is_some_and(Exchange::is_tunnel) {
                    self.count_inspected(context, exchange);
                    self.say_tunnel_end(context, key, request, exchange);
                }
                return false;
            }
        }
        match self.end_encoding(context, key, request) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(()) => {
                context.fail_exchange(exchange, Failure::Resources);
                return true;
            }
        }
        self.end_reply(context, request, exchange);
        true
    }

    /// There will be no answer, or no more of it; true when the request is over.
    fn fail_reply<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
        (exchange, failure): (Key, Failure),
    ) -> bool {
        let Some((head, mut told)) = context.end_exchange(exchange) else { return true };
        told.reason = Some(failure.name());
        let is_told = self.tells_status(&told) && request.encoding.is_none();
        if told.status != 0 && is_told {
            // The client of a call is told why it gets no more.
            self.end_call(context, request, (head, told), Code::of_failure(failure));
            return true;
        }
        if told.status != 0 {
            // The answer has begun: only a cut tells that it is not whole.
            let is_tunnel = told.is_told;
            self.finish_request(context, head, &request.settled(told));
            request.responder = Responder::Done;
            if self.wire.is_http2() {
                // A tunnel is cut so (RFC 8441, section 5).
                let code = if is_tunnel { ErrorCode::CANCEL } else { ErrorCode::INTERNAL_ERROR };
                self.reset_stream(context, code);
                return true;
            }
            let is_idle = is_tunnel && failure == Failure::IdleTimeout;
            let reason =
                if is_idle { CloseReason::IdleTimeout } else { CloseReason::UpstreamReset };
            self.close(context, key, reason);
            if is_tunnel {
                self.io.stream.reset_on_close(&mut context.reactor);
            }
            return false;
        }
        self.answer_failure(context, head, told, failure);
        true
    }

    /// The request's body cannot be passed on; true when the request is over.
    fn end_bad_body<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        exchange: Key,
        bad: BadBody,
    ) -> bool {
        match bad {
            BadBody::Refused(refusal) => {
                tracing::debug!(id = self.io.common.id(), refusal = refusal.name(), "body refused");
                self.refuse_body(context, request, exchange, refusal)
            }
            BadBody::Messages(bad) => self.refuse_messages(context, (key, request), exchange, bad),
        }
    }

    /// Whether a status can be told behind a part of an answer.
    pub(super) fn tells_status(&self, told: &RequestRecord) -> bool {
        let is_web = told.messages.as_ref().is_some_and(|messages| messages.answers_browser());
        told.is_call() && (self.wire.is_http2() || is_web)
    }

    /// A call whose answer has begun ends with a status of ours; `told` has the reason.
    pub(super) fn end_call<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
        (head, mut told): (Box<RequestHead>, RequestRecord),
        code: Code,
    ) {
        let mut trailers = Fields::default();
        grpc::write_status(code, told.reason.unwrap_or_else(|| code.name()), &mut trailers);
        self.write_call_end(context, &told, Some(&trailers));
        told.end_call(code);
        self.finish_request(context, head, &request.settled(told));
        request.responder = Responder::Done;
        self.after_answer(context);
    }

    /// The end of an answer's body, with what comes behind it: for browsers, that is a part of it.
    pub(super) fn write_call_end<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        told: &RequestRecord,
        trailers: Option<&Fields>,
    ) {
        let messages = told.messages.as_ref().filter(|_| told.is_call());
        let last = trailers.and_then(|trailers| messages.and_then(|one| one.trailers(trailers)));
        match last {
            Some(last) => {
                self.write_part(context, last);
                self.write_end(context, None);
            }
            None => self.write_end(context, trailers),
        }
    }

    /// A part of an answer's body, as its client gets it.
    fn translated<D: Driver>(
        &self,
        context: &mut Context<D>,
        exchange: Key,
        part: Buf,
    ) -> Result<Buf, BadMessages> {
        let one = context.http.proxy.get_mut(exchange);
        match one.and_then(|one| one.record.messages.as_mut()) {
            Some(messages) => messages.answered(part),
            None => Ok(part),
        }
    }

    /// A call cannot go on because of its messages; true when the request is over.
    fn refuse_messages<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, request): (Key, &mut Request),
        exchange: Key,
        bad: BadMessages,
    ) -> bool {
        let Some((head, mut told)) = context.end_exchange(exchange) else { return true };
        tracing::debug!(id = self.io.common.id(), bad = bad.name(), "call ended");
        self.wire.refuse_body();
        told.reason = Some(bad.name());
        if told.status == 0 {
            request.responder = Responder::Done;
            self.answer_call(context, (head, told), bad.code(), None);
            return true;
        }
        if self.tells_status(&told) {
            self.end_call(context, request, (head, told), bad.code());
            return true;
        }
        self.finish_request(context, head, &request.settled(told));
        request.responder = Responder::Done;
        self.close(context, key, CloseReason::ProtocolError);
        false
    }

    /// The interim answers that have come. They go out whether or not the client takes them for
    /// now: there is a limit of what may come.
    pub(in crate::session::http) fn write_interim<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
    ) {
        let Context { http: HttpState { proxy, spare_answers, .. }, pages, .. } = context;
        let Some(exchange) = proxy.get_mut(key) else { return };
        if exchange.answer.interim.is_empty() {
            return;
        }
        let route = exchange.record.route.and_then(|route| self.options.routes.get(route));
        let edits = route.map(|route| &route.response_edits);
        let mut out = self.io.buffer.writer(pages, &mut self.io.stream);
        for mut head in exchange.answer.interim.drain(..) {
            edits.into_iter().for_each(|edits| interim::filter(&mut head.fields, edits));
            head.fields.push_known(Known::Via, VIA);
            exchange.record.sent += self.wire.send_interim(&head, &mut out) as u64;
            spare_answers.give(head);
        }
    }

    /// The head of a server's answer.
    fn write_reply<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
        key: Key,
    ) {
        context.refresh_date();
        let Some(exchange) = context.http.proxy.get_mut(key) else { return };
        let Some(mut response) = exchange.answer.head.take() else { return };
        let fate = self.compress(context, request, key, &mut response);
        let Context { http, pages, .. } = context;
        let HttpState { proxy, date, spare_answers, .. } = http;
        request.is_recoded = matches!(fate, Fate::Encodes(_));
        let Some(exchange) = proxy.get_mut(key) else { return };
        let Exchange { request: asked, record: told, answer, .. } = exchange;
        let (head, length) = (&*asked.head, &mut answer.length);
        *length = fate.length(response.status, *length);
        let has_body = has_body(head.method, response.status);
        if told.messages.as_ref().is_some_and(|one| one.translates(&response.fields))
            && *length != Some(0)
        {
            // The trailers become a part of it.
            *length = None;
        }
        let length = *length;
        told.status = response.status;
        let output = Output { pages, date: date.text() };
        self.write_head(output, head, told, &mut response, (length, has_body));
        spare_answers.give(response);
    }

    /// What compression makes of a server's answer, which tells it.
    fn compress<D: Driver>(
        &mut self,
        context: &Context<D>,
        request: &mut Request,
        key: Key,
        response: &mut ResponseHead,
    ) -> Fate {
        let Some(exchange) = context.http.proxy.get(key) else { return Fate::Stays };
        let Exchange { request: asked, record: told, answer, .. } = exchange;
        let (head, length) = (&asked.head, &answer.length);
        let route = told.route.and_then(|route| self.options.routes.get(route));
        let rules = route.and_then(|route| route.compression.as_ref());
        // Messages of calls are compressed by those who send them, if at all.
        let Some(rules) = rules.filter(|_| !told.is_call()) else { return Fate::Stays };
        let mut fate = rules.decide(head, response, whole_of(response, *length));
        if let Fate::Encodes(coding) = fate
            && has_body(head.method, response.status)
            && !begin_encoding(context, request, coding, *length)
        {
            fate = fate.refused();
        }
        fate.apply(response);
        fate
    }

    /// All of a server's answer has gone out.
    fn end_reply<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
        exchange: Key,
    ) {
        let is_web =
            |one: &Exchange| one.record.messages.as_ref().is_some_and(|one| one.answers_browser());
        let is_web = context.http.proxy.get(exchange).is_some_and(is_web);
        if self.wire.takes_trailers() || is_web {
            let one = context.http.proxy.get_mut(exchange);
            let mut trailers = one.and_then(|one| one.answer.body.take_trailers());
            let is_recoded = request.is_recoded;
            trailers.as_deref_mut().filter(|_| is_recoded).into_iter().for_each(mark_trailers);
            if let Some(trailers) = &mut trailers {
                let route = self.route_of(context, exchange);
                let edits = route.map(|route| &route.response_edits);
                let request_id = self.options.request_id.as_deref();
                trailers::filter(trailers, TrailerRules { edits, request_id, underscores: true });
            }
            match context.end_exchange(exchange) {
                Some((head, told)) => {
                    self.write_call_end(context, &told, trailers.as_deref());
                    self.finish_request(context, head, &request.settled(told));
                }
                None => self.write_end(context, trailers.as_deref()),
            }
        } else if let Some((head, told)) = context.end_exchange(exchange) {
            self.finish_request(context, head, &request.settled(told));
        }
        request.responder = Responder::Done;
        self.after_answer(context);
    }

    /// Passes on what came of the request's body.
    fn pass_body<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        exchange: Key,
    ) -> Result<(), BadBody> {
        // Its end may come when all of it was passed on before: in a frame of its own, or in
        // trailers.
        if context.http.proxy.get(exchange).is_none_or(|one| one.request.body.has_ended()) {
            return Ok(());
        }
        let now = context.now();
        while context.http.proxy.takes_body(exchange) {
            let Some(part) = self.wire.next_of_body().map_err(BadBody::Refused)? else { break };
            let one = context.http.proxy.get_mut(exchange);
            let part = match one.and_then(|one| one.record.messages.as_mut()) {
                Some(messages) => messages.asked(part).map_err(BadBody::Messages)?,
                None => Some(part),
            };
            part.into_iter().for_each(|part| context.http.proxy.push_body(exchange, part, now));
        }
        if self.wire.is_body_read() {
            let one = context.http.proxy.get(exchange);
            if let Some(messages) = one.and_then(|one| one.record.messages.as_ref()) {
                messages.end_asked().map_err(BadBody::Messages)?;
            }
            let mut trailers = self.wire.take_trailers();
            if let Some(trailers) = &mut trailers {
                self.filter_request_trailers(context, exchange, trailers);
            }
            context.http.proxy.end_body(exchange, trailers);
        }
        Ok(())
    }

    /// Drops what is not passed on of a request's trailers.
    fn filter_request_trailers<D: Driver>(
        &self,
        context: &Context<D>,
        exchange: Key,
        trailers: &mut Fields,
    ) {
        let route = self.route_of(context, exchange);
        let dropped = trailers::filter(
            trailers,
            TrailerRules {
                edits: route.map(|route| &route.request_edits),
                request_id: self.options.request_id.as_deref(),
                underscores: self.options.limits.underscores,
            },
        );
        self.io.common.listener.stats.http.fields_dropped.add(dropped.into());
    }

    /// The route of an exchange.
    fn route_of<D>(&self, context: &Context<D>, exchange: Key) -> Option<&RouteOptions> {
        let exchange = context.http.proxy.get(exchange)?;
        self.options.routes.get(exchange.record.route?)
    }

    /// The request's body breaks a rule while its answer is under way.
    fn refuse_body<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
        exchange: Key,
        refusal: Refusal,
    ) -> bool {
        let Some((head, mut told)) = context.end_exchange(exchange) else { return true };
        self.io.common.listener.stats.http.refuse(refusal);
        told.reason = Some(refusal.name());
        self.wire.refuse_body();
        if told.status == 0 {
            self.answer_status(context, head, told, refusal.status(), None);
        } else if self.tells_status(&told) {
            self.end_call(context, request, (head, told), Code::of_status(refusal.status()));
        } else {
            self.finish_request(context, head, &request.settled(told));
            self.reset_stream(context, ErrorCode::PROTOCOL_ERROR);
        }
        if self.wire.is_http2() {
            return true;
        }
        self.end(CloseReason::ProtocolError);
        false
    }

    /// The answer that has begun cannot be ended in order.
    pub(in crate::session::http) fn end_broken<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
    ) {
        self.finish_asked(context, request);
        if self.wire.is_http2() {
            self.reset_stream(context, ErrorCode::INTERNAL_ERROR);
        } else {
            self.end(CloseReason::ProtocolError);
        }
    }

    /// A request is over whose head its responder has.
    pub(in crate::session::http) fn finish_asked<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
    ) {
        match std::mem::replace(&mut request.responder, Responder::Done) {
            Responder::Listing(asked) | Responder::Encoding(asked) | Responder::Echo(asked) => {
                let (head, record) = *asked;
                self.finish_request(context, head, &request.settled(record));
            }
            Responder::Proxy(_)
            | Responder::Verify(_)
            | Responder::File(_)
            | Responder::Handler(_)
            | Responder::Socket(_)
            | Responder::Publish(_)
            | Responder::Done => {}
        }
    }
}
