//! The buffers that datagrams are received into, and the headers of the receives.

use std::collections::HashMap;

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};

use super::SetupError;
use super::buffers::{BufferRing, DATAGRAM_GROUP};
use crate::mem::Pool;
use crate::ring::datagram::{BUFFER_LEN, HEAD_LEN};
use crate::ring::kernel::Receipt;
use crate::ring::kernel::datagrams::shape;
use crate::ring::{Datagram, Fd, Token};

/// Most headers of ended receives that are kept.
const SPARE_MAX: usize = 64;

/// The datagram buffers of a ring.
pub(super) struct DatagramRing {
    buffers: BufferRing,
    pool: Pool,
}

impl DatagramRing {
    /// Registers `count` buffers. With multishot the kernel writes the head of a datagram before
    /// its payload; without, it leaves the room for it free.
    pub(super) fn register(
        ring: &IoUring,
        count: u16,
        multishot: bool,
    ) -> Result<Self, SetupError> {
        let pool = Pool::new(count, BUFFER_LEN)
            .map_err(|error| SetupError::of("mmap of datagram buffers", &error))?;
        let offset = if multishot { 0 } else { u32::try_from(HEAD_LEN).unwrap_or(0) };
        let buffers = BufferRing::register(ring, &pool, DATAGRAM_GROUP, offset)?;
        Ok(Self { buffers, pool })
    }

    /// Takes over a buffer that the kernel has filled, by itself or with the help of a receipt.
    pub(super) fn claim(
        &mut self,
        bid: u16,
        len: u32,
        receipt: Option<&Receipt>,
    ) -> Option<Datagram> {
        self.buffers.taken();
        let buf = match receipt {
            None => self.pool.claim(bid, len),
            Some(receipt) => self.pool.claim_behind(bid, &receipt.head(), len),
        };
        Datagram::new(buf?)
    }

    /// Lends all free buffers to the kernel.
    pub(super) fn publish(&mut self) {
        self.buffers.publish(&self.pool);
    }

    /// Buffers that a receive can be given, and how many there are.
    pub(super) fn home(&self) -> (usize, usize) {
        (self.buffers.published() + self.pool.free(), self.pool.count())
    }

    /// Handles on the buffers.
    #[cfg(debug_assertions)]
    pub(super) fn handles(&self) -> usize {
        self.pool.handles()
    }

    /// Keeps the memory for ever: the kernel may still use it.
    pub(super) fn leak(&mut self) {
        std::mem::forget(self.pool.clone());
        self.buffers.leak();
    }
}

/// The headers of the receives in flight. A multishot receive reads one shared header; on kernels
/// without it each receive has its own, with the room for name and control data.
pub(super) struct Receipts {
    shape: Box<libc::msghdr>,
    multishot: bool,
    open: HashMap<u64, Box<Receipt>>,
    #[expect(clippy::vec_box, reason = "the boxes go to receives, where they must not move")]
    spare: Vec<Box<Receipt>>,
}

impl Receipts {
    pub(super) fn new(multishot: bool) -> Self {
        Self { shape: shape(), multishot, open: HashMap::new(), spare: Vec::new() }
    }

    /// The entry of a receive. What it points to stays until the completion of `token`.
    pub(super) fn build(&mut self, token: Token, socket: Fd) -> Entry {
        let socket = types::Fd(socket.0);
        if self.multishot {
            return opcode::RecvMsgMulti::new(socket, &raw const *self.shape, DATAGRAM_GROUP)
                .build();
        }
        let mut receipt = self.spare.pop().unwrap_or_default();
        receipt.aim();
        let header = &raw mut receipt.header;
        let before = self.open.insert(token.pack(), receipt);
        assert!(before.is_none(), "one receive of datagrams per token");
        opcode::RecvMsg::new(socket, header)
            .buf_group(DATAGRAM_GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT)
    }

    /// The header of a receive that has completed; `None` for a multishot one.
    pub(super) fn take(&mut self, token: Token) -> Option<Box<Receipt>> {
        if self.multishot { None } else { self.open.remove(&token.pack()) }
    }

    /// Takes a header back.
    pub(super) fn give(&mut self, receipt: Box<Receipt>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(receipt);
        }
    }
}
