//! The handshake of a socket that we answer.

use super::timing::Times;
use super::topics::Subscriber;
use super::{Service, Socket};
use crate::mem::Key;
use crate::proto::http::{Known, Method, RequestHead, ResponseHead, Version};
use crate::proto::http1::RequestMeta;
use crate::proto::websocket::{Endpoint, Role, handshake};
use crate::ring::Driver;
use crate::service::http::origin;
use crate::service::http::record::RequestRecord;
use crate::service::topics::Format;
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::client::request::{Request, Responder};
use crate::session::http::options::RouteOptions;
use crate::session::http::state::Output;
use crate::session::http::websocket::{Origins, SocketService, WebSocketOptions};

/// What a handshake has found.
struct Agreed {
    service: Service,
    /// The subprotocol that was chosen.
    subprotocol: Option<Box<str>>,
}

/// Why a handshake is refused: a status, and a name for logs.
struct Refused {
    status: u16,
    reason: &'static str,
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
            return self.answer_no_socket(context, head, told);
        }
        if let Err(error) = handshake::check(&head) {
            told.reason = Some(error.name());
            let version = (handshake::VERSION_FIELD, &b"13"[..]);
            let field = (error == handshake::HandshakeError::Version).then_some(version);
            return self.answer_status(context, head, told, error.status(), field);
        }
        match self.agree(context, key, &head, options) {
            Ok(agreed) => self.open_socket(context, (head, told), (route, options), agreed),
            Err(Refused { status, reason }) => {
                told.reason = Some(reason);
                self.answer_status(context, head, told, status, None);
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
        head: &RequestHead,
        options: &WebSocketOptions,
    ) -> Result<Agreed, Refused> {
        if self.draining {
            return Err(Refused { status: 503, reason: "draining" });
        }
        let allowed = match &options.origins {
            Origins::Any => true,
            Origins::Listed { same, others } => {
                let scheme = self.options.scheme;
                origin::is_allowed(&head.fields, *same, (scheme, head.authority()), others)
            }
        };
        if !allowed {
            return Err(Refused { status: 403, reason: "websocket_origin" });
        }
        let offered = || handshake::subprotocols(&head.fields);
        Ok(match &options.service {
            SocketService::Echo => {
                let known =
                    |one: &[u8]| options.subprotocols.iter().find(|own| own.as_bytes() == one);
                let subprotocol = offered().find_map(known).cloned();
                Agreed { service: Service::Echo, subprotocol }
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
                }
            }
            SocketService::Relay { .. } | SocketService::Handler(_) => {
                return Err(Refused { status: 501, reason: "websocket_service" });
            }
        })
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
        self.complete_head(output.date, &head, &mut told, &mut response);
        let mut out = self.io.buffer.writer(pages, &mut self.io.stream);
        told.sent += self.wire.send_tunnel_head(&mut response, &mut out) as u64;
        context.http.spare_answers.give(response);
        let place = told.route.unwrap_or_default();
        self.finish_request(context, head, &told);
        if let Some(stats) = route.counters.of(context.options.worker) {
            stats.sockets().opened.add(1);
            stats.sockets().active.increment();
        }
        let socket = Socket {
            endpoint: Endpoint::new(Role::Server),
            limits: options.limits,
            service: agreed.service,
            route: place,
            gathered: None,
            times: Times::new(context.now(), options),
            closes_with: None,
        };
        self.begin_answer(Request::new(Responder::Socket(Box::new(socket))));
    }
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
}
