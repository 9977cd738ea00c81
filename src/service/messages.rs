//! Messages: one JSON object a line, answered by one. `docs/messages.md` is the protocol.
//!
//! | file | job |
//! |---|---|
//! | `envelope` | what a line says |
//! | `error` | what may be wrong with it |

mod envelope;
mod error;

use std::fmt::{self, Write};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use self::envelope::Envelope;
pub use self::error::MessageError;
use super::date::Rfc3339;
use super::handler::{Handler, Kind, Refusal, Request};
use crate::proto::lines::LineError;

/// Bytes of a message's type at most.
pub const TYPE_MAX: usize = 255;
/// Bytes of a message's id at most, as it stands in the line, quotes included.
pub const ID_MAX: usize = 128;
/// Memory that is kept for the next message.
const KEPT: usize = 1 << 20;

/// Answers messages. It remembers nothing of them: one value serves all connections of a worker,
/// and is there to use memory again. Both buffers are empty between two messages.
#[derive(Debug, Default)]
pub struct Messages {
    /// The payload under way, decoded.
    payload: Vec<u8>,
    /// The payload of the answer, before it is encoded.
    answer: Vec<u8>,
}

impl Messages {
    /// Answers the message in `line` by appending exactly one line to `out`, which tells of the
    /// error if there is one. `stats` writes the JSON that a message of type `stats` is answered
    /// with; `now_utc` is the time since 1970-01-01 UTC.
    ///
    /// # Errors
    /// What was answered with an error, for counting: the answer is in `out` either way.
    pub fn answer(
        &mut self,
        line: &[u8],
        now_utc: Duration,
        stats: &mut dyn FnMut(&mut Vec<u8>),
        handler: &mut dyn Handler,
        out: &mut Vec<u8>,
    ) -> Result<(), MessageError> {
        let start = out.len();
        let mut envelope = Envelope::default();
        let answered = envelope
            .read(line)
            .and_then(|()| self.reply(&envelope, now_utc, stats, handler, out))
            .inspect_err(|error| {
                out.truncate(start);
                push_error(error, out);
            });
        push_end(envelope.id, out);
        for buffer in [&mut self.payload, &mut self.answer] {
            buffer.clear();
            buffer.shrink_to(KEPT);
        }
        answered
    }

    /// Answers a line that could not be read, by appending one line to `out`. Returns what was
    /// told, for counting.
    pub fn refuse(error: LineError, out: &mut Vec<u8>) -> MessageError {
        let error = match error {
            LineError::TooLong { limit } => MessageError::LineTooLong(limit),
            LineError::Unfinished => MessageError::UnfinishedLine,
        };
        push_error(&error, out);
        push_end(None, out);
        error
    }

    /// Appends the answer, but for the id and the end.
    fn reply(
        &mut self,
        envelope: &Envelope<'_>,
        now_utc: Duration,
        stats: &mut dyn FnMut(&mut Vec<u8>),
        handler: &mut dyn Handler,
        out: &mut Vec<u8>,
    ) -> Result<(), MessageError> {
        let kind = envelope.kind()?;
        let text = envelope.payload()?;
        STANDARD
            .decode_vec(&*text, &mut self.payload)
            .map_err(|error| MessageError::BadPayload(format!("not base64: {error}")))?;
        push(out, r#"{"type":"#);
        push_string(&kind, out);
        match &*kind {
            "echo" => {
                // What was decoded has but one encoding, which is the text that came.
                push(out, format_args!(r#","payload":"{text}""#));
                return Ok(());
            }
            "time" => {
                push(out, format_args!(r#","unix":{}"#, now_utc.as_secs()));
                push(&mut self.answer, Rfc3339(now_utc));
            }
            "stats" => stats(&mut self.answer),
            other => {
                let request = Request { kind: Kind::Message(other), payload: &self.payload };
                let handled = handler.handle(&request, &mut self.answer);
                handled.map_err(|refusal| refused(refusal, other))?;
            }
        }
        push(out, r#","payload":""#);
        push_base64(&self.answer, out);
        push(out, "\"");
        Ok(())
    }
}

fn refused(refusal: Refusal, kind: &str) -> MessageError {
    match refusal {
        Refusal::Unknown => MessageError::UnknownType(error::excerpt(kind)),
        Refusal::BadPayload(why) => MessageError::BadPayload(why),
        Refusal::Unavailable(why) => MessageError::Unavailable(why),
        Refusal::Internal(why) => MessageError::Internal(why),
    }
}

/// Appends an error, but for the id and the end.
fn push_error(error: &MessageError, out: &mut Vec<u8>) {
    push(out, format_args!(r#"{{"type":"error","code":"{}","message":"#, error.code()));
    push_string(&error.to_string(), out);
}

/// Ends an answer: the id as it came, if there is one.
fn push_end(id: Option<&str>, out: &mut Vec<u8>) {
    if let Some(id) = id {
        push(out, format_args!(r#","id":{id}"#));
    }
    push(out, "}\n");
}

/// Appends a text as a JSON string.
fn push_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("a Vec takes any string");
}

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let len = base64::encoded_len(bytes.len(), true).expect("a Vec is shorter than a third of all");
    let start = out.len();
    out.resize(start + len, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]);
    assert_eq!(written, Ok(len), "the room is as long as the encoding");
}

fn push(out: &mut Vec<u8>, text: impl fmt::Display) {
    write!(Sink(out), "{text}").expect("a Vec takes any text");
}

/// Bytes that are written to as text.
struct Sink<'a>(&'a mut Vec<u8>);

impl Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
