//! What is told of a server, and what can be changed of it by hand.

use std::time::Instant;

use super::eject::Reason;

/// What was counted of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// Exchanges that went to it.
    pub picked: u64,
    /// Answers with a status below 500.
    pub answered: u64,
    /// Answers with a status of 500 or more.
    pub errors: u64,
    /// Failures that speak against it.
    pub failures: u64,
}

/// Whether a server is used, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is used.
    Up,
    /// It is used, with a part of its weight yet.
    SlowStart,
    /// Active checks keep it out.
    Down,
    /// It is out until then because it did badly.
    Ejected(Reason, Instant),
    /// It takes no new exchange, by hand.
    Drained,
}

impl Standing {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::SlowStart => "slow_start",
            Self::Down => "down",
            Self::Ejected(..) => "ejected",
            Self::Drained => "drained",
        }
    }
}

impl Standing {
    /// Why, where that is not said by the word itself.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Up | Self::SlowStart => None,
            Self::Down => Some("health_check"),
            Self::Ejected(reason, _) => Some(reason.name()),
            Self::Drained => Some("by_hand"),
        }
    }
}

/// What is changed of a server by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It has this weight.
    Weight(u32),
    /// It takes no new exchange.
    Drain,
    /// It takes them again, and is not ejected any longer.
    Lift,
}

/// What is known of a server now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerView {
    /// Its weight, and its priority.
    pub weight: u32,
    /// It is used when no server of a lower number is usable.
    pub priority: u8,
    /// Whether it is used, and why not.
    pub standing: Standing,
    /// Since when; `None` since the start.
    pub since: Option<Instant>,
    /// Requests under way.
    pub active: u32,
    /// What active checks say; true without any.
    pub healthy: bool,
    /// It is out because it did badly.
    pub ejected: bool,
    /// Which part of its weight it has, 0.1 to 1: less than 1 while it starts slowly.
    pub ramp: f64,
    /// The latency it is taken to have, in seconds.
    pub latency: Option<f64>,
    /// What was counted.
    pub counters: ServerCounters,
}
