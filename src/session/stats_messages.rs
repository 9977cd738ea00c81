//! What is counted of messages, and what a client that asks is told of its listener.

use std::sync::Arc;

use serde::Serialize;

use super::ListenerStats;
use crate::runtime::Counter;
use crate::service::messages::MessageError;

/// One listener's messages, by what became of them.
#[derive(Debug)]
pub struct MessageStats {
    /// Messages answered otherwise than by an error.
    pub answered: Counter,
    /// Messages answered by an error, in the order of [`MessageError::CODES`].
    pub errors: [Counter; MessageError::CODES.len()],
}

impl MessageStats {
    pub(super) const fn new() -> Self {
        Self {
            answered: Counter::new(),
            errors: [const { Counter::new() }; MessageError::CODES.len()],
        }
    }

    pub(super) fn count(&self, outcome: &Result<(), MessageError>) {
        match outcome {
            Ok(()) => self.answered.add(1),
            Err(error) => self.errors[error.index()].add(1),
        }
    }
}

/// The payload of the answer to `stats`: one listener, over all workers.
#[derive(Debug, Serialize)]
struct Report<'a> {
    listener: &'a str,
    connections_active: u64,
    connections_accepted: u64,
    received_bytes: u64,
    sent_bytes: u64,
    messages_answered: u64,
    messages_refused: u64,
}

/// Writes a listener's counters as JSON.
pub(super) fn write_report(name: &str, everywhere: &[Arc<ListenerStats>], out: &mut Vec<u8>) {
    let sum = |read: &dyn Fn(&ListenerStats) -> u64| everywhere.iter().map(|one| read(one)).sum();
    let report = Report {
        listener: name,
        connections_active: sum(&|stats| stats.active.get()),
        connections_accepted: sum(&|stats| stats.accepted.get()),
        received_bytes: sum(&|stats| stats.received.get()),
        sent_bytes: sum(&|stats| stats.sent.get()),
        messages_answered: sum(&|stats| stats.messages.answered.get()),
        messages_refused: sum(&|stats| stats.messages.errors.iter().map(Counter::get).sum()),
    };
    serde_json::to_writer(out, &report).expect("a Vec takes names and numbers");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_sums_the_workers() {
        let everywhere = [0, 1].map(|_| Arc::new(ListenerStats::new()));
        let stats = |worker: usize| &everywhere[worker];
        stats(0).accepted.add(3);
        stats(1).accepted.add(4);
        stats(1).active.increment();
        stats(0).received.add(10);
        stats(1).sent.add(20);
        stats(0).messages.count(&Ok(()));
        stats(1).messages.count(&Ok(()));
        stats(1).messages.count(&Err(MessageError::MissingType));
        assert_eq!(stats(1).messages.errors[MessageError::MissingType.index()].get(), 1);
        let mut out = Vec::new();
        write_report("a \"name\"", &everywhere, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"listener":"a \"name\"","connections_active":1,"connections_accepted":7,"#,
                r#""received_bytes":10,"sent_bytes":20,"messages_answered":2,"messages_refused":1}"#
            )
        );
    }
}
