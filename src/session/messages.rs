//! Messages: every line of a connection is answered by one, in order.
//!
//! What comes waits in `input` until the end of the turn, when its lines are answered into one
//! send. Nothing is read from a client, and nothing of what came is answered, while it has not
//! taken the answers before; so what waits for one connection is at most what one turn brought
//! and what one turn may answer.

use std::rc::Rc;

use super::common::Common;
use super::context::Context;
use super::io::{Io, IoEvent};
use super::plan::ListenerPlan;
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
    pub(super) io: Io,
    reader: LineReader,
    /// What came and was not answered yet.
    input: Backlog,
}

impl MessageSession {
    pub(super) fn new(
        common: Common,
        stream: Stream,
        line_limit: u32,
        client: Option<SocketAddress>,
    ) -> Self {
        Self {
            io: Io::new(common, stream, client),
            reader: LineReader::new(line_limit as usize),
            input: Backlog::default(),
        }
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
            Some(IoEvent::Broken(reason)) => return self.close(context, key, reason),
            Some(IoEvent::Data(buf)) => self.input.push(buf),
            Some(IoEvent::Sent) => {
                let Io { stream, ended, .. } = &self.io;
                let waits = *ended || !self.input.is_empty() || !stream.is_receiving();
                if stream.is_drained() && !waits {
                    return;
                }
            }
            Some(IoEvent::End | IoEvent::Woken) => {}
        }
        self.io.mark_dirty(context, key);
    }

    /// The turn's end: what came is answered, and what comes next is armed.
    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.common.clear_dirty();
        if self.io.is_closing() {
            return;
        }
        if self.io.stream.is_drained() {
            self.answer(context, key);
        }
        self.io.flush(context, key);
        let stream = &mut self.io.stream;
        if !self.input.is_empty() || stream.is_blocked() {
            self.io.pause(context, key);
        } else if !self.io.ended {
            self.io.receive(context, key);
        } else if stream.is_drained() && stream.say_end(&mut context.reactor, key) {
            self.close(context, key, CloseReason::Finished);
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.feed(context, key);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        self.input.hold();
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.common.timer_fired();
        if self.io.is_idle(context, key) {
            self.close(context, key, CloseReason::IdleTimeout);
        }
    }

    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.io.is_finished()
    }

    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        self.io.finish(context, key);
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
        if self.io.ended
            && self.input.is_empty()
            && let Some(error) = self.reader.at_end()
        {
            let outcome = Err(Messages::refuse(error, &mut answers));
            self.io.common.listener.stats.messages.count(&outcome);
        }
        if !answers.is_empty() {
            let mut page = context.pages.take();
            std::mem::swap(page.bytes(), &mut answers);
            self.io.stream.queue(context.pages.seal(page));
        } else if !self.input.is_empty() {
            // No send will end and wake the connection.
            self.io.common.mark_dirty(context, key);
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
        let listener = Rc::clone(&self.io.common.listener);
        let mut rest = input;
        loop {
            let before = (rest.len(), answers.len());
            let Some(line) = self.reader.next(&mut rest) else {
                budget.spend(before.0);
                return 0;
            };
            let outcome = match line {
                Ok(line) => answer_line(context, &listener, line, answers),
                Err(error) => Err(Messages::refuse(error, answers)),
            };
            listener.stats.messages.count(&outcome);
            budget.spend(before.0 - rest.len() + answers.len() - before.1);
            // At the very end the reader is asked once more, so that it lets go of the last line.
            if budget.is_spent() && !rest.is_empty() {
                return rest.len();
            }
        }
    }

    fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        self.input.clear();
        self.io.close(context, key, reason);
    }
}

/// Answers one line.
fn answer_line<D: Driver>(
    context: &mut Context<D>,
    listener: &ListenerPlan,
    line: &[u8],
    answers: &mut Vec<u8>,
) -> Result<(), MessageError> {
    let now = context.unix_time();
    let Context { messages, handler, .. } = context;
    let (name, everywhere) = (&listener.options.name, listener.everywhere());
    let mut stats = |out: &mut Vec<u8>| write_report(name, everywhere, out);
    messages.answer(line, now, &mut stats, handler.as_mut(), answers)
}
