//! A second try beside the first: what a server is slow to answer is asked of another one, too, and
//! the answer that comes first is taken.
//!
//! Only requests without a body, and such as do no harm when two servers carry them out, have one.
//! It counts as a retry for the budget and the limit. When either try fails, the other is left.

use std::time::Duration;

use super::exchange::{Exchange, Hedged, State};
use super::proxy::forget;
use super::state::{HttpAction, HttpState};
use crate::mem::Key;
use crate::proto::http1::Framing;
use crate::ring::Driver;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::Checkout;
use crate::service::cluster::servers::{Ended, Outcome};
use crate::service::cluster::{Cluster, failed};
use crate::session::context::Context;

impl Exchange {
    /// A try begins: a second one is due after so long, if there was none yet.
    pub(super) fn plan_hedge(&mut self, after: Option<Duration>) {
        if matches!(self.hedged, Hedged::Since(_)) {
            return;
        }
        let is_plain = self.asked.framing == Framing::None && !self.asked.upgrade;
        let is_harmless = is_plain && self.head.method.is_idempotent();
        self.hedged = match after {
            Some(after) if is_harmless => Hedged::Due(self.tried + after),
            _ => Hedged::No,
        };
    }

    /// When a second try is due.
    pub(super) const fn hedge_at(&self) -> Option<std::time::Instant> {
        match self.hedged {
            Hedged::Due(at) => Some(at),
            Hedged::No | Hedged::Since(_) => None,
        }
    }
}

impl<D: Driver> Context<D> {
    /// No answer has come: another server is asked, too.
    pub(super) fn hedge(&mut self, key: Key) {
        let now = self.now();
        let HttpState { exchanges, clusters, actions, .. } = &mut self.http;
        let Some(exchange) = exchanges.get_mut(key) else { return };
        let Some(origins) = clusters.get_mut(exchange.upstream).and_then(Option::as_mut) else {
            return;
        };
        exchange.hedged = Hedged::No;
        let (upstream, state) = (exchange.upstream, exchange.state);
        let is_open =
            matches!(state, State::Waiting { .. } | State::Linked { .. }) && !exchange.has_head();
        let Cluster { servers, retries, breaker, pools, .. } = origins;
        let shared = (retries, &mut *breaker, &mut *servers);
        let picked =
            if is_open { exchange.attempts.pick_hedge(shared, exchange.hash, now) } else { None };
        if let Some(server) = picked {
            exchange.hedged = Hedged::Since(now);
            exchange.told.tries += 1;
            match pools.checkout(server, key, now) {
                Checkout::Use(origin) => {
                    exchange.hedge = Some(State::Linked { origin, server });
                    actions.push(HttpAction::Assign { origin, exchange: key });
                }
                Checkout::Wait => {
                    exchange.hedge = Some(State::Waiting { server });
                    self.open_needed(upstream, server);
                    self.arm_cluster(upstream);
                }
                Checkout::Refused => {
                    exchange.attempts.end_hedge(breaker);
                    servers.done(server, failed(Failure::QueueFull), now);
                }
            }
            self.cell().stats.upstreams[upstream].http.hedges.add(1);
        }
        if let State::Waiting { .. } = state {
            self.check_wait(key);
        }
    }

    /// An answer has come on this connection: it is the one, and the other try is not wanted.
    pub(super) fn settle_hedge(&mut self, key: Key, winner: Key) {
        let now = self.now();
        let HttpState { exchanges, clusters, actions, .. } = &mut self.http;
        let Some(exchange) = exchanges.get_mut(key) else { return };
        let tried = exchange.tried_by(winner);
        let Some(hedge) = exchange.hedge.take() else {
            if exchange.hedge_at().is_some() {
                exchange.hedged = Hedged::No;
            }
            return;
        };
        let upstream = exchange.upstream;
        let Some(origins) = clusters.get_mut(upstream).and_then(Option::as_mut) else { return };
        exchange.attempts.end_hedge(&mut origins.breaker);
        let is_won = matches!(hedge, State::Linked { origin, .. } if origin == winner);
        let loser = if is_won { std::mem::replace(&mut exchange.state, hedge) } else { hedge };
        let began = match (is_won, exchange.hedged) {
            (false, Hedged::Since(then)) => then,
            (_, _) => exchange.tried,
        };
        if is_won {
            exchange.tried = tried;
            exchange.told.upstream = Some((upstream, hedge.server()));
        }
        if let Some(server) = loser.server() {
            origins.servers.outrun(server, now.saturating_duration_since(began), now);
        }
        forget(origins, key, loser, actions, now);
        if is_won {
            self.cell().stats.upstreams[upstream].http.hedges_won.add(1);
        }
    }

    /// The try on this server is over: true when the exchange has another, which then is its only
    /// one.
    pub(super) fn leave_hedged(&mut self, key: Key, server: usize, outcome: Outcome) -> bool {
        let now = self.now();
        let HttpState { exchanges, clusters, .. } = &mut self.http;
        let Some(exchange) = exchanges.get_mut(key) else { return false };
        let Some(hedge) = exchange.hedge.take() else { return false };
        let upstream = exchange.upstream;
        let Some(origins) = clusters.get_mut(upstream).and_then(Option::as_mut) else {
            return false;
        };
        exchange.attempts.end_hedge(&mut origins.breaker);
        origins.servers.done(server, outcome, now);
        if hedge.server() == Some(server) {
            return true;
        }
        exchange.state = hedge;
        exchange.told.upstream = Some((upstream, hedge.server()));
        if let Hedged::Since(then) = exchange.hedged {
            exchange.tried = then;
        }
        if let State::Waiting { .. } = hedge {
            self.check_wait(key);
        }
        true
    }

    /// A server has answered with a status for which another is tried: true when another is asked
    /// already.
    pub(super) fn leaves_answer_to_other(&mut self, key: Key, server: usize, status: u16) -> bool {
        let Some(exchange) = self.http.exchanges.get(key) else { return false };
        let (upstream, latency) = (exchange.upstream, exchange.told.first_byte);
        let is_wanted = !self.http.cluster(upstream).retries.wants_status(status);
        let outcome = Outcome { ended: Ended::Status(status), latency };
        !is_wanted && self.leave_hedged(key, server, outcome)
    }
}
