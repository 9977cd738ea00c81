//! The ring itself, with the kernel: operations that complete at once, and bytes over a pair of
//! sockets.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use criterion::{Criterion, Throughput};
use nix::sys::eventfd::EventFd;
use ringway::mem::{Buf, Key, Outgoing};
use ringway::ring::uring::{RingOptions, Uring};
use ringway::ring::{Completion, Driver, Fd, Lane, Op, Outcome, Token, Verb};

/// Operations that are submitted together.
const BATCHES: [u32; 2] = [1, 32];

/// What a completion is made of follows from the verb: it must be that of the operation.
fn token(number: u32, verb: Verb) -> Token {
    Token::new(Key::new(number, 1), Lane::Client, verb)
}

/// Pushes, waits until all have completed, and reaps.
fn complete(ring: &mut Uring, completions: &mut Vec<Completion>, count: usize) {
    completions.clear();
    while completions.len() < count {
        ring.wait(None).expect("a ring that works");
        ring.reap(completions);
    }
}

/// Polls of what is ready, one alone and many together.
pub(crate) fn polls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ring");
    let mut ring = Uring::new(&RingOptions::default()).expect("a ring");
    let ready = EventFd::from_value(1).expect("an eventfd");
    let fd = Fd(ready.as_raw_fd());
    let mut completions = Vec::new();
    for batch in BATCHES {
        group.throughput(Throughput::Elements(batch.into()));
        group.bench_function(format!("{batch} polled, waited for and reaped"), |bench| {
            bench.iter(|| {
                for number in 0..batch {
                    ring.push(token(number, Verb::PollIn), Op::PollIn { fd }).expect("room");
                }
                complete(&mut ring, &mut completions, batch as usize);
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    let (one, other) = UnixStream::pair().expect("a pair of sockets");
    let (one, other) = (Fd(one.as_raw_fd()), Fd(other.as_raw_fd()));
    let receive = Op::Receive { socket: other, once: false };
    ring.push(token(0, Verb::Receive), receive).expect("room");
    group.bench_function("64 bytes sent and received", |bench| {
        bench.iter(|| {
            let data = Outgoing::One(Buf::copy_of(&[7; 64]));
            let send = Op::Send { socket: one, data };
            ring.push(token(1, Verb::Send), send).expect("room");
            complete(&mut ring, &mut completions, 2);
            let received = |one: &Completion| matches!(one.outcome, Outcome::Received { .. });
            assert!(completions.iter().any(received));
        });
    });
    group.finish();
}
