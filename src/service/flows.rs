//! The flows of datagrams: which client's datagrams belong together, which flow goes first.
//!
//! UDP has no connections. A *flow* is what one client address sends to one of our addresses, for
//! as long as it goes on; its datagrams go to one server, from one socket of ours.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Servers that are passed over for a refused datagram, at a time.
const SUSPECTS_MAX: usize = 16;

/// No place.
const NONE: u32 = u32::MAX;

/// Why a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowEnd {
    /// No datagram came for the flow timeout.
    Idle,
    /// The listener had its maximum of flows, and this one was idle for longest.
    Evicted,
    /// The server's host said that nobody receives there.
    ServerUnreachable,
    /// The client's host said that nobody receives there.
    ClientUnreachable,
    /// Descriptors or memory ran out.
    Resources,
    /// The server was told to end.
    Shutdown,
}

impl FlowEnd {
    /// Every reason, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Evicted,
        Self::ServerUnreachable,
        Self::ClientUnreachable,
        Self::Resources,
        Self::Shutdown,
    ];

    /// The reason's place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The label of the metrics and the access line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Evicted => "evicted",
            Self::ServerUnreachable => "server_unreachable",
            Self::ClientUnreachable => "client_unreachable",
            Self::Resources => "resources",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What makes a flow: who sends, to which address, through which of our sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowKey {
    /// The client.
    pub client: SocketAddr,
    /// The address that it sends to, where the socket has several.
    pub local: Option<IpAddr>,
    /// The number of the socket.
    pub socket: u32,
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (high, low) = halves(self.client.ip());
        let scope = match self.client {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        state.write_u64(high);
        state.write_u64(low);
        state.write_u64(u64::from(self.client.port()) << 32 | u64::from(self.socket));
        if let Some(local) = self.local {
            let (high, low) = halves(local);
            state.write_u64(high ^ u64::from(scope));
            state.write_u64(low);
        }
    }
}

fn halves(ip: IpAddr) -> (u64, u64) {
    match ip {
        IpAddr::V4(v4) => (0, u64::from(u32::from(v4))),
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            let low = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
            (u64::try_from(bits >> 64).unwrap_or(0), low)
        }
    }
}

/// How the flows of one listener are shared by the workers: each has a share that the others can
/// not take from it, and lends what it does not use.
#[derive(Debug, Clone, Copy)]
pub struct FlowQuota {
    /// Flows in all workers, at most.
    pub max: u64,
    /// Workers that share them.
    pub workers: u64,
}

impl FlowQuota {
    /// How many of its oldest flows a worker that has `own` of all `total` ends, so that it may
    /// have one more: as many as there are too many, but none of its share.
    #[must_use]
    pub fn surplus(&self, own: u64, total: u64) -> u64 {
        let excess = (total + 1).saturating_sub(self.max);
        excess.min((own + 1).saturating_sub(self.share()))
    }

    /// How many of its oldest flows a worker that has `own` of all `total` ends when another one,
    /// which has less than its share, opens a flow.
    #[must_use]
    pub fn owed(&self, own: u64, total: u64) -> u64 {
        let excess = if total < self.max { 0 } else { (total - self.max).max(1) };
        excess.min(own.saturating_sub(self.share()))
    }

    /// Whether a worker that has `own` flows has some that are lent to it.
    #[must_use]
    pub fn has_borrowed(&self, own: u64) -> bool {
        own > self.share()
    }

    /// The flows of a worker that no other can take from it.
    fn share(&self) -> u64 {
        (self.max / self.workers.max(1)).max(1)
    }
}

/// The same number for a client in every worker and every run, to choose its server by. Only its
/// address counts, not the port: all of a client's flows go to one server. An IPv4 address that
/// is mapped into IPv6 is that IPv4 address.
#[must_use]
pub fn client_hash(client: SocketAddr) -> u64 {
    let (high, low) = halves(client.ip().to_canonical());
    fold(fold(high ^ 0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344) ^ low, 0xa409_3822_299f_31d0)
}

/// Mixes all bits of a product into one word.
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    let high = (product >> 64) & 0xffff_ffff_ffff_ffff;
    let low = product & 0xffff_ffff_ffff_ffff;
    low_half(high ^ low)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
const fn low_half(bits: u128) -> u64 {
    bits as u64
}

/// A fast hash with a secret of its own per table, so that nobody outside can choose addresses
/// that meet in one place.
#[derive(Debug, Clone)]
struct Seeded {
    seeds: [u64; 2],
}

impl Seeded {
    fn new() -> Self {
        let random = RandomState::new();
        Self { seeds: [random.hash_one(1), random.hash_one(2) | 1] }
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.seeds[0], factor: self.seeds[1] }
    }
}

#[derive(Debug)]
struct Folding {
    state: u64,
    factor: u64,
}

impl Hasher for Folding {
    fn finish(&self) -> u64 {
        fold(self.state, self.factor ^ 0x9e37_79b9_7f4a_7c15)
    }

    fn write_u64(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.factor).wrapping_add(word.rotate_left(32));
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
}

/// The flows of one listener in one worker, each with a value, in the order of their last
/// datagrams. Finding, adding, touching and removing take constant time.
#[derive(Debug)]
pub struct FlowTable<T> {
    places: HashMap<FlowKey, u32, Seeded>,
    nodes: Vec<Node<T>>,
    free: u32,
    newest: u32,
    oldest: u32,
}

#[derive(Debug)]
struct Node<T> {
    key: FlowKey,
    value: T,
    last_active: Instant,
    newer: u32,
    older: u32,
}

/// A flow's place in its table, until it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u32);

impl Place {
    /// A place that no flow has, to begin with.
    pub const NOWHERE: Self = Self(NONE);
}

impl<T: Copy> FlowTable<T> {
    /// No flows.
    #[must_use]
    pub fn new() -> Self {
        let places = HashMap::with_hasher(Seeded::new());
        Self { places, nodes: Vec::new(), free: NONE, newest: NONE, oldest: NONE }
    }

    /// How many flows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The flow of `key`.
    #[must_use]
    pub fn find(&self, key: &FlowKey) -> Option<(Place, T)> {
        let place = *self.places.get(key)?;
        Some((Place(place), self.nodes[place as usize].value))
    }

    /// Adds a flow that is not there, as the newest.
    pub fn insert(&mut self, key: FlowKey, value: T, now: Instant) -> Place {
        let node = Node { key, value, last_active: now, newer: NONE, older: NONE };
        let place = if self.free == NONE {
            self.nodes.push(node);
            u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
        } else {
            let place = self.free;
            self.free = self.nodes[place as usize].older;
            self.nodes[place as usize] = node;
            place
        };
        let before = self.places.insert(key, place);
        debug_assert!(before.is_none(), "a flow is added once");
        self.link(place);
        Place(place)
    }

    /// A datagram of the flow has come, from either side: it is the newest now.
    pub fn touch(&mut self, place: Place, now: Instant) {
        let Place(place) = place;
        self.nodes[place as usize].last_active = now;
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
    }

    /// Removes a flow.
    pub fn remove(&mut self, place: Place) -> T {
        let Place(place) = place;
        self.unlink(place);
        let node = &mut self.nodes[place as usize];
        let value = node.value;
        let removed = self.places.remove(&node.key);
        debug_assert_eq!(removed, Some(place), "a flow is removed once");
        node.older = self.free;
        self.free = place;
        value
    }

    /// The flow whose last datagram is longest ago.
    #[must_use]
    pub fn oldest(&self) -> Option<T> {
        self.nodes.get(self.oldest as usize).map(|node| node.value)
    }

    /// The oldest flow if it has been idle for `limit`; else when it will have been.
    ///
    /// # Errors
    /// The time to ask again; `None` when there is no flow.
    pub fn idle(&self, limit: Duration, now: Instant) -> Result<T, Option<Instant>> {
        let oldest = self.nodes.get(self.oldest as usize).ok_or(None)?;
        let deadline = oldest.last_active + limit;
        if deadline <= now { Ok(oldest.value) } else { Err(Some(deadline)) }
    }

    fn link(&mut self, place: u32) {
        let before = std::mem::replace(&mut self.newest, place);
        let node = &mut self.nodes[place as usize];
        (node.newer, node.older) = (NONE, before);
        match self.nodes.get_mut(before as usize) {
            Some(before) => before.newer = place,
            None => self.oldest = place,
        }
    }

    fn unlink(&mut self, place: u32) {
        let Node { newer, older, .. } = self.nodes[place as usize];
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }
}

impl<T: Copy> Default for FlowTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Servers of an upstream whose hosts have refused datagrams of late: new flows pass them over for
/// a while, unless all are.
#[derive(Debug, Default)]
pub struct Suspects {
    until: Vec<(usize, Instant)>,
    listed: Vec<usize>,
}

impl Suspects {
    /// A server's host has refused a datagram. Those that did so last are passed over; a server
    /// that refuses again and again is ejected.
    pub fn add(&mut self, server: usize, until: Instant) {
        self.until.retain(|(known, _)| *known != server);
        if self.until.len() >= SUSPECTS_MAX {
            self.until.remove(0);
        }
        self.until.push((server, until));
    }

    /// The servers to be passed over now.
    pub fn list(&mut self, now: Instant) -> &[usize] {
        self.until.retain(|(_, until)| *until > now);
        self.listed.clear();
        self.listed.extend(self.until.iter().map(|(server, _)| *server));
        &self.listed
    }
}

/// The suspects of all upstreams, by their numbers, which may come later and be used again.
#[derive(Debug, Default)]
pub struct SuspectsByUpstream(Vec<Suspects>);

impl SuspectsByUpstream {
    /// Those of an upstream.
    pub fn of(&mut self, upstream: usize) -> &mut Suspects {
        if upstream >= self.0.len() {
            self.0.resize_with(upstream + 1, Suspects::default);
        }
        &mut self.0[upstream]
    }

    /// The number of an upstream is that of another one from now on: it has none.
    pub fn reset(&mut self, upstream: usize) {
        self.0.get_mut(upstream).into_iter().for_each(|one| *one = Suspects::default());
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    fn key(port: u16) -> FlowKey {
        FlowKey { client: SocketAddr::from(([10, 0, 0, 1], port)), local: None, socket: 0 }
    }

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[test]
    fn flows_are_kept_in_the_order_of_their_last_datagrams() {
        let origin = Instant::now();
        let mut table = FlowTable::new();
        let places: Vec<Place> = (1..=3).map(|n| table.insert(key(n), n, origin)).collect();
        assert_eq!((table.len(), table.oldest()), (3, Some(1)));
        table.touch(places[0], origin + seconds(5));
        assert_eq!(table.oldest(), Some(2));
        assert_eq!(table.remove(places[1]), 2);
        assert_eq!(table.oldest(), Some(3));
        assert_eq!(table.find(&key(2)), None);
        assert_eq!(table.find(&key(3)), Some((places[2], 3)));
        assert_eq!(table.idle(seconds(2), origin + seconds(2)), Ok(3));
        table.remove(places[2]);
        let later = Err(Some(origin + seconds(7)));
        assert_eq!(table.idle(seconds(2), origin + seconds(6)), later);
        table.remove(places[0]);
        assert_eq!(table.idle(seconds(2), origin), Err(None));
        assert!(table.is_empty() && table.oldest().is_none());
    }

    #[test]
    fn random_flows_match_a_plain_list() {
        let origin = Instant::now();
        let mut table = FlowTable::new();
        let mut model: Vec<u16> = Vec::new();
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = fold(state ^ 0x1234_5678, 0x9e37_79b9_7f4a_7c15).wrapping_add(1);
            let port = u16::try_from(state % 50).unwrap();
            match (table.find(&key(port)), state >> 60) {
                (None, _) => {
                    table.insert(key(port), port, origin);
                    model.push(port);
                }
                (Some((place, value)), 0..8) => {
                    assert_eq!(value, port);
                    table.remove(place);
                    model.retain(|known| *known != port);
                }
                (Some((place, _)), _) => {
                    table.touch(place, origin);
                    model.retain(|known| *known != port);
                    model.push(port);
                }
            }
            assert_eq!((table.len(), table.oldest()), (model.len(), model.first().copied()));
        }
        assert!(table.nodes.len() <= 50, "places are used again");
    }

    #[test]
    fn every_part_of_a_key_counts() {
        let mut table = FlowTable::new();
        let base = key(1);
        let v6 = "[fe80::1%2]:1".parse().unwrap();
        let keys = [
            base,
            FlowKey { socket: 1, ..base },
            FlowKey { local: Some(IpAddr::from([127, 0, 0, 1])), ..base },
            FlowKey { local: Some(IpAddr::from([127, 0, 0, 2])), ..base },
            FlowKey { client: v6, ..base },
            FlowKey { client: "[fe80::1%3]:1".parse().unwrap(), ..base },
        ];
        for (number, key) in keys.into_iter().enumerate() {
            table.insert(key, number, Instant::now());
        }
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(table.find(key).map(|(_, value)| value), Some(number));
        }
    }

    #[test]
    fn a_worker_gives_up_what_it_has_borrowed_and_no_more() {
        let quota = FlowQuota { max: 100, workers: 4 };
        assert_eq!(quota.surplus(99, 99), 0, "what others do not use is lent");
        assert_eq!(quota.surplus(100, 100), 1);
        assert_eq!(quota.surplus(0, 100), 0, "a worker's own share is always there");
        assert_eq!(quota.surplus(24, 124), 0);
        assert_eq!(quota.surplus(25, 125), 1);
        assert_eq!(quota.surplus(75, 130), 31, "what was lent meanwhile is given back");
        assert_eq!(quota.surplus(30, 130), 6, "but none of the share");
        assert!(quota.has_borrowed(26) && !quota.has_borrowed(25));
        assert_eq!((quota.owed(75, 99), quota.owed(75, 100), quota.owed(75, 101)), (0, 1, 1));
        assert_eq!((quota.owed(75, 110), quota.owed(30, 110), quota.owed(25, 110)), (10, 5, 0));
        let few = FlowQuota { max: 2, workers: 4 };
        assert_eq!((few.surplus(0, 2), few.surplus(1, 2)), (0, 1));
    }

    #[test]
    fn hashes_spread_and_a_client_s_does_not_depend_on_its_port() {
        let seeded = Seeded::new();
        let mut counts = [0; 64];
        for port in 0..64_000 {
            counts[usize::try_from(seeded.hash_one(key(port)) % 64).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert_eq!(client_hash(key(1).client), client_hash(key(2).client));
        let mapped = |text: &str| client_hash(text.parse().unwrap());
        assert_eq!(mapped("[::ffff:10.0.0.1]:5"), mapped("10.0.0.1:6"));
        let mut servers = [0; 4];
        for last in 0..=255 {
            let client = SocketAddr::from(([10, 0, 0, last], 1));
            servers[usize::try_from(client_hash(client) % 4).unwrap()] += 1;
        }
        assert!(servers.iter().all(|count| (32..128).contains(count)), "{servers:?}");
    }

    #[test]
    fn suspects_of_upstreams_that_come_later_are_remembered_until_the_number_is_used_again() {
        let origin = Instant::now();
        let mut all = SuspectsByUpstream::default();
        all.reset(4);
        all.of(3).add(1, origin + seconds(5));
        assert_eq!(all.of(3).list(origin), [1]);
        assert!(all.of(7).list(origin).is_empty());
        all.reset(3);
        assert!(all.of(3).list(origin).is_empty());
    }

    #[test]
    fn a_suspect_is_passed_over_for_a_while() {
        let origin = Instant::now();
        let mut suspects = Suspects::default();
        assert!(suspects.list(origin).is_empty());
        suspects.add(2, origin + seconds(5));
        suspects.add(0, origin + seconds(9));
        suspects.add(2, origin + seconds(7));
        assert_eq!(suspects.list(origin + seconds(6)), [0, 2]);
        assert_eq!(suspects.list(origin + seconds(7)), [0]);
        assert!(suspects.list(origin + seconds(9)).is_empty());
    }

    #[test]
    fn every_end_knows_its_place_and_has_a_name_of_its_own() {
        let mut names: Vec<&str> = Vec::new();
        for (index, end) in FlowEnd::ALL.into_iter().enumerate() {
            assert_eq!(end.index(), index);
            assert!(!names.contains(&end.name()));
            names.push(end.name());
        }
    }
}
