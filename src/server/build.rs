//! The configuration becomes the layers' own options.

use std::net::ToSocketAddrs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use crate::config::{
    Balance, Config, ListenAddress, Listener, ListenerService, Runtime, SendProxyProtocol,
    ServerAddress, SocketOptions, SpliceMode, Upstream,
};
use crate::net::ListenOptions;
use crate::proto::proxy_protocol::Version;
use crate::ring::uring::{RingFlags, RingOptions};
use crate::ring::{Fd, SocketAddress, StreamOptions};
use crate::service::balance::Policy;
use crate::service::proxy::MeterOptions;
use crate::session::{
    Fleet, ListenerOptions, RelayOptions, ServiceOptions, SessionOptions, UpstreamOptions,
};

/// Operations in flight beyond those of connections: accepts, the mailbox, closes.
const OPERATIONS_SPARE: usize = 16 * 1024;
/// Most operations that one connection has in flight: receive, send, two polls on each side, and
/// their cancels.
const OPERATIONS_PER_CONNECTION: usize = 8;
/// Slots of a worker beyond its listeners' connections: for those that are ending.
const SLOTS_SPARE: u32 = 1024;

/// The upstreams with their names resolved, once for all workers.
pub(super) fn upstreams(config: &Config) -> Result<Vec<UpstreamOptions>, StartError> {
    config.upstreams.iter().map(upstream).collect()
}

fn upstream(upstream: &Upstream) -> Result<UpstreamOptions, StartError> {
    let mut servers = Vec::with_capacity(upstream.servers.len());
    for server in &upstream.servers {
        match server {
            ServerAddress::Ip(address) => servers.push(SocketAddress::inet(*address)),
            ServerAddress::Unix(path) => {
                servers.push(unix(path)?);
            }
            ServerAddress::Name { host, port } => {
                let failed = |source| StartError::Resolve {
                    upstream: upstream.name.clone(),
                    host: host.clone(),
                    source,
                };
                let found = (host.as_str(), *port).to_socket_addrs().map_err(failed)?;
                servers.extend(found.map(SocketAddress::inet));
            }
        }
    }
    Ok(UpstreamOptions {
        name: upstream.name.clone(),
        servers,
        policy: match upstream.balance {
            Balance::RoundRobin => Policy::RoundRobin,
            Balance::LeastConnections => Policy::LeastConnections,
        },
        connect_timeout: upstream.connect_timeout,
        retries: upstream.retries,
        send_header: match upstream.send_proxy_protocol {
            SendProxyProtocol::Off => None,
            SendProxyProtocol::V1 => Some(Version::V1),
            SendProxyProtocol::V2 => Some(Version::V2),
        },
        stream: stream(&upstream.socket),
    })
}

/// How a listener's sockets are set up.
pub(super) fn listen(listener: &Listener) -> ListenOptions {
    ListenOptions {
        stream: stream(&listener.socket),
        backlog: listener.backlog,
        unix_mode: listener.unix_mode,
    }
}

/// The address to bind.
pub(super) fn address(address: &ListenAddress) -> Result<SocketAddress, StartError> {
    match address {
        ListenAddress::Ip(address) => Ok(SocketAddress::inet(*address)),
        ListenAddress::Unix(path) => unix(path),
    }
}

fn unix(path: &std::path::Path) -> Result<SocketAddress, StartError> {
    SocketAddress::unix(path).ok_or_else(|| StartError::Path(path.to_owned()))
}

/// One worker's ring.
pub(super) fn ring(runtime: &Runtime, connections: u32) -> RingOptions {
    RingOptions {
        entries: runtime.ring_entries,
        completions: runtime.completion_entries,
        buffers: u16::try_from(runtime.buffers).unwrap_or(1 << 15),
        buffer_size: runtime.buffer_size,
        datagram_buffers: 0,
        in_flight_max: connections as usize * OPERATIONS_PER_CONNECTION + OPERATIONS_SPARE,
        best_flags: RingFlags::NoSqArray,
    }
}

/// Connections that one worker may have: all of them, because the kernel may give it all.
pub(super) fn connections_max(config: &Config) -> u32 {
    let each = config.listeners.iter().map(|listener| listener.max_connections);
    each.fold(SLOTS_SPARE, u32::saturating_add)
}

/// One worker's sessions, on its own listening sockets.
pub(super) fn sessions(
    config: &Config,
    upstreams: &[UpstreamOptions],
    fleet: &Arc<Fleet>,
    worker: usize,
    sockets: &[Vec<OwnedFd>],
) -> SessionOptions {
    let listeners = config.listeners.iter().zip(sockets);
    SessionOptions {
        listeners: listeners.map(|(listener, own)| listener_options(listener, own)).collect(),
        datagrams: Vec::new(),
        upstreams: upstreams.to_vec(),
        relay: relay(&config.runtime),
        connections_max: connections_max(config),
        access_log: config.log.access,
        fleet: Arc::clone(fleet),
        worker,
        hand_off_ratio: config.runtime.handoff_ratio,
    }
}

fn listener_options(listener: &Listener, sockets: &[OwnedFd]) -> ListenerOptions {
    ListenerOptions {
        name: listener.name.clone(),
        sockets: sockets.iter().map(|socket| Fd(socket.as_raw_fd())).collect(),
        service: match listener.service {
            ListenerService::Echo => ServiceOptions::Echo,
            ListenerService::Tcp { upstream } => ServiceOptions::Tcp { upstream },
        },
        connections_max: u64::from(listener.max_connections),
        idle_timeout: listener.idle_timeout,
        accept_header: listener.accept_proxy_protocol,
        header_timeout: listener.proxy_header_timeout,
    }
}

fn relay(runtime: &Runtime) -> RelayOptions {
    let splice = &runtime.splice;
    RelayOptions {
        meter: MeterOptions {
            enabled: splice.mode == SpliceMode::Auto,
            after: splice.after,
            mean_min: splice.min_read,
        },
        buffer_size: runtime.buffer_size as usize,
        turn_budget: runtime.turn_budget as usize,
        pipe_capacity: splice.pipe_size as usize,
        pipes_idle_max: splice.pipes as usize,
    }
}

fn stream(options: &SocketOptions) -> StreamOptions {
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
    StreamOptions {
        nodelay: options.nodelay,
        keepalive_seconds: options.keepalive.map(seconds),
        receive_buffer: options.receive_buffer,
        send_buffer: options.send_buffer,
    }
}
