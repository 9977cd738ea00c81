//! What a service sends: messages and a status.

use std::marker::PhantomData;
use std::sync::Arc;

use prost::Message;

use super::coding::MessageCoding;
use super::status::{Status, push_metadata};
use crate::handler::answer::{Answer, AnswerError};
use crate::handler::response::{InvalidField, Response};
use crate::handler::shared::{Claim, Ending, Said, Shared};
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
    shared: Arc<Shared>,
    coding: MessageCoding,
}

/// Fields of metadata that go before the first message; mostly none.
type Metadata = Option<Box<Fields>>;

impl Outbound {
    pub(super) fn new(answer: Answer, coding: MessageCoding) -> Self {
        Self { shared: answer.release(), coding }
    }

    /// The head of the answer.
    fn head(&self, metadata: &mut Metadata) -> Said {
        let metadata = metadata.take();
        if metadata.is_none() && self.coding == MessageCoding::Identity {
            return Said::CallHead;
        }
        let mut response = Response::typed(200, CONTENT_TYPE);
        let fields = &mut response.head.fields;
        if self.coding != MessageCoding::Identity {
            fields.push(b"grpc-encoding", self.coding.name().as_bytes());
        }
        for field in metadata.iter().flat_map(|metadata| metadata.iter()) {
            fields.push(field.name, field.value);
        }
        Said::Head(response.head, None)
    }

    /// Sends a message.
    fn send(&self, metadata: &mut Metadata, message: &impl Message) -> Result<(), SendError> {
        if self.coding != MessageCoding::Identity {
            // Nothing is compressed that would be refused.
            match self.shared.claim_room() {
                Claim::Room => {}
                Claim::Full => return Err(SendError::Full),
                Claim::Gone => return Err(SendError::Gone),
            }
        }
        let part = framed(message, self.coding)?;
        let said = self.shared.say_message(|| self.head(metadata), part, false);
        said.map_err(|error| match error {
            AnswerError::Full(_) => SendError::Full,
            AnswerError::Gone | AnswerError::Order => SendError::Gone,
        })
    }

    /// Sends a message and ends the call.
    fn send_last(&self, metadata: &mut Metadata, message: &impl Message) {
        match framed(message, self.coding) {
            Ok(part) => {
                // Who has gone needs no answer.
                let _gone = self.shared.say_message(|| self.head(metadata), part, true);
            }
            Err(error) => {
                let status = Status::new(Code::Internal, error.to_string());
                self.finish(metadata, status);
            }
        }
    }

    /// Ends the call, unless it has ended.
    pub(super) fn finish(&self, metadata: &mut Metadata, status: Status) {
        self.shared.say_last(|has_head| {
            if has_head {
                return Said::End(match status.is_plain_ok() {
                    true => Ending::CallOk,
                    false => {
                        let mut fields = Box::<Fields>::default();
                        status.write(&mut fields);
                        Ending::Fields(fields)
                    }
                });
            }
            let mut response = Response::typed(200, CONTENT_TYPE);
            let fields = &mut response.head.fields;
            status.write(fields);
            for field in metadata.take().iter().flat_map(|metadata| metadata.iter()) {
                fields.push(field.name, field.value);
            }
            Said::Whole(response.head, Vec::new())
        });
    }

    /// Refuses a call, and says which codings are taken.
    pub(super) fn refuse_coding(&self, status: Status) {
        let mut metadata = Box::<Fields>::default();
        metadata.push(b"grpc-accept-encoding", MessageCoding::ACCEPTED.as_bytes());
        self.finish(&mut Some(metadata), status);
    }

    fn is_gone(&self) -> bool {
        self.shared.is_gone()
    }
}

/// Adds a field of metadata.
fn push(metadata: &mut Metadata, name: &str, value: &[u8]) -> Result<(), InvalidField> {
    push_metadata(metadata.get_or_insert_default(), name, value)
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
    metadata: Metadata,
    is_over: bool,
    message: PhantomData<fn(R)>,
}

/// Where a service answers a call with any number of messages. It may be kept, and given to another
/// thread. Dropped before [`Sink::finish`], the call ends with `INTERNAL`.
#[derive(Debug)]
pub struct Sink<R> {
    out: Outbound,
    metadata: Metadata,
    is_over: bool,
    message: PhantomData<fn(R)>,
}

/// A call was dropped by its service.
fn dropped() -> Status {
    Status::new(Code::Internal, "the service dropped the call before it had answered")
}

impl<R: Message> Reply<R> {
    pub(super) const fn new(out: Outbound) -> Self {
        Self { out, metadata: None, is_over: false, message: PhantomData }
    }

    /// Answers.
    pub fn send(mut self, message: &R) {
        self.is_over = true;
        self.out.send_last(&mut self.metadata, message);
    }

    /// Ends the call without an answer.
    pub fn fail(mut self, status: Status) {
        self.is_over = true;
        self.out.finish(&mut self.metadata, status);
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
        push(&mut self.metadata, name, value.as_ref())
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.out.is_gone()
    }
}

impl<R> Drop for Reply<R> {
    fn drop(&mut self) {
        if !self.is_over {
            self.out.finish(&mut self.metadata, dropped());
        }
    }
}

impl<R: Message> Sink<R> {
    pub(super) const fn new(out: Outbound) -> Self {
        Self { out, metadata: None, is_over: false, message: PhantomData }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When too much waits, or nobody waits for it.
    pub fn send(&mut self, message: &R) -> Result<(), SendError> {
        self.out.send(&mut self.metadata, message)
    }

    /// Sends a message, once there is room. Only for threads that may wait.
    ///
    /// # Errors
    /// When nobody waits for it.
    pub fn send_blocking(&mut self, message: &R) -> Result<(), SendError> {
        loop {
            match self.out.send(&mut self.metadata, message) {
                Err(SendError::Full) if self.out.shared.wait_for_room() => {}
                Err(SendError::Full) => return Err(SendError::Gone),
                other => return other,
            }
        }
    }

    /// Ends the call.
    pub fn finish(mut self, status: Status) {
        self.is_over = true;
        self.out.finish(&mut self.metadata, status);
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
        push(&mut self.metadata, name, value.as_ref())
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
        if !self.is_over {
            self.out.finish(&mut self.metadata, dropped());
        }
    }
}
