//! What a program adds to the services that are built in.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};

/// What a program adds to the built-in services. Each worker has its own value, made by the
/// program's factory; it is called on the worker's loop, which waits for it, so it must not block.
/// A panic in it costs that request (see [`Contained`]).
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

/// A handler whose panic costs the exchange in which it happens, and no other: the client gets an
/// error, and the handler is made again, as what it left half done is not to be trusted. Where
/// panics abort, as in the `ringway` binary, the process ends.
pub struct Contained {
    handler: Box<dyn Handler>,
    make: Box<dyn Fn() -> Box<dyn Handler>>,
    report: Box<dyn Fn(&str)>,
}

impl Contained {
    /// A handler of `make`, whose panics are told to `report`.
    #[must_use]
    pub fn new(make: Box<dyn Fn() -> Box<dyn Handler>>, report: Box<dyn Fn(&str)>) -> Self {
        Self { handler: make(), make, report }
    }
}

impl fmt::Debug for Contained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handler.fmt(f)
    }
}

impl Handler for Contained {
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        let handler = &mut self.handler;
        // What a panic leaves of the handler is dropped, and what it wrote is not used.
        contain(|| handler.handle(request, answer)).unwrap_or_else(|Panicked(text)| {
            (self.report)(&text);
            answer.clear();
            self.handler = (self.make)();
            Err(Refusal::Internal("the program failed at this request".to_owned()))
        })
    }
}

/// Code of the program panicked: what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panicked(pub(crate) String);

/// Calls code of the program. What a panic leaves half done is dropped by the caller.
pub(crate) fn contain<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let panicked = Panicked(text.unwrap_or("no message").to_owned());
        // What it was made with may panic when it is dropped.
        std::mem::forget(payload);
        panicked
    })
}

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
    fn a_panic_costs_one_request_and_the_handler_is_made_again() {
        #[derive(Debug, Default)]
        struct Counts(u8);
        impl Handler for Counts {
            fn handle(&mut self, request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
                self.0 += 1;
                out.push(self.0);
                assert_ne!(request.payload, b"panic", "as it was asked to");
                Ok(())
            }
        }
        let told = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let tell = std::rc::Rc::clone(&told);
        let report = move |text: &str| tell.borrow_mut().push(text.to_owned());
        let make = || Box::new(Counts::default()) as Box<dyn Handler>;
        let mut handler = Contained::new(Box::new(make), Box::new(report));
        let mut ask = |payload: &[u8]| {
            let mut answer = Vec::new();
            let request = Request { kind: Kind::Command(0x40), payload };
            let handled = handler.handle(&request, &mut answer);
            (handled.is_ok(), answer)
        };
        assert_eq!(ask(b"a"), (true, vec![1]));
        assert_eq!(ask(b"b"), (true, vec![2]));
        assert_eq!(ask(b"panic"), (false, vec![]));
        assert_eq!(ask(b"c"), (true, vec![1]), "nothing is left of the one that failed");
        assert!(told.borrow().len() == 1 && told.borrow()[0].contains("as it was asked to"));
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
