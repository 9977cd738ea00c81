//! The echo service: every byte goes back.

use super::CLIENT;
use super::common::{Common, Onward};
use super::context::Context;
use crate::mem::Key;
use crate::net::{Stream, StreamEvent};
use crate::ring::{Completion, Driver, SocketAddress};
use crate::service::CloseReason;

/// One echoed connection.
#[derive(Debug)]
pub(super) struct Echo {
    common: Common,
    stream: Stream,
    ended: bool,
    client: Option<Box<SocketAddress>>,
}

impl Echo {
    pub(super) fn new(common: Common, stream: Stream, client: Option<SocketAddress>) -> Self {
        Self { common, stream, ended: false, client: client.map(Box::new) }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.client.is_none() {
            self.client = context.logged_peer(&self.stream);
        }
        let idle = context.options.listeners[self.common.listener].idle_timeout;
        self.common.arm(context, key, idle);
        self.stream.receive(&mut context.reactor, key, false);
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let event = self.stream.handle(&mut context.reactor, key, completion);
        self.handle_event(context, key, event);
    }

    pub(super) fn handle_event<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        event: StreamEvent,
    ) {
        if self.common.closing().is_some() {
            return;
        }
        match event {
            StreamEvent::Data(buf) => {
                self.common.count_received(context, buf.len());
                self.stream.queue(buf);
            }
            StreamEvent::End => self.ended = true,
            StreamEvent::Starved => {
                context.starved.push_back((key, CLIENT));
                return;
            }
            StreamEvent::Sent(bytes) => {
                self.common.count_sent(context, bytes);
                if self.stream.is_drained() && !self.ended && self.stream.is_receiving() {
                    return;
                }
            }
            StreamEvent::Broken(_) => {
                let reason = self.common.broken(&self.stream);
                self.close(context, key, reason);
                return;
            }
            StreamEvent::Writable | StreamEvent::Quiet => {}
            StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::Secured
            | StreamEvent::ConnectFailed(_) => {}
        }
        self.common.mark_dirty(context, key);
    }

    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.clear_dirty();
        if self.common.closing().is_some() {
            return;
        }
        self.stream.flush(&mut context.reactor, key);
        if self.stream.is_blocked() {
            if self.stream.is_receiving() {
                context.stats().relay.pauses.add(1);
                self.stream.pause(&mut context.reactor, key);
            }
        } else if !self.ended {
            let once = self.stream.is_congested();
            self.stream.receive(&mut context.reactor, key, once);
        } else if self.stream.is_drained() && self.stream.say_end(&mut context.reactor, key) {
            self.close(context, key, CloseReason::Finished);
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed(&mut context.reactor, key);
        self.common.mark_dirty(context, key);
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.timer_fired();
        let limit = context.options.listeners[self.common.listener].idle_timeout;
        if self.common.is_idle(context, key, limit, std::slice::from_ref(&self.stream)) {
            self.close(context, key, CloseReason::IdleTimeout);
        }
    }

    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.common.closing().is_some() && self.stream.is_quiet()
    }

    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        context.close_stream(key, self.stream);
        let client = self.client.as_deref().copied();
        self.common.record_end(context, client, &Onward::default());
    }

    fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        self.common.begin_close(context, reason);
        context.abandon_stream(key, &mut self.stream, reason);
    }
}
