//! A connection to a server comes about: which version of HTTP is spoken, and from when on it may
//! carry something.

use nix::errno::Errno;

use super::carried::Many;
use super::{Phase, UpstreamConnection};
use crate::mem::Key;
use crate::net::{NetworkError, Operation};
use crate::ring::Driver;
use crate::service::cluster::ServerProtocol;
use crate::service::cluster::failure::Failure;
use crate::service::proxy::ConnectFailure;
use crate::session::context::Context;
use crate::session::failure::{failure_of, tls_error};
use crate::session::http::state::HttpState;

impl UpstreamConnection {
    pub(super) fn connected<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let protocol = context.http.clusters.get(self.cluster).options.protocol;
        let agreed = self.stream.tls().map(|tls| tls.alpn() == Some(b"h2"));
        let is_http2 = match protocol {
            _ if self.alone.is_some() => false,
            ServerProtocol::Http1 => false,
            ServerProtocol::Http2 if agreed == Some(false) => {
                return self.connect_failed_as(context, key, Errno::EPROTONOSUPPORT);
            }
            ServerProtocol::Http2 => true,
            ServerProtocol::Auto => agreed == Some(true),
        };
        if is_http2 {
            self.greet(context, key);
        } else {
            if protocol == ServerProtocol::Auto && self.alone.is_none() {
                // Another connection to it may have agreed to HTTP/2.
                let HttpState { proxy, clusters, .. } = &mut context.http;
                proxy.connection_shares((self.cluster, self.server), 1, clusters);
            }
            self.stands(context, key, Phase::Idle);
        }
    }

    /// The connection stands: it may carry something.
    pub(super) fn stands<D: Driver>(&mut self, context: &mut Context<D>, key: Key, phase: Phase) {
        let now = context.now();
        if let Phase::Connecting(since) | Phase::Greeting(since) = self.phase {
            self.connect = now.saturating_duration_since(since);
            context.histograms.connect.record(self.connect);
        }
        self.deadline.clear();
        context.upstream_stats(self.cluster).connected.add(1);
        self.phase = phase;
        self.receive(context, key);
        let HttpState { proxy, clusters, .. } = &mut context.http;
        let place = (self.cluster, self.server);
        match self.alone {
            Some(exchange) => {
                proxy.connection_opened_alone(place, (key, exchange), clusters, now);
            }
            None => proxy.connection_opened(place, key, clusters, now),
        }
    }

    pub(super) fn connect_failed_as<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        key: Key,
        errno: Errno,
    ) {
        self.connect_failed(context, Operation::Connect, errno);
        self.give_up(context, key);
    }

    pub(super) fn connect_failed<D: Driver>(
        &mut self,
        context: &mut Context<D>,
        op: Operation,
        source: Errno,
    ) {
        let peer = context.plan.upstreams[self.cluster].servers[self.server];
        let error = NetworkError { op, peer, source };
        let kind = failure_of(source, &peer);
        context.upstream_stats(self.cluster).failed[kind as usize].add(1);
        let now = context.now();
        if let Some(others) = context.notices.connect.due(now) {
            let upstream = &context.plan.upstreams[self.cluster].name;
            let tls = tls_error(&self.stream);
            tracing::warn!(%upstream, others, "{error}{tls}");
        }
        let failure = match kind {
            ConnectFailure::Refused => Failure::ConnectRefused,
            ConnectFailure::Unreachable => Failure::ConnectUnreachable,
            ConnectFailure::TimedOut => Failure::ConnectTimeout,
            ConnectFailure::Tls => Failure::ConnectTls,
            ConnectFailure::Resources => Failure::Resources,
            ConnectFailure::NoAddress => Failure::ConnectNoAddress,
            ConnectFailure::Other => Failure::ConnectOther,
        };
        self.phase = Phase::Closing;
        self.tell_failed(context, failure);
    }

    /// The connection speaks HTTP/2 from now on: both sides say what they take.
    pub(super) fn greet<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let Phase::Connecting(since) = self.phase else {
            // Its time was over before it stood, and there is none for the greeting.
            return self.connect_failed_as(context, key, Errno::ETIMEDOUT);
        };
        self.many = Some(Box::new(Many::new()));
        self.phase = Phase::Greeting(since);
        self.mark_dirty(context, key);
    }

    /// Waits for what the server takes. One that speaks something else has failed to connect.
    pub(super) fn await_greeting<D: Driver>(&mut self, context: &mut Context<D>, key: Key) {
        let now = context.now();
        let Some(many) = &mut self.many else { return };
        let HttpState { workspace, spare_answers, .. } = &mut context.http;
        // One that takes no request yet may say more before long.
        while !many.wire.is_greeted() || many.wire.capacity() == 0 {
            match many.wire.poll(now, &many.limits, workspace, spare_answers) {
                Ok(Some(_)) => {}
                Ok(None) if many.wire.has_ended() => {
                    return self.connect_failed_as(context, key, Errno::ECONNRESET);
                }
                Ok(None) => return,
                Err(violation) => {
                    self.tell_violation(context, violation);
                    return self.connect_failed_as(context, key, Errno::EPROTO);
                }
            }
        }
        let HttpState { proxy, clusters, .. } = &mut context.http;
        let most = clusters.get(self.cluster).options.streams_max;
        many.capacity = many.wire.capacity().min(most);
        proxy.connection_shares((self.cluster, self.server), many.capacity, clusters);
        self.stands(context, key, Phase::Shared);
        self.mark_dirty(context, key);
    }
}
