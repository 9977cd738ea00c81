//! What is counted: durations of a worker, those of all workers merged, latencies of the load
//! generator.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use ringway::load::histogram::LatencyHistogram;
use ringway::session::{Distribution, Histograms};

/// Durations that spread over many steps.
fn durations() -> impl Iterator<Item = Duration> {
    let mut state = 0x5eed_u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        Duration::from_micros((state >> 33) >> (state >> 60))
    })
}

/// Recording, merging, and quantiles.
pub(crate) fn distributions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("durations");
    let many: Vec<Duration> = durations().take(10_000).collect();
    let mut turn = many.iter().cycle();
    let mut distribution = Distribution::default();
    group.bench_function("one of a worker recorded", |bench| {
        bench.iter(|| distribution.record(*turn.next().expect("a cycle")));
    });
    let mut worker = Histograms::default();
    for time in &many {
        worker.duration.record(*time);
        worker.connect.record(*time);
        worker.handshake.record(*time);
    }
    group.bench_function("those of four workers merged", |bench| {
        bench.iter(|| {
            let mut all = Histograms::default();
            (0..4).for_each(|_| all.merge(black_box(&worker)));
            all
        });
    });
    group.bench_function("p99 of a worker", |bench| {
        bench.iter(|| black_box(&worker.duration).quantile(0.99));
    });
    let mut histogram = LatencyHistogram::new();
    group.bench_function("a latency of the load generator recorded", |bench| {
        bench.iter(|| histogram.record(*turn.next().expect("a cycle")));
    });
    let other = histogram.clone();
    group.bench_function("two threads of the load generator merged", |bench| {
        bench.iter(|| histogram.add(black_box(&other)));
    });
    group.bench_function("an interval of the load generator packed", |bench| {
        bench.iter(|| black_box(&other).pack());
    });
    group.finish();
}
