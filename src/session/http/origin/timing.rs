//! What is waited for on a server's connection, how long, and whose fault it is when it does not
//! come.

use std::time::{Duration, Instant};

use super::{Origin, Phase, WaitsFor};
use crate::mem::Key;
use crate::ring::Driver;
use crate::service::origin::failure::Failure;
use crate::session::Due;
use crate::session::context::Context;

/// Before it is known that a server has taken all of a request, it is asked after this part of the
/// time that it has.
const FIRST_LOOK: u32 = 4;

impl Origin {
    /// The server has to take what it is sent, or to answer, in time.
    pub(super) fn wait_for_server<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        (tried, until): (Instant, Option<Instant>),
        has_head: bool,
    ) {
        self.waits_for = WaitsFor::Server;
        if self.stream.is_blocked() && !self.pace.is_measured() {
            let taken = self.stream.acknowledged(&mut context.reactor);
            self.pace.begin(context.now(), taken);
        }
        let (mut at, _) = self.server_due(context, tried, has_head);
        let wait = self.patience(context, has_head);
        if let Some(look) = self.pace.next_look(wait, None) {
            at = at.min(look);
        } else if !has_head && self.stream.written() != self.taken_up_to {
            at = at.min(self.counts_from(self.progress) + wait / FIRST_LOOK);
        }
        if let Some(until) = until {
            at = at.min(until);
        }
        self.deadline.set(context, Due::Session(key), at);
    }

    /// How long the server may take nothing, or say nothing.
    fn patience<D>(&self, context: &mut Context<D>, has_head: bool) -> Duration {
        let options = &context.http.origins(self.upstream).options;
        if has_head {
            return options.idle_timeout;
        }
        let most = options.first_byte_timeout;
        let is_taking = self.pace.is_measured();
        options.try_timeout.filter(|_| is_taking).map_or(most, |one| one.min(most))
    }

    /// A time of the server counts from then, or from when it was last excused.
    fn counts_from(&self, then: Instant) -> Instant {
        self.excused_until.map_or(then, |excused| excused.max(then))
    }

    /// When the server must have done what is waited for, and what has failed if it has not.
    fn server_due<D>(
        &self,
        context: &mut Context<D>,
        tried: Instant,
        has_head: bool,
    ) -> (Instant, Failure) {
        let wait = self.patience(context, has_head);
        if let Some(at) = self.pace.deadline(wait, None) {
            // While the client was waited for, nobody looked.
            let excused = self.excused_until.map_or(at, |excused| excused + wait);
            return (at.max(excused), Failure::WriteTimeout);
        }
        let at = self.counts_from(self.progress) + wait;
        if has_head {
            return (at, Failure::IdleTimeout);
        }
        let of_try = context.http.origins(self.upstream).options.try_timeout;
        match of_try.map(|most| self.counts_from(tried) + most) {
            Some(of_try) if of_try < at => (of_try, Failure::TryTimeout),
            Some(_) | None => (at, Failure::FirstByteTimeout),
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
        match self.phase {
            Phase::Connecting(_) => {
                self.phase = Phase::Expired;
                self.stream.cancel_connect(&mut context.reactor, key);
            }
            Phase::Busy(exchange) => match self.failure_at_deadline(context, key, exchange) {
                Some(failure) => self.fail(context, key, exchange, failure),
                None => self.read_on(context, key, exchange),
            },
            Phase::Idle | Phase::Expired | Phase::Leaving(_) | Phase::Closing => {}
        }
    }

    /// Looks what the server has taken of what it was sent.
    fn look<D: Driver>(&mut self, context: &mut Context<D>) {
        let now = context.now();
        let (written, taken) =
            (self.stream.written(), self.stream.acknowledged(&mut context.reactor));
        if taken == written && !self.stream.is_blocked() {
            self.taken_up_to = written;
            if self.pace.is_measured() {
                // It has the last of it only now.
                self.excused_until = Some(now);
                self.pace.end();
            }
        } else if !self.pace.is_measured() {
            self.pace.begin(now, taken);
        } else if self.pace.observe(now, taken) {
            self.excused_until = Some(now);
        }
    }

    /// What has failed, if something has, when a time is over.
    fn failure_at_deadline<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        exchange: Key,
    ) -> Option<Failure> {
        let now = context.now();
        let one = context.http.exchanges.get(exchange)?;
        if one.until.is_some_and(|until| until <= now) {
            return Some(one.total_failure());
        }
        if self.waits_for == WaitsFor::Client {
            return None;
        }
        let (tried, has_head) = (one.tried_by(key), one.has_head());
        self.look(context);
        let (at, failure) = self.server_due(context, tried, has_head);
        (at <= now).then_some(failure)
    }
}
