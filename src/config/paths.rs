//! The files and folders that a configuration names.

use std::path::{Path, PathBuf};

use super::{AccessLogTarget, Action, Config, ListenerService, ListenerTls, SELF_SIGNED, Users};

impl Config {
    /// Takes all relative paths of files and folders from `folder`, which is that of the
    /// configuration file. Without a call of this, they are taken from the folder in which the
    /// process runs.
    pub fn resolve_paths(&mut self, folder: &Path) {
        self.each_path(&mut |path| {
            if path.is_relative() {
                *path = folder.join(&*path);
            }
        });
    }

    fn each_path(&mut self, visit: &mut dyn FnMut(&mut PathBuf)) {
        self.admin.token_file.iter_mut().for_each(&mut *visit);
        self.admin.tls.iter_mut().for_each(|tls| each_of_tls(tls, visit));
        for listener in &mut self.listeners {
            listener.tls.iter_mut().for_each(|tls| each_of_tls(tls, visit));
            match &mut listener.service {
                ListenerService::Frame { options, .. } => {
                    options.files.iter_mut().for_each(&mut *visit)
                }
                ListenerService::Http(http) => {
                    let target = http.access_log.as_mut().map(|log| &mut log.target);
                    if let Some(AccessLogTarget::File(path)) = target {
                        visit(path);
                    }
                    for route in &mut http.routes {
                        if let Action::Files(files) = &mut route.action {
                            visit(&mut files.root);
                        }
                        match route.auth.as_mut().map(|auth| &mut auth.users) {
                            Some(Users::File(path)) => visit(path),
                            Some(Users::Listed(users)) => {
                                let users = users.iter_mut();
                                users.filter_map(|(_, hash)| hash.file_mut()).for_each(&mut *visit);
                            }
                            None => {}
                        }
                        for edits in [&mut route.request_headers, &mut route.response_headers] {
                            let values = edits.set.iter_mut().chain(&mut edits.add);
                            values.filter_map(|(_, value)| value.file_mut()).for_each(&mut *visit);
                        }
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
        for tls in self.upstreams.iter_mut().filter_map(|upstream| upstream.tls.as_mut()) {
            tls.ca.iter_mut().chain(&mut tls.crl).for_each(&mut *visit);
            if let Some((chain, key)) = &mut tls.identity {
                visit(chain);
                visit(key);
            }
        }
    }
}

fn each_of_tls(tls: &mut ListenerTls, visit: &mut dyn FnMut(&mut PathBuf)) {
    let made = Path::new(SELF_SIGNED);
    for files in &mut tls.certificates {
        [&mut files.chain, &mut files.key]
            .into_iter()
            .filter(|path| path.as_path() != made)
            .chain(&mut files.ocsp)
            .for_each(&mut *visit);
    }
    let rest = tls.client_ca.iter_mut().chain(&mut tls.client_crl).chain(&mut tls.ticket_keys);
    rest.for_each(visit);
}
