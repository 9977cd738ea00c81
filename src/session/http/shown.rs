//! What is shown of the clusters: counters, gauges, the log of ejections.

use std::time::Instant;

use crate::service::cluster::Cluster;
use crate::service::proxy::http::ProxyTally;
use crate::session::{OriginStats, UpstreamStats, ejection};

/// Shows the state of a cluster to whoever reads the counters.
pub(in crate::session) fn publish(cluster: &Cluster, stats: &OriginStats, now: Instant) {
    stats.publish(cluster.gauges(), &cluster.counters(), cluster.retries.counters());
    for (server, stats) in stats.servers.iter().enumerate() {
        if let Some(view) = cluster.servers.view(server, now) {
            stats.active.set(view.active.into());
            stats.usable.set(u64::from(view.healthy && !view.ejected));
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
    stats: &OriginStats,
    upstream: &str,
) {
    while let Some(event) = cluster.servers.next_event() {
        let name = |server: usize| cluster.options.names.get(server).map_or("", |name| name);
        let ejected = ejection::log(upstream, &event, name);
        let stats = ejected.and_then(|server| stats.servers.get(server));
        stats.into_iter().for_each(|one| one.ejected.add(1));
    }
}
