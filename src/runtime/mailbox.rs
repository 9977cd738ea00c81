//! Messages from other threads to a worker: a queue, and an eventfd that wakes the ring.

use std::collections::VecDeque;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::ring::Fd;

/// Most messages that wait in one mailbox. A worker takes all of them at every turn, so that more
/// than a few means that it is stuck.
const WAITING_MAX: usize = 1024;

/// A message could not be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// The worker has not taken its messages for long.
    #[error("the mailbox is full: the worker does not take its messages")]
    Full,
    /// The wake-up failed.
    #[error("waking the worker failed: {0}")]
    Wake(Errno),
}

#[derive(Debug)]
struct Shared<T> {
    messages: Mutex<VecDeque<T>>,
    wake: EventFd,
}

/// The worker's end.
#[derive(Debug)]
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

/// The other threads' end.
#[derive(Debug)]
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A mailbox and its first sender.
///
/// # Errors
/// As `eventfd(2)`; `EMFILE` where descriptors are used up.
pub fn mailbox<T>() -> Result<(Sender<T>, Mailbox<T>), Errno> {
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let shared = Arc::new(Shared { messages: Mutex::new(VecDeque::new()), wake });
    Ok((Sender { shared: Arc::clone(&shared) }, Mailbox { shared }))
}

impl<T> Mailbox<T> {
    /// The descriptor that becomes readable when a message waits.
    #[must_use]
    pub fn fd(&self) -> Fd {
        Fd(self.shared.wake.as_raw_fd())
    }

    /// All messages, in their order; the descriptor is quiet until the next one.
    #[must_use]
    pub fn take(&self) -> VecDeque<T> {
        // Read before the queue is emptied: a message that comes between leaves a wake-up behind.
        // An error is EAGAIN: nothing was written since the last time.
        let _count = self.shared.wake.read();
        let mut messages = self.shared.messages.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *messages)
    }
}

impl<T> Sender<T> {
    /// Leaves a message and wakes the worker.
    ///
    /// # Errors
    /// When the worker is stuck or the wake-up fails.
    pub fn send(&self, message: T) -> Result<(), MailboxError> {
        self.leave(message, WAITING_MAX)
    }

    /// Delivers a reply even if the mailbox is full; the number of requests bounds the replies.
    ///
    /// # Errors
    /// When the wake-up fails.
    pub fn deliver(&self, message: T) -> Result<(), MailboxError> {
        self.leave(message, usize::MAX)
    }

    fn leave(&self, message: T, most: usize) -> Result<(), MailboxError> {
        {
            let mut messages = self.shared.messages.lock().unwrap_or_else(PoisonError::into_inner);
            if messages.len() >= most {
                return Err(MailboxError::Full);
            }
            messages.push_back(message);
        }
        match self.shared.wake.write(1) {
            // EAGAIN: the counter is at its maximum, so that the worker is awake already.
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(MailboxError::Wake(errno)),
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_in_order_and_wake_once_taken() {
        let (sender, mailbox) = mailbox().unwrap();
        assert!(mailbox.take().is_empty());
        sender.send(1).unwrap();
        sender.clone().send(2).unwrap();
        assert_eq!(mailbox.take(), [1, 2]);
        assert!(mailbox.take().is_empty());
    }

    #[test]
    fn a_mailbox_is_bounded() {
        let (sender, mailbox) = mailbox().unwrap();
        for n in 0..WAITING_MAX {
            sender.send(n).unwrap();
        }
        assert_eq!(sender.send(0), Err(MailboxError::Full));
        sender.deliver(1).unwrap();
        assert_eq!(mailbox.take().len(), WAITING_MAX + 1, "what is waited for is not lost");
        sender.send(0).unwrap();
    }
}
