//! What of an answer reaches its client, and when.

use std::time::Instant;

use super::client::Client;
use super::exchange::{Exchange, Exchanges, State};
use super::{CLOG_BYTES, FrameAction};
use crate::mem::{Key, Slab};
use crate::proto::frame::{Answer, Code, Command, parse_error};

/// What became of an answer.
pub(super) enum Delivered {
    /// It was passed on.
    Passed(Waits),
    /// The server has not carried it out: to be sent again. With `is_going`, it takes nothing more.
    Again { exchange: Key, is_going: bool },
    /// Nobody waits for it.
    Nobody,
}

/// What follows from a part that was passed on.
pub(super) struct Waits {
    /// The client, when it takes no more.
    pub(super) clogged: Option<Key>,
    /// The exchange, when that was not its last frame.
    pub(super) more: Option<Key>,
}

impl Exchange {
    /// Whether its client allows what came now.
    fn is_allowed(&self, client: &Client, answer: &Answer<'_, Key>) -> bool {
        match client.credit_of(self.credit) {
            Some(credit) if answer.command == Command::DATA => {
                self.held.is_none() && answer.payload.len() <= credit as usize
            }
            Some(_) => self.held.is_none(),
            None => true,
        }
    }
}

impl Exchanges {
    /// Passes on what its client allows of what is held. True when that was the end of it.
    pub(super) fn release(
        &mut self,
        client: &mut Client,
        key: Key,
        actions: &mut Vec<FrameAction>,
        now: Instant,
    ) -> bool {
        let Some(exchange) = self.slab.get_mut(key) else { return true };
        let Some(held) = &mut exchange.held else { return false };
        let (data, end) = held.take(&mut exchange.credit);
        if held.is_empty() {
            exchange.held = None;
            exchange.note_stall(None);
        }
        if data.is_empty() && end.is_none() {
            return false;
        }
        // What is left waits from now on: the client has allowed something.
        exchange.stalled = exchange.stalled.map(|_| now);
        let place = (exchange.turn, exchange.stream);
        if !data.is_empty() {
            client.answer(&mut self.spare, place, Command::DATA, &data, None);
        }
        if let Some((command, payload)) = &end {
            client.answer(&mut self.spare, place, *command, payload, Some(exchange.command));
            self.ready.extend(client.take_ready());
        }
        actions.extend(client.request_flush());
        if end.is_some() {
            self.tally.answered += 1;
            self.remove(key);
        }
        end.is_some()
    }

    /// Bytes of its answer that its client has not allowed.
    pub(super) fn held(&self, key: Key) -> usize {
        let held = self.slab.get(key).and_then(|exchange| exchange.held.as_ref());
        held.map_or(0, |held| held.len())
    }

    /// Whether so much of its answer is held that a connection may be blocked by it.
    pub(super) fn holds_much(&self, key: Key) -> bool {
        self.held(key) > CLOG_BYTES / 2
    }

    /// Passes a part of an answer on to the client.
    pub(super) fn deliver(
        &mut self,
        clients: &mut Slab<Client>,
        answer: &Answer<'_, Key>,
        actions: &mut Vec<FrameAction>,
        now: Instant,
    ) -> Delivered {
        let Some((key, exchange)) =
            answer.who.and_then(|key| self.slab.get_mut(key).map(|exchange| (key, exchange)))
        else {
            return Delivered::Nobody;
        };
        let client = clients.get_mut(exchange.client).filter(|_| !exchange.is_orphan);
        let Some(client) = client else {
            if answer.last {
                self.bury(clients, key);
            }
            return Delivered::Nobody;
        };
        let refused = Some(answer.payload).filter(|_| answer.command == Command::ERROR);
        if let (false, Some(code)) = (exchange.begun, refused.and_then(not_done)) {
            exchange.refused = Some(code);
            return Delivered::Again { exchange: key, is_going: code == Code::ShuttingDown };
        }
        if refused.is_some() {
            // An error needs no credit, and what is held has no end.
            exchange.held = None;
            exchange.note_stall(None);
        }
        exchange.begun = true;
        let to = exchange.client;
        let more = (!answer.last).then_some(key);
        if !exchange.is_allowed(client, answer) {
            exchange.held.get_or_insert_default().push(answer.command, answer.payload);
            exchange.note_stall(Some(now));
            if answer.last {
                exchange.state = State::Answered;
                self.pause(key);
            }
            self.release(client, key, actions, now);
            // Servers without flow control send more than was allowed.
            let clogged = (more.is_some() && self.held(key) > CLOG_BYTES).then_some(to);
            return Delivered::Passed(Waits { clogged, more });
        }
        if answer.command == Command::DATA {
            let len = u32::try_from(answer.payload.len()).unwrap_or(u32::MAX);
            exchange.credit = exchange.credit.saturating_sub(len);
        }
        let place = (exchange.turn, exchange.stream);
        let over = answer.last.then_some(exchange.command);
        if answer.last {
            exchange.note_stall(None);
        }
        if answer.command == Command::ECHO {
            client.echo(&mut self.spare, place, exchange.flags, answer.payload);
        } else {
            client.answer(&mut self.spare, place, answer.command, answer.payload, over);
        }
        self.ready.extend(client.take_ready());
        actions.extend(client.request_flush());
        let clogged = client.is_clogged().then_some(to);
        if answer.last {
            self.tally.answered += 1;
            self.remove(key);
        }
        Delivered::Passed(Waits { clogged, more })
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
        self.refuse(clients, key, code, text, actions);
        self.bury(clients, key);
    }

    /// Forgets an exchange, and if it was an orphan, frees its place of its client's window.
    pub(super) fn bury(&mut self, clients: &mut Slab<Client>, key: Key) {
        let orphan = self.slab.get(key).filter(|exchange| exchange.is_orphan);
        let client = orphan.and_then(|exchange| clients.get_mut(exchange.client));
        client.into_iter().for_each(|client| client.orphans = client.orphans.saturating_sub(1));
        self.remove(key);
    }

    /// Its client has its answer, or has gone. The server has so much time again to end it; until
    /// then it holds a place of its client's window.
    pub(super) fn orphan(&mut self, clients: &mut Slab<Client>, key: Key, now: Instant) {
        if let Some(exchange) = self.slab.get_mut(key).filter(|exchange| !exchange.is_orphan) {
            exchange.is_orphan = true;
            exchange.held = None;
            clients.get_mut(exchange.client).into_iter().for_each(|client| client.orphans += 1);
        }
        self.resume(key, now);
    }

    /// Tells the client that there is no answer, or no more of it.
    pub(super) fn refuse(
        &mut self,
        clients: &mut Slab<Client>,
        key: Key,
        code: Code,
        text: &str,
        actions: &mut Vec<FrameAction>,
    ) {
        let exchange = self.slab.get_mut(key).filter(|exchange| !exchange.is_orphan);
        let Some(exchange) = exchange else { return };
        if let Some(client) = clients.get_mut(exchange.client) {
            self.tally.error(code);
            let place = (exchange.turn, exchange.stream);
            exchange.note_stall(None);
            client.refuse(&mut self.spare, place, exchange.command, code, text);
            self.ready.extend(client.take_ready());
            actions.extend(client.request_flush());
        }
    }
}

/// The code of an ERROR that says that the request was not carried out.
fn not_done(payload: &[u8]) -> Option<Code> {
    let code = parse_error(payload).ok().and_then(|(code, _)| Code::from_number(code));
    code.filter(|code| code.is_not_done())
}
