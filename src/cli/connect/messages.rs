//! Messages: one exchange, or one for each line of standard input.

use super::{ConnectArgs, Failure, lines, write, write_bytes};
use crate::client::{ClientError, Messages, MessagesOptions, message_line, retry};

/// One exchange with a type, else one for each line.
pub(super) fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let options = MessagesOptions { connect: args.options()?, ..MessagesOptions::default() };
    let connect = || Messages::connect(&args.url.target, &options);
    match args.words()[..] {
        [] => {
            let mut client = retry(&args.policy(), connect)?;
            lines(|line| exchange(&mut client, line, args))
        }
        [kind] => call(args, kind, b"", connect),
        [kind, payload] => call(args, kind, payload.as_bytes(), connect),
        _ => Err(Failure::Usage("messages take a TYPE and a PAYLOAD".to_owned())),
    }
}

/// Whether a message may be sent twice is not known here: only connecting is tried again.
fn call(
    args: &ConnectArgs,
    kind: &str,
    payload: &[u8],
    connect: impl Fn() -> Result<Messages, ClientError>,
) -> Result<(), Failure> {
    let mut client = retry(&args.policy(), connect)?;
    write_bytes(&client.call(kind, payload, args.timeout())?, false)
}

/// Sends a line as it is, if it is a message, and prints the answer as it is.
fn exchange(client: &mut Messages, line: &[u8], args: &ConnectArgs) -> Result<(), Failure> {
    let is_space = line.trim_ascii().is_empty();
    match std::str::from_utf8(line) {
        Ok(_) if is_space => return Ok(()),
        Ok(text) if is_object(text) => client.send(text.trim_ascii(), args.timeout())?,
        Ok(_) | Err(_) => client.send(&message_line("echo", line), args.timeout())?,
    }
    write(format_args!("{}\n", client.next(args.timeout())?))
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value.is_object())
}
