//! Who may ask: lists of networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that are let in, and those that are not. A network that is denied is not let in,
/// whatever else is; with a list of those that are, nobody else is.
#[derive(Debug, Clone, Default)]
pub struct AccessList {
    allow: Option<Ranges>,
    deny: Ranges,
}

/// Ranges of addresses that do not overlap, sorted. IPv4 addresses stand as IPv6 has them mapped.
#[derive(Debug, Clone, Default)]
struct Ranges(Vec<(u128, u128)>);

impl AccessList {
    /// With `allow` empty, all are let in that are not denied.
    #[must_use]
    pub fn new(allow: &[IpNet], deny: &[IpNet]) -> Self {
        let allow = (!allow.is_empty()).then(|| Ranges::new(allow));
        Self { allow, deny: Ranges::new(deny) }
    }

    /// Whether everybody is let in.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.0.is_empty()
    }

    /// Whether this address is let in.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        if self.is_open() {
            return true;
        }
        let ip = number(ip);
        !self.deny.contains(ip) && self.allow.as_ref().is_none_or(|allow| allow.contains(ip))
    }
}

impl Ranges {
    fn new(networks: &[IpNet]) -> Self {
        let range = |network: &IpNet| (number(network.network()), number(network.broadcast()));
        let mut all: Vec<_> = networks.iter().map(range).collect();
        all.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                Some(_) | None => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    fn contains(&self, ip: u128) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= ip);
        let before = behind.checked_sub(1).and_then(|at| self.0.get(at));
        before.is_some_and(|(_, last)| ip <= *last)
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denied_networks_stay_out_and_a_list_of_allowed_ones_keeps_all_others_out() {
        let nets =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let table = [
            (&[][..], &[][..], "1.2.3.4", true),
            (&[], &["10.0.0.0/8"], "10.1.1.1", false),
            (&[], &["10.0.0.0/8"], "11.1.1.1", true),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.1.1", false),
            (&["10.0.0.0/8"], &["10.1.0.0/16"], "10.2.1.1", true),
            (&["10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"], &[], "11.0.0.1", true),
            (&["10.0.0.0/8"], &[], "9.255.255.255", false),
            (&["10.0.0.0/8"], &[], "::1", false),
            (&["10.0.0.0/8"], &[], "::ffff:10.0.0.1", true),
            (&["::1/128"], &[], "::1", true),
            (&["0.0.0.0/0", "::/0"], &[], "fe80::1", true),
            (&["192.0.2.1/32"], &[], "192.0.2.2", false),
        ];
        for (allow, deny, ip, allowed) in table {
            let list = AccessList::new(&nets(allow), &nets(deny));
            assert_eq!(list.allows(ip.parse().unwrap()), allowed, "{allow:?} {deny:?} {ip}");
        }
        assert!(AccessList::default().is_open());
    }

    #[test]
    fn many_networks_are_the_same_as_each_of_them() {
        let nets: Vec<IpNet> = (0..2000_u32)
            .map(|n| format!("10.{}.{}.0/26", n / 200, n % 200).parse().unwrap())
            .collect();
        let list = AccessList::new(&nets, &[]);
        for n in 0..20_000_u32 {
            let ip = IpAddr::from([10, (n % 13) as u8, (n / 13 % 211) as u8, (n % 255) as u8]);
            assert_eq!(list.allows(ip), nets.iter().any(|net| net.contains(&ip)), "{ip}");
        }
    }
}
