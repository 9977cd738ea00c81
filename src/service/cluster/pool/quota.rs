//! A maximum of the whole process, split into the workers' shares, which they lend each other.

use std::time::{Duration, Instant};

/// How long a worker that nobody lent anything waits before it asks again.
const REST: Duration = Duration::from_millis(100);
/// After so long without an answer, the question or the answer found no room in a mailbox. An
/// answer that comes later still is only welcome.
const LOST: Duration = Duration::from_secs(2);

/// One worker's share of a maximum.
///
/// Calling order: [`ConnectionQuota::want`] when places are needed; the message goes to the other
/// worker, whose [`ConnectionQuota::asked`] says what it gives; that goes back to
/// [`ConnectionQuota::answered`]. What is given is the asker's until it is lent on. Shares and what
/// is under way always make up the maximum.
#[derive(Debug, Clone)]
pub struct ConnectionQuota {
    limit: u32,
    worker: usize,
    workers: usize,
    /// The worker that was asked last.
    asked: usize,
    /// Workers that were asked in vain, one after the other.
    vain: usize,
    /// When the question was asked that nobody has answered yet.
    asked_at: Option<Instant>,
    rest_until: Option<Instant>,
}

/// Ask this worker for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The other worker.
    pub to: usize,
}

/// What a worker gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grant {
    /// Places.
    pub places: u32,
    /// One more place, if the worker closes an idle connection for it.
    pub close_idle: bool,
}

impl ConnectionQuota {
    /// The share of `worker`, one of `workers`, of `most` places.
    #[must_use]
    pub fn new(most: u32, workers: usize, worker: usize) -> Self {
        let count = u32::try_from(workers.max(1)).unwrap_or(u32::MAX);
        let place = u32::try_from(worker).unwrap_or(u32::MAX);
        let limit = most / count + u32::from(place < most % count);
        Self { limit, worker, workers, asked: worker, vain: 0, asked_at: None, rest_until: None }
    }

    /// Places that the worker has.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// Places are needed, and all are taken: whom to ask, if anybody.
    pub fn want(&mut self, now: Instant) -> Option<Ask> {
        let is_asking = self.asked_at.is_some_and(|at| now < at + LOST);
        if self.workers < 2 || is_asking || self.rest_until.is_some_and(|until| now < until) {
            return None;
        }
        if self.rest_until.take().is_some() {
            self.vain = 0;
        }
        self.asked = (self.asked + 1) % self.workers;
        if self.asked == self.worker {
            self.asked = (self.asked + 1) % self.workers;
        }
        self.asked_at = Some(now);
        Some(Ask { to: self.asked })
    }

    /// When to ask again, if places are still needed.
    #[must_use]
    pub const fn rest_until(&self) -> Option<Instant> {
        self.rest_until
    }

    /// Another worker asks. `open` places are taken here, `idle` of them by connections that carry
    /// nothing; a worker that has exchanges waiting gives nothing.
    pub fn asked(&mut self, open: u32, idle: u32, waiting: u32) -> Grant {
        if waiting > 0 {
            return Grant::default();
        }
        let spare = self.limit.saturating_sub(open);
        let places = spare.div_ceil(2);
        self.limit -= places;
        let close_idle = places == 0 && idle > 0 && self.limit > 0;
        if close_idle {
            self.limit -= 1;
        }
        Grant { places, close_idle }
    }

    /// The worker that was asked has given so many places.
    pub fn answered(&mut self, places: u32, now: Instant) {
        self.asked_at = None;
        self.limit += places;
        self.vain = if places == 0 { self.vain + 1 } else { 0 };
        if self.vain + 1 >= self.workers {
            self.rest_until = Some(now + REST);
        }
    }

    /// Places that were given did not reach the asker.
    pub const fn keep(&mut self, places: u32) {
        self.limit += places;
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn the_shares_make_up_the_maximum() {
        for (most, workers) in [(64, 2), (7, 3), (1, 4), (0, 2), (5, 1)] {
            let sum: u32 =
                (0..workers).map(|w| ConnectionQuota::new(most, workers, w).limit()).sum();
            assert_eq!(sum, most);
        }
        assert_eq!(ConnectionQuota::new(5, 1, 0).want(Instant::now()), None, "nobody to ask");
    }

    #[test]
    fn half_of_what_is_spare_is_lent_and_an_idle_connection_at_need() {
        let mut share = ConnectionQuota::new(20, 2, 0);
        assert_eq!(share.asked(3, 0, 1), Grant::default(), "it waits itself");
        assert_eq!(share.asked(3, 0, 0), Grant { places: 4, close_idle: false });
        assert_eq!(share.limit(), 6);
        assert_eq!(share.asked(6, 0, 0), Grant::default());
        assert_eq!(share.asked(6, 2, 0), Grant { places: 0, close_idle: true });
        assert_eq!(share.limit(), 5);
    }

    #[test]
    fn a_question_that_was_lost_is_asked_again() {
        let now = Instant::now();
        let mut share = ConnectionQuota::new(2, 2, 0);
        assert_eq!(share.want(now), Some(Ask { to: 1 }));
        assert_eq!(share.want(now + LOST / 2), None);
        assert_eq!(share.want(now + LOST), Some(Ask { to: 1 }));
        share.answered(1, now + LOST);
        share.answered(1, now + LOST);
        assert_eq!(share.limit(), 3, "what comes late is kept");
    }

    #[test]
    fn a_round_in_vain_is_followed_by_a_rest() {
        let now = Instant::now();
        let mut share = ConnectionQuota::new(3, 3, 1);
        assert_eq!(share.want(now), Some(Ask { to: 2 }));
        assert_eq!(share.want(now), None, "one question at a time");
        share.answered(0, now);
        assert_eq!(share.want(now), Some(Ask { to: 0 }));
        share.answered(0, now);
        assert_eq!(share.want(now), None);
        assert_eq!(share.rest_until(), Some(now + REST));
        assert_eq!(share.want(now + REST), Some(Ask { to: 2 }));
        share.answered(2, now);
        assert_eq!((share.limit(), share.rest_until()), (3, None));
    }

    /// Random needs and messages in random order: no place is lost or made, and who waits gets one.
    #[test]
    fn no_place_is_lost_or_made_and_who_waits_gets_one() {
        let mut random = 0x1234_5678_9abc_def1_u64;
        let mut next = move |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % below as u64).unwrap()
        };
        for _ in 0..300 {
            let (workers, most) = (1 + next(8), u32::try_from(next(20)).unwrap());
            let mut now = Instant::now();
            let mut shares: Vec<_> =
                (0..workers).map(|w| ConnectionQuota::new(most, workers, w)).collect();
            let mut open = vec![0u32; workers];
            let mut under_way: Vec<(usize, u32)> = Vec::new();
            let wanting = next(workers);
            for _ in 0..400 {
                now += Duration::from_millis(10);
                let worker = next(workers);
                if worker == wanting && open[worker] < shares[worker].limit() {
                    open[worker] += 1;
                } else if worker == wanting
                    && let Some(Ask { to }) = shares[worker].want(now)
                {
                    let grant = shares[to].asked(open[to], 0, 0);
                    under_way.push((worker, grant.places));
                }
                if !under_way.is_empty() && next(2) == 0 {
                    let (worker, places) = under_way.swap_remove(next(under_way.len()));
                    shares[worker].answered(places, now);
                }
                let held: u32 = shares.iter().map(ConnectionQuota::limit).sum();
                let moving: u32 = under_way.iter().map(|(_, places)| places).sum();
                assert_eq!(held + moving, most);
                assert!(shares.iter().zip(&open).all(|(share, open)| *open <= share.limit()));
            }
            assert_eq!(open[wanting], most, "{workers} workers: who waits gets all that is spare");
        }
    }
}
