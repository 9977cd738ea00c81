//! The configuration becomes the layers' own options.

pub(super) mod cluster;
mod files;
pub(super) mod http;
pub(super) mod tls;
mod websocket;

use std::net::ToSocketAddrs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use self::http::HttpBuilder;
use super::StartError;
use crate::config::{
    self, Config, ListenAddress, Listener, ListenerService, Runtime, SendProxyProtocol,
    ServerAddress, SocketOptions, SpliceMode, UdpOptions, Upstream,
};
use crate::handler::{HttpHandlers, WebSocketHandlers};
use crate::net::{DatagramBindOptions, ListenOptions, Steering};
use crate::proto::frame::{ClientOptions, Features, ServerOptions};
use crate::proto::proxy_protocol::Version;
use crate::ring::uring::{RingFlags, RingOptions};
use crate::ring::{ConnectTarget, Fd, SocketAddress, StreamOptions};
use crate::service::cluster::pool::PoolOptions;
use crate::service::frame::FrameService;
use crate::service::proxy::{CREDIT_FIRST, ExchangerOptions, MeterOptions};
use crate::service::retry::RetryPolicy;
use crate::session::topic_set::TopicSet;
use crate::session::{
    DatagramOptions, DatagramService, DescriptorLimits, Folder, FrameOptions, HandlerFactory,
    ListenerOptions, RelayOptions, ServiceOptions, SessionOptions, SniOptions, TlsOptions,
    UpstreamOptions, WorkerSettings, Workers,
};

/// Operations in flight beyond those of connections: accepts, the mailbox, closes.
const OPERATIONS_SPARE: usize = 16 * 1024;
/// Most operations that one connection has in flight: receive, send, two polls on each side, and
/// their cancels.
const OPERATIONS_PER_CONNECTION: usize = 8;
/// Datagram buffers of a worker: what one turn may bring. Only those in use take memory.
const DATAGRAM_BUFFERS: u16 = 256;
/// Of the exchanges that a connection to a server may carry, so many parts: when all carry one
/// part, another connection is opened as well.
const SPREAD: u32 = 2;
/// Slots of a worker beyond its listeners' connections: for those that are ending.
const SLOTS_SPARE: u32 = 1024;

/// The listeners that accept connections, in the order of the file.
pub(super) fn streams(config: &Config) -> impl Iterator<Item = &Listener> + Clone {
    config.listeners.iter().filter(|listener| !listener.is_udp())
}

/// What each listener of connections does, once for all workers.
pub(super) fn services(
    config: &Config,
    builder: &mut HttpBuilder<'_>,
) -> Result<Vec<ServiceOptions>, StartError> {
    streams(config).map(|listener| service(listener, config, builder)).collect()
}

fn service(
    listener: &Listener,
    config: &Config,
    builder: &mut HttpBuilder<'_>,
) -> Result<ServiceOptions, StartError> {
    let numbers = builder.upstreams;
    Ok(match &listener.service {
        ListenerService::Http(http) => {
            ServiceOptions::Http(Arc::new(builder.listener(listener, http, config)?))
        }
        // A listener of datagrams is none of connections.
        ListenerService::Echo | ListenerService::Udp { .. } | ListenerService::UdpEcho { .. } => {
            ServiceOptions::Echo
        }
        ListenerService::Tcp { upstream } => ServiceOptions::Tcp { upstream: numbers[*upstream] },
        ListenerService::Frame { upstream: Some(upstream), options } => {
            let upstream = numbers[*upstream];
            ServiceOptions::FrameProxy { upstream, server: frame_server(options) }
        }
        ListenerService::Frame { upstream: None, options } => {
            let topics = options.topics.map(|topics| builder.topics.set(&config.topics[topics]));
            ServiceOptions::Frame(Arc::new(frame(listener, options, topics)?))
        }
        ListenerService::Messages(options) => {
            ServiceOptions::Messages { line_limit: options.line_limit }
        }
        ListenerService::Sni { upstream, options } => {
            ServiceOptions::Sni(Arc::new(sni(*upstream, options, numbers)))
        }
    })
}

fn sni(other: Option<usize>, options: &config::SniOptions, numbers: &[usize]) -> SniOptions {
    let names = options.names.iter();
    let names = names.map(|(name, to)| (name.trim_start_matches('*').to_owned(), numbers[*to]));
    SniOptions {
        names: names.collect(),
        other: other.map(|other| numbers[other]),
        hello_timeout: options.hello_timeout,
        hellos_max: options.hellos_max as usize,
    }
}

fn frame_server(options: &config::FrameOptions) -> ServerOptions {
    let config::FrameOptions { window, max_payload, .. } = *options;
    ServerOptions { window, max_payload, features: Features::ALL }
}

/// Opens a folder of files.
pub(super) fn open_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(path, flags, Mode::empty())
}

/// Opens a folder of files that a listener serves.
pub(super) fn folder(listener: &Listener, path: &Path) -> Result<Folder, StartError> {
    open_folder(path).map(Folder::new).map_err(|source| {
        let listener = listener.name.clone();
        StartError::Files { listener, path: path.to_owned(), source }
    })
}

/// The framed protocol's own service, with its folder open.
fn frame(
    listener: &Listener,
    options: &config::FrameOptions,
    topics: Option<Arc<TopicSet>>,
) -> Result<FrameOptions, StartError> {
    let values = options.values.iter();
    Ok(FrameOptions {
        service: FrameService {
            server: frame_server(options),
            values: values.map(|(name, value)| (name.clone(), value.clone().into())).collect(),
            has_files: options.files.is_some(),
            publishes: topics.is_some(),
        },
        root: options.files.as_deref().map(|path| folder(listener, path)).transpose()?,
        topics,
    })
}

/// The addresses of an upstream's servers, and for each which server of the file it is.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) servers: Vec<SocketAddress>,
    pub(super) places: Vec<usize>,
}

/// Looks the names of an upstream's servers up.
///
/// # Errors
/// A name that has no address, and an address that none of `allowed` covers, if there are any.
pub(super) fn resolve(
    upstream: &Upstream,
    allowed: &[ConnectTarget],
) -> Result<Resolved, StartError> {
    let mut servers = Vec::with_capacity(upstream.servers.len());
    let mut places = Vec::with_capacity(upstream.servers.len());
    for (place, server) in upstream.servers.iter().enumerate() {
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
        places.resize(servers.len(), place);
    }
    let is_allowed =
        |server: &SocketAddress| allowed.is_empty() || allowed.iter().any(|one| one.covers(server));
    if let Some(server) = servers.iter().find(|server| !is_allowed(server)) {
        let server = Box::new(*server);
        return Err(StartError::Elsewhere { upstream: upstream.name.clone(), server });
    }
    Ok(Resolved { servers, places })
}

/// The options of an upstream.
pub(super) fn upstream(
    upstream: &Upstream,
    Resolved { servers, places }: Resolved,
    workers: usize,
) -> UpstreamOptions {
    UpstreamOptions {
        name: upstream.name.clone(),
        cluster: cluster::cluster(upstream, &servers, &places, workers),
        servers,
        connect_timeout: upstream.connect_timeout,
        retries: upstream.retries,
        send_header: match upstream.send_proxy_protocol {
            SendProxyProtocol::Off => None,
            SendProxyProtocol::V1 => Some(Version::V1),
            SendProxyProtocol::V2 => Some(Version::V2),
        },
        stream: stream(&upstream.socket),
        exchanges: None,
        tls: None,
    }
}

/// How exchanges share connections. Used where a listener is a frame proxy.
pub(super) fn exchanges(upstream: &Upstream) -> ExchangerOptions {
    let (pool, exchange) = (&upstream.pool, &upstream.exchange);
    let streams = u32::from(pool.streams_max);
    ExchangerOptions {
        client: ClientOptions {
            window: pool.streams_max,
            features: Features::ALL,
            credit: CREDIT_FIRST,
            ..ClientOptions::default()
        },
        pool: PoolOptions {
            min_idle: pool.min_idle,
            capacity: streams,
            spread_at: streams.div_ceil(SPREAD),
            idle_timeout: pool.idle_timeout,
            max_age: pool.max_age,
            queue_max: pool.queue as usize,
            queue_timeout: pool.queue_timeout,
        },
        retry: RetryPolicy {
            tries_max: upstream.retries + 1,
            backoff: exchange.backoff,
            backoff_max: exchange.backoff_max,
            deadline: exchange.timeout,
        },
        budget: exchange.budget,
    }
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
pub(super) fn ring(config: &Config) -> RingOptions {
    let (runtime, connections) = (&config.runtime, connections_max(config));
    RingOptions {
        entries: runtime.ring_entries,
        completions: runtime.completion_entries,
        buffers: u16::try_from(runtime.buffers).unwrap_or(1 << 15),
        buffer_size: runtime.buffer_size,
        // A reload may bring listeners of datagrams.
        datagram_buffers: DATAGRAM_BUFFERS,
        in_flight_max: in_flight_max(connections),
        zero_copy_send: runtime.zero_copy_send,
        best_flags: RingFlags::NoSqArray,
    }
}

/// Operations in flight that so many connections may need.
const fn in_flight_max(connections: u32) -> usize {
    connections as usize * OPERATIONS_PER_CONNECTION + OPERATIONS_SPARE
}

/// Connections that one worker may have: all of them, because the kernel may give it all.
pub(super) fn connections_max(config: &Config) -> u32 {
    let each = streams(config).map(|listener| listener.max_connections);
    // Those of an earlier plan may still be there.
    let pooled = config.upstreams.iter().map(|upstream| upstream.pool.max.saturating_mul(2));
    let flows = config.listeners.iter().filter_map(|listener| listener.service.max_flows());
    each.chain(pooled).chain(flows).fold(SLOTS_SPARE, u32::saturating_add)
}

/// What a reload may change of a worker itself.
pub(super) fn settings(config: &Config) -> WorkerSettings {
    let runtime = &config.runtime;
    WorkerSettings {
        relay: relay(runtime),
        compression_memory: runtime.compression_memory,
        waiting_memory: runtime.waiting_memory,
        connections_max: connections_max(config),
        in_flight_max: Some(in_flight_max(connections_max(config))),
        access_log: config.log.access,
        hand_off_ratio: runtime.handoff_ratio,
        shutdown_timeout: runtime.shutdown_timeout,
    }
}

/// What the program adds.
#[derive(Debug, Default)]
pub(super) struct OwnHandlers {
    pub(super) framed: HandlerFactory,
    pub(super) http: HttpHandlers,
    pub(super) websocket: WebSocketHandlers,
}

/// What one worker is set up with beside its plan.
pub(super) fn sessions(
    config: &Config,
    (workers, worker): (&Arc<Workers>, usize),
    (handlers, descriptors): (&OwnHandlers, DescriptorLimits),
    seed: u64,
) -> SessionOptions {
    let settings = settings(config);
    let WorkerSettings { relay, compression_memory, connections_max, access_log, .. } = settings;
    SessionOptions {
        listeners: Vec::new(),
        datagrams: Vec::new(),
        upstreams: Vec::new(),
        relay,
        compression_memory,
        waiting_memory: settings.waiting_memory,
        websocket_takeover_memory: config.runtime.websocket_takeover_memory,
        connections_max,
        access_log,
        handler: handlers.framed.clone(),
        http_handlers: handlers.http.clone(),
        websocket_handlers: handlers.websocket.clone(),
        workers: Arc::clone(workers),
        worker,
        hand_off_ratio: config.runtime.handoff_ratio,
        descriptors,
        seed,
    }
}

/// How a listener's datagram sockets are bound.
pub(super) fn bind_datagrams(listener: &Listener) -> DatagramBindOptions {
    let options = udp_options(listener);
    DatagramBindOptions {
        receive_buffer: listener.socket.receive_buffer,
        send_buffer: listener.socket.send_buffer,
        offload: options.offload,
        steering: match options.steering {
            config::Steering::Flow => Steering::Flow,
            config::Steering::Cpu => Steering::Cpu,
        },
    }
}

fn udp_options(listener: &Listener) -> UdpOptions {
    match &listener.service {
        ListenerService::Udp { options, .. } | ListenerService::UdpEcho { options } => *options,
        ListenerService::Tcp { .. }
        | ListenerService::Echo
        | ListenerService::Frame { .. }
        | ListenerService::Messages { .. }
        | ListenerService::Sni { .. }
        | ListenerService::Http(_) => UdpOptions::default(),
    }
}

/// What a listener does with datagrams, if it takes any.
pub(super) fn datagram_options(
    listener: &Listener,
    sockets: &[Fd],
    numbers: &[usize],
) -> Option<DatagramOptions> {
    let service = match &listener.service {
        ListenerService::UdpEcho { .. } => DatagramService::Echo,
        ListenerService::Udp { upstream, flows, .. } => DatagramService::Proxy {
            upstream: numbers[*upstream],
            flows_max: u64::from(flows.max_flows),
            flow_timeout: flows.timeout,
        },
        ListenerService::Tcp { .. }
        | ListenerService::Echo
        | ListenerService::Frame { .. }
        | ListenerService::Messages { .. }
        | ListenerService::Sni { .. }
        | ListenerService::Http(_) => return None,
    };
    Some(DatagramOptions {
        name: listener.name.clone(),
        sockets: sockets.to_vec(),
        service,
        offload: udp_options(listener).offload,
    })
}

/// What a listener does with connections.
pub(super) fn listener_options(
    listener: &Listener,
    service: &ServiceOptions,
    tls: Option<Arc<TlsOptions>>,
    sockets: Vec<Fd>,
) -> ListenerOptions {
    ListenerOptions {
        name: listener.name.clone(),
        sockets,
        listen: Some(listen(listener)),
        service: service.clone(),
        connections_max: u64::from(listener.max_connections),
        idle_timeout: match &listener.service {
            ListenerService::Http(http) => http.tunnel_timeout,
            ListenerService::Tcp { .. }
            | ListenerService::Echo
            | ListenerService::Udp { .. }
            | ListenerService::UdpEcho { .. }
            | ListenerService::Frame { .. }
            | ListenerService::Messages { .. }
            | ListenerService::Sni { .. } => listener.idle_timeout,
        },
        accept_header: listener.accept_proxy_protocol,
        header_timeout: listener.proxy_header_timeout,
        tls,
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
