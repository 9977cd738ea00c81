//! The servers behind a reverse proxy: which one an exchange goes to, which are left out, and what
//! happens when one fails. Pure decisions of one worker, which shares none of its state.
//!
//! | file | job |
//! |---|---|
//! | `servers` | the servers of an upstream: choosing, counting, health, slow start |
//! | `server` | the state of one of them |
//! | `choose` | the policies that go by load |
//! | `latency` | what a server's latency is remembered as |
//! | `eject` | taking servers out that do badly (outlier detection) |
//! | `health` | when a server is checked, and what the results make of it |
//! | `breaker` | limits on what is under way (circuit breaking) |
//! | `clock` | how long a server is waited for, and what has failed then |
//! | `failure` | why an exchange failed |
//! | `attempts` | whether and when an exchange is tried again |
//! | `identity` | connections that carry the identity of a client |
//! | `random` | random numbers and hashes |
//!
//! Calling order for an exchange: [`breaker::Breaker::try_enter`], [`attempts::Retries::begin`],
//! then for each try [`attempts::Attempts::pick`] and [`servers::Servers::done`], and
//! [`attempts::Attempts::on_failure`] or [`attempts::Attempts::on_status`] when it went wrong; at
//! last [`attempts::Attempts::finish`] and [`breaker::Breaker::leave`].

pub mod attempts;
pub mod breaker;
mod choose;
pub mod clock;
pub mod eject;
pub mod failure;
pub mod health;
pub mod identity;
mod latency;
mod random;
mod server;
pub mod servers;

pub(in crate::service) use self::random::mix;
pub use self::random::stable_hash;
