//! The buffers that datagrams are received into, and the headers of the receives.

use std::collections::HashMap;

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};

use super::super::SetupError;
use super::super::buffers::{BufferRing, DATAGRAM_GROUP};
use super::{Control, Name};
use crate::mem::{Buf, Pool};
use crate::ring::datagram::{BUFFER_LEN, CONTROL_MAX, HEAD_LEN, NAME_MAX, PAYLOAD_MAX};
use crate::ring::{Datagram, Fd, Token};

/// Most headers of ended receives that are kept.
const SPARE_MAX: usize = 64;

/// The datagram buffers of a ring.
pub(in super::super) struct DatagramRing {
    buffers: BufferRing,
    pool: Pool,
}

impl DatagramRing {
    /// Registers `count` buffers. With multishot the kernel writes the head of a datagram before
    /// its payload; without, it leaves the room for it free.
    pub(in super::super) fn register(
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
    pub(in super::super) fn claim(
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
    pub(in super::super) fn publish(&mut self) {
        self.buffers.publish(&self.pool);
    }

    /// Buffers that a receive can be given, and how many there are.
    pub(in super::super) fn home(&self) -> (usize, usize) {
        (self.buffers.published() + self.pool.free(), self.pool.count())
    }

    /// Handles on the buffers.
    #[cfg(debug_assertions)]
    pub(in super::super) fn handles(&self) -> usize {
        self.pool.handles()
    }

    /// Keeps the memory for ever: the kernel may still use it.
    pub(in super::super) fn leak(&mut self) {
        std::mem::forget(self.pool.clone());
        self.buffers.leak();
    }
}

/// What tells the kernel how much room a datagram's name and control data have.
pub(in super::super) fn shape() -> Box<libc::msghdr> {
    // SAFETY: a msghdr is plain data, for which all zeroes (null pointers, no lengths) is a valid
    // value.
    let mut shape: Box<libc::msghdr> = Box::new(unsafe { std::mem::zeroed() });
    shape.msg_namelen = libc::socklen_t::try_from(NAME_MAX).unwrap_or(0);
    shape.msg_controllen = CONTROL_MAX;
    shape
}

/// The headers of the receives in flight. A multishot receive reads one shared header; on kernels
/// without it each receive has its own, with the room for name and control data.
pub(in super::super) struct Receipts {
    shape: Box<libc::msghdr>,
    multishot: bool,
    open: HashMap<u64, Box<Receipt>>,
    #[expect(clippy::vec_box, reason = "the boxes go to receives, where they must not move")]
    spare: Vec<Box<Receipt>>,
}

/// The header of one receive.
pub(in super::super) struct Receipt {
    header: libc::msghdr,
    slice: libc::iovec,
    name: Name,
    control: Control,
}

impl Receipts {
    pub(in super::super) fn new(multishot: bool) -> Self {
        Self { shape: shape(), multishot, open: HashMap::new(), spare: Vec::new() }
    }

    /// The entry of a receive. What it points to stays until the completion of `token`.
    pub(in super::super) fn build(&mut self, token: Token, socket: Fd) -> Entry {
        let socket = types::Fd(socket.0);
        if self.multishot {
            return opcode::RecvMsgMulti::new(socket, &raw const *self.shape, DATAGRAM_GROUP)
                .build();
        }
        let mut receipt = self.spare.pop().unwrap_or_else(|| Box::new(Receipt::new()));
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
    pub(in super::super) fn take(&mut self, token: Token) -> Option<Box<Receipt>> {
        if self.multishot { None } else { self.open.remove(&token.pack()) }
    }

    /// Takes a header back.
    pub(in super::super) fn give(&mut self, receipt: Box<Receipt>) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(receipt);
        }
    }
}

impl Receipt {
    fn new() -> Self {
        Self {
            header: *shape(),
            slice: libc::iovec { iov_base: std::ptr::null_mut(), iov_len: PAYLOAD_MAX },
            name: Name([0; NAME_MAX]),
            control: Control([0; CONTROL_MAX]),
        }
    }

    /// Points the header to its own fields, in the place where it stays.
    fn aim(&mut self) {
        self.header = *shape();
        self.header.msg_name = self.name.0.as_mut_ptr().cast();
        self.header.msg_control = self.control.0.as_mut_ptr().cast();
        self.header.msg_iov = &raw mut self.slice;
        self.header.msg_iovlen = 1;
    }

    /// A datagram without payload.
    pub(in super::super) fn empty_datagram(&self) -> Option<Datagram> {
        Datagram::new(Buf::copy_of(&self.head()))
    }

    /// What the kernel would have written before the payload.
    fn head(&self) -> [u8; HEAD_LEN] {
        let name = (self.header.msg_namelen as usize).min(NAME_MAX);
        let control = self.header.msg_controllen.min(CONTROL_MAX);
        let flags = self.header.msg_flags.cast_unsigned();
        Datagram::head_bytes(&self.name.0[..name], &self.control.0[..control], flags)
    }
}
