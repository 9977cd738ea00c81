//! The verdict between results: what differs by more than chance.
//!
//! A side is one result or several of the same. Where all sides have several, whole runs are
//! resampled; otherwise blocks of time. See [`super::statistics`].

mod differences;
mod page;
mod text;

use serde::Serialize;

use super::histogram::LatencyHistogram;
use super::result::{Interval, RunResult, ServerCost, real};
use super::statistics::{Measure, Piece, Ratio, Sample, ratios};

pub use page::render as render_html;
pub use text::render as render_text;

/// The seed of all comparisons: the same files give the same verdict.
const SEED: u64 = 20_261_123;
/// Resamples of each side.
const RESAMPLES: u32 = 1_000;
/// Blocks of time that a side must have.
pub const BLOCKS_MIN: usize = 8;
/// Blocks of time that a result is cut into: long ones depend less on each other.
const BLOCKS_MAX: usize = 20;
/// Sides of a comparison.
pub const SIDES_MAX: usize = 20;

/// One side: a result, or several of the same.
#[derive(Debug, Clone)]
pub struct Side {
    /// Its name, for people.
    pub name: String,
    /// Its results.
    pub runs: Vec<RunResult>,
}

/// What was resampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampled {
    /// Whole runs: what varies from run to run is in the intervals.
    Runs,
    /// Blocks of time within runs: what varies from run to run is not.
    Blocks,
}

/// What is said of a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better than the base, beyond chance.
    Better,
    /// Worse than the base, beyond chance.
    Worse,
    /// The interval contains 1: a difference was not shown, but may exist.
    NotShown,
    /// Too little was measured.
    Unknown,
}

impl Verdict {
    fn new(measure: Measure, ratio: Option<&Ratio>) -> Self {
        match ratio {
            None => Self::Unknown,
            Some(ratio) if !ratio.is_different() => Self::NotShown,
            Some(ratio) if (ratio.ratio > 1.0) == measure.is_better_when_larger() => Self::Better,
            Some(_) => Self::Worse,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self, measure: Measure) -> &'static str {
        match (self, measure) {
            (Self::Better, Measure::ServerCpu) => "cheaper",
            (Self::Worse, Measure::ServerCpu) => "dearer",
            (Self::Better, _) => "faster",
            (Self::Worse, _) => "slower",
            (Self::NotShown, _) => "no difference shown",
            (Self::Unknown, _) => "unknown",
        }
    }
}

/// One measure of two sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What is compared.
    pub measure: Measure,
    /// The base's figure: microseconds, or answers in a second.
    pub base: Option<f64>,
    /// The other's figure.
    pub other: Option<f64>,
    /// The other's by the base's.
    pub ratio: Option<Ratio>,
    /// What is said of it.
    pub verdict: Verdict,
}

/// A side beside the base.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    /// The side's name.
    pub name: String,
    /// All measures.
    pub rows: Vec<Row>,
    /// In what the two are not alike, so that the verdict is about that as well.
    pub differences: Vec<String>,
}

impl Versus {
    /// The latencies and the throughput in one sentence: `faster (p50, p99)`.
    #[must_use]
    pub fn summary(&self) -> String {
        let of = |wanted: Verdict| {
            let rows = self.rows.iter().filter(|row| row.verdict == wanted);
            rows.map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (better, worse) = (of(Verdict::Better), of(Verdict::Worse));
        let is_known = self.rows.iter().any(|row| row.verdict != Verdict::Unknown);
        match (better.is_empty(), worse.is_empty()) {
            _ if !is_known => "too little was measured for a verdict".to_owned(),
            (true, true) => "no difference shown".to_owned(),
            (false, true) => format!("better: {better}"),
            (true, false) => format!("worse: {worse}"),
            (false, false) => format!("better: {better}; worse: {worse}"),
        }
    }
}

/// A comparison of all sides with the first one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The first side's name.
    pub base: String,
    /// What was resampled.
    pub resampled: Resampled,
    /// How many runs or blocks each side has, the base first.
    pub pieces: Vec<usize>,
    /// The others.
    pub against: Vec<Versus>,
    /// What is wrong with single results, with the side's name.
    pub warnings: Vec<String>,
    /// Resamples of each side.
    pub resamples: u32,
    /// The seed of the resampling.
    pub seed: u64,
}

impl Comparison {
    /// Whether any side is worse than the base in anything.
    #[must_use]
    pub fn any_worse(&self) -> bool {
        let rows = self.against.iter().flat_map(|versus| &versus.rows);
        rows.into_iter().any(|row| row.verdict == Verdict::Worse)
    }
}

/// Why nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompareError {
    /// One side alone.
    #[error("a comparison needs two sides or more: A.json B.json")]
    OneSide,
    /// Too many of them.
    #[error("a comparison has at most {SIDES_MAX} sides")]
    TooManySides,
    /// A side without a result.
    #[error("{0} has no result")]
    Empty(String),
    /// A single run that is too short.
    #[error(
        "{name} has {found} intervals with answers, and a verdict on single runs needs \
         {BLOCKS_MIN}: run it for longer, or give several runs of each side \
         (A1.json,A2.json,A3.json)"
    )]
    TooShort {
        /// The side.
        name: String,
        /// Its intervals.
        found: usize,
    },
}

/// Compares all sides with the first.
///
/// # Errors
///
/// Why nothing can be said.
pub fn compare(sides: &[Side]) -> Result<Comparison, CompareError> {
    let [base, others @ ..] = sides else { return Err(CompareError::OneSide) };
    if others.is_empty() {
        return Err(CompareError::OneSide);
    }
    if sides.len() > SIDES_MAX {
        return Err(CompareError::TooManySides);
    }
    if let Some(side) = sides.iter().find(|side| side.runs.is_empty()) {
        return Err(CompareError::Empty(side.name.clone()));
    }
    let has_runs = sides.iter().all(|side| side.runs.len() > 1);
    let resampled = if has_runs { Resampled::Runs } else { Resampled::Blocks };
    let samples: Vec<Sample> =
        sides.iter().map(|side| sample(side, resampled)).collect::<Result<_, _>>()?;
    let against = others.iter().zip(&samples[1..]).map(|(side, sample)| Versus {
        name: side.name.clone(),
        rows: rows(&samples[0], sample),
        differences: differences::between(base, side),
    });
    Ok(Comparison {
        base: base.name.clone(),
        resampled,
        pieces: samples.iter().map(Sample::len).collect(),
        against: against.collect(),
        warnings: differences::within(sides),
        resamples: RESAMPLES,
        seed: SEED,
    })
}

fn rows(base: &Sample, other: &Sample) -> Vec<Row> {
    let found = ratios(base, other, SEED, RESAMPLES);
    let rows = Measure::ALL.into_iter().zip(found).map(|(measure, ratio)| Row {
        name: measure.name(),
        measure,
        base: base.value(measure),
        other: other.value(measure),
        ratio,
        verdict: Verdict::new(measure, ratio.as_ref()),
    });
    // Most servers are not watched.
    rows.filter(|row| {
        row.measure != Measure::ServerCpu || row.base.is_some() || row.other.is_some()
    })
    .collect()
}

fn sample(side: &Side, resampled: Resampled) -> Result<Sample, CompareError> {
    let pieces: Vec<Piece> = match resampled {
        Resampled::Runs => side.runs.iter().map(whole).collect(),
        Resampled::Blocks => side.runs.iter().flat_map(blocks).collect(),
    };
    if resampled == Resampled::Blocks && pieces.len() < BLOCKS_MIN {
        return Err(CompareError::TooShort { name: side.name.clone(), found: pieces.len() });
    }
    Ok(Sample::new(&pieces, resampled == Resampled::Blocks))
}

/// A run as one piece.
fn whole(run: &RunResult) -> Piece {
    let server = run.server.as_ref().and_then(|server| {
        Some((server.cpu_seconds?, real(server.requests.unwrap_or(run.counts.completed))))
    });
    Piece::new(&run.latency.total.unpack(), run.seconds, run.counts.completed, server)
}

/// A run as blocks of neighbouring intervals, of about the same length.
fn blocks(run: &RunResult) -> Vec<Piece> {
    let intervals: Vec<&Interval> =
        run.intervals.iter().filter(|interval| interval.completed > 0).collect();
    let count = intervals.len().min(BLOCKS_MAX);
    let edge = |number: usize| number * intervals.len() / count.max(1);
    (0..count).map(|number| block(&intervals[edge(number)..edge(number + 1)], run, count)).collect()
}

fn block(intervals: &[&Interval], run: &RunResult, blocks: usize) -> Piece {
    let mut histogram = LatencyHistogram::new();
    for interval in intervals {
        histogram.add(&interval.histogram.unpack());
    }
    let seconds = intervals.iter().map(|interval| interval.seconds).sum();
    let completed = intervals.iter().fold(0, |sum: u64, one| sum.saturating_add(one.completed));
    // With fewer samples than blocks, the CPU of a block would be invented.
    let server =
        run.server.as_ref().filter(|server| server.samples.len() > blocks).and_then(|server| {
            let (start, end) = (intervals.first()?.start, intervals.last()?.end());
            Some((cpu_at(server, end)? - cpu_at(server, start)?, real(completed)))
        });
    Piece::new(&histogram, seconds, completed, server)
}

/// CPU seconds used up to a time, between the two samples beside it.
fn cpu_at(server: &ServerCost, at: f64) -> Option<f64> {
    let next = server.samples.partition_point(|(time, _)| *time < at);
    let (late, late_cpu) = *server.samples.get(next).or_else(|| server.samples.last())?;
    let (early, early_cpu) = *server.samples.get(next.saturating_sub(1))?;
    let span = late - early;
    let part = if span > 0.0 { ((at - early) / span).clamp(0.0, 1.0) } else { 1.0 };
    Some(early_cpu + (late_cpu - early_cpu) * part)
}

#[cfg(test)]
mod tests;
