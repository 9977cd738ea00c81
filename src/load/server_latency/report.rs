//! What a server answered between two times.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::Serialize;

use super::Name;
use super::snapshot::{Snapshot, Steps};
use crate::load::histogram::Packed;
use crate::load::result::{Interval, thin};
use crate::load::run::Stopper;
use crate::runtime::clock::{now, unix_time};
use crate::service::date::Rfc3339;

/// Intervals of a report, at most: beyond it, neighbours become one.
const INTERVALS_MAX: usize = 1_800;
/// How often a wait checks for a stop.
const LOOK: Duration = Duration::from_millis(50);

/// The latency of a server, by route, and by upstream and phase.
#[derive(Debug, Clone)]
pub struct ServerLatency {
    /// Where it was read.
    pub url: String,
    /// The program that served.
    pub tool: String,
    /// When it was read last (RFC 3339).
    pub date: String,
    /// Seconds that were watched. `None`: all since the start of the server.
    pub seconds: Option<f64>,
    /// What came, by what it is of.
    pub series: BTreeMap<Name, Steps>,
    /// All routes together, in order of time.
    pub intervals: Vec<Interval>,
    /// Reads of the server that failed meanwhile.
    pub failures: u32,
}

impl ServerLatency {
    /// All since the start of a server.
    #[must_use]
    pub fn since_start(url: &str, date: String, snapshot: Snapshot) -> Self {
        let mut series = snapshot.series;
        series.retain(|_, steps| steps.count() > 0);
        let (url, tool) = (url.to_owned(), snapshot.tool);
        Self { url, tool, date, seconds: None, series, intervals: Vec::new(), failures: 0 }
    }

    /// Those of routes, with the most requests first.
    #[must_use]
    pub fn routes(&self) -> Vec<(&Name, &Steps)> {
        let routes = self.series.iter().filter(|(name, _)| matches!(name, Name::Route { .. }));
        let mut routes: Vec<_> = routes.collect();
        routes.sort_by_key(|(_, steps)| std::cmp::Reverse(steps.count()));
        routes
    }

    /// Those of upstreams, by upstream, in the order of phases.
    #[must_use]
    pub fn upstreams(&self) -> Vec<(&Name, &Steps)> {
        let place = |phase: &str| {
            let order = ["queue", "connect", "first_byte", "total"];
            order.iter().position(|one| *one == phase).unwrap_or(order.len())
        };
        let upstreams = self.series.iter().filter_map(|(name, steps)| match name {
            Name::Upstream { upstream, phase } => Some((upstream, place(phase), name, steps)),
            Name::Route { .. } => None,
        });
        let mut upstreams: Vec<_> = upstreams.collect();
        upstreams.sort_by_key(|(upstream, place, ..)| (*upstream, *place));
        upstreams.into_iter().map(|(_, _, name, steps)| (name, steps)).collect()
    }

    /// All routes together.
    #[must_use]
    pub fn all_routes(&self) -> Steps {
        let mut sum = Steps::default();
        self.routes().iter().for_each(|(_, steps)| sum.add(steps));
        sum
    }

    /// Writes it as JSON, with a line end.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        let all = |series: Vec<(&Name, &Steps)>| {
            series.into_iter().map(|(name, steps)| Written::new(name.clone(), steps)).collect()
        };
        let whole = WrittenReport {
            url: &self.url,
            tool: &self.tool,
            date: &self.date,
            seconds: self.seconds,
            failures: self.failures,
            routes: all(self.routes()),
            upstreams: all(self.upstreams()),
            intervals: &self.intervals,
        };
        serde_json::to_writer_pretty(&mut *out, &whole)?;
        out.write_all(b"\n")
    }
}

#[derive(Serialize)]
struct WrittenReport<'a> {
    url: &'a str,
    tool: &'a str,
    date: &'a str,
    seconds: Option<f64>,
    failures: u32,
    routes: Vec<Written>,
    upstreams: Vec<Written>,
    intervals: &'a [Interval],
}

#[derive(Serialize)]
struct Written {
    #[serde(flatten)]
    name: Name,
    /// Exact, unlike that of the histogram.
    exact_mean: f64,
    #[serde(flatten)]
    histogram: Packed,
}

impl Written {
    fn new(name: Name, steps: &Steps) -> Self {
        Self { name, exact_mean: steps.mean_us(), histogram: steps.histogram().pack() }
    }
}

/// The present date (RFC 3339).
#[must_use]
pub fn date() -> String {
    format!("{:.0}", Rfc3339(unix_time()))
}

/// Takes snapshots again and again, an interval apart, for some time or until it is stopped. A
/// snapshot that fails is left out: the next one includes its time.
///
/// # Errors
/// The first snapshot failed, or all others.
pub fn watch<E>(
    url: &str,
    (time, interval): (Duration, Duration),
    stopper: &Stopper,
    mut fetch: impl FnMut() -> Result<Snapshot, E>,
) -> Result<ServerLatency, E> {
    let began = now();
    let elapsed = || now().saturating_duration_since(began);
    let mut recorder = LatencyRecorder::new(fetch()?);
    let mut due = interval.min(time);
    let mut last_error = None;
    loop {
        while elapsed() < due && !stopper.is_stopped() {
            stopper.rest(due.saturating_sub(elapsed()).min(LOOK));
        }
        match fetch() {
            Ok(snapshot) => recorder.add(snapshot, elapsed()),
            Err(error) => {
                recorder.failures += 1;
                last_error = Some(error);
            }
        }
        if due >= time || elapsed() >= time || stopper.is_stopped() {
            return match last_error {
                Some(error) if recorder.intervals.is_empty() => Err(error),
                _ => Ok(recorder.finish(url, date())),
            };
        }
        // A slow server gets no second request before it has answered the first.
        while due <= elapsed() {
            due += interval;
        }
        due = due.min(time);
    }
}

/// Takes snapshots of a server for some time.
#[derive(Debug)]
pub struct LatencyRecorder {
    last: Snapshot,
    /// What came since the first snapshot.
    sum: BTreeMap<Name, Steps>,
    at: Duration,
    intervals: Vec<Interval>,
    /// Snapshots that failed.
    failures: u32,
}

impl LatencyRecorder {
    /// Begins with a first snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self {
            last: first,
            sum: BTreeMap::new(),
            at: Duration::ZERO,
            intervals: Vec::new(),
            failures: 0,
        }
    }

    /// Another snapshot, so long after the first one.
    pub fn add(&mut self, snapshot: Snapshot, at: Duration) {
        let mut came = Steps::default();
        for (name, steps) in snapshot.since(&self.last) {
            if matches!(name, Name::Route { .. }) {
                came.add(&steps);
            }
            self.sum.entry(name).or_default().add(&steps);
        }
        let (start, seconds) =
            (self.at.as_secs_f64(), at.saturating_sub(self.at).as_secs_f64().max(1e-3));
        let count = came.count();
        self.intervals.push(Interval {
            start,
            seconds,
            sent: count,
            completed: count,
            errors: 0,
            wanted_rate: None,
            bytes_received: 0,
            histogram: came.histogram().pack(),
            lateness_p99_us: None,
        });
        thin(&mut self.intervals, INTERVALS_MAX);
        (self.last, self.at) = (snapshot, at);
    }

    /// What came between the first snapshot and the last.
    #[must_use]
    pub fn finish(self, url: &str, date: String) -> ServerLatency {
        ServerLatency {
            url: url.to_owned(),
            tool: self.last.tool.clone(),
            date,
            seconds: Some(self.at.as_secs_f64()),
            series: self.sum,
            intervals: self.intervals,
            failures: self.failures,
        }
    }
}
