//! What waits for one subscriber: messages that its connection has not taken, within bounds.

use std::collections::VecDeque;

/// Default of [`QueueLimits::bytes`]: bytes of messages that wait for one subscriber at most.
pub const QUEUE_BYTES: usize = 256 * 1024;
/// Default of [`QueueLimits::messages`]: messages that wait for one subscriber at most.
pub const QUEUE_MAX: usize = 1024;
/// The close code for a subscriber that is too slow, with [`Policy::Close`]: try again later
/// (registered by IANA for RFC 6455, section 7.4).
pub const CLOSE_TOO_SLOW: u16 = 1013;

/// What something that waits costs.
pub trait Cost {
    /// Bytes.
    fn cost(&self) -> usize;
}

/// What is done when a subscriber's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The messages that waited longest are dropped. The subscriber gets the latest.
    #[default]
    DropOldest,
    /// The new message is dropped.
    DropNewest,
    /// The subscriber's connection is closed, with [`CLOSE_TOO_SLOW`].
    Close,
}

/// How much may wait for one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimits {
    /// Bytes of messages. One message waits whatever its size, so that it is delivered at all.
    pub bytes: usize,
    /// Messages.
    pub messages: usize,
    /// What is done beyond that.
    pub policy: Policy,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { bytes: QUEUE_BYTES, messages: QUEUE_MAX, policy: Policy::default() }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, or was sent at once, and nothing was dropped.
    Queued,
    /// It waits, and so many older messages were dropped.
    DroppedOldest(usize),
    /// It was dropped.
    DroppedNewest,
    /// The connection is to be closed with [`CLOSE_TOO_SLOW`]. Nothing waits any more.
    Close,
}

/// What the connection sends next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken<M> {
    /// A notice: so many messages were dropped since the last one.
    Dropped(u32),
    /// A message.
    Message(M),
}

/// Messages that wait for one subscriber, as handles that are shared with others. Without any it
/// holds no memory on the heap.
#[derive(Debug)]
pub struct Queue<M> {
    waiting: VecDeque<M>,
    bytes: usize,
    /// Messages that were dropped, of which the subscriber was not told yet.
    dropped: u32,
}

impl<M> Default for Queue<M> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, dropped: 0 }
    }
}

impl<M: Clone + Cost> Queue<M> {
    /// Whether there is nothing to send, not even a notice.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of the messages that wait.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message, within the limits. The handle is cloned only if it waits.
    pub fn push(&mut self, message: &M, limits: QueueLimits) -> Pushed {
        if self.has_room(message, limits) {
            self.add(message);
            return Pushed::Queued;
        }
        match limits.policy {
            Policy::DropOldest => {
                let mut dropped = 0;
                while !self.has_room(message, limits) && self.remove_first().is_some() {
                    dropped += 1;
                }
                self.note_dropped(dropped);
                self.add(message);
                Pushed::DroppedOldest(dropped)
            }
            Policy::DropNewest => {
                self.note_dropped(1);
                Pushed::DroppedNewest
            }
            Policy::Close => {
                *self = Self::default();
                Pushed::Close
            }
        }
    }

    /// Whether a message of about so many bytes has room.
    #[must_use]
    pub fn has_room_for(&self, bytes: usize, limits: QueueLimits) -> bool {
        self.waiting.is_empty()
            || self.waiting.len() < limits.messages
                && self.bytes.saturating_add(bytes) <= limits.bytes
    }

    /// Adds a retained message if it has room, and returns whether it has, regardless of the
    /// policy: a new subscription neither drops what waits nor closes the connection.
    pub fn push_retained(&mut self, message: &M, limits: QueueLimits) -> bool {
        let has_room = self.has_room(message, limits);
        if has_room {
            self.add(message);
        }
        has_room
    }

    /// So many messages were not delivered, for another reason than the limits.
    pub fn note_dropped(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.dropped = self.dropped.saturating_add(count);
    }

    /// Takes what is sent next: a notice of what was dropped, then messages in their order.
    pub fn take(&mut self) -> Option<Taken<M>> {
        if self.dropped > 0 {
            return Some(Taken::Dropped(std::mem::take(&mut self.dropped)));
        }
        let first = self.remove_first()?;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(Taken::Message(first))
    }

    fn has_room(&self, message: &M, limits: QueueLimits) -> bool {
        self.has_room_for(message.cost(), limits)
    }

    fn add(&mut self, message: &M) {
        self.bytes = self.bytes.saturating_add(message.cost());
        self.waiting.push_back(message.clone());
    }

    fn remove_first(&mut self) -> Option<M> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.cost();
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Random;
    use super::*;
    use crate::mem::Buf;

    /// A number, and bytes that it says it has.
    #[derive(Debug, Clone, PartialEq, Eq)]
    struct Message(u32, usize);

    impl Cost for Message {
        fn cost(&self) -> usize {
            self.1
        }
    }

    const LIMITS: QueueLimits = QueueLimits { bytes: 100, messages: 3, policy: Policy::DropOldest };

    fn drain(queue: &mut Queue<Message>) -> Vec<Taken<Message>> {
        std::iter::from_fn(|| queue.take()).collect()
    }

    fn message(number: u32) -> Taken<Message> {
        Taken::Message(Message(number, 10))
    }

    #[test]
    fn the_oldest_are_dropped_and_the_subscriber_is_told() {
        let mut queue = Queue::default();
        assert!(queue.is_empty());
        for number in 0..3 {
            assert_eq!(queue.push(&Message(number, 10), LIMITS), Pushed::Queued);
        }
        assert_eq!(queue.push(&Message(3, 10), LIMITS), Pushed::DroppedOldest(1));
        assert_eq!(queue.push(&Message(4, 10), LIMITS), Pushed::DroppedOldest(1));
        assert_eq!((queue.len(), queue.bytes()), (3, 30));
        let all = [Taken::Dropped(2), message(2), message(3), message(4)];
        assert_eq!(drain(&mut queue), all);
        assert!(queue.is_empty());
        // Bytes count as well: three are dropped for one.
        for number in 0..3 {
            queue.push(&Message(number, 10), LIMITS);
        }
        assert_eq!(queue.push(&Message(9, 95), LIMITS), Pushed::DroppedOldest(3));
        assert_eq!(drain(&mut queue), [Taken::Dropped(3), Taken::Message(Message(9, 95))]);
    }

    #[test]
    fn the_newest_is_dropped_and_the_subscriber_is_told() {
        let limits = QueueLimits { policy: Policy::DropNewest, ..LIMITS };
        let mut queue = Queue::default();
        for number in 0..5 {
            queue.push(&Message(number, 10), limits);
        }
        assert_eq!(queue.push(&Message(5, 10), limits), Pushed::DroppedNewest);
        let all = [Taken::Dropped(3), message(0), message(1), message(2)];
        assert_eq!(drain(&mut queue), all);
        queue.push(&Message(6, 60), limits);
        assert_eq!(queue.push(&Message(7, 60), limits), Pushed::DroppedNewest);
    }

    #[test]
    fn a_slow_subscriber_is_closed_and_nothing_waits() {
        let limits = QueueLimits { policy: Policy::Close, ..LIMITS };
        let mut queue = Queue::default();
        for number in 0..3 {
            assert_eq!(queue.push(&Message(number, 10), limits), Pushed::Queued);
        }
        assert!(!queue.push_retained(&Message(3, 10), limits));
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.push(&Message(3, 10), limits), Pushed::Close);
        assert!(queue.is_empty());
        assert_eq!(queue.bytes(), 0);
    }

    #[test]
    fn one_message_waits_whatever_its_size_and_the_count_does_not_overflow() {
        let none = QueueLimits { bytes: 0, messages: 0, policy: Policy::DropNewest };
        let mut queue = Queue::default();
        assert_eq!(queue.push(&Message(0, usize::MAX), none), Pushed::Queued);
        assert_eq!(queue.push(&Message(1, 1), none), Pushed::DroppedNewest);
        queue.note_dropped(usize::MAX);
        queue.note_dropped(1);
        assert_eq!(queue.take(), Some(Taken::Dropped(u32::MAX)));
        assert_eq!(queue.take(), Some(Taken::Message(Message(0, usize::MAX))));
        assert_eq!(queue.take(), None);
    }

    #[test]
    fn an_empty_queue_holds_no_heap_and_little_else() {
        let mut queue: Queue<Message> = Queue::default();
        assert_eq!(queue.waiting.capacity(), 0);
        for number in 0..1000 {
            queue.push(&Message(number, 0), QueueLimits::default());
        }
        drain(&mut queue);
        assert_eq!(queue.waiting.capacity(), 0);
        assert!(size_of::<Queue<Buf>>() <= 48);
    }

    /// Any pushes and takes: the bounds hold, what is delivered is in order, and what is delivered
    /// and what was dropped make up all that was pushed.
    #[test]
    fn bounds_hold_and_nothing_is_lost_unsaid() {
        for (seed, policy) in (0..60).zip([Policy::DropOldest, Policy::DropNewest].iter().cycle()) {
            let mut random = Random(seed);
            let limits = QueueLimits {
                bytes: random.below(200),
                messages: random.below(10),
                policy: *policy,
            };
            let mut queue = Queue::default();
            let (mut pushed, mut told, mut taken) = (0_u32, 0_u32, Vec::new());
            let mut take = |queue: &mut Queue<Message>| match queue.take() {
                Some(Taken::Dropped(count)) => told += count,
                Some(Taken::Message(message)) => taken.push(message.0),
                None => assert!(queue.is_empty()),
            };
            for _ in 0..500 {
                if random.below(3) > 0 {
                    queue.push(&Message(pushed, random.below(60)), limits);
                    pushed += 1;
                } else {
                    take(&mut queue);
                }
                assert!(queue.len() <= limits.messages.max(1));
                assert!(queue.bytes() <= limits.bytes || queue.len() == 1);
            }
            while !queue.is_empty() {
                take(&mut queue);
            }
            assert!(taken.is_sorted());
            assert_eq!(taken.len(), (pushed - told) as usize);
            assert_eq!((queue.bytes(), queue.waiting.capacity()), (0, 0));
        }
    }
}
