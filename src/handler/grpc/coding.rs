//! How messages of gRPC are compressed, each by itself.

use std::io::{self, Read, Write};

use crate::service::grpc::Code;

/// A good ratio for the work.
const GZIP_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
/// The largest window of zstd that is decoded, as a power of two: 8 MiB, as RFC 8878, section
/// 3.1.1.1.2 asks decoders to support.
const ZSTD_WINDOW_MAX: u32 = 23;

/// A coding of messages, as `grpc-encoding` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageCoding {
    /// As they are.
    #[default]
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// A message could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum CodingError {
    /// It is longer than allowed.
    #[error("a message has more than {max} bytes when it is decompressed")]
    TooLarge {
        /// The most that is taken.
        max: usize,
    },
    /// It is not what it should be.
    #[error("a message is no {}: {source}", coding.name())]
    Invalid {
        /// What it should be.
        coding: MessageCoding,
        /// What is wrong.
        source: io::Error,
    },
    /// It says that it is compressed, and the call has no coding.
    #[error("a message is compressed, and grpc-encoding is identity")]
    Unexpected,
}

impl CodingError {
    /// The status that a call ends with.
    pub(crate) const fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Invalid { .. } | Self::Unexpected => Code::Internal,
        }
    }
}

impl MessageCoding {
    /// What we can decode, as `grpc-accept-encoding` tells it.
    pub const ACCEPTED: &str = "identity,gzip,zstd";

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of a name; `None` for one that we do not know.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Option<Self> {
        [Self::Identity, Self::Gzip, Self::Zstd]
            .into_iter()
            .find(|coding| coding.name().as_bytes() == name)
    }

    /// Whether a list such as `grpc-accept-encoding` names it.
    #[must_use]
    pub fn is_in(self, list: &[u8]) -> bool {
        list.split(|byte| *byte == b',').any(|name| name.trim_ascii() == self.name().as_bytes())
    }

    /// Compresses a message, and appends it.
    ///
    /// # Errors
    /// Of the compressor, when memory is short.
    pub fn compress(self, message: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Identity => out.extend_from_slice(message),
            Self::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                let mut coder = flate2::write::GzEncoder::new(out, level);
                coder.write_all(message)?;
                coder.finish()?;
            }
            Self::Zstd => {
                let mut coder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                coder.set_pledged_src_size(Some(message.len() as u64))?;
                coder.write_all(message)?;
                coder.finish()?;
            }
        }
        Ok(())
    }

    /// Decompresses a message, which may then have `max` bytes.
    ///
    /// # Errors
    /// What is wrong with it. No more than `max` bytes and a buffer are set aside for that.
    pub fn decompress(self, message: &[u8], max: usize) -> Result<Vec<u8>, CodingError> {
        let most = (max as u64).saturating_add(1);
        let mut out = Vec::new();
        let read = match self {
            Self::Identity => return Err(CodingError::Unexpected),
            Self::Gzip => flate2::read::GzDecoder::new(message).take(most).read_to_end(&mut out),
            Self::Zstd => {
                zstd::stream::read::Decoder::with_buffer(message).and_then(|mut coder| {
                    coder.window_log_max(ZSTD_WINDOW_MAX)?;
                    coder.take(most).read_to_end(&mut out)
                })
            }
        };
        read.map_err(|source| CodingError::Invalid { coding: self, source })?;
        if out.len() > max {
            return Err(CodingError::TooLarge { max });
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compressed_comes_back() {
        let message = b"a message, a message, a message".repeat(1000);
        for coding in [MessageCoding::Gzip, MessageCoding::Zstd] {
            let mut sent = vec![7];
            coding.compress(&message, &mut sent).unwrap();
            assert!(sent.len() < message.len() / 10, "{coding:?}");
            assert_eq!(coding.decompress(&sent[1..], message.len()).unwrap(), message);
            let refused = coding.decompress(&sent[1..], message.len() - 1);
            assert!(matches!(refused, Err(CodingError::TooLarge { .. })), "{coding:?}");
            let broken = coding.decompress(&sent[1..20], message.len());
            assert!(matches!(broken, Err(CodingError::Invalid { .. })), "{coding:?}");
            let mut empty = Vec::new();
            coding.compress(b"", &mut empty).unwrap();
            assert_eq!(coding.decompress(&empty, 0).unwrap(), b"");
        }
        let mut same = Vec::new();
        MessageCoding::Identity.compress(b"x", &mut same).unwrap();
        assert_eq!(same, b"x");
        let refused = MessageCoding::Identity.decompress(b"x", 9);
        assert!(matches!(refused, Err(CodingError::Unexpected)));
    }

    #[test]
    fn names_and_lists() {
        for coding in [MessageCoding::Identity, MessageCoding::Gzip, MessageCoding::Zstd] {
            assert_eq!(MessageCoding::of_name(coding.name().as_bytes()), Some(coding));
            assert!(coding.is_in(MessageCoding::ACCEPTED.as_bytes()));
        }
        assert_eq!(MessageCoding::of_name(b"snappy"), None);
        assert!(MessageCoding::Gzip.is_in(b"deflate, gzip"));
        assert!(!MessageCoding::Gzip.is_in(b"gzip2"));
    }
}
