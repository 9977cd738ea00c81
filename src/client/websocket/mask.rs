//! Masking keys: a new, unpredictable one for each frame (RFC 6455, section 5.3).

use aws_lc_rs::rand;

use crate::client::ClientError;

/// Random bytes that are asked for at a time: 256 keys.
const BLOCK: usize = 1024;

/// Keys of one connection.
pub(super) struct Masks {
    block: Box<[u8; BLOCK]>,
    at: usize,
}

impl Masks {
    /// Without any yet.
    pub(super) fn new() -> Self {
        Self { block: Box::new([0; BLOCK]), at: BLOCK }
    }

    /// The next key. It is not given out again.
    pub(super) fn next(&mut self) -> Result<[u8; 4], ClientError> {
        if self.at >= BLOCK {
            fill(&mut self.block[..])?;
            self.at = 0;
        }
        let key = [0, 1, 2, 3].map(|place| self.block[self.at + place]);
        self.at += key.len();
        Ok(key)
    }
}

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masks")
    }
}

/// Random bytes of the system.
pub(super) fn fill(bytes: &mut [u8]) -> Result<(), ClientError> {
    rand::fill(bytes).map_err(|_| ClientError::Request {
        reason: "the system gives no random bytes for masking keys".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_are_new_ones_beyond_a_block() {
        let mut masks = Masks::new();
        let keys: BTreeSet<_> = (0..1000).map(|_| masks.next().unwrap()).collect();
        // Of 2^32 keys, two of a thousand are the same once in 8600 runs.
        assert!(keys.len() >= 998, "{}", keys.len());
    }
}
