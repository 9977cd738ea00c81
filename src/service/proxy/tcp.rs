//! The TCP proxy's life of one connection, as a machine without sockets.
//!
//! ```text
//!         Accepted
//!   New ──────────> Connecting ──ConnectFailed──┐
//!                    │   ^   tries left: next server
//!          Connected │   └──────────────────────┤
//!                    v                          │ none left
//!                 Relaying ──────────────────> Closed
//!                            Finished, Reset, Deadline
//! ```
//!
//! Calling order: [`TcpExchange::handle`] with [`Event::Accepted`] first, then with whatever the
//! last [`Action`] led to, until it answers [`Action::Close`]; after that every event is answered
//! by [`Action::Wait`].

use std::time::Instant;

use super::super::CloseReason;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::servers::{Ended, ServerOutcome};
use crate::service::cluster::{Cluster, failed};

/// Servers that one connection tries at most.
const TRIES_MAX: usize = 64;

/// What happened to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It was accepted, and what is before the proxied bytes was read.
    Accepted,
    /// The upstream connection stands.
    Connected,
    /// The upstream connection does not stand.
    ConnectFailed(ConnectFailure),
    /// The time of the present state is over.
    Deadline,
    /// Both directions have ended.
    Finished,
    /// The client's side broke.
    ClientReset,
    /// The upstream's side broke.
    UpstreamReset,
}

/// Why an upstream connection does not stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectFailure {
    /// The server answered with a reset: nothing listens there.
    Refused,
    /// No route, or the network says that the server cannot be reached.
    Unreachable,
    /// No answer within the connect timeout.
    TimedOut,
    /// Descriptors or memory ran out on our side: another server would not help.
    Resources,
    /// There is no address or port here from which to connect to it.
    NoAddress,
    /// TLS failed: the server's certificate, or the handshake.
    Tls,
    /// Something else.
    Other,
}

impl ConnectFailure {
    /// Every failure, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Unreachable,
        Self::TimedOut,
        Self::Resources,
        Self::NoAddress,
        Self::Tls,
        Self::Other,
    ];

    /// Whether it is this machine's fault, and not the server's.
    #[must_use]
    pub const fn is_local(self) -> bool {
        matches!(self, Self::Resources | Self::NoAddress)
    }

    /// What it is to the servers of an upstream.
    #[must_use]
    pub const fn failure(self) -> Failure {
        match self {
            Self::Refused => Failure::ConnectRefused,
            Self::Unreachable => Failure::ConnectUnreachable,
            Self::TimedOut => Failure::ConnectTimeout,
            Self::Resources => Failure::Resources,
            Self::NoAddress => Failure::ConnectNoAddress,
            Self::Tls => Failure::ConnectTls,
            Self::Other => Failure::ConnectOther,
        }
    }

    /// The label of the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timeout",
            Self::Resources => "resources",
            Self::NoAddress => "no_address",
            Self::Tls => "tls",
            Self::Other => "other",
        }
    }
}

/// Whether both sides of a connection that ends for this reason must see that it was cut. Between
/// two peers only they can say that all was said, so an end of ours is never one of theirs.
#[must_use]
pub const fn is_cut(reason: CloseReason) -> bool {
    reason.is_cut() || matches!(reason, CloseReason::IdleTimeout | CloseReason::ShutdownTimeout)
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Connect to the server of this number, within the connect timeout.
    Connect {
        /// Its number in the upstream.
        server: usize,
    },
    /// Move bytes both ways until both sides have ended.
    Relay,
    /// End the connection.
    Close(CloseReason),
    /// Nothing.
    Wait,
}

/// One proxied connection.
#[derive(Debug)]
pub struct TcpExchange {
    state: State,
    /// Further tries after one that took the whole connect timeout. What fails at once costs nobody
    /// time, and goes on to every other server.
    retries_left: u32,
    /// Whether another server may be tried at all.
    fails_over: bool,
    /// Servers that failed; allocates with the first failure.
    tried: Vec<usize>,
    /// The hash of the client's address, for upstreams that go by it.
    client: Option<u64>,
    /// It counts among what is under way to the upstream.
    has_entered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Connecting { server: usize, since: Instant },
    Relaying { server: usize },
    Closed,
}

impl TcpExchange {
    /// A connection that goes to `server` already: it was chosen, and stands.
    #[must_use]
    pub fn relaying(server: usize, cluster: &mut Cluster) -> Self {
        cluster.servers.hold(server);
        Self { state: State::Relaying { server }, ..Self::new(0) }
    }

    /// A connection that may wait for `retries` further servers. Servers that fail at once do not
    /// count, unless `retries` is 0: then there is one try.
    #[must_use]
    pub const fn new(retries: u32) -> Self {
        Self {
            state: State::New,
            retries_left: retries,
            fails_over: retries > 0,
            tried: Vec::new(),
            client: None,
            has_entered: false,
        }
    }

    /// Whose connection it is, for upstreams that go by the hash of the client's address.
    pub const fn set_client(&mut self, hash: u64) {
        self.client = Some(hash);
    }

    /// The server that the connection goes to or is being made to.
    #[must_use]
    pub const fn server(&self) -> Option<usize> {
        match self.state {
            State::Connecting { server, .. } | State::Relaying { server } => Some(server),
            State::New | State::Closed => None,
        }
    }

    /// Whether bytes are being moved.
    #[must_use]
    pub const fn is_relaying(&self) -> bool {
        matches!(self.state, State::Relaying { .. })
    }

    /// How many servers have failed.
    #[must_use]
    pub const fn failures(&self) -> usize {
        self.tried.len()
    }

    /// Takes an event and says what to do.
    pub fn handle(&mut self, event: Event, cluster: &mut Cluster, now: Instant) -> Action {
        use CloseReason as Reason;
        match (self.state, event) {
            (State::New, Event::Accepted) => {
                if cluster.breaker.try_enter().is_err() {
                    return self.close(Reason::UpstreamOverloaded, cluster);
                }
                self.has_entered = true;
                self.connect(Reason::ConnectFailed, cluster, now)
            }
            (State::Connecting { server, since }, Event::Connected) => {
                let latency = Some(now.saturating_duration_since(since));
                cluster.servers.judge(server, ServerOutcome { ended: Ended::Stood, latency }, now);
                self.state = State::Relaying { server };
                Action::Relay
            }
            (State::Connecting { server, .. }, Event::ConnectFailed(failure)) => {
                self.try_next(server, failure, cluster, now)
            }
            (State::Relaying { .. }, Event::Deadline) => self.close(Reason::IdleTimeout, cluster),
            (State::Relaying { .. }, Event::Finished) => self.close(Reason::Finished, cluster),
            (State::Relaying { .. } | State::Connecting { .. }, reset) => match reset {
                Event::ClientReset => self.close(Reason::ClientReset, cluster),
                Event::UpstreamReset => self.close(Reason::UpstreamReset, cluster),
                Event::Accepted
                | Event::Connected
                | Event::ConnectFailed(_)
                | Event::Deadline
                | Event::Finished => Action::Wait,
            },
            (State::New | State::Closed, _) => Action::Wait,
        }
    }

    /// The connection ends for a reason from outside (a shutdown, a shortage).
    pub fn handle_close(&mut self, cluster: &mut Cluster) {
        if let Some(server) = self.server() {
            cluster.servers.leave(server);
        }
        if std::mem::take(&mut self.has_entered) {
            cluster.breaker.leave();
        }
        self.state = State::Closed;
    }

    /// A server could not be connected to: another one is tried, if that may be.
    fn try_next(
        &mut self,
        server: usize,
        failure: ConnectFailure,
        cluster: &mut Cluster,
        now: Instant,
    ) -> Action {
        use CloseReason as Reason;
        cluster.servers.done(server, failed(failure.failure()), now);
        self.state = State::New;
        self.tried.push(server);
        if failure == ConnectFailure::Resources {
            // It is ours, and says nothing of the server.
            return self.close(Reason::Resources, cluster);
        }
        let is_slow = failure == ConnectFailure::TimedOut;
        let reason = if is_slow { Reason::ConnectTimeout } else { Reason::ConnectFailed };
        let is_last = !self.fails_over || self.tried.len() >= TRIES_MAX;
        if is_last || (is_slow && self.retries_left == 0) {
            return self.close(reason, cluster);
        }
        self.retries_left -= u32::from(is_slow);
        self.connect(reason, cluster, now)
    }

    fn connect(&mut self, otherwise: CloseReason, cluster: &mut Cluster, now: Instant) -> Action {
        match cluster.servers.pick_any(self.client, &self.tried, now) {
            Some(server) => {
                self.state = State::Connecting { server, since: now };
                Action::Connect { server }
            }
            None => self.close(otherwise, cluster),
        }
    }

    fn close(&mut self, reason: CloseReason, cluster: &mut Cluster) -> Action {
        self.handle_close(cluster);
        Action::Close(reason)
    }
}

#[cfg(test)]
#[expect(clippy::wildcard_enum_match_arm, reason = "the table names what matters")]
mod tests {
    use super::*;
    use crate::service::cluster::ClusterOptions;
    use crate::service::cluster::servers::Policy;

    fn of(policy: Policy, count: usize) -> Cluster {
        let names = (0..count).map(|server| format!("192.0.2.{server}:80"));
        Cluster::new(&ClusterOptions::plain(policy, names), (0, 1), 7, now())
    }

    fn active(cluster: &Cluster) -> Vec<u32> {
        let all = 0..cluster.servers.len();
        all.map(|server| cluster.servers.view(server, now()).unwrap().active).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "an origin to count from")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn servers_that_refuse_are_all_tried_and_then_passed_over() {
        let mut cluster = of(Policy::RoundRobin, 5);
        let (begin, failed) = (now(), Event::ConnectFailed(ConnectFailure::Refused));
        for retries in [1, 0] {
            let mut exchange = TcpExchange::new(retries);
            let mut tries = 0;
            let mut action = exchange.handle(Event::Accepted, &mut cluster, begin);
            while let Action::Connect { server } = action {
                tries += 1;
                let event = if server == 4 { Event::Connected } else { failed };
                action = exchange.handle(event, &mut cluster, begin);
            }
            assert_eq!(tries, if retries == 0 { 1 } else { 5 });
            exchange.handle_close(&mut cluster);
        }
        for _ in 0..3 {
            let mut exchange = TcpExchange::new(1);
            let mut action = exchange.handle(Event::Accepted, &mut cluster, begin);
            while let Action::Connect { server } = action {
                let event = if server == 4 { Event::Connected } else { failed };
                action = exchange.handle(event, &mut cluster, begin);
            }
        }
        let mut exchange = TcpExchange::new(1);
        let first = exchange.handle(Event::Accepted, &mut cluster, begin);
        assert_eq!(first, Action::Connect { server: 4 }, "the others are passed over");
    }

    #[test]
    fn a_want_of_ours_is_held_against_no_server() {
        let mut cluster = of(Policy::RoundRobin, 2);
        for _ in 0..10 {
            let mut exchange = TcpExchange::new(5);
            exchange.handle(Event::Accepted, &mut cluster, now());
            let shortage = Event::ConnectFailed(ConnectFailure::Resources);
            let action = exchange.handle(shortage, &mut cluster, now());
            assert_eq!(action, Action::Close(CloseReason::Resources));
            // Without an address for one server, another may do.
            let mut exchange = TcpExchange::new(5);
            exchange.handle(Event::Accepted, &mut cluster, now());
            let no_address = Event::ConnectFailed(ConnectFailure::NoAddress);
            let action = exchange.handle(no_address, &mut cluster, now());
            assert!(matches!(action, Action::Connect { .. }), "{action:?}");
            exchange.handle(Event::ClientReset, &mut cluster, now());
        }
        assert_eq!(cluster.servers.next_event(), None);
    }

    const EVENTS: [Event; 11] = [
        Event::Accepted,
        Event::Connected,
        Event::ConnectFailed(ConnectFailure::Refused),
        Event::ConnectFailed(ConnectFailure::Unreachable),
        Event::ConnectFailed(ConnectFailure::TimedOut),
        Event::ConnectFailed(ConnectFailure::Resources),
        Event::ConnectFailed(ConnectFailure::Other),
        Event::Deadline,
        Event::Finished,
        Event::ClientReset,
        Event::UpstreamReset,
    ];

    /// An exchange in a state, with one further server to try.
    fn in_state(state: State) -> (TcpExchange, Cluster) {
        let mut cluster = of(Policy::RoundRobin, 2);
        let exchange = TcpExchange { state, ..TcpExchange::new(1) };
        if exchange.server().is_some() {
            assert_eq!(cluster.servers.pick(None, &[], now()), Some(0));
        }
        (exchange, cluster)
    }

    /// Every (state, event) pair, and what it leads to.
    #[test]
    fn the_whole_table() {
        use Action::{Close, Connect, Relay, Wait};
        use CloseReason as R;
        let closing = |reset| match reset {
            Event::ClientReset => Close(R::ClientReset),
            Event::UpstreamReset => Close(R::UpstreamReset),
            _ => Wait,
        };
        for event in EVENTS {
            let expected = [
                (
                    State::New,
                    match event {
                        Event::Accepted => Connect { server: 0 },
                        _ => Wait,
                    },
                ),
                (
                    State::Connecting { server: 0, since: now() },
                    match event {
                        Event::Connected => Relay,
                        Event::ConnectFailed(ConnectFailure::Resources) => Close(R::Resources),
                        Event::ConnectFailed(_) => Connect { server: 1 },
                        other => closing(other),
                    },
                ),
                (
                    State::Relaying { server: 0 },
                    match event {
                        Event::Deadline => Close(R::IdleTimeout),
                        Event::Finished => Close(R::Finished),
                        other => closing(other),
                    },
                ),
                (State::Closed, Wait),
            ];
            for (state, action) in expected {
                let (mut exchange, mut cluster) = in_state(state);
                let got = exchange.handle(event, &mut cluster, now());
                assert_eq!(got, action, "{state:?} {event:?}");
                if matches!(got, Close(_)) {
                    assert_eq!(exchange.state, State::Closed);
                    assert_eq!(active(&cluster), [0, 0], "released: {state:?} {event:?}");
                }
            }
        }
    }

    #[test]
    fn servers_are_tried_until_the_retries_are_used_up() {
        let mut cluster = of(Policy::LeastRequests, 5);
        let mut exchange = TcpExchange::new(2);
        let mut action = exchange.handle(Event::Accepted, &mut cluster, now());
        let mut tried = Vec::new();
        while let Action::Connect { server } = action {
            tried.push(server);
            let failed = Event::ConnectFailed(ConnectFailure::TimedOut);
            action = exchange.handle(failed, &mut cluster, now());
        }
        assert_eq!(tried, [0, 1, 2]);
        assert_eq!(action, Action::Close(CloseReason::ConnectTimeout));
        assert_eq!(exchange.failures(), 3);
        assert_eq!(active(&cluster), [0; 5]);
    }

    #[test]
    fn what_we_end_ourselves_is_cut() {
        let cut = |reason| !matches!(reason, CloseReason::Finished | CloseReason::ConnectFailed);
        for reason in [
            CloseReason::Finished,
            CloseReason::ConnectFailed,
            CloseReason::IdleTimeout,
            CloseReason::ShutdownTimeout,
            CloseReason::ClientReset,
            CloseReason::UpstreamReset,
            CloseReason::TlsFailed,
        ] {
            assert_eq!(is_cut(reason), cut(reason), "{reason:?}");
        }
    }

    #[test]
    fn no_server_is_tried_twice() {
        let mut cluster = of(Policy::RoundRobin, 1);
        let mut exchange = TcpExchange::new(5);
        exchange.handle(Event::Accepted, &mut cluster, now());
        let failed = Event::ConnectFailed(ConnectFailure::Refused);
        let action = exchange.handle(failed, &mut cluster, now());
        assert_eq!(action, Action::Close(CloseReason::ConnectFailed));
    }

    #[test]
    fn beyond_the_upstreams_limit_connections_are_closed_and_those_that_end_make_room() {
        use crate::service::cluster::breaker::{Limits, Refused};
        let mut cluster = of(Policy::RoundRobin, 2);
        cluster.breaker.set_limits(Limits { in_flight: Some(1), ..Limits::default() });
        let taken = |cluster: &Cluster| cluster.breaker.taken()[Refused::InFlight.index()];
        let mut first = TcpExchange::new(1);
        let action = first.handle(Event::Accepted, &mut cluster, now());
        assert_eq!(action, Action::Connect { server: 0 });
        let mut second = TcpExchange::new(1);
        let refused = Action::Close(CloseReason::UpstreamOverloaded);
        assert_eq!(second.handle(Event::Accepted, &mut cluster, now()), refused);
        second.handle_close(&mut cluster);
        assert_eq!((taken(&cluster), cluster.breaker.refused()[0]), (1, 1));
        let failed = Event::ConnectFailed(ConnectFailure::Refused);
        first.handle(failed, &mut cluster, now());
        assert_eq!(taken(&cluster), 1, "it counts as long as it tries");
        first.handle(failed, &mut cluster, now());
        first.handle_close(&mut cluster);
        assert_eq!(taken(&cluster), 0);
        let mut third = TcpExchange::new(1);
        let action = third.handle(Event::Accepted, &mut cluster, now());
        assert!(matches!(action, Action::Connect { .. }), "{action:?}");
    }

    #[test]
    fn ewma_goes_by_how_long_connects_take() {
        use std::time::Duration;
        let (mut cluster, mut now) = (of(Policy::Ewma, 2), now());
        let mut counts = [0; 2];
        for _ in 0..200 {
            let mut exchange = TcpExchange::new(1);
            let action = exchange.handle(Event::Accepted, &mut cluster, now);
            let Action::Connect { server } = action else { panic!("{action:?}") };
            counts[server] += 1;
            now += Duration::from_millis([1, 50][server]);
            exchange.handle(Event::Connected, &mut cluster, now);
            exchange.handle(Event::Finished, &mut cluster, now);
        }
        assert!(counts[0] > 150, "{counts:?}");
    }

    #[test]
    fn a_close_from_outside_releases_the_server() {
        let (mut exchange, mut cluster) = in_state(State::Relaying { server: 0 });
        assert!(exchange.is_relaying());
        exchange.handle_close(&mut cluster);
        assert_eq!(active(&cluster), [0, 0]);
        assert_eq!(exchange.server(), None);
    }
}
