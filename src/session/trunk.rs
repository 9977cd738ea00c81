//! Connections to servers that carry the exchanges of many clients.

use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;

use super::Due;
use super::context::Context;
use super::failure::{failure_of, tls_error};
use super::options::Speaks;
use super::plan::UpstreamPlan;
use super::write_buffer::WriteBuffer;
use crate::mem::{Backlog, Key};
use crate::net::{NetworkError, Operation, Stream, StreamEvent};
use crate::ring::{Completion, Driver, Lane};
use crate::runtime::TimerId;

/// One connection to a server.
#[derive(Debug)]
pub(super) struct TrunkConnection {
    upstream: usize,
    server: usize,
    /// The upstream, as the plan had it: it stays until the last operation has ended.
    plan: Rc<UpstreamPlan>,
    /// The frame proxy's key of it.
    trunk: Key,
    stream: Stream,
    buffer: WriteBuffer,
    /// What was received and is not read: a client does not take what is in it.
    input: Backlog,
    phase: Phase,
    /// The server sends no more.
    ended: bool,
    dirty: bool,
    timer: Option<TimerId>,
}

/// How far the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The connect is under way, since then.
    Connecting(Instant),
    /// The same, and its time is over.
    Expired,
    /// Exchanges flow.
    Open,
    /// Nothing more is wanted of it.
    Closing,
}

impl TrunkConnection {
    pub(super) fn new(
        (upstream, server): (usize, usize),
        plan: Rc<UpstreamPlan>,
        trunk: Key,
        now: Instant,
    ) -> Self {
        Self {
            upstream,
            server,
            plan,
            trunk,
            stream: Stream::new(Lane::Upstream, None),
            buffer: WriteBuffer::default(),
            input: Backlog::default(),
            phase: Phase::Connecting(now),
            ended: false,
            dirty: false,
            timer: None,
        }
    }

    /// Connects.
    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        context.exchanger(self.upstream).trunk_attached(self.trunk, key);
        let upstream = &context.plan.upstreams[self.upstream];
        let (address, timeout) = (upstream.servers[self.server], upstream.connect_timeout);
        match context.open_socket(&mut self.stream, (self.upstream, self.server), Speaks::Any) {
            Ok(socket) => {
                self.stream.connect(&mut context.reactor, key, socket, address);
                let deadline = context.now() + timeout;
                self.timer = Some(context.reactor.arm(deadline, Due::Session(key)));
            }
            Err(source) => {
                self.connect_failed(context, Operation::Socket, source);
                self.close(context, key);
            }
        }
    }

    pub(super) fn handle<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        completion: Completion,
    ) {
        let event = self.stream.handle(&mut context.reactor, key, completion);
        if self.phase == Phase::Closing {
            return;
        }
        match event {
            StreamEvent::Connected => self.connected(context, key),
            StreamEvent::ConnectFailed(errno) => {
                let expired = self.phase == Phase::Expired && errno == Errno::ECANCELED;
                let errno = if expired { Errno::ETIMEDOUT } else { errno };
                self.connect_failed(context, Operation::Connect, errno);
                self.close(context, key);
                return;
            }
            StreamEvent::Data(buf) => self.input.push(buf),
            StreamEvent::End => self.ended = true,
            StreamEvent::Starved => {
                context.starved.push_back((key, Lane::Upstream));
                return;
            }
            StreamEvent::Sent(bytes) => {
                self.buffer.sent(bytes);
                if self.stream.is_drained() && self.stream.is_receiving() && !self.ended {
                    return;
                }
            }
            StreamEvent::Broken(_) => {
                self.close(context, key);
                return;
            }
            StreamEvent::Secured
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Quiet => {}
        }
        self.mark_dirty(context, key);
    }

    /// Reads answers, sends requests, and decides whether to read on.
    pub(super) fn flush<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.dirty = false;
        if self.phase != Phase::Open {
            return;
        }
        if !self.read_answers(context) {
            self.close(context, key);
            return;
        }
        if self.timer.is_some() && context.exchanger(self.upstream).trunk_is_ready(self.trunk) {
            self.disarm(context);
        }
        let Context { exchangers, pages, .. } = context;
        let exchanger = exchangers.get_mut(self.upstream).and_then(Option::as_mut);
        if let Some(out) = exchanger.and_then(|exchanger| exchanger.trunk_out(self.trunk))
            && !out.is_empty()
        {
            self.buffer.swap(pages, &mut self.stream, out);
        }
        self.stream.flush(&mut context.reactor, key);
        if !self.input.is_empty() {
            // A client is clogged.
            self.stream.pause(&mut context.reactor, key);
        } else if self.ended {
            self.close(context, key);
        } else {
            self.stream.receive(&mut context.reactor, key, false);
        }
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed(&mut context.reactor, key);
        self.mark_dirty(context, key);
    }

    /// The end of a turn: what waits holds nothing of the pool.
    pub(super) fn hold(&mut self) {
        self.input.hold();
    }

    /// The time to connect, and to agree, is over.
    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.timer = None;
        match self.phase {
            Phase::Connecting(_) => {
                self.phase = Phase::Expired;
                self.stream.cancel_connect(&mut context.reactor, key);
            }
            Phase::Open => {
                self.connect_failed(context, Operation::Greet, Errno::ETIMEDOUT);
                self.close(context, key);
            }
            Phase::Expired | Phase::Closing => {}
        }
    }

    pub(super) fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if self.phase == Phase::Closing {
            return;
        }
        self.phase = Phase::Closing;
        self.disarm(context);
        self.input.clear();
        self.stream.abandon(&mut context.reactor, key);
        let now = context.now();
        context.exchanger(self.upstream).trunk_closed(self.trunk, now);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.phase == Phase::Closing && self.stream.is_quiet()
    }

    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        context.close_stream(key, self.stream);
        self.plan.stats().active.decrement();
    }

    fn disarm<D: Driver>(&mut self, context: &mut Context<D>) {
        if let Some(timer) = self.timer.take() {
            context.reactor.disarm(timer);
        }
    }

    fn connected<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if let Phase::Connecting(since) = self.phase {
            let took = context.now().saturating_duration_since(since);
            context.histograms.connect.record(took);
        }
        context.upstream_stats(self.upstream).connected.add(1);
        self.phase = Phase::Open;
        context.exchanger(self.upstream).trunk_connected(self.trunk);
        self.stream.receive(&mut context.reactor, key, false);
    }

    fn connect_failed<D: Driver>(&self, context: &mut Context<D>, op: Operation, source: Errno) {
        let peer = context.plan.upstreams[self.upstream].servers[self.server];
        let error = NetworkError { op, peer, source };
        let failure = failure_of(source, &peer);
        context.upstream_stats(self.upstream).failed[failure as usize].add(1);
        if failure.is_local() {
            context.exchanger(self.upstream).trunk_is_blameless(self.trunk);
        }
        let now = context.now();
        if let Some(others) = context.notices.connect.due(now) {
            let upstream = &context.plan.upstreams[self.upstream].name;
            let tls = tls_error(&self.stream);
            tracing::warn!(%upstream, others, "{error}{tls}");
        }
    }

    /// False when the server broke a rule.
    fn read_answers<D: Driver>(&mut self, context: &mut Context<D>) -> bool {
        let now = context.now();
        while let Some(buf) = self.input.pop() {
            let mut rest: &[u8] = &buf;
            let result = context.exchanger(self.upstream).trunk_bytes(self.trunk, &mut rest, now);
            if let Err(error) = result {
                if let Some(others) = context.notices.protocol.due(now) {
                    let upstream = &context.plan.upstreams[self.upstream];
                    let (name, server) = (&upstream.name, upstream.servers[self.server]);
                    let text = "the server broke the protocol";
                    tracing::warn!(upstream = %name, %server, %error, others, "{text}");
                }
                return false;
            }
            if !rest.is_empty() {
                let from = buf.len() - rest.len();
                self.input.put_back(buf.slice(from, buf.len() - from));
                return true;
            }
        }
        true
    }

    fn mark_dirty<D>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.dirty {
            self.dirty = true;
            context.dirty.push(key);
        }
    }
}
