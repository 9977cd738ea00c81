//! How often, and how many at a time: limits by where requests come from.

mod concurrency;
mod hash;
mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use concurrency::Concurrency;
use table::{Bucket, Table};

/// What a rate limit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allowed,
    /// Too often; after this time there is a token again.
    Limited {
        /// How long to wait.
        retry_after: Duration,
    },
}

/// A token, in the parts in which tokens are counted: those that come within a nanosecond at a
/// rate of one a second. So nothing is ever rounded.
const TOKEN: u64 = 1_000_000_000;
/// How many of the buckets that were asked longest ago are looked at for a full one.
const PROBES: usize = 8;

/// Token buckets by key, at most so many of them.
///
/// Buckets are found by a hash with a seed of the process, so that nobody can aim at somebody
/// else's. When all are taken, one goes that is full, as it is as good as none; of those that were
/// asked longest ago a few are looked at for that. If none of them is full, the one that was asked
/// longest ago goes. No memory is taken once all are there.
#[derive(Debug)]
pub struct RateLimiter {
    /// Parts of a token that come in a nanosecond, which are as many as tokens in a second.
    rate: u64,
    /// Parts of a token that a bucket holds.
    burst: u64,
    seed: u64,
    table: Table,
}

impl RateLimiter {
    /// So many requests a second, and so many at once, for each of at most `entries_max` clients
    /// that are told apart (56 bytes each, taken as they come). `seed` is random, and nobody's to
    /// know.
    #[must_use]
    pub const fn new(rate: u32, burst: u32, entries_max: usize, seed: u64) -> Self {
        // No rate and no burst would let nothing through, ever: they are one.
        let rate = if rate == 0 { 1 } else { rate as u64 };
        let burst = if burst == 0 { 1 } else { burst as u64 };
        Self { rate, burst: burst * TOKEN, seed, table: Table::with_limit(entries_max) }
    }

    /// A request from there. IPv6 sources count by their /64: one host has all of it.
    pub fn check_source(&mut self, ip: IpAddr, now: Instant) -> Verdict {
        self.check(hash::of_source(ip, self.seed), now)
    }

    /// A request with this value of the field that tells clients apart.
    pub fn check_bytes(&mut self, value: &[u8], now: Instant) -> Verdict {
        self.check(hash::of_bytes(value, self.seed), now)
    }

    fn check(&mut self, key: u64, now: Instant) -> Verdict {
        let (rate, burst) = (self.rate, self.burst);
        let place = self.table.find(key).unwrap_or_else(|| self.make(key, now));
        self.table.touch(place);
        let Some(bucket) = self.table.get_mut(place) else { return Verdict::Allowed };
        bucket.level = level(bucket, rate, burst, now);
        // A moment that lies before the last one brings no tokens, and takes back no time.
        bucket.at = bucket.at.max(now);
        if let Some(left) = bucket.level.checked_sub(TOKEN) {
            bucket.level = left;
            return Verdict::Allowed;
        }
        let missing = (TOKEN - bucket.level).div_ceil(rate);
        Verdict::Limited { retry_after: Duration::from_nanos(missing) }
    }

    /// How many clients are told apart at the moment.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nobody has asked.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// A full bucket for a key.
    fn make(&mut self, key: u64, now: Instant) -> u32 {
        let (rate, burst) = (self.rate, self.burst);
        let is_full = |bucket: &Bucket| level(bucket, rate, burst, now) >= burst;
        self.table.insert(key, burst, now, |table| table.find_oldest(PROBES, is_full))
    }
}

/// What is in a bucket by now.
fn level(bucket: &Bucket, rate: u64, burst: u64, now: Instant) -> u64 {
    let passed = now.saturating_duration_since(bucket.at).as_nanos();
    let passed = u64::try_from(passed).unwrap_or(u64::MAX);
    bucket.level.saturating_add(passed.saturating_mul(rate)).min(burst)
}
