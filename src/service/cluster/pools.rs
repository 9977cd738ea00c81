//! The pools of all servers of a cluster, and what they come to together.

use std::ops::Index;
use std::time::Instant;

use super::order::{IndexSet, IndexedHeap, List};
use super::pool::{
    Checkout, CloseCause, ConnectionQuota, Expired, Pool, PoolCounters, PoolGauges, PoolOptions,
};
use crate::mem::Key;

/// Servers that want a connection and are looked at when a place may be free.
const LOOKS_MAX: usize = 16;

/// The pools by server. What is asked of all of them together is kept up to date by each call, and
/// takes no step for each of them.
#[derive(Debug)]
pub struct Pools {
    pools: Vec<Pool<Key, Key>>,
    sum: PoolGauges,
    /// Not later than when something is over in each pool that has anything.
    deadlines: IndexedHeap<Instant>,
    /// Servers with idle connections.
    with_idle: IndexSet,
    /// Servers for which exchanges wait, and more connections are wanted than are being made, those
    /// first that were not looked at for longest.
    wanting: List,
    is_wanting: Vec<bool>,
    /// No connection is kept for later exchanges. A pool is told when it is used next.
    keeps_none: bool,
}

impl Index<usize> for Pools {
    type Output = Pool<Key, Key>;

    fn index(&self, server: usize) -> &Self::Output {
        &self.pools[server]
    }
}

impl Pools {
    /// No connection yet, to so many servers.
    #[must_use]
    pub fn new(options: PoolOptions, servers: usize) -> Self {
        Self {
            pools: (0..servers).map(|_| Pool::new(options)).collect(),
            sum: PoolGauges::default(),
            deadlines: IndexedHeap::default(),
            with_idle: IndexSet::default(),
            wanting: List::default(),
            is_wanting: vec![false; servers],
            keeps_none: false,
        }
    }

    /// As [`Pool::keep_none`], for all of them. Takes no step for each.
    pub const fn keep_none(&mut self) {
        self.keeps_none = true;
    }

    /// Whether [`Pools::keep_none`] was called.
    #[must_use]
    pub const fn keeps_none(&self) -> bool {
        self.keeps_none
    }

    /// How many servers there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pools.len()
    }

    /// Whether there is no server.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// As [`Pool::checkout`].
    pub fn checkout(&mut self, server: usize, waiter: Key, now: Instant) -> Checkout<Key> {
        self.change(server, |pool| pool.checkout(waiter, now))
    }

    /// As [`Pool::next_ready`].
    pub fn next_ready(&mut self, server: usize, now: Instant) -> Option<(Key, Key)> {
        if !self.pools[server].is_short() {
            return None;
        }
        self.change(server, |pool| pool.next_ready(now))
    }

    /// As [`Pool::cancel`].
    pub fn cancel(&mut self, server: usize, waiter: &Key) {
        self.change(server, |pool| pool.cancel(waiter));
    }

    /// As [`Pool::take_waiter`].
    pub fn take_waiter(&mut self, server: usize) -> Option<Key> {
        self.change(server, Pool::take_waiter)
    }

    /// As [`Pool::begin_open`].
    pub fn begin_open(&mut self, server: usize) {
        self.change(server, Pool::begin_open);
    }

    /// As [`Pool::opened`].
    pub fn opened(&mut self, server: usize, connection: Key, now: Instant) {
        self.change(server, |pool| pool.opened(connection, now));
    }

    /// As [`Pool::opened_alone`].
    pub fn opened_alone(&mut self, server: usize, connection: Key, now: Instant) {
        self.change(server, |pool| pool.opened_alone(connection, now));
    }

    /// As [`Pool::open_failed`].
    pub fn open_failed(&mut self, server: usize) {
        self.change(server, Pool::open_failed);
    }

    /// As [`Pool::release`].
    #[must_use]
    pub fn release(&mut self, server: usize, connection: Key, now: Instant) -> bool {
        self.change(server, |pool| pool.release(connection, now))
    }

    /// As [`Pool::retire`].
    #[must_use]
    pub fn retire(&mut self, server: usize, connection: Key, cause: CloseCause) -> bool {
        self.change(server, |pool| pool.retire(connection, cause))
    }

    /// As [`Pool::closed`].
    pub fn closed(&mut self, server: usize, connection: Key, cause: CloseCause) {
        self.change(server, |pool| pool.closed(connection, cause));
    }

    /// As [`Pool::share`].
    pub fn share(&mut self, server: usize, capacity: u32) {
        self.change(server, |pool| pool.share(capacity));
    }

    /// As [`Pool::set_capacity`].
    pub fn set_capacity(&mut self, server: usize, connection: Key, capacity: u32) {
        self.change(server, |pool| pool.set_capacity(connection, capacity));
    }

    /// Takes out an idle connection to any server but this one, as [`Pool::take_idle`] does.
    pub fn take_idle(&mut self, but: Option<usize>, cause: CloseCause) -> Option<Key> {
        let server = self.with_idle.iter().find(|server| Some(*server) != but)?;
        self.change(server, |pool| pool.take_idle(cause))
    }

    /// Servers for which exchanges wait and more connections are wanted: the next few. Each keeps
    /// its place until [`Pools::had_turn`], so that none is passed over when places are few.
    pub fn wanting(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let count = self.wanting.len().min(LOOKS_MAX);
        let mut found = [0; LOOKS_MAX];
        found.iter_mut().zip(self.wanting.iter()).for_each(|(place, server)| *place = server);
        found.into_iter().take(count)
    }

    /// A server got what it wanted, or is to let the others go first: it is looked at last.
    pub fn had_turn(&mut self, server: usize) {
        if self.is_wanting[server] {
            self.wanting.remove(server);
            self.wanting.push_last(server);
        }
    }

    /// Takes out what is over, with its server and what its pool had before.
    pub fn expire(&mut self, now: Instant) -> Vec<(usize, PoolGauges, Expired<Key, Key>)> {
        let (mut expired, mut all) = (Vec::new(), Vec::new());
        while let Some((_, server)) = self.deadlines.first().filter(|(due, _)| *due <= now) {
            let gauges = self.pools[server].gauges();
            self.deadlines.remove(server);
            self.change(server, |pool| pool.expire(now, &mut expired));
            all.extend(expired.drain(..).map(|one| (server, gauges, one)));
        }
        all
    }

    /// Not later than when [`Pools::expire`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(due, _)| due)
    }

    /// How many connections there are, and who waits.
    #[must_use]
    pub const fn gauges(&self) -> PoolGauges {
        self.sum
    }

    /// What was counted. Takes a step for each server.
    #[must_use]
    pub fn counters(&self) -> PoolCounters {
        let mut sum = PoolCounters::default();
        self.pools.iter().for_each(|pool| sum.add(pool.counters()));
        sum
    }

    /// Whether a server may have one more connection, of those that the quota has.
    #[must_use]
    pub fn may_open(&mut self, server: usize, quota: &ConnectionQuota) -> bool {
        if self.keeps_none && !self.pools[server].keeps_none() {
            self.change(server, |_| ());
        }
        let pool = &self.pools[server];
        let elsewhere = self.sum.open() - pool.open();
        pool.needs(quota.limit().saturating_sub(elsewhere)) > 0
    }

    fn change<T>(&mut self, server: usize, change: impl FnOnce(&mut Pool<Key, Key>) -> T) -> T {
        let pool = &mut self.pools[server];
        if self.keeps_none {
            pool.keep_none();
        }
        let before = pool.gauges();
        let result = change(pool);
        let now = pool.gauges();
        self.sum.replace(before, now);
        if (before.idle > 0) != (now.idle > 0) {
            self.with_idle.put(server, now.idle > 0);
        }
        let is_wanting = now.waiting > 0 && pool.needs(u32::MAX) > 0;
        if std::mem::replace(&mut self.is_wanting[server], is_wanting) != is_wanting {
            if is_wanting {
                self.wanting.push_last(server);
            } else {
                self.wanting.remove(server);
            }
        }
        if let Some(due) = pool.next_deadline()
            && self.deadlines.key(server).is_none_or(|known| due < known)
        {
            self.deadlines.set(server, due);
        }
        result
    }
}

#[cfg(test)]
mod tests;
