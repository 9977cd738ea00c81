//! The threads of the workers: how each is started, and by which driver.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;

use nix::errno::Errno;
use tokio::sync::mpsc as channel;

use super::build::{self, OwnHandlers};
use super::control::WorkerHandle;
use super::plan::WorkerPlan;
use super::run::StartError;
use super::worker::{Message, Report, Worker, pin};
use crate::config::{Config, ListenerService, PoolOptions, Runtime};
use crate::ring::uring::{FilterError, RingOptions, RingSize, SetupError, filter_connects};
use crate::ring::{DriverKind, KernelDriver, UnknownDriver};
use crate::runtime::{Mailbox, mailbox};
use crate::session::{DescriptorLimits, SessionOptions, Workers};

/// What a worker thread is told about itself.
#[derive(Debug)]
struct Place {
    worker: usize,
    cpu: Option<usize>,
    driver: DriverKind,
    ring: RingOptions,
    reports: channel::UnboundedSender<(usize, Report)>,
}

/// What all workers have in common, whatever their plan.
pub(super) struct Fixed<'a> {
    pub(super) workers: &'a Arc<Workers>,
    pub(super) handlers: OwnHandlers,
    pub(super) descriptors: DescriptorLimits,
    pub(super) seed: u64,
}

/// Starts all workers, and says what they ask the kernel by; if one cannot be started, none.
pub(super) fn spawn_all(
    config: &Config,
    fixed: &Fixed<'_>,
    cpus: &[usize],
    reports: &channel::UnboundedSender<(usize, Report)>,
    plans: Vec<WorkerPlan>,
) -> Result<(Vec<WorkerHandle>, DriverKind), StartError> {
    let driver = choose_driver(config)?;
    limit_connects(config, driver);
    let mut handles = Vec::with_capacity(plans.len());
    let mut sizes = Vec::with_capacity(plans.len());
    for (worker, plan) in plans.into_iter().enumerate() {
        let place = Place {
            worker,
            cpu: config.runtime.pin.then(|| cpus[worker % cpus.len()]),
            driver,
            ring: build::ring(config),
            reports: reports.clone(),
        };
        match spawn(config, fixed, place, plan) {
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
    Ok((handles, driver))
}

/// Starts a worker's thread and waits until its ring stands.
fn spawn(
    config: &Config,
    fixed: &Fixed<'_>,
    place: Place,
    plan: WorkerPlan,
) -> Result<(WorkerHandle, Option<RingSize>), StartError> {
    let failed = |source| StartError::System { call: "eventfd", source };
    let (sender, inbox) = mailbox().map_err(failed)?;
    let own = (fixed.workers, place.worker);
    let added = (&fixed.handlers, fixed.descriptors);
    let options = build::sessions(config, own, added, fixed.seed);
    let (ready, started) = mpsc::channel();
    let thread = std::thread::Builder::new()
        .name(format!("worker-{}", place.worker))
        .spawn(move || run_worker(place, (options, plan), inbox, &ready))
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
    (options, plan): (SessionOptions, WorkerPlan),
    inbox: Mailbox<Message>,
    ready: &mpsc::Sender<Result<(Option<RingSize>, PathBuf), SetupError>>,
) {
    let Place { worker, cpu, driver, ring, reports } = place;
    if let Some(cpu) = cpu {
        // Pinned before memory is touched, so that it is local to the core.
        if let Err(error) = pin(cpu) {
            tracing::warn!(worker, cpu, %error, "pinning the worker failed; it runs anywhere");
        }
    }
    let mut driver = match KernelDriver::new(driver, &ring) {
        Ok(driver) => driver,
        Err(error) => {
            let _gone = ready.send(Err(error));
            return;
        }
    };
    let ring = driver.ring();
    if let Some((RingSize { entries, completions, .. }, flags)) = ring {
        tracing::debug!(worker, %flags, entries, completions, "ring is set up");
    }
    let door = driver.door();
    let mut running = Worker::new(driver, options, Some(inbox));
    running.adopt(plan);
    running.start(door);
    let times = format!("/proc/self/task/{}/schedstat", nix::unistd::gettid());
    let _gone = ready.send(Ok((ring.map(|(size, _)| size), times.into())));
    let result = running.run(|report| {
        let _gone = reports.send((worker, report));
    });
    if let Err(error) = result {
        tracing::error!(worker, %error, "the worker's ring failed; its connections are lost");
    }
    let _gone = reports.send((worker, Report::Ended(result)));
}

/// What all workers ask the kernel by, which is told once.
fn choose_driver(config: &Config) -> Result<DriverKind, UnknownDriver> {
    let chosen = config.runtime.driver.or_environment()?.resolve();
    let driver = chosen.kind;
    match chosen.refused {
        None => tracing::info!(%driver, "the driver is chosen"),
        Some(reason) => tracing::warn!(
            %driver,
            %reason,
            "io_uring cannot be used, and epoll is: it serves the same, and costs more CPU \
             (driver = \"epoll\" in [runtime] if that is meant)"
        ),
    }
    Ok(driver)
}

/// Has the kernel refuse what the rings of workers connect to elsewhere, where it can.
fn limit_connects(config: &Config, driver: DriverKind) {
    let targets = &config.runtime.connect_to;
    if targets.is_empty() || driver == DriverKind::Epoll {
        return;
    }
    match filter_connects(targets) {
        Ok(()) => tracing::info!("the kernel refuses what rings connect to beside connect_to"),
        Err(error @ FilterError::Unknown(_)) => {
            tracing::info!(%error, "servers are held to connect_to, rings are not");
        }
        Err(error) => tracing::warn!(%error, "servers are held to connect_to, rings are not"),
    }
}

/// Says once, for all workers, that rings are smaller than asked for.
fn report_rings(config: &Config, sizes: &[Option<RingSize>]) {
    let reduced: Vec<&RingSize> = sizes.iter().flatten().filter(|size| size.reduced).collect();
    let Some(smallest) = reduced.iter().min_by_key(|size| size.entries) else { return };
    let asked = build::ring(config);
    let default = Runtime::default();
    let is_default =
        asked.entries == default.ring_entries && asked.completions == default.completion_entries;
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

/// A worker without a place in a pool has to borrow one whenever it needs it.
pub(super) fn warn_of_small_pools(config: &Config, workers: usize) {
    for listener in &config.listeners {
        if let ListenerService::Frame { upstream: Some(index), .. } = listener.service
            && (config.upstreams[index].pool.max as usize) < workers
        {
            let (name, most) = (&config.upstreams[index].name, config.upstreams[index].pool.max);
            tell_limit!(
                most == PoolOptions::default().max,
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
