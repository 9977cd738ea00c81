//! `[listener.tls]` and `[upstream.NAME.tls]`: how TLS is spoken. The files that they name are read
//! where the configuration is carried out.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use toml::Value;
use toml::de::DeValue;

use super::accept::{self, Fault};
use super::effective::{write_all, write_lines};
use super::kinds::{
    Bool, Bytes, Choice, Custom, Kind, List, PathUnless, Text, Time, Unless, Whole,
};
use super::report::Mistake;
use super::schema::{DAY, HOUR, MILLISECOND, MINUTE, TableKeys, Words, keys};
use super::section::Section;
use super::table::table;
use crate::proto::tls::{CIPHER_SUITES, CipherSuite, GROUPS, Group, Pin, PinError, Version};

table! {
    /// How a listener speaks TLS.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ListenerTls {
        /// Whether clients that ask for a name of no certificate are refused.
        "strict_sni" strict_sni: bool = false, Bool;
        /// Whether clients show a certificate: "off" (they are not asked), "optional" or
        /// "required".
        "client_auth" client_auth: ClientAuth = ClientAuth::Off, Choice(CLIENT_AUTH_WORDS);
        /// The path of a file with those who issue clients' certificates, in PEM, or "off".
        /// Required with `client_auth`.
        "client_ca" client_ca: Option<PathBuf> = None, FILE_OR_OFF;
        /// The path of a file with lists of revoked certificates, in PEM, or "off".
        "client_crl" client_crl: Option<PathBuf> = None, FILE_OR_OFF;
        /// Tickets for a client of TLS 1.3, by each of which it can resume its session once. "off":
        /// no client resumes a session, by TLS 1.2 neither.
        "tickets" tickets: Option<u32> = Some(1), Unless("off", Whole(1..=16));
        /// The paths of files of 80 bytes with keys of tickets, by which clients resume sessions:
        /// up to 16. The first makes tickets, all are taken. Servers with the same files take each
        /// other's. Without any, random keys.
        "ticket_keys" ticket_keys: Vec<PathBuf> = Vec::new(), List { counts: 0..=16, each: FILE };
        /// How long a random key of tickets is used. Its tickets are taken for two more such times.
        "ticket_rotation" ticket_rotation: Duration = Duration::from_secs(12 * 3600),
            Time(MINUTE..=DAY.saturating_mul(7));
        /// How long a handshake may take.
        "handshake_timeout" handshake_timeout: Duration = Duration::from_secs(10),
            Time(MILLISECOND..=HOUR);
        /// Bytes of a client's part of a handshake, at most.
        "handshake_max" handshake_max: u32 = 64 << 10, Bytes(4096..=1 << 20);
        /// Handshakes at a time, on each worker. Beyond it, connections are closed at once.
        "handshakes_max" handshakes_max: u32 = 1000, Whole(1..=1_000_000);
        .. {
            /// `certificate`, `key`, `ocsp`: one for each certificate, the first for unknown names.
            certificates: Vec<CertificateFiles> = Vec::new();
            /// Versions, cipher suites, groups.
            policy: TlsPolicy = TlsPolicy::default();
        }
    }
}

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first, in PEM.
    pub chain: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
    /// An OCSP answer, in DER.
    pub ocsp: Option<PathBuf>,
}

impl CertificateFiles {
    /// Whether the certificate or the key is generated in memory instead of read from a file.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        let made = std::path::Path::new(SELF_SIGNED);
        self.chain == made || self.key == made
    }
}

table! {
    /// What is allowed.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct TlsPolicy {
        /// The lowest version.
        "min_version" min_version: Version = Version::Tls12, Choice(VERSION_WORDS);
        /// Cipher suites by their IANA names, the best first, up to 64. Without any, the usual
        /// ones.
        "cipher_suites" cipher_suites: Vec<CipherSuite> = Vec::new(), SUITES;
        /// Key exchange groups by their IANA names, the best first, up to 64. Without any, the
        /// usual ones.
        "groups" groups: Vec<Group> = Vec::new(), GROUP_NAMES;
    }
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked, and may have none.
    Optional,
    /// They must.
    Required,
}

table! {
    /// TLS to the servers of an upstream.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct UpstreamTls {
        /// The path of a file with those who issue servers' certificates, in PEM, or "off" for
        /// those whom the system trusts.
        "ca" ca: Option<PathBuf> = None, FILE_OR_OFF;
        /// Whether the issuer and the name of a server are checked.
        "verify" verify: bool = true, Bool;
        /// The name that a server has to show: a host name or an IP address, or "off" for the one
        /// in `servers`.
        "server_name" server_name: Option<String> = None, Unless("off", NAME);
        /// The certificates or keys that a server may have, one of which is enough: "spki:SHA256"
        /// (of the public key) or "cert:SHA256", in hexadecimal or base64, up to 64. Without any,
        /// all.
        "pins" pins: Vec<Pin> = Vec::new(), PINS;
        /// The path of a file with lists of revoked certificates, in PEM, or "off".
        "crl" crl: Option<PathBuf> = None, FILE_OR_OFF;
        .. {
            /// `certificate`, `key`: what we show.
            identity: Option<(PathBuf, PathBuf)> = None;
            /// Versions, cipher suites, groups.
            policy: TlsPolicy = TlsPolicy::default();
        }
    }
}

pub(super) const LISTENER_TLS: TableKeys = TableKeys {
    table: "[listener.tls]",
    keys: keys![&["certificate", "key", "ocsp"], ListenerTls::KEYS, TlsPolicy::KEYS],
};

/// Of the keys of a listener, those that make sense for a few connections of operators.
pub(super) const ADMIN_TLS: TableKeys = TableKeys {
    table: "[admin.tls]",
    keys: keys![
        &["certificate", "key", "client_auth", "client_ca", "client_crl", "handshake_timeout"],
        TlsPolicy::KEYS,
    ],
};

pub(super) const UPSTREAM_TLS: TableKeys = TableKeys {
    table: "[upstream.NAME.tls]",
    keys: keys![UpstreamTls::KEYS, &["certificate", "key"], TlsPolicy::KEYS],
};

const VERSION_WORDS: Words<Version> = &[("1.2", Version::Tls12), ("1.3", Version::Tls13)];
const CLIENT_AUTH_WORDS: Words<ClientAuth> = &[
    ("off", ClientAuth::Off),
    ("optional", ClientAuth::Optional),
    ("required", ClientAuth::Required),
];

/// In the place of the files of a certificate: one is made in memory.
pub const SELF_SIGNED: &str = "self_signed";
const CERTIFICATES_MAX: usize = 1024;
/// A file, or that there is none.
const FILE_OR_OFF: PathUnless = PathUnless("off", "the path of a file");
const FILE: Custom<PathBuf> = Custom {
    accept: file,
    write: |path| Value::from(path.display().to_string()),
    schema: || json!({ "type": "string", "minLength": 1 }),
};
const NAME: Text = Text { accept: |value| accept::text(value, 100) };
const SUITES: List<Choice<CipherSuite>> = List { counts: 0..=64, each: Choice(&CIPHER_SUITES) };
const GROUP_NAMES: List<Choice<Group>> = List { counts: 0..=64, each: Choice(&GROUPS) };
const PINS: List<Custom<Pin>> = List {
    counts: 0..=64,
    each: Custom {
        accept: pin,
        write: |pin| Value::from(pin.to_string()),
        schema: || json!({ "type": "string", "pattern": "^(spki|cert):" }),
    },
};

fn file(value: &DeValue<'_>) -> Result<PathBuf, Fault> {
    accept::path(value, "the path of a file")
}

/// A file, or that there is none.
fn file_or_made(value: &DeValue<'_>) -> Result<PathBuf, Fault> {
    let made = accept::path_unless(value, SELF_SIGNED, file)?;
    Ok(made.unwrap_or_else(|| PathBuf::from(SELF_SIGNED)))
}

fn pin(value: &DeValue<'_>) -> Result<Pin, Fault> {
    const EXPECTED: &str = "\"spki:SHA256\" or \"cert:SHA256\"";
    accept::parsed(value, EXPECTED, |text| {
        text.parse().map_err(|error: PinError| {
            format!("{error}; `ringway doctor --tls` shows those of a server")
        })
    })
}

/// The table of a listener, or of the admin interface, which has only some of the keys.
pub(super) fn listener(mut section: Section<'_, '_>) -> ListenerTls {
    let certificates = certificates(&mut section);
    let policy = policy(&mut section);
    let tls = ListenerTls { certificates, policy, ..ListenerTls::read(&mut section) };
    let is_known = section.is_good("client_auth") && section.is_good("client_ca");
    if is_known && tls.client_auth != ClientAuth::Off && tls.client_ca.is_none() {
        let message = "missing key `client_ca`, which `client_auth` needs";
        let help = "add client_ca = \"/etc/ringway/clients.pem\"";
        section.miss("client_ca", message.to_owned(), help.to_owned());
    }
    section.finish();
    tls
}

/// What is allowed.
fn policy(section: &mut Section<'_, '_>) -> TlsPolicy {
    let policy = TlsPolicy::read(section);
    let is_old = |suite: &CipherSuite| suite.version() < policy.min_version;
    let suites = &policy.cipher_suites;
    if section.is_good("min_version") && !suites.is_empty() && suites.iter().all(is_old) {
        let message = "`cipher_suites`: none of them is of an allowed version".to_owned();
        let help = "add one of TLS 1.3, as \"TLS_AES_128_GCM_SHA256\"".to_owned();
        section.miss("cipher_suites", message, help);
    }
    policy
}

/// The files of each certificate.
fn certificates(section: &mut Section<'_, '_>) -> Vec<CertificateFiles> {
    let example = "certificate = \"/etc/ringway/example.pem\"";
    let chains = section.required_list("certificate", example, CERTIFICATES_MAX, file_or_made);
    let example = "key = \"/etc/ringway/example.key\"";
    let keys = section.required_list("key", example, CERTIFICATES_MAX, file_or_made);
    let staples = List { counts: 0..=CERTIFICATES_MAX, each: FILE_OR_OFF };
    let mut ocsp = section.key("ocsp", &staples, Vec::new).into_iter();
    if let (Some(last), true) = (keys.last(), !chains.is_empty() && chains.len() != keys.len()) {
        section.report(Mistake::new(
            last.span(),
            format!("there are {} certificates, and {} keys", chains.len(), keys.len()),
            "give each certificate its key, in the same order",
        ));
    }
    let certificates = chains.into_iter().zip(keys).map(|(chain, key)| CertificateFiles {
        chain: chain.into_inner(),
        key: key.into_inner(),
        ocsp: ocsp.next().flatten(),
    });
    certificates.collect()
}

/// The table of an upstream.
pub(super) fn upstream(mut section: Section<'_, '_>) -> UpstreamTls {
    let certificate = section.optional("certificate", |v| FILE_OR_OFF.accept(v)).or(None);
    let key = section.optional("key", |v| FILE_OR_OFF.accept(v)).or(None);
    let policy = policy(&mut section);
    let tls = UpstreamTls::read(&mut section);
    if certificate.is_some() != key.is_some() {
        let missing = if key.is_some() { "certificate" } else { "key" };
        let message = format!("missing key `{missing}` in [upstream.NAME.tls]");
        let help = "a certificate that we show needs its key".to_owned();
        section.miss(missing, message, help);
    }
    section.finish();
    UpstreamTls { identity: certificate.zip(key), policy, ..tls }
}

pub(super) fn write_admin(tls: &ListenerTls, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_keys(tls, &ADMIN_TLS, f)
}

pub(super) fn write_listener(tls: &ListenerTls, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_keys(tls, &LISTENER_TLS, f)
}

fn write_keys(tls: &ListenerTls, of: &TableKeys, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n{}", of.table)?;
    let all = |one: fn(&CertificateFiles) -> Value| tls.certificates.iter().map(one).collect();
    let files = [
        ("certificate", Value::Array(all(|files| FILE.write(&files.chain)))),
        ("key", Value::Array(all(|files| FILE.write(&files.key)))),
        ("ocsp", Value::Array(all(|files| FILE_OR_OFF.write(&files.ocsp)))),
    ];
    let lines = files.into_iter().chain(tls.policy.lines()).chain(tls.lines());
    write_lines(lines, |key| of.keys.contains(&key), f)
}

pub(super) fn write_upstream(
    name: &str,
    tls: &UpstreamTls,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    writeln!(f, "\n[upstream.{name}.tls]")?;
    let (certificate, key) = tls.identity.clone().unzip();
    let identity =
        [("certificate", FILE_OR_OFF.write(&certificate)), ("key", FILE_OR_OFF.write(&key))];
    write_all(tls.lines().into_iter().chain(identity).chain(tls.policy.lines()), f)
}
