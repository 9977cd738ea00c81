//! Hashes of what clients choose, which nobody can aim.

use std::hash::{DefaultHasher, Hasher as _};
use std::net::IpAddr;

/// A hash with a secret: the seed is drawn at random when the process starts and shown to nobody.
/// So no client can find two values with one hash, to spend a stranger's tokens, or many values for
/// one chain of a table, to make it slow. (`SipHash`, which is made for that; within one process
/// only, as its values are not fixed.)
pub(super) fn of_bytes(bytes: &[u8], seed: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write(bytes);
    hasher.finish()
}

/// The same for where a request comes from: an IPv4 address, or the /64 of an IPv6 address.
#[must_use]
pub fn of_source(ip: IpAddr, seed: u64) -> u64 {
    match network(ip) {
        IpAddr::V4(ip) => of_bytes(&ip.octets(), seed),
        IpAddr::V6(ip) => of_bytes(&ip.octets(), seed),
    }
}

/// What counts as one source: an IPv4 address, or the /64 of an IPv6 address, as a host may take
/// any address of its network (RFC 8981).
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_differ_by_seed_and_by_every_byte() {
        let mut seen = std::collections::HashSet::new();
        for n in 0..10_000_u32 {
            assert!(seen.insert(of_bytes(&n.to_le_bytes(), 5)));
        }
        assert_ne!(of_bytes(b"a", 1), of_bytes(b"a", 2));
        assert_ne!(of_bytes(b"", 1), of_bytes(b"\0", 1));
        assert_eq!(of_bytes(b"a", 1), of_bytes(b"a", 1));
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_network_of_ipv6() {
        let table = [
            ("1.2.3.4", "1.2.3.4"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("2001:db8::ffff:2", "2001:db8::"),
            ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ];
        for (ip, source) in table {
            assert_eq!(network(ip.parse().unwrap()), source.parse::<IpAddr>().unwrap());
        }
        let [one, same] = ["::ffff:1.2.3.4", "1.2.3.4"].map(|ip| ip.parse().unwrap());
        assert_eq!(of_source(one, 3), of_source(same, 3));
    }
}
