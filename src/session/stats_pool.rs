//! What a frame proxy counts: exchanges, and the connections that carry them.

use super::stats_http::{replace_all, replace_gauges};
use crate::proto::frame::Code;
use crate::runtime::Counter;
use crate::service::cluster::pool::{CloseCause, PoolCounters, PoolGauges};
use crate::service::proxy::ExchangeTally;

/// What the pool of a frame proxy comes to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TrunkSums {
    pub(super) gauges: PoolGauges,
    pub(super) counters: PoolCounters,
    /// Connections that the worker may have.
    pub(super) share: u32,
}

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

    /// Shows how a proxy's pool is at the end of a turn, in the place of how it was when it was
    /// shown before.
    pub(super) fn replace(&self, was: &TrunkSums, is: &TrunkSums) {
        let gauges = [&self.idle, &self.in_use, &self.opening, &self.waiting];
        replace_gauges(gauges, was.gauges, is.gauges);
        self.share.replace(was.share.into(), is.share.into());
        let (was, is) = (&was.counters, &is.counters);
        self.created.replace(was.created, is.created);
        self.reused.replace(was.reused, is.reused);
        self.hits.replace(was.hits, is.hits);
        self.misses.replace(was.misses, is.misses);
        self.refused.replace(was.refused, is.refused);
        self.timed_out.replace(was.timed_out, is.timed_out);
        replace_all(&self.closed, &was.closed, &is.closed);
    }

    /// Adds what a proxy has counted of exchanges since it was asked before.
    pub(super) fn add(&self, tally: &ExchangeTally) {
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
