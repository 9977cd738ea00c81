//! Listens, starts the workers and the control plane, and puts the parts together.

use std::any::Any;
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::errno::Errno;
use tokio::sync::{mpsc as channel, oneshot};

use super::access_log::AccessFiles;
use super::admin::AdminError;
use super::admin::log_level::LogLevelControl;
use super::build::OwnHandlers;
use super::control::{Command, Control, WorkerHandle};
use super::descriptors::raise_descriptor_limit;
use super::health::AllChecks;
use super::introduction::introduction;
use super::metrics::Exporter;
use super::plan::{Planner, Ready};
use super::reload::{ConfigSource, ReloadCounts, ReloadError, Reloaded, Wanted};
use super::sink::LostLines;
use super::spawn::{Fixed, spawn_all, warn_of_small_pools};
use super::worker::{Message, cpus};
use crate::config::{Config, WorkerCount};
use crate::handler::{HttpHandlers, WebSocketHandlers};
use crate::net::BindError;
use crate::ring::SocketAddress;
use crate::ring::UnknownDriver;
use crate::ring::uring::SetupError;
use crate::runtime::{Current, Offload, clock};
use crate::session::{HandlerFactory, WorkerMessage, Workers};

/// Threads for work that takes too long for a loop.
const HELPERS: usize = 2;

/// The server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What a worker asks the kernel by could not be made.
    #[error("a worker cannot be set up: {0}")]
    Ring(#[from] SetupError),
    /// The environment names no driver.
    #[error(transparent)]
    Driver(#[from] UnknownDriver),
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
    /// A server is where no connection may go.
    #[error(
        "upstream {upstream}: the server {server} is none of runtime.connect_to: add it there and \
         restart, or name another server"
    )]
    Elsewhere {
        /// The upstream.
        upstream: String,
        /// The server.
        server: Box<SocketAddress>,
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
    /// A route names a handler that the program does not have.
    #[error(
        "listener {listener}: route {route}: there is no handler {name:?}: this program has {}",
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    )]
    Handler {
        /// The listener.
        listener: String,
        /// The route.
        route: String,
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A route names a WebSocket handler that the program does not have.
    #[error(
        "listener {listener}: route {route}: there is no WebSocket handler {name:?}: this program \
         has {}",
        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
    )]
    WebSocketHandler {
        /// The listener.
        listener: String,
        /// The route.
        route: String,
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
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
pub struct Exit {
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
    /// The handlers of HTTP requests, and of calls of gRPC: routes name them.
    pub http_handlers: HttpHandlers,
    /// The handlers of WebSockets: routes name them.
    pub websocket_handlers: WebSocketHandlers,
    /// Threads for what handlers have done by
    /// [`Answer::spawn_blocking`](crate::handler::Answer::spawn_blocking). None: as many as there
    /// are processors, but at least four. Without handlers, there are none.
    pub handler_threads: Option<usize>,
    /// The file to which the secrets of all TLS connections are written, for who has to look into
    /// recorded traffic. None: they are written nowhere.
    pub tls_key_log: Option<PathBuf>,
    /// Counts lines of the program's log that were dropped, for the metrics. None: they are not
    /// counted.
    pub log_lost: Option<LostLines>,
    /// How the admin interface changes the level of the program's log. None: it cannot.
    pub log_level: Option<LogLevelControl>,
    /// Where the configuration is read again for a reload. None: only [`Running::reload`] reloads.
    pub source: Option<ConfigSource>,
}

/// A server that is about to run.
#[derive(Debug)]
pub struct Server;

/// A server that runs. Dropping it leaves it running: ask for its end and wait.
#[derive(Debug)]
pub struct Running {
    addresses: Arc<Current<Vec<(String, SocketAddress)>>>,
    admin: Option<SocketAddr>,
    workers: Arc<Workers>,
    commands: channel::UnboundedSender<Command>,
    control: JoinHandle<Exit>,
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
        let StartOptions {
            handler,
            http_handlers,
            websocket_handlers,
            tls_key_log,
            log_lost,
            log_level,
            source,
            ..
        } = options;
        let handler_threads = handler_threads(options.handler_threads, &http_handlers);
        let http_handlers = http_handlers.with_built_in();
        let descriptors = raise_descriptor_limit(&config);
        let cpus = cpus().map_err(no_affinity)?;
        let count = worker_count(config.runtime.workers, cpus.len());
        let workers = Arc::new(Workers::new(count, 0, 0));
        workers.set_offload(Offload::new(HELPERS, handler_threads).map_err(StartError::Thread)?);
        warn_of_small_pools(&config, count);
        let seed = std::hash::RandomState::new().hash_one(std::process::id());
        let mut planner =
            Planner::new(Arc::clone(&workers), &config, tls_key_log.as_deref(), seed)?;
        planner.handlers = http_handlers.clone();
        planner.websocket_handlers = websocket_handlers.clone();
        let ready = planner.plan(config, clock::now())?;
        let admin = super::admin::bind(&ready.config.admin)?;
        let admin_address = admin.as_ref().and_then(|listener| listener.local_addr().ok());
        let (reports_in, reports) = channel::unbounded_channel();
        let handlers =
            OwnHandlers { framed: handler, http: http_handlers, websocket: websocket_handlers };
        let fixed = Fixed { workers: &workers, handlers, descriptors, seed };
        let Ready { id, config, plans, inventory, addresses, checks, admin_tls, .. } = ready;
        workers.introduce(introduction(&config, &inventory, &addresses, admin_address));
        let (handles, driver) = spawn_all(&config, &fixed, &cpus, &reports_in, plans)?;
        workers.connect(handles.iter().map(post).collect());
        let garbage = collect_garbage(&workers);
        let reloads = Arc::new(ReloadCounts::default());
        reloads.note_plan(id);
        let mut exporter = Exporter::new(Arc::clone(&workers), inventory);
        exporter.set_control(planner.certificates.clone(), Arc::clone(&reloads));
        let access_lost = planner.access.as_ref().map(AccessFiles::lost).unwrap_or_default();
        exporter.set_lost_lines(log_lost, access_lost);
        exporter.set_threads(driver, handles.iter().map(|one| one.times.clone()).collect());
        exporter.set_changes(planner.gate.counts());
        let (commands, inbox) = channel::unbounded_channel();
        let addresses = Arc::new(Current::new(Arc::new(addresses)));
        let control = Control {
            handles,
            reports,
            inbox,
            commands: commands.clone(),
            exporter,
            admin: admin.map(|listener| (listener, admin_tls)),
            admin_address,
            log_level,
            config,
            checks,
            health: AllChecks::default(),
            access: planner.access.clone(),
            planner: Some(planner),
            source,
            reloads,
            pages: None,
            addresses: Arc::clone(&addresses),
            garbage,
            seed,
        };
        let control = spawn_control(control)?;
        Ok(Running { addresses, admin: admin_address, workers, commands, control })
    }
}

const fn no_affinity(source: Errno) -> StartError {
    StartError::System { call: "sched_getaffinity", source }
}

/// Threads for what blocks in handlers of HTTP.
fn handler_threads(asked: Option<usize>, handlers: &HttpHandlers) -> usize {
    match asked {
        _ if handlers.is_empty() => 0,
        Some(threads) => threads.max(1),
        None => std::thread::available_parallelism().map_or(0, usize::from).max(4),
    }
}

/// What is so large that no loop should free it comes out here.
fn collect_garbage(workers: &Workers) -> mpsc::Receiver<Box<dyn Any + Send>> {
    let (garbage_in, garbage) = mpsc::channel();
    workers.set_disposal(Box::new(move |large| {
        // Without the control plane, the process ends.
        let _ended = garbage_in.send(large);
    }));
    garbage
}

impl Running {
    /// Where each listener listens: its name and an address, in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Arc<Vec<(String, SocketAddress)>> {
        self.addresses.get()
    }

    /// The address of the listener `name`; of its first one if it has several.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<SocketAddress> {
        let all = self.addresses();
        all.iter().find(|(listener, _)| listener == name).map(|(_, address)| *address)
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
    /// cuts; SIGUSR1 opens the access logs again; SIGHUP reads the configuration again; SIGUSR2 is
    /// logged and ignored. When this returns, none of them kills.
    pub fn handle_signals(&self) {
        let (sender, done) = mpsc::channel();
        self.command(Command::HandleSignals(sender));
        // A server that has ended handles none.
        let _ended = done.recv();
    }

    /// Puts a configuration in the place of the one that is served, and waits until the workers
    /// have it. What needs a restart stays as it is, and is told.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        let (sender, done) = oneshot::channel();
        self.command(Command::Reload(Wanted::Given(Box::new(config)), sender));
        // A server that has ended reloads nothing.
        done.blocking_recv().unwrap_or(Err(ReloadError::Draining))
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
    pub fn wait(self) -> Exit {
        self.control.join().unwrap_or(Exit { cut: 0, failed_workers: 1 })
    }

    fn command(&self, command: Command) {
        // A server that has ended needs no command.
        let _ended = self.commands.send(command);
    }
}

fn worker_count(wanted: WorkerCount, cpus: usize) -> usize {
    match wanted {
        WorkerCount::Auto => cpus,
        WorkerCount::Fixed(number) => usize::from(number.get()),
    }
}

/// Starts the thread of the control plane.
fn spawn_control(control: Control) -> Result<JoinHandle<Exit>, StartError> {
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
        | WorkerMessage::EndFlow { .. }
        | WorkerMessage::Topics(_) => sender.send(Message::Note(note)).is_ok(),
    })
}
