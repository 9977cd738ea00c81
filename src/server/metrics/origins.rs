//! Exchanges of HTTP with servers, their connections, and how the servers are.

use std::ops::Range;
use std::sync::Arc;

use super::{Exporter, Metric, MetricFamily, MetricType, WorkerCell, family, sample};
use crate::server::health::HealthStats;
use crate::service::cluster::breaker::Refused;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::CloseCause;
use crate::session::{OriginStats, ServerStats};

/// The checks of one upstream: the number of its servers, and what is counted of each server.
pub(in crate::server) type Checks = (usize, Arc<[Arc<HealthStats>]>);

/// A label's value, and what counts it.
type Counted = (&'static str, fn(&OriginStats) -> u64);
type Checked = (&'static str, fn(&HealthStats) -> u64);

impl Exporter {
    /// The counters of all workers.
    pub(in crate::server) const fn workers(&self) -> &Arc<crate::session::Workers> {
        &self.workers
    }

    pub(super) fn origin_families(&self) -> Vec<MetricFamily> {
        let each = |name: &str, help: &str, kind, read: &dyn Fn(&OriginStats) -> u64| {
            let values = self.of_http().map(|upstream| {
                let number = upstream.counted.number();
                let value = self.sum(|cell| read(&cell.stats.upstreams.get(number).http));
                sample(kind, &[("upstream", upstream.name.clone())], value)
            });
            family(name, help, kind, values.collect())
        };
        let (gauge, counter) = (MetricType::GAUGE, MetricType::COUNTER);
        vec![
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
        ]
    }

    fn failures(&self) -> MetricFamily {
        let values = self.of_http().flat_map(|upstream| {
            let number = upstream.counted.number();
            Failure::ALL.map(|failure| {
                let labels =
                    [("upstream", upstream.name.clone()), ("reason", failure.name().to_owned())];
                let at = failure.index();
                let value = self.sum(|cell| cell.stats.upstreams.get(number).http.failed[at].get());
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
        for upstream in self.of_http() {
            let number = upstream.counted.number();
            let states: [Counted; 3] = [
                ("idle", |stats| stats.idle.get()),
                ("in_use", |stats| stats.in_use.get()),
                ("opening", |stats| stats.opening.get()),
            ];
            for (state, read) in states {
                let labels = [("upstream", upstream.name.clone()), ("state", state.to_owned())];
                let value = self.sum(|cell| read(&cell.stats.upstreams.get(number).http));
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
        let values = self.of_http().flat_map(|upstream| {
            let number = upstream.counted.number();
            CloseCause::ALL.into_iter().enumerate().map(move |(at, cause)| {
                let labels =
                    [("upstream", upstream.name.clone()), ("cause", cause.name().to_owned())];
                let value = self.sum(|cell| cell.stats.upstreams.get(number).http.closed[at].get());
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

    /// Active checks, by upstream.
    pub(in crate::server) fn checks(&self) -> &[Checks] {
        &self.checks
    }

    /// The servers of all upstreams, whatever uses them. A name that stands for several addresses
    /// counts as one.
    pub(super) fn server_families(&self) -> Vec<MetricFamily> {
        let (mut active, mut usable, mut up, mut checks) = (vec![], vec![], vec![], vec![]);
        let (mut ejections, mut refused) = (Vec::new(), Vec::new());
        for upstream in &self.inventory.upstreams {
            let number = upstream.counted.number();
            for limit in [Refused::InFlight, Refused::Retries] {
                let labels =
                    [("upstream", upstream.name.clone()), ("limit", limit.name().to_owned())];
                let of = |cell: &WorkerCell| {
                    cell.stats.upstreams.get(number).http.refused[limit.index()].get()
                };
                refused.push(sample(MetricType::COUNTER, &labels, self.sum(of)));
            }
            let cluster = upstream.cluster.number();
            let found = self.checks.iter().find(|(upstream, _)| *upstream == cluster);
            for (places, server) in by_name(&upstream.servers) {
                let labels = [("upstream", upstream.name.clone()), ("server", server)];
                let of = |read: &dyn Fn(&ServerStats) -> u64| {
                    self.sum(|cell| {
                        let all = cell.stats.servers.get(cluster);
                        let all = all.get(places.clone()).unwrap_or_default();
                        all.iter().map(|one| read(one)).sum()
                    })
                };
                active.push(sample(MetricType::GAUGE, &labels, of(&|one| one.active.get())));
                // All of its addresses have to be usable.
                let used = places.clone().map(|place| {
                    self.sum(|cell| {
                        let all = cell.stats.servers.get(cluster);
                        let one = all.get(place);
                        one.map_or(0, |one| one.usable.get())
                    })
                });
                usable.push(sample(MetricType::GAUGE, &labels, used.min().unwrap_or(0)));
                let ejected = of(&|one| one.ejected.get());
                ejections.push(sample(MetricType::COUNTER, &labels, ejected));
                let Some(own) = found.and_then(|(_, stats)| stats.get(places.clone())) else {
                    continue;
                };
                let is_up = own.iter().map(|one| one.up.get()).min().unwrap_or(0);
                up.push(sample(MetricType::GAUGE, &labels, is_up));
                let results: [Checked; 3] = [
                    ("success", |one| one.succeeded.get()),
                    ("failure", |one| one.failed.get()),
                    ("skipped", |one| one.skipped.get()),
                ];
                for (result, read) in results {
                    let [upstream, server] = labels.clone();
                    let labels = [upstream, server, ("result", result.to_owned())];
                    let count = own.iter().map(|one| read(one)).sum();
                    checks.push(sample(MetricType::COUNTER, &labels, count));
                }
            }
        }
        server_families([active, usable, ejections, up, checks, refused])
    }
}

/// The places of the addresses of each server that the configuration names.
fn by_name(servers: &[(String, String)]) -> Vec<(Range<usize>, String)> {
    let mut begin = 0;
    let same = servers.chunk_by(|one, other| one.0 == other.0);
    let all = same.map(|same| {
        let places = begin..begin + same.len();
        begin = places.end;
        (places, same.first().map_or_else(String::new, |(name, _)| name.clone()))
    });
    all.collect()
}

/// Active, usable, ejected, healthy, checks, and what limits have refused.
fn server_families(values: [Vec<Metric>; 6]) -> Vec<MetricFamily> {
    let [active, usable, ejections, up, checks, refused] = values;
    vec![
        family(
            "ringway_server_requests_active",
            "Requests, connections and flows in flight, by server.",
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
        family(
            "ringway_upstream_refused_total",
            "Requests, connections and flows that `requests_max` (in_flight), and retries that \
             `retries_max` (retries) has refused.",
            MetricType::COUNTER,
            refused,
        ),
    ]
}
