//! A list of numbers that are linked to each other.

use super::NONE;

/// Numbers one after the other, each at most once: adding one at either end and taking any of them
/// out takes a constant number of steps. Memory grows with the largest number.
#[derive(Debug)]
pub(in crate::service::cluster) struct List {
    /// Those before and behind each number.
    links: Vec<(usize, usize)>,
    first: usize,
    last: usize,
    len: usize,
}

impl Default for List {
    fn default() -> Self {
        Self { links: Vec::new(), first: NONE, last: NONE, len: 0 }
    }
}

impl List {
    pub(in crate::service::cluster) const fn len(&self) -> usize {
        self.len
    }

    pub(in crate::service::cluster) fn first(&self) -> Option<usize> {
        some(self.first)
    }

    pub(in crate::service::cluster) fn last(&self) -> Option<usize> {
        some(self.last)
    }

    /// The number behind one that is in it.
    pub(in crate::service::cluster) fn after(&self, number: usize) -> Option<usize> {
        self.links.get(number).and_then(|(_, next)| some(*next))
    }

    /// All of them, in their order.
    pub(in crate::service::cluster) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.first(), |number| self.after(*number))
    }

    /// Adds a number that is not in it, as the first.
    pub(in crate::service::cluster) fn push_first(&mut self, number: usize) {
        self.reserve(number);
        self.links[number] = (NONE, self.first);
        match some(self.first) {
            Some(first) => self.links[first].0 = number,
            None => self.last = number,
        }
        self.first = number;
        self.len += 1;
    }

    /// Adds a number that is not in it, as the last.
    pub(in crate::service::cluster) fn push_last(&mut self, number: usize) {
        self.reserve(number);
        self.links[number] = (self.last, NONE);
        match some(self.last) {
            Some(last) => self.links[last].1 = number,
            None => self.first = number,
        }
        self.last = number;
        self.len += 1;
    }

    /// Takes out a number that is in it.
    pub(in crate::service::cluster) fn remove(&mut self, number: usize) {
        let (before, behind) = self.links[number];
        match some(before) {
            Some(before) => self.links[before].1 = behind,
            None => self.first = behind,
        }
        match some(behind) {
            Some(behind) => self.links[behind].0 = before,
            None => self.last = before,
        }
        self.links[number] = (NONE, NONE);
        self.len -= 1;
    }

    fn reserve(&mut self, number: usize) {
        if number >= self.links.len() {
            self.links.resize(number + 1, (NONE, NONE));
        }
    }
}

const fn some(number: usize) -> Option<usize> {
    if number == NONE { None } else { Some(number) }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::service::cluster::random::Random;

    #[test]
    fn it_is_as_a_queue_from_which_any_can_leave() {
        let mut random = Random::new(3);
        let (mut list, mut model) = (List::default(), VecDeque::new());
        for _ in 0..20_000 {
            let number = random.below(30);
            match (model.iter().position(|other| *other == number), random.below(2)) {
                (Some(at), _) => {
                    list.remove(number);
                    model.remove(at);
                }
                (None, 0) => {
                    list.push_first(number);
                    model.push_front(number);
                }
                (None, _) => {
                    list.push_last(number);
                    model.push_back(number);
                }
            }
            assert!(list.iter().eq(model.iter().copied()));
            let ends = (model.front().copied(), model.back().copied(), model.len());
            assert_eq!((list.first(), list.last(), list.len()), ends);
        }
    }
}
