//! `load frame --target ADDR [--connections 16] [--window 64] [--payload 64] [--seconds 2]
//! [--whole]`: keeps `window` ECHO frames unanswered on every connection. An answer is followed by
//! a new question at once, or with `--whole` when the last of a window is there, as
//! redis-benchmark does it.
//!
//! The questions of a connection are a short cycle of frames that is made before the run. So
//! there is one comparison for all that a read gives, and asking copies nothing: one thread keeps
//! up with any server.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::{EVENTS, PART, PATIENCE, flag, histogram, interest, nanos, now, option, seconds};

const VERSION: u8 = 1;
const ECHO: u8 = 4;

pub(crate) struct Plan {
    connections: usize,
    window: usize,
    payload: usize,
    whole: bool,
    time: Duration,
}

impl Plan {
    pub(crate) fn new(options: &[&str]) -> Self {
        let plan = Self {
            connections: option(options, "--connections", 16),
            window: option(options, "--window", 64),
            payload: option(options, "--payload", 64),
            whole: flag(options, "--whole"),
            time: seconds(options),
        };
        assert!(plan.connections > 0 && plan.window > 0, "there is something to do");
        assert!(plan.payload >= 16, "a payload names its connection and its place");
        plan
    }
}

/// An ECHO that is unlike all others of its run.
fn frame(connection: usize, place: usize, payload: usize) -> Vec<u8> {
    let len = u16::try_from(payload).expect("a payload below 64 KiB");
    let mut frame = vec![VERSION, ECHO];
    frame.extend(len.to_be_bytes());
    frame.extend((connection as u64).to_be_bytes());
    frame.extend((place as u64).to_be_bytes());
    frame.extend((16..payload).map(|at| b"0123456789abcdef"[(at + place) % 16]));
    let sum = crc32fast::hash(&frame);
    frame.extend(sum.to_be_bytes());
    frame
}

/// One connection. It counts bytes from its start, which say where in the cycle it is.
struct Lane {
    stream: TcpStream,
    /// The cycle twice: all that may be on the way is in one piece.
    text: Vec<u8>,
    /// The length of a frame.
    step: usize,
    cycle: usize,
    /// Bytes that may be sent, that were sent, that came back.
    asked: usize,
    sent: usize,
    answered: usize,
    /// When the bytes up to a position were asked; those that are answered are gone.
    moments: VecDeque<(usize, Instant)>,
    counted: usize,
    awaits_room: bool,
}

impl Lane {
    fn open(target: SocketAddrV4, number: usize, plan: &Plan) -> Self {
        let stream = TcpStream::connect(target).expect("the target accepts");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_nonblocking(true).expect("non-blocking");
        let cycle = (0..plan.window).flat_map(|place| frame(number, place, plan.payload));
        let cycle: Vec<u8> = cycle.collect();
        Self {
            stream,
            text: cycle.repeat(2),
            step: cycle.len() / plan.window,
            cycle: cycle.len(),
            asked: 0,
            sent: 0,
            answered: 0,
            moments: VecDeque::with_capacity(plan.window),
            counted: 0,
            awaits_room: false,
        }
    }

    /// Fills the window up.
    fn ask(&mut self, time: Instant) {
        let asked = self.counted + self.cycle;
        if asked > self.asked {
            self.asked = asked;
            self.moments.push_back((asked, time));
        }
    }

    /// Sends what has room. False when the connection is of no use any more.
    fn send(&mut self) -> bool {
        while self.sent < self.asked {
            let unsent = self.asked - self.sent;
            match self.stream.write(&self.text[self.sent % self.cycle..][..unsent]) {
                Ok(sent) => self.sent += sent,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// False on an end, an error, or bytes that were not asked for.
    fn receive(&mut self, buffer: &mut [u8]) -> bool {
        match self.stream.read(buffer) {
            Ok(got) => {
                let expected = &self.text[self.answered % self.cycle..];
                let is_due = got > 0 && got <= self.sent - self.answered;
                self.answered += got;
                is_due && buffer[..got] == expected[..got]
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Takes the times of the frames that have become whole.
    fn count(&mut self, time: Instant, times: &mut Histogram<u64>) {
        let whole = self.answered - self.answered % self.step;
        while self.counted < whole {
            let &(until, asked) = self.moments.front().expect("it was asked for");
            let end = whole.min(until);
            let frames = (end - self.counted) / self.step;
            times.saturating_record_n(nanos(time - asked), frames as u64);
            self.counted = end;
            if end == until {
                self.moments.pop_front();
            }
        }
    }
}

struct Run<'a> {
    plan: &'a Plan,
    epoll: Epoll,
    buffer: Vec<u8>,
    times: Histogram<u64>,
    errors: usize,
}

impl Run<'_> {
    /// False when the connection has failed.
    fn wake(&mut self, index: usize, lane: &mut Lane, has_data: bool) -> bool {
        if has_data && !lane.receive(&mut self.buffer) {
            return false;
        }
        let time = now();
        lane.count(time, &mut self.times);
        if !self.plan.whole || lane.counted == lane.asked {
            lane.ask(time);
        }
        if !lane.send() {
            return false;
        }
        let awaits_room = lane.sent < lane.asked;
        if awaits_room != lane.awaits_room {
            lane.awaits_room = awaits_room;
            let mut event = EpollEvent::new(interest(awaits_room), index as u64);
            self.epoll.modify(lane.stream.as_fd(), &mut event).expect("epoll");
        }
        true
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

pub(crate) fn run(target: SocketAddrV4, plan: &Plan) {
    let mut run = Run {
        plan,
        epoll: Epoll::new(EpollCreateFlags::empty()).expect("epoll"),
        buffer: vec![0; PART],
        times: histogram(),
        errors: 0,
    };
    let mut lanes: Vec<Option<Lane>> = (0..plan.connections)
        .map(|index| {
            let lane = Lane::open(target, index, plan);
            let event = EpollEvent::new(interest(false), index as u64);
            run.epoll.add(lane.stream.as_fd(), event).expect("epoll");
            Some(lane)
        })
        .collect();
    let started = now();
    for (index, place) in lanes.iter_mut().enumerate() {
        if !run.wake(index, place.as_mut().expect("just opened"), false) {
            run.errors += 1;
            *place = None;
        }
    }
    let mut events = [EpollEvent::empty(); EVENTS];
    while started.elapsed() < plan.time && run.errors < plan.connections {
        let count = run.epoll.wait(&mut events, EpollTimeout::from(100u16)).expect("epoll");
        for event in &events[..count] {
            let index = usize::try_from(event.data()).expect("an index");
            let place = &mut lanes[index];
            let lane = place.as_mut().expect("a closed socket has no events");
            if !run.wake(index, lane, event.events() != EpollFlags::EPOLLOUT) {
                run.errors += 1;
                *place = None;
            }
        }
    }
    let elapsed = started.elapsed();
    // A connection that was left without an answer has failed too, though it never said so.
    let patience = PATIENCE.min(plan.time);
    let is_late =
        |lane: &&Lane| lane.moments.front().is_some_and(|(_, asked)| asked.elapsed() > patience);
    run.errors += lanes.iter().flatten().filter(is_late).count();
    run.report(elapsed);
}
