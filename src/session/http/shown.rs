//! What is shown of the clusters: counters, gauges, the log of ejections.

use std::time::Instant;

use crate::service::cluster::Cluster;
use crate::service::cluster::servers::Standing;
use crate::service::proxy::http::ProxyTally;
use crate::session::{UpstreamStats, ejection};

/// Shows the state of a cluster to whoever reads the counters.
pub(in crate::session) fn publish(cluster: &mut Cluster, stats: &UpstreamStats, now: Instant) {
    cluster.servers.advance(now);
    stats.http.publish(cluster.gauges(), &cluster.counters(), cluster.retries.counters());
    for (refusals, count) in stats.http.refused.iter().zip(cluster.breaker.refused()) {
        refusals.set(count);
    }
    for (server, stats) in stats.http.servers.iter().enumerate() {
        if let Some(view) = cluster.servers.view(server, now) {
            stats.active.set(view.active.into());
            let is_used = matches!(view.standing, Standing::Up | Standing::SlowStart);
            stats.usable.set(is_used.into());
        }
    }
}

/// Shows what was counted of exchanges.
pub(super) fn publish_tally(tally: &ProxyTally, stats: &UpstreamStats) {
    // Connections of other protocols to the same upstream are tried again, too.
    stats.retries.add(tally.retried - stats.http.retried.get());
    let stats = &stats.http;
    stats.retried.set(tally.retried);
    stats.begun.set(tally.begun);
    stats.answered.set(tally.answered);
    stats.hedges.set(tally.hedges);
    stats.hedges_won.set(tally.hedges_won);
    stats.interim.set(tally.interim);
    for (counter, count) in stats.failed.iter().zip(tally.failed) {
        counter.set(count);
    }
}

/// Logs and counts which servers are ejected, and which are used again.
pub(in crate::session) fn tell_ejections(
    cluster: &mut Cluster,
    stats: &UpstreamStats,
    upstream: &str,
) {
    while let Some(event) = cluster.servers.next_event() {
        let name = |server: usize| cluster.options.names.get(server).map_or("", |name| name);
        let ejected = ejection::log(upstream, &event, name);
        if let Some(server) = ejected {
            stats.ejections.add(1);
            stats.http.servers.get(server).into_iter().for_each(|one| one.ejected.add(1));
        }
    }
}
