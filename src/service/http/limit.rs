//! How often, and how many at a time: limits by where requests come from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

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

/// Token buckets by key, at most so many of them.
///
/// Buckets are found by a hash with a seed of the process, so that nobody can aim at somebody
/// else's. When all are taken, the one that was asked longest ago goes: it is the likeliest to be
/// full, and a full one is as good as none. No memory is taken once all are there.
#[derive(Debug)]
pub struct RateLimiter {
    rate: f64,
    burst: f64,
    entries_max: usize,
    seed: u64,
    /// Where a key's bucket is.
    places: HashMap<u64, u32, Plain>,
    buckets: Vec<Bucket>,
    /// The bucket that was asked last, and the one that was asked longest ago.
    newest: u32,
    oldest: u32,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    key: u64,
    tokens: f64,
    at: Instant,
    newer: u32,
    older: u32,
}

/// No bucket.
const NONE: u32 = u32::MAX;

impl RateLimiter {
    /// So many requests a second, and so many at once.
    #[must_use]
    pub fn new(rate: u32, burst: u32, entries_max: usize, seed: u64) -> Self {
        Self {
            rate: f64::from(rate.max(1)),
            burst: f64::from(burst.max(1)),
            entries_max: entries_max.clamp(1, NONE as usize - 1),
            seed,
            places: HashMap::default(),
            buckets: Vec::new(),
            newest: NONE,
            oldest: NONE,
        }
    }

    /// A request from there. IPv6 sources count by their /64: one host has all of it.
    pub fn check_source(&mut self, ip: IpAddr, now: Instant) -> Verdict {
        self.check(source_key(ip, self.seed), now)
    }

    /// A request with this value of the field that tells clients apart.
    pub fn check_bytes(&mut self, value: &[u8], now: Instant) -> Verdict {
        self.check(hash(value, self.seed), now)
    }

    fn check(&mut self, key: u64, now: Instant) -> Verdict {
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => self.make(key, now),
        };
        self.renew(place);
        let (rate, burst) = (self.rate, self.burst);
        let Some(bucket) = self.buckets.get_mut(place as usize) else { return Verdict::Allowed };
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * rate).min(burst);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Verdict::Allowed;
        }
        let retry_after = Duration::try_from_secs_f64((1.0 - bucket.tokens) / rate);
        Verdict::Limited { retry_after: retry_after.unwrap_or(Duration::MAX) }
    }

    /// How many clients are told apart at the moment.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// Whether nobody has asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// A full bucket for a key: a new one, or the one that was asked longest ago.
    fn make(&mut self, key: u64, now: Instant) -> u32 {
        let bucket = Bucket { key, tokens: self.burst, at: now, newer: NONE, older: NONE };
        let place = if self.buckets.len() < self.entries_max {
            self.buckets.push(bucket);
            let place = u32::try_from(self.buckets.len() - 1).unwrap_or(0);
            self.link(place);
            place
        } else {
            let place = self.oldest;
            if let Some(old) = self.buckets.get_mut(place as usize) {
                self.places.remove(&old.key);
                (old.key, old.tokens, old.at) = (key, self.burst, now);
            }
            place
        };
        self.places.insert(key, place);
        place
    }

    /// The bucket is the one that was asked last.
    fn renew(&mut self, place: u32) {
        if self.newest == place {
            return;
        }
        let Some(bucket) = self.buckets.get(place as usize).copied() else { return };
        match self.buckets.get_mut(bucket.newer as usize) {
            Some(newer) => newer.older = bucket.older,
            None => self.newest = bucket.older,
        }
        match self.buckets.get_mut(bucket.older as usize) {
            Some(older) => older.newer = bucket.newer,
            None => self.oldest = bucket.newer,
        }
        self.link(place);
    }

    fn link(&mut self, place: u32) {
        let newest = self.newest;
        if let Some(bucket) = self.buckets.get_mut(place as usize) {
            (bucket.newer, bucket.older) = (NONE, newest);
        }
        match self.buckets.get_mut(newest as usize) {
            Some(before) => before.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

/// Connections at a time by source. As many entries as there are sources that are connected.
#[derive(Debug, Default)]
pub struct Concurrency {
    counts: HashMap<IpAddr, u32>,
}

impl Concurrency {
    /// A connection from there: whether there are no more than `most` with it.
    pub fn enter(&mut self, ip: IpAddr, most: u32) -> bool {
        let count = self.counts.entry(network(ip)).or_insert(0);
        let fits = *count < most;
        *count += u32::from(fits);
        if *count == 0 {
            self.counts.remove(&network(ip));
        }
        fits
    }

    /// A connection that was let in has ended.
    pub fn leave(&mut self, ip: IpAddr) {
        if let Some(count) = self.counts.get_mut(&network(ip)) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&network(ip));
            }
        }
    }

    /// How many sources are connected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no source is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn source_key(ip: IpAddr, seed: u64) -> u64 {
    match network(ip) {
        IpAddr::V4(ip) => hash(&ip.octets(), seed),
        IpAddr::V6(ip) => hash(&ip.octets(), seed),
    }
}

/// A hash that can not be aimed at without the seed.
fn hash(bytes: &[u8], seed: u64) -> u64 {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(bytes.len() as u64 | 1);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        state = mix(state ^ u64::from_le_bytes(word), seed);
    }
    mix(state, seed.rotate_left(32))
}

/// Folds a product of 128 bits, so that each bit of the input and the seed reaches all others.
fn mix(value: u64, seed: u64) -> u64 {
    let product = u128::from(value ^ 0xa076_1d64_78bd_642f) * u128::from(seed | 1);
    let (high, low) = (product >> 64, product & u128::from(u64::MAX));
    u64::try_from(high ^ low).unwrap_or(0).wrapping_mul(0xe703_7ed1_a0b4_28db).rotate_left(29)
}

/// Keys are hashes already.
type Plain = std::hash::BuildHasherDefault<Same>;

/// Gives a key back as its hash.
#[derive(Debug, Default, Clone, Copy)]
pub struct Same(u64);

impl std::hash::Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let mut limiter = RateLimiter::new(10, 3, 8, 7);
        let (ip, origin) = (IpAddr::from([1, 2, 3, 4]), Instant::now());
        for _ in 0..3 {
            assert_eq!(limiter.check_source(ip, origin), Verdict::Allowed);
        }
        let Verdict::Limited { retry_after } = limiter.check_source(ip, origin) else {
            panic!("the burst is over")
        };
        assert!((90..=100).contains(&retry_after.as_millis()), "{retry_after:?}");
        let later = origin + Duration::from_millis(100);
        assert_eq!(limiter.check_source(ip, later), Verdict::Allowed);
        assert_ne!(limiter.check_source(ip, later), Verdict::Allowed);
        assert_eq!(limiter.check_source(IpAddr::from([1, 2, 3, 5]), later), Verdict::Allowed);
    }

    #[test]
    fn memory_is_bounded_and_who_was_asked_longest_ago_goes_first() {
        let mut limiter = RateLimiter::new(1, 1, 4, 7);
        let now = Instant::now();
        for n in 0..4_u8 {
            assert_eq!(limiter.check_bytes(&[n], now), Verdict::Allowed);
        }
        assert_ne!(limiter.check_bytes(&[0], now), Verdict::Allowed);
        assert_eq!(limiter.check_bytes(&[9], now), Verdict::Allowed, "takes the place of 1");
        assert_ne!(limiter.check_bytes(&[0], now), Verdict::Allowed, "0 was asked since");
        assert_eq!(limiter.check_bytes(&[1], now), Verdict::Allowed, "it was forgotten");
        for n in 0..10_000_u32 {
            limiter.check_bytes(&n.to_le_bytes(), now);
            assert!(limiter.len() <= 4 && limiter.places.len() == limiter.len());
        }
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let mut limiter = RateLimiter::new(1, 1, 4, 7);
        let now = Instant::now();
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(limiter.check_source(one, now), Verdict::Allowed);
        assert_ne!(limiter.check_source(same, now), Verdict::Allowed);
        assert_eq!(limiter.check_source(other, now), Verdict::Allowed);
    }

    #[test]
    fn connections_of_a_source_are_counted_and_forgotten() {
        let mut sources = Concurrency::default();
        let ip = IpAddr::from([1, 2, 3, 4]);
        assert!(sources.enter(ip, 2) && sources.enter(ip, 2));
        assert!(!sources.enter(ip, 2));
        sources.leave(ip);
        assert!(sources.enter(ip, 2));
        sources.leave(ip);
        sources.leave(ip);
        assert!(sources.is_empty());
        assert!(!sources.enter(ip, 0) && sources.is_empty());
    }

    #[test]
    fn hashes_differ_by_seed_and_by_every_byte() {
        let mut seen = std::collections::HashSet::new();
        for n in 0..10_000_u32 {
            assert!(seen.insert(hash(&n.to_le_bytes(), 5)));
        }
        assert_ne!(hash(b"a", 1), hash(b"a", 2));
        assert_ne!(hash(b"", 1), hash(b"\0", 1));
    }
}
