//! What the connections of a worker share.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{
    DatagramStats, Due, Histograms, ListenerStats, SessionOptions, SessionStats, WorkerCell,
};
use crate::mem::Key;
use crate::net::PipePool;
use crate::ring::{Driver, Fd, Lane};
use crate::runtime::Reactor;
use crate::service::CloseReason;
use crate::service::balance::Balancer;

/// Least time between two warnings of the same kind.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// Reactor, pipes, upstreams, and the lists of connections that have work.
#[derive(Debug)]
pub(super) struct Context<D> {
    pub(super) reactor: Reactor<D, Due>,
    pub(super) pipes: PipePool,
    pub(super) balancers: Vec<Balancer>,
    /// Connections to be flushed at the end of the turn.
    pub(super) dirty: Vec<Key>,
    /// The other list, to be swapped with `dirty` while it is worked off.
    pub(super) flushing: Vec<Key>,
    /// Receives that found no buffer.
    pub(super) starved: VecDeque<(Key, Lane)>,
    pub(super) histograms: Histograms,
    pub(super) options: SessionOptions,
    pub(super) notices: Notices,
    /// Connections handed over of which it is not known yet whether they arrived.
    pub(super) hand_offs: usize,
    pub(super) last_id: u64,
}

impl<D: Driver> Context<D> {
    pub(super) fn new(reactor: Reactor<D, Due>, options: SessionOptions) -> Self {
        let balancers = options
            .upstreams
            .iter()
            .map(|upstream| Balancer::new(upstream.policy, upstream.servers.len(), options.worker))
            .collect();
        let relay = &options.relay;
        Self {
            pipes: PipePool::new(relay.pipes_idle_max, relay.pipe_capacity),
            balancers,
            dirty: Vec::new(),
            flushing: Vec::new(),
            starved: VecDeque::new(),
            histograms: Histograms::default(),
            notices: Notices::default(),
            hand_offs: 0,
            last_id: 0,
            options,
            reactor,
        }
    }

    pub(super) fn cell(&self) -> &WorkerCell {
        &self.options.fleet.cells()[self.options.worker]
    }

    pub(super) fn stats(&self) -> &SessionStats {
        &self.cell().stats
    }

    pub(super) fn listener_stats(&self, listener: usize) -> &ListenerStats {
        &self.stats().listeners[listener]
    }

    pub(super) fn datagram_stats(&self, listener: usize) -> &DatagramStats {
        &self.stats().datagrams[listener]
    }

    pub(super) fn now(&self) -> Instant {
        self.reactor.now()
    }

    /// A number for a new connection, unique over all workers for as long as the server runs.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        let workers = self.options.fleet.cells().len() as u64;
        self.last_id * workers + self.options.worker as u64
    }

    /// Closes a connection that gets no slot.
    pub(super) fn refuse(&mut self, listener: usize, socket: Fd, reason: CloseReason) {
        self.listener_stats(listener).closed[reason.index()].add(1);
        self.reactor.driver().close(socket);
        let now = self.now();
        if let Some(others) = self.notices.refused.due(now) {
            let name = &self.options.listeners[listener].name;
            tracing::warn!(
                listener = %name,
                reason = reason.name(),
                others,
                "connection refused at once"
            );
        }
    }
}

/// Warnings that would come with every connection, thinned out.
#[derive(Debug, Default)]
pub(super) struct Notices {
    pub(super) refused: Notice,
    pub(super) connect: Notice,
    pub(super) accept: Notice,
    pub(super) datagrams: Notice,
}

/// One kind of warning: at most one a second, with the number of those left out.
#[derive(Debug, Default)]
pub(super) struct Notice {
    last: Option<Instant>,
    left_out: u64,
}

impl Notice {
    /// Whether to warn now, and how many were left out since the last warning.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        let early = self.last.is_some_and(|last| now < last + WARNING_INTERVAL);
        if early {
            self.left_out += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_thinned_out_and_counted() {
        let origin = Instant::now();
        let mut notice = Notice::default();
        assert_eq!(notice.due(origin), Some(0));
        assert_eq!(notice.due(origin), None);
        assert_eq!(notice.due(origin + WARNING_INTERVAL / 2), None);
        assert_eq!(notice.due(origin + WARNING_INTERVAL), Some(2));
    }
}
