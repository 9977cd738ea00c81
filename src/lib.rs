//! Ringway: a proxy and server for Linux whose data plane is one io_uring event loop per core.
//!
//! The crate is a pure core beside a thin shell, joined in one folder:
//!
//! | module | what it is | may import |
//! |---|---|---|
//! | [`mem`] | slots, pooled buffers, counted slices, spans | nothing |
//! | [`ring`] | the kernel as the loop sees it: io_uring, and a simulated one | `mem` |
//! | [`runtime`] | one turn of the loop, timers, clock, counters, mailbox | `ring`, `mem` |
//! | [`net`] | listeners, streams, the mechanics of a relay | `runtime`, `ring`, `mem` |
//! | [`proto`] | protocol machines; pure | `mem::Span` |
//! | [`service`] | what to do: balancing, the proxies' decisions; pure | `proto` |
//! | [`handler`] | what programs add to the server | `service`, `proto` |
//! | [`session`] | where transport and decisions meet | all above |
//! | [`config`] | configuration text to typed values | nothing |
//! | [`server`] | workers, control plane, metrics, admin interface | `session`, `config` |
//! | [`client`] | blocking clients, each with a small loop of its own | `service`, `proto`, `net` |
//! | [`cli`] | the command line | `server`, `client`, `proto`, `config` |
//!
//! `docs/architecture.md` tells the whole, with the invariants. To run a server from a program:
//!
//! ```no_run
//! let config = ringway::config::embedded();
//! let server = ringway::server::Server::start(config)?;
//! println!("echo on {}", server.address("echo").expect("the embedded one has it"));
//! server.drain();
//! let outcome = server.wait();
//! assert_eq!(outcome.cut, 0);
//! # Ok::<(), ringway::server::StartError>(())
//! ```
#![deny(unsafe_code)]

pub use config::Config;
pub use handler::{
    Answer, AnswerError, BlockingAnswer, BlockingBody, BodyReceiver, Handler, HttpHandler,
    HttpHandlers, HttpRequest, InvalidField, Kind, Reading, Refusal, Request, Response,
    blocking_body, collect,
};
pub use server::{Running, Server, StartError, StartOptions};

pub mod cli;
pub mod client;
pub mod config;
pub mod fs;
pub mod handler;
pub mod mem;
pub mod net;
pub mod proto;
pub mod ring;
pub mod runtime;
pub mod server;
pub mod service;
pub mod session;

/// The examples of the documentation, which are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/client.md")]
mod documentation {}
