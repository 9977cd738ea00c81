//! WebSockets that are relayed to TCP servers, on the simulated kernel. Servers send back what they
//! get.

use std::sync::Arc;
use std::time::Duration;

use ringway::proto::websocket::{CloseCode, Endpoint, Item, Limits, Opcode, Role, write};
use ringway::ring::sim::{Behaviour, Faults, PeerId, Random, Sim};
use ringway::ring::{SocketAddress, StreamOptions};
use ringway::server::Worker;
use ringway::service::cluster::ClusterOptions;
use ringway::service::cluster::servers::Policy;
use ringway::session::http_options::RouteAction;
use ringway::session::websocket_options::{Origins, RelayFormat, SocketService, WebSocketOptions};
use ringway::session::{ServiceOptions, UpstreamOptions, Workers};

use super::frames::options as session_options;
use super::harness::{DRAIN_TIME, drain, for_each_seed, for_some_seeds};
use super::http;

const TURNS_MAX: usize = 60_000;
const BUFFERS: u16 = 8;
const BUFFER_SIZE: u32 = 256;
const LIMITS: Limits = Limits { frame: 1 << 20, message: 1 << 20, deflate: false };
const MASK: Option<[u8; 4]> = Some([0xa0, 0x11, 0x7f, 0x3c]);
const REQUEST: &str = "GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What peers do.
#[derive(Debug, Clone, Copy)]
struct Plan {
    format: RelayFormat,
    capacity: usize,
    /// Chance that a peer reads in a turn, in a thousand.
    reads: u32,
    /// Chance of a reset by either side in a turn, in a thousand.
    resets: u32,
    waiting_memory: u64,
}

impl Plan {
    fn new(seed: u64, resets: u32) -> Self {
        let mut random = Random::new(seed ^ 0x77_0b);
        Self {
            format: [RelayFormat::Bytes, RelayFormat::Lines][random.below(2)],
            capacity: [300, 2_000, 50_000][random.below(3)],
            reads: [50, 500, 1_000][random.below(3)],
            resets,
            waiting_memory: [4_000, 1 << 20][random.below(2)],
        }
    }
}

/// A client, whose messages come back.
#[derive(Debug)]
struct Client {
    peer: PeerId,
    to_send: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    is_open: bool,
    is_refused: bool,
    endpoint: Endpoint,
    message: Vec<u8>,
    received: Vec<Vec<u8>>,
    expected: Vec<Vec<u8>>,
    has_closed: bool,
    code: Option<u16>,
    done: bool,
}

impl Client {
    fn new(peer: PeerId, number: usize, random: &mut Random) -> Self {
        let mut to_send = REQUEST.as_bytes().to_vec();
        let expected: Vec<Vec<u8>> = (0..random.below(20))
            .map(|place| {
                let text = format!("client {number}, message {place}. ");
                text.repeat(1 + random.below(60)).into_bytes()
            })
            .collect();
        for message in &expected {
            let opcode = if random.chance(500) { Opcode::Text } else { Opcode::Binary };
            if random.chance(200) {
                write::control(Opcode::Ping, b"ping", MASK, &mut to_send);
            }
            let (first, last) = message.split_at(random.below(message.len()));
            if first.is_empty() {
                write::frame(opcode, (true, false), last, MASK, &mut to_send);
            } else {
                write::frame(opcode, (false, false), first, MASK, &mut to_send);
                write::frame(Opcode::Continuation, (true, false), last, MASK, &mut to_send);
            }
        }
        Self {
            peer,
            to_send,
            sent: 0,
            input: Vec::new(),
            is_open: false,
            is_refused: false,
            endpoint: Endpoint::new(Role::Client),
            message: Vec::new(),
            received: Vec::new(),
            expected,
            has_closed: false,
            code: None,
            done: false,
        }
    }

    fn play(&mut self, sim: &mut Sim, random: &mut Random, plan: &Plan) {
        if self.done {
            return;
        }
        if random.chance(plan.reads) {
            self.input.extend(sim.peer_read(self.peer, 1 + random.below(plan.capacity)));
            self.take();
        }
        if sim.peer_was_reset(self.peer) {
            self.done = true;
            return;
        }
        if self.has_all(plan) && !self.has_closed && self.code.is_none() {
            self.has_closed = true;
            self.endpoint.close(CloseCode::NORMAL, "", MASK, &mut self.to_send);
        }
        let end = self.to_send.len().min(self.sent + 1 + random.below(2_000));
        self.sent += sim.peer_write(self.peer, &self.to_send[self.sent..end]);
        if random.chance(plan.resets) {
            sim.peer_reset(self.peer);
            self.done = true;
        } else if sim.peer_at_end(self.peer) {
            sim.peer_finish(self.peer);
            self.done = true;
        }
    }

    fn take(&mut self) {
        if self.is_refused {
            return;
        }
        if !self.is_open {
            let Some(end) = self.input.windows(4).position(|part| part == b"\r\n\r\n") else {
                return;
            };
            if self.input.starts_with(b"HTTP/1.1 503 ") {
                // The worker drains, or is short of something.
                self.is_refused = true;
                return;
            }
            assert!(self.input.starts_with(b"HTTP/1.1 101 "), "the handshake is answered");
            self.input.drain(..end + 4);
            self.is_open = true;
        }
        while !self.input.is_empty() {
            let (count, item) = self.endpoint.read(&mut self.input, &LIMITS).unwrap();
            match item {
                Some(Item::Part(part)) => {
                    self.message.extend_from_slice(&self.input[part.payload]);
                    if part.last {
                        self.received.push(std::mem::take(&mut self.message));
                    }
                }
                Some(item) => {
                    if let Item::Close(code, _) = item {
                        self.code = Some(code.0);
                    }
                    self.endpoint.answer(&item, MASK, &mut self.to_send);
                }
                None => {}
            }
            self.input.drain(..count);
        }
    }

    fn has_all(&self, plan: &Plan) -> bool {
        match plan.format {
            RelayFormat::Bytes => self.received.concat().len() == self.expected.concat().len(),
            RelayFormat::Lines => self.received.len() == self.expected.len(),
        }
    }

    /// What came is a beginning of what was sent.
    fn assert_own(&self, plan: &Plan) {
        match plan.format {
            RelayFormat::Bytes => {
                let came = [self.received.concat(), self.message.clone()].concat();
                assert!(self.expected.concat().starts_with(&came));
            }
            RelayFormat::Lines => assert!(self.expected.starts_with(&self.received)),
        }
    }
}

/// A server's end of one connection.
#[derive(Debug)]
struct Mirror {
    peer: PeerId,
    out: Vec<u8>,
    done: bool,
}

impl Mirror {
    fn play(&mut self, sim: &mut Sim, random: &mut Random, plan: &Plan) {
        if self.done {
            return;
        }
        // It reads no more than it can send back.
        if random.chance(plan.reads) && self.out.len() < 2_000 {
            self.out.extend(sim.peer_read(self.peer, 1 + random.below(plan.capacity)));
        }
        if sim.peer_was_reset(self.peer) {
            self.done = true;
            return;
        }
        let part = self.out.len().min(1 + random.below(2_000));
        let sent = sim.peer_write(self.peer, &self.out[..part]);
        self.out.drain(..sent);
        if random.chance(plan.resets) {
            sim.peer_reset(self.peer);
            self.done = true;
        } else if sim.peer_at_end(self.peer) {
            // Nobody is left who takes what was not sent.
            sim.peer_finish(self.peer);
            self.done = true;
        }
    }
}

struct Scenario {
    worker: Worker<Sim>,
    workers: Arc<Workers>,
    random: Random,
    plan: Plan,
    clients: Vec<Client>,
    servers: Vec<Mirror>,
}

fn address(last: u8) -> SocketAddress {
    SocketAddress::inet(std::net::SocketAddr::from(([10, 0, 0, last], 80)))
}

fn socket_options(format: RelayFormat) -> WebSocketOptions {
    WebSocketOptions {
        service: SocketService::Relay { upstream: 0, format },
        limits: LIMITS,
        subprotocols: Default::default(),
        origins: Origins::Any,
        deflate: None,
        ping_interval: Some(Duration::from_millis(200)),
        idle_timeout: Some(Duration::from_secs(20)),
        close_timeout: Duration::from_secs(2),
        message_rate: None,
        drain_code: CloseCode::RESTART,
        drain_window: Duration::from_millis(20),
    }
}

impl Scenario {
    fn new(seed: u64, faults: Faults, plan: Plan, servers: &[(u8, Behaviour)]) -> Self {
        let mut random = Random::new(seed ^ 0x50c7);
        let mut sim = Sim::new(seed, Faults::NONE, BUFFERS, BUFFER_SIZE);
        let listener = sim.listen();
        servers.iter().for_each(|(last, behaviour)| sim.serve(address(*last), *behaviour));
        let clients = (0..1 + random.below(5))
            .map(|number| {
                let peer = sim.connect(listener, plan.capacity);
                Client::new(peer, number, &mut random)
            })
            .collect();
        sim.set_faults(faults);
        let workers = Arc::new(Workers::new(1, 1, 1));
        let mut web = http::listener(0);
        web.routes[0].action = RouteAction::WebSocket(Box::new(socket_options(plan.format)));
        web.write_timeout = Duration::from_secs(20);
        let service = ServiceOptions::Http(Arc::new(web));
        let names = servers.iter().map(|(last, _)| address(*last).to_string());
        let upstream = UpstreamOptions {
            name: "sim".to_owned(),
            servers: servers.iter().map(|(last, _)| address(*last)).collect(),
            connect_timeout: Duration::from_millis(50),
            retries: 4,
            send_header: None,
            stream: StreamOptions::default(),
            exchanges: None,
            cluster: ClusterOptions::plain(Policy::RoundRobin, names),
            tls: None,
        };
        let mut options = session_options(&workers, listener, service, vec![upstream]);
        options.waiting_memory = plan.waiting_memory;
        options.relay.buffer_size = BUFFER_SIZE as usize;
        let mut worker = Worker::new(sim, options, None);
        worker.start(None);
        Self { worker, workers, random, plan, clients, servers: Vec::new() }
    }

    fn step(&mut self) {
        self.worker.turn().expect("the simulated kernel does not fail");
        let Self { worker, random, plan, clients, servers, .. } = self;
        let sim = worker.sessions().reactor().driver();
        let came = sim.take_accepted().into_iter();
        servers.extend(came.map(|(_, peer)| Mirror { peer, out: Vec::new(), done: false }));
        clients.iter_mut().for_each(|client| client.play(sim, random, plan));
        servers.iter_mut().for_each(|server| server.play(sim, random, plan));
    }

    fn accepted(&self) -> u64 {
        self.workers.cells()[0].stats.listeners.get(0).accepted.get()
    }

    /// Runs until all clients are done and nothing is left of them.
    fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.step();
            let all_served = self.accepted() == self.clients.len() as u64;
            if all_served && self.worker.sessions().is_empty() {
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
        for client in &self.clients {
            client.assert_own(&self.plan);
        }
        self.assert_clean();
    }

    fn assert_clean(&mut self) {
        let stats = &self.workers.cells()[0];
        assert_eq!(stats.active.get(), 0);
        assert_eq!(stats.stats.upstreams.get(0).active.get(), 0);
        assert_eq!(stats.stats.waiting.bytes.get(), 0, "nothing waits");
        assert_eq!(stats.stats.stale.get(), 0, "no completion outlives its slot");
        let sessions = self.worker.sessions();
        assert_eq!(sessions.len(), 0);
        let reactor = sessions.reactor();
        assert_eq!(reactor.pending(), 0, "no operation is left");
        assert!(reactor.timers_armed() <= 1, "no timer is left but the shutdown's");
        let sim = reactor.driver();
        assert_eq!(sim.open(), 0, "no descriptor is left: {}", sim.describe_open());
        assert_eq!(sim.buffers_home(), usize::from(BUFFERS));
    }

    /// All messages have come back, and each socket was closed by its client.
    fn assert_delivered(&self) {
        for client in &self.clients {
            assert!(client.has_all(&self.plan) && client.code == Some(1000), "{client:#?}");
        }
    }
}

fn good(plan: &Plan) -> [(u8, Behaviour); 1] {
    [(1, Behaviour::Accept { capacity: plan.capacity })]
}

#[test]
fn a_relayed_socket_delivers_every_message_once_and_in_order() {
    for_each_seed(|seed| {
        let plan = Plan::new(seed, 0);
        let mut scenario = Scenario::new(seed, Faults::NONE, plan, &good(&plan));
        scenario.run();
        scenario.assert_delivered();
    });
}

#[test]
fn a_relayed_socket_under_all_faults_delivers_no_wrong_byte_and_leaks_nothing() {
    for_each_seed(|seed| {
        let plan = Plan::new(seed, 0);
        let mut scenario = Scenario::new(seed, Faults::ALL, plan, &good(&plan));
        scenario.run();
    });
}

#[test]
fn a_relayed_socket_whose_peers_reset_at_any_time_leaks_nothing() {
    for_each_seed(|seed| {
        let plan = Plan::new(seed, 20);
        let mut scenario = Scenario::new(seed, Faults::ALL, plan, &good(&plan));
        scenario.run();
    });
}

#[test]
fn a_relayed_socket_goes_past_servers_that_cannot_be_reached() {
    for_some_seeds(|seed| {
        let plan = Plan::new(seed, 0);
        let servers = [
            (1, Behaviour::Refuse),
            (2, Behaviour::Silent),
            (3, Behaviour::Unreachable),
            (4, Behaviour::Accept { capacity: plan.capacity }),
        ];
        let mut scenario = Scenario::new(seed, Faults::NONE, plan, &servers);
        scenario.run();
        scenario.assert_delivered();
        let mut scenario = Scenario::new(seed, Faults::NONE, plan, &servers[..3]);
        scenario.run();
        for client in &scenario.clients {
            // One without messages closes at once.
            assert!(client.code == Some(1014) || client.expected.is_empty(), "{client:#?}");
        }
    });
}

#[test]
fn relayed_sockets_end_when_the_worker_drains() {
    for_each_seed(|seed| {
        let plan = Plan::new(seed, 0);
        let mut scenario = Scenario::new(seed, Faults::ALL, plan, &good(&plan));
        scenario.run_and_drain();
    });
}
