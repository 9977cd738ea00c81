//! How many connections a source has at a time.

use std::collections::HashMap;
use std::net::IpAddr;

use super::hash::network;

/// Connections at a time by source: an IPv4 address, or the /64 of an IPv6 address. There are as
/// many entries as sources that are connected, which the limit of all connections bounds.
#[derive(Debug, Default)]
pub struct Concurrency {
    counts: HashMap<IpAddr, u32>,
}

impl Concurrency {
    /// A connection from there: whether there are no more than `most` with it. What was let in is
    /// to [`Self::leave`]; what was not is not.
    pub fn enter(&mut self, ip: IpAddr, most: u32) -> bool {
        if most == 0 {
            return false;
        }
        let count = self.counts.entry(network(ip)).or_insert(0);
        let fits = *count < most;
        *count += u32::from(fits);
        fits
    }

    /// A connection that was let in has ended.
    pub fn leave(&mut self, ip: IpAddr) {
        let source = network(ip);
        let Some(count) = self.counts.get_mut(&source) else { return };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.counts.remove(&source);
        }
    }

    /// How many sources are connected.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no source is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_a_source_are_counted_and_forgotten() {
        let mut sources = Concurrency::default();
        let ip = IpAddr::from([1, 2, 3, 4]);
        assert!(sources.enter(ip, 2) && sources.enter(ip, 2));
        assert!(!sources.enter(ip, 2));
        sources.leave(ip);
        assert!(sources.enter(ip, 2));
        sources.leave(ip);
        sources.leave(ip);
        assert!(sources.is_empty());
        sources.leave(ip);
        assert!(!sources.enter(ip, 0) && sources.is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together_and_others_do_not() {
        let mut sources = Concurrency::default();
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|ip| ip.parse().unwrap());
        assert!(sources.enter(one, 1) && !sources.enter(same, 1) && sources.enter(other, 1));
        assert_eq!(sources.len(), 2);
        sources.leave(same);
        assert!(sources.enter(one, 1));
    }
}
