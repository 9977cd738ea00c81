//! `ringway check`: all mistakes of a configuration file at once.

use std::path::Path;
use std::process::ExitCode;

use super::{CheckArgs, fail, print};
use crate::config::{self, Config};
use crate::server::{check_tls, explain};

/// Runs the verb.
pub(super) fn run(args: &CheckArgs) -> ExitCode {
    match read(&args.config) {
        Ok(config) if args.explain.is_some() => {
            let request = args.explain.as_deref().unwrap_or_default();
            let certificate = match args.client_certificate.as_deref().map(std::fs::read) {
                None => None,
                Some(Ok(text)) => Some(text),
                Some(Err(error)) => return fail(&format!("--client-certificate: {error}")),
            };
            match explain(&config, request, certificate.as_deref()) {
                Ok(text) => print(text.as_bytes()),
                Err(message) => fail(&message),
            }
        }
        Ok(config) if args.print => print(config.to_toml().as_bytes()),
        Ok(config) => {
            let listeners = config.listeners.len();
            let upstreams = config.upstreams.len();
            let name = args.config.display();
            print(
                format!("{name}: good ({listeners} listeners, {upstreams} upstreams)\n").as_bytes(),
            )
        }
        Err(message) => fail(&message),
    }
}

/// Reads and checks a configuration file. The error is for a person.
pub(super) fn read(path: &Path) -> Result<Config, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::InvalidData {
            format!("{name} is not UTF-8 text")
        } else {
            format!("reading {name} failed: {error}")
        }
    })?;
    let config = config::parse(&name, &text);
    let config = config.map_err(|report| format!("the configuration is wrong\n{report}"))?;
    check_tls(&config).map_err(|error| format!("{name}: {error}"))?;
    Ok(config)
}
