//! `ringway bench ab`: two servers under the same load in turn, and the verdict.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Args;

use super::compare::write_page;
use super::load::{LoadArgs, failed, run_once, stop_at_signals};
use crate::cli::connect::{Failure, status};
use crate::cli::print;
use crate::load::compare::{Side, compare, render_text};
use crate::load::report::OutputFile;
use crate::load::run::Stopper;
use crate::load::server_cost::CostSource;

pub(super) const AFTER_HELP: &str = "\
Each round loads one server and then the other, in an order that changes from round to round, so
that what changes on the machine meets both. The verdict is on rounds, never on single requests.

Example:
  ringway bench ab http://127.0.0.1:8080/ http://127.0.0.1:8081/ --rounds 8 --rate 5000 -d 5s

Exit status: 0 compared, whatever the verdict; 1 failure; 2 wrong usage.";

/// The least rounds of which a verdict can be made.
const ROUNDS_MIN: u32 = 3;

/// Two servers, and how they are loaded.
#[derive(Debug, Args)]
pub(super) struct AbArgs {
    /// How often each server is loaded
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = rounds())]
    rounds: u32,
    /// Tell CPU per request of the servers, which are these processes of this machine
    #[arg(long, value_name = "PID,PID", value_delimiter = ',', num_args = 1)]
    #[arg(conflicts_with_all = ["server_pid", "server_metrics"])]
    server_pids: Vec<u32>,
    #[command(flatten)]
    load: LoadArgs,
}

fn rounds() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(ROUNDS_MIN)..=1000)
}

/// Runs the verb.
pub(super) fn run(args: &AbArgs) -> ExitCode {
    match compared(args) {
        Ok(text) => print(text.as_bytes()),
        Err(failure) => status("bench ab", Err(failure)),
    }
}

fn compared(args: &AbArgs) -> Result<String, Failure> {
    let [first, second] = args.load.two_urls()?;
    if !matches!(args.server_pids.len(), 0 | 2) {
        return Err(Failure::Usage("--server-pids has two numbers, one for each URL".to_owned()));
    }
    let page = args.load.html_path();
    let page = page.map(|path| OutputFile::open("--html", path)).transpose().map_err(failed)?;
    let stopper = Stopper::default();
    stop_at_signals(&stopper)?;
    let mut screen = args.load.screen(io::stderr().is_terminal());
    let names = [&first, &second].map(ToString::to_string);
    let options = [first, second].map(|url| args.load.options_of(vec![(url, 1)]));
    let [first, second] = options;
    let options = [first?, second?];
    let mut runs = [Vec::new(), Vec::new()];
    for round in 0..args.rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            screen.say(&format!("round {} of {}: {}", round + 1, args.rounds, names[side]));
            let command: Vec<String> = std::env::args().collect();
            let watched = args.server_pids.get(side).copied().map(CostSource::Process);
            let watched = watched.or_else(|| args.load.cost_source());
            let result = run_once(watched, &options[side], &command, &stopper, &mut screen)?;
            if let Some(lost) = result.lost_agent() {
                return Err(failed(format!("there is no verdict: {lost}")));
            }
            if stopper.is_stopped() {
                return Err(failed("stopped before all rounds were run: there is no verdict"));
            }
            runs[side].push(result);
        }
    }
    let sides: Vec<Side> =
        names.into_iter().zip(runs).map(|(name, runs)| Side { name, runs }).collect();
    let found = compare(&sides).map_err(failed)?;
    let shows_text = write_page(page, &found, &sides).map_err(failed)?;
    Ok(if shows_text { render_text(&found) } else { String::new() })
}
