//! What is counted of HTTP: requests by route and status, refusals, exchanges with servers.

use std::sync::OnceLock;

use crate::proto::http1::Refusal;
use crate::runtime::{Counter, Gauge};
use crate::service::cluster::attempts::{RetryCounters, Stop};
use crate::service::cluster::breaker::Refused;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::{CloseCause, PoolCounters, PoolGauges};

/// One listener's requests.
#[derive(Debug, Default)]
pub struct HttpStats {
    /// By route, in their order; the last one stands for requests that no route takes.
    routes: Box<[OnceLock<Box<RouteStats>>]>,
    /// Requests that break a rule, in the order of [`Refusal::NAMES`].
    pub refused: [Counter; Refusal::NAMES.len()],
    /// Fields of requests that were dropped for the underscores in their names.
    pub fields_dropped: Counter,
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
}

impl HttpStats {
    /// All at zero, for so many routes.
    #[must_use]
    pub fn new(routes: usize) -> Self {
        let routes = (0..=routes).map(|_| OnceLock::new()).collect();
        Self { routes, ..Self::default() }
    }

    /// A request breaks a rule.
    pub fn refuse(&self, refusal: Refusal) {
        if let Some(counter) = self.refused.get(refusal.index()) {
            counter.add(1);
        }
    }

    /// The counters of a route, or of the requests that no route takes, to be counted in. They take
    /// memory from the first request on.
    #[must_use]
    pub fn route(&self, route: Option<usize>) -> Option<&RouteStats> {
        let counters = match route {
            Some(route) => self.routes.get(route),
            None => self.routes.last(),
        };
        counters.map(|counters| &**counters.get_or_init(Box::default))
    }

    /// The counters of a route that has had requests. The number behind the last route stands for
    /// requests that no route takes.
    #[must_use]
    pub fn used_route(&self, route: usize) -> Option<&RouteStats> {
        self.routes.get(route)?.get().map(|counters| &**counters)
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
    /// By server.
    pub servers: Box<[ServerStats]>,
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

impl OriginStats {
    /// All at zero, for so many servers.
    #[must_use]
    pub fn new(servers: usize) -> Self {
        let servers = (0..servers).map(|_| ServerStats::default()).collect();
        Self { servers, ..Self::default() }
    }

    /// An exchange has failed.
    pub fn fail(&self, failure: Failure) {
        if let Some(counter) = self.failed.get(failure.index()) {
            counter.add(1);
        }
    }

    /// Shows how the pools are.
    pub(super) fn publish(
        &self,
        gauges: PoolGauges,
        counters: &PoolCounters,
        retries: RetryCounters,
    ) {
        self.idle.set(gauges.idle.into());
        self.in_use.set(gauges.in_use.into());
        self.opening.set(gauges.opening.into());
        self.waiting.set(gauges.waiting.into());
        self.created.set(counters.created);
        self.reused.set(counters.reused);
        for (counter, count) in self.closed.iter().zip(counters.closed) {
            counter.set(count);
        }
        for (counter, count) in self.stopped.iter().zip(retries.stopped) {
            counter.set(count);
        }
    }
}
