//! Follows the frames of one direction of a WebSocket that is passed on (RFC 6455, section 5). No
//! byte is unmasked or changed: heads are read, what they announce is counted and limited, and it
//! is known where a frame ends, so that frames of our own can be put between those of the peer.
//!
//! A head is held back until it is whole, which is 14 bytes at most, and so is the whole of a pong
//! while one of our own pings waits for its pong: 139 bytes. All else passes as it comes.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::error::Violation;
use super::frame::{CONTROL_MAX, FrameHead, HEAD_MAX, Opcode};

/// Bytes that are held back, at most: a control frame.
pub const HELD_MAX: usize = HEAD_MAX + CONTROL_MAX;
/// Pings of ours that wait for their pongs. The oldest is forgotten for another one.
const PINGS_MAX: usize = 4;

/// Who sends what is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// It masks its frames (RFC 6455, section 5.1).
    Client,
    /// It masks none.
    Server,
}

/// How much may come in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InspectLimits {
    /// Bytes of a frame's payload, as it is on the wire.
    pub frame: u64,
    /// Bytes of the payloads of a message, likewise: one that is compressed may become longer.
    pub message: u64,
    /// Messages a second, and at once after a pause. No limit without them.
    pub rate: Option<(u32, u32)>,
    /// Whether messages may be compressed: an extension was agreed on.
    pub extensions: bool,
}

/// What has come in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages whose last frame has begun.
    pub messages: u64,
    /// Bytes of their payloads, as they are on the wire.
    pub bytes: u64,
    /// Pings.
    pub pings: u64,
    /// Pongs, those that were swallowed among them.
    pub pongs: u64,
}

/// What becomes of the next bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passed {
    /// These bytes of the input pass.
    Input(Range<usize>),
    /// What was held back passes: [`Inspector::held`] has it until the next call.
    Held,
    /// Nothing does: it is held back, or was for us, or comes behind a close frame.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the head of a frame, of which some bytes may be held back.
    Head,
    /// Within a payload, of which so many bytes are to come.
    Payload(u64),
    /// Within a pong that is held back, of which so many bytes are to come.
    Pong { left: usize, head: usize, mask: Option<[u8; 4]> },
    /// Behind a close frame.
    Closed,
}

/// A message of which more has to come.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Bytes of its frames so far, with those that the present one announces.
    size: u64,
}

/// The machine of one direction.
///
/// Calling order: [`Inspector::next`] with what has come, until all of it is taken. Where
/// [`Inspector::is_between_frames`] says so, frames of ours may be sent behind what has passed;
/// [`Inspector::expect_pong`] belongs to a ping that goes the other way.
#[derive(Debug)]
pub struct Inspector {
    sender: Sender,
    limits: InspectLimits,
    state: State,
    /// The present frame closes the connection.
    closes: bool,
    message: Option<Open>,
    held: [u8; HELD_MAX],
    held_len: usize,
    /// What was held back has passed.
    is_given: bool,
    /// The payloads of our pings that wait for their pongs, the oldest first.
    pings: [Option<[u8; 8]>; PINGS_MAX],
    /// When the rate allows the next message, if those before came one by one.
    due: Option<Instant>,
    counts: Counts,
}

impl Inspector {
    /// The machine of a direction that begins.
    #[must_use]
    pub const fn new(sender: Sender, limits: InspectLimits) -> Self {
        Self {
            sender,
            limits,
            state: State::Head,
            closes: false,
            message: None,
            held: [0; HELD_MAX],
            held_len: 0,
            is_given: false,
            pings: [None; PINGS_MAX],
            due: None,
            counts: Counts { messages: 0, bytes: 0, pings: 0, pongs: 0 },
        }
    }

    /// Whether an extension was agreed on, once that is known.
    pub const fn allow_extensions(&mut self, are_agreed: bool) {
        self.limits.extensions = are_agreed;
    }

    /// What has come so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether all that has passed ends where a frame does, and no close frame is among it: frames
    /// of ours may follow. A control frame may stand between the frames of one message.
    #[must_use]
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Head | State::Pong { .. })
    }

    /// Whether a close frame has passed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What was held back, after [`Passed::Held`].
    #[must_use]
    pub fn held(&self) -> &[u8] {
        self.held.get(..self.held_len).unwrap_or_default()
    }

    /// A ping of ours with this payload goes the other way: its pong is for us.
    pub fn expect_pong(&mut self, payload: [u8; 8]) {
        if self.pings.iter().all(Option::is_some) {
            self.pings.rotate_left(1);
            self.pings[PINGS_MAX - 1] = None;
        }
        if let Some(free) = self.pings.iter_mut().find(|one| one.is_none()) {
            *free = Some(payload);
        }
    }

    /// Whether pings of ours wait for their pongs.
    #[must_use]
    pub fn awaits_pong(&self) -> bool {
        self.pings.iter().any(Option::is_some)
    }

    /// Looks at what has come: how many bytes of it were taken, at least one unless there is none,
    /// and what passes.
    ///
    /// # Errors
    /// A rule is broken, or a limit: nothing of the frame has passed but what had before.
    pub fn next(&mut self, input: &[u8], now: Instant) -> Result<(usize, Passed), Violation> {
        if std::mem::take(&mut self.is_given) {
            self.held_len = 0;
        }
        match self.state {
            State::Closed => Ok((input.len(), Passed::Nothing)),
            State::Head => self.take_head(input, now),
            State::Payload(left) => {
                let count = shorter(left, input.len());
                self.advance(left, count);
                Ok((count, Passed::Input(0..count)))
            }
            State::Pong { left, head, mask } => {
                let count = left.min(input.len());
                self.hold(input.get(..count).unwrap_or_default());
                Ok((count, self.go_on_with_pong(left - count, head, mask)))
            }
        }
    }

    fn take_head(&mut self, input: &[u8], now: Instant) -> Result<(usize, Passed), Violation> {
        if self.held_len == 0
            && let Some((head, size)) = FrameHead::read(input)?
        {
            if self.begin(head, now)? {
                self.hold(input.get(..size).unwrap_or_default());
                return Ok((size, self.begin_pong(head, size)));
            }
            // The head and what there is of its payload pass together.
            let count = size + shorter(head.len, input.len() - size);
            self.advance(head.len, count - size);
            return Ok((count, Passed::Input(0..count)));
        }
        // Head bytes, one by one: there are few, and more than one input brings them.
        for (at, byte) in input.iter().enumerate() {
            self.hold(std::slice::from_ref(byte));
            let Some((head, size)) = FrameHead::read(self.held())? else { continue };
            if self.begin(head, now)? {
                return Ok((at + 1, self.begin_pong(head, size)));
            }
            self.advance(head.len, 0);
            self.is_given = true;
            return Ok((at + 1, Passed::Held));
        }
        Ok((input.len(), Passed::Nothing))
    }

    /// A frame begins: whether it is a pong that may be ours.
    fn begin(&mut self, head: FrameHead, now: Instant) -> Result<bool, Violation> {
        let FrameHead { fin, compressed, opcode, mask, len } = head;
        match (self.sender, mask) {
            (Sender::Client, None) => return Err(Violation::Unmasked),
            (Sender::Server, Some(_)) => return Err(Violation::Masked),
            (Sender::Client, Some(_)) | (Sender::Server, None) => {}
        }
        if compressed && !self.limits.extensions {
            return Err(Violation::ReservedBit);
        }
        if compressed && (opcode.is_control() || opcode == Opcode::Continuation) {
            return Err(Violation::CompressedFragment);
        }
        if len > self.limits.frame && !opcode.is_control() {
            return Err(Violation::FrameTooBig);
        }
        match opcode {
            Opcode::Close => self.closes = true,
            Opcode::Ping => self.counts.pings += 1,
            Opcode::Pong => {
                self.counts.pongs += 1;
                return Ok(self.awaits_pong());
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                let before = match (opcode, self.message) {
                    (Opcode::Continuation, None) => return Err(Violation::NoMessage),
                    (Opcode::Continuation, Some(open)) => open.size,
                    (_, Some(_)) => return Err(Violation::MessageWithin),
                    (_, None) => {
                        self.note_rate(now)?;
                        0
                    }
                };
                let size = before.saturating_add(len);
                if size > self.limits.message {
                    return Err(Violation::MessageTooBig);
                }
                self.message = (!fin).then_some(Open { size });
                self.counts.messages += u64::from(fin);
                self.counts.bytes = self.counts.bytes.saturating_add(len);
            }
        }
        Ok(false)
    }

    /// A message begins: `burst` of them may come at once, and then one whenever its part of a
    /// second is over.
    fn note_rate(&mut self, now: Instant) -> Result<(), Violation> {
        let Some((rate, burst)) = self.limits.rate else { return Ok(()) };
        let each = Duration::from_secs(1) / rate.max(1);
        let due = self.due.map_or(now, |due| due.max(now));
        if due.saturating_duration_since(now) + each > each * burst.max(1) {
            return Err(Violation::Rate);
        }
        self.due = due.checked_add(each);
        Ok(())
    }

    /// Of `left` bytes of a payload, so many have passed.
    const fn advance(&mut self, left: u64, count: usize) {
        let left = left.saturating_sub(count as u64);
        self.state = match left {
            0 if self.closes => State::Closed,
            0 => State::Head,
            left => State::Payload(left),
        };
    }

    fn begin_pong(&mut self, head: FrameHead, size: usize) -> Passed {
        // A control frame has at most 125 bytes.
        let left = usize::try_from(head.len).unwrap_or(CONTROL_MAX);
        self.go_on_with_pong(left, size, head.mask)
    }

    /// A pong is held back until it is whole: it is swallowed, or passes.
    fn go_on_with_pong(&mut self, left: usize, head: usize, mask: Option<[u8; 4]>) -> Passed {
        if left > 0 {
            self.state = State::Pong { left, head, mask };
            return Passed::Nothing;
        }
        self.state = State::Head;
        self.is_given = true;
        let payload = self.held().get(head..).unwrap_or_default();
        let mask = mask.unwrap_or_default();
        let plain = |at: usize, byte: &u8| *byte ^ mask[at % mask.len()];
        let is_of = |ping: &Option<[u8; 8]>| {
            ping.is_some_and(|ping| {
                let bytes = payload.iter().enumerate();
                payload.len() == ping.len() && bytes.zip(ping).all(|((at, b), p)| plain(at, b) == p)
            })
        };
        let Some(place) = self.pings.iter().position(is_of) else { return Passed::Held };
        // Pongs may answer the latest of several pings (RFC 6455, section 5.5.3).
        self.pings.rotate_left(place + 1);
        self.pings.iter_mut().rev().take(place + 1).for_each(|ping| *ping = None);
        Passed::Nothing
    }

    /// Holds bytes back; there is room, as no control frame is longer.
    fn hold(&mut self, bytes: &[u8]) {
        let end = self.held_len + bytes.len();
        if let Some(place) = self.held.get_mut(self.held_len..end) {
            place.copy_from_slice(bytes);
            self.held_len = end;
        }
    }
}

/// The shorter of two lengths.
fn shorter(left: u64, len: usize) -> usize {
    usize::try_from(left).map_or(len, |left| left.min(len))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin to count from")]
mod tests {
    use super::*;

    const LIMITS: InspectLimits =
        InspectLimits { frame: 1_000, message: 1_500, rate: None, extensions: true };

    fn frame(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let compressed = false;
        let len = payload.len() as u64;
        let mut out = Vec::new();
        FrameHead { fin, compressed, opcode, mask, len }.append(&mut out);
        let mask = mask.unwrap_or_default();
        out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        out
    }

    /// What passes of `input`, which comes in parts of these lengths; and the error, if it breaks a
    /// rule.
    fn pass(
        inspector: &mut Inspector,
        input: &[u8],
        parts: &[usize],
        now: Instant,
    ) -> (Vec<u8>, Option<Violation>) {
        let (mut out, mut rest, mut parts) = (Vec::new(), input, parts.iter().copied());
        while !rest.is_empty() {
            let len = parts.next().unwrap_or(rest.len()).min(rest.len());
            let mut part = &rest[..len];
            rest = &rest[len..];
            while !part.is_empty() {
                match inspector.next(part, now) {
                    Ok((taken, passed)) => {
                        assert!(taken > 0, "it goes on");
                        match passed {
                            Passed::Input(range) => out.extend_from_slice(&part[range]),
                            Passed::Held => out.extend_from_slice(inspector.held()),
                            Passed::Nothing => {}
                        }
                        part = &part[taken..];
                    }
                    Err(violation) => return (out, Some(violation)),
                }
            }
        }
        (out, None)
    }

    const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

    fn conversation(mask: Option<[u8; 4]>) -> Vec<u8> {
        let long = vec![b'x'; 300];
        [
            frame(true, Opcode::Text, mask, b"one"),
            frame(false, Opcode::Binary, mask, &long),
            frame(true, Opcode::Ping, mask, b"are you there"),
            frame(false, Opcode::Continuation, mask, b""),
            frame(true, Opcode::Continuation, mask, &long),
            frame(true, Opcode::Pong, mask, b"its own"),
            frame(true, Opcode::Text, mask, b""),
            frame(true, Opcode::Close, mask, &[3, 0xe8]),
        ]
        .concat()
    }

    #[test]
    fn what_keeps_the_rules_passes_as_it_is_at_every_split() {
        let now = Instant::now();
        for (sender, mask) in [(Sender::Client, MASK), (Sender::Server, None)] {
            let input = conversation(mask);
            for awaits in [false, true] {
                for cut in 0..input.len() {
                    for parts in [vec![cut.max(1)], vec![cut.max(1), 1, 1, 1]] {
                        let mut inspector = Inspector::new(sender, LIMITS);
                        if awaits {
                            inspector.expect_pong(*b"whatever");
                        }
                        let (out, violation) = pass(&mut inspector, &input, &parts, now);
                        assert_eq!((out == input, violation), (true, None), "{cut}");
                        let counts = Counts { messages: 3, bytes: 603, pings: 1, pongs: 1 };
                        assert_eq!(inspector.counts(), counts);
                        assert!(inspector.is_closed() && !inspector.is_between_frames());
                    }
                }
                let each = vec![1; input.len()];
                let mut inspector = Inspector::new(sender, LIMITS);
                assert_eq!(pass(&mut inspector, &input, &each, now), (input.clone(), None));
                let behind = pass(&mut inspector, b"more", &[], now);
                assert_eq!(behind, (Vec::new(), None), "nothing passes behind a close frame");
            }
        }
    }

    #[test]
    fn it_is_known_where_a_frame_of_ours_may_stand() {
        let now = Instant::now();
        let input = conversation(MASK);
        // The ends of frames.
        let mut ends = vec![0];
        while let Some(at) = ends.last().copied().filter(|at| *at < input.len()) {
            let (head, size) = FrameHead::read(&input[at..]).unwrap().unwrap();
            ends.push(at + size + usize::try_from(head.len).unwrap());
        }
        let mut inspector = Inspector::new(Sender::Client, LIMITS);
        let mut passed = 0;
        for at in 0..input.len() {
            let is_end = ends.contains(&passed);
            assert_eq!(inspector.is_between_frames(), is_end, "{at} {passed}");
            passed += pass(&mut inspector, &input[at..=at], &[], now).0.len();
        }
        assert_eq!(passed, input.len());
    }

    #[test]
    fn pongs_of_our_pings_are_swallowed_at_every_split_and_no_others() {
        let now = Instant::now();
        for (sender, mask) in [(Sender::Client, MASK), (Sender::Server, None)] {
            let before = frame(false, Opcode::Text, mask, b"a");
            let other = frame(true, Opcode::Pong, mask, b"other 88");
            let own = frame(true, Opcode::Pong, mask, b"ping  02");
            let behind = frame(true, Opcode::Continuation, mask, b"b");
            let input = [&*before, &other, &own, &behind, &own].concat();
            // The first ping was not answered, and will not be; the second answer is one too many.
            let expected = [&*before, &other, &behind, &own].concat();
            for cut in 1..input.len() {
                for parts in [vec![cut], vec![cut, 1, 1]] {
                    let mut inspector = Inspector::new(sender, LIMITS);
                    inspector.expect_pong(*b"ping  01");
                    inspector.expect_pong(*b"ping  02");
                    let (out, violation) = pass(&mut inspector, &input, &parts, now);
                    assert_eq!((out == expected, violation), (true, None), "{cut}");
                    assert!(!inspector.awaits_pong());
                    assert_eq!(inspector.counts().pongs, 3);
                }
            }
        }
        let mut inspector = Inspector::new(Sender::Server, LIMITS);
        (0..9).for_each(|_| inspector.expect_pong(*b"ping  03"));
        inspector.expect_pong(*b"ping  04");
        inspector.expect_pong(*b"ping  05");
        let own = frame(true, Opcode::Pong, None, b"ping  04");
        assert_eq!(pass(&mut inspector, &own, &[], now), (Vec::new(), None));
        assert!(inspector.awaits_pong(), "the last one");
    }

    #[test]
    fn what_breaks_a_rule_or_a_limit_does_not_pass() {
        let now = Instant::now();
        let text = |len: usize| frame(true, Opcode::Text, None, &vec![0; len]);
        let part = |len: usize| frame(false, Opcode::Text, None, &vec![0; len]);
        let more = |len: usize| frame(true, Opcode::Continuation, None, &vec![0; len]);
        let compressed = |opcode, fin| {
            let mut out = Vec::new();
            FrameHead { fin, compressed: true, opcode, mask: None, len: 1 }.append(&mut out);
            out
        };
        let good = text(3);
        let cases: [(Vec<u8>, Violation); 11] = [
            (vec![0xb1, 0], Violation::ReservedBit),
            (vec![0x83, 0], Violation::ReservedOpcode),
            (vec![0x09, 0], Violation::FragmentedControl),
            (vec![0x89, 126, 1, 0], Violation::LongControl),
            (vec![0x82, 126, 0, 1], Violation::Length),
            (frame(true, Opcode::Text, MASK, b"a"), Violation::Masked),
            (more(1), Violation::NoMessage),
            ([part(1), text(1)].concat(), Violation::MessageWithin),
            (compressed(Opcode::Ping, true), Violation::CompressedFragment),
            (text(1_001), Violation::FrameTooBig),
            ([part(1_000), more(501)].concat(), Violation::MessageTooBig),
        ];
        for (bad, expected) in cases {
            let input = [&*good, &bad].concat();
            for cut in 1..input.len() {
                let mut inspector = Inspector::new(Sender::Server, LIMITS);
                let (out, violation) = pass(&mut inspector, &input, &[cut, 1, 1], now);
                assert_eq!(violation, Some(expected), "{cut}");
                assert!(input.starts_with(&out) && out.len() < input.len());
            }
        }
        let mut inspector = Inspector::new(Sender::Client, LIMITS);
        assert_eq!(pass(&mut inspector, &good, &[], now).1, Some(Violation::Unmasked));
        let mut plain =
            Inspector::new(Sender::Server, InspectLimits { extensions: false, ..LIMITS });
        let bad = compressed(Opcode::Text, true);
        assert_eq!(pass(&mut plain, &bad, &[], now).1, Some(Violation::ReservedBit));
        let mut inspector = Inspector::new(Sender::Server, LIMITS);
        let longest = [part(1_000), more(500)].concat();
        assert_eq!(pass(&mut inspector, &longest, &[], now), (longest.clone(), None));
    }

    #[test]
    fn messages_come_no_faster_than_the_rate() {
        let start = Instant::now();
        let limits = InspectLimits { rate: Some((4, 4)), ..LIMITS };
        let mut inspector = Inspector::new(Sender::Server, limits);
        let text = frame(true, Opcode::Text, None, b"a");
        let at = |millis| start + Duration::from_millis(millis);
        for _ in 0..4 {
            assert_eq!(pass(&mut inspector, &text, &[], start).1, None, "as many at once");
        }
        // Fragments and control frames are no messages.
        let ping = frame(true, Opcode::Ping, None, b"");
        assert_eq!(pass(&mut inspector, &ping, &[], start).1, None);
        assert_eq!(pass(&mut inspector, &text, &[], at(250)).1, None);
        assert_eq!(pass(&mut inspector, &text, &[], at(499)).1, Some(Violation::Rate));
    }
}
