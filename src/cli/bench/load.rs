//! `ringway bench URL`: a load, and the report of it.

mod agents;
mod args;
mod watch;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub(super) use self::args::LoadArgs;
pub(super) use self::watch::Screen;
use crate::cli::connect::{Failure, status};
use crate::cli::{fail, print};
use crate::load::knee::knee;
use crate::load::options::LoadOptions;
use crate::load::report::{Outputs, text};
use crate::load::result::{RunResult, Search};
use crate::load::run::{Progress, Stopper, run as run_load};
use crate::load::schedule::Arrivals;
use crate::load::search::RateSearch;
use crate::load::server_cost::{CostSampler, CostSource};
use crate::load::slo::{Check, Purpose, evaluate};

pub(super) const AFTER_HELP: &str = "\
URL is one of
  tcp://HOST:PORT, tls://    --size bytes, and --answer-size bytes back
  udp://HOST:PORT            datagrams of --size bytes, and an answer to each
  frame://, frame+tls://     ECHO of the framed protocol
  http://HOST[:PORT]/PATH    GET by HTTP/1.1; with --http2, or as h2://, by HTTP/2 in clear
  https://HOST[:PORT]/PATH   the version that the server prefers, or --http1 or --http2
  grpc://, grpcs://HOST:PORT/package.Service/Method   with --message JSON, by reflection
  ws://, wss://HOST[:PORT]/PATH   messages that come back
Several URLs of one server are taken in turn at random; --urls FILE has one a line, with a weight
behind it.

Without a rate it is a closed loop: each connection asks again when it was answered, and a server
that stalls is asked less. With --rate, --poisson or --ramp it is an open loop: requests are due at
their own times, and latency is measured from then on, so that a stall is seen as users see it.

Examples:
  ringway bench http://127.0.0.1:8080/ -c 100 -d 30s
  ringway bench http://127.0.0.1:8080/ --rate 20000 --fail-if 'p99>5ms' --json run.json
  ringway bench https://example.com/ --http2 -s 32 --ramp 1k..50k/30s --html ramp.html
  ringway bench grpc://127.0.0.1:50051/demo.Notes/Get --message '{\"id\": 7}' --slo 'p99<2ms'
  ringway bench ws://127.0.0.1:8080/ws/echo -s 16 --size 256
  ringway bench compare before.json after.json

Exit status: 0 success; 1 errors above --max-errors, a rate that was not kept, or --fail-if or --slo
that says so; 2 wrong usage.";

/// How much of what was due has to be sent.
const KEPT: f64 = 0.99;
/// The rate that a search begins with, and the highest.
const SEARCH: (f64, f64) = (1000.0, 10_000_000.0);
/// How long each run of a search takes, if no duration was given.
const SEARCH_TIME: Duration = Duration::from_secs(5);

/// Runs the verb.
pub(super) fn run(args: &LoadArgs) -> ExitCode {
    match load(args) {
        Ok(code) => code,
        Err(failure) => status("bench", Err(failure)),
    }
}

pub(in crate::cli) fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

fn load(args: &LoadArgs) -> Result<ExitCode, Failure> {
    let options = args.options()?;
    // What cannot be written is found before the run.
    let outputs = Outputs::open(&args.paths()?).map_err(failed)?;
    let stopper = Stopper::default();
    stop_at_signals(&stopper)?;
    let mut screen = args.screen(io::stderr().is_terminal());
    let command: Vec<String> = std::env::args().collect();
    let mut result = match args.slo.as_deref() {
        Some(slo) => search(args, &options, slo, &command, &stopper, &mut screen)?,
        None => run_once(args.cost_source(), &options, &command, &stopper, &mut screen)?,
    };
    result.verdict.extend(judge(args, &result)?);
    if stopper.is_stopped() {
        result.notes.push("The run was stopped before its end.".to_owned());
    }
    let is_good = is_good(args, &result);
    let shown = (!outputs.uses_stdout()).then(|| text::render(&result));
    let written = outputs.write(&result);
    if let Some(shown) = shown {
        let _printed = print(shown.as_bytes());
    }
    if let Err(errors) = written {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        return Ok(fail(&errors.join("; ")));
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One run, and what it cost the server.
pub(super) fn run_once(
    watched: Option<CostSource>,
    options: &LoadOptions,
    command: &[String],
    stopper: &Stopper,
    screen: &mut Screen,
) -> Result<RunResult, Failure> {
    let sampler = watched.map(CostSampler::begin).transpose().map_err(failed)?;
    let mut began: Option<Instant> = None;
    screen.plan(options);
    let result = run_load(options, command, stopper, |progress| {
        screen.tell(progress);
        if let Progress::Measured { from, .. } = progress {
            began = Some(*from);
        }
    });
    screen.end();
    let mut result = result.map_err(failed)?;
    if let (Some(sampler), Some(from)) = (sampler, began) {
        result.server = sampler.end(from, from + Duration::from_secs_f64(result.seconds));
    }
    if matches!(options.arrivals, Some(Arrivals::Ramp { .. })) {
        result.knee = knee(&result.intervals);
    }
    Ok(result)
}

/// The highest rate at which the expressions hold: the result is that of the last run that did.
fn search(
    args: &LoadArgs,
    options: &LoadOptions,
    slo: &str,
    command: &[String],
    stopper: &Stopper,
    screen: &mut Screen,
) -> Result<RunResult, Failure> {
    let expressions = args.expressions(slo)?;
    let from = match options.arrivals {
        Some(Arrivals::Constant { rate } | Arrivals::Poisson { rate }) => rate,
        Some(Arrivals::Ramp { .. }) | None => SEARCH.0,
    };
    let mut search = RateSearch::new(from, SEARCH.1);
    let (mut best, mut held, mut last) = (None, None, None);
    while let Some(rate) = search.next_rate()
        && !stopper.is_stopped()
    {
        let arrivals = match options.arrivals {
            Some(Arrivals::Poisson { .. }) => Arrivals::Poisson { rate },
            _ => Arrivals::Constant { rate },
        };
        let duration = if args.has_duration() { options.duration } else { Some(SEARCH_TIME) };
        let step = LoadOptions { arrivals: Some(arrivals), duration, ..options.clone() };
        screen.say(&format!("{rate:.0} requests a second"));
        let result = run_once(args.cost_source(), &step, command, stopper, screen)?;
        if let Some(lost) = result.lost_agent() {
            return Err(failed(format!("the search was stopped: {lost}")));
        }
        if stopper.is_stopped() {
            last = Some(result);
            break;
        }
        let mut checks = evaluate(&expressions, Purpose::Slo, &result);
        checks.push(kept(&result));
        let holds = checks.iter().all(Check::passed);
        screen.say(&format!("  {}", told(&checks)));
        search.note(checks);
        if holds {
            held = Some(result);
        } else {
            last = Some(result);
        }
        // One run that holds is not the rate that does.
        if search.rate() == Some(rate) {
            best = held.take().or(best);
        }
    }
    let rate = search.rate();
    let mut result = best
        .or(last)
        .ok_or_else(|| Failure::Failed("the search was stopped before its first run".to_owned()))?;
    result.search = Some(Search { slo: slo.to_owned(), rate, steps: search.into_steps() });
    Ok(result)
}

fn told(checks: &[Check]) -> String {
    let each = checks.iter().map(|check| {
        let value = check.value.map_or_else(|| "-".to_owned(), |value| check.unit.show(value));
        format!("{} is {value}: {}", check.expression, if check.passed() { "holds" } else { "no" })
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Whether a rate was kept, as an expression.
fn kept(result: &RunResult) -> Check {
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = match result.counts.due {
        0 => 0.0,
        due => result.counts.sent as f64 / due as f64 * 100.0,
    };
    Check {
        expression: format!("sent>={:.0}%", KEPT * 100.0),
        purpose: Purpose::Slo,
        value: Some(share),
        unit: crate::load::slo::Unit::Percent,
        holds: share >= KEPT * 100.0,
    }
}

fn judge(args: &LoadArgs, result: &RunResult) -> Result<Vec<Check>, Failure> {
    let mut verdict = Vec::new();
    for text in &args.fail_if {
        verdict.extend(evaluate(&args.expressions(text)?, Purpose::FailIf, result));
    }
    Ok(verdict)
}

/// Whether the run was as it should be.
fn is_good(args: &LoadArgs, result: &RunResult) -> bool {
    // Of a number of requests at a rate, the result has a verdict of its own.
    let is_timed = result.load.rate.is_some() && args.requests().is_none();
    let has_rate = is_timed && result.search.is_none();
    let is_kept = !has_rate || kept(result).holds;
    let found = result.search.as_ref().is_none_or(|search| search.rate.is_some());
    let errors = result.errors.iter().map(|kind| kind.count).sum::<u64>();
    // A search has its own conditions.
    let is_allowed =
        result.search.is_some() || errors <= args.max_errors.allowed(result.counts.sent);
    let is_answered = result.counts.completed > 0 || errors > 0;
    // A run that lost an agent did not send the whole load.
    let is_whole = result.lost_agent().is_none();
    is_whole
        && is_kept
        && found
        && is_answered
        && is_allowed
        && result.verdict.iter().all(Check::passed)
}

/// A signal ends the run with a report of what was measured.
pub(in crate::cli) fn stop_at_signals(stopper: &Stopper) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let stopper = stopper.clone();
    let (told, is_ready) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name("load-signals".to_owned());
    let thread = thread.spawn(move || {
        runtime.block_on(async move {
            let signals = signal(SignalKind::interrupt()).and_then(|interrupt| {
                signal(SignalKind::terminate()).map(|terminate| (interrupt, terminate))
            });
            let Ok((mut interrupt, mut terminate)) = signals else { return };
            let _told = told.send(());
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                stopper.stop();
            }
        });
    });
    thread.map_err(failed)?;
    is_ready.recv().map_err(|_| failed("signals cannot be waited for"))
}
