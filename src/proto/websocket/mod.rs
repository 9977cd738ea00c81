//! The WebSocket protocol (RFC 6455), both ends of it. Pure: bytes in, values out.
//!
//! A [`Reader`] takes frames out of what has come and unmasks them where they lie; what
//! [`mod@write`] has makes frames. Whose turn it is to close is kept by [`Endpoint`].

pub mod deflate;
mod endpoint;
mod error;
pub mod extension;
mod frame;
pub mod handshake;
mod inspect;
pub mod mask;
mod reader;
mod utf8;
pub mod write;

#[cfg(test)]
mod tests;

pub use endpoint::{Closing, Endpoint};
pub use error::{CloseCode, Violation};
pub use frame::{CONTROL_MAX, FrameHead, HEAD_MAX, Opcode};
pub use handshake::HandshakeError;
pub use inspect::{Counts, HELD_MAX, InspectLimits, Inspector, Passed, Sender};
pub use reader::{Control, Item, Kind, Limits, Part, Reader, Role};
pub use utf8::Utf8Check;
