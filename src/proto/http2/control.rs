//! Frames that come whole: the beginning of field blocks, and what is said about streams and the
//! connection.

use std::time::Instant;

use super::connection::{Connection, Frame, PartialBlock, Role};
use super::error::{ErrorCode, Violation};
use super::frame::{self, FrameHead, STREAM_MAX, WINDOW_MAX, flag, kind};
use super::limits::{Limits, Offence};
use super::request::{HeadFault, Priority, read_trailers};
use super::stream::SendState;
use super::workspace::Workspace;
use crate::mem::Buf;
use crate::proto::http::Fields;

/// Streams that what concerns all of them takes a step for.
pub(super) const STREAMS_PER_STEP: usize = 16;

impl Connection {
    /// A field block on a stream whose head has come: trailers. `None` if they are dropped, and an
    /// error within if the stream was reset for them.
    ///
    /// # Errors
    /// The peer has broken a rule that costs the connection.
    pub(super) fn take_trailers(
        &mut self,
        id: u32,
        (block, ends): (&Buf, bool),
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
    ) -> Result<Option<Result<(), Violation>>, Violation> {
        let mut trailers = Box::<Fields>::default();
        // Decoded in any case: the table of header compression is the connection's.
        let head_limits = &limits.request.head;
        let read = read_trailers(block, &mut self.decoder, space, head_limits, &mut trailers);
        let read = read.map_err(Violation::Compression)?;
        let Some(stream) = self.streams.get_mut(id) else {
            return if self.was_reset(id) { Ok(None) } else { Err(Violation::StreamEnded) };
        };
        let receiving = &mut stream.receiving;
        let differs = receiving.expected.is_some_and(|expected| expected != receiving.came);
        let violation = match read {
            _ if receiving.ended => Some(Violation::StreamEnded),
            _ if !ends => Some(Violation::TrailersUnended),
            Err(HeadFault::Malformed(violation)) => Some(violation),
            _ if differs => Some(Violation::LengthDiffers),
            // Trailers may be left out.
            Err(HeadFault::Refused(_)) => {
                trailers.clear();
                None
            }
            Ok(()) => None,
        };
        if let Some(violation) = violation {
            let _reset = self.violate(id, violation, (now, limits), space)?;
            return Ok(Some(Err(violation)));
        }
        receiving.ended = true;
        if receiving.unwanted {
            self.end_if_sent(id, space);
            return Ok(None);
        }
        receiving.trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
        Ok(Some(Ok(())))
    }

    /// A whole frame has come that is no DATA.
    pub(super) fn take_frame(
        &mut self,
        head: FrameHead,
        mut payload: Buf,
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
    ) -> Result<Option<Frame>, Violation> {
        match head.kind {
            kind::HEADERS => {
                trim_headers(head, &mut payload)?;
                let (stream, ends) = (head.stream, head.has(flag::END_STREAM));
                if head.has(flag::END_HEADERS) {
                    return Ok(Some(Frame::Head { stream, block: payload, ends }));
                }
                let block = PartialBlock { stream, ends, parts: 0, bytes: payload.to_vec() };
                self.block = Some(Box::new(block));
                Ok(None)
            }
            kind::CONTINUATION => self.continue_block(head, &payload, limits),
            kind::RST_STREAM => self.take_reset(head.stream, &payload, (now, limits), space),
            kind::WINDOW_UPDATE => self.take_window(head.stream, &payload, (now, limits), space),
            kind::SETTINGS => self.take_settings(head, &payload, now, limits),
            kind::PING => {
                let Some(bytes) = payload.first_chunk::<8>().filter(|_| head.len == 8) else {
                    return Err(Violation::FrameSize);
                };
                if !head.has(flag::ACK) {
                    self.offences.note(Offence::Control, now, limits)?;
                    frame::write_ping(*bytes, flag::ACK, &mut self.control);
                }
                Ok(None)
            }
            kind::GOAWAY => {
                let (last, code) = frame::read_go_away(&payload).ok_or(Violation::FrameSize)?;
                let text = payload.get(frame::GO_AWAY_SIZE..).unwrap_or_default();
                Ok(Some(Frame::GoAway { last, code, text: Buf::copy_of(text) }))
            }
            kind::PUSH_PROMISE => Err(Violation::PushPromise),
            kind::PRIORITY if head.len != 5 => {
                self.offences.note(Offence::Control, now, limits)?;
                self.violate(head.stream, Violation::FrameSize, (now, limits), space).map(Some)
            }
            kind::PRIORITY_UPDATE => {
                self.offences.note(Offence::Control, now, limits)?;
                self.take_priority(&payload)
            }
            // PRIORITY of the old scheme says nothing to us; other kinds do not come here.
            _ => self.offences.note(Offence::Control, now, limits).map(|()| None),
        }
    }

    /// More of a field block.
    fn continue_block(
        &mut self,
        head: FrameHead,
        payload: &Buf,
        limits: &Limits,
    ) -> Result<Option<Frame>, Violation> {
        let Some(block) = &mut self.block else { return Err(Violation::ContinuationUnexpected) };
        block.parts += 1;
        block.bytes.extend_from_slice(payload);
        // No block of a head within the limit is longer than twice as many bytes: what is over the
        // limit is read, to be answered, but not without end.
        let is_long = block.bytes.len() > limits.request.head.size.saturating_mul(2);
        if block.parts > limits.continuations || is_long {
            return Err(Violation::ContinuationFlood);
        }
        if !head.has(flag::END_HEADERS) {
            return Ok(None);
        }
        let whole = self.block.take().map(|block| *block);
        Ok(whole.map(|PartialBlock { stream, ends, bytes, .. }| Frame::Head {
            stream,
            block: Buf::from(bytes),
            ends,
        }))
    }

    fn take_reset(
        &mut self,
        id: u32,
        payload: &Buf,
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
    ) -> Result<Option<Frame>, Violation> {
        let code = ErrorCode(frame::only_number(payload).ok_or(Violation::FrameSize)?);
        if self.is_idle(id) {
            return Err(Violation::StreamIdle);
        }
        if self.role == Role::Server {
            self.offences.note(Offence::Reset, now, limits)?;
        }
        let Some(stream) = self.streams.get_mut(id) else { return Ok(None) };
        if self.role == Role::Client && stream.receiving.ended {
            // The answer is whole; what is left of the request is not wanted (section 8.1).
            stream.sending.state = SendState::Ended;
            self.streams.drop_output(id);
            return Ok(Some(Frame::Data { stream: id }));
        }
        self.remove(id, space);
        Ok(Some(Frame::Reset { stream: id, code }))
    }

    fn take_window(
        &mut self,
        id: u32,
        payload: &Buf,
        (now, limits): (Instant, &Limits),
        space: &mut Workspace,
    ) -> Result<Option<Frame>, Violation> {
        let increment = frame::only_number(payload).ok_or(Violation::FrameSize)? & STREAM_MAX;
        if id == 0 {
            if increment == 0 {
                return Err(Violation::WindowIncrement);
            }
            // All streams may go on.
            self.spend(self.streams.len() / STREAMS_PER_STEP);
            self.windows.send += i64::from(increment);
            if self.windows.send > WINDOW_MAX {
                return Err(Violation::WindowOverflow);
            }
            return Ok(Some(Frame::Opened(None)));
        }
        if self.is_idle(id) {
            return Err(Violation::StreamIdle);
        }
        let Some(stream) = self.streams.touch(id) else {
            // It may have been sent before the end of the stream came.
            return self.offences.note(Offence::Control, now, limits).map(|()| None);
        };
        if increment == 0 {
            return self.violate(id, Violation::WindowIncrement, (now, limits), space).map(Some);
        }
        stream.sending.window += i64::from(increment);
        if stream.sending.window > WINDOW_MAX {
            return self.violate(id, Violation::WindowOverflow, (now, limits), space).map(Some);
        }
        Ok(Some(Frame::Opened(Some(id))))
    }

    fn take_settings(
        &mut self,
        head: FrameHead,
        payload: &Buf,
        now: Instant,
        limits: &Limits,
    ) -> Result<Option<Frame>, Violation> {
        if head.has(flag::ACK) {
            self.is_acknowledged = true;
            return if head.len == 0 { Ok(None) } else { Err(Violation::FrameSize) };
        }
        if !head.len.is_multiple_of(6) {
            return Err(Violation::FrameSize);
        }
        if self.has_peer_settings {
            self.offences.note(Offence::Control, now, limits)?;
        }
        self.has_peer_settings = true;
        let before = self.peer.initial_window_size;
        for (id, value) in frame::read_settings(payload) {
            self.peer.take(id, value)?;
        }
        if self.role == Role::Client && self.peer.enable_push && sets_push(payload) {
            // A server has no pushes to take (section 6.5.2).
            return Err(Violation::SettingValue);
        }
        self.encoder.set_max(self.peer.header_table_size as usize);
        let change = i64::from(self.peer.initial_window_size) - i64::from(before);
        self.spend(self.streams.len() / STREAMS_PER_STEP);
        for stream in self.streams.touch_all() {
            stream.sending.window += change;
            if stream.sending.window > WINDOW_MAX {
                return Err(Violation::WindowOverflow);
            }
        }
        frame::write_settings_ack(&mut self.control);
        Ok(Some(Frame::Opened(None)))
    }

    fn take_priority(&mut self, payload: &Buf) -> Result<Option<Frame>, Violation> {
        let Some((id, text)) = payload.split_first_chunk::<4>() else {
            return Err(Violation::FrameSize);
        };
        let id = u32::from_be_bytes(*id) & STREAM_MAX;
        if id == 0 || self.role == Role::Client {
            return Err(Violation::FrameStream);
        }
        // One for a stream that has not begun is left out: nothing is kept for it.
        if let Some(stream) = self.streams.get_mut(id) {
            stream.priority = Priority::default();
            stream.priority.read(text);
        }
        Ok(None)
    }
}

/// Takes padding and the old priority off the payload of HEADERS.
fn trim_headers(head: FrameHead, payload: &mut Buf) -> Result<(), Violation> {
    if head.has(flag::PADDED) {
        let padding = usize::from(*payload.first().ok_or(Violation::Padding)?);
        let len = payload.len() - 1;
        if padding > len {
            return Err(Violation::Padding);
        }
        payload.advance(1);
        payload.truncate(len - padding);
    }
    if head.has(flag::PRIORITY) {
        if payload.len() < 5 {
            return Err(Violation::FrameSize);
        }
        payload.advance(5);
    }
    Ok(())
}

/// Whether SETTINGS say that pushes are taken.
fn sets_push(payload: &[u8]) -> bool {
    frame::read_settings(payload).any(|(id, value)| id == frame::setting::ENABLE_PUSH && value == 1)
}
