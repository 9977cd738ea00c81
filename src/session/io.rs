//! What every connection of a client has, whatever it speaks: its socket, what is written to it in
//! a turn, and the part that does not depend on its service.

use super::CLIENT;
use super::common::{Common, Onward};
use super::context::Context;
use super::write_buffer::{WriteBuffer, Writer};
use crate::mem::{Buf, Key, Pages};
use crate::net::{Stream, StreamEvent};
use crate::ring::{Completion, Driver, SocketAddress};
use crate::service::CloseReason;

/// The input and output of one connection.
#[derive(Debug)]
pub(super) struct Io {
    pub(super) common: Common,
    pub(super) stream: Stream,
    /// What is written in this turn.
    pub(super) buffer: WriteBuffer,
    /// The client sends no more.
    pub(super) ended: bool,
    /// Where it comes from, if that is known and is told.
    client: Option<Box<SocketAddress>>,
}

/// What has happened on a connection.
#[derive(Debug)]
pub(super) enum IoEvent {
    /// Bytes have come.
    Data(Buf),
    /// The client sends no more.
    End,
    /// Bytes were sent.
    Sent,
    /// The connection is broken: it is to be closed for this reason.
    Broken(CloseReason),
    /// Something else, after which there may be something to do.
    Woken,
}

impl Io {
    pub(super) fn new(common: Common, stream: Stream, client: Option<SocketAddress>) -> Self {
        let (buffer, client) = (WriteBuffer::default(), client.map(Box::new));
        Self { common, stream, buffer, ended: false, client }
    }

    /// Begins to receive. A connection that is logged, and whose client is not known by a header,
    /// learns where it comes from. What moves nothing for long is found by the idle timer.
    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.client.is_none() {
            self.client = context.logged_peer(&self.stream);
        }
        let idle = self.common.listener.options.idle_timeout;
        self.common.arm(context, key, idle);
        self.stream.receive(&mut context.reactor, key, false);
    }

    /// What a completion means; `None` when nothing follows from it.
    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) -> Option<IoEvent> {
        let event = self.stream.handle(&mut context.reactor, key, completion);
        self.take_event(context, key, event)
    }

    /// What an event of the stream means; `None` when nothing follows from it.
    pub(super) fn take_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        event: StreamEvent,
    ) -> Option<IoEvent> {
        if self.is_closing() {
            return None;
        }
        Some(match event {
            StreamEvent::Data(buf) => {
                self.common.count_received(context, buf.len());
                IoEvent::Data(buf)
            }
            StreamEvent::End => {
                self.ended = true;
                IoEvent::End
            }
            StreamEvent::Starved => {
                context.starved.push_back((key, CLIENT));
                return None;
            }
            StreamEvent::Sent(bytes) => {
                self.buffer.sent(bytes);
                self.common.count_sent(context, bytes);
                IoEvent::Sent
            }
            StreamEvent::Broken(_) => IoEvent::Broken(self.common.broken(&self.stream)),
            StreamEvent::Writable
            | StreamEvent::Quiet
            | StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::Secured
            | StreamEvent::ConnectFailed(_) => IoEvent::Woken,
        })
    }

    /// Has the connection looked at again at the end of the turn.
    pub(super) fn mark_dirty<D>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.mark_dirty(context, key);
    }

    /// A receive that found no buffer may go on.
    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed(&mut context.reactor, key);
        self.mark_dirty(context, key);
    }

    /// Lets a machine write.
    pub(super) const fn writer<'a>(&'a mut self, pages: &'a mut Pages) -> Writer<'a> {
        self.buffer.writer(pages, &mut self.stream)
    }

    /// Sends what was written.
    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.buffer.finish(&mut context.pages, &mut self.stream);
        self.stream.flush(&mut context.reactor, key);
    }

    /// Reads on: a buffer at a time from a client that is slow to take what it is sent.
    pub(super) fn receive<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let once = self.stream.is_congested();
        self.stream.receive(&mut context.reactor, key, once);
    }

    /// Stops to read.
    pub(super) fn pause<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.stream.is_receiving() {
            context.stats().relay.pauses.add(1);
            self.stream.pause(&mut context.reactor, key);
        }
    }

    /// The timer has fired: whether nothing has moved for the listener's idle timeout.
    pub(super) fn is_idle<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        let limit = self.common.listener.options.idle_timeout;
        let streams = std::slice::from_ref(&self.stream);
        self.common.is_idle(context, key, limit, streams)
    }

    /// Whether the connection is ending.
    pub(super) fn is_closing(&self) -> bool {
        self.common.closing().is_some()
    }

    /// Ends the connection, whatever waits.
    pub(super) fn close<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        reason: CloseReason,
    ) {
        self.common.begin_close(context, reason);
        context.abandon_stream(key, &mut self.stream, reason);
    }

    /// Whether it has ended, and no operation on its socket is in flight.
    pub(super) fn is_finished(&self) -> bool {
        self.is_closing() && self.stream.is_quiet()
    }

    /// Closes the socket, and writes the connection's line.
    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        let client = self.client.as_deref().copied();
        self.finish_as(context, key, client);
    }

    /// The same for a connection that knows itself whose it is.
    pub(super) fn finish_as<D: Driver>(
        self,
        context: &mut Context<D>,
        key: Key,
        client: Option<SocketAddress>,
    ) {
        context.close_stream(key, self.stream);
        self.common.record_end(context, client, &Onward::default());
    }
}
