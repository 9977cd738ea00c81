//! A cluster: the servers of one upstream, as one worker uses them. Which one an exchange goes to,
//! on which connection, which servers are left out, and what happens when one fails. Pure decisions
//! of one worker, which shares none of its state but the quota of connections.
//!
//! | file | job |
//! |---|---|
//! | `servers` | the servers of an upstream: choosing, counting, health, slow start, memory |
//! | `server`, `view` | the state of one of them; what is told of it |
//! | `level` | the servers of one priority that may be chosen, in the order of the policy |
//! | `turns`, `loads`, `hashed` | these orders: by turns, by load, by a hash |
//! | `order` | heaps, lists and sets of numbers that they are made of |
//! | `latency` | what a server's latency is remembered as |
//! | `eject` | taking servers out that do badly (outlier detection) |
//! | `health` | when a server is checked, and what the results make of it |
//! | `breaker` | limits on what is under way (circuit breaking) |
//! | `clock` | how long a server is waited for, and what has failed then |
//! | `failure` | why an exchange failed |
//! | `attempts` | whether and when an exchange is tried again |
//! | `identity` | connections that carry the identity of a client |
//! | `maglev` | hashing by the addresses of servers |
//! | `pool` | connections to one server: idle, busy, to be closed; who waits; the quota |
//! | `pools` | the pools of all servers together |
//! | `options` | how a cluster is set up |
//! | `random` | random numbers and hashes |
//!
//! Calling order for an exchange: [`breaker::Breaker::try_enter`], [`attempts::Retries::begin`],
//! then for each try [`attempts::Attempts::pick`] and [`servers::Servers::done`], and
//! [`attempts::Attempts::on_failure`] or [`attempts::Attempts::on_status`] when it went wrong; at
//! last [`attempts::Attempts::finish`] and [`breaker::Breaker::leave`].

pub mod attempts;
pub mod breaker;
pub mod clock;
pub mod eject;
pub mod failure;
mod hashed;
pub mod health;
pub mod identity;
mod latency;
mod level;
mod loads;
pub mod maglev;
mod options;
mod order;
pub mod pool;
mod pools;
pub(crate) mod random;
mod server;
pub mod servers;
mod turns;
mod view;

use std::time::Instant;

use self::attempts::Retries;
use self::breaker::Breaker;
use self::failure::Failure;
pub use self::options::{ClusterOptions, HashOn, HostHeader, ServerProtocol};
use self::pool::{CloseCause, ConnectionQuota, Expired, PoolCounters, PoolGauges};
pub use self::pools::Pools;
pub(in crate::service) use self::random::mix;
pub use self::random::stable_hash;
use self::servers::{Ended, ServerOutcome, Servers};
use crate::mem::Key;

/// The servers of one upstream and the connections of one worker to them.
#[derive(Debug)]
pub struct Cluster {
    /// How it is set up.
    pub options: ClusterOptions,
    /// Which servers are used.
    pub servers: Servers,
    /// The connections, by server. They and the exchanges that wait are known by their keys.
    pub pools: Pools,
    /// Connections that this worker may have, to all servers together.
    pub quota: ConnectionQuota,
    /// What may be under way.
    pub breaker: Breaker,
    /// What is tried again.
    pub retries: Retries,
}

impl Cluster {
    /// No connection yet. `seed` is what random choices begin with, unlike in any other cluster.
    #[must_use]
    pub fn new(
        options: &ClusterOptions,
        (worker, workers): (usize, usize),
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            servers: Servers::new(options.policy, &options.servers, seed, worker),
            pools: Pools::new(options.pool, options.servers.len()),
            quota: ConnectionQuota::new(options.connections_max, workers, worker),
            breaker: Breaker::new(options.breaker),
            retries: Retries::new(options.attempts, seed, now),
            options: options.clone(),
        }
    }

    /// Connections that stand or are being made.
    #[must_use]
    pub const fn open(&self) -> u32 {
        self.pools.gauges().open()
    }

    /// A connection is needed for a server, if an exchange waits: whether one may be made. Then it
    /// counts as being made.
    pub fn may_open(&mut self, server: usize) -> bool {
        let may = self.pools.may_open(server, &self.quota);
        if may {
            self.pools.begin_open(server);
        }
        may
    }

    /// A connection is to be made that one exchange has for itself: whether it may, and another one
    /// that gives its place to it, which is to be closed. Then it counts as being made.
    pub fn may_open_alone(&mut self, server: usize) -> (bool, Option<Key>) {
        let is_full = self.open() >= self.quota.limit();
        let idle = if is_full { self.pools.take_idle(None, CloseCause::Lent) } else { None };
        let may = !is_full || idle.is_some();
        if may {
            self.pools.begin_open(server);
        }
        (may, idle)
    }

    /// An idle connection to another server, which gives its place to one that is needed more. It
    /// is to be closed.
    pub fn idle_elsewhere(&mut self, server: usize) -> Option<Key> {
        if !self.pools[server].is_short() || self.pools[server].open() > 0 {
            return None;
        }
        self.pools.take_idle(Some(server), CloseCause::Lent)
    }

    /// The cluster is replaced by another one, or removed. From now on it keeps no connection for
    /// later exchanges: those that are idle are to be closed, one by one as
    /// [`Cluster::take_retired`] names them, and a connection that carries nothing more is not kept
    /// when it is released. Exchanges that are under way, and such as still begin on it, go on as
    /// before, and connections are made for them. Takes no step for each server.
    pub const fn retire(&mut self) {
        self.pools.keep_none();
    }

    /// Whether [`Cluster::retire`] was called.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        self.pools.keeps_none()
    }

    /// The next idle connection of a cluster that is retired: to be closed, as the pools know it no
    /// longer. For after [`Cluster::retire`], and after each opening and release, once those that
    /// wait have got what they can.
    pub fn take_retired(&mut self) -> Option<Key> {
        if !self.is_retired() {
            return None;
        }
        self.pools.take_idle(None, CloseCause::Retired)
    }

    /// Another worker asks for places. Returns how many it gets, and a connection to be closed.
    pub fn asked(&mut self) -> (u32, Option<Key>) {
        let gauges = self.gauges();
        let grant = self.quota.asked(self.open(), gauges.idle, gauges.waiting);
        if !grant.close_idle {
            return (grant.places, None);
        }
        match self.pools.take_idle(None, CloseCause::Lent) {
            Some(connection) => (grant.places + 1, Some(connection)),
            None => {
                self.quota.keep(1);
                (grant.places, None)
            }
        }
    }

    /// Whether an exchange waits for a connection.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.pools.gauges().waiting > 0
    }

    /// How many connections there are, and who waits.
    #[must_use]
    pub const fn gauges(&self) -> PoolGauges {
        self.pools.gauges()
    }

    /// What was counted of connections. Takes a step for each server.
    #[must_use]
    pub fn counters(&self) -> PoolCounters {
        self.pools.counters()
    }

    /// Takes out what is over: waiters with the server that they waited for and the failure that
    /// this is, and connections that are to be closed.
    pub fn expire(&mut self, now: Instant) -> Vec<(usize, Failure, Expired<Key, Key>)> {
        self.servers.advance(now);
        let expired = self.pools.expire(now).into_iter().map(|(server, gauges, one)| {
            // An exchange that waits for the first connection waits for the server, if one is being
            // made; else for a place, and that is ours to give.
            let is_made = gauges.opening > 0 && gauges.idle + gauges.in_use == 0;
            let failure = if is_made { Failure::ConnectTimeout } else { Failure::QueueTimeout };
            (server, failure, one)
        });
        expired.collect()
    }

    /// Not later than when [`Cluster::expire`] has something to do, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let asks = self.quota.rest_until().filter(|_| self.is_short());
        let own = [self.pools.next_deadline(), self.servers.next_deadline(), asks];
        own.into_iter().flatten().min()
    }
}

/// The clusters of one worker, by the numbers of their upstreams.
#[derive(Debug)]
pub struct Clusters(Vec<Option<Cluster>>);

impl Clusters {
    /// These; an upstream that nobody uses in this way has none.
    #[must_use]
    pub const fn new(clusters: Vec<Option<Cluster>>) -> Self {
        Self(clusters)
    }

    /// An upstream has this cluster from now on. Returns the one that it had.
    pub fn insert(&mut self, upstream: usize, cluster: Cluster) -> Option<Cluster> {
        if upstream >= self.0.len() {
            self.0.resize_with(upstream + 1, || None);
        }
        self.0[upstream].replace(cluster)
    }

    /// An upstream has no cluster from now on. Returns the one that it had. No exchange may be
    /// under way on it, and no connection be left.
    pub fn remove(&mut self, upstream: usize) -> Option<Cluster> {
        self.0.get_mut(upstream)?.take()
    }

    /// The cluster of an upstream.
    ///
    /// # Panics
    /// When it has none: exchanges are made only where there is one.
    pub fn get(&mut self, upstream: usize) -> &mut Cluster {
        let cluster = self.0.get_mut(upstream).and_then(Option::as_mut);
        cluster.expect("the upstream has a cluster")
    }

    /// The cluster of an upstream, if it has one.
    #[must_use]
    pub fn find(&self, upstream: usize) -> Option<&Cluster> {
        self.0.get(upstream)?.as_ref()
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, upstream: usize) -> Option<&mut Cluster> {
        self.0.get_mut(upstream)?.as_mut()
    }

    /// All of them, with the numbers of their upstreams.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Cluster)> {
        let all = self.0.iter_mut().enumerate();
        all.filter_map(|(upstream, cluster)| Some((upstream, cluster.as_mut()?)))
    }
}

/// How a try ended that brought no answer.
#[must_use]
pub const fn failed(failure: Failure) -> ServerOutcome {
    ServerOutcome { ended: Ended::Failed(failure), latency: None }
}
