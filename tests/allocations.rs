//! What runs for every exchange allocates nothing once it has warmed up.
#![expect(unsafe_code, reason = "a global allocator is unsafe to implement; it only counts")]
#![expect(clippy::disallowed_methods, reason = "an origin to count from")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use ringway::mem::Key;
use ringway::proto::frame::{
    ClientOptions, Command, Features, Header, PAYLOAD_MAX, Server, ServerEvent, ServerOptions,
    Version, write_frame,
};
use ringway::proto::http::RequestHead;
use ringway::service::cluster::pool::{Checkout, Pool, PoolOptions};
use ringway::service::cluster::servers::Policy;
use ringway::service::cluster::{Cluster, ClusterOptions};
use ringway::service::http::route::{HostMatch, PathMatch, PathRegex, RouteMatch, Router};
use ringway::service::proxy::{Exchanger, ExchangerOptions, FrameAction};
use ringway::service::retry::{Retry, RetryBudget, RetryPolicy, Safety, Verdict};

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    // Without a destructor and without an initializer that runs: it can be used at any time.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very function.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

const RETRY: RetryPolicy = RetryPolicy {
    tries_max: 3,
    backoff: Duration::from_millis(5),
    backoff_max: Duration::from_millis(50),
    deadline: Duration::from_secs(1),
};

const fn pool_options(capacity: u32) -> PoolOptions {
    PoolOptions {
        min_idle: 1,
        capacity,
        spread_at: capacity,
        idle_timeout: Duration::from_secs(60),
        max_age: Some(Duration::from_secs(600_000)),
        queue_max: 8,
        queue_timeout: Duration::from_secs(60),
    }
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| ()), 0);
}

/// One round: more exchanges than there is room for begin, some wait, and all end.
fn round(pool: &mut Pool<u32, u32>, used: &mut Vec<u32>, now: Instant) {
    for waiter in 0..24 {
        if let Checkout::Use(connection) = pool.checkout(waiter, now) {
            used.push(connection);
        }
    }
    pool.cancel(&23);
    while let Some(connection) = used.pop() {
        assert!(pool.release(connection, now));
        while let Some((_, connection)) = pool.next_ready(now) {
            used.push(connection);
        }
    }
    assert!(pool.next_deadline().is_some());
}

#[test]
fn checkouts_and_releases_allocate_nothing() {
    for capacity in [1, 8] {
        let mut pool = Pool::new(pool_options(capacity));
        let (mut now, mut used) = (Instant::now(), Vec::with_capacity(64));
        for connection in 0..16 / capacity {
            pool.begin_open();
            pool.opened(connection, now);
        }
        round(&mut pool, &mut used, now);
        let count = allocations(|| {
            for _ in 0..10_000 {
                now += Duration::from_millis(1);
                round(&mut pool, &mut used, now);
            }
        });
        assert_eq!(count, 0, "capacity {capacity}");
        assert!(pool.counters().hits >= 160_000 && pool.gauges().waiting == 0);
    }
}

#[test]
fn retries_allocate_nothing() {
    let now = Instant::now();
    let mut budget = RetryBudget::new(1.0, now);
    let mut again = 0;
    let count = allocations(|| {
        for random in 0..10_000 {
            budget.deposit();
            let mut retry = Retry::new(now);
            while let Verdict::Again { .. } =
                retry.after_failure(&RETRY, now, Safety::Idempotent, &mut budget, random)
            {
                again += 1;
            }
        }
    });
    assert_eq!(count, 0);
    assert!(again >= 10_000);
}

/// A frame proxy between one client and one server, both in memory.
struct Line {
    exchanger: Exchanger,
    cluster: Cluster,
    client: Key,
    trunk: Key,
    server: Server,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    answers: Vec<u8>,
    actions: Vec<FrameAction>,
    now: Instant,
}

impl Line {
    fn new(highest: Version) -> Self {
        let now = Instant::now();
        let options = ExchangerOptions {
            client: ClientOptions { highest, ..ClientOptions::default() },
            pool: pool_options(64),
            retry: RETRY,
            budget: 0.2,
        };
        let limits =
            ServerOptions { window: 64, max_payload: PAYLOAD_MAX, features: Features::ALL };
        let mut exchanger = Exchanger::new(options, 1, now);
        let servers = ClusterOptions {
            connections_max: 1,
            ..ClusterOptions::plain(Policy::RoundRobin, ["one".to_owned()])
        };
        let mut cluster = Cluster::new(&servers, (0, 1), 1, now);
        let client = exchanger.open_client(limits);
        exchanger.client_attached(client, Key::new(1, 0));
        let mut actions = Vec::with_capacity(256);
        exchanger.settle(&mut cluster, now);
        exchanger.take_actions(&mut actions);
        let connect = actions.iter().find_map(|action| {
            if let FrameAction::Connect { trunk, .. } = action { Some(*trunk) } else { None }
        });
        let trunk = connect.expect("one connection ahead of need");
        exchanger.trunk_attached(trunk, Key::new(2, 0));
        exchanger.trunk_connected(trunk);
        let mut line = Self {
            exchanger,
            cluster,
            client,
            trunk,
            server: Server::new(limits),
            to_server: Vec::new(),
            to_client: Vec::new(),
            answers: Vec::new(),
            actions,
            now,
        };
        line.serve();
        line
    }

    /// What the proxy has for its server is answered, and the answers are passed on.
    fn serve(&mut self) {
        let Self { exchanger, trunk, server, to_server, answers, now, .. } = self;
        let out = exchanger.trunk_out(*trunk).expect("it is open");
        std::mem::swap(out, to_server);
        let mut input = &**to_server;
        answers.clear();
        while let Some(event) = server.next(&mut input, answers).expect("a proxy that is right") {
            if let ServerEvent::Request(request) = event {
                let header =
                    Header::answer(request_version(&request), request.command, request.stream);
                write_frame(&header, request.payload, answers);
            }
        }
        to_server.clear();
        exchanger.trunk_bytes(*trunk, &mut &**answers, *now).expect("a server that is right");
    }

    /// A client asks `request` so often, and is answered.
    fn exchange(&mut self, requests: &[u8], answer_len: usize) {
        self.now += Duration::from_millis(1);
        let mut input = requests;
        let Self { exchanger, cluster, client, now, .. } = self;
        exchanger.client_bytes(*client, &mut input, cluster, *now).expect("a good client");
        assert!(input.is_empty());
        self.serve();
        let out = self.exchanger.client_out(self.client).expect("it is there");
        std::mem::swap(out, &mut self.to_client);
        assert_eq!(self.to_client.len(), answer_len);
        self.to_client.clear();
        self.exchanger.client_backlog(self.client, 0, self.now);
        self.exchanger.settle(&mut self.cluster, self.now);
        self.actions.clear();
        self.exchanger.take_actions(&mut self.actions);
    }
}

/// The layout that a request came in.
fn request_version(request: &ringway::proto::frame::Request<'_>) -> Version {
    if request.stream == 0 { Version::V1 } else { Version::V2 }
}

#[test]
fn exchanges_through_a_frame_proxy_allocate_nothing() {
    for highest in [Version::V1, Version::V2] {
        let mut line = Line::new(highest);
        let mut requests = Vec::new();
        for number in 0..8u8 {
            write_frame(&Header::new(Version::V1, Command::ECHO), &[number; 64], &mut requests);
        }
        (0..100).for_each(|_| line.exchange(&requests, requests.len()));
        let count = allocations(|| {
            (0..10_000).for_each(|_| line.exchange(&requests, requests.len()));
        });
        assert_eq!(count, 0, "{highest:?}");
        assert_eq!(line.exchanger.take_tally().answered, 8 * 10_100);
    }
}

/// Hosts, prefixes, expressions that need a text of their own, and such that need none.
#[test]
fn finding_a_route_allocates_nothing() {
    let expression = |text: String| PathMatch::Regex(PathRegex::new(&text).unwrap());
    let mut routes = Vec::new();
    for n in 0..200 {
        let paths = [
            PathMatch::Prefix(format!("/prefix{n}").into()),
            expression(format!("^/text{n}/[0-9]+$")),
            expression(format!("^/[a-z]{{{}}}[0-9]{{{}}}$", 1 + n % 20, 1 + n / 20)),
        ];
        routes.extend(paths.map(|path| RouteMatch { path, ..RouteMatch::default() }));
        let host = HostMatch::Suffix(format!(".h{n}.example").into());
        routes.push(RouteMatch { hosts: vec![host], ..RouteMatch::default() });
    }
    let router = Router::new(routes);
    let heads =
        ["/prefix7/x", "/text150/4711", "/abcabc0123", "/none", "/nothing/at/all"].map(|path| {
            let mut head = RequestHead::default();
            head.set_method(b"GET");
            head.set_authority(b"a.example");
            head.set_path(path);
            head
        });
    let find = || heads.each_ref().map(|head| router.find(head, None));
    let first = find();
    assert_eq!(first.map(|found| found.is_some()), [true, true, true, false, false]);
    let found = allocations(|| (0..100).for_each(|_| assert_eq!(find(), first)));
    assert_eq!(found, 0);
}
