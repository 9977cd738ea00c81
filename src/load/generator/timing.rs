//! Deadlines: the stages of a run, the ends of slices, and how long the loop may wait.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::{CONNECTS_MAX, Generator, Report, SWEEP, Stage};
use crate::load::recorder::Slice;
use crate::ring::Driver;

impl<D: Driver> Generator<D> {
    /// Handles all deadlines that have passed; true when the run is over.
    pub(super) fn go_on(&mut self, now: Instant) -> bool {
        self.wake(now);
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.sweep(now);
        }
        match self.stage {
            Stage::Connecting if self.settled == self.slots.len() => {
                self.stage = Stage::Ready;
                let _sent = self.reports.send(Report::Ready);
                self.control.is_stopped()
            }
            Stage::Connecting => self.control.is_stopped(),
            Stage::Ready => {
                if let Some(start) = self.control.start().filter(|start| *start <= now) {
                    self.stage = Stage::Running(start);
                    self.measured_from = Some(start + self.setup.warm_up);
                }
                self.control.is_stopped()
            }
            Stage::Running(start) => {
                self.hand_over(now);
                let end = self.setup.end(start);
                let is_late = end.is_some_and(|end| end <= now);
                // Without a connection, a number of requests would never be reached.
                let idle = now.saturating_duration_since(self.progressed.max(start));
                let is_stuck = end.is_none() && self.in_flight == 0 && idle >= self.setup.timeout;
                if is_late || is_stuck || self.left == Some(0) || self.control.is_stopped() {
                    let until = end.map_or(now, |end| end.min(now));
                    self.unsent = self.unsent_until(until.saturating_duration_since(start));
                    let patience =
                        if self.control.is_stopped() { SWEEP } else { self.setup.timeout };
                    self.stage = Stage::Draining(now + patience);
                }
                false
            }
            Stage::Draining(until) => {
                let is_impatient = self.control.is_stopped() && until > now + SWEEP;
                self.in_flight == 0 || until <= now || is_impatient
            }
        }
    }

    /// Requests that were due by then, behind the warm-up, and were not begun.
    pub(super) fn unsent_until(&self, until: Duration) -> u64 {
        let left = self.left.unwrap_or(u64::MAX);
        match &self.schedule {
            Some(schedule) => {
                let unmeasured = schedule.behind(self.setup.warm_up.min(until));
                (schedule.behind(until) - unmeasured).min(left)
            }
            // A closed loop owes what it was to send in all.
            None => self.left.unwrap_or(0),
        }
    }

    /// Sends a slice whose time is over to the run.
    pub(super) fn hand_over(&mut self, now: Instant) {
        let Some(from) = self.measured_from else { return };
        let slice = self.setup.slice.as_nanos().max(1);
        let number = now.saturating_duration_since(from).as_nanos() / slice;
        let last = self.setup.duration.map(|time| time.as_nanos().div_ceil(slice) - 1);
        let number = last.map_or(number, |last| number.min(last));
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        if number > self.slice.number {
            let full = std::mem::replace(&mut self.slice, Box::new(Slice::new(number)));
            let _sent = self.reports.send(Report::Slice(full));
        }
    }

    /// Wakes connections whose back-off or think time is over.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(Reverse((at, slot, is_thinking))) = self.wakes.peek().copied() {
            if at > now {
                break;
            }
            self.wakes.pop();
            let place = slot as usize;
            if is_thinking {
                self.slots[place].thinking -= 1;
                self.offer(place);
            } else {
                self.slots[place].is_resting = false;
                if self.setup.keepalive {
                    self.to_connect.push_back(slot);
                } else {
                    self.offer(place);
                }
            }
        }
    }

    /// Until when the loop may wait.
    pub(super) fn wake_at(&self, now: Instant) -> Instant {
        // Requests that became possible at the end of this turn start in the next.
        let has_slots = self.schedule.is_none() && !self.free.is_empty() && self.left != Some(0);
        let may_ask = has_slots && matches!(self.stage, Stage::Running(_));
        let may_connect = !self.to_connect.is_empty() && self.connecting < CONNECTS_MAX;
        if may_ask || may_connect && !matches!(self.stage, Stage::Draining(_)) {
            return now;
        }
        let mut at = self.swept + SWEEP;
        if let Some(Reverse((wake, ..))) = self.wakes.peek() {
            at = at.min(*wake);
        }
        match self.stage {
            Stage::Ready => at = at.min(now + Duration::from_millis(2)),
            Stage::Running(start) => {
                if let Some(schedule) = &self.schedule
                    && !self.free.is_empty()
                    && self.left != Some(0)
                {
                    let due = start + schedule.peek();
                    let until = due.checked_sub(self.setup.spin).unwrap_or(due);
                    at = at.min(until.max(now));
                }
                if let Some(end) = self.setup.end(start) {
                    at = at.min(end);
                }
            }
            Stage::Connecting | Stage::Draining(_) => {}
        }
        at
    }
}
