//! A heap of numbers with keys, which finds each of them again.

use super::NONE;

/// Children of each entry: what fits into a cache line or two.
const ARITY: usize = 4;

/// Numbers by their keys, the least first. Setting, changing and removing one takes a logarithmic
/// number of steps. Memory grows with the largest number.
#[derive(Debug)]
pub(in crate::service::cluster) struct IndexedHeap<K> {
    entries: Vec<(K, usize)>,
    /// Where each number stands.
    places: Vec<usize>,
}

impl<K> Default for IndexedHeap<K> {
    fn default() -> Self {
        Self { entries: Vec::new(), places: Vec::new() }
    }
}

impl<K: Copy + PartialOrd> IndexedHeap<K> {
    pub(in crate::service::cluster) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number with the least key.
    pub(in crate::service::cluster) fn first(&self) -> Option<(K, usize)> {
        self.entries.first().copied()
    }

    /// The key of a number that is in it.
    pub(in crate::service::cluster) fn key(&self, number: usize) -> Option<K> {
        let place = self.places.get(number).copied()?;
        self.entries.get(place).map(|(key, _)| *key)
    }

    /// Every number, in no order.
    pub(in crate::service::cluster) fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        self.entries.iter().map(|(_, number)| *number)
    }

    /// Adds a number, or gives it another key.
    pub(in crate::service::cluster) fn set(&mut self, number: usize, key: K) {
        if number >= self.places.len() {
            self.places.resize(number + 1, NONE);
        }
        let place = self.places[number];
        if place == NONE {
            self.entries.push((key, number));
            self.rise(self.entries.len() - 1);
        } else {
            let before = self.entries[place].0;
            self.entries[place].0 = key;
            if key < before {
                self.rise(place);
            } else {
                self.sink(place);
            }
        }
    }

    /// Takes out the number with the least key.
    pub(in crate::service::cluster) fn pop(&mut self) -> Option<(K, usize)> {
        let (key, number) = self.first()?;
        self.remove(number);
        Some((key, number))
    }

    /// Takes a number out; false when it is not in it.
    pub(in crate::service::cluster) fn remove(&mut self, number: usize) -> bool {
        let Some(place) = self.places.get(number).copied().filter(|place| *place != NONE) else {
            return false;
        };
        self.places[number] = NONE;
        self.entries.swap_remove(place);
        if place < self.entries.len() {
            self.places[self.entries[place].1] = place;
            self.rise(place);
            self.sink(place);
        }
        true
    }

    fn rise(&mut self, mut place: usize) {
        let entry = self.entries[place];
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if self.entries[parent].0 <= entry.0 {
                break;
            }
            self.put(place, self.entries[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn sink(&mut self, mut place: usize) {
        let entry = self.entries[place];
        loop {
            let first = place * ARITY + 1;
            let children = first..(first + ARITY).min(self.entries.len());
            let Some(least) =
                children.reduce(|a, b| if self.entries[b].0 < self.entries[a].0 { b } else { a })
            else {
                break;
            };
            if entry.0 <= self.entries[least].0 {
                break;
            }
            self.put(place, self.entries[least]);
            place = least;
        }
        self.put(place, entry);
    }

    fn put(&mut self, place: usize, entry: (K, usize)) {
        self.entries[place] = entry;
        self.places[entry.1] = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::cluster::random::Random;

    #[test]
    fn whatever_happens_the_least_is_first() {
        let mut random = Random::new(1);
        let mut heap = IndexedHeap::default();
        let mut model: Vec<Option<u64>> = vec![None; 60];
        for _ in 0..20_000 {
            let number = random.below(60);
            match random.below(4) {
                0 => assert_eq!(heap.remove(number), model[number].take().is_some()),
                1 => {
                    let popped = heap.pop();
                    assert_eq!(popped.is_none(), model.iter().all(Option::is_none));
                    if let Some((key, number)) = popped {
                        assert_eq!(model.iter().flatten().min(), Some(&key));
                        assert_eq!(model[number].take(), Some(key));
                    }
                }
                _ => {
                    let key = random.bits() % 50;
                    heap.set(number, key);
                    model[number] = Some(key);
                }
            }
            let first = heap.first().map(|(key, _)| key);
            assert_eq!(first, model.iter().flatten().min().copied());
            assert_eq!(heap.key(number), model[number]);
            assert_eq!(heap.numbers().count(), model.iter().flatten().count());
        }
        while heap.pop().is_some() {}
        assert!(heap.is_empty() && heap.key(3).is_none());
    }
}
