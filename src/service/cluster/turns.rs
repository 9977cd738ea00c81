//! Turns by weight, spread as evenly as can be.

use std::collections::BTreeMap;

use super::order::{IndexedHeap, List};

/// Servers that take turns.
///
/// Servers of one weight form a *class*, in which each goes behind the others after its turn. Among
/// the classes, the one goes next whose turn has to end first, of those whose turn has begun in
/// virtual time (earliest eligible virtual deadline first). So no server is ever a whole turn ahead
/// of or behind its share, as long as weights stay. Where weights change or servers come and go,
/// what the classes are ahead or behind in all stays nothing.
///
/// A turn takes a logarithmic number of steps in the number of classes, which is one mostly, and
/// one step for each server that is not to be chosen.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Virtual time: it goes on by one over the sum of weights with each turn.
    time: f64,
    /// The sum of all weights.
    total: u64,
    classes: Vec<Class>,
    /// Classes by their weights.
    by_weight: BTreeMap<u64, usize>,
    /// Classes that have no server, to be used again.
    spare: Vec<usize>,
    /// Classes whose turn has begun, by its end.
    ready: IndexedHeap<Tag>,
    /// The others, by the beginning of their turn.
    waiting: IndexedHeap<Tag>,
    /// Classes that came to one of these, so far.
    order: u64,
    /// Classes of which no server may be chosen, while one is looked for.
    skipped: Vec<(bool, Tag, usize)>,
    /// The class of each server, by number.
    seats: Vec<Option<usize>>,
}

/// A time, and what decides between equals.
type Tag = (f64, u64);

#[derive(Debug, Default)]
struct Class {
    /// The weight of each.
    weight: u64,
    /// The next one first.
    servers: List,
    /// When its next turn begins, in virtual time.
    begin: f64,
}

impl Class {
    fn weight_of_all(&self) -> f64 {
        self.weight as f64 * self.servers.len() as f64
    }

    /// When its next turn has to end.
    fn end(&self) -> f64 {
        self.begin + 1.0 / self.weight_of_all()
    }
}

impl Turns {
    /// Adds a server that is not in it, or gives it another weight, which is above 0.
    pub(super) fn set(&mut self, number: usize, weight: u64) {
        if number >= self.seats.len() {
            self.seats.resize(number + 1, None);
        }
        if let Some(class) = self.seats[number] {
            if self.classes[class].weight == weight {
                return;
            }
            self.remove(number);
        }
        let class = self.class(weight);
        self.seats[number] = Some(class);
        self.total += weight;
        self.resize(class, |servers| servers.push_last(number));
    }

    /// Takes a server out, if it is in it.
    pub(super) fn remove(&mut self, number: usize) {
        let Some(class) = self.seats.get_mut(number).and_then(Option::take) else { return };
        let weight = self.classes[class].weight;
        self.total -= weight;
        if self.classes[class].servers.len() > 1 {
            self.resize(class, |servers| servers.remove(number));
            return;
        }
        // What it was behind goes to the others, or what it was ahead.
        let behind = weight as f64 * (self.time - self.classes[class].begin);
        self.classes[class].servers.remove(number);
        self.by_weight.remove(&weight);
        self.spare.push(class);
        self.ready.remove(class);
        self.waiting.remove(class);
        self.time = if self.total == 0 { 0.0 } else { self.time + behind / self.total as f64 };
    }

    /// The class of a weight, which may be a new one.
    fn class(&mut self, weight: u64) -> usize {
        if let Some(class) = self.by_weight.get(&weight) {
            return *class;
        }
        let class = self.spare.pop().unwrap_or_else(|| {
            self.classes.push(Class::default());
            self.classes.len() - 1
        });
        self.classes[class] = Class {
            weight,
            begin: self.time,
            servers: std::mem::take(&mut self.classes[class].servers),
        };
        self.by_weight.insert(weight, class);
        class
    }

    /// Changes the servers of a class, which is as much ahead or behind as before.
    fn resize(&mut self, class: usize, change: impl FnOnce(&mut List)) {
        let one = &mut self.classes[class];
        let before = one.weight_of_all();
        change(&mut one.servers);
        one.begin = self.time + (one.begin - self.time) * before / one.weight_of_all();
        self.ready.remove(class);
        self.wait(class);
    }

    fn wait(&mut self, class: usize) {
        self.order += 1;
        self.waiting.set(class, (self.classes[class].begin, self.order));
    }

    /// Gives a turn to the next server that is not in `tried`, which is short.
    pub(super) fn next(&mut self, tried: &[usize]) -> Option<usize> {
        if self.total == 0 {
            return None;
        }
        let time = self.time + 1.0 / self.total as f64;
        while let Some(((_, order), class)) = self.waiting.first().filter(|(tag, _)| tag.0 < time) {
            self.waiting.pop();
            self.ready.set(class, (self.classes[class].end(), order));
        }
        let found = self.find(tried);
        for (is_ready, tag, class) in self.skipped.drain(..) {
            let heap = if is_ready { &mut self.ready } else { &mut self.waiting };
            heap.set(class, tag);
        }
        let (class, number) = found?;
        self.time = time;
        let one = &mut self.classes[class];
        one.servers.remove(number);
        one.servers.push_last(number);
        one.begin = one.end();
        self.ready.remove(class);
        self.wait(class);
        Some(number)
    }

    /// The next server that is not in `tried`, and its class. Classes without one are taken out.
    fn find(&mut self, tried: &[usize]) -> Option<(usize, usize)> {
        loop {
            let is_ready = !self.ready.is_empty();
            let heap = if is_ready { &mut self.ready } else { &mut self.waiting };
            let (_, class) = heap.first()?;
            let mut servers = self.classes[class].servers.iter();
            if let Some(number) = servers.find(|number| !tried.contains(number)) {
                return Some((class, number));
            }
            let (tag, class) = heap.pop()?;
            self.skipped.push((is_ready, tag, class));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::cluster::random::Random;

    fn of(weights: &[u64]) -> Turns {
        let mut turns = Turns::default();
        weights.iter().enumerate().for_each(|(number, weight)| turns.set(number, *weight));
        turns
    }

    #[test]
    fn equals_go_one_after_the_other_and_heavier_ones_in_between() {
        let cases: [(&[u64], &[usize]); 5] = [
            (&[7, 7, 7], &[0, 1, 2, 0, 1, 2, 0]),
            (&[5, 1, 1], &[0, 0, 1, 0, 0, 2, 0, 0]),
            (&[1, 2], &[1, 0, 1, 1, 0, 1]),
            (&[4, 1, 1, 1, 1], &[0, 1, 0, 2, 0, 3, 0, 4, 0, 1]),
            (&[3], &[0, 0]),
        ];
        for (weights, expected) in cases {
            let mut turns = of(weights);
            let found: Vec<usize> = expected.iter().map(|_| turns.next(&[]).unwrap()).collect();
            assert_eq!(found, expected, "{weights:?}");
        }
        assert_eq!(Turns::default().next(&[]), None);
    }

    /// After any number of turns, each server had its share of them, within less than one.
    #[test]
    fn nobody_is_a_whole_turn_ahead_or_behind() {
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let count = 1 + random.below(40);
            let most = [1, 3, 1_000][random.below(3)];
            let weights: Vec<u64> = (0..count).map(|_| 1 + random.below(most) as u64).collect();
            let total = weights.iter().sum::<u64>() as f64;
            let (mut turns, mut had) = (of(&weights), vec![0.0; count]);
            for turn in 1..=5_000 {
                had[turns.next(&[]).unwrap()] += 1.0;
                for (had, weight) in had.iter().zip(&weights) {
                    let due = f64::from(turn) * *weight as f64 / total;
                    // What is exactly one may be a little more in binary.
                    assert!(
                        (had - due).abs() < 1.000_001,
                        "{weights:?}: {had} of {due} after {turn}"
                    );
                }
            }
        }
    }

    /// Servers come, go, and change their weights: from then on, each has its share of the turns.
    #[test]
    fn changes_put_nobody_ahead_for_long() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut weights = vec![0_u64; 20];
            let mut turns = Turns::default();
            for _ in 0..300 {
                let number = random.below(20);
                weights[number] = if random.below(3) == 0 { 0 } else { 1 + random.bits() % 50 };
                match weights[number] {
                    0 => turns.remove(number),
                    weight => turns.set(number, weight),
                }
                let has_any = weights.iter().any(|weight| *weight > 0);
                for _ in 0..random.below(20) {
                    assert_eq!(turns.next(&[]).is_some(), has_any);
                }
            }
            let total = weights.iter().sum::<u64>() as f64;
            let mut had = [0.0; 20];
            for turn in 1..=if total > 0.0 { 3_000 } else { 0 } {
                had[turns.next(&[]).unwrap()] += 1.0;
                for (had, weight) in had.iter().zip(&weights) {
                    let due = f64::from(turn) * *weight as f64 / total;
                    assert!((had - due).abs() < 2.5, "{seed}: {had} of {due} after {turn}");
                }
            }
        }
    }

    #[test]
    fn who_was_tried_keeps_its_place() {
        let mut turns = of(&[1, 1, 3]);
        for tried in [&[0_usize][..], &[2], &[0, 2], &[1, 2], &[0, 1]] {
            let number = turns.next(tried).unwrap();
            assert!(!tried.contains(&number));
        }
        assert_eq!(turns.next(&[2, 1, 0]), None);
        let mut had = [0; 3];
        (0..500).for_each(|_| had[turns.next(&[]).unwrap()] += 1);
        assert!((99..=101).contains(&had[0]) && (99..=101).contains(&had[1]), "{had:?}");
    }
}
