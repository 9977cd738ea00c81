//! Bodies for threads that may wait.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::answer::{Answer, AnswerError};
use super::http::{BodyReceiver, Reading};
use super::response::{Response, Trailers};
use super::shared::Shared;
use crate::proto::http::Fields;

/// Bytes of a request's body that wait for a thread at most, but for the part that came last.
const WAITING_MAX: usize = 64 * 1024;
/// What a part costs beside its bytes.
const PART_COST: usize = 64;
/// Bytes of an answer that are given at once.
const PART_MAX: usize = 16 * 1024;

/// An answer that is given by a thread which may wait. Its body is written with [`Write`], once
/// [`BlockingAnswer::begin`] has said the head.
#[derive(Debug)]
pub struct BlockingAnswer {
    answer: Answer,
}

impl BlockingAnswer {
    pub(super) const fn new(answer: Answer) -> Self {
        Self { answer }
    }

    /// Gives the whole answer.
    pub fn send(self, response: Response, body: impl Into<Vec<u8>>) {
        self.answer.send(response, body);
    }

    /// Begins an answer whose body is written then.
    ///
    /// # Errors
    /// As of [`Answer::begin`].
    pub fn begin(&mut self, response: Response) -> Result<(), AnswerError> {
        self.answer.begin(response)
    }

    /// Gives a part of the body, once there is room for it.
    ///
    /// # Errors
    /// When nobody waits for it.
    pub fn part(&mut self, part: impl Into<Vec<u8>>) -> Result<(), AnswerError> {
        let mut part = part.into();
        loop {
            match self.answer.part(part) {
                Err(AnswerError::Full(refused)) => part = refused,
                other => return other,
            }
            if !self.answer.shared().wait_for_room() {
                return Err(AnswerError::Gone);
            }
        }
    }

    /// Ends the answer.
    pub fn end(self) {
        self.answer.end();
    }

    /// Ends the answer with fields behind the body.
    pub fn end_with(self, trailers: Trailers) {
        self.answer.end_with(trailers);
    }

    /// Gives up: see [`Answer::fail`].
    pub fn fail(self, why: &str) {
        self.answer.fail(why);
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.answer.is_gone()
    }
}

impl Write for BlockingAnswer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(PART_MAX)];
        self.part(part).map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body of a request, read by a thread that may wait. Dropped early, the rest of it is dropped
/// as it comes.
#[derive(Debug)]
pub struct BlockingBody {
    channel: Arc<Channel>,
    /// What was taken and not read.
    part: Vec<u8>,
    read: usize,
}

/// Takes a body for a thread.
struct Sender {
    channel: Arc<Channel>,
}

struct Channel {
    state: Mutex<State>,
    changed: Condvar,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct State {
    parts: VecDeque<Vec<u8>>,
    waiting: usize,
    is_paused: bool,
    trailers: Option<Fields>,
    /// All of it has come.
    is_whole: bool,
    /// No more will come.
    is_cut: bool,
    /// Nobody reads it.
    is_unread: bool,
}

/// A receiver that hands a request's body to a thread, and that thread's end.
///
/// ```
/// use std::io::Read;
/// use ringway::handler::{Answer, BodyReceiver, HttpRequest, Response, blocking_body};
///
/// fn upper(_: &HttpRequest<'_>, answer: Answer) -> Option<Box<dyn BodyReceiver>> {
///     let (receiver, mut body) = blocking_body(&answer);
///     answer.spawn_blocking(move |answer| {
///         let mut text = String::new();
///         match body.read_to_string(&mut text) {
///             Ok(_) => answer.send(Response::text(200), text.to_uppercase()),
///             Err(_) => answer.send(Response::text(400), "no text\n"),
///         }
///     });
///     Some(receiver)
/// }
/// ```
#[must_use]
pub fn blocking_body(answer: &Answer) -> (Box<dyn BodyReceiver>, BlockingBody) {
    let channel = Arc::new(Channel {
        state: Mutex::default(),
        changed: Condvar::new(),
        shared: Arc::clone(answer.shared()),
    });
    let sender = Sender { channel: Arc::clone(&channel) };
    (Box::new(sender), BlockingBody { channel, part: Vec::new(), read: 0 })
}

impl BlockingBody {
    /// The fields that came behind the body, once it was read to its end.
    #[must_use]
    pub fn trailers(&self) -> Option<Fields> {
        self.channel.state().trailers.clone()
    }

    /// The next part; `None` at the end.
    pub(super) fn next(&self) -> io::Result<Option<Vec<u8>>> {
        let mut state = self.channel.state();
        loop {
            if let Some(part) = state.parts.pop_front() {
                state.waiting -= part.len() + PART_COST;
                let resumes = state.is_paused && state.waiting <= WAITING_MAX / 2;
                state.is_paused &= !resumes;
                drop(state);
                if resumes {
                    self.channel.shared.resume();
                }
                return Ok(Some(part));
            }
            if state.is_whole {
                return Ok(None);
            }
            if state.is_cut {
                let text = "the request is over before its body was";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            state = self.channel.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Read for BlockingBody {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.read == self.part.len() {
            let Some(part) = self.next()? else { return Ok(0) };
            (self.part, self.read) = (part, 0);
        }
        let rest = &self.part[self.read..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Drop for BlockingBody {
    fn drop(&mut self) {
        let mut state = self.channel.state();
        state.is_unread = true;
        state.parts = VecDeque::new();
        state.waiting = 0;
        let was_paused = std::mem::take(&mut state.is_paused);
        drop(state);
        if was_paused {
            self.channel.shared.resume();
        }
    }
}

impl Channel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl BodyReceiver for Sender {
    fn part(&mut self, part: &[u8]) -> Reading {
        let mut state = self.channel.state();
        if state.is_unread {
            return Reading::On;
        }
        state.parts.push_back(part.to_vec());
        state.waiting += part.len() + PART_COST;
        state.is_paused = state.waiting >= WAITING_MAX;
        self.channel.changed.notify_one();
        if state.is_paused { Reading::Paused } else { Reading::On }
    }

    fn end(&mut self, trailers: Option<&Fields>) {
        let mut state = self.channel.state();
        state.trailers = trailers.cloned();
        state.is_whole = true;
        self.channel.changed.notify_one();
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.channel.state().is_cut = true;
        self.channel.changed.notify_one();
    }
}

/// A receiver that waits for all of a request's body, which `body_max` of the route limits, and
/// then has it answered.
///
/// ```
/// use ringway::handler::{Answer, BodyReceiver, HttpRequest, Response, collect};
///
/// fn count(_: &HttpRequest<'_>, answer: Answer) -> Option<Box<dyn BodyReceiver>> {
///     collect(answer, |body, answer| {
///         answer.send(Response::text(200), format!("{} bytes\n", body.len()));
///     })
/// }
/// ```
#[must_use]
pub fn collect(
    answer: Answer,
    then: impl FnOnce(Vec<u8>, Answer) + 'static,
) -> Option<Box<dyn BodyReceiver>> {
    Some(Box::new(Collector { body: Vec::new(), rest: Some((answer, then)) }))
}

struct Collector<F> {
    body: Vec<u8>,
    rest: Option<(Answer, F)>,
}

impl<F: FnOnce(Vec<u8>, Answer)> BodyReceiver for Collector<F> {
    fn held(&self) -> usize {
        self.body.capacity()
    }

    fn part(&mut self, part: &[u8]) -> Reading {
        self.body.extend_from_slice(part);
        Reading::On
    }

    fn end(&mut self, _trailers: Option<&Fields>) {
        if let Some((answer, then)) = self.rest.take() {
            then(std::mem::take(&mut self.body), answer);
        }
    }
}
