//! `load udp --target ADDR [--flows 16] [--size 64] [--rate 50000] [--seconds 2] [--burst 16]
//! [--gso]`: sends datagrams at a fixed rate, whatever comes back, and counts what does.
//!
//! A burst goes to one socket (a flow) in one call, the next to the next socket. With `--gso` the
//! kernel cuts it (UDP_SEGMENT) and may hand the answers over in one piece (UDP_GRO). Times are
//! from the moment at which a burst was due, so a load that is late does not flatter the server.

use std::io::ErrorKind;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::datagrams::{Batch, ROOM, coalesce, enlarge};
use crate::{EVENTS, flag, histogram, nanos, now, option, seconds};

/// Messages of one receive.
const MESSAGES: usize = 64;
/// Bursts that are sent in a row where the load is late; then it looks at what came.
const CATCH_UP: u64 = 4;
/// What does not come back within this is lost.
const SILENCE: Duration = Duration::from_millis(300);
/// Flow, sequence number, due time: all that is different in datagrams.
const HEAD: usize = 24;

pub(crate) struct Plan {
    flows: usize,
    size: usize,
    rate: f64,
    burst: usize,
    gso: bool,
    time: Duration,
}

impl Plan {
    pub(crate) fn new(options: &[&str]) -> Self {
        let plan = Self {
            flows: option(options, "--flows", 16),
            size: option(options, "--size", 64),
            rate: option(options, "--rate", 50_000.0),
            burst: option(options, "--burst", 16),
            gso: flag(options, "--gso"),
            time: seconds(options),
        };
        assert!(plan.flows > 0 && plan.burst > 0 && plan.rate > 0.0, "there is something to do");
        assert!((HEAD..=1_472).contains(&plan.size), "a datagram that is not cut on the way");
        assert!(plan.burst <= 64 && plan.burst * plan.size < ROOM, "a burst that fits a message");
        plan
    }

    /// Where in a batch a datagram of a burst lies: behind the one before it, where they are one
    /// message.
    fn position(&self, place: usize) -> usize {
        place * if self.gso { self.size } else { ROOM }
    }
}

/// A client: its socket, and which of its datagrams have come back.
struct Flow {
    socket: UdpSocket,
    sent: u64,
    seen: Vec<u64>,
}

impl Flow {
    fn open(target: SocketAddrV4, plan: &Plan) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.connect(target).expect("connect");
        socket.set_nonblocking(true).expect("non-blocking");
        enlarge(&socket);
        if plan.gso {
            coalesce(&socket);
        }
        Self { socket, sent: 0, seen: Vec::new() }
    }

    /// Marks one as returned. False if it was not sent or is already there.
    fn mark(&mut self, number: u64) -> bool {
        let index = usize::try_from(number / 64).unwrap_or(usize::MAX);
        let bit = 1 << (number % 64);
        if number >= self.sent {
            return false;
        }
        let is_new = self.seen[index] & bit == 0;
        self.seen[index] |= bit;
        is_new
    }
}

struct Run<'a> {
    plan: &'a Plan,
    epoll: Epoll,
    flows: Vec<Flow>,
    started: Instant,
    outgoing: Batch,
    incoming: Batch,
    /// What a datagram has behind its head.
    tail: Vec<u8>,
    times: Histogram<u64>,
    bursts: u64,
    sent: u64,
    received: u64,
    /// Came back wrong, twice or unasked.
    wrong: u64,
    /// The kernel did not take them.
    refused: u64,
    /// By how much the load was late at most.
    late: Duration,
}

impl Run<'_> {
    /// When the next burst is due.
    fn due(&self) -> Duration {
        let before = self.bursts as f64 * self.plan.burst as f64;
        Duration::from_secs_f64(before / self.plan.rate)
    }

    fn send_due(&mut self) {
        for _ in 0..CATCH_UP {
            let due = self.due();
            let elapsed = self.started.elapsed();
            if elapsed < due || due >= self.plan.time {
                return;
            }
            self.late = self.late.max(elapsed - due);
            self.send(due);
        }
    }

    fn send(&mut self, due: Duration) {
        let burst = self.plan.burst;
        let index = usize::try_from(self.bursts % self.flows.len() as u64).expect("an index");
        let flow = &mut self.flows[index];
        for place in 0..burst {
            let number = flow.sent + place as u64;
            let at = self.plan.position(place);
            let head = &mut self.outgoing.memory[at..][..HEAD];
            head[..8].copy_from_slice(&(index as u64).to_be_bytes());
            head[8..16].copy_from_slice(&number.to_be_bytes());
            head[16..].copy_from_slice(&nanos(due).to_be_bytes());
        }
        let (messages, each) = if self.plan.gso { (1, burst) } else { (burst, 1) };
        let result = self.outgoing.send(&flow.socket, 0, messages, libc::MSG_DONTWAIT);
        let went = match result {
            Ok(went) => went * each,
            // An answer of ICMP to an earlier one; it says that nobody listens.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => panic!("send: {error}"),
        };
        flow.sent += went as u64;
        let words = usize::try_from(flow.sent / 64).expect("a length") + 1;
        flow.seen.resize(words.max(flow.seen.len()), 0);
        self.bursts += 1;
        self.sent += went as u64;
        self.refused += (burst - went) as u64;
    }

    fn receive(&mut self, index: usize) {
        loop {
            let flow = &mut self.flows[index];
            let Ok(count) = self.incoming.receive(&flow.socket, libc::MSG_DONTWAIT) else {
                // Nothing there, or an ICMP answer, which shows as loss.
                return;
            };
            let elapsed = nanos(self.started.elapsed());
            for place in 0..count {
                let (text, segment) = self.incoming.received(place);
                for datagram in text.chunks(segment) {
                    let (head, tail) = datagram.split_at(HEAD.min(datagram.len()));
                    let word = |at: usize| {
                        let bytes = head.get(at..).and_then(|rest| rest.first_chunk());
                        bytes.map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes))
                    };
                    if word(0) == index as u64 && tail == self.tail && flow.mark(word(8)) {
                        self.received += 1;
                        self.times.saturating_record(elapsed.saturating_sub(word(16)).max(1));
                    } else {
                        self.wrong += 1;
                    }
                }
            }
            if count < MESSAGES {
                return;
            }
        }
    }

    /// Waits for answers, at most so long.
    fn wait(&mut self, most: Duration) -> bool {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let count = wait_precisely(&self.epoll, &mut events, most);
        for event in &events[..count] {
            let data = event.u64;
            self.receive(usize::try_from(data).expect("an index"));
        }
        count > 0
    }

    fn report(&self, elapsed: Duration) {
        let micros = |quantile| self.times.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "{{\"sent\":{},\"received\":{},\"lost\":{},\"wrong\":{},\"refused\":{},\
             \"seconds\":{},\"rate\":{:.1},\"p50_us\":{},\"p99_us\":{},\"max_us\":{},\
             \"late_us\":{}}}",
            self.sent,
            self.received,
            self.sent - self.received,
            self.wrong,
            self.refused,
            elapsed.as_secs_f64(),
            self.sent as f64 / elapsed.as_secs_f64(),
            micros(0.5),
            micros(0.99),
            self.times.max() as f64 / 1e3,
            self.late.as_micros(),
        );
    }
}

/// `epoll_pwait2(2)`: milliseconds are too coarse to pace by.
fn wait_precisely(epoll: &Epoll, events: &mut [libc::epoll_event], most: Duration) -> usize {
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(most.as_secs()).expect("a short time"),
        tv_nsec: libc::c_long::from(most.subsec_nanos().cast_signed()),
    };
    let mask = std::ptr::null::<libc::sigset_t>();
    let (fd, room) = (epoll.0.as_raw_fd(), events.len());
    let at = events.as_mut_ptr();
    // SAFETY: room for so many events, a time that lives through the call, no signal mask.
    let count =
        unsafe { libc::syscall(libc::SYS_epoll_pwait2, fd, at, room, &raw const time, mask, 0) };
    usize::try_from(count).unwrap_or_else(|_| {
        let error = std::io::Error::last_os_error();
        assert_eq!(error.kind(), ErrorKind::Interrupted, "epoll: {error}");
        0
    })
}

pub(crate) fn run(target: SocketAddrV4, plan: &Plan) {
    // SAFETY: this prctl(2) takes an integer: timers are as precise as they can be.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) }, 0);
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let mut flows = Vec::with_capacity(plan.flows);
    for index in 0..plan.flows {
        let flow = Flow::open(target, plan);
        let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
        epoll.add(flow.socket.as_fd(), event).expect("epoll");
        flows.push(flow);
    }
    let tail: Vec<u8> = (HEAD..plan.size).map(|at| b"0123456789abcdef"[at % 16]).collect();
    let mut outgoing = Batch::new(plan.burst);
    for place in 0..plan.burst {
        let at = plan.position(place) + HEAD;
        outgoing.memory[at..][..tail.len()].copy_from_slice(&tail);
        let len = if plan.gso { plan.burst * plan.size } else { plan.size };
        outgoing.describe(place, len, plan.size, None);
    }
    let mut run = Run {
        plan,
        epoll,
        flows,
        started: now(),
        outgoing,
        incoming: Batch::new(MESSAGES),
        tail,
        times: histogram(),
        bursts: 0,
        sent: 0,
        received: 0,
        wrong: 0,
        refused: 0,
        late: Duration::ZERO,
    };
    while run.due() < plan.time {
        run.send_due();
        let rest = run.due().saturating_sub(run.started.elapsed());
        run.wait(rest);
    }
    let elapsed = run.started.elapsed();
    while run.received < run.sent && run.wait(SILENCE) {}
    run.report(elapsed);
}
