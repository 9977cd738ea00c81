//! Carries out what the HTTP proxy decides: connections are made, given requests and closed, and
//! timers armed.

use std::time::Instant;

use super::state::HttpState;
use crate::mem::Key;
use crate::proto::http::RequestHead;
use crate::ring::Driver;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::CloseCause;
use crate::service::http::record::RequestRecord;
use crate::service::proxy::http::ProxyAction;
use crate::session::context::Context;
use crate::session::deadline::Deadline;
use crate::session::http::UpstreamConnection;
use crate::session::kind::Session;
use crate::session::published::Published;
use crate::session::workers::WorkerMessage;
use crate::session::{Due, Sessions};

/// The timers of exchanges, by their slots.
#[derive(Debug, Default)]
pub(super) struct ExchangeTimers(Vec<Deadline>);

impl ExchangeTimers {
    /// The timer of an exchange, put there again by [`ExchangeTimers::put`].
    fn take(&mut self, exchange: Key) -> Deadline {
        self.0.get_mut(exchange.index as usize).map(std::mem::take).unwrap_or_default()
    }

    fn put(&mut self, exchange: Key, deadline: Deadline) {
        let at = exchange.index as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, Deadline::default);
        }
        self.0[at] = deadline;
    }
}

impl<D: Driver> Context<D> {
    /// An exchange is over, for its client: what is left of it.
    pub(super) fn end_exchange(&mut self, key: Key) -> Option<(Box<RequestHead>, RequestRecord)> {
        let now = self.now();
        let HttpState { proxy, clusters, spare_answers, exchange_timers, .. } = &mut self.http;
        let ended = proxy.end(key, clusters, now)?;
        ended.answers.into_iter().chain(ended.answer).for_each(|head| spare_answers.give(head));
        exchange_timers.take(key).disarm(self);
        Some((ended.head, ended.record))
    }

    /// The connection that carries an exchange has failed.
    pub(super) fn connection_lost(&mut self, of: (Key, Key), failure: Failure, is_kept: bool) {
        let now = self.now();
        let HttpState { proxy, clusters, .. } = &mut self.http;
        proxy.connection_lost(of, failure, is_kept, clusters, now);
    }

    /// An exchange cannot go on, for a want of ours.
    pub(super) fn fail_exchange(&mut self, exchange: Key, failure: Failure) {
        let now = self.now();
        let HttpState { proxy, clusters, .. } = &mut self.http;
        proxy.fail(exchange, failure, clusters, now);
    }

    /// The timer of an exchange has fired.
    pub(in crate::session) fn exchange_due(&mut self, exchange: Key) {
        let mut deadline = self.http.exchange_timers.take(exchange);
        let is_due = deadline.fired(self, Due::Exchange(exchange));
        self.http.exchange_timers.put(exchange, deadline);
        if is_due {
            let now = self.now();
            let HttpState { proxy, clusters, .. } = &mut self.http;
            proxy.exchange_due(exchange, clusters, now);
        }
    }

    fn arm_exchange(&mut self, exchange: Key, at: Instant) {
        // It may have ended since that was asked for.
        if self.http.proxy.get(exchange).is_none() {
            return;
        }
        let mut deadline = self.http.exchange_timers.take(exchange);
        deadline.set(self, Due::Exchange(exchange), at);
        self.http.exchange_timers.put(exchange, deadline);
    }

    /// The timer of a cluster has fired.
    pub(in crate::session) fn expire_cluster(&mut self, cluster: usize) {
        let now = self.now();
        if let Some(timer) = self.http.cluster_timers.get_mut(cluster) {
            *timer = None;
        }
        let HttpState { proxy, clusters, .. } = &mut self.http;
        proxy.expire(cluster, clusters, now);
    }

    fn watch_cluster(&mut self, cluster: usize, at: Instant) {
        if let Some((timer, _)) = self.http.cluster_timers[cluster].take() {
            self.reactor.disarm(timer);
        }
        let number = u32::try_from(cluster).unwrap_or(u32::MAX);
        let timer = self.reactor.arm(at, Due::Cluster(number));
        self.http.cluster_timers[cluster] = Some((timer, at));
    }

    /// Another worker has given places for connections.
    pub(in crate::session) fn quota_lent(&mut self, cluster: usize, places: u32) {
        let now = self.now();
        let HttpState { proxy, clusters, .. } = &mut self.http;
        proxy.quota_lent(cluster, places, clusters, now);
    }

    fn borrow(&mut self, cluster: usize, worker: usize) {
        let from = self.options.worker;
        if !self.options.workers.send(worker, WorkerMessage::Ask { upstream: cluster, from }) {
            self.quota_lent(cluster, 0);
        }
    }

    /// Shows what was counted of exchanges in this turn.
    pub(in crate::session) fn count_exchanges(&mut self) {
        let Self { http, plan, .. } = self;
        while let Some(cluster) = http.proxy.next_counted() {
            if !plan.upstreams.has(cluster) {
                // All was shown when it went.
                continue;
            }
            let stats = plan.upstreams.stats(cluster);
            let published = Published::of(&mut http.published, cluster);
            published.publish_tally(http.proxy.tally(cluster), stats);
        }
    }
}

impl<D: Driver> Sessions<D> {
    /// Carries out what the HTTP proxy wants done.
    pub(in crate::session) fn settle_proxy(&mut self) {
        let mut actions = std::mem::take(&mut self.context.http.acting);
        self.context.http.proxy.take_actions(&mut actions);
        for action in actions.drain(..) {
            self.carry_out_http(action);
        }
        self.context.http.acting = actions;
        while let Some((exchange, connection)) = self.context.http.tunnels.pop() {
            self.join(exchange, connection);
            self.remove_if_finished(connection);
        }
    }

    fn carry_out_http(&mut self, action: ProxyAction) {
        match action {
            ProxyAction::Wake { connection } => match self.slab.get_mut(connection) {
                Some(Session::Http(http)) => http.io.mark_dirty(&mut self.context, connection),
                Some(Session::Upstream(one)) => one.mark_dirty(&mut self.context, connection),
                _ => {}
            },
            ProxyAction::Send { connection, exchange } => self.assign(connection, exchange),
            ProxyAction::Cancel { connection, exchange } => {
                if let Some(Session::Upstream(one)) = self.slab.get_mut(connection) {
                    one.cancel(&mut self.context, connection, exchange);
                }
                self.remove_if_finished(connection);
            }
            ProxyAction::Close { connection } => {
                if let Some(Session::Upstream(one)) = self.slab.get_mut(connection) {
                    one.close(&mut self.context, connection, CloseCause::Retired);
                }
                self.remove_if_finished(connection);
            }
            ProxyAction::Connect { cluster, server } => self.connect(cluster, server),
            ProxyAction::Borrow { cluster, worker } => self.context.borrow(cluster, worker),
            ProxyAction::Arm { exchange, at } => self.context.arm_exchange(exchange, at),
            ProxyAction::Watch { cluster, at } => self.context.watch_cluster(cluster, at),
            ProxyAction::Report { cluster } => self.context.tell_ejections(cluster),
        }
    }

    fn assign(&mut self, connection: Key, exchange: Key) {
        if let Some(Session::Upstream(one)) = self.slab.get_mut(connection) {
            one.assign(&mut self.context, connection, exchange);
            self.remove_if_finished(connection);
        } else {
            let of = (exchange, connection);
            self.context.connection_lost(of, Failure::StaleConnection, true);
        }
    }

    fn connect(&mut self, cluster: usize, server: usize) {
        let now = self.context.now();
        let plan = self.context.plan.upstreams.keep(cluster);
        plan.stats().active.increment();
        let connection = UpstreamConnection::new((cluster, server), plan, now);
        match self.slab.insert(Session::Upstream(Box::new(connection))) {
            Ok(key) => {
                if let Some(session) = self.slab.get_mut(key) {
                    session.start(&mut self.context, key);
                }
                self.remove_if_finished(key);
            }
            Err(_full) => {
                self.context.upstream_stats(cluster).active.decrement();
                let HttpState { proxy, clusters, .. } = &mut self.context.http;
                let (place, failure) = ((cluster, server), Failure::Resources);
                proxy.connection_failed(place, failure, clusters, now);
            }
        }
    }
}
