//! The control plane of a run: it changes its mind at random, and makes a plan of that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway::ring::Fd;
use ringway::ring::sim::Random;
use ringway::service::cluster::Cluster;
use ringway::service::http::access::AccessList;
use ringway::session::{
    FreshCluster, Lease, LineSink, PlanOptions, Planned, PlannedUpstream, RouteCounters,
    ServerCounters, UpstreamOptions, WorkerSettings, Workers, cluster_seed,
};

use super::super::reload::Numbers;
use super::client::Got;
use super::orders::Ask;
use super::setup::{KeptFolder, PlanParts, ROUTES, Setup, folder, listener_of};

/// The place of `/files` among the routes.
const FILES: usize = 8;
/// Those of the routes that go to the upstream.
const PROXIED: [usize; 4] = [4, 5, 6, 7];

/// What a plan says.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    listens: bool,
    routes: Vec<usize>,
    servers: Vec<usize>,
}

/// The upstream of the present plan.
#[derive(Debug, Clone)]
struct Present {
    lease: Lease,
    servers: Vec<usize>,
    options: Arc<UpstreamOptions>,
}

#[derive(Debug)]
pub(super) struct Control {
    workers: Arc<Workers>,
    random: Random,
    sink: LineSink,
    unit: Duration,
    counters: Vec<Arc<RouteCounters>>,
    base: UpstreamOptions,
    /// Those of the plan that the worker starts with: nobody knows whether it still has them.
    first: Lease,
    listener: Lease,
    counted: Lease,
    clusters: Numbers,
    folders: Numbers,
    folder: Option<KeptFolder>,
    upstream: Option<Present>,
    /// What is wanted.
    wanted: Facts,
    is_other_upstream: bool,
    options: UpstreamOptions,
    times: Duration,
    keepalive_requests: u32,
    denies: bool,
    source_connections_max: Option<u32>,
    shutdown_timeout: Duration,
    /// All plans.
    plans: Vec<Facts>,
}

impl Control {
    pub(super) fn new(
        setup: &Setup,
        workers: &Arc<Workers>,
        counters: &[Arc<RouteCounters>],
        sink: &LineSink,
    ) -> Self {
        let servers: Vec<usize> = (0..setup.servers.len()).collect();
        let routes = (0..ROUTES.len()).collect();
        let wanted = Facts { listens: true, routes, servers: servers.clone() };
        let first = Lease::new(0);
        let options = Arc::new(setup.upstream.clone());
        Self {
            workers: Arc::clone(workers),
            random: Random::new(setup.seed ^ 0x706c_616e),
            sink: sink.clone(),
            unit: setup.unit,
            counters: counters.to_vec(),
            base: setup.upstream.clone(),
            listener: Lease::new(0),
            counted: Lease::new(0),
            clusters: Numbers::behind(&first),
            folders: Numbers::behind(&first),
            folder: None,
            upstream: Some(Present { lease: first.clone(), servers, options }),
            first,
            plans: vec![wanted.clone()],
            wanted,
            is_other_upstream: false,
            options: setup.upstream.clone(),
            times: setup.unit,
            keepalive_requests: 1_000,
            denies: false,
            source_connections_max: None,
            shutdown_timeout: setup.unit,
        }
    }

    /// The number of the present plan.
    pub(super) fn present(&self) -> u64 {
        self.plans.len() as u64 - 1
    }

    pub(super) fn facts(&self) -> &Facts {
        self.plans.last().expect("the first one")
    }

    pub(super) fn all_facts(&self) -> &[Facts] {
        &self.plans
    }

    pub(super) const fn listens(&self) -> bool {
        self.wanted.listens
    }

    /// Upstreams of the present plan.
    pub(super) fn upstreams(&self) -> usize {
        usize::from(self.upstream.is_some())
    }

    /// Numbers of upstreams that somebody has.
    pub(super) fn numbers_in_use(&self) -> usize {
        let is_first = self.upstream.as_ref().is_some_and(|own| own.lease == self.first);
        self.clusters.in_use() - usize::from(!is_first)
    }

    /// The number of the upstream, and the one of a server in it.
    pub(super) fn place_of(&self, server: usize) -> Option<(usize, usize)> {
        let own = self.upstream.as_ref()?;
        let place = own.servers.iter().position(|one| *one == server)?;
        Some((own.lease.number(), place))
    }

    /// The configuration is changed.
    pub(super) fn change(&mut self) {
        for _ in 0..1 + self.random.below(3) {
            self.change_one();
        }
        // What is gone comes back before long.
        if !self.wanted.listens && self.random.chance(400) {
            self.wanted.listens = true;
        }
        if self.wanted.servers.is_empty() && self.random.chance(500) {
            self.restore_upstream();
        }
        self.denies &= self.random.chance(300);
    }

    fn change_one(&mut self) {
        let Self { random, wanted, .. } = self;
        match random.below(14) {
            // The same again.
            0 | 1 => {}
            2 => random.shuffle(&mut wanted.routes),
            3 => {
                let at = random.below(wanted.routes.len().max(1));
                if at < wanted.routes.len() {
                    wanted.routes.remove(at);
                }
            }
            4 | 5 => {
                let missing = (0..ROUTES.len()).filter(|place| !wanted.routes.contains(place));
                let missing: Vec<usize> = missing
                    .filter(|place| !PROXIED.contains(place) || !wanted.servers.is_empty())
                    .collect();
                let at = random.below(wanted.routes.len() + 1);
                if let Some(place) = missing.first() {
                    wanted.routes.insert(at, *place);
                }
            }
            6 => {
                self.times = self.unit * (1 + u32::try_from(random.below(3)).expect("small"));
                self.keepalive_requests = [1, 2, 1_000][random.below(3)];
                self.source_connections_max = [None, None, Some(1)][random.below(3)];
                self.shutdown_timeout = [Duration::ZERO, self.unit / 3, self.unit][random.below(3)];
            }
            7..=9 if !wanted.servers.is_empty() => self.change_servers(),
            10 if !wanted.servers.is_empty() => {
                let origins = &mut self.options.cluster;
                origins.connections_max = 1 + u32::try_from(random.below(4)).expect("small");
                origins.attempts.retries_max = u32::try_from(random.below(4)).expect("small");
                self.is_other_upstream = true;
            }
            11 => {
                wanted.servers.clear();
                wanted.routes.retain(|place| !PROXIED.contains(place));
            }
            7..=10 => self.restore_upstream(),
            12 => wanted.listens = false,
            _ => self.denies = random.chance(300),
        }
    }

    fn change_servers(&mut self) {
        let Self { random, wanted, .. } = self;
        let servers = &mut wanted.servers;
        let missing: Vec<usize> =
            (0..self.base.servers.len()).filter(|server| !servers.contains(server)).collect();
        match (random.below(3), missing.first()) {
            (0, Some(server)) => servers.insert(random.below(servers.len() + 1), *server),
            (1, _) if servers.len() > 1 => {
                servers.remove(random.below(servers.len()));
            }
            (_, _) => random.shuffle(servers),
        }
        self.is_other_upstream = true;
    }

    fn restore_upstream(&mut self) {
        let wanted = &mut self.wanted;
        wanted.servers = (0..self.base.servers.len()).collect();
        wanted.routes.retain(|place| !PROXIED.contains(place));
        wanted.routes.extend(PROXIED);
    }

    /// The last plan: all that there was at first, or nothing.
    pub(super) fn end(&mut self, with_nothing: bool) {
        self.denies = false;
        self.keepalive_requests = 1_000;
        self.source_connections_max = None;
        self.wanted.listens = !with_nothing;
        if with_nothing {
            self.wanted.servers.clear();
            self.wanted.routes.clear();
        } else {
            self.options.clone_from(&self.base);
            self.is_other_upstream = true;
            self.wanted.routes = (0..ROUTES.len()).collect();
            self.restore_upstream();
        }
    }

    /// The plan of what is wanted.
    pub(super) fn plan(&mut self, setup: &Setup, socket: Option<Fd>, now: Instant) -> PlanOptions {
        let id = self.plans.len() as u64;
        let upstreams = self.plan_upstream(setup, now);
        let wanted = self.wanted.clone();
        if !wanted.routes.contains(&FILES) {
            self.folder = None;
        } else if self.folder.is_none() {
            self.folder = Some(folder(self.folders.lease()));
        }
        let mut fresh_routes = Vec::new();
        let listeners = socket.map(|socket| {
            let none = folder(Lease::new(0));
            let parts = PlanParts {
                id,
                routes: &wanted.routes,
                counters: &self.counters,
                upstream: self.upstream.as_ref().map_or(0, |own| own.lease.number()),
                folder: self.folder.as_ref().unwrap_or(&none),
            };
            let mut http = listener_of(self.times, &parts);
            http.keepalive_requests = self.keepalive_requests;
            http.source_connections_max = self.source_connections_max;
            if self.denies {
                let all = "0.0.0.0/0".parse().expect("a network");
                http.access = AccessList::new(&[], &[all]);
            }
            let options = setup.listener_options(http, vec![socket], &self.sink);
            Planned { lease: self.listener.clone(), options }
        });
        // Numbers that nobody has used before.
        fresh_routes.push(ROUTES.len() + self.random.below(10));
        self.plans.push(wanted);
        PlanOptions {
            id,
            listeners: listeners.into_iter().collect(),
            datagrams: Vec::new(),
            upstreams,
            fresh_routes,
            folders: Some(self.folder.iter().map(|(_, number)| number.number()).collect()),
            settings: WorkerSettings {
                relay: Setup::relay(),
                compression_memory: setup.compression_memory,
                waiting_memory: setup.waiting_memory,
                in_flight_max: None,
                connections_max: setup.slots,
                access_log: false,
                hand_off_ratio: None,
                shutdown_timeout: self.shutdown_timeout,
            },
        }
    }

    /// The upstream: as it is, another one that takes over what is known of its servers, or none.
    fn plan_upstream(&mut self, setup: &Setup, now: Instant) -> Vec<PlannedUpstream> {
        let servers = self.wanted.servers.clone();
        if servers.is_empty() {
            self.upstream = None;
            return Vec::new();
        }
        let is_other = std::mem::take(&mut self.is_other_upstream);
        if let Some(Present { lease, options, .. }) = self.upstream.as_ref().filter(|_| !is_other) {
            let (lease, options) = (lease.clone(), Arc::clone(options));
            let counted = self.counted.clone();
            return vec![PlannedUpstream { lease, counted, options, fresh: None }];
        }
        let before = self.upstream.take();
        let options = Arc::new(self.options_of(&servers));
        let lease = self.clusters.lease();
        let places = before.as_ref().map(|before| {
            let place = |server| servers.iter().position(|one| one == server);
            let place = |server| place(server).map(|at| u32::try_from(at).expect("few servers"));
            (before.lease.clone(), before.servers.iter().map(place).collect::<Box<[_]>>())
        });
        let counters = &self.workers.cells()[0].stats.servers;
        let own = match &places {
            Some((old, places)) => {
                let pairs = places.iter().enumerate();
                let pairs = pairs.filter_map(|(at, place)| Some((at, (*place)? as usize)));
                ServerCounters::continuing(&counters.get(old.number()), servers.len(), pairs)
            }
            None => ServerCounters::new(servers.len()),
        };
        counters.put(lease.number(), Arc::new(own));
        let seed = cluster_seed(setup.seed, lease.number());
        let cluster = Cluster::new(&options.cluster, (0, 1), seed, now);
        let fresh = FreshCluster {
            cluster: cluster.into(),
            before: places,
            is_checked: self.random.chance(500),
        };
        self.upstream =
            Some(Present { lease: lease.clone(), servers, options: Arc::clone(&options) });
        let counted = self.counted.clone();
        vec![PlannedUpstream { lease, counted, options, fresh: Some(fresh) }]
    }

    fn options_of(&self, servers: &[usize]) -> UpstreamOptions {
        let Self { base, .. } = self;
        let mut options = self.options.clone();
        let cluster = &mut options.cluster;
        cluster.servers = servers.iter().map(|server| base.cluster.servers[*server]).collect();
        cluster.names = servers.iter().map(|server| base.cluster.names[*server].clone()).collect();
        options.servers = servers.iter().map(|server| base.servers[*server]).collect();
        options
    }

    /// The first plan that may have answered a request. `before` is that of what came before it on
    /// its connection.
    pub(super) fn first_held(&self, before: u64, (begun, ended): (u64, u64)) -> u64 {
        let mut held = (begun..=ended).map(|plan| self.of(plan));
        // A connection whose listener is gone goes on as it was.
        if held.all(|plan| plan.listens) { begun } else { before }
    }

    fn of(&self, plan: u64) -> &Facts {
        &self.plans[usize::try_from(plan).expect("few plans")]
    }

    /// What is wrong with an answer, by the plans that held meanwhile.
    pub(super) fn objection(&self, first: u64, ask: &Ask, answer: &Got) -> Option<&'static str> {
        let (_, ended) = answer.held;
        let mut held = (first..=ended).map(|plan| self.of(plan));
        let place = ROUTES.iter().position(|path| *path == ask.path);
        let (Some(place), None) = (place, &ask.broken) else { return None };
        if answer.status == 404 && !answer.is_passed_on {
            let is_missing = held.any(|plan| plan.listens && !plan.routes.contains(&place));
            return (!is_missing).then_some("the route was there all the time");
        }
        let plan = answer.plan?;
        let facts = self.of(plan);
        if !(first..=ended).contains(&plan) || !facts.listens {
            return Some("its plan did not hold");
        }
        if !facts.routes.contains(&place) {
            return Some("its plan has no such route");
        }
        if answer.server.is_some_and(|server| !facts.servers.contains(&server)) {
            return Some("its plan has no such server");
        }
        None
    }
}
