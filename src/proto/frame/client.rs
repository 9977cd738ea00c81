//! The client's end of a connection.

use std::collections::VecDeque;

use super::Code;
use super::{
    CREDIT_MAX, Command, FLAG_IDEMPOTENT, FLAG_LAST, Features, Frame, FrameError, GoAway, Header,
    Hello, Reader, Version, header, parse_error,
};

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientOptions {
    /// The highest version to offer.
    pub highest: Version,
    /// Requests that may be open.
    pub window: u16,
    /// The largest payload that it takes and sends.
    pub max_payload: u16,
    /// What it may ask.
    pub features: Features,
    /// With [`Features::FLOW`]: bytes of DATA that an answer may carry before [`Client::credit`].
    pub credit: u32,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            highest: Version::HIGHEST,
            window: u16::MAX,
            max_payload: super::PAYLOAD_MAX,
            features: Features::REQUESTS,
            credit: 0,
        }
    }
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The version of all frames that follow.
    pub version: Version,
    /// Requests that may be open.
    pub window: u16,
    /// The largest payload of a frame.
    pub max_payload: u16,
    /// What can be asked.
    pub features: Features,
}

/// The client's end of a connection: writes requests, takes bytes, gives answers. `T` is what the
/// caller knows an exchange by.
///
/// ```text
///   ┌───────┐  hello()   ┌──────────┐  HELLO  ┌──────┐  GOAWAY  ┌───────┐  last answer
///   │ fresh │ ─────────> │ greeting │ ──────> │ open │ ───────> │ going │ ────────────> closed
///   └───────┘            └──────────┘         └──────┘          └───────┘
/// ```
///
/// Calling order: [`Client::hello`]; [`Client::next`] for each piece of input until it gives
/// `None`; [`Client::begin`] after [`ClientEvent::Ready`], while [`Client::can_begin`]. When the
/// connection is lost, [`Client::take_open`] tells who gets no answer any more.
#[derive(Debug)]
pub struct Client<T> {
    reader: Reader,
    options: ClientOptions,
    version: Version,
    /// What the reader has to be told before it reads on.
    agreed: Option<Version>,
    phase: Phase,
    /// The open requests, and some that are done, in the order of their streams (numbers, in
    /// version 1).
    pending: VecDeque<Pending<T>>,
    /// The stream of the next request; 0 when there are no more.
    next: u32,
    open: usize,
    /// Our direction is shut down: nothing can be allowed any more, and everything is.
    is_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Greeting,
    Open,
    Going,
}

#[derive(Debug, Clone, Copy)]
struct Pending<T> {
    stream: u32,
    /// Who waits; nobody, when the caller gave up.
    who: Option<T>,
    command: Command,
    done: bool,
    /// RESET was sent: the client no longer waits.
    is_reset: bool,
    /// With flow control: DATA that it may still carry.
    credit: u32,
}

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientEvent<'a, T> {
    /// The server agreed: requests may begin.
    Ready(Ready),
    /// A part of an answer.
    Answer(Answer<'a, T>),
    /// The server takes no new request. [`Client::take_after`] with its `last` gives those that it
    /// has not carried out.
    GoAway(GoAway<'a>),
}

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a, T> {
    /// Whose; nobody's, when the caller gave up.
    pub who: Option<T>,
    /// What the request was.
    pub request: Command,
    /// What kind of part.
    pub command: Command,
    /// What is in it.
    pub payload: &'a [u8],
    /// Whether it is the last one.
    pub last: bool,
}

impl<T: Copy> Client<T> {
    /// The end of a new connection.
    #[must_use]
    pub fn new(options: ClientOptions) -> Self {
        let reader = Reader::new(Version::V1, options.max_payload);
        let pending = VecDeque::new();
        Self {
            reader,
            options,
            version: Version::V1,
            agreed: None,
            phase: Phase::Fresh,
            pending,
            next: 1,
            open: 0,
            is_ended: false,
        }
    }

    /// Writes the offer, the first frame of a connection.
    pub fn hello(&mut self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.phase, Phase::Fresh, "HELLO is the first frame");
        self.phase = Phase::Greeting;
        let hello = Hello {
            lowest: Version::LOWEST.number(),
            highest: self.options.highest.number(),
            chosen: 0,
            window: self.options.window,
            max_payload: self.options.max_payload,
            features: self.options.features,
            credit: self.options.credit,
        };
        header::write(&Header::new(Version::V1, Command::HELLO), &hello.to_bytes(), out);
    }

    /// Whether a request may begin now.
    #[must_use]
    pub fn can_begin(&self) -> bool {
        let window = usize::from(self.options.window);
        self.phase == Phase::Open && self.open < window && self.next != 0
    }

    /// Whether all numbers of requests are used up: the next one needs another connection.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        self.next == 0
    }

    /// The version that is spoken now.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether the server has agreed, and takes requests.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Requests without their last answer, those given up among them.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// The largest payload that a request may have.
    #[must_use]
    pub const fn max_payload(&self) -> u16 {
        self.options.max_payload
    }

    /// Requests that may be open.
    #[must_use]
    pub const fn window(&self) -> u16 {
        self.options.window
    }

    /// Writes a request; its stream, or number. `None`, with nothing written, when none may begin
    /// now or the payload is too large.
    pub fn begin(
        &mut self,
        command: Command,
        idempotent: bool,
        payload: &[u8],
        who: T,
        out: &mut Vec<u8>,
    ) -> Option<u32> {
        if !self.can_begin() || payload.len() > usize::from(self.options.max_payload) {
            return None;
        }
        let stream = self.next;
        self.next = stream.wrapping_add(1);
        if self.pending.len() >= 2 * usize::from(self.options.window) {
            // An old request waits: those behind it that are done are forgotten, a window at once.
            self.pending.retain(|pending| !pending.done);
        }
        let mut header = Header::new(self.version, command);
        if header.version == Version::V2 {
            header.stream = stream;
            header.flags = if idempotent { FLAG_LAST | FLAG_IDEMPOTENT } else { FLAG_LAST };
        }
        header::write(&header, payload, out);
        let credit = self.options.credit;
        let (done, is_reset) = (false, false);
        let pending = Pending { stream, who: Some(who), command, done, is_reset, credit };
        self.pending.push_back(pending);
        self.open += 1;
        Some(stream)
    }

    /// Nobody waits for this request any more; its answer will be passed over.
    pub fn give_up(&mut self, stream: u32) {
        if let Some(pending) = find(&mut self.pending, stream) {
            pending.who = None;
        }
    }

    /// Whether the server has agreed to flow control of each stream.
    #[must_use]
    pub fn has_flow(&self) -> bool {
        self.version == Version::V2 && self.options.features.has(Features::FLOW)
    }

    /// With flow control: bytes of DATA that an answer may still carry. 0 when it is over.
    #[must_use]
    pub fn credit_of(&mut self, stream: u32) -> u32 {
        let pending = find(&mut self.pending, stream).filter(|pending| !pending.done);
        pending.map_or(0, |pending| pending.credit)
    }

    /// Allows an answer to carry `bytes` more of DATA. Only with flow control.
    pub fn credit(&mut self, stream: u32, bytes: u32, out: &mut Vec<u8>) {
        debug_assert!(self.has_flow(), "CREDIT has to be agreed on");
        let Some(pending) = find(&mut self.pending, stream).filter(|one| !one.done) else { return };
        let bytes = bytes.min(CREDIT_MAX - pending.credit);
        if bytes > 0 {
            pending.credit += bytes;
            let header = Header { stream, ..Header::new(Version::V2, Command::CREDIT) };
            header::write(&header, &bytes.to_be_bytes(), out);
        }
    }

    /// Our direction is shut down: with flow control, answers may carry any number of bytes from
    /// now on.
    pub const fn end(&mut self) {
        self.is_ended = true;
    }

    /// Tells the server, once, that this request is cancelled, so that it ends the answer soon.
    /// Frames in flight and the last one still arrive. Only with flow control.
    pub fn reset(&mut self, stream: u32, out: &mut Vec<u8>) {
        debug_assert!(self.has_flow(), "RESET has to be agreed on");
        let Some(pending) = find(&mut self.pending, stream).filter(|one| !one.done) else { return };
        if std::mem::replace(&mut pending.is_reset, true) {
            return;
        }
        let header = Header { stream, ..Header::new(Version::V2, Command::RESET) };
        header::write(&header, &[], out);
    }

    /// Takes the next frame from `input`; `None` when there is no whole one.
    ///
    /// # Errors
    /// What ends the connection.
    #[inline]
    pub fn next<'f, 'i: 'f>(
        &'f mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<ClientEvent<'f, T>>, FrameError> {
        let Self { reader, options, version, agreed, phase, pending, open, is_ended, .. } = self;
        if let Some(version) = agreed.take() {
            reader.agree(version, options.max_payload);
        }
        let greeted = match *phase {
            Phase::Fresh | Phase::Greeting => false,
            Phase::Open | Phase::Going => true,
        };
        if !greeted {
            let Some(frame) = reader.next(input)? else {
                return Ok(None);
            };
            if frame.header.command == Command::GOAWAY {
                *phase = Phase::Going;
                return go_away(&frame).map(Some);
            }
            let ready = agree(&frame, options)?;
            (*version, *agreed) = (ready.version, Some(ready.version));
            *phase = Phase::Open;
            return Ok(Some(ClientEvent::Ready(ready)));
        }
        let Some(frame) = reader.next(input)? else {
            return Ok(None);
        };
        let Header { command, stream, .. } = frame.header;
        let payload = frame.payload;
        let has_flow = *version == Version::V2 && options.features.has(Features::FLOW);
        if command == Command::GOAWAY {
            *phase = Phase::Going;
            return go_away(&frame).map(Some);
        }
        if command == Command::ERROR {
            ends_connection(payload)?;
        }
        let asked = match *version {
            Version::V1 => pending.front_mut(),
            Version::V2 => find(pending, stream),
        };
        let Some(asked) = asked.filter(|asked| !asked.done && asked.command.takes(command)) else {
            return Err(FrameError::UnexpectedAnswer { command, stream });
        };
        let last = command != Command::DATA;
        if !last && has_flow && !*is_ended {
            let (len, credit) = (payload.len(), asked.credit);
            let Some(left) = u32::try_from(len).ok().and_then(|len| credit.checked_sub(len)) else {
                return Err(FrameError::CreditExceeded { stream, len, credit });
            };
            asked.credit = left;
        }
        let answer = Answer { who: asked.who, request: asked.command, command, payload, last };
        if last {
            asked.done = true;
            *open -= 1;
            while pending.front().is_some_and(|oldest| oldest.done) {
                pending.pop_front();
            }
        }
        Ok(Some(ClientEvent::Answer(answer)))
    }

    /// The bytes have ended.
    ///
    /// # Errors
    /// When they ended within a frame.
    pub fn at_end(&self) -> Result<(), FrameError> {
        self.reader.at_end()
    }

    /// Takes those who wait for an answer that will not come, into `lost`.
    pub fn take_open(&mut self, lost: &mut Vec<T>) {
        self.take_after(0, lost);
    }

    /// Takes those whose requests are later than `last`, into `lost`: a server that goes away has
    /// not carried them out.
    pub fn take_after(&mut self, last: u64, lost: &mut Vec<T>) -> usize {
        let mut abandoned = 0;
        let later = |pending: &&mut Pending<T>| u64::from(pending.stream) > last;
        for pending in self.pending.iter_mut().filter(later) {
            if !pending.done {
                pending.done = true;
                self.open -= 1;
                abandoned += usize::from(pending.who.is_none());
                lost.extend(pending.who);
            }
        }
        abandoned
    }

    /// Requests that nobody waits for, and that were not answered.
    #[must_use]
    pub fn given_up(&self) -> usize {
        self.pending.iter().filter(|one| one.who.is_none() && !one.done).count()
    }
}

/// The request on `stream`. Mostly there are no gaps, and it is where it would be without them.
#[inline]
fn find<T>(pending: &mut VecDeque<Pending<T>>, stream: u32) -> Option<&mut Pending<T>> {
    let near = usize::try_from(stream.checked_sub(pending.front()?.stream)?).ok()?;
    if pending.get(near).is_none_or(|pending| pending.stream != stream) {
        let place = pending.binary_search_by_key(&stream, |pending| pending.stream).ok()?;
        return pending.get_mut(place);
    }
    pending.get_mut(near)
}

/// Reads a GOAWAY.
fn go_away<'a, T>(frame: &Frame<'a>) -> Result<ClientEvent<'a, T>, FrameError> {
    let Header { command, stream, .. } = frame.header;
    let going = GoAway::parse(frame.payload);
    going.map(ClientEvent::GoAway).map_err(|_| FrameError::UnexpectedAnswer { command, stream })
}

/// Reads the server's answer to HELLO.
fn agree(frame: &Frame<'_>, options: &mut ClientOptions) -> Result<Ready, FrameError> {
    let command = frame.header.command;
    if command == Command::ERROR {
        ends_connection(frame.payload)?;
        let code = parse_error(frame.payload).map_or(Code::Internal.number(), |(code, _)| code);
        return Err(FrameError::PeerError { code });
    }
    let hello = match Hello::parse(frame.payload) {
        Ok(hello) if command == Command::HELLO => hello,
        Ok(_) | Err(_) => return Err(FrameError::NoHello { command }),
    };
    let offer = (options.highest.number(), options.window, options.max_payload, options.features);
    let came = (hello.highest, hello.window, hello.max_payload, hello.features);
    if hello.chosen == 0 && offer == came {
        // It is the offer that came back: the peer echoes.
        return Err(FrameError::NoHello { command });
    }
    let offered = Version::LOWEST.number()..=options.highest.number();
    let version = Version::from_number(hello.chosen).filter(|_| offered.contains(&hello.chosen));
    let Some(version) = version else {
        let Hello { lowest, highest, .. } = hello;
        return Err(FrameError::NoCommonVersion { lowest, highest });
    };
    options.window = options.window.min(hello.window);
    options.max_payload = options.max_payload.min(hello.max_payload);
    options.features = options.features.and(hello.features);
    // With less credit than was offered, the server might stop where it is not expected to.
    if options.features.has(Features::FLOW) && hello.credit != options.credit {
        return Err(FrameError::NoHello { command });
    }
    let ClientOptions { window, max_payload, features, .. } = *options;
    Ok(Ready { version, window, max_payload, features })
}

/// Whether an ERROR's payload says that the connection is over.
fn ends_connection(payload: &[u8]) -> Result<(), FrameError> {
    match parse_error(payload) {
        // In an answer, "shutting down" is about the request only.
        Ok((code, _)) if code == Code::ShuttingDown.number() => Ok(()),
        Ok((code, _)) if Code::ends_connection(code) => Err(FrameError::PeerError { code }),
        Ok(_) => Ok(()),
        Err(_) => Err(FrameError::PeerError { code: Code::None.number() }),
    }
}
