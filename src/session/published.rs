//! What a cluster has added to counters that it may share with others: a cluster that replaces
//! another one counts in the same place as that one, which goes on until nothing uses it.

use std::time::Instant;

use super::stats::UpstreamStats;
use super::stats_http::{ClusterSums, ServerCounters};
use super::stats_pool::TrunkSums;
use crate::service::cluster::Cluster;
use crate::service::cluster::servers::Standing;
use crate::service::proxy::ExchangeTally;
use crate::service::proxy::http::ProxyTally;

/// What was shown of a cluster at last. Each method adds the difference to that.
#[derive(Debug, Default)]
pub(super) struct Published {
    tally: ProxyTally,
    sums: ClusterSums,
    trunks: TrunkSums,
    /// By server: exchanges under way, and 1 when it is used.
    servers: Vec<(u32, u32)>,
}

impl Published {
    /// What was published of a cluster, by its number.
    pub(super) fn of(all: &mut Vec<Self>, cluster: usize) -> &mut Self {
        if cluster >= all.len() {
            all.resize_with(cluster + 1, Self::default);
        }
        &mut all[cluster]
    }

    /// Shows the state of a cluster. Takes a step for each server. One that is retired uses none of
    /// them, as nothing goes to it that has a choice.
    pub(super) fn publish(
        &mut self,
        cluster: &mut Cluster,
        stats: &UpstreamStats,
        servers: &ServerCounters,
        now: Instant,
    ) {
        cluster.servers.advance(now);
        self.publish_sums(cluster, stats);
        self.servers.resize(servers.len().max(self.servers.len()), (0, 0));
        for (server, (stats, was)) in servers.iter().zip(&mut self.servers).enumerate() {
            if let Some(view) = cluster.servers.view(server, now) {
                let is_used = matches!(view.standing, Standing::Up | Standing::SlowStart);
                let is = (view.active, u32::from(is_used && !cluster.is_retired()));
                stats.active.replace(was.0.into(), is.0.into());
                stats.usable.replace(was.1.into(), is.1.into());
                *was = is;
            }
        }
    }

    /// Shows what all servers of a cluster together come to.
    pub(super) fn publish_sums(&mut self, cluster: &Cluster, stats: &UpstreamStats) {
        let sums = ClusterSums {
            gauges: cluster.gauges(),
            counters: cluster.counters(),
            retries: cluster.retries.counters(),
            refused: cluster.breaker.refused(),
        };
        stats.http.replace(&self.sums, &sums);
        self.sums = sums;
    }

    /// Shows what was counted of a cluster's exchanges.
    pub(super) fn publish_tally(&mut self, tally: &ProxyTally, stats: &UpstreamStats) {
        // Connections of other protocols to the same upstream are tried again, too.
        stats.retries.replace(self.tally.retried, tally.retried);
        stats.http.replace_tally(&self.tally, tally);
        self.tally.clone_from(tally);
    }

    /// Shows how the pool of a cluster's frame proxy is, and adds what that has counted.
    pub(super) fn publish_trunks(
        &mut self,
        tally: &ExchangeTally,
        trunks: TrunkSums,
        stats: &UpstreamStats,
    ) {
        stats.pool.add(tally);
        stats.pool.replace(&self.trunks, &trunks);
        self.trunks = trunks;
    }

    /// The cluster is gone: takes its part of the gauges back. What it has counted stays.
    pub(super) fn withdraw(&mut self, stats: &UpstreamStats, servers: &ServerCounters) {
        let sums = ClusterSums { gauges: Default::default(), ..self.sums };
        stats.http.replace(&self.sums, &sums);
        self.sums = sums;
        let trunks = TrunkSums { counters: self.trunks.counters, ..TrunkSums::default() };
        stats.pool.replace(&self.trunks, &trunks);
        self.trunks = trunks;
        for (stats, (active, usable)) in servers.iter().zip(self.servers.drain(..)) {
            stats.active.replace(active.into(), 0);
            stats.usable.replace(usable.into(), 0);
        }
    }

    /// Another cluster has the number from now on, of which nothing was shown yet. What was shown
    /// of the one before was withdrawn.
    pub(super) fn renew(&mut self) {
        debug_assert!(self.servers.is_empty(), "what was shown of a cluster is withdrawn");
        *self = Self::default();
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;
    use crate::mem::Key;
    use crate::service::cluster::ClusterOptions;
    use crate::service::cluster::breaker::Limits;
    use crate::service::cluster::pool::{Checkout, CloseCause, PoolCounters, PoolGauges};
    use crate::service::cluster::servers::Policy;
    use crate::session::SessionStats;
    use crate::session::stats::Counted;

    const NONE: Key = Key::new(9, 9);

    /// A cluster on which so many exchanges are under way on each of two servers, and one waits.
    fn busy(exchanges: u32, now: Instant) -> Cluster {
        let names = ["one:80", "two:80"].map(str::to_owned);
        let limits = Limits { in_flight: Some(0), ..Limits::default() };
        let options =
            ClusterOptions { breaker: limits, ..ClusterOptions::plain(Policy::RoundRobin, names) };
        let mut cluster = Cluster::new(&options, (0, 1), 1, now);
        for server in 0..2 {
            for number in 0..exchanges {
                cluster.servers.hold(server);
                cluster.pools.begin_open(server);
                cluster.pools.opened(server, Key::new(number, 0), now);
                let taken = cluster.pools.checkout(server, NONE, now);
                assert_eq!(taken, Checkout::Use(Key::new(number, 0)));
            }
            assert!(cluster.breaker.try_enter().is_err());
        }
        assert_eq!(cluster.pools.checkout(0, NONE, now), Checkout::Wait);
        cluster
    }

    /// What is shown: begun and retried, in use, waiting, created, refused, closed, and of each
    /// server how many exchanges are under way and whether it is used.
    fn shown(stats: &UpstreamStats, servers: &ServerCounters) -> ([u64; 8], Vec<(u64, u64)>) {
        let http = &stats.http;
        let counters = [&http.begun, &http.retried, &stats.retries, &http.in_use, &http.waiting];
        let more = [&http.created, &http.refused[0], &http.closed[CloseCause::Failed as usize]];
        let mut all = counters.into_iter().chain(more).map(|counter| counter.get());
        let all = [(); 8].map(|()| all.next().unwrap());
        let of = servers.iter().map(|one| (one.active.get(), one.usable.get()));
        (all, of.collect())
    }

    #[test]
    fn clusters_that_share_counters_add_up_and_one_that_goes_takes_its_gauges_along() {
        let now = Instant::now();
        let all = SessionStats::new(&Counted { servers: vec![2], ..Counted::default() });
        let (stats, own_servers) = (&*all.upstreams.get(0), all.servers.get(0));
        let (mut old, mut new) = (busy(3, now), busy(1, now));
        let mut published = Vec::new();
        // The second server stays, and is the first of the new list.
        let servers = ServerCounters::continuing(&own_servers, 2, [(1, 0), (5, 1), (0, 7)]);
        stats.retries.add(10);
        let tally = |begun, retried| ProxyTally { begun, retried, ..ProxyTally::NONE };
        for _ in 0..3 {
            let one = Published::of(&mut published, 0);
            one.publish(&mut old, stats, &own_servers, now);
            one.publish_tally(&tally(7, 2), stats);
        }
        let expected = ([7, 2, 12, 6, 1, 6, 2, 0], vec![(3, 1), (3, 1)]);
        assert_eq!(shown(stats, &own_servers), expected);
        old.retire();
        for _ in 0..2 {
            let one = Published::of(&mut published, 4);
            one.publish(&mut new, stats, &servers, now);
            one.publish_tally(&tally(5, 1), stats);
            one.publish_tally(&tally(6, 1), stats);
            Published::of(&mut published, 0).publish(&mut old, stats, &own_servers, now);
        }
        let both = [13, 3, 13, 8, 2, 8, 4, 0];
        assert_eq!(shown(stats, &own_servers), (both, vec![(3, 0), (4, 1)]));
        assert_eq!(shown(stats, &servers), (both, vec![(4, 1), (1, 1)]));
        // The last connections of the old one end.
        old.pools.closed(0, Key::new(0, 0), CloseCause::Failed);
        old.servers.leave(0);
        let one = Published::of(&mut published, 0);
        one.publish(&mut old, stats, &own_servers, now);
        one.withdraw(stats, &own_servers);
        one.withdraw(stats, &own_servers);
        let left = [13, 3, 13, 2, 1, 8, 4, 1];
        assert_eq!(shown(stats, &own_servers), (left, vec![(0, 0), (1, 1)]));
        assert_eq!(shown(stats, &servers), (left, vec![(1, 1), (1, 1)]));
        // Another cluster with its number begins at zero.
        one.renew();
        let mut third = busy(2, now);
        one.publish(&mut third, stats, &own_servers, now);
        one.publish_tally(&tally(1, 0), stats);
        let sum = [14, 3, 13, 6, 2, 12, 6, 1];
        assert_eq!(shown(stats, &own_servers), (sum, vec![(2, 1), (3, 2)]));
    }

    #[test]
    fn the_pools_of_frame_proxies_add_up() {
        let all = SessionStats::new(&Counted::plain(0, 1));
        let (stats, own_servers) = (&all.upstreams.get(0), all.servers.get(0));
        let (mut old, mut new) = (Published::default(), Published::default());
        let trunks = |in_use, created, share| TrunkSums {
            gauges: PoolGauges { in_use, ..PoolGauges::default() },
            counters: PoolCounters { created, ..PoolCounters::default() },
            share,
        };
        let tally = ExchangeTally { begun: 3, ..ExchangeTally::default() };
        let shown = || {
            let pool = &stats.pool;
            [&pool.in_use, &pool.share, &pool.created, &pool.begun].map(|one| one.get())
        };
        old.publish_trunks(&tally, trunks(2, 4, 100), stats);
        new.publish_trunks(&tally, trunks(1, 1, 50), stats);
        assert_eq!(shown(), [3, 150, 5, 6]);
        old.publish_trunks(&ExchangeTally::default(), trunks(1, 5, 90), stats);
        assert_eq!(shown(), [2, 140, 6, 6]);
        old.withdraw(stats, &own_servers);
        assert_eq!(shown(), [1, 50, 6, 6]);
    }
}
