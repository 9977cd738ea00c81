//! Lingering close: input is drained for a short time, so that the close does not send a reset that
//! destroys the final message.

use super::Due;
use super::context::Context;
use crate::mem::Key;
use crate::net::{Stream, StreamEvent};
use crate::ring::{Completion, Driver, Fd, Lane};
use crate::runtime::TimerId;
use crate::service::{LINGER, Linger};

/// The socket of such a connection, of which nothing else is left.
#[derive(Debug)]
pub(super) struct Parting {
    stream: Stream,
    linger: Linger,
    timer: Option<TimerId>,
    closing: bool,
}

impl Parting {
    pub(super) fn new(socket: Fd) -> Self {
        let stream = Stream::new(Lane::Client, Some(socket));
        Self { stream, linger: Linger::default(), timer: None, closing: false }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        context.partings += 1;
        let deadline = context.now() + LINGER;
        self.timer = Some(context.reactor.arm(deadline, Due::Session(key)));
        self.stream.receive(&mut context.reactor, key, false);
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let event = self.stream.handle(&mut context.reactor, key, completion);
        if self.closing {
            return;
        }
        match event {
            StreamEvent::Data(buf) if self.linger.goes_on(buf.len()) => {
                self.stream.receive(&mut context.reactor, key, false);
            }
            StreamEvent::Data(_) | StreamEvent::End | StreamEvent::Broken(_) => {
                self.close(context, key);
            }
            StreamEvent::Starved => context.starved.push_back((key, Lane::Client)),
            StreamEvent::Quiet => self.stream.receive(&mut context.reactor, key, false),
            StreamEvent::Sent(_)
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::Secured
            | StreamEvent::ConnectFailed(_) => {}
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed(&mut context.reactor, key);
        if !self.closing {
            self.stream.receive(&mut context.reactor, key, false);
        }
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.timer = None;
        self.close(context, key);
    }

    pub(super) fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if let Some(timer) = self.timer.take() {
            context.reactor.disarm(timer);
        }
        self.closing = true;
        self.stream.abandon(&mut context.reactor, key);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.closing && self.stream.is_quiet()
    }

    pub(super) fn finish<D: Driver>(mut self, context: &mut Context<D>, key: Key) {
        context.partings -= 1;
        self.stream.close(&mut context.reactor, key);
    }
}
