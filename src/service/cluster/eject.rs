//! Taking servers out for a while that do badly (passive checks, "outlier detection").

mod resume;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use self::resume::Ejection;
use super::order::{IndexSet, IndexedHeap};

/// An ejection lasts so many times [`EjectOptions::time`] at most.
const TIMES_MAX: u32 = 10;
/// Events that are kept for each server until somebody takes them.
const EVENTS_PER_SERVER: usize = 4;

/// When a server is taken out. 0 switches a criterion off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EjectOptions {
    /// Failures in a row, of connections or by a status of 500 to 599.
    pub consecutive_failures: u32,
    /// Connections in a row that could not be made. A server that was out for this is out again
    /// with the first one.
    pub consecutive_connect_failures: u32,
    /// The share of an interval's requests that failed, above 0 to 1.
    pub error_rate: f64,
    /// A mean latency of an interval above so many times the median of the servers' means.
    pub latency_factor: f64,
    /// Requests of an interval without which neither its error rate nor its latency is looked at.
    pub min_requests: u32,
    /// How long requests are counted before they are looked at.
    pub interval: Duration,
    /// How long a server is out the first time. Each time in a row adds as much, up to ten times.
    pub time: Duration,
    /// The share of the servers that may be out at a time, 0 to 1; one always stays.
    pub share_max: f64,
}

impl EjectOptions {
    /// What holds where nobody says otherwise: a server to which no connection can be made is
    /// passed over for a while, and nothing else is held against it.
    pub const CONNECTS: Self = Self {
        consecutive_failures: 0,
        consecutive_connect_failures: 3,
        error_rate: 0.0,
        latency_factor: 0.0,
        min_requests: 1,
        interval: Duration::from_secs(10),
        time: Duration::from_secs(5),
        share_max: 1.0,
    };

    /// Whether intervals are counted.
    const fn has_intervals(&self) -> bool {
        self.error_rate > 0.0 || self.latency_factor > 0.0
    }
}

/// What is learnt of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// It did what it was asked.
    Success,
    /// It could be connected to, and nothing more is known.
    Connected,
    /// It failed.
    Failure,
    /// It could not be connected to.
    ConnectFailure,
}

/// Why a server was taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too many connections in a row that could not be made.
    ConnectFailures,
    /// Too large a share of failures.
    ErrorRate,
    /// Much slower than the others.
    Latency,
}

impl Reason {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 4] =
        [Self::ConsecutiveFailures, Self::ConnectFailures, Self::ErrorRate, Self::Latency];

    /// The reason's place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The label of logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::ConnectFailures => "connect_failures",
            Self::ErrorRate => "error_rate",
            Self::Latency => "latency",
        }
    }
}

/// What happened, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A server was taken out.
    Ejected {
        /// Its number.
        server: usize,
        /// Why.
        reason: Reason,
        /// For how long.
        time: Duration,
    },
    /// A server is back.
    Returned {
        /// Its number.
        server: usize,
    },
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EjectCounters {
    /// Ejections, in the order of [`Reason::ALL`].
    pub ejected: [u64; Reason::ALL.len()],
    /// Ejections that did not come about because too many servers, or all others, were out.
    pub held_back: u64,
}

/// What the interval has seen of a server.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    requests: u32,
    errors: u32,
    timed: u32,
    seconds: f64,
}

impl Window {
    fn error_rate(&self) -> f64 {
        f64::from(self.errors) / f64::from(self.requests.max(1))
    }

    fn mean(&self) -> f64 {
        self.seconds / f64::from(self.timed.max(1))
    }
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    window: Window,
    failures_in_row: u32,
    connect_failures_in_row: u32,
    /// It was out because it could not be connected to, and nothing better is known yet.
    on_probation: bool,
    /// What active checks say.
    healthy: bool,
    /// It takes no exchange, by hand.
    drained: bool,
    /// Out until then.
    until: Option<Instant>,
    /// Why, at last.
    reason: Option<Reason>,
    /// How often in a row it was taken out, how long at last, and since when it is back.
    times: u32,
    lasted: Duration,
    returned: Option<Instant>,
}

impl Watched {
    const fn is_in(&self) -> bool {
        self.healthy && !self.drained && self.until.is_none()
    }

    /// What was seen of it is forgotten.
    fn forget(&mut self) {
        self.window = Window::default();
        self.failures_in_row = 0;
        self.connect_failures_in_row = 0;
        self.on_probation = false;
    }
}

/// Watches the servers of an upstream.
///
/// An ejection is in a row with the one before when it begins within the time that one lasted,
/// counted from its end.
///
/// Calling order: [`Ejector::record`] for each exchange; [`Ejector::advance`] at
/// [`Ejector::next_deadline`]. Both say whether [`Ejector::is_ejected`] has changed for any server,
/// and [`Ejector::take_changed`] for which. Only the end of an interval takes a step for each
/// server that was used in it.
#[derive(Debug)]
pub struct Ejector {
    options: EjectOptions,
    servers: Vec<Watched>,
    /// Those that are out, by the time at which they are back.
    out: IndexedHeap<Instant>,
    ejected: usize,
    /// Servers that are healthy, not drained and not out.
    inside: usize,
    out_max: usize,
    /// Servers that have requests in this interval.
    seen: IndexSet,
    /// Servers that were taken out or brought back since somebody asked.
    changed: IndexSet,
    /// When the requests that were counted are looked at; none are when there is no such time.
    interval_end: Option<Instant>,
    means: Vec<f64>,
    events: VecDeque<Event>,
    counters: EjectCounters,
}

impl Ejector {
    /// Nothing is known of these servers.
    #[must_use]
    pub fn new(options: EjectOptions, servers: usize) -> Self {
        let fresh = Watched {
            window: Window::default(),
            failures_in_row: 0,
            connect_failures_in_row: 0,
            on_probation: false,
            healthy: true,
            drained: false,
            until: None,
            reason: None,
            times: 0,
            lasted: Duration::ZERO,
            returned: None,
        };
        Self {
            options,
            servers: vec![fresh; servers],
            out: IndexedHeap::default(),
            ejected: 0,
            inside: servers,
            out_max: most_out(options.share_max, servers),
            seen: IndexSet::default(),
            changed: IndexSet::default(),
            interval_end: None,
            means: Vec::with_capacity(servers),
            events: VecDeque::with_capacity(servers * EVENTS_PER_SERVER),
            counters: EjectCounters::default(),
        }
    }

    /// Whether a server is out.
    #[must_use]
    pub fn is_ejected(&self, server: usize) -> bool {
        self.servers.get(server).is_some_and(|watched| watched.until.is_some())
    }

    /// Whether a server is out because of failed connects alone.
    #[must_use]
    pub fn is_unreachable(&self, server: usize) -> bool {
        let watched = self.servers.get(server);
        watched.is_some_and(|watched| watched.until.is_some() && watched.on_probation)
    }

    /// Why a server is out, if it is, and until when.
    #[must_use]
    pub fn why(&self, server: usize) -> Option<(Reason, Instant)> {
        let watched = self.servers.get(server)?;
        watched.reason.zip(watched.until)
    }

    /// Servers that are out.
    #[must_use]
    pub const fn ejected(&self) -> usize {
        self.ejected
    }

    /// Moves the servers for which [`Ejector::is_ejected`] has changed to `into`.
    pub fn take_changed(&mut self, into: &mut Vec<usize>) {
        self.changed.drain_into(into);
    }

    /// Servers that may be out at a time.
    #[must_use]
    pub const fn ejected_max(&self) -> usize {
        self.out_max
    }

    /// What was counted.
    #[must_use]
    pub const fn counters(&self) -> EjectCounters {
        self.counters
    }

    /// The next event. Those that nobody takes are forgotten, the oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether there is an event that was not taken.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`Ejector::advance`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let back = self.out.first().map(|(until, _)| until);
        back.into_iter().chain(self.interval_end).min()
    }

    /// An exchange with a server has ended well or not, and took so long. What comes from a server
    /// that is out already says nothing new, but that one can be connected to that could not.
    pub fn record(
        &mut self,
        server: usize,
        sample: Sample,
        latency: Option<Duration>,
        now: Instant,
    ) -> bool {
        let stands = matches!(sample, Sample::Connected | Sample::Success);
        if stands && self.is_unreachable(server) {
            // It was tried for want of a better one, and can be connected to.
            self.restore(server, Some(now));
            if let Some(watched) = self.servers.get_mut(server) {
                watched.on_probation = false;
            }
            return true;
        }
        let Some(watched) = self.servers.get_mut(server).filter(|watched| watched.is_in()) else {
            return false;
        };
        if sample == Sample::ConnectFailure {
            watched.connect_failures_in_row = watched.connect_failures_in_row.saturating_add(1);
        } else {
            watched.connect_failures_in_row = 0;
            watched.on_probation = false;
        }
        if sample == Sample::Connected {
            return false;
        }
        let success = sample == Sample::Success;
        let window = &mut watched.window;
        window.requests = window.requests.saturating_add(1);
        window.errors = window.errors.saturating_add(u32::from(!success));
        if let Some(latency) = latency.filter(|_| success) {
            window.timed = window.timed.saturating_add(1);
            window.seconds += latency.as_secs_f64();
        }
        let in_row = if success { 0 } else { watched.failures_in_row.saturating_add(1) };
        watched.failures_in_row = in_row;
        let refusals = watched.connect_failures_in_row;
        let on_probation = watched.on_probation;
        if self.options.has_intervals() {
            self.seen.put(server, true);
            self.interval_end.get_or_insert(now + self.options.interval);
        }
        let reached = |count: u32, most: u32| most > 0 && count >= most;
        let refusals_max = match self.options.consecutive_connect_failures {
            2.. if on_probation => 1,
            most => most,
        };
        let reason = if reached(refusals, refusals_max) {
            Reason::ConnectFailures
        } else if reached(in_row, self.options.consecutive_failures) {
            Reason::ConsecutiveFailures
        } else {
            return false;
        };
        self.eject(server, reason, now)
    }

    /// Active checks say that a server is healthy, or is not. What was known of it is forgotten;
    /// one that they found healthy is out no more.
    pub fn set_healthy(&mut self, server: usize, healthy: bool) -> bool {
        self.alter(server, healthy, |watched| watched.healthy = healthy)
    }

    /// A server takes no exchange, by hand, or takes them again and is out no more. What was known
    /// of it is forgotten.
    pub fn set_drained(&mut self, server: usize, drained: bool) -> bool {
        self.alter(server, !drained, |watched| watched.drained = drained)
    }

    fn alter(&mut self, server: usize, is_back: bool, change: impl Fn(&mut Watched)) -> bool {
        let Some(watched) = self.servers.get_mut(server) else { return false };
        let was_in = watched.is_in();
        change(watched);
        watched.forget();
        self.inside = self.inside + usize::from(watched.is_in()) - usize::from(was_in);
        let changed = is_back && watched.until.is_some();
        if changed {
            self.restore(server, None);
        }
        changed
    }

    /// Every server that active checks do not hold for dead is back: for when all others are dead,
    /// since an ejection is a suspicion only.
    pub fn pardon(&mut self, now: Instant) -> bool {
        let before = self.ejected;
        let pardoned = self.out.numbers().filter(|server| {
            let watched = self.servers.get(*server);
            watched.is_some_and(|watched| watched.healthy && !watched.drained)
        });
        for server in pardoned.collect::<Vec<_>>() {
            self.restore(server, Some(now));
        }
        self.ejected != before
    }

    /// Brings back whose time is over, and looks at what the interval has counted when that is.
    pub fn advance(&mut self, now: Instant) -> bool {
        let mut changed = false;
        while let Some((until, server)) = self.out.first().filter(|(until, _)| *until <= now) {
            self.restore(server, Some(until));
            changed = true;
        }
        if self.interval_end.is_some_and(|end| end <= now) {
            changed |= self.judge(now);
            self.interval_end = None;
            for at in 0..self.seen.len() {
                let seen = self.seen.get(at).and_then(|server| self.servers.get_mut(server));
                seen.into_iter().for_each(|watched| watched.window = Window::default());
            }
            self.seen.drain_into(&mut Vec::new());
        }
        changed
    }

    /// Looks at the interval, the worst servers first, as only so many can be taken out.
    fn judge(&mut self, now: Instant) -> bool {
        let before = self.ejected;
        let (limit, least) = (self.options.error_rate, self.options.min_requests.max(1));
        let failing = self.worst(|window| {
            let rate = window.error_rate();
            (limit > 0.0 && window.requests >= least && rate >= limit).then_some(rate)
        });
        self.eject_all(failing, Reason::ErrorRate, now);
        if let Some(limit) = self.slowness_limit() {
            let slow = self.worst(|window| {
                let mean = window.mean();
                (window.timed >= least && mean > limit).then_some(mean)
            });
            self.eject_all(slow, Reason::Latency, now);
        }
        self.ejected > before
    }

    /// The servers of which the interval says something bad, the worst first.
    fn worst(&self, badness: impl Fn(&Window) -> Option<f64>) -> Vec<usize> {
        let all = self.seen.iter().filter_map(|server| {
            let watched = self.servers.get(server).filter(|watched| watched.is_in())?;
            Some((badness(&watched.window)?, server))
        });
        let mut all: Vec<(f64, usize)> = all.collect();
        all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        all.into_iter().map(|(_, server)| server).collect()
    }

    fn eject_all(&mut self, servers: Vec<usize>, reason: Reason, now: Instant) {
        for server in servers {
            if !self.eject(server, reason, now) {
                break;
            }
        }
    }

    /// The mean latency above which a server is an outlier, in seconds. A single server has none to
    /// be compared with.
    fn slowness_limit(&mut self) -> Option<f64> {
        let Self { options, servers, seen, means, .. } = self;
        let (factor, least) = (options.latency_factor, options.min_requests.max(1));
        let known = seen.iter().filter_map(|server| servers.get(server));
        let known = known.filter(|watched| watched.is_in() && watched.window.timed >= least);
        means.clear();
        means.extend(known.map(|watched| watched.window.mean()));
        means.sort_unstable_by(f64::total_cmp);
        let count = means.len();
        if count < 2 || factor.is_nan() || factor <= 0.0 {
            return None;
        }
        let upper = *means.get(count / 2)?;
        let lower = *means.get((count - 1) / 2)?;
        Some(f64::midpoint(lower, upper) * factor)
    }

    /// Takes a server out, if that leaves enough others.
    fn eject(&mut self, server: usize, reason: Reason, now: Instant) -> bool {
        let Some(watched) = self.servers.get_mut(server).filter(|watched| watched.is_in()) else {
            return false;
        };
        if self.ejected >= self.out_max || self.inside < 2 {
            self.counters.held_back += 1;
            return false;
        }
        let in_row = watched
            .returned
            .is_some_and(|back| now.saturating_duration_since(back) <= watched.lasted);
        watched.times = if in_row { (watched.times + 1).min(TIMES_MAX) } else { 1 };
        let time = self.options.time.saturating_mul(watched.times);
        watched.lasted = time;
        watched.until = Some(now + time);
        watched.forget();
        watched.on_probation = reason == Reason::ConnectFailures;
        watched.reason = Some(reason);
        self.out.set(server, now + time);
        self.changed.put(server, true);
        self.ejected += 1;
        self.inside -= 1;
        self.counters.ejected[reason.index()] += 1;
        self.note(Event::Ejected { server, reason, time });
        true
    }

    /// Takes a server back. Without a time its next ejection is the first of a row.
    fn restore(&mut self, server: usize, returned: Option<Instant>) {
        if let Some(watched) = self.servers.get_mut(server) {
            watched.until = None;
            watched.returned = returned;
            self.out.remove(server);
            self.changed.put(server, true);
            self.ejected -= 1;
            self.inside += usize::from(watched.is_in());
            self.note(Event::Returned { server });
        }
    }

    fn note(&mut self, event: Event) {
        if self.events.len() >= self.servers.len() * EVENTS_PER_SERVER {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

/// How many of so many servers may be out.
#[expect(clippy::cast_possible_truncation, reason = "at most the number of servers")]
#[expect(clippy::cast_sign_loss, reason = "not below 0 after the clamp")]
fn most_out(share: f64, servers: usize) -> usize {
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    // What is a whole number in decimal may be a little less in binary.
    let most = (share * servers as f64 + 1e-9).floor() as usize;
    most.min(servers.saturating_sub(1))
}

#[cfg(test)]
mod tests;
