//! What both ends of a connection do alike: frames are read and checked, windows and settings are
//! kept, and what goes out is sent as windows allow.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::error::{ErrorCode, Violation};
use super::frame::{self, FRAME_MAX, FrameHead, PREFACE, flag, kind};
use super::hpack::{Decoder, Encoder};
use super::input::FrameInput;
use super::limits::{HEADS_PER_BYTE, Limits, Offence, Offences};
use super::settings::PeerSettings;
use super::stream::{SendState, Streams};
use super::windows::Windows;
use super::workspace::Workspace;
use crate::mem::Buf;

/// Streams that we have reset, and of which frames may still be on their way.
const RESET_MAX: usize = 1024;
/// Bytes of a frame that take a step, and steps that DATA takes beside: it is passed on.
const BYTES_PER_STEP: usize = 512;
const DATA_STEPS: usize = 2;
/// The round trip that is assumed until one is measured.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// What has come, once it is checked as far as frames go.
#[derive(Debug)]
pub(super) enum Frame {
    /// A whole field block; `ends` its stream.
    Head { stream: u32, block: Buf, ends: bool },
    /// Something of a body, which is in its stream's [`super::stream::Receiving`].
    Data { stream: u32 },
    /// The peer gives a stream up, which is removed.
    Reset { stream: u32, code: ErrorCode },
    /// A stream was removed for what the peer did on it.
    Violated { stream: u32, violation: Violation },
    /// No further streams than up to this one.
    GoAway { last: u32, code: ErrorCode, text: Buf },
    /// Settings or windows: more may be sent than before, on one stream or on all.
    Opened(Option<u32>),
}

/// Where the input stands.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Preface,
    Head,
    Payload(FrameHead),
    /// The payload of a frame that says nothing to us: so many bytes are left.
    Unknown(usize),
    /// The payload of DATA: what is left of it, and of the padding behind it.
    Data {
        head: FrameHead,
        left: usize,
        padding: usize,
    },
}

/// A field block that is not all there.
#[derive(Debug)]
pub(super) struct PartialBlock {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) parts: u32,
    pub(super) bytes: Vec<u8>,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) role: Role,
    pub(super) input: FrameInput,
    reading: Reading,
    pub(super) block: Option<Box<PartialBlock>>,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) streams: Streams,
    pub(super) peer: PeerSettings,
    pub(super) has_peer_settings: bool,
    /// The peer has seen what we take.
    pub(super) is_acknowledged: bool,
    pub(super) windows: Windows,
    /// The last stream that the other side has begun.
    pub(super) last_remote: u32,
    /// The next stream that we begin.
    pub(super) next_local: u32,
    /// Frames of ours that are not written yet.
    pub(super) control: Vec<u8>,
    pub(super) offences: Offences,
    reset: VecDeque<u32>,
    /// Bytes that have come.
    pub(super) received: u64,
    /// Bytes of heads of open streams.
    pub(super) heads: usize,
    pub(super) round_trip: Duration,
    /// Counts the frames of bodies that were sent.
    pub(super) turn: u64,
    /// The connection's window was shut when frames went out last.
    pub(super) was_shut: bool,
    /// When the first of the answers that wait for the peer began to, or earlier.
    pub(super) stalls_from: Option<Instant>,
    /// Something is to be looked at when the next frames go out.
    pub(super) has_credit: bool,
    pub(super) has_ended: bool,
    /// Steps that may still be taken in this turn: see [`super::Server::begin_turn`].
    pub(super) steps: u32,
    /// Since when a frame or a field block is not all there.
    pub(super) partial_since: Option<Instant>,
}

impl Connection {
    pub(super) fn new(role: Role, settings: &[(u16, u32)]) -> Self {
        let mut control = Vec::new();
        if role == Role::Client {
            control.extend_from_slice(PREFACE);
        }
        frame::write_settings(settings, &mut control);
        Self {
            role,
            input: FrameInput::default(),
            reading: match role {
                Role::Client => Reading::Head,
                Role::Server => Reading::Preface,
            },
            block: None,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            streams: Streams::default(),
            peer: PeerSettings::default(),
            has_peer_settings: false,
            is_acknowledged: false,
            windows: Windows::new(if role == Role::Client { usize::MAX } else { 0 }),
            last_remote: 0,
            next_local: if role == Role::Client { 1 } else { 2 },
            control,
            offences: Offences::default(),
            reset: VecDeque::new(),
            received: 0,
            heads: 0,
            round_trip: ROUND_TRIP,
            turn: 0,
            was_shut: false,
            stalls_from: None,
            has_credit: false,
            has_ended: false,
            steps: u32::MAX,
            partial_since: None,
        }
    }

    /// Bytes have come.
    pub(super) fn receive(&mut self, buf: Buf) {
        self.received += buf.len() as u64;
        self.input.push(buf);
    }

    /// Whether nothing that came waits to be read.
    pub(super) const fn is_read(&self) -> bool {
        self.input.is_empty()
    }

    /// Whether nothing can be read before more has come.
    pub(super) const fn is_stuck(&self) -> bool {
        self.input.is_stuck()
    }

    /// Bytes of memory that what waits takes, in both directions.
    pub(super) fn cost(&self) -> usize {
        let block = self.block.as_ref().map_or(0, |block| block.bytes.capacity());
        let bodies = self.windows.waiting + self.streams.queued() + self.streams.spare();
        self.input.cost() + block + bodies
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        self.input.hold();
        self.streams.hold();
        let waiting =
            || self.streams.iter().map(|stream| stream.receiving.body.len()).sum::<usize>();
        debug_assert_eq!(self.windows.waiting, waiting(), "what waits is counted where it changes");
    }

    /// Forgets what came and what waits, with its memory.
    pub(super) fn clear(&mut self) {
        self.input.clear();
        self.block = None;
        self.streams.clear();
        self.windows.waiting = 0;
        self.heads = 0;
    }

    /// The next thing that has come; `None` when more has to come first.
    ///
    /// # Errors
    /// The peer has broken a rule that costs the connection. Nothing is read any more.
    pub(super) fn next_frame(
        &mut self,
        now: Instant,
        limits: &Limits,
        space: &mut Workspace,
    ) -> Result<Option<Frame>, Violation> {
        let found = self.read_frame(now, limits, space)?;
        if found.is_none() && self.is_spent() && !self.is_stuck() {
            return Ok(None);
        }
        if found.is_some() {
            // What is not all there begins behind it.
            self.partial_since = None;
        } else {
            // A body's frame has the time of its body.
            let is_partial = !matches!(self.reading, Reading::Data { .. })
                && (!self.input.is_empty() || !matches!(self.reading, Reading::Head))
                || self.block.is_some();
            match is_partial {
                true => drop(self.partial_since.get_or_insert(now)),
                false => self.partial_since = None,
            }
        }
        Ok(found)
    }

    /// Whether no step is left in this turn.
    pub(super) const fn is_spent(&self) -> bool {
        self.steps == 0
    }

    /// Something takes so many steps.
    pub(super) fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(u32::try_from(steps).unwrap_or(u32::MAX));
    }

    fn read_frame(
        &mut self,
        now: Instant,
        limits: &Limits,
        space: &mut Workspace,
    ) -> Result<Option<Frame>, Violation> {
        // A frame that has begun is read to its end: one without a payload needs no more bytes.
        while !self.is_spent() || !matches!(self.reading, Reading::Head) {
            let found = match self.reading {
                Reading::Preface => {
                    let Some(preface) = self.input.take(PREFACE.len()) else { return Ok(None) };
                    if *preface != *PREFACE {
                        return Err(Violation::Preface);
                    }
                    self.reading = Reading::Head;
                    None
                }
                Reading::Head => {
                    let Some(head) = self.input.take_head() else { return Ok(None) };
                    self.begin_frame(head, now, limits)?;
                    None
                }
                Reading::Payload(head) => {
                    let Some(payload) = self.input.take(head.len) else { return Ok(None) };
                    self.reading = Reading::Head;
                    self.take_frame(head, payload, (now, limits), space)?
                }
                Reading::Unknown(left) => {
                    if left > 0 {
                        // It is dropped as it comes.
                        let Some(some) = self.input.take_some(left) else { return Ok(None) };
                        self.reading = Reading::Unknown(left - some.len());
                    } else {
                        self.reading = Reading::Head;
                    }
                    None
                }
                Reading::Data { head, left, padding } => {
                    let Some(found) = self.take_data((head, left, padding), now, limits, space)?
                    else {
                        return Ok(None);
                    };
                    found
                }
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The head of a frame has come.
    fn begin_frame(
        &mut self,
        head: FrameHead,
        now: Instant,
        limits: &Limits,
    ) -> Result<(), Violation> {
        self.spend(1);
        if !self.has_peer_settings && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(Violation::SettingsMissing);
        }
        if head.len > FRAME_MAX {
            return Err(Violation::FrameTooLarge);
        }
        let interrupts = match &self.block {
            Some(block) => head.kind != kind::CONTINUATION || head.stream != block.stream,
            None => false,
        };
        if interrupts {
            return Err(Violation::BlockInterrupted);
        }
        check_place(head)?;
        if head.kind != kind::DATA {
            self.spend(head.len / BYTES_PER_STEP);
            self.reading = Reading::Payload(head);
            if !kind::is_known(head.kind) {
                self.offences.note(Offence::Control, now, limits)?;
                self.reading = Reading::Unknown(head.len);
            }
            return Ok(());
        }
        self.spend(DATA_STEPS);
        if self.is_idle(head.stream) {
            return Err(Violation::StreamIdle);
        }
        if head.len == 0 && !head.has(flag::END_STREAM) {
            self.offences.note(Offence::Empty, now, limits)?;
        }
        // The whole frame counts, its padding too (section 6.9.1).
        self.windows.receive -= i64::try_from(head.len).unwrap_or(i64::MAX);
        if self.windows.receive < 0 {
            return Err(Violation::WindowExceeded);
        }
        if let Some(stream) = self.streams.get_mut(head.stream) {
            stream.receiving.window -= i64::try_from(head.len).unwrap_or(i64::MAX);
            if stream.receiving.window < 0 {
                return Err(Violation::WindowExceeded);
            }
        }
        self.reading = Reading::Data { head, left: head.len, padding: 0 };
        Ok(())
    }

    /// Whether a stream is idle (section 5.1).
    pub(super) fn is_idle(&self, stream: u32) -> bool {
        let is_ours = stream % 2 == self.next_local % 2;
        if is_ours { stream >= self.next_local } else { stream > self.last_remote }
    }

    /// Takes a part of a body, as far as it is there; `None` when there is none.
    fn take_data(
        &mut self,
        (head, mut left, mut padding): (FrameHead, usize, usize),
        now: Instant,
        limits: &Limits,
        space: &mut Workspace,
    ) -> Result<Option<Option<Frame>>, Violation> {
        if head.has(flag::PADDED) && left == head.len {
            if left == 0 {
                return Err(Violation::Padding);
            }
            let Some(first) = self.input.take_some(1) else { return Ok(None) };
            left -= 1;
            padding = first.first().copied().unwrap_or(0).into();
            if padding > left {
                return Err(Violation::Padding);
            }
            self.windows.enter(1);
            self.give_back(head.stream, 1);
        }
        let mut part = None;
        if left > padding {
            let Some(some) = self.input.take_some(left - padding) else {
                self.reading = Reading::Data { head, left, padding };
                return Ok(None);
            };
            left -= some.len();
            part = Some(some);
        } else if left > 0 {
            let Some(some) = self.input.take_some(left) else {
                self.reading = Reading::Data { head, left, padding };
                return Ok(None);
            };
            left -= some.len();
            padding = left;
            self.windows.enter(some.len());
            self.give_back(head.stream, some.len());
        }
        let is_all = left == 0;
        self.reading = if is_all { Reading::Head } else { Reading::Data { head, left, padding } };
        let ends = is_all && head.has(flag::END_STREAM);
        self.enter_data(head.stream, part, ends, (now, limits), space).map(Some)
    }

    /// A part of a body goes to its stream.
    fn enter_data(
        &mut self,
        id: u32,
        part: Option<Buf>,
        ends: bool,
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
    ) -> Result<Option<Frame>, Violation> {
        let len = part.as_ref().map_or(0, |part| part.len());
        self.windows.enter(len);
        let is_client = self.role == Role::Client;
        let Some(stream) = self.streams.get_mut(id) else {
            self.give_back(id, len);
            // It may have been sent before our reset came.
            return if self.was_reset(id) { Ok(None) } else { Err(Violation::StreamEnded) };
        };
        let receiving = &mut stream.receiving;
        if is_client && !receiving.has_head {
            self.give_back(id, len);
            return self.violate(id, Violation::BodyBeforeHead, (now, limits), space).map(Some);
        }
        if receiving.ended {
            self.give_back(id, len);
            return self.violate(id, Violation::StreamEnded, (now, limits), space).map(Some);
        }
        receiving.came += len as u64;
        receiving.ended = ends;
        let announced = receiving.expected.unwrap_or(u64::MAX);
        let differs = receiving.came > announced
            || ends && receiving.expected.is_some_and(|expected| expected != receiving.came);
        if differs {
            self.give_back(id, len);
            return self.violate(id, Violation::LengthDiffers, (now, limits), space).map(Some);
        }
        if receiving.is_bodiless {
            self.give_back(id, len);
            return Ok(ends.then_some(Frame::Data { stream: id }));
        }
        if receiving.unwanted {
            self.give_back(id, len);
            if ends {
                self.end_if_sent(id, space);
            }
            return Ok(None);
        }
        if let Some(part) = part
            && let Some(stream) = self.streams.touch(id)
        {
            stream.receiving.body.push(part);
            self.windows.wait(len);
            self.has_credit |= self.windows.settle();
        }
        Ok((len > 0 || ends).then_some(Frame::Data { stream: id }))
    }

    /// Bytes that waited are consumed.
    pub(super) fn taken(&mut self, id: u32, bytes: usize) {
        self.windows.leave(bytes);
        self.give_back(id, bytes);
    }

    /// Bytes were taken, or dropped: the peer may send as many more.
    pub(super) fn give_back(&mut self, id: u32, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.has_credit |= self.windows.settle();
        if let Some(stream) = self.streams.get_mut(id) {
            let receiving = &mut stream.receiving;
            receiving.credit = receiving.credit.saturating_add(bytes);
            self.has_credit |= receiving.credit >= receiving.size / 2;
        }
    }

    /// The peer has broken a rule on a stream, which is reset.
    ///
    /// # Errors
    /// It does that too often.
    pub(super) fn violate(
        &mut self,
        id: u32,
        violation: Violation,
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
    ) -> Result<Frame, Violation> {
        self.reset(id, violation.code(), space);
        self.offences.note(Offence::ForcedReset, now, limits)?;
        Ok(Frame::Violated { stream: id, violation })
    }

    /// Too many streams are open, or their heads take too much: one is refused.
    ///
    /// # Errors
    /// The peer knows the limit, and exceeds it too often.
    pub(super) fn refuse(
        &mut self,
        id: u32,
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
    ) -> Result<(), Violation> {
        self.reset(id, ErrorCode::REFUSED_STREAM, space);
        if self.is_acknowledged {
            self.offences.note(Offence::ForcedReset, now, limits)?;
        }
        Ok(())
    }

    /// Resets a stream, which is removed.
    pub(super) fn reset(&mut self, id: u32, code: ErrorCode, space: &mut Workspace) {
        frame::write_reset(id, code, &mut self.control);
        if self.reset.len() == RESET_MAX {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
        self.remove(id, space);
    }

    /// Whether frames of a stream may come that were sent before our reset. What a server sends on
    /// streams of ours that are gone is dropped in any case: many exchanges share the connection,
    /// and it may be late by any number of resets.
    pub(super) fn was_reset(&self, id: u32) -> bool {
        self.role == Role::Client || self.reset.contains(&id)
    }

    /// A stream has begun, or its answer.
    pub(super) fn note_stream(&mut self) {
        self.offences.excuse();
    }

    /// A stream is over.
    pub(super) fn remove(&mut self, id: u32, space: &mut Workspace) {
        if let Some(stream) = self.streams.get(id) {
            self.heads -= stream.head_size;
            // Unconsumed bytes are credited to the connection's window.
            self.windows.leave(stream.receiving.body.len());
            self.has_credit |= self.windows.settle();
            self.streams.remove(id, space);
        }
    }

    /// Removes a stream once both sides have ended. If the peer still sends the body of a request
    /// that was answered in full, it is told to stop (section 8.1).
    pub(super) fn end_if_sent(&mut self, id: u32, space: &mut Workspace) {
        let Some(stream) = self.streams.get(id) else { return };
        if stream.sending.state != SendState::Ended {
            return;
        }
        if stream.receiving.ended && (stream.answered || stream.receiving.body.is_empty()) {
            self.remove(id, space);
        } else if stream.answered {
            self.reset(id, ErrorCode::NO_ERROR, space);
        }
    }

    /// Bytes that heads of open streams may take.
    pub(super) fn heads_allowed(&self, limits: &Limits) -> usize {
        let earned = self.received.saturating_mul(HEADS_PER_BYTE);
        limits.heads.saturating_add(usize::try_from(earned).unwrap_or(usize::MAX))
    }
}

/// Whether a frame's kind goes with its stream (sections 6.1 to 6.9).
const fn check_place(head: FrameHead) -> Result<(), Violation> {
    let is_right = match head.kind {
        kind::DATA
        | kind::HEADERS
        | kind::PRIORITY
        | kind::RST_STREAM
        | kind::PUSH_PROMISE
        | kind::CONTINUATION => head.stream != 0,
        kind::SETTINGS | kind::PING | kind::GOAWAY | kind::PRIORITY_UPDATE => head.stream == 0,
        _ => true,
    };
    if is_right { Ok(()) } else { Err(Violation::FrameStream) }
}
