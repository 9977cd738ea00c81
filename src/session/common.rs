//! What every connection has: its number, its timer, its counts, its end.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Due;
use super::context::Context;
use super::plan::ListenerPlan;
use crate::mem::Key;
use crate::net::Stream;
use crate::ring::{Driver, SocketAddress};
use crate::runtime::TimerId;
use crate::service::CloseReason;
use crate::service::pace::Pace;

/// Where a connection went on, for its line in the log.
#[derive(Debug, Default)]
pub(super) struct Onward {
    pub(super) upstream: Option<usize>,
    /// The server that it went to, or that was tried last.
    pub(super) server: Option<usize>,
    /// The name that the client asked for by TLS.
    pub(super) name: Option<Box<str>>,
}

/// The part of a connection that does not depend on its service.
#[derive(Debug)]
pub(super) struct Common {
    id: u64,
    /// The listener, as the connection's plan has it.
    pub(super) listener: Rc<ListenerPlan>,
    opened: Instant,
    last_active: Instant,
    /// What peers have taken, while bytes wait for them and nothing else moves.
    pace: Pace,
    timer: Option<TimerId>,
    dirty: bool,
    closing: Option<CloseReason>,
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Common {
    pub(super) fn new<D: Driver>(context: &mut Context<D>, listener: Rc<ListenerPlan>) -> Self {
        let now = context.now();
        Self {
            id: context.next_id(),
            listener,
            opened: now,
            last_active: now,
            pace: Pace::default(),
            timer: None,
            dirty: false,
            closing: None,
            received: 0,
            sent: 0,
        }
    }

    /// When it was opened.
    pub(super) const fn opened(&self) -> Instant {
        self.opened
    }

    /// The connection's number in the logs.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Has the connection flushed at the end of the turn.
    pub(super) fn mark_dirty<D>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.dirty {
            self.dirty = true;
            context.dirty.push(key);
        }
    }

    /// The connection has used up its share of the turn, or `is_served` is false and it found none
    /// left: it goes on in the next one, before those that have not waited.
    pub(super) fn postpone<D>(&mut self, context: &mut Context<D>, key: Key, is_served: bool) {
        if !self.dirty {
            self.dirty = true;
            let list = if is_served { &mut context.postponed } else { &mut context.unserved };
            list.push(key);
        }
    }

    /// The connection is being flushed.
    pub(super) fn clear_dirty(&mut self) {
        self.dirty = false;
    }

    /// Replaces the timer.
    pub(super) fn arm<D: Driver>(&mut self, context: &mut Context<D>, key: Key, after: Duration) {
        self.disarm(context);
        let deadline = context.now() + after;
        self.timer = Some(context.reactor.arm(deadline, Due::Session(key)));
    }

    pub(super) fn disarm<D: Driver>(&mut self, context: &mut Context<D>) {
        if let Some(timer) = self.timer.take() {
            context.reactor.disarm(timer);
        }
    }

    /// The timer has fired and is spent.
    pub(super) fn timer_fired(&mut self) {
        self.timer = None;
    }

    /// Bytes came from the client.
    pub(super) fn count_received<D: Driver>(&mut self, context: &Context<D>, bytes: usize) {
        self.last_active = context.now();
        self.received += bytes as u64;
        self.listener.stats.received.add(bytes as u64);
    }

    /// Bytes went to the client.
    pub(super) fn count_sent<D: Driver>(&mut self, context: &Context<D>, bytes: usize) {
        self.last_active = context.now();
        self.sent += bytes as u64;
        self.listener.stats.sent.add(bytes as u64);
    }

    /// Bytes moved between us and the upstream.
    pub(super) fn note_active<D: Driver>(&mut self, context: &Context<D>) {
        self.last_active = context.now();
    }

    /// The idle timer has fired: whether the connection was idle all that time. If not, the timer
    /// is armed for what is left; this is why moving bytes costs no timer.
    ///
    /// A slow reader may drain its socket for long while nothing moves here. So while bytes are not
    /// acknowledged, newly acknowledged ones are checked for every quarter of the limit; they count
    /// as activity.
    pub(super) fn is_idle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        limit: Duration,
        streams: &[Stream],
    ) -> bool {
        let now = context.now();
        let mut taken = 0;
        let mut is_owed = false;
        for stream in streams {
            let owed = stream.unacknowledged(&mut context.reactor) as u64;
            is_owed |= owed > 0;
            taken += stream.written().saturating_sub(owed);
        }
        if !is_owed {
            self.pace.end();
        } else if !self.pace.is_measured() || self.pace.observe(now, taken) {
            self.pace.begin(now, taken);
            self.last_active = now;
        }
        let idle = now.saturating_duration_since(self.last_active);
        if idle >= limit {
            return true;
        }
        let rest = limit - idle;
        self.arm(context, key, if is_owed { rest.min(limit / 4) } else { rest });
        false
    }

    /// Why the connection is ending, if it is.
    pub(super) fn closing(&self) -> Option<CloseReason> {
        self.closing
    }

    /// Why the connection ends whose client's stream is broken.
    pub(super) fn broken(&self, stream: &Stream) -> CloseReason {
        let Some(error) = stream.tls_error() else { return CloseReason::ClientReset };
        tracing::debug!(id = self.id, %error, "TLS has failed");
        CloseReason::TlsFailed
    }

    /// The connection ends. The first reason stays.
    pub(super) fn begin_close<D: Driver>(&mut self, context: &mut Context<D>, reason: CloseReason) {
        if self.closing.is_none() {
            self.closing = Some(reason);
        }
        self.disarm(context);
    }

    /// The connection has ended: counts it and writes its line.
    pub(super) fn record_end<D: Driver>(
        &self,
        context: &mut Context<D>,
        client: Option<SocketAddress>,
        onward: &Onward,
    ) {
        let reason = self.closing.unwrap_or(CloseReason::Finished);
        let stats = &self.listener.stats;
        stats.active.decrement();
        stats.closed[reason.index()].add(1);
        context.cell().active.decrement();
        let duration = context.now().saturating_duration_since(self.opened);
        context.histograms.duration.record(duration);
        if context.options.access_log {
            let show = |address: Option<SocketAddress>| {
                address.map_or_else(|| "-".to_owned(), |address| address.to_string())
            };
            let upstream = onward.upstream.map(|upstream| &context.plan.upstreams[upstream]);
            let server = upstream.zip(onward.server).map(|(one, server)| one.servers[server]);
            tracing::info!(
                target: "access",
                id = self.id,
                listener = %self.listener.options.name,
                client = %show(client),
                upstream = upstream.map(|upstream| upstream.name.as_str()),
                server = %show(server),
                name = onward.name.as_deref(),
                received = self.received,
                sent = self.sent,
                seconds = duration.as_secs_f64(),
                reason = reason.name(),
                "connection"
            );
        }
    }
}
