//! What a service sends: messages and a status.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message;

use super::coding::MessageCoding;
use super::status::{Status, push_metadata};
use crate::handler::answer::{Answer, AnswerError};
use crate::handler::response::{InvalidField, Response};
use crate::handler::shared::Shared;
use crate::proto::grpc::{HEAD_LEN, MessageHead};
use crate::proto::http::Fields;
use crate::service::grpc::Code;

/// Shorter messages are not worth compressing.
const COMPRESS_MIN: usize = 1024;
/// The type of what is answered.
const CONTENT_TYPE: &str = "application/grpc";

/// The answer of one call, which its service and those who read its messages share.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    state: Arc<Mutex<State>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct State {
    /// `None`: the call is over.
    answer: Option<Answer>,
    is_begun: bool,
    metadata: Fields,
    coding: MessageCoding,
}

impl Outbound {
    pub(super) fn new(answer: Answer, coding: MessageCoding) -> Self {
        let shared = Arc::clone(answer.shared());
        let state =
            State { answer: Some(answer), is_begun: false, metadata: Fields::default(), coding };
        Self { state: Arc::new(Mutex::new(state)), shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push_metadata(&self, name: &str, value: &[u8]) -> Result<(), InvalidField> {
        push_metadata(&mut self.state().metadata, name, value)
    }

    /// Sends a message.
    fn send(&self, message: &impl Message) -> Result<(), SendError> {
        let mut state = self.state();
        let State { answer: Some(answer), .. } = &*state else { return Err(SendError::Gone) };
        // Nothing is encoded that would be refused, but for the first one.
        let part = match answer.room() {
            0 => Vec::new(),
            _ => framed(message, state.coding)?,
        };
        state.begin()?;
        let Some(answer) = &mut state.answer else { return Err(SendError::Gone) };
        if part.is_empty() {
            return match answer.refuse_part() {
                true => Err(SendError::Full),
                false => Err(SendError::Gone),
            };
        }
        match answer.part(part) {
            Ok(()) => Ok(()),
            Err(AnswerError::Full(_)) => Err(SendError::Full),
            Err(AnswerError::Gone | AnswerError::Order) => Err(SendError::Gone),
        }
    }

    /// Sends a message and ends the call.
    fn send_last(&self, message: &impl Message) {
        let mut state = self.state();
        let framed = framed(message, state.coding);
        let begun = framed.and_then(|part| state.begin().map(|()| part));
        match begun {
            Ok(part) => {
                let Some(answer) = state.answer.take() else { return };
                let mut trailers = Fields::default();
                Status::ok().write(&mut trailers);
                answer.end_with_part(part, trailers);
            }
            Err(SendError::TooLarge) => {
                drop(state);
                self.finish(Status::new(Code::Internal, SendError::TooLarge.to_string()));
            }
            Err(SendError::Full | SendError::Gone) => {}
        }
    }

    /// Ends the call, unless it has ended.
    pub(super) fn finish(&self, status: Status) {
        let mut state = self.state();
        let Some(answer) = state.answer.take() else { return };
        let mut fields = Fields::default();
        if state.is_begun {
            status.write(&mut fields);
            answer.end_with(fields);
            return;
        }
        let mut response = Response::typed(200, CONTENT_TYPE);
        std::mem::swap(&mut response.head.fields, &mut fields);
        let mut all = fields;
        status.write(&mut all);
        for field in state.metadata.iter() {
            all.push(field.name, field.value);
        }
        std::mem::swap(&mut response.head.fields, &mut all);
        answer.send(response, Vec::new());
    }

    fn is_gone(&self) -> bool {
        self.shared.is_gone()
    }
}

impl State {
    /// The head of the answer goes before the first message.
    fn begin(&mut self) -> Result<(), SendError> {
        let Some(answer) = &mut self.answer else { return Err(SendError::Gone) };
        if self.is_begun {
            return Ok(());
        }
        self.is_begun = true;
        let mut response = Response::typed(200, CONTENT_TYPE);
        let fields = &mut response.head.fields;
        if self.coding != MessageCoding::Identity {
            fields.push(b"grpc-encoding", self.coding.name().as_bytes());
        }
        fields.push(b"grpc-accept-encoding", MessageCoding::ACCEPTED.as_bytes());
        for field in self.metadata.iter() {
            fields.push(field.name, field.value);
        }
        answer.begin(response).map_err(|_| SendError::Gone)
    }
}

/// A message as it is sent.
fn framed(message: &impl Message, coding: MessageCoding) -> Result<Vec<u8>, SendError> {
    let len = message.encoded_len();
    let compresses = coding != MessageCoding::Identity && len >= COMPRESS_MIN;
    let mut part = Vec::with_capacity(HEAD_LEN + if compresses { len / 2 } else { len });
    part.extend_from_slice(&[0; HEAD_LEN]);
    if compresses {
        coding.compress(&message.encode_to_vec(), &mut part).map_err(|_| SendError::TooLarge)?;
    } else {
        message.encode(&mut part).map_err(|_| SendError::TooLarge)?;
    }
    let len = u32::try_from(part.len() - HEAD_LEN).map_err(|_| SendError::TooLarge)?;
    part[..HEAD_LEN].copy_from_slice(&MessageHead { is_compressed: compresses, len }.write());
    Ok(part)
}

/// A message cannot be sent, or not now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits for the client. [`MessageReceiver::room`](super::MessageReceiver::room) is
    /// called when there is room.
    #[error("too much of the answer waits for its client")]
    Full,
    /// The call is over: its client has gone, or its time.
    #[error("the call is over")]
    Gone,
    /// It has more bytes than a message can have: 4 GiB.
    #[error("the message is too large")]
    TooLarge,
}

/// Where a service answers a call with one message. It may be kept, and given to another thread.
/// Dropped without an answer, the call ends with `INTERNAL`.
#[derive(Debug)]
pub struct Reply<R> {
    out: Outbound,
    message: PhantomData<fn(R)>,
}

/// Where a service answers a call with any number of messages. It may be kept, and given to another
/// thread. Dropped before [`Sink::finish`], the call ends with `INTERNAL`.
#[derive(Debug)]
pub struct Sink<R> {
    out: Outbound,
    message: PhantomData<fn(R)>,
}

/// A call was dropped by its service.
fn dropped() -> Status {
    Status::new(Code::Internal, "the service dropped the call before it had answered")
}

impl<R: Message> Reply<R> {
    pub(super) const fn new(out: Outbound) -> Self {
        Self { out, message: PhantomData }
    }

    /// Answers.
    pub fn send(self, message: &R) {
        self.out.send_last(message);
    }

    /// Ends the call without an answer.
    pub fn fail(self, status: Status) {
        self.out.finish(status);
    }

    /// Answers, or ends the call without an answer.
    pub fn give(self, result: Result<R, Status>) {
        match result {
            Ok(message) => self.send(&message),
            Err(status) => self.fail(status),
        }
    }

    /// Has the answer made by a thread that may wait: see
    /// [`Answer::spawn_blocking`](crate::handler::Answer::spawn_blocking).
    pub fn spawn_blocking(self, work: impl FnOnce() -> Result<R, Status> + Send + 'static)
    where
        R: 'static,
    {
        let shared = Arc::clone(&self.out.shared);
        shared.run(Box::new(move || {
            if !self.is_gone() {
                self.give(work());
            }
        }));
    }

    /// Adds a field to what goes before the answer.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn metadata(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidField> {
        self.out.push_metadata(name, value.as_ref())
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.out.is_gone()
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        self.out.finish(dropped());
    }
}

impl<R: Message> Sink<R> {
    pub(super) const fn new(out: Outbound) -> Self {
        Self { out, message: PhantomData }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When too much waits, or nobody waits for it.
    pub fn send(&mut self, message: &R) -> Result<(), SendError> {
        self.out.send(message)
    }

    /// Sends a message, once there is room. Only for threads that may wait.
    ///
    /// # Errors
    /// When nobody waits for it.
    pub fn send_blocking(&mut self, message: &R) -> Result<(), SendError> {
        loop {
            match self.out.send(message) {
                Err(SendError::Full) if self.out.shared.wait_for_room() => {}
                Err(SendError::Full) => return Err(SendError::Gone),
                other => return other,
            }
        }
    }

    /// Ends the call.
    pub fn finish(self, status: Status) {
        self.out.finish(status);
    }

    /// Has messages sent by a thread that may wait: see
    /// [`Answer::spawn_blocking`](crate::handler::Answer::spawn_blocking).
    pub fn spawn_blocking(self, work: impl FnOnce(Self) + Send + 'static)
    where
        R: 'static,
    {
        let shared = Arc::clone(&self.out.shared);
        shared.run(Box::new(move || work(self)));
    }

    /// Adds a field to what goes before the first message. Later, it has no effect.
    ///
    /// # Errors
    /// Why it cannot be sent.
    pub fn metadata(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidField> {
        self.out.push_metadata(name, value.as_ref())
    }

    /// More messages are wanted, after [`Reading::Paused`](crate::handler::Reading::Paused).
    pub fn resume(&self) {
        self.out.shared.resume();
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.out.is_gone()
    }
}

impl<R> Drop for Sink<R> {
    fn drop(&mut self) {
        self.out.finish(dropped());
    }
}
