//! A request by HTTP/2.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::wire::Wire;
use super::{ANSWER_MAX, BODY_PREFIX_MAX, CheckError, HttpRequest, USER_AGENT};
use crate::mem::{Buf, FreeList};
use crate::proto::http::{Fields, Known, RequestHead, ResponseHead};
use crate::proto::http2::{Client, ClientEvent, Limits, RequestLine, StreamId, Workspace, frame};
use crate::runtime::clock;

/// What a server is asked.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) head: RequestHead,
    pub(super) path: &'a str,
    pub(super) host: &'a str,
    /// The body, which fits into one frame.
    pub(super) body: &'a [u8],
}

/// What has come of the answer.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) head: Option<Box<ResponseHead>>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<Box<Fields>>,
    /// All of it has come.
    pub(super) is_whole: bool,
}

/// Asks for a page: the status of the answer, and the beginning of its body.
pub(super) async fn get<S>(
    stream: &mut Wire<S>,
    request: &HttpRequest,
    needs_body: bool,
) -> Result<(u16, Vec<u8>), CheckError>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let head = RequestHead::default();
    let question = Question { head, path: &request.path, host: &request.host, body: b"" };
    let is_enough = |reply: &Reply| {
        let has_head = reply.head.is_some();
        has_head && (!needs_body || reply.body.len() >= BODY_PREFIX_MAX || reply.is_whole)
    };
    let reply = ask(stream, question, is_enough).await?;
    Ok((reply.head.map_or(0, |head| head.status), reply.body))
}

/// Asks a question, and reads until there is enough of the answer.
pub(super) async fn ask<S>(
    stream: &mut Wire<S>,
    mut question: Question<'_>,
    is_enough: impl Fn(&Reply) -> bool,
) -> Result<Reply, CheckError>
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    question.head.fields.push_known(Known::UserAgent, USER_AGENT.as_bytes());
    let scheme = if stream.is_secured() { "https" } else { "http" };
    let said = say(&question, scheme).2;
    stream.write_all(&said).await?;
    let mut received = Vec::new();
    loop {
        // What is read fits into the window that there is to begin with: nothing else is said.
        if received.len() > ANSWER_MAX.min(frame::WINDOW_INITIAL as usize) {
            return Err(CheckError::Closed);
        }
        stream.read(&mut received).await?;
        let (client, asked, _) = say(&question, scheme);
        let reply = read(client, asked, &received, clock::now())?;
        if is_enough(&reply) {
            return Ok(reply);
        }
    }
}

/// The machine that has asked, on which stream, and what it has said.
fn say(question: &Question<'_>, scheme: &str) -> (Client, StreamId, Vec<u8>) {
    let mut client = Client::new(&Limits::default());
    let mut out = Vec::new();
    let line = RequestLine {
        head: &question.head,
        path: question.path,
        authority: question.host,
        scheme,
        length: None,
        websocket: false,
    };
    let has_body = !question.body.is_empty();
    let mut space = Workspace::default();
    let asked = client.open(&line, !has_body, &mut space, &mut out);
    if has_body {
        // The windows of the beginning have room for it.
        let (len, flags) = (question.body.len(), frame::flag::END_STREAM);
        let head = frame::FrameHead { len, kind: frame::kind::DATA, flags, stream: asked };
        head.write(&mut out);
        out.extend_from_slice(question.body);
    }
    frame::write_settings_ack(&mut out);
    (client, asked, out)
}

/// Reads all that has come.
fn read(
    mut client: Client,
    asked: StreamId,
    received: &[u8],
    now: Instant,
) -> Result<Reply, CheckError> {
    let limits = Limits::default();
    let (mut space, mut spare) = (Workspace::default(), FreeList::new(1, ANSWER_MAX));
    let mut reply = Reply::default();
    client.receive(Buf::copy_of(received));
    while let Some(event) =
        client.poll(now, &limits, &mut space, &mut spare).map_err(CheckError::Violation)?
    {
        match event {
            ClientEvent::Head(_, head, _) => reply.head = Some(head),
            ClientEvent::Reset(..) => return Err(CheckError::Closed),
            ClientEvent::Violated(_, violation) => return Err(CheckError::Violation(violation)),
            ClientEvent::GoAway(last, ..) if last < asked => return Err(CheckError::Closed),
            ClientEvent::GoAway(..)
            | ClientEvent::Interim(..)
            | ClientEvent::Body(_)
            | ClientEvent::Opened(_) => {}
        }
        while let Some(part) = client.next_of_body(asked) {
            reply.body.extend_from_slice(&part);
        }
    }
    reply.is_whole = reply.head.is_some() && client.is_body_read(asked);
    reply.trailers = client.take_trailers_of(asked);
    Ok(reply)
}
