//! Limits on what is under way to an upstream (circuit breaking), so that one that hangs does not
//! take everything with it.
//!
//! How many connections there are is the pool's business, not this one's.

/// How many there may be at a time; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Exchanges in flight, those that wait among them.
    pub in_flight: Option<u32>,
    /// Exchanges that wait for a connection.
    pub waiting: Option<u32>,
    /// Exchanges that are being tried again.
    pub retries: Option<u32>,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many exchanges in flight.
    InFlight,
    /// Too many wait.
    Waiting,
    /// Too many are tried again.
    Retries,
}

impl Refused {
    /// Every refusal, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::InFlight, Self::Waiting, Self::Retries];

    /// The refusal's place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The label of the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Waiting => "waiting",
            Self::Retries => "retries",
        }
    }
}

/// How many are under way on this worker, and how many may be.
///
/// Calling order: each `try_*` that says yes is followed by its `leave*` once.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    limits: Limits,
    /// In the order of [`Refused::ALL`].
    taken: [u32; Refused::ALL.len()],
    refused: [u64; Refused::ALL.len()],
}

impl Breaker {
    /// Nothing is under way.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, taken: [0; 3], refused: [0; 3] }
    }

    /// Other limits from now on, as when workers lend each other parts of a limit of the process.
    /// What is under way stays.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// An exchange begins.
    ///
    /// # Errors
    /// There are too many, which is counted.
    pub const fn try_enter(&mut self) -> Result<(), Refused> {
        self.enter(Refused::InFlight, self.limits.in_flight)
    }

    /// An exchange is over.
    pub const fn leave(&mut self) {
        self.exit(Refused::InFlight);
    }

    /// So many exchanges are over.
    pub const fn leave_many(&mut self, count: u32) {
        let taken = &mut self.taken[Refused::InFlight.index()];
        *taken = taken.saturating_sub(count);
    }

    /// An exchange waits for a connection.
    ///
    /// # Errors
    /// Too many do, which is counted.
    pub const fn try_wait(&mut self) -> Result<(), Refused> {
        self.enter(Refused::Waiting, self.limits.waiting)
    }

    /// It waits no more.
    pub const fn leave_wait(&mut self) {
        self.exit(Refused::Waiting);
    }

    /// An exchange is tried again.
    ///
    /// # Errors
    /// Too many are, which is counted.
    pub const fn try_retry(&mut self) -> Result<(), Refused> {
        self.enter(Refused::Retries, self.limits.retries)
    }

    /// That try is over.
    pub const fn leave_retry(&mut self) {
        self.exit(Refused::Retries);
    }

    /// How many are under way, in the order of [`Refused::ALL`].
    #[must_use]
    pub const fn taken(&self) -> [u32; Refused::ALL.len()] {
        self.taken
    }

    /// How many were refused, in the order of [`Refused::ALL`].
    #[must_use]
    pub const fn refused(&self) -> [u64; Refused::ALL.len()] {
        self.refused
    }

    const fn enter(&mut self, kind: Refused, limit: Option<u32>) -> Result<(), Refused> {
        let taken = &mut self.taken[kind.index()];
        let most = match limit {
            Some(limit) => limit,
            None => u32::MAX,
        };
        if *taken >= most {
            self.refused[kind.index()] += 1;
            return Err(kind);
        }
        *taken += 1;
        Ok(())
    }

    const fn exit(&mut self, kind: Refused) {
        let taken = &mut self.taken[kind.index()];
        *taken = taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_holds_for_itself_and_what_it_refuses_is_counted() {
        type Enter = fn(&mut Breaker) -> Result<(), Refused>;
        type Case = (Refused, Enter, fn(&mut Breaker), u32);
        let cases: [Case; 3] = [
            (Refused::InFlight, Breaker::try_enter, Breaker::leave, 3),
            (Refused::Waiting, Breaker::try_wait, Breaker::leave_wait, 2),
            (Refused::Retries, Breaker::try_retry, Breaker::leave_retry, 1),
        ];
        let limits = Limits { in_flight: Some(3), waiting: Some(2), retries: Some(1) };
        let mut breaker = Breaker::new(limits);
        for (kind, enter, leave, most) in cases {
            for _ in 0..most {
                assert_eq!(enter(&mut breaker), Ok(()));
            }
            assert_eq!(enter(&mut breaker), Err(kind));
            assert_eq!(breaker.taken()[kind.index()], most);
            assert_eq!(breaker.refused()[kind.index()], 1);
            leave(&mut breaker);
            assert_eq!(enter(&mut breaker), Ok(()));
            (0..9).for_each(|_| leave(&mut breaker));
            assert_eq!(breaker.taken()[kind.index()], 0, "never below zero");
        }
        assert_eq!(breaker.refused(), [1, 1, 1]);
    }

    #[test]
    fn without_a_limit_nothing_is_refused_and_a_limit_of_zero_refuses_all() {
        let mut breaker = Breaker::default();
        assert!((0..10_000).all(|_| breaker.try_enter().is_ok() && breaker.try_retry().is_ok()));
        breaker.set_limits(Limits { in_flight: Some(10_000), retries: Some(0), waiting: None });
        assert_eq!(breaker.try_enter(), Err(Refused::InFlight));
        breaker.leave();
        assert_eq!(breaker.try_enter(), Ok(()), "lower limits let those under way end");
        assert_eq!(breaker.try_retry(), Err(Refused::Retries));
        assert_eq!(breaker.try_wait(), Ok(()));
    }

    #[test]
    fn every_refusal_has_a_name_of_its_own() {
        for (index, refused) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(refused.index(), index);
        }
        assert_eq!(Refused::ALL.map(Refused::name), ["in_flight", "waiting", "retries"]);
    }
}
