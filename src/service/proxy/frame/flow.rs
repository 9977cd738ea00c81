//! How much of an answer servers may send ahead: credit, given as clients take what came before.
//!
//! With flow control a slow client stops its own answers, and the connection that brings them is
//! read on for the others. Without, the connection is not read while such a client is *clogged*.

use std::collections::VecDeque;
use std::time::Instant;

use super::client::Client;
use super::exchange::{Exchanges, State};
use super::trunk::Trunk;
use super::{CLOG_BYTES, Exchanger, FrameAction};
use crate::mem::{Key, Slab};
use crate::proto::frame::{Code, Command, FrameError, PayloadError};
use crate::service::cluster::pool::CloseCause;

/// Bytes that a server may send of each answer before it is given more: enough for small ones, and
/// little enough for every request of a client's window.
pub const CREDIT_FIRST: u32 = 64 * 1024;
/// Bytes that a server may be ahead in a large answer, at most.
const CREDIT_AHEAD: u32 = 256 * 1024;
/// Bytes that servers may be ahead in all large answers of one client, beside [`CREDIT_FIRST`] of
/// each.
const CLIENT_AHEAD: u32 = 1024 * 1024;

/// What came for a client that has not allowed it yet.
#[derive(Debug, Default)]
pub(super) struct Held {
    data: VecDeque<u8>,
    /// The last frame of the answer.
    end: Option<(Command, Vec<u8>)>,
}

impl Held {
    /// Keeps one frame of an answer.
    pub(super) fn push(&mut self, command: Command, payload: &[u8]) {
        if command == Command::DATA {
            self.data.extend(payload);
        } else {
            self.end = Some((command, payload.to_vec()));
        }
    }

    /// Takes what `credit` allows, which is used up by it: the bytes, and the last frame when all
    /// before it was taken.
    pub(super) fn take(&mut self, credit: &mut u32) -> (Vec<u8>, Option<(Command, Vec<u8>)>) {
        let most = usize::try_from(*credit).unwrap_or(usize::MAX).min(self.data.len());
        let data: Vec<u8> = self.data.drain(..most).collect();
        *credit -= u32::try_from(data.len()).unwrap_or(*credit);
        let end = if self.data.is_empty() { self.end.take() } else { None };
        (data, end)
    }

    /// Bytes that were not taken.
    pub(super) fn len(&self) -> usize {
        self.data.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty() && self.end.is_none()
    }
}

/// Why a server may get credit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It has sent a part of the answer: its time begins again.
    Part,
    /// The client has taken or allowed something, which says nothing of the server.
    Client,
}

/// How much more a server may send of an answer, which may send `left` already: `None` for nothing
/// now. `allowed` is what the client has allowed, `None` for a client without flow control;
/// `answers` is how many it waits for, and `waiting` is what it has not taken.
fn grant(left: u32, allowed: Option<u32>, answers: usize, waiting: usize) -> Option<u32> {
    if waiting >= CLOG_BYTES {
        return None;
    }
    let answers = u32::try_from(answers).unwrap_or(u32::MAX).max(1);
    let ahead = (CLIENT_AHEAD / answers).clamp(CREDIT_FIRST, CREDIT_AHEAD);
    let ahead = allowed.map_or(ahead, |allowed| allowed.min(ahead));
    let more = ahead.saturating_sub(left);
    (more > 0 && (left == 0 || more >= ahead / 2)).then_some(more)
}

/// Gives a server credit for an answer, if the client takes what came before. What cannot be given
/// now is owed.
pub(super) fn top_up(
    exchanges: &mut Exchanges,
    clients: &mut Slab<Client>,
    on: &mut Trunk,
    (key, due): (Key, Due),
    actions: &mut Vec<FrameAction>,
    now: Instant,
) {
    let Some(state) = exchanges.sent(key) else { return };
    let Some(client) = clients.get_mut(state.client) else { return };
    let left = on.machine.credit_of(state.stream);
    let credit = client.credit_of(state.credit);
    let allowed = if state.is_held { Some(0) } else { credit };
    let waiting = if client.is_turn(state.turn) { client.waiting() } else { usize::MAX };
    if let Some(more) = grant(left, allowed, client.answers(), waiting) {
        on.machine.credit(state.stream, more, &mut on.out);
        actions.extend(on.request_flush());
        exchanges.note_stall(key, None);
        if due == Due::Part || exchanges.is_paused(key) {
            exchanges.resume(key, now);
        }
        return;
    }
    let is_limited = allowed.is_some_and(|allowed| allowed <= left);
    let is_stalled = is_limited && (state.is_held || left == 0);
    exchanges.note_stall(key, is_stalled.then_some(now));
    if is_limited || waiting >= CLOG_BYTES {
        exchanges.owe(client, key);
    }
    if left == 0 || waiting >= CLOG_BYTES {
        // It is the client that is waited for.
        exchanges.pause(key);
    } else if due == Due::Part {
        exchanges.resume(key, now);
    }
}

impl Exchanger {
    /// A client has taken some of its answers, or a turn has come: servers may send more.
    pub(super) fn settle_credit(&mut self, client: Key, now: Instant) {
        let Self { clients, trunks, exchanges, actions, .. } = self;
        let Some(state) = clients.get_mut(client) else { return };
        for key in std::mem::take(&mut state.owed) {
            exchanges.pay(key);
            let State::Sent { trunk, .. } = exchanges.state(key) else { continue };
            match trunks.get_mut(trunk) {
                Some(on) if on.machine.has_flow() => {
                    top_up(exchanges, clients, on, (key, Due::Client), actions, now);
                }
                // It is read on when the client allows more of what blocks it.
                Some(on) if on.clogged_by == Some(client) => {
                    clients.get_mut(client).into_iter().for_each(|one| exchanges.owe(one, key));
                }
                Some(_) | None => exchanges.resume(key, now),
            }
        }
    }

    /// A client allows an answer to carry more.
    ///
    /// # Errors
    /// When that is more than a stream may have.
    pub(super) fn client_credit(
        &mut self,
        client: Key,
        stream: u32,
        bytes: u32,
        now: Instant,
    ) -> Result<(), FrameError> {
        let Self { clients, trunks, exchanges, actions, .. } = self;
        let Some(state) = clients.get_mut(client) else { return Ok(()) };
        let Some(key) = state.exchange_of(stream) else { return Ok(()) };
        let too_much = |sum| FrameError::Credit { stream, source: PayloadError::Credit(sum) };
        exchanges.allow(key, bytes).map_err(too_much)?;
        if !exchanges.release(state, key, actions, now)
            && let State::Sent { trunk, .. } = exchanges.state(key)
            && let Some(on) = trunks.get_mut(trunk)
        {
            if on.machine.has_flow() {
                top_up(exchanges, clients, on, (key, Due::Client), actions, now);
            } else if !exchanges.holds_much(key) {
                self.unclog(client);
                self.settle_credit(client, now);
            }
        }
        self.send_fresh(now);
        Ok(())
    }

    /// A client can give no more credit: the rest is sent as far as it takes it.
    pub fn client_ended(&mut self, client: Key, now: Instant) {
        let Self { clients, exchanges, actions, .. } = self;
        let Some(state) = clients.get_mut(client) else { return };
        if !state.lift_credit() {
            return;
        }
        for key in state.open_exchanges().collect::<Vec<_>>() {
            exchanges.lift(key);
            exchanges.release(state, key, actions, now);
        }
        self.unclog(client);
        self.settle_credit(client, now);
        self.send_fresh(now);
    }

    /// A client no longer waits for an answer.
    pub(super) fn client_reset(&mut self, client: Key, stream: u32, now: Instant) {
        let Some(state) = self.clients.get_mut(client) else { return };
        let Some(key) = state.exchange_of(stream) else { return };
        state.undelay(key);
        self.end_answer(key, Code::Cancelled, "the client has reset the stream", now);
        self.unclog(client);
        self.settle_credit(client, now);
        self.send_fresh(now);
    }

    /// Ends an answer before its last frame: the client is told why.
    pub(super) fn end_answer(&mut self, key: Key, code: Code, text: &str, now: Instant) {
        if self.exchanges.state(key) == State::Waiting {
            self.pool.cancel(&key);
        }
        let Self { clients, exchanges, actions, .. } = self;
        exchanges.refuse(clients, key, code, text, actions);
        self.cancel(key, now);
    }

    /// Nobody waits for an exchange any more. With flow control, resets it at its server. Without:
    /// if the client has gone, the connection of a large answer takes no further exchange, and
    /// closes when nobody waits on it; if the client is still connected, its answer is read and
    /// dropped, and holds its place of the window.
    pub(super) fn cancel(&mut self, key: Key, now: Instant) {
        let State::Sent { trunk, stream } = self.exchanges.state(key) else {
            self.pool.cancel(&key);
            return self.exchanges.remove(key);
        };
        let is_for_nobody =
            self.exchanges.is_large(key) && !self.exchanges.has_client(key, &self.clients);
        self.exchanges.orphan(&mut self.clients, key, now);
        let Some(on) = self.trunks.get_mut(trunk) else { return };
        if on.machine.has_flow() {
            on.machine.reset(stream, &mut on.out);
            self.actions.extend(on.request_flush());
        } else if is_for_nobody {
            self.exchanges.remove(key);
            on.machine.give_up(stream);
            let abandoned = on.abandoned();
            on.is_blameless = true;
            if self.pool.carries(trunk) <= abandoned {
                self.actions.extend(on.owner.map(FrameAction::CloseTrunk));
            }
            // It is closed after this call, or later, and takes nothing until then.
            let _carries = self.pool.retire(trunk, CloseCause::Retired);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_given_as_it_is_used_and_shared_by_large_answers() {
        assert_eq!(grant(CREDIT_FIRST, None, 1, 0), Some(CREDIT_AHEAD - CREDIT_FIRST));
        assert_eq!(grant(CREDIT_AHEAD / 2 + 1, None, 1, 0), None, "not for every part");
        assert_eq!(grant(CREDIT_AHEAD / 2, None, 1, 0), Some(CREDIT_AHEAD / 2));
        assert_eq!(grant(0, None, 1, CLOG_BYTES), None, "the client has to take something");
        assert_eq!(grant(0, None, 8, 0), Some(CLIENT_AHEAD / 8));
        assert_eq!(grant(0, None, 1_000, 0), Some(CREDIT_FIRST));
    }

    #[test]
    fn no_more_is_asked_for_than_a_client_allows() {
        assert_eq!(grant(0, Some(0), 1, 0), None);
        assert_eq!(grant(0, Some(10), 1, 0), Some(10));
        assert_eq!(grant(10, Some(10), 1, 0), None);
        assert_eq!(grant(9, Some(10), 1, 0), None);
        assert_eq!(grant(0, Some(u32::MAX), 1, 0), Some(CREDIT_AHEAD));
    }

    #[test]
    fn what_is_held_goes_out_as_credit_comes_and_the_end_goes_last() {
        let mut held = Held::default();
        held.push(Command::DATA, b"abc");
        held.push(Command::DATA, b"de");
        held.push(Command::END, b"end");
        let mut credit = 4;
        assert_eq!(held.take(&mut credit), (b"abcd".to_vec(), None));
        assert_eq!(credit, 0);
        assert_eq!(held.take(&mut credit), (Vec::new(), None));
        credit = 1;
        let end = Some((Command::END, b"end".to_vec()));
        assert_eq!(held.take(&mut credit), (b"e".to_vec(), end));
        assert!(held.is_empty());
    }
}
