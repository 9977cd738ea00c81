//! The simulated kernel's direct calls.

use std::time::Duration;

use nix::errno::Errno;

use super::Sim;
use super::world::Object;
use crate::ring::{
    DatagramSocketOptions, Fd, OpenFile, Outbox, Pipe, Residence, SendReport, SocketAddress,
    SocketError, StreamOptions, Syscalls, TlsCalls,
};

/// Files of this world do not change.
const fn of_file(fd: Fd, len: u64) -> OpenFile {
    OpenFile { fd, len, modified: (2, 0), changed: (2, 0), inode: 0, is_folder: false }
}

impl Syscalls for Sim {
    fn socket(&mut self, _address: &SocketAddress) -> Result<Fd, Errno> {
        if self.chance(self.faults.descriptors) {
            return Err(Errno::EMFILE);
        }
        Ok(self.world.insert(Object::Fresh))
    }

    fn accept(&mut self, listener: Fd) -> Result<Fd, Errno> {
        self.world.accept(listener).ok_or(Errno::EAGAIN)
    }

    fn set_backlog(&mut self, _listener: Fd, _backlog: u32) {}

    fn splice(&mut self, from: Fd, to: Fd, max: usize) -> Result<usize, Errno> {
        let possible = self.world.can_move(from, to)?;
        if possible == 0 {
            return Ok(0);
        }
        if self.chance(self.faults.spurious) {
            return Err(Errno::EAGAIN);
        }
        let count = self.some_of(possible.min(max));
        self.world.move_bytes(from, to, count);
        Ok(count)
    }

    fn pipe(&mut self, capacity: usize) -> Result<Pipe, Errno> {
        if self.chance(self.faults.descriptors) {
            return Err(Errno::EMFILE);
        }
        let (reader, writer) = self.world.new_pipe(capacity);
        Ok(Pipe { reader, writer, capacity })
    }

    fn open_below(&mut self, _root: Fd, name: &str, _follow: bool) -> Result<OpenFile, Errno> {
        if self.chance(self.faults.descriptors) {
            return Err(Errno::EMFILE);
        }
        let len = self.world.files.get(name).ok_or(Errno::ENOENT)?.len() as u64;
        let fd = self.world.insert(Object::File(name.to_owned()));
        Ok(of_file(fd, len))
    }

    fn look_at(&mut self, file: Fd) -> Result<OpenFile, Errno> {
        let len = self.world.file(file, 0).len() as u64;
        Ok(of_file(file, len))
    }

    fn residence(&mut self, _file: Fd, _offset: u64, _len: usize) -> Residence {
        if self.chance(self.faults.spurious) { Residence::Missing } else { Residence::Whole }
    }

    fn sendfile(&mut self, socket: Fd, file: Fd, offset: u64, max: usize) -> Result<usize, Errno> {
        let room = self.world.room(socket)?;
        let available = self.world.file(file, offset).len().min(max);
        if available == 0 {
            return Ok(0);
        }
        if room == 0 || self.chance(self.faults.spurious) {
            return Err(Errno::EAGAIN);
        }
        let count = self.some_of(available.min(room));
        let bytes = self.world.file(file, offset)[..count].to_vec();
        self.world.write(socket, bytes.into_iter());
        Ok(count)
    }

    fn shutdown_write(&mut self, socket: Fd) -> Result<(), Errno> {
        self.world.shutdown_write(socket)
    }

    fn is_hung_up(&mut self, socket: Fd) -> bool {
        self.world.is_hung_up(socket)
    }

    fn unacknowledged(&mut self, socket: Fd) -> usize {
        self.world.unread(socket)
    }

    fn round_trip(&mut self, _socket: Fd) -> Option<Duration> {
        None
    }

    fn shutdown_read(&mut self, socket: Fd) {
        self.world.shutdown_read(socket);
    }

    fn send_now(&mut self, socket: Fd, bytes: &[u8], _follows: bool) -> Result<usize, Errno> {
        let count = bytes.len().min(self.world.room(socket)?);
        if count == 0 {
            return Err(Errno::EAGAIN);
        }
        self.world.write(socket, bytes[..count].iter().copied());
        Ok(count)
    }

    fn read_now(
        &mut self,
        file: Fd,
        offset: u64,
        max: usize,
        into: &mut Vec<u8>,
    ) -> Result<usize, Errno> {
        if self.chance(self.faults.spurious) {
            return Err(Errno::EAGAIN);
        }
        let available = self.world.file(file, offset).len().min(max);
        let count = if available == 0 { 0 } else { self.some_of(available) };
        into.extend_from_slice(&self.world.file(file, offset)[..count]);
        Ok(count)
    }

    fn reset_on_close(&mut self, socket: Fd) {
        self.world.reset_on_close(socket);
    }

    fn close(&mut self, fd: Fd) {
        self.close_checked(fd);
    }

    fn peer_address(&mut self, _socket: Fd) -> Result<SocketAddress, Errno> {
        Ok(SocketAddress::unnamed())
    }

    fn local_address(&mut self, _socket: Fd) -> Result<SocketAddress, Errno> {
        Ok(SocketAddress::unnamed())
    }

    fn configure(&mut self, _socket: Fd, _options: &StreamOptions) {}

    fn datagram_socket(
        &mut self,
        server: &SocketAddress,
        _options: &DatagramSocketOptions,
    ) -> Result<Fd, Errno> {
        self.connect_datagrams(server)
    }

    fn send_datagrams(&mut self, socket: Fd, outbox: &Outbox, segment_max: u16) -> SendReport {
        self.post_datagrams(socket, outbox, segment_max)
    }

    fn take_socket_error(&mut self, socket: Fd) -> Option<SocketError> {
        self.next_report(socket)
    }
}

/// A kernel without TLS.
impl TlsCalls for Sim {
    fn enable_tls(&mut self, _socket: Fd) -> Result<(), Errno> {
        Err(Errno::ENOENT)
    }

    fn set_tls_transmit(&mut self, _socket: Fd, _info: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    fn tls_transmit(&mut self, _socket: Fd, _info: &mut [u8]) -> Result<(), Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    fn send_tls_record(&mut self, _fd: Fd, _kind: u8, _payload: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn set_tls_receive(&mut self, _socket: Fd, _info: &[u8]) -> Result<(), Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    fn receive_tls_record(
        &mut self,
        _socket: Fd,
        _into: &mut [u8],
    ) -> Result<(Option<u8>, usize), Errno> {
        Err(Errno::EINVAL)
    }

    fn receive_now(&mut self, _socket: Fd, _into: &mut [u8]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn fill_pipe(&mut self, _writer: Fd, _bytes: &[u8]) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }
}
