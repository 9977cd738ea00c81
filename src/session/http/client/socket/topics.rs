//! Sockets that publish and subscribe.

use super::{Service, Socket};
use crate::mem::{Buf, Key};
use crate::proto::http2::StreamId;
use crate::proto::websocket::{CloseCode, Closing, HEAD_MAX, Kind, write};
use crate::ring::Driver;
use crate::service::topics::{
    Format, Outcome, Permissions, Publication, Pushed, Queue, QueueLimits, Taken, encode,
};
use crate::session::context::Context;
use crate::session::http::client::Http;
use crate::session::http::client::wire::Wire;
use crate::session::http::deflate::{Compression, Deflate, Shared};
use crate::session::topic_set::TopicSet;
use crate::session::topics::Place;

/// A socket's part in topics.
#[derive(Debug)]
pub(super) struct Subscriber {
    place: Place,
    format: Format,
    permissions: Permissions,
    limits: QueueLimits,
    /// Messages that the connection has not taken, as whole frames.
    queue: Queue<Buf>,
}

impl Subscriber {
    pub(super) fn new(
        place: Place,
        format: Format,
        (publish, subscribe): (bool, bool),
        set: &TopicSet,
    ) -> Self {
        let permissions = Permissions { publish, subscribe };
        Self { place, format, permissions, limits: set.options.queue(), queue: Queue::default() }
    }

    /// Where its topics know it.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// Bytes that wait for it.
    pub(super) const fn waiting(&self) -> usize {
        self.queue.bytes()
    }
}

/// A publication on its way to the subscribers of a worker: its frames, each of which is made once.
#[derive(Debug)]
pub(in crate::session) struct Delivery<'a> {
    publication: &'a Publication,
    /// By format, and by the window that it is compressed with.
    frames: [[Option<Buf>; CLASSES]; Format::ALL.len()],
}

/// Uncompressed, and compressed with a window of 8 to 15 bits.
const CLASSES: usize = 9;

impl<'a> Delivery<'a> {
    pub(in crate::session) const fn new(publication: &'a Publication) -> Self {
        Self { publication, frames: [const { [const { None }; CLASSES] }; Format::ALL.len()] }
    }

    /// The frame for subscribers of a format that compress so.
    fn frame(
        &mut self,
        format: Format,
        shared: Option<Shared>,
        compression: &mut Compression,
    ) -> &Buf {
        let class = shared.map_or(0, |shared| usize::from(shared.window_bits.clamp(8, 15)) - 7);
        let place = &mut self.frames[format.index()][class];
        place
            .get_or_insert_with(|| frame_of((self.publication, false), format, shared, compression))
    }
}

/// A publication as the frame that a subscriber gets.
fn frame_of(
    (publication, retained): (&Publication, bool),
    format: Format,
    shared: Option<Shared>,
    compression: &mut Compression,
) -> Buf {
    let mut payload = Vec::new();
    encode(publication, format, retained, &mut payload);
    let mut deflated = compression.take_deflated();
    if let Some(shared) = shared.filter(|shared| payload.len() >= shared.min) {
        compression.deflate_shared(&payload, shared, &mut deflated);
    }
    let is_smaller = !deflated.is_empty() && deflated.len() < payload.len();
    let on_wire = if is_smaller { &deflated } else { &payload };
    let mut frame = Vec::with_capacity(on_wire.len() + HEAD_MAX);
    write::frame(kind_of(format).opcode(), (true, is_smaller), on_wire, None, &mut frame);
    compression.give_deflated(deflated);
    Buf::from(frame)
}

const fn kind_of(format: Format) -> Kind {
    if format.is_text() { Kind::Text } else { Kind::Binary }
}

impl Http {
    /// A message of a client of topics has come.
    pub(super) fn take_topics_message<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        socket: &mut Socket,
        (kind, message): (Kind, &[u8]),
    ) {
        let Service::Topics(subscriber) = &mut socket.service else { return };
        let (format, place) = (subscriber.format, subscriber.place);
        if kind != kind_of(format) {
            let reason = if format.is_text() { "messages are text" } else { "messages are binary" };
            return self.close_socket(context, socket, CloseCode::UNSUPPORTED, reason);
        }
        let mut answer = context.answers.take();
        let outcome =
            context.topics.handle(place, message, (format, subscriber.permissions), &mut answer);
        let mut retained = Vec::new();
        match outcome {
            Some(Outcome::Publish(publication)) => {
                let workers = &context.options.workers;
                context.topics.publish(place, publication, workers);
            }
            Some(Outcome::Subscribed { retained: found, left_out }) => {
                retained = found;
                socket.subscribed += 1;
                subscriber.queue.note_dropped(left_out);
            }
            Some(Outcome::Done | Outcome::Refused(_)) | None => {}
        }
        if !answer.is_empty() {
            self.send_message(context, socket, kind_of(format), &answer);
        }
        context.answers.give(answer);
        let shared = socket.deflate.as_deref().map(Deflate::shared);
        let Service::Topics(subscriber) = &mut socket.service else { return };
        for (at, publication) in retained.iter().enumerate() {
            if !subscriber.queue.has_room_for(publication.payload().len(), subscriber.limits) {
                // Nothing is made that would only be dropped.
                subscriber.queue.note_dropped(retained.len() - at);
                break;
            }
            let compression = &mut context.http.compression;
            let frame = frame_of((publication, true), format, shared, compression);
            let pushed = subscriber.queue.push_retained(&frame, subscriber.limits);
            context.topics.note_pushed(place, pushed);
        }
        if !subscriber.queue.is_empty() {
            self.send_queued(context, socket);
        }
    }

    /// Sends what waits for a subscriber, as far as its connection takes it.
    pub(super) fn send_queued<D: Driver>(&mut self, context: &mut Context<D>, socket: &mut Socket) {
        let Service::Topics(subscriber) = &mut socket.service else { return };
        if subscriber.queue.is_empty() {
            return;
        }
        let format = subscriber.format;
        while socket.endpoint.closing() == Closing::Open && self.has_room(context) {
            let Service::Topics(subscriber) = &mut socket.service else { return };
            match subscriber.queue.take() {
                Some(Taken::Message(frame)) => {
                    socket.times.active = context.now();
                    self.count_sent(context, socket, 1, (frame.len(), frame.len()));
                    let mut frames = self.frames(context);
                    frames.slice(frame);
                    frames.finish();
                }
                Some(Taken::Dropped(count)) => {
                    if let Some(stats) = self.socket_stats(context, socket) {
                        stats.dropped.add(count.into());
                    }
                    let mut notice = Vec::new();
                    format.write_dropped(count, &mut notice);
                    self.send_message(context, socket, kind_of(format), &notice);
                }
                None => return,
            }
        }
    }

    /// A publication for the subscriber that a stream carries. Returns whether the connection has
    /// something to send.
    pub(in crate::session) fn deliver<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        (key, stream): (Key, StreamId),
        delivery: &mut Delivery<'_>,
    ) -> bool {
        let is_free = matches!(self.wire, Wire::Http1(_)) && self.has_room(context);
        let now = context.now();
        let Some(socket) = self.socket_of(stream) else { return false };
        let is_open = socket.endpoint.closing() == Closing::Open;
        let shared = socket.deflate.as_deref().map(Deflate::shared);
        let Service::Topics(subscriber) = &mut socket.service else { return false };
        if !is_open {
            return false;
        }
        let frame = delivery.frame(subscriber.format, shared, &mut context.http.compression);
        if is_free && subscriber.queue.is_empty() {
            socket.times.active = now;
            let (frame, route) = (frame.clone(), socket.route);
            let route = self.options.routes.get(route);
            let stats = route.and_then(|route| route.sockets(context.options.worker));
            if let Some(stats) = stats {
                stats.note_sent(1, (frame.len(), frame.len()));
            }
            let Context { pages, .. } = context;
            self.io.buffer.finish(pages, &mut self.io.stream);
            self.io.buffer.slice(&mut self.io.stream, frame);
            return true;
        }
        let (pushed, place) = (subscriber.queue.push(frame, subscriber.limits), subscriber.place);
        context.topics.note_pushed(place, pushed);
        if pushed == Pushed::Close {
            self.close_slow(stream);
        }
        self.wake(context, key, stream);
        false
    }

    /// A subscriber takes too little of what it is sent.
    fn close_slow(&mut self, stream: StreamId) {
        if let Some(socket) = self.socket_of(stream) {
            socket.closes_with = Some((CloseCode::TRY_AGAIN, "too slow"));
        }
    }
}
