//! Merges the workers' counters and renders them as Prometheus text.

mod admin;
mod calls;
mod frames;
mod http;
mod http2;
mod messages;
mod origins;
mod reloads;
mod tls;
mod turns;
mod udp;
mod websocket;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::calls::call_families;
pub(super) use self::origins::Checks;
use super::admin::change::ChangeCounts;
use super::certificates::CertificateList;
use super::plan::Inventory;
use super::reload::ReloadCounts;
use super::watch::Counts;
use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter as ProtoCounter, Gauge as ProtoGauge, Histogram as ProtoHistogram, LabelPair,
    Metric, MetricFamily, MetricType,
};

use super::sink::LostLines;
use crate::ring::DriverKind;
use crate::runtime::{Counter, LoopStats};
use crate::service::CloseReason;
use crate::service::proxy::ConnectFailure;
use crate::session::{
    Distribution, ErrorKind, Histograms, ListenerStats, RelayStats, UpstreamStats, WorkerCell,
    Workers,
};

/// Upper bounds of the buckets of durations, in microseconds: 1-2.5-5 from 100 us to 1,000 s.
const BOUNDS_MICROS: [u64; 22] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
];

/// Knows what is counted, and under which names.
#[derive(Debug, Clone)]
pub(super) struct Exporter {
    workers: Arc<Workers>,
    /// What there is.
    inventory: Arc<Inventory>,
    /// The certificates of each listener.
    certificates: CertificateList,
    /// Files that are read again: whose and which they are, and how often that was.
    watched: Vec<(String, &'static str, Arc<Counts>)>,
    /// What came of reloads.
    reloads: Arc<ReloadCounts>,
    /// Where the kernel tells how long a worker has run.
    thread_files: Arc<[PathBuf]>,
    /// Requests of the admin interface for changes.
    changes: Arc<ChangeCounts>,
    /// Active checks, by the numbers of the upstreams' servers.
    checks: Vec<Checks>,
    /// Lines of the log that were lost, if somebody counts them.
    log_lost: Option<LostLines>,
    /// Lines of access logs whose write failed.
    access_lost: LostLines,
    /// What the workers ask the kernel by.
    driver: Option<DriverKind>,
}

impl Exporter {
    pub(super) fn new(workers: Arc<Workers>, inventory: Arc<Inventory>) -> Self {
        Self {
            workers,
            inventory,
            certificates: CertificateList::default(),
            watched: Vec::new(),
            reloads: Arc::default(),
            thread_files: Arc::from([]),
            changes: Arc::default(),
            checks: Vec::new(),
            log_lost: None,
            access_lost: LostLines::default(),
            driver: None,
        }
    }

    /// The same for another plan.
    pub(super) fn of_plan(
        &self,
        inventory: Arc<Inventory>,
        watched: Vec<(String, &'static str, Arc<Counts>)>,
        checks: Vec<Checks>,
    ) -> Self {
        Self { inventory, watched, checks, ..self.clone() }
    }

    /// What there is.
    pub(super) fn inventory(&self) -> Arc<Inventory> {
        Arc::clone(&self.inventory)
    }

    /// Who knows the certificates, and what came of reloads.
    pub(super) fn set_control(
        &mut self,
        certificates: CertificateList,
        reloads: Arc<ReloadCounts>,
    ) {
        (self.certificates, self.reloads) = (certificates, reloads);
    }

    fn driver_info(&self) -> MetricFamily {
        let help = "What the workers ask the kernel by, as a label; always 1.";
        let driver = self.driver.iter();
        let driver = driver.map(|driver| gauge(&[("driver", driver.name().to_owned())], 1.0));
        family("ringway_driver_info", help, MetricType::GAUGE, driver.collect())
    }

    /// Who counts lines of the log and of access logs that are not written.
    pub(super) fn set_lost_lines(&mut self, log: Option<LostLines>, access: LostLines) {
        (self.log_lost, self.access_lost) = (log, access);
    }

    fn log_family(&self) -> MetricFamily {
        let help = "Lines of the log that were dropped, as standard error did not take them.";
        let lost = self.log_lost.iter().map(|lost| counter(&[], lost.get()));
        family("ringway_log_lines_lost_total", help, MetricType::COUNTER, lost.collect())
    }

    /// Connections open now.
    pub(super) fn active(&self) -> u64 {
        self.workers.cells().iter().map(|cell| cell.active.get()).sum()
    }

    pub(super) fn is_accepting(&self, worker: usize) -> bool {
        self.workers.cells()[worker].is_accepting()
    }

    /// The worker's ring has failed: nothing is to be handed to it.
    pub(super) fn mark_gone(&self, worker: usize) {
        self.workers.cells()[worker].close();
    }

    /// All metrics as text; the distributions too, if the workers answered in time.
    pub(super) fn render(
        &self,
        histograms: Option<&Histograms>,
    ) -> Result<String, prometheus::Error> {
        let mut families = vec![self.build_info(), self.driver_info(), self.log_family()];
        families.extend(self.listener_families());
        families.extend(self.upstream_families());
        families.extend(self.datagram_families());
        families.extend(self.relay_families());
        families.push(self.message_family());
        families.extend(self.frame_families());
        families.extend(self.exchange_families());
        families.extend(self.pool_families());
        families.extend(self.share_families());
        families.extend(self.http_families());
        families.extend(self.http2_families());
        families.extend(self.websocket_families());
        families.extend(self.compression_families());
        families.extend(self.waiting_families());
        families.extend(self.origin_families());
        families.extend(self.server_families());
        families.extend(self.tls_families());
        families.push(self.certificate_family());
        families.push(self.reload_family());
        families.extend(self.worker_families());
        families.extend(self.zero_copy_families());
        families.extend(self.turn_families());
        families.push(self.change_family());
        families.extend(self.plan_families());
        if let Some(histograms) = histograms {
            families.push(durations(
                "ringway_connection_duration_seconds",
                "How long connections lasted, from accept to close.",
                &histograms.duration,
            ));
            families.push(durations(
                "ringway_upstream_connect_duration_seconds",
                "How long connecting to a server took, of connects that succeeded.",
                &histograms.connect,
            ));
        }
        if let Some(histograms) = histograms.filter(|_| !self.inventory.secured.is_empty()) {
            families.push(durations(
                "ringway_tls_handshake_duration_seconds",
                "How long TLS handshakes with clients took, from accept on.",
                &histograms.handshake,
            ));
        }
        if let Some(histograms) = histograms {
            families.extend(self.latency_families(&histograms.latencies));
            families.extend(call_families(&histograms.latencies.calls));
        }
        families.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&families)
    }

    fn build_info(&self) -> MetricFamily {
        let help = "The version that runs, as a label; always 1.";
        let version = [("version", env!("CARGO_PKG_VERSION").to_owned())];
        family("ringway_build_info", help, MetricType::GAUGE, vec![gauge(&version, 1.0)])
    }

    fn listener_families(&self) -> Vec<MetricFamily> {
        let each = |name, help, kind, read: &dyn Fn(&ListenerStats) -> u64| {
            let values = self.inventory.listeners.iter().map(|listener| {
                let label = [("listener", listener.name.clone())];
                let number = listener.number();
                sample(kind, &label, self.sum(|cell| read(&cell.stats.listeners.get(number))))
            });
            family(name, help, kind, values.collect())
        };
        let closed = self.inventory.listeners.iter().flat_map(|listener| {
            let index = listener.number();
            CloseReason::ALL.map(|reason| {
                let labels =
                    [("listener", listener.name.clone()), ("reason", reason.name().to_owned())];
                let of = |cell: &WorkerCell| {
                    cell.stats.listeners.get(index).closed[reason.index()].get()
                };
                counter(&labels, self.sum(of))
            })
        });
        vec![
            each(
                "ringway_connections_active",
                "Connections open now.",
                MetricType::GAUGE,
                &|stats| stats.active.get(),
            ),
            each(
                "ringway_connections_accepted_total",
                "Connections accepted, those refused at once among them.",
                MetricType::COUNTER,
                &|stats| stats.accepted.get(),
            ),
            family(
                "ringway_connections_closed_total",
                "Connections ended, by reason.",
                MetricType::COUNTER,
                closed.collect(),
            ),
            each(
                "ringway_received_bytes_total",
                "Bytes received from clients.",
                MetricType::COUNTER,
                &|stats| stats.received.get(),
            ),
            each(
                "ringway_sent_bytes_total",
                "Bytes sent to clients.",
                MetricType::COUNTER,
                &|stats| stats.sent.get(),
            ),
        ]
    }

    fn upstream_families(&self) -> Vec<MetricFamily> {
        let each = |name, help, kind, read: &dyn Fn(&UpstreamStats) -> u64| {
            let values = self.inventory.upstreams.iter().map(|upstream| {
                let (index, label) =
                    (upstream.counted.number(), [("upstream", upstream.name.clone())]);
                sample(kind, &label, self.sum(|cell| read(&cell.stats.upstreams.get(index))))
            });
            family(name, help, kind, values.collect())
        };
        let failed = self.inventory.upstreams.iter().flat_map(|upstream| {
            let index = upstream.counted.number();
            ConnectFailure::ALL.map(|kind| {
                let labels =
                    [("upstream", upstream.name.clone()), ("kind", kind.name().to_owned())];
                let of =
                    |cell: &WorkerCell| cell.stats.upstreams.get(index).failed[kind as usize].get();
                counter(&labels, self.sum(of))
            })
        });
        vec![
            each(
                "ringway_upstream_connections_active",
                "Connections to the upstream's servers, those being made among them.",
                MetricType::GAUGE,
                &|stats| stats.active.get(),
            ),
            each(
                "ringway_upstream_ejections_total",
                "Ejections of the upstream's servers, by all workers.",
                MetricType::COUNTER,
                &|stats| stats.ejections.get(),
            ),
            each(
                "ringway_upstream_connects_total",
                "Connections to the upstream's servers that stood.",
                MetricType::COUNTER,
                &|stats| stats.connected.get(),
            ),
            family(
                "ringway_upstream_connect_failures_total",
                "Connects to the upstream's servers that failed, by kind.",
                MetricType::COUNTER,
                failed.collect(),
            ),
            each(
                "ringway_upstream_retries_total",
                "Connects to a further server after one had failed.",
                MetricType::COUNTER,
                &|stats| stats.retries.get(),
            ),
        ]
    }

    fn relay_families(&self) -> Vec<MetricFamily> {
        let one = |name, help, read: &dyn Fn(&RelayStats) -> u64| {
            let value = self.sum(|cell| read(&cell.stats.relay));
            family(name, help, MetricType::COUNTER, vec![counter(&[], value)])
        };
        let errors = ErrorKind::ALL.map(|kind| {
            let value = self.sum(|cell| cell.stats.errors[kind as usize].get());
            counter(&[("kind", kind.name().to_owned())], value)
        });
        let pipes = gauge(&[], as_float(self.sum(|cell| cell.stats.relay.pipes.get())));
        vec![
            one("ringway_relay_copied_bytes_total", "Bytes relayed through buffers.", &|stats| {
                stats.copied.get()
            }),
            one("ringway_relay_spliced_bytes_total", "Bytes relayed by splicing.", &|stats| {
                stats.spliced.get()
            }),
            one("ringway_relay_promotions_total", "Directions that began to splice.", &|stats| {
                stats.promotions.get()
            }),
            one("ringway_relay_demotions_total", "Directions that ceased to splice.", &|stats| {
                stats.demotions.get()
            }),
            one(
                "ringway_relay_pauses_total",
                "Receives paused because the other side was slow.",
                &|stats| stats.pauses.get(),
            ),
            family("ringway_pipes_open", "Pipes that are open.", MetricType::GAUGE, vec![pipes]),
            family(
                "ringway_errors_total",
                "Errors that did not end a connection, by kind.",
                MetricType::COUNTER,
                errors.to_vec(),
            ),
        ]
    }

    fn worker_families(&self) -> Vec<MetricFamily> {
        let imbalance = gauge(&[], self.workers.imbalance());
        vec![
            self.by_worker(
                "ringway_worker_connections_active",
                "Connections open now, by worker.",
                MetricType::GAUGE,
                |cell| cell.active.get(),
            ),
            family(
                "ringway_worker_imbalance_ratio",
                "Connections of the most loaded worker over the mean; 1 is even.",
                MetricType::GAUGE,
                vec![imbalance],
            ),
            self.by_worker(
                "ringway_worker_handed_over_total",
                "Connections handed to a less loaded worker.",
                MetricType::COUNTER,
                |cell| cell.stats.handed_over.get(),
            ),
            self.by_worker(
                "ringway_worker_taken_over_total",
                "Connections taken from a more loaded worker.",
                MetricType::COUNTER,
                |cell| cell.stats.taken_over.get(),
            ),
            self.by_loop("ringway_loop_turns_total", "Turns of the loop.", |s| &s.turns),
            self.by_loop("ringway_loop_enters_total", "Calls that submit and wait.", |stats| {
                &stats.enters
            }),
            self.by_loop(
                "ringway_loop_submissions_total",
                "Operations submitted; over enters: how well they are batched.",
                |stats| &stats.submitted,
            ),
            self.by_loop(
                "ringway_loop_completions_total",
                "Completions reaped; over enters: how well they are batched.",
                |stats| &stats.completed,
            ),
            self.by_loop(
                "ringway_loop_overflows_total",
                "Times that the completion queue was full: raise runtime.completion_entries.",
                |stats| &stats.overflows,
            ),
            self.by_loop(
                "ringway_loop_starved_total",
                "Receives that found no buffer (ENOBUFS): raise runtime.buffers.",
                |stats| &stats.starved,
            ),
            self.by_loop(
                "ringway_loop_deferred_total",
                "Operations that waited because the ring was full: raise runtime.ring_entries.",
                |stats| &stats.deferred,
            ),
            self.by_worker(
                "ringway_loop_stale_completions_total",
                "Completions for a connection that had ended; always 0 but for a defect.",
                MetricType::COUNTER,
                |cell| cell.stats.stale.get(),
            ),
        ]
    }

    /// Sends whose bytes the kernel reads where they lie.
    fn zero_copy_families(&self) -> [MetricFamily; 3] {
        [
            self.by_loop(
                "ringway_loop_zero_copy_sends_total",
                "Sends that were made without a copy.",
                |stats| &stats.zero_copy_sends,
            ),
            self.by_loop(
                "ringway_loop_zero_copy_copied_total",
                "Of sends without a copy, those that the kernel has copied after all.",
                |stats| &stats.zero_copy_copied,
            ),
            self.by_worker(
                "ringway_loop_zero_copy_held_bytes",
                "Bytes sent without a copy that peers have not acknowledged.",
                MetricType::GAUGE,
                |cell| cell.loops.zero_copy_held.get(),
            ),
        ]
    }

    fn by_worker(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        read: impl Fn(&WorkerCell) -> u64,
    ) -> MetricFamily {
        let values = self
            .workers
            .cells()
            .iter()
            .enumerate()
            .map(|(worker, cell)| sample(kind, &[("worker", worker.to_string())], read(cell)));
        family(name, help, kind, values.collect())
    }

    fn by_loop(
        &self,
        name: &str,
        help: &str,
        read: impl Fn(&LoopStats) -> &Counter,
    ) -> MetricFamily {
        self.by_worker(name, help, MetricType::COUNTER, |cell| read(&cell.loops).get())
    }

    fn sum(&self, read: impl Fn(&WorkerCell) -> u64) -> u64 {
        self.workers.cells().iter().map(read).sum()
    }
}

type Labels<'a> = [(&'a str, String)];

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(labels: &Labels<'_>) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value(value.clone());
        pair
    });
    Metric::from_label(pairs.collect())
}

fn sample(kind: MetricType, labels: &Labels<'_>, value: u64) -> Metric {
    if kind == MetricType::GAUGE { gauge(labels, as_float(value)) } else { counter(labels, value) }
}

fn counter(labels: &Labels<'_>, value: u64) -> Metric {
    counter_float(labels, as_float(value))
}

fn counter_float(labels: &Labels<'_>, value: f64) -> Metric {
    let mut counter = ProtoCounter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

fn gauge(labels: &Labels<'_>, value: f64) -> Metric {
    let mut gauge = ProtoGauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

fn durations(name: &str, help: &str, distribution: &Distribution) -> MetricFamily {
    let mut metric = labelled(&[]);
    metric.set_histogram(proto_histogram(distribution));
    family(name, help, MetricType::HISTOGRAM, vec![metric])
}

fn proto_histogram(distribution: &Distribution) -> ProtoHistogram {
    let buckets = BOUNDS_MICROS.map(|bound| {
        let bound = Duration::from_micros(bound);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(distribution.count_up_to(bound));
        bucket
    });
    let mut histogram = ProtoHistogram::default();
    histogram.set_bucket(buckets.to_vec());
    histogram.set_sample_count(distribution.count());
    histogram.set_sample_sum(distribution.sum().as_secs_f64());
    histogram
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus counts in doubles")]
fn as_float(count: u64) -> f64 {
    count as f64
}
