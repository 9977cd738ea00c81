//! What is done for every exchange takes no memory from the allocator, once it runs.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use ringway::mem::Key;
use ringway::proto::frame::{
    Client, ClientEvent, ClientOptions, Command, Features, PAYLOAD_MAX, Server, ServerEvent,
    ServerOptions, Version,
};
use ringway::runtime::clock;
use ringway::service::balance::Policy;
use ringway::service::pool::{Checkout, Pool, PoolOptions, Share};
use ringway::service::proxy::{Exchanger, ExchangerOptions, FrameAction};
use ringway::service::retry::{Retry, RetryBudget, RetryPolicy, Safety, Verdict};

const WARM_UP: u32 = 2_000;
const EXCHANGES: u32 = 10_000;

thread_local! {
    /// Allocations of this thread. Needs no destructor, and none when it is first used.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    COUNT.with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is the system allocator's, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the rules of this very call.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the rules of this very call.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the rules of this very call.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Allocations of this thread while `work` runs.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = COUNT.with(Cell::get);
    work();
    COUNT.with(Cell::get) - before
}

const POOL: PoolOptions = PoolOptions {
    min_idle: 0,
    capacity: 8,
    spread_at: 4,
    idle_timeout: Duration::from_secs(60),
    max_age: None,
    queue_max: 100,
    queue_timeout: Duration::from_secs(1),
};

const POLICY: RetryPolicy = RetryPolicy {
    tries_max: 3,
    backoff: Duration::from_millis(10),
    backoff_max: Duration::from_millis(100),
    deadline: Duration::from_secs(30),
};

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![1_u8]))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn a_place_in_a_pool_takes_no_memory() {
    let mut now = clock::now();
    let mut pool: Pool<u32, u32> = Pool::new(POOL);
    for connection in 0..3 {
        pool.begin_open();
        pool.opened(connection, now);
    }
    let mut carried = Vec::with_capacity(100);
    let mut round = |pool: &mut Pool<u32, u32>| {
        now += Duration::from_micros(10);
        // More than there is room for: some wait.
        for exchange in 0..30 {
            match pool.checkout(exchange, now) {
                Checkout::Use(connection) => carried.push(connection),
                Checkout::Wait => {}
                Checkout::Refused => panic!("the queue has room"),
            }
        }
        while let Some(connection) = carried.pop() {
            assert!(pool.release(connection, now));
            carried.extend(pool.next_ready(now).map(|(_, connection)| connection));
        }
        assert!(pool.next_deadline().is_some() && pool.gauges().waiting == 0);
    };
    (0..WARM_UP).for_each(|_| round(&mut pool));
    let many = allocations(|| (0..EXCHANGES).for_each(|_| round(&mut pool)));
    assert_eq!(many, 0);
    assert_eq!(pool.counters().refused, 0);
}

#[test]
fn a_retry_takes_no_memory() {
    let now = clock::now();
    let mut budget = RetryBudget::new(1.0, now);
    let mut again = 0;
    let many = allocations(|| {
        for number in 0..EXCHANGES {
            budget.deposit();
            let mut retry = Retry::new(now);
            let safety = [Safety::NotSent, Safety::Idempotent, Safety::Unsafe][number as usize % 3];
            let verdict = retry.after_failure(&POLICY, now, safety, &mut budget, number.into());
            again += u32::from(matches!(verdict, Verdict::Again { .. }));
        }
    });
    assert_eq!(many, 0);
    assert!(again > EXCHANGES / 2);
}

/// A client, a frame proxy, a server, and the vectors that a session would exchange.
struct Passing {
    now: Instant,
    proxy: Exchanger,
    client: Client<u32>,
    client_key: Key,
    trunk: Option<Key>,
    server: Server,
    actions: Vec<FrameAction>,
    asked: Vec<u8>,
    to_server: Vec<u8>,
    answered: Vec<u8>,
    to_client: Vec<u8>,
    done: u32,
}

impl Passing {
    fn new(highest: Version) -> Self {
        let now = clock::now();
        let options = ExchangerOptions {
            client: ClientOptions { highest, ..ClientOptions::default() },
            servers: 1,
            policy: Policy::LeastConnections,
            pool: POOL,
            share: Share::new(1, 1, 0),
            retry: POLICY,
            budget: 0.2,
        };
        let offered =
            ServerOptions { window: 256, max_payload: PAYLOAD_MAX, features: Features::ALL };
        let mut proxy = Exchanger::new(options, 0, 1, now);
        let client_key = proxy.open_client(offered, now);
        proxy.client_attached(client_key, Key::new(0, 0));
        let mut client = Client::new(ClientOptions { highest, ..ClientOptions::default() });
        let mut asked = Vec::new();
        client.hello(&mut asked);
        let mut passing = Self {
            now,
            proxy,
            client,
            client_key,
            trunk: None,
            server: Server::new(offered),
            actions: Vec::new(),
            asked,
            to_server: Vec::new(),
            answered: Vec::new(),
            to_client: Vec::new(),
            done: 0,
        };
        passing.pass();
        assert!(passing.client.is_open());
        passing
    }

    /// Asks `many` at once and passes them on until all are answered.
    fn round(&mut self, many: u32) {
        self.now += Duration::from_micros(50);
        for number in 0..many {
            let payload = [7; 64];
            let begun = self.client.begin(Command::ECHO, true, &payload, number, &mut self.asked);
            assert!(begun.is_some());
        }
        let before = self.done;
        while self.done < before + many {
            self.pass();
        }
    }

    /// Every vector once along its way.
    fn pass(&mut self) {
        let now = self.now;
        let mut input = &self.asked[..];
        self.proxy.client_bytes(self.client_key, &mut input, now).unwrap();
        assert!(input.is_empty());
        self.asked.clear();
        self.proxy.settle(now);
        self.proxy.take_actions(&mut self.actions);
        for action in self.actions.drain(..) {
            if let FrameAction::Connect { trunk, .. } = action {
                self.trunk = Some(trunk);
                self.proxy.trunk_attached(trunk, Key::new(1, 0));
                self.proxy.trunk_connected(trunk);
            }
        }
        if let Some(trunk) = self.trunk {
            std::mem::swap(self.proxy.trunk_out(trunk).unwrap(), &mut self.to_server);
            self.serve();
            let mut input = &self.answered[..];
            self.proxy.trunk_bytes(trunk, &mut input, now).unwrap();
            assert!(input.is_empty());
            self.answered.clear();
        }
        std::mem::swap(self.proxy.client_out(self.client_key).unwrap(), &mut self.to_client);
        let mut input = &self.to_client[..];
        while let Some(event) = self.client.next(&mut input).unwrap() {
            if let ClientEvent::Answer(answer) = event {
                assert!(answer.command == Command::ECHO && answer.payload == [7; 64]);
                self.done += 1;
            }
        }
        self.to_client.clear();
        self.proxy.client_backlog(self.client_key, 0, now);
        assert!(self.proxy.take_tally().errors.iter().all(|errors| *errors == 0));
        assert!(self.proxy.next_deadline().is_none_or(|next| next > now));
    }

    fn serve(&mut self) {
        let mut input = &self.to_server[..];
        while let Some(event) = self.server.next(&mut input, &mut self.answered).unwrap() {
            if let ServerEvent::Request(request) = event {
                self.answered.extend_from_slice(request.bytes);
            }
        }
        self.to_server.clear();
    }
}

#[test]
fn an_exchange_through_a_frame_proxy_takes_no_memory() {
    for highest in [Version::V1, Version::V2] {
        // One by one, as many as a connection carries, and more than that, so that some wait.
        for many in [1, 8, 30] {
            let mut passing = Passing::new(highest);
            (0..WARM_UP / many).for_each(|_| passing.round(many));
            let rounds = EXCHANGES / many;
            let allocated = allocations(|| (0..rounds).for_each(|_| passing.round(many)));
            assert_eq!(allocated, 0, "{highest:?}, {many} at once");
            assert_eq!(passing.done, (WARM_UP / many + rounds) * many);
            assert_eq!(passing.proxy.open_exchanges(), 0);
        }
    }
}

#[test]
fn requests_and_answers_take_no_memory_at_either_end() {
    for highest in [Version::V1, Version::V2] {
        let offered =
            ServerOptions { window: 256, max_payload: PAYLOAD_MAX, features: Features::ALL };
        let mut client: Client<u32> =
            Client::new(ClientOptions { highest, ..ClientOptions::default() });
        let mut server = Server::new(offered);
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        client.hello(&mut asked);
        let mut round = |many: u32| {
            for number in 0..many {
                let begun = client.begin(Command::PING, true, b"x", number, &mut asked);
                assert!(begun.is_some());
            }
            // In two pieces, the first of which ends within a frame.
            let (first, second) = asked.split_at(asked.len() / 2 + 3);
            for mut piece in [first, second] {
                while let Some(event) = server.next(&mut piece, &mut answered).unwrap() {
                    if let ServerEvent::Request(request) = event {
                        let (stream, payload) = (request.stream, request.payload);
                        let header = server_header(highest, stream);
                        ringway::proto::frame::write_frame(&header, payload, &mut answered);
                    }
                }
            }
            asked.clear();
            let (first, second) = answered.split_at(answered.len() / 2 + 3);
            for mut piece in [first, second] {
                while client.next(&mut piece).unwrap().is_some() {}
            }
            answered.clear();
            assert_eq!(client.open(), 0);
        };
        round(0);
        (0..WARM_UP / 10).for_each(|_| round(10));
        assert_eq!(allocations(|| (0..EXCHANGES / 10).for_each(|_| round(10))), 0, "{highest:?}");
    }
}

fn server_header(version: Version, stream: u32) -> ringway::proto::frame::Header {
    ringway::proto::frame::Header::answer(version, Command::PONG, stream)
}
