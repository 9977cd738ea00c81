//! The floor: bare io_uring loops with no abstraction, to see what ours costs above them.
//!
//! - `floor echo LISTEN`: multishot receive into provided buffers, send straight from them
//! - `floor relay LISTEN UPSTREAM`: the same between two sockets
//! - `floor splice LISTEN UPSTREAM`: non-blocking `splice(2)` through a 1 MiB pipe a direction,
//!   driven by one-shot polls
//! - `floor udp-echo LISTEN [--gso]`, `floor udp-relay LISTEN UPSTREAM [--gso]`: no ring:
//!   `recvmmsg(2)` and `sendmmsg(2)`, with the kernel's offloads if asked for
//!
//! They move bytes correctly and in order, pass a half-close on and close what has ended. They
//! have no limits, no timeouts and no back-pressure: a slow receiver starves the others.
#![allow(unsafe_code, reason = "the floor is raw io_uring")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "sizes are constants; user data is taken apart"
)]
#![allow(clippy::print_stdout, reason = "the usage, when cargo runs it as a bench")]

use std::collections::VecDeque;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{CompletionQueue, IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};

#[path = "../shared/datagrams.rs"]
mod datagrams;
mod udp;

const USAGE: &str = "usage: floor echo LISTEN | floor relay|splice LISTEN UPSTREAM | \
                     floor udp-echo LISTEN [--gso] | floor udp-relay LISTEN UPSTREAM [--gso]";
const BUFFERS: u16 = 256;
const SIZE: usize = 16 * 1024;
const PIPE: usize = 1 << 20;
/// After so much in one round there is often more.
const MUCH: usize = 64 * 1024;

// What an operation was is in the upper half of its user data, the descriptor in the lower.
const ACCEPT: u32 = 0;
const RECEIVE: u32 = 1;
const SEND: u32 = 2;
const POLL: u32 = 3;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // `cargo bench` runs all there is: this is a program that scripts/compare.sh runs.
        [.., "--bench"] => {}

        ["echo", listen] => Copy::new(&mut ring(), listen, None).run(),
        ["http", listen] => Copy::new(&mut ring(), listen, None).answering().run(),
        ["relay", listen, upstream] => Copy::new(&mut ring(), listen, Some(upstream)).run(),
        ["splice", listen, upstream] => Splice::new(&mut ring(), listen, upstream).run(),
        ["udp-echo", listen] => udp::echo(listen, false),
        ["udp-echo", listen, "--gso"] => udp::echo(listen, true),
        ["udp-relay", listen, upstream] => udp::relay(listen, upstream, false),
        ["udp-relay", listen, upstream, "--gso"] => udp::relay(listen, upstream, true),
        // Cargo runs benches without arguments, or with its own.
        [] | ["--bench" | "--test", ..] => println!("{USAGE}"),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn ring() -> IoUring {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_no_sqarray()
        .setup_clamp()
        .setup_cqsize(8192)
        .build(1024)
        .expect("Linux 6.6 or later")
}

fn listen(address: &str) -> TcpListener {
    let listener = TcpListener::bind(address).expect("listen");
    // Accepted sockets inherit it.
    set_nodelay(listener.as_raw_fd());
    listener
}

fn set_nodelay(fd: RawFd) {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    let value = (&raw const on).cast();
    // SAFETY: the option's value is an int that lives through the call.
    let done = unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, value, size) };
    assert_eq!(done, 0, "nodelay");
}

/// On loopback a blocking connect only waits for room in the backlog.
fn connect(upstream: &str) -> RawFd {
    let stream = TcpStream::connect(upstream).expect("the upstream");
    stream.set_nodelay(true).expect("nodelay");
    stream.into_raw_fd()
}

fn shut(fd: RawFd, how: libc::c_int) {
    // SAFETY: shutdown(2) takes no memory. It fails where the peer has gone, which is as good.
    unsafe { libc::shutdown(fd, how) };
}

fn close(fd: RawFd) {
    // SAFETY: only called with our own descriptors, once no operation uses them.
    assert_eq!(unsafe { libc::close(fd) }, 0, "close");
}

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

/// The ring's two queues, and one system call a turn.
struct Queues<'a> {
    submitter: Submitter<'a>,
    sq: SubmissionQueue<'a>,
    cq: CompletionQueue<'a>,
}

impl<'a> Queues<'a> {
    /// `flags` are for accepted sockets.
    fn new(ring: &'a mut IoUring, listener: &TcpListener, flags: libc::c_int) -> Self {
        let (submitter, sq, cq) = ring.split();
        let mut this = Self { submitter, sq, cq };
        let accept = opcode::AcceptMulti::new(Fd(listener.as_raw_fd()))
            .flags(flags | libc::SOCK_CLOEXEC)
            .build();
        this.push(accept, ACCEPT, 0);
        this
    }

    fn push(&mut self, entry: squeue::Entry, what: u32, fd: RawFd) {
        let entry = entry.user_data(u64::from(what) << 32 | u64::from(fd.cast_unsigned()));
        // SAFETY: entries point to the buffers, which are never unmapped.
        while unsafe { self.sq.push(&entry) }.is_err() {
            self.sq.sync();
            self.submitter.submit().expect("enter");
            self.sq.sync();
        }
    }

    /// Submits and waits; call it when the completion queue was found empty.
    fn turn(&mut self) {
        self.sq.sync();
        match self.submitter.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => panic!("enter: {error}"),
        }
        self.sq.sync();
        self.cq.sync();
    }

    fn next(&mut self) -> Option<(u32, RawFd, i32, u32)> {
        let entry = self.cq.next()?;
        let data = entry.user_data();
        let fd = (data as u32).cast_signed();
        Some(((data >> 32) as u32, fd, entry.result(), entry.flags()))
    }
}

/// Provided buffers: memory and the ring that lends it to the kernel.
struct Buffers {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
    /// Buffers that the kernel does not have.
    held: u16,
}

impl Buffers {
    fn new(ring: &IoUring) -> Self {
        let entries = map(usize::from(BUFFERS) * size_of::<BufRingEntry>()).cast();
        let memory = map(usize::from(BUFFERS) * SIZE).cast();
        let mut this = Self { entries, memory, tail: 0, held: BUFFERS };
        let base = this.entries.addr() as u64;
        let submitter = ring.submitter();
        // SAFETY: the memory is page-aligned, large enough and never unmapped.
        unsafe { submitter.register_buf_ring_with_flags(base, BUFFERS, 0, 0) }.expect("buffers");
        (0..BUFFERS).for_each(|bid| this.give(bid));
        this.publish();
        this
    }

    fn at(&self, bid: u16, offset: u32) -> *const u8 {
        let position = usize::from(bid) * SIZE + offset as usize;
        // SAFETY: within the mapping: `bid` is below BUFFERS, `offset` below SIZE.
        unsafe { self.memory.add(position) }
    }

    fn give(&mut self, bid: u16) {
        let address = self.at(bid, 0).addr() as u64;
        // SAFETY: masked to the ring's size.
        let entry = unsafe { self.entries.add(usize::from(self.tail & (BUFFERS - 1))) };
        // SAFETY: the kernel reads no entry at or behind the tail.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(SIZE as u32);
        entry.set_bid(bid);
        self.tail = self.tail.wrapping_add(1);
        self.held -= 1;
    }

    /// Overwrites a buffer that the kernel does not have; the number of bytes.
    fn fill(&mut self, bid: u16, bytes: &[u8]) -> i32 {
        let target = self.at(bid, 0).cast_mut();
        // SAFETY: the answer is shorter than a buffer, which is ours until it is given back.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        bytes.len() as i32
    }

    fn publish(&self) {
        // SAFETY: `entries` is the registered ring.
        let tail = unsafe { BufRingEntry::tail(self.entries) };
        // SAFETY: the tail is aligned, lives as long as the ring, and is only accessed atomically.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

fn map(len: usize) -> *mut libc::c_void {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh anonymous mapping, never unmapped.
    let base = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    base
}

/// A part of a buffer that is still to be sent.
struct Part {
    bid: u16,
    offset: u32,
    len: u32,
}

/// A socket of `Copy`: what it sends, and what is armed on it. An echo is its own peer.
#[derive(Default)]
struct Socket {
    peer: RawFd,
    queue: VecDeque<Part>,
    sending: bool,
    receiving: bool,
    /// Its peer's stream has ended: shut down when the queue is empty.
    ending: bool,
    shut: bool,
    broken: bool,
}

/// Echo and relay. Sockets are found by descriptor, which is closed when nothing is in flight on
/// it or on its peer: so no completion meets a successor.
struct Copy<'a> {
    queues: Queues<'a>,
    buffers: Buffers,
    _listener: TcpListener,
    upstream: Option<String>,
    /// Whatever comes is a request, and is answered by `ANSWER` instead of itself.
    answers: bool,
    sockets: Vec<Socket>,
    starved: Vec<RawFd>,
}

/// The answer to each request: no less than a server of HTTP would say.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nserver: floor\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    content-type: text/plain\r\ncontent-length: 12\r\n\r\nhello, world";

impl<'a> Copy<'a> {
    fn answering(mut self) -> Self {
        self.answers = true;
        self
    }

    fn new(ring: &'a mut IoUring, address: &str, upstream: Option<&str>) -> Self {
        let buffers = Buffers::new(ring);
        let listener = listen(address);
        Self {
            // Blocking sockets: on others the ring would answer EAGAIN instead of waiting.
            queues: Queues::new(ring, &listener, 0),
            buffers,
            _listener: listener,
            upstream: upstream.map(str::to_owned),
            answers: false,
            sockets: Vec::new(),
            starved: Vec::new(),
        }
    }

    fn run(&mut self) {
        loop {
            self.queues.turn();
            while let Some((what, fd, result, flags)) = self.queues.next() {
                match what {
                    ACCEPT => {
                        assert!(cqueue::more(flags), "the accept lives on");
                        self.open(result);
                    }
                    RECEIVE => self.received(fd, result, flags),
                    _ => self.sent(fd, result),
                }
            }
            self.buffers.publish();
            if !self.starved.is_empty() && self.buffers.held < BUFFERS {
                for fd in std::mem::take(&mut self.starved) {
                    self.receive(fd);
                }
            }
        }
    }

    fn open(&mut self, fd: RawFd) {
        assert!(fd >= 0, "accept");
        let other = match &self.upstream {
            None => fd,
            Some(upstream) => connect(upstream),
        };
        let most = fd.max(other) as usize + 1;
        if self.sockets.len() < most {
            self.sockets.resize_with(most, Socket::default);
        }
        for (one, peer) in [(other, fd), (fd, other)] {
            let queue = std::mem::take(&mut self.sockets[one as usize].queue);
            self.sockets[one as usize] = Socket { peer, queue, ..Socket::default() };
        }
        self.receive(fd);
        if other != fd {
            self.receive(other);
        }
    }

    fn receive(&mut self, fd: RawFd) {
        self.sockets[fd as usize].receiving = true;
        let entry = opcode::RecvMulti::new(Fd(fd), 0).build();
        self.queues.push(entry, RECEIVE, fd);
    }

    fn received(&mut self, fd: RawFd, result: i32, flags: u32) {
        let peer = self.sockets[fd as usize].peer;
        if let Some(bid) = cqueue::buffer_select(flags) {
            self.buffers.held += 1;
            let target = &mut self.sockets[peer as usize];
            if result > 0 && !target.broken {
                let len = if self.answers { self.buffers.fill(bid, ANSWER) } else { result };
                let (offset, len) = (0, len.cast_unsigned());
                target.queue.push_back(Part { bid, offset, len });
                if !target.sending {
                    self.send(peer);
                }
            } else {
                self.buffers.give(bid);
            }
        }
        if cqueue::more(flags) {
            return;
        }
        match result {
            1.. => self.receive(fd),
            // Still "receiving": it is armed again when there are buffers, not before.
            _ if result == -libc::ENOBUFS => self.starved.push(fd),
            _ => {
                self.sockets[fd as usize].receiving = false;
                if result < 0 {
                    self.fail(peer);
                }
                self.sockets[peer as usize].ending = true;
                self.finish(peer);
            }
        }
    }

    fn send(&mut self, fd: RawFd) {
        let socket = &mut self.sockets[fd as usize];
        let part = socket.queue.front().expect("something to send");
        socket.sending = true;
        let start = self.buffers.at(part.bid, part.offset);
        let entry = opcode::Send::new(Fd(fd), start, part.len).flags(libc::MSG_NOSIGNAL).build();
        self.queues.push(entry, SEND, fd);
    }

    fn sent(&mut self, fd: RawFd, result: i32) {
        let socket = &mut self.sockets[fd as usize];
        socket.sending = false;
        if result < 0 {
            self.fail(fd);
        } else {
            let part = socket.queue.front_mut().expect("it was sent from");
            part.offset += result.cast_unsigned();
            part.len -= result.cast_unsigned();
            if part.len == 0 {
                let bid = part.bid;
                socket.queue.pop_front();
                self.buffers.give(bid);
            }
        }
        if !self.sockets[fd as usize].queue.is_empty() {
            self.send(fd);
        } else if self.sockets[fd as usize].ending {
            self.finish(fd);
        }
    }

    /// Ends both streams of a pair; what is armed on them then completes.
    fn fail(&mut self, fd: RawFd) {
        for one in [fd, self.sockets[fd as usize].peer] {
            let socket = &mut self.sockets[one as usize];
            socket.broken = true;
            socket.ending = true;
            // What a send in flight reads must stay until it completes.
            let keep = usize::from(socket.sending);
            let dropped: Vec<Part> = socket.queue.drain(keep.min(socket.queue.len())..).collect();
            dropped.iter().for_each(|part| self.buffers.give(part.bid));
            shut(one, libc::SHUT_RDWR);
        }
    }

    /// Passes the end of a stream on, and closes the pair when both ends are through.
    fn finish(&mut self, fd: RawFd) {
        let socket = &mut self.sockets[fd as usize];
        let is_through = socket.queue.is_empty() && !socket.sending;
        if is_through && !socket.shut {
            socket.shut = true;
            shut(fd, libc::SHUT_WR);
        }
        let peer = socket.peer;
        let pair = [fd, peer];
        if pair.iter().all(|&one| self.is_done(one)) {
            close(fd);
            if peer != fd {
                close(peer);
            }
        }
    }

    fn is_done(&self, fd: RawFd) -> bool {
        let socket = &self.sockets[fd as usize];
        socket.ending && !socket.sending && !socket.receiving && socket.queue.is_empty()
    }
}

/// One direction of a spliced pair: socket, pipe, socket. At most one poll is armed for it.
#[derive(Default)]
struct Direction {
    to: RawFd,
    pipe: [RawFd; 2],
    held: usize,
    armed: bool,
    ended: bool,
}

/// Directions are found by the descriptor they read from.
struct Splice<'a> {
    queues: Queues<'a>,
    _listener: TcpListener,
    upstream: String,
    directions: Vec<Direction>,
}

impl<'a> Splice<'a> {
    fn new(ring: &'a mut IoUring, address: &str, upstream: &str) -> Self {
        let listener = listen(address);
        Self {
            queues: Queues::new(ring, &listener, libc::SOCK_NONBLOCK),
            _listener: listener,
            upstream: upstream.to_owned(),
            directions: Vec::new(),
        }
    }

    fn run(&mut self) {
        loop {
            self.queues.turn();
            while let Some((what, fd, result, flags)) = self.queues.next() {
                if what == ACCEPT {
                    assert!(cqueue::more(flags), "the accept lives on");
                    self.open(result);
                } else {
                    self.directions[fd as usize].armed = false;
                    self.pump(fd);
                }
            }
        }
    }

    fn open(&mut self, fd: RawFd) {
        assert!(fd >= 0, "accept");
        let other = connect(&self.upstream);
        let nonblocking = libc::O_NONBLOCK | libc::O_RDWR;
        // SAFETY: F_SETFL takes an integer.
        assert_eq!(unsafe { libc::fcntl(other, libc::F_SETFL, nonblocking) }, 0);
        let most = fd.max(other) as usize + 1;
        if self.directions.len() < most {
            self.directions.resize_with(most, Direction::default);
        }
        for (from, to) in [(fd, other), (other, fd)] {
            self.directions[from as usize] =
                Direction { to, pipe: open_pipe(), ..Direction::default() };
            self.wait(from, from, libc::POLLIN | libc::POLLRDHUP);
        }
    }

    /// `from` names the direction; the poll is for it or for the socket it writes to.
    fn wait(&mut self, from: RawFd, fd: RawFd, events: libc::c_short) {
        self.directions[from as usize].armed = true;
        let entry = opcode::PollAdd::new(Fd(fd), u32::from(events.cast_unsigned())).build();
        self.queues.push(entry, POLL, from);
    }

    /// Moves what there is. After much there is often more, so it is tried at once; after little a
    /// poll is cheaper than a splice that finds nothing.
    fn pump(&mut self, from: RawFd) {
        let direction = &mut self.directions[from as usize];
        let (to, [reader, writer]) = (direction.to, direction.pipe);
        if direction.ended {
            return self.close_when_quiet(from);
        }
        loop {
            if direction.held == 0 {
                match splice(from, writer, PIPE) {
                    Ok(0) => {
                        shut(to, libc::SHUT_WR);
                        direction.ended = true;
                        return self.close_when_quiet(from);
                    }
                    Ok(moved) => direction.held = moved,
                    Err(libc::EAGAIN) => break,
                    Err(_) => return self.fail(from),
                }
            }
            let much = direction.held >= MUCH;
            while direction.held > 0 {
                match splice(reader, to, direction.held) {
                    Ok(moved) => direction.held -= moved,
                    Err(libc::EAGAIN) => return self.wait(from, to, libc::POLLOUT),
                    Err(_) => return self.fail(from),
                }
            }
            if !much {
                break;
            }
        }
        self.wait(from, from, libc::POLLIN | libc::POLLRDHUP);
    }

    /// Ends both directions; the polls that are armed then complete.
    fn fail(&mut self, from: RawFd) {
        let to = self.directions[from as usize].to;
        for fd in [from, to] {
            self.directions[fd as usize].ended = true;
            shut(fd, libc::SHUT_RDWR);
        }
        self.close_when_quiet(from);
    }

    fn close_when_quiet(&mut self, from: RawFd) {
        let to = self.directions[from as usize].to;
        let pair = [from, to].map(|fd| &self.directions[fd as usize]);
        if pair.iter().all(|one| one.ended && !one.armed) {
            pair.iter().flat_map(|one| one.pipe).for_each(close);
            close(from);
            close(to);
        }
    }
}

fn open_pipe() -> [RawFd; 2] {
    let mut ends = [0; 2];
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: pipe2(2) writes two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) }, 0, "pipe");
    // SAFETY: F_SETPIPE_SZ takes an integer. Where a user may not have so many pages the pipe
    // stays small; that happens with many connections, never with the one of a bulk run.
    unsafe { libc::fcntl(ends[1], libc::F_SETPIPE_SZ, PIPE as libc::c_int) };
    ends
}

fn splice(from: RawFd, to: RawFd, max: usize) -> Result<usize, i32> {
    let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
    let null = std::ptr::null_mut();
    // SAFETY: null offsets: no memory of ours is touched.
    let moved = unsafe { libc::splice(from, null, to, null, max, flags) };
    usize::try_from(moved).map_err(|_| last_errno())
}
