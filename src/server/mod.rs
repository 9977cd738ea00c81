//! The server: workers, the control plane, metrics, the admin interface.
//!
//! | file | job |
//! |---|---|
//! | `run` | listens, starts the workers, puts the parts together |
//! | `worker` | one thread: one driver, its connections, the loop |
//! | `control` | the control plane: signals, draining, the admin interface's runtime |
//! | `admin` | the admin interface over HTTP |
//! | `metrics` | merges the workers' counters and renders them |
//! | `introduction` | what the page that shows what runs tells of the listeners |
//! | `build` | configuration to the layers' own options |

mod access_log;
mod admin;
mod build;
mod certificates;
mod control;
mod explain;
mod health;
mod introduction;
pub(crate) mod issue;
mod latency;
mod metrics;
mod run;
mod worker;

pub use admin::AdminError;
pub use build::tls::check as check_tls;
pub use explain::explain;
pub use run::{Outcome, Running, Server, StartError, StartOptions};
pub use worker::{Message, Report, Worker, cpus};
