//! A certificate with its key, and what it says.

use std::fmt;
use std::sync::Arc;

use rustls::Error;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A chain of certificates, the key of the first, and perhaps an OCSP answer to be stapled.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    summary: Summary,
}

/// What a certificate says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The subject, as in `CN=example.com`.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// DNS names and IP addresses that it is for.
    pub names: Vec<String>,
    /// Seconds since 1970-01-01 UTC from which on it is valid.
    pub not_before: i64,
    /// Seconds since 1970-01-01 UTC up to which it is valid.
    pub not_after: i64,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// SHA-256 of its public key (the SubjectPublicKeyInfo).
    pub key_fingerprint: [u8; 32],
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateError {
    /// The text has no certificate in it.
    NoCertificate,
    /// The text has no private key in it.
    NoKey,
    /// The private key is encrypted.
    EncryptedKey,
    /// The text is no PEM.
    Pem(String),
    /// A certificate can not be read.
    Encoding,
    /// The key is not that of the certificate.
    Mismatch,
    /// The key is of an unknown kind, or broken.
    Key(String),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no `BEGIN CERTIFICATE` in it"),
            Self::NoKey => f.write_str(
                "there is no private key in it (`BEGIN PRIVATE KEY`, `BEGIN RSA PRIVATE KEY` or \
                 `BEGIN EC PRIVATE KEY`)",
            ),
            Self::EncryptedKey => f.write_str(
                "the private key is encrypted: decrypt it with `openssl pkey -in KEY -out PLAIN`",
            ),
            Self::Pem(why) => write!(f, "it is no PEM: {why}"),
            Self::Encoding => f.write_str("the certificate can not be read"),
            Self::Mismatch => f.write_str("the key is not that of the certificate"),
            Self::Key(why) => write!(f, "the key can not be used: {why}"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl Certificate {
    /// Reads a chain and a key, both in PEM; the chain begins with the server's own certificate.
    /// `ocsp` is an OCSP answer in DER.
    ///
    /// # Errors
    /// What is missing or does not fit.
    pub fn from_pem(
        chain: &[u8],
        key: &[u8],
        ocsp: Option<Vec<u8>>,
    ) -> Result<Self, CertificateError> {
        let chain = certificates(chain)?;
        let summary = Summary::of(chain.first().ok_or(CertificateError::NoCertificate)?)?;
        let mut certified =
            CertifiedKey::from_der(chain, private_key(key)?, &aws_lc_rs::default_provider())
                .map_err(|error| key_error(&error))?;
        certified.ocsp = ocsp;
        Ok(Self { key: Arc::new(certified), summary })
    }

    /// What it says.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// All certificates of a text.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| CertificateError::Pem(error.to_string()))?;
    if all.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(all) }
}

pub(super) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| {
        let is_encrypted = text.windows(9).any(|part| part == b"ENCRYPTED");
        if !matches!(error, pem::Error::NoItemsFound) {
            CertificateError::Pem(error.to_string())
        } else if is_encrypted {
            CertificateError::EncryptedKey
        } else {
            CertificateError::NoKey
        }
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enum of rustls may grow")]
pub(super) fn key_error(error: &Error) -> CertificateError {
    match error {
        Error::InconsistentKeys(_) => CertificateError::Mismatch,
        error => CertificateError::Key(error.to_string()),
    }
}

impl Summary {
    /// What a certificate in DER says.
    ///
    /// # Errors
    /// When it can not be read.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::Encoding)?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name_of));
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names: names.map(Iterator::collect).unwrap_or_default(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            fingerprint: Sha256::digest(der).into(),
            key_fingerprint: Sha256::digest(parsed.public_key().raw).into(),
        })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "names of other kinds are not asked for")]
fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(std::net::IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(std::net::IpAddr::from);
            v4.or(v6).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}
