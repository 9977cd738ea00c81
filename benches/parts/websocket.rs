//! WebSocket: masks, the check of text, frames; and messages of gRPC.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ringway::proto::grpc::MessageScanner;
use ringway::proto::websocket::{Item, Limits, Opcode, Reader, Role, Utf8Check, mask, write};

/// A short message, and one that fills a receive buffer.
const SIZES: [usize; 2] = [64, 16_000];
const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
const LIMITS: Limits = Limits { frame: 1 << 20, message: 1 << 20, deflate: false };

/// The pieces of a frame, and whole frames.
pub(crate) fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("websocket");
    for len in SIZES {
        let text = "a text that is read\n".repeat(len / 20 + 1);
        let mut bytes = text.into_bytes()[..len].to_vec();
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("mask of {len} bytes"), |bench| {
            bench.iter(|| mask::apply(black_box(&mut bytes), KEY));
        });
        let text = vec![b'a'; len];
        group.bench_function(format!("UTF-8 of {len} bytes checked"), |bench| {
            bench.iter(|| Utf8Check::default().take(black_box(&text)));
        });
        let mut out = Vec::new();
        group.bench_function(format!("frame of {len} bytes written"), |bench| {
            bench.iter(|| {
                out.clear();
                write::frame(Opcode::Text, (true, false), black_box(&text), None, &mut out);
            });
        });
        let mut frame = Vec::new();
        write::frame(Opcode::Text, (true, false), &text, Some(KEY), &mut frame);
        let (mut reader, mut input) = (Reader::new(Role::Server), frame.clone());
        group.bench_function(format!("frame of {len} bytes read and unmasked"), |bench| {
            bench.iter(|| {
                // Reading unmasks it in place.
                input.copy_from_slice(&frame);
                let read = reader.read(black_box(&mut input), &LIMITS).expect("a frame");
                assert!(matches!(read.1, Some(Item::Part(part)) if part.last));
            });
        });
    }
    group.finish();
}

/// Messages of gRPC counted within a body.
pub(crate) fn grpc(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("grpc");
    let one: Vec<u8> = [&[0, 0, 0, 0, 100][..], &[7; 100]].concat();
    let body = one.repeat(100);
    group.throughput(Throughput::Elements(100));
    group.bench_function("100 messages scanned", |bench| {
        bench.iter(|| MessageScanner::new(1 << 20).scan(black_box(&body)).expect("whole messages"));
    });
    group.finish();
}
