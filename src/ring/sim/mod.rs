//! A kernel in memory: deterministic, seeded, and as awkward as the real one may be.
//!
//! [`Sim`] is a [`Driver`] whose sockets, pipes, time and faults come from a seed, so that a run
//! that fails can be run again. The other ends of its connections are *peers*, played by the test
//! (see [`Sim::connect`], [`Sim::serve`]). Misuse that a real kernel would punish late (a close
//! with operations in flight, a descriptor used after its close, two operations of one token) is
//! a panic here; so is work in a turn for which nothing has happened, because on a real kernel the
//! worker would sleep on, and the work would wait for ever.
//!
//! Time goes on by a millisecond at most in each wait, and not at all while the worker has work
//! left. A test whose peers have nothing to do may skip a wait ([`Sim::skip_wait`]); when there is
//! nothing to skip to ([`Sim::sleeps_without_deadline`]), somebody waits who was forgotten.

mod calls;
mod datagrams;
mod faults;
mod held;
mod ops;
mod random;
mod world;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use nix::errno::Errno;

pub use self::datagrams::SentDatagram;
pub use self::faults::Faults;
use self::held::Held;
use self::ops::{descriptor, is_immediate};
pub use self::random::Random;
pub use self::world::{Behaviour, PeerId};
use self::world::{Object, World};
use super::datagram::BUFFER_LEN;
use super::{
    Completion, Driver, DriverCounters, DriverError, Fd, Op, Outcome, SocketAddress, Token, Verb,
};
use crate::mem::Pool;

/// Most turns that a delayed completion is late.
const DELAY_TURNS_MAX: u64 = 5;
/// Most completions of one multishot in one turn.
const BURST_MAX: u64 = 8;
/// Datagram buffers.
const DATAGRAM_BUFFERS: u16 = 16;
/// How far the clock goes in a turn in which nothing happens.
const IDLE_STEP: Duration = Duration::from_millis(1);

/// What the clock shows at first, since 1970-01-01 UTC.
const START_OF_TIME: Duration = Duration::from_secs(1_700_000_000);

/// A simulated kernel.
#[derive(Debug)]
pub struct Sim {
    world: World,
    random: Random,
    faults: Faults,
    pool: Pool,
    lent: VecDeque<u16>,
    datagram_pool: Pool,
    datagram_lent: VecDeque<u16>,
    flying: Vec<(Token, Op)>,
    held: Held,
    /// Completions and the turn from which they can be reaped.
    posted: Vec<(u64, Completion)>,
    turn: u64,
    now: Instant,
    started: Instant,
    /// The last wait would still be waiting on a real kernel.
    asleep: bool,
    /// It had no deadline.
    endless: bool,
    /// Waits in a row that brought nothing.
    quiet_turns: u32,
    /// The next wait goes on to its deadline.
    skips: bool,
    in_flight_max: usize,
    counters: DriverCounters,
}

impl Sim {
    /// A kernel that behaves by `seed` and `faults`, with `buffers` receive buffers.
    ///
    /// # Panics
    /// When memory for the buffers cannot be mapped.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "an origin for the simulated clock")]
    pub fn new(seed: u64, faults: Faults, buffers: u16, buffer_size: u32) -> Self {
        let now = Instant::now();
        Self {
            world: World::default(),
            random: Random::new(seed),
            faults,
            pool: Pool::new(buffers, buffer_size).expect("memory for the simulated buffers"),
            lent: VecDeque::new(),
            datagram_pool: Pool::new(DATAGRAM_BUFFERS, BUFFER_LEN)
                .expect("memory for the simulated datagram buffers"),
            datagram_lent: VecDeque::new(),
            flying: Vec::new(),
            held: Held::default(),
            posted: Vec::new(),
            turn: 0,
            now,
            started: now,
            asleep: false,
            endless: false,
            quiet_turns: 0,
            skips: false,
            in_flight_max: 64 * 1024,
            counters: DriverCounters::default(),
        }
    }

    /// A listening socket.
    pub fn listen(&mut self) -> Fd {
        self.world.insert(Object::Listener(VecDeque::new()))
    }

    /// A peer that connects to a listener, through a link that holds `capacity` bytes each way.
    pub fn connect(&mut self, listener: Fd, capacity: usize) -> PeerId {
        self.world.connect(listener, capacity)
    }

    /// What connects to `address` meet from now on.
    pub fn serve(&mut self, address: SocketAddress, behaviour: Behaviour) {
        self.world.serve(address, behaviour);
    }

    /// Puts a file where [`Syscalls::open_below`](super::Syscalls::open_below) finds it, whatever
    /// the folder.
    pub fn put_file(&mut self, name: &str, bytes: &[u8]) {
        self.world.files.insert(name.to_owned(), bytes.to_vec());
    }

    /// Peers that were connected to since the last call, with the address of each.
    pub fn take_accepted(&mut self) -> Vec<(SocketAddress, PeerId)> {
        std::mem::take(&mut self.world.accepted)
    }

    /// A peer sends; as many bytes as the link takes.
    pub fn peer_write(&mut self, peer: PeerId, bytes: &[u8]) -> usize {
        self.world.peer_write(peer, bytes)
    }

    /// A peer takes at most `max` bytes.
    pub fn peer_read(&mut self, peer: PeerId, max: usize) -> Vec<u8> {
        self.world.peer_read(peer, max)
    }

    /// A peer says that it will send no more.
    pub fn peer_finish(&mut self, peer: PeerId) {
        self.world.peer_finish(peer);
    }

    /// A peer resets the connection.
    pub fn peer_reset(&mut self, peer: PeerId) {
        self.world.peer_reset(peer);
    }

    /// Whether a peer has read all and knows that no more will come.
    #[must_use]
    pub fn peer_at_end(&self, peer: PeerId) -> bool {
        self.world.peer_at_end(peer)
    }

    /// Whether a peer was reset.
    #[must_use]
    pub fn peer_was_reset(&self, peer: PeerId) -> bool {
        self.world.peer_was_reset(peer)
    }

    /// Descriptors that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.world.open()
    }

    /// What the open descriptors are, in words.
    #[must_use]
    pub fn describe_open(&self) -> String {
        self.world.describe_open()
    }

    /// Something from outside wakes the worker, as a message in its mailbox would.
    pub fn wake(&mut self) {
        self.asleep = false;
    }

    /// Waits in a row that brought nothing. A completion may be late by a few turns.
    #[must_use]
    pub const fn quiet_turns(&self) -> u32 {
        self.quiet_turns
    }

    /// Lets the next wait last until its deadline, instead of a millisecond: for a test that knows
    /// that nothing happens before it.
    pub fn skip_wait(&mut self) {
        self.skips = true;
    }

    /// Whether the last wait brought nothing and had no deadline. A worker that never has anything
    /// else has forgotten somebody, unless it has no connection.
    #[must_use]
    pub const fn sleeps_without_deadline(&self) -> bool {
        self.asleep && self.endless
    }

    /// Sets the chances of faults.
    pub fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Receive buffers that are neither lent nor held, and those that are lent.
    #[must_use]
    pub fn buffers_home(&self) -> usize {
        self.pool.free() + self.lent.len()
    }

    fn chance(&mut self, per_mille: u32) -> bool {
        self.random.chance(per_mille)
    }

    /// How much of `possible` (not zero) is done this time.
    fn some_of(&mut self, possible: usize) -> usize {
        if self.chance(self.faults.short) { 1 + self.random.below(possible) } else { possible }
    }

    fn post(&mut self, token: Token, outcome: Outcome, more: bool) {
        let late = if self.chance(self.faults.delay) {
            1 + self.random.below(usize::try_from(DELAY_TURNS_MAX).unwrap_or(1)) as u64
        } else {
            0
        };
        // Completions of one token stay in their order.
        let earlier = self.posted.iter().filter(|(_, posted)| posted.token == token);
        let after = earlier.map(|(turn, _)| *turn).max().unwrap_or(0);
        let turn = (self.turn + late).max(after);
        self.posted.push((turn, Completion { token, outcome, more }));
    }

    /// Lets every operation in flight go on, in a random order.
    fn progress(&mut self) {
        while let Some(bid) = self.pool.take_free() {
            self.lent.push_back(bid);
        }
        while let Some(bid) = self.datagram_pool.take_free() {
            self.datagram_lent.push_back(bid);
        }
        let mut waiting = std::mem::take(&mut self.flying);
        // Sends, cancels and closes happen in the order of their submission; the others may come
        // at any time.
        let (ordered, mut unordered): (Vec<_>, Vec<_>) =
            waiting.drain(..).partition(|(_, op)| is_immediate(op));
        self.random.shuffle(&mut unordered);
        for (token, op) in unordered {
            if self.chance(self.faults.delay) {
                self.flying.push((token, op));
            } else {
                self.attempt(token, op);
            }
        }
        for (token, op) in ordered {
            self.carry_out(token, op);
        }
    }

    /// An operation that ends at once.
    fn carry_out(&mut self, token: Token, op: Op) {
        let outcome = match op {
            Op::Send { socket, data } => {
                let room = self.world.room(socket).map(|room| room.min(data.len()));
                let result = match room {
                    Ok(0) => Err(Errno::EAGAIN),
                    Ok(room) => Ok(self.some_of(room)),
                    Err(errno) => Err(errno),
                };
                if let Ok(count) = result {
                    let bytes = data.segments().iter().flat_map(|buf| buf.iter().copied());
                    self.world.write(socket, bytes.take(count));
                    self.held.hold(self.turn, &data);
                }
                Outcome::Sent { result, data }
            }
            Op::Cancel { target } => self.cancel(|token, _| *token == target),
            Op::CancelAll { fd } => self.cancel(|_, op| descriptor(op) == Some(fd)),
            Op::Close { fd } => {
                self.close_checked(fd);
                Outcome::Done
            }
            // There is one simulated ring: nobody to hand to.
            Op::HandOff { .. } => Outcome::Failed(Errno::EBADF),
            Op::Accept { .. }
            | Op::Receive { .. }
            | Op::Read { .. }
            | Op::ReceiveFrom { .. }
            | Op::Connect { .. }
            | Op::PollIn { .. }
            | Op::PollOut { .. } => unreachable!("not immediate"),
        };
        self.post(token, outcome, false);
    }

    fn cancel(&mut self, chosen: impl Fn(&Token, &Op) -> bool) -> Outcome {
        let (ended, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|(token, op)| chosen(token, op) && !is_immediate(op));
        self.flying = kept;
        let found = !ended.is_empty();
        for (token, _) in ended {
            self.post(token, Outcome::Failed(Errno::ECANCELED), false);
        }
        if found { Outcome::Done } else { Outcome::Failed(Errno::ENOENT) }
    }

    /// An operation that waits for something: goes on if that is there.
    fn attempt(&mut self, token: Token, op: Op) {
        match op {
            Op::Accept { listener } => self.attempt_accept(token, listener),
            Op::Receive { socket, once } => self.attempt_receive(token, socket, once),
            Op::Read { file, offset } => self.attempt_read(token, file, offset),
            Op::ReceiveFrom { socket } => self.attempt_receive_from(token, socket),
            Op::Connect { socket, ref address } => match self.world.attempt(socket, address) {
                Some(Ok(())) => self.post(token, Outcome::Connected, false),
                Some(Err(errno)) => self.post(token, Outcome::Failed(errno), false),
                None => self.flying.push((token, op)),
            },
            Op::PollIn { fd } => {
                let ready = self.world.is_readable(fd) || self.chance(self.faults.spurious / 10);
                self.finish_poll(token, op, ready);
            }
            Op::PollOut { fd } => {
                let ready = self.world.room(fd) != Ok(0) || self.chance(self.faults.spurious / 10);
                self.finish_poll(token, op, ready);
            }
            Op::Send { .. }
            | Op::Cancel { .. }
            | Op::CancelAll { .. }
            | Op::Close { .. }
            | Op::HandOff { .. } => unreachable!("immediate"),
        }
    }

    fn finish_poll(&mut self, token: Token, op: Op, ready: bool) {
        if ready {
            self.post(token, Outcome::Ready, false);
        } else {
            self.flying.push((token, op));
        }
    }

    fn attempt_accept(&mut self, token: Token, listener: Fd) {
        for _ in 0..=self.random.below(usize::try_from(BURST_MAX).unwrap_or(1)) {
            if !self.world.is_readable(listener) {
                break;
            }
            if self.chance(self.faults.descriptors) {
                return self.post(token, Outcome::Failed(Errno::EMFILE), false);
            }
            let Some(socket) = self.world.accept(listener) else {
                break;
            };
            let more = !self.chance(self.faults.end_multishot);
            self.post(token, Outcome::Accepted(socket), more);
            if !more {
                return;
            }
        }
        self.flying.push((token, Op::Accept { listener }));
    }

    fn attempt_receive(&mut self, token: Token, socket: Fd, once: bool) {
        for _ in 0..=self.random.below(usize::try_from(BURST_MAX).unwrap_or(1)) {
            let available = match self.world.available(socket) {
                Ok(Some(available)) => available,
                Ok(None) => break,
                Err(errno) => return self.post(token, Outcome::Failed(errno), false),
            };
            if available == 0 {
                return self.post(token, Outcome::Eof, false);
            }
            let starved = self.lent.is_empty() || self.chance(self.faults.starve);
            let bid = if starved { None } else { self.lent.pop_front() };
            let Some(bid) = bid else {
                self.counters.starved += 1;
                return self.post(token, Outcome::Starved, false);
            };
            let count = self.some_of(available.min(self.pool.buffer_size() as usize));
            let bytes = self.world.read(socket, count);
            let buf = self.pool.fill(bid, &bytes).expect("the buffer was lent");
            let more = !once && !self.chance(self.faults.end_multishot);
            self.post(token, Outcome::Received(buf), more);
            if !more {
                return;
            }
        }
        self.flying.push((token, Op::Receive { socket, once }));
    }

    fn attempt_read(&mut self, token: Token, file: Fd, offset: u64) {
        let available = self.world.file(file, offset).len();
        if available == 0 {
            return self.post(token, Outcome::Eof, false);
        }
        let starved = self.lent.is_empty() || self.chance(self.faults.starve);
        let Some(bid) = (if starved { None } else { self.lent.pop_front() }) else {
            self.counters.starved += 1;
            return self.post(token, Outcome::Starved, false);
        };
        let count = self.some_of(available.min(self.pool.buffer_size() as usize));
        let bytes = self.world.file(file, offset)[..count].to_vec();
        let buf = self.pool.fill(bid, &bytes).expect("the buffer was lent");
        self.post(token, Outcome::Received(buf), false);
    }

    fn close_checked(&mut self, fd: Fd) {
        let busy = self.flying.iter().find(|(_, op)| descriptor(op) == Some(fd));
        assert!(busy.is_none(), "{fd:?} is closed while {busy:?} is in flight");
        self.world.close(fd);
    }
}

impl Driver for Sim {
    fn set_in_flight_max(&mut self, most: usize) {
        self.in_flight_max = most;
    }

    fn push(&mut self, token: Token, op: Op) -> Result<(), Op> {
        assert!(!self.asleep, "{op:?} is pushed in a turn that a real kernel would not have begun");
        if self.in_flight() >= self.in_flight_max || self.chance(self.faults.refuse) {
            return Err(op);
        }
        let repeated = [Verb::Cancel, Verb::CancelFrom, Verb::Close, Verb::HandOff];
        let unique = !repeated.contains(&token.verb);
        let same = self.flying.iter().find(|(flying, _)| unique && *flying == token);
        assert!(same.is_none(), "{token:?} is pushed while {same:?} is in flight");
        if let Some(fd) = descriptor(&op) {
            assert!(self.world.is_open(fd), "{op:?} on a closed descriptor");
        }
        self.counters.submitted += 1;
        // The kernel may take a buffer before it looks for data: idle receives starve too.
        let receives = matches!(op, Op::Receive { .. } | Op::ReceiveFrom { .. });
        if receives && self.chance(self.faults.starve) {
            self.counters.starved += 1;
            self.post(token, Outcome::Starved, false);
            return Ok(());
        }
        self.flying.push((token, op));
        Ok(())
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), DriverError> {
        self.turn += 1;
        self.counters.enters += 1;
        self.held.release(self.turn);
        self.progress();
        let skips = std::mem::take(&mut self.skips);
        let step = match deadline.map(|deadline| deadline.saturating_duration_since(self.now)) {
            Some(rest) if skips => rest,
            Some(rest) => rest.min(IDLE_STEP),
            None => IDLE_STEP,
        };
        self.now += step;
        self.endless = deadline.is_none();
        let has_news = self.posted.iter().any(|(from, _)| *from <= self.turn);
        self.quiet_turns = if has_news { 0 } else { self.quiet_turns.saturating_add(1) };
        self.asleep = !has_news && deadline.is_none_or(|deadline| deadline > self.now);
        Ok(())
    }

    fn reap(&mut self, into: &mut Vec<Completion>) {
        let turn = self.turn;
        let (mut due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.posted).into_iter().partition(|(from, _)| *from <= turn);
        self.posted = later;
        self.counters.completed += due.len() as u64;
        while !due.is_empty() {
            // Any token next, but the tokens' own completions in their order.
            let token = due[self.random.below(due.len())].1.token;
            let first = due.iter().position(|(_, completion)| completion.token == token);
            into.push(due.remove(first.unwrap_or(0)).1);
        }
    }

    fn now(&self) -> Instant {
        self.now
    }

    /// The clock begins at the same time of day in every run.
    fn unix_time(&self) -> Duration {
        START_OF_TIME + self.now.saturating_duration_since(self.started)
    }

    fn buffers(&self) -> (usize, usize) {
        (self.buffers_home(), self.pool.count())
    }

    fn datagram_buffers(&self) -> (usize, usize) {
        (self.datagram_buffers_home(), self.datagram_pool.count())
    }

    fn in_flight(&self) -> usize {
        self.flying.len() + self.posted.iter().filter(|(_, posted)| !posted.more).count()
    }

    #[cfg(debug_assertions)]
    fn stray_handles(&self) -> usize {
        let flying: usize = self.flying.iter().map(|(_, op)| op.pooled()).sum();
        let posted: usize = self.posted.iter().map(|(_, posted)| posted.outcome.pooled()).sum();
        self.pool.handles() + self.datagram_pool.handles() - flying - posted
    }

    fn counters(&self) -> DriverCounters {
        self.counters
    }
}
