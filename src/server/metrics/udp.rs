//! The families of UDP listeners.

use prometheus::proto::{MetricFamily, MetricType};

use super::{Exporter, counter, family, sample};
use crate::service::flows::FlowEnd;
use crate::session::{DatagramStats, DropReason};

/// Name, help, kind, what is read.
type Row = (&'static str, &'static str, MetricType, fn(&DatagramStats) -> u64);

const ROWS: &[Row] = &[
    ("ringway_udp_flows_active", "Flows that there are now.", MetricType::GAUGE, |stats| {
        stats.flows_active.get()
    }),
    ("ringway_udp_flows_opened_total", "Flows that began.", MetricType::COUNTER, |stats| {
        stats.flows_opened.get()
    }),
    (
        "ringway_udp_received_datagrams_total",
        "Datagrams received from clients.",
        MetricType::COUNTER,
        |stats| stats.received.get(),
    ),
    (
        "ringway_udp_received_bytes_total",
        "Bytes received from clients in datagrams.",
        MetricType::COUNTER,
        |stats| stats.received_bytes.get(),
    ),
    (
        "ringway_udp_sent_datagrams_total",
        "Datagrams sent to clients.",
        MetricType::COUNTER,
        |stats| stats.sent.get(),
    ),
    (
        "ringway_udp_sent_bytes_total",
        "Bytes sent to clients in datagrams.",
        MetricType::COUNTER,
        |stats| stats.sent_bytes.get(),
    ),
    (
        "ringway_udp_truncated_datagrams_total",
        "Datagrams larger than a buffer, dropped.",
        MetricType::COUNTER,
        |stats| stats.truncated.get(),
    ),
    (
        "ringway_udp_gro_batches_total",
        "Times that the kernel delivered several datagrams as one.",
        MetricType::COUNTER,
        |stats| stats.joined_received.get(),
    ),
    (
        "ringway_udp_gso_sends_total",
        "Times that several datagrams were handed to the kernel as one.",
        MetricType::COUNTER,
        |stats| stats.joined_sent.get(),
    ),
];

impl Exporter {
    /// The families of UDP listeners; without samples where there are none.
    pub(super) fn datagram_families(&self) -> Vec<MetricFamily> {
        let mut families: Vec<MetricFamily> = ROWS
            .iter()
            .map(|(name, help, kind, read)| {
                let values = self.datagram_listeners().map(|(index, listener)| {
                    let value = self.sum(|cell| read(&cell.stats.datagrams.get(index)));
                    sample(*kind, &[("listener", listener)], value)
                });
                family(name, help, *kind, values.collect())
            })
            .collect();
        let ended = self.datagram_listeners().flat_map(|(index, listener)| {
            FlowEnd::ALL.map(|end| {
                let labels = [("listener", listener.clone()), ("reason", end.name().to_owned())];
                let number = end.index();
                counter(
                    &labels,
                    self.sum(|cell| cell.stats.datagrams.get(index).flows_ended[number].get()),
                )
            })
        });
        families.push(family(
            "ringway_udp_flows_ended_total",
            "Flows that ended, by reason.",
            MetricType::COUNTER,
            ended.collect(),
        ));
        let dropped = self.datagram_listeners().flat_map(|(index, listener)| {
            DropReason::ALL.map(|reason| {
                let labels = [("listener", listener.clone()), ("reason", reason.name().to_owned())];
                let number = reason as usize;
                counter(
                    &labels,
                    self.sum(|cell| cell.stats.datagrams.get(index).dropped[number].get()),
                )
            })
        });
        families.push(family(
            "ringway_udp_dropped_datagrams_total",
            "Datagrams dropped, by reason.",
            MetricType::COUNTER,
            dropped.collect(),
        ));
        families
    }

    /// The numbers and names of the UDP listeners.
    fn datagram_listeners(&self) -> impl Iterator<Item = (usize, String)> {
        let known = self.inventory.datagrams.iter();
        known.map(|listener| (listener.number(), listener.name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::server::plan::{Inventory, Known};
    use crate::session::{Counted, Workers};

    #[test]
    fn every_count_of_a_udp_listener_is_exported() {
        let counted = Counted { datagrams: 1, ..Counted::default() };
        let workers = Arc::new(Workers::with_plan(2, &counted));
        for cell in workers.cells() {
            cell.stats.datagrams.get(0).received.add(3);
            cell.stats.datagrams.get(0).flows_ended[FlowEnd::Evicted.index()].add(1);
            cell.stats.datagrams.get(0).drop_of(DropReason::NoFlow, 2);
        }
        let datagrams = vec![Known::at(0, "dns")];
        let inventory = Inventory { datagrams, ..Inventory::default() };
        let exporter = Exporter::new(workers, Arc::new(inventory));
        let text = exporter.render(None).unwrap();
        for line in [
            "ringway_udp_flows_active{listener=\"dns\"} 0",
            "ringway_udp_received_datagrams_total{listener=\"dns\"} 6",
            "ringway_udp_flows_ended_total{listener=\"dns\",reason=\"evicted\"} 2",
            "ringway_udp_dropped_datagrams_total{listener=\"dns\",reason=\"no_flow\"} 4",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
