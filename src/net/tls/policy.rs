//! Which versions, cipher suites and groups are spoken.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// All versions, the highest first.
static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// What is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The lowest version.
    pub min_version: Version,
    /// Cipher suites by their IANA names, the best first; empty for the usual ones.
    pub suites: Vec<String>,
    /// Key exchange groups by their IANA names, the best first; empty for the usual ones.
    pub groups: Vec<String>,
}

/// A name that is unknown, or a combination that allows nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyError {
    /// No cipher suite has this name.
    Suite(String),
    /// No group has this name.
    Group(String),
    /// None of the cipher suites is of an allowed version.
    NoSuite,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Suite(name) => {
                write!(f, "no cipher suite is called {name:?}: there are {}", suites().join(", "))
            }
            Self::Group(name) => {
                write!(f, "no group is called {name:?}: there are {}", groups().join(", "))
            }
            Self::NoSuite => f.write_str("none of the cipher suites is of an allowed version"),
        }
    }
}

impl std::error::Error for PolicyError {}

/// The IANA names of all cipher suites.
pub const SUITES: [&str; 9] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// The names of all cipher suites.
fn suites() -> Vec<&'static str> {
    aws_lc_rs::ALL_CIPHER_SUITES.iter().filter_map(suite_name).collect()
}

/// The names of all groups.
fn groups() -> Vec<&'static str> {
    aws_lc_rs::ALL_KX_GROUPS.iter().filter_map(|group| group.name().as_str()).collect()
}

/// As IANA has it: rustls calls those of TLS 1.3 otherwise.
pub(super) fn suite_name(suite: &SupportedCipherSuite) -> Option<&'static str> {
    let name = suite.suite().as_str()?;
    Some(match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        name => name,
    })
}

impl Policy {
    /// The versions, the highest first.
    pub(super) fn versions(&self) -> &'static [&'static SupportedProtocolVersion] {
        match self.min_version {
            Version::Tls12 => &BOTH,
            Version::Tls13 => BOTH.get(..1).unwrap_or_default(),
        }
    }

    /// The cryptography with what is allowed.
    ///
    /// # Errors
    /// When a name is unknown, or nothing is left.
    pub(super) fn provider(&self) -> Result<Arc<CryptoProvider>, PolicyError> {
        let mut provider = aws_lc_rs::default_provider();
        if !self.suites.is_empty() {
            let all = aws_lc_rs::ALL_CIPHER_SUITES;
            let mut chosen = Vec::with_capacity(self.suites.len());
            for name in &self.suites {
                let found = all.iter().find(|suite| suite_name(suite) == Some(name));
                chosen.push(*found.ok_or_else(|| PolicyError::Suite(name.clone()))?);
            }
            provider.cipher_suites = chosen;
        }
        if !self.groups.is_empty() {
            let mut chosen: Vec<&'static dyn SupportedKxGroup> = Vec::new();
            for name in &self.groups {
                let mut all = aws_lc_rs::ALL_KX_GROUPS.iter();
                let found = all.find(|group| group.name().as_str() == Some(name));
                chosen.push(*found.ok_or_else(|| PolicyError::Group(name.clone()))?);
            }
            provider.kx_groups = chosen;
        }
        let versions = self.versions();
        let is_spoken = |suite: &SupportedCipherSuite| {
            versions.iter().any(|version| version.version == suite.version().version)
        };
        if !provider.cipher_suites.iter().any(is_spoken) {
            return Err(PolicyError::NoSuite);
        }
        Ok(Arc::new(provider))
    }

    /// Checks the names.
    ///
    /// # Errors
    /// When a name is unknown, or nothing is left.
    pub fn check(&self) -> Result<(), PolicyError> {
        self.provider().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(suites: &[&str], groups: &[&str], min_version: Version) -> Policy {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Policy { min_version, suites: own(suites), groups: own(groups) }
    }

    #[test]
    fn names_are_those_of_iana_and_wrong_ones_are_refused() {
        let good = of(&["TLS_AES_128_GCM_SHA256"], &["X25519", "secp256r1"], Version::Tls13);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(Policy::default().check(), Ok(()));
        let rc4 = of(&["RC4"], &[], Version::Tls12).check().expect_err("unknown");
        assert!(rc4.to_string().contains("TLS_AES_256_GCM_SHA384"), "{rc4}");
        let group = of(&[], &["p-256"], Version::Tls12).check().expect_err("unknown");
        assert!(group.to_string().contains("X25519MLKEM768"), "{group}");
        let old = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
        assert_eq!(of(&[old], &[], Version::Tls13).check(), Err(PolicyError::NoSuite));
    }

    #[test]
    fn all_suites_are_listed() {
        let mut known = suites();
        known.sort_unstable();
        assert_eq!(known, SUITES);
    }

    #[test]
    fn the_hybrid_group_comes_first() {
        let provider = Policy::default().provider().expect("the usual");
        let first = provider.kx_groups.first().and_then(|group| group.name().as_str());
        assert_eq!(first, Some("X25519MLKEM768"));
    }
}
