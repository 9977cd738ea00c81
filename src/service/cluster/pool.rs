//! The connections of one upstream on one worker: who may use which, who waits, which are closed.
//!
//! A connection carries one exchange at a time (HTTP/1.1) or many (the framed protocol): its
//! *capacity*. How many there may be is the worker's [`ConnectionQuota`]: its part of a maximum of
//! the whole process.

mod counts;
mod quota;
mod waiters;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

pub use self::counts::{CloseCause, PoolCounters, PoolGauges};
pub use self::quota::{Ask, ConnectionQuota, Grant};
use self::waiters::Waiters;
use super::order::{IndexedHeap, List};
use super::random::Mixing;

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

/// What is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired<C, W> {
    /// Nobody served it in time.
    Waiter(W),
    /// It is no longer in the pool, and to be closed.
    Connection(C),
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
    /// It is among the idle ones.
    listed: bool,
    /// It is among those whose age is watched.
    watched: bool,
    /// It takes no new exchange, and closes after its last one.
    retiring: Option<CloseCause>,
}

impl<C> Entry<C> {
    const fn has_room(&self) -> bool {
        self.retiring.is_none() && self.carries < self.capacity
    }
}

/// The connections of one upstream on one worker. Decides; the session opens and closes sockets.
/// `C` names a connection, `W` an exchange.
///
/// Calling order: [`Pool::checkout`] for each exchange, [`Pool::release`] when it is done; as often
/// as [`Pool::needs`] says, a connection is made between [`Pool::begin_open`] and [`Pool::opened`]
/// or [`Pool::open_failed`]; after a release or an opening, [`Pool::next_ready`] until it says
/// `None`; [`Pool::expire`] at [`Pool::next_deadline`]. Each takes a constant number of steps, or a
/// logarithmic one where connections carry many exchanges, and one for each that it names.
#[derive(Debug)]
pub struct Pool<C, W> {
    options: PoolOptions,
    entries: Vec<Option<Entry<C>>>,
    /// Places of `entries` that are free.
    spare: Vec<usize>,
    /// Where each connection stands.
    places: HashMap<C, usize, Mixing>,
    /// Connections that carry nothing, the one that was used last first.
    idle: List,
    /// Connections that carry something and have room, by how many they carry; of equals, the one
    /// that was used last first.
    sharing: IndexedHeap<(u32, Reverse<u64>)>,
    /// Connections by their age, the oldest first, but for those that take no new exchange because
    /// of it.
    aging: List,
    /// Uses of connections so far.
    uses: u64,
    opening: u32,
    waiters: Waiters<W>,
    /// Every connection carried `spread_at` exchanges or more.
    pressed: bool,
    /// The place of the connection that was taken last, and how often more it may be at once.
    streak: Option<(usize, u32, Instant)>,
    /// Nothing is kept for later exchanges.
    keeps_none: bool,
    counters: PoolCounters,
}

impl<C: Copy + Eq + Hash, W: Copy + Eq + Hash> Pool<C, W> {
    /// No connection yet.
    #[must_use]
    pub fn new(options: PoolOptions) -> Self {
        Self {
            options,
            entries: Vec::new(),
            spare: Vec::new(),
            places: HashMap::default(),
            idle: List::default(),
            sharing: IndexedHeap::default(),
            aging: List::default(),
            uses: 0,
            opening: 0,
            waiters: Waiters::default(),
            pressed: false,
            streak: None,
            keeps_none: false,
            counters: PoolCounters::default(),
        }
    }

    /// From now on nothing is kept for later exchanges: no connection is opened ahead of need, and
    /// one that carries nothing more leaves when it is released, unless an exchange waits for it.
    /// Those that are idle already are there until [`Pool::take_idle`].
    pub const fn keep_none(&mut self) {
        self.keeps_none = true;
        self.options.min_idle = 0;
    }

    /// Whether [`Pool::keep_none`] was called.
    #[must_use]
    pub const fn keeps_none(&self) -> bool {
        self.keeps_none
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
        self.waiters.push(waiter, now + self.options.queue_timeout);
        Checkout::Wait
    }

    /// The next that waited, and the connection that it gets.
    pub fn next_ready(&mut self, now: Instant) -> Option<(W, C)> {
        self.waiters.next_deadline()?;
        let connection = self.take(now)?;
        let waiter = self.waiters.pop()?;
        Some((waiter, connection))
    }

    /// An exchange waits no longer.
    pub fn cancel(&mut self, waiter: &W) {
        self.waiters.remove(waiter);
    }

    /// Takes the exchange that waits longest out of the queue.
    pub fn take_waiter(&mut self) -> Option<W> {
        self.waiters.pop()
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
        let ahead = self.options.min_idle.saturating_sub(count(self.idle.len()));
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
        count(self.places.len()).saturating_add(self.opening)
    }

    /// A connection is being made.
    pub const fn begin_open(&mut self) {
        self.opening += 1;
        self.pressed = false;
    }

    /// It stands.
    pub fn opened(&mut self, connection: C, now: Instant) {
        self.enter(connection, (0, self.options.capacity), now);
    }

    /// It stands, and carries the exchange that it was made for, and no other beside it.
    pub fn opened_alone(&mut self, connection: C, now: Instant) {
        self.enter(connection, (1, 1), now);
    }

    fn enter(&mut self, connection: C, (carries, capacity): (u32, u32), now: Instant) {
        self.opening = self.opening.saturating_sub(1);
        self.counters.created += 1;
        let entry = Entry {
            connection,
            carries,
            capacity,
            opened: now,
            since: now,
            used: carries > 0,
            listed: false,
            watched: self.options.max_age.is_some(),
            retiring: None,
        };
        let at = self.spare.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.entries[at] = Some(entry);
        let before = self.places.insert(connection, at);
        debug_assert!(before.is_none(), "a connection is opened once");
        if entry.watched {
            self.aging.push_last(at);
        }
        self.arrange(at);
    }

    /// It could not be made.
    pub const fn open_failed(&mut self) {
        self.opening = self.opening.saturating_sub(1);
    }

    /// Connections that are opened from now on carry so many exchanges at a time: the server has
    /// shown that its connections do.
    pub fn share(&mut self, capacity: u32) {
        self.options.capacity = capacity.max(1);
    }

    /// Limits the exchanges of a connection. With 0 it takes no new ones.
    pub fn set_capacity(&mut self, connection: C, capacity: u32) {
        if let Some((at, entry)) = self.find(connection) {
            entry.capacity = capacity;
            self.sharing.remove(at);
            self.arrange(at);
        }
    }

    /// An exchange on a connection is done. False when the connection is no longer in the pool,
    /// and to be closed.
    #[must_use]
    pub fn release(&mut self, connection: C, now: Instant) -> bool {
        let max_age = self.options.max_age;
        let is_unwanted = self.keeps_none && self.waiters.is_empty();
        let Some((at, entry)) = self.find(connection) else { return false };
        entry.carries = entry.carries.saturating_sub(1);
        entry.since = now;
        if max_age.is_some_and(|most| now.saturating_duration_since(entry.opened) >= most) {
            entry.retiring.get_or_insert(CloseCause::MaxAge);
        }
        if is_unwanted && entry.carries == 0 {
            entry.retiring.get_or_insert(CloseCause::Retired);
        }
        match entry.retiring {
            Some(cause) if entry.carries == 0 => {
                self.forget(at, cause);
                false
            }
            Some(_) | None => {
                self.arrange(at);
                true
            }
        }
    }

    /// A connection takes no new exchange. False when it carries none: it is no longer in the
    /// pool, and to be closed.
    #[must_use]
    pub fn retire(&mut self, connection: C, cause: CloseCause) -> bool {
        let Some((at, entry)) = self.find(connection) else { return false };
        if entry.carries > 0 {
            entry.retiring = Some(cause);
            self.arrange(at);
            return true;
        }
        self.forget(at, cause);
        false
    }

    /// How many exchanges a connection carries.
    #[must_use]
    pub fn carries(&self, connection: C) -> u32 {
        self.get(connection).map_or(0, |entry| entry.carries)
    }

    /// Whether a connection takes no new exchange.
    #[must_use]
    pub fn is_retiring(&self, connection: C) -> bool {
        self.get(connection).is_some_and(|entry| entry.retiring.is_some())
    }

    /// A connection is lost, or was closed for a reason of the session's.
    pub fn closed(&mut self, connection: C, cause: CloseCause) {
        if let Some((at, entry)) = self.find(connection) {
            let stale = entry.carries == 0 && cause == CloseCause::Failed;
            self.forget(at, if stale { CloseCause::Stale } else { cause });
        }
    }

    /// Takes the connection out that is idle for longest, to lend its place to another worker; it
    /// is to be closed.
    pub fn take_idle(&mut self, cause: CloseCause) -> Option<C> {
        let at = self.idle.last()?;
        let oldest = self.entries[at].as_ref()?.connection;
        self.forget(at, cause);
        Some(oldest)
    }

    /// Takes out what is over, into `expired`.
    pub fn expire(&mut self, now: Instant, expired: &mut Vec<Expired<C, W>>) {
        while self.waiters.next_deadline().is_some_and(|deadline| deadline <= now) {
            let Some(waiter) = self.waiters.pop() else { break };
            self.counters.timed_out += 1;
            expired.push(Expired::Waiter(waiter));
        }
        while let Some((at, due)) = self.oldest()
            && due <= now
        {
            self.aging.remove(at);
            let Some(entry) = self.entries[at].as_mut() else { continue };
            entry.watched = false;
            let connection = entry.connection;
            if !self.retire(connection, CloseCause::MaxAge) {
                expired.push(Expired::Connection(connection));
            }
        }
        while let Some((at, due)) = self.surplus()
            && due <= now
        {
            let connection = self.entries[at].as_ref().map(|entry| entry.connection);
            expired.extend(connection.map(Expired::Connection));
            self.forget(at, CloseCause::IdleTimeout);
        }
    }

    /// When something is over, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let waiter = self.waiters.next_deadline();
        let [idle, old] = [self.surplus(), self.oldest()].map(|one| one.map(|(_, due)| due));
        [waiter, idle, old].into_iter().flatten().min()
    }

    /// The oldest connection, and when it takes no new exchange.
    fn oldest(&self) -> Option<(usize, Instant)> {
        let (at, age) = self.aging.first().zip(self.options.max_age)?;
        Some((at, self.entries[at].as_ref()?.opened + age))
    }

    /// The connection that is idle for longest, if there are more than are kept, and when it is
    /// closed.
    fn surplus(&self) -> Option<(usize, Instant)> {
        let has_more = count(self.idle.len()) > self.options.min_idle;
        let at = self.idle.last().filter(|_| has_more)?;
        Some((at, self.entries[at].as_ref()?.since + self.options.idle_timeout))
    }

    /// How many there are.
    #[must_use]
    pub fn gauges(&self) -> PoolGauges {
        PoolGauges {
            idle: count(self.idle.len()),
            in_use: count(self.places.len() - self.idle.len()),
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
        let best = self.idle.first().or_else(|| self.sharing.first().map(|(_, at)| at));
        let Some((at, entry)) = best.and_then(|at| Some((at, self.entries[at].as_ref()?))) else {
            self.pressed = true;
            return None;
        };
        self.pressed |= entry.carries >= self.options.spread_at.max(1);
        self.counters.reused += u64::from(entry.used);
        self.streak = Some((at, STREAK - 1, now));
        self.load(at, now)
    }

    /// The connection that was taken last, at the same moment.
    fn take_again(&mut self, now: Instant) -> Option<C> {
        let (at, left, when) = self.streak.filter(|(_, left, when)| *left > 0 && *when == now)?;
        let entry = self.entries[at].as_ref()?;
        if !entry.has_room() || entry.carries >= self.options.spread_at {
            return None;
        }
        self.streak = Some((at, left - 1, when));
        self.counters.reused += 1;
        self.load(at, now)
    }

    /// A connection carries one exchange more.
    fn load(&mut self, at: usize, now: Instant) -> Option<C> {
        let entry = self.entries[at].as_mut()?;
        entry.carries += 1;
        entry.since = now;
        entry.used = true;
        let connection = entry.connection;
        self.arrange(at);
        Some(connection)
    }

    /// Puts a connection among those that it belongs to, as it is now.
    fn arrange(&mut self, at: usize) {
        let Some(entry) = self.entries[at].as_mut() else { return };
        let is_idle = entry.carries == 0 && entry.has_room();
        let was_idle = std::mem::replace(&mut entry.listed, is_idle);
        match (was_idle, is_idle) {
            (false, true) => self.idle.push_first(at),
            (true, false) => self.idle.remove(at),
            (true, true) | (false, false) => {}
        }
        if entry.capacity > 1 {
            self.uses += 1;
            if entry.has_room() && !is_idle {
                self.sharing.set(at, (entry.carries, Reverse(self.uses)));
            } else {
                self.sharing.remove(at);
            }
        }
    }

    fn get(&self, connection: C) -> Option<&Entry<C>> {
        let at = *self.places.get(&connection)?;
        self.entries[at].as_ref()
    }

    fn find(&mut self, connection: C) -> Option<(usize, &mut Entry<C>)> {
        let at = *self.places.get(&connection)?;
        Some((at, self.entries[at].as_mut()?))
    }

    fn forget(&mut self, at: usize, cause: CloseCause) {
        let Some(entry) = self.entries[at].take() else { return };
        if entry.listed {
            self.idle.remove(at);
        }
        if entry.watched {
            self.aging.remove(at);
        }
        self.sharing.remove(at);
        self.places.remove(&entry.connection);
        self.spare.push(at);
        self.streak = None;
        self.counters.closed[cause as usize] += 1;
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
