//! Which server an exchange goes to, on which connection, and what follows when that fails.

use std::time::{Duration, Instant};

use super::exchange::{Asked, Exchange, Hedged, State};
use super::shown::tell_ejections;
use super::state::{HttpAction, HttpState, Told};
use crate::mem::Key;
use crate::proto::http::RequestHead;
use crate::ring::Driver;
use crate::service::cluster::attempts::Decision;
use crate::service::cluster::failure::{Failure, FailureKind};
use crate::service::cluster::pool::{Checkout, CloseCause, Expired};
use crate::service::cluster::servers::{Ended, Outcome};
use crate::service::cluster::{Cluster, failed};
use crate::session::Due;
use crate::session::context::Context;

impl<D: Driver> Context<D> {
    /// Makes an exchange. The head and what is told of it come back when there are too many.
    #[expect(clippy::result_large_err, reason = "what came is given back as it came")]
    pub(super) fn insert_exchange(
        &mut self,
        upstream: usize,
        head: Box<RequestHead>,
        mut told: Told,
        asked: Asked,
        hash: Option<u64>,
    ) -> Result<Key, (Box<RequestHead>, Told)> {
        let now = self.now();
        let origins = self.http.cluster(upstream);
        let attempts = origins.retries.begin(now);
        told.upstream = Some((upstream, None));
        let exchange = Exchange {
            asked,
            upstream,
            head,
            told,
            request: super::flow::Flow::default(),
            response: super::flow::Flow::default(),
            interim: Vec::new(),
            answer: None,
            length: None,
            state: State::Resting,
            failed: None,
            hash,
            attempts,
            kept: Vec::new(),
            kept_too_much: false,
            recoded: false,
            deadline: crate::session::deadline::Deadline::default(),
            tried: now,
            path: None,
            is_sent: false,
            has_entered: false,
            until: None,
            hedge: None,
            hedged: Hedged::No,
        };
        self.http.exchanges.insert(exchange).map_err(|exchange| (exchange.head, exchange.told))
    }

    /// An exchange begins: it looks for a server.
    pub(super) fn start_exchange(&mut self, key: Key) {
        let Some(exchange) = self.http.exchanges.get_mut(key) else { return };
        exchange.request.ended = exchange.asked.framing == crate::proto::http1::Framing::None;
        let upstream = exchange.upstream;
        let stats = &self.cell().stats.upstreams[upstream].http;
        stats.begun.add(1);
        let origins = self.http.cluster(upstream);
        if origins.breaker.try_enter().is_ok() {
            if let Some(exchange) = self.http.exchanges.get_mut(key) {
                exchange.has_entered = true;
            }
            self.try_exchange(key);
        } else {
            self.fail_exchange(key, Failure::Breaker);
        }
    }

    /// Looks for a server that was not tried, and for a connection to it.
    pub(super) fn try_exchange(&mut self, key: Key) {
        let now = self.now();
        let HttpState { exchanges, clusters, actions, .. } = &mut self.http;
        let Some(exchange) = exchanges.get_mut(key) else { return };
        let Some(origins) = clusters.get_mut(exchange.upstream).and_then(Option::as_mut) else {
            return;
        };
        let picked = exchange.attempts.pick(&mut origins.servers, exchange.hash, now);
        let Some(server) = picked else {
            exchange.state = State::Resting;
            return self.fail_exchange(key, Failure::NoServer);
        };
        exchange.tried = now;
        exchange.told.tries += 1;
        exchange.told.upstream = Some((exchange.upstream, Some(server)));
        exchange.state = State::Waiting { server };
        exchange.plan_hedge(origins.options.hedge_after);
        let upstream = exchange.upstream;
        let hedge_at = exchange.hedge_at();
        match origins.pools.checkout(server, key, now) {
            Checkout::Use(origin) => {
                exchange.state = State::Linked { origin, server };
                exchange.told.queued = None;
                actions.push(HttpAction::Assign { origin, exchange: key });
                if let Some(at) = hedge_at {
                    self.arm_exchange(key, at);
                }
            }
            Checkout::Wait => {
                let at = exchange.until.into_iter().chain(hedge_at).min();
                self.open_needed(upstream, server);
                self.arm_cluster(upstream);
                if let Some(at) = at {
                    self.arm_exchange(key, at);
                }
            }
            Checkout::Refused => self.fail_try(key, server, Failure::QueueFull),
        }
    }

    /// Makes as many connections to a server as are needed.
    pub(super) fn open_needed(&mut self, upstream: usize, server: usize) {
        let now = self.now();
        let HttpState { clusters, actions, .. } = &mut self.http;
        let Some(origins) = clusters.get_mut(upstream).and_then(Option::as_mut) else { return };
        while origins.may_open(server) {
            actions.push(HttpAction::Open { upstream, server });
        }
        if let Some(origin) = origins.idle_elsewhere(server) {
            actions.push(HttpAction::Close { origin });
            if origins.may_open(server) {
                actions.push(HttpAction::Open { upstream, server });
            }
        } else if origins.pools[server].is_short()
            && origins.open() >= origins.quota.limit()
            && let Some(ask) = origins.quota.want(now)
        {
            actions.push(HttpAction::Ask { upstream, to: ask.to });
        }
    }

    /// Gives those who wait for a server its free connections.
    fn serve_waiting(&mut self, upstream: usize, server: usize) {
        let now = self.now();
        let HttpState { exchanges, clusters, actions, .. } = &mut self.http;
        let Some(origins) = clusters.get_mut(upstream).and_then(Option::as_mut) else { return };
        while let Some((key, origin)) = origins.pools.next_ready(server, now) {
            if let Some(exchange) = exchanges.get_mut(key) {
                let linked = State::Linked { origin, server };
                if exchange.hedge == Some(State::Waiting { server }) {
                    exchange.hedge = Some(linked);
                } else {
                    exchange.state = linked;
                    exchange.told.queued = Some(now.saturating_duration_since(exchange.tried));
                }
            }
            actions.push(HttpAction::Assign { origin, exchange: key });
        }
    }

    /// Another worker has given places.
    pub(in crate::session) fn origins_given(&mut self, upstream: usize, places: u32) {
        let now = self.now();
        self.http.cluster(upstream).quota.answered(places, now);
        self.open_all_needed(upstream);
        self.arm_cluster(upstream);
    }

    fn open_all_needed(&mut self, upstream: usize) {
        for server in self.http.cluster(upstream).pools.wanting() {
            self.open_needed(upstream, server);
        }
    }

    /// A connection to a server stands.
    pub(super) fn origin_opened(&mut self, upstream: usize, server: usize, origin: Key) {
        let now = self.now();
        let origins = self.http.cluster(upstream);
        origins.pools.opened(server, origin, now);
        origins.servers.connected(server, now);
        self.serve_waiting(upstream, server);
        self.arm_cluster(upstream);
    }

    /// A connection to a server could not be made: the one who waits longest has to know.
    pub(in crate::session) fn origin_failed(
        &mut self,
        upstream: usize,
        server: usize,
        failure: Failure,
    ) {
        let pools = &mut self.http.cluster(upstream).pools;
        pools.open_failed(server);
        if let Some(exchange) = pools.take_waiter(server) {
            self.fail_try(exchange, server, failure);
        }
        if self.http.cluster(upstream).pools[server].is_short() {
            self.open_needed(upstream, server);
        }
    }

    /// A connection has carried an exchange and may carry the next. False: it is to be closed.
    pub(super) fn origin_released(&mut self, upstream: usize, server: usize, origin: Key) -> bool {
        let now = self.now();
        let stays = self.http.cluster(upstream).pools.release(server, origin, now);
        self.serve_waiting(upstream, server);
        // Somebody may wait for another server, and for the place of this connection.
        self.open_all_needed(upstream);
        self.arm_cluster(upstream);
        stays
    }

    /// A connection is gone, or will be.
    pub(super) fn origin_closed(
        &mut self,
        upstream: usize,
        server: usize,
        origin: Key,
        cause: CloseCause,
    ) {
        self.http.cluster(upstream).pools.closed(server, origin, cause);
        // Somebody may wait for the place.
        self.open_all_needed(upstream);
    }

    /// An exchange's try on this server has failed: it is tried again, or fails.
    pub(in crate::session) fn fail_try(&mut self, key: Key, server: usize, failure: Failure) {
        let now = self.now();
        if self.leave_hedged(key, server, failed(failure)) {
            return;
        }
        let HttpState { exchanges, clusters, .. } = &mut self.http;
        let Some(exchange) = exchanges.get_mut(key) else { return };
        let Some(origins) = clusters.get_mut(exchange.upstream).and_then(Option::as_mut) else {
            return;
        };
        if let State::Waiting { server } | State::Linked { server, .. } = exchange.state {
            origins.servers.done(server, failed(failure), now);
        }
        exchange.state = State::Resting;
        let progress = exchange.progress();
        let Cluster { retries, breaker, servers, .. } = origins;
        let tried = exchange.attempts.tried();
        let is_connect = failure.kind() == FailureKind::Connect;
        let has_other = servers.has_other(tried) || is_connect && servers.has_unreachable(tried);
        let failed = (failure, has_other);
        let decision = exchange.attempts.on_failure(retries, breaker, failed, progress, now);
        let upstream = exchange.upstream;
        match decision {
            Decision::Retry { after } => {
                exchange.rewind();
                self.try_again(key, after);
            }
            Decision::Fail(_) => self.fail_exchange(key, failure),
        }
        self.tell_origin_ejections(upstream);
    }

    /// The connection that carries an exchange has failed; `is_kept` when it had carried others.
    pub(in crate::session) fn fail_linked(
        &mut self,
        key: Key,
        origin: Key,
        failure: Failure,
        is_kept: bool,
    ) {
        let exchange = self.http.exchanges.get(key);
        let Some(server) = exchange.and_then(|exchange| exchange.server_of(origin)) else { return };
        let is_stale = is_kept && failure == Failure::ResetBeforeHead;
        self.fail_try(key, server, if is_stale { Failure::StaleConnection } else { failure });
    }

    /// A server has answered with this status: whether the exchange is tried again instead.
    pub(super) fn retry_on_status(&mut self, key: Key, server: usize, status: u16) -> bool {
        let now = self.now();
        if self.leaves_answer_to_other(key, server, status) {
            return true;
        }
        let HttpState { exchanges, clusters, .. } = &mut self.http;
        let Some(exchange) = exchanges.get_mut(key) else { return false };
        let Some(origins) = clusters.get_mut(exchange.upstream).and_then(Option::as_mut) else {
            return false;
        };
        let progress = exchange.progress();
        let Cluster { retries, breaker, servers, .. } = origins;
        let decision = exchange.attempts.on_status(retries, breaker, status, progress, now);
        let Decision::Retry { after } = decision else { return false };
        if let State::Linked { server, .. } = exchange.state {
            let latency = exchange.told.first_byte;
            servers.done(server, Outcome { ended: Ended::Status(status), latency }, now);
        }
        exchange.state = State::Resting;
        exchange.rewind();
        self.try_again(key, after);
        true
    }

    /// Logs and counts which servers are left out, and which are used again.
    fn tell_origin_ejections(&mut self, upstream: usize) {
        let Self { http, options, .. } = self;
        let stats = &options.fleet.cells()[options.worker].stats.upstreams[upstream];
        tell_ejections(http.cluster(upstream), stats, &options.upstreams[upstream].name);
    }

    fn try_again(&mut self, key: Key, after: Duration) {
        let Some(exchange) = self.http.exchanges.get(key) else { return };
        let upstream = exchange.upstream;
        self.cell().stats.upstreams[upstream].retries.add(1);
        if after.is_zero() {
            self.try_exchange(key);
        } else {
            let now = self.now();
            self.rest(key, now + after);
        }
    }

    /// An exchange rests before its next try.
    fn rest(&mut self, key: Key, at: Instant) {
        let Some(exchange) = self.http.exchanges.get(key) else { return };
        let at = exchange.until.map_or(at, |until| until.min(at));
        self.arm_exchange(key, at);
    }

    pub(super) fn arm_exchange(&mut self, key: Key, at: Instant) {
        let Some(exchange) = self.http.exchanges.get_mut(key) else { return };
        let mut deadline = std::mem::take(&mut exchange.deadline);
        deadline.set(self, Due::Exchange(key), at);
        if let Some(exchange) = self.http.exchanges.get_mut(key) {
            exchange.deadline = deadline;
        }
    }

    /// An exchange has rested, or its time is over.
    pub(in crate::session) fn exchange_due(&mut self, key: Key) {
        let now = self.now();
        let Some(exchange) = self.http.exchanges.get_mut(key) else { return };
        let mut deadline = std::mem::take(&mut exchange.deadline);
        let is_due = deadline.fired(self, Due::Exchange(key));
        let Some(exchange) = self.http.exchanges.get_mut(key) else { return };
        exchange.deadline = deadline;
        if !is_due {
            return;
        }
        if exchange.until.is_some_and(|until| until <= now) {
            let failure = exchange.total_failure();
            self.fail_exchange(key, failure);
        } else if exchange.state == State::Resting {
            self.try_exchange(key);
        } else if exchange.hedge_at().is_some_and(|at| at <= now) {
            self.hedge(key);
        } else if let State::Waiting { .. } = exchange.state {
            self.check_wait(key);
        }
    }

    /// An exchange still waits for a connection, for which the pool has a time of its own: the time
    /// of all its tries may be over.
    pub(super) fn check_wait(&mut self, key: Key) {
        let now = self.now();
        let Some(exchange) = self.http.exchanges.get(key) else { return };
        match exchange.until {
            Some(until) if until <= now => {
                let failure = exchange.total_failure();
                self.fail_exchange(key, failure);
            }
            Some(until) => self.arm_exchange(key, until),
            None => {}
        }
    }

    /// An exchange has no answer, or no more of it: its client has to know.
    pub(super) fn fail_exchange(&mut self, key: Key, failure: Failure) {
        self.unlink(key);
        let Some(exchange) = self.http.exchanges.get_mut(key) else { return };
        exchange.state = State::Done;
        // Two timers may be due in one turn: the first one tells.
        if exchange.failed.is_some() {
            return;
        }
        exchange.failed = Some(failure);
        let (client, upstream) = (exchange.asked.client, exchange.upstream);
        self.cell().stats.upstreams[upstream].http.fail(failure);
        self.http.actions.push(HttpAction::Wake { connection: client });
    }

    /// Takes an exchange off the connection that carries it, or out of the queue.
    fn unlink(&mut self, key: Key) {
        let now = self.now();
        let HttpState { exchanges, clusters, actions, .. } = &mut self.http;
        let Some(exchange) = exchanges.get_mut(key) else { return };
        let Some(origins) = clusters.get_mut(exchange.upstream).and_then(Option::as_mut) else {
            return;
        };
        let state = std::mem::replace(&mut exchange.state, State::Done);
        exchange.hedged = Hedged::No;
        for one in exchange.hedge.take().into_iter().chain([state]) {
            forget(origins, key, one, actions, now);
        }
    }

    /// An exchange is over: what is left of it.
    pub(super) fn end_exchange(&mut self, key: Key) -> Option<(Box<RequestHead>, Told)> {
        self.unlink(key);
        let mut exchange = self.http.exchanges.remove(key)?;
        exchange.deadline.disarm(self);
        let origins = self.http.cluster(exchange.upstream);
        exchange.attempts.finish(&mut origins.breaker);
        if exchange.has_entered {
            origins.breaker.leave();
        }
        if let Some(answer) = exchange.answer {
            self.http.spare_answers.give(answer);
        }
        Some((exchange.head, exchange.told))
    }

    /// The server's side of an exchange has something to do.
    pub(super) fn wake_origin(&mut self, key: Key) {
        let Some(exchange) = self.http.exchanges.get(key) else { return };
        if let State::Linked { origin, .. } = exchange.state {
            self.http.actions.push(HttpAction::Wake { connection: origin });
        }
    }

    /// The client's side of an exchange has something to do.
    pub(super) fn wake_client(&mut self, key: Key) {
        let Some(exchange) = self.http.exchanges.get(key) else { return };
        let connection = exchange.asked.client;
        self.http.actions.push(HttpAction::Wake { connection });
    }

    /// Arms the timer of a cluster for what is over next, unless one fires early enough.
    pub(super) fn arm_cluster(&mut self, upstream: usize) {
        let now = self.now();
        let cluster = self.http.cluster(upstream);
        let most = if cluster.is_short() {
            cluster.options.pool.queue_timeout
        } else {
            cluster.options.pool.idle_timeout
        };
        let at = now + most;
        let timer = &mut self.http.cluster_timers[upstream];
        if timer.is_some_and(|(_, fires)| fires <= at) {
            return;
        }
        if let Some((timer, _)) = timer.take() {
            self.reactor.disarm(timer);
        }
        self.arm_cluster_at(upstream, at);
    }

    fn arm_cluster_at(&mut self, upstream: usize, at: Instant) {
        let number = u32::try_from(upstream).unwrap_or(u32::MAX);
        let timer = self.reactor.arm(at, Due::Cluster(number));
        self.http.cluster_timers[upstream] = Some((timer, at));
    }

    /// The timer of a cluster has fired.
    pub(in crate::session) fn expire_cluster(&mut self, upstream: usize) {
        let now = self.now();
        self.http.cluster_timers[upstream] = None;
        for (server, failure, one) in self.http.cluster(upstream).expire(now) {
            match one {
                Expired::Waiter(exchange) => self.fail_try(exchange, server, failure),
                Expired::Connection(origin) => {
                    self.http.actions.push(HttpAction::Close { origin });
                }
            }
        }
        self.open_all_needed(upstream);
        self.tell_origin_ejections(upstream);
        if self.http.cluster_timers[upstream].is_none()
            && let Some(at) = self.http.cluster(upstream).next_deadline()
        {
            self.arm_cluster_at(upstream, at);
        }
    }
}

/// A try of an exchange is not wanted any more.
pub(super) fn forget(
    cluster: &mut Cluster,
    exchange: Key,
    state: State,
    actions: &mut Vec<HttpAction>,
    now: Instant,
) {
    match state {
        State::Waiting { server } => {
            cluster.pools.cancel(server, &exchange);
            cluster.servers.done(server, failed(Failure::ClientGone), now);
        }
        State::Linked { origin, server } => {
            actions.push(HttpAction::Close { origin });
            cluster.servers.done(server, failed(Failure::ClientGone), now);
        }
        State::Resting | State::Done => {}
    }
}
