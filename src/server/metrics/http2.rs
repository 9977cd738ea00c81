//! What is told of connections of HTTP/2.

use super::{Exporter, Metric, MetricFamily, MetricType, WorkerCell, counter, family};
use crate::proto::http2::Violation;
use crate::session::Http2Stats;

/// A counter of a listener, by its name and help.
type Told = (&'static str, &'static str, fn(&Http2Stats) -> u64);

const TOLD: [Told; 4] = [
    ("ringway_http2_connections_total", "Connections that speak HTTP/2.", |stats| {
        stats.connections.get()
    }),
    ("ringway_http2_resets_total", "Requests that clients of HTTP/2 gave up.", |stats| {
        stats.resets.get()
    }),
    (
        "ringway_http2_requests_refused_total",
        "Requests that were refused before anything was done for them, as there were too many.",
        |stats| stats.refused.get(),
    ),
    (
        "ringway_http2_answers_stalled_total",
        "Answers that were given up because their clients did not take them in time.",
        |stats| stats.stalled.get(),
    ),
];

impl Exporter {
    pub(super) fn http2_families(&self) -> Vec<MetricFamily> {
        let of_listeners = |read: fn(&Http2Stats) -> u64| -> Vec<Metric> {
            let listeners = self.inventory.http.iter().map(|(listener, _)| listener);
            let metric = listeners.map(|listener| {
                let number = listener.number();
                let own = |cell: &WorkerCell| read(&cell.stats.listeners.get(number).http.http2);
                counter(&[("listener", listener.name.clone())], self.sum(own))
            });
            metric.collect()
        };
        let told = TOLD
            .into_iter()
            .map(|(name, help, read)| family(name, help, MetricType::COUNTER, of_listeners(read)));
        let broken = family(
            "ringway_http2_violations_total",
            "Rules of HTTP/2 that clients broke, and limits that they exceeded, by rule.",
            MetricType::COUNTER,
            self.http2_violations(),
        );
        told.chain([broken]).collect()
    }

    fn http2_violations(&self) -> Vec<Metric> {
        let mut broken = Vec::new();
        for (listener, _) in &self.inventory.http {
            let number = listener.number();
            for (index, rule) in Violation::NAMES.iter().enumerate() {
                let of = |cell: &WorkerCell| {
                    cell.stats.listeners.get(number).http.http2.violations[index].get()
                };
                let labels = [("listener", listener.name.clone()), ("rule", (*rule).to_owned())];
                broken.push(counter(&labels, self.sum(of)));
            }
        }
        broken
    }
}
