//! One maximum of connections for the whole process, split into shares that cores lend each other.
//!
//! Every core begins with its part of the maximum and opens no more than its limit. One that needs
//! more asks the others in turn; who can spare permits lowers its own limit and sends them.
//!
//! Invariant: the limits of all cores and the permits in messages under way make the maximum. So a
//! message with permits must arrive, and a question that could not be put is answered with 0.

use std::time::{Duration, Instant};

/// A core that asked all others in vain rests for so long before it asks again.
pub const ASK_REST: Duration = Duration::from_millis(100);

/// A question for permits, to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the question is open until it is answered"]
pub struct Ask {
    /// The core to send it to.
    pub to: usize,
}

/// What a core answers. The permits are its own no more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use = "the permits are lost unless they are sent"]
pub struct Grant {
    /// Permits to send back; may be 0, which is to be sent, too.
    pub permits: u32,
    /// Idle connections to close now, before the answer is sent: their permits are among the above.
    pub close_idle: u32,
}

/// One core's share of a maximum.
///
/// Calling order: [`Self::want`] whenever connections are wanted and the limit is reached, and
/// again at [`Self::rest_ends`]; the [`Ask`] it may give is sent, and [`Self::answered`] takes what
/// comes back. [`Self::asked`] answers the others. After the latter two, [`Self::limit`] is what
/// the core's pool may have ([`super::Pool::set_share`] closes what a grant asks to be closed).
///
/// A core never lends while it has waiters. Where the maximum is smaller than the number of cores,
/// and those with permits have waiters all the time, the others get none until that ends.
#[derive(Debug, Clone)]
pub struct Share {
    cores: usize,
    core: usize,
    limit: u32,
    /// The core asked last, or this one.
    last: usize,
    is_asking: bool,
    /// Questions in a row that brought nothing.
    in_vain: usize,
    /// When the last question was put.
    asked_at: Option<Instant>,
}

impl Share {
    /// The share of core `core` of `cores`, counted from 0. Where `max` can not be split evenly,
    /// the first cores have one more.
    #[must_use]
    pub fn new(max: u32, cores: usize, core: usize) -> Self {
        let cores = cores.max(1);
        let count = u32::try_from(cores).unwrap_or(u32::MAX);
        let has_one_more = u32::try_from(core).is_ok_and(|core| core < max % count);
        Self {
            cores,
            core,
            limit: max / count + u32::from(has_one_more),
            last: core,
            is_asking: false,
            in_vain: 0,
            asked_at: None,
        }
    }

    /// What the core may have open now.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// The question to send, if one is due: `waiting` exchanges wait, `open` connections stand or
    /// are being opened and reach the limit, and no question is open. The cores are asked in turn;
    /// after a round in vain it rests for [`ASK_REST`], counted from the last question.
    pub fn want(&mut self, now: Instant, open: u32, waiting: usize) -> Option<Ask> {
        if waiting == 0 || open < self.limit || self.is_asking || self.cores == 1 {
            return None;
        }
        if self.rest_ends().is_some_and(|end| now < end) {
            return None;
        }
        if self.in_vain >= self.cores - 1 {
            self.in_vain = 0;
        }
        self.last = self.after(self.last);
        self.is_asking = true;
        self.asked_at = Some(now);
        Some(Ask { to: self.last })
    }

    /// Answers another core's question: half of the permits that are not in use, at least one; with
    /// none of them, that of one of `idle` connections, which is to be closed. `idle` are those the
    /// core can do without; `open` counts them, too.
    pub fn asked(&mut self, open: u32, idle: u32, waiting: usize) -> Grant {
        if waiting > 0 {
            return Grant::default();
        }
        let grant = match self.limit.saturating_sub(open) {
            0 if idle > 0 && open == self.limit && open > 0 => Grant { permits: 1, close_idle: 1 },
            spare => Grant { permits: spare.div_ceil(2), close_idle: 0 },
        };
        self.limit -= grant.permits;
        grant
    }

    /// The open question is answered. With 0 also when it could not be sent.
    pub fn answered(&mut self, permits: u32) {
        self.is_asking = false;
        self.limit = self.limit.saturating_add(permits);
        self.in_vain = if permits == 0 { self.in_vain + 1 } else { 0 };
    }

    /// When the rest ends that follows a round in vain, if that was the last one.
    #[must_use]
    pub fn rest_ends(&self) -> Option<Instant> {
        let is_round_over = self.cores > 1 && self.in_vain >= self.cores - 1;
        self.asked_at.filter(|_| is_round_over)?.checked_add(ASK_REST)
    }

    /// The next core in turn that is not this one.
    const fn after(&self, core: usize) -> usize {
        let next = (core + 1) % self.cores;
        if next == self.core { (next + 1) % self.cores } else { next }
    }
}
