//! How the worker of a run is set up.

use std::sync::Arc;
use std::time::Duration;

use ringway::proto::http1::HeadLimits;
use ringway::ring::sim::{Behaviour, Faults, Random};
use ringway::ring::{Fd, SocketAddress, StreamOptions};
use ringway::service::cluster::attempts::{AttemptOptions, RetryOn, StatusSet};
use ringway::service::cluster::breaker::Limits;
use ringway::service::cluster::eject::EjectOptions;
use ringway::service::cluster::pool::PoolOptions;
use ringway::service::cluster::servers::{Policy, ServerOptions, ServersOptions};
use ringway::service::grpc::CodeSet;
use ringway::service::http::access::AccessList;
use ringway::service::http::access_log::Format;
use ringway::service::http::compression::CompressionRules;
use ringway::service::http::edit::HeaderEdits;
use ringway::service::http::files::FileRules;
use ringway::service::http::files::attempt::Attempt;
use ringway::service::http::route::{PathMatch, RouteMatch, Router};
use ringway::service::http::template::{Purpose, Template};
use ringway::service::proxy::MeterOptions;
use ringway::session::http_options::{
    AccessLogOptions, ClusterOptions, FilesOptions, FixedAnswer, Forwarded, HalfClose,
    HandlerOptions, HashOn, HostHeader, HttpOptions, ProxyOptions, RateLimitOptions, RouteAction,
    RouteOptions, ServerProtocol, TrustedProxies,
};
use ringway::session::{
    DescriptorLimits, Folder, HandlerFactory, Lease, LineSink, ListenerOptions, RelayOptions,
    RouteCounters, ServiceOptions, SessionOptions, UpstreamOptions, Workers,
};

use super::client::Habits;
use super::handlers::{Later, handlers};
use super::orders::Ask;
use super::server::Moods;

pub(super) const BUFFERS: u16 = 8;
pub(super) const BUFFER_SIZE: u32 = 256;
/// The path of each route, in their order.
pub(super) const ROUTES: [&str; 11] = [
    "/echo", "/fixed", "/moved", "/limited", "/short", "/timed", "/zip", "/up", "/files",
    "/handled", "/broken",
];
/// The place of the route `/timed`, whose requests have a time in all.
pub(super) const TIMED: usize = 5;
/// The place of the route `/handled`, whose requests a handler answers.
pub(super) const HANDLED: usize = 9;
/// Bytes of a body on the route `/short`.
pub(super) const SHORT_BODY: usize = 1_000;

/// All that a run depends on.
pub(super) struct Setup {
    pub(super) seed: u64,
    pub(super) faults: Faults,
    /// Bytes that a link holds each way.
    pub(super) capacity: usize,
    pub(super) http: HttpOptions,
    pub(super) upstream: UpstreamOptions,
    pub(super) servers: Vec<Behaviour>,
    pub(super) moods: Moods,
    pub(super) clients: Vec<(Vec<Ask>, Habits)>,
    /// Connections begin with a PROXY protocol header.
    pub(super) accept_header: bool,
    pub(super) connections_max: u64,
    pub(super) slots: u32,
    pub(super) compression_memory: u64,
    pub(super) waiting_memory: u64,
    /// The turn in which the worker is told to drain.
    pub(super) drains_at: Option<usize>,
    /// Files become shorter: the turn, the name, and the bytes that are left.
    pub(super) shrinks: Vec<(usize, String, usize)>,
    /// Active checks say, in a turn, whether a server can be used.
    pub(super) health: Vec<(usize, usize, bool)>,
    /// What a server's address meets from a turn on.
    pub(super) changes: Vec<(usize, usize, Behaviour)>,
    /// What times are made of.
    pub(super) unit: Duration,
    /// The turns in which another plan takes the place of the present one.
    pub(super) reloads: Vec<usize>,
    /// The last plan has nothing any more.
    pub(super) ends_with_nothing: bool,
    /// What handlers do later.
    pub(super) later: Later,
}

pub(super) fn address(server: usize) -> SocketAddress {
    let last = u8::try_from(server + 1).expect("few servers");
    SocketAddress::inet(std::net::SocketAddr::from(([10, 0, 0, last], 80)))
}

fn edits(set: &[(&str, &str)]) -> HeaderEdits {
    let set = set.iter().map(|(name, value)| {
        ((*name).into(), Template::parse(value, Purpose::Field).expect("a template"))
    });
    HeaderEdits { set: set.collect(), ..HeaderEdits::default() }
}

fn action(path: &str, upstream: usize, folder: &KeptFolder) -> RouteAction {
    let hello = || FixedAnswer::new(200, "text/plain", b"hello", Some("ringway"));
    match path {
        "/echo" => RouteAction::Echo,
        "/fixed" | "/limited" => RouteAction::Respond(hello()),
        "/moved" => RouteAction::Redirect {
            status: 302,
            location: Template::parse("https://$host/new$path$query", Purpose::Location)
                .expect("a template"),
        },
        "/files" => RouteAction::Files(Box::new(files(folder))),
        "/handled" | "/broken" => RouteAction::Handler(HandlerOptions::new(0, Some("ringway"))),
        _ => RouteAction::Proxy(ProxyOptions { upstream, rewrite: None, inspect: None }),
    }
}

/// Files of the simulated kernel, which has no folders: small ones from memory, others by sendfile.
fn files((root, cache): &KeptFolder) -> FilesOptions {
    FilesOptions {
        root: Arc::clone(root),
        rules: FileRules {
            dot_files: false,
            cache_control: None,
            cache_control_by: Vec::new(),
            precompressed: Vec::new(),
        },
        below: None,
        index: Vec::new(),
        attempts: vec![Attempt::Path("".into())],
        types: Arc::default(),
        listing: false,
        follow_symlinks: false,
        rewrite: None,
        cache_entries: 2,
        cache_ttl: Duration::from_millis(5),
        small_max: 500,
        error_pages: Vec::new(),
        cache: cache.clone(),
    }
}

/// A folder of which files are given, and the number of what is kept of it.
pub(super) type KeptFolder = (Arc<Folder>, Lease);

pub(super) fn folder(number: Lease) -> KeptFolder {
    let root = std::fs::File::open("/").expect("a folder");
    (Arc::new(Folder::new(root.into())), number)
}

/// What a listener has of a plan: its number, its routes by their places in [`ROUTES`], in the order
/// in which they are looked at, and where some of them go.
pub(super) struct PlanParts<'a> {
    pub(super) id: u64,
    pub(super) routes: &'a [usize],
    pub(super) counters: &'a [Arc<RouteCounters>],
    pub(super) upstream: usize,
    pub(super) folder: &'a KeptFolder,
}

fn route(path: &str, counters: &Arc<RouteCounters>, parts: &PlanParts<'_>) -> RouteOptions {
    let limit = RateLimitOptions {
        rate: 10,
        burst: 1,
        entries_max: 10,
        header: Some("x-who".into()),
        shown: Arc::default(),
    };
    let body_max = if path == "/short" { SHORT_BODY as u64 } else { 1 << 20 };
    RouteOptions {
        name: path.into(),
        counters: Arc::clone(counters),
        upstream_name: None,
        action: action(path, parts.upstream, parts.folder),
        request_edits: edits(&[("x-edit", "$path $query $host")]),
        response_edits: edits(&[("x-back", "$target"), ("x-plan", &parts.id.to_string())]),
        body_max,
        total_timeout: (path == "/timed").then_some(Duration::from_millis(150)),
        grpc_web: false,
        grpc_message_max: None,
        access: AccessList::default(),
        rate_limit: (path == "/limited").then_some(limit),
        auth: None,
        compression: (path == "/zip")
            .then(|| CompressionRules { types: vec!["text/plain".into()], min: 1 }),
    }
}

/// A listener with all routes, whose times are `unit` and more.
pub(super) fn listener(unit: Duration) -> HttpOptions {
    let counters = |number| Arc::new(RouteCounters::new(Lease::new(number), 1));
    let counters: Vec<_> = (0..ROUTES.len()).map(counters).collect();
    let routes: Vec<usize> = (0..ROUTES.len()).collect();
    let folder = folder(Lease::new(0));
    let (id, upstream) = (0, 0);
    listener_of(
        unit,
        &PlanParts { id, routes: &routes, counters: &counters, upstream, folder: &folder },
    )
}

/// The same, as a plan has it.
pub(super) fn listener_of(unit: Duration, parts: &PlanParts<'_>) -> HttpOptions {
    let own = parts.routes.iter().map(|place| (ROUTES[*place], &parts.counters[*place]));
    let paths = own.clone().map(|(path, _)| RouteMatch {
        path: PathMatch::Prefix(path.into()),
        ..RouteMatch::default()
    });
    let routes: Vec<RouteOptions> =
        own.map(|(path, counters)| route(path, counters, parts)).collect();
    let is_proxy = |route: &RouteOptions| matches!(route.action, RouteAction::Proxy(_));
    HttpOptions {
        router: Router::new(paths.collect()),
        upstreams: if routes.iter().any(is_proxy) { [parts.upstream].into() } else { [].into() },
        routes,
        limits: HeadLimits::default(),
        http2: Some(ringway::proto::http2::Limits {
            extended_connect: true,
            ..ringway::proto::http2::Limits::default()
        }),
        body_max: 1 << 20,
        head_timeout: unit,
        body_timeout: unit,
        body_rate_min: None,
        write_timeout: unit,
        write_rate_min: None,
        keepalive_timeout: unit * 2,
        keepalive_requests: 1_000,
        keepalive_max_age: None,
        half_close: HalfClose::Auto,
        server: Some("ringway".into()),
        reason_header: true,
        forwarded: Forwarded::Append,
        trusted_proxies: TrustedProxies::default(),
        request_id: Some("x-request-id".into()),
        source_connections_max: None,
        access: AccessList::default(),
        access_log: None,
        scheme: "http",
        needs_source: true,
    }
}

/// An upstream of so many servers, whose times are `unit` and more.
pub(super) fn upstream(random: &mut Random, servers: usize, unit: Duration) -> UpstreamOptions {
    let mut statuses = StatusSet::default();
    assert!(statuses.insert(503));
    let policies = [Policy::RoundRobin, Policy::LeastRequests, Policy::Ewma, Policy::Hash];
    let each = |server| ServerOptions {
        weight: 1 + u32::try_from(server % 2).expect("small"),
        priority: 0,
        id: server as u64,
    };
    let origins = ClusterOptions {
        policy: ServersOptions {
            policy: policies[random.below(4)],
            slow_start: None,
            panic_ratio: 0.0,
            eject: Some(EjectOptions::CONNECTS),
        },
        servers: (0..servers).map(each).collect(),
        hash_on: random.chance(500).then_some(HashOn::Path),
        pool: PoolOptions {
            min_idle: 0,
            capacity: 1,
            spread_at: u32::MAX,
            idle_timeout: unit,
            max_age: Some(unit * 4),
            queue_max: 1_000,
            queue_timeout: unit * 2,
        },
        connections_max: 1 + u32::try_from(random.below(4)).expect("small"),
        attempts: AttemptOptions {
            retries_max: 3,
            on: RetryOn { connect: true, reset: true, timeout: true },
            statuses,
            codes: CodeSet::default(),
            backoff: Duration::from_millis(5),
            backoff_max: Duration::from_millis(50),
            deadline: None,
            budget: 1.0,
        },
        retry_body_max: [0, 1_000, 64 * 1024][random.below(3)],
        breaker: Limits { in_flight: None, waiting: None, retries: None },
        try_timeout: None,
        hedge_after: None,
        hedge_calls: false,
        first_byte_timeout: unit,
        idle_timeout: unit,
        protocol: ServerProtocol::Auto,
        streams_max: 128,
        host: HostHeader::Pass,
        names: (0..servers).map(|server| address(server).to_string().into()).collect(),
    };
    UpstreamOptions {
        name: "web".to_owned(),
        servers: (0..servers).map(address).collect(),
        connect_timeout: unit / 2,
        retries: 0,
        send_header: None,
        stream: StreamOptions::default(),
        exchanges: None,
        cluster: origins,
        tls: None,
    }
}

impl Setup {
    /// Servers that all accept, and nobody who asks.
    pub(super) fn new(seed: u64, random: &mut Random, servers: usize, unit: Duration) -> Self {
        let capacity = [300, 2_000, 50_000][random.below(3)];
        Self {
            seed,
            faults: Faults::NONE,
            capacity,
            http: listener(unit),
            upstream: upstream(random, servers, unit),
            servers: vec![Behaviour::Accept { capacity }; servers],
            moods: Moods::default(),
            clients: Vec::new(),
            accept_header: false,
            connections_max: 100,
            slots: 100,
            compression_memory: 64 << 20,
            waiting_memory: 256 << 20,
            drains_at: None,
            shrinks: Vec::new(),
            health: Vec::new(),
            changes: Vec::new(),
            unit,
            reloads: Vec::new(),
            ends_with_nothing: false,
            later: Later::default(),
        }
    }

    pub(super) fn origins(&mut self) -> &mut ClusterOptions {
        &mut self.upstream.cluster
    }

    /// The listener, which answers HTTP so.
    pub(super) fn listener_options(
        &self,
        mut http: HttpOptions,
        sockets: Vec<Fd>,
        sink: &LineSink,
    ) -> ListenerOptions {
        http.access_log = Some(AccessLogOptions { format: Format::Json, sink: sink.clone() });
        ListenerOptions {
            name: "sim".to_owned(),
            sockets,
            listen: None,
            header_timeout: http.head_timeout,
            service: ServiceOptions::Http(Arc::new(http)),
            connections_max: self.connections_max,
            idle_timeout: Duration::from_secs(2),
            accept_header: self.accept_header,
            tls: None,
        }
    }

    pub(super) const fn relay() -> RelayOptions {
        RelayOptions {
            meter: MeterOptions { enabled: true, after: 2_000, mean_min: 200 },
            buffer_size: BUFFER_SIZE as usize,
            turn_budget: 4_000,
            pipe_capacity: 3_000,
            pipes_idle_max: 2,
        }
    }

    pub(super) fn options(
        &mut self,
        workers: &Arc<Workers>,
        listener: Fd,
        sink: &LineSink,
    ) -> SessionOptions {
        let http = std::mem::replace(&mut self.http, self::listener(Duration::ZERO));
        SessionOptions {
            compression_memory: self.compression_memory,
            waiting_memory: self.waiting_memory,
            websocket_takeover_memory: 16 << 20,
            listeners: vec![self.listener_options(http, vec![listener], sink)],
            datagrams: Vec::new(),
            upstreams: vec![self.upstream.clone()],
            relay: Self::relay(),
            connections_max: self.slots,
            access_log: false,
            workers: Arc::clone(workers),
            worker: 0,
            descriptors: DescriptorLimits::OPEN,
            hand_off_ratio: None,
            seed: 0x5eed_0000_0000,
            handler: HandlerFactory::default(),
            http_handlers: handlers(self.seed, &self.later),
            websocket_handlers: ringway::handler::WebSocketHandlers::new(),
        }
    }
}
