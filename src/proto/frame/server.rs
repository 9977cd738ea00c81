//! The server's end of a connection.

use super::{
    Code, Command, FLAG_IDEMPOTENT, Features, Frame, FrameError, GoAway, Header, Hello, Reader,
    Version, header, parse_credit, write_error_payload,
};

/// What a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOptions {
    /// Requests of one connection that may be open.
    pub window: u16,
    /// The largest payload that it takes and sends.
    pub max_payload: u16,
    /// What can be asked.
    pub features: Features,
}

/// The server's end of a connection: takes bytes, gives requests, writes answers.
///
/// ```text
///              HELLO / HELLO                         first fatal error, GOAWAY and no open request
///   ┌───────┐ ───────────────> ┌──────┐ ─────────────────────────────────────────────> closed
///   │ fresh │                  │ open │ <─┐ requests / answers, in version 1 in their order
///   └───────┘ ───────────────> └──────┘ ──┘
///              any request (version 1, the server's own limits)
/// ```
///
/// Calling order: [`Server::next`] for each piece of input until it gives `None`; each request is
/// answered with [`Server::answer`] (any number of DATA frames before the last frame) or
/// [`Server::refuse`]; answers of version 1 in the order of the requests. After an error, what was
/// asked before may still be answered; then [`Server::fail`], and the connection is closed.
#[derive(Debug)]
pub struct Server {
    reader: Reader,
    options: ServerOptions,
    version: Version,
    /// What the reader has to be told before it reads on.
    agreed: Option<Version>,
    /// No frame came yet.
    fresh: bool,
    /// Requests so far, those refused among them.
    requests: u64,
    last_stream: u32,
    /// With flow control: DATA that each answer may carry before the client gives it more.
    credit: u32,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerEvent<'a> {
    /// A request.
    Request(Request<'a>),
    /// A request that the protocol does not allow: to be refused with this code, in its turn.
    Refused {
        /// Its stream; 0 in version 1.
        stream: u32,
        /// Why.
        code: Code,
        /// Why, for people.
        text: &'static str,
    },
    /// The client said HELLO, and the answer is written.
    Greeted,
    /// An answer may carry so many more bytes of DATA. It may be over already.
    Credit {
        /// The stream of the request.
        stream: u32,
        /// How many.
        bytes: u32,
    },
    /// The client no longer waits for an answer. Unless its last frame is written already, refuse
    /// it with [`Code::Cancelled`].
    Reset {
        /// The stream of the request.
        stream: u32,
    },
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its stream; 0 in version 1.
    pub stream: u32,
    /// What is asked.
    pub command: Command,
    /// What with.
    pub payload: &'a [u8],
    /// Whether it may be carried out twice without harm.
    pub idempotent: bool,
    /// Its flags; 0 in version 1.
    pub flags: u8,
    /// All bytes of its frame.
    pub bytes: &'a [u8],
    /// Whether those are the last of the input that were read.
    pub in_input: bool,
}

impl Server {
    /// The end of a new connection.
    #[must_use]
    pub fn new(options: ServerOptions) -> Self {
        let reader = Reader::new(Version::V1, options.max_payload);
        let version = Version::V1;
        Self {
            reader,
            options,
            version,
            agreed: None,
            fresh: true,
            requests: 0,
            last_stream: 0,
            credit: 0,
        }
    }

    /// With flow control, the bytes of DATA that an answer may carry before the client gives it
    /// more credit. `None` without: any number.
    #[must_use]
    pub fn credit(&self) -> Option<u32> {
        let is_agreed = self.version == Version::V2 && self.options.features.has(Features::FLOW);
        is_agreed.then_some(self.credit)
    }

    /// The version that is spoken now.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Requests that may be open.
    #[must_use]
    pub const fn window(&self) -> u16 {
        self.options.window
    }

    /// The largest payload that an answer may have.
    #[must_use]
    pub const fn max_payload(&self) -> u16 {
        self.options.max_payload
    }

    /// Takes the ECHO requests at the start of `input`, up to the first frame that is none, or not
    /// whole or not right: how many there are, and their bytes, which are also the answers. Only in
    /// version 1.
    #[inline]
    pub fn next_echoes(&mut self, input: &mut &[u8]) -> (u64, usize) {
        if self.agreed.is_some() {
            return (0, 0);
        }
        let (count, bytes) = self.reader.run(Command::ECHO, input);
        self.requests += count;
        self.fresh &= count == 0;
        (count, bytes)
    }

    /// Takes the next frame from `input`; `None` when there is no whole one. The answer to HELLO
    /// goes to `out`.
    ///
    /// # Errors
    /// What ends the connection.
    #[inline]
    pub fn next<'f, 'i: 'f>(
        &'f mut self,
        input: &mut &'i [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent<'f>>, FrameError> {
        let Self { reader, options, version, agreed, fresh, requests, last_stream, credit } = self;
        if let Some(version) = agreed.take() {
            reader.agree(version, options.max_payload);
        }
        let Some(frame) = reader.next(input)? else {
            return Ok(None);
        };
        let command = frame.header.command;
        if command == Command::HELLO && *fresh {
            *fresh = false;
            let Ok(offer) = Hello::parse(frame.payload) else {
                *requests += 1;
                return Ok(Some(refused(0, Code::BadPayload, "a HELLO that is none")));
            };
            *version = greet(options, &offer, out)?;
            *credit = offer.credit;
            *agreed = Some(*version);
            return Ok(Some(ServerEvent::Greeted));
        }
        *fresh = false;
        let stream = frame.header.stream;
        if frame.header.version == Version::V2 {
            if options.features.has(Features::FLOW)
                && let Some(event) = flow(&frame, *last_stream)?
            {
                return Ok(Some(event));
            }
            if stream <= *last_stream {
                return Err(FrameError::Stream { stream, last: *last_stream });
            }
            *last_stream = stream;
        }
        *requests += 1;
        let features = match frame.header.version {
            Version::V1 => options.features.without(Features::FLOW),
            Version::V2 => options.features,
        };
        Ok(Some(request(&frame, features)))
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// When they ended within a frame.
    pub fn at_end(&self) -> Result<(), FrameError> {
        self.reader.at_end()
    }

    /// Writes one frame of an answer.
    ///
    /// # Panics
    /// When the payload is longer than 65,535 bytes.
    pub fn answer(&self, stream: u32, command: Command, payload: &[u8], out: &mut Vec<u8>) {
        header::write(&self.answer_header(stream, command), payload, out);
    }

    /// The header of one frame of an answer, for a payload that is sent from where it lies.
    #[must_use]
    pub const fn answer_header(&self, stream: u32, command: Command) -> Header {
        Header::answer(self.version, command, stream)
    }

    /// Answers a request with an error; the connection goes on.
    pub fn refuse(&self, stream: u32, code: Code, text: &str, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(2 + text.len());
        write_error_payload(code, text, self.options.max_payload, &mut payload);
        self.answer(stream, Command::ERROR, &payload, out);
    }

    /// Says that no new request is taken; those that came so far are answered.
    pub fn go_away(&self, code: Code, text: &str, out: &mut Vec<u8>) {
        let last = match self.version() {
            Version::V1 => self.requests,
            Version::V2 => self.last_stream.into(),
        };
        let mut payload = Vec::new();
        GoAway::write(last, code, text, self.options.max_payload, &mut payload);
        self.answer(0, Command::GOAWAY, &payload, out);
    }

    /// Tells the peer why the connection closes. A peer of another version is told which ones are
    /// spoken here, in the form that all versions read.
    pub fn fail(&self, error: &FrameError, out: &mut Vec<u8>) {
        let Some(code) = error.code() else { return };
        let mut version = self.version();
        if let FrameError::Version { .. } = error {
            version = Version::V1;
            hello(&hello_of(&self.options, 0), out);
        }
        let mut payload = Vec::new();
        write_error_payload(code, &error.to_string(), self.options.max_payload, &mut payload);
        header::write(&Header::answer(version, Command::ERROR, 0), &payload, out);
    }
}

/// What a frame does to the flow of an answer, if that is what it is for.
#[inline]
fn flow(frame: &Frame<'_>, last: u32) -> Result<Option<ServerEvent<'static>>, FrameError> {
    let Header { command, stream, .. } = frame.header;
    if command != Command::CREDIT && command != Command::RESET {
        return Ok(None);
    }
    if stream == 0 || stream > last {
        return Err(FrameError::Stream { stream, last });
    }
    if command == Command::RESET {
        return Ok(Some(ServerEvent::Reset { stream }));
    }
    let bytes = parse_credit(frame.payload);
    let bytes = bytes.map_err(|source| FrameError::Credit { stream, source })?;
    Ok(Some(ServerEvent::Credit { stream, bytes }))
}

/// What a frame of an open connection asks.
#[inline]
fn request<'a>(frame: &Frame<'a>, features: Features) -> ServerEvent<'a> {
    let Frame { header, payload, bytes, in_input } = *frame;
    let Header { command, stream, flags, .. } = header;
    if !features.has(command.feature()) {
        return refused(stream, Code::UnknownCommand, "this command was not agreed on");
    }
    if command.is_request() {
        let idempotent = flags & FLAG_IDEMPOTENT != 0 || command.is_idempotent();
        let request = Request { stream, command, payload, idempotent, flags, bytes, in_input };
        return ServerEvent::Request(request);
    }
    if command == Command::HELLO {
        refused(stream, Code::WrongState, "HELLO is only for the first frame")
    } else if command.is_known() {
        refused(stream, Code::WrongState, "this command is no request")
    } else {
        refused(stream, Code::UnknownCommand, "no such command")
    }
}

const fn refused(stream: u32, code: Code, text: &'static str) -> ServerEvent<'static> {
    ServerEvent::Refused { stream, code, text }
}

/// Agrees with a client's offer, and answers it.
fn greet(
    options: &mut ServerOptions,
    offer: &Hello,
    out: &mut Vec<u8>,
) -> Result<Version, FrameError> {
    let Some(version) = offer.common_version() else {
        hello(&hello_of(options, 0), out);
        return Err(FrameError::NoCommonVersion { lowest: offer.lowest, highest: offer.highest });
    };
    options.window = options.window.min(offer.window);
    options.max_payload = options.max_payload.min(offer.max_payload);
    options.features = options.features.and(offer.features);
    if version == Version::V1 {
        options.features = options.features.without(Features::FLOW);
    }
    let answer = Hello { credit: offer.credit, ..hello_of(options, version.number()) };
    hello(&answer, out);
    Ok(version)
}

fn hello_of(options: &ServerOptions, chosen: u8) -> Hello {
    let has_flow = chosen == Version::V2.number();
    let features = options.features;
    Hello {
        lowest: Version::LOWEST.number(),
        highest: Version::HIGHEST.number(),
        chosen,
        window: options.window,
        max_payload: options.max_payload,
        features: if has_flow { features } else { features.without(Features::FLOW) },
        credit: 0,
    }
}

/// HELLO has the layout of version 1, whatever is chosen.
fn hello(hello: &Hello, out: &mut Vec<u8>) {
    header::write(&Header::new(Version::V1, Command::HELLO), &hello.to_bytes(), out);
}
