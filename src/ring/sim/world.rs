//! Sockets, links, pipes and peers of the simulated kernel.

use std::collections::{BTreeMap, VecDeque};

use nix::errno::Errno;

use super::datagrams::Endpoints;
use crate::ring::{Fd, SocketAddress};

/// The other end of a simulated connection, played by the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(usize);

/// What a connect to an address meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// A peer, through a link that holds so many bytes each way.
    Accept {
        /// Bytes that the link holds each way.
        capacity: usize,
    },
    /// A reset.
    Refuse,
    /// No route.
    Unreachable,
    /// Nothing.
    Silent,
    /// Another error.
    Fails(Errno),
}

#[derive(Debug)]
pub(super) enum Object {
    Listener(VecDeque<Fd>),
    /// Not connected yet.
    Fresh,
    /// Our end of the link of this number.
    Socket {
        link: usize,
        reset_on_close: bool,
    },
    PipeReader(usize),
    PipeWriter(usize),
    /// A file of this name.
    File(String),
    /// The datagram socket of this number.
    Datagrams(usize),
}

/// A connection between one of our sockets and a peer.
#[derive(Debug)]
struct Link {
    capacity: usize,
    to_us: Half,
    to_peer: Half,
    /// The peer has reset the connection.
    peer_reset: bool,
    /// We have reset it.
    we_reset: bool,
    we_closed: bool,
}

#[derive(Debug, Default)]
struct Half {
    bytes: VecDeque<u8>,
    finished: bool,
}

#[derive(Debug, Default)]
struct Tube {
    bytes: VecDeque<u8>,
    capacity: usize,
}

#[derive(Debug, Default)]
pub(super) struct World {
    /// Descriptors; the lowest free number is given out first, as the real kernel does, so that a
    /// use after close hits somebody else's.
    objects: Vec<Option<Object>>,
    links: Vec<Link>,
    tubes: Vec<Tube>,
    pub(super) endpoints: Endpoints,
    servers: BTreeMap<String, Behaviour>,
    pub(super) accepted: Vec<(SocketAddress, PeerId)>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl World {
    pub(super) fn insert(&mut self, object: Object) -> Fd {
        let free = self.objects.iter().position(Option::is_none);
        let index = free.unwrap_or(self.objects.len());
        match free {
            Some(_) => self.objects[index] = Some(object),
            None => self.objects.push(Some(object)),
        }
        Fd(i32::try_from(index).expect("few descriptors"))
    }

    pub(super) fn is_open(&self, fd: Fd) -> bool {
        usize::try_from(fd.0).is_ok_and(|index| matches!(self.objects.get(index), Some(Some(_))))
    }

    pub(super) fn open(&self) -> usize {
        self.objects.iter().flatten().count()
    }

    pub(super) fn describe_open(&self) -> String {
        let numbered = self.objects.iter().enumerate();
        let open: Vec<_> = numbered.filter(|(_, object)| object.is_some()).collect();
        format!("{open:?}")
    }

    fn object(&self, fd: Fd) -> &Object {
        let index = usize::try_from(fd.0).expect("a descriptor");
        self.objects.get(index).and_then(Option::as_ref).expect("an open descriptor")
    }

    fn object_mut(&mut self, fd: Fd) -> &mut Object {
        let index = usize::try_from(fd.0).expect("a descriptor");
        self.objects.get_mut(index).and_then(Option::as_mut).expect("an open descriptor")
    }

    /// The number of a datagram socket.
    pub(super) fn endpoint(&self, socket: Fd) -> usize {
        let Object::Datagrams(number) = self.object(socket) else {
            panic!("{socket:?} is no datagram socket")
        };
        *number
    }

    fn new_link(&mut self, capacity: usize) -> usize {
        self.links.push(Link {
            capacity,
            to_us: Half::default(),
            to_peer: Half::default(),
            peer_reset: false,
            we_reset: false,
            we_closed: false,
        });
        self.links.len() - 1
    }

    pub(super) fn connect(&mut self, listener: Fd, capacity: usize) -> PeerId {
        let link = self.new_link(capacity);
        let socket = self.insert(Object::Socket { link, reset_on_close: false });
        let Object::Listener(queue) = self.object_mut(listener) else {
            panic!("{listener:?} does not listen")
        };
        queue.push_back(socket);
        PeerId(link)
    }

    pub(super) fn accept(&mut self, listener: Fd) -> Option<Fd> {
        match self.object_mut(listener) {
            Object::Listener(queue) => queue.pop_front(),
            Object::Fresh
            | Object::Socket { .. }
            | Object::PipeReader(_)
            | Object::PipeWriter(_)
            | Object::File(_)
            | Object::Datagrams(_) => panic!("accept on {listener:?}"),
        }
    }

    pub(super) fn serve(&mut self, address: SocketAddress, behaviour: Behaviour) {
        self.servers.insert(address.to_string(), behaviour);
    }

    /// A connect goes on: `None` while it waits.
    pub(super) fn attempt(
        &mut self,
        socket: Fd,
        address: &SocketAddress,
    ) -> Option<Result<(), Errno>> {
        match self.servers.get(&address.to_string()).copied() {
            None | Some(Behaviour::Refuse) => Some(Err(Errno::ECONNREFUSED)),
            Some(Behaviour::Unreachable) => Some(Err(Errno::EHOSTUNREACH)),
            Some(Behaviour::Silent) => None,
            Some(Behaviour::Fails(errno)) => Some(Err(errno)),
            Some(Behaviour::Accept { capacity }) => {
                let link = self.new_link(capacity);
                *self.object_mut(socket) = Object::Socket { link, reset_on_close: false };
                self.accepted.push((*address, PeerId(link)));
                Some(Ok(()))
            }
        }
    }

    fn link(&self, socket: Fd) -> Result<&Link, Errno> {
        match self.object(socket) {
            Object::Socket { link, .. } => Ok(&self.links[*link]),
            Object::Fresh => Err(Errno::ENOTCONN),
            Object::Listener(_)
            | Object::PipeReader(_)
            | Object::PipeWriter(_)
            | Object::File(_)
            | Object::Datagrams(_) => {
                panic!("{socket:?} is not a socket")
            }
        }
    }

    fn link_mut(&mut self, socket: Fd) -> Option<&mut Link> {
        let Object::Socket { link, .. } = self.object(socket) else {
            return None;
        };
        let link = *link;
        self.links.get_mut(link)
    }

    /// Bytes that a socket can receive: `None` when none are there yet, 0 at the end.
    pub(super) fn available(&self, socket: Fd) -> Result<Option<usize>, Errno> {
        let link = self.link(socket)?;
        match link.to_us.bytes.len() {
            0 if link.peer_reset => Err(Errno::ECONNRESET),
            0 if link.to_us.finished => Ok(Some(0)),
            0 => Ok(None),
            some => Ok(Some(some)),
        }
    }

    /// Bytes that a socket can send.
    pub(super) fn room(&self, socket: Fd) -> Result<usize, Errno> {
        let link = self.link(socket)?;
        if link.peer_reset || link.to_peer.finished {
            return Err(Errno::EPIPE);
        }
        Ok(link.capacity - link.to_peer.bytes.len())
    }

    pub(super) fn is_readable(&self, fd: Fd) -> bool {
        match self.object(fd) {
            Object::Listener(queue) => !queue.is_empty(),
            Object::Socket { .. } => self.available(fd) != Ok(None),
            Object::Datagrams(number) => self.endpoints.is_readable(*number),
            Object::Fresh | Object::PipeReader(_) | Object::PipeWriter(_) | Object::File(_) => {
                false
            }
        }
    }

    /// Whether the peer of a socket has reset the connection.
    pub(super) fn is_hung_up(&self, fd: Fd) -> bool {
        match self.object(fd) {
            Object::Socket { link, .. } => self.links[*link].peer_reset,
            Object::Listener(_)
            | Object::Datagrams(_)
            | Object::Fresh
            | Object::PipeReader(_)
            | Object::PipeWriter(_)
            | Object::File(_) => false,
        }
    }

    /// Bytes that the peer of a socket has not read.
    pub(super) fn unread(&self, fd: Fd) -> usize {
        match self.object(fd) {
            Object::Socket { link, .. } => self.links[*link].to_peer.bytes.len(),
            Object::Listener(_)
            | Object::Datagrams(_)
            | Object::Fresh
            | Object::PipeReader(_)
            | Object::PipeWriter(_)
            | Object::File(_) => 0,
        }
    }

    /// The bytes of a file from `offset` on.
    pub(super) fn file(&self, fd: Fd, offset: u64) -> &[u8] {
        let Object::File(name) = self.object(fd) else { panic!("{fd:?} is not a file") };
        let bytes = self.files.get(name).map_or(&[][..], Vec::as_slice);
        bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default()
    }

    pub(super) fn read(&mut self, socket: Fd, count: usize) -> Vec<u8> {
        match self.link_mut(socket) {
            Some(link) => link.to_us.bytes.drain(..count).collect(),
            None => Vec::new(),
        }
    }

    pub(super) fn write(&mut self, socket: Fd, bytes: impl Iterator<Item = u8>) {
        if let Some(link) = self.link_mut(socket) {
            link.to_peer.bytes.extend(bytes);
        }
    }

    pub(super) fn shutdown_write(&mut self, socket: Fd) -> Result<(), Errno> {
        let reset = self.link(socket)?.peer_reset;
        if let (false, Some(link)) = (reset, self.link_mut(socket)) {
            link.to_peer.finished = true;
            return Ok(());
        }
        Err(Errno::ENOTCONN)
    }

    pub(super) fn shutdown_read(&mut self, socket: Fd) {
        if let Some(link) = self.link_mut(socket) {
            link.to_us.finished = true;
        }
    }

    pub(super) fn reset_on_close(&mut self, socket: Fd) {
        if let Object::Socket { reset_on_close, .. } = self.object_mut(socket) {
            *reset_on_close = true;
        }
    }

    pub(super) fn close(&mut self, fd: Fd) {
        assert!(self.is_open(fd), "{fd:?} is closed twice");
        let index = usize::try_from(fd.0).expect("a descriptor");
        let object = self.objects[index].take();
        if let Some(Object::Datagrams(number)) = object {
            self.endpoints.close(number);
        }
        if let Some(Object::Socket { link, reset_on_close }) = object {
            let link = &mut self.links[link];
            link.we_closed = true;
            // Bytes that nobody read make a reset of a close.
            if reset_on_close || !link.to_us.bytes.is_empty() {
                link.we_reset = true;
                link.to_peer.bytes.clear();
            }
            link.to_peer.finished = true;
        }
    }

    pub(super) fn new_pipe(&mut self, capacity: usize) -> (Fd, Fd) {
        self.tubes.push(Tube { bytes: VecDeque::new(), capacity });
        let tube = self.tubes.len() - 1;
        (self.insert(Object::PipeReader(tube)), self.insert(Object::PipeWriter(tube)))
    }

    /// Bytes that could be moved between two descriptors; 0 is the end.
    pub(super) fn can_move(&self, from: Fd, to: Fd) -> Result<usize, Errno> {
        match (self.object(from), self.object(to)) {
            (Object::Socket { .. }, Object::PipeWriter(tube)) => {
                let tube = &self.tubes[*tube];
                let room = tube.capacity - tube.bytes.len();
                match self.available(from)? {
                    Some(0) => Ok(0),
                    Some(available) if room > 0 => Ok(available.min(room)),
                    Some(_) | None => Err(Errno::EAGAIN),
                }
            }
            (Object::PipeReader(tube), Object::Socket { .. }) => {
                let held = self.tubes[*tube].bytes.len();
                match self.room(to)?.min(held) {
                    0 => Err(Errno::EAGAIN),
                    some => Ok(some),
                }
            }
            (from, to) => panic!("splice from {from:?} to {to:?}"),
        }
    }

    pub(super) fn move_bytes(&mut self, from: Fd, to: Fd, count: usize) {
        match (self.object(from), self.object(to)) {
            (Object::Socket { .. }, Object::PipeWriter(tube)) => {
                let tube = *tube;
                let bytes = self.read(from, count);
                self.tubes[tube].bytes.extend(bytes);
            }
            (Object::PipeReader(tube), Object::Socket { .. }) => {
                let tube = *tube;
                let bytes: Vec<u8> = self.tubes[tube].bytes.drain(..count).collect();
                self.write(to, bytes.into_iter());
            }
            (from, to) => panic!("splice from {from:?} to {to:?}"),
        }
    }

    pub(super) fn peer_write(&mut self, peer: PeerId, bytes: &[u8]) -> usize {
        let link = &mut self.links[peer.0];
        if link.we_closed || link.peer_reset || link.to_us.finished {
            return 0;
        }
        let count = bytes.len().min(link.capacity - link.to_us.bytes.len());
        link.to_us.bytes.extend(&bytes[..count]);
        count
    }

    pub(super) fn peer_read(&mut self, peer: PeerId, max: usize) -> Vec<u8> {
        let half = &mut self.links[peer.0].to_peer;
        let count = half.bytes.len().min(max);
        half.bytes.drain(..count).collect()
    }

    pub(super) fn peer_finish(&mut self, peer: PeerId) {
        self.links[peer.0].to_us.finished = true;
    }

    pub(super) fn peer_reset(&mut self, peer: PeerId) {
        let link = &mut self.links[peer.0];
        link.peer_reset = true;
        link.to_us.bytes.clear();
        link.to_peer.bytes.clear();
    }

    pub(super) fn peer_at_end(&self, peer: PeerId) -> bool {
        let link = &self.links[peer.0];
        link.to_peer.bytes.is_empty() && link.to_peer.finished && !link.we_reset
    }

    pub(super) fn peer_was_reset(&self, peer: PeerId) -> bool {
        self.links[peer.0].we_reset
    }
}
