//! UDP sockets that move many datagrams in one call, for the load and for the floor: so that
//! neither is what limits a run.
#![allow(unsafe_code, reason = "recvmmsg(2), sendmmsg(2) and their control messages")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// The largest that one receive may give, also where the kernel puts datagrams together.
pub(crate) const ROOM: usize = 65_536;
/// The queues of both directions. The load must not lose what it is to count.
const QUEUE: libc::c_int = 4 << 20;

/// Asks for queues that hold a stall of this side.
pub(crate) fn enlarge(socket: &UdpSocket) {
    for (forced, asked) in
        [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        // Only root may exceed the system's limit; for others it is the most they get.
        if set(socket, libc::SOL_SOCKET, forced, QUEUE).is_err() {
            set(socket, libc::SOL_SOCKET, asked, QUEUE).expect("queue size");
        }
    }
}

/// Lets the kernel hand over datagrams of one sender in one piece (UDP_GRO).
pub(crate) fn coalesce(socket: &UdpSocket) {
    set(socket, libc::SOL_UDP, libc::UDP_GRO, 1).expect("UDP_GRO");
}

fn set(
    socket: &UdpSocket,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = socklen(size_of_val(&value));
    let fd = socket.as_raw_fd();
    // SAFETY: the option's value is an int that lives through the call.
    let done = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn socklen(len: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(len).expect("a few bytes")
}

/// Room for one control message: the size of the segments.
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    value: [u8; 8],
}

/// Messages, their memory and what describes them to the kernel. The parts point to each other
/// and stay where they are.
pub(crate) struct Batch {
    messages: Vec<libc::mmsghdr>,
    parts: Vec<libc::iovec>,
    /// Who sent what was received.
    pub(crate) names: Box<[libc::sockaddr_in]>,
    controls: Vec<Control>,
    /// `ROOM` bytes for each.
    pub(crate) memory: Box<[u8]>,
}

impl Batch {
    pub(crate) fn new(count: usize) -> Self {
        // SAFETY: all of them are plain C structures, for which zeros are a value.
        let zeroed = || unsafe { std::mem::zeroed() };
        let name = || {
            // SAFETY: as above.
            unsafe { std::mem::zeroed() }
        };
        let control = || {
            // SAFETY: as above.
            unsafe { std::mem::zeroed() }
        };
        let mut this = Self {
            messages: std::iter::repeat_with(zeroed).take(count).collect(),
            parts: Vec::with_capacity(count),
            names: std::iter::repeat_with(name).take(count).collect(),
            controls: std::iter::repeat_with(control).take(count).collect(),
            memory: vec![0; count * ROOM].into_boxed_slice(),
        };
        for slot in this.memory.chunks_exact_mut(ROOM) {
            this.parts.push(libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: ROOM });
        }
        let parts = this.parts.iter_mut();
        for (message, part) in this.messages.iter_mut().zip(parts) {
            message.msg_hdr.msg_iov = part;
            message.msg_hdr.msg_iovlen = 1;
        }
        this
    }

    /// How many messages have come. With `libc::MSG_WAITFORONE` it blocks for the first.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, flags: libc::c_int) -> io::Result<usize> {
        let parts = self.parts.iter_mut().zip(&mut self.names).zip(&mut self.controls);
        for (message, ((part, name), control)) in self.messages.iter_mut().zip(parts) {
            let header = &mut message.msg_hdr;
            part.iov_len = ROOM;
            header.msg_name = (&raw mut *name).cast();
            header.msg_namelen = socklen(size_of_val(name));
            header.msg_control = (&raw mut *control).cast();
            header.msg_controllen = size_of_val(control);
        }
        let count = libc::c_uint::try_from(self.messages.len()).expect("a few");
        let (fd, messages) = (socket.as_raw_fd(), self.messages.as_mut_ptr());
        // SAFETY: `count` messages, whose pointers are to memory of ours that is large enough.
        let done = unsafe { libc::recvmmsg(fd, messages, count, flags, std::ptr::null_mut()) };
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    }

    /// What a received message holds, and how long its datagrams are, but for the last.
    pub(crate) fn received(&self, index: usize) -> (&[u8], usize) {
        let message = &self.messages[index];
        let len = message.msg_len as usize;
        let control = &self.controls[index];
        let (level, kind) = (control.header.cmsg_level, control.header.cmsg_type);
        let is_cut = message.msg_hdr.msg_controllen >= size_of::<libc::cmsghdr>()
            && (level, kind) == (libc::SOL_UDP, libc::UDP_GRO);
        let segment = if is_cut {
            let value = control.value.first_chunk().expect("eight bytes");
            usize::try_from(i32::from_ne_bytes(*value)).expect("a length")
        } else {
            len
        };
        (&self.memory[index * ROOM..][..len], segment.max(1))
    }

    /// Describes a message: `len` bytes, to be cut into `segment` each, for an address or for whom
    /// the socket is connected with.
    pub(crate) fn describe(
        &mut self,
        index: usize,
        len: usize,
        segment: usize,
        to: Option<libc::sockaddr_in>,
    ) {
        self.parts[index].iov_len = len;
        let header = &mut self.messages[index].msg_hdr;
        header.msg_name = std::ptr::null_mut();
        header.msg_namelen = 0;
        if let Some(to) = to {
            let name = &mut self.names[index];
            *name = to;
            header.msg_name = (&raw mut *name).cast();
            header.msg_namelen = socklen(size_of_val(name));
        }
        if len <= segment {
            header.msg_control = std::ptr::null_mut();
            header.msg_controllen = 0;
            return;
        }
        let segment = u16::try_from(segment).expect("a datagram").to_ne_bytes();
        let control = &mut self.controls[index];
        control.header.cmsg_level = libc::SOL_UDP;
        control.header.cmsg_type = libc::UDP_SEGMENT;
        control.header.cmsg_len = size_of::<libc::cmsghdr>() + segment.len();
        control.value[..segment.len()].copy_from_slice(&segment);
        header.msg_control = (&raw mut *control).cast();
        header.msg_controllen = size_of_val(control);
    }

    /// Sends messages `from..to` and says how many went.
    pub(crate) fn send(
        &mut self,
        socket: &UdpSocket,
        from: usize,
        to: usize,
        flags: libc::c_int,
    ) -> io::Result<usize> {
        let messages = &mut self.messages[from..to];
        let count = libc::c_uint::try_from(messages.len()).expect("a few");
        let (fd, messages) = (socket.as_raw_fd(), messages.as_mut_ptr());
        // SAFETY: `count` messages, whose pointers are to memory of ours.
        let done = unsafe { libc::sendmmsg(fd, messages, count, flags) };
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    }
}
