//! What is waited for on a client's connection, how long, and what follows when it does not come.

use std::time::{Duration, Instant};

use super::{Http, Phase};
use crate::mem::Key;
use crate::ring::Driver;
use crate::service::pace;
use crate::service::{CloseReason, LINGER};
use crate::session::Due;
use crate::session::context::Context;

/// How often it is looked whether a client that sends no more, and waits for the answer of a
/// server, is still there. When it has gone, nothing else would tell.
const HANG_UP_LOOK: Duration = Duration::from_secs(1);

impl Http {
    /// Whether the client sends no more and is taken for one that still reads.
    fn is_reader(&self) -> bool {
        self.wire.has_ended() && matches!(self.phase, Phase::Exchange(_))
    }

    fn look_for_hang_up<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let is_gone = self.stream.fd().is_none_or(|fd| context.reactor.driver().is_hung_up(fd));
        if is_gone {
            self.close(context, key, CloseReason::ClientReset);
        } else {
            self.progress = context.now();
            self.set_deadline(context, key);
        }
    }

    pub(in crate::session) fn handle_timeout<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
    ) {
        if !self.deadline.fired(context, Due::Session(key)) {
            return;
        }
        if self.pace.is_measured() {
            let taken = self.stream.acknowledged(&mut context.reactor);
            self.pace.observe(context.now(), taken);
        }
        if let Some(at) = self.due_at(context).filter(|at| *at > context.now()) {
            // What was waited for has come meanwhile, and something else is waited for.
            self.deadline.set(context, Due::Session(key), at);
            return;
        }
        let waits_for_reader = !self.stream.is_drained() || self.stream.is_blocked();
        if !waits_for_reader && self.is_reader() {
            self.look_for_hang_up(context, key);
            return;
        }
        match &self.phase {
            Phase::Head if waits_for_reader => self.close(context, key, CloseReason::SlowReader),
            Phase::Head if self.began.is_some() => {
                self.tell_timeout(context, key, CloseReason::HeadTimeout);
            }
            Phase::Head => self.close(context, key, CloseReason::IdleTimeout),
            Phase::Exchange(_)
            | Phase::File(_)
            | Phase::Verify(_)
            | Phase::Encoding
            | Phase::Listing
            | Phase::Echo
            | Phase::Discard => {
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
        let began = self.body_began.unwrap_or(self.progress);
        pace::due(began, self.progress, self.wire.body_came(), timeout, rate)
    }

    /// Nothing is waited for any more.
    pub(in crate::session::http) fn stop_deadline<D: Driver>(&mut self, context: &mut Context<D>) {
        self.deadline.disarm(context);
    }

    /// What is waited for, and how long.
    pub(super) fn set_deadline<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.stream.is_blocked() {
            if !self.pace.is_measured() {
                let taken = self.stream.acknowledged(&mut context.reactor);
                self.pace.begin(context.now(), taken);
            }
        } else if self.stream.is_drained() {
            self.pace.end();
        }
        if !self.wants_input(context) {
            // It is not the client who is slow.
            self.body_began = Some(context.now());
            if matches!(self.phase, Phase::Exchange(_)) {
                self.progress = context.now();
            }
        }
        let mut at = self.due_at(context);
        if matches!(self.phase, Phase::Head) {
            // A send that goes through wakes nobody: what is waited for then may be due earlier.
            at = at.map(|at| at.min(self.progress + self.options.keepalive_timeout));
        }
        match at {
            Some(at) => self.deadline.set(context, Due::Session(key), at),
            None => self.deadline.clear(),
        }
    }

    /// When what is waited for must have come.
    fn due_at<D: Driver>(&self, context: &Context<D>) -> Option<Instant> {
        let options = &self.options;
        let is_whole = self.wire.is_body_read();
        match self.phase {
            Phase::Lingering(_) => Some(self.progress + LINGER),
            _ if !self.stream.is_drained() || self.stream.is_blocked() => {
                let measured = self.pace.next_look(options.write_timeout, options.write_rate_min);
                Some(measured.unwrap_or(self.progress + options.write_timeout))
            }
            Phase::Head => Some(match self.began {
                Some(began) => began + options.head_timeout,
                None => self.progress + options.keepalive_timeout,
            }),
            Phase::Exchange(_) | Phase::Echo | Phase::Discard
                if !is_whole && self.wants_input(context) =>
            {
                Some(self.body_deadline())
            }
            Phase::Ending(_) => Some(self.progress + options.write_timeout),
            Phase::Exchange(_) if self.is_reader() => Some(self.progress + HANG_UP_LOOK),
            Phase::Exchange(_)
            | Phase::Echo
            | Phase::Discard
            | Phase::File(_)
            | Phase::Verify(_)
            | Phase::Encoding
            | Phase::Listing => None,
        }
    }
}
