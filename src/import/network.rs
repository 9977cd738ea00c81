//! Networks of access lists.

use std::fmt;
use std::net::IpAddr;

/// A network: its first address and the length of its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network {
    address: IpAddr,
    length: u8,
}

impl Network {
    /// Reads `192.0.2.1`, `10.0.0.0/8` or `fd00::/8`. Bits beyond the prefix are cleared, as nginx
    /// and HAProxy do.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most: u8 = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => most,
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse().ok().filter(|length| *length <= most)?
            }
            Some(mask) => mask_length(mask).filter(|_| most == 32)?,
        };
        Some(Self { address, length }.truncated(length))
    }

    fn truncated(self, length: u8) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::from((v4.to_bits() & mask).to_be_bytes())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::from((v6.to_bits() & mask).to_be_bytes())
            }
        };
        Self { address, length }
    }

    /// Whether two networks have an address in common.
    pub(super) fn overlaps(self, other: Self) -> bool {
        let length = self.length.min(other.length);
        self.truncated(length) == other.truncated(length)
    }
}

/// The length of a prefix that is written as a mask, as in `255.255.255.0`.
fn mask_length(mask: &str) -> Option<u8> {
    let bits = mask.parse::<std::net::Ipv4Addr>().ok()?.to_bits();
    let length = bits.leading_ones();
    u8::try_from(length).ok().filter(|_| bits.count_ones() == length)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        match self.length == most {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_compared() {
        let shown = |text: &str| Network::parse(text).map(|network| network.to_string());
        let table = [
            ("192.0.2.1", Some("192.0.2.1")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("10.1.2.3/255.255.0.0", Some("10.1.0.0/16")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("fd00::1/8", Some("fd00::/8")),
            ("::1", Some("::1")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/255.0.255.0", None),
            ("10.0.0.0/", None),
            ("host", None),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
        let overlap =
            |a, b| Network::parse(a).zip(Network::parse(b)).is_some_and(|(a, b)| a.overlaps(b));
        assert!(overlap("10.0.0.0/8", "10.2.0.0/16"));
        assert!(!overlap("10.0.0.0/8", "192.168.0.0/16"));
        assert!(!overlap("10.0.0.0/8", "::/0"));
    }
}
