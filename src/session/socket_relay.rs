//! The connection of one WebSocket to a TCP server. It is a session of its own: the socket may be
//! one of many streams of its client's connection, and what it has sent goes out when it is gone.
//!
//! What is between the two is a link (`http/links`), which the socket fills and drains; see
//! `http/client/socket/relayed`. The life of the connection is that of a TCP proxy's
//! ([`TcpExchange`]): a choice of a server, other servers, ejection, limits.

mod connect;

use std::rc::Rc;
use std::time::Instant;

use super::Due;
use super::context::Context;
use super::deadline::Deadline;
use super::http::links::LinkTarget;
use super::http::state::HttpState;
use super::plan::UpstreamPlan;
use super::write_buffer::WriteBuffer;
use crate::mem::{Buf, Key};
use crate::net::{Stream, StreamEvent};
use crate::ring::{Completion, Driver, Lane};
use crate::service::flows::client_hash;
use crate::service::proxy::{Action, Event, ServerEnd, TcpExchange, is_cut};
use crate::service::{CloseReason, LINGER, Linger};

/// One connection.
#[derive(Debug)]
pub(super) struct SocketRelay {
    link: Key,
    target: LinkTarget,
    /// The upstream, as the plan had it: it stays until the last operation has ended.
    plan: Rc<UpstreamPlan>,
    stream: Stream,
    buffer: WriteBuffer,
    exchange: TcpExchange,
    /// When the present connect began.
    connecting_since: Instant,
    /// It is being cancelled because its time was over.
    connect_expired: bool,
    /// The server sends no more.
    ended: bool,
    /// It was told that nothing more comes.
    is_shut: bool,
    /// What it may still send when its client is gone.
    linger: Linger,
    /// When it last took something, or its client was found gone.
    progress: Instant,
    is_left: bool,
    deadline: Deadline,
    draining: bool,
    closing: bool,
    dirty: bool,
}

impl SocketRelay {
    pub(super) fn new<D: Driver>(context: &Context<D>, link: Key, target: LinkTarget) -> Self {
        let plan = context.plan.upstreams.keep(target.upstream);
        let retries = context.plan.upstreams[target.upstream].retries;
        let mut exchange = TcpExchange::new(retries);
        if let Some(client) = target.client {
            exchange.set_client(client_hash(client));
        }
        let now = context.now();
        Self {
            link,
            target,
            plan,
            stream: Stream::new(Lane::Upstream, None),
            buffer: WriteBuffer::default(),
            exchange,
            connecting_since: now,
            connect_expired: false,
            ended: false,
            is_shut: false,
            linger: Linger::default(),
            progress: now,
            is_left: false,
            deadline: Deadline::default(),
            draining: false,
            closing: false,
            dirty: false,
        }
    }

    /// Connects.
    pub(super) fn start<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.advance(context, key, Event::Accepted);
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
            StreamEvent::Connected => self.connected(context, key),
            StreamEvent::ConnectFailed(errno) => self.refused(context, key, errno),
            StreamEvent::Data(buf) => self.take_data(context, key, buf),
            StreamEvent::End => {
                self.ended = true;
                // An end that TLS has not said may be anybody's.
                let is_cut = self.stream.was_cut();
                let end = if is_cut { ServerEnd::Reset } else { ServerEnd::Finished };
                context.http.links.end_server(self.link, end);
            }
            StreamEvent::Starved => return context.starved.push_back((key, Lane::Upstream)),
            StreamEvent::Sent(bytes) => {
                self.buffer.sent(bytes);
                self.progress = context.now();
            }
            StreamEvent::Broken(_) => return self.advance(context, key, Event::UpstreamReset),
            StreamEvent::Secured
            | StreamEvent::Writable
            | StreamEvent::Readable
            | StreamEvent::Quiet => {}
        }
        self.mark_dirty(context, key);
    }

    fn take_data<D: Driver>(&mut self, context: &mut Context<D>, key: Key, buf: Buf) {
        let bytes = buf.len();
        context.stats().relay.copied.add(bytes as u64);
        if !context.http.links.receive(self.link, buf) && !self.linger.goes_on(bytes) {
            // It does not mind that nobody takes what it sends.
            self.advance(context, key, Event::ClientReset);
        }
    }

    /// The socket has something to do for it.
    pub(super) fn wake<D>(&mut self, context: &mut Context<D>, key: Key) {
        self.mark_dirty(context, key);
    }

    fn mark_dirty<D>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.dirty {
            self.dirty = true;
            context.dirty.push(key);
        }
    }

    /// Sends what the socket has left, and decides whether to read on.
    pub(super) fn transmit<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.dirty = false;
        if self.closing || !self.look_for_client(context, key) || !self.exchange.is_relaying() {
            return;
        }
        let Context { http: HttpState { links, proxy, .. }, pages, reactor, .. } = context;
        let Some(link) = links.get(self.link) else { return };
        if !self.stream.is_blocked()
            && let Some(page) = link.take_for_server()
        {
            self.buffer.slice(&mut self.stream, pages.seal(page));
        }
        self.stream.flush(reactor, key);
        let allowance = proxy.budget().allowance();
        links.note_sending(self.link, self.buffer.waiting(), allowance);
        let Some(link) = links.get(self.link) else { return };
        let (is_at_end, reads) = (link.is_at_end(), link.takes_from_server(allowance));
        if is_at_end && !self.shut(context, key) {
            return;
        }
        if self.ended {
            if self.is_shut {
                self.advance(context, key, Event::Finished);
            }
        } else if reads {
            let once = self.stream.is_congested() || context.http.proxy.budget().is_short();
            self.stream.receive(&mut context.reactor, key, once);
        } else if self.stream.is_receiving() {
            context.stats().relay.pauses.add(1);
            self.stream.pause(&mut context.reactor, key);
        }
    }

    /// Looks whether the client has gone: then there is a time in which the server has to take what
    /// is left. False when the connection is over with it.
    fn look_for_client<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        let link = context.http.links.get(self.link);
        if link.is_some_and(|link| !link.is_client_gone()) {
            return true;
        }
        let now = context.now();
        if !std::mem::replace(&mut self.is_left, true) {
            self.progress = now;
        }
        if !self.exchange.is_relaying() {
            // The connect has its time; and without anything to send it is for nothing.
            let is_idle = context.http.links.get(self.link).is_none_or(|link| link.is_at_end());
            if is_idle {
                self.close(context, key, CloseReason::ClientGone);
            }
            return !is_idle;
        }
        let limit = if self.draining { LINGER } else { self.target.idle_timeout };
        let at = self.progress + limit;
        self.deadline.set(&mut context.reactor, Due::Session(key), at);
        true
    }

    /// All was taken that the client has sent: once it is out, the server is told that this was
    /// all. False when the connection has broken.
    fn shut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) -> bool {
        if self.is_shut || !self.stream.is_drained() {
            return true;
        }
        match self.stream.shutdown_write(&mut context.reactor, key) {
            Ok(done) => self.is_shut = done,
            Err(_) => {
                self.advance(context, key, Event::UpstreamReset);
                return false;
            }
        }
        true
    }

    pub(super) fn feed<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.stream.feed(&mut context.reactor, key);
        self.mark_dirty(context, key);
    }

    /// The time to connect is over, or the time without a client.
    pub(super) fn handle_timeout<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        if !self.deadline.fired(&mut context.reactor, Due::Session(key)) {
            return;
        }
        if self.exchange.is_relaying() {
            self.advance(context, key, Event::Deadline);
        } else {
            // The connect completes as cancelled, or has won the race.
            self.connect_expired = true;
            self.stream.cancel_connect(&mut context.reactor, key);
        }
    }

    /// The server ends: what has no client any more does not go on for long.
    pub(super) fn drain<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.draining = true;
        self.mark_dirty(context, key);
    }

    /// The shutdown's time is over.
    pub(super) fn cut<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        self.close(context, key, CloseReason::ShutdownTimeout);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.closing && self.stream.is_quiet()
    }

    pub(super) fn finish<D: Driver>(self, context: &mut Context<D>, key: Key) {
        context.close_stream(key, self.stream);
        let HttpState { links, proxy, .. } = &mut context.http;
        links.leave_server(self.link, proxy.budget_mut());
        drop(self.plan);
    }

    /// Gives the exchange an event and carries out what it decides, until there is nothing more.
    fn advance<D: Driver>(&mut self, context: &mut Context<D>, key: Key, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let had_server = self.exchange.server().is_some();
            let now = context.now();
            let action = self.exchange.handle(event, context.cluster(self.target.upstream), now);
            self.count_server(had_server);
            context.tell_ejections(self.target.upstream);
            match action {
                Action::Connect { server } => next = self.connect(context, key, server),
                Action::Relay => self.begin(context, key),
                Action::Close(reason) => self.close(context, key, reason),
                Action::Wait => {}
            }
        }
    }

    /// Keeps the gauge of the upstream's connections, as the exchange goes to a server or leaves.
    fn count_server(&self, had_server: bool) {
        let active = &self.plan.stats().active;
        match (had_server, self.exchange.server().is_some()) {
            (false, true) => active.increment(),
            (true, false) => active.decrement(),
            (true, true) | (false, false) => {}
        }
    }

    fn close<D: Driver>(&mut self, context: &mut Context<D>, key: Key, reason: CloseReason) {
        if std::mem::replace(&mut self.closing, true) {
            return;
        }
        let had_server = self.exchange.server().is_some();
        self.exchange.handle_close(context.cluster(self.target.upstream));
        self.count_server(had_server);
        self.deadline.disarm(&mut context.reactor);
        let lost = self.stream.abandon(&mut context.reactor, key);
        if lost || is_cut(reason) {
            self.stream.reset_on_close(&mut context.reactor);
        }
        context.http.links.close_server(self.link, ServerEnd::of(reason));
    }
}
