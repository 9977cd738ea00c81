//! Tries: which server an exchange goes to, and what follows when that fails.

use std::time::Duration;

use super::exchange::{Exchange, Hedged, State};
use super::{HttpProxy, ProxyAction, Surroundings};
use crate::mem::Key;
use crate::service::cluster::attempts::Decision;
use crate::service::cluster::failure::{Failure, FailureKind};
use crate::service::cluster::pool::Checkout;
use crate::service::cluster::servers::{Ended, ServerOutcome};
use crate::service::cluster::{Cluster, Clusters, failed};
use crate::service::grpc::Code;

impl Exchange {
    /// Looks for a server that was not tried, and for a connection to it.
    pub(super) fn try_server(&mut self, key: Key, around: &mut Surroundings<'_>) {
        let now = around.now;
        self.join_others();
        let cluster = around.clusters.get(self.cluster);
        let tries = &mut self.tries;
        let picked = tries.attempts.pick(&mut cluster.servers, tries.hash, now);
        let Some(server) = picked else {
            tries.state = State::Resting;
            return self.fail(key, Failure::NoServer, around);
        };
        tries.began = now;
        tries.state = State::Waiting { server };
        self.record.upstream.tries += 1;
        self.record.upstream.server = Some((self.cluster, Some(server)));
        self.plan_hedge(cluster.options.hedge_after, cluster.options.hedge_calls);
        let hedge_at = self.hedge_at();
        match cluster.pools.checkout(server, key, now) {
            Checkout::Use(connection) => {
                self.tries.state = State::Linked { connection, server };
                self.record.upstream.queued = None;
                around.actions.push(ProxyAction::Send { connection, exchange: key });
                self.arm(key, hedge_at, around);
            }
            Checkout::Wait => {
                around.open_needed(self.cluster, server);
                around.watch(self.cluster);
                self.arm(key, self.until.into_iter().chain(hedge_at).min(), around);
            }
            Checkout::Refused => self.fail_try(key, server, Failure::QueueFull, around),
        }
    }

    fn arm(&self, key: Key, at: Option<std::time::Instant>, around: &mut Surroundings<'_>) {
        let arm = |at| ProxyAction::Arm { exchange: key, at };
        around.actions.extend(at.map(arm));
    }

    /// The try on this server has failed: it is tried again, or fails.
    pub(super) fn fail_try(
        &mut self,
        key: Key,
        server: usize,
        mut failure: Failure,
        around: &mut Surroundings<'_>,
    ) {
        if self.leave_hedged(key, server, failed(failure), around) {
            return;
        }
        if failure == Failure::NoWebSocket {
            match self.go_alone(key, server, around) {
                Ok(()) => return,
                Err(why) => failure = why,
            }
        }
        let now = around.now;
        let progress = self.progress();
        if let Some(server) = self.tries.state.server() {
            self.leave_server(server, failed(failure), around);
        }
        let Cluster { retries, breaker, servers, .. } = around.clusters.get(self.cluster);
        let tries = &mut self.tries;
        tries.state = State::Resting;
        let tried = tries.attempts.tried();
        let is_connect = failure.kind() == FailureKind::Connect;
        let has_other = servers.has_other(tried) || is_connect && servers.has_unreachable(tried);
        if failure == Failure::NoWebSocket && !has_other {
            // The same server would say the same.
            return self.fail(key, failure, around);
        }
        let failed = (failure, has_other);
        match tries.attempts.on_failure(retries, breaker, failed, progress, now) {
            Decision::Retry { after } => self.try_again(key, after, around),
            Decision::Fail(_) => self.fail(key, failure, around),
        }
        around.report(self.cluster);
    }

    /// A server has answered with this status: whether the exchange is tried again instead.
    pub(super) fn retries_status(
        &mut self,
        key: Key,
        server: usize,
        status: u16,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let now = around.now;
        let latency = self.record.upstream.first_byte;
        let outcome = ServerOutcome { ended: Ended::Status(status), latency };
        let is_wanted = !around.clusters.get(self.cluster).retries.wants_status(status);
        if !is_wanted && self.leave_hedged(key, server, outcome, around) {
            return true;
        }
        let progress = self.progress();
        let Cluster { retries, breaker, servers, .. } = around.clusters.get(self.cluster);
        let tries = &mut self.tries;
        let decision = tries.attempts.on_status(retries, breaker, status, progress, now);
        let Decision::Retry { after } = decision else { return false };
        if let State::Linked { server, .. } = tries.state {
            servers.done(server, outcome, now);
        }
        tries.state = State::Resting;
        self.try_again(key, after, around);
        true
    }

    /// A call of gRPC has ended with this status and nothing else: whether it is tried again
    /// instead.
    pub(super) fn retries_code(
        &mut self,
        key: Key,
        server: usize,
        code: Code,
        around: &mut Surroundings<'_>,
    ) -> bool {
        let now = around.now;
        let progress = self.progress();
        let Cluster { retries, breaker, servers, .. } = around.clusters.get(self.cluster);
        // While another try is under way, that one may still succeed.
        if self.tries.second.is_some() || !retries.wants_code(code) {
            return false;
        }
        let decision = self.tries.attempts.on_code(retries, breaker, progress, now);
        let Decision::Retry { after } = decision else { return false };
        let latency = self.record.upstream.first_byte;
        let outcome =
            ServerOutcome { ended: Ended::Status(code.for_server().unwrap_or(200)), latency };
        servers.done(server, outcome, now);
        self.tries.state = State::Resting;
        self.try_again(key, after, around);
        true
    }

    fn try_again(&mut self, key: Key, after: Duration, around: &mut Surroundings<'_>) {
        self.rewind();
        // What goes out again is gathered and counted at the end of the turn.
        around.filled.push(key);
        around.tally(self.cluster).retried += 1;
        if after.is_zero() {
            self.try_server(key, around);
        } else {
            let at = around.now + after;
            let at = self.until.map_or(at, |until| until.min(at));
            self.arm(key, Some(at), around);
        }
    }

    /// There is no answer, or no more of it: the client has to know.
    pub(super) fn fail(&mut self, key: Key, failure: Failure, around: &mut Surroundings<'_>) {
        self.unlink(key, around);
        // Two timers may be due in one turn: the first one tells.
        if self.failed.is_some() {
            return;
        }
        self.failed = Some(failure);
        if !self.is_open()
            && let Some(count) = around.tally(self.cluster).failed.get_mut(failure.index())
        {
            *count += 1;
        }
        self.wake_client(around.actions);
    }

    /// Takes it off the connections that carry it, and out of the queues.
    pub(super) fn unlink(&mut self, key: Key, around: &mut Surroundings<'_>) {
        let state = std::mem::replace(&mut self.tries.state, State::Done);
        self.tries.hedged = Hedged::No;
        for one in self.tries.second.take().into_iter().chain([state]) {
            self.forget(key, one, around);
        }
    }

    /// A try is not wanted any more.
    pub(super) fn forget(&self, key: Key, state: State, around: &mut Surroundings<'_>) {
        match state {
            State::Waiting { server } => {
                around.clusters.get(self.cluster).pools.cancel(server, &key);
                self.leave_server(server, failed(Failure::ClientGone), around);
            }
            State::Linked { connection, server } => {
                around.actions.push(ProxyAction::Cancel { connection, exchange: key });
                self.leave_server(server, failed(Failure::ClientGone), around);
            }
            State::Resting | State::Done => {}
        }
    }

    /// It still waits for a connection, for which the pool has a time of its own: the time of all
    /// tries may be over.
    pub(super) fn check_wait(&mut self, key: Key, around: &mut Surroundings<'_>) {
        match self.until {
            Some(until) if until <= around.now => self.fail(key, self.total_failure(), around),
            until => self.arm(key, until, around),
        }
    }

    /// It has rested, or a time of it is over.
    fn due(&mut self, key: Key, around: &mut Surroundings<'_>) {
        let now = around.now;
        if self.tries.state == State::Done {
            // The server has answered: what is left is between us and the client.
            return;
        }
        if self.is_tunnel() {
            self.tunnel_due(key, around);
        } else if self.until.is_some_and(|until| until <= now) {
            self.fail(key, self.total_failure(), around);
        } else if self.tries.state == State::Resting {
            self.try_server(key, around);
        } else if self.hedge_at().is_some_and(|at| at <= now) {
            self.hedge(key, around);
        } else if let State::Waiting { .. } = self.tries.state {
            self.check_wait(key, around);
        }
    }
}

impl HttpProxy {
    /// The time that [`ProxyAction::Arm`] named has come.
    pub fn exchange_due(&mut self, key: Key, clusters: &mut Clusters, now: std::time::Instant) {
        if let Some((exchange, mut around)) = self.split(key, clusters, now) {
            exchange.due(key, &mut around);
        }
    }
}
