//! `ringway bench`: load, and what is made of its results.

mod ab;
mod agent;
mod compare;
mod load;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub(super) use self::load::{failed, stop_at_signals};

/// The arguments of the verb.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = load::AFTER_HELP)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    #[command(flatten)]
    load: load::LoadArgs,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Run loads for another machine
    #[command(after_help = agent::AFTER_HELP)]
    Agent(agent::AgentArgs),
    /// Load two servers in turn, and say what differs
    #[command(after_help = ab::AFTER_HELP)]
    Ab(Box<ab::AbArgs>),
    /// Say what differs between results by more than chance
    #[command(after_help = compare::AFTER_HELP)]
    Compare(compare::CompareArgs),
}

/// Runs the verb.
pub(super) fn run(args: &BenchArgs) -> ExitCode {
    match &args.command {
        Some(BenchCommand::Agent(args)) => agent::run(args),
        Some(BenchCommand::Ab(args)) => ab::run(args),
        Some(BenchCommand::Compare(args)) => compare::run(args),
        None => load::run(&args.load),
    }
}
