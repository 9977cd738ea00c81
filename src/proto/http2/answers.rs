//! The answers of a server: their heads and bodies on their way to the client.

use super::frame::{FRAME_MAX, FrameHead, flag, kind};
use super::response::write_response;
use super::server::{Server, StreamId};
use super::stream::SendState;
use super::workspace::Workspace;
use crate::mem::{Buf, Text};
use crate::proto::http::{Fields, ResponseHead};
use crate::proto::http1::Output;

/// A body that is all there.
#[derive(Debug, Clone, Copy)]
pub enum Whole<'a> {
    /// It is copied where it has to wait.
    Bytes(&'a [u8]),
    /// It stays where it is: what waits of it takes no memory.
    Text(&'a Text),
}

impl Whole<'_> {
    /// The bytes, wherever they are.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text,
        }
    }
}

impl Server {
    /// A request's body is wanted: a client that waits to be told so is told.
    pub fn send_continue(&mut self, id: StreamId, out: &mut impl Output) {
        let Some(stream) = self.connection.streams.get_mut(id) else { return };
        if std::mem::take(&mut stream.receiving.awaits_continue) {
            let head = ResponseHead { status: 100, ..ResponseHead::default() };
            self.write_head(id, &head, None, 0, out);
        }
    }

    /// The answer does not wait for the request's body.
    pub fn forgo_body(&mut self, id: StreamId) {
        if let Some(stream) = self.connection.streams.get_mut(id) {
            stream.receiving.awaits_continue = false;
        }
    }

    /// Nothing more of a request's body is wanted.
    pub fn refuse_body(&mut self, id: StreamId) {
        self.connection.refuse_body(id);
    }

    /// Bytes that can be taken of a stream's answer, beside those that wait: none while its window
    /// is shut.
    #[must_use]
    pub fn room(&self, id: StreamId) -> usize {
        self.connection.room(id).unwrap_or(usize::MAX)
    }

    /// Sends an interim answer. Returns how many bytes it has.
    pub fn send_interim(
        &mut self,
        id: StreamId,
        head: &ResponseHead,
        out: &mut impl Output,
    ) -> usize {
        self.write_head(id, head, None, 0, out)
    }

    /// Sends the head of an answer. Its body, if it `has_body`, has `length` bytes, if that is
    /// known; without one, that is what its head says. Returns how many bytes the head has.
    pub fn send_head(
        &mut self,
        id: StreamId,
        head: &ResponseHead,
        length: Option<u64>,
        has_body: bool,
        out: &mut impl Output,
    ) -> usize {
        let ends = !has_body || length == Some(0);
        let length = length.filter(|_| head.status != 204);
        let flags = if ends { flag::END_STREAM } else { 0 };
        let sent = self.write_head(id, head, length, flags, out);
        self.note_head(id, ends);
        sent
    }

    /// Sends an answer whose block is ready, as of [`Server::send_block`], with all of its body, if
    /// it has one. Returns how many bytes the head has.
    pub fn send_ready(
        &mut self,
        id: StreamId,
        block: (&[u8], &[u8]),
        whole: Option<Whole<'_>>,
        out: &mut impl Output,
    ) -> usize {
        let Some(whole) = whole else { return self.send_block(id, block, true, out) };
        let sent = self.write_ready(id, block, false, out);
        if let Some(stream) = self.connection.streams.get_mut(id) {
            // It waits for no window before its body does.
            stream.sending.state = SendState::Body;
        }
        self.send_whole(id, whole, out);
        sent
    }

    /// Sends a head whose block is ready (see [`super::write_constant`]), with the date if that is
    /// given. Returns how many bytes it has.
    pub fn send_block(
        &mut self,
        id: StreamId,
        (block, date): (&[u8], &[u8]),
        ends: bool,
        out: &mut impl Output,
    ) -> usize {
        let sent = self.write_ready(id, (block, date), ends, out);
        self.note_head(id, ends);
        sent
    }

    fn write_ready(
        &mut self,
        id: StreamId,
        (block, date): (&[u8], &[u8]),
        ends: bool,
        out: &mut impl Output,
    ) -> usize {
        self.connection.flush_control(out);
        if self.connection.streams.get(id).is_none() {
            return 0;
        }
        let flags = if ends { flag::END_STREAM } else { 0 };
        self.connection.write_block(id, flags, out.bytes(), |encoder, out| {
            encoder.begin(out);
            out.extend_from_slice(block);
            out.extend_from_slice(date);
        })
    }

    fn note_head(&mut self, id: StreamId, ends: bool) {
        // One whose body follows may wait for a window, with or without something to send.
        let Some(stream) = self.connection.streams.touch_if(id, |_| !ends) else {
            return self.connection.streams.note_ended(id);
        };
        (stream.sending.state, stream.sending.closed) = (SendState::Body, false);
    }

    fn write_head(
        &mut self,
        id: StreamId,
        head: &ResponseHead,
        length: Option<u64>,
        flags: u8,
        out: &mut impl Output,
    ) -> usize {
        // Settings go before all else.
        self.connection.flush_control(out);
        if self.connection.streams.get(id).is_none() {
            return 0;
        }
        self.connection.write_block(id, flags, out.bytes(), |encoder, out| {
            write_response(head, length, encoder, out);
        })
    }

    /// A part of an answer's body: it waits for [`Server::transmit`].
    pub fn send_part(&mut self, id: StreamId, part: Buf) {
        self.connection.send_part(id, part);
    }

    /// The end of an answer's body.
    pub fn send_end(&mut self, id: StreamId, trailers: Option<&Fields>) {
        self.connection.send_end(id, trailers);
    }

    /// All of an answer's body: at once if the windows take it.
    pub fn send_whole(&mut self, id: StreamId, whole: Whole<'_>, out: &mut impl Output) {
        let body = whole.bytes();
        let (peer, windows) = (&self.connection.peer, &mut self.connection.windows);
        let Some(stream) = self.connection.streams.get_mut(id) else { return };
        let sending = &mut stream.sending;
        if sending.state != SendState::Body {
            return;
        }
        let len = i64::try_from(body.len()).unwrap_or(i64::MAX);
        let fits = len <= windows.send.min(sending.window)
            && body.len() <= FRAME_MAX.min(peer.max_frame_size)
            && sending.body.is_empty();
        if !fits {
            match whole {
                Whole::Bytes(bytes) => self.connection.send_part(id, Buf::copy_of(bytes)),
                Whole::Text(text) => {
                    self.connection.streams.push_text(id, Buf::text(text));
                }
            }
            return self.connection.send_end(id, None);
        }
        let out = out.bytes();
        let head =
            FrameHead { len: body.len(), kind: kind::DATA, flags: flag::END_STREAM, stream: id };
        head.write(out);
        out.extend_from_slice(body);
        sending.window -= len;
        windows.send -= len;
        sending.closed = true;
        sending.state = SendState::Ended;
    }

    /// The answer is complete: what is queued is still sent, then the stream is removed.
    pub fn end_answer(&mut self, id: StreamId, space: &mut Workspace) {
        let Some(stream) = self.connection.streams.get_mut(id) else { return };
        stream.answered = true;
        let size = std::mem::take(&mut stream.head_size);
        self.connection.heads -= size;
        self.connection.refuse_body(id);
        self.connection.end_if_sent(id, space);
    }
}
