//! Which versions, cipher suites and groups are spoken, as rustls has them.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

use crate::proto::tls::{CIPHER_SUITES, CipherSuite, Group, Version};

/// All versions, the highest first.
static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// What is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The lowest version.
    pub min_version: Version,
    /// Cipher suites, the best first; empty for the usual ones.
    pub suites: Vec<CipherSuite>,
    /// Key exchange groups, the best first; empty for the usual ones.
    pub groups: Vec<Group>,
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
    pub(super) fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = aws_lc_rs::default_provider();
        if !self.suites.is_empty() {
            provider.cipher_suites = self.suites.iter().filter_map(|suite| known(*suite)).collect();
        }
        if !self.groups.is_empty() {
            provider.kx_groups =
                self.groups.iter().filter_map(|group| known_group(*group)).collect();
        }
        Arc::new(provider)
    }
}

fn known(suite: CipherSuite) -> Option<SupportedCipherSuite> {
    let mut all = aws_lc_rs::ALL_CIPHER_SUITES.iter();
    all.find(|one| u16::from(one.suite()) == suite.number()).copied()
}

fn known_group(group: Group) -> Option<&'static dyn SupportedKxGroup> {
    let mut all = aws_lc_rs::ALL_KX_GROUPS.iter();
    all.find(|one| u16::from(one.name()) == group.number()).copied()
}

/// Where a cipher suite is in [`CIPHER_SUITES`].
pub(super) fn suite_index(suite: &SupportedCipherSuite) -> Option<usize> {
    let number = u16::from(suite.suite());
    CIPHER_SUITES.iter().position(|(_, one)| one.number() == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tls::GROUPS;

    #[test]
    fn all_suites_and_groups_have_names_and_no_others() {
        let mut known: Vec<u16> =
            aws_lc_rs::ALL_CIPHER_SUITES.iter().map(|one| one.suite().into()).collect();
        let mut named = CIPHER_SUITES.map(|(_, suite)| suite.number());
        known.sort_unstable();
        named.sort_unstable();
        assert_eq!(known, named);
        for suite in aws_lc_rs::ALL_CIPHER_SUITES {
            let (name, named) = CIPHER_SUITES[suite_index(suite).expect("it has a name")];
            let theirs = suite.suite().as_str().expect("rustls names it");
            assert_eq!(theirs.replace("TLS13_", "TLS_"), name);
            let is_new = suite.version().version == rustls::ProtocolVersion::TLSv1_3;
            assert_eq!(named.version() == Version::Tls13, is_new, "{name}");
        }
        let mut known: Vec<(&str, u16)> = aws_lc_rs::ALL_KX_GROUPS
            .iter()
            .map(|one| (one.name().as_str().expect("it has a name"), one.name().into()))
            .collect();
        let mut named = GROUPS.map(|(name, group)| (name, group.number()));
        known.sort_unstable();
        named.sort_unstable();
        assert_eq!(known, named);
    }

    #[test]
    fn what_was_chosen_comes_in_its_order() {
        let policy = Policy {
            suites: [3, 0].map(|at: usize| CIPHER_SUITES[at].1).to_vec(),
            groups: [2, 1].map(|at: usize| GROUPS[at].1).to_vec(),
            ..Policy::default()
        };
        let provider = policy.provider();
        let suites: Vec<_> = provider.cipher_suites.iter().filter_map(suite_index).collect();
        assert_eq!(suites, [3, 0]);
        let groups: Vec<u16> = provider.kx_groups.iter().map(|one| one.name().into()).collect();
        assert_eq!(groups, [0x17, 0x1d]);
    }

    #[test]
    fn the_hybrid_group_comes_first() {
        let provider = Policy::default().provider();
        let first = provider.kx_groups.first().and_then(|group| group.name().as_str());
        assert_eq!(first, Some("X25519MLKEM768"));
    }
}
