//! What becomes of requests: they are answered, fail, or take too long.

use std::cmp::Reverse;
use std::time::Instant;

use nix::errno::Errno;

use super::Generator;
use super::connection::{Phase, Request};
use crate::load::recorder::Failure;
use crate::load::setup::Pace;
use crate::load::wire::{Answered, RequestNumber};
use crate::ring::Driver;

impl<D: Driver> Generator<D> {
    pub(super) fn first_byte(&mut self, place: usize, number: RequestNumber, now: Instant) {
        let Some(connection) = &self.slots[place].connection else { return };
        if let Some(request) = connection.find(number)
            && self.is_measured(request.due)
        {
            self.slice.first_byte.record(now.saturating_duration_since(request.sent));
        }
    }

    pub(super) fn done(
        &mut self,
        place: usize,
        number: RequestNumber,
        answered: Answered,
        now: Instant,
    ) {
        let Some(connection) = &mut self.slots[place].connection else { return };
        let Some(request) = connection.take(number) else { return };
        self.in_flight -= 1;
        self.progressed = now;
        if self.is_measured(request.due) {
            let slice = &mut self.slice;
            if let Some(status) = answered.status {
                *slice.statuses.entry(status).or_default() += 1;
            }
            match answered.failure {
                // Errors are often fast: they would make the server look so.
                Some((failure, reason)) => slice.fail(failure, || reason),
                None => {
                    slice.total.record(now.saturating_duration_since(request.due));
                    slice.tally.completed += 1;
                }
            }
        }
        self.rest(place, now);
        if !self.setup.keepalive {
            self.close(place);
        }
    }

    /// A request is over: its slot thinks before the next one.
    pub(super) fn rest(&mut self, place: usize, now: Instant) {
        if let Pace::Closed { think } = self.setup.pace
            && !think.is_zero()
        {
            let slot = &mut self.slots[place];
            slot.thinking += 1;
            self.wakes.push(Reverse((now + think, slot.key.index, true)));
        }
    }

    /// A connection is of no more use: what is on it has failed.
    pub(super) fn broken(&mut self, place: usize, failure: Failure, reason: &str) {
        let Some(connection) = &mut self.slots[place].connection else { return };
        let waiting = connection.waiting.take();
        let requests = std::mem::take(&mut connection.requests);
        // A server may end a connection that carries nothing, and often does.
        let is_idle = requests.is_empty() && waiting.is_none();
        let is_new = !self.slots[place].is_settled || self.slots[place].failed > 0;
        let now = self.reactor.now();
        for request in requests.iter().chain(&waiting) {
            self.in_flight -= 1;
            if self.is_measured(request.due) || self.measured_from.is_none() {
                self.slice.fail(failure, || reason.to_owned());
            }
            if failure == Failure::Timeout && self.is_measured(request.due) {
                // It took at least as long.
                let waited = now.saturating_duration_since(request.due);
                self.slice.total.record(waited);
            }
        }
        // Unexpected bytes are an error even if no request was pending.
        let is_fault = matches!(failure, Failure::Protocol | Failure::Answer);
        if is_idle && (is_new || is_fault) {
            self.slice.fail(failure, || reason.to_owned());
        }
        for _ in 0..requests.len() {
            self.rest(place, now);
        }
        self.slots[place].failed += u32::from(is_new || is_fault || !is_idle);
        self.settle(place);
        self.close(place);
    }

    /// Looks for what is late.
    pub(super) fn sweep(&mut self, now: Instant) {
        for place in 0..self.slots.len() {
            let Some(connection) = &mut self.slots[place].connection else { continue };
            match connection.phase {
                Phase::Closing => {}
                Phase::Connecting(since) | Phase::Securing(since) => {
                    if now.saturating_duration_since(since) >= self.setup.connect_timeout {
                        let reason = "no connection in time".to_owned();
                        self.connecting -= 1;
                        self.broken(place, Failure::ConnectTimeout, &reason);
                    }
                }
                Phase::Open => {
                    let timeout = self.setup.timeout;
                    let is_late =
                        |one: &Request| now.saturating_duration_since(one.sent) >= timeout;
                    let oldest = connection.requests.front();
                    let is_slow = connection.waiting.as_ref().or(oldest).is_some_and(is_late);
                    let age = now.saturating_duration_since(connection.opened);
                    let has_greeted = connection.is_greeted || age < timeout;
                    if is_slow || !has_greeted {
                        self.time_out(place, now);
                    }
                }
            }
        }
    }

    /// The oldest request of a connection has no answer in time.
    pub(super) fn time_out(&mut self, place: usize, now: Instant) {
        let reason = format!("no answer within {:?}", self.setup.timeout);
        loop {
            let Some(connection) = &mut self.slots[place].connection else { return };
            let Some(request) = connection.requests.front().copied() else { break };
            if now.saturating_duration_since(request.sent) < self.setup.timeout {
                return self.offer(place);
            }
            if !connection.wire.give_up(request.number, &mut self.memory) {
                break;
            }
            connection.requests.pop_front();
            self.in_flight -= 1;
            if self.is_measured(request.due) {
                self.slice.fail(Failure::Timeout, || reason.clone());
                let waited = now.saturating_duration_since(request.due);
                self.slice.total.record(waited);
            }
            self.rest(place, now);
            self.mark(place);
        }
        let connection = self.slots[place].connection.as_ref();
        let is_greeted = connection.is_some_and(|one| one.is_greeted);
        let is_empty =
            connection.is_some_and(|one| one.requests.is_empty() && one.waiting.is_none());
        if is_empty && is_greeted {
            return self.offer(place);
        }
        self.broken(place, Failure::Timeout, &reason);
    }

    /// The loop's own failure to begin something.
    pub(super) fn resources(&mut self, place: usize, errno: Errno, waiting: Option<Request>) {
        let reason = format!("no socket: {}", errno.desc());
        self.in_flight -= usize::from(waiting.is_some());
        self.slice.fail(Failure::Resources, || reason);
        self.slots[place].failed += 1;
        self.settle(place);
        self.reconnect_later(place);
    }
}
