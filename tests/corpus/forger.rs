//! Records that no honest peer sends, sealed with the right key.

use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{ConnectionTrafficSecrets, ContentType, ProtocolVersion, SupportedCipherSuite};

/// The sending end of a connection whose handshake is done.
pub(crate) struct Forger {
    encrypter: Box<dyn MessageEncrypter>,
    /// The number of the next record.
    sequence: u64,
}

impl Forger {
    /// Goes on where an honest end was left, with what that sends by.
    pub(crate) fn new(
        suite: SupportedCipherSuite,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Self {
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            panic!("keys of an unknown suite");
        };
        let encrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => {
                let shape = suite.aead_alg.key_block_shape();
                let (fixed, explicit) = iv.as_ref().split_at(shape.fixed_iv_len);
                suite.aead_alg.encrypter(key, fixed, explicit)
            }
        };
        let mut this = Self { encrypter, sequence: 0 };
        // A key wants its nonces in order, from the first one on.
        (0..sequence).for_each(|_| drop(this.record(23, &[])));
        this
    }

    /// A record of any type, with any payload.
    pub(crate) fn record(&mut self, kind: u8, payload: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage {
            typ: ContentType::from(kind),
            version: ProtocolVersion::TLSv1_2,
            payload: OutboundChunks::Single(payload),
        };
        let sealed = self.encrypter.encrypt(message, self.sequence).expect("a key with room");
        self.sequence += 1;
        sealed.encode()
    }
}
