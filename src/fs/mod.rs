//! Files: reading them on the ring, so that a cold page never stops the loop.
//!
//! Knows the reactor and its operations, but no protocol and no service.

use nix::errno::Errno;

use crate::mem::{Buf, Key};
use crate::ring::{Completion, Driver, Fd, Lane, Op, Outcome, Token, Verb};
use crate::runtime::Reactor;

/// A file that is read from its beginning to its end, one buffer at a time.
///
/// Calling order: [`FileReader::open`]; [`FileReader::read`], and each completion of its lane to
/// [`FileReader::handle`]; when [`FileReader::is_quiet`], [`FileReader::close`].
#[derive(Debug)]
pub struct FileReader {
    fd: Fd,
    lane: Lane,
    offset: u64,
    reading: bool,
}

/// What a completion meant.
#[derive(Debug)]
pub enum FileEvent {
    /// The next bytes.
    Data(Buf),
    /// There is no more.
    End,
    /// No buffer was free: read again when there are some.
    Starved,
    /// The file cannot be read.
    Failed(Errno),
}

impl FileReader {
    /// Opens a regular file below the folder `root`; its operations carry `lane`.
    ///
    /// # Errors
    /// As `openat2(2)`; `EISDIR` for what is no regular file.
    pub fn open<D: Driver, T: Copy>(
        reactor: &mut Reactor<D, T>,
        root: Fd,
        name: &str,
        lane: Lane,
    ) -> Result<Self, Errno> {
        let file = reactor.driver().open_below(root, name, false)?;
        if file.is_folder {
            reactor.driver().close(file.fd);
            return Err(Errno::EISDIR);
        }
        Ok(Self::new(file.fd, lane, 0))
    }

    /// A file that is open already, from `offset` on.
    #[must_use]
    pub const fn new(fd: Fd, lane: Lane, offset: u64) -> Self {
        Self { fd, lane, offset, reading: false }
    }

    /// Where the next read begins.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next read begins there. None may be in flight.
    pub const fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// The file.
    #[must_use]
    pub const fn fd(&self) -> Fd {
        self.fd
    }

    /// Reads the next buffer, unless that is under way.
    pub fn read<D: Driver, T: Copy>(&mut self, reactor: &mut Reactor<D, T>, key: Key) {
        if !self.reading {
            self.reading = true;
            let op = Op::Read { file: self.fd, offset: self.offset };
            reactor.submit(Token::new(key, self.lane, Verb::Read), op);
        }
    }

    /// Takes the completion of a read.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other outcomes belong to other verbs")]
    pub fn handle(&mut self, completion: Completion) -> FileEvent {
        self.reading = false;
        match completion.outcome {
            Outcome::Received(buf) => {
                self.offset += buf.len() as u64;
                FileEvent::Data(buf)
            }
            Outcome::Starved => FileEvent::Starved,
            Outcome::Failed(errno) => FileEvent::Failed(errno),
            _ => FileEvent::End,
        }
    }

    /// Whether no read is in flight.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        !self.reading
    }

    /// Closes the file, of which no read is in flight.
    pub fn close<D: Driver, T: Copy>(self, reactor: &mut Reactor<D, T>) {
        debug_assert!(self.is_quiet(), "a file is closed after its last read");
        reactor.driver().close(self.fd);
    }
}
