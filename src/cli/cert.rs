//! `ringway cert`: an issuer of one's own and a server certificate, for a first try.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{fail, print};
use crate::server::issue::{Issued, KeyKind, Request, issue, now};

#[derive(Debug, Args)]
pub(super) struct CertArgs {
    /// Host names and IP addresses that the certificate is for
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Days that it is valid
    #[arg(long, default_value_t = 365)]
    days: u32,
    /// The kind of its key
    #[arg(long, value_enum, default_value_t = Kind::Ecdsa)]
    key: Kind,
    /// The folder that the files are written to
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// ECDSA on P-256
    Ecdsa,
    /// Ed25519, which browsers do not take
    Ed25519,
    /// RSA with 3072 bits
    Rsa,
}

/// Runs the verb.
pub(super) fn run(args: &CertArgs) -> ExitCode {
    let names: Vec<&str> = args.names.iter().map(String::as_str).collect();
    let key = match args.key {
        Kind::Ecdsa => KeyKind::EcdsaP256,
        Kind::Ed25519 => KeyKind::Ed25519,
        Kind::Rsa => KeyKind::Rsa,
    };
    let issued = match issue(&Request { names: &names, days: args.days, key, now: now() }) {
        Ok(issued) => issued,
        Err(error) => return fail(&error.to_string()),
    };
    match write(&args.out, &issued) {
        Ok(()) => print(told(&args.out, names[0]).as_bytes()),
        Err(message) => fail(&message),
    }
}

fn told(folder: &Path, name: &str) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    format!(
        "{} and {} are for [listener.tls]; clients trust {}:\n  curl --cacert {} https://{name}/\n\
         Keep {} to yourself: it can sign for any name.\n",
        file("server.pem"),
        file("server.key"),
        file("ca.pem"),
        file("ca.pem"),
        file("ca.key"),
    )
}

/// Writes the four files; none that is there is overwritten.
fn write(folder: &Path, issued: &Issued) -> Result<(), String> {
    let files = [
        ("ca.pem", &issued.ca, 0o644),
        ("ca.key", &issued.ca_key, 0o600),
        ("server.pem", &issued.certificate, 0o644),
        ("server.key", &issued.key, 0o600),
    ];
    let taken = files.iter().map(|(name, ..)| folder.join(name)).find(|path| path.exists());
    if let Some(path) = taken {
        return Err(format!("{} is there already: choose another folder by --out", path.display()));
    }
    for (name, text, mode) in files {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(mode).open(&path);
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| format!("writing {} failed: {error}", path.display()))?;
    }
    Ok(())
}
