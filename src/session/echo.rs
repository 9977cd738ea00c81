//! The echo service: every byte goes back.

use super::common::Common;
use super::context::Context;
use super::io::{Io, IoEvent};
use crate::mem::Key;
use crate::net::{Stream, StreamEvent};
use crate::ring::{Completion, Driver, SocketAddress};
use crate::service::CloseReason;

/// One echoed connection.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) io: Io,
}

impl Echo {
    pub(super) fn new(common: Common, stream: Stream, client: Option<SocketAddress>) -> Self {
        Self { io: Io::new(common, stream, client) }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.start(context, key);
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let event = self.io.handle(context, key, completion);
        self.take_event(context, key, event);
    }

    pub(super) fn handle_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        event: StreamEvent,
    ) {
        let event = self.io.take_event(context, key, event);
        self.take_event(context, key, event);
    }

    fn take_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        event: Option<IoEvent>,
    ) {
        match event {
            None => return,
            Some(IoEvent::Broken(reason)) => return self.io.close(context, key, reason),
            Some(IoEvent::Data(buf)) => self.io.stream.queue(buf),
            Some(IoEvent::Sent) => {
                let Io { stream, ended, .. } = &self.io;
                if stream.is_drained() && !ended && stream.is_receiving() {
                    return;
                }
            }
            Some(IoEvent::End | IoEvent::Woken) => {}
        }
        self.io.mark_dirty(context, key);
    }

    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.common.clear_dirty();
        if self.io.is_closing() {
            return;
        }
        self.io.flush(context, key);
        let stream = &mut self.io.stream;
        if stream.is_blocked() {
            self.io.pause(context, key);
        } else if !self.io.ended {
            self.io.receive(context, key);
        } else if stream.is_drained() && stream.say_end(&mut context.reactor, key) {
            self.io.close(context, key, CloseReason::Finished);
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.feed(context, key);
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.common.timer_fired();
        if self.io.is_idle(context, key) {
            self.io.close(context, key, CloseReason::IdleTimeout);
        }
    }

    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.close(context, key, CloseReason::ShutdownTimeout);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.io.is_finished()
    }

    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        self.io.finish(context, key);
    }
}
