//! Connections that wait for the next request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::exchange::SharedConnection;
use super::url::{HttpUrl, Scheme};
use crate::runtime::clock;

/// Idle connections of all authorities together, at most.
const IDLE_TOTAL_MAX: usize = 256;

/// What a connection is good for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PoolKey {
    scheme: Scheme,
    /// Host and port, in lower case.
    target: String,
}

impl PoolKey {
    pub(super) fn of(url: &HttpUrl) -> Self {
        Self { scheme: url.scheme, target: url.target.to_string().to_ascii_lowercase() }
    }
}

/// What is kept, by what it is good for. Connections of HTTP/1.1 are here while they are idle,
/// those of HTTP/2 from their beginning.
#[derive(Debug)]
pub(super) struct Pool {
    idle_max: usize,
    idle_time: Duration,
    connections: BTreeMap<PoolKey, Vec<PooledConnection>>,
}

#[derive(Debug)]
struct PooledConnection {
    connection: SharedConnection,
    /// When it was used last.
    used: Instant,
}

impl PooledConnection {
    /// Whether nobody else holds it.
    fn is_idle(&self) -> bool {
        Rc::strong_count(&self.connection) == 1
    }
}

impl Pool {
    pub(super) const fn new(idle_max: usize, idle_time: Duration) -> Self {
        Self { idle_max, idle_time, connections: BTreeMap::new() }
    }

    /// A connection that a request may begin on. The one that was used last is the least likely to
    /// have been closed.
    pub(super) fn take(&mut self, key: &PoolKey) -> Option<SharedConnection> {
        self.expire();
        let kept = self.connections.get_mut(key)?;
        let mut at = kept.len();
        while let Some(before) = at.checked_sub(1) {
            at = before;
            let shared = Rc::clone(&kept[at].connection);
            let mut connection = shared.borrow_mut();
            let is_lost = connection.look().is_err() || connection.is_spent();
            let (can_begin, is_shared) = (connection.can_begin(), connection.is_shared());
            drop(connection);
            if is_lost || (can_begin && !is_shared) {
                kept.remove(at);
            }
            if can_begin && !is_lost {
                return Some(shared);
            }
        }
        None
    }

    /// Keeps a connection that has been used.
    pub(super) fn give(pool: &Rc<RefCell<Self>>, key: &PoolKey, connection: &SharedConnection) {
        let mut pool = pool.borrow_mut();
        if pool.idle_max == 0 {
            return;
        }
        pool.expire();
        let now = clock::now();
        let kept = pool.connections.entry(key.clone()).or_default();
        kept.retain(|one| !Rc::ptr_eq(&one.connection, connection));
        kept.push(PooledConnection { connection: Rc::clone(connection), used: now });
    }

    /// Closes what has been idle for too long, and what is too much.
    pub(super) fn expire(&mut self) {
        let (now, idle_time, idle_max) = (clock::now(), self.idle_time, self.idle_max);
        let mut total = 0;
        for kept in self.connections.values_mut() {
            let is_old = |one: &PooledConnection| {
                now.saturating_duration_since(one.used) > idle_time && one.is_idle()
            };
            kept.retain(|one| !is_old(one));
            let mut idle = kept.iter().filter(|one| one.is_idle()).count();
            let allowed = idle_max.min(IDLE_TOTAL_MAX.saturating_sub(total));
            // The oldest go first.
            kept.retain(|one| {
                let goes = idle > allowed && one.is_idle();
                idle -= usize::from(goes);
                !goes
            });
            total += idle;
        }
        self.connections.retain(|_, kept| !kept.is_empty());
    }

    /// Closes all that is idle.
    pub(super) fn close(&mut self) {
        self.connections.values_mut().for_each(|kept| kept.retain(|one| !one.is_idle()));
        self.connections.retain(|_, kept| !kept.is_empty());
    }

    /// How many connections are kept.
    pub(super) fn len(&self) -> usize {
        self.connections.values().map(Vec::len).sum()
    }
}
