//! The rate limits of one worker, and what workers show each other of them, so that they hold for
//! all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::options::{LimitBoards, RouteOptions};
use crate::runtime::Board;
use crate::service::http::limit::{PeerBuckets, RateLimiter};
use crate::session::workers::Workers;

/// The buckets of a rate limit on the workers but one, as that one sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerBoards<'a> {
    boards: &'a [Board],
    worker: usize,
    epoch: Instant,
}

impl PeerBuckets for PeerBoards<'_> {
    fn full_at(&self, key: u64) -> Option<Instant> {
        let others = self.boards.iter().enumerate();
        let seen = others.filter(|(number, _)| *number != self.worker);
        let nanos = seen.map(|(_, board)| board.read(key)).max().filter(|nanos| *nanos > 0)?;
        self.epoch.checked_add(Duration::from_nanos(nanos))
    }

    fn publish(&self, key: u64, full_at: Instant) {
        let Some(board) = self.boards.get(self.worker) else { return };
        let since = full_at.saturating_duration_since(self.epoch).as_nanos();
        board.publish(key, u64::try_from(since).unwrap_or(u64::MAX));
    }
}

/// A seed for one of many tables that share a board.
pub(in crate::session) const fn seed_of(seed: u64, number: usize) -> u64 {
    seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The rate limits of one worker, by the numbers of their routes.
#[derive(Debug, Default)]
pub(super) struct Limiters(Vec<Option<(Arc<LimitBoards>, RateLimiter)>>);

impl Limiters {
    /// The limiter of a route that has one, and the boards on which workers show theirs. One that
    /// has changed begins with full buckets.
    pub(super) fn of<'a>(
        &'a mut self,
        route: &'a RouteOptions,
        (workers, worker): (&Workers, usize),
        (seed, now): (u64, Instant),
    ) -> Option<(&'a mut RateLimiter, PeerBoards<'a>)> {
        let limit = route.rate_limit.as_ref()?;
        let number = route.counters.number();
        if number >= self.0.len() {
            self.0.resize_with(number + 1, || None);
        }
        let slot = &mut self.0[number];
        if slot.as_ref().is_none_or(|(shown, _)| !Arc::ptr_eq(shown, &limit.shown)) {
            // The seed is the same for all workers.
            let seed = seed_of(seed, number);
            let limiter = RateLimiter::new(limit.rate, limit.burst, limit.entries_max, seed);
            *slot = Some((Arc::clone(&limit.shown), limiter));
        }
        let (shown, limiter) = slot.as_mut()?;
        let boards = shown.boards();
        Some((limiter, PeerBoards { boards, worker, epoch: workers.epoch(now) }))
    }

    /// The number has another owner: what was kept for it is dropped.
    pub(super) fn forget(&mut self, route: usize) {
        if let Some(slot) = self.0.get_mut(route) {
            *slot = None;
        }
    }
}
