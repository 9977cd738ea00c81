//! What goes out: frames of ours first, then bodies, as windows and priorities have it (RFC 9113,
//! section 5.2; RFC 9218, section 10).

use std::time::{Duration, Instant};

use super::connection::{Connection, Role};
use super::frame::{
    FRAME_MAX, FrameHead, begin_block, finish_block, flag, kind, write_window_update,
};
use super::hpack::Encoder;
use super::response::write_trailers;
use super::stream::{SendState, Stream};
use super::workspace::Workspace;
use crate::mem::Buf;
use crate::proto::http::Fields;
use crate::proto::http1::Output;

/// Parts up to so many bytes are copied behind the head of their frame: a copy of that size costs
/// less than another element of a vectored send.
const COPY_MAX: usize = 2048;

/// Where there is any room, a frame carries so many bytes, as far as they are there and windows
/// take them: they are counted where they wait, and frames of a byte, which a short budget of
/// waiting bytes would have, hold up an answer until it counts as one that is not taken.
const FRAME_LEAST: usize = 4096;

/// Bytes that a peer has to take of an answer within the time for it, unless that is all of it.
const PROGRESS: usize = 16 * 1024;

/// The shortest round trip that is assumed: on one machine or in one rack, processing at both ends
/// takes longer than the network.
const ROUND_TRIP_MIN: Duration = Duration::from_millis(1);

/// The sum of the windows of a connection's streams, in bytes, beyond which none grows: a peer may
/// fill all of them while the data is not consumed.
const GRANTED_MAX: u64 = 16 * 1024 * 1024;

/// What the windows that we give may become.
#[derive(Debug, Clone, Copy)]
pub struct Growth {
    /// Bytes of a window, at most.
    pub most: u32,
    /// Whether there is memory for more than before.
    pub is_allowed: bool,
}

impl Connection {
    /// Bytes of bodies that wait for windows or for their turn, but for texts.
    pub(super) const fn queued(&self) -> usize {
        self.streams.queued()
    }

    /// The same of one stream.
    pub(super) fn queued_of(&self, id: u32) -> usize {
        self.streams.get(id).map_or(0, |stream| stream.sending.body.len())
    }

    /// Bytes that can be taken of a stream's body, beside those that wait: none while a window is
    /// shut, and `None` without such a stream.
    pub(super) fn room(&self, id: u32) -> Option<usize> {
        let sending = &self.streams.get(id)?.sending;
        let window = usize::try_from(sending.window.min(self.windows.send)).unwrap_or(0);
        Some(window.saturating_sub(sending.body.len()))
    }

    /// Whether more may be added to the body that goes out on a stream.
    fn has_open_body(&self, id: u32) -> bool {
        self.streams
            .get(id)
            .is_some_and(|stream| stream.sending.state == SendState::Body && !stream.sending.closed)
    }

    /// Writes the frames of a field block. Returns how many bytes they have.
    pub(super) fn write_block(
        &mut self,
        id: u32,
        flags: u8,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) -> usize {
        let at = begin_block(out);
        write(&mut self.encoder, out);
        finish_block(at, id, flags, self.peer.max_frame_size, out);
        out.len() - at
    }

    /// A part of a body: it waits for [`Connection::transmit`].
    pub(super) fn send_part(&mut self, id: u32, part: Buf) {
        if self.has_open_body(id) {
            self.streams.push_output(id, part);
        }
    }

    /// The end of a body.
    pub(super) fn send_end(&mut self, id: u32, trailers: Option<&Fields>) {
        if self.has_open_body(id)
            && let Some(Stream { sending, .. }) = self.streams.touch(id)
        {
            sending.closed = true;
            let trailers = trailers.filter(|trailers| !trailers.is_empty());
            sending.trailers = trailers.map(|trailers| Box::new(trailers.clone()));
            self.streams.note_output(id);
        }
    }

    /// Writes the frames of ours that wait.
    pub(super) fn flush_control(&mut self, out: &mut impl Output) {
        if !self.control.is_empty() {
            out.bytes().extend_from_slice(&self.control);
            self.control.clear();
        }
    }

    /// Writes what may go out: at most about `room` bytes of bodies. Returns how many bytes of
    /// bodies went.
    pub(super) fn transmit(
        &mut self,
        room: usize,
        (now, growth): (Instant, Growth),
        space: &mut Workspace,
        out: &mut impl Output,
    ) -> usize {
        if std::mem::take(&mut self.has_credit) {
            self.grant(now, growth);
        }
        self.flush_control(out);
        let sent = self.send_bodies(room, space, out);
        self.flush_control(out);
        self.note_waiting(now);
        sent
    }

    fn send_bodies(&mut self, room: usize, space: &mut Workspace, out: &mut impl Output) -> usize {
        let mut ready = std::mem::take(&mut space.ready);
        ready.clear();
        self.streams.list_ready(self.windows.send, &mut ready);
        if ready.len() > 1 {
            ready.make_contiguous().sort_unstable();
        }
        let mut sent = 0;
        while sent < room
            && let Some((_, id)) = ready.pop_front()
        {
            let window = self.windows.send;
            if !self.streams.get(id).is_some_and(|stream| stream.can_send(window)) {
                continue;
            }
            sent += self.send_frame(id, (room - sent).max(FRAME_LEAST), out);
            if let Some(stream) = self.streams.get(id).filter(|stream| stream.has_output()) {
                let next = (stream.turn(), id);
                let at = ready.partition_point(|one| *one < next);
                ready.insert(at, next);
            } else {
                self.end_if_sent(id, space);
            }
        }
        space.ready = ready;
        sent
    }

    /// Which streams wait for the peer, and since when: a few bytes now and then are no progress.
    fn note_waiting(&mut self, now: Instant) {
        // Towards servers, each exchange has a clock of its own.
        let is_server = self.role == Role::Server;
        let is_shut = self.windows.send <= 0;
        let has_turned = std::mem::replace(&mut self.was_shut, is_shut) != is_shut;
        let stalls_from = &mut self.stalls_from;
        self.streams.watch(has_turned && is_server, |stream| {
            let is_waiting = is_server && (stream.has_output() || stream.wants_window(is_shut));
            let waits = &mut stream.sending.waits;
            match waits {
                _ if !is_waiting => *waits = None,
                Some((_, bytes)) if *bytes < PROGRESS => {}
                Some(_) | None => {
                    *waits = Some((now, 0));
                    stalls_from.get_or_insert(now);
                }
            }
        });
    }

    /// An answer that the peer does not take: less of it than 16 KiB went within the time.
    pub(super) fn stalled(&mut self, now: Instant, timeout: Duration) -> Option<u32> {
        let waiting = || self.streams.iter().filter_map(|one| Some((one.sending.waits?.0, one.id)));
        let found = waiting().find(|(since, _)| *since + timeout <= now);
        if found.is_none() {
            self.stalls_from = waiting().map(|(since, _)| since).min();
        }
        found.map(|(_, id)| id)
    }

    /// Sends one frame of a stream's body. Returns the bytes that it carries.
    fn send_frame(&mut self, id: u32, room: usize, out: &mut impl Output) -> usize {
        self.turn += 1;
        let (turn, window) = (self.turn, usize::try_from(self.windows.send).unwrap_or(0));
        let most = FRAME_MAX.min(self.peer.max_frame_size).min(window).min(room.max(1));
        let Some(stream) = self.streams.touch(id) else { return 0 };
        let len = stream.sendable().min(most);
        let is_last = stream.sending.closed && stream.sending.body.len() == len;
        let ends = is_last && stream.sending.trailers.is_none();
        if len > 0 || ends {
            let flags = if ends { flag::END_STREAM } else { 0 };
            FrameHead { len, kind: kind::DATA, flags, stream: id }.write(out.bytes());
            let mut left = len;
            while left > 0
                && let Some(part) = stream.sending.body.take(left)
            {
                left -= part.len();
                write_part(part, out);
            }
        }
        stream.sending.served = turn;
        if let Some((_, bytes)) = &mut stream.sending.waits {
            *bytes += len;
        }
        stream.sending.window -= i64::try_from(len).unwrap_or(0);
        self.windows.send -= i64::try_from(len).unwrap_or(0);
        self.streams.sent(id, len);
        if is_last {
            let Some(stream) = self.streams.get_mut(id) else { return len };
            stream.sending.state = SendState::Ended;
            if let Some(trailers) = stream.sending.trailers.take() {
                self.write_block(id, flag::END_STREAM, out.bytes(), |encoder, out| {
                    write_trailers(&trailers, encoder, out);
                });
            }
        }
        len
    }

    /// Whether windows are about to be given back that may grow, by how long the peer takes.
    pub(super) const fn wants_round_trip(&self, growth: Growth) -> bool {
        let windows = &self.windows;
        growth.is_allowed
            && windows.size < growth.most
            && windows.given.is_some()
            && windows.credit >= windows.size / 2
    }

    /// The peer takes so long. What both ends take to do something about it is within it.
    pub(super) const fn set_round_trip(&mut self, time: Duration) {
        let is_short = time.as_nanos() < ROUND_TRIP_MIN.as_nanos();
        self.round_trip = if is_short { ROUND_TRIP_MIN } else { time };
    }

    /// Gives back what was taken, and perhaps more: a window that is used up within two round
    /// trips holds the peer up.
    fn grant(&mut self, now: Instant, growth: Growth) {
        let is_fast = |given: Option<Instant>, round_trip| {
            given.is_some_and(|given| now.saturating_duration_since(given) < 2 * round_trip)
        };
        let (round_trip, may_grow) = (self.round_trip, growth.is_allowed);
        let windows = &mut self.windows;
        if windows.credit >= windows.size / 2 {
            let grown = if may_grow && is_fast(windows.given, round_trip) {
                grow(&mut windows.size, growth.most)
            } else {
                0
            };
            let bytes = std::mem::take(&mut windows.credit).saturating_add(grown);
            windows.receive += i64::from(bytes);
            windows.given = Some(now);
            write_window_update(0, bytes, &mut self.control);
        }
        let mut granted: u64 = self.streams.iter().map(|one| u64::from(one.receiving.size)).sum();
        for stream in self.streams.iter_mut() {
            let receiving = &mut stream.receiving;
            if receiving.ended || receiving.credit < receiving.size / 2 {
                continue;
            }
            let has_room = granted + u64::from(receiving.size) <= GRANTED_MAX;
            let grown = if may_grow && has_room && is_fast(receiving.given, round_trip) {
                grow(&mut receiving.size, growth.most)
            } else {
                0
            };
            granted += u64::from(grown);
            let bytes = std::mem::take(&mut receiving.credit).saturating_add(grown);
            receiving.window += i64::from(bytes);
            receiving.given = Some(now);
            write_window_update(stream.id, bytes, &mut self.control);
        }
    }
}

/// Doubles a window, up to its limit. Returns by how much it grew.
fn grow(size: &mut u32, most: u32) -> u32 {
    let before = *size;
    *size = before.saturating_mul(2).min(most).max(before);
    *size - before
}

fn write_part(part: Buf, out: &mut impl Output) {
    if part.len() <= COPY_MAX {
        out.bytes().extend_from_slice(&part);
    } else {
        out.slice(part);
    }
}
