//! The framed protocol: one exchange, or an ECHO of each line of standard input.

use std::io::{self, Write};

use super::{ConnectArgs, Failure, lines, ping, screen, write_bytes};
use crate::client::{ClientError, Frame, FrameOptions, RetryPolicy, retry};

/// Runs the command.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let options = FrameOptions { connect: args.options()?, ..FrameOptions::default() };
    let connect = || Frame::connect(&args.url.target, &options);
    let policy = args.policy();
    match args.words()[..] {
        [] => {
            let mut client = retry(&policy, connect)?;
            lines(|line| write_bytes(&client.echo(line, args.timeout())?, true))
        }
        ["echo", text] => {
            let echo = || connect()?.echo(text.as_bytes(), args.timeout());
            write_bytes(&retry(&policy, echo)?, true)
        }
        ["stats"] => {
            let stats = || connect()?.stats(args.timeout());
            write_bytes(&retry(&policy, stats)?, true)
        }
        ["get", name] => get(args, name, &policy, &connect),
        ["ping"] => ping::run(args, retry(&policy, connect)?),
        // Whether a message may be sent twice is not known here: only connecting is tried again.
        ["message", kind] => {
            write_bytes(&retry(&policy, connect)?.message(kind, b"", args.timeout())?, false)
        }
        ["message", kind, payload] => {
            let mut client = retry(&policy, connect)?;
            write_bytes(&client.message(kind, payload.as_bytes(), args.timeout())?, false)
        }
        _ => Err(Failure::Usage(
            "frame takes echo TEXT, get NAME, ping, stats, or message TYPE [PAYLOAD]".to_owned(),
        )),
    }
}

/// Writes what comes as it comes. Once something was written, it is not tried again.
fn get(
    args: &ConnectArgs,
    name: &str,
    policy: &RetryPolicy,
    connect: &dyn Fn() -> Result<Frame, ClientError>,
) -> Result<(), Failure> {
    let mut out = screen::output();
    let mut written = 0;
    let mut failed: Option<io::Error> = None;
    let got = retry(policy, || {
        let mut take = |part: &[u8]| {
            written += part.len();
            if failed.is_none() {
                failed = out.write_all(part).err();
            }
        };
        let got = connect().and_then(|mut client| client.get(name, args.timeout(), &mut take));
        // The outer result is that of the tries, the inner one that of the transfer.
        match got {
            Err(error) if written == 0 => Err(error),
            Err(error) => Ok(Err(error)),
            Ok(total) => Ok(Ok(total)),
        }
    })?;
    if let Some(error) = failed {
        return Err(Failure::output(&error));
    }
    out.end_line().map_err(|error| Failure::output(&error))?;
    got?;
    Ok(())
}
