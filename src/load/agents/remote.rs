//! An agent as the coordinator sees it: a thread that asks for its reports and passes them on, as
//! if they were those of threads of this machine.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::message::{
    Accepted, LINE_MAX, Line, PART_MAX, PLAN_MAX, POLL, Poll, START, STOP, SliceLine, Start, Stop,
    UPLOAD, Upload,
};
use super::plan::Plan;
use super::{AGENTS_MAX, Agents};
use crate::client::tls_plan::Blob;
use crate::client::{ClientError, ConnectOptions, Frame, FrameOptions, Target};
use crate::load::LoadError;
use crate::load::environment::Environment;
use crate::load::generator::{Ended, Report};
use crate::load::options::LoadOptions;
use crate::load::result::AgentResult;
use crate::load::run::Started;
use crate::load::setup::Control;
use crate::load::threads;
use crate::proto::frame::Command;
use crate::runtime::clock::now;

/// How long before the first request agents get its time: longer than a round trip.
const START_AFTER: Duration = Duration::from_millis(500);
/// How long an agent may take for an answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// How often an agent is asked for reports, before and after the start.
const POLL_EVERY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// How long the end of a run may take after its last answer.
const END_TIME: Duration = Duration::from_secs(10);
/// Slices beyond those of the time that has gone by.
const SLICES_SPARE: u64 = 64;
/// Round trips of which the shortest tells how far away an agent is.
const PINGS: usize = 8;

/// Sends each agent its part of a load, and waits until all of them can begin.
///
/// # Errors
/// An agent cannot be reached, or refuses its part.
pub(in crate::load) fn start(
    options: &LoadOptions,
    agents: &Agents,
    control: &Arc<Control>,
    reports: &Sender<Report>,
) -> Result<Started, LoadError> {
    if agents.targets.is_empty() || agents.targets.len() > AGENTS_MAX {
        return Err(LoadError::Options(format!("a run has 1 to {AGENTS_MAX} agents")));
    }
    let mut threads = Vec::new();
    let (told, prepared) = channel();
    for (number, target) in agents.targets.iter().enumerate() {
        let (target, told, reports) = (target.clone(), told.clone(), reports.clone());
        let (options, agents, control) = (options.clone(), agents.clone(), Arc::clone(control));
        let thread = std::thread::Builder::new().name("load-coordinator".to_owned());
        // A connection belongs to the thread that made it.
        let thread = thread.spawn(move || {
            match Remote::prepare(&target, number, (&options, &agents), &control) {
                Ok(remote) => {
                    let _told = told.send(Ok(remote.protocol.clone()));
                    drop(told);
                    remote.run(&reports);
                }
                Err(fault) => {
                    let _told = told.send(Err(fault.of(&target)));
                }
            }
        });
        threads.push(thread.map_err(|error| LoadError::Thread(error.to_string())));
    }
    drop(told);
    let all: Result<Vec<String>, LoadError> = prepared.iter().collect();
    let threads = threads.into_iter().collect::<Result<Vec<_>, _>>();
    match (all, threads) {
        (Ok(protocols), Ok(threads)) => {
            let protocol = protocols.into_iter().next().unwrap_or_default();
            Ok(Started { threads, protocol, lead: START_AFTER })
        }
        (Err(error), Ok(threads)) => {
            control.stop();
            threads::join(threads)?;
            Err(error)
        }
        (_, Err(error)) => {
            control.stop();
            Err(error)
        }
    }
}

/// Why an agent is of no more use.
enum Fault {
    Client(ClientError),
    Reason(String),
}

impl Fault {
    fn of(self, target: &Target) -> LoadError {
        let reason = match self {
            Self::Client(error) => error.to_string(),
            Self::Reason(reason) => reason,
        };
        LoadError::Agent { agent: target.to_string(), reason }
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

fn broken() -> Fault {
    Fault::Reason("unexpected response: run the same version of ringway on both".to_owned())
}

struct Remote {
    target: Target,
    frame: Frame,
    token: String,
    run: u64,
    control: Arc<Control>,
    /// The shortest round trip.
    round_trip: Duration,
    /// Received bytes of lines, and how many of them were parsed.
    text: Vec<u8>,
    read: usize,
    protocol: String,
    environment: Environment,
    /// Threads that have not ended.
    threads: usize,
    threads_max: usize,
    /// Threads that are not ready.
    ready: usize,
    /// Slices that came.
    slices: u64,
    /// How long an answer may take, and the time of an interval.
    timeout: Duration,
    interval: Duration,
    has_started: bool,
    /// When the agent was told to stop.
    stopped: Option<Instant>,
}

impl Remote {
    fn prepare(
        target: &Target,
        number: usize,
        (options, agents): (&LoadOptions, &Agents),
        control: &Arc<Control>,
    ) -> Result<Self, Fault> {
        let tls = agents.tls.as_ref().map(|tls| tls.of_target(target)).transpose()?;
        let connect = ConnectOptions { deadline: ANSWER_TIME, tls, ..ConnectOptions::default() };
        let frame = FrameOptions { connect, ..FrameOptions::default() };
        let mut frame = Frame::connect(target, &frame)?;
        let mut round_trip = ANSWER_TIME;
        for _ in 0..PINGS {
            round_trip = round_trip.min(frame.ping(ANSWER_TIME)?);
        }
        let mut remote = Self {
            target: target.clone(),
            frame,
            token: agents.token.text().to_owned(),
            run: 0,
            control: Arc::clone(control),
            round_trip,
            text: Vec::new(),
            read: 0,
            protocol: String::new(),
            environment: Environment::default(),
            threads: options.threads,
            threads_max: options.threads,
            ready: options.threads,
            slices: 0,
            timeout: options.timeout,
            interval: options.interval,
            has_started: false,
            stopped: None,
        };
        remote.upload(&Plan::of(options, number, agents.load_tls.as_ref()))?;
        let until = now() + options.connect_timeout * 2 + ANSWER_TIME;
        match remote.await_prepared(until) {
            Ok(()) => Ok(remote),
            Err(fault) => {
                remote.forget();
                Err(fault)
            }
        }
    }

    fn call(&mut self, command: u8, request: &impl serde::Serialize) -> Result<Vec<u8>, Fault> {
        let payload = serde_json::to_vec(request).map_err(|error| Fault::Reason(error.to_string()));
        Ok(self.frame.call(Command(command), &payload?, ANSWER_TIME)?)
    }

    fn upload(&mut self, plan: &Plan) -> Result<(), Fault> {
        let bytes = serde_json::to_vec(plan).map_err(|error| Fault::Reason(error.to_string()))?;
        if bytes.len() > PLAN_MAX {
            let text = format!("a load for agents has at most {} MiB as JSON", PLAN_MAX >> 20);
            return Err(Fault::Reason(text));
        }
        let upload = u64::from(std::process::id()) << 32 | u64::from(now_bits());
        let parts = bytes.chunks(PART_MAX);
        let last = parts.len().saturating_sub(1);
        let mut answer = Vec::new();
        for (number, part) in parts.enumerate() {
            let (token, part) = (self.token.clone(), Blob(part.to_vec()));
            let is_last = number == last;
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            answer = self.call(UPLOAD, &Upload { token, upload, number, part, is_last })?;
        }
        let accepted: Accepted = serde_json::from_slice(&answer).map_err(|_| broken())?;
        self.run = accepted.run;
        Ok(())
    }

    fn await_prepared(&mut self, until: Instant) -> Result<(), Fault> {
        while now() < until && !self.control.is_stopped() {
            let line = match self.next_line() {
                Some(line) => line?,
                None => {
                    if self.poll()? == 0 {
                        self.control.rest(POLL_EVERY.0);
                    }
                    continue;
                }
            };
            match line {
                Line::Prepared { protocol, environment } => {
                    (self.protocol, self.environment) = (protocol, environment);
                    return Ok(());
                }
                Line::Failed { reason } => return Err(Fault::Reason(reason)),
                Line::Ready | Line::Slice(_) | Line::Ended(_) | Line::Done { .. } => {
                    return Err(broken());
                }
            }
        }
        Err(Fault::Reason(match self.control.is_stopped() {
            true => "stopped before it was ready".to_owned(),
            false => "it was not ready in time".to_owned(),
        }))
    }

    /// Asks for reports; how many bytes came.
    fn poll(&mut self) -> Result<usize, Fault> {
        let request = Poll { token: self.token.clone(), run: self.run };
        let answer = self.call(POLL, &request)?;
        if self.text.len() + answer.len() > LINE_MAX {
            return Err(broken());
        }
        self.text.extend_from_slice(&answer);
        Ok(answer.len())
    }

    fn next_line(&mut self) -> Option<Result<Line, Fault>> {
        let Some(length) = memchr::memchr(b'\n', &self.text[self.read..]) else {
            self.text.drain(..std::mem::take(&mut self.read));
            return None;
        };
        let end = self.read + length;
        let line = serde_json::from_slice(&self.text[self.read..end]).map_err(|_| broken());
        self.read = end + 1;
        Some(line)
    }

    /// Passes reports on until the agent has no more, or is lost.
    fn run(mut self, reports: &Sender<Report>) {
        if let Err(fault) = self.pass_on(reports) {
            self.forget();
            let _told = reports.send(Report::Lost(fault.of(&self.target)));
            for _ in 0..self.threads {
                let _told = reports.send(Report::Ended(Ended::default()));
            }
        }
    }

    fn pass_on(&mut self, reports: &Sender<Report>) -> Result<(), Fault> {
        loop {
            self.start_if_told()?;
            self.stop_if_told()?;
            let came = self.poll()?;
            while let Some(line) = self.next_line() {
                if self.take(line?, reports)?.is_break() {
                    return Ok(());
                }
            }
            if came == 0 {
                let (before, after) = POLL_EVERY;
                self.control.rest(if self.has_started { after } else { before });
            }
        }
    }

    fn start_if_told(&mut self) -> Result<(), Fault> {
        let Some(start) = self.control.start().filter(|_| !self.has_started) else { return Ok(()) };
        // The request takes half a round trip to arrive.
        let wait = start.checked_duration_since(now() + self.round_trip / 2).ok_or_else(|| {
            Fault::Reason(
                "the round trip is too long: the order to start would arrive after the start"
                    .to_owned(),
            )
        })?;
        let in_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.call(START, &Start { token: self.token.clone(), run: self.run, in_us })?;
        self.has_started = true;
        Ok(())
    }

    fn stop_if_told(&mut self) -> Result<(), Fault> {
        match self.stopped {
            None if self.control.is_stopped() => {
                self.stopped = Some(now());
                self.call(STOP, &self.order_to_stop(false))?;
                Ok(())
            }
            // It waits for answers until their timeout, and then ends.
            Some(stopped) if now() > stopped + self.timeout + END_TIME => {
                Err(Fault::Reason("it does not end its run".to_owned()))
            }
            None | Some(_) => Ok(()),
        }
    }

    fn order_to_stop(&self, forget: bool) -> Stop {
        Stop { token: self.token.clone(), run: self.run, forget }
    }

    /// Stops the run of an agent that is not asked for reports any more, if it can be told.
    fn forget(&mut self) {
        let _told = self.call(STOP, &self.order_to_stop(true));
    }

    /// Limits slices: one for each interval and thread, and a few for threads that lag.
    fn check_slice(&mut self, slice: &SliceLine) -> Result<(), Fault> {
        let start = self.control.start().ok_or_else(broken)?;
        let elapsed = now().saturating_duration_since(start).as_secs_f64();
        let intervals = elapsed / self.interval.as_secs_f64().max(1e-3);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        let most = intervals as u64 + SLICES_SPARE;
        self.slices += 1;
        let most_slices = most.saturating_mul(1 + self.threads_max as u64);
        if slice.number > most || self.slices > most_slices { Err(broken()) } else { Ok(()) }
    }

    fn take(&mut self, line: Line, reports: &Sender<Report>) -> Result<ControlFlow<()>, Fault> {
        let report = match line {
            Line::Ready => {
                self.ready = self.ready.checked_sub(1).ok_or_else(broken)?;
                Report::Ready
            }
            Line::Slice(slice) => {
                self.check_slice(&slice)?;
                Report::Slice(Box::new(slice.slice().ok_or_else(broken)?))
            }
            Line::Ended(ended) => {
                self.threads = self.threads.checked_sub(1).ok_or_else(broken)?;
                Report::Ended(ended.ended())
            }
            Line::Done { cpu_seconds } => {
                let _told = reports.send(Report::Agent(Box::new(self.result(cpu_seconds))));
                // Threads without a line of their own have ended, too.
                for _ in 0..std::mem::take(&mut self.threads) {
                    let _told = reports.send(Report::Ended(Ended::default()));
                }
                return Ok(ControlFlow::Break(()));
            }
            Line::Failed { reason } => return Err(Fault::Reason(reason)),
            Line::Prepared { .. } => return Err(broken()),
        };
        let _told = reports.send(report);
        Ok(ControlFlow::Continue(()))
    }

    fn result(&self, cpu_seconds: f64) -> AgentResult {
        AgentResult {
            address: self.target.to_string(),
            threads: u32::try_from(self.threads_max).unwrap_or(u32::MAX),
            cpu_seconds: cpu_seconds.clamp(0.0, 1e9),
            round_trip_us: self.round_trip.as_secs_f64() * 1e6,
            environment: self.environment.clone(),
        }
    }
}

/// Bits that differ from one call to the next.
fn now_bits() -> u32 {
    crate::runtime::clock::unix_time().subsec_nanos()
}
