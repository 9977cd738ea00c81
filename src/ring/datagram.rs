//! A received datagram: its payload and, in the same buffer before it, whom it came from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::SocketAddress;
use crate::mem::Buf;

/// `struct io_uring_recvmsg_out`: lengths of name, control data and payload, and flags.
const RESULT_LEN: usize = 16;
/// Room for the sender's address: a `sockaddr_in6` is 28 bytes.
pub(super) const NAME_MAX: usize = 32;
/// Room for control data: a local address (40 bytes at most) and a segment size (24).
pub(super) const CONTROL_MAX: usize = 80;
/// What lies before the payload: two cache lines.
pub(super) const HEAD_LEN: usize = RESULT_LEN + NAME_MAX + CONTROL_MAX;
/// Room for the payload. The kernel joins datagrams up to 64 KiB; with less room it would cut them.
pub(super) const PAYLOAD_MAX: usize = 64 * 1024;
/// Bytes of a datagram buffer.
pub(crate) const BUFFER_LEN: u32 = 65_664;
const _: () = assert!(BUFFER_LEN as usize == HEAD_LEN + PAYLOAD_MAX);

/// `struct cmsghdr` as the kernel has it: a length, a level and a type.
pub(super) const CONTROL_HEAD: usize = size_of::<usize>() + 8;

/// A datagram, or several of one sender and of equal size that the kernel has joined. Nothing is
/// taken apart before it is asked for, and nothing is copied.
#[derive(Debug)]
pub struct Datagram(Buf);

/// What is known of a datagram beside its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatagramHead {
    /// Who sent it.
    pub from: Option<SocketAddr>,
    /// The address that it was sent to, if the socket asks for it and an answer can come from it.
    pub local: Option<IpAddr>,
    /// Bytes of each datagram that the kernel has joined (of the last one perhaps fewer); the
    /// whole length when there is one.
    pub segment: u16,
    /// There was more than the buffer took.
    pub truncated: bool,
}

impl Datagram {
    /// A datagram in a buffer with the layout of `recvmsg` on a ring; `None` when it is too short.
    #[must_use]
    pub fn new(buf: Buf) -> Option<Self> {
        (buf.len() >= HEAD_LEN).then_some(Self(buf))
    }

    /// Bytes of payload; 0 is a valid datagram, not an end.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() - HEAD_LEN
    }

    /// Whether it lies in a pool buffer.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.0.is_pooled()
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is known of it.
    #[must_use]
    pub fn head(&self) -> DatagramHead {
        let bytes: &[u8] = &self.0;
        let name_len = (number(bytes, 0) as usize).min(NAME_MAX);
        let control_len = (number(bytes, 4) as usize).min(CONTROL_MAX);
        let name = &bytes[RESULT_LEN..RESULT_LEN + name_len];
        let control = &bytes[RESULT_LEN + NAME_MAX..][..control_len];
        let whole = u16::try_from(self.len()).unwrap_or(u16::MAX);
        let mut head = DatagramHead {
            from: address(name),
            local: None,
            segment: whole,
            truncated: number(bytes, 12) & libc::MSG_TRUNC.cast_unsigned() != 0,
        };
        for message in Messages(control) {
            match message {
                Message::Local(ip) => head.local = Some(ip),
                Message::Segment(size) if size > 0 => head.segment = size.min(whole),
                Message::Segment(_) | Message::Error(_) => {}
            }
        }
        head
    }

    /// The payload.
    #[must_use]
    pub fn into_data(mut self) -> Buf {
        self.0.advance(HEAD_LEN);
        self.0
    }

    /// The bytes before the payload, as the kernel would write them.
    pub(super) fn head_bytes(name: &[u8], control: &[u8], flags: u32) -> [u8; HEAD_LEN] {
        let mut head = [0; HEAD_LEN];
        let name = &name[..name.len().min(NAME_MAX)];
        let control = &control[..control.len().min(CONTROL_MAX)];
        let len = |part: &[u8]| u32::try_from(part.len()).unwrap_or(0).to_ne_bytes();
        head[..4].copy_from_slice(&len(name));
        head[4..8].copy_from_slice(&len(control));
        head[12..16].copy_from_slice(&flags.to_ne_bytes());
        head[RESULT_LEN..][..name.len()].copy_from_slice(name);
        head[RESULT_LEN + NAME_MAX..][..control.len()].copy_from_slice(control);
        head
    }
}

/// A control message that is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// `IP_PKTINFO` or `IPV6_PKTINFO`: the local address, if it can be sent from.
    Local(IpAddr),
    /// `UDP_GRO`.
    Segment(u16),
    /// `IP_RECVERR` or `IPV6_RECVERR`: the error's number.
    Error(i32),
}

/// The control messages in what the kernel wrote; those of no use are left out.
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        while self.0.len() >= CONTROL_HEAD {
            let len = usize::from_ne_bytes(self.0[..size_of::<usize>()].try_into().ok()?);
            let kind = &self.0[size_of::<usize>()..CONTROL_HEAD];
            let (level, kind) = (number(kind, 0).cast_signed(), number(kind, 4).cast_signed());
            let data = self.0.get(CONTROL_HEAD..len)?;
            let found = message(level, kind, data);
            self.0 = self.0.get(len.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

fn message(level: i32, kind: i32, data: &[u8]) -> Option<Message> {
    let local = |ip: IpAddr| {
        // Nothing can be sent from a group's address.
        (!ip.is_multicast() && !ip.is_unspecified()).then_some(Message::Local(ip))
    };
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
            // ipi_spec_dst is right also where the datagram was broadcast; an ICMP error has only
            // ipi_addr.
            let octets = |at: usize| data.get(at..at + 4)?.try_into().ok();
            let own: [u8; 4] = octets(4).filter(|own| *own != [0; 4]).or_else(|| octets(8))?;
            local(Ipv4Addr::from(own).into())
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            let octets: [u8; 16] = data.get(..16)?.try_into().ok()?;
            local(Ipv6Addr::from(octets).into())
        }
        (libc::SOL_UDP, libc::UDP_GRO) => {
            let size = data.get(..4).map(|data| number(data, 0))?;
            Some(Message::Segment(u16::try_from(size).unwrap_or(0)))
        }
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
            data.get(..4).map(|data| Message::Error(number(data, 0).cast_signed()))
        }
        _ => None,
    }
}

/// The IP endpoint in a `sockaddr`.
fn address(name: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(name.get(..2)?.try_into().ok()?));
    let port = u16::from_be_bytes(name.get(2..4)?.try_into().ok()?);
    if family == libc::AF_INET {
        let octets: [u8; 4] = name.get(4..8)?.try_into().ok()?;
        return Some(SocketAddr::new(Ipv4Addr::from(octets).into(), port));
    }
    SocketAddress::from_bytes(name)?.ip()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    u32::from_ne_bytes(bytes.unwrap_or_default())
}

/// Appends a control message, padded, to the first `used` bytes of `control`.
pub(super) fn put_message(
    control: &mut [u8],
    used: &mut usize,
    (level, kind): (i32, i32),
    data: &[u8],
) {
    let len = CONTROL_HEAD + data.len();
    let place = &mut control[*used..];
    place[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
    place[size_of::<usize>()..][..4].copy_from_slice(&level.to_ne_bytes());
    place[size_of::<usize>() + 4..][..4].copy_from_slice(&kind.to_ne_bytes());
    place[CONTROL_HEAD..len].copy_from_slice(data);
    *used += len.next_multiple_of(size_of::<usize>());
}

/// Appends the message that names the local address to send from, or that was sent to.
pub(super) fn put_local(control: &mut [u8], used: &mut usize, local: IpAddr) {
    match local {
        IpAddr::V4(ip) => {
            let mut data = [0; 12];
            data[4..8].copy_from_slice(&ip.octets());
            put_message(control, used, (libc::IPPROTO_IP, libc::IP_PKTINFO), &data);
        }
        IpAddr::V6(ip) => {
            let mut data = [0; 20];
            data[..16].copy_from_slice(&ip.octets());
            put_message(control, used, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), &data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(name: &[u8], control: &[u8], flags: i32, payload: &[u8]) -> Datagram {
        let head = Datagram::head_bytes(name, control, flags.cast_unsigned());
        Datagram::new(Buf::copy_of(&[&head[..], payload].concat())).unwrap()
    }

    #[test]
    fn a_head_tells_what_the_kernel_wrote() {
        let cases = [("10.0.0.1:53", "127.0.0.2"), ("[fe80::1%3]:53", "fe80::2")];
        for (from, local) in cases {
            let from: SocketAddr = from.parse().unwrap();
            let local: IpAddr = local.parse().unwrap();
            let mut control = [0; CONTROL_MAX];
            let mut used = 0;
            put_local(&mut control, &mut used, local);
            let kind = (libc::SOL_UDP, libc::UDP_GRO);
            put_message(&mut control, &mut used, kind, &2i32.to_ne_bytes());
            let name = SocketAddress::inet(from);
            let got = datagram(name.as_bytes(), &control[..used], libc::MSG_TRUNC, b"abcde");
            let expected =
                DatagramHead { from: Some(from), local: Some(local), segment: 2, truncated: true };
            assert_eq!((got.head(), got.len()), (expected, 5));
            assert_eq!(&*got.into_data(), b"abcde");
        }
    }

    #[test]
    fn an_empty_datagram_from_nobody_is_one_too() {
        let got = datagram(&[], &[], 0, &[]);
        let expected = DatagramHead { from: None, local: None, segment: 0, truncated: false };
        assert_eq!(got.head(), expected);
        assert!(got.is_empty() && got.into_data().is_empty());
        assert!(Datagram::new(Buf::copy_of(&[0; HEAD_LEN - 1])).is_none());
    }

    #[test]
    fn broken_control_data_is_passed_over() {
        let mut control = [0xff; CONTROL_MAX];
        assert_eq!(Messages(&control).count(), 0);
        control[..size_of::<usize>()].copy_from_slice(&0usize.to_ne_bytes());
        assert_eq!(Messages(&control).count(), 0, "a length of 0 does not hang");
        for group in ["224.0.0.1", "ff02::1", "0.0.0.0"] {
            let mut used = 0;
            put_local(&mut control, &mut used, group.parse().unwrap());
            assert_eq!(Messages(&control[..used]).count(), 0, "{group}");
        }
    }
}
