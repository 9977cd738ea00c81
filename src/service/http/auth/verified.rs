//! Passwords that were right of late.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Passwords that were right of late, by a digest of them: they need not be checked again, which
/// would cost many milliseconds for each request. No password stands in it, and who does not know
/// the seed cannot choose where one lies, so that the time of a search tells nothing.
pub struct VerifiedCache {
    /// When each was found to be right.
    since: HashMap<[u8; 32], Instant>,
    /// The same, the one that was found first at the front: all last equally long.
    order: VecDeque<[u8; 32]>,
    entries_max: usize,
    lasts: Duration,
    seed: u64,
}

impl fmt::Debug for VerifiedCache {
    /// Digests of passwords are secrets, too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedCache({} of {})", self.since.len(), self.entries_max)
    }
}

impl VerifiedCache {
    /// Remembers at most so many for so long. `seed` is random, and nobody's to know.
    #[must_use]
    pub fn new(entries_max: usize, lasts: Duration, seed: u64) -> Self {
        Self { since: HashMap::new(), order: VecDeque::new(), entries_max, lasts, seed }
    }

    /// What is remembered of a user with a password. Another hash of the user's is another key: a
    /// changed password is checked anew.
    #[must_use]
    pub fn key(&self, user: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.seed.to_le_bytes());
        for part in [user, password, hash] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        digest.finalize().into()
    }

    /// Whether it was right of late.
    #[must_use]
    pub fn contains(&self, key: &[u8; 32], now: Instant) -> bool {
        self.since.get(key).is_some_and(|since| self.is_new(*since, now))
    }

    /// It was right. When there is no room, what was right longest ago goes.
    pub fn insert(&mut self, key: [u8; 32], now: Instant) {
        while let Some(oldest) = self.order.front() {
            let since = self.since.get(oldest).copied();
            let stays = since.is_some_and(|since| self.is_new(since, now));
            if stays && self.order.len() < self.entries_max {
                break;
            }
            // A key that is there already makes no room: its time runs on.
            if stays && self.since.contains_key(&key) {
                break;
            }
            self.since.remove(oldest);
            self.order.pop_front();
        }
        if self.order.len() < self.entries_max && !self.since.contains_key(&key) {
            self.since.insert(key, now);
            self.order.push_back(key);
        }
    }

    /// How many are remembered, those that are too old among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.since.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.since.is_empty()
    }

    fn is_new(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) < self.lasts
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    #[test]
    fn what_was_right_is_remembered_for_a_while_and_only_so_much() {
        let mut cache = VerifiedCache::new(2, Duration::from_secs(10), 1);
        let origin = Instant::now();
        let after = |seconds| origin + Duration::from_secs(seconds);
        let keys = ["a", "b", "c"].map(|user| cache.key(user, "p", "h"));
        assert!(cache.is_empty());
        cache.insert(keys[0], origin);
        assert!(cache.contains(&keys[0], after(9)) && !cache.contains(&keys[1], origin));
        assert!(!cache.contains(&keys[0], after(10)));
        cache.insert(keys[1], after(1));
        cache.insert(keys[0], after(2));
        cache.insert(keys[1], after(2));
        assert!(cache.contains(&keys[0], after(2)) && cache.contains(&keys[1], after(2)));
        assert!(!cache.contains(&keys[0], after(10)), "its time runs on");
        cache.insert(keys[2], after(3));
        assert!(cache.contains(&keys[2], after(3)) && cache.contains(&keys[1], after(3)));
        assert!(!cache.contains(&keys[0], after(3)), "it was the oldest");
        cache.insert(keys[0], after(20));
        assert_eq!(cache.len(), 1, "all others were too old");
        assert!(!format!("{cache:?}").contains(','));
    }

    #[test]
    fn a_key_differs_by_each_part_and_by_the_seed() {
        let cache = |seed| VerifiedCache::new(1, Duration::from_secs(1), seed);
        let key = cache(1).key("a", "p", "h");
        assert_eq!(key, cache(1).key("a", "p", "h"));
        for other in [
            cache(2).key("a", "p", "h"),
            cache(1).key("b", "p", "h"),
            cache(1).key("a", "q", "h"),
            cache(1).key("a", "p", "i"),
            cache(1).key("ap", "", "h"),
            cache(1).key("", "ap", "h"),
            cache(1).key("a", "", "ph"),
        ] {
            assert_ne!(key, other);
        }
    }

    #[test]
    fn many_take_no_more_room_than_was_given() {
        for most in [0, 1, 7] {
            let mut cache = VerifiedCache::new(most, Duration::MAX, 1);
            let now = Instant::now();
            for n in 0..1_000_u32 {
                let key = cache.key(&n.to_string(), "", "");
                cache.insert(key, now);
                assert_eq!(cache.contains(&key, now), most > 0);
                assert!(cache.len() <= most && cache.order.len() == cache.len());
            }
        }
    }
}
