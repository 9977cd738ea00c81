//! Whether the kernel encrypts, each combination shown by a real key on a real connection.

use std::fmt;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use super::info::CryptoInfo;
use crate::net::tls::keys::{Aead, TrafficKey};
use crate::proto::tls::Version;
use crate::ring::{Fd, TlsCalls};

/// What was found of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Works,
    /// No connection could be made to try it on.
    NotTried(Errno),
    /// The kernel has no TLS, or its module is not loaded and cannot be.
    NoTls(Errno),
    /// The kernel does not take such a key.
    KeyRefused(Errno),
    /// The kernel does not follow one key with another.
    UpdateRefused(Errno),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works => f.write_str("works"),
            Self::NotTried(errno) => {
                write!(f, "not tried, as loopback cannot be used: {}", errno.desc())
            }
            Self::NoTls(Errno::ENOENT) => f.write_str(
                "no TLS in the kernel: `modprobe tls` as root loads it, unless the kernel was \
                 built without CONFIG_TLS",
            ),
            Self::NoTls(Errno::ENOPROTOOPT) => {
                f.write_str("no TLS in the kernel, which is older than 4.13")
            }
            Self::NoTls(errno) => write!(f, "no TLS in the kernel: {}", errno.desc()),
            Self::KeyRefused(Errno::ENOENT) => f.write_str(
                "the kernel lacks the cipher: `modprobe gcm` or `modprobe chacha20poly1305` as \
                 root may load it",
            ),
            Self::KeyRefused(Errno::EINVAL) => {
                f.write_str("the kernel is too old for this cipher in this version of TLS")
            }
            Self::KeyRefused(errno) => write!(f, "the kernel refuses the key: {}", errno.desc()),
            Self::UpdateRefused(Errno::EBUSY) => f.write_str(
                "the kernel cannot change keys (it can since Linux 6.14): long connections are \
                 closed before their key is used up",
            ),
            Self::UpdateRefused(errno) => {
                write!(f, "the kernel refuses another key: {}", errno.desc())
            }
        }
    }
}

/// A cipher in a version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Combination {
    /// The version.
    pub version: Version,
    /// The cipher.
    pub aead: Aead,
    /// Whether the kernel encrypts it.
    pub verdict: Verdict,
    /// Whether the kernel decrypts it.
    pub receive: Verdict,
}

/// What the kernel can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    combinations: [Combination; 6],
    key_update: Verdict,
    /// The kernel is to decrypt, too.
    receives: bool,
}

impl Report {
    /// Every combination, those of TLS 1.3 first.
    #[must_use]
    pub const fn combinations(&self) -> &[Combination] {
        &self.combinations
    }

    /// Whether the kernel encrypts a combination.
    #[must_use]
    pub fn verdict(&self, version: Version, aead: Aead) -> Verdict {
        let is_meant = |row: &&Combination| row.version == version && row.aead == aead;
        let row = self.combinations.iter().find(is_meant);
        row.map_or(Verdict::NotTried(Errno::EINVAL), |row| row.verdict)
    }

    /// Whether the kernel encrypts any of them.
    #[must_use]
    pub fn is_of_use(&self) -> bool {
        self.combinations.iter().any(|row| row.verdict == Verdict::Works)
    }

    /// The same for connections of which the kernel is to decrypt, too, what it can.
    #[must_use]
    pub const fn with_receive(self) -> Self {
        Self { receives: true, ..self }
    }

    /// Whether the kernel is to decrypt a combination: it was asked to, can, and goes on when the
    /// peer changes its key, as that of TLS 1.3 may at any time. A kernel that does not (before
    /// Linux 6.14) may tell of a record in part as if it were whole, in any version of TLS.
    #[must_use]
    pub fn decrypts(&self, version: Version, aead: Aead) -> bool {
        let is_meant = |row: &&Combination| row.version == version && row.aead == aead;
        let row = self.combinations.iter().find(is_meant);
        let is_able = row.is_some_and(|row| row.receive == Verdict::Works);
        self.receives && is_able && self.key_update == Verdict::Works
    }

    /// Whether a key of TLS 1.3 can be followed by another.
    #[must_use]
    pub const fn key_update(&self) -> Verdict {
        self.key_update
    }
}

/// Tries every combination with keys of no meaning, on connections over loopback.
pub fn probe<S: TlsCalls + ?Sized>(calls: &mut S) -> Report {
    let combinations = [
        (Version::Tls13, Aead::Aes128Gcm),
        (Version::Tls13, Aead::Aes256Gcm),
        (Version::Tls13, Aead::ChaCha20Poly1305),
        (Version::Tls12, Aead::Aes128Gcm),
        (Version::Tls12, Aead::Aes256Gcm),
        (Version::Tls12, Aead::ChaCha20Poly1305),
    ]
    .map(|(version, aead)| {
        let receive = verdict(try_receive(calls, version, aead));
        let verdict = verdict(try_keys(calls, version, aead, 1));
        Combination { version, aead, verdict, receive }
    });
    let key_update = verdict(try_keys(calls, Version::Tls13, Aead::Aes128Gcm, 2));
    Report { combinations, key_update, receives: false }
}

const fn verdict(tried: Result<(), Verdict>) -> Verdict {
    match tried {
        Ok(()) => Verdict::Works,
        Err(verdict) => verdict,
    }
}

/// Gives a connection so many keys, one after the other.
fn try_keys<S: TlsCalls + ?Sized>(
    calls: &mut S,
    version: Version,
    aead: Aead,
    count: u8,
) -> Result<(), Verdict> {
    let (sender, _receiver) = connection().map_err(Verdict::NotTried)?;
    let socket = Fd(sender.as_raw_fd());
    calls.enable_tls(socket).map_err(Verdict::NoTls)?;
    for number in 1..=count {
        let key = meaningless(version, aead, number)?;
        let refused = if number == 1 { Verdict::KeyRefused } else { Verdict::UpdateRefused };
        calls.set_tls_transmit(socket, CryptoInfo::new(&key).bytes()).map_err(refused)?;
    }
    Ok(())
}

/// Gives a connection a key to decrypt with.
fn try_receive<S: TlsCalls + ?Sized>(
    calls: &mut S,
    version: Version,
    aead: Aead,
) -> Result<(), Verdict> {
    let (receiver, _sender) = connection().map_err(Verdict::NotTried)?;
    let socket = Fd(receiver.as_raw_fd());
    calls.enable_tls(socket).map_err(Verdict::NoTls)?;
    let key = meaningless(version, aead, 1)?;
    calls.set_tls_receive(socket, CryptoInfo::new(&key).bytes()).map_err(Verdict::KeyRefused)
}

fn meaningless(version: Version, aead: Aead, number: u8) -> Result<TrafficKey, Verdict> {
    let bytes = [number; 32];
    TrafficKey::new(version, aead, &bytes[..aead.key_len()], [number; 12], 0)
        .map_err(|_| Verdict::KeyRefused(Errno::EINVAL))
}

/// Both ends of a connection; the kernel encrypts on TCP only. An accept that waits cannot wait
/// for long, as the connect before it was done.
fn connection() -> Result<(TcpStream, TcpStream), Errno> {
    let failed = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let ours = TcpStream::connect(listener.local_addr().map_err(failed)?).map_err(failed)?;
    let (theirs, _) = listener.accept().map_err(failed)?;
    Ok((ours, theirs))
}
