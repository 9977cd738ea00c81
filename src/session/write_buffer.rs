//! What a connection writes in a turn.

use crate::mem::{Buf, Page, Pages};
use crate::net::Stream;
use crate::proto::http1::Output;

/// Fewer bytes do not count as waiting when the socket takes more.
const ON_THEIR_WAY: usize = 1024;

/// Collects the answers of a turn: bytes that are written here, and slices that are sent from
/// where they lie. Bytes and slices keep their order.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    page: Option<Page>,
    /// Bytes that were given to the stream and have not been sent.
    queued: usize,
}

impl WriteBuffer {
    /// What is written so far since the last slice, to be appended to.
    pub(crate) fn bytes(&mut self, pages: &mut Pages) -> &mut Vec<u8> {
        self.page.get_or_insert_with(|| pages.take()).bytes()
    }

    /// Bytes that have not been sent.
    pub(crate) fn waiting(&mut self) -> usize {
        let written = self.page.as_mut().map_or(0, |page| page.bytes().len());
        self.queued + written
    }

    /// Bytes that wait for their peer. A few that are on their way to one that takes what it is
    /// sent are none: they wait for nothing.
    pub(crate) fn unsent(&mut self, stream: &Stream) -> usize {
        let waiting = self.waiting();
        if waiting < ON_THEIR_WAY && !stream.is_blocked() { 0 } else { waiting }
    }

    /// A slice goes out behind what was finished, and before what is being written.
    pub(crate) fn slice(&mut self, stream: &mut Stream, slice: Buf) {
        self.queued += slice.len();
        stream.queue(slice);
    }

    /// `bytes` go out behind what was written; they are left empty, with the memory of a page.
    pub(crate) fn swap(&mut self, pages: &mut Pages, stream: &mut Stream, bytes: &mut Vec<u8>) {
        self.finish(pages, stream);
        std::mem::swap(self.bytes(pages), bytes);
        // What another connection has left in the page must not be sent with what follows.
        bytes.clear();
        self.finish(pages, stream);
    }

    /// What was written is queued.
    pub(crate) fn finish(&mut self, pages: &mut Pages, stream: &mut Stream) {
        let Some(mut page) = self.page.take() else { return };
        if page.bytes().is_empty() {
            pages.put_back(page);
            return;
        }
        self.queued += page.bytes().len();
        stream.queue(pages.seal(page));
    }

    /// So many bytes were sent.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.queued -= bytes.min(self.queued);
    }
}

/// A write buffer with what it is written to, for machines that write.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    buffer: &'a mut WriteBuffer,
    pages: &'a mut Pages,
    stream: &'a mut Stream,
}

impl WriteBuffer {
    /// Lets a machine write.
    pub(crate) const fn writer<'a>(
        &'a mut self,
        pages: &'a mut Pages,
        stream: &'a mut Stream,
    ) -> Writer<'a> {
        Writer { buffer: self, pages, stream }
    }
}

impl Output for Writer<'_> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self.buffer.bytes(self.pages)
    }

    fn slice(&mut self, slice: Buf) {
        self.buffer.finish(self.pages, self.stream);
        self.buffer.slice(self.stream, slice);
    }
}
