//! The load generator: what a run found, its reports, and the comparison of runs.
//!
//! | module | what it is |
//! |---|---|
//! | [`options`], [`target`] | what a run does; the URLs that it loads |
//! | [`schedule`] | when requests are due |
//! | `setup`, `generator`, `wire` | what threads share; one thread; what a connection speaks |
//! | `recorder`, [`run`] | what a thread measures; all of them, and the sum |
//! | `threads`, `meter` | the threads of this machine; the CPU time that they take |
//! | [`agents`] | a load that several machines run together |
//! | [`histogram`] | latencies: one histogram while it is recorded, and packed as results keep it |
//! | [`result`] | the result of a run, as `--json` writes it |
//! | [`read`] | results read from files, with limits, as the files are not trusted |
//! | [`environment`] | the machine that a run was made on |
//! | [`knee`], [`search`] | where a ramp overloads a server; the rate that holds |
//! | [`server_cost`] | what a run costs the server |
//! | [`slo`] | expressions such as `p99<5ms`, and whether a result fulfils them |
//! | [`warnings`] | why a result may not be what it seems |
//! | [`server_latency`] | the latency of a running server, by its own histograms |
//! | [`report`] | results as text, CSV, percentiles, interval logs and pages |
//! | [`statistics`] | intervals of ratios, by resampling runs or blocks of time |
//! | [`compare`] | the verdict between two or more results |

pub mod agents;
pub mod compare;
pub mod environment;
mod error;
#[cfg(test)]
pub(crate) mod example;
mod generator;
pub mod histogram;
pub mod knee;
mod meter;
pub mod options;
pub mod read;
mod recorder;
pub mod report;
pub mod result;
pub mod run;
pub mod schedule;
pub mod search;
pub mod server_cost;
pub mod server_latency;
mod setup;
pub mod slo;
pub mod statistics;
pub mod target;
mod threads;
pub mod warnings;
mod wire;

pub use self::error::LoadError;
