//! Memory that a worker lends, and that comes back from whichever thread drops what holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many bytes are lent.
#[derive(Debug, Clone, Default)]
pub struct Quota(Arc<AtomicU64>);

/// Bytes that are lent until this is dropped.
#[derive(Debug)]
pub struct Share {
    quota: Quota,
    bytes: u64,
}

impl Quota {
    /// Bytes that are lent now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Lends bytes. Whether there are any to be lent is the caller's to decide; only one thread
    /// lends, so that what it has read does not grow meanwhile.
    #[must_use]
    pub fn lend(&self, bytes: u64) -> Share {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Share { quota: self.clone(), bytes }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.quota.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_comes_back_from_any_thread() {
        let quota = Quota::default();
        let (one, other) = (quota.lend(3), quota.lend(4));
        assert_eq!(quota.used(), 7);
        std::thread::spawn(move || drop(one)).join().unwrap();
        assert_eq!(quota.used(), 4);
        drop(other);
        assert_eq!(quota.used(), 0);
    }
}
