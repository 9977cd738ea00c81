//! WebSocket (RFC 6455) and its compression of messages (RFC 7692).

pub mod deflate;
pub mod extension;
