//! How a worker's sessions are set up. Made by `server` from the configuration.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Fleet;
use crate::proto::proxy_protocol::Version;
use crate::ring::{Fd, SocketAddress, StreamOptions};
use crate::service::balance::Policy;
use crate::service::handler::{Handler, NoHandler};
use crate::service::proxy::MeterOptions;

/// All of one worker's setting.
#[derive(Debug)]
pub struct SessionOptions {
    /// What is listened on.
    pub listeners: Vec<ListenerOptions>,
    /// Where connections go.
    pub upstreams: Vec<UpstreamOptions>,
    /// How bytes are moved.
    pub relay: RelayOptions,
    /// Connections that this worker may have at most.
    pub connections_max: u32,
    /// Whether every connection is logged with a line.
    pub access_log: bool,
    /// All workers, and which one this is.
    pub fleet: Arc<Fleet>,
    /// This worker's place in the fleet.
    pub worker: usize,
    /// Times the mean load above which new connections are handed over; `None`: never.
    pub hand_off_ratio: Option<f64>,
    /// Makes what answers the requests that are not built in; `None`: nothing does.
    pub handler: Option<HandlerFactory>,
}

type MakeSharedHandler = dyn Fn(usize) -> Box<dyn Handler> + Send + Sync;

/// Makes each worker's [`Handler`], from the worker's number and on its thread.
#[derive(Clone)]
pub struct HandlerFactory(Arc<MakeSharedHandler>);

impl HandlerFactory {
    /// A factory that calls `make`.
    pub fn new(make: impl Fn(usize) -> Box<dyn Handler> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// The handler of one worker.
    #[must_use]
    pub fn make(&self, worker: usize) -> Box<dyn Handler> {
        (self.0)(worker)
    }

    /// The same, where there may be no factory.
    pub(super) fn make_or_none(factory: Option<&Self>, worker: usize) -> Box<dyn Handler> {
        factory.map_or_else(|| Box::new(NoHandler) as Box<_>, |factory| factory.make(worker))
    }
}

impl fmt::Debug for HandlerFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerFactory")
    }
}

/// A listener.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// Its name, for logs.
    pub name: String,
    /// This worker's listening sockets, one per address.
    pub sockets: Vec<Fd>,
    /// What its connections are for.
    pub service: ServiceOptions,
    /// Connections at most, over all workers.
    pub connections_max: u64,
    /// A connection on which no byte moves for so long is closed.
    pub idle_timeout: Duration,
    /// Whether connections must begin with a PROXY protocol header.
    pub accept_header: bool,
    /// How long that header may take.
    pub header_timeout: Duration,
}

/// What a listener's connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceOptions {
    /// Every byte goes back.
    Echo,
    /// Every byte goes to a server of an upstream, and back.
    Tcp {
        /// The upstream's number.
        upstream: usize,
    },
    /// Every line is a message and is answered by one.
    Messages {
        /// Bytes of a line at most.
        line_limit: u32,
    },
}

/// An upstream.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    /// Its name, for logs.
    pub name: String,
    /// Its servers; at least one.
    pub servers: Vec<SocketAddress>,
    /// How one of them is chosen.
    pub policy: Policy,
    /// How long one connect may take.
    pub connect_timeout: Duration,
    /// Further servers that are tried when a connect fails.
    pub retries: u32,
    /// The PROXY protocol header that servers are sent.
    pub send_header: Option<Version>,
    /// Options of the connections to it.
    pub stream: StreamOptions,
}

/// How bytes are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayOptions {
    /// When a direction is spliced.
    pub meter: MeterOptions,
    /// Bytes in a receive buffer.
    pub buffer_size: usize,
    /// Bytes that one direction may splice in one turn, or that the messages of one connection and
    /// their answers may have.
    pub turn_budget: usize,
    /// Bytes in a pipe.
    pub pipe_capacity: usize,
    /// Empty pipes that are kept open.
    pub pipes_idle_max: usize,
}
