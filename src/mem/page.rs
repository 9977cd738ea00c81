//! Heap memory that answers are written into and sent from, used again and again.

use std::collections::VecDeque;
use std::rc::Rc;

use super::Buf;

/// Most pages that wait for their bytes to be sent. Beyond it, pages are allocated and freed.
const LENT_MAX: usize = 64;
/// A page that has grown beyond this is freed after its use, in bytes.
const CAPACITY_MAX: usize = 256 * 1024;

/// A page that one connection writes to.
#[derive(Debug, Default)]
pub struct Page {
    bytes: Rc<Vec<u8>>,
}

impl Page {
    /// What is written so far, to be appended to.
    ///
    /// # Panics
    /// Never: a page is sealed only by giving it away.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        Rc::get_mut(&mut self.bytes).expect("a page that is written to has one owner")
    }
}

/// The pages of one worker: those lent out as [`Buf`]s come back when the last handle is dropped.
#[derive(Debug, Default)]
pub struct Pages {
    lent: VecDeque<Rc<Vec<u8>>>,
}

impl Pages {
    /// An empty page.
    #[must_use]
    pub fn take(&mut self) -> Page {
        // Sends end in about the order in which they began: the oldest is the likeliest to be home.
        if let Some(mut bytes) = self.lent.pop_front() {
            if let Some(page) = Rc::get_mut(&mut bytes) {
                page.clear();
                return Page { bytes };
            }
            self.lent.push_back(bytes);
        }
        Page::default()
    }

    /// A page that nothing was written to.
    pub fn put_back(&mut self, page: Page) {
        drop(self.seal(page));
    }

    /// What was written becomes a slice to be sent; the page's memory is used again after that.
    pub fn seal(&mut self, page: Page) -> Buf {
        let Page { bytes } = page;
        if bytes.capacity() <= CAPACITY_MAX && self.lent.len() < LENT_MAX {
            self.lent.push_back(Rc::clone(&bytes));
        }
        Buf::page(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_used_again_once_its_bytes_are_sent() {
        let mut pages = Pages::default();
        let mut page = pages.take();
        page.bytes().extend_from_slice(b"first");
        let address = page.bytes().as_ptr();
        let first = pages.seal(page);
        let mut other = pages.take();
        other.bytes().extend_from_slice(b"second");
        assert_ne!(other.bytes().as_ptr(), address, "the first is still being sent");
        assert_eq!(&*first, b"first");
        drop(first);
        let second = pages.seal(other);
        let mut again = pages.take();
        assert!(again.bytes().is_empty());
        again.bytes().extend_from_slice(b"third");
        assert_eq!(again.bytes().as_ptr(), address);
        assert_eq!(&*second, b"second");
    }

    #[test]
    fn pages_that_grew_and_pages_beyond_the_limit_are_freed() {
        let mut pages = Pages::default();
        let mut large = pages.take();
        large.bytes().resize(CAPACITY_MAX + 1, 0);
        drop(pages.seal(large));
        assert!(pages.lent.is_empty());
        let held: Vec<Buf> = (0..LENT_MAX + 9)
            .map(|_| {
                let page = pages.take();
                pages.seal(page)
            })
            .collect();
        assert_eq!(pages.lent.len(), LENT_MAX);
        assert!(held.iter().all(|buf| buf.is_empty()));
    }
}
