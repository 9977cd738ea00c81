//! Opens a connection: through a proxy, by TLS, with the handshake, and behind redirects.

use std::time::Duration;

use super::handshake::{self, Agreed, Verdict};
use super::mask::fill;
use super::options::WebSocketOptions;
use super::url::{ProxyUrl, WebSocketUrl};
use crate::client::connect::{self, Kind};
use crate::client::deadline::Deadline;
use crate::client::error::Waiting;
use crate::client::line::Line;
use crate::client::{ClientError, ConnectOptions, Tls};
use crate::net::tls::ClientOptions;
use crate::proto::http::{Method, ResponseHead};
use crate::proto::http1::{HeadLimits, INTERIM_BYTES_MAX, Refusal, ResponseReader};
use crate::proto::websocket::handshake::key;

/// An open WebSocket, of which nothing was read.
#[derive(Debug)]
pub(super) struct Dialed {
    pub(super) line: Line,
    pub(super) head: Box<ResponseHead>,
    pub(super) agreed: Agreed,
    /// What came behind the head.
    pub(super) rest: Vec<u8>,
    /// Where it was opened in the end.
    pub(super) url: WebSocketUrl,
}

/// Opens a WebSocket. Options are checked.
pub(super) fn dial(url: &WebSocketUrl, options: &WebSocketOptions) -> Result<Dialed, ClientError> {
    let mut at = url.clone();
    for followed in 0..=options.redirects_max {
        let is_first = at.target() == url.target() && at.is_secure() == url.is_secure();
        let mut line = reach(&at, options)?;
        let location = match open(&mut line, &at, options, is_first)? {
            Opened::Open(head, agreed, rest) => {
                return Ok(Dialed { line, head, agreed, rest, url: at });
            }
            Opened::Redirect(status, location) if followed == options.redirects_max => {
                let hint = match options.redirects_max {
                    0 => "redirects are not followed unless that is asked for".to_owned(),
                    most => format!("{most} redirects were followed"),
                };
                let location = location.escape_debug();
                let reason = format!("status {status}, a redirect to {location}: {hint}");
                return Err(refused(&line, status, None, reason));
            }
            Opened::Redirect(_, location) => location,
        };
        at = at.redirected(&location)?;
    }
    Err(ClientError::Request { reason: "no attempt was allowed".to_owned() })
}

/// Connects to a server, perhaps by TLS, perhaps through a proxy.
fn reach(url: &WebSocketUrl, options: &WebSocketOptions) -> Result<Line, ClientError> {
    let tls = if url.is_secure() { Some(tls(options)?) } else { None };
    let Some(proxy) = &options.proxy else {
        let connect = ConnectOptions { tls, ..options.connect.clone() };
        return connect::connect(url.target(), Kind::Stream, &connect);
    };
    let plain = ConnectOptions { tls: None, ..options.connect.clone() };
    let mut line = connect::connect(proxy.http.target(), Kind::Stream, &plain)?;
    tunnel(&mut line, url, proxy, options)?;
    if let Some(tls) = tls {
        let deadline = Deadline::new(options.connect.deadline);
        line.secure(&tls.of_target(url.target())?, deadline)?;
    }
    Ok(line)
}

fn tls(options: &WebSocketOptions) -> Result<Tls, ClientError> {
    const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];
    match &options.connect.tls {
        Some(tls) => Ok(tls.with_protocols(PROTOCOLS)),
        None => Ok(Tls::new(ClientOptions::default())?.with_protocols(PROTOCOLS)),
    }
}

/// Has a proxy join us with the server.
fn tunnel(
    line: &mut Line,
    url: &WebSocketUrl,
    proxy: &ProxyUrl,
    options: &WebSocketOptions,
) -> Result<(), ClientError> {
    let deadline = Deadline::new(options.handshake_timeout);
    line.queue(&handshake::tunnel(url, proxy));
    let answer = read_answer(line, options.head_max, deadline, Waiting::Tunnel)?;
    let status = answer.head.status;
    let failed = |reason: String| {
        let (proxy, target) = (proxy.to_string(), url.target().to_string());
        Err(ClientError::Tunnel { proxy, target, status, reason })
    };
    match status {
        200..=299 if !answer.rest.is_empty() => {
            failed("bytes came before anything was sent through it".to_owned())
        }
        200..=299 => Ok(()),
        407 => failed("status 407: give a user and a password in the proxy's URL".to_owned()),
        status => failed(format!("status {status}")),
    }
}

/// What comes of a request.
enum Opened {
    Open(Box<ResponseHead>, Agreed, Vec<u8>),
    Redirect(u16, String),
}

fn open(
    line: &mut Line,
    url: &WebSocketUrl,
    options: &WebSocketOptions,
    is_first: bool,
) -> Result<Opened, ClientError> {
    let deadline = Deadline::new(options.handshake_timeout);
    let mut random = [0; 16];
    fill(&mut random)?;
    let key = key(random);
    line.queue(&handshake::request(url, options, &key, is_first));
    let Answer { head, raw, rest } =
        read_answer(line, options.head_max, deadline, Waiting::Handshake)?;
    let status = head.status;
    match handshake::check(&head, &raw, &key, options) {
        Ok(Verdict::Open(agreed)) => Ok(Opened::Open(head, agreed, rest)),
        Ok(Verdict::Redirect(location)) => Ok(Opened::Redirect(status, location)),
        Ok(Verdict::Refused(status, after, reason)) => Err(refused(line, status, after, reason)),
        Err(reason) => Err(refused(line, status, None, reason)),
    }
}

fn refused(line: &Line, status: u16, retry_after: Option<Duration>, reason: String) -> ClientError {
    ClientError::Handshake { peer: line.peer().to_string(), status, retry_after, reason }
}

/// The head of an answer.
struct Answer {
    head: Box<ResponseHead>,
    /// As it came.
    raw: Vec<u8>,
    /// What came behind it.
    rest: Vec<u8>,
}

/// Reads the head of an answer; interim ones are passed over. No more is held than a head may have
/// and one receive brings.
fn read_answer(
    line: &mut Line,
    head_max: usize,
    deadline: Deadline,
    op: Waiting,
) -> Result<Answer, ClientError> {
    let limits = HeadLimits { size: head_max, ..HeadLimits::default() };
    let mut reader = ResponseReader::default();
    let (mut head, mut input) = (Box::<ResponseHead>::default(), Vec::new());
    let mut interim = 0;
    let broken = |line: &Line, reason: &str| {
        let (peer, reason) = (line.peer().to_string(), reason.to_owned());
        ClientError::Http { peer, version: "HTTP/1.1", reason }
    };
    loop {
        let read = reader.read(&input, Method::Get, &limits, &mut head);
        let read = read.map_err(|refusal| broken(line, refusal.name()))?;
        match read {
            Some(meta) if head.is_interim() => {
                interim += meta.len;
                if interim > INTERIM_BYTES_MAX {
                    return Err(broken(line, "too many interim answers"));
                }
                input.drain(..meta.len);
            }
            Some(meta) => {
                let rest = input.split_off(meta.len);
                return Ok(Answer { head, raw: input, rest });
            }
            None => {
                input.extend_from_slice(&more(line, deadline, op)?);
                // What can become no answer is not waited for to its end.
                if let [0x15 | 0x16, ..] = &input[..] {
                    return Err(broken(line, "it speaks TLS: connect to wss:// instead"));
                }
                if input.iter().zip(b"HTTP/").any(|(byte, expected)| byte != expected) {
                    return Err(broken(line, Refusal::StatusLine.name()));
                }
            }
        }
    }
}

/// Waits for bytes.
fn more(line: &mut Line, deadline: Deadline, op: Waiting) -> Result<crate::mem::Buf, ClientError> {
    loop {
        if let Some(bytes) = line.take() {
            return Ok(bytes);
        }
        line.check_receive()?;
        if line.is_ended() {
            let peer = line.peer().to_string();
            return Err(if line.is_cut() {
                ClientError::Cut { peer }
            } else {
                ClientError::Closed { peer }
            });
        }
        if deadline.is_over() {
            return Err(line.late(op, deadline.patience));
        }
        line.receive();
        line.turn(deadline.until)?;
    }
}
