//! `listen`: addresses, and which servers are behind each.

use std::collections::HashMap;

use super::super::convert::{digits, shown};
use super::Import;
use super::parse::Directive;

/// One `listen`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listen {
    /// In Ringway's form.
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) is_default: bool,
    pub(super) proxy_protocol: bool,
    pub(super) udp: bool,
}

/// An address with the servers that listen on it, by their numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Address {
    pub(super) listen: Listen,
    pub(super) servers: Vec<usize>,
    /// The server for hosts that no other one has.
    pub(super) default: usize,
}

/// Reads a `listen`; what it has no address for is noted.
pub(super) fn listen(import: &mut Import<'_>, directive: &Directive) -> Option<Listen> {
    const NEEDLESS: &[&str] = &[
        "http2",
        "spdy",
        "reuseport",
        "deferred",
        "bind",
        "ipv6only",
        "so_keepalive",
        "backlog",
        "fastopen",
        "accept_filter",
        "rcvbuf",
        "sndbuf",
        "setfib",
        "multipath",
    ];
    let Some((address, port)) = address(directive.arg(0)) else {
        let why = format!("`{}` is no address that Ringway listens on", shown(directive.arg(0)));
        import.note(directive, why);
        return None;
    };
    let mut listen = Listen { address, port, ..Listen::default() };
    for parameter in directive.args.iter().skip(1) {
        let name = parameter.split('=').next().unwrap_or_default();
        match name {
            "ssl" => listen.tls = true,
            "default_server" | "default" => listen.is_default = true,
            "proxy_protocol" => listen.proxy_protocol = true,
            "udp" => listen.udp = true,
            "quic" => {
                import.note(directive, "there is no HTTP/3");
                return None;
            }
            _ if NEEDLESS.contains(&name) => {}
            _ => import.note(directive, format!("`{}` is not known here", shown(name))),
        }
    }
    Some(listen)
}

/// An address in Ringway's form, and its port.
fn address(text: &str) -> Option<(String, u16)> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (path.starts_with('/') && path.len() <= 107).then(|| (text.to_owned(), 0));
    }
    let number = |text: &str| digits(text).and_then(|port| u16::try_from(port).ok());
    if let Some(port) = number(text) {
        return Some((format!("0.0.0.0:{port}"), port));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, number(port)?),
        Some(_) | None => (text, 80),
    };
    let host = match host {
        "*" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        other => other,
    };
    let address: std::net::SocketAddr = format!("{host}:{port}").parse().ok()?;
    Some((address.to_string(), port))
}

/// The addresses of many servers, each with its servers in the order of the text.
pub(super) fn addresses(servers: &[Vec<Listen>]) -> Vec<Address> {
    let mut found: Vec<Address> = Vec::new();
    let mut places: HashMap<(String, bool), usize> = HashMap::new();
    for (number, listens) in servers.iter().enumerate() {
        for listen in listens {
            let next = found.len();
            let place = *places.entry((listen.address.clone(), listen.udp)).or_insert(next);
            if place == next {
                let listen = listen.clone();
                found.push(Address { listen, servers: Vec::new(), default: number });
            }
            let Some(address) = found.get_mut(place) else { continue };
            if address.servers.last() != Some(&number) {
                address.servers.push(number);
            }
            // TLS and the PROXY protocol are those of the address, whichever server says so.
            address.listen.tls |= listen.tls;
            address.listen.proxy_protocol |= listen.proxy_protocol;
            if listen.is_default {
                address.default = number;
            }
        }
    }
    found
}

/// Takes out single addresses of a port that another one includes: Ringway has no server that only
/// one of the addresses behind `0.0.0.0` has.
pub(super) fn without_overlaps(addresses: Vec<Address>) -> (Vec<Address>, Vec<Address>) {
    let family = |address: &str| address.starts_with('[');
    let key = |one: &Address| (one.listen.port, family(&one.listen.address), one.listen.udp);
    let is_all = |one: &Address| {
        one.listen.address.starts_with("0.0.0.0:") || one.listen.address.starts_with("[::]:")
    };
    let wide: std::collections::HashSet<_> =
        addresses.iter().filter(|one| is_all(one)).map(key).collect();
    addresses
        .into_iter()
        .partition(|one| is_all(one) || one.listen.port == 0 || !wide.contains(&key(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_ringway() {
        let table = [
            ("80", Some("0.0.0.0:80")),
            ("*:8080", Some("0.0.0.0:8080")),
            ("127.0.0.1", Some("127.0.0.1:80")),
            ("[::]:443", Some("[::]:443")),
            ("[::1]", Some("[::1]:80")),
            ("localhost:81", Some("127.0.0.1:81")),
            ("unix:/run/x.sock", Some("unix:/run/x.sock")),
            ("unix:x", None),
            ("example.com:80", None),
            ("70000", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(address(text).map(|(address, _)| address).as_deref(), expected, "{text}");
        }
    }
}
