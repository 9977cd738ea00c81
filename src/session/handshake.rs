//! A client's connection until its TLS handshake is done; then it becomes the session that its
//! listener is for.

use std::time::{Duration, Instant};

use super::Sessions;
use super::common::Common;
use super::context::Context;
use super::kind::Session;
use super::options::TlsOptions;
use crate::mem::Key;
use crate::net::tls::{Fault, Session as TlsSession, TlsError};
use crate::net::{Stream, StreamEvent};
use crate::ring::{Completion, Driver, Lane};
use crate::service::CloseReason;

/// What a client is told that speaks HTTP to a port of TLS.
const PLAIN_HTTP: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
    content-length: 56\r\nconnection: close\r\n\r\n\
    This port speaks HTTPS only. Use https:// to ask again.\n";

/// A handshake with a client.
#[derive(Debug)]
pub(super) struct Handshake {
    common: Common,
    stream: Stream,
    began: Instant,
    timeout: Duration,
    /// It counts among the handshakes under way.
    counted: bool,
}

impl Handshake {
    pub(super) fn new(common: Common, mut stream: Stream, tls: &TlsOptions) -> Self {
        // Without one, it fails as it starts.
        if let Ok(session) = TlsSession::server(&tls.config, tls.handshake_max) {
            stream.secure(session);
        }
        let began = common.opened();
        Self { common, stream, began, timeout: tls.handshake_timeout, counted: false }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.counted = true;
        context.handshakes += 1;
        if self.stream.is_plain() {
            self.close(context, key, CloseReason::TlsFailed);
            return;
        }
        self.common.arm(context, key, self.timeout);
        self.stream.receive(&mut context.reactor, key, false);
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let event = self.stream.handle(&mut context.reactor, key, completion);
        if self.common.closing().is_some() {
            return;
        }
        match event {
            StreamEvent::Secured => {
                let stats = &context.listener_stats(self.common.listener).tls;
                stats.established(self.stream.tls());
                let took = context.now().saturating_duration_since(self.began);
                context.histograms.handshake.record(took);
                self.leave(context);
                context.secured.push(key);
            }
            StreamEvent::End => self.fail(context, key, Fault::Truncated),
            StreamEvent::Broken(_) => {
                let fault = self.stream.tls_error().map_or(Fault::Truncated, TlsError::fault);
                self.fail(context, key, fault);
            }
            StreamEvent::Starved => context.starved.push_back((key, Lane::Client)),
            StreamEvent::Writable => self.common.mark_dirty(context, key),
            StreamEvent::Data(_)
            | StreamEvent::Sent(_)
            | StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::ConnectFailed(_)
            | StreamEvent::Quiet => {}
        }
    }

    fn fail<D: Driver>(&mut self, context: &mut Context<D>, key: Key, fault: Fault) {
        context.listener_stats(self.common.listener).tls.failed[fault.index()].add(1);
        if let Some(error) = self.stream.tls_error() {
            let listener = &context.options.listeners[self.common.listener].name;
            tracing::debug!(id = self.common.id(), listener, %error, "TLS handshake failed");
        }
        if let (Fault::PlainHttp, Some(socket)) = (fault, self.stream.fd()) {
            // Who does not take it has asked for nothing.
            let _full = context.reactor.driver().send_now(socket, PLAIN_HTTP);
            context.reactor.driver().shutdown_read(socket);
        }
        self.close(context, key, CloseReason::TlsFailed);
    }

    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.clear_dirty();
        if self.common.closing().is_none() {
            self.stream.flush(&mut context.reactor, key);
            self.stream.receive(&mut context.reactor, key, false);
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed();
        self.common.mark_dirty(context, key);
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.timer_fired();
        self.close(context, key, CloseReason::TlsTimeout);
    }

    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        if self.common.closing().is_some() {
            return;
        }
        self.leave(context);
        self.common.begin_close(context, reason);
        let _lost = self.stream.abandon(&mut context.reactor, key);
    }

    /// It is no handshake any more.
    fn leave<D: Driver>(&mut self, context: &mut Context<D>) {
        self.common.disarm(context);
        if std::mem::take(&mut self.counted) {
            context.handshakes -= 1;
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.common.closing().is_some() && self.stream.is_quiet()
    }

    pub(super) fn finish<D: Driver>(mut self, context: &mut Context<D>, key: Key) {
        self.stream.close(&mut context.reactor, key);
        self.common.record_end(context, None, None);
    }

    /// What the next session takes over.
    pub(super) fn into_parts(self) -> (Common, Stream) {
        (self.common, self.stream)
    }
}

impl<D: Driver> Sessions<D> {
    /// A handshake is done: the connection becomes the session that its listener is for.
    pub(super) fn serve_secured(&mut self, key: Key) {
        let context = &mut self.context;
        let mut early = None;
        self.slab.replace(key, |session| {
            let Session::Handshake(handshake) = session else { return session };
            let (common, mut stream) = handshake.into_parts();
            early = stream.take_held();
            Session::serve(context, common, stream)
        });
        let Some(session) = self.slab.get_mut(key) else { return };
        session.start(&mut self.context, key);
        if let Some(early) = early {
            session.take_early(&mut self.context, key, early);
        }
        if self.draining {
            session.drain(&mut self.context, key);
        }
    }
}
