//! Standard input to the peer, the peer to standard output.

use super::{ConnectArgs, Failure, input, screen};
use crate::client::{Tcp, retry};

/// Runs until the peer has ended.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let mut input = input()?;
    let options = args.options()?;
    let mut client = retry(&args.policy(), || Tcp::connect(&args.url.target, &options))?;
    let mut out = screen::output();
    client.pump(&mut input, &mut out)?;
    out.end_line().map_err(|error| Failure::output(&error))
}
