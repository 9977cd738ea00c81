//! The simulated kernel's direct calls.

use nix::errno::Errno;

use super::Sim;
use super::world::Object;
use crate::ring::{
    DatagramSocketOptions, Fd, Outbox, Pipe, SendReport, SocketAddress, SocketError, StreamOptions,
    Syscalls,
};

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

    fn open_below(&mut self, _root: Fd, name: &str) -> Result<(Fd, u64), Errno> {
        if self.chance(self.faults.descriptors) {
            return Err(Errno::EMFILE);
        }
        let size = self.world.files.get(name).ok_or(Errno::ENOENT)?.len() as u64;
        Ok((self.world.insert(Object::File(name.to_owned())), size))
    }

    fn shutdown_write(&mut self, socket: Fd) -> Result<(), Errno> {
        self.world.shutdown_write(socket)
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
