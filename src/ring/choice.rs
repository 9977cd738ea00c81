//! Which driver is used, and whichever it is.

use std::fmt;
use std::time::{Duration, Instant};

use super::epoll::Epoll;
use super::kernel::{OnKernel, SendBatch};
use super::uring::{RingFlags, RingOptions, RingSize, SetupError, Uring};
use super::{Completion, Driver, DriverCounters, DriverError, Fd, Op, Token};

/// The variable of the environment that says which driver is used, where nothing else does.
pub const DRIVER_VARIABLE: &str = "RINGWAY_DRIVER";

/// Which driver is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring, and epoll where io_uring is forbidden or missing.
    #[default]
    Auto,
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
}

/// The words for them, in configurations and in [`DRIVER_VARIABLE`].
pub const DRIVER_WORDS: &[(&str, DriverChoice)] =
    &[("auto", DriverChoice::Auto), ("uring", DriverChoice::Uring), ("epoll", DriverChoice::Epoll)];

/// A driver on a real kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverKind {
    /// io_uring.
    Uring,
    /// epoll.
    Epoll,
}

impl DriverKind {
    /// Its word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::Epoll => "epoll",
        }
    }
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A driver was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub kind: DriverKind,
    /// Why it is not io_uring, though that was not ruled out.
    pub refused: Option<SetupError>,
}

/// The environment names no driver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{DRIVER_VARIABLE}={0:?} names no driver: write \"auto\", \"uring\" or \"epoll\"")]
pub struct UnknownDriver(String);

impl DriverChoice {
    /// What the environment says where this is [`DriverChoice::Auto`], and otherwise this.
    ///
    /// # Errors
    /// When the environment names no driver.
    pub fn or_environment(self) -> Result<Self, UnknownDriver> {
        let Some(word) = std::env::var_os(DRIVER_VARIABLE).filter(|word| !word.is_empty()) else {
            return Ok(self);
        };
        let known = DRIVER_WORDS.iter().find(|(known, _)| word == *known);
        let (_, found) = known.ok_or_else(|| UnknownDriver(word.to_string_lossy().into_owned()))?;
        Ok(if self == Self::Auto { *found } else { self })
    }

    /// A driver. For [`DriverChoice::Auto`] a ring, or, where that is refused, an epoll.
    ///
    /// # Errors
    /// Which call was refused, how, and what to do about it.
    pub fn driver(self, options: &RingOptions) -> Result<KernelDriver, SetupError> {
        match self {
            Self::Uring => KernelDriver::new(DriverKind::Uring, options),
            Self::Epoll => KernelDriver::new(DriverKind::Epoll, options),
            Self::Auto => KernelDriver::new(DriverKind::Uring, options)
                .or_else(|_refused| KernelDriver::new(DriverKind::Epoll, options)),
        }
    }

    /// Which driver it is. For [`DriverChoice::Auto`] a small ring is set up, to see whether it is
    /// allowed.
    #[must_use]
    pub fn resolve(self) -> Chosen {
        let (kind, refused) = match self {
            Self::Uring => (DriverKind::Uring, None),
            Self::Epoll => (DriverKind::Epoll, None),
            Self::Auto => match try_ring() {
                Ok(()) => (DriverKind::Uring, None),
                Err(error) => (DriverKind::Epoll, Some(error)),
            },
        };
        Chosen { kind, refused }
    }
}

/// Sets up a small ring and ends it again, on a thread of its own: some time after the end of a
/// ring the kernel interrupts the thread that had it, in whatever call it then waits.
fn try_ring() -> Result<(), SetupError> {
    let make = || Uring::new(&RingOptions::small()).map(drop);
    let thread = std::thread::Builder::new().name("try-ring".to_owned()).spawn(make);
    thread.map_or_else(|_no_thread| make(), |thread| thread.join().unwrap_or(Ok(())))
}

/// One of the drivers on a real kernel. Belongs to the thread that made it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "each thread has one, which does not move")]
pub enum KernelDriver {
    /// io_uring.
    Uring(Uring),
    /// epoll.
    Epoll(Epoll),
}

macro_rules! whichever {
    ($self:ident, $driver:ident => $what:expr) => {
        match $self {
            KernelDriver::Uring($driver) => $what,
            KernelDriver::Epoll($driver) => $what,
        }
    };
}

impl KernelDriver {
    /// A driver of that kind.
    ///
    /// # Errors
    /// Which call was refused, how, and what to do about it.
    pub fn new(kind: DriverKind, options: &RingOptions) -> Result<Self, SetupError> {
        Ok(match kind {
            DriverKind::Uring => Self::Uring(Uring::new(options)?),
            DriverKind::Epoll => Self::Epoll(Epoll::new(options)?),
        })
    }

    /// What [`Op::HandOff`] of other drivers of the same kind gives connections to, if it can.
    #[must_use]
    pub fn door(&mut self) -> Option<Fd> {
        match self {
            Self::Uring(ring) => ring.can_hand_off().then(|| ring.fd()),
            Self::Epoll(epoll) => epoll.door().ok(),
        }
    }

    /// The sizes and flags of its ring, if it has one.
    #[must_use]
    pub fn ring(&self) -> Option<(RingSize, RingFlags)> {
        match self {
            Self::Uring(ring) => Some((ring.size(), ring.flags())),
            Self::Epoll(_) => None,
        }
    }
}

impl Driver for KernelDriver {
    #[inline]
    fn push(&mut self, token: Token, op: Op) -> Result<(), Op> {
        whichever!(self, driver => driver.push(token, op))
    }

    #[inline]
    fn wait(&mut self, deadline: Option<Instant>) -> Result<(), DriverError> {
        whichever!(self, driver => driver.wait(deadline))
    }

    #[inline]
    fn reap(&mut self, into: &mut Vec<Completion>) {
        whichever!(self, driver => driver.reap(into));
    }

    #[inline]
    fn now(&self) -> Instant {
        whichever!(self, driver => driver.now())
    }

    fn unix_time(&self) -> Duration {
        whichever!(self, driver => driver.unix_time())
    }

    fn buffers(&self) -> (usize, usize) {
        whichever!(self, driver => driver.buffers())
    }

    fn datagram_buffers(&self) -> (usize, usize) {
        whichever!(self, driver => driver.datagram_buffers())
    }

    fn in_flight(&self) -> usize {
        whichever!(self, driver => driver.in_flight())
    }

    fn set_in_flight_max(&mut self, most: usize) {
        whichever!(self, driver => driver.set_in_flight_max(most));
    }

    #[cfg(debug_assertions)]
    fn stray_handles(&self) -> usize {
        whichever!(self, driver => driver.stray_handles())
    }

    fn counters(&self) -> DriverCounters {
        whichever!(self, driver => driver.counters())
    }
}

impl OnKernel for KernelDriver {
    fn send_batch(&mut self) -> &mut SendBatch {
        whichever!(self, driver => driver.send_batch())
    }

    #[inline]
    fn given_out(&mut self, socket: Fd) {
        whichever!(self, driver => driver.given_out(socket));
    }

    fn encrypted(&mut self, socket: Fd) {
        whichever!(self, driver => driver.encrypted(socket));
    }

    fn decrypted(&mut self, socket: Fd) {
        whichever!(self, driver => driver.decrypted(socket));
    }

    #[inline]
    fn closing(&mut self, fd: Fd) {
        whichever!(self, driver => driver.closing(fd));
    }
}
