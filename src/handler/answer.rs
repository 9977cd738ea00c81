//! The answer to a request, in the hands of a program.

use std::fmt;
use std::sync::Arc;

use super::blocking::BlockingAnswer;
use super::response::{Response, Trailers};
use super::shared::{Ending, Said, Shared};

/// The right and the duty to answer one request. It may be kept, and given to another thread.
///
/// Dropped before the answer was ended, it becomes a failure: status 500 if nothing was said yet, a
/// cut body otherwise.
pub struct Answer {
    shared: Arc<Shared>,
    /// Somebody else answers.
    is_released: bool,
}

/// Something cannot be said, or not now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Too much of the answer waits already: here is the part again. [`BodyReceiver::room`] is
    /// called when there is room.
    ///
    /// [`BodyReceiver::room`]: super::BodyReceiver::room
    #[error("too much of the answer waits for its client")]
    Full(Vec<u8>),
    /// The client, or the time of the request, has gone: nobody reads the answer.
    #[error("the request is over")]
    Gone,
    /// A head where one was given, or a part where none was.
    #[error("an answer is a head, then parts, then an end")]
    Order,
}

impl Answer {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, is_released: false }
    }

    /// What is shared with the worker, for somebody else who answers.
    pub(super) fn release(mut self) -> Arc<Shared> {
        self.is_released = true;
        Arc::clone(&self.shared)
    }

    /// Gives the whole answer.
    pub fn send(self, response: Response, body: impl Into<Vec<u8>>) {
        // Who has gone needs no answer.
        let _gone = self.shared.say_whole(response, body.into());
    }

    /// Gives an interim answer (RFC 9110, section 15.2), such as 103 with hints of what to load.
    ///
    /// # Errors
    /// When the answer has begun, when nobody waits for it, or when the status is not interim.
    pub fn interim(&mut self, response: Response) -> Result<(), AnswerError> {
        self.shared.say_interim(response)
    }

    /// Begins an answer whose body follows in parts.
    ///
    /// # Errors
    /// When it has begun, or when nobody waits for it.
    pub fn begin(&mut self, response: Response) -> Result<(), AnswerError> {
        self.shared.say_head(response)
    }

    /// Gives a part of the body.
    ///
    /// # Errors
    /// When too much waits (the part comes back), when nobody waits for it, or before
    /// [`Answer::begin`].
    pub fn part(&mut self, part: impl Into<Vec<u8>>) -> Result<(), AnswerError> {
        self.shared.say_part(part.into())
    }

    /// Ends the answer.
    pub fn end(self) {
        self.shared.say(Said::End(Ending::None));
    }

    /// Ends the answer with fields behind the body. HTTP/1 has them only where the length of the
    /// body was not told ahead.
    pub fn end_with(self, trailers: Trailers) {
        self.shared.say(Said::End(Ending::Fields(Box::new(trailers.fields))));
    }

    /// Gives up: status 500 if nothing was said yet, a cut body otherwise. `why` goes to the log.
    pub fn fail(self, why: &str) {
        self.shared.say(Said::Failed { status: 500, why: why.to_owned() });
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.shared.is_gone()
    }

    /// How many bytes [`Answer::part`] would take now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.shared.room()
    }

    /// More of the request's body is wanted, after [`Reading::Paused`](super::Reading::Paused).
    pub fn resume(&self) {
        self.shared.resume();
    }

    /// The same answer, for a thread that may wait.
    #[must_use]
    pub const fn blocking(self) -> BlockingAnswer {
        BlockingAnswer::new(self)
    }

    /// Has the answer given by a thread that may wait. There are
    /// [`StartOptions::handler_threads`](crate::server::StartOptions) of them; when too much waits
    /// for them, the client gets status 503.
    pub fn spawn_blocking(self, work: impl FnOnce(BlockingAnswer) + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        shared.run(Box::new(move || work(self.blocking())));
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.is_released {
            self.shared.abandon();
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("is_gone", &self.is_gone()).finish_non_exhaustive()
    }
}
