//! One connection to a server.

use std::time::{Duration, Instant};

use super::client;
use super::delivery::{Delivered, Waits};
use super::exchange::Exchanges;
use super::flow::{Due, top_up};
use super::{Exchanger, FrameAction, Learnt};
use crate::mem::{Key, Slab};
use crate::proto::frame::{Answer, Client, ClientEvent, ClientOptions, Command, FrameError};
use crate::service::cluster::pool::{CloseCause, Pool};
use crate::service::retry::Safety;

/// A connection that a server ends earlier than that, without an answer, is a failed connect.
const USELESS_TIME: Duration = Duration::from_secs(5);

/// A connection to a server, and the exchanges that it carries.
#[derive(Debug)]
pub(super) struct Trunk {
    /// The session's key of it, once it has a socket.
    pub(super) owner: Option<Key>,
    pub(super) server: usize,
    pub(super) machine: Client<Key>,
    /// What is to be sent.
    pub(super) out: Vec<u8>,
    /// The session knows that something is to be sent.
    dirty: bool,
    /// It has agreed to take exchanges.
    pub(super) ready: bool,
    /// Its server is to get no new exchange.
    pub(super) is_leaving: bool,
    /// That it does not stand is no fault of the server's.
    pub(super) is_blameless: bool,
    /// Without flow control: the client that does not take what this brings.
    pub(super) clogged_by: Option<Key>,
    /// Large answers that it brings, or will.
    pub(super) large: u32,
    /// Exchanges that it carries at a time.
    capacity: u32,
    /// When it began to be made.
    begun: Instant,
    /// When it agreed to take exchanges.
    greeted: Option<Instant>,
    /// When it last brought a part of an answer.
    pub(super) heard: Option<Instant>,
}

impl Trunk {
    pub(super) fn new(options: ClientOptions, server: usize, now: Instant) -> Self {
        Self {
            owner: None,
            server,
            machine: Client::new(options),
            out: Vec::new(),
            dirty: false,
            ready: false,
            is_leaving: false,
            is_blameless: false,
            clogged_by: None,
            large: 0,
            capacity: 1,
            begun: now,
            greeted: None,
            heard: None,
        }
    }

    /// Something was written: the session has to flush it, unless it was told already.
    pub(super) fn request_flush(&mut self) -> Option<FrameAction> {
        let was_told = std::mem::replace(&mut self.dirty, true);
        self.owner.filter(|_| !was_told).map(FrameAction::Flush)
    }

    /// A part of an answer was passed on, of which `more` comes: the server may send it, or the
    /// client that takes no more is waited for.
    fn passed_on(
        &mut self,
        exchanges: &mut Exchanges,
        clients: &mut Slab<client::Client>,
        Waits { clogged, more }: Waits,
        actions: &mut Vec<FrameAction>,
        now: Instant,
    ) {
        if self.machine.has_flow() {
            if let Some(key) = more {
                top_up(exchanges, clients, self, (key, Due::Part), actions, now);
            }
            return;
        }
        self.clogged_by = clogged;
        match (more, clogged) {
            (Some(key), None) => exchanges.resume(key, now),
            (Some(key), Some(client)) => {
                exchanges.pause(key);
                clients.get_mut(client).into_iter().for_each(|one| exchanges.owe(one, key));
            }
            (None, _) => {}
        }
    }

    /// It has agreed to take so many exchanges. False when it is to get none all the same, and to
    /// be closed.
    fn stands(
        &mut self,
        trunk: Key,
        capacity: u32,
        pool: &mut Pool<Key, Key>,
        now: Instant,
    ) -> bool {
        self.capacity = capacity;
        (self.greeted, self.ready) = (Some(now), true);
        pool.opened(trunk, now);
        pool.set_capacity(trunk, capacity);
        self.is_blameless |= self.is_leaving;
        !self.is_leaving || pool.retire(trunk, CloseCause::Retired)
    }

    /// Its server is known to answer.
    fn answers(&self) -> Learnt {
        let latency = self.greeted.map(|at| at.saturating_duration_since(self.begun));
        Learnt::Answers(self.server, latency)
    }

    /// Exchanges whose answers are read and dropped.
    pub(super) fn abandoned(&self) -> u32 {
        u32::try_from(self.machine.given_up()).unwrap_or(u32::MAX)
    }

    /// The last frame of an answer has come. False when the connection carries nothing any more
    /// that somebody waits for, and was to be closed then.
    fn answered(
        &mut self,
        trunk: Key,
        is_large: bool,
        pool: &mut Pool<Key, Key>,
        now: Instant,
    ) -> bool {
        if is_large {
            self.large = self.large.saturating_sub(1);
            if self.large == 0 {
                pool.set_capacity(trunk, self.capacity);
            }
        }
        pool.release(trunk, now)
            && !(pool.is_retiring(trunk) && pool.carries(trunk) <= self.abandoned())
    }
}

impl Exchanger {
    /// Whether a trunk was lost soon after HELLO and without an answer: that counts as a failed
    /// connect.
    pub(super) fn was_useless(state: &Trunk, now: Instant) -> bool {
        let age = state.greeted.map(|greeted| now.saturating_duration_since(greeted));
        state.heard.is_none() && age.is_some_and(|age| age < USELESS_TIME)
    }

    /// A trunk has a socket; `owner` is the session's own key of it.
    pub fn trunk_attached(&mut self, trunk: Key, owner: Key) {
        if let Some(trunk) = self.trunks.get_mut(trunk) {
            trunk.owner = Some(owner);
        }
    }

    /// A trunk will not stand, for a want of ours: [`Exchanger::trunk_closed`] follows.
    pub fn trunk_is_blameless(&mut self, trunk: Key) {
        if let Some(trunk) = self.trunks.get_mut(trunk) {
            trunk.is_blameless = true;
        }
    }

    /// A trunk's connection stands: it says HELLO.
    pub fn trunk_connected(&mut self, trunk: Key) {
        if let Some(trunk) = self.trunks.get_mut(trunk) {
            trunk.machine.hello(&mut trunk.out);
            self.actions.extend(trunk.owner.map(FrameAction::Flush));
        }
    }

    /// What is to be sent on a trunk.
    pub fn trunk_out(&mut self, trunk: Key) -> Option<&mut Vec<u8>> {
        let trunk = self.trunks.get_mut(trunk)?;
        trunk.dirty = false;
        Some(&mut trunk.out)
    }

    /// Whether a trunk's server has agreed to take exchanges.
    #[must_use]
    pub fn trunk_is_ready(&self, trunk: Key) -> bool {
        self.trunks.get(trunk).is_some_and(|trunk| trunk.ready)
    }

    /// Whether a trunk is not to be read, because a client does not take what it brings.
    #[must_use]
    pub fn trunk_is_clogged(&self, trunk: Key) -> bool {
        self.trunks.get(trunk).is_some_and(|trunk| trunk.clogged_by.is_some())
    }

    /// Reads answers of a server, until a client is clogged; what is left stays in `input`.
    ///
    /// # Errors
    /// What the server did that ends the connection.
    pub fn trunk_bytes(
        &mut self,
        trunk: Key,
        input: &mut &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        while self.read_trunk(trunk, input, now)? {}
        Ok(())
    }

    /// Reads up to the next GOAWAY; true when there may be more behind it.
    fn read_trunk(
        &mut self,
        trunk: Key,
        input: &mut &[u8],
        now: Instant,
    ) -> Result<bool, FrameError> {
        let Self { trunks, clients, exchanges, pool, lost, actions, .. } = self;
        let Some(state) = trunks.get_mut(trunk) else {
            return Ok(false);
        };
        let (mut is_first, mut going) = (false, None);
        let result = loop {
            if state.clogged_by.is_some() {
                break Ok(());
            }
            match state.machine.next(input) {
                Ok(None) => break Ok(()),
                Ok(Some(ClientEvent::Ready(ready))) => {
                    let most = self.options.pool.capacity.min(ready.window.into());
                    if !state.stands(trunk, most, pool, now) {
                        actions.extend(state.owner.map(FrameAction::CloseTrunk));
                    }
                }
                // An empty part uses no credit, and does not restart the timeout.
                Ok(Some(ClientEvent::Answer(Answer { last: false, payload: [], .. }))) => {}
                Ok(Some(ClientEvent::Answer(answer))) => {
                    let (last, is_large) = (answer.last, answer.request == Command::GET);
                    let outcome = exchanges.deliver(clients, &answer, actions, now);
                    is_first |= state.heard.replace(now).is_none();
                    match outcome {
                        Delivered::Passed(waits) => {
                            state.passed_on(exchanges, clients, waits, actions, now);
                        }
                        Delivered::Again { exchange, is_going } => {
                            lost.push(exchange);
                            if is_going {
                                // It would refuse the next ones, too, and so seem to be free.
                                let _kept = pool.retire(trunk, CloseCause::Retired);
                            }
                        }
                        Delivered::Nobody => {}
                    }
                    if last && !state.answered(trunk, is_large, pool, now) {
                        // It was to be closed after the last exchange that somebody waits for.
                        actions.extend(state.owner.map(FrameAction::CloseTrunk));
                    }
                }
                Ok(Some(ClientEvent::GoAway(event))) => {
                    going = Some(event.last);
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        if is_first {
            let answers = state.answers();
            self.server_answers(answers);
        }
        if let Some(last) = going {
            self.take_back(trunk, last, now);
            if !input.is_empty() && result.is_ok() {
                return Ok(true);
            }
        }
        if !self.lost.is_empty() {
            self.redo_lost(Safety::NotSent, now);
        }
        self.send_fresh(now);
        result.map(|()| false)
    }

    /// HELLO alone says little: now a server is known to answer.
    fn server_answers(&mut self, answers: Learnt) {
        self.learnt.push(answers);
        self.tried.clear();
        self.rounds = 0;
        self.rest_until = None;
    }

    /// What a server that goes away has not carried out goes to another one.
    fn take_back(&mut self, trunk: Key, last: u64, now: Instant) {
        let Self { trunks, pool, lost, actions, .. } = self;
        let Some(state) = trunks.get_mut(trunk) else { return };
        // The places of those that were lost before are free already.
        let before = lost.len();
        let abandoned = state.machine.take_after(last, lost);
        let kept = pool.retire(trunk, CloseCause::Retired);
        let given_back = lost.len() - before + abandoned;
        let left = (0..given_back).fold(kept, |_, _| pool.release(trunk, now));
        if !left {
            actions.extend(state.owner.map(FrameAction::CloseTrunk));
        }
        self.redo_lost(Safety::NotSent, now);
    }
}
