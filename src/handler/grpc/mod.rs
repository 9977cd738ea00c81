//! A server of gRPC, on HTTP handlers.

mod coding;

pub use self::coding::{CodingError, MessageCoding};
