//! The parts of the data path: slots, buffers, timers, the ring, the machine of each protocol and
//! what they are made of, routes, records of TLS, the servers of an upstream, what is counted.
//!
//! `cargo bench --bench parts -- --quick`. `cargo test` runs each once, so that they keep working.

#[path = "parts/cluster.rs"]
mod cluster;
#[path = "parts/http2.rs"]
mod http2;
#[path = "parts/measures.rs"]
mod measures;
#[path = "parts/ring.rs"]
mod ring;
#[path = "parts/websocket.rs"]
mod websocket;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ringway::mem::{Outgoing, Pool, Slab};
use ringway::net::tls::records::{Opener, Sealer};
use ringway::net::tls::{Aead, TrafficKey};
use ringway::proto::frame::{Command, Header, PAYLOAD_MAX, Reader, Version, write_frame};
use ringway::proto::http::RequestHead;
use ringway::proto::http1::{HeadLimits, RequestReader};
use ringway::proto::proxy_protocol;
use ringway::proto::tls::Version as TlsVersion;
use ringway::runtime::{Timers, clock};
use ringway::service::http::route::{HostMatch, PathMatch, PathRegex, RouteMatch, Router};

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

const SMALL: &[u8] = b"GET /api/users/7 HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
const BROWSER: &[u8] = b"GET /api/users/7?page=2 HTTP/1.1\r\nHost: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
    Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\n\r\n";

fn read(bytes: &[u8], head: &mut RequestHead) -> bool {
    let limits = HeadLimits::default();
    let read = RequestReader::default().read(bytes, &limits, head);
    read.expect("a request that is right").is_some()
}

fn http(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1");
    let mut head = RequestHead::default();
    for (name, bytes) in [("small", SMALL), ("browser's", BROWSER)] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("a {name} request parsed"), |bench| {
            bench.iter(|| read(black_box(bytes), &mut head));
        });
    }
    group.finish();
}

/// The cost of finding a route does not grow with their number, nor with that of hosts.
fn routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    let mut head = RequestHead::default();
    for count in [1_usize, 1_000, 10_000, 100_000] {
        let prefix = |number: usize| RouteMatch {
            path: PathMatch::Prefix(format!("/api/v1/service{number}").into()),
            ..RouteMatch::default()
        };
        let router = Router::new((0..count).map(prefix).collect());
        let paths = (0..count).map(|number| format!("/api/v1/service{number}/users/7"));
        find_in_turn(&mut group, &format!("among {count} prefixes"), &router, &mut head, paths);
    }
    for count in [1_usize, 10_000] {
        let host = |number: usize| RouteMatch {
            hosts: vec![HostMatch::Exact(format!("www{number}.example.com").into())],
            ..RouteMatch::default()
        };
        let router = Router::new((0..count).map(host).collect());
        let hosts = (0..count).map(|number| format!("//www{number}.example.com/"));
        find_in_turn(&mut group, &format!("among {count} hosts"), &router, &mut head, hosts);
    }
    let with_texts = |number: usize| format!("^/service{number}/[0-9]+$");
    let without =
        |number: usize| format!("^/[a-z]{{{}}}/[0-9]{{{}}}$", 1 + number % 32, 1 + number / 32);
    type Write<'a> = &'a dyn Fn(usize) -> String;
    let kinds: [(&str, Write<'_>, Write<'_>); 2] = [
        ("", &with_texts, &|number| format!("/service{number}/4711")),
        (" without texts", &without, &|number| {
            format!("/{}/{}", "a".repeat(1 + number % 32), "1".repeat(1 + number / 32))
        }),
    ];
    for (name, expression, path) in kinds {
        for count in [1_usize, 100, 1_000] {
            let regex = |number| {
                let regex = PathRegex::new(&expression(number)).expect("one that is right");
                RouteMatch { path: PathMatch::Regex(regex), ..RouteMatch::default() }
            };
            let router = Router::new((0..count).map(regex).collect());
            let name = format!("among {count} regexes{name}");
            find_in_turn(&mut group, &name, &router, &mut head, (0..count).map(path));
        }
    }
    group.finish();
}

/// Finds the routes of some hundred paths, spread over all, one after the other.
fn find_in_turn(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    router: &Router,
    head: &mut RequestHead,
    paths: impl ExactSizeIterator<Item = String>,
) {
    let step = paths.len().div_ceil(256) | 1;
    let heads = paths.step_by(step).map(|path| {
        let (host, path) = match path.strip_prefix("//").and_then(|both| both.split_once('/')) {
            Some((host, _)) => (host, "/"),
            None => ("www.example.com", path.as_str()),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert!(read(request.as_bytes(), head));
        std::mem::take(head)
    });
    let heads: Vec<RequestHead> = heads.collect();
    let mut turn = heads.iter().cycle();
    group.bench_function(name, |bench| {
        bench.iter(|| router.find(turn.next().expect("a cycle"), None).expect("a route"));
    });
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tls");
    for len in [1_000_usize, 16_000] {
        let key = || {
            TrafficKey::new(TlsVersion::Tls13, Aead::Aes128Gcm, &[7; 16], [9; 12], 0)
                .expect("a key of its length")
        };
        let data = vec![0x5a; len];
        group.throughput(Throughput::Bytes(len as u64));
        let mut sealer = Sealer::new(&key()).expect("a key");
        let mut wire = Vec::new();
        group.bench_function(format!("{len} bytes sealed"), |bench| {
            bench.iter(|| {
                wire.clear();
                // After as many records as a key may seal, there is another one.
                if sealer.seal_data(black_box(&data), len, &mut wire).is_err() {
                    sealer = Sealer::new(&key()).expect("a key");
                }
            });
        });
        let mut one = Vec::new();
        Sealer::new(&key())
            .and_then(|mut first| first.seal_data(&data, len, &mut one))
            .expect("one");
        group.bench_function(format!("{len} bytes opened"), |bench| {
            bench.iter(|| {
                let mut bytes = one.clone();
                let mut opener = Opener::new(&key()).expect("a key");
                opener.open(black_box(&mut bytes)).expect("a record that is right").is_some()
            });
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    slab,
    pool,
    timers,
    header,
    frames,
    http,
    routes,
    records,
    cluster::choices,
    cluster::connections,
    http2::hpack,
    http2::server,
    websocket::frames,
    websocket::grpc,
    measures::distributions,
    ring::polls
);
criterion_main!(benches);
