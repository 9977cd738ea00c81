//! One worker as a configuration has it, on a driver that the caller brings: for measurements and
//! tests on a simulated kernel.

use std::sync::Arc;

use super::StartError;
use super::build::{self, OwnHandlers};
use super::plan::Planner;
use super::worker::Worker;
use crate::config::Config;
use crate::handler::HttpHandlers;
use crate::ring::{Driver, Fd};
use crate::session::{DescriptorLimits, Workers};

/// What hashes and random choices begin with: the same in every run.
const SEED: u64 = 1;

/// A worker on `driver` which accepts on `sockets`, those of each listener of connections in the
/// order of the file, and whose routes have `handlers`. Nothing of the machine is used but what the
/// configuration names: folders, users and certificates. Access logs are written nowhere, and no
/// thread is started.
///
/// # Errors
/// What the configuration names and could not be had.
pub fn simulated<D: Driver>(
    config: &Config,
    driver: D,
    sockets: &[Vec<Fd>],
    handlers: &HttpHandlers,
) -> Result<Worker<D>, StartError> {
    let handlers = &handlers.clone().with_built_in();
    let workers = Arc::new(Workers::new(1, 0, 0));
    let mut planner = Planner::new(Arc::clone(&workers), config, None, SEED)?;
    planner.access = None;
    planner.handlers = handlers.clone();
    let now = driver.now();
    let ready = planner.plan_given(config, sockets, now)?;
    let own = OwnHandlers { http: handlers.clone(), ..OwnHandlers::default() };
    let options = build::sessions(config, (&workers, 0), (&own, DescriptorLimits::OPEN), SEED);
    let mut worker = Worker::new(driver, options, None);
    for plan in ready.plans {
        worker.sessions().replace_plan(plan.options);
    }
    worker.start(None);
    Ok(worker)
}
