//! What is told of the clusters: the log of ejections, and how many there were.

use crate::service::cluster::Cluster;
use crate::session::stats_http::ServerCounters;
use crate::session::{UpstreamStats, ejection};

/// Logs and counts which servers are ejected, and which are used again.
pub(in crate::session) fn tell_ejections(
    cluster: &mut Cluster,
    (stats, servers): (&UpstreamStats, &ServerCounters),
    upstream: &str,
) {
    while let Some(event) = cluster.servers.next_event() {
        let name = |server: usize| cluster.options.names.get(server).map_or("", |name| name);
        let ejected = ejection::log(upstream, &event, name);
        if let Some(server) = ejected {
            stats.ejections.add(1);
            servers.get(server).into_iter().for_each(|one| one.ejected.add(1));
        }
    }
}
