//! Listening sockets: one per worker and address, so that the kernel spreads connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr,
    bind as bind_socket, getsockname, listen, setsockopt, socket, sockopt,
};

use crate::ring::{SocketAddress, StreamOptions};

/// How often, and how long between, an address that is in use is tried again: a second in all.
const CLAIM_TRIES: u32 = 20;
const CLAIM_PAUSE: Duration = Duration::from_millis(50);

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// Options that accepted connections inherit.
    pub stream: StreamOptions,
    /// Connections that wait to be accepted, at most; the kernel's `net.core.somaxconn` caps it.
    pub backlog: u32,
    /// Permissions of a unix socket's file.
    pub unix_mode: u32,
}

/// An address could not be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindError {
    /// The address.
    pub address: SocketAddress,
    /// What the kernel said.
    pub source: Errno,
}

impl fmt::Display for BindError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel has too many error numbers")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, source } = self;
        write!(f, "listen on {address}: {}", source.desc().to_lowercase())?;
        let advice = match *source {
            Errno::EADDRINUSE => "another process has it (see it with `ss -ltnp`)",
            Errno::EACCES => {
                "ports below 1024 need CAP_NET_BIND_SERVICE, a unix socket a folder that may be \
                 written to"
            }
            Errno::EADDRNOTAVAIL => "no interface has this address (see them with `ip address`)",
            Errno::EMFILE | Errno::ENFILE => "raise the limit of open files (`ulimit -n`)",
            Errno::ENOENT => "the folder does not exist",
            _ => return Ok(()),
        };
        write!(f, ": {advice}")
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Listens on `address` with `count` sockets, one for each worker, and tells the address that they
/// have (a port 0 was chosen by the kernel). A unix socket is one, shared.
///
/// # Errors
/// The address, with what the kernel said of it.
pub fn bind(
    address: &SocketAddress,
    options: &ListenOptions,
    count: usize,
) -> Result<(Vec<OwnedFd>, SocketAddress), BindError> {
    bind_with(address, options, count, true)
}

/// The same beside sockets of this process that have a part of the address, or all of it, and will
/// be closed: it is not looked whether anybody has it.
///
/// # Errors
/// As [`bind`].
pub fn bind_beside(
    address: &SocketAddress,
    options: &ListenOptions,
    count: usize,
) -> Result<(Vec<OwnedFd>, SocketAddress), BindError> {
    bind_with(address, options, count, false)
}

fn bind_with(
    address: &SocketAddress,
    options: &ListenOptions,
    count: usize,
    is_claimed: bool,
) -> Result<(Vec<OwnedFd>, SocketAddress), BindError> {
    let failed = |source| BindError { address: *address, source };
    match (address.ip(), address.path()) {
        (Some(ip), _) => {
            if is_claimed && ip.port() != 0 {
                // SO_REUSEPORT would let a second server of the same user share the port in
                // silence.
                claim(|| open_inet(ip, options, false)).map_err(failed)?;
            }
            bind_inet(ip, options, count).map_err(failed)
        }
        (None, Some(path)) => {
            bind_unix(&path, options, count).map(|sockets| (sockets, *address)).map_err(failed)
        }
        (None, None) => Err(failed(Errno::EINVAL)),
    }
}

fn bind_inet(
    address: SocketAddr,
    options: &ListenOptions,
    count: usize,
) -> Result<(Vec<OwnedFd>, SocketAddress), Errno> {
    let mut bound = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = open_inet(bound, options, true)?;
        bound = local_address(&socket, address)?;
        sockets.push(socket);
    }
    // Only when all are bound: a connection must not meet a group that still changes.
    for socket in &sockets {
        listen(socket, backlog(options)?)?;
    }
    Ok((sockets, SocketAddress::inet(bound)))
}

/// Fails if anybody else has the address, which `open` tries without sharing it. A server that was
/// killed gives its sockets back a moment late, because its ring holds them until the kernel has
/// taken that down.
pub(super) fn claim(open: impl Fn() -> Result<OwnedFd, Errno>) -> Result<(), Errno> {
    retry(|| open().map(drop))
}

/// Tries until an address is not in use, for a while.
fn retry(claim: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    for _ in 0..CLAIM_TRIES {
        match claim() {
            Err(Errno::EADDRINUSE) => std::thread::park_timeout(CLAIM_PAUSE),
            Ok(()) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    claim()
}

fn open_inet(address: SocketAddr, options: &ListenOptions, shared: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = stream_socket(family)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if shared {
        setsockopt(&socket, sockopt::ReusePort, &true)?;
    }
    setsockopt(&socket, sockopt::TcpNoDelay, &options.stream.nodelay)?;
    if let Some(seconds) = options.stream.keepalive_seconds {
        setsockopt(&socket, sockopt::KeepAlive, &true)?;
        setsockopt(&socket, sockopt::TcpKeepIdle, &seconds)?;
    }
    set_buffers(&socket, &options.stream)?;
    match address {
        SocketAddr::V4(v4) => bind_socket(socket.as_raw_fd(), &SockaddrIn::from(v4))?,
        SocketAddr::V6(v6) => {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
            bind_socket(socket.as_raw_fd(), &SockaddrIn6::from(v6))?;
        }
    }
    Ok(socket)
}

fn bind_unix(path: &Path, options: &ListenOptions, count: usize) -> Result<Vec<OwnedFd>, Errno> {
    retry(|| remove_stale(path))?;
    let socket = stream_socket(AddressFamily::Unix)?;
    set_buffers(&socket, &options.stream)?;
    bind_socket(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    let mode = std::fs::Permissions::from_mode(options.unix_mode);
    std::fs::set_permissions(path, mode).map_err(|error| errno_of(&error))?;
    listen(&socket, backlog(options)?)?;
    let mut sockets = Vec::with_capacity(count);
    for _ in 1..count {
        sockets.push(socket.try_clone().map_err(|error| errno_of(&error))?);
    }
    sockets.push(socket);
    Ok(sockets)
}

/// Removes a socket file that nobody listens on any more.
fn remove_stale(path: &Path) -> Result<(), Errno> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(Errno::EADDRINUSE);
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| errno_of(&error))
        }
        Ok(_) | Err(_) => Err(Errno::EADDRINUSE),
    }
}

fn stream_socket(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(family, SockType::Stream, flags, None)
}

fn set_buffers(socket: &OwnedFd, options: &StreamOptions) -> Result<(), Errno> {
    if let Some(bytes) = options.receive_buffer {
        setsockopt(socket, sockopt::RcvBuf, &(bytes as usize))?;
    }
    if let Some(bytes) = options.send_buffer {
        setsockopt(socket, sockopt::SndBuf, &(bytes as usize))?;
    }
    Ok(())
}

fn backlog(options: &ListenOptions) -> Result<Backlog, Errno> {
    let most = libc::SOMAXCONN;
    Backlog::new(i32::try_from(options.backlog).unwrap_or(most).min(most))
}

pub(super) fn local_address(socket: &OwnedFd, asked: SocketAddr) -> Result<SocketAddr, Errno> {
    fn of<T: SockaddrLike>(socket: &OwnedFd) -> Result<T, Errno> {
        getsockname::<T>(socket.as_raw_fd())
    }
    Ok(match asked {
        SocketAddr::V4(_) => SocketAddr::V4(of::<SockaddrIn>(socket)?.into()),
        SocketAddr::V6(_) => SocketAddr::V6(of::<SockaddrIn6>(socket)?.into()),
    })
}

fn errno_of(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn options() -> ListenOptions {
        let stream = StreamOptions {
            nodelay: true,
            keepalive_seconds: Some(60),
            receive_buffer: Some(64 * 1024),
            send_buffer: Some(64 * 1024),
        };
        ListenOptions { stream, backlog: 1_000_000, unix_mode: 0o600 }
    }

    #[test]
    fn all_sockets_of_an_address_share_its_port() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let any = SocketAddress::inet(any.parse().unwrap());
            let (sockets, bound) = bind(&any, &options(), 3).unwrap();
            assert_eq!(sockets.len(), 3);
            assert_ne!(bound.ip().unwrap().port(), 0);
            TcpStream::connect(bound.ip().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_port_that_is_taken_is_refused_even_by_ourselves() {
        let any = SocketAddress::inet("127.0.0.1:0".parse().unwrap());
        let (_sockets, bound) = bind(&any, &options(), 1).unwrap();
        let error = bind(&bound, &options(), 1).unwrap_err();
        assert_eq!(error.source, Errno::EADDRINUSE);
        assert!(error.to_string().contains("another process has it"), "{error}");
        let elsewhere = SocketAddress::inet("203.0.113.1:9".parse().unwrap());
        let error = bind(&elsewhere, &options(), 1).unwrap_err();
        assert!(error.to_string().contains("no interface has this address"), "{error}");
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_live_one_is_not() {
        let folder = std::env::temp_dir().join(format!("ringway-listener-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let address = SocketAddress::unix(&path).unwrap();
        let (sockets, _) = bind(&address, &options(), 2).unwrap();
        assert_eq!(sockets.len(), 2);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(bind(&address, &options(), 1).unwrap_err().source, Errno::EADDRINUSE);
        drop(sockets);
        bind(&address, &options(), 1).unwrap();
        let file = SocketAddress::unix(&folder.join("file")).unwrap();
        std::fs::write(folder.join("file"), "kept").unwrap();
        assert_eq!(bind(&file, &options(), 1).unwrap_err().source, Errno::EADDRINUSE);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
