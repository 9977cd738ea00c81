//! The peer of a client's connection.

use std::net::{IpAddr, SocketAddr};

use crate::service::http::certificate::ClientCertificate;

/// Whom the connection is with, and what is not known of that yet.
#[derive(Debug, Clone, Default)]
pub(in crate::session::http) struct Peer {
    /// Where it comes from, unless that is a Unix socket.
    pub(in crate::session::http) address: Option<SocketAddr>,
    /// It counts among the connections of its source.
    pub(in crate::session::http) is_counted: bool,
    /// It is a proxy whose word on the client is believed.
    pub(in crate::session::http) is_trusted: bool,
    /// Version and cipher suite of TLS, if that is spoken.
    pub(in crate::session::http) secured: Option<(&'static str, &'static str)>,
    /// What it has shown of itself.
    pub(in crate::session::http) certificate: Option<Box<ClientCertificate>>,
}

impl Peer {
    pub(in crate::session::http) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}
