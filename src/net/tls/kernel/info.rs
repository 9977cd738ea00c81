//! Keys in the layouts that the kernel takes: `tls12_crypto_info_*` of `<linux/tls.h>`.
//!
//! | field | AES-128-GCM | AES-256-GCM | ChaCha20-Poly1305 |
//! |---|---|---|---|
//! | `info.version` (native order) | 0..2 | 0..2 | 0..2 |
//! | `info.cipher_type` (native order) | 2..4 | 2..4 | 2..4 |
//! | `iv` | 4..12 | 4..12 | 4..16 |
//! | `key` | 12..28 | 12..44 | 16..48 |
//! | `salt` | 28..32 | 44..48 | none |
//! | `rec_seq` (big endian) | 32..40 | 48..56 | 48..56 |

use std::ops::Range;

use zeroize::Zeroize;

use crate::net::tls::keys::{Aead, NONCE, TrafficKey};
use crate::proto::tls::Version;

/// Bytes of the longest structure.
const LEN_MAX: usize = 56;
/// Bytes of `info`.
const HEAD: usize = 4;
/// Bytes of `rec_seq`.
const SEQUENCE: usize = 8;
/// Bytes of AES-GCM's `salt` (RFC 5288, section 3).
const SALT: usize = 4;

/// One of the structures; it is overwritten when dropped.
pub(super) struct CryptoInfo {
    bytes: [u8; LEN_MAX],
    aead: Aead,
}

impl CryptoInfo {
    /// Room for the structure of a cipher.
    pub(super) const fn room(aead: Aead) -> Self {
        Self { bytes: [0; LEN_MAX], aead }
    }

    /// A key as the kernel takes it.
    pub(super) fn new(key: &TrafficKey) -> Self {
        let aead = key.aead();
        let (version, cipher): (u16, u16) = match (key.version(), aead) {
            (Version::Tls12, Aead::Aes128Gcm) => (0x0303, 51),
            (Version::Tls12, Aead::Aes256Gcm) => (0x0303, 52),
            (Version::Tls12, Aead::ChaCha20Poly1305) => (0x0303, 54),
            (Version::Tls13, Aead::Aes128Gcm) => (0x0304, 51),
            (Version::Tls13, Aead::Aes256Gcm) => (0x0304, 52),
            (Version::Tls13, Aead::ChaCha20Poly1305) => (0x0304, 54),
        };
        let mut iv = first_iv(key);
        let [iv_at, key_at, salt_at, sequence_at] = places(aead);
        let mut info = Self::room(aead);
        info.bytes[..2].copy_from_slice(&version.to_ne_bytes());
        info.bytes[2..HEAD].copy_from_slice(&cipher.to_ne_bytes());
        let (salt, rest) = iv.split_at(salt_at.len());
        info.bytes[iv_at].copy_from_slice(rest);
        info.bytes[salt_at].copy_from_slice(salt);
        info.bytes[key_at].copy_from_slice(key.key());
        info.bytes[sequence_at].copy_from_slice(&key.sequence().to_be_bytes());
        iv.zeroize();
        info
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..len(self.aead)]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..len(self.aead)]
    }

    /// The number of the next record.
    pub(super) fn sequence(&self) -> u64 {
        let [.., sequence_at] = places(self.aead);
        self.bytes[sequence_at].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl Drop for CryptoInfo {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// Where `iv`, `key`, `salt` and `rec_seq` stand.
fn places(aead: Aead) -> [Range<usize>; 4] {
    let salt = match aead {
        Aead::Aes128Gcm | Aead::Aes256Gcm => SALT,
        Aead::ChaCha20Poly1305 => 0,
    };
    let key_at = HEAD + NONCE - salt;
    let salt_at = key_at + aead.key_len();
    let sequence_at = salt_at + salt;
    [HEAD..key_at, key_at..salt_at, salt_at..sequence_at, sequence_at..sequence_at + SEQUENCE]
}

fn len(aead: Aead) -> usize {
    let [.., sequence_at] = places(aead);
    sequence_at.end
}

/// What the kernel's first nonce is made of.
///
/// In TLS 1.2 with AES-GCM, a part of the nonce stands in the record (RFC 5288, section 3). rustls
/// has made it as `iv ^ sequence`; the kernel takes `iv` as it is for its first record and counts
/// on from there. A nonce that is used twice gives the key away, so the kernel begins behind all
/// that rustls may have used: those lie in one aligned block of a power of two, and it gets the
/// next block.
fn first_iv(key: &TrafficKey) -> [u8; NONCE] {
    let mut iv = *key.iv();
    let counts = match (key.version(), key.aead()) {
        (Version::Tls12, Aead::Aes128Gcm | Aead::Aes256Gcm) => true,
        (Version::Tls12, Aead::ChaCha20Poly1305) | (Version::Tls13, _) => false,
    };
    if counts {
        let (_, explicit) = iv.split_at_mut(SALT);
        let number = explicit.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        // At most 2^24 records are sent with a key, so this is no more than that.
        let block = key.sequence().checked_next_power_of_two().unwrap_or(1 << 63);
        let first = (number & !(block - 1)).wrapping_add(block);
        explicit.copy_from_slice(&first.to_be_bytes());
    }
    iv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(version: Version, aead: Aead, sequence: u64) -> TrafficKey {
        let bytes: Vec<u8> = (0x40..).take(aead.key_len()).collect();
        let iv = [0xa0, 0xa1, 0xa2, 0xa3, 0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7];
        TrafficKey::new(version, aead, &bytes, iv, sequence).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Version and cipher in this machine's order.
    fn head(version: u16, cipher: u16) -> String {
        hex(&[version.to_ne_bytes(), cipher.to_ne_bytes()].concat())
    }

    #[test]
    fn layouts_are_those_of_the_header() {
        let key_128 = "404142434445464748494a4b4c4d4e4f";
        let key_256 = "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f";
        let (salt, iv, sequence) = ("a0a1a2a3", "b0b1b2b3b4b5b6b7", "0000000000010203");
        let cases = [
            (Aead::Aes128Gcm, 51, 40, format!("{iv}{key_128}{salt}{sequence}")),
            (Aead::Aes256Gcm, 52, 56, format!("{iv}{key_256}{salt}{sequence}")),
            (Aead::ChaCha20Poly1305, 54, 56, format!("{salt}{iv}{key_256}{sequence}")),
        ];
        for (aead, cipher, len, rest) in cases {
            let info = CryptoInfo::new(&key(Version::Tls13, aead, 0x0001_0203));
            assert_eq!(info.bytes().len(), len);
            assert_eq!(hex(info.bytes()), head(0x0304, cipher) + &rest, "{}", aead.name());
            assert_eq!(info.sequence(), 0x0001_0203);
        }
    }

    #[test]
    fn lengths_are_those_of_the_c_structures() {
        assert_eq!(len(Aead::Aes128Gcm), size_of::<libc::tls12_crypto_info_aes_gcm_128>());
        assert_eq!(len(Aead::Aes256Gcm), size_of::<libc::tls12_crypto_info_aes_gcm_256>());
        let chacha = size_of::<libc::tls12_crypto_info_chacha20_poly1305>();
        assert_eq!(len(Aead::ChaCha20Poly1305), chacha);
    }

    #[test]
    fn tls_12_begins_behind_the_nonces_that_were_used() {
        let salt = "a0a1a2a3";
        let cases = [
            (1, "b0b1b2b3b4b5b6b8"),
            (2, "b0b1b2b3b4b5b6b8"),
            (9, "b0b1b2b3b4b5b6c0"),
            (0x100, "b0b1b2b3b4b5b700"),
            (0x101, "b0b1b2b3b4b5b800"),
        ];
        for (sequence, iv) in cases {
            let key = key(Version::Tls12, Aead::Aes128Gcm, sequence);
            let info = CryptoInfo::new(&key);
            assert_eq!(hex(&info.bytes()[4..12]), iv, "after {sequence} records");
            assert_eq!(hex(&info.bytes()[28..32]), salt);
            let first = u64::from_be_bytes(info.bytes()[4..12].try_into().unwrap());
            let base = 0xb0b1_b2b3_b4b5_b6b7_u64;
            // The kernel counts up, so the distance tells in how many records it would come there.
            let nearest = (0..sequence).map(|used| (base ^ used).wrapping_sub(first)).min();
            assert!(nearest > Some(1 << 62), "after {sequence} records");
        }
    }

    #[test]
    fn other_ciphers_count_by_the_sequence() {
        for (version, aead) in [
            (Version::Tls12, Aead::ChaCha20Poly1305),
            (Version::Tls13, Aead::Aes128Gcm),
            (Version::Tls13, Aead::Aes256Gcm),
        ] {
            let key = key(version, aead, 9);
            assert_eq!(first_iv(&key), *key.iv());
        }
    }
}
