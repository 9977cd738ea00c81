//! What a program and a worker share of one request. The program says its answer, the worker takes
//! it; each of them may be the first to go.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::answer::AnswerError;
use super::response::Response;
use crate::mem::Key;
use crate::proto::http::{Fields, ResponseHead};

/// Something to be done.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// What a part of an answer costs beside its bytes.
const PART_COST: usize = 128;
/// Things said of which the memory is kept for the next request.
const SAID_SPARE_MAX: usize = 16;

/// What a handler needs of the worker that called it.
pub(crate) trait Host: Send + Sync {
    /// The worker is to look at this request.
    fn wake(&self, request: Key);

    /// Has work done by a thread that may wait. It comes back when there is too much of it.
    fn run(&self, work: Work) -> Result<(), Work>;
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
    /// The head of an answer to a call of gRPC that says nothing else.
    CallHead,
    /// A part of the body.
    Part(Vec<u8>),
    /// The end.
    End(Ending),
    /// There will be no more.
    Failed {
        /// The status, if nothing was said before.
        status: u16,
        /// Why.
        why: String,
    },
}

impl Said {
    /// What it costs while it waits.
    const fn cost(&self) -> usize {
        match self {
            Self::Part(part) | Self::Whole(_, part) => part.len() + PART_COST,
            Self::Interim(_)
            | Self::Head(..)
            | Self::CallHead
            | Self::End(_)
            | Self::Failed { .. } => 0,
        }
    }
}

/// What comes behind a body.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Nothing.
    None,
    /// These fields.
    Fields(Box<Fields>),
    /// That a call of gRPC went well.
    CallOk,
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
    /// What bodies among that cost.
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
        let state = Mutex::new(State::new(VecDeque::new(), limit));
        Self { host, request, state, changed: Condvar::new() }
    }

    /// The same of another request, when nobody has it any more: its memory is used again.
    pub(super) fn renew(&mut self, host: Arc<dyn Host>, request: Key, limit: usize) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut said = std::mem::take(&mut state.said);
        said.clear();
        said.shrink_to(SAID_SPARE_MAX);
        *state = State::new(said, limit);
        (self.host, self.request) = (host, request);
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
        let head = final_head(response.head);
        // RFC 9110, section 15.3.6.
        let body = if head.status == 205 { Vec::new() } else { body };
        state.push(Said::Whole(head, body));
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
        state.push(Said::Interim(response.head));
        self.tell(state);
        Ok(())
    }

    pub(super) fn say_head(&self, response: Response) -> Result<(), AnswerError> {
        let mut state = self.state();
        state.check(Stage::Head)?;
        state.stage = Stage::Body;
        state.push(Said::Head(final_head(response.head), response.length));
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
        state.push(Said::Part(part));
        self.tell(state);
        Ok(())
    }

    /// Says a message of a call, and its head if that was not said. The last one is taken whatever
    /// waits, and the call has ended well with it.
    pub(super) fn say_message(
        &self,
        head: impl FnOnce() -> Said,
        part: Vec<u8>,
        is_last: bool,
    ) -> Result<(), AnswerError> {
        let mut state = self.state();
        if state.is_gone || state.stage == Stage::Over {
            return Err(AnswerError::Gone);
        }
        if !is_last && state.queued > 0 && state.queued + part.len() > state.limit {
            state.wants_room = true;
            return Err(AnswerError::Full(part));
        }
        if state.stage == Stage::Head {
            state.stage = Stage::Body;
            state.push(head());
        }
        state.push(Said::Part(part));
        if is_last {
            state.stage = Stage::Over;
            state.push(Said::End(Ending::CallOk));
        }
        self.tell(state);
        Ok(())
    }

    /// Says the last thing, unless that was said; what it is may go by whether a head was said.
    pub(super) fn say_last(&self, said: impl FnOnce(bool) -> Said) {
        let mut state = self.state();
        if state.is_gone || state.stage == Stage::Over {
            return;
        }
        let has_head = state.stage == Stage::Body;
        state.stage = Stage::Over;
        state.push(said(has_head));
        self.tell(state);
    }

    /// Whether a part would be taken now. If none would, room is waited for.
    pub(super) fn claim_room(&self) -> Claim {
        let mut state = self.state();
        if state.is_gone || state.stage == Stage::Over {
            return Claim::Gone;
        }
        // What waits makes the worker look again: it sees that room is wanted.
        state.wants_room = state.queued > 0 && state.queued >= state.limit;
        if state.wants_room { Claim::Full } else { Claim::Room }
    }

    /// Says the last thing, unless that was said.
    pub(super) fn say(&self, last: Said) {
        self.say_last(|has_head| {
            if has_head || !matches!(last, Said::End(_)) {
                return last;
            }
            let why = "the answer was ended without a head".to_owned();
            Said::Failed { status: 500, why }
        });
    }

    /// The program has dropped the answer.
    pub(super) fn abandon(&self) {
        self.say_last(|_| {
            let why = "the handler dropped the answer before it was whole".to_owned();
            Said::Failed { status: 500, why }
        });
    }

    /// Has work done elsewhere, unless the request is over by then. If that is impossible, the
    /// client is told.
    pub(super) fn run(self: &Arc<Self>, work: Work) {
        let shared = Arc::clone(self);
        let unless_over = move || {
            if !shared.is_gone() {
                work();
            }
        };
        if let Err(refused) = self.host.run(Box::new(unless_over)) {
            let why = "too much waits for the threads of handlers".to_owned();
            self.say(Said::Failed { status: 503, why });
            drop(refused);
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

    /// What was said next, if the connection takes it. After [`Look::Nothing`], the worker is told
    /// when there is more, and after [`Look::Blocked`], so that it counts what waits. Of the
    /// answer, `limit` bytes may wait from now on. Returns it with the bytes that wait behind it.
    pub(super) fn look(&self, limit: usize, takes: Takes) -> (Look, usize) {
        let mut state = self.state();
        state.limit = limit;
        let is_blocked = match state.said.front() {
            Some(Said::Part(_)) => !takes.parts,
            Some(Said::Whole(..) | Said::Head(..) | Said::CallHead | Said::Interim(_)) => {
                !takes.heads
            }
            Some(Said::End(_) | Said::Failed { .. }) | None => false,
        };
        if is_blocked {
            state.is_told = false;
            return (Look::Blocked, state.queued);
        }
        if let Some(said) = state.said.pop_front() {
            state.queued -= said.cost();
            return (Look::Said(said), state.queued);
        }
        state.is_told = false;
        if state.wants_room && state.queued <= limit / 2 {
            state.wants_room = false;
            self.changed.notify_all();
            return (Look::Room, state.queued);
        }
        (Look::Nothing, state.queued)
    }

    /// Whether the request's body is to go on since the last time that this was asked.
    pub(super) fn take_resumed(&self) -> bool {
        std::mem::take(&mut self.state().resumed)
    }

    /// The request is over: nothing is taken any more.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_gone = true;
        state.said.clear();
        state.queued = 0;
        // To wake nobody costs a call of the kernel.
        if state.wants_room {
            self.changed.notify_all();
        }
    }
}

/// Whether a part may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    Room,
    Full,
    Gone,
}

/// What a connection takes now, beside ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Takes {
    /// Parts of bodies.
    pub(crate) parts: bool,
    /// Heads, which no window holds back.
    pub(crate) heads: bool,
}

/// An answer that is not the last cannot be one.
fn final_head(mut head: ResponseHead) -> ResponseHead {
    if head.is_interim() {
        head.status = 500;
    }
    head
}

/// What a worker finds.
#[derive(Debug)]
pub(crate) enum Look {
    /// What was said next waits for the connection.
    Blocked,
    /// Something was said.
    Said(Said),
    /// There is room that was asked for.
    Room,
    /// Nothing.
    Nothing,
}

impl State {
    const fn new(said: VecDeque<Said>, limit: usize) -> Self {
        Self {
            said,
            queued: 0,
            limit,
            stage: Stage::Head,
            interim: 0,
            resumed: false,
            wants_room: false,
            is_told: true,
            is_gone: false,
        }
    }

    fn push(&mut self, said: Said) {
        self.queued += said.cost();
        self.said.push_back(said);
    }

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
