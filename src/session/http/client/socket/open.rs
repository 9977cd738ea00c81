//! The handshake of a socket that we answer.

use super::handled::{Handled, ask_program};
use super::timing::Times;
use super::topics::Subscriber;
use super::{Service, Socket};
use crate::mem::Key;
use crate::proto::http::{Known, Method, RequestHead, ResponseHead, Version};
use crate::proto::http1::RequestMeta;
use crate::proto::websocket::extension::{self, Answer, Policy};
use crate::proto::websocket::{Endpoint, Limits, Role, handshake};
use crate::ring::Driver;
use crate::service::http::origin;
use crate::service::http::record::RequestRecord;
use crate::service::topics::Format;
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::client::request::{Request, Responder};
use crate::session::http::deflate::Deflate;
use crate::session::http::options::RouteOptions;
use crate::session::http::state::Output;
use crate::session::http::websocket::{Origins, SocketService, WebSocketOptions};

/// What a handshake has found.
struct Agreed {
    service: Service,
    /// The subprotocol that was chosen.
    subprotocol: Option<Box<str>>,
    /// How messages are compressed.
    deflate: Option<Answer>,
    /// What those know it by who send to it.
    waiter: Option<Key>,
}

/// Why a handshake is refused: a status, and a name for logs.
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) reason: &'static str,
}

impl Http {
    /// A request has come for an endpoint of WebSockets.
    pub(in crate::session::http) fn begin_socket<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (head, mut told): (Box<RequestHead>, RequestRecord),
        (route, options, meta): (&RouteOptions, &WebSocketOptions, &RequestMeta),
    ) {
        if !handshake::asks(&head, meta.upgrade, meta.upgrade) {
            if Self::publishes(&head) && !self.admits_page(&head, options) {
                // A page of another site, whose browser sends what its user has.
                told.reason = Some("websocket_origin");
                return self.answer_status(context, head, told, 403, None);
            }
            if let SocketService::Topics { set, publish: true, .. } = &options.service
                && Self::publishes(&head)
            {
                return self.begin_publish(context, (head, told), (set, meta));
            }
            return self.answer_no_socket(context, head, told);
        }
        if let Err(error) = handshake::check(&head) {
            told.reason = Some(error.name());
            let version = (handshake::VERSION_FIELD, &b"13"[..]);
            let field = (error == handshake::HandshakeError::Version).then_some(version);
            return self.answer_status(context, head, told, error.status(), field);
        }
        match self.agree(context, key, (&head, &told), (route, options)) {
            Ok(agreed) => self.open_socket(context, (head, told), (route, options), agreed),
            Err(Refused { status, reason }) => {
                told.reason = Some(reason);
                self.answer_status(context, head, told, status, None);
            }
        }
    }

    /// Whether the page that a request is from, if it is from one, may use the endpoint.
    fn admits_page(&self, head: &RequestHead, options: &WebSocketOptions) -> bool {
        match &options.origins {
            Origins::Any => true,
            Origins::Listed { same, others } => {
                let own = (self.options.scheme, head.authority());
                origin::is_allowed(&head.fields, *same, own, others)
            }
        }
    }

    /// The request asks for no WebSocket, and there is nothing else here.
    fn answer_no_socket<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        head: Box<RequestHead>,
        mut told: RequestRecord,
    ) {
        told.reason = Some(handshake::HandshakeError::NoUpgrade.name());
        let allow = (&b"allow"[..], &b"GET"[..]);
        let upgrade = (&b"upgrade"[..], &b"websocket"[..]);
        let (status, field) = match (head.method, head.version) {
            (Method::Get | Method::Head, Version::Http10 | Version::Http11) => (426, Some(upgrade)),
            // It has no upgrades (RFC 8441, section 1).
            (Method::Get | Method::Head, Version::Http2) => (400, None),
            _ => (405, Some(allow)),
        };
        self.answer_status(context, head, told, status, field);
    }

    fn agree<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (head, told): (&RequestHead, &RequestRecord),
        (route, options): (&RouteOptions, &WebSocketOptions),
    ) -> Result<Agreed, Refused> {
        if self.draining {
            return Err(Refused { status: 503, reason: "draining" });
        }
        if !self.admits_page(head, options) {
            return Err(Refused { status: 403, reason: "websocket_origin" });
        }
        let deflate = Self::agree_on_deflate(context, head, (route, options))?;
        let offered = || handshake::subprotocols(&head.fields);
        Ok(match &options.service {
            SocketService::Echo => {
                let subprotocol = known_subprotocol(head, options);
                Agreed { service: Service::Echo, subprotocol, deflate, waiter: None }
            }
            SocketService::Topics { set, publish, subscribe } => {
                let named = |one| Format::of(std::str::from_utf8(one).ok()?);
                let format = offered().find_map(named);
                if format.is_none() && offered().next().is_some() {
                    return Err(Refused { status: 400, reason: "websocket_subprotocol" });
                }
                let place = context.topics.open(set, (key, self.wire.stream()));
                let shortage = Refused { status: 503, reason: "resources" };
                let place = place.ok_or(shortage)?;
                let subscriber =
                    Subscriber::new(place, format.unwrap_or_default(), (*publish, *subscribe), set);
                Agreed {
                    service: Service::Topics(Box::new(subscriber)),
                    subprotocol: format.map(|format| format.subprotocol().into()),
                    deflate,
                    waiter: None,
                }
            }
            SocketService::Handler(place) => {
                let of = (key, self.wire.stream());
                let (waiter, accepted) =
                    ask_program(context, of, (head, told, &route.name), *place)?;
                let own = || known_subprotocol(head, options);
                Agreed {
                    service: Service::Handler(Box::new(Handled::new(accepted.exchange, *place))),
                    subprotocol: accepted.subprotocol.or_else(own),
                    deflate,
                    waiter: Some(waiter),
                }
            }
            SocketService::Relay { upstream, format } => {
                let offer = (*upstream, *format, options);
                let shortage = Refused { status: 503, reason: "resources" };
                let relayed = self.begin_relay(context, key, head, offer).ok_or(shortage)?;
                let subprotocol = known_subprotocol(head, options);
                let service = Service::Relay(Box::new(relayed));
                Agreed { service, subprotocol, deflate, waiter: None }
            }
        })
    }

    fn agree_on_deflate<D: Driver>(
        context: &Context<D>,
        head: &RequestHead,
        (route, options): (&RouteOptions, &WebSocketOptions),
    ) -> Result<Option<Answer>, Refused> {
        let lines = || head.fields.all_named(handshake::EXTENSIONS);
        let Some(own) = &options.deflate else { return Ok(None) };
        // What many subscribers get is compressed once for all of them, with no window of theirs.
        let is_shared = matches!(options.service, SocketService::Topics { .. });
        let mut policy = Policy {
            context_takeover: own.context_takeover && !is_shared,
            window_bits_max: own.window_bits,
        };
        let invalid = |_| Refused { status: 400, reason: "websocket_extensions" };
        let found = extension::accept(lines(), &policy).map_err(invalid)?;
        let cost = found.map_or(0, |answer| Deflate::cost(&answer.parameters));
        if cost == 0 || context.http.compression.has_takeover_room(cost) {
            return Ok(found);
        }
        if let Some(stats) = route.sockets(context.options.worker) {
            stats.takeover_refused.add(1);
        }
        policy.context_takeover = false;
        extension::accept(lines(), &policy).map_err(invalid)
    }

    /// The handshake is answered: frames follow.
    fn open_socket<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (head, mut told): (Box<RequestHead>, RequestRecord),
        (route, options): (&RouteOptions, &WebSocketOptions),
        agreed: Agreed,
    ) {
        let mut response = context.http.spare_answers.take();
        write_agreed(&head, &agreed, &mut response);
        told.status = response.status;
        context.refresh_date();
        let Context { http, pages, .. } = context;
        let output = Output { pages, date: http.date.text() };
        self.complete_head(output.date, &head, &told, &mut response);
        let mut out = self.io.buffer.writer(pages, &mut self.io.stream);
        told.sent += self.wire.send_tunnel_head(&mut response, &mut out) as u64;
        context.http.spare_answers.give(response);
        let place = told.route.unwrap_or_default();
        self.finish_request(context, head, &told);
        if let Some(stats) = route.sockets(context.options.worker) {
            stats.opened.add(1);
            stats.active.increment();
        }
        let deflate = agreed.deflate.zip(options.deflate).map(|(answer, own)| {
            let compression = &mut context.http.compression;
            Box::new(Deflate::new(answer.parameters, &own, compression))
        });
        let socket = Socket {
            deflate,
            endpoint: Endpoint::new(Role::Server),
            limits: Limits { deflate: agreed.deflate.is_some(), ..options.limits },
            service: agreed.service,
            route: place,
            gathered: None,
            times: Times::new(context.now(), options),
            rest: None,
            subscribed: 0,
            charged: 0,
            closes_with: None,
        };
        let request = Request::new(Responder::Socket(Box::new(socket)));
        self.begin_answer(match agreed.waiter {
            Some(waiter) => request.known_by(waiter),
            None => request,
        });
    }
}

/// The client's first subprotocol that the endpoint knows.
fn known_subprotocol(head: &RequestHead, options: &WebSocketOptions) -> Option<Box<str>> {
    let known = |one| options.subprotocols.get(std::str::from_utf8(one).ok()?);
    handshake::subprotocols(&head.fields).find_map(known).cloned()
}

/// What the answer to a handshake says.
fn write_agreed(head: &RequestHead, agreed: &Agreed, response: &mut ResponseHead) {
    response.status = 200;
    if head.version != Version::Http2 {
        response.status = 101;
        let key = handshake::only(&head.fields, handshake::KEY).unwrap_or_default();
        response.fields.push_known(Known::Upgrade, b"websocket");
        response.fields.push(handshake::ACCEPT, &handshake::accept(key));
    }
    if let Some(subprotocol) = &agreed.subprotocol {
        response.fields.push(handshake::PROTOCOL, subprotocol.as_bytes());
    }
    if let Some(answer) = &agreed.deflate {
        response.fields.push_with(handshake::EXTENSIONS, |out| answer.write(out));
    }
}
