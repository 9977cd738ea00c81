//! Empty pipes, to be borrowed for as long as bytes are in flight.

use nix::errno::Errno;

use crate::ring::{Pipe, Syscalls};

/// A worker's pipes. Only empty ones are kept: a pipe with bytes in it would give one
/// connection's bytes to another.
#[derive(Debug)]
pub struct PipePool {
    idle: Vec<Pipe>,
    idle_max: usize,
    capacity: usize,
    open: usize,
}

impl PipePool {
    /// No pipe yet; at most `idle_max` are kept open while nobody needs them, each for `capacity`
    /// bytes.
    #[must_use]
    pub const fn new(idle_max: usize, capacity: usize) -> Self {
        Self { idle: Vec::new(), idle_max, capacity, open: 0 }
    }

    /// Keeps at most `idle_max` pipes from now on; new ones are for `capacity` bytes.
    pub const fn set_up(&mut self, idle_max: usize, capacity: usize) {
        self.idle_max = idle_max;
        self.capacity = capacity;
    }

    /// Borrows an empty pipe.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE` when there is none and no more can be made.
    pub fn take(&mut self, kernel: &mut impl Syscalls) -> Result<Pipe, Errno> {
        if let Some(pipe) = self.idle.pop() {
            return Ok(pipe);
        }
        let pipe = kernel.pipe(self.capacity)?;
        self.open += 1;
        Ok(pipe)
    }

    /// Takes a pipe back that still holds `held` bytes. One that is not empty is closed.
    pub fn give(&mut self, kernel: &mut impl Syscalls, pipe: Pipe, held: usize) {
        if held == 0 && self.idle.len() < self.idle_max {
            self.idle.push(pipe);
        } else {
            self.destroy(kernel, pipe);
        }
    }

    /// How many pipes are open, idle or lent.
    #[must_use]
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Closes all idle pipes.
    pub fn clear(&mut self, kernel: &mut impl Syscalls) {
        while let Some(pipe) = self.idle.pop() {
            self.destroy(kernel, pipe);
        }
    }

    fn destroy(&mut self, kernel: &mut impl Syscalls, pipe: Pipe) {
        kernel.close(pipe.reader);
        kernel.close(pipe.writer);
        self.open -= 1;
    }
}
