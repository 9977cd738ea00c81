//! A check that sends a PING of the framed protocol.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::wire::Wire;
use super::{CheckError, read_more};
use crate::proto::frame::{Client, ClientEvent, ClientOptions, Command};

/// Greets the server, sends a PING, and waits for its PONG.
pub(super) async fn ping<S>(stream: &mut Wire<S>) -> Result<(), CheckError>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut client = Client::new(ClientOptions { window: 1, ..ClientOptions::default() });
    let (mut out, mut input) = (Vec::new(), Vec::new());
    client.hello(&mut out);
    loop {
        stream.write_all(&out).await?;
        out.clear();
        read_more(stream, &mut input).await?;
        let mut rest = &*input;
        while let Some(event) = client.next(&mut rest)? {
            match event {
                ClientEvent::Ready(_) => {
                    client.begin(Command::PING, true, b"", (), &mut out);
                }
                ClientEvent::Answer(answer) if answer.command == Command::PONG => return Ok(()),
                ClientEvent::Answer(_) => return Err(CheckError::Answer),
                ClientEvent::GoAway(_) => return Err(CheckError::Closed),
            }
        }
        let read = input.len() - rest.len();
        input.drain(..read);
    }
}
