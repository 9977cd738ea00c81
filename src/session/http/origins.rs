//! The connections of one worker to the servers of one upstream: which there are, who waits for
//! them, and which servers are used.

use std::time::Instant;

use super::exchange::State;
use super::options::OriginOptions;
use super::state::HttpAction;
use crate::mem::Key;
use crate::runtime::TimerId;
use crate::service::origin::attempts::Retries;
use crate::service::origin::breaker::Breaker;
use crate::service::origin::failure::Failure;
use crate::service::origin::servers::{Ended, Outcome, Servers};
use crate::service::pool::{CloseCause, Pool, PoolCounters, PoolGauges, Share};
use crate::session::ejection;
use crate::session::{OriginStats, SessionOptions};

/// The connections of one worker to the servers of one upstream.
#[derive(Debug)]
pub(in crate::session) struct Origins {
    pub(super) options: OriginOptions,
    pub(super) servers: Servers,
    /// By server: connections by their keys, exchanges by theirs.
    pub(super) pools: Vec<Pool<Key, Key>>,
    /// Connections that this worker may have, to all servers together.
    pub(super) share: Share,
    pub(super) breaker: Breaker,
    pub(super) retries: Retries,
    /// When something is over, at the latest.
    pub(super) timer: Option<(TimerId, Instant)>,
}

impl Origins {
    pub(super) fn new(
        upstream: usize,
        options: &OriginOptions,
        all: &SessionOptions,
        seed: u64,
        now: Instant,
    ) -> Self {
        let (worker, workers) = (all.worker, all.fleet.cells().len());
        let seed = seed ^ (upstream as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            servers: Servers::new(options.policy, &options.servers, seed, worker),
            pools: options.names.iter().map(|_| Pool::new(options.pool)).collect(),
            share: Share::new(options.connections_max, workers, worker),
            breaker: Breaker::new(options.breaker),
            retries: Retries::new(options.attempts, seed, now),
            timer: None,
            options: options.clone(),
        }
    }

    pub(super) fn open(&self) -> u32 {
        self.pools.iter().map(Pool::open).sum()
    }

    /// A connection is needed for a server, if anybody waits: whether one may be made.
    pub(super) fn may_open(&mut self, server: usize) -> bool {
        let elsewhere = self.open() - self.pools[server].open();
        let share = self.share.limit().saturating_sub(elsewhere);
        if self.pools[server].needs(share) == 0 {
            return false;
        }
        self.pools[server].begin_open();
        true
    }

    /// An idle connection to another server, which gives its place to one that is needed more.
    pub(super) fn idle_elsewhere(&mut self, server: usize) -> Option<Key> {
        if !self.pools[server].is_short() || self.pools[server].open() > 0 {
            return None;
        }
        let others = self.pools.iter_mut().enumerate().filter(|(other, _)| *other != server);
        others.map(|(_, pool)| pool).find_map(|pool| pool.take_idle(CloseCause::Lent))
    }

    /// Another worker asks for places. Returns how many it gets, and a connection to be closed.
    pub(in crate::session) fn asked(&mut self) -> (u32, Option<Key>) {
        let gauges = self.pools.iter().map(Pool::gauges);
        let (idle, waiting) =
            gauges.fold((0, 0), |(idle, waiting), one| (idle + one.idle, waiting + one.waiting));
        let grant = self.share.asked(self.open(), idle, waiting);
        if !grant.close_idle {
            return (grant.places, None);
        }
        match self.pools.iter_mut().find_map(|pool| pool.take_idle(CloseCause::Lent)) {
            Some(origin) => (grant.places + 1, Some(origin)),
            None => {
                self.share.keep(1);
                (grant.places, None)
            }
        }
    }

    /// Places that were given did not reach the asker.
    pub(in crate::session) const fn keep(&mut self, places: u32) {
        self.share.keep(places);
    }

    /// Active checks say that a server can be used, or cannot.
    pub(in crate::session) fn set_health(&mut self, server: usize, up: bool, now: Instant) {
        self.servers.set_health(server, up, now);
    }

    /// Shows how things are, for whoever reads the counters.
    pub(in crate::session) fn publish(&mut self, stats: &OriginStats, now: Instant) {
        let mut gauges = PoolGauges::default();
        let mut counters = PoolCounters::default();
        for pool in &self.pools {
            gauges.add(pool.gauges());
            counters.add(pool.counters());
        }
        stats.publish(gauges, &counters, self.retries.counters());
        for (server, stats) in stats.servers.iter().enumerate() {
            if let Some(view) = self.servers.view(server, now) {
                stats.active.set(view.active.into());
                stats.usable.set(u64::from(view.healthy && !view.ejected));
            }
        }
    }

    /// Logs and counts which servers are ejected, and which are used again.
    pub(in crate::session) fn tell_ejections(&mut self, stats: &OriginStats, upstream: &str) {
        while let Some(event) = self.servers.next_event() {
            let name = |server: usize| self.options.names.get(server).map_or("", |name| name);
            let ejected = ejection::log(upstream, &event, name);
            let stats = ejected.and_then(|server| stats.servers.get(server));
            stats.into_iter().for_each(|one| one.ejected.add(1));
        }
    }

    /// A try of an exchange is not wanted any more.
    pub(super) fn forget(
        &mut self,
        exchange: Key,
        state: State,
        actions: &mut Vec<HttpAction>,
        now: Instant,
    ) {
        match state {
            State::Waiting { server } => {
                self.pools[server].cancel(&exchange);
                self.servers.done(server, failed(Failure::ClientGone), now);
            }
            State::Linked { origin, server } => {
                actions.push(HttpAction::Close { origin });
                self.servers.done(server, failed(Failure::ClientGone), now);
            }
            State::Resting | State::Done => {}
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let pools = self.pools.iter().filter_map(Pool::next_deadline);
        let is_short = self.pools.iter().any(Pool::is_short);
        let asks = self.share.rest_until().filter(|_| is_short);
        pools.chain(asks).chain(self.servers.next_deadline()).min()
    }
}

/// How a try ended that brought no answer.
pub(super) const fn failed(failure: Failure) -> Outcome {
    Outcome { ended: Ended::Failed(failure), latency: None }
}
