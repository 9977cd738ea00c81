//! `[listener.tls]` and `[upstream.NAME.tls]`: how TLS is spoken. The files that they name are read
//! where the configuration is carried out.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::accept::{self, Fault};
use super::effective::{quoted, write_lines};
use super::report::Mistake;
use super::schema::{DAY, HOUR, MILLISECOND, MINUTE, TableKeys, Words, word};
use super::section::Section;
use super::units::{Period, Size};

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// `certificate`, `key`, `ocsp`: one for each certificate, the first for unknown names.
    pub certificates: Vec<CertificateFiles>,
    /// `strict_sni`: whether clients that ask for an unknown name are refused.
    pub strict_sni: bool,
    /// Versions, cipher suites, groups.
    pub policy: TlsPolicy,
    /// `client_auth`: whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// `client_ca`: a file with those who issue clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// `client_crl`: a file with lists of revoked certificates.
    pub client_crl: Option<PathBuf>,
    /// `tickets`: how many a client of TLS 1.3 gets, by which it resumes its session. None: there
    /// are none, in no version.
    pub tickets: Option<u32>,
    /// `ticket_keys`: files with keys of tickets, which servers share. None: random keys.
    pub ticket_keys: Vec<PathBuf>,
    /// `ticket_rotation`: how long a random key is used.
    pub ticket_rotation: Duration,
    /// `handshake_timeout`: how long a handshake may take.
    pub handshake_timeout: Duration,
    /// `handshake_max`: bytes of a client's part of a handshake at most.
    pub handshake_max: u32,
    /// `handshakes_max`: handshakes at a time, on each worker.
    pub handshakes_max: u32,
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

/// What is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsPolicy {
    /// `min_version`: the lowest version.
    pub min_version: TlsVersion,
    /// `cipher_suites`: names, the best first; none for the usual ones.
    pub cipher_suites: Vec<String>,
    /// `groups`: names, the best first; none for the usual ones.
    pub groups: Vec<String>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
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

/// How servers are spoken to by TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// `ca`: a file with those who issue servers' certificates. None: whom the system trusts.
    pub ca: Option<PathBuf>,
    /// `verify`: whether the issuer and the name are checked.
    pub verify: bool,
    /// `server_name`: the name that a server has to show. None: the one it is reached by.
    pub server_name: Option<String>,
    /// `pins`: certificates or keys that a server may have, by SHA-256. None: any.
    pub pins: Vec<String>,
    /// `certificate`, `key`: what we show.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// `crl`: a file with lists of revoked certificates.
    pub crl: Option<PathBuf>,
    /// Versions, cipher suites, groups.
    pub policy: TlsPolicy,
}

pub(super) const LISTENER_TLS: TableKeys = TableKeys {
    table: "[listener.tls]",
    keys: &[
        "certificate",
        "key",
        "ocsp",
        "strict_sni",
        "min_version",
        "cipher_suites",
        "groups",
        "client_auth",
        "client_ca",
        "client_crl",
        "tickets",
        "ticket_keys",
        "ticket_rotation",
        "handshake_timeout",
        "handshake_max",
        "handshakes_max",
    ],
};

/// Of the keys of a listener, those that make sense for a few connections of operators.
pub(super) const ADMIN_TLS: TableKeys = TableKeys {
    table: "[admin.tls]",
    keys: &[
        "certificate",
        "key",
        "min_version",
        "cipher_suites",
        "groups",
        "client_auth",
        "client_ca",
        "client_crl",
        "handshake_timeout",
    ],
};

pub(super) const UPSTREAM_TLS: TableKeys = TableKeys {
    table: "[upstream.NAME.tls]",
    keys: &[
        "ca",
        "verify",
        "server_name",
        "pins",
        "certificate",
        "key",
        "crl",
        "min_version",
        "cipher_suites",
        "groups",
    ],
};

const VERSION_WORDS: Words<TlsVersion> = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
const CLIENT_AUTH_WORDS: Words<ClientAuth> = &[
    ("off", ClientAuth::Off),
    ("optional", ClientAuth::Optional),
    ("required", ClientAuth::Required),
];

/// In the place of the files of a certificate: one is made in memory.
pub const SELF_SIGNED: &str = "self_signed";
const CERTIFICATES_MAX: usize = 1024;
const NAMES: RangeInclusive<usize> = 0..=64;
const TICKETS_RANGE: RangeInclusive<u32> = 1..=16;
const TICKET_KEYS: RangeInclusive<usize> = 0..=16;
const HANDSHAKE_TIMEOUT_RANGE: RangeInclusive<Duration> = MILLISECOND..=HOUR;
const ROTATION_RANGE: RangeInclusive<Duration> = MINUTE..=DAY.saturating_mul(7);
const HANDSHAKE_MAX_RANGE: RangeInclusive<u32> = 4096..=1 << 20;
const HANDSHAKES_RANGE: RangeInclusive<u32> = 1..=1_000_000;

const CLIENT_AUTH: ClientAuth = ClientAuth::Off;
/// One is enough for a client that resumes with its newest.
const TICKETS: Option<u32> = Some(1);
const TICKET_ROTATION: Duration = Duration::from_secs(12 * 3600);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HANDSHAKE_MAX: u32 = 64 << 10;
const HANDSHAKES_MAX: u32 = 1000;

fn file(value: &DeValue<'_>) -> Result<PathBuf, Fault> {
    accept::path(value, "the path of a file")
}

/// A file, or that there is none.
fn file_or_made(value: &DeValue<'_>) -> Result<PathBuf, Fault> {
    let made = accept::path_unless(value, SELF_SIGNED, file)?;
    Ok(made.unwrap_or_else(|| PathBuf::from(SELF_SIGNED)))
}

fn file_or_off(value: &DeValue<'_>) -> Result<Option<PathBuf>, Fault> {
    accept::path_unless(value, "off", file)
}

fn name(value: &DeValue<'_>) -> Result<String, Fault> {
    accept::text(value, 100)
}

fn tickets(value: &DeValue<'_>) -> Result<u32, Fault> {
    accept::whole(value, &TICKETS_RANGE)
}

fn policy(section: &mut Section<'_, '_>) -> TlsPolicy {
    let min_version = section.optional("min_version", |v| accept::choice(v, VERSION_WORDS));
    TlsPolicy {
        min_version: min_version.or(TlsVersion::Tls12),
        cipher_suites: section.list("cipher_suites", &NAMES, name).unwrap_or_default(),
        groups: section.list("groups", &NAMES, name).unwrap_or_default(),
    }
}

/// The table of a listener, or of the admin interface, which has only some of the keys.
pub(super) fn listener(mut section: Section<'_, '_>) -> ListenerTls {
    let certificates = certificates(&mut section);
    let strict_sni = section.known("strict_sni").map(|(s, key)| s.optional(key, accept::boolean));
    let policy = policy(&mut section);
    let client_auth = section.optional("client_auth", |v| accept::choice(v, CLIENT_AUTH_WORDS));
    let client_ca = section.optional("client_ca", file_or_off).value();
    let client_crl = section.optional("client_crl", file_or_off).or(None);
    let client_auth = client_auth.or(CLIENT_AUTH);
    let client_ca = client_ca.and_then(toml::Spanned::into_inner);
    if client_auth != ClientAuth::Off && client_ca.is_none() {
        let message = "missing key `client_ca`, which `client_auth` needs";
        let help = "add client_ca = \"/etc/ringway/clients.pem\"";
        section.miss("client_ca", message.to_owned(), help.to_owned());
    }
    let tickets = section
        .known("tickets")
        .map(|(s, key)| s.optional(key, |v| accept::unless(v, "off", tickets)));
    let ticket_keys =
        section.known("ticket_keys").and_then(|(s, key)| s.list(key, &TICKET_KEYS, file));
    let rotation = section
        .known("ticket_rotation")
        .map(|(s, key)| s.optional(key, |v| accept::duration(v, &ROTATION_RANGE)));
    let timeout =
        section.optional("handshake_timeout", |v| accept::duration(v, &HANDSHAKE_TIMEOUT_RANGE));
    let size = section
        .known("handshake_max")
        .map(|(s, key)| s.optional(key, |v| accept::size(v, &HANDSHAKE_MAX_RANGE)));
    let most = section
        .known("handshakes_max")
        .map(|(s, key)| s.optional(key, |v| accept::whole(v, &HANDSHAKES_RANGE)));
    section.finish();
    ListenerTls {
        certificates,
        strict_sni: strict_sni.is_some_and(|given| given.or(false)),
        policy,
        client_auth,
        client_ca,
        client_crl,
        tickets: tickets.map_or(TICKETS, |given| given.or(TICKETS)),
        ticket_keys: ticket_keys.unwrap_or_default(),
        ticket_rotation: rotation.map_or(TICKET_ROTATION, |given| given.or(TICKET_ROTATION)),
        handshake_timeout: timeout.or(HANDSHAKE_TIMEOUT),
        handshake_max: size.map_or(HANDSHAKE_MAX, |given| given.or(HANDSHAKE_MAX)),
        handshakes_max: most.map_or(HANDSHAKES_MAX, |given| given.or(HANDSHAKES_MAX)),
    }
}

/// The files of each certificate.
fn certificates(section: &mut Section<'_, '_>) -> Vec<CertificateFiles> {
    let example = "certificate = \"/etc/ringway/example.pem\"";
    let chains = section.required_list("certificate", example, CERTIFICATES_MAX, file_or_made);
    let example = "key = \"/etc/ringway/example.key\"";
    let keys = section.required_list("key", example, CERTIFICATES_MAX, file_or_made);
    let ocsp = section
        .known("ocsp")
        .and_then(|(section, key)| section.list(key, &(0..=CERTIFICATES_MAX), file_or_off));
    if let (Some(last), true) = (keys.last(), !chains.is_empty() && chains.len() != keys.len()) {
        section.report(Mistake::new(
            last.span(),
            format!("there are {} certificates, and {} keys", chains.len(), keys.len()),
            "give each certificate its key, in the same order",
        ));
    }
    let mut ocsp = ocsp.unwrap_or_default().into_iter();
    let certificates = chains.into_iter().zip(keys).map(|(chain, key)| CertificateFiles {
        chain: chain.into_inner(),
        key: key.into_inner(),
        ocsp: ocsp.next().flatten(),
    });
    certificates.collect()
}

/// The table of an upstream.
pub(super) fn upstream(mut section: Section<'_, '_>) -> UpstreamTls {
    let ca = section.optional("ca", file_or_off).or(None);
    let verify = section.optional("verify", accept::boolean).or(true);
    let server_name = section.optional("server_name", |v| accept::unless(v, "off", name)).or(None);
    let pins = section.list("pins", &NAMES, name).unwrap_or_default();
    let certificate = section.optional("certificate", file_or_off).or(None);
    let key = section.optional("key", file_or_off).or(None);
    let crl = section.optional("crl", file_or_off).or(None);
    let policy = policy(&mut section);
    if certificate.is_some() != key.is_some() {
        let missing = if key.is_some() { "certificate" } else { "key" };
        let message = format!("missing key `{missing}` in [upstream.NAME.tls]");
        let help = "a certificate that we show needs its key".to_owned();
        section.miss(missing, message, help);
    }
    section.finish();
    UpstreamTls { ca, verify, server_name, pins, identity: certificate.zip(key), crl, policy }
}

fn path(path: Option<&PathBuf>) -> String {
    path.map_or_else(|| "\"off\"".to_owned(), |path| quote(&path.display().to_string()))
}

fn quote(text: &str) -> String {
    quoted(text).to_string()
}

fn array<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    let items: Vec<String> = items.iter().map(show).collect();
    format!("[{}]", items.join(", "))
}

fn policy_lines(policy: &TlsPolicy) -> [(&'static str, String); 3] {
    [
        ("min_version", format!("\"{}\"", word(VERSION_WORDS, policy.min_version))),
        ("cipher_suites", array(&policy.cipher_suites, |name| quote(name))),
        ("groups", array(&policy.groups, |name| quote(name))),
    ]
}

pub(super) fn write_admin(tls: &ListenerTls, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_keys(tls, &ADMIN_TLS, f)
}

pub(super) fn write_listener(tls: &ListenerTls, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_keys(tls, &LISTENER_TLS, f)
}

fn write_keys(tls: &ListenerTls, of: &TableKeys, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n{}", of.table)?;
    let files = [
        ("certificate", array(&tls.certificates, |one| path(Some(&one.chain)))),
        ("key", array(&tls.certificates, |one| path(Some(&one.key)))),
        ("ocsp", array(&tls.certificates, |one| path(one.ocsp.as_ref()))),
        ("strict_sni", tls.strict_sni.to_string()),
    ];
    let rest = [
        ("client_auth", format!("\"{}\"", word(CLIENT_AUTH_WORDS, tls.client_auth))),
        ("client_ca", path(tls.client_ca.as_ref())),
        ("client_crl", path(tls.client_crl.as_ref())),
        ("tickets", tls.tickets.map_or_else(|| "\"off\"".to_owned(), |most| most.to_string())),
        ("ticket_keys", array(&tls.ticket_keys, |one| path(Some(one)))),
        ("ticket_rotation", format!("\"{}\"", Period(tls.ticket_rotation))),
        ("handshake_timeout", format!("\"{}\"", Period(tls.handshake_timeout))),
        ("handshake_max", format!("\"{}\"", Size(tls.handshake_max.into()))),
        ("handshakes_max", tls.handshakes_max.to_string()),
    ];
    let lines = files.into_iter().chain(policy_lines(&tls.policy)).chain(rest);
    write_lines(lines, |key| of.keys.contains(&key), f)
}

pub(super) fn write_upstream(
    name: &str,
    tls: &UpstreamTls,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    writeln!(f, "\n[upstream.{name}.tls]")?;
    let identity = tls.identity.as_ref();
    let server_name = tls.server_name.as_ref().map_or_else(|| "\"off\"".to_owned(), |n| quote(n));
    let lines = [
        ("ca", path(tls.ca.as_ref())),
        ("verify", tls.verify.to_string()),
        ("server_name", server_name),
        ("pins", array(&tls.pins, |pin| quote(pin))),
        ("certificate", path(identity.map(|(chain, _)| chain))),
        ("key", path(identity.map(|(_, key)| key))),
        ("crl", path(tls.crl.as_ref())),
    ];
    write_lines(lines.into_iter().chain(policy_lines(&tls.policy)), |_| true, f)
}
