//! Which certificate a client is shown, by the name that it asks for.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use sha2::{Digest, Sha256};

use super::binding::{Binding, add_set};
use super::certificate::Certificate;
use crate::runtime::Current;

/// What rustls says when no certificate was chosen.
pub(super) const NO_CERTIFICATE: &str = "no server certificate chain resolved";

/// The certificates of a listener by name.
#[derive(Debug, Default)]
pub struct Certificates {
    /// Names, those with a wildcard without their `*`.
    by_name: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For who asks for no name, or, unless that is refused, for an unknown one.
    default: Vec<Arc<CertifiedKey>>,
    /// Unknown names are refused.
    strict: bool,
    /// When each expires, in the order in which they were given.
    not_after: Vec<i64>,
    /// By which names the server is known, and which of them are the default's.
    names_digest: Binding,
}

/// Chooses certificates; they can be changed while the server runs.
#[derive(Debug)]
pub struct Resolver {
    certificates: Current<Certificates>,
}

impl Certificates {
    /// The certificates, each for `names`, or else for the names that it has. The first is the
    /// default, with those of other kinds of keys for its names.
    #[must_use]
    pub fn new(all: Vec<(Certificate, Vec<String>)>, strict: bool) -> Self {
        let mut this = Self { strict, ..Self::default() };
        let (mut default_names, mut all_names) = (Vec::new(), Vec::new());
        for (at, (certificate, names)) in all.into_iter().enumerate() {
            this.not_after.push(certificate.summary().not_after);
            let names = if names.is_empty() { certificate.summary().names.clone() } else { names };
            let key = certificate.key;
            if at == 0 || names == default_names {
                this.default.push(Arc::clone(&key));
                default_names.clone_from(&names);
            }
            for name in names {
                all_names.push(name.to_ascii_lowercase());
                let name = name.to_ascii_lowercase();
                let name = name.strip_prefix('*').map_or_else(|| name.clone(), str::to_owned);
                this.by_name.entry(name).or_default().push(Arc::clone(&key));
            }
        }
        let mut digest = Sha256::new();
        digest.update([u8::from(strict)]);
        add_set(&mut digest, default_names.iter().map(String::as_bytes));
        add_set(&mut digest, all_names.iter().map(String::as_bytes));
        this.names_digest = digest.finalize().into();
        this
    }

    /// Those for a name: its own, those of the wildcard above it, the default.
    fn find(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let Some(name) = name else { return &self.default };
        // The dot at the end says that the name is absolute, which it is in any case.
        let name = name.strip_suffix('.').unwrap_or(name);
        let above = || name.find('.').and_then(|dot| self.by_name.get(name.get(dot..)?));
        match self.by_name.get(name).or_else(above) {
            Some(found) => found,
            None if self.strict => &[],
            None => &self.default,
        }
    }
}

impl Resolver {
    /// A resolver that begins with these.
    #[must_use]
    pub fn new(certificates: Certificates) -> Self {
        Self { certificates: Current::new(Arc::new(certificates)) }
    }

    /// Whether unknown names are refused.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.current().strict
    }

    /// Whether there is a certificate for who asks for a name, or for none.
    #[must_use]
    pub fn knows(&self, name: Option<&str>) -> bool {
        !self.current().find(name).is_empty()
    }

    /// Up to when each certificate is valid, in seconds since 1970-01-01 UTC.
    #[must_use]
    pub fn not_after(&self) -> Vec<i64> {
        self.current().not_after.clone()
    }

    /// A digest of the names by which the server is known: the same for renewed certificates.
    pub(super) fn names_digest(&self) -> Binding {
        self.current().names_digest
    }

    fn current(&self) -> Arc<Certificates> {
        self.certificates.get()
    }

    /// From the next handshake on, these hold.
    pub fn replace(&self, certificates: Certificates) {
        self.certificates.replace(Arc::new(certificates));
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let all = self.current();
        let found = all.find(hello.server_name());
        let suits =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        // None suits: the handshake then fails with the reason.
        found.iter().find(suits).or_else(|| found.first()).map(Arc::clone)
    }
}
