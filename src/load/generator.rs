//! One thread of a run: a loop, its connections, and what it measures.
//!
//! A request has three times: when it was due, when it was sent, and when its answer had come. In a
//! closed loop it is due when it is sent. In an open loop it is due when the schedule says so,
//! whether or not a connection is free; so the time that it waits for one counts as latency, as it
//! would for a user. What the generator itself adds is told apart as lateness: from when the
//! request was due and a connection was free for it, until it was sent.

mod connection;
mod outcome;
#[cfg(test)]
mod tests;
mod timing;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use self::connection::{Connection, Phase, Request};
use super::LoadError;
use super::recorder::Slice;
use super::result::AgentResult;
use super::schedule::Schedule;
use super::setup::{Control, Pace, Setup};
use super::wire::{End, RequestNumber, WireEvent, WireMemory};
use crate::mem::{Key, Pages};
use crate::net::StreamEvent;
use crate::ring::{Completion, Driver, DriverError};
use crate::runtime::Reactor;

/// How often connections are looked at for what is late.
const SWEEP: Duration = Duration::from_millis(50);
/// Connects at a time: more would overflow the queues of listeners.
const CONNECTS_MAX: usize = 256;
/// How long the first rest is after a connect that failed, and the longest.
const REST: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What a thread tells the run.
#[derive(Debug)]
pub(super) enum Report {
    /// Each of its connections stands, or has failed once.
    Ready,
    /// A slice is over.
    Slice(Box<Slice>),
    /// The thread has ended.
    Ended(Ended),
    /// An agent has ended, and all its threads: its own result.
    Agent(Box<AgentResult>),
    /// An agent is lost.
    Lost(LoadError),
}

/// What is left to be told when a thread has ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Requests that were due and for which no connection was free.
    pub(super) unsent: u64,
    /// Requests that were sent, and neither answered nor failed.
    pub(super) unfinished: u64,
    /// How long the last request was begun after it was due, and when it was due.
    pub(super) last_wait: (Duration, Duration),
    /// The loop itself failed.
    pub(super) error: Option<String>,
}

/// How far the thread is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Connections are made.
    Connecting,
    /// It is ready, and the others may not be.
    Ready,
    /// It asks, since then.
    Running(Instant),
    /// It asks no more, and waits for answers until then.
    Draining(Instant),
}

/// A place for a connection.
#[derive(Debug)]
struct Slot {
    key: Key,
    connection: Option<Box<Connection>>,
    /// It is in the list of those that have room, and since when it is.
    is_free: bool,
    free_since: Instant,
    is_dirty: bool,
    /// Requests that rest before they are asked again.
    thinking: usize,
    /// Connects that failed one behind the other.
    failed: u32,
    /// It rests before it connects again.
    is_resting: bool,
    /// It was connected, or failed to be.
    is_settled: bool,
}

/// One thread.
#[derive(Debug)]
pub(super) struct Generator<D: Driver> {
    reactor: Reactor<D, ()>,
    setup: Arc<Setup>,
    control: Arc<Control>,
    reports: Sender<Report>,
    slots: Vec<Slot>,
    /// Slots that may begin a request, in turn.
    free: VecDeque<u32>,
    dirty: Vec<u32>,
    starved: Vec<u32>,
    /// Slots that wait for their turn to connect.
    to_connect: VecDeque<u32>,
    connecting: usize,
    settled: usize,
    /// When slots think no more, or rest no more.
    wakes: BinaryHeap<Reverse<(Instant, u32, bool)>>,
    schedule: Option<Schedule>,
    stage: Stage,
    /// Requests that may still begin, where there is a limit.
    left: Option<u64>,
    in_flight: usize,
    next_number: RequestNumber,
    next_source: usize,
    random: u64,
    memory: WireMemory,
    pages: Pages,
    slice: Box<Slice>,
    /// From when on it is measured, once that is known.
    measured_from: Option<Instant>,
    swept: Instant,
    unsent: u64,
    /// When a request or a connection was begun or done last.
    progressed: Instant,
    /// How long the last request was begun after it was due, and when that was.
    last_wait: (Duration, Duration),
    batch: Vec<Completion>,
}

impl<D: Driver> Generator<D> {
    pub(super) fn new(
        driver: D,
        place: usize,
        setup: Arc<Setup>,
        control: Arc<Control>,
        reports: Sender<Report>,
    ) -> Self {
        let reactor = Reactor::new(driver, Arc::default());
        let count = usize::try_from(setup.share(setup.connections as u64, place)).unwrap_or(0);
        let now = reactor.now();
        let slot = |index: usize| Slot {
            key: Key::new(u32::try_from(index).unwrap_or(u32::MAX), 0),
            connection: None,
            is_free: false,
            free_since: now,
            is_dirty: false,
            thinking: 0,
            failed: 0,
            is_resting: false,
            is_settled: false,
        };
        let slots: Vec<_> = (0..count).map(slot).collect();
        let schedule = match setup.pace {
            Pace::Closed { .. } => None,
            Pace::Open(arrivals) => {
                Some(Schedule::new(arrivals, (place, setup.threads), setup.seed))
            }
        };
        let swept = reactor.now();
        let left = setup.count.map(|count| setup.share(count, place));
        let random = setup.seed ^ (place as u64 + 1).wrapping_mul(0xa076_1d64_78bd_642f);
        Self {
            reactor,
            control,
            reports,
            free: VecDeque::new(),
            dirty: Vec::new(),
            starved: Vec::new(),
            to_connect: VecDeque::new(),
            connecting: 0,
            settled: 0,
            wakes: BinaryHeap::new(),
            schedule,
            stage: Stage::Connecting,
            left,
            in_flight: 0,
            next_number: 1,
            next_source: place,
            random,
            memory: WireMemory::default(),
            pages: Pages::default(),
            slice: Box::new(Slice::new(0)),
            measured_from: None,
            swept,
            unsent: 0,
            progressed: swept,
            last_wait: (Duration::ZERO, Duration::ZERO),
            batch: Vec::new(),
            slots,
            setup,
        }
    }

    /// Runs to the end.
    pub(super) fn run(mut self) {
        let error = self.turns().err().map(|error| error.to_string());
        let mut unfinished = 0;
        for place in 0..self.slots.len() {
            if let Some(connection) = self.slots[place].connection.take() {
                unfinished += connection.requests.len() as u64;
                if let Some(fd) = connection.stream.fd() {
                    self.reactor.driver().close(fd);
                }
            }
        }
        let (unsent, last_wait) = (self.unsent, self.last_wait);
        let last = std::mem::replace(&mut self.slice, Box::new(Slice::new(0)));
        // Whoever does not wait for it any more does not need it.
        let _sent = self.reports.send(Report::Slice(last));
        let _sent =
            self.reports.send(Report::Ended(Ended { unsent, unfinished, last_wait, error }));
    }

    fn turns(&mut self) -> Result<(), DriverError> {
        self.prepare();
        while self.turn()? {}
        Ok(())
    }

    /// Slots wait for their connections, or for requests.
    fn prepare(&mut self) {
        if self.setup.keepalive {
            self.to_connect.extend((0..self.slots.len()).filter_map(|one| u32::try_from(one).ok()));
        } else {
            self.settled = self.slots.len();
            (0..self.slots.len()).for_each(|place| self.offer(place));
        }
    }

    /// One turn of the loop; false when all is over.
    fn turn(&mut self) -> Result<bool, DriverError> {
        self.connect_more();
        self.work();
        let now = self.reactor.driver().now();
        if self.go_on(now) {
            return Ok(false);
        }
        self.begin_due(now);
        self.transmit();
        let until = self.wake_at(now);
        let mut batch = std::mem::take(&mut self.batch);
        self.reactor.turn_until(until, &mut batch)?;
        for completion in batch.drain(..) {
            self.handle(completion);
        }
        self.batch = batch;
        self.feed();
        Ok(true)
    }

    /// Whether what is due then is measured.
    fn is_measured(&self, due: Instant) -> bool {
        self.measured_from.is_some_and(|from| from <= due)
    }

    /// Begins what is due.
    fn begin_due(&mut self, now: Instant) {
        let Stage::Running(start) = self.stage else { return };
        let end = self.setup.end(start);
        while self.left != Some(0)
            && let Some(slot) = self.free.front().copied()
        {
            let place = slot as usize;
            if !self.has_room(place) {
                self.free.pop_front();
                self.slots[place].is_free = false;
                continue;
            }
            let due = match &mut self.schedule {
                None => None,
                Some(schedule) => {
                    let due = start + schedule.peek();
                    if due > now || end.is_some_and(|end| due >= end) {
                        return;
                    }
                    schedule.take();
                    Some(due)
                }
            };
            self.free.pop_front();
            self.slots[place].is_free = false;
            self.begin(place, due);
            self.offer(place);
        }
    }

    /// Whether a slot may begin a request.
    fn has_room(&self, place: usize) -> bool {
        let slot = &self.slots[place];
        match &slot.connection {
            Some(connection) => connection.takes_requests(slot.thinking),
            None => !self.setup.keepalive && !slot.is_resting && slot.thinking == 0,
        }
    }

    /// A slot that has room waits for its turn.
    fn offer(&mut self, place: usize) {
        if !self.slots[place].is_free && self.has_room(place) {
            self.slots[place].is_free = true;
            self.slots[place].free_since = self.reactor.now();
            self.free.push_back(self.slots[place].key.index);
        }
    }

    /// Begins a request; one whose connection is for it alone waits for that.
    fn begin(&mut self, place: usize, due: Option<Instant>) {
        let now = self.reactor.driver().now();
        let number = self.next_number;
        self.next_number += 1;
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        self.in_flight += 1;
        self.progressed = now;
        if let (Some(due), Stage::Running(start)) = (due, self.stage) {
            let at = due.saturating_duration_since(start);
            self.last_wait = (now.saturating_duration_since(due), at);
        }
        let Slot { free_since, connection, .. } = &self.slots[place];
        let has_connection = connection.is_some();
        let could = due.filter(|_| has_connection).map(|due| due.max(*free_since));
        let request = Request { number, due: due.unwrap_or(now), could, sent: now };
        if self.is_measured(request.due) {
            self.slice.tally.sent += 1;
        }
        if has_connection {
            self.ask(place, request);
        } else {
            self.connect(place, Some(request));
        }
    }

    fn ask(&mut self, place: usize, request: Request) {
        let target = self.setup.weights.choose(&mut self.random);
        let is_measured = self.is_measured(request.due);
        let Self { slots, slice, memory, pages, .. } = self;
        let Some(connection) = &mut slots[place].connection else { return };
        if let Some(could) = request.could.filter(|_| is_measured) {
            slice.lateness.record(request.sent.saturating_duration_since(could));
        }
        let Connection { stream, buffer, wire, requests, .. } = &mut **connection;
        wire.begin(request.number, target, memory, &mut buffer.writer(pages, stream));
        requests.push_back(request);
        self.mark(place);
    }

    fn mark(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        if !std::mem::replace(&mut slot.is_dirty, true) {
            self.dirty.push(slot.key.index);
        }
    }

    /// Takes a completion.
    fn handle(&mut self, completion: Completion) {
        let key = completion.token.key;
        let place = key.index as usize;
        let is_measured = self.is_measured(self.reactor.now());
        let Some(slot) = self.slots.get_mut(place).filter(|slot| slot.key == key) else { return };
        let Some(connection) = &mut slot.connection else { return };
        let event = connection.stream.handle(&mut self.reactor, key, completion);
        if connection.phase == Phase::Closing {
            return self.mark(place);
        }
        match event {
            StreamEvent::Connected => self.connected(place),
            StreamEvent::ConnectFailed(errno) => self.connect_failed(place, errno),
            StreamEvent::Data(buf) => {
                let bytes = buf.len() as u64;
                connection.wire.receive(buf);
                if is_measured {
                    self.slice.tally.bytes_received += bytes;
                }
            }
            StreamEvent::End => {
                let is_cut = connection.stream.was_cut();
                connection.has_ended = true;
                connection.wire.end(if is_cut { End::Cut } else { End::Orderly });
            }
            StreamEvent::Broken(_) => {
                connection.has_ended = true;
                connection.wire.end(End::Reset);
            }
            StreamEvent::Sent(bytes) => {
                connection.buffer.sent(bytes);
                if is_measured {
                    self.slice.tally.bytes_sent += bytes as u64;
                }
                if connection.stream.is_drained() && !connection.wire.is_datagram() {
                    return;
                }
            }
            StreamEvent::Starved => {
                self.starved.push(key.index);
                return;
            }
            StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Secured
            | StreamEvent::Quiet => {}
        }
        self.mark(place);
    }

    /// Arms what found no free buffer.
    fn feed(&mut self) {
        let mut free = self.reactor.free_buffers();
        while free > 0
            && let Some(slot) = self.starved.pop()
        {
            free -= 1;
            let key = self.slots[slot as usize].key;
            if let Some(connection) = &mut self.slots[slot as usize].connection {
                connection.stream.feed(&mut self.reactor, key);
                if connection.phase == Phase::Open {
                    connection.stream.receive(&mut self.reactor, key, false);
                }
            }
        }
    }

    /// Reads what has come.
    fn work(&mut self) {
        // What is marked meanwhile is new.
        for at in 0.. {
            let Some(slot) = self.dirty.get(at).copied() else { break };
            self.work_on(slot as usize);
        }
    }

    fn work_on(&mut self, place: usize) {
        let now = self.reactor.now();
        loop {
            let Self { slots, memory, pages, .. } = self;
            let Some(connection) = &mut slots[place].connection else { return };
            if connection.phase != Phase::Open {
                return;
            }
            let Connection { stream, buffer, wire, .. } = &mut **connection;
            match wire.poll(now, memory, &mut buffer.writer(pages, stream)) {
                None => break,
                Some(WireEvent::Open) => self.opened(place),
                Some(WireEvent::FirstByte(number)) => self.first_byte(place, number, now),
                Some(WireEvent::Done(number, answered)) => {
                    self.done(place, number, answered, now);
                }
                Some(WireEvent::Ended) => {
                    self.close(place);
                    return;
                }
                Some(WireEvent::Broken(failure, reason)) => {
                    self.broken(place, failure, &reason);
                    return;
                }
            }
        }
        self.offer(place);
    }

    /// Requests may begin on a connection.
    fn opened(&mut self, place: usize) {
        self.settle(place);
        self.slots[place].failed = 0;
        self.progressed = self.reactor.now();
        let Some(connection) = &mut self.slots[place].connection else { return };
        connection.is_greeted = true;
        if let Some(request) = connection.waiting.take() {
            let sent = self.reactor.driver().now();
            self.ask(place, Request { sent, ..request });
        }
    }

    fn settle(&mut self, place: usize) {
        if !std::mem::replace(&mut self.slots[place].is_settled, true) && self.setup.keepalive {
            self.settled += 1;
        }
    }
}
