//! Buckets by key, in the order in which they were last asked, at most a fixed number of them.

use std::time::Instant;

/// No bucket.
const NONE: u32 = u32::MAX;
/// Chains that a table starts with.
const CHAINS_MIN: usize = 16;

/// One bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    /// Whose it is.
    pub(super) key: u64,
    /// What was in it at that moment, in parts of a token.
    pub(super) level: u64,
    /// The moment.
    pub(super) at: Instant,
    /// The bucket that was asked next, and the one that was asked before.
    newer: u32,
    older: u32,
    /// The next one of its chain.
    next: u32,
}

/// Buckets are chained by the lower bits of their keys, which are good hashes. The chains are as
/// many as the buckets, or up to twice as many, and grow as these do; nothing grows when all are
/// taken, and none is ever given back.
#[derive(Debug)]
pub(super) struct Table {
    buckets: Vec<Bucket>,
    /// The first bucket of each chain; a power of two of them, or none.
    chains: Vec<u32>,
    limit: usize,
    newest: u32,
    oldest: u32,
}

impl Table {
    pub(super) const fn with_limit(limit: usize) -> Self {
        let most = NONE as usize - 1;
        let limit = if limit == 0 { 1 } else { limit };
        let limit = if limit > most { most } else { limit };
        Self { buckets: Vec::new(), chains: Vec::new(), limit, newest: NONE, oldest: NONE }
    }

    pub(super) const fn len(&self) -> usize {
        self.buckets.len()
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Bucket> {
        self.buckets.get_mut(place as usize)
    }

    fn chain(&self, key: u64) -> usize {
        let last = self.chains.len().wrapping_sub(1);
        usize::try_from(key & u64::from(u32::MAX)).unwrap_or(0) & last
    }

    /// The bucket of a key.
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        let mut place = *self.chains.get(self.chain(key))?;
        while let Some(bucket) = self.buckets.get(place as usize) {
            if bucket.key == key {
                return Some(place);
            }
            place = bucket.next;
        }
        None
    }

    /// Among the `most` buckets that were asked longest ago, the first for which `fits` says so.
    pub(super) fn find_oldest(&self, most: usize, fits: impl Fn(&Bucket) -> bool) -> Option<u32> {
        let mut place = self.oldest;
        for _ in 0..most {
            let bucket = self.buckets.get(place as usize)?;
            if fits(bucket) {
                return Some(place);
            }
            place = bucket.newer;
        }
        None
    }

    /// A bucket for a key that has none. When all are taken, it is the one that `choose` says, or
    /// else the one that was asked longest ago.
    pub(super) fn insert(
        &mut self,
        key: u64,
        level: u64,
        at: Instant,
        choose: impl FnOnce(&Self) -> Option<u32>,
    ) -> u32 {
        let place = if self.buckets.len() < self.limit {
            let bucket = Bucket { key, level, at, newer: NONE, older: NONE, next: NONE };
            self.buckets.push(bucket);
            self.grow_chains();
            u32::try_from(self.buckets.len() - 1).unwrap_or(0)
        } else {
            let place = choose(self).unwrap_or(self.oldest);
            self.unchain(place);
            self.unlink(place);
            if let Some(bucket) = self.get_mut(place) {
                (bucket.key, bucket.level, bucket.at) = (key, level, at);
            }
            place
        };
        self.chain_up(place);
        self.link(place);
        place
    }

    /// The bucket is the one that was asked last.
    pub(super) fn touch(&mut self, place: u32) {
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
    }

    /// Makes twice as many chains when there are more buckets than chains. The last bucket is not
    /// in one yet.
    fn grow_chains(&mut self) {
        if self.buckets.len() <= self.chains.len() {
            return;
        }
        let chains = (self.chains.len() * 2).max(CHAINS_MIN);
        self.chains.clear();
        self.chains.resize(chains, NONE);
        for place in (0..).take(self.buckets.len() - 1) {
            self.chain_up(place);
        }
    }

    /// Puts a bucket into the chain of its key.
    fn chain_up(&mut self, place: u32) {
        let Some(key) = self.buckets.get(place as usize).map(|bucket| bucket.key) else { return };
        let chain = self.chain(key);
        let Some(first) = self.chains.get_mut(chain) else { return };
        let next = std::mem::replace(first, place);
        if let Some(bucket) = self.get_mut(place) {
            bucket.next = next;
        }
    }

    /// Takes a bucket out of the chain of its key.
    fn unchain(&mut self, place: u32) {
        let Some(Bucket { key, next, .. }) = self.buckets.get(place as usize).copied() else {
            return;
        };
        let chain = self.chain(key);
        let Some(first) = self.chains.get_mut(chain) else { return };
        if *first == place {
            *first = next;
            return;
        }
        let mut before = *first;
        while let Some(bucket) = self.buckets.get_mut(before as usize) {
            if bucket.next == place {
                bucket.next = next;
                return;
            }
            before = bucket.next;
        }
    }

    fn unlink(&mut self, place: u32) {
        let Some(Bucket { newer, older, .. }) = self.buckets.get(place as usize).copied() else {
            return;
        };
        match self.buckets.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.buckets.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, place: u32) {
        let newest = self.newest;
        if let Some(bucket) = self.get_mut(place) {
            (bucket.newer, bucket.older) = (NONE, newest);
        }
        match self.get_mut(newest) {
            Some(before) => before.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
impl Table {
    /// Bytes of memory that are held.
    pub(super) fn capacity(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>() + self.chains.capacity() * size_of::<u32>()
    }

    /// The keys, the one that was asked last first; checks that all is where it belongs.
    pub(super) fn keys(&self) -> Vec<u64> {
        let mut keys = Vec::new();
        let (mut place, mut newer) = (self.newest, NONE);
        while let Some(bucket) = self.buckets.get(place as usize) {
            assert_eq!((bucket.newer, self.find(bucket.key)), (newer, Some(place)));
            keys.push(bucket.key);
            (newer, place) = (place, bucket.older);
        }
        assert_eq!((newer, keys.len()), (self.oldest, self.buckets.len()));
        keys
    }
}
