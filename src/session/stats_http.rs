//! What is counted of HTTP: requests by route and status, refusals, exchanges with servers.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::lease::Lease;
use super::stats_websocket::SocketStats;
use crate::proto::http1::Refusal;
use crate::proto::http2::Violation;
use crate::runtime::{Counter, Gauge};
use crate::service::cluster::attempts::{RetryCounters, Stop};
use crate::service::cluster::breaker::Refused;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::{CloseCause, PoolCounters, PoolGauges};
use crate::service::proxy::http::ProxyTally;

/// One listener's requests.
#[derive(Debug, Default)]
pub struct HttpStats {
    /// Requests that no route takes.
    pub unrouted: RouteStats,
    /// Requests that break a rule, in the order of [`Refusal::NAMES`].
    pub refused: [Counter; Refusal::NAMES.len()],
    /// Fields of requests that were dropped for the underscores in their names.
    pub fields_dropped: Counter,
    /// Connections that have reached their greatest age.
    pub aged: Counter,
    /// Its connections of HTTP/2.
    pub http2: Http2Stats,
}

/// One listener's connections of HTTP/2.
#[derive(Debug)]
pub struct Http2Stats {
    /// Connections that speak it.
    pub connections: Counter,
    /// Rules that peers have broken, in the order of [`Violation::NAMES`].
    pub violations: [Counter; Violation::NAMES.len()],
    /// Requests that clients have given up.
    pub resets: Counter,
    /// Requests that were refused before anything was done for them, as there were too many.
    pub refused: Counter,
    /// Answers that their clients did not take in time.
    pub stalled: Counter,
}

/// One route's requests.
#[derive(Debug, Default)]
pub struct RouteStats {
    /// Answers by the first digit of their status: 1 to 5; 0 for requests without an answer.
    pub answers: [Counter; 6],
    /// Bytes of requests.
    pub received: Counter,
    /// Bytes of answers.
    pub sent: Counter,
    /// Files that became shorter while they were sent.
    pub files_cut: Counter,
    /// Its WebSockets, once there was one.
    sockets: OnceLock<Box<SocketStats>>,
}

impl RouteStats {
    /// What is counted of its WebSockets.
    pub fn sockets(&self) -> &SocketStats {
        self.sockets.get_or_init(Box::default)
    }

    /// The same, if there was any.
    #[must_use]
    pub fn used_sockets(&self) -> Option<&SocketStats> {
        self.sockets.get().map(|sockets| &**sockets)
    }
}

impl Default for Http2Stats {
    fn default() -> Self {
        Self {
            connections: Counter::default(),
            violations: std::array::from_fn(|_| Counter::default()),
            resets: Counter::default(),
            refused: Counter::default(),
            stalled: Counter::default(),
        }
    }
}

impl HttpStats {
    /// A request breaks a rule.
    pub fn refuse(&self, refusal: Refusal) {
        if let Some(counter) = self.refused.get(refusal.index()) {
            counter.add(1);
        }
    }
}

/// The counters of one route, which goes on with them as long as its name stays. Those of a worker
/// take memory from its first request on.
#[derive(Debug)]
pub struct RouteCounters {
    lease: Lease,
    by_worker: Box<[OnceLock<Box<RouteStats>>]>,
}

impl RouteCounters {
    /// All at zero, of so many workers. The lease has the number of the route.
    #[must_use]
    pub fn new(lease: Lease, workers: usize) -> Self {
        Self { lease, by_worker: (0..workers).map(|_| OnceLock::new()).collect() }
    }

    /// The number of the route among all of the server.
    #[must_use]
    pub fn number(&self) -> usize {
        self.lease.number()
    }

    /// Those of a worker, to be counted in.
    #[must_use]
    pub fn of(&self, worker: usize) -> Option<&RouteStats> {
        self.by_worker.get(worker).map(|counters| &**counters.get_or_init(Box::default))
    }

    /// Those of the workers on which it has had requests.
    pub fn used(&self) -> impl Iterator<Item = &RouteStats> {
        self.by_worker.iter().filter_map(|counters| counters.get().map(|counters| &**counters))
    }
}

/// Exchanges with the servers of one upstream.
#[derive(Debug, Default)]
pub struct OriginStats {
    /// Exchanges that began.
    pub begun: Counter,
    /// Exchanges that a server answered.
    pub answered: Counter,
    /// Exchanges that were tried again.
    pub retried: Counter,
    /// Exchanges for which a second server was asked, as the first was slow.
    pub hedges: Counter,
    /// Those that it answered first.
    pub hedges_won: Counter,
    /// Interim answers that went on to clients.
    pub interim: Counter,
    /// Exchanges that failed, in the order of [`Failure::ALL`].
    pub failed: [Counter; Failure::ALL.len()],
    /// Exchanges under way.
    pub active: Gauge,
    /// Exchanges, connections and flows that a limit on what is under way has refused, in the order
    /// of [`Refused::ALL`].
    pub refused: [Counter; Refused::ALL.len()],
    /// Connections that carry nothing.
    pub idle: Counter,
    /// Connections that carry an exchange.
    pub in_use: Counter,
    /// Connections that are being made.
    pub opening: Counter,
    /// Exchanges that wait for a connection.
    pub waiting: Counter,
    /// Connections that stood.
    pub created: Counter,
    /// Exchanges on a connection that had carried one before.
    pub reused: Counter,
    /// Connections that ended, in the order of [`CloseCause::ALL`].
    pub closed: [Counter; CloseCause::ALL.len()],
    /// Tries that were not followed by another one, in the order of [`Stop::ALL`].
    pub stopped: [Counter; Stop::ALL.len()],
}

/// One server of an upstream.
#[derive(Debug, Default)]
pub struct ServerStats {
    /// Exchanges, connections or flows under way.
    pub active: Counter,
    /// 1 when it is used, 0 when a check or an ejection keeps it out.
    pub usable: Counter,
    /// Times that it was ejected.
    pub ejected: Counter,
}

/// The counters of a cluster's servers, by their numbers. One of the clusters that share the other
/// counters of an upstream may have other servers, and shares the counters of those that are the
/// same.
#[derive(Debug, Default)]
pub struct ServerCounters(Box<[Arc<ServerStats>]>);

impl ServerCounters {
    /// All at zero, for so many servers.
    #[must_use]
    pub fn new(servers: usize) -> Self {
        Self((0..servers).map(|_| Arc::default()).collect())
    }

    /// For so many servers, of which some go on with the counters that they had: of each pair, the
    /// first is the number that a server has in `old`, the second the one that it has now.
    #[must_use]
    pub fn continuing(
        old: &Self,
        servers: usize,
        pairs: impl IntoIterator<Item = (usize, usize)>,
    ) -> Self {
        let mut all: Box<[Option<Arc<ServerStats>>]> = vec![None; servers].into();
        for (there, here) in pairs {
            if let (Some(one), Some(place)) = (old.get(there), all.get_mut(here)) {
                *place = Some(Arc::clone(one));
            }
        }
        Self(all.into_iter().map(Option::unwrap_or_default).collect())
    }
}

impl Deref for ServerCounters {
    type Target = [Arc<ServerStats>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// What a cluster comes to, as far as it is shown by [`OriginStats`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ClusterSums {
    pub(super) gauges: PoolGauges,
    pub(super) counters: PoolCounters,
    pub(super) retries: RetryCounters,
    pub(super) refused: [u64; Refused::ALL.len()],
}

/// Puts what is now in the place of what was before, counter by counter.
pub(super) fn replace_all<const N: usize>(counters: &[Counter; N], was: &[u64; N], is: &[u64; N]) {
    for (counter, (was, is)) in counters.iter().zip(was.iter().zip(is)) {
        counter.replace(*was, *is);
    }
}

/// The same for the gauges of pools: idle, in use, opening, waiting.
pub(super) fn replace_gauges(shown: [&Counter; 4], was: PoolGauges, is: PoolGauges) {
    let all = |of: PoolGauges| [of.idle, of.in_use, of.opening, of.waiting].map(u64::from);
    for (gauge, (was, is)) in shown.into_iter().zip(all(was).into_iter().zip(all(is))) {
        gauge.replace(was, is);
    }
}

impl OriginStats {
    /// An exchange has failed.
    pub fn fail(&self, failure: Failure) {
        if let Some(counter) = self.failed.get(failure.index()) {
            counter.add(1);
        }
    }

    /// Shows how a cluster is, in the place of how it was when it was shown before.
    pub(super) fn replace(&self, was: &ClusterSums, is: &ClusterSums) {
        let gauges = [&self.idle, &self.in_use, &self.opening, &self.waiting];
        replace_gauges(gauges, was.gauges, is.gauges);
        self.created.replace(was.counters.created, is.counters.created);
        self.reused.replace(was.counters.reused, is.counters.reused);
        replace_all(&self.closed, &was.counters.closed, &is.counters.closed);
        replace_all(&self.stopped, &was.retries.stopped, &is.retries.stopped);
        replace_all(&self.refused, &was.refused, &is.refused);
    }

    /// Shows what was counted of a cluster's exchanges, as [`OriginStats::replace`] does.
    pub(super) fn replace_tally(&self, was: &ProxyTally, is: &ProxyTally) {
        self.retried.replace(was.retried, is.retried);
        self.begun.replace(was.begun, is.begun);
        self.answered.replace(was.answered, is.answered);
        self.hedges.replace(was.hedges, is.hedges);
        self.hedges_won.replace(was.hedges_won, is.hedges_won);
        self.interim.replace(was.interim, is.interim);
        replace_all(&self.failed, &was.failed, &is.failed);
    }
}
