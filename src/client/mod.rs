//! Clients that block, each with a small loop of its own. Nothing of rings has to be known to use
//! them; each belongs to the thread that made it.
//!
//! | file | job |
//! |---|---|
//! | `address` | what to connect to: targets, names, the order of addresses |
//! | `connect` | the race of connects to all addresses of a target |
//! | `line` | one connected socket on a ring of its own |
//! | `tcp`, `udp` | bytes, datagrams |
//! | `frame`, `pending` | exchanges of the framed protocol, and those that are open |
//! | `messages` | exchanges of lines of JSON |
//! | `grpc` | calls of gRPC, on those |
//! | `http` | exchanges of HTTP, on connections that are used again |
//! | `websocket` | messages of WebSocket |
//! | `tls` | how any of the streams speak TLS |
//! | `deadline` | until when something may take |
//! | `patience` | how long it waits for an answer that may be long |
//! | `retry` | again, with a growing pause |
//! | `error` | what all of them can meet |
//!
//! ```no_run
//! use std::time::Duration;
//! use ringway::client::{Frame, FrameOptions, Target};
//!
//! let patience = Duration::from_secs(5);
//! let target: Target = "localhost:7100".parse()?;
//! let mut client = Frame::connect(&target, &FrameOptions::default())?;
//! assert_eq!(client.echo(b"hello", patience)?, b"hello");
//!
//! // Many at once: each has its own deadline, and answers come in any order.
//! let ping = ringway::proto::frame::Command::PING;
//! let first = client.begin(ping, b"1")?;
//! let second = client.begin(ping, b"2")?;
//! assert_eq!(client.finish(second, patience)?, b"2");
//! assert_eq!(client.finish(first, patience)?, b"1");
//! # Ok::<(), ringway::client::ClientError>(())
//! ```

mod address;
mod connect;
mod deadline;
mod error;
mod frame;
mod grpc;
mod http;
mod line;
mod messages;
mod patience;
mod pending;
mod retry;
#[cfg(test)]
mod scripted;
mod tcp;
mod tls;
pub mod tls_plan;
mod udp;
mod websocket;

pub use self::address::{Target, TargetError, interleave};
pub use self::connect::ConnectOptions;
#[cfg(feature = "load")]
pub(crate) use self::connect::agreed_protocol;
pub use self::error::{ClientError, TransferError, Waiting};
pub use self::frame::{ExchangeId, Frame, FrameOptions};
pub use self::grpc::{
    Call, CallEvent, CallOptions, CallReply, CallStatus, Grpc, GrpcCode, GrpcOptions,
    MessageCoding, Metadata,
};
#[cfg(feature = "load")]
pub(crate) use self::http::Prepared as PreparedRequest;
pub use self::http::{Answer, BodyReader, Http, HttpOptions, HttpProtocol, HttpUrl, Request};
pub use self::messages::{Messages, MessagesOptions, message_line};
pub use self::patience::Patience;
pub use self::retry::retry;
pub use self::tcp::{PumpError, Received, Tcp};
pub use self::tls::Tls;
pub use self::udp::Udp;
pub use self::websocket::{
    ProxyUrl, Reconnecting, WebSocket, WebSocketClose, WebSocketEvent, WebSocketMessage,
    WebSocketOptions, WebSocketUrl,
};
pub use crate::service::reconnect::ReconnectPolicy;
pub use crate::service::retry::RetryPolicy;
