//! HTTP on the simulated kernel: a listener with routes, an upstream, and servers that send back
//! what they were asked.

use std::sync::Arc;
use std::time::Duration;

use ringway::proto::http1::HeadLimits;
use ringway::ring::sim::{PeerId, Random, Sim};
use ringway::ring::{SocketAddress, StreamOptions};
use ringway::service::cluster::attempts::{AttemptOptions, RetryOn, StatusSet};
use ringway::service::cluster::breaker::Limits;
use ringway::service::cluster::eject::EjectOptions;
use ringway::service::cluster::pool::PoolOptions;
use ringway::service::cluster::servers::{Policy, ServerOptions, ServersOptions};
use ringway::service::grpc::CodeSet;
use ringway::service::http::access::AccessList;
use ringway::service::http::compression::CompressionRules;
use ringway::service::http::edit::HeaderEdits;
use ringway::service::http::route::{PathMatch, RouteMatch, Router};
use ringway::service::http::template::{Purpose, Template};
use ringway::session::http_options::{
    ClusterOptions, FixedAnswer, Forwarded, HalfClose, HostHeader, HttpOptions, ProxyOptions,
    RouteAction, RouteOptions, ServerProtocol, TrustedProxies,
};
use ringway::session::{Lease, RouteCounters, UpstreamOptions};

const WAIT: Duration = Duration::from_secs(2);

fn edits(set: &[(&str, &str)]) -> HeaderEdits {
    let set = set.iter().map(|(name, value)| {
        ((*name).into(), Template::parse(value, Purpose::Field).expect("a template"))
    });
    HeaderEdits { set: set.collect(), ..HeaderEdits::default() }
}

/// A route for each of our own answers, and one, for all other paths, to the upstream.
pub(crate) fn listener(upstream: usize) -> HttpOptions {
    let actions = [
        ("/echo", RouteAction::Echo),
        (
            "/fixed",
            RouteAction::Respond(FixedAnswer::new(200, "text/plain", b"hello", Some("ringway"))),
        ),
        (
            "/moved",
            RouteAction::Redirect {
                status: 302,
                location: Template::parse("https://$host/new$path$query", Purpose::Location)
                    .expect("a template"),
            },
        ),
        ("/status", RouteAction::StatusPage),
        ("/", RouteAction::Proxy(ProxyOptions { upstream, rewrite: None, inspect: None })),
    ];
    let paths = actions.iter().map(|(path, _)| RouteMatch {
        path: PathMatch::Prefix((*path).into()),
        ..RouteMatch::default()
    });
    let router = Router::new(paths.collect());
    let routes = actions.into_iter().enumerate().map(|(number, (path, action))| RouteOptions {
        name: path.into(),
        counters: Arc::new(RouteCounters::new(Lease::new(number), 1)),
        upstream_name: None,
        action,
        request_edits: edits(&[("x-edit", "$path $query $host")]),
        response_edits: edits(&[("x-back", "$target")]),
        body_max: 1 << 20,
        total_timeout: None,
        grpc_web: false,
        grpc_message_max: None,
        access: AccessList::default(),
        rate_limit: None,
        auth: None,
        compression: (number == 4)
            .then(|| CompressionRules { types: vec!["text/plain".into()], min: 1 }),
    });
    HttpOptions {
        router,
        routes: routes.collect(),
        limits: HeadLimits::default(),
        http2: Some(ringway::proto::http2::Limits::default()),
        body_max: 1 << 20,
        head_timeout: WAIT,
        body_timeout: WAIT,
        body_rate_min: None,
        write_timeout: WAIT,
        write_rate_min: None,
        keepalive_timeout: WAIT,
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
        upstreams: [upstream].into(),
    }
}

/// An upstream of these servers, with retries, hedging and few connections.
pub(crate) fn upstream(random: &mut Random, servers: Vec<SocketAddress>) -> UpstreamOptions {
    let mut statuses = StatusSet::default();
    assert!(statuses.insert(503));
    let each = (0..servers.len()).map(|server| ServerOptions {
        weight: 1,
        priority: 0,
        id: server as u64,
    });
    let origins = ClusterOptions {
        policy: ServersOptions {
            policy: Policy::LeastRequests,
            slow_start: None,
            panic_ratio: 0.0,
            eject: Some(EjectOptions::CONNECTS),
        },
        servers: each.collect(),
        hash_on: None,
        pool: PoolOptions {
            min_idle: 0,
            capacity: 1,
            spread_at: u32::MAX,
            idle_timeout: Duration::from_millis(300),
            max_age: Some(Duration::from_millis(400)),
            queue_max: 1_000,
            queue_timeout: Duration::from_millis(500),
        },
        connections_max: 1 + u32::try_from(random.below(4)).unwrap(),
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
        hedge_after: [None, Some(Duration::from_millis(3))][random.below(2)],
        hedge_calls: false,
        first_byte_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(200),
        protocol: ServerProtocol::Auto,
        streams_max: 128,
        host: HostHeader::Pass,
        names: servers.iter().map(|server| server.to_string().into()).collect(),
    };
    UpstreamOptions {
        name: "web".to_owned(),
        servers,
        connect_timeout: Duration::from_millis(50),
        retries: 0,
        send_header: None,
        stream: StreamOptions::default(),
        exchanges: None,
        cluster: origins,
        tls: None,
    }
}

/// What a server does beside answering: chances in a thousand, in each turn or for each request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Habits {
    pub(crate) reset: u32,
    pub(crate) close: u32,
    pub(crate) unavailable: u32,
    pub(crate) silent: u32,
}

/// A server's end of one connection: it sends the bytes of each request back as the answer's body.
#[derive(Debug)]
pub(crate) struct Mirror {
    peer: PeerId,
    input: Vec<u8>,
    out: Vec<u8>,
    gone: bool,
    /// Requests, as they came.
    pub(crate) requests: Vec<Vec<u8>>,
}

impl Mirror {
    pub(crate) fn new(peer: PeerId) -> Self {
        Self { peer, input: Vec::new(), out: Vec::new(), gone: false, requests: Vec::new() }
    }

    pub(crate) fn play(&mut self, sim: &mut Sim, random: &mut Random, habits: Habits) {
        if self.gone {
            return;
        }
        if random.chance(500) {
            self.input.extend(sim.peer_read(self.peer, 1 + random.below(4_000)));
        }
        if sim.peer_was_reset(self.peer) {
            self.gone = true;
            return;
        }
        while let Some(len) = request_len(&self.input) {
            let request: Vec<u8> = self.input.drain(..len).collect();
            self.answer(&request, random, habits);
            self.requests.push(request);
        }
        let part = self.out.len().min(1 + random.below(2_000));
        let sent = sim.peer_write(self.peer, &self.out[..part]);
        self.out.drain(..sent);
        if random.chance(habits.reset) {
            sim.peer_reset(self.peer);
            self.gone = true;
        } else if random.chance(habits.close) || sim.peer_at_end(self.peer) {
            sim.peer_finish(self.peer);
            self.gone = true;
        }
    }

    fn answer(&mut self, request: &[u8], random: &mut Random, habits: Habits) {
        if random.chance(habits.silent) {
            return;
        }
        let status = if random.chance(habits.unavailable) { "503 No" } else { "200 OK" };
        let kind = "content-type: text/plain\r\nx-from: mirror";
        let is_head = request.starts_with(b"HEAD ");
        if random.chance(500) && !is_head {
            let head = format!("HTTP/1.1 {status}\r\n{kind}\r\ntransfer-encoding: chunked\r\n\r\n");
            self.out.extend_from_slice(head.as_bytes());
            for part in request.chunks(1 + random.below(300)) {
                self.out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                self.out.extend_from_slice(part);
                self.out.extend_from_slice(b"\r\n");
            }
            self.out.extend_from_slice(b"0\r\nx-trailer: t\r\n\r\n");
            return;
        }
        let len = request.len();
        let head = format!("HTTP/1.1 {status}\r\n{kind}\r\ncontent-length: {len}\r\n\r\n");
        self.out.extend_from_slice(head.as_bytes());
        if !is_head {
            self.out.extend_from_slice(request);
        }
    }
}

/// The length of the first request, head and body, if all of it is there.
pub(crate) fn request_len(input: &[u8]) -> Option<usize> {
    let head = find(input, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&input[..head]).to_ascii_lowercase();
    if text.contains("\ntransfer-encoding: chunked") {
        let mut at = head;
        loop {
            let line = find(&input[at..], b"\r\n")?;
            let digits = String::from_utf8_lossy(&input[at..at + line]).into_owned();
            let digits = digits.split(';').next().unwrap_or_default().trim().to_owned();
            let size = usize::from_str_radix(&digits, 16).expect("the size of a chunk");
            at += line + 2;
            if size == 0 {
                loop {
                    let line = find(&input[at..], b"\r\n")?;
                    at += line + 2;
                    if line == 0 {
                        return Some(at);
                    }
                }
            }
            at += size + 2;
            if at > input.len() {
                return None;
            }
        }
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
    (input.len() >= head + length).then_some(head + length)
}

fn find(input: &[u8], what: &[u8]) -> Option<usize> {
    input.windows(what.len()).position(|window| window == what)
}
