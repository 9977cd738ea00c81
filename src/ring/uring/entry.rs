//! An operation becomes a submission entry; what the kernel uses meanwhile is kept in a flight.

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{self, CancelBuilder};

use super::buffers::GROUP;
use super::datagrams::Receipts;
use crate::mem::{Buf, Outgoing};
use crate::ring::kernel::streams::slice_of;
use crate::ring::kernel::{SEND_FLAGS, empty_header};
use crate::ring::{Fd, LANES, Op, SocketAddress, Token};

const _: () = assert!(size_of::<Entry>() == 64, "a submission entry is 64 bytes");

const ACCEPT_FLAGS: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// Memory that the kernel uses for the operations in flight: per slot and lane, one send or one
/// connect. A place is filled by [`build`] and emptied by the operation's completion, never
/// before; that is the invariant that all pointers in submission entries rest on.
pub(super) struct Flights {
    places: Vec<Flight>,
    /// Headers of ended vectored sends, to be used again.
    #[expect(clippy::vec_box, reason = "the boxes go to flights, where they must not move")]
    spare: Vec<Box<Vectored>>,
    /// Receives of datagrams.
    pub(super) receipts: Receipts,
    /// Handles on pool buffers that sends in flight own.
    #[cfg(debug_assertions)]
    pooled: usize,
}

/// Most ended headers that are kept.
const SPARE_MAX: usize = 64;

/// What the kernel uses for one operation.
#[derive(Default)]
pub(super) enum Flight {
    #[default]
    Empty,
    One(Buf),
    Many(Box<Vectored>),
    Connect(Box<SocketAddress>),
}

/// A vectored send. Boxed, so that what the entry points to does not move.
pub(super) struct Vectored {
    header: libc::msghdr,
    slices: Vec<libc::iovec>,
    data: Vec<Buf>,
}

impl Vectored {
    /// What an entry points to.
    pub(super) const fn header(&self) -> *const libc::msghdr {
        &raw const self.header
    }
}

impl Flights {
    /// None in flight. Whether the kernel delivers many datagrams per receive.
    pub(super) fn new(datagram_multishot: bool) -> Self {
        Self {
            places: Vec::new(),
            spare: Vec::new(),
            receipts: Receipts::new(datagram_multishot),
            #[cfg(debug_assertions)]
            pooled: 0,
        }
    }

    fn place(&mut self, token: Token) -> &mut Flight {
        let place = token.key.index as usize * LANES + token.lane.index();
        if place >= self.places.len() {
            self.places.resize_with(place + 1, Flight::default);
        }
        &mut self.places[place]
    }

    /// Handles on pool buffers that sends in flight own.
    #[cfg(debug_assertions)]
    pub(super) const fn pooled(&self) -> usize {
        self.pooled
    }

    /// The data of a send that has completed.
    pub(super) fn take_data(&mut self, token: Token) -> Option<Outgoing> {
        let data = self.take_flight(token);
        #[cfg(debug_assertions)]
        {
            self.pooled -= data.as_ref().map_or(0, Outgoing::pooled);
        }
        data
    }

    fn take_flight(&mut self, token: Token) -> Option<Outgoing> {
        let flight = std::mem::take(self.place(token));
        self.data_of(flight)
    }

    /// What a send has carried, whose entry the kernel needs no more.
    pub(super) fn data_of(&mut self, flight: Flight) -> Option<Outgoing> {
        match flight {
            Flight::One(buf) => Some(Outgoing::One(buf)),
            Flight::Many(mut vectored) => {
                let data = std::mem::take(&mut vectored.data);
                if self.spare.len() < SPARE_MAX {
                    self.spare.push(vectored);
                }
                Some(Outgoing::Many(data))
            }
            Flight::Empty | Flight::Connect(_) => {
                debug_assert!(false, "a send that completes was in flight");
                None
            }
        }
    }

    /// What a send needs.
    pub(super) fn flight_of(&mut self, data: Outgoing) -> Flight {
        match data {
            Outgoing::One(buf) => Flight::One(buf),
            Outgoing::Many(bufs) => Flight::Many(self.vectored(bufs)),
        }
    }

    /// A connect has completed.
    pub(super) fn clear(&mut self, token: Token) {
        *self.place(token) = Flight::Empty;
    }

    fn fill(&mut self, token: Token, flight: Flight) -> &Flight {
        let place = self.place(token);
        assert!(matches!(place, Flight::Empty), "one send or connect per slot and lane");
        *place = flight;
        place
    }

    fn vectored(&mut self, data: Vec<Buf>) -> Box<Vectored> {
        let mut vectored = self.spare.pop().unwrap_or_else(|| {
            Box::new(Vectored { header: empty_header(), slices: Vec::new(), data: Vec::new() })
        });
        vectored.slices.clear();
        vectored.slices.extend(data.iter().map(slice_of));
        vectored.header.msg_iov = vectored.slices.as_mut_ptr();
        vectored.header.msg_iovlen = vectored.slices.len();
        vectored.data = data;
        vectored
    }
}

/// The entry of `op`. The kernel may use it until the completion of `token`.
pub(super) fn build(flights: &mut Flights, token: Token, op: Op, always_once: bool) -> Entry {
    match op {
        Op::Accept { listener } => {
            opcode::AcceptMulti::new(types::Fd(listener.0)).flags(ACCEPT_FLAGS).build()
        }
        Op::Receive { socket, once } if once || always_once => {
            opcode::Recv::new(types::Fd(socket.0), std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .build()
                .flags(Flags::BUFFER_SELECT)
        }
        Op::Receive { socket, .. } => opcode::RecvMulti::new(types::Fd(socket.0), GROUP).build(),
        // The length is that of the buffer which the kernel takes.
        Op::Read { file, offset } => opcode::Read::new(types::Fd(file.0), std::ptr::null_mut(), 0)
            .offset(offset)
            .buf_group(GROUP)
            .build()
            .flags(Flags::BUFFER_SELECT),
        Op::ReceiveFrom { socket } => flights.receipts.build(token, socket),
        Op::Send { socket, data } => send(flights, token, socket, data),
        Op::Connect { socket, address } => {
            let Flight::Connect(kept) = flights.fill(token, Flight::Connect(address)) else {
                unreachable!("just filled")
            };
            let bytes = kept.as_bytes();
            let len = u32::try_from(bytes.len()).unwrap_or(0);
            opcode::Connect::new(types::Fd(socket.0), bytes.as_ptr().cast(), len).build()
        }
        Op::PollIn { fd } => poll(fd, libc::POLLIN | libc::POLLRDHUP),
        Op::PollOut { fd } => poll(fd, libc::POLLOUT),
        Op::Cancel { target } => opcode::AsyncCancel::new(target.pack()).build(),
        Op::CancelAll { fd } => {
            opcode::AsyncCancel2::new(CancelBuilder::fd(types::Fd(fd.0)).all()).build()
        }
        Op::Close { fd } => opcode::Close::new(types::Fd(fd.0)).build(),
        Op::HandOff { ring, arrival, socket } => {
            opcode::MsgRingData::new(types::Fd(ring.0), socket.0, arrival.pack(), None).build()
        }
    }
}

fn send(flights: &mut Flights, token: Token, socket: Fd, data: Outgoing) -> Entry {
    let socket = types::Fd(socket.0);
    #[cfg(debug_assertions)]
    {
        flights.pooled += data.pooled();
    }
    let flight = flights.flight_of(data);
    match flights.fill(token, flight) {
        Flight::One(buf) => {
            let len = u32::try_from(buf.len()).unwrap_or(u32::MAX);
            opcode::Send::new(socket, buf.as_ptr(), len).flags(SEND_FLAGS).build()
        }
        Flight::Many(vectored) => opcode::SendMsg::new(socket, vectored.header())
            .flags(SEND_FLAGS.cast_unsigned())
            .build(),
        Flight::Empty | Flight::Connect(_) => unreachable!("just filled"),
    }
}

fn poll(fd: Fd, events: libc::c_short) -> Entry {
    opcode::PollAdd::new(types::Fd(fd.0), u32::from(events.cast_unsigned())).build()
}
