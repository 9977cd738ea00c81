//! What is waited for on a server's connection, how long, and whose fault it is when it does not
//! come.

use std::time::{Duration, Instant};

use super::{Origin, Phase, WaitsFor};
use crate::mem::Key;
use crate::ring::Driver;
use crate::service::origin::failure::Failure;
use crate::session::Due;
use crate::session::context::Context;

/// What a server does with what it was sent and has not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    /// It has taken some of it since the last look.
    Some,
    /// It has not.
    Nothing,
}

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
        let options = &context.http.origins(self.upstream).options;
        let try_timeout = options.try_timeout;
        let wait = if has_head { options.idle_timeout } else { options.first_byte_timeout };
        let since = |then: Instant| self.excused_until.map_or(then, |client| client.max(then));
        let mut at = since(self.progress) + wait;
        if self.stream.is_blocked() {
            // What counts is what the server takes, and not what its socket does.
            if !self.pace.is_measured() {
                let taken = self.taken(context);
                self.pace.begin(context.now(), taken);
            }
            let wait = try_timeout.filter(|_| !has_head).map_or(wait, |most| most.min(wait));
            at = self.pace.deadline(wait, None).unwrap_or(at);
        } else if let (false, Some(most)) = (has_head, try_timeout) {
            at = at.min(since(tried) + most);
        }
        if let Some(until) = until {
            at = at.min(until);
        }
        self.deadline.set(context, Due::Session(key), at);
    }

    pub(in crate::session) fn handle_timeout<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
    ) {
        if !self.deadline.fired(context, Due::Session(key)) {
            return;
        }
        let looked = if matches!(self.phase, Phase::Busy(_)) { self.look(context) } else { None };
        match self.phase {
            Phase::Connecting(_) => {
                self.phase = Phase::Expired;
                self.stream.cancel_connect(&mut context.reactor, key);
            }
            Phase::Busy(exchange) => {
                let failure = self.failure_at_deadline(context, key, exchange, looked);
                match (failure, looked) {
                    (Some(Failure::WriteTimeout), Some(Taking::Some)) => {
                        self.read_on(context, key, exchange);
                    }
                    (Some(failure), _) => self.fail(context, key, exchange, failure),
                    (None, _) => {}
                }
            }
            Phase::Idle | Phase::Expired | Phase::Leaving(_) | Phase::Closing => {}
        }
    }

    /// Bytes that the server has taken of all that it was sent.
    fn taken<D: Driver>(&self, context: &mut Context<D>) -> u64 {
        self.sent.saturating_sub(self.stream.unacknowledged(&mut context.reactor) as u64)
    }

    /// Whether the server is still taking what it was sent. None: it has it all.
    fn look<D: Driver>(&mut self, context: &mut Context<D>) -> Option<Taking> {
        let (now, taken) = (context.now(), self.taken(context));
        let is_owed = taken < self.sent || self.stream.is_blocked();
        let before = self.pace.deadline(Duration::ZERO, None);
        if before.is_none() && is_owed {
            // The first look: what it takes is known with the next one.
            self.pace.begin(now, taken);
        } else {
            self.pace.observe(now, taken);
        }
        if self.pace.deadline(Duration::ZERO, None) > before {
            self.excused_until = Some(now);
            return Some(Taking::Some);
        }
        is_owed.then_some(Taking::Nothing)
    }

    /// What has failed when the time of the exchange is over.
    fn failure_at_deadline<D: Driver>(
        &self,
        context: &Context<D>,
        key: Key,
        exchange: Key,
        looked: Option<Taking>,
    ) -> Option<Failure> {
        let now = context.now();
        let one = context.http.exchanges.get(exchange)?;
        let options = context.options.upstreams[self.upstream].origins.as_ref()?;
        let tried = one.tried_by(key);
        let since = self.excused_until.map_or(tried, |client| client.max(tried));
        Some(if one.until.is_some_and(|until| until <= now) {
            match self.waits_for {
                WaitsFor::Client if !self.is_sent => Failure::ClientTimeout,
                WaitsFor::Client | WaitsFor::Server => Failure::TotalTimeout,
            }
        } else if looked.is_some() || !self.is_sent {
            Failure::WriteTimeout
        } else if self.body.is_some() {
            Failure::IdleTimeout
        } else if options.try_timeout.is_some_and(|most| since + most <= now) {
            Failure::TryTimeout
        } else {
            Failure::FirstByteTimeout
        })
    }
}
