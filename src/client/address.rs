//! What to connect to: targets as they are written, their addresses, and in which order.

use std::collections::VecDeque;
use std::fmt;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc;
use std::time::Duration;

use super::ClientError;
use super::error::Waiting;
use crate::ring::SocketAddress;

/// What stands before the path of a unix socket.
const UNIX: &str = "unix:";

/// Whom to connect to: `HOST:PORT`, `IP:PORT`, `[V6]:PORT` or `unix:/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Address(SocketAddress),
    Name { host: String, port: u16 },
}

/// A text that names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no target: {reason}")]
pub struct TargetError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Target {
    /// The target of one address.
    #[must_use]
    pub const fn address(address: SocketAddress) -> Self {
        Self { kind: Kind::Address(address) }
    }

    /// The name or the IP address that it is reached by; none of a unix socket.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        match &self.kind {
            Kind::Address(address) => address.ip().map(|address| address.ip().to_string()),
            Kind::Name { host, .. } => Some(host.clone()),
        }
    }

    /// Its addresses, in the order in which they are to be tried. Names are asked of the system's
    /// resolver, which may take no longer than `deadline`.
    ///
    /// # Errors
    /// When the name has no address, or that is not known in time.
    pub fn resolve(&self, deadline: Duration) -> Result<Vec<SocketAddress>, ClientError> {
        let (host, port) = match &self.kind {
            Kind::Address(address) => return Ok(vec![*address]),
            Kind::Name { host, port } => (host.clone(), *port),
        };
        let (sender, receiver) = mpsc::channel();
        let name = host.clone();
        // The resolver cannot be interrupted: a late result is dropped.
        std::thread::spawn(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            let _too_late = sender.send(found);
        });
        let failed = |reason: String| ClientError::Resolve { name: name.clone(), reason };
        match receiver.recv_timeout(deadline) {
            Ok(Ok(found)) if found.is_empty() => Err(failed("the name has no address".to_owned())),
            Ok(Ok(found)) => Ok(interleave(&found).into_iter().map(SocketAddress::inet).collect()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => {
                let peer = self.to_string();
                Err(ClientError::Deadline { op: Waiting::Connect, peer, after: deadline })
            }
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = |reason| TargetError { text: text.to_owned(), reason };
        if let Some(path) = text.strip_prefix(UNIX) {
            let address = SocketAddress::unix(&PathBuf::from(path));
            let address = address.ok_or_else(|| wrong("a path has 1 to 107 bytes"))?;
            return Ok(Self::address(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("the port is missing"))?;
        let port_number = port.parse().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit()));
        let port: u16 = port_number.ok_or_else(|| wrong("the port is a number below 65536"))?;
        if port == 0 {
            return Err(wrong("nobody listens on port 0"));
        }
        if let Ok(v4) = text.parse::<SocketAddrV4>() {
            return Ok(Self::address(SocketAddress::inet(v4.into())));
        }
        if host.starts_with('[') || host.contains(':') {
            let v6 = text.parse::<SocketAddrV6>();
            let v6 = v6.map_err(|_| wrong("an IPv6 address is written [::1]:PORT"))?;
            return Ok(Self::address(SocketAddress::inet(v6.into())));
        }
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || !host.chars().all(is_name) {
            return Err(wrong("the host is a name or an address"));
        }
        Ok(Self { kind: Kind::Name { host: host.to_owned(), port } })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Address(address) => address.fmt(f),
            Kind::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// The order of RFC 8305: families take turns, IPv6 first, each in the order of the resolver; no
/// address twice.
#[must_use]
pub fn interleave(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let (mut first, mut second): (VecDeque<SocketAddr>, VecDeque<SocketAddr>) =
        found.iter().copied().partition(SocketAddr::is_ipv6);
    let mut order = Vec::with_capacity(found.len());
    while let Some(next) = first.pop_front().or_else(|| second.pop_front()) {
        if !order.contains(&next) {
            order.push(next);
        }
        std::mem::swap(&mut first, &mut second);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_what_they_are_written_as() {
        for text in ["127.0.0.1:80", "[::1]:443", "[fe80::1%3]:1", "unix:/run/x", "a-b.c_d:65535"] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
        }
        let unix: Target = "unix:/run/x".parse().unwrap();
        assert_eq!(unix.resolve(Duration::ZERO).unwrap()[0].path(), Some("/run/x".into()));
        let v4: Target = "10.0.0.5:6379".parse().unwrap();
        let address = v4.resolve(Duration::ZERO).unwrap()[0];
        assert_eq!(address.ip(), Some("10.0.0.5:6379".parse().unwrap()));
    }

    #[test]
    fn what_is_no_target_says_why() {
        for (text, word) in [
            ("", "port is missing"),
            ("localhost", "port is missing"),
            ("localhost:", "below 65536"),
            ("localhost:http", "below 65536"),
            ("localhost:+80", "below 65536"),
            ("localhost:65536", "below 65536"),
            ("localhost:0", "port 0"),
            (":80", "name or an address"),
            ("a b:80", "name or an address"),
            ("user@host:80", "name or an address"),
            ("::1:80", "[::1]:PORT"),
            ("[::1:80", "[::1]:PORT"),
            ("[::g]:80", "[::1]:PORT"),
            ("unix:", "107 bytes"),
        ] {
            let error = text.parse::<Target>().unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
            assert!(error.to_string().starts_with(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn families_take_turns_and_ipv6_begins() {
        let parse = |text: &str| -> Vec<SocketAddr> {
            text.split_whitespace().map(|word| word.parse().unwrap()).collect()
        };
        for (found, expected) in [
            ("", ""),
            ("1.1.1.1:1 2.2.2.2:1", "1.1.1.1:1 2.2.2.2:1"),
            ("1.1.1.1:1 2.2.2.2:1 [::1]:1", "[::1]:1 1.1.1.1:1 2.2.2.2:1"),
            ("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1", "[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1"),
            ("1.1.1.1:1 1.1.1.1:1 [::1]:1 [::1]:1", "[::1]:1 1.1.1.1:1"),
        ] {
            assert_eq!(interleave(&parse(found)), parse(expected), "{found}");
        }
    }

    #[test]
    fn a_name_without_address_is_named() {
        let target: Target = "no-such-host.invalid:1".parse().unwrap();
        let error = target.resolve(Duration::from_secs(60)).unwrap_err();
        assert!(error.to_string().starts_with("resolve no-such-host.invalid: "), "{error}");
    }
}
