//! What tickets are bound to: a session that was earned under one policy is never resumed under
//! another one.
//!
//! A resumed session skips the certificates of both sides. So a ticket is sealed together with a
//! digest of all that the full handshake would have checked, and opens only where that is the same:
//! whether clients show a certificate, which issuers are trusted, which certificates are revoked,
//! by which names the server is known, and which application protocols it speaks. Servers of a
//! fleet with the same files have the same digest, so they still take each other's tickets. The
//! certificate of the client, which the ticket holds, is verified again: it may have expired.
//!
//! A ticket that does not fit is not an error: a full handshake follows.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ProducesTickets;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest, Sha256};

use super::certificate::certificates;
use super::resolver::Resolver;
use super::server::{ClientAuth, revocations};
use super::tickets::Tickets;

/// A digest of a policy.
pub(super) type Binding = [u8; 32];

/// The tickets of one listener.
pub(super) struct BoundTickets {
    tickets: Arc<Tickets>,
    /// Names can change while the server runs.
    resolver: Arc<Resolver>,
    policy: Binding,
    /// Verifies the certificates of clients, where they show some.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for BoundTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundTickets").field("tickets", &self.tickets).finish_non_exhaustive()
    }
}

impl BoundTickets {
    /// Tickets that hold where `policy` does, and the names of `resolver`.
    pub(super) const fn new(
        tickets: Arc<Tickets>,
        resolver: Arc<Resolver>,
        policy: Binding,
        verifier: Option<Arc<dyn ClientCertVerifier>>,
    ) -> Self {
        Self { tickets, resolver, policy, verifier }
    }

    fn binding(&self) -> Binding {
        let mut digest = Sha256::new();
        digest.update(self.policy);
        digest.update(self.resolver.names_digest());
        digest.finalize().into()
    }

    /// Whether a full handshake would still accept the client of this session.
    fn accepts(&self, session: &[u8], now: UnixTime) -> bool {
        let Some(verifier) = &self.verifier else { return true };
        match client_chain(session) {
            Some(chain) => match chain.split_first() {
                Some((client, issuers)) => {
                    verifier.verify_client_cert(client, issuers, now).is_ok()
                }
                None => !verifier.client_auth_mandatory(),
            },
            // rustls has another format than this was written for.
            None => false,
        }
    }
}

impl ProducesTickets for BoundTickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.tickets.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.seal(plain, &self.binding())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let session = self.tickets.open(ticket, &self.binding())?;
        self.accepts(&session, UnixTime::now()).then_some(session)
    }
}

/// The digest of what a listener asks of its clients, and of the protocols that it speaks.
///
/// # Errors
/// What is wrong with the certificates or lists, in a sentence.
pub(super) fn policy(client_auth: &ClientAuth, alpn: &[Vec<u8>]) -> Result<Binding, String> {
    let mut digest = Sha256::new();
    let (mode, roots) = match client_auth {
        ClientAuth::Off => (0_u8, None),
        ClientAuth::Optional(roots) => (1, Some(roots)),
        ClientAuth::Required(roots) => (2, Some(roots)),
    };
    digest.update([mode]);
    if let Some(roots) = roots {
        let issuers = certificates(&roots.ca).map_err(|error| error.to_string())?;
        add_set(&mut digest, issuers.iter().map(AsRef::as_ref));
        let lists = roots.crl.as_deref().map(revocations).transpose()?.unwrap_or_default();
        add_set(&mut digest, lists.iter().map(AsRef::as_ref));
    }
    add_set(&mut digest, alpn.iter().map(Vec::as_slice));
    Ok(digest.finalize().into())
}

/// Adds a set: its order does not matter.
pub(super) fn add_set<'a>(digest: &mut Sha256, values: impl Iterator<Item = &'a [u8]>) {
    let mut each: Vec<Binding> = values.map(|value| Sha256::digest(value).into()).collect();
    each.sort_unstable();
    each.dedup();
    digest.update((each.len() as u64).to_le_bytes());
    each.iter().for_each(|one| digest.update(one));
}

/// The certificates that the client of a session has shown, its own first; empty when it has shown
/// none. `None` when the bytes are not a session as rustls 0.23 writes it.
fn client_chain(session: &[u8]) -> Option<Vec<CertificateDer<'_>>> {
    let mut rest = Fields(session);
    if rest.number(1)? == 1 {
        let _server_name = rest.value(1)?;
    }
    let (_version, _suite) = (rest.number(2)?, rest.number(2)?);
    let _secret = rest.value(1)?;
    let _extended = rest.number(1)?;
    let mut chain = Vec::new();
    if rest.number(1)? == 1 {
        let mut certificates = Fields(rest.value(3)?);
        while !certificates.0.is_empty() {
            chain.push(CertificateDer::from(certificates.value(3)?));
        }
    }
    if rest.number(1)? == 1 {
        let _protocol = rest.value(1)?;
    }
    let _application_data = rest.value(2)?;
    // When it was made, and what hides its age.
    let _times = (rest.number(8)?, rest.number(4)?);
    rest.0.is_empty().then_some(chain)
}

/// Numbers and values with a length before them, in the notation of RFC 8446, section 3.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (value, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(value)
    }

    fn number(&mut self, len: usize) -> Option<u64> {
        Some(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn value(&mut self, len: usize) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number(len)?).ok()?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests;
