//! Certificates for a first try: an issuer of one's own, and server certificates that it signs.
//! Texts are made here, and written by who calls.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256,
    RsaKeySize, date_time_ymd,
};
use rustls::pki_types::DnsName;
use sha2::{Digest, Sha256};

/// Days that a certificate may be valid: no client takes one for longer than some years.
pub(crate) const DAYS_MAX: u32 = 3650;
/// Names of a certificate, at most.
pub(crate) const NAMES_MAX: usize = 100;
/// What a certificate that is made in memory is for.
pub(crate) const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const DAY: u64 = 86_400;
/// Clocks that are a bit behind see certificates as valid, too.
const EARLIER: u64 = 3_600;
/// 9999-01-01: what has four digits for a year, and room above.
const NOW_MAX: u64 = 253_370_764_800;
/// Days of a certificate that is made in memory: what the strictest clients take.
const LOCAL_DAYS: u32 = 397;
/// Characters of a common name (RFC 5280, appendix A.1).
const COMMON_NAME_MAX: usize = 64;

/// The present time, in seconds since 1970-01-01 UTC.
pub(crate) fn now() -> u64 {
    crate::runtime::clock::unix_time().as_secs()
}

/// The kind of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum KeyKind {
    /// ECDSA on P-256: small, fast, and known to every client.
    #[default]
    EcdsaP256,
    /// Ed25519. Browsers do not take it.
    Ed25519,
    /// RSA with 3072 bits, for old clients.
    Rsa,
}

impl KeyKind {
    fn generate(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            Self::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        }
    }
}

/// What a certificate is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'r> {
    /// Host names, with or without `*.` before them, and IP addresses.
    pub names: &'r [&'r str],
    /// Days from now on that it is valid: 1 to [`DAYS_MAX`]. The issuer is valid as long.
    pub days: u32,
    /// The kind of both keys.
    pub key: KeyKind,
    /// The time, in seconds since 1970-01-01 UTC.
    pub now: u64,
    /// The issuer that signs. None: one is made.
    pub issuer: Option<IssuerTexts<'r>>,
}

/// An issuer that was made before.
#[derive(Clone, Copy)]
pub(crate) struct IssuerTexts<'r> {
    /// Its certificate, in PEM.
    pub certificate: &'r str,
    /// Its private key, in PEM.
    pub key: &'r str,
}

/// The private key is not shown.
impl fmt::Debug for IssuerTexts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerTexts").finish_non_exhaustive()
    }
}

/// Texts in PEM. Who has `ca_key` can sign certificates for any name that those who trust `ca`
/// take.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    /// The issuer's certificate, for clients to trust.
    pub ca: String,
    /// The issuer's private key (PKCS#8).
    pub ca_key: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's private key (PKCS#8).
    pub key: String,
}

/// Private keys are not shown.
impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Issued");
        shown.field("ca", &self.ca).field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A certificate that signs itself, with its key, both in PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SelfSigned {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS#8).
    pub key: String,
}

/// The private key is not shown.
impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SelfSigned");
        shown.field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CertError {
    /// The number of names is not 1 to [`NAMES_MAX`].
    NameCount(usize),
    /// This is neither a host name nor an IP address.
    Name(String),
    /// The number of days is not 1 to [`DAYS_MAX`].
    Days(u32),
    /// The clock is far off.
    Clock,
    /// The issuer that should sign cannot.
    Issuer(String),
    /// A key or a certificate could not be made.
    Make(String),
}

impl fmt::Display for CertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameCount(count) => write!(f, "expected 1 to {NAMES_MAX} names, got {count}"),
            Self::Name(name) => write!(
                f,
                "{name:?} is no host name and no IP address: write a name as in localhost, \
                 example.com or *.example.com, or an address as in 127.0.0.1 or ::1"
            ),
            Self::Days(days) => write!(f, "expected 1 to {DAYS_MAX} days, got {days}"),
            Self::Clock => f.write_str("the clock is far off: set it first"),
            Self::Issuer(why) => write!(f, "the issuer cannot be used: {why}"),
            Self::Make(why) => write!(f, "the certificate cannot be made: {why}"),
        }
    }
}

impl std::error::Error for CertError {}

impl From<rcgen::Error> for CertError {
    fn from(error: rcgen::Error) -> Self {
        Self::Make(error.to_string())
    }
}

/// Makes a server certificate, and an issuer that signs it unless there is one.
///
/// # Errors
/// What is wrong with the request.
pub(crate) fn issue(request: &Request<'_>) -> Result<Issued, CertError> {
    let mut params = server_params(request)?;
    params.use_authority_key_identifier_extension = true;
    let (ca, ca_key, ca_certificate) = match request.issuer {
        None => {
            let key = request.key.generate()?;
            let mut ca = issuer_params(&key);
            (ca.not_before, ca.not_after) = (params.not_before, params.not_after);
            let certificate = ca.self_signed(&key)?.pem();
            (ca, key, certificate)
        }
        Some(IssuerTexts { certificate, key }) => {
            let key = KeyPair::from_pem(key)
                .map_err(|error| CertError::Issuer(format!("its key is none: {error}")))?;
            let end = issuer_end(certificate, &key, request.now)?;
            // No client takes a certificate that is valid for longer than its issuer.
            let issuer_s = date_time_ymd(1970, 1, 1) + Duration::from_secs(end);
            params.not_after = params.not_after.min(issuer_s);
            (issuer_params(&key), key, certificate.to_owned())
        }
    };
    let ca_key_text = ca_key.serialize_pem();
    let key = request.key.generate()?;
    let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key))?;
    Ok(Issued {
        ca: ca_certificate,
        ca_key: ca_key_text,
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// What an issuer with this key is called and may do.
fn issuer_params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&issuer_name(key));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Issuers with the same name would be taken for each other.
fn issuer_name(key: &KeyPair) -> String {
    let digest = Sha256::digest(key.public_key_raw());
    let tag: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("Ringway local CA {tag}")
}

/// Until when an issuer is valid that was made here, in seconds since 1970-01-01 UTC.
fn issuer_end(certificate: &str, key: &KeyPair, now: u64) -> Result<u64, CertError> {
    let wrong = |why: &str| CertError::Issuer(why.to_owned());
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes())
        .map_err(|_| wrong("its certificate is no PEM"))?;
    let found = pem.parse_x509().map_err(|_| wrong("its certificate is damaged"))?;
    if found.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
        return Err(wrong("its key is not that of its certificate"));
    }
    // Its name and the identity of its key are made again from the key, not read.
    let name = found.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    if name != Some(issuer_name(key).as_str()) {
        return Err(wrong("it was not made by `ringway cert`"));
    }
    let end = u64::try_from(found.validity().not_after.timestamp()).unwrap_or(0);
    if end <= now { Err(wrong("it has expired: make another")) } else { Ok(end) }
}

/// Makes a certificate for this machine that nobody trusts, to be kept in memory. `now` is in
/// seconds since 1970-01-01 UTC.
///
/// # Errors
/// When the clock is far off, or the system gives no random bytes.
pub(crate) fn self_signed(now: u64) -> Result<SelfSigned, CertError> {
    let key = KeyKind::default();
    let params =
        server_params(&Request { names: &LOCAL_NAMES, days: LOCAL_DAYS, key, now, issuer: None })?;
    let key = key.generate()?;
    Ok(SelfSigned { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

fn server_params(request: &Request<'_>) -> Result<CertificateParams, CertError> {
    let Request { names, days, key: _, now, issuer: _ } = *request;
    if !(1..=NAMES_MAX).contains(&names.len()) {
        return Err(CertError::NameCount(names.len()));
    }
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(CertError::Days(days));
    }
    if !(EARLIER..NOW_MAX - u64::from(DAYS_MAX) * DAY).contains(&now) {
        return Err(CertError::Clock);
    }
    let names: Result<Vec<_>, _> = names.iter().map(|name| checked_name(name)).collect();
    let names = names?;
    let first = names.iter().find(|name| name.len() <= COMMON_NAME_MAX).cloned();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = common_name(first.as_deref().unwrap_or("server"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now - EARLIER);
    params.not_after = epoch + Duration::from_secs(now + u64::from(days) * DAY);
    Ok(params)
}

/// A name in lower case, if it can be one of a certificate.
fn checked_name(name: &str) -> Result<String, CertError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    let lower = name.to_ascii_lowercase();
    let is_name = DnsName::try_from(lower.strip_prefix("*.").unwrap_or(&lower)).is_ok();
    if is_name && !lower.ends_with('.') { Ok(lower) } else { Err(CertError::Name(name.to_owned())) }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut full = DistinguishedName::new();
    full.push(DnType::CommonName, name);
    full
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use rustls::sign::CertifiedKey;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    /// Whether a client that trusts `ca` takes a certificate.
    fn is_taken(ca: &str, certificate: &str, name: &str, at: u64) -> bool {
        let der = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).expect("PEM");
        let mut roots = RootCertStore::empty();
        roots.add(der(ca)).expect("an issuer");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().expect("a verifier");
        let name = ServerName::try_from(name).expect("a name");
        let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
        verifier.verify_server_cert(&der(certificate), &[], &name, &[], at).is_ok()
    }

    fn fits(certificate: &str, key: &str) -> bool {
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).is_ok()
    }

    #[test]
    fn clients_that_trust_the_issuer_take_the_certificate_for_its_names_and_its_time() {
        for key in [KeyKind::EcdsaP256, KeyKind::Ed25519, KeyKind::Rsa] {
            let names = ["Example.com", "*.example.com", "127.0.0.1", "::1"];
            let request = Request { names: &names, days: 30, key, now: NOW, issuer: None };
            let issued = issue(&request).expect("a certificate");
            let Issued { ca, ca_key, certificate, key: own } = &issued;
            assert!(fits(certificate, own) && fits(ca, ca_key) && !fits(ca, own), "{key:?}");
            let table = [
                ("example.com", NOW, true),
                ("www.example.com", NOW - EARLIER, true),
                ("127.0.0.1", NOW + 30 * DAY, true),
                ("::1", NOW, true),
                ("a.b.example.com", NOW, false),
                ("example.org", NOW, false),
                ("127.0.0.2", NOW, false),
                ("example.com", NOW - EARLIER - 1, false),
                ("example.com", NOW + 30 * DAY + 1, false),
            ];
            for (name, at, taken) in table {
                assert_eq!(is_taken(ca, certificate, name, at), taken, "{key:?} {name} {at}");
            }
            let other = issue(&request).expect("another");
            assert!(!is_taken(&other.ca, certificate, "example.com", NOW));
        }
    }

    #[test]
    fn an_issuer_signs_again_until_it_expires() {
        for key in [KeyKind::EcdsaP256, KeyKind::Ed25519, KeyKind::Rsa] {
            let first = Request { names: &["a"], days: 30, key, now: NOW, issuer: None };
            let Issued { ca, ca_key, .. } = issue(&first).expect("a certificate");
            let issuer = Some(IssuerTexts { certificate: &ca, key: &ca_key });
            let later = Request { names: &["b"], now: NOW + 10 * DAY, issuer, ..first };
            let again = issue(&later).expect("another certificate");
            assert!((&again.ca, &again.ca_key) == (&ca, &ca_key), "{key:?}");
            assert!(fits(&again.certificate, &again.key));
            for (at, taken) in [(NOW + 11 * DAY, true), (NOW + 30 * DAY + 1, false)] {
                assert_eq!(is_taken(&ca, &again.certificate, "b", at), taken, "{key:?} {at}");
            }
            let other = issue(&first).expect("another issuer");
            let wrong = [
                (Some(IssuerTexts { certificate: &ca, key: &other.ca_key }), NOW),
                (Some(IssuerTexts { certificate: &again.certificate, key: &again.key }), NOW),
                (Some(IssuerTexts { certificate: "", key: &ca_key }), NOW),
                (Some(IssuerTexts { certificate: &ca, key: "" }), NOW),
                (issuer, NOW + 31 * DAY),
            ];
            for (number, (issuer, now)) in wrong.into_iter().enumerate() {
                let refused = issue(&Request { issuer, now, ..first });
                assert!(matches!(refused, Err(CertError::Issuer(_))), "{key:?} {number}");
            }
        }
    }

    #[test]
    fn private_keys_are_not_shown() {
        let request = Request {
            names: &["localhost"],
            days: 1,
            key: KeyKind::default(),
            now: NOW,
            issuer: None,
        };
        let issued = issue(&request).expect("a certificate");
        let signed = self_signed(NOW).expect("a certificate");
        assert!(!format!("{issued:?} {signed:?}").contains("PRIVATE"));
        assert!(fits(&signed.certificate, &signed.key));
        assert!(is_taken(&issued.ca, &issued.certificate, "localhost", NOW));
        assert!(!is_taken(&issued.ca, &signed.certificate, "localhost", NOW));
    }

    #[test]
    fn what_can_not_be_a_certificate_is_refused() {
        let make = |names: &[&str], days, now| {
            issue(&Request { names, days, key: KeyKind::default(), now, issuer: None }).map(|_| ())
        };
        assert_eq!(make(&[], 1, NOW), Err(CertError::NameCount(0)));
        assert_eq!(make(&["a"; NAMES_MAX + 1], 1, NOW), Err(CertError::NameCount(NAMES_MAX + 1)));
        for days in [0, DAYS_MAX + 1, u32::MAX] {
            assert_eq!(make(&["a"], days, NOW), Err(CertError::Days(days)));
        }
        for now in [0, NOW_MAX, u64::MAX] {
            assert_eq!(make(&["a"], DAYS_MAX, now), Err(CertError::Clock));
        }
        for name in ["", "*", "*.", "a.*.b", "a b", "é.example", "https://a", "a:80", "a.", "1.2.3"]
        {
            assert_eq!(make(&[name], 1, NOW), Err(CertError::Name(name.to_owned())));
        }
    }
}
