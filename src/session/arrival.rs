//! The client of a new connection, and whether it is admitted. This is decided before anything else
//! is done for the connection, so that a denied client costs no handshake.

use super::context::Context;
use super::options::ServiceOptions;
use super::plan::ListenerPlan;
use crate::ring::{Driver, Fd, SocketAddress};
use crate::service::CloseReason;

/// What is known of a connection when its session begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrival {
    /// The client, if that was asked: the other end, or whom a PROXY protocol header names.
    pub(super) client: Option<SocketAddress>,
    /// The address that the client connected to, where a header says so.
    pub(super) destination: Option<SocketAddress>,
    /// The upstream of the name that the client asks for.
    pub(super) upstream: Option<usize>,
    /// It counts among the connections of its source.
    pub(super) is_counted: bool,
    /// The name that the client asks for by TLS, where connections are logged.
    pub(super) name: Option<Box<str>>,
}

impl<D: Driver> Context<D> {
    /// The client that has connected to a listener, where that decides something or is logged.
    ///
    /// # Errors
    /// A client that has reset its connection has no address any more. Without one it would be
    /// taken for a client of a Unix socket, to which no list and no limit applies.
    pub(super) fn identify(
        &mut self,
        listener: &ListenerPlan,
        socket: Fd,
    ) -> Result<Arrival, CloseReason> {
        let decides = self.client_decides(listener);
        if !decides && !self.options.access_log {
            return Ok(Arrival::default());
        }
        match self.reactor.driver().peer_address(socket) {
            Ok(client) => Ok(Arrival { client: Some(client), ..Arrival::default() }),
            Err(_) if !decides => Ok(Arrival::default()),
            Err(_) => Err(CloseReason::ClientReset),
        }
    }

    /// Whether anything depends on who a client is.
    pub(super) fn client_decides(&self, listener: &ListenerPlan) -> bool {
        let tells = |upstream: usize| {
            let upstream = &self.plan.upstreams[upstream];
            upstream.cluster.policy.policy.is_hashed() || upstream.send_header.is_some()
        };
        match &listener.options.service {
            ServiceOptions::Http(http) => http.needs_source,
            ServiceOptions::Tcp { upstream } => tells(*upstream),
            ServiceOptions::Sni(sni) => sni.upstreams().any(tells),
            ServiceOptions::Echo
            | ServiceOptions::Messages { .. }
            | ServiceOptions::Frame(_)
            | ServiceOptions::FrameProxy { .. } => false,
        }
    }

    /// Whether a client that is known may stay; if it may, it counts among those of its source.
    pub(super) fn admit(
        &mut self,
        listener: &ListenerPlan,
        arrival: &mut Arrival,
    ) -> Result<(), CloseReason> {
        let Some(http) = listener.options.service.http() else { return Ok(()) };
        let Some(ip) = arrival.client.and_then(|client| client.ip()) else { return Ok(()) };
        let ip = ip.ip().to_canonical();
        if http.trusted_proxies.trusts(Some(ip)) {
            // A trusted proxy is no client: those that it speaks for are checked with each request.
            return Ok(());
        }
        if !http.access.allows(ip) {
            return Err(CloseReason::Denied);
        }
        if let Some(most) = http.source_connections_max {
            if !self.enter_source(listener.number(), ip, most) {
                return Err(CloseReason::TooManyOfSource);
            }
            arrival.is_counted = true;
        }
        Ok(())
    }

    /// A connection that was admitted ends before its session has begun.
    pub(super) fn dismiss(&mut self, listener: &ListenerPlan, arrival: &mut Arrival) {
        if std::mem::take(&mut arrival.is_counted)
            && let Some(ip) = arrival.client.and_then(|client| client.ip())
        {
            self.leave_source(listener.number(), ip.ip().to_canonical());
        }
    }
}
