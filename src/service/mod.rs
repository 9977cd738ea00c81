//! What to do with a connection: pure decisions, no sockets and no clock.
//!
//! A service takes events and returns actions; `session` carries them out on real or simulated
//! sockets and reports back. Nothing here can fail by itself.

pub mod age;
mod close;
pub mod cluster;
pub mod date;
pub mod flows;
pub mod frame;
pub mod grpc;
pub mod handler;
pub mod http;
pub mod messages;
pub mod pace;
pub mod proxy;
pub mod reconnect;
pub mod retry;
pub mod topics;

pub use close::{CloseReason, LINGER, Linger};
