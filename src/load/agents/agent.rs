//! An agent: what a frame server answers for it, and the run that it carries out.
//!
//! It carries out one run at a time, for who knows its token. A run ends when its coordinator asks
//! for nothing for [`LEASE`]: a load that nobody watches does not go on.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::Token;
use super::message::{
    ANSWER_MAX, Accepted, EndedLine, Line, PLAN_MAX, POLL, Poll, START, STOP, SliceLine, Start,
    UPLOAD, Upload,
};
use super::plan::Plan;
use crate::load::LoadError;
use crate::load::environment::Environment;
use crate::load::generator::Report;
use crate::load::meter::Meter;
use crate::load::options::LoadOptions;
use crate::load::setup::Control;
use crate::load::threads;
use crate::runtime::clock::now;
use crate::service::handler::{Handler, Kind, Refusal, Request};
use crate::session::HandlerFactory;

/// How long a coordinator may ask for nothing before its run is stopped.
pub const LEASE: Duration = Duration::from_secs(10);
/// Bytes of reports that wait for the coordinator, at most.
const OUTBOX_MAX: usize = 64 << 20;
/// How often the lease and the time are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// The longest time between the order to start and the start.
const START_IN_MAX: Duration = Duration::from_secs(60);

/// Something that the operator of an agent is told.
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
    /// A request had a wrong token.
    WrongToken,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accepted { url, connections } => {
                write!(f, "a run was accepted: {url}, {connections} connections of all agents")
            }
            Self::Ended(None) => f.write_str("the run has ended"),
            Self::Ended(Some(reason)) => write!(f, "the run has ended: {reason}"),
            Self::WrongToken => f.write_str("a request with a wrong token was refused"),
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
    /// The number of the plan that comes, and what has come of it.
    upload: (u64, Vec<u8>),
    /// The number of the newest run.
    number: u64,
    run: Option<Arc<Current>>,
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
    /// Lines that wait to be asked for.
    bytes: Vec<u8>,
    /// No line is added any more.
    is_complete: bool,
    /// When the coordinator asked for something last.
    asked: Instant,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").finish_non_exhaustive()
    }
}

impl Agent {
    /// An agent that works for who knows the token; `tell` gets what its operator is to know.
    pub fn new(token: Token, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        Self { token, state: Arc::default(), tell: Arc::new(tell) }
    }

    /// Makes the handlers of a server's workers: each is this agent.
    #[must_use]
    pub fn into_handlers(self) -> HandlerFactory {
        HandlerFactory::new(move |_worker| Box::new(self.clone()))
    }

    /// What a request says, if it has the token.
    fn read<T: DeserializeOwned>(
        &self,
        payload: &[u8],
        token: fn(&T) -> &str,
    ) -> Result<T, Refusal> {
        let request: T = serde_json::from_slice(payload)
            .map_err(|error| Refusal::BadPayload(format!("it is not JSON of ours: {error}")))?;
        if self.token.is(token(&request)) {
            return Ok(request);
        }
        (self.tell)(Notice::WrongToken);
        Err(Refusal::BadPayload("the token is not that of this agent".to_owned()))
    }

    fn upload(&self, request: Upload, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        if state.run.as_ref().is_some_and(|run| !run.is_over()) {
            let text = "it carries out another run: wait for its end, or use another agent";
            return Err(Refusal::Unavailable(text.to_owned()));
        }
        if state.upload.0 != request.upload {
            state.upload = (request.upload, Vec::new());
        }
        let bytes = &mut state.upload.1;
        if bytes.len() + request.part.0.len() > PLAN_MAX {
            bytes.clear();
            let text = format!("a load for agents has at most {} MiB", PLAN_MAX >> 20);
            return Err(Refusal::BadPayload(text));
        }
        bytes.extend_from_slice(&request.part.0);
        if !request.is_last {
            return Ok(());
        }
        let bytes = std::mem::take(bytes);
        let plan: Plan = serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::BadPayload(format!("the load cannot be read: {error}")))?;
        let (first, own) = (plan.first, plan.own);
        let options = plan.options().map_err(|error| Refusal::BadPayload(error.to_string()))?;
        let current = Arc::new(Current {
            number: state.number + 1,
            control: Arc::default(),
            outbox: Mutex::new(Outbox { bytes: Vec::new(), is_complete: false, asked: now() }),
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
            let reason = run.carry_out(&options, places).err().map(|error| error.to_string());
            if let Some(reason) = reason.clone() {
                run.report(&Line::Failed { reason });
            }
            lock(&run.outbox).is_complete = true;
            tell(Notice::Ended(reason));
        });
        spawned.map(drop).map_err(|error| Refusal::Internal(format!("no thread: {error}")))
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
                    return Err(Refusal::BadPayload("the start is too far away".to_owned()));
                }
                self.current(start.run)?.control.start_at(now() + wait);
                Ok(())
            }
            Kind::Command(STOP) => {
                let stop: Poll = self.read(payload, |one: &Poll| &one.token)?;
                self.current(stop.run)?.control.stop();
                Ok(())
            }
            Kind::Command(_) | Kind::Message(_) => Err(Refusal::Unknown),
        }
    }
}

impl Current {
    /// Whether another run may begin: all was reported and taken, or nobody takes it.
    fn is_over(&self) -> bool {
        let outbox = lock(&self.outbox);
        outbox.is_complete && (outbox.bytes.is_empty() || self.is_left(&outbox))
    }

    fn is_left(&self, outbox: &Outbox) -> bool {
        now().saturating_duration_since(outbox.asked) > LEASE
    }

    fn report(&self, line: &Line) {
        let mut outbox = lock(&self.outbox);
        write(line, &mut outbox.bytes);
        outbox.bytes.push(b'\n');
    }

    /// Runs the threads of some places to their end.
    fn carry_out(
        &self,
        options: &LoadOptions,
        places: std::ops::Range<usize>,
    ) -> Result<(), LoadError> {
        let (setup, protocol) = options.setup()?;
        let environment = Environment::here("io_uring");
        self.report(&Line::Prepared { protocol: protocol.to_owned(), environment });
        let setup = Arc::new(setup);
        let (sender, reports) = channel();
        let threads = threads::start(&setup, places, &self.control, &sender)?;
        drop(sender);
        let mut meter = Meter::default();
        let reason = self.pass_on(&reports, options, &mut meter);
        threads::join(threads)?;
        meter.end();
        match reason {
            Some(reason) => Err(LoadError::Thread(reason.to_owned())),
            None => {
                self.report(&Line::Done { cpu_seconds: meter.seconds() });
                Ok(())
            }
        }
    }

    /// Passes reports on until all threads have ended; why they were stopped, if they were.
    fn pass_on(
        &self,
        reports: &Receiver<Report>,
        options: &LoadOptions,
        meter: &mut Meter,
    ) -> Option<&'static str> {
        let mut reason = None;
        loop {
            match reports.recv_timeout(LOOK) {
                Ok(Report::Ready) => self.report(&Line::Ready),
                Ok(Report::Slice(slice)) => {
                    self.report(&Line::Slice(Box::new(SliceLine::of(&slice))));
                }
                Ok(Report::Ended(ended)) => self.report(&Line::Ended(EndedLine::of(&ended))),
                // Agents have no agents.
                Ok(Report::Agent(_) | Report::Lost(_)) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return reason,
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

    fn reason_to_stop(&self) -> Option<&'static str> {
        let outbox = lock(&self.outbox);
        if self.is_left(&outbox) {
            return Some("its coordinator asked for nothing for 10 s");
        }
        let is_full = outbox.bytes.len() > OUTBOX_MAX;
        is_full.then_some("its coordinator takes reports more slowly than they come")
    }
}

fn write(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("memory takes it, and keys are texts");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of another thread leaves nothing half done that matters here.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
