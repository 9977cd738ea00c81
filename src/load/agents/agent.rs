//! An agent: what a frame server answers for it, and the run that it carries out.
//!
//! It carries out one run at a time, for coordinators with its token. A run is stopped when its
//! coordinator sends no request for [`LEASE`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::Token;
use super::message::{
    ANSWER_MAX, Accepted, EndedLine, Line, PLAN_MAX, POLL, Poll, START, STOP, SliceLine, Start,
    Stop, UPLOAD, Upload,
};
use super::plan::{Plan, PlanHead};
use crate::load::LoadError;
use crate::load::environment::Environment;
use crate::load::generator::Report;
use crate::load::meter::CpuMeter;
use crate::load::options::LoadOptions;
use crate::load::recorder::OpenSlices;
use crate::load::setup::Control;
use crate::load::threads;
use crate::runtime::clock::now;
use crate::service::handler::{Handler, Kind, Refusal, Request};
use crate::session::HandlerFactory;

/// How long a coordinator may send no request before its run is stopped.
pub const LEASE: Duration = Duration::from_secs(10);
/// Bytes of reports that wait for the coordinator, at most.
const OUTBOX_MAX: usize = 64 << 20;
/// Intervals that wait for slices of other threads, at most.
const OPEN_MAX: usize = 4;
/// The least time between two notices of wrong tokens.
const WRONG_TOKENS_EVERY: Duration = Duration::from_secs(1);
/// How often the lease and the clock are checked.
const LOOK: Duration = Duration::from_millis(50);
/// The longest time between the order to start and the start.
const START_IN_MAX: Duration = Duration::from_secs(60);

/// A notice for the operator of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A run was accepted: what it loads, and with how many connections.
    Accepted {
        /// The first URL.
        url: String,
        /// Connections of all agents.
        connections: usize,
    },
    /// A run has ended, by itself or for a reason.
    Ended(Option<String>),
    /// Requests with a wrong token, since the last notice of them.
    WrongToken(u64),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { url, connections } => {
                write!(f, "a run was accepted: {url}, {connections} connections of all agents")
            }
            Self::Ended(None) => f.write_str("the run has ended"),
            Self::Ended(Some(reason)) => write!(f, "the run has ended: {reason}"),
            Self::WrongToken(1) => f.write_str("a request with a wrong token was refused"),
            Self::WrongToken(count) => {
                write!(f, "{count} requests with a wrong token were refused")
            }
        }
    }
}

type Tell = dyn Fn(Notice) + Send + Sync;

/// An agent. Clones are the same one: each worker of a server has one.
#[derive(Clone)]
pub struct Agent {
    token: Token,
    state: Arc<Mutex<State>>,
    tell: Arc<Tell>,
}

#[derive(Debug, Default)]
struct State {
    /// What has come of a plan.
    upload: Partial,
    /// The number of the newest run.
    number: u64,
    run: Option<Arc<Current>>,
    /// Requests with a wrong token since the last notice, and when that was.
    wrong_tokens: u64,
    told_tokens: Option<Instant>,
}

/// A plan of which parts have come.
#[derive(Debug, Default)]
struct Partial {
    /// Which upload it is.
    upload: u64,
    /// How many parts have come.
    parts: u32,
    bytes: Vec<u8>,
}

/// A run that goes on, or whose reports were not all taken.
#[derive(Debug)]
struct Current {
    number: u64,
    control: Arc<Control>,
    outbox: Mutex<Outbox>,
}

#[derive(Debug)]
struct Outbox {
    /// Lines that the coordinator has not fetched.
    bytes: VecDeque<u8>,
    /// No line is added any more.
    is_complete: bool,
    /// The coordinator will not ask for more.
    is_forgotten: bool,
    /// When the last request of the coordinator came.
    asked: Instant,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

impl Agent {
    /// An agent with a token; `tell` receives notices for its operator.
    pub fn new(token: Token, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self { token, state: Arc::default(), tell: Arc::new(tell) }
    }

    /// Makes the handlers of a server's workers: each is this agent.
    #[must_use]
    pub fn into_handlers(self) -> HandlerFactory {
        HandlerFactory::new(move |_worker| Box::new(self.clone()))
    }

    /// Decodes a request, and checks its token.
    fn read<T: DeserializeOwned>(
        &self,
        payload: &[u8],
        token: fn(&T) -> &str,
    ) -> Result<T, Refusal> {
        let request: T = serde_json::from_slice(payload)
            .map_err(|error| Refusal::BadPayload(format!("invalid request: {error}")))?;
        if self.token.is(token(&request)) {
            return Ok(request);
        }
        self.note_wrong_token();
        Err(Refusal::BadPayload("the token is not that of this agent".to_owned()))
    }

    /// Notifies the operator, at most once in [`WRONG_TOKENS_EVERY`].
    fn note_wrong_token(&self) {
        let mut state = lock(&self.state);
        let now = now();
        state.wrong_tokens += 1;
        let is_due = state
            .told_tokens
            .is_none_or(|told| now.saturating_duration_since(told) >= WRONG_TOKENS_EVERY);
        if is_due {
            state.told_tokens = Some(now);
            let count = std::mem::take(&mut state.wrong_tokens);
            drop(state);
            (self.tell)(Notice::WrongToken(count));
        }
    }

    fn upload(&self, request: Upload, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        if state.run.as_ref().is_some_and(|run| !run.is_over()) {
            let text = "it carries out another run: wait for its end, or use another agent";
            return Err(Refusal::Unavailable(text.to_owned()));
        }
        if request.number == 0 {
            state.upload = Partial { upload: request.upload, ..Partial::default() };
        }
        let upload = &mut state.upload;
        if (upload.upload, upload.parts) != (request.upload, request.number) {
            let text = "another coordinator has sent a load meanwhile: try again";
            return Err(Refusal::Unavailable(text.to_owned()));
        }
        if upload.bytes.len() + request.part.0.len() > PLAN_MAX {
            *upload = Partial::default();
            let text = format!("a load for agents has at most {} MiB", PLAN_MAX >> 20);
            return Err(Refusal::BadPayload(text));
        }
        upload.bytes.extend_from_slice(&request.part.0);
        upload.parts += 1;
        if !request.is_last {
            return Ok(());
        }
        let bytes = std::mem::take(upload).bytes;
        let unread = |error| Refusal::BadPayload(format!("the load cannot be read: {error}"));
        let head: PlanHead = serde_json::from_slice(&bytes).map_err(unread)?;
        head.check().map_err(|error| Refusal::BadPayload(error.to_string()))?;
        let plan: Plan = serde_json::from_slice(&bytes).map_err(unread)?;
        let (first, own) = (plan.first, plan.own);
        let options = plan.options().map_err(|error| Refusal::BadPayload(error.to_string()))?;
        let current = Arc::new(Current {
            number: state.number + 1,
            control: Arc::default(),
            outbox: Mutex::new(Outbox {
                bytes: VecDeque::new(),
                is_complete: false,
                is_forgotten: false,
                asked: now(),
            }),
        });
        self.begin(&current, options, first..first + own)?;
        state.number += 1;
        write(&Accepted { run: state.number }, answer);
        state.run = Some(current);
        Ok(())
    }

    fn begin(
        &self,
        run: &Arc<Current>,
        options: LoadOptions,
        places: std::ops::Range<usize>,
    ) -> Result<(), Refusal> {
        let url = options.targets.first().map(|(url, _)| url.to_string()).unwrap_or_default();
        (self.tell)(Notice::Accepted { url, connections: options.connections });
        let (run, tell) = (Arc::clone(run), Arc::clone(&self.tell));
        let thread = std::thread::Builder::new().name("load-agent".to_owned());
        let spawned = thread.spawn(move || {
            let (line, reason) = match run.carry_out(&options, places) {
                Ok(cpu_seconds) => (Line::Done { cpu_seconds }, None),
                Err(error) => {
                    let reason = error.to_string();
                    (Line::Failed { reason: reason.clone() }, Some(reason))
                }
            };
            // With the last line the run is complete: the next one may begin at once.
            let mut outbox = lock(&run.outbox);
            write_line(&line, &mut outbox.bytes);
            outbox.is_complete = true;
            drop(outbox);
            tell(Notice::Ended(reason));
        });
        spawned
            .map(drop)
            .map_err(|error| Refusal::Internal(format!("cannot start a thread: {error}")))
    }

    /// The run of that number.
    fn current(&self, number: u64) -> Result<Arc<Current>, Refusal> {
        let run = lock(&self.state).run.clone().filter(|run| run.number == number);
        let run = run.ok_or_else(|| {
            Refusal::BadPayload(
                "this agent has no such run: it was stopped or restarted".to_owned(),
            )
        })?;
        lock(&run.outbox).asked = now();
        Ok(run)
    }
}

impl Handler for Agent {
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        let payload = request.payload;
        match request.kind {
            Kind::Command(UPLOAD) => {
                let upload: Upload = self.read(payload, |one: &Upload| &one.token)?;
                self.upload(upload, answer)
            }
            Kind::Command(POLL) => {
                let poll: Poll = self.read(payload, |one: &Poll| &one.token)?;
                let run = self.current(poll.run)?;
                let mut outbox = lock(&run.outbox);
                let length = outbox.bytes.len().min(ANSWER_MAX);
                answer.extend(outbox.bytes.drain(..length));
                Ok(())
            }
            Kind::Command(START) => {
                let start: Start = self.read(payload, |one: &Start| &one.token)?;
                let wait = Duration::from_micros(start.in_us);
                if wait > START_IN_MAX {
                    return Err(Refusal::BadPayload(format!(
                        "the start is more than {} s away",
                        START_IN_MAX.as_secs()
                    )));
                }
                self.current(start.run)?.control.start_at(now() + wait);
                Ok(())
            }
            Kind::Command(STOP) => {
                let stop: Stop = self.read(payload, |one: &Stop| &one.token)?;
                let run = self.current(stop.run)?;
                run.control.stop();
                lock(&run.outbox).is_forgotten |= stop.forget;
                Ok(())
            }
            Kind::Command(_) | Kind::Message(_) => Err(Refusal::Unknown),
        }
    }
}

impl Current {
    /// Whether another run may begin: it has ended, and its reports were fetched, or given up.
    fn is_over(&self) -> bool {
        let outbox = lock(&self.outbox);
        let is_taken = outbox.bytes.is_empty() || outbox.is_forgotten;
        outbox.is_complete && (is_taken || is_left(&outbox))
    }

    fn report(&self, line: &Line) {
        write_line(line, &mut lock(&self.outbox).bytes);
    }

    /// Runs the threads of some places to their end; the CPU seconds of the measurement.
    fn carry_out(
        &self,
        options: &LoadOptions,
        places: std::ops::Range<usize>,
    ) -> Result<f64, LoadError> {
        let (setup, protocol) = options.setup()?;
        let environment = Environment::here("io_uring");
        self.report(&Line::Prepared { protocol: protocol.to_owned(), environment });
        if let Some(reason) = self.reason_to_stop() {
            return Err(LoadError::Thread(reason));
        }
        let setup = Arc::new(setup);
        let own = places.len();
        let (sender, reports) = channel();
        let threads = threads::start(&setup, places, &self.control, &sender)?;
        drop(sender);
        let mut meter = CpuMeter::new();
        let reason = self.pass_on(&reports, own, options, &mut meter);
        threads::join(threads)?;
        meter.end();
        match reason {
            Some(reason) => Err(LoadError::Thread(reason)),
            None => Ok(meter.seconds()),
        }
    }

    /// Passes reports on until all threads have ended; why they were stopped, if they were.
    fn pass_on(
        &self,
        reports: &Receiver<Report>,
        own: usize,
        options: &LoadOptions,
        meter: &mut CpuMeter,
    ) -> Option<String> {
        let mut reason = None;
        let mut slices = OpenSlices::default();
        loop {
            match reports.recv_timeout(LOOK) {
                Ok(Report::Ready) => self.report(&Line::Ready),
                Ok(Report::Slice(slice)) => {
                    slices.add(*slice);
                    while let Some(slice) = slices.take(own, OPEN_MAX) {
                        self.report(&Line::Slice(Box::new(SliceLine::of(&slice))));
                    }
                }
                Ok(Report::Ended(ended)) => self.report(&Line::Ended(EndedLine::of(&ended))),
                // An agent has no agents of its own.
                Ok(Report::Agent(_) | Report::Lost(_)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    while let Some(slice) = slices.take(own, 0) {
                        self.report(&Line::Slice(Box::new(SliceLine::of(&slice))));
                    }
                    return reason;
                }
            }
            if let Some(start) = self.control.start() {
                let (from, now) = (start + options.warm_up, now());
                if now >= from {
                    meter.begin();
                }
                if options.duration.is_some_and(|time| now >= from + time) {
                    meter.end();
                }
            }
            reason = reason.or_else(|| self.reason_to_stop());
            if reason.is_some() {
                self.control.stop();
            }
        }
    }

    fn reason_to_stop(&self) -> Option<String> {
        let outbox = lock(&self.outbox);
        if is_left(&outbox) {
            let seconds = LEASE.as_secs();
            return Some(format!("no request from the coordinator for {seconds} s"));
        }
        let is_full = outbox.bytes.len() > OUTBOX_MAX;
        is_full.then(|| "the coordinator fetches reports too slowly".to_owned())
    }
}

/// Whether the lease has expired.
fn is_left(outbox: &Outbox) -> bool {
    now().saturating_duration_since(outbox.asked) > LEASE
}

fn write_line(line: &Line, out: &mut VecDeque<u8>) {
    serde_json::to_writer(&mut *out, line).expect("memory takes it, and keys are texts");
    out.push_back(b'\n');
}

fn write(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("memory takes it, and keys are texts");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The state stays consistent even if another thread panicked.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
