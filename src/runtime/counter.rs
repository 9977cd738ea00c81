//! Counters with one writer and any number of readers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A count that one thread adds to and others read: a plain load, add and store, no locked
/// instruction. With two writers counts would be lost; the worker that owns it is the one.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `amount`. Only the owner may.
    pub fn add(&self, amount: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(amount);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// Replaces the count by one that is kept elsewhere. Only the owner may.
    pub fn set(&self, amount: u64) {
        self.0.store(amount, Ordering::Relaxed);
    }

    /// Puts `now` in the place of `before`, for a sum of several amounts that are kept elsewhere.
    /// Only the owner may.
    pub fn replace(&self, before: u64, now: u64) {
        self.add(now.wrapping_sub(before));
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A quantity that goes up and down, with one writer.
#[derive(Debug, Default)]
pub struct Gauge(Counter);

impl Gauge {
    /// A gauge at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(Counter::new())
    }

    /// One more. Only the owner may.
    pub fn increment(&self) {
        self.0.add(1);
    }

    /// One less. Only the owner may.
    pub fn decrement(&self) {
        debug_assert!(self.0.get() > 0, "a gauge does not go below zero");
        self.0.set(self.0.get().saturating_sub(1));
    }

    /// The present quantity.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_and_gauges_return() {
        let counter = Counter::new();
        counter.add(2);
        counter.add(3);
        assert_eq!(counter.get(), 5);
        counter.set(9);
        assert_eq!(counter.get(), 9);
        counter.replace(2, 5);
        counter.replace(7, 0);
        assert_eq!(counter.get(), 5);
        let gauge = Gauge::new();
        gauge.increment();
        gauge.increment();
        gauge.decrement();
        assert_eq!(gauge.get(), 1);
    }
}
