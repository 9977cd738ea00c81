//! `ringway cert`: an issuer of one's own and a server certificate, for a first try.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{fail, print};
use crate::server::issue::{Issued, IssuerTexts, KeyKind, Request, issue, now};

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
    /// The folder that the files are written to; it is created if it is not there
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Sign with the ca.pem and ca.key of this folder, which an earlier `ringway cert` has made,
    /// instead of a new issuer
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,
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
pub(super) fn run(args: &CertArgs, program: &str) -> ExitCode {
    let names: Vec<&str> = args.names.iter().map(String::as_str).collect();
    let key = match args.key {
        Kind::Ecdsa => KeyKind::EcdsaP256,
        Kind::Ed25519 => KeyKind::Ed25519,
        Kind::Rsa => KeyKind::Rsa,
    };
    let made =
        make(args, &Request { names: &names, days: args.days, key, now: now(), issuer: None });
    match made {
        Ok(()) => print(told(args, names[0], program).as_bytes()),
        Err(message) => fail(&message),
    }
}

fn make(args: &CertArgs, request: &Request<'_>) -> Result<(), String> {
    let read = |folder: &Path, name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path)
            .map_err(|error| format!("reading {} failed: {error}", path.display()))
    };
    let issued = match &args.ca {
        None => issue(request),
        Some(folder) => {
            let (certificate, key) = (read(folder, "ca.pem")?, read(folder, "ca.key")?);
            let issuer = IssuerTexts { certificate: &certificate, key: &key };
            issue(&Request { issuer: Some(issuer), ..*request })
        }
    };
    write(args, &issued.map_err(|error| error.to_string())?)
}

fn told(args: &CertArgs, name: &str, program: &str) -> String {
    let issuer = args.ca.as_ref().unwrap_or(&args.out);
    let file = |folder: &Path, name: &str| folder.join(name).display().to_string();
    let mut text = format!(
        "{} and {} are for [listener.tls]; clients trust {2}:\n  \
         curl --cacert {2} https://{name}/\n",
        file(&args.out, "server.pem"),
        file(&args.out, "server.key"),
        file(issuer, "ca.pem"),
    );
    if args.ca.is_none() {
        text.push_str(&format!(
            "Keep {} to yourself: it can sign for any name. It signs another certificate by\n  \
             {program} cert NAME --ca {} --out OTHER\n",
            file(issuer, "ca.key"),
            issuer.display()
        ));
    }
    text
}

/// Writes the files; none that is there is overwritten.
fn write(args: &CertArgs, issued: &Issued) -> Result<(), String> {
    let folder = &args.out;
    let made = [("ca.pem", &issued.ca, 0o644), ("ca.key", &issued.ca_key, 0o600)];
    let server = [("server.pem", &issued.certificate, 0o644), ("server.key", &issued.key, 0o600)];
    let files = made.into_iter().filter(|_| args.ca.is_none()).chain(server);
    let taken = files.clone().map(|(name, ..)| folder.join(name)).find(|path| path.exists());
    if let Some(path) = taken {
        return Err(format!(
            "{} is there already: choose another folder by --out (and sign with an issuer that is \
             there already by --ca)",
            path.display()
        ));
    }
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("creating the folder {} failed: {error}", folder.display()))?;
    for (name, text, mode) in files {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(mode).open(&path);
        let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| format!("writing {} failed: {error}", path.display()))?;
    }
    Ok(())
}
