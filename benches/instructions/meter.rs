//! What is counted, and what is not: a driver that leaves the simulated kernel out, and an
//! allocator that counts.
#![allow(unsafe_code, reason = "a global allocator is unsafe to implement; it only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use ringway::ring::sim::Sim;
use ringway::ring::{
    Completion, DatagramSocketOptions, Driver, DriverCounters, DriverError, Fd, Op, OpenFile,
    Outbox, Pipe, Residence, SendReport, SocketAddress, SocketError, StreamOptions, Syscalls,
    TlsCalls, Token,
};
use ringway::server::Worker;

thread_local! {
    // Without a destructor and without an initializer that runs: they can be used at any time.
    static MEASURED: Cell<bool> = const { Cell::new(false) };
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what is asked of it while it shall.
struct Counting;

fn count() {
    if COUNTING.get() {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of the turns that were measured.
pub(crate) fn allocations() -> u64 {
    ALLOCATIONS.get()
}

/// From now on turns are measured.
pub(crate) fn begin() {
    MEASURED.set(true);
}

/// Until now.
pub(crate) fn end() {
    MEASURED.set(false);
}

/// A turn of the loop. What callgrind counts begins and ends with this function, by its name: see
/// `scripts/instructions.sh`.
#[inline(never)]
fn counted_turn(worker: &mut Worker<Metered>) -> Result<(), DriverError> {
    COUNTING.set(true);
    let result = worker.turn();
    COUNTING.set(false);
    result
}

/// A turn, counted or not.
pub(crate) fn turn(worker: &mut Worker<Metered>) {
    let result = if MEASURED.get() { counted_turn(worker) } else { worker.turn() };
    result.expect("the simulated kernel does not fail");
}

/// A call to the simulated kernel. Within a counted turn, callgrind stops to count at this function
/// and goes on behind it. `CALL` differs from call to call, and stands in the function: so two of
/// them are never made one that calls the other.
#[inline(never)]
fn beside_the_count<const CALL: u32, R>(work: impl FnOnce() -> R) -> R {
    black_box(CALL);
    COUNTING.set(false);
    let result = work();
    COUNTING.set(true);
    result
}

macro_rules! beside {
    ($work:expr) => {
        if COUNTING.get() { beside_the_count::<{ line!() }, _>(|| $work) } else { $work }
    };
}

/// A simulated kernel whose own work is not counted.
#[derive(Debug)]
pub(crate) struct Metered(pub(crate) Sim);

impl Driver for Metered {
    fn set_in_flight_max(&mut self, most: usize) {
        beside!(self.0.set_in_flight_max(most))
    }

    fn push(&mut self, token: Token, op: Op) -> Result<(), Op> {
        beside!(self.0.push(token, op))
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), DriverError> {
        beside!(self.0.wait(deadline))
    }

    fn reap(&mut self, into: &mut Vec<Completion>) {
        beside!(self.0.reap(into));
    }

    fn now(&self) -> Instant {
        beside!(self.0.now())
    }

    fn unix_time(&self) -> std::time::Duration {
        beside!(self.0.unix_time())
    }

    fn buffers(&self) -> (usize, usize) {
        beside!(self.0.buffers())
    }

    fn datagram_buffers(&self) -> (usize, usize) {
        beside!(self.0.datagram_buffers())
    }

    fn in_flight(&self) -> usize {
        beside!(self.0.in_flight())
    }

    #[cfg(debug_assertions)]
    fn stray_handles(&self) -> usize {
        beside!(self.0.stray_handles())
    }

    fn counters(&self) -> DriverCounters {
        beside!(self.0.counters())
    }
}

impl Syscalls for Metered {
    fn socket(&mut self, address: &SocketAddress) -> Result<Fd, Errno> {
        beside!(self.0.socket(address))
    }

    fn accept(&mut self, listener: Fd) -> Result<Fd, Errno> {
        beside!(self.0.accept(listener))
    }

    fn set_backlog(&mut self, listener: Fd, backlog: u32) {
        beside!(self.0.set_backlog(listener, backlog))
    }

    fn splice(&mut self, from: Fd, to: Fd, max: usize) -> Result<usize, Errno> {
        beside!(self.0.splice(from, to, max))
    }

    fn pipe(&mut self, capacity: usize) -> Result<Pipe, Errno> {
        beside!(self.0.pipe(capacity))
    }

    fn open_below(&mut self, root: Fd, name: &str, follow: bool) -> Result<OpenFile, Errno> {
        beside!(self.0.open_below(root, name, follow))
    }

    fn look_at(&mut self, file: Fd) -> Result<OpenFile, Errno> {
        beside!(self.0.look_at(file))
    }

    fn residence(&mut self, file: Fd, offset: u64, len: usize) -> Residence {
        beside!(self.0.residence(file, offset, len))
    }

    fn sendfile(&mut self, socket: Fd, file: Fd, offset: u64, max: usize) -> Result<usize, Errno> {
        beside!(self.0.sendfile(socket, file, offset, max))
    }

    fn shutdown_write(&mut self, socket: Fd) -> Result<(), Errno> {
        beside!(self.0.shutdown_write(socket))
    }

    fn is_hung_up(&mut self, socket: Fd) -> bool {
        beside!(self.0.is_hung_up(socket))
    }

    fn unacknowledged(&mut self, socket: Fd) -> usize {
        beside!(self.0.unacknowledged(socket))
    }

    fn round_trip(&mut self, socket: Fd) -> Option<Duration> {
        beside!(self.0.round_trip(socket))
    }

    fn shutdown_read(&mut self, socket: Fd) {
        beside!(self.0.shutdown_read(socket));
    }

    fn send_now(&mut self, socket: Fd, bytes: &[u8], follows: bool) -> Result<usize, Errno> {
        beside!(self.0.send_now(socket, bytes, follows))
    }

    fn read_now(
        &mut self,
        file: Fd,
        offset: u64,
        max: usize,
        into: &mut Vec<u8>,
    ) -> Result<usize, Errno> {
        beside!(self.0.read_now(file, offset, max, into))
    }

    fn reset_on_close(&mut self, socket: Fd) {
        beside!(self.0.reset_on_close(socket));
    }

    fn close(&mut self, fd: Fd) {
        beside!(self.0.close(fd));
    }

    fn peer_address(&mut self, socket: Fd) -> Result<SocketAddress, Errno> {
        beside!(self.0.peer_address(socket))
    }

    fn local_address(&mut self, socket: Fd) -> Result<SocketAddress, Errno> {
        beside!(self.0.local_address(socket))
    }

    fn configure(&mut self, socket: Fd, options: &StreamOptions) {
        beside!(self.0.configure(socket, options));
    }

    fn datagram_socket(
        &mut self,
        server: &SocketAddress,
        options: &DatagramSocketOptions,
    ) -> Result<Fd, Errno> {
        beside!(self.0.datagram_socket(server, options))
    }

    fn send_datagrams(&mut self, socket: Fd, outbox: &Outbox, segment_max: u16) -> SendReport {
        beside!(self.0.send_datagrams(socket, outbox, segment_max))
    }

    fn take_socket_error(&mut self, socket: Fd) -> Option<SocketError> {
        beside!(self.0.take_socket_error(socket))
    }
}

impl TlsCalls for Metered {
    fn enable_tls(&mut self, socket: Fd) -> Result<(), Errno> {
        beside!(self.0.enable_tls(socket))
    }

    fn set_tls_transmit(&mut self, socket: Fd, info: &[u8]) -> Result<(), Errno> {
        beside!(self.0.set_tls_transmit(socket, info))
    }

    fn tls_transmit(&mut self, socket: Fd, info: &mut [u8]) -> Result<(), Errno> {
        beside!(self.0.tls_transmit(socket, info))
    }

    fn send_tls_record(&mut self, fd: Fd, kind: u8, payload: &[u8]) -> Result<usize, Errno> {
        beside!(self.0.send_tls_record(fd, kind, payload))
    }

    fn set_tls_receive(&mut self, socket: Fd, info: &[u8]) -> Result<(), Errno> {
        beside!(self.0.set_tls_receive(socket, info))
    }

    fn receive_tls_record(
        &mut self,
        socket: Fd,
        into: &mut [u8],
    ) -> Result<(Option<u8>, usize), Errno> {
        beside!(self.0.receive_tls_record(socket, into))
    }

    fn receive_now(&mut self, socket: Fd, into: &mut [u8]) -> Result<usize, Errno> {
        beside!(self.0.receive_now(socket, into))
    }

    fn fill_pipe(&mut self, writer: Fd, bytes: &[u8]) -> Result<usize, Errno> {
        beside!(self.0.fill_pipe(writer, bytes))
    }
}
