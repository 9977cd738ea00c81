//! The proxies' decisions.

mod meter;
mod tcp;

pub use meter::{Meter, MeterOptions, Switch};
pub use tcp::{Action, ConnectFailure, Event, Exchange};
