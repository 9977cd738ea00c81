//! Ringway: a proxy and server for Linux whose data plane is one io_uring event loop per core.
//!
//! # A server of your own
//!
//! What the configuration cannot say, a program adds: handlers, which answer the requests of
//! routes.
//!
//! ```no_run
//! use ringway::{Answer, HttpHandlers, HttpRequest, Response, Server, StartOptions, config};
//!
//! let http_handlers = HttpHandlers::new().with("hello", || {
//!     |_: &HttpRequest<'_>, answer: Answer| {
//!         answer.send(Response::text(200), "Hello!\n");
//!         None
//!     }
//! });
//! let options = StartOptions { http_handlers, ..StartOptions::default() };
//! let text = "listener = [{ name = 'web', listen = '127.0.0.1:8080', protocol = 'http', \
//!             route = [{ handler = 'hello' }] }]";
//! let server = Server::start_with(config::parse("hello", text)?, options)?;
//! server.handle_signals();
//! let _ended = server.wait();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | for | see | example |
//! |---|---|---|
//! | HTTP/1.1, HTTP/2 | [`HttpHandler`], [`Answer`] | `hello`, `upload`, `events` |
//! | gRPC | [`handler::grpc`] | `grpc` |
//! | WebSockets | [`WebSocketHandler`], [`WebSocketSender`] | `websocket_chat` |
//! | frames and messages | [`Handler`] | `frames` |
//! | TCP, UDP, proxies: configuration alone | [`config`], [`Running::reload`] | `proxy` |
//! | clients | [`client`] | |
//!
//! `docs/handlers.md` is the guide.
//!
//! # A server as it is
//!
//! ```no_run
//! let config = ringway::config::embedded();
//! let server = ringway::Server::start(config)?;
//! println!("echo on {}", server.address("echo").expect("the embedded one has it"));
//! server.drain();
//! let outcome = server.wait();
//! assert_eq!(outcome.cut, 0);
//! # Ok::<(), ringway::StartError>(())
//! ```
//!
//! # How it is built
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
//! | `load` | the load generator's results, reports and comparisons | nothing |
//! | [`cli`] | the command line | `server`, `client`, `load`, `proto`, `config` |
//!
//! `docs/architecture.md` tells the whole, with the invariants.
#![deny(unsafe_code)]
#![cfg_attr(
    not(all(feature = "admin", feature = "cli")),
    allow(dead_code, reason = "what only the command line and the admin interface use")
)]

pub use config::Config;
pub use handler::{
    Answer, AnswerError, BlockingAnswer, BlockingBody, BodyReceiver, Handler, HttpHandler,
    HttpHandlers, HttpRequest, InvalidField, Kind, Message, Opened, Prepared, Reading, Refusal,
    Request, Response, SendError, SlowMembers, Trailers, WebSocketGroup, WebSocketHandler,
    WebSocketHandlers, WebSocketReceiver, WebSocketSender, blocking_body, collect,
};
pub use server::{Running, Server, StartError, StartOptions};

#[cfg(feature = "cli")]
pub mod cli;
pub mod client;
pub mod config;
pub mod fs;
pub mod handler;
pub mod import;
#[cfg(feature = "load")]
pub mod load;
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
#[doc = include_str!("../docs/handlers.md")]
mod documentation {}
