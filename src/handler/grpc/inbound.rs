//! What a service receives: the messages of a call.

use std::borrow::Cow;
use std::marker::PhantomData;

use prost::Message;

use super::coding::MessageCoding;
use super::outbound::Outbound;
use super::status::Status;
use crate::handler::http::{BodyReceiver, Reading};
use crate::handler::{BlockingBody, blocking_body};
use crate::proto::grpc::{MessageError, MessageReader};
use crate::proto::http::Fields;
use crate::service::grpc::Code;

/// Takes the messages of a call that may have many of them, on the worker's loop. It is dropped
/// when the call is over, whether that was answered or its client has gone.
pub trait MessageReceiver<M> {
    /// A message has come. After [`Reading::Paused`], no other comes until
    /// [`Sink::resume`](super::Sink::resume).
    fn message(&mut self, message: M) -> Reading;

    /// There will be no more. The call may be answered later.
    fn end(&mut self);

    /// A message was refused because too much waited: there is room again.
    fn room(&mut self) {}
}

/// Takes encoded messages.
pub(super) trait EncodedReceiver {
    fn message(&mut self, message: &[u8]) -> Result<Reading, Status>;
    fn end(&mut self) -> Result<(), Status>;
    fn room(&mut self) {}
    /// Bytes of messages that it holds.
    fn held(&self) -> usize {
        0
    }
}

/// Times that a message may grow when it is decompressed, from so many bytes on.
const RATIO_MAX: usize = 256;
const PLAIN_MIN: usize = 64 * 1024;

/// How the messages of a call are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) coding: MessageCoding,
    /// Bytes of a message at most, compressed or not.
    pub(super) max: usize,
}

impl Reader {
    /// A message as its sender had it.
    fn decoded<'a>(
        self,
        message: crate::proto::grpc::Message<'a>,
    ) -> Result<Cow<'a, [u8]>, Status> {
        if !message.is_compressed {
            return Ok(message.bytes);
        }
        // What is made of a few bytes is bounded by them, too.
        let most = self.max.min(message.bytes.len().saturating_mul(RATIO_MAX).max(PLAIN_MIN));
        let decoded = self.coding.decompress(&message.bytes, most);
        decoded.map(Cow::Owned).map_err(|error| Status::new(error.code(), error.to_string()))
    }
}

/// What is wrong with the messages of a call, as a status.
fn status_of(error: MessageError) -> Status {
    Status::new(Code::of_message_error(error), error.to_string())
}

/// Takes the body of a call.
pub(super) struct CallReceiver<E> {
    reader: Reader,
    messages: MessageReader,
    /// What came in the same part as a message at which the service has paused.
    rest: Vec<u8>,
    /// `None`: the call has failed.
    to: Option<E>,
    out: Outbound,
}

impl<E: EncodedReceiver> CallReceiver<E> {
    pub(super) const fn new(reader: Reader, to: E, out: Outbound) -> Self {
        let messages = MessageReader::new(reader.max);
        Self { reader, messages, rest: Vec::new(), to: Some(to), out }
    }

    fn take(&mut self, mut part: &[u8]) -> Result<Reading, Status> {
        let Some(to) = &mut self.to else { return Ok(Reading::On) };
        while let Some(message) = self.messages.next(&mut part).map_err(status_of)? {
            let message = self.reader.decoded(message)?;
            if to.message(&message)? == Reading::Paused {
                self.rest = part.to_vec();
                return Ok(Reading::Paused);
            }
        }
        Ok(Reading::On)
    }

    fn finish(&mut self) -> Result<(), Status> {
        let Some(to) = &mut self.to else { return Ok(()) };
        self.messages.end().map_err(status_of)?;
        to.end()
    }

    fn fail(&mut self, status: Status) {
        // The status of the service's own end would be taken for the first one.
        self.out.finish(&mut None, status);
        self.to = None;
    }
}

impl<E: EncodedReceiver> BodyReceiver for CallReceiver<E> {
    fn part(&mut self, part: &[u8]) -> Reading {
        self.take(part).unwrap_or_else(|status| {
            self.fail(status);
            Reading::On
        })
    }

    fn end(&mut self, _trailers: Option<&Fields>) {
        if let Err(status) = self.finish() {
            self.fail(status);
        }
    }

    fn held(&self) -> usize {
        let message = self.to.as_ref().map_or(0, EncodedReceiver::held);
        self.messages.held() + self.rest.capacity() + message
    }

    fn resumed(&mut self) -> Reading {
        let rest = std::mem::take(&mut self.rest);
        self.part(&rest)
    }

    fn room(&mut self) {
        if let Some(to) = &mut self.to {
            to.room();
        }
    }
}

/// Decodes a message.
fn decode<M: Message + Default>(message: &[u8]) -> Result<M, Status> {
    M::decode(message).map_err(|error| {
        Status::new(Code::Internal, format!("a message cannot be decoded: {error}"))
    })
}

/// Takes the only message of a call, and has it answered by a [`Reply`](super::Reply) or a
/// [`Sink`](super::Sink).
pub(super) struct One<M, A, F> {
    message: Option<M>,
    rest: Option<(A, F)>,
}

impl<M, A, F> One<M, A, F> {
    pub(super) const fn new(answer: A, call: F) -> Self {
        Self { message: None, rest: Some((answer, call)) }
    }
}

impl<M, A, F> EncodedReceiver for One<M, A, F>
where
    M: Message + Default,
    F: FnOnce(M, A),
{
    fn held(&self) -> usize {
        self.message.as_ref().map_or(0, Message::encoded_len)
    }

    fn message(&mut self, message: &[u8]) -> Result<Reading, Status> {
        if self.message.replace(decode(message)?).is_some() {
            let text = "the method takes one message, and there are more";
            return Err(Status::new(Code::Unimplemented, text));
        }
        Ok(Reading::On)
    }

    fn end(&mut self) -> Result<(), Status> {
        let Some(message) = self.message.take() else {
            let text = "the method takes one message, and there is none";
            return Err(Status::new(Code::Unimplemented, text));
        };
        if let Some((answer, call)) = self.rest.take() {
            call(message, answer);
        }
        Ok(())
    }
}

/// Takes any number of messages for a receiver of the service.
pub(super) struct Each<M> {
    to: Box<dyn MessageReceiver<M>>,
}

impl<M> Each<M> {
    pub(super) const fn new(to: Box<dyn MessageReceiver<M>>) -> Self {
        Self { to }
    }
}

impl<M: Message + Default> EncodedReceiver for Each<M> {
    fn message(&mut self, message: &[u8]) -> Result<Reading, Status> {
        Ok(self.to.message(decode(message)?))
    }

    fn end(&mut self) -> Result<(), Status> {
        self.to.end();
        Ok(())
    }

    fn room(&mut self) {
        self.to.room();
    }
}

/// The messages of a call, read by a thread that may wait.
#[derive(Debug)]
pub struct BlockingMessages<M> {
    body: BlockingBody,
    reader: Reader,
    messages: MessageReader,
    /// What was read and not looked at.
    part: Vec<u8>,
    taken: usize,
    /// Nothing follows.
    is_over: bool,
    message: PhantomData<fn() -> M>,
}

impl<M: Message + Default> BlockingMessages<M> {
    /// For a call, and who takes its body.
    pub(super) fn new(
        answer: &crate::handler::Answer,
        reader: Reader,
    ) -> (Box<dyn BodyReceiver>, Self) {
        let (receiver, body) = blocking_body(answer);
        let messages = MessageReader::new(reader.max);
        let (part, taken) = (Vec::new(), 0);
        let (is_over, message) = (false, PhantomData);
        (receiver, Self { body, reader, messages, part, taken, is_over, message })
    }

    fn read(&mut self) -> Result<Option<M>, Status> {
        loop {
            let mut rest = &self.part[self.taken..];
            let found = self.messages.next(&mut rest).map_err(status_of)?;
            self.taken = self.part.len() - rest.len();
            if let Some(message) = found {
                return decode(&self.reader.decoded(message)?).map(Some);
            }
            let next = self.body.next();
            let next = next.map_err(|error| Status::new(Code::Cancelled, error.to_string()))?;
            let Some(part) = next else {
                return self.messages.end().map_err(status_of).map(|()| None);
            };
            (self.part, self.taken) = (part, 0);
        }
    }
}

impl<M: Message + Default> Iterator for BlockingMessages<M> {
    type Item = Result<M, Status>;

    /// The next message, once it has come; `None` at the end. An error is the status that the call
    /// is to be ended with.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.read().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}
