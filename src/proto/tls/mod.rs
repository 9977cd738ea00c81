//! What of TLS can be read without a key: the ClientHello. Pure.

mod hello;
mod name;
mod wire;

pub use hello::{Alpn, ClientHello, HELLO_MAX, HelloRead, HelloReader, Rule, Versions};
