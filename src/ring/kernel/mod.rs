//! Calls of the kernel that are made directly: set-up, and those that a ring would hand to a
//! thread. Every driver on a real kernel makes them alike: see [`OnKernel`].
//!
//! | file | job |
//! |---|---|
//! | `streams`, `datagrams`, `send_batch` | sockets: receives, sends, batches of datagrams |
//! | `files` | files: whether their bytes are in memory, and sending them from there |
//! | `poll` | readiness: `epoll(7)`, and a look at one descriptor |
//! | `tls` | kernel TLS |
#![expect(unsafe_code, reason = "system calls are handed memory")]

pub(super) mod datagrams;
pub(super) mod files;
pub(super) mod poll;
mod send_batch;
pub(super) mod streams;
mod tls;

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{SFlag, fstat};

pub(super) use self::datagrams::Receipt;
pub(super) use self::poll::{Change, Poller};
pub use self::send_batch::SendBatch;
pub use self::tls::Direct;
use crate::ring::{
    DatagramSocketOptions, Fd, OpenFile, Outbox, Pipe, Residence, SendReport, SocketAddress,
    SocketError, StreamOptions, Syscalls,
};

/// What a pipe holds when its size cannot be set: 16 pages.
const PIPE_DEFAULT: usize = 64 * 1024;

/// The metadata of an open file, with the same descriptor.
fn look_at(file: BorrowedFd<'_>) -> Result<OpenFile, Errno> {
    let found = fstat(file)?;
    let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    if kind != SFlag::S_IFREG && kind != SFlag::S_IFDIR {
        return Err(Errno::EACCES);
    }
    let nanos = |nanos: i64| u32::try_from(nanos).unwrap_or(0);
    Ok(OpenFile {
        fd: Fd(file.as_raw_fd()),
        len: u64::try_from(found.st_size).unwrap_or(0),
        modified: (found.st_mtime, nanos(found.st_mtime_nsec)),
        changed: (found.st_ctime, nanos(found.st_ctime_nsec)),
        inode: found.st_ino,
        is_folder: kind == SFlag::S_IFDIR,
    })
}

/// A driver whose direct calls are those of the kernel.
pub trait OnKernel {
    /// The arrays by which batches of datagrams are sent.
    fn send_batch(&mut self) -> &mut SendBatch;

    /// A socket was made or accepted.
    fn given_out(&mut self, socket: Fd) {
        let _socket = socket;
    }

    /// The kernel encrypts from now on what is sent on a socket: from a copy.
    fn encrypted(&mut self, socket: Fd) {
        let _socket = socket;
    }

    /// The kernel decrypts from now on what is received on a socket: a receive ends before a record
    /// of another type, which then waits although the socket has told of all that came.
    fn decrypted(&mut self, socket: Fd) {
        let _socket = socket;
    }

    /// A descriptor is about to be closed.
    fn closing(&mut self, fd: Fd) {
        let _fd = fd;
    }
}

impl<D: OnKernel> Syscalls for D {
    fn socket(&mut self, address: &SocketAddress) -> Result<Fd, Errno> {
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: socket(2) takes no memory.
        let socket = Errno::result(unsafe { libc::socket(address.family(), kind, 0) }).map(Fd)?;
        self.given_out(socket);
        Ok(socket)
    }

    fn accept(&mut self, listener: Fd) -> Result<Fd, Errno> {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let null = std::ptr::null_mut();
        // SAFETY: accept4(2) with null for the address writes nothing.
        let socket =
            Errno::result(unsafe { libc::accept4(listener.0, null, std::ptr::null_mut(), flags) });
        let socket = socket.map(Fd)?;
        self.given_out(socket);
        Ok(socket)
    }

    fn set_backlog(&mut self, listener: Fd, backlog: u32) {
        let most = i32::try_from(backlog).unwrap_or(libc::SOMAXCONN).min(libc::SOMAXCONN);
        // SAFETY: listen(2) takes no memory of ours; the caller owns the descriptor.
        let _best_effort = unsafe { libc::listen(listener.0, most) };
    }

    fn splice(&mut self, from: Fd, to: Fd, max: usize) -> Result<usize, Errno> {
        let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
        let null = std::ptr::null_mut();
        // SAFETY: splice(2) with null offsets reads and writes none of our memory.
        let moved = unsafe { libc::splice(from.0, null, to.0, std::ptr::null_mut(), max, flags) };
        usize::try_from(moved).map_err(|_| Errno::last())
    }

    fn pipe(&mut self, capacity: usize) -> Result<Pipe, Errno> {
        let mut ends = [0; 2];
        // SAFETY: pipe2(2) writes two descriptors, for which `ends` has room.
        Errno::result(unsafe {
            libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC)
        })?;
        let [reader, writer] = ends.map(Fd);
        let wanted = libc::c_int::try_from(capacity).unwrap_or(libc::c_int::MAX);
        // SAFETY: F_SETPIPE_SZ takes an integer and touches no memory of ours.
        let mut granted = unsafe { libc::fcntl(writer.0, libc::F_SETPIPE_SZ, wanted) };
        if granted < 0 {
            // A user with many pipes gets small ones.
            // SAFETY: F_GETPIPE_SZ touches no memory of ours.
            granted = unsafe { libc::fcntl(writer.0, libc::F_GETPIPE_SZ) };
        }
        Ok(Pipe { reader, writer, capacity: usize::try_from(granted).unwrap_or(PIPE_DEFAULT) })
    }

    fn open_below(&mut self, root: Fd, name: &str, follow: bool) -> Result<OpenFile, Errno> {
        // SAFETY: the caller keeps the folder open for as long as it serves files from it.
        let root = unsafe { BorrowedFd::borrow_raw(root.0) };
        // Without waiting for a writer, should the name be that of a pipe.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let links = if follow {
            ResolveFlag::RESOLVE_NO_MAGICLINKS
        } else {
            ResolveFlag::RESOLVE_NO_SYMLINKS
        };
        let within = ResolveFlag::RESOLVE_BENEATH | links;
        let name = if name.is_empty() { "." } else { name };
        let file = openat2(root, name, OpenHow::new().flags(flags).resolve(within))?;
        let found = look_at(file.as_fd())?;
        // It belongs to the caller now.
        let _descriptor = file.into_raw_fd();
        Ok(found)
    }

    fn look_at(&mut self, file: Fd) -> Result<OpenFile, Errno> {
        // SAFETY: the caller has the file open.
        look_at(unsafe { BorrowedFd::borrow_raw(file.0) })
    }

    fn residence(&mut self, file: Fd, offset: u64, len: usize) -> Residence {
        files::residence(file, offset, len)
    }

    fn sendfile(&mut self, socket: Fd, file: Fd, offset: u64, max: usize) -> Result<usize, Errno> {
        files::sendfile(socket, file, offset, max)
    }

    fn shutdown_write(&mut self, socket: Fd) -> Result<(), Errno> {
        // SAFETY: shutdown(2) takes no memory.
        Errno::result(unsafe { libc::shutdown(socket.0, libc::SHUT_WR) }).map(drop)
    }

    fn is_hung_up(&mut self, socket: Fd) -> bool {
        poll::is_hung_up(socket)
    }

    fn unacknowledged(&mut self, socket: Fd) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the call writes one int, to which the pointer leads.
        let result = unsafe { libc::ioctl(socket.0, libc::TIOCOUTQ, &raw mut bytes) };
        if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }

    fn round_trip(&mut self, socket: Fd) -> Option<Duration> {
        // SAFETY: the structure consists of numbers, for which zeros are values.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut len = libc::socklen_t::try_from(size_of_val(&info)).ok()?;
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_INFO);
        let place = (&raw mut info).cast();
        // SAFETY: the kernel writes at most `len` bytes, which is the size of the structure.
        let result = unsafe { libc::getsockopt(socket.0, level, name, place, &raw mut len) };
        (result == 0 && info.tcpi_rtt > 0).then(|| Duration::from_micros(info.tcpi_rtt.into()))
    }

    fn shutdown_read(&mut self, socket: Fd) {
        // SAFETY: shutdown(2) takes no memory. A connection that is gone needs none.
        let _gone = unsafe { libc::shutdown(socket.0, libc::SHUT_RD) };
    }

    fn send_now(&mut self, socket: Fd, bytes: &[u8], follows: bool) -> Result<usize, Errno> {
        streams::send_bytes(socket, bytes, if follows { libc::MSG_MORE } else { 0 })
    }

    fn read_now(
        &mut self,
        file: Fd,
        offset: u64,
        max: usize,
        into: &mut Vec<u8>,
    ) -> Result<usize, Errno> {
        files::read_now(file, offset, max, into)
    }

    fn reset_on_close(&mut self, socket: Fd) {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        set(socket, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
    }

    fn close(&mut self, fd: Fd) {
        self.closing(fd);
        close(fd);
    }

    fn peer_address(&mut self, socket: Fd) -> Result<SocketAddress, Errno> {
        peer_address(socket)
    }

    fn local_address(&mut self, socket: Fd) -> Result<SocketAddress, Errno> {
        address(|storage, len| {
            // SAFETY: storage has room for len bytes, of which getsockname writes at most so many.
            unsafe { libc::getsockname(socket.0, storage, len) }
        })
    }

    fn configure(&mut self, socket: Fd, options: &StreamOptions) {
        // A listening socket may have been set up otherwise.
        set(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, &i32::from(options.nodelay));
        if let Some(seconds) = options.keepalive_seconds {
            let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
            set(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &1i32);
            set(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &seconds);
        } else {
            set(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &0i32);
        }
        if let Some(bytes) = options.receive_buffer {
            let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
            set(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes);
        }
        if let Some(bytes) = options.send_buffer {
            let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
            set(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, &bytes);
        }
    }

    fn datagram_socket(
        &mut self,
        server: &SocketAddress,
        options: &DatagramSocketOptions,
    ) -> Result<Fd, Errno> {
        let socket = datagrams::open(server, options)?;
        self.given_out(socket);
        Ok(socket)
    }

    fn send_datagrams(&mut self, socket: Fd, outbox: &Outbox, segment_max: u16) -> SendReport {
        self.send_batch().send(socket, outbox, segment_max)
    }

    fn take_socket_error(&mut self, socket: Fd) -> Option<SocketError> {
        datagrams::take_error(socket)
    }
}

/// Sends never wait: a full socket is an answer (`EAGAIN`). A connection that is gone is an answer,
/// too, and no signal.
pub(super) const SEND_FLAGS: libc::c_int = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// A header of a message without name, slices and control data.
pub(super) const fn empty_header() -> libc::msghdr {
    // SAFETY: a msghdr is plain data, for which all zeroes (null pointers, no lengths) is a valid
    // value, also where a target has padding in it.
    unsafe { std::mem::zeroed() }
}

/// The error number of an error of the standard library.
pub(super) fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)
}

/// The present time.
#[expect(clippy::disallowed_methods, reason = "the drivers are where time comes from")]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The present time since 1970-01-01 UTC; zero before then.
#[expect(clippy::disallowed_methods, reason = "the drivers are where time comes from")]
pub(super) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Closes a descriptor, on which no operation is in flight.
pub(super) fn close(fd: Fd) {
    // SAFETY: the caller owns the descriptor and has no operation in flight on it.
    let failed = unsafe { libc::close(fd.0) };
    debug_assert!(failed == 0 || Errno::last() != Errno::EBADF, "close of {fd:?} of ours");
}

/// Another descriptor of the same file.
pub(super) fn duplicate(fd: Fd) -> Result<OwnedFd, Errno> {
    // SAFETY: the call takes a number, and touches no memory of ours.
    let own = Errno::result(unsafe { libc::fcntl(fd.0, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: the descriptor was made by the call above, and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(own) })
}

/// Writes to a pipe, without waiting.
pub(super) fn write(pipe: Fd, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the bytes within the call.
    let written = unsafe { libc::write(pipe.0, bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(written).map_err(|_| Errno::last())
}

/// Sets an option; a refusal (an option of TCP on a unix socket) changes nothing.
pub(super) fn set<T: Copy>(socket: Fd, level: i32, name: i32, value: &T) {
    let len = libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0);
    // SAFETY: the kernel reads len bytes of value, which is plain data of that size.
    let _refused =
        unsafe { libc::setsockopt(socket.0, level, name, std::ptr::from_ref(value).cast(), len) };
}

/// The address at the other end.
pub(super) fn peer_address(socket: Fd) -> Result<SocketAddress, Errno> {
    address(|storage, len| {
        // SAFETY: storage has room for len bytes, of which getpeername writes at most so many.
        unsafe { libc::getpeername(socket.0, storage, len) }
    })
}

fn address(
    call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> i32,
) -> Result<SocketAddress, Errno> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).unwrap_or(0);
    Errno::result(call(storage.as_mut_ptr().cast(), &raw mut len))?;
    let len = (len as usize).min(size_of::<libc::sockaddr_storage>());
    // SAFETY: the storage was zeroed and then partly written: len bytes of it are initialised.
    let bytes = unsafe { std::slice::from_raw_parts(storage.as_ptr().cast::<u8>(), len) };
    Ok(SocketAddress::from_bytes(bytes).unwrap_or_else(SocketAddress::unnamed))
}
