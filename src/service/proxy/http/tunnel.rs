//! WebSockets: their handshakes in either version of HTTP, and the tunnels that follow. What a
//! client asks for by HTTP/1.1's `upgrade` (RFC 6455) or by HTTP/2's extended CONNECT (RFC 8441) is
//! asked of servers in the version that their connections speak.
//!
//! ```text
//!   Asked ──a server agrees──> Agreed ──the client was told──> Open
//! ```
//!
//! Where both sides speak HTTP/1.1, and frames are not inspected, their connections are joined
//! instead, and the exchange is over: [`HttpProxy::switched`]. Else the exchange goes on: its
//! bodies are the bytes of the tunnel, each of which ends on its own. It is tried no more, all that
//! a server is judged by is its handshake, and the only time that runs is that in which nothing
//! moves either way.

use std::time::{Duration, Instant};

use super::exchange::{Exchange, State};
use super::inspect::{InspectRules, Inspection};
use super::{HttpProxy, ProxyAction, Surroundings};
use crate::mem::Key;
use crate::proto::http::{Known, RequestHead, ResponseHead, Version};
use crate::proto::websocket::handshake;
use crate::service::cluster::failure::Failure;
use crate::service::cluster::pool::CloseCause;
use crate::service::cluster::servers::{Ended, ServerOutcome};
use crate::service::cluster::{Cluster, Clusters, ServerProtocol};
use crate::service::http::body::Body;

/// The protocol's name in `upgrade` and in `:protocol`.
const WEBSOCKET: &[u8] = b"websocket";

/// What a request for a WebSocket has beside its head.
#[derive(Debug)]
pub struct WebSocket {
    /// The key of the handshake by HTTP/1.1: the client's, or one that was made for it.
    key: Vec<u8>,
    /// Whether the request can be one of HTTP/2.
    is_valid: bool,
    /// How long nothing may move either way.
    idle: Duration,
    stage: Stage,
    /// When something moved last.
    progress: Option<Instant>,
    /// The present try has a connection of HTTP/1.1 of its own.
    is_alone: bool,
    /// Its frames are looked at.
    pub(super) inspection: Option<Box<Inspection>>,
    /// It was closed: nothing that moves gives it more time.
    is_closing: bool,
}

/// How far the handshake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No server has agreed.
    Asked,
    /// One has.
    Agreed,
    /// The client knows it: bytes flow.
    Open,
}

/// What the head of an answer means for a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handshake {
    /// It is an ordinary answer, or joins two connections of HTTP/1.1.
    Other,
    /// The tunnel opens.
    Agreed,
    /// The server agrees to something that was not asked for.
    Wrong,
}

impl WebSocket {
    /// What a request asks for, unless that is something else. One of HTTP/2 has no key: `random`
    /// makes it. `idle` is how long nothing may move in the tunnel.
    #[must_use]
    pub fn of(
        head: &mut RequestHead,
        (upgrade, has_body): (bool, bool),
        random: impl FnOnce() -> [u8; 16],
        idle: Duration,
    ) -> Option<Box<Self>> {
        if !handshake::asks(head, upgrade, upgrade) {
            return None;
        }
        let (key, is_valid) = if head.version == Version::Http2 {
            // It means nothing there (RFC 8441, section 5).
            head.fields.remove(handshake::KEY);
            (handshake::key(random()).into_bytes(), true)
        } else {
            let key = handshake::only(&head.fields, handshake::KEY).unwrap_or_default().to_vec();
            (key, handshake::check(head).is_ok() && !has_body)
        };
        Some(Box::new(Self {
            key,
            is_valid,
            idle,
            stage: Stage::Asked,
            progress: None,
            is_alone: false,
            inspection: None,
            is_closing: false,
        }))
    }

    /// Its frames are to be looked at, by these rules.
    pub fn inspect(&mut self, rules: InspectRules, random: u64, now: Instant) {
        self.inspection = Some(Inspection::new(rules, random, now));
    }

    /// It was closed, and both sides have so much time to end. False: that was so before.
    pub(super) const fn close_within(&mut self, timeout: Duration, now: Instant) -> bool {
        if self.is_closing {
            return false;
        }
        (self.idle, self.progress, self.is_closing) = (timeout, Some(now), true);
        true
    }

    /// Whether the request can be one of HTTP/2: a client of HTTP/1.1 may have sent anything.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.is_valid
    }

    /// When the tunnel has been idle for too long.
    fn idle_at(&self) -> Option<Instant> {
        self.progress.and_then(|at| at.checked_add(self.idle))
    }

    /// When it has to be looked at.
    fn due(&self) -> Option<Instant> {
        let inspection = self.inspection.as_ref().and_then(|inspection| inspection.due());
        [self.idle_at(), inspection].into_iter().flatten().min()
    }
}

impl Exchange {
    /// The key of a handshake by HTTP/1.1 whose request's body is a tunnel: that of a client of
    /// HTTP/2.
    #[must_use]
    pub fn tunnel_key(&self) -> Option<&str> {
        let asked = self.request.websocket.as_ref().filter(|_| self.is_of_http2())?;
        std::str::from_utf8(&asked.key).ok()
    }

    /// Whether a server has agreed to a tunnel that goes through this exchange.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.request.websocket.as_ref().is_some_and(|asked| asked.stage != Stage::Asked)
    }

    /// Whether its client knows that the tunnel is open: what follows is no failure of the request.
    pub(super) fn is_open(&self) -> bool {
        self.is_tunnel() && !self.holds_body()
    }

    /// Whether a server has agreed to a tunnel of which the client was not told.
    pub(super) fn has_agreed(&self) -> bool {
        self.request.websocket.as_ref().is_some_and(|asked| asked.stage == Stage::Agreed)
    }

    /// Whether its body, or the end of it, waits until the handshake is done.
    #[must_use]
    pub fn holds_body(&self) -> bool {
        self.request.websocket.as_ref().is_some_and(|asked| asked.stage != Stage::Open)
    }

    /// Whether nothing more is to be done for its client, once all that waits is taken.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.answer.body.is_done() && (!self.is_tunnel() || self.tries.state == State::Done)
    }

    pub(super) fn is_of_http2(&self) -> bool {
        self.request.head.version == Version::Http2
    }

    /// What the head of an answer means; one that opens a tunnel becomes what the client has to be
    /// told.
    pub(super) fn shake_hands(&self, head: &mut ResponseHead) -> Handshake {
        let Some(asked) = &self.request.websocket else { return Handshake::Other };
        let to_http2 = self.is_of_http2();
        match (head.version, head.status) {
            (Version::Http2, 200..=299) => {}
            // It would be taken for a tunnel.
            (Version::Http10 | Version::Http11, 200..=299) if to_http2 => return Handshake::Wrong,
            (Version::Http10 | Version::Http11, 101) => {
                let is_named = |one: &[u8]| one.eq_ignore_ascii_case(WEBSOCKET);
                let offered = &self.request.head.fields;
                let has_others = || !to_http2 && !offered.list(Known::Upgrade).all(is_named);
                if !head.fields.list(Known::Upgrade).any(is_named) && has_others() {
                    return Handshake::Other;
                }
                let accept = handshake::only(&head.fields, handshake::ACCEPT);
                if !head.fields.list(Known::Upgrade).all(is_named)
                    || !head.fields.has(Known::Upgrade)
                    || accept != Some(&handshake::accept(&asked.key))
                {
                    return Handshake::Wrong;
                }
                if !to_http2 && asked.inspection.is_none() {
                    return Handshake::Other;
                }
            }
            _ => return Handshake::Other,
        }
        head.fields.remove_known(Known::Upgrade);
        head.fields.remove(handshake::ACCEPT);
        head.status = if to_http2 { 200 } else { 101 };
        if !to_http2 {
            head.fields.push_known(Known::Upgrade, WEBSOCKET);
            head.fields.push(handshake::ACCEPT, &handshake::accept(&asked.key));
        }
        Handshake::Agreed
    }

    /// A server has agreed: that is all it is judged by, and no time of the request runs any more.
    pub(super) fn agree(&mut self, key: Key, server: usize, around: &mut Surroundings<'_>) {
        let now = around.now;
        let (latency, status) = (self.record.upstream.first_byte, 101);
        let outcome = ServerOutcome { ended: Ended::Status(status), latency };
        around.clusters.get(self.cluster).servers.judge(server, outcome, now);
        self.until = None;
        if let Some(asked) = &mut self.request.websocket {
            (asked.stage, asked.progress) = (Stage::Agreed, Some(now));
            if let (Some(inspection), Some(head)) = (&mut asked.inspection, &self.answer.head) {
                inspection.agree(&head.fields, now);
            }
        }
        around.actions.extend(self.tunnel_timer(key));
    }

    /// When the tunnel has to be looked at.
    pub(super) fn tunnel_timer(&self, exchange: Key) -> Option<ProxyAction> {
        let at = self.request.websocket.as_ref()?.due()?;
        Some(ProxyAction::Arm { exchange, at })
    }

    /// Something has moved.
    pub(super) fn note_moved(&mut self, now: Instant) {
        if let Some(asked) = &mut self.request.websocket {
            asked.progress = asked.progress.map(|at| if asked.is_closing { at } else { now });
        }
    }

    /// The time of a tunnel may be over.
    pub(super) fn tunnel_due(&mut self, key: Key, around: &mut Surroundings<'_>) {
        let at = self.request.websocket.as_ref().and_then(|asked| asked.idle_at());
        if at.is_some_and(|at| at <= around.now) {
            return self.fail(key, Failure::IdleTimeout, around);
        }
        self.keep_alive(key, around);
        around.actions.extend(self.tunnel_timer(key));
    }

    /// A try is over: what a tunnel came to says nothing of its server.
    pub(super) fn leave_server(
        &self,
        server: usize,
        outcome: ServerOutcome,
        around: &mut Surroundings<'_>,
    ) {
        let servers = &mut around.clusters.get(self.cluster).servers;
        if self.is_tunnel() {
            servers.leave(server);
        } else {
            servers.done(server, outcome, around.now);
        }
    }

    /// A try begins on a connection that others may use, too.
    pub(super) fn join_others(&mut self) {
        if let Some(asked) = &mut self.request.websocket {
            asked.is_alone = false;
        }
    }

    /// The connection of HTTP/2 knows no WebSocket: where the servers may speak HTTP/1.1 as well,
    /// one of that is made for this exchange alone.
    ///
    /// # Errors
    /// It has failed: there is none, or no place for one.
    pub(super) fn go_alone(
        &mut self,
        exchange: Key,
        server: usize,
        around: &mut Surroundings<'_>,
    ) -> Result<(), Failure> {
        let number = self.cluster;
        let cluster = around.clusters.get(number);
        let Some(asked) = &mut self.request.websocket else { return Err(Failure::NoWebSocket) };
        if cluster.options.protocol != ServerProtocol::Auto || asked.is_alone {
            return Err(Failure::NoWebSocket);
        }
        asked.is_alone = true;
        let (may, idle) = cluster.may_open_alone(server);
        around.actions.extend(idle.map(|connection| ProxyAction::Close { connection }));
        if !may {
            return Err(Failure::QueueFull);
        }
        self.tries.state = State::Waiting { server };
        around.actions.push(ProxyAction::ConnectAlone { cluster: number, server, exchange });
        Ok(())
    }

    /// Whether it waits for a connection of its own to this server.
    fn waits_alone(&self, server: usize) -> bool {
        let is_alone = self.request.websocket.as_ref().is_some_and(|asked| asked.is_alone);
        is_alone && self.tries.state == State::Waiting { server }
    }
}

impl HttpProxy {
    /// A connection of HTTP/1.1 stands that was made for one exchange.
    pub fn connection_opened_alone(
        &mut self,
        (cluster, server): (usize, usize),
        (connection, exchange): (Key, Key),
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some(Cluster { pools, servers, .. }) = clusters.find_mut(cluster) else {
            return self.actions.push(ProxyAction::Close { connection });
        };
        pools.opened_alone(server, connection, now);
        servers.connected(server, now);
        match self.exchanges.get_mut(exchange).filter(|one| one.waits_alone(server)) {
            Some(one) => {
                one.tries.state = State::Linked { connection, server };
                one.record.upstream.queued = Some(one.tried_for(now));
                self.actions.push(ProxyAction::Send { connection, exchange });
            }
            None => {
                pools.closed(server, connection, CloseCause::Stale);
                self.actions.push(ProxyAction::Close { connection });
            }
        }
        self.after_alone(cluster, clusters, now);
    }

    /// It could not be made.
    pub fn connection_failed_alone(
        &mut self,
        (cluster, server): (usize, usize),
        exchange: Key,
        failure: Failure,
        clusters: &mut Clusters,
        now: Instant,
    ) {
        let Some(one) = clusters.find_mut(cluster) else { return };
        one.pools.open_failed(server);
        if let Some((one, mut around)) = self.split(exchange, clusters, now)
            && one.waits_alone(server)
        {
            one.fail_try(exchange, server, failure, &mut around);
        }
        self.after_alone(cluster, clusters, now);
    }

    /// The client was told that the tunnel is open: its bytes are the request's body from now on.
    pub fn tunnel_opened(&mut self, key: Key, now: Instant) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if !exchange.is_of_http2() {
            // By HTTP/1.1 the request had none.
            exchange.request.body = Body::default();
        }
        if let Some(asked) = &mut exchange.request.websocket {
            asked.stage = Stage::Open;
        }
        exchange.wake_server(key, &mut self.actions);
        let cluster = exchange.cluster;
        self.watched[cluster].count(&mut self.counted, cluster).answered += 1;
        self.check_inspected(key, now);
    }

    /// The server sends no more into a tunnel; the client may. [`HttpProxy::answer_ended`] follows
    /// when it does not.
    pub fn tunnel_ended(&mut self, key: Key) {
        let Some(exchange) = self.exchanges.get_mut(key) else { return };
        if !exchange.answer.body.has_ended() {
            exchange.answer.body.end(None);
            exchange.wake_client(&mut self.actions);
        }
    }
}
