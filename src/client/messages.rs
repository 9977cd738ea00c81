//! Exchanges of messages: each a JSON object on a line of its own.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::connect::{self, Kind};
use super::error::Waiting;
use super::line::Line;
use super::{ClientError, ConnectOptions, Target};
use crate::ring::SocketAddress;

/// The longest line that is taken, unless the caller says otherwise.
const LINE_MAX: usize = 1024 * 1024;

/// How a client of messages is made.
#[derive(Debug, Clone)]
pub struct MessagesOptions {
    /// How to connect.
    pub connect: ConnectOptions,
    /// The longest line that is taken.
    pub line_max: usize,
}

impl Default for MessagesOptions {
    fn default() -> Self {
        Self { connect: ConnectOptions::default(), line_max: LINE_MAX }
    }
}

/// A connection of messages. Dropping it closes it.
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{Messages, MessagesOptions};
///
/// let target = "localhost:7200".parse()?;
/// let mut client = Messages::connect(&target, &MessagesOptions::default())?;
/// assert_eq!(client.call("echo", b"hello", Duration::from_secs(5))?, b"hello");
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct Messages {
    line: Line,
    line_max: usize,
    /// What came and is not read; lines before `read` are.
    held: Vec<u8>,
    read: usize,
    /// What of it was searched for the end of a line.
    searched: usize,
    last_id: u64,
}

impl Messages {
    /// Connects to the first address of the target that answers.
    ///
    /// # Errors
    /// As of [`Tcp::connect`](super::Tcp::connect).
    pub fn connect(target: &Target, options: &MessagesOptions) -> Result<Self, ClientError> {
        let line = connect::connect(target, Kind::Stream, &options.connect)?;
        let line_max = options.line_max;
        Ok(Self { line, line_max, held: Vec::new(), read: 0, searched: 0, last_id: 0 })
    }

    /// The address at the other end.
    #[must_use]
    pub const fn peer(&self) -> SocketAddress {
        self.line.peer()
    }

    /// One exchange: the payload of the answer. Answers to earlier ones, which came too late, are
    /// passed over.
    ///
    /// # Errors
    /// What the peer refused, the network, or that the time is over; the connection goes on after
    /// the first and the last.
    pub fn call(
        &mut self,
        kind: &str,
        payload: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, ClientError> {
        let until = self.line.until(deadline);
        self.last_id += 1;
        let id = self.last_id;
        self.send(&request(kind, payload, Some(id)), deadline)?;
        loop {
            let line = self.next_until(until, deadline)?;
            if let Some(answer) = self.read_answer(&line, id) {
                return answer;
            }
        }
    }

    /// Sends one line, to which a line feed is added.
    ///
    /// # Errors
    /// Of the network, or that the time is over.
    pub fn send(&mut self, line: &str, deadline: Duration) -> Result<(), ClientError> {
        let until = self.line.until(deadline);
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.line.queue(&bytes);
        self.line.drain(until, deadline)
    }

    /// Waits for the next line, without its end.
    ///
    /// # Errors
    /// Of the network, that the peer has closed, that the line is too long or no text, or that the
    /// time is over.
    pub fn next(&mut self, deadline: Duration) -> Result<String, ClientError> {
        let until = self.line.until(deadline);
        self.next_until(until, deadline)
    }

    fn next_until(
        &mut self,
        until: Option<Instant>,
        deadline: Duration,
    ) -> Result<String, ClientError> {
        loop {
            if let Some(line) = self.held_line()? {
                return Ok(line);
            }
            if let Some(bytes) = self.line.take() {
                self.held.extend_from_slice(&bytes);
                continue;
            }
            if self.line.is_ended() {
                return Err(ClientError::Closed { peer: self.line.peer().to_string() });
            }
            self.line.check_receive()?;
            if self.line.is_over(until) {
                return Err(self.line.late(Waiting::Message, deadline));
            }
            self.line.receive();
            self.line.turn(until)?;
        }
    }

    /// The next whole line of those held. Empty lines are none.
    fn held_line(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            let rest = self.held.get(self.searched..).unwrap_or_default();
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.held.drain(..self.read);
                (self.read, self.searched) = (0, self.held.len());
                if self.held.len() > self.line_max {
                    return Err(self.wrong(format!("a line of more than {} bytes", self.line_max)));
                }
                return Ok(None);
            };
            let end = self.searched + end;
            let line = self.held.get(self.read..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let text = std::str::from_utf8(line).map(str::to_owned);
            (self.read, self.searched) = (end + 1, end + 1);
            match text {
                Ok(text) if text.is_empty() => {}
                Ok(text) => return Ok(Some(text)),
                Err(_) => return Err(self.wrong("a line that is not UTF-8".to_owned())),
            }
        }
    }

    /// What a line says to the request `id`; nothing, when it is of another one.
    fn read_answer(&self, line: &str, id: u64) -> Option<Result<Vec<u8>, ClientError>> {
        let answer: Map<String, Value> = match serde_json::from_str(line) {
            Ok(answer) => answer,
            Err(error) => return Some(Err(self.wrong(format!("no JSON object: {error}")))),
        };
        if answer.get("id").is_some_and(|found| !found.is_null() && *found != id) {
            return None;
        }
        let peer = self.line.peer().to_string();
        Some(match read(&answer) {
            Ok(payload) => Ok(payload),
            Err(Refusal::Error { code, text }) => Err(ClientError::Refused { peer, code, text }),
            Err(Refusal::Wrong(reason)) => Err(self.wrong(reason)),
        })
    }

    fn wrong(&self, reason: String) -> ClientError {
        ClientError::Message { peer: self.line.peer().to_string(), reason }
    }
}

/// Why an answer has no payload.
#[derive(Debug, PartialEq)]
enum Refusal {
    Error { code: String, text: String },
    Wrong(String),
}

/// The line of a message, without its end.
#[must_use]
pub fn message_line(kind: &str, payload: &[u8]) -> String {
    request(kind, payload, None)
}

/// The line of a request, without its end.
fn request(kind: &str, payload: &[u8], id: Option<u64>) -> String {
    let mut object = Map::new();
    object.insert("type".to_owned(), kind.into());
    object.insert("payload".to_owned(), STANDARD.encode(payload).into());
    if let Some(id) = id {
        object.insert("id".to_owned(), id.into());
    }
    Value::Object(object).to_string()
}

/// The payload of an answer; none is an empty one.
fn read(answer: &Map<String, Value>) -> Result<Vec<u8>, Refusal> {
    let text = |name: &str| match answer.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    if answer.get("type").and_then(Value::as_str) == Some("error") {
        return Err(Refusal::Error { code: text("code"), text: text("message") });
    }
    match answer.get("payload") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(payload)) => STANDARD
            .decode(payload)
            .map_err(|error| Refusal::Wrong(format!("a payload that is no base64: {error}"))),
        Some(_) => Err(Refusal::Wrong("a payload that is no text".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_lines_of_json() {
        assert_eq!(
            request("echo", b"hello", Some(7)),
            r#"{"id":7,"payload":"aGVsbG8=","type":"echo"}"#
        );
        assert_eq!(message_line("a\"b\n", b""), r#"{"payload":"","type":"a\"b\n"}"#);
    }

    #[test]
    fn answers_are_payloads_or_refusals() {
        let read = |line: &str| read(&serde_json::from_str(line).unwrap());
        assert_eq!(read(r#"{"type":"echo","payload":"aGVsbG8="}"#), Ok(b"hello".to_vec()));
        assert_eq!(read(r#"{"type":"ok"}"#), Ok(Vec::new()));
        let error = Refusal::Error { code: "not_found".to_owned(), text: "no such".to_owned() };
        let line = r#"{"type":"error","code":"not_found","message":"no such"}"#;
        assert_eq!(read(line), Err(error));
        let error = Refusal::Error { code: "17".to_owned(), text: String::new() };
        assert_eq!(read(r#"{"type":"error","code":17}"#), Err(error));
        for wrong in [r#"{"payload":"%"}"#, r#"{"payload":1}"#] {
            assert!(matches!(read(wrong), Err(Refusal::Wrong(_))), "{wrong}");
        }
    }
}
