//! One worker on a simulated kernel, with clients and servers that follow a plan.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway::ring::sim::{Behaviour, Faults, PeerId, Random, Sim};
use ringway::ring::{Fd, SocketAddress, StreamOptions};
use ringway::server::Worker;
use ringway::service::CloseReason;
use ringway::service::cluster::ClusterOptions;
use ringway::service::cluster::servers::Policy;
use ringway::service::handler::{Handler, Kind, Refusal, Request};
use ringway::session::{HandlerFactory, Planned, ServiceOptions, UpstreamOptions, Workers};

use super::frames::{listener_options, options as session_options};
use super::reload::Swaps;

/// Seeds of each kind of run, unless `RINGWAY_SIM_RUNS` says another number.
const RUNS: u64 = 2_000;
/// Turns after which a run counts as hanging.
const TURNS_MAX: usize = 60_000;
const BUFFERS: u16 = 8;
const BUFFER_SIZE: u32 = 256;
const LINE_LIMIT: u32 = 400;
/// How long a drain with a deadline may take.
pub(crate) const DRAIN_TIME: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_millis(50);

/// Runs `test` with many seeds, and says which one failed.
pub(crate) fn for_each_seed(test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for_seeds(1, test);
}

/// The same with a tenth of the seeds, for long runs.
pub(crate) fn for_some_seeds(test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for_seeds(10, test);
}

/// Whether at least as many seeds are run as by default.
pub(crate) fn is_full_sweep() -> bool {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    number("RINGWAY_SIM_SEED").is_none()
        && number("RINGWAY_SIM_RUNS").is_none_or(|runs| runs >= RUNS)
}

/// The same with one of `share` seeds.
pub(crate) fn for_seeds(share: u64, test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("RINGWAY_SIM_SEED") {
        return test(seed);
    }
    for seed in 0..number("RINGWAY_SIM_RUNS").unwrap_or(RUNS) / share {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!(
                "failed with this seed; replay: RINGWAY_SIM_SEED={seed} cargo test --test sim"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

/// What the peers do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    connections: usize,
    to_server: usize,
    to_client: usize,
    /// Chance of a reset by either side in a turn, in a thousand.
    resets: u32,
    capacity: usize,
    /// Chance that a peer reads in a turn, in a thousand: low is a slow receiver.
    reads: u32,
    silent: bool,
    turn_budget: usize,
}

impl Plan {
    /// Both sides send all they have, then finish, in a random order.
    pub(crate) fn orderly(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xabcd);
        let sizes = [0, 1, 100, 5_000, 30_000];
        Self {
            connections: 1 + random.below(4),
            to_server: sizes[random.below(sizes.len())],
            to_client: sizes[random.below(sizes.len())],
            resets: 0,
            capacity: [300, 2_000, 50_000][random.below(3)],
            reads: [50, 500, 1000][random.below(3)],
            silent: false,
            turn_budget: 4_000,
        }
    }

    pub(crate) fn with_resets(seed: u64) -> Self {
        Self { resets: 20, ..Self::orderly(seed) }
    }

    /// Much in one direction.
    pub(crate) fn bulk(seed: u64) -> Self {
        Self {
            connections: 1,
            to_server: 100_000,
            to_client: 500,
            capacity: 60_000,
            reads: 1000,
            ..Self::orderly(seed)
        }
    }

    /// Bulk of many clients at once, of which a turn may move little.
    pub(crate) fn bulk_of_many(seed: u64) -> Self {
        Self { connections: 12, turn_budget: 1_000, ..Self::bulk(seed) }
    }

    /// Much to send to, and nobody who reads what comes back.
    pub(crate) fn unread() -> Self {
        let (connections, to_server, capacity) = (3, 30_000, 2_000);
        Self { connections, to_server, capacity, reads: 0, ..Self::orderly(1) }
    }

    /// Many more connections than buffers, all of them silent.
    pub(crate) fn crowd() -> Self {
        Self { connections: 40, ..Self::silent() }
    }

    /// Nobody says anything, or ends.
    pub(crate) fn silent() -> Self {
        Self { connections: 2, to_server: 0, to_client: 0, silent: true, ..Self::orderly(1) }
    }
}

/// One side of one connection.
#[derive(Debug)]
struct Peer {
    id: PeerId,
    to_send: Vec<u8>,
    /// What a client of a service without servers gets for it.
    expected: Vec<u8>,
    sent: usize,
    finished: bool,
    received: Vec<u8>,
    broken: bool,
    done: bool,
}

impl Peer {
    fn new(id: PeerId, to_send: Vec<u8>) -> Self {
        let (expected, received) = (Vec::new(), Vec::new());
        Self {
            id,
            to_send,
            expected,
            sent: 0,
            finished: false,
            received,
            broken: false,
            done: false,
        }
    }
}

/// A worker, its kernel, its peers.
pub(crate) struct Scenario {
    worker: Worker<Sim>,
    workers: Arc<Workers>,
    plan: Plan,
    random: Random,
    clients: Vec<Peer>,
    servers: Vec<Peer>,
    seed: u64,
    service: ServiceOptions,
    /// Messages that all clients have to send.
    messages: u64,
    listener: Fd,
    listens: bool,
    drained: bool,
    /// Makes the plans that come later.
    swaps: Swaps,
}

fn address(last: u8) -> SocketAddress {
    SocketAddress::inet(std::net::SocketAddr::from(([10, 0, 0, last], 80)))
}

/// What client (or server) number `number` sends: recognisable, and different at every position.
fn text(seed: u64, number: usize, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed.wrapping_mul(31).wrapping_add(number as u64));
    (0..len).map(|_| (random.bits() & 0xff) as u8).collect()
}

/// Answers `twice` with the payload, two times.
#[derive(Debug)]
struct Twice;

impl Handler for Twice {
    fn handle(&mut self, request: &Request<'_>, answer: &mut Vec<u8>) -> Result<(), Refusal> {
        match request.kind {
            Kind::Message("twice") => {
                answer.extend_from_slice(&request.payload.repeat(2));
                Ok(())
            }
            Kind::Message(_) | Kind::Command(_) => Err(Refusal::Unknown),
        }
    }
}

/// Lines that are to be answered, how they are, and how many of them there are.
fn messages(seed: u64, number: usize, len: usize) -> (Vec<u8>, Vec<u8>, u64) {
    let mut random = Random::new(seed.wrapping_mul(37).wrapping_add(number as u64));
    let (mut lines, mut answers, mut count) = (String::new(), String::new(), 0);
    let many_ends = "\n".repeat(900);
    let error = |code: &str, message: &str| {
        format!("{{\"type\":\"error\",\"code\":\"{code}\",\"message\":\"{message}\"}}\n")
    };
    while lines.len() < len {
        let end = ["\n", "\r\n", "\n\r\n\n", &many_ends][random.below(4)];
        let payload: Vec<u8> =
            (0..random.below(150)).map(|_| (random.bits() & 0xff) as u8).collect();
        let (once, twice) = (STANDARD.encode(&payload), STANDARD.encode(payload.repeat(2)));
        let message = |kind: &str, payload: &str| {
            format!("{{\"type\":\"{kind}\",\"payload\":\"{payload}\",\"id\":{count}}}")
        };
        let (line, answer) = match random.below(10) {
            0 => ("nonsense".to_owned(), error("bad_json", "expected ident at column 2")),
            1 => {
                let text = "the line is longer than 400 bytes; it was discarded";
                ("x".repeat(401 + random.below(2_000)), error("line_too_long", text))
            }
            2 | 3 => (message("twice", &once), message("twice", &twice) + "\n"),
            _ => (message("echo", &once), message("echo", &once) + "\n"),
        };
        lines += &line;
        lines += end;
        answers += &answer;
        count += 1;
    }
    if len > 0 && random.chance(300) {
        lines += "{";
        let text = "the last line does not end with a line feed; it was discarded";
        answers += &error("unfinished_line", text);
        count += 1;
    }
    (lines.into_bytes(), answers.into_bytes(), count)
}

/// Tells a worker to drain; what is left after `time` is closed.
pub(crate) fn drain(worker: &mut Worker<Sim>, time: Option<Duration>) {
    let sessions = worker.sessions();
    sessions.reactor().driver().wake();
    sessions.drain();
    if let Some(time) = time {
        let deadline = sessions.reactor().now() + time;
        sessions.arm_shutdown(deadline);
    }
}

impl Scenario {
    pub(crate) fn relay(seed: u64, faults: Faults, plan: Plan) -> Self {
        let servers = [(1, Behaviour::Accept { capacity: plan.capacity })];
        Self::new(seed, faults, plan, &servers, ServiceOptions::Tcp { upstream: 0 })
    }

    pub(crate) fn relay_with_bad_servers(seed: u64, faults: Faults, plan: Plan) -> Self {
        let good = Behaviour::Accept { capacity: plan.capacity };
        let servers = [
            (1, Behaviour::Refuse),
            (2, Behaviour::Silent),
            (3, Behaviour::Unreachable),
            (4, good),
        ];
        Self::new(seed, faults, plan, &servers, ServiceOptions::Tcp { upstream: 0 })
    }

    pub(crate) fn echo(seed: u64, faults: Faults, plan: Plan) -> Self {
        let mut scenario = Self::alone(seed, faults, plan, ServiceOptions::Echo);
        for client in &mut scenario.clients {
            client.expected.clone_from(&client.to_send);
        }
        scenario
    }

    pub(crate) fn messages(seed: u64, faults: Faults, plan: Plan) -> Self {
        let service = ServiceOptions::Messages { line_limit: LINE_LIMIT };
        let turn_budget = [1, 300, 4_000][Random::new(seed ^ 0xb0d6).below(3)];
        let plan = Plan { turn_budget, ..plan };
        let mut scenario = Self::alone(seed, faults, plan, service);
        let len = scenario.plan.to_server;
        for (number, client) in scenario.clients.iter_mut().enumerate() {
            let count;
            (client.to_send, client.expected, count) = messages(seed, number, len);
            scenario.messages += count;
        }
        scenario
    }

    /// A service without servers.
    fn alone(seed: u64, faults: Faults, plan: Plan, service: ServiceOptions) -> Self {
        Self::new(seed, faults, plan, &[(1, Behaviour::Refuse)], service)
    }

    fn new(
        seed: u64,
        faults: Faults,
        plan: Plan,
        servers: &[(u8, Behaviour)],
        service: ServiceOptions,
    ) -> Self {
        let mut sim = Sim::new(seed, Faults::NONE, BUFFERS, BUFFER_SIZE);
        let listener = sim.listen();
        for (last, behaviour) in servers {
            sim.serve(address(*last), *behaviour);
        }
        let clients = (0..plan.connections)
            .map(|number| {
                let to_send = text(seed, number, plan.to_server);
                Peer::new(sim.connect(listener, plan.capacity), to_send)
            })
            .collect();
        sim.set_faults(faults);
        let workers = Arc::new(Workers::new(1, 1, 1));
        let upstream = UpstreamOptions {
            name: "sim".to_owned(),
            servers: servers.iter().map(|(last, _)| address(*last)).collect(),
            connect_timeout: CONNECT,
            retries: 4,
            send_header: None,
            stream: StreamOptions::default(),
            exchanges: None,
            cluster: ClusterOptions::plain(
                Policy::RoundRobin,
                servers.iter().map(|(last, _)| address(*last).to_string()),
            ),
            tls: None,
        };
        let mut options = session_options(&workers, listener, service.clone(), vec![upstream]);
        options.relay.turn_budget = plan.turn_budget;
        options.handler = HandlerFactory::new(|_| Box::new(Twice));
        let swaps = Swaps::new(seed, &workers, options.upstreams[0].clone(), options.relay);
        let mut worker = Worker::new(sim, options, None);
        worker.start(None);
        Self {
            worker,
            workers,
            plan,
            swaps,
            random: Random::new(seed ^ 0x5eed),
            clients,
            servers: Vec::new(),
            seed,
            service,
            messages: 0,
            listener,
            listens: true,
            drained: false,
        }
    }

    /// Runs until all peers are done and the worker has no connection left.
    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.step();
            let all_served = self.accepted() == self.clients.len() as u64;
            if all_served && self.worker.sessions().is_empty() {
                return self.settle();
            }
        }
        self.hang();
    }

    /// Runs until all is done, while plans are replaced. Connections whose listener is gone may go
    /// on for `timeout`.
    pub(crate) fn run_with_reloads(&mut self, timeout: Duration) {
        self.swaps.timeout = timeout;
        for _ in 0..TURNS_MAX {
            self.step();
            if self.swaps.is_due() {
                self.swap();
            }
            let all_served = self.accepted() == self.clients.len() as u64;
            if all_served && self.worker.sessions().is_empty() {
                self.swaps.end();
                self.swap();
                self.run_for(50);
                self.swaps.assert_alone(self.worker.sessions().upstreams());
                return self.settle();
            }
        }
        self.hang();
    }

    fn swap(&mut self) {
        let sessions = self.worker.sessions();
        let now = sessions.reactor().now();
        let mut plan = self.swaps.plan(now);
        let sim = sessions.reactor().driver();
        sim.wake();
        if self.swaps.listens {
            if !self.listens {
                self.listener = sim.listen();
            }
            let upstream = self.swaps.number();
            let service = ServiceOptions::Tcp { upstream };
            let options = listener_options(self.listener, service);
            plan.listeners.push(Planned { lease: self.swaps.listener.clone(), options });
        }
        self.listens = self.swaps.listens;
        sessions.replace_plan(plan);
    }

    /// Runs for so many turns.
    pub(crate) fn run_for(&mut self, turns: usize) {
        (0..turns).for_each(|_| self.step());
    }

    /// Runs until all is done. Returns the most bytes that were spliced in one turn.
    pub(crate) fn run_and_measure(&mut self) -> u64 {
        let mut most = 0;
        for _ in 0..TURNS_MAX {
            let before = self.spliced();
            self.step();
            most = most.max(self.spliced() - before);
            let all_served = self.accepted() == self.clients.len() as u64;
            if all_served && self.worker.sessions().is_empty() {
                self.settle();
                return most;
            }
        }
        self.hang();
    }

    /// Runs until one server has all bytes of its client, then to the end. Returns the least that
    /// any server had at that time.
    pub(crate) fn run_and_compare(&mut self) -> usize {
        let is_all = |server: &Peer, most: usize| server.received.len() >= most;
        let mut turns = 0..TURNS_MAX;
        let most = self.plan.to_server;
        turns.find(|_| {
            self.step();
            self.servers.iter().any(|server| is_all(server, most))
        });
        let least = self.servers.iter().map(|server| server.received.len()).min().unwrap_or(0);
        self.run();
        least
    }

    /// No received byte keeps a pool buffer.
    pub(crate) fn assert_buffers_home(&mut self) {
        let sim = self.worker.sessions().reactor().driver();
        assert_eq!(sim.buffers_home(), usize::from(BUFFERS));
    }

    pub(crate) fn set_faults(&mut self, faults: Faults) {
        self.worker.sessions().reactor().driver().set_faults(faults);
    }

    /// Runs for a while, then drains with a deadline.
    pub(crate) fn run_and_drain(&mut self) {
        for _ in 0..self.random.below(300) {
            self.step();
        }
        self.drain();
        for _ in 0..TURNS_MAX {
            self.step();
            let sessions = self.worker.sessions();
            if sessions.is_drained() && sessions.is_empty() {
                assert_eq!(self.accepted(), self.clients.len() as u64, "the queue was emptied");
                return self.settle();
            }
        }
        self.hang();
    }

    fn drain(&mut self) {
        self.drained = true;
        drain(&mut self.worker, Some(DRAIN_TIME));
    }

    fn step(&mut self) {
        self.worker.turn().expect("the simulated kernel does not fail");
        self.admit_servers();
        let mut clients = std::mem::take(&mut self.clients);
        let mut servers = std::mem::take(&mut self.servers);
        for peer in clients.iter_mut().chain(&mut servers) {
            self.play(peer);
        }
        self.clients = clients;
        self.servers = servers;
    }

    /// Gives each new server peer something to send. Which client it serves shows in what comes.
    fn admit_servers(&mut self) {
        let accepted = self.worker.sessions().reactor().driver().take_accepted();
        for (_, id) in accepted {
            let to_send = text(self.seed, 1_000 + self.servers.len(), self.plan.to_client);
            self.servers.push(Peer::new(id, to_send));
        }
    }

    fn play(&mut self, peer: &mut Peer) {
        if peer.done {
            return;
        }
        let sim = self.worker.sessions().reactor().driver();
        if self.random.chance(self.plan.reads) {
            let most = 1 + self.random.below(self.plan.capacity);
            peer.received.extend(sim.peer_read(peer.id, most));
        }
        if sim.peer_was_reset(peer.id) {
            peer.broken = true;
            peer.done = true;
            return;
        }
        if self.plan.silent {
            return;
        }
        let part = 1 + self.random.below(2_000);
        let end = peer.to_send.len().min(peer.sent + part);
        peer.sent += sim.peer_write(peer.id, &peer.to_send[peer.sent..end]);
        if self.random.chance(self.plan.resets) {
            sim.peer_reset(peer.id);
            peer.broken = true;
            peer.done = true;
            return;
        }
        let wants_end = peer.sent == peer.to_send.len() && self.random.chance(300);
        if wants_end && !peer.finished {
            sim.peer_finish(peer.id);
            peer.finished = true;
        }
        peer.done = peer.finished && sim.peer_at_end(peer.id);
    }

    /// After the last connection: lets closes complete, and peers read what is still under way.
    fn settle(&mut self) {
        if !self.drained {
            self.drain();
        }
        for _ in 0..200 {
            self.step();
        }
        self.worker.sessions().finish();
        let sim = self.worker.sessions().reactor().driver();
        for peer in self.clients.iter_mut().chain(&mut self.servers) {
            peer.received.extend(sim.peer_read(peer.id, usize::MAX));
        }
    }

    fn hang(&mut self) -> ! {
        panic!(
            "{} connections after {TURNS_MAX} turns: {:#?}\n{:#?}",
            self.worker.sessions().len(),
            self.plan,
            self.worker
        );
    }

    fn accepted(&self) -> u64 {
        self.workers.cells()[0].stats.listeners.get(0).accepted.get()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.clients.len() as u64
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> u64 {
        self.workers.cells()[0].stats.listeners.get(0).closed[reason.index()].get()
    }

    pub(crate) fn retries(&self) -> u64 {
        self.workers.cells()[0].stats.upstreams.get(0).retries.get()
    }

    pub(crate) fn promotions(&self) -> u64 {
        self.workers.cells()[0].stats.relay.promotions.get()
    }

    pub(crate) fn spliced(&self) -> u64 {
        self.workers.cells()[0].stats.relay.spliced.get()
    }

    fn has_servers(&self) -> bool {
        matches!(self.service, ServiceOptions::Tcp { .. })
    }

    /// Each message was answered once, as the counters have it.
    pub(crate) fn assert_messages_counted(&self) {
        let stats = &self.workers.cells()[0].stats.listeners.get(0).messages;
        let errors: u64 = stats.errors.iter().map(|counter| counter.get()).sum();
        assert_eq!(stats.answered.get() + errors, self.messages);
    }

    /// All bytes have come, both ways, unless a want of descriptors ended connections.
    pub(crate) fn assert_delivered(&self) {
        self.assert_prefixes();
        if self.closed(CloseReason::Resources) + self.closed(CloseReason::ConnectFailed) > 0 {
            return;
        }
        for peer in self.clients.iter().chain(&self.servers) {
            assert!(!peer.broken, "no reset in an orderly run");
            assert_eq!(peer.sent, peer.to_send.len());
        }
        if !self.has_servers() {
            assert!(self.clients.iter().all(|client| client.received == client.expected));
            return;
        }
        assert_eq!(self.servers.len(), self.clients.len());
        for (client, server) in self.clients.iter().zip(self.pairs()) {
            assert!(client.received == server.to_send, "client: {}", diff(client, server));
            assert!(server.received == client.to_send, "server: {}", diff(server, client));
        }
    }

    /// What came is a beginning of what was sent by one and the same other side.
    pub(crate) fn assert_prefixes(&self) {
        for client in &self.clients {
            let from = |sent: &Peer| sent.to_send.starts_with(&client.received);
            let right = if self.has_servers() {
                self.servers.iter().any(from)
            } else {
                client.expected.starts_with(&client.received)
            };
            assert!(right || client.received.is_empty(), "a client got what nobody has sent");
        }
        for server in &self.servers {
            let from = |client: &Peer| client.to_send.starts_with(&server.received);
            assert!(self.clients.iter().any(from), "a server got what no client has sent");
        }
    }

    /// The server of each client, found by the bytes of one or the other direction; servers that
    /// cannot be told apart (nothing was sent) are dealt out.
    fn pairs(&self) -> Vec<&Peer> {
        let mut free: Vec<&Peer> = self.servers.iter().collect();
        let mut pairs = Vec::new();
        for client in &self.clients {
            let fits = |server: &&Peer| {
                server.received == client.to_send && server.to_send == client.received
            };
            let at = free.iter().position(fits).unwrap_or_else(|| {
                panic!("a client without a server: {:?}", (&self.plan, client.received.len()))
            });
            pairs.push(free.swap_remove(at));
        }
        pairs
    }

    /// Every slot, buffer, pipe, timer and descriptor is back.
    pub(crate) fn assert_clean(&mut self) {
        let stats = &self.workers.cells()[0];
        assert_eq!(stats.active.get(), 0);
        assert_eq!(stats.stats.upstreams.get(0).active.get(), 0);
        assert_eq!(stats.stats.stale.get(), 0, "no completion outlives its slot");
        let closed: u64 = CloseReason::ALL.iter().map(|reason| self.closed(*reason)).sum();
        assert_eq!(closed, self.connections(), "each connection has one end");
        let listener = self.listener;
        let sessions = self.worker.sessions();
        assert_eq!((sessions.len(), sessions.pipes_open()), (0, 0));
        let reactor = sessions.reactor();
        assert_eq!(reactor.pending(), 0, "no operation is left");
        assert!(reactor.timers_armed() <= 1, "no timer is left but the shutdown's");
        let sim = reactor.driver();
        assert_eq!(sim.open(), 0, "no descriptor is left ({listener:?} was closed)");
        assert_eq!(sim.buffers_home(), usize::from(BUFFERS));
    }
}

fn diff(to: &Peer, from: &Peer) -> String {
    let same = to.received.iter().zip(&from.to_send).take_while(|(a, b)| a == b).count();
    format!(
        "{} bytes, {} expected, the first {same} are right",
        to.received.len(),
        from.to_send.len()
    )
}
