//! How often, and how many at a time: limits by where requests come from.

mod concurrency;
mod hash;
mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::{Duration, Instant};

pub use concurrency::Concurrency;
pub use hash::of_source;
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

/// What the workers of a server show each other of their buckets, so that a limit holds for all of
/// them.
///
/// A bucket is told by the moment at which it is full again: what it is now follows from that, and
/// of two such moments the later one knows of more requests. A worker looks at the others' before
/// it lets a request through, and shows its own after. Workers that look at the same instant may
/// take one token each where there was one: of each token, at most as many too many as there are
/// other workers.
pub trait PeerBuckets {
    /// The latest moment that another worker shows for this bucket.
    fn full_at(&self, key: u64) -> Option<Instant>;

    /// The moment at which this bucket is full again.
    fn publish(&self, key: u64, full_at: Instant);
}

/// There is no other worker.
#[derive(Debug, Clone, Copy)]
pub struct NoPeers;

impl PeerBuckets for NoPeers {
    fn full_at(&self, _key: u64) -> Option<Instant> {
        None
    }

    fn publish(&self, _key: u64, _full_at: Instant) {}
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
    /// Apart, as there is room for a limiter of each route, of which most may have none.
    table: Box<Table>,
}

impl RateLimiter {
    /// So many requests a second, and so many at once, for each of at most `entries_max` clients
    /// that are told apart (56 bytes each, taken as they come). `seed` is random, nobody's to know,
    /// and the same for all workers that show each other what they let through.
    #[must_use]
    pub fn new(rate: u32, burst: u32, entries_max: usize, seed: u64) -> Self {
        // No rate and no burst would let nothing through, ever: they are one.
        let rate = u64::from(rate.max(1));
        let burst = u64::from(burst.max(1));
        let table = Box::new(Table::with_limit(entries_max));
        Self { rate, burst: burst * TOKEN, seed, table }
    }

    /// A request from there. IPv6 sources count by their /64: one host has all of it.
    pub fn check_source(&mut self, ip: IpAddr, now: Instant, peers: &impl PeerBuckets) -> Verdict {
        self.check(hash::of_source(ip, self.seed), now, peers)
    }

    /// A request with this value of the field that tells clients apart.
    pub fn check_bytes(&mut self, value: &[u8], now: Instant, peers: &impl PeerBuckets) -> Verdict {
        self.check(hash::of_bytes(value, self.seed), now, peers)
    }

    fn check(&mut self, key: u64, now: Instant, peers: &impl PeerBuckets) -> Verdict {
        let (rate, burst) = (self.rate, self.burst);
        let place = self.table.find(key).unwrap_or_else(|| self.make(key, now));
        self.table.touch(place);
        let Some(bucket) = self.table.get_mut(place) else { return Verdict::Allowed };
        // A moment that lies before the last one brings no tokens, and takes back no time.
        let at = bucket.at.max(now);
        bucket.level = level(bucket, rate, burst, now);
        bucket.at = at;
        if let Some(full_at) = peers.full_at(key) {
            let missing = nanos(full_at.saturating_duration_since(at)).saturating_mul(rate);
            bucket.level = bucket.level.min(burst.saturating_sub(missing));
        }
        if let Some(left) = bucket.level.checked_sub(TOKEN) {
            bucket.level = left;
            peers.publish(key, at + Duration::from_nanos((burst - left).div_ceil(rate)));
            return Verdict::Allowed;
        }
        let missing = (TOKEN - bucket.level).div_ceil(rate);
        Verdict::Limited { retry_after: Duration::from_nanos(missing) }
    }

    /// How many clients are told apart at the moment.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nobody has asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
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
    let passed = nanos(now.saturating_duration_since(bucket.at));
    bucket.level.saturating_add(passed.saturating_mul(rate)).min(burst)
}

/// A time in nanoseconds; the longest that there is for what is longer.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
