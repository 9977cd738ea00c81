//! The driver on `epoll(7)`, for hosts that have no io_uring or forbid it.
//!
//! An operation is tried at the next wait, as a ring would submit it, and whenever its descriptor
//! is reported to be ready, by an ordinary call that does not wait; what it brings is a completion
//! like those of a ring.
//! Descriptors are registered once, for every kind of change, which is reported once: what is known
//! of each stays in a table, so that no call is made to ask.
//!
//! | file | job |
//! |---|---|
//! | `table` | what is known of each descriptor, and which operations wait for it |
//! | `memory` | the buffers that are received into |
//! | `files` | reads that have to wait for a disk, by threads |
//! | `door` | connections that other workers hand over |

mod door;
mod files;
mod memory;
mod table;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use self::door::Door;
use self::files::FileReader;
use self::memory::{Buffers, DatagramBuffers};
use self::table::{Reading, Table, Waiting};
use super::kernel::{self, Change, OnKernel, Poller, SendBatch, poll, streams};
use super::uring::{RingOptions, SetupError};
use super::{
    Completion, Driver, DriverCounters, DriverError, Fd, Op, Outcome, SocketAddress, Syscalls,
    Token,
};

/// Most receives of one connection, and most connections of one listener, before others have
/// their turn.
const RECEIVES_MAX: usize = 16;
const ACCEPTS_MAX: usize = 64;

/// One epoll with its receive buffers. Belongs to the thread that made it.
pub struct Epoll {
    poller: Poller,
    table: Table,
    /// Operations that were pushed since the last wait.
    pushed: Vec<(Token, Op)>,
    /// Where the operations wait that are in flight, by their tokens.
    armed: HashMap<u64, Fd>,
    /// Descriptors that can be read, and have an operation that does.
    ready: VecDeque<Fd>,
    /// Completions that wait to be reaped, and how many operations of ours have ended with them.
    done: Vec<Completion>,
    ended: usize,
    /// The last wait did not ask the kernel.
    has_skipped: bool,
    buffers: Buffers,
    datagrams: Option<DatagramBuffers>,
    /// From the first read on that has to wait.
    files: Option<FileReader>,
    /// For drivers that others know.
    door: Option<Door>,
    send_batch: SendBatch,
    in_flight_max: usize,
    counters: DriverCounters,
}

impl Epoll {
    /// Makes an epoll, and maps its receive buffers.
    ///
    /// # Errors
    /// Which call was refused, and how.
    pub fn new(options: &RingOptions) -> Result<Self, SetupError> {
        let failed = |call| move |source| SetupError { call, source };
        let mapped = |call| move |error: std::io::Error| SetupError::of(call, &error);
        let buffers = Buffers::new(options.buffers, options.buffer_size);
        let datagrams = match options.datagram_buffers {
            0 => None,
            count => Some(DatagramBuffers::new(count).map_err(mapped("mmap of datagram buffers"))?),
        };
        Ok(Self {
            poller: Poller::new().map_err(failed("epoll_create1"))?,
            table: Table::default(),
            pushed: Vec::new(),
            armed: HashMap::new(),
            ready: VecDeque::new(),
            done: Vec::new(),
            ended: 0,
            has_skipped: false,
            buffers: buffers.map_err(mapped("mmap of receive buffers"))?,
            datagrams,
            files: None,
            door: None,
            send_batch: SendBatch::default(),
            in_flight_max: options.in_flight_max,
            counters: DriverCounters::default(),
        })
    }

    /// What [`Op::HandOff`] of other drivers of this kind gives connections to.
    ///
    /// # Errors
    /// As `pipe2(2)` and `epoll_ctl(2)`.
    pub fn door(&mut self) -> Result<Fd, Errno> {
        if let Some(door) = &self.door {
            return Ok(door.writer());
        }
        let door = Door::new()?;
        self.poller.watch(door.reader(), false)?;
        Ok(self.door.insert(door).writer())
    }

    /// The threads that read files.
    fn files(&mut self) -> Result<&mut FileReader, Errno> {
        if self.files.is_none() {
            let files = FileReader::new()?;
            self.poller.watch(files.fd(), false)?;
            self.files = Some(files);
        }
        self.files.as_mut().ok_or(Errno::EBADF)
    }

    /// Does what was pushed, in its order.
    fn submit(&mut self) {
        let mut pushed = std::mem::take(&mut self.pushed);
        self.counters.submitted += pushed.len() as u64;
        pushed.drain(..).for_each(|(token, op)| self.start(token, op));
        self.pushed = pushed;
    }

    fn start(&mut self, token: Token, op: Op) {
        match op {
            Op::Accept { listener } => {
                streams::never_wait(listener);
                self.read(token, listener, Reading::Connections);
            }
            Op::Receive { socket, once } => self.read(token, socket, Reading::Bytes { once }),
            Op::ReceiveFrom { socket } => self.read(token, socket, Reading::Datagrams),
            Op::Read { file, offset } => self.read_file(token, file, offset),
            Op::Send { socket, data } => {
                let result = streams::send(socket, &data);
                self.finish(token, Outcome::Sent { result, data });
            }
            Op::Connect { socket, address } => self.connect(token, socket, &address),
            Op::PollIn { fd } => self.wait_for(token, fd, Waiting::Readable),
            Op::PollOut { fd } => self.wait_for(token, fd, Waiting::Writable),
            Op::Cancel { target } => self.cancel(token, target),
            Op::CancelAll { fd } => self.cancel_all(token, fd),
            Op::Close { fd } => {
                self.close(fd);
                self.finish(token, Outcome::Done);
            }
            Op::HandOff { ring, arrival, socket } => self.hand_off(token, ring, arrival, socket),
        }
    }

    fn finish(&mut self, token: Token, outcome: Outcome) {
        self.complete(Completion { token, outcome, more: false });
    }

    /// Posts a completion of an operation of ours.
    fn complete(&mut self, completion: Completion) {
        self.ended += usize::from(!completion.more);
        self.counters.starved += u64::from(matches!(completion.outcome, Outcome::Starved));
        self.done.push(completion);
    }

    /// Watches a descriptor.
    fn watch(&mut self, fd: Fd) -> Result<(), Errno> {
        let watched = self.table.at(fd);
        if !(watched.is_ours && watched.is_registered) {
            self.poller.watch(fd, watched.is_registered)?;
            watched.is_registered = true;
        }
        Ok(())
    }

    /// Lets an operation read a descriptor from now on.
    fn read(&mut self, token: Token, fd: Fd, reading: Reading) {
        if let Err(errno) = self.watch(fd) {
            return self.finish(token, Outcome::Failed(errno));
        }
        let watched = self.table.at(fd);
        debug_assert!(watched.reader.is_none(), "{fd:?} is read by {:?}", watched.reader);
        watched.reader = Some((token, reading));
        self.armed.insert(token.pack(), fd);
        if watched.is_readable && !watched.is_queued {
            // Before those that were read in the last turn: who found no buffer then is next.
            watched.is_queued = true;
            self.ready.push_front(fd);
        }
    }

    /// Lets an operation wait for a change, unless there is nothing to wait for.
    fn wait_for(&mut self, token: Token, fd: Fd, waiting: Waiting) {
        if let Err(errno) = self.watch(fd) {
            return self.finish(token, Outcome::Failed(errno));
        }
        let watched = self.table.at(fd);
        let is_so = match waiting {
            // Direct calls may have read it empty meanwhile.
            Waiting::Readable => {
                watched.is_readable = watched.is_readable && poll::is_readable(fd);
                watched.is_readable
            }
            Waiting::Writable => poll::is_writable(fd),
            Waiting::Connected => false,
        };
        if is_so {
            return self.finish(token, Outcome::Ready);
        }
        watched.waiters.push((token, waiting));
        self.armed.insert(token.pack(), fd);
    }

    fn queue(&mut self, fd: Fd) {
        let watched = self.table.at(fd);
        if !watched.is_queued {
            watched.is_queued = true;
            self.ready.push_back(fd);
        }
    }

    fn connect(&mut self, token: Token, socket: Fd, address: &SocketAddress) {
        match streams::connect(socket, address) {
            Ok(()) => self.finish(token, Outcome::Connected),
            Err(Errno::EINPROGRESS) => self.wait_for(token, socket, Waiting::Connected),
            Err(errno) => self.finish(token, Outcome::Failed(errno)),
        }
    }

    fn read_file(&mut self, token: Token, file: Fd, offset: u64) {
        let outcome = match self.buffers.read(file, offset) {
            None => Outcome::Starved,
            Some(Ok(outcome)) => outcome,
            // It is not in memory, or the file system cannot say so.
            Some(Err(Errno::EAGAIN | Errno::EOPNOTSUPP)) => {
                let most = self.buffers.size() as usize;
                match self.files().and_then(|files| files.start(token, file, offset, most)) {
                    Ok(()) => return,
                    Err(errno) => Outcome::Failed(errno),
                }
            }
            Some(Err(errno)) => Outcome::Failed(errno),
        };
        self.finish(token, outcome);
    }

    fn cancel(&mut self, token: Token, target: Token) {
        let outcome = match self.armed.remove(&target.pack()) {
            Some(fd) => {
                self.table.at(fd).disarm(target);
                self.finish(target, Outcome::Failed(Errno::ECANCELED));
                Outcome::Done
            }
            None if self.files.as_ref().is_some_and(|files| files.is_reading(target)) => {
                Outcome::Failed(Errno::EALREADY)
            }
            None => Outcome::Failed(Errno::ENOENT),
        };
        self.finish(token, outcome);
    }

    fn cancel_all(&mut self, token: Token, fd: Fd) {
        let ended = self.table.at(fd).disarm_all();
        let outcome = if ended.is_empty() { Outcome::Failed(Errno::ENOENT) } else { Outcome::Done };
        for target in ended {
            self.armed.remove(&target.pack());
            self.finish(target, Outcome::Failed(Errno::ECANCELED));
        }
        self.finish(token, outcome);
    }

    fn hand_off(&mut self, token: Token, door: Fd, arrival: Token, socket: Fd) {
        // The file stays open, and would be watched on.
        let watched = self.table.at(socket);
        if watched.is_registered {
            watched.is_registered = false;
            self.poller.forget(socket);
        }
        let outcome = match door::give(door, arrival, socket) {
            Ok(()) => {
                let _none = self.table.forget(socket);
                Outcome::Done
            }
            Err(errno) => Outcome::Failed(errno),
        };
        self.finish(token, outcome);
    }

    /// Asks the kernel for changes.
    fn poll(&mut self, timeout: Option<Duration>) -> Result<(), DriverError> {
        self.counters.enters += 1;
        match self.poller.wait(timeout) {
            Ok(()) => {}
            Err(Errno::EINTR) => return Ok(()),
            Err(source) => return Err(DriverError { call: "epoll_wait", source }),
        }
        let mut at = 0;
        while let Some(change) = self.poller.change(at) {
            at += 1;
            if self.door.as_ref().is_some_and(|door| door.reader() == change.fd) {
                self.welcome();
            } else if self.files.as_ref().is_some_and(|files| files.fd() == change.fd) {
                self.take_reads();
            } else {
                self.note(change);
            }
        }
        Ok(())
    }

    /// Connections that other workers have handed over.
    fn welcome(&mut self) {
        loop {
            let arrived = self.door.as_mut().map_or_else(Vec::new, Door::take);
            if arrived.is_empty() {
                return;
            }
            for (token, socket) in arrived {
                self.table.give_out(socket);
                // It ends no operation of ours.
                let outcome = Outcome::Accepted(socket);
                self.done.push(Completion { token, outcome, more: false });
            }
        }
    }

    /// Reads that the threads have done.
    fn take_reads(&mut self) {
        let reads = self.files.as_mut().map_or_else(Vec::new, FileReader::take);
        for (token, read) in reads {
            let outcome = match read {
                Ok(bytes) => self.buffers.copy(&bytes).unwrap_or(Outcome::Starved),
                Err(errno) => Outcome::Failed(errno),
            };
            self.finish(token, outcome);
        }
    }

    /// Notes a change, and ends what has waited for it.
    fn note(&mut self, change: Change) {
        let watched = self.table.at(change.fd);
        watched.is_readable |= change.is_readable;
        watched.is_ended |= change.is_ended;
        let (done, ended, armed) = (&mut self.done, &mut self.ended, &mut self.armed);
        watched.waiters.retain(|(token, waiting)| {
            let outcome = match waiting {
                Waiting::Readable if change.is_readable => Outcome::Ready,
                Waiting::Writable if change.is_writable => Outcome::Ready,
                Waiting::Connected if change.is_writable && poll::is_writable(change.fd) => {
                    let failure = streams::failure(change.fd);
                    failure.map_or_else(Outcome::Failed, |()| Outcome::Connected)
                }
                Waiting::Readable | Waiting::Writable | Waiting::Connected => return true,
            };
            armed.remove(&token.pack());
            *ended += 1;
            done.push(Completion { token: *token, outcome, more: false });
            false
        });
        if watched.is_readable && watched.reader.is_some() {
            self.queue(change.fd);
        }
    }

    /// Reads what can be read, a part of each descriptor's: none takes the last buffers while
    /// others wait for one.
    fn serve(&mut self) {
        let waiting = self.ready.len();
        let share = |(free, _): (usize, usize)| (free / waiting.max(1)).clamp(1, RECEIVES_MAX);
        let (bytes_max, datagrams_max) =
            (share(self.buffers.count()), share(self.datagram_buffers()));
        for _ in 0..waiting {
            let Some(fd) = self.ready.pop_front() else { return };
            let watched = self.table.at(fd);
            watched.is_queued = false;
            // A descriptor may have been closed, and its number be another's.
            let (true, Some((token, reading))) = (watched.is_readable, watched.reader) else {
                continue;
            };
            let most = match reading {
                Reading::Connections => ACCEPTS_MAX,
                Reading::Bytes { once: true } => 1,
                Reading::Bytes { once: false } => bytes_max,
                Reading::Datagrams => datagrams_max,
            };
            if (0..most).all(|_| self.serve_once(fd, token, reading)) {
                self.queue(fd);
            }
        }
    }

    /// Reads once. Whether there may be more.
    fn serve_once(&mut self, fd: Fd, token: Token, reading: Reading) -> bool {
        let outcome = match reading {
            Reading::Connections => self.accept(fd).map(Outcome::Accepted),
            Reading::Bytes { .. } => self.buffers.receive(fd).unwrap_or(Ok(Outcome::Starved)),
            Reading::Datagrams => {
                let buffers = self.datagrams.as_mut();
                buffers.and_then(|all| all.receive(fd)).unwrap_or(Ok(Outcome::Starved))
            }
        };
        let watched = self.table.at(fd);
        let outcome = match outcome {
            Err(Errno::EINTR) => return true,
            Err(Errno::EAGAIN) => {
                watched.is_readable = false;
                return false;
            }
            Ok(outcome) => outcome,
            Err(errno) => Outcome::Failed(errno),
        };
        let is_last = matches!(outcome, Outcome::Eof | Outcome::Starved | Outcome::Failed(_))
            || reading == Reading::Bytes { once: true };
        if let Outcome::Received(buf) = &outcome
            && buf.len() < self.buffers.size() as usize
            && !watched.is_ended
        {
            // It was read empty: what comes now is a change. (A read ends before urgent data as
            // well, and then `is_ended` is set; on a Unix socket also behind descriptors that
            // the peer sent: such a peer is read again when it sends more.)
            watched.is_readable = false;
        }
        let is_readable = watched.is_readable;
        if is_last {
            watched.reader = None;
            self.armed.remove(&token.pack());
        }
        self.complete(Completion { token, outcome, more: !is_last });
        is_readable && !is_last
    }
}

impl Driver for Epoll {
    fn set_in_flight_max(&mut self, most: usize) {
        self.in_flight_max = most;
    }

    fn push(&mut self, token: Token, op: Op) -> Result<(), Op> {
        if self.in_flight() >= self.in_flight_max {
            return Err(op);
        }
        self.pushed.push((token, op));
        Ok(())
    }

    /// What was pushed is done first. What that brought is dispatched without asking the kernel,
    /// once.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), DriverError> {
        self.submit();
        let has_work = !self.done.is_empty() || !self.ready.is_empty();
        self.has_skipped = has_work && !self.has_skipped;
        if !self.has_skipped {
            let timeout = if has_work {
                Some(Duration::ZERO)
            } else {
                deadline.map(|deadline| deadline.saturating_duration_since(self.now()))
            };
            self.poll(timeout)?;
        }
        self.serve();
        Ok(())
    }

    fn reap(&mut self, into: &mut Vec<Completion>) {
        self.counters.completed += self.done.len() as u64;
        self.ended = 0;
        into.append(&mut self.done);
    }

    fn now(&self) -> Instant {
        kernel::now()
    }

    fn unix_time(&self) -> Duration {
        kernel::unix_time()
    }

    fn buffers(&self) -> (usize, usize) {
        self.buffers.count()
    }

    fn datagram_buffers(&self) -> (usize, usize) {
        self.datagrams.as_ref().map_or((0, 0), DatagramBuffers::count)
    }

    fn in_flight(&self) -> usize {
        let reading = self.files.as_ref().map_or(0, FileReader::len);
        self.pushed.len() + self.armed.len() + reading + self.ended
    }

    #[cfg(debug_assertions)]
    fn stray_handles(&self) -> usize {
        let datagrams = self.datagrams.as_ref().map_or(0, DatagramBuffers::handles);
        let pushed: usize = self.pushed.iter().map(|(_, op)| op.pooled()).sum();
        let done: usize = self.done.iter().map(|one| one.outcome.pooled()).sum();
        self.buffers.handles() + datagrams - pushed - done
    }

    fn counters(&self) -> DriverCounters {
        self.counters
    }
}

impl OnKernel for Epoll {
    fn send_batch(&mut self) -> &mut SendBatch {
        &mut self.send_batch
    }

    fn given_out(&mut self, fd: Fd) {
        self.table.give_out(fd);
    }

    fn decrypted(&mut self, socket: Fd) {
        // A short read is not one that has read all.
        self.table.at(socket).is_ended = true;
    }

    fn closing(&mut self, fd: Fd) {
        let watched = self.table.at(fd);
        if watched.is_registered && !watched.is_ours {
            // Others may have the same file open, which would be watched on.
            self.poller.forget(fd);
        }
        // Nothing waits for it, but where a whole driver ends.
        for target in self.table.forget(fd) {
            self.armed.remove(&target.pack());
            self.finish(target, Outcome::Failed(Errno::ECANCELED));
        }
    }
}

impl Drop for Epoll {
    /// What was pushed is done, as a ring would do it: closes, above all.
    fn drop(&mut self) {
        self.submit();
    }
}

impl fmt::Debug for Epoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoll").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}
