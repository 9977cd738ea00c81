//! WebSockets that a worker answers, on the simulated kernel: echo and topics, by HTTP/1.1 and as
//! streams of HTTP/2. The clients frame by code of their own.
//!
//! Of every run it is asserted:
//!
//! - each message of an echo comes back once, in order, of its kind, byte for byte, or the socket
//!   has ended;
//! - a subscriber gets each publication at most once, those of one publisher in order, and is told
//!   how many it did not get;
//! - close frames are answered, codes are those that the client's doing asks for;
//! - opened = closed, over all codes, none is active, and no subscription is left;
//! - nothing waits, and slots, buffers, timers and descriptors are all back at the end.

#[path = "websocket/client.rs"]
mod client;
#[path = "websocket/model.rs"]
mod model;
#[path = "websocket/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringway::proto::websocket::deflate::Codec;
use ringway::proto::websocket::{CloseCode, Limits, Opcode, write};
use ringway::ring::Fd;
use ringway::ring::sim::{Faults, Random, Sim};
use ringway::server::Worker;
use ringway::session::http_options::RouteAction;
use ringway::session::topic_set::{QueuePolicy, TopicOptions, TopicSet};
use ringway::session::websocket_options::{
    DeflateOptions, Origins, SocketService, WebSocketOptions,
};
use ringway::session::{RouteCounters, ServiceOptions, SocketStats, Workers};

use self::client::Client;
use self::model::Task;
use super::frames::options as session_options;
use super::harness::{DRAIN_TIME, drain, for_each_seed, for_seeds, for_some_seeds, is_full_sweep};
use super::http;

const TURNS_MAX: usize = 60_000;
const BUFFERS: u16 = 8;
const BUFFER_SIZE: u32 = 256;
/// Bytes of a message, at most.
const MESSAGE_MAX: u64 = 20_000;

/// What peers do.
#[derive(Debug, Clone, Copy)]
struct Plan {
    capacity: usize,
    /// Chance that a peer reads in a turn, in a thousand.
    reads: u32,
    /// Chance of a reset by a client in a turn, in a thousand.
    resets: u32,
    /// Chance that a client breaks a rule at its end, in a thousand.
    breaks: u32,
    waiting_memory: u64,
    policy: QueuePolicy,
    queue_max: usize,
    deflate_min: Option<usize>,
    takeover: bool,
    buffer_size: u32,
}

impl Plan {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x3ec5);
        Self {
            capacity: [300, 2_000, 50_000][random.below(3)],
            reads: [50, 500, 1_000][random.below(3)],
            resets: 0,
            breaks: 300,
            waiting_memory: 1 << 20,
            policy: QueuePolicy::DropOldest,
            queue_max: 10_000,
            deflate_min: [None, Some(1), Some(200)][random.below(3)],
            takeover: random.chance(500),
            buffer_size: BUFFER_SIZE,
        }
    }

    fn with_short_queues(seed: u64) -> Self {
        let policies = [QueuePolicy::DropOldest, QueuePolicy::DropNewest, QueuePolicy::Close];
        let policy = policies[Random::new(seed ^ 0x11).below(3)];
        Self { policy, queue_max: 3, reads: 50, capacity: 300, ..Self::new(seed) }
    }

    fn with_resets(seed: u64) -> Self {
        Self { resets: 10, ..Self::with_short_queues(seed) }
    }
}

struct Scenario {
    worker: Worker<Sim>,
    listener: Fd,
    workers: Arc<Workers>,
    random: Random,
    plan: Plan,
    clients: Vec<Client>,
    /// Of echo, and of topics.
    counters: [Arc<RouteCounters>; 2],
    set: Arc<TopicSet>,
}

fn socket_options(plan: &Plan, service: SocketService) -> Box<WebSocketOptions> {
    Box::new(WebSocketOptions {
        service,
        limits: Limits { frame: MESSAGE_MAX, message: MESSAGE_MAX, deflate: false },
        subprotocols: Default::default(),
        origins: Origins::Any,
        deflate: plan.deflate_min.map(|min| DeflateOptions {
            min,
            level: 1,
            context_takeover: plan.takeover,
            window_bits: 15,
        }),
        ping_interval: Some(Duration::from_millis(200)),
        idle_timeout: Some(Duration::from_secs(20)),
        close_timeout: Duration::from_secs(2),
        message_rate: None,
        drain_code: CloseCode::RESTART,
        drain_window: Duration::from_millis(20),
    })
}

impl Scenario {
    fn new(seed: u64, faults: Faults, plan: Plan) -> Self {
        let mut random = Random::new(seed ^ 0x3050);
        let mut sim = Sim::new(seed, Faults::NONE, BUFFERS, plan.buffer_size);
        let listener = sim.listen();
        let mut publisher = 0;
        let clients = (0..1 + random.below(5))
            .map(|_| {
                let peer = sim.connect(listener, plan.capacity);
                Client::new(peer, &plan, &mut publisher, &mut random)
            })
            .collect();
        sim.set_faults(faults);
        let workers = Arc::new(Workers::new(1, 1, 0));
        let set = Arc::new(TopicSet::new(
            "t",
            TopicOptions {
                message_max: 10_000,
                subscriptions_max: 10,
                filters_max: 1_000,
                queue_max: plan.queue_max,
                queue_bytes: 1 << 20,
                queue_policy: plan.policy,
                retained_max: 10,
                retained_bytes: 10_000,
                exchange_bytes: 1 << 20,
            },
            1,
        ));
        let mut web = http::listener(0);
        let topics =
            SocketService::Topics { set: Arc::clone(&set), publish: true, subscribe: true };
        web.routes[0].action = RouteAction::WebSocket(socket_options(&plan, SocketService::Echo));
        web.routes[1].action = RouteAction::WebSocket(socket_options(&plan, topics));
        web.write_timeout = Duration::from_secs(5);
        web.upstreams = [].into();
        web.routes[4].action = RouteAction::Echo;
        let counters = [0, 1].map(|route| Arc::clone(&web.routes[route].counters));
        let service = ServiceOptions::Http(Arc::new(web));
        let mut options = session_options(&workers, listener, service, Vec::new());
        options.waiting_memory = plan.waiting_memory;
        options.websocket_takeover_memory = 200_000;
        options.relay.buffer_size = plan.buffer_size as usize;
        let mut worker = Worker::new(sim, options, None);
        worker.start(None);
        Self { worker, listener, workers, random, plan, clients, counters, set }
    }

    fn step(&mut self) {
        self.worker.turn().expect("the simulated kernel does not fail");
        let Self { worker, random, plan, clients, .. } = self;
        let sim = worker.sessions().reactor().driver();
        clients.iter_mut().for_each(|client| client.play(sim, random, plan));
    }

    /// Runs until all clients are done and nothing is left of them.
    fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.step();
            let accepted = self.workers.cells()[0].stats.listeners.get(0).accepted.get();
            if accepted == self.clients.len() as u64 && self.worker.sessions().is_empty() {
                drain(&mut self.worker, Some(DRAIN_TIME));
                return self.settle();
            }
        }
        panic!("it hangs: {:#?}\n{:#?}\n{:#?}", self.plan, self.worker, self.clients);
    }

    fn run_and_drain(&mut self) {
        for _ in 0..self.random.below(400) {
            self.step();
        }
        drain(&mut self.worker, Some(DRAIN_TIME));
        for _ in 0..TURNS_MAX {
            self.step();
            let sessions = self.worker.sessions();
            if sessions.is_drained() && sessions.is_empty() {
                return self.settle();
            }
        }
        panic!("it hangs: {:#?}\n{:#?}", self.plan, self.worker);
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            self.step();
        }
        self.worker.sessions().finish();
        self.balance();
        self.assert_clean();
    }

    fn stats(&self, route: usize) -> Option<&SocketStats> {
        self.counters[route].used().find_map(|stats| stats.used_sockets())
    }

    fn models(&self, is_echo: bool) -> impl Iterator<Item = &model::Model> {
        let all = self.clients.iter().flat_map(|client| client.models());
        all.filter(move |model| matches!(model.task, Task::Echo { .. }) == is_echo)
    }

    /// What was counted is what the clients have seen.
    fn balance(&self) {
        for (route, is_echo) in [(0, true), (1, false)] {
            let opened = self.models(is_echo).filter(|model| model.is_open).count() as u64;
            let Some(stats) = self.stats(route) else {
                assert_eq!(opened, 0);
                continue;
            };
            let closed: u64 = stats.closed.iter().map(|count| count.get()).sum();
            assert!(stats.opened.get() >= opened, "{opened} have seen an answer");
            assert_eq!((stats.opened.get(), stats.active.get()), (closed, 0));
            let heard: u64 = self.models(is_echo).map(|model| model.came).sum();
            let said: u64 = self.models(is_echo).map(|model| model.said).sum();
            assert!(stats.sent.get() >= heard && stats.received.get() <= said);
            if is_echo && stats.starved.get() == 0 {
                assert_eq!(stats.sent.get(), stats.received.get());
                assert_eq!(stats.sent_bytes.get(), stats.received_bytes.get());
            }
        }
        let (topics, lost) = self.set.stats()[0];
        assert_eq!((topics.subscribers, topics.subscriptions, lost), (0, 0, 0));
        let published: u64 = self.models(false).map(|model| model.published).sum();
        assert!(topics.published <= published);
        self.clients.iter().flat_map(Client::models).for_each(model::Model::assert_in_order);
    }

    fn assert_clean(&mut self) {
        let cell = &self.workers.cells()[0];
        assert_eq!(cell.active.get(), 0);
        assert_eq!(cell.stats.waiting.bytes.get(), 0, "nothing waits");
        assert_eq!(cell.stats.stale.get(), 0, "no completion outlives its slot");
        let sessions = self.worker.sessions();
        assert_eq!(sessions.len(), 0);
        let reactor = sessions.reactor();
        assert_eq!(reactor.pending(), 0, "no operation is left");
        assert!(reactor.timers_armed() <= 1, "no timer is left but the shutdown's");
        let sim = reactor.driver();
        assert_eq!(sim.open(), 0, "no descriptor is left: {}", sim.describe_open());
        assert_eq!(sim.buffers_home(), usize::from(BUFFERS));
    }

    /// All that was to be done was done, and each socket ended as its client meant it to.
    fn assert_done(&self) {
        for client in &self.clients {
            for model in client.models() {
                let expected = model.end.code();
                assert!(model.is_done() && model.code == expected, "{model:#?}\n{client:#?}");
            }
        }
    }
}

/// In how many runs a code was closed with, or something else has happened.
#[derive(Debug, Default)]
struct Census(Mutex<BTreeMap<String, usize>>);

impl Census {
    fn note(&self, scenario: &Scenario) {
        let mut counts = self.0.lock().expect("no panic while it is held");
        let mut reach = |what: &str, count: u64| {
            if count > 0 {
                *counts.entry(what.to_owned()).or_default() += 1;
            }
        };
        for stats in [0, 1].into_iter().filter_map(|route| scenario.stats(route)) {
            for (class, count) in CloseCode::CLASSES.iter().zip(&stats.closed) {
                reach(class, count.get());
            }
            reach("pong", stats.pongs.get());
            reach("dropped", stats.dropped.get());
            reach("takeover refused", stats.takeover_refused.get());
            reach("compressed", stats.sent_bytes.get().abs_diff(stats.sent_wire_bytes.get()));
        }
        let models = || scenario.clients.iter().flat_map(Client::models);
        reach("HTTP/2", scenario.clients.iter().filter(|client| client.is_http2()).count() as u64);
        reach("cut", models().filter(|model| model.is_open && model.code.is_none()).count() as u64);
    }

    fn assert_reached(self, expected: &[&str]) {
        let counts = self.0.into_inner().expect("no panic");
        if is_full_sweep() {
            let missing: Vec<_> =
                expected.iter().filter(|one| !counts.contains_key(**one)).collect();
            assert!(missing.is_empty(), "no run reaches {missing:?}: {counts:?}");
        }
    }
}

#[test]
fn sockets_get_every_message_once_and_in_order() {
    let census = Census::default();
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(seed, Faults::NONE, Plan::new(seed));
        scenario.run();
        scenario.assert_done();
        census.note(&scenario);
    });
    census.assert_reached(&[
        "1000",
        "1002",
        "1005",
        "1006",
        "1007",
        "1009",
        "4xxx",
        "pong",
        "compressed",
        "HTTP/2",
        "takeover refused",
    ]);
}

#[test]
fn sockets_under_all_faults_get_their_own_bytes_or_end() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(seed, Faults::ALL, Plan::new(seed));
        scenario.run();
    });
}

#[test]
fn subscribers_that_are_slow_are_told_or_closed() {
    let census = Census::default();
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(seed, Faults::ALL, Plan::with_short_queues(seed));
        scenario.run();
        census.note(&scenario);
    });
    census.assert_reached(&["dropped", "1013"]);
}

#[test]
fn sockets_whose_clients_reset_at_any_time_leak_nothing() {
    let census = Census::default();
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(seed, Faults::ALL, Plan::with_resets(seed));
        scenario.run();
        census.note(&scenario);
    });
    census.assert_reached(&["1006", "cut"]);
}

#[test]
fn sockets_are_closed_when_the_worker_drains() {
    let census = Census::default();
    for_each_seed(|seed| {
        let faults = if seed % 2 == 0 { Faults::NONE } else { Faults::ALL };
        let mut scenario = Scenario::new(seed, faults, Plan::new(seed));
        scenario.run_and_drain();
        census.note(&scenario);
    });
    census.assert_reached(&["1012", "1000"]);
}

#[test]
fn sockets_run_with_little_memory_for_what_waits() {
    for_seeds(4, |seed| {
        let plan = Plan { waiting_memory: 4_000, ..Plan::with_short_queues(seed) };
        Scenario::new(seed, Faults::ALL, plan).run();
    });
}

/// Many messages lie compressed in one buffer. What they come to is bounded for each turn.
#[test]
fn messages_that_inflate_to_much_are_read_over_several_turns() {
    const COUNT: u64 = 300;
    const LEN: usize = 9_000;
    let plan = Plan {
        capacity: 100_000,
        deflate_min: Some(1),
        takeover: false,
        buffer_size: 8 * 1024,
        ..Plan::new(1)
    };
    let mut scenario = Scenario::new(1, Faults::NONE, plan);
    scenario.clients.clear();
    let mut sent = b"GET /fixed HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        .to_vec();
    let text = format!(r#"{{"op":"publish","topic":"a","data":"{}"}}"#, "x".repeat(LEN));
    let mut deflated = Vec::new();
    Codec::new().deflate(text.as_bytes(), 15, Default::default(), &mut deflated);
    assert!(deflated.len() < 100, "many are in one buffer");
    for _ in 0..COUNT {
        let frame = (true, true);
        write::frame(Opcode::Text, frame, &deflated, Some([0; 4]), &mut sent);
    }
    let listener = scenario.listener;
    fn sim(scenario: &mut Scenario) -> &mut Sim {
        scenario.worker.sessions().reactor().driver()
    }
    let peer = sim(&mut scenario).connect(listener, plan.capacity);
    let received = |scenario: &Scenario| scenario.stats(1).map_or(0, |stats| stats.received.get());
    let (mut at, mut turns) = (0, 0);
    while received(&scenario) < COUNT {
        let before = received(&scenario);
        at += sim(&mut scenario).peer_write(peer, &sent[at..]);
        scenario.worker.turn().expect("the simulated kernel does not fail");
        // What one turn reads, and one buffer beyond that.
        let inflated = (received(&scenario) - before) * LEN as u64;
        assert!(inflated <= (256 + 64 + 10) << 10, "{inflated} bytes in one turn");
        turns += 1;
        assert!(turns < 10_000, "it hangs: {at} of {}", sent.len());
    }
}

#[test]
fn sockets_run_the_same_way_again() {
    for_some_seeds(|seed| {
        let run = || {
            let mut scenario = Scenario::new(seed, Faults::ALL, Plan::new(seed));
            scenario.run();
            format!("{:?}", scenario.clients)
        };
        assert!(run() == run());
    });
}
