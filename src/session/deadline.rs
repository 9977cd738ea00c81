//! A deadline that moves often: the timer is touched only when it must fire earlier.

use std::time::Instant;

use super::Due;
use crate::ring::Driver;
use crate::runtime::{Reactor, TimerId};

/// What a connection waits for, and until when.
///
/// Most waits end long before their time, and the next one's deadline lies behind the last one's:
/// so a timer that is armed already is left alone, and when it fires it is armed for what is left.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    at: Option<Instant>,
    timer: Option<(TimerId, Instant)>,
}

impl Deadline {
    /// From now on, this is the deadline.
    pub(super) fn set<D: Driver>(&mut self, reactor: &mut Reactor<D, Due>, due: Due, at: Instant) {
        self.at = Some(at);
        if let Some((timer, fires)) = self.timer {
            if fires <= at {
                return;
            }
            reactor.disarm(timer);
        }
        self.timer = Some((reactor.arm(at, due), at));
    }

    /// Nothing is waited for. The timer stays: the next deadline likely needs one.
    pub(super) const fn clear(&mut self) {
        self.at = None;
    }

    /// The timer has fired: whether the deadline is reached. If not, it is armed for what is left.
    pub(super) fn fired<D: Driver>(&mut self, reactor: &mut Reactor<D, Due>, due: Due) -> bool {
        self.timer = None;
        let Some(at) = self.at else { return false };
        if at <= reactor.now() {
            self.at = None;
            return true;
        }
        self.timer = Some((reactor.arm(at, due), at));
        false
    }

    /// Nothing will be waited for any more.
    pub(super) fn disarm<D: Driver>(&mut self, reactor: &mut Reactor<D, Due>) {
        self.at = None;
        if let Some((timer, _)) = self.timer.take() {
            reactor.disarm(timer);
        }
    }
}
