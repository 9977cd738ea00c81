//! Results for tests: invented, but such as runs have.

use std::collections::BTreeMap;
use std::time::Duration;

use super::environment::Environment;
use super::histogram::LatencyHistogram;
use super::result::{
    Counts, ErrorKind, Interval, Knee, Latencies, Load, Mode, Ramp, RunResult, ServerCost, Target,
    VERSION,
};
use super::slo::{self, Purpose};
use super::statistics::Random;

/// Requests of an interval that are drawn one by one, at most; they stand for all.
const DRAWN_MAX: u64 = 2_000;
/// Requests in a second that the server takes.
const CAPACITY: f64 = 40_000.0;

/// How much the level of an interval varies.
const DRIFT: f64 = 0.02;

/// Builds a result.
pub(crate) struct Example {
    mode: Mode,
    rate: f64,
    to: f64,
    seconds: u32,
    seed: u64,
    median_us: f64,
    stall: Option<u32>,
    errors: bool,
}

impl Example {
    /// An open loop at such a rate for 30 seconds.
    pub(crate) fn constant(rate: f64) -> Self {
        Self {
            mode: Mode::Constant,
            rate,
            to: rate,
            seconds: 30,
            seed: 1,
            median_us: 400.0,
            stall: None,
            errors: false,
        }
    }

    /// A closed loop.
    pub(crate) fn closed() -> Self {
        Self { mode: Mode::Closed, ..Self::constant(12_000.0) }
    }

    /// A ramp.
    pub(crate) fn ramp(from: f64, to: f64) -> Self {
        Self { mode: Mode::Ramp, to, ..Self::constant(from) }
    }

    /// So many seconds, with an interval for each.
    pub(crate) fn seconds(mut self, seconds: u32) -> Self {
        self.seconds = seconds;
        self
    }

    /// Other numbers by chance.
    pub(crate) fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Another median latency, in microseconds.
    pub(crate) fn median_us(mut self, median: f64) -> Self {
        self.median_us = median;
        self
    }

    /// The server stands still in this second.
    pub(crate) fn stall(mut self, second: u32) -> Self {
        self.stall = Some(second);
        self
    }

    /// With errors.
    pub(crate) fn errors(mut self) -> Self {
        self.errors = true;
        self
    }

    /// The result.
    pub(crate) fn build(&self) -> RunResult {
        let mut random = Random::new(self.seed);
        let mut total = LatencyHistogram::new();
        let mut lateness = LatencyHistogram::new();
        let mut intervals = Vec::new();
        for second in 0..self.seconds {
            let histogram = self.interval(second, &mut random, &mut lateness);
            total.add(&histogram);
            intervals.push(self.shown(second, &histogram));
        }
        let completed = total.count();
        let errors = intervals.iter().map(|interval: &Interval| interval.errors).sum();
        let connect = drawn(&mut random, 64, 180.0, 0.3);
        let first_byte = drawn(&mut random, 2_000, self.median_us * 0.9, 0.4);
        let expected = Duration::from_micros(100);
        let closed = self.mode == Mode::Closed;
        let latency = Latencies {
            total: total.pack(),
            corrected: closed.then(|| total.corrected(expected).pack()),
            connect: connect.pack(),
            tls: LatencyHistogram::new().pack(),
            first_byte: first_byte.pack(),
            lateness: if closed { LatencyHistogram::new() } else { lateness }.pack(),
        };
        let mut result = self.frame(latency, intervals, completed, errors);
        let expressions = slo::parse("p99<50ms,errors<5%").expect("they are right");
        result.verdict = slo::evaluate(&expressions, Purpose::Slo, &result);
        result
    }

    fn wanted(&self, second: u32) -> f64 {
        let share = (f64::from(second) + 0.5) / f64::from(self.seconds);
        self.rate + (self.to - self.rate) * share
    }

    fn interval(
        &self,
        second: u32,
        random: &mut Random,
        lateness: &mut LatencyHistogram,
    ) -> LatencyHistogram {
        let wanted = self.wanted(second);
        let requests = whole(wanted.min(CAPACITY));
        let drawn = requests.clamp(1, DRAWN_MAX);
        let level = self.median_us * (DRIFT * random.normal()).exp();
        // Near the capacity, queues grow.
        let queue = (1.0 - (wanted / CAPACITY).min(0.98)).recip().sqrt();
        let mut histogram = LatencyHistogram::new();
        for n in 0..drawn {
            let count = requests / drawn + u64::from(n < requests % drawn);
            let mut us = level * queue * (0.35 * random.normal()).exp();
            if random.unit() < 0.01 {
                us *= 4.0 + 6.0 * random.unit();
            }
            if self.stall == Some(second) && n * 10 < drawn {
                us += 100_000.0 * random.unit();
            }
            histogram.record_many_ns(whole(us * 1_000.0), count);
            lateness.record_many_ns(whole(6_000.0 * (0.6 * random.normal()).exp()), count);
        }
        histogram
    }

    fn shown(&self, second: u32, histogram: &LatencyHistogram) -> Interval {
        let completed = histogram.count();
        let errors = if self.errors && second % 7 == 3 { completed / 500 + 1 } else { 0 };
        let is_open = self.mode != Mode::Closed;
        Interval {
            start: f64::from(second),
            seconds: 1.0,
            sent: completed + errors,
            completed,
            errors,
            wanted_rate: is_open.then(|| self.wanted(second)),
            bytes_received: completed * 180,
            histogram: histogram.pack(),
            lateness_p99_us: is_open.then(|| 20.0 + f64::from(second * 7 % 11)),
        }
    }

    fn frame(
        &self,
        latency: Latencies,
        intervals: Vec<Interval>,
        completed: u64,
        errors: u64,
    ) -> RunResult {
        let kinds = [
            ("timeout", "no answer from 127.0.0.1:8080 within 5 s"),
            ("status", "503 Service Unavailable"),
        ];
        let kinds = kinds.map(|(kind, example)| ErrorKind {
            kind: kind.to_owned(),
            count: errors / 2 + u64::from(kind == "timeout") * (errors % 2),
            example: example.to_owned(),
        });
        let is_ramp = self.mode == Mode::Ramp;
        let seconds = f64::from(self.seconds);
        // A fraction that decimals show exactly.
        let cpu = |at: f64| (at, at * self.rate.min(CAPACITY) / 65_536.0);
        RunResult {
            version: VERSION,
            tool: "ringway 0.1.0".to_owned(),
            command: ["ringway", "bench", "http://127.0.0.1:8080/"].map(str::to_owned).to_vec(),
            began: "2026-11-23T10:00:00.000Z".to_owned(),
            environment: environment(),
            targets: vec![Target { url: "http://127.0.0.1:8080/".to_owned(), weight: 1.0 }],
            protocol: "HTTP/1.1".to_owned(),
            load: self.load(),
            warm_up: 2.0,
            seconds,
            counts: Counts {
                due: completed + errors,
                sent: completed + errors,
                completed,
                bytes_sent: completed * 90,
                bytes_received: completed * 180,
                connects: 64,
                unfinished: 0,
                late: 0,
            },
            errors: kinds.into_iter().filter(|kind| kind.count > 0).collect(),
            statuses: BTreeMap::from([("200".to_owned(), completed)]),
            latency,
            intervals,
            generator_cpu: seconds * 0.4,
            agents: Vec::new(),
            server: Some(ServerCost {
                source: "process 4711".to_owned(),
                cpu_seconds: Some(cpu(seconds).1),
                rss_bytes: Some(12_345_678),
                requests: None,
                samples: (0..=self.seconds).map(|at| cpu(f64::from(at))).collect(),
            }),
            knee: is_ramp.then(|| Knee {
                rate: CAPACITY.min(self.to),
                at: seconds * ((CAPACITY.min(self.to) - self.rate) / (self.to - self.rate)),
                why: "p99 doubled".to_owned(),
            }),
            search: None,
            verdict: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn load(&self) -> Load {
        let is_ramp = self.mode == Mode::Ramp;
        Load {
            mode: self.mode,
            rate: matches!(self.mode, Mode::Constant | Mode::Poisson).then_some(self.rate),
            ramp: is_ramp.then(|| Ramp {
                from: self.rate,
                to: self.to,
                seconds: f64::from(self.seconds),
            }),
            connections: 64,
            streams: 1,
            threads: 2,
            think_time: None,
            keepalive: true,
        }
    }
}

fn environment() -> Environment {
    Environment {
        kernel: "6.18.5".to_owned(),
        cpu: "Some CPU @ 2.40GHz".to_owned(),
        cpus: 2,
        driver: "io_uring".to_owned(),
        open_files: 1_024,
    }
}

fn drawn(random: &mut Random, count: u32, median_us: f64, spread: f64) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::new();
    for _ in 0..count {
        histogram.record_ns(whole(median_us * 1_000.0 * (spread * random.normal()).exp()));
    }
    histogram
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}
