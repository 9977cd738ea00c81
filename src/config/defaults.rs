//! What holds where a file is silent. `docs/ringway.toml` shows the same values; a test holds the
//! two together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Balance, Forwarded, HalfClose, KernelTls, LogFormat, LogLevel, QueuePolicy, RelayFormat,
    SendProxyProtocol, ServerProtocol, SpliceMode, Steering, Symlinks, TryFile, UnderscoreHeaders,
};

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
/// `runtime.compression_memory`, in bytes per worker: some thirty long answers at a time with full
/// windows, or a hundred.
pub const COMPRESSION_MEMORY: u64 = 64 << 20;
/// `runtime.waiting_memory`, in bytes per worker: a thousand slow peers at a time with all that may
/// wait for one.
pub const WAITING_MEMORY: u64 = 256 << 20;
/// `runtime.websocket_takeover_memory`, in bytes per worker: some fifty sockets with full windows,
/// 256 KiB to compress and 32 KiB to inflate.
pub const WEBSOCKET_TAKEOVER_MEMORY: u64 = 16 << 20;
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

/// `runtime.kernel_tls`.
pub const KERNEL_TLS: KernelTls = KernelTls::Auto;

/// `runtime.watch`: a half-written file is not to be read; a reload is asked for.
pub const WATCH: bool = false;

/// `admin.enabled`: where the library was built with it.
pub const ADMIN_ENABLED: bool = cfg!(feature = "admin");
/// `admin.listen`: this machine only.
pub const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901);

/// `admin.token_file`: nothing can be changed.
pub const ADMIN_TOKEN_FILE: Option<PathBuf> = None;

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
/// The same for HTTP, where each connection carries one request: answers that stream on for hours
/// must leave room for others.
pub const POOL_MAX_HTTP: u32 = 4_096;
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

/// `listener.head_size_max`, in bytes.
pub const HEAD_SIZE_MAX: u32 = 64 << 10;
/// `listener.fields_max`.
pub const FIELDS_MAX: u16 = 100;
/// `listener.target_size_max`, in bytes: what RFC 9112 §3 asks for.
pub const TARGET_SIZE_MAX: u32 = 8 << 10;
/// `listener.body_max`, in bytes.
pub const BODY_MAX: Option<u64> = Some(16 << 20);
/// `listener.head_timeout`.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// `listener.body_timeout`.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// `listener.body_rate_min`, in bytes per second: slower than any modem, so likely on purpose.
pub const BODY_RATE_MIN: Option<u32> = Some(256);
/// `listener.write_timeout`.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// `listener.write_rate_min`: as of bodies.
pub const WRITE_RATE_MIN: Option<u32> = BODY_RATE_MIN;
/// `listener.keepalive_timeout`: what browsers expect.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(75);
/// `listener.keepalive_requests`: clients are spread anew from time to time.
pub const KEEPALIVE_REQUESTS: Option<u32> = Some(10_000);
/// `listener.keepalive_max_age`: as `upstream.pool_max_age`.
pub const KEEPALIVE_MAX_AGE: Option<Duration> = Some(Duration::from_secs(3_600));
/// `upstream.protocol`.
pub const SERVER_PROTOCOL: ServerProtocol = ServerProtocol::Auto;
/// `listener.http2`.
pub const HTTP2: bool = true;
/// `listener.http2_streams_max`, in requests.
pub const HTTP2_STREAMS_MAX: u32 = 100;
/// `listener.http2_window_max`, in bytes.
pub const HTTP2_WINDOW_MAX: u32 = 4 << 20;
/// `listener.http2_cookie_parts_max`: browsers send a field for each part of a cookie.
pub const HTTP2_COOKIE_PARTS_MAX: u32 = 256;
/// `listener.http2_continuations_max`.
pub const HTTP2_CONTINUATIONS_MAX: u32 = 8;
/// `listener.http2_resets_max`, within 10 seconds.
pub const HTTP2_RESETS_MAX: u32 = 100;
/// `listener.http2_forced_resets_max`, within 10 seconds.
pub const HTTP2_FORCED_RESETS_MAX: u32 = 100;
/// `listener.http2_control_frames_max`, within 10 seconds.
pub const HTTP2_CONTROL_FRAMES_MAX: u32 = 1_000;
/// `listener.http2_empty_frames_max`, within 10 seconds.
pub const HTTP2_EMPTY_FRAMES_MAX: u32 = 100;
/// `listener.tunnel_timeout`.
pub const TUNNEL_TIMEOUT: Duration = Duration::from_secs(600);
/// `listener.half_close`.
pub const HALF_CLOSE: HalfClose = HalfClose::Auto;
/// `listener.server_header`.
pub const SERVER_HEADER: Option<&str> = Some("ringway");
/// `listener.reason_header`.
pub const REASON_HEADER: bool = true;
/// `listener.forwarded`.
pub const FORWARDED: Forwarded = Forwarded::Append;
/// `listener.underscore_headers`.
pub const UNDERSCORE_HEADERS: UnderscoreHeaders = UnderscoreHeaders::Drop;
/// `listener.request_id_header`.
pub const REQUEST_ID_HEADER: Option<&str> = Some("x-request-id");
/// `listener.source_connections_max`: many clients may share an address.
pub const SOURCE_CONNECTIONS_MAX: Option<u32> = None;

/// `listener.route.total_timeout`.
pub const TOTAL_TIMEOUT: Option<Duration> = None;
/// `listener.route.status` of a redirect: found for now.
pub const REDIRECT_STATUS: u16 = 302;
/// `listener.route.status` of a text.
pub const RESPOND_STATUS: u16 = 200;
/// `listener.route.content_type` of a text.
pub const CONTENT_TYPE: &str = "text/plain; charset=utf-8";
/// `listener.route.index`.
pub const INDEX: [&str; 1] = ["index.html"];
/// `listener.route.try_files`.
pub(super) fn try_files() -> Vec<TryFile> {
    vec![TryFile::Path(String::new()), TryFile::Folder]
}
/// `listener.route.default_type`: bytes of which nothing is known.
pub const DEFAULT_TYPE: &str = "application/octet-stream";
/// `listener.route.listing`: what lies in a directory is nobody's business unless it is said.
pub const LISTING: bool = false;
/// `listener.route.symlinks`.
pub const SYMLINKS: Symlinks = Symlinks::Never;
/// `listener.route.dot_files`: they are likely of tools, and not for the public.
pub const DOT_FILES: bool = false;
/// `listener.route.file_cache_entries`.
pub const FILE_CACHE_ENTRIES: u32 = 1024;
/// `listener.route.file_cache_ttl`.
pub const FILE_CACHE_TTL: Duration = Duration::from_secs(2);
/// `listener.route.small_file_max`, in bytes.
pub const SMALL_FILE_MAX: u32 = 64 << 10;
/// `listener.route.rate_limit.entries_max`.
pub const RATE_ENTRIES_MAX: u32 = 65_536;
/// `listener.route.auth.realm`.
pub const REALM: &str = "restricted";
/// `listener.route.compress`: it costs time, and mixes secrets with what others chose.
pub const COMPRESS: bool = false;
/// `listener.route.compress_types`: text, of which little is left.
pub const COMPRESS_TYPES: [&str; 8] = [
    "text/html",
    "text/css",
    "text/plain",
    "text/javascript",
    "application/javascript",
    "application/json",
    "application/xml",
    "image/svg+xml",
];
/// `listener.route.compress_min`, in bytes: less fits into one segment anyway.
pub const COMPRESS_MIN: u32 = 1 << 10;

/// `upstream.servers.weight`.
pub const WEIGHT: u32 = 1;
/// `upstream.servers.priority`.
pub const PRIORITY: u8 = 0;
/// `upstream.slow_start`.
pub const SLOW_START: Option<Duration> = None;
/// `upstream.retry_body_max`, in bytes.
pub const RETRY_BODY_MAX: u32 = 64 << 10;
/// `upstream.try_timeout`.
pub const TRY_TIMEOUT: Option<Duration> = None;
/// `upstream.hedge_after`.
pub const HEDGE_AFTER: Option<Duration> = None;
/// `upstream.hedge_calls`.
pub const HEDGE_CALLS: bool = false;
/// `listener.route.grpc_web`.
pub const GRPC_WEB: bool = false;
/// `listener.route.grpc_message_max`.
pub const GRPC_MESSAGE_MAX: Option<u32> = None;
/// `upstream.first_byte_timeout`.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// `upstream.response_idle_timeout`.
pub const RESPONSE_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// `upstream.requests_max`.
pub const REQUESTS_MAX: Option<u32> = None;
/// `upstream.retries_max`.
pub const RETRIES_MAX: u32 = 64;
/// `upstream.panic_ratio`: never.
pub const PANIC_RATIO: f64 = 0.0;

/// `upstream.health.path`.
pub const HEALTH_PATH: &str = "/";
/// `upstream.health.status`.
pub const HEALTH_STATUS: u16 = 200;
/// `upstream.health.interval`.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(2);
/// `upstream.health.timeout`.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// `upstream.health.jitter`, as a share of the interval: checks do not come all at once.
pub const HEALTH_JITTER: f64 = 0.1;
/// `upstream.health.rise`, in checks.
pub const HEALTH_RISE: u32 = 2;
/// `upstream.health.fall`, in checks: one lost check is no lost server.
pub const HEALTH_FALL: u32 = 3;
/// `upstream.eject.consecutive_connect_failures`.
pub const EJECT_CONSECUTIVE_CONNECT_FAILURES: u32 = 3;
/// `upstream.eject.consecutive_failures`.
pub const EJECT_CONSECUTIVE_FAILURES: u32 = 5;
/// `upstream.eject.error_rate`, as a share of requests.
pub const EJECT_ERROR_RATE: f64 = 0.5;
/// `upstream.eject.latency_factor`: off, as servers may differ on purpose.
pub const EJECT_LATENCY_FACTOR: f64 = 0.0;
/// `upstream.eject.min_requests`.
pub const EJECT_MIN_REQUESTS: u32 = 20;
/// `upstream.eject.interval`.
pub const EJECT_INTERVAL: Duration = Duration::from_secs(10);
/// `upstream.eject.time`.
pub const EJECT_TIME: Duration = Duration::from_secs(30);
/// `upstream.eject.share_max`, as a share of the servers.
pub const EJECT_SHARE_MAX: f64 = 0.5;

/// `listener.route.websocket.publish`.
pub const PUBLISH: bool = true;
/// `listener.route.websocket.subscribe`.
pub const SUBSCRIBE: bool = true;
/// `listener.route.websocket.relay_format`.
pub const RELAY_FORMAT: RelayFormat = RelayFormat::Bytes;
/// `listener.route.websocket.message_max`, in bytes; that of a frame is the same.
pub const WEBSOCKET_MESSAGE_MAX: u32 = 1 << 20;
/// `listener.route.websocket.message_rate`, in messages a second, with `message_burst`.
pub const WEBSOCKET_MESSAGE_RATE: Option<(u32, u32)> = None;
/// `listener.route.websocket.ping_interval`: what keeps most middle boxes from forgetting a
/// connection.
pub const WEBSOCKET_PING_INTERVAL: Option<Duration> = Some(Duration::from_secs(30));
/// `listener.route.websocket.idle_timeout`: a single lost ping does not end a connection.
pub const WEBSOCKET_IDLE_TIMEOUT: Option<Duration> = Some(Duration::from_secs(75));
/// `listener.route.websocket.close_timeout`.
pub const WEBSOCKET_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// `listener.route.websocket.deflate`.
pub const DEFLATE: bool = true;
/// `listener.route.websocket.deflate_min`, in bytes: shorter messages are one segment anyway.
pub const DEFLATE_MIN: u32 = 1 << 10;
/// `listener.route.websocket.deflate_level`.
pub const DEFLATE_LEVEL: u8 = 1;
/// `listener.route.websocket.deflate_takeover`: a window of each socket takes memory.
pub const DEFLATE_TAKEOVER: bool = false;
/// `listener.route.websocket.deflate_window_bits`: 32 KiB.
pub const DEFLATE_WINDOW_BITS: u8 = 15;
/// `listener.route.websocket.drain_code`: the service restarts, and clients come again.
pub const DRAIN_CODE: u16 = 1012;
/// `listener.route.websocket.drain_window`: clients do not all come again at once.
pub const DRAIN_WINDOW: Duration = Duration::from_secs(10);

/// `topics.message_max`, in bytes.
pub const TOPICS_MESSAGE_MAX: u32 = 64 << 10;
/// `topics.subscriptions_max`, by subscriber.
pub const TOPICS_SUBSCRIPTIONS_MAX: u32 = 64;
/// `topics.filters_max`, by worker.
pub const TOPICS_FILTERS_MAX: u32 = 100_000;
/// `topics.queue_max`, in messages by subscriber.
pub const TOPICS_QUEUE_MAX: u32 = 1024;
/// `topics.queue_bytes`, by subscriber.
pub const TOPICS_QUEUE_BYTES: u32 = 256 << 10;
/// `topics.queue_policy`: what is newest counts most.
pub const TOPICS_QUEUE_POLICY: QueuePolicy = QueuePolicy::DropOldest;
/// `topics.retained_max`, in topics.
pub const TOPICS_RETAINED_MAX: u32 = 10_000;
/// `topics.retained_bytes`.
pub const TOPICS_RETAINED_BYTES: u64 = 16 << 20;
/// `topics.exchange_bytes`, between two workers.
pub const TOPICS_EXCHANGE_BYTES: u64 = 16 << 20;
