//! An ejection that goes on with another ejector, which watches the same server from then on.

use std::time::{Duration, Instant};

use super::{Ejector, Reason};

/// A server is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Why.
    reason: Reason,
    /// Until then.
    until: Instant,
    /// How often in a row it was taken out.
    times: u32,
    /// How long it is out this time.
    lasted: Duration,
    /// Nothing is held against it but that it could not be connected to.
    on_probation: bool,
}

impl Ejector {
    /// The ejection of a server that is out.
    #[must_use]
    pub fn ejection(&self, server: usize) -> Option<Ejection> {
        let (reason, until) = self.why(server)?;
        let watched = self.servers.get(server)?;
        let (times, lasted, on_probation) = (watched.times, watched.lasted, watched.on_probation);
        Some(Ejection { reason, until, times, lasted, on_probation })
    }

    /// A server is out that another ejector has taken out, unless that is over, or leaves too few
    /// others. It was counted and told of before. Whether [`Ejector::is_ejected`] has changed.
    pub fn resume(&mut self, server: usize, ejection: Ejection, now: Instant) -> bool {
        let Some(watched) = self.servers.get_mut(server) else { return false };
        let was_in = watched.is_in();
        let is_last = was_in && self.inside < 2;
        let is_over = ejection.until <= now || watched.until.is_some();
        if is_over || is_last || self.ejected >= self.out_max {
            return false;
        }
        watched.forget();
        watched.until = Some(ejection.until);
        watched.reason = Some(ejection.reason);
        watched.times = ejection.times;
        watched.lasted = ejection.lasted;
        watched.on_probation = ejection.on_probation;
        self.out.set(server, ejection.until);
        self.changed.put(server, true);
        self.ejected += 1;
        self.inside -= usize::from(was_in);
        true
    }
}
