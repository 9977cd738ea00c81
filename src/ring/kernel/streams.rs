//! Stream sockets without a ring: receives into pool buffers, sends, connects.

use nix::errno::Errno;

use super::{SEND_FLAGS, empty_header};
use crate::mem::{Buf, Outgoing, Pool, SEGMENTS_MAX};
use crate::ring::{Fd, SocketAddress};

/// Lets no call on a listening socket wait. Best effort: of a socket, it is always possible.
pub(in crate::ring) fn never_wait(listener: Fd) {
    // SAFETY: the call takes and gives numbers.
    let flags = unsafe { libc::fcntl(listener.0, libc::F_GETFL) };
    if flags >= 0 && flags & libc::O_NONBLOCK == 0 {
        // SAFETY: as above.
        let _done = unsafe { libc::fcntl(listener.0, libc::F_SETFL, flags | libc::O_NONBLOCK) };
    }
}

/// Receives what waits into a lent buffer, without waiting; 0 is the end.
///
/// # Errors
/// As `recv(2)`; `EAGAIN` when nothing waits. The buffer stays lent.
pub(in crate::ring) fn receive(socket: Fd, pool: &Pool, bid: u16) -> Result<u32, Errno> {
    let len = pool.buffer_size() as usize;
    // SAFETY: the buffer is lent, so that no `Buf` refers to its bytes, of which there are `len`;
    // the kernel writes them within the call only.
    let got = unsafe { libc::recv(socket.0, pool.address(bid).cast(), len, libc::MSG_DONTWAIT) };
    u32::try_from(got).map_err(|_| Errno::last())
}

/// Sends what the socket takes at once.
///
/// # Errors
/// As `sendmsg(2)`; `EAGAIN` when the socket takes none now.
pub(in crate::ring) fn send(socket: Fd, data: &Outgoing) -> Result<usize, Errno> {
    let bufs = match data {
        Outgoing::One(buf) => return send_bytes(socket, buf, 0),
        Outgoing::Many(bufs) => bufs,
    };
    let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
    let mut slices = [none; SEGMENTS_MAX];
    let mut header = empty_header();
    for (slice, buf) in slices.iter_mut().zip(bufs) {
        *slice = slice_of(buf);
        header.msg_iovlen += 1;
    }
    header.msg_iov = slices.as_mut_ptr();
    // SAFETY: the header points to so many slices of buffers, all of which outlive the call.
    let sent = unsafe { libc::sendmsg(socket.0, &raw const header, SEND_FLAGS) };
    usize::try_from(sent).map_err(|_| Errno::last())
}

/// The same of bytes, with further flags.
///
/// # Errors
/// As `send(2)`; `EAGAIN` when the socket takes none now.
pub(in crate::ring) fn send_bytes(
    socket: Fd,
    bytes: &[u8],
    more: libc::c_int,
) -> Result<usize, Errno> {
    let flags = SEND_FLAGS | more;
    // SAFETY: the kernel reads the bytes within the call.
    let sent = unsafe { libc::send(socket.0, bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| Errno::last())
}

/// A buffer as an entry of a list of slices, from which the kernel only reads.
pub(in crate::ring) fn slice_of(buf: &Buf) -> libc::iovec {
    libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() }
}

/// Begins to connect.
///
/// # Errors
/// As `connect(2)`; `EINPROGRESS` when it goes on, and [`failure`] tells how it ended.
pub(in crate::ring) fn connect(socket: Fd, address: &SocketAddress) -> Result<(), Errno> {
    let bytes = address.as_bytes();
    let len = libc::socklen_t::try_from(bytes.len()).unwrap_or(0);
    // SAFETY: connect(2) reads `len` bytes of the address.
    Errno::result(unsafe { libc::connect(socket.0, bytes.as_ptr().cast(), len) }).map(drop)
}

/// What a socket has failed with since this was last asked (`SO_ERROR`).
///
/// # Errors
/// That.
pub(in crate::ring) fn failure(socket: Fd) -> Result<(), Errno> {
    let mut error: libc::c_int = 0;
    let mut len = libc::socklen_t::try_from(size_of_val(&error)).unwrap_or(0);
    let place = (&raw mut error).cast();
    // SAFETY: the kernel writes at most `len` bytes, which is the size of the number.
    let result = unsafe {
        libc::getsockopt(socket.0, libc::SOL_SOCKET, libc::SO_ERROR, place, &raw mut len)
    };
    Errno::result(result)?;
    if error == 0 { Ok(()) } else { Err(Errno::from_raw(error)) }
}
