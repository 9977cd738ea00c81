//! The server: workers, the control plane, metrics, the admin interface.
//!
//! | file | job |
//! |---|---|
//! | `run` | listens, starts the workers, puts the parts together |
//! | `worker` | one thread: one driver, its connections, the loop |
//! | `control` | the control plane: signals, draining, the admin interface's runtime |
//! | `admin` | the admin interface over HTTP; who may change something, the log's level |
//! | `simulated` | a worker on a driver of the caller, without threads |
//! | `metrics` | merges the workers' counters and renders them |
//! | `sink` | writes log lines, and drops what a blocked pipe does not take |
//! | `inspect` | what a configuration names outside of itself, for `ringway check` |
//! | `introduction` | what the page that shows what runs tells of the listeners |
//! | `watch` | files that are read again when they change |
//! | `certificates` | what expires, and keys of tickets that are changed in time |
//! | `budget` | the worst case of memory and descriptors that a configuration allows |
//! | `descriptors` | the limit of open files, and what is kept of it |
//! | `build` | configuration to the layers' own options |
//! | `plan` | what a configuration means for the workers, and what of the plan before goes on |
//! | `access_log` | the files that access logs go to |
//! | `health` | active health checks |
//! | `upstreams`, `latency` | pages of the admin interface: servers, quantiles |
//! | `explain`, `issue` | for the command line: which route, certificates for a first try |
//! | `reload` | another configuration takes the place of the one that is served |

/// Says that a limit of the machine is below one of the configuration: a warning, unless that is
/// the default.
macro_rules! tell_limit {
    ($is_default:expr, $($rest:tt)*) => {
        if $is_default {
            tracing::info!($($rest)*);
        } else {
            tracing::warn!($($rest)*);
        }
    };
}

mod access_log;
mod admin;
pub mod budget;
mod build;
mod certificates;
mod control;
mod descriptors;
mod explain;
mod health;
mod inspect;
mod introduction;
pub(crate) mod issue;
mod latency;
mod metrics;
mod plan;
mod reload;
mod run;
mod simulated;
pub(crate) mod sink;
mod spawn;
mod upstreams;
mod watch;
mod worker;

pub use admin::AdminError;
pub use admin::log_level::LogLevelControl;
#[cfg(feature = "cli")]
pub(crate) use admin::token::{NO_TOKEN, tokens_of};
pub use explain::explain;
pub use inspect::{Inspection, inspect, unresolved};
pub use introduction::{Listening, listening};
pub use plan::WorkerPlan;
pub use reload::{ConfigSource, Groups, ReloadError, Reloaded, Reread};
pub use run::{Exit, Running, Server, StartError, StartOptions};
pub use simulated::simulated;
pub use sink::LostLines;
pub use worker::{Message, Report, Worker, cpus};
