//! A run: its threads, the time that all of them begin at, and the sum of what they measure.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::LoadError;
use super::agents::remote;
use super::environment::Environment;
use super::generator::{Ended, Report};
use super::histogram::LatencyHistogram;
use super::meter::CpuMeter;
use super::options::LoadOptions;
use super::recorder::{OpenSlices, Slice, Tally};
use super::result::{
    AgentResult, Counts, ErrorKind, Interval, Latencies, Load, Mode, Ramp, RunResult, Target,
    VERSION, thin,
};
use super::schedule::Arrivals;
use super::setup::Control;
use super::slo::{Check, Purpose, Unit};
use super::threads;
use crate::runtime::clock::{now, unix_time};
use crate::service::date::Rfc3339;

/// Intervals that a result has, at most: beyond it, neighbours become one.
const INTERVALS_MAX: usize = 1800;
/// How long threads have between the time at which all are ready and the first request.
const START_AFTER: Duration = Duration::from_millis(20);
/// The longest wait for a report of a thread, so that a stop is noticed.
const LOOK: Duration = Duration::from_millis(100);
/// Intervals that wait for slices of other threads, at most: then the oldest has what it has.
const OPEN_MAX: usize = 64;
/// Steps of the correction of one value, at most.
const CORRECTION_MAX: f64 = 1e7;

/// Stops a run from elsewhere: what was measured up to then is its result.
#[derive(Debug, Clone, Default)]
pub struct Stopper(Arc<Control>);

impl Stopper {
    /// Stops it.
    pub fn stop(&self) {
        self.0.stop();
    }

    /// Rests for so long, or until it is stopped; a little longer if that is at the same time.
    pub fn rest(&self, time: Duration) {
        self.0.rest(time);
    }

    /// Whether it was stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }
}

/// What is told while a run goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// Connections are made.
    Connecting,
    /// It is not measured yet; since so many seconds.
    WarmingUp(f64),
    /// It is measured, since so many seconds; the last interval is a new one.
    Measured {
        /// When the measurement began.
        from: Instant,
        /// Seconds since then.
        elapsed: f64,
        /// What was measured so far.
        intervals: &'a [Interval],
        /// Failures so far.
        errors: u64,
    },
    /// No more is sent, and answers are waited for.
    Draining,
}

/// Runs a load; `watch` is told how it goes.
///
/// # Errors
/// What is wrong with the options, or that no loop can be made here.
pub fn run(
    options: &LoadOptions,
    command: &[String],
    stopper: &Stopper,
    mut watch: impl FnMut(&Progress<'_>),
) -> Result<RunResult, LoadError> {
    let (sender, reports) = channel();
    let control = &stopper.0;
    // A stopper may be that of several runs, one after the other.
    control.begin();
    let started = match &options.agents {
        None => {
            let (setup, protocol) = options.setup()?;
            let setup = Arc::new(setup);
            let threads = threads::start(&setup, 0..setup.threads, control, &sender)?;
            Started { threads, protocol: protocol.to_owned(), lead: START_AFTER }
        }
        Some(agents) => remote::start(options, agents, control, &sender)?,
    };
    drop(sender);
    let mut run = Run::new(Course::of(options), started.lead);
    run.collect(&reports, stopper, &mut watch);
    threads::join(started.threads)?;
    if let Some(error) = run.error.take() {
        return Err(error);
    }
    Ok(run.result(options, &started.protocol, command))
}

/// A load that was started, on this machine or on agents.
pub(super) struct Started {
    /// The threads that report.
    pub(super) threads: Vec<JoinHandle<()>>,
    /// The protocol, as results name it.
    pub(super) protocol: String,
    /// How long before the first request all threads get its time.
    pub(super) lead: Duration,
}

/// The times of a run, and how many report.
#[derive(Debug, Clone, Copy)]
struct Course {
    threads: usize,
    warm_up: Duration,
    duration: Option<Duration>,
    slice: Duration,
    arrivals: Option<Arrivals>,
}

impl Course {
    fn of(options: &LoadOptions) -> Self {
        Self {
            threads: options.all_threads(),
            warm_up: options.warm_up,
            duration: options.duration,
            slice: options.interval,
            arrivals: options.arrivals,
        }
    }
}

/// What was collected of a run.
struct Run {
    course: Course,
    lead: Duration,
    whole: Slice,
    /// Slices of which other threads have to give theirs, and how many have.
    open: OpenSlices,
    intervals: Vec<Interval>,
    /// The number of the first slice that has not become an interval.
    next: u64,
    /// Threads that are ready.
    ready: usize,
    ended: Vec<Ended>,
    error: Option<LoadError>,
    /// What agents said of themselves.
    agents: Vec<AgentResult>,
    /// Agents that were lost, and why.
    lost: Vec<LoadError>,
    start: Option<Instant>,
    /// When the measurement began, since 1970-01-01 UTC.
    began: Duration,
    meter: CpuMeter,
    finished: Option<Instant>,
}

impl Run {
    fn new(course: Course, lead: Duration) -> Self {
        Self {
            course,
            lead,
            whole: Slice::new(0),
            open: OpenSlices::default(),
            intervals: Vec::new(),
            next: 0,
            ready: 0,
            ended: Vec::new(),
            error: None,
            agents: Vec::new(),
            lost: Vec::new(),
            start: None,
            began: unix_time(),
            meter: CpuMeter::new(),
            finished: None,
        }
    }

    fn collect(
        &mut self,
        reports: &Receiver<Report>,
        stopper: &Stopper,
        watch: &mut impl FnMut(&Progress<'_>),
    ) {
        watch(&Progress::Connecting);
        loop {
            let before = self.intervals.len();
            match reports.recv_timeout(LOOK) {
                Ok(Report::Ready) => {
                    self.ready += 1;
                    if self.ready == self.course.threads {
                        let start = now() + self.lead;
                        stopper.0.start_at(start);
                        self.start = Some(start);
                    }
                }
                Ok(Report::Slice(slice)) => self.add(*slice),
                Ok(Report::Ended(mut ended)) => {
                    let error = ended.error.take().map(LoadError::Ring);
                    self.error = self.error.take().or(error);
                    self.ended.push(ended);
                    // Nothing more comes of this thread for any slice.
                    self.settle();
                }
                Ok(Report::Agent(agent)) => self.agents.push(*agent),
                Ok(Report::Lost(error)) => {
                    // A run that lost an agent did not send the whole load.
                    stopper.stop();
                    self.lost.push(error);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.note_time();
            self.tell(before, watch);
        }
        self.ended.resize_with(self.course.threads.max(self.ended.len()), Ended::default);
        self.settle();
        self.finished.get_or_insert_with(now);
        self.meter.end();
    }

    /// Looks at the clock for what is measured beside requests.
    fn note_time(&mut self) {
        let Some(start) = self.start else { return };
        let (from, now) = (start + self.course.warm_up, now());
        if now >= from && self.meter.begin() {
            self.began = unix_time();
        }
        let is_over = self.course.duration.is_some_and(|time| now >= from + time);
        let has_ended = self.ended.len() >= self.course.threads;
        if (is_over || has_ended) && self.meter.end() {
            self.finished = Some(now);
        }
    }

    fn tell(&self, before: usize, watch: &mut impl FnMut(&Progress<'_>)) {
        let Some(start) = self.start else { return watch(&Progress::Connecting) };
        let now = now();
        let from = start + self.course.warm_up;
        if now < start {
            return watch(&Progress::Connecting);
        }
        if now < from {
            return watch(&Progress::WarmingUp(now.saturating_duration_since(start).as_secs_f64()));
        }
        if self.finished.is_some() {
            return watch(&Progress::Draining);
        }
        if self.intervals.len() != before {
            watch(&Progress::Measured {
                from,
                elapsed: now.saturating_duration_since(from).as_secs_f64(),
                intervals: &self.intervals,
                errors: self.whole.tally.errors,
            });
        }
    }

    /// Adds a slice, of one thread or of several.
    fn add(&mut self, mut slice: Slice) {
        // What comes too late for its interval belongs to the next one.
        slice.number = slice.number.max(self.next);
        self.open.add(slice);
        self.settle();
    }

    /// Slices that are complete become intervals.
    fn settle(&mut self) {
        let missing = self.course.threads.saturating_sub(self.ended.len());
        // Once all threads have ended, no slice waits for others.
        let threads = if missing == 0 { 0 } else { self.course.threads };
        while let Some(slice) = self.open.take(threads, OPEN_MAX) {
            self.next = slice.number + 1;
            self.whole.add(&slice);
            self.intervals.push(self.interval(slice.number, &slice));
            thin(&mut self.intervals, INTERVALS_MAX);
        }
    }

    fn interval(&self, number: u64, slice: &Slice) -> Interval {
        let length = self.course.slice.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "there are few intervals")]
        let start = number as f64 * length;
        let whole = self.course.duration.map(|time| time.as_secs_f64());
        let seconds = match whole {
            // What comes behind the end belongs to the last interval.
            Some(whole) => length.min((whole - start).max(0.0)),
            None => length,
        };
        let middle = self.course.warm_up + Duration::from_secs_f64(start + seconds / 2.0);
        Interval {
            start,
            seconds: if seconds > 0.0 { seconds } else { length },
            sent: slice.tally.sent,
            completed: slice.tally.completed,
            errors: slice.tally.errors,
            wanted_rate: self.course.arrivals.map(|arrivals| arrivals.rate_at(middle)),
            bytes_received: slice.tally.bytes_received,
            histogram: slice.total.pack(),
            lateness_p99_us: (slice.lateness.count() > 0).then(|| slice.lateness.quantile_us(0.99)),
        }
    }

    /// Seconds that were measured.
    fn seconds(&self) -> f64 {
        let Some(from) = self.start.map(|start| start + self.course.warm_up) else { return 0.0 };
        let ran = self.finished.map_or(Duration::ZERO, |end| end.saturating_duration_since(from));
        let whole = self.course.duration.unwrap_or(ran);
        whole.min(ran).as_secs_f64()
    }

    fn result(mut self, options: &LoadOptions, protocol: &str, command: &[String]) -> RunResult {
        let seconds = self.seconds();
        if self.course.duration.is_none()
            && let Some(last) = self.intervals.last_mut()
        {
            // The last one is cut, or has what came behind it.
            last.seconds = (seconds - last.start).max(1e-3);
        }
        let Tally { sent, completed, bytes_sent, bytes_received, connects, .. } = self.whole.tally;
        let late = self.ended.iter().map(|ended| ended.unsent).sum::<u64>();
        let unfinished = self.ended.iter().map(|ended| ended.unfinished).sum();
        let corrected = options.arrivals.is_none().then(|| self.corrected(options)).flatten();
        let errors = self.errors();
        // Where there are agents, they are the generator.
        let generator_cpu = match options.agents {
            None => self.meter.seconds(),
            Some(_) => self.agents.iter().map(|agent| agent.cpu_seconds).sum(),
        };
        let mut notes: Vec<String> = self.lost.iter().map(ToString::to_string).collect();
        if completed == 0 {
            notes.push("Nothing was answered as it should be.".to_owned());
        }
        let statuses = self.whole.statuses.iter();
        RunResult {
            version: VERSION,
            tool: concat!("ringway ", env!("CARGO_PKG_VERSION")).to_owned(),
            command: command.to_vec(),
            began: Rfc3339(self.began).to_string(),
            environment: Environment::here("io_uring"),
            targets: options
                .targets
                .iter()
                .map(|(url, weight)| Target { url: url.to_string(), weight: f64::from(*weight) })
                .collect(),
            protocol: protocol.to_owned(),
            load: load_of(options),
            warm_up: options.warm_up.as_secs_f64(),
            seconds,
            counts: Counts {
                due: sent + late,
                sent,
                completed,
                bytes_sent,
                bytes_received,
                connects,
                unfinished,
                late,
            },
            errors,
            statuses: statuses.map(|(status, count)| (status.to_string(), *count)).collect(),
            latency: Latencies {
                total: self.whole.total.pack(),
                corrected: corrected.map(|one| one.pack()),
                connect: self.whole.connect.pack(),
                tls: self.whole.tls.pack(),
                first_byte: self.whole.first_byte.pack(),
                lateness: self.whole.lateness.pack(),
            },
            generator_cpu,
            agents: std::mem::take(&mut self.agents),
            server: None,
            knee: None,
            search: None,
            verdict: self.kept_rate(options).into_iter().collect(),
            notes,
            intervals: self.intervals,
        }
    }

    /// Failures by kind, agents that were lost among them.
    fn errors(&self) -> Vec<ErrorKind> {
        let errors = self.whole.failures.iter().map(|(failure, failures)| ErrorKind {
            kind: failure.name().to_owned(),
            count: failures.count,
            example: failures.example.clone(),
        });
        errors.chain(self.lost.iter().map(ErrorKind::of_agent)).collect()
    }

    /// Of a number of requests at a rate: whether they were begun in the time that they had.
    fn kept_rate(&self, options: &LoadOptions) -> Option<Check> {
        let counted = options.arrivals.is_some() && options.count.is_some();
        let last = self.ended.iter().map(|ended| ended.last_wait).max().filter(|_| counted)?;
        let (waited, planned) = (last.0.as_secs_f64(), last.1.as_secs_f64());
        let share = if planned > 0.0 { planned / (planned + waited) * 100.0 } else { 100.0 };
        Some(Check {
            expression: "requests begun in time>=99%".to_owned(),
            purpose: Purpose::Slo,
            value: Some(share),
            unit: Unit::Percent,
            // A few milliseconds are no matter of the rate.
            holds: share >= 99.0 || waited < 0.01,
        })
    }

    /// Of a closed loop: as if each of its requests had been due at the pace that the loop had in
    /// the mean, whatever it waited for.
    fn corrected(&self, options: &LoadOptions) -> Option<LatencyHistogram> {
        let count = NonZero::new(self.whole.total.count())?;
        let at_once = options.connections * options.streams;
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let each = self.seconds() * at_once as f64 / count.get() as f64;
        let is_valid = each.is_finite() && each > 0.0;
        // The correction has a step for each request that was not sent.
        let steps = self.whole.total.summary().max / 1e6 / each.max(1e-12);
        let is_bounded = is_valid && steps < CORRECTION_MAX;
        is_bounded.then(|| self.whole.total.corrected(Duration::from_secs_f64(each)))
    }
}

fn load_of(options: &LoadOptions) -> Load {
    let (mode, rate, ramp) = match options.arrivals {
        None => (Mode::Closed, None, None),
        Some(Arrivals::Constant { rate }) => (Mode::Constant, Some(rate), None),
        Some(Arrivals::Poisson { rate }) => (Mode::Poisson, Some(rate), None),
        Some(Arrivals::Ramp { from, to, over }) => {
            (Mode::Ramp, None, Some(Ramp { from, to, seconds: over.as_secs_f64() }))
        }
    };
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Load {
        mode,
        rate,
        ramp,
        connections: number(options.connections),
        streams: number(options.streams),
        threads: number(options.all_threads()),
        think_time: (!options.think.is_zero()).then_some(options.think.as_secs_f64()),
        keepalive: options.keepalive,
    }
}
