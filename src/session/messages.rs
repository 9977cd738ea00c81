//! Messages: every line of a connection is answered by one, in order.
//!
//! What comes waits in `input` until the end of the turn, when its lines are answered into one
//! send. Nothing is read from a client, and nothing of what came is answered, while it has not
//! taken the answers before; so what waits for one connection is at most what one turn brought
//! and what one turn may answer.

use super::CLIENT;
use super::common::{Common, Onward};
use super::context::Context;
use super::stats_messages::write_report;
use crate::mem::{Backlog, Key};
use crate::net::{Stream, StreamEvent};
use crate::proto::lines::LineReader;
use crate::ring::{Completion, Driver, SocketAddress};
use crate::runtime::Budget;
use crate::service::CloseReason;
use crate::service::messages::{MessageError, Messages};

/// One connection of messages.
#[derive(Debug)]
pub(super) struct MessageSession {
    common: Common,
    stream: Stream,
    reader: LineReader,
    /// What came and was not answered yet.
    input: Backlog,
    ended: bool,
    client: Option<Box<SocketAddress>>,
}

impl MessageSession {
    pub(super) fn new(
        common: Common,
        stream: Stream,
        line_limit: u32,
        client: Option<SocketAddress>,
    ) -> Self {
        Self {
            common,
            stream,
            reader: LineReader::new(line_limit as usize),
            input: Backlog::default(),
            ended: false,
            client: client.map(Box::new),
        }
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
                self.input.push(buf);
            }
            StreamEvent::End => self.ended = true,
            StreamEvent::Starved => {
                context.starved.push_back((key, CLIENT));
                return;
            }
            StreamEvent::Sent(bytes) => {
                self.common.count_sent(context, bytes);
                let waits = self.ended || !self.input.is_empty() || !self.stream.is_receiving();
                if self.stream.is_drained() && !waits {
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

    /// The turn's end: what came is answered, and what comes next is armed.
    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.clear_dirty();
        if self.common.closing().is_some() {
            return;
        }
        if self.stream.is_drained() {
            self.answer(context, key);
        }
        self.stream.flush(&mut context.reactor, key);
        if !self.input.is_empty() || self.stream.is_blocked() {
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

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        self.input.hold();
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

    /// Answers the lines that have come, as many as the turn's budget allows, in one send.
    fn answer<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let mut budget = Budget::new(context.options.relay.turn_budget);
        let mut answers = context.answers.take();
        while !budget.is_spent()
            && let Some(mut buf) = self.input.pop()
        {
            let left = self.answer_lines(context, &buf, &mut budget, &mut answers);
            if left > 0 {
                buf.advance(buf.len() - left);
                self.input.put_back(buf);
            }
        }
        if self.ended
            && self.input.is_empty()
            && let Some(error) = self.reader.at_end()
        {
            let outcome = Err(Messages::refuse(error, &mut answers));
            context.listener_stats(self.common.listener).messages.count(&outcome);
        }
        if !answers.is_empty() {
            let mut page = context.pages.take();
            std::mem::swap(page.bytes(), &mut answers);
            self.stream.queue(context.pages.seal(page));
        } else if !self.input.is_empty() {
            // No send will end and wake the connection.
            self.common.mark_dirty(context, key);
        }
        context.answers.give(answers);
    }

    /// Answers the lines of one input. Returns how many of its bytes are left.
    fn answer_lines<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        input: &[u8],
        budget: &mut Budget,
        answers: &mut Vec<u8>,
    ) -> usize {
        let listener = self.common.listener;
        let mut rest = input;
        loop {
            let before = (rest.len(), answers.len());
            let Some(line) = self.reader.next(&mut rest) else {
                budget.spend(before.0);
                return 0;
            };
            let outcome = match line {
                Ok(line) => answer_line(context, listener, line, answers),
                Err(error) => Err(Messages::refuse(error, answers)),
            };
            context.listener_stats(listener).messages.count(&outcome);
            budget.spend(before.0 - rest.len() + answers.len() - before.1);
            // At the very end the reader is asked once more, so that it lets go of the last line.
            if budget.is_spent() && !rest.is_empty() {
                return rest.len();
            }
        }
    }

    fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        self.common.begin_close(context, reason);
        self.input.clear();
        context.abandon_stream(key, &mut self.stream, reason);
    }
}

/// Answers one line.
fn answer_line<D: Driver>(
    context: &mut Context<D>,
    listener: usize,
    line: &[u8],
    answers: &mut Vec<u8>,
) -> Result<(), MessageError> {
    let now = context.unix_time();
    let Context { messages, handler, options, .. } = context;
    let name = &options.listeners[listener].name;
    let mut stats = |out: &mut Vec<u8>| write_report(&options.fleet, listener, name, out);
    messages.answer(line, now, &mut stats, handler.as_mut(), answers)
}
