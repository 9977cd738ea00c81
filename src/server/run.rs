//! Listens, starts the workers and the control plane, and puts the parts together.

use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use tokio::sync::mpsc as channel;

use super::admin::AdminError;
use super::admin::log_level::LogLevelControl;
use super::build::http::HttpBuilder;
use super::build::{self, Blueprint, WorkerSockets};
use super::control::{Command, Control, WorkerHandle};
use super::descriptors::raise_descriptor_limit;
use super::health::HealthPlan;
use super::introduction::introduction;
use super::metrics::Exporter;
use super::sink::LostLines;
use super::upstreams::Named;
use super::watch::Watched;
use super::worker::{Message, Report, Worker, cpus, pin};
use crate::config::{Config, ListenerService, WorkerCount, defaults};
use crate::net::{self, BindError};
use crate::ring::SocketAddress;
use crate::ring::uring::{RingOptions, RingSize, SetupError, Uring};
use crate::runtime::{Mailbox, Offload, mailbox};
use crate::session::{
    HandlerFactory, Plan, SessionOptions, UpstreamOptions, WorkerMessage, Workers,
};

/// Threads for work that takes too long for a loop.
const HELPERS: usize = 2;

/// The server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The ring of a worker could not be made.
    #[error("io_uring cannot be used: {0}")]
    Ring(#[from] SetupError),
    /// The admin interface cannot be listened on.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The tokens of the admin interface cannot be read.
    #[error("the tokens {path:?} of the admin interface cannot be used: {message}")]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A server's name has no address.
    #[error("upstream {upstream}: the name {host:?} cannot be resolved: {source}")]
    Resolve {
        /// The upstream.
        upstream: String,
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// A folder of files cannot be opened.
    #[error("listener {listener}: the folder {path:?} cannot be opened: {source}")]
    Files {
        /// The listener.
        listener: String,
        /// The folder.
        path: PathBuf,
        /// What the kernel said.
        source: Errno,
    },
    /// The file of an access log cannot be opened.
    #[error("the access log {path:?} cannot be opened: {source}")]
    AccessLog {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A list of users cannot be read.
    #[error("listener {listener}: the users of {path:?} cannot be used: {message}")]
    Users {
        /// The listener.
        listener: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A setting of an HTTP listener cannot be carried out.
    #[error("listener {listener}: {message}")]
    Http {
        /// The listener.
        listener: String,
        /// What is wrong.
        message: String,
    },
    /// TLS cannot be spoken as the configuration has it.
    #[error("{place}: TLS: {message}")]
    Tls {
        /// The listener or upstream.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// The file that the secrets of TLS go to cannot be opened.
    #[error("the key log {} cannot be opened: {source}", path.display())]
    KeyLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A path is too long for a unix socket.
    #[error("the path {0:?} is too long for a unix socket: at most 107 bytes")]
    Path(PathBuf),
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[source] io::Error),
    /// Something else that the kernel refused.
    #[error("{call}: {source}")]
    System {
        /// The call.
        call: &'static str,
        /// What it said.
        source: Errno,
    },
}

/// How a server ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Connections that were cut, because the shutdown's time was over or a second signal came.
    pub cut: u64,
    /// Workers whose ring failed.
    pub failed_workers: usize,
}

/// What a server is started with beside its configuration.
#[derive(Debug, Default)]
pub struct StartOptions {
    /// Makes the [`Handler`](crate::service::handler::Handler) of each worker: its framed and
    /// message services answer what that knows, beside their own requests.
    pub handler: HandlerFactory,
    /// The file to which the secrets of all TLS connections are written, for who has to look into
    /// recorded traffic. None: they are written nowhere.
    pub tls_key_log: Option<PathBuf>,
    /// Counts lines of the program's log that were dropped, for the metrics. None: they are not
    /// counted.
    pub log_lost: Option<LostLines>,
    /// How the admin interface changes the level of the program's log. None: it cannot.
    pub log_level: Option<LogLevelControl>,
}

/// A server that is about to run.
#[derive(Debug)]
pub struct Server;

/// A server that runs. Dropping it leaves it running: ask for its end and wait.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<(String, SocketAddress)>,
    admin: Option<SocketAddr>,
    workers: Arc<Workers>,
    commands: channel::UnboundedSender<Command>,
    control: JoinHandle<Outcome>,
}

impl Server {
    /// Starts a server. When this returns, it serves.
    ///
    /// # Errors
    /// What could not be had, on what, and why; nothing is left running then.
    pub fn start(config: Config) -> Result<Running, StartError> {
        Self::start_with(config, StartOptions::default())
    }

    /// Starts a server with what no configuration says.
    ///
    /// # Errors
    /// What could not be had, on what, and why; nothing is left running then.
    pub fn start_with(config: Config, options: StartOptions) -> Result<Running, StartError> {
        let StartOptions { handler, tls_key_log, log_lost, log_level } = options;
        let config = Arc::new(config);
        let descriptors = raise_descriptor_limit(&config);
        let failed = |source| StartError::System { call: "sched_getaffinity", source };
        let cpus = cpus().map_err(failed)?;
        let count = worker_count(config.runtime.workers, cpus.len());
        let common = build::tls::Common::new(&config, tls_key_log.as_deref())?;
        let mut watched = Vec::new();
        let upstreams = build::upstreams(&config, count, &common, &mut watched)?;
        let workers = Arc::new(Workers::with_plan(count, &plan(&config, &upstreams)));
        workers.set_offload(Offload::new(HELPERS).map_err(StartError::Thread)?);
        warn_of_small_pools(&config, count);
        let mut builder = HttpBuilder::default();
        let services = build::services(&config, &mut builder)?;
        let (tls, mut certificates) = build::tls(&config, &common, &mut watched)?;
        let (admin_tls, of_admin) = build::tls::admin(&config, &common, &mut watched)?.unzip();
        certificates.extend(of_admin);
        let gate = super::admin::gate(&config.admin, &mut watched)?;
        watched.append(&mut builder.watched);
        watched.retain(Watched::is_needed);
        let (lines, writers) = std::mem::take(&mut builder.lines).start()?;
        let seed = std::hash::RandomState::new().hash_one(std::process::id());
        let checks = checks(&config, &upstreams);
        let named: Arc<[Named]> = upstreams.iter().map(Named::new).collect();
        let blueprint = Blueprint {
            upstreams,
            services,
            tls,
            handler,
            workers: Arc::clone(&workers),
            descriptors,
            routes: builder.routes,
            lines,
            seed,
        };
        let (sockets, addresses) = bind_all(&config, count)?;
        let admin = super::admin::bind(&config.admin)?;
        let admin_address = admin.as_ref().and_then(|listener| listener.local_addr().ok());
        workers.introduce(introduction(&config, &addresses, admin_address));
        let (reports_in, reports) = channel::unbounded_channel();
        let handles = spawn_all(&config, &blueprint, &cpus, &reports_in, sockets)?;
        workers.connect(handles.iter().map(post).collect());
        let mut exporter = Exporter::new(&config, Arc::clone(&workers), Arc::clone(&named));
        exporter.set_certificates(&certificates);
        exporter.set_lost_lines(log_lost, writers.lost());
        exporter.set_watched(&watched);
        exporter.set_thread_files(handles.iter().map(|handle| handle.times.clone()).collect());
        exporter.set_changes(gate.counts());
        let (commands, inbox) = channel::unbounded_channel();
        let control = Control {
            handles,
            reports,
            inbox,
            exporter,
            admin: admin.map(|listener| (listener, admin_tls)),
            gate,
            log_level,
            shutdown_timeout: config.runtime.shutdown_timeout,
            config,
            named,
            checks,
            certificates,
            writers,
            watched,
            seed,
        };
        let control = spawn_control(control)?;
        Ok(Running { addresses, admin: admin_address, workers, commands, control })
    }
}

impl Running {
    /// Where each listener listens: its name and an address, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[(String, SocketAddress)] {
        &self.addresses
    }

    /// The address of the listener `name`; of its first one if it has several.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<&SocketAddress> {
        self.addresses.iter().find(|(listener, _)| listener == name).map(|(_, address)| address)
    }

    /// Where the admin interface listens.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The workers' counters.
    #[must_use]
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Handles the signals of this process: the first SIGTERM, SIGQUIT or SIGINT drains, the second
    /// cuts; SIGUSR1 opens the access logs again; SIGHUP and SIGUSR2 are logged and ignored. When
    /// this returns, none of them kills.
    pub fn handle_signals(&self) {
        let (sender, done) = mpsc::channel();
        self.command(Command::HandleSignals(sender));
        // A server that has ended handles none.
        let _ended = done.recv();
    }

    /// Stops to accept; connections end by themselves or are cut after the shutdown timeout.
    pub fn drain(&self) {
        self.command(Command::Drain);
    }

    /// Cuts all connections at once.
    pub fn stop(&self) {
        self.command(Command::Stop);
    }

    /// Waits until the server has ended.
    #[must_use]
    pub fn wait(self) -> Outcome {
        self.control.join().unwrap_or(Outcome { cut: 0, failed_workers: 1 })
    }

    fn command(&self, command: Command) {
        // A server that has ended needs no command.
        let _ended = self.commands.send(command);
    }
}

/// What there is to be counted.
pub(super) fn plan(config: &Config, upstreams: &[UpstreamOptions]) -> Plan {
    let servers = |one: &UpstreamOptions| one.cluster.names.len();
    let limits = build::streams(config).filter_map(build::http::limits_of);
    let (buckets, counts_sources) = limits
        .fold((0, false), |sum: (usize, bool), one| (sum.0.saturating_add(one.0), sum.1 || one.1));
    Plan {
        buckets,
        counts_sources,
        routes: build::streams(config).map(build::http::routes_of).collect(),
        servers: upstreams.iter().map(servers).collect(),
        datagrams: build::datagrams(config).map(|listener| listener.name.clone()).collect(),
    }
}

fn worker_count(wanted: WorkerCount, cpus: usize) -> usize {
    match wanted {
        WorkerCount::Auto => cpus,
        WorkerCount::Fixed(number) => usize::from(number.get()),
    }
}

/// The active checks of all upstreams.
fn checks(config: &Config, upstreams: &[UpstreamOptions]) -> Vec<HealthPlan> {
    let pairs = config.upstreams.iter().zip(upstreams).enumerate();
    let plans = pairs.filter_map(|(index, (one, options))| {
        let names = &options.cluster.names;
        let plan = build::cluster::health(index, one, &options.servers, names)?;
        Some(HealthPlan { tls: options.tls.clone(), ..plan })
    });
    plans.collect()
}

/// Starts the thread of the control plane.
fn spawn_control(control: Control) -> Result<JoinHandle<Outcome>, StartError> {
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || control.run())
        .map_err(StartError::Thread)
}

/// How other workers reach one.
fn post(handle: &WorkerHandle) -> Box<dyn Fn(WorkerMessage) -> bool + Send + Sync> {
    let sender = handle.sender.clone();
    Box::new(move |note| match note {
        // A connection waits for it, and has nothing else to wait for.
        WorkerMessage::Finished { .. } => sender.deliver(Message::Note(note)).is_ok(),
        WorkerMessage::Ask { .. }
        | WorkerMessage::Give { .. }
        | WorkerMessage::Health { .. }
        | WorkerMessage::Server { .. }
        | WorkerMessage::EndFlow { .. } => sender.send(Message::Note(note)).is_ok(),
    })
}

/// What a worker thread is told about itself.
#[derive(Debug)]
struct Place {
    worker: usize,
    cpu: Option<usize>,
    ring: RingOptions,
    reports: channel::UnboundedSender<(usize, Report)>,
}

/// Starts all workers; if one cannot be, none.
fn spawn_all(
    config: &Config,
    blueprint: &Blueprint,
    cpus: &[usize],
    reports: &channel::UnboundedSender<(usize, Report)>,
    sockets: Vec<WorkerSockets>,
) -> Result<Vec<WorkerHandle>, StartError> {
    let mut handles = Vec::with_capacity(sockets.len());
    let mut sizes = Vec::with_capacity(sockets.len());
    for (worker, own) in sockets.into_iter().enumerate() {
        let place = Place {
            worker,
            cpu: config.runtime.pin.then(|| cpus[worker % cpus.len()]),
            ring: build::ring(config),
            reports: reports.clone(),
        };
        match spawn(config, blueprint, place, own) {
            Ok((handle, size)) => {
                handles.push(handle);
                sizes.push(size);
            }
            Err(error) => {
                stop_all(&handles);
                return Err(error);
            }
        }
    }
    report_rings(config, &sizes);
    Ok(handles)
}

/// Starts a worker's thread and waits until its ring stands.
fn spawn(
    config: &Config,
    blueprint: &Blueprint,
    place: Place,
    sockets: WorkerSockets,
) -> Result<(WorkerHandle, RingSize), StartError> {
    let failed = |source| StartError::System { call: "eventfd", source };
    let (sender, inbox) = mailbox().map_err(failed)?;
    let options = build::sessions(config, blueprint, place.worker, &sockets);
    let (ready, started) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(format!("worker-{}", place.worker))
        .spawn(move || run_worker(place, options, sockets, inbox, &ready))
        .map_err(StartError::Thread)?;
    match started.recv() {
        Ok(Ok((size, times))) => Ok((WorkerHandle { sender, thread: Some(thread), times }, size)),
        Ok(Err(error)) => Err(StartError::Ring(error)),
        Err(mpsc::RecvError) => {
            Err(StartError::System { call: "start of a worker", source: Errno::ECHILD })
        }
    }
}

/// A worker's thread.
fn run_worker(
    place: Place,
    options: SessionOptions,
    sockets: WorkerSockets,
    inbox: Mailbox<Message>,
    ready: &mpsc::Sender<Result<(RingSize, PathBuf), SetupError>>,
) {
    let Place { worker, cpu, ring, reports } = place;
    if let Some(cpu) = cpu {
        // Pinned before memory is touched, so that it is local to the core.
        if let Err(error) = pin(cpu) {
            tracing::warn!(worker, cpu, %error, "pinning the worker failed; it runs anywhere");
        }
    }
    let driver = match Uring::new(&ring) {
        Ok(driver) => driver,
        Err(error) => {
            let _gone = ready.send(Err(error));
            return;
        }
    };
    let size = driver.size();
    let (entries, completions) = (size.entries, size.completions);
    tracing::debug!(worker, flags = %driver.flags(), entries, completions, "ring is set up");
    let hand_off = driver.can_hand_off().then(|| driver.fd());
    // From here on the sessions close the listening sockets.
    let WorkerSockets { streams, datagrams } = sockets;
    for socket in streams.into_iter().chain(datagrams).flatten() {
        let _session_s = std::os::fd::IntoRawFd::into_raw_fd(socket);
    }
    let mut running = Worker::new(driver, options, Some(inbox));
    running.start(hand_off);
    let times = format!("/proc/self/task/{}/schedstat", nix::unistd::gettid());
    let _gone = ready.send(Ok((size, times.into())));
    let result = running.run(|report| {
        let _gone = reports.send((worker, report));
    });
    if let Err(error) = result {
        tracing::error!(worker, %error, "the worker's ring failed; its connections are lost");
    }
    let _gone = reports.send((worker, Report::Ended(result)));
}

/// Says once, for all workers, that rings are smaller than asked for.
fn report_rings(config: &Config, sizes: &[RingSize]) {
    let reduced: Vec<&RingSize> = sizes.iter().filter(|size| size.reduced).collect();
    let Some(smallest) = reduced.iter().min_by_key(|size| size.entries) else { return };
    let asked = build::ring(config);
    let is_default = asked.entries == defaults::RING_ENTRIES
        && asked.completions == defaults::COMPLETION_ENTRIES;
    tell_limit!(
        is_default,
        workers = reduced.len(),
        entries = smallest.entries,
        completions = smallest.completions,
        asked_entries = asked.entries,
        asked_completions = asked.completions,
        "smaller rings: locked memory is short (raise `ulimit -l`, LimitMEMLOCK=)"
    );
}

type Bound = (Vec<WorkerSockets>, Vec<(String, SocketAddress)>);

/// Listens on all addresses; the sockets by worker, then listener.
fn bind_all(config: &Config, workers: usize) -> Result<Bound, StartError> {
    let mut by_worker: Vec<WorkerSockets> = Vec::new();
    by_worker.resize_with(workers, WorkerSockets::default);
    let mut addresses = Vec::new();
    for listener in &config.listeners {
        let is_udp = listener.is_udp();
        for own in &mut by_worker {
            let lists = if is_udp { &mut own.datagrams } else { &mut own.streams };
            lists.push(Vec::new());
        }
        for address in &listener.listen {
            let address = build::address(address)?;
            let (sockets, bound) = if is_udp {
                net::bind_datagrams(&address, &build::bind_datagrams(listener), workers)?
            } else {
                net::bind(&address, &build::listen(listener), workers)?
            };
            for (own, socket) in by_worker.iter_mut().zip(sockets) {
                let lists = if is_udp { &mut own.datagrams } else { &mut own.streams };
                if let Some(last) = lists.last_mut() {
                    last.push(socket);
                }
            }
            addresses.push((listener.name.clone(), bound));
        }
    }
    Ok((by_worker, addresses))
}

/// A worker without a place in a pool has to borrow one whenever it needs it.
fn warn_of_small_pools(config: &Config, workers: usize) {
    for listener in &config.listeners {
        if let ListenerService::Frame { upstream: Some(index), .. } = listener.service
            && (config.upstreams[index].pool.max as usize) < workers
        {
            let (name, most) = (&config.upstreams[index].name, config.upstreams[index].pool.max);
            tell_limit!(
                most == defaults::POOL_MAX,
                upstream = %name,
                pool_max = most,
                workers,
                "fewer pooled connections than workers: those without one wait until another \
                 spares it (raise pool_max, or lower runtime.workers)"
            );
        }
    }
}

/// A start that failed half-way takes back what it has started.
fn stop_all(handles: &[WorkerHandle]) {
    for handle in handles {
        for message in [Message::Drain { deadline: crate::runtime::clock::now() }, Message::Release]
        {
            if let Err(error) = handle.sender.send(message) {
                tracing::warn!(%error, "a worker could not be told to stop");
            }
        }
    }
}
