//! What holds where a file is silent. `docs/ringway.toml` shows the same values; a test holds the
//! two together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{Balance, LogFormat, LogLevel, SendProxyProtocol, SpliceMode, Steering};

/// `runtime.pin`: workers stay where their caches are.
pub const PIN: bool = true;
/// `runtime.ring_entries`, in submissions: what one turn of a busy worker issues.
pub const RING_ENTRIES: u32 = 1024;
/// `runtime.completion_entries`, in completions: room for what arrives while a turn is worked on.
pub const COMPLETION_ENTRIES: u32 = 8192;
/// `runtime.buffers`, per worker: with [`BUFFER_SIZE`], 4 MiB.
pub const BUFFERS: u32 = 256;
/// `runtime.buffer_size`, in bytes: the payload of one TLS record, ten full segments.
pub const BUFFER_SIZE: u32 = 16 << 10;
/// `runtime.turn_budget`, in bytes.
pub const TURN_BUDGET: u32 = 1 << 20;
/// `runtime.shutdown_timeout`: the time that service managers grant, too.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
/// `runtime.handoff_ratio`, as a multiple of the mean.
pub const HANDOFF_RATIO: Option<f64> = Some(1.5);
/// `runtime.splice`.
pub const SPLICE: SpliceMode = SpliceMode::Auto;
/// `runtime.splice_after`, in bytes: what pays for the setup of a pipe.
pub const SPLICE_AFTER: u64 = 256 << 10;
/// `runtime.splice_min_read`, in bytes: a full buffer.
pub const SPLICE_MIN_READ: u32 = 16 << 10;
/// `runtime.pipe_size`, in bytes: what the kernel grants without privileges.
pub const PIPE_SIZE: u32 = 1 << 20;
/// `runtime.pipes`, per worker.
pub const PIPES: u32 = 64;

/// `admin.enabled`.
pub const ADMIN_ENABLED: bool = true;
/// `admin.listen`: this machine only.
pub const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

/// `log.format`.
pub const LOG_FORMAT: LogFormat = LogFormat::Auto;
/// `log.level`.
pub const LOG_LEVEL: LogLevel = LogLevel::Info;
/// `log.access`: a line for each connection is a cost that somebody has to want.
pub const LOG_ACCESS: bool = false;

/// `listener.max_connections`, in the whole process.
pub const MAX_CONNECTIONS: u32 = 10_000;
/// `listener.idle_timeout`.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// `listener.accept_proxy_protocol`: a header from just anybody would be believed.
pub const ACCEPT_PROXY_PROTOCOL: bool = false;
/// `listener.proxy_header_timeout`.
pub const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// `listener.backlog`, in connections: the kernel's own limit (`net.core.somaxconn`).
pub const BACKLOG: u32 = 4096;
/// `listener.unix_mode`: owner and group may connect.
pub const UNIX_MODE: u32 = 0o660;

/// `listener.window`, in requests: what covers a distant client at some milliseconds a request.
pub const WINDOW: u16 = 256;
/// `listener.max_payload`, in bytes: the most that a frame can carry.
pub const MAX_PAYLOAD: u16 = u16::MAX;
/// `listener.line_limit`, in bytes.
pub const LINE_LIMIT: u32 = 64 << 10;
/// `listener.offload`: a call for many datagrams costs little more than one for one.
pub const OFFLOAD: bool = true;
/// `listener.steering`: what holds with any network card.
pub const STEERING: Steering = Steering::Flow;
/// `listener.max_flows`, in the whole process.
pub const MAX_FLOWS: u32 = 4096;
/// `listener.flow_timeout`.
pub const FLOW_TIMEOUT: Duration = Duration::from_secs(60);

/// `nodelay`, of listeners and upstreams: a proxy must not add delay.
pub const NODELAY: bool = true;
/// `keepalive`, of listeners and upstreams.
pub const KEEPALIVE: Option<Duration> = Some(Duration::from_secs(60));
/// `receive_buffer` and `send_buffer`, of listeners and upstreams: the kernel tunes them.
pub const SOCKET_BUFFER: Option<u32> = None;

/// `upstream.balance`.
pub const BALANCE: Balance = Balance::RoundRobin;
/// `upstream.connect_timeout`, of one try: room for one lost SYN and its second try.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// `upstream.retries`.
pub const RETRIES: u32 = 1;
/// `upstream.send_proxy_protocol`.
pub const SEND_PROXY_PROTOCOL: SendProxyProtocol = SendProxyProtocol::Off;

/// `upstream.pool_max`, in the whole process.
pub const POOL_MAX: u32 = 64;
/// `upstream.pool_min_idle`: connections are made when they are needed.
pub const POOL_MIN_IDLE: u32 = 0;
/// `upstream.pool_idle_timeout`.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// `upstream.pool_max_age`: servers that were added or moved get their share within it.
pub const POOL_MAX_AGE: Option<Duration> = Some(Duration::from_secs(3_600));
/// `upstream.pool_queue`, in exchanges.
pub const POOL_QUEUE: u32 = 1024;
/// `upstream.pool_queue_timeout`: who has waited longer is better told than kept.
pub const POOL_QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// `upstream.streams_max`, in requests.
pub const STREAMS_MAX: u16 = 128;
/// `upstream.request_timeout`, with all tries.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// `upstream.retry_backoff`.
pub const RETRY_BACKOFF: Duration = Duration::from_millis(25);
/// `upstream.retry_backoff_max`.
pub const RETRY_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// `upstream.retry_budget`, as a share of requests: failing servers get a fifth more, not twice.
pub const RETRY_BUDGET: f64 = 0.2;
