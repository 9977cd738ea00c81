//! What became of messages.

use super::{Exporter, MetricFamily, MetricType, WorkerCell, counter, family};
use crate::service::messages::MessageError;
use crate::session::MessageStats;

impl Exporter {
    /// Messages by listener and outcome, of listeners that have had any.
    pub(super) fn message_family(&self) -> MetricFamily {
        let samples = self.inventory.listeners.iter().flat_map(|listener| {
            let index = listener.number();
            let each = outcomes().map(|(outcome, read)| {
                let of = |cell: &WorkerCell| read(&cell.stats.listeners.get(index).messages);
                (outcome, self.sum(of))
            });
            let each: Vec<_> = each.collect();
            let any = each.iter().any(|(_, count)| *count > 0);
            each.into_iter().filter(move |_| any).map(move |(outcome, count)| {
                let labels = [("listener", listener.name.clone()), ("outcome", outcome.to_owned())];
                counter(&labels, count)
            })
        });
        family(
            "ringway_messages_total",
            "Messages by outcome: answered, or the code of the error; once there was one.",
            MetricType::COUNTER,
            samples.collect(),
        )
    }
}

/// Every outcome's label, and how to read its count.
fn outcomes() -> impl Iterator<Item = (&'static str, impl Fn(&MessageStats) -> u64)> {
    let answered = std::iter::once(("answered", None));
    let errors = MessageError::CODES.into_iter().enumerate();
    answered.chain(errors.map(|(index, code)| (code, Some(index)))).map(|(outcome, index)| {
        let read = move |stats: &MessageStats| match index {
            None => stats.answered.get(),
            Some(index) => stats.errors[index].get(),
        };
        (outcome, read)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::server::plan::{Inventory, Known};
    use crate::session::Workers;

    #[test]
    fn outcomes_are_exported_of_listeners_that_have_had_a_message() {
        let workers = Arc::new(Workers::new(2, 2, 0));
        let stats = |worker: usize| workers.cells()[worker].stats.listeners.get(1);
        let (first, second) = (stats(0), stats(1));
        let of = |worker: usize| if worker == 0 { &first.messages } else { &second.messages };
        let listeners = ["quiet", "busy"].into_iter().enumerate();
        let listeners = listeners.map(|(number, name)| Known::at(number, name)).collect();
        let inventory = Inventory { listeners, ..Inventory::default() };
        let exporter = Exporter::new(Arc::clone(&workers), Arc::new(inventory));
        assert!(exporter.message_family().get_metric().is_empty());
        of(0).answered.add(2);
        of(1).answered.add(3);
        of(1).errors[MessageError::MissingType.index()].add(1);
        let text = exporter.render(None).unwrap();
        for line in [
            r#"ringway_messages_total{listener="busy",outcome="answered"} 5"#,
            r#"ringway_messages_total{listener="busy",outcome="missing_type"} 1"#,
            r#"ringway_messages_total{listener="busy",outcome="internal"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains(r#"total{listener="quiet",outcome"#));
    }
}
