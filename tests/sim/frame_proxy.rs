//! The frame proxy on the simulated kernel, between clients and servers that check each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringway::proto::frame::{
    ClientOptions, Code, Command, End, Features, PAYLOAD_MAX, Server, ServerEvent, ServerOptions,
    Version,
};
use ringway::ring::sim::{Behaviour, Faults, PeerId, Random, Sim};
use ringway::ring::{Fd, SocketAddress, StreamOptions};
use ringway::server::Worker;
use ringway::service::CloseReason;
use ringway::service::cluster::ClusterOptions;
use ringway::service::cluster::pool::PoolOptions;
use ringway::service::cluster::servers::Policy;
use ringway::service::frame::transfers::{Reset, Transfers};
use ringway::service::proxy::{CREDIT_FIRST, ExchangerOptions};
use ringway::service::retry::RetryPolicy;
use ringway::session::{Planned, ServiceOptions, UpstreamOptions, Workers};

use super::frames::{Asker, VALUE, assert_home, listener_options, options};
use super::harness::drain;
use super::reload::Swaps;

const TURNS_MAX: usize = 60_000;
const BUFFERS: u16 = 8;

/// What the servers do beside answering: chances in a thousand, in each turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Habits {
    pub(crate) reset: u32,
    pub(crate) close: u32,
    pub(crate) go_away: u32,
    pub(crate) refuse: u32,
    /// No answer ever comes.
    pub(crate) mute: bool,
}

/// A server's end of one connection.
#[derive(Debug)]
pub(crate) struct Answerer {
    peer: PeerId,
    machine: Server,
    open: Vec<(u32, Command, Vec<u8>)>,
    /// Answers in parts: what is left of them.
    parts: Transfers<Vec<u8>>,
    out: Vec<u8>,
    gone: bool,
}

impl Answerer {
    pub(crate) fn new(peer: PeerId) -> Self {
        let server = ServerOptions { window: 9, max_payload: PAYLOAD_MAX, features: Features::ALL };
        let machine = Server::new(server);
        let (open, parts, out) = (Vec::new(), Transfers::default(), Vec::new());
        Self { peer, machine, open, parts, out, gone: false }
    }

    pub(crate) fn play(
        &mut self,
        sim: &mut Sim,
        random: &mut Random,
        habits: Habits,
        file: &[u8],
        carried_out: &mut BTreeMap<Vec<u8>, usize>,
    ) {
        if self.gone {
            return;
        }
        if random.chance(500) && !habits.mute {
            let bytes = sim.peer_read(self.peer, 1 + random.below(4_000));
            let mut rest = &bytes[..];
            while let Some(event) =
                self.machine.next(&mut rest, &mut self.out).expect("a proxy that keeps the rules")
            {
                match event {
                    ServerEvent::Request(request) => {
                        let what = (request.stream, request.command, request.payload.to_vec());
                        self.open.push(what);
                    }
                    ServerEvent::Credit { stream, bytes } => {
                        self.parts.add_credit(stream, bytes).expect("a proxy keeps the rules");
                    }
                    ServerEvent::Reset { stream } => {
                        let open = self.open.len();
                        self.open.retain(|(other, ..)| *other != stream);
                        if self.open.len() < open || self.parts.reset(stream) != Reset::Over {
                            let text = "reset";
                            self.machine.refuse(stream, Code::Cancelled, text, &mut self.out);
                        }
                    }
                    ServerEvent::Greeted | ServerEvent::Refused { .. } => {}
                }
            }
        }
        self.send_parts(random);
        while !self.open.is_empty() && random.chance(600) {
            let any = random.below(self.open.len());
            let next = if self.machine.version() == Version::V2 { any } else { 0 };
            let (stream, command, payload) = self.open.remove(next);
            if random.chance(habits.refuse) {
                self.machine.refuse(stream, Code::Overloaded, "not now", &mut self.out);
            } else {
                self.answer(stream, command, &payload, file, carried_out);
            }
        }
        let part = self.out.len().min(1 + random.below(2_000));
        let sent = sim.peer_write(self.peer, &self.out[..part]);
        self.out.drain(..sent);
        if random.chance(habits.reset) {
            sim.peer_reset(self.peer);
            self.gone = true;
        } else if random.chance(habits.close) || sim.peer_at_end(self.peer) {
            sim.peer_finish(self.peer);
            self.gone = true;
        } else if random.chance(habits.go_away) && self.is_idle() {
            self.machine.go_away(Code::ShuttingDown, "bye", &mut self.out);
            let sent = sim.peer_write(self.peer, &self.out);
            if sent == self.out.len() {
                sim.peer_finish(self.peer);
            } else {
                sim.peer_reset(self.peer);
            }
            self.gone = true;
        }
    }

    fn is_idle(&self) -> bool {
        self.open.is_empty() && self.parts.is_empty() && self.out.is_empty()
    }

    /// Sends parts of answers, in turns, as far as there is credit.
    fn send_parts(&mut self, random: &mut Random) {
        while random.chance(800) {
            let Some(transfer) = self.parts.take_turn() else { return };
            let stream = transfer.stream;
            let len = transfer.source.len().min(1 + random.below(300));
            let taken = transfer.take_credit(len);
            let part: Vec<u8> = transfer.source.drain(..taken).collect();
            transfer.count(&part);
            if len == 0 {
                let end = transfer.end().to_bytes();
                self.machine.answer(stream, Command::END, &end, &mut self.out);
                self.parts.finish();
            } else if taken > 0 {
                self.machine.answer(stream, Command::DATA, &part, &mut self.out);
            }
        }
    }

    fn answer(
        &mut self,
        stream: u32,
        command: Command,
        payload: &[u8],
        file: &[u8],
        carried_out: &mut BTreeMap<Vec<u8>, usize>,
    ) {
        let Self { machine, out, .. } = self;
        match (command, payload) {
            (Command::PING, _) => machine.answer(stream, Command::PONG, payload, out),
            (Command::GET, name) => {
                let value = match name {
                    b"value" => VALUE,
                    b"file" => file,
                    _ => return machine.refuse(stream, Code::NotFound, "no", out),
                };
                if machine.version() == Version::V2 {
                    return self.parts.begin(stream, value.to_vec(), machine.credit());
                }
                for part in value.chunks(100) {
                    machine.answer(stream, Command::DATA, part, out);
                }
                let end = End { total: value.len() as u64, checksum: crc32fast::hash(value) };
                machine.answer(stream, Command::END, &end.to_bytes(), out);
            }
            (Command(0x55), _) => {
                *carried_out.entry(payload.to_vec()).or_default() += 1;
                let backwards: Vec<u8> = payload.iter().rev().copied().collect();
                machine.answer(stream, command, &backwards, out);
            }
            _ => machine.answer(stream, command, payload, out),
        }
    }
}

/// A worker, its kernel, its clients, its servers.
pub(crate) struct Proxied {
    worker: Worker<Sim>,
    workers: Arc<Workers>,
    random: Random,
    clients: Vec<Asker>,
    servers: Vec<Answerer>,
    habits: Habits,
    file: Vec<u8>,
    carried_out: BTreeMap<Vec<u8>, usize>,
    /// Makes the plans that come later.
    swaps: Swaps,
    listener: Option<Fd>,
}

const OFFER: ServerOptions =
    ServerOptions { window: 50, max_payload: 2_000, features: Features::ALL };

fn address(last: u8) -> SocketAddress {
    SocketAddress::inet(std::net::SocketAddr::from(([10, 0, 0, last], 80)))
}

pub(crate) fn upstream(random: &mut Random, servers: Vec<SocketAddress>) -> UpstreamOptions {
    let highest = if random.chance(500) { Version::V1 } else { Version::V2 };
    let exchanges = ExchangerOptions {
        client: ClientOptions {
            highest,
            features: if random.chance(500) { Features::ALL } else { Features::REQUESTS },
            credit: [0, 50, 500, CREDIT_FIRST][random.below(4)],
            ..ClientOptions::default()
        },
        pool: PoolOptions {
            min_idle: 0,
            capacity: [1, 4, 100][random.below(3)],
            spread_at: 2,
            idle_timeout: Duration::from_millis(300),
            max_age: Some(Duration::from_millis(400)),
            queue_max: [5, 1_000][random.below(2)],
            queue_timeout: Duration::from_millis(500),
        },
        retry: RetryPolicy {
            tries_max: 3,
            backoff: Duration::from_millis(5),
            backoff_max: Duration::from_millis(50),
            deadline: Duration::from_secs(3),
        },
        budget: 1.0,
    };
    let names = servers.iter().map(ToString::to_string);
    let cluster = ClusterOptions {
        connections_max: 1 + u32::try_from(random.below(4)).unwrap(),
        ..ClusterOptions::plain(Policy::LeastRequests, names)
    };
    UpstreamOptions {
        name: "sim".to_owned(),
        servers,
        connect_timeout: Duration::from_millis(50),
        retries: 2,
        send_header: None,
        stream: StreamOptions::default(),
        exchanges: Some(exchanges),
        cluster,
        tls: None,
    }
}

impl Proxied {
    pub(crate) fn new(seed: u64, faults: Faults, habits: Habits, servers: &[Behaviour]) -> Self {
        let mut random = Random::new(seed ^ 0x7a11);
        let mut sim = Sim::new(seed, Faults::NONE, BUFFERS, 256);
        let file: Vec<u8> = (0..random.below(3_000)).map(|n| n.to_le_bytes()[0]).collect();
        let listener = sim.listen();
        let addresses: Vec<_> = (1..).map(address).take(servers.len()).collect();
        for (address, behaviour) in addresses.iter().zip(servers) {
            sim.serve(*address, *behaviour);
        }
        let capacity = [300, 2_000, 50_000][random.below(3)];
        let clients = (0..1 + random.below(5))
            .map(|_| {
                let to_ask = random.below(40);
                Asker::new(sim.connect(listener, capacity), to_ask, &mut random)
            })
            .collect();
        sim.set_faults(faults);
        let workers = Arc::new(Workers::new(1, 1, 1));
        let upstream = upstream(&mut random, addresses);
        let service = ServiceOptions::FrameProxy { upstream: 0, server: OFFER };
        let options = options(&workers, listener, service, vec![upstream.clone()]);
        let swaps = Swaps::new(seed, &workers, upstream, options.relay);
        let mut worker = Worker::new(sim, options, None);
        worker.start(None);
        Self {
            worker,
            workers,
            random,
            clients,
            servers: Vec::new(),
            habits,
            file,
            carried_out: BTreeMap::new(),
            swaps,
            listener: Some(listener),
        }
    }

    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.step();
            let accepted = self.workers.cells()[0].stats.listeners.get(0).accepted.get();
            let active = self.workers.cells()[0].stats.listeners.get(0).active.get();
            if accepted == self.clients.len() as u64 && active == 0 {
                return self.settle();
            }
        }
        panic!("{:#?} are left: {:#?}", self.clients, self.worker);
    }

    /// Runs to the end, while plans are replaced.
    pub(crate) fn run_with_reloads(&mut self) {
        let timeout = [0, 20, 600_000][self.random.below(3)];
        self.swaps.timeout = Duration::from_millis(timeout);
        for _ in 0..TURNS_MAX {
            self.step();
            if self.swaps.is_due() {
                self.swap();
            }
            let stats = self.workers.cells()[0].stats.listeners.get(0);
            if stats.accepted.get() == self.clients.len() as u64 && stats.active.get() == 0 {
                self.swaps.end();
                self.swap();
                // Those to servers of earlier plans end, if only by a timeout.
                (0..2_000).for_each(|_| self.step());
                self.swaps.assert_alone(self.worker.sessions().upstreams());
                return self.settle();
            }
        }
        panic!("{:#?} are left: {:#?}", self.clients, self.worker);
    }

    fn swap(&mut self) {
        let sessions = self.worker.sessions();
        let now = sessions.reactor().now();
        let mut plan = self.swaps.plan(now);
        let sim = sessions.reactor().driver();
        sim.wake();
        let had = self.listener;
        self.listener = self.swaps.listens.then(|| had.unwrap_or_else(|| sim.listen()));
        if let Some(socket) = self.listener {
            let upstream = self.swaps.number();
            let service = ServiceOptions::FrameProxy { upstream, server: OFFER };
            let options = listener_options(socket, service);
            plan.listeners.push(Planned { lease: self.swaps.listener.clone(), options });
        }
        sessions.replace_plan(plan);
    }

    /// Runs for a while, then drains.
    pub(crate) fn run_and_drain(&mut self) {
        (0..self.random.below(300)).for_each(|_| self.step());
        self.drain();
        self.run();
    }

    /// What was answered is right, whether or not all was.
    pub(crate) fn assert_right(&self) {
        self.clients.iter().for_each(|client| client.assert_answered_or_refused(&self.file, false));
        assert!(self.carried_out.values().all(|times| *times == 1), "nothing is done twice");
    }

    fn settle(&mut self) {
        self.drain();
        for _ in 0..TURNS_MAX {
            self.step();
            if self.worker.sessions().is_empty() {
                (0..200).for_each(|_| self.step());
                return self.worker.sessions().finish();
            }
        }
        panic!("connections to servers are left: {:#?}", self.worker);
    }

    fn drain(&mut self) {
        drain(&mut self.worker, None);
    }

    fn step(&mut self) {
        self.worker.turn().expect("the simulated kernel does not fail");
        let sim = self.worker.sessions().reactor().driver();
        for (_, peer) in sim.take_accepted() {
            self.servers.push(Answerer::new(peer));
        }
        for client in &mut self.clients {
            client.play(sim, &mut self.random);
        }
        for server in &mut self.servers {
            let carried_out = &mut self.carried_out;
            server.play(sim, &mut self.random, self.habits, &self.file, carried_out);
        }
    }

    /// All is answered, and rightly; with `refusals`, some of it with an error of the proxy's.
    pub(crate) fn assert_answered(&self, refusals: bool) {
        for client in &self.clients {
            if refusals {
                client.assert_answered_or_refused(&self.file, true);
            } else {
                client.assert_answered(&self.file, true);
            }
        }
        let twice = self.carried_out.iter().find(|(_, times)| **times > 1);
        assert_eq!(twice, None, "nothing that may do harm is carried out twice");
    }

    pub(crate) fn assert_clean(&mut self) {
        let cell = &self.workers.cells()[0];
        assert_eq!((cell.active.get(), cell.stats.stale.get()), (0, 0));
        let closed = &cell.stats.listeners.get(0).closed;
        let ends: u64 = CloseReason::ALL.iter().map(|reason| closed[reason.index()].get()).sum();
        assert_eq!(ends, self.clients.len() as u64, "each client has one end");
        let upstream = &cell.stats.upstreams.get(0);
        let pool = &upstream.pool;
        assert_eq!((upstream.active.get(), pool.idle.get(), pool.in_use.get()), (0, 0, 0));
        assert_eq!((pool.waiting.get(), pool.opening.get()), (0, 0));
        let errors: u64 = pool.errors.iter().map(|code| code.get()).sum();
        // Requests of a client that is gone have none.
        let is_cut = closed[CloseReason::ShutdownTimeout.index()].get() > 0;
        assert!(is_cut || pool.begun.get() <= pool.answered.get() + errors, "each has an end");
        assert_home(&mut self.worker, BUFFERS);
    }

    pub(crate) fn retried(&self) -> u64 {
        self.workers.cells()[0].stats.upstreams.get(0).pool.retried.get()
    }
}
