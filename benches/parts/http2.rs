//! HTTP/2: header compression, and whole requests through the server's machine.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use ringway::mem::{Buf, FreeList};
use ringway::proto::http::{RequestHead, ResponseHead};
use ringway::proto::http2::hpack::{BlockCursor, Decoder, Encoder, Keep, Name};
use ringway::proto::http2::{Growth, Limits, PREFACE, Server, ServerEvent, Workspace};
use ringway::runtime::clock;

/// The fields of a browser's request.
const FIELDS: [(&[u8], &[u8]); 10] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"www.example.com"),
    (b":path", b"/api/users/7?page=2"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"cookie", b"session=0123456789abcdef0123456789abcdef"),
    (b"sec-fetch-dest", b"document"),
];
/// Requests of one connection that are measured together.
const REQUESTS: u32 = 100;

fn encode(encoder: &mut Encoder, out: &mut Vec<u8>) {
    out.clear();
    encoder.begin(out);
    for (name, value) in FIELDS {
        let kind = Name::of(name);
        encoder.field((kind, name), value, Keep::of(kind, name), out);
    }
}

fn decode(decoder: &mut Decoder, block: &[u8], text: &mut Vec<u8>) -> usize {
    let (mut cursor, mut length) = (BlockCursor::default(), 0);
    while let Some(field) = decoder.next(block, &mut cursor, text).expect("a block that is right") {
        length += field.value.len();
    }
    length
}

/// Blocks that fill the tables, and those that find their fields in them.
pub(crate) fn hpack(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hpack");
    let (mut out, mut text) = (Vec::new(), Vec::new());
    group.bench_function("a first block encoded", |bench| {
        bench.iter(|| encode(black_box(&mut Encoder::default()), &mut out));
    });
    let mut encoder = Encoder::default();
    encode(&mut encoder, &mut out);
    let first = out.clone();
    group.bench_function("a later block encoded", |bench| {
        bench.iter(|| encode(black_box(&mut encoder), &mut out));
    });
    let later = out.clone();
    group.bench_function("a first block decoded", |bench| {
        bench.iter(|| decode(&mut Decoder::default(), black_box(&first), &mut text));
    });
    let mut decoder = Decoder::default();
    decode(&mut decoder, &first, &mut text);
    group.bench_function("a later block decoded", |bench| {
        bench.iter(|| decode(&mut decoder, black_box(&later), &mut text));
    });
    group.finish();
}

/// All that a client sends for its requests.
fn requests() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    // SETTINGS without any.
    bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    let (mut encoder, mut block) = (Encoder::default(), Vec::new());
    for number in 0..REQUESTS {
        encode(&mut encoder, &mut block);
        let length = u32::try_from(block.len()).expect("a short block").to_be_bytes();
        bytes.extend_from_slice(&length[1..]);
        // HEADERS with END_HEADERS and END_STREAM.
        bytes.extend_from_slice(&[1, 5]);
        bytes.extend_from_slice(&(2 * number + 1).to_be_bytes());
        bytes.extend_from_slice(&block);
    }
    bytes
}

/// Requests of a new connection, each answered by a head and 12 bytes.
pub(crate) fn server(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http2");
    let (bytes, now, limits) = (Buf::copy_of(&requests()), clock::now(), Limits::default());
    let (mut space, mut out) = (Workspace::default(), Vec::new());
    let mut spare = FreeList::<RequestHead>::new(4, 65_536);
    group.throughput(Throughput::Elements(REQUESTS.into()));
    group.bench_function(format!("{REQUESTS} requests answered"), |bench| {
        bench.iter(|| {
            let mut server = Server::new(&limits);
            server.receive(bytes.clone());
            let mut answered = 0;
            while let Some(event) =
                server.poll(now, &limits, &mut space, &mut spare).expect("what is right")
            {
                let ServerEvent::Request(id, head, _) = event else { continue };
                spare.give(head);
                let answer = ResponseHead { status: 200, ..ResponseHead::default() };
                server.send_head(id, &answer, Some(12), true, &mut out);
                server.send_part(id, Buf::copy_of(b"hello, world"));
                server.send_end(id, None);
                server.end_answer(id, &mut space);
                answered += 1;
                out.clear();
                let growth = Growth { most: limits.window, is_allowed: true };
                server.transmit(1 << 20, (now, growth), &mut space, &mut out);
            }
            assert_eq!(answered, REQUESTS);
        });
    });
    group.finish();
}
