//! What a socket waits for, and how long.

use std::time::{Duration, Instant};

use super::{Progress, Socket};
use crate::proto::websocket::{CloseCode, Closing, Control, Opcode, write};
use crate::ring::Driver;
use crate::service::age;
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::websocket::WebSocketOptions;

/// A socket on which no message has gone either way for so long is closed among the first when the
/// server drains.
const QUIET: Duration = Duration::from_secs(5);

/// The times of a socket.
#[derive(Debug)]
pub(super) struct Times {
    /// When something came last.
    pub(super) heard: Instant,
    /// When a message came or went last.
    pub(super) active: Instant,
    /// When the ping was sent that is not answered.
    pinged: Option<Instant>,
    ping_interval: Option<Duration>,
    idle_timeout: Option<Duration>,
    /// When the close handshake must be done.
    pub(super) close_by: Option<Instant>,
    /// When it is closed because the server drains.
    drain_at: Option<Instant>,
    /// Messages a second, and at once.
    rate: Option<(u32, u32)>,
    /// When as many messages may come at once again as ever may.
    full_at: Option<Instant>,
}

impl Times {
    pub(super) const fn new(now: Instant, options: &WebSocketOptions) -> Self {
        Self {
            heard: now,
            active: now,
            pinged: None,
            ping_interval: options.ping_interval,
            idle_timeout: options.idle_timeout,
            close_by: None,
            drain_at: None,
            rate: options.message_rate,
            full_at: None,
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self, closing: Closing) -> Option<Instant> {
        match closing {
            Closing::Open => {
                let idle = self.idle_timeout.map(|timeout| self.heard + timeout);
                [idle, self.ping_at(), self.drain_at].into_iter().flatten().min()
            }
            Closing::Sent | Closing::Done => self.close_by,
        }
    }

    fn ping_at(&self) -> Option<Instant> {
        let since = self.pinged.map_or(self.heard, |pinged| pinged.max(self.heard));
        self.ping_interval.map(|interval| since + interval)
    }

    /// A pong has come: how long the ping has taken.
    pub(super) fn ponged(&mut self, now: Instant) -> Option<Duration> {
        self.pinged.take().map(|pinged| now.saturating_duration_since(pinged))
    }

    /// Whether one more message may come now.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        self.active = now;
        let Some((rate, burst)) = self.rate else { return true };
        let (rate, burst) = (rate.max(1), burst.max(1));
        let interval = Duration::from_secs(1) / rate;
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        if full_at.saturating_duration_since(now) > interval * (burst - 1) {
            return false;
        }
        self.full_at = Some(full_at + interval);
        true
    }
}

impl Http {
    /// The server drains: when this socket is closed. Those on which nothing happens come first.
    pub(super) fn plan_drain<D: Driver>(&mut self, context: &Context<D>, socket: &mut Socket) {
        if socket.times.drain_at.is_some() {
            return;
        }
        let now = context.now();
        let window = self.socket_options(socket).map_or(Duration::ZERO, |one| one.drain_window);
        let half = window / 2;
        let place = age::part_of(half, self.io.common.id() ^ u64::from(self.wire.stream()));
        let is_quiet = now.saturating_duration_since(socket.times.active) >= QUIET;
        socket.times.drain_at = Some(now + if is_quiet { place } else { half + place });
    }

    /// The time of something is over.
    pub(super) fn socket_due<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
    ) -> Progress {
        let now = context.now();
        if socket.endpoint.closing() != Closing::Open {
            // The peer does not close its side.
            return self.cut_socket(context);
        }
        let times = &mut socket.times;
        if times.idle_timeout.is_some_and(|timeout| times.heard + timeout <= now) {
            self.close_socket(context, socket, CloseCode::GOING_AWAY, "idle");
        } else if times.drain_at.is_some_and(|at| at <= now) {
            let code = self.socket_options(socket).map_or(CloseCode::RESTART, |one| one.drain_code);
            self.close_socket(context, socket, code, "the server restarts");
        } else if times.ping_at().is_some_and(|at| at <= now) {
            times.pinged = Some(now);
            let mut frames = self.frames(context);
            write::control(Opcode::Ping, PING, None, frames.bytes());
            frames.finish();
        }
        Progress::Waits
    }

    /// A pong has come.
    pub(super) fn note_pong<D: Driver>(
        &self,
        context: &Context<D>,
        socket: &mut Socket,
        pong: &Control,
    ) {
        if pong.bytes() != PING {
            // It answers nothing of ours.
            return;
        }
        let taken = socket.times.ponged(context.now());
        if let (Some(taken), Some(stats)) = (taken, self.socket_stats(context, socket)) {
            stats.pongs.add(1);
            stats.pong_micros.add(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// What our pings say.
const PING: &[u8] = b"ringway";
