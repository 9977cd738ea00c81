//! The control plane: signals, draining, and the runtime of the admin interface.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;

use super::access_log::Writers;
use super::admin;
use super::build::tls::Changing;
use super::certificates;
use super::health::{self, HealthPlan};
use super::metrics::Exporter;
use super::run::Outcome;
use super::upstreams::{Named, Upstreams};
use super::watch::{self, Watched};
use super::worker::{Message, Report};
use crate::config::Config;
use crate::runtime::{Sender, clock};
use crate::session::TlsOptions;

/// What the owner of a server asks of it.
#[derive(Debug)]
pub(super) enum Command {
    /// Handle signals from now on, and say when that is so.
    HandleSignals(std::sync::mpsc::Sender<()>),
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
    pub(super) exporter: Exporter,
    /// The admin interface, and how it speaks TLS, if it does.
    pub(super) admin: Option<(TcpListener, Option<Arc<TlsOptions>>)>,
    /// Who may change something there.
    pub(super) gate: admin::change::Gate,
    /// How the level of the log is changed.
    pub(super) log_level: Option<admin::log_level::LogLevelControl>,
    pub(super) shutdown_timeout: Duration,
    pub(super) config: Arc<Config>,
    /// The upstreams and their servers.
    pub(super) named: Arc<[Named]>,
    /// The servers that are asked how they are.
    pub(super) checks: Vec<HealthPlan>,
    /// The certificates that are looked after.
    pub(super) certificates: Vec<Changing>,
    /// The files that are read again when they change.
    pub(super) watched: Vec<Watched>,
    /// The threads that write the access logs.
    pub(super) writers: Writers,
    pub(super) seed: u64,
}

/// How far the end has come.
#[derive(Debug, Default)]
struct Progress {
    draining: bool,
    drained: usize,
    ended: usize,
    outcome: Outcome,
}

impl Control {
    /// Runs until all workers have ended.
    pub(super) fn run(mut self) -> Outcome {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = match runtime {
            Ok(runtime) => runtime.block_on(self.serve()),
            Err(error) => {
                tracing::error!(%error, "the control plane cannot start: stopping");
                self.tell_all(|| Message::Drain { deadline: clock::now() });
                self.tell_all(|| Message::Release);
                Outcome { cut: 0, failed_workers: self.handles.len() }
            }
        };
        for handle in &mut self.handles {
            let joined = handle.thread.take().map(JoinHandle::join);
            if let Some(Err(_panic)) = joined {
                tracing::error!("a worker panicked: this is a defect of ours, please report it");
            }
        }
        self.writers.finish();
        outcome
    }

    async fn serve(&mut self) -> Outcome {
        let ready = Arc::new(std::sync::atomic::AtomicBool::new(true));
        for plan in &self.checks {
            let stats = health::spawn(plan, self.exporter.workers(), self.seed);
            self.exporter.add_checks(plan, stats);
        }
        if !self.certificates.is_empty() {
            tokio::spawn(certificates::watch(std::mem::take(&mut self.certificates)));
        }
        if !self.watched.is_empty() {
            tokio::spawn(watch::watch(std::mem::take(&mut self.watched)));
        }
        if let Some((listener, tls)) = self.admin.take() {
            let senders: Arc<[_]> =
                self.handles.iter().map(|handle| handle.sender.clone()).collect();
            let upstreams = Upstreams {
                workers: Arc::clone(&senders),
                named: Arc::clone(&self.named),
                checks: self.exporter.checks().into(),
            };
            let pages = admin::Pages::new(
                self.exporter.clone(),
                senders,
                &self.config,
                Arc::clone(&ready),
                (self.gate.clone(), self.log_level.take()),
                upstreams,
            );
            tokio::spawn(admin::serve(listener, tls, pages));
        }
        let mut signals: Option<Signals> = None;
        let mut ignored = Ignored::all();
        let mut progress = Progress::default();
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
                    Command::Drain => self.drain(&mut progress),
                    Command::Stop => self.stop(&mut progress),
                },
                name = Signals::next(&mut signals) => {
                    if name == REOPEN {
                        tracing::info!(signal = name, "signal: opening the access logs again");
                        self.writers.reopen();
                    } else if let Some(ignored) = ignored.iter_mut().find(|one| one.is(name)) {
                        ignored.tell();
                    } else if progress.draining {
                        tracing::info!(signal = name, "second signal: cutting what is left");
                        self.stop(&mut progress);
                    } else {
                        tracing::info!(signal = name, "signal: draining");
                        self.drain(&mut progress);
                    }
                }
            }
            ready.store(!progress.draining, std::sync::atomic::Ordering::Relaxed);
        }
        progress.outcome
    }

    fn note(&self, worker: usize, report: Report, progress: &mut Progress) {
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
            self.tell_all(|| Message::Drain { deadline: clock::now() + self.shutdown_timeout });
        }
        if progress.draining && progress.drained == self.handles.len() {
            self.tell_all(|| Message::Release);
        }
    }

    fn drain(&self, progress: &mut Progress) {
        if !std::mem::replace(&mut progress.draining, true) {
            let open = self.exporter.active();
            let seconds = self.shutdown_timeout.as_secs_f64();
            tracing::info!(open, timeout_seconds = seconds, "no longer accepting");
            let deadline = clock::now() + self.shutdown_timeout;
            self.tell_all(|| Message::Drain { deadline });
        }
    }

    fn stop(&self, progress: &mut Progress) {
        self.drain(progress);
        self.tell_all(|| Message::Cut);
    }

    fn tell_all(&self, message: impl Fn() -> Message) {
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
/// Signals that are ignored are logged once in this time.
const IGNORED_EVERY: Duration = Duration::from_secs(10);

/// A signal by which other servers reload or upgrade, and that this one ignores. Each has a limiter
/// of its own, so that one does not suppress the other.
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

    const fn all() -> [Self; 2] {
        let reload = "signal ignored: the configuration is not reloaded while the server runs; \
                      check the new one with `ringway check`, then restart (SIGTERM lets \
                      connections finish)";
        let upgrade = "signal ignored: the program is not replaced while it runs; restart it \
                       (SIGTERM lets connections finish); SIGUSR1 opens the access logs again";
        [Self::new(RELOAD, reload), Self::new(UPGRADE, upgrade)]
    }

    fn is(&self, signal: &str) -> bool {
        self.signal == signal
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
        let (mut ignored, start) = (Ignored::new(RELOAD, ""), clock::now());
        assert_eq!(ignored.note(start), Some(0));
        for _ in 0..3 {
            assert_eq!(ignored.note(start + IGNORED_EVERY / 2), None);
        }
        assert_eq!(ignored.note(start + IGNORED_EVERY), Some(3));
        assert_eq!(ignored.note(start + 2 * IGNORED_EVERY), Some(0));
        let is_ignored = |signal| Ignored::all().iter().any(|one| one.is(signal));
        assert!(is_ignored(RELOAD) && is_ignored(UPGRADE));
        assert!(![REOPEN, "SIGTERM", "SIGQUIT", "SIGINT"].into_iter().any(is_ignored));
    }
}
