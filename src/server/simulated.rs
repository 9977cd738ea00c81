//! One worker as a configuration has it, on a driver that the caller brings: for measurements and
//! tests on a simulated kernel.

use std::sync::Arc;

use super::StartError;
use super::build::http::HttpBuilder;
use super::build::{self, Blueprint, WorkerSockets};
use super::run::plan;
use super::worker::Worker;
use crate::config::Config;
use crate::ring::{Driver, Fd};
use crate::session::{DescriptorLimits, HandlerFactory, Workers};

/// What hashes and random choices begin with: the same in every run.
const SEED: u64 = 1;

/// A worker on `driver` which accepts on `sockets`, those of each listener of connections in the
/// order of the file. Nothing of the machine is used but what the configuration names: folders,
/// users and certificates. Access logs are written nowhere, and no thread is started.
///
/// # Errors
/// What the configuration names and could not be had.
pub fn simulated<D: Driver>(
    config: &Config,
    driver: D,
    sockets: &[Vec<Fd>],
) -> Result<Worker<D>, StartError> {
    let workers = 1;
    let common = build::tls::Common::new(config, None)?;
    let mut watched = Vec::new();
    let upstreams = build::upstreams(config, workers, &common, &mut watched)?;
    let workers = Arc::new(Workers::with_plan(workers, &plan(config, &upstreams)));
    let mut builder = HttpBuilder::default();
    let services = build::services(config, &mut builder)?;
    let (tls, _certificates) = build::tls(config, &common, &mut watched)?;
    let blueprint = Blueprint {
        upstreams,
        services,
        tls,
        handler: HandlerFactory::default(),
        workers,
        descriptors: DescriptorLimits::OPEN,
        routes: builder.routes,
        lines: Vec::new(),
        seed: SEED,
    };
    let mut none = WorkerSockets::default();
    none.streams.resize_with(sockets.len(), Vec::new);
    let mut options = build::sessions(config, &blueprint, 0, &none);
    for (listener, own) in options.listeners.iter_mut().zip(sockets) {
        listener.sockets.clone_from(own);
    }
    let mut worker = Worker::new(driver, options, None);
    worker.start(None);
    Ok(worker)
}
