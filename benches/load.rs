//! Load and upstreams for `scripts/compare.sh`: small programs that leave the core under test
//! alone. Each prints one JSON object.
//!
//! - `load answer LISTEN SIZE ANSWER`: answers every SIZE bytes with ANSWER bytes
//! - `load pingpong TARGET CONNECTIONS SIZE ANSWER SECONDS`: each connection asks, waits, asks
//! - `load sink LISTEN`: reads and discards; ends when the client does
//! - `load bulk TARGET GIGABYTES`: sends so much over one connection, waits for the far end
//! - `load hold LISTEN`: accepts and holds
//! - `load idle TARGET CONNECTIONS`: opens and holds, until standard input ends
#![allow(
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a load program: its output is its result, its numbers are small"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};

const PART: usize = 1 << 20;
const EVENTS: usize = 256;
/// Connections from one source address: below the range of ephemeral ports.
const PER_SOURCE: usize = 20_000;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["answer", listen, size, answer] => serve_answers(listen, number(size), number(answer)),
        ["pingpong", target, connections, size, answer, seconds] => {
            let plan = Plan {
                connections: number(connections),
                size: number(size),
                answer: number(answer),
                time: Duration::from_secs_f64(seconds.parse().expect("seconds")),
            };
            pingpong(address(target), &plan);
        }
        ["sink", listen] => sink(listen),
        ["bulk", target, gigabytes] => {
            bulk(address(target), gigabytes.parse().expect("gigabytes"));
        }
        ["hold", listen] => hold(listen),
        ["idle", target, connections] => idle(address(target), number(connections)),
        // Cargo runs benches without arguments, or with its own.
        _ => eprintln!("see the top of benches/load.rs; scripts/compare.sh runs this"),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What a closed loop does.
struct Plan {
    connections: usize,
    size: usize,
    answer: usize,
    time: Duration,
}

/// A connection that waits for an answer.
struct Caller {
    stream: TcpStream,
    missing: usize,
    asked: Instant,
}

#[expect(clippy::disallowed_methods, reason = "a load generator measures time")]
fn now() -> Instant {
    Instant::now()
}

fn pingpong(target: SocketAddr, plan: &Plan) {
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let question = vec![b'q'; plan.size];
    let mut callers: Vec<Caller> = (0..plan.connections)
        .map(|index| {
            let stream = TcpStream::connect(target).expect("the target accepts");
            stream.set_nodelay(true).expect("nodelay");
            stream.set_nonblocking(true).expect("non-blocking");
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
            epoll.add(stream.as_fd(), event).expect("epoll");
            Caller { stream, missing: plan.answer, asked: now() }
        })
        .collect();
    let started = now();
    for caller in &mut callers {
        caller.stream.write_all(&question).expect("a short question");
        caller.asked = now();
    }
    let mut times: Histogram<u64> =
        Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut buffer = vec![0; 1 << 16];
    let mut errors = 0;
    while started.elapsed() < plan.time && errors == 0 {
        let count = epoll.wait(&mut events, EpollTimeout::from(100u16)).expect("epoll");
        for event in &events[..count] {
            let caller = &mut callers[usize::try_from(event.data()).expect("an index")];
            match caller.stream.read(&mut buffer) {
                Ok(0) | Err(_) => errors += 1,
                Ok(got) => caller.missing = caller.missing.saturating_sub(got),
            }
            if caller.missing == 0 {
                let time = now();
                times.saturating_record(nanos(time - caller.asked));
                caller.missing = plan.answer;
                caller.asked = time;
                caller.stream.write_all(&question).expect("a short question");
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let micros = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{{\"requests\":{},\"seconds\":{seconds},\"p50_us\":{},\"p99_us\":{},\"errors\":{errors}}}",
        times.len(),
        micros(0.5),
        micros(0.99)
    );
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// One thread, level-triggered: answers as soon as a whole question is there.
fn serve_answers(listen: &str, size: usize, answer: usize) {
    let listener = TcpListener::bind(listen).expect("listen");
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    const LISTENER: u64 = u64::MAX;
    epoll.add(listener.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, LISTENER)).expect("epoll");
    let text = vec![b'a'; answer];
    let mut open: Vec<Option<(TcpStream, usize)>> = Vec::new();
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE).expect("epoll");
        for event in &events[..count] {
            if event.data() == LISTENER {
                let (stream, _) = listener.accept().expect("accept");
                stream.set_nodelay(true).expect("nodelay");
                let index = open.len() as u64;
                epoll
                    .add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, index))
                    .expect("epoll");
                open.push(Some((stream, 0)));
                continue;
            }
            let place = &mut open[usize::try_from(event.data()).expect("an index")];
            let Some((stream, got)) = place else { continue };
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => *place = None,
                Ok(count) => {
                    *got += count;
                    while *got >= size {
                        *got -= size;
                        if stream.write_all(&text).is_err() {
                            break;
                        }
                    }
                }
            }
        }
    }
}

fn sink(listen: &str) {
    let listener = TcpListener::bind(listen).expect("listen");
    let mut buffer = vec![0; PART];
    for stream in listener.incoming() {
        let mut stream = stream.expect("accept");
        while stream.read(&mut buffer).is_ok_and(|got| got > 0) {}
    }
}

fn bulk(target: SocketAddr, gigabytes: f64) {
    let mut stream = TcpStream::connect(target).expect("the target accepts");
    let part = vec![b'b'; PART];
    let parts = (gigabytes * 1e9 / PART as f64) as usize;
    let started = now();
    for _ in 0..parts {
        stream.write_all(&part).expect("the target takes all");
    }
    stream.shutdown(Shutdown::Write).expect("shutdown");
    let end = stream.read(&mut [0; 16]).expect("the far end closes");
    assert_eq!(end, 0, "the far end says nothing");
    let seconds = started.elapsed().as_secs_f64();
    println!("{{\"gigabytes\":{},\"seconds\":{seconds}}}", (parts * PART) as f64 / 1e9);
}

fn hold(listen: &str) {
    let listener = TcpListener::bind(listen).expect("listen");
    let held: Vec<_> = listener.incoming().collect();
    drop(held);
}

/// Many connections need several source addresses: one has some 28,000 ports.
fn idle(target: SocketAddr, connections: usize) {
    let SocketAddr::V4(target) = target else { panic!("an IPv4 target") };
    let mut held = Vec::with_capacity(connections);
    for number in 0..connections {
        let source = [127, 0, 1, u8::try_from(1 + number / PER_SOURCE).expect("few sources")];
        let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None)
            .expect("a descriptor");
        setsockopt(&stream, sockopt::IpBindAddressNoPort, &true).expect("option");
        let any = SockaddrIn::from(std::net::SocketAddrV4::new(source.into(), 0));
        let raw = std::os::fd::AsRawFd::as_raw_fd(&stream);
        bind(raw, &any).expect("a source address");
        connect(raw, &SockaddrIn::from(target)).expect("the target accepts");
        held.push(stream);
    }
    println!("{{\"connections\":{}}}", held.len());
    std::io::stdout().flush().expect("standard output");
    let _end = std::io::stdin().read(&mut [0]);
}
