//! Decompression of messages, part by part.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

/// What a sender leaves out at the end of a message (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// A last block without content: it is read as one only where a block can begin.
const LAST_BLOCK: [u8; 2] = [0x03, 0x00];
/// The largest window.
const WINDOW: usize = 32 * 1024;
/// Bytes of output that are made room for at first, by those of input, and at most at once.
const STEP_FACTOR: usize = 4;
const STEP_MIN: usize = 256;
const STEP_MAX: usize = 64 * 1024;

/// Why a message cannot be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It is longer than allowed.
    #[error("a compressed message is longer than allowed")]
    TooLong,
    /// It is no DEFLATE data, or ends too early.
    #[error("a compressed message is not valid DEFLATE data")]
    Corrupt,
}

/// Decompresses messages, whose parts may come one by one: [`begin`](Self::begin),
/// [`feed`](Self::feed) for each part, [`end`](Self::end).
pub struct Inflater {
    state: Inflate,
    has_takeover: bool,
    /// Nothing has come of the message yet.
    is_empty: bool,
    /// Bytes of the message, and the most there may be.
    len: usize,
    max: usize,
    /// A last block was read. What comes behind it is a new stream with the same window (section
    /// 7.2.3.4).
    is_at_end: bool,
    /// A last block was read in this connection: what is behind one may be wanted again.
    keeps_history: bool,
    /// The end of earlier messages, if it is kept.
    history: Vec<u8>,
    has_failed: bool,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("has_takeover", &self.has_takeover)
            .field("len", &self.len)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// The most bytes that one takes: state and window of zlib-rs, and a second window for a peer
    /// which sends last blocks.
    pub const MEMORY_MAX: usize = 2 * WINDOW + 16 * 1024;

    /// One that begins each message with an empty window.
    #[must_use]
    pub fn new() -> Self {
        Self {
            // The window is as large whatever is negotiated. One of 15 bits also reads what an
            // encoder of zlib sends, which uses 9 bits where 8 were negotiated.
            state: Inflate::new(false, 15),
            has_takeover: false,
            is_empty: true,
            len: 0,
            max: 0,
            is_at_end: false,
            keeps_history: false,
            history: Vec::new(),
            has_failed: false,
        }
    }

    /// One whose window lives on from one message to the next.
    #[must_use]
    pub fn with_takeover() -> Self {
        Self { has_takeover: true, ..Self::new() }
    }

    #[cfg(test)]
    pub(super) const fn history_memory(&self) -> usize {
        self.history.capacity()
    }

    /// A whole message: appends what its parts stand for, at most `max` bytes.
    ///
    /// # Errors
    /// As [`feed`](Self::feed).
    pub fn inflate<'a>(
        &mut self,
        parts: impl IntoIterator<Item = &'a [u8]>,
        max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        self.begin(max);
        for part in parts {
            self.feed(part, out)?;
        }
        self.end(out)
    }

    /// Begins a message of at most `max` bytes. One that has not come to its end is forgotten.
    pub fn begin(&mut self, max: usize) {
        (self.len, self.max, self.is_empty) = (0, max, true);
        if !self.has_takeover {
            self.state.reset(false);
            (self.is_at_end, self.has_failed) = (false, false);
        }
    }

    /// Appends what a part of the message stands for. What the message appended before has to be
    /// left in `out`.
    ///
    /// # Errors
    /// What is wrong with the message: nothing more of it can be read, and with context takeover
    /// nothing of the connection.
    pub fn feed(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<(), InflateError> {
        if self.has_failed {
            return Err(InflateError::Corrupt);
        }
        let fed = self.feed_blocks(part, out);
        self.has_failed = fed.is_err();
        fed
    }

    /// Ends a message, behind its last part.
    ///
    /// # Errors
    /// As [`feed`](Self::feed); a message is corrupt if it ends within a block.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), InflateError> {
        // Some senders make nothing of an empty message, instead of one byte.
        if !self.is_empty && !self.is_at_end {
            let len = self.len;
            let fed = self.feed(&TAIL, out);
            // The tail is the end of an empty block. Had it been anything else, most often it would
            // have stood for something.
            if fed.is_err() || self.len != len || self.is_at_end || !self.is_between_blocks() {
                self.has_failed = true;
                return Err(InflateError::Corrupt);
            }
        }
        if self.has_failed {
            return Err(InflateError::Corrupt);
        }
        if self.keeps_history && self.has_takeover {
            remember(&mut self.history, message(out, self.len));
        }
        Ok(())
    }

    /// Whether the message ends where a block does. With context takeover that cannot be asked: the
    /// window would be lost.
    fn is_between_blocks(&mut self) -> bool {
        if self.has_takeover {
            return true;
        }
        let before = self.state.total_out();
        let read = self.state.decompress(&LAST_BLOCK, &mut [0], InflateFlush::Finish);
        read == Ok(Status::StreamEnd) && self.state.total_out() == before
    }

    fn feed_blocks(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<(), InflateError> {
        self.is_empty &= part.is_empty();
        let mut rest = part;
        let mut step = part.len().saturating_mul(STEP_FACTOR).clamp(STEP_MIN, STEP_MAX);
        let mut has_more = false;
        while !rest.is_empty() || has_more {
            if self.is_at_end {
                self.restart(out);
            }
            let room = step.min(self.max - self.len);
            let (taken, made) = self.step(rest, room, out)?;
            rest = &rest[taken..];
            // What fills its room may have more to come, but for a last block.
            has_more = room > 0 && made == room && !self.is_at_end;
            if taken == 0 && made == 0 && !self.is_at_end {
                return if rest.is_empty() { Ok(()) } else { Err(InflateError::Corrupt) };
            }
            step = (2 * step).min(STEP_MAX);
        }
        Ok(())
    }

    /// Decompresses into so much room; none is left if that is 0. Bytes taken and made.
    fn step(
        &mut self,
        rest: &[u8],
        room: usize,
        out: &mut Vec<u8>,
    ) -> Result<(usize, usize), InflateError> {
        let (was_in, was_out) = (self.state.total_in(), self.state.total_out());
        let start = out.len();
        let status = if room == 0 {
            // The message may end here, but not go on.
            self.state.decompress(rest, &mut [0], InflateFlush::SyncFlush)
        } else {
            make_room(out, room, self.max - self.len);
            out.resize(start + room, 0);
            self.state.decompress(rest, &mut out[start..], InflateFlush::SyncFlush)
        };
        let taken = since(was_in, self.state.total_in());
        let made = since(was_out, self.state.total_out());
        out.truncate(start + made);
        // What comes behind the byte that is too much may be wrong as well.
        if made > room {
            return Err(InflateError::TooLong);
        }
        match status {
            Ok(Status::StreamEnd) => {
                self.is_at_end = true;
                self.keeps_history |= self.has_takeover;
            }
            Ok(Status::Ok | Status::BufError) => {}
            Err(_) => return Err(InflateError::Corrupt),
        }
        self.len += made;
        Ok((taken, made))
    }

    /// Goes on behind a last block. Blocks behind it may refer to what is before it.
    fn restart(&mut self, out: &[u8]) {
        self.state.reset(false);
        self.is_at_end = false;
        for before in [&self.history[..], message(out, self.len)] {
            let before = &before[before.len().saturating_sub(WINDOW)..];
            if !before.is_empty() {
                // It fails for other formats only.
                let set = self.state.set_dictionary(before);
                debug_assert!(set.is_ok(), "raw data takes a window");
            }
        }
    }
}

/// The message of so many bytes at the end of the output.
fn message(out: &[u8], len: usize) -> &[u8] {
    &out[out.len().saturating_sub(len)..]
}

fn since(before: u64, after: u64) -> usize {
    usize::try_from(after - before).expect("it is a part of a slice")
}

/// Makes room for the next step. The vector grows by doubling, but not beyond what may come.
fn make_room(out: &mut Vec<u8>, room: usize, most: usize) {
    if out.capacity() - out.len() < room {
        let doubled = (2 * out.capacity()).saturating_sub(out.len());
        out.reserve_exact(doubled.min(most).max(room));
    }
}

/// Appends a message to what is kept of those before.
fn remember(history: &mut Vec<u8>, message: &[u8]) {
    let message = &message[message.len().saturating_sub(WINDOW)..];
    let kept = history.len().min(WINDOW - message.len());
    history.drain(..history.len() - kept);
    history.reserve_exact(WINDOW - history.len());
    history.extend_from_slice(message);
}
