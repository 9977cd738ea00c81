//! The connections of one upstream on one worker: who may use which, who waits, which are closed.
//!
//! A connection carries one exchange at a time (HTTP/1.1) or many (the framed protocol): its
//! *capacity*. How many there may be is the worker's [`ConnectionQuota`]: its part of a maximum of
//! the whole process.

mod quota;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::quota::{Ask, ConnectionQuota, Grant};

/// Exchanges of one moment that go to one connection before the least loaded one is looked for.
const STREAK: u32 = 32;

/// How connections are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// Idle connections that are kept however long they are idle, and opened ahead of need.
    pub min_idle: u32,
    /// Exchanges that one connection carries at a time, unless [`Pool::set_capacity`] says less.
    pub capacity: u32,
    /// When every connection carries so many, another one is opened as well; at least 1.
    pub spread_at: u32,
    /// A connection that was idle for so long is closed.
    pub idle_timeout: Duration,
    /// A connection of this age takes no new exchange.
    pub max_age: Option<Duration>,
    /// Exchanges that may wait for a connection.
    pub queue_max: usize,
    /// How long they may.
    pub queue_timeout: Duration,
}

/// What an exchange gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkout<C> {
    /// This connection.
    Use(C),
    /// A place in the queue: [`Pool::next_ready`] or [`Pool::expire`] will name it.
    Wait,
    /// Nothing: the queue is full.
    Refused,
}

/// Why a connection left the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// It was idle for long.
    IdleTimeout,
    /// It was old.
    MaxAge,
    /// The server closed it, or sent what nobody had asked for, while it was idle.
    Stale,
    /// It was lost with exchanges on it.
    Failed,
    /// The server goes away.
    Retired,
    /// Another worker needs the place.
    Lent,
    /// The server ends, or nobody uses the upstream any more.
    Shutdown,
}

impl CloseCause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::IdleTimeout,
        Self::MaxAge,
        Self::Stale,
        Self::Failed,
        Self::Retired,
        Self::Lent,
        Self::Shutdown,
    ];

    /// The label of the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle_timeout",
            Self::MaxAge => "max_age",
            Self::Stale => "stale",
            Self::Failed => "failed",
            Self::Retired => "retired",
            Self::Lent => "lent",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired<C, W> {
    /// Nobody served it in time.
    Waiter(W),
    /// It is no longer in the pool, and to be closed.
    Connection(C),
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolGauges {
    /// Connections that carry nothing.
    pub idle: u32,
    /// Connections that carry something.
    pub in_use: u32,
    /// Connections that are being made.
    pub opening: u32,
    /// Exchanges that wait.
    pub waiting: u32,
}

impl PoolGauges {
    /// Adds another pool's.
    pub const fn add(&mut self, other: Self) {
        self.idle += other.idle;
        self.in_use += other.in_use;
        self.opening += other.opening;
        self.waiting += other.waiting;
    }
}

/// What was counted since the pool was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolCounters {
    /// Connections that stood.
    pub created: u64,
    /// Exchanges that got a connection which had carried one before.
    pub reused: u64,
    /// Exchanges that got a connection at once.
    pub hits: u64,
    /// Exchanges that had to wait for one.
    pub misses: u64,
    /// Exchanges that found the queue full.
    pub refused: u64,
    /// Exchanges that waited too long.
    pub timed_out: u64,
    /// Connections that left, in the order of [`CloseCause::ALL`].
    pub closed: [u64; CloseCause::ALL.len()],
}

impl PoolCounters {
    /// Adds another pool's.
    pub fn add(&mut self, other: &Self) {
        self.created += other.created;
        self.reused += other.reused;
        self.hits += other.hits;
        self.misses += other.misses;
        self.refused += other.refused;
        self.timed_out += other.timed_out;
        for (sum, one) in self.closed.iter_mut().zip(other.closed) {
            *sum += one;
        }
    }
}

/// One connection.
#[derive(Debug, Clone, Copy)]
struct Entry<C> {
    connection: C,
    carries: u32,
    capacity: u32,
    opened: Instant,
    /// Since when it carries what it carries.
    since: Instant,
    used: bool,
    /// It takes no new exchange, and closes after its last one.
    retiring: Option<CloseCause>,
}

impl<C> Entry<C> {
    const fn has_room(&self) -> bool {
        self.retiring.is_none() && self.carries < self.capacity
    }

    const fn take(&mut self, now: Instant) {
        self.carries += 1;
        self.since = now;
        self.used = true;
    }
}

/// The connections of one upstream on one worker. Decides; the session opens and closes sockets.
/// `C` names a connection, `W` an exchange.
///
/// Calling order: [`Pool::checkout`] for each exchange, [`Pool::release`] when it is done; as often
/// as [`Pool::needs`] says, a connection is made between [`Pool::begin_open`] and [`Pool::opened`]
/// or [`Pool::open_failed`]; after a release or an opening, [`Pool::next_ready`] until it says
/// `None`;
/// [`Pool::expire`] at [`Pool::next_deadline`]. Finding a connection takes a step for each of them:
/// a worker has few of them per upstream.
#[derive(Debug)]
pub struct Pool<C, W> {
    options: PoolOptions,
    entries: Vec<Entry<C>>,
    opening: u32,
    waiters: VecDeque<(W, Instant)>,
    /// Every connection carried `spread_at` exchanges or more.
    pressed: bool,
    /// The place of the connection that was taken last, and how often more it may be at once.
    streak: Option<(usize, u32, Instant)>,
    counters: PoolCounters,
}

impl<C: Copy + Eq, W: Copy + Eq> Pool<C, W> {
    /// No connection yet.
    #[must_use]
    pub const fn new(options: PoolOptions) -> Self {
        Self {
            options,
            entries: Vec::new(),
            opening: 0,
            waiters: VecDeque::new(),
            pressed: false,
            streak: None,
            counters: PoolCounters {
                created: 0,
                reused: 0,
                hits: 0,
                misses: 0,
                refused: 0,
                timed_out: 0,
                closed: [0; CloseCause::ALL.len()],
            },
        }
    }

    /// A connection for `waiter`, or a place in the queue. Nobody overtakes those who wait.
    pub fn checkout(&mut self, waiter: W, now: Instant) -> Checkout<C> {
        let free = if self.waiters.is_empty() { self.take(now) } else { None };
        if let Some(connection) = free {
            self.counters.hits += 1;
            return Checkout::Use(connection);
        }
        if self.waiters.len() >= self.options.queue_max {
            self.counters.refused += 1;
            return Checkout::Refused;
        }
        self.counters.misses += 1;
        self.waiters.push_back((waiter, now + self.options.queue_timeout));
        Checkout::Wait
    }

    /// The next who waited, and the connection that it gets.
    pub fn next_ready(&mut self, now: Instant) -> Option<(W, C)> {
        let (waiter, _) = *self.waiters.front()?;
        let connection = self.take(now)?;
        self.waiters.pop_front();
        Some((waiter, connection))
    }

    /// Somebody waits no longer. Takes a step for each who waits.
    pub fn cancel(&mut self, waiter: &W) {
        self.waiters.retain(|(other, _)| other != waiter);
    }

    /// Takes those out of the queue who wait for nothing any more.
    pub fn retain_waiters(&mut self, mut is_wanted: impl FnMut(&W) -> bool) {
        self.waiters.retain(|(waiter, _)| is_wanted(waiter));
    }

    /// Takes the one who waits longest out of the queue.
    pub fn take_waiter(&mut self) -> Option<W> {
        self.waiters.pop_front().map(|(waiter, _)| waiter)
    }

    /// Those that stand are busy: another one is opened, if there may be one more.
    pub const fn press(&mut self) {
        self.pressed = true;
    }

    /// How many connections to make now, of which there may be `share` in all.
    #[must_use]
    pub fn needs(&self, share: u32) -> u32 {
        let capacity = usize::try_from(self.options.capacity).unwrap_or(usize::MAX).max(1);
        let waiting = u32::try_from(self.waiters.len().div_ceil(capacity)).unwrap_or(u32::MAX);
        let idle = self.gauges().idle;
        let ahead = self.options.min_idle.saturating_sub(idle);
        let wanted = waiting.max(u32::from(self.pressed)).max(ahead);
        wanted.saturating_sub(self.opening).min(share.saturating_sub(self.open()))
    }

    /// Whether somebody waits.
    #[must_use]
    pub fn is_short(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Connections that stand or are being made: never more than the share.
    #[must_use]
    pub fn open(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX).saturating_add(self.opening)
    }

    /// A connection is being made.
    pub const fn begin_open(&mut self) {
        self.opening += 1;
        self.pressed = false;
    }

    /// It stands.
    pub fn opened(&mut self, connection: C, now: Instant) {
        self.opening = self.opening.saturating_sub(1);
        self.counters.created += 1;
        self.entries.push(Entry {
            connection,
            carries: 0,
            capacity: self.options.capacity,
            opened: now,
            since: now,
            used: false,
            retiring: None,
        });
    }

    /// It could not be made.
    pub const fn open_failed(&mut self) {
        self.opening = self.opening.saturating_sub(1);
    }

    /// A connection carries no more than so many exchanges.
    pub fn set_capacity(&mut self, connection: C, capacity: u32) {
        if let Some(entry) = self.entry(connection) {
            entry.capacity = capacity.max(1);
        }
    }

    /// An exchange on a connection is done. False when the connection is no longer in the pool,
    /// and to be closed.
    #[must_use]
    pub fn release(&mut self, connection: C, now: Instant) -> bool {
        let Some(at) = self.entries.iter().position(|entry| entry.connection == connection) else {
            return false;
        };
        let max_age = self.options.max_age;
        let Some(entry) = self.entries.get_mut(at) else { return false };
        entry.carries = entry.carries.saturating_sub(1);
        entry.since = now;
        if max_age.is_some_and(|most| now.saturating_duration_since(entry.opened) >= most) {
            entry.retiring.get_or_insert(CloseCause::MaxAge);
        }
        match entry.retiring {
            Some(cause) if entry.carries == 0 => {
                self.forget(at, cause);
                false
            }
            Some(_) | None => true,
        }
    }

    /// A connection takes no new exchange. False when it carries none: it is no longer in the
    /// pool, and to be closed.
    #[must_use]
    pub fn retire(&mut self, connection: C, cause: CloseCause) -> bool {
        let Some(at) = self.entries.iter().position(|entry| entry.connection == connection) else {
            return false;
        };
        if let Some(entry) = self.entries.get_mut(at).filter(|entry| entry.carries > 0) {
            entry.retiring = Some(cause);
            return true;
        }
        self.forget(at, cause);
        false
    }

    /// How many exchanges a connection carries.
    #[must_use]
    pub fn carries(&self, connection: C) -> u32 {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.connection == connection).map_or(0, |entry| entry.carries)
    }

    /// Whether a connection takes no new exchange.
    #[must_use]
    pub fn is_retiring(&self, connection: C) -> bool {
        let entry = self.entries.iter().find(|entry| entry.connection == connection);
        entry.is_some_and(|entry| entry.retiring.is_some())
    }

    /// A connection is lost, or was closed for a reason of the session's.
    pub fn closed(&mut self, connection: C, cause: CloseCause) {
        if let Some(at) = self.entries.iter().position(|entry| entry.connection == connection) {
            let idle = self.entries.get(at).is_some_and(|entry| entry.carries == 0);
            let stale = idle && cause == CloseCause::Failed;
            self.forget(at, if stale { CloseCause::Stale } else { cause });
        }
    }

    /// Takes an idle connection out, to lend its place to another worker; it is to be closed.
    pub fn take_idle(&mut self, cause: CloseCause) -> Option<C> {
        let idle = |entry: &&Entry<C>| entry.carries == 0;
        let oldest = self.entries.iter().filter(idle).min_by_key(|entry| entry.since)?.connection;
        self.closed(oldest, cause);
        Some(oldest)
    }

    /// Takes out what is over, into `expired`.
    pub fn expire(&mut self, now: Instant, expired: &mut Vec<Expired<C, W>>) {
        while let Some((waiter, deadline)) = self.waiters.front().copied() {
            if deadline > now {
                break;
            }
            self.waiters.pop_front();
            self.counters.timed_out += 1;
            expired.push(Expired::Waiter(waiter));
        }
        let mut at = 0;
        while let Some(entry) = self.entries.get(at).copied() {
            match self.over(&entry, now) {
                Some(cause) => {
                    self.forget(at, cause);
                    expired.push(Expired::Connection(entry.connection));
                }
                None => at += 1,
            }
        }
    }

    /// When something is over, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiter = self.waiters.front().map(|(_, deadline)| *deadline);
        let surplus = self.gauges().idle > self.options.min_idle;
        let idle = self.entries.iter().filter(|entry| entry.carries == 0).map(|entry| {
            let idle = surplus.then(|| entry.since + self.options.idle_timeout);
            let old = self.options.max_age.map(|age| entry.opened + age);
            idle.into_iter().chain(old).min()
        });
        waiter.into_iter().chain(idle.flatten()).min()
    }

    /// How many there are.
    #[must_use]
    pub fn gauges(&self) -> PoolGauges {
        let count = |entries: usize| u32::try_from(entries).unwrap_or(u32::MAX);
        let idle = self.entries.iter().filter(|entry| entry.carries == 0).count();
        PoolGauges {
            idle: count(idle),
            in_use: count(self.entries.len() - idle),
            opening: self.opening,
            waiting: count(self.waiters.len()),
        }
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> &PoolCounters {
        &self.counters
    }

    /// Takes a place on the connection that carries the fewest exchanges; of idle ones, on the one
    /// that was used last, so that a surplus stays idle and is closed.
    /// Exchanges of one moment go together, a few at a time: so their frames leave in one send, and
    /// their answers come back in order.
    fn take(&mut self, now: Instant) -> Option<C> {
        if let Some(connection) = self.take_again(now) {
            return Some(connection);
        }
        let free = self.entries.iter_mut();
        let free = free.filter(|entry| entry.has_room());
        let best = free.min_by_key(|entry| (entry.carries, std::cmp::Reverse(entry.since)));
        let Some(best) = best else {
            self.pressed = true;
            return None;
        };
        self.pressed |= best.carries >= self.options.spread_at.max(1);
        let connection = best.connection;
        self.counters.reused += u64::from(best.used);
        best.take(now);
        let at = self.entries.iter().position(|entry| entry.connection == connection);
        self.streak = at.map(|at| (at, STREAK - 1, now));
        Some(connection)
    }

    /// The connection that was taken last, at the same moment.
    fn take_again(&mut self, now: Instant) -> Option<C> {
        let (at, left, when) = self.streak.filter(|(_, left, when)| *left > 0 && *when == now)?;
        let most = self.options.spread_at;
        let calm = |entry: &&mut Entry<C>| entry.has_room() && entry.carries < most;
        let entry = self.entries.get_mut(at).filter(calm)?;
        self.streak = Some((at, left - 1, when));
        self.counters.reused += 1;
        entry.take(now);
        Some(entry.connection)
    }

    fn entry(&mut self, connection: C) -> Option<&mut Entry<C>> {
        self.entries.iter_mut().find(|entry| entry.connection == connection)
    }

    /// Why a connection is to be closed now.
    fn over(&self, entry: &Entry<C>, now: Instant) -> Option<CloseCause> {
        if entry.carries > 0 {
            return None;
        }
        let age = now.saturating_duration_since(entry.opened);
        if self.options.max_age.is_some_and(|most| age >= most) {
            return Some(CloseCause::MaxAge);
        }
        let idle = now.saturating_duration_since(entry.since);
        let surplus = self.gauges().idle > self.options.min_idle;
        (surplus && idle >= self.options.idle_timeout).then_some(CloseCause::IdleTimeout)
    }

    fn forget(&mut self, at: usize, cause: CloseCause) {
        self.entries.swap_remove(at);
        self.streak = None;
        self.counters.closed[cause as usize] += 1;
    }
}

#[cfg(test)]
mod tests;
