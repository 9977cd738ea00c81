//! A connection before its session: the PROXY protocol header, the name that a TLS client asks for,
//! the TLS handshake. Which of them there are is the listener's to say.
//!
//! ```text
//!   Header ──> Hello ──> Handshake ──> Open: the session takes over
//!     │          │           │
//!     └──────────┴───────────┴──────> closed, with a reason
//! ```

use std::sync::Arc;
use std::time::Instant;

use super::arrival::Arrival;
use super::common::{Common, Onward};
use super::context::Context;
use super::options::{ListenerOptions, ServiceOptions, SniOptions, TlsOptions};
use crate::mem::{Buf, Key};
use crate::net::tls::{Fault, Session as TlsSession, Subject, clear_alert};
use crate::net::{Stream, StreamEvent};
use crate::proto::proxy_protocol::{self, Parsed, Source};
use crate::proto::tls::{ClientHello, HelloRead, HelloReader};
use crate::ring::{Completion, Driver, Lane, SocketAddress};
use crate::service::CloseReason;

/// What a client is told that speaks HTTP to a port of TLS.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 56\r\nconnection: close\r\n\r\n\
    This port speaks HTTPS only. Use https:// to ask again.\n";
/// The alert for a name that nobody here has (RFC 6066, section 3).
const UNRECOGNIZED_NAME: u8 = 112;

/// A connection that is being opened.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) common: Common,
    stream: Stream,
    began: Instant,
    stage: Stage,
    /// What has come of the header or the hello.
    seen: Vec<u8>,
    arrival: Arrival,
    /// It counts among the handshakes under way.
    counted: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The PROXY protocol header.
    Header,
    /// The client's first message of TLS, which is only looked at.
    Hello(HelloReader),
    /// The end of the TLS handshake.
    Handshake,
    /// Nothing: the session begins.
    Open,
}

/// What a listener wants to know of a TLS client, or does with it, before the session begins.
enum Greeting {
    /// Nothing: its connections are without TLS.
    None,
    /// The name in the first message, by which it is passed on as it is.
    Name(Arc<SniOptions>),
    /// A handshake.
    Handshake(Arc<TlsOptions>),
}

impl Greeting {
    fn of(listener: &ListenerOptions) -> Self {
        match (&listener.service, &listener.tls) {
            (ServiceOptions::Sni(sni), _) => Self::Name(Arc::clone(sni)),
            (_, Some(tls)) => Self::Handshake(Arc::clone(tls)),
            (_, None) => Self::None,
        }
    }
}

impl Handshake {
    /// Whether there is anything before the session of a listener's connections.
    pub(super) fn is_needed(listener: &ListenerOptions) -> bool {
        listener.accept_header || !matches!(Greeting::of(listener), Greeting::None)
    }

    /// How many connections of a listener may be within a hello or a handshake, on one worker.
    pub(super) fn most(listener: &ListenerOptions) -> Option<usize> {
        match Greeting::of(listener) {
            Greeting::None => None,
            Greeting::Name(sni) => Some(sni.hellos_max),
            Greeting::Handshake(tls) => Some(tls.handshakes_max),
        }
    }

    pub(super) const fn new(common: Common, stream: Stream, arrival: Arrival) -> Self {
        let began = common.opened();
        Self {
            common,
            stream,
            began,
            stage: Stage::Header,
            seen: Vec::new(),
            arrival,
            counted: false,
        }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let listener = &self.common.listener.options;
        if Self::most(listener).is_some() {
            self.counted = true;
            let number = self.common.listener.number();
            if number >= context.handshakes.len() {
                context.handshakes.resize(number + 1, 0);
            }
            context.handshakes[number] += 1;
        }
        if listener.accept_header {
            let wait = listener.header_timeout;
            self.common.arm(context, key, wait);
            self.stream.receive(&mut context.reactor, key, true);
        } else {
            self.greet(context, key);
        }
    }

    /// There is no header, or it was read: what follows.
    fn greet<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match Greeting::of(&self.common.listener.options) {
            Greeting::None => self.open(context, key),
            Greeting::Name(sni) => {
                self.common.arm(context, key, sni.hello_timeout);
                self.await_hello(context, key);
            }
            Greeting::Handshake(tls) => {
                self.common.arm(context, key, tls.handshake_timeout);
                if tls.resolver.is_strict() {
                    self.await_hello(context, key);
                } else {
                    self.secure(context, key, &tls);
                }
            }
        }
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let event = self.stream.handle(&mut context.reactor, key, completion);
        self.handle_event(context, key, event);
    }

    fn handle_event<D: Driver>(&mut self, context: &mut Context<D>, key: Key, event: StreamEvent) {
        if self.common.closing().is_some() {
            return;
        }
        match event {
            StreamEvent::Data(buf) => self.take(context, key, &buf),
            StreamEvent::Secured => {
                let stats = &self.common.listener.stats.tls;
                stats.established(self.stream.tls());
                let took = context.now().saturating_duration_since(self.began);
                context.histograms.handshake.record(took);
                self.tell_client(context);
                self.open(context, key);
            }
            StreamEvent::End => self.ended(context, key),
            StreamEvent::Broken(_) => {
                let Some(error) = self.stream.tls_error() else {
                    self.ended(context, key);
                    return;
                };
                let listener = &self.common.listener.options.name;
                tracing::debug!(id = self.common.id(), listener, %error, "TLS handshake failed");
                self.fail(context, key, error.fault());
            }
            StreamEvent::Starved => context.starved.push_back((key, Lane::Client)),
            StreamEvent::Writable => self.common.mark_dirty(context, key),
            StreamEvent::Sent(_)
            | StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::ConnectFailed(_)
            | StreamEvent::Quiet => {}
        }
    }

    /// Whose certificate was shown, beside the line that the connection will have.
    fn tell_client<D: Driver>(&self, context: &Context<D>) {
        let shown = self.stream.tls().filter(|_| context.options.access_log);
        if let Some(Subject { name, alternatives, fingerprint }) =
            shown.and_then(TlsSession::client_certificate)
        {
            tracing::info!(
                target: "access",
                id = self.common.id(),
                listener = %self.common.listener.options.name,
                subject = %name,
                names = %alternatives,
                %fingerprint,
                "client certificate"
            );
        }
    }

    fn take<D: Driver>(&mut self, context: &mut Context<D>, key: Key, bytes: &[u8]) {
        match self.stage {
            Stage::Header => {
                self.seen.extend_from_slice(bytes);
                self.read_header(context, key);
            }
            Stage::Hello(reader) => {
                self.seen.extend_from_slice(bytes);
                self.read_hello(context, key, reader);
            }
            // By then, what comes is TLS, and the stream keeps it.
            Stage::Handshake | Stage::Open => {}
        }
    }

    /// The client is gone before its time.
    fn ended<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match self.stage {
            Stage::Header => self.close(context, key, CloseReason::ProxyHeaderInvalid),
            Stage::Hello(_) | Stage::Handshake => self.fail(context, key, Fault::Truncated),
            Stage::Open => {}
        }
    }

    fn read_header<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        match proxy_protocol::parse(&self.seen) {
            Ok(Parsed::Incomplete { .. }) => self.stream.receive(&mut context.reactor, key, true),
            Ok(Parsed::Complete { header, consumed }) => {
                if let Source::Inet { source, destination } = header.source {
                    self.arrival.client = Some(SocketAddress::inet(source));
                    self.arrival.destination = Some(SocketAddress::inet(destination));
                }
                self.seen.drain(..consumed);
                self.began = context.now();
                match context.admit(&self.common.listener, &mut self.arrival) {
                    Ok(()) => self.greet(context, key),
                    Err(reason) => self.close(context, key, reason),
                }
            }
            Err(error) => {
                tracing::debug!(id = self.common.id(), %error, "PROXY protocol header refused");
                self.close(context, key, CloseReason::ProxyHeaderInvalid);
            }
        }
    }

    fn await_hello<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.seen.is_empty() {
            self.stage = Stage::Hello(HelloReader::new());
            self.stream.receive(&mut context.reactor, key, true);
        } else {
            self.read_hello(context, key, HelloReader::new());
        }
    }

    fn read_hello<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        mut reader: HelloReader,
    ) {
        let progress = reader.handle_bytes(&self.seen);
        self.stage = Stage::Hello(reader);
        match progress {
            HelloRead::NeedMore => self.stream.receive(&mut context.reactor, key, true),
            HelloRead::Hello(hello) => self.take_hello(context, key, &hello),
            HelloRead::NotTls { looks_like_http } => {
                let fault = if looks_like_http { Fault::PlainHttp } else { Fault::NotTls };
                self.fail(context, key, fault);
            }
            HelloRead::Malformed(rule) => {
                tracing::debug!(id = self.common.id(), %rule, "TLS hello refused");
                self.refuse(context, key, Fault::Protocol, rule.alert());
            }
        }
    }

    /// Passes the connection on by its name, or goes on with the handshake if it is ours.
    fn take_hello<D: Driver>(&mut self, context: &mut Context<D>, key: Key, hello: &ClientHello) {
        let name = hello.server_name.as_deref();
        if context.options.access_log {
            self.arrival.name = name.map(Box::from);
        }
        let found = match Greeting::of(&self.common.listener.options) {
            Greeting::None => true,
            Greeting::Name(sni) => {
                self.arrival.upstream = sni.upstream(name);
                self.arrival.upstream.is_some()
            }
            Greeting::Handshake(tls) if tls.resolver.knows(name) => {
                self.secure(context, key, &tls);
                return;
            }
            Greeting::Handshake(_) => false,
        };
        if found {
            self.open(context, key);
        } else {
            tracing::debug!(id = self.common.id(), name, "nobody here has this name");
            self.refuse(context, key, Fault::UnknownName, UNRECOGNIZED_NAME);
        }
    }

    /// Begins the handshake, with what has come of it.
    fn secure<D: Driver>(&mut self, context: &mut Context<D>, key: Key, tls: &TlsOptions) {
        self.stage = Stage::Handshake;
        match TlsSession::server(&tls.config.get(), tls.handshake_max) {
            Ok(session) => {
                self.stream.secure(session);
                tls.kernel.iter().for_each(|kernel| self.stream.offer_kernel(Arc::clone(kernel)));
            }
            Err(error) => {
                let now = context.now();
                if let Some(others) = context.notices.tls.due(now) {
                    let id = self.common.id();
                    tracing::error!(id, others, %error, "no TLS session can be made");
                }
                self.fail(context, key, Fault::Internal);
                return;
            }
        }
        let seen = std::mem::take(&mut self.seen);
        if !seen.is_empty() {
            let event = self.stream.open_received(&mut context.reactor, key, &Buf::copy_of(&seen));
            self.handle_event(context, key, event);
        }
        if self.common.closing().is_none() {
            self.stream.receive(&mut context.reactor, key, false);
        }
    }

    fn open<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stage = Stage::Open;
        self.leave(context);
        context.opened.push(key);
    }

    /// The client is told by a fatal alert (RFC 8446, section 6.2).
    fn refuse<D: Driver>(&mut self, context: &mut Context<D>, key: Key, fault: Fault, alert: u8) {
        self.stream.say_last(&mut context.reactor, &clear_alert(alert));
        self.fail(context, key, fault);
    }

    fn fail<D: Driver>(&mut self, context: &mut Context<D>, key: Key, fault: Fault) {
        self.common.listener.stats.tls.failed[fault.index()].add(1);
        if fault == Fault::PlainHttp {
            self.stream.say_last(&mut context.reactor, PLAIN_HTTP);
        }
        self.close(context, key, CloseReason::TlsFailed);
    }

    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.clear_dirty();
        if self.common.closing().is_none() {
            let is_handshake = matches!(self.stage, Stage::Handshake);
            self.stream.flush(&mut context.reactor, key);
            self.stream.receive(&mut context.reactor, key, !is_handshake);
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed(&mut context.reactor, key);
        self.common.mark_dirty(context, key);
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.timer_fired();
        let reason = match self.stage {
            Stage::Header => CloseReason::ProxyHeaderTimeout,
            Stage::Hello(_) | Stage::Handshake | Stage::Open => CloseReason::TlsTimeout,
        };
        self.close(context, key, reason);
    }

    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        if self.common.closing().is_some() {
            return;
        }
        self.leave(context);
        context.dismiss(&self.common.listener, &mut self.arrival);
        self.common.begin_close(context, reason);
        let _lost = self.stream.abandon(&mut context.reactor, key);
    }

    /// It is no handshake any more.
    fn leave<D: Driver>(&mut self, context: &mut Context<D>) {
        self.common.disarm(context);
        if std::mem::take(&mut self.counted) {
            context.handshakes[self.common.listener.number()] -= 1;
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.common.closing().is_some() && self.stream.is_quiet()
    }

    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        context.close_stream(key, self.stream);
        let onward = Onward { name: self.arrival.name, ..Onward::default() };
        self.common.record_end(context, self.arrival.client, &onward);
    }

    /// What the session takes over, and the bytes that are for it already.
    pub(super) fn into_parts(mut self) -> (Common, Stream, Arrival, Option<Buf>) {
        let seen = (!self.seen.is_empty()).then(|| Buf::copy_of(&self.seen));
        let early = self.stream.take_held().or(seen);
        (self.common, self.stream, self.arrival, early)
    }
}
