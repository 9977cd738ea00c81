//! What is played.

mod doors;
mod handlers;
mod http2;
mod limits;
mod proxy;
mod reaches;
mod reloads;

use std::time::Duration;

use ringway::ring::sim::{Faults, Random};

use super::client::Habits;
use super::orders::{Ask, FRAMINGS, Orders};
use super::setup::{Setup, TIMED};

/// A kind of run.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) setup: fn(u64) -> Setup,
    /// Of so many seeds, one is played.
    pub(super) share: u64,
    /// Nothing goes wrong: every client gets every answer.
    pub(super) is_fair: bool,
    /// What its seeds have to reach, as the census names it.
    pub(super) reaches: &'static [&'static str],
}

const fn fair(name: &'static str, setup: fn(u64) -> Setup) -> Scenario {
    Scenario {
        name,
        setup,
        share: 1,
        is_fair: true,
        reaches: &["close finished", "class 2xx", "pool idle_timeout"],
    }
}

const fn hard(
    name: &'static str,
    setup: fn(u64) -> Setup,
    reaches: &'static [&'static str],
) -> Scenario {
    Scenario { name, setup, share: 1, is_fair: false, reaches }
}

/// The same of fewer seeds.
const fn some(share: u64, scenario: Scenario) -> Scenario {
    Scenario { share, ..scenario }
}

pub(super) const SCENARIOS: [Scenario; 30] = [
    fair("plain", plain),
    hard("plain_with_faults", plain_with_faults, &reaches::PLAIN_WITH_FAULTS),
    fair("bodies", bodies),
    hard("bodies_with_faults", bodies_with_faults, &reaches::BODIES_WITH_FAULTS),
    hard("resets", resets, &reaches::RESETS),
    hard("drain", drain, &reaches::DRAIN),
    hard("retries", proxy::retries, &reaches::RETRIES),
    hard("dying", proxy::dying, &reaches::DYING),
    hard("hedging", proxy::hedging, &reaches::HEDGING),
    fair("upgrades", proxy::upgrades),
    hard("upgrades_with_faults", proxy::upgrades_with_faults, &reaches::UPGRADES_WITH_FAULTS),
    fair("compression", proxy::compression),
    hard(
        "compression_with_faults",
        proxy::compression_with_faults,
        &reaches::COMPRESSION_WITH_FAULTS,
    ),
    hard("limits", limits::limits, &reaches::LIMITS),
    hard("slow", limits::slow, &reaches::SLOW),
    hard("refusals", limits::refusals, &reaches::REFUSALS),
    hard("doors", doors::doors, &reaches::DOORS),
    fair("short_budget", limits::short_budget),
    hard("reloads", reloads::reloads, &reaches::RELOADS),
    some(4, fair("streams", http2::streams)),
    some(2, hard("streams_with_faults", http2::streams_with_faults, &reaches::STREAMS)),
    some(4, fair("shared", http2::shared)),
    some(2, hard("shared_with_faults", http2::shared_with_faults, &reaches::SHARED)),
    some(4, fair("both", http2::both)),
    some(2, hard("both_with_faults", http2::both_with_faults, &reaches::BOTH)),
    some(4, fair("short_streams", http2::short_streams)),
    some(2, fair("sockets", http2::sockets)),
    some(2, hard("sockets_with_faults", http2::sockets_with_faults, &reaches::SOCKETS)),
    some(2, fair("handlers", handlers::handlers)),
    some(2, hard("handlers_with_faults", handlers::handlers_with_faults, &reaches::HANDLERS)),
];

/// Times that nothing reaches unless somebody is silent.
const LONG: Duration = Duration::from_secs(5);
/// Times that what is slow reaches.
const SHORT: Duration = Duration::from_millis(60);

fn pick<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len())]
}

fn marker(client: usize, request: usize) -> String {
    format!("mrk{client:02}n{request:02}q")
}

/// Clients with requests that `ask` makes.
fn clients(
    random: &mut Random,
    (clients_max, requests_max): (usize, usize),
    habits: &Habits,
    ask: fn(&mut Random, String) -> Ask,
) -> Vec<(Vec<Ask>, Habits)> {
    let count = 1 + random.below(clients_max);
    let clients = (0..count).map(|client| {
        let requests = 1 + random.below(requests_max);
        let mut asks: Vec<Ask> = (0..requests).map(|at| ask(random, marker(client, at))).collect();
        // Behind these, a connection ends.
        let last = asks.iter().position(|ask| ask.http10 || ask.upgrade.is_some());
        asks.truncate(last.map_or(requests, |at| at + 1));
        let last = asks.last_mut().expect("at least one");
        last.closes |= random.chance(300);
        let (ahead, part) = (pick(random, &[1, 1, 3, 10]), pick(random, &[30, 500, 4_000]));
        let comes_at = random.below(20);
        (asks, Habits { ahead, part, comes_at, ..habits.clone() })
    });
    clients.collect()
}

/// Requests of common kinds.
fn plain_ask(random: &mut Random, marker: String) -> Ask {
    let path = pick(random, &["/up", "/up", "/up", "/up", "/timed", "/fixed", "/echo", "/files"]);
    let orders = Orders {
        len: pick(random, &[0, 1, 100, 700, 3_000]),
        framing: pick(random, &FRAMINGS[..3]),
        ..Orders::default()
    };
    let mut ask = Ask::get(marker, path, orders);
    ask.method = pick(random, &["GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE"]);
    if path == "/files" {
        ask.method = pick(random, &["GET", "HEAD"]);
    }
    if matches!(ask.method, "POST" | "PUT") {
        ask.body = Some((pick(random, &[0, 1, 300, 2_500]), random.chance(500)));
    }
    ask
}

/// Bodies in every framing, answers that come early, interim ones, HTTP/1.0.
fn body_ask(random: &mut Random, marker: String) -> Ask {
    let mut ask = plain_ask(random, marker);
    ask.path = pick(random, &["/up", "/up", "/up", "/timed", "/echo", "/zip"]);
    let orders = &mut ask.orders;
    orders.len = pick(random, &[0, 1, 100, 2_000, 6_000]);
    orders.framing = pick(random, &FRAMINGS);
    orders.interims = pick(random, &[0, 0, 0, 1, 3]);
    orders.early = random.chance(200);
    orders.hold = pick(random, &[0, 0, 3, 20]);
    orders.close = random.chance(100);
    if ask.path != "/echo" && random.chance(150) {
        orders.status = pick(random, &[201, 204, 304, 404, 500]);
        orders.len = if matches!(orders.status, 204 | 304) { 0 } else { orders.len };
    }
    if ask.body.is_some() {
        ask.body = Some((pick(random, &[0, 10, 2_000, 5_000]), random.chance(500)));
        ask.expects = random.chance(200);
    }
    ask.http10 = random.chance(100);
    if ask.http10 {
        ask.expects = false;
        ask.body = ask.body.map(|(len, _)| (len, false));
    }
    ask
}

fn plain(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x6874);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.http.routes[TIMED].total_timeout = Some(LONG * 10);
    setup.origins().connections_max = 8;
    setup.clients = clients(&mut random, (3, 4), &Habits::default(), plain_ask);
    setup
}

fn bodies(seed: u64) -> Setup {
    let mut random = Random::new(seed ^ 0x6876);
    let mut setup = Setup::new(seed, &mut random, 2, LONG);
    setup.http.routes[TIMED].total_timeout = Some(LONG * 10);
    setup.origins().connections_max = 8;
    setup.clients = clients(&mut random, (3, 4), &Habits::default(), body_ask);
    setup
}

/// Peers that are slow or awkward on a kernel that is too.
fn with_faults(seed: u64, ask: fn(&mut Random, String) -> Ask) -> (Setup, Random) {
    let mut random = Random::new(seed ^ 0x6875);
    let unit = pick(&mut random, &[SHORT, LONG]);
    let mut setup = Setup::new(seed, &mut random, 3, unit);
    setup.faults = Faults::ALL;
    let resets = pick(&mut random, &[0, 0, 3]);
    let reads = pick(&mut random, &[150, 500, 1000]);
    let habits = Habits {
        resets,
        reads,
        ends_early: random.chance(100),
        leaves: random.chance(800),
        ..Habits::default()
    };
    setup.clients = clients(&mut random, (3, 4), &habits, ask);
    setup.moods.reset = pick(&mut random, &[0, 0, 5]);
    setup.moods.end = pick(&mut random, &[0, 0, 5]);
    setup.moods.part = pick(&mut random, &[0, 20, 1_000]);
    reloads::reload_sometimes(&mut setup);
    (setup, random)
}

fn plain_with_faults(seed: u64) -> Setup {
    with_faults(seed, plain_ask).0
}

fn bodies_with_faults(seed: u64) -> Setup {
    with_faults(seed, body_ask).0
}

/// Either side resets at any time.
fn resets(seed: u64) -> Setup {
    let (mut setup, mut random) = with_faults(seed, body_ask);
    setup.moods.reset = pick(&mut random, &[0, 10, 50]);
    setup.moods.end = pick(&mut random, &[0, 10, 50]);
    for (_, habits) in &mut setup.clients {
        habits.resets = pick(&mut random, &[0, 10, 50]);
    }
    setup
}

/// The worker drains in the middle.
fn drain(seed: u64) -> Setup {
    let (mut setup, mut random) = with_faults(seed, body_ask);
    setup.drains_at = Some(1 + random.below(150));
    setup
}
