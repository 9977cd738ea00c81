//! `ringway bench`: load, and what is made of its results.

mod compare;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// The arguments of the verb.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Say what differs between results by more than chance
    #[command(after_help = compare::AFTER_HELP)]
    Compare(compare::CompareArgs),
}

/// Runs the verb.
pub(super) fn run(args: &BenchArgs) -> ExitCode {
    match &args.command {
        BenchCommand::Compare(args) => compare::run(args),
    }
}
