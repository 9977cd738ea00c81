//! A check that asks for a page by HTTP/2.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::wire::Wire;
use super::{ANSWER_MAX, BODY_PREFIX_MAX, CheckError, HttpRequest, USER_AGENT};
use crate::mem::{Buf, FreeList};
use crate::proto::http::{Known, RequestHead};
use crate::proto::http2::{Client, ClientEvent, Limits, RequestLine, Workspace, frame};
use crate::runtime::clock;

/// Asks for a page: the status of the answer, and the beginning of its body.
pub(super) async fn get<S>(
    stream: &mut Wire<S>,
    request: &HttpRequest,
    needs_body: bool,
) -> Result<(u16, Vec<u8>), CheckError>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let is_secured = stream.is_secured();
    let question = ask(request, is_secured).1;
    stream.write_all(&question).await?;
    let mut received = Vec::new();
    loop {
        // What is read fits into the window that there is to begin with: nothing else is said.
        if received.len() > ANSWER_MAX.min(frame::WINDOW_INITIAL as usize) {
            return Err(CheckError::Closed);
        }
        stream.read(&mut received).await?;
        let answer = read(request, is_secured, &received, (needs_body, clock::now()))?;
        if let Some(answer) = answer {
            return Ok(answer);
        }
    }
}

/// The machine that has asked, and what it has said.
fn ask(request: &HttpRequest, is_secured: bool) -> (Client, Vec<u8>) {
    let mut client = Client::new(&Limits::default());
    let (mut head, mut out) = (RequestHead::default(), Vec::new());
    head.fields.push_known(Known::UserAgent, USER_AGENT.as_bytes());
    let line = RequestLine {
        head: &head,
        path: &request.path,
        authority: &request.host,
        scheme: if is_secured { "https" } else { "http" },
        length: None,
    };
    client.open(&line, true, &mut Workspace::default(), &mut out);
    frame::write_settings_ack(&mut out);
    (client, out)
}

/// Reads all that has come: the answer, once it is there.
fn read(
    request: &HttpRequest,
    is_secured: bool,
    received: &[u8],
    (needs_body, now): (bool, Instant),
) -> Result<Option<(u16, Vec<u8>)>, CheckError> {
    let (mut client, limits) = (ask(request, is_secured).0, Limits::default());
    let (mut space, mut spare) = (Workspace::default(), FreeList::new(1, ANSWER_MAX));
    let (mut asked, mut status, mut body) = (1, None, Vec::new());
    client.receive(Buf::copy_of(received));
    while let Some(event) =
        client.poll(now, &limits, &mut space, &mut spare).map_err(CheckError::Violation)?
    {
        match event {
            ClientEvent::Head(stream, head, _) => (asked, status) = (stream, Some(head.status)),
            ClientEvent::Reset(..) => return Err(CheckError::Closed),
            ClientEvent::Violated(_, violation) => return Err(CheckError::Violation(violation)),
            ClientEvent::GoAway(last, _) if last < asked => return Err(CheckError::Closed),
            ClientEvent::GoAway(..)
            | ClientEvent::Interim(..)
            | ClientEvent::Body(_)
            | ClientEvent::Opened => {}
        }
        while let Some(part) = client.next_of_body(asked) {
            body.extend_from_slice(&part);
        }
    }
    let is_enough = !needs_body || body.len() >= BODY_PREFIX_MAX || client.is_body_read(asked);
    Ok(status.filter(|_| is_enough).map(|status| (status, body)))
}
