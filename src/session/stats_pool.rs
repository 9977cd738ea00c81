//! What a frame proxy counts: exchanges, and the connections that carry them.

use crate::proto::frame::Code;
use crate::runtime::Counter;
use crate::service::cluster::pool::{CloseCause, PoolCounters, PoolGauges};
use crate::service::proxy::ExchangeTally;

/// One worker's counters of one upstream.
#[derive(Debug)]
pub struct PoolStats {
    /// Connections that carry nothing.
    pub idle: Counter,
    /// Connections that carry exchanges.
    pub in_use: Counter,
    /// Connections that are being made.
    pub opening: Counter,
    /// Exchanges that wait for a connection.
    pub waiting: Counter,
    /// Connections that the worker may have.
    pub share: Counter,
    /// Connections that stood.
    pub created: Counter,
    /// Exchanges on a connection that had carried one before.
    pub reused: Counter,
    /// Exchanges that got a connection at once.
    pub hits: Counter,
    /// Exchanges that had to wait for one.
    pub misses: Counter,
    /// Exchanges that found the queue full.
    pub refused: Counter,
    /// Exchanges that waited too long.
    pub timed_out: Counter,
    /// Connections that ended, in the order of [`CloseCause::ALL`].
    pub closed: [Counter; CloseCause::ALL.len()],
    /// Exchanges that began.
    pub begun: Counter,
    /// Exchanges that a server answered.
    pub answered: Counter,
    /// Exchanges that were sent again.
    pub retried: Counter,
    /// Exchanges that we answered with an error, in the order of [`Code::ALL`].
    pub errors: [Counter; Code::ALL.len()],
}

impl PoolStats {
    pub(super) const fn new() -> Self {
        Self {
            idle: Counter::new(),
            in_use: Counter::new(),
            opening: Counter::new(),
            waiting: Counter::new(),
            share: Counter::new(),
            created: Counter::new(),
            reused: Counter::new(),
            hits: Counter::new(),
            misses: Counter::new(),
            refused: Counter::new(),
            timed_out: Counter::new(),
            closed: [const { Counter::new() }; CloseCause::ALL.len()],
            begun: Counter::new(),
            answered: Counter::new(),
            retried: Counter::new(),
            errors: [const { Counter::new() }; Code::ALL.len()],
        }
    }

    /// Shows how things are at the end of a turn.
    pub(super) fn publish(
        &self,
        tally: &ExchangeTally,
        gauges: PoolGauges,
        counters: &PoolCounters,
        share: u32,
    ) {
        self.idle.set(gauges.idle.into());
        self.in_use.set(gauges.in_use.into());
        self.opening.set(gauges.opening.into());
        self.waiting.set(gauges.waiting.into());
        self.share.set(share.into());
        self.created.set(counters.created);
        self.reused.set(counters.reused);
        self.hits.set(counters.hits);
        self.misses.set(counters.misses);
        self.refused.set(counters.refused);
        self.timed_out.set(counters.timed_out);
        for (counter, count) in self.closed.iter().zip(counters.closed) {
            counter.set(count);
        }
        self.begun.add(tally.begun);
        self.answered.add(tally.answered);
        self.retried.add(tally.retried);
        if tally.has_errors {
            for (counter, count) in self.errors.iter().zip(tally.errors) {
                counter.add(count);
            }
        }
    }
}
