//! Protocol machines: bytes and a time in; bytes, events and a next deadline out. Pure.

pub mod frame;
pub mod lines;
pub mod proxy_protocol;
