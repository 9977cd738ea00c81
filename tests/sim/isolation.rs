//! No byte of one client reaches another, under all faults: every client of every protocol on one
//! worker says a marker of its own wherever it can.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ringway::proto::frame::{
    Client as FrameClient, ClientOptions, Command, Features, ServerOptions,
};
use ringway::ring::sim::{Behaviour, Faults, PeerId, Random, Sim};
use ringway::ring::{Fd, SocketAddress, StreamOptions};
use ringway::server::Worker;
use ringway::service::cluster::ClusterOptions;
use ringway::service::cluster::failure::Failure;
use ringway::service::cluster::servers::Policy;
use ringway::service::frame::FrameService;
use ringway::session::{
    Counted, FrameOptions, ListenerOptions, ServiceOptions, SessionOptions, UpstreamOptions,
    Workers,
};

use super::frame_proxy::{self, Answerer};
use super::frames;
use super::http::{self, Habits, Mirror};

const TURNS_MAX: usize = 60_000;
const BUFFERS: u16 = 8;

fn marker(number: usize) -> String {
    format!("mrk{number:05}q")
}

fn markers(bytes: &[u8]) -> BTreeSet<String> {
    let lower = bytes.to_ascii_lowercase();
    let whole = lower.windows(9).filter(|window| {
        let digits = &window[3..8];
        window.starts_with(b"mrk")
            && digits.iter().all(u8::is_ascii_digit)
            && window.ends_with(b"q")
    });
    whole.map(|window| String::from_utf8_lossy(window).into_owned()).collect()
}

/// What a client has to say, all of it at once.
fn script(service: usize, own: &str, random: &mut Random) -> Vec<u8> {
    let mut all = Vec::new();
    match service {
        HTTP => {
            for _ in 0..1 + random.below(6) {
                all.extend_from_slice(request(own, random).as_bytes());
            }
            let last = format!("GET /fixed HTTP/1.1\r\nHost: {own}\r\nConnection: close\r\n\r\n");
            all.extend_from_slice(last.as_bytes());
        }
        MESSAGES => {
            for _ in 0..random.below(20) {
                let line = match random.below(4) {
                    0 => "{\"type\":\"time\"}\n".to_owned(),
                    1 => format!("{own}\n"),
                    2 => format!("{{\"type\":\"{own}\"}}\n"),
                    _ => format!("{{\"type\":\"echo\",\"payload\":\"{}\"}}\n", own.repeat(20)),
                };
                all.extend_from_slice(line.as_bytes());
            }
        }
        FRAME | FRAME_PROXY => {
            let mut machine: FrameClient<usize> = FrameClient::new(ClientOptions {
                features: Features::REQUESTS,
                window: 1_000,
                ..ClientOptions::default()
            });
            machine.hello(&mut all);
            // Requests follow when the server has agreed: see `Client::follow`.
        }
        _ => all.extend_from_slice(own.repeat(random.below(3_000)).as_bytes()),
    }
    all
}

fn request(own: &str, random: &mut Random) -> String {
    let path = ["/echo", "/fixed", "/moved", "/status", "/up", "/up", "/up"][random.below(7)];
    let fields = format!(
        "Host: {own}\r\nCookie: {own}\r\nX-{own}: {own}\r\nX-Forwarded-For: {own}\r\n\
         X-Request-Id: {own}\r\nUser-Agent: {own}\r\n"
    );
    let target = format!("{path}/{own}?{own}");
    match random.below(6) {
        0 => {
            let body = own.repeat(random.below(500));
            let len = body.len();
            format!("PUT {target} HTTP/1.1\r\n{fields}Content-Length: {len}\r\n\r\n{body}")
        }
        1 => {
            let part = own.repeat(1 + random.below(60));
            let chunk = format!("{:x}\r\n{part}\r\n", part.len());
            let chunks = chunk.repeat(1 + random.below(9));
            format!(
                "POST {target} HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\
                 X-Trailer: {own}\r\n\r\n"
            )
        }
        2 => format!("HEAD {target} HTTP/1.1\r\n{fields}\r\n"),
        _ => format!("GET {target} HTTP/1.1\r\n{fields}\r\n"),
    }
}

const HTTP: usize = 0;
const MESSAGES: usize = 1;
const FRAME: usize = 2;
const FRAME_PROXY: usize = 3;
const TCP: usize = 4;
const ECHO: usize = 5;
const SERVICES: usize = 6;

/// One client.
#[derive(Debug)]
struct Client {
    peer: PeerId,
    service: usize,
    own: String,
    to_send: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
    frames: Option<FrameClient<usize>>,
    to_ask: usize,
    finished: bool,
    done: bool,
}

impl Client {
    fn play(&mut self, sim: &mut Sim, random: &mut Random, resets: u32) {
        if self.done {
            return;
        }
        if random.chance(500) {
            let bytes = sim.peer_read(self.peer, 1 + random.below(4_000));
            self.follow(&bytes, random);
            self.received.extend(bytes);
        }
        if sim.peer_was_reset(self.peer) {
            self.done = true;
            return;
        }
        let end = self.to_send.len().min(self.sent + 1 + random.below(2_000));
        self.sent += sim.peer_write(self.peer, &self.to_send[self.sent..end]);
        if random.chance(resets) {
            sim.peer_reset(self.peer);
            self.done = true;
            return;
        }
        // Frames end when all is answered; others say that they have no more.
        let is_over =
            self.frames.as_ref().is_none_or(|frames| self.to_ask == 0 && frames.open() == 0);
        let may_finish = self.service != HTTP && is_over && random.chance(300);
        if self.sent == self.to_send.len() && may_finish && !self.finished {
            sim.peer_finish(self.peer);
            self.finished = true;
        }
        self.done = sim.peer_at_end(self.peer);
        if self.done && !self.finished {
            sim.peer_finish(self.peer);
        }
    }

    /// What a client of frames asks next.
    fn follow(&mut self, bytes: &[u8], random: &mut Random) {
        let Some(frames) = &mut self.frames else { return };
        let mut rest = bytes;
        while frames.next(&mut rest).expect("a server that keeps the rules").is_some() {}
        while self.to_ask > 0 && frames.can_begin() && random.chance(900) {
            let own = self.own.as_bytes();
            let (command, payload) = match random.below(4) {
                0 => (Command::PING, own.to_vec()),
                1 => (Command::GET, own.to_vec()),
                2 => (Command(0x77), own.to_vec()),
                _ => (Command::ECHO, own.repeat(1 + random.below(60))),
            };
            let number = self.to_ask;
            frames.begin(command, true, &payload, number, &mut self.to_send);
            self.to_ask -= 1;
        }
    }
}

fn address(last: u8) -> SocketAddress {
    SocketAddress::inet(std::net::SocketAddr::from(([10, 0, 0, last], 80)))
}

/// One worker with all protocols, its clients, its servers.
pub(crate) struct Everything {
    worker: Worker<Sim>,
    workers: Arc<Workers>,
    random: Random,
    clients: Vec<Client>,
    mirrors: Vec<Mirror>,
    answerers: Vec<Answerer>,
    /// Servers of the TCP proxy, which send back what comes.
    echoes: Vec<(PeerId, Vec<u8>, Vec<u8>)>,
    habits: Habits,
    resets: u32,
    carried_out: BTreeMap<Vec<u8>, usize>,
}

fn services(random: &mut Random) -> Vec<(ServiceOptions, Option<UpstreamOptions>)> {
    let server = ServerOptions { window: 50, max_payload: 2_000, features: Features::ALL };
    let service =
        FrameService { server, values: BTreeMap::new(), has_files: false, publishes: false };
    let plain = UpstreamOptions {
        name: "tcp".to_owned(),
        servers: vec![address(1)],
        connect_timeout: Duration::from_millis(50),
        retries: 4,
        send_header: None,
        stream: StreamOptions::default(),
        exchanges: None,
        cluster: ClusterOptions::plain(Policy::RoundRobin, [address(1).to_string()]),
        tls: None,
    };
    let frame = frame_proxy::upstream(random, vec![address(2)]);
    let web = http::upstream(random, vec![address(3), address(4), address(5)]);
    vec![
        (ServiceOptions::Http(Arc::new(http::listener(2))), Some(plain)),
        (ServiceOptions::Messages { line_limit: 2_000 }, Some(frame)),
        (
            ServiceOptions::Frame(Arc::new(FrameOptions { service, root: None, topics: None })),
            Some(web),
        ),
        (ServiceOptions::FrameProxy { upstream: 1, server }, None),
        (ServiceOptions::Tcp { upstream: 0 }, None),
        (ServiceOptions::Echo, None),
    ]
}

impl Everything {
    pub(crate) fn new(seed: u64, faults: Faults, habits: Habits, resets: u32) -> Self {
        let mut random = Random::new(seed ^ 0x150a);
        let mut sim = Sim::new(seed, Faults::NONE, BUFFERS, 256);
        let capacity = [300, 2_000, 50_000][random.below(3)];
        for last in 1..=4 {
            sim.serve(address(last), Behaviour::Accept { capacity });
        }
        sim.serve(address(5), Behaviour::Refuse);
        let listeners: Vec<Fd> = (0..SERVICES).map(|_| sim.listen()).collect();
        let mut clients = Vec::new();
        for _ in 0..2 + random.below(8) {
            let service = random.below(SERVICES);
            let own = marker(clients.len());
            let to_send = script(service, &own, &mut random);
            let frames = matches!(service, FRAME | FRAME_PROXY).then(|| {
                let mut machine = FrameClient::new(ClientOptions {
                    features: Features::REQUESTS,
                    window: 1_000,
                    ..ClientOptions::default()
                });
                machine.hello(&mut Vec::new());
                machine
            });
            clients.push(Client {
                peer: sim.connect(listeners[service], capacity),
                service,
                own,
                to_send,
                sent: 0,
                received: Vec::new(),
                frames,
                to_ask: random.below(20),
                finished: false,
                done: false,
            });
        }
        sim.set_faults(faults);
        let plan = Counted { listeners: SERVICES, servers: vec![3; 3], ..Counted::default() };
        let workers = Arc::new(Workers::with_plan(1, &plan));
        let services = services(&mut random);
        let upstreams = services.iter().filter_map(|(_, upstream)| upstream.clone()).collect();
        let first = frames::options(&workers, listeners[0], ServiceOptions::Echo, upstreams);
        let listeners = services.into_iter().zip(&listeners).map(|((service, _), socket)| {
            let sockets = vec![*socket];
            ListenerOptions { service, sockets, ..first.listeners[0].clone() }
        });
        let options = SessionOptions { listeners: listeners.collect(), ..first };
        let mut worker = Worker::new(sim, options, None);
        worker.start(None);
        Self {
            worker,
            workers,
            random,
            clients,
            mirrors: Vec::new(),
            answerers: Vec::new(),
            echoes: Vec::new(),
            habits,
            resets,
            carried_out: BTreeMap::new(),
        }
    }

    pub(crate) fn run(&mut self) {
        for _ in 0..TURNS_MAX {
            self.step();
            let stats = &self.workers.cells()[0].stats.listeners;
            let stats = stats.all();
            let accepted: u64 = stats.iter().map(|stats| stats.accepted.get()).sum();
            let active: u64 = stats.iter().map(|stats| stats.active.get()).sum();
            if accepted == self.clients.len() as u64 && active == 0 {
                return self.settle();
            }
        }
        panic!("{:#?} are left: {:#?}", self.clients, self.worker);
    }

    fn settle(&mut self) {
        let sessions = self.worker.sessions();
        sessions.reactor().driver().wake();
        sessions.drain();
        for _ in 0..TURNS_MAX {
            self.step();
            if self.worker.sessions().is_empty() {
                (0..200).for_each(|_| self.step());
                return self.worker.sessions().finish();
            }
        }
        panic!("connections to servers are left: {:#?}", self.worker);
    }

    fn step(&mut self) {
        self.worker.turn().expect("the simulated kernel does not fail");
        let sim = self.worker.sessions().reactor().driver();
        for (at, peer) in sim.take_accepted() {
            if at == address(1) {
                self.echoes.push((peer, Vec::new(), Vec::new()));
            } else if at == address(2) {
                self.answerers.push(Answerer::new(peer));
            } else {
                self.mirrors.push(Mirror::new(peer));
            }
        }
        for client in &mut self.clients {
            client.play(sim, &mut self.random, self.resets);
        }
        for mirror in &mut self.mirrors {
            mirror.play(sim, &mut self.random, self.habits);
        }
        let habits = frame_proxy::Habits { reset: self.habits.reset, ..Default::default() };
        for answerer in &mut self.answerers {
            answerer.play(sim, &mut self.random, habits, b"", &mut self.carried_out);
        }
        for (peer, out, all) in &mut self.echoes {
            if self.random.chance(500) {
                let bytes = sim.peer_read(*peer, 1 + self.random.below(3_000));
                out.extend_from_slice(&bytes);
                all.extend(bytes);
            }
            let sent = sim.peer_write(*peer, out);
            out.drain(..sent);
            if out.is_empty() && sim.peer_at_end(*peer) {
                sim.peer_finish(*peer);
            }
        }
    }

    /// Nobody got a byte that somebody else has said.
    pub(crate) fn assert_isolated(&self) {
        for client in &self.clients {
            let own = BTreeSet::from([client.own.clone()]);
            let found = markers(&client.received);
            assert!(
                found.is_subset(&own),
                "{client:?} got bytes of {found:?}: {}",
                String::from_utf8_lossy(&client.received)
            );
        }
        let requests = self.mirrors.iter().flat_map(|mirror| &mirror.requests);
        let streams = self.echoes.iter().map(|(_, _, all)| all);
        for one in requests.chain(streams) {
            assert!(markers(one).len() <= 1, "{}", String::from_utf8_lossy(one));
        }
        assert!(self.carried_out.keys().all(|payload| markers(payload).len() <= 1));
    }

    /// All clients of the services that answer in full got what they said.
    pub(crate) fn assert_served(&self) {
        for client in &self.clients {
            match client.service {
                TCP | ECHO => assert!(client.received == client.to_send, "{client:?}"),
                HTTP => {
                    let text = String::from_utf8_lossy(&client.received).into_owned();
                    let has_end = text.ends_with("connection: close\r\n\r\nhello");
                    let failed = &self.workers.cells()[0].stats.upstreams.get(2).http.failed;
                    let failed: Vec<u64> = failed.iter().map(|counter| counter.get()).collect();
                    assert!(has_end, "the last answer is missing: {text} {failed:?}");
                }
                MESSAGES => {
                    let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
                    assert_eq!(lines(&client.received), lines(&client.to_send), "{client:?}");
                }
                _ => {
                    let open = client.frames.as_ref().map(|frames| frames.open());
                    assert_eq!((client.to_ask, open), (0, Some(0)), "{client:?}");
                }
            }
        }
    }

    /// Exchanges of HTTP that failed for this reason.
    pub(crate) fn failed(&self, failure: Failure) -> u64 {
        self.workers.cells()[0].stats.upstreams.get(2).http.failed[failure.index()].get()
    }

    /// Tries that failed by no fault but ours were held against none of the servers. One of them
    /// refuses, and may be passed over for that.
    pub(crate) fn assert_none_is_blamed(&self) {
        for failure in Failure::ALL {
            let is_fair = failure == Failure::ConnectRefused || !failure.blames_server();
            assert!(is_fair || self.failed(failure) == 0, "{failure:?}");
        }
        let servers = &self.workers.cells()[0].stats.servers.get(2);
        assert_eq!((servers[0].ejected.get(), servers[1].ejected.get()), (0, 0));
        let stats = &self.workers.cells()[0].stats.upstreams;
        assert_eq!((stats.get(0).ejections.get(), stats.get(1).ejections.get()), (0, 0));
    }

    pub(crate) fn assert_clean(&mut self) {
        let cell = &self.workers.cells()[0];
        assert_eq!((cell.active.get(), cell.stats.stale.get()), (0, 0));
        assert!(cell.stats.upstreams.all().iter().all(|upstream| upstream.active.get() == 0));
        let reactor = self.worker.sessions().reactor();
        assert_eq!(reactor.pending(), 0, "no operation is left");
        // An upstream's own timer looks for what is idle, and stays while there is nothing.
        assert!(reactor.timers_armed() <= 2, "no connection's timer is left");
        let sim = reactor.driver();
        assert_eq!(sim.open(), 0, "no descriptor is left");
        assert_eq!(sim.buffers_home(), usize::from(BUFFERS));
    }
}
