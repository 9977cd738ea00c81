//! The driver on io_uring.
//!
//! | file | job |
//! |---|---|
//! | `setup` | ring flags from best to oldest, smaller rings if memory is short, advice |
//! | `entry` | an operation becomes a submission entry, and what the kernel uses is kept |
//! | `buffers` | the ring of receive buffers |
//! | `probe` | which features work, each shown by one real request |
//! | `datagrams` | receiving datagrams |
//! | `restrict`, `query` | what a ring may be asked for; what this kernel knows |
//! | `filter` | where all rings of a process may connect to |
//! | `zero_copy` | sends whose bytes the kernel reads where they lie |
#![expect(unsafe_code, reason = "submission entries hand memory to the kernel")]

mod buffers;
mod datagrams;
mod entry;
mod filter;
mod probe;
mod query;
mod restrict;
mod setup;
mod zero_copy;

use std::fmt;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use nix::errno::Errno;

use self::buffers::{BufferRing, GROUP};
use self::datagrams::DatagramRing;
use self::entry::Flights;
pub use self::filter::{FilterError, filter_connects};
pub use self::probe::{Capabilities, Feature, Presence, probe};
pub use self::query::{Query, query};
pub use self::restrict::REQUESTS;
pub use self::setup::{RingFlags, RingOptions, RingSize, SetupError};
pub use self::zero_copy::ZeroCopySend;
use self::zero_copy::{Sent, ZeroCopy};
use super::kernel::{self, OnKernel, Receipt, SendBatch, errno_of, peer_address};
use super::{
    Completion, Datagram, Driver, DriverCounters, DriverError, Fd, Lane, Op, Outcome, Token, Verb,
};
use crate::mem::{Buf, Key, Pool};

/// How long a teardown waits for the kernel to give its buffers back.
const TEARDOWN_MAX: Duration = Duration::from_secs(5);
/// In steps of at most so long.
const TEARDOWN_STEP: Duration = Duration::from_millis(10);
/// How long it waits for peers to acknowledge what was sent without a copy.
const ACKNOWLEDGED_MAX: Duration = Duration::from_millis(500);

/// One io_uring with its receive buffers. Belongs to the thread that made it.
///
/// Fields drop in the order in which they stand: the ring is closed first, so that the kernel
/// holds nothing when the buffers behind it are unmapped. [`Drop`] has before that cancelled what
/// was in flight and waited for the final completions.
pub struct Uring {
    ring: IoUring,
    ledger: Ledger,
    send_batch: SendBatch,
    capabilities: Capabilities,
    size: RingSize,
    flags: RingFlags,
    in_flight_max: usize,
}

/// What the kernel holds of ours, and what it has done.
struct Ledger {
    flights: Flights,
    buffers: BufferRing,
    pool: Pool,
    datagrams: Option<DatagramRing>,
    zero_copy: ZeroCopy,
    in_flight: usize,
    counters: DriverCounters,
}

impl Uring {
    /// Sets up a ring with the best flags that this kernel takes, and its receive buffers.
    ///
    /// # Errors
    /// Which call was refused, how, and what to do about it.
    pub fn new(options: &RingOptions) -> Result<Self, SetupError> {
        Self::with(options, |found| found)
    }

    /// The same with fewer features than this kernel has.
    pub(in crate::ring) fn with(
        options: &RingOptions,
        without: impl FnOnce(Capabilities) -> Capabilities,
    ) -> Result<Self, SetupError> {
        let capabilities = without(probe::required(options)?);
        let (ring, size, flags) = setup::build(options)?;
        let pool = Pool::new(options.buffers, options.buffer_size)
            .map_err(|error| SetupError::of("mmap of receive buffers", &error))?;
        let buffers = BufferRing::register(&ring, &pool, GROUP, 0)?;
        let multishot = capabilities.datagram_multishot;
        let datagrams = match options.datagram_buffers {
            0 => None,
            count => Some(DatagramRing::register(&ring, count, multishot)?),
        };
        // Its memory is registered: from here on it only sends, receives and closes.
        restrict::enable(&ring)?;
        Ok(Self {
            ring,
            ledger: Ledger {
                flights: Flights::new(multishot),
                buffers,
                pool,
                datagrams,
                zero_copy: ZeroCopy::new(options.zero_copy_send, capabilities.zero_copy),
                in_flight: 0,
                counters: DriverCounters::default(),
            },
            send_batch: SendBatch::default(),
            capabilities,
            size,
            flags,
            in_flight_max: options.in_flight_max,
        })
    }

    /// The sizes that the kernel granted.
    #[must_use]
    pub fn size(&self) -> RingSize {
        self.size
    }

    /// The flags that the kernel granted.
    #[must_use]
    pub fn flags(&self) -> RingFlags {
        self.flags
    }

    /// The ring's own descriptor, for [`Op::HandOff`] from other rings.
    #[must_use]
    pub fn fd(&self) -> Fd {
        Fd(std::os::fd::AsRawFd::as_raw_fd(&self.ring))
    }

    /// Whether connections can be handed to another ring.
    #[must_use]
    pub fn can_hand_off(&self) -> bool {
        self.capabilities.hand_off
    }

    /// One `io_uring_enter`: submits all, waits for `want` completions or until the time is over.
    fn enter(&mut self, want: usize, timeout: Option<Duration>) -> Result<(), Errno> {
        let queued = self.ring.submission().len();
        let mut flags = EnterFlags::empty();
        if self.ring.params().is_feature_no_iowait() {
            flags |= EnterFlags::NO_IOWAIT;
        }
        self.ledger.counters.enters += 1;
        let timeout = timeout
            .map(|timeout| Timespec::new().sec(timeout.as_secs()).nsec(timeout.subsec_nanos()));
        let args = SubmitArgs::new();
        let args = timeout.as_ref().map_or(args, |timeout| args.timespec(timeout));
        let result = self.ring.submitter().submit_with_args_and_flags(want, &args, flags);
        let left = self.ring.submission().len();
        self.ledger.counters.submitted += (queued - left.min(queued)) as u64;
        result.map(drop).map_err(|error| errno_of(&error))
    }

    /// The submission entry of an operation.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are built alike")]
    fn entry(&mut self, token: Token, op: Op) -> squeue::Entry {
        let once = !self.capabilities.receive_multishot;
        let Ledger { zero_copy, flights, .. } = &mut self.ledger;
        match op {
            Op::Send { socket, data }
                if zero_copy.is_for(socket, &data, || peer_address(socket).ok()) =>
            {
                zero_copy.build(flights, token, socket, data)
            }
            op => entry::build(flights, token, op, once).user_data(token.pack()),
        }
    }

    /// Asks for the end of every operation in flight, if there is room for that.
    fn cancel_everything(&mut self) {
        let token = Token::new(Key::new(0, 0), Lane::Client, Verb::Cancel);
        let cancel = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        // SAFETY: the request points to no memory.
        if unsafe { self.ring.submission().push(&cancel.user_data(token.pack())) }.is_ok() {
            self.ledger.in_flight += 1;
        }
    }

    /// Cancels everything and waits until the kernel has given all memory back.
    fn quiesce(&mut self) {
        let begun = self.now();
        let mut ended = Vec::new();
        while self.ledger.in_flight > 0 && self.now() < begun + TEARDOWN_MAX {
            self.cancel_everything();
            self.enter(1, Some(TEARDOWN_STEP)).unwrap_or(());
            self.reap(&mut ended);
            ended.clear();
        }
        while self.ledger.zero_copy.pending() > 0 && self.now() < begun + ACKNOWLEDGED_MAX {
            self.enter(1, Some(TEARDOWN_STEP)).unwrap_or(());
            self.reap(&mut ended);
            ended.clear();
        }
    }
}

impl Ledger {
    /// Makes one completion of what the kernel posted.
    fn complete(&mut self, cqe: &cqueue::Entry) -> Option<Completion> {
        self.counters.completed += 1;
        if ZeroCopy::is_ours(cqe) {
            return self.complete_zero_copy(cqe);
        }
        let more = cqueue::more(cqe.flags());
        let Some(token) = Token::unpack(cqe.user_data()) else {
            debug_assert!(false, "a completion with a token of ours");
            return None;
        };
        if !more && token.verb != Verb::Arrival {
            self.in_flight -= 1;
        }
        if token.verb == Verb::ReceiveFrom {
            return Some(Completion { token, outcome: self.datagram(token, cqe)?, more });
        }
        // A buffer is taken over before the result is looked at, whatever that says.
        let filled = cqueue::buffer_select(cqe.flags()).and_then(|bid| {
            let len = u32::try_from(cqe.result()).unwrap_or(0);
            self.buffers.taken();
            self.pool.claim(bid, len)
        });
        let outcome = match (token.verb, result_of(cqe)) {
            (Verb::Send, result) => {
                let data = self.flights.take_data(token)?;
                Outcome::Sent { result: result.map(|n| n as usize), data }
            }
            (Verb::Connect, result) => {
                self.flights.clear(token);
                result.map_or_else(Outcome::Failed, |_| Outcome::Connected)
            }
            (Verb::Accept | Verb::Arrival, Ok(fd)) => {
                let socket = Fd(i32::try_from(fd).unwrap_or(-1));
                self.zero_copy.forget(socket);
                Outcome::Accepted(socket)
            }
            (Verb::Receive | Verb::Read, Ok(0)) => Outcome::Eof,
            (Verb::Receive | Verb::Read, Ok(_)) => {
                debug_assert!(filled.is_some(), "no buffer: is the verb that of the operation?");
                Outcome::Received(filled?)
            }
            (Verb::Receive | Verb::Read, Err(Errno::ENOBUFS)) => {
                self.counters.starved += 1;
                Outcome::Starved
            }
            (Verb::PollIn | Verb::PollOut | Verb::Wake, Ok(_)) => Outcome::Ready,
            (Verb::Cancel | Verb::Close | Verb::HandOff | Verb::CancelFrom, Ok(_)) => Outcome::Done,
            (Verb::ReceiveFrom, Ok(_)) => unreachable!("completed above"),
            (_, Err(errno)) => Outcome::Failed(errno),
        };
        Some(Completion { token, outcome, more })
    }

    /// Makes one completion of the first of a send without a copy; a notification is none.
    fn complete_zero_copy(&mut self, cqe: &cqueue::Entry) -> Option<Completion> {
        let Sent { token, socket, data } = self.zero_copy.complete(cqe, &mut self.flights)?;
        self.in_flight -= 1;
        let result = result_of(cqe).map(|taken| taken as usize).map_err(|errno| {
            // Pages cannot be pinned, or the socket's protocol cannot do it: it is tried again as
            // soon as the socket takes something, and then copied.
            let refused = [Errno::ENOMEM, Errno::ENOBUFS, Errno::EOPNOTSUPP, Errno::EINVAL];
            if refused.contains(&errno) {
                self.zero_copy.refuse(socket);
                return Errno::EAGAIN;
            }
            errno
        });
        Some(Completion { token, outcome: Outcome::Sent { result, data }, more: false })
    }

    /// What became of a receive of datagrams.
    fn datagram(&mut self, token: Token, cqe: &cqueue::Entry) -> Option<Outcome> {
        let len = u32::try_from(cqe.result()).unwrap_or(0);
        let receipt = self.flights.receipts.take(token);
        let filled = match cqueue::buffer_select(cqe.flags()) {
            Some(bid) => self.datagrams.as_mut()?.claim(bid, len, receipt.as_deref()),
            // A single receive of an empty datagram keeps no buffer.
            None => receipt.as_deref().and_then(empty_datagram),
        };
        if let Some(receipt) = receipt {
            self.flights.receipts.give(receipt);
        }
        Some(match result_of(cqe) {
            Ok(_) => Outcome::Datagram(filled?),
            Err(Errno::ENOBUFS) => {
                self.counters.starved += 1;
                Outcome::Starved
            }
            Err(errno) => Outcome::Failed(errno),
        })
    }
}

impl Driver for Uring {
    fn set_in_flight_max(&mut self, most: usize) {
        self.in_flight_max = most;
    }

    fn push(&mut self, token: Token, op: Op) -> Result<(), Op> {
        if self.ledger.in_flight >= self.in_flight_max {
            return Err(op);
        }
        if self.ring.submission().is_full() && self.enter(0, None).is_err() {
            return Err(op);
        }
        if self.ring.submission().is_full() {
            return Err(op);
        }
        let entry = self.entry(token, op);
        // SAFETY: what the entry points to is owned by `flights` (sends, connect addresses), by
        // `zero_copy` or by `buffers`, and stays until the completion, or the notification.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        assert!(pushed.is_ok(), "the submission queue was seen to have room");
        self.ledger.in_flight += 1;
        Ok(())
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), DriverError> {
        self.ledger.buffers.publish(&self.ledger.pool);
        if let Some(datagrams) = &mut self.ledger.datagrams {
            datagrams.publish();
        }
        let timeout = deadline.map(|deadline| deadline.saturating_duration_since(self.now()));
        let ready = !self.ring.completion().is_empty();
        let idle = ready || timeout.is_some_and(|timeout| timeout.is_zero());
        let (want, timeout) = if idle { (0, None) } else { (1, timeout) };
        match self.enter(want, timeout) {
            Ok(()) => {}
            // Time is over, a signal came, or the completion queue must be emptied first.
            Err(Errno::ETIME | Errno::EINTR | Errno::EBUSY | Errno::EAGAIN) => {}
            Err(source) => {
                return Err(DriverError { call: "io_uring_enter", source });
            }
        }
        if self.ring.submission().cq_overflow() {
            self.ledger.counters.overflows += 1;
        }
        Ok(())
    }

    fn reap(&mut self, into: &mut Vec<Completion>) {
        let Self { ring, ledger, .. } = self;
        into.extend(ring.completion().filter_map(|cqe| ledger.complete(&cqe)));
    }

    fn now(&self) -> Instant {
        kernel::now()
    }

    fn unix_time(&self) -> Duration {
        kernel::unix_time()
    }

    fn buffers(&self) -> (usize, usize) {
        (self.ledger.buffers.published() + self.ledger.pool.free(), self.ledger.pool.count())
    }

    fn datagram_buffers(&self) -> (usize, usize) {
        self.ledger.datagrams.as_ref().map_or((0, 0), DatagramRing::home)
    }

    fn in_flight(&self) -> usize {
        self.ledger.in_flight
    }

    #[cfg(debug_assertions)]
    fn stray_handles(&self) -> usize {
        let datagrams = self.ledger.datagrams.as_ref().map_or(0, DatagramRing::handles);
        self.ledger.pool.handles() + datagrams - self.ledger.flights.pooled()
    }

    fn counters(&self) -> DriverCounters {
        let Ledger { zero_copy, counters, .. } = &self.ledger;
        DriverCounters {
            zero_copy_sends: zero_copy.sends,
            zero_copy_copied: zero_copy.copied,
            zero_copy_held: zero_copy.bytes() as u64,
            ..*counters
        }
    }
}

impl OnKernel for Uring {
    fn send_batch(&mut self) -> &mut SendBatch {
        &mut self.send_batch
    }

    fn given_out(&mut self, socket: Fd) {
        self.ledger.zero_copy.forget(socket);
    }

    fn encrypted(&mut self, socket: Fd) {
        self.ledger.zero_copy.refuse(socket);
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.quiesce();
        if self.ledger.zero_copy.pending() > 0 {
            // It may send from there again, until the peer has acknowledged it.
            self.ledger.zero_copy.leak();
        }
        if self.ledger.in_flight > 0 {
            // The kernel may still write: the memory must outlive the process' use of it.
            std::mem::forget(std::mem::replace(&mut self.ledger.flights, Flights::new(true)));
            std::mem::forget(self.ledger.pool.clone());
            self.ledger.buffers.leak();
            if let Some(datagrams) = &mut self.ledger.datagrams {
                datagrams.leak();
            }
        }
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring")
            .field("fd", &self.fd())
            .field("size", &self.size)
            .field("flags", &self.flags)
            .field("in_flight", &self.ledger.in_flight)
            .finish_non_exhaustive()
    }
}

/// A datagram without payload.
fn empty_datagram(receipt: &Receipt) -> Option<Datagram> {
    Datagram::new(Buf::copy_of(&receipt.head()))
}

fn result_of(cqe: &cqueue::Entry) -> Result<u32, Errno> {
    u32::try_from(cqe.result()).map_err(|_| Errno::from_raw(cqe.result().wrapping_neg()))
}
