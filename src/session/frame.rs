//! Connections of the framed protocol, as a server: our own answers, or those of an upstream.

mod proxied;
mod serve;

use std::sync::Arc;

use self::proxied::Proxied;
use self::serve::Local;
use super::CLIENT;
use super::common::{Common, Onward};
use super::context::Context;
use super::options::FrameOptions;
use super::write_buffer::WriteBuffer;
use crate::mem::{Backlog, Key};
use crate::net::{Stream, StreamEvent};
use crate::proto::frame::{Code, FrameError, ServerOptions};
use crate::ring::{Completion, Driver, Lane, SocketAddress, Verb};
use crate::service::{CloseReason, LINGER};

/// Bytes of answers that may wait for a client before no more of its requests are read.
const ANSWERS_MAX: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Frames {
    common: Common,
    stream: Stream,
    outlet: WriteBuffer,
    /// What was received and is not read: more than a turn may answer.
    input: Backlog,
    side: Side,
    phase: Phase,
    /// The client sends no more.
    ended: bool,
    /// The server ends: what has come is answered, and nothing more is read but the credit of it.
    draining: bool,
    /// GOAWAY was sent.
    has_gone_away: bool,
    /// What the client did that ends the connection, once it has its answers.
    failed: Option<FrameError>,
    client: Option<Box<SocketAddress>>,
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
            common,
            stream,
            outlet: WriteBuffer::default(),
            input: Backlog::default(),
            side,
            phase: Phase::Serving,
            ended: false,
            draining: false,
            has_gone_away: false,
            failed: None,
            client: client.map(Box::new),
        }
    }

    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.client.is_none() {
            self.client = context.logged_peer(&self.stream);
        }
        if let Side::Proxied(proxied) = &self.side {
            proxied.attach(context, key);
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
        if completion.token.verb == Verb::Read {
            self.handle_read(context, key, completion);
            return;
        }
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
                if self.phase == Phase::Serving {
                    self.input.push(buf);
                }
            }
            StreamEvent::End => {
                self.ended = true;
                match &mut self.side {
                    Side::Local(local) => local.ended(),
                    Side::Proxied(proxied) => proxied.ended(context),
                }
            }
            StreamEvent::Starved => {
                context.starved.push_back((key, CLIENT));
                return;
            }
            StreamEvent::Sent(bytes) => {
                self.outlet.sent(bytes);
                self.common.count_sent(context, bytes);
                if self.is_calm() {
                    return;
                }
            }
            StreamEvent::Broken(_) => {
                let reason = self.common.broken(&self.stream);
                self.close(context, key, reason);
                return;
            }
            StreamEvent::Writable
            | StreamEvent::Quiet
            | StreamEvent::Readable
            | StreamEvent::Connected
            | StreamEvent::Secured
            | StreamEvent::ConnectFailed(_) => {}
        }
        self.common.mark_dirty(context, key);
    }

    /// Answers what came, sends the answers, and decides whether to read on.
    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.clear_dirty();
        if self.common.closing().is_some() {
            return;
        }
        if self.phase == Phase::Serving {
            self.work(context);
        }
        match &mut self.side {
            Side::Proxied(proxied) => {
                proxied.collect(context, &mut self.outlet, &mut self.stream);
            }
            Side::Local(local) if self.phase == Phase::Serving && !self.stream.is_blocked() => {
                local.read(context, key, &mut self.outlet, &mut self.stream);
            }
            Side::Local(_) => {}
        }
        self.outlet.finish(&mut context.pages, &mut self.stream);
        self.stream.flush(&mut context.reactor, key);
        match self.phase {
            Phase::Serving => self.read_on(context, key),
            Phase::Ending(reason) => self.say_end(context, key, reason),
            Phase::Lingering(reason) if self.ended => self.close(context, key, reason),
            Phase::Lingering(_) => self.stream.receive(&mut context.reactor, key, false),
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key, lane: Lane) {
        match &mut self.side {
            Side::Local(local) if lane != CLIENT => local.feed(),
            Side::Local(_) | Side::Proxied(_) => self.stream.feed(&mut context.reactor, key),
        }
        self.common.mark_dirty(context, key);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        self.input.hold();
    }

    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.common.timer_fired();
        let limit = context.options.listeners[self.common.listener].idle_timeout;
        if self.phase == Phase::Serving {
            match &mut self.side {
                Side::Local(local) => local.expire_stalled(context, &mut self.outlet, limit),
                Side::Proxied(proxied) => proxied.expire_stalled(context, limit),
            }
            self.common.mark_dirty(context, key);
        }
        let stream = std::slice::from_ref(&self.stream);
        match self.phase {
            Phase::Serving if !self.common.is_idle(context, key, limit, stream) => {}
            // The client waits for us or a server; exchanges have their own deadlines.
            Phase::Serving if self.waits(context) && self.stream.is_drained() => {
                self.common.arm(context, key, limit);
            }
            // It does not even take its answers, or allow them.
            Phase::Serving if self.is_busy(context) || !self.stream.is_drained() => {
                self.close(context, key, CloseReason::SlowReader);
            }
            Phase::Serving => {
                self.go_away(context, Code::Idle, "nothing was asked for long");
                self.end(context, key, CloseReason::IdleTimeout);
            }
            // It may take what is left as slowly as it took the rest.
            Phase::Ending(_) if !self.common.is_idle(context, key, limit, stream) => {}
            Phase::Ending(reason) | Phase::Lingering(reason) => self.close(context, key, reason),
        }
    }

    /// The server ends: what has come is answered, and nothing more is read but the credit of it.
    pub(super) fn drain<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.common.closing().is_none() && self.phase == Phase::Serving && !self.draining {
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
            self.common.mark_dirty(context, key);
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
        self.common.closing().is_some() && self.stream.is_quiet() && is_read
    }

    pub(super) fn finish<D: Driver>(mut self, context: &mut Context<D>, key: Key) {
        context.close_stream(key, self.stream);
        match &mut self.side {
            Side::Local(local) => local.close(context),
            Side::Proxied(proxied) => proxied.close(context),
        }
        let client = self.client.as_deref().copied();
        self.common.record_end(context, client, &Onward::default());
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
                    local.answer(context, &mut self.outlet, &mut self.stream, &buf)
                }
                Side::Proxied(proxied) => proxied.ask(context, &buf),
            };
            match left {
                Ok(left) => left.into_iter().for_each(|left| self.input.put_back(left)),
                Err(error) => {
                    tracing::debug!(id = self.common.id(), %error, "frame refused");
                    self.fail(&error);
                    break;
                }
            }
        }
        self.count(context);
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
            let taken = self.stream.acknowledged(&mut context.reactor);
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
                    && !self.ended
                    && !self.draining
                    && self.stream.is_drained()
                    && self.stream.is_receiving()
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
        let wanted = self.common.closing().is_none() && self.phase == Phase::Serving;
        if let Side::Local(local) = &mut self.side {
            let output = (&mut self.outlet, &mut self.stream);
            local.handle_read(context, key, completion, output, wanted);
        }
        self.common.mark_dirty(context, key);
    }

    /// Whether the client takes what it is answered.
    fn has_room(&mut self) -> bool {
        !self.stream.is_blocked() && self.outlet.waiting() < ANSWERS_MAX
    }

    fn read_on<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let may_work = self.may_work(context);
        let stops = self.draining && !self.needs_credit(context);
        let over = self.ended || stops || self.failed.is_some();
        if may_work && !self.input.is_empty() {
            // The budget of the turn is spent.
            self.common.mark_dirty(context, key);
        } else if over
            && (may_work || self.failed.is_some())
            && (!self.is_busy(context) || self.is_stuck(context))
        {
            self.end_in_order(context, key);
        } else if may_work && !over {
            let once = self.stream.is_congested();
            self.stream.receive(&mut context.reactor, key, once);
        } else if self.stream.is_receiving() {
            context.stats().relay.pauses.add(1);
            self.stream.pause(&mut context.reactor, key);
        }
    }

    /// Whether the client broke a rule, and what is left of answers needs what is not read any
    /// more.
    fn is_stuck<D: Driver>(&self, context: &mut Context<D>) -> bool {
        self.failed.is_some() && !self.waits(context)
    }

    /// All was answered, and nothing more comes or is wanted.
    fn end_in_order<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.ended && self.failed.is_none() {
            let at_end = match &mut self.side {
                Side::Local(local) => local.responder().at_end(),
                Side::Proxied(proxied) => proxied.at_end(context),
            };
            self.failed = at_end.err();
        }
        let reason = match self.failed {
            Some(error) => {
                self.tell(context, &error);
                self.count(context);
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
                local.responder().fail(error, self.outlet.bytes(&mut context.pages));
            }
            Side::Proxied(proxied) => proxied.fail(context, error),
        }
    }

    fn go_away<D: Driver>(&mut self, context: &mut Context<D>, code: Code, text: &str) {
        match &mut self.side {
            Side::Local(local) => {
                local.responder().go_away(code, text, self.outlet.bytes(&mut context.pages));
            }
            Side::Proxied(proxied) => proxied.go_away(context, code, text),
        }
    }

    fn count<D: Driver>(&mut self, context: &Context<D>) {
        if let Side::Local(local) = &mut self.side {
            let tally = local.responder().take_tally();
            context.listener_stats(self.common.listener).frames.add(&tally);
        }
    }

    /// No more is read. What is written goes out first.
    fn end<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        self.phase = Phase::Ending(reason);
        self.input.clear();
        self.common.mark_dirty(context, key);
        let idle = context.options.listeners[self.common.listener].idle_timeout;
        self.common.arm(context, key, idle);
    }

    /// When all is out, the client is told that it is the end; it may take its time to close.
    fn say_end<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        if self.stream.fd().is_none() || !self.stream.is_drained() {
            return;
        }
        let told = self.stream.shutdown_write(&mut context.reactor, key);
        if told == Ok(false) {
            return;
        }
        if self.ended || told.is_err() {
            self.close(context, key, reason);
            return;
        }
        self.phase = Phase::Lingering(reason);
        self.common.arm(context, key, LINGER);
        self.stream.receive(&mut context.reactor, key, false);
    }

    /// Closes the connection, whatever waits.
    pub(super) fn close<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        reason: CloseReason,
    ) {
        self.common.begin_close(context, reason);
        self.input.clear();
        context.abandon_stream(key, &mut self.stream, reason);
    }
}
