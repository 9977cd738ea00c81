//! HTTP/1.1: connections of clients and of servers, and the exchanges between them.
//!
//! | file | job |
//! |---|---|
//! | `client` | a connection of a client: its requests, one after the other |
//! | `begin` | what becomes of a request: its route, what is allowed, who answers |
//! | `answer` | answers of our own |
//! | `request` | a request that is being answered, apart from its connection |
//! | `respond` | heads of answers on their way to a client |
//! | `file` | files on their way to a client |
//! | `cache` | files that are kept open |
//! | `listing` | folders that are listed |
//! | `encode` | answers that are compressed on their way |
//! | `shown` | what is told of the clusters |
//! | `exchanges` | carries out what the proxy decides of exchanges |
//! | `upstream` | a connection to a server |
//! | `forward` | requests on their way to servers |
//! | `upgrade` | connections that change to another protocol |
//! | `verify` | passwords |
//! | `vars` | the values of variables in templates |
//! | `log` | what is told of a request when it is over |
//! | `status` | a page that shows what runs |
//! | `state` | what the exchanges of a worker share |
//! | `options` | how all of this is set up |

mod answer;
mod begin;
mod cache;
mod client;
mod encode;
mod exchanges;
mod file;
mod find;
mod forward;
mod limits;
mod listing;
mod log;
pub mod options;
mod request;
mod respond;
pub(super) mod shown;
pub(super) mod state;
mod status;
mod upgrade;
mod upstream;
mod vars;
mod verify;

pub(super) use client::Http;
pub use encode::Encoded;
pub(super) use limits::seed_of;
pub(super) use upstream::UpstreamConnection;
