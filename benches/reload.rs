//! How long a worker needs to put another plan in the place of the present one, with large plans and
//! with connections that are kept open: the time of the swap, and of the longest turn behind it.
//! The kernel is the simulated one, and its time is not counted.
#![allow(clippy::print_stdout, reason = "it prints what it has measured")]

#[path = "../tests/sim/http.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "of the tests' options only some are needed")]
mod http;

use std::any::Any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringway::ring::sim::{Behaviour, Faults, PeerId, Random, Sim};
use ringway::ring::{Completion, Fd, SocketAddress};
use ringway::runtime::{Reactor, clock};
use ringway::service::cluster::Cluster;
use ringway::service::http::route::{PathMatch, RouteMatch, Router};
use ringway::service::proxy::MeterOptions;
use ringway::session::http_options::{FixedAnswer, HttpOptions, RouteAction, RouteOptions};
use ringway::session::{
    Counted, DescriptorLimits, FreshCluster, HandlerFactory, Lease, ListenerOptions, PlanOptions,
    Planned, PlannedUpstream, RelayOptions, RouteCounters, ServerCounters, ServiceOptions,
    SessionOptions, Sessions, UpstreamOptions, WorkerSettings, Workers,
};

const ROUTES: usize = 10_000;
const SERVERS: usize = 10_000;
const CONNECTIONS: usize = 1_000;
const ROUNDS: usize = 30;
const LONG: Duration = Duration::from_secs(3_600);
const RELAY: RelayOptions = RelayOptions {
    meter: MeterOptions { enabled: false, after: 0, mean_min: 0 },
    buffer_size: 1_024,
    turn_budget: 4_000,
    pipe_capacity: 3_000,
    pipes_idle_max: 2,
};

fn main() {
    println!(
        "{ROUTES} routes, {SERVERS} servers, {CONNECTIONS} kept connections of clients and to \
         servers; the longest of {ROUNDS} rounds"
    );
    for kind in [Kind::Same, Kind::Routes, Kind::Servers, Kind::Both] {
        let mut rig = Rig::new();
        let mut all: Vec<Times> = (0..ROUNDS).map(|_| rig.round(kind)).collect();
        all.sort_by_key(|times| times.swap);
        let (median, most) = (all[ROUNDS / 2].swap, all[ROUNDS - 1].swap);
        all.sort_by_key(|times| times.turn);
        let (median_turn, most_turn) = (all[ROUNDS / 2].turn, all[ROUNDS - 1].turn);
        let turns = all.iter().map(|times| times.turns).max().unwrap_or(0);
        println!(
            "{:<28} swap {median:>10.1?} (most {most:.1?}), longest turn {median_turn:>10.1?} \
             (most {most_turn:.1?}) of {turns}",
            kind.name()
        );
    }
}

/// What is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Same,
    Routes,
    Servers,
    Both,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Same => "the same plan",
            Self::Routes => "other routes",
            Self::Servers => "another upstream",
            Self::Both => "other routes, other upstream",
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Times {
    swap: Duration,
    turn: Duration,
    turns: usize,
}

/// What the control plane holds until it has time to free it.
type Kept = Arc<Mutex<Vec<Box<dyn Any + Send>>>>;

struct Rig {
    sessions: Sessions<Sim>,
    workers: Arc<Workers>,
    batch: Vec<Completion>,
    socket: Fd,
    clients: Vec<PeerId>,
    servers: Vec<PeerId>,
    http: Arc<HttpOptions>,
    upstream: (Lease, Arc<UpstreamOptions>),
    counters: Vec<Arc<RouteCounters>>,
    kept: Kept,
    id: u64,
}

fn address(server: usize) -> SocketAddress {
    let [.., a, b] = u32::try_from(server).expect("few servers").to_be_bytes();
    SocketAddress::inet(std::net::SocketAddr::from(([10, 0, a, b], 80)))
}

fn upstream(shift: usize) -> UpstreamOptions {
    let mut servers: Vec<_> = (0..SERVERS).map(address).collect();
    servers.rotate_left(shift % SERVERS);
    let mut options = http::upstream(&mut Random::new(1), servers);
    options.cluster.connections_max = 2_000;
    options.cluster.hedge_after = None;
    options.cluster.pool.idle_timeout = LONG;
    options.cluster.pool.max_age = None;
    options
}

fn routes(upstream: usize, counters: &[Arc<RouteCounters>]) -> HttpOptions {
    let mut http = http::listener(upstream);
    let own = |number: usize| RouteOptions {
        name: format!("/own{number}").into(),
        counters: Arc::clone(&counters[number]),
        upstream_name: None,
        action: RouteAction::Respond(FixedAnswer::new(200, "text/plain", b"hello", None)),
        request_edits: Default::default(),
        response_edits: Default::default(),
        body_max: 1 << 20,
        total_timeout: None,
        grpc_web: false,
        grpc_message_max: None,
        access: Default::default(),
        rate_limit: None,
        auth: None,
        compression: None,
    };
    let mut all: Vec<RouteOptions> = (0..ROUTES - 5).map(own).collect();
    all.extend(std::mem::take(&mut http.routes));
    let paths = all.iter().map(|route| RouteMatch {
        path: PathMatch::Prefix(if &*route.name == "/" { "/".into() } else { route.name.clone() }),
        ..RouteMatch::default()
    });
    http.router = Router::new(paths.collect());
    http.routes = all;
    http.keepalive_timeout = LONG;
    http
}

fn listener(socket: Fd, http: &Arc<HttpOptions>) -> ListenerOptions {
    ListenerOptions {
        name: "bench".to_owned(),
        sockets: vec![socket],
        listen: None,
        service: ServiceOptions::Http(Arc::clone(http)),
        connections_max: 10_000,
        idle_timeout: LONG,
        accept_header: false,
        header_timeout: LONG,
        tls: None,
    }
}

fn options(workers: &Arc<Workers>) -> SessionOptions {
    SessionOptions {
        compression_memory: 1 << 20,
        waiting_memory: 1 << 20,
        websocket_takeover_memory: 1 << 20,
        listeners: Vec::new(),
        datagrams: Vec::new(),
        upstreams: Vec::new(),
        relay: RELAY,
        connections_max: 10_000,
        access_log: false,
        workers: Arc::clone(workers),
        worker: 0,
        descriptors: DescriptorLimits::OPEN,
        hand_off_ratio: None,
        seed: 1,
        handler: HandlerFactory::default(),
        http_handlers: ringway::handler::HttpHandlers::new(),
        websocket_handlers: ringway::handler::WebSocketHandlers::new(),
    }
}

impl Rig {
    fn new() -> Self {
        let mut sim = Sim::new(1, Faults::NONE, 2_048, 1_024);
        for server in 0..SERVERS {
            sim.serve(address(server), Behaviour::Accept { capacity: 4_000 });
        }
        let socket = sim.listen();
        let counted = Counted { listeners: 1, servers: vec![SERVERS], ..Counted::default() };
        let workers = Arc::new(Workers::with_plan(1, &counted));
        let kept = Kept::default();
        let disposed = Arc::clone(&kept);
        workers.set_disposal(Box::new(move |large| {
            disposed.lock().expect("nobody panics with it").push(large);
        }));
        let counters = |number| Arc::new(RouteCounters::new(Lease::new(number), 1));
        let counters: Vec<_> = (0..ROUTES).map(counters).collect();
        let loops = workers.cells()[0].loops.clone();
        let mut rig = Self {
            sessions: Sessions::new(Reactor::new(sim, loops), options(&workers)),
            workers,
            batch: Vec::new(),
            socket,
            clients: Vec::new(),
            servers: Vec::new(),
            http: Arc::new(routes(0, &counters)),
            upstream: (Lease::new(0), Arc::new(upstream(0))),
            counters,
            kept,
            id: 0,
        };
        let plan = rig.plan(true, None);
        rig.sessions.replace_plan(plan);
        rig.sessions.start(None);
        rig.connect();
        rig
    }

    /// One turn, without what the kernel takes.
    fn turn(&mut self) -> Duration {
        self.sessions.wait(&mut self.batch).expect("the simulated kernel does not fail");
        let began = clock::now();
        let mut batch = std::mem::take(&mut self.batch);
        batch.drain(..).for_each(|completion| self.sessions.drive(completion));
        self.batch = batch;
        self.sessions.reactor().expire();
        while let Some(due) = self.sessions.reactor().take_due() {
            self.sessions.timeout(due);
        }
        self.sessions.flush_dirty();
        clock::now() - began
    }

    /// As many clients ask as there are to be connections, so that each needs one to a server.
    fn connect(&mut self) {
        let sim = self.sessions.reactor().driver();
        self.clients = (0..CONNECTIONS).map(|_| sim.connect(self.socket, 4_000)).collect();
        self.ask();
    }

    fn ask(&mut self) {
        for client in &self.clients {
            let sim = self.sessions.reactor().driver();
            sim.peer_write(*client, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        let mut asked: Vec<PeerId> = Vec::new();
        while asked.len() < CONNECTIONS {
            self.turn();
            let sim = self.sessions.reactor().driver();
            self.servers.extend(sim.take_accepted().into_iter().map(|(_, peer)| peer));
            let has_asked = |server: &&PeerId| !sim.peer_read(**server, 4_000).is_empty();
            asked.extend(self.servers.iter().filter(has_asked));
        }
        for server in asked {
            let sim = self.sessions.reactor().driver();
            sim.peer_write(server, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        let mut answered = 0;
        while answered < CONNECTIONS {
            self.turn();
            let sim = self.sessions.reactor().driver();
            let has_answer = |client: &&PeerId| !sim.peer_read(**client, 4_000).is_empty();
            answered += self.clients.iter().filter(has_answer).count();
        }
    }

    fn plan(&mut self, is_fresh: bool, before: Option<Lease>) -> PlanOptions {
        self.id += 1;
        let now = self.sessions.reactor().now();
        let (lease, options) = &self.upstream;
        let fresh = is_fresh.then(|| {
            // Each server has moved on by one place.
            let count = u32::try_from(SERVERS).expect("few servers");
            let place = |old: u32| Some((old + count - 1) % count);
            FreshCluster {
                cluster: Cluster::new(&options.cluster, (0, 1), self.id, now).into(),
                before: before.map(|lease| (lease, (0..count).map(place).collect())),
                is_checked: false,
            }
        });
        let upstream = PlannedUpstream {
            lease: lease.clone(),
            counted: Lease::new(0),
            options: Arc::clone(options),
            fresh,
        };
        let options = listener(self.socket, &self.http);
        PlanOptions {
            id: self.id,
            listeners: vec![Planned { lease: Lease::new(0), options }],
            datagrams: Vec::new(),
            upstreams: vec![upstream],
            fresh_routes: Vec::new(),
            folders: Some(Vec::new()),
            settings: WorkerSettings {
                relay: RELAY,
                compression_memory: 1 << 20,
                waiting_memory: 1 << 20,
                in_flight_max: None,
                connections_max: 10_000,
                access_log: false,
                hand_off_ratio: None,
                shutdown_timeout: LONG,
            },
        }
    }

    fn round(&mut self, kind: Kind) -> Times {
        let (has_routes, has_servers) = match kind {
            Kind::Same => (false, false),
            Kind::Routes => (true, false),
            Kind::Servers => (false, true),
            Kind::Both => (true, true),
        };
        let mut before = None;
        if has_servers {
            // Two numbers take turns.
            let number = 1 - self.upstream.0.number();
            let shift = usize::try_from(self.id).expect("few plans");
            let options = (Lease::new(number), Arc::new(upstream(shift)));
            let (lease, options) = std::mem::replace(&mut self.upstream, options);
            self.kept.lock().expect("nobody panics with it").push(Box::new(options));
            before = Some(lease);
            let counters = &self.workers.cells()[0].stats.servers;
            counters.put(number, Arc::new(ServerCounters::new(SERVERS)));
        }
        if has_routes || has_servers {
            let http = Arc::new(routes(self.upstream.0.number(), &self.counters));
            let old = std::mem::replace(&mut self.http, http);
            self.kept.lock().expect("nobody panics with it").push(Box::new(old));
        }
        let mut plan = self.plan(has_servers, before);
        if has_routes {
            plan.fresh_routes = (0..ROUTES).collect();
        }
        let began = clock::now();
        self.sessions.replace_plan(plan);
        let swap = clock::now() - began;
        let turns: Vec<Duration> = (0..200).map(|_| self.turn()).collect();
        let busy = turns.iter().rposition(|turn| *turn > turns[199] * 4);
        let times = Times {
            swap,
            turn: turns.iter().max().copied().unwrap_or_default(),
            turns: busy.map_or(0, |last| last + 1),
        };
        assert_eq!(self.sessions.upstreams(), 1, "the upstream before is gone");
        self.kept.lock().expect("nobody panics with it").clear();
        if has_servers {
            self.servers.clear();
            self.ask();
        }
        times
    }
}
