//! Standard input to the peer, the peer to standard output.

use super::output::Output;
use super::{ConnectArgs, Failure, input};
use crate::client::{Tcp, retry};

/// Runs until the peer has ended.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let mut input = input()?;
    let options = args.options()?;
    let mut client = retry(&args.policy(), || Tcp::connect(&args.url.target, &options))?;
    Ok(client.pump(&mut input, &mut Output::new())?)
}
