//! A fixed set of equal buffers that the kernel fills and that counted handles keep alive.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::{Buf, Mapping};

/// End of the free list.
const NONE: u16 = u16::MAX;
/// Reference count of a buffer that the kernel (or a simulated one) may fill at any time.
const LENT: u32 = u32::MAX;

/// Equal buffers in one mapping. Each buffer is, at any time, exactly one of *free* (on the free
/// list), *lent* (the kernel may write to it) or *held* (one or more [`Buf`]s refer to it).
///
/// `take_free` moves free → lent, `claim` lent → held, dropping the last `Buf` held → free.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Rc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    mapping: Mapping,
    buffer_size: u32,
    /// 0 = free, `LENT` = the kernel's, else the number of `Buf`s.
    references: Box<[Cell<u32>]>,
    next_free: Box<[Cell<u16>]>,
    free_head: Cell<u16>,
    free: Cell<u16>,
    /// All handles on all buffers.
    #[cfg(debug_assertions)]
    handles: Cell<usize>,
}

impl Pool {
    /// Maps `count` buffers of `buffer_size` bytes. They become resident when first filled.
    ///
    /// # Errors
    /// What `mmap(2)` says.
    ///
    /// # Panics
    /// When `count` is 0 or more than 32,768, the most that a kernel's buffer ring takes.
    pub fn new(count: u16, buffer_size: u32) -> io::Result<Self> {
        assert!((1..=32_768).contains(&count), "a pool has 1 to 32,768 buffers");
        let mapping = Mapping::new(usize::from(count) * buffer_size as usize)?;
        let next_free = (0..count)
            .map(|bid| Cell::new(if bid + 1 == count { NONE } else { bid + 1 }))
            .collect();
        Ok(Self {
            shared: Rc::new(Shared {
                mapping,
                buffer_size,
                references: (0..count).map(|_| Cell::new(0)).collect(),
                next_free,
                free_head: Cell::new(0),
                free: Cell::new(count),
                #[cfg(debug_assertions)]
                handles: Cell::new(0),
            }),
        })
    }

    /// Bytes in one buffer.
    #[must_use]
    pub fn buffer_size(&self) -> u32 {
        self.shared.buffer_size
    }

    /// How many buffers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.references.len()
    }

    /// How many buffers are free: neither lent nor held.
    #[must_use]
    pub fn free(&self) -> usize {
        usize::from(self.shared.free.get())
    }

    /// How many [`Buf`]s refer to the buffers.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn handles(&self) -> usize {
        self.shared.handles.get()
    }

    /// Takes a buffer off the free list and lends it; `None` when all are lent or held.
    #[must_use]
    pub fn take_free(&self) -> Option<u16> {
        let shared = &self.shared;
        let bid = shared.free_head.get();
        if bid == NONE {
            return None;
        }
        let index = usize::from(bid);
        shared.free_head.set(shared.next_free[index].get());
        shared.free.set(shared.free.get() - 1);
        shared.references[index].set(LENT);
        Some(bid)
    }

    /// The address of buffer `bid`, to be given to the kernel while the buffer is lent.
    ///
    /// # Panics
    /// When there is no such buffer.
    #[must_use]
    pub fn address(&self, bid: u16) -> *mut u8 {
        self.shared.start(bid)
    }

    /// A lent buffer was filled with `len` bytes: the handle that now owns it.
    ///
    /// `None` when the buffer is not lent or is shorter than `len`: a second completion for the
    /// same buffer must not become a second owner.
    #[must_use]
    pub fn claim(&self, bid: u16, len: u32) -> Option<Buf> {
        let references = self.shared.references.get(usize::from(bid))?;
        if references.get() != LENT || len > self.shared.buffer_size {
            return None;
        }
        references.set(1);
        self.shared.count_handles(1);
        Some(Buf::pooled(Rc::clone(&self.shared), bid, len))
    }

    /// Copies `data` into a lent buffer, as the kernel would, and claims it. For simulated kernels:
    /// the pool must not be registered with a real one.
    ///
    /// # Panics
    /// When `data` is longer than a buffer or no such buffer exists.
    #[must_use]
    pub fn fill(&self, bid: u16, data: &[u8]) -> Option<Buf> {
        if !self.shared.write(bid, data) {
            return None;
        }
        self.claim(bid, u32::try_from(data.len()).ok()?)
    }

    /// Claims a lent buffer that the kernel has filled with `len` bytes behind the first
    /// `head.len()`, and puts `head` there. The kernel must be done with the buffer.
    ///
    /// # Panics
    /// When `head` is longer than a buffer or no such buffer exists.
    #[must_use]
    pub fn claim_behind(&self, bid: u16, head: &[u8], len: u32) -> Option<Buf> {
        if !self.shared.write(bid, head) {
            return None;
        }
        self.claim(bid, len.checked_add(u32::try_from(head.len()).ok()?)?)
    }
}

impl Shared {
    /// Copies `data` to the start of a lent buffer; false when it is not lent.
    fn write(&self, bid: u16, data: &[u8]) -> bool {
        assert!(data.len() <= self.buffer_size as usize, "data fits a buffer");
        if self.references[usize::from(bid)].get() != LENT {
            return false;
        }
        let start = self.start(bid);
        // SAFETY: the buffer is lent, so no `Buf` (and so no slice) refers to it; the callers see
        // to it that no kernel writes there; the length was checked above.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), start, data.len()) };
        true
    }

    fn start(&self, bid: u16) -> *mut u8 {
        assert!(usize::from(bid) < self.references.len(), "no buffer {bid}");
        // SAFETY: bid is below the count, and the mapping is count * buffer_size bytes.
        unsafe { self.mapping.base().as_ptr().add(usize::from(bid) * self.buffer_size as usize) }
    }

    pub(super) fn bytes(&self, bid: u16, start: u32, len: u32) -> &[u8] {
        let references = self.references[usize::from(bid)].get();
        debug_assert!(references != 0 && references != LENT, "a Buf's buffer is held");
        assert!(u64::from(start) + u64::from(len) <= u64::from(self.buffer_size));
        // SAFETY: start + len was checked to lie within the buffer.
        let first = unsafe { self.start(bid).add(start as usize) };
        // SAFETY: the bytes are initialised (the mapping is zeroed) and nobody writes to them: a
        // held buffer is not lent, and the caller is a `Buf`, which keeps it held.
        unsafe { std::slice::from_raw_parts(first, len as usize) }
    }

    /// The same for the one handle that there is, which may change them.
    pub(super) fn alone(
        shared: &mut Rc<Self>,
        bid: u16,
        start: u32,
        len: u32,
    ) -> Option<&mut [u8]> {
        if shared.references[usize::from(bid)].get() != 1 {
            return None;
        }
        assert!(u64::from(start) + u64::from(len) <= u64::from(shared.buffer_size));
        // SAFETY: start + len was checked to lie within the buffer.
        let first = unsafe { shared.start(bid).add(start as usize) };
        // SAFETY: as in `bytes`. Nobody else reads them: the caller has the one handle on this
        // buffer, mutably, for as long as the slice lives; no other can be made meanwhile.
        Some(unsafe { std::slice::from_raw_parts_mut(first, len as usize) })
    }

    #[cfg(debug_assertions)]
    fn count_handles(&self, change: isize) {
        self.handles.set(self.handles.get().wrapping_add_signed(change));
    }

    #[cfg(not(debug_assertions))]
    #[expect(clippy::unused_self, reason = "it counts in debug builds")]
    const fn count_handles(&self, _change: isize) {}

    pub(super) fn retain(&self, bid: u16) {
        self.count_handles(1);
        let references = &self.references[usize::from(bid)];
        references.set(references.get() + 1);
    }

    pub(super) fn release(&self, bid: u16) {
        self.count_handles(-1);
        let references = &self.references[usize::from(bid)];
        let left = references.get() - 1;
        references.set(left);
        if left == 0 {
            self.next_free[usize::from(bid)].set(self.free_head.get());
            self.free_head.set(bid);
            self.free.set(self.free.get() + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_free_lent_held_free() {
        let pool = Pool::new(2, 64).unwrap();
        assert_eq!((pool.count(), pool.free(), pool.buffer_size()), (2, 2, 64));
        let bid = pool.take_free().unwrap();
        assert_eq!(pool.free(), 1);
        let buf = pool.fill(bid, b"hello").unwrap();
        let copy = buf.clone();
        drop(buf);
        assert_eq!(pool.free(), 1, "a clone keeps the buffer");
        assert_eq!(&*copy, b"hello");
        drop(copy);
        assert_eq!(pool.free(), 2);
    }

    #[test]
    fn all_buffers_are_handed_out_once() {
        let pool = Pool::new(4, 16).unwrap();
        let mut bids: Vec<u16> = std::iter::from_fn(|| pool.take_free()).collect();
        bids.sort_unstable();
        assert_eq!(bids, [0, 1, 2, 3]);
        assert_eq!(pool.take_free(), None);
    }

    #[test]
    fn only_a_lent_buffer_can_be_claimed_and_only_once() {
        let pool = Pool::new(2, 16).unwrap();
        assert!(pool.claim(0, 4).is_none(), "free");
        let bid = pool.take_free().unwrap();
        assert!(pool.claim(bid, 17).is_none(), "longer than the buffer");
        let held = pool.claim(bid, 4).unwrap();
        assert!(pool.claim(bid, 4).is_none(), "held");
        assert!(pool.claim(9, 4).is_none(), "no such buffer");
        drop(held);
    }

    #[test]
    fn a_head_is_put_before_what_the_kernel_wrote() {
        let pool = Pool::new(1, 8).unwrap();
        assert!(pool.claim_behind(0, b"ab", 1).is_none(), "free");
        let bid = pool.take_free().unwrap();
        assert!(pool.claim_behind(bid, b"ab", 7).is_none(), "longer than the buffer");
        let buf = pool.claim_behind(bid, b"ab", 3).unwrap();
        assert_eq!(&*buf, b"ab\0\0\0");
    }

    #[test]
    fn a_buf_outlives_the_pool_handle() {
        let pool = Pool::new(1, 16).unwrap();
        let bid = pool.take_free().unwrap();
        let buf = pool.fill(bid, b"still here").unwrap();
        drop(pool);
        assert_eq!(&*buf, b"still here");
    }
}
