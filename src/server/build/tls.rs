//! TLS: reads the files that the configuration names, and makes what connections share.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{self, Config, KernelTls, Listener, ListenerTls, ServerAddress, Upstream};
use crate::net::tls::kernel::{self, Report};
use crate::net::tls::{
    Aead, Certificate, Certificates, ClientAuth, ClientConfig, ClientOptions, ClientRoots,
    KeyLogFile, Policy, Resolver, Roots, ServerConfig, ServerName, ServerOptions, TicketKey,
    Tickets, client_config, server_config,
};
use crate::proto::tls::Version;
use crate::ring::Direct;
use crate::runtime::Current;
use crate::server::StartError;
use crate::server::issue::{self, self_signed};
use crate::server::watch::{Files, Watched};
use crate::session::{TlsOptions, UpstreamTls};

/// Certificates and tickets of a listener that are looked after while it runs.
#[derive(Debug, Clone)]
pub(in crate::server) struct Changing {
    pub(in crate::server) listener: String,
    pub(in crate::server) files: ListenerTls,
    pub(in crate::server) resolver: Arc<Resolver>,
    pub(in crate::server) tickets: Arc<Tickets>,
}

/// What all listeners and upstreams have in common.
#[derive(Debug, Clone, Default)]
pub(in crate::server) struct Common {
    /// What the kernel can encrypt, if it may.
    pub(in crate::server) kernel: Option<Arc<Report>>,
    /// Where the secrets of connections are written, if somebody has asked for that.
    pub(in crate::server) key_log: Option<Arc<KeyLogFile>>,
    /// The kernel was asked.
    is_asked: bool,
}

impl Common {
    /// Opens the key log, and asks the kernel, if anything speaks TLS.
    pub(in crate::server) fn new(
        config: &Config,
        key_log: Option<&Path>,
    ) -> Result<Self, StartError> {
        let open = |path: &Path| -> Result<_, StartError> {
            let opened = KeyLogFile::open(path)
                .map_err(|source| StartError::KeyLog { path: path.to_owned(), source })?;
            tracing::warn!(
                path = %path.display(),
                "the secrets of all TLS connections are written: whoever reads this file can read \
                 what was sent"
            );
            Ok(Arc::new(opened))
        };
        let key_log = key_log.map(open).transpose()?;
        Ok(Self { key_log, ..Self::asked(config) })
    }

    /// Asks the kernel once something speaks TLS that did not before.
    pub(in crate::server) fn look_again(&mut self, config: &Config) {
        if self.kernel.is_none() && !self.is_asked {
            *self = Self { key_log: self.key_log.take(), ..Self::asked(config) };
        }
    }

    fn asked(config: &Config) -> Self {
        let with_tls = config.listeners.iter().any(|listener| listener.tls.is_some())
            || config.upstreams.iter().any(|upstream| upstream.tls.is_some());
        let kernel = if with_tls { Self::kernel(config) } else { None };
        Self { kernel, key_log: None, is_asked: with_tls }
    }

    fn kernel(config: &Config) -> Option<Arc<Report>> {
        if config.runtime.kernel_tls == KernelTls::Off {
            return None;
        }
        let report = kernel::probe(&mut Direct);
        if report.is_of_use() {
            tracing::info!("the kernel encrypts large files and bulk flows by TLS");
            let is_both = config.runtime.kernel_tls == KernelTls::Both;
            Some(Arc::new(if is_both { report.with_receive() } else { report }))
        } else {
            let why = report.verdict(Version::Tls13, Aead::Aes128Gcm);
            tracing::info!("kernel TLS is not available, TLS is encrypted in user space: {why}");
            None
        }
    }
}

/// What the connections of one listener share, and what it was made of.
#[derive(Debug, Clone)]
pub(in crate::server) struct MadeTls {
    /// Whose it is, such as `listener https`.
    pub(in crate::server) owner: String,
    alpn: Vec<Vec<u8>>,
    pub(in crate::server) options: Arc<TlsOptions>,
    pub(in crate::server) changing: Changing,
    /// It goes on from the plan before.
    pub(in crate::server) is_kept: bool,
}

impl MadeTls {
    /// Whether it is that of a listener.
    pub(in crate::server) fn is_of(&self, listener: &str) -> bool {
        self.changing.listener == listener
    }

    /// The same in the next plan, if it is made of the same.
    fn kept(before: Option<&Self>, tls: &ListenerTls, alpn: &[Vec<u8>]) -> Option<Self> {
        let before = before.filter(|one| one.changing.files == *tls && one.alpn == alpn)?;
        Some(Self { is_kept: true, ..before.clone() })
    }
}

/// What is watched of a listener that speaks TLS.
pub(in crate::server) const WATCHED: [&str; 3] = ["certificates", "ticket_keys", "client_ca"];

/// How a listener speaks TLS. `before` is that of the plan before.
pub(in crate::server) fn listener(
    listener: &Listener,
    common: &Common,
    before: Option<&MadeTls>,
    watched: &mut Vec<Watched>,
) -> Result<Option<MadeTls>, StartError> {
    let Some(tls) = &listener.tls else { return Ok(None) };
    let owner = format!("listener {}", listener.name);
    let wrong = |message: String| StartError::Tls { place: owner.clone(), message };
    let http = listener.service.http();
    let alpn = http.map_or_else(Vec::new, |http| http_protocols(http.http2.enabled));
    if let Some(kept) = MadeTls::kept(before, tls, &alpn) {
        return Ok(Some(kept));
    }
    make(&listener.name, owner.clone(), tls, (alpn, common), watched).map(Some).map_err(wrong)
}

/// How the admin interface speaks TLS. `before` is that of the plan before.
pub(in crate::server) fn admin(
    config: &Config,
    common: &Common,
    before: Option<&MadeTls>,
    watched: &mut Vec<Watched>,
) -> Result<Option<MadeTls>, StartError> {
    let Some(tls) = config.admin.tls.as_ref().filter(|_| config.admin.enabled) else {
        return Ok(None);
    };
    let wrong = |message: String| StartError::Tls { place: "admin".to_owned(), message };
    // Its few connections gain nothing by the kernel.
    let common = Common { kernel: None, ..common.clone() };
    let alpn = http_protocols(true);
    if let Some(kept) = MadeTls::kept(before, tls, &alpn) {
        return Ok(Some(kept));
    }
    let made = make("admin", "admin".to_owned(), tls, (alpn, &common), watched);
    made.map(Some).map_err(wrong)
}

/// What clients of HTTP may name (RFC 7301, section 6), the best first: 1.0 is answered as well.
fn http_protocols(has_http2: bool) -> Vec<Vec<u8>> {
    let names = has_http2.then_some("h2").into_iter().chain(["http/1.1", "http/1.0"]);
    names.map(|name| name.as_bytes().to_vec()).collect()
}

fn make(
    name: &str,
    owner: String,
    tls: &ListenerTls,
    (alpn, common): (Vec<Vec<u8>>, &Common),
    watched: &mut Vec<Watched>,
) -> Result<MadeTls, String> {
    let chains = tls.certificates.iter().flat_map(|one| {
        let read = [Some(&one.chain), Some(&one.key), one.ocsp.as_ref()].into_iter().flatten();
        read.map(PathBuf::as_path).filter(|path| *path != Path::new(config::SELF_SIGNED))
    });
    let chains = Files::look(chains);
    let keys = Files::look(tls.ticket_keys.iter().map(PathBuf::as_path));
    let clients = [&tls.client_ca, &tls.client_crl].into_iter().filter_map(Option::as_deref);
    let clients = Files::look(clients.filter(|_| tls.client_auth != config::ClientAuth::Off));
    let resolver = Arc::new(Resolver::new(certificates(tls)?));
    let tickets = if tls.ticket_keys.is_empty() {
        Tickets::random(tls.ticket_rotation).map_err(|error| error.to_string())?
    } else {
        Tickets::with(ticket_keys(&tls.ticket_keys)?, tls.ticket_rotation)
    };
    let files = tls.clone();
    let changing =
        Changing { listener: name.to_owned(), files, resolver, tickets: Arc::new(tickets) };
    let options = Arc::new(TlsOptions {
        config: Current::new(config_of(&changing, &alpn, common)?),
        resolver: Arc::clone(&changing.resolver),
        kernel: common.kernel.clone(),
        handshake_timeout: tls.handshake_timeout,
        handshake_max: tls.handshake_max as usize,
        handshakes_max: tls.handshakes_max as usize,
    });
    let own = changing.clone();
    watched.push(Watched::new(owner.clone(), "certificates", chains, move || {
        own.resolver.replace(certificates(&own.files)?);
        own.tell();
        Ok(())
    }));
    let own = changing.clone();
    watched.push(Watched::new(owner.clone(), "ticket_keys", keys, move || {
        own.tickets.replace(ticket_keys(&own.files.ticket_keys)?);
        Ok(())
    }));
    let (own, target, common) = (changing.clone(), Arc::clone(&options), common.clone());
    let names = alpn.clone();
    watched.push(Watched::new(owner.clone(), "client_ca", clients, move || {
        target.config.replace(config_of(&own, &names, &common)?);
        Ok(())
    }));
    Ok(MadeTls { owner, alpn, options, changing, is_kept: false })
}

/// What the connections of a listener share, with what its files say of clients now.
fn config_of(
    of: &Changing,
    alpn: &[Vec<u8>],
    common: &Common,
) -> Result<Arc<ServerConfig>, String> {
    let tls = &of.files;
    let roots = || -> Result<ClientRoots, String> {
        let ca = tls.client_ca.as_deref().map_or_else(|| Ok(Vec::new()), read)?;
        Ok(ClientRoots { ca, crl: tls.client_crl.as_deref().map(read).transpose()? })
    };
    let client_auth = match tls.client_auth {
        config::ClientAuth::Off => ClientAuth::Off,
        config::ClientAuth::Optional => ClientAuth::Optional(roots()?),
        config::ClientAuth::Required => ClientAuth::Required(roots()?),
    };
    server_config(ServerOptions {
        policy: policy(&tls.policy),
        alpn: alpn.to_vec(),
        client_auth,
        resolver: Arc::clone(&of.resolver),
        tickets: Arc::clone(&of.tickets),
        tickets_each: tls.tickets.map_or(0, |each| each as usize),
        extractable: common.kernel.is_some(),
        key_log: common.key_log.clone().map(|log| log as _),
    })
}

impl Changing {
    /// Warns of certificates that have expired, or will soon.
    pub(in crate::server) fn tell(&self) {
        for (files, not_after) in self.files.certificates.iter().zip(self.resolver.not_after()) {
            tell_expiry(&files.chain, not_after);
        }
    }
}

/// TLS to the servers of an upstream. `places` has for each address which server of the
/// configuration it is; `is_http` says whether it is HTTP that is spoken.
pub(in crate::server) fn upstream(
    upstream: &Upstream,
    places: &[usize],
    is_http: bool,
    common: &Common,
    watched: &mut Vec<Watched>,
) -> Result<Option<Arc<UpstreamTls>>, StartError> {
    let Some(tls) = &upstream.tls else { return Ok(None) };
    let owner = format!("upstream {}", upstream.name);
    let wrong = |message: String| StartError::Tls { place: owner.clone(), message };
    let mut names = Vec::with_capacity(places.len());
    for place in places {
        let server = &upstream.servers[*place];
        names.push(server_name(tls.server_name.as_deref(), server).map_err(wrong)?);
    }
    if !tls.verify && tls.pins.is_empty() {
        tracing::warn!(
            upstream = %upstream.name,
            "servers are not verified: anybody in between can read and change what is sent; set \
             `pins`, or `verify = true`"
        );
    }
    let identity = tls.identity.as_ref().map(|(chain, key)| [chain, key]);
    // Without verification, issuers are not used.
    let trusted = [&tls.ca, &tls.crl].into_iter().filter(|_| tls.verify);
    let read = trusted.flatten().chain(identity.into_iter().flatten());
    let files = Files::look(read.map(PathBuf::as_path));
    let alpn = if is_http { server_protocols(upstream.http.protocol) } else { Vec::new() };
    let config = client_config_of(tls, &alpn, common).map_err(wrong)?;
    let config = Current::new(config);
    let options = Arc::new(UpstreamTls { config, names, kernel: common.kernel.clone() });
    let (target, tls, common) = (Arc::clone(&options), tls.clone(), common.clone());
    watched.push(Watched::new(owner, "ca", files, move || {
        target.config.replace(client_config_of(&tls, &alpn, &common)?);
        Ok(())
    }));
    Ok(Some(options))
}

/// What servers of HTTP may choose from, the best first.
fn server_protocols(protocol: config::ServerProtocol) -> Vec<Vec<u8>> {
    let names: &[&str] = match protocol {
        config::ServerProtocol::Auto => &["h2", "http/1.1"],
        config::ServerProtocol::Http1 => &["http/1.1"],
        config::ServerProtocol::Http2 => &["h2"],
    };
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// What the connections to the servers of an upstream share, with what its files say now.
fn client_config_of(
    tls: &config::UpstreamTls,
    alpn: &[Vec<u8>],
    common: &Common,
) -> Result<Arc<ClientConfig>, String> {
    let roots = match &tls.ca {
        _ if !tls.verify => Roots::Nobody,
        Some(path) => Roots::Given(read(path)?),
        None => Roots::System,
    };
    let identity = match &tls.identity {
        Some((chain, key)) => Some((read(chain)?, read(key)?)),
        None => None,
    };
    client_config(ClientOptions {
        policy: policy(&tls.policy),
        alpn: alpn.to_vec(),
        roots,
        crl: tls.crl.as_deref().map(read).transpose()?,
        pins: tls.pins.clone(),
        identity,
        extractable: common.kernel.is_some(),
        key_log: common.key_log.clone().map(|log| log as _),
    })
}

/// The name that a server has to show.
fn server_name(given: Option<&str>, server: &ServerAddress) -> Result<ServerName<'static>, String> {
    let text = match (given, server) {
        (Some(name), _) => name.to_owned(),
        (None, ServerAddress::Name { host, .. }) => host.clone(),
        (None, ServerAddress::Ip(address)) => address.ip().to_string(),
        (None, ServerAddress::Unix(path)) => {
            return Err(format!(
                "the server {} has no name to be verified by: set `server_name`",
                path.display()
            ));
        }
    };
    ServerName::try_from(text.clone())
        .map_err(|_| format!("`server_name`: {text:?} is no host name and no IP address"))
}

/// Reads the certificates of a listener.
pub(in crate::server) fn certificates(tls: &ListenerTls) -> Result<Certificates, String> {
    let all = tls.certificates.iter().map(|files| Ok((certificate(files)?, Vec::new())));
    Ok(Certificates::new(all.collect::<Result<_, String>>()?, tls.strict_sni))
}

/// Reads one certificate.
pub(in crate::server) fn certificate(
    files: &config::CertificateFiles,
) -> Result<Certificate, String> {
    let (chain, key) = texts(files)?;
    let ocsp = files.ocsp.as_deref().map(read).transpose()?;
    Certificate::from_pem(&chain, &key, ocsp).map_err(|error| {
        format!(
            "the certificate {} with the key {} cannot be used: {error}",
            files.chain.display(),
            files.key.display()
        )
    })
}

/// The chain and the key of a certificate.
fn texts(files: &config::CertificateFiles) -> Result<(Vec<u8>, Vec<u8>), String> {
    let made = Path::new(config::SELF_SIGNED);
    match (files.chain == made, files.key == made) {
        (false, false) => Ok((read(&files.chain)?, read(&files.key)?)),
        (true, true) => {
            let signed = self_signed(issue::now()).map_err(|error| error.to_string())?;
            tracing::info!(
                "a certificate was made in memory, for localhost only: it is new with every start, \
                 and nobody trusts it; `ringway cert` makes one that you can trust"
            );
            Ok((signed.certificate.into_bytes(), signed.key.into_bytes()))
        }
        (true, false) | (false, true) => {
            Err("`certificate` and `key` are either both \"self_signed\" or both files".to_owned())
        }
    }
}

/// What there is to tell of a certificate's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Expiry {
    Past,
    /// Less than two weeks are left.
    Soon {
        days: i64,
    },
}

impl Expiry {
    /// `not_after` is in seconds since 1970-01-01 UTC.
    pub(in crate::server) fn of(not_after: i64) -> Option<Self> {
        const DAY: i64 = 86_400;
        const SOON: i64 = 14 * DAY;
        let now = i64::try_from(issue::now()).unwrap_or(i64::MAX);
        match not_after.saturating_sub(now) {
            ..=0 => Some(Self::Past),
            left @ 1..SOON => Some(Self::Soon { days: left / DAY }),
            SOON.. => None,
        }
    }
}

/// Warns of a certificate that has expired, or will soon.
fn tell_expiry(path: &Path, not_after: i64) {
    let path = path.display();
    match Expiry::of(not_after) {
        Some(Expiry::Past) => {
            tracing::error!(%path, "the certificate has expired: clients refuse it");
        }
        Some(Expiry::Soon { days }) => tracing::warn!(%path, days, "the certificate expires soon"),
        None => {}
    }
}

pub(in crate::server) fn ticket_keys(paths: &[PathBuf]) -> Result<Vec<TicketKey>, String> {
    let mut keys = Vec::with_capacity(paths.len());
    for path in paths {
        let found = TicketKey::all_from_file(&read(path)?);
        keys.extend(found.ok_or_else(|| {
            format!(
                "{} has no keys of tickets: it has not {} bytes for each; `openssl rand -out FILE \
                 {}` makes one",
                path.display(),
                TicketKey::FILE_LEN,
                TicketKey::FILE_LEN
            )
        })?);
    }
    Ok(keys)
}

pub(in crate::server) fn policy(policy: &config::TlsPolicy) -> Policy {
    Policy {
        min_version: policy.min_version,
        suites: policy.cipher_suites.clone(),
        groups: policy.groups.clone(),
    }
}

pub(in crate::server) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error| format!("reading {} failed: {error}", path.display());
    // A pipe would be waited for.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    std::fs::read(path).map_err(failed)
}
