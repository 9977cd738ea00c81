//! Requests of HTTP: by route and status, refusals, durations.

use super::{
    Exporter, Metric, MetricFamily, MetricType, WorkerCell, counter, family, labelled,
    proto_histogram, sample,
};
use crate::config::{Config, ListenerService};
use crate::proto::http1::Refusal;
use crate::server::build;
use crate::session::{CompressionStats, Latencies, Phase, RouteStats};

/// The names of what is exported.
#[derive(Debug, Clone, Default)]
pub(super) struct HttpNames {
    /// Listeners of HTTP: their numbers, names, and the names of their routes.
    pub(super) listeners: Vec<(usize, String, Vec<String>)>,
    /// Upstreams of HTTP: their numbers, names, and the names of their servers.
    pub(super) upstreams: Vec<(usize, String, Vec<String>)>,
}

/// Routes of a listener up to which those are exported, with zeros, that had no request yet. With
/// more of them, a scrape has only those that are in use.
const UNUSED_ROUTES_MAX: usize = 1_000;

/// What requests are called that no route takes.
const NO_ROUTE: &str = "none";

impl HttpNames {
    pub(super) fn new(config: &Config) -> Self {
        let streams = build::streams(config).enumerate();
        let listeners = streams.filter_map(|(number, listener)| {
            let ListenerService::Http(http) = &listener.service else { return None };
            let routes = http.routes.iter().map(|route| route.name.clone()).collect();
            Some((number, listener.name.clone(), routes))
        });
        let upstreams = config.upstreams.iter().enumerate();
        let of_http = build::http::origins_of(config);
        let upstreams = upstreams.filter(|(number, _)| of_http.contains(number));
        let upstreams = upstreams.map(|(number, upstream)| {
            (
                number,
                upstream.name.clone(),
                upstream.servers.iter().map(ToString::to_string).collect(),
            )
        });
        Self { listeners: listeners.collect(), upstreams: upstreams.collect() }
    }
}

impl Exporter {
    fn http_fields_dropped(&self) -> Vec<Metric> {
        let listeners = self.http.listeners.iter().map(|(number, listener, _)| {
            let stats = |cell: &WorkerCell| cell.stats.listeners[*number].http.fields_dropped.get();
            counter(&[("listener", listener.clone())], self.sum(stats))
        });
        listeners.collect()
    }

    /// By route: requests, bytes of requests, bytes of answers, files that were cut.
    fn route_metrics(&self) -> [Vec<Metric>; 4] {
        let mut requests = Vec::new();
        let mut received = Vec::new();
        let mut sent = Vec::new();
        let mut files_cut = Vec::new();
        for (number, listener, routes) in &self.http.listeners {
            let names = routes.iter().map(String::as_str).chain([NO_ROUTE]);
            for (route, name) in names.enumerate() {
                let cells = self.workers.cells().iter();
                let stats = cells.map(|cell| &cell.stats.listeners[*number].http);
                let used: Vec<_> = stats.filter_map(|stats| stats.used_route(route)).collect();
                if used.is_empty() && routes.len() > UNUSED_ROUTES_MAX {
                    continue;
                }
                let labels = |more: Option<(&'static str, String)>| -> Vec<(&'static str, String)> {
                    let own = [("listener", listener.clone()), ("route", name.to_owned())];
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
        let has_http = !self.http.listeners.is_empty();
        let lines_lost = self.sum(|cell| cell.stats.lines_lost.get()) + self.access_lost.get();
        let lines_lost = has_http.then(|| counter(&[], lines_lost)).into_iter().collect();
        let counters = |name, help, metrics| family(name, help, MetricType::COUNTER, metrics);
        vec![
            counters(
                "ringway_http_fields_dropped_total",
                "Fields of requests that were dropped for the underscores in their names.",
                self.http_fields_dropped(),
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
        if self.http.listeners.is_empty() {
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

    /// Requests that broke a rule.
    fn refusals(&self) -> Vec<prometheus::proto::Metric> {
        let mut refused = Vec::new();
        for (number, listener, _) in &self.http.listeners {
            for (index, rule) in Refusal::NAMES.iter().enumerate() {
                let of =
                    |cell: &WorkerCell| cell.stats.listeners[*number].http.refused[index].get();
                let labels = [("listener", listener.clone()), ("rule", (*rule).to_owned())];
                refused.push(counter(&labels, self.sum(of)));
            }
        }
        refused
    }

    /// How long requests took.
    pub(super) fn latency_families(&self, latencies: &Latencies) -> Vec<MetricFamily> {
        let mut routes = Vec::new();
        let mut number = 0;
        for (_, listener, names) in &self.http.listeners {
            for name in names {
                if let Some(found) = latencies.route(number) {
                    let labels = [("listener", listener.clone()), ("route", name.clone())];
                    let mut metric = labelled(&labels);
                    metric.set_histogram(proto_histogram(found));
                    routes.push(metric);
                }
                number += 1;
            }
        }
        let mut upstreams = Vec::new();
        for (number, name, _) in &self.http.upstreams {
            for phase in Phase::ALL {
                if let Some(found) = latencies.upstream(*number, phase) {
                    let labels = [("upstream", name.clone()), ("phase", phase.name().to_owned())];
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
        let each = self.http.listeners.iter().flat_map(|(_, listener, routes)| {
            routes.iter().map(move |route| (listener.as_str(), route.as_str()))
        });
        each.enumerate().map(|(number, (listener, route))| (number, listener, route))
    }

    /// Every upstream of HTTP: its number and its name.
    pub(in crate::server) fn upstream_names(&self) -> impl Iterator<Item = (usize, &str)> {
        self.http.upstreams.iter().map(|(number, name, _)| (*number, name.as_str()))
    }
}
