//! The kernel as the loop sees it.
//!
//! [`Driver`] is the one boundary between Ringway and the kernel: typed operations go in,
//! [`Completion`]s come out, and a few calls that never block are made directly. [`uring`] does it
//! with io_uring, [`epoll`] with epoll, [`sim`] with a seeded kernel in memory; a [`KernelDriver`]
//! is one of the first two. This folder knows nothing of timers, sessions or protocols.

mod address;
mod choice;
mod datagram;
pub mod epoll;
pub mod kernel;
mod outbox;
pub mod sim;
mod targets;
mod token;
pub mod uring;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use nix::errno::Errno;

pub use address::SocketAddress;
pub use choice::{
    Chosen, DRIVER_VARIABLE, DRIVER_WORDS, DriverChoice, DriverKind, KernelDriver, UnknownDriver,
};
pub(crate) use datagram::BUFFER_LEN as DATAGRAM_BUFFER_LEN;
pub use datagram::{Datagram, DatagramHead};
pub use kernel::Direct;
pub use outbox::{Outbound, Outbox, SEGMENTS_SENT_MAX, SendReport};
pub use targets::{ConnectTarget, NotATarget};
pub use token::{LANES, Lane, Token, Verb};
pub use uring::ZeroCopySend;

use crate::mem::{Buf, Outgoing};

/// A descriptor that the driver gave out. Plain data: whoever owns it closes it, with
/// [`Op::Close`] or [`Syscalls::close`], after its last operation has completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fd(pub i32);

/// An empty pipe for [`Syscalls::splice`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pipe {
    /// The end that bytes come out of.
    pub reader: Fd,
    /// The end that bytes go into.
    pub writer: Fd,
    /// Bytes that it takes at most (fewer when they come in small pieces).
    pub capacity: usize,
}

/// Which of some bytes of a file are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residence {
    /// All of them.
    Whole,
    /// The first and the last one; the kernel does not tell of the others.
    Ends,
    /// Not all of them.
    Missing,
}

/// A file or folder that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFile {
    /// The descriptor.
    pub fd: Fd,
    /// Bytes.
    pub len: u64,
    /// When it was last changed: seconds since 1970-01-01 UTC, and nanoseconds.
    pub modified: (i64, u32),
    /// When its content or what is said of it was last changed, as above; unlike `modified`, no
    /// program can set it.
    pub changed: (i64, u32),
    /// Which file it is, within its file system.
    pub inode: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// An operation that completes later. It owns what the kernel uses until then.
#[derive(Debug)]
pub enum Op {
    /// Accept connections until told otherwise: [`Outcome::Accepted`] each, `more` while it lives.
    Accept {
        /// A listening socket.
        listener: Fd,
    },
    /// Receive into pool buffers: [`Outcome::Received`] each.
    Receive {
        /// A connected socket.
        socket: Fd,
        /// Only one receive, for a flow whose receiver is slow; else until told otherwise.
        once: bool,
    },
    /// Read a file from `offset` on, into a pool buffer: [`Outcome::Received`], or
    /// [`Outcome::Eof`] at its end.
    Read {
        /// A regular file.
        file: Fd,
        /// Where to begin, in bytes.
        offset: u64,
    },
    /// Receive datagrams, with whom they came from, into buffers of their own pool until told
    /// otherwise: [`Outcome::Datagram`] each. An error that an ICMP message left on the socket ends
    /// it with [`Outcome::Failed`], and the next one goes on.
    ReceiveFrom {
        /// A datagram socket.
        socket: Fd,
    },
    /// Send without waiting: what the socket does not take at once comes back with
    /// [`Outcome::Sent`]. At most one may be in flight per token.
    Send {
        /// A connected socket.
        socket: Fd,
        /// The bytes, kept until the completion.
        data: Outgoing,
    },
    /// Connect: [`Outcome::Connected`] or [`Outcome::Failed`].
    Connect {
        /// A socket of the address' family.
        socket: Fd,
        /// Whom to connect to.
        address: Box<SocketAddress>,
    },
    /// Report once when `fd` can be read, was closed or has failed: [`Outcome::Ready`].
    PollIn {
        /// A socket, pipe or eventfd.
        fd: Fd,
    },
    /// Report once when `fd` can be written or has failed: [`Outcome::Ready`].
    PollOut {
        /// A socket.
        fd: Fd,
    },
    /// End the operation that was pushed with `target`. Both it and the target complete.
    Cancel {
        /// The token of the operation.
        target: Token,
    },
    /// End every operation on `fd`. It and all of them complete.
    CancelAll {
        /// A descriptor with operations in flight.
        fd: Fd,
    },
    /// Close `fd`, on which no operation may be in flight.
    Close {
        /// The descriptor.
        fd: Fd,
    },
    /// Give an accepted connection to another worker's driver, where it completes as
    /// [`Outcome::Accepted`] with the token `arrival`.
    HandOff {
        /// The door of the other driver, as [`KernelDriver::door`] gives it.
        ring: Fd,
        /// The token of the completion there.
        arrival: Token,
        /// The connection. It stays ours when the operation fails.
        socket: Fd,
    },
}

impl Op {
    /// How many handles on pool buffers it owns.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn pooled(&self) -> usize {
        if let Self::Send { data, .. } = self { data.pooled() } else { 0 }
    }
}

/// What became of an operation.
#[derive(Debug)]
pub struct Completion {
    /// The token that the operation was pushed with.
    pub token: Token,
    /// What happened.
    pub outcome: Outcome,
    /// Whether the operation lives on and will complete again. To be looked at on every
    /// completion: a ring that overflowed ends a multishot with a *successful* one.
    pub more: bool,
}

/// What happened to an operation, or one time of a repeating one.
#[derive(Debug)]
pub enum Outcome {
    /// A connection, non-blocking and close-on-exec.
    Accepted(Fd),
    /// Bytes.
    Received(Buf),
    /// A datagram, or several of one sender that the kernel has joined.
    Datagram(Datagram),
    /// The peer will send no more.
    Eof,
    /// There was no free pool buffer; the bytes wait in the socket.
    Starved,
    /// A send ended. All bytes come back, with how many of them the kernel took.
    Sent {
        /// Bytes taken, or the error; `EAGAIN` when the socket took none.
        result: Result<usize, Errno>,
        /// What was to be sent.
        data: Outgoing,
    },
    /// The descriptor is ready, or has failed: the next call on it tells.
    Ready,
    /// The connection stands.
    Connected,
    /// A cancel, close or hand-over is done.
    Done,
    /// The operation failed; `ECANCELED` when it was cancelled.
    Failed(Errno),
}

impl Outcome {
    /// How many handles on pool buffers it owns.
    #[cfg(debug_assertions)]
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other outcomes own nothing")]
    fn pooled(&self) -> usize {
        match self {
            Self::Received(buf) => usize::from(buf.is_pooled()),
            Self::Datagram(datagram) => usize::from(datagram.is_pooled()),
            Self::Sent { data, .. } => data.pooled(),
            _ => 0,
        }
    }
}

/// Why the loop cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {source}")]
pub struct DriverError {
    /// The call that failed.
    pub call: &'static str,
    /// What it said.
    pub source: Errno,
}

/// What a driver has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriverCounters {
    /// Calls that submit and wait.
    pub enters: u64,
    /// Operations submitted.
    pub submitted: u64,
    /// Completions reaped.
    pub completed: u64,
    /// Times that the completion queue was found overflown.
    pub overflows: u64,
    /// Receives that ended because no buffer was free (`ENOBUFS`).
    pub starved: u64,
    /// Sends that were made without a copy.
    pub zero_copy_sends: u64,
    /// Of them, those that the kernel has copied after all.
    pub zero_copy_copied: u64,
    /// Bytes of such sends that peers have not acknowledged.
    pub zero_copy_held: u64,
}

/// Asynchronous half of the kernel. One thread owns it.
pub trait Driver: Syscalls + TlsCalls {
    /// Queues an operation. `token` must name no other operation in flight.
    ///
    /// # Errors
    /// The operation comes back, with all that it owns, when no more can be in flight: try again
    /// after the next [`Driver::wait`].
    fn push(&mut self, token: Token, op: Op) -> Result<(), Op>;

    /// Submits what was pushed and waits for a completion, or until `deadline`; `None` waits
    /// without end. Returns at once while completions are there to be reaped.
    ///
    /// # Errors
    /// Only when the ring is beyond use.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), DriverError>;

    /// Moves all completions into `into`, in their order.
    fn reap(&mut self, into: &mut Vec<Completion>);

    /// The present time.
    fn now(&self) -> Instant;

    /// The present time since 1970-01-01 UTC; zero before then.
    fn unix_time(&self) -> Duration;

    /// Pool buffers that a receive can be given, and how many there are in all.
    fn buffers(&self) -> (usize, usize);

    /// Datagram buffers that a receive can be given, and how many there are in all.
    fn datagram_buffers(&self) -> (usize, usize);

    /// Operations in flight.
    fn in_flight(&self) -> usize;

    /// So many operations may be in flight from now on.
    fn set_in_flight_max(&mut self, most: usize);

    /// Handles on pool buffers, of streams and of datagrams, that no operation in flight owns and
    /// no completion that waits to be reaped. Between two turns there are none: bytes that wait are
    /// not kept in the pool.
    #[cfg(debug_assertions)]
    fn stray_handles(&self) -> usize;

    /// What was counted.
    fn counters(&self) -> DriverCounters;
}

/// The kernel's TLS for what a socket sends.
pub trait TlsCalls {
    /// Lets the kernel speak TLS on a socket (`TCP_ULP`, Linux 4.13). Without a key, bytes go as
    /// they are.
    ///
    /// # Errors
    /// As `setsockopt(2)`; `ENOENT` when the kernel has no TLS, `EEXIST` when it does so already.
    fn enable_tls(&mut self, socket: Fd) -> Result<(), Errno>;

    /// Gives the kernel the key of what is sent (`TLS_TX`), or, since Linux 6.14, the next one, in
    /// one of the structures `tls12_crypto_info_*` of `<linux/tls.h>`.
    ///
    /// # Errors
    /// As `setsockopt(2)`; `EINVAL` or `ENOENT` for a cipher that it does not know, `EBUSY` when
    /// it has a key and cannot change it.
    fn set_tls_transmit(&mut self, socket: Fd, info: &[u8]) -> Result<(), Errno>;

    /// What the kernel encrypts with, as [`TlsCalls::set_tls_transmit`] takes it, with the number
    /// of the next record.
    ///
    /// # Errors
    /// As `getsockopt(2)`.
    fn tls_transmit(&mut self, socket: Fd, info: &mut [u8]) -> Result<(), Errno>;

    /// Sends one record of a type other than data, whole or not at all, without waiting.
    ///
    /// # Errors
    /// As `sendmsg(2)`; `EAGAIN` when the socket takes none now.
    fn send_tls_record(&mut self, socket: Fd, kind: u8, payload: &[u8]) -> Result<usize, Errno>;

    /// Gives the kernel the key of what is received (`TLS_RX`, Linux 4.17), or, since Linux 6.14,
    /// the next one, in one of the structures that [`TlsCalls::set_tls_transmit`] takes. What the
    /// socket holds and nobody has received begins with a record.
    ///
    /// # Errors
    /// As [`TlsCalls::set_tls_transmit`].
    fn set_tls_receive(&mut self, socket: Fd, info: &[u8]) -> Result<(), Errno>;

    /// Receives one record that the kernel has decrypted, without waiting: its type, and how many
    /// bytes of `into` are its payload. The type is none at the end of the stream.
    ///
    /// # Errors
    /// As `recvmsg(2)`; `EAGAIN` when none has come, `EBADMSG` for one that cannot be decrypted.
    fn receive_tls_record(
        &mut self,
        socket: Fd,
        into: &mut [u8],
    ) -> Result<(Option<u8>, usize), Errno>;

    /// Receives at most so many bytes without waiting; 0 is the end of the stream.
    ///
    /// # Errors
    /// As `recv(2)`; `EAGAIN` when none has come.
    fn receive_now(&mut self, socket: Fd, into: &mut [u8]) -> Result<usize, Errno>;

    /// Writes bytes to a pipe that has room for them.
    ///
    /// # Errors
    /// As `write(2)`; `EAGAIN` when it has none.
    fn fill_pipe(&mut self, writer: Fd, bytes: &[u8]) -> Result<usize, Errno>;
}

/// Calls that are made directly, because they never block and the ring would hand them to a
/// thread (`splice`, `shutdown`) or gain nothing (set-up).
pub trait Syscalls {
    /// A new non-blocking stream socket of the address' family.
    ///
    /// # Errors
    /// As `socket(2)`; `EMFILE` where descriptors are used up.
    fn socket(&mut self, address: &SocketAddress) -> Result<Fd, Errno>;

    /// Takes one connection from a listener's queue.
    ///
    /// # Errors
    /// As `accept4(2)`; `EAGAIN` when the queue is empty.
    fn accept(&mut self, listener: Fd) -> Result<Fd, Errno>;

    /// Lets so many connections wait to be accepted from now on (`listen(2)`). Best effort: a
    /// listener that refuses keeps what it has.
    fn set_backlog(&mut self, listener: Fd, backlog: u32);

    /// Moves at most `max` bytes between a socket and a pipe, without waiting. 0 is the end.
    ///
    /// # Errors
    /// As `splice(2)`; `EAGAIN` when nothing can be moved now.
    fn splice(&mut self, from: Fd, to: Fd, max: usize) -> Result<usize, Errno>;

    /// A new pipe of `capacity` bytes, or of fewer where the user's limit is reached.
    ///
    /// # Errors
    /// As `pipe2(2)`; `EMFILE` where descriptors are used up.
    fn pipe(&mut self, capacity: usize) -> Result<Pipe, Errno>;

    /// Opens a regular file or a folder below the folder `root` to be read. Nothing outside of
    /// `root` is opened (`openat2(2)`, Linux 5.6); symbolic links are followed only if `follow`
    /// says so, and as long as they stay below.
    ///
    /// # Errors
    /// As `openat2(2)`; `EACCES` for what is neither a file nor a folder.
    fn open_below(&mut self, root: Fd, name: &str, follow: bool) -> Result<OpenFile, Errno>;

    /// The current metadata of an open file.
    ///
    /// # Errors
    /// As `fstat(2)`; `EACCES` for what is neither a file nor a folder.
    fn look_at(&mut self, file: Fd) -> Result<OpenFile, Errno>;

    /// Whether these bytes of a file are in memory, so that sending them waits for no disk
    /// (`cachestat(2)`, Linux 6.5; without it reads that do not wait try the ends).
    fn residence(&mut self, file: Fd, offset: u64, len: usize) -> Residence;

    /// Sends at most `max` bytes of a file from `offset` on, without waiting for the socket. 0 is
    /// the end of the file.
    ///
    /// # Errors
    /// As `sendfile(2)`; `EAGAIN` when the socket takes none now.
    fn sendfile(&mut self, socket: Fd, file: Fd, offset: u64, max: usize) -> Result<usize, Errno>;

    /// Tells the peer that nothing more will be sent.
    ///
    /// # Errors
    /// As `shutdown(2)`; `ENOTCONN` when the peer has reset the connection.
    fn shutdown_write(&mut self, socket: Fd) -> Result<(), Errno>;

    /// Whether the connection was reset, or both its directions have ended. That its peer sends no
    /// more is alone no reason.
    fn is_hung_up(&mut self, socket: Fd) -> bool;

    /// Bytes that were given to the socket and that its peer's system has not acknowledged
    /// (`SIOCOUTQ`); 0 where that cannot be said.
    fn unacknowledged(&mut self, socket: Fd) -> usize;

    /// The time that a socket's peer takes to acknowledge, as the kernel estimates it (`TCP_INFO`);
    /// `None` where that cannot be said.
    fn round_trip(&mut self, socket: Fd) -> Option<Duration>;

    /// Receives nothing more: what is received after what has come is the end.
    fn shutdown_read(&mut self, socket: Fd);

    /// Sends what the socket takes at once; for a few bytes, when no send is under way. When more
    /// `follows`, they may wait for it, so as to go in the same packet (`MSG_MORE`).
    ///
    /// # Errors
    /// As `send(2)`; `EAGAIN` when the socket takes none now.
    fn send_now(&mut self, socket: Fd, bytes: &[u8], follows: bool) -> Result<usize, Errno>;

    /// Appends at most `max` bytes of a file from `offset` on, as far as they are in memory. 0 is
    /// the end of the file.
    ///
    /// # Errors
    /// As `preadv2(2)` with `RWF_NOWAIT`; `EAGAIN` when the first of them is not in memory.
    fn read_now(
        &mut self,
        file: Fd,
        offset: u64,
        max: usize,
        into: &mut Vec<u8>,
    ) -> Result<usize, Errno>;

    /// Makes the coming close a reset, so that the peer sees that the stream was cut.
    fn reset_on_close(&mut self, socket: Fd);

    /// Closes a descriptor on which no operation is in flight.
    fn close(&mut self, fd: Fd);

    /// The address at the other end.
    ///
    /// # Errors
    /// As `getpeername(2)`; `ENOTCONN` when the connection is gone.
    fn peer_address(&mut self, socket: Fd) -> Result<SocketAddress, Errno>;

    /// The address at our end.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    fn local_address(&mut self, socket: Fd) -> Result<SocketAddress, Errno>;

    /// Sets the options of a connection to an upstream (listeners hand theirs down by
    /// inheritance). What the kernel refuses is left as it is.
    fn configure(&mut self, socket: Fd, options: &StreamOptions);

    /// A new non-blocking datagram socket, connected to `server`: what comes from elsewhere is not
    /// received, and an ICMP message about it becomes an error of the socket.
    ///
    /// # Errors
    /// As `socket(2)` and `connect(2)`; `EMFILE` where descriptors are used up, `EAFNOSUPPORT` for
    /// an address that is not IP.
    fn datagram_socket(
        &mut self,
        server: &SocketAddress,
        options: &DatagramSocketOptions,
    ) -> Result<Fd, Errno>;

    /// Sends all of `outbox` without waiting, straight from its buffers. Datagrams that it has
    /// joined, of at most `segment_max` bytes each, go to the kernel as one (UDP GSO), others one
    /// by one. What cannot be sent now is dropped and counted.
    fn send_datagrams(&mut self, socket: Fd, outbox: &Outbox, segment_max: u16) -> SendReport;

    /// Takes the oldest ICMP error off a datagram socket that was bound with error reports.
    fn take_socket_error(&mut self, socket: Fd) -> Option<SocketError>;
}

/// Options of a connected datagram socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DatagramSocketOptions {
    /// Whether the kernel may join datagrams that were received (UDP GRO).
    pub offload: bool,
    /// `SO_RCVBUF` in bytes; `None` leaves the kernel's default.
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF` in bytes; `None` leaves the kernel's default.
    pub send_buffer: Option<u32>,
}

/// What an ICMP message said of a datagram that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketError {
    /// Whom the datagram was for.
    pub peer: SocketAddr,
    /// The address that it was sent from, if the socket asks for local addresses.
    pub local: Option<IpAddr>,
    /// What happened to it.
    pub errno: Errno,
}

/// Options of a stream socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamOptions {
    /// `TCP_NODELAY`: send small segments at once.
    pub nodelay: bool,
    /// `SO_KEEPALIVE` with this idle time in seconds before the first probe.
    pub keepalive_seconds: Option<u32>,
    /// `SO_RCVBUF` in bytes; `None` leaves it to the kernel's tuning.
    pub receive_buffer: Option<u32>,
    /// `SO_SNDBUF` in bytes; `None` leaves it to the kernel's tuning.
    pub send_buffer: Option<u32>,
}

/// A completion is copied twice on its way; the rare outcomes must not make all of them larger.
const _: () = assert!(size_of::<Completion>() <= 64);

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not expected fails the test")]
mod tests;
