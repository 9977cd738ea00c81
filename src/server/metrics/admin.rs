//! Requests of the admin interface that change something.

use std::sync::Arc;

use prometheus::proto::{MetricFamily, MetricType};

use super::{Exporter, counter, family};
use crate::server::admin::change::{Change, ChangeCounts, Verdict};

impl Exporter {
    /// Who counts requests for changes.
    pub(in crate::server) fn set_changes(&mut self, counts: Arc<ChangeCounts>) {
        self.changes = counts;
    }

    pub(super) fn change_family(&self) -> MetricFamily {
        let samples = Change::ALL.into_iter().flat_map(|change| {
            Verdict::ALL.map(|verdict| {
                let labels =
                    [("change", change.name().to_owned()), ("verdict", verdict.name().to_owned())];
                counter(&labels, self.changes.read(change, verdict))
            })
        });
        family(
            "ringway_admin_changes_total",
            "Requests of the admin interface for a change, by verdict: made, invalid, unauthorized \
             (no token, or a wrong one), forbidden (no token is configured).",
            MetricType::COUNTER,
            samples.collect(),
        )
    }
}
