//! Frames that come on a socket, and messages that go.

use super::{CHARGED_MAX, GATHERED_ANYWAY, SUBSCRIBED_PER_TURN, Service, Socket};
use crate::mem::{Buf, Key, Page, Pages};
use crate::proto::http2::StreamId;
use crate::proto::websocket::{CloseCode, Closing, Item, Kind, Opcode, Part, Violation, write};
use crate::ring::Driver;
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::deflate::Deflate;

/// Bytes of a message that comes in parts and is sent back in one frame. A longer one is sent back
/// in fragments, as it comes.
const ECHO_WHOLE_MAX: usize = 64 * 1024;

/// Bytes of a frame from which on its message is gathered in a page that is used again.
const PAGED: u64 = 4 * 1024;
/// A message that comes in parts: what has come of it.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    page: Page,
    len: usize,
    /// Bytes of memory that it takes.
    cost: usize,
    /// Fragments of it were sent back already.
    is_begun: bool,
}

impl Gathered {
    /// For a message that begins so. A short one does not hold one of the worker's pages.
    fn new(part: &Part, pages: &mut Pages) -> Self {
        let announced = part.left.saturating_add(part.payload.len() as u64);
        let page = if announced < PAGED { Page::default() } else { pages.take() };
        Self { page, len: 0, cost: 0, is_begun: false }
    }

    fn push(&mut self, part: &[u8]) {
        self.page.bytes().extend_from_slice(part);
        self.len += part.len();
        self.cost = self.page.bytes().capacity();
    }

    /// Bytes of memory that it takes.
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }

    /// Its memory is used again.
    pub(super) fn give_back(self, pages: &mut Pages) {
        pages.put_back(self.page);
    }
}

/// Frames that lie one behind the other in the buffer that they came in, to be sent back from it.
#[derive(Debug, Clone, Copy, Default)]
struct InPlace {
    start: usize,
    end: usize,
}

impl InPlace {
    /// Puts a frame behind those before it.
    fn push(&mut self, bytes: &mut [u8], start: usize, end: usize) {
        if self.start == self.end {
            (self.start, self.end) = (start, end);
        } else {
            // Between two frames of a client there was a mask.
            bytes.copy_within(start..end, self.end);
            self.end += end - start;
        }
    }
}

/// What is counted of the frames in one buffer.
#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    wire: u64,
    echoed: u64,
    echoed_bytes: usize,
}

impl Http {
    /// Reads the frames in `buf`.
    pub(super) fn read_frames<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        of: (Key, StreamId),
        socket: &mut Socket,
        mut buf: Buf,
    ) -> Result<(), Violation> {
        if buf.alone().is_none() {
            // Something else of what was received together with it may be read by others.
            buf = Buf::copy_of(&buf);
        }
        socket.charged = 0;
        let mut tally = Tally::default();
        let mut back = InPlace::default();
        let mut result = Ok(());
        if let Some(bytes) = buf.alone() {
            let mut at = 0;
            while at < bytes.len()
                && socket.subscribed < SUBSCRIBED_PER_TURN
                && socket.charged < CHARGED_MAX
            {
                match self.read_frame(context, of, socket, (bytes, at), (&mut tally, &mut back)) {
                    Ok(count) => at += count,
                    Err(violation) => {
                        result = Err(violation);
                        break;
                    }
                }
            }
            if result.is_ok() && at < bytes.len() {
                socket.rest = Some(Buf::copy_of(&bytes[at..]));
            }
        }
        if back.start < back.end {
            buf.truncate(back.end);
            buf.advance(back.start);
            let mut frames = self.frames(context);
            frames.slice(buf);
            frames.finish();
        }
        if let Some(stats) = self.socket_stats(context, socket) {
            stats.received.add(tally.messages);
            stats.received_bytes.add(tally.bytes);
            stats.received_wire_bytes.add(tally.wire);
            stats.note_sent(tally.echoed, (tally.echoed_bytes, tally.echoed_bytes));
        }
        result
    }

    /// Reads the next frame of `bytes`, or what is there of it. Returns how many bytes it has.
    fn read_frame<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        of: (Key, StreamId),
        socket: &mut Socket,
        (bytes, at): (&mut [u8], usize),
        (tally, back): (&mut Tally, &mut InPlace),
    ) -> Result<usize, Violation> {
        let (count, item) = socket.endpoint.read(&mut bytes[at..], &socket.limits)?;
        let Some(item) = item else { return Ok(count) };
        if let Item::Part(mut part) = item {
            // Nothing is answered any more behind our close frame.
            if socket.endpoint.closing() != Closing::Open {
                return Ok(count);
            }
            part.payload = part.payload.start + at..part.payload.end + at;
            tally.wire += part.payload.len() as u64;
            if part.last {
                if !socket.times.admits(context.now()) {
                    return Err(Violation::Rate);
                }
                tally.messages += 1;
            }
            if let Some(start) = frame_to_echo(socket, &part, bytes) {
                back.push(bytes, start, part.payload.end);
                let len = part.payload.len();
                tally.bytes += len as u64;
                (tally.echoed, tally.echoed_bytes) = (tally.echoed + 1, tally.echoed_bytes + len);
                return Ok(count);
            }
            self.copy_back(context, bytes, back);
            tally.bytes +=
                self.take_part(context, of, socket, &part, &bytes[part.payload.clone()])?;
            return Ok(count);
        }
        self.copy_back(context, bytes, back);
        if let Item::Pong(pong) = &item {
            self.note_pong(context, socket, pong);
        }
        if let (Item::Close(_, payload), Service::Handler(handled)) = (&item, &mut socket.service)
            && socket.endpoint.closing() == Closing::Open
        {
            handled.shut_by_peer(payload);
        }
        let mut frames = self.frames(context);
        socket.endpoint.answer(&item, None, frames.bytes());
        frames.finish();
        Ok(count)
    }

    /// Something else is written behind the frames that are sent back: they are written first.
    fn copy_back<D: Driver>(&mut self, context: &mut Context<D>, bytes: &[u8], back: &mut InPlace) {
        let InPlace { start, end } = std::mem::take(back);
        if start < end {
            let mut frames = self.frames(context);
            frames.bytes().extend_from_slice(&bytes[start..end]);
            frames.finish();
        }
    }

    /// A part of a message has come. Returns how many bytes its message has, inflated, when that is
    /// over.
    fn take_part<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        of: (Key, StreamId),
        socket: &mut Socket,
        part: &Part,
        payload: &[u8],
    ) -> Result<u64, Violation> {
        if socket.passes(part) {
            self.pass_part(context, socket, payload);
            return Ok(payload.len() as u64);
        }
        if part.first && part.last {
            return self.take_whole(context, of, socket, part, payload);
        }
        let mut gathered = match socket.gathered.take() {
            Some(gathered) => gathered,
            None => Box::new(Gathered::new(part, &mut context.pages)),
        };
        let is_large = gathered.len + payload.len() > GATHERED_ANYWAY;
        if is_large && context.http.proxy.budget().is_exhausted() {
            gathered.give_back(&mut context.pages);
            if let Some(stats) = self.socket_stats(context, socket) {
                stats.starved.add(1);
            }
            self.close_socket(
                context,
                socket,
                CloseCode::TRY_AGAIN,
                "the server is short of memory",
            );
            return Ok(0);
        }
        gathered.push(payload);
        if part.last && !gathered.is_begun {
            let Gathered { mut page, .. } = *gathered;
            let taken = self.take_whole(context, of, socket, part, page.bytes());
            context.pages.put_back(page);
            return taken;
        }
        // What is compressed goes out as it came in: whole.
        let is_echoed = matches!(socket.service, Service::Echo) && socket.deflate.is_none();
        let is_enough = part.last || gathered.len >= ECHO_WHOLE_MAX;
        let mut sent = 0;
        if is_echoed && is_enough {
            sent = gathered.len as u64;
            self.echo_fragment(context, socket, part, &mut gathered);
        }
        if part.last {
            gathered.give_back(&mut context.pages);
        } else {
            socket.gathered = Some(gathered);
        }
        Ok(sent)
    }

    /// Sends back what has come of a long message.
    fn echo_fragment<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &Socket,
        part: &Part,
        gathered: &mut Gathered,
    ) {
        let is_begun = std::mem::replace(&mut gathered.is_begun, true);
        let opcode = if is_begun { Opcode::Continuation } else { part.kind.opcode() };
        let payload = std::mem::replace(&mut gathered.page, context.pages.take());
        gathered.len = 0;
        let payload = context.pages.seal(payload);
        self.count_sent(context, socket, part.last.into(), (payload.len(), payload.len()));
        let mut frames = self.frames(context);
        write::head(opcode, (part.last, false), payload.len(), frames.bytes());
        frames.slice(payload);
        frames.finish();
    }

    /// A message has come whole.
    fn take_whole<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        of: (Key, StreamId),
        socket: &mut Socket,
        part: &Part,
        payload: &[u8],
    ) -> Result<u64, Violation> {
        let Some(deflate) = socket.deflate.as_mut().filter(|_| part.compressed) else {
            self.take_message(context, of, socket, part.kind, payload);
            return Ok(payload.len() as u64);
        };
        let compression = &mut context.http.compression;
        let inflated = deflate.inflate((part.kind, payload), socket.limits.message, compression)?;
        self.take_message(context, of, socket, part.kind, &inflated);
        socket.charged += inflated.len();
        let len = inflated.len() as u64;
        context.http.compression.give_inflated(inflated);
        Ok(len)
    }

    fn take_message<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        of: (Key, StreamId),
        socket: &mut Socket,
        kind: Kind,
        payload: &[u8],
    ) {
        match &mut socket.service {
            Service::Echo => self.send_message(context, socket, kind, payload),
            Service::Topics(_) => self.take_topics_message(context, socket, (kind, payload)),
            Service::Handler(_) => self.hand_message(context, of, socket, (kind, payload)),
            Service::Relay(_) => self.take_relayed(context, socket, payload),
        }
    }

    /// Sends a message.
    pub(super) fn send_message<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        kind: Kind,
        payload: &[u8],
    ) {
        socket.times.active = context.now();
        let compression = &mut context.http.compression;
        let deflate = socket.deflate.as_mut();
        let compressed = deflate.and_then(|deflate| deflate.deflate(payload, compression));
        let on_wire = compressed.as_deref().unwrap_or(payload);
        self.count_sent(context, socket, 1, (payload.len(), on_wire.len()));
        let mut frames = self.frames(context);
        let is_compressed = compressed.is_some();
        write::frame(kind.opcode(), (true, is_compressed), on_wire, None, frames.bytes());
        frames.finish();
        if let Some(bytes) = compressed {
            context.http.compression.give_deflated(bytes);
        }
    }
}

/// Makes a frame of a client the frame that is sent back, where it lies. Returns where that begins;
/// `None` when it cannot be sent back so.
fn frame_to_echo(socket: &Socket, part: &Part, bytes: &mut [u8]) -> Option<usize> {
    let is_whole = part.first && part.last && !part.compressed;
    let is_small = |deflate: &Deflate| part.payload.len() < deflate.shared().min;
    let stays = socket.deflate.as_deref().is_none_or(is_small);
    if !is_whole || !stays || !matches!(socket.service, Service::Echo) {
        return None;
    }
    let frame = (part.kind.opcode(), true, false, part.payload.len() as u64);
    write::head_before(bytes, part.payload.start, part.head, frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_costs_the_memory_of_its_page() {
        let mut pages = Pages::default();
        let mut large = pages.take();
        large.bytes().reserve(64 * 1024);
        pages.put_back(large);
        let part = |left| Part {
            payload: 0..1,
            head: 0,
            kind: Kind::Text,
            compressed: false,
            first: true,
            last: false,
            left,
        };
        let mut short = Gathered::new(&part(10), &mut pages);
        short.push(b"x");
        assert!(short.cost() < 100, "a short message takes no page: {}", short.cost());
        let mut long = Gathered::new(&part(PAGED), &mut pages);
        long.push(b"x");
        assert!(long.cost() >= 64 * 1024, "{}", long.cost());
    }
}
