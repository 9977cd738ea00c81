//! Socket addresses in the form that the kernel takes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Room for the largest address we use: `sockaddr_un`, 110 bytes.
const ADDRESS_MAX: usize = 110;
const FAMILY_LEN: usize = 2;

/// A `sockaddr` of the families inet, inet6 or unix.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SocketAddress {
    bytes: [u8; ADDRESS_MAX],
    len: u8,
}

impl SocketAddress {
    /// The address of an IP endpoint.
    #[must_use]
    pub fn inet(address: SocketAddr) -> Self {
        let mut this = Self::family_only(match address {
            SocketAddr::V4(_) => libc::AF_INET,
            SocketAddr::V6(_) => libc::AF_INET6,
        });
        this.append(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                this.append(&v4.ip().octets());
                this.append(&[0; 8]);
            }
            SocketAddr::V6(v6) => {
                this.append(&v6.flowinfo().to_be_bytes());
                this.append(&v6.ip().octets());
                this.append(&v6.scope_id().to_ne_bytes());
            }
        }
        this
    }

    /// The address of a unix socket; `None` when the path is longer than 107 bytes or has a NUL.
    #[must_use]
    pub fn unix(path: &Path) -> Option<Self> {
        let path = path.as_os_str().as_bytes();
        if path.is_empty() || path.len() >= ADDRESS_MAX - FAMILY_LEN || path.contains(&0) {
            return None;
        }
        let mut this = Self::family_only(libc::AF_UNIX);
        this.append(path);
        this.append(&[0]);
        Some(this)
    }

    /// An address of which only the family is known, as of an unnamed unix socket.
    #[must_use]
    pub fn unnamed() -> Self {
        Self::family_only(libc::AF_UNIX)
    }

    /// The first `len` bytes of a `sockaddr`; `None` when that is no address of ours.
    #[must_use]
    pub fn from_bytes(raw: &[u8]) -> Option<Self> {
        let mut this = Self { bytes: [0; ADDRESS_MAX], len: u8::try_from(raw.len()).ok()? };
        this.bytes.get_mut(..raw.len())?.copy_from_slice(raw);
        matches!(this.family(), libc::AF_INET | libc::AF_INET6 | libc::AF_UNIX).then_some(this)
    }

    /// The bytes of the `sockaddr`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// `AF_INET`, `AF_INET6` or `AF_UNIX`.
    #[must_use]
    pub fn family(&self) -> i32 {
        i32::from(u16::from_ne_bytes([self.bytes[0], self.bytes[1]]))
    }

    /// The IP endpoint, of an inet or inet6 address.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes([self.bytes[2], self.bytes[3]]);
        match self.family() {
            libc::AF_INET => {
                let octets: [u8; 4] = self.bytes.get(4..8)?.try_into().ok()?;
                Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port))
            }
            libc::AF_INET6 => {
                let octets: [u8; 16] = self.bytes.get(8..24)?.try_into().ok()?;
                let scope = u32::from_ne_bytes(self.bytes.get(24..28)?.try_into().ok()?);
                let ip = Ipv6Addr::from(octets);
                Some(std::net::SocketAddrV6::new(ip, port, 0, scope).into())
            }
            _ => None,
        }
    }

    /// The path of a named unix address.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        let path = self.as_bytes().get(FAMILY_LEN..)?;
        let path = path.split(|&byte| byte == 0).next()?;
        let is_path = self.family() == libc::AF_UNIX && !path.is_empty();
        is_path.then(|| PathBuf::from(std::ffi::OsStr::from_bytes(path)))
    }

    fn family_only(family: i32) -> Self {
        let mut this = Self { bytes: [0; ADDRESS_MAX], len: 0 };
        let family = u16::try_from(family).unwrap_or(0);
        this.append(&family.to_ne_bytes());
        this
    }

    fn append(&mut self, part: &[u8]) {
        let from = usize::from(self.len);
        self.bytes[from..from + part.len()].copy_from_slice(part);
        self.len = u8::try_from(from + part.len()).expect("within ADDRESS_MAX");
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip(), self.path()) {
            (Some(ip), _) => ip.fmt(f),
            (None, Some(path)) => write!(f, "unix:{}", path.display()),
            (None, None) => f.write_str("unix:"),
        }
    }
}

impl fmt::Debug for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inet_addresses_have_the_kernel_s_layout() {
        let v4 = SocketAddress::inet("10.1.2.3:8080".parse().unwrap());
        assert_eq!(v4.as_bytes().len(), size_of::<libc::sockaddr_in>());
        assert_eq!(&v4.as_bytes()[2..8], [0x1f, 0x90, 10, 1, 2, 3]);
        let v6 = SocketAddress::inet("[fe80::1%3]:443".parse().unwrap());
        assert_eq!(v6.as_bytes().len(), size_of::<libc::sockaddr_in6>());
        for address in [v4, v6] {
            assert_eq!(SocketAddress::from_bytes(address.as_bytes()), Some(address));
            assert_eq!(SocketAddress::inet(address.ip().unwrap()), address);
            assert_eq!(address.path(), None);
        }
        assert_eq!(v4.to_string(), "10.1.2.3:8080");
        assert_eq!(format!("{v6:?}"), "[fe80::1%3]:443");
    }

    #[test]
    fn unix_paths_have_a_limit() {
        let fits = PathBuf::from("/".repeat(107));
        let unix = SocketAddress::unix(&fits).unwrap();
        assert_eq!(unix.path(), Some(fits));
        assert!(SocketAddress::unix(Path::new(&"/".repeat(108))).is_none());
        assert!(SocketAddress::unix(Path::new("")).is_none());
        assert!(SocketAddress::unix(Path::new("a\0b")).is_none());
        assert_eq!(SocketAddress::unix(Path::new("/run/x")).unwrap().to_string(), "unix:/run/x");
        assert_eq!(SocketAddress::unnamed().to_string(), "unix:");
        assert_eq!(SocketAddress::unnamed().path(), None);
    }

    #[test]
    fn other_bytes_are_no_address() {
        assert!(SocketAddress::from_bytes(&[]).is_none());
        assert!(SocketAddress::from_bytes(&[0xff, 0xff, 1, 2]).is_none());
        assert!(SocketAddress::from_bytes(&[0; 200]).is_none());
    }
}
