//! Pins: which certificates or keys a server may have, by their SHA-256.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The SHA-256 of a certificate or of its public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pin {
    /// Of the whole certificate, in DER.
    Certificate([u8; 32]),
    /// Of the SubjectPublicKeyInfo: it stays when a certificate is renewed with the same key.
    Key([u8; 32]),
}

/// A text that is no pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinError;

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a pin is \"spki:\" or \"cert:\" and a SHA-256: 64 hexadecimal digits, with or without \
             colons, or 44 characters of base64",
        )
    }
}

impl std::error::Error for PinError {}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let (kind, digest) = text.split_once(':').ok_or(PinError)?;
        let digest = digest.strip_prefix("sha256/").unwrap_or(digest);
        let digest = parse_digest(digest).ok_or(PinError)?;
        match kind {
            "spki" => Ok(Self::Key(digest)),
            "cert" => Ok(Self::Certificate(digest)),
            _ => Err(PinError),
        }
    }
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    if text.len() == 44 {
        return STANDARD.decode(text).ok()?.try_into().ok();
    }
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    // The parser of numbers would take a sign.
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut digest = [0; 32];
    for (place, pair) in digest.iter_mut().zip(digits.chunks(2)) {
        *place = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(digest)
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(digest) => write!(f, "cert:{}", STANDARD.encode(digest)),
            Self::Key(digest) => write!(f, "spki:{}", STANDARD.encode(digest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_in_every_usual_form() {
        let digest: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7).unwrap_or(0));
        let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        let base64 = STANDARD.encode(digest);
        for text in [
            format!("spki:{}", hex.concat()),
            format!("spki:{}", hex.join(":")),
            format!("spki:{}", hex.concat().to_lowercase()),
            format!("spki:{base64}"),
            format!("spki:sha256/{base64}"),
        ] {
            assert_eq!(text.parse(), Ok(Pin::Key(digest)), "{text}");
        }
        assert_eq!(format!("cert:{base64}").parse(), Ok(Pin::Certificate(digest)));
        assert_eq!(Pin::Key(digest).to_string().parse(), Ok(Pin::Key(digest)));
        for text in [
            "",
            "spki:",
            "spki:00",
            &format!("spki:{}", "+f".repeat(32)),
            "md5:00",
            &base64,
            &format!("key:{base64}"),
        ] {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text}");
        }
    }
}
