//! Addresses as a configuration file writes them. What is displayed is parsed back to the same
//! value.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::{ListenAddress, ServerAddress};

/// The longest path of a Unix socket, in bytes: `sun_path` is 108 long and ends with a zero.
const UNIX_PATH_MAX: usize = 107;
/// The longest host name, in bytes, and the longest part of one (RFC 1035 §2.3.4).
const HOST_MAX: usize = 253;
const LABEL_MAX: usize = 63;

const UNIX_PREFIX: &str = "unix:";

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// A host without a port.
    NoPort,
    /// A port that is no number from 0 to 65535.
    BadPort,
    /// Port 0, to which nobody can connect.
    PortZero,
    /// An IPv6 address without brackets.
    NoBrackets,
    /// A URL.
    Url,
    /// A name or nothing, where an IP address is needed.
    NotAnIp,
    /// What stands before the port is neither an IP address nor a host name.
    BadHost,
    /// A Unix socket without an absolute path.
    UnixRelative,
    /// A Unix socket whose path is too long, with its length in bytes.
    UnixTooLong(usize),
    /// A Unix socket with a zero byte in its path.
    UnixZero,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPort => f.write_str("add a port, as in 10.0.0.5:6379 or [::1]:6379"),
            Self::BadPort => f.write_str("a port is a number from 1 to 65535"),
            Self::PortZero => f.write_str("nobody can connect to port 0"),
            Self::NoBrackets => f.write_str("write an IPv6 address in brackets: [::1]:80"),
            Self::Url => f.write_str("leave out the scheme, as in example.net:80"),
            Self::NotAnIp => f.write_str(
                "a listener needs an IP address: 127.0.0.1:80, or 0.0.0.0:80 and [::]:80 for all",
            ),
            Self::BadHost => f.write_str(
                "a host is an IP address, or a name of letters, digits, `-`, `_` and `.`",
            ),
            Self::UnixRelative => f.write_str("give the whole path, as in unix:/run/ringway.sock"),
            Self::UnixTooLong(length) => write!(
                f,
                "the path has {length} bytes, and a Unix socket has room for {UNIX_PATH_MAX}"
            ),
            Self::UnixZero => f.write_str("a path has no zero byte"),
        }
    }
}

impl std::error::Error for AddressError {}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix(UNIX_PREFIX) {
            return unix_path(path).map(Self::Unix);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Ip(address));
        }
        host_and_port(text)?;
        Err(AddressError::NotAnIp)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
        }
    }
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix(UNIX_PREFIX) {
            return unix_path(path).map(Self::Unix);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(AddressError::PortZero),
                _ => Ok(Self::Ip(address)),
            };
        }
        let (host, port) = host_and_port(text)?;
        if port == 0 {
            return Err(AddressError::PortZero);
        }
        if !is_host_name(host) {
            return Err(AddressError::BadHost);
        }
        Ok(Self::Name { host: host.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX_PREFIX}{}", path.display()),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

fn unix_path(path: &str) -> Result<PathBuf, AddressError> {
    if !path.starts_with('/') {
        return Err(AddressError::UnixRelative);
    }
    if path.len() > UNIX_PATH_MAX {
        return Err(AddressError::UnixTooLong(path.len()));
    }
    if path.contains('\0') {
        return Err(AddressError::UnixZero);
    }
    Ok(PathBuf::from(path))
}

/// Splits what is no socket address at its last colon.
fn host_and_port(text: &str) -> Result<(&str, u16), AddressError> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Err(match ip {
            IpAddr::V6(_) if bare.len() == text.len() => AddressError::NoBrackets,
            IpAddr::V4(_) | IpAddr::V6(_) => AddressError::NoPort,
        });
    }
    if text.contains("://") {
        return Err(AddressError::Url);
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
    if host.contains(':') && !host.starts_with('[') {
        return Err(AddressError::NoBrackets);
    }
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::BadPort);
    }
    let port = port.parse().map_err(|_| AddressError::BadPort)?;
    Ok((host, port))
}

/// A name that a resolver can be asked for. Its last label is no number: `10.0.0.256` is an
/// address with a mistake, and no name.
fn is_host_name(host: &str) -> bool {
    let labels_hold = host.strip_suffix('.').unwrap_or(host).split('.').all(|label| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next();
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    labels_hold && host.len() <= HOST_MAX && !last.is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_displayed_as_they_are_written() {
        for text in ["127.0.0.1:80", "[::1]:80", "0.0.0.0:0", "[fe80::1%2]:80", "unix:/run/a b"] {
            let address: ListenAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        for text in ["10.0.0.5:6379", "[::1]:80", "unix:/a", "db-1.local:5432", "localhost:1"] {
            let address: ServerAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        let upper: ServerAddress = "LocalHost:80".parse().expect("a name");
        assert_eq!(upper.to_string(), "localhost:80");
    }

    #[test]
    fn a_listen_address_is_refused_with_its_reason() {
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_MAX));
        let table = [
            ("", AddressError::NoPort),
            ("127.0.0.1", AddressError::NoPort),
            ("[::1]", AddressError::NoPort),
            ("::1", AddressError::NoBrackets),
            ("fe80::zz:80", AddressError::NoBrackets),
            ("127.0.0.1:", AddressError::BadPort),
            ("127.0.0.1:65536", AddressError::BadPort),
            ("127.0.0.1:+80", AddressError::BadPort),
            ("127.0.0.1:http", AddressError::BadPort),
            ("localhost:80", AddressError::NotAnIp),
            ("*:80", AddressError::NotAnIp),
            (":80", AddressError::NotAnIp),
            ("256.0.0.1:80", AddressError::NotAnIp),
            ("unix:", AddressError::UnixRelative),
            ("unix:run/a", AddressError::UnixRelative),
            ("unix:/a\0b", AddressError::UnixZero),
            (&long, AddressError::UnixTooLong(UNIX_PATH_MAX + 1)),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<ListenAddress>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_server_address_is_refused_with_its_reason() {
        let long = format!("{}:80", "a.".repeat(130));
        let table = [
            ("127.0.0.1:0", AddressError::PortZero),
            ("localhost:0", AddressError::PortZero),
            ("localhost", AddressError::NoPort),
            (":80", AddressError::BadHost),
            ("a b:80", AddressError::BadHost),
            ("-a:80", AddressError::BadHost),
            ("a..b:80", AddressError::BadHost),
            ("10.0.0.256:80", AddressError::BadHost),
            ("http://a:80", AddressError::Url),
            ("[::g]:80", AddressError::BadHost),
            ("münchen:80", AddressError::BadHost),
            (&long, AddressError::BadHost),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<ServerAddress>(), Err(error), "{text}");
        }
    }
}
