//! What workers show each other of the clients that they limit, so that limits hold for all.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::ring::Driver;
use crate::service::http::limit::{PeerBuckets, of_source};
use crate::session::context::Context;
use crate::session::{WorkerCell, Workers};

/// The workers but one, as that one sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerWorkers<'a> {
    workers: &'a Workers,
    worker: usize,
    epoch: Instant,
}

impl<'a> PeerWorkers<'a> {
    pub(super) fn new(workers: &'a Workers, worker: usize, now: Instant) -> Self {
        Self { workers, worker, epoch: workers.epoch(now) }
    }

    fn cells(&self) -> impl Iterator<Item = &'a WorkerCell> {
        let own = self.worker;
        let cells = self.workers.cells().iter().enumerate();
        cells.filter(move |(number, _)| *number != own).map(|(_, cell)| cell)
    }

    /// Connections that the other workers have from there.
    pub(super) fn connections(&self, key: u64) -> u64 {
        self.cells().filter_map(|cell| cell.sources.as_ref()).map(|board| board.read(key)).sum()
    }

    /// Connections that this worker has from there.
    pub(super) fn publish_connections(&self, key: u64, count: u32) {
        if let Some(board) = &self.workers.cells()[self.worker].sources {
            board.publish(key, count.into());
        }
    }
}

impl PeerBuckets for PeerWorkers<'_> {
    fn full_at(&self, key: u64) -> Option<Instant> {
        let seen = self.cells().filter_map(|cell| cell.buckets.as_ref());
        let nanos = seen.map(|board| board.read(key)).max().filter(|nanos| *nanos > 0)?;
        self.epoch.checked_add(Duration::from_nanos(nanos))
    }

    fn publish(&self, key: u64, full_at: Instant) {
        let Some(board) = &self.workers.cells()[self.worker].buckets else { return };
        let since = full_at.saturating_duration_since(self.epoch).as_nanos();
        board.publish(key, u64::try_from(since).unwrap_or(u64::MAX));
    }
}

/// The key by which workers show each other the connections of a source.
pub(super) fn source_key(listener: usize, ip: IpAddr, seed: u64) -> u64 {
    of_source(ip, seed_of(seed, listener))
}

/// A seed for one of many tables that share a board.
pub(super) const fn seed_of(seed: u64, number: usize) -> u64 {
    seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<D: Driver> Context<D> {
    /// A connection from there: whether it fits into what a source may have, over all workers.
    pub(in crate::session) fn enter_source(
        &mut self,
        listener: usize,
        ip: IpAddr,
        most: u32,
    ) -> bool {
        let key = source_key(listener, ip, self.options.seed);
        let peers = PeerWorkers::new(&self.options.workers, self.options.worker, self.now());
        let entered = self.http.sources.enter(listener, ip, most, peers.connections(key));
        if let Some(count) = entered {
            peers.publish_connections(key, count);
        }
        entered.is_some()
    }

    /// A connection that was let in has ended.
    pub(in crate::session) fn leave_source(&mut self, listener: usize, ip: IpAddr) {
        let key = source_key(listener, ip, self.options.seed);
        let left = self.http.sources.leave(listener, ip);
        let peers = PeerWorkers::new(&self.options.workers, self.options.worker, self.now());
        peers.publish_connections(key, left);
    }
}
