//! What a program and a worker share of one request. The program says its answer, the worker takes
//! it; each of them may be the first to go.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::answer::AnswerError;
use super::response::Response;
use crate::mem::Key;
use crate::proto::http::{Fields, ResponseHead};

/// What a handler needs of the worker that called it.
pub(crate) trait Host: Send + Sync {
    /// The worker is to look at this request.
    fn wake(&self, request: Key);

    /// Has work done by a thread that may wait; false when there is too much of it.
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> bool;
}

/// Something of an answer.
#[derive(Debug)]
pub(crate) enum Said {
    /// An interim answer.
    Interim(ResponseHead),
    /// All of it.
    Whole(ResponseHead, Vec<u8>),
    /// The head, and the length of the body if that is known.
    Head(ResponseHead, Option<u64>),
    /// A part of the body.
    Part(Vec<u8>),
    /// The end.
    End(Option<Box<Fields>>),
    /// There will be no more.
    Failed {
        /// The status, if nothing was said before.
        status: u16,
        /// Why.
        why: String,
    },
}

/// Interim answers of one request at most.
const INTERIM_MAX: u8 = 16;

/// How far the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Head,
    Body,
    Over,
}

#[derive(Debug)]
struct State {
    said: VecDeque<Said>,
    /// Bytes of bodies among that.
    queued: usize,
    /// How many there may be.
    limit: usize,
    stage: Stage,
    interim: u8,
    /// The body of the request is to go on.
    resumed: bool,
    /// A part was refused.
    wants_room: bool,
    /// The worker looks, or was told to.
    is_told: bool,
    /// Nobody takes what is said.
    is_gone: bool,
}

/// See above.
pub(crate) struct Shared {
    host: Arc<dyn Host>,
    request: Key,
    state: Mutex<State>,
    /// There is room, or nobody needs it.
    changed: Condvar,
}

impl Shared {
    /// Of a request which the worker is about to hand to its handler.
    pub(super) fn new(host: Arc<dyn Host>, request: Key, limit: usize) -> Self {
        let state = State {
            said: VecDeque::new(),
            queued: 0,
            limit,
            stage: Stage::Head,
            interim: 0,
            resumed: false,
            wants_room: false,
            is_told: true,
            is_gone: false,
        };
        Self { host, request, state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of the program runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the worker look, unless it does already.
    fn tell(&self, mut state: MutexGuard<'_, State>) {
        let is_told = std::mem::replace(&mut state.is_told, true);
        drop(state);
        if !is_told {
            self.host.wake(self.request);
        }
    }

    pub(super) fn say_whole(&self, response: Response, body: Vec<u8>) -> Result<(), AnswerError> {
        let mut state = self.state();
        state.check(Stage::Head)?;
        state.stage = Stage::Over;
        state.queued += body.len();
        state.said.push_back(Said::Whole(response.head, body));
        self.tell(state);
        Ok(())
    }

    pub(super) fn say_interim(&self, response: Response) -> Result<(), AnswerError> {
        let mut state = self.state();
        state.check(Stage::Head)?;
        if !response.head.is_interim() || state.interim == INTERIM_MAX {
            return Err(AnswerError::Order);
        }
        state.interim += 1;
        state.said.push_back(Said::Interim(response.head));
        self.tell(state);
        Ok(())
    }

    pub(super) fn say_head(&self, response: Response) -> Result<(), AnswerError> {
        let mut state = self.state();
        state.check(Stage::Head)?;
        state.stage = Stage::Body;
        state.said.push_back(Said::Head(response.head, response.length));
        self.tell(state);
        Ok(())
    }

    pub(super) fn say_part(&self, part: Vec<u8>) -> Result<(), AnswerError> {
        let mut state = self.state();
        state.check(Stage::Body)?;
        // One part is always taken, so that one of any size passes.
        if state.queued > 0 && state.queued + part.len() > state.limit {
            state.wants_room = true;
            return Err(AnswerError::Full(part));
        }
        if part.is_empty() {
            return Ok(());
        }
        state.queued += part.len();
        state.said.push_back(Said::Part(part));
        self.tell(state);
        Ok(())
    }

    /// Says the last part and the end, if an answer is under way.
    pub(super) fn say_last(&self, part: Vec<u8>, trailers: Box<Fields>) {
        let mut state = self.state();
        if state.check(Stage::Body).is_err() {
            return;
        }
        state.stage = Stage::Over;
        state.queued += part.len();
        state.said.push_back(Said::Part(part));
        state.said.push_back(Said::End(Some(trailers)));
        self.tell(state);
    }

    /// A part waits for room; false when there will be none.
    pub(super) fn want_room(&self) -> bool {
        let mut state = self.state();
        state.wants_room = true;
        !state.is_gone
    }

    /// Says the last thing, unless that was said.
    pub(super) fn say(&self, last: Said) {
        let mut state = self.state();
        if state.stage == Stage::Over || state.is_gone {
            return;
        }
        let last = match (state.stage, last) {
            (Stage::Head, Said::End(_)) => {
                let why = "the answer was ended without a head".to_owned();
                Said::Failed { status: 500, why }
            }
            (_, last) => last,
        };
        state.stage = Stage::Over;
        state.said.push_back(last);
        self.tell(state);
    }

    /// The program has dropped the answer.
    pub(super) fn abandon(&self) {
        let why = "the handler dropped the answer before it was whole".to_owned();
        self.say(Said::Failed { status: 500, why });
    }

    /// Has work done elsewhere. If that is impossible, the client is told.
    pub(super) fn run(&self, work: Box<dyn FnOnce() + Send>) {
        if !self.host.run(work) {
            let why = "too much waits for the threads of handlers".to_owned();
            self.say(Said::Failed { status: 503, why });
        }
    }

    pub(super) fn resume(&self) {
        let mut state = self.state();
        state.resumed = true;
        self.tell(state);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.state().is_gone
    }

    pub(super) fn room(&self) -> usize {
        let state = self.state();
        state.limit.saturating_sub(state.queued)
    }

    /// Waits until a part that was refused may be taken; false when nobody takes any.
    pub(super) fn wait_for_room(&self) -> bool {
        let mut state = self.state();
        while state.wants_room && !state.is_gone {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.is_gone
    }
}

/// The worker's side.
impl Shared {
    /// The program is called: what it says meanwhile is taken afterwards.
    pub(super) fn expect(&self) {
        self.state().is_told = true;
    }

    /// What was said next. After `None`, the worker is told when there is more.
    pub(super) fn take(&self) -> Option<Said> {
        let mut state = self.state();
        let said = state.said.pop_front();
        match &said {
            Some(Said::Part(part) | Said::Whole(_, part)) => state.queued -= part.len(),
            Some(Said::Interim(_) | Said::Head(..) | Said::End(_) | Said::Failed { .. }) => {}
            None => state.is_told = false,
        }
        said
    }

    /// Whether the request's body is to go on since the last time that this was asked.
    pub(super) fn take_resumed(&self) -> bool {
        std::mem::take(&mut self.state().resumed)
    }

    /// So many bytes may wait. True when there is room that was asked for.
    pub(super) fn give_room(&self, limit: usize) -> bool {
        let mut state = self.state();
        state.limit = limit;
        let has_room = state.wants_room && state.queued <= limit / 2;
        if has_room {
            state.wants_room = false;
            self.changed.notify_all();
        }
        has_room
    }

    /// Bytes that wait.
    pub(super) fn queued(&self) -> usize {
        self.state().queued
    }

    /// The request is over: nothing is taken any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_gone = true;
        state.said = VecDeque::new();
        state.queued = 0;
        self.changed.notify_all();
    }
}

impl State {
    fn check(&self, stage: Stage) -> Result<(), AnswerError> {
        if self.is_gone {
            return Err(AnswerError::Gone);
        }
        if self.stage == stage { Ok(()) } else { Err(AnswerError::Order) }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("state", &self.state()).finish_non_exhaustive()
    }
}
