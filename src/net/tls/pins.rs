//! Whether a server has one of the certificates or keys that it may have.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::certificate::Summary;
use crate::proto::tls::Pin;

/// What was seen, and what was expected.
#[derive(Debug)]
pub(super) struct PinMismatch {
    seen: Vec<Pin>,
    expected: Vec<Pin>,
}

impl fmt::Display for PinMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |pins: &[Pin]| {
            let texts: Vec<String> = pins.iter().map(Pin::to_string).collect();
            texts.join(" and ")
        };
        write!(f, "it has {}, and {} was expected", list(&self.seen), list(&self.expected))
    }
}

impl std::error::Error for PinMismatch {}

/// Checks pins, and what another verifier checks.
#[derive(Debug)]
pub(super) struct PinVerifier {
    pub(super) pins: Vec<Pin>,
    /// Without one, a right pin is enough, or nothing is asked if there are none.
    pub(super) inner: Option<Arc<dyn ServerCertVerifier>>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl PinVerifier {
    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        if self.pins.is_empty() {
            return Ok(());
        }
        let summary = Summary::of(certificate).map_err(|_| CertificateError::BadEncoding)?;
        let seen = [Pin::Key(summary.key_fingerprint), Pin::Certificate(summary.fingerprint)];
        if self.pins.iter().any(|pin| seen.contains(pin)) {
            return Ok(());
        }
        let mismatch = PinMismatch { seen: seen.to_vec(), expected: self.pins.clone() };
        Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into())
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(inner) = &self.inner {
            let _verified = inner.verify_server_cert(certificate, chain, name, ocsp, now)?;
        }
        self.check(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
