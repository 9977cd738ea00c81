//! The switches of TLS, and what is made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::Failure;
use crate::client::Tls;
use crate::client::tls_plan::{Blob, TlsPlan};
use crate::net::tls::KeyLogFile;
use crate::proto::tls::Pin;

/// How TLS is spoken, for the schemes that do.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS, for tls, messages+tls, frame+tls, https, grpcs and wss")]
pub(in crate::cli) struct TlsArgs {
    /// Trust the issuers in this file (PEM), and not those that the system trusts
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The name that the server has to show, instead of that of the URL
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Show this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// A SHA-256 sum that the server's key or certificate must have; may be given several times
    #[arg(long, value_name = "spki:HEX|cert:HEX")]
    pin: Vec<Pin>,
    /// Do not verify issuer and name; with --pin, the pins alone count
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// The lowest version of TLS [default: 1.2]
    #[arg(long, value_name = "VERSION")]
    tls_min: Option<Lowest>,
    /// Append the secrets of the connection to a file, as Wireshark reads them
    #[arg(long, value_name = "FILE")]
    tls_key_log: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lowest {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

impl TlsArgs {
    /// Whether any of them was given.
    pub(in crate::cli) fn is_given(&self) -> bool {
        let Self { ca, server_name, cert, key, pin, insecure, tls_min, tls_key_log } = self;
        let files = [ca, cert, key, tls_key_log].into_iter().any(Option::is_some);
        files || server_name.is_some() || !pin.is_empty() || *insecure || tls_min.is_some()
    }

    /// The same as data, for agents.
    pub(in crate::cli) fn plan_for_agents(&self) -> Result<TlsPlan, Failure> {
        if self.tls_key_log.is_some() {
            let text = "--tls-key-log is for loads of this machine, and agents run this one";
            return Err(Failure::Usage(text.to_owned()));
        }
        self.plan()
    }

    fn plan(&self) -> Result<TlsPlan, Failure> {
        let identity = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Some((Blob(read("--cert", cert)?), Blob(read("--key", key)?)))
            }
            (_, _) => None,
        };
        Ok(TlsPlan {
            ca: self.ca.as_deref().map(|path| read("--ca", path).map(Blob)).transpose()?,
            is_insecure: self.insecure,
            server_name: self.server_name.clone(),
            identity,
            pins: self.pin.iter().map(ToString::to_string).collect(),
            is_tls13: self.tls_min == Some(Lowest::Tls13),
        })
    }

    /// TLS as they say.
    pub(in crate::cli) fn tls(&self) -> Result<Tls, Failure> {
        if self.insecure && self.pin.is_empty() {
            eprint("the server is not verified: anybody in between can read and change all");
        }
        let plan = self.plan()?;
        let mut options = plan.options()?;
        if let Some(path) = &self.tls_key_log {
            options.key_log = Some(Arc::new(open(path)?));
        }
        Ok(plan.tls_with(options)?)
    }
}

/// Writes a line of this program to standard error.
pub(in crate::cli) fn eprint(text: &str) {
    crate::cli::warn(&format!("ringway: {text}\n"));
}

fn read(switch: &str, path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::Failed(format!("{switch} {}: {error}", path.display())))
}

fn open(path: &Path) -> Result<KeyLogFile, Failure> {
    KeyLogFile::open(path)
        .map_err(|error| Failure::Failed(format!("--tls-key-log {}: {error}", path.display())))
}
