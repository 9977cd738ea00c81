//! Reloads: another configuration takes the place of the one that is served.
//!
//! A reload reads, checks and builds on a thread of its own, so that the control plane answers
//! meanwhile, and gives workers the plan only when it is whole: a configuration that is wrong
//! changes nothing.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::admin::{self, Pages};
use super::control::{Control, DrainProgress};
use super::introduction::introduction;
use super::plan::{Inventory, Planner, Ready};
use super::watch::Files;
use super::worker::Message;
use crate::config::{Change, Config, Difference, Effect, Subject};
use crate::runtime::clock;
use crate::session::Replaced;

/// Changes that are told one by one.
const CHANGES_TOLD_MAX: usize = 100;
/// How long workers are waited for until they have a plan.
const PLAN_WAIT: Duration = Duration::from_secs(5);

/// A configuration that was read again, and what a start would warn of.
#[derive(Debug)]
pub struct Reread {
    /// The configuration.
    pub config: Config,
    /// What is likely not meant.
    pub warnings: Vec<String>,
}

/// Reads the configuration again that a server was started with.
#[derive(Clone)]
pub struct ConfigSource {
    read: Arc<Read>,
    files: Arc<ListFiles>,
    /// How they were before they were read for the start.
    at_start: Arc<Files>,
}

type Read = dyn Fn() -> Result<Reread, String> + Send + Sync;
type ListFiles = dyn Fn() -> Vec<PathBuf> + Send + Sync;

/// How often files are listed again when what they include changes meanwhile.
const LISTINGS_MAX: u32 = 3;

impl ConfigSource {
    /// A source that calls `read`, which says for a person what is wrong. `files` lists those that
    /// it reads, and folders in which it looks for them: a server that watches its configuration
    /// looks whether they have changed since this was called. They are listed again before
    /// each read.
    pub fn new(
        files: impl Fn() -> Vec<PathBuf> + Send + Sync + 'static,
        read: impl Fn() -> Result<Reread, String> + Send + Sync + 'static,
    ) -> Self {
        let at_start = look(&files).into();
        Self { read: Arc::new(read), files: Arc::new(files), at_start }
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(&self) -> Result<Reread, String> {
        (self.read)()
    }

    /// How its files are now. Looking may block.
    fn look(&self) -> Files {
        look(&*self.files)
    }
}

/// How files are now. They are listed again behind the look: one that is included in between would
/// not be seen to change.
fn look(list: &dyn Fn() -> Vec<PathBuf>) -> Files {
    let mut paths = list();
    for _ in 1..LISTINGS_MAX {
        let files = Files::look(paths.iter().map(PathBuf::as_path));
        let again = list();
        if again == paths {
            return files;
        }
        paths = again;
    }
    Files::look(paths.iter().map(PathBuf::as_path))
}

impl fmt::Debug for ConfigSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigSource")
    }
}

/// Why a reload changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReloadError {
    /// The server was started without a configuration that can be read again.
    #[error(
        "there is no configuration file to read again: the server was started without one, or with \
         standard input (start it with `ringway serve --config FILE`)"
    )]
    NoSource,
    /// Another reload is under way.
    #[error("another reload is under way: try again")]
    Busy,
    /// The server ends.
    #[error("the server is ending: nothing is reloaded any more")]
    Draining,
    /// The configuration is wrong, or cannot be had as it is.
    #[error("{0}")]
    Invalid(String),
}

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The number of the plan that holds now: the first is 1.
    pub plan: u64,
    /// How long it took.
    pub took: Duration,
    /// What was changed, as lines for a person. Empty: the configurations are equal.
    pub changes: Vec<String>,
    /// What is changed only by a restart.
    pub needs_restart: Vec<String>,
    /// What is likely not meant.
    pub warnings: Vec<String>,
    /// Listeners by what became of them.
    pub listeners: Groups,
    /// Upstreams by what became of them.
    pub upstreams: Groups,
    /// Connections by what became of them.
    pub connections: Replaced,
    /// Workers that have not said within the time that they have the plan; they will take it.
    pub late_workers: Vec<usize>,
}

/// Names by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// They are as they were.
    pub kept: Vec<String>,
    /// Something of them has changed.
    pub changed: Vec<String>,
    /// They are new.
    pub added: Vec<String>,
    /// They are gone.
    pub removed: Vec<String>,
}

impl Groups {
    fn new<'a>(
        old: impl Iterator<Item = &'a String>,
        new: impl Iterator<Item = &'a String>,
        is_changed: impl Fn(&str) -> bool,
    ) -> Self {
        let old: std::collections::HashSet<&String> = old.collect();
        let new: Vec<&String> = new.collect();
        let mut this = Self::default();
        for name in &new {
            let group = match (old.contains(name), is_changed(name)) {
                (false, _) => &mut this.added,
                (true, true) => &mut this.changed,
                (true, false) => &mut this.kept,
            };
            group.push((*name).clone());
        }
        let kept: std::collections::HashSet<&String> = new.into_iter().collect();
        this.removed = old.difference(&kept).map(|name| (*name).clone()).collect();
        this.removed.sort_unstable();
        this
    }

    fn json(&self) -> Value {
        json!({
            "kept": self.kept,
            "changed": self.changed,
            "added": self.added,
            "removed": self.removed,
        })
    }
}

impl Reloaded {
    /// What a reload from one configuration to another is about, before it is made.
    pub(super) fn between(old: &Config, new: &Config) -> Self {
        let difference = Difference::between(old, new);
        let listener_of = |subject: &Subject| match subject {
            Subject::Listener(name) | Subject::Route { listener: name, .. } => Some(name.clone()),
            Subject::Runtime
            | Subject::Admin
            | Subject::Log
            | Subject::Upstream(_)
            | Subject::Topics(_) => None,
        };
        let upstream_of = |subject: &Subject| match subject {
            Subject::Upstream(name) => Some(name.clone()),
            Subject::Runtime
            | Subject::Admin
            | Subject::Log
            | Subject::Listener(_)
            | Subject::Route { .. }
            | Subject::Topics(_) => None,
        };
        let subjects = difference.changes.iter().map(|change| &change.subject);
        let listeners: std::collections::HashSet<String> =
            subjects.clone().filter_map(listener_of).collect();
        let upstreams: std::collections::HashSet<String> =
            subjects.filter_map(upstream_of).collect();
        let (restart, reload): (Vec<&Change>, Vec<&Change>) =
            difference.changes.iter().partition(|change| change.effect == Effect::Restart);
        Self {
            changes: reload.into_iter().map(ToString::to_string).collect(),
            // The list says already what they need.
            needs_restart: restart
                .into_iter()
                .map(|change| format!("{}{}", change.subject, change.kind))
                .collect(),
            listeners: Groups::new(
                old.listeners.iter().map(|one| &one.name),
                new.listeners.iter().map(|one| &one.name),
                |name| listeners.contains(name),
            ),
            upstreams: Groups::new(
                old.upstreams.iter().map(|one| &one.name),
                new.upstreams.iter().map(|one| &one.name),
                |name| upstreams.contains(name),
            ),
            ..Self::default()
        }
    }

    /// The answer of the admin interface.
    pub(super) fn json(&self) -> Value {
        let result = if self.changes.is_empty() { "unchanged" } else { "reloaded" };
        let Replaced { kept, drained, closed } = self.connections;
        json!({
            "result": result,
            "plan": self.plan,
            "seconds": self.took.as_secs_f64(),
            "changes": self.changes.iter().take(CHANGES_TOLD_MAX).collect::<Vec<_>>(),
            "changes_total": self.changes.len(),
            "listeners": self.listeners.json(),
            "upstreams": self.upstreams.json(),
            "connections": { "kept": kept, "drained": drained, "closed": closed },
            "needs_restart": self.needs_restart,
            "warnings": self.warnings,
            "workers_without_answer": self.late_workers,
        })
    }
}

/// The one that is told the result of a reload.
pub(super) type Waiter = oneshot::Sender<Result<Reloaded, ReloadError>>;

/// What a reload is asked for by.
#[derive(Debug)]
pub(super) enum Wanted {
    /// What the source has.
    Source,
    /// This one.
    Given(Box<Config>),
}

/// What came of reloads.
#[derive(Debug, Default)]
pub(super) struct ReloadCounts {
    pub(super) reloaded: AtomicU64,
    pub(super) unchanged: AtomicU64,
    pub(super) failed: AtomicU64,
    /// 1 if the last one has failed.
    pub(super) last_failed: AtomicU64,
    /// When the last one that has not failed was made, in seconds since 1970.
    pub(super) last_success: AtomicU64,
    /// The number of the plan that holds.
    pub(super) plan: AtomicU64,
}

impl ReloadCounts {
    /// A plan holds.
    pub(super) fn note_plan(&self, plan: u64) {
        self.plan.store(plan, Ordering::Relaxed);
        let now = crate::runtime::clock::unix_time().as_secs();
        self.last_success.store(now, Ordering::Relaxed);
    }

    /// A reload is over.
    pub(super) fn note(&self, outcome: &Result<Reloaded, ReloadError>) {
        let count = match outcome {
            Ok(done) if done.changes.is_empty() => &self.unchanged,
            Ok(_) => &self.reloaded,
            Err(_) => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.last_failed.store(u64::from(outcome.is_err()), Ordering::Relaxed);
        if let Ok(done) = outcome {
            self.note_plan(done.plan);
        }
    }
}

/// A reload that is under way, or none.
#[derive(Debug, Default)]
pub(super) struct Reload {
    stage: Stage,
    /// Those that are told the result.
    waiters: Vec<Waiter>,
    /// It is to be done once more: a signal came while it was under way.
    again: bool,
    began: Option<Instant>,
    /// The configuration's files, as they were before they were read last.
    seen: Files,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    None,
    /// The plan is made.
    Making(JoinHandle<Making>),
    /// Workers are waited for.
    Giving(JoinHandle<Given>),
}

/// What the thread that makes a plan brings back.
#[derive(Debug)]
pub(super) struct Making {
    planner: Planner,
    made: Result<Box<(Ready, Reloaded)>, String>,
    /// The configuration's files before they were read, if they were.
    seen: Option<Files>,
}

/// What workers have said.
#[derive(Debug)]
pub(super) struct Given(Reloaded);

/// What comes next of a reload.
#[derive(Debug)]
pub(super) enum Step {
    /// The plan was made, or could not be.
    Made(Box<Making>),
    /// Workers have it.
    Given(Box<Reloaded>),
    /// A thread of ours has failed.
    Lost,
}

impl Reload {
    /// None is under way.
    pub(super) fn new(source: Option<&ConfigSource>) -> Self {
        let seen = source.map(|source| source.at_start.as_ref().clone()).unwrap_or_default();
        Self { seen, ..Self::default() }
    }

    /// Waits for the next step; does not return while no reload is under way.
    pub(super) async fn step(&mut self) -> Step {
        match &mut self.stage {
            Stage::None => std::future::pending().await,
            Stage::Making(made) => made.await.map_or(Step::Lost, |made| Step::Made(made.into())),
            Stage::Giving(given) => {
                given.await.map_or(Step::Lost, |done| Step::Given(done.0.into()))
            }
        }
    }

    /// Whether the configuration is watched, and its file has changed since it was read.
    pub(super) fn has_changed(&mut self, config: &Config) -> bool {
        config.runtime.watch && matches!(self.stage, Stage::None) && self.seen.note_change()
    }

    fn answer(&mut self, outcome: &Result<Reloaded, ReloadError>) {
        for waiter in self.waiters.drain(..) {
            // It may have given up waiting.
            let _gone = waiter.send(outcome.clone());
        }
    }
}

impl Control {
    /// Begins a reload.
    pub(super) fn begin_reload(
        &mut self,
        wanted: Wanted,
        waiter: Option<Waiter>,
        reload: &mut Reload,
        progress: &DrainProgress,
    ) {
        let refused = match (&wanted, &self.source) {
            _ if progress.draining => Some(ReloadError::Draining),
            (Wanted::Source, None) => Some(ReloadError::NoSource),
            _ if self.planner.is_none() => Some(ReloadError::Busy),
            (Wanted::Source | Wanted::Given(_), _) => None,
        };
        if let Some(error) = refused {
            match waiter {
                Some(waiter) => {
                    let _gone = waiter.send(Err(error));
                }
                // What changed meanwhile is read when this one is over.
                None if error == ReloadError::Busy => reload.again = true,
                None => tracing::warn!("not reloaded: {error}"),
            }
            return;
        }
        let Some(mut planner) = self.planner.take() else { return };
        reload.waiters.extend(waiter);
        reload.began = Some(clock::now());
        let (source, running) = (self.source.clone(), Arc::clone(&self.config));
        let make = move || {
            let is_read = matches!(wanted, Wanted::Source);
            let seen = source.as_ref().filter(|_| is_read).map(ConfigSource::look);
            let made = match (wanted, &source) {
                (Wanted::Given(config), _) => {
                    make(&mut planner, Reread { config: *config, warnings: Vec::new() }, &running)
                }
                (Wanted::Source, Some(source)) => {
                    source.read().and_then(|reread| make(&mut planner, reread, &running))
                }
                (Wanted::Source, None) => Err(ReloadError::NoSource.to_string()),
            };
            Making { planner, made, seen }
        };
        reload.stage = Stage::Making(tokio::task::spawn_blocking(make));
    }

    /// Goes on with the reload that is under way.
    pub(super) fn go_on(&mut self, step: Step, reload: &mut Reload, progress: &DrainProgress) {
        reload.stage = Stage::None;
        let outcome = match step {
            Step::Made(making) => {
                let Making { planner, made, seen } = *making;
                self.planner = Some(planner);
                if let Some(seen) = seen {
                    reload.seen = seen;
                }
                match made {
                    Err(why) => Err(ReloadError::Invalid(why)),
                    // The sockets that were bound for it are closed again.
                    Ok(_) if progress.draining => Err(ReloadError::Draining),
                    Ok(made) => {
                        let (ready, done) = *made;
                        reload.stage = Stage::Giving(self.give(ready, done));
                        return;
                    }
                }
            }
            Step::Given(done) => {
                let took = reload.began.map(|began| clock::now().saturating_duration_since(began));
                Ok(Reloaded { took: took.unwrap_or_default(), ..*done })
            }
            Step::Lost => Err(ReloadError::Invalid(
                "the thread that made the plan has failed: this is a defect of ours, please \
                 report it; nothing was changed, and nothing can be reloaded any more"
                    .to_owned(),
            )),
        };
        self.reloads.note(&outcome);
        tell(&outcome);
        reload.answer(&outcome);
        if std::mem::take(&mut reload.again) {
            self.begin_reload(Wanted::Source, None, reload, progress);
        }
    }

    /// Gives all workers their plan, and everything else that goes with it.
    fn give(&mut self, ready: Ready, mut done: Reloaded) -> JoinHandle<Given> {
        let Ready { id, config, plans, inventory, addresses, checks, .. } = ready;
        let workers = Arc::clone(self.exporter.workers());
        let mut answers = Vec::with_capacity(plans.len());
        for (handle, plan) in self.handles.iter().zip(plans) {
            let (sender, answer) = oneshot::channel();
            // A worker whose mailbox is full or gone is told of as one that has not answered.
            let _full = handle.sender.deliver(Message::Plan(Box::new(plan), sender));
            answers.push(answer);
        }
        workers.introduce(introduction(&config, &inventory, &addresses, self.admin_address));
        self.health.replace(&checks, &workers, self.seed);
        if self.config.log.level != config.log.level
            && let Some(control) = &self.log_level
            && let Err(error) = control.set(config.log.level)
        {
            tracing::error!(%error, "the level of the log stays as it was");
        }
        self.addresses.replace(Arc::new(addresses));
        self.config = config;
        self.show_plan(inventory);
        done.plan = id;
        tokio::spawn(async move {
            let deadline = tokio::time::Instant::now() + PLAN_WAIT;
            for (worker, answer) in answers.into_iter().enumerate() {
                match tokio::time::timeout_at(deadline, answer).await {
                    Ok(Ok(one)) => {
                        done.connections.kept += one.kept;
                        done.connections.drained += one.drained;
                        done.connections.closed += one.closed;
                    }
                    Ok(Err(_)) | Err(_) => done.late_workers.push(worker),
                }
            }
            Given(done)
        })
    }

    /// The pages of the admin interface show the plan that holds.
    fn show_plan(&mut self, inventory: Arc<Inventory>) {
        let Some(planner) = &self.planner else { return };
        let (watched, checks) = (planner.watch.counts(), self.health.stats());
        self.exporter = self.exporter.of_plan(inventory, watched, checks);
        if let Some(pages) = &self.pages {
            let before = pages.get();
            before.inventory.replace(self.exporter.inventory());
            pages.replace(Arc::new(Pages {
                exporter: self.exporter.clone(),
                effective: admin::effective(&self.config),
                gate: planner.gate.clone(),
                ..(*before).clone()
            }));
        }
    }
}

/// Makes the plan of a configuration that was read again.
fn make(
    planner: &mut Planner,
    Reread { mut config, warnings }: Reread,
    running: &Config,
) -> Result<Box<(Ready, Reloaded)>, String> {
    let mut done = Reloaded::between(running, &config);
    config.keep_of_start(running);
    let ready = planner.plan(config, clock::now()).map_err(|error| error.to_string())?;
    // Certificates and the like that have changed hold with the plan, and not seconds later.
    planner.watch.refresh();
    for upstream in &ready.resolved {
        done.changes.push(format!("~ upstream {upstream}: its names have other addresses"));
    }
    done.warnings = warnings;
    Ok(Box::new((ready, done)))
}

/// Writes to the log what came of a reload.
fn tell(outcome: &Result<Reloaded, ReloadError>) {
    let done = match outcome {
        Ok(done) => done,
        Err(error) => {
            tracing::error!("not reloaded, nothing was changed: {error}");
            return;
        }
    };
    let Replaced { kept, drained, closed } = done.connections;
    let seconds = done.took.as_secs_f64();
    let (plan, changes) = (done.plan, done.changes.len());
    tracing::info!(plan, changes, kept, drained, closed, seconds, "the configuration is reloaded");
    for change in done.changes.iter().take(CHANGES_TOLD_MAX) {
        tracing::info!(plan, "reload: {change}");
    }
    for warning in &done.warnings {
        tracing::warn!(plan, "reload: {warning}");
    }
    for change in &done.needs_restart {
        tracing::warn!(plan, "reload: not changed, as it needs a restart: {change}");
    }
    if !done.late_workers.is_empty() {
        let workers = &done.late_workers;
        tracing::error!(plan, ?workers, "these workers have not taken the plan in time");
    }
}
