//! Edge-triggered epoll on sockets that do not block.

use std::io::{Error, ErrorKind};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

pub const READABLE: u32 = libc::EPOLLIN as u32;
pub const WRITABLE: u32 = libc::EPOLLOUT as u32;

pub struct Epoll {
    set: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> Self {
        // SAFETY: no pointers; the descriptor is new.
        let set = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(set >= 0, "cannot open epoll: {}", Error::last_os_error());
        // SAFETY: the descriptor is new, and this its only owner.
        let set = unsafe { OwnedFd::from_raw_fd(set) };
        Self { set, events: vec![libc::epoll_event { events: 0, u64: 0 }; 512] }
    }

    fn control(&self, operation: i32, stream: &TcpStream, number: usize, interest: u32) {
        let events = interest | libc::EPOLLET as u32;
        let mut event = libc::epoll_event { events, u64: number as u64 };
        // SAFETY: the pointer is to a value that outlives the call.
        let result = unsafe {
            libc::epoll_ctl(self.set.as_raw_fd(), operation, stream.as_raw_fd(), &raw mut event)
        };
        assert!(result == 0, "cannot watch a socket: {}", Error::last_os_error());
    }

    pub fn add(&self, stream: &TcpStream, number: usize) {
        stream.set_nonblocking(true).expect("a socket that does not block");
        self.control(libc::EPOLL_CTL_ADD, stream, number, READABLE);
    }

    pub fn change(&self, stream: &TcpStream, number: usize, interest: u32) {
        self.control(libc::EPOLL_CTL_MOD, stream, number, interest);
    }

    /// Waits, and gives how many events there are.
    pub fn wait(&mut self, at_most: Duration) -> usize {
        let (events, space) = (self.events.as_mut_ptr(), self.events.len() as i32);
        let milliseconds = at_most.as_millis() as i32;
        // SAFETY: there is space for as many events.
        let found = unsafe { libc::epoll_wait(self.set.as_raw_fd(), events, space, milliseconds) };
        if found < 0 {
            let error = Error::last_os_error();
            assert!(error.kind() == ErrorKind::Interrupted, "cannot wait: {error}");
            return 0;
        }
        found as usize
    }

    /// The number of the socket, and what it is ready for.
    pub fn event(&self, index: usize) -> (usize, u32) {
        let event = self.events[index];
        (event.u64 as usize, event.events)
    }
}
