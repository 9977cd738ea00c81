//! The result of a run: what `--json` writes and `ringway bench compare` reads again.
//!
//! Times are in seconds and latencies in microseconds, unless a name says otherwise. What is not a
//! finite number is written as 0, as JSON has no other way.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::LoadError;
use super::environment::Environment;
use super::histogram::Packed;
use super::slo::Check;

/// The version of the format that this program writes, and the newest one that it reads.
pub const VERSION: u32 = 1;

/// The kind of error of an agent that was lost.
const AGENT: &str = "agent";

/// What one run was, and what it found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The version of this format: [`VERSION`].
    pub version: u32,
    /// The program that made the run: `ringway 0.1.0`.
    pub tool: String,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// When the measurement began, after the warm-up (RFC 3339).
    pub began: String,
    /// The machine of the generator.
    pub environment: Environment,
    /// What was asked.
    pub targets: Vec<Target>,
    /// How: `HTTP/1.1`, `HTTP/2`, `gRPC`, `WebSocket`, `frame`, `TCP`, `UDP`.
    pub protocol: String,
    /// How much of it.
    pub load: Load,
    /// Seconds before the measurement.
    #[serde(with = "finite")]
    pub warm_up: f64,
    /// Seconds of the measurement.
    #[serde(with = "finite")]
    pub seconds: f64,
    /// Requests, bytes and connections.
    pub counts: Counts,
    /// Failures by kind.
    pub errors: Vec<ErrorKind>,
    /// Answers by status, as the protocol writes it.
    pub statuses: BTreeMap<String, u64>,
    /// How long things took.
    pub latency: Latencies,
    /// The measurement in order of time.
    pub intervals: Vec<Interval>,
    /// CPU seconds of the generator, in the measurement.
    #[serde(with = "finite")]
    pub generator_cpu: f64,
    /// The machines that ran the load, if that was not this one.
    #[serde(default)]
    pub agents: Vec<AgentResult>,
    /// What the run cost the server, if that is known.
    pub server: Option<ServerCost>,
    /// Of a ramp: where the server no longer kept up.
    pub knee: Option<Knee>,
    /// Of `--slo`: the highest rate that held.
    pub search: Option<Search>,
    /// What was asked of this run by expressions.
    pub verdict: Vec<Check>,
    /// What else is to be known.
    pub notes: Vec<String>,
}

/// One machine of a load that several ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentResult {
    /// Where it listens.
    pub address: String,
    /// Its threads.
    pub threads: u32,
    /// CPU seconds of it, in the measurement.
    #[serde(with = "finite")]
    pub cpu_seconds: f64,
    /// The shortest round trip to it, in microseconds: the start of its requests is exact to half
    /// of that.
    #[serde(with = "finite")]
    pub round_trip_us: f64,
    /// The machine.
    pub environment: Environment,
}

/// What requests were sent to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The address.
    pub url: String,
    /// Its share, relative to the weights of the others.
    #[serde(with = "finite")]
    pub weight: f64,
}

/// How requests follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The next request is sent when the one before is answered.
    Closed,
    /// At equal distances, whatever the answers do.
    Constant,
    /// At random distances with a mean.
    Poisson,
    /// At a rate that changes linearly.
    Ramp,
}

impl Mode {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed loop",
            Self::Constant => "constant rate",
            Self::Poisson => "Poisson",
            Self::Ramp => "ramp",
        }
    }
}

/// The load of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// How requests follow each other.
    pub mode: Mode,
    /// Requests due in a second: of the open loops but for the ramp.
    #[serde(with = "maybe_finite")]
    pub rate: Option<f64>,
    /// Of the ramp.
    pub ramp: Option<Ramp>,
    /// Connections.
    pub connections: u32,
    /// Requests at a time on each connection.
    pub streams: u32,
    /// Threads of the generator.
    pub threads: u32,
    /// Seconds from an answer to the next request of its connection.
    #[serde(with = "maybe_finite")]
    pub think_time: Option<f64>,
    /// Whether connections are used again.
    pub keepalive: bool,
}

/// A rate that changes linearly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ramp {
    /// Requests a second at the beginning.
    #[serde(with = "finite")]
    pub from: f64,
    /// Requests a second at the end.
    #[serde(with = "finite")]
    pub to: f64,
    /// Seconds from one to the other.
    #[serde(with = "finite")]
    pub seconds: f64,
}

/// Sums of the measurement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that were due; in a closed loop those that were sent.
    pub due: u64,
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were answered as they should.
    pub completed: u64,
    /// Bytes to the server.
    pub bytes_sent: u64,
    /// Bytes from the server.
    pub bytes_received: u64,
    /// Connections that were opened.
    pub connects: u64,
    /// Requests without an answer when the run ended.
    pub unfinished: u64,
    /// Requests that were due and never sent.
    pub late: u64,
}

/// Failures of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorKind {
    /// Its name: `connect`, `timeout`, `closed`, `protocol`, `status`.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The first one in words. May be the server's.
    pub example: String,
}

impl ErrorKind {
    /// An agent that was lost.
    pub(super) fn of_agent(error: &LoadError) -> Self {
        Self { kind: AGENT.to_owned(), count: 1, example: error.to_string() }
    }
}

/// Histograms of the measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// From the time that a request was due (closed loop: sent) to the end of its answer.
    pub total: Packed,
    /// Of a closed loop: the same with what it did not send while it waited.
    pub corrected: Option<Packed>,
    /// Opening a connection, without TLS.
    pub connect: Packed,
    /// The handshake of TLS.
    pub tls: Packed,
    /// From the sending of a request to the first byte of its answer.
    pub first_byte: Packed,
    /// Of an open loop: from the time that a request was due to when it was sent.
    pub lateness: Packed,
}

impl Latencies {
    /// The histograms that have values, with their names, in the order of reports.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Packed)> {
        let all = [
            ("total", Some(&self.total)),
            ("corrected", self.corrected.as_ref()),
            ("connect", Some(&self.connect)),
            ("TLS", Some(&self.tls)),
            ("first byte", Some(&self.first_byte)),
            ("lateness", Some(&self.lateness)),
        ];
        all.into_iter()
            .filter_map(|(name, packed)| Some((name, packed?)))
            .filter(|(name, packed)| *name == "total" || !packed.is_empty())
    }
}

/// A part of the measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Seconds after the measurement began.
    #[serde(with = "finite")]
    pub start: f64,
    /// Its length in seconds.
    #[serde(with = "finite")]
    pub seconds: f64,
    /// Requests sent in it.
    pub sent: u64,
    /// Requests answered in it.
    pub completed: u64,
    /// Failures in it.
    pub errors: u64,
    /// Requests due in a second.
    #[serde(with = "maybe_finite")]
    pub wanted_rate: Option<f64>,
    /// Bytes from the server.
    pub bytes_received: u64,
    /// Latencies of the requests that were answered in it, as [`Latencies::total`].
    pub histogram: Packed,
    /// The generator's own lateness at p99, in microseconds.
    #[serde(with = "maybe_finite")]
    pub lateness_p99_us: Option<f64>,
}

impl Interval {
    /// Answers in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per_second(self.completed, self.seconds)
    }

    /// When it ends, in seconds after the measurement began.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.start + self.seconds
    }

    /// One interval of this one and the next. The larger lateness stays.
    #[must_use]
    pub fn join(&self, next: &Self) -> Self {
        let mut histogram = self.histogram.unpack();
        histogram.add(&next.histogram.unpack());
        let seconds = self.seconds + next.seconds;
        let wanted_rate = match (self.wanted_rate, next.wanted_rate) {
            (Some(one), Some(other)) if seconds > 0.0 => {
                Some((one * self.seconds + other * next.seconds) / seconds)
            }
            (one, other) => one.or(other),
        };
        Self {
            start: self.start,
            seconds,
            sent: self.sent.saturating_add(next.sent),
            completed: self.completed.saturating_add(next.completed),
            errors: self.errors.saturating_add(next.errors),
            wanted_rate,
            bytes_received: self.bytes_received.saturating_add(next.bytes_received),
            histogram: histogram.pack(),
            lateness_p99_us: [self.lateness_p99_us, next.lateness_p99_us]
                .into_iter()
                .flatten()
                .reduce(f64::max),
        }
    }
}

/// Joins neighbours, two by two, until at most `max` intervals are left: so that a run of days
/// takes no more memory than one of minutes. With fewer there is nothing to do.
pub fn thin(intervals: &mut Vec<Interval>, max: usize) {
    while intervals.len() > max.max(1) {
        let joined = intervals.chunks(2).map(|pair| match pair {
            [one, next] => one.join(next),
            alone => alone[0].clone(),
        });
        *intervals = joined.collect();
    }
}

/// What a run cost the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerCost {
    /// Where that is known from: a URL of metrics, or a process.
    pub source: String,
    /// CPU seconds in the measurement.
    #[serde(with = "maybe_finite")]
    pub cpu_seconds: Option<f64>,
    /// Resident memory at the end, in bytes.
    pub rss_bytes: Option<u64>,
    /// Requests that the server counted in the measurement.
    pub requests: Option<u64>,
    /// Seconds after the measurement began, and CPU seconds used since then.
    pub samples: Vec<(f64, f64)>,
}

/// Where a server no longer kept up with a ramp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// Requests a second.
    #[serde(with = "finite")]
    pub rate: f64,
    /// Seconds after the measurement began.
    #[serde(with = "finite")]
    pub at: f64,
    /// By what it was found.
    pub why: String,
}

/// The search for the highest rate at which an expression holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The expression.
    pub slo: String,
    /// The highest rate at which it held, in requests a second; none if it never did.
    #[serde(with = "maybe_finite")]
    pub rate: Option<f64>,
    /// What was tried, in order.
    pub steps: Vec<Step>,
}

/// One rate of a search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Requests a second.
    #[serde(with = "finite")]
    pub rate: f64,
    /// The expressions at this rate.
    pub checks: Vec<Check>,
    /// Whether all of them held.
    pub holds: bool,
}

impl RunResult {
    /// Writes it as JSON, with a line end.
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }

    /// Answers in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        per_second(self.counts.completed, self.seconds)
    }

    /// Failures of all kinds.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.iter().fold(0, |sum, kind| sum.saturating_add(kind.count))
    }

    /// Failures among the requests that have ended, from 0 to 1; 0 if none has.
    #[must_use]
    pub fn error_share(&self) -> f64 {
        let errors = real(self.error_count());
        let ended = errors + real(self.counts.completed);
        if ended > 0.0 { errors / ended } else { 0.0 }
    }

    /// CPU time of the server for each request, in microseconds.
    #[must_use]
    pub fn server_cpu_us(&self) -> Option<f64> {
        let server = self.server.as_ref()?;
        let requests = real(server.requests.unwrap_or(self.counts.completed));
        (requests > 0.0).then(|| server.cpu_seconds.map(|cpu| cpu * 1e6 / requests)).flatten()
    }

    /// The error of the first agent that was lost, if any.
    #[must_use]
    pub fn lost_agent(&self) -> Option<&str> {
        let lost = self.errors.iter().find(|error| error.kind == AGENT);
        lost.map(|error| error.example.as_str())
    }

    /// Whether requests are sent at times of their own.
    #[must_use]
    pub fn is_open_loop(&self) -> bool {
        self.load.mode != Mode::Closed
    }
}

/// A count as a number to be divided.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts are far below 2^53, or rounding is harmless"
)]
pub(super) const fn real(count: u64) -> f64 {
    count as f64
}

/// So many in so many seconds; 0 in no time.
pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { real(count) / seconds } else { 0.0 }
}

/// Numbers as JSON has them: what is not finite is written as 0.
mod finite {
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(if number.is_finite() { *number } else { 0.0 })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        f64::deserialize(from)
    }
}

/// The same of numbers that may be missing.
mod maybe_finite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(number: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        number.filter(|number| number.is_finite()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        Option::deserialize(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::example::Example;

    #[test]
    fn a_long_run_keeps_a_bounded_number_of_intervals() {
        let whole = Example::constant(1_000.0).seconds(61).build();
        let mut intervals = whole.intervals.clone();
        thin(&mut intervals, 20);
        assert_eq!(intervals.len(), 16);
        let (first, last) = (&intervals[0], &intervals[15]);
        assert_eq!((first.start, first.seconds, last.end()), (0.0, 4.0, 61.0));
        let completed: u64 = intervals.iter().map(|interval| interval.completed).sum();
        let values: u64 = intervals.iter().map(|interval| interval.histogram.summary().count).sum();
        assert_eq!((completed, values), (whole.counts.completed, whole.counts.completed));
        assert!((first.wanted_rate.unwrap() - 1_000.0).abs() < 1e-6);
    }

    #[test]
    fn shares_and_costs_of_nothing_are_numbers() {
        let mut result = Example::constant(1_000.0).seconds(8).build();
        assert!((result.rate() - 1_000.0).abs() < 20.0);
        result.seconds = 0.0;
        result.counts = Counts::default();
        result.errors.clear();
        assert_eq!((result.rate(), result.error_share(), result.server_cpu_us()), (0.0, 0.0, None));
    }
}
