//! What is waited for on a client's connection, how long, and what follows when it does not come.

use std::time::{Duration, Instant};

use super::request::Request;
use super::{Http, Phase};
use crate::mem::Key;
use crate::ring::Driver;
use crate::service::pace::{self, Pace};
use crate::service::proxy::http::Exchange;
use crate::service::{CloseReason, LINGER};
use crate::session::Due;
use crate::session::context::Context;
use crate::session::deadline::Deadline;

/// How often it is looked whether a client that sends no more, and waits for the answer of a
/// server, is still there. When it has gone, nothing else would tell.
const HANG_UP_LOOK: Duration = Duration::from_secs(1);

/// What is waited for on a connection.
#[derive(Debug)]
pub(in crate::session::http) struct Waits {
    deadline: Deadline,
    /// When the client last sent or took something, or began to wait.
    pub(in crate::session::http) progress: Instant,
    /// How the client takes what it is sent, while it takes no more for now.
    pub(in crate::session::http) pace: Pace,
    /// When the present head began to come.
    pub(in crate::session::http) began: Option<Instant>,
    /// When the present body began to come.
    pub(in crate::session::http) body_began: Option<Instant>,
}

impl Waits {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            deadline: Deadline::default(),
            progress: now,
            pace: Pace::default(),
            began: None,
            body_began: None,
        }
    }
}

impl Http {
    /// Whether the client sends no more and is taken for one that still reads.
    fn is_reader(&self) -> bool {
        self.wire.has_ended() && self.is_being_answered()
    }

    /// Whether a server or a handler has to answer the present request.
    fn is_being_answered(&self) -> bool {
        self.exchange().is_some() || self.request.as_ref().is_some_and(Request::is_handled)
    }

    /// Whether the connection carries a tunnel, on which nothing is waited for that could be late:
    /// its exchange has a time of its own.
    pub(super) fn is_tunnel<D>(&self, context: &Context<D>) -> bool {
        let exchange = self.exchange().and_then(|exchange| context.http.proxy.get(exchange));
        exchange.is_some_and(Exchange::is_tunnel)
    }

    fn look_for_hang_up<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let is_gone = self.io.stream.fd().is_none_or(|fd| context.reactor.driver().is_hung_up(fd));
        if is_gone {
            self.close(context, key, CloseReason::ClientReset);
        } else {
            self.waits.progress = context.now();
            self.set_deadline(context, key);
        }
    }

    pub(in crate::session) fn handle_timeout<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
    ) {
        if !self.waits.deadline.fired(&mut context.reactor, Due::Session(key)) {
            return;
        }
        if self.wire.is_http2() {
            self.watch_all(context, key);
        }
        if self.waits.pace.is_measured() {
            let taken = self.io.stream.acknowledged(&mut context.reactor);
            self.waits.pace.observe(context.now(), taken);
        }
        if let Some(at) = self.due_at(context).filter(|at| *at > context.now()) {
            // What was waited for has come meanwhile, and something else is waited for.
            self.waits.deadline.set(&mut context.reactor, Due::Session(key), at);
            return;
        }
        if self.handled_until().is_some_and(|until| until <= context.now()) {
            // The time of a request is over, and not that of the client.
            return self.io.mark_dirty(context, key);
        }
        let waits_for_reader = !self.io.stream.is_drained() || self.io.stream.is_blocked();
        if !waits_for_reader && self.is_reader() {
            self.look_for_hang_up(context, key);
            return;
        }
        if self.wire.is_http2() && self.is_open() && !waits_for_reader {
            return self.streams_due(context, key);
        }
        match &self.phase {
            Phase::Head if waits_for_reader => self.close(context, key, CloseReason::SlowReader),
            Phase::Head if self.waits.began.is_some() => {
                self.tell_timeout(context, key, CloseReason::HeadTimeout);
            }
            Phase::Head => self.close(context, key, CloseReason::IdleTimeout),
            Phase::Answering | Phase::Discard => {
                if waits_for_reader {
                    self.close(context, key, CloseReason::SlowReader);
                } else {
                    self.tell_timeout(context, key, CloseReason::BodyTimeout);
                }
            }
            Phase::Ending(reason) | Phase::Lingering(reason) => {
                let reason = *reason;
                self.close(context, key, reason);
            }
        }
    }

    /// When the next bytes of a body must have come: `body_timeout` after the last ones, and, after
    /// a first `body_timeout`, no more slowly than `body_rate_min`.
    fn body_deadline(&self) -> Instant {
        let (timeout, rate) = (self.options.body_timeout, self.options.body_rate_min);
        let began = self.waits.body_began.unwrap_or(self.waits.progress);
        pace::due(began, self.waits.progress, self.wire.body_came(), timeout, rate)
    }

    /// Nothing is waited for any more.
    pub(in crate::session::http) fn stop_deadline<D: Driver>(&mut self, context: &mut Context<D>) {
        self.waits.deadline.disarm(&mut context.reactor);
    }

    /// What is waited for, and how long.
    pub(super) fn set_deadline<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.io.stream.is_blocked() {
            if !self.waits.pace.is_measured() {
                let taken = self.io.stream.acknowledged(&mut context.reactor);
                self.waits.pace.begin(context.now(), taken);
            }
        } else if self.io.stream.is_drained() {
            self.waits.pace.end();
        }
        if self.wire.is_http2() {
            self.excuse_bodies(context);
            // Where the budget changes what is wanted, the next look finds it.
            debug_assert!(
                context.http.proxy.budget().is_short() || self.is_watched(context),
                "all that is waited for has a time"
            );
        } else if !self.wants_input(context) {
            // It is not the client who is slow.
            self.waits.body_began = Some(context.now());
            if self.is_being_answered() {
                self.waits.progress = context.now();
            }
        }
        let mut at = self.due_at(context);
        if matches!(self.phase, Phase::Head) && self.has_no_streams() {
            // A send that goes through wakes nobody: what is waited for then may be due earlier.
            at = at.map(|at| at.min(self.waits.progress + self.options.keepalive_timeout));
        }
        match at {
            Some(at) => self.waits.deadline.set(&mut context.reactor, Due::Session(key), at),
            None => self.waits.deadline.clear(),
        }
    }

    /// When what is waited for must have come, or a handler have answered.
    fn due_at<D: Driver>(&self, context: &Context<D>) -> Option<Instant> {
        [self.client_due_at(context), self.handled_until()].into_iter().flatten().min()
    }

    /// When what the client is waited for must have come.
    fn client_due_at<D: Driver>(&self, context: &Context<D>) -> Option<Instant> {
        let options = &self.options;
        let is_whole = self.wire.is_body_read();
        match self.phase {
            Phase::Lingering(_) => Some(self.waits.progress + LINGER),
            _ if !self.io.stream.is_drained() || self.io.stream.is_blocked() => {
                let measured =
                    self.waits.pace.next_look(options.write_timeout, options.write_rate_min);
                Some(measured.unwrap_or(self.waits.progress + options.write_timeout))
            }
            Phase::Head if self.wire.is_http2() => self.streams_due_at(),
            Phase::Head => Some(match self.waits.began {
                Some(began) => began + options.head_timeout,
                None => self.waits.progress + options.keepalive_timeout,
            }),
            Phase::Answering if self.is_tunnel(context) => {
                // A socket on which both sides have ended looks like one that was reset.
                let has_said_end = self.request.as_ref().is_some_and(|one| one.has_said_end);
                let looks = self.wire.has_ended() && !has_said_end;
                looks.then_some(self.waits.progress + HANG_UP_LOOK)
            }
            // It has times of its own.
            Phase::Answering if self.request.as_ref().is_some_and(|one| one.socket().is_some()) => {
                None
            }
            Phase::Answering | Phase::Discard if !is_whole && self.wants_input(context) => {
                Some(self.body_deadline())
            }
            Phase::Ending(_) => Some(self.waits.progress + options.write_timeout),
            Phase::Answering if self.is_reader() => Some(self.waits.progress + HANG_UP_LOOK),
            Phase::Answering | Phase::Discard => None,
        }
    }
}
