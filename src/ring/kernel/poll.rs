//! Readiness: `epoll(7)`, and a look at one descriptor.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;

use crate::ring::Fd;

/// Events that are fetched with one call.
const EVENTS_MAX: usize = 512;
/// Every change of a descriptor is reported once.
const EDGES: i32 =
    libc::EPOLLIN | libc::EPOLLPRI | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

/// What is watched, and what was seen.
pub(in crate::ring) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    seen: usize,
    /// `epoll_pwait2(2)` is refused: times are whole milliseconds.
    is_coarse: bool,
}

/// What has changed at a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ring) struct Change {
    /// The descriptor.
    pub(in crate::ring) fd: Fd,
    /// It can be read.
    pub(in crate::ring) is_readable: bool,
    /// It can be written.
    pub(in crate::ring) is_writable: bool,
    /// The peer will send no more or has sent urgent data, or the descriptor has failed: a read of
    /// fewer bytes than asked for does not say that there are no more.
    pub(in crate::ring) is_ended: bool,
}

impl Poller {
    /// Watches nothing.
    ///
    /// # Errors
    /// As `epoll_create1(2)`.
    pub(in crate::ring) fn new() -> Result<Self, Errno> {
        // SAFETY: the call takes no memory.
        let epoll = Errno::result(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was made by the call above, and has no other owner.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        Ok(Self { epoll, events, seen: 0, is_coarse: false })
    }

    /// Watches a descriptor from now on. One that was watched is looked at again, as if it had
    /// just changed.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub(in crate::ring) fn watch(&self, fd: Fd, was_watched: bool) -> Result<(), Errno> {
        let (first, second, unless) = if was_watched {
            (libc::EPOLL_CTL_MOD, libc::EPOLL_CTL_ADD, Errno::ENOENT)
        } else {
            (libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD, Errno::EEXIST)
        };
        match self.control(first, fd) {
            Err(errno) if errno == unless => self.control(second, fd),
            result => result,
        }
    }

    /// Watches it no longer.
    pub(in crate::ring) fn forget(&self, fd: Fd) {
        let gone = self.control(libc::EPOLL_CTL_DEL, fd);
        debug_assert!(gone != Err(Errno::EINVAL), "the poller stands");
    }

    fn control(&self, operation: i32, fd: Fd) -> Result<(), Errno> {
        let data = u64::from(fd.0.cast_unsigned());
        let mut event = libc::epoll_event { events: EDGES.cast_unsigned(), u64: data };
        // SAFETY: the kernel reads one event within the call.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.0, &raw mut event) };
        Errno::result(result).map(drop)
    }

    /// Waits for changes, or until the time is over; `None` waits without end.
    ///
    /// # Errors
    /// As `epoll_pwait2(2)`.
    pub(in crate::ring) fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        self.seen = 0;
        let most = libc::c_int::try_from(self.events.len()).unwrap_or(libc::c_int::MAX);
        let seen = match timeout {
            Some(timeout) if !self.is_coarse && !timeout.is_zero() => {
                let seconds = libc::time_t::try_from(timeout.as_secs());
                let timeout = libc::timespec {
                    tv_sec: seconds.unwrap_or(libc::time_t::MAX),
                    tv_nsec: timeout.subsec_nanos().into(),
                };
                // SAFETY: the kernel writes at most as many events as there are, and reads the
                // time, within the call; without a mask it reads none.
                unsafe {
                    libc::syscall(
                        libc::SYS_epoll_pwait2,
                        self.epoll.as_raw_fd(),
                        self.events.as_mut_ptr(),
                        most,
                        &raw const timeout,
                        std::ptr::null::<libc::sigset_t>(),
                        size_of::<u64>(),
                    )
                }
            }
            timeout => {
                // A time that is not over yet is no time of 0.
                let whole = |time: Duration| time.as_nanos().div_ceil(1_000_000);
                let millis = timeout.map_or(-1, |time| {
                    libc::c_int::try_from(whole(time)).unwrap_or(libc::c_int::MAX)
                });
                let events = self.events.as_mut_ptr();
                // SAFETY: the kernel writes at most as many events as there are.
                unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events, most, millis) }.into()
            }
        };
        match usize::try_from(seen) {
            Ok(seen) => {
                self.seen = seen;
                Ok(())
            }
            Err(_) => {
                let errno = Errno::last();
                // An older kernel than 5.11, or a filter that does not know the call.
                let is_unknown = matches!(errno, Errno::ENOSYS | Errno::EPERM);
                if !is_unknown || self.is_coarse {
                    return Err(errno);
                }
                self.is_coarse = true;
                self.wait(timeout)
            }
        }
    }

    /// What the last wait has seen, by its place.
    pub(in crate::ring) fn change(&self, at: usize) -> Option<Change> {
        let event = self.events.get(..self.seen)?.get(at)?;
        let has = |kind: i32| event.events & kind.cast_unsigned() != 0;
        let is_ended = has(libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI);
        Some(Change {
            fd: Fd(i32::try_from(event.u64).ok()?),
            is_readable: is_ended || has(libc::EPOLLIN),
            is_writable: has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR),
            is_ended,
        })
    }
}

/// Whether a descriptor can be read now, was closed or has failed.
pub(in crate::ring) fn is_readable(fd: Fd) -> bool {
    look(fd, libc::POLLIN | libc::POLLRDHUP) != 0
}

/// Whether a descriptor can be written now, or has failed. If not, that it can will be a change.
pub(in crate::ring) fn is_writable(fd: Fd) -> bool {
    look(fd, libc::POLLOUT) != 0
}

/// Whether a connection was reset, or both its directions have ended.
pub(in crate::ring) fn is_hung_up(fd: Fd) -> bool {
    // Errors and hang-ups are reported whatever is asked for.
    look(fd, 0) & (libc::POLLERR | libc::POLLHUP) != 0
}

/// What of the events there is now.
fn look(fd: Fd, events: libc::c_short) -> libc::c_short {
    let mut one = libc::pollfd { fd: fd.0, events, revents: 0 };
    // SAFETY: one entry is passed, which lives for the call; it does not wait.
    let found = unsafe { libc::poll(&raw mut one, 1, 0) };
    if found > 0 { one.revents } else { 0 }
}
