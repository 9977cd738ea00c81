//! Received bytes that wait.

use std::collections::VecDeque;

use super::Buf;

/// Bytes of a page that waiting bytes are gathered in.
const PAGE: usize = 16 * 1024;
/// Slices on the heap of so many bytes are kept as they are: gathering them would save nothing.
const WHOLE: usize = 4 * 1024;

/// Bytes in their order, between their receipt and their use.
///
/// Within a turn they stay in the buffers that they were received in, and nothing is copied. What
/// is left at the end of the turn waits for somebody, perhaps for long: [`Backlog::hold`] gathers
/// it into pages on the heap, so that it holds nothing of the pool that other connections wait for,
/// and so that many small pieces cost hardly more memory than they carry.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Mostly all there is.
    first: Option<Buf>,
    /// An idle connection has no more, and no room for it.
    rest: Option<Box<Rest>>,
    len: usize,
}

/// What is behind the first slice, in this order.
#[derive(Debug, Default)]
struct Rest {
    /// Full pages.
    full: VecDeque<Buf>,
    /// A page that is being filled.
    open: Vec<u8>,
    /// What came in this turn.
    fresh: VecDeque<Buf>,
}

impl Backlog {
    /// Nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { first: None, rest: None, len: 0 }
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, buf: Buf) {
        if buf.is_empty() {
            return;
        }
        self.len += buf.len();
        if self.first.is_none() && self.rest.is_none() {
            self.first = Some(buf);
        } else {
            self.rest.get_or_insert_default().fresh.push_back(buf);
        }
    }

    /// The next bytes, as they lie together.
    pub fn pop(&mut self) -> Option<Buf> {
        let next = self.first.take().or_else(|| {
            let rest = self.rest.as_mut()?;
            let next = rest.pop();
            self.rest.take_if(|rest| rest.is_empty());
            next
        })?;
        self.len -= next.len();
        Some(next)
    }

    /// The next bytes, as they lie together; they are not taken.
    pub fn front(&mut self) -> Option<&Buf> {
        if self.first.is_none() {
            self.first = self.rest.as_mut()?.pop();
            self.rest.take_if(|rest| rest.is_empty());
        }
        self.first.as_ref()
    }

    /// Takes the next bytes, at most `most` of them, as they lie together.
    pub fn take(&mut self, most: usize) -> Option<Buf> {
        let len = self.front()?.len();
        if len <= most {
            self.len -= len;
            return self.first.take();
        }
        let part = self.first.as_ref()?.slice(0, most);
        self.skip(most);
        Some(part)
    }

    /// Drops the first `count` of the bytes that [`Backlog::front`] has shown.
    ///
    /// # Panics
    /// When it has shown fewer.
    pub fn skip(&mut self, count: usize) {
        if let Some(first) = &mut self.first {
            first.advance(count);
            self.len -= count;
            self.first.take_if(|first| first.is_empty());
        }
    }

    /// What is left of the bytes that were taken last.
    pub fn put_back(&mut self, buf: Buf) {
        if buf.is_empty() {
            return;
        }
        self.len += buf.len();
        if let Some(second) = self.first.replace(buf) {
            debug_assert!(false, "only what was taken last is put back");
            self.rest.get_or_insert_default().full.push_front(second.into_heap());
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory that the waiting bytes take, once they are held.
    #[must_use]
    pub fn cost(&self) -> usize {
        let spare = self.rest.as_ref().map_or(0, |rest| rest.open.capacity() - rest.open.len());
        self.len + spare
    }

    /// Whether what waits is on the heap.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.first.as_ref().is_none_or(Buf::is_heap)
            && self.rest.as_ref().is_none_or(|rest| rest.fresh.is_empty())
    }

    /// The end of a turn: what waits is on the heap from now on.
    pub fn hold(&mut self) {
        if self.is_held() {
            return;
        }
        let rest = self.rest.get_or_insert_default();
        match self.first.take() {
            // Behind nothing it may begin a page; before others it can only be a page of its own.
            Some(first) if rest.full.is_empty() && rest.open.is_empty() => rest.gather(first),
            Some(first) => self.first = Some(first.into_heap()),
            None => {}
        }
        while let Some(buf) = rest.fresh.pop_front() {
            rest.gather(buf);
        }
        rest.fresh = VecDeque::new();
    }

    /// Forgets all, with its memory.
    pub fn clear(&mut self) {
        if self.first.is_some() || self.rest.is_some() {
            *self = Self::default();
        }
    }
}

impl Rest {
    fn is_empty(&self) -> bool {
        self.full.is_empty() && self.open.is_empty() && self.fresh.is_empty()
    }

    fn pop(&mut self) -> Option<Buf> {
        if let Some(page) = self.full.pop_front() {
            return Some(page);
        }
        if !self.open.is_empty() {
            return Some(Buf::from(std::mem::take(&mut self.open)));
        }
        self.fresh.pop_front()
    }

    /// Puts bytes on the page that is being filled, and on as many as follow.
    fn gather(&mut self, buf: Buf) {
        if buf.is_heap() && buf.len() >= WHOLE {
            self.finish();
            self.full.push_back(buf);
            return;
        }
        let mut bytes: &[u8] = &buf;
        while !bytes.is_empty() {
            let room = PAGE - self.open.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let needed = self.open.len() + now.len();
            if needed > self.open.capacity() {
                let doubled = self.open.capacity().saturating_mul(2);
                let capacity = needed.max(doubled).min(PAGE);
                self.open.reserve_exact(capacity - self.open.len());
            }
            self.open.extend_from_slice(now);
            if self.open.len() == PAGE {
                self.finish();
            }
            bytes = later;
        }
    }

    /// The page that is being filled takes no more.
    fn finish(&mut self) {
        if !self.open.is_empty() {
            let mut page = std::mem::take(&mut self.open);
            page.shrink_to_fit();
            self.full.push_back(Buf::from(page));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::Pool;

    fn drain(backlog: &mut Backlog) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(buf) = backlog.pop() {
            all.extend_from_slice(&buf);
        }
        assert!(backlog.is_empty());
        assert_eq!(backlog.cost(), 0);
        all
    }

    #[test]
    fn bytes_keep_their_order_wherever_they_are_held_and_taken() {
        // Each bit of `plan`: whether there is an end of turn behind a piece.
        for plan in 0..256_u32 {
            for taken in 0..9 {
                let mut backlog = Backlog::default();
                let mut all = Vec::new();
                for piece in 0..8_u8 {
                    let text = vec![piece; usize::from(piece) * 700 + 1];
                    backlog.push(Buf::copy_of(&text));
                    all.extend(text);
                    if plan >> piece & 1 == 1 {
                        backlog.hold();
                    }
                }
                assert_eq!(backlog.len(), all.len());
                let mut got = Vec::new();
                for _ in 0..taken {
                    if let Some(mut buf) = backlog.pop() {
                        let half = buf.len().div_ceil(2);
                        got.extend_from_slice(&buf[..half]);
                        buf.advance(half);
                        backlog.put_back(buf);
                        if let Some(part) = backlog.take(100) {
                            assert!(part.len() <= 100);
                            got.extend_from_slice(&part);
                        }
                        let shown = backlog.front().map_or(0, |front| front.len().min(3));
                        got.extend(backlog.front().iter().flat_map(|front| &front[..shown]));
                        backlog.skip(shown);
                        assert_eq!(backlog.len() + got.len(), all.len());
                        backlog.hold();
                        backlog.push(Buf::copy_of(b"+"));
                        all.push(b'+');
                    }
                }
                got.extend(drain(&mut backlog));
                assert!(got == all, "{plan} {taken}");
            }
        }
    }

    #[test]
    fn what_is_held_keeps_no_pool_buffer() {
        let pool = Pool::new(8, 64).unwrap();
        let mut backlog = Backlog::default();
        for _ in 0..2 {
            for _ in 0..4 {
                let bid = pool.take_free().unwrap();
                backlog.push(pool.fill(bid, b"piece").unwrap());
            }
            assert_eq!(pool.free(), 4, "within a turn nothing is copied");
            backlog.hold();
            assert_eq!(pool.free(), 8);
        }
        let mut first = backlog.pop().unwrap();
        first.advance(1);
        backlog.put_back(first);
        let bid = pool.take_free().unwrap();
        backlog.push(pool.fill(bid, b"more").unwrap());
        backlog.hold();
        assert_eq!(pool.free(), 8);
        assert_eq!(drain(&mut backlog), b"iecepiecepiecepiecepiecepiecepiecepiecemore");
    }

    #[test]
    fn small_pieces_cost_hardly_more_than_they_carry() {
        for size in [1, 100, 1_400, 5_000] {
            let mut backlog = Backlog::default();
            for _ in 0..200_000 / size {
                backlog.push(Buf::copy_of(&vec![7; size]));
                backlog.hold();
                assert!(backlog.cost() <= 2 * backlog.len(), "{size}");
            }
            assert!(backlog.cost() <= backlog.len() + PAGE);
            let slices = backlog.rest.as_ref().map_or(0, |rest| rest.full.len());
            assert!(slices <= 200_000 / WHOLE + 1, "{slices} slices of {size} bytes");
        }
    }
}
