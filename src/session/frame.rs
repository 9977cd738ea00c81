//! Connections of the framed protocol, as a server: our own answers, or those of an upstream.

mod proxied;
mod serve;

use std::sync::Arc;

use self::proxied::Proxied;
use self::serve::Local;
pub(crate) use self::serve::TRANSFERS_MAX;
use super::CLIENT;
use super::common::Common;
use super::context::Context;
use super::io::{Io, IoEvent};
use super::options::FrameOptions;
use crate::mem::{Backlog, Key};
use crate::net::{Stream, StreamEvent};
use crate::proto::frame::{Code, FrameError, ServerOptions};
use crate::ring::{Completion, Driver, Lane, SocketAddress, Verb};
use crate::service::{CloseReason, LINGER};

/// Bytes of answers that may wait for a client before no more of its requests are read.
pub(crate) const ANSWERS_MAX: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Frames {
    pub(super) io: Io,
    /// What was received and is not read: more than a turn may answer.
    input: Backlog,
    side: Side,
    phase: Phase,
    /// The server ends: what has come is answered, and nothing more is read but the credit of it.
    draining: bool,
    /// GOAWAY was sent.
    has_gone_away: bool,
    /// What the client did that ends the connection, once it has its answers.
    failed: Option<FrameError>,
}

/// Who answers.
#[derive(Debug)]
enum Side {
    /// We do.
    Local(Box<Local>),
    /// An upstream does.
    Proxied(Proxied),
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Requests are read and answered.
    Serving,
    /// No more is read; what is written goes out.
    Ending(CloseReason),
    /// All is out, and the client knows that it is the end.
    Lingering(CloseReason),
}

impl Frames {
    /// A connection that we answer ourselves.
    pub(super) fn local(
        common: Common,
        stream: Stream,
        client: Option<SocketAddress>,
        options: Arc<FrameOptions>,
    ) -> Self {
        Self::new(common, stream, client, Side::Local(Box::new(Local::new(options))))
    }

    /// A connection whose requests go to an upstream.
    pub(super) fn proxied<D: Driver>(
        context: &mut Context<D>,
        (common, stream, client): (Common, Stream, Option<SocketAddress>),
        upstream: usize,
        server: ServerOptions,
    ) -> Self {
        let proxied = Proxied::new(context, upstream, server);
        Self::new(common, stream, client, Side::Proxied(proxied))
    }

    fn new(common: Common, stream: Stream, client: Option<SocketAddress>, side: Side) -> Self {
        Self {
            io: Io::new(common, stream, client),
            input: Backlog::default(),
            side,
            phase: Phase::Serving,
            draining: false,
            has_gone_away: false,
            failed: None,
        }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if let Side::Proxied(proxied) = &self.side {
            proxied.attach(context, key);
        }
        self.io.start(context, key);
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        if completion.token.verb == Verb::Read {
            self.handle_read(context, key, completion);
            return;
        }
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
            Some(IoEvent::Data(buf)) => {
                if self.phase == Phase::Serving {
                    self.input.push(buf);
                }
            }
            Some(IoEvent::End) => match &mut self.side {
                Side::Local(local) => local.ended(),
                Side::Proxied(proxied) => proxied.ended(context),
            },
            Some(IoEvent::Sent) if self.is_calm() => return,
            Some(IoEvent::Sent | IoEvent::Woken) => {}
        }
        self.io.mark_dirty(context, key);
    }

    /// Answers what came, sends the answers, and decides whether to read on.
    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.common.clear_dirty();
        if self.io.is_closing() {
            return;
        }
        if self.phase == Phase::Serving {
            self.work(context);
        }
        match &mut self.side {
            Side::Proxied(proxied) => {
                proxied.collect(context, &mut self.io.buffer, &mut self.io.stream);
            }
            Side::Local(local) if self.phase == Phase::Serving && !self.io.stream.is_blocked() => {
                local.read(context, key, &mut self.io.buffer, &mut self.io.stream);
            }
            Side::Local(_) => {}
        }
        self.io.flush(context, key);
        match self.phase {
            Phase::Serving => self.read_on(context, key),
            Phase::Ending(reason) => self.say_end(context, key, reason),
            Phase::Lingering(reason) if self.io.ended => self.close(context, key, reason),
            Phase::Lingering(_) => self.io.stream.receive(&mut context.reactor, key, false),
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key, lane: Lane) {
        match &mut self.side {
            Side::Local(local) if lane != CLIENT => local.feed(),
            Side::Local(_) | Side::Proxied(_) => return self.io.feed(context, key),
        }
        self.io.mark_dirty(context, key);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        self.input.hold();
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.io.common.timer_fired();
        let limit = self.io.common.listener.options.idle_timeout;
        if self.phase == Phase::Serving {
            match &mut self.side {
                Side::Local(local) => local.expire_stalled(context, &mut self.io.buffer, limit),
                Side::Proxied(proxied) => proxied.expire_stalled(context, limit),
            }
            self.io.common.mark_dirty(context, key);
        }
        match self.phase {
            Phase::Serving if !self.io.is_idle(context, key) => {}
            // The client waits for us or a server; exchanges have their own deadlines.
            Phase::Serving if self.waits(context) && self.io.stream.is_drained() => {
                self.io.common.arm(context, key, limit);
            }
            // It does not even take its answers, or allow them.
            Phase::Serving if self.is_busy(context) || !self.io.stream.is_drained() => {
                self.close(context, key, CloseReason::SlowReader);
            }
            Phase::Serving => {
                self.go_away(context, Code::Idle, "nothing was asked for long");
                self.end(context, key, CloseReason::IdleTimeout);
            }
            // It may take what is left as slowly as it took the rest.
            Phase::Ending(_) if !self.io.is_idle(context, key) => {}
            Phase::Ending(reason) | Phase::Lingering(reason) => self.close(context, key, reason),
        }
    }

    /// The server ends: what has come is answered, and nothing more is read but the credit of it.
    pub(super) fn drain<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.io.common.closing().is_none() && self.phase == Phase::Serving && !self.draining {
            self.draining = true;
            if self.needs_credit(context) {
                // Reading goes on for the credit of what is open: what else is asked is told from
                // it.
                self.go_away(context, Code::ShuttingDown, "the server ends");
                self.has_gone_away = true;
                match &mut self.side {
                    Side::Local(local) => local.close_door(),
                    Side::Proxied(proxied) => proxied.close_door(context),
                }
            }
            self.io.common.mark_dirty(context, key);
        }
    }

    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    pub(super) fn is_finished(&self) -> bool {
        let is_read = match &self.side {
            Side::Local(local) => local.is_quiet(),
            Side::Proxied(_) => true,
        };
        self.io.is_finished() && is_read
    }

    pub(super) fn finish<D: Driver>(mut self, context: &mut Context<D>, key: Key) {
        match &mut self.side {
            Side::Local(local) => local.close(context),
            Side::Proxied(proxied) => proxied.close(context),
        }
        self.io.finish(context, key);
    }

    /// Reads and answers requests, as far as the turn's budget goes.
    fn work<D: Driver>(&mut self, context: &mut Context<D>) {
        while let Some(buf) = self.input.pop() {
            if !self.may_work(context) {
                self.input.put_back(buf);
                break;
            }
            let left = match &mut self.side {
                Side::Local(local) => {
                    local.answer(context, &mut self.io.buffer, &mut self.io.stream, &buf)
                }
                Side::Proxied(proxied) => proxied.ask(context, &buf),
            };
            match left {
                Ok(left) => left.into_iter().for_each(|left| self.input.put_back(left)),
                Err(error) => {
                    tracing::debug!(id = self.io.common.id(), %error, "frame refused");
                    self.fail(&error);
                    break;
                }
            }
        }
        self.count();
    }

    /// Whether another request may be read now.
    fn may_work<D: Driver>(&mut self, context: &mut Context<D>) -> bool {
        let full = match &self.side {
            Side::Local(local) => local.is_full(),
            Side::Proxied(proxied) => proxied.is_full(context),
        };
        !full && self.has_room() && self.failed.is_none()
    }

    /// The frame proxy wants to know whether the client takes anything.
    pub(super) fn look<D: Driver>(&self, context: &mut Context<D>) {
        if let Side::Proxied(proxied) = &self.side {
            let taken = self.io.stream.acknowledged(&mut context.reactor);
            proxied.taken(context, taken);
        }
    }

    /// Whether the client waits for an answer that does not wait for the client itself.
    fn waits<D: Driver>(&self, context: &mut Context<D>) -> bool {
        match &self.side {
            Side::Local(local) => local.waits(),
            Side::Proxied(proxied) => proxied.waits(context),
        }
    }

    /// Whether open answers need what the client has yet to send.
    fn needs_credit<D: Driver>(&self, context: &mut Context<D>) -> bool {
        match &self.side {
            Side::Local(local) => local.needs_credit(),
            Side::Proxied(proxied) => proxied.needs_credit(context),
        }
    }

    /// Whether requests wait for their last answer.
    fn is_busy<D: Driver>(&self, context: &mut Context<D>) -> bool {
        match &self.side {
            Side::Local(local) => local.is_busy(),
            Side::Proxied(proxied) => proxied.is_busy(context),
        }
    }

    /// Whether a completed send leaves nothing to be done.
    fn is_calm(&self) -> bool {
        match &self.side {
            Side::Local(local) => {
                self.phase == Phase::Serving
                    && self.input.is_empty()
                    && !local.is_busy()
                    && !self.io.ended
                    && !self.draining
                    && self.io.stream.is_drained()
                    && self.io.stream.is_receiving()
            }
            Side::Proxied(_) => false,
        }
    }

    fn handle_read<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let wanted = self.io.common.closing().is_none() && self.phase == Phase::Serving;
        if let Side::Local(local) = &mut self.side {
            let output = (&mut self.io.buffer, &mut self.io.stream);
            local.handle_read(context, key, completion, output, wanted);
        }
        self.io.common.mark_dirty(context, key);
    }

    /// Whether the client takes what it is answered.
    fn has_room(&mut self) -> bool {
        !self.io.stream.is_blocked() && self.io.buffer.waiting() < ANSWERS_MAX
    }

    fn read_on<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let may_work = self.may_work(context);
        let stops = self.draining && !self.needs_credit(context);
        let over = self.io.ended || stops || self.failed.is_some();
        if may_work && !self.input.is_empty() {
            // The budget of the turn is spent.
            self.io.common.mark_dirty(context, key);
        } else if over
            && (may_work || self.failed.is_some())
            && (!self.is_busy(context) || self.is_stuck(context))
        {
            self.end_in_order(context, key);
        } else if may_work && !over {
            self.io.receive(context, key);
        } else {
            self.io.pause(context, key);
        }
    }

    /// Whether the client broke a rule, and what is left of answers needs what is not read any
    /// more.
    fn is_stuck<D: Driver>(&self, context: &mut Context<D>) -> bool {
        self.failed.is_some() && !self.waits(context)
    }

    /// All was answered, and nothing more comes or is wanted.
    fn end_in_order<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.io.ended && self.failed.is_none() {
            let at_end = match &mut self.side {
                Side::Local(local) => local.responder().at_end(),
                Side::Proxied(proxied) => proxied.at_end(context),
            };
            self.failed = at_end.err();
        }
        let reason = match self.failed {
            Some(error) => {
                self.tell(context, &error);
                self.count();
                CloseReason::ProtocolError
            }
            None if self.draining => {
                if !self.has_gone_away {
                    self.go_away(context, Code::ShuttingDown, "the server ends");
                }
                CloseReason::Finished
            }
            None => CloseReason::Finished,
        };
        self.end(context, key, reason);
    }

    /// The client broke a rule: it is told so when all that it asked before is answered.
    fn fail(&mut self, error: &FrameError) {
        self.failed = Some(*error);
        self.input.clear();
    }

    /// Tells the client what it did wrong.
    fn tell<D: Driver>(&mut self, context: &mut Context<D>, error: &FrameError) {
        match &mut self.side {
            Side::Local(local) => {
                local.responder().fail(error, self.io.buffer.bytes(&mut context.pages));
            }
            Side::Proxied(proxied) => proxied.fail(context, error),
        }
    }

    fn go_away<D: Driver>(&mut self, context: &mut Context<D>, code: Code, text: &str) {
        match &mut self.side {
            Side::Local(local) => {
                local.responder().go_away(code, text, self.io.buffer.bytes(&mut context.pages));
            }
            Side::Proxied(proxied) => proxied.go_away(context, code, text),
        }
    }

    fn count(&mut self) {
        if let Side::Local(local) = &mut self.side {
            let tally = local.responder().take_tally();
            self.io.common.listener.stats.frames.add(&tally);
        }
    }

    /// No more is read. What is written goes out first.
    fn end<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        self.phase = Phase::Ending(reason);
        self.input.clear();
        self.io.common.mark_dirty(context, key);
        let idle = self.io.common.listener.options.idle_timeout;
        self.io.common.arm(context, key, idle);
    }

    /// When all is out, the client is told that it is the end; it may take its time to close.
    fn say_end<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        if self.io.stream.fd().is_none() || !self.io.stream.is_drained() {
            return;
        }
        let told = self.io.stream.shutdown_write(&mut context.reactor, key);
        if told == Ok(false) {
            return;
        }
        if self.io.ended || told.is_err() {
            self.close(context, key, reason);
            return;
        }
        self.phase = Phase::Lingering(reason);
        self.io.common.arm(context, key, LINGER);
        self.io.stream.receive(&mut context.reactor, key, false);
    }

    /// Closes the connection, whatever waits.
    pub(super) fn close<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        reason: CloseReason,
    ) {
        self.input.clear();
        self.io.close(context, key, reason);
    }
}
