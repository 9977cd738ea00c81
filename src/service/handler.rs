//! What a program adds to the services that are built in.

use std::fmt;

/// What a program adds to the built-in services. Each worker has its own value, made by the
/// program's factory; it is called on the worker's loop, which waits for it, so it must not block.
pub trait Handler: fmt::Debug {
    /// Answers one request, into `answer` (empty at the call; what is written is the payload of
    /// the answer).
    ///
    /// # Errors
    /// Why there is no answer. What was written to `answer` is then dropped, and the client gets
    /// an error instead; its connection goes on.
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal>;
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked.
    pub kind: Kind<'a>,
    /// What came with it.
    pub payload: &'a [u8],
}

/// What is asked, by protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A frame's command, 0x40 to 0x7f.
    Command(u8),
    /// A message's type: none of the built-in ones.
    Message(&'a str),
}

/// Why a request gets no answer. The text goes to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody knows this kind of request.
    Unknown,
    /// The payload is not what the request needs.
    BadPayload(String),
    /// Not now; later, perhaps.
    Unavailable(String),
    /// The handler failed.
    Internal(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown kind of request"),
            Self::BadPayload(why) => write!(f, "bad payload: {why}"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
            Self::Internal(why) => write!(f, "internal error: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Adds nothing: refuses every request as unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoHandler;

impl Handler for NoHandler {
    fn handle(&mut self, _request: &Request<'_>, _answer: &mut Vec<u8>) -> Result<(), Refusal> {
        Err(Refusal::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_handler_knows_nothing() {
        let mut answer = Vec::new();
        for kind in [Kind::Command(0x40), Kind::Message("x")] {
            let request = Request { kind, payload: b"" };
            assert_eq!(NoHandler.handle(&request, &mut answer), Err(Refusal::Unknown));
        }
        assert!(answer.is_empty());
    }

    #[test]
    fn a_refusal_says_why() {
        let why = || "disk full".to_owned();
        let cases = [
            (Refusal::Unknown, "unknown kind of request"),
            (Refusal::BadPayload(why()), "bad payload: disk full"),
            (Refusal::Unavailable(why()), "unavailable: disk full"),
            (Refusal::Internal(why()), "internal error: disk full"),
        ];
        for (refusal, text) in cases {
            assert_eq!(refusal.to_string(), text);
        }
    }
}
