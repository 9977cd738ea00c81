//! TLS handshakes of listeners.

use std::collections::BTreeMap;

use super::frames::numbered;
use super::{Exporter, Metric, MetricFamily, MetricType, counter, family, gauge};
use crate::net::tls::Fault;
use crate::proto::tls::CIPHER_SUITES;
use crate::session::TlsStats;

/// Versions, in the order of their counters.
const VERSIONS: [&str; 2] = ["1.2", "1.3"];

impl Exporter {
    /// How often files were read again. One owner may have several of a kind.
    pub(super) fn reload_family(&self) -> MetricFamily {
        let mut totals: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        for (owner, what, counts) in &self.watched {
            for (result, count) in ["ok", "failed"].into_iter().zip(counts.read()) {
                *totals.entry((owner, what, result)).or_default() += count;
            }
        }
        let values = totals.into_iter().map(|((owner, what, result), total)| {
            let labels = [("owner", owner), ("files", what), ("result", result)];
            counter(&labels.map(|(name, value)| (name, value.to_owned())), total)
        });
        family(
            "ringway_file_reloads_total",
            "How often files that had changed were read again; what has failed changed nothing.",
            MetricType::COUNTER,
            values.collect(),
        )
    }

    /// Until when certificates are valid.
    pub(super) fn certificate_family(&self) -> MetricFamily {
        let values = self.certificates.all().into_iter().flat_map(|one| {
            let files = one.files.certificates.iter().zip(one.resolver.not_after());
            let gauges = files.map(|(files, not_after)| {
                let file = files.chain.display().to_string();
                let labels = [("listener", one.listener.clone()), ("certificate", file)];
                gauge(&labels, seconds(not_after))
            });
            gauges.collect::<Vec<_>>()
        });
        family(
            "ringway_tls_certificate_not_after_seconds",
            "Up to when each certificate is valid, in seconds since 1970-01-01 UTC.",
            MetricType::GAUGE,
            values.collect(),
        )
    }

    /// A count of each listener that speaks TLS.
    fn of_each_secured(&self, read: fn(&TlsStats) -> u64) -> Vec<Metric> {
        let values = numbered(&self.inventory.secured).map(|(index, listener)| {
            let value = self.sum(|cell| read(&cell.stats.listeners.get(index).tls));
            counter(&[("listener", listener.clone())], value)
        });
        values.collect()
    }

    /// Handshakes with clients, of listeners that speak TLS.
    pub(super) fn tls_families(&self) -> Vec<MetricFamily> {
        let listeners = numbered(&self.inventory.secured);
        let done = listeners.clone().flat_map(|(index, listener)| {
            VERSIONS.into_iter().enumerate().map(move |(at, version)| {
                let labels = [("listener", listener.clone()), ("version", version.to_owned())];
                let value = self.sum(|cell| cell.stats.listeners.get(index).tls.done[at].get());
                counter(&labels, value)
            })
        });
        let suites = listeners.clone().flat_map(|(index, listener)| {
            CIPHER_SUITES.into_iter().enumerate().map(move |(at, (suite, _))| {
                let labels = [("listener", listener.clone()), ("suite", suite.to_owned())];
                let value = self.sum(|cell| cell.stats.listeners.get(index).tls.suites[at].get());
                counter(&labels, value)
            })
        });
        let resumed = self.of_each_secured(|tls| tls.resumed.get());
        let offloaded = self.of_each_secured(|tls| tls.offloaded.get());
        let decrypted = self.of_each_secured(|tls| tls.decrypted.get());
        let failed = listeners.flat_map(|(index, listener)| {
            Fault::ALL.into_iter().map(move |fault| {
                let labels = [("listener", listener.clone()), ("reason", fault.name().to_owned())];
                let at = fault.index();
                let value = self.sum(|cell| cell.stats.listeners.get(index).tls.failed[at].get());
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
                "ringway_tls_suites_total",
                "TLS handshakes with clients that were done, by cipher suite.",
                MetricType::COUNTER,
                suites.collect(),
            ),
            family(
                "ringway_tls_resumptions_total",
                "Of them, those that resumed an earlier session.",
                MetricType::COUNTER,
                resumed,
            ),
            family(
                "ringway_tls_kernel_total",
                "Connections of clients that the kernel encrypts.",
                MetricType::COUNTER,
                offloaded,
            ),
            family(
                "ringway_tls_kernel_decrypted_total",
                "Of them, those of which the kernel also decrypts what the client sends.",
                MetricType::COUNTER,
                decrypted,
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

/// A time as the metrics have it: exact for hundreds of millions of years.
#[expect(clippy::cast_precision_loss, reason = "times are far below 2^52")]
const fn seconds(time: i64) -> f64 {
    time as f64
}
