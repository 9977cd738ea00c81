//! What the connections to servers share.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientConfig, Resumption, WebPkiServerVerifier};
use rustls::pki_types::CertificateDer;
use rustls::{KeyLog, RootCertStore};

use super::certificate::{certificates, key_error, private_key};
use super::pins::PinVerifier;
use super::policy::Policy;
use super::server::revocations;
use crate::proto::tls::Pin;

/// Sessions that are remembered to be resumed, by server.
const SESSIONS: usize = 256;

/// Who issues servers' certificates.
#[derive(Debug, Clone, Default)]
pub enum Roots {
    /// Whom the system trusts.
    #[default]
    System,
    /// These, in PEM.
    Given(Vec<u8>),
    /// Nobody is asked: only pins count, or nothing.
    Nobody,
}

/// How servers are spoken to.
#[derive(Default)]
pub struct ClientOptions {
    /// Versions, cipher suites, groups.
    pub policy: Policy,
    /// Application protocols, the best first.
    pub alpn: Vec<Vec<u8>>,
    /// Who issues servers' certificates.
    pub roots: Roots,
    /// Lists of revoked certificates, in PEM.
    pub crl: Option<Vec<u8>>,
    /// The certificates or keys that a server may have; any, if there are none.
    pub pins: Vec<Pin>,
    /// Our own certificate and key, in PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// Whether sessions can be given away: see [`Session::give_away`](super::Session::give_away).
    pub extractable: bool,
    /// Where the secrets of connections are written.
    pub key_log: Option<Arc<dyn KeyLog>>,
}

impl fmt::Debug for ClientOptions {
    /// Without our key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("policy", &self.policy)
            .field("pins", &self.pins)
            .field("has_identity", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}

/// Makes what connections share.
///
/// # Errors
/// What is wrong with the options, in a sentence.
pub fn client_config(options: ClientOptions) -> Result<Arc<ClientConfig>, String> {
    let provider = options.policy.provider();
    let store = match &options.roots {
        Roots::System => Some(system_roots()?),
        Roots::Given(text) => Some(root_store(text)?),
        Roots::Nobody => None,
    };
    let inner: Option<Arc<dyn ServerCertVerifier>> = match store {
        Some(store) => {
            let shared = Arc::clone(&provider);
            let mut verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), shared);
            if let Some(crl) = &options.crl {
                verifier = verifier.with_crls(revocations(crl)?).allow_unknown_revocation_status();
            }
            Some(verifier.build().map_err(|error| error.to_string())?)
        }
        None => None,
    };
    let verifier = PinVerifier { pins: options.pins, inner, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(options.policy.versions())
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &options.identity {
        Some((chain, key)) => {
            let chain = certificates(chain).map_err(|error| error.to_string())?;
            let key = private_key(key).map_err(|error| error.to_string())?;
            let made = builder.with_client_auth_cert(chain, key);
            made.map_err(|error| key_error(&error).to_string())?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = options.alpn;
    config.enable_secret_extraction = options.extractable;
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    if let Some(key_log) = options.key_log {
        config.key_log = key_log;
    }
    Ok(Arc::new(config))
}

/// Checks that a text in PEM has issuers that can be used.
///
/// # Errors
/// What is wrong with it.
pub fn check_issuers(text: &[u8]) -> Result<(), String> {
    root_store(text).map(|_| ())
}

/// The issuers of a text in PEM.
pub(super) fn root_store(text: &[u8]) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(text).map_err(|error| error.to_string())? {
        store.add(certificate).map_err(|error| format!("an issuer cannot be used: {error}"))?;
    }
    Ok(store)
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    let all: Vec<CertificateDer<'static>> = found.certs;
    let (added, _) = store.add_parsable_certificates(all);
    if added == 0 {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(format!(
            "the system trusts no issuer{why}; install its certificates (ca-certificates), or name \
             a file by `ca`"
        ));
    }
    Ok(store)
}
