//! `ringway check --against-running`: what a configuration would change in the process that runs.

use std::process::ExitCode;
use std::time::Duration;

use super::admin::{address_of, complete};
use super::connect::{self, Failure, Request, http_url, tls::TlsArgs};
use super::{EXIT_DIFFERENT, fail, print};
use crate::config::{self, Config, Difference};
use crate::proto::http::Method;
use crate::proto::http::status::reason;

/// How long the running process may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of its configuration at most: as many as a file may have.
const LEN_MAX: usize = 256 << 20;
/// Where its admin interface has it.
const PATH: &str = "/config";

/// Compares `config`, read from `name`, with what runs at `url`, or else where the configuration
/// has its admin interface. Prints a line for each change.
pub(super) fn compare(name: &str, config: &Config, url: Option<&str>, tls: &TlsArgs) -> ExitCode {
    let of_file = || address_of(&config.admin, PATH, "--against-running");
    let url = match url.map_or_else(of_file, |url| Ok(complete(url, PATH))) {
        Ok(url) => url,
        Err(message) => return fail(&message),
    };
    let running = match fetch(&url, tls) {
        Ok(running) => running,
        Err(message) => return fail(&message),
    };
    let difference = Difference::between(&running, config);
    if difference.is_empty() {
        return print(format!("{name}: the same as what runs at {url}\n").as_bytes());
    }
    let printed = print(difference.to_string().as_bytes());
    if printed == ExitCode::SUCCESS { ExitCode::from(EXIT_DIFFERENT) } else { printed }
}

/// The configuration that holds in the running process.
fn fetch(url: &str, tls: &TlsArgs) -> Result<Config, String> {
    let text = get(url, tls).map_err(|failure| {
        let error = failure.message();
        format!(
            "the running process cannot be asked for its configuration: {error} (does it run, with \
             [admin] enabled? --against-running URL says where)"
        )
    })?;
    let text = String::from_utf8(text).map_err(|_| format!("{url}: the answer is not UTF-8"))?;
    config::parse(url, &text).map_err(|report| {
        format!(
            "{url}: the answer is no configuration that this version reads; is another version \
             running?\n{report}"
        )
    })
}

fn get(url: &str, tls: &TlsArgs) -> Result<Vec<u8>, Failure> {
    let request = Request { method: Method::Get, url: &http_url(url)?, token: None };
    let reply = connect::ask(&request, tls, PATIENCE, LEN_MAX)?;
    match reply.status {
        200 => Ok(reply.body),
        status => Err(Failure::Failed(format!("{url}: status {status} {}", reason(status)))),
    }
}
