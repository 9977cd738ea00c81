//! One turn: submit, wait, reap, due timers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::{Counter, TimerId, Timers, TurnStats};
use crate::mem::{Pages, Scratch};
use crate::ring::{Completion, Driver, DriverError, Op, Token};

/// What the loop counts, readable from other threads.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct LoopStats {
    /// Turns of the loop.
    pub turns: Counter,
    /// How long they took.
    pub times: TurnStats,
    /// Calls that submit and wait.
    pub enters: Counter,
    /// Operations submitted.
    pub submitted: Counter,
    /// Completions reaped.
    pub completed: Counter,
    /// Completion queue overflows.
    pub overflows: Counter,
    /// Receives that found no free buffer.
    pub starved: Counter,
    /// Operations that had to wait because the ring was full.
    pub deferred: Counter,
    /// Sends that were made without a copy.
    pub zero_copy_sends: Counter,
    /// Of them, those that the kernel has copied after all.
    pub zero_copy_copied: Counter,
    /// Bytes of such sends that peers have not acknowledged.
    pub zero_copy_held: Counter,
}

/// Drives a [`Driver`]. Never calls upward: completions and due timers are handed to the caller.
#[derive(Debug)]
pub struct Reactor<D, T> {
    driver: D,
    timers: Timers<T>,
    /// Operations that the ring had no room for, in their order.
    backlog: VecDeque<(Token, Op)>,
    now: Instant,
    stats: Arc<LoopStats>,
    memory: LoopMemory,
}

/// Bytes of a record, or of several, whose memory is kept for the next ones.
const WORK_BYTES_MAX: usize = 256 * 1024;

/// Memory of the loop that is lent for the time of a call.
#[derive(Debug)]
pub struct LoopMemory {
    /// Bytes that are worked on in place.
    pub work: Scratch<Vec<u8>>,
    /// What is to be kept for longer.
    pub pages: Pages,
}

impl Default for LoopMemory {
    fn default() -> Self {
        Self { work: Scratch::new(WORK_BYTES_MAX), pages: Pages::default() }
    }
}

impl<D: Driver, T: Copy> Reactor<D, T> {
    /// A reactor on `driver` that counts in `stats`.
    #[must_use]
    pub fn new(driver: D, stats: Arc<LoopStats>) -> Self {
        let now = driver.now();
        let (timers, backlog) = (Timers::new(now), VecDeque::new());
        Self { timers, driver, backlog, now, stats, memory: LoopMemory::default() }
    }

    /// Queues an operation; one that the ring has no room for goes out in a later turn.
    pub fn submit(&mut self, token: Token, op: Op) {
        if self.backlog.is_empty() {
            if let Err(op) = self.driver.push(token, op) {
                self.stats.deferred.add(1);
                self.backlog.push_back((token, op));
            }
        } else {
            self.stats.deferred.add(1);
            self.backlog.push_back((token, op));
        }
    }

    /// Submits, waits and reaps into `batch`. With `busy` it does not wait: there is work left.
    ///
    /// # Errors
    /// Only when the driver is beyond use.
    pub fn turn(&mut self, busy: bool, batch: &mut Vec<Completion>) -> Result<(), DriverError> {
        self.retry_backlog();
        let deadline = if busy { Some(self.now) } else { self.timers.next() };
        self.wait(deadline, batch)
    }

    /// The same, and waits until that time at most, which is exact; timers are not.
    ///
    /// # Errors
    /// As of [`Reactor::turn`].
    pub fn turn_until(
        &mut self,
        until: Instant,
        batch: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        self.retry_backlog();
        let timer = self.timers.next();
        self.wait(Some(timer.map_or(until, |timer| timer.min(until))), batch)
    }

    fn wait(
        &mut self,
        deadline: Option<Instant>,
        batch: &mut Vec<Completion>,
    ) -> Result<(), DriverError> {
        let deadline = if self.backlog.is_empty() { deadline } else { Some(self.now) };
        self.record_turn();
        self.driver.wait(deadline)?;
        self.driver.reap(batch);
        self.now = self.driver.now();
        self.publish_stats();
        Ok(())
    }

    /// Makes all timers due whose time has come; [`Reactor::take_due`] gives them.
    pub fn expire(&mut self) {
        self.timers.expire(self.now);
    }

    /// The next timer that is due, and was not disarmed meanwhile.
    pub fn take_due(&mut self) -> Option<T> {
        self.timers.take_due()
    }

    /// Arms a timer.
    pub fn arm(&mut self, deadline: Instant, value: T) -> TimerId {
        self.timers.arm(deadline, value)
    }

    /// Disarms a timer that has not fired.
    pub fn disarm(&mut self, id: TimerId) {
        self.timers.cancel(id);
    }

    /// The time at which the present turn's wait ended.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The driver, for its direct calls.
    pub fn driver(&mut self) -> &mut D {
        &mut self.driver
    }

    /// Memory for the time of a call.
    pub fn memory(&mut self) -> &mut LoopMemory {
        &mut self.memory
    }

    /// Both at once.
    pub fn parts(&mut self) -> (&mut D, &mut LoopMemory) {
        (&mut self.driver, &mut self.memory)
    }

    /// How many starved receives may be armed anew: as many as there are free buffers, once at
    /// least a quarter of all are free. Fewer would only starve again.
    #[must_use]
    pub fn free_buffers(&self) -> usize {
        let (free, total) = self.driver.buffers();
        if free * 4 >= total { free } else { 0 }
    }

    /// The same for datagram buffers.
    #[must_use]
    pub fn free_datagram_buffers(&self) -> usize {
        let (free, total) = self.driver.datagram_buffers();
        if free * 4 >= total { free } else { 0 }
    }

    /// Handles on pool buffers that no operation owns, be it in flight or waiting for room.
    #[cfg(debug_assertions)]
    #[must_use]
    pub fn stray_handles(&self) -> usize {
        let waiting: usize = self.backlog.iter().map(|(_, op)| op.pooled()).sum();
        self.driver.stray_handles() - waiting
    }

    /// Operations that were submitted and have not ended, and those that wait for room.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.driver.in_flight() + self.backlog.len()
    }

    /// How many timers are armed.
    #[must_use]
    pub fn timers_armed(&self) -> usize {
        self.timers.len()
    }

    fn retry_backlog(&mut self) {
        while let Some((token, op)) = self.backlog.pop_front() {
            if let Err(op) = self.driver.push(token, op) {
                self.backlog.push_front((token, op));
                return;
            }
        }
    }

    /// The turn that ends here. What comes before the first wait is the start, and no turn.
    fn record_turn(&self) {
        if self.stats.turns.get() > 0 {
            let took = self.driver.now().saturating_duration_since(self.now);
            self.stats.times.record(took);
        }
    }

    fn publish_stats(&self) {
        let counters = self.driver.counters();
        self.stats.turns.add(1);
        self.stats.enters.set(counters.enters);
        self.stats.submitted.set(counters.submitted);
        self.stats.completed.set(counters.completed);
        self.stats.overflows.set(counters.overflows);
        self.stats.starved.set(counters.starved);
        self.stats.zero_copy_sends.set(counters.zero_copy_sends);
        self.stats.zero_copy_copied.set(counters.zero_copy_copied);
        self.stats.zero_copy_held.set(counters.zero_copy_held);
    }
}
