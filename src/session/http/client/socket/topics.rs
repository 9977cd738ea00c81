//! Sockets that publish and subscribe.

use super::{Service, Socket};
use crate::mem::{Buf, Key};
use crate::proto::http2::StreamId;
use crate::proto::websocket::{CloseCode, Closing, HEAD_MAX, Kind, write};
use crate::ring::Driver;
use crate::service::topics::{
    Cost, Format, Outcome, Permissions, Publication, Pushed, Queue, QueueLimits, Taken, encode,
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
    /// Messages that the connection has not taken.
    queue: Queue<Frame>,
}

/// A message as a whole frame, which subscribers share.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    bytes: Buf,
    /// Bytes of the message, and how many of them go out when it is compressed.
    payload: usize,
    on_wire: usize,
}

impl Cost for Frame {
    fn cost(&self) -> usize {
        self.bytes.len()
    }
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
    /// By what subscribers have in common; few, as routes and windows are.
    frames: Vec<(Class, Frame)>,
}

/// What subscribers have in common that get the same frame: their format, and how they compress.
type Class = (Format, Option<Shared>);

impl<'a> Delivery<'a> {
    pub(in crate::session) const fn new(publication: &'a Publication) -> Self {
        Self { publication, frames: Vec::new() }
    }

    /// The frame of a class of subscribers.
    fn frame(&mut self, class: Class, compression: &mut Compression) -> &Frame {
        let found = self.frames.iter().position(|(known, _)| *known == class);
        let place = found.unwrap_or_else(|| {
            self.frames.push((class, frame_of((self.publication, false), class, compression)));
            self.frames.len() - 1
        });
        &self.frames[place].1
    }
}

/// A publication as the frame that a class of subscribers gets.
fn frame_of(
    (publication, retained): (&Publication, bool),
    (format, shared): Class,
    compression: &mut Compression,
) -> Frame {
    let mut payload = Vec::new();
    encode(publication, format, retained, &mut payload);
    let mut deflated = compression.take_deflated();
    if let Some(shared) = shared.filter(|shared| payload.len() >= shared.min) {
        compression.deflate_shared(&payload, shared, &mut deflated);
    }
    let is_smaller = !deflated.is_empty() && deflated.len() < payload.len();
    let sent = if is_smaller { &deflated } else { &payload };
    let mut frame = Vec::with_capacity(sent.len() + HEAD_MAX);
    write::frame(kind_of(format).opcode(), (true, is_smaller), sent, None, &mut frame);
    let on_wire = sent.len();
    compression.give_deflated(deflated);
    Frame { bytes: Buf::from(frame), payload: payload.len(), on_wire }
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
            let has_room =
                subscriber.queue.has_room_for(publication.payload().len(), subscriber.limits);
            let has_room = has_room && {
                let compression = &mut context.http.compression;
                let frame = frame_of((publication, true), (format, shared), compression);
                subscriber.queue.push_retained(&frame, subscriber.limits)
            };
            if !has_room {
                // No more frames are made that would only be dropped.
                subscriber.queue.note_dropped(retained.len() - at);
                context.topics.note_left_out(place, retained.len() - at);
                break;
            }
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
                    self.count_sent(context, socket, 1, (frame.payload, frame.on_wire));
                    let mut frames = self.frames(context);
                    frames.slice(frame.bytes);
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
        let class = (subscriber.format, shared);
        let frame = delivery.frame(class, &mut context.http.compression);
        if is_free && subscriber.queue.is_empty() {
            socket.times.active = now;
            let (frame, route) = (frame.clone(), socket.route);
            let route = self.options.routes.get(route);
            let stats = route.and_then(|route| route.sockets(context.options.worker));
            if let Some(stats) = stats {
                stats.note_sent(1, (frame.payload, frame.on_wire));
            }
            let Context { pages, .. } = context;
            self.io.buffer.finish(pages, &mut self.io.stream);
            self.io.buffer.slice(&mut self.io.stream, frame.bytes);
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
