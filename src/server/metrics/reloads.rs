//! Which plan holds, and what came of reloads.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Exporter, MetricFamily, MetricType, counter, family, sample};

impl Exporter {
    /// The families of reloads.
    pub(super) fn plan_families(&self) -> Vec<MetricFamily> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let reloads = &self.reloads;
        let results = [
            ("reloaded", &reloads.reloaded),
            ("unchanged", &reloads.unchanged),
            ("failed", &reloads.failed),
        ];
        let results = results
            .map(|(result, count)| counter(&[("result", result.to_owned())], read(count)))
            .to_vec();
        let gauge = |name, help, value| {
            family(name, help, MetricType::GAUGE, vec![sample(MetricType::GAUGE, &[], value)])
        };
        vec![
            family(
                "ringway_reloads_total",
                "Reloads of the configuration: it was replaced (reloaded), it was the same \
                 (unchanged), or it was wrong and changed nothing (failed).",
                MetricType::COUNTER,
                results,
            ),
            gauge(
                "ringway_config_generation",
                "The number of the plan that holds: 1 since the start, one more with each reload \
                 that does not fail.",
                read(&reloads.plan),
            ),
            gauge(
                "ringway_config_last_reload_success",
                "1 unless the last reload has failed.",
                1 - read(&reloads.last_failed).min(1),
            ),
            gauge(
                "ringway_config_last_reload_timestamp_seconds",
                "When the start or the last reload that did not fail was, in seconds since \
                 1970-01-01 UTC.",
                read(&reloads.last_success),
            ),
        ]
    }
}
