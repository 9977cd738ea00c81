//! Sending a batch of datagrams with `sendmmsg(2)`.

use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;

use super::SEND_FLAGS;
use super::datagrams::{Control, Name};
use super::streams::send_bytes;
use crate::ring::datagram::{CONTROL_MAX, NAME_MAX, put_local, put_message};
use crate::ring::outbox::Outbound;
use crate::ring::{Fd, Outbox, SEGMENTS_SENT_MAX, SendReport};

/// Most messages of one call: `UIO_MAXIOV`.
const MESSAGES_MAX: usize = 1024;
/// Payload of the largest datagram on an Ethernet. Larger ones are split by IP on most ways, where
/// joining is refused.
const ETHERNET_MAX: u16 = 1472;

/// The arrays that `sendmmsg(2)` reads, kept from call to call.
#[derive(Default)]
pub struct SendBatch {
    headers: Vec<libc::mmsghdr>,
    letters: Vec<SendMessage>,
    slices: Vec<libc::iovec>,
    /// Control messages, of those letters that have any.
    controls: Vec<Control>,
}

/// What a message's header points to beside the payload, and what it stands for.
#[derive(Clone, Copy)]
struct SendMessage {
    name: Name,
    name_len: u8,
    control_len: u8,
    /// The place of its control messages.
    control: u32,
    /// First and number of its slices.
    slices: (u32, u32),
    /// The number of its group in the outbox.
    group: u32,
    datagrams: u32,
    bytes: u32,
    /// Whether it holds several datagrams, of so many bytes.
    segment: Option<u16>,
}

/// How a call went on.
enum Step {
    /// So many messages were sent.
    Sent(usize),
    /// The first one was not.
    Failed(Errno),
}

impl std::fmt::Debug for SendBatch {
    /// Without what was sent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SendBatch").finish_non_exhaustive()
    }
}

impl SendBatch {
    /// Sends all of `outbox`, see [`crate::ring::Syscalls::send_datagrams`].
    pub(in crate::ring) fn send(
        &mut self,
        socket: Fd,
        outbox: &Outbox,
        segment_max: u16,
    ) -> SendReport {
        if let Some(data) = outbox.only() {
            return send_one(socket, data);
        }
        let mut report = SendReport::default();
        let mut limit = segment_max;
        let mut group = 0;
        // The group that is sent one by one because the kernel refused it joined.
        let mut single = None;
        while self.write(outbox, group, limit, single) {
            let mut sent = 0;
            let mut failures = 0;
            let refused = loop {
                if sent == self.letters.len() {
                    break None;
                }
                match self.call(socket, sent) {
                    Step::Sent(count) => {
                        self.letters[sent..sent + count].iter().for_each(|l| l.count(&mut report));
                        sent += count;
                        failures = 0;
                        report.interrupted |= sent < self.letters.len();
                    }
                    Step::Failed(Errno::EINTR) => {}
                    Step::Failed(Errno::EAGAIN) => {
                        let done = self.letters[sent].group as usize;
                        let rest: u64 = self.letters[sent..].iter().map(|l| l.datagrams()).sum();
                        let last = self.letters.last().map_or(done, |l| l.group as usize);
                        let later = outbox.groups(last + 1).map(|group| group.datagrams as u64);
                        report.full += rest + later.sum::<u64>();
                        return report;
                    }
                    Step::Failed(errno) => {
                        let letter = &self.letters[sent];
                        if let (Some(segment), true) = (letter.segment, is_refusal(errno)) {
                            let connected = letter.name_len == 0;
                            if let Some(less) = narrowed(errno, segment, connected) {
                                limit = less.min(limit);
                                report.segment_max = Some(limit);
                            }
                            break Some(letter.group);
                        }
                        report.error.get_or_insert(errno);
                        // The error may be that of an earlier datagram: once more.
                        failures += 1;
                        if failures > 1 || errno == Errno::ENOBUFS {
                            letter.drop(errno, &mut report);
                            sent += 1;
                            failures = 0;
                        }
                    }
                }
            };
            group = match (refused, self.letters.last()) {
                (Some(group), _) => group as usize,
                (None, last) => last.map_or(usize::MAX, |letter| letter.group as usize + 1),
            };
            single = refused;
        }
        report
    }

    /// Writes the messages of the groups from `first` on, as many as fit; false when there is none.
    fn write(&mut self, outbox: &Outbox, first: usize, limit: u16, single: Option<u32>) -> bool {
        self.letters.clear();
        self.slices.clear();
        self.controls.clear();
        for (group, outbound) in (first..).zip(outbox.groups(first)) {
            let group = u32::try_from(group).unwrap_or(u32::MAX);
            let joined = outbound.datagrams == 1
                || (outbound.segment <= limit
                    && outbound.datagrams <= SEGMENTS_SENT_MAX
                    && single != Some(group));
            let needed = if joined { 1 } else { outbound.datagrams };
            if self.letters.len() + needed > MESSAGES_MAX && !self.letters.is_empty() {
                break;
            }
            if joined {
                let from = self.slices.len();
                let slices = outbound.slices().map(|data| slice(data));
                self.slices.extend(slices);
                let end = self.slices.len();
                self.letters.push(SendMessage::new(
                    &outbound,
                    group,
                    (from, end),
                    &mut self.controls,
                ));
            } else {
                let mut one = outbound;
                one.datagrams = 1;
                let whole = SendMessage::new(&one, group, (0, 0), &mut self.controls);
                for bytes in outbound.singles() {
                    let at = u32::try_from(self.slices.len()).unwrap_or(u32::MAX);
                    self.slices.push(slice(bytes));
                    let bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    self.letters.push(SendMessage { slices: (at, 1), bytes, ..whole });
                }
            }
        }
        self.address();
        !self.letters.is_empty()
    }

    /// Makes the headers, now that what they point to stays where it is.
    fn address(&mut self) {
        let Self { headers, letters, slices, controls } = self;
        headers.clear();
        for letter in letters {
            // SAFETY: a mmsghdr is plain data, for which all zeroes is a valid value.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            let message = &mut header.msg_hdr;
            if letter.name_len > 0 {
                message.msg_name = letter.name.0.as_mut_ptr().cast();
                message.msg_namelen = libc::socklen_t::from(letter.name_len);
            }
            if letter.control_len > 0 {
                let control = &mut controls[letter.control as usize];
                message.msg_control = control.0.as_mut_ptr().cast();
                message.msg_controllen = usize::from(letter.control_len);
            }
            let (first, count) = letter.slices;
            message.msg_iov = slices[first as usize..].as_mut_ptr();
            message.msg_iovlen = count as usize;
            headers.push(header);
        }
    }

    /// One call for the messages from `first` on.
    fn call(&mut self, socket: Fd, first: usize) -> Step {
        let headers = &mut self.headers[first..];
        let result = match headers {
            [only] => {
                // SAFETY: the header and all it points to (letters, slices, the outbox's buffers)
                // live and are not moved until the call has returned.
                let sent = unsafe { libc::sendmsg(socket.0, &raw const only.msg_hdr, SEND_FLAGS) };
                if sent < 0 { -1 } else { 1 }
            }
            headers => {
                let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
                // SAFETY: as above, for `count` headers.
                unsafe { libc::sendmmsg(socket.0, headers.as_mut_ptr(), count, SEND_FLAGS as _) }
            }
        };
        match usize::try_from(result) {
            Ok(count) if count > 0 => Step::Sent(count),
            Ok(_) => Step::Failed(Errno::EAGAIN),
            Err(_) => Step::Failed(Errno::last()),
        }
    }
}

impl SendMessage {
    fn new(
        outbound: &Outbound<'_>,
        group: u32,
        (first, end): (usize, usize),
        controls: &mut Vec<Control>,
    ) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let segment = (outbound.datagrams > 1).then_some(outbound.segment);
        let (name, name_len) = outbound.to.map_or((Name([0; NAME_MAX]), 0), name_of);
        let control = count(controls.len());
        let control_len = put_control(controls, outbound.from, segment);
        Self {
            name,
            name_len,
            control_len,
            control,
            slices: (count(first), count(end - first)),
            group,
            datagrams: count(outbound.datagrams),
            bytes: count(outbound.bytes),
            segment,
        }
    }

    fn datagrams(&self) -> u64 {
        u64::from(self.datagrams)
    }

    fn count(&self, report: &mut SendReport) {
        report.datagrams += self.datagrams();
        report.bytes += u64::from(self.bytes);
        report.joined += u64::from(self.segment.is_some());
    }

    fn drop(&self, errno: Errno, report: &mut SendReport) {
        if errno == Errno::ENOBUFS {
            report.full += self.datagrams();
        } else {
            report.refused += self.datagrams();
        }
    }
}

/// The one datagram of a connected socket: a call without a header to read.
fn send_one(socket: Fd, data: &[u8]) -> SendReport {
    let mut report = SendReport::default();
    // The error may be that of an earlier datagram: once more.
    for _ in 0..2 {
        let Err(errno) = send_bytes(socket, data, 0) else {
            report.datagrams = 1;
            report.bytes = data.len() as u64;
            return report;
        };
        if errno == Errno::EAGAIN || errno == Errno::ENOBUFS {
            report.full = 1;
            return report;
        }
        report.error.get_or_insert(errno);
    }
    report.refused = 1;
    report
}

/// The `sockaddr` of a receiver, and its length.
fn name_of(to: SocketAddr) -> (Name, u8) {
    let mut name = Name([0; NAME_MAX]);
    let bytes = &mut name.0;
    let (family, len) = match to {
        SocketAddr::V4(_) => (libc::AF_INET, size_of::<libc::sockaddr_in>()),
        SocketAddr::V6(_) => (libc::AF_INET6, size_of::<libc::sockaddr_in6>()),
    };
    bytes[..2].copy_from_slice(&u16::try_from(family).unwrap_or(0).to_ne_bytes());
    bytes[2..4].copy_from_slice(&to.port().to_be_bytes());
    match to {
        SocketAddr::V4(v4) => bytes[4..8].copy_from_slice(&v4.ip().octets()),
        SocketAddr::V6(v6) => {
            bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
        }
    }
    (name, u8::try_from(len).unwrap_or(0))
}

/// Adds the control messages for a local address and a segment size; their length, 0 for none.
fn put_control(controls: &mut Vec<Control>, from: Option<IpAddr>, segment: Option<u16>) -> u8 {
    if from.is_none() && segment.is_none() {
        return 0;
    }
    let mut control = Control([0; CONTROL_MAX]);
    let mut used = 0;
    if let Some(from) = from {
        put_local(&mut control.0, &mut used, from);
    }
    if let Some(segment) = segment {
        let kind = (libc::SOL_UDP, libc::UDP_SEGMENT);
        put_message(&mut control.0, &mut used, kind, &segment.to_ne_bytes());
    }
    controls.push(control);
    u8::try_from(used).unwrap_or(0)
}

/// Whether an error of a joined send may mean that joining is refused.
fn is_refusal(errno: Errno) -> bool {
    matches!(errno, Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::EOPNOTSUPP)
}

/// What may be joined from now on, after datagrams of `segment` bytes were refused. Without
/// checksum offload nothing can ever be. What is larger than the way carries is the one receiver's
/// matter, unless the socket has no other or few ways carry it.
fn narrowed(errno: Errno, segment: u16, connected: bool) -> Option<u16> {
    if matches!(errno, Errno::EIO | Errno::EOPNOTSUPP) {
        return Some(0);
    }
    if connected {
        return Some(segment.saturating_sub(1));
    }
    (segment > ETHERNET_MAX).then_some(ETHERNET_MAX)
}

fn slice(bytes: &[u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
}
