//! Reference-counted slices of received bytes, which are immutable while shared, and lists of
//! slices to be sent.

use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use super::pool::Shared;

/// Most slices that one vectored send carries; the rest waits for the next one. Well below the
/// kernel's own limit (`UIO_MAXIOV`, 1,024), so that the list of slices stays small.
pub const SEGMENTS_MAX: usize = 64;

/// A handle on bytes in a pool buffer or on the heap. Cloning increments a count; dropping the last
/// handle returns a pool buffer to the pool. The bytes are immutable while another handle exists:
/// see [`Buf::alone`].
pub struct Buf {
    owner: Owner,
    start: u32,
    len: u32,
}

enum Owner {
    Pool {
        shared: Rc<Shared>,
        bid: u16,
    },
    Heap(Rc<[u8]>),
    /// A vector, taken over with its allocation.
    Own(Rc<Vec<u8>>),
    /// A page that the worker reuses.
    Page(Rc<Vec<u8>>),
    /// A text that is shared between threads.
    Text(Text),
}

/// Immutable bytes that are shared between workers.
#[derive(Debug, Clone)]
pub struct Text(Arc<[u8]>);

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Buf {
    pub(super) fn pooled(shared: Rc<Shared>, bid: u16, len: u32) -> Self {
        Self { owner: Owner::Pool { shared, bid }, start: 0, len }
    }

    pub(super) fn page(bytes: Rc<Vec<u8>>) -> Self {
        let len = u32::try_from(bytes.len()).expect("a page is shorter than 4 GiB");
        Self { owner: Owner::Page(bytes), start: 0, len }
    }

    /// A copy of `bytes` on the heap.
    ///
    /// # Panics
    /// When `bytes` is longer than 4 GiB.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("a buffer is shorter than 4 GiB");
        Self { owner: Owner::Heap(bytes.into()), start: 0, len }
    }

    /// A text that is there anyway: it takes no memory.
    ///
    /// # Panics
    /// When it is longer than 4 GiB.
    #[must_use]
    pub fn text(text: &Text) -> Self {
        let len = u32::try_from(text.len()).expect("a text is shorter than 4 GiB");
        Self { owner: Owner::Text(text.clone()), start: 0, len }
    }

    /// Whether the bytes are on the heap, and not in memory that connections wait for.
    #[must_use]
    pub const fn is_heap(&self) -> bool {
        matches!(self.owner, Owner::Heap(_) | Owner::Own(_) | Owner::Text(_))
    }

    /// Whether the bytes lie in a pool buffer, which others are waiting for.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        matches!(self.owner, Owner::Pool { .. })
    }

    /// How many bytes there are. It does not look at them.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The same bytes, neither in a pool buffer nor in a page.
    #[must_use]
    pub fn into_heap(self) -> Self {
        if self.is_heap() { self } else { Self::copy_of(&self) }
    }

    /// The bytes, to be changed where they lie: `None` where another handle may see them, as it
    /// must not see them change.
    pub fn alone(&mut self) -> Option<&mut [u8]> {
        let (start, len) = (self.start as usize, self.len as usize);
        match &mut self.owner {
            Owner::Pool { shared, bid } => Shared::alone(shared, *bid, self.start, self.len),
            Owner::Heap(bytes) => Some(&mut Rc::get_mut(bytes)?[start..][..len]),
            // The worker's pages keep a handle, to use the memory again.
            Owner::Own(bytes) | Owner::Page(bytes) => {
                Some(&mut Rc::get_mut(bytes)?[start..][..len])
            }
            Owner::Text(_) => None,
        }
    }

    /// A handle on the `len` bytes from `start` on.
    ///
    /// # Panics
    /// When they do not all lie within the view.
    #[must_use]
    pub fn slice(&self, start: usize, len: usize) -> Self {
        let mut part = self.clone();
        part.advance(start);
        part.truncate(len);
        part
    }

    /// Drops what lies behind the first `len` bytes from the view.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn truncate(&mut self, len: usize) {
        let len = u32::try_from(len).expect("a length within the buffer");
        assert!(len <= self.len, "truncate within the buffer");
        self.len = len;
    }

    /// Drops the first `count` bytes from the view.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn advance(&mut self, count: usize) {
        let count = u32::try_from(count).expect("a count within the buffer");
        assert!(count <= self.len, "advance within the buffer");
        self.start += count;
        self.len -= count;
    }
}

impl From<Vec<u8>> for Buf {
    /// # Panics
    /// When there are more than 4 GiB.
    fn from(bytes: Vec<u8>) -> Self {
        let len = u32::try_from(bytes.len()).expect("a buffer is shorter than 4 GiB");
        Self { owner: Owner::Own(Rc::new(bytes)), start: 0, len }
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.owner {
            Owner::Pool { shared, bid } => shared.bytes(*bid, self.start, self.len),
            Owner::Heap(bytes) => &bytes[self.start as usize..][..self.len as usize],
            Owner::Text(text) => &text[self.start as usize..][..self.len as usize],
            Owner::Own(bytes) | Owner::Page(bytes) => {
                &bytes[self.start as usize..][..self.len as usize]
            }
        }
    }
}

impl Clone for Buf {
    fn clone(&self) -> Self {
        let owner = match &self.owner {
            Owner::Pool { shared, bid } => {
                shared.retain(*bid);
                Owner::Pool { shared: Rc::clone(shared), bid: *bid }
            }
            Owner::Heap(bytes) => Owner::Heap(Rc::clone(bytes)),
            Owner::Own(bytes) => Owner::Own(Rc::clone(bytes)),
            Owner::Page(bytes) => Owner::Page(Rc::clone(bytes)),
            Owner::Text(text) => Owner::Text(text.clone()),
        };
        Self { owner, start: self.start, len: self.len }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Owner::Pool { shared, bid } = &self.owner {
            shared.release(*bid);
        }
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let home = if self.is_pooled() { "pool" } else { "heap" };
        write!(f, "Buf({} bytes, {home})", self.len)
    }
}

/// Bytes on their way to one peer, in order: the unit of one send. Never empty.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// One slice: the common case, sent without a list.
    One(Buf),
    /// Two slices or more, sent as a vector.
    Many(Vec<Buf>),
}

impl Outgoing {
    /// Bytes in all slices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.segments().iter().map(|buf| buf.len()).sum()
    }

    /// Whether there is no byte in it (possible only after `advance` took all).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slices, in order.
    #[must_use]
    pub fn segments(&self) -> &[Buf] {
        match self {
            Self::One(buf) => std::slice::from_ref(buf),
            Self::Many(bufs) => bufs,
        }
    }

    /// Whether any of the slices lies in a pool buffer.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.segments().iter().any(Buf::is_pooled)
    }

    /// How many slices lie in pool buffers.
    #[must_use]
    pub fn pooled(&self) -> usize {
        self.segments().iter().filter(|buf| buf.is_pooled()).count()
    }

    /// Adds a slice at the end.
    #[must_use]
    pub fn append(self, buf: Buf) -> Self {
        match self {
            Self::One(first) => Self::Many(vec![first, buf]),
            Self::Many(mut bufs) => {
                bufs.push(buf);
                Self::Many(bufs)
            }
        }
    }

    /// `self`, then `rest`.
    #[must_use]
    pub fn join(self, rest: Self) -> Self {
        match rest {
            Self::One(buf) => self.append(buf),
            Self::Many(bufs) => bufs.into_iter().fold(self, Self::append),
        }
    }

    /// Splits off what one vectored send may not carry: at most [`SEGMENTS_MAX`] slices stay.
    pub fn split_excess(&mut self) -> Option<Self> {
        match self {
            Self::Many(bufs) if bufs.len() > SEGMENTS_MAX => {
                Some(Self::Many(bufs.split_off(SEGMENTS_MAX)))
            }
            Self::One(_) | Self::Many(_) => None,
        }
    }

    /// What is left after the first `count` bytes were sent; `None` when nothing is.
    ///
    /// # Panics
    /// When `count` is more than there is.
    #[must_use]
    pub fn after(self, mut count: usize) -> Option<Self> {
        let mut left: Option<Self> = None;
        let bufs = match self {
            // The common case, without a list.
            Self::One(mut buf) => {
                buf.advance(count);
                return (!buf.is_empty()).then_some(Self::One(buf));
            }
            Self::Many(bufs) => bufs,
        };
        for mut buf in bufs {
            let taken = count.min(buf.len());
            count -= taken;
            buf.advance(taken);
            if !buf.is_empty() {
                left = Some(match left {
                    None => Self::One(buf),
                    Some(some) => some.append(buf),
                });
            }
        }
        assert_eq!(count, 0, "no more was sent than there was");
        left
    }

    /// The same bytes with no pool buffer held: what a slow receiver has not taken must not keep
    /// buffers from the other connections.
    #[must_use]
    pub fn into_heap(self) -> Self {
        match self {
            Self::One(buf) => Self::One(buf.into_heap()),
            Self::Many(bufs) => {
                let mut joined = Vec::with_capacity(bufs.iter().map(|buf| buf.len()).sum());
                for buf in &bufs {
                    joined.extend_from_slice(buf);
                }
                Self::One(Buf::copy_of(&joined))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Pool;

    #[test]
    fn bytes_are_changed_by_the_only_handle_on_them() {
        let pool = Pool::new(1, 16).unwrap();
        let bid = pool.take_free().unwrap();
        let mut pooled = pool.fill(bid, b"hello").unwrap();
        pooled.alone().unwrap()[0] = b'H';
        let mut part = pooled.slice(1, 2);
        assert!(part.alone().is_none(), "there is another handle");
        assert!(pooled.alone().is_none(), "there is another handle");
        drop(pooled);
        part.alone().unwrap().copy_from_slice(b"EL");
        assert_eq!(&*part, b"EL");

        for mut buf in [Buf::copy_of(b"hello"), Buf::from(b"hello".to_vec())] {
            let other = buf.clone();
            assert!(buf.alone().is_none());
            drop(other);
            buf.advance(4);
            buf.alone().unwrap()[0] = b'O';
            assert_eq!(&*buf, b"O");
        }
        assert!(Buf::text(&Text::from(&b"hello"[..])).alone().is_none(), "others send it");
    }

    fn text(outgoing: &Outgoing) -> Vec<u8> {
        outgoing.segments().iter().flat_map(|buf| buf.iter().copied()).collect()
    }

    #[test]
    fn advance_moves_the_view() {
        let mut buf = Buf::copy_of(b"abcdef");
        buf.advance(2);
        let same = buf.clone();
        buf.advance(4);
        assert!(buf.is_empty());
        assert_eq!(&*same, b"cdef");
        assert_eq!(&*same.slice(1, 2), b"de");
        assert!(same.slice(4, 0).is_empty());
        assert!(!format!("{same:?}").is_empty());
    }

    #[test]
    fn a_slice_is_a_part_and_keeps_the_buffer() {
        let pool = Pool::new(1, 16).unwrap();
        let bid = pool.take_free().unwrap();
        let whole = pool.fill(bid, b"head|body|tail").unwrap();
        let body = whole.slice(5, 4);
        drop(whole);
        assert_eq!(&*body, b"body");
        assert!(body.slice(4, 0).is_empty());
        assert_eq!(pool.free(), 0);
        drop(body);
        assert_eq!(pool.free(), 1);
    }

    #[test]
    fn into_heap_gives_the_pool_buffer_back() {
        let pool = Pool::new(1, 16).unwrap();
        let bid = pool.take_free().unwrap();
        let mut buf = pool.fill(bid, b"0123").unwrap();
        buf.advance(1);
        assert_eq!(pool.free(), 0);
        let heap = buf.into_heap();
        assert_eq!(pool.free(), 1);
        assert_eq!(&*heap, b"123");
    }

    #[test]
    fn after_drops_what_was_sent_at_every_position() {
        for count in 0..=9 {
            let all = Outgoing::One(Buf::copy_of(b"abc"))
                .append(Buf::copy_of(b"de"))
                .append(Buf::copy_of(b"fghi"));
            assert_eq!(all.len(), 9);
            match all.after(count) {
                Some(left) => assert_eq!(text(&left), b"abcdefghi"[count..]),
                None => assert_eq!(count, 9),
            }
        }
    }

    #[test]
    fn join_keeps_the_order_and_excess_is_split_off() {
        let letters = |range: std::ops::Range<u8>| {
            let mut bufs = range.map(|byte| Buf::copy_of(&[byte]));
            let first = Outgoing::One(bufs.next().unwrap());
            bufs.fold(first, Outgoing::append)
        };
        let mut joined = letters(0..60).join(letters(60..100));
        let rest = joined.split_excess().unwrap();
        assert_eq!(joined.segments().len(), SEGMENTS_MAX);
        assert_eq!([text(&joined), text(&rest)].concat(), (0..100).collect::<Vec<u8>>());
        assert!(joined.split_excess().is_none());
        let heap = joined.into_heap();
        assert_eq!(heap.segments().len(), 1);
        assert_eq!(heap.len(), SEGMENTS_MAX);
        assert!(!heap.is_empty());
    }
}
