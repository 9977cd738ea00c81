//! The floor: bare io_uring loops with no abstraction, to see what ours costs above them.
//!
//! - `floor echo LISTEN`: multishot receive into provided buffers, send straight from them
//! - `floor relay LISTEN UPSTREAM`: the same between two sockets
//! - `floor splice LISTEN UPSTREAM`: `splice(2)` through one pipe, driven by one-shot polls; one
//!   connection at a time, one direction
//!
//! They do what a benchmark needs and nothing more: no limits, no timeouts, no partial sends of
//! small messages, no errors but by panic.
#![allow(unsafe_code, reason = "the floor is raw io_uring")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::multiple_unsafe_ops_per_block,
    reason = "it is to be read beside the kernel's manual, with no more words than that needs"
)]

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};

const BUFFERS: u16 = 256;
const SIZE: usize = 16 * 1024;
const PIPE: usize = 1 << 20;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["echo", listen] => Loop::new(listen, None).run(),
        ["relay", listen, upstream] => Loop::new(listen, Some(upstream.to_owned())).run(),
        ["splice", listen, upstream] => splice(listen, upstream),
        // Cargo runs benches without arguments, or with its own.
        _ => eprintln!("see the top of benches/floor.rs; scripts/compare.sh runs this"),
    }
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

const ACCEPT: u64 = 1 << 62;
const SEND: u64 = 1 << 61;

/// Echo and relay. The peer of descriptor `fd` is `peer[fd]`: itself, or the other socket.
struct Loop {
    ring: IoUring,
    entries: *mut BufRingEntry,
    tail: u16,
    memory: *mut u8,
    listener: TcpListener,
    upstream: Option<String>,
    peer: Vec<RawFd>,
    pending: Vec<squeue::Entry>,
}

impl Loop {
    fn new(listen: &str, upstream: Option<String>) -> Self {
        let ring = ring();
        let map = |len| {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a fresh anonymous mapping, never unmapped.
            let base = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
            assert_ne!(base, libc::MAP_FAILED);
            base
        };
        let entries = map(usize::from(BUFFERS) * 16).cast::<BufRingEntry>();
        let memory = map(usize::from(BUFFERS) * SIZE).cast::<u8>();
        // SAFETY: the memory is page-aligned, large enough and lives for ever.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(entries.addr() as u64, BUFFERS, 0, 0)
        }
        .expect("a buffer ring");
        let listener = TcpListener::bind(listen).expect("listen");
        let (tail, peer, pending) = (0, Vec::new(), Vec::new());
        let mut this = Self { ring, entries, tail, memory, listener, upstream, peer, pending };
        (0..BUFFERS).for_each(|bid| this.give(bid));
        this.publish();
        this
    }

    fn give(&mut self, bid: u16) {
        // SAFETY: masked to the ring's size; only we write entries.
        let entry = unsafe { &mut *self.entries.add(usize::from(self.tail & (BUFFERS - 1))) };
        // SAFETY: bid is below BUFFERS.
        let address = unsafe { self.memory.add(usize::from(bid) * SIZE) };
        entry.set_addr(address.addr() as u64);
        entry.set_len(SIZE as u32);
        entry.set_bid(bid);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail is a part of the registered ring.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    fn receive(&mut self, fd: RawFd) {
        let entry = opcode::RecvMulti::new(Fd(fd), 0).build().user_data(fd as u64);
        self.pending.push(entry);
    }

    fn open(&mut self, fd: RawFd) {
        let nodelay = |fd| {
            let on: libc::c_int = 1;
            // SAFETY: the option's value is an int that lives through the call.
            unsafe {
                libc::setsockopt(
                    fd,
                    libc::IPPROTO_TCP,
                    libc::TCP_NODELAY,
                    (&raw const on).cast(),
                    4,
                )
            };
        };
        nodelay(fd);
        let other = match &self.upstream {
            None => fd,
            Some(upstream) => TcpStream::connect(upstream).expect("the upstream").into_raw_fd(),
        };
        nodelay(other);
        let most = fd.max(other) as usize + 1;
        if self.peer.len() < most {
            self.peer.resize(most, -1);
        }
        self.peer[fd as usize] = other;
        self.peer[other as usize] = fd;
        self.receive(fd);
        if other != fd {
            self.receive(other);
        }
    }

    fn run(mut self) {
        let listener = self.listener.as_raw_fd();
        self.pending.push(opcode::AcceptMulti::new(Fd(listener)).build().user_data(ACCEPT));
        let mut batch: Vec<(u64, i32, u32)> = Vec::new();
        loop {
            for entry in self.pending.drain(..) {
                // SAFETY: entries point to the buffers, which live for ever.
                unsafe { self.ring.submission().push(&entry) }.expect("room");
            }
            self.ring.submit_and_wait(1).expect("enter");
            let completions = self.ring.completion();
            batch.extend(completions.map(|cqe| (cqe.user_data(), cqe.result(), cqe.flags())));
            let done = std::mem::take(&mut batch);
            for &(data, result, flags) in &done {
                self.complete(data, result, flags);
            }
            batch = done;
            batch.clear();
            self.publish();
        }
    }

    fn complete(&mut self, data: u64, result: i32, flags: u32) {
        if data == ACCEPT {
            assert!(cqueue::more(flags), "the accept lives on");
            self.open(result);
        } else if data & SEND != 0 {
            let len = (data >> 16) & 0xffff_ffff;
            assert!(result < 0 || result as u64 == len, "small messages are sent whole");
            self.give((data & 0xffff) as u16);
        } else {
            let fd = data as RawFd;
            match (cqueue::buffer_select(flags), result) {
                (Some(bid), 1..) => {
                    // SAFETY: the buffer is ours until it is given back.
                    let start = unsafe { self.memory.add(usize::from(bid) * SIZE) };
                    let to = Fd(self.peer[fd as usize]);
                    let data = SEND | (result as u64) << 16 | u64::from(bid);
                    let entry = opcode::Send::new(to, start, result as u32)
                        .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                        .build();
                    self.pending.push(entry.user_data(data));
                }
                (Some(bid), _) => self.give(bid),
                (None, _) => {}
            }
            if !cqueue::more(flags) {
                if result > 0 || result == -libc::ENOBUFS {
                    self.receive(fd);
                } else {
                    // SAFETY: shutdown(2) takes no memory. The pair is left to the exit.
                    unsafe { libc::shutdown(self.peer[fd as usize], libc::SHUT_RDWR) };
                }
            }
        }
    }
}

/// One connection after the other, one direction: socket, pipe, socket.
fn splice(listen: &str, upstream: &str) {
    let listener = TcpListener::bind(listen).expect("listen");
    let mut ring = ring();
    let mut ends = [0; 2];
    // SAFETY: pipe2(2) writes two descriptors.
    let made = unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) };
    assert_eq!(made, 0);
    // SAFETY: F_SETPIPE_SZ takes an integer.
    assert!(unsafe { libc::fcntl(ends[1], libc::F_SETPIPE_SZ, PIPE as i32) } > 0);
    for client in listener.incoming() {
        let client = client.expect("accept");
        let server = TcpStream::connect(upstream).expect("the upstream");
        client.set_nonblocking(true).expect("non-blocking");
        server.set_nonblocking(true).expect("non-blocking");
        pump(&mut ring, client.as_raw_fd(), ends, server.as_raw_fd());
        server.shutdown(std::net::Shutdown::Write).expect("shutdown");
        wait_for(&mut ring, server.as_raw_fd(), libc::POLLRDHUP);
    }
}

fn pump(ring: &mut IoUring, from: RawFd, [reader, writer]: [RawFd; 2], to: RawFd) {
    let step = |from, to, max| {
        let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
        let null = std::ptr::null_mut();
        // SAFETY: null offsets: no memory of ours is touched.
        unsafe { libc::splice(from, null, to, null, max, flags) }
    };
    loop {
        let mut held = match step(from, writer, PIPE) {
            0 => return,
            moved if moved > 0 => moved as usize,
            _ => {
                wait_for(ring, from, libc::POLLIN | libc::POLLRDHUP);
                continue;
            }
        };
        while held > 0 {
            match step(reader, to, held) {
                moved if moved > 0 => held -= moved as usize,
                _ => wait_for(ring, to, libc::POLLOUT),
            }
        }
    }
}

fn wait_for(ring: &mut IoUring, fd: RawFd, events: libc::c_short) {
    let entry = opcode::PollAdd::new(Fd(fd), events as u32).build();
    // SAFETY: a poll points to no memory.
    unsafe { ring.submission().push(&entry) }.expect("room");
    ring.submit_and_wait(1).expect("enter");
    assert_eq!(ring.completion().count(), 1);
}
