//! A hashed timer wheel: arming and cancelling in constant time.

use std::time::{Duration, Instant};

/// Resolution: a timer fires at its deadline or up to this much later.
pub const TICK: Duration = Duration::from_millis(10);

/// Buckets of the wheel: one revolution is 10.24 s. A later timer is passed over until its
/// revolution comes, which for an idle timeout of ten minutes is sixty times.
const BUCKETS: usize = 1024;
/// No timer.
const NONE: u32 = u32::MAX;

/// Names an armed timer. Spent when the timer fires or is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerId(u32);

/// Timers with a value each. Deadlines are rounded up to the next [`TICK`].
#[derive(Debug)]
pub struct Timers<T> {
    nodes: Vec<Node<T>>,
    free: u32,
    buckets: Box<[Bucket]>,
    origin: Instant,
    /// The last tick that was expired.
    done: u64,
    /// No timer is due before this tick; exact or too early, never too late.
    next: u64,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    value: Option<T>,
    tick: u64,
    previous: u32,
    following: u32,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    head: u32,
    /// No timer in the bucket is due before this tick.
    earliest: u64,
}

impl<T: Copy> Timers<T> {
    /// No timers, at the time `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            nodes: Vec::new(),
            free: NONE,
            buckets: vec![Bucket { head: NONE, earliest: u64::MAX }; BUCKETS].into(),
            origin: now,
            done: 0,
            next: u64::MAX,
            len: 0,
        }
    }

    /// How many timers are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Arms a timer.
    pub fn arm(&mut self, deadline: Instant, value: T) -> TimerId {
        let tick = self.tick_at_or_after(deadline).max(self.done + 1);
        let id = self.take_node(value, tick);
        let bucket = &mut self.buckets[bucket_of(tick)];
        let head = std::mem::replace(&mut bucket.head, id);
        bucket.earliest = bucket.earliest.min(tick);
        self.nodes[id as usize].following = head;
        if head != NONE {
            self.nodes[head as usize].previous = id;
        }
        self.next = self.next.min(tick);
        self.len += 1;
        TimerId(id)
    }

    /// Disarms a timer that has not fired.
    pub fn cancel(&mut self, id: TimerId) {
        let TimerId(id) = id;
        let node = &mut self.nodes[id as usize];
        debug_assert!(node.value.is_some(), "a timer that is cancelled was armed");
        if node.value.take().is_none() {
            return;
        }
        let (tick, previous, following) = (node.tick, node.previous, node.following);
        match previous {
            NONE => self.buckets[bucket_of(tick)].head = following,
            _ => self.nodes[previous as usize].following = following,
        }
        if following != NONE {
            self.nodes[following as usize].previous = previous;
        }
        self.nodes[id as usize].following = self.free;
        self.free = id;
        self.len -= 1;
    }

    /// When to look again: no timer fires before. `None` when none is armed.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.is_empty() || self.next == u64::MAX {
            return None;
        }
        let ticks = u32::try_from(self.next).unwrap_or(u32::MAX);
        Some(self.origin + TICK * ticks)
    }

    /// Takes out all timers that are due, into `due`.
    pub fn expire(&mut self, now: Instant, due: &mut Vec<T>) {
        let elapsed = now.saturating_duration_since(self.origin);
        let current = u64::try_from(elapsed.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
        if current < self.next {
            self.done = self.done.max(current);
            return;
        }
        let first = self.next.max(self.done + 1);
        let visited = (current - first + 1).min(BUCKETS as u64);
        for tick in first..first + visited {
            self.expire_bucket(bucket_of(tick), current, due);
        }
        self.done = current;
        self.next = self.buckets.iter().map(|bucket| bucket.earliest).min().unwrap_or(u64::MAX);
    }

    fn expire_bucket(&mut self, index: usize, current: u64, due: &mut Vec<T>) {
        if self.buckets[index].earliest > current {
            return;
        }
        let mut earliest = u64::MAX;
        let mut id = self.buckets[index].head;
        while id != NONE {
            let node = &self.nodes[id as usize];
            let (tick, following, value) = (node.tick, node.following, node.value);
            if tick <= current {
                due.extend(value);
                self.cancel(TimerId(id));
            } else {
                earliest = earliest.min(tick);
            }
            id = following;
        }
        self.buckets[index].earliest = earliest;
    }

    fn take_node(&mut self, value: T, tick: u64) -> u32 {
        let node = Node { value: Some(value), tick, previous: NONE, following: NONE };
        if self.free == NONE {
            self.nodes.push(node);
            return u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 timers");
        }
        let id = self.free;
        self.free = self.nodes[id as usize].following;
        self.nodes[id as usize] = node;
        id
    }

    fn tick_at_or_after(&self, deadline: Instant) -> u64 {
        let nanos = deadline.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(nanos.div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX - 1)
    }
}

fn bucket_of(tick: u64) -> usize {
    usize::try_from(tick % BUCKETS as u64).unwrap_or(0)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    fn expired(timers: &mut Timers<u32>, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        timers.expire(now, &mut due);
        due
    }

    #[test]
    fn a_timer_fires_at_its_deadline_and_not_before() {
        let origin = Instant::now();
        let mut timers = Timers::new(origin);
        assert_eq!(timers.next(), None);
        timers.arm(origin + TICK * 3, 3);
        timers.arm(origin + TICK * 5000, 5000);
        assert_eq!(timers.next(), Some(origin + TICK * 3));
        assert!(expired(&mut timers, origin + TICK * 2).is_empty());
        assert_eq!(expired(&mut timers, origin + TICK * 3), [3]);
        assert_eq!(timers.len(), 1);
        assert_eq!(timers.next(), Some(origin + TICK * 5000));
        assert!(expired(&mut timers, origin + TICK * 4999).is_empty());
        assert_eq!(expired(&mut timers, origin + TICK * 5000), [5000]);
        assert!(timers.is_empty());
    }

    #[test]
    fn a_cancelled_timer_does_not_fire_and_its_place_is_reused() {
        let origin = Instant::now();
        let mut timers = Timers::new(origin);
        let ids: Vec<TimerId> = (0..10).map(|n| timers.arm(origin + TICK, n)).collect();
        for id in ids.iter().step_by(2) {
            timers.cancel(*id);
        }
        let again = timers.arm(origin + TICK * 2, 99);
        assert!(again.0 < 10);
        let mut due = expired(&mut timers, origin + TICK);
        due.sort_unstable();
        assert_eq!(due, [1, 3, 5, 7, 9]);
        assert_eq!(expired(&mut timers, origin + TICK * 2), [99]);
    }

    #[test]
    fn a_past_deadline_fires_at_the_next_tick() {
        let origin = Instant::now();
        let mut timers = Timers::new(origin);
        assert!(expired(&mut timers, origin + TICK * 7).is_empty());
        timers.arm(origin, 1);
        assert_eq!(expired(&mut timers, origin + TICK * 8), [1]);
    }

    #[test]
    fn a_long_pause_fires_all_that_is_due_and_only_that() {
        let origin = Instant::now();
        let mut timers = Timers::new(origin);
        for n in 0..20_000 {
            timers.arm(origin + TICK * (n + 1), n);
        }
        let mut due = expired(&mut timers, origin + TICK * 10_000);
        due.sort_unstable();
        assert_eq!(due, (0..10_000).collect::<Vec<u32>>());
        assert_eq!(timers.next(), Some(origin + TICK * 10_001));
    }

    #[test]
    fn random_timers_match_a_sorted_list() {
        let origin = Instant::now();
        let mut timers = Timers::new(origin);
        let mut model: Vec<(u64, u32, TimerId)> = Vec::new();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut now = 0;
        for n in 0..50_000 {
            match random(4) {
                0 | 1 => {
                    let tick = now + 1 + random(3000);
                    let deadline = origin + TICK * u32::try_from(tick).unwrap();
                    model.push((tick, n, timers.arm(deadline, n)));
                }
                2 if !model.is_empty() => {
                    let at = usize::try_from(random(model.len() as u64)).unwrap();
                    timers.cancel(model.swap_remove(at).2);
                }
                _ => {
                    now += random(40);
                    let mut due = expired(&mut timers, origin + TICK * u32::try_from(now).unwrap());
                    due.sort_unstable();
                    let mut expected: Vec<u32> =
                        model.iter().filter(|t| t.0 <= now).map(|t| t.1).collect();
                    expected.sort_unstable();
                    assert_eq!(due, expected);
                    model.retain(|t| t.0 > now);
                }
            }
            assert_eq!(timers.len(), model.len());
            if let Some(first) = model.iter().map(|t| t.0).min() {
                let first = origin + TICK * u32::try_from(first).unwrap();
                assert!(timers.next().unwrap() <= first);
            }
        }
    }
}
