//! What becomes of a request: its route, what is allowed, who answers.

use std::sync::Arc;

use super::Http;
use super::request::{Request, Responder};
use super::verify::Allowed;
use crate::mem::Key;
use crate::proto::http::{Method, RequestHead};
use crate::proto::http1::{Framing, Refusal, RequestMeta, write};
use crate::ring::Driver;
use crate::service::age;
use crate::service::grpc::{self, CallMessages};
use crate::service::http::limit::Verdict;
use crate::service::http::max_forwards::{self, Forwards};
use crate::service::http::record::{Call, RequestRecord};
use crate::session::context::Context;
use crate::session::http::options::{HttpOptions, RouteAction, RouteOptions};
use crate::session::http::state::HttpState;

/// The status of a refusal, and a field that goes with it.
type Forbidden = (u16, Option<(&'static [u8], Vec<u8>)>);

impl Http {
    /// The connection ends: it no longer counts among those of its source.
    pub(in crate::session::http) fn leave<D: Driver>(&mut self, context: &mut Context<D>) {
        if let Some(peer) = &mut self.client
            && std::mem::take(&mut peer.is_counted)
            && let Some(ip) = peer.ip()
        {
            context.leave_source(self.io.common.listener.number(), ip);
        }
    }

    /// A request has come: answers it, or begins to.
    pub(in crate::session::http) fn begin<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        mut head: Box<RequestHead>,
        meta: &RequestMeta,
    ) {
        self.requests += 1;
        let options = Arc::clone(&self.options);
        self.retire_if_old(context, key, &options);
        let is_last = self.draining || self.requests >= options.keepalive_requests;
        if is_last {
            self.wire.close_after(context.now());
        }
        if head.dropped > 0 {
            let dropped = &self.io.common.listener.stats.http.fields_dropped;
            dropped.add(head.dropped.into());
        }
        let source = self.source_of(&head);
        let call = if grpc::is_call(&head) { Call::Open } else { Call::No };
        let certificate = self.client.as_ref().and_then(|peer| peer.certificate.as_deref());
        let Some(found) = options.router.find(&head, certificate) else {
            self.set_body(meta, options.body_max);
            let told = RequestRecord::new(context.now(), source, None, meta.len);
            let told = RequestRecord { call, ..told };
            return self.answer_status(context, head, told, 404, None);
        };
        let route = &options.routes[found];
        let mut told = RequestRecord::new(context.now(), source, Some(found), meta.len);
        told.messages = CallMessages::of(&mut head, route.grpc_web, route.grpc_message_max);
        let is_web = told.messages.as_ref().is_some_and(|messages| messages.is_web());
        told.call = if is_web { Call::Open } else { call };
        if !self.set_body(meta, route.body_max) {
            let refusal = Refusal::BodyTooLarge;
            self.io.common.listener.stats.http.refuse(refusal);
            told.reason = Some(refusal.name());
            return self.answer_status(context, head, told, refusal.status(), None);
        }
        if let Some((status, field)) = self.forbids(context, &head, &told, route) {
            let field = field.as_ref().map(|(name, value)| (*name, value.as_slice()));
            return self.answer_status(context, head, told, status, field);
        }
        let Some(auth) = &route.auth else { return self.serve(context, key, head, told, meta) };
        match self.authenticate(context, key, &head, &mut told, auth) {
            Allowed::Yes => self.serve(context, key, head, told, meta),
            Allowed::No => self.answer_unauthorized(context, head, told),
            Allowed::Busy => {
                told.reason = Some("helpers_busy");
                self.answer_status(context, head, told, 503, None);
            }
            Allowed::Later(check) => self.wait_for_password(head, told, *meta, check),
        }
    }

    /// A connection that is old enough gets no further requests than those on their way.
    fn retire_if_old<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        options: &HttpOptions,
    ) {
        let common = &self.io.common;
        let is_over = |most| age::is_over(common.opened(), most, common.id(), context.now());
        let is_old = options.keepalive_max_age.is_some_and(is_over);
        if is_old && !self.draining {
            common.listener.stats.http.aged.add(1);
            self.drain(context, key);
        }
    }

    /// Answers a request that is allowed, or begins to.
    pub(in crate::session::http) fn serve<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        mut head: Box<RequestHead>,
        told: RequestRecord,
        meta: &RequestMeta,
    ) {
        let options = Arc::clone(&self.options);
        let Some(route) = told.route.and_then(|route| options.routes.get(route)) else { return };
        if self.wire.is_http2() && meta.upgrade && !takes_websockets(&route.action) {
            // A 2xx would open a tunnel (RFC 8441, section 5) to nobody.
            return self.answer_status(context, head, told, 501, None);
        }
        match &route.action {
            RouteAction::Respond(answer) => self.answer_fixed(context, head, told, route, answer),
            RouteAction::Redirect { status, location } => {
                self.answer_redirect(context, head, told, *status, location);
            }
            RouteAction::StatusPage => self.answer_status_page(context, head, told),
            RouteAction::WebSocketPage => self.answer_websocket_page(context, head, told),
            RouteAction::Echo => self.begin_echo(context, head, told, meta),
            RouteAction::Handler(handler) => {
                self.begin_handled(context, key, (head, told), (route, handler.place, meta));
            }
            RouteAction::Files(files) => self.begin_file(context, key, head, told, files),
            RouteAction::WebSocket(socket) => {
                self.begin_socket(context, key, (head, told), (route, socket, meta));
            }
            RouteAction::Proxy(proxy) => {
                match max_forwards::count(&mut head) {
                    Forwards::On => {}
                    ended @ (Forwards::Ends | Forwards::Invalid) => {
                        return self.answer_unforwarded(context, head, told, ended);
                    }
                }
                let path = match proxy.rewrite.as_ref().map(|rewrite| rewrite.apply(head.path())) {
                    None => None,
                    Some(Some(path)) => Some(path.into_owned()),
                    Some(None) => return self.answer_status(context, head, told, 404, None),
                };
                let mut out = self.io.writer(&mut context.pages);
                self.wire.send_continue(&mut out);
                let to = (route, proxy, path, meta);
                match self.make_exchange(context, key, head, told, to) {
                    Ok(exchange) => {
                        self.begin_answer(Request::new(Responder::Proxy(exchange)));
                        let now = context.now();
                        let HttpState { proxy, clusters, .. } = &mut context.http;
                        proxy.start(exchange, clusters, now);
                    }
                    Err((head, told)) => self.answer_status(context, head, told, 503, None),
                }
            }
        }
    }

    /// Prepares to read the request's body; false when it is too long. Then, and when the client
    /// waits to be told to send it while we answer without it, the connection ends.
    fn set_body(&mut self, meta: &RequestMeta, max: u64) -> bool {
        if meta.framing == Framing::None {
            return true;
        }
        self.waits.body_began = Some(self.waits.progress);
        self.wire.begin_body(meta, max).is_ok()
    }

    /// Why a request is not allowed on its route: the status, and a field that goes with it.
    fn forbids<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: &RequestHead,
        told: &RequestRecord,
        route: &RouteOptions,
    ) -> Option<Forbidden> {
        let ip = told.ip();
        let is_spoken_for = self.client.as_ref().is_some_and(|peer| peer.is_trusted);
        if let Some(ip) = ip
            && (!route.access.allows(ip) || is_spoken_for && !self.options.access.allows(ip))
        {
            return Some((403, None));
        }
        if let Some(limit) = &route.rate_limit {
            let now = context.now();
            let named = limit.header.as_deref().map(|name| head.fields.get_named(name.as_bytes()));
            let Context { http, options, .. } = &mut *context;
            let place = (&*options.workers, options.worker);
            let found = http.limiters.of(route, place, (options.seed, now));
            let verdict = found.map(|(limiter, peers)| match (named, ip) {
                (Some(value), _) => limiter.check_bytes(value.unwrap_or_default(), now, &peers),
                (None, Some(ip)) => limiter.check_source(ip, now, &peers),
                (None, None) => Verdict::Allowed,
            });
            if let Some(Verdict::Limited { retry_after }) = verdict {
                let mut seconds = Vec::new();
                // Never too early: a client that keeps to it is let in.
                let whole = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                write::number(whole.max(1), &mut seconds);
                return Some((429, Some((b"retry-after", seconds))));
            }
        }
        // A tunnel is nothing that a reverse proxy has.
        (head.method == Method::Connect).then_some((501, None))
    }

    /// Answers with the body of the request, or with its head if it has none.
    fn begin_echo<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        told: RequestRecord,
        meta: &RequestMeta,
    ) {
        if meta.framing == Framing::None {
            return self.answer_echo_of_head(context, head, told);
        }
        let mut out = self.io.writer(&mut context.pages);
        self.wire.send_continue(&mut out);
        let mut told = told;
        self.answer_head_of_echo(context, &head, &mut told, meta.framing);
        self.begin_answer(Request::new(Responder::Echo(Box::new((head, told)))));
    }
}

/// Whether an action may answer a request for a WebSocket with one.
const fn takes_websockets(action: &RouteAction) -> bool {
    match action {
        RouteAction::Proxy(_) | RouteAction::WebSocket(_) => true,
        RouteAction::Respond(_)
        | RouteAction::Redirect { .. }
        | RouteAction::StatusPage
        | RouteAction::WebSocketPage
        | RouteAction::Echo
        | RouteAction::Handler(_)
        | RouteAction::Files(_) => false,
    }
}
