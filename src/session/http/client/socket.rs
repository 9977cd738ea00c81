//! Requests that have become WebSockets which we answer: frames come as the bytes of the request's
//! body, and go out as those of the answer's.
//!
//! | file | job |
//! |---|---|
//! | `open` | the handshake |
//! | `messages` | frames that come, and messages that go |
//! | `frames` | where frames are written to |
//! | `timing` | pings, times that are over, closing |
//! | `topics` | what subscribers get |
//! | `relayed` | messages that go to a TCP server |
//! | `handled` | sockets that code of the program answers |

mod frames;
mod handled;
mod messages;
mod open;
mod relayed;
mod timing;
mod topics;

use self::frames::Frames;
use self::handled::Handled;
use self::messages::Gathered;
use self::relayed::Relayed;
use self::timing::Times;
pub(in crate::session) use self::topics::Delivery;
use self::topics::Subscriber;
use super::Http;
use super::request::{Request, Responder};
use super::wire::{StoppedBy, Wire};
use crate::mem::{Buf, Key};
use crate::proto::http2::ErrorCode;
use crate::proto::websocket::{CloseCode, Closing, Endpoint, Limits, Violation};
use crate::ring::Driver;
use crate::service::CloseReason;
use crate::session::SocketStats;
use crate::session::context::Context;
use crate::session::http::deflate::Deflate;
use crate::session::http::websocket::WebSocketOptions;

/// Bytes that are read from one socket in one turn. What is left is read in the next one.
const READ_PER_TURN: usize = 256 * 1024;

/// Subscriptions of one socket in one turn, each of which may look at all that is retained.
pub(super) const SUBSCRIBED_PER_TURN: u32 = 4;

/// Bytes that messages of one buffer may come to, inflated, before it is asked again whether there
/// is room for more.
pub(super) const CHARGED_MAX: usize = 64 * 1024;

/// Bytes of a message that are gathered even when the worker's memory for what waits is used.
pub(super) const GATHERED_ANYWAY: usize = 16 * 1024;

/// One WebSocket.
#[derive(Debug)]
pub(in crate::session::http) struct Socket {
    endpoint: Endpoint,
    limits: Limits,
    service: Service,
    /// The place of its route.
    route: usize,
    /// The message that comes in parts.
    gathered: Option<Box<Gathered>>,
    times: Times,
    /// How its messages are compressed, if they are.
    deflate: Option<Box<Deflate>>,
    /// What has come and is read in the next turn.
    rest: Option<Buf>,
    /// Subscriptions of this turn.
    subscribed: u32,
    /// Bytes that what was read last came to beyond what it has on the wire.
    charged: usize,
    /// It is to be closed, with this code and reason.
    closes_with: Option<(CloseCode, &'static str)>,
}

/// Who answers a socket.
#[derive(Debug)]
enum Service {
    /// Each message comes back.
    Echo,
    /// It publishes and subscribes.
    Topics(Box<Subscriber>),
    /// Code of the program.
    Handler(Box<Handled>),
    /// A TCP server.
    Relay(Box<Relayed>),
}

/// How far a socket has come.
enum Progress {
    /// More has to come.
    Waits,
    /// It is over.
    Over,
    /// It is over, and its client takes nothing: the connection is.
    Cut,
}

impl Socket {
    /// When there is something to do for it, whatever comes.
    pub(super) fn due(&self) -> Option<std::time::Instant> {
        self.times.due(self.endpoint.closing())
    }

    /// Bytes of memory that what waits of it takes.
    pub(super) fn cost(&self) -> usize {
        let queued = match &self.service {
            Service::Echo => 0,
            Service::Topics(subscriber) => subscriber.waiting(),
            Service::Handler(handled) => handled.waiting(),
            Service::Relay(relayed) => relayed.cost(),
        };
        let rest = self.rest.as_ref().map_or(0, Buf::len);
        self.gathered.as_ref().map_or(0, |gathered| gathered.cost()) + queued + rest
    }

    /// Whether nothing has to be sent but what is written already.
    pub(super) fn is_calm(&self) -> bool {
        let has_queued = match &self.service {
            Service::Echo => false,
            Service::Topics(subscriber) => subscriber.waiting() > 0,
            Service::Handler(handled) => handled.waiting() > 0,
            Service::Relay(relayed) => relayed.has_rest(),
        };
        !has_queued
            && self.rest.is_none()
            && self.gathered.is_none()
            && self.endpoint.closing() == Closing::Open
    }
}

impl Http {
    /// The options of a socket's route.
    fn socket_options(&self, socket: &Socket) -> Option<&WebSocketOptions> {
        self.options.routes.get(socket.route)?.action.websocket()
    }

    fn socket_stats<D>(&self, context: &Context<D>, socket: &Socket) -> Option<&SocketStats> {
        self.options.routes.get(socket.route)?.sockets(context.options.worker)
    }

    /// A message has gone, or a part of one: so many bytes, and so many of them on the wire.
    fn count_sent<D>(
        &self,
        context: &Context<D>,
        socket: &Socket,
        messages: u64,
        (bytes, wire): (usize, usize),
    ) {
        if let Some(stats) = self.socket_stats(context, socket) {
            stats.note_sent(messages, (bytes, wire));
        }
    }

    /// Where this connection's frames are written to.
    fn frames<'a, D>(&'a mut self, context: &'a mut Context<D>) -> Frames<'a> {
        let Context { pages, http, .. } = context;
        let writer = self.io.buffer.writer(pages, &mut self.io.stream);
        Frames::new(&mut self.wire, writer, &mut http.frames)
    }

    /// Reads what has come on a socket and sends what is to go; true when it is over.
    pub(super) fn proceed_socket<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        request: &mut Request,
    ) -> bool {
        let Responder::Socket(socket) = &mut request.responder else { return false };
        match self.move_socket(context, key, socket) {
            Ok(Progress::Waits) => false,
            Ok(Progress::Over) => self.end_socket(context, request),
            Ok(Progress::Cut) => {
                // Whoever keeps the request gives it up then.
                self.close(context, key, CloseReason::SlowReader);
                false
            }
            Err(violation) => {
                if let Some(stats) = self.socket_stats(context, socket) {
                    stats.violate(violation);
                }
                tracing::debug!(
                    id = self.io.common.id(),
                    violation = violation.name(),
                    "WebSocket closed: {violation}"
                );
                self.close_socket(context, socket, violation.code(), &violation.to_string());
                // Nobody knows where the next frame would begin.
                self.end_socket(context, request)
            }
        }
    }

    fn move_socket<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        socket: &mut Socket,
    ) -> Result<Progress, Violation> {
        if self.draining {
            self.plan_drain(context, socket);
        }
        if socket.due().is_some_and(|at| at <= context.now())
            && let over @ (Progress::Over | Progress::Cut) = self.socket_due(context, socket)
        {
            return Ok(over);
        }
        if let Some((code, reason)) = socket.closes_with.take() {
            self.close_socket(context, socket, code, reason);
        }
        self.send_queued(context, socket);
        self.send_said(context, (key, self.wire.stream()), socket);
        self.send_relayed(context, socket);
        let mut left = READ_PER_TURN;
        socket.subscribed = 0;
        while socket.endpoint.closing() != Closing::Done {
            // What is asked is answered: while answers wait for the client, no more is read.
            if !self.takes_input(context, socket) {
                return Ok(Progress::Waits);
            }
            if left == 0 || socket.subscribed >= SUBSCRIBED_PER_TURN || context.topics.is_behind() {
                // Others have their turn.
                self.wire.note_stopped(StoppedBy::Turn);
                self.io.common.postpone(context, key, true);
                return Ok(Progress::Waits);
            }
            let next = match socket.rest.take() {
                Some(rest) => Ok(Some(rest)),
                None => self.wire.next_of_body(),
            };
            let Ok(next) = next else { return Ok(Progress::Over) };
            let Some(buf) = next else {
                let is_over = self.wire.is_body_read();
                return Ok(if is_over { Progress::Over } else { Progress::Waits });
            };
            left = left.saturating_sub(buf.len());
            socket.times.heard = context.now();
            self.read_frames(context, (key, self.wire.stream()), socket, buf)?;
            left = left.saturating_sub(socket.charged);
        }
        Ok(Progress::Over)
    }

    /// Sends a close frame, once.
    fn close_socket<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        code: CloseCode,
        reason: &str,
    ) {
        if socket.endpoint.closing() == Closing::Open {
            if let Service::Handler(handled) = &mut socket.service {
                handled.shut(reason);
            }
            let timeout = self.socket_options(socket).map(|options| options.close_timeout);
            socket.times.close_by = timeout.map(|timeout| context.now() + timeout);
            let mut frames = self.frames(context);
            socket.endpoint.close(code, reason, None, frames.bytes());
            frames.finish();
        }
    }

    /// A socket is over: what is written goes out, and then the end.
    fn end_socket<D: Driver>(&mut self, context: &mut Context<D>, request: &mut Request) -> bool {
        let Responder::Socket(mut socket) =
            std::mem::replace(&mut request.responder, Responder::Done)
        else {
            return true;
        };
        self.leave_socket(context, &mut socket);
        self.after_answer(context);
        true
    }

    /// A socket is over, in order or not: nobody knows it any more.
    pub(super) fn leave_socket<D>(&mut self, context: &mut Context<D>, socket: &mut Socket) {
        let code = socket.endpoint.code().unwrap_or(CloseCode::ABNORMAL);
        if let Some(stats) = self.socket_stats(context, socket) {
            stats.active.decrement();
            stats.close(code);
        }
        match &mut socket.service {
            Service::Echo => {}
            Service::Topics(subscriber) => context.topics.leave(subscriber.place()),
            Service::Handler(handled) => handled.end(context, code),
            Service::Relay(relayed) => Self::leave_relay(context, relayed),
        }
        if let Some(deflate) = socket.deflate.take() {
            deflate.leave(&mut context.http.compression);
        }
        if let Some(gathered) = socket.gathered.take() {
            gathered.give_back(&mut context.pages);
        }
    }

    /// The socket that a stream carries; by HTTP/1.1, the connection.
    fn socket_of(&mut self, stream: crate::proto::http2::StreamId) -> Option<&mut Socket> {
        let request = match &mut self.wire {
            Wire::Http1(_) => self.request.as_mut(),
            Wire::Http2(many) => many.requests.get_mut(stream)?.request.as_mut(),
        };
        let Responder::Socket(socket) = &mut request?.responder else { return None };
        Some(socket)
    }

    /// A socket is ended by force: its peer does not close it.
    fn cut_socket<D: Driver>(&mut self, context: &mut Context<D>) -> Progress {
        if self.wire.is_http2() {
            self.reset_stream(context, ErrorCode::CANCEL);
        } else if !self.io.stream.is_drained() || self.io.stream.is_blocked() {
            // What is written waits for a client that takes no more of it.
            return Progress::Cut;
        }
        Progress::Over
    }
}
