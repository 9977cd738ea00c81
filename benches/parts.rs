//! The parts of the data path that run without a kernel: slots, buffers, timers, a PROXY header,
//! the checksum of frames.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringway::mem::{Outgoing, Pool, Slab};
use ringway::proto::frame::{Command, Header, PAYLOAD_MAX, Reader, Version, write_frame};
use ringway::proto::proxy_protocol;
use ringway::runtime::{Timers, clock};

fn slab(criterion: &mut Criterion) {
    let mut slab = Slab::with_limit(1024);
    criterion.bench_function("slab insert, find, remove", |bench| {
        bench.iter(|| {
            let key = slab.insert(black_box(7u64)).expect("room");
            black_box(slab.get_mut(key));
            slab.remove(key)
        });
    });
}

fn pool(criterion: &mut Criterion) {
    let pool = Pool::new(256, 16 * 1024).expect("memory");
    criterion.bench_function("buffer lent, claimed, queued, given back", |bench| {
        bench.iter(|| {
            let bid = pool.take_free().expect("a free buffer");
            let buf = pool.claim(bid, 64).expect("it was lent");
            black_box(Outgoing::One(buf)).after(64)
        });
    });
}

fn timers(criterion: &mut Criterion) {
    let now = clock::now();
    let mut timers = Timers::new(now);
    (0..10_000u32).for_each(|n| {
        timers.arm(now + Duration::from_millis(u64::from(n)), n);
    });
    criterion.bench_function("timer armed and cancelled among 10,000", |bench| {
        bench.iter(|| {
            let id = timers.arm(now + Duration::from_secs(60), black_box(1));
            timers.cancel(id);
        });
    });
}

fn header(criterion: &mut Criterion) {
    let pair = Some(("10.1.2.3:4567".parse().expect("one"), "10.3.2.1:80".parse().expect("one")));
    let (mut v1, mut v2) = (Vec::new(), Vec::new());
    proxy_protocol::write_v1(&pair, &mut v1);
    proxy_protocol::write_v2(&pair, &mut v2);
    for (name, header) in [("PROXY v1 parsed", v1), ("PROXY v2 parsed", v2)] {
        criterion.bench_function(name, |bench| {
            bench.iter(|| proxy_protocol::parse(black_box(&header)));
        });
    }
}

// Frames: the checksum alone of the bytes of an ECHO, and then the frames themselves beside it.

/// A small request and one that fills a packet.
const FRAMES: [usize; 2] = [72, 1_200];

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    for len in FRAMES {
        let bytes = vec![0x5a; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("CRC-32 of {len} bytes"), |bench| {
            bench.iter(|| crc32fast::hash(black_box(&bytes)));
        });
        let payload = vec![0x5a; len - 8];
        let header = Header::new(Version::V1, Command::ECHO);
        let mut frame = Vec::new();
        group.bench_function(format!("encode {len} bytes"), |bench| {
            bench.iter(|| {
                frame.clear();
                write_frame(black_box(&header), black_box(&payload), &mut frame);
            });
        });
        let mut reader = Reader::new(Version::V1, PAYLOAD_MAX);
        group.bench_function(format!("decode {len} bytes"), |bench| {
            bench.iter(|| {
                let mut input = black_box(&*frame);
                reader.next(&mut input).expect("a frame that is right").is_some()
            });
        });
        group.bench_function(format!("decode {len} bytes, in a run"), |bench| {
            bench.iter(|| reader.run(Command::ECHO, &mut black_box(&*frame)));
        });
    }
    group.finish();
}

criterion_group!(benches, slab, pool, timers, header, frames);
criterion_main!(benches);
