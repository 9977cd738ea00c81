//! Numbers by which workers know things. One stays with its key for as long as anybody has its
//! lease, and is given to another key only then.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Weak;

use crate::session::Lease;

/// The numbers of one kind of things.
#[derive(Debug)]
pub(super) struct Numbers<K> {
    slots: Vec<Slot<K>>,
    by_key: HashMap<K, usize>,
    /// Numbers without a lease.
    free: Vec<usize>,
    /// Numbers with another key than before, since they were last taken.
    fresh: Vec<usize>,
}

#[derive(Debug)]
struct Slot<K> {
    key: K,
    watch: Weak<usize>,
}

impl<K> Default for Numbers<K> {
    fn default() -> Self {
        Self { slots: Vec::new(), by_key: HashMap::new(), free: Vec::new(), fresh: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash> Numbers<K> {
    /// Finds the numbers whose leases are gone. Call it before asking for many.
    pub(super) fn sweep(&mut self) {
        let unused = self.slots.iter().enumerate();
        let unused = unused.filter(|(_, slot)| slot.watch.strong_count() == 0);
        // The lowest is given away first.
        self.free = unused.map(|(number, _)| number).collect();
        self.free.reverse();
    }

    /// The number of a key.
    pub(super) fn lease(&mut self, key: &K) -> Lease {
        if let Some(number) = self.by_key.get(key) {
            let slot = &mut self.slots[*number];
            let lease = Lease::renew(&slot.watch).unwrap_or_else(|| Lease::new(*number));
            slot.watch = lease.watch();
            return lease;
        }
        let free = std::iter::from_fn(|| self.free.pop())
            .find(|number| self.slots[*number].watch.strong_count() == 0);
        let number = free.unwrap_or(self.slots.len());
        let lease = Lease::new(number);
        let slot = Slot { key: key.clone(), watch: lease.watch() };
        match self.slots.get_mut(number) {
            Some(old) => {
                self.by_key.remove(&std::mem::replace(old, slot).key);
            }
            None => self.slots.push(slot),
        }
        self.by_key.insert(key.clone(), number);
        self.fresh.push(number);
        lease
    }

    /// The numbers that were given to another key since this was last called.
    pub(super) fn take_fresh(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_with_its_key_until_nobody_has_it_and_another_key_needs_it() {
        let mut numbers = Numbers::default();
        let (a, b) = (numbers.lease(&"a"), numbers.lease(&"b"));
        assert_eq!((a.number(), b.number()), (0, 1));
        assert_eq!(numbers.take_fresh(), [0, 1]);
        assert_eq!(numbers.lease(&"a").number(), 0);
        drop(a);
        numbers.sweep();
        assert_eq!(numbers.lease(&"a").number(), 0, "nobody has taken it");
        assert!(numbers.take_fresh().is_empty(), "what was kept for it is its own");
        assert_eq!(numbers.lease(&"c").number(), 0);
        assert_eq!(numbers.take_fresh(), [0]);
        let again = numbers.lease(&"a");
        assert_eq!(again.number(), 2, "its number has gone to another");
        drop(b);
        numbers.sweep();
        assert_eq!(numbers.lease(&"d").number(), 0, "the lowest that is free");
    }
}
