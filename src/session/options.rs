//! How a worker's sessions are set up. Made by `server` from the configuration.

use std::sync::Arc;
use std::time::Duration;

use super::Fleet;
use crate::proto::proxy_protocol::Version;
use crate::ring::{Fd, SocketAddress, StreamOptions};
use crate::service::balance::Policy;
use crate::service::proxy::MeterOptions;

/// All of one worker's setting.
#[derive(Debug)]
pub struct SessionOptions {
    /// What is listened on.
    pub listeners: Vec<ListenerOptions>,
    /// Where datagrams are received.
    pub datagrams: Vec<DatagramOptions>,
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
}

/// A UDP listener.
#[derive(Debug, Clone)]
pub struct DatagramOptions {
    /// Its name, for logs.
    pub name: String,
    /// This worker's sockets, one per address, as [`crate::net::bind_datagrams`] makes them.
    pub sockets: Vec<Fd>,
    /// What becomes of its datagrams.
    pub service: DatagramService,
    /// Whether datagrams are handed to the kernel, and taken from it, several at a time (UDP GSO
    /// and GRO).
    pub offload: bool,
}

/// What becomes of a UDP listener's datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramService {
    /// Each goes back.
    Echo,
    /// Each goes to a server of an upstream, and what the server answers goes back.
    Proxy {
        /// The upstream's number.
        upstream: usize,
        /// Flows at most, over all workers.
        flows_max: u64,
        /// A flow ends when no datagram came for so long.
        flow_timeout: Duration,
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
    /// Bytes that one direction may splice in one turn.
    pub turn_budget: usize,
    /// Bytes in a pipe.
    pub pipe_capacity: usize,
    /// Empty pipes that are kept open.
    pub pipes_idle_max: usize,
}
