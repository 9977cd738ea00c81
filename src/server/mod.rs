//! Server
mod worker;
pub use worker::{Message, Report, Worker, cpus};
