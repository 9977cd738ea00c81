//! What one worker shows the others: numbers by key, written by it alone.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Slots in which a key may be: two cache lines.
const SET: usize = 8;
/// Sets that are made at a time: a page of memory.
const CHUNK: usize = 32;

/// No key. One that happens to be this counts as the next number.
const NO_KEY: u64 = 0;

#[derive(Debug, Default)]
struct Slot {
    key: AtomicU64,
    value: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Set([Slot; SET]);

type Chunk = Box<[Set; CHUNK]>;

/// Numbers by key, which one thread writes and others read, without a lock and without waiting:
/// plain loads and stores.
///
/// It forgets: a key has eight slots where it may be, and when all of these are taken, the smallest
/// number goes. Memory comes as keys do (16 bytes for each), up to the size that was asked for, and
/// is never given back. Keys must be hashes that clients cannot choose.
#[derive(Debug)]
pub struct Board {
    chunks: Box<[OnceLock<Chunk>]>,
}

impl Board {
    /// Room for about so many keys.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        let chunks = entries.div_ceil(SET * CHUNK).next_power_of_two();
        Self { chunks: (0..chunks).map(|_| OnceLock::new()).collect() }
    }

    /// Shows a number for a key in place of the one before. Only the owner may.
    pub fn publish(&self, key: u64, value: u64) {
        let key = non_zero(key);
        let (chunk, set) = self.place(key);
        let slots = &chunk.get_or_init(Box::default)[set].0;
        if let Some(slot) = slots.iter().find(|slot| slot.key.load(Ordering::Relaxed) == key) {
            slot.value.store(value, Ordering::Release);
            return;
        }
        if value == 0 {
            // It is not there, which says the same.
            return;
        }
        let Some(slot) = slots.iter().min_by_key(|slot| slot.value.load(Ordering::Relaxed)) else {
            return;
        };
        // A reader that sees the new number sees that the old key is gone, stored before it.
        slot.key.store(NO_KEY, Ordering::Relaxed);
        slot.value.store(value, Ordering::Release);
        slot.key.store(key, Ordering::Release);
    }

    /// The number that is shown for a key; 0 if none is.
    #[must_use]
    pub fn read(&self, key: u64) -> u64 {
        let key = non_zero(key);
        let (chunk, set) = self.place(key);
        let Some(chunk) = chunk.get() else { return 0 };
        for slot in &chunk[set].0 {
            if slot.key.load(Ordering::Acquire) != key {
                continue;
            }
            // Meanwhile the slot may have become another key's, and this one's again: then the
            // value has changed.
            let value = slot.value.load(Ordering::Acquire);
            let is_same_key = slot.key.load(Ordering::Acquire) == key;
            if is_same_key && slot.value.load(Ordering::Relaxed) == value {
                return value;
            }
        }
        0
    }

    /// Where a key is: a chunk, and a set in it.
    fn place(&self, key: u64) -> (&OnceLock<Chunk>, usize) {
        let low = usize::try_from(key & u64::from(u32::MAX)).unwrap_or(0);
        (&self.chunks[(low / CHUNK) & (self.chunks.len() - 1)], low % CHUNK)
    }
}

/// A key that is one.
const fn non_zero(key: u64) -> u64 {
    if key == NO_KEY { NO_KEY + 1 } else { key }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn what_is_shown_is_seen_and_the_smallest_number_goes_first() {
        let board = Board::new(1);
        assert_eq!(board.read(3), 0);
        board.publish(3, 7);
        board.publish(3, 8);
        assert_eq!((board.read(3), board.read(4)), (8, 0));
        // Keys of one set: all but the smallest stay.
        let key = |n: u64| (n << 32) | 9;
        for n in 1..=9 {
            board.publish(key(n), 100 - n);
        }
        let seen: Vec<u64> = (1..=9).map(|n| board.read(key(n))).collect();
        assert_eq!(seen, [99, 98, 97, 96, 95, 94, 93, 0, 91]);
        assert_eq!(board.read(3), 8, "another set");
        board.publish(key(8), 0);
        assert_eq!((1..=9).filter(|n| board.read(key(*n)) > 0).count(), 8, "0 needs no place");
        board.publish(0, 5);
        assert_eq!(board.read(0), 5, "no key is a key, too");
    }

    #[test]
    fn memory_comes_with_the_keys() {
        let board = Board::new(100_000);
        let made = |board: &Board| board.chunks.iter().filter(|one| one.get().is_some()).count();
        assert_eq!((board.chunks.len(), made(&board)), (512, 0));
        board.publish(u64::MAX, 1);
        board.publish(u64::MAX - 1, 1);
        assert_eq!(made(&board), 1);
        assert_eq!(size_of::<[Set; CHUNK]>(), 4096);
    }

    #[test]
    fn a_reader_never_takes_one_key_for_another() {
        let board = Board::new(1);
        let key = |n: u64| (n + 1) << 32;
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Twelve keys in a set of eight slots; the number says whose it is.
                for n in (1_u64..).take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    board.publish(key(n % 12), (n << 8) | (n % 12));
                }
            });
            let mut found = 0;
            let mut n = 0;
            while found < 100_000 {
                n = (n + 1) % 12;
                let seen = board.read(key(n));
                assert!(seen == 0 || seen & 0xff == n, "{n}: {seen:x}");
                found += u32::from(seen != 0);
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}
