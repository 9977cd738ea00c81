//! Exchanges of HTTP with servers, their connections, and how the servers are.

use std::sync::Arc;

use super::{Exporter, MetricFamily, MetricType, family, sample};
use crate::server::health::{HealthPlan, HealthStats};
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::CloseCause;
use crate::session::OriginStats;

/// The checks of one upstream: its number, and what is counted of each server.
pub(super) type Checks = (usize, Arc<[HealthStats]>);

/// A label's value, and what counts it.
type Counted = (&'static str, fn(&OriginStats) -> u64);

impl Exporter {
    /// Servers of an upstream are checked from now on.
    pub(in crate::server) fn add_checks(&mut self, plan: &HealthPlan, stats: Arc<[HealthStats]>) {
        self.checks.push((plan.upstream, stats));
    }

    /// The counters of all workers.
    pub(in crate::server) const fn fleet(&self) -> &Arc<crate::session::Fleet> {
        &self.fleet
    }

    pub(super) fn origin_families(&self) -> Vec<MetricFamily> {
        let each = |name: &str, help: &str, kind, read: &dyn Fn(&OriginStats) -> u64| {
            let values = self.http.upstreams.iter().map(|(number, upstream, _)| {
                let value = self.sum(|cell| read(&cell.stats.upstreams[*number].http));
                sample(kind, &[("upstream", upstream.clone())], value)
            });
            family(name, help, kind, values.collect())
        };
        let (gauge, counter) = (MetricType::GAUGE, MetricType::COUNTER);
        let mut families = vec![
            each(
                "ringway_upstream_requests_total",
                "Requests that were to be answered by the upstream's servers.",
                counter,
                &|stats| stats.begun.get(),
            ),
            each(
                "ringway_upstream_responses_total",
                "Requests that the upstream's servers answered.",
                counter,
                &|stats| stats.answered.get(),
            ),
            each(
                "ringway_upstream_hedges_total",
                "Requests for which a second server was asked, because the first was slow.",
                counter,
                &|stats| stats.hedges.get(),
            ),
            each(
                "ringway_upstream_hedges_won_total",
                "Requests that the second server answered first.",
                counter,
                &|stats| stats.hedges_won.get(),
            ),
            each(
                "ringway_upstream_interim_responses_total",
                "Interim answers of the upstream's servers that went on to clients.",
                counter,
                &|stats| stats.interim.get(),
            ),
            self.failures(),
            self.connections(),
            each(
                "ringway_upstream_requests_waiting",
                "Requests that wait for a connection.",
                gauge,
                &|stats| stats.waiting.get(),
            ),
            each(
                "ringway_upstream_connections_created_total",
                "Connections that stood.",
                counter,
                &|stats| stats.created.get(),
            ),
            each(
                "ringway_upstream_connections_reused_total",
                "Requests on a connection that had carried one before.",
                counter,
                &|stats| stats.reused.get(),
            ),
            self.closed(),
        ];
        families.extend(self.servers());
        families
    }

    fn failures(&self) -> MetricFamily {
        let values = self.http.upstreams.iter().flat_map(|(number, upstream, _)| {
            Failure::ALL.map(|failure| {
                let labels =
                    [("upstream", upstream.clone()), ("reason", failure.name().to_owned())];
                let at = failure.index();
                let value = self.sum(|cell| cell.stats.upstreams[*number].http.failed[at].get());
                sample(MetricType::COUNTER, &labels, value)
            })
        });
        family(
            "ringway_upstream_request_failures_total",
            "Requests that got no answer of a server, or not all of it, by reason.",
            MetricType::COUNTER,
            values.collect(),
        )
    }

    fn connections(&self) -> MetricFamily {
        let mut values = Vec::new();
        for (number, upstream, _) in &self.http.upstreams {
            let states: [Counted; 3] = [
                ("idle", |stats| stats.idle.get()),
                ("in_use", |stats| stats.in_use.get()),
                ("opening", |stats| stats.opening.get()),
            ];
            for (state, read) in states {
                let labels = [("upstream", upstream.clone()), ("state", state.to_owned())];
                let value = self.sum(|cell| read(&cell.stats.upstreams[*number].http));
                values.push(sample(MetricType::GAUGE, &labels, value));
            }
        }
        family(
            "ringway_upstream_pooled_connections",
            "Connections to the upstream's servers by state.",
            MetricType::GAUGE,
            values,
        )
    }

    fn closed(&self) -> MetricFamily {
        let values = self.http.upstreams.iter().flat_map(|(number, upstream, _)| {
            CloseCause::ALL.into_iter().enumerate().map(|(at, cause)| {
                let labels = [("upstream", upstream.clone()), ("cause", cause.name().to_owned())];
                let value = self.sum(|cell| cell.stats.upstreams[*number].http.closed[at].get());
                sample(MetricType::COUNTER, &labels, value)
            })
        });
        family(
            "ringway_upstream_connections_closed_total",
            "Connections to the upstream's servers that ended, by cause.",
            MetricType::COUNTER,
            values.collect(),
        )
    }

    /// By server. A name that stands for several addresses counts as one.
    fn servers(&self) -> Vec<MetricFamily> {
        let (mut active, mut usable, mut up, mut checks) = (vec![], vec![], vec![], vec![]);
        let mut ejections = Vec::new();
        for (number, upstream, servers) in &self.http.upstreams {
            for (place, server) in servers.iter().enumerate() {
                let labels = [("upstream", upstream.clone()), ("server", server.clone())];
                let of = |read: &dyn Fn(&crate::session::ServerStats) -> u64| {
                    self.sum(|cell| {
                        cell.stats.upstreams[*number].http.servers.get(place).map_or(0, read)
                    })
                };
                active.push(sample(MetricType::GAUGE, &labels, of(&|one| one.active.get())));
                usable.push(sample(MetricType::GAUGE, &labels, of(&|one| one.usable.get())));
                let ejected = of(&|one| one.ejected.get());
                ejections.push(sample(MetricType::COUNTER, &labels, ejected));
                let found = self.checks.iter().find(|(upstream, _)| upstream == number);
                if let Some(stats) = found.and_then(|(_, stats)| stats.get(place)) {
                    up.push(sample(MetricType::GAUGE, &labels, stats.up.get()));
                    for (result, count) in [
                        ("success", &stats.succeeded),
                        ("failure", &stats.failed),
                        ("skipped", &stats.skipped),
                    ] {
                        let [upstream, server] = labels.clone();
                        let labels = [upstream, server, ("result", result.to_owned())];
                        checks.push(sample(MetricType::COUNTER, &labels, count.get()));
                    }
                }
            }
        }
        vec![
            family(
                "ringway_server_requests_active",
                "Requests in flight, by server.",
                MetricType::GAUGE,
                active,
            ),
            family(
                "ringway_server_usable_workers",
                "Workers that use a server: fewer than there are when a check or an ejection keeps \
                 it out.",
                MetricType::GAUGE,
                usable,
            ),
            family(
                "ringway_server_ejections_total",
                "Times that a worker left a server out because of what requests had found.",
                MetricType::COUNTER,
                ejections,
            ),
            family(
                "ringway_server_healthy",
                "1 while active checks say that a server can be used, else 0.",
                MetricType::GAUGE,
                up,
            ),
            family(
                "ringway_health_checks_total",
                "Active checks by server and result.",
                MetricType::COUNTER,
                checks,
            ),
        ]
    }
}
