//! What is known of each descriptor, and which operations wait for it.

use crate::ring::{Fd, Token};

/// A descriptor that operations were pushed for. The default is one that is not watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The driver has given it out, and is told of its close. All others may be closed by whoever
    /// opened them, so that their registration is asserted whenever an operation waits for them.
    pub(super) is_ours: bool,
    /// The poller watches it.
    pub(super) is_registered: bool,
    /// It can be read, for all that is known.
    pub(super) is_readable: bool,
    /// The peer will send no more or has sent urgent data, or it has failed: it is read until it
    /// says that there is nothing.
    pub(super) is_ended: bool,
    /// It stands in the queue of those that are read.
    pub(super) is_queued: bool,
    /// The operation that reads it.
    pub(super) reader: Option<(Token, Reading)>,
    /// Operations that wait for a change.
    pub(super) waiters: Vec<(Token, Waiting)>,
}

/// How a descriptor is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Connections are accepted.
    Connections,
    /// Bytes are received; only one time.
    Bytes { once: bool },
    /// Datagrams are received.
    Datagrams,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// That it can be read.
    Readable,
    /// That it can be written.
    Writable,
    /// That the connection stands.
    Connected,
}

/// All descriptors, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Table {
    places: Vec<Watched>,
}

impl Table {
    /// The place of a descriptor.
    pub(super) fn at(&mut self, fd: Fd) -> &mut Watched {
        let place = usize::try_from(fd.0).unwrap_or(0);
        if place >= self.places.len() {
            self.places.resize_with(place + 1, Watched::default);
        }
        &mut self.places[place]
    }

    /// A descriptor of this number is new, and was given out by the driver.
    pub(super) fn give_out(&mut self, fd: Fd) {
        *self.at(fd) = Watched { is_ours: true, ..Watched::default() };
    }

    /// A descriptor is closed, or somebody else's from now on. What has waited for it.
    pub(super) fn forget(&mut self, fd: Fd) -> Vec<Token> {
        std::mem::take(self.at(fd)).disarm_all()
    }
}

impl Watched {
    /// Takes an operation away, if it waits here.
    pub(super) fn disarm(&mut self, token: Token) {
        if self.reader.is_some_and(|(reader, _)| reader == token) {
            self.reader = None;
        }
        self.waiters.retain(|(waiter, _)| *waiter != token);
    }

    /// Takes all operations away.
    pub(super) fn disarm_all(&mut self) -> Vec<Token> {
        let waiters = self.waiters.drain(..).map(|(token, _)| token);
        self.reader.take().map(|(token, _)| token).into_iter().chain(waiters).collect()
    }
}
