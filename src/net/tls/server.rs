//! What the connections of clients share.

use std::sync::Arc;

use rustls::KeyLog;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};

use super::binding::{self, BoundTickets};
use super::client::root_store;
use super::policy::Policy;
use super::resolver::Resolver;
use super::tickets::Tickets;
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;

/// Whether clients show a certificate.
#[derive(Debug, Clone, Default)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked, and may have none.
    Optional(ClientRoots),
    /// They must.
    Required(ClientRoots),
}

/// Who issues clients' certificates, and which are revoked.
#[derive(Debug, Clone, Default)]
pub struct ClientRoots {
    /// Certificates of issuers, in PEM.
    pub ca: Vec<u8>,
    /// Lists of revoked certificates, in PEM.
    pub crl: Option<Vec<u8>>,
}

/// How a listener speaks TLS.
#[derive(Debug)]
pub struct ServerOptions {
    /// Versions, cipher suites, groups.
    pub policy: Policy,
    /// Application protocols, the best first.
    pub alpn: Vec<Vec<u8>>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// The certificates.
    pub resolver: Arc<Resolver>,
    /// Resumption.
    pub tickets: Arc<Tickets>,
    /// Tickets that a client of TLS 1.3 gets. With none, no session is resumed in any version.
    pub tickets_each: usize,
    /// Whether sessions can be given away: see [`Session::give_away`](super::Session::give_away).
    pub extractable: bool,
    /// Where the secrets of connections are written, for who has to look into recorded traffic.
    pub key_log: Option<Arc<dyn KeyLog>>,
}

/// Makes what connections share.
///
/// # Errors
/// What is wrong with the options, in a sentence.
pub fn server_config(options: ServerOptions) -> Result<Arc<ServerConfig>, String> {
    let provider = options.policy.provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(options.policy.versions())
        .map_err(|error| error.to_string())?;
    let verifier = verifier(&options.client_auth, provider)?;
    let builder = match &verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        None => builder.with_no_client_auth(),
    };
    let policy = binding::policy(&options.client_auth, &options.alpn)?;
    let resolver = options.resolver;
    let tickets = BoundTickets::new(options.tickets, Arc::clone(&resolver), policy, verifier);
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = options.alpn;
    config.enable_secret_extraction = options.extractable;
    // The order of `cipher_suites` is the operator's, and not the client's.
    config.ignore_client_order = true;
    // Otherwise it has one that makes none.
    if options.tickets_each > 0 {
        config.ticketer = Arc::new(tickets);
    }
    // Tickets hold all that is needed: the server keeps nothing for clients that have gone.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = options.tickets_each;
    if let Some(key_log) = options.key_log {
        config.key_log = key_log;
    }
    Ok(Arc::new(config))
}

/// The verifier of clients' certificates, if they are asked for one.
fn verifier(
    client_auth: &ClientAuth,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let (roots, is_optional) = match client_auth {
        ClientAuth::Off => return Ok(None),
        ClientAuth::Optional(roots) => (roots, true),
        ClientAuth::Required(roots) => (roots, false),
    };
    let store = Arc::new(root_store(&roots.ca)?);
    let mut verifier = WebPkiClientVerifier::builder_with_provider(store, provider);
    if let Some(crl) = &roots.crl {
        verifier = verifier.with_crls(revocations(crl)?).allow_unknown_revocation_status();
    }
    if is_optional {
        verifier = verifier.allow_unauthenticated();
    }
    verifier.build().map(Some).map_err(|error| error.to_string())
}

/// Checks that a text in PEM has lists of revoked certificates.
///
/// # Errors
/// What is wrong with it.
pub fn check_revocations(text: &[u8]) -> Result<(), String> {
    revocations(text).map(|_| ())
}

/// The lists of revoked certificates of a text.
pub(super) fn revocations(
    text: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| format!("it is no PEM: {error}"))?;
    if all.is_empty() {
        return Err("there is no `BEGIN X509 CRL` in it".to_owned());
    }
    Ok(all)
}
