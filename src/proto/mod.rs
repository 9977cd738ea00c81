//! Protocol machines: bytes and a time in; bytes, events and a next deadline out. Pure.

pub mod frame;
pub mod grpc;
pub mod http;
pub mod http1;
pub mod http2;
pub mod lines;
pub mod proxy_protocol;
pub mod tls;
pub mod websocket;
