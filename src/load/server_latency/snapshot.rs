//! Histograms as they were read at one time.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Name;
use crate::load::histogram::LatencyHistogram;

/// The newest version of `/latency/histograms` that is read.
const VERSION: u32 = 1;
/// Histograms of a server, at most.
const SERIES_MAX: usize = 100_000;
/// Steps of a histogram, at most: more than a server has.
const STEPS_MAX: usize = 8_192;
/// The longest duration, in microseconds: a day.
const MICROS_MAX: u64 = 24 * 3600 * 1_000_000;
/// Values of a histogram, at most.
const COUNT_MAX: u64 = 1 << 52;

/// How many durations were in each step, by the longest of the step in microseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steps {
    counts: BTreeMap<u64, u64>,
    sum_us: f64,
}

impl Steps {
    /// How many durations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Their mean in microseconds, exactly; 0 without durations.
    #[must_use]
    pub fn mean_us(&self) -> f64 {
        let count = self.count();
        if count == 0 { 0.0 } else { self.sum_us / crate::load::result::real(count) }
    }

    /// Adds those of another one.
    pub fn add(&mut self, other: &Self) {
        for (most, count) in &other.counts {
            let own = self.counts.entry(*most).or_default();
            *own = own.saturating_add(*count);
        }
        self.sum_us += other.sum_us;
    }

    /// Whether a count is lower than in an earlier snapshot: the server was restarted.
    fn runs_backwards(&self, before: &Self) -> bool {
        let is_less =
            |(most, count): (&u64, &u64)| self.counts.get(most).is_none_or(|own| own < count);
        before.counts.iter().any(is_less)
    }

    /// The difference to an earlier snapshot of the same process.
    fn since(&self, before: &Self) -> Self {
        let mut counts = self.counts.clone();
        for (most, count) in &before.counts {
            counts.entry(*most).and_modify(|own| *own = own.saturating_sub(*count));
        }
        counts.retain(|_, count| *count > 0);
        Self { counts, sum_us: (self.sum_us - before.sum_us).max(0.0) }
    }

    /// As a histogram: each duration counts as the bound of its step.
    #[must_use]
    pub fn histogram(&self) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::new();
        for (most, count) in &self.counts {
            histogram.record_many_ns((most + 1) * 1_000, *count);
        }
        histogram
    }
}

/// All histograms of a server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The program: `ringway 0.1.0`.
    pub tool: String,
    /// Histograms by what they are of.
    pub series: BTreeMap<Name, Steps>,
}

/// An answer that is not a valid snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SnapshotError(String);

#[derive(Deserialize)]
struct Answer {
    version: u32,
    tool: String,
    routes: Vec<RouteAnswer>,
    upstreams: Vec<UpstreamAnswer>,
}

#[derive(Deserialize)]
struct RouteAnswer {
    listener: String,
    route: String,
    sum_us: f64,
    steps: Vec<[u64; 2]>,
}

#[derive(Deserialize)]
struct UpstreamAnswer {
    upstream: String,
    phase: String,
    sum_us: f64,
    steps: Vec<[u64; 2]>,
}

impl Snapshot {
    /// Reads the answer of `/latency/histograms`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, SnapshotError> {
        let answer: Answer = serde_json::from_slice(text)
            .map_err(|error| SnapshotError(format!("not a response with histograms: {error}")))?;
        if answer.version > VERSION {
            return Err(SnapshotError(format!(
                "the server ({}) writes format {}, this program reads up to {VERSION}: run \
                 `ringway report` of the version of the server",
                answer.tool.chars().take(80).collect::<String>(),
                answer.version
            )));
        }
        if answer.routes.len() + answer.upstreams.len() > SERIES_MAX {
            return Err(SnapshotError(format!("it has more than {SERIES_MAX} histograms")));
        }
        let mut series: BTreeMap<Name, Steps> = BTreeMap::new();
        let routes = answer.routes.into_iter().map(|one| {
            let RouteAnswer { listener, route, sum_us, steps } = one;
            (Name::Route { listener, route }, sum_us, steps)
        });
        let upstreams = answer.upstreams.into_iter().map(|one| {
            let UpstreamAnswer { upstream, phase, sum_us, steps } = one;
            (Name::Upstream { upstream, phase }, sum_us, steps)
        });
        for (name, sum_us, steps) in routes.chain(upstreams) {
            let steps = checked(sum_us, &steps)
                .ok_or_else(|| SnapshotError(format!("the histogram of {name} is damaged")))?;
            // Two routes of one name are shown as one.
            series.entry(name).or_default().add(&steps);
        }
        Ok(Self { tool: answer.tool, series })
    }

    /// What came since an earlier one. If there is less of anything than there was, the server
    /// was restarted, and all came since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> BTreeMap<Name, Steps> {
        let paired = || {
            let known = |name| before.series.get(name);
            self.series.iter().map(move |(name, steps)| (name, steps, known(name)))
        };
        let is_restarted = paired()
            .any(|(_, steps, before)| before.is_some_and(|before| steps.runs_backwards(before)));
        let each = paired().map(|(name, steps, before)| {
            let before = before.filter(|_| !is_restarted);
            (name.clone(), before.map_or_else(|| steps.clone(), |before| steps.since(before)))
        });
        each.filter(|(_, steps)| steps.count() > 0).collect()
    }
}

fn checked(sum_us: f64, steps: &[[u64; 2]]) -> Option<Steps> {
    let is_valid = steps.len() <= STEPS_MAX && (0.0..=1e18).contains(&sum_us);
    let total = steps.iter().try_fold(0_u64, |sum, [_, count]| sum.checked_add(*count))?;
    let fits = steps.iter().all(|[most, _]| *most <= MICROS_MAX) && total <= COUNT_MAX;
    let counts = steps.iter().map(|[most, count]| (*most, *count)).collect();
    (is_valid && fits).then_some(Steps { counts, sum_us })
}
