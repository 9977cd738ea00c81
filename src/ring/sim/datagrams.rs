//! Datagram sockets of the simulated kernel, and the hosts beyond them, played by the test.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use super::world::Object;
use super::{BURST_MAX, Random, Sim};
use crate::ring::datagram::{CONTROL_MAX, put_local, put_message};
use crate::ring::{
    Datagram, Fd, Op, Outbox, Outcome, SendReport, SocketAddress, SocketError, Token,
};

/// Datagrams that a socket's queue holds; more are lost, as in a kernel.
const QUEUE_MAX: usize = 64;
/// The first port of sockets that connect.
const PORT_FIRST: u16 = 20_000;

/// A datagram that one of our sockets has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentDatagram {
    /// The address that it came from.
    pub from: SocketAddr,
    /// Whom it is for.
    pub to: SocketAddr,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A datagram socket of ours.
#[derive(Debug)]
pub(super) struct Endpoint {
    local: SocketAddr,
    /// Whom it is connected to.
    peer: Option<SocketAddr>,
    queue: VecDeque<Arrived>,
    /// What the next call on the socket says.
    error: Option<Errno>,
    reports: VecDeque<SocketError>,
}

#[derive(Debug)]
struct Arrived {
    from: SocketAddr,
    to: IpAddr,
    segment: u16,
    bytes: Vec<u8>,
}

/// All datagram sockets.
#[derive(Debug)]
pub(super) struct Endpoints {
    by_number: Vec<Endpoint>,
    sent: Vec<SentDatagram>,
    next_port: u16,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self { by_number: Vec::new(), sent: Vec::new(), next_port: PORT_FIRST }
    }
}

impl Endpoints {
    fn add(&mut self, local: SocketAddr, peer: Option<SocketAddr>) -> Object {
        let (queue, reports) = (VecDeque::new(), VecDeque::new());
        self.by_number.push(Endpoint { local, peer, queue, error: None, reports });
        Object::Datagrams(self.by_number.len() - 1)
    }

    /// What waits in the queue of a closed socket is lost.
    pub(super) fn close(&mut self, number: usize) {
        let endpoint = &mut self.by_number[number];
        endpoint.queue.clear();
        // Nothing can be sent to a port 0.
        endpoint.local.set_port(0);
    }

    pub(super) fn is_readable(&self, number: usize) -> bool {
        let endpoint = &self.by_number[number];
        endpoint.error.is_some() || !endpoint.queue.is_empty()
    }

    /// The socket that a datagram goes to.
    fn find(&mut self, from: SocketAddr, to: SocketAddr) -> Option<&mut Endpoint> {
        self.by_number.iter_mut().find(|endpoint| {
            let (local, peer) = (endpoint.local, endpoint.peer);
            let ip = local.ip() == to.ip() || local.ip().is_unspecified();
            ip && local.port() == to.port() && peer.is_none_or(|peer| peer == from)
        })
    }
}

impl Endpoint {
    fn is_wildcard(&self) -> bool {
        self.local.ip().is_unspecified()
    }

    fn deliver(&mut self, random: &mut Random, reorder: bool, arrived: Arrived) -> bool {
        if self.queue.len() >= QUEUE_MAX {
            return false;
        }
        let at = if reorder { random.below(self.queue.len() + 1) } else { self.queue.len() };
        self.queue.insert(at, arrived);
        true
    }

    fn head(&self, arrived: &Arrived) -> Vec<u8> {
        let mut control = [0; CONTROL_MAX];
        let mut used = 0;
        if self.is_wildcard() {
            put_local(&mut control, &mut used, arrived.to);
        }
        if usize::from(arrived.segment) < arrived.bytes.len() {
            let kind = (libc::SOL_UDP, libc::UDP_GRO);
            let size = i32::from(arrived.segment).to_ne_bytes();
            put_message(&mut control, &mut used, kind, &size);
        }
        let name = SocketAddress::inet(arrived.from);
        Datagram::head_bytes(name.as_bytes(), &control[..used], 0).to_vec()
    }
}

impl Sim {
    /// A datagram socket on `address`; on an unspecified one it gets what is sent to any address.
    pub fn bind_datagrams(&mut self, address: SocketAddr) -> Fd {
        let object = self.world.endpoints.add(address, None);
        self.world.insert(object)
    }

    /// A host sends a datagram to one of our sockets. Tells how many of it arrived: none when it
    /// was lost, two when it was doubled.
    pub fn send_datagram(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> usize {
        self.send_joined(from, to, bytes, u16::MAX)
    }

    /// A host sends datagrams of `segment` bytes, which arrive joined.
    pub fn send_joined(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        segment: u16,
    ) -> usize {
        if self.chance(self.faults.lose) {
            return 0;
        }
        let copies = 1 + usize::from(self.chance(self.faults.double));
        let reorder = self.chance(self.faults.reorder);
        let Self { world, random, .. } = self;
        let Some(endpoint) = world.endpoints.find(from, to) else {
            return 0;
        };
        let arrived = || Arrived { from, to: to.ip(), segment, bytes: bytes.to_vec() };
        (0..copies).filter(|_| endpoint.deliver(random, reorder, arrived())).count()
    }

    /// The datagrams that our sockets have sent since the last call.
    pub fn take_datagrams(&mut self) -> Vec<SentDatagram> {
        std::mem::take(&mut self.world.endpoints.sent)
    }

    /// A host refuses a datagram that one of our sockets has sent, by ICMP.
    pub fn refuse_datagram(&mut self, sent: &SentDatagram, errno: Errno) {
        if let Some(endpoint) = self.world.endpoints.find(sent.to, sent.from) {
            endpoint.error = Some(errno);
            if endpoint.peer.is_none() {
                let local = endpoint.is_wildcard().then(|| sent.from.ip());
                endpoint.reports.push_back(SocketError { peer: sent.to, local, errno });
            }
        }
    }

    /// Datagram buffers that are neither lent nor held, and those that are lent.
    #[must_use]
    pub fn datagram_buffers_home(&self) -> usize {
        self.datagram_pool.free() + self.datagram_lent.len()
    }

    pub(super) fn attempt_receive_from(&mut self, token: Token, socket: Fd) {
        let number = self.world.endpoint(socket);
        for _ in 0..=self.random.below(usize::try_from(BURST_MAX).unwrap_or(1)) {
            let endpoint = &mut self.world.endpoints.by_number[number];
            if let Some(errno) = endpoint.error.take() {
                return self.post(token, Outcome::Failed(errno), false);
            }
            if endpoint.queue.is_empty() {
                break;
            }
            let starved = self.datagram_lent.is_empty() || self.chance(self.faults.starve);
            let bid = if starved { None } else { self.datagram_lent.pop_front() };
            let Some(bid) = bid else {
                self.counters.starved += 1;
                return self.post(token, Outcome::Starved, false);
            };
            let endpoint = &mut self.world.endpoints.by_number[number];
            let arrived = endpoint.queue.pop_front().expect("the queue was seen not to be empty");
            let mut bytes = endpoint.head(&arrived);
            bytes.extend_from_slice(&arrived.bytes);
            let buf = self.datagram_pool.fill(bid, &bytes).expect("the buffer was lent");
            let datagram = Datagram::new(buf).expect("it has a head");
            let more = !self.chance(self.faults.end_multishot);
            self.post(token, Outcome::Datagram(datagram), more);
            if !more {
                return;
            }
        }
        self.flying.push((token, Op::ReceiveFrom { socket }));
    }

    pub(super) fn connect_datagrams(&mut self, server: &SocketAddress) -> Result<Fd, Errno> {
        if self.chance(self.faults.descriptors) {
            return Err(Errno::EMFILE);
        }
        let server = server.ip().ok_or(Errno::EAFNOSUPPORT)?;
        let ip: IpAddr = if server.is_ipv4() {
            [192, 0, 2, 1].into()
        } else {
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()
        };
        let endpoints = &mut self.world.endpoints;
        let local = SocketAddr::new(ip, endpoints.next_port);
        // A test has fewer sockets than there are ports.
        endpoints.next_port += 1;
        let object = endpoints.add(local, Some(server));
        Ok(self.world.insert(object))
    }

    pub(super) fn post_datagrams(
        &mut self,
        socket: Fd,
        outbox: &Outbox,
        segment_max: u16,
    ) -> SendReport {
        let number = self.world.endpoint(socket);
        let mut report = SendReport::default();
        let mut limit = segment_max;
        for group in outbox.groups(0) {
            if let Some(errno) = self.world.endpoints.by_number[number].error.take() {
                report.error.get_or_insert(errno);
            }
            let count = group.datagrams as u64;
            if self.chance(self.faults.full) {
                report.full += count;
                continue;
            }
            let mut joined = count > 1 && group.segment <= limit;
            if joined && self.chance(self.faults.joining) {
                (joined, limit) = (false, 0);
                report.segment_max = Some(limit);
            }
            report.joined += u64::from(joined);
            let endpoint = &self.world.endpoints.by_number[number];
            let to = group.to.or(endpoint.peer).expect("a datagram has a receiver");
            assert!(group.to.is_none() || endpoint.peer.is_none(), "connected or not");
            let ip = match (group.from, endpoint.is_wildcard()) {
                (Some(from), true) => from,
                (None, false) => endpoint.local.ip(),
                other => panic!("the local address is named on wildcards only: {other:?}"),
            };
            let from = SocketAddr::new(ip, endpoint.local.port());
            for bytes in group.singles() {
                self.world.endpoints.sent.push(SentDatagram { from, to, bytes: bytes.to_vec() });
                report.datagrams += 1;
                report.bytes += bytes.len() as u64;
            }
        }
        report
    }

    pub(super) fn next_report(&mut self, socket: Fd) -> Option<SocketError> {
        let number = self.world.endpoint(socket);
        self.world.endpoints.by_number[number].reports.pop_front()
    }
}
