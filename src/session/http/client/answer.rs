//! Answers of our own: fixed ones, redirects, refusals, and what failed.

use std::sync::Arc;

use super::forward::write_id;
use super::request::{Request, Responder};
use super::vars::Vars;
use super::wire::Wire;
use super::{Http, Phase};
use crate::mem::Key;
use crate::proto::http::{Known, Method, RequestHead, ResponseHead};
use crate::proto::http1::{Discarded, Framing, Offence, Refusal};
use crate::proto::http2::Whole;
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::service::cluster::failure::Failure;
use crate::service::grpc::{self, Code};
use crate::service::http::compression::has_body;
use crate::service::http::max_forwards::{self, Forwards};
use crate::service::http::page::{self, write_page};
use crate::service::http::record::RequestRecord;
use crate::service::http::template::Template;
use crate::service::http::websocket_page;
use crate::service::proxy::http::Exchange;
use crate::session::context::Context;
use crate::session::http::options::{FixedAnswer, RouteOptions};
use crate::session::http::state::Output;

/// The field that says which failure an answer stands for.
const REASON_FIELD: &[u8] = b"x-ringway-reason";

/// A request that was refused, or did not come in time.
#[derive(Debug, Default)]
pub(in crate::session::http) struct Came {
    /// So many bytes of it came.
    received: usize,
    /// What an access log tells of it.
    offence: Option<Box<Offence>>,
}

impl Came {
    /// So many bytes came of a head that is no text.
    pub(in crate::session::http) const fn of_length(received: usize) -> Self {
        Self { received, offence: None }
    }

    pub(in crate::session::http) fn new(
        bytes: &[u8],
        rule: Option<Refusal>,
        is_logged: bool,
    ) -> Self {
        let offence = is_logged.then(|| Box::new(Offence::of(bytes, rule)));
        Self { received: bytes.len(), offence }
    }
}

/// Whether the head of a server's answer went to the client.
pub(super) fn has_replied<D>(context: &Context<D>, exchange: Key) -> bool {
    context.http.proxy.get(exchange).is_some_and(Exchange::has_replied)
}

impl Http {
    /// The same answer as always.
    pub(in crate::session::http) fn answer_fixed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        mut told: RequestRecord,
        route: &RouteOptions,
        answer: &FixedAnswer,
    ) {
        if !route.response_edits.is_empty() {
            let mut response = context.http.spare_answers.take();
            response.status = answer.status;
            response.fields.push_known(Known::ContentType, answer.content_type.as_bytes());
            let body = Whole::Text(&answer.body);
            return self.answer_whole(context, (head, told), response, body);
        }
        context.refresh_date();
        let has_body = head.method != Method::Head;
        let Context { http, pages, .. } = context;
        let mut out = self.io.buffer.writer(pages, &mut self.io.stream);
        told.sent = self.wire.send_ready(answer, &http.date, has_body, &mut out) as u64;
        told.status = answer.status;
        self.finish_request(context, head, &told);
        self.after_answer(context);
    }

    /// An answer of our own, whose body is all there.
    pub(in crate::session::http) fn answer<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: RequestRecord,
        response: Box<ResponseHead>,
        body: &[u8],
    ) {
        self.answer_whole(context, (head, told), response, Whole::Bytes(body));
    }

    fn answer_whole<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (head, mut told): (Box<RequestHead>, RequestRecord),
        mut response: Box<ResponseHead>,
        body: Whole<'_>,
    ) {
        self.wire.forgo_body();
        told.status = response.status;
        let has_body = has_body(head.method, response.status);
        let len = body.bytes().len() as u64;
        let body_of = (Some(len), has_body);
        context.refresh_date();
        let Context { http, pages, .. } = context;
        let output = Output { pages, date: http.date.text() };
        self.write_head(output, &head, &mut told, &mut response, body_of);
        if has_body {
            let mut out = self.io.buffer.writer(pages, &mut self.io.stream);
            self.wire.send_whole(body, &mut out);
            told.sent += len;
        }
        context.http.spare_answers.give(response);
        self.finish_request(context, head, &told);
        self.after_answer(context);
    }

    /// Writes the head of an answer.
    pub(in crate::session::http) fn write_head(
        &mut self,
        output: Output<'_>,
        head: &RequestHead,
        told: &mut RequestRecord,
        response: &mut ResponseHead,
        (length, has_body): (Option<u64>, bool),
    ) {
        told.messages.iter_mut().for_each(|messages| messages.answer_head(&mut response.fields));
        self.complete_head(output.date, head, told, response);
        let mut out = self.io.writer(output.pages);
        told.sent += self.wire.send_head(response, length, has_body, &mut out) as u64;
    }

    /// Adds what every answer has to the head of one.
    pub(super) fn complete_head(
        &self,
        date: &[u8],
        head: &RequestHead,
        told: &RequestRecord,
        response: &mut ResponseHead,
    ) {
        let options = &self.options;
        if let Some(server) = &options.server
            && !response.fields.has(Known::Server)
        {
            response.fields.push_known(Known::Server, server.as_bytes());
        }
        if !response.fields.has(Known::Date) {
            response.fields.push_known(Known::Date, date);
        }
        if let Some(name) = &options.request_id
            && let Some(id) = head.fields.get_named(name.as_bytes())
            && response.fields.get_named(name.as_bytes()).is_none()
        {
            response.fields.push(name.as_bytes(), id);
        }
        if let Some(route) = told.route.and_then(|route| options.routes.get(route))
            && !route.response_edits.is_empty()
        {
            let vars = Vars::new(options, self.client.as_deref(), head, told);
            route.response_edits.apply(&mut response.fields, &vars);
        }
    }

    /// An answer that is only a status, with a small page for people.
    pub(in crate::session::http) fn answer_status<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: RequestRecord,
        status: u16,
        field: Option<(&[u8], &[u8])>,
    ) {
        if told.is_call() && status >= 400 {
            return self.answer_call(context, (head, told), Code::of_status(status), field);
        }
        let id = told.request_id;
        let write = |_: &mut Context<D>, page: &mut Vec<u8>| write_page(status, id, page);
        self.answer_html(context, (head, told), status, field, write);
    }

    /// A page for people, with a field of its own.
    fn answer_html<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        about: (Box<RequestHead>, RequestRecord),
        status: u16,
        field: Option<(&[u8], &[u8])>,
        write: impl FnOnce(&mut Context<D>, &mut Vec<u8>),
    ) {
        let mut response = context.http.spare_answers.take();
        response.status = status;
        page::describe(&mut response.fields);
        if let Some((name, value)) = field {
            response.fields.push(name, value);
        }
        self.answer_written(context, about, response, write);
    }

    /// A page for people, below a head of its own.
    fn answer_written<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (head, told): (Box<RequestHead>, RequestRecord),
        response: Box<ResponseHead>,
        write: impl FnOnce(&mut Context<D>, &mut Vec<u8>),
    ) {
        let mut page = context.answers.take();
        write(context, &mut page);
        self.answer(context, head, told, response, &page);
        context.answers.give(page);
    }

    /// A user has to log in (RFC 9110, section 11.6.1).
    pub(in crate::session::http) fn answer_unauthorized<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: RequestRecord,
    ) {
        let options = Arc::clone(&self.options);
        let route = told.route.and_then(|route| options.routes.get(route));
        let challenge = route.and_then(|route| route.auth.as_ref()).map(|auth| &*auth.challenge);
        let field = challenge.map(|challenge| (&b"www-authenticate"[..], challenge.as_bytes()));
        self.answer_status(context, head, told, 401, field);
    }

    /// A page that shows what runs.
    pub(in crate::session::http) fn answer_status_page<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: RequestRecord,
    ) {
        let field = Some((&b"cache-control"[..], &b"no-store"[..]));
        let write = |context: &mut Context<D>, page: &mut Vec<u8>| context.write_status_page(page);
        self.answer_html(context, (head, told), 200, field, write);
    }

    /// A page that tries the endpoints of WebSockets below it.
    pub(in crate::session::http) fn answer_websocket_page<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: RequestRecord,
    ) {
        if !matches!(head.method, Method::Get | Method::Head) {
            let allow = Some((&b"allow"[..], &b"GET, HEAD"[..]));
            return self.answer_status(context, head, told, 405, allow);
        }
        let mut response = context.http.spare_answers.take();
        response.status = 200;
        let scheme = self.options.scheme;
        websocket_page::describe(scheme, head.authority(), &mut response.fields);
        self.answer_written(context, (head, told), response, |_, page| websocket_page::write(page));
    }

    /// The client is sent elsewhere.
    pub(in crate::session::http) fn answer_redirect<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: RequestRecord,
        status: u16,
        location: &Template,
    ) {
        let mut target = Vec::new();
        let vars = Vars::new(&self.options, self.client.as_deref(), &head, &told);
        location.write(&vars, &mut target);
        // A path that begins with two slashes would be taken for another host.
        let slashes = target.iter().take_while(|byte| **byte == b'/').count();
        target.drain(..slashes.saturating_sub(1));
        self.answer_status(context, head, told, status, Some((b"location", &target)));
    }

    /// What the upstream could not answer.
    pub(in crate::session::http) fn answer_failure<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        mut told: RequestRecord,
        failure: Failure,
    ) {
        told.reason = Some(failure.name());
        let field = self.options.reason_header.then(|| (REASON_FIELD, failure.name().as_bytes()));
        if told.is_call() {
            return self.answer_call(context, (head, told), Code::of_failure(failure), field);
        }
        self.answer_status(context, head, told, failure.status(), field);
    }

    /// A call of gRPC that no server answers: its client gets a status, and no page.
    pub(super) fn answer_call<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (head, mut told): (Box<RequestHead>, RequestRecord),
        code: Code,
        field: Option<(&[u8], &[u8])>,
    ) {
        told.end_call(code);
        let mut response = context.http.spare_answers.take();
        response.status = 200;
        let reason = told.reason.filter(|_| self.options.reason_header);
        grpc::describe(code, reason.unwrap_or_else(|| code.name()), &mut response.fields);
        if let Some((name, value)) = field {
            response.fields.push(name, value);
        }
        self.answer(context, head, told, response, b"");
    }

    /// A request that may pass no further proxy: we are its server (RFC 9110, section 7.6.2).
    pub(in crate::session::http) fn answer_unforwarded<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        mut told: RequestRecord,
        forwards: Forwards,
    ) {
        if forwards == Forwards::Invalid {
            told.reason = Some("max_forwards");
            return self.answer_status(context, head, told, 400, None);
        }
        let mut response = context.http.spare_answers.take();
        response.status = 200;
        let mut text = context.answers.take();
        if head.method == Method::Trace {
            response.fields.push_known(Known::ContentType, b"message/http");
            max_forwards::write_trace(&head, &mut text);
        }
        self.answer(context, head, told, response, &text);
        context.answers.give(text);
    }

    /// The request's head comes back as text.
    pub(in crate::session::http) fn answer_echo_of_head<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: RequestRecord,
    ) {
        let mut response = context.http.spare_answers.take();
        response.status = 200;
        response.fields.push_known(Known::ContentType, b"text/plain; charset=utf-8");
        let mut text = context.answers.take();
        text.extend_from_slice(head.method_name().as_bytes());
        text.push(b' ');
        text.extend_from_slice(head.path().as_bytes());
        if let Some(query) = head.query() {
            text.push(b'?');
            text.extend_from_slice(query.as_bytes());
        }
        text.push(b'\n');
        text.extend_from_slice(b"host: ");
        text.extend_from_slice(head.authority().as_bytes());
        text.push(b'\n');
        for field in head.fields.iter() {
            text.extend_from_slice(field.name);
            text.extend_from_slice(b": ");
            text.extend_from_slice(field.value);
            text.push(b'\n');
        }
        self.answer(context, head, told, response, &text);
        context.answers.give(text);
    }

    /// The head of an answer whose body is that of the request.
    pub(in crate::session::http) fn answer_head_of_echo<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: &RequestHead,
        told: &mut RequestRecord,
        framing: Framing,
    ) {
        let kind = head.fields.get(Known::ContentType).unwrap_or(b"application/octet-stream");
        let mut response = context.http.spare_answers.take();
        response.status = 200;
        response.fields.push_known(Known::ContentType, kind);
        told.status = 200;
        context.refresh_date();
        let Context { http, pages, .. } = context;
        let output = Output { pages, date: http.date.text() };
        self.write_head(output, head, told, &mut response, (framing.length(), true));
        context.http.spare_answers.give(response);
    }

    /// Sends the request's body back; true when the answer is over.
    pub(in crate::session::http) fn echo<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        request: &mut Request,
    ) -> bool {
        // The end needs no room: with a window of nothing, an empty body would never end.
        while !self.wire.is_body_read() {
            if !self.has_room(context) {
                return false;
            }
            match self.wire.next_of_body() {
                Ok(Some(part)) => {
                    if let Responder::Echo(asked) = &mut request.responder {
                        let told = &mut asked.1;
                        told.sent += part.len() as u64;
                        told.received += part.len() as u64;
                    }
                    self.write_part(context, part);
                }
                Ok(None) => break,
                Err(refusal) => {
                    tracing::debug!(
                        id = self.io.common.id(),
                        refusal = refusal.name(),
                        "body refused"
                    );
                    self.end_broken(context, request);
                    return false;
                }
            }
        }
        if !self.wire.is_body_read() {
            return false;
        }
        self.write_end(context, None);
        self.finish_asked(context, request);
        self.after_answer(context);
        true
    }

    /// Reads the rest of the request's body and drops it; true when it is over.
    pub(in crate::session::http) fn discard(&mut self) -> bool {
        let Wire::Http1(wire) = &mut self.wire else { return false };
        match wire.discard() {
            Ok(Discarded::More) => false,
            Ok(Discarded::All) => {
                self.phase = Phase::Head;
                true
            }
            Ok(Discarded::TooMuch) => {
                self.end(CloseReason::Finished);
                false
            }
            Err(refusal) => {
                // The answer was given: a second one would be taken for another request's.
                self.io.common.listener.stats.http.refuse(refusal);
                self.end(CloseReason::ProtocolError);
                false
            }
        }
    }

    /// A request that breaks a rule: it is told so, and the connection ends, because nobody knows
    /// where the next request would begin.
    pub(in crate::session::http) fn refuse<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        refusal: Refusal,
        came: Came,
    ) {
        tracing::debug!(id = self.io.common.id(), refusal = refusal.name(), "request refused");
        self.io.common.listener.stats.http.refuse(refusal);
        self.say(context, (refusal.status(), refusal.name()), came);
        self.end(CloseReason::ProtocolError);
    }

    /// Answers invalid input with a status. `name` is the reason for the access log.
    pub(in crate::session::http) fn say<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (status, name): (u16, &'static str),
        came: Came,
    ) {
        self.wire.refuse_body();
        let mut head = context.http.spare_heads.take();
        let source = self.client.as_ref().and_then(|peer| peer.address);
        let mut told = RequestRecord::new(context.now(), source, None, came.received);
        told.reason = Some(name);
        told.offence = came.offence;
        if let Some(name) = &self.options.request_id {
            // Client and log have the same number, by which one finds the other.
            told.request_id = context.next_request();
            head.fields.push_with(name.as_bytes(), |out| write_id(told.request_id, out));
        }
        self.answer_status(context, head, told, status, None);
    }

    /// A head or a body did not come in time (RFC 9110, section 15.5.9).
    pub(in crate::session::http) fn tell_timeout<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        reason: CloseReason,
    ) {
        if matches!(self.phase, Phase::Answering) && self.handled_body_timed_out(context) {
            self.end(reason);
            return self.io.mark_dirty(context, key);
        }
        let is_unanswered = |exchange: &Key| !has_replied(context, *exchange);
        let unanswered = self.exchange().filter(is_unanswered);
        match self.phase {
            // The answer has not begun.
            Phase::Head => {
                let part = self.wire.partial();
                let came = Came::new(part, None, self.options.access_log.is_some());
                self.say(context, (408, reason.name()), came);
                self.end(reason);
                self.io.mark_dirty(context, key);
            }
            Phase::Answering if unanswered.is_some() => {
                self.wire.refuse_body();
                let ended = unanswered.and_then(|exchange| context.end_exchange(exchange));
                self.drop_request(context);
                if let Some((head, mut told)) = ended {
                    told.reason = Some(reason.name());
                    self.answer_status(context, head, told, 408, None);
                }
                self.end(reason);
                self.io.mark_dirty(context, key);
            }
            Phase::Answering | Phase::Discard | Phase::Ending(_) | Phase::Lingering(_) => {
                self.close(context, key, reason);
            }
        }
    }
}
