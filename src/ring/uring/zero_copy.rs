//! Sends without a copy (`IORING_OP_SEND_ZC`, Linux 6.0; `SENDMSG_ZC`, 6.1): the kernel reads the
//! bytes where they lie until the peer has acknowledged them, and then says so.
//!
//! Such a send completes twice. With the first completion its bytes are given back to whoever sent
//! them, as those of every send; a second handle stays here until the kernel's notification, so
//! that they cannot be changed, nor their memory be used again, before.

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::{cqueue, types};

use super::entry::{Flight, Flights};
use crate::mem::Outgoing;
use crate::ring::kernel::SEND_FLAGS;
use crate::ring::{Fd, SocketAddress, Token};

/// Marks the numbers of these sends among those that the kernel carries: no token has it.
const MARK: u64 = 0xff << 56;
/// The kernel reports whether it has copied (`IORING_SEND_ZC_REPORT_USAGE`, Linux 6.2).
pub(super) const REPORT_USAGE: u16 = 1 << 3;
/// In a notification: it has (`IORING_NOTIF_USAGE_ZC_COPIED`).
const COPIED: u32 = 1 << 31;
/// Bytes that the kernel may hold for one worker's peers. What is sent beyond it is copied.
const HELD_MAX: usize = 64 << 20;
/// Bytes of a mean slice, at least: each pins a page, or two.
const PIECE_MIN: usize = 4 << 10;
/// From so many bytes on it pays on real networks: below, pinning pages costs more than a copy.
const AUTO_MIN: usize = 16 << 10;

/// Which sends are made without a copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ZeroCopySend {
    /// Large ones to peers on other hosts.
    #[default]
    Auto,
    /// None.
    Off,
    /// All of at least so many bytes.
    From(u32),
}

/// What is known of a socket's peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Peer {
    #[default]
    Unknown,
    /// Sends to it may be made without a copy.
    Remote,
    /// The kernel would copy, has copied, or cannot.
    Copied,
}

/// A send that the kernel has not let go of.
struct Held {
    token: Token,
    socket: Fd,
    /// How often its number had been given out.
    life: u32,
    /// A handle on what is sent. None: its first completion has not come.
    data: Option<Outgoing>,
    /// What the entry points to.
    flight: Flight,
    len: usize,
}

/// The first completion of one of these sends.
pub(super) struct Sent {
    pub(super) token: Token,
    pub(super) socket: Fd,
    pub(super) data: Outgoing,
}

/// The sends of a ring.
pub(super) struct ZeroCopy {
    /// `None`: none is made.
    from: Option<usize>,
    /// Peers on this host, too: only tests and measurements ask for that.
    is_forced: bool,
    /// With how often each number was given out.
    peers: Vec<(Peer, u32)>,
    held: Vec<Option<Held>>,
    free: Vec<u32>,
    /// Bytes that the kernel holds.
    bytes: usize,
    /// Sends that were made.
    pub(super) sends: u64,
    /// Of them, those that the kernel has copied after all.
    pub(super) copied: u64,
}

impl ZeroCopy {
    pub(super) fn new(wanted: ZeroCopySend, is_supported: bool) -> Self {
        let (from, is_forced) = match wanted {
            _ if !is_supported => (None, false),
            ZeroCopySend::Off => (None, false),
            ZeroCopySend::Auto => (Some(AUTO_MIN), false),
            ZeroCopySend::From(least) => (Some(least as usize), true),
        };
        Self {
            from,
            is_forced,
            peers: Vec::new(),
            held: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            sends: 0,
            copied: 0,
        }
    }

    /// Sends whose bytes the kernel may still read.
    pub(super) fn pending(&self) -> usize {
        self.held.len() - self.free.len()
    }

    /// Bytes that the kernel holds.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// A socket of this number is new.
    pub(super) fn forget(&mut self, socket: Fd) {
        if let Some(peer) = usize::try_from(socket.0).ok().and_then(|at| self.peers.get_mut(at)) {
            *peer = (Peer::Unknown, peer.1.wrapping_add(1));
        }
    }

    /// Whether this send is made without a copy. Bytes in receive buffers are not: others wait for
    /// those, and the peer decides how long it takes.
    pub(super) fn is_for(
        &mut self,
        socket: Fd,
        data: &Outgoing,
        peer: impl FnOnce() -> Option<SocketAddress>,
    ) -> bool {
        let Some(from) = self.from else { return false };
        let len = data.len();
        let is_in_pieces = len < data.segments().len() * PIECE_MIN && !self.is_forced;
        if len < from || len > HELD_MAX - self.bytes || data.is_pooled() || is_in_pieces {
            return false;
        }
        if self.peer(socket).0 == Peer::Unknown {
            let is_remote = || is_remote(&peer()?).then_some(());
            let known =
                if self.is_forced || is_remote().is_some() { Peer::Remote } else { Peer::Copied };
            self.peer(socket).0 = known;
        }
        self.peer(socket).0 == Peer::Remote
    }

    fn peer(&mut self, socket: Fd) -> &mut (Peer, u32) {
        let at = usize::try_from(socket.0).unwrap_or(0);
        if at >= self.peers.len() {
            self.peers.resize(at + 1, (Peer::Unknown, 0));
        }
        &mut self.peers[at]
    }

    /// The entry of a send, with the number by which its completions are known.
    pub(super) fn build(
        &mut self,
        flights: &mut Flights,
        token: Token,
        socket: Fd,
        data: Outgoing,
    ) -> Entry {
        let len = data.len();
        let flight = flights.flight_of(data);
        let to = types::Fd(socket.0);
        let entry = match &flight {
            Flight::One(buf) => {
                let len = u32::try_from(buf.len()).unwrap_or(u32::MAX);
                let send = opcode::SendZc::new(to, buf.as_ptr(), len).flags(SEND_FLAGS);
                send.zc_flags(REPORT_USAGE).build()
            }
            Flight::Many(vectored) => {
                let send = opcode::SendMsgZc::new(to, vectored.header());
                send.flags(SEND_FLAGS.cast_unsigned()).ioprio(REPORT_USAGE).build()
            }
            Flight::Empty | Flight::Connect(_) => unreachable!("of a send"),
        };
        self.bytes += len;
        self.sends += 1;
        let life = self.peer(socket).1;
        let held = Held { token, socket, life, data: None, flight, len };
        let place = self.free.pop().unwrap_or_else(|| {
            self.held.push(None);
            u32::try_from(self.held.len() - 1).unwrap_or(u32::MAX)
        });
        self.held[place as usize] = Some(held);
        entry.user_data(MARK | u64::from(place))
    }

    /// Whether a completion is one of these sends.
    pub(super) fn is_ours(cqe: &cqueue::Entry) -> bool {
        cqe.user_data() & MARK == MARK
    }

    /// Takes a completion; a notification is none of a send. Neither are unknown numbers.
    pub(super) fn complete(&mut self, cqe: &cqueue::Entry, flights: &mut Flights) -> Option<Sent> {
        let place = u32::try_from(cqe.user_data() & !MARK).ok()?;
        let held = self.held.get_mut(place as usize)?.as_mut()?;
        if cqueue::notif(cqe.flags()) {
            if cqe.result().cast_unsigned() & COPIED != 0 {
                self.copied += 1;
                let (socket, life) = (held.socket, held.life);
                // The number may be another connection's by now.
                if !self.is_forced && self.peer(socket).1 == life {
                    self.peer(socket).0 = Peer::Copied;
                }
            }
            self.release(place);
            return None;
        }
        let (token, socket) = (held.token, held.socket);
        let data = flights.data_of(std::mem::take(&mut held.flight))?;
        if cqueue::more(cqe.flags()) {
            held.data = Some(data.clone());
            // It holds what it has taken.
            let taken = usize::try_from(cqe.result()).unwrap_or(0);
            self.bytes -= held.len - taken.min(held.len);
            held.len = held.len.min(taken);
        } else {
            self.release(place);
        }
        Some(Sent { token, socket, data })
    }

    /// This kind of socket cannot, or the limit of locked memory is reached: sends are copied.
    pub(super) fn refuse(&mut self, socket: Fd) {
        self.peer(socket).0 = Peer::Copied;
    }

    fn release(&mut self, place: u32) {
        if let Some(held) = self.held[place as usize].take() {
            self.bytes -= held.len;
            self.free.push(place);
        }
    }

    /// Keeps for ever what the kernel may still read.
    pub(super) fn leak(&mut self) {
        std::mem::forget(std::mem::take(&mut self.held));
        self.free.clear();
    }
}

/// Whether an address is that of another host, as far as it tells.
fn is_remote(peer: &SocketAddress) -> bool {
    peer.ip().is_some_and(|address| !address.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_elsewhere_are_remote() {
        let of = |text: &str| is_remote(&SocketAddress::inet(text.parse().expect("an address")));
        assert!(of("192.0.2.1:1") && of("[2001:db8::1]:1"));
        assert!(!of("127.0.0.2:1") && !of("[::1]:1") && !of("[::ffff:127.0.0.1]:1"));
        let unix = SocketAddress::unix(std::path::Path::new("/run/x")).expect("it is short");
        assert!(!is_remote(&unix));
    }
}
