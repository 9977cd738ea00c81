//! Where connections may go.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::SocketAddress;

/// Addresses that may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectTarget {
    /// All Unix sockets.
    Unix,
    /// The addresses of a network, at one port or at any.
    Network {
        /// The network, with no bits behind its prefix.
        network: IpNet,
        /// The port, not 0.
        port: Option<u16>,
    },
}

impl ConnectTarget {
    /// Whether an address is among them. One of version 4 that is written as one of version 6
    /// (`::ffff:192.0.2.1`) is among none: it is a way round what is said of either version.
    #[must_use]
    pub fn covers(&self, address: &SocketAddress) -> bool {
        match *self {
            Self::Unix => address.path().is_some(),
            Self::Network { network, port } => address.ip().is_some_and(|ip| {
                let is_plain = ip.ip().to_canonical() == ip.ip();
                let is_port = port.is_none_or(|port| port == ip.port());
                is_plain && is_port && network.contains(&ip.ip())
            }),
        }
    }
}

/// The word for Unix sockets.
const UNIX: &str = "unix";

impl fmt::Display for ConnectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str(UNIX),
            Self::Network { network, port: None } => network.fmt(f),
            Self::Network { network: network @ IpNet::V4(_), port: Some(port) } => {
                write!(f, "{network}:{port}")
            }
            Self::Network { network: network @ IpNet::V6(_), port: Some(port) } => {
                write!(f, "[{network}]:{port}")
            }
        }
    }
}

/// It does not say where connections may go; the text says what would.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotATarget(String);

impl FromStr for ConnectTarget {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        if text == UNIX {
            return Ok(Self::Unix);
        }
        let form = || {
            NotATarget(
                "write a network or an address, with a port if only that is meant: 10.0.0.0/8, \
                 192.0.2.1:443, fd00::/8, [fd00::1]:443; or unix"
                    .to_owned(),
            )
        };
        let (network, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (network, port) = rest.split_once("]:").ok_or_else(form)?;
                (network, Some(port))
            }
            // What has several colons is of version 6 and has no port.
            None => match text.split_once(':') {
                Some((network, port)) if !port.contains(':') => (network, Some(port)),
                Some(_) | None => (text, None),
            },
        };
        let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port != 0));
        let port = match port {
            Some(None) => return Err(NotATarget("a port is 1 to 65535".to_owned())),
            Some(Some(port)) => Some(port),
            None => None,
        };
        let address = network.parse::<IpAddr>().map(IpNet::from);
        let network = address.or_else(|_| network.parse::<IpNet>()).map_err(|_| form())?;
        let start = network.trunc();
        if start != network {
            let meant = Self::Network { network: start, port };
            let text = format!("bits beyond the prefix are set; did you mean \"{meant}\"?");
            return Err(NotATarget(text));
        }
        Ok(Self::Network { network, port })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn targets_are_written_as_they_are_read() {
        for text in
            ["unix", "10.0.0.0/8", "192.0.2.1/32:443", "fd00::/8", "[fd00::1/128]:443", "0.0.0.0/0"]
        {
            let target: ConnectTarget = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
        }
        for (text, full) in [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.1:80", "192.0.2.1/32:80"),
            ("::1", "::1/128"),
            ("[::1]:80", "[::1/128]:80"),
        ] {
            assert_eq!(text.parse::<ConnectTarget>().unwrap().to_string(), full);
        }
        for (text, why) in [
            ("", "write a network"),
            ("example.com", "write a network"),
            ("10.0.0.0/33", "write a network"),
            ("[::1]", "write a network"),
            ("10.1.0.0/8", "did you mean \"10.0.0.0/8\"?"),
            ("10.1.0.0/8:80", "did you mean \"10.0.0.0/8:80\"?"),
            ("10.0.0.1:0", "a port is"),
            ("10.0.0.1:http", "a port is"),
        ] {
            let error = text.parse::<ConnectTarget>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_target_covers_its_network_at_its_port() {
        let covers = |target: &str, address: &str| {
            let address = match address.strip_prefix("unix:") {
                Some(path) => SocketAddress::unix(Path::new(path)).unwrap(),
                None => SocketAddress::inet(address.parse().unwrap()),
            };
            target.parse::<ConnectTarget>().unwrap().covers(&address)
        };
        assert!(covers("10.0.0.0/8", "10.255.0.1:80") && !covers("10.0.0.0/8", "11.0.0.1:80"));
        assert!(covers("10.0.0.1:80", "10.0.0.1:80") && !covers("10.0.0.1:80", "10.0.0.1:81"));
        assert!(covers("fd00::/8", "[fd01::1]:80") && !covers("fd00::/8", "[::1]:80"));
        assert!(covers("unix", "unix:/run/x") && !covers("unix", "127.0.0.1:80"));
        assert!(
            !covers("::/0", "[::ffff:8.8.8.8]:80") && !covers("8.0.0.0/8", "[::ffff:8.8.8.8]:80")
        );
        assert!(!covers("0.0.0.0/0", "[::1]:80") && !covers("0.0.0.0/0", "unix:/run/x"));
    }
}
