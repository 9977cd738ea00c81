//! Messages that come back: each connection sends so many in one write, and the next as many once
//! all of them are back.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Options;
use crate::client;
use crate::epoll::{Epoll, READABLE, WRITABLE};
use crate::frames::{self, Counter, Random};

/// So many writes are made in advance, each with masks of its own.
const MADE: usize = 64;
const BUFFER: usize = 256 * 1024;
/// How long the last messages may take to come back.
const PATIENCE: Duration = Duration::from_secs(10);

struct Connection {
    stream: TcpStream,
    counter: Counter,
    /// Messages that have not come back.
    waiting: usize,
    sent_at: Instant,
    /// The write that is being made, and its bytes that are left.
    made: usize,
    left: usize,
    is_blocked: bool,
}

/// Durations in buckets: 32 for each power of two of nanoseconds.
struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    const STEPS: u32 = 5;

    fn new() -> Self {
        Self { buckets: vec![0; 64 << Self::STEPS], count: 0 }
    }

    fn add(&mut self, duration: Duration, count: u64) {
        let nanos = (duration.as_nanos() as u64).max(1 << Self::STEPS);
        let shift = nanos.ilog2() - Self::STEPS;
        self.buckets[((shift as usize) << Self::STEPS) + (nanos >> shift) as usize] += count;
        self.count += count;
    }

    fn micros(&self, share: f64) -> f64 {
        let mut left = (self.count as f64 * share) as i64;
        for (index, &count) in self.buckets.iter().enumerate() {
            left -= count as i64;
            if left < 0 {
                let shift = (index >> Self::STEPS).saturating_sub(1);
                let base = index - (shift << Self::STEPS);
                return ((base as u64) << shift) as f64 / 1e3;
            }
        }
        0.0
    }
}

struct Load {
    epoll: Epoll,
    connections: Vec<Connection>,
    writes: Vec<Vec<u8>>,
    pipeline: usize,
    /// Connections with messages that have not come back.
    active: usize,
}

impl Load {
    fn send(&mut self, number: usize, now: Instant) {
        let one = &mut self.connections[number];
        one.made = (one.made + 1) % MADE;
        one.left = self.writes[one.made].len();
        one.waiting = self.pipeline;
        one.sent_at = now;
        self.write(number);
    }

    fn write(&mut self, number: usize) {
        let one = &mut self.connections[number];
        while one.left > 0 {
            let bytes = &self.writes[one.made];
            match one.stream.write(&bytes[bytes.len() - one.left..]) {
                Ok(written) => one.left -= written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    one.is_blocked = true;
                    self.epoll.change(&one.stream, number, READABLE | WRITABLE);
                    return;
                }
                Err(error) => panic!("cannot send: {error}"),
            }
        }
        if one.is_blocked {
            one.is_blocked = false;
            self.epoll.change(&one.stream, number, READABLE);
        }
    }
}

pub fn run(options: &Options) {
    let (count, size): (usize, usize) = (options.number("connections"), options.number("size"));
    let pipeline: usize = options.number("pipeline");
    let is_deflate = options.has("deflate");
    let message = if is_deflate { client::json(size, 1).into_bytes() } else { vec![b'x'; size] };
    let payload = if is_deflate { frames::deflate(&message) } else { message.clone() };

    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let writes = (0..MADE).map(|_| {
        let mut write = Vec::new();
        for _ in 0..pipeline {
            let mask = (random.next() as u32).to_ne_bytes();
            frames::append(&mut write, &payload, is_deflate, mask);
        }
        write
    });
    let writes = writes.collect();
    let streams = client::connect_all(options, count);
    for stream in &streams {
        client::exchange(stream, &message, is_deflate);
    }

    let epoll = Epoll::new();
    let begun = Instant::now();
    let connections = streams.into_iter().enumerate().map(|(number, stream)| {
        epoll.add(&stream, number);
        Connection {
            stream,
            counter: Counter::default(),
            waiting: 0,
            sent_at: begun,
            made: number % MADE,
            left: 0,
            is_blocked: false,
        }
    });
    let connections = connections.collect();
    let mut load = Load { epoll, connections, writes, pipeline, active: count };
    for number in 0..count {
        load.send(number, begun);
    }

    let ends = begun + Duration::from_secs_f64(options.number("seconds"));
    let mut buffer = vec![0; BUFFER];
    let mut times = Histogram::new();
    let mut bytes = 0;
    let mut now = begun;
    while load.active > 0 {
        let events = load.epoll.wait(Duration::from_secs(1));
        now = Instant::now();
        assert!(now < ends + PATIENCE, "messages do not come back");
        for index in 0..events {
            let (number, ready) = load.epoll.event(index);
            if load.connections[number].is_blocked && ready & WRITABLE != 0 {
                load.write(number);
            }
            let one = &mut load.connections[number];
            loop {
                let read = match one.stream.read(&mut buffer) {
                    Ok(0) => panic!("the server closes a connection"),
                    Ok(read) => read,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("cannot receive: {error}"),
                };
                let mut came = 0;
                one.counter.feed(&buffer[..read], |length| {
                    assert!(is_deflate || length == size, "a message of {length} bytes");
                    came += 1;
                    bytes += length as u64;
                });
                one.waiting = one.waiting.checked_sub(came).expect("no more than was sent");
                if came > 0 {
                    now = Instant::now();
                    times.add(now - one.sent_at, came as u64);
                }
                if read < BUFFER {
                    break;
                }
            }
            // An event may have come for a part of what is awaited, or for what was read before.
            if one.waiting == 0 && one.left == 0 && one.sent_at < ends {
                if now < ends {
                    load.send(number, now);
                } else {
                    one.sent_at = now;
                    load.active -= 1;
                }
            }
        }
    }
    println!(
        "{{\"messages\":{},\"seconds\":{:.6},\"p50\":{:.1},\"p99\":{:.1},\"bytes\":{:.1},\
         \"sent_bytes\":{}}}",
        times.count,
        (now - begun).as_secs_f64(),
        times.micros(0.5),
        times.micros(0.99),
        bytes as f64 / times.count as f64,
        payload.len(),
    );
}
