//! What is waited for on a server's connection, and how long: [`ServerClock`] decides.
//!
//! [`ServerClock`]: crate::service::cluster::clock::ServerClock

use std::time::Instant;

use nix::errno::Errno;

use super::{Phase, UpstreamConnection};
use crate::mem::Key;
use crate::ring::Driver;
use crate::service::cluster::clock::{Carried, Patience, Sent};
use crate::service::cluster::failure::Failure;
use crate::session::Due;
use crate::session::context::Context;

impl UpstreamConnection {
    /// The server has to take what it is sent, or to answer, in time.
    pub(super) fn wait_for_server<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        carried: Carried,
        until: Option<Instant>,
    ) {
        if self.stream.is_blocked() && !self.clock.is_measured() {
            self.look(context);
        }
        let patience = self.patience(context);
        let at = self.clock.wait_for_server(self.stream.written(), &patience, carried);
        let at = until.map_or(at, |until| at.min(until));
        self.deadline.set(&mut context.reactor, Due::Session(key), at);
    }

    pub(in crate::session) fn handle_timeout<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
    ) {
        if !self.deadline.fired(&mut context.reactor, Due::Session(key)) {
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
            Phase::Greeting(_) => self.connect_failed_as(context, key, Errno::ETIMEDOUT),
            Phase::Shared => self.many_due(context, key),
            Phase::Idle | Phase::Expired | Phase::Leaving(_) | Phase::Closing => {}
        }
    }

    pub(super) fn patience<D>(&self, context: &mut Context<D>) -> Patience {
        let options = &context.http.clusters.get(self.cluster).options;
        Patience {
            first_byte: options.first_byte_timeout,
            idle: options.idle_timeout,
            of_try: options.try_timeout,
        }
    }

    /// An interim answer has come: the server is at work.
    pub(super) fn note_interim<D: Driver>(&mut self, context: &mut Context<D>) {
        let patience = self.patience(context);
        self.clock.note_interim(context.now(), &patience);
    }

    /// Looks what the server has taken of what it was sent.
    fn look<D: Driver>(&mut self, context: &mut Context<D>) {
        let sent = self.sent(context);
        self.clock.look(context.now(), sent);
    }

    /// What went to the server on this connection.
    pub(super) fn sent<D: Driver>(&self, context: &mut Context<D>) -> Sent {
        Sent {
            written: self.stream.written(),
            acknowledged: self.stream.acknowledged(&mut context.reactor),
            is_blocked: self.stream.is_blocked(),
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
        let one = context.http.proxy.get(exchange)?;
        if one.until().is_some_and(|until| until <= now) {
            return Some(one.total_failure());
        }
        let carried = one.carried_by(key);
        self.look(context);
        let patience = self.patience(context);
        self.clock.failure(now, &patience, carried)
    }
}
