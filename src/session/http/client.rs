//! A connection of a client: its requests are read and answered one after the other, in their
//! order. What a client sends ahead waits in `input`.

mod timing;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::answer::Came;
use super::encode::Encoding;
use super::file::Transfer;
use super::input::Input;
use super::options::{HalfClose, HttpOptions};
use super::state::Told;
use super::verify::Pending;
use crate::mem::Key;
use crate::net::tls::Subject;
use crate::net::{Stream, StreamEvent};
use crate::proto::http::{Fields, RequestHead};
use crate::proto::http1::{BodyReader, Framing, RequestReader};
use crate::ring::{Completion, Driver, SocketAddress, Verb};
use crate::service::CloseReason;
use crate::service::http::certificate::ClientCertificate;
use crate::service::pace::Pace;
use crate::session::CLIENT;
use crate::session::arrival::Arrival;
use crate::session::common::{Common, Onward};
use crate::session::context::Context;
use crate::session::deadline::Deadline;
use crate::session::outlet::Outlet;

/// Bytes of answers that may wait for a client before no more of its requests are begun.
const ANSWERS_MAX: usize = 256 * 1024;
/// Bytes that a client may send ahead of its answers.
const AHEAD_MAX: usize = 64 * 1024;
/// Requests of one connection that are begun in one turn.
const REQUESTS_PER_TURN: usize = 64;
/// One connection.
#[derive(Debug)]
pub(in crate::session) struct Http {
    pub(super) common: Common,
    pub(super) stream: Stream,
    pub(super) outlet: Outlet,
    pub(super) input: Input,
    pub(super) reader: RequestReader,
    pub(super) phase: Phase,
    pub(super) options: Arc<HttpOptions>,
    /// What is left of the present request's body.
    pub(super) body: Option<BodyReader>,
    /// How the body of the present answer goes out.
    pub(super) framing: Framing,
    /// Whether the connection goes on behind the present answer.
    pub(super) keep_alive: bool,
    /// The client sends no more.
    pub(super) ended: bool,
    pub(super) draining: bool,
    deadline: Deadline,
    /// When the client last sent or took something, or began to wait.
    pub(super) progress: Instant,
    /// How the client takes what it is sent, while it takes no more for now.
    pub(super) pace: Pace,
    /// When the present head or body began to come.
    pub(super) began: Option<Instant>,
    pub(super) requests: u32,
    pub(super) client: Option<Box<Peer>>,
    /// When the present body began to come.
    pub(super) body_began: Option<Instant>,
    /// Bytes of the present body that have come.
    pub(super) body_bytes: u64,
    /// The client waits to be told to send its body.
    pub(super) awaits_continue: bool,
    /// What came behind the request's body.
    pub(super) trailers: Option<Box<Fields>>,
    /// How the present answer is compressed, if it is.
    pub(super) encoding: Option<Box<Encoding>>,
    /// Bytes that compression has made of it, less those that were counted before.
    pub(super) recoded: i64,
    /// The request whose answer is being made, where nobody else keeps it.
    pub(super) told: Option<Box<(Box<RequestHead>, Told)>>,
}

/// Whom the connection is with, and what is not known of that yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    /// Where it comes from, unless that is a Unix socket.
    pub(super) address: Option<SocketAddr>,
    /// It counts among the connections of its source.
    pub(super) is_counted: bool,
    /// It is a proxy whose word on the client is believed.
    pub(super) is_trusted: bool,
    /// Version and cipher suite of TLS, if that is spoken.
    pub(super) secured: Option<(&'static str, &'static str)>,
    /// What it has shown of itself.
    pub(super) certificate: Option<Box<ClientCertificate>>,
}

impl Peer {
    pub(super) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}

/// What a connection does.
#[derive(Debug)]
pub(super) enum Phase {
    /// It reads the head of a request, or waits for one.
    Head,
    /// An exchange with a server is under way.
    Exchange(Key),
    /// A password is being checked.
    Verify(Box<Pending>),
    /// A folder is being read.
    Listing,
    /// An answer is being compressed, and goes out.
    Encoding,
    /// A file goes out.
    File(Box<Transfer>),
    /// The request's body goes back as the answer's.
    Echo,
    /// All is answered, and the rest of the request's body is read and dropped.
    Discard,
    /// No more is read; what is written goes out.
    Ending(CloseReason),
    /// All is out, and the client knows that it is the end.
    Lingering(CloseReason),
}

impl Http {
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
            common,
            stream,
            outlet: Outlet::default(),
            input: Input::default(),
            reader: RequestReader::default(),
            phase: Phase::Head,
            options,
            body: None,
            framing: Framing::None,
            keep_alive: true,
            ended: false,
            draining: false,
            deadline: Deadline::default(),
            progress: now,
            pace: Pace::default(),
            began: None,
            requests: 0,
            client: arrival.client.map(known),
            body_began: None,
            body_bytes: 0,
            awaits_continue: false,
            trailers: None,
            encoding: None,
            recoded: 0,
            told: None,
        }
    }

    pub(in crate::session) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.note_trust();
        self.note_tls();
        self.stream.receive(&mut context.reactor, key, false);
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
        let Some(session) = self.stream.tls() else { return };
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
        let event = self.stream.handle(&mut context.reactor, key, completion);
        self.handle_event(context, key, event);
    }

    pub(in crate::session) fn handle_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        event: StreamEvent,
    ) {
        if self.common.closing().is_some() {
            return;
        }
        match event {
            StreamEvent::Data(buf) => {
                self.common.count_received(context, buf.len());
                if matches!(self.phase, Phase::Ending(_) | Phase::Lingering(_)) {
                    // It is dropped, and gives no more time.
                    return;
                }
                self.progress = context.now();
                self.input.push(buf);
            }
            StreamEvent::End => self.ended = true,
            StreamEvent::Starved => {
                context.starved.push_back((key, CLIENT));
                return;
            }
            StreamEvent::Sent(bytes) => {
                self.outlet.sent(bytes);
                self.common.count_sent(context, bytes);
                self.progress = context.now();
                if self.stream.is_drained() {
                    self.pace.end();
                }
                if self.is_calm() {
                    return;
                }
            }
            StreamEvent::Broken(_) => {
                let reason = self.common.broken(&self.stream);
                self.close(context, key, reason);
                return;
            }
            StreamEvent::Writable
            | StreamEvent::Quiet
            | StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::Secured
            | StreamEvent::ConnectFailed(_) => {}
        }
        self.common.mark_dirty(context, key);
    }

    /// Whether a completed send leaves nothing to be done.
    fn is_calm(&self) -> bool {
        matches!(self.phase, Phase::Head)
            && self.input.is_empty()
            && !self.ended
            && !self.draining
            && self.stream.is_drained()
            && self.stream.is_receiving()
    }

    /// Reads requests, answers them, sends the answers, and decides whether to read on.
    pub(in crate::session) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.clear_dirty();
        if self.common.closing().is_some() {
            return;
        }
        self.work(context, key);
        if self.common.closing().is_some() {
            return;
        }
        self.outlet.finish(&mut context.pages, &mut self.stream);
        self.stream.flush(&mut context.reactor, key);
        match self.phase {
            Phase::Ending(reason) => self.say_end(context, key, reason),
            Phase::Lingering(reason) if self.ended => {
                self.close(context, key, reason);
                return;
            }
            Phase::Lingering(_) => self.stream.receive(&mut context.reactor, key, false),
            Phase::Head
            | Phase::Exchange(_)
            | Phase::File(_)
            | Phase::Verify(_)
            | Phase::Encoding
            | Phase::Listing
            | Phase::Echo
            | Phase::Discard => {
                self.read_on(context, key);
            }
        }
        if self.common.closing().is_none() {
            self.set_deadline(context, key);
        }
    }

    fn work<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        for _ in 0..REQUESTS_PER_TURN {
            let goes_on = match &self.phase {
                Phase::Head => self.read_request(context, key),
                Phase::Exchange(exchange) => {
                    let exchange = *exchange;
                    self.proceed(context, key, exchange)
                }
                Phase::File(_) => self.send_file(context, key),
                Phase::Echo => self.echo(context),
                Phase::Discard => self.discard(context),
                Phase::Encoding => self.proceed_encoding(context, key),
                Phase::Verify(_) | Phase::Listing | Phase::Ending(_) | Phase::Lingering(_) => false,
            };
            if !goes_on || self.common.closing().is_some() {
                return;
            }
        }
        // The budget of the turn is spent.
        self.common.mark_dirty(context, key);
    }

    /// Reads the head of a request and begins to answer it; false when there is none.
    fn read_request<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        if self.input.has_nothing_new() || !self.has_room() {
            return false;
        }
        let mut head = context.http.spare_heads.take();
        let Self { input, reader, options, .. } = self;
        let limits = &options.limits;
        let is_logged = options.access_log.is_some();
        let mut refused = Came::default();
        let found = input.read_head(|bytes| {
            let meta = reader.read(bytes, limits, &mut head).inspect_err(|refusal| {
                refused = Came::new(bytes, Some(*refusal), is_logged);
            })?;
            Ok(meta.map(|meta| (meta.len, meta)))
        });
        match found {
            Ok(Some(meta)) => {
                self.began = None;
                self.begin(context, key, head, &meta);
                true
            }
            Ok(None) => {
                context.http.spare_heads.give(head);
                self.began.get_or_insert_with(|| context.reactor.now());
                false
            }
            Err(refusal) => {
                context.http.spare_heads.give(head);
                self.refuse(context, refusal, refused);
                false
            }
        }
    }

    /// Whether the client takes what it is answered.
    pub(super) fn has_room(&mut self) -> bool {
        !self.stream.is_blocked() && self.outlet.waiting() < ANSWERS_MAX
    }

    /// The present answer is written: what follows on this connection.
    pub(super) fn after_answer<D: Driver>(&mut self, context: &mut Context<D>) {
        self.progress = context.now();
        self.recoded = 0;
        let is_read = self.body.as_ref().is_none_or(BodyReader::is_done);
        if is_read {
            self.body = None;
        }
        self.phase = if !self.keep_alive {
            Phase::Ending(CloseReason::Finished)
        } else if is_read {
            Phase::Head
        } else {
            Phase::Discard
        };
    }

    /// No more is read. What is written goes out first.
    pub(super) fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Ending(reason);
        self.input.clear();
    }

    pub(in crate::session) fn feed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        lane: crate::ring::Lane,
    ) {
        if lane == CLIENT {
            self.stream.feed(&mut context.reactor, key);
        } else if let Phase::File(transfer) = &mut self.phase {
            transfer.feed();
        }
        self.common.mark_dirty(context, key);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(in crate::session) fn hold(&mut self) {
        self.input.hold();
    }

    /// The server ends: what is under way is answered, and nothing more is begun.
    pub(in crate::session) fn drain<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.common.closing().is_none() && !self.draining {
            self.draining = true;
            self.keep_alive = false;
            self.common.mark_dirty(context, key);
        }
    }

    pub(in crate::session) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    pub(in crate::session) fn is_finished(&self) -> bool {
        let is_read = match &self.phase {
            Phase::File(transfer) => transfer.is_quiet(),
            Phase::Head
            | Phase::Exchange(_)
            | Phase::Verify(_)
            | Phase::Encoding
            | Phase::Listing
            | Phase::Echo
            | Phase::Discard
            | Phase::Ending(_)
            | Phase::Lingering(_) => true,
        };
        self.common.closing().is_some() && self.stream.is_quiet() && is_read
    }

    pub(in crate::session) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        context.close_stream(key, self.stream);
        let address = self.client.as_ref().and_then(|peer| peer.address);
        let address = address.map(SocketAddress::inet);
        self.common.record_end(context, address, &Onward::default());
    }

    pub(super) fn close<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        reason: CloseReason,
    ) {
        if self.common.closing().is_some() {
            return;
        }
        self.give_request_up(context, reason);
        self.leave(context);
        self.deadline.disarm(context);
        self.common.begin_close(context, reason);
        self.input.clear();
        context.abandon_stream(key, &mut self.stream, reason);
    }

    /// The request that is under way is over, without an answer or with a part of one.
    fn give_request_up<D: Driver>(&mut self, context: &mut Context<D>, reason: CloseReason) {
        let given_up = match &mut self.phase {
            Phase::Exchange(exchange) => {
                let exchange = *exchange;
                self.phase = Phase::Ending(reason);
                context.end_exchange(exchange)
            }
            // A read may be in flight: the file is kept until it has ended.
            Phase::File(transfer) => transfer.take_request(),
            Phase::Head
            | Phase::Verify(_)
            | Phase::Listing
            | Phase::Encoding
            | Phase::Echo
            | Phase::Discard
            | Phase::Ending(_)
            | Phase::Lingering(_) => self.told.take().map(|told| *told),
        };
        let Some((head, mut told)) = given_up else { return };
        told.reason = told.reason.or_else(|| Some(reason.name()));
        self.finish_request(context, head, &told);
        if told.status != 0 {
            // The end of the connection may be that of the answer's body.
            self.stream.reset_on_close(&mut context.reactor);
        }
    }

    /// What is written is out: the client is told that nothing more follows.
    fn say_end<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        if !self.stream.is_drained() {
            return;
        }
        let is_read = self.body.as_ref().is_none_or(BodyReader::is_done);
        if self.ended || (is_read && self.input.is_empty() && reason == CloseReason::Finished) {
            if self.stream.say_end(&mut context.reactor, key) {
                self.close(context, key, reason);
            }
            return;
        }
        match self.stream.shutdown_write(&mut context.reactor, key) {
            Ok(true) => {}
            Ok(false) => return,
            Err(_) => {
                self.close(context, key, reason);
                return;
            }
        }
        self.phase = Phase::Lingering(reason);
        self.progress = context.now();
        self.stream.receive(&mut context.reactor, key, false);
    }

    fn read_on<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let is_idle = matches!(self.phase, Phase::Head) && self.reader_is_idle();
        if is_idle && (self.ended || self.draining) && self.input.is_empty() {
            self.end(CloseReason::Finished);
            self.say_end(context, key, CloseReason::Finished);
            return;
        }
        if self.ended && self.is_abandoned(context) {
            self.close(context, key, CloseReason::ClientGone);
            return;
        }
        if self.ended && !self.is_whole() && self.input.has_nothing_new() {
            // What it began to send it will never end.
            self.close(context, key, CloseReason::ClientReset);
            return;
        }
        if self.input.is_empty() || (self.wants_input(context) && self.input.has_nothing_new()) {
            if !self.ended {
                self.stream.receive(&mut context.reactor, key, false);
            }
        } else {
            let is_full = self.input.cost() > AHEAD_MAX || !self.wants_input(context);
            if is_full && self.stream.is_receiving() {
                context.stats().relay.pauses.add(1);
                self.stream.pause(&mut context.reactor, key);
            } else if !is_full && !self.ended {
                self.stream.receive(&mut context.reactor, key, false);
            }
        }
    }

    /// Whether the client has gone while a server is answering it: it has ended its side without
    /// `connection: close`. Its connection to the server is then freed.
    fn is_abandoned<D>(&self, context: &Context<D>) -> bool {
        let Phase::Exchange(exchange) = self.phase else { return false };
        match self.options.half_close {
            HalfClose::Allow => false,
            HalfClose::Refuse => true,
            // Behind this request there is another, of which the same is asked in its turn.
            HalfClose::Auto if !self.input.is_empty() => false,
            HalfClose::Auto => !context.http.closes(exchange),
        }
    }

    const fn reader_is_idle(&self) -> bool {
        self.began.is_none()
    }

    /// Whether no part of a request is missing.
    fn is_whole(&self) -> bool {
        let body = self.body.as_ref().is_none_or(BodyReader::is_done);
        body && (!matches!(self.phase, Phase::Head) || self.reader_is_idle())
    }

    /// Whether more input could be used at once.
    fn wants_input<D>(&self, context: &Context<D>) -> bool {
        match self.phase {
            Phase::Head => !self.stream.is_blocked(),
            Phase::Exchange(exchange) => context.http.takes_body(exchange),
            Phase::Discard => true,
            Phase::Echo => !self.stream.is_blocked(),
            Phase::File(_)
            | Phase::Verify(_)
            | Phase::Encoding
            | Phase::Listing
            | Phase::Ending(_)
            | Phase::Lingering(_) => false,
        }
    }
}
