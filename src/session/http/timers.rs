//! The timers of exchanges.

use crate::mem::Key;
use crate::session::deadline::Deadline;

/// The timers of exchanges, by their slots.
#[derive(Debug, Default)]
pub(super) struct ExchangeTimers(Vec<Deadline>);

impl ExchangeTimers {
    /// The timer of an exchange, put there again by [`ExchangeTimers::put`].
    pub(super) fn take(&mut self, exchange: Key) -> Deadline {
        self.0.get_mut(exchange.index as usize).map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn put(&mut self, exchange: Key, deadline: Deadline) {
        let at = exchange.index as usize;
        if at >= self.0.len() {
            self.0.resize_with(at + 1, Deadline::default);
        }
        self.0[at] = deadline;
    }
}
