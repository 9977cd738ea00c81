//! A set of numbers from which any can be drawn.

use super::NONE;

/// Numbers in no order: adding, removing, and drawing the n-th take a constant number of steps.
/// Memory grows with the largest number.
#[derive(Debug, Default)]
pub(in crate::service::cluster) struct IndexSet {
    numbers: Vec<usize>,
    /// Where each number stands.
    places: Vec<usize>,
}

impl IndexSet {
    pub(in crate::service::cluster) const fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(in crate::service::cluster) fn get(&self, at: usize) -> Option<usize> {
        self.numbers.get(at).copied()
    }

    pub(in crate::service::cluster) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.numbers.iter().copied()
    }

    /// Adds a number, or takes it out.
    pub(in crate::service::cluster) fn put(&mut self, number: usize, is_in: bool) {
        if number >= self.places.len() {
            if !is_in {
                return;
            }
            self.places.resize(number + 1, NONE);
        }
        let place = self.places[number];
        if is_in && place == NONE {
            self.places[number] = self.numbers.len();
            self.numbers.push(number);
        } else if !is_in && place != NONE {
            self.places[number] = NONE;
            self.numbers.swap_remove(place);
            if let Some(moved) = self.numbers.get(place) {
                self.places[*moved] = place;
            }
        }
    }

    /// Takes all of them out, into `into`.
    pub(in crate::service::cluster) fn drain_into(&mut self, into: &mut Vec<usize>) {
        for number in self.numbers.drain(..) {
            self.places[number] = NONE;
            into.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::service::cluster::random::Random;

    #[test]
    fn it_has_what_was_put_in() {
        let mut random = Random::new(5);
        let (mut set, mut model) = (IndexSet::default(), BTreeSet::new());
        for _ in 0..10_000 {
            let (number, is_in) = (random.below(40), random.below(2) == 0);
            set.put(number, is_in);
            if is_in {
                model.insert(number);
            } else {
                model.remove(&number);
            }
            assert_eq!(set.iter().collect::<BTreeSet<_>>(), model);
            assert_eq!(set.len(), model.len());
            assert_eq!(set.get(set.len()), None);
        }
        let mut all = Vec::new();
        set.drain_into(&mut all);
        assert!(all.len() == model.len() && set.len() == 0);
    }
}
