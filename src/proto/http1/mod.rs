//! HTTP/1.0 and HTTP/1.1 on the wire (RFC 9112), both ends. Pure.
//!
//! [`Server`] and [`Client`] are the machines of a connection's two ends. They rest on
//! [`RequestReader`] and [`ResponseReader`], which read heads, on [`BodyReader`], which finds a
//! body's bytes within the input, and on `write`, which writes messages from their parsed form.
//! What is ambiguous is refused, never guessed at: a message that two parties understand
//! differently is how requests are smuggled.
//!
//! Bytes of bodies are never copied here: a reader names where they lie.

mod body;
mod chunked;
mod client;
mod error;
mod framing;
mod input;
mod lines;
mod offence;
mod output;
mod request;
mod response;
mod server;
#[cfg(test)]
mod tests;
pub mod write;

pub use body::{BodyPart, BodyReader};
pub use client::{Client, ClientError, ClientEvent, INTERIM_BYTES_MAX, RequestLine};
pub use error::Refusal;
pub use framing::Framing;
pub use input::Input;
pub use offence::Offence;
pub use output::{Output, write_part};
pub use request::{RequestMeta, RequestReader};
pub use response::{ResponseMeta, ResponseReader};
pub use server::{DISCARD_MAX, Discarded, Next, Server};

/// What a head may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of a head, its empty line among them.
    pub size: usize,
    /// Fields of a head; at most [`FIELDS_MAX`].
    pub fields: usize,
    /// Bytes of a request's target.
    pub target: usize,
    /// Whether fields of requests may have an underscore in their names. Many programs take `_` for
    /// `-`, so that `X_User` would pass for the `X-User` that a proxy sets.
    pub underscores: bool,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { size: 64 * 1024, fields: 100, target: 8 * 1024, underscores: false }
    }
}

/// Most fields that a head may be allowed.
pub const FIELDS_MAX: usize = 1000;
