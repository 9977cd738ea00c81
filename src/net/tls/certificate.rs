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
    /// A certificate cannot be read.
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
            Self::Encoding => f.write_str("the certificate cannot be read"),
            Self::Mismatch => f.write_str("the key is not that of the certificate"),
            Self::Key(why) => write!(f, "the key cannot be used: {why}"),
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
        // The lines before an encrypted key of the old form are no base64: it fails as bad PEM.
        let is_encrypted = text.windows(9).any(|part| part == b"ENCRYPTED");
        if is_encrypted {
            CertificateError::EncryptedKey
        } else if !matches!(error, pem::Error::NoItemsFound) {
            CertificateError::Pem(error.to_string())
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
    /// When it cannot be read.
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

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm, date_time_ymd,
    };
    use x509_parser::der_parser::parse_der;

    use super::*;

    fn make(kind: &'static SignatureAlgorithm) -> (String, KeyPair) {
        let names = ["A.example", "*.a.example", "192.0.2.1", "fd00::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2001, 9, 9);
        params.not_after = date_time_ymd(2100, 1, 1);
        let key = KeyPair::generate_for(kind).expect("a key");
        (params.self_signed(&key).expect("a certificate").pem(), key)
    }

    fn pem(label: &str, der: &[u8]) -> String {
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    }

    /// The key within a PKCS#8 envelope: what PKCS#1 and SEC1 have alone.
    fn inner(key: &KeyPair) -> Vec<u8> {
        let envelope = key.serialize_der();
        let (_, envelope) = parse_der(&envelope).expect("DER");
        let parts = envelope.as_sequence().expect("a sequence");
        parts[2].as_slice().expect("an octet string").to_vec()
    }

    fn read(chain: &str, key: &str) -> Result<Certificate, CertificateError> {
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), None)
    }

    #[test]
    fn keys_are_read_in_every_usual_form() {
        let table = [
            (&PKCS_ECDSA_P256_SHA256, Some("EC PRIVATE KEY")),
            (&PKCS_ECDSA_P384_SHA384, Some("EC PRIVATE KEY")),
            (&PKCS_RSA_SHA256, Some("RSA PRIVATE KEY")),
            (&PKCS_ED25519, None),
        ];
        for (kind, label) in table {
            let (chain, key) = make(kind);
            let own = key.serialize_pem();
            assert!(read(&chain, &own).is_ok(), "{kind:?}");
            let old = label.map(|label| pem(label, &inner(&key)));
            assert!(old.is_none_or(|old| read(&chain, &old).is_ok()), "{kind:?} {label:?}");
            // One file with both, in whichever order, with text between them.
            for both in [format!("{chain}text\n{own}"), format!("{own}text\n{chain}")] {
                assert!(read(&both, &both).is_ok(), "{kind:?}");
            }
            let other = make(kind).1.serialize_pem();
            assert_eq!(read(&chain, &other).err(), Some(CertificateError::Mismatch), "{kind:?}");
        }
    }

    #[test]
    fn what_is_missing_or_does_not_fit_is_told_by_name() {
        let (chain, key) = make(&PKCS_ECDSA_P256_SHA256);
        let key = key.serialize_pem();
        let encrypted = pem("ENCRYPTED PRIVATE KEY", b"sealed");
        let start = "-----BEGIN RSA PRIVATE KEY-----";
        let head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,38E5D3197A85CD11\n\n";
        let old = pem("RSA PRIVATE KEY", b"sealed").replace(start, &format!("{start}\n{head}"));
        let table = [
            ("", &*key, CertificateError::NoCertificate),
            (&*key, &*key, CertificateError::NoCertificate),
            (&*chain, "", CertificateError::NoKey),
            (&*chain, &*chain, CertificateError::NoKey),
            (&*chain, &*encrypted, CertificateError::EncryptedKey),
            (&*chain, &*old, CertificateError::EncryptedKey),
            (&*pem("CERTIFICATE", b"none"), &*key, CertificateError::Encoding),
        ];
        for (chain, key, error) in table {
            assert_eq!(read(chain, key).err(), Some(error));
        }
        let broken = [pem("EC PRIVATE KEY", b"none"), pem("PRIVATE KEY", b"none")];
        for key in broken {
            assert!(matches!(read(&chain, &key), Err(CertificateError::Key(_))), "{key}");
        }
        for (chain, key) in [(&chain[..200], &*key), (&*chain, &key[..80])] {
            assert!(read(chain, key).is_err(), "cut");
        }
    }

    #[test]
    fn a_certificate_says_its_names_times_and_fingerprints() {
        let (chain, key) = make(&PKCS_ECDSA_P256_SHA256);
        let certificate = read(&chain, &key.serialize_pem()).expect("it fits");
        let summary = certificate.summary();
        assert_eq!(summary.names, ["a.example", "*.a.example", "192.0.2.1", "fd00::1"]);
        assert_eq!((summary.not_before, summary.not_after), (999_993_600, 4_102_444_800));
        let der = CertificateDer::from_pem_slice(chain.as_bytes()).expect("PEM");
        let digest: [u8; 32] = Sha256::digest(&der).into();
        assert_eq!(summary.fingerprint, digest);
        let digest: [u8; 32] = Sha256::digest(key.subject_public_key_info()).into();
        assert_eq!(summary.key_fingerprint, digest);
        assert!(!format!("{certificate:?}").contains("PRIVATE"));
    }
}
