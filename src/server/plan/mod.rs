//! Plans: what a configuration means for the workers, and what of the plan before goes on.
//!
//! A plan is made whole, with everything that may fail, before anything is changed. What is equal
//! in both plans is the same thing in both: listening sockets by address, upstreams by name and
//! content, counters by name, rate limits and open files by content, what listeners and upstreams
//! share of TLS.
//!
//! | file | job |
//! |---|---|
//! | `numbers` | numbers by which workers know things |
//! | `sockets` | the listening sockets |
//! | `routes` | what of routes goes on |
//! | `topics` | what of topics goes on |
//! | `upstreams` | what of upstreams goes on |
//! | `inventory` | what there is, for metrics and pages |

mod inventory;
mod numbers;
mod routes;
mod sockets;
mod topics;
mod upstreams;

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

pub(super) use self::inventory::{Inventory, Known, KnownUpstream};
use self::numbers::Numbers;
pub(super) use self::routes::Routes;
use self::sockets::{PlannedSockets, Sockets};
pub(super) use self::topics::TopicSets;
use self::upstreams::{PlannedUpstreams, Upstreams};
use super::StartError;
use super::access_log::AccessFiles;
use super::admin::change::Gate;
use super::build::http::HttpBuilder;
use super::build::tls::{Common, MadeTls};
use super::build::{self, tls};
use super::certificates::CertificateList;
use super::health::HealthPlan;
use super::watch::{WatchList, Watched};
use crate::config::{Config, Listener};
use crate::handler::{HttpHandlers, WebSocketHandlers};
use crate::ring::{Fd, SocketAddress};
use crate::session::{
    DatagramOptions, Lease, ListenerOptions, PlanOptions, Planned, ServiceOptions, Workers,
};

/// Makes plans, and remembers what goes on from one to the next.
#[derive(Debug)]
pub(super) struct Planner {
    workers: Arc<Workers>,
    seed: u64,
    common: Common,
    /// The program's handlers of HTTP requests.
    pub(super) handlers: HttpHandlers,
    /// Its handlers of WebSockets.
    pub(super) websocket_handlers: WebSocketHandlers,
    listeners: Numbers<String>,
    datagrams: Numbers<String>,
    routes: Routes,
    topics: TopicSets,
    upstreams: Upstreams,
    sockets: Sockets,
    /// The files of access logs, unless lines are written nowhere.
    pub(super) access: Option<AccessFiles>,
    /// What listeners share of TLS, by their names.
    secured: Vec<MadeTls>,
    /// The admin interface's.
    admin: Option<MadeTls>,
    pub(super) gate: Gate,
    /// Files that are read again when they change.
    pub(super) watch: WatchList,
    /// Certificates and tickets that are looked after.
    pub(super) certificates: CertificateList,
    /// The present plan's number.
    id: u64,
    /// Options of earlier plans: they are freed here, and not by a worker.
    retired: Vec<ServiceOptions>,
    present: Vec<ServiceOptions>,
}

/// A plan that is ready to be given to the workers.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) id: u64,
    pub(super) config: Arc<Config>,
    /// By worker.
    pub(super) plans: Vec<WorkerPlan>,
    pub(super) inventory: Arc<Inventory>,
    /// Where listeners listen.
    pub(super) addresses: Vec<(String, SocketAddress)>,
    /// The servers that are asked how they are.
    pub(super) checks: Vec<HealthPlan>,
    /// Upstreams whose keys are as before, and whose names have other addresses.
    pub(super) resolved: Vec<String>,
    /// How the admin interface speaks TLS, if it does.
    pub(super) admin_tls: Option<Arc<crate::session::TlsOptions>>,
}

/// The plan of one worker, and the sockets that it takes over with it.
#[derive(Debug)]
pub struct WorkerPlan {
    /// The plan.
    pub options: PlanOptions,
    /// Listening sockets that are new. Dropped without the plan having been taken, they are closed.
    pub sockets: Vec<OwnedFd>,
}

impl Planner {
    /// A planner for these workers. `config` says what all plans have in common.
    pub(super) fn new(
        workers: Arc<Workers>,
        config: &Config,
        tls_key_log: Option<&Path>,
        seed: u64,
    ) -> Result<Self, StartError> {
        let count = workers.cells().len();
        Ok(Self {
            seed,
            common: Common::new(config, tls_key_log)?,
            handlers: HttpHandlers::new(),
            websocket_handlers: WebSocketHandlers::new(),
            listeners: Numbers::default(),
            datagrams: Numbers::default(),
            routes: Routes::new(count),
            topics: TopicSets::new(count),
            upstreams: Upstreams::default(),
            sockets: Sockets::default(),
            access: Some(AccessFiles::default()),
            secured: Vec::new(),
            admin: None,
            gate: Gate::default(),
            watch: WatchList::default(),
            certificates: CertificateList::default(),
            id: 0,
            retired: Vec::new(),
            present: Vec::new(),
            workers,
        })
    }

    /// Makes a plan that listens.
    ///
    /// # Errors
    /// What could not be had, on what, and why. Then nothing is changed.
    pub(super) fn plan(&mut self, config: Config, now: Instant) -> Result<Ready, StartError> {
        let sockets = self.sockets.plan(&config, self.workers.cells().len())?;
        self.plan_on(config, sockets, now)
    }

    /// Makes a plan that listens on sockets of the caller, those of each listener of connections.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub(super) fn plan_given(
        &mut self,
        config: &Config,
        sockets: &[Vec<Fd>],
        now: Instant,
    ) -> Result<Ready, StartError> {
        let mut given = sockets.iter();
        let by_listener = config.listeners.iter().map(|listener| {
            let own = if listener.is_udp() { None } else { given.next() };
            vec![own.cloned().unwrap_or_default()]
        });
        let by_listener = by_listener.collect();
        let sockets = PlannedSockets::given(by_listener);
        self.plan_on(config.clone(), sockets, now)
    }

    fn plan_on(
        &mut self,
        config: Config,
        mut sockets: PlannedSockets,
        now: Instant,
    ) -> Result<Ready, StartError> {
        let config = Arc::new(config);
        self.sweep();
        self.common.look_again(&config);
        let mut watched = Vec::new();
        let upstreams = self.upstreams.plan(
            &config,
            &self.common,
            &mut watched,
            (&self.workers, self.seed, now),
        )?;
        let (services, folders) = self.services(&config, &upstreams, &mut watched)?;
        let secured = self.secured(&config, &mut watched)?;
        let admin = tls::admin(&config, &self.common, self.admin.as_ref(), &mut watched)?;
        let gate = super::admin::gate(&config.admin, &self.gate, &mut watched)?;
        // From here on nothing fails.
        self.id += 1;
        self.gate = gate;
        self.keep_services(&services);
        let resolved = upstreams.resolved_anew.clone();
        let made = Made { services, secured: &secured, folders, upstreams };
        let (plans, inventory, checks) = self.assemble(&config, made, &mut sockets);
        self.sockets.adopt(&mut sockets);
        let all = secured.iter().chain(&admin).map(|made| made.changing.clone()).collect();
        self.certificates.replace(all);
        (self.secured, self.admin) = (secured, admin);
        self.watch.replace(watched, &self.kept_files());
        Ok(Ready {
            id: self.id,
            plans,
            inventory: Arc::new(inventory),
            resolved,
            addresses: sockets.addresses,
            checks,
            admin_tls: self.admin.as_ref().map(|made| Arc::clone(&made.options)),
            config,
        })
    }

    /// A plan is being made: numbers that nothing has any more may be given away.
    fn sweep(&mut self) {
        self.listeners.sweep();
        self.datagrams.sweep();
        self.routes.sweep();
        self.topics.sweep();
        self.tidy();
    }

    /// What earlier plans alone have used, and nothing uses any more, is let go.
    pub(super) fn tidy(&mut self) {
        self.retired.retain(|service| match service.http() {
            Some(http) => Arc::strong_count(http) > 1,
            None => false,
        });
        self.access.iter().for_each(AccessFiles::close_unused);
    }

    /// Keeps the options of a plan until no worker has them: freeing 10,000 routes takes longer
    /// than a turn may.
    fn keep_services(&mut self, services: &[ServiceOptions]) {
        self.retired.append(&mut self.present);
        self.present = services.to_vec();
    }

    /// What each listener of connections does, and the folders of which files are kept open.
    fn services(
        &mut self,
        config: &Config,
        upstreams: &PlannedUpstreams,
        watched: &mut Vec<Watched>,
    ) -> Result<(Vec<ServiceOptions>, Vec<usize>), StartError> {
        let numbers = upstreams.numbers();
        let mut builder = HttpBuilder {
            routes: &mut self.routes,
            topics: &mut self.topics,
            lines: self.access.as_ref(),
            handlers: &self.handlers,
            websocket_handlers: &self.websocket_handlers,
            watched: Vec::new(),
            upstreams: &numbers,
            folders: Vec::new(),
        };
        let services = build::services(config, &mut builder)?;
        let HttpBuilder { watched: mut users, folders, .. } = builder;
        watched.append(&mut users);
        Ok((services, folders))
    }

    /// What listeners share of TLS. That of one whose keys are as before goes on.
    fn secured(
        &self,
        config: &Config,
        watched: &mut Vec<Watched>,
    ) -> Result<Vec<MadeTls>, StartError> {
        let mut all = Vec::new();
        for listener in build::streams(config) {
            let before = self.secured.iter().find(|made| made.is_of(&listener.name));
            all.extend(tls::listener(listener, &self.common, before, watched)?);
        }
        Ok(all)
    }

    /// Files of what goes on from the plan before: whose they are, and what.
    fn kept_files(&self) -> HashSet<(String, &'static str)> {
        let secured = self.secured.iter().chain(&self.admin).filter(|made| made.is_kept);
        let of_tls = secured.flat_map(|made| tls::WATCHED.map(|what| (made.owner.clone(), what)));
        let tokens = self.gate.is_kept().then(|| ("admin".to_owned(), "tokens"));
        of_tls.chain(self.upstreams.kept_files()).chain(tokens).collect()
    }

    /// Puts the parts together for each worker.
    fn assemble(
        &mut self,
        config: &Config,
        made: Made<'_>,
        sockets: &mut PlannedSockets,
    ) -> (Vec<WorkerPlan>, Inventory, Vec<HealthPlan>) {
        let Made { services, secured, folders, mut upstreams } = made;
        let numbers = upstreams.numbers();
        let leases: Vec<Lease> = config.listeners.iter().map(|one| self.lease(one)).collect();
        self.count(config);
        let inventory = Inventory::new(config, &leases, &services, &upstreams);
        let checks = upstreams.checks(config);
        let fresh_routes = self.routes.adopt();
        self.topics.adopt();
        let settings = build::settings(config);
        let count = self.workers.cells().len();
        let mut plans = Vec::with_capacity(count);
        for worker in 0..count {
            let (mut listeners, mut datagrams) = (Vec::new(), Vec::new());
            let mut own = services.iter();
            let all = config.listeners.iter().zip(&leases).zip(&sockets.by_listener);
            for ((listener, lease), by_worker) in all {
                let lease = lease.clone();
                let own_sockets = by_worker.get(worker).cloned().unwrap_or_default();
                if let Some(options) = build::datagram_options(listener, &own_sockets, &numbers) {
                    datagrams.push(Planned::<DatagramOptions> { lease, options });
                } else if let Some(service) = own.next() {
                    let made = secured.iter().find(|made| made.is_of(&listener.name));
                    let tls = made.map(|made| Arc::clone(&made.options));
                    let options = build::listener_options(listener, service, tls, own_sockets);
                    listeners.push(Planned::<ListenerOptions> { lease, options });
                }
            }
            plans.push(WorkerPlan {
                options: PlanOptions {
                    id: self.id,
                    listeners,
                    datagrams,
                    upstreams: upstreams.of_worker(worker),
                    fresh_routes: fresh_routes.clone(),
                    folders: Some(folders.clone()),
                    settings,
                },
                sockets: sockets.new.get_mut(worker).map(std::mem::take).unwrap_or_default(),
            });
        }
        self.upstreams.adopt(upstreams);
        (plans, inventory, checks)
    }

    fn lease(&mut self, listener: &Listener) -> Lease {
        let numbers = if listener.is_udp() { &mut self.datagrams } else { &mut self.listeners };
        numbers.lease(&listener.name)
    }

    /// Begins to count for listeners that are new.
    fn count(&mut self, config: &Config) {
        for number in self.listeners.take_fresh() {
            for cell in self.workers.cells() {
                cell.stats.listeners.put(number, Arc::default());
            }
        }
        for number in self.datagrams.take_fresh() {
            for cell in self.workers.cells() {
                cell.stats.datagrams.put(number, Arc::default());
            }
        }
        let counts_sources = config.listeners.iter().any(|listener| {
            listener.service.http().is_some_and(|http| http.source_connections_max.is_some())
        });
        if counts_sources && self.workers.cells().len() > 1 {
            self.workers.cells().iter().for_each(crate::session::WorkerCell::count_sources);
        }
    }
}

/// What a plan is made of.
struct Made<'a> {
    services: Vec<ServiceOptions>,
    secured: &'a [MadeTls],
    folders: Vec<usize>,
    upstreams: PlannedUpstreams,
}
