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
pub struct TimerId {
    index: u32,
    /// Which of the timers that had this place one after the other.
    generation: u32,
}

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
    /// Those that are due and not taken yet, the first and the last.
    due: [u32; 2],
}

#[derive(Debug)]
struct Node<T> {
    value: Option<T>,
    generation: u32,
    /// It is among those that are due, and in no bucket.
    is_due: bool,
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
            due: [NONE; 2],
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
        TimerId { index: id, generation: self.nodes[id as usize].generation }
    }

    /// Disarms a timer that has not fired, be it due already. Nothing happens if it has.
    pub fn cancel(&mut self, id: TimerId) {
        let node = &self.nodes[id.index as usize];
        let is_armed = node.value.is_some() && node.generation == id.generation;
        debug_assert!(is_armed, "a timer that is cancelled was armed");
        if is_armed {
            self.remove(id.index);
        }
    }

    /// Takes a timer out of its list, and frees its place.
    fn remove(&mut self, id: u32) -> Option<T> {
        self.unlink(id);
        let node = &mut self.nodes[id as usize];
        node.generation = node.generation.wrapping_add(1);
        node.following = self.free;
        self.free = id;
        self.len -= 1;
        node.value.take()
    }

    fn unlink(&mut self, id: u32) {
        let node = &self.nodes[id as usize];
        let (tick, previous, following) = (node.tick, node.previous, node.following);
        match (previous, node.is_due) {
            (NONE, true) => self.due[0] = following,
            (NONE, false) => self.buckets[bucket_of(tick)].head = following,
            (_, _) => self.nodes[previous as usize].following = following,
        }
        match (following, self.nodes[id as usize].is_due) {
            (NONE, true) => self.due[1] = previous,
            (NONE, false) => {}
            (_, _) => self.nodes[following as usize].previous = previous,
        }
    }

    /// When to look again: no timer fires before. `None` when none is armed.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.is_empty() || self.next == u64::MAX {
            return None;
        }
        let millis = u64::try_from(TICK.as_millis()).unwrap_or(1).saturating_mul(self.next);
        self.origin.checked_add(Duration::from_millis(millis))
    }

    /// The next timer that is due by the last [`Timers::expire`]. One by one: what one of them
    /// leads to may cancel others.
    pub fn take_due(&mut self) -> Option<T> {
        match self.due[0] {
            NONE => None,
            first => self.remove(first),
        }
    }

    /// Makes all timers due whose time has come.
    pub fn expire(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.origin);
        let current = u64::try_from(elapsed.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX);
        if current < self.next {
            self.done = self.done.max(current);
            return;
        }
        let first = self.next.max(self.done + 1);
        let visited = (current - first + 1).min(BUCKETS as u64);
        for tick in first..first + visited {
            self.expire_bucket(bucket_of(tick), current);
        }
        self.done = current;
        self.next = self.buckets.iter().map(|bucket| bucket.earliest).min().unwrap_or(u64::MAX);
    }

    fn expire_bucket(&mut self, index: usize, current: u64) {
        if self.buckets[index].earliest > current {
            return;
        }
        let mut earliest = u64::MAX;
        let mut id = self.buckets[index].head;
        while id != NONE {
            let node = &self.nodes[id as usize];
            let (tick, following) = (node.tick, node.following);
            if tick <= current {
                self.unlink(id);
                self.append_due(id);
            } else {
                earliest = earliest.min(tick);
            }
            id = following;
        }
        self.buckets[index].earliest = earliest;
    }

    fn append_due(&mut self, id: u32) {
        let last = std::mem::replace(&mut self.due[1], id);
        let node = &mut self.nodes[id as usize];
        (node.is_due, node.previous, node.following) = (true, last, NONE);
        match last {
            NONE => self.due[0] = id,
            _ => self.nodes[last as usize].following = id,
        }
    }

    fn take_node(&mut self, value: T, tick: u64) -> u32 {
        let value = Some(value);
        let (previous, following) = (NONE, NONE);
        let node = Node { value, generation: 0, is_due: false, tick, previous, following };
        if self.free == NONE {
            self.nodes.push(node);
            return u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 timers");
        }
        let id = self.free;
        let place = &mut self.nodes[id as usize];
        self.free = place.following;
        *place = Node { generation: place.generation, ..node };
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
        timers.expire(now);
        std::iter::from_fn(|| timers.take_due()).collect()
    }

    #[test]
    fn a_timer_that_is_due_can_be_cancelled_by_what_another_one_leads_to() {
        let origin = Instant::now();
        let mut timers = Timers::new(origin);
        let ids: Vec<TimerId> = (0..5).map(|n| timers.arm(origin + TICK, n)).collect();
        timers.expire(origin + TICK);
        let first = timers.take_due().unwrap();
        // The first one's handler arms a timer, which may get the place of the first, and cancels
        // two that have not had their turn.
        let fresh = timers.arm(origin + TICK * 2, 9);
        let left: Vec<u32> = (0..5).filter(|n| *n != first).collect();
        timers.cancel(ids[left[0] as usize]);
        timers.cancel(ids[left[3] as usize]);
        let mut due: Vec<u32> = std::iter::from_fn(|| timers.take_due()).collect();
        due.sort_unstable();
        assert_eq!(due, left[1..3]);
        assert_eq!(timers.len(), 1);
        assert_ne!(ids[first as usize], fresh, "an old name is nobody else's");
        assert_eq!(expired(&mut timers, origin + TICK * 2), [9]);
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
        assert!(again.index < 10);
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
