//! How clients speak TLS.

use std::sync::Arc;

use super::{ClientError, Target};
use crate::net::Stream;
use crate::net::tls::{ClientConfig, ClientOptions, ServerName, Session, client_config};
use crate::net::tls::{Fault, TlsError};
use crate::ring::SocketAddress;

/// Bytes of a server's part of a handshake at most.
const HANDSHAKE_MAX: usize = 256 * 1024;

/// Whom a client trusts, what it shows, and whom it expects. It can be used for many connections,
/// which then resume sessions of each other.
///
/// ```no_run
/// use std::time::Duration;
/// use ringway::client::{ConnectOptions, Tcp, Tls};
/// use ringway::net::tls::ClientOptions;
///
/// // Whom the system trusts; `ClientOptions` has the rest: issuers, pins, a certificate of ours.
/// let tls = Tls::new(ClientOptions::default())?;
/// let options = ConnectOptions { tls: Some(tls), ..ConnectOptions::default() };
/// let mut client = Tcp::connect(&"example.com:443".parse()?, &options)?;
/// # Ok::<(), ringway::client::ClientError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// TLS with these options.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(options: ClientOptions) -> Result<Self, ClientError> {
        let config = client_config(options).map_err(|reason| ClientError::TlsOptions { reason })?;
        Ok(Self { config, name: None })
    }

    /// Expects the server to be `name`, a host name or an IP address, whatever it is reached by.
    ///
    /// # Errors
    /// When it is neither.
    pub fn with_server_name(self, name: &str) -> Result<Self, ClientError> {
        Ok(Self { name: Some(server_name(name)?), ..self })
    }

    /// The same with these application protocols (ALPN), the best first.
    pub(crate) fn with_protocols(&self, protocols: &[&[u8]]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Self { config: Arc::new(config), name: self.name.clone() }
    }

    /// TLS with the server of a target.
    pub(crate) fn of_target(&self, target: &Target) -> Result<Self, ClientError> {
        if self.name.is_some() {
            return Ok(self.clone());
        }
        match target.host() {
            Some(host) => self.clone().with_server_name(&host),
            None => Err(ClientError::TlsOptions {
                reason: format!("{target} has no name that its certificate could have: give one"),
            }),
        }
    }

    /// Lets a stream that is to be connected speak TLS.
    pub(super) fn secure(&self, stream: &mut Stream) -> Result<(), ClientError> {
        stream.secure(self.session()?);
        Ok(())
    }

    /// A connection by TLS that has not begun.
    pub(crate) fn session(&self) -> Result<Session, ClientError> {
        let Some(name) = self.name.clone() else {
            let reason = "it is not known which name the server has to show".to_owned();
            return Err(ClientError::TlsOptions { reason });
        };
        let session = Session::client(&self.config, name, HANDSHAKE_MAX);
        session.map_err(|error| ClientError::TlsOptions { reason: error.to_string() })
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, ClientError> {
    ServerName::try_from(name.to_owned()).map_err(|_| ClientError::TlsOptions {
        reason: format!("{name:?} is no host name and no IP address"),
    })
}

/// A failure of TLS as clients tell it.
pub(super) fn failure(peer: SocketAddress, error: &TlsError) -> ClientError {
    let fault = error.fault();
    let reason = if fault == Fault::PlainHttp {
        "it speaks HTTP without TLS: connect to http:// instead".to_owned()
    } else if fault == Fault::NotTls {
        "what it sent is no TLS: connect without TLS, or to another port".to_owned()
    } else {
        error.to_string()
    };
    ClientError::Tls { peer: peer.to_string(), fault, reason }
}
