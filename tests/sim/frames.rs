//! The framed protocol on the simulated kernel: clients that check every answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringway::proto::frame::{
    Answer, Client, ClientEvent, ClientOptions, Command, End, Features, PAYLOAD_MAX, ServerOptions,
    Version,
};
use ringway::ring::sim::{Faults, PeerId, Random, Sim};
use ringway::server::Worker;
use ringway::service::CloseReason;
use ringway::service::frame::FrameService;
use ringway::service::proxy::MeterOptions;
use ringway::session::{
    FrameOptions, HandlerFactory, ListenerOptions, RelayOptions, ServiceOptions, SessionOptions,
    UpstreamOptions, Workers,
};

use super::harness::drain;

const TURNS_MAX: usize = 60_000;
const BUFFERS: u16 = 8;
const BUFFER_SIZE: u32 = 256;
const IDLE: Duration = Duration::from_secs(2);
pub(crate) const VALUE: &[u8] =
    b"a value of some length, which needs several frames where a payload has no more than 64 bytes";

/// What a client asks, and what it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    command: Command,
    payload: Vec<u8>,
    /// Payloads of DATA frames.
    parts: Vec<u8>,
    /// The last frame of the answer.
    answer: Option<(Command, Vec<u8>)>,
    stream: u32,
    /// Nobody waits for the answer any more.
    reset: bool,
}

/// A client that asks a number of things.
#[derive(Debug)]
pub(crate) struct Asker {
    pub(crate) peer: PeerId,
    machine: Client<usize>,
    to_ask: usize,
    pub(crate) asked: Vec<Asked>,
    out: Vec<u8>,
    finished: bool,
    pub(crate) done: bool,
    pub(crate) broken: bool,
}

impl Asker {
    pub(crate) fn new(peer: PeerId, to_ask: usize, random: &mut Random) -> Self {
        let highest = if random.chance(500) { Version::V1 } else { Version::V2 };
        let window = [1, 3, 100][random.below(3)];
        let max_payload = [64, 300, PAYLOAD_MAX][random.below(3)];
        let features = if random.chance(500) { Features::ALL } else { Features::REQUESTS };
        let credit = [0, 1, 100, 5_000][random.below(4)];
        let options = ClientOptions { highest, window, max_payload, features, credit };
        let mut machine = Client::new(options);
        let mut out = Vec::new();
        machine.hello(&mut out);
        let asked = Vec::new();
        Self { peer, machine, to_ask, asked, out, finished: false, done: false, broken: false }
    }

    /// Sends, receives, asks.
    pub(crate) fn play(&mut self, sim: &mut Sim, random: &mut Random) {
        if self.done {
            return;
        }
        if random.chance(500) {
            let bytes = sim.peer_read(self.peer, 1 + random.below(4_000));
            self.receive(&bytes);
        }
        if sim.peer_was_reset(self.peer) {
            (self.broken, self.done) = (true, true);
            return;
        }
        while self.asked.len() < self.to_ask && self.machine.can_begin() && random.chance(900) {
            self.ask(random);
        }
        self.give_credit(random);
        let part = self.out.len().min(1 + random.below(2_000));
        let sent = sim.peer_write(self.peer, &self.out[..part]);
        self.out.drain(..sent);
        let answered = self.asked.len() == self.to_ask && self.machine.open() == 0;
        if answered && self.out.is_empty() && !self.finished {
            sim.peer_finish(self.peer);
            self.finished = true;
        }
        // A server that goes away closes; what it has not answered stays unanswered.
        self.done = sim.peer_at_end(self.peer);
        if self.done && !self.finished {
            sim.peer_finish(self.peer);
        }
    }

    /// With flow control: lets open answers go on, or resets them.
    fn give_credit(&mut self, random: &mut Random) {
        if !self.machine.has_flow() {
            return;
        }
        for asked in self.asked.iter_mut().filter(|asked| asked.answer.is_none() && !asked.reset) {
            if random.chance(5) {
                self.machine.reset(asked.stream, &mut self.out);
                asked.reset = true;
            } else if self.machine.credit_of(asked.stream) < 50 && random.chance(300) {
                let bytes = 1 + u32::try_from(random.below(2_000)).unwrap();
                self.machine.credit(asked.stream, bytes, &mut self.out);
            }
        }
    }

    fn ask(&mut self, random: &mut Random) {
        let mut bytes = |most: usize| -> Vec<u8> {
            (0..random.below(most)).map(|_| (random.bits() & 0xff) as u8).collect()
        };
        let any = bytes(1_000);
        let max = usize::from(self.machine.max_payload());
        let (command, payload) = match any.len() % 7 {
            0 | 1 => (Command::ECHO, any),
            2 => (Command::PING, any),
            3 => (Command::GET, b"value".to_vec()),
            4 => (Command::GET, b"file".to_vec()),
            5 => (Command::GET, b"nothing".to_vec()),
            _ => (Command(0x55), any),
        };
        let mut payload = payload[..payload.len().min(max)].to_vec();
        let number = self.asked.len();
        if command == Command(0x55) {
            // No two alike: a server can tell whether it was asked twice.
            payload = format!("{:?} {number}", self.peer).into_bytes();
        }
        let idempotent = command.is_idempotent();
        let begun = self.machine.begin(command, idempotent, &payload, number, &mut self.out);
        let stream = begun.expect("a request may begin");
        let (parts, answer, reset) = (Vec::new(), None, false);
        self.asked.push(Asked { command, payload, parts, answer, stream, reset });
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(event) = self.machine.next(&mut rest).expect("a server that keeps the rules")
        {
            match event {
                ClientEvent::Answer(Answer { who, command, payload, last, .. }) => {
                    let asked = &mut self.asked[who.expect("nobody gave up")];
                    assert_eq!(asked.answer, None, "no answer after the last one");
                    if last {
                        asked.answer = Some((command, payload.to_vec()));
                    } else {
                        asked.parts.extend_from_slice(payload);
                    }
                }
                ClientEvent::Ready(_) | ClientEvent::GoAway(_) => {}
            }
        }
    }

    /// Every answer is the right one, or an error that a proxy may give; all have come.
    pub(crate) fn assert_answered_or_refused(&self, file: &[u8], all: bool) {
        let refused = |answer: &Option<(Command, Vec<u8>)>| {
            let code = match answer {
                Some((Command::ERROR, payload)) => payload[1],
                _ => return false,
            };
            // Overloaded, unavailable, lost, too late.
            (0x20..=0x23).contains(&code)
        };
        let rest: Vec<_> =
            self.asked.iter().filter(|asked| !refused(&asked.answer)).cloned().collect();
        let to_ask = rest.len();
        assert!(!all || self.asked.len() == self.to_ask, "everything was asked");
        assert_all(&rest, to_ask, file, all && !self.broken);
    }

    /// Every answer that came is the right one; `all` of them came.
    pub(crate) fn assert_answered(&self, file: &[u8], all: bool) {
        assert!(!all || !self.broken, "no reset in an orderly run");
        assert_all(&self.asked, self.to_ask, file, all);
    }
}

fn assert_all(asked: &[Asked], to_ask: usize, file: &[u8], all: bool) {
    {
        assert!(!all || asked.len() == to_ask);
        for Asked { command, payload, parts, answer, reset, .. } in asked {
            let Some((kind, answer)) = answer else {
                assert!(!all, "{command} was not answered");
                continue;
            };
            // What comes while the server ends, between what gives credit to open answers.
            let is_shutting_down = *kind == Command::ERROR && answer[..2] == [0, 8];
            let is_cancelled = *kind == Command::ERROR && answer[..2] == [0, 0x24];
            if (!all && is_shutting_down) || (*reset && is_cancelled) {
                continue;
            }
            match (*command, payload.as_slice()) {
                (Command::ECHO, sent) => assert_eq!((*kind, &answer[..]), (Command::ECHO, sent)),
                (Command::PING, sent) => assert_eq!((*kind, &answer[..]), (Command::PONG, sent)),
                (Command::GET, b"value") => assert_whole(VALUE, parts, *kind, answer),
                (Command::GET, b"file") if *kind == Command::ERROR => {
                    assert_eq!(answer[..2], [0, 0x20], "no descriptor for the file");
                }
                (Command::GET, b"file") => assert_whole(file, parts, *kind, answer),
                (Command::GET, _) => {
                    assert_eq!(*kind, Command::ERROR);
                    // Not found, or no descriptor to look with.
                    assert!(matches!(answer[..2], [0, 0x13 | 0x20]), "{answer:?}");
                }
                _ => assert_custom(*kind, payload, answer),
            }
        }
    }
}

/// A program's command is unknown, or answered backwards by the servers of these tests.
fn assert_custom(kind: Command, payload: &[u8], answer: &[u8]) {
    let backwards: Vec<u8> = payload.iter().rev().copied().collect();
    let unknown = kind == Command::ERROR && answer[..2] == [0, 0x10];
    assert!(unknown || (kind == Command(0x55) && answer == backwards), "{kind} {answer:?}");
}

fn assert_whole(expected: &[u8], parts: &[u8], kind: Command, end: &[u8]) {
    assert_eq!(kind, Command::END);
    assert!(parts == expected, "{} of {} bytes", parts.len(), expected.len());
    let end = End::parse(end).unwrap();
    assert_eq!(end, End { total: expected.len() as u64, checksum: crc32fast::hash(expected) });
}

/// A worker with the built-in service, its kernel, its clients.
pub(crate) struct Local {
    worker: Worker<Sim>,
    workers: Arc<Workers>,
    random: Random,
    clients: Vec<Asker>,
    file: Vec<u8>,
}

impl Local {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut random = Random::new(seed ^ 0xf4a3);
        let mut sim = Sim::new(seed, Faults::NONE, BUFFERS, BUFFER_SIZE);
        let file: Vec<u8> = (0..random.below(3_000)).map(|n| n.to_le_bytes()[0]).collect();
        sim.put_file("file", &file);
        let listener = sim.listen();
        let capacity = [300, 2_000, 50_000][random.below(3)];
        let clients = (0..1 + random.below(4))
            .map(|_| {
                let to_ask = random.below(40);
                Asker::new(sim.connect(listener, capacity), to_ask, &mut random)
            })
            .collect();
        sim.set_faults(faults);
        let workers = Arc::new(Workers::new(1, 1, 0));
        let service = FrameService {
            server: ServerOptions { window: 64, max_payload: 2_000, features: Features::ALL },
            values: BTreeMap::from([("value".to_owned(), VALUE.to_vec())]),
            has_files: true,
            publishes: false,
        };
        let folder = std::fs::File::open("/").expect("there is a root");
        let root = Some(ringway::session::Folder::new(folder.into()));
        let service = ServiceOptions::Frame(Arc::new(FrameOptions { service, root, topics: None }));
        let mut worker = Worker::new(sim, options(&workers, listener, service, Vec::new()), None);
        worker.start(None);
        Self { worker, workers, random, clients, file }
    }

    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.step();
            if self.is_over() {
                return self.settle();
            }
        }
        panic!("{} connections are left: {:#?}", self.worker.sessions().len(), self.clients);
    }

    /// Runs for a while, then drains.
    pub(crate) fn run_and_drain(&mut self) {
        (0..self.random.below(300)).for_each(|_| self.step());
        self.drain();
        self.run();
    }

    fn drain(&mut self) {
        drain(&mut self.worker, None);
    }

    fn is_over(&mut self) -> bool {
        let accepted = self.workers.cells()[0].stats.listeners.get(0).accepted.get();
        accepted == self.clients.len() as u64 && self.worker.sessions().is_empty()
    }

    fn settle(&mut self) {
        self.drain();
        (0..200).for_each(|_| self.step());
        self.worker.sessions().finish();
    }

    fn step(&mut self) {
        self.worker.turn().expect("the simulated kernel does not fail");
        let sim = self.worker.sessions().reactor().driver();
        for client in &mut self.clients {
            client.play(sim, &mut self.random);
        }
    }

    pub(crate) fn assert_answered(&self, all: bool) {
        self.clients.iter().for_each(|client| client.assert_answered(&self.file, all));
    }

    pub(crate) fn assert_clean(&mut self) {
        let cell = &self.workers.cells()[0];
        assert_eq!((cell.active.get(), cell.stats.stale.get()), (0, 0));
        let closed = &cell.stats.listeners.get(0).closed;
        let ends: u64 = CloseReason::ALL.iter().map(|reason| closed[reason.index()].get()).sum();
        assert_eq!(ends, self.clients.len() as u64, "each connection has one end");
        assert_home(&mut self.worker, BUFFERS);
    }
}

/// Every slot, buffer, timer and descriptor is back.
pub(crate) fn assert_home(worker: &mut Worker<Sim>, buffers: u16) {
    let sessions = worker.sessions();
    assert_eq!(sessions.len(), 0);
    let reactor = sessions.reactor();
    assert_eq!((reactor.pending(), reactor.timers_armed()), (0, 0));
    let sim = reactor.driver();
    assert_eq!(sim.open(), 0, "no descriptor is left");
    assert_eq!(sim.buffers_home(), usize::from(buffers));
}

pub(crate) fn listener_options(
    listener: ringway::ring::Fd,
    service: ServiceOptions,
) -> ListenerOptions {
    ListenerOptions {
        name: "sim".to_owned(),
        sockets: vec![listener],
        listen: None,
        service,
        connections_max: 100,
        idle_timeout: IDLE,
        accept_header: false,
        header_timeout: IDLE,
        tls: None,
    }
}

pub(crate) fn options(
    workers: &Arc<Workers>,
    listener: ringway::ring::Fd,
    service: ServiceOptions,
    upstreams: Vec<UpstreamOptions>,
) -> SessionOptions {
    SessionOptions {
        compression_memory: 1 << 20,
        waiting_memory: 1 << 20,
        websocket_takeover_memory: 1 << 20,
        listeners: vec![listener_options(listener, service)],
        datagrams: Vec::new(),
        upstreams,
        relay: RelayOptions {
            meter: MeterOptions { enabled: true, after: 2_000, mean_min: 200 },
            buffer_size: BUFFER_SIZE as usize,
            turn_budget: 4_000,
            pipe_capacity: 3_000,
            pipes_idle_max: 2,
        },
        connections_max: 100,
        access_log: false,
        handler: HandlerFactory::default(),
        http_handlers: ringway::handler::HttpHandlers::new(),
        websocket_handlers: ringway::handler::WebSocketHandlers::new(),
        workers: Arc::clone(workers),
        worker: 0,
        descriptors: ringway::session::DescriptorLimits::OPEN,
        hand_off_ratio: None,
        seed: 1,
    }
}
