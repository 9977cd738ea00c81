//! Why a TLS connection failed: one name for each fact that an operator can act on.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use super::pins::PinMismatch;
use super::records::RecordError;

/// A failure of a TLS connection.
#[derive(Debug, Clone)]
pub struct TlsError {
    fault: Fault,
    source: Option<Error>,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer speaks HTTP without TLS.
    PlainHttp,
    /// What the peer sent is no TLS.
    NotTls,
    /// The handshake has more bytes than it may.
    HandshakeTooLarge,
    /// The connection ended within the handshake.
    Truncated,
    /// No version of TLS is common.
    Version,
    /// No cipher suite is common.
    Suite,
    /// No key exchange group is common.
    Group,
    /// No signature scheme is common.
    Signature,
    /// The peer has no application protocol of ours.
    Alpn,
    /// No certificate is for the name that was asked for.
    UnknownName,
    /// The peer gave no certificate.
    CertificateMissing,
    /// The peer's certificate has expired.
    CertificateExpired,
    /// The peer's certificate is not valid yet.
    CertificateNotYetValid,
    /// The peer's certificate is for other names.
    CertificateName,
    /// Nobody who is trusted has issued the peer's certificate.
    CertificateUntrusted,
    /// The peer's certificate is revoked.
    CertificateRevoked,
    /// None of the pins is that of the peer's certificate.
    CertificatePin,
    /// The peer's certificate is wrong otherwise.
    CertificateInvalid,
    /// The peer sent an alert.
    Alert,
    /// A record cannot be decrypted.
    Decrypt,
    /// The peer breaks the protocol.
    Protocol,
    /// It is our own fault.
    Internal,
}

impl Fault {
    /// Every fault, in the order of their numbers.
    pub const ALL: [Self; 22] = [
        Self::PlainHttp,
        Self::NotTls,
        Self::HandshakeTooLarge,
        Self::Truncated,
        Self::Version,
        Self::Suite,
        Self::Group,
        Self::Signature,
        Self::Alpn,
        Self::UnknownName,
        Self::CertificateMissing,
        Self::CertificateExpired,
        Self::CertificateNotYetValid,
        Self::CertificateName,
        Self::CertificateUntrusted,
        Self::CertificateRevoked,
        Self::CertificatePin,
        Self::CertificateInvalid,
        Self::Alert,
        Self::Decrypt,
        Self::Protocol,
        Self::Internal,
    ];

    /// The fault's place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::HandshakeTooLarge => "handshake_too_large",
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::Suite => "suite",
            Self::Group => "group",
            Self::Signature => "signature",
            Self::Alpn => "alpn",
            Self::UnknownName => "unknown_name",
            Self::CertificateMissing => "certificate_missing",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::CertificateName => "certificate_name",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::CertificateRevoked => "certificate_revoked",
            Self::CertificatePin => "certificate_pin",
            Self::CertificateInvalid => "certificate_invalid",
            Self::Alert => "alert",
            Self::Decrypt => "decrypt",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::PlainHttp => "the peer speaks HTTP without TLS",
            Self::NotTls => "what the peer sent is no TLS: does it speak TLS on this port?",
            Self::HandshakeTooLarge => {
                "the handshake is larger than `handshake_max`, or than 64 KiB"
            }
            Self::Truncated => "the peer ended the connection within the handshake",
            Self::Version => "no version of TLS is common: see `min_version`",
            Self::Suite => "no cipher suite is common: see `cipher_suites`",
            Self::Group => "no key exchange group is common: see `groups`",
            Self::Signature => "no signature scheme is common: a key of another kind is needed",
            Self::Alpn => "no application protocol is common: see `alpn`",
            Self::UnknownName => "no certificate is for the name that the client asked for",
            Self::CertificateMissing => "the peer gave no certificate",
            Self::CertificateExpired => "the peer's certificate has expired",
            Self::CertificateNotYetValid => {
                "the peer's certificate is not valid yet: is the clock right?"
            }
            Self::CertificateName => "the peer's certificate is for other names: see `server_name`",
            Self::CertificateUntrusted => {
                "nobody who is trusted has issued the peer's certificate: see `ca`"
            }
            Self::CertificateRevoked => "the peer's certificate is revoked",
            Self::CertificatePin => "none of the pins is that of the peer's certificate",
            Self::CertificateInvalid => "the peer's certificate is not acceptable",
            Self::Alert => "the peer refused",
            Self::Decrypt => "a record cannot be decrypted: it was changed on its way",
            Self::Protocol => "the peer breaks the protocol",
            Self::Internal => "a fault of our own",
        }
    }
}

impl TlsError {
    pub(super) const fn of(fault: Fault) -> Self {
        Self { fault, source: None }
    }

    /// What went wrong.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        self.fault
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        Self { fault: fault_of(&error), source: Some(error) }
    }
}

impl From<RecordError> for TlsError {
    fn from(error: RecordError) -> Self {
        let fault = match &error {
            RecordError::Decrypt => Fault::Decrypt,
            RecordError::Alert(_) => Fault::Alert,
            RecordError::Rustls(error) => fault_of(error),
            RecordError::Sequence | RecordError::KeyUsedUp | RecordError::Key => Fault::Internal,
            RecordError::TooLong
            | RecordError::Type(_)
            | RecordError::Version
            | RecordError::Empty
            | RecordError::Padding
            | RecordError::AlertLength
            | RecordError::Warnings
            | RecordError::Message(_)
            | RecordError::MessageTooLarge
            | RecordError::MessageBoundary
            | RecordError::KeyUpdate
            | RecordError::KeyUpdates
            | RecordError::Renegotiation => Fault::Protocol,
        };
        Self { fault, source: Some(Error::General(error.to_string())) }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.fault.text())?;
        match &self.source {
            Some(Error::AlertReceived(alert)) => write!(f, ": alert {}", alert_name(*alert)),
            Some(error) => match mismatch_of(error) {
                Some(mismatch) => write!(f, ": {mismatch}"),
                None => write!(f, " ({error})"),
            },
            None => Ok(()),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// The name of an alert as RFC 8446 has it, or its number.
fn alert_name(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| u8::from(alert).to_string(), str::to_owned)
}

fn mismatch_of(error: &Error) -> Option<&PinMismatch> {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return None };
    other.0.downcast_ref()
}

/// What rustls says of a key that nothing can be encapsulated to.
const ENCAPSULATION: &str = "encaps failed";
/// What rustls says of a client of TLS 1.2 that knows no signature which our key can make.
const SIGNATURE: &str = "incompatible signing key";

#[expect(clippy::wildcard_enum_match_arm, reason = "the enums of rustls may grow")]
fn fault_of(error: &Error) -> Fault {
    match error {
        Error::NoCertificatesPresented => Fault::CertificateMissing,
        Error::InvalidCertificate(error) => certificate_fault(error),
        Error::InvalidMessage(why) => match why {
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion => {
                Fault::NotTls
            }
            InvalidMessage::HandshakePayloadTooLarge => Fault::HandshakeTooLarge,
            _ => Fault::Protocol,
        },
        Error::PeerIncompatible(why) => match why {
            PeerIncompatible::NoCipherSuitesInCommon => Fault::Suite,
            PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::KeyShareExtensionRequired => {
                Fault::Group
            }
            PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => Fault::Signature,
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled => Fault::Version,
            _ => Fault::Protocol,
        },
        Error::NoApplicationProtocol => Fault::Alpn,
        Error::AlertReceived(_) => Fault::Alert,
        Error::DecryptError => Fault::Decrypt,
        Error::PeerSentOversizedRecord
        | Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => Fault::Protocol,
        Error::General(text) if text == super::resolver::NO_CERTIFICATE => Fault::UnknownName,
        // A client's ML-KEM key is invalid: rustls has no error of its own for that.
        Error::General(text) if text == ENCAPSULATION => Fault::Protocol,
        Error::General(text) if text == SIGNATURE => Fault::Signature,
        _ => Fault::Internal,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the enums of rustls may grow")]
fn certificate_fault(error: &CertificateError) -> Fault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Fault::CertificateExpired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Fault::CertificateNotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Fault::CertificateName
        }
        CertificateError::UnknownIssuer
        // Another issuer of the same name, with another key or another kind of key.
        | CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Fault::CertificateUntrusted
        }
        CertificateError::Revoked => Fault::CertificateRevoked,
        CertificateError::Other(other) if other.0.is::<PinMismatch>() => Fault::CertificatePin,
        _ => Fault::CertificateInvalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_a_place_and_a_sentence() {
        let mut names = std::collections::BTreeSet::new();
        for (at, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault.index(), at);
            assert!(names.insert(fault.name()), "{}", fault.name());
            assert!(TlsError::of(fault).to_string().len() > 10);
        }
    }

    #[test]
    fn what_a_client_gets_wrong_is_no_fault_of_ours() {
        for (text, fault) in [(ENCAPSULATION, Fault::Protocol), (SIGNATURE, Fault::Signature)] {
            assert_eq!(TlsError::from(Error::General(text.to_owned())).fault(), fault, "{text}");
        }
    }

    #[test]
    fn an_alert_is_told_by_its_name() {
        let error = TlsError::from(Error::AlertReceived(AlertDescription::UnknownCA));
        assert_eq!(error.fault(), Fault::Alert);
        assert!(error.to_string().ends_with("alert UnknownCA"), "{error}");
    }
}
