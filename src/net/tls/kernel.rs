//! Kernel TLS: after the handshake the kernel encrypts what is sent, so that files go out by
//! `sendfile(2)`, and, where that is asked for, decrypts what is received, so that relays splice.
//!
//! Calling order: [`probe`] once at the start; for a connection of a combination that works,
//! [`KernelSender::enable`] when all that rustls has sealed is sent; then plain bytes are sent on
//! the socket, and [`KernelSender::alert`] with code 0 at the end. [`decrypt`] when what the socket
//! holds begins with a record; then plain bytes are received, and a record of another type than
//! data, which `recv(2)` answers by `EIO` and `splice(2)` by `EINVAL`, by [`control_record`].

mod info;
mod probe;

use nix::errno::Errno;

use self::info::CryptoInfo;
use super::keys::{Aead, KeySource, TrafficKey};
use super::records::{Kind, alert, key_update};
use crate::proto::tls::Version;
use crate::ring::{Fd, TlsCalls};

pub use self::probe::{Combination, Report, Verdict, probe};

/// Why the kernel does not go on with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KernelError {
    /// The kernel refused; nothing was changed but that the socket may know of TLS, which has no
    /// effect without a key. The connection goes on in user space.
    Refused(Errno),
    /// The socket takes nothing now; the call is to be repeated when it does.
    Full,
    /// The kernel cannot follow one key with another (before Linux 6.14), or TLS 1.2 cannot. The
    /// connection has to end with `close_notify` before the key is used up.
    NoKeyUpdate,
    /// The socket has failed, or the next key cannot be made. The connection is broken.
    Broken(Errno),
}

impl std::fmt::Display for KernelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "the kernel takes no TLS key: {}", errno.desc()),
            Self::Full => f.write_str("the socket takes nothing now"),
            Self::NoKeyUpdate => f.write_str("the kernel cannot follow one TLS key with another"),
            Self::Broken(errno) => write!(f, "the kernel's TLS has failed: {}", errno.desc()),
        }
    }
}

impl std::error::Error for KernelError {}

/// The sending end of a connection that the kernel encrypts.
#[derive(Debug)]
pub struct KernelSender {
    version: Version,
    aead: Aead,
    can_update: bool,
    /// `KeyUpdate` is sent, the kernel has the old key still.
    announced: bool,
}

impl KernelSender {
    /// Gives the kernel the key of what is sent. All that was sealed before must have been sent.
    ///
    /// # Errors
    /// [`KernelError::Refused`]: then the connection goes on in user space, with the same key.
    pub fn enable<S: TlsCalls + ?Sized>(
        calls: &mut S,
        socket: Fd,
        key: &TrafficKey,
        report: &Report,
    ) -> Result<Self, KernelError> {
        if key.sequence() >= key.aead().records_max() {
            return Err(KernelError::Refused(Errno::EOVERFLOW));
        }
        match calls.enable_tls(socket) {
            // An attempt before this one has come so far.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(KernelError::Refused(errno)),
        }
        let info = CryptoInfo::new(key);
        calls.set_tls_transmit(socket, info.bytes()).map_err(KernelError::Refused)?;
        let can_update = key.version() == Version::Tls13 && report.key_update() == Verdict::Works;
        Ok(Self { version: key.version(), aead: key.aead(), can_update, announced: false })
    }

    /// How many records the key may still encrypt, as the kernel counts them. Asked from time to
    /// time, such as every 16 MiB: each byte may have been a record of its own, but 2^24 of them in
    /// so few bytes would be our own doing.
    ///
    /// # Errors
    /// [`KernelError::Broken`] when the kernel does not tell.
    pub fn records_left<S: TlsCalls + ?Sized>(
        &self,
        calls: &mut S,
        socket: Fd,
    ) -> Result<u64, KernelError> {
        let mut info = CryptoInfo::room(self.aead);
        calls.tls_transmit(socket, info.bytes_mut()).map_err(KernelError::Broken)?;
        Ok(self.aead.records_max().saturating_sub(info.sequence()))
    }

    /// Sends an alert after all that was sent; code 0 says that nothing more comes (RFC 8446,
    /// section 6).
    ///
    /// # Errors
    /// [`KernelError::Full`] or [`KernelError::Broken`].
    pub fn alert<S: TlsCalls + ?Sized>(
        &mut self,
        calls: &mut S,
        socket: Fd,
        code: u8,
    ) -> Result<(), KernelError> {
        send(calls, socket, Kind::Alert, &alert(code))
    }

    /// Sends a `KeyUpdate` and goes on with the next key (RFC 8446, section 4.6.3); with `request`
    /// the peer is to do so, too. May be repeated after [`KernelError::Full`]; until it has
    /// succeeded nothing else must be sent.
    ///
    /// # Errors
    /// [`KernelError::NoKeyUpdate`] before anything is sent, else as said there.
    pub fn update_key<S: TlsCalls + ?Sized>(
        &mut self,
        calls: &mut S,
        socket: Fd,
        source: &mut KeySource,
        request: bool,
    ) -> Result<(), KernelError> {
        if !self.can_update || self.version == Version::Tls12 {
            return Err(KernelError::NoKeyUpdate);
        }
        if !self.announced {
            send(calls, socket, Kind::Handshake, &key_update(request))?;
            self.announced = true;
        }
        let key = source.next_transmit().map_err(|_| KernelError::Broken(Errno::EKEYREJECTED))?;
        let info = CryptoInfo::new(&key);
        calls.set_tls_transmit(socket, info.bytes()).map_err(KernelError::Broken)?;
        self.announced = false;
        Ok(())
    }
}

/// Gives the kernel the key of what is received, or the next one. Nobody receives meanwhile.
///
/// # Errors
/// [`KernelError::Refused`]: then nothing was changed.
pub fn decrypt<S: TlsCalls + ?Sized>(
    calls: &mut S,
    socket: Fd,
    key: &TrafficKey,
) -> Result<(), KernelError> {
    match calls.enable_tls(socket) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(KernelError::Refused(errno)),
    }
    let info = CryptoInfo::new(key);
    calls.set_tls_receive(socket, info.bytes()).map_err(KernelError::Refused)
}

/// What stands where a record of data was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A record of this type; so many bytes of its payload.
    Record(u8, usize),
    /// Data: so many bytes, perhaps none.
    Data(usize),
    /// Nothing yet.
    Nothing,
    /// The end of the stream.
    End,
}

/// Receives what comes next, where it is no data, or a record of data without bytes. `into` has
/// room for a record.
///
/// Nothing is peeked at: the kernel keeps what it has decrypted for a peek, in memory that is
/// charged to no socket, and a peer could send nothing but records without bytes.
///
/// # Errors
/// [`KernelError::Broken`]; with `EBADMSG` the record cannot be decrypted.
pub fn control_record<S: TlsCalls + ?Sized>(
    calls: &mut S,
    socket: Fd,
    into: &mut [u8],
) -> Result<Found, KernelError> {
    match calls.receive_tls_record(socket, into) {
        Ok((Some(kind), len)) if kind == Kind::Data.number() => Ok(Found::Data(len)),
        Ok((Some(kind), len)) => Ok(Found::Record(kind, len)),
        Ok((None, 0)) => Ok(Found::End),
        Ok((None, _)) => Err(KernelError::Broken(Errno::EPROTO)),
        Err(Errno::EAGAIN) => Ok(Found::Nothing),
        Err(errno) => Err(KernelError::Broken(errno)),
    }
}

/// One record of a few bytes, which goes whole or not at all.
fn send<S: TlsCalls + ?Sized>(
    calls: &mut S,
    socket: Fd,
    kind: Kind,
    payload: &[u8],
) -> Result<(), KernelError> {
    match calls.send_tls_record(socket, kind.number(), payload) {
        Ok(sent) if sent == payload.len() => Ok(()),
        Ok(_) => Err(KernelError::Broken(Errno::EIO)),
        Err(Errno::EAGAIN) => Err(KernelError::Full),
        Err(errno) => Err(KernelError::Broken(errno)),
    }
}

#[cfg(test)]
mod tests;
