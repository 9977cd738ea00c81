//! Messages that are sent in their order, as there is room for them.

use std::collections::VecDeque;

use prost::Message;

use super::outbound::{SendError, Sink};
use super::status::Status;
use crate::handler::Reading;

/// A [`Sink`] for receivers that answer each message with some: what the client does not take yet
/// waits here, and no further message is read meanwhile.
///
/// A [`MessageReceiver`](super::MessageReceiver) calls the three methods of the same names: it
/// returns what [`SendQueue::send`] returns, and passes on [`SendQueue::end`] and
/// [`SendQueue::room`].
#[derive(Debug)]
pub struct SendQueue<R> {
    /// `None`: the call is over.
    sink: Option<Sink<R>>,
    /// What the client has not taken.
    waiting: VecDeque<R>,
    has_ended: bool,
}

impl<R: Message> SendQueue<R> {
    /// A queue to this sink.
    #[must_use]
    pub const fn new(sink: Sink<R>) -> Self {
        Self { sink: Some(sink), waiting: VecDeque::new(), has_ended: false }
    }

    /// Sends a message, behind those that wait.
    pub fn send(&mut self, message: R) -> Reading {
        if let Some(sink) = self.sink.as_mut().filter(|_| self.waiting.is_empty())
            && sink.send(&message).is_ok()
        {
            return Reading::On;
        }
        self.waiting.push_back(message);
        self.proceed()
    }

    /// Nothing follows: the call ends well once all is sent.
    pub fn end(&mut self) {
        self.has_ended = true;
        self.proceed();
    }

    /// There is room again: goes on, and lets further messages be read once nothing waits.
    pub fn room(&mut self) {
        if self.proceed() == Reading::On
            && let Some(sink) = &self.sink
        {
            sink.resume();
        }
    }

    /// Ends the call at once; what waits is dropped.
    pub fn finish(&mut self, status: Status) {
        if let Some(sink) = self.sink.take() {
            sink.finish(status);
        }
    }

    /// Sends what there is room for.
    fn proceed(&mut self) -> Reading {
        let Some(sink) = &mut self.sink else { return Reading::On };
        while let Some(next) = self.waiting.front() {
            match sink.send(next) {
                Ok(()) => self.waiting.pop_front(),
                Err(SendError::Full) => return Reading::Paused,
                Err(SendError::Gone | SendError::TooLarge) => {
                    self.sink = None;
                    return Reading::On;
                }
            };
        }
        if self.has_ended {
            self.finish(Status::ok());
        }
        Reading::On
    }
}
