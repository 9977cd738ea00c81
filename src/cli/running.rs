//! `ringway check --against-running`: what a configuration would change in the process that runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use super::connect::{get, tls::TlsArgs};
use super::{EXIT_DIFFERENT, fail, print};
use crate::config::{self, Admin, Config, Difference};

/// How long the running process may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of its configuration at most: as many as a file may have.
const LEN_MAX: usize = 256 << 20;

/// Compares `config`, read from `name`, with what runs at `url`, or else where the configuration
/// has its admin interface. Prints a line for each change.
pub(super) fn compare(name: &str, config: &Config, url: Option<&str>, tls: &TlsArgs) -> ExitCode {
    let url = match url.map_or_else(|| address_of(&config.admin), |url| Ok(complete(url))) {
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
    let text = get(url, tls, PATIENCE, LEN_MAX).map_err(|error| {
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

/// Where the configuration has the admin interface.
fn address_of(admin: &Admin) -> Result<String, String> {
    if !admin.enabled || admin.listen.port() == 0 {
        return Err("the configuration does not say where the running process can be asked: give \
                    its admin interface, as in --against-running http://127.0.0.1:9901"
            .to_owned());
    }
    // One that listens on all addresses is asked on loopback.
    let ip = match admin.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    Ok(complete(&format!("{scheme}://{}", SocketAddr::new(ip, admin.listen.port()))))
}

/// A URL with the path of the configuration; an address alone is asked by HTTP.
fn complete(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    match url.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
        true => url,
        false => format!("{url}/config"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_ask_is_found_out() {
        for (given, url) in [
            ("127.0.0.1:9901", "http://127.0.0.1:9901/config"),
            ("http://[::1]:9901/", "http://[::1]:9901/config"),
            ("https://a.example", "https://a.example/config"),
            ("http://a.example:80/proxied/config", "http://a.example:80/proxied/config"),
        ] {
            assert_eq!(complete(given), url);
        }
        let admin = |listen: &str| {
            address_of(&Admin { listen: listen.parse().unwrap(), ..Admin::default() })
        };
        assert_eq!(admin("0.0.0.0:1").unwrap(), "http://127.0.0.1:1/config");
        assert_eq!(admin("[::]:1").unwrap(), "http://[::1]:1/config");
        assert_eq!(admin("10.0.0.1:1").unwrap(), "http://10.0.0.1:1/config");
        assert!(admin("127.0.0.1:0").unwrap_err().contains("--against-running http://"));
        let off = Admin { enabled: false, ..Admin::default() };
        assert!(address_of(&off).is_err());
    }
}
