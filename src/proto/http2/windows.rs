//! The windows of a connection (RFC 9113, section 5.2).

use std::time::Instant;

use super::frame::WINDOW_INITIAL;

/// A side's windows of the whole connection.
#[derive(Debug)]
pub(super) struct Windows {
    /// Bytes that the peer takes.
    pub(super) send: i64,
    /// Bytes that it may still send.
    pub(super) receive: i64,
    /// Bytes of the window that is given.
    pub(super) size: u32,
    /// Bytes that are to be given back.
    pub(super) credit: u32,
    /// Received bytes that are not credited yet.
    withheld: usize,
    /// Received bytes that are not yet consumed.
    pub(super) waiting: usize,
    /// Unconsumed bytes that are credited at once, so that a stalled stream does not stall the
    /// others.
    pub(super) waiting_max: usize,
    /// When something was given back last.
    pub(super) given: Option<Instant>,
}

impl Windows {
    /// Those that a connection begins with; unconsumed bytes as [`Windows::waiting_max`] says.
    pub(super) fn new(waiting_max: usize) -> Self {
        Self {
            send: WINDOW_INITIAL.into(),
            receive: WINDOW_INITIAL.into(),
            size: WINDOW_INITIAL,
            credit: 0,
            withheld: 0,
            waiting: 0,
            waiting_max,
            given: None,
        }
    }

    /// Bytes have come.
    pub(super) const fn enter(&mut self, bytes: usize) {
        self.withheld += bytes;
    }

    /// Bytes wait for whoever takes them.
    pub(super) const fn wait(&mut self, bytes: usize) {
        self.waiting += bytes;
    }

    /// Bytes wait no longer.
    pub(super) const fn leave(&mut self, bytes: usize) {
        self.waiting = self.waiting.saturating_sub(bytes);
    }

    /// Gives back what need not be withheld; whether that is worth a frame.
    pub(super) fn settle(&mut self) -> bool {
        let due = self.withheld.saturating_sub(self.waiting.saturating_sub(self.waiting_max));
        self.withheld -= due;
        self.credit = self.credit.saturating_add(u32::try_from(due).unwrap_or(u32::MAX));
        self.credit >= self.size / 2
    }

    /// Whether the peer is held up because too much waits.
    pub(super) const fn is_shut(&self) -> bool {
        self.waiting > self.waiting_max
    }
}
