//! What waits of answers in the exchanges of clients that may have many at a time.

use super::exchange::Exchange;

/// Bytes of memory by the slots of the clients' connections. A client with one exchange at a time
/// is not in it: what waits for that is what waits for the client.
#[derive(Debug, Default)]
pub(super) struct ClientSums(Vec<usize>);

impl ClientSums {
    /// Bytes that wait in all other exchanges of the same client.
    pub(super) fn beside(&self, exchange: &Exchange) -> usize {
        let all = exchange.slot().and_then(|slot| self.0.get(slot));
        all.map_or(0, |all| all - exchange.counted_for_client())
    }

    /// What waits in an exchange was `before`, and is what it counts now.
    pub(super) fn change(&mut self, exchange: &Exchange, before: usize) {
        let Some(slot) = exchange.slot() else { return };
        if slot >= self.0.len() {
            self.0.resize(slot + 1, 0);
        }
        self.0[slot] = self.0[slot] + exchange.counted_for_client() - before;
    }

    /// An exchange is over.
    pub(super) fn end(&mut self, exchange: &Exchange) {
        if let Some(sum) = exchange.slot().and_then(|slot| self.0.get_mut(slot)) {
            *sum -= exchange.counted_for_client();
        }
    }

    /// The sum of all.
    pub(super) fn sum(&self) -> usize {
        self.0.iter().sum()
    }
}
