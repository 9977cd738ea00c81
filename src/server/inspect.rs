//! What a configuration names outside of itself: whether a start would find it as it needs it, all
//! at once and with the place of each key.

use std::net::ToSocketAddrs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::StartError;
use super::admin::token::Tokens;
use super::build;
use super::build::tls::{Common, Expiry, certificate, read, ticket_keys};
use crate::config::{
    AccessLogTarget, Action, CertificateFiles, ClientAuth, Config, Finding, HeaderEdits,
    HttpOptions, ListenAddress, Listener, ListenerService, ListenerTls, Place, ServerAddress,
    Severity, Upstream, UpstreamTls, Users, WebSocketService,
};
use crate::handler::{HttpHandlers, WebSocketHandlers};
use crate::net::tls::{check_issuers, check_revocations};

/// Names that are resolved at a time.
const RESOLVERS: usize = 16;

const X509_HELP: &str = "see `openssl x509 -in FILE -text`";

/// What was found outside of a configuration.
#[derive(Debug, Default)]
pub struct Inspection {
    /// What a start would refuse, and keys without effect.
    pub findings: Vec<Finding>,
    /// Certificates that have expired or soon will, of which a start warns itself.
    pub expiring: Vec<Finding>,
}

/// Checks the folders, files and logs that a configuration names, and loads its certificates as a
/// start does. Nothing is created. Routes may name these handlers, and those that are always there.
#[must_use]
pub fn inspect(config: &Config, http: &HttpHandlers, websocket: &WebSocketHandlers) -> Inspection {
    let handlers = (&http.clone().with_built_in(), websocket);
    let mut found = Inspection::default();
    for (index, listener) in config.listeners.iter().enumerate() {
        found.listener(Place::listener(index), listener);
        found.handlers(&Place::listener(index), listener, handlers);
    }
    if let Some(tls) = config.admin.tls.as_ref().filter(|_| config.admin.enabled) {
        let make =
            || build::tls::admin(config, &Common::default(), None, &mut Vec::new()).map(|_| ());
        found.tls(&Place::table("admin").key("tls"), tls, make);
    }
    if let Some(path) = config.admin.token_file.as_ref().filter(|_| config.admin.enabled)
        && let Err(message) = Tokens::read(path)
    {
        let message = format!("the tokens {} cannot be used: {message}", path.display());
        let help = "write a token a line, such as that of `openssl rand -hex 32`";
        found.error(Place::table("admin").key("token_file"), message, help);
    }
    for upstream in &config.upstreams {
        found.upstream(upstream);
    }
    found
}

/// Asks for the addresses of all servers that have names. What does not resolve here may where the
/// server will run: each is a warning.
#[must_use]
pub fn unresolved(config: &Config) -> Vec<Finding> {
    let servers = config.upstreams.iter().flat_map(|upstream| {
        let servers = upstream.servers.iter().enumerate();
        servers.filter_map(|(at, server)| match server {
            ServerAddress::Name { host, port } => Some((&upstream.name, at, host, *port)),
            ServerAddress::Ip(_) | ServerAddress::Unix(_) => None,
        })
    });
    let servers: Vec<_> = servers.collect();
    let share = servers.len().div_ceil(RESOLVERS).max(1);
    let resolve = |&(name, at, host, port): &(&String, usize, &String, u16)| {
        let error = (host.as_str(), port).to_socket_addrs().err()?;
        Some(Finding {
            place: Place::upstream(name).key("servers").at(at),
            severity: Severity::Warning,
            message: format!("the name `{host}` does not resolve here: {error}"),
            help: "a start where it does not resolve fails; check the name, and the resolver of \
                   the machine (`getent hosts NAME`)"
                .to_owned(),
        })
    };
    std::thread::scope(|scope| {
        let parts = servers.chunks(share);
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().filter_map(resolve).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    })
}

impl Inspection {
    fn warn(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let (message, help) = (message.into(), help.into());
        self.findings.push(Finding { place, severity: Severity::Warning, message, help });
    }

    fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let (message, help) = (message.into(), help.into());
        self.findings.push(Finding { place, severity: Severity::Error, message, help });
    }

    fn listener(&mut self, place: Place, listener: &Listener) {
        for (at, address) in listener.listen.iter().enumerate() {
            if let ListenAddress::Unix(path) = address {
                self.socket(place.clone().key("listen").at(at), path);
            }
        }
        if let Some(tls) = &listener.tls {
            let make = || {
                build::tls::listener(listener, &Common::default(), None, &mut Vec::new())
                    .map(|_| ())
            };
            self.tls(&place.clone().key("tls"), tls, make);
        }
        match &listener.service {
            ListenerService::Http(http) => self.http(&place, listener, http),
            ListenerService::Frame { options, .. } => {
                if let Some(folder) = &options.files {
                    self.folder(place.key("files"), folder);
                }
            }
            ListenerService::Tcp { .. }
            | ListenerService::Echo
            | ListenerService::Udp { .. }
            | ListenerService::UdpEcho { .. }
            | ListenerService::Messages { .. }
            | ListenerService::Sni { .. } => {}
        }
    }

    fn handlers(
        &mut self,
        place: &Place,
        listener: &Listener,
        (handlers, sockets): (&HttpHandlers, &WebSocketHandlers),
    ) {
        let routes = listener.service.http().map(|http| http.routes.iter());
        for (at, route) in routes.into_iter().flatten().enumerate() {
            if let Action::Handler(name) = &route.action
                && handlers.place(name).is_none()
            {
                let known: Vec<&str> = handlers.names().collect();
                let help = format!(
                    "name one that this program has: {}; others are added by programs that use \
                     Ringway as a library",
                    known.join(", ")
                );
                let place = place.clone().key("route").at(at).key("handler");
                self.error(place, format!("there is no handler `{name}`"), help);
            }
            let service = route.action.websocket().map(|options| &options.service);
            if let Some(WebSocketService::Handler(name)) = service
                && sockets.place(name).is_none()
            {
                let place = place.clone().key("route").at(at).key("websocket").key("handler");
                let known: Vec<&str> = sockets.names().collect();
                let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let help =
                    format!("programs that use Ringway as a library add them; this one has {has}");
                self.error(place, format!("there is no WebSocket handler `{name}`"), help);
            }
        }
    }

    fn http(&mut self, place: &Place, listener: &Listener, http: &HttpOptions) {
        let target = http.access_log.as_ref().map(|log| &log.target);
        if let Some(AccessLogTarget::File(path)) = target {
            let place = place.clone().key("access_log").key("path");
            if let Err(error) = can_append(path) {
                self.error(
                    place,
                    format!("the log {} cannot be written: {error}", path.display()),
                    "name a file in a folder that the user of the server may write to",
                );
            }
        }
        for (at, route) in http.routes.iter().enumerate() {
            let place = place.clone().key("route").at(at);
            if let Action::Files(files) = &route.action {
                self.folder(place.clone().key("files"), &files.root);
            }
            let edits = [&route.request_headers, &route.response_headers];
            for (key, edits) in ["request_headers", "response_headers"].into_iter().zip(edits) {
                self.secrets(&place.clone().key(key), edits);
            }
            let Some(auth) = &route.auth else { continue };
            let key = match &auth.users {
                Users::File(_) => "users_file",
                Users::Listed(_) => "users",
            };
            if let Err(message) = build::http::users(&auth.users) {
                let path = match &auth.users {
                    Users::File(path) => path.display().to_string(),
                    Users::Listed(_) => listener.name.clone(),
                };
                self.error(
                    place.key("auth").key(key),
                    format!("the users of {path} cannot be used: {message}"),
                    "write a line of NAME:HASH for each user, as `htpasswd -B` does",
                );
            }
        }
    }

    /// The files with values of header fields.
    fn secrets(&mut self, place: &Place, edits: &HeaderEdits) {
        for (kind, fields) in [("set", &edits.set), ("add", &edits.add)] {
            let files = fields.iter().filter_map(|(name, value)| Some((name, value.file()?)));
            for (name, path) in files {
                let Err(message) = build::http::secret(path) else { continue };
                self.error(
                    place.clone().key(kind).key(name),
                    format!("a secret cannot be used: {message}"),
                    "name a file that the user of the server may read, with the value alone",
                );
            }
        }
    }

    fn folder(&mut self, place: Place, path: &Path) {
        let Err(errno) = build::open_folder(path) else { return };
        let help = if errno == Errno::ENOTDIR {
            "name a folder, and not a file"
        } else if errno == Errno::ENOENT {
            "create it, or name another; a relative path is taken from the configuration's folder"
        } else {
            "let the user of the server read it, or name another"
        };
        let message = format!("the folder {} cannot be opened: {}", path.display(), errno.desc());
        self.error(place, message, help);
    }

    /// The socket file is created in its folder, in the place of one that is there.
    fn socket(&mut self, place: Place, path: &Path) {
        let is_other = std::fs::symlink_metadata(path).is_ok_and(|it| !it.file_type().is_socket());
        if is_other {
            let message = format!("{} is there already, and is no socket", path.display());
            self.error(place, message, "name another path, or remove that file");
        } else if let Err(error) = can_create(path) {
            let message = format!("the socket {} cannot be created: {error}", path.display());
            self.error(place, message, "name a folder that the user of the server may write to");
        }
    }

    fn tls(
        &mut self,
        place: &Place,
        tls: &ListenerTls,
        make: impl FnOnce() -> Result<(), StartError>,
    ) {
        let before = self.findings.len();
        for (at, files) in tls.certificates.iter().enumerate() {
            let key = |name: &str| place.clone().key(name).at(at);
            let unreadable = self.findings.len();
            if !files.is_self_signed() {
                self.file(key("certificate"), &files.chain);
                self.file(key("key"), &files.key);
            }
            if let Some(ocsp) = &files.ocsp {
                self.file(key("ocsp"), ocsp);
            }
            if self.findings.len() > unreadable {
                continue;
            }
            match certificate(files) {
                Ok(made) => {
                    self.expiry(key("certificate"), &files.chain, made.summary().not_after);
                }
                Err(message) => self.error(key("certificate"), message, X509_HELP),
            }
        }
        if tls.client_auth != ClientAuth::Off {
            self.text(place, "client_ca", tls.client_ca.as_ref(), check_issuers);
            self.text(place, "client_crl", tls.client_crl.as_ref(), check_revocations);
        }
        for (at, path) in tls.ticket_keys.iter().enumerate() {
            if let Err(message) = ticket_keys(std::slice::from_ref(path)) {
                let place = place.clone().key("ticket_keys").at(at);
                self.error(place, message, "make one with `openssl rand -out FILE 80`");
            }
        }
        self.rest_of_tls(before, place, make);
        let unused = [("client_ca", &tls.client_ca), ("client_crl", &tls.client_crl)];
        for (key, _) in unused.iter().filter(|(_, path)| path.is_some()) {
            if tls.client_auth == ClientAuth::Off {
                let message =
                    format!("`{key}` has no effect: no client is asked for a certificate");
                let help = "set `client_auth = \"required\"` or \"optional\", or remove the key";
                self.warn(place.clone().key(key), message, help);
            }
        }
    }

    /// A certificate that others refuse, or will soon.
    fn expiry(&mut self, place: Place, path: &Path, not_after: i64) {
        let Some(expiry) = Expiry::of(not_after) else { return };
        let path = path.display();
        let message = match expiry {
            Expiry::Past => format!("the certificate {path} has expired: clients refuse it"),
            Expiry::Soon { days } => format!("the certificate {path} expires in {days} days"),
        };
        let help = "renew it: the server reads it again when the file changes".to_owned();
        self.expiring.push(Finding { place, severity: Severity::Warning, message, help });
    }

    fn upstream(&mut self, upstream: &Upstream) {
        let Some(tls) = &upstream.tls else { return };
        let place = Place::upstream(&upstream.name).key("tls");
        let before = self.findings.len();
        let UpstreamTls { ca, verify, identity, crl, .. } = &**tls;
        self.text(&place, "ca", ca.as_ref().filter(|_| *verify), check_issuers);
        self.text(&place, "crl", crl.as_ref(), check_revocations);
        if let Some((chain, key)) = identity {
            self.identity(&place, chain, key);
        }
        let places: Vec<usize> = (0..upstream.servers.len()).collect();
        let make = || {
            build::tls::upstream(upstream, &places, false, &Common::default(), &mut Vec::new())
                .map(|_| ())
        };
        self.rest_of_tls(before, &place, make);
    }

    /// The certificate that is shown to servers.
    fn identity(&mut self, place: &Place, chain: &Path, key: &Path) {
        let [at_chain, at_key] = ["certificate", "key"].map(|key| place.clone().key(key));
        let unreadable = self.findings.len();
        self.file(at_chain.clone(), chain);
        self.file(at_key, key);
        if self.findings.len() > unreadable {
            return;
        }
        let files = CertificateFiles { chain: chain.to_owned(), key: key.to_owned(), ocsp: None };
        if let Err(message) = certificate(&files) {
            self.error(at_chain, message, X509_HELP);
        }
    }

    /// What can be said only of all files together, if each is good.
    fn rest_of_tls(
        &mut self,
        before: usize,
        place: &Place,
        make: impl FnOnce() -> Result<(), StartError>,
    ) {
        if self.findings.len() > before {
            return;
        }
        let Err(error) = make() else { return };
        let message =
            if let StartError::Tls { message, .. } = error { message } else { error.to_string() };
        let is_name = message.contains("`server_name`");
        let place = if is_name { place.clone().key("server_name") } else { place.clone() };
        self.error(place, message, "docs/tls.md says what each key takes");
    }

    /// A file, if one is named, whose text has to be of some kind.
    fn text(
        &mut self,
        place: &Place,
        key: &str,
        path: Option<&PathBuf>,
        check: fn(&[u8]) -> Result<(), String>,
    ) {
        let Some(path) = path else { return };
        let place = place.clone().key(key);
        let Some(text) = self.file(place.clone(), path) else { return };
        if let Err(message) = check(&text) {
            let message = format!("{} cannot be used: {message}", path.display());
            self.error(place, message, "it has to be PEM, with all that is meant in one file");
        }
    }

    fn file(&mut self, place: Place, path: &Path) -> Option<Vec<u8>> {
        match read(path) {
            Ok(text) => Some(text),
            Err(message) => {
                let help = "name a file that the user of the server may read; a relative path is \
                            taken from the configuration's folder";
                self.error(place, message, help);
                None
            }
        }
    }
}

/// Whether a file can be appended to, or created to that end.
fn can_append(path: &Path) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_fifo() => Ok(eaccess(path, AccessFlags::W_OK)?),
        Ok(_) => super::access_log::open(path).map(|_| ()),
        Err(_absent) => can_create(path),
    }
}

fn can_create(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    Ok(eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
}
