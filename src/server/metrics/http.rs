//! Requests of HTTP: by route and status, refusals, durations.

use super::{
    Exporter, Metric, MetricFamily, MetricType, WorkerCell, counter, family, labelled,
    proto_histogram, sample,
};
use crate::proto::http1::Refusal;
use crate::server::plan::KnownUpstream;
use crate::session::{CompressionStats, HttpStats, Latencies, LatencyPhase, RouteStats};

/// Routes of a listener up to which those are exported, with zeros, that had no request yet. With
/// more of them, a scrape has only those that are in use.
const UNUSED_ROUTES_MAX: usize = 1_000;

/// What requests are called that no route takes.
const NO_ROUTE: &str = "none";

impl Exporter {
    /// By listener, one of its counters.
    fn by_http_listener(&self, read: fn(&HttpStats) -> u64) -> Vec<Metric> {
        let listeners = self.inventory.http.iter().map(|(listener, _)| {
            let number = listener.number();
            let stats = |cell: &WorkerCell| read(&cell.stats.listeners.get(number).http);
            counter(&[("listener", listener.name.clone())], self.sum(stats))
        });
        listeners.collect()
    }

    /// By route: requests, bytes of requests, bytes of answers, files that were cut.
    fn route_metrics(&self) -> [Vec<Metric>; 4] {
        let mut requests = Vec::new();
        let mut received = Vec::new();
        let mut sent = Vec::new();
        let mut files_cut = Vec::new();
        for (listener, http) in &self.inventory.http {
            let cells = self.workers.cells().iter();
            let stats: Vec<_> =
                cells.map(|cell| cell.stats.listeners.get(listener.number())).collect();
            let unrouted = stats.iter().map(|stats| &stats.http.unrouted);
            let unrouted = unrouted.filter(|one| one.answers.iter().any(|count| count.get() > 0));
            let unrouted = unrouted.collect();
            let routes = http.routes.iter();
            let routes = routes.map(|route| (&*route.name, route.counters.used().collect()));
            for (name, used) in routes.chain([(NO_ROUTE, unrouted)]) {
                let used: Vec<&RouteStats> = used;
                if used.is_empty() && http.routes.len() > UNUSED_ROUTES_MAX {
                    continue;
                }
                let labels = |more: Option<(&'static str, String)>| -> Vec<(&'static str, String)> {
                    let own = [("listener", listener.name.clone()), ("route", name.to_owned())];
                    own.into_iter().chain(more).collect()
                };
                let sum = |read: &dyn Fn(&RouteStats) -> u64| -> u64 {
                    used.iter().map(|stats| read(stats)).sum()
                };
                for class in 0..6 {
                    let value = sum(&|stats| stats.answers[class].get());
                    let name = if class == 0 { "none".to_owned() } else { format!("{class}xx") };
                    if class >= 2 || value > 0 {
                        requests.push(counter(&labels(Some(("status", name))), value));
                    }
                }
                received.push(counter(&labels(None), sum(&|stats| stats.received.get())));
                sent.push(counter(&labels(None), sum(&|stats| stats.sent.get())));
                files_cut.push(counter(&labels(None), sum(&|stats| stats.files_cut.get())));
            }
        }
        [requests, received, sent, files_cut]
    }

    pub(super) fn http_families(&self) -> Vec<MetricFamily> {
        let [requests, received, sent, files_cut] = self.route_metrics();
        let has_http = !self.inventory.http.is_empty();
        let lines_lost = self.sum(|cell| cell.stats.lines_lost.get()) + self.access_lost.get();
        let lines_lost = has_http.then(|| counter(&[], lines_lost)).into_iter().collect();
        let counters = |name, help, metrics| family(name, help, MetricType::COUNTER, metrics);
        vec![
            counters(
                "ringway_http_fields_dropped_total",
                "Fields of requests that were dropped for the underscores in their names.",
                self.by_http_listener(|stats| stats.fields_dropped.get()),
            ),
            counters(
                "ringway_http_connections_aged_total",
                "Connections that got no further requests, as they were too old.",
                self.by_http_listener(|stats| stats.aged.get()),
            ),
            counters(
                "ringway_http_requests_total",
                "Requests by listener, route and class of the answer's status.",
                requests,
            ),
            counters(
                "ringway_http_request_bytes_total",
                "Bytes of requests, their heads among them.",
                received,
            ),
            counters(
                "ringway_http_response_bytes_total",
                "Bytes of answers, their heads among them.",
                sent,
            ),
            counters(
                "ringway_http_requests_refused_total",
                "Requests that broke a rule of HTTP, by rule.",
                self.refusals(),
            ),
            counters(
                "ringway_http_files_cut_total",
                "Files that became shorter while they were sent: their connections were cut.",
                files_cut,
            ),
            counters(
                "ringway_access_log_lines_lost_total",
                "Lines of access logs that could not be written in time.",
                lines_lost,
            ),
        ]
    }

    /// Answers that are compressed on their way.
    pub(super) fn compression_families(&self) -> Vec<MetricFamily> {
        if self.inventory.http.is_empty() {
            return Vec::new();
        }
        let sum = |read: &dyn Fn(&CompressionStats) -> u64| {
            self.sum(|cell| read(&cell.stats.compression))
        };
        let of = |window: &str, read: &dyn Fn(&CompressionStats) -> u64| {
            counter(&[("window", window.to_owned())], sum(read))
        };
        let answers = vec![
            of("full", &|stats| stats.full.get()),
            of("small", &|stats| stats.small.get()),
            of("none", &|stats| stats.refused.get()),
        ];
        let memory = sample(MetricType::GAUGE, &[], sum(&|stats| stats.memory.used()));
        vec![
            family(
                "ringway_http_compressions_total",
                "Answers that were compressed, with the full or a small window, and those that \
                 went as they are for want of memory.",
                MetricType::COUNTER,
                answers,
            ),
            family(
                "ringway_http_compression_memory_bytes",
                "Memory that compressors take now; at most runtime.compression_memory by worker.",
                MetricType::GAUGE,
                vec![memory],
            ),
        ]
    }

    /// What waits for slow peers.
    pub(super) fn waiting_families(&self) -> Vec<MetricFamily> {
        if self.inventory.http.is_empty() {
            return Vec::new();
        }
        let bytes = self.sum(|cell| cell.stats.waiting.bytes.get());
        let limited = self.sum(|cell| cell.stats.waiting.limited.get());
        vec![
            family(
                "ringway_http_waiting_bytes",
                "Memory of bytes that wait for slow peers; see runtime.waiting_memory.",
                MetricType::GAUGE,
                vec![sample(MetricType::GAUGE, &[], bytes)],
            ),
            family(
                "ringway_http_waiting_limited_total",
                "Times that a source was not read because runtime.waiting_memory was short.",
                MetricType::COUNTER,
                vec![counter(&[], limited)],
            ),
        ]
    }

    /// Requests that broke a rule.
    fn refusals(&self) -> Vec<prometheus::proto::Metric> {
        let mut refused = Vec::new();
        for (listener, _) in &self.inventory.http {
            let number = listener.number();
            for (index, rule) in Refusal::NAMES.iter().enumerate() {
                let of =
                    |cell: &WorkerCell| cell.stats.listeners.get(number).http.refused[index].get();
                let labels = [("listener", listener.name.clone()), ("rule", (*rule).to_owned())];
                refused.push(counter(&labels, self.sum(of)));
            }
        }
        refused
    }

    /// How long requests took.
    pub(super) fn latency_families(&self, latencies: &Latencies) -> Vec<MetricFamily> {
        let mut routes = Vec::new();
        for (number, listener, name) in self.route_names() {
            if let Some(found) = latencies.route(number) {
                let labels = [("listener", listener.to_owned()), ("route", name.to_owned())];
                let mut metric = labelled(&labels);
                metric.set_histogram(proto_histogram(found));
                routes.push(metric);
            }
        }
        let mut upstreams = Vec::new();
        for (number, name) in self.upstream_names() {
            for phase in LatencyPhase::ALL {
                if let Some(found) = latencies.upstream(number, phase) {
                    let labels =
                        [("upstream", name.to_owned()), ("phase", phase.name().to_owned())];
                    let mut metric = labelled(&labels);
                    metric.set_histogram(proto_histogram(found));
                    upstreams.push(metric);
                }
            }
        }
        vec![
            family(
                "ringway_http_request_duration_seconds",
                "From the end of a request's head to the end of its answer.",
                MetricType::HISTOGRAM,
                routes,
            ),
            family(
                "ringway_upstream_request_duration_seconds",
                "Exchanges with servers by phase: waiting for a connection (queue), connecting \
                 (connect), to the answer's head (first_byte), in all (total).",
                MetricType::HISTOGRAM,
                upstreams,
            ),
        ]
    }
}

impl Exporter {
    /// Every route: its number among all, its listener, its name.
    pub(in crate::server) fn route_names(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        self.inventory.http.iter().flat_map(|(listener, http)| {
            let routes = http.routes.iter();
            routes.map(|route| (route.counters.number(), &*listener.name, &*route.name))
        })
    }

    /// Every upstream of HTTP: the number of its servers, and its name.
    pub(in crate::server) fn upstream_names(&self) -> impl Iterator<Item = (usize, &str)> {
        let all = self.of_http();
        all.map(|upstream| (upstream.cluster.number(), upstream.name.as_str()))
    }

    /// The upstreams of HTTP.
    pub(super) fn of_http(&self) -> impl Iterator<Item = &KnownUpstream> {
        self.inventory.upstreams.iter().filter(|upstream| upstream.is_http)
    }
}
