//! What is shown of the clusters: counters, gauges, the log of ejections.

use std::time::Instant;

use crate::service::cluster::Cluster;
use crate::service::cluster::servers::Standing;
use crate::session::{UpstreamStats, ejection};

/// Shows how a cluster is, for whoever reads the counters.
pub(in crate::session) fn publish(cluster: &mut Cluster, stats: &UpstreamStats, now: Instant) {
    cluster.servers.advance(now);
    stats.http.publish(cluster.gauges(), &cluster.counters());
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
