//! Who may ask: lists of networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Networks that are let in, and those that are not. A network that is denied is not let in,
/// whatever else is; with a list of those that are, nobody else is.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    allow: Option<NetworkSet>,
    deny: NetworkSet,
}

/// A set of networks. An IPv4 address that IPv6 has mapped (RFC 4291, section 2.5.5.2) is one
/// of IPv4, as a socket of both kinds shows it so; `::/0` is all of IPv6 and nothing of IPv4.
#[derive(Debug, Clone, Default)]
pub struct NetworkSet {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// Ranges of numbers that do not overlap, sorted: one is found in as many steps as its place has
/// bits, however many networks there are.
#[derive(Debug, Clone, Default)]
struct Ranges<N>(Vec<(N, N)>);

/// Bits of a mapped address that say that it is one.
const MAPPED_BITS: u8 = 96;

impl AccessList {
    /// With `allow` empty, all are let in that are not denied.
    #[must_use]
    pub fn new(allow: &[IpNet], deny: &[IpNet]) -> Self {
        let allow = (!allow.is_empty()).then(|| NetworkSet::new(allow));
        Self { allow, deny: NetworkSet::new(deny) }
    }

    /// Whether everybody is let in.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }

    /// Whether this address is let in.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        if self.is_open() {
            return true;
        }
        !self.deny.contains(ip) && self.allow.as_ref().is_none_or(|allow| allow.contains(ip))
    }
}

impl NetworkSet {
    /// The set of these.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match (network.network(), network.broadcast()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.into(), last.into())),
                (IpAddr::V6(first), IpAddr::V6(last)) => match mapped(network, first, last) {
                    Some((first, last)) => v4.push((first.into(), last.into())),
                    None => v6.push((first.into(), last.into())),
                },
                // Both ends of a network are of its kind.
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
            }
        }
        Self {
            v4: Ranges::new(v4, |last| last.checked_add(1)),
            v6: Ranges::new(v6, |last| last.checked_add(1)),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }

    /// Whether an address is in one of them.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.contains(ip.into()),
            IpAddr::V6(ip) => self.v6.contains(ip.into()),
        }
    }
}

/// The network of IPv4 that a network of IPv6 maps, if it does nothing else.
fn mapped(network: &IpNet, first: Ipv6Addr, last: Ipv6Addr) -> Option<(Ipv4Addr, Ipv4Addr)> {
    if network.prefix_len() < MAPPED_BITS {
        return None;
    }
    Some((first.to_ipv4_mapped()?, last.to_ipv4_mapped()?))
}

impl<N: Ord + Copy> Ranges<N> {
    /// Puts ranges in order; those that touch become one. `next` is the number behind one.
    fn new(mut all: Vec<(N, N)>, next: impl Fn(N) -> Option<N>) -> Self {
        all.sort_unstable();
        let mut merged: Vec<(N, N)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match merged.last_mut() {
                Some((_, end)) if next(*end).is_none_or(|next| first <= next) => {
                    *end = last.max(*end);
                }
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    fn contains(&self, number: N) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= number);
        let before = behind.checked_sub(1).and_then(|at| self.0.get(at));
        before.is_some_and(|(_, last)| number <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn denied_networks_stay_out_and_a_list_of_allowed_ones_keeps_all_others_out() {
        let table = [
            (&[][..], &[][..], "1.2.3.4", true),
            (&[], &["10.0.0.0/8"], "10.1.1.1", false),
            (&[], &["10.0.0.0/8"], "11.1.1.1", true),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.1.1", false),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.2.1.1", true),
            (&["10.1.0.0/16"], &["10.0.0.0/8"], "10.1.1.1", false),
            (&["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"], &[], "11.0.0.1", true),
            (&["10.0.0.0/8"], &[], "9.255.255.255", false),
            (&["10.0.0.0/8"], &[], "10.255.255.255", true),
            (&["10.0.0.0/8"], &[], "::1", false),
            (&["::1/128"], &[], "::1", true),
            (&["::1/128"], &[], "0.0.0.1", false),
            (&["0.0.0.0/0", "::/0"], &[], "fe80::1", true),
            (&["0.0.0.0/0", "::/0"], &[], "255.255.255.255", true),
            (&["192.0.2.1/32"], &[], "192.0.2.2", false),
            (&["192.0.2.77/24"], &[], "192.0.2.1", true),
        ];
        for (allow, deny, ip, allowed) in table {
            let list = AccessList::new(&nets(allow), &nets(deny));
            assert_eq!(list.allows(ip.parse().unwrap()), allowed, "{allow:?} {deny:?} {ip}");
        }
        assert!(AccessList::default().is_open());
        assert!(!AccessList::new(&[], &nets(&["::/0"])).is_open());
    }

    #[test]
    fn a_mapped_address_is_one_of_ipv4_and_never_of_ipv6() {
        let table = [
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.0.0.0/8", "::ffff:11.0.0.1", false),
            ("::ffff:10.0.0.0/104", "10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "11.0.0.1", false),
            ("::ffff:0.0.0.0/96", "11.0.0.1", true),
            ("::/0", "10.0.0.1", false),
            ("::/0", "::ffff:10.0.0.1", false),
            ("::/0", "::10.0.0.1", true),
            ("::/0", "ffff::", true),
            ("0.0.0.0/0", "::10.0.0.1", false),
            ("0.0.0.0/0", "::ffff:10.0.0.1", true),
        ];
        for (network, ip, inside) in table {
            let (network, ip) = (nets(&[network]), ip.parse().unwrap());
            assert_eq!(AccessList::new(&network, &[]).allows(ip), inside, "{network:?} {ip}");
            assert_eq!(AccessList::new(&[], &network).allows(ip), !inside, "{network:?} {ip}");
        }
    }

    #[test]
    fn many_networks_are_the_same_as_each_of_them() {
        let v4 = (0..5000_u32).map(|n| format!("10.{}.{}.0/26", n / 200, n % 200));
        let v6 = (0..5000_u32).map(|n| format!("2001:db8:{:x}::/{}", n * 7, 40 + n % 20));
        let nets: Vec<IpNet> = v4.chain(v6).map(|text| text.parse().unwrap()).collect();
        let list = AccessList::new(&nets, &[]);
        for n in 0..2_000_u32 {
            let byte = |n: u32| u8::try_from(n % 256).unwrap();
            let word = |n: u32| u16::try_from(n % 0x1_0000).unwrap();
            let v4 = IpAddr::from([10, byte(n % 29), byte(n / 13 % 211), byte(n)]);
            let v6 = IpAddr::from([0x2001, 0xdb8, word(n * 31), word(n * 977), 0, 0, 0, 1]);
            for ip in [v4, v6] {
                assert_eq!(list.allows(ip), nets.iter().any(|net| net.contains(&ip)), "{ip}");
            }
        }
    }
}
