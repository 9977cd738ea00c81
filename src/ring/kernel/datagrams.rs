//! Datagram sockets: connected ones, receives with what is said of a datagram, errors.

use nix::errno::Errno;

use super::{close, empty_header, set, streams};
use crate::mem::Pool;
use crate::ring::datagram::{
    CONTROL_MAX, Datagram, HEAD_LEN, Message, Messages, NAME_MAX, PAYLOAD_MAX,
};
use crate::ring::{DatagramSocketOptions, Fd, SocketAddress, SocketError};

/// A name as the kernel writes and reads it: aligned as every `sockaddr` is.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; NAME_MAX]);

/// Control messages: aligned as `cmsghdr` is.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; CONTROL_MAX]);

/// A socket that is connected to `server`.
pub(super) fn open(server: &SocketAddress, options: &DatagramSocketOptions) -> Result<Fd, Errno> {
    if server.ip().is_none() {
        return Err(Errno::EAFNOSUPPORT);
    }
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket(2) takes no memory.
    let fd = Errno::result(unsafe { libc::socket(server.family(), kind, 0) })?;
    if options.offload {
        set(Fd(fd), libc::SOL_UDP, libc::UDP_GRO, &1i32);
    }
    let sizes = [(libc::SO_RCVBUF, options.receive_buffer), (libc::SO_SNDBUF, options.send_buffer)];
    for (name, bytes) in sizes {
        if let Some(bytes) = bytes {
            let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
            set(Fd(fd), libc::SOL_SOCKET, name, &bytes);
        }
    }
    let connected = streams::connect(Fd(fd), server);
    if connected.is_err() {
        close(Fd(fd));
    }
    connected.map(|()| Fd(fd))
}

/// The oldest entry of the socket's error queue that came from the network.
pub(super) fn take_error(socket: Fd) -> Option<SocketError> {
    let mut name = Name([0; NAME_MAX]);
    // `sock_extended_err` and the offender's address take 44 bytes, the local address 20.
    let mut control = [Control([0; CONTROL_MAX]); 2];
    loop {
        let mut nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let mut header = empty_header();
        header.msg_name = name.0.as_mut_ptr().cast();
        header.msg_namelen = libc::socklen_t::try_from(NAME_MAX).unwrap_or(0);
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&control);
        header.msg_iov = &raw mut nothing;
        header.msg_iovlen = 1;
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: all that the header points to lives, with the lengths that it names.
        let taken = unsafe { libc::recvmsg(socket.0, &raw mut header, flags) };
        if taken < 0 {
            if Errno::last() == Errno::EINTR {
                continue;
            }
            return None;
        }
        let name_len = (header.msg_namelen as usize).min(NAME_MAX);
        let [first, second] = control;
        let joined = [first.0, second.0].concat();
        let used = joined.get(..header.msg_controllen).unwrap_or_default();
        let mut error = None;
        let mut local = None;
        for message in Messages(used) {
            match message {
                Message::Error(number) => error = Some(Errno::from_raw(number)),
                Message::Local(ip) => local = Some(ip),
                Message::Segment(_) => {}
            }
        }
        let peer = SocketAddress::from_bytes(&name.0[..name_len]).and_then(|name| name.ip());
        if let (Some(peer), Some(errno)) = (peer, error) {
            return Some(SocketError { peer, local, errno });
        }
    }
}

/// What tells the kernel how much room a datagram's name and control data have.
pub(in crate::ring) fn shape() -> Box<libc::msghdr> {
    let mut shape = Box::new(empty_header());
    shape.msg_namelen = libc::socklen_t::try_from(NAME_MAX).unwrap_or(0);
    shape.msg_controllen = CONTROL_MAX;
    shape
}

/// The header of one receive, with the room for a name and control data.
pub(in crate::ring) struct Receipt {
    pub(in crate::ring) header: libc::msghdr,
    slice: libc::iovec,
    name: Name,
    control: Control,
}

impl Default for Receipt {
    fn default() -> Self {
        Self {
            header: *shape(),
            slice: libc::iovec { iov_base: std::ptr::null_mut(), iov_len: PAYLOAD_MAX },
            name: Name([0; NAME_MAX]),
            control: Control([0; CONTROL_MAX]),
        }
    }
}

impl Receipt {
    /// Points the header to its own fields, in the place where it stays.
    pub(in crate::ring) fn aim(&mut self) {
        self.header = *shape();
        self.header.msg_name = self.name.0.as_mut_ptr().cast();
        self.header.msg_control = self.control.0.as_mut_ptr().cast();
        self.header.msg_iov = &raw mut self.slice;
        self.header.msg_iovlen = 1;
    }

    /// What the kernel would have written before the payload.
    pub(in crate::ring) fn head(&self) -> [u8; HEAD_LEN] {
        let name = (self.header.msg_namelen as usize).min(NAME_MAX);
        let control = self.header.msg_controllen.min(CONTROL_MAX);
        let flags = self.header.msg_flags.cast_unsigned();
        Datagram::head_bytes(&self.name.0[..name], &self.control.0[..control], flags)
    }
}

/// Receives one datagram, without waiting, into a lent buffer of a pool, behind the room for its
/// head. The receipt says what the head is.
///
/// # Errors
/// As `recvmsg(2)`; `EAGAIN` when none waits. The buffer stays lent.
pub(in crate::ring) fn receive(
    socket: Fd,
    pool: &Pool,
    bid: u16,
    receipt: &mut Receipt,
) -> Result<u32, Errno> {
    assert!(pool.buffer_size() as usize >= HEAD_LEN + PAYLOAD_MAX, "a datagram has room");
    receipt.aim();
    // SAFETY: the buffer begins there, and is longer than a head: checked above.
    receipt.slice.iov_base = unsafe { pool.address(bid).add(HEAD_LEN) }.cast();
    // SAFETY: the header points to the receipt, which outlives the call, and to the rest of a
    // buffer that is lent, so that no `Buf` refers to it.
    let got = unsafe { libc::recvmsg(socket.0, &raw mut receipt.header, libc::MSG_DONTWAIT) };
    receipt.slice.iov_base = std::ptr::null_mut();
    u32::try_from(got).map_err(|_| Errno::last())
}
