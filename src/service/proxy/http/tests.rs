#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

mod inspect;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::proto::http::{Known, Version};
use crate::service::cluster::attempts::{AttemptOptions, RetryOn, StatusSet};
use crate::service::cluster::breaker::Limits;
use crate::service::cluster::pool::{CloseCause, PoolOptions};
use crate::service::cluster::servers::{Policy, ServerOptions, ServersOptions};
use crate::service::cluster::{Cluster, ClusterOptions, HostHeader, ServerProtocol};
use crate::service::grpc::CodeSet;

const SECOND: Duration = Duration::from_secs(1);
const CLIENT: Key = Key::new(7, 0);

fn options(servers: usize) -> ClusterOptions {
    let mut statuses = StatusSet::default();
    assert!(statuses.insert(503));
    let server = |id| ServerOptions { weight: 1, priority: 0, id };
    ClusterOptions {
        policy: ServersOptions {
            policy: Policy::RoundRobin,
            slow_start: None,
            panic_ratio: 0.0,
            eject: None,
        },
        servers: (0..servers as u64).map(server).collect(),
        hash_on: None,
        pool: PoolOptions {
            min_idle: 0,
            capacity: 1,
            spread_at: 1,
            idle_timeout: 60 * SECOND,
            max_age: None,
            queue_max: 10,
            queue_timeout: 2 * SECOND,
        },
        connections_max: 10,
        attempts: AttemptOptions {
            retries_max: 3,
            on: RetryOn { connect: true, reset: true, timeout: true },
            statuses,
            codes: CodeSet::default(),
            backoff: Duration::ZERO,
            backoff_max: Duration::ZERO,
            deadline: None,
            budget: 1.0,
        },
        retry_body_max: 100,
        breaker: Limits::default(),
        try_timeout: None,
        hedge_after: None,
        hedge_calls: false,
        first_byte_timeout: SECOND,
        idle_timeout: SECOND,
        protocol: ServerProtocol::Auto,
        streams_max: 128,
        host: HostHeader::Pass,
        names: (0..servers).map(|server| format!("server-{server}").into()).collect(),
    }
}

/// The method of a call of gRPC, in these tests.
const CALL: &[u8] = b"CALL";

/// A session without sockets: it does what the proxy asks for.
struct Rig {
    proxy: HttpProxy,
    /// Who asks, on which stream.
    client: (Key, u32),
    clusters: Clusters,
    now: Instant,
    /// Connections that stand: their servers, and what they carry.
    connections: BTreeMap<Key, (usize, Option<Key>)>,
    /// Connects that are under way, by server.
    connecting: Vec<usize>,
    /// The same, for one exchange alone.
    connecting_alone: Vec<(usize, Key)>,
    armed: BTreeMap<Key, Instant>,
    watched: Option<Instant>,
    /// Connections that were woken, closed or cancelled.
    woken: Vec<Key>,
    closed: Vec<Key>,
    /// What was written of bodies when exchanges began on connections.
    sent: BTreeMap<Key, Vec<u8>>,
    last: u32,
}

impl Rig {
    fn new(options: &ClusterOptions) -> Self {
        let now = Instant::now();
        Self {
            proxy: HttpProxy::new(1),
            client: (CLIENT, 0),
            clusters: Clusters::new(vec![Some(Cluster::new(options, (0, 1), 1, now))]),
            now,
            connections: BTreeMap::new(),
            connecting: Vec::new(),
            connecting_alone: Vec::new(),
            armed: BTreeMap::new(),
            watched: None,
            woken: Vec::new(),
            closed: Vec::new(),
            sent: BTreeMap::new(),
            last: 100,
        }
    }

    fn begin(&mut self, method: &[u8], size: BodySize) -> Key {
        self.begin_until(method, size, None)
    }

    fn begin_until(&mut self, method: &[u8], size: BodySize, until: Option<Instant>) -> Key {
        self.begin_on(0, method, size, until).unwrap()
    }

    fn try_begin(&mut self, cluster: usize) -> Option<Key> {
        self.begin_on(cluster, b"GET", BodySize::None, None)
    }

    fn begin_on(
        &mut self,
        cluster: usize,
        method: &[u8],
        size: BodySize,
        until: Option<Instant>,
    ) -> Option<Key> {
        let mut head = Box::<RequestHead>::default();
        let mut record = RequestRecord::new(self.now, None, Some(0), 20);
        if method == CALL {
            record.call = crate::service::http::record::Call::Open;
            head.set_method(b"POST");
        } else {
            head.set_method(method);
        }
        head.set_path("/");
        self.begin_with(cluster, head, record, size, until)
    }

    /// A request for a WebSocket, by a client that speaks this version.
    fn ask_for_websocket(&mut self, version: Version) -> Key {
        let mut head = Box::<RequestHead>::default();
        head.set_method(b"GET");
        head.set_path("/");
        head.version = version;
        head.fields.push(b"upgrade", b"websocket");
        head.fields.push(b"sec-websocket-version", b"13");
        let size = match version {
            Version::Http2 => BodySize::Unknown,
            Version::Http10 | Version::Http11 => {
                head.fields.push(b"sec-websocket-key", KEY);
                BodySize::None
            }
        };
        let record = RequestRecord::new(self.now, None, Some(0), 20);
        self.begin_with(0, head, record, size, Some(self.now + 30 * SECOND)).unwrap()
    }

    fn begin_with(
        &mut self,
        cluster: usize,
        mut head: Box<RequestHead>,
        record: RequestRecord,
        size: BodySize,
        until: Option<Instant>,
    ) -> Option<Key> {
        let upgrade = head.fields.has(Known::Upgrade);
        let random = || *b"the sample nonce";
        let websocket = WebSocket::of(&mut head, (upgrade, false), random, 10 * SECOND);
        let (path, closes, body) = (None, false, Default::default());
        let new = NewExchange {
            client: self.client,
            cluster,
            request: ForwardedRequest { head, path, size, upgrade, websocket, closes, body },
            record,
            hash: None,
            until,
        };
        let key = self.proxy.insert(new, &mut self.clusters, self.now).ok()?;
        self.proxy.start(key, &mut self.clusters, self.now);
        self.settle();
        Some(key)
    }

    /// Does what the proxy asks for, until it asks for nothing.
    fn settle(&mut self) {
        let mut actions = Vec::new();
        loop {
            self.proxy.hold(self.now);
            let waiting = self.proxy.check(&self.clusters);
            assert_eq!(self.proxy.budget().used(), waiting, "nothing else is counted");
            self.proxy.take_actions(&mut actions);
            if actions.is_empty() {
                return;
            }
            for action in actions.drain(..) {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: ProxyAction) {
        match action {
            ProxyAction::Connect { server, .. } => self.connecting.push(server),
            ProxyAction::ConnectAlone { server, exchange, .. } => {
                self.connecting_alone.push((server, exchange));
            }
            ProxyAction::Send { connection, exchange } => {
                match self.connections.get_mut(&connection) {
                    Some((_, carried)) => {
                        assert_eq!(*carried, None, "one exchange after the other");
                        *carried = Some(exchange);
                        if let Some(one) = self.proxy.get_mut(exchange) {
                            one.note_sent();
                            let sent = self.sent.entry(connection).or_default();
                            while let Some(part) = one.take_request_part(connection, 100) {
                                sent.extend_from_slice(&part);
                            }
                        }
                        self.proxy.request_taken(exchange);
                    }
                    None => self.lose((exchange, connection), Failure::StaleConnection, true),
                }
            }
            ProxyAction::Cancel { connection, .. } | ProxyAction::Close { connection } => {
                self.closed.push(connection);
                if let Some((server, _)) = self.connections.remove(&connection) {
                    let cause = CloseCause::Retired;
                    let (clusters, now) = (&mut self.clusters, self.now);
                    self.proxy.connection_closed((0, server), connection, cause, clusters, now);
                }
            }
            ProxyAction::WakeClient { connection, .. }
            | ProxyAction::WakeServer { connection, .. } => self.woken.push(connection),
            ProxyAction::Arm { exchange, at } => {
                self.armed.insert(exchange, at);
            }
            ProxyAction::Watch { at, .. } => self.watched = Some(at),
            ProxyAction::Report { .. } => {
                while self.clusters.get(0).servers.next_event().is_some() {}
            }
            ProxyAction::Borrow { .. } => {}
        }
    }

    fn lose(&mut self, of: (Key, Key), failure: Failure, is_kept: bool) {
        self.proxy.connection_lost(of, failure, is_kept, &mut self.clusters, self.now);
    }

    /// The oldest connect is done.
    fn connected(&mut self) -> Key {
        let server = self.connecting.remove(0);
        self.last += 1;
        let key = Key::new(self.last, 0);
        self.connections.insert(key, (server, None));
        self.proxy.connection_opened((0, server), key, &mut self.clusters, self.now);
        self.settle();
        key
    }

    fn refused(&mut self) {
        let server = self.connecting.remove(0);
        let failure = Failure::ConnectRefused;
        self.proxy.connection_failed((0, server), failure, &mut self.clusters, self.now);
        self.settle();
    }

    fn head(&mut self, connection: Key, status: u16) -> HeadVerdict {
        let exchange = self.connections[&connection].1.unwrap();
        let head = Box::new(ResponseHead { status, ..ResponseHead::default() });
        let of = (exchange, connection);
        let verdict = self.proxy.head_came(of, head, Some(0), &mut self.clusters, self.now);
        if let HeadVerdict::Dropped(_) = verdict {
            self.drop_connection(connection);
        }
        self.settle();
        verdict
    }

    /// The answer is all there, and the connection free.
    fn answered(&mut self, connection: Key) {
        let (server, exchange) = self.connections[&connection];
        self.proxy.answer_ended(exchange.unwrap(), None, &mut self.clusters, self.now);
        self.connections.insert(connection, (server, None));
        let is_retired = self.clusters.get(0).is_retired();
        let (clusters, now) = (&mut self.clusters, self.now);
        let stays = self.proxy.connection_released((0, server), connection, clusters, now);
        assert!(stays || is_retired);
        if !stays {
            self.closed.push(connection);
            self.connections.remove(&connection);
        }
        self.settle();
    }

    /// A connection is lost, with what it carries.
    fn reset(&mut self, connection: Key, failure: Failure) {
        let exchange = self.drop_connection(connection);
        if let Some(exchange) = exchange {
            self.lose((exchange, connection), failure, false);
        }
        self.settle();
    }

    fn drop_connection(&mut self, connection: Key) -> Option<Key> {
        let (server, exchange) = self.connections.remove(&connection).unwrap();
        let (clusters, now, cause) = (&mut self.clusters, self.now, CloseCause::Failed);
        self.proxy.connection_closed((0, server), connection, cause, clusters, now);
        exchange
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let due: Vec<Key> =
            self.armed.iter().filter(|(_, at)| **at <= self.now).map(|it| *it.0).collect();
        for exchange in due {
            self.armed.remove(&exchange);
            self.proxy.exchange_due(exchange, &mut self.clusters, self.now);
        }
        if self.watched.is_some_and(|at| at <= self.now) {
            self.watched = None;
            self.proxy.expire(0, &mut self.clusters, self.now);
        }
        self.settle();
    }

    fn reply(&mut self, exchange: Key) -> Reply {
        let one = self.proxy.get_mut(exchange).unwrap();
        let reply = one.take_reply();
        if let (Reply::Head, Some(head)) = (reply, one.answer.head.take()) {
            one.record.status = head.status;
        }
        reply
    }

    fn end(&mut self, exchange: Key) -> Ended {
        let ended = self.proxy.end(exchange, &mut self.clusters, self.now).unwrap();
        self.settle();
        ended
    }

    fn tally(&self) -> &ProxyTally {
        self.proxy.tally(0)
    }

    /// Nothing is left but idle connections.
    fn assert_idle(&mut self) {
        assert!(self.proxy.is_empty());
        assert_eq!(self.proxy.budget().used(), 0);
        let cluster = self.clusters.get(0);
        assert_eq!(cluster.breaker.taken(), [0; 3]);
        assert_eq!((cluster.gauges().waiting, cluster.gauges().in_use), (0, 0));
        for server in 0..cluster.servers.len() {
            assert_eq!(cluster.servers.view(server, self.now).unwrap().active, 0);
        }
    }
}

#[test]
fn an_exchange_gets_a_connection_and_the_next_one_the_same() {
    let mut rig = Rig::new(&options(1));
    for round in 0..2 {
        let exchange = rig.begin(b"GET", BodySize::None);
        if round == 0 {
            assert_eq!(rig.connecting, [0]);
            rig.connected();
        }
        let connection = *rig.connections.keys().next().unwrap();
        assert_eq!(rig.connections[&connection].1, Some(exchange));
        assert!(matches!(rig.head(connection, 200), HeadVerdict::Taken));
        assert_eq!(rig.reply(exchange), Reply::Head);
        rig.proxy.answer_came(exchange, Buf::copy_of(b"hello"), rig.now);
        rig.answered(connection);
        assert_eq!(rig.woken.last(), Some(&CLIENT));
        let one = rig.proxy.get_mut(exchange).unwrap();
        assert_eq!(&*one.take_answer_part().unwrap(), b"hello");
        assert!(one.answer.body.is_done());
        let ended = rig.end(exchange);
        assert_eq!((ended.record.status, ended.record.sent), (200, 5));
        assert_eq!(ended.record.upstream.server, Some((0, Some(0))));
        rig.assert_idle();
    }
    assert_eq!((rig.tally().begun, rig.tally().answered, rig.tally().retried), (2, 2, 0));
    assert_eq!(rig.clusters.get(0).counters().reused, 1);
}

#[test]
fn a_server_that_refuses_is_passed_over_and_the_last_failure_is_told() {
    let mut rig = Rig::new(&options(2));
    let exchange = rig.begin(b"POST", BodySize::Known(3));
    rig.proxy.push_body(exchange, Buf::copy_of(b"abc"), rig.now);
    rig.proxy.end_body(exchange, None);
    assert_eq!(rig.connecting, [0]);
    rig.refused();
    assert_eq!(rig.connecting, [1], "nothing was sent");
    rig.refused();
    // Only the budget of retries is left now; each try of it fails.
    while !rig.connecting.is_empty() {
        rig.refused();
    }
    assert_eq!(rig.reply(exchange), Reply::Failed(Failure::ConnectRefused));
    let tries = rig.end(exchange).record.upstream.tries;
    assert!((4..=17).contains(&tries), "{tries}");
    rig.assert_idle();
}

#[test]
fn what_may_have_been_carried_out_is_sent_again_only_if_that_does_no_harm() {
    for (method, again) in [(&b"PUT"[..], true), (b"POST", false)] {
        let mut rig = Rig::new(&options(2));
        let exchange = rig.begin(method, BodySize::Known(3));
        rig.proxy.push_body(exchange, Buf::copy_of(b"abc"), rig.now);
        rig.proxy.end_body(exchange, None);
        let first = rig.connected();
        rig.reset(first, Failure::ResetBeforeHead);
        if !again {
            assert_eq!(rig.reply(exchange), Reply::Failed(Failure::ResetBeforeHead));
            assert!(rig.connecting.is_empty());
        } else {
            assert_eq!(rig.connecting, [1]);
            let one = rig.proxy.get_mut(exchange).unwrap();
            assert_eq!(one.request.body.waiting(), 3, "the body goes out again");
            let second = rig.connected();
            assert!(matches!(rig.head(second, 204), HeadVerdict::Taken));
            rig.answered(second);
        }
        rig.end(exchange);
        rig.assert_idle();
    }
}

#[test]
fn a_body_that_was_too_long_to_be_kept_is_not_sent_again() {
    let mut rig = Rig::new(&options(2));
    let exchange = rig.begin(b"PUT", BodySize::Known(200));
    rig.proxy.push_body(exchange, Buf::copy_of(&[b'x'; 200]), rig.now);
    rig.proxy.end_body(exchange, None);
    let first = rig.connected();
    rig.reset(first, Failure::ResetBeforeHead);
    assert_eq!(rig.reply(exchange), Reply::Failed(Failure::ResetBeforeHead));
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn a_kept_connection_that_was_gone_is_made_up_for_without_a_try() {
    let mut rig = Rig::new(&options(1));
    let exchange = rig.begin(b"GET", BodySize::None);
    let first = rig.connected();
    rig.head(first, 200);
    rig.answered(first);
    rig.end(exchange);
    let exchange = rig.begin(b"GET", BodySize::None);
    rig.drop_connection(first);
    rig.lose((exchange, first), Failure::ResetBeforeHead, true);
    rig.settle();
    assert_eq!(rig.connecting, [0]);
    let second = rig.connected();
    rig.head(second, 200);
    rig.answered(second);
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn a_status_that_is_tried_again_reaches_the_client_only_from_the_last_server() {
    let mut rig = Rig::new(&options(2));
    let exchange = rig.begin(b"GET", BodySize::None);
    let first = rig.connected();
    assert!(matches!(rig.head(first, 503), HeadVerdict::Dropped(_)));
    assert_eq!(rig.reply(exchange), Reply::Nothing);
    let second = rig.connected();
    assert!(matches!(rig.head(second, 500), HeadVerdict::Taken), "500 is not asked for");
    assert_eq!(rig.reply(exchange), Reply::Head);
    rig.answered(second);
    assert_eq!(rig.end(exchange).record.upstream.tries, 2);
    rig.assert_idle();
}

#[test]
fn the_second_try_wins_or_loses_and_the_other_is_cancelled() {
    for wins in [true, false] {
        let mut rig = Rig::new(&ClusterOptions { hedge_after: Some(SECOND), ..options(2) });
        let exchange = rig.begin(b"GET", BodySize::None);
        let first = rig.connected();
        rig.pass(SECOND / 2);
        assert!(rig.connecting.is_empty());
        rig.pass(SECOND / 2);
        assert_eq!(rig.connecting, [1]);
        let second = rig.connected();
        let (winner, loser) = if wins { (second, first) } else { (first, second) };
        assert!(matches!(rig.head(winner, 200), HeadVerdict::Taken));
        assert_eq!(rig.closed, [loser]);
        rig.answered(winner);
        let server = rig.end(exchange).record.upstream.server;
        assert_eq!(server, Some((0, Some(usize::from(wins)))));
        assert_eq!((rig.tally().hedges, rig.tally().hedges_won), (1, u64::from(wins)));
        rig.assert_idle();
    }
}

#[test]
fn a_call_is_hedged_with_a_copy_of_its_body_where_that_does_no_harm() {
    let body = |rig: &mut Rig, exchange, connection| -> Vec<u8> {
        let one = rig.proxy.get_mut(exchange).unwrap();
        let mut found = Vec::new();
        while let Some(part) = one.take_request_part(connection, 100) {
            found.extend_from_slice(&part);
        }
        found
    };
    let options = ClusterOptions { hedge_after: Some(SECOND), hedge_calls: true, ..options(2) };
    for (is_whole, is_taken, hedge_calls) in
        [(true, true, true), (false, true, true), (true, false, true), (true, true, false)]
    {
        let mut rig = Rig::new(&ClusterOptions { hedge_calls, ..options.clone() });
        let exchange = rig.begin(CALL, BodySize::Unknown);
        let first = rig.connected();
        rig.proxy.push_body(exchange, Buf::copy_of(b"abc"), rig.now);
        if is_whole {
            rig.proxy.end_body(exchange, None);
        }
        if is_taken {
            assert_eq!(body(&mut rig, exchange, first), b"abc");
        }
        rig.pass(SECOND);
        // A body that has not come, or was not sent whole, cannot be sent twice.
        let is_hedged = is_whole && is_taken && hedge_calls;
        assert_eq!(rig.connecting.len(), usize::from(is_hedged), "{is_whole} {is_taken}");
        if is_hedged {
            let second = rig.connected();
            assert_eq!(rig.sent[&second], b"abc");
            assert_eq!(body(&mut rig, exchange, second), b"", "once");
            assert!(rig.proxy.get(exchange).unwrap().is_request_taken(second));
        }
    }
}

#[test]
fn when_one_of_two_tries_fails_the_other_goes_on() {
    for loses_first in [true, false] {
        let mut rig = Rig::new(&ClusterOptions { hedge_after: Some(SECOND), ..options(2) });
        let exchange = rig.begin(b"GET", BodySize::None);
        let first = rig.connected();
        rig.pass(SECOND);
        let second = rig.connected();
        let (lost, left) = if loses_first { (first, second) } else { (second, first) };
        rig.reset(lost, Failure::ResetBeforeHead);
        assert_eq!(rig.reply(exchange), Reply::Nothing);
        assert!(matches!(rig.head(left, 200), HeadVerdict::Taken));
        rig.answered(left);
        rig.end(exchange);
        rig.assert_idle();
    }
}

#[test]
fn the_time_of_all_tries_ends_an_exchange_wherever_it_is() {
    // While it connects, and while it waits for a place.
    for places in [10, 0] {
        let mut rig = Rig::new(&ClusterOptions { connections_max: places, ..options(1) });
        let until = Some(rig.now + SECOND);
        let exchange = rig.begin_until(b"GET", BodySize::None, until);
        rig.pass(SECOND - Duration::from_millis(1));
        assert_eq!(rig.reply(exchange), Reply::Nothing);
        rig.pass(Duration::from_millis(1));
        assert_eq!(rig.reply(exchange), Reply::Failed(Failure::TotalTimeout));
        rig.end(exchange);
        rig.assert_idle();
    }
}

#[test]
fn the_time_of_all_tries_is_over_with_the_servers_answer() {
    let mut rig = Rig::new(&options(1));
    let until = Some(rig.now + SECOND);
    let exchange = rig.begin_until(b"GET", BodySize::None, until);
    let connection = rig.connected();
    rig.head(connection, 200);
    rig.proxy.answer_came(exchange, Buf::copy_of(b"x"), rig.now);
    rig.answered(connection);
    rig.pass(SECOND);
    assert_eq!(rig.reply(exchange), Reply::Head, "the client is slow");
    assert_eq!(rig.tally().failed.iter().sum::<u64>(), 0);
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn a_place_in_the_queue_has_a_time_and_the_next_place_goes_to_the_oldest() {
    let mut rig = Rig::new(&ClusterOptions { connections_max: 1, ..options(1) });
    let first = rig.begin(b"GET", BodySize::None);
    let connection = rig.connected();
    let (second, third) = (rig.begin(b"GET", BodySize::None), rig.begin(b"GET", BodySize::None));
    assert!(rig.connecting.is_empty(), "there is one place");
    rig.head(connection, 200);
    rig.answered(connection);
    assert_eq!(rig.connections[&connection].1, Some(second));
    rig.end(first);
    rig.pass(2 * SECOND);
    while rig.reply(third) == Reply::Nothing {
        rig.pass(SECOND);
    }
    assert_eq!(rig.tally().failed[Failure::QueueTimeout.index()], 1);
    rig.end(third);
    rig.head(connection, 200);
    rig.answered(connection);
    rig.end(second);
    rig.assert_idle();
}

#[test]
fn a_client_that_goes_takes_its_exchange_along() {
    let mut rig = Rig::new(&options(1));
    let waiting = rig.begin(b"GET", BodySize::None);
    rig.end(waiting);
    let connection = rig.connected();
    assert_eq!(rig.connections[&connection].1, None, "nobody waits for it");
    let linked = rig.begin(b"GET", BodySize::None);
    assert_eq!(rig.connections[&connection].1, Some(linked));
    rig.end(linked);
    assert_eq!(rig.closed, [connection]);
    rig.assert_idle();
}

#[test]
fn interim_answers_pass_until_there_is_an_answer_and_commit_no_try() {
    let mut rig = Rig::new(&options(2));
    let exchange = rig.begin(b"GET", BodySize::None);
    let first = rig.connected();
    let hint = |status| Box::new(ResponseHead { status, ..ResponseHead::default() });
    let passed = rig.proxy.interim_came(exchange, hint(103));
    assert!(matches!(passed, InterimVerdict::Passed));
    let dropped = rig.proxy.interim_came(exchange, hint(100));
    assert!(matches!(dropped, InterimVerdict::Dropped(_)), "the client has had that");
    rig.reset(first, Failure::ResetBeforeHead);
    let second = rig.connected();
    rig.head(second, 200);
    let late = rig.proxy.interim_came(exchange, hint(103));
    assert!(matches!(late, InterimVerdict::Dropped(_)));
    rig.answered(second);
    assert_eq!(rig.end(exchange).answers.len(), 1);
    rig.assert_idle();
}

#[test]
fn a_switch_that_nobody_asked_for_is_refused() {
    let mut rig = Rig::new(&options(1));
    let exchange = rig.begin(b"GET", BodySize::None);
    let connection = rig.connected();
    let verdict = rig.head(connection, 101);
    assert!(matches!(verdict, HeadVerdict::Refused(_, Failure::BadResponse)));
    rig.reset(connection, Failure::BadResponse);
    assert_eq!(rig.reply(exchange), Reply::Failed(Failure::BadResponse));
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn the_breaker_fails_what_is_too_much_at_once() {
    let breaker = Limits { in_flight: Some(1), ..Limits::default() };
    let mut rig = Rig::new(&ClusterOptions { breaker, ..options(1) });
    let first = rig.begin(b"GET", BodySize::None);
    let second = rig.begin(b"GET", BodySize::None);
    assert_eq!(rig.reply(second), Reply::Failed(Failure::Breaker));
    rig.end(second);
    rig.end(first);
    rig.assert_idle();
}

#[test]
fn a_cluster_that_is_retired_serves_what_begins_on_it_and_keeps_nothing() {
    let mut options = options(2);
    options.pool.min_idle = 1;
    let mut rig = Rig::new(&options);
    let begun: Vec<Key> = (0..3).map(|_| rig.begin(b"GET", BodySize::None)).collect();
    let [first, second, third] = [(); 3].map(|()| rig.connected());
    rig.head(first, 200);
    rig.answered(first);
    rig.end(begun[0]);
    assert_eq!((rig.clusters.get(0).gauges().idle, rig.proxy.active(0)), (1, 2));
    rig.proxy.retire(0, &mut rig.clusters, rig.now);
    rig.settle();
    assert_eq!(rig.closed, [first], "what is idle is closed at once");
    // What is under way goes on, and what begins still finds a server.
    let late = rig.begin(b"GET", BodySize::None);
    let fourth = rig.connected();
    for (connection, exchange) in [(second, begun[1]), (third, begun[2]), (fourth, late)] {
        assert!(matches!(rig.head(connection, 200), HeadVerdict::Taken));
        rig.answered(connection);
        assert_eq!(rig.closed.last(), Some(&connection));
        assert!(rig.proxy.uses(0));
        rig.end(exchange);
    }
    // A connection that nobody waits for any more.
    let gone = rig.begin(b"GET", BodySize::None);
    rig.end(gone);
    let fifth = rig.connected();
    assert_eq!(rig.closed.last(), Some(&fifth));
    assert!(!rig.proxy.uses(0) && rig.connecting.is_empty());
    assert_eq!(rig.clusters.get(0).open(), 0);
    assert_eq!(rig.clusters.get(0).counters().closed[CloseCause::Retired as usize], 5);
    rig.assert_idle();
}

#[test]
fn a_number_is_used_again_and_what_comes_late_for_it_is_passed_over() {
    let mut rig = Rig::new(&options(1));
    let exchange = rig.begin(b"GET", BodySize::None);
    let connection = rig.connected();
    rig.head(connection, 200);
    rig.answered(connection);
    rig.end(exchange);
    assert_eq!(rig.tally().begun, 1);
    rig.proxy.retire(0, &mut rig.clusters, rig.now);
    rig.settle();
    assert!(rig.clusters.remove(0).is_some() && rig.clusters.remove(0).is_none());
    assert!(rig.clusters.remove(77).is_none());
    for cluster in [0, 5] {
        let Rig { proxy, clusters, now, .. } = &mut rig;
        let place = (cluster, 0);
        proxy.expire(cluster, clusters, *now);
        proxy.quota_lent(cluster, 3, clusters, *now);
        assert_eq!(proxy.quota_asked(cluster, clusters), 0);
        proxy.retire(cluster, clusters, *now);
        proxy.connection_failed(place, Failure::ConnectRefused, clusters, *now);
        proxy.connection_closed(place, CLIENT, CloseCause::Failed, clusters, *now);
        assert!(!proxy.connection_released(place, CLIENT, clusters, *now));
        assert!(!proxy.uses(cluster) && !proxy.has_actions());
        proxy.connection_opened(place, CLIENT, clusters, *now);
        let mut actions = Vec::new();
        proxy.take_actions(&mut actions);
        assert_eq!(actions, [ProxyAction::Close { connection: CLIENT }]);
        assert!(rig.try_begin(cluster).is_none(), "nothing begins where there is no cluster");
        rig.settle();
    }
    assert_eq!(rig.proxy.tally(5).begun, 0);
    for cluster in [0, 5] {
        rig.proxy.ensure(cluster);
        let new = Cluster::new(&options(2), (0, 1), 1, rig.now);
        assert!(rig.clusters.insert(cluster, new).is_none());
        assert_eq!(rig.proxy.tally(cluster).begun, 0, "nothing was counted of this one");
        let exchange = rig.try_begin(cluster).unwrap();
        let other = 5 - cluster;
        assert_eq!((rig.proxy.active(cluster), rig.proxy.active(other)), (1, 0));
        let counted = std::iter::from_fn(|| rig.proxy.next_counted());
        assert_eq!(counted.collect::<Vec<_>>(), [cluster], "once, however often it was there");
        assert_eq!(rig.proxy.tally(cluster).begun, 1);
        rig.end(exchange);
        assert!(!rig.proxy.uses(cluster));
        rig.connecting.clear();
    }
    assert!(rig.clusters.find(3).is_none() && rig.clusters.find_mut(5).is_some());
}

#[test]
fn what_is_read_of_a_body_depends_on_what_waits_for_its_peer_and_on_the_worker() {
    const KIB: usize = 1024;
    const FULL: usize = 256 * KIB;
    // The budget, what is used of it by others, what waits on the peer's connection and in the
    // body, and whether the source is read: all but the last in KiB.
    let cases = [
        (1_024, 0, 0, 0, true),
        (1_024, 0, 0, 255, true),
        (1_024, 0, 0, 256, false),
        (1_024, 0, 200, 55, true),
        (1_024, 0, 200, 56, false),
        (1_024, 0, 300, 0, true),
        (1_024, 500, 0, 130, false),
        (1_024, 500, 0, 63, true),
        (1_024, 500, 0, 127, true),
        (1_024, 480, 0, 128, false),
        (1_024, 900, 0, 20, false),
        (1_024, 900, 0, 15, true),
        (1_024, 900, 15, 1, false),
        (1_024, 1_024, 0, 1, false),
        (1_024, 1_024, 0, 0, true),
        (1_024, 9_000, 9, 0, true),
    ];
    for (most, others, connection, waiting, is_read) in cases {
        let case = format!("{most} {others} {connection} {waiting}");
        let (others, connection, waiting) = (others * KIB, connection * KIB, waiting * KIB);
        let mut rig = Rig::new(&ClusterOptions { retry_body_max: 0, ..options(1) });
        rig.proxy.budget_mut().set_most(most * KIB as u64);
        let exchange = rig.begin(b"POST", BodySize::Unknown);
        rig.proxy.budget_mut().add(others);
        rig.proxy.note_on_client(exchange, connection);
        rig.proxy.note_on_server(exchange, connection);
        rig.proxy.answer_came(exchange, Buf::copy_of(&vec![b'x'; waiting]), rig.now);
        assert_eq!(rig.proxy.takes_answer(exchange), is_read, "answer: {case}");
        let is_own = waiting > 0 && waiting + connection >= FULL;
        assert_eq!(rig.proxy.is_answer_limited(exchange), !is_read && !is_own, "{case}");
        while rig.proxy.get_mut(exchange).unwrap().take_answer_part().is_some() {}
        rig.proxy.answer_taken(exchange);
        assert_eq!(rig.proxy.budget().used(), others);
        rig.proxy.push_body(exchange, Buf::copy_of(&vec![b'x'; waiting]), rig.now);
        assert_eq!(rig.proxy.takes_body(exchange), is_read, "request: {case}");
        assert_eq!(rig.proxy.is_body_limited(exchange), !is_read && !is_own, "{case}");
        rig.proxy.budget_mut().remove(others);
        rig.end(exchange);
        assert_eq!(rig.proxy.budget().used(), 0);
    }
}

#[test]
fn what_waits_in_all_exchanges_of_a_client_is_bounded_together() {
    const KIB: usize = 1024;
    let mut rig = Rig::new(&options(1));
    let mut begin = |client, stream| {
        rig.client = (client, stream);
        rig.begin(b"GET", BodySize::None)
    };
    let other_client = Key::new(CLIENT.index + 1, 0);
    let (first, second, third) = (begin(CLIENT, 1), begin(CLIENT, 3), begin(other_client, 1));
    let mut came = |exchange, bytes| {
        rig.proxy.answer_came(exchange, Buf::copy_of(&vec![b'x'; bytes]), rig.now);
        [first, second, third].map(|exchange| rig.proxy.takes_answer(exchange))
    };
    assert_eq!(came(first, 200 * KIB), [true, true, true]);
    assert_eq!(came(second, 55 * KIB), [true, true, true]);
    assert_eq!(came(third, 255 * KIB), [true, true, true], "another client has its own");
    assert_eq!(came(second, KIB), [false, false, true]);
    rig.settle();
    // What is empty takes a part, however much waits for the same client.
    while rig.proxy.get_mut(second).unwrap().take_answer_part().is_some() {}
    rig.proxy.answer_taken(second);
    rig.proxy.answer_came(first, Buf::copy_of(&vec![b'x'; 100 * KIB]), rig.now);
    rig.settle();
    assert!(!rig.proxy.takes_answer(first) && rig.proxy.takes_answer(second));
    rig.proxy.answer_came(second, Buf::copy_of(b"x"), rig.now);
    assert!(!rig.proxy.takes_answer(second));
    rig.end(first);
    assert!(rig.proxy.takes_answer(second));
    rig.end(second);
    rig.end(third);
    assert_eq!(rig.proxy.budget().used(), 0);
    rig.settle();
}

#[test]
fn what_is_kept_for_another_try_and_goes_out_again_is_counted() {
    let mut rig = Rig::new(&options(2));
    let exchange = rig.begin(b"PUT", BodySize::Known(3));
    rig.proxy.push_body(exchange, Buf::copy_of(b"abc"), rig.now);
    rig.proxy.end_body(exchange, None);
    let first = rig.connected();
    assert!(rig.proxy.budget().used() >= 3, "a copy is kept");
    rig.proxy.note_on_server(exchange, 1 << 20);
    rig.reset(first, Failure::ResetBeforeHead);
    assert_eq!(rig.proxy.get(exchange).unwrap().request.body.waiting(), 3);
    assert!(rig.proxy.budget().used() >= 3);
    rig.proxy.push_body(exchange, Buf::copy_of(b"d"), rig.now);
    assert!(rig.proxy.takes_body(exchange), "nothing waits on the next server's connection");
    rig.end(exchange);
}

/// A small generator of numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % count as u64).unwrap()
    }
}

#[test]
fn whatever_happens_every_exchange_ends_and_nothing_is_left() {
    for seed in 1..400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let hedge_after = (seed % 2 == 0).then_some(SECOND / 4);
        let connections_max = 1 + u32::try_from(random.below(4)).unwrap();
        let options =
            ClusterOptions { hedge_after, connections_max, ..options(1 + random.below(3)) };
        let mut rig = Rig::new(&options);
        let mut open: Vec<Key> = Vec::new();
        let (mut begun, mut told) = (0, 0);
        for step in 0..200 {
            if step == 100 && seed % 3 == 0 {
                // Exchanges still begin on it.
                rig.proxy.retire(0, &mut rig.clusters, rig.now);
                rig.settle();
            }
            match random.below(if step < 150 { 10 } else { 8 }) {
                0 if !rig.connecting.is_empty() => {
                    rig.connected();
                }
                1 if !rig.connecting.is_empty() && random.below(3) == 0 => rig.refused(),
                2..=4 => act_on_connection(&mut rig, &mut random),
                5 if !open.is_empty() && random.below(8) == 0 => {
                    let one = open.swap_remove(random.below(open.len()));
                    rig.end(one);
                    told += 1;
                }
                6 | 7 => rig.pass(SECOND / 8),
                8 if open.len() < 8 => {
                    let method: &[u8] = if random.below(3) == 0 { b"POST" } else { b"GET" };
                    let until = (random.below(3) == 0).then(|| rig.now + SECOND);
                    let has_body = method == b"POST";
                    let size = if has_body { BodySize::Unknown } else { BodySize::None };
                    open.push(rig.begin_until(method, size, until));
                    begun += 1;
                }
                9 if !open.is_empty() => {
                    let one = open[random.below(open.len())];
                    let has_ended = |one: &Exchange| one.request.body.has_ended();
                    if !rig.proxy.get(one).is_none_or(has_ended) {
                        let part = vec![b'x'; 1 + random.below(40)];
                        rig.proxy.push_body(one, Buf::copy_of(&part), rig.now);
                        if random.below(3) == 0 {
                            rig.proxy.end_body(one, None);
                        }
                    }
                    rig.settle();
                }
                _ => {}
            }
            told += take_answers(&mut rig, &mut open);
        }
        for key in open {
            rig.end(key);
            told += 1;
        }
        assert_eq!((rig.tally().begun, told), (begun, begun), "seed {seed}");
        assert!(!rig.proxy.uses(0));
        rig.assert_idle();
        if rig.clusters.get(0).is_retired() {
            while !rig.connecting.is_empty() {
                rig.connected();
            }
            assert_eq!(rig.clusters.get(0).open(), 0, "nothing is kept");
            assert!(rig.connections.is_empty());
        }
    }
}

/// A server says something, or is lost.
fn act_on_connection(rig: &mut Rig, random: &mut Random) {
    let busy =
        rig.connections.iter().filter_map(|(key, one)| one.1.map(|exchange| (*key, exchange)));
    let busy: Vec<(Key, Key)> = busy.collect();
    if busy.is_empty() {
        return;
    }
    let (connection, exchange) = busy[random.below(busy.len())];
    let is_carried = rig.proxy.get(exchange).is_some_and(|one| one.is_carried_by(connection));
    if !is_carried {
        rig.drop_connection(connection);
        return rig.settle();
    }
    let has_head = rig.proxy.get(exchange).is_some_and(Exchange::has_head);
    match random.below(6) {
        0 => {
            let in_body = Failure::ResetInBody;
            rig.reset(connection, if has_head { in_body } else { Failure::ResetBeforeHead });
        }
        1 if !has_head => {
            rig.head(connection, 503);
        }
        2 | 3 if !has_head => {
            rig.head(connection, 200);
        }
        _ if has_head => {
            let part = vec![b'x'; 1 + random.below(40)];
            rig.proxy.answer_came(exchange, Buf::copy_of(&part), rig.now);
            if random.below(2) == 0 {
                rig.answered(connection);
            }
            rig.settle();
        }
        _ => {}
    }
}

/// Clients take what there is for them; how many exchanges are over.
fn take_answers(rig: &mut Rig, open: &mut Vec<Key>) -> u64 {
    let mut over = Vec::new();
    for key in open.iter().copied() {
        let failed = matches!(rig.reply(key), Reply::Failed(_));
        let one = rig.proxy.get_mut(key).unwrap();
        while one.take_answer_part().is_some() {}
        let is_over = one.has_replied() && one.answer.body.is_done();
        rig.proxy.answer_taken(key);
        if failed || is_over {
            over.push(key);
        }
    }
    open.retain(|key| !over.contains(key));
    for key in &over {
        rig.end(*key);
    }
    over.len() as u64
}

/// The key of RFC 6455, section 1.3, which the tests make for clients of HTTP/2, too.
const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

impl Rig {
    /// A server answers the handshake in this version.
    fn shake(&mut self, connection: Key, version: Version, answer: (u16, &str, &[u8])) -> String {
        let exchange = self.connections[&connection].1.unwrap();
        let (status, upgrade, accept) = answer;
        let mut head = Box::new(ResponseHead { status, version, ..ResponseHead::default() });
        for (name, value) in [("upgrade", upgrade.as_bytes()), ("sec-websocket-accept", accept)] {
            if !value.is_empty() {
                head.fields.push(name.as_bytes(), value);
            }
        }
        let of = (exchange, connection);
        let verdict = self.proxy.head_came(of, head, None, &mut self.clusters, self.now);
        self.settle();
        match verdict {
            HeadVerdict::Refused(_, failure) => {
                self.reset(connection, failure);
                failure.name().to_owned()
            }
            HeadVerdict::Tunnel => {
                let head = self.proxy.get(exchange).unwrap().answer.head.as_deref().unwrap();
                let accept = head.fields.get_named(b"sec-websocket-accept").unwrap_or_default();
                format!("tunnel {} {}", head.status, String::from_utf8_lossy(accept))
            }
            HeadVerdict::Taken => "taken".to_owned(),
            HeadVerdict::Personal | HeadVerdict::Dropped(_) => unreachable!("{verdict:?}"),
        }
    }

    fn open_tunnel(&mut self, exchange: Key) {
        assert_eq!(self.proxy.get_mut(exchange).unwrap().take_reply(), Reply::Tunnel);
        let one = self.proxy.get_mut(exchange).unwrap();
        one.record.status = one.answer.head.take().unwrap().status;
        self.proxy.tunnel_opened(exchange, self.now);
        self.settle();
    }
}

#[test]
fn a_handshake_is_taken_for_what_it_is_between_all_pairs_of_versions() {
    use Version::{Http2, Http11};
    let accept = "tunnel 101 s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    type Case<'a> = (Version, Version, (u16, &'a str, &'a [u8]), &'a str);
    let cases: [Case<'_>; 17] = [
        (Http11, Http11, (101, "websocket", ACCEPT), "taken"),
        (Http11, Http11, (101, "WebSocket", ACCEPT), "taken"),
        (Http11, Http11, (101, "websocket", KEY), "bad_handshake"),
        (Http11, Http11, (101, "websocket", b""), "bad_handshake"),
        (Http11, Http11, (101, "other", ACCEPT), "bad_handshake"),
        (Http11, Http11, (101, "", ACCEPT), "bad_handshake"),
        (Http11, Http11, (200, "", b""), "taken"),
        (Http11, Http11, (403, "", b""), "taken"),
        (Http2, Http11, (101, "websocket", ACCEPT), "tunnel 200 "),
        (Http2, Http11, (101, "websocket", KEY), "bad_handshake"),
        (Http2, Http11, (200, "websocket", ACCEPT), "bad_handshake"),
        (Http2, Http11, (403, "", b""), "taken"),
        (Http11, Http2, (200, "", b""), accept),
        (Http11, Http2, (204, "", KEY), accept),
        (Http11, Http2, (302, "", b""), "taken"),
        (Http2, Http2, (200, "", ACCEPT), "tunnel 200 "),
        (Http2, Http2, (500, "", b""), "taken"),
    ];
    for (client, server, answer, expected) in cases {
        let mut rig = Rig::new(&options(1));
        let exchange = rig.ask_for_websocket(client);
        let connection = rig.connected();
        let told = rig.shake(connection, server, answer);
        assert_eq!(told, expected, "{client:?} {server:?} {answer:?}");
        rig.end(exchange);
        rig.assert_idle();
    }
}

#[test]
fn an_upgrade_to_something_else_is_none_of_ours() {
    for (asked, answered, is_taken) in
        [("foo", "foo", true), ("foo, websocket", "foo", true), ("websocket", "foo", false)]
    {
        let mut rig = Rig::new(&options(1));
        let mut head = Box::<RequestHead>::default();
        head.set_method(b"GET");
        head.set_path("/");
        head.fields.push(b"upgrade", asked.as_bytes());
        let record = RequestRecord::new(rig.now, None, Some(0), 20);
        let exchange = rig.begin_with(0, head, record, BodySize::None, None).unwrap();
        let connection = rig.connected();
        let told = rig.shake(connection, Version::Http11, (101, answered, b""));
        assert_eq!(told == "taken", is_taken, "{asked} {answered}");
        if is_taken {
            assert_eq!(rig.reply(exchange), Reply::Upgrade);
        }
        rig.end(exchange);
        rig.assert_idle();
    }
}

#[test]
fn nothing_goes_into_a_tunnel_before_it_is_open_and_each_side_ends_on_its_own() {
    let mut rig = Rig::new(&options(1));
    let exchange = rig.ask_for_websocket(Version::Http2);
    let connection = rig.connected();
    rig.proxy.push_body(exchange, Buf::copy_of(b"early"), rig.now);
    let one = rig.proxy.get_mut(exchange).unwrap();
    assert!(one.holds_body() && one.take_request_part(connection, 100).is_none());
    assert_eq!(one.tunnel_key().map(str::as_bytes), Some(KEY));
    rig.shake(connection, Version::Http11, (101, "websocket", ACCEPT));
    assert!(rig.proxy.get_mut(exchange).unwrap().take_request_part(connection, 100).is_none());
    rig.open_tunnel(exchange);
    let one = rig.proxy.get_mut(exchange).unwrap();
    assert_eq!(&*one.take_request_part(connection, 100).unwrap(), b"early");
    rig.proxy.request_taken(exchange);
    rig.proxy.tunnel_ended(exchange);
    let one = rig.proxy.get(exchange).unwrap();
    assert!(one.answer.body.is_done() && !one.is_over(), "the client may still send");
    rig.proxy.end_body(exchange, None);
    rig.settle();
    assert!(!rig.proxy.get(exchange).unwrap().is_over(), "the server has to take it");
    rig.proxy.answer_ended(exchange, None, &mut rig.clusters, rig.now);
    assert!(rig.proxy.get(exchange).unwrap().is_over());
    rig.drop_connection(connection);
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn a_tunnel_has_no_time_but_that_in_which_nothing_moves() {
    let mut rig = Rig::new(&options(1));
    let exchange = rig.ask_for_websocket(Version::Http11);
    let connection = rig.connected();
    rig.shake(connection, Version::Http2, (200, "", b""));
    rig.open_tunnel(exchange);
    for second in 0..12 {
        rig.pass(9 * SECOND);
        let part = Buf::copy_of(b"x");
        if second % 2 == 0 {
            rig.proxy.push_body(exchange, part, rig.now);
        } else {
            rig.proxy.answer_came(exchange, part, rig.now);
        }
        rig.settle();
    }
    assert_eq!(rig.reply(exchange), Reply::Nothing);
    rig.pass(9 * SECOND);
    // What is taken moves, too.
    let one = rig.proxy.get_mut(exchange).unwrap();
    assert!(one.take_answer_part().is_some());
    rig.proxy.answer_taken(exchange);
    rig.settle();
    rig.pass(9 * SECOND);
    assert_eq!(rig.reply(exchange), Reply::Nothing);
    rig.pass(SECOND);
    assert_eq!(rig.reply(exchange), Reply::Failed(Failure::IdleTimeout));
    assert!(rig.closed.contains(&connection));
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn what_becomes_of_a_tunnel_says_nothing_of_its_server_and_is_never_tried_again() {
    let mut rig = Rig::new(&options(2));
    let exchange = rig.ask_for_websocket(Version::Http2);
    let connection = rig.connected();
    let server = rig.connections[&connection].0;
    rig.shake(connection, Version::Http2, (200, "", b""));
    rig.open_tunnel(exchange);
    let view = |rig: &Rig| {
        let cluster = rig.clusters.find(0).unwrap();
        let view = cluster.servers.view(server, rig.now).unwrap();
        (view.counters.answered, view.counters.failures, view.active)
    };
    assert_eq!(view(&rig), (1, 0, 1), "it carries the tunnel");
    rig.reset(connection, Failure::ResetInBody);
    assert_eq!(view(&rig), (1, 0, 0));
    assert_eq!(rig.reply(exchange), Reply::Failed(Failure::ResetInBody));
    assert!(rig.connecting.is_empty() && rig.tally().retried == 0);
    rig.end(exchange);
    rig.assert_idle();
}

#[test]
fn a_server_without_websockets_by_http2_is_asked_by_http1_on_a_connection_of_its_own() {
    let mut rig = Rig::new(&options(1));
    let exchange = rig.ask_for_websocket(Version::Http2);
    let connection = rig.connected();
    rig.reset(connection, Failure::NoWebSocket);
    assert_eq!(rig.connecting_alone, [(0, exchange)]);
    // Another exchange does not get it.
    let other = rig.begin(b"GET", BodySize::None);
    let alone = Key::new(99, 0);
    rig.connections.insert(alone, (0, None));
    let of = (alone, exchange);
    rig.proxy.connection_opened_alone((0, 0), of, &mut rig.clusters, rig.now);
    rig.settle();
    assert_eq!(rig.connections[&alone].1, Some(exchange));
    let told = rig.shake(alone, Version::Http11, (101, "websocket", ACCEPT));
    assert_eq!(told, "tunnel 200 ");
    let second = rig.connected();
    assert_eq!(rig.connections[&second].1, Some(other));
    rig.end(exchange);
    rig.end(other);
    rig.assert_idle();
    // One that comes when nobody waits for it any more is closed.
    let exchange = rig.ask_for_websocket(Version::Http2);
    let connection = rig.connected();
    rig.reset(connection, Failure::NoWebSocket);
    rig.end(exchange);
    let late = Key::new(100, 0);
    rig.connections.insert(late, (0, None));
    let of = (late, exchange);
    rig.proxy.connection_opened_alone((0, 0), of, &mut rig.clusters, rig.now);
    rig.settle();
    assert!(rig.closed.contains(&late));
    rig.assert_idle();
}

#[test]
fn a_connection_of_its_own_that_fails_or_has_no_place_fails_the_handshake() {
    let options = ClusterOptions { connections_max: 1, ..options(1) };
    let mut rig = Rig::new(&options);
    let exchange = rig.ask_for_websocket(Version::Http2);
    let connection = rig.connected();
    rig.reset(connection, Failure::NoWebSocket);
    assert_eq!(rig.connecting_alone, [(0, exchange)]);
    let (clusters, now) = (&mut rig.clusters, rig.now);
    rig.proxy.connection_failed_alone((0, 0), exchange, Failure::NoWebSocket, clusters, now);
    rig.settle();
    assert_eq!(rig.reply(exchange), Reply::Failed(Failure::NoWebSocket));
    rig.end(exchange);
    rig.assert_idle();
    let mut strict = self::options(2);
    strict.protocol = ServerProtocol::Http2;
    let mut rig = Rig::new(&strict);
    let exchange = rig.ask_for_websocket(Version::Http2);
    let connection = rig.connected();
    rig.reset(connection, Failure::NoWebSocket);
    assert_eq!(rig.reply(exchange), Reply::Nothing, "the other server may know them");
    let connection = rig.connected();
    rig.reset(connection, Failure::NoWebSocket);
    assert!(rig.connecting_alone.is_empty());
    assert_eq!(rig.reply(exchange), Reply::Failed(Failure::NoWebSocket));
    rig.end(exchange);
    rig.assert_idle();
}
