//! What a configuration names outside of itself: whether a start would find it as it needs it, all
//! at once and with the place of each key.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::net::ToSocketAddrs;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, eaccess};

use super::StartError;
use super::build;
use super::build::tls::{Common, certificate, read, ticket_keys};
use crate::config::{
    AccessLogTarget, Action, ClientAuth, Config, Finding, HttpOptions, ListenAddress, Listener,
    ListenerService, ListenerTls, Place, ServerAddress, Severity, Upstream, UpstreamTls, Users,
};
use crate::net::tls::Pin;

/// Names that are resolved at a time.
const RESOLVERS: usize = 16;

/// Looks at the folders, files and logs that a configuration names, and makes of certificates what
/// a start makes of them. Nothing is created.
#[must_use]
pub fn inspect(config: &Config) -> Vec<Finding> {
    let mut found = Inspector::default();
    for (index, listener) in config.listeners.iter().enumerate() {
        found.listener(Place::listener(index), listener);
    }
    if let Some(tls) = config.admin.tls.as_ref().filter(|_| config.admin.enabled) {
        let make = || build::tls::admin(config, &Common::default()).map(|_| ());
        found.tls(&Place::table("admin").key("tls"), tls, make);
    }
    for upstream in &config.upstreams {
        found.upstream(upstream);
    }
    found.0
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

#[derive(Default)]
struct Inspector(Vec<Finding>);

impl Inspector {
    fn error(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        let (message, help) = (message.into(), help.into());
        self.0.push(Finding { place, severity: Severity::Error, message, help });
    }

    fn listener(&mut self, place: Place, listener: &Listener) {
        for (at, address) in listener.listen.iter().enumerate() {
            if let ListenAddress::Unix(path) = address {
                self.socket(place.clone().key("listen").at(at), path);
            }
        }
        if let Some(tls) = &listener.tls {
            let make = || build::tls::listener(listener, &Common::default()).map(|_| ());
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
            let Some(auth) = &route.auth else { continue };
            let key = match &auth.users {
                Users::File(_) => "users_file",
                Users::Listed(_) => "users",
            };
            if let Err(StartError::Users { path, message, .. }) = build::http::users(listener, auth)
            {
                self.error(
                    place.key("auth").key(key),
                    format!("the users of {} cannot be used: {message}", path.display()),
                    "write a line of NAME:HASH for each user, as `htpasswd -B` does",
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
        let before = self.0.len();
        for (at, files) in tls.certificates.iter().enumerate() {
            let key = |name: &str| place.clone().key(name).at(at);
            let unreadable = self.0.len();
            if !files.is_self_signed() {
                self.file(key("certificate"), &files.chain);
                self.file(key("key"), &files.key);
            }
            if let Some(ocsp) = &files.ocsp {
                self.file(key("ocsp"), ocsp);
            }
            if self.0.len() == unreadable
                && let Err(message) = certificate(files)
            {
                self.error(key("certificate"), message, "see `openssl x509 -in FILE -text`");
            }
        }
        if tls.client_auth != ClientAuth::Off {
            self.optional(place, "client_ca", tls.client_ca.as_ref());
            self.optional(place, "client_crl", tls.client_crl.as_ref());
        }
        for (at, path) in tls.ticket_keys.iter().enumerate() {
            if let Err(message) = ticket_keys(std::slice::from_ref(path)) {
                let place = place.clone().key("ticket_keys").at(at);
                self.error(place, message, "make one with `openssl rand -out FILE 80`");
            }
        }
        self.rest_of_tls(before, place, &["client_ca", "client_crl"], make);
    }

    fn upstream(&mut self, upstream: &Upstream) {
        let Some(tls) = &upstream.tls else { return };
        let place = Place::upstream(&upstream.name).key("tls");
        let before = self.0.len();
        let UpstreamTls { ca, verify, pins, identity, crl, .. } = &**tls;
        self.optional(&place, "ca", ca.as_ref().filter(|_| *verify));
        self.optional(&place, "crl", crl.as_ref());
        if let Some((chain, key)) = identity {
            self.optional(&place, "certificate", Some(chain));
            self.optional(&place, "key", Some(key));
        }
        for (at, pin) in pins.iter().enumerate() {
            if let Err(error) = pin.parse::<Pin>() {
                let place = place.clone().key("pins").at(at);
                self.error(
                    place,
                    error.to_string(),
                    "`ringway doctor --tls` shows those of a server",
                );
            }
        }
        let places: Vec<usize> = (0..upstream.servers.len()).collect();
        let make =
            || build::tls::upstream(upstream, &places, false, &Common::default()).map(|_| ());
        self.rest_of_tls(before, &place, &["ca", "crl", "certificate"], make);
    }

    /// What can be said only of all files together, if each is good.
    fn rest_of_tls(
        &mut self,
        before: usize,
        place: &Place,
        keys: &[&str],
        make: impl FnOnce() -> Result<(), StartError>,
    ) {
        if self.0.len() > before {
            return;
        }
        let Err(error) = make() else { return };
        let message = match error {
            StartError::Tls { message, .. } => message,
            other => other.to_string(),
        };
        let own = ["cipher_suites", "groups", "server_name"].iter().chain(keys);
        let key = own.copied().find(|key| message.contains(&format!("`{key}`")));
        let place = key.map_or_else(|| place.clone(), |key| place.clone().key(key));
        self.error(place, message, "docs/tls.md says what each key takes");
    }

    fn optional(&mut self, place: &Place, key: &str, path: Option<&PathBuf>) {
        if let Some(path) = path {
            self.file(place.clone().key(key), path);
        }
    }

    fn file(&mut self, place: Place, path: &Path) {
        if let Err(message) = read(path) {
            let help = "name a file that the user of the server may read; a relative path is \
                        taken from the configuration's folder";
            self.error(place, message, help);
        }
    }
}

/// Whether a file can be appended to, or created to that end.
fn can_append(path: &Path) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.file_type().is_fifo() => Ok(eaccess(path, AccessFlags::W_OK)?),
        Ok(_) => {
            let mut options = OpenOptions::new();
            options.append(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map(|_| ())
        }
        Err(_absent) => can_create(path),
    }
}

fn can_create(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| *folder.as_os_str() != *OsStr::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    if !std::fs::metadata(folder)?.is_dir() {
        return Err(Errno::ENOTDIR.into());
    }
    Ok(eaccess(folder, AccessFlags::W_OK | AccessFlags::X_OK)?)
}
