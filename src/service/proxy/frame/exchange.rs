//! The exchanges in flight: their ages, their deadlines, what becomes of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::FrameAction;
use super::client::Client;
use super::flow::Held;
use super::trunk::Trunk;
use crate::mem::{Key, Slab};
use crate::proto::frame::{CREDIT_MAX, Code, Command, FLAG_IDEMPOTENT, FLAG_LAST, Request};
use crate::service::retry::{Retry, RetryBudget, RetryPolicy, Safety, Verdict};

/// Most vectors that are kept to be used again, and the most that one of them may hold.
const SPARE_MAX: usize = 1024;
const SPARE_CAPACITY_MAX: usize = 16 * 1024;

/// What one worker's exchanges came to since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExchangeTally {
    /// Requests that were read.
    pub begun: u64,
    /// Requests that a server answered, with whatever.
    pub answered: u64,
    /// Requests that were sent again.
    pub retried: u64,
    /// Errors that we told clients, in the order of [`Code::ALL`].
    pub errors: [u64; Code::ALL.len()],
    /// Whether there were any.
    pub has_errors: bool,
}

impl ExchangeTally {
    pub(super) fn error(&mut self, code: Code) {
        self.errors[code.index()] += 1;
        self.has_errors = true;
    }
}

/// Vectors for payloads and for answers that wait for their turn, used again and again.
#[derive(Debug)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// An empty one.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    /// One that is not needed any more.
    pub(super) fn put(&mut self, mut used: Vec<u8>) {
        let worth = used.capacity() > 0 && used.capacity() <= SPARE_CAPACITY_MAX;
        if worth && self.0.len() < SPARE_MAX {
            used.clear();
            self.0.push(used);
        }
    }
}

/// One exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) client: Key,
    /// The client's own names of the request.
    pub(super) turn: u64,
    pub(super) stream: u32,
    pub(super) command: Command,
    pub(super) idempotent: bool,
    /// Those of the request that an ECHO answers with.
    pub(super) flags: u8,
    pub(super) payload: Vec<u8>,
    /// What the last try was refused with by a server.
    pub(super) refused: Option<Code>,
    pub(super) state: State,
    pub(super) retry: Retry,
    /// When it is over, unless the client is waited for.
    pub(super) deadline: Option<Instant>,
    /// Bytes of DATA that the client has allowed and that were not passed on.
    pub(super) credit: u32,
    /// What came beyond that.
    pub(super) held: Option<Box<Held>>,
    /// Since when its client is waited for to allow more.
    pub(super) stalled: Option<Instant>,
    /// It is among those that its client is owed.
    pub(super) is_owed: bool,
    /// A part of an answer was passed on: it cannot be asked again.
    pub(super) begun: bool,
    /// Its client has its answer, or has gone: only the end of it is waited for.
    pub(super) is_orphan: bool,
    pub(super) older: Option<Key>,
    pub(super) newer: Option<Key>,
}

impl Exchange {
    /// Its client is waited for since then to allow more, or no longer.
    pub(super) const fn note_stall(&mut self, since: Option<Instant>) {
        if self.stalled.is_some() != since.is_some() {
            self.stalled = since;
        }
    }
}

/// Where an exchange is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for a connection, or for the end of the call.
    Waiting,
    /// It is on its way.
    Sent {
        /// The connection.
        trunk: Key,
        /// Its stream, or number, there.
        stream: u32,
    },
    /// It will be sent again.
    Resting,
    /// All of its answer has come, and the client has not allowed it yet.
    Answered,
}

/// An exchange that a server answers.
pub(super) struct Sent {
    pub(super) client: Key,
    pub(super) turn: u64,
    /// Its stream on the connection to the server.
    pub(super) stream: u32,
    /// Bytes that its client has allowed.
    pub(super) credit: u32,
    /// Whether more came than that.
    pub(super) is_held: bool,
}

/// How and when a try failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub(super) safety: Safety,
    pub(super) random: u64,
    pub(super) now: Instant,
}

/// All exchanges of one upstream and worker. Those whose server is waited for are in the order of
/// their deadlines: all have the same timeout, which starts again when something arrives.
#[derive(Debug)]
pub(super) struct Exchanges {
    pub(super) slab: Slab<Exchange>,
    oldest: Option<Key>,
    newest: Option<Key>,
    resting: BinaryHeap<Reverse<(Instant, Key)>>,
    time: Duration,
    pub(super) spare: Spare,
    /// Those that waited for their turn, and have it.
    pub(super) ready: Vec<Key>,
    pub(super) tally: ExchangeTally,
}

impl Exchanges {
    pub(super) const fn new(time: Duration) -> Self {
        Self {
            slab: Slab::with_limit(u32::MAX),
            oldest: None,
            newest: None,
            resting: BinaryHeap::new(),
            time,
            spare: Spare(Vec::new()),
            ready: Vec::new(),
            tally: ExchangeTally {
                begun: 0,
                answered: 0,
                retried: 0,
                errors: [0; Code::ALL.len()],
                has_errors: false,
            },
        }
    }

    pub(super) const fn spare(&mut self) -> &mut Spare {
        &mut self.spare
    }

    /// Moves the exchanges whose turn has come to `fresh`: their time begins now.
    pub(super) fn take_ready(&mut self, fresh: &mut Vec<Key>, now: Instant) {
        for key in std::mem::take(&mut self.ready) {
            if let Some(exchange) = self.slab.get_mut(key) {
                exchange.retry = Retry::new(now);
            }
            self.resume(key, now);
            fresh.push(key);
        }
    }

    pub(super) const fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn take_tally(&mut self) -> ExchangeTally {
        std::mem::take(&mut self.tally)
    }

    pub(super) fn count_refused(&mut self, code: Code) {
        self.tally.error(code);
    }

    /// A request was read.
    pub(super) const fn count_begun(&mut self) {
        self.tally.begun += 1;
    }

    /// A request came.
    pub(super) fn begin(&mut self, client: Key, request: &Request<'_>, now: Instant) -> Key {
        let mut payload = self.spare.take();
        payload.extend_from_slice(request.payload);
        self.count_begun();
        let exchange = Exchange {
            client,
            turn: 0,
            stream: request.stream,
            command: request.command,
            idempotent: request.idempotent,
            flags: request.flags & (FLAG_LAST | FLAG_IDEMPOTENT),
            payload,
            refused: None,
            state: State::Waiting,
            retry: Retry::new(now),
            deadline: None,
            credit: 0,
            held: None,
            stalled: None,
            is_owed: false,
            begun: false,
            is_orphan: false,
            older: None,
            newer: None,
        };
        let key = self.slab.insert(exchange);
        let key = key.unwrap_or_else(|_| unreachable!("fewer exchanges than slots"));
        self.resume(key, now);
        key
    }

    /// Its server is waited for, from now on.
    pub(super) fn resume(&mut self, key: Key, now: Instant) {
        self.pause(key);
        let Some(exchange) = self.slab.get_mut(key) else { return };
        exchange.deadline = Some(now + self.time);
        exchange.older = self.newest;
        match self.newest.and_then(|newest| self.slab.get_mut(newest)) {
            Some(newest) => newest.newer = Some(key),
            None => self.oldest = Some(key),
        }
        self.newest = Some(key);
    }

    /// Its client is waited for: no time of its own runs.
    pub(super) fn pause(&mut self, key: Key) {
        let Some(exchange) = self.slab.get_mut(key) else { return };
        if exchange.deadline.take().is_none() {
            return;
        }
        let (older, newer) = (exchange.older.take(), exchange.newer.take());
        match older.and_then(|older| self.slab.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.slab.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
    }

    /// Its place in the order of answers, and what its client allows it at first.
    pub(super) fn set_turn(&mut self, key: Key, turn: u64, credit: Option<u32>) {
        if let Some(exchange) = self.slab.get_mut(key) {
            exchange.turn = turn;
            exchange.credit = credit.unwrap_or(0);
        }
    }

    /// Whether its answer may be large.
    pub(super) fn is_large(&self, key: Key) -> bool {
        self.slab.get(key).is_some_and(|exchange| exchange.command == Command::GET)
    }

    /// An exchange that is on its way to a server or back.
    pub(super) fn sent(&self, key: Key) -> Option<Sent> {
        let exchange = self.slab.get(key)?;
        let State::Sent { stream, .. } = exchange.state else { return None };
        let Exchange { client, turn, credit, .. } = *exchange;
        Some(Sent { client, turn, stream, credit, is_held: exchange.held.is_some() })
    }

    /// Its client allows it so many more bytes.
    ///
    /// # Errors
    /// The sum, when that is more than a stream may have.
    pub(super) fn allow(&mut self, key: Key, bytes: u32) -> Result<(), u32> {
        let Some(exchange) = self.slab.get_mut(key) else { return Ok(()) };
        let sum = exchange.credit.saturating_add(bytes);
        if sum > CREDIT_MAX {
            return Err(sum);
        }
        exchange.credit = sum;
        Ok(())
    }

    /// Its client can allow nothing more, and everything is allowed.
    pub(super) fn lift(&mut self, key: Key) {
        if let Some(exchange) = self.slab.get_mut(key) {
            exchange.credit = CREDIT_MAX;
            exchange.note_stall(None);
        }
    }

    /// Its client is waited for, or no longer.
    pub(super) fn note_stall(&mut self, key: Key, since: Option<Instant>) {
        if let Some(exchange) = self.slab.get_mut(key) {
            exchange.note_stall(since);
        }
    }

    /// Whether its client has been waited for since `since`.
    pub(super) fn is_stalled_since(&self, key: Key, since: Instant) -> bool {
        self.stalled(key).is_some_and(|stalled| stalled <= since)
    }

    /// Whether its client is waited for.
    pub(super) fn is_stalled(&self, key: Key) -> bool {
        self.stalled(key).is_some()
    }

    /// Since when its client has been waited for.
    pub(super) fn stalled(&self, key: Key) -> Option<Instant> {
        self.slab.get(key).and_then(|exchange| exchange.stalled)
    }

    /// It goes on when its client takes what came.
    pub(super) fn owe(&mut self, client: &mut Client, key: Key) {
        if let Some(exchange) = self.slab.get_mut(key).filter(|exchange| !exchange.is_owed) {
            exchange.is_owed = true;
            client.owed.push(key);
        }
    }

    /// Its client has taken something.
    pub(super) fn pay(&mut self, key: Key) {
        if let Some(exchange) = self.slab.get_mut(key) {
            exchange.is_owed = false;
        }
    }

    /// Whether no time of it runs, and how much is held of it.
    pub(super) fn is_paused(&self, key: Key) -> bool {
        self.slab.get(key).is_some_and(|exchange| exchange.deadline.is_none())
    }

    /// The code with which a server refused the last try; none if its connection was lost.
    pub(super) fn refused(&mut self, key: Key) -> Option<Code> {
        self.slab.get_mut(key).and_then(|exchange| exchange.refused.take())
    }

    pub(super) fn state(&self, key: Key) -> State {
        self.slab.get(key).map_or(State::Waiting, |exchange| exchange.state)
    }

    pub(super) fn set_state(&mut self, key: Key, state: State) {
        if let Some(exchange) = self.slab.get_mut(key) {
            exchange.state = state;
        }
    }

    /// Whether its client is still there.
    pub(super) fn has_client(&self, key: Key, clients: &Slab<Client>) -> bool {
        self.slab.get(key).is_some_and(|exchange| clients.get(exchange.client).is_some())
    }

    /// Whether somebody waits for the answer.
    pub(super) fn is_wanted(&self, key: Key, clients: &Slab<Client>) -> bool {
        let exchange = self.slab.get(key).filter(|exchange| !exchange.is_orphan);
        exchange.is_some_and(|exchange| clients.get(exchange.client).is_some())
    }

    /// Writes an exchange to a trunk; false when that does not take it.
    pub(super) fn send(
        &mut self,
        key: Key,
        trunk: Key,
        on: &mut Trunk,
        actions: &mut Vec<FrameAction>,
        now: Instant,
    ) -> bool {
        let Some(exchange) = self.slab.get_mut(key) else {
            return false;
        };
        let Exchange { command, idempotent, payload, .. } = exchange;
        let begun = on.machine.begin(*command, *idempotent, payload, key, &mut on.out);
        let Some(stream) = begun else {
            return false;
        };
        exchange.state = State::Sent { trunk, stream };
        if exchange.deadline.is_none() {
            self.resume(key, now);
        }
        actions.extend(on.request_flush());
        true
    }

    /// The exchange is on no connection any more.
    pub(super) fn lose(&mut self, key: Key) {
        self.tally.retried += 1;
        self.set_state(key, State::Waiting);
    }

    /// The exchange will be sent again at `at`.
    pub(super) fn rest(&mut self, key: Key, at: Instant) {
        self.tally.retried += 1;
        self.set_state(key, State::Resting);
        self.resting.push(Reverse((at, key)));
    }

    /// Takes those that have rested, into `fresh`.
    pub(super) fn rested(&mut self, now: Instant, fresh: &mut Vec<Key>) {
        while let Some(Reverse((at, key))) = self.resting.peek().copied() {
            if at > now {
                return;
            }
            self.resting.pop();
            if self.slab.get(key).is_some_and(|exchange| exchange.state == State::Resting) {
                self.set_state(key, State::Waiting);
                fresh.push(key);
            }
        }
    }

    /// Decides whether an exchange that failed is tried again; `None` when it is gone.
    pub(super) fn retry(
        &mut self,
        key: Key,
        policy: &RetryPolicy,
        budget: &mut RetryBudget,
        trial: Trial,
    ) -> Option<Verdict> {
        let Trial { safety, random, now } = trial;
        let exchange = self.slab.get_mut(key)?;
        let safety = match safety {
            _ if exchange.begun => Safety::Unsafe,
            Safety::NotSent => Safety::NotSent,
            _ if exchange.idempotent => Safety::Idempotent,
            Safety::Idempotent | Safety::Unsafe => Safety::Unsafe,
        };
        Some(exchange.retry.after_failure(policy, now, safety, budget, random))
    }

    /// The exchange whose deadline is the first, if its time is over.
    pub(super) fn overdue(&self, now: Instant) -> Option<Key> {
        let is_over = |deadline: Instant| deadline <= now;
        self.oldest
            .filter(|key| self.slab.get(*key).is_some_and(|one| one.deadline.is_some_and(is_over)))
    }

    /// When something is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.oldest.and_then(|key| self.slab.get(key));
        let rested = self.resting.peek().map(|Reverse((at, _))| *at);
        [oldest.and_then(|oldest| oldest.deadline), rested].into_iter().flatten().min()
    }

    /// Forgets an exchange.
    pub(super) fn remove(&mut self, key: Key) {
        self.pause(key);
        let Some(exchange) = self.slab.remove(key) else { return };
        self.spare.put(exchange.payload);
    }
}
