//! How many connections a source has at a time.

use std::collections::HashMap;
use std::net::IpAddr;

use super::hash::network;

/// Connections at a time by listener and source: an IPv4 address, or the /64 of an IPv6 address.
/// There are as many entries as sources that are connected, which the limit of all connections
/// bounds.
#[derive(Debug, Default)]
pub struct Concurrency {
    counts: HashMap<(usize, IpAddr), u32>,
}

impl Concurrency {
    /// A connection from there: how many this worker has with it, or `None` if that and what
    /// `elsewhere` has are more than `most`. What was let in is to [`Self::leave`]; what was not is
    /// not.
    pub fn enter(&mut self, listener: usize, ip: IpAddr, most: u32, elsewhere: u64) -> Option<u32> {
        let place = (listener, network(ip));
        let count = self.counts.get(&place).copied().unwrap_or(0);
        if u64::from(count) + elsewhere >= u64::from(most) {
            return None;
        }
        self.counts.insert(place, count + 1);
        Some(count + 1)
    }

    /// A connection that was let in has ended: how many are left.
    pub fn leave(&mut self, listener: usize, ip: IpAddr) -> u32 {
        let place = (listener, network(ip));
        let Some(count) = self.counts.get_mut(&place) else { return 0 };
        *count = count.saturating_sub(1);
        let left = *count;
        if left == 0 {
            self.counts.remove(&place);
        }
        left
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
        assert_eq!([sources.enter(0, ip, 2, 0), sources.enter(0, ip, 2, 0)], [Some(1), Some(2)]);
        assert_eq!(sources.enter(0, ip, 2, 0), None);
        assert_eq!(sources.leave(0, ip), 1);
        assert_eq!(sources.enter(0, ip, 2, 0), Some(2));
        assert_eq!([sources.leave(0, ip), sources.leave(0, ip), sources.leave(0, ip)], [1, 0, 0]);
        assert!(sources.is_empty());
        assert!(sources.enter(0, ip, 0, 0).is_none() && sources.is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_together_and_others_do_not() {
        let mut sources = Concurrency::default();
        let [one, same, other] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(sources.enter(0, one, 1, 0), Some(1));
        assert_eq!([sources.enter(0, same, 1, 0), sources.enter(0, other, 1, 0)], [None, Some(1)]);
        assert_eq!(sources.len(), 2);
        sources.leave(0, same);
        assert_eq!(sources.enter(0, one, 1, 0), Some(1));
    }

    #[test]
    fn what_other_workers_have_counts_and_what_other_listeners_have_does_not() {
        let mut sources = Concurrency::default();
        let ip = IpAddr::from([1, 2, 3, 4]);
        assert_eq!(sources.enter(0, ip, 3, 1), Some(1));
        assert_eq!(sources.enter(0, ip, 3, 2), None);
        assert_eq!(sources.enter(0, ip, 3, 1), Some(2));
        assert_eq!(sources.enter(1, ip, 1, 0), Some(1));
    }
}
