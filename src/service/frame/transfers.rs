//! The answers of one connection that come in parts: whose turn it is, and how much may be sent.
//!
//! Each part is one turn, so that a large answer delays no other by more than a part. With flow
//! control, an answer that has no credit is passed over until the client gives it more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::proto::frame::{CREDIT_MAX, End};

/// One answer under way. `S` is where its bytes come from.
#[derive(Debug)]
pub struct Transfer<S> {
    /// The stream of the request; 0 in version 1.
    pub stream: u32,
    /// Where the bytes come from.
    pub source: S,
    total: u64,
    checksum: crc32fast::Hasher,
    /// Bytes that it may carry. `None`: any number.
    credit: Option<u32>,
    /// A part was read for which there was no credit: there is more.
    has_more: bool,
    is_cancelled: bool,
    /// When it was first seen to wait for credit, with so many bytes sent.
    waits_since: Option<(Instant, u64)>,
}

impl<S> Transfer<S> {
    /// Takes the credit for a part of at most `len` bytes; how many of them may be sent.
    pub fn take_credit(&mut self, len: usize) -> usize {
        let Some(credit) = &mut self.credit else { return len };
        let taken = u32::try_from(len).unwrap_or(u32::MAX).min(*credit);
        *credit -= taken;
        self.has_more = (taken as usize) < len;
        taken as usize
    }

    /// Bytes that are sent as a part, for the sum at the end.
    pub fn count(&mut self, part: &[u8]) {
        self.total += part.len() as u64;
        self.checksum.update(part);
    }

    /// What the end of the answer says.
    #[must_use]
    pub fn end(&self) -> End {
        End { total: self.total, checksum: self.checksum.clone().finalize() }
    }

    /// Whether the client has reset it while a part was being read.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// The end of an answer needs no credit: without any, one read finds out whether it is there.
    const fn may_go_on(&self) -> bool {
        match self.credit {
            Some(0) => !self.has_more,
            Some(_) | None => true,
        }
    }
}

/// What a client's RESET found.
#[derive(Debug, PartialEq, Eq)]
pub enum Reset<S> {
    /// No such answer is under way: it is over.
    Over,
    /// It is cancelled; this was its source.
    Cancelled(S),
    /// The same, but a part of it is being read: [`Transfers::finish`] gives its source.
    Reading,
}

/// The answers under way, in the order of their turns.
///
/// Calling order: [`Transfers::begin`] for each; [`Transfers::take_turn`] gives the one whose turn
/// it is to be read from; [`Transfers::reading`] until that has come, then [`Transfers::read`], and
/// [`Transfers::finish`] after its last part.
#[derive(Debug)]
pub struct Transfers<S> {
    turns: VecDeque<Transfer<S>>,
    /// The last one of `turns` is being read from.
    is_reading: bool,
    /// The client can allow nothing any more, and everything is allowed.
    is_lifted: bool,
}

impl<S> Default for Transfers<S> {
    fn default() -> Self {
        Self { turns: VecDeque::new(), is_reading: false, is_lifted: false }
    }
}

impl<S> Transfers<S> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// An answer begins, which may carry `credit` bytes.
    pub fn begin(&mut self, stream: u32, source: S, credit: Option<u32>) {
        let transfer = Transfer {
            stream,
            source,
            total: 0,
            checksum: crc32fast::Hasher::new(),
            credit: credit.filter(|_| !self.is_lifted),
            has_more: false,
            is_cancelled: false,
            waits_since: None,
        };
        // The one that is being read from stays the last.
        let place = self.turns.len() - usize::from(self.is_reading);
        self.turns.insert(place, transfer);
    }

    /// An answer may carry more. One that is over needs no credit.
    ///
    /// # Errors
    /// The credit that it would have, which is more than a stream may have.
    pub fn add_credit(&mut self, stream: u32, bytes: u32) -> Result<(), u32> {
        let Some(transfer) = self.turns.iter_mut().find(|one| one.stream == stream) else {
            return Ok(());
        };
        let Some(credit) = &mut transfer.credit else { return Ok(()) };
        let sum = credit.saturating_add(bytes);
        if sum > CREDIT_MAX {
            return Err(sum);
        }
        *credit = sum;
        Ok(())
    }

    /// Nobody waits for an answer any more.
    pub fn reset(&mut self, stream: u32) -> Reset<S> {
        let Some(place) = self.turns.iter().position(|one| one.stream == stream) else {
            return Reset::Over;
        };
        if self.is_reading && place + 1 == self.turns.len() {
            let is_first = self
                .turns
                .back_mut()
                .is_some_and(|last| !std::mem::replace(&mut last.is_cancelled, true));
            return if is_first { Reset::Reading } else { Reset::Over };
        }
        self.turns.remove(place).map_or(Reset::Over, |transfer| Reset::Cancelled(transfer.source))
    }

    /// The one whose turn it is, unless one is being read from. The others come before it again.
    pub fn take_turn(&mut self) -> Option<&mut Transfer<S>> {
        if self.is_reading {
            return None;
        }
        let place = self.turns.iter().position(Transfer::may_go_on)?;
        let transfer = self.turns.remove(place)?;
        self.turns.push_back(transfer);
        self.turns.back_mut()
    }

    /// Looks which answers wait for credit; the streams of those that have done so for `limit`,
    /// counted from the first look that saw them wait.
    pub fn stalled(&mut self, now: Instant, limit: Duration) -> Vec<u32> {
        let mut stalled = Vec::new();
        for transfer in &mut self.turns {
            let waits = (!transfer.may_go_on()).then_some(transfer.total);
            transfer.waits_since = match (transfer.waits_since, waits) {
                (Some((since, before)), Some(total)) if before == total => Some((since, total)),
                (_, Some(total)) => Some((now, total)),
                (_, None) => None,
            };
            let is_over = |(since, _)| now.saturating_duration_since(since) >= limit;
            if transfer.waits_since.is_some_and(is_over) {
                stalled.push(transfer.stream);
            }
        }
        stalled
    }

    /// Whether there is one that may go on.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.turns.iter().any(Transfer::may_go_on)
    }

    /// The client can allow nothing any more: everything is allowed.
    pub fn lift_credit(&mut self) {
        self.is_lifted = true;
        self.turns.iter_mut().for_each(|transfer| transfer.credit = None);
    }

    /// The one that [`Transfers::take_turn`] gave is being read from.
    pub const fn reading(&mut self) {
        self.is_reading = true;
    }

    /// Whether one is being read from.
    #[must_use]
    pub const fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// The read is over: which one was read from.
    pub fn read(&mut self) -> Option<&mut Transfer<S>> {
        if std::mem::take(&mut self.is_reading) { self.turns.back_mut() } else { None }
    }

    /// The one that was taken or read last is over.
    pub fn finish(&mut self) -> Option<Transfer<S>> {
        self.turns.pop_back()
    }

    /// All of them are over.
    pub fn drain(&mut self) -> impl Iterator<Item = Transfer<S>> {
        self.is_reading = false;
        self.turns.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads parts of at most `len` bytes until no answer may go on; the streams, in turn.
    fn run(transfers: &mut Transfers<usize>, len: usize) -> Vec<(u32, usize)> {
        let mut parts = Vec::new();
        while let Some(transfer) = transfers.take_turn() {
            let part = len.min(transfer.source);
            let taken = transfer.take_credit(part);
            transfer.source -= taken;
            transfer.count(&vec![0; taken]);
            parts.push((transfer.stream, taken));
            if part == 0 {
                transfers.finish();
            }
        }
        parts
    }

    #[test]
    fn answers_take_turns() {
        let mut transfers = Transfers::default();
        transfers.begin(1, 30, None);
        transfers.begin(2, 10, None);
        let parts = run(&mut transfers, 10);
        assert_eq!(parts, [(1, 10), (2, 10), (1, 10), (2, 0), (1, 10), (1, 0)]);
        assert!(transfers.is_empty());
    }

    #[test]
    fn an_answer_without_credit_is_passed_over_and_ends_without() {
        let mut transfers = Transfers::default();
        transfers.begin(1, 30, Some(15));
        transfers.begin(2, 20, Some(20));
        let parts = run(&mut transfers, 10);
        assert_eq!(parts, [(1, 10), (2, 10), (1, 5), (2, 10), (2, 0)]);
        assert_eq!(transfers.len(), 1);
        assert_eq!(transfers.add_credit(1, 15), Ok(()));
        assert_eq!(transfers.add_credit(2, 15), Ok(()), "it is over");
        assert_eq!(run(&mut transfers, 10), [(1, 10), (1, 5), (1, 0)]);
        transfers.begin(3, 1, Some(1));
        assert_eq!(transfers.add_credit(3, CREDIT_MAX), Err(CREDIT_MAX + 1));
    }

    #[test]
    fn a_file_of_as_many_bytes_as_there_is_credit_for_ends() {
        let mut transfers = Transfers::default();
        transfers.begin(1, 20, Some(20));
        assert_eq!(run(&mut transfers, 10), [(1, 10), (1, 10), (1, 0)]);
        transfers.begin(2, 21, Some(20));
        assert_eq!(run(&mut transfers, 10), [(2, 10), (2, 10), (2, 0)], "one look, and no more");
        assert_eq!(run(&mut transfers, 10), []);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an origin to count from")]
    fn an_answer_that_gets_no_credit_for_long_is_stalled() {
        let (begin, limit) = (Instant::now(), Duration::from_secs(10));
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut transfers = Transfers::default();
        transfers.begin(1, 30, Some(10));
        transfers.begin(2, 10_000, None);
        assert_eq!(transfers.stalled(at(0), limit).len(), 0, "it has not begun");
        assert_eq!(run(&mut transfers, 1_000).len(), 12);
        assert_eq!(transfers.stalled(at(1), limit).len(), 0);
        assert_eq!(transfers.stalled(at(10), limit).len(), 0);
        assert_eq!(transfers.add_credit(1, 5), Ok(()));
        run(&mut transfers, 1_000);
        assert_eq!(transfers.stalled(at(11), limit).len(), 0, "it went on meanwhile");
        assert_eq!(transfers.stalled(at(21), limit), [1]);
        assert_eq!(transfers.reset(1), Reset::Cancelled(15));
        assert_eq!(transfers.stalled(at(40), limit).len(), 0);
    }

    #[test]
    fn a_reset_waits_for_the_read_that_is_under_way() {
        let mut transfers = Transfers::default();
        transfers.begin(1, 10, None);
        transfers.begin(2, 20, None);
        assert_eq!(transfers.take_turn().map(|one| one.stream), Some(1));
        transfers.reading();
        transfers.begin(3, 30, None);
        assert!(transfers.take_turn().is_none(), "one read at a time");
        assert_eq!(transfers.reset(1), Reset::Reading);
        assert_eq!(transfers.reset(1), Reset::Over, "once");
        assert_eq!(transfers.reset(2), Reset::Cancelled(20));
        assert_eq!(transfers.reset(2), Reset::Over);
        assert!(transfers.read().is_some_and(|one| one.is_cancelled() && one.stream == 1));
        assert_eq!(transfers.finish().map(|one| one.source), Some(10));
        assert_eq!(transfers.take_turn().map(|one| one.stream), Some(3));
        assert_eq!(transfers.drain().count(), 1);
    }
}
