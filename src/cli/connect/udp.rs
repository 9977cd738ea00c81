//! Each read of standard input is a datagram; the answers to standard output.

use std::time::Duration;

use super::output::Output;
use super::{ConnectArgs, Failure, input};
use crate::client::{Udp, retry};

/// How long to wait for answers after the end of the input.
const WAIT: Duration = Duration::from_secs(1);

/// Runs until a time after the end of the input.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let mut input = input()?;
    let options = args.options()?;
    let mut client = retry(&args.policy(), || Udp::connect(&args.url.target, &options))?;
    let wait = args.wait.unwrap_or(WAIT);
    Ok(client.pump(&mut input, &mut Output::new(), wait)?)
}
