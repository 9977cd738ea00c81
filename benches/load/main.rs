//! Load and upstreams for `scripts/compare.sh`: small programs that leave the core under test
//! alone. The loads print one JSON object when they are done.
//!
//! - `load pingpong --target ADDR [--connections 64] [--size 64] [--answer-size 64] [--seconds 2]`:
//!   a closed loop: each connection asks, waits for the answer, asks again
//! - `load answer LISTEN [--size 64] [--answer-size 64]`: answers every SIZE bytes
//! - `load bulk --target ADDR [--gigabytes 4]`: sends so much over one connection and waits until
//!   the far end has read all and closes
//! - `load sink LISTEN`: reads and discards; prints an object for each connection that ended
//! - `load idle --target ADDR [--connections 10000]`: opens and holds; prints "ready"; ends with
//!   standard input
//! - `load hold LISTEN`: accepts and holds
//! - `load frame --target ADDR ...`: see `frame.rs`
//! - `load udp --target ADDR ...`: see `udp.rs`
#![allow(clippy::print_stdout, reason = "results and readiness go to standard output")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, listen, recv,
    setsockopt, socket, sockopt,
};

#[path = "../shared/datagrams.rs"]
mod datagrams;
mod frame;
mod udp;

const USAGE: &str = "usage: load pingpong|bulk|idle --target ADDR [--connections N] [--size N] \
                     [--answer-size N] [--seconds S] [--gigabytes G] | \
                     load answer|sink|hold LISTEN [--size N] [--answer-size N] | \
                     load frame --target ADDR [--connections N] [--window N] [--payload N] \
                     [--seconds S] [--whole] | \
                     load udp --target ADDR [--flows N] [--size N] [--rate R] [--seconds S] \
                     [--burst N] [--gso]";
/// Small enough to stay in the cache of the core, large enough to make few system calls.
const PART: usize = 256 * 1024;
const EVENTS: usize = 256;
/// Connections from one source address: well below the number of ephemeral ports.
const PER_SOURCE: usize = 5_000;
/// Nanoseconds; a histogram that grew on the way would disturb what it measures.
const LONGEST: u64 = 60_000_000_000;
/// An answer later than this is an error.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // `cargo bench` runs all there is: this is a program that scripts/compare.sh runs.
        [.., "--bench"] => {}

        ["pingpong", ref options @ ..] => pingpong(target(options), &Plan::new(options)),
        ["answer", address, ref options @ ..] => answer(address, &Plan::new(options)),
        ["bulk", ref options @ ..] => bulk(target(options), option(options, "--gigabytes", 4.0)),
        ["sink", address] => sink(address),
        ["idle", ref options @ ..] => {
            idle(target(options), option(options, "--connections", 10_000));
        }
        ["hold", address] => hold(address),
        ["frame", ref options @ ..] => frame::run(target(options), &frame::Plan::new(options)),
        ["udp", ref options @ ..] => udp::run(target(options), &udp::Plan::new(options)),
        // Cargo runs benches without arguments, or with its own.
        [] | ["--bench" | "--test", ..] => println!("{USAGE}"),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn option<T: FromStr>(options: &[&str], name: &str, default: T) -> T {
    let Some(at) = options.iter().position(|&option| option == name) else {
        return default;
    };
    let value = options.get(at + 1).and_then(|text| text.parse().ok());
    value.unwrap_or_else(|| panic!("{name} needs a value; {USAGE}"))
}

fn flag(options: &[&str], name: &str) -> bool {
    options.contains(&name)
}

fn seconds(options: &[&str]) -> Duration {
    Duration::from_secs_f64(option(options, "--seconds", 2.0))
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds")
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(LONGEST)
}

fn target(options: &[&str]) -> SocketAddrV4 {
    let none = SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0);
    let target = option(options, "--target", none);
    assert_ne!(target, none, "--target is missing; {USAGE}");
    target
}

/// What a closed loop does.
struct Plan {
    connections: usize,
    size: usize,
    answer: usize,
    time: Duration,
}

impl Plan {
    fn new(options: &[&str]) -> Self {
        let plan = Self {
            connections: option(options, "--connections", 64),
            size: option(options, "--size", 64),
            answer: option(options, "--answer-size", 64),
            time: seconds(options),
        };
        assert!(plan.size > 0 && plan.answer > 0, "sizes are not 0");
        plan
    }
}

#[expect(clippy::disallowed_methods, reason = "a load generator measures time")]
fn now() -> Instant {
    Instant::now()
}

/// A connection that sends `unsent` more bytes of its question and waits for `missing` of the
/// answer.
struct Caller {
    stream: TcpStream,
    unsent: usize,
    missing: usize,
    asked: Instant,
    awaits_room: bool,
}

impl Caller {
    fn open(target: SocketAddrV4) -> Self {
        let stream = TcpStream::connect(target).expect("the target accepts");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_nonblocking(true).expect("non-blocking");
        Self { stream, unsent: 0, missing: 0, asked: now(), awaits_room: false }
    }

    fn ask(&mut self, plan: &Plan, time: Instant) {
        self.unsent = plan.size;
        self.missing = plan.answer;
        self.asked = time;
    }

    /// Sends what has room. False when the connection is of no use any more.
    fn send(&mut self, question: &[u8]) -> bool {
        while self.unsent > 0 {
            let rest = &question[question.len() - self.unsent..];
            match self.stream.write(rest) {
                Ok(sent) => self.unsent -= sent,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// False on an end, an error, or more than was asked for.
    fn receive(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read(buffer) {
            Ok(got) => {
                let fits = got > 0 && got <= self.missing;
                self.missing = self.missing.saturating_sub(got);
                fits
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

struct Pingpong<'a> {
    plan: &'a Plan,
    epoll: Epoll,
    question: Vec<u8>,
    buffer: Vec<u8>,
    times: Histogram<u64>,
    errors: usize,
}

impl Pingpong<'_> {
    /// Goes on with a caller that was woken up, or was just told to ask. False when it has failed.
    fn go_on(&mut self, index: usize, caller: &mut Caller) -> bool {
        if caller.unsent > 0 && !caller.send(&self.question) {
            return false;
        }
        let awaits_room = caller.unsent > 0;
        if awaits_room != caller.awaits_room {
            caller.awaits_room = awaits_room;
            let mut event = EpollEvent::new(interest(awaits_room), index as u64);
            let changed = self.epoll.modify(caller.stream.as_fd(), &mut event);
            changed.expect("epoll");
        }
        true
    }

    fn wake(&mut self, index: usize, caller: &mut Caller, has_data: bool) -> bool {
        if has_data && !caller.receive(&mut self.buffer) {
            return false;
        }
        if caller.missing == 0 && caller.unsent == 0 {
            let time = now();
            self.times.saturating_record(nanos(time - caller.asked));
            caller.ask(self.plan, time);
        }
        self.go_on(index, caller)
    }

    fn report(&self, elapsed: Duration) {
        let micros = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e3;
        let seconds = elapsed.as_secs_f64();
        println!(
            "{{\"requests\":{},\"seconds\":{seconds},\"rps\":{:.1},\"p50_us\":{},\"p99_us\":{},\
             \"max_us\":{},\"errors\":{}}}",
            self.times.len(),
            self.times.len() as f64 / seconds,
            micros(0.5),
            micros(0.99),
            self.times.max() as f64 / 1e3,
            self.errors,
        );
    }
}

fn interest(awaits_room: bool) -> EpollFlags {
    if awaits_room { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN }
}

fn pingpong(target: SocketAddrV4, plan: &Plan) {
    let mut run = Pingpong {
        plan,
        epoll: Epoll::new(EpollCreateFlags::empty()).expect("epoll"),
        question: vec![b'q'; plan.size],
        buffer: vec![0; PART],
        times: histogram(),
        errors: 0,
    };
    let mut callers: Vec<Option<Caller>> = (0..plan.connections)
        .map(|index| {
            let caller = Caller::open(target);
            let event = EpollEvent::new(interest(false), index as u64);
            run.epoll.add(caller.stream.as_fd(), event).expect("epoll");
            Some(caller)
        })
        .collect();
    let started = now();
    for (index, place) in callers.iter_mut().enumerate() {
        let caller = place.as_mut().expect("just opened");
        caller.ask(plan, now());
        if !run.go_on(index, caller) {
            run.errors += 1;
            *place = None;
        }
    }
    let mut events = [EpollEvent::empty(); EVENTS];
    while started.elapsed() < plan.time && run.errors < plan.connections {
        let timeout = EpollTimeout::from(100u16);
        let count = run.epoll.wait(&mut events, timeout).expect("epoll");
        for event in &events[..count] {
            let index = usize::try_from(event.data()).expect("an index");
            let place = &mut callers[index];
            let caller = place.as_mut().expect("a closed socket has no events");
            if !run.wake(index, caller, event.events() != EpollFlags::EPOLLOUT) {
                run.errors += 1;
                *place = None;
            }
        }
    }
    let elapsed = started.elapsed();
    // A connection that was left without an answer has failed too, though it never said so.
    let late = |caller: &&Caller| caller.asked.elapsed() > PATIENCE.min(plan.time);
    run.errors += callers.iter().flatten().filter(late).count();
    run.report(elapsed);
}

/// With room for a proxy that connects faster than we accept: the standard library asks for 128,
/// and what overflows that comes back seconds later.
fn open_listener(address: &str) -> TcpListener {
    let listener = TcpListener::bind(address).expect("listen");
    listen(&listener, Backlog::new(4096).expect("below the limit")).expect("listen");
    listener
}

/// One thread, level-triggered: answers as soon as a whole question is there. Connections are
/// found by descriptor.
fn answer(address: &str, plan: &Plan) {
    let listener = open_listener(address);
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let add = |socket: std::os::fd::BorrowedFd<'_>| {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, fd_data(&socket));
        epoll.add(socket, event).expect("epoll");
    };
    add(listener.as_fd());
    let text = vec![b'a'; plan.answer];
    let mut open: Vec<Option<(TcpStream, usize)>> = Vec::new();
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut buffer = vec![0; PART];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE).expect("epoll");
        for event in &events[..count] {
            if event.data() == fd_data(&listener) {
                let (stream, _) = listener.accept().expect("accept");
                stream.set_nodelay(true).expect("nodelay");
                add(stream.as_fd());
                let index = usize::try_from(fd_data(&stream)).expect("an index");
                open.resize_with(open.len().max(index + 1), || None);
                open[index] = Some((stream, 0));
                continue;
            }
            let place = &mut open[usize::try_from(event.data()).expect("an index")];
            let (stream, got) = place.as_mut().expect("a closed socket has no events");
            if !answer_once(stream, got, &mut buffer, plan.size, &text) {
                *place = None;
            }
        }
    }
}

fn fd_data(socket: &impl AsRawFd) -> u64 {
    u64::from(socket.as_raw_fd().cast_unsigned())
}

/// The socket blocks: a caller reads what it has asked for.
fn answer_once(
    stream: &mut TcpStream,
    got: &mut usize,
    buffer: &mut [u8],
    size: usize,
    text: &[u8],
) -> bool {
    match stream.read(buffer) {
        Ok(0) | Err(_) => return false,
        Ok(count) => *got += count,
    }
    while *got >= size {
        *got -= size;
        if stream.write_all(text).is_err() {
            return false;
        }
    }
    true
}

fn sink(address: &str) {
    let listener = open_listener(address);
    for stream in listener.incoming() {
        let stream = stream.expect("accept");
        std::thread::spawn(move || discard(&stream));
    }
}

/// With MSG_TRUNC TCP drops bytes without copying them, so that the core's time is the sender's.
fn discard(stream: &TcpStream) {
    let mut buffer = vec![0; 4 * PART];
    let mut bytes = 0;
    let error = loop {
        match recv(stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            Ok(0) => break None,
            Ok(got) => bytes += got,
            Err(Errno::EINTR) => {}
            Err(error) => break Some(error),
        }
    };
    let errors = u8::from(error.is_some());
    println!("{{\"bytes\":{bytes},\"errors\":{errors}}}");
}

fn bulk(target: SocketAddrV4, gigabytes: f64) {
    let mut stream = TcpStream::connect(target).expect("the target accepts");
    let part = vec![b'b'; PART];
    let mut bytes = 0;
    let started = now();
    while (bytes as f64) < gigabytes * 1e9 {
        stream.write_all(&part).expect("the target takes all");
        bytes += part.len();
    }
    stream.shutdown(Shutdown::Write).expect("shutdown");
    let end = stream.read(&mut [0; 16]).expect("the far end closes");
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(end, 0, "the far end says nothing");
    let gigabytes = bytes as f64 / 1e9;
    println!(
        "{{\"bytes\":{bytes},\"gigabytes\":{gigabytes},\"seconds\":{seconds},\"gb_per_s\":{:.4}}}",
        gigabytes / seconds
    );
}

fn hold(address: &str) {
    let listener = open_listener(address);
    let held: Vec<_> = listener.incoming().collect();
    drop(held);
}

fn idle(target: SocketAddrV4, connections: usize) {
    let target = SockaddrIn::from(target);
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        let host = u8::try_from(2 + number / PER_SOURCE).expect("few sources");
        let source = SockaddrIn::new(127, 0, 0, host, 0);
        let flags = SockFlag::SOCK_CLOEXEC;
        let stream =
            socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("a descriptor");
        // The port is chosen at connect(2), where only the pair of addresses must be new.
        setsockopt(&stream, sockopt::IpBindAddressNoPort, &true).expect("option");
        bind(stream.as_raw_fd(), &source).expect("a source address");
        connect(stream.as_raw_fd(), &target).expect("the target accepts");
        held.push(stream);
    }
    println!("ready");
    std::io::stdout().flush().expect("standard output");
    // Anything but its end is of no interest.
    let _end = std::io::stdin().read_to_end(&mut Vec::new());
}
