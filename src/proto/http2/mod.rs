//! HTTP/2 on the wire (RFC 9113), with header compression (RFC 7541) and priorities (RFC 9218).
//! Pure.
//!
//! | file | job |
//! |---|---|
//! | `server`, `client` | the machines of the two ends |
//! | `answers` | what a server sends |
//! | `connection`, `control`, `send` | what both ends do alike: what comes, what goes out |
//! | `stream` | the streams of a connection, their states and windows |
//! | `request`, `response` | between field blocks and heads |
//! | `hpack` | header compression |
//! | `frame`, `input`, `settings` | frames, and where they lie; what a peer takes |
//! | `limits`, `error` | what a peer may do, and what it is told when it does more |
//! | `workspace` | memory that the connections of a worker share |

mod answers;
mod client;
mod connection;
mod control;
mod error;
pub mod frame;
pub mod hpack;
mod input;
mod limits;
mod place;
mod request;
mod response;
mod send;
mod server;
pub mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod windows;
mod workspace;

pub use answers::Whole;
pub use client::{Client, ClientEvent};
pub use error::{ErrorCode, Violation};
pub use frame::PREFACE;
pub use limits::{FLOOD_WINDOW, HEADS_PER_BYTE, Limits};
pub(crate) use place::LastPlace;
pub use request::{Priority, RequestLimits, RequestLine};
pub use response::{write_constant, write_date};
pub use send::Growth;
pub use server::{Server, ServerEvent, StreamId};
pub use workspace::Workspace;
