//! What is shown of the clusters: counters, gauges, the log of ejections.

use std::time::Instant;

use crate::service::cluster::Cluster;
use crate::session::{OriginStats, ejection};

/// Shows how a cluster is, for whoever reads the counters.
pub(in crate::session) fn publish(cluster: &Cluster, stats: &OriginStats, now: Instant) {
    stats.publish(cluster.gauges(), &cluster.counters());
    for (server, stats) in stats.servers.iter().enumerate() {
        if let Some(view) = cluster.servers.view(server, now) {
            stats.active.set(view.active.into());
            stats.usable.set(u64::from(view.healthy && !view.ejected));
        }
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
