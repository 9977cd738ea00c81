//! What is answered to one client, and in which order.

use std::collections::VecDeque;
use std::time::Instant;

use super::exchange::Spare;
use super::{CLOG_BYTES, CLOG_TIME, Exchanger, FrameAction};
use crate::mem::Key;
use crate::proto::frame::{
    Code, Command, FrameError, Header, Server, ServerEvent, ServerOptions, Version,
    write_error_payload, write_frame,
};
use crate::service::CloseReason;

/// Bytes of a frame beside its payload, at most.
const FRAME_ROOM: usize = 16;

/// One client.
#[derive(Debug)]
pub(super) struct Client {
    /// The session's key of it, once it has a slot.
    pub(super) owner: Option<Key>,
    pub(super) server: Server,
    /// What is to be sent.
    pub(super) out: Vec<u8>,
    /// Version 1: requests whose answers are not out, in their order.
    turns: VecDeque<Turn>,
    /// The number of the first of them.
    first: u64,
    /// Bytes of answers that wait for their turn.
    held: usize,
    /// The exchange whose turn it is now, if it waited for that.
    ready: Option<Key>,
    /// Version 2: exchanges without their last answer.
    open: usize,
    /// The session knows that something is to be sent.
    dirty: bool,
    /// Bytes that wait to be sent, as the session said last.
    backlog: usize,
    clogged: bool,
    progress: Instant,
}

/// The answer to one request, as far as it came before its turn.
#[derive(Debug, Default)]
struct Turn {
    held: Vec<u8>,
    done: bool,
    /// An exchange that is begun when all before it are answered.
    delayed: Option<Key>,
}

impl Client {
    pub(super) fn new(options: ServerOptions, now: Instant) -> Self {
        Self {
            owner: None,
            server: Server::new(options),
            out: Vec::new(),
            turns: VecDeque::new(),
            first: 0,
            held: 0,
            ready: None,
            open: 0,
            dirty: false,
            backlog: 0,
            clogged: false,
            progress: now,
        }
    }

    /// A place in the order of answers, for a request that was just read.
    pub(super) fn take_turn(&mut self) -> u64 {
        self.open += 1;
        match self.server.version() {
            Version::V1 => {
                self.turns.push_back(Turn::default());
                self.first + self.turns.len() as u64 - 1
            }
            Version::V2 => 0,
        }
    }

    /// Whether an exchange has to wait until all before it are answered. What a GET brings may be
    /// large, and in version 1 it can not be passed on before its turn: so it is not asked for.
    pub(super) fn delays(&mut self, turn: u64, command: Command, exchange: Key) -> bool {
        let delays =
            command == Command::GET && self.server.version() == Version::V1 && turn > self.first;
        if let (true, Some(last)) = (delays, self.turns.back_mut()) {
            last.delayed = Some(exchange);
        }
        delays
    }

    /// The exchange that waited for its turn, when that has come.
    pub(super) const fn take_ready(&mut self) -> Option<Key> {
        self.ready.take()
    }

    /// Whether another request may be read.
    pub(super) fn has_window(&self) -> bool {
        self.open < usize::from(self.server.window()) && !self.clogged
    }

    pub(super) fn is_busy(&self) -> bool {
        self.open > 0
    }

    /// When the client last took some of its answers.
    pub(super) const fn progress(&self) -> Instant {
        self.progress
    }

    /// Whether so much waits that no more is to be brought.
    pub(super) fn is_clogged(&mut self) -> bool {
        self.clogged |= self.waiting() > CLOG_BYTES || self.held > self.held_max();
        self.clogged
    }

    /// Bytes that the client has not taken.
    fn waiting(&self) -> usize {
        self.backlog + self.out.len()
    }

    /// Bytes that may wait for their turn: what requests that are answered by one frame need, so
    /// that they never stop a server whose other answers are waited for.
    fn held_max(&self) -> usize {
        let window = usize::from(self.server.window()).max(1);
        let answer = usize::from(self.server.max_payload()) + FRAME_ROOM;
        (window * answer).max(CLOG_BYTES)
    }

    /// Bytes that the session has not sent. True when the client is clogged no longer.
    pub(super) fn note_backlog(&mut self, waiting: usize, now: Instant) -> bool {
        if waiting < self.backlog || waiting == 0 {
            self.progress = now;
        }
        self.backlog = waiting;
        let is_low = self.waiting() < CLOG_BYTES / 2 && self.held <= self.held_max() / 2;
        let free = self.clogged && is_low;
        self.clogged &= !free;
        free
    }

    /// The session takes what is to be sent.
    pub(super) const fn flushed(&mut self) {
        self.dirty = false;
    }

    /// Whether the session has to be told that something is to be sent.
    pub(super) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.dirty, true)
    }

    /// Answers one frame of a request, or keeps it until it is its turn.
    pub(super) fn answer(
        &mut self,
        spare: &mut Spare,
        (turn, stream): (u64, u32),
        command: Command,
        payload: &[u8],
        last: bool,
    ) {
        let version = self.server.version();
        let max = usize::from(self.server.max_payload());
        let header = Header::answer(version, command, stream);
        if payload.len() <= max {
            self.write(spare, turn, |out| write_frame(&header, payload, out));
        } else if command == Command::DATA {
            self.write(spare, turn, |out| {
                payload.chunks(max).for_each(|part| write_frame(&header, part, out));
            });
        } else {
            let text = format!("the answer has {} bytes", payload.len());
            self.write_error(spare, turn, stream, Code::AnswerTooLarge, &text);
        }
        if last {
            self.finish(spare, turn);
        }
    }

    /// Answers a request with an error.
    pub(super) fn refuse(
        &mut self,
        spare: &mut Spare,
        turn: u64,
        stream: u32,
        code: Code,
        text: &str,
    ) {
        self.write_error(spare, turn, stream, code, text);
        self.finish(spare, turn);
    }

    fn write_error(&mut self, spare: &mut Spare, turn: u64, stream: u32, code: Code, text: &str) {
        let mut payload = Vec::with_capacity(2 + text.len());
        write_error_payload(code, text, self.server.max_payload(), &mut payload);
        let header = Header::answer(self.server.version(), Command::ERROR, stream);
        self.write(spare, turn, |out| write_frame(&header, &payload, out));
    }

    /// Writes to what is sent, or, before its turn, to what is kept for a request.
    fn write(&mut self, spare: &mut Spare, turn: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let ahead = turn.checked_sub(self.first).filter(|ahead| *ahead > 0);
        let kept = match (self.server.version(), ahead) {
            (Version::V1, Some(ahead)) => {
                usize::try_from(ahead).ok().and_then(|ahead| self.turns.get_mut(ahead))
            }
            (Version::V1, None) | (Version::V2, _) => None,
        };
        let Some(Turn { held, .. }) = kept else {
            return write(&mut self.out);
        };
        if held.capacity() == 0 {
            *held = spare.take();
        }
        let before = held.len();
        write(held);
        self.held += held.len() - before;
    }

    /// The last answer to a request is written: those that waited for it may go.
    fn finish(&mut self, spare: &mut Spare, turn: u64) {
        if self.server.version() == Version::V2 {
            self.open = self.open.saturating_sub(1);
            return;
        }
        let place = turn.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(turn) = place.and_then(|place| self.turns.get_mut(place)) {
            turn.done = true;
        }
        while self.turns.front().is_some_and(|turn| turn.done) {
            self.turns.pop_front();
            // An answer that waits for its turn is still to be kept: only now is its place free.
            self.open = self.open.saturating_sub(1);
            self.first += 1;
            if let Some(next) = self.turns.front_mut() {
                let held = std::mem::take(&mut next.held);
                self.held -= held.len();
                self.out.extend_from_slice(&held);
                spare.put(held);
                self.ready = self.ready.or_else(|| next.delayed.take());
            }
        }
    }
}

impl Exchanger {
    /// A client came, which is offered `options`.
    ///
    /// # Panics
    /// When there are more clients than a slab can hold, 2^32.
    pub fn open_client(&mut self, options: ServerOptions, now: Instant) -> Key {
        let client = Client::new(options, now);
        self.clients.insert(client).expect("fewer clients than slots")
    }

    /// The session's own key of a client.
    pub fn client_attached(&mut self, client: Key, owner: Key) {
        if let Some(client) = self.clients.get_mut(client) {
            client.owner = Some(owner);
        }
    }

    /// A client has gone. Its exchanges that were sent are answered to nobody.
    pub fn close_client(&mut self, client: Key) {
        let gone = self.clients.remove(client);
        let delayed = gone.into_iter().flat_map(|client| client.turns);
        for exchange in delayed.filter_map(|turn| turn.delayed) {
            self.exchanges.remove(exchange);
        }
        self.unclog(client);
    }

    /// Reads requests of a client, as far as its window goes; what is left stays in `input`.
    ///
    /// # Errors
    /// What the client did that ends its connection.
    pub fn client_bytes(
        &mut self,
        client: Key,
        input: &mut &[u8],
        now: Instant,
    ) -> Result<(), FrameError> {
        let Self { clients, exchanges, budget, fresh, .. } = self;
        let Some(state) = clients.get_mut(client) else {
            return Ok(());
        };
        let result = loop {
            if !state.has_window() {
                break Ok(());
            }
            match state.server.next(input, &mut state.out) {
                Ok(None) => break Ok(()),
                Ok(Some(ServerEvent::Greeted)) => {}
                Ok(Some(ServerEvent::Refused { stream, code, text })) => {
                    let turn = state.take_turn();
                    state.refuse(exchanges.spare(), turn, stream, code, text);
                    exchanges.count_refused(code);
                    state.is_clogged();
                }
                Ok(Some(ServerEvent::Request(request))) => {
                    let exchange = exchanges.begin(client, &request, now);
                    let command = request.command;
                    budget.deposit();
                    // After the request is copied, the client's own numbers are free again.
                    let turn = state.take_turn();
                    exchanges.set_turn(exchange, turn);
                    if !state.delays(turn, command, exchange) {
                        fresh.push(exchange);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        self.send_fresh(now);
        result
    }

    /// The client's bytes have ended.
    ///
    /// # Errors
    /// When they ended within a frame.
    pub fn client_at_end(&self, client: Key) -> Result<(), FrameError> {
        self.clients.get(client).map_or(Ok(()), |client| client.server.at_end())
    }

    /// Whether a client has exchanges without a last answer.
    #[must_use]
    pub fn client_is_busy(&self, client: Key) -> bool {
        self.clients.get(client).is_some_and(Client::is_busy)
    }

    /// Whether a client may begin another exchange.
    #[must_use]
    pub fn client_has_window(&self, client: Key) -> bool {
        self.clients.get(client).is_some_and(Client::has_window)
    }

    /// What is to be sent to a client; `swap` exchanges it for an empty vector of the session's.
    pub fn client_out(&mut self, client: Key) -> Option<&mut Vec<u8>> {
        let client = self.clients.get_mut(client)?;
        client.flushed();
        Some(&mut client.out)
    }

    /// Tells a client what it did wrong.
    pub fn fail_client(&mut self, client: Key, error: &FrameError) {
        if let Some(client) = self.clients.get_mut(client) {
            client.server.fail(error, &mut client.out);
            error.code().into_iter().for_each(|code| self.exchanges.count_refused(code));
        }
    }

    /// Tells a client that no new request is taken.
    pub fn client_go_away(&mut self, client: Key, code: Code, text: &str) {
        if let Some(client) = self.clients.get_mut(client) {
            client.server.go_away(code, text, &mut client.out);
        }
    }

    /// So many bytes wait to be sent to a client.
    pub fn client_backlog(&mut self, client: Key, waiting: usize, now: Instant) {
        if let Some(state) = self.clients.get_mut(client)
            && state.note_backlog(waiting, now)
        {
            self.unclog(client);
        }
    }

    /// A client takes its answers again, or is gone: the trunks that waited for it are read on.
    pub(super) fn unclog(&mut self, client: Key) {
        for trunk in self.trunks.values_mut() {
            if trunk.clogged_by == Some(client) {
                trunk.clogged_by = None;
                self.actions.extend(trunk.owner.map(FrameAction::Flush));
            }
        }
    }

    pub(super) fn close_stuck_clients(&mut self, now: Instant) {
        for trunk in self.trunks.values() {
            let Some(client) = trunk.clogged_by.and_then(|client| self.clients.get(client)) else {
                continue;
            };
            if now >= client.progress() + CLOG_TIME {
                let reason = CloseReason::SlowReader;
                let close = client.owner.map(|owner| FrameAction::CloseClient(owner, reason));
                self.actions.extend(close);
            }
        }
    }
}
