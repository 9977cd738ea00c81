//! Who waits for a connection.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Instant;

use super::super::order::List;
use super::super::random::Mixing;

/// Exchanges in the order in which they came, from which any can leave in a constant number of
/// steps. None is in it twice.
#[derive(Debug)]
pub(super) struct Waiters<W> {
    slots: Vec<(W, Instant)>,
    /// Places of `slots` that are free.
    spare: Vec<usize>,
    places: HashMap<W, usize, Mixing>,
    queue: List,
}

impl<W> Default for Waiters<W> {
    fn default() -> Self {
        let (slots, spare, places) = (Vec::new(), Vec::new(), HashMap::default());
        Self { slots, spare, places, queue: List::default() }
    }
}

impl<W: Copy + Eq + Hash> Waiters<W> {
    pub(super) const fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.queue.len() == 0
    }

    /// Adds one as the last, which waits until then. Deadlines do not go back.
    pub(super) fn push(&mut self, waiter: W, deadline: Instant) {
        let at = self.spare.pop().unwrap_or(self.slots.len());
        match self.slots.get_mut(at) {
            Some(slot) => *slot = (waiter, deadline),
            None => self.slots.push((waiter, deadline)),
        }
        let before = self.places.insert(waiter, at);
        debug_assert!(before.is_none(), "an exchange waits once");
        self.queue.push_last(at);
    }

    /// When the first one waits no longer.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.queue.first().map(|at| self.slots[at].1)
    }

    /// Takes the first one out.
    pub(super) fn pop(&mut self) -> Option<W> {
        let waiter = self.slots[self.queue.first()?].0;
        self.remove(&waiter);
        Some(waiter)
    }

    /// Takes one out, if it is in it.
    pub(super) fn remove(&mut self, waiter: &W) {
        if let Some(at) = self.places.remove(waiter) {
            self.queue.remove(at);
            self.spare.push(at);
        }
    }
}
