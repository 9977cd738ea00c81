//! TLS 1.2 and 1.3 between a socket and what is spoken on it: rustls with aws-lc-rs, on our
//! buffers.
//!
//! [`Session`] is one connection; it knows no socket. [`server_config`] and [`client_config`] make
//! what sessions share from bytes that somebody else has read.

mod binding;
mod certificate;
mod client;
mod error;
pub mod kernel;
mod key_log;
mod keys;
#[cfg(test)]
pub(super) mod peers;
mod pins;
mod policy;
pub mod records;
mod resolver;
mod server;
mod session;
mod subject;
#[cfg(test)]
mod tests;
mod tickets;

pub use rustls::pki_types::ServerName;
pub use rustls::{ClientConfig, ServerConfig};

pub use certificate::{Certificate, CertificateError, Summary};
pub use client::{ClientOptions, Roots, check_issuers, client_config};
pub use error::{Fault, TlsError};
pub use key_log::KeyLogFile;
pub use keys::{Aead, KeySource, TrafficKey, UnknownKey};
pub use policy::Policy;
pub use resolver::{Certificates, Resolver};
pub use server::{ClientAuth, ClientRoots, ServerOptions, check_revocations, server_config};
pub use session::{Info, Received, Session, clear_alert};
pub use subject::Subject;
pub use tickets::{TicketKey, Tickets};
