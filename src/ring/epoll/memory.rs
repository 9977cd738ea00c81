//! The buffers that are received into.

use nix::errno::Errno;

use crate::mem::{Buf, Pool};
use crate::ring::datagram::{BUFFER_LEN, Datagram};
use crate::ring::kernel::{Receipt, datagrams, files, streams};
use crate::ring::{Fd, Outcome};

/// A pool, and the buffer of it that the next receive is given. One that brought nothing keeps it.
pub(super) struct Buffers {
    pool: Pool,
    next: Option<u16>,
}

impl Buffers {
    /// So many buffers of so many bytes.
    ///
    /// # Errors
    /// As `mmap(2)`.
    pub(super) fn new(count: u16, size: u32) -> std::io::Result<Self> {
        Ok(Self { pool: Pool::new(count, size)?, next: None })
    }

    /// Free buffers, and how many there are in all.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.pool.free() + usize::from(self.next.is_some()), self.pool.count())
    }

    /// Handles on buffers.
    #[cfg(debug_assertions)]
    pub(super) fn handles(&self) -> usize {
        self.pool.handles()
    }

    /// Bytes of a buffer.
    pub(super) fn size(&self) -> u32 {
        self.pool.buffer_size()
    }

    /// The buffer for the next receive, if one is free.
    fn lend(&mut self) -> Option<u16> {
        self.next.take().or_else(|| self.pool.take_free())
    }

    /// Fills the next buffer by a call that says how many bytes it has written; without any the
    /// buffer stays for the next one.
    fn fill(
        &mut self,
        call: impl FnOnce(&Pool, u16) -> Result<u32, Errno>,
    ) -> Option<Result<Option<Buf>, Errno>> {
        let bid = self.lend()?;
        let filled = call(&self.pool, bid);
        match filled {
            Ok(0) | Err(_) => self.next = Some(bid),
            Ok(len) => return Some(Ok(self.pool.claim(bid, len))),
        }
        Some(filled.map(|_| None))
    }

    /// Receives what waits; `None` when no buffer is free.
    pub(super) fn receive(&mut self, socket: Fd) -> Option<Result<Outcome, Errno>> {
        let filled = self.fill(|pool, bid| streams::receive(socket, pool, bid))?;
        Some(filled.map(|buf| buf.map_or(Outcome::Eof, Outcome::Received)))
    }

    /// Reads what is in memory of a file; `None` when no buffer is free.
    pub(super) fn read(&mut self, file: Fd, offset: u64) -> Option<Result<Outcome, Errno>> {
        let filled = self.fill(|pool, bid| files::read_into(file, offset, pool, bid))?;
        Some(filled.map(|buf| buf.map_or(Outcome::Eof, Outcome::Received)))
    }

    /// Copies what was read elsewhere; `None` when no buffer is free.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Option<Outcome> {
        let bid = self.lend()?;
        if bytes.is_empty() {
            self.next = Some(bid);
            return Some(Outcome::Eof);
        }
        self.pool.fill(bid, bytes).map(Outcome::Received)
    }
}

/// The buffers of datagrams, and the room for what is said of one.
pub(super) struct DatagramBuffers {
    buffers: Buffers,
    receipt: Box<Receipt>,
}

impl DatagramBuffers {
    /// So many buffers.
    ///
    /// # Errors
    /// As `mmap(2)`.
    pub(super) fn new(count: u16) -> std::io::Result<Self> {
        Ok(Self { buffers: Buffers::new(count, BUFFER_LEN)?, receipt: Box::default() })
    }

    /// Free buffers, and how many there are in all.
    pub(super) fn count(&self) -> (usize, usize) {
        self.buffers.count()
    }

    /// Handles on buffers.
    #[cfg(debug_assertions)]
    pub(super) fn handles(&self) -> usize {
        self.buffers.handles()
    }

    /// Receives a datagram; `None` when no buffer is free.
    pub(super) fn receive(&mut self, socket: Fd) -> Option<Result<Outcome, Errno>> {
        let Self { buffers, receipt } = self;
        let bid = buffers.lend()?;
        let got = datagrams::receive(socket, &buffers.pool, bid, receipt);
        let datagram = match got {
            Ok(len) => buffers.pool.claim_behind(bid, &receipt.head(), len).and_then(Datagram::new),
            Err(errno) => {
                buffers.next = Some(bid);
                return Some(Err(errno));
            }
        };
        // What was received has a head, and fits its buffer.
        datagram.map(|datagram| Ok(Outcome::Datagram(datagram)))
    }
}
