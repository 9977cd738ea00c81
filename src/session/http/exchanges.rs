//! What connections of HTTP ask of the proxy, and the timers that it wants.

use std::time::Instant;

use super::state::HttpState;
use crate::mem::Key;
use crate::proto::http::RequestHead;
use crate::ring::Driver;
use crate::service::cluster::failure::Failure;
use crate::service::http::record::RequestRecord;
use crate::session::Due;
use crate::session::context::Context;
use crate::session::published::Published;
use crate::session::workers::WorkerMessage;

impl<D: Driver> Context<D> {
    /// An exchange is over, for its client: what is left of it.
    pub(super) fn end_exchange(&mut self, key: Key) -> Option<(Box<RequestHead>, RequestRecord)> {
        let now = self.now();
        let HttpState { proxy, clusters, spare_answers, exchange_timers, .. } = &mut self.http;
        let ended = proxy.end(key, clusters, now)?;
        ended.answers.into_iter().chain(ended.answer).for_each(|head| spare_answers.give(head));
        exchange_timers.take(key).disarm(&mut self.reactor);
        Some((ended.head, ended.record))
    }

    /// The connection that carries an exchange has failed.
    pub(in crate::session) fn connection_lost(
        &mut self,
        of: (Key, Key),
        failure: Failure,
        is_kept: bool,
    ) {
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
        let is_due = deadline.fired(&mut self.reactor, Due::Exchange(exchange));
        self.http.exchange_timers.put(exchange, deadline);
        if is_due {
            let now = self.now();
            let HttpState { proxy, clusters, .. } = &mut self.http;
            proxy.exchange_due(exchange, clusters, now);
        }
    }

    pub(in crate::session) fn arm_exchange(&mut self, exchange: Key, at: Instant) {
        // It may have ended since that was asked for.
        if self.http.proxy.get(exchange).is_none() {
            return;
        }
        let mut deadline = self.http.exchange_timers.take(exchange);
        deadline.set(&mut self.reactor, Due::Exchange(exchange), at);
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

    pub(in crate::session) fn watch_cluster(&mut self, cluster: usize, at: Instant) {
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

    pub(in crate::session) fn borrow(&mut self, cluster: usize, worker: usize) {
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
