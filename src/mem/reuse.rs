//! Memory that is used again and again, and is always handed out empty.
//!
//! A worker's connections share this memory one after the other. What one of them has left in it
//! must never reach the next one, so emptiness is not left to its users: taking a value clears it,
//! wherever it was used before and however it came back.

/// What can be emptied while its memory is kept.
pub trait Reuse: Default {
    /// Makes the value equal to a new one.
    fn clear(&mut self);

    /// Bytes of memory that it keeps.
    fn capacity(&self) -> usize;
}

impl Reuse for Vec<u8> {
    fn clear(&mut self) {
        Self::clear(self);
    }

    fn capacity(&self) -> usize {
        Self::capacity(self)
    }
}

impl Reuse for String {
    fn clear(&mut self) {
        Self::clear(self);
    }

    fn capacity(&self) -> usize {
        Self::capacity(self)
    }
}

/// Values that are not in use.
#[derive(Debug)]
pub struct FreeList<T> {
    values: Vec<Box<T>>,
    len_max: usize,
    capacity_max: usize,
}

impl<T: Reuse> FreeList<T> {
    /// A list that keeps at most `len_max` values, each of at most `capacity_max` bytes.
    #[must_use]
    pub const fn new(len_max: usize, capacity_max: usize) -> Self {
        Self { values: Vec::new(), len_max, capacity_max }
    }

    /// An empty value.
    #[must_use]
    pub fn take(&mut self) -> Box<T> {
        let mut value = self.values.pop().unwrap_or_default();
        value.clear();
        value
    }

    /// Keeps a value for the next [`FreeList::take`], unless it is too large or there are enough.
    pub fn give(&mut self, value: Box<T>) {
        if self.values.len() < self.len_max && value.capacity() <= self.capacity_max {
            self.values.push(value);
        }
    }
}

/// One value that is lent for the time of a call, again and again.
#[derive(Debug)]
pub struct Scratch<T> {
    value: T,
    capacity_max: usize,
}

impl<T: Reuse> Scratch<T> {
    /// A value that is freed when it comes back with more than `capacity_max` bytes of memory.
    #[must_use]
    pub fn new(capacity_max: usize) -> Self {
        Self { value: T::default(), capacity_max }
    }

    /// An empty value, to be given back by [`Scratch::give`]. Without that the next one is new.
    #[must_use]
    pub fn take(&mut self) -> T {
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        value
    }

    /// Keeps the memory of a value for the next use.
    pub fn give(&mut self, value: T) {
        if value.capacity() <= self.capacity_max {
            self.value = value;
        }
    }

    /// An empty value in its place.
    #[must_use]
    pub fn lend(&mut self) -> &mut T {
        if self.value.capacity() > self.capacity_max {
            self.value = T::default();
        }
        self.value.clear();
        &mut self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_list_hands_out_empty_values_however_they_came_back() {
        let mut list: FreeList<Vec<u8>> = FreeList::new(2, 100);
        for text in [&b"cookie: secret"[..], b"", b"x"] {
            list.give(Box::new(text.to_vec()));
            assert!(list.take().is_empty());
        }
    }

    #[test]
    fn a_free_list_keeps_so_many_values_and_none_that_is_large() {
        let mut list: FreeList<Vec<u8>> = FreeList::new(2, 100);
        list.give(Box::new(Vec::with_capacity(101)));
        assert!(list.values.is_empty());
        (0..3).for_each(|_| list.give(Box::new(Vec::with_capacity(10))));
        assert_eq!(list.values.len(), 2);
        assert!(list.take().capacity() >= 10, "its memory is used again");
    }

    #[test]
    fn scratch_is_empty_at_each_use_and_shrinks_after_a_large_one() {
        let mut scratch: Scratch<Vec<u8>> = Scratch::new(100);
        scratch.lend().extend_from_slice(b"secret");
        assert!(scratch.lend().is_empty());
        scratch.lend().extend_from_slice(b"secret");
        let taken = scratch.take();
        assert!(taken.is_empty() && taken.capacity() >= 6);
        scratch.give(b"secret".to_vec());
        assert!(scratch.take().is_empty());
        scratch.give(Vec::with_capacity(101));
        assert_eq!(scratch.take().capacity(), 0);
        scratch.lend().reserve(101);
        assert!(scratch.lend().capacity() <= 100);
        let mut text: Scratch<String> = Scratch::new(100);
        text.give("a file of somebody".to_owned());
        assert_eq!(text.take(), "");
    }
}
