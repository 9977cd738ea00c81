//! The TLS options of a client as data, which can be sent to another machine.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClientError, Tls};
use crate::net::tls::{ClientOptions, Policy, Roots};
use crate::proto::tls::{PinError, Version};

/// The TLS options of a client, as data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsPlan {
    /// Issuers that are trusted, in PEM; `None`: those of the system.
    pub ca: Option<Blob>,
    /// Issuers and names are not verified.
    pub is_insecure: bool,
    /// The name that the server has to show, in place of that of the URL.
    pub server_name: Option<String>,
    /// The certificate of the client and its key, in PEM.
    pub identity: Option<(Blob, Blob)>,
    /// Certificates or keys that the server may have.
    pub pins: Vec<String>,
    /// Only TLS 1.3 is spoken.
    pub is_tls13: bool,
}

impl TlsPlan {
    /// The options for the connections of this plan.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn options(&self) -> Result<ClientOptions, ClientError> {
        let roots = match &self.ca {
            _ if self.is_insecure => Roots::Nobody,
            Some(pem) => Roots::Given(pem.0.clone()),
            None => Roots::System,
        };
        let min_version = if self.is_tls13 { Version::Tls13 } else { Version::Tls12 };
        let pins = self.pins.iter().map(|pin| pin.parse()).collect::<Result<_, _>>();
        let wrong = |error: PinError| ClientError::TlsOptions { reason: error.to_string() };
        Ok(ClientOptions {
            policy: Policy { min_version, ..Policy::default() },
            roots,
            pins: pins.map_err(wrong)?,
            identity: self.identity.clone().map(|(cert, key)| (cert.0, key.0)),
            ..ClientOptions::default()
        })
    }

    /// TLS as it says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn tls(&self) -> Result<Tls, ClientError> {
        self.tls_with(self.options()?)
    }

    /// TLS with these options, and the server name of this plan.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn tls_with(&self, options: ClientOptions) -> Result<Tls, ClientError> {
        let tls = Tls::new(options)?;
        match &self.server_name {
            Some(name) => tls.with_server_name(name),
            None => Ok(tls),
        }
    }
}

/// Bytes that JSON has as base64.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl std::fmt::Debug for Blob {
    /// Without the bytes: they may be a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}
