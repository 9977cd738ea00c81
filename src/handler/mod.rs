//! What programs add to the server.
//!
//! | what | written as | found by |
//! |---|---|---|
//! | requests of HTTP | [`HttpHandler`] | a route's `handler = "NAME"` |
//! | calls of gRPC | [`grpc`] | the same, as such a handler |
//! | WebSockets | [`WebSocketHandler`] | `websocket = { service = "handler", handler = "NAME" }` |
//! | requests of frames and messages | [`Handler`] | commands and types that are not built in |
//!
//! All of them are made once for each worker, by a factory, and called on its loop; a panic costs
//! one request. See [`StartOptions`](crate::server::StartOptions).
//!
//! | file | job |
//! |---|---|
//! | `http` | what a program writes: handlers, and who takes a body |
//! | `response`, `answer` | what it answers with |
//! | `blocking` | bodies for threads that may wait, and bodies that come whole |
//! | `shared` | what program and worker share of a request |
//! | `exchange` | the worker's side of it |
//! | `factories` | handlers by name |
//! | `websocket` | WebSockets: what a program writes, and the worker's side |

mod answer;
mod blocking;
mod exchange;
mod factories;
pub mod grpc;
mod http;
mod response;
mod shared;
mod websocket;

pub use self::answer::{Answer, AnswerError};
pub use self::blocking::{BlockingAnswer, BlockingBody, blocking_body, collect};
pub(crate) use self::exchange::{HandlerExchange, SpareExchange};
pub use self::factories::{HttpHandlers, WebSocketHandlers};
pub use self::http::{BodyReceiver, HttpHandler, HttpRequest, Reading};
pub use self::response::{InvalidField, Response, Trailers};
pub(crate) use self::shared::{Ending, Host, Look, Said, Takes, Work};
pub(crate) use self::websocket::{
    Accepted, Frame, Opening, SocketExchange, SocketLook, SocketSaid,
};
pub use self::websocket::{
    Message, Opened, Prepared, SendError, SlowMembers, WebSocketGroup, WebSocketHandler,
    WebSocketReceiver, WebSocketSender,
};
pub use crate::service::handler::{Handler, Kind, Refusal, Request};
pub(crate) use crate::service::handler::{Panicked, contain};
