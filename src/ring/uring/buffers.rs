//! The ring of receive buffers that the kernel takes from (`IORING_REGISTER_PBUF_RING`, 5.19).

use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::SetupError;
use crate::mem::{Mapping, Pool};

/// The group of the buffers that streams are received into.
pub(super) const GROUP: u16 = 0;
/// The group of the buffers that datagrams are received into.
pub(super) const DATAGRAM_GROUP: u16 = 1;

/// Buffers that the kernel is lent to begin with.
const SHARE_FIRST: u16 = 32;

/// Publishes free buffers of a [`Pool`] to the kernel. The memory of the ring itself lives as long
/// as this value, which the driver drops after the ring was closed.
///
/// The kernel takes buffers in the order in which they were published. All of them would so be
/// written to in turn, resident and out of the caches, were there work for only a few: so the
/// kernel has a share, which doubles when a turn leaves less than a quarter of it.
pub(super) struct BufferRing {
    memory: Option<Mapping>,
    mask: u16,
    tail: u16,
    published: u16,
    /// Most that are published at a time.
    share: u16,
    /// Where in a buffer the kernel begins.
    offset: u32,
}

impl BufferRing {
    /// Registers a ring as large as `pool` as `group` and publishes buffers, but for their first
    /// `offset` bytes.
    pub(super) fn register(
        ring: &IoUring,
        pool: &Pool,
        group: u16,
        offset: u32,
    ) -> Result<Self, SetupError> {
        let entries = u16::try_from(pool.count()).unwrap_or(u16::MAX);
        let entries = if entries.is_power_of_two() { entries } else { 1 << 15 };
        let memory = Mapping::new(usize::from(entries) * size_of::<BufRingEntry>())
            .map_err(|error| SetupError::of("mmap of the buffer ring", &error))?;
        let address = memory.base().as_ptr().addr() as u64;
        // SAFETY: the memory is page-aligned, holds `entries` entries, and outlives the ring: the
        // driver's fields drop in that order.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, entries, group, 0) }
            .map_err(|error| SetupError::of("io_uring_register(PBUF_RING)", &error))?;
        let mask = entries - 1;
        let mut this = Self {
            memory: Some(memory),
            mask,
            tail: 0,
            published: 0,
            share: entries.min(SHARE_FIRST),
            offset,
        };
        this.fill(pool);
        Ok(this)
    }

    /// Buffers that the kernel may take.
    pub(super) fn published(&self) -> usize {
        usize::from(self.published)
    }

    /// The kernel took one.
    pub(super) fn taken(&mut self) {
        self.published = self.published.saturating_sub(1);
    }

    /// Between two turns: lends the kernel its share of the pool's free buffers.
    pub(super) fn publish(&mut self, pool: &Pool) {
        if self.published < self.share / 4 {
            self.share = self.share.saturating_mul(2).min(self.mask + 1);
        }
        self.fill(pool);
    }

    fn fill(&mut self, pool: &Pool) {
        let Some(memory) = &self.memory else { return };
        let base = memory.base().as_ptr().cast::<BufRingEntry>();
        let before = self.tail;
        while self.published < self.share
            && let Some(bid) = pool.take_free()
        {
            // SAFETY: the index is masked to the number of entries that the memory holds.
            let slot = unsafe { base.add(usize::from(self.tail & self.mask)) };
            // SAFETY: the entry lies beyond the tail that the kernel sees, because no more buffers
            // exist than entries: only we touch it.
            let entry = unsafe { &mut *slot };
            entry.set_addr(pool.address(bid).addr() as u64 + u64::from(self.offset));
            entry.set_len(pool.buffer_size() - self.offset);
            entry.set_bid(bid);
            self.tail = self.tail.wrapping_add(1);
            self.published += 1;
        }
        if self.tail != before {
            // SAFETY: base points to the registered ring, of which the tail is a part.
            let tail = unsafe { BufRingEntry::tail(base) };
            // SAFETY: the tail is a u16 that the kernel reads atomically; it is aligned, and lives
            // as long as the memory.
            let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
            tail.store(self.tail, Ordering::Release);
        }
    }

    /// Keeps the memory for ever: the kernel may still read it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(self.memory.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_lent_a_few_buffers_and_more_as_it_needs_them() {
        let ring = IoUring::new(8).expect("io_uring");
        let pool = Pool::new(128, 64).expect("memory");
        let mut buffers = BufferRing::register(&ring, &pool, 0, 0).expect("a ring of buffers");
        let mut take = |count| {
            let before = buffers.published();
            (0..count).for_each(|_| buffers.taken());
            buffers.publish(&pool);
            (before, buffers.published(), pool.free())
        };
        assert_eq!(take(24), (32, 32, 72), "a quarter was left");
        assert_eq!(take(25), (32, 64, 15), "less was left");
        assert_eq!(take(64), (64, 15, 0), "no more than there are");
    }
}
