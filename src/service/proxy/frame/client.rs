//! What is answered to one client, and in which order.

use std::collections::VecDeque;
use std::time::Instant;

use super::exchange::Spare;
use super::{CLOG_BYTES, CLOG_TIME, FrameAction};
use crate::mem::Key;
use crate::proto::frame::{
    Code, Command, Header, Server, ServerOptions, Version, write_error_payload, write_frame,
};
use crate::service::pace::Pace;

/// Bytes of a frame beside its payload, at most.
const FRAME_ROOM: usize = 16;
/// Large answers of one client that are asked for at a time; others wait until one of them is over.
const LARGE_MAX: usize = 16;

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
    /// Requests without their last answer.
    open: usize,
    /// Their exchanges.
    exchanges: Open,
    /// Large answers that are asked for, and version 2: the exchanges that wait for them.
    large: usize,
    delayed: VecDeque<Key>,
    /// Exchanges that wait until the client takes what came, or allows more.
    pub(super) owed: Vec<Key>,
    /// Exchanges that the client has reset, and that their servers have not ended.
    pub(super) orphans: usize,
    /// The client can allow nothing any more, and everything is allowed.
    is_lifted: bool,
    /// No new request is carried out.
    is_going: bool,
    /// The session knows that something is to be sent.
    dirty: bool,
    /// Bytes that wait to be sent, as the session said last.
    backlog: usize,
    clogged: bool,
    pace: Pace,
}

/// The exchanges of one client, by their streams, or places in the order of answers in version 1:
/// both grow.
#[derive(Debug, Default)]
struct Open(VecDeque<(u64, Option<Key>)>);

impl Open {
    /// Room for those that are done before one that is not.
    const SLACK: usize = 2;

    fn insert(&mut self, number: u64, exchange: Key, window: usize) {
        if self.0.len() >= Self::SLACK * window {
            self.0.retain(|(_, exchange)| exchange.is_some());
        }
        self.0.push_back((number, Some(exchange)));
    }

    fn get(&self, number: u64) -> Option<Key> {
        let place = self.0.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.0.get(place)?.1
    }

    fn remove(&mut self, number: u64) {
        let place = self.0.binary_search_by_key(&number, |(number, _)| *number);
        if let Some(open) = place.ok().and_then(|place| self.0.get_mut(place)) {
            open.1 = None;
        }
        while self.0.front().is_some_and(|(_, exchange)| exchange.is_none()) {
            self.0.pop_front();
        }
    }

    fn iter(&self) -> impl Iterator<Item = Key> {
        self.0.iter().filter_map(|(_, exchange)| *exchange)
    }
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
    pub(super) fn new(options: ServerOptions) -> Self {
        Self {
            owner: None,
            server: Server::new(options),
            out: Vec::new(),
            turns: VecDeque::new(),
            first: 0,
            held: 0,
            ready: None,
            open: 0,
            exchanges: Open::default(),
            large: 0,
            delayed: VecDeque::new(),
            owed: Vec::new(),
            orphans: 0,
            is_lifted: false,
            is_going: false,
            dirty: false,
            backlog: 0,
            clogged: false,
            pace: Pace::default(),
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

    /// An exchange answers the request that was read last. True when it has to wait: what a GET
    /// brings may be large. In version 1 it cannot be passed on before its turn, and so is not
    /// asked for; in version 2, only some are asked for at a time.
    pub(super) fn delays(
        &mut self,
        (turn, stream): (u64, u32),
        command: Command,
        exchange: Key,
    ) -> bool {
        let (version, window) = (self.server.version(), usize::from(self.server.window()));
        self.exchanges.insert(number(version, turn, stream), exchange, window);
        if command != Command::GET {
            return false;
        }
        match version {
            Version::V1 if turn > self.first => {
                self.turns.back_mut().into_iter().for_each(|last| last.delayed = Some(exchange));
                true
            }
            Version::V2 if self.large + self.orphans >= LARGE_MAX && self.large > 0 => {
                self.delayed.push_back(exchange);
                true
            }
            Version::V1 | Version::V2 => {
                self.large += 1;
                false
            }
        }
    }

    /// The exchange of a request in version 2, by its stream.
    pub(super) fn exchange_of(&self, stream: u32) -> Option<Key> {
        self.exchanges.get(stream.into())
    }

    /// The exchanges without their last answer.
    pub(super) fn open_exchanges(&self) -> impl Iterator<Item = Key> {
        self.exchanges.iter()
    }

    /// An exchange is over before its turn.
    pub(super) fn undelay(&mut self, exchange: Key) {
        if let Some(place) = self.delayed.iter().position(|other| *other == exchange) {
            self.delayed.remove(place);
            self.large += 1;
        }
    }

    /// Answers that may come at once, and so share what servers may be ahead.
    pub(super) const fn answers(&self) -> usize {
        self.open
    }

    /// Whether what a request is answered goes out at once.
    pub(super) fn is_turn(&self, turn: u64) -> bool {
        self.server.version() == Version::V2 || turn == self.first
    }

    /// What a client with flow control has allowed of an answer, of which `credit` is left.
    pub(super) fn credit_of(&self, credit: u32) -> Option<u32> {
        self.server.credit().filter(|_| !self.is_lifted).map(|_| credit)
    }

    /// Everything is allowed from now on. True when it was not before.
    pub(super) fn lift_credit(&mut self) -> bool {
        !std::mem::replace(&mut self.is_lifted, true) && self.server.credit().is_some()
    }

    /// The exchange that waited for its turn, when that has come.
    pub(super) const fn take_ready(&mut self) -> Option<Key> {
        self.ready.take()
    }

    /// Whether another request may be read. With flow control, what gives credit comes between
    /// requests: reading does not stop at the window.
    pub(super) fn has_window(&self) -> bool {
        !self.clogged && (self.server.credit().is_some() || self.has_place())
    }

    fn has_place(&self) -> bool {
        self.open + self.orphans < usize::from(self.server.window())
    }

    /// Why a request that was read is not carried out, if it is not.
    pub(super) fn refusal(&self) -> Option<(Code, &'static str)> {
        if self.has_place() {
            return None;
        }
        Some((Code::Overloaded, "more requests are open than were agreed on"))
    }

    /// Whether GOAWAY was sent, and requests behind it are passed over.
    pub(super) const fn is_going(&self) -> bool {
        self.is_going
    }

    pub(super) fn is_busy(&self) -> bool {
        self.open > 0
    }

    /// Whether it waits for us or a server, when so many of its answers wait for the client itself.
    pub(super) fn waits_beside(&self, stalled: usize) -> bool {
        self.open > stalled + self.delayed.len()
    }

    /// GOAWAY was sent, and reading goes on, for the credit of what is open.
    pub(super) const fn close_door(&mut self) {
        self.is_going = true;
    }

    /// The client has acknowledged so many bytes. True when it is clogged, and has taken nothing
    /// for too long.
    pub(super) fn is_stuck(&mut self, taken: u64, now: Instant) -> bool {
        self.pace.observe(now, taken);
        self.pace.deadline(CLOG_TIME, None).is_some_and(|deadline| deadline <= now)
    }

    /// When to look whether a client that is clogged takes its answers.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.pace.next_look(CLOG_TIME, None)
    }

    /// Whether so much waits that no more is to be brought.
    pub(super) fn is_clogged(&mut self) -> bool {
        self.clogged |= self.waiting() > CLOG_BYTES || self.held > self.held_max();
        self.clogged
    }

    /// Bytes that the client has not taken.
    pub(super) const fn waiting(&self) -> usize {
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
        self.backlog = waiting;
        let is_low = self.waiting() < CLOG_BYTES / 2 && self.held <= self.held_max() / 2;
        let free = self.clogged && is_low;
        self.clogged &= !free;
        if self.clogged {
            self.pace.begin(now, 0);
        } else {
            self.pace.end();
        }
        free
    }

    /// Whether servers may be given more credit. What is held for its turn does not hold up the one
    /// whose turn it is.
    pub(super) fn takes_more(&self) -> bool {
        self.waiting() < CLOG_BYTES / 2 && !self.owed.is_empty()
    }

    /// The session takes what is to be sent.
    pub(super) const fn flushed(&mut self) {
        self.dirty = false;
    }

    /// Something was written: the session has to flush it, unless it was told already.
    pub(super) fn request_flush(&mut self) -> Option<FrameAction> {
        let was_told = std::mem::replace(&mut self.dirty, true);
        self.owner.filter(|_| !was_told).map(FrameAction::Flush)
    }

    /// Answers one frame of a request, or keeps it until it is its turn. With the last frame,
    /// `over` is what the request was.
    pub(super) fn answer(
        &mut self,
        spare: &mut Spare,
        (turn, stream): (u64, u32),
        command: Command,
        payload: &[u8],
        over: Option<Command>,
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
        if let Some(request) = over {
            self.finish(spare, (turn, stream), request);
        }
    }

    /// Answers an ECHO, in version 2 with the flags that it came with.
    pub(super) fn echo(
        &mut self,
        spare: &mut Spare,
        (turn, stream): (u64, u32),
        flags: u8,
        payload: &[u8],
    ) {
        let plain = Header::answer(self.server.version(), Command::ECHO, stream);
        if plain.flags == flags || payload.len() > usize::from(self.server.max_payload()) {
            let over = Some(Command::ECHO);
            return self.answer(spare, (turn, stream), Command::ECHO, payload, over);
        }
        let header = Header { flags, ..plain };
        self.write(spare, turn, |out| write_frame(&header, payload, out));
        self.finish(spare, (turn, stream), Command::ECHO);
    }

    /// Answers a request with an error.
    pub(super) fn refuse(
        &mut self,
        spare: &mut Spare,
        (turn, stream): (u64, u32),
        request: Command,
        code: Code,
        text: &str,
    ) {
        self.write_error(spare, turn, stream, code, text);
        self.finish(spare, (turn, stream), request);
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
    fn finish(&mut self, spare: &mut Spare, (turn, stream): (u64, u32), request: Command) {
        let version = self.server.version();
        self.exchanges.remove(number(version, turn, stream));
        if request == Command::GET {
            self.large = self.large.saturating_sub(1);
        }
        if version == Version::V2 {
            self.open = self.open.saturating_sub(1);
            if self.large < LARGE_MAX && self.ready.is_none() {
                self.ready = self.delayed.pop_front();
                self.large += usize::from(self.ready.is_some());
            }
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
                if let (None, Some(delayed)) = (self.ready, next.delayed.take()) {
                    self.ready = Some(delayed);
                    self.large += 1;
                }
            }
        }
    }
}

/// What an exchange of a client is known by: its stream, or its place in the order of answers.
fn number(version: Version, turn: u64, stream: u32) -> u64 {
    match version {
        Version::V1 => turn,
        Version::V2 => stream.into(),
    }
}
