//! Which features work: each is shown by one real request, because a kernel that knows an opcode
//! may still refuse its flags. The requests need no network: a network namespace may have none, not
//! even a loopback device that is up.

use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::sync::OnceLock;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{BufRingEntry, CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, UnixAddr, getsockname, socket,
};

use super::buffers::{BufferRing, DATAGRAM_GROUP, GROUP};
use super::datagrams::DatagramRing;
use super::setup::{RingOptions, SetupError, build};
use crate::mem::Pool;
use crate::ring::kernel::datagrams::shape;
use crate::ring::kernel::{SEND_FLAGS, empty_header};

/// How long one request of the probe may take.
const ANSWER_MAX_SECONDS: u64 = 2;
const BUFFERS: u16 = 8;
const BUFFER_SIZE: u32 = 256;
/// The user data of a probe's second completion source.
const MESSAGE: u64 = 77;
/// What no request is called, so that it cannot be cancelled.
const ABSENT: u64 = 78;

/// What the driver does differently by kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// One receive request delivers many times (6.0); else it is renewed each time.
    pub receive_multishot: bool,
    /// One receive request delivers many datagrams (6.0); else it is renewed each time.
    pub datagram_multishot: bool,
    /// Rings can send each other completions (5.18); else every core keeps what it accepts.
    pub hand_off: bool,
    /// Bytes can be sent where they lie (6.1, reported on from 6.2 on); else they are copied.
    pub zero_copy: bool,
}

/// One row of `ringway doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// What it is called.
    pub name: &'static str,
    /// The first kernel that has it.
    pub since: &'static str,
    /// What was found.
    pub presence: Presence,
    /// What we do without it.
    pub instead: &'static str,
    /// Whether nothing works without it.
    pub required: bool,
}

/// The outcome of a feature's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It worked.
    Present,
    /// It was refused.
    Missing(Errno),
}

type Attempt = fn(&mut Trial) -> Result<(), Errno>;

/// Name, first kernel, stand-in, whether it is required, the request.
type Row = (&'static str, &'static str, &'static str, bool, Attempt);

const NOTHING: &str = "nothing: required";
const ONE_BY_ONE: &str = "one receive request at a time";

const ROWS: &[Row] = &[
    ("request round trip", "5.1", NOTHING, true, Trial::round_trip),
    ("timeout of a wait (EXT_ARG)", "5.11", NOTHING, true, Trial::ext_arg),
    ("no lost completions (NODROP)", "5.5", NOTHING, true, Trial::no_drop),
    ("accept, multishot", "5.19", NOTHING, true, Trial::accept),
    ("connect", "5.5", NOTHING, true, Trial::connect),
    ("receive into provided buffers", "5.19", NOTHING, true, Trial::receive_once),
    ("receive, multishot", "6.0", ONE_BY_ONE, false, Trial::receive_many),
    ("datagrams, multishot (recvmsg)", "6.0", ONE_BY_ONE, false, Trial::datagrams),
    ("UDP GSO", "4.18", "one datagram at a time", false, Trial::gso),
    ("UDP GRO", "5.0", "one datagram at a time", false, Trial::gro),
    ("send", "5.6", NOTHING, true, Trial::send),
    ("send, vectored", "5.3", NOTHING, true, Trial::send_vectored),
    ("poll", "5.1", NOTHING, true, Trial::poll),
    ("cancel by descriptor", "5.19", NOTHING, true, Trial::cancel),
    ("close", "5.6", NOTHING, true, Trial::close),
    ("message to another ring", "5.18", "each core keeps what it accepts", false, Trial::message),
    ("wait without I/O-wait accounting", "6.15", "idle shows as iowait", false, Trial::no_iowait),
    ("splice through a pipe", "2.6", "copying", false, Trial::splice),
    // The last one: it may complete twice.
    ("send without a copy", "6.2", "copying", false, Trial::send_zero_copy),
];

/// Tries every feature that Ringway uses.
///
/// # Errors
/// When there is no ring to try them on.
pub fn probe() -> Result<Vec<Feature>, SetupError> {
    let mut features = Vec::with_capacity(ROWS.len());
    let mut trial = Trial::new()?;
    for &(name, since, instead, required, attempt) in ROWS {
        let presence = match attempt(&mut trial) {
            Ok(()) => Presence::Present,
            Err(errno) => {
                // What a refused request has left behind must not spoil the next.
                trial = Trial::new()?;
                Presence::Missing(errno)
            }
        };
        features.push(Feature { name, since, presence, instead, required });
    }
    Ok(features)
}

/// Once per process: whether what is required is there, and what else is.
pub(super) fn required(options: &RingOptions) -> Result<Capabilities, SetupError> {
    static FOUND: OnceLock<Result<Capabilities, SetupError>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let features = probe()?;
        let has = |attempt: Attempt| {
            let row = ROWS.iter().position(|row| std::ptr::fn_addr_eq(row.4, attempt));
            row.is_some_and(|row| features[row].presence == Presence::Present)
        };
        let missing = features.iter().find_map(|feature| match feature.presence {
            Presence::Missing(source) if feature.required => {
                Some(SetupError { call: feature.name, source })
            }
            Presence::Missing(_) | Presence::Present => None,
        });
        match missing {
            Some(error) => Err(error),
            None => Ok(Capabilities {
                receive_multishot: has(Trial::receive_many),
                datagram_multishot: has(Trial::datagrams),
                hand_off: has(Trial::message),
                zero_copy: has(Trial::send_zero_copy),
            }),
        }
    });
    match found {
        // Memory may be short for a moment only: the kernel frees rings some time after a close.
        Err(error) if error.source == Errno::ENOMEM => build(options).map(|_| Capabilities {
            receive_multishot: false,
            datagram_multishot: false,
            hand_off: false,
            zero_copy: false,
        }),
        found => found.clone(),
    }
}

/// A small ring, for one request after the other: rings are charged to locked memory, and the
/// kernel takes the charge back some time after a close.
struct Trial {
    ring: IoUring,
    buffers: Option<BufferRing>,
    datagrams: Option<DatagramRing>,
    pool: Option<Pool>,
}

/// A completion's result and flags.
type Answer = (i32, u32);

impl Trial {
    fn new() -> Result<Self, SetupError> {
        let options = RingOptions { entries: 8, completions: 32, ..RingOptions::default() };
        let (ring, _, _) = build(&options)?;
        let enabled = ring.submitter().register_enable_rings();
        enabled.map_err(|error| SetupError::of("io_uring_register(ENABLE_RINGS)", &error))?;
        Ok(Self { ring, buffers: None, datagrams: None, pool: None })
    }

    /// Gives the ring a few receive buffers, unless it has some: a group is registered once.
    fn with_buffers(&mut self) -> Result<&mut Self, Errno> {
        const _: () = assert!(size_of::<BufRingEntry>() == 16, "an entry of the buffer ring");
        if self.buffers.is_some() {
            return Ok(self);
        }
        let pool = Pool::new(BUFFERS, BUFFER_SIZE).map_err(|_| Errno::ENOMEM)?;
        let ring =
            BufferRing::register(&self.ring, &pool, GROUP, 0).map_err(|error| error.source)?;
        self.buffers = Some(ring);
        self.pool = Some(pool);
        Ok(self)
    }

    fn push(&mut self, entry: &Entry) -> Result<(), Errno> {
        // SAFETY: callers keep what the entry points to until `answer` has returned.
        unsafe { self.ring.submission().push(entry) }.map_err(|_| Errno::EBUSY)
    }

    /// Submits and waits for one completion.
    fn answer(&mut self) -> Result<Answer, Errno> {
        loop {
            if let Some(cqe) = self.ring.completion().next() {
                return if cqe.result() < 0 {
                    Err(Errno::from_raw(-cqe.result()))
                } else {
                    Ok((cqe.result(), cqe.flags()))
                };
            }
            let time = Timespec::new().sec(ANSWER_MAX_SECONDS);
            let args = SubmitArgs::new().timespec(&time);
            let flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
            let queued = u32::try_from(self.ring.submission().len()).unwrap_or(0);
            // SAFETY: as for `push`; args outlives the call.
            unsafe { self.ring.submitter().enter(queued, 1, flags.bits(), Some(&args)) }
                .map_err(|error| super::errno_of(&error))?;
        }
    }

    fn one(&mut self, entry: &Entry) -> Result<Answer, Errno> {
        self.push(entry)?;
        self.answer()
    }

    /// A request that is none of those that are made might be filtered.
    fn round_trip(&mut self) -> Result<(), Errno> {
        match self.one(&opcode::AsyncCancel::new(ABSENT).build()) {
            Err(Errno::ENOENT) | Ok(_) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn ext_arg(&mut self) -> Result<(), Errno> {
        have(self.ring.params().is_feature_ext_arg())
    }

    fn no_drop(&mut self) -> Result<(), Errno> {
        have(self.ring.params().is_feature_nodrop())
    }

    fn no_iowait(&mut self) -> Result<(), Errno> {
        have(self.ring.params().is_feature_no_iowait())
    }

    fn accept(&mut self) -> Result<(), Errno> {
        let listener = listener()?;
        let address = listener.local_addr().map_err(|error| super::errno_of(&error))?;
        let client = UnixStream::connect_addr(&address);
        let _client = client.map_err(|error| super::errno_of(&error))?;
        let fd = Fd(listener.as_raw_fd());
        let (accepted, flags) = self.one(&opcode::AcceptMulti::new(fd).build())?;
        // SAFETY: the kernel has just made this descriptor for us.
        drop(unsafe { OwnedFd::from_raw_fd(accepted) });
        self.end_of(fd)?;
        have(cqueue::more(flags))
    }

    fn connect(&mut self) -> Result<(), Errno> {
        let listener = listener()?;
        let address: UnixAddr = getsockname(listener.as_raw_fd())?;
        let client = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        let fd = Fd(client.as_raw_fd());
        let entry = opcode::Connect::new(fd, address.as_ptr().cast(), address.len()).build();
        match self.one(&entry) {
            // Filters allow it elsewhere.
            Err(Errno::EACCES) | Ok(_) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn receive_once(&mut self) -> Result<(), Errno> {
        let (ours, mut theirs) = pair()?;
        let entry = opcode::Recv::new(Fd(ours.as_raw_fd()), std::ptr::null_mut(), 0)
            .buf_group(GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT);
        self.with_buffers()?.push(&entry)?;
        theirs.write_all(b"x").map_err(|error| super::errno_of(&error))?;
        let (_, flags) = self.answer()?;
        have(cqueue::buffer_select(flags).is_some())
    }

    fn receive_many(&mut self) -> Result<(), Errno> {
        let (ours, mut theirs) = pair()?;
        let entry = opcode::RecvMulti::new(Fd(ours.as_raw_fd()), GROUP).build();
        self.with_buffers()?.push(&entry)?;
        theirs.write_all(b"x").map_err(|error| super::errno_of(&error))?;
        let (_, flags) = self.answer()?;
        self.end_of(Fd(ours.as_raw_fd()))?;
        have(cqueue::buffer_select(flags).is_some() && cqueue::more(flags))
    }

    fn datagrams(&mut self) -> Result<(), Errno> {
        let (ours, theirs) = UnixDatagram::pair().map_err(|error| super::errno_of(&error))?;
        let ring = DatagramRing::register(&self.ring, BUFFERS, true);
        self.datagrams = Some(ring.map_err(|error| error.source)?);
        let shape = shape();
        let fd = Fd(ours.as_raw_fd());
        self.push(&opcode::RecvMsgMulti::new(fd, &raw const *shape, DATAGRAM_GROUP).build())?;
        theirs.send(b"x").map_err(|error| super::errno_of(&error))?;
        let (_, flags) = self.answer()?;
        self.end_of(fd)?;
        have(cqueue::buffer_select(flags).is_some() && cqueue::more(flags))
    }

    fn gso(&mut self) -> Result<(), Errno> {
        let socket = udp()?;
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::UdpGsoSegment, &0)
    }

    fn gro(&mut self) -> Result<(), Errno> {
        let socket = udp()?;
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::UdpGroSegment, &true)
    }

    /// Ends what is in flight on `fd`: two completions in any order, the cancelled request's and
    /// the cancel's own.
    fn end_of(&mut self, fd: Fd) -> Result<(), Errno> {
        self.push(&opcode::AsyncCancel2::new(CancelBuilder::fd(fd).all()).build())?;
        match (self.answer(), self.answer()) {
            (Err(Errno::ECANCELED), Ok(_)) | (Ok(_), Err(Errno::ECANCELED)) => Ok(()),
            (Err(errno), _) | (_, Err(errno)) => Err(errno),
            (Ok(_), Ok(_)) => Err(Errno::EINVAL),
        }
    }

    fn send(&mut self) -> Result<(), Errno> {
        let (ours, _theirs) = pair()?;
        let text = b"x";
        let entry = opcode::Send::new(Fd(ours.as_raw_fd()), text.as_ptr(), 1)
            .flags(libc::MSG_DONTWAIT)
            .build();
        self.one(&entry).map(drop)
    }

    fn send_vectored(&mut self) -> Result<(), Errno> {
        let (ours, _theirs) = pair()?;
        let mut text = *b"x";
        let mut slice = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: 1 };
        let mut header = empty_header();
        header.msg_iov = &raw mut slice;
        header.msg_iovlen = 1;
        let fd = Fd(ours.as_raw_fd());
        self.one(&opcode::SendMsg::new(fd, &raw const header).build()).map(drop)
    }

    /// Without a connection, as there may be no network: only whether the request is known.
    fn send_zero_copy(&mut self) -> Result<(), Errno> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
        let header = empty_header();
        let send = opcode::SendMsgZc::new(Fd(socket.as_raw_fd()), &raw const header);
        let entry = send.flags(SEND_FLAGS.cast_unsigned()).ioprio(super::zero_copy::REPORT_USAGE);
        match self.one(&entry.build()) {
            Ok(_) | Err(Errno::EPIPE | Errno::ENOTCONN | Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn poll(&mut self) -> Result<(), Errno> {
        let (ours, _theirs) = pair()?;
        let events = u32::from(libc::POLLOUT.cast_unsigned());
        self.one(&opcode::PollAdd::new(Fd(ours.as_raw_fd()), events).build()).map(drop)
    }

    fn cancel(&mut self) -> Result<(), Errno> {
        let (ours, _theirs) = pair()?;
        let fd = Fd(ours.as_raw_fd());
        let events = u32::from(libc::POLLIN.cast_unsigned());
        self.push(&opcode::PollAdd::new(fd, events).build())?;
        self.end_of(fd)
    }

    fn close(&mut self) -> Result<(), Errno> {
        let (ours, _theirs) = pair()?;
        let fd = std::os::fd::IntoRawFd::into_raw_fd(ours);
        self.one(&opcode::Close::new(Fd(fd)).build()).map(drop)
    }

    fn message(&mut self) -> Result<(), Errno> {
        let this = Fd(self.ring.as_raw_fd());
        self.push(&opcode::MsgRingData::new(this, 5, MESSAGE, None).build())?;
        let answers = [self.answer()?.0, self.answer()?.0];
        have(answers.contains(&5))
    }

    fn splice(&mut self) -> Result<(), Errno> {
        let (ours, mut theirs) = pair()?;
        theirs.write_all(b"x").map_err(|error| super::errno_of(&error))?;
        let (reader, writer) = nix::unistd::pipe()?;
        let flags = nix::fcntl::SpliceFFlags::SPLICE_F_NONBLOCK;
        let moved = nix::fcntl::splice(&ours, None, &writer, None, 1, flags)?;
        drop(reader);
        have(moved == 1)
    }
}

fn have(present: bool) -> Result<(), Errno> {
    if present { Ok(()) } else { Err(Errno::ENOTSUP) }
}

fn pair() -> Result<(UnixStream, UnixStream), Errno> {
    UnixStream::pair().map_err(|error| super::errno_of(&error))
}

/// A listener of Unix sockets: with an empty path the kernel chooses an abstract address.
fn listener() -> Result<UnixListener, Errno> {
    UnixListener::bind("").map_err(|error| super::errno_of(&error))
}

/// A socket of UDP whose address is not that of any device.
fn udp() -> Result<UdpSocket, Errno> {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|error| super::errno_of(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_required_feature_is_tried_and_found_here() {
        let features = probe().unwrap();
        assert_eq!(features.len(), ROWS.len());
        for feature in features {
            assert!(
                !feature.required || feature.presence == Presence::Present,
                "{}: {:?}",
                feature.name,
                feature.presence
            );
            // A refusal is the kernel's, and not of what a request before has left behind.
            let ours = [Errno::EEXIST, Errno::EBUSY, Errno::EBADF, Errno::ETIME];
            let of_our_own = ours.map(Presence::Missing).contains(&feature.presence);
            assert!(!of_our_own, "{}: {:?}", feature.name, feature.presence);
        }
    }

    #[test]
    fn a_network_namespace_without_loopback_changes_nothing() {
        let here = probe().unwrap();
        let there = std::thread::spawn(|| {
            // Of this thread alone.
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).map(|()| probe().unwrap())
        });
        match there.join().unwrap() {
            Ok(there) => assert_eq!(there, here),
            Err(Errno::EPERM) => println!("not tried: it needs CAP_SYS_ADMIN"),
            Err(errno) => panic!("{errno}"),
        }
    }
}
