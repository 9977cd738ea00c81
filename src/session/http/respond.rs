//! The answers of servers on their way to a client, and bodies on their way to servers.

use super::client::Http;
use super::encode::{Encoding, signed};
use super::options::RouteOptions;
use super::state::{HttpState, Output};
use crate::mem::{Buf, Key};
use crate::proto::http::{Fields, ResponseHead, status};
use crate::proto::http1::write::{self, Connection, Delimit};
use crate::proto::http1::{BodyReader, Framing, write_part};
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::service::cluster::failure::Failure;
use crate::service::http::body::WAITING_MAX;
use crate::service::http::compression::{Fate, has_body, whole_of};
use crate::service::http::files::coding::mark_trailers;
use crate::service::http::forwarded::VIA;
use crate::service::http::trailers::{self, TrailerRules};
use crate::service::proxy::http::{Exchange, Reply};
use crate::session::context::Context;

impl Http {
    /// A part of an answer's body, framed as the present answer is.
    pub(super) fn write_part<D: Driver>(&mut self, context: &mut Context<D>, part: Buf) {
        let is_chunked = self.framing == Framing::Chunked;
        let mut out = self.outlet.writer(&mut context.pages, &mut self.stream);
        write_part(&mut out, part, is_chunked);
    }

    /// Moves what can be moved of an exchange; true when it is over.
    pub(super) fn proceed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) -> bool {
        if let Err(refusal) = self.pass_body(context, exchange) {
            tracing::debug!(id = self.common.id(), refusal = refusal.name(), "body refused");
            return self.refuse_body(context, exchange, refusal);
        }
        self.write_interim(context, exchange);
        let reply = context.http.proxy.get_mut(exchange).map(Exchange::take_reply);
        match reply.unwrap_or(Reply::Nothing) {
            Reply::Nothing => {}
            Reply::Failed(failure) => {
                let Some((head, mut told)) = context.end_exchange(exchange) else { return true };
                if told.status != 0 {
                    // The answer has begun: only a cut tells that it is not whole.
                    told.reason = Some(failure.name());
                    self.finish_request(context, head, &told);
                    self.phase = super::client::Phase::Head;
                    self.close(context, key, CloseReason::UpstreamReset);
                    return false;
                }
                self.answer_failure(context, head, told, failure);
                return true;
            }
            Reply::Head => self.write_reply(context, exchange),
            Reply::Upgrade => return false,
        }
        let has_replied = context.http.proxy.get(exchange).is_some_and(Exchange::has_replied);
        if !has_replied || !self.has_room() {
            return false;
        }
        let is_behind = |encoding: &Encoding| encoding.waiting() >= WAITING_MAX;
        let mut has_taken = false;
        while !self.encoding.as_deref().is_some_and(is_behind)
            && let Some(part) =
                context.http.proxy.get_mut(exchange).and_then(Exchange::take_answer_part)
        {
            if self.encoding.is_some() {
                self.recoded -= signed(part.len());
                self.encode(context, key, part);
            } else {
                self.write_part(context, part);
            }
            has_taken = true;
        }
        if has_taken {
            context.http.proxy.answer_taken(exchange);
        }
        let is_over = |one: &Exchange| one.answer.body.is_done();
        if !context.http.proxy.get(exchange).is_some_and(is_over) {
            return false;
        }
        match self.end_encoding(context, key) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(()) => {
                context.fail_exchange(exchange, Failure::Resources);
                return true;
            }
        }
        self.end_reply(context, exchange);
        true
    }

    /// The interim answers that have come. They go out whether or not the client takes them for
    /// now: there is a limit of what may come.
    pub(super) fn write_interim<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let Context { http: HttpState { proxy, spare_answers, .. }, pages, .. } = context;
        let Some(exchange) = proxy.get_mut(key) else { return };
        if exchange.answer.interim.is_empty() {
            return;
        }
        let out = self.outlet.bytes(pages);
        let before = out.len();
        let (framing, length, connection) = (Framing::None, None, Connection::Persist);
        let delimit = Delimit { framing, length, connection };
        for mut head in exchange.answer.interim.drain(..) {
            head.fields.push(b"via", VIA);
            write::response(&head, status::reason(head.status), delimit, out);
            spare_answers.give(head);
        }
        exchange.record.sent += (out.len() - before) as u64;
    }

    /// The head of a server's answer.
    fn write_reply<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        context.refresh_date();
        let Some(exchange) = context.http.proxy.get_mut(key) else { return };
        let Some(mut response) = exchange.answer.head.take() else { return };
        let fate = self.compress(context, key, &mut response);
        let Context { http, pages, .. } = context;
        let HttpState { proxy, date, spare_answers, .. } = http;
        self.is_recoded = matches!(fate, Fate::Encodes(_));
        let Some(exchange) = proxy.get_mut(key) else { return };
        let Exchange { request, record: told, answer, .. } = exchange;
        let (head, length) = (&*request.head, &mut answer.length);
        *length = fate.length(response.status, *length);
        let has_body = has_body(head.method, response.status);
        self.framing = match *length {
            _ if !has_body => Framing::None,
            length => write::framing_for(head.version, length),
        };
        self.keep_alive &= self.framing != Framing::UntilClose;
        let length = if response.status == 204 { None } else { *length };
        let framing = self.framing;
        told.status = response.status;
        let output = Output { pages, date: date.text() };
        self.write_head(output, head, told, &mut response, framing, length);
        spare_answers.give(response);
    }

    /// What compression makes of a server's answer, which tells it.
    fn compress<D: Driver>(
        &mut self,
        context: &Context<D>,
        key: Key,
        response: &mut ResponseHead,
    ) -> Fate {
        let Some(exchange) = context.http.proxy.get(key) else { return Fate::Stays };
        let Exchange { request, record: told, answer, .. } = exchange;
        let (head, length) = (&request.head, &answer.length);
        let route = told.route.and_then(|route| self.options.routes.get(route));
        let rules = route.and_then(|route| route.compression.as_ref());
        let Some(rules) = rules else { return Fate::Stays };
        let mut fate = rules.decide(head, response, whole_of(response, *length));
        if let Fate::Encodes(coding) = fate
            && has_body(head.method, response.status)
            && !self.begin_encoding(context, coding, *length)
        {
            fate = fate.refused();
        }
        fate.apply(response);
        fate
    }

    /// All of a server's answer has gone out.
    fn end_reply<D: Driver>(&mut self, context: &mut Context<D>, exchange: Key) {
        if self.framing == Framing::Chunked {
            let one = context.http.proxy.get_mut(exchange);
            let mut trailers = one.and_then(|one| one.answer.body.take_trailers());
            let is_recoded = std::mem::take(&mut self.is_recoded);
            trailers.as_deref_mut().filter(|_| is_recoded).into_iter().for_each(mark_trailers);
            if let Some(trailers) = &mut trailers {
                let route = self.route_of(context, exchange);
                let edits = route.map(|route| &route.response_edits);
                let request_id = self.options.request_id.as_deref();
                trailers::filter(trailers, TrailerRules { edits, request_id, underscores: true });
            }
            let out = self.outlet.bytes(&mut context.pages);
            write::last_chunk(trailers.as_deref(), out);
        }
        if let Some((head, told)) = context.end_exchange(exchange) {
            self.finish_request(context, head, &told);
        }
        self.after_answer(context);
    }

    /// Passes on what came of the request's body.
    fn pass_body<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        exchange: Key,
    ) -> Result<(), crate::proto::http1::Refusal> {
        if self.body.as_ref().is_none_or(BodyReader::is_done) {
            return Ok(());
        }
        while context.http.proxy.takes_body(exchange) {
            let Some(part) = self.next_of_body()? else { break };
            context.http.proxy.push_body(exchange, part);
        }
        if self.body.as_ref().is_none_or(BodyReader::is_done) {
            let mut trailers = self.trailers.take();
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
        context.listener_stats(self.common.listener).http.fields_dropped.add(dropped.into());
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
        exchange: Key,
        refusal: crate::proto::http1::Refusal,
    ) -> bool {
        let Some((head, mut told)) = context.end_exchange(exchange) else { return true };
        context.listener_stats(self.common.listener).http.refuse(refusal);
        told.reason = Some(refusal.name());
        self.keep_alive = false;
        self.awaits_continue = false;
        if told.status == 0 {
            self.answer_status(context, head, told, refusal.status(), None);
        } else {
            self.finish_request(context, head, &told);
        }
        self.end(CloseReason::ProtocolError);
        false
    }

    /// The answer that has begun cannot be ended in order.
    pub(super) fn end_broken<D: Driver>(&mut self, context: &mut Context<D>) {
        if let Some(told) = self.told.take() {
            let (head, told) = *told;
            self.finish_request(context, head, &told);
        }
        self.end(CloseReason::ProtocolError);
    }
}
