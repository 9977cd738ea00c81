//! How connections come from other workers: a pipe, whose messages are whole or not there.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, IntoRawFd};

use nix::errno::Errno;

use crate::ring::{Fd, Token, kernel};

/// A token and a descriptor. Less than `PIPE_BUF`, so that it is written as one.
const MESSAGE_LEN: usize = 12;
/// Messages that are taken at a time.
const BATCH: usize = 64;

/// The receiving end, and the descriptor by which others find it. That one stays open when the door
/// is gone: others know it by its number, which must not become that of something else. Writing to
/// it then fails.
pub(super) struct Door {
    reader: File,
    writer: Fd,
}

impl Door {
    /// A door at which no connection waits.
    ///
    /// # Errors
    /// As `pipe2(2)`.
    pub(super) fn new() -> Result<Self, Errno> {
        let flags = nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_CLOEXEC;
        let (reader, writer) = nix::unistd::pipe2(flags)?;
        Ok(Self { reader: reader.into(), writer: Fd(writer.into_raw_fd()) })
    }

    /// What becomes readable when a connection comes.
    pub(super) fn reader(&self) -> Fd {
        Fd(self.reader.as_raw_fd())
    }

    /// What others give connections to.
    pub(super) const fn writer(&self) -> Fd {
        self.writer
    }

    /// The connections that have come, some at a time.
    pub(super) fn take(&mut self) -> Vec<(Token, Fd)> {
        let mut bytes = [0; MESSAGE_LEN * BATCH];
        // Nothing has come, or a signal did: it stays readable.
        let len = self.reader.read(&mut bytes).unwrap_or(0);
        let messages = bytes.get(..len).unwrap_or_default().chunks_exact(MESSAGE_LEN);
        messages.filter_map(read_message).collect()
    }
}

impl Drop for Door {
    /// Connections that were not taken are closed.
    fn drop(&mut self) {
        loop {
            let left = self.take();
            if left.is_empty() {
                return;
            }
            left.into_iter().for_each(|(_, socket)| kernel::close(socket));
        }
    }
}

fn read_message(bytes: &[u8]) -> Option<(Token, Fd)> {
    let (token, socket) = bytes.split_first_chunk()?;
    let token = Token::unpack(u64::from_ne_bytes(*token))?;
    Some((token, Fd(i32::from_ne_bytes(*socket.first_chunk()?))))
}

/// Gives a connection to the worker whose door this is.
///
/// # Errors
/// As `write(2)`; `EAGAIN` when too many wait there, `EPIPE` when it is gone.
pub(super) fn give(door: Fd, arrival: Token, socket: Fd) -> Result<(), Errno> {
    let mut message = [0; MESSAGE_LEN];
    let (token, number) = message.split_at_mut(size_of::<u64>());
    token.copy_from_slice(&arrival.pack().to_ne_bytes());
    number.copy_from_slice(&socket.0.to_ne_bytes());
    kernel::write(door, &message).map(drop)
}
