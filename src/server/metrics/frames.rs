//! Requests of the framed protocol, the exchanges of frame proxies, and their connections.

use super::{
    Exporter, MetricFamily, MetricType, WorkerCell, as_float, counter, family, gauge, sample,
};
use crate::proto::frame::Code;
use crate::server::plan::Known;
use crate::service::cluster::pool::CloseCause;
use crate::service::frame::Tally;
use crate::session::PoolStats;

/// How to read one count.
type Read = fn(&PoolStats) -> u64;

impl Exporter {
    /// What was asked of frame listeners, and what they refused.
    pub(super) fn frame_families(&self) -> Vec<MetricFamily> {
        let frames = numbered(&self.inventory.frames);
        let requests = frames.clone().flat_map(|(index, listener)| {
            Tally::KINDS.into_iter().enumerate().map(move |(kind, command)| {
                let of =
                    |cell: &WorkerCell| cell.stats.listeners.get(index).frames.requests[kind].get();
                let labels = [("listener", listener.clone()), ("command", command.to_owned())];
                counter(&labels, self.sum(of))
            })
        });
        let errors = frames.flat_map(|(index, listener)| {
            Code::ALL.into_iter().enumerate().map(move |(number, code)| {
                let of =
                    |cell: &WorkerCell| cell.stats.listeners.get(index).frames.errors[number].get();
                let labels = [("listener", listener.clone()), ("code", code.name().to_owned())];
                counter(&labels, self.sum(of))
            })
        });
        vec![
            family(
                "ringway_frame_requests_total",
                "Requests of the framed protocol that we answered ourselves, by command.",
                MetricType::COUNTER,
                requests.collect(),
            ),
            family(
                "ringway_frame_errors_total",
                "Errors that clients of the framed protocol were told, by code.",
                MetricType::COUNTER,
                errors.collect(),
            ),
        ]
    }

    /// The exchanges of frame proxies.
    pub(super) fn exchange_families(&self) -> Vec<MetricFamily> {
        let outcomes = self.pooled().flat_map(|(index, upstream)| {
            let of = move |outcome: &str, read: &dyn Fn(&PoolStats) -> u64| {
                let labels = [("upstream", upstream.clone()), ("outcome", outcome.to_owned())];
                counter(&labels, self.sum(|cell| read(&cell.stats.upstreams.get(index).pool)))
            };
            let failed = Code::ALL.into_iter().enumerate();
            let failed: Vec<_> = failed
                .map(|(number, code)| of(code.name(), &|pool| pool.errors[number].get()))
                .collect();
            let known = [
                of("begun", &|pool| pool.begun.get()),
                of("answered", &|pool| pool.answered.get()),
                of("retried", &|pool| pool.retried.get()),
            ];
            known.into_iter().chain(failed)
        });
        vec![family(
            "ringway_exchanges_total",
            "Exchanges of frame proxies: begun, answered by a server, sent again, and answered by \
             us with an error, by its code.",
            MetricType::COUNTER,
            outcomes.collect(),
        )]
    }

    /// The connections that carry exchanges.
    pub(super) fn pool_families(&self) -> Vec<MetricFamily> {
        let states: [(&str, Read); 3] = [
            ("idle", |pool| pool.idle.get()),
            ("in_use", |pool| pool.in_use.get()),
            ("opening", |pool| pool.opening.get()),
        ];
        let connections = self.pooled().flat_map(|(index, upstream)| {
            states.map(|(state, read)| {
                let labels = [("upstream", upstream.clone()), ("state", state.to_owned())];
                let count = self.sum(|cell| read(&cell.stats.upstreams.get(index).pool));
                gauge(&labels, as_float(count))
            })
        });
        let closed = self.pooled().flat_map(|(index, upstream)| {
            CloseCause::ALL.map(|cause| {
                let of = |cell: &WorkerCell| {
                    cell.stats.upstreams.get(index).pool.closed[cause as usize].get()
                };
                let labels = [("upstream", upstream.clone()), ("reason", cause.name().to_owned())];
                counter(&labels, self.sum(of))
            })
        });
        let mut families = vec![
            family(
                "ringway_pool_connections",
                "Connections that carry exchanges, by state.",
                MetricType::GAUGE,
                connections.collect(),
            ),
            family(
                "ringway_pool_closed_total",
                "Connections of pools that ended, by reason.",
                MetricType::COUNTER,
                closed.collect(),
            ),
        ];
        families.extend(self.pool_counts());
        families
    }

    fn pool_counts(&self) -> Vec<MetricFamily> {
        let one = |name: &str, help: &str, kind, read: Read| {
            let values = self.pooled().map(|(index, upstream)| {
                let value = self.sum(|cell| read(&cell.stats.upstreams.get(index).pool));
                sample(kind, &[("upstream", upstream)], value)
            });
            family(name, help, kind, values.collect())
        };
        let (count, now) = (MetricType::COUNTER, MetricType::GAUGE);
        vec![
            one("ringway_pool_waiting", "Exchanges that wait for a connection.", now, |pool| {
                pool.waiting.get()
            }),
            one("ringway_pool_created_total", "Connections of pools that stood.", count, |pool| {
                pool.created.get()
            }),
            one(
                "ringway_pool_reused_total",
                "Exchanges on a connection that had carried one before.",
                count,
                |pool| pool.reused.get(),
            ),
            one(
                "ringway_pool_refused_total",
                "Exchanges that found the queue full: raise pool_queue or pool_max.",
                count,
                |pool| pool.refused.get(),
            ),
            one(
                "ringway_pool_timed_out_total",
                "Exchanges that waited for a connection for longer than pool_queue_timeout.",
                count,
                |pool| pool.timed_out.get(),
            ),
        ]
    }

    /// What differs by worker: how often a connection was at hand, and the shares.
    pub(super) fn share_families(&self) -> Vec<MetricFamily> {
        let one = |name: &str, help: &str, kind, read: Read| {
            let values = self.pooled().flat_map(|(index, upstream)| {
                self.workers.cells().iter().enumerate().map(move |(worker, cell)| {
                    let labels = [("upstream", upstream.clone()), ("worker", worker.to_string())];
                    sample(kind, &labels, read(&cell.stats.upstreams.get(index).pool))
                })
            });
            family(name, help, kind, values.collect())
        };
        vec![
            one(
                "ringway_pool_hits_total",
                "Exchanges that got a connection at once; over hits and misses: the hit rate.",
                MetricType::COUNTER,
                |pool| pool.hits.get(),
            ),
            one(
                "ringway_pool_misses_total",
                "Exchanges that had to wait for a connection.",
                MetricType::COUNTER,
                |pool| pool.misses.get(),
            ),
            one(
                "ringway_pool_share",
                "Connections that a worker may have; workers lend each other what they spare.",
                MetricType::GAUGE,
                |pool| pool.share.get(),
            ),
        ]
    }

    /// The upstreams of frame proxies: the numbers of their counters, and their names.
    fn pooled(&self) -> impl Iterator<Item = (usize, String)> + Clone {
        let pooled = self.inventory.upstreams.iter().filter(|upstream| upstream.is_pooled);
        pooled.map(|upstream| (upstream.counted.number(), upstream.name.clone()))
    }
}

/// Listeners with their numbers.
pub(super) fn numbered(all: &[Known]) -> impl Iterator<Item = (usize, String)> + Clone + '_ {
    all.iter().map(|known| (known.number(), known.name.clone()))
}
