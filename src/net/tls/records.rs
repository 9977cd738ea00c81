//! Records of a connection whose handshake rustls has done: opened in place, and sealed.
//!
//! [`Opener`] and [`Sealer`] know one direction's key. [`Receiver`] says what records mean: bytes
//! of the application, the end, new keys.

mod error;
mod receiver;
mod seal;

use std::fmt;
use std::ops::Range;

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};

use super::keys::{Aead, NONCE, TrafficKey};
use crate::proto::tls::Version;

pub use self::error::RecordError;
pub use self::receiver::{Event, Receiver, RecordRead};
pub use self::seal::Sealer;
pub(super) use self::seal::{alert, key_update};

/// Bytes of a record's head (RFC 8446, section 5.1).
const HEAD: usize = 5;
/// Most bytes of a record's payload (RFC 8446, section 5.1).
pub const PAYLOAD_MAX: usize = 16 * 1024;
/// What encryption may add to a payload (RFC 8446, section 5.2; RFC 5246, section 6.2.3).
const EXPANSION_MAX_13: usize = 256;
const EXPANSION_MAX_12: usize = 2048;
/// Bytes of an authentication tag, the same for all ciphers.
const TAG: usize = 16;
/// Bytes of a nonce that stand in a record (RFC 5288, section 3).
const EXPLICIT: usize = 8;
/// The version that stands in all records (RFC 8446, section 5.1).
const WIRE_VERSION: [u8; 2] = [3, 3];

/// What a record carries (RFC 8446, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A word about the connection.
    Alert,
    /// A message of the handshake.
    Handshake,
    /// Bytes of the application.
    Data,
}

impl Kind {
    /// The type's number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }

    const fn from_number(number: u8) -> Result<Self, RecordError> {
        match number {
            21 => Ok(Self::Alert),
            22 => Ok(Self::Handshake),
            23 => Ok(Self::Data),
            _ => Err(RecordError::Type(number)),
        }
    }
}

/// A record that was opened where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What it carries.
    pub kind: Kind,
    /// Where its payload lies, now in clear text.
    pub payload: Range<usize>,
    /// The record's bytes.
    pub len: usize,
}

/// A key that is ready for use, and what makes each record's nonce.
struct RecordKey {
    version: Version,
    aead: Aead,
    key: LessSafeKey,
    iv: [u8; NONCE],
    sequence: u64,
}

impl RecordKey {
    fn new(key: &TrafficKey) -> Result<Self, RecordError> {
        let algorithm = match key.aead() {
            Aead::Aes128Gcm => &AES_128_GCM,
            Aead::Aes256Gcm => &AES_256_GCM,
            Aead::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let unbound = UnboundKey::new(algorithm, key.key()).map_err(|_| RecordError::Key)?;
        Ok(Self {
            version: key.version(),
            aead: key.aead(),
            key: LessSafeKey::new(unbound),
            iv: *key.iv(),
            sequence: key.sequence(),
        })
    }

    /// The number of this record. The last one is never used, so that none comes twice.
    fn next_sequence(&self) -> Result<u64, RecordError> {
        if self.sequence == u64::MAX { Err(RecordError::Sequence) } else { Ok(self.sequence) }
    }

    /// A record's nonce where none stands in it (RFC 8446, section 5.3; RFC 7905, section 2), and
    /// what TLS 1.2 with AES-GCM puts into ours.
    fn nonce(&self, sequence: u64) -> [u8; NONCE] {
        let mut nonce = self.iv;
        let numbers = &mut nonce[NONCE - 8..];
        numbers.iter_mut().zip(sequence.to_be_bytes()).for_each(|(byte, mask)| *byte ^= mask);
        nonce
    }

    /// Bytes of a nonce that stand in a record.
    const fn explicit_len(&self) -> usize {
        match (self.version, self.aead) {
            (Version::Tls12, Aead::Aes128Gcm | Aead::Aes256Gcm) => EXPLICIT,
            (Version::Tls12, Aead::ChaCha20Poly1305) | (Version::Tls13, _) => 0,
        }
    }

    /// What is authenticated beside the payload of TLS 1.2 (RFC 5246, section 6.2.3.3).
    fn aad_12(sequence: u64, kind: u8, len: usize) -> [u8; 13] {
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&sequence.to_be_bytes());
        aad[8] = kind;
        aad[9..11].copy_from_slice(&WIRE_VERSION);
        aad[11..].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
        aad
    }
}

/// Opens the records of one direction.
pub struct Opener(RecordKey);

impl Opener {
    /// Goes on where the key's records were left.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn new(key: &TrafficKey) -> Result<Self, RecordError> {
        RecordKey::new(key).map(Self)
    }

    /// The number of the next record.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// The length of the record at the beginning; none when its head has not come.
    ///
    /// # Errors
    /// When no such record may come, which its first bytes tell.
    pub fn record_len(&self, bytes: &[u8]) -> Result<Option<usize>, RecordError> {
        let (expansion, min) = match self.0.version {
            Version::Tls13 => (EXPANSION_MAX_13, TAG + 1),
            Version::Tls12 => (EXPANSION_MAX_12, self.0.explicit_len() + TAG),
        };
        let Some(&kind) = bytes.first() else { return Ok(None) };
        let kind = Kind::from_number(kind)?;
        if self.0.version == Version::Tls13 && kind != Kind::Data {
            return Err(RecordError::Type(kind.number()));
        }
        let Some(&[_, major, minor, high, low]) = bytes.get(..HEAD) else { return Ok(None) };
        if [major, minor] != WIRE_VERSION {
            return Err(RecordError::Version);
        }
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len > PAYLOAD_MAX + expansion {
            return Err(RecordError::TooLong);
        }
        if len < min {
            return Err(RecordError::Decrypt);
        }
        Ok(Some(HEAD + len))
    }

    /// Opens the record at the beginning; none when it has not come whole, and then the bytes are
    /// as they were.
    ///
    /// # Errors
    /// When the record breaks a rule. The connection has to end, and the bytes are to be dropped.
    pub fn open(&mut self, bytes: &mut [u8]) -> Result<Option<Opened>, RecordError> {
        let Some(len) = self.record_len(bytes)? else { return Ok(None) };
        let Some(record) = bytes.get_mut(..len) else { return Ok(None) };
        let sequence = self.0.next_sequence()?;
        let (kind, payload) = match self.0.version {
            Version::Tls13 => self.open_13(record, sequence)?,
            Version::Tls12 => self.open_12(record, sequence)?,
        };
        self.0.sequence += 1;
        if payload.is_empty() && kind != Kind::Data {
            return Err(RecordError::Empty);
        }
        Ok(Some(Opened { kind, payload, len }))
    }

    fn open_13(
        &self,
        record: &mut [u8],
        sequence: u64,
    ) -> Result<(Kind, Range<usize>), RecordError> {
        let (head, body) = record.split_at_mut(HEAD);
        let nonce = Nonce::assume_unique_for_key(self.0.nonce(sequence));
        let text = self.0.key.open_in_place(nonce, Aad::from(&*head), body);
        let text = text.map_err(|_| RecordError::Decrypt)?;
        if text.len() > PAYLOAD_MAX + 1 {
            return Err(RecordError::TooLong);
        }
        // The type is the last byte that is not zero (RFC 8446, section 5.4).
        let last = text.iter().rposition(|&byte| byte != 0).ok_or(RecordError::Padding)?;
        Ok((Kind::from_number(text[last])?, HEAD..HEAD + last))
    }

    fn open_12(
        &self,
        record: &mut [u8],
        sequence: u64,
    ) -> Result<(Kind, Range<usize>), RecordError> {
        let kind = record[0];
        let start = HEAD + self.0.explicit_len();
        let mut nonce = self.0.nonce(sequence);
        let (head, body) = record.split_at_mut(start);
        if start > HEAD {
            nonce[NONCE - EXPLICIT..].copy_from_slice(&head[HEAD..]);
        }
        let len = body.len() - TAG;
        if len > PAYLOAD_MAX {
            return Err(RecordError::TooLong);
        }
        let aad = Aad::from(RecordKey::aad_12(sequence, kind, len));
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.key.open_in_place(nonce, aad, body).map_err(|_| RecordError::Decrypt)?;
        Ok((Kind::from_number(kind)?, start..start + len))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("sequence", &self.0.sequence).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
