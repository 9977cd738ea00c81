//! What of TLS needs no key: the ClientHello, and the names of what may be spoken. Pure.

mod hello;
mod name;
mod pin;
mod policy;
mod wire;

pub use hello::{Alpn, ClientHello, HELLO_MAX, HelloRead, HelloReader, Rule, Versions};
pub use pin::{Pin, PinError};
pub use policy::{CIPHER_SUITES, CipherSuite, GROUPS, Group, Version};
