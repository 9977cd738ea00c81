//! Connections of one source, over all workers.

use std::net::IpAddr;

use super::limiters::seed_of;
use crate::ring::Driver;
use crate::service::http::limit::of_source;
use crate::session::context::Context;
use crate::session::workers::{WorkerCell, Workers};

/// The workers but one, as that one sees them.
#[derive(Debug, Clone, Copy)]
struct PeerWorkers<'a> {
    workers: &'a Workers,
    worker: usize,
}

impl<'a> PeerWorkers<'a> {
    const fn new(workers: &'a Workers, worker: usize) -> Self {
        Self { workers, worker }
    }

    fn cells(&self) -> impl Iterator<Item = &'a WorkerCell> {
        let own = self.worker;
        let cells = self.workers.cells().iter().enumerate();
        cells.filter(move |(number, _)| *number != own).map(|(_, cell)| cell)
    }

    /// Connections that the other workers have from there.
    fn connections(&self, key: u64) -> u64 {
        self.cells().filter_map(WorkerCell::sources).map(|board| board.read(key)).sum()
    }

    /// Connections that this worker has from there.
    fn publish_connections(&self, key: u64, count: u32) {
        if let Some(board) = self.workers.cells()[self.worker].sources() {
            board.publish(key, count.into());
        }
    }
}

/// The key by which workers show each other the connections of a source.
pub(super) fn source_key(listener: usize, ip: IpAddr, seed: u64) -> u64 {
    of_source(ip, seed_of(seed, listener))
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
        let peers = PeerWorkers::new(&self.options.workers, self.options.worker);
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
        let peers = PeerWorkers::new(&self.options.workers, self.options.worker);
        peers.publish_connections(key, left);
    }
}
