//! What a program adds to the built-in services.

use std::fmt;

/// Answers the requests that the built-in services do not know: commands 0x40 to 0x7f of the
/// framed protocol, and types of messages. Each worker has its own value, made by the program.
pub trait Handler: fmt::Debug {
    /// Answers one request, into `answer`, which is empty at the call.
    ///
    /// # Errors
    /// The client is told, and may go on.
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal>;
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked.
    pub kind: Kind<'a>,
    /// What with.
    pub payload: &'a [u8],
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A command of the framed protocol, 0x40 to 0x7f.
    Command(u8),
    /// A type of message, of the framed protocol or of lines of JSON.
    Message(&'a str),
}

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is known by this name or number.
    #[error("no such request")]
    Unknown,
    /// The payload is not what the request takes.
    #[error("{0}")]
    BadPayload(String),
    /// It can not be answered now, and nothing was done.
    #[error("{0}")]
    Unavailable(String),
    /// Answering it failed.
    #[error("{0}")]
    Internal(String),
}

/// Knows nothing: what serves when a program adds nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoHandler;

impl Handler for NoHandler {
    fn handle(&mut self, _request: &Request<'_>, _answer: &mut Vec<u8>) -> Result<(), Refusal> {
        Err(Refusal::Unknown)
    }
}
