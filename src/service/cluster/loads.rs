//! The server with the fewest exchanges under way for its weight.

use super::order::IndexedHeap;

/// Servers by their loads; equals take turns by weight. Choosing and changing take a logarithmic
/// number of steps.
#[derive(Debug, Default)]
pub(super) struct Loads {
    heap: IndexedHeap<Load>,
    /// By number.
    seats: Vec<Seat>,
    /// Virtual time: when the turn that was given last began.
    time: f64,
    /// Turns that were given.
    turns: u64,
    skipped: Vec<(Load, usize)>,
}

/// Exchanges for the weight, when the next turn among equals begins, and after how many turns the
/// last one was.
type Load = (f64, f64, u64);

#[derive(Debug, Clone, Copy, Default)]
struct Seat {
    weight: f64,
    active: f64,
    /// When its last turn among equals has ended, in virtual time.
    end: f64,
    /// The number of that turn.
    turn: u64,
}

impl Seat {
    fn load(&self) -> Load {
        (self.active / self.weight, self.end, self.turn)
    }
}

impl Loads {
    /// Adds a server, or gives it another weight, which is above 0.
    pub(super) fn set(&mut self, number: usize, weight: u64, active: u32) {
        if number >= self.seats.len() {
            self.seats.resize(number + 1, Seat::default());
        }
        let is_new = self.heap.key(number).is_none();
        let seat = &mut self.seats[number];
        seat.weight = weight as f64;
        seat.active = f64::from(active);
        if is_new {
            self.turns += 1;
            seat.end = self.time;
            seat.turn = self.turns;
        }
        self.heap.set(number, seat.load());
    }

    /// Takes a server out, if it is in it.
    pub(super) fn remove(&mut self, number: usize) {
        self.heap.remove(number);
    }

    /// The exchanges of a server that are under way, which may be none of these.
    pub(super) fn note(&mut self, number: usize, active: u32) {
        if self.heap.key(number).is_some() {
            let seat = &mut self.seats[number];
            seat.active = f64::from(active);
            self.heap.set(number, seat.load());
        }
    }

    /// The server with the least load that is not in `tried`, which is short. Its exchange is to
    /// be noted.
    pub(super) fn next(&mut self, tried: &[usize]) -> Option<usize> {
        let mut found = None;
        while let Some((_, number)) = self.heap.first() {
            if !tried.contains(&number) {
                found = Some(number);
                break;
            }
            self.skipped.extend(self.heap.pop());
        }
        for (key, number) in self.skipped.drain(..) {
            self.heap.set(number, key);
        }
        let number = found?;
        let seat = &mut self.seats[number];
        self.time = self.time.max(seat.end);
        seat.end = self.time + 1.0 / seat.weight;
        self.turns += 1;
        seat.turn = self.turns;
        self.heap.set(number, seat.load());
        Some(number)
    }
}
