//! Who a certificate says that it is of, as short texts for header fields and logs. The texts are
//! printable ASCII, and what a name contains cannot look like another name.

use std::fmt::Write;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::certificate::{CertificateError, certificates};

/// Bytes of a text: what exceeds them is left out, and [`CUT`] stands for it.
const TEXT_MAX: usize = 2048;
/// No whole part of a text is this: each has a `=` or a `:`.
const CUT: &str = "...";

/// Attributes by their object identifiers, with the names of RFC 4514, section 3, and others that
/// are usual.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The subject of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its distinguished name as RFC 4514 has it, the most specific part first, as in
    /// `CN=alice,O=Example`. All bytes but printable ASCII are written as `\` and two digits.
    pub name: String,
    /// Its alternative names, as in `DNS:a.example,IP:192.0.2.1,email:a@b.example,URI:spiffe://a`,
    /// with the same escapes. Names of other kinds are left out.
    pub alternatives: String,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub fingerprint: String,
}

impl Subject {
    /// The subject of a certificate in DER.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| CertificateError::Encoding)?;
        let names = parsed.subject_alternative_name().map_err(|_| CertificateError::Encoding)?;
        let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
        let alternatives = join(names.iter().filter_map(alternative));
        let digest: [u8; 32] = Sha256::digest(der).into();
        let fingerprint = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name: distinguished_name(parsed.subject()), alternatives, fingerprint })
    }

    /// The subject of the first certificate of a text in PEM.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn of_pem(text: &[u8]) -> Result<Self, CertificateError> {
        let all = certificates(text)?;
        Self::of(all.first().ok_or(CertificateError::NoCertificate)?)
    }
}

/// A distinguished name (RFC 4514, section 2).
fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    join(parts.into_iter().rev().map(|part| {
        let attributes: Vec<_> = part.iter().map(attribute).collect();
        attributes.join("+")
    }))
}

/// One attribute. The value of one that is no text is written as its bytes.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type().to_id_string();
    let known = ATTRIBUTES.iter().find(|(other, _)| *other == id);
    let mut text = known.map_or(id, |(_, name)| (*name).to_owned());
    text.push('=');
    if let Ok(value) = attribute.as_str() {
        escape(value.as_bytes(), &mut text);
    } else {
        text.push('#');
        attribute.as_slice().iter().for_each(|byte| push_hex(*byte, &mut text));
    }
    text
}

#[expect(clippy::wildcard_enum_match_arm, reason = "names of other kinds are left out")]
fn alternative(name: &GeneralName<'_>) -> Option<String> {
    let (kind, value) = match name {
        GeneralName::DNSName(name) => ("DNS:", (*name).to_owned()),
        GeneralName::RFC822Name(name) => ("email:", (*name).to_owned()),
        GeneralName::URI(name) => ("URI:", (*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            ("IP:", address.ok()?.to_string())
        }
        _ => return None,
    };
    let mut text = kind.to_owned();
    escape(value.as_bytes(), &mut text);
    Some(text)
}

/// Whole parts with commas between them, as many as there is room for.
fn join(parts: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    for part in parts {
        let comma = if text.is_empty() { "" } else { "," };
        if text.len() + comma.len() + part.len() + CUT.len() + 1 > TEXT_MAX {
            text.push_str(comma);
            text.push_str(CUT);
            break;
        }
        text.push_str(comma);
        text.push_str(&part);
    }
    text
}

/// Writes a value so that it ends where it ends (RFC 4514, section 2.4).
fn escape(value: &[u8], text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.iter().enumerate() {
        let is_special = match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => true,
            b'#' => at == 0,
            b' ' => at == 0 || at == last,
            _ => false,
        };
        if is_special {
            text.push('\\');
            text.push(char::from(*byte));
        } else if matches!(byte, b' '..=b'~') {
            text.push(char::from(*byte));
        } else {
            text.push('\\');
            push_hex(*byte, text);
        }
    }
}

fn push_hex(byte: u8, text: &mut String) {
    // Writing to a text does not fail.
    write!(text, "{byte:02x}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    use super::*;

    fn subject(attributes: &[(DnType, &str)], names: Vec<SanType>) -> Subject {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        Subject::of(params.self_signed(&key).expect("a certificate").der()).expect("it is read")
    }

    #[test]
    fn a_name_is_written_with_its_most_specific_part_first() {
        let table = [
            (vec![(DnType::OrganizationName, "Ex"), (DnType::CommonName, "al")], "CN=al,O=Ex"),
            (vec![(DnType::CommonName, "a,O=Admin")], "CN=a\\,O=Admin"),
            (vec![(DnType::CommonName, " #a ")], "CN=\\ #a\\ "),
            (vec![(DnType::CommonName, "#a+b\\\"")], "CN=\\#a\\+b\\\\\\\""),
            (vec![(DnType::CommonName, "a\r\nx: y")], "CN=a\\0d\\0ax: y"),
            (vec![(DnType::CommonName, "é")], "CN=\\c3\\a9"),
            (vec![(DnType::CustomDnType(vec![1, 2, 3]), "x")], "1.2.3=x"),
            (vec![], ""),
        ];
        for (attributes, expected) in table {
            assert_eq!(subject(&attributes, Vec::new()).name, expected);
        }
    }

    #[test]
    fn alternatives_are_told_by_their_kinds() {
        let text = |text: &str| text.try_into().expect("ASCII");
        let names = vec![
            SanType::DnsName(text("a.example,DNS:b.example")),
            SanType::IpAddress("192.0.2.1".parse().expect("an address")),
            SanType::IpAddress("fd00::1".parse().expect("an address")),
            SanType::Rfc822Name(text("a@b.example")),
            SanType::URI(text("spiffe://a/b\n")),
        ];
        let expected = "DNS:a.example\\,DNS:b.example,IP:192.0.2.1,IP:fd00::1,\
                        email:a@b.example,URI:spiffe://a/b\\0a";
        assert_eq!(subject(&[], names).alternatives, expected);
    }

    #[test]
    fn what_is_too_long_is_cut_between_names_and_looks_cut() {
        let name = |at: usize| format!("host-{at}.example").as_str().try_into().expect("ASCII");
        let long = subject(&[], (0..500).map(|at| SanType::DnsName(name(at))).collect());
        let text = long.alternatives;
        assert!(text.len() <= TEXT_MAX && text.ends_with(".example,..."), "{text}");
        let one = "x".repeat(TEXT_MAX);
        assert_eq!(subject(&[(DnType::CommonName, &one)], Vec::new()).name, CUT);
        assert!(Subject::of(&CertificateDer::from(vec![0x30, 0x80])).is_err());
    }
}
