//! One call of gRPC.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

use prost::Message;

use super::{CallOptions, CallStatus, Metadata};
use crate::client::ClientError;
use crate::client::deadline::Deadline;
use crate::client::error::Waiting;
use crate::client::http::{Exchange, Http, Part, Prepared};
use crate::handler::grpc::MessageCoding;
use crate::mem::Buf;
use crate::proto::grpc::{MessageError, MessageHead, MessageReader};
use crate::proto::http::{Fields, Known, ResponseHead};
use crate::proto::http2::ErrorCode;
use crate::service::grpc::{self as protocol, Code};

/// Bytes that are handed on at a time.
const PIECE: usize = 64 * 1024;
/// Bytes of what was sent that are kept, until the server has said something, to be sent again if
/// it has certainly done nothing for the call.
const REPLAY_MAX: usize = 256 * 1024;

/// A call that is under way: messages go both ways, each side at its own pace. Dropped before its
/// end, it is cancelled.
///
/// Waits are bounded by the patience that they are given, and by the call's own deadline, which
/// ends it with DEADLINE_EXCEEDED.
#[derive(Debug)]
pub struct Call {
    http: Rc<RefCell<Http>>,
    request: Prepared,
    exchange: Exchange,
    deadline: Deadline,
    sending: Sending,
    initial: Option<Metadata>,
    /// How received messages are compressed.
    coding: MessageCoding,
    reader: MessageReader,
    receive_max: usize,
    /// Messages that nobody has taken, as they came: compressed ones stay so until they are taken,
    /// so that what is kept is no more than what was received.
    ready: VecDeque<ReceivedMessage>,
    status: Option<CallStatus>,
    is_idempotent: bool,
}

/// A message that has come.
#[derive(Debug)]
struct ReceivedMessage {
    is_compressed: bool,
    bytes: Vec<u8>,
}

/// What goes out.
#[derive(Debug)]
struct Sending {
    coding: MessageCoding,
    send_max: usize,
    /// What waits for the server's window, from `at` on.
    pending: Vec<u8>,
    at: usize,
    /// What was sent so far, while that may be needed.
    replay: Option<Vec<u8>>,
    /// Nothing follows.
    is_closed: bool,
    has_said_end: bool,
}

/// What a call has waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEvent {
    /// A message.
    Message(Vec<u8>),
    /// The descriptor can be read.
    Input,
    /// The end of the call, whose status is OK.
    End,
}

impl Call {
    pub(super) fn begin(
        http: &Rc<RefCell<Http>>,
        mut request: Prepared,
        options: &CallOptions,
        (receive_max, send_max): (usize, usize),
        (deadline, connect): (Deadline, Deadline),
    ) -> Result<Self, ClientError> {
        tell_deadline(&mut request, deadline);
        let exchange = http.borrow_mut().begin(&request, false, false, connect)?;
        let sending = Sending {
            coding: options.coding,
            send_max,
            pending: Vec::new(),
            at: 0,
            replay: Some(Vec::new()),
            is_closed: false,
            has_said_end: false,
        };
        Ok(Self {
            http: Rc::clone(http),
            request,
            exchange,
            deadline,
            sending,
            initial: None,
            coding: MessageCoding::Identity,
            reader: MessageReader::new(receive_max),
            receive_max,
            ready: VecDeque::new(),
            status: None,
            is_idempotent: options.is_idempotent,
        })
    }

    /// The address of the server.
    #[must_use]
    pub fn peer(&self) -> String {
        self.exchange.peer()
    }

    /// What came before the messages, once that was received.
    #[must_use]
    pub const fn initial(&self) -> Option<&Metadata> {
        self.initial.as_ref()
    }

    /// How the call has ended, once it has.
    #[must_use]
    pub const fn status(&self) -> Option<&CallStatus> {
        self.status.as_ref()
    }

    /// Sends a message, and waits until it is on its way. False when the server takes no more:
    /// [`Call::receive`] tells how the call has ended. Messages that come meanwhile are kept, up to
    /// the `receive_max` of the client in all; from there on the server has to wait, and so has
    /// this, if that server does not read before it has written: see [`Call::queue_bytes`].
    ///
    /// # Errors
    /// When the message is too large, or the time is over: the rest of it is sent in later calls.
    pub fn send<M: Message>(
        &mut self,
        message: &M,
        patience: Duration,
    ) -> Result<bool, ClientError> {
        self.send_bytes(&message.encode_to_vec(), patience)
    }

    /// The same with a message as bytes.
    ///
    /// # Errors
    /// As of [`Call::send`].
    pub fn send_bytes(&mut self, message: &[u8], patience: Duration) -> Result<bool, ClientError> {
        if self.sending.is_closed {
            return Err(ClientError::Finished);
        }
        self.sending.push(message)?;
        let deadline = self.limit(patience);
        loop {
            self.flush();
            if !self.exchange.is_sending() {
                if !self.step_or_recover()? {
                    return Ok(false);
                }
                continue;
            }
            if self.sending.pending.is_empty() {
                self.exchange.look()?;
                return Ok(true);
            }
            if self.kept() >= self.receive_max || !self.step_or_recover()? {
                self.turn(deadline, Waiting::Send)?;
            }
        }
    }

    /// Adds a message behind those that wait, and does not wait itself: all that waits is sent as
    /// the server takes it, while messages are waited for. For programs that must not stop to
    /// receive while they send. See [`Call::receive_or_input`].
    ///
    /// # Errors
    /// When the message is too large.
    pub fn queue_bytes(&mut self, message: &[u8]) -> Result<(), ClientError> {
        if self.sending.is_closed {
            return Err(ClientError::Finished);
        }
        self.sending.push(message)?;
        self.flush();
        self.exchange.look()
    }

    /// Sends the only message, without waiting.
    pub(super) fn send_last(&mut self, message: &[u8]) -> Result<(), ClientError> {
        self.sending.push(message)?;
        self.finish_sending()
    }

    /// Tells the server that no message follows.
    ///
    /// # Errors
    /// When the loop cannot go on.
    pub fn finish_sending(&mut self) -> Result<(), ClientError> {
        self.sending.is_closed = true;
        self.flush();
        self.exchange.look()
    }

    /// Waits for a message; `None` at the end of a call whose status is OK.
    ///
    /// # Errors
    /// [`ClientError::Call`] with the status when it is not OK; when the patience is over, after
    /// which it may be called again; and what else can fail.
    pub fn receive<M: Message + Default>(
        &mut self,
        patience: Duration,
    ) -> Result<Option<M>, ClientError> {
        let Some(bytes) = self.receive_bytes(patience)? else { return Ok(None) };
        match M::decode(&*bytes) {
            Ok(message) => Ok(Some(message)),
            Err(error) => Err(self.end(no_message(&error))),
        }
    }

    /// The same with a message as bytes.
    ///
    /// # Errors
    /// As of [`Call::receive`].
    pub fn receive_bytes(&mut self, patience: Duration) -> Result<Option<Vec<u8>>, ClientError> {
        let deadline = self.limit(patience);
        loop {
            if let Some(next) = self.next()? {
                return Ok(next);
            }
            self.turn(deadline, Waiting::Message)?;
        }
    }

    /// Waits for a message, or until a descriptor can be read, whichever comes first: for programs
    /// that send what they read. Nothing is read here, and the descriptor counts only once all that
    /// was queued is on its way.
    ///
    /// # Errors
    /// As of [`Call::receive`].
    pub fn receive_or_input(
        &mut self,
        input: &impl AsFd,
        patience: Duration,
    ) -> Result<CallEvent, ClientError> {
        let event = self.wait_with_input(input, self.limit(patience));
        if event != Ok(CallEvent::Input) {
            // The descriptor is the caller's: it may be closed, or another one watched next, also
            // by another call on this connection. What fails now is met by the next turn.
            let _failed = self.exchange.unwatch();
        }
        event
    }

    fn wait_with_input(
        &mut self,
        input: &impl AsFd,
        deadline: Deadline,
    ) -> Result<CallEvent, ClientError> {
        loop {
            match self.next()? {
                Some(Some(message)) => return Ok(CallEvent::Message(message)),
                Some(None) => return Ok(CallEvent::End),
                None => {}
            }
            if self.sending.pending.is_empty() {
                if self.exchange.take_input() {
                    return Ok(CallEvent::Input);
                }
                self.exchange.watch(input);
            }
            self.turn(deadline, Waiting::Message)?;
        }
    }

    /// Gives the call up: the server is told to stop.
    pub fn cancel(&mut self) {
        if self.status.is_none() {
            self.exchange.give_up(ErrorCode::CANCEL);
            self.status = Some(CallStatus::local(Code::Cancelled, "cancelled by the client"));
        }
    }

    /// A message that has come, or the end; `None` when more has to come first.
    fn next(&mut self) -> Result<Option<Option<Vec<u8>>>, ClientError> {
        loop {
            if let Some(kept) = self.ready.pop_front() {
                return self.open(kept).map(|message| Some(Some(message)));
            }
            if let Some(status) = &self.status {
                let is_ok = status.code == Code::Ok;
                return if is_ok { Ok(Some(None)) } else { Err(self.failed(status.clone())) };
            }
            if !self.step_or_recover()? {
                self.flush();
                return Ok(None);
            }
        }
    }

    /// Takes one thing that has come, or begins again; false when more has to come first.
    fn step_or_recover(&mut self) -> Result<bool, ClientError> {
        match self.step() {
            Ok(has_come) => Ok(has_come),
            Err(error) => self.recover(error).map(|()| true),
        }
    }

    /// Takes one thing that has come; whether there was one.
    fn step(&mut self) -> Result<bool, ClientError> {
        if self.status.is_some() {
            return Ok(false);
        }
        if self.initial.is_none() {
            let Some((head, _)) = self.exchange.poll_head()? else { return Ok(false) };
            self.take_head(&head);
            return Ok(true);
        }
        match self.exchange.poll_part()? {
            None => Ok(false),
            Some(Part::Data(bytes)) => {
                self.take_bytes(&bytes);
                Ok(true)
            }
            Some(Part::End(trailers)) => {
                self.take_end(trailers.as_deref());
                Ok(true)
            }
        }
    }

    fn take_head(&mut self, head: &ResponseHead) {
        // The server is at work: nothing is sent again from here on.
        self.sending.replay = None;
        if let Some(status) = CallStatus::of_fields(&head.fields) {
            // What is behind the messages comes with the head: nothing is before them.
            self.initial = Some(Metadata::default());
            // There is nothing else, and a body would be none of gRPC.
            let _end = self.exchange.poll_part();
            self.exchange.give_up(ErrorCode::NO_ERROR);
            self.status = Some(status);
            return;
        }
        self.initial = Some(Metadata::of_fields(&head.fields));
        if head.status != 200 {
            let text = format!("the server answered with status {} of HTTP", head.status);
            self.stop(CallStatus::local(Code::of_status(head.status), text));
            return;
        }
        let kind = head.fields.get(Known::ContentType).unwrap_or_default();
        if !protocol::is_of_grpc(kind) {
            let text = format!("the answer is of the type {:?}", String::from_utf8_lossy(kind));
            self.stop(CallStatus::local(Code::Unknown, text));
            return;
        }
        let coding = head.fields.get_named(b"grpc-encoding").unwrap_or(b"identity");
        match MessageCoding::of_name(coding) {
            Some(coding) => self.coding = coding,
            None => {
                let name = String::from_utf8_lossy(coding);
                let text = format!("messages are compressed by {name:?}, which was not accepted");
                self.stop(CallStatus::local(Code::Internal, text));
            }
        }
    }

    fn take_bytes(&mut self, mut bytes: &[u8]) {
        while self.status.is_none() {
            match self.reader.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(message)) => {
                    let is_compressed = message.is_compressed;
                    let bytes = message.bytes.into_owned();
                    self.ready.push_back(ReceivedMessage { is_compressed, bytes });
                }
                Err(error) => self.stop(of_message_error(error)),
            }
        }
    }

    /// A message as it was before it was compressed.
    fn open(&mut self, kept: ReceivedMessage) -> Result<Vec<u8>, ClientError> {
        if !kept.is_compressed {
            return Ok(kept.bytes);
        }
        self.coding
            .decompress(&kept.bytes, self.receive_max)
            .map_err(|error| self.end(CallStatus::local(error.code(), error.to_string())))
    }

    /// Bytes of messages that have come and that nobody has taken.
    pub(super) fn kept(&self) -> usize {
        self.ready.iter().map(|kept| kept.bytes.len()).sum()
    }

    fn take_end(&mut self, trailers: Option<&Fields>) {
        let told = trailers.and_then(CallStatus::of_fields);
        let truncated = self.reader.end().err();
        self.status = Some(match (told, truncated) {
            (Some(status), Some(error)) if status.code == Code::Ok => of_message_error(error),
            (Some(status), _) => status,
            (None, _) => CallStatus::local(Code::Unknown, "the answer ended without a status"),
        });
    }

    /// Ends the call for what the server did.
    fn stop(&mut self, status: CallStatus) {
        self.exchange.give_up(ErrorCode::CANCEL);
        self.status = Some(status);
    }

    /// The same, after the messages before it.
    fn end(&mut self, status: CallStatus) -> ClientError {
        self.stop(status.clone());
        self.ready.clear();
        self.failed(status)
    }

    /// What came is not what was called for.
    pub(super) fn refuse(&mut self, code: Code, text: &str) -> ClientError {
        self.end(CallStatus::local(code, text))
    }

    fn failed(&self, status: CallStatus) -> ClientError {
        failed(&self.exchange.peer(), &self.request.url.path, status)
    }

    /// Begins again, if the call was certainly not carried out and all that was sent is there.
    fn recover(&mut self, error: ClientError) -> Result<(), ClientError> {
        let is_stale = error.is_loss() && self.is_idempotent && self.exchange.may_be_stale();
        let Some(replay) = self.sending.replay.take() else { return Err(error) };
        if !error.is_not_done() && !is_stale {
            return Err(error);
        }
        self.exchange.unwatch()?;
        tell_deadline(&mut self.request, self.deadline);
        self.exchange = self.http.borrow_mut().begin(&self.request, false, true, self.deadline)?;
        (self.sending.pending, self.sending.at) = (replay, 0);
        self.sending.has_said_end = false;
        self.flush();
        Ok(())
    }

    /// Hands on what the server takes now.
    fn flush(&mut self) {
        let Self { sending, exchange, .. } = self;
        while sending.at < sending.pending.len() && exchange.is_sending() {
            let room = exchange.room().min(PIECE);
            if room == 0 {
                return;
            }
            let rest = sending.pending.get(sending.at..).unwrap_or_default();
            let part = rest.get(..room.min(rest.len())).unwrap_or_default();
            sending.at += part.len();
            exchange.send_part(Buf::copy_of(part));
        }
        (sending.pending, sending.at) = (Vec::new(), 0);
        if sending.is_closed && !sending.has_said_end {
            sending.has_said_end = true;
            exchange.send_end(None);
        }
    }

    fn limit(&self, patience: Duration) -> Deadline {
        Deadline::new(patience).min(self.deadline)
    }

    /// Waits until something happens. The call's own deadline ends it.
    fn turn(&mut self, deadline: Deadline, op: Waiting) -> Result<(), ClientError> {
        if self.deadline.is_over() && self.status.is_none() {
            let text = format!("not done within {:?}", self.deadline.patience);
            return Err(self.end(CallStatus::local(Code::DeadlineExceeded, text)));
        }
        match self.exchange.turn(deadline, op) {
            // The next look finds that the call's own time is over.
            Err(ClientError::Deadline { .. }) if self.deadline.is_over() => Ok(()),
            done => done,
        }
    }
}

impl Sending {
    /// Adds a message behind what waits.
    fn push(&mut self, message: &[u8]) -> Result<(), ClientError> {
        let refused = |reason| ClientError::Request { reason };
        if message.len() > self.send_max {
            let (len, max) = (message.len(), self.send_max);
            return Err(refused(format!("a message has {len} bytes, and at most {max} are sent")));
        }
        let is_compressed = self.coding != MessageCoding::Identity;
        let mut bytes = Vec::new();
        if is_compressed {
            let compressed = self.coding.compress(message, &mut bytes);
            compressed.map_err(|error| refused(format!("it cannot be compressed: {error}")))?;
        }
        let message = if is_compressed { &*bytes } else { message };
        let len = u32::try_from(message.len());
        let len = len.map_err(|_| refused("a message has 4 GiB or more".to_owned()))?;
        let from = self.pending.len();
        self.pending.extend_from_slice(&MessageHead { is_compressed, len }.write());
        self.pending.extend_from_slice(message);
        let framed = self.pending.get(from..).unwrap_or_default();
        let fits = |replay: &Vec<u8>| replay.len() + framed.len() <= REPLAY_MAX;
        self.replay = self.replay.take().filter(fits).map(|mut replay| {
            replay.extend_from_slice(framed);
            replay
        });
        Ok(())
    }
}

/// Tells the server how much time is left.
fn tell_deadline(request: &mut Prepared, deadline: Deadline) {
    if deadline.until.is_some() {
        protocol::set_timeout(&mut request.head.fields, deadline.rest());
    }
}

pub(super) fn failed(peer: &str, method: &str, status: CallStatus) -> ClientError {
    let method = method.strip_prefix('/').unwrap_or(method).to_owned();
    ClientError::Call { peer: peer.to_owned(), method, status: Box::new(status) }
}

pub(super) fn no_message(error: &prost::DecodeError) -> CallStatus {
    CallStatus::local(Code::Internal, format!("a message cannot be decoded: {error}"))
}

fn of_message_error(error: MessageError) -> CallStatus {
    CallStatus::local(Code::of_message_error(error), error.to_string())
}
