//! The traffic keys of a connection whose handshake rustls has done, for whoever goes on.

use std::fmt;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, Error, ProtocolVersion};
use zeroize::Zeroize;

use crate::proto::tls::Version;

/// Bytes of the longest key.
const KEY_MAX: usize = 32;
/// Bytes of a nonce (RFC 8446, section 5.3).
pub(super) const NONCE: usize = 12;

/// What encrypts records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aead {
    /// AES-GCM with keys of 128 bits.
    Aes128Gcm,
    /// AES-GCM with keys of 256 bits.
    Aes256Gcm,
    /// `ChaCha20-Poly1305`.
    ChaCha20Poly1305,
}

impl Aead {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::ChaCha20Poly1305];

    /// A name for messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "AES-128-GCM",
            Self::Aes256Gcm => "AES-256-GCM",
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        }
    }

    /// Bytes of a key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// Most records that one key may encrypt (RFC 8446, section 5.5: 2^24.5 full records for
    /// AES-GCM; the next lower power of two).
    #[must_use]
    pub const fn records_max(self) -> u64 {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 1 << 24,
            Self::ChaCha20Poly1305 => u64::MAX,
        }
    }
}

/// The key of one direction, and the number of the next record. It is overwritten when dropped.
pub struct TrafficKey {
    version: Version,
    aead: Aead,
    key: [u8; KEY_MAX],
    iv: [u8; NONCE],
    sequence: u64,
}

/// Keys that nothing here can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownKey;

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("keys of an unknown cipher suite or version")
    }
}

impl std::error::Error for UnknownKey {}

impl TrafficKey {
    /// A key of bytes.
    ///
    /// # Errors
    /// When the key's length is not that of the cipher.
    pub fn new(
        version: Version,
        aead: Aead,
        key: &[u8],
        iv: [u8; NONCE],
        sequence: u64,
    ) -> Result<Self, UnknownKey> {
        if key.len() != aead.key_len() {
            return Err(UnknownKey);
        }
        let mut padded = [0; KEY_MAX];
        padded[..key.len()].copy_from_slice(key);
        let made = Self { version, aead, key: padded, iv, sequence };
        padded.zeroize();
        Ok(made)
    }

    /// One direction of what rustls has extracted, which is dropped and so overwritten.
    ///
    /// # Errors
    /// When the cipher suite or the version is none of ours.
    pub fn extracted(
        version: ProtocolVersion,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, UnknownKey> {
        let (aead, key, iv) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Aead::Aes128Gcm, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Aead::Aes256Gcm, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (Aead::ChaCha20Poly1305, key, iv)
            }
            _ => return Err(UnknownKey),
        };
        let version = if version == ProtocolVersion::TLSv1_3 {
            Version::Tls13
        } else if version == ProtocolVersion::TLSv1_2 {
            Version::Tls12
        } else {
            return Err(UnknownKey);
        };
        let iv = iv.as_ref().try_into().map_err(|_| UnknownKey)?;
        Self::new(version, aead, key.as_ref(), iv, sequence)
    }

    /// The same key, of which the next record has this number.
    #[must_use]
    pub const fn at(&self, sequence: u64) -> Self {
        let Self { version, aead, key, iv, .. } = *self;
        Self { version, aead, key, iv, sequence }
    }

    /// The version of TLS.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The cipher.
    #[must_use]
    pub const fn aead(&self) -> Aead {
        self.aead
    }

    /// The number of the next record.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key[..self.aead.key_len()]
    }

    pub(super) const fn iv(&self) -> &[u8; NONCE] {
        &self.iv
    }
}

impl Drop for TrafficKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl fmt::Debug for TrafficKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrafficKey")
            .field("version", &self.version)
            .field("aead", &self.aead)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// What rustls keeps of a connection that it has given away: the means to make the next keys.
pub enum KeySource {
    /// The server's end.
    Server(KernelConnection<ServerConnectionData>),
    /// The client's end.
    Client(KernelConnection<ClientConnectionData>),
}

impl KeySource {
    /// The version of TLS.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        match self {
            Self::Server(connection) => connection.protocol_version(),
            Self::Client(connection) => connection.protocol_version(),
        }
    }

    /// The next key of what we send (RFC 8446, section 7.2).
    ///
    /// # Errors
    /// In TLS 1.2, which has none.
    pub fn next_transmit(&mut self) -> Result<TrafficKey, Error> {
        let secrets = match self {
            Self::Server(connection) => connection.update_tx_secret(),
            Self::Client(connection) => connection.update_tx_secret(),
        }?;
        TrafficKey::extracted(self.version(), secrets).map_err(|_| Error::EncryptError)
    }

    /// The next key of what we receive (RFC 8446, section 7.2).
    ///
    /// # Errors
    /// In TLS 1.2, which has none.
    pub fn next_receive(&mut self) -> Result<TrafficKey, Error> {
        let secrets = match self {
            Self::Server(connection) => connection.update_rx_secret(),
            Self::Client(connection) => connection.update_rx_secret(),
        }?;
        TrafficKey::extracted(self.version(), secrets).map_err(|_| Error::DecryptError)
    }

    /// Keeps a session's ticket, which a server alone sends; false when a client has sent it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn take_ticket(&mut self, message: &[u8]) -> Result<bool, Error> {
        match self {
            Self::Server(_) => Ok(false),
            Self::Client(connection) => {
                connection.handle_new_session_ticket(message).map(|()| true)
            }
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySource").field("version", &self.version()).finish_non_exhaustive()
    }
}
