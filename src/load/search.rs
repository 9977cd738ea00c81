//! The highest rate at which expressions hold: pure; whoever asks makes the runs.
//!
//! The rate doubles until they hold no more, and is then halved in between. Each rate is tried
//! three times at most, and holds when two of them do: one run says little of a tail.

use super::result::Step;
use super::slo::Check;

/// How often a rate is tried at most, and how often it has to hold.
const TRIES: (u32, u32) = (3, 2);
/// The search ends when the bounds are this close.
const CLOSE: f64 = 1.03;
/// Steps at most.
const STEPS_MAX: usize = 60;

/// A search.
#[derive(Debug, Clone)]
pub struct RateSearch {
    /// The highest rate that held.
    held: Option<f64>,
    /// The lowest one that did not.
    failed: Option<f64>,
    /// The rate that is tried, how often it was, and how often it held.
    trying: (f64, u32, u32),
    most: f64,
    steps: Vec<Step>,
}

impl RateSearch {
    /// One that begins at a rate, and goes no higher than another.
    #[must_use]
    pub const fn new(from: f64, most: f64) -> Self {
        Self { held: None, failed: None, trying: (from, 0, 0), most, steps: Vec::new() }
    }

    /// The rate that is to be tried next. `None`: it is over.
    #[must_use]
    pub fn next_rate(&self) -> Option<f64> {
        if self.steps.len() >= STEPS_MAX || self.trying.0 < 1e-3 {
            return None;
        }
        match (self.held, self.failed) {
            (Some(held), Some(failed)) if failed / held < CLOSE => None,
            (Some(held), None) if held >= self.most => None,
            _ => Some(self.trying.0),
        }
    }

    /// A run at that rate was judged so: it holds when all expressions do.
    pub fn note(&mut self, checks: Vec<Check>) {
        let (rate, tries, held) = self.trying;
        let holds = checks.iter().all(Check::passed);
        self.steps.push(Step { rate, checks, holds });
        let (tries, held) = (tries + 1, held + u32::from(holds));
        let (most, needed) = TRIES;
        let is_held = held >= needed;
        if !is_held && tries - held <= most - needed {
            self.trying = (rate, tries, held);
            return;
        }
        if is_held {
            self.held = Some(rate);
        } else {
            self.failed = Some(rate);
        }
        let next = match (self.held, self.failed) {
            (Some(held), Some(failed)) => (held * failed).sqrt(),
            (Some(held), None) => (held * 2.0).min(self.most),
            (None, _) => rate / 2.0,
        };
        self.trying = (next, 0, 0);
    }

    /// The highest rate that held.
    #[must_use]
    pub const fn rate(&self) -> Option<f64> {
        self.held
    }

    /// What was tried, in order.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::slo::{Purpose, Unit};

    fn check(holds: bool) -> Check {
        Check {
            expression: "p99<5ms".to_owned(),
            purpose: Purpose::Slo,
            value: Some(1.0),
            unit: Unit::Microseconds,
            holds,
        }
    }

    fn search(capacity: f64, from: f64, mut errs: impl FnMut(usize) -> bool) -> RateSearch {
        let mut search = RateSearch::new(from, 1e6);
        for number in 0.. {
            let Some(rate) = search.next_rate() else { break };
            search.note(vec![check((rate <= capacity) != errs(number))]);
        }
        search
    }

    #[test]
    fn the_rate_is_found_from_below_and_from_above() {
        for from in [10.0, 1000.0, 50_000.0] {
            for capacity in [37.0, 1234.0, 40_000.0] {
                let search = search(capacity, from, |_| false);
                let found = search.rate().unwrap();
                assert!(found <= capacity && found > capacity / 1.04, "{from} {capacity} {found}");
                assert!(search.steps.len() < STEPS_MAX);
            }
        }
    }

    #[test]
    fn one_run_that_errs_does_not_mislead_it() {
        let search = search(1000.0, 100.0, |number| number % 5 == 4);
        let found = search.rate().unwrap();
        assert!((900.0..=1000.0).contains(&found), "{found}");
    }

    #[test]
    fn what_never_holds_and_what_always_holds_end() {
        assert_eq!(search(0.0, 100.0, |_| false).rate(), None);
        assert_eq!(search(1e12, 100.0, |_| false).rate(), Some(1e6));
    }
}
