//! What a peer may do, and how often (RFC 9113, section 10.5).

use std::time::{Duration, Instant};

use super::error::Violation;
use super::request::RequestLimits;

/// The time over which offences are counted.
pub const FLOOD_WINDOW: Duration = Duration::from_secs(10);

/// What a connection may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Heads of requests.
    pub request: RequestLimits,
    /// Streams that the peer may have open.
    pub streams: u32,
    /// CONTINUATION frames of a field block.
    pub continuations: u32,
    /// RST_STREAM frames in [`FLOOD_WINDOW`].
    pub resets: u32,
    /// Streams that the peer makes us reset in [`FLOOD_WINDOW`].
    pub forced_resets: u32,
    /// Frames that need an answer or say nothing, such as PING, SETTINGS and PRIORITY, in
    /// [`FLOOD_WINDOW`].
    pub control_frames: u32,
    /// DATA frames without data, in [`FLOOD_WINDOW`].
    pub empty_frames: u32,
    /// Bytes of the window of a stream, at most.
    pub window: u32,
    /// Whether CONNECT may name a protocol (RFC 8441): the peer is told so.
    pub extended_connect: bool,
    /// Bytes of heads that requests under way may take, beside [`HEADS_PER_BYTE`] times those that
    /// the connection has received.
    pub heads: usize,
}

/// Bytes of heads in memory that a received byte stands for at most.
pub const HEADS_PER_BYTE: u64 = 8;

impl Default for Limits {
    fn default() -> Self {
        Self {
            request: RequestLimits::default(),
            streams: 100,
            continuations: 8,
            resets: 100,
            forced_resets: 100,
            control_frames: 1000,
            empty_frames: 100,
            window: 4 * 1024 * 1024,
            extended_connect: false,
            heads: 16 * 1024,
        }
    }
}

/// Frames that go with a stream and need not say anything.
const FRAMES_PER_STREAM: u32 = 2;

/// How often something was done of late.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    since: Option<Instant>,
    count: u32,
}

impl Rate {
    /// It is done once more; false when that is too often.
    fn note(&mut self, now: Instant, most: u32) -> bool {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= FLOOD_WINDOW;
        if self.since.is_none_or(is_over) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count += 1;
        self.count <= most
    }
}

/// What may be done only so often.
#[derive(Debug, Clone, Copy)]
pub(super) enum Offence {
    Reset,
    ForcedReset,
    Control,
    Empty,
}

/// What a peer has done of late. A connection that does none of it has no memory for it.
#[derive(Debug, Default)]
pub(super) struct Offences(Option<Box<[Rate; 4]>>);

impl Offences {
    /// It is done once more.
    ///
    /// # Errors
    /// It is done too often.
    pub(super) fn note(
        &mut self,
        offence: Offence,
        now: Instant,
        limits: &Limits,
    ) -> Result<(), Violation> {
        let (most, violation) = match offence {
            Offence::Reset => (limits.resets, Violation::ResetFlood),
            Offence::ForcedReset => (limits.forced_resets, Violation::ForcedResetFlood),
            Offence::Control => (limits.control_frames, Violation::ControlFlood),
            Offence::Empty => (limits.empty_frames, Violation::EmptyFlood),
        };
        let rate = &mut self.0.get_or_insert_default()[offence as usize];
        if rate.note(now, most) { Ok(()) } else { Err(violation) }
    }

    /// A request has come, or an answer: with each there go a few frames that say nothing any more
    /// when they come, such as windows of streams that have ended, and priorities.
    pub(super) fn excuse(&mut self) {
        if let Some(rates) = &mut self.0 {
            let count = &mut rates[Offence::Control as usize].count;
            *count = count.saturating_sub(FRAMES_PER_STREAM);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a time to count from")]
    fn what_is_done_too_often_is_an_offence_until_its_time_is_over() {
        let limits = Limits { resets: 3, ..Limits::default() };
        let mut offences = Offences::default();
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(offences.note(Offence::Reset, start, &limits), Ok(()));
        }
        assert_eq!(offences.note(Offence::Empty, start, &limits), Ok(()));
        assert_eq!(offences.note(Offence::Reset, start, &limits), Err(Violation::ResetFlood));
        let later = start + FLOOD_WINDOW;
        assert_eq!(offences.note(Offence::Reset, later, &limits), Ok(()));
    }
}
