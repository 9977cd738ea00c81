//! Records that we make.

use std::fmt;

use aws_lc_rs::aead::{Aad, Nonce};

use super::{HEAD, Kind, PAYLOAD_MAX, RecordError, RecordKey, TAG, WIRE_VERSION};
use crate::net::tls::keys::{KeySource, NONCE, TrafficKey};
use crate::proto::tls::Version;

/// Seals the records of one direction.
pub struct Sealer(RecordKey);

impl Sealer {
    /// Goes on where the key's records were left.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub fn new(key: &TrafficKey) -> Result<Self, RecordError> {
        RecordKey::new(key).map(Self)
    }

    /// How many records the key may still encrypt. TLS 1.3 then goes on with another
    /// ([`Sealer::update_key`]); TLS 1.2 has to end, so keep one for the end.
    #[must_use]
    pub const fn records_left(&self) -> u64 {
        self.0.aead.records_max().saturating_sub(self.0.sequence)
    }

    /// Appends bytes of the application in records of at most `max` bytes each, 16,384 at most.
    ///
    /// # Errors
    /// When the key is used up; what was appended stays.
    pub fn seal_data(
        &mut self,
        data: &[u8],
        max: usize,
        wire: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        data.chunks(max.clamp(1, PAYLOAD_MAX))
            .try_for_each(|payload| self.seal(Kind::Data, payload, wire))
    }

    /// Appends one record.
    ///
    /// # Errors
    /// When the key is used up, or the payload is longer than a record's may be.
    pub fn seal(
        &mut self,
        kind: Kind,
        payload: &[u8],
        wire: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        if payload.len() > PAYLOAD_MAX {
            return Err(RecordError::TooLong);
        }
        if self.records_left() == 0 {
            return Err(RecordError::KeyUsedUp);
        }
        let sequence = self.0.next_sequence()?;
        let nonce = self.0.nonce(sequence);
        let start = wire.len();
        let is_13 = self.0.version == Version::Tls13;
        let explicit = self.0.explicit_len();
        let len = explicit + payload.len() + usize::from(is_13) + TAG;
        let wire_len = u16::try_from(len).map_err(|_| RecordError::TooLong)?;
        wire.reserve(HEAD + len);
        wire.push(if is_13 { Kind::Data.number() } else { kind.number() });
        wire.extend_from_slice(&WIRE_VERSION);
        wire.extend_from_slice(&wire_len.to_be_bytes());
        wire.extend_from_slice(&nonce[NONCE - explicit..]);
        wire.extend_from_slice(payload);
        if is_13 {
            wire.push(kind.number());
        }
        let (head, body) = wire[start..].split_at_mut(HEAD + explicit);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = if is_13 {
            self.0.key.seal_in_place_separate_tag(nonce, Aad::from(&*head), body)
        } else {
            let aad = RecordKey::aad_12(sequence, kind.number(), payload.len());
            self.0.key.seal_in_place_separate_tag(nonce, Aad::from(aad), body)
        };
        let Ok(tag) = tag else {
            // Nothing may leave in clear text.
            wire.truncate(start);
            return Err(RecordError::Key);
        };
        wire.extend_from_slice(tag.as_ref());
        self.0.sequence += 1;
        Ok(())
    }

    /// Whether another key can follow this one.
    #[must_use]
    pub fn can_update(&self) -> bool {
        self.0.version == Version::Tls13
    }

    /// Appends an alert, the code of which is from RFC 8446, section 6: 0 says that nothing more
    /// comes.
    ///
    /// # Errors
    /// When the key is used up.
    pub fn alert(&mut self, code: u8, wire: &mut Vec<u8>) -> Result<(), RecordError> {
        self.seal(Kind::Alert, &alert(code), wire)
    }

    /// Appends the word that other keys follow, and takes the next one; with `request` the peer is
    /// to do so, too.
    ///
    /// # Errors
    /// In TLS 1.2, or when the key is used up; then nothing was appended.
    pub fn update_key(
        &mut self,
        source: &mut KeySource,
        request: bool,
        wire: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        if self.0.version == Version::Tls12 {
            return Err(RecordError::KeyUsedUp);
        }
        self.seal(Kind::Handshake, &key_update(request), wire)?;
        let key = source.next_transmit().map_err(RecordError::Rustls)?;
        self.0 = RecordKey::new(&key)?;
        Ok(())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("sequence", &self.0.sequence).finish_non_exhaustive()
    }
}

/// An alert's payload: warnings are the end and what need not end the connection, all else is
/// fatal.
pub(in crate::net::tls) const fn alert(code: u8) -> [u8; 2] {
    // `close_notify`, `user_canceled` and `no_renegotiation`.
    let is_warning = matches!(code, 0 | 90 | 100);
    [if is_warning { 1 } else { 2 }, code]
}

/// The message `KeyUpdate` (RFC 8446, section 4.6.3).
pub(in crate::net::tls) fn key_update(request: bool) -> [u8; 5] {
    [24, 0, 0, 1, u8::from(request)]
}
