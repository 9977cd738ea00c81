//! TLS handshakes of listeners.

use super::{Exporter, MetricFamily, MetricType, counter, family};
use crate::net::tls::Fault;

/// Versions, in the order of their counters.
const VERSIONS: [&str; 2] = ["1.2", "1.3"];

impl Exporter {
    /// Handshakes with clients, of listeners that speak TLS.
    pub(super) fn tls_families(&self) -> Vec<MetricFamily> {
        let listeners = self.of_kind(&self.secured);
        let done = listeners.clone().flat_map(|(index, listener)| {
            VERSIONS.into_iter().enumerate().map(move |(at, version)| {
                let labels = [("listener", listener.clone()), ("version", version.to_owned())];
                let value = self.sum(|cell| cell.stats.listeners[index].tls.done[at].get());
                counter(&labels, value)
            })
        });
        let resumed = listeners.clone().map(|(index, listener)| {
            let value = self.sum(|cell| cell.stats.listeners[index].tls.resumed.get());
            counter(&[("listener", listener.clone())], value)
        });
        let offloaded = listeners.clone().map(|(index, listener)| {
            let value = self.sum(|cell| cell.stats.listeners[index].tls.offloaded.get());
            counter(&[("listener", listener.clone())], value)
        });
        let failed = listeners.flat_map(|(index, listener)| {
            Fault::ALL.into_iter().map(move |fault| {
                let labels = [("listener", listener.clone()), ("reason", fault.name().to_owned())];
                let at = fault.index();
                let value = self.sum(|cell| cell.stats.listeners[index].tls.failed[at].get());
                counter(&labels, value)
            })
        });
        vec![
            family(
                "ringway_tls_handshakes_total",
                "TLS handshakes with clients that were done, by version.",
                MetricType::COUNTER,
                done.collect(),
            ),
            family(
                "ringway_tls_resumptions_total",
                "Of them, those that resumed an earlier session.",
                MetricType::COUNTER,
                resumed.collect(),
            ),
            family(
                "ringway_tls_kernel_total",
                "Connections of clients that the kernel encrypts.",
                MetricType::COUNTER,
                offloaded.collect(),
            ),
            family(
                "ringway_tls_handshake_failures_total",
                "TLS handshakes with clients that failed, by reason.",
                MetricType::COUNTER,
                failed.collect(),
            ),
        ]
    }
}
