//! The connections to servers: assigning them to waiting exchanges, opening and closing them.

use std::time::Instant;

use super::exchange::State;
use super::{HttpProxy, ProxyAction, Surroundings};
use crate::mem::Key;
use crate::service::cluster::Clusters;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::{CloseCause, Expired};

impl Surroundings<'_> {
    /// Makes as many connections to a server as are needed; whether it makes any.
    pub(super) fn open_needed(&mut self, cluster: usize, server: usize) -> bool {
        let Self { clusters, actions, now, .. } = self;
        let one = clusters.get(cluster);
        let mut is_opened = false;
        while one.may_open(server) {
            is_opened = true;
            actions.push(ProxyAction::Connect { cluster, server });
        }
        if let Some(connection) = one.idle_elsewhere(server) {
            actions.push(ProxyAction::Close { connection });
            if one.may_open(server) {
                is_opened = true;
                actions.push(ProxyAction::Connect { cluster, server });
            }
        } else if one.pools[server].is_short()
            && one.open() >= one.quota.limit()
            && let Some(ask) = one.quota.want(*now)
        {
            actions.push(ProxyAction::Borrow { cluster, worker: ask.to });
        }
        is_opened
    }

    /// The same for all servers that somebody waits for.
    fn open_all_needed(&mut self, cluster: usize) {
        let wanting = self.clusters.get(cluster).pools.wanting();
        let mut is_any_served = false;
        for server in wanting.clone() {
            if self.open_needed(cluster, server) {
                is_any_served = true;
                self.clusters.get(cluster).pools.had_turn(server);
            }
        }
        if !is_any_served {
            // Those behind them may be able to use what these cannot.
            wanting.for_each(|server| self.clusters.get(cluster).pools.had_turn(server));
        }
    }

    /// Has the idle connections of a cluster closed that is retired.
    fn close_retired(&mut self, cluster: usize) {
        let Self { clusters, actions, .. } = self;
        while let Some(connection) = clusters.get(cluster).take_retired() {
            actions.push(ProxyAction::Close { connection });
        }
    }

    /// Has it told which servers are left out, if that has changed.
    pub(super) fn report(&mut self, cluster: usize) {
        if self.clusters.get(cluster).servers.has_events() {
            self.actions.push(ProxyAction::Report { cluster });
        }
    }

    /// Has the cluster looked at when something is over next, unless it will be early enough.
    pub(super) fn watch(&mut self, cluster: usize) {
        let one = self.clusters.get(cluster);
        let pool = &one.options.pool;
        let most = if one.is_short() { pool.queue_timeout } else { pool.idle_timeout };
        self.watch_until(cluster, self.now + most);
    }

    fn watch_until(&mut self, cluster: usize, at: Instant) {
        let until = &mut self.watched[cluster].until;
        if until.is_none_or(|until| until > at) {
            *until = Some(at);
            self.actions.push(ProxyAction::Watch { cluster, at });
        }
    }
}

/// What is told of a cluster that is not there any more comes too late, and is passed over.
impl HttpProxy {
    fn around<'a>(&'a mut self, clusters: &'a mut Clusters, now: Instant) -> Surroundings<'a> {
        let Self { watched, counted, actions, filled, .. } = self;
        Surroundings { clusters, watched, counted, actions, filled, now }
    }

    /// Gives those who wait for a server its free connections.
    fn serve_waiting(
        &mut self,
        cluster: usize,
        server: usize,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        while let Some((key, connection)) = clusters.get(cluster).pools.next_ready(server, now) {
            if let Some(exchange) = self.exchanges.get_mut(key) {
                let linked = State::Linked { connection, server };
                let waited = exchange.tried_for(now);
                if exchange.tries.second == Some(State::Waiting { server }) {
                    exchange.tries.second = Some(linked);
                } else {
                    exchange.tries.state = linked;
                    exchange.record.upstream.queued = Some(waited);
                }
            }
            self.actions.push(ProxyAction::Send { connection, exchange: key });
        }
    }

    /// A connection for one exchange was made, or was not: others may wait for theirs.
    pub(super) fn after_alone(&mut self, cluster: usize, clusters: &mut Clusters, now: Instant) {
        let mut around = self.around(clusters, now);
        around.close_retired(cluster);
        around.open_all_needed(cluster);
        around.watch(cluster);
    }

    /// A cluster is replaced or removed, as [`Cluster::retire`] says: its idle connections are
    /// closed.
    ///
    /// [`Cluster::retire`]: crate::service::cluster::Cluster::retire
    pub fn retire(&mut self, cluster: usize, clusters: &mut Clusters, now: Instant) {
        let Some(one) = clusters.find_mut(cluster) else { return };
        one.retire();
        self.around(clusters, now).close_retired(cluster);
    }

    /// A connection to a server stands.
    pub fn connection_opened(
        &mut self,
        (cluster, server): (usize, usize),
        connection: Key,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some(one) = clusters.find_mut(cluster) else {
            return self.actions.push(ProxyAction::Close { connection });
        };
        one.pools.opened(server, connection, now);
        one.servers.connected(server, now);
        self.serve_waiting(cluster, server, clusters, now);
        let mut around = self.around(clusters, now);
        around.close_retired(cluster);
        around.watch(cluster);
    }

    /// Connections to a server carry many exchanges at a time: [`HttpProxy::connection_opened`]
    /// follows for the first of them.
    pub fn connection_shares(
        &self,
        (cluster, server): (usize, usize),
        capacity: u32,
        clusters: &mut Clusters,
    ) {
        if let Some(one) = clusters.find_mut(cluster) {
            one.pools.share(server, capacity);
        }
    }

    /// A connection carries no more than so many exchanges at a time.
    pub fn connection_capacity(
        &mut self,
        (cluster, server): (usize, usize),
        connection: Key,
        capacity: u32,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some(one) = clusters.find_mut(cluster) else { return };
        one.pools.set_capacity(server, connection, capacity);
        self.serve_waiting(cluster, server, clusters, now);
        self.around(clusters, now).open_all_needed(cluster);
    }

    /// A connection takes no further exchange. False when it carries none: it is to be closed, and
    /// known no longer.
    #[must_use]
    pub fn connection_retired(
        &mut self,
        (cluster, server): (usize, usize),
        connection: Key,
        clusters: &mut Clusters,
        now: Instant,
    ) -> bool {
        let Some(one) = clusters.find_mut(cluster) else { return false };
        let stays = one.pools.retire(server, connection, CloseCause::Retired);
        // Somebody may wait for another one.
        self.around(clusters, now).open_all_needed(cluster);
        stays
    }

    /// A connection to a server could not be made: notifies the oldest waiter.
    pub fn connection_failed(
        &mut self,
        (cluster, server): (usize, usize),
        failure: Failure,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some(one) = clusters.find_mut(cluster) else { return };
        one.pools.open_failed(server);
        let waiter = one.pools.take_waiter(server);
        if let Some(key) = waiter
            && let Some((exchange, mut around)) = self.split(key, clusters, now)
        {
            exchange.fail_try(key, server, failure, &mut around);
        }
        if clusters.get(cluster).pools[server].is_short() {
            self.around(clusters, now).open_needed(cluster, server);
        }
    }

    /// A connection has carried an exchange and may carry the next. False: it is to be closed, and
    /// known no longer.
    #[must_use]
    pub fn connection_released(
        &mut self,
        (cluster, server): (usize, usize),
        connection: Key,
        clusters: &mut Clusters,
        now: Instant,
    ) -> bool {
        let Some(one) = clusters.find_mut(cluster) else { return false };
        let stays = one.pools.release(server, connection, now);
        self.serve_waiting(cluster, server, clusters, now);
        // Somebody may wait for another server, and for the place of this connection.
        let mut around = self.around(clusters, now);
        around.close_retired(cluster);
        around.open_all_needed(cluster);
        around.watch(cluster);
        stays
    }

    /// A connection that stood is gone, or will be.
    pub fn connection_closed(
        &mut self,
        (cluster, server): (usize, usize),
        connection: Key,
        cause: CloseCause,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some(one) = clusters.find_mut(cluster) else { return };
        one.pools.closed(server, connection, cause);
        // Somebody may wait for the place.
        self.around(clusters, now).open_all_needed(cluster);
    }

    /// Another worker has given places, perhaps none.
    pub fn quota_lent(
        &mut self,
        cluster: usize,
        places: u32,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some(one) = clusters.find_mut(cluster) else { return };
        one.quota.answered(places, now);
        let mut around = self.around(clusters, now);
        around.open_all_needed(cluster);
        around.watch(cluster);
    }

    /// Another worker asks for places: how many it gets.
    pub fn quota_asked(&mut self, cluster: usize, clusters: &mut Clusters) -> u32 {
        let Some(one) = clusters.find_mut(cluster) else { return 0 };
        let (places, idle) = one.asked();
        let close = |connection| ProxyAction::Close { connection };
        self.actions.extend(idle.map(close));
        places
    }

    /// The time that [`ProxyAction::Watch`] named has come.
    pub fn expire(&mut self, cluster: usize, clusters: &mut Clusters, now: Instant) {
        let Some(one) = clusters.find_mut(cluster) else { return };
        self.watched[cluster].until = None;
        for (server, failure, one) in one.expire(now) {
            match one {
                Expired::Waiter(key) => {
                    if let Some((exchange, mut around)) = self.split(key, clusters, now) {
                        exchange.fail_try(key, server, failure, &mut around);
                    }
                }
                Expired::Connection(connection) => {
                    self.actions.push(ProxyAction::Close { connection });
                }
            }
        }
        let mut around = self.around(clusters, now);
        around.open_all_needed(cluster);
        around.report(cluster);
        if around.watched[cluster].until.is_none()
            && let Some(at) = around.clusters.get(cluster).next_deadline()
        {
            around.watch_until(cluster, at);
        }
    }
}
