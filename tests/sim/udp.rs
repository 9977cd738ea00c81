//! Datagrams on the simulated kernel: clients and servers that know what they have sent.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ringway::ring::sim::{Faults, Random, SentDatagram, Sim};
use ringway::ring::{Fd, SocketAddress, StreamOptions};
use ringway::server::Worker;
use ringway::service::cluster::ClusterOptions;
use ringway::service::cluster::servers::Policy;
use ringway::service::flows::FlowEnd;
use ringway::service::proxy::MeterOptions;
use ringway::session::{
    DatagramOptions, DatagramService, DatagramStats, DropReason, Planned, RelayOptions,
    SessionOptions, UpstreamOptions, Workers,
};

use super::harness::{drain, for_each_seed, for_some_seeds};
use super::reload::Swaps;

const PORT: u16 = 53;
const FLOW_TIMEOUT: Duration = Duration::from_millis(200);
const DATAGRAM_BUFFERS: usize = 16;

/// What the peers do.
#[derive(Debug, Clone, Copy)]
struct Plan {
    echo: bool,
    /// On an unspecified address: clients ask several of ours.
    wildcard: bool,
    clients: usize,
    flows_max: u64,
    turns: usize,
    /// Chance that a host refuses a datagram by ICMP, in a thousand: clients, first server.
    refusals: [u32; 2],
    policy: Policy,
    offload: bool,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xda7a);
        let policies = [Policy::RoundRobin, Policy::SourceHash, Policy::Hash];
        Self {
            echo: false,
            wildcard: random.chance(500),
            clients: 1 + random.below(12),
            flows_max: 100,
            turns: 150,
            refusals: [0, 0],
            policy: policies[random.below(3)],
            offload: random.chance(700),
        }
    }

    fn address(&self) -> SocketAddr {
        let ip: IpAddr = if self.wildcard { [0, 0, 0, 0] } else { [10, 0, 0, 1] }.into();
        SocketAddr::new(ip, PORT)
    }

    fn listener(&self, socket: Fd, upstream: usize) -> DatagramOptions {
        let service = match self.echo {
            true => DatagramService::Echo,
            false => DatagramService::Proxy {
                upstream,
                flows_max: self.flows_max,
                flow_timeout: FLOW_TIMEOUT,
            },
        };
        DatagramOptions {
            name: "udp".to_owned(),
            sockets: vec![socket],
            service,
            offload: self.offload,
        }
    }
}

/// A datagram that was delivered to us: by whom, to whom, how often, and how often it came out.
#[derive(Debug)]
struct Known {
    from: SocketAddr,
    to: SocketAddr,
    delivered: usize,
    seen: usize,
}

struct Scenario {
    worker: Worker<Sim>,
    workers: Arc<Workers>,
    plan: Plan,
    random: Random,
    /// By content.
    requests: BTreeMap<Vec<u8>, Known>,
    answers: BTreeMap<Vec<u8>, Known>,
    /// The client and asked address behind each of our sockets towards servers.
    flows: BTreeMap<SocketAddr, (SocketAddr, IpAddr)>,
    number: u64,
    /// Makes the plans that come later.
    swaps: Swaps,
    socket: Option<Fd>,
}

fn server(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 1, 0, number], 80))
}

fn client(number: usize) -> SocketAddr {
    let number = u16::try_from(number).unwrap();
    SocketAddr::from(([172, 16, 0, u8::try_from(number % 3).unwrap()], 1_000 + number))
}

impl Scenario {
    fn new(seed: u64, faults: Faults, plan: Plan) -> Self {
        let mut sim = Sim::new(seed, faults, 8, 256);
        let socket = sim.bind_datagrams(plan.address());
        let workers = Arc::new(Workers::with_plan(
            1,
            &ringway::session::Counted { datagrams: 1, ..ringway::session::Counted::plain(0, 1) },
        ));
        let options = SessionOptions {
            listeners: Vec::new(),
            datagrams: vec![plan.listener(socket, 0)],
            upstreams: vec![UpstreamOptions {
                name: "servers".to_owned(),
                servers: (1..=3).map(|n| SocketAddress::inet(server(n))).collect(),
                connect_timeout: FLOW_TIMEOUT,
                retries: 0,
                send_header: None,
                stream: StreamOptions::default(),
                exchanges: None,
                cluster: ClusterOptions::plain(plan.policy, (1..=3).map(|n| server(n).to_string())),
                tls: None,
            }],
            relay: RelayOptions {
                meter: MeterOptions { enabled: false, after: 0, mean_min: 0 },
                buffer_size: 256,
                turn_budget: 4_000,
                pipe_capacity: 3_000,
                pipes_idle_max: 2,
            },
            compression_memory: 1 << 20,
            waiting_memory: 1 << 20,
            websocket_takeover_memory: 1 << 20,
            connections_max: 10,
            access_log: false,
            handler: ringway::session::HandlerFactory::default(),
            http_handlers: ringway::handler::HttpHandlers::new(),
            websocket_handlers: ringway::handler::WebSocketHandlers::new(),
            workers: Arc::clone(&workers),
            worker: 0,
            descriptors: ringway::session::DescriptorLimits::OPEN,
            hand_off_ratio: None,
            seed: 1,
        };
        let swaps = Swaps::new(seed, &workers, options.upstreams[0].clone(), options.relay);
        let mut worker = Worker::new(sim, options, None);
        worker.start(None);
        let random = Random::new(seed ^ 0x5eed);
        let (requests, answers, flows) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (number, socket) = (0, Some(socket));
        Self { worker, workers, plan, random, requests, answers, flows, number, swaps, socket }
    }

    /// Clients send, for so many turns, while plans are replaced.
    fn run_with_reloads(&mut self) {
        for _ in 0..self.plan.turns {
            for _ in 0..self.random.below(4) {
                let number = self.random.below(self.plan.clients);
                self.send_request(client(number));
            }
            self.step();
            if self.swaps.is_due() {
                self.swap();
            }
        }
        self.swaps.end();
        self.swap();
    }

    fn swap(&mut self) {
        let sessions = self.worker.sessions();
        let now = sessions.reactor().now();
        let mut plan = self.swaps.plan(now);
        let sim = sessions.reactor().driver();
        sim.wake();
        let (had, address) = (self.socket, self.plan.address());
        let listens = self.swaps.listens;
        self.socket = listens.then(|| had.unwrap_or_else(|| sim.bind_datagrams(address)));
        if let Some(socket) = self.socket {
            let options = self.plan.listener(socket, self.swaps.number());
            plan.datagrams.push(Planned { lease: self.swaps.listener.clone(), options });
        }
        let flows = self.workers.flows(0)[0];
        let replaced = self.worker.sessions().replace_plan(plan);
        assert_eq!(replaced.closed, if listens && !self.plan.echo { 0 } else { flows });
    }

    fn sim(&mut self) -> &mut Sim {
        self.worker.sessions().reactor().driver()
    }

    fn stats(&self) -> Arc<DatagramStats> {
        self.workers.cells()[0].stats.datagrams.get(0)
    }

    fn ended(&self, end: FlowEnd) -> u64 {
        self.stats().flows_ended[end.index()].get()
    }

    fn step(&mut self) {
        self.worker.turn().expect("the simulated kernel does not fail");
        let active = self.workers.flows(0).iter().sum::<u64>();
        assert!(active <= self.plan.flows_max, "{active} flows");
        for sent in self.sim().take_datagrams() {
            if sent.from.port() == PORT {
                self.arrive_at_client(sent);
            } else {
                self.arrive_at_server(sent);
            }
        }
    }

    /// Clients send, for so many turns.
    fn run(&mut self) {
        for _ in 0..self.plan.turns {
            for _ in 0..self.random.below(4) {
                let number = self.random.below(self.plan.clients);
                self.send_request(client(number));
            }
            self.step();
        }
    }

    /// One datagram, or several joined ones: each content is unique, unless it is empty.
    fn send_request(&mut self, from: SocketAddr) {
        let last = if self.plan.wildcard { u8::from(self.random.chance(500)) + 1 } else { 1 };
        let to = SocketAddr::from(([10, 0, 0, last], PORT));
        let len = [9, 9, 100, 1_200, 9_000][self.random.below(5)];
        let count = if self.random.chance(300) { 1 + self.random.below(5) } else { 1 };
        let mut joined = Vec::new();
        let mut parts = Vec::new();
        for part in 0..count {
            let shorter = part + 1 == count && part > 0 && self.random.chance(500);
            let mut bytes = self.content(b'q', if shorter { 9 } else { len });
            bytes.truncate(if shorter { 9 } else { len });
            joined.extend_from_slice(&bytes);
            parts.push(bytes);
        }
        let segment = if count == 1 { u16::MAX } else { u16::try_from(len).unwrap() };
        let delivered = self.sim().send_joined(from, to, &joined, segment);
        for bytes in parts {
            self.requests.insert(bytes, Known { from, to, delivered, seen: 0 });
        }
    }

    fn content(&mut self, kind: u8, len: usize) -> Vec<u8> {
        self.number += 1;
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&self.number.to_be_bytes());
        while bytes.len() < len {
            bytes.push(u8::try_from((bytes.len() as u64 ^ self.number) & 0xff).unwrap());
        }
        bytes
    }

    fn arrive_at_server(&mut self, sent: SentDatagram) {
        let SentDatagram { from, to, bytes } = &sent;
        assert!((1..=3).any(|n| server(n) == *to), "{to} is no server");
        let known = self.requests.get_mut(bytes).expect("a client has sent it, just so");
        known.seen += 1;
        assert!(known.seen <= known.delivered, "{known:?}");
        let owner = (known.from, known.to.ip());
        assert_eq!(*self.flows.entry(*from).or_insert(owner), owner, "a flow has one client");
        if *to == server(1) && self.random.chance(self.plan.refusals[1]) {
            self.sim().refuse_datagram(&sent, nix::errno::Errno::ECONNREFUSED);
            return;
        }
        for _ in 0..self.random.below(3) {
            let len = [9, 50, 1_200][self.random.below(3)];
            let bytes = self.content(b'a', len);
            let delivered = self.sim().send_datagram(*to, *from, &bytes);
            self.answers.insert(bytes, Known { from: *to, to: *from, delivered, seen: 0 });
        }
    }

    fn arrive_at_client(&mut self, sent: SentDatagram) {
        let SentDatagram { from, to, bytes } = &sent;
        if self.plan.echo {
            let known = self.requests.get_mut(bytes).expect("the client has sent it, just so");
            known.seen += 1;
            assert!(known.seen <= known.delivered, "{known:?}");
            assert_eq!((known.from, known.to), (*to, *from), "from the address that was asked");
        } else {
            let known = self.answers.get_mut(bytes).expect("a server has sent it, just so");
            known.seen += 1;
            assert!(known.seen <= known.delivered, "{known:?}");
            assert_eq!(self.flows.get(&known.to), Some(&(*to, from.ip())), "to its own client");
        }
        if self.random.chance(self.plan.refusals[0]) {
            self.sim().refuse_datagram(&sent, nix::errno::Errno::ECONNREFUSED);
        }
    }

    /// Runs without new requests until nothing moves.
    fn settle(&mut self) {
        (0..100).for_each(|_| self.step());
    }

    fn drain(&mut self) {
        drain(&mut self.worker, None);
        for _ in 0..200 {
            self.step();
        }
        self.worker.sessions().finish();
    }

    fn assert_clean(&mut self) {
        let cell = &self.workers.cells()[0].stats;
        let stats = &cell.datagrams.get(0);
        assert_eq!(cell.stale.get(), 0, "no completion outlives its flow");
        assert_eq!(cell.upstreams.get(0).active.get(), 0);
        assert_eq!(stats.flows_active.get(), 0);
        let ended: u64 = stats.flows_ended.iter().map(ringway::runtime::Counter::get).sum();
        assert_eq!(ended, stats.flows_opened.get(), "each flow has one end");
        assert!(!self.workers.cells()[0].is_accepting());
        let sessions = self.worker.sessions();
        assert!(sessions.is_drained() && sessions.is_empty());
        let reactor = sessions.reactor();
        assert_eq!(reactor.pending(), 0, "no operation is left");
        assert_eq!(reactor.timers_armed(), 0, "no timer is left");
        assert_eq!(self.sim().open(), 0, "no descriptor is left");
        assert_eq!(self.sim().datagram_buffers_home(), DATAGRAM_BUFFERS);
    }

    /// What the world has delivered came out as often: nothing was dropped.
    fn assert_all_came(&self) {
        let known = self.requests.values().chain(self.answers.values());
        for known in known {
            assert_eq!(known.seen, known.delivered, "{known:?}");
        }
    }
}

#[test]
fn an_echo_without_faults_answers_every_datagram_from_the_asked_address() {
    for_each_seed(|seed| {
        let plan = Plan { echo: true, turns: 60, ..Plan::of(seed) };
        let mut scenario = Scenario::new(seed, Faults::NONE, plan);
        scenario.run();
        scenario.settle();
        scenario.assert_all_came();
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn an_echo_under_all_faults_answers_at_most_as_often_as_it_was_asked() {
    for_each_seed(|seed| {
        let plan = Plan { echo: true, refusals: [50, 0], turns: 60, ..Plan::of(seed) };
        let mut scenario = Scenario::new(seed, Faults::ALL, plan);
        scenario.run();
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn a_proxy_without_faults_delivers_everything_to_the_right_client() {
    for_each_seed(|seed| {
        let mut scenario = Scenario::new(seed, Faults::NONE, Plan::of(seed));
        scenario.run();
        scenario.settle();
        scenario.assert_all_came();
        assert_eq!(
            scenario.ended(FlowEnd::Idle) + scenario.workers.flows(0).iter().sum::<u64>(),
            scenario.stats().flows_opened.get()
        );
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn a_proxy_under_all_faults_delivers_nothing_twice_and_nothing_to_others() {
    for_each_seed(|seed| {
        let plan = Plan { refusals: [20, 50], ..Plan::of(seed) };
        let mut scenario = Scenario::new(seed, Faults::ALL, plan);
        scenario.run();
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn starved_sockets_are_all_fed_again() {
    for_some_seeds(|seed| {
        let plan = Plan { clients: 30, turns: 60, ..Plan::of(seed) };
        let mut scenario = Scenario::new(seed, Faults::NONE, plan);
        scenario.run();
        scenario.sim().set_faults(Faults { starve: 1000, end_multishot: 500, ..Faults::NONE });
        scenario.run();
        scenario.sim().set_faults(Faults::NONE);
        scenario.run();
        scenario.settle();
        // Some had no room in a queue; what the queues took came out.
        scenario.assert_all_came();
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn more_clients_than_flows_evict_the_oldest_and_the_limit_holds() {
    for_some_seeds(|seed| {
        let plan = Plan { clients: 40, flows_max: 5, refusals: [20, 20], ..Plan::of(seed) };
        let mut scenario = Scenario::new(seed, Faults::ALL, plan);
        scenario.run();
        assert!(scenario.ended(FlowEnd::Evicted) > 0);
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn flows_that_are_idle_end_and_others_do_not() {
    for_some_seeds(|seed| {
        let plan = Plan { clients: 6, ..Plan::of(seed) };
        let mut scenario = Scenario::new(seed, Faults::NONE, plan);
        scenario.run();
        let idle_before = scenario.ended(FlowEnd::Idle);
        let opened = scenario.stats().flows_opened.get();
        for _ in 0..400 {
            scenario.send_request(client(0));
            scenario.step();
        }
        let kinds = if scenario.plan.wildcard { 2 } else { 1 };
        assert!(scenario.workers.flows(0).iter().sum::<u64>() <= kinds, "the others are idle");
        assert!(scenario.ended(FlowEnd::Idle) >= idle_before);
        assert!(scenario.stats().flows_opened.get() <= opened + kinds);
        (0..400).for_each(|_| scenario.step());
        assert_eq!(scenario.workers.flows(0).iter().sum::<u64>(), 0);
        assert_eq!(scenario.ended(FlowEnd::Idle), scenario.stats().flows_opened.get());
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn flows_go_on_when_plans_are_replaced_and_end_with_their_listener() {
    for_each_seed(|seed| {
        let faults = if seed % 2 == 0 { Faults::NONE } else { Faults::ALL };
        let mut scenario = Scenario::new(seed, faults, Plan::of(seed));
        scenario.run_with_reloads();
        // All flows become idle, and with them go the upstreams of earlier plans.
        (0..600).for_each(|_| scenario.step());
        assert_eq!(scenario.workers.flows(0), [0]);
        let upstreams = scenario.worker.sessions().upstreams();
        scenario.swaps.assert_alone(upstreams);
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn a_listener_that_has_flows_no_more_ends_those_that_it_had() {
    for_some_seeds(|seed| {
        let mut scenario = Scenario::new(seed, Faults::NONE, Plan::of(seed));
        scenario.run();
        (0..20).for_each(|_| scenario.step());
        assert_ne!(scenario.workers.flows(0), [0]);
        scenario.plan.echo = true;
        scenario.swap();
        scenario.plan.echo = false;
        assert_eq!(scenario.workers.flows(0), [0]);
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn a_server_that_refuses_is_passed_over() {
    for_some_seeds(|seed| {
        let plan = Plan { refusals: [0, 1000], turns: 400, ..Plan::of(seed) };
        let mut scenario = Scenario::new(seed, Faults::NONE, plan);
        scenario.run();
        let refused = scenario.ended(FlowEnd::ServerUnreachable);
        // All of a turn's new flows may meet it, and those that did before it was known.
        assert!(refused <= 2 * scenario.plan.clients as u64, "{refused} flows met it");
        let failed: u64 = scenario.workers.cells()[0]
            .stats
            .upstreams
            .get(0)
            .failed
            .iter()
            .map(ringway::runtime::Counter::get)
            .sum();
        assert_eq!(failed, refused);
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn a_client_that_is_gone_loses_its_flow() {
    for_some_seeds(|seed| {
        let plan = Plan { refusals: [300, 0], ..Plan::of(seed) };
        let mut scenario = Scenario::new(seed, Faults::NONE, plan);
        scenario.run();
        assert!(scenario.ended(FlowEnd::ClientUnreachable) > 0);
        scenario.drain();
        scenario.assert_clean();
    });
}

#[test]
fn without_descriptors_datagrams_are_dropped_and_counted() {
    for_some_seeds(|seed| {
        let faults = Faults { descriptors: 1000, ..Faults::NONE };
        let mut scenario = Scenario::new(seed, faults, Plan::of(seed));
        scenario.run();
        let stats = scenario.stats();
        assert_eq!(stats.dropped[DropReason::NoFlow as usize].get(), stats.received.get());
        assert_eq!(scenario.ended(FlowEnd::Resources), stats.flows_opened.get());
        scenario.drain();
        scenario.assert_clean();
    });
}
