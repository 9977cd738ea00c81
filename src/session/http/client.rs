//! A connection of a client: its requests are read and answered one after the other, in their
//! order. What a client sends ahead waits in `input`.
//!
//! | file | job |
//! |---|---|
//! | `begin` | what becomes of a request: its route, what is allowed, who answers |
//! | `request` | a request that is being answered, apart from its connection |
//! | `answer` | answers of our own |
//! | `respond` | answers of servers on their way to a client |
//! | `forward` | requests on their way to servers |
//! | `file`, `find` | files on their way to a client; which one it is |
//! | `handled`, `publish` | requests that a handler answers; that publish to topics |
//! | `listing` | folders that are listed |
//! | `encode` | answers that are compressed on their way |
//! | `verify` | passwords |
//! | `ending` | the connection ends, and with it what is under way |
//! | `socket` | WebSockets that we answer |
//! | `switch` | the connection changes to another protocol |
//! | `streams`, `stream_timing` | HTTP/2: requests side by side, and what is waited for |
//! | `requests` | HTTP/2: which requests there are, and which are to be looked at |
//! | `wire` | what both versions are asked for |
//! | `renew` | it takes the newest plan |
//! | `log` | what is told of a request when it is over |
//! | `vars` | the values of variables in templates |
//! | `waiting` | what waits on the connection, and how much of that there may be |
//! | `peer`, `timing` | whom it is with; what it waits for |

mod answer;
mod begin;
mod encode;
mod ending;
mod file;
mod find;
mod forward;
mod handled;
mod listing;
mod log;
mod peer;
mod publish;
mod renew;
mod request;
mod requests;
mod respond;
mod socket;
mod stream_timing;
mod streams;
mod switch;
mod timing;
mod vars;
mod verify;
mod waiting;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use self::answer::Came;
use self::file::Transfer;
pub(super) use self::peer::Peer;
use self::request::{Request, Responder};
pub(in crate::session) use self::socket::Delivery;
use self::socket::Socket;
pub(in crate::session) use self::switch::Switched;
use self::timing::Waits;
use self::wire::Wire;
use super::options::{HalfClose, HttpOptions};
use crate::mem::{Buf, Key};
use crate::net::tls::Subject;
use crate::net::{Stream, StreamEvent};
use crate::proto::http::RequestHead;
use crate::proto::http1::Next;
use crate::proto::http2::PREFACE;
use crate::ring::{Completion, Driver, SocketAddress, Verb};
use crate::service::CloseReason;
use crate::service::http::certificate::ClientCertificate;
use crate::session::CLIENT;
use crate::session::arrival::Arrival;
use crate::session::common::Common;
use crate::session::context::Context;
use crate::session::io::{Io, IoEvent};

/// Requests of one connection that are begun in one turn.
const REQUESTS_PER_TURN: usize = 64;
/// One connection.
#[derive(Debug)]
pub(in crate::session) struct Http {
    pub(super) io: Io,
    pub(super) wire: Wire,
    pub(super) phase: Phase,
    pub(super) options: Arc<HttpOptions>,
    pub(super) draining: bool,
    pub(super) waits: Waits,
    pub(super) requests: u32,
    pub(super) client: Option<Box<Peer>>,
    /// The request that is being answered.
    pub(super) request: Option<Request>,
    /// What the worker's budget of waiting bytes counts of it.
    counted: usize,
}

/// What a connection does.
#[derive(Debug)]
pub(super) enum Phase {
    /// It reads the head of a request, or waits for one.
    Head,
    /// A request is being answered.
    Answering,
    /// All is answered, and the rest of the request's body is read and dropped.
    Discard,
    /// No more is read; what is written goes out.
    Ending(CloseReason),
    /// All is out, and the client knows that it is the end.
    Lingering(CloseReason),
}

impl Http {
    /// What it has in common with every connection.
    pub(in crate::session) const fn common(&self) -> &Common {
        &self.io.common
    }

    pub(in crate::session) fn new(
        (common, stream): (Common, Stream),
        arrival: &Arrival,
        options: Arc<HttpOptions>,
        now: Instant,
    ) -> Self {
        let known = |client: SocketAddress| {
            let (address, is_counted) = (client.ip(), arrival.is_counted);
            Box::new(Peer { address, is_counted, ..Peer::default() })
        };
        Self {
            io: Io::new(common, stream, None),
            wire: Wire::default(),
            phase: Phase::Head,
            options,
            draining: false,
            waits: Waits::new(now),
            requests: 0,
            client: arrival.client.map(known),
            request: None,
            counted: 0,
        }
    }

    pub(in crate::session) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.note_trust();
        self.note_tls();
        if self.io.stream.tls().is_some_and(|tls| tls.alpn() == Some(b"h2")) {
            self.speak_http2();
        }
        self.receive(context, key);
        self.set_deadline(context, key);
    }

    /// Whether the peer is one of the trusted proxies.
    fn note_trust(&mut self) {
        if self.options.trusted_proxies.is_empty() {
            return;
        }
        let peer = self.client.get_or_insert_default();
        peer.is_trusted = self.options.trusted_proxies.trusts(peer.ip());
    }

    /// Who a request is from, if that is known.
    pub(super) fn source_of(&self, head: &RequestHead) -> Option<SocketAddr> {
        let peer = self.client.as_ref()?;
        if peer.is_trusted {
            self.options.trusted_proxies.client(&head.fields, peer.address)
        } else {
            peer.address
        }
    }

    /// What TLS says of the client: its certificate is read once, and only where it shows one.
    fn note_tls(&mut self) {
        let Some(session) = self.io.stream.tls() else { return };
        let certificate = session.client_certificate();
        if self.client.is_none() && certificate.is_none() {
            return;
        }
        let info = session.info();
        let peer = self.client.get_or_insert_default();
        peer.secured = info.map(|info| (info.version, info.suite));
        peer.certificate = certificate.map(|shown| {
            let Subject { name, alternatives, fingerprint } = shown;
            Box::new(ClientCertificate { subject: name, names: alternatives, fingerprint })
        });
    }

    pub(in crate::session) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        if completion.token.verb == Verb::Read {
            self.handle_read(context, key, completion);
            return;
        }
        let event = self.io.handle(context, key, completion);
        self.take_event(context, key, event);
    }

    pub(in crate::session) fn handle_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        event: StreamEvent,
    ) {
        let event = self.io.take_event(context, key, event);
        self.take_event(context, key, event);
    }

    fn take_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        event: Option<IoEvent>,
    ) {
        match event {
            None => return,
            Some(IoEvent::Broken(reason)) => return self.close(context, key, reason),
            // It is dropped, and gives no more time.
            Some(IoEvent::Data(_)) if !self.is_open() => return,
            Some(IoEvent::Data(buf)) => {
                if !self.wire.is_http2() {
                    // With HTTP/2, what keeps the connection are requests, and not frames.
                    self.waits.progress = context.now();
                }
                let buf = self.look_for_preface(buf);
                self.wire.receive(buf);
            }
            Some(IoEvent::End) => self.wire.receive_end(),
            Some(IoEvent::Sent) => {
                self.waits.progress = context.now();
                if self.io.stream.is_drained() {
                    self.waits.pace.end();
                }
                if self.is_calm() {
                    self.forget_waiting(context);
                    return;
                }
            }
            Some(IoEvent::Woken) => {}
        }
        self.io.mark_dirty(context, key);
    }

    /// HTTP/2 is spoken from the first byte on.
    fn speak_http2(&mut self) {
        self.wire = Wire::http2(&self.http2_limits());
        self.io.common.listener.stats.http.http2.connections.add(1);
    }

    /// The first bytes say whether the client speaks HTTP/2 without having asked (RFC 9113, section
    /// 3.3). They are given back, behind those that came before.
    fn look_for_preface(&mut self, buf: Buf) -> Buf {
        let is_asked = self.options.http2.is_some()
            && self.requests == 0
            && self.request.is_none()
            && !self.wire.is_http2()
            && self.io.stream.tls().is_none();
        let Wire::Http1(wire) = &mut self.wire else { return buf };
        if !is_asked || wire.unread() >= PREFACE.len() {
            return buf;
        }
        let whole = match wire.unread() {
            0 => buf,
            _ => Buf::from([&wire.take_rest(), &*buf].concat()),
        };
        let count = whole.len().min(PREFACE.len());
        // A method may begin so, but none is `PRI`.
        if count >= 3 && whole[..count] == PREFACE[..count] {
            self.waits.began = None;
            self.speak_http2();
        }
        whole
    }

    /// Whether requests are still read.
    const fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Ending(_) | Phase::Lingering(_))
    }

    /// Whether a completed send leaves nothing to be done.
    fn is_calm(&self) -> bool {
        let is_still = match &self.request {
            // A socket that has nothing to send waits for its client.
            Some(request) => request.socket().is_some_and(Socket::is_calm),
            None => matches!(self.phase, Phase::Head) && self.has_no_streams(),
        };
        is_still
            && self.wire.is_read()
            && !self.wire.has_ended()
            && !self.draining
            && self.io.stream.is_drained()
            && self.io.stream.is_receiving()
    }

    /// Reads requests and answers them, as far as that goes.
    pub(in crate::session) fn work<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.common.clear_dirty();
        if self.io.is_closing() {
            return;
        }
        if self.wire.is_http2() {
            self.work_streams(context, key);
        } else {
            self.answer_requests(context, key);
        }
    }

    /// Sends the answers, and decides whether to read on.
    pub(in crate::session) fn transmit<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.io.is_closing() {
            return;
        }
        self.transmit_streams(context);
        self.io.flush(context, key);
        self.count_waiting(context);
        match self.phase {
            Phase::Ending(reason) => self.say_end(context, key, reason),
            Phase::Lingering(reason) if self.wire.has_ended() => {
                self.close(context, key, reason);
                return;
            }
            Phase::Lingering(_) => self.io.stream.receive(&mut context.reactor, key, false),
            Phase::Head | Phase::Answering | Phase::Discard if self.wire.is_http2() => {
                self.read_on_streams(context, key);
            }
            Phase::Head | Phase::Answering | Phase::Discard => self.read_on(context, key),
        }
        if !self.io.is_closing() {
            self.set_deadline(context, key);
        }
    }

    fn answer_requests<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        for _ in 0..REQUESTS_PER_TURN {
            let goes_on = match &self.phase {
                Phase::Head => self.read_request(context, key),
                Phase::Answering => self.go_on(context, key),
                Phase::Discard => self.discard(),
                Phase::Ending(_) | Phase::Lingering(_) => false,
            };
            if !goes_on || self.io.is_closing() {
                return;
            }
        }
        // The budget of the turn is spent.
        self.io.common.postpone(context, key, true);
    }

    /// Goes on with the request that is being answered; true when it is over.
    fn go_on<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        let Some(mut request) = self.request.take() else { return false };
        let is_over = match &mut request.responder {
            Responder::Proxy(exchange) => {
                let exchange = *exchange;
                self.proceed(context, key, &mut request, exchange)
            }
            Responder::File(_) => self.send_file(context, key, &mut request),
            Responder::Echo(_) => self.echo(context, &mut request),
            Responder::Encoding(_) => self.proceed_encoding(context, key, &mut request),
            Responder::Handler(_) => self.proceed_handled(context, key, &mut request),
            Responder::Socket(_) => self.proceed_socket(context, key, &mut request),
            Responder::Publish(_) => self.proceed_publish(context, &mut request),
            Responder::Verify(_) | Responder::Listing(_) | Responder::Done => false,
        };
        self.keep(context, request);
        is_over
    }

    /// Keeps the request as long as it is being answered.
    pub(super) fn keep<D: Driver>(&mut self, context: &mut Context<D>, mut request: Request) {
        debug_assert!(self.request.is_none(), "one request after the other");
        if let Some(reason) = self.io.common.closing() {
            // The connection has ended meanwhile.
            self.request = Some(request);
            if self.give_request_up(context, reason) {
                self.io.stream.reset_on_close(&mut context.reactor);
            }
        } else if matches!(self.phase, Phase::Answering) {
            self.request = Some(request);
        } else {
            request.forget(&mut context.http.waiting);
        }
    }

    /// The present request is over.
    pub(super) fn drop_request<D>(&mut self, context: &mut Context<D>) {
        if let Some(mut request) = self.request.take() {
            request.forget(&mut context.http.waiting);
        }
    }

    /// A request is answered by what takes its time.
    pub(super) fn begin_answer(&mut self, request: Request) {
        self.request = Some(request);
        self.phase = Phase::Answering;
    }

    /// Reads the head of a request and begins to answer it; false when there is none.
    fn read_request<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        if self.wire.has_nothing_new() || !self.has_room(context) {
            return false;
        }
        if self.waits.began.is_none() {
            self.take_newest(context, key);
            if self.io.is_closing() {
                return false;
            }
        }
        let Self { wire: Wire::Http1(wire), options, .. } = self else { return false };
        let is_logged = options.access_log.is_some();
        let mut came = Came::default();
        let refused = |bytes: &[u8], refusal| came = Came::new(bytes, Some(refusal), is_logged);
        match wire.read_head(&options.limits, &mut context.http.spare_heads, refused) {
            Ok(Some((head, meta))) => {
                self.waits.began = None;
                self.begin(context, key, head, &meta);
                true
            }
            Ok(None) => {
                self.waits.began.get_or_insert_with(|| context.reactor.now());
                false
            }
            Err(refusal) => {
                self.refuse(context, refusal, came);
                false
            }
        }
    }

    /// The present answer is written: what follows on this connection.
    pub(super) fn after_answer<D: Driver>(&mut self, context: &mut Context<D>) {
        self.waits.progress = context.now();
        self.phase = match self.wire.end_answer(&mut context.http.workspace) {
            Next::Close => Phase::Ending(CloseReason::Finished),
            Next::Request => Phase::Head,
            Next::Discard => Phase::Discard,
        };
    }

    /// No more is read. What is written goes out first.
    pub(super) fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Ending(reason);
        self.wire.clear();
    }

    pub(in crate::session) fn feed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        lane: crate::ring::Lane,
    ) {
        if lane == CLIENT {
            self.io.stream.feed(&mut context.reactor, key);
        } else if let Some(transfer) = self.transfer() {
            transfer.feed();
        } else {
            self.feed_streams();
        }
        self.io.common.mark_dirty(context, key);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(in crate::session) fn hold(&mut self) {
        self.wire.hold();
    }

    /// The server ends: what is under way is answered, and nothing more is begun.
    pub(in crate::session) fn drain<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.io.is_closing() && !self.draining {
            self.draining = true;
            self.wire.close_after(context.now());
            self.mark_all();
            self.io.common.mark_dirty(context, key);
        }
    }

    pub(in crate::session) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    pub(in crate::session) fn is_finished(&self) -> bool {
        let is_read = self.request.as_ref().is_none_or(Request::is_quiet);
        self.io.is_finished() && is_read && !self.is_reading_file()
    }

    pub(in crate::session) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        let address = self.client.as_ref().and_then(|peer| peer.address);
        self.io.finish_as(context, key, address.map(SocketAddress::inet));
    }

    fn read_on<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let is_idle = matches!(self.phase, Phase::Head) && self.reader_is_idle();
        let has_ended = self.wire.has_ended();
        if is_idle && (has_ended || self.draining) && self.wire.is_read() {
            self.end(CloseReason::Finished);
            self.say_end(context, key, CloseReason::Finished);
            return;
        }
        if has_ended && !self.is_tunnel(context) && self.is_abandoned(context) {
            self.close(context, key, CloseReason::ClientGone);
            return;
        }
        let has_nothing_new = self.wire.has_nothing_new();
        if has_ended && !self.is_whole() && has_nothing_new {
            // What it began to send it will never end.
            self.close(context, key, CloseReason::ClientReset);
            return;
        }
        if self.wire.is_read() || (self.wants_input(context) && has_nothing_new) {
            if !has_ended {
                self.receive(context, key);
            }
        } else if self.is_ahead(context) || !self.wants_input(context) {
            self.pause(context, key);
        } else if !has_ended {
            self.receive(context, key);
        }
    }

    /// Whether the client has gone while a server or a handler is answering it: it has ended its
    /// side without `connection: close`. Its connection to the server is then freed.
    fn is_abandoned<D>(&self, context: &Context<D>) -> bool {
        let handled = self.request.as_ref().and_then(Request::handled);
        let closes = match (self.exchange(), handled) {
            (Some(exchange), _) => {
                context.http.proxy.get(exchange).is_some_and(|one| one.request.closes)
            }
            (None, Some(handled)) => handled.closes,
            (None, None) => return false,
        };
        match self.options.half_close {
            HalfClose::Allow => false,
            HalfClose::Refuse => true,
            // Behind this request there is another, of which the same is asked in its turn.
            HalfClose::Auto if !self.wire.is_read() => false,
            HalfClose::Auto => !closes,
        }
    }

    /// The exchange with a server that answers the present request.
    pub(super) fn exchange(&self) -> Option<Key> {
        self.request.as_ref()?.exchange()
    }

    /// The file that answers the present request.
    fn transfer(&mut self) -> Option<&mut Transfer> {
        let Responder::File(transfer) = &mut self.request.as_mut()?.responder else { return None };
        Some(transfer)
    }

    const fn reader_is_idle(&self) -> bool {
        self.waits.began.is_none()
    }

    /// Whether no part of a request is missing.
    fn is_whole(&self) -> bool {
        self.wire.is_body_read() && (!matches!(self.phase, Phase::Head) || self.reader_is_idle())
    }

    /// Whether more input could be used at once.
    fn wants_input<D>(&self, context: &Context<D>) -> bool {
        match self.phase {
            Phase::Head => !self.io.stream.is_blocked(),
            Phase::Answering => match self.request.as_ref().map(|request| &request.responder) {
                Some(Responder::Proxy(exchange)) => context.http.proxy.takes_body(*exchange),
                Some(Responder::Publish(_)) => true,
                Some(Responder::Echo(_) | Responder::Socket(_)) => !self.io.stream.is_blocked(),
                Some(Responder::Handler(handled)) => handled.takes_body(),
                Some(
                    Responder::File(_)
                    | Responder::Verify(_)
                    | Responder::Encoding(_)
                    | Responder::Listing(_)
                    | Responder::Done,
                )
                | None => false,
            },
            Phase::Discard => true,
            Phase::Ending(_) | Phase::Lingering(_) => false,
        }
    }
}
