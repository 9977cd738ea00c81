//! A second try beside the first: what a server is slow to answer is asked of another one, too, and
//! the answer that comes first is taken.
//!
//! Only requests that do no harm when two servers carry them out have one: idempotent ones without
//! a body, and calls of gRPC where the upstream says so (`hedge_calls`), once all of the body was
//! sent and as long as a copy of it is there. It counts as a retry for the budget and the limit.
//! When either try fails, the other is left.

use std::time::{Duration, Instant};

use super::exchange::{Exchange, Hedged, State};
use super::{ProxyAction, Surroundings};
use crate::mem::Key;
use crate::proto::http::BodySize;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::Checkout;
use crate::service::cluster::servers::ServerOutcome;
use crate::service::cluster::{Cluster, failed};

impl Exchange {
    /// A try begins: a second one is due after so long, if there was none yet.
    pub(super) fn plan_hedge(&mut self, after: Option<Duration>, with_calls: bool) {
        if matches!(self.tries.hedged, Hedged::Since(_)) {
            return;
        }
        let is_plain = self.request.size == BodySize::None && !self.request.upgrade;
        let is_call = with_calls && self.record.is_call();
        let is_harmless = is_plain && self.request.head.method.is_idempotent() || is_call;
        self.tries.hedged = match after {
            Some(after) if is_harmless => Hedged::Due(self.tries.began + after),
            _ => Hedged::No,
        };
    }

    /// When a second try is due.
    pub(super) const fn hedge_at(&self) -> Option<Instant> {
        match self.tries.hedged {
            Hedged::Due(at) => Some(at),
            Hedged::No | Hedged::Since(_) => None,
        }
    }

    /// No answer has come: another server is asked, too.
    pub(super) fn hedge(&mut self, key: Key, around: &mut Surroundings<'_>) {
        let now = around.now;
        self.tries.hedged = Hedged::No;
        let is_tried = matches!(self.tries.state, State::Waiting { .. } | State::Linked { .. });
        let has_body = self.request.size == BodySize::None || self.has_copy();
        let is_open = is_tried && !self.has_head() && has_body;
        self.tries.second_has_body = false;
        let Cluster { servers, retries, breaker, pools, .. } = around.clusters.get(self.cluster);
        let tries = &mut self.tries;
        let shared = (retries, &mut *breaker, &mut *servers);
        let picked =
            if is_open { tries.attempts.pick_hedge(shared, tries.hash, now) } else { None };
        if let Some(server) = picked {
            tries.hedged = Hedged::Since(now);
            self.record.upstream.tries += 1;
            match pools.checkout(server, key, now) {
                Checkout::Use(connection) => {
                    tries.second = Some(State::Linked { connection, server });
                    around.actions.push(ProxyAction::Send { connection, exchange: key });
                }
                Checkout::Wait => {
                    tries.second = Some(State::Waiting { server });
                    around.open_needed(self.cluster, server);
                    around.watch(self.cluster);
                }
                Checkout::Refused => {
                    tries.attempts.end_hedge(breaker);
                    servers.done(server, failed(Failure::QueueFull), now);
                }
            }
            around.tally(self.cluster).hedges += 1;
        }
        if let State::Waiting { .. } = self.tries.state {
            self.check_wait(key, around);
        }
    }

    /// An answer has come on this connection: it is the one, and the other try is not wanted.
    pub(super) fn settle_hedge(&mut self, key: Key, winner: Key, around: &mut Surroundings<'_>) {
        let now = around.now;
        let tried = self.tried_by(winner);
        let Some(second) = self.tries.second.take() else {
            if self.hedge_at().is_some() {
                self.tries.hedged = Hedged::No;
            }
            return;
        };
        let Cluster { breaker, servers, .. } = around.clusters.get(self.cluster);
        self.tries.attempts.end_hedge(breaker);
        let is_won = matches!(second, State::Linked { connection, .. } if connection == winner);
        let loser = if is_won { std::mem::replace(&mut self.tries.state, second) } else { second };
        let began = match (is_won, self.tries.hedged) {
            (false, Hedged::Since(then)) => then,
            (_, _) => self.tries.began,
        };
        if let Some(server) = loser.server() {
            servers.outrun(server, now.saturating_duration_since(began), now);
        }
        if is_won {
            self.adopt_body();
            self.tries.began = tried;
            self.record.upstream.server = Some((self.cluster, second.server()));
            around.tally(self.cluster).hedges_won += 1;
        }
        self.forget(key, loser, around);
    }

    /// The second try is the only one: what it did not send of the body, it takes as the first
    /// would.
    fn adopt_body(&mut self) {
        if !std::mem::replace(&mut self.tries.second_has_body, true) {
            self.rewind_body();
        }
    }

    /// The try on this server is over: true when there is another, which then is the only one.
    pub(super) fn leave_hedged(
        &mut self,
        key: Key,
        server: usize,
        outcome: ServerOutcome,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let Some(second) = self.tries.second.take() else { return false };
        let Cluster { breaker, servers, .. } = around.clusters.get(self.cluster);
        self.tries.attempts.end_hedge(breaker);
        servers.done(server, outcome, around.now);
        if second.server() == Some(server) {
            return true;
        }
        self.tries.state = second;
        self.adopt_body();
        self.record.upstream.server = Some((self.cluster, second.server()));
        if let Hedged::Since(then) = self.tries.hedged {
            self.tries.began = then;
        }
        if let State::Waiting { .. } = second {
            self.check_wait(key, around);
        }
        true
    }
}
