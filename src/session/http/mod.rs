//! HTTP/1.1: connections of clients and of servers, and the exchanges between them.
//!
//! | file | job |
//! |---|---|
//! | `client` | a connection of a client: its requests, one after the other, and who answers them |
//! | `upstream` | a connection to a server |
//! | `exchanges` | what both ask of the proxy, and the timers that it wants (`timers`) |
//! | `state` | what the connections of a worker share; what they ask of it: `shared` |
//! | `cache` | files that are kept open |
//! | `checks` | passwords that are being checked |
//! | `coder` | compressors of answers |
//! | `handlers` | the program's handlers of requests |
//! | `deflate` | compression of messages of WebSockets |
//! | `limiters`, `sources` | rate limits; connections of one source |
//! | `lines` | lines of access logs that wait |
//! | `links` | WebSockets and their connections to servers |
//! | `waiting` | requests that others do something for |
//! | `shown` | what is told of the clusters |
//! | `status` | a page that shows what runs |
//! | `options`, `websocket` | how all of this is set up |

mod cache;
mod checks;
mod client;
mod coder;
mod deflate;
pub(super) mod exchanges;
mod handlers;
mod limiters;
mod lines;
pub(super) mod links;
pub mod options;
mod residency;
mod shared;
pub(super) mod shown;
mod sources;
pub(super) mod state;
mod status;
mod timers;
mod upstream;
mod waiting;
pub mod websocket;

pub(super) use client::{Delivery, Http, Switched};
pub use coder::Encoded;
pub(super) use limiters::seed_of;

pub(super) use upstream::UpstreamConnection;
