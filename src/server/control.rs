//! The control plane: signals, draining, and the runtime of the admin interface.

use std::any::Any;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::access_log::AccessFiles;
use super::admin::{self, Pages};
use super::certificates;
use super::health::{AllChecks, HealthPlan};
use super::metrics::Exporter;
use super::plan::Planner;
use super::reload::{ConfigSource, Reload, ReloadCounts, Waiter, Wanted};
use super::run::Exit;
use super::watch;
use super::worker::{Message, Report};
use crate::config::Config;
use crate::ring::SocketAddress;
use crate::runtime::{Current, Sender, clock};
use crate::session::TlsOptions;

/// What the owner of a server asks of it.
#[derive(Debug)]
pub(super) enum Command {
    /// Handle signals from now on, and say when that is so.
    HandleSignals(std::sync::mpsc::Sender<()>),
    /// Read the configuration again, or take this one, and say what came of it.
    Reload(Wanted, Waiter),
    Drain,
    Stop,
}

/// A worker as the control plane knows it.
#[derive(Debug)]
pub(super) struct WorkerHandle {
    pub(super) sender: Sender<Message>,
    pub(super) thread: Option<JoinHandle<()>>,
    /// Where the kernel tells how long the thread has run.
    pub(super) times: std::path::PathBuf,
}

/// The control plane. Runs on a thread of its own until all workers have ended.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) handles: Vec<WorkerHandle>,
    pub(super) reports: UnboundedReceiver<(usize, Report)>,
    pub(super) inbox: UnboundedReceiver<Command>,
    /// For the pages that ask for something themselves.
    pub(super) commands: UnboundedSender<Command>,
    pub(super) exporter: Exporter,
    /// The admin interface, and how it speaks TLS, if it does.
    pub(super) admin: Option<(TcpListener, Option<Arc<TlsOptions>>)>,
    pub(super) admin_address: Option<SocketAddr>,
    /// How the level of the log is changed.
    pub(super) log_level: Option<admin::log_level::LogLevelControl>,
    /// The configuration that is served.
    pub(super) config: Arc<Config>,
    /// The servers that are asked how they are, at the start.
    pub(super) checks: Vec<HealthPlan>,
    /// The checks that are made.
    pub(super) health: AllChecks,
    /// The files of access logs, and the threads that write them.
    pub(super) access: Option<AccessFiles>,
    /// Makes plans. It is away while a reload is under way.
    pub(super) planner: Option<Planner>,
    /// Where the configuration is read again.
    pub(super) source: Option<ConfigSource>,
    pub(super) reloads: Arc<ReloadCounts>,
    /// The pages of the admin interface, once they are served.
    pub(super) pages: Option<Arc<Current<Pages>>>,
    /// Where listeners listen.
    pub(super) addresses: Arc<Current<Vec<(String, SocketAddress)>>>,
    /// What workers have no time to free.
    pub(super) garbage: std::sync::mpsc::Receiver<Box<dyn Any + Send>>,
    pub(super) seed: u64,
}

/// How far the end has come.
#[derive(Debug, Default)]
pub(super) struct DrainProgress {
    pub(super) draining: bool,
    drained: usize,
    ended: usize,
    outcome: Exit,
}

impl Control {
    /// Runs until all workers have ended.
    pub(super) fn run(mut self) -> Exit {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = match runtime {
            Ok(runtime) => {
                let outcome = runtime.block_on(self.serve());
                // A name that is being resolved for a reload is not waited for.
                runtime.shutdown_background();
                outcome
            }
            Err(error) => {
                tracing::error!(%error, "the control plane cannot start: stopping");
                self.tell_all(|| Message::Drain { deadline: clock::now() });
                self.tell_all(|| Message::Release);
                Exit { cut: 0, failed_workers: self.handles.len() }
            }
        };
        for handle in &mut self.handles {
            let joined = handle.thread.take().map(JoinHandle::join);
            if let Some(Err(_panic)) = joined {
                tracing::error!("a worker panicked: this is a defect of ours, please report it");
            }
        }
        self.access.iter().for_each(AccessFiles::finish);
        outcome
    }

    async fn serve(&mut self) -> Exit {
        let ready = Arc::new(AtomicBool::new(true));
        let checks = std::mem::take(&mut self.checks);
        self.health.replace(&checks, self.exporter.workers(), self.seed);
        if let Some(planner) = &self.planner {
            tokio::spawn(certificates::watch(planner.certificates.clone()));
            tokio::spawn(watch::watch(planner.watch.clone()));
        }
        self.serve_pages(&ready);
        let mut signals: Option<Signals> = None;
        let mut ignored = Ignored::new(UPGRADE, UPGRADE_ADVICE);
        let mut progress = DrainProgress::default();
        let mut reload = Reload::new(self.source.as_ref());
        let mut ticks = tokio::time::interval(TIDY_EVERY);
        while progress.ended < self.handles.len() {
            tokio::select! {
                Some((worker, report)) = self.reports.recv() => {
                    self.note(worker, report, &mut progress);
                }
                Some(command) = self.inbox.recv() => match command {
                    Command::HandleSignals(done) => {
                        signals = Signals::new();
                        let _gone = done.send(());
                    }
                    Command::Reload(wanted, waiter) => {
                        self.begin_reload(wanted, Some(waiter), &mut reload, &progress);
                    }
                    Command::Drain => self.drain(&mut progress),
                    Command::Stop => self.stop(&mut progress),
                },
                step = reload.step() => self.go_on(step, &mut reload, &progress),
                _ = ticks.tick() => {
                    self.tidy();
                    if reload.has_changed(&self.config) {
                        tracing::info!("the configuration file has changed: reading it again");
                        self.begin_reload(Wanted::Source, None, &mut reload, &progress);
                    }
                }
                name = Signals::next(&mut signals) => match name {
                    REOPEN => {
                        tracing::info!(signal = name, "signal: opening the access logs again");
                        self.access.iter().for_each(AccessFiles::reopen);
                    }
                    RELOAD => {
                        tracing::info!(signal = name, "signal: reading the configuration again");
                        self.begin_reload(Wanted::Source, None, &mut reload, &progress);
                    }
                    UPGRADE => ignored.tell(),
                    _ if progress.draining => {
                        tracing::info!(signal = name, "second signal: cutting what is left");
                        self.stop(&mut progress);
                    }
                    _ => {
                        tracing::info!(signal = name, "signal: draining");
                        self.drain(&mut progress);
                    }
                }
            }
            ready.store(!progress.draining, Ordering::Relaxed);
        }
        progress.outcome
    }

    /// Serves the admin interface, if there is one.
    fn serve_pages(&mut self, ready: &Arc<AtomicBool>) {
        let Some((listener, tls)) = self.admin.take() else { return };
        let gate = self.planner.as_ref().map(|planner| planner.gate.clone()).unwrap_or_default();
        let watched = self.planner.as_ref().map(|planner| planner.watch.counts());
        let watched = watched.unwrap_or_default();
        let inventory = self.exporter.inventory();
        let newest = Arc::new(Current::new(Arc::clone(&inventory)));
        self.exporter = self.exporter.of_plan(inventory, watched, self.health.stats());
        let pages = Pages {
            inventory: newest,
            workers: self.handles.iter().map(|handle| handle.sender.clone()).collect(),
            exporter: self.exporter.clone(),
            effective: admin::effective(&self.config),
            ready: Arc::clone(ready),
            gate,
            log_level: self.log_level.clone(),
            commands: self.commands.clone(),
        };
        let pages = Arc::new(Current::new(Arc::new(pages)));
        self.pages = Some(Arc::clone(&pages));
        #[cfg(feature = "admin")]
        tokio::spawn(admin::serve(listener, tls, pages));
        #[cfg(not(feature = "admin"))]
        drop((listener, tls));
    }

    /// Frees what workers had no time to free, and what nothing uses since a reload.
    fn tidy(&mut self) {
        if let Some(planner) = &mut self.planner {
            planner.tidy();
        }
        while let Ok(garbage) = self.garbage.try_recv() {
            drop(garbage);
        }
    }

    fn note(&self, worker: usize, report: Report, progress: &mut DrainProgress) {
        match report {
            Report::Drained => progress.drained += 1,
            Report::Ended(result) => {
                progress.ended += 1;
                match result {
                    Ok(cut) => progress.outcome.cut += cut,
                    Err(_logged) => {
                        progress.outcome.failed_workers += 1;
                        progress.drained += usize::from(self.exporter.is_accepting(worker));
                        self.exporter.mark_gone(worker);
                        // A server with a dead worker would drop that worker's share.
                        tracing::error!(worker, "stopping the server: a worker is lost");
                    }
                }
            }
        }
        if progress.outcome.failed_workers > 0 && !progress.draining {
            progress.draining = true;
            self.tell_all(|| Message::Drain {
                deadline: clock::now() + self.config.runtime.shutdown_timeout,
            });
        }
        if progress.draining && progress.drained == self.handles.len() {
            self.tell_all(|| Message::Release);
        }
    }

    fn drain(&self, progress: &mut DrainProgress) {
        if !std::mem::replace(&mut progress.draining, true) {
            let open = self.exporter.active();
            let seconds = self.config.runtime.shutdown_timeout.as_secs_f64();
            tracing::info!(open, timeout_seconds = seconds, "no longer accepting");
            let deadline = clock::now() + self.config.runtime.shutdown_timeout;
            self.tell_all(|| Message::Drain { deadline });
        }
    }

    fn stop(&self, progress: &mut DrainProgress) {
        self.drain(progress);
        self.tell_all(|| Message::Cut);
    }

    pub(super) fn tell_all(&self, message: impl Fn() -> Message) {
        for handle in &self.handles {
            if let Err(error) = handle.sender.send(message()) {
                tracing::error!(%error, "a worker could not be told");
            }
        }
    }
}

/// The signal after which the files of access logs are opened again.
const REOPEN: &str = "SIGUSR1";

/// The signal by which other servers read their configuration again.
const RELOAD: &str = "SIGHUP";
/// The signal by which other servers replace their program.
const UPGRADE: &str = "SIGUSR2";
const UPGRADE_ADVICE: &str = "signal ignored: the program is not replaced while it runs; restart \
    it (SIGTERM lets connections finish); SIGHUP reads the configuration again, SIGUSR1 opens the \
    access logs again";
/// How often what workers had no time to free is freed, and the configuration file looked at.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Signals that are ignored are logged once in this time.
const IGNORED_EVERY: Duration = Duration::from_secs(10);

/// A signal by which other servers do something, and that this one ignores.
#[derive(Debug)]
struct Ignored {
    signal: &'static str,
    /// What to do instead.
    advice: &'static str,
    /// When it was logged.
    last: Option<Instant>,
    /// How many were not logged since.
    silent: u64,
}

impl Ignored {
    const fn new(signal: &'static str, advice: &'static str) -> Self {
        Self { signal, advice, last: None, silent: 0 }
    }

    fn tell(&mut self) {
        if let Some(not_logged) = self.note(clock::now()) {
            let Self { signal, advice, .. } = self;
            tracing::warn!(signal, not_logged, "{advice}");
        }
    }

    /// Whether one is to be logged, and how many before it were not.
    fn note(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < IGNORED_EVERY) {
            self.silent = self.silent.saturating_add(1);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

/// The signals that a server handles.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
    reopen: Signal,
    reload: Signal,
    upgrade: Signal,
}

impl Signals {
    fn new() -> Option<Self> {
        match Self::handle_all() {
            Ok(signals) => Some(signals),
            Err(error) => {
                tracing::error!(%error, "signals cannot be handled: they end the server at once");
                None
            }
        }
    }

    fn handle_all() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
            reopen: signal(SignalKind::user_defined1())?,
            reload: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
        })
    }

    /// The name of the next signal; never, while none are handled.
    async fn next(signals: &mut Option<Self>) -> &'static str {
        let Some(Self { terminate, quit, interrupt, reopen, reload, upgrade }) = signals else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = quit.recv() => "SIGQUIT",
            _ = interrupt.recv() => "SIGINT",
            _ = reopen.recv() => REOPEN,
            _ = reload.recv() => RELOAD,
            _ = upgrade.recv() => UPGRADE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_logged_once_in_a_while_with_the_number_of_the_others() {
        let (mut ignored, start) = (Ignored::new(UPGRADE, ""), clock::now());
        assert_eq!(ignored.note(start), Some(0));
        for _ in 0..3 {
            assert_eq!(ignored.note(start + IGNORED_EVERY / 2), None);
        }
        assert_eq!(ignored.note(start + IGNORED_EVERY), Some(3));
        assert_eq!(ignored.note(start + 2 * IGNORED_EVERY), Some(0));
    }
}
