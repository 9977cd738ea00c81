//! What leaves a datagram socket in one turn, datagrams of one receiver joined.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use crate::mem::Buf;

/// Most datagrams that are handed to the kernel as one: `UDP_MAX_SEGMENTS` of the older kernels.
pub const SEGMENTS_SENT_MAX: usize = 64;
/// Most bytes of them: what an IPv4 datagram carries.
const BYTES_MAX: usize = 65_507;
/// Places of the table that finds the latest group of a receiver. A power of two.
const PLACES: usize = 64;
/// No slice.
const NONE: u32 = u32::MAX;

/// Datagrams that wait to be sent, in groups: each has one receiver, and datagrams of one size but
/// for the last one, which may be shorter. Datagrams for one receiver leave in their order; between
/// receivers there is none.
///
/// Memory is kept from turn to turn: in the long run a push allocates nothing.
#[derive(Debug)]
pub struct Outbox {
    groups: Vec<Group>,
    slices: Vec<Slice>,
    /// By a hash of the receiver, the latest group of it. May be out of date, or another
    /// receiver's: whoever looks compares.
    latest: [u16; PLACES],
    datagrams: usize,
}

#[derive(Debug)]
struct Group {
    to: Option<SocketAddr>,
    from: Option<IpAddr>,
    segment: u16,
    datagrams: u16,
    bytes: u32,
    /// Whether another datagram may be joined.
    open: bool,
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Slice {
    data: Buf,
    next: u32,
}

/// One group on its way.
#[derive(Debug, Clone, Copy)]
pub struct Outbound<'a> {
    /// The receiver; `None` on a connected socket.
    pub to: Option<SocketAddr>,
    /// The local address to send from; `None` leaves it to the kernel.
    pub from: Option<IpAddr>,
    /// Bytes of each datagram but the last.
    pub segment: u16,
    /// How many datagrams there are.
    pub datagrams: usize,
    /// Bytes of all datagrams.
    pub bytes: usize,
    slices: &'a [Slice],
    first: u32,
}

/// What became of an [`Outbox`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Datagrams sent.
    pub datagrams: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Groups that went to the kernel as one.
    pub joined: u64,
    /// Datagrams dropped because the socket, or the queue behind it, was full.
    pub full: u64,
    /// Datagrams that the kernel refused otherwise.
    pub refused: u64,
    /// The first error, which may be about an earlier datagram, and another's.
    pub error: Option<Errno>,
    /// A call ended early: an error that was left on the socket is gone, but for its error queue.
    pub interrupted: bool,
    /// Joining failed: from now on only up to so many bytes per datagram, 0 for never.
    pub segment_max: Option<u16>,
}

impl Outbox {
    /// An empty outbox.
    #[must_use]
    pub const fn new() -> Self {
        Self { groups: Vec::new(), slices: Vec::new(), latest: [0; PLACES], datagrams: 0 }
    }

    /// Whether nothing is to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many datagrams are to be sent.
    #[must_use]
    pub fn datagrams(&self) -> usize {
        self.datagrams
    }

    /// What is to be sent if it is one datagram of a connected socket.
    #[must_use]
    pub fn only(&self) -> Option<&Buf> {
        match self.groups.as_slice() {
            [Group { to: None, from: None, datagrams: 1, first, .. }] => {
                self.slices.get(*first as usize).map(|slice| &slice.data)
            }
            _ => None,
        }
    }

    /// Drops all, and with it the buffers.
    pub fn clear(&mut self) {
        self.groups.clear();
        self.slices.clear();
        self.datagrams = 0;
    }

    /// The groups, from number `first` on.
    pub fn groups(&self, first: usize) -> impl Iterator<Item = Outbound<'_>> {
        let groups = self.groups.get(first..).unwrap_or_default();
        groups.iter().map(|group| Outbound {
            to: group.to,
            from: group.from,
            segment: group.segment,
            datagrams: usize::from(group.datagrams),
            bytes: group.bytes as usize,
            slices: &self.slices,
            first: group.first,
        })
    }

    /// Queues `data`: datagrams of `segment` bytes, the last of which may be shorter. They are
    /// joined with earlier ones for the same receiver where neither is larger than `segment_max`.
    pub fn push(
        &mut self,
        to: Option<SocketAddr>,
        from: Option<IpAddr>,
        data: Buf,
        segment: u16,
        segment_max: u16,
    ) {
        let len = data.len();
        let segment = usize::from(segment);
        if len <= segment || segment == 0 {
            return self.push_part(to, from, data, len, segment_max);
        }
        let most = segment * (BYTES_MAX / segment).clamp(1, SEGMENTS_SENT_MAX);
        if len <= most {
            return self.push_part(to, from, data, segment, segment_max);
        }
        for start in (0..len).step_by(most) {
            let part = data.slice(start, most.min(len - start));
            let segment = segment.min(part.len());
            self.push_part(to, from, part, segment, segment_max);
        }
    }

    /// Queues datagrams that fit one group.
    fn push_part(
        &mut self,
        to: Option<SocketAddr>,
        from: Option<IpAddr>,
        data: Buf,
        segment: usize,
        segment_max: u16,
    ) {
        let len = data.len();
        let count = if len == 0 { 1 } else { len.div_ceil(segment.max(1)) };
        let slice = u32::try_from(self.slices.len()).unwrap_or(NONE);
        self.slices.push(Slice { data, next: NONE });
        self.datagrams += count;
        let place = place_of(to);
        let latest = usize::from(self.latest[place]);
        if let Some(group) = self.groups.get_mut(latest)
            && group.open
            && (group.to, group.from) == (to, from)
            && group.takes(segment, count, len, segment_max)
        {
            group.datagrams += u16::try_from(count).unwrap_or(0);
            group.bytes += u32::try_from(len).unwrap_or(0);
            group.open = len == count * usize::from(group.segment);
            let before = std::mem::replace(&mut group.last, slice);
            self.slices[before as usize].next = slice;
            return;
        }
        // Beyond so many groups the table finds none any more, which only means less joining.
        self.latest[place] = u16::try_from(self.groups.len()).unwrap_or(u16::MAX);
        self.groups.push(Group {
            to,
            from,
            segment: u16::try_from(segment).unwrap_or(u16::MAX),
            datagrams: u16::try_from(count).unwrap_or(u16::MAX),
            bytes: u32::try_from(len).unwrap_or(u32::MAX),
            open: len > 0 && len == count * segment,
            first: slice,
            last: slice,
        });
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Group {
    /// Whether `count` datagrams of `segment` bytes may be joined behind the others.
    fn takes(&self, segment: usize, count: usize, len: usize, segment_max: u16) -> bool {
        let own = usize::from(self.segment);
        let fits = if count == 1 { segment <= own } else { segment == own };
        fits && len > 0
            && self.segment <= segment_max
            && usize::from(self.datagrams) + count <= SEGMENTS_SENT_MAX
            && self.bytes as usize + len <= BYTES_MAX
    }
}

impl<'a> Outbound<'a> {
    /// Its bytes, in pieces.
    pub fn slices(&self) -> impl Iterator<Item = &'a Buf> + use<'a> {
        let slices = self.slices;
        let mut next = self.first;
        std::iter::from_fn(move || {
            let slice = slices.get(next as usize)?;
            next = slice.next;
            Some(&slice.data)
        })
    }

    /// Its datagrams, one by one. A datagram lies within one piece, because each piece holds whole
    /// ones.
    pub fn singles(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let segment = usize::from(self.segment).max(1);
        self.slices().flat_map(move |data| {
            let count = data.len().div_ceil(segment).max(1);
            (0..count).map(move |n| {
                let start = n * segment;
                &data[start..data.len().min(start + segment)]
            })
        })
    }
}

fn place_of(to: Option<SocketAddr>) -> usize {
    let Some(to) = to else { return 0 };
    let low = match to {
        SocketAddr::V4(v4) => v4.ip().octets()[3],
        SocketAddr::V6(v6) => v6.ip().octets()[15],
    };
    (usize::from(to.port()) + usize::from(low)) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: u16 = u16::MAX;

    fn to(port: u16) -> Option<SocketAddr> {
        Some(SocketAddr::from(([10, 0, 0, 1], port)))
    }

    fn sizes(outbox: &Outbox) -> Vec<(Option<u16>, u16, Vec<usize>)> {
        let port = |to: Option<SocketAddr>| to.map(|to| to.port());
        let groups = outbox.groups(0).map(|group| {
            assert_eq!(group.datagrams, group.singles().count());
            assert_eq!(group.bytes, group.slices().map(|data| data.len()).sum::<usize>());
            (port(group.to), group.segment, group.singles().map(<[u8]>::len).collect())
        });
        groups.collect()
    }

    #[test]
    fn datagrams_of_one_receiver_are_joined_though_others_come_between() {
        let mut outbox = Outbox::new();
        for (port, len) in [(1, 100), (2, 100), (1, 100), (2, 50), (1, 30), (1, 100), (2, 50)] {
            outbox.push(to(port), None, Buf::copy_of(&vec![0; len]), 100, ANY);
        }
        let expected = [
            (Some(1), 100, vec![100, 100, 30]),
            (Some(2), 100, vec![100, 50]),
            (Some(1), 100, vec![100]),
            (Some(2), 50, vec![50]),
        ];
        assert_eq!(sizes(&outbox), expected);
        assert_eq!(outbox.datagrams(), 7);
        outbox.clear();
        assert!(outbox.is_empty());
        outbox.push(to(2), None, Buf::copy_of(b"x"), 1, ANY);
        outbox.push(to(1), None, Buf::copy_of(b"y"), 1, ANY);
        assert_eq!(sizes(&outbox).len(), 2, "the table of the last turn misleads nobody");
    }

    #[test]
    fn a_batch_goes_on_as_one_and_an_empty_datagram_by_itself() {
        let mut outbox = Outbox::new();
        for (len, segment) in [(250, 100), (200, 100), (100, 100), (0, 0), (0, 0), (300, 100)] {
            outbox.push(None, None, Buf::copy_of(&vec![0; len]), segment, ANY);
        }
        let expected = [
            (None, 100, vec![100, 100, 50]),
            (None, 100, vec![100, 100, 100]),
            (None, 0, vec![0]),
            (None, 0, vec![0]),
            (None, 100, vec![100, 100, 100]),
        ];
        assert_eq!(sizes(&outbox), expected);
    }

    #[test]
    fn local_addresses_are_kept_apart() {
        let mut outbox = Outbox::new();
        for last in [1, 2, 2] {
            let from = Some(IpAddr::from([127, 0, 0, last]));
            outbox.push(to(1), from, Buf::copy_of(b"x"), 1, ANY);
        }
        assert_eq!(sizes(&outbox).len(), 2);
    }

    #[test]
    fn groups_have_limits() {
        let mut outbox = Outbox::new();
        outbox.push(None, None, Buf::copy_of(&[1; 129]), 1, ANY);
        let counts: Vec<usize> = outbox.groups(0).map(|group| group.datagrams).collect();
        assert_eq!(counts, [64, 64, 1]);
        outbox.clear();
        for _ in 0..65 {
            outbox.push(None, None, Buf::copy_of(&[1; 1_200]), 1_200, ANY);
        }
        let counts: Vec<usize> = outbox.groups(0).map(|group| group.datagrams).collect();
        assert_eq!(counts, [54, 11], "65,507 bytes");
        outbox.clear();
        for _ in 0..3 {
            outbox.push(None, None, Buf::copy_of(&[1; 1_200]), 1_200, 1_199);
        }
        assert_eq!(outbox.groups(0).count(), 3, "larger than what may be joined");
    }
}
