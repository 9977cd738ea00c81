//! The framed protocol's built-in service: PING, ECHO, MESSAGE, GET, STATS, and what a program
//! adds.

pub mod transfers;

use std::collections::BTreeMap;

use super::handler::{self, Handler, Kind, Refusal};
use super::topics::{Fault, Publication};
use crate::proto::frame::{
    Code, Command, End, FrameError, Header, Request, Server, ServerEvent, ServerOptions, Version,
    parse_message, parse_name, write_error_payload, write_frame,
};

/// What the service offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameService {
    /// Limits and features.
    pub server: ServerOptions,
    /// What GET of a name gives.
    pub values: BTreeMap<String, Vec<u8>>,
    /// Whether GET of other names may give files.
    pub has_files: bool,
    /// Whether messages of the type [`PUBLISH`] publish to topics.
    pub publishes: bool,
}

/// The type of messages that publish: their payloads are those of the binary format of topics.
pub const PUBLISH: &str = "publish";

/// What one connection did since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests, in the order of [`Tally::KINDS`].
    pub requests: [u32; 6],
    /// Requests that were refused, in the order of [`Code::ALL`].
    pub errors: [u16; Code::ALL.len()],
    /// Whether any was refused.
    pub has_errors: bool,
}

impl Tally {
    /// The kinds of requests that are counted apart.
    pub const KINDS: [&'static str; 6] = ["ping", "echo", "message", "get", "stats", "custom"];

    fn count(&mut self, command: Command) {
        let kind = match command {
            Command::PING => 0,
            Command::ECHO => 1,
            Command::MESSAGE => 2,
            Command::GET => 3,
            Command::STATS => 4,
            _ => 5,
        };
        self.requests[kind] += 1;
    }

    /// Counts an answer that says what went wrong.
    pub fn error(&mut self, code: Code) {
        self.errors[code.index()] = self.errors[code.index()].saturating_add(1);
        self.has_errors = true;
    }
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Served {
    /// There is no whole frame left in the input.
    Nothing,
    /// The answer is written.
    Written,
    /// The answer is, byte for byte, what was read last: so many bytes.
    Same(usize),
    /// The answer is a file, if there is one of this name. In version 1, nothing else is answered
    /// before it.
    File {
        /// The stream of the request.
        stream: u32,
        /// The name that was asked for.
        name: String,
    },
    /// The answer is this value, and larger than the client allows at once.
    Value {
        /// The stream of the request.
        stream: u32,
        /// The name that was asked for, which is one of the service's.
        name: String,
    },
    /// An answer may carry more.
    Credit {
        /// The stream of the request.
        stream: u32,
        /// How many bytes.
        bytes: u32,
    },
    /// The client no longer waits for an answer.
    Reset {
        /// The stream of the request.
        stream: u32,
    },
}

/// What a program and a server give to answers.
pub struct Sources<'a> {
    /// What the program adds.
    pub handler: &'a mut dyn Handler,
    /// Writes the server's counters, as JSON.
    pub stats: &'a dyn Fn(&mut Vec<u8>),
    /// Publishes to the topics of the service, where there are any.
    pub publish: &'a mut dyn FnMut(Publication) -> Result<(), Fault>,
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("handler", &self.handler).finish_non_exhaustive()
    }
}

/// Answers one connection.
///
/// Calling order: [`Responder::next`] until it says [`Served::Nothing`]; after [`Served::File`] and
/// [`Served::Value`], [`Responder::header`] and [`Responder::end_parts`], or [`Responder::refuse`];
/// in version 1 before the next call. After an error, [`Responder::fail`], and the connection is
/// closed.
#[derive(Debug)]
pub struct Responder {
    server: Server,
    tally: Tally,
    /// GOAWAY was sent: what is asked behind it is passed over.
    is_going: bool,
    /// What a handler or the counters write, to be framed.
    scratch: Vec<u8>,
    /// What a handler writes, to come behind the type of a message.
    body: Vec<u8>,
}

impl Responder {
    /// A new connection.
    #[must_use]
    pub fn new(service: &FrameService) -> Self {
        let server = Server::new(service.server);
        let (scratch, body) = (Vec::new(), Vec::new());
        Self { server, tally: Tally::default(), is_going: false, scratch, body }
    }

    /// What was counted since the last call.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Answers the next frame of `input`, into `out`.
    ///
    /// # Errors
    /// What the client did that ends the connection.
    pub fn next(
        &mut self,
        service: &FrameService,
        input: &mut &[u8],
        sources: &mut Sources<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Served, FrameError> {
        let Self { server, tally, is_going, scratch, body } = self;
        if let (echoes @ 1.., bytes) = server.next_echoes(input) {
            tally.requests[1] += u32::try_from(echoes).unwrap_or(u32::MAX);
            return Ok(Served::Same(bytes));
        }
        let limits @ (version, max, _) = limits_of(server);
        let request = match server.next(input, out)? {
            None => return Ok(Served::Nothing),
            Some(ServerEvent::Credit { stream, bytes }) => {
                return Ok(Served::Credit { stream, bytes });
            }
            Some(ServerEvent::Reset { stream }) => return Ok(Served::Reset { stream }),
            Some(ServerEvent::Greeted) => return Ok(Served::Written),
            // GOAWAY said that it is not carried out.
            Some(_) if *is_going => return Ok(Served::Written),
            Some(ServerEvent::Refused { stream, code, text }) => {
                tally.error(code);
                refuse((version, max), stream, code, text, out);
                return Ok(Served::Written);
            }
            Some(ServerEvent::Request(request)) => request,
        };
        let Request { stream, command, .. } = request;
        tally.count(command);
        let answer = |command, payload: &[u8], out: &mut Vec<u8>| {
            write_frame(&Header::answer(version, command, stream), payload, out);
        };
        let refused = match command {
            Command::ECHO if request.in_input => return Ok(Served::Same(request.bytes.len())),
            Command::ECHO => {
                out.extend_from_slice(request.bytes);
                return Ok(Served::Written);
            }
            Command::PING => {
                answer(Command::PONG, request.payload, out);
                return Ok(Served::Written);
            }
            Command::STATS => {
                scratch.clear();
                (sources.stats)(scratch);
                None
            }
            Command::GET => match get(service, limits, &request, out) {
                Got::Written => return Ok(Served::Written),
                Got::Value(name) => return Ok(Served::Value { stream, name }),
                Got::File(name) => return Ok(Served::File { stream, name }),
                Got::Refused(code, text) => Some((code, text)),
            },
            _ => ask(service, sources, &request, scratch, body).err(),
        };
        let (code, text) = match refused {
            None if scratch.len() <= usize::from(max) => {
                answer(command, scratch, out);
                return Ok(Served::Written);
            }
            None => (Code::AnswerTooLarge, format!("the answer has {} bytes", scratch.len())),
            Some(refused) => refused,
        };
        tally.error(code);
        refuse((version, max), stream, code, &text, out);
        Ok(Served::Written)
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// When they ended within a frame.
    pub fn at_end(&self) -> Result<(), FrameError> {
        self.server.at_end()
    }

    /// The largest payload of an answer.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        usize::from(self.server.max_payload())
    }

    /// The header of one frame of an answer, for a payload that is sent from where it lies.
    #[must_use]
    pub const fn header(&self, stream: u32, command: Command) -> Header {
        self.server.answer_header(stream, command)
    }

    /// GOAWAY was sent, and reading goes on, for the credit of what is open: requests are passed
    /// over.
    pub const fn close_door(&mut self) {
        self.is_going = true;
    }

    /// The version that is spoken, and with flow control the credit that each answer begins with.
    #[must_use]
    pub fn flow(&self) -> (Version, Option<u32>) {
        (self.server.version(), self.server.credit())
    }

    /// Requests that may be open.
    #[must_use]
    pub fn window(&self) -> usize {
        usize::from(self.server.window())
    }

    /// Writes the end of an answer that came in parts.
    pub fn end_parts(&self, stream: u32, end: End, out: &mut Vec<u8>) {
        self.server.answer(stream, Command::END, &end.to_bytes(), out);
    }

    /// Answers a request with an error.
    pub fn refuse(&mut self, stream: u32, code: Code, text: &str, out: &mut Vec<u8>) {
        self.tally.error(code);
        self.server.refuse(stream, code, text, out);
    }

    /// Says that no new request is taken.
    pub fn go_away(&self, code: Code, text: &str, out: &mut Vec<u8>) {
        self.server.go_away(code, text, out);
    }

    /// Tells the client what it did wrong.
    pub fn fail(&mut self, error: &FrameError, out: &mut Vec<u8>) {
        if let Some(code) = error.code() {
            self.tally.error(code);
        }
        self.server.fail(error, out);
    }
}

/// The version, the largest payload, and with flow control the credit that answers begin with.
fn limits_of(server: &Server) -> (Version, u16, Option<u32>) {
    (server.version(), server.max_payload(), server.credit())
}

fn refuse((version, max): (Version, u16), stream: u32, code: Code, text: &str, out: &mut Vec<u8>) {
    let mut payload = Vec::with_capacity(2 + text.len());
    write_error_payload(code, text, max, &mut payload);
    write_frame(&Header::answer(version, Command::ERROR, stream), &payload, out);
}

enum Got {
    Written,
    File(String),
    Value(String),
    Refused(Code, String),
}

/// Answers a GET: a value from memory, or the name of what may be a file.
fn get(
    service: &FrameService,
    (version, max, credit): (Version, u16, Option<u32>),
    request: &Request<'_>,
    out: &mut Vec<u8>,
) -> Got {
    let name = match parse_name(request.payload) {
        Ok(name) => name,
        Err(error) => return Got::Refused(Code::BadPayload, error.to_string()),
    };
    let Some(value) = service.values.get(name) else {
        return if service.has_files && is_file_name(name) {
            Got::File(name.to_owned())
        } else {
            Got::Refused(Code::NotFound, not_found(name))
        };
    };
    if credit.is_some_and(|credit| value.len() > credit as usize) {
        return Got::Value(name.to_owned());
    }
    for part in value.chunks(usize::from(max)) {
        write_frame(&Header::answer(version, Command::DATA, request.stream), part, out);
    }
    let end = End { total: value.len() as u64, checksum: crc32fast::hash(value) };
    write_frame(&Header::answer(version, Command::END, request.stream), &end.to_bytes(), out);
    Got::Written
}

/// What a client is told of a name that leads nowhere.
#[must_use]
pub fn not_found(name: &str) -> String {
    format!("nothing is called {name:?}")
}

/// Whether a name can be that of a file: a relative path, no part of which begins with a dot.
fn is_file_name(name: &str) -> bool {
    !name.contains('\0') && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// Asks what the program has added, or answers a built-in type of message.
fn ask(
    service: &FrameService,
    sources: &mut Sources<'_>,
    request: &Request<'_>,
    answer: &mut Vec<u8>,
    body: &mut Vec<u8>,
) -> Result<(), (Code, String)> {
    answer.clear();
    body.clear();
    let (kind, payload) = if request.command == Command::MESSAGE {
        let (kind, payload) = parse_message(request.payload)
            .map_err(|error| (Code::BadPayload, error.to_string()))?;
        let head = request.payload.len() - payload.len();
        answer.extend_from_slice(request.payload.get(..head).unwrap_or_default());
        if kind == "echo" {
            answer.extend_from_slice(payload);
            return Ok(());
        }
        if kind == PUBLISH && service.publishes {
            return publish(payload, sources.publish);
        }
        (Kind::Message(kind), payload)
    } else {
        (Kind::Command(request.command.0), request.payload)
    };
    let result = sources.handler.handle(&handler::Request { kind, payload }, body);
    answer.extend_from_slice(body);
    result.map_err(|refusal| {
        let code = match refusal {
            Refusal::Unknown => Code::UnknownCommand,
            Refusal::BadPayload(_) => Code::BadPayload,
            Refusal::Unavailable(_) => Code::Unavailable,
            Refusal::Internal(_) => Code::Internal,
        };
        (code, refusal.to_string())
    })
}

/// Publishes what a message says.
fn publish(
    payload: &[u8],
    publish: &mut dyn FnMut(Publication) -> Result<(), Fault>,
) -> Result<(), (Code, String)> {
    let published = Publication::of_binary(payload).and_then(publish);
    published.map_err(|fault| {
        let code = match fault {
            Fault::RetainedFull | Fault::TooManyFilters(_) => Code::Overloaded,
            Fault::BadMessage(_)
            | Fault::UnknownOp
            | Fault::InvalidTopic(_)
            | Fault::InvalidFilter(_)
            | Fault::NotPermitted(_)
            | Fault::TooManySubscriptions(_)
            | Fault::NotSubscribed
            | Fault::TooDeep
            | Fault::TooLarge(_) => Code::BadPayload,
        };
        (code, format!("{}: {fault}", fault.code()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::frame::{Features, PAYLOAD_MAX, Reader, message, parse_error};

    fn service() -> FrameService {
        let values = [("motd", &b"Ringway carries frames"[..]), ("empty", b"")];
        FrameService {
            server: ServerOptions { window: 8, max_payload: 64, features: Features::ALL },
            values: values.map(|(name, value)| (name.to_owned(), value.to_vec())).into(),
            has_files: true,
            publishes: true,
        }
    }

    #[derive(Debug)]
    struct Upper;

    impl Handler for Upper {
        fn handle(
            &mut self,
            request: &handler::Request<'_>,
            answer: &mut Vec<u8>,
        ) -> Result<(), Refusal> {
            match request.kind {
                Kind::Command(0x40) | Kind::Message("upper") => {
                    answer.extend(request.payload.iter().map(u8::to_ascii_uppercase));
                    Ok(())
                }
                Kind::Command(0x41) => Err(Refusal::Unavailable("closed on Sundays".to_owned())),
                Kind::Command(_) | Kind::Message(_) => Err(Refusal::Unknown),
            }
        }
    }

    /// The answers to one request, as `COMMAND payload`.
    fn ask_one(command: Command, payload: &[u8]) -> Vec<String> {
        let service = service();
        let mut responder = Responder::new(&service);
        let mut input = Vec::new();
        write_frame(&Header::new(Version::V1, command), payload, &mut input);
        let mut publish = |one: Publication| match one.topic().as_str() {
            "full" => Err(Fault::RetainedFull),
            _ => Ok(()),
        };
        let mut sources = Sources {
            handler: &mut Upper,
            stats: &|out| out.extend_from_slice(b"{}"),
            publish: &mut publish,
        };
        let (mut rest, mut out) = (&*input, Vec::new());
        match responder.next(&service, &mut rest, &mut sources, &mut out) {
            Ok(Served::Written) => {}
            Ok(Served::Same(len)) => out.extend_from_slice(&input[input.len() - len..]),
            other => return vec![format!("{other:?}")],
        }
        let mut reader = Reader::new(Version::V1, PAYLOAD_MAX);
        let (mut out, mut answers) = (&*out, Vec::new());
        while let Some(frame) = reader.next(&mut out).unwrap() {
            let text = match frame.header.command {
                Command::ERROR => {
                    let (code, text) = parse_error(frame.payload).unwrap();
                    format!("{code:#x} {text}")
                }
                _ => frame.payload.escape_ascii().to_string(),
            };
            answers.push(format!("{} {text}", frame.header.command));
        }
        answers
    }

    #[test]
    fn messages_publish_to_the_topics_of_the_service() {
        let message = |topic: &str, payload: &[u8]| {
            let len = u16::try_from(topic.len()).unwrap().to_be_bytes();
            [&b"\x07publish\x01"[..], &len, topic.as_bytes(), payload].concat()
        };
        assert_eq!(ask_one(Command::MESSAGE, &message("a", b"hi")), ["MESSAGE \\x07publish"]);
        let full = ask_one(Command::MESSAGE, &message("full", b"hi"));
        assert!(full[0].contains("retained_full"), "{full:?}");
        let invalid = ask_one(Command::MESSAGE, &message("a/+", b"hi"));
        assert!(invalid[0].contains("invalid_topic"), "{invalid:?}");
    }

    #[test]
    fn every_command_has_its_answer() {
        let upper = message("upper", b"abc");
        let nope = message("nope", b"");
        let talk = message("echo", b"abc");
        let checksum = crc32fast::hash(b"Ringway carries frames").to_be_bytes();
        let end =
            format!("END \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x16{}", checksum.escape_ascii());
        let cases: &[(Command, &[u8], &[&str])] = &[
            (Command::PING, b"x", &["PONG x"]),
            (Command::ECHO, b"hello", &["ECHO hello"]),
            (Command::STATS, b"", &["STATS {}"]),
            (Command::MESSAGE, &talk, &["MESSAGE \\x04echoabc"]),
            (Command::MESSAGE, &upper, &["MESSAGE \\x05upperABC"]),
            (Command::MESSAGE, &nope, &["ERROR 0x10 unknown kind of request"]),
            (Command::MESSAGE, b"\x09x", &["ERROR 0x12 the payload has 2 bytes, fewer than 10"]),
            (Command::GET, b"motd", &["DATA Ringway carries frames", &end]),
            (
                Command::GET,
                b"empty",
                &["END \\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00"],
            ),
            (Command::GET, b"../etc", &["ERROR 0x13 nothing is called \"../etc\""]),
            (Command::GET, b"a//b", &["ERROR 0x13 nothing is called \"a//b\""]),
            (Command::GET, b".hidden", &["ERROR 0x13 nothing is called \".hidden\""]),
            (Command::GET, b"", &["ERROR 0x12 a name has 1 to 255 bytes"]),
            (Command(0x40), b"abc", &["command 0x40 ABC"]),
            (Command(0x41), b"", &["ERROR 0x21 unavailable: closed on Sundays"]),
            (Command(0x42), b"", &["ERROR 0x10 unknown kind of request"]),
            (Command(0x7e), b"", &["ERROR 0x10 unknown kind of request"]),
            (Command::PONG, b"", &["ERROR 0x11 this command is no request"]),
            (Command(0x33), b"", &["ERROR 0x10 no such command"]),
        ];
        for (command, payload, expected) in cases {
            assert_eq!(ask_one(*command, payload), *expected, "{command} {payload:?}");
        }
        assert_eq!(ask_one(Command::GET, b"a/b"), ["Ok(File { stream: 0, name: \"a/b\" })"]);
    }
}
