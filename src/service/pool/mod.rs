//! The connections of one upstream on one core: who gets which, who waits, when to open and when
//! to close.
//!
//! A pool decides; its caller opens and closes sockets and reports what came of it. Calling order:
//!
//! 1. An exchange asks: [`Pool::checkout`]. It has a connection, waits, or is refused.
//! 2. After each batch of events: [`Pool::next_ready`] until it answers `None`, then so many
//!    connections as [`Pool::needs`] says are to be opened, each after a [`Pool::begin_open`] that
//!    allowed it. The `open` of [`Checkout::Wait`] is the same answer, given earlier.
//! 3. Each allowed opening ends in one [`Pool::opened`] or one [`Pool::open_failed`].
//! 4. The end of an exchange: [`Pool::release`], or [`Pool::cancel`] if it still waited.
//! 5. A connection that ended by itself: [`Pool::closed`], whatever it still carried. One that
//!    takes no new exchanges (GOAWAY): [`Pool::retire`].
//! 6. At [`Pool::next_deadline`]: [`Pool::expire`], then step 2.
//! 7. At the end: [`Pool::shut_down`], and releases until all are gone.
//!
//! A connection in a [`Closing`] is already forgotten and counted: only its socket is to be closed,
//! and what is said about it afterwards is ignored.
//!
//! Cost: connections per upstream and core are few, so they lie in one array that a checkout or
//! release looks through. Nothing is allocated once the array and the queue have grown.

mod kinds;
pub mod share;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kinds::{Connection, Waiter};
pub use kinds::{
    Checkout, CloseCause, Closing, Expired, PoolCounters, PoolGauges, PoolOptions, PoolRefusal,
    Reuse,
};

/// After the second failed opening in a row none begins for so long; twice as long after each
/// further one.
pub const OPEN_REST_MIN: Duration = Duration::from_millis(10);
/// The longest such rest.
pub const OPEN_REST_MAX: Duration = Duration::from_secs(1);

/// The connections of one upstream on one core. `C` names a connection, `W` an exchange that waits
/// for one. The module's page has the calling order.
#[derive(Debug)]
pub struct Pool<C, W> {
    options: PoolOptions,
    share: u32,
    connections: Vec<Connection<C>>,
    /// All wait equally long, so the first one's time is over first.
    waiters: VecDeque<Waiter<W>>,
    opening: u32,
    /// The next [`Connection::order`].
    order: u64,
    /// Openings that failed in a row, those during a rest not counted.
    open_failures: u32,
    rest_until: Option<Instant>,
    is_shut_down: bool,
    counters: PoolCounters,
}

impl<C: Copy + Eq, W: Copy + Eq> Pool<C, W> {
    /// A pool without connections. A capacity or a spread of 0 is taken as 1.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        let capacity = options.capacity.max(1);
        let spread_at = options.spread_at.clamp(1, capacity);
        Self {
            options: PoolOptions { capacity, spread_at, ..options },
            share: options.max,
            connections: Vec::new(),
            waiters: VecDeque::new(),
            opening: 0,
            order: 0,
            open_failures: 0,
            rest_until: None,
            is_shut_down: false,
            counters: PoolCounters::default(),
        }
    }

    /// A connection for `waiter`: the one with the fewest exchanges, among equals the one that was
    /// used last, so that those too many become idle. Who comes later never overtakes a waiter.
    pub fn checkout(&mut self, waiter: W, now: Instant) -> Checkout<C> {
        if self.is_shut_down {
            self.counters.refused += 1;
            return Checkout::Refused(PoolRefusal::ShutDown);
        }
        if self.waiters.is_empty()
            && let Some(connection) = self.take(now)
        {
            self.counters.hits += 1;
            return Checkout::Use(connection);
        }
        if self.waiters.len() >= self.options.queue_max {
            self.counters.refused += 1;
            return Checkout::Refused(PoolRefusal::QueueFull);
        }
        self.counters.misses += 1;
        let deadline = now.checked_add(self.options.queue_timeout);
        self.waiters.push_back(Waiter { waiter, deadline });
        Checkout::Wait { open: self.needs(now) > 0 }
    }

    /// The next waiter that can go on, and its connection: first come, first served.
    pub fn next_ready(&mut self, now: Instant) -> Option<(W, C)> {
        let waiter = self.waiters.front()?.waiter;
        let connection = self.take(now)?;
        self.waiters.pop_front();
        Some((waiter, connection))
    }

    /// Forgets a waiter that went away; says whether it waited. Looks through the queue, at most
    /// `queue_max` entries.
    pub fn cancel(&mut self, waiter: &W) -> bool {
        let place = self.waiters.iter().position(|entry| entry.waiter == *waiter);
        place.is_some_and(|place| self.waiters.remove(place).is_some())
    }

    /// Takes the first waiter out, to be told that no connection could be made.
    pub fn pop_waiter(&mut self) -> Option<W> {
        self.waiters.pop_front().map(|entry| entry.waiter)
    }

    /// How many connections to open now: for the waiters, for more room where all connections have
    /// as many exchanges as they should, and to keep `min_idle`, within the share. None while
    /// openings rest after failures.
    #[must_use]
    pub fn needs(&self, now: Instant) -> u32 {
        if self.rest_until.is_some_and(|until| now < until) { 0 } else { self.wanted(now) }
    }

    /// [`Self::needs`] without the rest.
    fn wanted(&self, now: Instant) -> u32 {
        let free = self.share.saturating_sub(self.total());
        if self.is_shut_down || free == 0 {
            return 0;
        }
        let waiting = u64::try_from(self.waiters.len()).unwrap_or(u64::MAX);
        let (mut demand, mut room, mut spare) = (waiting, 0_u64, 0_u64);
        for connection in &self.connections {
            if connection.is_usable(now, self.options.max_age) {
                demand += u64::from(connection.in_use);
                room += u64::from(self.room(connection));
                spare += u64::from(self.is_spare(connection));
            }
        }
        // As long as one has room below the spread, an uneven load is no reason for another.
        let missing = if waiting == 0 && spare > 0 { 0 } else { demand.saturating_sub(room) };
        let for_demand = missing.div_ceil(u64::from(self.options.spread_at));
        let for_idle = u64::from(self.options.min_idle).saturating_sub(spare);
        let wanted = (for_demand + for_idle).saturating_sub(u64::from(self.opening));
        u32::try_from(wanted).unwrap_or(u32::MAX).min(free)
    }

    /// A connection is about to be opened; `false` when the share does not allow it.
    #[must_use]
    pub fn begin_open(&mut self) -> bool {
        let allowed = !self.is_shut_down && self.total() < self.share;
        self.opening += u32::from(allowed);
        allowed
    }

    /// An opening led to `connection` with `server`. It comes back where it is no longer wanted.
    pub fn opened(&mut self, connection: C, server: usize, now: Instant) -> Option<Closing<C>> {
        self.opening = self.opening.saturating_sub(1);
        self.open_failures = 0;
        self.rest_until = None;
        self.counters.created += 1;
        let leaving = if self.is_shut_down {
            Some(CloseCause::Shutdown)
        } else if self.total() >= self.share {
            Some(CloseCause::Surplus)
        } else {
            None
        };
        let order = self.next_order();
        self.connections.push(Connection {
            id: connection,
            server,
            limit: self.options.capacity,
            in_use: 0,
            used: false,
            opened: now,
            last: now,
            order,
            leaving,
        });
        leaving.and_then(|cause| self.remove(self.connections.len() - 1, cause))
    }

    /// An opening led to nothing. The next one may begin at once, so that another server can be
    /// tried; from the second failure in a row on they rest.
    pub fn open_failed(&mut self, now: Instant) {
        self.opening = self.opening.saturating_sub(1);
        self.counters.open_failed += 1;
        // Those that were under way together fail together: they count once.
        if self.rest_until.is_some_and(|until| now < until) {
            return;
        }
        self.open_failures = self.open_failures.saturating_add(1);
        self.rest_until = self.open_failures.checked_sub(2).and_then(|doublings| {
            let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
            now.checked_add(OPEN_REST_MIN.saturating_mul(factor).min(OPEN_REST_MAX))
        });
    }

    /// A connection has ended by itself, with all exchanges on it; says to which server it went,
    /// if the pool still had it. Its exchanges are not to be released.
    pub fn closed(&mut self, connection: C, cause: CloseCause) -> Option<usize> {
        let place = self.place(connection)?;
        self.remove(place, cause).map(|closing| closing.server)
    }

    /// An exchange has ended on `connection`, which is to be closed if it comes back.
    pub fn release(&mut self, connection: C, now: Instant, reuse: Reuse) -> Option<Closing<C>> {
        let place = self.place(connection)?;
        let order = self.next_order();
        let is_surplus = self.total() > self.share;
        let max_age = self.options.max_age;
        let connection = &mut self.connections[place];
        connection.in_use = connection.in_use.saturating_sub(1);
        connection.last = now;
        connection.order = order;
        if connection.leaving.is_none() {
            connection.leaving = if reuse == Reuse::Close {
                Some(CloseCause::Retired)
            } else if connection.is_over_age(now, max_age) {
                Some(CloseCause::MaxAge)
            } else if is_surplus && connection.in_use == 0 {
                Some(CloseCause::Surplus)
            } else {
                None
            };
        }
        let cause = connection.leaving.filter(|_| connection.in_use == 0)?;
        self.remove(place, cause)
    }

    /// `connection` takes no new exchange. It is to be closed if it comes back, else the release
    /// of its last exchange gives it.
    pub fn retire(&mut self, connection: C) -> Option<Closing<C>> {
        let place = self.place(connection)?;
        self.leave(place, CloseCause::Retired)
    }

    /// The peer allows `limit` exchanges at a time on `connection`. Those above it go on.
    pub fn set_limit(&mut self, connection: C, limit: u32) {
        let limit = limit.min(self.options.capacity);
        if let Some(place) = self.place(connection) {
            self.connections[place].limit = limit;
        }
    }

    /// This core may have `share` connections from now on. Idle ones above it are given to
    /// `closing`, those unused for longest first; busy ones come when they are released.
    pub fn set_share(&mut self, share: u32, closing: &mut Vec<Closing<C>>) {
        self.share = share;
        while self.total() > share
            && let Some(place) = self.longest_idle()
        {
            closing.extend(self.remove(place, CloseCause::Surplus));
        }
    }

    /// Gives to `expired` what time has ended by `now`: waiters whose time is over, idle
    /// connections over the idle timeout as far as `min_idle` allows, and those over their greatest
    /// age. Ones of that age with exchanges take no new ones.
    pub fn expire(&mut self, now: Instant, expired: &mut Vec<Expired<C, W>>) {
        while let Some(first) = self.waiters.front()
            && first.deadline.is_some_and(|deadline| deadline <= now)
        {
            expired.push(Expired::Waiter(first.waiter));
            self.waiters.pop_front();
            self.counters.timed_out += 1;
        }
        let max_age = self.options.max_age;
        self.leave_where(CloseCause::MaxAge, expired, |connection| {
            connection.is_over_age(now, max_age)
        });
        while let Some((place, deadline)) = self.next_idle_timeout()
            && deadline <= now
        {
            let closing = self.remove(place, CloseCause::IdleTimeout);
            expired.extend(closing.map(Expired::Connection));
        }
        self.rest_until = self.rest_until.filter(|&until| now < until);
    }

    /// When [`Self::expire`] has something to do, or openings have rested.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiter = self.waiters.front().and_then(|first| first.deadline);
        let idle = self.next_idle_timeout().map(|(_, deadline)| deadline);
        let age = self.options.max_age.and_then(|age| {
            let staying = self.connections.iter().filter(|c| c.leaving.is_none());
            staying.map(|c| c.opened).min()?.checked_add(age)
        });
        let rest = self.rest_until.filter(|&until| self.wanted(until) > 0);
        [waiter, idle, age, rest].into_iter().flatten().min()
    }

    /// Ends the pool: gives all waiters and idle connections to `expired`; the others come when
    /// they are released. Every later checkout is refused.
    pub fn shut_down(&mut self, expired: &mut Vec<Expired<C, W>>) {
        self.is_shut_down = true;
        expired.extend(self.waiters.drain(..).map(|entry| Expired::Waiter(entry.waiter)));
        self.leave_where(CloseCause::Shutdown, expired, |_| true);
    }

    /// Whether `connection` has no exchange: then bytes on it are nobody's, and it is
    /// [`CloseCause::Stale`].
    #[must_use]
    pub fn is_idle(&self, connection: C) -> bool {
        self.connections.iter().any(|c| c.id == connection && c.is_idle())
    }

    /// Openings that failed since the last one that did not; those that failed together count
    /// once. So a caller can tell waiters early that nothing answers ([`Self::pop_waiter`]).
    #[must_use]
    pub const fn open_failures(&self) -> u32 {
        self.open_failures
    }

    /// What there is now.
    #[must_use]
    pub fn gauges(&self) -> PoolGauges {
        let idle = self.connections.iter().filter(|c| c.in_use == 0).count();
        PoolGauges {
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
            in_use: u32::try_from(self.connections.len() - idle).unwrap_or(u32::MAX),
            waiting: self.waiters.len(),
            opening: self.opening,
            share: self.share,
        }
    }

    /// What was done so far.
    #[must_use]
    pub const fn counters(&self) -> &PoolCounters {
        &self.counters
    }

    /// Connections that stand or are being opened: never more than the share by opening.
    #[must_use]
    pub fn total(&self) -> u32 {
        u32::try_from(self.connections.len()).unwrap_or(u32::MAX).saturating_add(self.opening)
    }

    /// Puts one more exchange on the best connection with room.
    fn take(&mut self, now: Instant) -> Option<C> {
        let max_age = self.options.max_age;
        let best = self
            .connections
            .iter_mut()
            .filter(|c| c.in_use < c.limit && c.is_usable(now, max_age))
            .min_by_key(|c| (c.in_use, Reverse(c.order)))?;
        best.in_use += 1;
        self.counters.reused += u64::from(best.used);
        best.used = true;
        Some(best.id)
    }

    /// Exchanges that `connection` may have before another one is opened.
    fn room(&self, connection: &Connection<C>) -> u32 {
        connection.limit.min(self.options.spread_at)
    }

    fn is_spare(&self, connection: &Connection<C>) -> bool {
        connection.in_use < self.room(connection)
    }

    /// The idle connection whose time is over first, unless `min_idle` keeps it.
    fn next_idle_timeout(&self) -> Option<(usize, Instant)> {
        let staying = self.connections.iter().filter(|c| c.leaving.is_none());
        let spare = staying.filter(|c| self.is_spare(c)).count();
        let kept = usize::try_from(self.options.min_idle).unwrap_or(usize::MAX);
        let place = self.longest_idle().filter(|_| spare > kept)?;
        Some((place, self.connections[place].last.checked_add(self.options.idle_timeout)?))
    }

    fn longest_idle(&self) -> Option<usize> {
        let idle = self.connections.iter().enumerate().filter(|(_, c)| c.is_idle());
        idle.min_by_key(|(_, c)| c.order).map(|(place, _)| place)
    }

    fn place(&self, connection: C) -> Option<usize> {
        self.connections.iter().position(|c| c.id == connection)
    }

    /// Has the connection take no new exchange; it comes back if it has none now.
    fn leave(&mut self, place: usize, cause: CloseCause) -> Option<Closing<C>> {
        let connection = &mut self.connections[place];
        let cause = *connection.leaving.get_or_insert(cause);
        if connection.in_use == 0 { self.remove(place, cause) } else { None }
    }

    fn leave_where(
        &mut self,
        cause: CloseCause,
        expired: &mut Vec<Expired<C, W>>,
        choose: impl Fn(&Connection<C>) -> bool,
    ) {
        // From the back, so that a removal moves only what was already looked at.
        for place in (0..self.connections.len()).rev() {
            if choose(&self.connections[place]) {
                expired.extend(self.leave(place, cause).map(Expired::Connection));
            }
        }
    }

    fn remove(&mut self, place: usize, cause: CloseCause) -> Option<Closing<C>> {
        let removed = self.connections.swap_remove(place);
        self.counters.closed[cause.index()] += 1;
        Some(Closing { connection: removed.id, server: removed.server, cause })
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }
}
