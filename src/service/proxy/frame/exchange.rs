//! The exchanges in flight: their ages, their deadlines, what becomes of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::FrameAction;
use super::client::Client;
use super::trunk::Trunk;
use crate::mem::{Key, Slab};
use crate::proto::frame::{Answer, Code, Command, Request, parse_error};
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
struct Exchange {
    client: Key,
    /// The client's own names of the request.
    turn: u64,
    stream: u32,
    command: Command,
    idempotent: bool,
    payload: Vec<u8>,
    state: State,
    retry: Retry,
    deadline: Instant,
    /// A part of an answer was passed on: it can not be asked again.
    begun: bool,
    older: Option<Key>,
    newer: Option<Key>,
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
}

/// What became of an answer.
pub(super) enum Outcome {
    /// It was passed on, perhaps to a client that takes no more.
    Passed { clogged: Option<Key> },
    /// The server has not carried it out: to be sent again.
    Again(Key),
    /// Nobody waits for it.
    Nobody,
}

/// How and when a try failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub(super) safety: Safety,
    pub(super) random: u64,
    pub(super) now: Instant,
}

/// All exchanges of one upstream and worker, in the order of their age: all have the same time.
#[derive(Debug)]
pub(super) struct Exchanges {
    slab: Slab<Exchange>,
    oldest: Option<Key>,
    newest: Option<Key>,
    resting: BinaryHeap<Reverse<(Instant, Key)>>,
    time: Duration,
    spare: Spare,
    /// Those that waited for their turn, and have it.
    ready: Vec<Key>,
    tally: ExchangeTally,
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

    /// Moves the exchanges whose turn has come to `fresh`.
    pub(super) fn take_ready(&mut self, fresh: &mut Vec<Key>) {
        fresh.append(&mut self.ready);
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
        self.tally.errors[code.index()] += 1;
        self.tally.has_errors = true;
    }

    /// A request came.
    pub(super) fn begin(&mut self, client: Key, request: &Request<'_>, now: Instant) -> Key {
        let mut payload = self.spare.take();
        payload.extend_from_slice(request.payload);
        self.tally.begun += 1;
        let exchange = Exchange {
            client,
            turn: 0,
            stream: request.stream,
            command: request.command,
            idempotent: request.idempotent,
            payload,
            state: State::Waiting,
            retry: Retry::new(now),
            deadline: now + self.time,
            begun: false,
            older: self.newest,
            newer: None,
        };
        let key = self.slab.insert(exchange);
        let key = key.unwrap_or_else(|_| unreachable!("fewer exchanges than slots"));
        match self.newest.and_then(|newest| self.slab.get_mut(newest)) {
            Some(newest) => newest.newer = Some(key),
            None => self.oldest = Some(key),
        }
        self.newest = Some(key);
        key
    }

    pub(super) fn set_turn(&mut self, key: Key, turn: u64) {
        if let Some(exchange) = self.slab.get_mut(key) {
            exchange.turn = turn;
        }
    }

    pub(super) fn state(&self, key: Key) -> State {
        self.slab.get(key).map_or(State::Waiting, |exchange| exchange.state)
    }

    pub(super) fn set_state(&mut self, key: Key, state: State) {
        if let Some(exchange) = self.slab.get_mut(key) {
            exchange.state = state;
        }
    }

    /// Whether somebody waits for the answer.
    pub(super) fn is_wanted(&self, key: Key, clients: &Slab<Client>) -> bool {
        self.slab.get(key).is_some_and(|exchange| clients.get(exchange.client).is_some())
    }

    /// Writes an exchange to a trunk; false when that does not take it.
    pub(super) fn send(
        &mut self,
        key: Key,
        trunk: Key,
        on: &mut Trunk,
        actions: &mut Vec<FrameAction>,
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
        if !std::mem::replace(&mut on.dirty, true) {
            actions.extend(on.owner.map(FrameAction::Flush));
        }
        true
    }

    /// Passes a part of an answer on to the client.
    pub(super) fn deliver(
        &mut self,
        clients: &mut Slab<Client>,
        answer: &Answer<'_, Key>,
        actions: &mut Vec<FrameAction>,
    ) -> Outcome {
        let Some((key, exchange)) =
            answer.who.and_then(|key| self.slab.get_mut(key).map(|exchange| (key, exchange)))
        else {
            return Outcome::Nobody;
        };
        let Some(client) = clients.get_mut(exchange.client) else {
            if answer.last {
                self.remove(key);
            }
            return Outcome::Nobody;
        };
        if answer.command == Command::ERROR && !exchange.begun && is_not_done(answer.payload) {
            return Outcome::Again(key);
        }
        exchange.begun = true;
        let place = (exchange.turn, exchange.stream);
        client.answer(&mut self.spare, place, answer.command, answer.payload, answer.last);
        self.ready.extend(client.take_ready());
        if client.mark_dirty() {
            actions.extend(client.owner.map(FrameAction::Flush));
        }
        let clogged = client.is_clogged().then_some(exchange.client);
        if answer.last {
            self.tally.answered += 1;
            self.remove(key);
        }
        Outcome::Passed { clogged }
    }

    /// Answers an exchange with an error of ours.
    pub(super) fn fail(
        &mut self,
        clients: &mut Slab<Client>,
        key: Key,
        code: Code,
        text: &str,
        actions: &mut Vec<FrameAction>,
    ) {
        let Some(exchange) = self.slab.get(key) else { return };
        if let Some(client) = clients.get_mut(exchange.client) {
            self.tally.errors[code.index()] += 1;
            self.tally.has_errors = true;
            client.refuse(&mut self.spare, exchange.turn, exchange.stream, code, text);
            self.ready.extend(client.take_ready());
            if client.mark_dirty() {
                actions.extend(client.owner.map(FrameAction::Flush));
            }
        }
        self.remove(key);
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
            Safety::NotSent => Safety::NotSent,
            _ if exchange.idempotent && !exchange.begun => Safety::Idempotent,
            Safety::Idempotent | Safety::Unsafe => Safety::Unsafe,
        };
        Some(exchange.retry.after_failure(policy, now, safety, budget, random))
    }

    /// The oldest exchange, if its time is over.
    pub(super) fn overdue(&self, now: Instant) -> Option<Key> {
        self.oldest.filter(|key| self.slab.get(*key).is_some_and(|oldest| oldest.deadline <= now))
    }

    /// When something is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let oldest = self.oldest.and_then(|key| self.slab.get(key));
        let rested = self.resting.peek().map(|Reverse((at, _))| *at);
        [oldest.map(|oldest| oldest.deadline), rested].into_iter().flatten().min()
    }

    /// Forgets an exchange.
    pub(super) fn remove(&mut self, key: Key) {
        let Some(exchange) = self.slab.remove(key) else { return };
        let Exchange { older, newer, payload, .. } = exchange;
        match older.and_then(|older| self.slab.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.slab.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        self.spare.put(payload);
    }
}

/// Whether an ERROR says that the request was not carried out.
fn is_not_done(payload: &[u8]) -> bool {
    let code = parse_error(payload).ok().and_then(|(code, _)| Code::from_number(code));
    code.is_some_and(Code::is_not_done)
}
